"""Inputs made from truths, and the two commands that measure, from end to end."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from streamvsr.cli import main
from streamvsr.degrade import standard as degrade
from streamvsr.errors import SourceError, UsageError
from streamvsr.media.color.shrink import split_shrink

DOCS = Path(__file__).resolve().parent.parent / "docs"


def texture(number: int, height: int, width: int) -> np.ndarray:
    """A pan over smooth detail, (H, W, 3) codes, two pixels a frame."""
    noise = np.random.default_rng(0).normal(size=(height, width + 64, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 2)
    view = np.roll(soft, -2 * number, 1)[:, :width]
    return np.asarray((120 + 40 * view / soft.std()).clip(0, 255).round(), np.uint8)


def pictures(folder: Path, count: int = 3, height: int = 48, width: int = 64, name: str = "{:08}.png") -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        assert cv2.imwrite(str(folder / name.format(number)), texture(number, height, width)[..., ::-1])


def video(path: Path, count: int = 3, height: int = 48, width: int = 64, rate: int = 25, crf: int = 10) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": str(crf)})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(texture(number, height, width), format="rgb24")))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("text", "recipe"),
    [
        ("bicubic", (False, 0.0, None)),
        ("bd", (True, 0.0, None)),
        ("noise", (False, 10.0, None)),
        ("bd+noise=2.5+h264=40", (True, 2.5, 40.0)),
        ("h264", (False, 0.0, 35.0)),
    ],
)
def test_recipes(text: str, recipe: tuple[bool, float, float | None]) -> None:
    found = degrade.parse_recipe(text)
    assert (found.blurred, found.noise, found.crf) == recipe


@given(st.text("bicudh264noise+=.-", max_size=20) | st.sampled_from(["h264+noise", "bicubic+bd", "bd=2", "h264=52"]))
def test_other_recipes_are_refused(text: str) -> None:
    whole = r"(bicubic|bd)?\+?(noise(=\d+(\.\d+)?)?)?\+?(h264(=\d+(\.\d+)?)?)?"
    with contextlib.suppress(UsageError):
        degrade.parse_recipe(text)
        assert re.fullmatch(whole, text)


def test_bicubic_is_pillows_and_bd_samples_a_blur() -> None:
    truth = texture(0, 48, 64)
    values = truth.astype(np.float32)
    found = degrade.degraded(values, degrade.parse_recipe("bicubic"), 0)
    # Its floats: in 8 bits it clamps between the two directions.
    planes = [Image.fromarray(values[..., c]).resize((16, 12), Image.Resampling.BICUBIC) for c in range(3)]
    assert np.abs(found - np.stack(planes, -1).clip(0, 255)).max() <= 0.51
    found = degrade.degraded(values, degrade.parse_recipe("bd"), 0)
    where = np.exp(-(np.arange(-6, 7) ** 2) / (2 * 1.6**2))
    kernel = np.outer(where, where) / where.sum() ** 2
    for y, x in ((2, 2), (5, 9)):
        block = values[4 * y - 6 : 4 * y + 7, 4 * x - 6 : 4 * x + 7]
        assert found[y, x] == pytest.approx((block * kernel[..., None]).sum((0, 1)), abs=0.51)


def test_noise_is_that_of_its_frame() -> None:
    flat = np.full((256, 256, 3), 128, np.float32)
    recipe = degrade.parse_recipe("noise=6")
    first, again, second = (degrade.degraded(flat, recipe, n) for n in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)
    assert first.std() == pytest.approx(6, rel=0.03)


def test_made_clips(tmp_path: Path) -> None:
    video(tmp_path / "v.mp4", 3, 100, 136, rate=30)
    recipe = degrade.parse_recipe("noise=2+h264=40")
    low, truth = degrade.make_clip(str(tmp_path / "v.mp4"), recipe, 1, 2, tmp_path / "made", lambda _: None)
    with av.open(low) as container:
        stream = container.streams.video[0]
        shape = (stream.width, stream.height, stream.codec.name, stream.average_rate, stream.pix_fmt)
        assert shape == (34, 24, "h264", 30, "yuv420p")
        assert sum(1 for _ in container.decode(video=0)) == 2
    sizes = {cv2.imread(str(path)).shape for path in Path(truth).iterdir()}
    assert (sizes, len(list(Path(truth).iterdir()))) == ({(96, 136, 3)}, 2)
    with pytest.raises(SourceError, match="136x100 is too small to be shrunk by 128"):
        degrade.make_clip(str(tmp_path / "v.mp4"), recipe, 32, None, tmp_path / "small", lambda _: None)


def test_an_input_is_made_the_same_each_time(shared_data: Path, tmp_path: Path) -> None:
    recipe = degrade.parse_recipe("noise=5+h264=28")
    truth = str(shared_data / "gt" / "roof_540p" / "gt")
    made = [degrade.make_clip(truth, recipe, 1, 16, tmp_path / str(n), lambda _: None)[0] for n in range(4)]
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(av.open(path)) for path in made]
        pictures = [[bytes(packet) for packet in container.demux(video=0)] for container in opened]
    assert all(packets == pictures[0] for packets in pictures)
    assert len(pictures[0]) > 16


def test_a_path_that_asks_to_be_shrunk(tmp_path: Path) -> None:
    assert split_shrink("clip.mp4") == ("clip.mp4", 1)
    assert split_shrink("a@b.mp4@2") == ("a@b.mp4", 2)
    assert split_shrink("user@host/clip.mp4") == ("user@host/clip.mp4", 1)
    pictures(tmp_path / "x@2", 1)
    assert split_shrink(str(tmp_path / "x@2")) == (str(tmp_path / "x@2"), 1)
    for factor in (0, 17):
        with pytest.raises(UsageError, match=rf"clip\.mp4@{factor}: the factor after '@' must be 1 to 16"):
            split_shrink(f"clip.mp4@{factor}")


def strict(path: Path) -> dict[str, Any]:
    """JSON as the standard has it, which knows no NaN and no infinity."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    found: dict[str, Any] = json.loads(path.read_text(), parse_constant=refuse)
    return found


