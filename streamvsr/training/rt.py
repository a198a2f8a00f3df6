"""Train the network ``rt``: ``python -m streamvsr.training.rt --data photos clip.mp4@2 --out rt.safetensors``.

Everything random follows from the seed and the number of the step, so a run that was stopped and resumed ends with the
weights of a run that was not.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from streamvsr.errors import CheckpointError, StreamvsrError, UsageError
from streamvsr.models.rt.network import SCALE, RTNet
from streamvsr.training.data import Clip, batch, load_clips, triples

EMA_DECAY = 0.999
WARM_UP_STEPS = 200
SHORT_FRAMES, LONG_FRAMES = 8, 15
"""Every fourth step runs on long sequences, half as many of them, so that the memory learns to stay useful."""
LAST_FRAME_EVERY = 8
"""A stream has one last frame, which has no successor: only every so many steps train on it."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m streamvsr.training.rt", description="Train the network rt.")
    p.add_argument("--data", nargs="+", required=True, metavar="PATH[@N]",
                   help="videos, or folders of videos or photos; @N shrinks them by N first")  # fmt: skip
    p.add_argument("--out", type=Path, required=True, help="the checkpoint to write (.safetensors)")
    p.add_argument("--run", type=Path, help="folder of the log and the resumable state (default: runs/NAME OF OUT)")
    p.add_argument("--steps", type=int, default=40_000)
    p.add_argument("--stop-at", type=int, help="stop after this step, to be resumed later")
    p.add_argument("--resume", action="store_true", help="go on from the state in --run")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--channels", type=int, default=32)
    p.add_argument("--blocks", type=int, default=1)
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--patch", type=int, default=128, help="ground-truth pixels, a multiple of 4")
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--save-every", type=int, default=500, metavar="STEPS")
    p.add_argument("--note", action="append", default=[], metavar="KEY=TEXT",
                   help="put into the checkpoint's metadata, e.g. licence=Apache-2.0")  # fmt: skip
    return p


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Linear warm-up, then half a cosine down to a thousandth of the peak."""
    if step < WARM_UP_STEPS:
        return peak * (step + 1) / WARM_UP_STEPS
    phase = (step - WARM_UP_STEPS) / max(1, steps - WARM_UP_STEPS)
    return peak * (0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi * min(1.0, phase))))


def charbonnier(difference: Tensor) -> Tensor:
    """Mean of sqrt(d^2 + 0.001^2): the absolute error, rounded off at zero."""
    return (difference * difference + 1e-6).sqrt().mean()


def sequence_loss(net: RTNet, low: Tensor, truth: Tensor, last: bool) -> Tensor:
    """Mean loss over the frames of (T, N, h, w) and (T, N, 4h, 4w); the last frame only counts if ``last``."""
    frames, count, height, width = low.shape
    hidden = net.initial_state(count, height, width)
    losses: list[Tensor] = []
    for t, neighbours in enumerate(triples(low)):
        if t == frames - 1 and not last:
            break
        output, hidden = net(neighbours, hidden)
        losses.append(charbonnier(output[:, 0] - truth[t]))
    return torch.stack(losses).mean()


class Trainer:
    """Network, average weights, optimiser and the number of steps done."""

    def __init__(self, args: argparse.Namespace, clips: Sequence[Clip]) -> None:
        self.args, self.clips, self.step = args, clips, 0
        torch.manual_seed(args.seed)
        self.net = RTNet(args.channels, args.blocks).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = {key: value.clone() for key, value in self.net.state_dict().items()}
        self.optimiser = torch.optim.Adam(self.net.parameters(), lr=args.lr, betas=(0.9, 0.99))

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        args, long = self.args, step % 4 == 3
        frames, count = (LONG_FRAMES, max(1, args.batch // 2)) if long else (SHORT_FRAMES, args.batch)
        rng = np.random.default_rng((args.seed, step))
        return batch(self.clips, count, frames + 1, args.patch, rng)

    def advance(self, low: Tensor, truth: Tensor) -> float:
        """One step of the optimiser; returns the loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step, self.args.steps, self.args.lr)
        loss = sequence_loss(self.net, low, truth, self.step % LAST_FRAME_EVERY == 0)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        # The average follows quickly at first: it must not remember the random weights of the start.
        decay = min(EMA_DECAY, (1 + self.step) / (10 + self.step))
        for key, value in self.net.state_dict().items():
            self.average[key].lerp_(value, 1 - decay)
        self.step += 1
        return float(loss.detach())

    def save(self, path: Path) -> None:
        state = {"step": self.step, "net": self.net.state_dict(), "average": self.average,
                 "optimiser": self.optimiser.state_dict()}  # fmt: skip
        beside = path.with_suffix(".part")
        torch.save(state, beside)
        beside.replace(path)  # whoever kills the run in the middle of a save keeps the state before it

    def load(self, path: Path) -> None:
        try:
            state = torch.load(path, weights_only=True)
            self.net.load_state_dict(state["net"])
        except FileNotFoundError:
            raise CheckpointError(f"{path}: nothing to resume; start without --resume") from None
        except (RuntimeError, KeyError) as error:
            raise CheckpointError(f"{path}: is not a state of this network ({error})") from error
        self.average, self.step = state["average"], state["step"]
        self.optimiser.load_state_dict(state["optimiser"])

    def export(self, path: Path) -> None:
        """The averaged weights with what is needed to build, and to trace, the network."""
        args = self.args
        metadata = {
            "architecture": "rt", "scale": str(SCALE), "channels": str(args.channels), "blocks": str(args.blocks),
            "training_data": ", ".join(Path(spec).name for spec in args.data),
            "recipe": f"charbonnier, Adam, peak lr {args.lr}, batch {args.batch}, patch {args.patch}, EMA {EMA_DECAY}",
            "seed": str(args.seed), "steps": f"{self.step} of {args.steps}",
        }  # fmt: skip
        metadata.update(note.split("=", 1) for note in args.note)
        weights = {key: value.detach().contiguous().clone() for key, value in self.average.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(weights, path, metadata)


def train(args: argparse.Namespace) -> Trainer:
    """Run, log to ``log.csv`` (step, loss over the last lines, learning rate, seconds) and write the checkpoint."""
    if args.patch % 4 or args.patch < 32:
        raise UsageError(f"--patch {args.patch}: must be a multiple of 4, at least 32")
    if min(args.steps, args.batch, args.save_every) < 1:
        raise UsageError("--steps, --batch and --save-every must be at least 1")
    if any("=" not in note for note in args.note):
        raise UsageError("--note takes KEY=TEXT")
    run: Path = args.run or Path("runs") / args.out.stem
    state = run / "state.pt"
    if state.exists() and not args.resume:
        raise UsageError(f"{state}: a run is already there; --resume it or name another folder with --run")
    trainer = Trainer(args, load_clips(args.data, args.patch))
    if args.resume:
        trainer.load(state)
    run.mkdir(parents=True, exist_ok=True)
    end = min(args.steps, args.stop_at or args.steps)
    losses: list[float] = []
    start = time.monotonic()
    with (run / "log.csv").open("a", newline="") as file, ThreadPoolExecutor(1) as pool:
        log = csv.writer(file)
        ahead: Future[tuple[Tensor, Tensor]] = pool.submit(trainer.batch, trainer.step)
        while trainer.step < end:
            low, truth = ahead.result()
            ahead = pool.submit(trainer.batch, trainer.step + 1)
            losses.append(trainer.advance(low, truth))
            if trainer.step % 100 == 0 or trainer.step == end:
                rate = learning_rate(trainer.step, args.steps, args.lr)
                mean = sum(losses) / len(losses)
                log.writerow([trainer.step, f"{mean:.6f}", f"{rate:.2e}", f"{time.monotonic() - start:.0f}"])
                file.flush()
                losses.clear()
            if trainer.step % args.save_every == 0 and trainer.step < end:
                trainer.save(state)
                trainer.export(args.out)
    # Also where no step was left to do: --resume with another --note rewrites the metadata of a finished run.
    trainer.save(state)
    trainer.export(args.out)
    return trainer


def main(argv: Sequence[str] | None = None) -> int:
    try:
        trainer = train(parser().parse_args(argv))
    except StreamvsrError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{trainer.args.out}: step {trainer.step} of {trainer.args.steps}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
