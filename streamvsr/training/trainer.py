"""The loop: one step after another, logged, saved, resumable.

Everything random follows from the seed and the number of the step, so a run that was stopped and resumed ends with the
weights of a run that was not.
"""

from __future__ import annotations

import csv
import io
import math
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as safetensors
from torch import Tensor
from torch.nn import functional as F

from streamvsr.errors import CheckpointError, StreamvsrError, UsageError
from streamvsr.media.av_errors import sink_error
from streamvsr.options import options_of
from streamvsr.part_file import write_file
from streamvsr.training.clips import SCALE
from streamvsr.training.discriminator import Discriminator, judged_as
from streamvsr.training.losses import (
    PerceptualLoss,
    charbonnier,
    energy_loss,
    gradient_loss,
    pixel_loss,
    sharpened,
    temporal_loss,
)
from streamvsr.training.networks import Result, build
from streamvsr.training.options import TrainOptions
from streamvsr.training.prepared import Batch, Prepared, prepare, sampler_for
from streamvsr.training.sequences import Sampler

WARM_UP_STEPS = 200
LONG_EVERY = 4
"""Every fourth step runs on ``--long-frames``, so that a memory learns to stay useful."""
GRADIENT_NORM = 1.0
BETAS = (0.9, 0.99)

Losses = dict[str, float]


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Linear warm-up, then half a cosine down to a thousandth of the peak."""
    if step < WARM_UP_STEPS:
        return peak * (step + 1) / WARM_UP_STEPS
    phase = (step - WARM_UP_STEPS) / max(1, steps - WARM_UP_STEPS)
    return peak * (0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi * min(1.0, phase))))


class Trainer:
    """Network, averaged weights, optimisers and the number of steps done."""

    def __init__(self, options: TrainOptions) -> None:
        """Opens the data and builds the network. Raises ``StreamvsrError``."""
        self.options, self.step = options, 0
        self.device = _device(options.device)
        torch.manual_seed(options.seed)
        self.trained = build(options)
        self.net = self.trained.net.to(self.device)
        self.average = {key: value.clone() for key, value in self.net.state_dict().items()}
        self.optimiser = torch.optim.Adam(self.net.parameters(), lr=options.lr, betas=BETAS)
        self.discriminator = Discriminator(options.discriminator_channels).to(self.device) if options.gan else None
        self.against = (
            torch.optim.Adam(self.discriminator.parameters(), lr=options.lr_discriminator, betas=BETAS)
            if self.discriminator
            else None
        )
        self.vgg = PerceptualLoss.read(Path(options.vgg or "")).to(self.device) if options.perceptual else None
        self.sampler: Sampler | None = None
        self.prepared: Prepared | None = None
        if options.teacher is None:
            self.sampler = sampler_for(options, self.trained.channels, options.patch)
            self.sampler.check(max(options.frames, options.long_frames or 0) + self.trained.look_ahead)

    def prepare(self, say: Callable[[str], None], stopped: Callable[[], bool]) -> bool:
        """Have the teacher's frames at hand, where there is one; False: was stopped before."""
        options = self.options
        if options.teacher is None:
            return True
        self.prepared = prepare(options, self.trained.channels, self.trained.look_ahead, say, stopped)
        return self.prepared.count == options.sequences

    def batch(self, step: int) -> Batch:
        """The sequences of a step."""
        options = self.options
        if self.prepared is not None:
            return self.prepared.batch(options.batch, options.patch, (options.seed, step))
        assert self.sampler is not None
        frames, count = options.frames, options.batch
        if options.long_frames and step % LONG_EVERY == LONG_EVERY - 1:
            frames, count = options.long_frames, max(1, count // 2)
        return Batch(*self.sampler.batch(count, frames + self.trained.look_ahead, (options.seed, step)))

    def advance(self, batch: Batch) -> Losses:
        """One step of the optimisers; the parts of the loss."""
        options = self.options
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step, options.steps, options.lr)
        if self.trained.flow is not None:
            self.trained.flow.requires_grad_(self.step >= options.freeze_flow)
        low, truth = batch.low.to(self.device), batch.truth.to(self.device)
        target = truth
        if options.sharpen:
            target = sharpened(truth.flatten(0, 1)).view_as(truth)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=options.precision == "bf16"):
            result = self.trained.run(low, self.step)
        wanted = self.trained.target(target, self.step)
        parts = self._parts(result, wanted)
        if batch.taught is not None:
            parts |= self._taught_parts(result, self.trained.target(batch.taught.to(self.device), self.step), wanted)
        loss = torch.stack(list(parts.values())).sum() if len(parts) > 1 else parts["pixel"]
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), GRADIENT_NORM)
        if not math.isfinite(norm):
            # Before the weights get it, which may be saved before the next loss would show it.
            raise StreamvsrError(f"the loss is no longer finite at step {self.step + 1}: try a lower --lr")
        self.optimiser.step()
        losses = {name: float(part.detach()) for name, part in parts.items()}
        if self.discriminator is not None:
            losses["discriminator"] = self._advance_discriminator(result, truth)
        # The average follows quickly at first: it must not remember the random weights of the start.
        decay = min(options.ema, (1 + self.step) / (10 + self.step))
        for key, value in self.net.state_dict().items():
            self.average[key].lerp_(value, 1 - decay)
        self.step += 1
        return losses

    def _parts(self, result: Result, target: Tensor) -> dict[str, Tensor]:
        options = self.options
        parts = {"pixel": pixel_loss(result.outputs, target)}
        if options.temporal:
            parts["temporal"] = options.temporal * temporal_loss(result.outputs, target)
        if result.cleaned is not None and options.cleaning:
            # RealBasicVSR, sec. 3.2: the cleaned frames are to be the shrunk truth.
            clean = F.interpolate(target.flatten(0, 1), scale_factor=1 / SCALE, mode="area")
            parts["cleaning"] = options.cleaning * charbonnier(result.cleaned.flatten(0, 1) - clean)
        if self.vgg is not None:
            pairs = zip(result.outputs, target, strict=False)
            parts["perceptual"] = options.perceptual * torch.stack([self.vgg(o, t) for o, t in pairs]).mean()
        if self.discriminator is not None:
            self.discriminator.requires_grad_(False)
            parts["gan"] = options.gan * judged_as(self.discriminator(torch.cat(result.outputs)), real=True)
        return parts

    def _taught_parts(self, result: Result, taught: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Frames of the teacher's, and their gradients, but the truth's changes between them: teachers flicker."""
        options = self.options
        outputs = result.detailed or result.outputs
        shown = outputs[:: options.teacher_every]
        parts = {"teacher": options.teach * pixel_loss(shown, taught)}
        pairs = [
            (self.trained.luma(output), self.trained.luma(wanted))
            for output, wanted in zip(shown, taught, strict=False)
        ]
        for name, weight, loss in (
            ("gradients", options.gradients, gradient_loss),
            ("energy", options.energy, energy_loss),
        ):
            if weight:
                parts[name] = options.teach * weight * torch.stack([loss(o, t) for o, t in pairs]).mean()
        if options.temporal and result.detailed:
            parts["changes"] = options.teach * options.temporal * temporal_loss(outputs, target)
        return parts

    def _advance_discriminator(self, result: Result, truth: Tensor) -> float:
        assert self.discriminator is not None
        assert self.against is not None
        self.discriminator.requires_grad_(True)
        self.against.zero_grad()
        real = judged_as(self.discriminator(truth.flatten(0, 1)), real=True)
        fake = judged_as(self.discriminator(torch.cat(result.outputs).detach()), real=False)
        (real + fake).backward()  # type: ignore[no-untyped-call]
        self.against.step()
        return float((real + fake).detach())

    def _states(self) -> dict[str, Any]:
        """What has a ``state_dict`` and belongs into a resumable state."""
        own: dict[str, Any] = {"net": self.net, "optimiser": self.optimiser}
        if self.discriminator is not None:
            own |= {"discriminator": self.discriminator, "against": self.against}
        return own

    def save(self, path: Path) -> None:
        state: dict[str, Any] = {name: part.state_dict() for name, part in self._states().items()}
        file = io.BytesIO()
        torch.save(state | {"step": self.step, "average": self.average}, file)
        write_file(path, file.getbuffer())

    def load(self, path: Path) -> None:
        try:
            state = torch.load(path, self.device, weights_only=True)
        except FileNotFoundError:
            raise CheckpointError(f"{path}: nothing to resume; start without --resume") from None
        except Exception as error:  # torch.load raises whatever unpickling does
            raise CheckpointError(f"{path}: is no state of a training, or it is damaged") from error
        try:
            for name, part in self._states().items():
                part.load_state_dict(state[name])
            self.average, self.step = state["average"], state["step"]
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(f"{path}: is not a state of this training ({reason})") from error

    def export(self, path: Path) -> None:
        """The averaged weights with what is needed to build, and to trace, the network."""
        options = self.options
        data = [Path(spec).name for spec in (*options.photos, *options.data)]
        metadata = {
            "architecture": options.model,
            "scale": str(SCALE),
            **self.trained.metadata(),
            "training_data": ", ".join(data),
            "recipe": f"charbonnier, Adam, peak lr {options.lr}, batch {options.batch}, patch {options.patch},"
            f" EMA {options.ema}, degradation {options.degrade}{_others(options)}",
            "seed": str(options.seed),
            "steps": f"{self.step} of {options.steps}",
            **dict(note.split("=", 1) for note in options.notes),
        }
        weights = {k: v.detach().cpu().contiguous().clone() for k, v in self.trained.weights(self.average).items()}
        write_file(path, safetensors(weights, metadata))


_TOLD = frozenset(
    {"out", "run", "photos", "degrade", "patch", "batch", "steps", "stop_at", "resume", "seed", "lr", "ema", "notes"}
    | {"channels", "blocks", "cache_mib", "save_every", "log_every", "device"}
)
"""Options that the metadata has under another name, or that change no weight."""


def _others(options: TrainOptions) -> str:
    """What else the weights depend on, where it is not as by default; of files the names alone."""
    words = ""
    for name, face in options_of(TrainOptions):
        value = getattr(options, name)
        if name not in _TOLD and value != getattr(TrainOptions(), name):
            text = Path(value).name if isinstance(value, str) else value
            words += f", {face.flags[0]}" if face.kind == "flag" else f", {face.flags[0]} {text}"
    return words


def _make_places(run: Path, out: Path) -> None:
    """The folders that are written to: now, and not when the first weights are to be saved.

    Raises ``UsageError`` or ``OSError``.
    """
    if out.is_dir():
        raise UsageError(f"--out {out}: is a folder; name a file in it")
    for folder in (run, out.parent):
        if folder.is_file():
            raise UsageError(f"{folder}: is a file, where a folder is needed")
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise UsageError(f"{folder}: nothing may be written here")


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"--device {name}: cannot be used ({str(error).splitlines()[0]})") from error
    return device


def train(
    options: TrainOptions,
    say: Callable[[str], None] = lambda _: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Trainer:
    """Run to the end, to ``--stop-at``, or until ``stopped``, which is asked after each step.

    Writes the checkpoint, the state and ``log.csv``. Raises ``StreamvsrError``.

    A line of the log: step, mean of each part of the loss since the line before, learning rate, and seconds since the
    start, of which the last column were spent waiting for data. ``say`` is given it as text.
    """
    run, out = options.run_folder, Path(options.out)
    state = run / "state.pt"
    if state.exists() and not options.resume:
        raise UsageError(f"{state}: a run is already there; --resume it or name another folder with --run")
    trainer = Trainer(options)
    if options.resume:
        trainer.load(state)
    try:
        _make_places(run, out)
        if trainer.prepare(say, stopped):
            _loop(trainer, run / "log.csv", state, out, say, stopped)
        # Also where no step was left to do: --resume with another --note rewrites the metadata of a finished run.
        trainer.save(state)
        if trainer.step:
            trainer.export(out)
    except OSError as error:
        raise sink_error(error, str(error.filename or run)) from error
    return trainer


def _loop(
    trainer: Trainer, log: Path, state: Path, out: Path, say: Callable[[str], None], stopped: Callable[[], bool]
) -> None:
    options = trainer.options
    end = min(options.steps, options.stop_at or options.steps)
    seen: list[Losses] = []
    start, waited = time.monotonic(), 0.0
    heads = _heads(log)
    with log.open("a", newline="") as file, ThreadPoolExecutor(1) as pool:
        lines = csv.writer(file)
        ahead: Future[Batch] = pool.submit(trainer.batch, trainer.step)
        while trainer.step < end and not stopped():
            before = time.monotonic()
            batch = ahead.result()
            waited += time.monotonic() - before
            ahead = pool.submit(trainer.batch, trainer.step + 1)
            losses = trainer.advance(batch)
            seen.append(losses)
            if trainer.step % options.log_every == 0 or trainer.step == end:
                rate = learning_rate(trainer.step, options.steps, options.lr)
                means = {name: sum(losses[name] for losses in seen) / len(seen) for name in losses}
                if heads != (heads := ["step", *means, "lr", "seconds", "waited"]):
                    lines.writerow(heads)
                seconds = time.monotonic() - start
                texts = [f"{mean:.6f}" for mean in means.values()]
                lines.writerow([trainer.step, *texts, f"{rate:.2e}", f"{seconds:.0f}", f"{waited:.1f}"])
                file.flush()
                say(_line(trainer.step, options.steps, means, seconds))
                seen.clear()
            if trainer.step % options.save_every == 0 and trainer.step < end:
                trainer.save(state)
                trainer.export(out)


def _heads(log: Path) -> list[str]:
    """The columns that a log ends with: a run that is resumed with another loss has others from there on."""
    if not log.exists():
        return []
    with log.open(newline="") as file:
        return next((line for line in reversed(list(csv.reader(file))) if line[:1] == ["step"]), [])


def _line(step: int, steps: int, means: Mapping[str, float], seconds: float) -> str:
    parts = ", ".join(f"{name} {mean:.5f}" for name, mean in means.items())
    return f"step {step} of {steps}, {seconds:.0f} s: {parts}"
