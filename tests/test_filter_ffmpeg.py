"""A chain without ``vsr`` gives what ``ffmpeg -vf`` gives: pictures, time stamps, time base, rate, shape.

The judge is an older FFmpeg (5.1) than PyAV's (8.1 and 9.0). What differs between them stands in ``DIFFERENT``, with
the reason; docs/filters.md lists the same.
"""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamvsr.cli import main
from streamvsr.frames import PIXEL_FORMATS
from tests.against_ffmpeg import Result, by_ffmpeg, by_us, psnr

pytestmark = pytest.mark.io

CHAINS = r"""
null
hflip
vflip,transpose=clock
transpose=2,scale=64:96
scale=48:32
scale=w=192:h=-2:flags=bicubic
scale=iw/2:ih/2:flags=area
scale=100:-1
scale=80:40:flags=neighbor
scale=flags=lanczos+accurate_rnd+full_chroma_int:w=200:h=100
crop=64:48:4:6
crop=w=iw-10:h=ih-10
pad=128:96:(ow-iw)/2:(oh-ih)/2:color=red
unsharp=5:5:0.6
unsharp=luma_msize_x=7:luma_msize_y=3:la=1.2
gblur=sigma=1.5
avgblur=2
median=2
roberts
nlmeans=s=2:r=7
atadenoise
bilateral=sigmaS=2
removegrain=4
deband
deblock
cas=0.5
negate
lutyuv=y=val*0.8
hue=h=30:s=1.2
noise=alls=10:all_seed=3
vignette
format=gray
format=yuv444p
format=yuv420p10le,gblur
format=rgb24,curves=preset=vintage,format=rgb24,format=gbrp
format=rgb24,colorbalance=rs=0.3,format=rgb24,format=gbrp
edgedetect=mode=wires,format=gray
drawbox=x=10:y=10:w=20:h=20:color=blue@0.5:t=fill
drawbox=enable='lt(mod(t\,0.4)\,0.2)':x=1+1:color=red
drawbox=enable=lt(mod(t\\\,0.4)\\\,0.2):x=min(1\,5):color=red
drawgrid=w=16:h=16:t=1:c=white@0.3
unsharp=enable='between(t,0.4,1.2)'
negate=enable='between(n\,5\,10)'
fade=in:0:10
fade=t=out:st=1:d=0.5
rotate=PI/6
setsar=1
setdar=16/9
setdar=16\:9
colorspace=all=bt709:iall=bt601-6-625
fps=25
fps=30
fps=12.5:round=up
fps=60000/1001
fps=fps=24000/1001:round=near:start_time=0.2
fps=ntsc
fps=1
fps=50,framestep=2,fps=25
framestep=3
framerate=fps=50
minterpolate=fps=50:mi_mode=blend
yadif
yadif=mode=1
yadif=send_frame:tff:all
setfield=bff,yadif=1
w3fdif
separatefields
separatefields,weave
doubleweave
field=top
telecine
trim=start=0.5:end=1.2
trim=duration=1
trim=end_frame=7
trim=start_frame=10:end_frame=20,setpts=PTS-STARTPTS
setpts=2*PTS
setpts=PTS*1.5,fps=25
setpts=PTS+1/TB
setpts=N/(30*TB)
setpts='if(gt(N,10),PTS+5,PTS)'
setpts=expr='PTS-STARTPTS+0.1/TB'
settb=1/1000
select='not(mod(n,3))'
select=between(t\,0.4\,1.0)
select=eq(n\,3)+eq(n\,9)
select='gt(scene,0.01)'
select='gte(t,0.5)*lte(t,0.9)',setpts=PTS-STARTPTS
reverse
tpad=start=3:stop=2
tmix=frames=3
tblend=all_mode=average
lagfun
tile=2x2
thumbnail=10
shuffleframes=2 1 0
random=5:3
 hflip , vflip ,	unsharp , fps=10 , scale=50:50
""".strip("\n").splitlines()

DIFFERENT = {
    # chain: (least dB inside of the clip, whether the time stamps are the same)
    "bwdif": (60, True),
    "bwdif=1": (60, True),
    "bwdif=0:1": (60, True),
    "sobel": (20, True),
    "prewitt": (20, True),
    "scharr": (20, True),
    "kirsch": (20, True),
    "geq='lum=255-lum(X,Y)':cb=128:cr=128": (30, True),
    "fftdnoiz=5": (45, True),
    "convolution=0 -1 0 -1 5 -1 0 -1 0": (35, True),
    "format=gbrp": (20, True),
    "scale=out_range=full": (50, True),
    "scale=in_color_matrix=bt601:out_color_matrix=bt709": (50, True),
    "chromanr": (40, True),
    "bm3d=sigma=5": (60, True),
    "estdif": (30, True),
    "format=yuv420p10le,unsharp": (20, True),
    "decimate": (60, False),
    "loop=loop=2:size=5:start=3": (60, False),
}
"""Chains that FFmpeg 5.1 and PyAV's FFmpeg work off differently; why stands in docs/filters.md."""


