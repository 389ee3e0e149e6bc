"""Arithmetic of sampling: the drawing of labels, and the position of each label in its chip.

The functions take arrays, no files or datasets. The random ones take a numpy generator, so that a seed determines them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geopointseg.errors import PointsError


def class_shares(counts: ArrayLike, balance: float) -> NDArray[np.float64]:
    """Return the share of draws that each class gets.

    Parameters
    ----------
    counts
        Labels a class, shape ``(class,)``; classes without labels get nothing.
    balance
        0 draws labels as they are, 1 draws every class equally often; in between the shares are
        proportional to ``counts ** (1 - balance)``.

    Returns
    -------
    ndarray
        float64 ``(class,)`` that sums to 1.

    Raises
    ------
    PointsError
        If no class has a label.

    Examples
    --------
    >>> class_shares([90, 10, 0], balance=1)
    array([0.5, 0.5, 0. ])
    >>> class_shares([90, 10], balance=0)
    array([0.9, 0.1])
    """
    numbers = np.asarray(counts, dtype=np.float64)
    if not (numbers > 0).any():
        raise PointsError(
            "No label is left to draw chips around. Expected at least one labelled pixel on a scene; "
            "check with `check_points` that points and scenes lie on the same ground."
        )
    present = numbers > 0
    raised = np.where(present, np.where(present, numbers, 1.0) ** (1.0 - balance), 0.0)
    return np.asarray(raised / raised.sum())


def draw_labels(
    class_index: ArrayLike, count: int, balance: float, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Draw labels, balanced over classes and evenly within each class.

    Classes are drawn by systematic sampling and the labels of a class in shuffled rounds. In every epoch, the number of draws
    of a class differs from its share by less than one, and a label is drawn again only after all others of its class. This
    reduces the variance between short runs.

    Parameters
    ----------
    class_index
        Class of every label, shape ``(label,)``.
    count
        Number of draws.
    balance
        See `class_shares`.
    generator
        Source of randomness.

    Returns
    -------
    ndarray
        int64 ``(count,)``, positions in ``class_index``, in random order.
    """
    _, member_of, counts = np.unique(
        np.asarray(class_index), return_inverse=True, return_counts=True
    )
    expected = class_shares(counts, balance).cumsum() * count
    edges = np.floor(np.concatenate([[0.0], expected]) + generator.random())
    edges[-1] = edges[0] + count
    by_class = np.argsort(member_of, kind="stable")
    groups = np.split(by_class, counts.cumsum()[:-1])
    drawn = [
        _rounds(members, int(quota), generator)
        for members, quota in zip(groups, np.diff(edges), strict=True)
    ]
    return generator.permutation(np.concatenate(drawn))


def _rounds(
    members: NDArray[np.int64], count: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Draw members in shuffled rounds, each round through all of them."""
    rounds = np.tile(members, (-(-count // len(members)), 1))
    shuffled: NDArray[np.int64] = generator.permuted(rounds, axis=1).ravel()[:count]
    return shuffled


def jitter_positions(
    count: int, size: int, jitter: float, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Draw where in a chip its label lies, along one axis.

    Parameters
    ----------
    count
        Number of chips.
    size
        Side of the chip in pixels.
    jitter
        How far from the centre the label may lie, as a share of half the chip; 0 centres it, 1 lets it lie
        anywhere.
    generator
        Source of randomness.

    Returns
    -------
    ndarray
        int64 ``(count,)`` from 0 to ``size - 1``.
    """
    offset = generator.uniform(-1.0, 1.0, count) * jitter * size / 2
    return np.clip(np.floor(size / 2 + offset), 0, size - 1).astype(np.int64)


def keep_inside(start: NDArray[np.int64], size: int, length: ArrayLike) -> NDArray[np.int64]:
    """Move chips back over the scene's border, along one axis.

    A chip that reaches over the border is moved until it lies inside, which cannot push out a label that lies
    inside. Scenes shorter than the chip are centred in it.

    Parameters
    ----------
    start
        First pixel of every chip, shape ``(chip,)``.
    size
        Side of the chip in pixels.
    length
        Rows or columns of the scene, a number or one for every chip.
    """
    longest = np.asarray(length, dtype=np.int64)
    inside = np.clip(start, 0, np.maximum(longest - size, 0))
    return np.where(longest >= size, inside, -((size - longest) // 2))


def window_offsets(length: int, size: int, stride: int) -> list[int]:
    """Return where windows begin that cover an axis; the last one ends at the border.

    Examples
    --------
    >>> window_offsets(100, 40, 40)
    [0, 40, 60]
    >>> window_offsets(30, 40, 40)
    [-5]
    """
    if length <= size:
        return [-((size - length) // 2)]
    starts = list(range(0, length - size, stride))
    return [*starts, length - size]
