"""Command lines, as people type them, to configurations."""

from __future__ import annotations

import contextlib
import re
import shlex
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamvsr.cli import ffmpeg_compat as habits
from streamvsr.cli.parser import parse
from streamvsr.cli.tokens import FLAGS
from streamvsr.config import GROUPS, Config, InputOptions, ModelOptions, OutputOptions, RunOptions
from streamvsr.errors import UsageError
from streamvsr.options import options_of

pytestmark = pytest.mark.io


def config_of(line: str) -> Config:
    config = parse(shlex.split(line)).config
    assert config is not None
    return config


def make(**groups: dict[str, Any]) -> Config:
    made = {name: cls(**groups.get(name, {})) for name, cls in GROUPS.items()}
    paths = {
        name: replace(made[name], path=made[name].path or short) for name, short in (("input", "a"), ("output", "b"))
    }
    return Config(**made | paths)


LINES: list[tuple[str, dict[str, dict[str, Any]]]] = [
    ("a b", {}),
    ("-i a b", {}),
    ("a -- b", {}),
    ("-i a -- -b.mp4", {"output": {"path": "-b.mp4"}}),
    ("-- a b", {}),
    ("-ss 5 a -crf 20 b", {"input": {"start": 5}, "output": {"crf": 20.0}}),
    ("-t 3 a -t 2 b", {"input": {"duration": 3}, "output": {"duration": 2}}),
    ("a -t 2 b", {"output": {"duration": 2}}),
    ("a b -t 2", {"output": {"duration": 2}}),
    ("-ss 1 -to 00:00:02.5 -i a b", {"input": {"start": 1, "end": Fraction(5, 2)}}),
    ("-r ntsc -f rawvideo -s hd720 -pix_fmt yuv420p -i - b",
     {"input": {"path": "-", "rate": Fraction(30000, 1001), "format": "rawvideo", "size": (1280, 720),
                "pixel_format": "yuv420p"}}),
    ("-y -i a b", {"output": {"overwrite": True}}),
    ("-n a b", {"output": {"overwrite": False}}),
    ("a b -y", {"output": {"overwrite": True}}),
    ("-y -n a b", {"output": {"overwrite": False}}),
    ("-an a -sn b -dn", {"output": {"no_audio": True, "no_subtitles": True, "no_data": True}}),
    ("a -map 0:v:1 -map -0:a b", {"output": {"maps": ("0:v:1", "-0:a")}}),
    ("a -metadata title=x -metadata comment= b", {"output": {"metadata": ("title=x", "comment=")}}),
    ("a -c:v libx265 -c:a aac -c:s mov_text b",
     {"output": {"video_codec": "libx265", "audio_codec": "aac", "subtitle_codec": "mov_text"}}),
    ("a -vcodec libx265 -acodec aac -scodec srt b",
     {"output": {"video_codec": "libx265", "audio_codec": "aac", "subtitle_codec": "srt"}}),
    ("a -codec:v libx264 -b:v 2M -b:a 96k b",
     {"output": {"video_codec": "libx264", "bit_rate": "2M", "audio_bit_rate": "96k"}}),
    ("a -c:v:0 libx264 -crf:v 18 -preset:v:0 slow -b:v:0 1M b",
     {"output": {"video_codec": "libx264", "crf": 18.0, "preset": "slow", "bit_rate": "1M"}}),
    ("a -c:a:0 aac -codec:a:1 copy b", {"output": {"options": {"c:a:0": "aac", "codec:a:1": "copy"}}}),
    ("a -frames:v 10 -g 0 -pix_fmt yuv420p10le b", {"output": {"frames": 10, "gop": 0, "pixel_format": "yuv420p10le"}}),
    ("a -vframes 10 b", {"output": {"frames": 10}}),
    ("-rtsp_transport tcp -i a -tune:v film -movflags +faststart -x264-params a=1:b=2 b",
     {"input": {"options": {"rtsp_transport": "tcp"}},
      "output": {"options": {"tune:v": "film", "movflags": "+faststart", "x264-params": "a=1:b=2"}}}),
    ("-threads 2 a -threads 3 --threads 4 b",
     {"input": {"options": {"threads": "2"}}, "output": {"options": {"threads": "3"}}, "model": {"threads": 4}}),
    ("a -level -99 b", {"output": {"options": {"level": "-99"}}}),
    ("--model rt --max-seq-len 5 a b --overlap=2", {"model": {"model": "rt", "max_seq_len": 5, "overlap": 2}}),
    ("a b --max_seq_len=5 --propagation window", {"model": {"max_seq_len": 5, "propagation": "window"}}),
    ("a --config c.py --checkpoint x=y.pth b", {"model": {"config": "c.py", "checkpoint": "x=y.pth"}}),
    ("a --checkpoint=x=y.pth b", {"model": {"checkpoint": "x=y.pth"}}),
    ("--quiet a --stats b --debug", {"run": {"quiet": True, "stats": True, "debug": True}}),
    ("-hide_banner -nostdin -stats -loglevel error a b", {"run": {"quiet": True, "no_stdin": True}}),
    ("-v verbose a b", {"run": {"debug": True}}),
    ("-v repeat+level+debug a b", {"run": {"debug": True}}),
    ("-v 16 a b", {"run": {"quiet": True}}),
    ("-v info a b", {}),
    ("- -", {"input": {"path": "-"}, "output": {"path": "-"}}),
    ("pipe: pipe:1", {"input": {"path": "-"}, "output": {"path": "-"}}),
    ("-i pipe:0 -f nut pipe:", {"input": {"path": "-"}, "output": {"path": "-", "format": "nut"}}),
    ("pipe:3 pipe:4", {"input": {"path": "pipe:3"}, "output": {"path": "pipe:4"}}),
    ("rtsp://u:p@h/x rtmp://h/y", {"input": {"path": "rtsp://u:p@h/x"}, "output": {"path": "rtmp://h/y"}}),
    ("'C:\\a b.mp4' '%05d.png'", {"input": {"path": "C:\\a b.mp4"}, "output": {"path": "%05d.png"}}),
    ("a.py b.mp4", {"input": {"path": "a.py"}, "output": {"path": "b.mp4"}}),
]  # fmt: skip


