"""The measures that there are: names, units, which way is better, and what each needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    name: str
    """As given to ``--metric``, and the heading of its column."""
    better: Literal["higher", "lower"]
    digits: int
    """Decimals worth printing."""
    needs: Literal["reference", "motion", "reference and motion", "nothing"]
    """What the result alone does not give."""
    about: str
    by_default: bool = True
    """Measured where nothing is asked for, as far as what it needs is there."""

    @property
    def needs_reference(self) -> bool:
        return "reference" in self.needs

    @property
    def needs_motion(self) -> bool:
        return "motion" in self.needs


METRICS: Mapping[str, Metric] = {
    m.name: m
    for m in (
        Metric("psnr_y", "higher", 2, "reference", "dB, of luma codes (16 to 235), peak 255; at most 100"),
        Metric("psnr_rgb", "higher", 2, "reference", "dB, of R'G'B' 0 to 255, peak 255; at most 100"),
        Metric(
            "psnr_cb", "higher", 2, "reference", "dB, of Cb codes (16 to 240), peak 255; at most 100", by_default=False
        ),
        Metric(
            "psnr_cr", "higher", 2, "reference", "dB, of Cr codes (16 to 240), peak 255; at most 100", by_default=False
        ),
        Metric("ssim_y", "higher", 4, "reference", "structural similarity of luma codes, windows of 11x11"),
        Metric("mse_y", "lower", 2, "reference", "mean squared difference of luma codes"),
        Metric("mse_rgb", "lower", 2, "reference", "mean squared difference of R'G'B' 0 to 255"),
        Metric(
            "ssimulacra2", "higher", 1, "reference", "SSIMULACRA 2: 100 identical, below 0 far away", by_default=False
        ),
        Metric("lpips", "lower", 4, "reference", "LPIPS 0.1 with AlexNet: 0 identical"),
        Metric("dists", "lower", 4, "reference", "DISTS: structure and texture, 0 identical", by_default=False),
        Metric("warping_error", "lower", 2, "motion", "mean squared change along the motion, luma codes"),
        Metric("flicker", "lower", 3, "reference and motion", "mean absolute change of the error along the motion"),
        Metric("niqe", "lower", 2, "nothing", "NIQE of luma, no reference"),
        Metric("brisque", "lower", 1, "nothing", "BRISQUE of luma, no reference"),
    )
}