def run(line: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(shlex.split(line))
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_metrics_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "truth", 4)
    video(tmp_path / "good.mp4", 4, crf=12)
    video(tmp_path / "bad.mp4", 4, crf=45)
    names = "--metric psnr_y --metric ssim_y --metric flicker --metric brisque"
    means = {}
    for name in ("good", "bad"):
        line = f"metrics {name}.mp4 truth {names} --json {name}.json --csv {name}.csv --plot {name}.png --quiet"
        code, out, err = run(line, capsys)
        assert (code, err) == (0, "")
        assert "mean of 4 frames, 64x48" in out
        found = strict(tmp_path / f"{name}.json")
        means[name] = found["mean"]
        assert found["per_frame"]["flicker"][0] is None
        assert found["per_frame"]["seconds"] == [0, 0.04, 0.08, 0.12]
        assert found["metrics"]["psnr_y"]["better"] == "higher"
        lines = (tmp_path / f"{name}.csv").read_text().splitlines()
        assert lines[0] == "frame,seconds,psnr_y,ssim_y,flicker,brisque"
        assert len(lines) == 5
        assert float(lines[2].split(",")[4]) == found["per_frame"]["flicker"][1]
        assert cv2.imread(f"{name}.png") is not None
    assert means["good"]["psnr_y"] > means["bad"]["psnr_y"] + 3
    assert means["good"]["ssim_y"] > means["bad"]["ssim_y"]
    assert not list(tmp_path.glob("*.part*"))
    # The very same: all finite.
    assert run("metrics truth truth -y --json good.json -frames:v 2", capsys)[0] == 0
    same = strict(tmp_path / "good.json")
    assert (same["frames"], same["mean"]["psnr_y"], same["mean"]["mse_rgb"]) == (2, 100, 0)
    code, out, err = run("metrics bad.mp4 --metric brisque --at 1,3", capsys)
    assert (code, "brisque" in out) == (0, True)
    code, out, err = run("metrics truth/00000000.png truth/00000001.png", capsys)
    assert (code, "flicker" in out, "mean of 1 frames" in out) == (0, False, True)


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("metrics", 2, ""),
        ("metrics truth truth truth", 2, "takes a result and its reference"),
        ("metrics none.mp4 truth", 1, "none.mp4"),
        ("metrics truth large", 1, "the result is 64x48, the reference 80x48"),
        ("metrics truth long", 1, "'truth' has 3 frames, 'long' has more"),
        ("metrics long truth --json a.json", 1, "'truth' has 3 frames, 'long' has more"),
        ("metrics long truth --shortest --quiet", 0, ""),
        ("metrics truth truth --metric psnr", 2, "--metric psnr: there are psnr_y, "),
        ("metrics truth --metric ssim_y", 2, "compares with a reference"),
        ("metrics truth truth --csv kept.csv", 2, "kept.csv: exists already; -y"),
        ("metrics truth truth --csv b.csv --json b.csv", 2, "two files under one name"),
        ("metrics truth truth --json no/a.json", 2, "there is no folder no"),
        ("metrics truth truth --crop-border 24", 1, "nothing is left of frames of 64x48"),
        ("metrics truth truth --at 1-3", 2, "--at 1-3: expected frame numbers"),
        ("metrics truth truth -vf hflip", 2, "it changes no frame"),
        ("metrics truth truth --model rt", 2, "it changes no frame"),
        ("metrics truth truth --niqe-parameters kept.csv", 1, "holds no parameters of NIQE"),
        ("evaluate", 2, ""),
        ("evaluate rt", 2, "takes models and a data set"),
        ("evaluate nosuch set", 2, "unknown model 'nosuch'"),
        ("evaluate bicubic,rtreal set", 2, "unknown model 'rtreal': did you mean rt-real?"),
        ("evaluate bicubic set --with nosuchfilter", 2, "nosuchfilter"),
        ("evaluate bicubic,bicubic set", 2, "two of them have one name"),
        ("evaluate bicubic none", 1, "no such file or folder: 'none'"),
        ("evaluate bicubic set --degrade blur", 2, "--degrade blur: expected bicubic"),
        ("evaluate bicubic truth@2", 2, "shrinking by 2 makes a truth"),
        ("evaluate bicubic set --pictures", 2, "--pictures needs -o"),
        ("evaluate bicubic set -o kept.csv", 2, "is a file; name a folder"),
        ("evaluate bicubic set -crf 20", 2, "takes the options of models"),
        ("evaluate identity set", 1, "the result is 64x48, the reference 80x48"),
    ],
)
def test_what_is_refused(
    line: str, code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "truth")
    pictures(tmp_path / "long", 4)
    pictures(tmp_path / "large", width=80)
    pictures(tmp_path / "set" / "gt", width=80)
    pictures(tmp_path / "set" / "lr")
    (tmp_path / "kept.csv").write_text("kept")
    before = sorted(path.name for path in tmp_path.iterdir())
    found, _, err = run(line, capsys)
    assert found == code, err
    assert message in err
    assert err.count("error:") == (code != 0 and bool(message))
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "kept.csv").read_text() == "kept"


