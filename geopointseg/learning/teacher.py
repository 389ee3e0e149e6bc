"""Soft labels: class probabilities of all training imagery, predicted by a teacher (forest, linear model or network).

References
----------
G. Hinton et al., Distilling the knowledge in a neural network, 2015, doi:10.48550/arXiv.1503.02531.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geopointseg.config import ForestConfig
from geopointseg.learning.training_imagery import TrainingImagery
from geopointseg.model.forest import Forest
from geopointseg.model.inference import Ensemble, predict_at, predict_window
from geopointseg.progress import Reporter
from geopointseg.raster.grid import block_windows
from geopointseg.sampling.patch import LabelledPixels
from geopointseg.sampling.site_position import site_positions

BLOCK_PX = 512
"""Side of the blocks in which large patches are predicted."""


def fit_forest(
    imagery: TrainingImagery, labelled: LabelledPixels, config: ForestConfig, seed: int
) -> Forest:
    """Fit a forest to labelled pixels.

    Parameters
    ----------
    imagery
        Imagery.
    labelled
        Training pixels.
    config
        Settings of the forest.
    seed
        Decides the trees.
    """
    labelled = labelled.select(np.argsort(labelled.patch, kind="stable"))
    pixels = []
    for position in range(len(imagery.patches)):
        own = labelled.select(labelled.patch == position)
        pixels.append((own.row, own.col, own.class_index, own.weight))
    images = [(patch.image, patch.valid) for patch in imagery.patches]
    return Forest.fit(
        images,
        pixels,
        classes=imagery.classes,
        config=config,
        seed=seed,
        places=site_positions(imagery.patches, labelled),
    )


def predict_patches(
    teacher: Ensemble, imagery: TrainingImagery, reporter: Reporter, stage: str
) -> tuple[NDArray[np.uint8], ...]:
    """Return a teacher's probabilities of every patch.

    Parameters
    ----------
    teacher
        Forest or network.
    imagery
        Imagery.
    reporter
        Receives progress; may cancel.
    stage
        Name of the stage in the progress.

    Returns
    -------
    tuple of ndarray
        uint8 ``(class, row, col)`` a patch, in 1/255; 0 where invalid.
    """
    maps = [np.zeros((imagery.classes, *patch.shape), dtype=np.uint8) for patch in imagery.patches]
    blocks = [
        (position, window)
        for position, patch in enumerate(imagery.patches)
        for window in block_windows(patch.shape, BLOCK_PX)
    ]
    with reporter.stage(stage, total=len(blocks)) as advance:
        for position, window in blocks:
            found, valid = predict_window(teacher, imagery.patches[position], window)
            rows, cols = window.toslices()
            maps[position][:, rows, cols] = np.where(valid, np.rint(found * 255), 0)
            advance(1)
    return tuple(maps)


def predict_labelled(
    ensemble: Ensemble,
    imagery: TrainingImagery,
    pixels: LabelledPixels,
    context_px: int | None = None,
) -> NDArray[np.float32]:
    """Return class probabilities of labelled pixels.

    Parameters
    ----------
    ensemble
        The models.
    imagery
        Imagery.
    pixels
        Which pixels.
    context_px
        As in `predict_at`.

    Returns
    -------
    ndarray
        float32 ``(pixel, class)``.
    """
    found = np.zeros((len(pixels), imagery.classes), dtype=np.float32)
    for position in np.unique(pixels.patch).tolist():
        own = pixels.patch == position
        found[own] = predict_at(
            ensemble,
            imagery.patches[position],
            pixels.row[own],
            pixels.col[own],
            context_px=context_px,
        )
    return found


def predicted_class_shares(maps: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Return the share of each class in probability maps, ``(class,)``."""
    total = np.sum([m.sum(axis=(1, 2), dtype=np.float64) for m in maps], axis=0)
    return np.asarray(total / max(total.sum(), 1.0), dtype=np.float32)
