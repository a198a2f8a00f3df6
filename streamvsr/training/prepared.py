"""Sequences with a teacher's frames, made once and kept in a folder: what a student learns from, step after step.

A teacher is far slower than its student, and what it makes of a sequence never changes. Each sequence is one file,
``00012.safetensors``: ``low`` (T, h, w, C), ``truth`` (T, 4h, 4w, C) and ``teacher`` (T', 4h, 4w, C), uint8; the
teacher's are those of frames 0, ``every``, 2 ``every``... A file is whole or not there, and follows from the seed and
its number alone, so that a preparation that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors
from torch import Tensor

from streamvsr.degrade import RECIPES
from streamvsr.errors import CheckpointError, SourceError, UsageError
from streamvsr.models import registry
from streamvsr.models.base import Model
from streamvsr.part_file import write_file
from streamvsr.training.clips import SCALE, Budget, open_clips, open_photos
from streamvsr.training.networks import BT601, rgb, ycbcr
from streamvsr.training.options import TrainOptions
from streamvsr.training.sequences import Sampler

RECORD = "prepared.json"


class Batch(NamedTuple):
    """R'G'B' (C = 3) or luma (C = 1), 0..1; T frames of N sequences."""

    low: Tensor
    """(T, N, C, h, w)"""
    truth: Tensor
    """(T, N, C, 4h, 4w)"""
    taught: Tensor | None = None
    """(T', N, C, 4h, 4w): what the teacher makes of ``low[::every]``."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What the files depend on; kept beside them."""

    teacher: str
    """Name and hash of its checkpoint."""
    data: tuple[str, ...]
    degrade: str
    photo_share: float
    frames: int
    patch: int
    every: int
    seed: int
    mirror: bool
    channels: int


def sampler_for(options: TrainOptions, channels: int, patch: int) -> Sampler:
    """Opens the data. Raises ``SourceError``."""
    budget = Budget(options.cache_mib << 20)
    return Sampler(
        open_clips(options.data, channels, budget),
        open_photos(options.photos, channels, budget),
        options.photo_share,
        patch,
        RECIPES[options.degrade],
        options.mirror,
    )


class Teacher:
    """A model that is run over whole sequences. Raises ``StreamvsrError`` where it cannot teach."""

    def __init__(self, checkpoint: str, channels: int, patch: int, device: torch.device) -> None:
        """``checkpoint``: a file, or a name as for ``--model``. ``patch``: the truth's side, in pixels."""
        names = {name for known in registry.known_checkpoints() for name in (known.name, known.model)}
        if checkpoint in names and not Path(checkpoint).exists():
            selection = registry.select(checkpoint)
        else:
            selection = registry.select(checkpoint=checkpoint)
        self._path = selection.path or Path(checkpoint)
        self._model: Model = registry.load_model(selection)
        self._info = info = self._model.info
        if info.scale != SCALE:
            raise UsageError(f"--teacher {checkpoint}: enlarges by {info.scale}, and the student by {SCALE}")
        if info.domain == "luma" and channels == 3:
            raise UsageError(f"--teacher {checkpoint}: looks at luma alone, and the student at colours too")
        if patch < info.min_size_px * SCALE:
            raise UsageError(f"--teacher {checkpoint}: needs --prepared-patch {info.min_size_px * SCALE} or more")
        self._device = device
        self._model.to(device, torch.float32)

    @property
    def identity(self) -> str:
        return f"{self._path.name} sha256:{hashlib.sha256(self._path.read_bytes()).hexdigest()}"

    def frames(self, low: Tensor, every: int) -> Tensor:
        """(T, C, h, w) 0..1 -> (T', C, 4h, 4w), of frames 0, ``every``, 2 ``every``..., each seen after all before."""
        domain = self._info.domain
        frames = low.to(self._device)
        if domain != "luma":
            frames = frames.expand(-1, 3, -1, -1)
        if domain == "ycbcr":
            frames = ycbcr(frames, BT601)
        elif domain == "rgba":
            frames = torch.cat((frames, torch.ones_like(frames[:, :1])), 1)
        session = self._model.session()
        if self._info.temporal:
            made = [output for n, output in enumerate(session.window(frames, len(frames), range(len(frames))))
                    if n % every == 0]  # fmt: skip
        else:
            frames = frames[::every]
            made = list(session.window(frames, len(frames), range(len(frames))))
        outputs = torch.stack(made).float().cpu()
        if domain == "ycbcr":
            outputs = rgb(outputs, BT601)
        if domain != "luma" and low.shape[1] == 1:
            outputs = ycbcr(outputs[:, :3], BT601)[:, :1]
        return outputs[:, : low.shape[1]]