@pytest.fixture(scope="module")
def clip(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "steady.nut"
    made = "testsrc2=s=96x64:r=25:d=2,noise=alls=12:allf=t:all_seed=7,setsar=8/9,format=yuv420p"
    command = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", made, "-c:v", "ffv1", str(path)]
    subprocess.run(command, check=True)
    return path


@pytest.fixture(scope="module")
def unsteady(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pictures at uneven times, with gaps."""
    path = tmp_path_factory.mktemp("clip") / "unsteady.nut"
    steps = np.random.default_rng(3).choice([1, 20, 33, 40, 41, 200], 50)
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for frame, pts in zip(source.decode(video=0), np.cumsum(steps), strict=True):
            frame.pts, frame.time_base, frame.pict_type = int(pts - steps[0]), Fraction(1, 1000), 0
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path


def assert_same(ours: Result, theirs: Result) -> None:
    assert ours.head == theirs.head
    assert ours.stamps == theirs.stamps
    assert ours.pictures == theirs.pictures


@pytest.mark.parametrize("chain", CHAINS)
def test_the_same_as_ffmpeg(chain: str, clip: Path, ffmpeg: str) -> None:
    assert_same(by_us(clip, chain), by_ffmpeg(ffmpeg, clip, chain))


@pytest.mark.parametrize(
    "chain",
    [
        "null",
        "fps=25",
        "fps=10:round=down",
        "fps=60000/1001,setpts=PTS-STARTPTS",
        "yadif=1",
        "framestep=4",
        "setpts=N/(25*TB)",
        "setpts=1.5*PTS,trim=start=0.4",
        "select='lt(mod(t,0.5),0.25)'",
        "trim=start=0.3:duration=1",
        "unsharp=enable='between(t,0.3,0.9)',settb=1/90000",
    ],
)
def test_uneven_time_stamps(chain: str, unsteady: Path, ffmpeg: str) -> None:
    ours, theirs = by_us(unsteady, chain), by_ffmpeg(ffmpeg, unsteady, chain)
    # What the nominal rate of an uneven stream is, is the demuxer's guess.
    assert (ours.time_base, ours.size, ours.stamps) == (theirs.time_base, theirs.size, theirs.stamps)
    assert ours.pictures == theirs.pictures


@pytest.mark.parametrize("chain", DIFFERENT)
def test_what_the_two_ffmpegs_do_differently(chain: str, clip: Path, ffmpeg: str) -> None:
    least, same_stamps = DIFFERENT[chain]
    ours, theirs = by_us(clip, chain), by_ffmpeg(ffmpeg, clip, chain)
    if same_stamps:
        assert ours.head == theirs.head
        assert ours.stamps == theirs.stamps
    assert len(ours.pictures) == len(theirs.pictures)
    inside = list(zip(ours.pictures, theirs.pictures, strict=True))[1:-1]
    assert min(psnr(one, other, PIXEL_FORMATS[ours.format].bits) for one, other in inside) >= least


def test_from_the_command_line(clip: Path, ffmpeg: str, tmp_path: Path) -> None:
    """The whole way, through our encoder and a player's decoder, as a plain transcoder."""
    chain, out = "yadif=1,fps=10,hflip,scale=64:48", tmp_path / "out.nut"
    assert main([str(clip), "-vf", chain, "-c:v", "ffv1", "-y", "--quiet", str(out)]) == 0

    def md5(path: Path, *options: str) -> list[str]:
        command = [ffmpeg, "-v", "error", "-i", str(path), *options, "-f", "framemd5", "-"]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        fields = [line.replace(" ", "").split(",") for line in lines if not line.startswith("#")]
        return [f"{pts} {digest}" for _, _, pts, _, _, digest in fields]

    assert md5(out) == md5(clip, "-vf", chain)
    assert len(md5(out)) == 20


def test_the_real_thing(shared_data: Path, ffmpeg: str, tmp_path: Path) -> None:
    clip = shared_data / "clips" / "water_cc0_360p.mp4"
    short = tmp_path / "short.mp4"
    subprocess.run([ffmpeg, "-v", "error", "-i", str(clip), "-an", "-t", "1", "-c", "copy", str(short)], check=True)
    chain = "yadif=1,nlmeans=s=1:r=3:p=3,unsharp=5:5:0.6,scale=320:-2,fps=24"
    ours, theirs = by_us(short, chain), by_ffmpeg(ffmpeg, short, chain)
    assert_same(ours, theirs)


def test_the_documentation_says_so() -> None:
    text = (Path(__file__).parent.parent / "docs" / "filters.md").read_text()
    for chain in DIFFERENT:
        assert f"`{chain}" in text or f"`{chain.partition('=')[0]}=..." in text, chain
