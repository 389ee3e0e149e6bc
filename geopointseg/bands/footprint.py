"""Boxes of many scenes, compared at once: which cover the same ground, and which share ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.warp import transform_bounds

from geopointseg.raster.scene import Scene

_EQUAL_GROUND = 0.02
_SHARED_GROUND = 0.5


@dataclass(frozen=True)
class Footprints:
    """The boxes of scenes.

    Parameters
    ----------
    boxes
        float64 ``(scene, 4)``: west, south, east, north in each scene's own CRS.
    systems
        The different CRSs.
    system
        int ``(scene,)``: position of each scene's CRS among these.
    """

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
        boxes = np.array([scene.grid.bounds for scene in scenes], np.float64).reshape(-1, 4)
        system = np.array([number[scene.grid.crs.to_wkt()] for scene in scenes], np.int64)
        return cls(boxes, tuple(systems), system)

    def equal(self, which: int) -> NDArray[np.bool_]:
        """Return which scenes cover the box of one, to a few hundredths of its shorter side; bool ``(scene,)``."""
        west, south, east, north = self.boxes[which]
        gaps = np.abs(self.boxes - self.boxes[which]).max(axis=1)
        near = gaps <= _EQUAL_GROUND * min(east - west, north - south)
        return np.asarray(near & (self.system == self.system[which]))

    def sharing(self, which: int) -> NDArray[np.bool_]:
        """Return which scenes share half of the smaller box at least with one, in whatever CRS; bool ``(scene,)``.

        A CRS into which the box cannot be transformed shares nothing.
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
        told = np.array(keys)
        group = np.full(len(keys), -1)
        for k in range(len(keys)):
            if group[k] < 0:
                group[(group < 0) & self.equal(k) & (told == told[k])] = k
        return [np.flatnonzero(group == k).tolist() for k in dict.fromkeys(group.tolist())]

    def _box_in(self, which: int, crs: CRS) -> NDArray[np.float64] | None:
        own = self.systems[self.system[which]]
        if own == crs:
            return np.asarray(self.boxes[which])
        try:
            return np.array(transform_bounds(own, crs, *self.boxes[which]))
        except (
            RasterioError,
            CPLE_BaseError,
            ValueError,
        ):  # a local CRS, or a place it cannot show
            return None


def share_footprint(a: Scene, b: Scene) -> bool:
    """Whether two scenes cover the same box; see `Footprints.equal`."""
    return bool(Footprints.of([a, b]).equal(0)[1])


def share_ground(a: Scene, b: Scene) -> bool:
    """Whether two scenes share half of the smaller box at least; see `Footprints.sharing`."""
    return bool(Footprints.of([a, b]).sharing(0)[1])


def _share(boxes: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.bool_]:
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    smaller = np.minimum(areas, (box[2:] - box[:2]).prod())
    return np.asarray((shared > 0) & (shared >= _SHARED_GROUND * smaller))
