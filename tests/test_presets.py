"""Runs as files: what a preset may say, what wins over what, and what is told about it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streamvsr import presets
from streamvsr.cli import main
from streamvsr.cli.parser import Invocation, parse
from streamvsr.config import Config
from streamvsr.errors import UsageError
from tests.outputs import info, numbers, write
from tests.probe import probe

pytestmark = pytest.mark.io


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings folder of our own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    folder = tmp_path / "settings" / "streamvsr" / "presets"
    folder.mkdir(parents=True)
    return folder


def preset(folder: Path, text: str, name: str = "mine") -> str:
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def config_of(invocation: Invocation) -> Config:
    assert invocation.config is not None
    return invocation.config


def test_the_shipped_ones_are_there_and_sound() -> None:
    assert {"archive", "live", "preview"} <= set(presets.names())
    for name in ("archive", "live", "preview"):
        assert presets.load(name).description
        config_of(parse(["--preset", name, "a", "b.mkv"]))


@pytest.mark.parametrize("name", ["archive", "live", "preview"])
def test_the_shipped_encoders_work(name: str, tmp_path: Path, ffprobe: str) -> None:
    source, target = tmp_path / "in.mp4", tmp_path / "out.mkv"
    write(source, info(), [n * 3003 for n in range(8)], crf=1.0)
    words = ["--preset", name, "--model", "identity", "--quiet", str(source), str(target)]
    assert main(words) == 0
    assert numbers(target) == list(range(8))
    stream = probe(ffprobe, target).of_type("video")[0]
    expected = ("hevc", "yuv420p10le") if name == "archive" else ("h264", "yuv420p")
    assert (stream["codec_name"], stream["pix_fmt"]) == expected


def test_the_command_line_wins_wherever_it_stands() -> None:
    for words in (["--preset", "archive", "a", "-crf", "9", "b"], ["a", "-crf", "9", "b", "--preset", "archive"]):
        invocation = parse(words)
        output = config_of(invocation).output
        assert (output.crf, output.video_codec, output.preset) == (9.0, "libx265", "slow")
        assert invocation.origins["output", "crf"] == "command line"
        assert invocation.origins["output", "preset"] == "preset archive"
        assert ("output", "gop") not in invocation.origins


def test_a_bit_rate_takes_the_place_of_a_quality() -> None:
    output = config_of(parse(["--preset", "preview", "a", "-b:v", "1M", "b"])).output
    assert (output.bit_rate, output.crf) == ("1M", None)


def test_another_encoder_does_not_get_settings_that_were_not_meant_for_it() -> None:
    invocation = parse(["--preset", "archive", "a", "-c:v", "ffv1", "b"])
    output = config_of(invocation).output
    assert (output.video_codec, output.crf, output.preset, output.pixel_format) == ("ffv1", None, None, None)
    assert output.options == {}
    assert "not ffv1" in invocation.notes[0]
    same = config_of(parse(["--preset", "archive", "a", "-c:v", "libx265", "b"])).output
    assert same.preset == "slow"


def test_the_later_preset_lies_over_the_earlier(tmp_path: Path) -> None:
    mine = preset(tmp_path, "[output]\ncrf = 30\n")
    assert config_of(parse(["--preset", "archive", "--preset", mine, "a", "b"])).output.crf == 30
    assert config_of(parse(["--preset", mine, "--preset", "archive", "a", "b"])).output.crf == 15
    slim = preset(tmp_path, "[output]\nbit_rate = '1M'\n", "slim")
    output = config_of(parse(["--preset", "archive", "--preset", slim, "a", "b"])).output
    assert (output.crf, output.bit_rate) == (None, "1M")


def test_another_encoder_of_a_later_preset_takes_the_earlier_ones_settings_away(tmp_path: Path) -> None:
    for_x265 = "video_codec = 'libx265'\ncrf = 15\nan = true\n[output.options]\nx265-params = 'a=1'"
    one = preset(tmp_path, f"[output]\n{for_x265}")
    two = preset(tmp_path, "[output]\nvideo_codec = 'libx264'", "two")
    three = preset(tmp_path, "[output]\npixel_format = 'gray'", "three")
    invocation = parse(["--preset", one, "--preset", two, "--preset", three, "a", "b"])
    output = config_of(invocation).output
    assert (output.video_codec, output.crf, output.no_audio, output.options) == ("libx264", None, True, {})
    assert output.pixel_format == "gray"
    from_presets = {name for group, name in invocation.origins if group == "output"}
    assert from_presets == {"video_codec", "no_audio", "pixel_format"}
    same = config_of(parse(["--preset", one, "--preset", three, "a", "b"])).output
    assert (same.crf, same.options, same.pixel_format) == (15, {"x265-params": "a=1"}, "gray")


def test_all_kinds_of_values(tmp_path: Path) -> None:
    mine = preset(
        tmp_path,
        """
        description = "everything"
        [input]
        ss = "00:01:00"
        duration = 2.5
        "r" = "30000/1001"
        [input.options]
        rtsp_transport = "tcp"
        [model]
        model = "rt"
        max-seq-len = 7
        [output]
        "c:v" = "libx264"
        size = "hd720"
        an = true
        metadata = ["title=x", "comment=y"]
        map = ["0:v", "0:s"]
        g = 0
        [output.options]
        tune = "film"
        level = 4.1
        """,
    )
    config = config_of(parse(["--preset", mine, "a", "b"]))
    assert (config.input.start, config.input.duration) == (60, 2.5)
    assert str(config.input.rate) == "30000/1001"
    assert config.input.options == {"rtsp_transport": "tcp"}
    assert (config.model.model, config.model.max_seq_len) == ("rt", 7)
    output = config.output
    assert (output.video_codec, output.size, output.no_audio, output.gop) == ("libx264", (1280, 720), True, 0)
    assert (output.metadata, output.maps) == (("title=x", "comment=y"), ("0:v", "0:s"))
    assert output.options == {"tune": "film", "level": "4.1"}


ERRORS = {
    "[output]\ncrff = 3": r"\[output\] has no 'crff': did you mean crf",
    "[outptu]\ncrf = 3": "unknown section 'outptu': did you mean output",
    "crf = 3": "unknown section 'crf'",
    "output = 3": r"output: expected one section \[output\] of names and values",
    "[[output]]\ncrf = 3": r"output: expected one section \[output\]",
    "description = 3": "description: expected a text",
    "[output\ncrf = 3": "is not TOML: .*line 1",
    "[output]\ncrf = 'good'": "crf good: expected a number",
    "[output]\ncrf = true": "crf: expected one value",
    "[output]\ncrf = -3\npath = 'x'": "path: the output stands on the command line",
    "[input]\npath = '/etc/passwd'": "path: the input stands",
    "[output]\noverwrite = true": "overwrite: whether to overwrite is said on the command line",
    "[output]\ny = true": "y: whether to overwrite",
    "[model]\nconfig = 'evil.py'": "config: a config is a program",
    "[output]\nno_audio = 'yes'": "expected true or false",
    "[output]\ncrf = 3\n'crf' = 4": "is not TOML",
    "[output]\nno_audio = true\nan = true": "given twice",
    "[output]\nmetadata = [1]": "expected texts in brackets",
    "[output]\nmetadata = ['title']": "expected KEY=VALUE",
    "[output]\noptions = 'x'": "expected a section",
    "[output.options]\ntune = true": "tune: expected a text or a number",
    "[model]\npropagation = 'both'": "choose one of carry, window",
    "[run]\nquiet = true": "unknown section 'run'",
}


@pytest.mark.parametrize(("text", "message"), ERRORS.items(), ids=ERRORS)
def test_mistakes_are_told_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    mine = preset(tmp_path, text)
    with pytest.raises(UsageError, match=message) as caught:
        parse(["--preset", mine, "a", "b"])
    assert "\n" not in str(caught.value)


def test_unknown_names() -> None:
    with pytest.raises(UsageError, match=r"no preset 'archiv': did you mean archive"):
        parse(["--preset", "archiv", "a", "b"])
    with pytest.raises(UsageError, match=r"-preset slow, with one dash, is the encoder's"):
        parse(["--preset", "slow", "a", "b"])
    with pytest.raises(UsageError, match=r"missing\.toml' cannot be read: No such file"):
        parse(["--preset", "missing.toml", "a", "b"])
    for name in ("mine.yaml", "./mine.yml"):
        with pytest.raises(UsageError, match=f"preset '{name}': a preset is a TOML file"):
            parse(["--preset", name, "a", "b"])
    with pytest.raises(UsageError, match="too large"):
        parse(["--preset", "/dev/zero", "a", "b"])


def test_one_dash_stays_the_encoders() -> None:
    assert config_of(parse(["a", "-preset", "slow", "b"])).output.preset == "slow"


def test_ones_own_are_found_by_name_and_go_first(home: Path) -> None:
    preset(home, "[output]\ncrf = 31\n", "live")
    preset(home, "[output]\ncrf = 32\n", "night")
    assert config_of(parse(["--preset", "live", "a", "b"])).output.crf == 31
    assert config_of(parse(["--preset", "night", "a", "b"])).output.crf == 32
    assert "night" in presets.names()


def test_what_holds_is_printed_with_where_it_comes_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--print-config", "--preset", "archive", "-ss", "1.5", "a", "-crf", "9", "-tune", "grain", "b"]) == 0
    text = capsys.readouterr().out
    for line, origin in (
        ('video_codec = "libx265"', "preset archive"),
        ("crf = 9.0", "command line"),
        ('tune = "grain"', "command line"),
        ('start = "1.5"', "command line"),
        ('audio_codec = "copy"', "default"),
        ("# gop is not set", "default"),
    ):
        assert re.search(rf"^{re.escape(line)} +# {origin}$", text, re.MULTILINE), line


def test_what_is_printed_is_a_preset_that_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "-ss",
        "1.25",
        "-r",
        "ntsc",
        "--preset",
        "archive",
        "a",
        "-metadata",
        'title="q" \\ \x07',
        "-s",
        "64x48",
        "-an",
    ]
    assert main(["--print-config", *words, "b"]) == 0
    mine = preset(tmp_path, capsys.readouterr().out)
    assert config_of(parse(["--preset", mine, "a", "b"])) == config_of(parse([*words, "b"]))


def test_nothing_is_needed_to_look_at_a_preset(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--preset", "live", "--print-config"]) == 0
    assert 'tune = "zerolatency"' in capsys.readouterr().out