def test_rates_that_differ_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video(tmp_path / "a.mp4")
    video(tmp_path / "b.mp4", rate=50)
    code, _, err = run(f"metrics {tmp_path}/a.mp4 {tmp_path}/b.mp4 --metric mse_y", capsys)
    assert code == 0
    assert "the result has 25 frames a second, the reference 50; frames are paired by their order" in err


def test_evaluate_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for clip, seed in (("a", 0), ("b", 5)):
        pictures(tmp_path / "set" / "GT" / clip)
        (tmp_path / "set" / "BIx4" / clip).mkdir(parents=True)
        for path in sorted((tmp_path / "set" / "GT" / clip).iterdir()):
            small = Image.open(path).resize((16, 12), Image.Resampling.BICUBIC)
            small.point(lambda v, s=seed: v + s).save(tmp_path / "set" / "BIx4" / clip / path.name)
    chain = "scale=4*iw:4*ih:flags=neighbor"
    line = f"evaluate bicubic,rt set --with {chain} --metric psnr_y --metric flicker -o out --pictures"
    code, out, err = run(line, capsys)
    assert (code, "all clips" in out) == (0, True), err
    found = strict(tmp_path / "out" / "scores.json")
    means = found["mean_of_clips"]
    assert means["rt"]["psnr_y"] > means["bicubic"]["psnr_y"] > means[chain]["psnr_y"] + 0.3
    assert len((tmp_path / "out" / "frames.csv").read_text().splitlines()) == 1 + 3 * 2 * 3
    assert len((tmp_path / "out" / "means.csv").read_text().splitlines()) == 1 + 3 * 2
    assert cv2.imread("out/means.png") is not None
    # What was measured is what is in the pictures.
    assert run("metrics out/bicubic/b set/GT/b --metric psnr_y --json b.json", capsys)[0] == 0
    one = next(r for r in found["results"] if (r["method"], r["clip"]) == ("bicubic", "b"))
    assert strict(tmp_path / "b.json")["mean"] == pytest.approx({"psnr_y": one["mean"]["psnr_y"]}, abs=1e-4)
    code, _, err = run(line, capsys)
    assert (code, "frames.csv already; -y overwrites it" in err) == (2, True)


