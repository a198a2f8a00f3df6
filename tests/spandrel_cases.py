"""Small networks of every architecture of spandrel's, with random weights."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Case(NamedTuple):
    architecture: str
    arguments: dict[str, Any]
    scale: int
    domain: str = "rgb"
    network: str = ""
    """The class, where it is not called like the architecture."""


WINDOWS = {"embed_dim": 12, "depths": [2], "num_heads": [2], "mlp_ratio": 2}
SMALL_ESRGAN = {"num_filters": 8, "num_blocks": 1}
SMALL_COMPACT = {"num_feat": 8, "num_conv": 2}
CASES = {
    "compact_grey_x1": Case("Compact", {**SMALL_COMPACT, "num_in_ch": 1, "num_out_ch": 1, "upscale": 1}, 1, "luma"),
    "esrgan_x4": Case("ESRGAN", {**SMALL_ESRGAN, "scale": 4}, 4),
    "esrgan_x8": Case("ESRGAN", {**SMALL_ESRGAN, "scale": 8}, 8),
    "esrgan_shuffled_x2": Case("ESRGAN", {"in_nc": 12, **SMALL_ESRGAN, "shuffle_factor": 2}, 2),
    "esrgan_rgba_x2": Case("ESRGAN", {"in_nc": 4, "out_nc": 4, **SMALL_ESRGAN, "scale": 2}, 2, "rgba"),
    "span_x2": Case("SPAN", {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 8, "upscale": 2}, 2),
    "swift_x2": Case("SwiftSRGAN", {"num_channels": 8, "num_blocks": 1, "upscale_factor": 2}, 2),
    "swinir_x1": Case("SwinIR", {**WINDOWS, "img_size": 16, "window_size": 8, "upscale": 1}, 1),
    "swinir_x3": Case(
        "SwinIR", {**WINDOWS, "img_size": 16, "window_size": 8, "upscale": 3, "upsampler": "pixelshuffledirect"}, 3
    ),
    "swin2sr_x2": Case(
        "Swin2SR", {**WINDOWS, "img_size": 16, "window_size": 8, "upscale": 2, "upsampler": "pixelshuffledirect"}, 2
    ),
    "craft_x2": Case("CRAFT", {"embed_dim": 12, "depths": [1], "num_heads": [2], "upscale": 2, "window_size": 8}, 2),
    "omnisr_x4": Case("OmniSR", {"num_feat": 16, "up_scale": 4}, 4),
    "ditn_x2": Case("DITN", {"dim": 12, "ITL_blocks": 1, "SAL_blocks": 1, "upscale": 2}, 2),
    "safmn_x2": Case("SAFMN", {"dim": 12, "n_blocks": 1, "upscaling_factor": 2}, 2),
    "nafnet_x1": Case("NAFNet", {"width": 8, "enc_blk_nums": [1, 1], "dec_blk_nums": [1, 1]}, 1),
    "dncnn_grey_x1": Case("DnCNN", {"nc": 8, "nb": 10, "act_mode": "R"}, 1, "luma"),
    "fdncnn_x1": Case(
        "DnCNN", {"in_nc": 4, "out_nc": 3, "nc": 8, "nb": 10, "act_mode": "R", "mode": "FDnCNN"}, 1
    ),
    "plksr_x2": Case("PLKSR", {"dim": 16, "n_blocks": 2, "upscaling_factor": 2}, 2, network="RealPLKSR"),
    "cugan_x3": Case("RealCUGAN", {}, 3, network="UpCunet3x"),
    "mosr_x2": Case("MoSR", {"upscale": 2, "n_block": 1, "dim": 16}, 2),
    "rcan_x2": Case("RCAN", {"scale": 2, "n_resgroups": 1, "n_resblocks": 1, "n_feats": 8, "reduction": 4}, 2),
    "seemore_x2": Case("SeemoRe", {"scale": 2, "num_layers": 1, "embedding_dim": 16, "num_experts": 2}, 2),
    "retinex_x1": Case("RetinexFormer", {"n_feat": 8, "stage": 1}, 1),
}  # fmt: skip
LARGER_CASES = {
    "atd_x2": Case(
        "ATD",
        {**WINDOWS, "img_size": 16, "window_size": 8, "category_size": 64, "num_tokens": 8, "reducted_dim": 4,
         "upscale": 2, "upsampler": "pixelshuffledirect"},
        2,
    ),
    "dat_x2": Case(
        "DAT",
        {"img_size": 16, "embed_dim": 16, "depth": [2], "num_heads": [2], "expansion_factor": 2.0, "upscale": 2},
        2,
    ),
    "drct_x2": Case(
        "DRCT",
        {**WINDOWS, "img_size": 16, "window_size": 8, "upscale": 2, "upsampler": "pixelshuffle", "gc": 4},
        2,
    ),
    "fbcnn_x1": Case("FBCNN", {"nc": [8, 16, 16, 512], "nb": 2}, 1),
    "fdat_x2": Case(
        "FDAT",
        {"scale": 2, "embed_dim": 12, "num_groups": 1, "depth_per_group": 2, "num_heads": 2, "mid_dim": 8,
         "upsampler_type": "pixelshuffledirect"},
        2,
    ),
    "grl_x2": Case(
        "GRL",
        {"img_size": 16, "embed_dim": 12, "depths": [2], "num_heads_window": [2], "num_heads_stripe": [2],
         "mlp_ratio": 2.0, "upscale": 2, "upsampler": "pixelshuffledirect"},
        2,
    ),
    "hat_x2": Case(
        "HAT",
        {**WINDOWS, "img_size": 16, "window_size": 8, "upscale": 2, "num_feat": 8, "squeeze_factor": 6},
        2,
    ),
    "moesr_x2": Case("MoESR", {"scale": 2, "dim": 16, "n_blocks": 1, "n_block": 1, "upsample_dim": 8}, 2),
    "rgt_x2": Case(
        "RGT", {"img_size": 16, "embed_dim": 12, "depth": [2], "num_heads": [2], "mlp_ratio": 2.0, "upscale": 2}, 2
    ),
    "scunet_x1": Case("SCUNet", {"config": [1] * 7}, 1),
    "uformer_x1": Case("Uformer", {"embed_dim": 8, "depths": [1] * 9, "num_heads": [1, 1, 2, 2, 4, 4, 2, 2, 1]}, 1),
}  # fmt: skip
"""Slower ones. They take the same way through the program, so only their frames are compared."""
ALL_CASES = CASES | LARGER_CASES


def weights(case: Case) -> dict[str, Tensor]:
    """Random, with outputs around the middle of the range where that can be had."""
    module = importlib.import_module(f"spandrel.architectures.{case.architecture}")
    torch.manual_seed(0)
    state: dict[str, Tensor] = getattr(module, case.network or case.architecture)(**case.arguments).state_dict()
    channels = {"luma": 1, "rgb": 3, "rgba": 4}[case.domain]
    last = [key for key, value in state.items() if key.endswith("bias") and value.shape == (channels,)]
    return state | {key: state[key] + 0.5 for key in last[-1:]}
