"""Clips whose packets are overwritten, dropped, doubled or cut, and what ffmpeg decodes of them."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path
from typing import Any, Literal

import av

Damage = Literal["overwrite", "drop", "double", "cut", "end"]
KINDS: tuple[Damage, ...] = ("overwrite", "drop", "double", "cut", "end")

CODECS = {
    "h264": ("mkv", "-c:v libx264 -preset veryfast -g 12 -bf 2"),
    "hevc": ("mkv", "-c:v libx265 -preset ultrafast -g 12 -x265-params log-level=none"),
    "mpeg2": ("ts", "-c:v mpeg2video -g 12 -bf 2"),
    "mpeg4": ("mkv", "-c:v mpeg4 -g 12 -bf 2"),
    "vp8": ("mkv", "-c:v libvpx -g 12 -auto-alt-ref 1 -lag-in-frames 10 -deadline realtime"),
    "vp9": ("mkv", "-c:v libvpx-vp9 -g 12 -cpu-used 8 -deadline realtime"),
    "av1": ("mkv", "-c:v libsvtav1 -g 12 -preset 12"),
    "mjpeg": ("mkv", "-c:v mjpeg"),
}
"""A container that finds each packet whatever is in it, and the encoder's options in ffmpeg."""

FRAMES = 40


def make(ffmpeg: str, folder: Path, codec: str) -> Path:
    suffix, options = CODECS[codec]
    path = folder / f"{codec}.{suffix}"
    source = f"testsrc2=s=160x96:r=25:d={FRAMES / 25}"
    command = [ffmpeg, "-v", "error", "-y", "-f", "lavfi", "-i", source, *options.split(), "-pix_fmt", "yuv420p"]
    subprocess.run([*command, str(path)], check=True, capture_output=True)
    return path


def damage(source: Path, target: Path, kind: Damage, seed: int) -> None:
    """``source`` with some packets spoiled; ``end``: two of the last eight are overwritten."""
    rng = random.Random(seed)
    with av.open(str(source)) as given, av.open(str(target), "w") as out:
        video: Any = given.streams.video[0]
        stream: Any = out.add_stream_from_template(video, opaque=True)
        packets = [packet for packet in given.demux(video) if packet.size]
        late = kind == "end"
        chosen = rng.sample(range(len(packets) - 8 if late else 2, len(packets)), 2 if late else 3)
        for number, packet in enumerate(packets):
            for data in _spoiled(bytes(packet), kind, rng) if number in chosen else [bytes(packet)]:
                made = av.Packet(data)
                made.pts, made.dts, made.time_base = packet.pts, packet.dts, packet.time_base
                made.duration, made.is_keyframe = packet.duration, packet.is_keyframe
                made.stream = stream
                try:
                    out.mux(made)
                except av.FFmpegError:
                    continue  # A muxer that wants growing stamps refuses a doubled packet.


def _spoiled(data: bytes, kind: Damage, rng: random.Random) -> list[bytes]:
    if kind == "drop":
        return []
    if kind == "double":
        return [data, data]
    if kind == "cut":
        return [data[: rng.randrange(1, len(data))]]
    begin, length = rng.randrange(len(data)), rng.choice([1, 8, 200, 5000])
    noise = rng.randbytes(min(length, len(data) - begin))
    return [data[:begin] + noise + data[begin + len(noise) :]]


def decoded_by_ffmpeg(ffmpeg: str, path: Path, *options: str) -> list[int]:
    """The time stamps of the frames that ffmpeg decodes, in ticks of its stream. ``options``: of the demuxer."""
    command = [ffmpeg, "-v", "quiet", "-nostdin", *options, "-i", str(path), "-map", "0:v:0"]
    command += ["-fps_mode", "passthrough"]
    done = subprocess.run([*command, "-f", "framecrc", "-"], capture_output=True, text=True)
    return [int(line.split(",")[2]) for line in done.stdout.splitlines() if line and line[0] != "#"]
