"""Things on grids as torchgeo datasets: found by place, time and scene, and joined layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Self

import numpy as np
import pandas as pd
import rasterio
import shapely
import torch
from geopandas import GeoDataFrame
from numpy.typing import NDArray
from pyproj import CRS as ProjCRS  # noqa: N811
from rasterio.crs import CRS
from rasterio.transform import from_origin
from rasterio.windows import Window
from torchgeo.datasets import GeoDataset, IntersectionDataset, UnionDataset

from geopointseg.errors import RasterError
from geopointseg.raster.grid import Bounds, Grid, transform_coordinates
from geopointseg.sampling.combine import Sample, join_samples, layers_of, overlay_samples
from geopointseg.summary import described

Interval = tuple[datetime, datetime]
Coordinates = tuple[NDArray[np.float64], NDArray[np.float64]]


class ChipIndex(tuple[slice, slice]):  # noqa: SLOT001  (tuples cannot have named slots)
    """The place of a chip: an x and a y slice, as in torchgeo, and the scene and pixels that it is cut from.

    Where scenes overlap, coordinates do not determine on which one a point was digitized, so ``scene`` names it. With
    ``window``, the chip is these pixels of that scene, and no coordinates are converted. ``style`` names a patch in
    memory whose mean and standard deviation per band the chip takes. Datasets of this module use all three; all others
    get two slices.
    """

    scene: str | None
    window: Window | None
    style: str | None

    def __new__(
        cls,
        x: slice,
        y: slice,
        scene: str | None = None,
        window: Window | None = None,
        style: str | None = None,
    ) -> Self:
        """Make an index from two slices in the dataset's coordinates."""
        index = super().__new__(cls, (x, y))
        index.scene, index.window, index.style = scene, window, style
        return index

    def __getnewargs__(self) -> tuple[slice, slice, str | None, Window | None, str | None]:
        return self[0], self[1], self.scene, self.window, self.style


@dataclass(frozen=True)
class ChipQuery:
    """The query of an index: a north-up grid, a time interval, and optionally one scene."""

    grid: Grid
    bounds: Bounds
    time: tuple[pd.Timestamp, pd.Timestamp, int]
    scene: str | None

    def sample(self) -> Sample:
        """Return the start of a sample: bounds and transform."""
        west, south, east, north = self.bounds
        t = self.grid.transform
        first, last, step = self.time
        bounds = (west, east, t.a, south, north, -t.e, first.timestamp(), last.timestamp(), step)
        return {
            "bounds": torch.tensor(bounds, dtype=torch.float64),
            "transform": torch.tensor(tuple(t), dtype=torch.float64),
        }


