"""The call of the original RealBasicVSR script, as it stands in its README and in people's shell histories::

    CONFIG.py CHECKPOINT.pth INPUT OUTPUT [--max_seq_len N] [--is_save_as_png BOOL] [--fps F]

It is rewritten into today's options, so that all of those can be added to it, and win over what is set here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import PurePath

from streamvsr.cli.tokens import LEGACY_FLAGS, Token
from streamvsr.config import VIDEOS
from streamvsr.errors import UsageError

_WEIGHTS = (".pth", ".pt", ".safetensors")
_PATTERN = "%08d.png"
"""As the original names the pictures of a video; those of a folder keep their names."""
_TRUE = frozenset({"true", "1", "yes", "on", "t", "y"})
_FALSE = frozenset({"false", "0", "no", "off", "f", "n", "none", ""})


def is_legacy(tokens: Sequence[Token]) -> bool:
    """Whether the first two paths are a config and a checkpoint, and no ``-i`` says otherwise."""
    paths = [token.value or "" for token in tokens if token.flag is None]
    if len(paths) < 2 or any(token.flag == "-i" for token in tokens):
        return False
    return paths[0].lower().endswith(".py") and paths[1].lower().endswith(_WEIGHTS)


def translate(tokens: Sequence[Token]) -> tuple[list[Token], list[str]]:
    """(the same call in today's options, notes for the user); any other call comes back as it is."""
    if not is_legacy(tokens):
        for token in tokens:
            if token.flag in LEGACY_FLAGS:
                raise UsageError(
                    f"{token.flag} belongs to the call CONFIG.py CHECKPOINT.pth INPUT OUTPUT; without those, "
                    f"{'-r FPS before the input' if token.flag == '--fps' else 'a folder as the output'} does it"
                )
        return list(tokens), []
    paths = [token.value or "" for token in tokens if token.flag is None]
    if len(paths) < 4:
        raise UsageError("a config and a checkpoint are followed by the input and the output: CONFIG.py X.pth IN OUT")
    config, checkpoint, source, target = paths[:4]
    given = {token.flag: token.value or "" for token in tokens if token.flag is not None}
    notes = []

    # The whole sequence at once, the original's default, is what carrying the state comes to.
    settings = {"--config": config, "--checkpoint": checkpoint, "--propagation": "carry"}
    # It knows of no cuts, and carries its state as far as the sequence goes.
    settings |= {"--scene-threshold": "0", "--max-history": "0"}
    if "--max-seq-len" in given:
        settings |= {"--propagation": "window", "--overlap": "0"}
    before_input = [Token(flag, value) for flag, value in settings.items()]
    if "--fps" in given:
        before_input.append(Token("-r", given["--fps"]))
        if _is_video(source):
            notes.append("--fps: the input's own time stamps are ignored; leave --fps out to keep them")

    if _is_folder(target):
        # A pattern makes PNGs of all pictures; in a bare folder each keeps the kind of file that it came from.
        pattern = _PATTERN if _truth(given.get("--is-save-as-png", "true")) else ""
        target = target.rstrip("/" + os.sep) + "/" + pattern

    result: list[Token] = list(before_input)
    position = 0
    for token in tokens:
        if token.flag in LEGACY_FLAGS:
            continue
        if token.flag is not None:
            result.append(token)
            continue
        position += 1
        if position == 3:
            result.append(Token(None, source))
        elif position == 4:
            result.append(Token(None, target))
        elif position > 4:
            result.append(token)
    return result, notes


def _truth(text: str) -> bool:
    """What people mean: in the original every text but the empty one was true, ``False`` included."""
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise UsageError(f"--is_save_as_png {text}: expected True or False")


def _is_video(path: str) -> bool:
    return PurePath(path).suffix.lower() in VIDEOS


def _is_folder(path: str) -> bool:
    """A path that names no video is a folder for pictures, whatever dots it has; pipes, URLs and patterns are none."""
    return not (_is_video(path) or "%" in path or "://" in path or path == "-" or path.startswith("pipe:"))
