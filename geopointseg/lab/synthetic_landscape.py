"""A synthetic landscape whose true class is known at every pixel.

Demo, documentation and tests use it. It contains parcels of crops and meadows, forest, orchards, lakes, rivers,
villages and roads. The image has noise, haze, and an edge without data.

Classes cannot be separated by single pixels:

========== ==========================================================================================
forest     and **orchard** have the same distribution of pixel values; they differ by texture only
           (irregular crowns, and crowns in rows)
building   and **road** have the same distribution of pixel values; they differ by shape only
meadow     has the colours of some crops; **crop** shows the rows of the seeder
lake       and **river** are the same water; they differ by shape only
========== ==========================================================================================

Examples
--------
>>> landscape = make_landscape(96, 128, seed=1)
>>> landscape.image.shape, landscape.image.dtype.name, landscape.truth.shape
((4, 96, 128), 'uint16', (96, 128))
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from affine import Affine
from numpy.random import Generator
from numpy.typing import NDArray
from rasterio.crs import CRS

from geopointseg.labels.points import Points
from geopointseg.legend import Legend
from geopointseg.process import use_own_geodata
from geopointseg.raster.grid import Grid, crs_name, transform_coordinates
from geopointseg.summary import described, join_names

Layer = NDArray[np.float64]
Region = NDArray[np.bool_]

NODATA = 0
BAND_NAMES = ("blue", "green", "red", "nir")
LEGEND = Legend.from_names(
    ["crop", "meadow", "forest", "orchard", "river", "lake", "building", "road"],
    codes=[10, 20, 30, 40, 50, 60, 70, 80],
    colors=[
        "#ddcc77", "#a5d46a", "#117733", "#7a9a01", "#44a5dd", "#332288", "#cc3344", "#555555",
    ],
)  # fmt: skip
_CROP, _MEADOW, _FOREST, _ORCHARD, _RIVER, _LAKE, _BUILDING, _ROAD = range(8)

# Reflectance x 10000 in blue, green, red, near infrared.
_CROP_COLORS = np.array(
    [[500, 900, 600, 3600], [700, 1100, 1000, 2900], [1000, 1400, 1700, 2500]], dtype=np.float64
)
_TREE_COLOR = np.array([350, 600, 420, 3000], dtype=np.float64)
_WATER_COLOR = np.array([650, 700, 450, 260], dtype=np.float64)
_SEALED_COLOR = np.array([1400, 1500, 1600, 1900], dtype=np.float64)


@described
@dataclass(frozen=True)
class Landscape:
    """A synthetic scene and its true classes.

    Parameters
    ----------
    image
        uint16 ``(band, row, col)``, reflectance times 10 000 in blue, green, red and near infrared; 0 is nodata.
    truth
        uint8 ``(row, col)``, class index into `legend`, also where the image is nodata.
    valid
        bool ``(row, col)``, False on the edge without data.
    grid
        Pixels of 1 m in UTM zone 33 N.
    legend
        Eight classes with codes 10, 20 ... 80.
    """

    image: NDArray[np.uint16]
    truth: NDArray[np.uint8]
    valid: Region
    grid: Grid
    legend: Legend = LEGEND

    def _summary(self) -> list[str]:
        return [
            (
                f"Landscape: {len(self.image)} bands, {self.grid.height} rows x {self.grid.width} columns, "
                f"{crs_name(self.grid.crs)}"
            ),
            f"classes: {join_names(self.legend.names)}",
        ]


def make_landscape(height: int = 640, width: int = 960, seed: int = 0) -> Landscape:
    """Generate a landscape.

    Parameters
    ----------
    height, width
        Size in pixels of 1 m; from about 300 x 300 all classes occur.
    seed
        Seed of the random numbers.

    Returns
    -------
    Landscape
        Image, truth, validity, grid and legend.
    """
    rng = np.random.default_rng(seed)
    truth, reflectance = _draw_parcels(rng, height, width)
    _draw_woods(rng, truth, reflectance)
    _draw_water(rng, truth, reflectance)
    _draw_settlements(rng, truth, reflectance)
    image, valid = _simulate_image(rng, reflectance)
    use_own_geodata()
    grid = Grid(CRS.from_epsg(32633), Affine(1, 0, 399_000, 0, -1, 5_650_000), height, width)
    return Landscape(image, truth, valid, grid)


def draw_points(
    landscape: Landscape,
    per_class: int,
    seed: int = 0,
    *,
    columns: tuple[float, float] = (0.0, 1.0),
    crs: str | CRS = "EPSG:4326",
) -> Points:
    """Draw random points of a landscape, the same number in each class.

    Parameters
    ----------
    landscape
        The landscape.
    per_class
        Points per class; fewer where a class has fewer pixels.
    seed
        Seed of the random numbers.
    columns
        Range of columns as shares of the width, for example ``(0, 0.6)`` to keep the east for testing.
    crs
        CRS of the points; by default not that of the scene, as is usual for field data.

    Returns
    -------
    Points
        Points at pixel centres, in the landscape's legend.
    """
    rng = np.random.default_rng(seed)
    allowed = landscape.valid.copy()
    width = landscape.grid.width
    allowed[:, : round(columns[0] * width)] = False
    allowed[:, round(columns[1] * width) :] = False
    picked: list[NDArray[np.int64]] = []
    for index in range(len(landscape.legend)):
        candidates = np.flatnonzero((landscape.truth == index) & allowed)
        picked.append(rng.choice(candidates, min(per_class, candidates.size), replace=False))
    flat = np.concatenate(picked)
    row, col = np.unravel_index(flat, landscape.grid.shape)
    target = CRS.from_user_input(crs)
    world = landscape.grid.pixel_to_world(row + 0.5, col + 0.5)
    x, y = transform_coordinates(*world, landscape.grid.crs, target)
    return Points.from_arrays(
        x, y, landscape.truth.ravel()[flat].astype(np.int64), landscape.legend, target
    )


def _smooth_noise(rng: Generator, shape: tuple[int, int], sigma: float) -> Layer:
    """Return smooth noise with mean 0 and standard deviation 1."""
    from scipy.ndimage import zoom

    coarse = rng.standard_normal([max(4, int(np.ceil(n / sigma)) + 3) for n in shape])
    fine = zoom(
        coarse, [(n + 1) / (m - 1) for n, m in zip(shape, coarse.shape, strict=True)], order=3
    )
    relief: Layer = fine[: shape[0], : shape[1]]
    return (relief - relief.mean()) / relief.std()


def _ranked(texture: Layer) -> Layer:
    """Return a texture with the same ranks and a standard normal distribution."""
    from scipy.special import ndtri

    ranks = np.empty(texture.size)
    ranks[np.argsort(texture, axis=None, kind="stable")] = np.arange(texture.size) + 0.5
    normal: Layer = ndtri(ranks / texture.size).reshape(texture.shape)
    return normal


def _draw_parcels(
    rng: Generator, height: int, width: int
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return classes and reflectance of parcels of crops (with rows) and meadows (without)."""
    from scipy.spatial import cKDTree

    row, col = np.mgrid[:height, :width].astype(np.float64)
    wobble = 4 * _smooth_noise(rng, (height, width), 40)
    count = max(6, height * width // 4200)
    sites = rng.uniform((0, 0), (height, width), (count, 2))
    where = np.stack([row + wobble, (col - wobble) * 1.3], axis=-1)
    parcel = cKDTree(sites * (1, 1.3)).query(where.reshape(-1, 2))[1].reshape(height, width)
    is_meadow = rng.random(count) < 0.45
    truth = np.where(is_meadow[parcel], _MEADOW, _CROP).astype(np.uint8)
    angle = rng.uniform(0, np.pi, count)[parcel]
    period = rng.uniform(4.0, 6.0, count)[parcel]
    rows = np.sin(2 * np.pi * (row * np.cos(angle) + col * np.sin(angle)) / period)
    cloudy = _ranked(_smooth_noise(rng, (height, width), 5)) * 0.75
    pattern = np.where(is_meadow[parcel], cloudy, rows)
    base = _CROP_COLORS[rng.integers(0, 3, count)] * rng.uniform(0.9, 1.1, (count, 1))
    reflectance = base[parcel].transpose(2, 0, 1) * (1 + 0.08 * pattern)
    return truth, reflectance


def _draw_woods(rng: Generator, truth: NDArray[np.uint8], reflectance: Layer) -> None:
    """Add forests (irregular crowns) and orchards (crowns in rows) with the same distribution of pixel values."""
    from scipy.ndimage import gaussian_filter

    shape = truth.shape
    relief = _smooth_noise(rng, (shape[0], shape[1]), 55)
    orchard_relief = _smooth_noise(rng, (shape[0], shape[1]), 45)
    forest = relief > np.quantile(relief, 0.80)
    orchard = (orchard_relief > np.quantile(orchard_relief, 0.86)) & ~forest
    crowns = _ranked(gaussian_filter(rng.standard_normal(shape), 1.3))
    row, col = np.mgrid[: shape[0], : shape[1]]
    turn = rng.uniform(0.2, 0.6)
    along, across = row * np.cos(turn) + col * np.sin(turn), col * np.cos(turn) - row * np.sin(turn)
    lattice = np.sin(2 * np.pi * along / 6.5) + np.sin(2 * np.pi * across / 6.5)
    planted = _ranked(lattice + 0.7 * gaussian_filter(rng.standard_normal(shape), 1.0) * 3)
    for region, texture, index in ((forest, crowns, _FOREST), (orchard, planted, _ORCHARD)):
        light = 1 + 0.22 * texture[region]
        reflectance[:, region] = _TREE_COLOR[:, None] * np.clip(light, 0.3, 1.9)
        truth[region] = index


def _draw_water(rng: Generator, truth: NDArray[np.uint8], reflectance: Layer) -> None:
    """Add a river from north to south in each half, and lakes in depressions."""
    height, width = truth.shape
    relief = _smooth_noise(rng, (height, width), 60)
    lake = relief < np.quantile(relief, 0.07)
    river = np.zeros_like(lake)
    rows, cols = np.arange(height), np.arange(width)
    for share in (0.28, 0.78):
        bends = _smooth_noise(rng, (height, 8), 45)[:, 0]
        middle = width * share + 0.05 * width * bends
        breadth = 6 + 1.5 * _smooth_noise(rng, (height, 8), 60)[:, 0].clip(-2, 2)
        river |= np.abs(cols[None, :] - middle[rows, None]) < breadth[:, None]
    ripples = 1 + 0.05 * _smooth_noise(rng, (height, width), 4)
    for region, index in ((lake, _LAKE), (river & ~lake, _RIVER)):
        reflectance[:, region] = _WATER_COLOR[:, None] * ripples[region]
        truth[region] = index


def _draw_settlements(rng: Generator, truth: NDArray[np.uint8], reflectance: Layer) -> None:
    """Add villages of houses, gardens and streets, and roads between them."""
    height, width = truth.shape
    count = max(2, height * width // 75_000)
    across = (np.arange(count) + rng.uniform(0.3, 0.7, count)) / count * width
    bank = np.where(np.arange(count) % 2, 0.72, 0.27) + rng.uniform(-0.12, 0.12, count)
    centres = np.stack([bank * height, across], axis=1)
    road, building, garden = (np.zeros((height, width), dtype=bool) for _ in range(3))
    for start, end in pairwise(centres):
        road |= _distance_to_line(truth.shape, start, end) < 2.6
    for centre in centres:
        _draw_village(rng, centre, road, building, garden)
    water = (truth == _RIVER) | (truth == _LAKE)
    lawn = 1 + 0.06 * _ranked(_smooth_noise(rng, (height, width), 5))
    shade = 1 + 0.10 * _ranked(
        rng.standard_normal((height, width)) + 2 * _smooth_noise(rng, (height, width), 7)
    )
    for region, color, texture, index in (
        (garden & ~water, _CROP_COLORS[0], lawn, _MEADOW),
        (building & ~road & ~water, _SEALED_COLOR, shade, _BUILDING),
        (road, _SEALED_COLOR, shade, _ROAD),
    ):
        reflectance[:, region] = color[:, None] * texture[region]
        truth[region] = index


def _draw_village(
    rng: Generator, centre: NDArray[np.float64], road: Region, building: Region, garden: Region
) -> None:
    """Add one village: a rotated street grid with a house on most plots."""
    row, col = np.mgrid[: road.shape[0], : road.shape[1]] - centre[:, None, None]
    turn = rng.uniform(0, np.pi / 2)
    u, v = row * np.cos(turn) + col * np.sin(turn), col * np.cos(turn) - row * np.sin(turn)
    village = np.hypot(u, v) < rng.uniform(50, 75)
    street_gap, plot = 44.0, 19.0
    to_street = np.abs((u + street_gap / 2) % street_gap - street_gap / 2)
    road |= village & ((to_street < 2.2) | (np.abs(v) < 2.2))
    plot_u, plot_v = np.floor(u / (street_gap / 2)), np.floor(v / plot)
    key = (plot_u.astype(int) % 64, plot_v.astype(int) % 64)
    built = rng.random((64, 64)) < 0.85
    size = rng.uniform(4.0, 7.5, (64, 64, 2))
    from_middle_u = np.abs(u - (plot_u + 0.5) * street_gap / 2)
    from_middle_v = np.abs(v - (plot_v + 0.5) * plot)
    house = (from_middle_u < size[..., 0][key]) & (from_middle_v < size[..., 1][key])
    building |= village & house & built[key] & (to_street > 3.2)
    garden |= village


def _distance_to_line(
    shape: tuple[int, ...], start: NDArray[np.float64], end: NDArray[np.float64]
) -> Layer:
    """Return the distance of each pixel to the segment between two ``(row, col)`` positions."""
    row, col = np.mgrid[: shape[0], : shape[1]]
    step = end - start
    along = ((row - start[0]) * step[0] + (col - start[1]) * step[1]) / (step @ step)
    along = along.clip(0, 1)
    distance: Layer = np.hypot(row - start[0] - along * step[0], col - start[1] - along * step[1])
    return distance


def _simulate_image(rng: Generator, reflectance: Layer) -> tuple[NDArray[np.uint16], Region]:
    """Return the image with haze, blur and noise, and the mask of valid pixels."""
    from scipy.ndimage import gaussian_filter

    height, width = reflectance.shape[1:]
    seen = gaussian_filter(reflectance, (0, 0.6, 0.6))
    haze = _smooth_noise(rng, (height, width), 150).clip(-1, 2.5) + 1
    seen += haze * np.array([140.0, 90.0, 60.0, 15.0])[:, None, None]
    seen += rng.standard_normal(seen.shape) * (60 + 0.03 * seen)
    row, col = np.mgrid[:height, :width]
    valid = (width - 1 - col) + 0.12 * row > 0.05 * height
    image = np.clip(np.rint(seen), 1, 65_535).astype(np.uint16)
    image[:, ~valid] = NODATA
    return image, valid


def write_scene(landscape: Landscape, path: str) -> None:
    """Write the image as a tiled, compressed GeoTIFF with band names and nodata.

    Parameters
    ----------
    landscape
        The landscape.
    path
        Output file; replaced if it exists.
    """
    import rasterio

    grid = landscape.grid
    with rasterio.open(
        path, "w", driver="GTiff", crs=grid.crs, transform=grid.transform, height=grid.height,
        width=grid.width, count=len(BAND_NAMES), dtype="uint16", nodata=NODATA, tiled=True,
        blockxsize=256, blockysize=256, compress="deflate", predictor=2,
    ) as dataset:  # fmt: skip
        dataset.write(landscape.image)
        dataset.descriptions = BAND_NAMES
