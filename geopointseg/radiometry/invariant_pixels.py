"""Pseudo-invariant pixels: pixels of the area that two scenes share and that did not change between them.

Curves that are fitted to these pixels alone are not biased by land-cover change. The pixels are found by repeated
matching and trimming: match all pixels, keep those with similar values in all bands, match these, and so on.
Canonical correlation, the usual method, converges to one homogeneous class where most of the area has changed.

References
----------
Schott, Salvaggio, Volchok (1988), Radiometric scene normalization using pseudoinvariant features,
doi:10.1016/0034-4257(88)90116-2.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from geopointseg.errors import RasterError
from geopointseg.progress import NullSink, Reporter
from geopointseg.radiometry.band_statistics import SceneStatistics, statistics_of_array
from geopointseg.radiometry.radiometric_transform import (
    MatchMethod,
    RadiometricTransform,
    fit_matching,
    midpoint_curve,
)
from geopointseg.raster.band_mixing import Mixing, fit_mixing
from geopointseg.raster.crs import exact_wkt
from geopointseg.raster.curve import Curve
from geopointseg.raster.grid import Grid
from geopointseg.raster.scene import Chip, Scene
from geopointseg.raster.warp import read_onto, scaled_grid

ALIKE = 0.5
"""Largest difference of matched values of unchanged pixels, in standard deviations of the reference."""
FEWEST_PIXELS = 500
"""Least number of unchanged pixels that a matching is fitted to."""

_ROUNDS = 8
_INITIAL_METHODS: tuple[MatchMethod, ...] = ("percentile", "mean-std", "midpoint")
_LEVELS = 65534.0
_MOST_NUMBERS = 2**22


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """A scene in coarse pixels, small enough to be kept with a model.

    Parameters
    ----------
    grid
        Where its pixels lie.
    image
        float32 ``(band, row, col)``.
    valid
        bool ``(row, col)``.
    name
        What messages call the scene.
    """

    grid: Grid
    image: NDArray[np.float32]
    valid: NDArray[np.bool_]
    name: str

    @classmethod
    def of(cls, scene: Scene, most_pixels: int) -> Thumbnail:
        """Average a scene to pixels at least twice as large, and at most so many of them."""
        height, width = scene.grid.shape
        factor = max(math.sqrt(height * width / most_pixels), 2.0)
        factor = max(1.0, min(factor, math.sqrt(height * width / (4 * FEWEST_PIXELS))))
        grid = scaled_grid(scene.grid, factor)
        chip = _read_coarse(scene, grid)
        return cls(grid, chip.image, chip.valid, scene.name)

    def to_json(self) -> dict[str, Any]:
        """Return the thumbnail as text: values in 16 bits between each band's ends, compressed."""
        low = self.image.min(axis=(1, 2), initial=np.inf, where=self.valid).astype(np.float64)
        high = self.image.max(axis=(1, 2), initial=-np.inf, where=self.valid).astype(np.float64)
        low, high = (np.where(np.isfinite(ends), ends, 0.0) for ends in (low, high))
        step = np.maximum((high - low) / _LEVELS, 1e-30)
        levels = np.rint((self.image - low[:, None, None]) / step[:, None, None])
        stored = np.where(self.valid, np.clip(levels, 0, _LEVELS) + 1, 0).astype("<u2")
        return {
            "name": self.name,
            "crs": exact_wkt(self.grid.crs),
            "transform": list(self.grid.transform)[:6],
            "shape": list(self.image.shape),
            "low": low.tolist(),
            "step": step.tolist(),
            "pixels": base64.b64encode(zlib.compress(stored.tobytes(), 9)).decode(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Thumbnail:
        """Read what `to_json` returned.

        Raises
        ------
        ValueError
            If it is damaged, or larger than any thumbnail.
        """
        shape = [int(side) for side in data["shape"]]
        numbers = math.prod(shape)
        if len(shape) != 3 or min(shape) < 1 or numbers > _MOST_NUMBERS:
            raise ValueError(f"a thumbnail has the shape {shape}")
        raw = zlib.decompressobj().decompress(base64.b64decode(data["pixels"]), 2 * numbers)
        stored = np.frombuffer(raw, dtype="<u2").reshape(shape)
        low, step = (np.array(data[k])[:, None, None] for k in ("low", "step"))
        valid = (stored > 0).all(axis=0)
        image = np.where(valid, (stored - 1.0) * step + low, 0.0).astype(np.float32)
        crs, transform = CRS.from_wkt(data["crs"]), Affine(*data["transform"])
        return cls(Grid(crs, transform, *image.shape[1:]), image, valid, str(data["name"]))


@dataclass(frozen=True)
class InvariantPair:
    """The unchanged pixels of a scene and of what it is compared with.

    Parameters
    ----------
    source, reference
        Statistics of these pixels in the scene, its bands mixed, and in the reference.
    share
        Share of the common pixels that did not change, 0..1.
    pixels
        Number of unchanged pixels.
    mixing
        How the bands of the source are mixed; None for no mixing.
    """

    source: SceneStatistics
    reference: SceneStatistics
    share: float
    pixels: int
    mixing: Mixing | None = None

    def fit(self, whole: SceneStatistics) -> RadiometricTransform:
        """Return curves fitted to the unchanged pixels, and extrapolated to the range of the whole scene."""
        low = np.array([band.minimum for band in whole.bands])
        high = np.array([band.maximum for band in whole.bands])
        if self.mixing is not None:
            low, high = self.mixing.span(low, high)
        curves = []
        pairs = zip(self.source.bands, self.reference.bands, strict=True)
        for k, (source, reference) in enumerate(pairs):
            curve = midpoint_curve(source.compact(), reference.compact())
            slope = reference.std / source.std
            curves.append(_extended(curve, float(low[k]), float(high[k]), slope))
        method = "invariant" if self.mixing is None else "mixed"
        return RadiometricTransform(tuple(curves), tuple(whole.names), method, self.mixing)


def find_invariant(
    source: Scene,
    references: Sequence[Thumbnail],
    *,
    mix_bands: bool = False,
    reporter: Reporter | None = None,
) -> InvariantPair | None:
    """Find the pixels of a scene that are unchanged in the reference.

    Parameters
    ----------
    source
        The scene.
    references
        What it is compared with, each where it covers the same area.
    mix_bands
        Whether bands may be mixed linearly, for other cameras and haze (`fit_mixing`).
    reporter
        Gets the share of unchanged pixels.

    Returns
    -------
    InvariantPair or None
        None where there are too few common or unchanged pixels.

    Raises
    ------
    RasterError
        If the numbers of bands differ.
    """
    reporter = reporter or Reporter()
    pairs = [_shared_pixels(source, thumbnail) for thumbnail in references]
    pairs = [pair for pair in pairs if pair[0].shape[1]]
    if sum(x.shape[1] for x, _ in pairs) < FEWEST_PIXELS:
        return None
    x, y = (np.concatenate(part, axis=1) for part in zip(*pairs, strict=True))
    kept = unchanged_pixels(x, y, mix_bands=mix_bands)
    if kept.sum() < FEWEST_PIXELS or not _varied(x[:, kept]) or not _varied(y[:, kept]):
        return None
    share = float(kept.mean())
    reporter.log(
        f"'{source.name}': {share:.0%} of the area shared with {references[0].name} is unchanged; the scene is matched by "
        "these pixels.",
        invariant_share=round(share, 4),
    )
    x, y = x[:, kept], y[:, kept]
    mixing = fit_mixing(x, y) if mix_bands else None
    return InvariantPair(
        statistics_of_array(_mixed(x, mixing), names=source.band_names, source=source.name),
        statistics_of_array(y, names=source.band_names, source=references[0].name),
        share,
        x.shape[1],
        mixing,
    )


def unchanged_pixels(
    x: NDArray[np.float32], y: NDArray[np.float32], *, mix_bands: bool = False
) -> NDArray[np.bool_]:
    """Return which pixels have similar values in two images of one place after matching.

    Several initial matchings are tried; the one with most unchanged pixels is used.

    Parameters
    ----------
    x, y
        The images' valid pixels, ``(band, pixel)``.
    mix_bands
        Whether bands may be mixed linearly.

    Returns
    -------
    NDArray
        bool ``(pixel,)``.
    """
    unit = np.maximum(y.std(axis=1, keepdims=True), 1e-12)
    best = np.zeros(x.shape[1], dtype=bool)
    for method in _INITIAL_METHODS:
        kept = np.ones(x.shape[1], dtype=bool)
        for turn in range(_ROUNDS):
            mixing = fit_mixing(x[:, kept], y[:, kept]) if mix_bands and turn else None
            matched = _match_pixels(_mixed(x, mixing), y, kept, "midpoint" if turn else method)
            unlike = np.sqrt((((matched - y) / unit) ** 2).mean(axis=0))
            before, kept = kept, unlike < ALIKE
            if kept.sum() < FEWEST_PIXELS or np.array_equal(before, kept):
                break
        if kept.sum() > best.sum():
            best = kept
    return best


def _match_pixels(
    x: NDArray[np.float32], y: NDArray[np.float32], kept: NDArray[np.bool_], method: MatchMethod
) -> NDArray[np.float32]:
    """Return all pixels of ``x`` moved by the curves that match the kept ones."""
    of_x, of_y = (statistics_of_array(v[:, kept]) for v in (x, y))
    return fit_matching(of_x, of_y, method, reporter=Reporter(NullSink())).apply(x)


def _mixed(x: NDArray[np.float32], mixing: Mixing | None) -> NDArray[np.float32]:
    return x if mixing is None else mixing.apply(x)


def _shared_pixels(
    source: Scene, thumbnail: Thumbnail
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the pixels ``(band, pixel)`` that are valid in both."""
    if len(source.bands) != len(thumbnail.image):
        raise RasterError(
            f"'{source.name}' has {len(source.bands)} bands and '{thumbnail.name}' {len(thumbnail.image)}. Expected the "
            "same bands in both; choose common ones by name."
        )
    chip = _read_coarse(source.with_radiometry(None), thumbnail.grid)
    both = chip.valid & thumbnail.valid
    return chip.image[:, both], thumbnail.image[:, both]


def _read_coarse(scene: Scene, grid: Grid) -> Chip:
    finer = grid.resolution_m > 1.5 * scene.grid.resolution_m
    return read_onto(scene, grid, "average" if finer else "bilinear")


def _varied(pixels: NDArray[np.float32]) -> bool:
    return bool((pixels.min(axis=1) < pixels.max(axis=1)).all())


def _extended(curve: Curve, low: float, high: float, slope: float) -> Curve:
    """Return a curve that is extended with a slope to a wider range."""
    source, target = curve.source, curve.target
    if low < source[0]:
        target = np.r_[target[0] - slope * (source[0] - low), target]
        source = np.r_[low, source]
    if high > source[-1]:
        target = np.r_[target, target[-1] + slope * (high - source[-1])]
        source = np.r_[source, high]
    return replace(curve, source=source, target=target)
