"""Members of a model on an embedding, fitted to labelled vectors: linear, nearest neighbours, and forest of single pixels.

Vectors are features that were learnt from whole years of imagery. Filters, histogram matching and changes of gain or colour
would move them to places that mean something else, so none is applied.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from geopointseg.config import Config
from geopointseg.errors import RasterError, TrainingError
from geopointseg.learning.training_imagery import TrainingImagery
from geopointseg.model.architecture import Network
from geopointseg.model.embedding_heads import (
    HIDDEN,
    MOST_VECTORS,
    NEAREST,
    NEIGHBOURS,
    PERCEPTRON,
    VECTORS_LINEAR,
    NearestNeighbours,
    VectorsLinear,
    VectorsPerceptron,
    build_embedding_head,
)
from geopointseg.model.linear import LabelledFeatures, all_classes, fit_head
from geopointseg.model.member import NetworkMember, Normalization
from geopointseg.raster.scene import Scene
from geopointseg.sampling.patch import LabelledPixels

_CONSTANT = 1e-6
_UNCHANGED = {"gain": 0.0, "offset": 0.0, "gamma": 1.0, "blur": 0.0, "style": 0.0}


def settings_for_embedding(config: Config, scene: Scene) -> Config:
    """Return settings without filters and without augmentation of values.

    Raises
    ------
    RasterError
        If scenes are to be matched.
    """
    if config.scene.matching != "none":
        raise RasterError(
            f"'{scene.name}' is an embedding, and [scene] matching is '{config.scene.matching}'. Expected 'none', because vectors "
            "are no radiances that could be matched."
        )
    return config.updated({"augmentation": _UNCHANGED, "forest": {"features": "pixel"}})


def fit_vectors_linear(imagery: TrainingImagery, labelled: LabelledPixels) -> NetworkMember:
    """Fit a logistic regression to the vectors of labelled pixels.

    Raises
    ------
    TrainingError
        If fewer than two classes have pixels.
    """
    options = {"architecture": VECTORS_LINEAR, "encoder": ""}
    network = build_embedding_head(imagery.bands, imagery.classes, options)
    body = network.body
    assert isinstance(body, VectorsLinear)  # noqa: S101 - of this architecture
    vectors = vectors_at(imagery, labelled)
    fit_head(
        body, LabelledFeatures(vectors, labelled.class_index, labelled.weight), imagery.classes
    )
    return _member(network, "linear", options)


def fit_perceptron(imagery: TrainingImagery, labelled: LabelledPixels, seed: int) -> NetworkMember:
    """Fit a perceptron with one hidden layer to the standardized vectors of labelled pixels.

    Labelled pixels of rare classes are repeated, so that all classes have about the same weight.

    Parameters
    ----------
    imagery
        Imagery in memory.
    labelled
        Pixels to learn from.
    seed
        Decides the initial weights.

    Returns
    -------
    NetworkMember
        Of the kind ``perceptron``.
    """
    from sklearn.neural_network import MLPClassifier

    labelled = labelled.select(labelled.weight > 0)
    vectors = vectors_at(imagery, labelled).astype(np.float64)
    counts = labelled.counts(imagery.classes)
    repeats = np.rint(counts.max() / counts[labelled.class_index]).astype(np.int64)
    mean, std = vectors.mean(axis=0), vectors.std(axis=0)
    std = np.where(std > _CONSTANT, std, np.inf)
    model = MLPClassifier((HIDDEN,), alpha=1.0, max_iter=300, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(
            np.repeat((vectors - mean) / std, repeats, axis=0),
            np.repeat(labelled.class_index, repeats),
        )
    options = {"architecture": PERCEPTRON, "encoder": ""}
    network = build_embedding_head(imagery.bands, imagery.classes, options)
    body = network.body
    assert isinstance(body, VectorsPerceptron)  # noqa: S101 - of this architecture
    first = model.coefs_[0].T / std
    body.hidden.load_head(first, model.intercepts_[0] - first @ mean)
    last, bias = model.coefs_[1].T, model.intercepts_[1]
    body.output.load_head(*all_classes(last, bias, model.classes_, imagery.classes))
    return _member(network, "perceptron", options)


def fit_neighbours(imagery: TrainingImagery, labelled: LabelledPixels) -> NetworkMember:
    """Store the vectors of labelled pixels for their nearest neighbours.

    Of more than `MOST_VECTORS`, as many of each class as possible are drawn.

    Raises
    ------
    TrainingError
        If no pixel is labelled.
    """
    labelled = labelled.select(_draw_evenly(labelled.class_index, labelled.weight))
    if not len(labelled):
        raise TrainingError(
            "The nearest neighbours were given no labelled pixel. Expected at least one; put points on the scene."
        )
    options = {
        "architecture": NEAREST, "encoder": "", "count": len(labelled), "neighbours": NEIGHBOURS,
    }  # fmt: skip
    network = build_embedding_head(imagery.bands, imagery.classes, options)
    body = network.body
    assert isinstance(body, NearestNeighbours)  # noqa: S101 - of this architecture
    body.load_vectors(vectors_at(imagery, labelled), labelled.class_index)
    return _member(network, "knn", options)


def _member(network: Network, kind: str, options: Mapping[str, Any]) -> NetworkMember:
    bands = network.bands
    return NetworkMember(
        network=network,
        normalization=Normalization(np.zeros(bands), np.ones(bands)),
        margin_px=0,
        weight=1.0,
        options=options,
        device=torch.device("cpu"),
        kind=kind,
    )


def vectors_at(imagery: TrainingImagery, labelled: LabelledPixels) -> NDArray[np.float32]:
    """Return the vectors of labelled pixels, float32 ``(pixel, band)``."""
    found = np.empty((len(labelled), imagery.bands), np.float32)
    for position in np.unique(labelled.patch).tolist():
        own = labelled.patch == position
        image = imagery.patches[position].image
        found[own] = image[:, labelled.row[own], labelled.col[own]].T
    return found


def _draw_evenly(class_index: NDArray[np.int64], weight: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which pixels are kept: all of positive weight, or as many of each class as fit."""
    used = weight > 0
    rng = np.random.default_rng(0)
    order = rng.permutation(len(class_index))
    rank = np.full(len(class_index), len(class_index))
    for index in np.unique(class_index[used]):
        own = order[(class_index[order] == index) & used[order]]
        rank[own] = np.arange(len(own))
    nearest = np.lexsort((order, rank))[:MOST_VECTORS]
    kept = np.zeros(len(class_index), dtype=bool)
    kept[nearest] = True
    return kept & used
