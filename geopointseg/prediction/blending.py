"""How overlapping windows become one: weights along each axis that sum to one at every pixel.

A window's prediction is worse near its edges, where context is missing. So windows overlap, and each pixel
takes the weighted mean of the probabilities of the windows that see it. Weights are products of one profile for
rows and one for columns, and profiles are normalized beforehand: the weighted sum is the mean, and no sum of
weights has to be kept. The border of the raster is not an edge in this sense; there is nothing beyond it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Blend = Literal["hann", "gaussian", "crop"]

GAUSSIAN_WIDTHS = 6.0
"""Standard deviations in a window's side, for Gaussian weights."""


def blend_profiles(
    origins: Sequence[int], size: int, blend: Blend, margin: int = 0
) -> list[NDArray[np.float32]]:
    """Return the normalized weights of all windows along one axis.

    Parameters
    ----------
    origins
        First pixel of each window, ascending; neighbours overlap or touch.
    size
        Pixels of a window.
    blend
        ``hann`` fades neighbours into each other over their overlap, ``gaussian`` weighs by the distance to the
        windows' centres, ``crop`` switches in the middle of the overlap.
    margin
        Pixels at an edge that get no weight where a neighbour sees them better (``hann`` only), as far as the
        overlap allows.

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
    """Return weights that rise from zero to one over an overlap, symmetric about its middle."""
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
    """Add one window's weighted channels to the sums of a tile; the channels are overwritten.

    Parameters
    ----------
    sums
        float32 ``(channel, row, col)``.
    channels
        float32 ``(channel, row, col)`` of the window.
    weights
        float32 ``(row, col)``; zero where the pixel is not wanted.
    row, col
        Where the window's first pixel lies in the tile.
    """
    height, width = weights.shape
    channels *= weights
    sums[:, row : row + height, col : col + width] += channels
