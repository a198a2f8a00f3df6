"""What a cut changes: the frames behind it with so many frames of context, against a run without any cut.

    python benchmarks/bench_cuts.py [--model rt] [--clip demo/city_180p.mp4] [--cut 50] [--frames 12]

Prints, for each number of context frames, the largest and the mean difference in codes of 255 over the frames behind
the cut. Resuming and workers use ``ModelInfo.context`` frames.
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

import numpy as np

from streamvsr.config import InputOptions, ModelOptions, OutputOptions
from streamvsr.frames import Frame
from streamvsr.media.demux import open_source
from streamvsr.models import registry
from streamvsr.vsr.filter import VsrFilter
from streamvsr.vsr.repeats import Repeats
from streamvsr.vsr.segmented import SegmentedVsr

CONTEXTS = (0, 5, 10, 20, 24, 40)
AFTER = 2


def run(name: str, frames: list[Frame], info: object, cut: int, context: int | None) -> list[Frame]:
    model = registry.load_model(registry.select(name))
    vsr = Repeats(VsrFilter(model, ModelOptions(scene_threshold=0)))
    segmented = SegmentedVsr(vsr)
    if context is not None:
        segmented.cut([(frames[cut].seconds, context, AFTER)], start=frames[cut].seconds)
    segmented.configure(info)  # type: ignore[arg-type]
    begin = 0 if context is None else max(0, cut - context)
    made = [out for frame in frames[begin:] for out in segmented.push(frame)]
    return [*made, *segmented.flush()]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="rt")
    parser.add_argument("--clip", default=str(Path(__file__).parent.parent / "demo" / "city_180p.mp4"))
    parser.add_argument("--cut", type=int, default=50)
    parser.add_argument("--frames", type=int, default=12)
    a = parser.parse_args()
    source = open_source(InputOptions(a.clip), OutputOptions())
    frames = list(islice((item for item in source if isinstance(item, Frame)), a.cut + a.frames))
    source.close()
    whole = run(a.model, frames, source.info.video, a.cut, None)[a.cut :]
    print(f"{a.model}, {Path(a.clip).name}, {a.frames} frames from frame {a.cut} on")
    print("context  largest     mean   (codes of 255)")
    for context in CONTEXTS:
        if context > a.cut:
            continue
        parts = run(a.model, frames, source.info.video, a.cut, context)
        apart = [
            np.abs(p.astype(float) - q) * 255 / f.format.peak
            for f, g in zip(whole, parts, strict=True)
            for p, q in zip(f.planes, g.planes, strict=True)
        ]
        print(f"{context:7d}  {max(x.max() for x in apart):7.2f}  {np.mean([x.mean() for x in apart]):7.4f}")


if __name__ == "__main__":
    main()
