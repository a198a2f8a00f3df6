"""How well scene cuts are found: true cuts, joins, motion, flashes and fades; beside PySceneDetect if it is here.

    python benchmarks/bench_scenes.py [CLIP...] [--seed 2]

Each clip is read at 320x180, as it is and with every second and third frame alone (fast motion). ``TRUE_CUTS`` lists
the cuts that were seen by eye in the clips of the table in docs/engine.md; other clips are taken to have none.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from material import CLIPS, need

from streamvsr.frames import PIXEL_FORMATS, Color, Frame
from streamvsr.vsr.scenes import SceneDetector

TRUE_CUTS = {
    "bbb_480p_30s": {285, 378},
    "city_cc0_405p": {116},
    "nasa_multitrack": {202},
    "phone_roof_360p": {18, 276},
    "sar_64_45_vp9": {6},
    "vp9_10bit_240p": {42, 69},
}
DOUBTFUL = {"phone_roof_360p": {45, 303}}
"""The camera changes lenses: counted neither way."""
FRAMES = 400

Picture = np.ndarray
Sequence_ = tuple[str, list[Picture], set[int], set[int]]


def read(path: Path) -> list[Picture]:
    found: list[Picture] = []
    with av.open(str(path)) as file:
        for frame in file.decode(video=0):
            found.append(frame.reformat(width=320, height=180, format="gray", interpolation="AREA").to_ndarray())
            if len(found) == FRAMES:
                break
    return found


def between(marks: set[int], numbers: Sequence[int]) -> set[int]:
    return {at for at, (a, b) in enumerate(pairwise(numbers), start=1) if any(a < mark <= b for mark in marks)}


def quiet(name: str, start: int, count: int) -> bool:
    marks = TRUE_CUTS.get(name, set()) | DOUBTFUL.get(name, set())
    return not any(start < mark < start + count for mark in marks)


def material(clips: dict[str, list[Picture]], seed: int) -> list[Sequence_]:
    chance, sequences = random.Random(seed), []
    for name, clip in clips.items():
        for step in (1, 2, 3):
            numbers = range(0, len(clip), step)
            pictures = [clip[i] for i in numbers]
            true, doubtful = between(TRUE_CUTS.get(name, set()), numbers), between(DOUBTFUL.get(name, set()), numbers)
            sequences.append((f"{name}/{step}", pictures, true, doubtful))
    joined: list[Picture] = []
    cuts: set[int] = set()
    last = ""
    while len(cuts) < 400:
        name, count = chance.choice(list(clips)), chance.randint(6, 12)
        start = chance.randrange(max(1, len(clips[name]) - count))
        if name == last or len(clips[name]) < count or not quiet(name, start, count):
            continue
        cuts |= {len(joined)} if joined else set()
        joined, last = joined + clips[name][start : start + count], name
    sequences.append(("joined", joined, cuts, set()))
    for name, clip in clips.items():
        part = clip[:60]
        if quiet(name, 0, len(part)):
            gain, lift = chance.uniform(1.6, 3), chance.uniform(20, 80)
            lit = [np.clip(p * gain + lift, 0, 255).astype(np.uint8) if i % 10 == 5 else p for i, p in enumerate(part)]
            sequences.append((f"flashes in {name}", lit, set(), set()))
    for number in range(60):
        (one, a), (two, b) = chance.sample(list(clips.items()), 2)
        length = chance.randint(10, 25)
        if min(len(a), len(b)) < length + 6 or not quiet(one, 0, length + 6) or not quiet(two, 0, length + 6):
            continue
        weights = [(i + 1) / (length + 1) for i in range(length)]
        if number % 2:
            middle = [a[3 + i] * (1 - w) + b[3 + i] * w for i, w in enumerate(weights)]
            tail = b[3 + length : 6 + length]
        else:
            middle, tail = [a[3 + i] * (1 - w) + 16 * w for i, w in enumerate(weights)], []
        pictures = [*a[:3], *(p.astype(np.uint8) for p in middle), *tail]
        sequences.append((f"{'dissolve' if number % 2 else 'fade'} {number}", pictures, set(), set()))
    return sequences


def ours(pictures: list[Picture], threshold: float) -> set[int]:
    detector, found = SceneDetector(threshold), set()
    gray, color = PIXEL_FORMATS["gray"], Color(full_range=True)
    for number, picture in enumerate(pictures):
        if detector.push(Frame((picture,), gray, number, Fraction(1, 25), 1, color)):
            found.add(number - 1)
    return found | ({len(pictures) - 1} if detector.last() else set())


def theirs(make: Callable[[], object]) -> Callable[[list[Picture]], set[int]]:
    from scenedetect.common import FrameTimecode

    def detect(pictures: list[Picture]) -> set[int]:
        detector, found = make(), set()
        for number, picture in enumerate(pictures):
            bgr = np.repeat(picture[..., None], 3, axis=2)
            found |= {cut.frame_num for cut in detector.process_frame(FrameTimecode(number, 25.0), bgr)}  # type: ignore[attr-defined]
        return found

    return detect


def report(name: str, detect: Callable[[list[Picture]], set[int]], sequences: list[Sequence_], show: bool) -> None:
    right = false = missed = frames = 0
    begin = time.perf_counter()
    wrong: list[str] = []
    for what, pictures, cuts, doubtful in sequences:
        found = detect(pictures) - doubtful
        frames += len(pictures)
        right, false, missed = right + len(found & cuts), false + len(found - cuts), missed + len(cuts - found)
        wrong += [f"    {what}: false at {at}" for at in sorted(found - cuts)]
        wrong += [f"    {what}: missed at {at}" for at in sorted(cuts - found)]
    spent = (time.perf_counter() - begin) / frames * 1000
    precision, recall = right / max(1, right + false), right / max(1, right + missed)
    print(f"{name:34} {right:5} {false:5} {missed:5}   {precision:.3f}  {recall:.3f}  {spent:.3f}", flush=True)
    if show:
        print("\n".join(wrong))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", type=Path, help="default: the short ones of ../shared/data")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--show", action="store_true", help="list what went wrong")
    options = parser.parse_args()
    if not options.clips:
        need(CLIPS)
        options.clips = [p for p in sorted(CLIPS.glob("*.*")) if not p.name.startswith(("long_", "bad_", "opus_"))]
    sequences = material({path.stem: read(path) for path in options.clips}, options.seed)
    print(f"{sum(len(s[1]) for s in sequences)} frames, {sum(len(s[2]) for s in sequences)} cuts")
    print(f"{'detector':34} right false missed precision recall  ms/frame")
    for threshold in (5.0, 8.0, 12.0):
        report(f"streamvsr {threshold:g}", lambda p, t=threshold: ours(p, t), sequences, options.show)  # type: ignore[misc]
    try:
        from scenedetect.detectors import AdaptiveDetector, ContentDetector
    except ImportError:
        return
    report("PySceneDetect content 27", theirs(lambda: ContentDetector(27, 1)), sequences, False)
    report("PySceneDetect adaptive", theirs(lambda: AdaptiveDetector(min_scene_len=1)), sequences, False)
    best = theirs(lambda: AdaptiveDetector(3.0, 1, 1, 10))
    report("PySceneDetect adaptive, 1 each side", best, sequences, False)


if __name__ == "__main__":
    main()
