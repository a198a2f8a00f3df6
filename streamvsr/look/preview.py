"""One moment of an input before and after: bicubic upscaling next to the network's result."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from importlib import import_module
from threading import Thread
from typing import cast

import numpy as np

from streamvsr.compare.label import Label, fitting_scale
from streamvsr.config import Config, ModelOptions
from streamvsr.errors import NoVideoError
from streamvsr.filters.compose import compose, has_vsr
from streamvsr.filters.language import parse
from streamvsr.footage.choose import choose
from streamvsr.footage.sample import Footage, look, soonest_near_middle
from streamvsr.look.crops import WARM_UP_FRAMES, Moment
from streamvsr.look.options import PreviewOptions
from streamvsr.media.color.arrays import Pixels
from streamvsr.models.registry import AUTO

MOST = (320, 240)
"""Width and height of the part that is shown, in pixels of the input: at four times its size two of them fill a screen,
and a network is done with it in a second."""


@dataclass(frozen=True, slots=True)
class Preview:
    before: Pixels
    after: Pixels
    """(rows, columns, 3) uint8 R'G'B', of one size: bicubic, and the result of the network or of ``-vf``."""
    line: str
    """What is to be seen."""

    @property
    def pixels(self) -> Pixels:
        """Both beside each other: before left, after right."""
        return cast(Pixels, np.hstack([self.before, self.after]))


def preview(config: Config, options: PreviewOptions, *, warn: Callable[[str], None]) -> Preview:
    """``config.model``'s network, or the one that suits the input. Raises what reading the input raises."""
    footage = look(config.input)
    Thread(target=_import_torch).start()
    chain = config.output.filters or "vsr"
    networked = has_vsr(compose(parse(chain)))
    lead = Fraction(WARM_UP_FRAMES) / Fraction(footage.frame_rate or 25).limit_denominator(1001)
    if options.at is not None:
        wanted = options.at
    elif footage.codec and (soonest := soonest_near_middle(config.input, lead)) is not None:
        wanted = soonest
    else:
        wanted = Fraction(int(500 * (footage.seconds or 0)), 1000)
    most = (footage.width, footage.height) if options.whole else MOST
    size = min(most[0], footage.width) & ~1 or 1, min(most[1], footage.height) & ~1 or 1
    try:
        moment = Moment(config, max(Fraction(0), wanted - lead), warn, chain)
        x, y = (0, 0) if options.whole else moment.liveliest(footage, size)
        crop = f"crop={size[0]}:{size[1]}:{x}:{y}"
        model, name = _network(config.model, footage) if networked else (config.model, chain)
        after = moment.frame(f"{crop},{chain}", model)
    except NoVideoError as error:
        raise NoVideoError(
            f"{config.input.path}: there is no frame at {float(wanted):g} s; --at chooses another moment"
        ) from error
    height, width = after.shape[:2]
    plain = ModelOptions(model="bicubic", scale=(width, height), device=config.model.device)
    before = moment.frame(f"{crop},vsr", plain, alone=True)
    texts = ["bicubic", name]
    if not options.apart:
        scale = min(fitting_scale(text, width, height, 0.9) for text in texts)
        for pixels, text in zip((before, after), texts, strict=True):
            Label(text, width, height, scale).draw(pixels, at_right=False)
    both = f"before: bicubic, after: {name}" if options.apart else f"left bicubic, right {name}"
    line = (
        f"{both}, at {float(wanted):.2f} s, {size[0]}x{size[1]} of {footage.width}x{footage.height} pixels from {x},{y}"
    )
    return Preview(before, after, line)


def _import_torch() -> None:
    """It takes two seconds, which the decoder does not have to wait for."""
    # Where it is not installed whoever needs it says so.
    with suppress(ImportError):
        import_module("torch")


def _network(model: ModelOptions, footage: Footage) -> tuple[ModelOptions, str]:
    """With what ``auto`` chooses, and the name to show."""
    if model.model != AUTO or model.checkpoint is not None or model.config is not None:
        return model, model.checkpoint or model.model
    from streamvsr.models.device import is_cuda

    choice = choose(footage, model, gpu=is_cuda(model.device))
    strength = choice.strength if model.strength is None else model.strength
    return replace(model, model=choice.model, strength=strength), choice.model
