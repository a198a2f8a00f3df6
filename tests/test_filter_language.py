"""The grammar of ``-vf``: written and read back, and read as ffmpeg itself reads it."""

from __future__ import annotations

import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamvsr.errors import UsageError
from streamvsr.filters.language import Link, parse, settings, write, write_settings

pytestmark = pytest.mark.io

HARD = "\\'[],;:=@ \t\n.%é{}|0aZ"
names = st.text("abcXYZ019_-.", min_size=1, max_size=8)
keys = st.text("abc_-/.9", min_size=1, max_size=6)
values = st.text(HARD, max_size=12)
pairs = st.lists(st.tuples(keys, values), max_size=4)


@st.composite
def written_links(draw: st.DrawFn) -> tuple[str, str, list[tuple[str, str]]]:
    return draw(names), draw(st.text("ab1", max_size=2)), draw(pairs)


@given(st.lists(written_links(), min_size=1, max_size=4))
def test_what_is_written_is_read_back(wanted: list[tuple[str, str, list[tuple[str, str]]]]) -> None:
    links = [Link(name, write_settings(given), instance=instance) for name, instance, given in wanted]
    chain = write(links)
    found = parse(chain)
    assert [(link.name, link.instance) for link in found] == [(name, instance) for name, instance, _ in wanted]
    assert [[(s.key, s.value) for s in settings(link)] for link in found] == [
        [(key, value) for key, value in given] for _, _, given in wanted
    ]
    assert write(found) == chain


@given(st.lists(st.text(HARD, min_size=1, max_size=6), min_size=1, max_size=4))
def test_values_by_position(wanted: list[str]) -> None:
    # A value that looks like KEY= is one, and has to be given with its name.
    wanted = [value for value in wanted if not re.match(r"[ \t\n]*[a-zA-Z0-9_./-]*[ \t\n]*=", value)]
    (link,) = parse(write([Link("f", write_settings([(None, value) for value in wanted]))]))
    assert [(s.key, s.value) for s in settings(link)] == [(None, value) for value in wanted]


@given(st.text("ab=:,;[]'\\ @", max_size=20))
def test_anything_is_read_or_refused_in_one_line(chain: str) -> None:
    try:
        links = parse(chain)
        for link in links:
            settings(link)
    except UsageError as error:
        refused = str(error)
    else:
        refused = ""
    if refused:
        assert re.fullmatch(r"-vf, at column \d+: .+", refused)
        return
    # Reading, writing and reading again changes nothing.
    again = parse(write(links))
    assert [(a.name, a.arguments) for a in again] == [(a.name, a.arguments) for a in links]


@given(st.lists(st.tuples(names, pairs), min_size=1, max_size=4), st.lists(st.sampled_from(["", " ", "\n", "  "])))
def test_columns_point_into_the_chain(wanted: list[tuple[str, list[tuple[str, str]]]], gaps: list[str]) -> None:
    texts = [write([Link(name, write_settings(options))]) for name, options in wanted]
    chain = ",".join(gap + text for gap, text in zip((gaps + [""] * 4)[: len(texts)], texts, strict=True))
    for link, (name, options) in zip(parse(chain), wanted, strict=True):
        assert chain[link.column - 1 :].startswith(name)
        assert len(link.columns) == len(link.arguments) + 1
        for setting, (key, _) in zip(settings(link), options, strict=True):
            assert chain[setting.column - 1 :].startswith(key)


@pytest.mark.parametrize(
    ("chain", "links"),
    [
        ("hflip", [("hflip", "")]),
        (" hflip , vflip ", [("hflip", ""), ("vflip", "")]),
        ("[in]hflip[out]", [("hflip", "")]),
        ("a=1:b=2", [("a", "1:b=2")]),
        ("f@first=x=1", [("f", "x=1")]),
        (r"f='a,b'", [("f", "a,b")]),
        (r"f=a\,b", [("f", "a,b")]),
        (r"f=a\\,b", [("f", "a\\"), ("b", "")]),
        (r"f='a\,b'", [("f", "a\\,b")]),
        (r"f='it'\''s'", [("f", "it's")]),
        (r"f=text=C\\:/x", [("f", r"text=C\:/x")]),
        ("f=\n  w=1\n  :h=2", [("f", "w=1\n  :h=2")]),
        ("f= ' x '", [("f", " x ")]),
        ("f=a=b=c", [("f", "a=b=c")]),
        ("f=\\", [("f", "\\")]),
    ],
)
def test_the_first_level(chain: str, links: list[tuple[str, str]]) -> None:
    assert [(link.name, link.arguments) for link in parse(chain)] == links


@pytest.mark.parametrize(
    ("chain", "column", "says"),
    [
        ("", 1, "chain is empty"),
        ("  ", 3, "chain is empty"),
        ("hflip,,vflip", 7, "no filter here"),
        ("hflip,", 7, "no filter here"),
        ("=3", 1, "no filter here"),
        ("hflip;vflip", 6, "second chain"),
        ("[a]hflip", 1, "link labels"),
        ("hflip[a]", 6, "link labels"),
        ("hflip[out],vflip", 6, "link labels"),
        ("crop=w[1]", 7, "link labels"),
        ("hflip,scale='3:4", 13, "never closed"),
        ("split[a][b];[a][b]overlay", 6, "link labels"),
    ],
)
def test_what_is_no_chain(chain: str, column: int, says: str) -> None:
    with pytest.raises(UsageError, match=rf"^-vf, at column {column}: .*{says}"):
        parse(chain)


def test_a_quote_inside_of_a_value_that_is_never_closed() -> None:
    (link,) = parse(r"f=a=1:b=\'x")
    with pytest.raises(UsageError, match=r"at column 9: this quote is never closed"):
        settings(link)


@pytest.mark.parametrize(
    "value",
    [
        "plain",
        r"a\\:b",
        r"a\\\:b",
        r"'a,b'",
        r"a\,b\;c\[d\]",
        r"it\\\'s",
        r"'a b'  ",
        r"\\\ x\\\ ",
        r"'C\:/x'",
        r"a\=b",
    ],
)
def test_ffmpeg_reads_the_same(value: str, ffmpeg: str) -> None:
    """``metadata`` prints the value that ffmpeg has read; we read it from the same text."""
    chain = f"metadata=mode=add:key=k:value={value},metadata=mode=print:file=-"
    command = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", "color=s=16x16:d=0.04", "-vf", chain, "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.partition("\nk=")[2].removesuffix("\n") == settings(parse(chain)[0])[2].value
