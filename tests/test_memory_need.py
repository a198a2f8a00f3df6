"""What a run says that it will take of main memory; where the machine has less, it says so, and does not begin."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from streamvsr import rings, system_memory
from streamvsr.cli.app import main
from streamvsr.config import ModelOptions
from streamvsr.errors import UsageError
from streamvsr.frames import PIXEL_FORMATS, StreamInfo
from streamvsr.media.encode.memory import encoder_bytes, held
from streamvsr.memory_need import MemoryNeed
from streamvsr.models import registry
from streamvsr.models.basicvsr.network import BasicVSRNet
from streamvsr.vsr import domains
from streamvsr.vsr.filter import VsrFilter
from tests.conftest import ROOT

DEMO = str(ROOT / "demo" / "city_180p.mp4")
MEBI = 1 << 20


def info(width: int, height: int, format: str = "yuv420p", *, live: bool = False) -> StreamInfo:
    return StreamInfo(width, height, PIXEL_FORMATS[format], Fraction(1, 25), Fraction(25), live=live)


def faked(monkeypatch: pytest.MonkeyPatch, free: int | None, swap: int = 0) -> None:
    monkeypatch.setattr(system_memory, "free_bytes", lambda: free)
    monkeypatch.setattr(system_memory, "swap_bytes", lambda: swap)


@pytest.mark.parametrize(
    ("preset", "options", "frames"),
    [
        ("medium", {}, 47),
        (None, {}, 47),
        ("veryfast", {}, 17),
        ("ultrafast", {}, 4),
        ("medium", {"rc-lookahead": "10"}, 17),
        ("medium", {"x264-params": "ref=1:rc-lookahead=20"}, 27),
        ("medium", {"threads": "1"}, 45),
        ("medium", {"tune": "zerolatency"}, 1),
    ],
)
def test_frames_that_x264_holds_before_its_first_packet(
    preset: str | None, options: dict[str, str], frames: int
) -> None:
    """As counted with two processors: three threads."""
    assert held("libx264", preset, options, 2, 720).frames == frames


def test_an_encoder_takes_no_more_than_there_are_frames() -> None:
    large, small = info(3840, 2160), info(1920, 1080)
    whole = encoder_bytes("libx264", "medium", {"threads": "3"}, large, None)
    assert 1.4e9 < whole < 2.1e9  # 1615 MiB were measured
    assert encoder_bytes("libx264", "medium", {"threads": "3"}, large, 1000) == whole
    assert encoder_bytes("libx264", "medium", {"threads": "3"}, large, 2) < whole / 3
    assert encoder_bytes("libx264", "medium", {"threads": "3"}, small, None) == pytest.approx(whole / 4)
    assert encoder_bytes("libx264", None, {"threads": "3"}, info(3840, 2160, "yuv420p10le"), None) == 2 * whole
    for codec in ("libx265", "libsvtav1", "libvpx-vp9", "ffv1", "images"):
        assert encoder_bytes(codec, None, {}, large, None) > 0


def test_rings_are_bounded_in_bytes_too() -> None:
    def most(width: int, height: int) -> int:
        made = [rings.decoded_ring(2.0, info(64, 64)), rings.finished_ring("vsr", live=False)]
        return rings.most_bytes(made, info(64, 64), info(width, height))

    small = 16 * 64 * 64 * 3 // 2
    assert most(128, 128) == small + 8 * 128 * 128 * 3 // 2
    assert most(7680, 4320) == small + 5 * 7680 * 4320 * 3 // 2  # 256 MiB
    assert most(32768, 16384) == small + 32768 * 16384 * 3 // 2  # one is let in
    assert rings.decoded_ring(2.0, info(64, 64, live=True)).capacity_frames == 64


def test_what_a_network_takes_grows_with_the_frame_and_not_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    faked(monkeypatch, None)

    def taken(width: int, height: int, device: str = "cpu") -> int:
        weights = BasicVSRNet(16, 1).state_dict()
        model = registry.ENTRIES["basicvsr"].load(weights, {})
        vsr = VsrFilter(model, ModelOptions(max_seq_len=4), device=torch.device(device))
        assert vsr.memory_bytes == 0
        vsr.configure(info(width, height))
        return vsr.memory_bytes

    assert taken(640, 360) == pytest.approx(4 * taken(320, 180))
    assert taken(320, 180, "meta") == 5 * 320 * 180 * 3 // 2
    before = taken(640, 360)
    faked(monkeypatch, 64 * MEBI)
    # It goes on in tiles; frames and results stay what they are.
    assert before - taken(640, 360) > 100 * MEBI


def test_a_line_where_less_is_free_and_an_error_where_far_less_is(monkeypatch: pytest.MonkeyPatch) -> None:
    need = MemoryNeed(rings=100 * MEBI, filters=200 * MEBI, encoder=636 * MEBI)
    assert need.more == 1000 * MEBI
    assert need.total > need.more
    said: list[str] = []
    for free, swap in ((None, 0), (1000 * MEBI, 0)):
        faked(monkeypatch, free, swap)
        need.check(said.append)
    assert said == []
    for free, swap in ((999 * MEBI, 0), (500 * MEBI, 0), (100 * MEBI, 400 * MEBI)):
        faked(monkeypatch, free, swap)
        need.check(said.append)
    assert len(said) == 3
    assert said[1].startswith(
        "this run needs about 1 GB more memory, and 0.52 GB are free: a smaller --scale, or an enc"
    )
    faked(monkeypatch, 499 * MEBI)
    with pytest.raises(UsageError, match="-preset veryfast"):
        need.check(pytest.fail)
    with pytest.raises(UsageError, match="--tile 128"):
        MemoryNeed(0, 4000 * MEBI, 0).check(pytest.fail)


def test_a_run_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [DEMO, str(tmp_path / "out.mkv"), "--model", "bicubic", "-frames:v", "3", "-preset", "ultrafast"]
    faked(monkeypatch, MEBI)
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: this run needs about ")
    assert len(said.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
    faked(monkeypatch, 100 * MEBI)
    assert main(words) == 0
    said = capsys.readouterr().err
    assert "warning: this run needs about " in said
    assert "it may be ended by the system" in said


def test_the_start_and_the_trial_say_what_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = str(tmp_path / "out.mkv")
    assert main([DEMO, output, "--model", "bicubic", "-frames:v", "3"]) == 0
    started = next(line for line in capsys.readouterr().err.splitlines() if "frames a second" in line)
    assert " of memory" in started
    # More than a trial of a few frames sees.
    monkeypatch.setattr("streamvsr.memory_need.OTHERS_BYTES", 90 << 30)
    # The tests before this one have left something in this process.
    monkeypatch.setattr("streamvsr.system_memory.resident_bytes", lambda: 0)
    faked(monkeypatch, None)
    assert main([DEMO, output, "-y", "--model", "bicubic", "-frames:v", "3", "--dry-run"]) == 0
    assert "97 GB of memory" in capsys.readouterr().err


def test_torch_is_asked_for_large_pages_unless_the_user_is_against(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of its own: torch looks once, at its first allocation."""
    code = (
        "import os, sys; from streamvsr.cli.app import main; assert 'torch' not in sys.modules;"
        "code = main(sys.argv[1:]); print(os.environ['THP_MEM_ALLOC_ENABLE']); sys.exit(code)"
    )
    words = ["-y", DEMO, str(tmp_path / "out.mkv"), "-vf", "null", "-frames:v", "2", "-preset", "ultrafast"]
    for given, wanted in ((None, "1"), ("0", "0")):
        if given is None:
            monkeypatch.delenv("THP_MEM_ALLOC_ENABLE", raising=False)
        else:
            monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", given)
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == wanted


def test_squares_are_halved_to_their_means() -> None:
    planes = torch.rand(2, 6, 10)
    pooled = torch.nn.functional.avg_pool2d(planes, 2)
    assert torch.allclose(domains.halved(planes), pooled, atol=1e-6)
    squares = torch.nn.functional.interpolate(pooled[None], scale_factor=2, mode="nearest")[0]
    assert torch.equal(domains.halved(squares), pooled)
