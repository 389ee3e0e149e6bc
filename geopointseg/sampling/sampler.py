"""Samplers of chips: around labels, over a grid, or anywhere with an image.

All samplers are torchgeo `SpatialSampler` and go into any ``DataLoader`` or, by ``@``, together with torchgeo's temporal
samplers. Chips are cut along the pixels of the scene they come from, aligned with its pixel grid, so nothing is
resampled where the dataset has the scene's own CRS and resolution.

The random samplers are seeded: the seed and the number of the epoch determine every draw. Each pass is a new epoch;
`set_epoch` sets its number when a training is resumed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.transform import from_origin
from rasterio.windows import Window
from torchgeo.datasets import GeoDataset
from torchgeo.samplers import SpatialSampler

from geopointseg.errors import PointsError, RasterError
from geopointseg.raster.grid import Bounds, Grid, transform_coordinates
from geopointseg.raster.scene import Scene
from geopointseg.raster.warp import read_onto
from geopointseg.sampling.combine import layers_of
from geopointseg.sampling.dataset import SceneDataset, SparseMaskDataset
from geopointseg.sampling.grid_dataset import ChipIndex, GridDataset
from geopointseg.sampling.patch import LabelledPixels, Patch
from geopointseg.sampling.priority_drawing import (
    draw_labels,
    jitter_positions,
    keep_inside,
    window_offsets,
)
from geopointseg.summary import described


@dataclass(frozen=True)
class _Place:
    """Where chips are cut from: pixels in the dataset's CRS, and their scene where there is one.

    Parameters
    ----------
    lattice
        The pixels that chips are cut along.
    name
        What the scene is called in the dataset.
    scene
        The scene or patch.
    box
        West, south, east and north in the dataset's CRS.
    is_own
        Whether the pixels are the scene's own.
    """

    lattice: Grid
    name: str | None = None
    scene: Scene | Patch | None = None
    box: Bounds | None = None
    is_own: bool = False

    def index(self, top: int, left: int, size: int) -> ChipIndex:
        """Return the index of a chip whose first pixel is given."""
        t = self.lattice.transform
        x = slice(t.c + left * t.a, t.c + (left + size) * t.a)
        y = slice(t.f + (top + size) * t.e, t.f + top * t.e)
        if (
            self.box
        ):  # by linear interpolation, because rows and columns need not run along the axes
            west, south, east, north = self.box
            width, height = (
                (east - west) / self.lattice.width,
                (north - south) / self.lattice.height,
            )
            x = slice(west + left * width, west + (left + size) * width)
            y = slice(north - (top + size) * height, north - top * height)
        window = Window(left, top, size, size) if self.is_own else None
        return ChipIndex(x, y, self.name, window)

    def valid_share(self, index: ChipIndex) -> float:
        """Return the share of a chip that holds an image; 1 where the scene cannot lack any."""
        scene = self.scene
        if scene is None or not _may_lack_pixels(scene):
            return 1.0
        if index.window is not None:
            return float(scene.read(index.window).valid.mean())
        (x, y), t = index, self.lattice.transform
        side = round((x.stop - x.start) / t.a)
        grid = Grid(self.lattice.crs, from_origin(x.start, y.stop, t.a, -t.e), side, side)
        return float(read_onto(cast("Scene", scene), grid).valid.mean())


class ChipSampler(SpatialSampler):
    """Base of the samplers: square chips, cut along the pixels of scenes.

    Parameters
    ----------
    dataset
        What chips will be read from: one dataset or a combination of any.
    size
        Side of a chip in pixels.
    roi
        Region to draw from, in the dataset's CRS; all of the dataset by default.
    """

    strategy: Literal["random", "sequential"] = "random"

    def __init__(self, dataset: GeoDataset, *, size: int, roi: shapely.Polygon | None) -> None:
        super().__init__(dataset, roi=roi)
        if size < 1:
            raise RasterError(
                f"The chip size is {size} pixels. Expected at least 1; choose for example 96."
            )
        if self.geometry.is_empty:
            raise RasterError(
                f"The region of interest ({_extent(roi)}) lies outside the dataset ({_extent(self.bounds)}). Expected "
                "them to overlap; give the region in the dataset's CRS."
            )
        self.size = size
        self.crs = CRS.from_user_input(dataset.crs)
        self.is_everywhere = roi is None and bool(getattr(dataset, "own_pixels", False))
        """Whether all pixels of all scenes are sampled, so that no coordinates have to be compared."""
        shapely.prepare(self.geometry)


class _SeededSampler(ChipSampler):
    """A random sampler whose draws follow from a seed and the number of the epoch."""

    def __init__(
        self, dataset: GeoDataset, *, size: int, roi: shapely.Polygon | None, seed: int
    ) -> None:
        super().__init__(dataset, size=size, roi=roi)
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next pass draws."""
        self.epoch = epoch

    def _next_generator(self) -> np.random.Generator:
        generator = np.random.default_rng([self.seed, self.epoch])
        self.epoch += 1
        return generator


