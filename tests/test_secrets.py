"""Nothing secret reaches the screen: of URLs, of options, whatever becomes of the command line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import streamvsr
from streamvsr.cli.app import main
from streamvsr.cli.secret_words import typed_secrets
from streamvsr.media.demux.options import DEMUXER_OPTIONS
from streamvsr.options import SENSITIVE_OPTIONS, is_sensitive
from streamvsr.secrets import mask, mask_url, parse_url, secrets_in

pytestmark = pytest.mark.io


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("rtsp://u:p@h/x", "rtsp://***@h/x"),
        ("rtsp://u:p@ss@h/x", "rtsp://***@h/x"),
        ("rtsp://u:pa/ss@h/x", "rtsp://***@h/x"),
        ("rtsp://u:pa'ss@h/x", "rtsp://***@h/x"),
        ('rtsp://u:pa"s s@h/x', "rtsp://***@h/x"),
        ("rtsp://u:pa|s#s?@h/x", "rtsp://***@h/x"),
        ("async:https://u:p@h/x", "async:https://***@h/x"),
        ("[f=rtsp:onfail=ignore]rtsp://u:p w@h/x", "[f=rtsp:onfail=ignore]rtsp://***@h/x"),
        (r"movie='rtsp\://adm\:secret@h\:1/x'", r"movie='rtsp\://***@h\:1/x'"),
        ("http://h:8080/a@b.ts", "http://h:8080/a@b.ts"),
        ("http://[::1]:8080/a@b.ts", "http://[::1]:8080/a@b.ts"),
        ("rtmp://h/live2/abcd-efgh", "rtmp://h/live2/***"),
        ("rtmps://h:443/app/instance/key", "rtmps://h:443/app/***"),
        ("rtmp://h/live", "rtmp://h/live"),
        ("http://h/a.ts?token=abc&t=1", "http://h/a.ts?token=***&t=1"),
        ("http://h/a.ts?jwt=abc", "http://h/a.ts?jwt=***"),
        ("http://h/a.ts?X-Amz-Signature=a&AWSAccessKeyId=b", "http://h/a.ts?X-Amz-Signature=***&AWSAccessKeyId=***"),
        ("http://h/a.ts?st=abcdef&e=99", "http://h/a.ts?st=***&e=99"),
        ("http://h/a.ts?whatever=0123456789abcdef", "http://h/a.ts?whatever=***"),
        ("http://h/hdnts=exp=1~hmac=ab/a.m3u8", "http://h/hdnts=***~hmac=***/a.m3u8"),
        ("udp://h:1?fifo_size=500000&localaddr=10.0.0.1", "udp://h:1?fifo_size=500000&localaddr=10.0.0.1"),
        ("srt://h:1?mode=listener&passphrase=abc&streamid=x", "srt://h:1?mode=listener&passphrase=***&streamid=***"),
        ("rtsp://USER:PASSWORD@HOST/...", "rtsp://USER:PASSWORD@HOST/..."),
        ("plain@file.mp4", "plain@file.mp4"),
        ("what?key=1.mp4", "what?key=1.mp4"),
    ],
)
def test_a_url(given: str, shown: str) -> None:
    assert mask_url(given) == shown
    assert mask_url(shown) == shown
    assert mask(shown) == shown
    for part in secrets_in(given):
        assert part == "***" or len(part) < 4 or part not in shown


def test_urls_in_a_text() -> None:
    assert mask("one http://a:b@c/ two 'rtmp://d@e/f' 3") == "one http://***@c/ two 'rtmp://***@e/f' 3"
    assert mask("mail a@b.c about http://h/x") == "mail a@b.c about http://h/x"


def test_the_parts_make_the_whole() -> None:
    for text in ("a:rtsp://u:p@h:1/x?y=1#z", "http://h", "http://h?x", "srt://u@h:1"):
        url = parse_url(text)
        assert url is not None
        user = "" if url.user is None else f"{url.user}@"
        assert f"{url.head}{user}{url.host}{url.path}{url.query}" == text
    assert parse_url("C:/x/y.mp4") is None


SECRET = "S3CR3T'x y"
CALLS = [
    [f"rtsp://adm:{SECRET}@127.0.0.1:1/a", "o.mp4"],
    [f"http://127.0.0.1:1/x?jwt={SECRET}", "o.mp4"],
    [f"http://adm:{SECRET}@127.0.0.1:1/x.py", "two", "three"],
    ["--config", f"http://adm:{SECRET}@127.0.0.1:1/x.py", "in.mp4", "o.mp4"],
    ["--checkpoint", f"https://h/x.pth?token={SECRET}", "in.mp4", "o.mp4"],
    ["--preset", f"https://adm:{SECRET}@h/x.toml", "in.mp4", "o.mp4"],
    ["in.mp4", f"rtmp://127.0.0.1:1/live2/{SECRET}"],
    ["in.mp4", "-f", "tee", f"[f=flv]rtmp://127.0.0.1:1/live2/{SECRET}|[x"],
    ["in.mp4", "-vf", rf"movie='rtsp\://adm\:{SECRET}@h/x',nope", "o.mp4"],
    ["-headers", f"Authorization: Bearer {SECRET}", "in.mp4"],
    ["--debug", "-headers", f"Authorization: Bearer {SECRET}", "in.mp4", "o.mp4"],
    ["metrics", f"rtsp://adm:{SECRET}@127.0.0.1:1/a", "b.mp4"],
    ["compare", f"rtsp://adm:{SECRET}@127.0.0.1:1/a", "b.mp4", "o.mp4"],
    *([["--print-config", f"-{name}", SECRET, "in.mp4", "o.mp4"] for name in sorted(SENSITIVE_OPTIONS)]),
]


@pytest.mark.parametrize("words", CALLS, ids=lambda words: " ".join(words)[:30])
def test_no_command_shows_a_secret(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code = main(words)
    shown = "".join(capfd.readouterr())
    assert shown
    assert code == 0 or "internal" not in shown
    assert "S3CR3T" not in shown


def test_the_hint_for_a_wrong_password_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    from av.error import HTTPUnauthorizedError

    from streamvsr.cli.console import Console
    from streamvsr.media.av_errors import source_error

    Console().error(source_error(HTTPUnauthorizedError(1, "401"), "http://adm:wrong@h/x"))
    shown = capfd.readouterr().err
    assert "USER:PASSWORD@HOST" in shown
    assert "wrong@" not in shown


def test_secrets_of_one_call_are_forgotten_by_the_next(capfd: pytest.CaptureFixture[str]) -> None:
    main(["rtsp://adm:nothere@127.0.0.1:1/a", "b", "c"])
    main(["nothere.mp4", "out.mp4"])
    assert "nothere.mp4" in capfd.readouterr().err


def test_options_of_either_spelling() -> None:
    assert "abcdef" in typed_secrets(["-cookies", "sid=abcdef"])
    assert "abcdef" in typed_secrets(["-decryption_key:v", "abcdef"])
    assert "abcdef" in typed_secrets(["-cryptokey=abcdef"])
    assert not typed_secrets(["-g", "abcdef"])


HARMLESS = {"auth_type", "key_file", "hls_key_info_file", "prefer_x_start"}


def test_every_option_that_sounds_like_a_secret_is_declared_as_one() -> None:
    telling = re.compile(r"key|pass|pwd|secret|cookie|header|token|-user|_conn|playpath")
    missing = {name for name in DEMUXER_OPTIONS if telling.search(name) and not is_sensitive(name)}
    assert missing <= HARMLESS, "declare them in config.SENSITIVE_OPTIONS, or here"


def test_nothing_else_takes_urls_apart_to_hide_them() -> None:
    package = Path(streamvsr.__file__).parent
    assert [p.name for p in package.rglob("*.py") if '"***' in p.read_text() and p.name != "secrets.py"] == ["run.py"]


def test_the_plan_of_a_job_holds_none(tmp_path: Path) -> None:
    from streamvsr.config import Config, InputOptions, OutputOptions
    from streamvsr.jobs.plan import stated_options

    given = InputOptions("in.mp4", options={"decryption_key": "S3CR3T", "probesize": "5000"})
    output = OutputOptions("o.mp4", filters=r"movie='rtsp\://adm\:S3CR3T@h/x'", options={"cookies": "S3CR3T"})
    stated = stated_options(Config(given, output))
    assert "S3CR3T" not in str(stated)
    assert stated["input"]["options"]["probesize"] == "5000"
    # Another key makes another video.
    other = InputOptions("in.mp4", options={"decryption_key": "0THER", "probesize": "5000"})
    assert stated_options(Config(other, output)) != stated