def prepare(
    options: TrainOptions,
    channels: int,
    look_ahead: int,
    say: Callable[[str], None] = lambda _: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Prepared:
    """The prepared sequences of a training; made here where they are missing, until ``stopped``.

    Clips and teacher are in memory only as long as there is something to make. Raises ``StreamvsrError``.
    """
    assert options.teacher is not None
    teacher = Teacher(options.teacher, channels, options.prepared_patch, torch.device(options.device))
    data = tuple(Path(spec).name for spec in (*options.photos, *options.data))
    recipe = Recipe(
        teacher.identity, data, options.degrade, options.photo_share, options.frames + look_ahead,
        options.prepared_patch, options.teacher_every, options.seed, options.mirror, channels,
    )  # fmt: skip
    prepared = Prepared(options.prepared_folder, recipe)
    prepared.fill(
        options.sequences, lambda: sampler_for(options, channels, options.prepared_patch), teacher, say, stopped
    )
    return prepared


class Prepared:
    """A folder of such sequences."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        """Creates it, or takes it up. Raises ``UsageError`` where it holds sequences of another preparation."""
        self.folder, self.recipe, self.count = folder, recipe, 0
        record = folder / RECORD
        wanted = json.loads(json.dumps(asdict(recipe)))
        folder.mkdir(parents=True, exist_ok=True)
        if not record.exists():
            write_file(record, json.dumps(wanted, indent=1).encode())
            return
        try:
            found = json.loads(record.read_text("utf-8"))
            other = next((key for key, value in wanted.items() if found.get(key) != value), None)
        except (ValueError, AttributeError) as error:
            raise UsageError(f"{record}: is damaged; remove the folder, or name another with --prepared") from error
        if other:
            raise UsageError(
                f"{folder}: was prepared with {other} {found.get(other)!r}, not {wanted[other]!r};"
                " remove it, or name another folder with --prepared"
            )

    def fill(
        self,
        count: int,
        open_data: Callable[[], Sampler],
        teacher: Teacher,
        say: Callable[[str], None],
        stopped: Callable[[], bool],
    ) -> None:
        """Make what is missing of the first ``count`` sequences; until ``stopped``."""
        recipe, sampler = self.recipe, None
        for number in range(count):
            if stopped():
                return
            path = self._path(number)
            if not path.exists():
                if sampler is None:
                    sampler = open_data()
                    sampler.check(recipe.frames)
                low, truth = sampler.batch(1, recipe.frames, (recipe.seed, 1 << 32, number))
                taught = teacher.frames(low[:, 0], recipe.every)
                tensors = {"low": low[:, 0], "truth": truth[:, 0], "teacher": taught}
                write_file(path, safetensors({name: _bytes(value) for name, value in tensors.items()}))
            self.count = number + 1
            if sampler is not None and (self.count % 100 == 0 or self.count == count):
                say(f"prepared {number + 1} of {count} sequences")

    def batch(self, count: int, patch: int, seed: Sequence[int]) -> Batch:
        """``count`` of the sequences, cut to ``patch`` pixels of the truth at random places, turned and mirrored."""
        rng = np.random.default_rng(tuple(seed))
        parts: dict[str, list[NDArray[np.uint8]]] = {"low": [], "truth": [], "teacher": []}
        small, room = patch // SCALE, (self.recipe.patch - patch) // SCALE
        for _ in range(count):
            path = self._path(int(rng.integers(self.count)))
            # Even, so that four pixels that share their chroma stay together.
            y, x = 2 * rng.integers(room // 2 + 1, size=2)
            across, down, right = rng.random() < 0.5, rng.choice((-1, 1)), rng.choice((-1, 1))
            for name, kept in parts.items():
                unit = 1 if name == "low" else SCALE
                rows, columns = (slice(int(at) * unit, (int(at) + small) * unit) for at in (y, x))
                cut = _read(path, name, rows, columns)
                kept.append((cut.transpose(0, 2, 1, 3) if across else cut)[:, ::down, ::right])
        low, truth, taught = (
            torch.from_numpy(np.stack(kept, 1)).permute(0, 1, 4, 2, 3).float().div_(255).contiguous()
            for kept in parts.values()
        )
        return Batch(low, truth, taught)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05}.safetensors"


def _read(path: Path, name: str, rows: slice, columns: slice) -> NDArray[np.uint8]:
    try:
        with safe_open(path, framework="np") as file:
            cut: NDArray[np.uint8] = file.get_slice(name)[:, rows, columns]
            return cut
    except FileNotFoundError:
        raise SourceError(f"{path}: was prepared, and is no longer there; --resume prepares it again") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: is damaged ({error}); remove it, and --resume prepares it again") from error


def _bytes(frames: Tensor) -> Tensor:
    """(T, C, H, W) 0..1 -> (T, H, W, C) uint8."""
    return (frames * 255).round_().clamp_(0, 255).byte().permute(0, 2, 3, 1).contiguous()
