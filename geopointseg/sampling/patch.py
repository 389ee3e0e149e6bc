"""Scenes in memory: windows whose pixels and labels are kept, so that chips are cut without touching a file.

A `Patch` takes the place of a scene in `SceneDataset`, a `PatchLabels` that of a sparse mask in `SparseMaskDataset`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.errors import RasterError
from geopointseg.labels.sparse_mask import UNLABELLED, SparseMask
from geopointseg.legend import Legend
from geopointseg.progress import Reporter
from geopointseg.raster.grid import Grid
from geopointseg.raster.scene import Chip, Scene
from geopointseg.sampling.window_choice import Place
from geopointseg.summary import described


@described
@dataclass(frozen=True, eq=False)
class Patch:
    """Pixels of one window of a scene, in memory.

    Parameters
    ----------
    scene
        Position of the scene among those that are read together.
    row, col
        First pixel of the window in the scene.
    image
        float32 ``(band, row, col)``, values as in the scene; 0 where invalid.
    valid
        bool ``(row, col)``.
    grid
        Where the pixels lie.
    """

    scene: int
    row: int
    col: int
    image: NDArray[np.float32]
    valid: NDArray[np.bool_]
    grid: Grid

    def _summary(self) -> list[str]:
        rows, cols = self.shape
        return [
            f"Patch: {rows} rows x {cols} columns of scene {self.scene}, {len(self.image)} bands"
        ]

    @property
    def bands(self) -> tuple[int, ...]:
        """Positions of the bands."""
        return tuple(range(len(self.image)))

    @property
    def path(self) -> str:
        """Name of the patch in a dataset, different for every window."""
        return f"scene {self.scene}, rows {self.row}+{self.shape[0]}, columns {self.col}+{self.shape[1]}"

    @property
    def name(self) -> str:
        """What messages call the patch."""
        return self.path

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.valid.shape[0], self.valid.shape[1]

    @cached_property
    def has_gaps(self) -> bool:
        """Whether any pixel is invalid."""
        return not bool(self.valid.all())

    def read(self, window: Window) -> Chip:
        """Return a window of the patch; pixels beyond its border are invalid."""
        place = int(window.row_off), int(window.col_off), (int(window.height), int(window.width))
        return Chip(cut(self.image, *place, fill=0.0), cut(self.valid, *place, fill=False))

    @cached_property
    def moments(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and standard deviation per band over the valid pixels, float32 ``(band,)``, computed once.

        Without valid pixels 0 and 1. The standard deviation is never 0.
        """
        if not self.valid.any():
            return np.zeros(len(self.image), np.float32), np.ones(len(self.image), np.float32)
        planes = [plane[self.valid] for plane in self.image]
        mean = np.array([plane.mean() for plane in planes], dtype=np.float32)
        return mean, np.array([plane.std() for plane in planes], dtype=np.float32) + np.float32(
            1e-6
        )

    def restyled(self, image: NDArray[np.float32], other: Patch) -> NDArray[np.float32]:
        """Return pixels of this patch, ``(band, row, col)``, with mean and standard deviation of another one per band."""
        (mean, std), (new_mean, new_std) = self.moments, other.moments
        scaled = (image - mean[:, None, None]) * (new_std / std)[:, None, None]
        return np.asarray(scaled + new_mean[:, None, None], dtype=np.float32)


def cut[T: np.generic](
    array: NDArray[T], row: int, col: int, size: int | tuple[int, int], *, fill: float
) -> NDArray[T]:
    """Cut a rectangle from ``(..., row, col)``, filled where it reaches beyond the border.

    Parameters
    ----------
    array
        Any values ``(..., row, col)``.
    row, col
        First row and column; may be negative.
    size
        Rows and columns, or the side of a square.
    fill
        Value beyond the border.

    Returns
    -------
    ndarray
        ``(..., rows, columns)``; a view where it lies inside.

    Examples
    --------
    >>> cut(np.arange(4).reshape(2, 2), -1, 1, 2, fill=9)
    array([[9, 9],
           [1, 9]])
    """
    rows, cols = (size, size) if isinstance(size, int) else size
    height, width = array.shape[-2:]
    top, left = max(row, 0), max(col, 0)
    bottom, right = min(row + rows, height), min(col + cols, width)
    if (bottom - top, right - left) == (rows, cols):
        return array[..., top:bottom, left:right]
    out = np.full((*array.shape[:-2], rows, cols), fill, dtype=array.dtype)
    if bottom > top and right > left:
        inside = slice(top - row, bottom - row), slice(left - col, right - col)
        out[..., *inside] = array[..., top:bottom, left:right]
    return out


