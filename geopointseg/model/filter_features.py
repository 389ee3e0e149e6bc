"""Features of a forest: standardized bands, and filters of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geopointseg.errors import ModelError, TrainingError
from geopointseg.model.filter_bank import FilterBank

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

MOST_TEXTURE_BANDS = 12
"""Above this number of bands, filters are applied to the first principal components."""
COMPONENTS = 8
"""Number of principal components that are filtered."""
_TILE_BYTES = 160 * 2**20


@dataclass(frozen=True, eq=False)
class FeatureExtractor:
    """Computes the features of an image: standardized bands, and filters of them.

    Parameters
    ----------
    bank
        The filters.
    mean, std
        Mean and standard deviation per band, float32 ``(band,)``.
    textures
        Planes to filter, as weights of the standardized bands, float32 ``(texture, band)``: the identity, or principal
        components where there are many bands.
    axis
        Guide of the smoothing, as weights of the standardized bands, float32 ``(band,)``.
    """

    bank: FilterBank
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    textures: NDArray[np.float32]
    axis: NDArray[np.float32]

    ARRAYS = ("mean", "std", "textures", "axis")

    @classmethod
    def fit(cls, images: Sequence[tuple[Image, Mask]], bank: FilterBank) -> Self:
        """Compute means, standard deviations and principal components of images.

        Parameters
        ----------
        images
            Image float32 ``(band, row, col)`` and bool ``(row, col)``, where it is valid.
        bank
            The filters.

        Returns
        -------
        FeatureExtractor
            For images with the same bands.

        Raises
        ------
        TrainingError
            If no pixel is valid.
        """
        step = max(int(np.sqrt(sum(v.size for _, v in images) / 200_000)), 1)
        sample = np.concatenate([i[:, ::step, ::step][:, v[::step, ::step]].T for i, v in images])
        if not len(sample):
            sample = np.concatenate([i[:, v].T for i, v in images])
        if not len(sample):
            raise TrainingError(
                "The forest was given images without a valid pixel. Expected imagery; check the scene's nodata."
            )
        mean, std = sample.mean(axis=0, dtype=np.float64), sample.std(axis=0, dtype=np.float64)
        std = np.where(std > 1e-6 * np.maximum(np.abs(mean), 1e-6), std, 1.0)
        bands = len(mean)
        covariance = (
            np.atleast_2d(np.cov(((sample - mean) / std).T)) if len(sample) > 1 else np.eye(bands)
        )
        values, vectors = np.linalg.eigh(covariance)
        vectors = vectors[:, ::-1] * np.sign(vectors[:, ::-1].sum(axis=0) + 1e-9)
        axis = vectors[:, 0] / np.sqrt(max(values[-1], 1e-6))
        textures = vectors[:, :COMPONENTS].T if bands > MOST_TEXTURE_BANDS else np.eye(bands)
        return cls(bank, *(a.astype(np.float32) for a in (mean, std, textures, axis)))

    @property
    def bands(self) -> int:
        """Number of bands."""
        return len(self.mean)

    @property
    def is_projected(self) -> bool:
        """Whether principal components are filtered instead of bands."""
        return len(self.textures) != self.bands and bool(self.bank.scales)

    @property
    def count(self) -> int:
        """Number of features; the standardized bands come first."""
        if self.is_projected:
            return self.bands + self.bank.count(len(self.textures))
        return self.bank.count(self.bands)

    def standardize(self, image: Image, valid: Mask) -> Image:
        """Return bands with mean 0 and standard deviation 1, and 0 where invalid.

        Raises
        ------
        ModelError
            If the number of bands is not the expected one.
        """
        if len(image) != self.bands:
            raise ModelError(
                f"The image has {len(image)} bands. Expected the {self.bands} that the forest was trained with; "
                "choose the same bands."
            )
        scaled = (image - self.mean[:, None, None]) / self.std[:, None, None]
        return np.where(valid, scaled, np.float32(0.0)).astype(np.float32, copy=False)

    def guide(self, standardized: Image) -> NDArray[np.float32]:
        """Return the first principal component of a standardized image, ``(row, col)``."""
        guide: NDArray[np.float32] = np.tensordot(self.axis, standardized, axes=1)
        return guide

    def features(self, standardized: Image, valid: Mask) -> NDArray[np.float32]:
        """Return the features of a standardized image, ``(feature, row, col)``."""
        if not self.is_projected:
            return self.bank.compute(standardized, valid)
        textures = np.tensordot(self.textures, standardized, axes=1).astype(np.float32)
        return np.concatenate([standardized, self.bank.compute(textures, valid)])

    def tiles(
        self, standardized: Image, valid: Mask
    ) -> Iterator[tuple[slice, slice, NDArray[np.float32]]]:
        """Yield rows, columns and samples float32 ``(pixel, feature)`` of tiles of a standardized image, in bounded memory."""
        margin = self.bank.margin_px
        side = max(int(np.sqrt(_TILE_BYTES / 8 / self.count)) - 2 * margin, 128)
        height, width = valid.shape
        for top in range(0, height, side):
            for left in range(0, width, side):
                rows = slice(top, min(top + side, height))
                cols = slice(left, min(left + side, width))
                if valid[rows, cols].any():
                    inner = self.window(standardized, valid, rows, cols)
                else:
                    inner = np.zeros((self.count, rows.stop - top, cols.stop - left), np.float32)
                yield rows, cols, inner.reshape(self.count, -1).T

    def window(
        self, standardized: Image, valid: Mask, rows: slice, cols: slice
    ) -> NDArray[np.float32]:
        """Return the features of a window, computed with the necessary context.

        Parameters
        ----------
        standardized
            float32 ``(band, row, col)``, as `standardize` returns it.
        valid
            bool ``(row, col)``.
        rows, cols
            The window.

        Returns
        -------
        ndarray
            float32 ``(feature, row, col)``.
        """
        margin = self.bank.margin_px
        top, left = max(rows.start - margin, 0), max(cols.start - margin, 0)
        window = slice(top, rows.stop + margin), slice(left, cols.stop + margin)
        features = self.features(standardized[:, *window], valid[window])
        return features[:, rows.start - top : rows.stop - top, cols.start - left : cols.stop - left]

    @classmethod
    def from_arrays(cls, bank: FilterBank, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Build an extractor from its filters and the arrays of `to_arrays`.

        Raises
        ------
        ModelError
            If the arrays are not finite float32 numbers, or their shapes do not agree.
        """
        mean, std, textures, axis = (np.asarray(arrays[name]) for name in cls.ARRAYS)
        is_sound = (
            mean.ndim == 1
            and mean.shape == std.shape == axis.shape == textures.shape[1:]
            and all(
                a.dtype == np.float32 and np.isfinite(a).all() for a in (mean, std, textures, axis)
            )
        )
        if not is_sound:
            raise ModelError(
                "The arrays of the forest's features are not finite numbers of one band count. Expected arrays as training wrote "
                "them; copy the model folder again."
            )
        return cls(bank, mean, std, textures, axis)

    def to_arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return the arrays to store."""
        return {name: getattr(self, name) for name in self.ARRAYS}
