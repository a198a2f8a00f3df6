"""Single moments of an input, with a few frames before them for networks that carry a state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np

from streamvsr.config import Config, ModelOptions, OutputOptions
from streamvsr.errors import NoVideoError
from streamvsr.filters.compose import compose, has_field_filter, keeps_count
from streamvsr.filters.language import parse
from streamvsr.filters.registry import VSR
from streamvsr.footage.sample import Footage
from streamvsr.frames import Frame, MediaInfo, StreamInfo
from streamvsr.media.color.arrays import Pixels, rgb_array
from streamvsr.media.demux import Source, open_source
from streamvsr.reading import UNTOUCHED, open_reader

WARM_UP_FRAMES = 5
"""Frames before the one that is shown: a carried state has settled by then."""


class DecodedFrames(Source):
    """Frames that an earlier reader gave, once more. It may be read again after it was closed."""

    def __init__(self, video: StreamInfo, frames: Sequence[Frame]) -> None:
        super().__init__()
        self.info, self._frames = MediaInfo(video), frames

    def __iter__(self) -> Iterator[Frame]:
        yield from self._frames

    def last(self) -> DecodedFrames:
        """The last frame alone."""
        return DecodedFrames(self.info.video, self._frames[-1:])

    def close(self) -> None:
        """There is nothing to let go of."""


class Moment:
    """The frame ``WARM_UP_FRAMES`` behind ``start`` seconds of an input, or the last one before, and those between.

    They are decoded once, however often they are asked for: at 4K, or far from a key frame, that is most of the time.
    """

    def __init__(self, config: Config, start: Fraction, warn: Callable[[str], None], chain: str = VSR) -> None:
        """``chain``: see ``frame``; where it changes the number of frames or their fields, the input is read each time
        instead. Raises what reading the input raises, and ``NoVideoError`` where there is no frame."""
        begin = (config.input.start or Fraction(0)) + start
        self._config = replace(config, input=replace(config.input, start=begin or None))
        self._warn = warn
        self._decoded: DecodedFrames | None = None
        steps = compose(parse(chain))
        if keeps_count(steps) and not has_field_filter(steps):
            whole = OutputOptions(autorotate=True, no_audio=True, no_subtitles=True, no_data=True)
            source = open_source(self._config.input, whole, config.live)
            source.skim()
            self._decoded = DecodedFrames(*self._run(None, UNTOUCHED, source))

    def frame(self, chain: str | None, model: ModelOptions, *, alone: bool = False) -> Pixels:
        """(rows, columns, 3) uint8 R'G'B'. ``chain``: as ``-vf``; ``alone``: it looks at no other frame than this one.
        Raises as the constructor does."""
        source = self._decoded.last() if alone and self._decoded else self._decoded
        return rgb_array(self._run(chain, model, source)[1][-1], deep=False)

    def _run(self, chain: str | None, model: ModelOptions, source: Source | None) -> tuple[StreamInfo, list[Frame]]:
        output = OutputOptions(frames=WARM_UP_FRAMES + 1, filters=chain)
        with closing(open_reader(replace(self._config, output=output, model=model), self._warn, source)) as reader:
            frames = list(reader)
        if not frames:
            path, start = self._config.input.path, self._config.input.start or 0
            raise NoVideoError(f"{path}: there is no frame at {float(start):.2f} s")
        return reader.media.video, frames

    def liveliest(self, footage: Footage, size: tuple[int, int]) -> tuple[int, int]:
        """The left upper corner of the part (width, height) in which most is to be seen, good or bad."""
        grey = cv2.cvtColor(self.frame(None, UNTOUCHED, alone=True), cv2.COLOR_RGB2GRAY).astype(np.float32)
        energy = cv2.boxFilter(np.abs(cv2.Laplacian(grey, cv2.CV_32F)), -1, size, normalize=True)
        height, width = grey.shape
        free = energy[size[1] // 2 : height - size[1] // 2 + 1, size[0] // 2 : width - size[0] // 2 + 1]
        y, x = np.unravel_index(int(np.argmax(free)), free.shape) if free.size else (0, 0)
        # Codecs' blocks and chroma samples stay whole.
        return min(int(x), max(0, footage.width - size[0])) & ~1, min(int(y), max(0, footage.height - size[1])) & ~1


def png(pixels: Pixels) -> bytes:
    _, data = cv2.imencode(".png", np.ascontiguousarray(pixels[..., ::-1]))
    return bytes(data)
