"""The ground a model learns from: imagery held in memory, and the labelled pixels on it.

Training looks at the same few places many times, so what it needs is read once. A scene that fits into the
memory that the settings allow is one *patch*; of larger ones a choice of tiles is kept, those with labels first.
Chips are then cut from patches without touching a file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.config import SamplingConfig
from geopointseg.errors import PointsError, RasterError
from geopointseg.labels.mask import UNLABELLED, SparseMask
from geopointseg.model.member import Normalization
from geopointseg.progress import Reporter
from geopointseg.raster.scene import Scene

LABELLED_SHARE = 0.75
"""Largest share of the memory that tiles with labels may take; the rest shows unlabelled ground."""


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
        Says how much is kept; tiles are four times as wide as chips.
    seed
        Decides which tiles of large scenes are kept.
    reporter
        Told about progress and about labels that had to be left out.

    Raises
    ------
    RasterError
        If there is no valid pixel.
    """
    windows = _choose_windows(scenes, masks, classes, sampling, seed, reporter)
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
    return Ground(tuple(patches), labelled, classes, scenes[0].grid.resolution_m)


def _choose_windows(
    scenes: Sequence[Scene],
    masks: Sequence[SparseMask | None],
    classes: int,
    sampling: SamplingConfig,
    seed: int,
    reporter: Reporter,
) -> list[tuple[int, Window]]:
    pixel_bytes = 4 * len(scenes[0].bands) + classes + 9
    room = min(sampling.memory_mb * 2**20 // pixel_bytes, int(sampling.area_mpx * 1e6))
    tile = 4 * sampling.chip_size
    if sum(s.grid.height * s.grid.width for s in scenes) <= room:
        return [(position, scene.grid.window) for position, scene in enumerate(scenes)]
    generator = np.random.default_rng([seed, 11])
    labelled: list[tuple[int, Window]] = []
    others: list[tuple[int, Window]] = []
    for position, (scene, mask) in enumerate(zip(scenes, masks, strict=True)):
        held = set() if mask is None else set(zip(mask.row // tile, mask.col // tile, strict=True))
        for row in range(-(-scene.grid.height // tile)):
            for col in range(-(-scene.grid.width // tile)):
                window = _tile_window(scene, row, col, tile)
                (labelled if (row, col) in held else others).append((position, window))
    fitting = max(int(room // tile**2), 1)
    labelled = [labelled[i] for i in generator.permutation(len(labelled))]
    most = max(int(fitting * LABELLED_SHARE), 1) if others else fitting
    if len(labelled) > most:
        reporter.warn(
            f"Labels lie on {len(labelled)} tiles of {tile} x {tile} pixels, and {most} of these are used, chosen at "
            "random. Raise [sampling] area_mpx and memory_mb to use all."
        )
    kept = labelled[:most]
    return kept + [others[i] for i in generator.permutation(len(others))[: fitting - len(kept)]]


def _tile_window(scene: Scene, row: int, col: int, tile: int) -> Window:
    height = min(tile, scene.grid.height - row * tile)
    width = min(tile, scene.grid.width - col * tile)
    return Window(col * tile, row * tile, width, height)


def locate_labels(patches: Sequence[Patch], masks: Sequence[SparseMask | None]) -> LabelledPixels:
    """Find the pixels of sparse masks, one a scene, that lie on valid pixels of the patches."""
    parts = [LabelledPixels(*(np.zeros(0, t) for t in ("i8", "i8", "i8", "i8", "f4")))]
    for position, patch in enumerate(patches):
        mask = masks[patch.scene]
        if mask is not None:
            parts.append(_labels_of(patch, mask, position))
    return _concatenate(parts)


def _labels_of(patch: Patch, mask: SparseMask, position: int) -> LabelledPixels:
    row, col = mask.row.astype(np.int64) - patch.row, mask.col.astype(np.int64) - patch.col
    inside = (row >= 0) & (col >= 0) & (row < patch.shape[0]) & (col < patch.shape[1])
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
