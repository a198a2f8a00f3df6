"""The table of our own filters, how names are looked up, and what stands in for filters that this FFmpeg lacks.

Two filters of ours are called as one of FFmpeg's is (``median``, ``sobel``). The bare name is FFmpeg's, so that a chain
does here what it does in ffmpeg; ours is reached as ``cv.median``. Both prefixes work for every name: ``cv.`` is always
ours, ``av.`` always FFmpeg's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from inspect import getdoc
from typing import Any, Literal, cast

from streamvsr.config import ModelOptions
from streamvsr.filters.base import Filter
from streamvsr.filters.params import Kind as ParamKind
from streamvsr.filters.params import Param
from streamvsr.options import Kind as OptionKind
from streamvsr.options import options_of

OURS, FFMPEGS = "cv.", "av."


@dataclass(frozen=True, slots=True)
class FilterEntry:
    """One of our filters."""

    name: str
    summary: str
    maker: str
    """``module:class``; its docstring is what ``streamvsr filters NAME`` explains."""
    params: tuple[Param, ...] = ()
    prefixed: bool = False
    """The bare name is FFmpeg's filter."""
    about: str = ""
    """What ``streamvsr filters NAME`` explains instead of the docstring."""

    @property
    def written(self) -> str:
        """The name that reaches it."""
        return OURS + self.name if self.prefixed else self.name

    def make(self, options: Mapping[str, Any]) -> Filter:
        return cast(Filter, self._target()(**options))

    def explanation(self) -> str:
        return self.about or getdoc(self._target()) or ""

    def _target(self) -> Any:
        module, _, target = self.maker.partition(":")
        return getattr(import_module(module), target)


VSR = "vsr"
_ABOUT_VSR = """\
Restores and enlarges frames with a network that looks at the neighbouring
frames; 'streamvsr models' lists the networks. It may stand anywhere in a chain,
and more than once. What is not given here is as the options with two dashes
say: vsr=max_seq_len=20 runs the network of --model. Where model, checkpoint or
config is given here, none of --model, --checkpoint and --config counts for it."""


def _planes(default: Literal["luma", "all"]) -> Param:
    return Param("planes", "choice", default, "luma alone, or chroma too (RGB: always all)", choices=("luma", "all"))


_PARAM_KINDS: Mapping[OptionKind, ParamKind] = {
    "text": "text",
    "integer": "integer",
    "number": "number",
    "flag": "flag",
    "target": "target",
}


def _model_params() -> tuple[Param, ...]:
    """The model's options that may be given for one ``vsr`` of a chain, as ``ModelOptions`` declares them."""
    params = []
    for name, face in options_of(ModelOptions):
        if face.in_chain:
            kind = "choice" if face.choices else _PARAM_KINDS[face.kind]
            params.append(Param(name, kind, None, face.help, face.least, face.most, face.choices))
    return tuple(params)


_SIZE = Param("size", "size", 4.0, "how many times larger, or the size itself", 1, 64)
_WINDOW = Param("size", "odd", 3, "side of the window", 3, 31)
_SHARPEN = _BLUR = "streamvsr.filters.cv.classic:"
_RESIZE, _EDGES, _HISTOGRAM = (f"streamvsr.filters.cv.{name}:" for name in ("enlarge", "edges", "equalize"))

