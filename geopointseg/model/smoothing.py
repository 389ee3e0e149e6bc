"""Edge-aware smoothing of probabilities with a guided filter.

The guided filter fits the probabilities in every square window by a linear function of a guide image. Where the guide is
flat, this is the mean; at an edge of the guide, both sides keep their values. The filter needs a few box filters, so its
cost does not depend on the radius. Invalid pixels have zero weight.

References
----------
K. He, J. Sun and X. Tang 2013, Guided image filtering, https://doi.org/10.1109/TPAMI.2012.213.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class GuidedFilter:
    """A guided filter for one guide image.

    Parameters
    ----------
    guide
        float32 ``(row, col)``, preferably with mean 0 and standard deviation 1.
    valid
        bool ``(row, col)``.
    radius_px
        Windows are ``2 * radius_px + 1`` wide; 0 changes nothing.
    tolerance
        Variance of the guide below which a window is treated as flat.

    Examples
    --------
    >>> guide = np.repeat([[0, 0, 0, 0, 1, 1, 1, 1]], 8, axis=0).astype(np.float32)
    >>> noisy = np.stack([guide, 1 - guide])
    >>> smooth = GuidedFilter(guide, np.ones((8, 8), bool), 2, 0.01).apply(noisy)
    >>> bool(smooth[0, :, 3].max() < 0.1), bool(smooth[0, :, 4].min() > 0.9)
    (True, True)
    """

    guide: Plane
    valid: NDArray[np.bool_]
    radius_px: int
    tolerance: float = 0.3

    def apply(self, planes: Plane) -> Plane:
        """Smooth probabilities.

        Parameters
        ----------
        planes
            float32 ``(class, row, col)``.

        Returns
        -------
        NDArray
            float32 of the same shape, not negative; the sum over the classes is that of the window around the pixel.
        """
        if self.radius_px == 0:
            return planes
        inside = self.valid.astype(np.float32)
        share = np.maximum(self._box(inside), np.float32(1e-6))
        guide = np.where(self.valid, self.guide, np.float32(0.0))
        mean = self._box(guide) / share
        variance = np.maximum(self._box(guide * guide) / share - mean * mean, 0)
        smooth = np.empty_like(planes)
        for plane, out in zip(planes, smooth, strict=True):
            inner = plane * inside
            level = self._box(inner) / share
            shared = self._box(inner * guide) / share - level * mean
            slope: Plane = np.asarray(shared / (variance + self.tolerance), dtype=np.float32)
            offset: Plane = np.asarray((level - slope * mean) * inside, dtype=np.float32)
            slope *= inside
            np.divide(self._box(slope) * guide + self._box(offset), share, out=out)
        return np.maximum(smooth, 0, out=smooth)

    def _box(self, plane: Plane) -> Plane:
        from scipy import ndimage

        mean: Plane = ndimage.uniform_filter(
            plane, 2 * self.radius_px + 1, mode="constant", output=np.float32
        )
        return mean
