"""The fields of the options' classes once more, for type checkers and editors: names that a call may be given.

``config.py`` is where they are declared and explained; ``tests/test_api_frames.py`` compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Literal, TypeAlias, TypedDict

Time: TypeAlias = Fraction | float | str
"""Seconds: ``1.5``, ``Fraction(3, 2)``, ``"1.5"`` or ``"3/2"``; exact, a float counts as the decimal it prints as."""


class ReadOptions(TypedDict, total=False):
    """The fields of ``InputOptions`` that ``streamvsr.open`` has no parameter for."""

    format: str | None
    size: tuple[int, int] | None
    pixel_format: str | None
    hwaccel: str
    realtime: bool
    options: Mapping[str, str]


class VsrOptions(TypedDict, total=False):
    """The fields of ``ModelOptions``."""

    model: str
    checkpoint: str | None
    config: str | None
    backend: Literal["native", "mmedit"]
    max_seq_len: int | None
    overlap: int | None
    propagation: Literal["carry", "window"]
    scale: float | tuple[int, int] | None
    scene_threshold: float
    max_history: int | None
    tile: str
    strength: float | None
    denoise: float | None
    detail: float | None
    steady: Literal["auto", "on", "off"]
    dynamic_refine_thres: float | None
    refine_rule: Literal["frame", "window"] | None
    device: str
    precision: Literal["auto", "fp32", "fp16", "bf16"]
    compile: bool
    cuda_graphs: bool
    threads: int | None


class WriteOptions(TypedDict, total=False):
    """The fields of ``OutputOptions``, its times as ``Time``."""

    format: str | None
    overwrite: bool | None
    start: Time | None
    duration: Time | None
    end: Time | None
    frames: int | None
    rate: Time | None
    size: tuple[int, int] | None
    filters: str | None
    video_codec: str | None
    audio_codec: str
    subtitle_codec: str
    crf: float | None
    bit_rate: str | None
    audio_bit_rate: str | None
    preset: str | None
    pixel_format: str | None
    timeout: float
    gop: int | None
    no_audio: bool
    no_subtitles: bool
    no_data: bool
    deinterlace: Literal["auto", "off"]
    autorotate: bool | None
    maps: tuple[str, ...]
    metadata: tuple[str, ...]
    options: Mapping[str, str]
