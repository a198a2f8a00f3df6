"""From what a video looks like to the network that suits it, and one line that says why.

The thresholds were chosen by eye on real clips (docs/look.md has the table): a network for clean video draws the edges
of blocks and the grain of noise more sharply than they were, so it is taken only where neither is to be seen.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from streamvsr.config import ModelOptions
from streamvsr.footage.sample import Footage
from streamvsr.models import registry

CLEAN, RESTORING = "rt", "rt-real"
SHARP = 1.5
"""``--detail`` of ``RESTORING`` for those who prefer it sharp: PSNR-Y is 0.4 to 0.5 dB below bicubic's
on compressed clips then (docs/quality.md)."""
LARGE = "realbasicvsr"
"""Restores better than anything else here, and wants a GPU."""
BETTER = "realesr-general-x4v3"
"""Sharper on damaged footage than ``RESTORING``; it flickers more and paints, so some of it is taken back."""
BETTER_STRENGTH = 0.8
BETTER_SLOWER = 10
"""Times slower than ``RESTORING``, 320x180 on two cores (docs/quality.md)."""
BETTER_PIXELS_A_SECOND = 85_000
"""Of its input, on one core of an AMD EPYC (docs/quality.md)."""
PATIENCE_SECONDS = 600.0
"""A video that ``BETTER`` is through with in this time, as far as the number of cores tells, is given to it."""

NOISY, VERY_NOISY = 1.0, 3.0
"""Standard deviation in codes."""
BLOCKY = 1.4
"""``Measures.blockiness`` from which the grid is seen."""
COARSE, VERY_COARSE = 22.0, 28.0
"""H.264's quantiser, or what is like it in other codecs."""
COLOR_NOISY = 0.5
"""The same of the chroma."""
THIN, VERY_THIN = 0.1, 0.05
"""Bits a pixel (of frames that are no repeats) below which a video counts as compressed where its codec tells no
quantiser, and where it does: a fine quantiser that needs so few bits is at work on what was compressed before."""
OLD_THIN = 0.18
"""``THIN`` of codecs that need more bits for the same (VP8, Theora, VC-1)."""
NEW_CODECS = frozenset(["hevc", "vvc", "av1", "libdav1d", "libaom-av1"])
JPEG = ("", "mjpeg")
"""``Footage.codec`` of images and of motion JPEG."""
FINE_CODECS = frozenset(
    ["ffv1", "huffyuv", "ffvhuff", "utvideo", "rawvideo", "prores", "dnxhd", "png", "v210", "qtrle"]
)
"""Lossless, or as good as that."""


@dataclass(frozen=True, slots=True)
class Choice:
    model: str
    """As for ``--model``."""
    strength: float
    reason: str
    """What was seen, in a few words."""
    better: str | None = None
    """What would be better, what it costs, and how to get it; None: nothing that is known here."""


def choose(footage: Footage | None, options: ModelOptions | None = None, *, gpu: bool, why_not: str = "") -> Choice:
    """``footage``: None where it could not be looked at, for the reason ``why_not``.

    An option that only one network has chooses that network, whatever the footage.
    """
    if options is not None and options.detail is not None:
        return Choice(RESTORING, 1.0, "chosen by --detail")
    if options is not None and options.denoise is not None and registry.is_here(BETTER):
        return Choice(BETTER, BETTER_STRENGTH, "chosen by --denoise")
    if footage is None:
        # A camera or a download: compressed, in nearly every case. Softer where it is clean, never worse.
        return _restoring(why_not, None, gpu)
    seen = faults(footage)
    if seen:
        return _restoring(", ".join(seen), footage, gpu)
    return Choice(CLEAN, 1.0, f"clean{_of(footage)}")


def faults(footage: Footage) -> list[str]:
    """What is wrong with the video, in words; empty for clean video."""
    found = []
    quantiser = like_h264(footage)
    if quantiser is not None and quantiser >= COARSE:
        much = "strongly compressed" if quantiser >= VERY_COARSE else "compressed"
        found.append(f"{much} ({footage.codec or 'JPEG'}, quantiser {footage.quantiser:.0f})")
    elif _is_thin(footage):
        found.append(f"compressed ({footage.codec}, {footage.bits_per_pixel:.2f} bits a pixel)")
    if footage.blockiness >= BLOCKY:
        found.append("visible blocks")
    if footage.noise >= NOISY:
        found.append(f"{'very ' if footage.noise >= VERY_NOISY else ''}noisy (deviation {footage.noise:.1f})")
    elif footage.color_noise >= COLOR_NOISY:
        found.append(f"noisy colours (deviation {footage.color_noise:.1f})")
    return found


def like_h264(footage: Footage) -> float | None:
    """The quantiser of H.264 whose step is as large as the mean one of this video; None where that is not known.

    H.264's step is 0.625 * 2**(q / 6), that of the MPEG codecs twice the quantiser, VP9's an eighth of its table's
    value (one a step up to index 98, then roughly two), JPEG's stands in its table.
    """
    value = footage.quantiser
    if value is None or footage.codec == "h264":
        return value
    in_table = value + 7 if value <= 98 else 105 + 2 * (value - 98)
    step = in_table / 8 if footage.codec == "vp9" else value if footage.codec in JPEG else 2 * value
    return 6 * math.log2(max(step, 0.625) / 0.625)


def hints(footage: Footage) -> list[str]:
    """What the user might do about the input besides."""
    found = []
    if footage.combed and not footage.interlaced:
        found.append("lines of two moments in frames that are not tagged interlaced: try -vf bwdif=0,vsr")
    if footage.detail < 0.3 and not faults(footage):
        found.append("blurred, as if enlarged before: try -vf scale=iw/2:-2,vsr")
    return found


def _is_thin(footage: Footage) -> bool:
    bits = footage.bits_per_pixel
    if footage.codec in FINE_CODECS or bits is None or footage.repeated == 1:
        return False
    least = VERY_THIN if footage.quantiser is not None else THIN if footage.codec in NEW_CODECS else OLD_THIN
    return bits / (1 - footage.repeated) < least


def _of(footage: Footage) -> str:
    if footage.quantiser is None:
        return ""
    return f" ({footage.codec or 'JPEG'}, quantiser {footage.quantiser:.0f})"


def _restoring(reason: str, footage: Footage | None, gpu: bool) -> Choice:
    if gpu and registry.find_checkpoint(LARGE) is not None:
        return Choice(LARGE, 1.0, reason)
    if registry.is_here(BETTER) and (gpu or (footage is not None and _bearable(footage))):
        return Choice(BETTER, BETTER_STRENGTH, reason)
    if registry.is_here(BETTER):
        way = f"--model {BETTER} --strength {BETTER_STRENGTH:g}"
    else:
        known = registry.known_checkpoint(BETTER)
        way = f"streamvsr models fetch {BETTER} ({known.size_mb} MB)"
    cost = f"--detail {SHARP:g} (sharper, more flicker); {BETTER} ({BETTER_SLOWER} times slower): {way}"
    if gpu:
        large = registry.known_checkpoint(LARGE)
        cost = f"{LARGE}: restores more, for this GPU: streamvsr models fetch {large.name} ({large.size_mb} MB)"
    return Choice(RESTORING, 1.0, reason, cost)


def _bearable(footage: Footage) -> bool:
    """Whether ``BETTER`` would be done in time without a GPU."""
    if footage.seconds is None or footage.frame_rate is None:
        return False
    pixels = footage.width * footage.height * footage.frame_rate * footage.seconds
    return pixels / (BETTER_PIXELS_A_SECOND * (os.cpu_count() or 1)) <= PATIENCE_SECONDS
