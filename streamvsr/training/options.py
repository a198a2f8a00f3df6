"""The options of a training, from the command line or a TOML file."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from streamvsr.errors import UsageError
from streamvsr.options import check_options, option, options_of

MODELS = ("rt", "basicvsr", "realbasicvsr")
DEGRADATIONS = ("clean", "light", "real", "web", "paper")
"""The recipes of ``streamvsr.degrade``, whose import takes torch."""
READ_BY = ("architecture", "scale", "channels", "blocks")
"""Keys of a checkpoint's metadata that say what it is."""


@dataclass(frozen=True, slots=True)
class TrainOptions:
    model: str = ""
    """One of ``MODELS``."""
    data: tuple[str, ...] = ()
    """``PATH`` or ``PATH@N``: videos, folders of frames, folders of either."""
    out: str = option("", "--out", help="the checkpoint to write (.safetensors)", metavar="FILE")
    run: str | None = option(None, "--run", help="folder of log and resumable state (runs/NAME)", metavar="DIR")
    photos: tuple[str, ...] = option(
        (), "--photos", help="pictures that are made to move, of any size", kind="list", metavar="PATH[@N]"
    )
    photo_share: float = option(
        0.75, "--photo-share", help="how often a photo is taken (0.75)", kind="number", metavar="P", least=0, most=1
    )
    cache_mib: int = option(
        2048, "--cache-mib", help="clips and photos held in memory; others are read each time (2048)", kind="integer",
        metavar="MIB", least=0,
    )  # fmt: skip
    degrade: str = option(
        "clean",
        "--degrade",
        help="clean (shrunk alone), light, real, web or paper",
        metavar="NAME",
        choices=DEGRADATIONS,
    )
    color: bool = option(False, "--color", help="rt: look at the colours too, and clean them", kind="flag")
    teacher: str | None = option(
        None,
        "--teacher",
        help="learn from what this checkpoint (or one by name) makes of the same input, too",
        metavar="FILE",
    )
    sequences: int = option(
        1000, "--sequences", help="how many are prepared with the teacher's frames (1000)", kind="integer",
        metavar="N", least=1,
    )  # fmt: skip
    prepared: str | None = option(None, "--prepared", help="folder to keep them in (RUN/prepared)", metavar="DIR")
    prepared_patch: int = option(
        256, "--prepared-patch", help="ground-truth pixels of what is prepared, which is cut to --patch (256)",
        kind="integer", metavar="PX", least=32,
    )  # fmt: skip
    teacher_every: int = option(
        2, "--teacher-every", help="the teacher is asked for every so many frames (2)", kind="integer", metavar="N",
        least=1,
    )  # fmt: skip
    teach: float = option(
        1.0, "--teach", help="weight of the loss to the teacher's frames (1)", kind="number", metavar="X", least=0
    )
    gradients: float = option(
        0.5, "--gradients", help="of it, weight of the loss on their gradients (0.5)", kind="number", metavar="X",
        least=0,
    )  # fmt: skip
    energy: float = option(
        0.0, "--energy", help="of it, weight of the loss on how strong edges and texture are", kind="number",
        metavar="X", least=0,
    )  # fmt: skip
    detail: float = option(
        0.5, "--detail", help="rt: share of the teacher's detail: 0 none, 1 as it was learnt (0.5)", kind="number",
        metavar="P", least=0, most=2,
    )  # fmt: skip
    frames: int = option(8, "--frames", help="frames of a sequence, L (8)", kind="integer", metavar="N", least=2)
    long_frames: int | None = option(
        None, "--long-frames", help="every fourth step takes so many, of half the batch", kind="integer", metavar="N",
        least=2,
    )  # fmt: skip
    mirror: bool = option(False, "--mirror", help="read L/2 frames, play them forth and back", kind="flag")
    patch: int = option(128, "--patch", help="ground-truth pixels (128)", kind="integer", metavar="PX", least=32)
    batch: int = option(8, "--batch", help="sequences in a batch (8)", kind="integer", metavar="N", least=1)
    steps: int = option(12_000, "--steps", help="steps in all (12000)", kind="integer", metavar="N", least=1)
    stop_at: int | None = option(
        None, "--stop-at", help="stop after this step, to be resumed", kind="integer", metavar="N", least=1
    )
    resume: bool = option(False, "--resume", help="go on from the state in --run", kind="flag")
    init: str | None = option(None, "--init", help="begin with these weights", metavar="FILE")
    seed: int = option(1, "--seed", help="of everything random (1)", kind="integer", metavar="N", least=0)
    channels: int | None = option(
        None, "--channels", help="width (rt: 32, others: 64)", kind="integer", metavar="N", least=1
    )
    blocks: int | None = option(
        None, "--blocks", help="residual blocks (rt: 1, basicvsr: 30, realbasicvsr: 20)", kind="integer", metavar="N",
        least=1,
    )  # fmt: skip
    cleaning_blocks: int = option(
        20, "--cleaning-blocks", help="blocks of the cleaning stage (20)", kind="integer", metavar="N", least=1
    )
    lr: float = option(1e-3, "--lr", help="highest learning rate (1e-3)", kind="number", metavar="X")
    lr_discriminator: float = option(
        1e-4, "--lr-discriminator", help="learning rate of the discriminator (1e-4)", kind="number", metavar="X"
    )
    discriminator_channels: int = option(
        64, "--discriminator-channels", help="its width (64)", kind="integer", metavar="N", least=1
    )
    ema: float = option(
        0.999, "--ema", help="decay of the averaged weights (0.999)", kind="number", metavar="X", least=0, most=1
    )
    freeze_flow: int = option(
        0, "--freeze-flow", help="steps that leave the flow network alone", kind="integer", metavar="N", least=0
    )
    cleaning: float = option(
        1.0, "--cleaning", help="weight of the cleaning loss (1)", kind="number", metavar="X", least=0
    )
    temporal: float = option(
        0.0, "--temporal", help="weight of the loss on changes between frames", kind="number", metavar="X", least=0
    )
    perceptual: float = option(
        0.0, "--perceptual", help="weight of the perceptual loss; needs --vgg", kind="number", metavar="X", least=0
    )
    vgg: str | None = option(None, "--vgg", help="VGG-19 as torchvision saves it", metavar="FILE")
    gan: float = option(0.0, "--gan", help="weight of the adversarial loss", kind="number", metavar="X", least=0)
    sharpen: bool = option(False, "--sharpen", help="sharpened targets for all but the discriminator", kind="flag")
    save_every: int = option(500, "--save-every", help="steps (500)", kind="integer", metavar="N", least=1)
    log_every: int = option(100, "--log-every", help="steps (100)", kind="integer", metavar="N", least=1)
    precision: str = option(
        "fp32", "--precision", help="fp32, or bf16 for the network's passes (2 to 3 times as fast where the processor"
        " has it; sums and weights stay fp32)", metavar="NAME", choices=("fp32", "bf16"),
    )  # fmt: skip
    device: str = option("cpu", "--device", help="cpu, or cuda as torch names it", metavar="NAME")
    notes: tuple[str, ...] = option(
        (), "--note", help="put into the checkpoint, as licence=CC0-1.0", kind="pairs", metavar="KEY=TEXT"
    )

    @property
    def run_folder(self) -> Path:
        return Path(self.run) if self.run else Path("runs") / Path(self.out).stem

    @property
    def prepared_folder(self) -> Path:
        return Path(self.prepared) if self.prepared else self.run_folder / "prepared"


