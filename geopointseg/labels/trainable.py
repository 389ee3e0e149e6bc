"""Whether points suffice for a training: what is left of each class, counted as training counts it.

The check and the training share these rules, so that what stops a training is told by the check.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geopointseg.labels.points import Points
from geopointseg.labels.sparse_mask import rasterize_points
from geopointseg.legend import Legend
from geopointseg.raster.scene import Scene

NOT_LEARNT = ("validation", "test", "buffer")
"""Parts of a split that training leaves out."""


def select_training(points: Points) -> Points:
    """Return the points that training may learn from."""
    return points.select(~np.isin(points.split, NOT_LEARNT))


def count_training_pixels(
    points: Points, scene: Scene, imaged: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Count the pixels of each class that training learns from on one scene, int64 ``(class,)``.

    Parameters
    ----------
    points
        All points, in any CRS that leads to the scene's.
    scene
        The scene.
    imaged
        Flat positions of the pixels under the points that have an image.
    """
    mask = rasterize_points(select_training(points), scene.grid, scene=scene.name)
    flat = mask.row.astype(np.int64) * scene.grid.width + mask.col
    kept = mask.class_index[np.isin(flat, imaged)].astype(np.int64)
    return np.bincount(kept, minlength=len(points.legend)).astype(np.int64)


def describe_none_left(points: Points, scenes: Sequence[Scene]) -> str:
    """Return the message for points none of which is left for training."""
    return (
        f"None of the {len(points)} points is left for training: all are marked validation, test or buffer, or lie "
        f"outside of {scenes[0].name} or on its nodata. Expected points whose 'split' is empty or train; check that field."
    )


def describe_shortage(counts: NDArray[np.int64], legend: Legend) -> str:
    """Return the message where labelled pixels are too few to learn from, empty where they suffice.

    Parameters
    ----------
    counts
        Labelled pixels of each class, ``(class,)``; at least one in all.
    legend
        The classes.

    Examples
    --------
    >>> describe_shortage(np.array([3, 1]), Legend.from_names(["water", "forest"]))[:50]
    "The class 'forest' has 1 labelled pixel on the sce"
    """
    if (counts > 0).sum() < 2:
        name = legend.names[int(counts.argmax())]
        return (
            f"All {int(counts.sum())} labelled pixels on the scenes are of one class, '{name}'. Expected at least two "
            "classes; collect points of another one."
        )
    single = [legend.names[i] for i in np.flatnonzero(counts == 1)]
    if single:
        return (
            f"The class '{single[0]}' has 1 labelled pixel on the scenes. Expected at least 2 in every class; collect "
            "more points of it, or remove the class from the points."
        )
    return ""
