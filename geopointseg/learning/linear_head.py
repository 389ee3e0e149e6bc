"""The linear model of a training: normalization for the frozen backbone, and the fit to labelled pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from geopointseg.errors import ModelError
from geopointseg.learning.training_imagery import TrainingImagery
from geopointseg.model.architecture import Network
from geopointseg.model.backbone import DEPTH, INPUT_MEAN, INPUT_STD, LITE0, build_backbone
from geopointseg.model.linear import (
    LATTICE_PX,
    MARGIN_PX,
    TILE_PX,
    LabelledFeatures,
    LinearBody,
    choose_projection,
    compute_features,
    fit_head,
    spread_factors,
)
from geopointseg.model.member import NetworkMember, Normalization
from geopointseg.model.weight_bands import match_bands
from geopointseg.raster.band import Band
from geopointseg.raster.scene import Scene
from geopointseg.sampling.patch import LabelledPixels

PERCENTILES = (1.0, 99.0)
"""Imagery of other than 8 bits is stretched from these percentiles of all colours together."""
_SAMPLE = 200_000
_MOST_OF_LATTICE = 20_000


def fit_linear(
    imagery: TrainingImagery,
    scenes: Sequence[Scene],
    labelled: LabelledPixels,
    *,
    weight: float = 1.0,
    device: torch.device | None = None,
) -> NetworkMember:
    """Fit a logistic regression on frozen features to labelled pixels.

    Parameters
    ----------
    imagery
        Imagery in memory.
    scenes
        The scenes that it comes from; their bands and data types decide how it is normalized.
    labelled
        Pixels to learn from.
    weight
        Weight of the member in the model.
    device
        Where features are computed; the CPU by default.

    Returns
    -------
    NetworkMember
        Of the kind ``linear``.

    Raises
    ------
    MissingDependencyError, ModelError
        If the weights of the backbone are not installed or damaged, or the imagery is constant.
    TrainingError
        If fewer than two classes have pixels.
    """
    device = device or torch.device("cpu")
    colors = find_colors(scenes[0].bands)
    normalization = normalize_for_backbone(imagery, scenes, colors)
    body = LinearBody(imagery.bands, imagery.classes, build_backbone()).eval().to(device)
    body = body.to(memory_format=torch.channels_last)
    sample = _sample(imagery)
    if not np.ptp(sample, axis=0).any():
        raise ModelError(
            "All bands have the same value everywhere, so there are no features to learn from. Expected imagery whose values "
            "vary; check the bands and the nodata value."
        )
    normalized = (sample - normalization.mean) / normalization.std
    projection = choose_projection(imagery.bands, colors, normalized.astype(np.float32))
    body.projection.copy_(torch.from_numpy(projection))
    features, ground = _features_of(body, imagery, normalization, labelled)
    order = np.argsort(labelled.patch, kind="stable")
    fit_head(
        body,
        LabelledFeatures(features, labelled.class_index[order], labelled.weight[order]),
        imagery.classes,
        spread_factors(features.std(axis=0), ground.std(axis=0)),
    )
    return NetworkMember(
        network=_as_network(body.cpu(), imagery),
        normalization=normalization,
        margin_px=MARGIN_PX,
        weight=weight,
        options={"architecture": "linear", "encoder": LITE0, "encoder_depth": DEPTH},
        device=torch.device("cpu"),
        kind="linear",
    )


def _features_of(
    body: LinearBody,
    imagery: TrainingImagery,
    normalization: Normalization,
    labelled: LabelledPixels,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the features of the labelled pixels, by patch, and those of the ground around them, ``(pixel, feature)``."""
    parts: tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]] = [], []
    for position, patch in enumerate(imagery.patches):
        own = labelled.patch == position
        row, col = labelled.row[own], labelled.col[own]
        around = _lattice_around(row, col, patch.valid)
        features = compute_features(
            body,
            normalization.apply(patch.image, patch.valid),
            patch.valid,
            np.concatenate([row, around[0]]),
            np.concatenate([col, around[1]]),
        )
        parts[0].append(features[: len(row)])
        parts[1].append(features[len(row) :])
    return np.concatenate(parts[0]), np.concatenate(parts[1])