@pytest.mark.parametrize(("line", "groups"), LINES, ids=[line for line, _ in LINES])
def test_line(line: str, groups: dict[str, dict[str, Any]]) -> None:
    assert config_of(line) == make(**groups)


ERRORS: list[tuple[str, str]] = [
    ("--model rt", "no input"),
    ("a", "no output for 'a'"),
    ("-i a", "no output for 'a'"),
    ("-bogus a", "no input .*'a' was read as the value of -bogus"),
    ("a.mp4", "no output for 'a.mp4': streamvsr a.mp4 a_x4.mp4"),
    ("a.avi b.avi -o c.mkv", "-o c.mkv: several files go into a folder"),
    ("a -bogus b", "no output .*'b' was read as the value of -bogus"),
    ("a b c", "two outputs, 'b' and 'c': a run writes one; .* -o"),
    ("-i a -i b c", "two inputs, 'a' and 'b'"),
    ("a -i b", "two inputs, 'a' and 'b'"),
    ("'' b", "empty"),
    ("-i", "-i needs a value"),
    ("a b -crf", "-crf needs a value"),
    ("a -crf -preset slow b", "-crf needs a value, not the option -preset"),
    ("a --model --quiet b", "--model needs a value, not the option --quiet"),
    ("a b --modle rt", "--modle: did you mean --model"),
    ("a b --max-seq-length 5", "did you mean --max-seq-len"),
    ("a b --crf 5", "did you mean -crf"),
    ("a b -model rt", "did you mean --model"),
    ("a b -max_seq_len 5", "did you mean --max-seq-len"),
    ("a b --zzzzzz", "--help lists them"),
    ("a b --quiet=1", "takes no value"),
    ("a b --fps 25", "belongs to the call CONFIG.py"),
    ("a b --is_save_as_png 1", "belongs to the call CONFIG.py"),
    ("-crf 20 a b", "-crf is an option of the output: write it after the input"),
    ("-c:v h264 -i a b", "-c:v is an option of the output"),
    ("a -5 b", "-5: not an option"),
    ("-ss -5 a b", "-ss -5: a time before"),
    ("a -t x b", "-t x: expected a time"),
    ("a -r 0 b", "-r 0: expected frames per second"),
    ("a -s 720 b", "-s 720: expected WIDTHxHEIGHT"),
    ("a -b:v fast b", "-b:v fast: expected bits"),
    ("a -crf x b", "-crf x: expected a number"),
    ("a -g 1.5 b", "-g 1.5: expected a whole number"),
    ("a -g -1 b", "-g -1: must be at least 0"),
    ("a -frames:v 0 b", "-frames:v 0: must be at least 1"),
    ("a -metadata title b", "-metadata title: expected KEY=VALUE"),
    ("a b --max-seq-len 0", "--max-seq-len 0: must be at least 1"),
    ("a b --backend torch", "--backend torch: choose one of native, mmedit"),
    ("a b --backend mmedit --config c.py", "--backend mmedit needs --config, which .* and its --checkpoint"),
    ("a b --backend mmedit --config c.py --checkpoint d.pth --model rt", "it is --config that names the network"),
    ("a b --propagation both", "--propagation both: choose one of carry, window"),
    ("a b --max-seq-len 5 --overlap 5", "--overlap 5 must be less than"),
    ("a b --model=", "--model : expected a value"),
    ("-ss 5 -to 5 a b", "-to of the input must lie after its -ss"),
    ("a -c:v copy b", "goes through the network"),
    ("a -vcodec copy b", "goes through the network"),
    ("-v loud a b", "-v loud: expected one of quiet"),
]


