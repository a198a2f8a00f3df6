# RealBasicVSR x4 for inference (CVPR 2022): the published network without its training losses, which would fetch
# other networks when built. The weights come from the checkpoint, so the flow network's own are not named.

# ruff: noqa: C408

scale = 4

model = dict(
    type="RealBasicVSR",
    generator=dict(
        type="RealBasicVSRNet",
        mid_channels=64,
        num_propagation_blocks=20,
        num_cleaning_blocks=20,
        # Clean again while the mean residue is at least this many 8-bit steps: 255 is off (one pass), 5 for more.
        dynamic_refine_thres=255,
        spynet_pretrained=None,
        is_fix_cleaning=False,
        is_sequential_cleaning=False,
    ),
    discriminator=None,
    gan_loss=None,
    pixel_loss=None,
    cleaning_loss=None,
    perceptual_loss=None,
    is_use_ema=True,
)

train_cfg = None
test_cfg = dict(metrics=["PSNR"], crop_border=0)