@described
@dataclass(frozen=True, eq=False)
class LabelledPixels:
    """Labelled pixels of several patches or scenes, one entry for each pixel.

    Parameters
    ----------
    patch
        Position of the patch or scene, int64 ``(pixel,)``.
    row, col
        Pixel position in it, int64 ``(pixel,)``.
    class_index
        int64 ``(pixel,)``.
    weight
        float32 ``(pixel,)``.
    """

    patch: NDArray[np.int64]
    row: NDArray[np.int64]
    col: NDArray[np.int64]
    class_index: NDArray[np.int64]
    weight: NDArray[np.float32]

    @classmethod
    def concatenate(cls, parts: Sequence[LabelledPixels]) -> Self:
        """Return the pixels of all parts in their order."""
        none = tuple(np.zeros(0, t) for t in ("i8", "i8", "i8", "i8", "f4"))
        arrays = zip(none, *(vars(part).values() for part in parts), strict=True)
        return cls(*(np.concatenate(each) for each in arrays))

    def __len__(self) -> int:
        return len(self.patch)

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Self:
        """Return the pixels that a boolean mask or positions choose."""
        arrays = {name: getattr(self, name)[chosen] for name in self.__dataclass_fields__}
        return replace(self, **arrays)

    def counts(self, classes: int) -> NDArray[np.int64]:
        """Return the number of pixels of each class, int64 ``(class,)``."""
        return np.bincount(self.class_index, minlength=classes).astype(np.int64)