class GridDataset(GeoDataset):
    """What scenes and sparse masks have in common: things on grids, found by place and time.

    Parameters
    ----------
    grids
        Where each item lies.
    names
        What each item is called in the index; equal names belong to one scene.
    intervals
        First and last moment of each item; always, by default.
    crs, res
        Coordinate reference system and pixel size of the samples; those of the first item by default.
    transforms
        Applied to every sample.
    own_pixels
        Whether chips are cut along each item's own pixels even where its CRS or pixel size differ from the dataset's.
    """

    def __init__(
        self,
        grids: Sequence[Grid],
        names: Sequence[str],
        intervals: Sequence[Interval] | None,
        crs: CRS | None,
        res: float | tuple[float, float] | None,
        transforms: Callable[[Sample], Sample] | None,
        *,
        own_pixels: bool = False,
    ) -> None:
        if not grids:
            raise RasterError(
                f"{type(self).__name__} was given nothing to hold. Expected at least one item; "
                "check the list of files."
            )
        self.grids = tuple(grids)
        self._resolutions = [grid.resolution for grid in self.grids]
        self.names = tuple(names)
        self.paths = list(names)
        self.transforms = transforms
        self.own_pixels = own_pixels
        self.item_of = {name: item for item, name in reversed(list(enumerate(names)))}
        always = (pd.Timestamp.min, pd.Timestamp.max)
        self._times = pd.IntervalIndex.from_tuples(
            [always] * len(grids) if intervals is None else list(intervals),
            closed="both",
            name="datetime",
        )
        self._res = _pair(self.grids[0].resolution if res is None else res)
        self._place(CRS.from_user_input(crs) if crs else self.grids[0].crs)

    def _place(self, crs: CRS) -> None:
        """Lay the index out in a CRS, from the grids, so that going back and forth loses nothing."""
        self.raster_crs = crs
        self._in_crs = [grid.crs == crs for grid in self.grids]
        placed = [_place_item(grid, crs, strict=not self.own_pixels) for grid in self.grids]
        self.boxes = np.array([box for box, _ in placed])
        footprints = [footprint for _, footprint in placed]
        with rasterio.Env(OSR_WKT_FORMAT="WKT2_2018"):
            index_crs = ProjCRS.from_user_input(crs)
        data = {"filepath": list(self.names)}
        self.index = GeoDataFrame(data, index=self._times, geometry=footprints, crs=index_crs)
        self._span = self._times.left.min(), self._times.right.max(), 1
        self._span_s = self._span[0].timestamp(), self._span[1].timestamp(), 1
        self._first, self._last = self._times.left, self._times.right
        self._timeless = len(self._times.unique()) == 1

    @property
    def crs(self) -> ProjCRS:
        """Coordinate reference system of the samples."""
        crs: ProjCRS = self.index.crs
        return crs

    @crs.setter
    def crs(self, new_crs: ProjCRS) -> None:
        if new_crs != self.crs:
            self._place(CRS.from_user_input(new_crs))

    @property
    def res(self) -> tuple[float, float]:
        """Pixel width and height of the samples, in units of the CRS."""
        return self._res

    @res.setter
    def res(self, new_res: float | tuple[float, float]) -> None:
        self._res = _pair(new_res)

    def __and__(self, other: GeoDataset) -> IntersectionDataset:
        """Return the intersection: a sample holds the values of both layers."""
        return LayerDataset(self, other)

    def __or__(self, other: GeoDataset) -> UnionDataset:
        """Return the union: where both have valid pixels or labels, those of the first one are used."""
        return UnionDataset(self, other, collate_fn=overlay_samples)

    def lattice(self, item: int) -> Grid:
        """Return the pixels, in the dataset's CRS and resolution, that chips of an item are cut along.

        They are the item's own pixels where CRS and resolution agree, so that chips are read as they are.
        """
        if self.own_pixels:
            return self.grids[item]
        west, south, east, north = self.boxes[item].tolist()
        width, height = self.res
        rows, cols = (north - south) / height, (east - west) / width
        shape = max(1, int(np.ceil(rows - 1e-6))), max(1, int(np.ceil(cols - 1e-6)))
        return Grid(self.raster_crs, from_origin(west, north, width, height), *shape)

    def _own_window(self, index: Any) -> tuple[int, Window] | None:
        """Return the item and the pixels of it that an index names; None where it names coordinates alone."""
        window = getattr(index, "window", None)
        item = self.item_of.get(index.scene) if window is not None else None
        if item is None or not (self.own_pixels or self._is_at(index, item, window)):
            return None
        return item, window

    def _is_at(self, index: ChipIndex, item: int, window: Window) -> bool:
        """Whether samples have the pixels of an item, and those of a window lie at the coordinates of an index."""
        is_unchanged = self._in_crs[item] and self._res == self._resolutions[item]
        return is_unchanged and _covers(index, self.grids[item], window)

    def _own_sample(self, index: ChipIndex, item: int, window: Window) -> Sample:
        """Return the start of a sample: bounds and transform of an item's own pixels."""
        t, (x, y), (width, height) = self.grids[item].transform, index, self._resolutions[item]
        col, row = window.col_off, window.row_off
        left, top = t.c + col * t.a + row * t.b, t.f + col * t.d + row * t.e
        bounds = (x.start, x.stop, width, y.start, y.stop, height, *self._span_s)
        transform = (t.a, t.b, left, t.d, t.e, top, 0.0, 0.0, 1.0)
        return {
            "bounds": torch.from_numpy(np.array(bounds)),
            "transform": torch.from_numpy(np.array(transform)),
        }

    def _query(self, index: Any) -> ChipQuery:
        parts = (index,) if isinstance(index, slice) else tuple(index)
        if len(parts) == 2 and all(p.start is not None and p.stop is not None for p in parts):
            (x, y), time = parts, self._span
        else:
            x, y, t = self._disambiguate_slice(index)
            time = (t.start, t.stop, t.step)
        width = self.res[0] if x.step is None else float(x.step)
        height = self.res[1] if y.step is None else float(y.step)
        bounds = (float(x.start), float(y.start), float(x.stop), float(y.stop))
        rows, cols = round((bounds[3] - bounds[1]) / height), round((bounds[2] - bounds[0]) / width)
        transform = from_origin(bounds[0], bounds[3], width, height)
        grid = Grid(self.raster_crs, transform, rows, cols)
        return ChipQuery(grid, bounds, time, getattr(index, "scene", None))

    def _items(self, query: ChipQuery) -> Iterator[int]:
        """Yield the items that a query meets; only those of its scene where that is one of ours."""
        west, south, east, north = query.bounds
        boxes = self.boxes
        meets = (boxes[:, 0] < east) & (boxes[:, 2] > west)
        meets &= (boxes[:, 1] < north) & (boxes[:, 3] > south)
        if not self._timeless:
            meets &= np.asarray((self._first <= query.time[1]) & (self._last >= query.time[0]))
        found = np.flatnonzero(meets).tolist()
        if query.scene in self.names:
            found = [item for item in found if self.names[item] == query.scene]
        if not found:
            raise IndexError(
                f"Nothing lies at x {west} to {east}, y {south} to {north}. The dataset covers "
                f"{self.index.total_bounds.tolist()}; ask for a place within it."
            )
        yield from found

    def _finish(self, sample: Sample) -> Sample:
        return sample if self.transforms is None else self.transforms(sample)


