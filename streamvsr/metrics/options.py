"""The options of measuring."""

from __future__ import annotations

import re
from dataclasses import dataclass

from streamvsr.errors import UsageError
from streamvsr.options import check_options, option


@dataclass(frozen=True, slots=True)
class MeasureOptions:
    """What is measured, and how."""

    metrics: tuple[str, ...] = option(
        (), "--metric", help="measure this alone; may be given again", kind="list", metavar="NAME"
    )
    """Empty: everything that can be had, but for ssimulacra2 and dists, which take a second a frame."""
    crop_border: int = option(
        0, "--crop-border", help="leave out so many pixels on each side", kind="integer", metavar="PX", least=0
    )
    at: str | None = option(
        None, "--at", help="ssimulacra2, lpips, dists, niqe and brisque at these frames alone", metavar="N,N,..."
    )
    """Frame numbers from 0."""
    niqe_parameters: str | None = option(
        None, "--niqe-parameters", help="niqe_pris_params.npz of BasicSR or MMagic", metavar="FILE"
    )
    lpips_backbone: str | None = option(
        None, "--lpips-backbone", help="torchvision's AlexNet, alexnet-owt-7be5be79.pth", metavar="FILE"
    )
    lpips_linear: str | None = option(
        None, "--lpips-linear", help="LPIPS' own weights, weights/v0.1/alex.pth", metavar="FILE"
    )
    dists_backbone: str | None = option(
        None, "--dists-backbone", help="torchvision's VGG-16, vgg16-397923af.pth", metavar="FILE"
    )
    dists_weights: str | None = option(None, "--dists-weights", help="DISTS' own weights, weights.pt", metavar="FILE")


@dataclass(frozen=True, slots=True)
class MetricsOptions(MeasureOptions):
    """``streamvsr metrics``."""

    csv: str | None = option(None, "--csv", help="write a line a frame", metavar="FILE")
    json: str | None = option(None, "--json", help="write means, and each frame's values", metavar="FILE")
    plot: str | None = option(None, "--plot", help="write the values over time, as PNG", metavar="FILE")
    shortest: bool = option(False, "--shortest", help="stop with the shorter one, where lengths differ", kind="flag")


@dataclass(frozen=True, slots=True)
class EvaluateOptions(MeasureOptions):
    """``streamvsr evaluate``."""

    chains: tuple[str, ...] = option(
        (), "--with", help="measure this chain of filters too", kind="list", metavar="CHAIN"
    )
    degrade: str | None = option(None, "--degrade", help="make the input from the truth: see below", metavar="HOW")
    low_res: str | None = option(None, "--lr", help="the folder of the inputs, where there are several", metavar="NAME")
    clips: tuple[str, ...] = option(
        (), "--clip", help="this clip alone; may be given again", kind="list", metavar="NAME"
    )
    folder: str | None = option(None, "-o", help="CSV, JSON and plot go in here", metavar="FOLDER")
    pictures: bool = option(False, "--pictures", help="and the results as pictures", kind="flag")


def check(options: MeasureOptions) -> None:
    """Raise ``UsageError`` for values that cannot be."""
    check_options(options)
    frames_at(options.at)


def frames_at(text: str | None) -> frozenset[int] | None:
    """``0,50,99`` as frame numbers; None: all."""
    if text is None:
        return None
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise UsageError(f"--at {text}: expected frame numbers, such as 0,50,99")
    return frozenset(map(int, text.split(",")))
