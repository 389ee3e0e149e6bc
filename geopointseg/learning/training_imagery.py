"""Imagery that a model learns from, in memory, with its labelled pixels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import zip_longest

import numpy as np

from geopointseg.config import SamplingConfig
from geopointseg.errors import PointsError
from geopointseg.labels.sparse_mask import SparseMask
from geopointseg.model.member import Normalization
from geopointseg.progress import Reporter
from geopointseg.raster.scene import Scene
from geopointseg.sampling.patch import LabelledPixels, Patch, locate_labels, read_patches
from geopointseg.sampling.window_choice import Place, choose_windows

EXTREME_RANGES = 1e6
"""Distance from the median beyond which values are no measurements, in spreads: the range from the 5 to the 95 % quantile, or the
larger size of these quantiles."""
_SAMPLED_PX = 200_000


@dataclass(frozen=True, eq=False)
class TrainingImagery:
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
        """SHA-256 of the position of each patch and of every eighth row and column of its pixels."""
        digest = hashlib.sha256()
        for patch in self.patches:
            place = [patch.scene, patch.row, patch.col, *patch.image.shape]
            digest.update(json.dumps(place).encode())
            digest.update(np.ascontiguousarray(patch.image[:, ::8, ::8]).data)
        return digest.hexdigest()

    def normalization(self) -> Normalization:
        """Return mean and standard deviation per band over all valid pixels of all patches."""
        count = sum(int(p.valid.sum()) for p in self.patches)
        total = sum(p.image.sum(axis=(1, 2), dtype=np.float64) for p in self.patches)
        mean = np.asarray(total / count)
        squares = np.zeros(self.bands)
        for patch in self.patches:
            for band, plane in enumerate(patch.image):
                squares[band] += np.square(plane[patch.valid].astype(np.float64) - mean[band]).sum()
        std = np.sqrt(squares / count)
        return Normalization(mean, np.where(std > 1e-9 * np.abs(mean).clip(min=1e-9), std, 1.0))


def read_training_imagery(
    scenes: Sequence[Scene],
    masks: Sequence[SparseMask | None],
    *,
    classes: int,
    sampling: SamplingConfig,
    seed: int,
    reporter: Reporter,
    marked: Sequence[SparseMask | None] = (),
) -> TrainingImagery:
    """Read the imagery of a training into memory, and find the labelled pixels on it.

    Parameters
    ----------
    scenes
        Training scenes, then scenes without points.
    masks
        Labelled pixels of each scene, None where there are no points.
    classes
        Number of classes.
    sampling
        Limits the number of pixels in memory; see `choose_windows`.
    seed
        Decides which windows of large scenes are kept.
    reporter
        Receives progress and warnings about labels that had to be left out.
    marked
        Labelled pixels of each scene that are not learnt from, but whose surroundings are kept in memory, too.

    Raises
    ------
    RasterError
        If there is no valid pixel.
    """
    pixel_bytes = 4 * len(scenes[0].bands) + classes + 9
    kept = [[m for m in each if m] for each in zip_longest(masks, marked)]
    windows = choose_windows(
        scenes,
        kept,
        room=min(sampling.memory_mb * 2**20 // pixel_bytes, int(sampling.area_mpx * 1e6)),
        chip_size=sampling.chip_size,
        seed=seed,
    )
    patches = _without_extremes(read_patches(scenes, windows, reporter), scenes, reporter)
    labelled = locate_labels(patches, masks)
    _warn_of_unused(windows, masks, reporter)
    return TrainingImagery(tuple(patches), labelled, classes, scenes[0].grid.resolution_m)


def _without_extremes(
    patches: Sequence[Patch], scenes: Sequence[Scene], reporter: Reporter
) -> list[Patch]:
    """Return patches without the pixels whose values are so far from all others that they must be an undeclared nodata value.

    A few such pixels would make all others equal in the normalization.
    """
    if not patches:
        return []
    step = max(int(np.sqrt(sum(p.valid.size for p in patches) / _SAMPLED_PX)), 1)
    sample = np.concatenate(
        [p.image[:, ::step, ::step][:, p.valid[::step, ::step]] for p in patches], axis=1
    )
    if not sample.shape[1]:
        return list(patches)
    low, middle, high = np.percentile(sample.astype(np.float64), (5, 50, 95), axis=1)
    spread = np.maximum(high - low, np.maximum(np.abs(low), np.abs(high)))
    reach = np.where(
        spread > 0, EXTREME_RANGES * spread, np.inf
    )  # a band that is mostly 0 has none
    kept: list[Patch] = []
    for patch in patches:
        extreme = np.zeros(patch.shape, bool)
        for plane, centre, limit in zip(patch.image, middle, reach, strict=True):
            if plane.max() - centre > limit or centre - plane.min() > limit:
                extreme |= np.abs(plane - centre) > limit
        extreme &= patch.valid
        if extreme.any():
            told = patch.image[:, extreme][:, 0]
            told = told[np.argmax(np.abs(told - middle) / reach)]
            reporter.warn(
                f"{int(extreme.sum())} pixels of '{scenes[patch.scene].name}' have values such as {told:.6g}, more than {EXTREME_RANGES:g} times as "
                "far from the others as these reach. They are not used; declare them as nodata (`[scene] nodata`, or gdal_edit -a_nodata), or a "
                "map gives them a class."
            )
            image = np.where(extreme, np.float32(0.0), patch.image)
            kept.append(replace(patch, image=image, valid=patch.valid & ~extreme))
        else:
            kept.append(patch)
    return kept


def _warn_of_unused(
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


def require_labels(
    imagery: TrainingImagery, scenes: Sequence[Scene], masks: Sequence[SparseMask | None]
) -> None:
    """Raise `PointsError` unless a labelled pixel lies on valid imagery."""
    if len(imagery.labelled) == 0:
        count = sum(len(mask) for mask in masks if mask is not None)
        raise PointsError(
            f"All {count} labelled pixels are nodata in {scenes[0].name}. Expected points on valid imagery; check "
            "the scene's nodata value and the points' coordinate reference system."
        )
