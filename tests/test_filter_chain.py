"""From a chain's text to filters: what is refused and where it points, what is made of it, what the commands say."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from streamvsr import networks
from streamvsr.build import build
from streamvsr.cli import main
from streamvsr.config import Config, InputOptions, ModelOptions, OutputOptions
from streamvsr.errors import FilterError, StreamvsrError, UsageError
from streamvsr.filters.base import Filter
from streamvsr.filters.compose import compose, configure, has_vsr
from streamvsr.filters.cv.frame_filter import FrameFilter
from streamvsr.filters.language import parse
from streamvsr.filters.libav import info as libav_info
from streamvsr.filters.registry import ENTRIES, STAND_INS
from streamvsr.frames import PIXEL_FORMATS, Frame, StreamInfo

pytestmark = pytest.mark.io

INFO = StreamInfo(64, 48, PIXEL_FORMATS["yuv420p"], Fraction(1, 25), Fraction(25))


def no_vsr(options: Mapping[str, Any], info: StreamInfo, last: bool) -> Sequence[Filter]:
    return []


BAD = [
    # chain, column, what is said
    ("unsharpen", 1, "no filter 'unsharpen'; near names: unsharp"),
    ("hflip,scal=3:4", 7, "no filter 'scal'; near names: scale"),
    ("bwdiff", 1, "near names: bwdif"),
    ("hflip, xyzzy", 8, "streamvsr filters lists them"),
    ("cv.scale=2", 1, "FFmpeg's is scale"),
    ("av.vsr", 1, "no filter 'av.vsr'; near names: vsr"),
    ("hqdn3d=4", 1, "not in PyAV's builds; instead: atadenoise"),
    ("null,boxblur=2", 6, "instead: avgblur"),
    ("zscale=w=3", 1, "instead: scale"),
    ("scale=640:360:flag=area", 15, "no option 'flag'; near names: flags"),
    ("unsharp=luma_amont=3", 9, "no option 'luma_amont'; near names: luma_amount"),
    ("unsharp=5:5:99", 13, "out of range"),
    ("unsharp=la=much", 9, "unsharp does not take 'much'"),
    ("unsharp=3:3:3:3:3:3:3:3:3:10", 27, "No option name near"),
    ("scale=w=", 7, "Invalid size"),
    ("scale=flags=wrong", 7, "wrong"),
    ("scale=w=foo+1", 7, "foo"),
    ("removelogo", 1, "file name is mandatory"),
    ("lut3d=/nowhere.cube", 7, "No such file"),
    ("hue=s=0:enable=foo(", 9, "evaluating the expression"),
    ("crop=40:40:enable=1", 12, "takes no 'enable'"),
    ("hflip,overlay", 7, "overlay has 2 inputs and 1 output"),
    ("split", 1, "split has 1 input and 2 outputs"),
    ("select=outputs=2:e=1", 1, "2 outputs"),
    ("color=red", 1, "no input and 1 output"),
    ("afade", 1, "for sound"),
    ("vsr=foo=1", 5, "vsr has no option 'foo'; 'streamvsr filters vsr' lists"),
    ("vsr=max_seq_len=x", 5, "max_seq_len of vsr wants a whole number of at least 1, not 'x'"),
    ("vsr=propagation=back", 5, "one of carry, window"),
    ("vsr=enable=1", 5, "vsr takes no 'enable': only some filters of FFmpeg's can be timed"),
    ("hflip,gaussian=5:enable='between(t,2,4)'", 18, "gaussian takes no 'enable'"),
    ("gaussian=4", 10, "odd whole number"),
    ("gaussian=size=3:99", 17, "needs its name"),
    ("traditional=4:5", 15, "traditional has 1 option: '5' is too much"),
    ("mean=3_1", 6, "an odd whole number from 3 to 31, not '3_1'"),
    ("vsr=max_seq_len=1_0", 5, "a whole number of at least 1, not '1_0'"),
    ("bicubic=0.5", 9, "WIDTHxHEIGHT, or a factor from 1 to 64, not '0.5'"),
    ("bicubic=0x20", 9, "WIDTHxHEIGHT, or a factor"),
]


@pytest.mark.parametrize(("chain", "column", "says"), BAD, ids=[b[0] for b in BAD])
def test_what_is_wrong_with_the_text(chain: str, column: int, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        compose(parse(chain))
    assert str(caught.value).startswith(f"-vf, at column {column}: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("chain", "column", "says"),
    [
        ("crop=9999:3", 1, "too big or non positive size"),
        ("hflip,pad=3:4,vflip", 7, "Padded dimensions cannot be smaller"),
        ("laplacian,hflip,crop=w=iw*2", 17, "too big"),
        ("fps=abc", 1, "'abc'"),
        ("bicubic=16x16", 1, "larger"),
        ("bicubic,lanczos=60000x60000", 9, "at most 32767"),
        ("hflip,nearest=16256x16256", 7, "nearest makes frames of 16256x16256, and FFmpeg takes none much larger"),
        ("format=yuv420p10le,cv.median=7", 20, "3 or 5"),
    ],
)
def test_what_the_frames_do_not_allow(chain: str, column: int, says: str) -> None:
    with pytest.raises(StreamvsrError) as caught:
        configure(compose(parse(chain)), INFO, no_vsr)
    assert str(caught.value).startswith(f"-vf, at column {column}: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [(16255, 16255), (16256, 16256), (100000, 2552), (100000, 2553)])
def test_the_largest_frame_is_ffmpegs(size: tuple[int, int]) -> None:
    class Blank(FrameFilter):
        name = "blank"

        def configure(self, info: StreamInfo) -> StreamInfo:
            return replace(info, width=size[0], height=size[1])

        def apply(self, frame: Frame) -> Frame:
            raise NotImplementedError

    try:
        av.VideoFrame(*size, "gray")
    except av.ArgumentError:
        with pytest.raises(FilterError, match="column 1"):
            configure(compose(parse("vsr")), INFO, lambda *_: [Blank()])
    else:
        configure(compose(parse("vsr")), INFO, lambda *_: [Blank()])


@pytest.mark.parametrize(
    ("chain", "column"), [("hflip,nearest=500x20,vflip", 7), ("null,scale=500:20,hflip,laplacian", 6)]
)
@pytest.mark.usefixtures("ffmpeg")
def test_a_size_that_the_encoder_refuses_has_its_column(chain: str, column: int, tmp_path: Path) -> None:
    clip, out = tmp_path / "in.nut", tmp_path / "out.avi"
    made = "testsrc2=s=64x18:r=25:d=0.2"
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", made, "-c:v", "ffv1", str(clip)], check=True)
    with pytest.raises(UsageError, match=rf"h261 refuses 500x20 .*; -vf makes this size at column {column}$"):
        build(Config(InputOptions(str(clip)), OutputOptions(str(out), filters=chain, video_codec="h261")), warn=print)
    assert os.listdir(tmp_path) == ["in.nut"]


def test_nothing_is_opened_before_the_chain_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.mkv"
    assert main([str(tmp_path / "missing.mp4"), "-vf", "hflip,vsar", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: -vf, at column 7: there is no filter 'vsar'; near names: vsr")
    assert error.count("\n") == 1
    assert not out.exists()


def test_neighbours_of_ffmpeg_are_one_graph() -> None:
    steps = compose(parse("hflip,vflip,laplacian,cv.median,median,vsr,null,av.scale=2:2"))
    assert [[link.name for link in step.links] for step in steps] == [
        ["hflip", "vflip"], ["laplacian"], ["cv.median"], ["median"], ["vsr"], ["null", "av.scale"],
    ]  # fmt: skip
    filters, info = configure(steps, INFO, no_vsr)
    assert [one.name for one in filters] == ["hflip+vflip", "laplacian", "median", "median", "null+scale"]
    assert (info.width, info.height) == (2, 2)
    assert has_vsr(steps)
    assert not has_vsr(steps[:4])


def test_geometry_goes_along_the_chain() -> None:
    seen = []

    def vsr(options: Mapping[str, Any], info: StreamInfo, last: bool) -> Sequence[Filter]:
        seen.append((dict(options), info.width, info.height, info.frame_rate, info.format.name, last))
        return []

    chain = "scale=32:24,vsr=model=rt,bwdif=1,bicubic=2,format=yuv444p10le,vsr=bicubic:max_seq_len=3:scale=2"
    _, info = configure(compose(parse(chain)), INFO, vsr)
    assert seen == [
        ({"model": "rt"}, 32, 24, 25, "yuv420p", False),
        ({"model": "bicubic", "max_seq_len": 3, "scale": 2.0}, 64, 48, 50, "yuv444p10le", True),
    ]
    assert (info.frame_rate, info.time_base) == (50, Fraction(1, 50))


class Made:
    """Stands in for ``make_vsr`` and remembers what was asked of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[ModelOptions, dict[str, Any]]] = []
        monkeypatch.setattr(networks, "make_vsr", self)

    def __call__(self, options: ModelOptions, *_: object, **overrides: Any) -> tuple[list[Filter], str]:
        self.asked.append((options, overrides))
        return [], f"model {options.model}"


