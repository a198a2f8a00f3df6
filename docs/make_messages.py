"""Writes docs/messages.md: every error message, as the source raises it, with when it comes and what to do.

python docs/make_messages.py            # a test compares the page with the source
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from streamvsr.cli.ffmpeg_compat import REFUSED
from streamvsr.media import av_errors

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "messages.md"

AREAS = (
    ("The command line", ("cli/", "config.py", "options.py", "presets.py")),
    ("Inputs", ("media/demux", "media/decode", "footage", "look")),
    ("Outputs", ("media/mux", "media/encode", "part_file.py", "fidelity")),
    ("Filters", ("filters", "media/")),
    ("Networks and their weights", ("models", "vsr", "networks.py")),
    ("Jobs that go on", ("jobs",)),
    ("Comparing and measuring", ("compare", "metrics", "degrade", "merge.py")),
    ("Training", ("training",)),
    ("The page and its queue", ("ui",)),
    ("Python, and the rest", ("",)),
)
"""Heading -> where its messages are raised. The first that fits counts."""

KINDS = {
    "UsageError": "Nothing was run; exit code 2. Change the command as the line says.",
    "SourceError": "An input cannot be opened or read; exit code 1. `ffprobe IN` says whether others can.",
    "NoVideoError": "The input opens, and has nothing to work on.",
    "StreamLostError": "An input ended before its end; what came before it is whole, and kept.",
    "SinkError": "Nothing lies under the output's final name. Look at the disk and the format.",
    "FilterError": "A filter cannot work with these settings, or with this video.",
    "ModelError": "A network is unknown, cannot be built, or gave a broken result.",
    "CheckpointError": "Weights are missing, damaged, or another network's; see `streamvsr models verify FILE`.",
    "WorkerError": "Workers do not come up, or fail again and again.",
    "MissingExtraError": "An optional package is needed: `pip install 'streamvsr[NAME]'`.",
    "StageError": "Something that was not foreseen, inside a thread: please report it, with `--debug`.",
}
"""Kind of error -> when, and what to do."""

ADVICE = {
    "no input": "The words were all options, or an unknown option took the path for its value: `streamvsr IN OUT`.",
    "no output for": "Name the result behind the input: `streamvsr in.mp4 out.mp4`.",
    "two outputs,": "Several inputs go into a folder with `-o FOLDER`; a path with blanks wants quotes.",
    "unknown option": "Ours have two dashes, FFmpeg's one; one of the encoder stands behind the input.",
    "there is no file '": "The first word is neither a command nor a file: look at its spelling.",
    "no such file: '": "It is looked for from the folder you are in.",
}
"""Beginning of a message -> more than the line itself says."""


def errors() -> set[str]:
    """The names of our exceptions."""
    tree = ast.parse((ROOT / "streamvsr" / "errors.py").read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.ClassDef)}


def templates(node: ast.expr, names: dict[str, ast.expr], depth: int = 0) -> list[str]:
    """The texts that an expression may have, with … for what is filled in; [] where nothing is known of it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.Name) and node.id in names and depth < 3:
        return templates(names[node.id], names, depth + 1)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names and depth < 2:
        return templates(names[node.func.id], names, depth + 1)
    if isinstance(node, ast.IfExp):
        return [*templates(node.body, names, depth), *templates(node.orelse, names, depth)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = templates(node.left, names, depth) or ["…"], templates(node.right, names, depth) or ["…"]
        return [a + b for a in left for b in right]
    if isinstance(node, ast.JoinedStr):
        text = ""
        for part in node.values:
            known = templates(part.value, names, 3) if isinstance(part, ast.FormattedValue) else []
            text += part.value if isinstance(part, ast.Constant) else known[0] if len(known) == 1 else "…"
        return [text]
    return []


def raised(tree: ast.Module, kinds: set[str]) -> Iterator[tuple[str, str]]:
    """(kind, template) of every ``raise`` of ours."""
    constants = {
        n.targets[0].id: n.value for n in tree.body if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name)
    }
    scopes = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    for scope in scopes:
        local = dict(constants)
        for node in ast.walk(scope):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                local[node.targets[0].id] = node.value
        for node in ast.walk(scope):
            call = node.exc if isinstance(node, ast.Raise) else node.value if isinstance(node, ast.Return) else None
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in kinds and call.args:
                for text in templates(call.args[0], local):
                    if re.search(r"[a-z]{3}", text):
                        yield call.func.id, " ".join(text.split())


def area(path: str) -> str:
    return next(title for title, starts in AREAS if path.startswith(starts))


def messages() -> dict[str, dict[str, str]]:
    """Area -> template -> kind."""
    kinds = errors()
    found: dict[str, dict[str, str]] = {title: {} for title, _ in AREAS}
    for file in sorted((ROOT / "streamvsr").rglob("*.py")):
        path = file.relative_to(ROOT / "streamvsr").as_posix()
        for kind, text in raised(ast.parse(file.read_text(encoding="utf-8")), kinds):
            found[area(path)].setdefault(text, kind)
    for title, text, kind in tables():
        found[title].setdefault(text, kind)
    return found


def tables() -> Iterator[tuple[str, str, str]]:
    """(area, template, kind) of messages that stand in tables."""
    for flag, instead in REFUSED.items():
        yield "The command line", f"{flag}: {instead}", "UsageError"
    for rule in av_errors._RULES:
        yield "Inputs", f"'…': {rule.reading.format(what='…')}", "SourceError"
        if rule.writing != "{same}":
            yield "Outputs", f"'…': {rule.writing.format(what='…')}", "SinkError"
    for text in av_errors._ERRNO.values():
        yield "Inputs", f"'…': {text}", "SourceError"
        yield "Outputs", f"'…': {text}", "SinkError"


def page() -> str:
    lines = [
        "# Messages",
        "",
        "Every error of streamvsr is one line: `error: ` and what went wrong, with the way out. Here they all are, as"
        " the source has them (`python docs/make_messages.py`); `…` stands for names and numbers. Look for the words"
        " around those.",
        "",
        "| kind | when, and what to do |",
        "|---|---|",
        *(f"| {kind} | {text} |" for kind, text in KINDS.items()),
    ]
    for title, texts in messages().items():
        if not texts:
            continue
        lines += ["", f"## {title}", ""]
        for text in sorted(texts, key=lambda text: re.sub(r"[^a-z ]", "", text.lower())):
            advice = next((f" {more}" for start, more in ADVICE.items() if text.startswith(start)), "")
            lines.append(f"- {code(text)} ({texts[text]}){advice}")
    return "\n".join(lines) + "\n"


def code(text: str) -> str:
    """``text`` as code in Markdown, whatever backticks it has."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