def test_evaluate_makes_inputs_and_does_without_truths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video(tmp_path / "clips.mp4", 2)
    psnr = {}
    for how in ("bicubic", "bd", "noise=25", "h264=45"):
        target = tmp_path / how
        code, _, err = run(
            f"evaluate bicubic {tmp_path}/clips.mp4 --degrade {how} --metric psnr_y -o {target} --quiet", capsys
        )
        assert (code, err) == (0, "")
        psnr[how] = strict(target / "scores.json")["mean_of_clips"]["bicubic"]["psnr_y"]
    assert psnr["bicubic"] == max(psnr.values())
    assert len(set(psnr.values())) == 4
    pictures(tmp_path / "lq" / "0", 3, 12, 16)
    code, out, err = run(f"evaluate bicubic {tmp_path}/lq --metric warping_error --metric brisque", capsys)
    assert code == 0, err
    assert "no-reference metrics at frames 0, 50, 99 alone" in err
    assert "psnr" not in out


def test_a_clip_that_fails_loses_nothing_that_was_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for clip in ("1", "2"):
        pictures(tmp_path / "set" / "gt" / clip)
        pictures(tmp_path / "set" / "lr" / clip, height=12, width=16)
    broken = tmp_path / "set" / "lr" / "2" / "00000001.png"
    broken.unlink()
    broken.symlink_to("nowhere.png")
    code, _, err = run(f"evaluate bicubic {tmp_path}/set --metric mse_y -o {tmp_path}/out", capsys)
    assert (code, "00000001.png" in err) == (1, True)
    assert [r["clip"] for r in strict(tmp_path / "out" / "scores.json")["results"]] == ["1"]


def test_the_lines_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    video(tmp_path / "truth.mp4", 2)
    video(tmp_path / "out.mp4", 2, crf=30)
    pictures(tmp_path / "Vid4" / "GT" / "calendar", 2)
    pictures(tmp_path / "Vid4" / "BIx4" / "calendar", 2, 12, 16)
    pictures(tmp_path / "VideoLQ" / "000", 2, 12, 16)
    text = (DOCS / "metrics.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("streamvsr ")]
    assert len(lines) >= 5
    for line in lines:
        assert run(line.removeprefix("streamvsr "), capsys)[0] == 0, line


def test_every_metric_stands_on_the_page() -> None:
    from streamvsr.metrics.table import METRICS

    text = (DOCS / "metrics.md").read_text(encoding="utf-8")
    assert [name for name in METRICS if f"| `{name}` |" not in text] == []


def test_help_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    from streamvsr.metrics.options import EvaluateOptions, MetricsOptions
    from streamvsr.options import options_of

    for command, group in (("metrics", MetricsOptions), ("evaluate", EvaluateOptions)):
        code, out, _ = run(f"{command} --help", capsys)
        assert code == 0
        assert max(map(len, out.splitlines())) <= 90
        assert all(face.flags[0] in out for _, face in options_of(group))


def test_measures_are_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than two frames of an input are alive at any time, whatever its length."""
    import gc

    from streamvsr.config import Config, InputOptions, OutputOptions
    from streamvsr.frames import Frame
    from streamvsr.metrics import compare
    from streamvsr.metrics.options import MeasureOptions

    pictures(tmp_path / "a", 60)
    most = 0

    def count(frames: int, _: int | None) -> None:
        nonlocal most
        if frames > 30 and frames % 10 == 0:
            most = max(most, sum(type(one) is Frame for one in gc.get_objects()))

    compare.compare(
        str(tmp_path / "a"), str(tmp_path / "a"), Config(InputOptions(), OutputOptions()),
        MeasureOptions(metrics=("mse_y", "flicker")), warn=print, note=print, on_progress=count,
    )  # fmt: skip
    # Two inputs with a ring of 16 decoded frames and one of 4 finished ones each, and what is in hand.
    assert 0 < most <= 2 * (16 + 4 + 4)


def test_videos_of_two_lengths_are_told_before_a_frame_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from streamvsr.metrics import compare

    video(tmp_path / "long.mp4", 6)
    video(tmp_path / "short.mp4", 4)
    line = f"metrics {tmp_path}/long.mp4 {tmp_path}/short.mp4 --metric mse_y --quiet"
    assert run(f"{line} --shortest", capsys)[0] == 0
    assert run(f"{line.replace(' --quiet', '')} -frames:v 3", capsys)[0] == 0
    monkeypatch.setattr(compare, "load", lambda *_, **__: pytest.fail("something is measured"))
    code, _, err = run(line, capsys)
    assert code == 1
    assert "short.mp4' has 4 frames, " in err