def _lattice_around(
    row: NDArray[np.int64], col: NDArray[np.int64], valid: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the valid pixels of a lattice in the tiles that hold some pixels, whose features are computed anyway."""
    tiles = np.zeros(tuple(-(-side // TILE_PX) for side in valid.shape), dtype=bool)
    tiles[row // TILE_PX, col // TILE_PX] = True
    r, c = (LATTICE_PX * v for v in np.nonzero(valid[::LATTICE_PX, ::LATTICE_PX]))
    r, c = (v[tiles[r // TILE_PX, c // TILE_PX]] for v in (r, c))
    step = max(-(-len(r) // _MOST_OF_LATTICE), 1)
    return np.concatenate([row, r[::step]]), np.concatenate([col, c[::step]])


def _as_network(body: LinearBody, imagery: TrainingImagery) -> Network:
    return Network(
        body,
        architecture="linear",
        encoder=LITE0,
        bands=imagery.bands,
        classes=imagery.classes,
        output_stride=body.output_stride,
    ).eval()


_COMPOSITES = ("red", "green", "blue"), ("nir", "red", "green")
"""True colours, and colour infrared, whose edges and textures are those of true colours."""


def find_colors(bands: Sequence[Band]) -> tuple[int, ...] | None:
    """Return the positions of the bands that a backbone sees as red, green and blue; None where there are none.

    Without blue, near infrared, red and green take the places of red, green and blue. A single band takes all three. Three or four
    bands without name and colour are taken as red, green and blue (and another one), as in photographs.

    Examples
    --------
    >>> find_colors([Band(1, "nir"), Band(2, "blue"), Band(3, "green"), Band(4, "red")])
    (3, 2, 1)
    >>> find_colors([Band(1, "nir"), Band(2, "red"), Band(3, "green")])
    (0, 1, 2)
    >>> find_colors([Band(1, "")])
    (0, 0, 0)
    >>> find_colors([Band(1, "vv"), Band(2, "vh")]) is None
    True
    """
    if len(bands) == 1:
        return (0, 0, 0)
    for names in _COMPOSITES:
        found = match_bands(names, bands) or []
        if {0, 1, 2} <= {*found}:
            return tuple(found.index(k) for k in range(3))
    is_plain = all(not band.name and not band.color for band in bands)
    return (0, 1, 2) if is_plain and len(bands) in (3, 4) else None


def normalize_for_backbone(
    imagery: TrainingImagery, scenes: Sequence[Scene], colors: Sequence[int] | None
) -> Normalization:
    """Return the normalization of the imagery for a backbone trained on photographs.

    Colours of 8 bits are taken as photographs: their values are kept, so that features do not depend on the statistics of
    a scene. Others are stretched from percentiles of all colours together, which keeps the colours. All other bands get mean 0 and standard deviation 1.

    Parameters
    ----------
    imagery
        Imagery in memory.
    scenes
        The scenes that it comes from.
    colors
        Positions of red, green and blue; None where they are not known.
    """
    own = imagery.normalization()
    if colors is None:
        return own
    low, high = 0.0, 255.0
    if not all(is_photograph(scene, colors) for scene in scenes):
        sample = _sample(imagery)[:, list(colors)]
        limits = np.percentile(sample, PERCENTILES, axis=0)
        low, high = float(limits[0].min()), float(limits[1].max())
    span = high - low if high > low else 1.0
    mean, std = own.mean.copy(), own.std.copy()
    mean[list(colors)] = low + span * INPUT_MEAN
    std[list(colors)] = span * INPUT_STD
    return Normalization(mean, std)


def is_photograph(scene: Scene, colors: Sequence[int]) -> bool:
    """Whether the colours of a scene are bands of 8 bits, read as they are stored."""
    bands = [scene.bands[k] for k in colors]
    stored = all(b.expression is None and b.scale == 1.0 and b.offset == 0.0 for b in bands)
    return scene.dtype == "uint8" and stored


def _sample(imagery: TrainingImagery) -> NDArray[np.float64]:
    """Return evenly spaced valid pixels, float64 ``(pixel, band)``."""
    count = sum(patch.valid.size for patch in imagery.patches)
    step = max(int(np.sqrt(count / _SAMPLE)), 1)
    parts = [p.image[:, ::step, ::step][:, p.valid[::step, ::step]].T for p in imagery.patches]
    sample = np.concatenate(parts)
    if not len(sample):
        sample = np.concatenate([p.image[:, p.valid].T for p in imagery.patches])
    return sample.astype(np.float64)
