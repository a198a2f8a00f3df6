"""Each property of a video, as it comes in and as it goes out, and what to say where the two differ.

What was asked for is not reported: a size, what ``-pix_fmt`` and ``-r`` say, what a filter is there for (``format``,
``setsar``, ``colorspace``). Colours count as kept where a player shows the same: converted to another matrix or range
they are reported, because 8 bits lose a little by it; so are tags of primaries and transfer where players, without
them, assume something else. Time stamps are rounded to the output's unit, as in ffmpeg.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

from streamvsr.config import OutputOptions
from streamvsr.fidelity.stages import Stage
from streamvsr.fidelity.trial import Written, read_back
from streamvsr.frames import PIXEL_FORMATS, Color, MediaInfo, PixelFormat, StreamInfo
from streamvsr.media.av_frames import resolve_color
from streamvsr.media.hdr import HLG, PQ, carried, is_kept
from streamvsr.media.mux import wanted_format

SAME_SHAPE = Fraction(1, 50)
"""MPEG-1 and GIF write the shape of a pixel as the nearest of a few, off by less than this."""

ASKING = {
    "format": ("format", "alphaextract", "alphamerge", "extractplanes", "colorkey", "chromakey", "monochrome", "geq"),
    "shape": ("setsar", "setdar", "scale"),
    "samples": ("setparams", "colorspace", "scale", "format", "tonemap", "setrange"),
    "tags": ("setparams", "colorspace", "tonemap"),
    "rotation": ("transpose", "rotate", "hflip", "vflip"),
}
"""Filters that are there to change a property: whoever names one has asked for it."""

COLOR_OPTIONS = frozenset({"colorspace", "color_range", "color_primaries", "color_trc", "chroma_sample_location"})
FIELD_FLAGS = ("ildct", "ilme", "tff=1", "bff=1", "interlaced=1", "field=")
"""Encoder options that ask for interlaced coding."""

IGNORED_TAGS = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "timecode"})
"""Container tags that describe the file that was read, in lower case, or that have a message of their own."""

SD_OR_HD = frozenset({1, 2, 4, 5, 6, 7})
"""H.273 primaries that players take untagged video for."""

SDR = frozenset({1, 2, 4, 5, 6, 7, 11, 12, 13, 14, 15})
"""Transfer characteristics that are shown as those of SDR."""

MATRICES = {1: "BT.709", 4: "FCC", 5: "BT.601", 6: "BT.601", 7: "SMPTE 240M", 9: "BT.2020", 10: "BT.2020 (constant)"}
PRIMARIES = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3", 8: "film", 10: "XYZ", 22: "EBU 3213"}
TRANSFERS = {PQ: "PQ (HDR)", HLG: "HLG (HDR)", 8: "linear"}


def losses(source: MediaInfo, stages: Sequence[Stage], output: OutputOptions) -> list[str]:
    """One line for each property that ``source`` has, nobody asked to change, and an output does not have.

    ``stages``: what became of it up to the encoder, in order. A few small frames are written to a temporary folder.
    """
    made = stages[-1].info if stages else source.video
    lines: list[str] = []
    for written in read_back(output, source.with_video(made)):
        lines += _Comparison(source, stages, output, written).lines()
    return list(dict.fromkeys(lines))


class _Comparison:
    def __init__(self, source: MediaInfo, stages: Sequence[Stage], output: OutputOptions, written: Written) -> None:
        self._source, self._stages, self._output, self._written = source, stages, output, written
        self._made = stages[-1].info if stages else source.video
        named = {name for stage in stages for name in stage.filters}
        self._asked = {what for what, filters in ASKING.items() if named.intersection(filters)}
        if output.pixel_format is not None:
            self._asked |= {"format", "samples"}
        if COLOR_OPTIONS.intersection(key.partition(":")[0] for key in output.options):
            self._asked |= {"samples", "tags"}
        self._out = written.media.video

    @property
    def _through(self) -> bool:
        """Whether the side data of frames reaches the encoder."""
        return all(stage.keeps_frame_data for stage in self._stages)

    def lines(self) -> Iterator[str]:
        yield from self._samples()
        if self._written.tried:
            yield from self._colors()
            yield from self._geometry()
        yield from self._mastering()
        yield from self._fields()
        yield from self._beside()

    def _expected(self, what: str) -> StreamInfo:
        return self._made if what in self._asked else self._source.video

    def _culprit(self, lost: Callable[[PixelFormat], bool]) -> str:
        """The output, or the first step of the chain that has lost what the output would hold."""
        before = self._source.video
        for stage in self._stages:
            if not lost(before.format) and lost(stage.info.format):
                return self._written.codec if lost(self._wanted(before)) else stage.name
            before = stage.info
        return self._written.codec if lost(self._wanted(before)) else self._written.name

    def _wanted(self, info: StreamInfo) -> PixelFormat:
        return PIXEL_FORMATS[wanted_format(self._written.output, info)]

    def _samples(self) -> Iterator[str]:
        if "format" in self._asked and self._output.pixel_format is not None:
            return
        had, has = self._expected("format").format, self._out.format
        if had.alpha and not has.alpha:
            yield f"{self._culprit(lambda f: not f.alpha)} cannot keep transparency: it is left out{_ALPHA_HINT}"
        if has.bits < had.bits:
            by = self._culprit(lambda f: f.bits < had.bits)
            yield f"{by} holds {has.bits} of the {had.bits} bits here; libx264, libx265 and ffv1 hold more"
        if self._written.codec == "gif":
            yield "gif holds 256 colours: the frames' own are brought to the nearest of them; .webp and .png hold all"
        elif had.family != "gray" == has.family:
            yield f"{self._culprit(lambda f: f.family == 'gray')} holds grey only: colours are left out"
        elif had.family != "gray" and (lost := _chroma(had, has)):
            by = self._culprit(lambda f: bool(_chroma(had, f)))
            yield f"{by} holds {lost} here: -pix_fmt says otherwise, for encoders and players that can"
        odd = self._made.width % 2 or self._made.height % 2
        if odd and "420" in self._made.format.name and "420" not in has.name and has.family == "yuv":
            yield (
                f"{self._written.codec} holds {self._made.width}x{self._made.height} as {has.name} only, which few "
                "players play: use -vf scale or crop for an even size"
            )

    def _colors(self) -> Iterator[str]:
        if "gray" in (self._out.format.family, self._made.format.family):
            return
        had, has, by = self._shown(self._source.video.color), self._out.color, self._written.name
        families = {self._source.video.format.family, self._out.format.family}
        if families == {"yuv"} and "samples" not in self._asked:
            if _matrix(had) != _matrix(has):
                names = MATRICES.get(had.matrix, str(had.matrix)), MATRICES.get(has.matrix, str(has.matrix))
                yield f"{by} cannot state the matrix {names[0]}: colours are converted to {names[1]}"
            if had.full_range != has.full_range:
                span = "full" if had.full_range else "limited"
                other = "limited" if had.full_range else "full"
                yield f"{by} cannot state {span} range: samples are converted to {other} range"
        if "tags" in self._asked:
            return
        lost = []
        if had.primaries != has.primaries and not {had.primaries, has.primaries} <= SD_OR_HD:
            lost.append(f"primaries {PRIMARIES.get(had.primaries, str(had.primaries))}")
        if had.transfer != has.transfer and not {had.transfer, has.transfer} <= SDR:
            lost.append(f"transfer {TRANSFERS.get(had.transfer, str(had.transfer))}")
        if lost:
            what = "pictures of this kind" if not self._written.container else by
            yield f"{what} cannot state the {' and the '.join(lost)}: players show other colours{_HDR_HINT}"

    def _shown(self, color: Color) -> Color:
        video = self._source.video
        return resolve_color(color, video.width, video.height)

    def _geometry(self) -> Iterator[str]:
        # Networks and FFmpeg's scale change the shape of a pixel along with the size.
        ratio, has = self._made.sample_aspect_ratio, self._out.sample_aspect_ratio
        if abs(ratio / has - 1) > SAME_SHAPE:
            where = self._written.name if self._written.container else "pictures"
            yield (
                f"{where} cannot state that pixels are {ratio.numerator}:{ratio.denominator}: players show them "
                "square; -vf vsr,scale=iw*sar:ih,setsar=1 makes them so"
                + (_SHAPE_HINT if self._written.container else "")
            )
        turned, kept = ((info.rotation % 360, info.mirrored) for info in (self._made, self._out))
        if turned not in ((0, False), kept):
            mirrored = " and the mirroring" if self._made.mirrored else ""
            yield (
                f"{self._written.container or 'pictures'} cannot hold the rotation by {self._made.rotation} degrees"
                f"{mirrored}: it is lost; -autorotate turns the pixels"
            )

    def _mastering(self) -> Iterator[str]:
        if self._source.video.mastering is None or self._out.mastering is not None:
            return
        if not is_kept(replace(self._made, mastering=self._source.video.mastering)):
            yield "the HDR mastering data are left out: the picture is not HDR any more"
        else:
            yield (
                f"{self._written.codec} cannot be told the HDR mastering data: they are left out (libx265, libx264 and "
                "libsvtav1 keep them)"
            )

    def _fields(self) -> Iterator[str]:
        written = any(flag in value for value in self._output.options.values() for flag in FIELD_FLAGS)
        written = written or (self._through and carried("fields", self._written.codec))
        if self._made.interlaced and not self._out.interlaced and not written:
            yield (
                f"{self._written.codec} writes the two fields of a frame as one: players will not de-interlace them; "
                "-vf bwdif,... does, and -flags +ildct+ilme keeps the fields where an encoder can"
            )

    def _beside(self) -> Iterator[str]:
        # What is stated once for all, as Matroska does with stereo 3D, is there when it is read back.
        stated = self._written.media.frame_data if self._written.tried else ()
        gone = [
            words
            for words in self._source.frame_data
            if words not in stated and not (self._through and carried(words, self._written.codec))
        ]
        if gone:
            yield f"{' and '.join(gone)} in the frames are left out: {self._written.codec} cannot be given them"
        if not self._written.tried:
            return
        had, has = self._source, self._written.media
        where = self._written.container or "pictures"
        code = _timecode(had)
        if code is not None and _timecode(has) is None:
            yield f"{where} cannot hold the time code {code}: it is lost"
        if len(has.chapters) < len(had.chapters):
            yield f"{where} cannot hold chapters: {len(had.chapters)} left out"
        found = {key.lower() for key in has.metadata}
        said = {given.partition("=")[0].lower() for given in self._output.metadata}
        tags = sorted(key for key in had.metadata if key.lower() not in found | IGNORED_TAGS | said)
        if tags:
            yield f"{where} has no place for these tags: {', '.join(tags)}"


_ALPHA_HINT = "; .webm, -c:v ffv1 in .mkv, -c:v prores_ks or qtrle in .mov keep it"
_HDR_HINT = "; H.264, H.265 and AV1 state them, and so do .mp4 and .mkv"
_SHAPE_HINT = "; H.264 and H.265 keep it, and so does .mp4"


def _chroma(had: PixelFormat, has: PixelFormat) -> str:
    """In words, the chroma that ``has`` lacks."""
    if has.family != "yuv":
        return ""
    full = (0, 0) if had.family == "rgb" else (had.log2_chroma_w, had.log2_chroma_h)
    if has.log2_chroma_w <= full[0] and has.log2_chroma_h <= full[1]:
        return ""
    words = {(0, 0): "4:4:4", (1, 0): "4:2:2", (1, 1): "4:2:0", (0, 1): "4:4:0"}
    before = "RGB" if had.family == "rgb" else words[full]
    return f"chroma of {words[has.log2_chroma_w, has.log2_chroma_h]} instead of {before}"


def _matrix(color: Color) -> int:
    return 5 if color.matrix == 6 else color.matrix


def _timecode(media: MediaInfo) -> str | None:
    tags = {**media.metadata, **media.video_metadata}
    return next((value for key, value in tags.items() if key.lower() == "timecode"), None)
