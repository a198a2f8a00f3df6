"""Tracks beside the video: copied to the byte, converted with their times, or left out with a word of why."""

from __future__ import annotations

import itertools
import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from streamvsr.errors import UsageError
from streamvsr.frames import Packet, Track
from streamvsr.media.av_packets import av_packet
from streamvsr.media.mux.timestamps import Timestamps
from streamvsr.media.mux.tracks import audio_specific_config
from tests.outputs import Shown, distance, info, median, remake, write

pytestmark = pytest.mark.io

MILLISECOND = Fraction(1, 1000)


@pytest.fixture
def clips(shared_data: Path) -> Path:
    return shared_data / "clips"


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "ts", "nut"])
@pytest.mark.parametrize("clip", ["chapters.mp4", "water_cc0_360p.mp4", "mpeg2_1080p.ts"])
def test_copied_audio_is_the_same_to_the_byte_and_keeps_its_distance(
    clips: Path, tmp_path: Path, ffprobe: str, clip: str, suffix: str
) -> None:
    out = tmp_path / f"out.{suffix}"
    remake(clips / clip, out)
    before, after = Shown(ffprobe, clips / clip), Shown(ffprobe, out)
    if suffix != "ts":
        # TS wraps AAC anew; there the decoded samples are compared by their times only.
        assert after.hashes(after.of("audio")[0]) == before.hashes(before.of("audio")[0])
    if suffix == "nut" or clip.endswith(".ts"):
        # ffprobe 5.1 gives no pts for reordered video in NUT and MPEG-2; the others cover the sum.
        return
    assert distance(before, after) <= MILLISECOND


def test_several_tracks_keep_order_language_and_disposition(clips: Path, tmp_path: Path, ffprobe: str) -> None:
    clip, out = clips / "nasa_multitrack.mp4", tmp_path / "out.mp4"
    remake(clip, out)
    before, after = Shown(ffprobe, clip), Shown(ffprobe, out)
    for kind, count in (("audio", 2), ("subtitle", 2)):
        old, new = before.of(kind), after.of(kind)
        assert len(new) == count
        for a, b in zip(old, new, strict=True):
            assert after.hashes(b) == before.hashes(a)
            assert b["tags"]["language"] == a["tags"]["language"]
            assert b["tags"]["handler_name"] == a["tags"]["handler_name"]
            assert b["disposition"] == a["disposition"]
    for place in (0, 1):
        assert distance(before, after, place=place) <= MILLISECOND
        assert distance(before, after, "subtitle", place) <= MILLISECOND


def test_chapters_and_container_tags_are_kept(clips: Path, tmp_path: Path, ffprobe: str) -> None:
    for clip, suffix in (("chapters.mp4", "mkv"), ("chapters_444.mkv", "mp4"), ("chapters.mp4", "mov")):
        out = tmp_path / f"out.{suffix}"
        remake(clips / clip, out, overwrite=True, metadata=("title=A title",))
        before, after = Shown(ffprobe, clips / clip), Shown(ffprobe, out)
        assert before.whole["chapters"]
        for a, b in zip(before.whole["chapters"], after.whole["chapters"], strict=True):
            assert abs(float(a["start_time"]) - float(b["start_time"])) <= 0.001
            assert a["tags"]["title"] == b["tags"]["title"]
        assert after.whole["format"]["tags"]["title"] == "A title"


def test_chapters_are_named_where_they_cannot_be_kept(clips: Path, tmp_path: Path) -> None:
    said = remake(clips / "chapters.mp4", tmp_path / "out.ts")
    assert said[0] == "mpegts cannot hold chapters: 3 left out"
    assert said[1].startswith("mpegts has no place for these tags: ")


def test_pcm_becomes_aac_in_mp4_with_the_same_length_and_sound(clips: Path, tmp_path: Path, ffprobe: str) -> None:
    clip, out = clips / "pcm_1080p50.mov", tmp_path / "out.mp4"
    (warning,) = remake(clip, out, audio_bit_rate="128k")
    assert "pcm_s16le" in warning
    assert "aac" in warning
    shown = Shown(ffprobe, out)
    (audio,) = shown.of("audio")
    assert (audio["codec_name"], audio["sample_rate"], audio["channels"]) == ("aac", "48000", 2)
    assert abs(float(audio["duration"]) - float(Shown(ffprobe, clip).of("audio")[0]["duration"])) < 0.001
    before, after = _samples(clip), _samples(out)
    best = max(range(-1200, 1201, 1), key=lambda shift: _agreement(before, after, shift))
    assert abs(best) <= 2, f"the sound has moved by {best} samples"


