"""``streamvsr evaluate``: models on the clips of a data set, through the pipeline that everybody runs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from streamvsr.config import Config, InputOptions, ModelOptions, OutputOptions
from streamvsr.degrade.standard import Recipe, make_clip, parse_recipe
from streamvsr.errors import SinkError, UsageError
from streamvsr.frames import Frame
from streamvsr.media.color.arrays import rgb_array
from streamvsr.media.color.samples import matrix_of
from streamvsr.media.color.shrink import split_shrink
from streamvsr.metrics.compare import OnProgress
from streamvsr.metrics.datasets import VIDEOLQ_FRAMES, Clip, find_clips
from streamvsr.metrics.measure import Measure, Scores, pairs
from streamvsr.metrics.options import EvaluateOptions, frames_at
from streamvsr.metrics.tools import Tools, load
from streamvsr.models.registry import select
from streamvsr.pipeline.frame_sink import FrameReader
from streamvsr.reading import UNTOUCHED, check_chain, open_reader

CONFIGS = (".py",)
WEIGHTS = (".pth", ".pt", ".safetensors")


@dataclass(frozen=True, slots=True)
class Method:
    """A way to enlarge."""

    name: str
    model: ModelOptions
    chain: str | None = None
    """A chain of filters instead of the model alone."""


@dataclass(frozen=True, slots=True)
class Result:
    """One method on one clip."""

    method: str
    clip: str
    scores: Scores
    frame_milliseconds: float
    """What a frame took in the filters, on the clock, with the measuring of other frames beside it."""


def methods(models: str, options: ModelOptions, chains: Sequence[str]) -> list[Method]:
    """``models``: names, configs or checkpoints, joined with commas. Raises ``UsageError``."""
    found = []
    for word in models.split(","):
        suffix = Path(word).suffix.lower()
        if not word:
            raise UsageError(f"'{models}': a name is empty")
        if suffix in CONFIGS:
            found.append(Method(Path(word).stem, replace(options, config=word)))
        elif suffix in WEIGHTS:
            if options.checkpoint is not None:
                raise UsageError(f"{word} is a checkpoint, and --checkpoint names another")
            found.append(Method(Path(word).stem, replace(options, checkpoint=word)))
        else:
            found.append(Method(word, replace(options, model=word)))
    found += [Method(chain, options, chain) for chain in chains]
    names = [method.name for method in found]
    if len(set(names)) < len(names):
        raise UsageError(f"'{models}': two of them have one name: {', '.join(names)}")
    return found


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that is settled before the first clip is opened."""

    ways: Sequence[Method]
    clips: Sequence[Clip]
    options: EvaluateOptions
    tools: Tools
    recipe: Recipe | None
    shrink: int
    frames: int | None
    """Of each clip at most."""

    @property
    def at(self) -> frozenset[int] | None:
        return frames_at(self.options.at)


def prepare(ways: Sequence[Method], dataset: str, options: EvaluateOptions, frames: int | None) -> Evaluation:
    """Find the clips and load what measures them. Raises ``StreamvsrError``."""
    for way in ways:
        _check_method(way)
    path, shrink = split_shrink(dataset)
    recipe = None if options.degrade is None else parse_recipe(options.degrade)
    if shrink > 1 and recipe is None:
        raise UsageError(f"{dataset}: shrinking by {shrink} makes a truth, from which --degrade makes the input")
    clips = find_clips(path, make=recipe is not None, low_res=options.low_res, wanted=options.clips)
    known = clips[0].truth is not None
    if not known and options.at is None:
        options = replace(options, at=VIDEOLQ_FRAMES)
    tools = load(options, reference=known)
    return Evaluation(ways, clips, options, tools, recipe, shrink, frames)


def _check_method(way: Method) -> None:
    """Raise for a chain or a network that there is not, before others are measured for minutes."""
    if way.chain is not None:
        check_chain(Config(InputOptions(""), OutputOptions(filters=way.chain), way.model))
    elif way.model.backend == "native":
        select(way.model.model, way.model.checkpoint, way.model.config)


def evaluate(
    plan: Evaluation, *, warn: Callable[[str], None], note: Callable[[str], None],
    progress_of: Callable[[str], OnProgress], folder: Path | None = None,
) -> Iterator[Result]:  # fmt: skip
    """One result a clip and method, as they come. ``progress_of``: by the name of a
    measurement, what is called with the numbers of frames done and expected.

    ``folder``: where the results' pictures go, ``METHOD/CLIP/00000000.png``. Raises ``StreamvsrError``.
    """
    said: set[str] = set()

    def once(line: str) -> None:
        if line not in said:
            said.add(line)
            note(line)

    for clip in plan.clips:
        with tempfile.TemporaryDirectory(prefix="streamvsr-") as made:
            low_res, truth = clip.low_res, clip.truth
            if plan.recipe is not None:
                assert truth is not None
                low_res, truth = make_clip(truth, plan.recipe, plan.shrink, plan.frames, Path(made), warn)
            assert low_res is not None
            for way in plan.ways:
                target = None if folder is None else folder / safe(way.name) / clip.name
                on_progress = progress_of(f"{way.name} {clip.name} ")
                scores, milliseconds = _run(plan, way, low_res, truth, warn, once, on_progress, target)
                yield Result(way.name, clip.name, scores, milliseconds)


def _run(
    plan: Evaluation, way: Method, low_res: str, truth: str | None, warn: Callable[[str], None],
    note: Callable[[str], None], on_progress: OnProgress, target: Path | None,
) -> tuple[Scores, float]:  # fmt: skip
    output = OutputOptions(frames=plan.frames, filters=way.chain)
    with ExitStack() as undo:

        def opened(path: str, model: ModelOptions, output: OutputOptions) -> FrameReader:
            reader = open_reader(Config(InputOptions(path=path), output, model), warn)
            undo.callback(reader.close)
            return reader

        results = opened(low_res, way.model, output)
        for line in results.run.notes:
            note(f"{way.name}: {line}")
        compared = opened(low_res if truth is None else truth, UNTOUCHED, OutputOptions(frames=plan.frames))
        measure = Measure(
            plan.tools, matrix_of(compared.media.video, results.media.video), plan.options.crop_border, plan.at
        )
        if target is not None:
            target.mkdir(parents=True, exist_ok=True)
        for frame, other in pairs(results, compared, (f"{way.name} of {low_res}", truth or low_res), shortest=False):
            measure.add(frame, *((other, None) if truth is not None else (None, other)))
            if target is not None:
                _write(target / f"{len(measure.scores) - 1:08}.png", frame)
            on_progress(len(measure.scores), compared.media.video.frames_hint)
        stages = results.run.stats()[1:-1]
        busy = sum(stage.busy_seconds for stage in stages)
        return measure.scores, 1000 * busy / max(1, len(measure.scores))


def safe(name: str) -> str:
    """A name as part of a path."""
    return "".join(c if c.isalnum() or c in "-_.=" else "_" for c in name)


def _write(path: Path, frame: Frame) -> None:
    if not cv2.imwrite(str(path), rgb_array(frame)[..., ::-1]):
        raise SinkError(f"{path}: cannot be written")