ENTRIES: Mapping[str, FilterEntry] = {
    entry.name: entry
    for entry in (
        FilterEntry(
            VSR, "the network: larger and clean, looking at neighbouring frames", "streamvsr.vsr.filter:VsrFilter",
            _model_params(),
            about=_ABOUT_VSR,
        ),
        FilterEntry(
            "laplacian", "sharpens with the Laplacian", _SHARPEN + "Laplacian",
            (
                Param("amount", "number", 1.0, "how much is added", 0, 10),
                Param("neighbours", "choice", "4", "pixels around that count", choices=("4", "8")),
                _planes("luma"),
            ),
        ),
        FilterEntry(
            "unsharp_mask", "sharpens by the difference to a Gaussian blur", _SHARPEN + "UnsharpMask",
            (
                Param("sigma", "number", 1.0, "of the blur, in pixels", 0.1, 50),
                Param("amount", "number", 1.0, "how much of the difference is added", -5, 10),
                Param("threshold", "number", 0.0, "smaller differences stay, in 8-bit levels", 0, 255),
                _planes("luma"),
            ),
        ),
        FilterEntry("mean", "smooths: the mean of a window", _BLUR + "Mean", (_WINDOW, _planes("all"))),
        FilterEntry(
            "gaussian", "smooths: a Gaussian window", _BLUR + "Gaussian",
            (
                Param("size", "odd", 5, "side of the window", 1, 99),
                Param("sigma", "number", 0.0, "0: from the size, 0.3 * ((size - 1) / 2 - 1) + 0.8", 0, 50),
                _planes("all"),
            ),
        ),
        FilterEntry(
            "median", "removes specks: the median of a window", _BLUR + "Median", (_WINDOW, _planes("all")), True
        ),
        FilterEntry("nearest", "larger: the nearest pixel", _RESIZE + "Nearest", (_SIZE,)),
        FilterEntry("bilinear", "larger: bilinear interpolation", _RESIZE + "Bilinear", (_SIZE,)),
        FilterEntry("bicubic", "larger: bicubic interpolation", _RESIZE + "Bicubic", (_SIZE,)),
        FilterEntry("lanczos", "larger: Lanczos interpolation with 8 taps", _RESIZE + "Lanczos", (_SIZE,)),
        FilterEntry(
            "equalize", "spreads the histogram of luma", _HISTOGRAM + "Equalize",
            (
                Param("clahe", "flag", False, "in tiles and limited in contrast (CLAHE)"),
                Param("clip", "number", 2.0, "CLAHE's limit: times the mean of a histogram's bins", 1, 255),
                Param("tiles", "integer", 8, "CLAHE's tiles in each direction", 1, 64),
                Param("strength", "number", 1.0, "how much of the result is taken", 0, 1),
            ),
        ),
        FilterEntry(
            "sobel", "edges: the gradient's magnitude", _EDGES + "Sobel",
            (Param("scale", "number", 1.0, "times the magnitude", 0, 100),), True,
        ),
        FilterEntry(
            "canny", "edges: thin lines", _EDGES + "Canny",
            (
                Param("low", "number", 50.0, "weak edges, in 8-bit levels of gradient", 0, 1443),
                Param("high", "number", 150.0, "strong edges", 0, 1443),
                Param("sigma", "number", 1.4, "blur before, in pixels; 0 for none", 0, 50),
            ),
        ),
        FilterEntry(
            "traditional", "sharpen, smooth, enlarge: laplacian, gaussian 5x5, bicubic x4",
            "streamvsr.filters.cv.traditional:Traditional",
            (Param("size", "size", 4.0, "how many times larger, or the size itself", 1, 64),),
        ),
    )
}  # fmt: skip
"""Name (without prefix) -> filter, in the order in which they are listed."""

_PIPE = "; or pipe through ffmpeg"
STAND_INS: Mapping[str, str] = {
    "ass": "nothing here draws text" + _PIPE,
    "blackframe": "blackdetect",
    "boxblur": "avgblur (boxblur=2 is avgblur=2), or mean",
    "colormatrix": "colorspace",
    "cropdetect": "bbox",
    "delogo": "removelogo",
    "derain": "vsr",
    "drawtext": "nothing here draws text" + _PIPE,
    "eq": "colorlevels, curves, hue=b=:s= or lutyuv",
    "fspp": "deblock",
    "histeq": "equalize",
    "hqdn3d": "atadenoise, nlmeans=s=1.5 or fftdnoiz",
    "interlace": "weave after select, or separatefields",
    "kerndeint": "bwdif or yadif",
    "libplacebo": "scale, tonemap or deband",
    "mcdeint": "bwdif or estdif",
    "mpdecimate": "decimate, or select='gt(scene,0.001)'",
    "nnedi": "bwdif or estdif",
    "ocr": "nothing here reads text" + _PIPE,
    "owdenoise": "nlmeans or bm3d",
    "perspective": "lenscorrection or v360" + _PIPE,
    "phase": "setfield or fieldorder",
    "pp": "deblock",
    "pp7": "deblock",
    "pullup": "fieldmatch,decimate or detelecine",
    "repeatfields": "telecine or detelecine",
    "sab": "bilateral",
    "smartblur": "bilateral, or unsharp with a negative amount",
    "spp": "deblock",
    "sr": "vsr",
    "stereo3d": "v360, or crop and scale",
    "subtitles": "nothing here draws text" + _PIPE,
    "super2xsai": "xbr, hqx or epx",
    "tinterlace": "weave, or separatefields",
    "uspp": "deblock",
    "vaguedenoiser": "nlmeans or fftdnoiz",
    "vidstabdetect": "deshake",
    "vidstabtransform": "deshake",
    "zscale": "scale (with flags=accurate_rnd+full_chroma_int), colorspace or tonemap",
}
"""FFmpeg's filters that PyAV's builds leave out, and what does nearly the same."""


def find_entry(name: str) -> FilterEntry | None:
    """Our filter of that name, as it stands in a chain; None where the name is FFmpeg's or nobody's."""
    bare = name.removeprefix(OURS)
    entry = ENTRIES.get(bare)
    return None if entry is None or (entry.prefixed and bare == name) else entry


def entry_names() -> tuple[str, ...]:
    return tuple(entry.written for entry in ENTRIES.values())
