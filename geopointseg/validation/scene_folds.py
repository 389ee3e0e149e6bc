"""Folds that are scenes: each is mapped by a model that has not seen it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geopointseg.errors import PointsError
from geopointseg.labels.block_split import Fold, assign_blocks
from geopointseg.labels.points import Points
from geopointseg.progress import Reporter
from geopointseg.raster.scene import Scene

_FOLD = "fold"
_DRAWS = 200


def divide_by_scene(
    points: Points,
    scenes: Sequence[Scene],
    block_size_m: float,
    *,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> Points:
    """Give each point the scene on which it is tested, as a fold for `iterate_folds`.

    Where several scenes show the same ground, each block of ground is tested on one of them, drawn so that classes are
    shared out evenly. So
    neither the scene nor the ground of a test point was learnt from, also where the scenes are dates of one place.

    Parameters
    ----------
    points
        Labelled points; those that name a scene belong to that one.
    scenes
        The scenes.
    block_size_m
        Side of a block of ground.
    seed
        Decides the draw.
    reporter
        Warned of scenes without points.

    Returns
    -------
    Points
        With ``fold1`` for the first scene and so on in ``split``; empty for points that no scene shows.

    Raises
    ------
    PointsError
        If fewer than two scenes have points.
    """
    shown = np.stack([_on_scene(points, scene) for scene in scenes])
    block = assign_blocks(points, block_size_m)
    place = _draw_places(shown, block, points.class_index, np.random.default_rng(seed))
    split = np.where(shown.any(axis=0), [f"{_FOLD}{k + 1}" for k in place], "")
    tested = [k for k in range(len(scenes)) if (split == f"{_FOLD}{k + 1}").any()]
    if len(tested) < 2:
        raise PointsError(
            f"{len(tested)} of the {len(scenes)} scenes show points to be tested on. Expected two at least, so that one "
            "can be left out; name more scenes, or hold out blocks of ground."
        )
    idle = [scene.name for k, scene in enumerate(scenes) if k not in tested]
    if idle:
        (reporter or Reporter()).warn(
            f"No point is tested on {', '.join(idle[:5])}; the other {len(tested)} scenes are left out in turn."
        )
    return points.with_split(split.tolist())


def fold_scene(fold: Fold) -> int:
    """Return the position of the scene that a fold tests."""
    return int(fold.name.removeprefix(_FOLD)) - 1


def _draw_places(
    shown: NDArray[np.bool_],
    block: NDArray[np.int64],
    class_index: NDArray[np.int64],
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """Return the scene of each point: of many draws of blocks, the one that shares out classes most evenly."""
    scenes, classes = len(shown), int(class_index.max(initial=0)) + 1
    best, chosen = np.inf, np.zeros(shown.shape[1], dtype=np.int64)
    for _ in range(_DRAWS):
        luck = generator.random((scenes, int(block.max(initial=0)) + 1))
        place = np.where(shown, luck[:, block], -1.0).argmax(axis=0)
        counts = np.bincount(place * classes + class_index, minlength=scenes * classes)
        uneven = float(np.square(counts, dtype=np.float64).sum())
        if uneven < best:
            best, chosen = uneven, place
    return chosen


def _on_scene(points: Points, scene: Scene) -> NDArray[np.bool_]:
    """Return which points belong to a scene and lie within its rectangle."""
    moved = points.to_crs(scene.grid.crs)
    row, col = scene.grid.world_to_pixel(moved.x, moved.y)
    height, width = scene.grid.shape
    inside = (row >= 0) & (row < height) & (col >= 0) & (col < width)
    return np.asarray(inside & points.belong_to(scene.name))
