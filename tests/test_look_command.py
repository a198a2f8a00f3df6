"""``look``, ``preview`` and ``--dry-run`` as commands, with a network."""

from __future__ import annotations

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from streamvsr.cli.app import main
from streamvsr.footage.choose import RESTORING
from streamvsr.media.demux.container import ContainerSource
from tests import outputs
from tests.test_look import moving, only_what_ships, write

__all__ = ["only_what_ships"]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "clip.mp4", moving(40), "libx264", crf="32")
    picture = tmp_path / "sheet.png"
    before = sorted(tmp_path.iterdir())
    assert main(["look", str(path), "--json", "--sheet", str(picture)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["choice"]["model"] == RESTORING
    assert found["forecast"]["trial_frames"] >= 1
    assert found["forecast"]["seconds"] > 0
    assert found["forecast"]["output_bytes"] > 0
    assert sorted(tmp_path.iterdir()) == sorted([*before, picture]), "the trial leaves nothing behind"
    pixels = cv2.imread(str(picture))
    assert pixels is not None
    assert pixels.shape[0] == 3 * 300
    assert pixels.shape[1] % 400 == 0
    assert main(["look", str(path), "--no-trial", "--sheet", str(picture)]) == 2, "no sheet is overwritten unasked"
    capsys.readouterr()
    assert main(["look", str(path), "--no-trial"]) == 0
    assert "--model rt-real: " in capsys.readouterr().out


def test_a_run_says_what_auto_saw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "clip.mp4", moving(12), "libx264", crf="34")
    assert main([str(path), str(tmp_path / "out.mp4"), "-frames:v", "2"]) == 0
    said = capsys.readouterr().err
    assert "model rt-real: strongly compressed (h264, quantiser" in said
    assert (tmp_path / "out.mp4").stat().st_size > 0


def test_auto_with_an_option_of_one_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On clean video too, where ``rt`` would be chosen, which does not have it."""
    path = str(write(tmp_path / "clip.mkv", moving(12), "ffv1"))
    for number, words in enumerate((["--detail", "1.5"], ["-vf", "vsr=detail=1.5"])):
        assert main([path, str(tmp_path / f"{number}.mkv"), *words, "-frames:v", "1"]) == 0
        assert "model rt-real: chosen by --detail" in capsys.readouterr().err
    assert main(["look", path, "--no-trial", "--detail", "1.5"]) == 0
    assert "--model rt-real: chosen by --detail" in capsys.readouterr().out
    assert main(["preview", path, str(tmp_path / "preview.png"), "--detail", "1.5"]) == 0
    assert "right rt-real" in capsys.readouterr().err


def test_a_preview(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, picture = write(tmp_path / "clip.mp4", moving(30), "libx264", crf="32"), tmp_path / "p.png"
    assert main(["preview", str(path), "--at", "0.6", str(picture)]) == 0
    assert "left bicubic, right rt-real, at 0.60 s, 320x192 of 320x192 pixels" in capsys.readouterr().err
    pixels = cv2.imread(str(picture)).astype(float)
    assert pixels.shape == (4 * 192, 2 * 4 * 320, 3)
    before, after = pixels[100:, : 4 * 320], pixels[100:, 4 * 320 :]
    assert 0.2 < np.abs(before - after).mean() < 10, "two enlargements of the same frame"
    # The frame of that moment, and not one before: enlarged by another program's bicubic filter.
    container = av.open(str(path))
    wanted = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)][15]
    large = cv2.resize(wanted, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC).astype(float)
    assert np.abs(before - large[100:]).mean() < 1
    assert main(["preview", str(path), str(picture)]) == 2, "no image is overwritten unasked"
    assert main(["preview", str(path), "p.jpg"]) == 2
    assert main(["preview", str(path), "--at", "10", str(picture), "-y"]) == 1
    assert capsys.readouterr().err.endswith(f"error: {path}: there is no frame at 10 s; --at chooses another moment\n")


@pytest.mark.parametrize(("between", "at"), [(75, "3.70"), (1000, "4.00"), (20, "4.70")])
def test_a_preview_near_the_middle_begins_at_a_key_frame(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], between: int, at: str
) -> None:
    """Half a second behind one, where a seek for a moment lands on it, and the frames for the state."""
    frames = [luma[:64, :96] for luma in moving(50)] * 4
    path = write(tmp_path / "clip.mp4", frames, "libx264", g=str(between), sc_threshold="0")
    assert main(["preview", str(path), str(tmp_path / "p.png")]) == 0
    assert f"at {at} s, " in capsys.readouterr().err
    # Less than two seconds have no room for that.
    path = write(tmp_path / "short.mp4", frames[:40], "libx264", g="10", sc_threshold="0")
    assert main(["preview", str(path), "-y", str(tmp_path / "p.png")]) == 0
    assert "at 0.80 s, " in capsys.readouterr().err


def test_a_moment_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "clip.mkv", moving(30), "ffv1")
    read: list[ContainerSource] = []
    iterate = ContainerSource.__iter__
    monkeypatch.setattr(ContainerSource, "__iter__", lambda source: (read.append(source), iterate(source))[1])
    assert main(["preview", str(path), "--at", "0.6", str(tmp_path / "once.png")]) == 0
    assert len(read) == 1
    # A chain that changes how many frames there are, or their fields, is given what comes behind the moment as well.
    for chain in ("fps=50,vsr", "bwdif=0,vsr"):
        read.clear()
        assert main(["preview", str(path), "--at", "0.6", "-vf", chain, "-y", str(tmp_path / "each.png")]) == 0
        assert len(read) == 3


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "clip.mp4", moving(30), "libx264", crf="32")
    assert main(["--dry-run", str(path), str(tmp_path / "out.mkv"), "-c:v", "libx265", "--scale", "2"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{tmp_path / 'out.mkv'}: 640x384, libx265, 25 frames a second, 30 frames\nmodel rt-real: " in err
    assert "frames a second, " in err.splitlines()[-1]
    assert main(["--dry-run", str(path), str(tmp_path / "out.mkv"), "-ss", "1", "-frames:v", "2"]) == 0
    assert "25 frames a second, 2 frames\n" in capsys.readouterr().err, "what the output's options leave"
    assert list(tmp_path.iterdir()) == [path]


def test_a_preview_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "in.mkv", moving(), "ffv1")
    assert main(["preview", str(path), "--at", "0.2", "--apart", "--whole", str(tmp_path / "p.png")]) == 0
    before, after = (cv2.imread(str(tmp_path / f"p.{side}.png")) for side in ("before", "after"))
    assert before.shape == after.shape
    assert before.shape[0] % 4 == 0
    assert main(["preview", str(path), "--apart", str(tmp_path / "p.png")]) == 2, "nothing is overwritten unasked"
    words = [str(path), "-vf", "gaussian", "--at", "0.2", "--apart", "--whole", str(tmp_path / "q.png")]
    assert main(["preview", *words]) == 0
    assert cv2.imread(str(tmp_path / "q.after.png")).shape[0] * 4 == before.shape[0], "a chain without a network"


def test_a_strip_of_a_single_frame(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "one.mkv"
    outputs.write(path, outputs.info(width=1200, height=16), [0])
    assert main(["look", str(path), "--no-trial", "--json", "--strip", str(tmp_path / "strip.png")]) == 0
    assert json.loads(capsys.readouterr().out)["usual_factor"] == 3.2, "3840 pixels and no more"
    assert cv2.imread(str(tmp_path / "strip.png")).shape[0] == 120


def test_a_strip_and_what_the_file_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "in.mkv", moving(), "ffv1")
    assert main(["look", str(path), "--no-trial", "--json", "--strip", str(tmp_path / "strip.png")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["contents"]["tracks"] == []
    strip = cv2.imread(str(tmp_path / "strip.png"))
    assert strip.shape[0] == 120
    assert len({strip[:, at : at + 20].tobytes() for at in range(0, strip.shape[1] - 20, strip.shape[1] // 6)}) > 1
