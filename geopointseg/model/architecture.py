"""Networks by name: the architectures and encoders of segmentation-models-pytorch, a small FCN, the pyramid, and the linear model.

`build_network` returns a `Network`, which accepts any number of bands and any image size. It pads the image by reflection to
a multiple of the encoder's output stride, and crops the logits to the image. A batch of one image can be used for training
with all architectures, also with the global pooling of DeepLabV3 and PAN.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from geopointseg.errors import ConfigError, ModelError, nearest_names
from geopointseg.model.fcn import build_fcn
from geopointseg.model.linear import build_linear_body
from geopointseg.model.pyramid import PyramidBody
from geopointseg.model.tolerant_norm import TolerantBatchNorm2d
from geopointseg.model.upsampling import (
    OWN_UPSAMPLING,
    check_upsampling,
    decoder_options,
    replace_upsampling,
)

OWN_ARCHITECTURES = ("fcn",)
"""Architectures without an encoder to choose."""
PYRAMID = "pyramid"
"""`PyramidBody`, whose encoder is a backbone of timm."""
LINEAR = "linear"
"""Architecture of the linear model. It is fitted by `fit_linear` and is no value of [model] architecture."""
_SMALLEST = {"pan": 128}
_SMP_ERRORS = (ValueError, TypeError, LookupError, AssertionError, RuntimeError, AttributeError)
_NEEDS_STAGE_WIDTHS = ("unet", "unetplusplus", "manet")
_ALIASES = {
    "u-net": "unet",
    "unet++": "unetplusplus",
    "deeplabv3+": "deeplabv3plus",
    "deeplab": "deeplabv3plus",
    "deeplabv3p": "deeplabv3plus",
}


def architecture_names() -> list[str]:
    """Return all values of [model] architecture.

    Examples
    --------
    >>> "unet" in architecture_names() and "fcn" in architecture_names()
    True
    """
    import segmentation_models_pytorch as smp

    return [*sorted(smp.MODEL_ARCHITECTURES_MAPPING), PYRAMID, *OWN_ARCHITECTURES]


def encoder_names() -> list[str]:
    """Return the encoders of segmentation-models-pytorch; in addition, ``tu-NAME`` is any timm model."""
    import segmentation_models_pytorch as smp

    return sorted(smp.encoders.get_encoder_names())


def resolve_architecture(name: str) -> str:
    """Return the canonical name of an architecture.

    Raises
    ------
    ConfigError
        If it is unknown; the message names similar ones.
    """
    canonical = _ALIASES.get(name.lower(), name.lower())
    known = architecture_names()
    if canonical not in known:
        raise ConfigError(
            f"There is no architecture '{name}'. {nearest_names(name, known)} "
            "Set [model] architecture to one of these."
        )
    return canonical


def resolve_encoder(name: str) -> str:
    """Return the canonical name of an encoder.

    Raises
    ------
    ConfigError
        If segmentation-models-pytorch has no such encoder or, after ``tu-``, timm has no such model.
    """
    import timm

    if name.startswith("tu-"):
        timm_name = name.removeprefix("tu-").split(".")[0]
        if timm.is_model(timm_name):
            return name
        near = [f"tu-{n}" for n in timm.list_models(exclude_filters="")]
        raise ConfigError(f"timm has no model '{timm_name}'. {nearest_names(name, near)}")
    known = encoder_names()
    if name.lower() in known:
        return name.lower()
    hint = f" 'tu-{name}' exists in timm." if timm.is_model(name) else ""
    raise ConfigError(
        f"There is no encoder '{name}'. {nearest_names(name, known)}{hint} "
        "Set [model] encoder to one of these, or to 'tu-NAME' for a timm model."
    )


class Network(nn.Module):
    """A segmentation network that accepts any image size and returns logits of the same size.

    Parameters
    ----------
    body
        The wrapped network, with an attribute ``encoder``.
    architecture, encoder
        Canonical names, for the model folder.
    bands, classes
        Number of input and output channels.
    output_stride
        Height and width are padded by reflection to multiples of this, in pixels.
    """

    def __init__(
        self,
        body: nn.Module,
        *,
        architecture: str,
        encoder: str,
        bands: int,
        classes: int,
        output_stride: int,
    ) -> None:
        super().__init__()
        self.body = body
        self.architecture = architecture
        self.encoder_name = encoder
        self.bands = bands
        self.classes = classes
        self.output_stride = output_stride

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(sample, class, row, col)`` of a normalized image ``(sample, band, row, col)``."""
        rows, cols = image.shape[-2:]
        bottom, right = (self._missing(side) for side in (rows, cols))
        if bottom or right:
            image = _pad(image, bottom, right)
        logits = self.body(image)
        if logits.shape[-2:] != image.shape[-2:]:
            logits = functional.interpolate(
                logits, image.shape[-2:], mode="bilinear", align_corners=False
            )
        return cast("Tensor", logits[..., :rows, :cols] if bottom or right else logits)

    def _missing(self, side: int) -> int:
        return max(_SMALLEST.get(self.architecture, 0) - side, -side % self.output_stride)

    @property
    def encoder(self) -> nn.Module:
        """The part that pretrained weights are loaded into."""
        return cast("nn.Module", self.body.encoder)

    def encoder_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of the encoder."""
        return self.encoder.parameters()

    def encoder_stages(self) -> list[list[nn.Parameter]]:
        """Trainable parameters of the encoder by stage: the first output that depends on them, fine to coarse."""
        remaining = [p for p in self.encoder.parameters() if p.requires_grad]
        stages: list[list[nn.Parameter]] = []
        for output in self._encoder_outputs() if remaining else ():
            gradients = torch.autograd.grad(
                output.sum(), remaining, retain_graph=True, allow_unused=True
            )
            needed = [gradient is not None for gradient in gradients]
            stages.append(list(compress(remaining, needed)))
            remaining = [p for p, is_needed in zip(remaining, needed, strict=True) if not is_needed]
            if not remaining:
                break
        return [stage for stage in [*stages, remaining] if stage]

    def _encoder_outputs(self) -> list[Tensor]:
        """Return the outputs of the encoder for a zero image; batch statistics do not change."""
        like = next(self.encoder.parameters())
        image = like.new_zeros(1, self.bands, _SMALLEST.get(self.architecture, 64), 128)
        self.encoder.eval()
        with torch.enable_grad():
            outputs = _flat(self.encoder(image))
        self.train(self.training)
        return [output for output in outputs if output.requires_grad]

    def decoder_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of everything except the encoder."""
        inside = {id(p) for p in self.encoder.parameters()}
        return (p for p in self.parameters() if id(p) not in inside)

    def freeze_encoder(self) -> None:
        """Exclude the encoder from training; its batch statistics are also kept."""
        for parameter in self.encoder.parameters():
            parameter.requires_grad = False
        self.keep_encoder_statistics()

    def keep_encoder_statistics(self) -> None:
        """Keep the batch statistics of the encoder, also in training mode."""
        self._frozen_statistics = True
        self.train(self.training)

    def train(self, mode: bool = True) -> Network:  # noqa: FBT001, FBT002 - torch's signature
        """Switch to training mode; kept encoder statistics do not change."""
        super().train(mode)
        if getattr(self, "_frozen_statistics", False):
            for module in self.encoder.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self


