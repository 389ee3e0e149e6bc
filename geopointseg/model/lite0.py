"""EfficientNet-Lite0 with the names of timm's parameters.

timm builds the same network. Importing timm takes 0.7 s of processor time, because it imports all its models, torchvision and the client of
its hub; a live session and a prediction need one network. A test compares both.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from geopointseg.model.tolerant_norm import TolerantBatchNorm2d

_EPS = 1e-3
_STEM, _FEATURES, _CLASSES = 32, 1280, 1000
_STAGES = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320),
)  # fmt: skip
"""Blocks, kernel size, stride, expansion and channels of each stage."""


class SamePadConv(nn.Conv2d):
    """A convolution without bias, padded as by TensorFlow: with a stride, the larger half of the padding is at the end."""

    def __init__(
        self, before: int, after: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        padding = (kernel - 1) // 2 if stride == 1 else 0
        super().__init__(before, after, kernel, stride, padding=padding, groups=groups, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        """Return the convolution; sides are divided by the stride and rounded up."""
        stride = self.stride[0]
        if stride > 1:
            pads = []
            for side in (image.shape[-1], image.shape[-2]):
                total = max((-(-side // stride) - 1) * stride + self.kernel_size[0] - side, 0)
                pads += [total // 2, total - total // 2]
            image = functional.pad(image, pads)
        return super().forward(image)


class _Norm(TolerantBatchNorm2d):
    def __init__(self, channels: int, *, is_active: bool = True) -> None:
        super().__init__(channels, _EPS)
        self.act = nn.ReLU6(inplace=True) if is_active else nn.Identity()

    def forward(self, input: Tensor) -> Tensor:
        return cast("Tensor", self.act(super().forward(input)))


class _Separable(nn.Module):
    """Depthwise and pointwise convolution, the block of the first stage."""

    def __init__(self, before: int, after: int, kernel: int) -> None:
        super().__init__()
        self.conv_dw = SamePadConv(before, before, kernel, groups=before)
        self.bn1 = _Norm(before)
        self.conv_pw = SamePadConv(before, after, 1)
        self.bn2 = _Norm(after, is_active=False)

    def forward(self, image: Tensor) -> Tensor:
        return cast("Tensor", self.bn2(self.conv_pw(self.bn1(self.conv_dw(image)))))


class _Inverted(nn.Module):
    """Expansion, depthwise convolution and projection, with a shortcut where the shape stays."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = before * expansion
        self.has_shortcut = stride == 1 and before == after
        self.conv_pw = SamePadConv(before, wide, 1)
        self.bn1 = _Norm(wide)
        self.conv_dw = SamePadConv(wide, wide, kernel, stride, groups=wide)
        self.bn2 = _Norm(wide)
        self.conv_pwl = SamePadConv(wide, after, 1)
        self.bn3 = _Norm(after, is_active=False)

    def forward(self, image: Tensor) -> Tensor:
        wide = self.bn2(self.conv_dw(self.bn1(self.conv_pw(image))))
        found = cast("Tensor", self.bn3(self.conv_pwl(wide)))
        return found + image if self.has_shortcut else found


class Lite0(nn.Module):
    """EfficientNet-Lite0.

    Parameters
    ----------
    bands
        Number of input channels.

    Attributes
    ----------
    conv_stem, bn1
        Stem of stride 2.
    blocks
        The stages.

    References
    ----------
    Tan, M. and Le, Q. (2019). EfficientNet: Rethinking model scaling for convolutional neural networks. ICML.
    doi:10.48550/arXiv.1905.11946.

    Examples
    --------
    >>> sum(tensor.numel() for tensor in Lite0().parameters())
    4652008
    """

    def __init__(self, bands: int = 3) -> None:
        super().__init__()
        self.conv_stem, self.bn1 = SamePadConv(bands, _STEM, 3, 2), _Norm(_STEM)
        stages, before = [], _STEM
        for count, kernel, stride, expansion, after in _STAGES:
            blocks: list[nn.Module] = []
            for number in range(count):
                step = stride if number == 0 else 1
                blocks.append(
                    _Separable(before, after, kernel)
                    if expansion == 1
                    else _Inverted(before, after, kernel, step, expansion)
                )
                before = after
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        self.conv_head, self.bn2 = SamePadConv(before, _FEATURES, 1), _Norm(_FEATURES)
        self.classifier = nn.Linear(_FEATURES, _CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(sample, 1000)`` of a normalized image ``(sample, band, row, col)``."""
        features = self.bn2(self.conv_head(self.blocks(self.bn1(self.conv_stem(image)))))
        return cast("Tensor", self.classifier(torch.mean(features, dim=(-2, -1))))
