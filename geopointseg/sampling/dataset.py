"""Scenes and sparse masks as torchgeo datasets.

They combine with ``&`` and ``|`` among themselves and with torchgeo's own datasets, and differ from them in three
ways. Pixels that coincide with the query are read as they are; only others are resampled. A query may reach
beyond the imagery: what lies outside is there, with ``valid`` False. And *unlabelled* is -1 in the mask, so that no
class stands for it.

Samples hold ``image`` float32 ``(band, row, col)``, ``valid`` bool ``(row, col)``, ``mask`` int64 ``(row, col)``,
``weight`` float32 ``(row, col)``, each where the dataset knows it, and ``bounds`` and ``transform`` as float64,
which metres in UTM need.
"""

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
from rasterio.env import get_gdal_config, set_gdal_config
from rasterio.transform import from_origin
from torchgeo.datasets import GeoDataset, IntersectionDataset, UnionDataset

from geopointseg.errors import RasterError
from geopointseg.labels.sparse_mask import UNLABELLED, SparseMask
from geopointseg.raster.grid import Bounds, Grid, crs_name, transform_coordinates
from geopointseg.raster.scene import Chip, Scene, ScenePath
from geopointseg.raster.warp import align, read_onto
from geopointseg.sampling.combine import Sample, join_samples, overlay_samples
from geopointseg.summary import described

Interval = tuple[datetime, datetime]
Coordinates = tuple[NDArray[np.float64], NDArray[np.float64]]


class ChipIndex(tuple[slice, slice]):  # noqa: SLOT001  (tuples cannot have named slots)
    """Where a chip lies: an x and a y slice, as torchgeo knows them, and which scene it is cut from.

    Where scenes overlap, coordinates alone do not say which one a point was clicked on. Datasets of this module
    look at ``scene``; all others see two slices.
    """

    scene: str | None

    def __new__(cls, x: slice, y: slice, scene: str | None = None) -> Self:
        """Make an index from two slices in the dataset's coordinates."""
        index = super().__new__(cls, (x, y))
        index.scene = scene
        return index

    def __getnewargs__(self) -> tuple[slice, slice, str | None]:
        return self[0], self[1], self.scene


