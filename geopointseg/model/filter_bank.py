"""Filter features: texture and context around each pixel, at several scales.

From the values of single pixels, a classifier cannot separate an orchard from a forest of the same colours. A `FilterBank`
adds the common texture features: smoothed values, local standard deviation, gradient magnitude, Laplacian, and the
eigenvalues of the structure tensor, at several scales. Every filter is a *normalized convolution*: invalid pixels, and
pixels beyond the array, have zero weight. So an image and the same image with an invalid rim have the same features.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geopointseg.errors import ConfigError, RasterError, nearest_names
from geopointseg.model.tree_table import usable_cores

KINDS = ("mean", "deviation", "gradient", "laplacian", "structure")
_TRUNCATE = 3.0
_SMALLEST_WEIGHT = 1e-4

Plane = NDArray[np.float32]


@dataclass(frozen=True)
class FilterBank:
    """A set of filters: all combinations of kinds and scales.

    The unfiltered bands are always the first features. Without scales they are the only ones.

    Parameters
    ----------
    scales
        Standard deviations of the Gaussian windows, in pixels.
    kinds
        Any of ``mean``, ``deviation`` (local standard deviation), ``gradient`` (magnitude), ``laplacian`` and
        ``structure`` (square roots of both eigenvalues of the structure tensor: along and across a texture).
        Derivatives are multiplied by the scale, which makes them comparable between scales.

    References
    ----------
    Knutsson and Westin 1993, normalized and differential convolution, https://doi.org/10.1109/CVPR.1993.341081.
    Bigun and Granlund 1987, optimal orientation detection of linear symmetry (the structure tensor), ICCV.

    Examples
    --------
    >>> bank = FilterBank(scales=(1.0, 2.0))
    >>> bank.count(bands=3)
    39
    >>> bank.compute(np.ones((3, 8, 9), np.float32), np.ones((8, 9), bool)).shape
    (39, 8, 9)
    """

    scales: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
    kinds: tuple[str, ...] = KINDS

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in KINDS:
                raise ConfigError(
                    f"There is no filter '{kind}'. {nearest_names(kind, KINDS)} Choose among these."
                )
        if any(not np.isfinite(s) or s <= 0 for s in self.scales):
            raise ConfigError(
                f"The filter scales are {self.scales}. Expected positive numbers of pixels; correct the list."
            )

    @property
    def margin_px(self) -> int:
        """Context that the features of a pixel depend on, in pixels on every side."""
        if not self.scales or not self.kinds:
            return 0
        reach = int(_TRUNCATE * max(self.scales) + 0.5)
        if "structure" in self.kinds:
            return 2 * reach + 1
        return reach + (1 if {"gradient", "laplacian"} & set(self.kinds) else 0)

    def count(self, bands: int) -> int:
        """Return the number of features of an image with that many bands."""
        per_scale = sum(2 if kind == "structure" else 1 for kind in self.kinds)
        return bands * (1 + per_scale * len(self.scales))

    def names(self, bands: list[str]) -> list[str]:
        """Return a name for every feature, in the order of `compute`.

        Examples
        --------
        >>> FilterBank(scales=(2.0,), kinds=("mean", "structure")).names(["red"])
        ['red', 'red mean 2', 'red structure along 2', 'red structure across 2']
        """
        texts = [
            text
            for kind in self.kinds
            for text in (
                ("structure along", "structure across") if kind == "structure" else (kind,)
            )
        ]
        return [
            *bands,
            *(
                f"{band} {text} {scale:g}"
                for band in bands
                for scale in self.scales
                for text in texts
            ),
        ]

    def compute(self, image: Plane, valid: NDArray[np.bool_]) -> Plane:
        """Return the features of an image.

        Parameters
        ----------
        image
            float32 ``(band, row, col)``, preferably with mean 0 and standard deviation 1, because values are squared.
        valid
            bool ``(row, col)``; False where there is no image.

        Returns
        -------
        NDArray
            float32 ``(feature, row, col)``: the bands, then the filters by band, scale and kind. Always finite; 0 where
            invalid.

        Raises
        ------
        RasterError
            If the shapes of image and mask differ.
        """
        if image.ndim != 3 or image.shape[1:] != valid.shape:
            raise RasterError(
                f"The image has shape {image.shape} and its mask {valid.shape}. "
                "Expected (band, row, col) and (row, col) of the same size; pass arrays of one window."
            )
        features = np.zeros((self.count(len(image)), *valid.shape), np.float32)
        image = np.where(valid, image, np.float32(0.0)).astype(np.float32, copy=False)
        features[: len(image)] = image
        padded_valid = np.pad(valid, 1)
        windows = [_Window(padded_valid, scale) for scale in self.scales]
        each = len(features) // len(image) - 1
        pieces = features[len(image) :].reshape(len(image), each, *valid.shape)

        def fill(band: Plane, planes: Plane) -> None:
            padded = np.pad(band, 1)
            found = (plane for window in windows for plane in self._planes(padded, window))
            for plane, out in zip(found, planes, strict=True):
                np.multiply(plane[1:-1, 1:-1], valid, out=out)

        with ThreadPoolExecutor(usable_cores()) as pool:
            list(pool.map(fill, image, pieces))
        return features

    def _planes(self, band: Plane, window: _Window) -> Iterator[Plane]:
        """Yield the features of one band at one scale."""
        smooth, scale = window.average(band), np.float32(window.scale)
        gradient: list[Plane] | None = None
        if {"gradient", "structure"} & set(self.kinds):
            gradient = list(np.gradient(smooth))
        for kind in self.kinds:
            if kind == "mean":
                yield smooth
            elif kind == "deviation":
                yield np.sqrt(np.maximum(window.average(band * band) - smooth * smooth, 0))
            elif kind == "laplacian":
                yield _laplacian(smooth) * (scale * scale)
            elif gradient is not None and kind == "gradient":
                yield np.hypot(*gradient) * scale
            elif gradient is not None:
                yield from (plane * scale for plane in _structure(gradient, window))


class _Window:
    """A Gaussian window over the valid pixels.

    Parameters
    ----------
    valid
        bool ``(row, col)``.
    scale
        Standard deviation in pixels.
    """

    def __init__(self, valid: NDArray[np.bool_], scale: float) -> None:
        self.scale = scale
        self.valid = valid.astype(np.float32)
        weight = self._blur(self.valid)
        enough = weight > _SMALLEST_WEIGHT
        self.inverse = np.where(enough, 1 / np.maximum(weight, _SMALLEST_WEIGHT), 0).astype(
            np.float32
        )

    def average(self, plane: Plane) -> Plane:
        """Return the weighted mean of the valid pixels around each pixel, 0 where there are none."""
        blurred: Plane = self._blur(plane * self.valid) * self.inverse
        return blurred

    def _blur(self, plane: Plane) -> Plane:
        from scipy import ndimage

        blurred: Plane = ndimage.gaussian_filter(
            plane, self.scale, mode="constant", truncate=_TRUNCATE, output=np.float32
        )
        return blurred


def _laplacian(plane: Plane) -> Plane:
    """Return the sum of the second differences, with edge values repeated beyond the border."""
    from scipy import ndimage

    second: Plane = ndimage.laplace(plane, mode="nearest", output=np.float32)
    return second


def _structure(gradient: list[Plane], window: _Window) -> tuple[Plane, Plane]:
    """Return the square roots of the structure tensor's eigenvalues, the larger one first."""
    down, right = gradient
    a, b, c = (window.average(p) for p in (down * down, down * right, right * right))
    half_sum, spread = (a + c) / 2, np.hypot((a - c) / 2, b)
    return np.sqrt(np.maximum(half_sum + spread, 0)), np.sqrt(np.maximum(half_sum - spread, 0))
