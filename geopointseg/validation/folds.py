"""Folds of a cross-validation: blocks or scenes that are held out, and a buffer between training and test points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geopointseg.config import Config
from geopointseg.errors import PointsError
from geopointseg.labels.block_split import (
    Fold,
    assign_blocks,
    iterate_folds,
    split_points,
    training_reach_m,
)
from geopointseg.labels.points import Points
from geopointseg.labels.sparse_mask import find_pixels
from geopointseg.labels.variogram import variogram_range
from geopointseg.progress import Reporter
from geopointseg.raster.scene import Scene

_LEAST_KEPT = 2 / 3
_BLOCKS_PER_FOLD = 3
_FOLD = "fold"
_DRAWS = 200


def divide_by_block(
    points: Points,
    folds: int,
    block_size_m: float | None,
    seed: int,
    warnings: list[str],
    reporter: Reporter,
) -> tuple[Points, float]:
    """Split points into folds of blocks.

    Parameters
    ----------
    points
        Labelled points.
    folds
        Number of folds.
    block_size_m
        Side of a block in metres; None for the one of `choose_block_size`.
    seed
        Seed of the split.
    warnings
        Receives a sentence where blocks are smaller than wanted.
    reporter
        Warned of folds that lack a class.

    Returns
    -------
    points
        With ``fold1``, ``fold2`` ... in ``split``.
    block_size_m
        Side of a block in metres.
    """
    size = choose_block_size(points, folds, block_size_m, seed, warnings)
    return split_points(points, folds=folds, block_size_m=size, seed=seed, reporter=reporter), size


def choose_block_size(
    points: Points, folds: int, block_size_m: float | None, seed: int, warnings: list[str]
) -> float:
    """Return the side of a block in metres: the range of the variogram, halved until there are enough blocks.

    Parameters are those of `divide_by_block`.
    """
    size = block_size_m
    if size is None:
        wanted = size = variogram_range(points, seed=seed)
        while len(np.unique(assign_blocks(points, size))) < _BLOCKS_PER_FOLD * folds and size > 1:
            size /= 2
        if size < wanted:
            warnings.append(
                f"Labels are correlated up to {wanted:.0f} m, but blocks of that size would be fewer than "
                f"{_BLOCKS_PER_FOLD} per fold; blocks of {size:.0f} m are used, so scores may be overestimated."
            )
    return size


def reach_of(config: Config, scene: Scene) -> float:
    """Return the reach of training around a point in metres, along the longer side of a pixel.

    The receptive field of a network is taken for the largest chip, which it never exceeds.
    """
    chip = config.sampling.largest_chip
    return training_reach_m(chip, chip, max(scene.grid.pixel_sides_m))


def make_rounds(
    points: Points, scene: Scene, reach_m: float, wanted_m: float | None, warnings: list[str]
) -> tuple[list[Fold], float]:
    """Return the rounds with the largest buffer that leaves enough training points of every class.

    Parameters
    ----------
    points
        Points whose ``split`` names folds.
    scene
        Distances are measured along the rows and columns of its grid.
    reach_m
        The buffer at which no training chip reaches a test point, in metres; see `reach_of`.
    wanted_m
        A buffer to use as it is, in metres; None to choose one.
    warnings
        Receives a sentence where the buffer is smaller than ``reach_m``.

    Returns
    -------
    rounds
        One for each fold.
    buffer_m
        The buffer in metres.
    """
    if wanted_m is not None:
        if wanted_m < reach_m:
            warnings.append(
                f"Training chips reach {reach_m:.0f} m and the buffer is {wanted_m:g} m: some test points lie in training "
                "chips, without their class, so scores may be overestimated."
            )
        return list(iterate_folds(points, buffer_m=wanted_m, grid=scene.grid)), wanted_m
    in_fold = np.array([name.startswith(_FOLD) for name in points.split.tolist()])
    used, buffer = points.select(in_fold), 0.0
    for share in (1.0, 0.5, 0.25, 0.125, 0.0):
        buffer = share * reach_m
        rounds = list(iterate_folds(points, buffer_m=buffer, grid=scene.grid))
        if all(_is_enough(fold, used) for fold in rounds):
            break
    if buffer < reach_m:
        warnings.append(
            f"Training chips reach {reach_m:.0f} m, but leaving out all training points so near to a test point would "
            f"leave too few; a buffer of {buffer:.0f} m is used, so scores may be overestimated."
        )
    return rounds, buffer


def _is_enough(fold: Fold, points: Points) -> bool:
    """Whether the buffer left most training points, and two of every class that had them."""
    kept, before = fold.train.counts(), points.counts() - fold.test.counts()
    return bool(
        len(fold.train) >= _LEAST_KEPT * before.sum() and (kept >= np.minimum(before, 2)).all()
    )


def divide_by_scene(
    points: Points,
    scenes: Sequence[Scene],
    block_size_m: float,
    *,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> Points:
    """Assign each point to the scene on which it is tested, as a fold for `iterate_folds`.

    Where scenes overlap, each block is tested on one of them, drawn so that classes are distributed evenly. So neither
    the scene nor the block of a test point is in the training, also where the scenes are dates of one place.

    Parameters
    ----------
    points
        Labelled points; those that name a scene are tested on that one.
    scenes
        The scenes.
    block_size_m
        Side of a block in metres.
    seed
        Seed of the draw.
    reporter
        Warned of scenes without points.

    Returns
    -------
    Points
        With ``fold1`` for the first scene and so on in ``split``; empty for points on no scene.

    Raises
    ------
    PointsError
        If fewer than two scenes have points.
    """
    on_scene = np.stack([_lie_on(points, scene) for scene in scenes])
    block = assign_blocks(points, block_size_m)
    chosen = _draw_scenes(on_scene, block, points.class_index, np.random.default_rng(seed))
    split = np.where(on_scene.any(axis=0), [f"{_FOLD}{k + 1}" for k in chosen], "")
    tested = [k for k in range(len(scenes)) if (split == f"{_FOLD}{k + 1}").any()]
    if len(tested) < 2:
        raise PointsError(
            f"{len(tested)} of the {len(scenes)} scenes have points to be tested on. Expected at least two, so that one "
            "can be left out; name more scenes, or hold out blocks."
        )
    idle = [scene.name for k, scene in enumerate(scenes) if k not in tested]
    if idle:
        (reporter or Reporter()).warn(
            f"No point is tested on {', '.join(idle[:5])}; the other {len(tested)} scenes are left out in turn."
        )
    return points.with_split(split.tolist())


def fold_scene(fold: Fold) -> int:
    """Return the position of the scene that a fold tests."""
    return int(fold.name.removeprefix(_FOLD)) - 1


def _draw_scenes(
    on_scene: NDArray[np.bool_],
    block: NDArray[np.int64],
    class_index: NDArray[np.int64],
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """Return the scene of each point: the most even distribution of classes among many random draws of blocks."""
    scenes, classes = len(on_scene), int(class_index.max(initial=0)) + 1
    best, chosen = np.inf, np.zeros(on_scene.shape[1], dtype=np.int64)
    for _ in range(_DRAWS):
        priority = generator.random((scenes, int(block.max(initial=0)) + 1))
        drawn = np.where(on_scene, priority[:, block], -1.0).argmax(axis=0)
        counts = np.bincount(drawn * classes + class_index, minlength=scenes * classes)
        uneven = float(np.square(counts, dtype=np.float64).sum())
        if uneven < best:
            best, chosen = uneven, drawn
    return chosen


def _lie_on(points: Points, scene: Scene) -> NDArray[np.bool_]:
    """Return which points belong to a scene and lie within its rectangle."""
    row, _ = find_pixels(points.x, points.y, points.crs, scene.grid)
    return np.asarray((row >= 0) & points.belong_to(scene.name))
