"""What costs an extra or a file: loaded once, used for all clips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from streamvsr.errors import MissingExtraError, UsageError
from streamvsr.media.color.samples import Values
from streamvsr.metrics.options import MeasureOptions
from streamvsr.metrics.table import METRICS


@dataclass(frozen=True, slots=True)
class Tools:
    wanted: tuple[str, ...]
    """Names of metrics, in the table's order."""
    no_reference: dict[str, Callable[[Values], float]] = field(default_factory=dict)
    """Of the result's luma codes (H, W)."""
    with_reference: dict[str, Callable[[Values, Values], float]] = field(default_factory=dict)
    """Of R'G'B' (H, W, 3): the result, then the reference."""
    notes: tuple[str, ...] = ()
    """A sentence on each that is left out because something is missing."""


def load(options: MeasureOptions, *, reference: bool, video: bool = True) -> Tools:
    """What ``options`` asks for: everything that can be had where it names nothing.

    ``reference``, ``video``: whether there is one, and more than one frame. Raises ``UsageError`` or
    ``MissingExtraError`` for what was asked for by name and cannot be had.
    """
    names = tuple(dict.fromkeys(options.metrics))
    for name in names:
        if name not in METRICS:
            raise UsageError(f"--metric {name}: there are {', '.join(METRICS)}")
        if METRICS[name].needs_reference and not reference:
            raise UsageError(f"--metric {name} compares with a reference, and none is given")
    chosen = [m.name for m in METRICS.values() if m.name in names or (not names and m.by_default)]
    chosen = [n for n in chosen if reference or not METRICS[n].needs_reference]
    if not video and not names:
        chosen = [n for n in chosen if not METRICS[n].needs_motion]
    tools, notes = Tools(()), []
    for name in list(chosen):
        try:
            _load(name, options, tools)
        except MissingExtraError as error:
            if names:
                raise
            chosen.remove(name)
            notes.append(f"left out: {error}")
    if not chosen:
        raise UsageError("nothing can be measured without a reference here: " + "; ".join(notes or ["name one"]))
    return Tools(tuple(chosen), tools.no_reference, tools.with_reference, tuple(notes))


def _load(name: str, options: MeasureOptions, tools: Tools) -> None:
    if name == "niqe":
        if options.niqe_parameters is None:
            raise MissingExtraError("niqe: needs its parameters, --niqe-parameters FILE")
        from streamvsr.metrics.natural import Niqe

        tools.no_reference[name] = Niqe(options.niqe_parameters)
    elif name == "brisque":
        from streamvsr.metrics.natural import Brisque

        tools.no_reference[name] = Brisque()
    elif name == "lpips":
        if options.lpips_backbone is None or options.lpips_linear is None:
            raise MissingExtraError("lpips: needs its weights, --lpips-backbone FILE and --lpips-linear FILE")
        from streamvsr.metrics.perceptual import Lpips

        tools.with_reference[name] = Lpips(options.lpips_backbone, options.lpips_linear)
    elif name == "dists":
        if options.dists_backbone is None or options.dists_weights is None:
            raise MissingExtraError("dists: needs its weights, --dists-backbone FILE and --dists-weights FILE")
        from streamvsr.metrics.dists import Dists

        tools.with_reference[name] = Dists(options.dists_backbone, options.dists_weights)
    elif name == "ssimulacra2":
        from streamvsr.metrics.perceptual import Ssimulacra2

        tools.with_reference[name] = Ssimulacra2()
