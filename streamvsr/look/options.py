"""Options of ``streamvsr look`` and ``streamvsr preview``."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from streamvsr.options import option


@dataclass(frozen=True, slots=True)
class LookOptions:
    json: bool = option(False, "--json", help="print it as JSON", kind="flag")
    sheet: str | None = option(None, "--sheet", help="a PNG with the candidates at three moments", metavar="FILE")
    strip: str | None = option(
        None, "--strip", help="a PNG with moments of the input beside each other", metavar="FILE"
    )
    no_trial: bool = option(False, "--no-trial", help="no forecast: it works for a few seconds", kind="flag")


@dataclass(frozen=True, slots=True)
class PreviewOptions:
    at: Fraction | None = option(
        None, "--at", help="the moment (default: about the middle)", kind="time", metavar="TIME"
    )
    apart: bool = option(False, "--apart", help="two images: OUT.before.png and OUT.after.png", kind="flag")
    whole: bool = option(False, "--whole", help="the whole frame, not only a part of it", kind="flag")
