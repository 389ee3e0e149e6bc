"""Convolutions fused with the normalization and the activation that follow them, for inference on a CPU.

The early stages of a mobile network are limited by memory bandwidth: normalization, activation and padding each read and write
the feature maps once more. oneDNN computes a convolution with its activation in one pass, normalization is folded into the
weights, and the padding of strided convolutions is included in a wider kernel. EfficientNet-Lite0 takes about half the time.
"""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from geopointseg.model.lite0 import SamePadConv

TOLERANCE = 1e-3
"""Largest accepted difference of an output, relative to the largest value."""

_OPERATION = "_convolution_pointwise"
"""torch compiles networks to it, but has no public name for it. Where a version lacks it, networks are not fused."""
_TRIAL_PX = 128
_SAME_PAD = ("Conv2dSame", SamePadConv.__name__)
"""Classes of convolutions that pad as TensorFlow does; the first is timm's."""


class FusedConvolution(nn.Module):
    """A convolution, a batch normalization and an activation in one operation.

    Parameters
    ----------
    convolution
        Its padding is zeros of a fixed width, or that of TensorFlow with the stride 2.
    norm
        In evaluation mode.
    activation
        oneDNN's name: ``none``, ``relu`` or ``hardtanh``, which is limited to 0 and 6.
    """

    def __init__(self, convolution: nn.Conv2d, norm: nn.BatchNorm2d, activation: str) -> None:
        super().__init__()
        weight, bias = _fold(convolution, norm)
        self.stride, self.groups = list(convolution.stride), convolution.groups
        self.activation = activation
        self.is_wider = type(convolution).__name__ in _SAME_PAD and convolution.stride[0] > 1
        self.kernel = int(convolution.kernel_size[0])
        self.padding = [int(side) for side in cast("tuple[int, ...]", convolution.padding)]
        if self.is_wider:
            weight = functional.pad(weight, (1, 0, 1, 0))
            self.padding = [(self.kernel - 1) // 2] * 2
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias)

    def forward(self, image: Tensor) -> Tensor:
        """Return ``(sample, channel, row / stride, col / stride)`` of ``(sample, channel, row, col)``."""
        padding = self.padding
        if self.is_wider and any(side % 2 for side in image.shape[-2:]):
            image, padding = functional.pad(image, self._pads(image)), [0, 0]
        limits = [0.0, 6.0] if self.activation == "hardtanh" else []
        operation: Any = getattr(torch.ops.mkldnn, _OPERATION)
        return cast(
            "Tensor",
            operation(
                image, self.weight, self.bias, padding, self.stride, [1, 1], self.groups, self.activation, limits, ""
            ),
        )  # fmt: skip

    def _pads(self, image: Tensor) -> list[int]:
        """Return left, right, upper and lower padding for the kernel whose first row and column are zero."""
        pads = []
        for side in (image.shape[-1], image.shape[-2]):
            total = max((-(-side // 2) - 1) * 2 + self.kernel - side, 0)
            pads += [total // 2 + 1, total - total // 2]
        return pads


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return weights and biases of a convolution with a normalization after it."""
    mean, variance = cast("Tensor", norm.running_mean), cast("Tensor", norm.running_var)
    scale = torch.rsqrt(variance + norm.eps) * (norm.weight if norm.affine else 1.0)
    shift = (norm.bias if norm.affine else 0.0) - mean * scale
    if convolution.bias is not None:
        shift = shift + convolution.bias * scale
    weight = convolution.weight * scale[:, None, None, None]
    return weight.detach(), shift.detach()


def fuse_convolutions(module: nn.Module) -> nn.Module:
    """Return a copy of a network for inference on a CPU, in which convolutions are fused; other tensors are shared with it.

    Parameters
    ----------
    module
        In evaluation mode; takes images ``(sample, band, row, col)``. Where a child is a convolution and the next one a batch
        normalization, the second is applied to the output of the first.

    Returns
    -------
    nn.Module
        The module itself if this installation of torch cannot fuse, if the activations are layers of their own, which gains
        little, or if the outputs for noise differ.
    """
    if not _can_fuse(module):
        return module
    try:
        with torch.inference_mode():
            shared = {id(t): t for t in (*module.parameters(), *module.buffers())}
            fused = copy.deepcopy(module, shared)
            found = {name for parent in list(fused.modules()) for name in _fuse_children(parent)}
            return fused if found - {"none"} and _agrees(fused, module) else module
    except Exception:  # noqa: BLE001 - a network that cannot be copied or tried runs as it is
        return module


def _can_fuse(module: nn.Module) -> bool:
    tensors = [*module.parameters(), *module.buffers()]
    is_plain = all(t.device.type == "cpu" and t.dtype != torch.float64 for t in tensors)
    has_operation = hasattr(torch.ops.mkldnn, _OPERATION)
    return (
        is_plain and not module.training and torch.backends.mkldnn.is_available() and has_operation
    )


def _fuse_children(parent: nn.Module) -> set[str]:
    """Replace the pairs of convolution and normalization among the children; return their activations."""
    found: set[str] = set()
    for (name, first), (other, second) in pairwise(list(parent.named_children())):
        if not (isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d)):
            continue
        activation = _activation(second)
        if activation is None or not _is_simple(first) or second.running_mean is None:
            continue
        setattr(parent, name, FusedConvolution(first, second, activation))
        setattr(parent, other, nn.Identity())
        found.add(activation)
    return found


def _activation(norm: nn.BatchNorm2d) -> str | None:
    """Return oneDNN's name of the activation within a normalization layer; None for others than ReLU, ReLU6 and none."""
    own = getattr(norm, "act", None)
    names = {type(None): "none", nn.Identity: "none", nn.ReLU: "relu", nn.ReLU6: "hardtanh"}
    return names.get(type(own))


def _is_simple(convolution: nn.Conv2d) -> bool:
    is_same = type(convolution).__name__ in _SAME_PAD
    return (
        (is_same or type(convolution) is nn.Conv2d)
        and convolution.padding_mode == "zeros"
        and not isinstance(convolution.padding, str)
        and tuple(convolution.dilation) == (1, 1)
        and len(set(convolution.kernel_size)) == len(set(convolution.stride)) == 1
        and (not is_same or convolution.stride[0] in (1, 2))
    )


def _agrees(fused: nn.Module, module: nn.Module) -> bool:
    """Return whether two networks have the same outputs for noise, with even and with odd sides of the feature maps."""
    generator = torch.Generator().manual_seed(0)
    first = next(m.in_channels for m in module.modules() if isinstance(m, nn.Conv2d))
    bands = cast("int", getattr(module, "bands", first))
    image = torch.randn((1, bands, _TRIAL_PX, _TRIAL_PX), generator=generator)
    image = image.contiguous(memory_format=torch.channels_last)
    pairs = zip(_tensors(fused(image)), _tensors(module(image)), strict=True)
    return all(float((a - b).abs().max()) <= TOLERANCE * float(b.abs().max()) for a, b in pairs)


def _tensors(outputs: Any) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)
