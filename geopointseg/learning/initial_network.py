"""The initial network of a training, and the normalization of its input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from geopointseg.config import CHIP_SIZES, Config, ModelConfig
from geopointseg.errors import MissingDependencyError, ModelError
from geopointseg.learning.linear_head import find_colors, normalize_for_backbone
from geopointseg.learning.training_imagery import TrainingImagery
from geopointseg.model.architecture import Network, build_network
from geopointseg.model.backbone import LITE0, pretrained_state
from geopointseg.model.member import Normalization
from geopointseg.model.weight_sources import find_weights
from geopointseg.model.weights import InitialWeights, apply_weights
from geopointseg.progress import NullSink, Reporter
from geopointseg.raster.band import Band
from geopointseg.raster.companion_scene import CompanionScene
from geopointseg.raster.scene import Scene

PLAUSIBLE_MEAN = 4.0
PLAUSIBLE_STD = (0.02, 12.0)
"""Normalized imagery outside these limits has other units than the imagery that the weights were trained with."""


PRETRAINED: dict[str, Any] = {
    "architecture": "pyramid",
    "encoder": f"tu-{LITE0}",
    "encoder_depth": 5,
    "norm": "group",
    "weights": "imagenet",
    "freeze_encoder": True,
}
"""Settings of the network on the pretrained backbone. With the statistics of the training instead of those of the window (``batch``), the
network scores up to five points lower on other scenes, whose light and contrast are others."""
PLAIN = {"architecture": "unet", "encoder": "resnet18", "weights": "none"}
"""Settings of the network without pretrained weights."""
_DEFAULTS = ModelConfig()
_OF_NETWORK = (
    "architecture", "encoder", "encoder_depth", "decoder_channels", "norm", "upsampling", "freeze_encoder",
)  # fmt: skip
COARSE_M = 4.0
"""From this pixel size on, in metres, features of photographs describe the imagery less well than filters and bands do."""


def resolve_network(
    config: Config, scenes: Sequence[Scene], reporter: Reporter, *, has_own_chips: bool = True
) -> Config:
    """Replace 'auto' in the settings of the network, and of the chips that it learns from.

    Colour imagery with pixels below `COARSE_M` gets a decoder on the frozen backbone. Other imagery gets a small U-Net, and so
    does a training whose settings name weights other than ImageNet's, or any part of the network, which the backbone's decoder would ignore.

    Parameters
    ----------
    config
        All settings.
    scenes
        Scenes, with the same bands.
    reporter
        Is warned if the weights of the backbone are not installed or damaged.
    has_own_chips
        Whether the size of the chips was requested. Otherwise it is that of a CPU on any device where half of the steps have
        chips of twice the side.

    Returns
    -------
    Config
        Settings without 'auto' in architecture, encoder, weights and wide steps.

    Raises
    ------
    MissingDependencyError, ModelError
        If ImageNet weights are requested, and are not installed or damaged.
    """
    model = config.model
    is_open = all(getattr(model, name) == getattr(_DEFAULTS, name) for name in _OF_NETWORK)
    wanted = model.weights == "imagenet"
    if is_open and (wanted or (model.weights == "auto" and suits_backbone(scenes))):
        try:
            pretrained_state(LITE0)
        except (MissingDependencyError, ModelError) as error:
            if wanted:
                raise
            reporter.warn(f"{error} The network starts from random weights.")
        else:
            return _with_chips(config.updated({"model": PRETRAINED}), has_own_chips)
    elif is_open and model.weights == "auto":
        reporter.log(
            "The network starts from random weights: pretrained weights serve imagery with colours, colour infrared or a single band, and "
            f"pixels below {COARSE_M:g} m. `[model] weights = 'imagenet'` takes them all the same."
        )
    return _with_chips(with_plain_network(config), has_own_chips)


def with_plain_network(config: Config) -> Config:
    """Replace 'auto' in the settings of the network by those of the network without pretrained weights."""
    plain = {name: value for name, value in PLAIN.items() if getattr(config.model, name) == "auto"}
    return config.updated({"model": plain})


def _with_chips(config: Config, has_own_chips: bool) -> Config:  # noqa: FBT001 - private
    """Replace 'auto' in the setting of the steps with wide chips, and choose the size of the others."""
    sampling = config.sampling
    if sampling.wide_steps == "auto":
        sampling = replace(sampling, wide_steps="half" if _is_backbone(config) else "none")
    if sampling.wide_steps == "half" and not has_own_chips:
        sampling = replace(sampling, chip_size=CHIP_SIZES["cpu"])
    return replace(config, sampling=sampling)


def suits_backbone(scenes: Sequence[Scene]) -> bool:
    """Return whether the features of photographs can be expected to describe scenes: colours, and pixels below `COARSE_M`."""
    scene = scenes[0].imagery if isinstance(scenes[0], CompanionScene) else scenes[0]
    return find_colors(scene.bands) is not None and scene.grid.resolution_m < COARSE_M


def network_options(config: Config) -> dict[str, Any]:
    """Return the arguments of `build_network` besides bands and classes, as plain values."""
    names = ("architecture", "encoder", "encoder_depth", "decoder_channels", "norm", "upsampling")
    values = config.to_dict()["model"]
    return {name: values[name] for name in names}


def build_initial_network(
    imagery: TrainingImagery, scenes: Sequence[Scene], config: Config, seed: int, reporter: Reporter
) -> tuple[Network, Normalization]:
    """Build the network with the weights of the settings, and the normalization that belongs to them.

    Encoders that were trained on large archives keep their batch-normalization statistics, because a few small batches of
    chips estimate them less accurately. Weights trained on photographs (ImageNet's and timm's) come with a normalization for
    red, green and blue values of 0..255. Other bands, and scenes of more than 8 bits or of reflectances, are normalized by
    their own statistics.

    Parameters
    ----------
    imagery
        Imagery in memory; its statistics are used for bands without a normalization from the weights.
    scenes
        Scenes, with the same bands.
    config
        All settings.
    seed
        Of the random weights.
    reporter
        Receives messages about weights and normalization.

    Returns
    -------
    tuple
        The network and the normalization of its input.

    Raises
    ------
    ConfigError
        If the settings name no possible network or no weights.
    MissingDependencyError
        If ImageNet weights are requested and not installed.
    ModelError
        If the weights do not fit the network.
    """
    config = resolve_network(config, scenes, reporter)
    torch.manual_seed(seed)
    network = build_network(bands=imagery.bands, classes=imagery.classes, **network_options(config))
    own = imagery.normalization()
    weights = find_weights(config.model.weights, network.encoder_name)
    colors = find_colors(scenes[0].bands)
    if weights is not None and colors is not None and _is_backbone(config):
        _see_colors(network, weights, colors)
        network.freeze_encoder()
        return network, normalize_for_backbone(imagery, scenes, colors)
    if weights is not None:
        theirs = apply_weights(network, weights, scenes[0].bands, reporter)
        if not weights.is_own:
            network.keep_encoder_statistics()
        reporter.log(f"The encoder starts from the weights '{weights.source}'.")
        if theirs is not None and weights.is_8_bit:
            theirs = _where_8_bit(own, theirs, scenes)
        own = _choose_normalization(own, theirs, reporter)
    if config.model.freeze_encoder:
        network.freeze_encoder()
    return network, own


def _is_backbone(config: Config) -> bool:
    """Return whether the encoder is the frozen default backbone, whose input has a normalization of its own."""
    chosen = {
        name: getattr(config.model, name) for name in ("encoder", "weights", "freeze_encoder")
    }
    return all(PRETRAINED[name] == value for name, value in chosen.items())


def _see_colors(network: Network, weights: InitialWeights, colors: Sequence[int]) -> None:
    """Load the weights of a frozen encoder, whose first convolution sees the bands of three colours and no other one."""
    plain = [Band(k + 1, "") for k in range(network.bands)]
    apply_weights(network, weights, plain, Reporter(NullSink()))
    stem = next(module for module in network.encoder.modules() if isinstance(module, nn.Conv2d))
    kernels = next(v for key, v in weights.tensors.items() if key.endswith("conv_stem.weight"))
    with torch.no_grad():
        stem.weight.zero_()
        for kernel, color in enumerate(colors):
            stem.weight[:, color] += kernels[:, kernel].to(stem.weight)


def _where_8_bit(
    own: Normalization, theirs: Normalization, scenes: Sequence[Scene]
) -> Normalization | None:
    """Replace the weights' statistics by the scenes' own for bands whose values are not 8-bit; None where that is all."""
    known = np.isfinite(theirs.mean) & [
        all(scene.dtype == "uint8" and _is_as_stored(scene.bands[k]) for scene in scenes)
        for k in range(len(own.mean))
    ]
    if not known.any():
        return None
    return Normalization(
        np.where(known, theirs.mean, own.mean), np.where(known, theirs.std, own.std)
    )


def _is_as_stored(band: Band) -> bool:
    return band.expression is None and band.scale == 1.0 and band.offset == 0.0


def _choose_normalization(
    own: Normalization, theirs: Normalization | None, reporter: Reporter
) -> Normalization:
    """Return the weights' normalization, or the scene's own where its values have other units."""
    if theirs is None:
        reporter.log("Bands are normalized by the scene's own statistics.")
        return own
    mean, std = np.abs(own.mean - theirs.mean) / theirs.std, own.std / theirs.std
    low, high = PLAUSIBLE_STD
    if mean.max() <= PLAUSIBLE_MEAN and std.max() <= high and np.median(std) >= low:
        reporter.log(_describe_source(own, theirs))
        return theirs
    reporter.warn(
        f"The scene's values (mean {own.mean[0]:.4g}, standard deviation {own.std[0]:.4g} in the first band) are not in the units "
        f"that the weights were trained with (mean {theirs.mean[0]:.4g}, standard deviation {theirs.std[0]:.4g}). The scene's own "
        "statistics are used; convert the scene to those units to benefit more from the weights."
    )
    return own


def _describe_source(own: Normalization, theirs: Normalization) -> str:
    same = (own.mean == theirs.mean) & (own.std == theirs.std)
    some = f"{same.sum()} by the scene's own statistics, the others " if same.any() else ""
    return f"Bands are normalized {some}by the statistics of the weights."
