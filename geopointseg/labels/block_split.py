"""Split of points by spatial blocks, so that scores of held-out points are valid for other places.

Labels of neighbouring points are correlated, and a training chip shows the surroundings of its points. Points are therefore
held out by whole blocks, with classes balanced over the parts, and training points within reach of a test point are left
out.

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
        The training points and the test points.
    left_out
        Number of points left out of training because they lie within reach of a test point.
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
    """Split points by spatial blocks, either into folds or into training, validation and test points.

    All points of a block go to the same part, and every part gets its share of every class.

    Parameters
    ----------
    points
        The points; an existing split is replaced.
    block_size_m
        Side of a block in metres; by default the range of the labels' variogram, beyond which labels are uncorrelated.
    folds
        Number of folds, named ``fold1``, ``fold2`` ...
    test_fraction
        Share of the points to hold out as ``test``, instead of folds.
    validation_fraction
        Share of the points to hold out as ``validation``, beside ``test_fraction``.
    seed
        Seed of the split.
    buffer_m
        Training points within this distance of a held-out point, in metres, are marked ``buffer``. With folds this depends
        on the round; use `iterate_folds`.
    reporter
        Warned of parts that lack a class.

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
            f"A buffer of {buffer_m:g} m was given with {folds} folds. Expected it with a test fraction, because the points "
            "near test points change from fold to fold; choose larger blocks, or `test_fraction=`."
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
        _require_training_points(points.select(names == "train"), near[names == "train"], reporter)
    return divided


def _require_training_points(training: Points, near: NDArray[np.bool_], reporter: Reporter) -> None:
    """Refuse a buffer that leaves no training points, and warn of classes of which it leaves none."""
    left = training.select(~near)
    if not len(left):
        raise PointsError(
            f"All {len(training)} training points lie in the buffer around the other points. Expected some outside of it; choose a smaller "
            "buffer, or larger blocks."
        )
    lost = np.flatnonzero((left.counts() == 0) & (training.counts() > 0))
    if len(lost):
        names = ", ".join(training.legend.names[k] for k in lost)
        reporter.warn(
            f"No training points of {names} are left outside of the buffer around the other points. A smaller buffer would keep some."
        )


def assign_blocks(points: Points, block_size_m: float) -> NDArray[np.int64]:
    """Assign each point to a spatial block.

    Blocks are squares. Where the scale of the CRS is true to 0.2 % at all points, as in UTM and national grids, their edges
    lie at whole multiples of their size in the CRS. Elsewhere they follow parallels and meridians of the CRS's ellipsoid,
    and beyond 80 degrees the axes of an equal-area plane around the pole; sides are then accurate to 1 % up to 10 km.
    Block edges do not depend on the points.

    Parameters
    ----------
    points
        The points.
    block_size_m
        Side of a block in metres.

    Returns
    -------
    ndarray
        Block of each point, int64 ``(point,)``, numbered from 0 without gaps.

    Raises
    ------
    ConfigError
        If the size is not above zero.
    """
    if not 0 < block_size_m < math.inf:
        raise ConfigError(
            f"The block size is {block_size_m} m. Expected a length above zero; "
            "a block should be longer than the distance over which labels are correlated."
        )
    cell = assign_cells(points.x, points.y, points.crs, block_size_m)
    _, block = np.unique(cell, axis=0, return_inverse=True)
    return np.asarray(block, dtype=np.int64).reshape(-1)


