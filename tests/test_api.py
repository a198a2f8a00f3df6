"""streamvsr from Python: what the page says, time stamps, colours, and that nothing is left behind."""

from __future__ import annotations

import copy
import gc
import pickle
import re
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

import streamvsr
from streamvsr.api import VideoFrame
from streamvsr.config import Config, InputOptions, ModelOptions, OutputOptions, check
from streamvsr.errors import FilterError, SinkError, SourceError, StreamvsrError, UsageError
from streamvsr.models import registry
from streamvsr.pipeline.stats import Progress
from tests.outputs import info, numbers, write

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "python.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Ten frames with their numbers painted in, at uneven times."""
    path = tmp_path / "in.mp4"
    write(path, info(rate=Fraction(25)), STAMPS, duration=3600, crf=1.0)
    return path


STAMPS = [n * 3600 + (n % 3) * 300 for n in range(10)]


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("streamvsr-")]


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> None:
    yield  # type: ignore[misc]
    gc.collect()
    assert threads() == []


def number(pixels: np.ndarray) -> int:  # type: ignore[type-arg]
    peak = np.iinfo(pixels.dtype).max
    row = pixels[pixels.shape[0] // 4, :, 1]
    centres = (np.arange(8) * 2 + 1) * pixels.shape[1] // 16
    return sum(1 << bit for bit, x in enumerate(centres) if row[x] > peak // 2)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_the_page_runs(block: str, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What `auto` comes to is another test's business, and needs weights.
    plain = registry.Selection(registry.ENTRIES["bicubic"], None, "")
    monkeypatch.setattr(registry, "_select_auto", lambda _gpu: plain)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "frames").mkdir()
    for n in range(3):
        cv2.imwrite(str(tmp_path / "frames" / f"{n}.png"), np.full((16, 16, 3), n, np.uint8))
    scope: dict[str, object] = {}
    exec(compile(block, str(PAGE), "exec"), scope)
    scope.clear()


def test_there_is_a_page() -> None:
    assert len(BLOCKS) >= 7


@pytest.mark.io
def test_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, streamvsr; streamvsr.open; streamvsr.StreamvsrError; streamvsr.open('x').config;"
        "sys.exit(str({'torch', 'av', 'cv2'} & set(sys.modules)) if {'torch', 'av', 'cv2'} & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.io
def test_public_names_are_there_and_no_others() -> None:
    for name in streamvsr.__all__:
        assert getattr(streamvsr, name) is not None
    assert set(dir(streamvsr)) == set(streamvsr.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = streamvsr.nonsense


@pytest.mark.io
def test_every_frame_comes_once_with_its_own_time(clip: Path) -> None:
    seen = [(number(f.numpy()), f.seconds) for f in streamvsr.open(str(clip))]
    assert seen == [(n, Fraction(stamp, 90000)) for n, stamp in enumerate(STAMPS)]


def test_through_a_network_too(clip: Path) -> None:
    frames = list(streamvsr.open(str(clip)).filter("vsr", model="bicubic"))
    assert [number(f.numpy()) for f in frames] == list(range(10))
    assert [f.seconds for f in frames] == [Fraction(stamp, 90000) for stamp in STAMPS]
    assert (frames[0].width, frames[0].height) == (256, 192)


@pytest.mark.io
def test_any_chain_and_calls_add_up(clip: Path) -> None:
    once = list(streamvsr.open(str(clip)).filter("hflip,scale=128:-2"))
    added = list(streamvsr.open(str(clip)).filter("hflip").filter("scale=128:-2"))
    assert (once[0].width, once[0].height) == (128, 96)
    assert all((a.numpy() == b.numpy()).all() for a, b in zip(once, added, strict=True))
    assert [number(f.numpy()[:, ::-1]) for f in once] == list(range(10))


def test_a_network_among_filters(clip: Path) -> None:
    frames = list(streamvsr.open(str(clip), frames=3).filter("hflip").filter("vsr", model="bicubic").filter("hflip"))
    assert [(number(f.numpy()), f.width) for f in frames] == [(0, 256), (1, 256), (2, 256)]


def test_arrays_and_tensors_say_the_same(clip: Path) -> None:
    for frame in streamvsr.open(str(clip), frames=2):
        pixels, tensor = frame.numpy(), frame.torch()
        assert pixels.shape == (48, 64, 3)
        assert pixels.dtype == np.uint8
        assert pixels.flags.writeable
        assert float(abs(tensor.permute(1, 2, 0).numpy() * 255 - pixels).max()) < 2


@pytest.mark.io
def test_deep_video_is_uint16(tmp_path: Path) -> None:
    write(tmp_path / "deep.mkv", info("yuv420p10le"), [0, 3600], video_codec="ffv1")
    for n, frame in enumerate(streamvsr.open(str(tmp_path / "deep.mkv"))):
        assert frame.numpy().dtype == np.uint16
        assert number(frame.numpy()) == n
    assert frame.numpy().max() > 50000


@pytest.mark.io
def test_reds_are_red(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    cv2.imwrite(str(tmp_path / "p" / "0.png"), np.full((16, 16, 3), (10, 20, 200), np.uint8))
    (frame,) = streamvsr.open(str(tmp_path / "p"))
    assert frame.numpy()[5, 5].tolist() == [200, 20, 10]


@pytest.mark.io
def test_leaving_the_loop_ends_the_threads_and_closes_the_input(clip: Path) -> None:
    for frame in streamvsr.open(str(clip)):
        assert frame.pts == 0
        break
    assert threads() == []
    clip.unlink()


@pytest.mark.io
def test_close_before_the_first_frame_and_twice(clip: Path) -> None:
    frames = iter(streamvsr.open(str(clip)))
    assert frames.info.width == 64
    frames.close()
    frames.close()
    assert threads() == []
    assert list(frames) == []


@pytest.mark.io
def test_a_raising_body_ends_the_threads(clip: Path) -> None:
    def body() -> None:
        with iter(streamvsr.open(str(clip))) as frames:
            raise ZeroDivisionError(next(frames))

    with pytest.raises(ZeroDivisionError):
        body()
    assert threads() == []


@pytest.mark.io
def test_a_clip_may_be_iterated_again(clip: Path) -> None:
    one = streamvsr.open(str(clip))
    assert [f.pts for f in one] == [f.pts for f in one]


@pytest.mark.io
def test_times_are_exact(clip: Path) -> None:
    assert streamvsr.open(str(clip), start=0.1).config.input.start == Fraction(1, 10)
    assert streamvsr.open(str(clip), rate="30000/1001").config.input.rate == Fraction(30000, 1001)
    cut = [number(f.numpy()) for f in streamvsr.open(str(clip), start=0.12, frames=3)]
    assert cut == [3, 4, 5]


@pytest.mark.io
def test_unknown_names_and_bad_values_are_errors_with_advice(clip: Path) -> None:
    with pytest.raises(UsageError, match="did you mean pixel_format"):
        streamvsr.open(str(clip), pixelformat="gray")
    with pytest.raises(UsageError, match="expected a number"):
        streamvsr.open(str(clip), start="soon")
    with pytest.raises(UsageError, match="did you mean max_seq_len"):
        streamvsr.open(str(clip)).filter("vsr", max_seqlen=3)
    with pytest.raises(UsageError, match="--overlap"):
        streamvsr.open(str(clip)).filter("vsr", max_seq_len=3, overlap=3)
    with pytest.raises((UsageError, FilterError)):
        list(streamvsr.open(str(clip)).filter("no_such_filter"))
    with pytest.raises(UsageError, match="--max-seq-len '3': expected a whole number"):
        streamvsr.open(str(clip)).filter("vsr", max_seq_len="3")
    with pytest.raises(UsageError, match="-frames:v True: expected a whole number"):
        streamvsr.open(str(clip), frames=True)
    with pytest.raises(UsageError, match="-crf '18': expected a number"):
        streamvsr.open(str(clip)).write("out.mkv", crf="18")
    with pytest.raises(UsageError, match=r"rate=\(25, 1\): expected a number"):
        streamvsr.open(str(clip)).write("out.mkv", rate=(25, 1))
    with pytest.raises(UsageError, match=r"-r 25\.0: expected frames a second as an int or a Fraction"):
        check(Config(InputOptions(path=str(clip)), OutputOptions(path="out.mkv", rate=25.0), ModelOptions()))


@pytest.mark.io
def test_a_missing_input_is_an_error_of_ours() -> None:
    with pytest.raises(SourceError, match=r"missing\.mp4"):
        iter(streamvsr.open("missing.mp4"))


@pytest.mark.io
def test_an_error_on_the_way_is_raised_in_the_loop(tmp_path: Path) -> None:
    for n in range(2):
        cv2.imwrite(str(tmp_path / f"{n}.png"), np.zeros((16, 16, 3), np.uint8))
    (tmp_path / "2.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(SourceError, match=r"2\.png"):
        list(streamvsr.open(str(tmp_path)))
    assert threads() == []


@pytest.mark.io
def test_write_is_the_whole_job(clip: Path, tmp_path: Path) -> None:
    target, told = tmp_path / "out.mkv", list[Progress]()
    streamvsr.open(str(clip), frames=7).write(str(target), crf=1.0, on_progress=told.append)
    assert numbers(target) == list(range(7))
    assert told[-1].frames_out == 7
    with pytest.raises(StreamvsrError, match=r"already exists|exists already"):
        streamvsr.open(str(clip)).write(str(target))
    with pytest.raises(UsageError, match="did you mean video_codec"):
        streamvsr.open(str(clip)).write(str(target), videocodec="x")


@pytest.mark.io
def test_a_failed_write_leaves_nothing(shared_data: Path, tmp_path: Path) -> None:
    # Six minutes at their own pace: no machine is through with them before the caller fails.
    clip = streamvsr.open(str(shared_data / "clips" / "long_180p60_av1_363s.mp4")).filter("realtime")

    def fail(_: object) -> None:
        raise RuntimeError("the caller's own")

    with pytest.raises(RuntimeError):
        clip.write(str(tmp_path / "out.mkv"), on_progress=fail)
    with pytest.raises((SinkError, UsageError)):
        clip.write(str(tmp_path / "no" / "such" / "out.mkv"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.io
def test_a_slow_reader_holds_a_bounded_number_of_frames(tmp_path: Path) -> None:
    path = tmp_path / "long.mkv"
    write(path, info(), [n * 3000 for n in range(200)], video_codec="ffv1")
    with iter(streamvsr.open(str(path))) as frames:
        next(frames)
        threading.Event().wait(0.3)
        assert frames._reader.run.progress().frames_in < 60


@pytest.mark.io
def test_sound_that_nobody_reads_does_no_harm(shared_data: Path) -> None:
    with av.open(str(shared_data / "clips" / "nasa_multitrack.mp4")) as container:
        expected = sum(1 for _, frame in zip(range(30), container.decode(video=0), strict=False) if frame)
    clip = streamvsr.open(str(shared_data / "clips" / "nasa_multitrack.mp4"), frames=30)
    assert len(list(clip)) == expected


@pytest.mark.parametrize("chain", ["nope", "scale=nope=3", "unsharp,,", "vsr=nope=1", "scale=w=x("])
def test_a_wrong_chain_is_refused_where_it_is_given(chain: str) -> None:
    with pytest.raises(streamvsr.StreamvsrError):
        streamvsr.open("there is no such file.mp4").filter(chain)


def test_frames_can_be_pickled_and_copied(tmp_path: Path) -> None:
    from tests.outputs import CFR, info, write

    write(tmp_path / "in.mkv", info(), CFR[:2])
    for frame in streamvsr.open(tmp_path / "in.mkv"):
        for again in (pickle.loads(pickle.dumps(frame)), copy.deepcopy(frame), VideoFrame(copy.copy(frame.raw))):
            assert (again.pts, again.time_base, again.raw.color) == (frame.pts, frame.time_base, frame.raw.color)
            assert np.array_equal(again.numpy(), frame.numpy())
            assert again.raw.origin is None
