"""The network of a ``vsr``: which one suits, from where, at what size. The one module that knows models and footage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamvsr.config import Config, ModelOptions, check_backend, tuning_flags
from streamvsr.errors import CheckpointError, StreamvsrError, UsageError
from streamvsr.filters.base import Filter
from streamvsr.filters.libav.graph import LibavFilter
from streamvsr.frames import StreamInfo

if TYPE_CHECKING:
    from streamvsr.footage.sample import Footage
    from streamvsr.models.base import Model
    from streamvsr.models.registry import Selection
    from streamvsr.vsr.filter import VsrFilter
    from streamvsr.vsr.repeats import Repeats
    from streamvsr.vsr.segmented import SegmentedVsr
    from streamvsr.vsr.trace import Tracer

FINE_SCALING = "lanczos+accurate_rnd+full_chroma_int+full_chroma_inp"
"""How the size is changed where the user does not say how."""

LARGEST = 3840, 2160
"""Of frames that nobody asked to be larger: what players and H.264's level 5.2 go up to. Upright: the other way."""

Look = Callable[[], "tuple[Footage | None, str]"]
"""What the input looks like; None and the reason where it cannot be looked at."""


Models = dict[tuple[object, ...], "Model"]
"""Networks that are loaded, by what was asked for."""


class NetworkMaker:
    """How a ``vsr`` of the chain is created; ``notes`` gets a sentence on the choice of each model."""

    def __init__(
        self, config: Config, source: StreamInfo, wanted: str, latency: float | None, look: Look,
        notes: list[str], warn: Callable[[str], None], *, segmented: bool, models: Models | None = None,
        precision: str | None = None,
    ) -> None:  # fmt: skip
        """``segmented``: the run is cut into segments. ``models``: see ``build``. ``precision``: what ``auto`` has
        chosen where the run has begun already; None: it has not."""
        self._config, self._source, self._wanted = config, source, wanted
        self._latency, self._look, self._cut = latency, look, segmented
        self._notes, self._warn, self._models, self._begun_in = notes, warn, models, precision
        self.weights: list[tuple[str, Path | None]] = []
        """Name and strength of each network created, and the file of its weights."""
        self.segmented: list[SegmentedVsr] = []
        """The filters that get the borders of segments."""

    def resolved(self, options: ModelOptions) -> ModelOptions:
        """``options`` with what ``auto`` has chosen here."""
        if not self.segmented:
            return options
        network = self.segmented[0].network
        options = replace(options, precision=network.precision)
        if options.model != "auto" or options.checkpoint is not None or options.config is not None:
            return options
        return replace(options, model=network.model.info.name, strength=network.strength)

    @property
    def precision(self) -> str:
        """Of the network that segments are computed with."""
        return self.segmented[0].network.precision if self.segmented else "fp32"

    @property
    def scene_threshold(self) -> float:
        """By which the networks find scenes; 0: none does."""
        return max((vsr.scene_threshold for vsr in self.segmented), default=0.0)

    @property
    def context(self) -> tuple[int, int]:
        """Frames before and after a cut that the networks need."""
        return max((vsr.context for vsr in self.segmented), default=(0, 0))

    def tracer(self) -> Tracer | None:
        """See ``VsrFilter.tracer``."""
        return self.segmented[0].network.tracer() if len(self.segmented) == 1 else None

    def __call__(self, given: Mapping[str, Any], info: StreamInfo, last: bool) -> Sequence[Filter]:
        options = self._config.model
        if given.keys() & {"model", "checkpoint", "config"}:
            # Another network than that of the options: what they say of theirs does not hold for it.
            defaults = ModelOptions()
            options = replace(options, model="auto", checkpoint=None, config=None, backend=defaults.backend)
        options = replace(options, **given)
        notes: list[str] = []
        if self._begun_in is not None and options.precision == "auto":
            options = replace(options, precision=self._begun_in)  # type: ignore[arg-type]
            notes += [f"precision {self._begun_in}: as the job began"] if self._begun_in != "fp32" else []
        # The output's format is made at once where nothing comes between, and nothing before has chosen another.
        format = self._wanted if last and info.format == self._source.format else None
        size = None if options.scale is None else _target_size(options.scale, info)
        # Whoever writes a chain, or takes the frames into a program, gets what the network makes.
        free = size is None and self._config.output.filters is None and bool(self._config.output.path)
        network, reason = make_vsr(
            options, warn=self._warn, note=notes.append, look=self._look, models=self._models, output_format=format,
            latency_seconds=self._latency,
            size=(lambda scale: self._bounded(info, scale)) if free else lambda _: size,
        )  # fmt: skip
        self._notes += [reason, *notes]
        if size is not None and not network:
            return [LibavFilter([("scale", "{}:{}:flags={}".format(*size, FINE_SCALING))])]
        if not self._cut or not network:
            return network
        self.weights += [
            (f"{vsr.network.model.info.name} {vsr.network.strength:g}", vsr.network.model.weights) for vsr in network
        ]
        from streamvsr.vsr.segmented import SegmentedVsr

        made = [SegmentedVsr(vsr) for vsr in network]
        self.segmented += made
        return made

    def _bounded(self, info: StreamInfo, scale: int) -> tuple[int, int] | None:
        """No larger than what most players show, and no smaller than the input; None: as the network makes it."""
        factor = bounded_factor(info.width, info.height, scale)
        if factor == scale:
            return None
        size = _target_size(factor, info)
        self._notes.append(
            f"{size[0]}x{size[1]} instead of {info.width * scale}x{info.height * scale}, which few players show;"
            f" --scale {scale} writes that"
        )
        return size