def build_network(
    architecture: str,
    encoder: str,
    *,
    bands: int,
    classes: int,
    encoder_depth: int = 4,
    decoder_channels: Sequence[int] = (96, 48, 32, 16),
    norm: Literal["batch", "group"] = "batch",
    upsampling: str = OWN_UPSAMPLING,
) -> Network:
    """Build a network with random weights.

    Parameters
    ----------
    architecture
        Any of `architecture_names`, or ``linear``; ``fcn`` is `SmallFCN`, which has no encoder to choose, and ``pyramid`` is
        `PyramidBody`, whose encoder is a timm model.
    encoder
        Any of `encoder_names`, or ``tu-NAME`` for a timm model.
    bands, classes
        Number of input and output channels.
    encoder_depth
        Number of times that the encoder halves the resolution, 3 to 5.
    decoder_channels
        Number of channels of the decoder stages of U-Net, U-Net++ and MAnet, coarse to fine. If their number differs from
        ``encoder_depth``, coarse stages are removed, or added with doubled widths.
    norm
        ``group`` replaces batch by group normalization, which does not depend on the other images of the batch.
    upsampling
        How the decoder doubles the resolution: ``nearest``, ``bilinear``, ``transposed`` or ``unpooling``; ``auto`` is
        what the architecture does by itself. ``fcn`` keeps the full resolution with ``auto``, and pools with the others.

    Returns
    -------
    Network
        With random weights.

    Raises
    ------
    ConfigError
        If a name is unknown, a width of the decoder is missing, or the encoder or the upsampling does not fit
        the architecture.
    ModelError
        If there is no band or only one class.

    Examples
    --------
    >>> network = build_network("unet", "resnet18", bands=5, classes=3, encoder_depth=3)
    >>> network(torch.zeros(1, 5, 37, 50)).shape
    torch.Size([1, 3, 37, 50])
    """
    if bands < 1 or classes < 2:
        raise ModelError(
            f"A network with {bands} bands and {classes} classes was requested. "
            "Expected at least one band and two classes; check the scene and the points."
        )
    if architecture == LINEAR:
        return _linear_network(bands, classes, encoder, encoder_depth)
    if architecture.lower() == PYRAMID:
        return _pyramid_network(bands, classes, encoder, encoder_depth, norm, upsampling)
    architecture = resolve_architecture(architecture)
    encoder = "fcn" if architecture == "fcn" else resolve_encoder(encoder)
    check_upsampling(upsampling, architecture, encoder)
    if architecture == "fcn":
        body = build_fcn(bands, classes, encoder_depth, upsampling)
    else:
        body = _smp_body(
            architecture, encoder, bands, classes, encoder_depth, decoder_channels, upsampling
        )
    _replace_norm(body, norm)
    return Network(
        body,
        architecture=architecture,
        encoder=encoder,
        bands=bands,
        classes=classes,
        output_stride=32 if architecture == "dpt" else _output_stride(body, encoder_depth),
    )


