"""The ground a model learns from: imagery held in memory, and the labelled pixels on it.

Training looks at the same few places many times, so what it needs is read once. A scene that fits into the
memory that the settings allow is one *patch*; of larger ones windows are kept, those around labels first.
Chips are then cut from patches without touching a file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import zip_longest
from typing import Self

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.config import SamplingConfig
from geopointseg.errors import PointsError, RasterError
from geopointseg.labels.sparse_mask import UNLABELLED, SparseMask
from geopointseg.learning.windows import Place, choose_windows
from geopointseg.model.member import Normalization
from geopointseg.progress import Reporter
from geopointseg.raster.scene import Chip, Scene


@dataclass(frozen=True, eq=False)
class Patch:
    """Pixels of one scene, in memory.

    Parameters
    ----------
    scene
        Position of the scene.
    row, col
        Where in the scene its first pixel lies.
    image
        float32 ``(band, row, col)``, values as in the scene; 0 where invalid.
    valid
        bool ``(row, col)``.
    """

    scene: int
    row: int
    col: int
    image: NDArray[np.float32]
    valid: NDArray[np.bool_]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.valid.shape[0], self.valid.shape[1]

    def read(self, window: Window) -> Chip:
        """Return a window of the patch; pixels beyond its border are invalid."""
        place = int(window.row_off), int(window.col_off), (int(window.height), int(window.width))
        return Chip(cut(self.image, *place, fill=0.0), cut(self.valid, *place, fill=False))

    @cached_property
    def moments(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and standard deviation of each band over the valid pixels, float32 ``(band,)``, computed once.

        Without valid pixels 0 and 1. The standard deviation is never 0.
        """
        if not self.valid.any():
            return np.zeros(len(self.image), np.float32), np.ones(len(self.image), np.float32)
        planes = [plane[self.valid] for plane in self.image]
        mean = np.array([plane.mean() for plane in planes], dtype=np.float32)
        return mean, np.array([plane.std() for plane in planes], dtype=np.float32) + np.float32(
            1e-6
        )


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


