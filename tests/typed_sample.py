"""A program that embeds streamvsr, read by the type checker alone (`make check`): the Python interface under strict."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

import streamvsr
from streamvsr.config import LiveOptions


def shown(progress: streamvsr.Progress) -> None:
    print(progress.frames_out, progress.frames_total, round(progress.fps, 1))


def own_frames(count: int) -> Iterator[NDArray[np.uint8]]:
    for number in range(count):
        yield np.full((90, 160, 3), number, np.uint8)


def iterate(path: str) -> list[Fraction]:
    clip = streamvsr.open(path, start="1/2", frames=10).filter(
        "bwdif=0:-1:1,vsr", model="rt", max_seq_len=20, tile="auto"
    )
    with iter(clip) as frames:
        print(frames.info.width, frames.info.frame_rate)
        return [frame.seconds for frame in frames if frame.numpy().shape == frame.torch().shape]


async def write(path: str, out: str) -> str:
    clip = streamvsr.open(path, live=LiveOptions(max_latency=1.0)).filter()
    clip.write(out, on_progress=shown, crf=20, overwrite=True)
    job = clip.start(out, overwrite=True)
    async for progress in job:
        shown(progress)
    await job
    job.stop()
    job.cancel()
    return "\n".join(job.notes) if job.wait(1.0) else repr(job.result())


def enlarge(array: NDArray[np.uint8]) -> NDArray[Any]:
    streamvsr.from_frames(own_frames(5), rate=25).filter("vsr", strength=0.5).write("mine.mp4")
    try:
        return streamvsr.upscale(array, model="rt-real")
    except streamvsr.StreamvsrError as error:
        print(error)
        raise


def wrong() -> None:
    """Each of these is an error to the checker; one that it misses is an unnecessary comment, and that is one too."""
    streamvsr.open("in.mp4").filter("vsr", modle="rt")  # pyright: ignore[reportCallIssue]
    streamvsr.open("in.mp4").filter("vsr", precision="fp8")  # pyright: ignore[reportArgumentType]
    streamvsr.open("in.mp4").write("out.mp4", crff=20)  # pyright: ignore[reportCallIssue]
    streamvsr.open("in.mp4", fromat="mp4")  # pyright: ignore[reportCallIssue]
    streamvsr.open("in.mp4", start=[1])  # pyright: ignore[reportArgumentType]
    streamvsr.from_frames(own_frames(5))  # pyright: ignore[reportCallIssue]
