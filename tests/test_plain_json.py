"""Whatever describes a run, its input or its parts is plain data: through JSON and back it is equal."""

from __future__ import annotations

import json
from dataclasses import fields
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamvsr.config import GROUPS
from streamvsr.frames import PIXEL_FORMATS, Chapter, Color, Mastering, MediaInfo, Packet, PixelFormat, StreamInfo, Track
from streamvsr.jobs.plan import InputIdentity, Plan, Segment
from streamvsr.jobs.store import PartialOutput, SegmentRecord
from streamvsr.plain_json import from_json, plain, to_json

pytestmark = pytest.mark.io

# What JSON can hold: no lone surrogates, and integers that msgspec's do not exceed.
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
TICKS = st.integers(-(2**63), 2**63 - 1)
TAGS = st.dictionaries(TEXT, TEXT, max_size=3)
FRACTION = st.fractions()
for known, strategy in (
    (PixelFormat, st.sampled_from(list(PIXEL_FORMATS.values()))),
    (Fraction, FRACTION),
    (Color, st.builds(Color, full_range=st.sampled_from([None, True, False]), matrix=st.integers(0, 20))),
):
    st.register_type_strategy(known, strategy)

STREAM = st.builds(
    StreamInfo,
    frame_rate=st.none() | FRACTION,
    mastering=st.none() | st.builds(Mastering, luminance=st.none() | st.tuples(FRACTION, FRACTION)),
    frames_hint=st.none() | TICKS,
    width=TICKS,
    height=TICKS,
    rotation=TICKS,
)
TRACK = st.builds(
    Track,
    index=TICKS,
    kind=st.sampled_from(["audio", "subtitle", "attachment", "data"]),
    codec=TEXT,
    metadata=TAGS,
    disposition=TICKS,
    profile=TEXT,
    extradata=st.binary(max_size=40),
    sample_rate=TICKS,
    channels=TICKS,
    layout=TEXT,
    bitmap=st.booleans(),
)
MEDIA = st.builds(
    MediaInfo,
    video=STREAM,
    tracks=st.lists(TRACK, max_size=2).map(tuple),
    metadata=TAGS,
    video_metadata=TAGS,
    video_disposition=TICKS,
    chapters=st.lists(st.builds(Chapter, start=TICKS, end=TICKS, metadata=TAGS), max_size=2).map(tuple),
    duration=st.none() | FRACTION,
)
SEGMENT = st.builds(
    Segment, start=st.none() | TICKS, end=st.none() | TICKS, before=TICKS, after=TICKS, entry=st.none() | TICKS
)
VALUE = st.none() | st.booleans() | TICKS | TEXT | st.lists(TICKS, max_size=2)
PLAN = st.builds(
    Plan,
    input=st.builds(InputIdentity, path=TEXT, bytes=TICKS, modified_ns=TICKS, sha256_of_ends=TEXT),
    options=st.dictionaries(TEXT, st.dictionaries(TEXT, VALUE, max_size=2), max_size=2),
    models=st.lists(TEXT, max_size=2).map(tuple),
    versions=TAGS,
    segments=st.lists(SEGMENT, max_size=3).map(tuple),
    decoded_through=TEXT,
    format=TICKS,
)
RECORD = st.builds(SegmentRecord, sha256=TEXT, frames=TICKS, start=st.none() | FRACTION, end=st.none() | FRACTION)
PACKET = st.builds(
    Packet,
    track=TICKS,
    data=st.binary(max_size=20),
    pts=st.none() | TICKS,
    dts=st.none() | TICKS,
    duration=TICKS,
    side_data=st.lists(st.tuples(TEXT, st.binary(max_size=9)), max_size=2).map(tuple),
)
PARTIAL = st.builds(PartialOutput, bytes=TICKS, modified_ns=TICKS)


@given(st.one_of(STREAM, TRACK, MEDIA, SEGMENT, PLAN, RECORD, PACKET, PARTIAL))
def test_what_goes_through_json_comes_back_equal(value: Any) -> None:
    data = to_json(value)
    back = from_json(data, type(value))
    assert back == value
    assert to_json(back) == data
    assert json.loads(data) == plain(value)


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_has_a_plain_value(group: str) -> None:
    options = GROUPS[group]()
    assert set(plain(options)) == {f.name for f in fields(options)}


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"bytes": "x", "modified_ns": 1}', b"\xff", b"{" * 5000])
def test_what_is_none_of_it_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
        from_json(data, PartialOutput)


def test_numbers_that_are_none() -> None:
    with pytest.raises(ValueError, match="1/0"):
        from_json(b'{"sha256": "", "frames": 1, "start": "1/0", "end": null}', SegmentRecord)


def test_no_description_holds_an_object_of_pyav() -> None:
    for kind in (StreamInfo, Track, MediaInfo, Chapter, Packet, Segment, Plan, SegmentRecord):
        assert [f.name for f in fields(kind) if "Any" in str(f.type) and "options" not in f.name] == []
