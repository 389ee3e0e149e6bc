"""Measurements on points and scenes, from which problems of points are found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from geopointseg.labels.placement import Placement
from geopointseg.labels.point_spread import Spread, measure_spread
from geopointseg.labels.points import Points
from geopointseg.raster.geodesy import Positions
from geopointseg.raster.pixel_area import PixelAreas
from geopointseg.raster.scene import Scene
from geopointseg.summary import described


@described
@dataclass(frozen=True)
class ClassCheck:
    """Counts of the points of one class.

    Parameters
    ----------
    code, name
        The class.
    points
        Number of points.
    usable
        Points of a weight above zero on valid pixels, without conflicts and duplicates.
    outside, nodata, conflicts, duplicates
        Points on no scene, on nodata, in a pixel that also has a point of another class, and in a pixel that has an
        earlier point of the same class.
    spread
        Distances to the nearest neighbour of the same class.
    """

    code: int
    name: str
    points: int
    usable: int
    outside: int
    nodata: int
    conflicts: int
    duplicates: int
    spread: Spread


@dataclass(frozen=True)
class Evidence:
    """Everything that the rules of `point_problems` need.

    Parameters
    ----------
    points, scenes
        What is checked.
    chip_size
        Side of a training chip in pixels.
    placement
        Where the points lie on the scenes.
    classes
        Counts by class, in legend order.
    spread
        Distances to the nearest neighbour of any class.
    near_training
        Held-out points with a training point within a chip, bool ``(point,)``.
    near_fold
        Points of a fold with a point of another fold within a chip, bool ``(point,)``.
    """

    points: Points
    scenes: Sequence[Scene]
    chip_size: int
    placement: Placement
    classes: tuple[ClassCheck, ...]
    spread: Spread
    near_training: NDArray[np.bool_]
    near_fold: NDArray[np.bool_]

    @property
    def usable_count(self) -> int:
        """Number of usable points of all classes."""
        return sum(row.usable for row in self.classes)

    @property
    def present(self) -> list[ClassCheck]:
        """The classes with usable points, in legend order."""
        return [row for row in self.classes if row.usable]

    @property
    def inside_count(self) -> int:
        """Number of points on any scene."""
        return int(self.placement.inside.sum())

    @cached_property
    def names_no_scene(self) -> NDArray[np.bool_]:
        """Which points name a scene in their field ``scene`` that is not among the scenes, bool ``(point,)``."""
        unknown = np.ones(len(self.points), dtype=bool)
        for scene in self.scenes:
            unknown &= ~self.points.belong_to(scene.name)
        return unknown


def gather_evidence(
    points: Points, scenes: Sequence[Scene], placement: Placement, chip_size: int
) -> Evidence:
    """Measure what the rules need.

    Parameters
    ----------
    points, scenes
        What is checked.
    placement
        Where the points lie on the scenes.
    chip_size
        Side of a training chip in pixels.

    Returns
    -------
    Evidence
        Counts, distances and flags.
    """
    positions = Positions.of(points.x, points.y, points.crs)
    area = sum(float(PixelAreas.of(s.grid).by_row.sum()) * s.grid.width for s in scenes)

    def check_class(index: int) -> ClassCheck:
        mine = points.class_index == index
        flags = {
            "points": mine,
            "usable": mine & placement.usable & (points.weight > 0),
            "outside": mine & ~placement.inside,
            "nodata": mine & placement.inside & ~placement.valid,
            "conflicts": mine & placement.conflict,
            "duplicates": mine & placement.duplicate,
        }
        entry = points.legend.entries[index]
        spread = measure_spread(positions.select(mine & placement.inside), area)
        counts = {name: int(flag.sum()) for name, flag in flags.items()}
        return ClassCheck(entry.code, entry.name, **counts, spread=spread)

    split = points.split
    held_out = np.isin(split, ("test", "validation"))
    in_fold = np.char.startswith(split, "fold")
    near_fold = np.zeros(len(points), dtype=bool)
    for name in np.unique(split[in_fold]).tolist():
        near_fold |= _near(placement, split == name, in_fold & (split != name), chip_size)
    return Evidence(
        points,
        scenes,
        chip_size,
        placement,
        tuple(check_class(index) for index in range(len(points.legend))),
        measure_spread(positions.select(placement.inside), area),
        _near(placement, held_out, split == "train", chip_size),
        near_fold,
    )


def _near(
    placement: Placement, chosen: NDArray[np.bool_], others: NDArray[np.bool_], distance_px: float
) -> NDArray[np.bool_]:
    """Return which of the chosen points have one of the others within a square distance on the same scene."""
    from scipy.spatial import cKDTree

    near = np.zeros(len(chosen), dtype=bool)
    place = np.column_stack([placement.row, placement.col])
    for scene in np.unique(placement.scene[placement.scene >= 0]).tolist():
        here = placement.scene == scene
        if (here & chosen).any() and (here & others).any():
            distance, _ = cKDTree(place[here & others]).query(place[here & chosen], p=np.inf)
            near[here & chosen] = distance < distance_px
    return near
