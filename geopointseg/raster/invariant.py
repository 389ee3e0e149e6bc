"""Pseudo-invariant pixels: ground that two scenes share and that did not change between them.

Fitting a matching to these pixels alone compares like with like: what was sown, cut or flooded in between does
not bend the curve.

References
----------
Nielsen (2007), The regularized iteratively reweighted MAD method for change detection, doi:10.1109/TIP.2006.888195.
Canty, Nielsen (2008), Automatic radiometric normalization of multitemporal satellite imagery with the iteratively
re-weighted MAD transformation, doi:10.1016/j.rse.2007.07.013.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.errors import RasterError
from geopointseg.progress import Reporter
from geopointseg.raster.grid import Grid, transform_coordinates
from geopointseg.raster.scene import Chip, Scene
from geopointseg.raster.statistics import SceneStatistics, statistics_of_array
from geopointseg.raster.warp import read_onto, scaled_grid

INVARIANT_PROBABILITY = 0.5
"""Pixels at least as probably unchanged as this are used, unless too few are."""
LEAST_SHARE = 0.1
"""The most probably unchanged pixels are used to make up this share at least."""

_MOST_PIXELS = 1_000_000
_FEWEST_PIXELS = 500
_ITERATIONS = 30


@dataclass(frozen=True)
class InvariantPair:
    """The unchanged pixels of two scenes.

    Parameters
    ----------
    source, reference
        Statistics of these pixels in the one and in the other scene.
    share
        Share of the shared pixels that are used, 0..1.
    pixels
        How many they are.
    """

    source: SceneStatistics
    reference: SceneStatistics
    share: float
    pixels: int


def find_invariant_statistics(
    source: Scene, reference: Scene, *, reporter: Reporter | None = None
) -> InvariantPair:
    """Find the pixels of shared ground that did not change, and return their statistics in both scenes.

    The shared ground is read on one grid, of at most a million pixels, and compared by `invariant_probability`.

    Raises
    ------
    RasterError
        If the scenes share no ground, or have different numbers of bands.
    """
    reporter = reporter or Reporter()
    if len(source.bands) != len(reference.bands):
        raise RasterError(
            f"'{source.name}' has {len(source.bands)} bands and '{reference.name}' {len(reference.bands)}. Expected the "
            "same bands in both; choose common ones by name."
        )
    grid = _shared_grid(source, reference)
    images = [_read_shared(scene.with_radiometry(None), grid) for scene in (source, reference)]
    valid = images[0].valid & images[1].valid
    if valid.sum() < _FEWEST_PIXELS:
        raise _no_ground(source, reference, int(valid.sum()))
    x, y = (chip.image[:, valid] for chip in images)
    probability = invariant_probability(x, y)
    limit = min(INVARIANT_PROBABILITY, float(np.quantile(probability, 1 - LEAST_SHARE)))
    kept = probability >= limit
    share = float(kept.mean())
    reporter.log(
        f"{share:.0%} of the ground that '{source.name}' and '{reference.name}' share did not change and is used.",
        invariant_share=round(share, 4),
    )
    names = source.band_names
    return InvariantPair(
        statistics_of_array(x[:, kept], names=names, source=source.name),
        statistics_of_array(y[:, kept], names=names, source=reference.name),
        share,
        int(kept.sum()),
    )


def _read_shared(scene: Scene, grid: Grid) -> Chip:
    finer = grid.resolution_m > 1.5 * scene.grid.resolution_m
    return read_onto(scene, grid, "average" if finer else "bilinear")


def invariant_probability(
    x: NDArray[np.float32], y: NDArray[np.float32], iterations: int = _ITERATIONS
) -> NDArray[np.float64]:
    """Return how probably each pixel did not change between two images of one place.

    Canonical correlation finds the combinations of bands that agree best; their differences, in units of their
    deviation, are chi-squared distributed over unchanged pixels. The probability weighs the pixels of the next
    round, until the correlations settle. Changes of gain and offset do not matter.

    Parameters
    ----------
    x, y
        The images' valid pixels, ``(band, pixel)``.
    iterations
        The largest number of rounds.

    Returns
    -------
    NDArray
        float64 ``(pixel,)``, 0..1.
    """
    from scipy.stats import chi2

    both = np.concatenate([x, y]).astype(np.float64)
    bands = len(x)
    weight = np.ones(both.shape[1])
    before = np.zeros(bands)
    for _ in range(iterations):
        mean = np.average(both, axis=1, weights=weight)
        centred = both - mean[:, None]
        covariance = (centred * weight) @ centred.T / weight.sum()
        a, b, correlation = _canonical(covariance, bands)
        difference = a.T @ centred[:bands] - b.T @ centred[bands:]
        variance = np.maximum(2 * (1 - correlation), 1e-9)
        weight = chi2.sf((difference**2 / variance[:, None]).sum(axis=0), bands)
        if np.abs(correlation - before).max() < 1e-3:
            break
        before = correlation
    return np.asarray(weight)


def _canonical(
    covariance: NDArray[np.float64], bands: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return canonical vectors of both sides as columns, of unit variance, and their correlations."""
    ridge = np.diag(np.maximum(np.diag(covariance), 1e-12) * 1e-6)
    regular = covariance + ridge
    roots = []
    for part in (slice(0, bands), slice(bands, None)):
        value, vector = np.linalg.eigh(regular[part, part])
        roots.append(vector @ np.diag(np.maximum(value, 1e-12) ** -0.5) @ vector.T)
    u, correlation, vt = np.linalg.svd(roots[0] @ regular[:bands, bands:] @ roots[1])
    return roots[0] @ u, roots[1] @ vt.T, np.clip(correlation, 0.0, 1.0 - 1e-9)


def _shared_grid(source: Scene, reference: Scene) -> Grid:
    """Return a grid over the shared ground, in the source's CRS, of the coarser pixels and bounded size."""
    corner_x, corner_y = _dense_border(reference.grid)
    x, y = transform_coordinates(corner_x, corner_y, reference.grid.crs, source.grid.crs)
    row, col = source.grid.world_to_pixel(x, y)
    seen = np.isfinite(row) & np.isfinite(col)
    if not seen.any():
        raise _no_ground(source, reference, 0)
    top, left = max(0, math.floor(row[seen].min())), max(0, math.floor(col[seen].min()))
    bottom = min(source.grid.height, math.ceil(row[seen].max()))
    right = min(source.grid.width, math.ceil(col[seen].max()))
    if bottom <= top or right <= left:
        raise _no_ground(source, reference, 0)
    window = Window(left, top, right - left, bottom - top)
    coarser = max(1.0, reference.grid.resolution_m / source.grid.resolution_m)
    bounded = math.sqrt(window.width * window.height / _MOST_PIXELS)
    factor = max(coarser, bounded)
    cropped = source.grid.crop(window)
    return cropped if factor < 1.01 else scaled_grid(cropped, factor)


def _dense_border(grid: Grid, steps: int = 21) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    along = np.linspace(0.0, 1.0, steps)
    row = np.concatenate([along * 0, along * 0 + 1, along, along]) * grid.height
    col = np.concatenate([along, along, along * 0, along * 0 + 1]) * grid.width
    return grid.pixel_to_world(row, col)


def _no_ground(source: Scene, reference: Scene, pixels: int) -> RasterError:
    return RasterError(
        f"'{source.name}' and '{reference.name}' share {pixels} pixels of ground. Expected {_FEWEST_PIXELS} at least to "
        "find those that did not change; match without that restriction, or name a reference of the same place."
    )
