"""``streamvsr ui [FOLDER...]``: the web page."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from streamvsr.cli.catalogue import choices, model_names
from streamvsr.cli.console import Console
from streamvsr.cli.layers import COMMAND_LINE
from streamvsr.cli.own_options import options_help, take
from streamvsr.cli.parser import asks_for_help, parse
from streamvsr.errors import MissingExtraError, UsageError
from streamvsr.options import Option
from streamvsr.ui.commands import Parsed, Services, faces

USAGE = """\
usage: streamvsr ui [options] [FOLDER...]

A page in the browser: drop a video or choose one from the folders (this one,
unless others are named), look at it, see a moment before and after, and let it
be done. Closing the page, or the server, loses nothing: jobs go on, and the
next server shows the queue as it was. docs/ui.md explains it.

"""
_REST = """

The page is for whoever has its address, which holds a token. Only the folders
can be read and written.

examples:
  streamvsr ui
  streamvsr ui Videos/ --port 8100 --no-browser"""


def ui_command(words: Sequence[str]) -> int:
    """Serve until interrupted; the exit code. Raises ``StreamvsrError``."""
    from streamvsr.ui.options import UiOptions

    if asks_for_help(words):
        print(USAGE + options_help(UiOptions) + _REST)
        return 0
    own, folders = take(words, UiOptions)
    if folders[:1] == ["--"]:
        folders = folders[1:]
    elif bad := [word for word in folders if word.startswith("-")]:
        raise UsageError(f"unknown option {bad[0]}; streamvsr ui --help lists them")
    options = UiOptions(**own)
    from streamvsr.options import check_options

    check_options(options)
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("streamvsr ui needs Starlette and uvicorn: pip install 'streamvsr[ui]'") from error
    from streamvsr.ui.serve import serve

    console = Console()

    def ready(url: str) -> None:
        # The token is for this terminal's reader: it is the one secret that is shown.
        print(url, flush=True)
        console.note("the page is there; Ctrl-C ends the server, and jobs that run go on")
        if not options.no_browser and options.host in ("127.0.0.1", "::1", "localhost"):
            import webbrowser

            webbrowser.open(url)

    serve(options, folders or [os.getcwd()], services(), ready)
    return 0


def services() -> Services:
    """What the command line lends the server."""
    from streamvsr.filters.registry import ENTRIES

    return Services(_parse, frozenset(entry.name for entry in ENTRIES.values()), _describe)


def _parse(words: Sequence[str]) -> Parsed:
    invocation = parse(words)
    if invocation.config is None:
        raise UsageError("a job has an input and an output")
    typed = {
        name.removeprefix("options.")
        for (_, name), origin in invocation.origins.items()
        if name.startswith("options.") and origin == COMMAND_LINE
    }
    return Parsed(invocation.config, invocation.call, frozenset(typed))


def _describe(language: str) -> dict[str, Any]:
    from streamvsr import presets
    from streamvsr.filters.registry import ENTRIES as FILTERS
    from streamvsr.models.registry import ENTRIES, is_here, known_checkpoints

    texts: Mapping[str, str] = {}
    if language.startswith("zh"):
        from streamvsr.cli.zh_cn import HELP

        texts = HELP
    known = {one.name: one for one in known_checkpoints()}
    # Those whose weights are at hand; what has to be fetched is the command line's business.
    models = [
        {"name": name, "about": ENTRIES[name].summary if name in ENTRIES else known[name].model}
        for name in sorted(model_names())
        if (name in known and is_here(name)) or (name in ENTRIES and not ENTRIES[name].needs_checkpoint)
    ]
    return {
        "models": [{"name": "auto", "about": ""}, *models],
        "presets": [{"name": name, "about": presets.load(name).description} for name in presets.names()],
        "filters": [{"name": one.written, "about": one.summary} for one in FILTERS.values()],
        "groups": {
            group: [_face(face, texts) for face in options.values() if face.flags[0] != "--model"]
            for group, options in faces().items()
        },
    }


def _face(face: Option, texts: Mapping[str, str]) -> dict[str, Any]:
    return {
        "flag": face.flags[0],
        "flags": list(face.flags),
        "help": texts.get(face.help, face.help),
        "kind": face.kind,
        "metavar": face.metavar,
        "choices": choices(face),
        "least": face.least,
        "most": face.most,
        "secret": face.sensitive,
    }
