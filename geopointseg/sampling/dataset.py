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

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.env import get_gdal_config, set_gdal_config
from rasterio.windows import Window

from geopointseg.errors import RasterError
from geopointseg.labels.sparse_mask import UNLABELLED, SparseMask
from geopointseg.raster.grid import Grid, crs_name, transform_coordinates
from geopointseg.raster.scene import Chip, Scene, ScenePath
from geopointseg.raster.warp import align, read_onto
from geopointseg.sampling.combine import Sample
from geopointseg.sampling.grid_dataset import (
    ChipIndex,
    ChipQuery,
    Coordinates,
    GridDataset,
    Interval,
)
from geopointseg.sampling.patch import Patch, cut
from geopointseg.summary import described


@described
class SceneDataset(GridDataset):
    """Imagery as a torchgeo dataset: any number of scenes, in any CRS and resolution.

    Scenes are described when the dataset is made and opened when they are read, one handle a thread and file and
    only a few at a time, so that thousands of scenes can be held and the dataset can be sent to worker processes.

    Parameters
    ----------
    scenes
        Scenes, paths, or windows of scenes in memory (`read_patches`); all with the same number of bands. Where several
        show the same place, the first that is valid there is seen, unless the query names one (`ChipIndex`).
    crs, res
        CRS and pixel size of the samples; those of the first scene by default. Scenes that differ are resampled
        bilinearly as they are read.
    intervals
        First and last moment of each scene; always, by default.
    transforms
        Applied to every sample.
    own_pixels
        Whether samplers cut chips along each scene's own pixels even where its CRS or pixel size are not the dataset's:
        nothing is resampled then.
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
        scenes: Sequence[Scene | Patch | ScenePath],
        *,
        crs: CRS | None = None,
        res: float | tuple[float, float] | None = None,
        intervals: Sequence[Interval] | None = None,
        transforms: Callable[[Sample], Sample] | None = None,
        own_pixels: bool = False,
        cache_mb: int = 512,
    ) -> None:
        self.cache_mb = cache_mb
        self.scenes = tuple(s if isinstance(s, Scene | Patch) else Scene.open(s) for s in scenes)
        for scene in self.scenes:
            _require_same_bands(self.scenes[0], scene)
        super().__init__(
            [scene.grid for scene in self.scenes],
            [scene.path for scene in self.scenes],
            intervals,
            crs,
            res,
            transforms,
            own_pixels=own_pixels,
        )

    def _summary(self) -> list[str]:
        return [
            f"SceneDataset: {len(self.grids)} scenes, {crs_name(CRS.from_user_input(self.crs))}"
        ]

    def read(self, index: Any) -> Chip:
        """Read the pixels of an index as arrays; what `__getitem__` returns as tensors."""
        own = self._own_window(index)
        return self._read(self._query(index)) if own is None else self._read_own(index, *own)

    def _read_own(self, index: ChipIndex, item: int, window: Window) -> Chip:
        scene = self.scenes[item]
        if isinstance(scene, Scene):
            _allow_cache(self.cache_mb)
            return scene.read(window)
        chip = scene.read(window)
        style = self.scenes[self.item_of[index.style]] if index.style else None
        if not isinstance(style, Patch):
            return chip
        return Chip(scene.restyled(chip.image, style) * chip.valid, chip.valid)

    def _read(self, query: ChipQuery) -> Chip:
        items = self._items(query)
        _allow_cache(self.cache_mb)
        chip = read_onto(_as_scene(self.scenes[next(items)]), query.grid)
        for item in items:
            if chip.valid.all():
                break
            below = read_onto(_as_scene(self.scenes[item]), query.grid)
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
        own = self._own_window(index)
        if own is None:
            query = self._query(index)
            chip, sample = self._read(query), query.sample()
        else:
            chip, sample = self._read_own(index, *own), self._own_sample(index, *own)
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
        scenes: Sequence[Scene | Patch | ScenePath] | None = None,
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
        super().__init__(
            [m.grid for m in masks], names, intervals, crs, res, transforms,
            own_pixels=_are_on_own_grids(masks, scenes),
        )  # fmt: skip

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
        own = self._own_window(index) if self.own_pixels else None
        if own is None:
            query = self._query(index)
            (labels, weight), sample = self._overlaid(query), query.sample()
        else:
            item, window = own
            labels, weight = self.masks[item].window(window)
            sample = self._own_sample(index, item, window)
        sample["mask"] = torch.from_numpy(labels)
        sample["weight"] = torch.from_numpy(weight)
        return self._finish(sample)

    def _overlaid(self, query: ChipQuery) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the labels of all masks that a query meets; the first one's win."""
        items = self._items(query)
        labels, weight = self._labels(next(items), query.grid)
        for item in items:
            below, below_weight = self._labels(item, query.grid)
            free = labels == UNLABELLED
            labels, weight = np.where(free, below, labels), np.where(free, below_weight, weight)
        return labels, weight

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