@pytest.mark.parametrize(("line", "message"), ERRORS, ids=[line for line, _ in ERRORS])
def test_error(line: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse(shlex.split(line))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", ["-i a.mp4 -o b.mp4 -crf 20", "a.mp4 -crf 20 -o b.mp4"])
def test_one_input_and_o_with_a_videos_name_is_a_run(line: str) -> None:
    assert parse(shlex.split(line)).config == config_of("a.mp4 -crf 20 b.mp4")
    assert parse(["a.mp4", "-o", "b"]).call.output_folder == "b"


def test_a_length_wins_over_an_end_as_in_ffmpeg() -> None:
    invocation = parse(shlex.split("-t 1 -to 2 a b -ss 3 -to 2 -t 5"))
    assert invocation.config is not None
    assert invocation.config.input == InputOptions(path="a", duration=Fraction(1), end=Fraction(2))
    assert invocation.notes == ("-t and -to of the input: -t counts", "-t and -to of the output: -t counts")


@pytest.mark.parametrize("flag", sorted(habits.REFUSED))
def test_what_ffmpeg_has_and_we_do_not_is_refused_with_advice(flag: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"{flag}: {habits.REFUSED[flag]}")):
        parse(["a", flag, "x", "b"])


def test_habits_do_not_hide_an_option_that_we_have() -> None:
    assert not (set(habits.REFUSED) | habits.IGNORED | habits.LOG_LEVEL_FLAGS) & set(FLAGS)


@pytest.mark.parametrize(
    ("line", "show"),
    [
        ("-h", "help"),
        ("a b --help", "help"),
        ("--modle --help", "help"),
        ("--version", "version"),
        ("-version", "version"),
    ],
)
def test_texts_win_over_mistakes(line: str, show: str) -> None:
    assert parse(line.split()).show == show


def test_help_after_the_end_of_options_is_a_path() -> None:
    assert parse(["a", "--", "--help"]).show is None


VALUES: dict[str, st.SearchStrategy[str]] = {
    "--model": st.sampled_from(["rt", "bicubic"]),
    "--backend": st.just("native"),
    "--config": st.just("c.py"),
    "--checkpoint": st.just("x.pth"),
    "--max-seq-len": st.integers(20, 99).map(str),
    "--overlap": st.integers(0, 19).map(str),
    "--propagation": st.sampled_from(["carry", "window"]),
    "--scene-threshold": st.integers(0, 99).map(str),
    "--max-history": st.integers(0, 99).map(str),
    "--dynamic-refine-thres": st.integers(0, 255).map(str),
    "--refine-rule": st.sampled_from(["frame", "window"]),
    "--tile": st.sampled_from(["auto", "off", "256"]),
    "--scale": st.sampled_from(["2", "1.5", "1080p", "640x480"]),
    "--strength": st.sampled_from(["0", "0.5", "1"]),
    "--denoise": st.sampled_from(["0", "1"]),
    "--detail": st.sampled_from(["0", "2"]),
    "--steady": st.sampled_from(["auto", "on", "off"]),
    "--device": st.sampled_from(["cpu", "cuda:1"]),
    "--precision": st.sampled_from(["fp32", "bf16"]),
    "--threads": st.integers(1, 99).map(str),
    "--output-timeout": st.integers(1, 99).map(str),
    "--preset": st.sampled_from(["archive", "preview"]),
    "--max-latency": st.integers(1, 99).map(str),
    "--duration": st.integers(1, 99).map(str),
    "--reconnect": st.integers(0, 99).map(str),
    "--open-timeout": st.integers(1, 99).map(str),
    "--read-timeout": st.integers(1, 99).map(str),
    "--workers": st.integers(1, 99).map(str),
    "--progress": st.sampled_from(["bar", "lines", "json", "none"]),
    "--live-pair": st.sampled_from(["pairs", "here/pairs"]),
    "--ray": st.sampled_from(["auto", "host:6379"]),
}
SWITCHES = (
    "--compile",
    "--cuda-graphs",
    "--quiet",
    "--debug",
    "--stats",
    "--dry-run",
    "--print-config",
    "--live",
    "--resume",
    "--restart",
)
WITH_A_FOLDER = {"--suffix", "--skip-existing", "--recursive"}
OPPOSITES = {"--no-resume"}
WITH_WORKERS = {"--same-device-only"}