@described
class LayerDataset(IntersectionDataset):
    """Layers of one place, joined by `join_samples`, to which more layers can be joined.

    Layers with the same items, each on its own pixels, are joined item by item, and their footprints are not
    intersected.

    Parameters
    ----------
    first, second
        The layers.
    """

    def __init__(self, first: GeoDataset, second: GeoDataset) -> None:
        self.own_pixels = _is_own(first) and _is_own(second) and first.names == second.names  # type: ignore[attr-defined]
        if not self.own_pixels:
            super().__init__(first, second, collate_fn=join_samples)
            return
        self.names, self.index = first.names, first.index  # type: ignore[attr-defined]
        self.datasets, self.collate_fn, self.transforms = [first, second], join_samples, None

    def _summary(self) -> list[str]:
        names = " & ".join(type(layer).__name__ for layer in layers_of(self))
        return [f"LayerDataset: {names}, {len(self)} items"]

    def __and__(self, other: GeoDataset) -> IntersectionDataset:
        """Return the intersection with one more layer."""
        return LayerDataset(self, other)

    def __or__(self, other: GeoDataset) -> UnionDataset:
        """Return the union: where both have valid pixels or labels, those of the first one are used."""
        return UnionDataset(self, other, collate_fn=overlay_samples)


def _is_own(dataset: GeoDataset) -> bool:
    return bool(getattr(dataset, "own_pixels", False))


def _covers(index: ChipIndex, grid: Grid, window: Window) -> bool:
    """Whether the pixels of a window have the coordinates of an index; otherwise the index is of another grid."""
    (x, y), t = index, grid.transform
    left, top = t.c + window.col_off * t.a, t.f + window.row_off * t.e
    errors = (
        x.start - left,
        y.stop - top,
        x.stop - left - window.width * t.a,
        y.start - top - window.height * t.e,
    )
    return t.b == t.d == 0 and max(map(abs, errors)) < 1e-3 * abs(t.a)


def _place_item(grid: Grid, crs: CRS, *, strict: bool) -> tuple[Bounds, shapely.Polygon]:
    """Return box and outline of a grid in a CRS; in its own coordinates if nothing leads there and that is allowed."""
    try:
        return grid.bounds_in(crs), _footprint(grid, crs)
    except RasterError:
        if strict:
            raise
        return grid.bounds, _footprint(grid, grid.crs)


def _footprint(grid: Grid, crs: CRS, steps: int = 21) -> shapely.Polygon:
    """Return the outline of a grid in a CRS, its edges transformed densely where they may bend."""
    height, width = grid.shape
    corners = np.array([[0, 0], [0, width], [height, width], [height, 0], [0, 0]], dtype=float)
    if grid.crs != crs:
        edges = [np.linspace(a, b, steps)[:-1] for a, b in pairwise(corners)]
        corners = np.concatenate(edges)
    x, y = transform_coordinates(*grid.pixel_to_world(corners[:, 0], corners[:, 1]), grid.crs, crs)
    seen = np.isfinite(x) & np.isfinite(y)
    return shapely.Polygon(np.column_stack([x[seen], y[seen]]))


def _pair(res: float | tuple[float, float]) -> tuple[float, float]:
    if isinstance(res, tuple | list):
        return float(res[0]), float(res[1])
    return float(res), float(res)