@described
@dataclass(frozen=True, eq=False)
class PatchLabels(SparseMask):
    """A sparse mask that also keeps the labels of every pixel in memory, so that chips are slices of them.

    The sparse pixels are those that chips are drawn around; the dense arrays may hold more, such as labels that were
    grown from them.

    Parameters
    ----------
    dense_index
        int16 ``(row, col)``: class index, `UNLABELLED` elsewhere.
    dense_weight
        float32 ``(row, col)``: weight of each label, 0 elsewhere.
    """

    dense_index: NDArray[np.int16] = field(kw_only=True)
    dense_weight: NDArray[np.float32] = field(kw_only=True)

    def _summary(self) -> list[str]:
        dense = int((self.dense_index != UNLABELLED).sum())
        return [*super()._summary(), f"{dense} labels in memory, grown ones included"]

    @classmethod
    def of(
        cls, patches: Sequence[Patch], labelled: LabelledPixels, legend: Legend | None = None
    ) -> list[Self]:
        """Return the labels of each patch.

        Parameters
        ----------
        patches
            The patches.
        labelled
            Labelled pixels of all of them.
        legend
            The classes, for their names.
        """
        masks = []
        for position, patch in enumerate(patches):
            own = labelled.select(labelled.patch == position)
            index = np.full(patch.shape, UNLABELLED, dtype=np.int16)
            weight = np.zeros(patch.shape, dtype=np.float32)
            index[own.row, own.col], weight[own.row, own.col] = own.class_index, own.weight
            sparse = (own.row.astype("i4"), own.col.astype("i4"), own.class_index.astype("i2"))
            masks.append(
                cls(
                    patch.grid,
                    *sparse,
                    own.weight,
                    legend or Legend(()),
                    dense_index=index,
                    dense_weight=weight,
                )
            )
        return masks

    def window(self, window: Window) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return class index, int64 ``(row, col)``, and weight, float32 ``(row, col)``, of a window."""
        place = int(window.row_off), int(window.col_off), (int(window.height), int(window.width))
        index = cut(self.dense_index, *place, fill=UNLABELLED).astype(np.int64)
        return index, cut(self.dense_weight, *place, fill=0.0)


def read_patches(
    scenes: Sequence[Scene], windows: Sequence[Place], reporter: Reporter | None = None
) -> list[Patch]:
    """Read windows of scenes into memory.

    Parameters
    ----------
    scenes
        Scenes with the same bands.
    windows
        Position of the scene and window in it, from `choose_windows`.
    reporter
        Receives progress.

    Returns
    -------
    list of Patch
        Those with at least one valid pixel, in the order of the windows.

    Raises
    ------
    RasterError
        If there is no valid pixel.
    """
    patches: list[Patch] = []
    with (reporter or Reporter()).stage("read", total=len(windows)) as advance:
        for place in windows:
            patch = _read_patch(scenes, place)
            advance(1)
            if patch.valid.any():
                patches.append(patch)
    if not patches:
        raise RasterError(
            f"'{scenes[0].name}' holds no valid pixel in the windows that a training reads. Expected imagery; check its nodata value."
        )
    return patches


def _read_patch(scenes: Sequence[Scene], place: Place) -> Patch:
    position, window = place
    scene = scenes[position]
    chip = scene.read(window)
    row, col = int(window.row_off), int(window.col_off)
    return Patch(position, row, col, chip.image, chip.valid, scene.grid.crop(window))


def locate_labels(patches: Sequence[Patch], masks: Sequence[SparseMask | None]) -> LabelledPixels:
    """Find the pixels of sparse masks that lie on valid pixels of patches.

    A pixel that lies on several patches belongs to the one in which it is farthest from the border.

    Parameters
    ----------
    patches
        Windows of scenes.
    masks
        One for each scene, on the scene's grid; None where there are no labels.
    """
    owners = {
        position: _owners(patches, position, mask) for position, mask in enumerate(masks) if mask
    }
    parts = [
        _labels_of(patch, mask, position, owners[patch.scene] == position)
        for position, patch in enumerate(patches)
        if (mask := masks[patch.scene])
    ]
    return LabelledPixels.concatenate(parts)


def _owners(patches: Sequence[Patch], scene: int, mask: SparseMask) -> NDArray[np.int64]:
    """Return the patch that each pixel of a mask belongs to, -1 for none."""
    owner = np.full(len(mask), -1, dtype=np.int64)
    most = np.full(len(mask), -1, dtype=np.int64)
    for position, patch in enumerate(patches):
        if patch.scene != scene:
            continue
        row, col = mask.row.astype(np.int64) - patch.row, mask.col.astype(np.int64) - patch.col
        rows, cols = patch.shape
        around = np.minimum.reduce([row, col, rows - 1 - row, cols - 1 - col])
        owner[around > most] = position
        most = np.maximum(most, around)
    return owner


def _labels_of(
    patch: Patch, mask: SparseMask, position: int, inside: NDArray[np.bool_]
) -> LabelledPixels:
    row, col = mask.row.astype(np.int64) - patch.row, mask.col.astype(np.int64) - patch.col
    inside[inside] = patch.valid[row[inside], col[inside]]
    return LabelledPixels(
        patch=np.full(int(inside.sum()), position, dtype=np.int64),
        row=row[inside],
        col=col[inside],
        class_index=mask.class_index[inside].astype(np.int64),
        weight=mask.weight[inside].astype(np.float32),
    )


def labels_on_image(mask: SparseMask, scene: Scene, block_px: int = 512) -> SparseMask:
    """Return the labels that lie on valid pixels of a scene.

    A chip drawn around a label on nodata would hold nothing to learn from, so such labels go before sampling.
    The scene is read block by block, and only blocks that hold labels.

    Parameters
    ----------
    mask
        Labels on the scene's own grid.
    scene
        The imagery.
    block_px
        Side of the blocks in which the scene is read, in pixels.
    """
    across = scene.grid.width // block_px + 1
    block = mask.row.astype(np.int64) // block_px * across + mask.col // block_px
    keep = np.zeros(len(block), dtype=bool)
    for one in np.unique(block):
        members = np.flatnonzero(block == one)
        rows, cols = mask.row[members], mask.col[members]
        top, left = int(rows.min()), int(cols.min())
        window = Window(left, top, int(cols.max()) - left + 1, int(rows.max()) - top + 1)
        keep[members] = scene.read(window).valid[rows - top, cols - left]
    return mask if keep.all() else mask.select(keep)