def _samples(path: Path) -> list[float]:
    import numpy as np

    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        parts, start = [], None
        for frame in container.decode(stream):
            start = frame.pts * frame.time_base if start is None else start
            parts.append(frame.to_ndarray().astype(float).reshape(-1))
        first = container.streams.audio[0].codec_context.format.is_packed
        sound = np.concatenate([p[::2] if first else p[: len(p) // 2] for p in parts])
    shift = round(float(start or 0) * 48000)
    sound = np.concatenate([np.zeros(max(shift, 0)), sound[max(-shift, 0) :]])[20000:60000]
    sound = (sound - sound.mean()) / (sound.std() or 1)
    return list(sound)


def _agreement(a: list[float], b: list[float], shift: int) -> float:
    import numpy as np

    x, y = np.asarray(a[2000:30000]), np.asarray(b[2000 + shift : 30000 + shift])
    return float((x * y).sum())


@pytest.mark.parametrize(
    ("clip", "suffix", "codec"),
    [
        ("flower_cc0_540p.webm", "ts", "aac"),
        ("flower_cc0_540p.webm", "mov", "aac"),
        ("interlaced_480i.mp4", "webm", "opus"),
        ("bbb_1080p60_vp8.webm", "avi", "ac3"),
        ("bbb_1080p60_vp8.webm", "flv", "aac"),
    ],
)
def test_audio_that_a_container_cannot_hold_is_converted(
    clips: Path, tmp_path: Path, ffprobe: str, clip: str, suffix: str, codec: str
) -> None:
    out = tmp_path / f"out.{suffix}"
    warnings = remake(clips / clip, out, seconds=1)
    assert any("becomes" in w for w in warnings)
    audio = Shown(ffprobe, out).of("audio")[0]
    assert audio["codec_name"] == codec
    assert audio["channels"] == Shown(ffprobe, clips / clip).of("audio")[0]["channels"]


def test_one_audio_track_in_flv_where_players_hear_two_as_one(clips: Path, tmp_path: Path, ffprobe: str) -> None:
    warnings = remake(clips / "nasa_multitrack.mp4", tmp_path / "out.flv", seconds=1)
    assert len(Shown(ffprobe, tmp_path / "out.flv").of("audio")) == 1
    assert any("audio track" in line and "flv cannot hold it" in line for line in warnings)


def test_mxf_gets_its_sound_at_its_only_rate(clips: Path, tmp_path: Path, ffprobe: str) -> None:
    remake(clips / "water_cc0_360p.mp4", tmp_path / "out.mxf", seconds=1)
    (audio,) = Shown(ffprobe, tmp_path / "out.mxf").of("audio")
    assert (audio["codec_name"], audio["sample_rate"]) == ("pcm_s16le", "48000")


def test_converted_audio_has_no_gaps_though_the_input_counts_in_milliseconds(
    clips: Path, tmp_path: Path, ffprobe: str
) -> None:
    out = tmp_path / "out.mp4"
    remake(clips / "flower_cc0_540p.webm", out, audio_codec="aac")
    shown = Shown(ffprobe, out)
    times = shown.times(shown.of("audio")[0])
    assert {b - a for a, b in itertools.pairwise(times)} == {Fraction(1024, 44100)}


def test_an_explicit_audio_codec_and_its_options_are_taken(clips: Path, tmp_path: Path, ffprobe: str) -> None:
    out = tmp_path / "out.mkv"
    remake(clips / "water_cc0_360p.mp4", out, audio_codec="flac", options={"ar": "48000", "ac": "2"})
    (audio,) = Shown(ffprobe, out).of("audio")
    assert (audio["codec_name"], audio["sample_rate"], audio["channels"]) == ("flac", "48000", 2)
    with pytest.raises(UsageError, match="libopus"):
        remake(clips / "water_cc0_360p.mp4", tmp_path / "x.mkv", audio_codec="libopuss")
    with pytest.raises(UsageError, match="nonsense"):
        remake(clips / "water_cc0_360p.mp4", tmp_path / "x.mkv", audio_codec="aac", options={"nonsense:a": "1"})


def test_audio_settings_that_an_encoder_does_not_have(clips: Path, tmp_path: Path, ffprobe: str) -> None:
    # 16 kHz is too low for the usual bit rate, 5.1 too much for mp3.
    remake(clips / "nasa_multitrack.mp4", tmp_path / "a.mkv", audio_codec="mp2", seconds=0.5)
    assert len(Shown(ffprobe, tmp_path / "a.mkv").of("audio")) == 2
    remake(clips / "bbb_1080p60_vp8.webm", tmp_path / "b.mkv", audio_codec="mp3", seconds=0.5)
    assert Shown(ffprobe, tmp_path / "b.mkv").of("audio")[0]["channels"] == 2
    with pytest.raises(UsageError, match="5k"):
        remake(clips / "water_cc0_360p.mp4", tmp_path / "c.mkv", audio_codec="mp2", audio_bit_rate="5k")


def _texts(ffmpeg: str, path: Path) -> list[str]:
    done = subprocess.run(
        [ffmpeg, "-v", "error", "-i", str(path), "-map", "0:s:0", "-f", "srt", "-"],
        capture_output=True, check=True, text=True,
    )  # fmt: skip
    return [line for line in done.stdout.splitlines() if line]


def _bare(lines: list[str]) -> list[str]:
    import re

    return [re.sub(r"<[^>]*>|\{[^}]*\}", "", line) for line in lines]


@pytest.mark.parametrize(
    ("clip", "suffix", "codec"),
    [
        ("sub_srt.mkv", "mp4", "mov_text"),
        ("sub_srt.mkv", "webm", "webvtt"),
        ("sub_ssa.mkv", "mov", "mov_text"),
        ("nasa_multitrack.mp4", "mkv", "subrip"),
    ],
)
def test_text_subtitles_are_converted_with_their_texts_and_times(
    clips: Path, tmp_path: Path, ffprobe: str, ffmpeg: str, clip: str, suffix: str, codec: str
) -> None:
    out = tmp_path / f"out.{suffix}"
    # Without audio, whose priming moves everything in Matroska, times can be compared as they stand.
    warnings = remake(clips / clip, out, no_audio=True)
    assert any(f"becomes {codec}" in w for w in warnings)
    assert Shown(ffprobe, out).of("subtitle")[0]["codec_name"] == codec
    before, after = _bare(_texts(ffmpeg, clips / clip)), _bare(_texts(ffmpeg, out))
    if clip == "sub_ssa.mkv":
        # Overlapping lines: a text track in a mov shows one after the other, so only the words are compared.
        before, after = ([x for x in lines if "-->" not in x and not x.isdigit()] for lines in (before, after))
    assert after == before


def test_subtitle_pictures_are_left_out_of_mp4_and_kept_in_mkv(clips: Path, tmp_path: Path, ffprobe: str) -> None:
    (warning,) = remake(clips / "sub_vobsub.mkv", tmp_path / "out.mp4")
    assert "dvd_subtitle" in warning
    assert "left out" in warning
    assert not Shown(ffprobe, tmp_path / "out.mp4").of("subtitle")
    assert remake(clips / "sub_vobsub.mkv", tmp_path / "out.mkv") == []
    before, after = Shown(ffprobe, clips / "sub_vobsub.mkv"), Shown(ffprobe, tmp_path / "out.mkv")
    assert after.hashes(after.of("subtitle")[0]) == before.hashes(before.of("subtitle")[0])


def test_no_audio_no_subtitles(clips: Path, tmp_path: Path, ffprobe: str) -> None:
    out = tmp_path / "out.mp4"
    assert remake(clips / "nasa_multitrack.mp4", out, no_audio=True, no_subtitles=True, seconds=0.5) == []
    assert [s["codec_type"] for s in Shown(ffprobe, out).streams] == ["video"]


def test_a_container_of_pictures_only_says_what_it_leaves_out(clips: Path, tmp_path: Path) -> None:
    said = remake(clips / "water_cc0_360p.mp4", tmp_path / "out.y4m", seconds=0.2)
    assert "audio" in said[0]


def test_adts_audio_into_a_fragmented_mp4(clips: Path, tmp_path: Path, ffprobe: str) -> None:
    middle, out = tmp_path / "middle.ts", tmp_path / "out.mp4"
    remake(clips / "water_cc0_360p.mp4", middle)
    assert remake(middle, out, options={"movflags": "frag_keyframe+delay_moov"}) == []
    before, after = Shown(ffprobe, clips / "water_cc0_360p.mp4"), Shown(ffprobe, out)
    assert after.of("audio")[0]["codec_name"] == "aac"
    assert after.hashes(after.of("audio")[0]) == before.hashes(before.of("audio")[0])


def test_attachments_stay_in_matroska(tmp_path: Path, ffprobe: str, clips: Path) -> None:
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as made, av.open(str(clips / "chapters_444.mkv")) as old:
        video = made.add_stream_from_template(old.streams.video[0], opaque=True)
        made.add_attachment("font.ttf", "application/x-truetype-font", b"not really a font" * 50)
        for packet in old.demux(old.streams.video[0]):
            if packet.size:
                packet.stream = video
                made.mux(packet)
    assert remake(source, tmp_path / "out.mkv") == []
    (attachment,) = Shown(ffprobe, tmp_path / "out.mkv").of("attachment")
    assert attachment["tags"]["filename"] == "font.ttf"
    (warning,) = remake(source, tmp_path / "out.mp4")
    assert "attachment" in warning


def test_a_damaged_subtitle_ends_its_track_and_nothing_else(clips: Path, tmp_path: Path) -> None:
    from streamvsr.config import InputOptions, OutputOptions
    from streamvsr.media.demux.container import ContainerSource
    from streamvsr.media.mux.track_plan import TrackPlan
    from streamvsr.media.mux.tracks import SubtitleWriter

    source = ContainerSource(InputOptions(path=str(clips / "nasa_multitrack.mp4")), OutputOptions())
    track = next(t for t in source.info.tracks if t.kind == "subtitle")
    warnings: list[str] = []
    with av.open(str(tmp_path / "out.mkv"), "w") as container:
        writer = SubtitleWriter(
            container, TrackPlan(track, source.streams[track.index], "convert", "subrip"), warnings.append
        )
        damaged = Packet(track.index, b"\xff", 0, 0, 1, Fraction(1, 1000))
        for _ in range(3):
            assert list(writer.write(damaged)) == []
    source.close()
    assert len(warnings) <= 1


def test_packets_keep_their_side_data() -> None:
    skip = bytes.fromhex("40000000 00000000 0000".replace(" ", ""))
    made = av_packet(
        Packet(1, b"x", 5, None, 3, Fraction(1, 1000), True, (("skip_samples", skip), ("unheard_of", b"?")))
    )
    (side,) = made.iter_sidedata()
    assert (side.data_type, bytes(side)) == ("skip_samples", skip)


class _Stream:
    type, time_base = "audio", Fraction(1, 1000)

    class container:  # noqa: N801
        class format:  # noqa: N801
            name = "matroska"


@pytest.mark.parametrize("flags", [0, 0x20000])
def test_stamps_are_complete_and_increase(flags: int) -> None:
    warnings: list[str] = []
    stamps = Timestamps(_Stream(), flags, warnings.append)
    given = [(None, None), (20, None), (40, 40), (40, 40), (10, 10), (60, 60)]
    made = []
    for pts, dts in given:
        packet = av.Packet(b"x")
        packet.time_base, packet.pts, packet.dts, packet.duration = Fraction(1, 1000), pts, dts, 20
        stamps.apply(packet)
        assert packet.dts is not None
        assert packet.pts is not None
        assert packet.pts >= packet.dts
        made.append(packet.dts)
    assert made[:3] == [0, 20, 40]
    assert made[-1] == 60
    assert all(b > a or (flags and b == a) for a, b in itertools.pairwise(made))
    assert len(warnings) == 1


def test_a_gap_that_mp4_cannot_hold_is_shortened_and_told(tmp_path: Path) -> None:
    stream = info(time_base=Fraction(1, 90000), rate=Fraction(25))
    stamps = [n * 3600 + (30000 * 90000 if n > 4 else 0) for n in range(10)]
    (told,) = [x for x in write(tmp_path / "out.mp4", stream, stamps, duration=3600) if "pause" in x]
    assert "a pause of 30000 s" in told
    assert "shortened by 6150 s; .mkv keeps all, -video_track_timescale 1000 more" in told
    with av.open(str(tmp_path / "out.mp4")) as container:
        shown = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    assert 23849 < shown[5] - shown[4] < 23852
    assert [round(b - a, 3) for a, b in itertools.pairwise(shown)].count(0.04) == 8
    (tmp_path / "out.mp4").unlink()
    assert not any("gap" in x for x in write(tmp_path / "out.mkv", stream, stamps, duration=3600))


def test_audio_specific_config_of_lc_and_he() -> None:
    track = Track(1, "audio", "aac", Fraction(1, 48000), {}, profile="LC", sample_rate=48000, channels=2)
    assert audio_specific_config(track) == b"\x11\x90"
    assert audio_specific_config(replace(track, profile="HE-AAC")) == bytes([0x13, 0x10])


def test_median_is_not_misled_by_the_first() -> None:
    assert median([Fraction(9), Fraction(1), Fraction(1)]) == 1
