"""What a model says at points, without mapping the scenes between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.labels.points import Points
from geopointseg.model.bundle import ModelBundle
from geopointseg.progress import Reporter
from geopointseg.raster.scene import Scene

TILE_PX = 256


def predict_points(
    model: ModelBundle,
    scenes: Sequence[Scene],
    points: Points,
    *,
    reporter: Reporter | None = None,
) -> NDArray[np.float32]:
    """Return the class probabilities that a model gives at points.

    Scenes are cut into tiles; those that hold points are read with the context that the model needs, so a few
    hundred points on a large scene cost little. Where scenes overlap, the first one with an image counts.

    Parameters
    ----------
    model
        The model.
    scenes
        Scenes with the model's bands.
    points
        Points in any CRS, taken where they lie (lines and polygons at their representative point).
    reporter
        Told of progress; may cancel.

    Returns
    -------
    ndarray
        float32 ``(point, class)``; NaN where a point lies on no image.
    """
    reporter = reporter or Reporter()
    found = np.full((len(points), len(model.legend)), np.nan, dtype=np.float32)
    for scene in scenes:
        row, col = locate(scene, points)
        wanted = np.flatnonzero((row >= 0) & np.isnan(found[:, 0]))
        tile = (row[wanted] // TILE_PX) * (1 << 32) + col[wanted] // TILE_PX
        keys = np.unique(tile)
        with reporter.stage("look up", total=len(keys)) as advance:
            for key in keys:
                here = wanted[tile == key]
                found[here] = _predict_tile(model, scene, row[here], col[here])
                advance(1)
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


def _predict_tile(
    model: ModelBundle, scene: Scene, row: NDArray[np.int64], col: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Predict the smallest window around some pixels, with context; NaN where there is no image."""
    margin = max(member.margin_px for member in model.members)
    top, left = int(row.min()) - margin, int(col.min()) - margin
    height, width = int(row.max()) + margin + 1 - top, int(col.max()) + margin + 1 - left
    chip = scene.read(Window(left, top, width, height))
    at = row - top, col - left
    said = model.probabilities(chip.image[None], chip.valid[None])[0][:, at[0], at[1]].T
    return np.where(chip.valid[at][:, None], said, np.float32(np.nan))
