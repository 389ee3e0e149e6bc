"""Features of places: numbers that describe the surroundings of a pixel, to compare places with each other.

Suggestion and applicability compare places by the same features: the standardized bands, and the local mean and standard
deviation of each band in Gaussian windows of 2 and 5 pixels. The vectors of an embedding are compared as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.labels.points import Points
from geopointseg.labels.sparse_mask import find_pixels
from geopointseg.model.bundle import ModelBundle
from geopointseg.model.filter_bank import FilterBank
from geopointseg.raster.scene import Scene

_BANK = FilterBank(scales=(2.0, 5.0), kinds=("mean", "deviation"))


@dataclass(frozen=True)
class PlaceFeatures:
    """Computes the features of places in the bands of a model.

    Parameters
    ----------
    model
        Its normalization is applied to its bands, which come first in every image.
    most_bands
        Further bands are left out, because each one adds five features.
    """

    model: ModelBundle
    most_bands: int

    @property
    def is_embedding(self) -> bool:
        """Whether the bands are the dimensions of an embedding, which are all compared and not filtered."""
        return bool(getattr(self.model, "metadata", {}).get("embedding"))

    @property
    def margin_px(self) -> int:
        """Pixels on every side of a pixel that its features depend on."""
        return 0 if self.is_embedding else _BANK.margin_px

    @property
    def count(self) -> int:
        """Number of features."""
        if self.is_embedding:
            return len(self.model.bands)
        return _BANK.count(min(len(self.model.bands), self.most_bands))

    def compute(self, image: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return the features of an image.

        Parameters
        ----------
        image
            float32 ``(band, row, col)``.
        valid
            bool ``(row, col)``.

        Returns
        -------
        ndarray
            float32 ``(feature, row, col)``, 0 where not valid.
        """
        bands = self.model.normalization.apply(image[: len(self.model.bands)], valid)
        if self.is_embedding:
            return bands
        return _BANK.compute(bands[: self.most_bands], valid)

    def compute_at(
        self, scenes: Iterable[Scene], points: Points
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the features of the pixels under points.

        Parameters
        ----------
        scenes
            Scenes with the model's bands; a point on several counts on each.
        points
            Points in any CRS; lines and polygons count at their representative point.

        Returns
        -------
        features
            float64 ``(place, feature)``, one place for each scene and point with a valid pixel.
        owner
            int64 ``(place,)``, position of the point.
        """
        m = self.margin_px
        features, owner = [], []
        for scene in scenes:
            row, col = find_pixels(points.x, points.y, points.crs, scene.grid)
            for index in np.flatnonzero(row >= 0).tolist():
                around = Window(int(col[index]) - m, int(row[index]) - m, 2 * m + 1, 2 * m + 1)
                chip = scene.read(around)
                if chip.valid[m, m]:
                    features.append(self.compute(chip.image, chip.valid)[:, m, m])
                    owner.append(index)
        values = np.array(features, dtype=np.float64).reshape(len(owner), self.count)
        return values, np.array(owner, dtype=np.int64)
