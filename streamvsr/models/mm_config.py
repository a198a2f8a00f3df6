"""Reads mm-style configs (``configs/realbasicvsr_x4.py``) without running them.

Such a config is a Python file of assignments. Only what configs are made of is understood: literals, ``dict(...)``,
lists, names assigned before, arithmetic on numbers, text put together with ``+`` or f-strings, and ``_base_``. Any
other statement is passed over; what it would have set is an error only where the network depends on it.
"""

from __future__ import annotations

import ast
import operator
import reprlib
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamvsr.errors import ModelError

MAX_BASES = 16
"""Configs that a config may stand on, one below the other."""
MAX_FILES = 64
"""Files that are read for one config."""
MAX_FILE_BYTES = 1 << 20
MAX_VALUES = 200_000
"""Values that are computed for one config, those inside of others each time that they are used: what names stand for
can double with every line. A text counts as one for each ``CHARS_PER_VALUE`` characters."""
CHARS_PER_VALUE = 64
MAX_NUMBER_BITS = 1024
"""Larger numbers are not computed: squares of squares would take for ever."""
DELETE = "_delete_"
"""A table with this key replaces the one in the base config instead of being merged into it."""

GENERATORS = {"RealBasicVSRNet": "realbasicvsr", "BasicVSRNet": "basicvsr", "BasicVSRPlusPlus": "basicvsr_pp"}
"""Types of generator, and the architectures that they are here."""
OPTION_NAMES = {
    "mid_channels": "mid_channels",
    "num_blocks": "num_blocks",
    "num_propagation_blocks": "num_blocks",
    "num_cleaning_blocks": "num_cleaning_blocks",
    "dynamic_refine_thres": "dynamic_refine_thres",
    "max_residue_magnitude": "max_residue_magnitude",
}
"""Options of a generator that matter here, and what ``load`` of the network calls them."""

_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """What a config says about the network that restores."""

    path: Path
    architecture: str
    options: Mapping[str, str] = field(default_factory=dict)
    """Of ``mid_channels``, ``num_blocks``, ``num_cleaning_blocks`` and ``dynamic_refine_thres`` those it states."""


@dataclass(frozen=True, slots=True)
class _Unread:
    """Stands for a value that would need running Python."""

    line: int