@dataclass(frozen=True, eq=False)
class LabelledPixels:
    """Labelled pixels of all patches, one entry a pixel.

    Parameters
    ----------
    patch
        Position of the patch, int64 ``(pixel,)``.
    row, col
        Where in the patch, int64 ``(pixel,)``.
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

    def __len__(self) -> int:
        return len(self.patch)

    def select(self, chosen: NDArray[np.bool_]) -> Self:
        """Return the pixels that a boolean mask chooses."""
        arrays = {name: getattr(self, name)[chosen] for name in self.__dataclass_fields__}
        return replace(self, **arrays)

    def counts(self, classes: int) -> NDArray[np.int64]:
        """Return how many pixels each class has."""
        return np.bincount(self.class_index, minlength=classes).astype(np.int64)

    def dense(
        self, patches: Sequence[Patch]
    ) -> list[tuple[NDArray[np.int16], NDArray[np.float32]]]:
        """Return class index (-1 where unlabelled) and weight of every pixel, patch by patch."""
        maps = []
        for position, patch in enumerate(patches):
            own = self.patch == position
            target = np.full(patch.shape, UNLABELLED, dtype=np.int16)
            weight = np.zeros(patch.shape, dtype=np.float32)
            target[self.row[own], self.col[own]] = self.class_index[own]
            weight[self.row[own], self.col[own]] = self.weight[own]
            maps.append((target, weight))
        return maps


@dataclass(frozen=True, eq=False)
class Ground:
    """Patches, the labelled pixels on them, and how many classes there are.

    Parameters
    ----------
    patches
        Imagery in memory.
    labelled
        Labelled pixels that lie on valid pixels of the patches.
    classes
        Number of classes in the legend.
    resolution_m
        Side of a pixel in metres.
    """

    patches: tuple[Patch, ...]
    labelled: LabelledPixels
    classes: int
    resolution_m: float

    @property
    def bands(self) -> int:
        """Number of bands."""
        return int(self.patches[0].image.shape[0])

    @cached_property
    def digest(self) -> str:
        """Tells grounds apart: where the imagery in memory lies, and every eighth row and column of it."""
        digest = hashlib.sha256()
        for patch in self.patches:
            place = [patch.scene, patch.row, patch.col, *patch.image.shape]
            digest.update(json.dumps(place).encode())
            digest.update(np.ascontiguousarray(patch.image[:, ::8, ::8]).data)
        return digest.hexdigest()

    def normalization(self) -> Normalization:
        """Return mean and deviation of the bands over all valid pixels of all patches."""
        count = sum(int(p.valid.sum()) for p in self.patches)
        total = sum(p.image.sum(axis=(1, 2), dtype=np.float64) for p in self.patches)
        mean = np.asarray(total / count)
        squares = np.zeros(self.bands)
        for patch in self.patches:
            for band, plane in enumerate(patch.image):
                squares[band] += np.square(plane[patch.valid].astype(np.float64) - mean[band]).sum()
        std = np.sqrt(squares / count)
        return Normalization(mean, np.where(std > 1e-9 * np.abs(mean).clip(min=1e-9), std, 1.0))


def build_ground(
    scenes: Sequence[Scene],
    masks: Sequence[SparseMask | None],
    *,
    classes: int,
    sampling: SamplingConfig,
    seed: int,
    reporter: Reporter,
    marked: Sequence[SparseMask | None] = (),
) -> Ground:
    """Read what training will look at.

    Parameters
    ----------
    scenes
        Training scenes, then scenes without points.
    masks
        Labelled pixels of each scene, None where there are no points.
    classes
        Number of classes.
    sampling
        Says how much is kept; see `choose_windows`.
    seed
        Decides which windows of large scenes are kept.
    reporter
        Told about progress and about labels that had to be left out.
    marked
        Labelled pixels of each scene that are not learnt from, but looked at.

    Raises
    ------
    RasterError
        If there is no valid pixel.
    """
    pixel_bytes = 4 * len(scenes[0].bands) + classes + 9
    looked_at = [[m for m in each if m] for each in zip_longest(masks, marked)]
    windows = choose_windows(
        scenes,
        looked_at,
        room=min(sampling.memory_mb * 2**20 // pixel_bytes, int(sampling.area_mpx * 1e6)),
        chip_size=sampling.chip_size,
        seed=seed,
    )
    patches: list[Patch] = []
    with reporter.stage("read", total=len(windows)) as advance:
        for position, window in windows:
            chip = scenes[position].read(window)
            advance(1)
            if not chip.valid.any():
                continue
            row, col = int(window.row_off), int(window.col_off)
            patches.append(Patch(position, row, col, chip.image, chip.valid))
    if not patches:
        raise RasterError(
            f"'{scenes[0].name}' holds no valid pixel where training looks. Expected imagery; check its nodata value."
        )
    labelled = locate_labels(patches, masks)
    _tell_left_out(windows, masks, reporter)
    return Ground(tuple(patches), labelled, classes, scenes[0].grid.resolution_m)


def _tell_left_out(
    windows: Sequence[Place], masks: Sequence[SparseMask | None], reporter: Reporter
) -> None:
    """Warn of labels that lie on no window."""
    lost, count = 0, 0
    for position, mask in enumerate(masks):
        if mask:
            seen = np.zeros(len(mask), dtype=bool)
            for window in (window for scene, window in windows if scene == position):
                row, col = mask.row - window.row_off, mask.col - window.col_off
                seen |= (row >= 0) & (col >= 0) & (row < window.height) & (col < window.width)
            lost, count = lost + int((~seen).sum()), count + len(mask)
    if lost:
        reporter.warn(
            f"{lost} of {count} labelled pixels lie too far from the others to be kept in memory and are not used. "
            "Raise [sampling] area_mpx and memory_mb to use all."
        )


def locate_labels(patches: Sequence[Patch], masks: Sequence[SparseMask | None]) -> LabelledPixels:
    """Find the pixels of sparse masks, one a scene, that lie on valid pixels of the patches.

    A pixel that lies on several patches belongs to the one with most ground around it.
    """
    parts = [LabelledPixels(*(np.zeros(0, t) for t in ("i8", "i8", "i8", "i8", "f4")))]
    owners = {
        position: _owners(patches, position, mask) for position, mask in enumerate(masks) if mask
    }
    for position, patch in enumerate(patches):
        mask = masks[patch.scene]
        if mask:
            parts.append(_labels_of(patch, mask, position, owners[patch.scene] == position))
    return _concatenate(parts)


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


def _concatenate(parts: Sequence[LabelledPixels]) -> LabelledPixels:
    names = LabelledPixels.__dataclass_fields__
    return LabelledPixels(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})


def require_labels(
    ground: Ground, scenes: Sequence[Scene], masks: Sequence[SparseMask | None]
) -> None:
    """Raise `PointsError` unless a labelled pixel lies on valid imagery."""
    if len(ground.labelled) == 0:
        count = sum(len(mask) for mask in masks if mask is not None)
        raise PointsError(
            f"All {count} labelled pixels are nodata in {scenes[0].name}. Expected points on valid imagery; check "
            "the scene's nodata value and the points' coordinate reference system."
        )
