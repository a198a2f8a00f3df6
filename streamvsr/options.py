"""What an option is: how a field of a dataclass is given on the command line, and what values it takes.

The options themselves are declared where they belong: those of a run in ``config.py``, those of other commands beside
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from numbers import Integral, Rational, Real
from os import PathLike
from typing import Any, Literal

from streamvsr.errors import UsageError

MAX_INTEGER = 2**31 - 1
"""The largest whole number of any option, and the largest numerator and denominator of a rate: FFmpeg's ``int``."""
MAX_SECONDS = 10**9
"""The longest time of any option, 31 years: in nanoseconds it fits into FFmpeg's time stamps."""
Kind = Literal[
    "text", "integer", "number", "time", "rate", "size", "target", "bit_rate", "flag", "yes_no", "list", "pairs"
]
"""How an option's text becomes a value: ``flag`` takes no value and sets True, ``yes_no`` has two flags, the first
for True and the second for False; ``list`` may be given several times, ``pairs`` is a list of KEY=VALUE."""


_TYPES: Mapping[Kind, tuple[tuple[type, ...], str]] = {
    "text": ((str, PathLike), "a text"),
    "integer": ((Integral,), "a whole number"),
    "number": ((Real,), "a number"),
    "time": ((Rational,), "seconds as an int or a Fraction"),
    "rate": ((Rational,), "frames a second as an int or a Fraction"),
    "size": ((tuple,), "(width, height)"),
    "target": ((tuple, Real), "a factor, or (width, height), where a width of 0 follows from the height"),
    "bit_rate": ((str,), "a text such as '2M'"),
    "flag": ((bool,), "True or False"),
    "yes_no": ((bool,), "True or False"),
    "list": ((tuple, list), "several texts"),
    "pairs": ((tuple, list), "several texts KEY=VALUE"),
}
"""What a value of each kind is in Python, and in words: the command line makes no other, callers in Python might."""


@dataclass(frozen=True, slots=True)
class Option:
    """The command-line face of one field."""

    flags: tuple[str, ...]
    """Exact spellings, the usual one first."""
    help: str
    kind: Kind
    metavar: str = ""
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    anywhere: bool = False
    """An option of the output that may also stand before the input, as ffmpeg's global ones."""
    sensitive: bool = False
    """Its value is a secret, and never shown."""
    as_ffmpeg: bool = False
    """Means just what it means in ffmpeg: ``--help`` names it without explaining it."""
    in_chain: bool = False
    """Also an option of ``vsr`` in a filter chain, under the field's name and in the order of the fields."""
    tuning: bool = False
    """Asks for something that only models with ``ModelInfo.tunable`` can do."""
    off: Any = None
    """Beside the default, the value that asks for nothing."""


def option(default: Any, *flags: str, help: str, kind: Kind = "text", **face: Any) -> Any:
    """A dataclass field with its command-line face; ``face`` is what else ``Option`` takes."""
    return field(default=default, metadata={"option": Option(flags, help, kind, **face)})


def options_of(group: type) -> Iterator[tuple[str, Option]]:
    """(field name, option) of a group's fields that can be given on the command line, in order."""
    for f in fields(group):
        if "option" in f.metadata:
            yield f.name, f.metadata["option"]


_SENSITIVE = """
aa_fixed_key activation_bytes audible_fixed_key audible_iv audible_key authorization cookies cryptokey decryption_iv
decryption_key decryption_keys encryption_key encryption_kid ftp-anonymous-password ftp-password ftp-user hca_highkey
hca_lowkey hca_subkey headers hls_enc_iv hls_enc_key http_proxy iv key key_pem passphrase password post_data rtmp_conn
rtmp_playpath rtmp_subscribe rtmp_tcurl srtp_in_params srtp_out_params streamid
"""
SENSITIVE_OPTIONS = frozenset(_SENSITIVE.split())
"""FFmpeg's options, of an input or an output, whose values are secrets or have some in them."""


def is_sensitive(name: str) -> bool:
    """Whether the value of one of FFmpeg's options, with or without a stream specifier, is a secret."""
    return name.partition(":")[0] in SENSITIVE_OPTIONS


def check_options(values: Any) -> None:
    """Raise ``UsageError`` for values of one dataclass of options that are out of range."""
    for name, face in options_of(type(values)):
        _check_value(face, getattr(values, name))


def _check_value(face: Option, value: Any) -> None:
    flag = face.flags[0]
    if value is None:
        return
    types, wanted = _TYPES[face.kind]
    # True is an int to Python.
    if not issubclass(type(value), types) or (type(value) is bool and bool not in types):
        raise UsageError(f"{flag} {value!r}: expected {wanted}")
    if face.choices and value not in face.choices:
        raise UsageError(f"{flag} {value}: choose one of {', '.join(face.choices)}")
    if face.kind == "size" and any(isinstance(side, int) and side > MAX_INTEGER for side in value):
        raise UsageError(f"{flag}: a side is at most {MAX_INTEGER} pixels")
    if isinstance(value, tuple):
        return
    if face.kind == "integer" and abs(value) > MAX_INTEGER:
        raise UsageError(f"{flag}: must be at most {MAX_INTEGER}")
    if face.kind == "time" and value > MAX_SECONDS:
        raise UsageError(f"{flag}: must be at most {MAX_SECONDS} seconds")
    if face.kind == "rate" and max(value.numerator, value.denominator) > MAX_INTEGER:
        raise UsageError(f"{flag}: must be a fraction of numbers up to {MAX_INTEGER}")
    if face.least is not None and value < face.least:
        raise UsageError(f"{flag} {value}: must be at least {face.least:g}")
    if face.most is not None and value > face.most:
        raise UsageError(f"{flag} {value}: must be at most {face.most:g}")
    if face.kind in ("time", "rate") and (value < 0 or (face.kind == "rate" and value == 0)):
        raise UsageError(f"{flag} {value}: must be {'more than' if face.kind == 'rate' else 'at least'} 0")
