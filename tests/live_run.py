"""streamvsr as a process of its own beside a server, and what its recording shows."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import av

from tests.conftest import ROOT
from tests.outputs import Shown, numbers

QUICK = ["--model", "identity", "-preset", "ultrafast", "-y"]
RATE = 25


class Streamvsr:
    """A running command line; its lines on standard error with the moment when they came."""

    def __init__(self, *words: str, **popen: Any) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "streamvsr", *words]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, **popen)
        self.lines: list[tuple[float, str]] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self.lines.append((time.monotonic(), line.rstrip()))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    @property
    def text(self) -> str:
        return "\n".join(line for _, line in self.lines)

    def wait_for(self, pattern: str, seconds: float = 120, *, count: int = 1) -> None:
        """Wait until so many lines match."""
        until = time.monotonic() + seconds
        with self._changed:
            while len(re.findall(pattern, self.text)) < count:
                left = until - time.monotonic()
                assert left > 0, f"no {pattern!r} in:\n{self.text}"
                assert self._reader.is_alive(), f"it ended without {pattern!r}:\n{self.text}"
                self._changed.wait(left)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, seconds: float = 120) -> int:
        """The exit code."""
        code = self.process.wait(seconds)
        self._reader.join(10)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(60)
        self._reader.join(10)
        assert self.process.stderr is not None
        self.process.stderr.close()

    @property
    def dropped(self) -> int:
        """As the last line with numbers has it."""
        return int(re.findall(r"dropped=(\d+)", self.text)[-1])


@dataclass
class Recording:
    """A recording of ``make_clip``'s clip, judged by ffprobe for times and by its painted numbers for frames."""

    times: list[float]
    numbers: list[int]
    sound: list[tuple[float, str]]
    """(time, hash) of each audio packet."""
    clip_sound: dict[str, float]
    """Hash of each of the clip's audio packets: its time there."""

    def parts(self, gap: float = 1.0) -> list[range]:
        """Frames without a gap between them."""
        cuts = [n for n in range(1, len(self.times)) if self.times[n] - self.times[n - 1] > gap]
        return [range(a, b) for a, b in zip([0, *cuts], [*cuts, len(self.times)], strict=True)]

    def gaps(self) -> list[float]:
        return [
            self.times[b.start] - self.times[a.stop - 1] for a, b in zip(self.parts(), self.parts()[1:], strict=False)
        ]

    def missing(self) -> int:
        """Frames that the painted numbers show to be missing inside the parts."""
        steps = [(self.numbers[n + 1] - self.numbers[n]) % 256 for part in self.parts() for n in part[:-1]]
        return sum(step - 1 for step in steps)

    def sync(self) -> list[float]:
        """For each part by how many seconds, in the median, sound and picture have moved against each other."""
        found = []
        for part in self.parts():
            begin, end = self.times[part.start], self.times[part.stop - 1]
            # The number tells the frame's time in the clip up to 256 frames, and so does the sound of that moment.
            picture = begin - self.numbers[part.start] / RATE
            moved = sorted(
                (t - self.clip_sound[h] - picture + 5.12) % 10.24 - 5.12
                for t, h in self.sound
                if begin <= t <= end and h in self.clip_sound
            )
            assert moved, "a part without sound"
            found.append(moved[len(moved) // 2])
        return found


def recording(ffprobe: str, path: Path, clip: Path) -> Recording:
    shown, original = Shown(ffprobe, path), Shown(ffprobe, clip)
    sounds = []
    for one in (shown, original):
        (stream,) = one.of("audio") or [None]
        base = Fraction(stream["time_base"]) if stream else Fraction(1)
        packets = one.packets(stream) if stream else []
        sounds.append([(float(int(p["pts"]) * base), p["data_hash"]) for p in packets])
    with av.open(str(path)) as container:
        decoded = sum(1 for _ in container.decode(video=0))
    times = [float(t) for t in shown.times(shown.of("video")[0])]
    assert decoded == len(times), "not every frame of the output can be decoded"
    assert all(b > a for a, b in pairwise(times)), "time stamps do not increase"
    assert all(b > a for (a, _), (b, _) in pairwise(sounds[0])), "those of the sound do not increase"
    return Recording(times, numbers(path), sounds[0], {h: t for t, h in sounds[1]})
