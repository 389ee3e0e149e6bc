"""Fixed filters at several resolutions, with the interface of a pretrained backbone.

On imagery that photographs do not resemble (radar, many bands, pixels of 30 m), pretrained features can lower the accuracy. Means,
standard deviations, gradients and Laplacians at scales of 2 to 32 pixels work on any imagery. They are computed on a pyramid of
reduced images, so that wide filters cost little. A `LinearBody` uses them alone, or beside a pretrained backbone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

FILTERS = "filters"
"""Name of the `FilterPyramid` among the encoders of a linear model; ``NAME+filters`` joins it to a pretrained backbone."""
STRIDES = (2, 4, 8, 16, 32)
_PLANES = 3
_LARGEST_PRODUCT = 9.0
"""Products are clipped to this, so that single bright pixels do not decide."""


class FilterPyramid(nn.Module):
    """Statistics of three planes at strides 2 to 32.

    Each stage has mean, local standard deviation, gradient magnitude and Laplacian of each plane. The stage of stride 2 also has the
    products of all pairs of planes, so that a linear function of the features is a quadratic function of the planes.

    Attributes
    ----------
    strides
        Pixels of the image per value of each stage, along either axis.
    channels
        Number of features of each stage.

    Examples
    --------
    >>> [tuple(stage.shape) for stage in FilterPyramid()(torch.zeros(1, 3, 64, 64))][:3]
    [(1, 18, 32, 32), (1, 12, 16, 16), (1, 12, 8, 8)]
    """

    def __init__(self) -> None:
        super().__init__()
        self.strides = STRIDES
        statistics, pairs = 4 * _PLANES, _PLANES * (_PLANES + 1) // 2
        self.channels = (statistics + pairs, *(statistics for _ in STRIDES[1:]))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return float ``(sample, channel, row / stride, col / stride)`` for each stage.

        Parameters
        ----------
        image
            float ``(sample, 3, row, col)``, preferably with mean 0 and standard deviation 1; sides are multiples of 32.
        """
        image = image.contiguous()  # three channels in channels_last take three times as long
        mean, square = image, image * image
        stages: list[Tensor] = []
        for stride in self.strides:
            mean, square = functional.avg_pool2d(mean, 2), functional.avg_pool2d(square, 2)
            around = _box(mean)
            spread = (_box(square) - around * around).clamp_min(0.0).sqrt()
            parts = [mean, spread, _slope(around), mean - around]
            if stride == self.strides[0]:
                parts.append(_pair_products(mean))
            stages.append(torch.cat(parts, dim=1))
        return stages


def _pair_products(planes: Tensor) -> Tensor:
    """Return the products of all pairs of planes, also of each with itself, clipped to 9 in size."""
    count = planes.shape[1]
    pairs = [(i, j) for i in range(count) for j in range(i, count)]
    products = torch.stack([planes[:, i] * planes[:, j] for i, j in pairs], dim=1)
    return products.clamp(-_LARGEST_PRODUCT, _LARGEST_PRODUCT)


def _box(planes: Tensor) -> Tensor:
    """Return means over 3 x 3 values."""
    return functional.avg_pool2d(planes, 3, stride=1, padding=1, count_include_pad=False)


def _slope(planes: Tensor) -> Tensor:
    """Return the magnitude of the gradient by central differences."""
    padded = functional.pad(planes, (1, 1, 1, 1), mode="replicate")
    down = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    right = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    return (down * down + right * right).sqrt()


class JoinedBackbones(nn.Module):
    """The stages of several feature extractors, one after the other.

    Parameters
    ----------
    parts
        Modules with ``strides`` and ``channels`` that return a list of stages, such as `Backbone` and `FilterPyramid`.
    """

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.strides = tuple(s for part in parts for s in cast("tuple[int, ...]", part.strides))
        self.channels = tuple(c for part in parts for c in cast("tuple[int, ...]", part.channels))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the stages of all parts for an image ``(sample, 3, row, col)``."""
        return [stage for part in self.parts for stage in part(image)]
