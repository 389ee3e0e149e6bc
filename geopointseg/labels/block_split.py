"""Splitting points by ground, so that held-out points say something about other places.

Neighbouring points are alike, and a point inside a training chip has been seen in training even if its label has
not. Points are therefore held out by whole blocks of ground, with the classes balanced over the parts, and training
points within reach of a test point are left out.

References
----------
Roberts et al. (2017), Cross-validation strategies for data with temporal, spatial, hierarchical, or phylogenetic
structure, Ecography 40:913-929, doi:10.1111/ecog.02881. Valavi et al. (2019), blockCV, Methods in Ecology and
Evolution 10:225-232, doi:10.1111/2041-210X.13107 (block size from the range of the variogram).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geopointseg.errors import ConfigError, PointsError
from geopointseg.labels.points import Points
from geopointseg.labels.variogram import variogram_range
from geopointseg.progress import Reporter
from geopointseg.raster.geodesy import Positions
from geopointseg.raster.grid import Grid
from geopointseg.raster.planar_coordinates import assign_cells, local_plane
from geopointseg.setting import require_number
from geopointseg.summary import described

_PASSES = 10


@described
@dataclass(frozen=True)
class Fold:
    """One round of cross-validation.

    Parameters
    ----------
    name
        Name of the part that is held out.
    train, test
        The points to train with and to test on.
    left_out
        How many points were dropped from training because they lie within reach of a test point.
    """

    name: str
    train: Points
    test: Points
    left_out: int


def split_points(
    points: Points,
    *,
    block_size_m: float | None = None,
    folds: int | None = None,
    test_fraction: float | None = None,
    validation_fraction: float = 0.0,
    seed: int = 0,
    buffer_m: float = 0.0,
    reporter: Reporter | None = None,
) -> Points:
    """Split points by blocks of ground, either into folds or into training, validation and test points.

    All points of a block go to the same part, and the blocks are dealt out so that every part gets its share of
    every class.

    Parameters
    ----------
    points
        What to split; an existing split is replaced.
    block_size_m
        Side of a block in metres; by default the range of the labels' variogram, beyond which labels no longer
        resemble their neighbours.
    folds
        Number of folds, named ``fold1``, ``fold2`` ...
    test_fraction
        Share of the points to hold out as ``test``, instead of folds.
    validation_fraction
        Share of the points to hold out as ``validation``, beside ``test_fraction``.
    seed
        The same seed gives the same split.
    buffer_m
        Training points this near to a held-out point are named ``buffer``. With folds this depends on the round:
        use `iterate_folds`.
    reporter
        Warned when a part lacks a class.

    Returns
    -------
    Points
        The same points in the same order with another ``split``.

    Raises
    ------
    ConfigError
        If a setting is out of its range, or neither or both of ``folds`` and ``test_fraction`` are given.
    PointsError
        If the points lie in fewer blocks than there are parts.
    """
    reporter = reporter or Reporter()
    shares = _shares(folds, test_fraction, validation_fraction)
    require_number("The buffer", buffer_m, unit="m", minimum=0)
    if folds is not None and buffer_m > 0:
        raise ConfigError(
            f"A buffer of {buffer_m:g} m was asked for with {folds} folds. Expected it with a test fraction: which "
            "points lie near the test points changes from fold to fold; choose larger blocks, or --test-fraction."
        )
    if block_size_m is None:
        block_size_m = variogram_range(points, seed=seed)
        reporter.log(f"Blocks of {block_size_m:.0f} m, the range of the labels' variogram.")
    block = assign_blocks(points, block_size_m)
    found = int(block.max(initial=-1)) + 1
    if found < len(shares):
        raise PointsError(
            f"The {len(points)} points lie in {found} {'block' if found == 1 else 'blocks'} of {block_size_m:g} m. "
            f"Expected at least {len(shares)}, one for each part; choose a smaller block size or fewer parts."
        )
    counts = np.zeros((found, len(points.legend)), dtype=np.int64)
    np.add.at(counts, (block, points.class_index), 1)
    part = deal_blocks(counts, np.array(list(shares.values())), seed)
    names = np.array(list(shares))[part[block]]
    divided = points.with_split(names)
    _warn_of_missing_classes(divided, reporter)
    if buffer_m > 0 and folds is None:
        held_out = names != "train"
        near = within_reach(points, ~held_out, held_out, buffer_m)
        divided = points.with_split(np.where(near, "buffer", names))
    return divided


def assign_blocks(points: Points, block_size_m: float) -> NDArray[np.int64]:
    """Return the block of each point, numbered from 0 without gaps.

    Blocks are squares on the ground. Where the plane of the CRS is true to scale to 0.2 % at all points, as in UTM and
    national grids, their edges lie at whole multiples of their size in it. Elsewhere they follow parallels and meridians
    of the CRS's ellipsoid, and beyond 80 degrees the axes of an equal-area plane around the pole; sides are then right to
    1 % up to 10 km. The same ground is cut in the same way whichever points lie on it.
    """
    if not 0 < block_size_m < math.inf:
        raise ConfigError(
            f"The block size is {block_size_m} m. Expected a length above zero; "
            "a block should be longer than labels resemble each other."
        )
    cell = assign_cells(points.x, points.y, points.crs, block_size_m)
    _, block = np.unique(cell, axis=0, return_inverse=True)
    return np.asarray(block, dtype=np.int64).reshape(-1)


def deal_blocks(
    counts: NDArray[np.int64], shares: NDArray[np.float64], seed: int = 0
) -> NDArray[np.int64]:
    """Deal blocks out to parts so that every part gets its share of every class.

    The blocks that matter most to some class come first, each goes where it brings the parts closest to their
    shares; then single blocks are moved as long as that helps.

    Parameters
    ----------
    counts
        Points by block and class, int64 ``(block, class)``.
    shares
        Wanted share of each part, ``(part,)``, summing to 1.
    seed
        Breaks ties.

    Returns
    -------
    NDArray
        Part of each block, int64 ``(block,)``.
    """
    rng = np.random.default_rng(seed)
    counts = np.column_stack([counts, counts.sum(axis=1)])
    load = counts / np.maximum(counts.sum(axis=0), 1)
    order = np.lexsort((rng.random(len(load)), -load.max(axis=1)))
    part = np.full(len(load), -1, dtype=np.int64)
    filled = np.zeros((len(shares), load.shape[1]))
    for _ in range(_PASSES):
        moved = False
        for block in order:
            before = part[block]
            if before >= 0:
                filled[before] -= load[block]
            chosen = _best_part(filled, load[block], shares, rng, before)
            filled[chosen] += load[block]
            moved |= chosen != before
            part[block] = chosen
        if not moved:
            break
    return _fill_empty_parts(part, len(shares), load)


def iterate_folds(
    points: Points, *, buffer_m: float = 0.0, grid: Grid | None = None
) -> Iterator[Fold]:
    """Yield the rounds of a cross-validation: each fold once as the test.

    Parameters
    ----------
    points
        Points whose ``split`` names folds, as `split_points` makes them.
    buffer_m
        Training points this near to a test point are dropped; see `training_reach_m`.
    grid
        Measures nearness along the rows and columns of this grid, as chips lie.

    Raises
    ------
    PointsError
        If there are fewer than two folds.
    """
    names = sorted({name for name in points.split.tolist() if name.startswith("fold")}, key=_number)
    if len(names) < 2:
        raise PointsError(
            f"The points name {len(names)} folds in 'split'. Expected at least two; "
            "make them with 'geopointseg points split --folds 5'."
        )
    in_fold = np.isin(points.split, names)
    for name in names:
        test = points.split == name
        train = in_fold & ~test
        near = within_reach(points, train, test, buffer_m, grid=grid)
        yield Fold(name, points.select(train & ~near), points.select(test), int(near.sum()))


def training_reach_m(chip_size: int, receptive_field_px: int, resolution_m: float) -> float:
    """Return how far from a training point the network has looked: receptive field plus half a chip.

    Examples
    --------
    >>> training_reach_m(96, 40, 10.0)
    880.0
    """
    return (receptive_field_px + chip_size / 2) * resolution_m


def within_reach(
    points: Points,
    train: NDArray[np.bool_],
    test: NDArray[np.bool_],
    reach_m: float,
    *,
    grid: Grid | None = None,
) -> NDArray[np.bool_]:
    """Return which training points have a test point within reach.

    Near is what lies within reach on the ground. Chips are squares, so what lies within reach along both of two axes is
    near, too.

    Parameters
    ----------
    points
        All points.
    train, test
        Which of them are for training and for testing, bool ``(point,)``.
    reach_m
        The distance in metres; zero reaches nothing.
    grid
        Its rows and columns are the axes, where given; else the axes of the points' CRS.
    """
    from scipy.spatial import cKDTree

    near = np.zeros(len(points), dtype=bool)
    if reach_m <= 0 or not train.any() or not test.any():
        return near
    place = _places_m(points, grid)
    known = np.isfinite(place).all(axis=1)
    if (known & test).any() and (known & train).any():
        distance, _ = cKDTree(place[known & test]).query(place[known & train], p=np.inf)
        near[known & train] = distance <= reach_m
    ground = Positions.of(points.x, points.y, points.crs)
    left = train & ~near
    near[left] = ground.select(left).nearest(ground.select(test)) <= reach_m
    return near


def require_out_of_reach(
    train: Points, test: Points, reach_m: float, *, grid: Grid | None = None
) -> None:
    """Refuse a run in which a test point lies within reach of a training chip.

    Parameters
    ----------
    train, test
        The points.
    reach_m
        What training sees around its points, in metres; see `training_reach_m`.
    grid
        The scene's grid, along whose rows and columns chips lie.

    Raises
    ------
    PointsError
        If there is such a point; the message says how many and how near.
    """
    together = Points.concatenate([test, train.to_crs(test.crs)])
    is_test = np.arange(len(together)) < len(test)
    near = within_reach(together, is_test, ~is_test, reach_m, grid=grid)
    if near.any():
        raise PointsError(
            f"{near.sum()} of {len(test)} test points lie within {reach_m:.0f} m of a training point, where training "
            "chips reach. Expected test points that training has never seen, because scores would be too good; split "
            f"by blocks with a buffer of {reach_m:.0f} m, or leave these points out."
        )


def _shares(
    folds: int | None, test_fraction: float | None, validation_fraction: float
) -> dict[str, float]:
    if (folds is None) == (test_fraction is None):
        raise ConfigError(
            f"The split has folds={folds} and test_fraction={test_fraction}. Expected exactly one of the two; "
            "give a number of folds, or the share of points to hold out."
        )
    if folds is not None:
        if folds < 2:
            raise ConfigError(f"The number of folds is {folds}. Expected 2 or more; 5 is usual.")
        if validation_fraction:
            raise ConfigError(
                f"A validation fraction of {validation_fraction:g} was asked for with {folds} folds. Expected it with a "
                "test fraction; each fold is validation to the others."
            )
        return {f"fold{number}": 1 / folds for number in range(1, folds + 1)}
    test = float(test_fraction or 0)
    train = 1 - test - validation_fraction
    if not (0 < test < 1 and 0 <= validation_fraction < 1 and train > 0):
        raise ConfigError(
            f"The test fraction is {test:g} and the validation fraction {validation_fraction:g}. Expected shares "
            "between 0 and 1 that leave points for training; 0.3 and 0 are usual."
        )
    shares = {"train": train, "validation": validation_fraction, "test": test}
    return {name: share for name, share in shares.items() if share > 0}


def _best_part(
    filled: NDArray[np.float64],
    load: NDArray[np.float64],
    shares: NDArray[np.float64],
    rng: np.random.Generator,
    before: np.int64,
) -> int:
    gap = filled - shares[:, None]
    cost = ((2 * gap + load) * load).sum(axis=1)
    best = np.flatnonzero(cost <= cost.min() + 1e-12)
    return int(before) if before in best else int(rng.choice(best))


def _fill_empty_parts(
    part: NDArray[np.int64], parts: int, load: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Give every empty part the lightest block of the part that has most of them."""
    for empty in sorted(set(range(parts)) - set(part.tolist())):
        fullest = np.bincount(part, minlength=parts).argmax()
        candidates = np.flatnonzero(part == fullest)
        part[candidates[load[candidates].sum(axis=1).argmin()]] = empty
    return part


def _warn_of_missing_classes(points: Points, reporter: Reporter) -> None:
    for name in np.unique(points.split).tolist():
        counts = points.select(points.split == name).counts()
        lacking = [
            entry.name
            for entry, here, in_all in zip(
                points.legend.entries, counts, points.counts(), strict=True
            )
            if here == 0 and in_all > 0
        ]
        if lacking:
            reporter.warn(
                f"The part '{name}' has no points of {', '.join(lacking)}: their points lie in too few blocks. "
                "Smaller blocks or points in more places would help."
            )


def _places_m(points: Points, grid: Grid | None) -> NDArray[np.float64]:
    if grid is None:
        return local_plane(points.x, points.y, points.crs)
    moved = points.to_crs(grid.crs)
    wide, high = grid.pixel_sides_m
    return np.column_stack(grid.world_to_pixel(moved.x, moved.y)) * [high, wide]


def _number(fold: str) -> int:
    return int(fold.removeprefix("fold"))
