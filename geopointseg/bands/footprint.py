"""Bounding boxes of scenes, compared at once: which are equal, and which overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from geopointseg.errors import RasterError
from geopointseg.raster.coordinates import x_period_of
from geopointseg.raster.grid import Grid
from geopointseg.raster.scene import Scene

_EQUAL_SHARE = 0.02
_OVERLAP_SHARE = 0.5


@dataclass(frozen=True)
class Footprints:
    """The boxes of scenes.

    Parameters
    ----------
    grids
        The scenes' grids, shifted by 360 degrees to the first one of their CRS.
    boxes
        float64 ``(scene, 4)``: west, south, east, north in each scene's own CRS.
    systems
        The different CRSs.
    system
        int ``(scene,)``: position of each scene's CRS among these.
    """

    grids: tuple[Grid, ...]
    boxes: NDArray[np.float64]
    systems: tuple[CRS, ...]
    system: NDArray[np.int64]

    @classmethod
    def of(cls, scenes: Sequence[Scene]) -> Footprints:
        """Return the boxes of scenes."""
        systems: list[CRS] = []
        number: dict[str, int] = {}
        for crs in (scene.grid.crs for scene in scenes):
            text = crs.to_wkt()
            if text not in number:
                equal = next((k for k, known in enumerate(systems) if known == crs), len(systems))
                number[text] = equal
                systems += [crs] * (equal == len(systems))
        system = [number[scene.grid.crs.to_wkt()] for scene in scenes]
        first = {k: scene.grid for k, scene in reversed([*zip(system, scenes, strict=True)])}
        goes_around = [x_period_of(crs) is not None for crs in systems]
        grids = [
            scene.grid.shifted_towards(first[k]) if goes_around[k] else scene.grid
            for k, scene in zip(system, scenes, strict=True)
        ]
        boxes = np.array([grid.bounds for grid in grids], np.float64).reshape(-1, 4)
        return cls(tuple(grids), boxes, tuple(systems), np.array(system, np.int64))

    def equal(self, which: int) -> NDArray[np.bool_]:
        """Return which scenes cover the box of one, to a few hundredths of its shorter side; bool ``(scene,)``."""
        west, south, east, north = self.boxes[which]
        gaps = np.abs(self.boxes - self.boxes[which]).max(axis=1)
        near = gaps <= _EQUAL_SHARE * min(east - west, north - south)
        return np.asarray(near & (self.system == self.system[which]))

    def overlapping(self, which: int) -> NDArray[np.bool_]:
        """Return which scenes share half of the smaller box at least with one, in whatever CRS; bool ``(scene,)``.

        A scene in a CRS to which the box cannot be transformed does not overlap.
        """
        shared = np.zeros(len(self.boxes), bool)
        for number, crs in enumerate(self.systems):
            box = self._box_in(which, crs)
            if box is not None:
                here = self.system == number
                shared[here] = _share(self.boxes[here], box)
        return shared

    def groups(self, keys: Sequence[str]) -> list[list[int]]:
        """Return the positions of scenes that cover one box and have one key (their date, or an empty text)."""
        of_key = np.array(keys)
        group = np.full(len(keys), -1)
        for k in range(len(keys)):
            if group[k] < 0:
                group[(group < 0) & self.equal(k) & (of_key == of_key[k])] = k
        return [np.flatnonzero(group == k).tolist() for k in dict.fromkeys(group.tolist())]

    def _box_in(self, which: int, crs: CRS) -> NDArray[np.float64] | None:
        try:
            return np.array(self.grids[which].bounds_in(crs))
        except RasterError:  # a local CRS, or a place that it cannot show
            return None


def share_footprint(a: Scene, b: Scene) -> bool:
    """Whether two scenes cover the same box; see `Footprints.equal`."""
    return bool(Footprints.of([a, b]).equal(0)[1])


def do_overlap(a: Scene, b: Scene) -> bool:
    """Whether two scenes share half of the smaller box at least; see `Footprints.overlapping`."""
    return bool(Footprints.of([a, b]).overlapping(0)[1])


def _share(boxes: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.bool_]:
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    smaller = np.minimum(areas, (box[2:] - box[:2]).prod())
    return np.asarray((shared > 0) & (shared >= _OVERLAP_SHARE * smaller))