@described
class SoftLabelDataset(GridDataset):
    """Class probabilities of every pixel of patches, such as a teacher's, as a torchgeo dataset.

    Samples hold ``soft``, uint8 ``(class, row, col)`` in 1/255; 0 beyond the border of a patch.

    Parameters
    ----------
    maps
        uint8 ``(class, row, col)`` in 1/255, one for each patch.
    patches
        The patches, in the order of the maps.
    """

    def __init__(self, maps: Sequence[NDArray[np.uint8]], patches: Sequence[Patch]) -> None:
        self.maps = tuple(maps)
        super().__init__(
            [patch.grid for patch in patches],
            [patch.path for patch in patches],
            None,
            None,
            None,
            None,
            own_pixels=True,
        )

    def _summary(self) -> list[str]:
        return [f"SoftLabelDataset: {len(self.maps)} maps of {len(self.maps[0])} classes"]

    def __getitem__(self, index: Any) -> Sample:
        """Return the probabilities of the pixels of a patch.

        Raises
        ------
        IndexError
            If the index does not name pixels of a patch, as those of our samplers do.
        """
        own = self._own_window(index)
        if own is None:
            raise IndexError(
                f"The index {index} names no pixels of a patch. Expected one that a sampler of the joined dataset drew."
            )
        item, window = own
        place = int(window.row_off), int(window.col_off), (int(window.height), int(window.width))
        sample = self._own_sample(index, item, window)
        sample["soft"] = torch.from_numpy(cut(self.maps[item], *place, fill=0))
        return sample


def _are_on_own_grids(masks: Sequence[SparseMask], scenes: Sequence[Any] | None) -> bool:
    """Whether each mask has the pixels of its scene, and no scene has two masks."""
    if scenes is None or len({_name(scene) for scene in scenes}) < len(scenes):
        return False
    return all(
        mask.grid == getattr(scene, "grid", None) for mask, scene in zip(masks, scenes, strict=True)
    )


def _allow_cache(megabytes: int) -> None:
    """Let GDAL keep that much decoded imagery in this process; never less than it may already."""
    if get_gdal_config("GDAL_CACHEMAX") < megabytes << 20:
        set_gdal_config("GDAL_CACHEMAX", megabytes << 20)


def _name(scene: Scene | Patch | ScenePath) -> str:
    return scene.path if isinstance(scene, Scene | Patch) else str(scene)


def _as_scene(scene: Scene | Patch) -> Scene:
    """Return what can be read onto any grid; a patch has all that this takes."""
    return cast("Scene", scene)


def _require_same_bands(first: Scene | Patch, other: Scene | Patch) -> None:
    if len(first.bands) != len(other.bands):
        raise RasterError(
            f"'{other.name}' has {len(other.bands)} bands and '{first.name}' has {len(first.bands)}. Expected the same "
            "bands in all scenes of a dataset; choose them with Scene.open(path, bands=[...])."
        )
