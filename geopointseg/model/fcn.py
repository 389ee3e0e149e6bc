"""Fully convolutional networks of our own, without a separate encoder to choose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from geopointseg.model.upsampling import OWN_UPSAMPLING, build_upsampling

_WIDTH = 48


def build_fcn(bands: int, classes: int, depth: int, upsampling: str = OWN_UPSAMPLING) -> nn.Module:
    """Return the network that keeps the full resolution, or one that pools and upsamples.

    Parameters
    ----------
    bands, classes
        Input and output channels.
    depth
        How often a network with upsampling halves the resolution.
    upsampling
        ``auto`` keeps the full resolution; any `Upsampling` makes a `PoolingFCN`.

    Returns
    -------
    nn.Module
        Maps images ``(sample, band, row, col)`` to logits ``(sample, class, row, col)``.
    """
    if upsampling == OWN_UPSAMPLING:
        return SmallFCN(bands, classes)
    return PoolingFCN(bands, classes, depth=depth, upsampling=upsampling)


class SmallFCN(nn.Module):
    """A fully convolutional network that keeps the full resolution.

    Residual 3 x 3 convolutions whose dilation doubles give a receptive field of some sixty pixels with a few ten
    thousand weights. Nothing is upsampled, so edges stay sharp. It suits small objects and few points.

    Parameters
    ----------
    bands, classes
        Input and output channels.
    width
        Channels inside.
    dilations
        One residual block each, in pixels.

    References
    ----------
    F. Yu and V. Koltun, Multi-scale context aggregation by dilated convolutions, ICLR 2016,
    doi:10.48550/arXiv.1511.07122.
    """

    output_stride = 1

    def __init__(
        self,
        bands: int,
        classes: int,
        width: int = _WIDTH,
        dilations: Sequence[int] = (1, 2, 4, 8, 16),
    ) -> None:
        super().__init__()
        self.encoder = _block(bands, width)
        self.decoder = nn.ModuleList(_block(width, width, d) for d in dilations)
        self.segmentation_head = nn.Conv2d(width, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(sample, class, row, col)`` of an image ``(sample, band, row, col)``."""
        features = self.encoder(image)
        for block in self.decoder:
            features = features + block(features)
        return cast("Tensor", self.segmentation_head(features))


class PoolingFCN(nn.Module):
    """A fully convolutional network that halves the resolution by max-pooling and doubles it by a chosen method.

    The encoder's features of each resolution are added to the upsampled ones (Long et al. 2015).

    Parameters
    ----------
    bands, classes
        Input and output channels.
    width
        Channels inside.
    depth
        How often the resolution is halved.
    upsampling
        How it is doubled, an `Upsampling`.

    References
    ----------
    J. Long et al., Fully convolutional networks for semantic segmentation, CVPR 2015,
    doi:10.1109/CVPR.2015.7298965.
    """

    def __init__(
        self, bands: int, classes: int, *, width: int = _WIDTH, depth: int = 3, upsampling: str
    ) -> None:
        super().__init__()
        self.output_stride = 2**depth
        self.encoder = _PoolingEncoder(bands, width, depth)
        self.upsamplings = nn.ModuleList(
            build_upsampling(upsampling, width, width) for _ in range(depth)
        )
        self.decoder = nn.ModuleList(_block(width, width) for _ in range(depth))
        self.segmentation_head = nn.Conv2d(width, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(sample, class, row, col)`` of an image whose sides are multiples of the output stride."""
        *finer, features = self.encoder(image)
        stages = zip(self.upsamplings, self.decoder, reversed(finer), strict=True)
        for upsampling, block, skip in stages:
            features = upsampling(features, skip) + skip
            features = features + block(features)
        return cast("Tensor", self.segmentation_head(features))


class _PoolingEncoder(nn.Module):
    """Return features of each resolution, fine to coarse, with 2 x 2 max-pooling between them."""

    def __init__(self, bands: int, width: int, depth: int) -> None:
        super().__init__()
        self.stem = _block(bands, width)
        self.stages = nn.ModuleList(_block(width, width) for _ in range(depth))

    def forward(self, image: Tensor) -> list[Tensor]:
        features = [self.stem(image)]
        for stage in self.stages:
            pooled = functional.max_pool2d(features[-1], 2)
            features.append(pooled + stage(pooled))
        return features


def _block(channels: int, width: int, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=dilation, dilation=dilation, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    )