def built(tmp_path: Path, chain: str | None, model: ModelOptions | None = None, **output: Any) -> list[str]:
    """The notes of a run that is built over a one-picture clip and not started."""
    picture = tmp_path / "in.png"
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc=s=32x24:d=0.04", str(picture)]
    subprocess.run(command, check=True)
    target = OutputOptions(path=str(tmp_path / "out.mkv"), overwrite=True, filters=chain, **output)
    model = model or ModelOptions()
    run = build(Config(InputOptions(path=str(picture)), target, model), warn=print)
    run.abort()
    return run.notes


@pytest.mark.usefixtures("ffmpeg")
def test_vsr_takes_the_rest_from_the_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch)
    options = ModelOptions(model="rt", checkpoint="a.pth", max_seq_len=9, overlap=2)
    chain = "vsr,vsr=max_seq_len=20,vsr=bicubic:overlap=1:scene_threshold=0:max_history=12:tile=off"
    notes = built(tmp_path, chain, options)
    asked = [(o.model, o.checkpoint, o.max_seq_len, o.overlap) for o, _ in made.asked]
    assert asked == [("rt", "a.pth", 9, 2), ("rt", "a.pth", 20, 2), ("bicubic", None, 9, 1)]
    assert [(o.scene_threshold, o.max_history, o.tile) for o, _ in made.asked[1:]] == [
        (8, None, "auto"),
        (0, 12, "off"),
    ]
    assert [o["output_format"] for _, o in made.asked] == [None, None, "yuv420p"]
    assert notes[:2] == ["model rt", "model bicubic"]


