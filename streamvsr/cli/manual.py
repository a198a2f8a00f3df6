"""The manual page, in roff, from what ``--help`` is made of: ``python -m streamvsr.cli.manual > streamvsr.1``."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from importlib import import_module
from typing import cast

from streamvsr import __version__
from streamvsr.cli import app
from streamvsr.cli.catalogue import COMMANDS, RUN_GROUPS, takes_a_value
from streamvsr.cli.help import EXAMPLES, MORE, PATHS, USAGE
from streamvsr.options import Option, options_of

_EXIT = (
    ("0", "done"),
    ("1", "failed; a line says what, and the way out"),
    ("2", "the command line cannot be understood"),
    ("130", "interrupted; once finishes a playable file of what is done, twice drops it"),
    ("141", "the reader of the pipe left"),
)
_FILES = (
    ("~/.config/streamvsr/presets/NAME.toml", "presets of your own, for --preset NAME"),
    ("~/.cache/streamvsr", "networks that were fetched"),
)


def manual() -> str:
    parts = [
        ".\\\" Made from the options' own descriptions: python -m streamvsr.cli.manual",
        f'.TH STREAMVSR 1 "" "streamvsr {__version__}" "User Commands"',
        *_section("name", [_text("streamvsr - real-world video super-resolution as a stream")]),
        *_section("synopsis", _verbatim(USAGE.removeprefix("usage: ").replace("\n       ", "\n"))),
        *_section("description", [_text(PATHS)]),
    ]
    for title, group in RUN_GROUPS.items():
        parts += _section(title, [*_options(face for _, face in options_of(group)), *_paragraph(MORE.get(title, ""))])
    parts += _section("commands", [_text("A file of the same name goes before a command.")])
    for name, about in COMMANDS.items():
        usage, _, rest = _help(name).partition("\n\n")
        parts += [f'.SS "streamvsr {name}"', _text(f"{about.summary[0].upper()}{about.summary[1:]}.")]
        parts += _verbatim(usage.removeprefix("usage: ").replace("\n       ", "\n"))
        # Of what its own help says, the options' lines are set as those of a run are.
        prose = rest.partition("\n  --")[0] if about.own() else rest
        parts += [*_verbatim(prose.strip()), *_options(about.own())]
    parts += _section("exit status", _terms(_EXIT))
    parts += _section("files", _terms(_FILES))
    parts += _section("examples", _verbatim(EXAMPLES.removeprefix("examples:\n").replace("\n  ", "\n").strip()))
    parts += _section("see also", [".BR ffmpeg (1),", ".BR ffmpeg\\-filters (1)"])
    return "\n".join(part for part in parts if part) + "\n"


def _help(name: str) -> str:
    module, _, function = app.COMMANDS[name].partition(":")
    command = cast(Callable[[Sequence[str]], int], getattr(import_module(module), function))
    with redirect_stdout(io.StringIO()) as out:
        command(["--help"])
    return out.getvalue()


def _section(title: str, content: Iterable[str]) -> list[str]:
    return [f'.SH "{title.upper()}"', *content]


def _options(faces: Iterable[Option]) -> list[str]:
    lines = []
    for face in faces:
        flags = ", ".join(f"\\fB{_text(flag)}\\fR" for flag in face.flags)
        value = f" \\fI{_text(face.metavar or 'VALUE')}\\fR" if takes_a_value(face) else ""
        lines += [".TP", flags + value, _text(face.help) or "As in ffmpeg."]
    return lines


def _terms(rows: Iterable[tuple[str, str]]) -> list[str]:
    return [line for term, text in rows for line in (".TP", f"\\fB{_text(term)}\\fR", _text(text))]


def _paragraph(text: str) -> list[str]:
    return [".PP", _text(text)] if text else []


def _verbatim(text: str) -> list[str]:
    return [".PP", ".nf", _text(text), ".fi"] if text else []


def _text(text: str) -> str:
    """``text`` with nothing in it that roff would obey."""
    lines = text.replace("\\", "\\e").replace("-", "\\-").replace("~", "\\(ti").replace("^", "\\(ha").splitlines()
    return "\n".join("\\&" + line if line.startswith((".", "'")) else line for line in lines)


if __name__ == "__main__":
    sys.stdout.write(manual())
