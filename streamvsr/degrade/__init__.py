"""Real-world degradation of clean sequences as a random walk over time (RealBasicVSR, CVPR 2022, sec. 3.3).

Blur, resizing, noise, JPEG and video compression in the order and strength that a *recipe* states. Where a parameter
belongs to a single frame it walks: it starts anywhere within its bounds, and from one frame to the next it moves by a
small random step, ``p[i+1] = p[i] + r[i]``. So degradations differ between sequences and drift within one, as they do
in real footage, instead of flickering. Which degradations take part is drawn once a sequence.

    from streamvsr.degrade import RECIPES
    low = RECIPES["real"].degrade(frames, rng)

Everything random comes from the ``numpy`` generator that is handed in.
"""

from streamvsr.degrade.base import Degradation, Frame, Walk
from streamvsr.degrade.recipes import RECIPES, Recipe

__all__ = ["RECIPES", "Degradation", "Frame", "Recipe", "Walk"]
