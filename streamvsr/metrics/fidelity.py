"""How near an image is to its reference: mean squared error, PSNR, SSIM."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from streamvsr.media.color.samples import PEAK, Values

MOST_PSNR = 100.0
"""dB, also for images that do not differ at all, so that means, plots and JSON stay finite. 8-bit images of 4K that
differ by one code in one sample have 117 dB: what lies above 100 is no difference that anybody sees."""

SIGMA, WINDOW = 1.5, 11
_K1, _K2 = 0.01, 0.03


def mse(result: Values, reference: Values) -> float:
    """Mean squared difference of all samples."""
    return float(np.mean(np.square(result.astype(np.float64) - reference)))


def psnr(error: float) -> float:
    """dB of a mean squared error, of a peak of 255; at most 100."""
    return MOST_PSNR if error <= 0 else min(MOST_PSNR, 10 * math.log10(PEAK**2 / error))


def ssim(result: Values, reference: Values) -> float:
    """Structural similarity of two (H, W) planes of 0..255; NaN for images smaller than its window.

    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to structural similarity", IEEE
    Transactions on Image Processing 13(4), 2004: Gaussian window of 11x11 with sigma 1.5, K1 = 0.01, K2 = 0.03,
    population variances, mean over the windows that lie within the image.
    """
    if min(result.shape) < WINDOW:
        return math.nan
    kernel = cv2.getGaussianKernel(WINDOW, SIGMA)
    inside = slice(WINDOW // 2, -(WINDOW // 2))

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.sepFilter2D(values, -1, kernel, kernel), np.float64)[inside, inside]

    a, b = result.astype(np.float64), reference.astype(np.float64)
    mean_a, mean_b = mean(a), mean(b)
    squares = mean_a**2 + mean_b**2
    product = mean_a * mean_b
    variances = mean(a * a + b * b) - squares
    covariance = mean(a * b) - product
    c1, c2 = (_K1 * PEAK) ** 2, (_K2 * PEAK) ** 2
    return float(np.mean((2 * product + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))))