def check(options: TrainOptions) -> None:
    """Raise ``UsageError`` for what does not go together."""
    check_options(options)
    if options.model not in MODELS:
        raise UsageError(f"{options.model or 'nothing'} cannot be trained; there are {', '.join(MODELS)}")
    if not options.out.endswith(".safetensors"):
        raise UsageError("name the checkpoint to write: --out NAME.safetensors")
    if options.patch % 4:
        raise UsageError(f"--patch {options.patch}: must be a multiple of 4")
    if options.color and options.model != "rt":
        raise UsageError(f"--color is for rt: {options.model} looks at colours anyway")
    if options.teacher and (options.prepared_patch < options.patch or options.prepared_patch % 8):
        raise UsageError(f"--prepared-patch {options.prepared_patch}: must be a multiple of 8, and at least --patch")
    if options.teacher and options.long_frames:
        raise UsageError("--long-frames and --teacher: what is prepared has --frames frames each; leave one out")
    if options.color and options.patch % 8:
        raise UsageError(f"--patch {options.patch}: --color needs a multiple of 8, as chroma has half of the pixels")
    if options.lr <= 0 or options.lr_discriminator <= 0:
        raise UsageError("a learning rate must be greater than 0")
    if options.perceptual and not options.vgg:
        raise UsageError("--perceptual needs the weights of VGG-19: --vgg FILE")
    if options.gan and options.patch % 8:
        raise UsageError(f"--patch {options.patch}: --gan needs a multiple of 8, as the discriminator halves it thrice")
    if taken := [note for note in options.notes if note.partition("=")[0] in READ_BY]:
        raise UsageError(f"--note {taken[0]}: the checkpoint is read by its own {', '.join(READ_BY)}")
    if options.model == "rt" and (options.perceptual or options.gan):
        raise UsageError("--perceptual and --gan look at colours, and rt has luma alone: leave them out")


def from_toml(path: str) -> dict[str, Any]:
    """Field -> value of a TOML file whose keys are the options' names (``long_frames = 15``), of the right types."""
    try:
        table = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: is not TOML ({' '.join(str(error).split())})") from error
    kinds = {name: face.kind for name, face in options_of(TrainOptions)} | {"model": "text", "data": "list"}
    values: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in kinds:
            raise UsageError(f"{path}: {key} is no option of a training")
        values[name] = _typed(f"{path}: {key}", kinds[name], value)
    return values


_KINDS = {
    "text": "a text", "integer": "a whole number", "number": "a number", "flag": "true or false",
    "list": "a list of texts", "pairs": "a table",
}  # fmt: skip


def _typed(where: str, kind: str, value: Any) -> Any:
    if kind == "list" and isinstance(value, list) and all(isinstance(v, str) for v in value):
        return tuple(value)
    if kind == "pairs" and isinstance(value, Mapping):
        return tuple(f"{key}={text}" for key, text in value.items())
    wanted: dict[str, tuple[type, ...]] = {"text": (str,), "integer": (int,), "number": (int, float), "flag": (bool,)}
    types = wanted.get(kind, ())
    if not isinstance(value, types) or (isinstance(value, bool) and kind != "flag"):
        raise UsageError(f"{where} has the wrong type: {value!r}, not {_KINDS[kind]}")
    if kind == "number" and not math.isfinite(cast(float, value)):
        raise UsageError(f"{where}: {value} is no number to train with")
    return float(cast(float, value)) if kind == "number" else value


def merged(given: Mapping[str, Any], config: str | None) -> TrainOptions:
    """Options of the command line, over those of a TOML file, over the defaults; checked."""
    options = TrainOptions(**(from_toml(config) if config else {}))
    options = replace(options, **given)
    check(options)
    return options
