"""Folds that are blocks of ground, and rounds in which no test point lies within reach of the training."""

from __future__ import annotations

import numpy as np

from geopointseg.config import Config
from geopointseg.labels.block_split import (
    Fold,
    assign_blocks,
    iterate_folds,
    split_points,
    training_reach_m,
)
from geopointseg.labels.points import Points
from geopointseg.labels.variogram import variogram_range
from geopointseg.progress import Reporter
from geopointseg.raster.scene import Scene

_LEAST_KEPT = 2 / 3
_BLOCKS_PER_FOLD = 3


def divide_by_block(
    points: Points,
    folds: int,
    block_size_m: float | None,
    seed: int,
    warnings: list[str],
    reporter: Reporter,
) -> tuple[Points, float]:
    """Split points into folds of blocks."""
    size = choose_block_size(points, folds, block_size_m, seed, warnings)
    return split_points(points, folds=folds, block_size_m=size, seed=seed, reporter=reporter), size


def choose_block_size(
    points: Points, folds: int, block_size_m: float | None, seed: int, warnings: list[str]
) -> float:
    """Return the side of a block in metres; from the variogram, halved until there are enough blocks.

    What is not as wanted is added to ``warnings``.
    """
    size = block_size_m
    if size is None:
        wanted = size = variogram_range(points, seed=seed)
        while len(np.unique(assign_blocks(points, size))) < _BLOCKS_PER_FOLD * folds and size > 1:
            size /= 2
        if size < wanted:
            warnings.append(
                f"Labels resemble each other up to {wanted:.0f} m, but blocks of that size would be fewer than "
                f"{_BLOCKS_PER_FOLD} a fold; blocks of {size:.0f} m are used, so scores may be a little too good."
            )
    return size


def reach_of(config: Config, scene: Scene) -> float:
    """Return how far training looks around a point in metres, along the longer side of a pixel.

    A network's field is never larger than its chip.
    """
    chip = config.sampling.chip_size
    return training_reach_m(chip, chip, max(scene.grid.pixel_sides_m))


def make_rounds(
    points: Points, scene: Scene, reach_m: float, wanted_m: float | None, warnings: list[str]
) -> tuple[list[Fold], float]:
    """Return the rounds with the largest buffer in metres that leaves enough training points of every class, and the buffer.

    What is not as wanted is added to ``warnings``.
    """
    if wanted_m is not None:
        if wanted_m < reach_m:
            warnings.append(
                f"Training chips reach {reach_m:.0f} m and the buffer is {wanted_m:g} m: some test points were seen in "
                "training, without their class, so scores may be a little too good."
            )
        return list(iterate_folds(points, buffer_m=wanted_m, grid=scene.grid)), wanted_m
    buffer = 0.0
    for share in (1.0, 0.5, 0.25, 0.125, 0.0):
        buffer = share * reach_m
        rounds = list(iterate_folds(points, buffer_m=buffer, grid=scene.grid))
        if all(_is_enough(fold, points) for fold in rounds):
            break
    if buffer < reach_m:
        warnings.append(
            f"Training chips reach {reach_m:.0f} m, but leaving out all training points so near to a test point would "
            f"leave too few; a buffer of {buffer:.0f} m is used, so scores may be a little too good."
        )
    return rounds, buffer


def _is_enough(fold: Fold, points: Points) -> bool:
    """Whether the buffer left most training points, and two of every class that had them."""
    kept, before = fold.train.counts(), points.counts() - fold.test.counts()
    return bool(
        len(fold.train) >= _LEAST_KEPT * before.sum() and (kept >= np.minimum(before, 2)).all()
    )