@dataclass(frozen=True)
class _Query:
    """What an index asks for: a north-up grid, a stretch of time, and perhaps one scene."""

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
    """

    def __init__(
        self,
        grids: Sequence[Grid],
        names: Sequence[str],
        intervals: Sequence[Interval] | None,
        crs: CRS | None,
        res: float | tuple[float, float] | None,
        transforms: Callable[[Sample], Sample] | None,
    ) -> None:
        if not grids:
            raise RasterError(
                f"{type(self).__name__} was given nothing to hold. Expected at least one item; "
                "check the list of files."
            )
        self.grids = tuple(grids)
        self.names = tuple(names)
        self.paths = list(names)
        self.transforms = transforms
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
        self.boxes = np.array([grid.bounds_in(crs) for grid in self.grids])
        footprints = [_footprint(grid, crs) for grid in self.grids]
        with rasterio.Env(OSR_WKT_FORMAT="WKT2_2018"):
            index_crs = ProjCRS.from_user_input(crs)
        data = {"filepath": list(self.names)}
        self.index = GeoDataFrame(data, index=self._times, geometry=footprints, crs=index_crs)
        self._span = self._times.left.min(), self._times.right.max(), 1
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
        """Join layers: where both know something, a sample holds what both know."""
        return IntersectionDataset(self, other, collate_fn=join_samples)

    def __or__(self, other: GeoDataset) -> UnionDataset:
        """Take either: where both know something, the first one's valid pixels and labels win."""
        return UnionDataset(self, other, collate_fn=overlay_samples)

    def lattice(self, item: int) -> Grid:
        """Return the pixels, in the dataset's CRS and resolution, that chips of an item are cut along.

        They are the item's own pixels where CRS and resolution agree, so that chips are read as they are.
        """
        west, south, east, north = self.boxes[item].tolist()
        width, height = self.res
        rows, cols = (north - south) / height, (east - west) / width
        shape = max(1, int(np.ceil(rows - 1e-6))), max(1, int(np.ceil(cols - 1e-6)))
        return Grid(self.raster_crs, from_origin(west, north, width, height), *shape)

    def _query(self, index: Any) -> _Query:
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
        return _Query(grid, bounds, time, getattr(index, "scene", None))

    def _items(self, query: _Query) -> Iterator[int]:
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
class SceneDataset(GridDataset):
    """Imagery as a torchgeo dataset: any number of scenes, in any CRS and resolution.

    Scenes are described when the dataset is made and opened when they are read, one handle a thread and file and
    only a few at a time, so that thousands of scenes can be held and the dataset can be sent to worker processes.

    Parameters
    ----------
    scenes
        Scenes or paths; all with the same number of bands. Where several show the same ground, the first that is
        valid there is seen, unless the query names one (`ChipIndex`).
    crs, res
        CRS and pixel size of the samples; those of the first scene by default. Scenes that differ are resampled
        bilinearly as they are read.
    intervals
        First and last moment of each scene; always, by default.
    transforms
        Applied to every sample.
    cache_mb
        Decoded imagery that GDAL may keep, in each process. Chips drawn at random come back to the same blocks of a
        file again and again, and decoding them costs far more than cutting chips out of them.

    Raises
    ------
    RasterError
        If there is no scene, or the scenes' numbers of bands differ.
    """

    def __init__(
        self,
        scenes: Sequence[Scene | ScenePath],
        *,
        crs: CRS | None = None,
        res: float | tuple[float, float] | None = None,
        intervals: Sequence[Interval] | None = None,
        transforms: Callable[[Sample], Sample] | None = None,
        cache_mb: int = 512,
    ) -> None:
        self.cache_mb = cache_mb
        self.scenes = tuple(s if isinstance(s, Scene) else Scene.open(s) for s in scenes)
        for scene in self.scenes:
            _require_same_bands(self.scenes[0], scene)
        super().__init__(
            [scene.grid for scene in self.scenes],
            [scene.path for scene in self.scenes],
            intervals,
            crs,
            res,
            transforms,
        )

    def _summary(self) -> list[str]:
        return [
            f"SceneDataset: {len(self.grids)} scenes, {crs_name(CRS.from_user_input(self.crs))}"
        ]

    def read(self, index: Any) -> Chip:
        """Read the pixels of an index as arrays; what `__getitem__` returns as tensors."""
        return self._read(self._query(index))

    def _read(self, query: _Query) -> Chip:
        items = self._items(query)
        _allow_cache(self.cache_mb)
        chip = read_onto(self.scenes[next(items)], query.grid)
        for item in items:
            if chip.valid.all():
                break
            below = read_onto(self.scenes[item], query.grid)
            chip = Chip(
                np.where(chip.valid, chip.image, below.image),
                chip.valid | below.valid,
                chip.undeclared_nan + below.undeclared_nan,
            )
        return chip

    def __getitem__(self, index: Any) -> Sample:
        """Return image and validity at x, y and time slices, in the dataset's CRS.

        Raises
        ------
        IndexError
            If no scene meets the index.
        """
        query = self._query(index)
        chip = self._read(query)
        sample = query.sample()
        sample["image"] = torch.from_numpy(chip.image)
        sample["valid"] = torch.from_numpy(chip.valid)
        return self._finish(sample)


