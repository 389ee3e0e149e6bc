"""The network that a training starts from, and how it sees the imagery."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from geopointseg.config import Config
from geopointseg.learning.ground import Ground
from geopointseg.model.architecture import Network, build_network
from geopointseg.model.member import Normalization
from geopointseg.model.weight_sources import find_weights
from geopointseg.model.weights import apply_weights
from geopointseg.progress import Reporter
from geopointseg.raster.band import Band
from geopointseg.raster.scene import Scene

PLAUSIBLE_MEAN = 4.0
PLAUSIBLE_STD = (0.02, 12.0)
"""Once normalized, imagery outside of these has other units than the weights were trained with."""


def network_options(config: Config) -> dict[str, Any]:
    """Return what `build_network` needs besides bands and classes, as plain values."""
    settings = config.model
    return {
        "architecture": settings.architecture,
        "encoder": settings.encoder,
        "encoder_depth": settings.encoder_depth,
        "decoder_channels": list(settings.decoder_channels),
        "norm": settings.norm,
        "upsampling": settings.upsampling,
    }


def build_starting_network(
    ground: Ground, scenes: Sequence[Scene], config: Config, seed: int, reporter: Reporter
) -> tuple[Network, Normalization]:
    """Build the network with the weights that the settings name, and the normalization that goes with them.

    The statistics of batch normalization of an encoder that large archives were used for are kept as they came: a few
    small batches of chips would only blur them. Weights of photographs (ImageNet's and timm's) say how to normalize values of 0..255 in red,
    green and blue: other bands, and scenes of more than 8 bits or of reflectances, keep their own statistics.

    Parameters
    ----------
    ground
        Imagery in memory; its statistics normalize where the weights say nothing.
    scenes
        Scenes, with the same bands.
    config, seed
        Settings; the seed decides random weights.
    reporter
        Told what was loaded.
    """
    torch.manual_seed(seed)
    network = build_network(bands=ground.bands, classes=ground.classes, **network_options(config))
    own = ground.normalization()
    weights = find_weights(config.model.weights, network.encoder_name)
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


def _where_8_bit(
    own: Normalization, theirs: Normalization, scenes: Sequence[Scene]
) -> Normalization | None:
    """Fill in the scenes' own statistics where their values do not run 0..255; None where that is everywhere."""
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
    """Take the weights' normalization, unless the scene plainly has other units."""
    if theirs is None:
        reporter.log("Bands are normalized by the scene's own statistics.")
        return own
    mean, std = np.abs(own.mean - theirs.mean) / theirs.std, own.std / theirs.std
    low, high = PLAUSIBLE_STD
    if mean.max() <= PLAUSIBLE_MEAN and std.max() <= high and np.median(std) >= low:
        reporter.log(_whose(own, theirs))
        return theirs
    reporter.warn(
        f"The scene's values (mean {own.mean[0]:.4g}, deviation {own.std[0]:.4g} in the first band) are not in the units "
        f"that the weights were trained with (mean {theirs.mean[0]:.4g}, deviation {theirs.std[0]:.4g}). The scene's own "
        "statistics are used; give the scene in those units for the best of the weights."
    )
    return own


def _whose(own: Normalization, theirs: Normalization) -> str:
    same = (own.mean == theirs.mean) & (own.std == theirs.std)
    most = f"{same.sum()} by the scene's own statistics, the others " if same.any() else ""
    return f"Bands are normalized {most}as the weights were trained."
