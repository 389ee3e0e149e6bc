"""How a decoder doubles the resolution of its features: a choice of four methods.

========== ===========================================================================================
nearest    copy each value to 2 x 2 pixels
bilinear   interpolate between the four nearest values
transposed transposed convolution with stride 2 and a 4 x 4 kernel. The stride divides the kernel, so
           every output pixel receives the same number of products, which prevents checkerboard patterns
unpooling  put each value where the encoder's 2 x 2 max-pooling found its maximum, and 0 elsewhere
========== ===========================================================================================

Every method is a module that maps ``(features, finer)`` to features of twice the size. ``finer`` are the encoder's
features of the target size; only unpooling reads them. Where two of its values differ by a rounding error only, unpooling
may choose another pixel on other hardware.

References
----------
A. Odena et al., Deconvolution and checkerboard artifacts, Distill 2016, doi:10.23915/distill.00003.
J. Long et al., Fully convolutional networks for semantic segmentation, CVPR 2015, doi:10.1109/CVPR.2015.7298965.
V. Badrinarayanan et al., SegNet, IEEE TPAMI 2017, doi:10.1109/TPAMI.2016.2644615.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from geopointseg.errors import ConfigError

Upsampling = Literal["nearest", "bilinear", "transposed", "unpooling"]
OWN_UPSAMPLING = "auto"
"""Setting for the method that the architecture uses by itself."""
_INTERPOLATIONS = ("nearest", "bilinear")
_ALL = get_args(Upsampling)
_CHOICES = {
    "fcn": _ALL,
    "unet": _ALL,
    "unetplusplus": _INTERPOLATIONS,
    "manet": _INTERPOLATIONS,
    "fpn": _INTERPOLATIONS,
    "pyramid": _INTERPOLATIONS,
    "pan": _INTERPOLATIONS,
    "linknet": ("transposed",),
}
_FIXED = ("bilinear",)
"""Methods of all other architectures, which interpolate inside without an option."""
_OPTION = ("unet", "unetplusplus", "manet", "fpn", "pan")
"""Architectures whose interpolation segmentation-models-pytorch takes as ``decoder_interpolation``."""


class Interpolation(nn.Module):
    """Double the resolution by interpolation.

    Parameters
    ----------
    mode
        ``nearest`` or ``bilinear``.
    """

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode = mode

    def forward(self, features: Tensor, finer: Tensor) -> Tensor:  # noqa: ARG002
        """Return ``(sample, channel, 2 row, 2 col)`` of ``(sample, channel, row, col)``."""
        return functional.interpolate(features, scale_factor=2.0, mode=self.mode)


class TransposedConvolution(nn.Module):
    """Double the resolution by a transposed convolution: one learned 4 x 4 kernel per channel, stride 2.

    The kernels begin as bilinear interpolation (Long et al. 2015). The convolution that follows in the decoder mixes
    the channels. The image is continued at its edges, so that a constant stays constant there, too.

    Parameters
    ----------
    channels
        Input and output channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.ConvTranspose2d(
            channels, channels, kernel_size=4, stride=2, padding=3, groups=channels, bias=False
        )
        tent = torch.tensor([0.25, 0.75, 0.75, 0.25])
        with torch.no_grad():
            self.convolution.weight.copy_(torch.outer(tent, tent))

    def forward(self, features: Tensor, finer: Tensor) -> Tensor:  # noqa: ARG002
        """Return ``(sample, channel, 2 row, 2 col)`` of ``(sample, channel, row, col)``."""
        padded = functional.pad(features, (1, 1, 1, 1), mode="replicate")
        return cast("Tensor", self.convolution(padded))


class MaxUnpooling(nn.Module):
    """Double the resolution by max-unpooling at the positions of the encoder's maxima.

    Parameters
    ----------
    channels
        Input and output channels.
    finer_channels
        Channels of the encoder's features. Where they differ, 1 x 1 convolutions convert the features before and after.
    """

    def __init__(self, channels: int, finer_channels: int) -> None:
        super().__init__()
        fits = channels == finer_channels
        self.before = nn.Identity() if fits else nn.Conv2d(channels, finer_channels, 1)
        self.after = nn.Identity() if fits else nn.Conv2d(finer_channels, channels, 1)

    def forward(self, features: Tensor, finer: Tensor) -> Tensor:
        """Return ``(sample, channel, 2 row, 2 col)`` of ``(sample, channel, row, col)``."""
        return cast("Tensor", self.after(max_unpool(self.before(features), finer)))


