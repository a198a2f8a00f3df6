"""How natural an image looks, without a reference: NIQE and BRISQUE. Lower is better.

Both look at luma from which the local mean is taken and which is divided by the local deviation (MSCN coefficients).
Of natural images these are distributed in a known way: they and the products of neighbours follow asymmetric
generalised Gaussians, whose 18 parameters at full and at half size are the features.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from streamvsr.errors import MissingExtraError, StreamvsrError, UsageError
from streamvsr.media.color.samples import BLACK, PEAK, STEPS, Values
from streamvsr.media.color.shrink import antialiased

Array = NDArray[np.float64]

BLOCK_PX = 96
"""NIQE's blocks at full size, 48 at half size."""
FEATURES = 36
_WINDOW, _SIGMA = 7, 7 / 6


def mscn(values: Array) -> Array:
    """(H, W) of 0..255 to its mean-subtracted, contrast-normalised coefficients."""
    kernel = cv2.getGaussianKernel(_WINDOW, _SIGMA)

    def local(x: Array) -> Array:
        return np.asarray(cv2.sepFilter2D(x, -1, kernel, kernel, borderType=cv2.BORDER_REPLICATE))

    mean = local(values)
    deviation = np.sqrt(np.abs(local(values * values) - mean * mean))
    found: Array = (values - mean) / (deviation + 1)
    return found


def asymmetric_fit(values: Array) -> tuple[float, float, float]:
    """(shape, left scale, right scale) of the asymmetric generalised Gaussian with the moments of ``values``.

    Lasmar, Stitou and Berthoumieu, "Multiscale skewed heavy tailed model for texture analysis", ICIP 2009.
    """
    left, right = values[values < 0], values[values > 0]
    if not left.size or not right.size:
        return math.nan, math.nan, math.nan
    sides = np.sqrt(np.mean(np.square(left))), np.sqrt(np.mean(np.square(right)))
    ratio = sides[0] / sides[1]
    moments = np.mean(np.abs(values)) ** 2 / np.mean(np.square(values))
    wanted = moments * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    shapes, curve = _shapes()
    shape = float(shapes[np.argmin(np.square(curve - wanted))])
    scale = math.sqrt(math.gamma(1 / shape) / math.gamma(3 / shape))
    return shape, float(sides[0] * scale), float(sides[1] * scale)


@cache
def _shapes() -> tuple[Array, Array]:
    """Shapes from 0.2 to 10, and the ratio of moments that belongs to each."""
    shapes = np.arange(0.2, 10.001, 0.001)
    log = [math.lgamma(2 / s) * 2 - math.lgamma(1 / s) - math.lgamma(3 / s) for s in shapes]
    return shapes, np.exp(np.array(log))


def block_features(block: Array) -> list[float]:
    """The 18 features of a block of MSCN coefficients: its own distribution, and that of four products."""
    shape, left, right = asymmetric_fit(block)
    found = [shape, (left + right) / 2]
    for down, across in ((0, 1), (1, 0), (1, 1), (1, -1)):
        shape, left, right = asymmetric_fit(block * np.roll(block, (down, across), (0, 1)))
        mean = math.nan if math.isnan(shape) else (right - left) * math.gamma(2 / shape) / math.gamma(1 / shape)
        found += [shape, mean, left, right]
    return found


class Niqe:
    """Mittal, Soundararajan and Bovik, "Making a completely blind image quality analyzer", IEEE Signal Processing
    Letters 20(3), 2013: how far an image's features are from those of undistorted ones."""

    def __init__(self, parameters: str | Path) -> None:
        """``parameters``: of the undistorted images, ``niqe_pris_params.npz`` as BasicSR and MMagic carry it."""
        try:
            with np.load(parameters, allow_pickle=False) as file:
                self.mean = np.asarray(file["mu_pris_param"], np.float64).ravel()
                self.covariance = np.asarray(file["cov_pris_param"], np.float64)
        except FileNotFoundError:
            raise UsageError(f"--niqe-parameters {parameters}: no such file") from None
        except (OSError, ValueError, KeyError) as error:
            raise StreamvsrError(f"{parameters}: holds no parameters of NIQE ({error})") from error
        if self.mean.shape != (FEATURES,) or self.covariance.shape != (FEATURES, FEATURES):
            raise StreamvsrError(f"{parameters}: holds no parameters of NIQE: they are for {FEATURES} features")

    def __call__(self, luma: Values) -> float:
        """``luma``: (H, W) codes, which are rounded. NaN for images smaller than two blocks, and for flat ones."""
        rows, columns = luma.shape[0] // BLOCK_PX, luma.shape[1] // BLOCK_PX
        if rows * columns < 2:
            return math.nan
        whole = luma[: rows * BLOCK_PX, : columns * BLOCK_PX].astype(np.float64).round()
        features = np.hstack([_features(whole, BLOCK_PX), _features(halved(whole), BLOCK_PX // 2)])
        if not np.isfinite(features).all(1).sum() > 1:
            return math.nan
        mean = np.nanmean(features, 0)
        good = features[np.isfinite(features).all(1)]
        covariance = np.cov(good, rowvar=False)
        away = mean - self.mean
        return float(np.sqrt(away @ np.linalg.pinv((self.covariance + covariance) / 2) @ away))


def halved(values: Array) -> Array:
    """(H, W) at half size, bicubic with its kernel stretched (MATLAB's ``imresize``)."""
    import torch

    plane = torch.from_numpy(values)[None, None]
    found: Array = antialiased(plane, values.shape[0] // 2, values.shape[1] // 2)[0, 0].numpy()
    return found


def _features(values: Array, side: int) -> Array:
    """(blocks, 18)."""
    coefficients = mscn(values)
    rows, columns = range(0, values.shape[0], side), range(0, values.shape[1], side)
    return np.array([block_features(coefficients[y : y + side, x : x + side]) for y in rows for x in columns])


class Brisque:
    """Mittal, Moorthy and Bovik, "No-reference image quality assessment in the spatial domain", IEEE Transactions on
    Image Processing 21(12), 2012, by the package ``brisque``, which carries the parameters trained on LIVE."""

    def __init__(self) -> None:
        try:
            from brisque import BRISQUE
        except ImportError as error:
            raise MissingExtraError("brisque: is not installed; pip install 'streamvsr[metrics]'") from error
        self._package: Any = BRISQUE(url=False)

    def __call__(self, luma: Values) -> float:
        """``luma``: (H, W) codes; the package takes grey of 0..1. NaN for flat and tiny images."""
        grey = ((luma.astype(np.float64) - BLACK) / STEPS).clip(0, 1)
        if min(grey.shape) < 2 * _WINDOW or np.ptp(grey) < 1 / PEAK:
            return math.nan
        half = np.asarray(cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_CUBIC))
        # Not its score(): that makes floats of arrays of one element, which numpy no longer does.
        found = [self._package.calculate_brisque_features(one) for one in (grey, half)]
        features = [float(np.ravel(value)[0]) for one in found for value in one]
        return float(self._package.calculate_image_quality_score(features))
