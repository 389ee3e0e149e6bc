"""Class probabilities at points, without mapping the scenes between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geopointseg.labels.points import Points
from geopointseg.model.bundle import ModelBundle
from geopointseg.model.ensemble import combine_models
from geopointseg.model.inference import predict_at
from geopointseg.progress import Reporter
from geopointseg.raster.scene import Scene


def predict_points(
    model: ModelBundle,
    scenes: Sequence[Scene],
    points: Points,
    *,
    reporter: Reporter | None = None,
) -> NDArray[np.float32]:
    """Return the class probabilities that a model gives at points, as its map would.

    Parameters
    ----------
    model
        The model; its test-time augmentation is applied as in its maps.
    scenes
        Scenes with the model's bands; where they overlap, the first one with an image counts.
    points
        Points in any CRS, taken where they lie (lines and polygons at their representative point).
    reporter
        Receives progress; may cancel.

    Returns
    -------
    ndarray
        float32 ``(point, class)``; NaN where a point lies on no image.
    """
    reporter = reporter or Reporter()
    ensemble = combine_models([model], augmentation=model.config.prediction.tta)
    found = np.full((len(points), len(model.legend)), np.nan, dtype=np.float32)
    for scene in scenes:
        row, col = locate(scene, points)
        wanted = np.flatnonzero((row >= 0) & np.isnan(found[:, 0]))
        if len(wanted):
            with reporter.stage("look up", total=len(wanted)) as advance:
                found[wanted] = predict_at(
                    ensemble, scene, row[wanted], col[wanted], advance=advance
                )
    return found


def locate(scene: Scene, points: Points) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pixel of each point on a scene, int64 ``(point,)``; -1 where it lies beyond."""
    moved = points.to_crs(scene.grid.crs)
    place = scene.grid.world_to_pixel(moved.x, moved.y)
    height, width = scene.grid.shape
    with np.errstate(invalid="ignore"):
        row, col = (np.floor(value) for value in place)
        inside = (row >= 0) & (row < height) & (col >= 0) & (col < width)
    return (
        np.where(inside, row, -1).astype(np.int64),
        np.where(inside, col, -1).astype(np.int64),
    )