def _linear_network(bands: int, classes: int, encoder: str, depth: int) -> Network:
    """Return the linear model on a frozen backbone."""
    body = build_linear_body(bands, classes, encoder, depth)
    return Network(
        body,
        architecture=LINEAR,
        encoder=encoder,
        bands=bands,
        classes=classes,
        output_stride=body.output_stride,
    )


def _pyramid_network(
    bands: int, classes: int, encoder: str, depth: int, norm: str, upsampling: str
) -> Network:
    """Return a pyramid on a backbone of timm; the default one is built without importing timm."""
    check_upsampling(upsampling, PYRAMID, encoder)
    name = encoder.removeprefix("tu-").split(".")[0]
    method = "nearest" if upsampling == OWN_UPSAMPLING else upsampling
    body = PyramidBody(bands, classes, name, depth, norm, method)
    return Network(
        body,
        architecture=PYRAMID,
        encoder=f"tu-{name}",
        bands=bands,
        classes=classes,
        output_stride=body.output_stride,
    )


def receptive_field_px(
    network: nn.Module, *, bands: int | None = None, size: int = 256, share: float = 0.99
) -> int:
    """Return the side of the effective receptive field, in pixels.

    Half of it is the context that a window needs on every side. The theoretical receptive field of a deep encoder is much
    larger than the pixels that influence its output. So the *effective* one is measured: the smallest centred square with
    ``share`` of the absolute gradient of the central pixel's logits with respect to the image.

    Parameters
    ----------
    network
        A `Network`, or any module with ``bands`` given.
    bands
        Number of input channels; by default that of the network.
    size
        Side of the test image in pixels; it is noise with a fixed seed.
    share
        Share of the absolute gradient inside the square.

    Returns
    -------
    int
        Pixels, at most ``size``.

    References
    ----------
    W. Luo et al., Understanding the effective receptive field in deep convolutional neural networks, NeurIPS
    2016, doi:10.48550/arXiv.1701.04128.
    """
    bands = cast("int", network.bands) if bands is None else bands
    device = next(network.parameters()).device
    generator = torch.Generator().manual_seed(0)
    image = torch.randn((2, bands, size, size), generator=generator).to(device).requires_grad_()
    was_training = network.training
    network.eval()
    with torch.enable_grad():
        center = network(image)[:, :, size // 2, size // 2]
        (gradient,) = torch.autograd.grad(center.abs().sum(), image)
    network.train(was_training)
    mass = gradient.abs().sum((0, 1)).cpu()
    offset = (torch.arange(size) - size // 2).abs()
    radius = torch.maximum(offset[:, None], offset[None, :])
    within = torch.zeros(size).scatter_add_(0, radius.flatten(), mass.flatten()).cumsum(0)
    if not float(within[-1]) > 0:
        return size
    reach = int((within < share * within[-1]).sum())
    return min(2 * reach + 1, size)


def _smp_options(
    architecture: str, depth: int, decoder_channels: Sequence[int], upsampling: str
) -> dict[str, Any]:
    options: dict[str, Any] = {"encoder_depth": depth}
    if architecture in _NEEDS_STAGE_WIDTHS:
        options["decoder_channels"] = _stage_widths(decoder_channels, depth)
    if architecture == "pspnet":
        options["upsampling"] = 2**depth
    if architecture == "dpt":
        options = {"dynamic_img_size": True}
    return options | decoder_options(upsampling, architecture)


def _smp_body(
    architecture: str,
    encoder: str,
    bands: int,
    classes: int,
    depth: int,
    decoder_channels: Sequence[int],
    upsampling: str,
) -> nn.Module:
    import segmentation_models_pytorch as smp

    options = _smp_options(architecture, depth, decoder_channels, upsampling)
    try:
        body: nn.Module = smp.create_model(
            architecture,
            encoder_name=encoder,
            encoder_weights=None,
            in_channels=bands,
            classes=classes,
            **options,
        )
        replace_upsampling(body, upsampling, architecture)
        _drop_unused(body, torch.zeros(2, bands, _SMALLEST.get(architecture, 64), 128))
    except _SMP_ERRORS as error:
        raise ConfigError(
            f"The encoder '{encoder}' at depth {depth} does not fit the architecture '{architecture}' "
            f"({_first_line(error)}). Expected an encoder that it supports; "
            "try 'resnet18', or another encoder_depth."
        ) from error
    return body


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


class _Unused(nn.Module):
    """Replaces a module without effect on the output; some encoders still call it, with options."""

    def forward(self, image: Tensor, *_: Any) -> Tensor:
        """Return the input."""
        return image


def _drop_unused(body: nn.Module, image: Tensor) -> None:
    """Replace modules without effect on the output, such as stages beyond ``encoder_depth``."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        body(image).sum().backward()
    for module in list(body.modules()):
        for name, child in list(module.named_children()):
            parameters = list(child.parameters())
            if parameters and all(p.grad is None for p in parameters):
                setattr(module, name, _Unused())
    body.zero_grad(set_to_none=True)
    for child in body.modules():
        if isinstance(child, nn.BatchNorm2d):
            child.reset_running_stats()


def _stage_widths(widths: Sequence[int], depth: int) -> list[int]:
    if not widths or min(widths) < 1:
        raise ConfigError(
            f"[model] decoder_channels is {list(widths)}. Expected the width of one stage of the decoder at least, "
            "coarse to fine; give widths such as [64, 32, 16], or leave the setting out."
        )
    stages = list(widths)[-depth:]
    while len(stages) < depth:
        stages.insert(0, 2 * stages[0])
    return stages


def _flat(outputs: Any) -> list[Tensor]:
    if isinstance(outputs, Tensor):
        return [outputs]
    return [t for o in outputs for t in _flat(o)] if isinstance(outputs, (list, tuple)) else []


def _output_stride(body: nn.Module, depth: int) -> int:
    own = getattr(body, "output_stride", None)
    stride = own or getattr(cast("Any", body.encoder), "output_stride", None)
    return int(stride) if stride else 2**depth


def _replace_norm(module: nn.Module, norm: str) -> None:
    for name, child in module.named_children():
        if type(child) is nn.BatchNorm2d:
            if norm == "group":
                groups = math.gcd(child.num_features, 8)
                setattr(module, name, nn.GroupNorm(groups, child.num_features))
            else:
                child.__class__ = TolerantBatchNorm2d
        else:
            _replace_norm(child, norm)


def _pad(image: Tensor, bottom: int, right: int) -> Tensor:
    mode = "reflect" if bottom < image.shape[-2] and right < image.shape[-1] else "replicate"
    return functional.pad(image, (0, right, 0, bottom), mode=mode)
