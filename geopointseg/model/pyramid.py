"""The decoder of semantic FPN on a backbone of timm, with interpolation that keeps the centres of pixels in place.

Each level of the pyramid is convolved, normalized and upsampled to a quarter of the resolution, and the levels are added [1]_.
In segmentation-models-pytorch, interpolation aligns the corners: there, coarse features move by up to half of their stride, by
another distance at each place of a window, and by more in the small chips of a training than in the windows of a map.

References
----------
.. [1] Kirillov, A., Girshick, R., He, K., and Dollar, P. (2019). Panoptic feature pyramid networks. CVPR 2019, 6399-6408.
   https://doi.org/10.1109/CVPR.2019.00656
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from geopointseg.errors import ConfigError
from geopointseg.model.backbone import LITE0, Backbone
from geopointseg.model.plane_upsampling import PlaneNetwork
from geopointseg.model.row_threads import for_each, may_be_split
from geopointseg.model.tolerant_norm import TolerantBatchNorm2d

FINEST_STRIDE = 4
"""Stride of the logits before the last upsampling, in pixels."""
STRIP, HALO = 48, 2
"""Rows of the finest level that are computed at once, and rows above and below them, on which the convolution and the
interpolation depend; even."""
_PYRAMID, _HEAD, _GROUPS = 256, 128, 32
_DROPOUT = 0.2


class PyramidBody(PlaneNetwork):
    """A backbone and the decoder of semantic FPN.

    Parameters
    ----------
    bands, classes
        Input and output channels.
    encoder
        timm's name of the backbone.
    depth
        How often the backbone halves the resolution, at least two.
    norm
        Normalization of the decoder. ``group`` uses the statistics of the window, ``batch`` those of the training, with which
        probabilities do not depend on the window.
    upsampling
        How a stage of the pyramid is added to the next finer one: ``nearest`` or ``bilinear``.

    Raises
    ------
    ConfigError
        If the strides of the backbone do not double from 4 on.

    Examples
    --------
    >>> PyramidBody(4, 3)(torch.zeros(1, 4, 64, 96)).shape
    torch.Size([1, 3, 64, 96])
    """

    def __init__(
        self,
        bands: int,
        classes: int,
        encoder: str = LITE0,
        depth: int = 5,
        norm: str = "group",
        upsampling: str = "nearest",
    ) -> None:
        super().__init__()
        self.encoder = Backbone(encoder, None, bands)
        self.used = _used_stages(self.encoder.strides, 2**depth)
        strides = [self.encoder.strides[k] for k in self.used]
        if len(strides) < 2 or strides != [FINEST_STRIDE * 2**k for k in range(len(strides))]:
            raise ConfigError(
                f"The backbone '{encoder}' has stages of the strides {', '.join(map(str, self.encoder.strides))}. Expected strides that "
                f"double from 4 on; try '{LITE0}', or another architecture."
            )
        self.encoder.cut(self.used[-1] + 1)
        self.output_stride = strides[-1]
        self.upsampling = upsampling
        self.laterals = nn.ModuleList(
            nn.Conv2d(self.encoder.channels[k], _PYRAMID, 1) for k in self.used
        )
        self.heads = nn.ModuleList(_head(int(math.log2(s // FINEST_STRIDE)), norm) for s in strides)
        self.dropout = nn.Dropout2d(_DROPOUT)
        self.classifier = nn.Conv2d(_HEAD, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(sample, class, row, col)`` of a normalized image whose sides are multiples of the stride."""
        return _enlarged(self._logits(image), FINEST_STRIDE)

    def _of_bands(self) -> tuple[Tensor, Tensor]:
        """Return no weights: the bands themselves are no features of the classifier."""
        bias = cast("Tensor", self.classifier.bias)
        return bias.new_zeros(len(bias), 0), torch.zeros_like(bias)

    def _planes(self, image: Tensor) -> Iterator[Mapping[int, Tensor]]:
        for logits in self._logits(image).contiguous():
            yield {FINEST_STRIDE: logits}

    def _logits(self, image: Tensor) -> Tensor:
        """Return logits ``(sample, class, row / 4, col / 4)``."""
        image = image.contiguous(memory_format=torch.channels_last)
        features = self.encoder(image)
        stages = [features[k] for k in self.used]
        levels = [self.laterals[-1](stages[-1])]
        for stage, lateral in zip(stages[-2:0:-1], self.laterals[-2:0:-1], strict=True):
            levels.insert(0, lateral(stage) + self._doubled(levels[0]))
        is_split = may_be_split(self, image)
        convolve, *rest = cast("nn.Sequential", self.heads[0])
        if is_split:
            finest = self._in_strips(convolve, stages[0], levels[0])
        else:
            finest = convolve(self.laterals[0](stages[0]) + self._doubled(levels[0]))
        total: Tensor = nn.Sequential(*rest)(finest)
        for head, level in zip(self.heads[1:], levels, strict=True):
            total = total.add_(head(level)) if is_split else total + head(level)
        return cast("Tensor", self.classifier(self.dropout(total)))

    def _doubled(self, level: Tensor) -> Tensor:
        return functional.interpolate(level, scale_factor=2.0, mode=self.upsampling)

    def _in_strips(self, convolve: nn.Module, stage: Tensor, coarser: Tensor) -> Tensor:
        """Return the first convolution of the finest level, whose input is the largest feature map, computed in strips of rows.

        Parameters
        ----------
        convolve
            A convolution of 3 x 3 values.
        stage
            Features of the finest level, ``(sample, channel, row, col)``.
        coarser
            The next level, ``(sample, channel, row / 2, col / 2)``.
        """
        height = stage.shape[2]
        shape = len(stage), _HEAD, *stage.shape[2:]
        found = torch.empty(shape, dtype=stage.dtype, memory_format=torch.channels_last)

        def compute(top: int) -> None:
            stop = min(top + STRIP, height)
            first, last = max(top - HALO, 0), min(stop + HALO, height)
            level = self.laterals[0](stage[:, :, first:last])
            level += self._doubled(coarser[:, :, first // 2 : last // 2])
            found[:, :, top:stop] = convolve(level)[:, :, top - first : stop - first]

        for_each(compute, range(0, height, STRIP))
        return found


def _used_stages(strides: Sequence[int], coarsest: int) -> list[int]:
    """Return the position of the last stage of each stride from the finest one on."""
    last = {stride: k for k, stride in enumerate(strides)}
    return [last[s] for s in sorted(last) if FINEST_STRIDE <= s <= coarsest]


def _enlarged(features: Tensor, factor: int) -> Tensor:
    return functional.interpolate(
        features, scale_factor=float(factor), mode="bilinear", align_corners=False
    )


class _Doubling(nn.Module):
    """Bilinear interpolation to twice the resolution."""

    def forward(self, features: Tensor) -> Tensor:
        return _enlarged(features, 2)


class _ActiveNorm(TolerantBatchNorm2d):
    """Batch normalization followed by a ReLU, which `fuse_convolutions` computes together with the convolution before it."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.act = nn.ReLU(inplace=True)

    def forward(self, input: Tensor) -> Tensor:
        return cast("Tensor", self.act(super().forward(input)))


def _head(doublings: int, norm: str) -> nn.Sequential:
    """Return convolutions from a level of the pyramid to the finest resolution."""
    layers: list[nn.Module] = []
    for number in range(max(doublings, 1)):
        before = _HEAD if number else _PYRAMID
        layers.append(nn.Conv2d(before, _HEAD, 3, padding=1, bias=False))
        if norm == "group":
            layers += [nn.GroupNorm(_GROUPS, _HEAD), nn.ReLU(inplace=True)]
        else:
            layers.append(_ActiveNorm(_HEAD))
        if doublings:
            layers.append(_Doubling())
    return nn.Sequential(*layers)