def bounded_factor(width: int, height: int, scale: int) -> float:
    """How many times larger frames of this size get where nobody asked for a size: 1 to ``scale``."""
    most = LARGEST if width >= height else LARGEST[::-1]
    return max(1.0, min(float(scale), most[0] / width, most[1] / height))


def _target_size(scale: float | tuple[int, int], info: StreamInfo) -> tuple[int, int]:
    """(width, height) of a factor, a size, or a height whose width (0) keeps the shape of the pixels.

    What follows from something else is rounded to whole chroma samples.
    """
    if isinstance(scale, tuple) and scale[0]:
        return scale
    chroma = info.format.log2_chroma_w, info.format.log2_chroma_h
    if isinstance(scale, tuple):
        width = info.width * scale[1] / info.height
        return max(1, round(width / 2 ** chroma[0])) << chroma[0], scale[1]
    sides = zip((info.width, info.height), chroma, strict=True)
    width, height = (max(1, round(side * scale / 2**shift)) << shift for side, shift in sides)
    return width, height


def look_once(config: Config, *, given: bool, live: bool) -> Look:
    """Looks at the input when it is first asked for, and not again. ``given``: frames come from somewhere else."""

    @cache
    def look() -> tuple[Footage | None, str]:
        from streamvsr.footage.sample import CannotLookError, check_readable_twice
        from streamvsr.footage.sample import look as look_at

        if given:
            return None, "the frames were not looked at"
        try:
            check_readable_twice(config.input, live=live)
            return look_at(config.input), ""
        except CannotLookError as exc:
            return None, str(exc)
        except StreamvsrError as exc:
            # It has been opened by then, so that the run will tell what is wrong with it, if it is.
            return None, f"the input could not be looked at ({exc})"

    return look


def _suited(look: Look, otherwise: Selection, options: ModelOptions, gpu: bool) -> tuple[Selection, ModelOptions]:
    """The network that suits the input, and the options with its strength; ``otherwise`` without its weights."""
    from streamvsr.footage.choose import choose
    from streamvsr.models import registry

    footage, why_not = look()
    choice = choose(footage, options, gpu=gpu, why_not=why_not)
    try:
        selection = registry.select(choice.model)
    except CheckpointError:
        return otherwise, options
    reason = f"model {choice.model}"
    if options.strength is None:
        options = replace(options, strength=choice.strength)
        reason += f" at strength {choice.strength:g}" if choice.strength < 1 else ""
    reason = f"{reason}: {choice.reason}" + (f"; better: {choice.better}" if choice.better else "")
    return selection._replace(reason=reason), options


def make_vsr(
    options: ModelOptions,
    *,
    warn: Callable[[str], None],
    note: Callable[[str], None] = lambda _: None,
    look: Look | None = None,
    models: Models | None = None,
    size: Callable[[int], tuple[int, int] | None] = lambda _: None,
    **placement: Any,
) -> tuple[list[Repeats[VsrFilter]], str]:
    """The network of ``options`` as a filter (none for ``identity``), and a sentence for the user on its choice.

    ``note`` gets another one where ``auto`` computes in another precision than fp32.
    ``look``: what ``auto`` goes by; without it, by what is at hand alone.
    ``size``: takes the network's scale and gives (width, height) of its output, or None for what the network makes.
    ``placement``: keyword arguments of ``VsrFilter`` that depend on where it stands in the chain, such as
    ``output_format``.
    """
    from streamvsr.models import registry
    from streamvsr.models.device import choose_device, choose_dtype

    check_backend(options)
    if options.backend == "mmedit":
        if options.denoise is not None:
            raise UsageError(
                "--denoise: networks of mmedit cannot be told how much to clean; --strength works with all"
            )
        if options.detail is not None:
            raise UsageError("--detail: networks of mmedit have no detail to scale; --strength works with all")
        from streamvsr.models import mmedit

        model: Model = mmedit.load(str(options.config), str(options.checkpoint))
        options = replace(options, propagation="window")
        reason = f"model {model.info.name}, in independent windows"
    else:
        # Asking for a GPU costs the import of torch, which a run without a network should not pay.
        undecided = options.model == registry.AUTO and options.checkpoint is None and options.config is None
        gpu = undecided and choose_device(options.device).type == "cuda"
        choice = registry.select(options.model, options.checkpoint, options.config, gpu)
        if undecided and look is not None:
            choice, options = _suited(look, choice, options, gpu)
        reason = choice.reason
        if choice.entry.name == "identity" and options.denoise is None and options.detail is None:
            return [], reason
        wanted = (choice.entry.name, choice.path, options.config, options.denoise, options.detail)
        loaded = None if models is None else models.get(wanted)
        model = loaded or registry.load_model(choice, options.config, options.denoise, options.detail)
        if models is not None:
            models[wanted] = model
        reason += f": {model.info.note}" if model.info.note else ""
    if useless := tuning_flags(options, model.info.useless if model.info.tunable else None):
        warn(f"{', '.join(useless)}: of no use to {model.info.name}")
    from streamvsr.vsr.filter import VsrFilter
    from streamvsr.vsr.repeats import Repeats

    device = choose_device(options.device)
    precision = options.precision
    if precision == "auto":
        from streamvsr.models.auto_precision import choose as choose_precision

        chosen = choose_precision(model, device, options.threads)
        precision = chosen.precision
        if chosen.note:
            note(chosen.note)
    dtype = choose_dtype(precision, device)
    placement |= {"device": device, "dtype": dtype, "size": size(model.info.scale)}
    return [Repeats(VsrFilter(model, options, warn=warn, **placement))], reason
