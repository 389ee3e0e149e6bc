"""Linear mixing of bands, for cameras with different spectral filters.

Curves transform each band separately. With other filters, or through haze, each band of one camera is a mixture of
bands of the other. Many linear maps give the pixels of one image the mean and covariance of the other. `fit_mixing`
returns the one that changes pixels least, so images that agree stay unchanged.

References
----------
Pitie, Kokaram (2007), The linear Monge-Kantorovitch linear colour mapping for example-based colour transfer,
doi:10.1049/cp:20070055.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopointseg.summary import described

FEWEST_PIXELS_A_BAND = 100
"""Least number of pixels per band from which a covariance is estimated."""

_RIDGE = 1e-3
"""Share of the mean variance that is added to each band's variance, so that the covariance can be inverted."""


@described
@dataclass(frozen=True)
class Mixing:
    """A linear map from the bands of an image to as many others.

    Parameters
    ----------
    weights
        One row of weights for each new band, a weight for each old one.
    offset
        What is added to each new band.

    Examples
    --------
    >>> Mixing(((0.5, 0.5), (0.0, 1.0)), (0.0, 1.0)).apply(np.float32([[[2]], [[4]]])).ravel()
    array([3., 5.], dtype=float32)
    """

    weights: tuple[tuple[float, ...], ...]
    offset: tuple[float, ...]

    def apply(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the mixed bands, float32 of the image's shape ``(band, ...)``."""
        weights = np.array(self.weights, dtype=np.float32)
        offset = np.array(self.offset, dtype=np.float32)
        flat = weights @ image.reshape(len(image), -1)
        flat += offset[:, None]
        return np.asarray(flat.reshape(image.shape), dtype=np.float32)

    def span(
        self, low: NDArray[np.float64], high: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the range of each new band, given the ranges of the old ones."""
        weights, offset = np.array(self.weights), np.array(self.offset)
        up, down = np.maximum(weights, 0), np.minimum(weights, 0)
        return up @ low + down @ high + offset, up @ high + down @ low + offset

    def to_json(self) -> dict[str, Any]:
        """Return the map as plain numbers."""
        return {"weights": [list(row) for row in self.weights], "offset": list(self.offset)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Mixing:
        """Read what `to_json` returned."""
        rows = tuple(tuple(float(v) for v in row) for row in data["weights"])
        return cls(rows, tuple(float(v) for v in data["offset"]))


def fit_mixing(x: NDArray[np.float32], y: NDArray[np.float32]) -> Mixing | None:
    """Fit the linear map that gives pixels the mean and covariance of others and changes them least.

    Parameters
    ----------
    x, y
        Pixels ``(band, pixel)`` of the image to be changed and of the reference.

    Returns
    -------
    Mixing or None
        None where the pixels are too few for their bands.
    """
    bands = len(x)
    if bands < 2 or min(x.shape[1], y.shape[1]) < FEWEST_PIXELS_A_BAND * bands:
        return None
    of_x, of_y = (_covariance(v) for v in (x, y))
    root, inverse = _power(of_x, 0.5), _power(of_x, -0.5)
    weights = inverse @ _power(root @ of_y @ root, 0.5) @ inverse
    offset = y.mean(axis=1, dtype=np.float64) - weights @ x.mean(axis=1, dtype=np.float64)
    return Mixing(tuple(map(tuple, weights.tolist())), tuple(offset.tolist()))


def _covariance(pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    covariance = np.cov(pixels.astype(np.float64))
    ridge = _RIDGE * np.trace(covariance) / len(covariance)
    return np.asarray(covariance + ridge * np.eye(len(covariance)))


def _power(matrix: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(matrix)
    floor = 1e-12 * max(float(values[-1]), 1e-300)
    return np.asarray((vectors * np.maximum(values, floor) ** exponent) @ vectors.T)