@pytest.mark.usefixtures("ffmpeg")
def test_without_vsr_nothing_of_the_network_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch)
    assert built(tmp_path, "hflip", size=(16, 12)) == ["no network: there is no vsr in -vf"]
    assert built(tmp_path, "hflip", ModelOptions(model="identity")) == []
    for model in (ModelOptions(model="rt"), ModelOptions(checkpoint="a.pth"), ModelOptions(config="c.py")):
        with pytest.raises(UsageError, match=r"^--\w+ \S+: there is no vsr in -vf"):
            built(tmp_path, "hflip", model)
    assert made.asked == []
    assert built(tmp_path, None, rate=Fraction(10), size=(16, 12)) == ["model auto"]


@pytest.mark.usefixtures("ffmpeg")
def test_errors_of_sizes_from_the_command_line_name_no_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Made(monkeypatch)
    with pytest.raises(FilterError, match=r"^filter scale="):
        built(tmp_path, None, size=(1, 10**8))


def test_a_transcoder_needs_no_torch(tmp_path: Path, ffmpeg: str) -> None:
    clip = tmp_path / "in.nut"
    made = "testsrc2=s=64x48:r=25:d=0.4"
    subprocess.run([ffmpeg, "-v", "error", "-f", "lavfi", "-i", made, "-c:v", "ffv1", str(clip)], check=True)
    code = (
        "import sys; from streamvsr.cli import main;"
        f"assert main([{str(clip)!r}, '-vf', 'bwdif,traditional,fps=10', '-y', '--quiet', {str(tmp_path / 'o.mkv')!r}])"
        " == 0; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_stand_in_is_needed_and_there() -> None:
    known = {*libav_info.names(), *(own.written for own in ENTRIES.values())}
    for name, instead in STAND_INS.items():
        assert not libav_info.has(name), f"{name} is here: take it out of the table"
        words = instead.replace("nothing here", "").replace(",", " ").replace("=", " ").split()
        assert known & set(words) or "pipe" in instead, f"{name}: none of {instead!r} is a filter"


def test_names_of_both() -> None:
    for own in ENTRIES.values():
        assert own.prefixed == libav_info.has(own.name), f"{own.name}: cv. alone reaches what FFmpeg has too"


def test_the_list_of_filters(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["filters"]) == 0
    out = capsys.readouterr().out
    for word in ("vsr ", "cv.median ", "bwdif *", "hqdn3d ", "traditional"):
        assert f"\n  {word}" in out
    assert max(map(len, out.splitlines())) <= 79


@pytest.mark.parametrize("name", [own.written for own in ENTRIES.values() if own.name != "vsr"])
def test_our_filters_are_explained(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["filters", name]) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) > 4
    for param in ENTRIES[name.removeprefix("cv.")].params:
        assert f"\n  {param.name} " in out


def test_ffmpegs_filters_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["filters", "unsharp"]) == 0
    out = capsys.readouterr().out
    assert "luma_amount, la" in out
    assert "from -2 to 5" in out
    assert main(["filters", "hqdn3d"]) == 2
    assert "atadenoise" in capsys.readouterr().err
    assert main(["filters", "overlay"]) == 0
    assert "cannot stand in a chain" in capsys.readouterr().out


def test_where_the_time_goes(tmp_path: Path, ffmpeg: str, capsys: pytest.CaptureFixture[str]) -> None:
    clip = tmp_path / "in.nut"
    made = "testsrc2=s=64x48:r=25:d=0.4"
    subprocess.run([ffmpeg, "-v", "error", "-f", "lavfi", "-i", made, "-c:v", "ffv1", str(clip)], check=True)
    assert main([str(clip), "-vf", "fps=50,laplacian,canny", "-y", "--stats", str(tmp_path / "out.mkv")]) == 0
    rows = [line.split() for line in capsys.readouterr().err.splitlines()]
    counts = {row[0]: row[1] for row in rows if len(row) > 1}
    assert {name: counts[name] for name in ("fps", "laplacian", "canny", "fps+laplacian+canny")} == {
        "fps": "10", "laplacian": "20", "canny": "20", "fps+laplacian+canny": "20",
    }  # fmt: skip


def test_the_documentation_names_every_filter_of_ours() -> None:
    text = (Path(__file__).parent.parent / "docs" / "filters.md").read_text()
    for own in ENTRIES.values():
        options = ":".join(param.name for param in own.params)
        assert own.name == "vsr" or f"| `{own.written}={options}` |" in text
        assert own.name != "vsr" or all(f"`{param.name}`" in text for param in own.params)
