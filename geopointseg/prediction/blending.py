"""Blending of overlapping windows, with weights that sum to one at every pixel.

The predictions of a window are less accurate near its edges, where context is missing. So windows overlap, and each pixel
gets the weighted mean of the probabilities of all windows that contain it. A weight is the product of one profile along the
rows and one along the columns. Profiles are normalized in advance, so the weighted sum is the mean, and no sum of weights is
stored. The border of the raster is no such edge, because there is no context beyond it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Blend = Literal["hann", "gaussian", "crop"]

GAUSSIAN_WIDTHS = 6.0
"""Side of a window in standard deviations of the Gaussian weights."""


def blend_profiles(
    origins: Sequence[int], size: int, blend: Blend, margin: int = 0
) -> list[NDArray[np.float32]]:
    """Return the normalized weights of all windows along one axis.

    Parameters
    ----------
    origins
        First pixel of each window, ascending; neighbours overlap or touch.
    size
        Number of pixels of a window.
    blend
        ``hann``: the weight changes from one neighbour to the other over their overlap; ``gaussian``: the weight decreases
        with the distance to the centre of the window; ``crop``: the weight changes in the middle of the overlap.
    margin
        Number of pixels at an edge with zero weight where a neighbour overlaps (``hann`` only), at most half the overlap.

    Returns
    -------
    list of ndarray
        float32 ``(size,)`` each; at every pixel the windows' weights sum to one.

    References
    ----------
    N. Pielawski and C. Wählby, Introducing Hann windows for reducing edge-effects in patch-based image
    segmentation, PLOS ONE 15:e0229839, 2020, doi:10.1371/journal.pone.0229839.

    Examples
    --------
    >>> [p.tolist() for p in blend_profiles([0, 2], 4, "crop")]
    [[1.0, 1.0, 1.0, 0.0], [0.0, 1.0, 1.0, 1.0]]
    """
    if blend == "gaussian":
        raw = [_gaussian(size) for _ in origins]
    else:
        raw = [np.ones(size) for _ in origins]
        for before, after, step in zip(raw[:-1], raw[1:], np.diff(origins).tolist(), strict=True):
            rise = _rise(size - step, blend, margin)
            before[step:] *= rise[::-1]
            after[: size - step] *= rise
    total = np.zeros(origins[-1] + size)
    for start, weights in zip(origins, raw, strict=True):
        total[start : start + size] += weights
    return [
        (weights / total[start : start + size]).astype(np.float32)
        for start, weights in zip(origins, raw, strict=True)
    ]


def _gaussian(size: int) -> NDArray[np.float64]:
    distance = (np.arange(size) + 0.5 - size / 2) / (size / GAUSSIAN_WIDTHS)
    return np.asarray(np.exp(-0.5 * distance**2))


def _rise(overlap: int, blend: Blend, margin: int) -> NDArray[np.float64]:
    """Return weights that increase from zero to one over an overlap, symmetric about its middle."""
    if blend == "crop":
        return np.asarray(np.arange(overlap) + 0.5 >= overlap / 2, dtype=np.float64)
    flat = min(margin, overlap // 2)
    ramp = overlap - 2 * flat
    place = (np.arange(overlap) - flat + 0.5) / max(ramp, 1)
    return np.asarray(np.sin(np.pi / 2 * place.clip(0.0, 1.0)) ** 2)


def add_window(
    sums: NDArray[np.float32],
    channels: NDArray[np.float32],
    weights: NDArray[np.float32],
    row: int,
    col: int,
) -> None:
    """Add the weighted channels of one window to the sums of a tile; the channels are overwritten.

    Parameters
    ----------
    sums
        float32 ``(channel, row, col)``.
    channels
        float32 ``(channel, row, col)`` of the window.
    weights
        float32 ``(row, col)``; zero where the pixel is not mapped.
    row, col
        Position of the window's first pixel in the tile.
    """
    height, width = weights.shape
    if not (weights == 1.0).all():
        channels *= weights
    sums[:, row : row + height, col : col + width] += channels