def test_the_order_test_below_knows_all_our_options() -> None:
    assert set(VALUES) | set(SWITCHES) | WITH_A_FOLDER | OPPOSITES | WITH_WORKERS == {
        flag for flag in FLAGS if flag.startswith("--")
    }


@given(st.data())
def test_our_options_mean_the_same_in_any_order_place_and_spelling(data: st.DataObject) -> None:
    coin = st.booleans()
    chosen = data.draw(st.lists(st.sampled_from([*VALUES, *SWITCHES]), unique=True))
    words = {flag: [flag, data.draw(VALUES[flag])] if flag in VALUES else [flag] for flag in chosen}
    straight = parse(["a", "b", *(word for flag in chosen for word in words[flag])])

    pieces: list[list[str]] = []
    for flag in data.draw(st.permutations(chosen)):
        name, *value = words[flag]
        name = "--" + name[2:].replace("-", "_") if data.draw(coin) else name
        joined = data.draw(coin)
        pieces.append([f"{name}={value[0]}"] if value and joined else [name, *value])
    cuts = sorted(data.draw(st.integers(0, len(pieces))) for _ in range(2))
    pieces.insert(cuts[1], ["b"])
    with_i = data.draw(coin)
    pieces.insert(cuts[0], ["-i", "a"] if with_i else ["a"])
    assert parse([word for piece in pieces for word in piece]) == straight


@given(
    start=st.fractions(0, 10_000, max_denominator=1000),
    rate=st.fractions(Fraction(1, 10), 240, max_denominator=1001),
    size=st.tuples(st.integers(1, 9999), st.integers(1, 9999)),
    crf=st.floats(0, 63).map(lambda x: round(x, 2)),
    gop=st.integers(0, 999),
    overwrite=st.sampled_from([None, True, False]),
    options=st.dictionaries(st.sampled_from(["tune", "movflags", "q:v", "profile:v"]), st.from_regex(r"[a-z0-9+]+\Z")),
)
def test_round_trip(
    start: Fraction,
    rate: Fraction,
    size: tuple[int, int],
    crf: float,
    gop: int,
    overwrite: bool | None,
    options: dict[str, str],
) -> None:
    microseconds = round(start * 1_000_000)
    words = ["-ss", f"{microseconds}us", "-i", "a", "-r", f"{rate.numerator}/{rate.denominator}"]
    words += ["-s", f"{size[0]}x{size[1]}", "-crf", f"{crf:.2f}", "-g", str(gop)]
    words += [] if overwrite is None else ["-y" if overwrite else "-n"]
    words += [word for name, value in options.items() for word in (f"-{name}", value)]
    output = OutputOptions(path="b", rate=rate, size=size, crf=crf, gop=gop, overwrite=overwrite, options=options)
    expected = Config(InputOptions(path="a", start=Fraction(microseconds, 1_000_000)), output)
    assert parse([*words, "b"]).config == expected


@given(st.lists(st.text(max_size=8) | st.sampled_from([*FLAGS, *habits.REFUSED, "-i", "-", "--", "a.py", "b.pth"])))
def test_no_line_raises_anything_but_a_usage_error(words: list[str]) -> None:
    with contextlib.suppress(UsageError):
        parse(words)


@pytest.mark.parametrize("group", GROUPS)
def test_the_kind_of_each_option_gives_the_type_of_its_field(group: str) -> None:
    kinds = {
        "text": str, "integer": int, "number": float, "time": Fraction, "rate": Fraction, "size": tuple[int, int],
        "bit_rate": str, "flag": bool, "yes_no": bool, "list": tuple[str, ...], "pairs": tuple[str, ...],
        "target": float | tuple[int, int],
    }  # fmt: skip
    hints = get_type_hints(GROUPS[group])
    for name, face in options_of(GROUPS[group]):
        if not face.choices:
            assert hints[name] in (kinds[face.kind], kinds[face.kind] | None), name
        assert face.help, name
        assert bool(face.metavar) == (face.kind not in ("flag", "yes_no")), name


def test_each_field_is_an_option_a_path_or_the_rest() -> None:
    for cls in (InputOptions, OutputOptions, ModelOptions, RunOptions):
        assert {f.name for f in fields(cls)} - {name for name, _ in options_of(cls)} <= {"path", "options"}