def deal_blocks(
    counts: NDArray[np.int64], shares: NDArray[np.float64], seed: int = 0
) -> NDArray[np.int64]:
    """Assign blocks to parts so that every part gets its share of every class.

    Blocks with the largest share of any class come first. Each goes to the part that brings the shares of points closest to
    those wanted. Then single blocks are moved as long as that improves the shares.

    Parameters
    ----------
    counts
        Points by block and class, int64 ``(block, class)``.
    shares
        Wanted share of each part, float64 ``(part,)``; sums to 1.
    seed
        Seed of the tie-breaking.

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
    """Yield the rounds of a cross-validation: each fold is the test once.

    Parameters
    ----------
    points
        Points whose ``split`` names folds, as `split_points` makes them.
    buffer_m
        Training points within this distance of a test point, in metres, are left out; see `training_reach_m`.
    grid
        Distances are measured along the rows and columns of this grid, as chips lie.

    Yields
    ------
    Fold
        In the order of their numbers.

    Raises
    ------
    PointsError
        If there are fewer than two folds.
    """
    names = sorted({name for name in points.split.tolist() if name.startswith("fold")}, key=_number)
    if len(names) < 2:
        raise PointsError(
            f"The points name {len(names)} folds in 'split'. Expected at least two; "
            "make them with `split_points(folds=5)`."
        )
    in_fold = np.isin(points.split, names)
    for name in names:
        test = points.split == name
        train = in_fold & ~test
        near = within_reach(points, train, test, buffer_m, grid=grid)
        yield Fold(name, points.select(train & ~near), points.select(test), int(near.sum()))


def training_reach_m(chip_size: int, receptive_field_px: int, resolution_m: float) -> float:
    """Return the reach of training around a point in metres: receptive field plus half a chip.

    Parameters
    ----------
    chip_size
        Side of a chip in pixels.
    receptive_field_px
        Receptive field of the network in pixels.
    resolution_m
        Side of a pixel in metres.

    Returns
    -------
    float
        The reach in metres.

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

    A point is within reach if its geodesic distance is, or, because chips are squares, if its distances along both of two
    axes are.

    Parameters
    ----------
    points
        All points.
    train, test
        Which of them are for training and for testing, bool ``(point,)``.
    reach_m
        The distance in metres; with zero no point is within reach.
    grid
        Its rows and columns are the axes; by default those of the points' CRS.

    Returns
    -------
    ndarray
        bool ``(point,)``; False for points that are not for training.
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
    positions = Positions.of(points.x, points.y, points.crs)
    left = train & ~near
    near[left] = positions.select(left).nearest(positions.select(test)) <= reach_m
    return near


def require_out_of_reach(
    train: Points, test: Points, reach_m: float, *, grid: Grid | None = None
) -> None:
    """Raise an error if a test point lies within reach of a training chip.

    Parameters
    ----------
    train, test
        The points.
    reach_m
        Reach of training around its points, in metres; see `training_reach_m`.
    grid
        The scene's grid, along whose rows and columns chips lie.

    Raises
    ------
    PointsError
        If there is such a point; the message gives their number and the distance.
    """
    together = Points.concatenate([test, train.to_crs(test.crs)])
    is_test = np.arange(len(together)) < len(test)
    near = within_reach(together, is_test, ~is_test, reach_m, grid=grid)
    if near.any():
        raise PointsError(
            f"{near.sum()} of {len(test)} test points lie within {reach_m:.0f} m of a training point, where training "
            "chips reach. Expected test points beyond all training chips, because scores would be too good; split by blocks "
            f"with a buffer of {reach_m:.0f} m, or leave these points out."
        )


def _shares(
    folds: int | None, test_fraction: float | None, validation_fraction: float
) -> dict[str, float]:
    if (folds is None) == (test_fraction is None):
        raise ConfigError(
            f"`folds=` is {folds} and `test_fraction=` is {test_fraction}. Expected exactly one of the two; "
            "give a number of folds, or the share of points to hold out."
        )
    if folds is not None:
        if folds < 2:
            raise ConfigError(f"The number of folds is {folds}. Expected 2 or more; 5 is usual.")
        if validation_fraction:
            raise ConfigError(
                f"A validation fraction of {validation_fraction:g} was given with {folds} folds. Expected it with a test "
                "fraction; with folds, each one is the validation of the others."
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
    """Give every empty part the block with the smallest share from the part with most blocks."""
    for empty in sorted(set(range(parts)) - set(part.tolist())):
        fullest = np.bincount(part, minlength=parts).argmax()
        candidates = np.flatnonzero(part == fullest)
        part[candidates[load[candidates].sum(axis=1).argmin()]] = empty
    return part


def _warn_of_missing_classes(points: Points, reporter: Reporter) -> None:
    for name in np.unique(points.split).tolist():
        here = points.select(points.split == name).counts()
        lacking = [
            points.legend.names[k] for k in np.flatnonzero((here == 0) & (points.counts() > 0))
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