@described
class SparseMaskDataset(GridDataset):
    """Labelled pixels as a torchgeo dataset.

    On the mask's own pixels a chip is the mask, cut out. On any other grid each label is moved by the centre of its
    pixel, which loses none and doubles none, as picking the nearest pixel would; where two meet in one pixel the
    heavier stays.

    Parameters
    ----------
    masks
        Sparse masks.
    scenes
        Which scene each mask belongs to, in the masks' order: chips of a scene then see its labels alone. Without
        it a label counts on every scene that shows its ground.
    crs, res, intervals, transforms
        As for `SceneDataset`.
    """

    def __init__(
        self,
        masks: Sequence[SparseMask],
        *,
        scenes: Sequence[Scene | ScenePath] | None = None,
        crs: CRS | None = None,
        res: float | tuple[float, float] | None = None,
        intervals: Sequence[Interval] | None = None,
        transforms: Callable[[Sample], Sample] | None = None,
    ) -> None:
        self.masks = tuple(masks)
        self.is_tied = scenes is not None
        if scenes is not None and len(scenes) != len(masks):
            raise RasterError(
                f"{len(masks)} sparse masks came with {len(scenes)} scenes. Expected one scene for each mask; "
                "give the lists in the same order."
            )
        names = ["" for _ in masks] if scenes is None else [_name(scene) for scene in scenes]
        super().__init__([m.grid for m in masks], names, intervals, crs, res, transforms)

    def _summary(self) -> list[str]:
        return [
            f"SparseMaskDataset: {len(self.grids)} masks, {crs_name(CRS.from_user_input(self.crs))}"
        ]

    def _place(self, crs: CRS) -> None:
        super()._place(crs)
        self._coordinates: dict[int, Coordinates] = {}
        self._by_y: dict[int, NDArray[np.int64]] = {}

    def coordinates(self, item: int) -> Coordinates:
        """Return x and y of the labelled pixels' centres of one mask, in the dataset's CRS."""
        if item not in self._coordinates:
            mask = self.masks[item]
            x, y = mask.grid.pixel_to_world(mask.row + 0.5, mask.col + 0.5)
            placed = transform_coordinates(x, y, mask.grid.crs, self.raster_crs)
            self._coordinates[item] = placed
        return self._coordinates[item]

    def __getitem__(self, index: Any) -> Sample:
        """Return mask and weight at x, y and time slices, in the dataset's CRS.

        Raises
        ------
        IndexError
            If no mask meets the index.
        """
        query = self._query(index)
        items = self._items(query)
        labels, weight = self._labels(next(items), query.grid)
        for item in items:
            below, below_weight = self._labels(item, query.grid)
            free = labels == UNLABELLED
            labels, weight = np.where(free, below, labels), np.where(free, below_weight, weight)
        sample = query.sample()
        sample["mask"] = torch.from_numpy(labels)
        sample["weight"] = torch.from_numpy(weight)
        return self._finish(sample)

    def _labels(self, item: int, grid: Grid) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        mask = self.masks[item]
        alignment = align(mask.grid, grid)
        if alignment is None:
            return self._moved_labels(item, grid)
        labels, weight = mask.window(alignment.window)
        return alignment.apply(labels), alignment.apply(weight)

    def _moved_labels(self, item: int, grid: Grid) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        mask = self.masks[item]
        near = self._near(item, grid)
        x, y = self.coordinates(item)
        row, col = grid.world_to_pixel(x[near], y[near])
        inside = (row > -1e-6) & (row < grid.height + 1e-6)
        inside &= (col > -1e-6) & (col < grid.width + 1e-6)
        near, row, col = near[inside], row[inside], col[inside]
        order = np.lexsort((-near, mask.weight[near]))
        near = near[order]
        rows = np.floor(row[order]).astype(np.int64).clip(0, grid.height - 1)
        cols = np.floor(col[order]).astype(np.int64).clip(0, grid.width - 1)
        labels = np.full(grid.shape, UNLABELLED, dtype=np.int64)
        weight = np.zeros(grid.shape, dtype=np.float32)
        labels[rows, cols] = mask.class_index[near]
        weight[rows, cols] = mask.weight[near]
        return labels, weight

    def _near(self, item: int, grid: Grid) -> NDArray[np.int64]:
        """Return the labels in the rows of a grid, in the mask's order."""
        _, y = self.coordinates(item)
        if item not in self._by_y:
            self._by_y[item] = np.argsort(y, kind="stable")
        order = self._by_y[item]
        _, south, _, north = grid.bounds
        margin = grid.resolution[1]
        first, last = np.searchsorted(y, [south - margin, north + margin], sorter=order)
        return np.sort(order[first:last])


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


def _allow_cache(megabytes: int) -> None:
    """Let GDAL keep that much decoded imagery in this process; never less than it may already."""
    if get_gdal_config("GDAL_CACHEMAX") < megabytes << 20:
        set_gdal_config("GDAL_CACHEMAX", megabytes << 20)


def _pair(res: float | tuple[float, float]) -> tuple[float, float]:
    if isinstance(res, tuple | list):
        return float(res[0]), float(res[1])
    return float(res), float(res)


def _name(scene: Scene | ScenePath) -> str:
    return scene.path if isinstance(scene, Scene) else str(scene)


def _require_same_bands(first: Scene, other: Scene) -> None:
    if len(first.bands) != len(other.bands):
        raise RasterError(
            f"'{other.name}' has {len(other.bands)} bands and '{first.name}' has {len(first.bands)}. Expected the same "
            "bands in all scenes of a dataset; choose them with Scene.open(path, bands=[...])."
        )