class _Budget:
    """Bounds the work on one config, its bases included."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values, self._files = MAX_VALUES, MAX_FILES

    def spend_file(self) -> None:
        self._files -= 1
        if self._files < 0:
            raise ModelError(f"{self._path}: stands on more than {MAX_FILES} files, counted as often as they are named")

    def spent_on(self, value: Any) -> Any:
        """``value``, with all that is in it counted."""
        pending = [value]
        while pending:
            one = pending.pop()
            self._values -= 1 + (len(one) // CHARS_PER_VALUE if isinstance(one, str | bytes) else 0)
            if self._values < 0:
                raise ModelError(f"{self._path}: works out more than {MAX_VALUES} values, which no config needs")
            if isinstance(one, list):
                pending += one
            elif isinstance(one, dict):
                pending += one.values()
        return value


def read_mm_config(path: str | Path) -> NetworkConfig:
    """The network of an mm config. Raises ``ModelError`` that names the file and what is wrong with it."""
    path = Path(path)
    try:
        model = _read(path, MAX_BASES, _Budget(path)).get("model")
    except RecursionError as error:
        raise ModelError(f"{path}: is nested too deeply for a config") from error
    generator = model.get("generator", model) if isinstance(model, dict) else model
    if isinstance(generator, _Unread):
        raise ModelError(f"{path}: line {generator.line} would have to be run to know the network; use dict(...)")
    if not isinstance(generator, dict):
        raise ModelError(f"{path}: names no network: 'model = dict(type=..., generator=dict(type=...))' is expected")
    kind = _plain(path, "type", generator.get("type"))
    if not isinstance(kind, str) or kind not in GENERATORS:
        raise ModelError(
            f"{path}: generator {reprlib.repr(kind)} is not supported; supported are {', '.join(GENERATORS)}"
        )
    options: dict[str, str] = {}
    for name, ours in OPTION_NAMES.items():
        if name in generator:
            value = _plain(path, name, generator[name])
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise ModelError(f"{path}: {name} has to be a number, not {reprlib.repr(value)}")
            options[ours] = str(value)
    return NetworkConfig(path, GENERATORS[kind], options)


def _plain(path: Path, name: str, value: Any) -> Any:
    if isinstance(value, _Unread):
        raise ModelError(f"{path}: line {value.line} would have to be run to know {name}; write it out")
    return value


def _read(path: Path, depth: int, budget: _Budget) -> dict[str, Any]:
    budget.spend_file()
    try:
        if depth < MAX_BASES and not stat.S_ISREG(path.stat().st_mode):
            # The config itself may come through a pipe; what a file names may not make us wait.
            raise ModelError(f"{path}: is no file that a config could stand on")
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise ModelError(f"{path}: is too large for a config")
        tree = ast.parse(content.decode(), str(path))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    except SyntaxError as error:
        raise ModelError(f"{path}: line {error.lineno or 1}: {error.msg}; an mm config is a Python file") from error
    except (UnicodeDecodeError, ValueError, RecursionError, MemoryError) as error:
        raise ModelError(f"{path}: is no mm config, which is a Python file") from error
    names: dict[str, Any] = {}
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                names[name] = _value(value, names, budget)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                names[name] = _value(value, names, budget)
            case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
                pass
            case _:
                for node in ast.walk(statement):
                    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
                        names[node.id] = _Unread(statement.lineno)
                    elif isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
                        root = node.value
                        while isinstance(root, ast.Attribute | ast.Subscript):
                            root = root.value
                        if isinstance(root, ast.Name):
                            names[root.id] = _Unread(statement.lineno)
    return _merge(_bases(path, names.pop("_base_", []), depth, budget), names)


def _bases(path: Path, bases: Any, depth: int, budget: _Budget) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for base in bases if isinstance(bases, list) else [bases]:
        relative = _plain(path, "_base_", base)
        if not depth or not isinstance(relative, str) or "://" in relative:
            raise ModelError(f"{path}: _base_ has to be a config file beside this one, and not stand on itself")
        merged = _merge(merged, _read(path.parent / relative, depth - 1, budget))
    return merged


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, dict):
            below = merged.get(key)
            below = below if isinstance(below, dict) and not value.get(DELETE) else {}
            merged[key] = _merge(below, {k: v for k, v in value.items() if k != DELETE})
        else:
            merged[key] = value
    return merged


def _value(node: ast.expr, names: Mapping[str, Any], budget: _Budget) -> Any:
    """The value of an expression; ``_Unread`` where it is none of the forms that configs are made of."""
    unread = _Unread(node.lineno)
    match node:
        case ast.Constant(value=value):
            return unread if _is_vast(value) else budget.spent_on(value)
        case ast.Name(id=name):
            return budget.spent_on(names.get(name, unread))
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_value(item, names, budget) for item in items]
        case ast.Dict(keys=keys, values=values):
            return {
                key.value: _value(value, names, budget)
                for key, value in zip(keys, values, strict=True)
                if isinstance(key, ast.Constant)
            }
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords):
            return {k.arg: _value(k.value, names, budget) for k in keywords if k.arg is not None}
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            number = _value(operand, names, budget)
            return -number if isinstance(number, int | float) else unread
        case ast.JoinedStr(values=parts):
            texts = [_value(p.value if isinstance(p, ast.FormattedValue) else p, names, budget) for p in parts]
            known = all(isinstance(t, str | int | float) for t in texts)
            return budget.spent_on("".join(map(str, texts))) if known else unread
        case ast.BinOp(left=left, op=op, right=right):
            return budget.spent_on(_arithmetic(op, _value(left, names, budget), _value(right, names, budget), unread))
        case _:
            return unread


def _arithmetic(op: ast.operator, a: Any, b: Any, unread: _Unread) -> Any:
    numbers = isinstance(a, int | float) and isinstance(b, int | float)
    joined = isinstance(op, ast.Add) and type(a) is type(b) and isinstance(a, str | list)
    if type(op) not in _ARITHMETIC or not (numbers or joined):
        return unread
    try:
        result = _ARITHMETIC[type(op)](a, b)
    except ArithmeticError:
        return unread
    return unread if _is_vast(result) else result


def _is_vast(value: Any) -> bool:
    return isinstance(value, int) and value.bit_length() > MAX_NUMBER_BITS