def max_unpool(values: Tensor, pooled: Tensor) -> Tensor:
    """Put each value at the position of the maximum of a 2 x 2 block, and 0 at the other three.

    This is `torch.nn.functional.max_unpool2d` of the positions that `torch.nn.functional.max_pool2d` finds in
    ``pooled``. It is deterministic on a GPU and can be exported to ONNX, which torch's function is not and cannot.

    Parameters
    ----------
    values
        ``(sample, channel, row, col)``.
    pooled
        What was pooled, ``(sample, channel, 2 row, 2 col)``. Of equal maxima the first counts, in row-major order.

    Returns
    -------
    Tensor
        ``(sample, channel, 2 row, 2 col)``; gradients flow into ``values`` only.

    Examples
    --------
    >>> pooled = torch.tensor([[[[0.0, 9.0], [2.0, 1.0]]]])
    >>> max_unpool(torch.tensor([[[[5.0]]]]), pooled)
    tensor([[[[0., 5.],
              [0., 0.]]]])
    """
    pooled = pooled.detach()
    upper, lower = pooled[..., ::2, :], pooled[..., 1::2, :]
    (a, b), (c, d) = ((row[..., ::2], row[..., 1::2]) for row in (upper, lower))
    is_below = torch.maximum(c, d) > torch.maximum(a, b)
    is_right = (is_below & (d > c)) | (~is_below & (b > a))
    left, right = values * ~is_right, values * is_right
    rows = [torch.stack([left * f, right * f], dim=-1).flatten(-2) for f in (~is_below, is_below)]
    return torch.stack(rows, dim=-2).flatten(-3, -2)


def build_upsampling(method: str, channels: int, finer_channels: int) -> nn.Module:
    """Return the module that doubles the resolution.

    Parameters
    ----------
    method
        ``nearest``, ``bilinear``, ``transposed`` or ``unpooling``.
    channels
        Channels of the features that are enlarged.
    finer_channels
        Channels of the encoder's features of the target size.

    Returns
    -------
    nn.Module
        Called with ``(sample, channel, row, col)`` features and the encoder's ``(sample, finer channel, 2 row, 2 col)``.
    """
    if method == "transposed":
        return TransposedConvolution(channels)
    if method == "unpooling":
        return MaxUnpooling(channels, finer_channels)
    return Interpolation(method)


def check_upsampling(method: str, architecture: str, encoder: str) -> None:
    """Refuse a method that an architecture or its encoder cannot use.

    Parameters
    ----------
    method
        ``auto`` or an `Upsampling`.
    architecture, encoder
        Canonical names.

    Raises
    ------
    ConfigError
        If the method is unknown, if the decoder has another method fixed, or if unpooling is asked for and the encoder does not pool.
    """
    if method == OWN_UPSAMPLING:
        return
    if method not in _ALL:
        raise ConfigError(
            f"[model] upsampling is '{method}'. Expected one of {', '.join((OWN_UPSAMPLING, *_ALL))}."
        )
    possible = _CHOICES.get(architecture, _FIXED)
    if method not in possible:
        others = ", ".join(name for name, methods in _CHOICES.items() if method in methods)
        raise ConfigError(
            f"[model] upsampling is '{method}', which the architecture '{architecture}' does not have. "
            f"Set it to {' or '.join((OWN_UPSAMPLING, *possible))}, or take an architecture that has it ({others})."
        )
    if method == "unpooling" and architecture != "fcn" and not _pools_everywhere(encoder):
        raise ConfigError(
            f"[model] upsampling is 'unpooling', but the encoder '{encoder}' does not halve its resolution by 2 x 2 "
            "max-pooling. Set [model] encoder to one that does, such as 'vgg11_bn', or take architecture 'fcn'."
        )


def _pools_everywhere(encoder: str) -> bool:
    return encoder.removeprefix("tu-").startswith("vgg")


def decoder_options(method: str, architecture: str) -> dict[str, str]:
    """Return the option by which segmentation-models-pytorch takes an interpolation; none for its own method.

    Parameters
    ----------
    method
        ``auto`` or an `Upsampling` that `check_upsampling` accepted.
    architecture
        Canonical name.
    """
    is_option = method in _INTERPOLATIONS and architecture in _OPTION
    return {"decoder_interpolation": method} if is_option else {}


def replace_upsampling(body: Any, method: str, architecture: str) -> None:
    """Give a U-Net of segmentation-models-pytorch a method that it has no option for, in place.

    Parameters
    ----------
    body
        The network, with ``encoder`` and ``decoder``; networks other than U-Nets stay as they are.
    method
        ``auto`` or an `Upsampling` that `check_upsampling` accepted.
    architecture
        Canonical name.
    """
    if architecture == "unet" and method in ("transposed", "unpooling"):
        body.decoder = _UnetDecoder(body.decoder, body.encoder.out_channels, method)


class _UnetDecoder(nn.Module):
    """The decoder of a U-Net, in which a module doubles the resolution before each block.

    The blocks interpolate to the size of the finer features. Features of that size pass through unchanged.
    """

    def __init__(self, decoder: Any, encoder_channels: Sequence[int], method: str) -> None:
        super().__init__()
        self.center = decoder.center
        self.blocks = decoder.blocks
        widths = [encoder_channels[-1], *(block.conv2[0].out_channels for block in decoder.blocks)]
        self.upsamplings = nn.ModuleList(
            build_upsampling(method, width, finer)
            for width, finer in zip(widths[:-1], encoder_channels[-2::-1], strict=True)
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return the finest features of the decoder, given the encoder's from fine to coarse."""
        enlarged = self.center(features[-1])
        skips = [*features[-2:0:-1], None]
        stages = zip(self.blocks, self.upsamplings, features[-2::-1], skips, strict=True)
        for block, upsampling, finer, skip in stages:
            enlarged = block(upsampling(enlarged, finer), *finer.shape[-2:], skip)
        return cast("Tensor", enlarged)
