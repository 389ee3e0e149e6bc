"""Halving a raster for its overviews, by majority for classes and by mean for quantities.

Nodata is ignored: a coarse pixel is nodata only where all four of its fine pixels are.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from geopointseg.raster.validity import differs_from_nodata

Resampling = Literal["mode", "average"]


def halve(values: NDArray[Any], nodata: float, resampling: Resampling) -> NDArray[Any]:
    """Return a raster of half the size, rounded up.

    Parameters
    ----------
    values
        ``(band, row, col)``.
    nodata
        Value of pixels that are ignored; may be NaN.
    resampling
        ``mode`` takes the most frequent of the four values (the first one where they tie), ``average`` their
        mean.

    Returns
    -------
    numpy.ndarray
        ``(band, row, col)`` of half the rows and columns, of the same data type.

    Examples
    --------
    >>> halve(np.array([[[1, 2, 0], [2, 0, 0]]], dtype=np.uint8), 0, "mode")
    array([[[2, 0]]], dtype=uint8)
    """
    height, width = values.shape[1:]
    odd = ((0, 0), (0, height % 2), (0, width % 2))
    if height % 2 or width % 2:
        values = np.pad(values, odd, constant_values=nodata)
    quarters = [values[:, row::2, col::2] for row in (0, 1) for col in (0, 1)]
    is_valid = [differs_from_nodata(quarter, nodata) for quarter in quarters]
    if resampling == "mode":
        return _majority(quarters, is_valid)
    return _mean(quarters, is_valid, nodata)


def _majority(quarters: list[NDArray[Any]], is_valid: list[NDArray[np.bool_]]) -> NDArray[Any]:
    best = quarters[0].copy()
    best_votes = np.zeros(best.shape, dtype=np.uint8)
    for value, valid in zip(quarters, is_valid, strict=True):
        votes = np.zeros(best.shape, dtype=np.uint8)
        for other in quarters:
            votes += other == value
        votes *= valid
        np.copyto(best, value, where=votes > best_votes)
        np.maximum(votes, best_votes, out=best_votes)
    return best


def _mean(
    quarters: list[NDArray[Any]], is_valid: list[NDArray[np.bool_]], nodata: float
) -> NDArray[Any]:
    total = np.zeros(quarters[0].shape, dtype=np.float32)
    count = np.zeros(quarters[0].shape, dtype=np.float32)
    for value, valid in zip(quarters, is_valid, strict=True):
        np.add(total, value, out=total, where=valid)
        count += valid
    mean = total / np.maximum(count, 1)
    if np.issubdtype(quarters[0].dtype, np.integer):
        mean = np.rint(mean)
    return np.where(count > 0, mean, nodata).astype(quarters[0].dtype)
