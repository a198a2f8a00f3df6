"""The chain that a network is compared with."""

from __future__ import annotations

from streamvsr.filters.chain import Chain
from streamvsr.filters.cv.classic import Gaussian, Laplacian
from streamvsr.filters.cv.enlarge import Bicubic


class Traditional(Chain):
    """What was done before networks, as one filter: ``laplacian``, ``gaussian=5``, ``bicubic=SIZE``.

    Sharpen, smooth away the noise that this brought out, enlarge. Each of the three is explained under its own name.
    """

    name = "traditional"

    def __init__(self, size: float | tuple[int, int] = 4.0) -> None:
        super().__init__([Laplacian(), Gaussian(5), Bicubic(size)])
