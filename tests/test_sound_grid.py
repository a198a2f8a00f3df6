"""What becomes of copied sound, codec by container, beside ``ffmpeg -c copy``; every difference has its reason.

ffmpeg is Debian's. "Copied" means there that it writes the file and reads the same codec back.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from streamvsr.config import InputOptions, OutputOptions
from streamvsr.media.demux import Source, open_source
from streamvsr.media.mux.track_plan import plan_tracks

pytestmark = pytest.mark.io

SOURCES = {
    **dict.fromkeys(("pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s8", "pcm_mulaw"), "mov"),
    **dict.fromkeys(("pcm_u8", "pcm_alaw", "adpcm_ima_wav", "adpcm_ms", "g726"), "avi"),
    **dict.fromkeys(("pcm_f32le", "pcm_f64le", "ac3", "eac3", "dca", "truehd", "libopus", "libvorbis", "flac"), "mkv"),
    **dict.fromkeys(("wavpack", "tta", "libmp3lame", "mp2", "libspeex"), "mkv"),
    "g722": "nut",
    "alac": "mov",
    "aac": "mp4",
    "wmav2": "asf",
}
"""Encoder of ffmpeg's, and a container that it copies from."""

CONTAINERS = {name: name for name in ("mp4", "mov", "webm", "nut", "avi", "flv", "ogg", "asf")}
CONTAINERS |= {"mkv": "matroska", "ts": "mpegts", "mpg": "mpeg"}
RATES = {"g726": 8000, "g722": 16000, "libspeex": 16000, "libopus": 48000}
MONO = ("g722", "g726", "libspeex")

LOSSLESS = ("pcm_", "flac", "alac")
NO_LOSSLESS_FORM = {"webm", "mpegts", "mpeg"}
"""Containers whose sound is always compressed with loss: Opus, AAC, MPEG audio."""

WE_DO_NOT = {
    # PyAV asks FFmpeg's strict list of Matroska's codecs, which has none of those that it names as Windows does.
    **dict.fromkeys(
        [(codec, "matroska") for codec in ("pcm_alaw", "pcm_mulaw", "adpcm_ima_wav", "adpcm_ms", "wmav2", "speex")]
        + [("adpcm_g722", "matroska"), ("adpcm_g726", "matroska")],
        "PyAV refuses the copy: FLAC",
    ),
    **dict.fromkeys(
        [("adpcm_g722", "mov"), ("adpcm_g726", "mov"), ("vorbis", "mov"), ("wmav2", "mov")],
        "PyAV refuses the copy, and QuickTime plays none of these",
    ),
    **dict.fromkeys(
        [(codec, "flv") for codec in ("pcm_s16be", "pcm_s16le", "pcm_u8", "pcm_alaw", "pcm_mulaw", "speex")],
        "FFmpeg 8 ends the process in some of these: FLAC",
    ),
    ("vorbis", "avi"): "AVI's players do not expect it",
}
"""What ffmpeg copies, and we do not."""

FFMPEG_5_DOES_NOT = {
    **dict.fromkeys([("flac", "mp4"), ("truehd", "mp4")], "experimental in FFmpeg 5"),
    **dict.fromkeys([(codec, "flv") for codec in ("ac3", "eac3", "opus", "flac")], "enhanced FLV came with FFmpeg 6"),
    **dict.fromkeys([("ac3", "mp4"), ("ac3", "mov"), ("eac3", "mp4"), ("eac3", "mov")], "read back"),
    ("mp2", "mp4"): "FFmpeg 5 reads it back as MP3, whose object type it shares",
    ("eac3", "nut"): "FFmpeg 5 reads it back as AC-3",
    ("pcm_s16be", "mpeg"): "reads it back under the name of DVDs, pcm_dvd",
    ("adpcm_g726", "nut"): "FFmpeg 5 does not know the tag",
    ("wmav2", "nut"): "FFmpeg 5 does not know the tag",
}
"""What we copy, and ffmpeg does not, or calls otherwise afterwards."""


@pytest.fixture(scope="module", params=SOURCES)
def sound(request: pytest.FixtureRequest, ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    codec = str(request.param)
    path = tmp_path_factory.mktemp("sound") / f"{codec}.{SOURCES[codec]}"
    rate, channels = str(RATES.get(codec, 44100)), "1" if codec in MONO else "2"
    noise = ["-f", "lavfi", "-i", f"anoisesrc=r={rate}:d=0.5:seed=1:a=0.2"]
    picture = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.5", "-c:v", "wmv2" if path.suffix == ".asf" else "mpeg4"]
    words = ["-c:a", codec, "-ac", channels, "-ar", rate, "-strict", "-2", str(path)]
    subprocess.run([ffmpeg, "-v", "error", *noise, *picture, *words], check=True)
    return path


def copied_by_ffmpeg(ffmpeg: str, ffprobe: str, source: Path, target: Path, codec: str) -> bool:
    done = subprocess.run([ffmpeg, "-v", "error", "-y", "-i", str(source), "-map", "0:a", "-c", "copy", str(target)])
    if done.returncode:
        return False
    entries = ["-select_streams", "a:0", "-show_entries", "stream=codec_name", "-of", "csv=p=0"]
    answer = subprocess.run([ffprobe, "-v", "quiet", *entries, str(target)], capture_output=True, text=True).stdout
    return answer.split() != [] and answer.split()[0].strip(",") == codec


def planned(source: Source, container: str) -> tuple[str, list[str]]:
    said: list[str] = []
    (plan,) = plan_tracks(source.info.tracks, source.streams, container, OutputOptions(), said.append)
    return {"copy": "copy", "convert": plan.codec, "drop": ""}[plan.action], said


def test_sound_is_copied_where_ffmpeg_copies_and_loses_nothing_elsewhere(
    sound: Path, ffmpeg: str, ffprobe: str, tmp_path: Path
) -> None:
    source = open_source(InputOptions(path=str(sound)), OutputOptions())
    wrong = []
    try:
        codec = source.info.tracks[0].codec
        lossless = codec.startswith(("pcm_", "adpcm_", "wma", "truehd", "flac", "alac", "tta", "wavpack"))
        for suffix, container in CONTAINERS.items():
            ours, said = planned(source, container)
            theirs = copied_by_ffmpeg(ffmpeg, ffprobe, sound, tmp_path / f"out.{suffix}", codec)
            known = (codec, container) in (WE_DO_NOT if theirs else FFMPEG_5_DOES_NOT)
            if (ours == "copy") != theirs and not known:
                wrong.append(f"{container}: {ours} {said}; ffmpeg {'copies' if theirs else 'does not copy'}")
            if lossless and container not in NO_LOSSLESS_FORM and not ours.startswith(("copy", *LOSSLESS)):
                wrong.append(f"{container}: becomes {ours or 'nothing'}, which loses what is there")
            if container == "matroska" and not ours.startswith(("copy", *LOSSLESS)):
                wrong.append(f"matroska: {ours}")
            assert (ours == "copy") == (said == [])
            for line in said:
                assert "mkv would keep it" not in line or container != "matroska"
                assert "mkv would keep it" not in line or planned(source, "matroska")[0]
    finally:
        source.close()
    assert not wrong, f"{codec}\n" + "\n".join(wrong)
