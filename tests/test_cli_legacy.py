"""The call of the original RealBasicVSR script works as it stands."""

from __future__ import annotations

import shlex
from fractions import Fraction

import pytest

from streamvsr.cli.parser import Invocation, parse
from streamvsr.config import Config
from streamvsr.errors import UsageError

pytestmark = pytest.mark.io
CALL = "configs/realbasicvsr_x4.py checkpoints/RealBasicVSR_x4.pth"


def call(rest: str) -> tuple[Config, Invocation]:
    invocation = parse(shlex.split(f"{CALL} {rest}"))
    assert invocation.config is not None
    return invocation.config, invocation


def test_the_readme_s_pictures() -> None:
    config, invocation = call("data/demo_000 results/demo_000")
    assert (config.model.config, config.model.checkpoint) == tuple(CALL.split())
    assert (config.model.propagation, config.model.max_seq_len, config.model.overlap) == ("carry", None, None)
    assert (config.model.scene_threshold, config.model.max_history) == (0, 0)
    assert config.input.path == "data/demo_000"
    assert config.output.path == "results/demo_000/%08d.png"
    assert not invocation.notes


def test_the_readme_s_video() -> None:
    config, _ = call("data/demo_001.mp4 results/demo_001.mp4 --fps=12.5 --max_seq_len=2")
    assert (config.model.propagation, config.model.max_seq_len, config.model.overlap) == ("window", 2, 0)
    assert config.output.path == "results/demo_001.mp4"
    assert config.input.rate == Fraction(25, 2)


@pytest.mark.parametrize(
    "line",
    [
        f"{CALL} in out --max_seq_len 5",
        f"--max_seq_len 5 {CALL} in out",
        f"{CALL} --max-seq-len=5 in out",
        f"{CALL} in --max_seq_len 5 out --is_save_as_png True",
    ],
)
def test_options_may_stand_anywhere(line: str) -> None:
    assert parse(shlex.split(line)) == parse(shlex.split(f"{CALL} in out --max_seq_len 5"))


@pytest.mark.parametrize(("text", "png"), [("True", True), ("1", True), ("False", False), ("0", False), ("no", False)])
def test_is_save_as_png_means_what_people_mean(text: str, png: bool) -> None:
    assert call(f"in out --is_save_as_png {text}")[0].output.path == ("out/%08d.png" if png else "out/")


@pytest.mark.parametrize("line", ["in.mp4 out.mp4 --fps 30", "in.MKV out --fps 30"])
def test_a_rate_for_a_video_is_honoured_and_told(line: str) -> None:
    config, invocation = call(line)
    assert config.input.rate == 30
    assert "time stamps are ignored" in invocation.notes[0]


def test_a_rate_for_pictures_needs_no_word() -> None:
    config, invocation = call("frames out.mp4 --fps 30")
    assert config.input.rate == 30
    assert not invocation.notes


def test_without_a_rate_a_video_keeps_its_time_stamps() -> None:
    config, _ = call("in.mp4 out.mp4")
    assert config.input.rate is None
    assert config.output.rate is None


@pytest.mark.parametrize(
    ("target", "path"),
    [("out", "out/%08d.png"), ("out/", "out/%08d.png"), ("results/v1.2", "results/v1.2/%08d.png"),
     ("o.mkv", "o.mkv"), ("-", "-"), ("o_%03d.png", "o_%03d.png"), ("rtmp://h/x", "rtmp://h/x")],
)  # fmt: skip
def test_what_is_not_a_video_is_a_folder(target: str, path: str) -> None:
    config, _ = call(f"in {target}")
    assert config.output.path == path


def test_today_s_options_can_be_added_and_win() -> None:
    config, _ = call("-ss 2 in.mp4 -crf 18 out.mp4 --device cuda --max_seq_len 9 --overlap 3 --propagation carry -y")
    assert config.input.start == 2
    assert (config.output.crf, config.output.overwrite) == (18.0, True)
    assert (config.model.device, config.model.overlap, config.model.propagation) == ("cuda", 3, "carry")


@pytest.mark.parametrize("weights", ["x.pth", "x.PT", "x.safetensors"])
def test_kinds_of_weights(weights: str) -> None:
    config = parse(["c.py", weights, "in", "out"]).config
    assert config is not None
    assert config.model.checkpoint == weights


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (CALL, "followed by the input and the output"),
        (f"{CALL} in", "followed by the input and the output"),
        (f"{CALL} in out more", "two outputs"),
        (f"{CALL} in out --is_save_as_png perhaps", "expected True or False"),
        (f"{CALL} in out --max_seq_len x", "expected a whole number"),
        (f"{CALL} in out --fps 0", "expected frames per second"),
        ("c.py in.mp4 out.mp4 b.mp4", "two outputs"),
    ],
)
def test_mistakes(line: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(shlex.split(line))