@described
class PointSampler(_SeededSampler):
    """Chips around labelled pixels, balanced over classes.

    Every chip holds the label it was drawn for. Labels at the very border of a scene are drawn as often as any; their
    chips are moved inside where the scene is large enough, and padded where it is not.

    Parameters
    ----------
    dataset
        A combination with at least one `SparseMaskDataset`, such as ``scenes & masks``.
    size
        Side of a chip in pixels.
    length
        Number of chips in an epoch; the number of labels by default.
    balance
        0 draws labels as they are, 1 draws every class equally often.
    jitter
        How far a label may lie from its chip's centre, as a share of half the chip.
    inside
        Whether chips are moved back over the scene's border. If not, they are padded there.
    roi
        Region that the labels must lie in, in the dataset's CRS.
    seed
        Decides all draws, together with the epoch.

    Raises
    ------
    PointsError
        If the dataset holds no sparse mask, or no label lies on its scenes.

    Examples
    --------
    ::

        dataset = SceneDataset(["scene.tif"]) & SparseMaskDataset([mask])
        sampler = PointSampler(dataset, size=96, balance=0.5, seed=1)
        loader = DataLoader(dataset, batch_size=8, sampler=sampler, collate_fn=stack_samples)
    """

    def __init__(
        self,
        dataset: GeoDataset,
        *,
        size: int,
        length: int | None = None,
        balance: float = 0.5,
        jitter: float = 0.9,
        inside: bool = True,
        roi: shapely.Polygon | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(dataset, size=size, roi=roi, seed=seed)
        self.balance, self.jitter, self.inside = balance, jitter, inside
        self._places, self.labels = _collect_labels(dataset)
        self.labels = self._on_region(self.labels, exact=roi is not None)
        if not len(self.labels):
            raise PointsError(
                f"No label lies on the dataset's scenes ({_extent(self.geometry.bounds)}). Expected at least one; check "
                "with `check_points` that points and scenes lie on the same ground."
            )
        self._length = length or len(self.labels)

    def _summary(self) -> list[str]:
        return [f"PointSampler: {len(self)} chips of {self.size} pixels"]

    def _on_region(self, labels: LabelledPixels, *, exact: bool) -> LabelledPixels:
        """Return the labels on the region; without one, those within a pixel of the dataset's outline."""
        if self.is_everywhere:
            return labels
        region = self.geometry if exact else shapely.buffer(self.geometry, max(self.res))
        x, y = np.empty(len(labels)), np.empty(len(labels))
        for number, place in enumerate(self._places):
            on = labels.patch == number
            x[on], y[on] = place.lattice.pixel_to_world(labels.row[on] + 0.5, labels.col[on] + 0.5)
            if place.lattice.crs != self.crs:
                x[on], y[on] = transform_coordinates(x[on], y[on], place.lattice.crs, self.crs)
        return labels.select(np.asarray(shapely.contains_xy(region, x, y)))

    def __iter__(self) -> Iterator[ChipIndex]:
        """Draw the chips of one epoch."""
        generator = self._next_generator()
        count, size = len(self), self.size
        drawn = draw_labels(self.labels.class_index, count, self.balance, generator)
        place = self.labels.patch[drawn]
        top = self.labels.row[drawn] - jitter_positions(count, size, self.jitter, generator)
        left = self.labels.col[drawn] - jitter_positions(count, size, self.jitter, generator)
        if self.inside:
            shapes = np.array([p.lattice.shape for p in self._places])[place]
            top = keep_inside(top, size, shapes[:, 0])
            left = keep_inside(left, size, shapes[:, 1])
        for number, row, col in zip(place.tolist(), top.tolist(), left.tolist(), strict=True):
            yield self._places[number].index(row, col, size)


@described
class GridSampler(ChipSampler):
    """Chips that cover every scene, row by row.

    The last chip of a row or column ends at the scene's border, so no pixel is left out and none is padded unless the
    scene is smaller than a chip.

    Parameters
    ----------
    dataset
        Any dataset.
    size
        Side of a chip in pixels.
    stride
        Distance of neighbouring chips in pixels; by default they touch.
    roi
        Region that chips must meet, in the dataset's CRS.
    """

    strategy: Literal["random", "sequential"] = "sequential"

    def __init__(
        self,
        dataset: GeoDataset,
        *,
        size: int,
        stride: int | None = None,
        roi: shapely.Polygon | None = None,
    ) -> None:
        super().__init__(dataset, size=size, roi=roi)
        self.stride = size if stride is None else stride
        if self.stride < 1:
            raise RasterError(
                f"The stride is {stride} pixels. Expected at least 1, and at most the chip size ({size}) to cover all."
            )
        self._places = _scene_places(dataset)

    def _summary(self) -> list[str]:
        return [f"GridSampler: chips of {self.size} pixels, {self.stride} apart"]

    def __iter__(self) -> Iterator[ChipIndex]:
        """Yield the chips scene by scene, north to south, west to east."""
        for place in self._places:
            rows, cols = place.lattice.shape
            for top in window_offsets(rows, self.size, self.stride):
                for left in window_offsets(cols, self.size, self.stride):
                    index = place.index(top, left, self.size)
                    if self._meets(index):
                        yield index

    def _meets(self, index: ChipIndex) -> bool:
        if self.is_everywhere:
            return True
        x, y = index
        box = shapely.box(x.start, y.start, x.stop, y.stop)
        return bool(self.geometry.intersects(box) and not self.geometry.touches(box))


@described
class UnlabelledSampler(_SeededSampler):
    """Chips anywhere with an image, for learning from unlabelled pixels.

    Scenes are drawn in proportion to their area. Where scenes can hold nodata, a chip is read before it is yielded, and
    drawn again while too few of its pixels are valid.

    Parameters
    ----------
    dataset
        Any dataset.
    size
        Side of a chip in pixels.
    length
        Number of chips in an epoch; as many as would cover the scenes once by default.
    min_valid
        Share of a chip's pixels that must hold an image, where that can be had.
    roi
        Region that the chips' centres must lie in, in the dataset's CRS.
    seed
        Decides all draws, together with the epoch.
    """

    def __init__(
        self,
        dataset: GeoDataset,
        *,
        size: int,
        length: int | None = None,
        min_valid: float = 0.5,
        roi: shapely.Polygon | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(dataset, size=size, roi=roi, seed=seed)
        self.min_valid = min_valid
        self._places = _scene_places(dataset)
        areas = np.array([p.lattice.height * p.lattice.width for p in self._places], dtype=float)
        self._up_to = areas.cumsum() / areas.sum()
        self._length = length or max(1, round(areas.sum() / size**2))

    def _summary(self) -> list[str]:
        return [f"UnlabelledSampler: {len(self)} chips of {self.size} pixels"]

    def __iter__(self) -> Iterator[ChipIndex]:
        """Draw the chips of one epoch."""
        generator = self._next_generator()
        for _ in range(len(self)):
            yield self._draw(generator)

    def _draw(self, generator: np.random.Generator, tries: int = 24) -> ChipIndex:
        best, best_share = None, -1.0
        for _ in range(tries):
            place, index = self._candidate(generator)
            share = place.valid_share(index)
            if share >= self.min_valid:
                return index
            if share > best_share:
                best, best_share = index, share
        return best or index

    def _candidate(
        self, generator: np.random.Generator, tries: int = 1000
    ) -> tuple[_Place, ChipIndex]:
        for _ in range(tries):
            place = self._places[int(self._up_to.searchsorted(generator.random(), side="right"))]
            top, left = (
                int(generator.integers(0, length - self.size + 1))
                if length > self.size
                else -((self.size - length) // 2)
                for length in place.lattice.shape
            )
            index = place.index(top, left, self.size)
            if self.is_everywhere:
                return place, index
            x, y = index
            centre = (x.start + x.stop) / 2, (y.start + y.stop) / 2
            if shapely.contains_xy(self.geometry, *centre):
                return place, index
        raise RasterError(
            f"No chip of {self.size} pixels was found on the region of interest in {tries} tries "
            f"({_extent(self.geometry.bounds)}). Expected a region of at least a chip's size; enlarge it."
        )


def _may_lack_pixels(scene: Scene | Patch) -> bool:
    if isinstance(scene, Patch):
        return scene.has_gaps
    declared = any(band.may_lack_pixels for band in scene.source_bands)
    return declared or np.issubdtype(np.dtype(scene.dtype), np.floating)


def _scene_places(dataset: GeoDataset) -> list[_Place]:
    """Return where chips can be cut; the dataset's footprints where it has no scenes of ours."""
    places = [
        place
        for layer in layers_of(dataset)
        if isinstance(layer, SceneDataset)
        for place in _places_of(layer)
    ]
    return places or [_Place(lattice) for lattice in _index_lattices(dataset)]


def _places_of(layer: GridDataset) -> Iterator[_Place]:
    """Yield the places of a layer's items, in their order."""
    scenes = layer.scenes if isinstance(layer, SceneDataset) else [None] * len(layer.grids)
    for item, (scene, grid) in enumerate(zip(scenes, layer.grids, strict=True)):
        lattice = layer.lattice(item)
        is_plain = grid.crs == layer.raster_crs and grid.transform.b == grid.transform.d == 0
        box = None if is_plain or lattice != grid else tuple(layer.boxes[item].tolist())
        yield _Place(
            lattice, layer.names[item] or None, scene, box, scene is not None and lattice == grid
        )


def _index_lattices(dataset: GeoDataset) -> list[Grid]:
    crs = CRS.from_user_input(dataset.crs)
    width, height = dataset.res
    lattices = []
    for west, south, east, north in dataset.index.geometry.bounds.to_numpy().tolist():
        shape = max(1, round((north - south) / height)), max(1, round((east - west) / width))
        lattices.append(Grid(crs, from_origin(west, north, width, height), *shape))
    return lattices


def _collect_labels(dataset: GeoDataset) -> tuple[list[_Place], LabelledPixels]:
    """Find all labels of a combination and place each on every scene that shows it."""
    layers = list(layers_of(dataset))
    masks = [layer for layer in layers if isinstance(layer, SparseMaskDataset)]
    if not masks:
        names = ", ".join(type(layer).__name__ for layer in layers)
        raise PointsError(
            f"The dataset holds no sparse mask (it is made of {names}), so there are no labels to draw chips around. "
            "Combine it with one: scenes & SparseMaskDataset([mask])."
        )
    scenes: list[GridDataset] = [layer for layer in layers if isinstance(layer, SceneDataset)]
    places = [place for layer in (scenes or masks) for place in _places_of(layer)]
    boxes = np.concatenate([layer.boxes for layer in (scenes or masks)])
    named: dict[str | None, list[int]] = {}
    for number, place in enumerate(places):
        named.setdefault(place.name, []).append(number)
    found = [
        labels
        for layer in masks
        for item, name in enumerate(layer.names)
        for labels in _place_labels(
            layer,
            item,
            places,
            named.get(name, []) if layer.is_tied else _meeting(layer, item, boxes),
        )
    ]
    return places, _without_doubles(LabelledPixels.concatenate(found))


def _meeting(layer: GridDataset, item: int, boxes: NDArray[np.float64]) -> list[int]:
    """Return the numbers of the boxes ``(place, 4)`` that an item meets."""
    west, south, east, north = layer.boxes[item]
    meets = (boxes[:, 0] < east) & (boxes[:, 2] > west)
    meets &= (boxes[:, 1] < north) & (boxes[:, 3] > south)
    numbers: list[int] = np.flatnonzero(meets).tolist()
    return numbers


def _place_labels(
    layer: SparseMaskDataset, item: int, places: Sequence[_Place], numbers: Sequence[int]
) -> Iterator[LabelledPixels]:
    """Yield one mask's labels on each of some places, given by their numbers."""
    mask = layer.masks[item]
    for number in numbers:
        lattice = places[number].lattice
        if layer.own_pixels and lattice == mask.grid:
            row, col = mask.row.astype(float), mask.col.astype(float)
        else:
            row, col = lattice.world_to_pixel(*layer.coordinates(item))
        inside = (row >= 0) & (row < lattice.height) & (col >= 0) & (col < lattice.width)
        yield LabelledPixels(
            np.full(int(inside.sum()), number),
            np.floor(row[inside]).astype(np.int64),
            np.floor(col[inside]).astype(np.int64),
            mask.class_index[inside].astype(np.int64),
            mask.weight[inside],
        )


def _without_doubles(labels: LabelledPixels) -> LabelledPixels:
    """Return labels with each pixel once: the first label of it."""
    place = np.column_stack([labels.patch, labels.row, labels.col])
    _, first = np.unique(place, axis=0, return_index=True)
    return labels.select(np.sort(first))


def _extent(place: Any) -> str:
    bounds = getattr(place, "bounds", place)
    return ", ".join(f"{value:.6g}" for value in bounds)
