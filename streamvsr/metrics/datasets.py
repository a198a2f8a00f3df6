"""Where a data set keeps its clips: what to enlarge, and what should come out.

::

    Vid4/GT/calendar/*.png          REDS4/train_sharp/000/*.png                 VideoLQ/000/*.png
    Vid4/BIx4/calendar/*.png        REDS4/train_sharp_bicubic/X4/000/*.png      VideoLQ/Input/000/*.png
    Vid4/BDx4/calendar/*.png        udm10/archpeople/{truth,blur4}/*.png

A clip is a folder of pictures or a video; a folder that holds pictures itself is one clip. Folders of truths and of
inputs are known by their names, whatever their case. UDM10 comes in two layouts: as its authors gave it (a folder a
clip), and like Vid4.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streamvsr.config import VIDEOS
from streamvsr.errors import SourceError, UsageError
from streamvsr.media.demux.image_sequence import SUFFIXES, natural_key

TRUTHS = ("gt", "hr", "truth", "original", "high_res", "train_sharp", "val_sharp", "test_sharp", "sharp")
INPUTS = (
    "lr", "lq", "lr_x4", "lrx4", "x4", "bix4", "bdx4", "bi", "bd", "blur4", "low_res", "input", "input4",
    *(f"{split}sharp_bicubic{deeper}" for split in ("", "train_", "val_", "test_") for deeper in ("", "/x4")),
)  # fmt: skip
REDS4 = ("000", "011", "015", "020")
"""The clips of REDS' training set that are kept for measuring."""
VIDEOLQ_FRAMES = "0,50,99"
"""Where results without a truth are measured, as in the paper of RealBasicVSR."""


@dataclass(frozen=True, slots=True)
class Clip:
    name: str
    low_res: str | None
    """What to enlarge: a folder or a video; None where it is to be made from the truth."""
    truth: str | None
    """What should come out; None where nobody knows."""


def find_clips(path: str, *, make: bool, low_res: str | None = None, wanted: Sequence[str] = ()) -> list[Clip]:
    """The clips of a data set, a single clip, or a folder of them, in natural order.

    ``make``: the inputs are made from the truths, or from the clips themselves where there are no truths. ``low_res``:
    which folder holds the inputs. ``wanted``: names of clips; empty: all (of REDS' training set REDS4).
    Raises ``UsageError`` and ``SourceError``.
    """
    root = Path(path)
    if not root.exists():
        raise SourceError(f"no such file or folder: '{path}'")
    if root.is_file():
        return _wanted([Clip(root.stem, None if make else path, path if make else None)], wanted, path)
    folders = _folders(root)
    truth = next((folders[name] for name in TRUTHS if name in folders), None)
    if truth is None:
        return _wanted(_clips_alone(root, folders, make, low_res), wanted, path)
    truths = _clips(truth, root.name)
    if make:
        clips = [Clip(name, None, one) for name, one in truths.items()]
    else:
        inputs = _clips(_input_folder(path, folders, low_res), root.name)
        # What is there in both: REDS' inputs come in several archives.
        clips = [Clip(name, inputs[name], one) for name, one in truths.items() if name in inputs]
        if not clips:
            raise SourceError(f"'{path}': no clip has both a truth and an input; those of '{truth}' have other names")
    if "train_sharp" in truth.name.lower() and not wanted:
        clips = [clip for clip in clips if clip.name in REDS4] or clips
    return _wanted(clips, wanted, path)


def _clips_alone(root: Path, folders: dict[str, Path], make: bool, low_res: str | None) -> list[Clip]:
    """The clips of a folder without truths beside them: each with its own, or none at all."""
    deeper = {p.parent: p for name, p in folders.items() if "/" in name and p.name.lower() in TRUTHS}
    clips = [
        clip
        for folder, truth in deeper.items()
        if _has_pictures(truth)
        for clip in find_clips(str(folder), make=make, low_res=low_res)
    ]
    if clips:
        return clips
    holder = root
    if not _entries(root, ""):
        if deeper:
            raise SourceError(f"'{root}': holds no clips itself; name what lies in it: '{next(iter(deeper))}'")
        lone = [folders[name] for name in INPUTS if name in folders and _entries(folders[name], "")]
        holder = lone[0] if len(lone) == 1 else root
    return [Clip(n, None if make else p, p if make else None) for n, p in _clips(holder, root.name).items()]


def _folders(root: Path) -> dict[str, Path]:
    """Lower-case name -> folder, also of folders one level below, as ``name/name``."""
    found = {}
    for entry in sorted(root.iterdir(), key=lambda e: natural_key(e.name)):
        if entry.is_dir():
            found[entry.name.lower()] = entry
            found |= {f"{entry.name}/{e.name}".lower(): e for e in entry.iterdir() if e.is_dir()}
    return found


def _input_folder(path: str, folders: dict[str, Path], low_res: str | None) -> Path:
    if low_res is not None:
        if low_res.lower() not in folders:
            raise UsageError(f"--lr {low_res}: there is no such folder in '{path}'")
        return folders[low_res.lower()]
    known = [name for name in INPUTS if name in folders and _entries(folders[name], "")]
    if not known:
        raise UsageError(
            f"'{path}' has truths but no folder of inputs: name it with --lr, or make inputs with --degrade bicubic"
        )
    if len(known) > 1:
        raise UsageError(f"'{path}' has several folders of inputs: choose one with --lr {' or --lr '.join(known)}")
    return folders[known[0]]


def _clips(folder: Path, name: str) -> dict[str, str]:
    """Name -> path of the clips that a folder holds; ``name`` is that of the folder's own pictures."""
    found = _entries(folder, name)
    if not found:
        raise SourceError(f"'{folder}': holds no clips: neither folders of pictures, nor videos, nor pictures")
    return found


def _entries(folder: Path, name: str) -> dict[str, str]:
    entries = sorted((e for e in folder.iterdir() if not e.name.startswith(".")), key=lambda e: natural_key(e.name))
    found = {e.name: str(e) for e in entries if e.is_dir() and _has_pictures(e)}
    found |= {e.stem: str(e) for e in entries if e.is_file() and e.suffix.lower() in VIDEOS}
    return found or ({name: str(folder)} if _has_pictures(folder) else {})


def _has_pictures(folder: Path) -> bool:
    return any(Path(entry.name).suffix.lower() in SUFFIXES for entry in os.scandir(folder))


def _wanted(clips: list[Clip], wanted: Sequence[str], path: str) -> list[Clip]:
    names = {clip.name for clip in clips}
    for name in wanted:
        if name not in names:
            raise UsageError(f"--clip {name}: '{path}' has no clip of that name; there are {', '.join(sorted(names))}")
    return [clip for clip in clips if not wanted or clip.name in wanted]
