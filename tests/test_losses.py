"""What a run does not keep is told, and nothing else: a grid of (source kind, chain, output), judged by ffprobe.

ffprobe here is Debian's, which shares no line with the FFmpeg in PyAV. A property counts as lost where its value in the
output differs from the source's; for each of these one line must be there, and for a property that is kept there must
be none.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streamvsr.cli import main
from streamvsr.media.hdr import mastering_of
from tests.fidelity_clips import oriented

pytestmark = pytest.mark.io

PATTERN = ["-f", "lavfi", "-i", "testsrc2=s=96x64:r=25:d=0.12"]
TAGGED = ["-color_range", "tv", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
HDR = ["-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc", "-color_range", "tv"]
DISPLAY = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,100):max-cll=1000,400"
CHAPTER = ";FFMETADATA1\ntitle=Feast\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=60\ntitle=One\n"

SOURCES: dict[str, tuple[str, list[str]]] = {
    "plain": ("mkv", ["-c:v", "libx264", "-pix_fmt", "yuv420p", *TAGGED]),
    "alpha": ("mkv", ["-vf", "format=yuva420p,geq=lum='lum(X,Y)':a='2*X'", "-c:v", "ffv1"]),
    "hdr": ("mp4", ["-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params", f"log-level=error:{DISPLAY}", *HDR]),
    "full": ("mkv", ["-vf", "scale=out_range=pc", "-c:v", "ffv1", "-pix_fmt", "yuv444p", "-color_range", "pc"]),
    "rgb": ("mkv", ["-c:v", "ffv1", "-pix_fmt", "gbrp"]),
    "gray": ("mkv", ["-c:v", "ffv1", "-pix_fmt", "gray"]),
    "shape": ("mp4", ["-vf", "setsar=4/3", "-c:v", "libx264", "-pix_fmt", "yuv420p"]),
    "code": ("mov", ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-timecode", "01:02:03:04"]),
    "turned": ("mp4", []),
    "captions": ("mkv", ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", "0"]),
    "stereo": ("mp4", ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-x264-params", "frame-packing=3"]),
    "stereo tag": ("mkv", ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-metadata:s:v", "stereo_mode=left_right"]),
    "fields": ("mkv", ["-vf", "setfield=tff", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-flags", "+ildct+ilme"]),
}
CAPTION = b"\x06\x04\x11\xb5\x00\x31GA94\x03\xc2\xff\xfc\x94\x20\xfc\xc8\xe5\xff\x80"
"""A NAL unit of H.264: supplemental information of a registered user (ATSC A/53), two pairs of characters."""
OUTPUTS = [
    *(("libx264", "mp4"), ("libx264", "mkv"), ("libx264", "ts"), ("libx265", "mp4"), ("libsvtav1", "mkv")),
    *(("libvpx-vp9", "webm"), ("libvpx-vp9", "mp4"), ("libvpx", "webm"), ("mpeg4", "avi"), ("mpeg4", "mp4")),
    *(("mjpeg", "avi"), ("mpeg2video", "mpg"), ("prores_ks", "mov"), ("qtrle", "mov"), ("ffv1", "mkv")),
    *(("ffv1", "avi"), ("rawvideo", "y4m"), ("gif", "gif"), ("wmv2", "asf")),
    *(("", "png"), ("", "jpg"), ("", "tiff")),
]
FEW = [("libx264", "mp4"), ("mpeg4", "avi"), ("libvpx-vp9", "webm"), ("", "png")]
CHAINS: dict[str, tuple[list[str], set[str]]] = {
    "nothing": (["--model", "identity", "-deinterlace", "off"], set()),
    "network": (["-vf", "vsr"], set()),
    "asked": (["-vf", "vsr,format=yuv420p,setsar=1"], {"alpha", "bits", "chroma", "grey", "shape", "range", "matrix"}),
    "filter of 8 bits": (["-vf", "noise=alls=4"], set()),
}
"""Words of a run, and the properties that they ask to change."""

TOLD = {
    "alpha": r"transparency",
    "bits": r"holds \d+ of the \d+ bits",
    "chroma": r"holds chroma of",
    "grey": r"holds grey only",
    "palette": r"256 colours",
    "matrix": r"cannot state the matrix",
    "range": r"cannot state (full|limited) range",
    "primaries": r"primaries",
    "transfer": r"transfer",
    "mastering": r"HDR mastering data",
    "shape": r"pixels are \d+:\d+",
    "rotation": r"rotation by",
    "timecode": r"cannot hold the time code",
    "chapters": r"chapters",
    "title": r"no place for these tags.*title",
    "captions": r"closed captions.* left out",
    "stereo": r"layout of stereo 3D.* left out|stereo_mode",
    "fields": r"two fields of a frame as one|de-interlaced",
}

ASSUMED = {"primaries": {"", "bt709", "smpte170m", "bt470bg"}, "transfer": {"", "bt709", "smpte170m", "bt470bg"}}
"""What players take for one another, as they do what is not stated."""


@dataclass
class Found:
    """What ffprobe says of a file, and how its frames look."""

    properties: dict[str, Any]
    family: str
    shown: np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def sources(ffmpeg: str, ffprobe: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Found]]:
    folder = tmp_path_factory.mktemp("sources")
    (folder / "chapter.txt").write_text(CHAPTER)
    made = {}
    for kind, (suffix, words) in SOURCES.items():
        path = folder / f"{kind}.{suffix}"
        if kind == "turned":
            oriented(path, 90, mirrored=False)
        elif kind == "captions":
            made[kind] = captioned(ffmpeg, path, words), found(ffmpeg, ffprobe, path)
            continue
        else:
            more = ["-i", str(folder / "chapter.txt"), "-map", "0:v"] if kind == "code" else []
            subprocess.run([ffmpeg, "-v", "error", *PATTERN, *more, *words, str(path)], check=True)
        made[kind] = path, found(ffmpeg, ffprobe, path)
    return made


def captioned(ffmpeg: str, path: Path, words: list[str]) -> Path:
    """A video with closed captions, a few in front of each of its pictures."""
    raw = path.with_suffix(".h264")
    subprocess.run([ffmpeg, "-v", "error", *PATTERN, *words, "-x264-params", "slices=1", str(raw)], check=True)
    data = re.sub(rb"(?=\x00\x00\x01[\x65\x41\x01])", lambda _: b"\0\0\1" + CAPTION, raw.read_bytes())
    raw.write_bytes(data)
    copied = ["-f", "h264", "-i", str(raw), "-c", "copy", str(path)]
    subprocess.run([ffmpeg, "-v", "error", "-r", "25", *copied], check=True)
    return path


def found(ffmpeg: str, ffprobe: str, path: Path) -> Found:
    asked = ["-show_streams", "-show_format", "-show_chapters", "-show_frames", "-select_streams", "v"]
    answer = subprocess.run([ffprobe, "-v", "error", *asked, "-of", "json", str(path)], capture_output=True, check=True)
    said = json.loads(answer.stdout)
    stream, frame = said["streams"][0], said["frames"][0]
    tags = {k.lower(): v for k, v in {**said["format"].get("tags", {}), **stream.get("tags", {})}.items()}
    name = stream["pix_fmt"]
    family = "gray" if name.startswith("gray") else "yuv" if name.startswith("yuv") else "rgb"
    beside = [data["side_data_type"] for data in frame.get("side_data_list", [])]
    turned = [data.get("rotation") for data in stream.get("side_data_list", []) if "rotation" in data]
    full = family == "rgb" or name.startswith("yuvj") or stream.get("color_range") == "pc"
    ratio = stream.get("sample_aspect_ratio", "1:1").replace(":", "/")
    chroma = [0 if family != "yuv" else 2 * ("420" in name) + ("422" in name)]
    if path.suffix == ".jpg":
        family = "rgb"  # Matrix and range are the kind's own, and converted to.
    properties = {
        "alpha": "a" in name.replace("gray", "").replace("pal8", "") or tags.get("alpha_mode") == "1",
        "bits": next((int(n) for n in re.findall(r"p(\d\d)le", name)), 16 if "48" in name or "64" in name else 8),
        "chroma": chroma[0],
        "grey": family == "gray",
        "palette": stream["codec_name"] == "gif",
        "matrix": {"bt470bg": "smpte170m", "gbr": ""}.get(stream.get("color_space", ""), stream.get("color_space", "")),
        "range": full,
        "primaries": stream.get("color_primaries", ""),
        "transfer": stream.get("color_transfer", ""),
        # FFmpeg 5's decoder of H.264 does not read it, PyAV's does.
        "mastering": "Mastering display metadata" in beside or (stream["codec_name"] == "h264" and mastered(path)),
        "shape": Fraction(ratio if not ratio.startswith("0/") else "1/1"),
        "rotation": turned[0] if turned else 0,
        "timecode": tags.get("timecode"),
        "chapters": len(said["chapters"]),
        "title": tags.get("title"),
        "captions": any("Closed Captions" in kind for kind in beside),
        "stereo": "Stereo 3D" in beside or any("Stereo 3D" in str(data) for data in stream.get("side_data_list", [])),
        "fields": frame["interlaced_frame"] == 1,
    }
    # One thread: with several, FFmpeg 5 now and then gives nothing of so short a HEVC.
    raw = [ffmpeg, "-v", "error", "-threads", "1", "-noautorotate", "-i", str(path), "-frames:v", "1"]
    done = subprocess.run([*raw, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True)
    shape = (stream["height"], stream["width"], 3)
    return Found(properties, family, np.frombuffer(done.stdout, np.uint8).reshape(shape).astype(float))


def mastered(path: Path) -> bool:
    with av.open(str(path)) as container:
        return mastering_of(next(container.decode(video=0))) is not None


def lost(before: Found, after: Found, asked: set[str]) -> set[str]:
    """The properties that the output does not have as the source had them."""
    had, has, gone = before.properties, after.properties, set()
    for name in had.keys() - asked:
        a, b = had[name], has[name]
        if name in ASSUMED:
            gone |= {name} if a != b and not {a, b} <= ASSUMED[name] else set()
        elif name in ("matrix", "range"):
            # Grey has no matrix, RGB neither range nor matrix; untagged is BT.601 at this size.
            plain = {a or "smpte170m", b or "smpte170m"} if name == "matrix" else {a, b}
            gone |= {name} if before.family == after.family == "yuv" and len(plain) > 1 else set()
        elif name == "shape":
            gone |= {name} if abs(a / b - 1) > Fraction(1, 50) else set()
        elif name in ("bits", "chroma"):
            worse = b < a if name == "bits" else b > a
            gone |= {name} if worse and before.family != "gray" else set()
        elif name in ("alpha", "mastering", "captions", "stereo", "fields"):
            gone |= {name} if a and not b else set()
        elif name in ("grey", "palette"):
            gone |= {name} if b and not a else set()
        elif a and a != b:
            gone.add(name)
    if before.family == "rgb" and has["chroma"] and "chroma" not in asked:
        gone.add("chroma")
    if has["palette"]:
        gone -= {"chroma"}
    return gone


def upright(found: Found) -> Found:
    """The same, turned by the quarter that its container states."""
    properties = {**found.properties, "rotation": 0, "shape": 1 / found.properties["shape"]}
    return Found(properties, found.family, np.rot90(found.shown))


def cases() -> list[Any]:
    every = [(codec, suffix, "nothing") for codec, suffix in OUTPUTS]
    every += [(codec, suffix, chain) for codec, suffix in FEW for chain in list(CHAINS)[1:]]
    return [pytest.param(*case, id="-".join(filter(None, case)).replace(" ", "_")) for case in every]


@pytest.mark.parametrize(("codec", "suffix", "chain"), cases())
def test_a_property_is_lost_if_and_only_if_a_line_says_so(
    codec: str, suffix: str, chain: str, sources: dict[str, tuple[Path, Found]], ffmpeg: str, ffprobe: str,
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    words, asked = CHAINS[chain]
    if any("vsr" in word for word in words):
        pytest.importorskip("torch")
    wrong = []
    for kind, (path, before) in sources.items():
        pictures = not codec
        out = tmp_path / (f"{kind}_%d.{suffix}" if pictures else f"{kind}.{suffix}")
        chosen = [] if pictures else ["-c:v", codec]
        if main([str(w) for w in (path, *words, *chosen, "-frames:v", "2", "-y", out)]) != 0:
            wrong.append(f"{kind}: {capsys.readouterr().err}")
            continue
        said = capsys.readouterr().err
        after = found(ffmpeg, ffprobe, tmp_path / f"{kind}_0.{suffix}" if pictures else out)
        if kind == "turned" and not after.properties["rotation"]:
            before = upright(before)
        gone = lost(before, after, asked)
        told = {name for name, line in TOLD.items() if re.search(f"warning: .*{line}", said)}
        if gone != told:
            wrong.append(f"{kind}: lost {sorted(gone)}, told {sorted(told)}\n{said}")
        flat = chain == "nothing" and not gone & {"primaries", "transfer", "palette", "grey"}
        assert chain != "nothing" or before.shown.shape == after.shown.shape
        if flat:
            # As ffmpeg shows them, colours have not moved: a lost range would shift them by 16, a matrix by 10.
            off = np.abs(before.shown.mean((0, 1)) - after.shown.mean((0, 1))).max()
            if off > 4:
                wrong.append(f"{kind}: colours are off by {off:.1f}")
    assert not wrong, "\n".join(wrong)
