"""Units of time that a cut can be stated in."""

from __future__ import annotations

from fractions import Fraction

COARSE_SECONDS = Fraction(1, 1000)
"""Ticks longer than this (a whole frame in AVI and raw streams) are divided where a cut falls between two of them."""


def ticks_per_tick(time_base: Fraction, start_seconds: Fraction) -> int:
    """Into how many parts to divide a tick, so that a cut at ``start_seconds`` keeps sound and video together."""
    if time_base <= COARSE_SECONDS:
        return 1
    exact = (start_seconds / time_base).denominator
    return exact if time_base / exact >= COARSE_SECONDS / 100 else -(-time_base // COARSE_SECONDS)
