"""Do the stages overlap? Decode, model and encode are each made to take 10 ms a frame; printed beside the serial sum.

python benchmarks/bench_overlap.py
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from streamvsr.frames import PIXEL_FORMATS, Frame, Packet
from streamvsr.pipeline.ring import PacketSpool, Ring
from streamvsr.pipeline.runner import Run
from streamvsr.pipeline.stages import FilterStage, SinkStage, SourceStage

FRAMES = 300
SECONDS = 0.010


class SlowSource:
    def __iter__(self) -> Iterator[Frame | Packet]:
        picture = np.zeros((180, 320), np.uint8)
        for pts in range(FRAMES):
            time.sleep(SECONDS)
            yield Frame((picture,), PIXEL_FORMATS["gray"], pts, Fraction(1, 25))

    def stop(self) -> None: ...
    def close(self) -> None: ...


class SlowModel:
    def push(self, frame: Frame) -> Iterator[Frame]:
        time.sleep(SECONDS)
        yield frame

    def flush(self) -> Iterator[Frame]:
        return iter(())

    def close(self) -> None: ...


class SlowSink:
    spool: PacketSpool | None = None

    def write_frame(self, frame: Frame) -> None:
        time.sleep(SECONDS)

    def finish(self, until: Fraction | None = None) -> None: ...
    def abort(self) -> None: ...


def main() -> None:
    rings = [Ring("decoded"), Ring("finished")]
    run = Run(
        SourceStage(SlowSource(), rings[0], None),
        [FilterStage("model", SlowModel(), rings[0], rings[1], discard_on_stop=True)],
        SinkStage(SlowSink(), rings[1]),
        rings,
    )
    begin = time.perf_counter()
    run.start()
    run.wait()
    run.result()
    piped = time.perf_counter() - begin

    source, model, sink = SlowSource(), SlowModel(), SlowSink()
    begin = time.perf_counter()
    for item in source:
        assert isinstance(item, Frame)
        for frame in model.push(item):
            sink.write_frame(frame)
    serial = time.perf_counter() - begin
    print(f"{FRAMES} frames, {SECONDS * 1000:.0f} ms in each of 3 stages")
    print(f"pipeline {piped:.2f} s, one after the other {serial:.2f} s, ratio {serial / piped:.2f} (3.00 is the limit)")


if __name__ == "__main__":
    main()
