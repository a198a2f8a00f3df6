"""Puts the manual page and the shells' completions into wheels, where man and the shells look for them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PLACES = {
    "bash": "share/bash-completion/completions/streamvsr",
    "zsh": "share/zsh/site-functions/_streamvsr",
    "fish": "share/fish/vendor_completions.d/streamvsr.fish",
}
MANUAL = "share/man/man1/streamvsr.1"


class Hook(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        sys.path.insert(0, self.root)
        try:
            # Both need the standard library alone.
            from streamvsr.cli.completion_command import SHELLS
            from streamvsr.cli.manual import manual
        finally:
            sys.path.remove(self.root)
        texts = {MANUAL: manual(), **{PLACES[shell]: make() + "\n" for shell, make in SHELLS.items()}}
        for place, text in texts.items():
            path = Path(self.root) / "build" / "shared" / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            build_data["shared_data"][str(path)] = place
