"""One contract for every source over every kind of input; frames carry their number, so lost or swapped ones show."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from streamvsr.config import InputOptions, OutputOptions
from streamvsr.errors import NoVideoError, SourceError, UsageError
from streamvsr.frames import Frame, Packet
from streamvsr.media.demux import Source, TrimmedSource, open_source, output_range
from streamvsr.media.demux import demuxer as demuxer_module
from streamvsr.media.demux.container import ContainerSource
from streamvsr.media.demux.image_sequence import ImageSequenceSource
from streamvsr.media.demux.stdin import PipeReader, SpoolReader, open_stdin

pytestmark = pytest.mark.io

COUNT, WIDTH, HEIGHT, RATE = 24, 64, 48, 25
TICK = Fraction(1, RATE)


def painted(number: int, width: int = WIDTH) -> np.ndarray:
    """A picture with its number in eight bars, dark for 0 and bright for 1."""
    luma = np.repeat([40 + 170 * (number >> bit & 1) for bit in range(8)], width // 8).astype(np.uint8)
    return np.tile(luma, (HEIGHT, 1))


def number_of(frame: Frame) -> int:
    bars = frame.planes[0].astype(float).mean(axis=0).reshape(8, -1).mean(axis=1) > 125 * (frame.format.peak / 255)
    return sum(1 << bit for bit in range(8) if bars[bit])


def write_movie(
    path: Path,
    *,
    codec: str = "libx264",
    sound: str | None = "aac",
    pts: list[int] | None = None,
    width: int = WIDTH,
    **options: str,
) -> None:
    with av.open(str(path), "w", options=options) as out:
        tuning = {"crf": "12", "g": "8", "bf": "2", "preset": "fast"} if codec == "libx264" else {"qscale": "2"}
        video: Any = out.add_stream(codec, rate=RATE, options=tuning)
        video.width, video.height, video.pix_fmt = width, HEIGHT, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        audio: Any = out.add_stream(sound, rate=48000) if sound else None
        video.codec_context.time_base = Fraction(1, 1000) if pts else TICK
        for number in range(COUNT):
            frame = av.VideoFrame(width, HEIGHT, video.pix_fmt)
            planes = (painted(number, width), np.full((HEIGHT // 2, width // 2), 128, np.uint8))
            for plane, values in zip(frame.planes, (*planes, planes[1]), strict=True):
                np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:, : values.shape[1]] = values
            frame.pts, frame.time_base = (pts[number] if pts else number), video.codec_context.time_base
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        for part in range(0 if audio is None else 45):
            samples = np.sin(np.arange(part * 1024, part * 1024 + 1024) / 20).astype(np.float32)
            tone: Any = av.AudioFrame.from_ndarray(samples[None], "fltp", "mono")
            tone.rate, tone.pts, tone.time_base = 48000, part * 1024, Fraction(1, 48000)
            out.mux(audio.encode(tone))
        if audio is not None:
            out.mux(audio.encode(None))


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for name in ("movie.mp4", "movie.mkv", "movie.nut"):
        write_movie(folder / name)
    write_movie(folder / "late.ts", sound="mp2", output_ts_offset="100")
    write_movie(folder / "movie.avi", sound="libmp3lame")
    write_movie(folder / "fragments.mp4", movflags="frag_keyframe+empty_moov+default_base_moof")
    write_movie(folder / "raw.h264", sound=None)
    frames = [np.concatenate([painted(n).ravel(), np.full(WIDTH * HEIGHT // 2, 128, np.uint8)]) for n in range(COUNT)]
    (folder / "raw.yuv").write_bytes(b"".join(f.tobytes() for f in frames))
    header = f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F{RATE}:1 Ip A1:1 C420mpeg2\n".encode()
    (folder / "movie.y4m").write_bytes(header + b"".join(b"FRAME\n" + f.tobytes() for f in frames))
    (folder / "pictures").mkdir()
    for number in range(COUNT):
        cv2.imwrite(str(folder / "pictures" / f"shot {number}.png"), painted(number))
        cv2.imwrite(str(folder / f"deep_{number + 7:04}.tif"), cv2.merge([painted(number).astype(np.uint16) * 257] * 3))
    return folder


Opener = Callable[[Path], Source]


def from_file(name: str, **options: Any) -> Opener:
    return lambda clips: ContainerSource(InputOptions(path=str(clips / name), **options), OutputOptions())


def from_pictures(name: str) -> Opener:
    return lambda clips: ImageSequenceSource(InputOptions(path=str(clips / name)), OutputOptions())


def from_pipe(name: str) -> Opener:
    def opened(clips: Path) -> Source:
        read, write = os.pipe()

        def feed() -> None:
            try:
                with open(write, "wb") as pipe:
                    pipe.write((clips / name).read_bytes())
            except BrokenPipeError:
                pass  # The source was stopped.

        threading.Thread(target=feed, daemon=True).start()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(demuxer_module, "open_stdin", lambda: open_stdin(read))
            return ContainerSource(InputOptions(path="-"), OutputOptions())

    return opened


RAW = {"format": "rawvideo", "size": (WIDTH, HEIGHT), "pixel_format": "yuv420p", "rate": Fraction(RATE)}
FILES = ["movie.mp4", "movie.mkv", "movie.nut", "late.ts", "movie.avi", "fragments.mp4", "raw.h264", "movie.y4m"]
OPENERS: dict[str, Opener] = {
    **{name: from_file(name) for name in FILES},
    "raw.yuv": from_file("raw.yuv", **RAW),
    "constant rate": from_file("movie.mkv", rate=Fraction(RATE)),
    **{f"pipe {name}": from_pipe(name) for name in (*FILES[:4], "fragments.mp4", "raw.h264", "movie.y4m")},
    "folder": from_pictures("pictures"),
    "pattern": from_pictures("deep_%04d.tif"),
    "glob": from_pictures("pictures/*.png"),
    "trimmed": lambda clips: TrimmedSource(from_file("movie.mp4")(clips), None, Fraction(1000)),
}


@pytest.fixture(params=OPENERS)
def source(request: pytest.FixtureRequest, clips: Path) -> Iterator[Source]:
    opened = OPENERS[request.param](clips)
    yield opened
    opened.close()
    opened.close()


def read(source: Source) -> tuple[list[Frame], list[Packet]]:
    items = list(source)
    return [i for i in items if isinstance(i, Frame)], [i for i in items if isinstance(i, Packet)]


def test_every_frame_once_in_order_at_its_time(source: Source) -> None:
    info = source.info
    frames, packets = read(source)
    assert [number_of(f) for f in frames] == list(range(COUNT))
    assert [f.seconds - frames[0].seconds for f in frames] == [n * TICK for n in range(COUNT)]
    assert all(a.pts < b.pts for a, b in itertools.pairwise(frames))
    assert 0 <= frames[0].seconds < Fraction(1, 10)
    for frame in frames:
        assert (frame.width, frame.height, frame.format) == (info.video.width, info.video.height, info.video.format)
        assert (frame.time_base, frame.color) == (info.video.time_base, info.video.color)
        assert [p.shape for p in frame.planes] == list(frame.format.plane_shapes(WIDTH, HEIGHT))
        assert not any(p.flags.writeable for p in frame.planes)
        assert frame.duration * frame.time_base in (0, TICK)
    assert info.video.color.matrix != 2
    assert info.video.color.full_range is not None
    assert info.video.frame_rate == RATE
    assert info.video.frames_hint is None or abs(info.video.frames_hint - COUNT) <= 3
    assert {p.track for p in packets} == {t.index for t in info.tracks}
    times = [p.seconds for p in packets if p.seconds is not None]
    assert times == sorted(times)
    assert all(abs(t) < 1.1 for t in times)
    assert source.warnings == []


def test_stop_ends_the_iteration_as_if_the_input_ended(source: Source) -> None:
    seen = []
    for item in source:
        if isinstance(item, Frame):
            seen.append(number_of(item))
            source.stop()
            source.stop()
    assert seen == list(range(len(seen)))
    assert 1 <= len(seen) <= COUNT


def test_it_can_be_closed_in_the_middle(source: Source) -> None:
    iteration = iter(source)
    next(iteration)
    source.close()


@pytest.mark.parametrize("start", ["0.3", "0.32", "0.77"])
@pytest.mark.parametrize("name", [*FILES, "pictures"])
def test_a_start_gives_the_same_frames_as_reading_from_the_beginning(clips: Path, name: str, start: str) -> None:
    begin = Fraction(start)
    whole, sound = read(open_source(InputOptions(path=str(clips / name)), OutputOptions()))
    part = open_source(InputOptions(path=str(clips / name), start=begin), OutputOptions())
    frames, packets = read(part)
    expected = [f for f in whole if f.seconds >= begin]
    assert [number_of(f) for f in frames] == [number_of(f) for f in expected]
    for got, want in zip(frames, expected, strict=True):
        assert abs(got.seconds - (want.seconds - begin)) <= Fraction(1, 1000)
    assert [p.data for p in packets] == [p.data for p in sound if (p.seconds or 0) >= begin]
    part.close()


@pytest.mark.parametrize(
    ("given", "output", "expected"),
    [
        ({"duration": Fraction(1, 5)}, {}, range(5)),
        ({"end": Fraction(1, 5)}, {}, range(5)),
        ({"start": Fraction(1, 5), "end": Fraction(2, 5)}, {}, range(5, 10)),
        ({"start": Fraction(1, 5), "duration": Fraction(2, 5)}, {}, range(5, 15)),
        ({}, {"start": Fraction(1, 5), "end": Fraction(2, 5)}, range(5, 10)),
        ({}, {"frames": 3}, range(3)),
        ({"start": Fraction(1, 5)}, {"start": Fraction(1, 5), "frames": 4}, range(10, 14)),
        ({"start": Fraction(20)}, {}, range(0)),
    ],
)
@pytest.mark.parametrize("name", ["movie.mp4", "pictures"])
def test_cutting(clips: Path, name: str, given: dict[str, Any], output: dict[str, Any], expected: range) -> None:
    options = OutputOptions(**output)
    source = open_source(InputOptions(path=str(clips / name), **given), options)
    if output_range(options) != (None, None):
        source = TrimmedSource(source, *output_range(options))
    if options.frames is not None:
        source = TrimmedSource(source, frames=options.frames)
    frames, packets = read(source)
    assert [number_of(f) for f in frames] == list(expected)
    if expected and (given or output):
        assert frames[0].pts == 0
        assert source.info.video.frames_hint == len(expected)
        end = len(expected) * TICK
        if options.frames is not None:
            # Whether a packet belongs is known with the last frame only: the sink lets go of what came before it.
            packets = [p for p in packets if p.seconds is None or p.seconds < end]
        assert all(p.seconds is not None and (p.seconds < end or len(expected) == COUNT) for p in packets)
        if name == "movie.mp4":
            assert packets[-1].seconds is not None
            assert packets[-1].seconds > end - Fraction(1, 20), "sound is kept up to the end of the pictures"
    source.close()


def test_an_end_before_the_start_is_refused(clips: Path) -> None:
    with pytest.raises(UsageError, match="-to"):
        open_source(InputOptions(path=str(clips / "movie.mp4"), start=Fraction(3), end=Fraction(2)), OutputOptions())


def test_variable_rate_is_kept_to_the_tick(tmp_path: Path) -> None:
    stamps = [0, *itertools.accumulate([33, 52, 100] * 8)][:COUNT]
    write_movie(tmp_path / "vfr.mkv", pts=stamps, sound=None)
    frames, _ = read(open_source(InputOptions(path=str(tmp_path / "vfr.mkv")), OutputOptions()))
    # Matroska's own beginning (the delay of B-frames) is left in.
    assert [(f.seconds - frames[0].seconds) * 1000 for f in frames] == stamps


@pytest.mark.parametrize("broken", [{5}, {0, 1}, {23}, set(range(8, 16))], ids=str)
def test_damage_is_passed_over_and_told(tmp_path: Path, broken: set[int]) -> None:
    write_movie(tmp_path / "whole.mkv", codec="mjpeg", sound=None)
    with av.open(str(tmp_path / "whole.mkv")) as whole, av.open(str(tmp_path / "damaged.mkv"), "w") as out:
        video = out.add_stream_from_template(whole.streams.video[0])
        for number, packet in enumerate(p for p in whole.demux() if p.size):
            damaged = av.Packet(bytes(100) if number in broken else bytes(packet))
            damaged.pts, damaged.dts, damaged.time_base = packet.pts, packet.dts, packet.time_base
            damaged.stream, damaged.is_keyframe = video, True
            out.mux(damaged)
    source = open_source(InputOptions(path=str(tmp_path / "damaged.mkv")), OutputOptions())
    told = list(source.warnings)
    source.on_warning = told.append
    frames, _ = read(source)
    assert {number_of(f) for f in frames} == set(range(COUNT)) - broken
    assert "is damaged" in told[0]
    assert f"{len(broken)} damaged" in told[-1]


def test_nothing_but_damage_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "noise.h264").write_bytes(b"\0\0\0\1\x65" + np.random.default_rng(1).bytes(20000))
    with pytest.raises(SourceError, match=r"noise\.h264"):
        open_source(InputOptions(path=str(tmp_path / "noise.h264")), OutputOptions())


def test_a_change_of_size_is_brought_to_the_first_size(tmp_path: Path) -> None:
    write_movie(tmp_path / "a.h264", sound=None)
    write_movie(tmp_path / "b.h264", sound=None, width=2 * WIDTH)
    (tmp_path / "both.h264").write_bytes((tmp_path / "a.h264").read_bytes() + (tmp_path / "b.h264").read_bytes())
    source = open_source(InputOptions(path=str(tmp_path / "both.h264")), OutputOptions())
    frames = [f for f in source if isinstance(f, Frame)]
    assert len(frames) == 2 * COUNT
    assert {(f.width, f.height) for f in frames} == {(WIDTH, HEIGHT)}
    assert [number_of(f) for f in frames[:COUNT]] == list(range(COUNT))
    # Nothing of the one may reach the other: a network's state ends here.
    assert [n for n, f in enumerate(frames) if f.discontinuity] == [COUNT]
    # Twice as wide, so half as high, and black above and below.
    inside = frames[-1].planes[0]
    assert inside[: HEIGHT // 4 - 1].max() == inside[-HEIGHT // 4 + 1 :].max() == 16
    (line,) = source.warnings
    assert "changes to 128x48 yuv420p: brought to 64x48" in line


@pytest.mark.parametrize("start", [None, Fraction(1)])
def test_what_cannot_be_opened(clips: Path, tmp_path: Path, start: Fraction | None) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("not a video at all\n" * 50)
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "nothing").mkdir()
    cases: list[tuple[str, type[SourceError], str]] = [
        (str(tmp_path / "x.mp4"), SourceError, f"no such file: '{tmp_path / 'x.mp4'}'"),
        (str(tmp_path / "x.png"), SourceError, f"no such file: '{tmp_path / 'x.png'}'"),
        (str(tmp_path / "no" / "%04d.png"), SourceError, "no such file"),
        (str(tmp_path / "empty.mp4"), SourceError, "empty.mp4"),
        (str(tmp_path / "text.mp4"), SourceError, "text.mp4"),
        (str(tmp_path / "text.png"), SourceError, "damaged"),
        (str(tmp_path / "nothing"), NoVideoError, "no pictures"),
        (str(tmp_path / "*.jpg"), NoVideoError, "matches no picture"),
        ("rtsp://bob:hunter2@127.0.0.1:1/x", SourceError, "rtsp://***@127.0.0.1:1/x"),
        ("nosuch://x", SourceError, "protocol"),
    ]
    for path, kind, text in cases:
        with pytest.raises(kind) as caught:
            open_source(InputOptions(path=path, start=start), OutputOptions())
        assert text in str(caught.value)
        assert "hunter2" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_stopped_pipe_does_not_wait_for_data() -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"12345678")
    reader = PipeReader(read_end)
    got: list[bytes] = []
    waiting = threading.Thread(target=lambda: got.extend(iter(reader.read, b"")))
    waiting.start()
    reader.stop()
    waiting.join(60)
    assert not waiting.is_alive()
    assert got in ([b"12345678"], [])
    reader.close()
    reader.stop()
    os.close(read_end)
    os.close(write_end)


def _boxes(*sizes: tuple[bytes, int]) -> bytes:
    return b"".join(size.to_bytes(4, "big") + kind + bytes(size - 8) for kind, size in sizes)


def test_an_mp4_with_its_index_last_is_spooled_and_others_are_not(clips: Path) -> None:
    cases = [((clips / name).read_bytes()[:8192], kind) for name, kind in (
        ("movie.mp4", SpoolReader), ("fragments.mp4", PipeReader), ("movie.mkv", PipeReader),
    )]  # fmt: skip
    # A large box in front hides which comes first; QuickTime's older files have no ftyp.
    cases += [(_boxes((b"ftyp", 32), (b"uuid", 7000), (b"mdat", 100)), SpoolReader)]
    cases += [(_boxes((b"wide", 8), (b"mdat", 9000)), SpoolReader), (_boxes((b"moov", 900)), PipeReader)]
    for data, kind in cases:
        read_end, write_end = os.pipe()
        os.write(write_end, data)
        os.close(write_end)
        reader = open_stdin(read_end)
        assert type(reader) is kind, data[:40]
        assert b"".join(iter(lambda reader=reader: reader.read(1000), b"")) == data
        reader.close()
        os.close(read_end)


# Pictures


def test_names_are_kept_for_those_who_write_pictures(clips: Path) -> None:
    options = InputOptions(path=str(clips / "pictures"), start=Fraction(1, 5))
    source = TrimmedSource(open_source(options, OutputOptions()), Fraction(1, 5))
    frames, _ = read(source)
    assert isinstance(source, TrimmedSource)
    assert [Path(n).name for n in source.names] == [f"shot {number_of(f)}.png" for f in frames]


def test_one_picture_is_a_video_of_one_frame(clips: Path) -> None:
    source = open_source(InputOptions(path=str(clips / "pictures" / "shot 5.png"), rate=Fraction(10)), OutputOptions())
    (frame,) = read(source)[0]
    assert number_of(frame) == 5
    assert (frame.format.name, frame.time_base, source.info.duration) == ("gray", Fraction(1, 10), Fraction(1, 10))


@pytest.mark.skipif(os.name == "nt", reason="no colons in file names")
def test_a_file_whose_name_looks_like_a_protocol(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "12:30.mp4").write_bytes((clips / "movie.mp4").read_bytes())
    monkeypatch.chdir(tmp_path)
    frames, _ = read(open_source(InputOptions(path="12:30.mp4"), OutputOptions()))
    assert len(frames) == COUNT
