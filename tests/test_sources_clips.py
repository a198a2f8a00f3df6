"""Sources over real recordings, judged by ffprobe, which shares no line with the FFmpeg that PyAV brings along."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import zlib
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import pytest

from streamvsr.config import InputOptions, OutputOptions
from streamvsr.errors import NoVideoError, SourceError
from streamvsr.frames import Frame, Packet
from streamvsr.media.demux import TrimmedSource, open_source
from streamvsr.media.demux import demuxer as demuxer_module
from streamvsr.media.demux.container import ContainerSource
from streamvsr.media.demux.stdin import open_stdin
from tests.outputs import unread, until

pytestmark = pytest.mark.io

EXPECTED = (
    "data stream",
    "HDR10+ data",
    "Dolby Vision data",
    "interlaced frames are de-interlaced",
    "a run enlarges one",
)
"""What is told of clips that are as they should be."""

VIDEO_STREAM = {"bt601_640x428.mov": 1, "nasa_multitrack.mp4": 3}
"""Where it is not the first. ffmpeg takes the larger one of nasa_multitrack, and so do we."""

CLIPS = """
audio_shorter.mp4 av1_720p.mp4 bbb_1080p_rot90.mp4 bt601_640x428.mov bt709_full_range.mp4 carphone_qcif_distorted.mp4
chapters.mp4 chapters_444.mkv city_cc0_405p.mpg deer_1080p.mp4 flower_cc0_540p.webm flv_720p.flv fragmented.mp4
hdr10_hevc_1080p_vfr.mp4 hlg_hevc_1080p_rot_short.mp4 interlaced_480i.mp4 mpeg2_1080p.ts mpeg4_mp3_960x400.avi
nasa_multitrack.mp4 odd_161x121.webm phone_station_240p60.mp4 sar_64_45_vp9.mp4 sub_srt.mkv sub_ssa.mkv sub_vobsub.mkv
vp9_10bit_240p.webm water_cc0_360p.mp4
"""


def read(path: Path, **options: Any) -> tuple[Any, list[Frame], list[Packet]]:
    source = open_source(InputOptions(path=str(path), **options), OutputOptions())
    try:
        items = list(source)
    finally:
        source.close()
    assert not [w for w in source.warnings if not any(known in w for known in EXPECTED)]
    return source.info, [i for i in items if isinstance(i, Frame)], [i for i in items if isinstance(i, Packet)]


@cache
def probe(ffprobe: str, path: Path, *options: str) -> Any:
    command = [ffprobe, "-v", "error", *options, "-of", "json", str(path)]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def checksum(data: bytes) -> str:
    # FFmpeg's CRC32 begins with all ones and does not turn the result over.
    return f"{zlib.crc32(data):08x}"


@pytest.mark.parametrize("name", CLIPS.split())
def test_frames_and_packets_are_those_that_ffprobe_sees(shared_data: Path, ffprobe: str, name: str) -> None:
    path = shared_data / "clips" / name
    info, frames, packets = read(path)
    stream = VIDEO_STREAM.get(name, 0)
    entries = ("-select_streams", str(stream), "-show_entries", "frame=best_effort_timestamp:stream=time_base")
    seen = probe(ffprobe, path, *entries)
    ticks = [f["best_effort_timestamp"] for f in seen["frames"]]
    base = Fraction(seen["streams"][0]["time_base"])
    assert len(frames) == len(ticks)
    offset = ticks[0] * base - frames[0].seconds
    assert [f.seconds + offset for f in frames] == [t * base for t in ticks]
    assert info.video.frames_hint is None or abs(info.video.frames_hint - len(ticks)) < 50

    packet_entries = ("-show_packets", "-show_data_hash", "crc32", "-show_entries", "stream=index,time_base")
    all_seen = probe(ffprobe, path, *packet_entries)
    bases = {s["index"]: Fraction(s["time_base"]) for s in all_seen["streams"]}
    for track in info.tracks:
        theirs = [p for p in all_seen["packets"] if p["stream_index"] == track.index]
        ours = [p for p in packets if p.track == track.index]
        assert [checksum(p.data) for p in ours] == [p["data_hash"].removeprefix("CRC32:") for p in theirs]
        for key in ("pts", "dts"):
            times = [None if (t := getattr(p, key)) is None else t * p.time_base for p in ours]
            expected = [None if (t := p.get(key)) is None else t * bases[track.index] - offset for p in theirs]
            # One offset for all streams: sound and picture keep their distance, to the tick.
            assert len(times) == len(expected)
            for got, want in zip(times, expected, strict=True):
                assert got == want or (got is not None and want is not None and abs(got - want) < bases[track.index])


@pytest.mark.parametrize(
    ("name", "start"),
    [
        *(("city_cc0_405p.mpg", "3.3"), ("mpeg2_1080p.ts", "1.3"), ("flower_cc0_540p.webm", "2.5")),
        *(("mpeg4_mp3_960x400.avi", "1.7"), ("run_400p.mp4", "2"), ("sub_srt.mkv", "0.9"), ("flv_720p.flv", "0.9")),
        *(("nasa_multitrack.mp4", "5"), ("vp9_10bit_240p.webm", "1.5"), ("water_cc0_360p.mp4", "3.1")),
    ],
)
def test_seeking_gives_what_reading_on_gives(shared_data: Path, name: str, start: str) -> None:
    path, begin = shared_data / "clips" / name, Fraction(start)
    info, whole, sound = read(path)
    _, frames, packets = read(path, start=begin)
    expected = [f for f in whole if f.seconds >= begin]
    assert [checksum(f.planes[0].tobytes()) for f in frames] == [checksum(f.planes[0].tobytes()) for f in expected]
    for got, want in zip(frames, expected, strict=True):
        assert abs(got.seconds + begin - want.seconds) <= Fraction(1, 1000)
    heard = {t.index for t in info.tracks if t.kind == "audio"}
    kept = [p.data for p in sound if p.track in heard and p.seconds is not None and p.seconds >= begin]
    assert [p.data for p in packets if p.track in heard] == kept


def test_what_is_told_of_a_clip(shared_data: Path) -> None:
    clips = shared_data / "clips"
    info = read(clips / "chapters.mp4")[0]
    assert [c.metadata["title"] for c in info.chapters]
    assert info.chapters[0].start == 0
    info = read(clips / "hdr10_hevc_1080p_vfr.mp4")[0]
    color = info.video.color
    assert (color.matrix, color.primaries, color.transfer, color.full_range) == (9, 9, 16, False)
    assert info.video.format.name == "yuv420p10le"
    assert read(clips / "sar_64_45_vp9.mp4")[0].video.sample_aspect_ratio == Fraction(64, 45)
    assert read(clips / "bbb_1080p_rot90.mp4")[0].video.rotation == -90
    full = read(clips / "bt709_full_range.mp4")[0].video
    assert (full.format.name, full.color.full_range) == ("yuv420p", True)
    tracks = read(clips / "nasa_multitrack.mp4")[0].tracks
    assert [t.kind for t in tracks] == ["audio", "subtitle", "audio", "subtitle"]
    assert all(t.disposition & 1 for t in tracks)
    assert read(clips / "sub_srt.mkv")[0].video.frame_rate == 60, "not the 1000 that the container claims"
    assert read(clips / "sub_vobsub.mkv")[0].video.frame_rate is None


def test_priming_samples_are_told(shared_data: Path) -> None:
    packets = read(shared_data / "clips" / "nasa_multitrack.mp4", duration=Fraction(1))[2]
    first = next(p for p in packets if p.track == 1)
    assert first.seconds is not None
    assert first.seconds < 0
    assert dict(first.side_data)["skip_samples"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("bad_container.mp4", SourceError), ("bad_vp9.webm", SourceError), ("opus_frag.mp4", NoVideoError)],
)
def test_bad_clips_end_in_one_clear_line(shared_data: Path, name: str, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=name) as caught:
        open_source(InputOptions(path=str(shared_data / "clips" / name)), OutputOptions())
    assert "\n" not in str(caught.value)
    assert name != "opus_frag.mp4" or "audio opus" in str(caught.value)


def test_a_truncated_file_gives_what_is_there(shared_data: Path, tmp_path: Path) -> None:
    data = (shared_data / "clips" / "flower_cc0_540p.webm").read_bytes()
    (tmp_path / "cut.webm").write_bytes(data[: len(data) // 2])
    _, frames, _ = read(tmp_path / "cut.webm")
    assert 30 < len(frames) < 149


@pytest.mark.parametrize("name", ["chapters_444.mkv", "phone_station_240p60.mp4"])
def test_a_file_that_was_cut_off_is_told(shared_data: Path, tmp_path: Path, name: str) -> None:
    clip, cut = shared_data / "clips" / name, tmp_path / name
    if name.endswith("mp4"):
        # With its index in front, as what is downloaded has it.
        with av.open(str(clip)) as before, av.open(str(cut), "w", options={"movflags": "faststart"}) as after:
            stream = after.add_stream_from_template(before.streams.video[0])
            for packet in before.demux(before.streams.video[0]):
                packet.stream = stream
                if packet.size:
                    after.mux(packet)
        clip = cut
    cut.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    for frames, expected in ((None, True), (3, False)):
        source = TrimmedSource(open_source(InputOptions(path=str(cut)), OutputOptions()), frames=frames)
        assert any(isinstance(item, Frame) for item in list(source))
        source.close()
        assert any("it has been cut off" in line for line in source.warnings) == expected


READ_STDIN = """
from streamvsr.config import InputOptions, OutputOptions
from streamvsr.frames import Frame
from streamvsr.media.demux import open_source
from streamvsr.media.demux.container import ContainerSource
print(sum(isinstance(i, Frame) for i in open_source(InputOptions(path="-"), OutputOptions())))
"""


@pytest.mark.parametrize("redirected", [False, True])
@pytest.mark.parametrize(("name", "count"), [("phone_station_240p60.mp4", 300), ("sub_srt.mkv", 30)])
def test_standard_input(shared_data: Path, name: str, count: int, redirected: bool) -> None:
    path = shared_data / "clips" / name
    root = Path(__file__).resolve().parent.parent
    with path.open("rb") as file:
        given: dict[str, Any] = {"stdin": file} if redirected else {"input": file.read()}
        done = subprocess.run([sys.executable, "-c", READ_STDIN], capture_output=True, cwd=root, **given)
    assert done.stdout.split() == [str(count).encode()], done.stderr


def test_stop_ends_a_wait_for_a_pipe(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = (shared_data / "clips" / "flower_cc0_540p.webm").read_bytes()
    read_end, write_end = os.pipe()
    monkeypatch.setattr(demuxer_module, "open_stdin", lambda: open_stdin(read_end))
    source: ContainerSource | None = None

    def give_and_stop() -> None:
        # Half of the file; then the pipe stays open, and the source waits for more.
        os.write(write_end, data[: len(data) // 2])
        until(lambda: source is not None and unread(read_end) == 0, "it does not read")
        assert source is not None
        source.stop()

    threading.Thread(target=give_and_stop, daemon=True).start()
    source = ContainerSource(InputOptions(path="-"), OutputOptions())
    frames = [i for i in source if isinstance(i, Frame)]
    assert 20 < len(frames) < 149
    source.close()
    os.close(read_end)
    os.close(write_end)
