"""Simulation of labelled points from dense masks.

A sample is determined by its seed and the names of the images. A larger number of points contains the smaller one, and
another image does not change the points of the others. Only with a smallest distance between points, some points of
the smaller sample may be missing in the larger one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geopointseg.errors import ConfigError, PointsError, nearest_names
from geopointseg.lab.color_palette import Palette
from geopointseg.lab.dense_mask import DenseMask, read_dense_mask
from geopointseg.lab.image_folder import MaskPair
from geopointseg.lab.pixel_drawing import (
    PLACEMENTS,
    DrawSettings,
    PixelSample,
    Placement,
    draw_per_instance,
    draw_pixels,
    random_numbers,
    take_first,
)
from geopointseg.labels.points import Points
from geopointseg.legend import Legend, LegendEntry
from geopointseg.progress import Reporter
from geopointseg.raster.grid import Grid, transform_coordinates
from geopointseg.raster.scene import Scene
from geopointseg.setting import as_list, require_number

Mask = DenseMask | MaskPair | str | PathLike[str]


@dataclass(frozen=True)
class PointBudget:
    """Number of points to draw; exactly one of the numbers is given.

    Parameters
    ----------
    per_class
        Points per class.
    per_image
        Points per image, the same number for each class (uniform placement: of all classes together).
    per_instance
        Points per object.
    fraction
        Share of the labelled pixels per class, at least one pixel (uniform placement: of all classes together).
    each_image
        Whether ``per_class`` applies to each image instead of all together.
    """

    per_class: int | None = None
    per_image: int | None = None
    per_instance: int | None = None
    fraction: float | None = None
    each_image: bool = False

    def __post_init__(self) -> None:
        given = {k: v for k, v in vars(self).items() if k != "each_image" and v is not None}
        if len(given) != 1 or not all(value > 0 for value in given.values()):
            raise ConfigError(
                f"The budget is {given or 'empty'}. Expected exactly one of per_class, per_image, per_instance (1 or "
                "more) and fraction (above 0); give one."
            )
        if self.fraction is not None and self.fraction > 1:
            raise ConfigError(
                f"The fraction of pixels is {self.fraction}. Expected more than 0 and at most 1."
            )

    @property
    def is_shared(self) -> bool:
        """Whether the number applies to all images together."""
        return self.per_class is not None and not self.each_image


def simulate_points(
    masks: Mask | Sequence[Mask],
    *,
    seed: int = 0,
    per_class: int | None = None,
    per_image: int | None = None,
    per_instance: int | None = None,
    fraction: float | None = None,
    each_image: bool = False,
    placement: Placement = "stratified",
    min_distance_m: float = 0.0,
    label_noise: float = 0.0,
    position_error_m: float = 0.0,
    zone_px: int = 3,
    cluster_size: int = 5,
    cluster_radius_m: float | None = None,
    palette: Palette | str | Path | None = None,
    like: Scene | str | PathLike[str] | None = None,
    reporter: Reporter | None = None,
) -> Points:
    """Draw points from dense masks.

    Parameters
    ----------
    masks
        One or several: a `DenseMask`, a `MaskPair`, or the path of a mask.
    seed
        Seed of the random numbers.
    per_class, per_image, per_instance, fraction, each_image
        Number of points; see `PointBudget`. Exactly one of the first four.
    placement
        ``uniform``: anywhere, in proportion to the areas of the classes. ``stratified``: anywhere within each class.
        ``boundary``: within ``zone_px`` of another class. ``interior``: farther than that from any other class.
        ``instance``: one point per object before a second one of any. ``clustered``: several points at one place.
        Where a class has too few pixels in the zone, the others are drawn outside it.
    min_distance_m
        Smallest distance of two points in one image, of all classes. With it, a larger sample may lack some points of
        the smaller one.
    label_noise
        Probability of a wrong class per point, 0..1.
    position_error_m
        Standard deviation of the position along each axis in metres; the label stays that of the true position.
    zone_px
        Width of the zone along class boundaries.
    cluster_size, cluster_radius_m
        Points in a cluster and their largest distance from its centre; by default 10 pixels.
    palette
        Classes of the colours of colour-coded masks: a name, a file or a `Palette`.
    like
        Image that gives the georeference to a mask without one.
    reporter
        Receives progress, and warnings about classes with too few pixels.

    Returns
    -------
    Points
        At pixel centres plus position errors, in the CRS of the first mask, with the classes that occur in the masks.
        For pairs of image and mask, ``scene`` is the name of the image.

    Raises
    ------
    ConfigError
        If a setting is out of its range.
    PointsError
        If no mask has a labelled pixel.

    Examples
    --------
    >>> from affine import Affine
    >>> from rasterio.crs import CRS
    >>> grid = Grid(CRS.from_epsg(32633), Affine(10, 0, 500000, 0, -10, 5700000), 20, 30)
    >>> labels = np.arange(600, dtype=np.int16).reshape(20, 30) % 2
    >>> mask = DenseMask(labels, grid, Legend.from_names(["water", "forest"]))
    >>> simulate_points(mask, per_class=5).counts()
    array([5, 5])
    """
    reporter = reporter or Reporter()
    budget = PointBudget(per_class, per_image, per_instance, fraction, each_image)
    _check_settings(placement, label_noise, min_distance_m, position_error_m, cluster_radius_m)
    settings = DrawSettings(
        placement, seed, zone_px, min_distance_m, cluster_size, cluster_radius_m or 0.0
    )
    several = as_list(masks)
    samples = []
    with reporter.stage("simulate", total=len(several)) as advance:
        for source in several:
            mask = _open_mask(source, palette, like, reporter)
            scene = source.image.name if isinstance(source, MaskPair) else ""
            samples.append(_sample_mask(mask, scene, settings, budget))
            advance(1)
    if budget.is_shared:
        samples = _share_budget(samples, budget, placement)
    _warn_of_shortage(samples, budget, placement, reporter)
    return _to_points(samples, seed, label_noise, position_error_m)


@dataclass(frozen=True)
class _MaskSample:
    """The sample of one mask, with the properties of the mask."""

    name: str
    scene: str
    grid: Grid
    legend: Legend
    pixels: NDArray[np.int64]
    drawn: PixelSample
    codes: NDArray[np.int64]

    def select(self, chosen: NDArray[np.bool_]) -> _MaskSample:
        return replace(self, drawn=self.drawn.select(chosen), codes=self.codes[chosen])


def _check_settings(
    placement: str,
    label_noise: float,
    min_distance_m: float,
    position_error_m: float,
    cluster_radius_m: float | None,
) -> None:
    if placement not in PLACEMENTS:
        raise ConfigError(
            f"There is no placement '{placement}'. {nearest_names(placement, PLACEMENTS)}"
        )
    if not 0 <= label_noise <= 1:
        raise ConfigError(f"The label noise is {label_noise}. Expected a share between 0 and 1.")
    require_number("The smallest distance", min_distance_m, unit="m", minimum=0)
    require_number("The position error", position_error_m, unit="m", minimum=0)
    if cluster_radius_m is not None:
        require_number("The cluster radius", cluster_radius_m, unit="m", above=0)


def _open_mask(
    source: Mask,
    palette: Palette | str | Path | None,
    like: Scene | str | PathLike[str] | None,
    reporter: Reporter,
) -> DenseMask:
    if isinstance(source, DenseMask):
        return source
    if isinstance(source, MaskPair):
        return source.read_mask(reporter)
    scene = like if isinstance(like, Scene) or like is None else Scene.open(like)
    grid = None if scene is None else scene.grid
    return read_dense_mask(Path(source), palette=palette, grid=grid, reporter=reporter)


def _sample_mask(
    mask: DenseMask, scene: str, settings: DrawSettings, budget: PointBudget
) -> _MaskSample:
    pixels = mask.counts()
    if budget.per_instance is not None:
        drawn = draw_per_instance(mask, settings, budget.per_instance)
    else:
        drawn = draw_pixels(mask, settings, _quota(pixels, budget, settings.placement))
    codes = mask.legend.decode(mask.class_index.ravel()[drawn.flat])
    return _MaskSample(mask.name, scene, mask.grid, mask.legend, pixels, drawn, codes)


def _quota(
    pixels: NDArray[np.int64], budget: PointBudget, placement: Placement
) -> NDArray[np.int64]:
    """Return the number of pixels per class, or of all classes together for uniform placement."""
    present = pixels > 0
    if budget.per_class is not None:
        quota = present * budget.per_class
    elif budget.per_image is not None:
        share, rest = divmod(budget.per_image, max(int(present.sum()), 1))
        quota = present * share + (present & (np.cumsum(present) <= rest))
    else:
        quota = np.maximum(np.round(pixels * float(budget.fraction or 0)), present)
    quota = quota.astype(np.int64)
    return quota.sum(keepdims=True) if placement == "uniform" else quota


def _share_budget(
    samples: list[_MaskSample], budget: PointBudget, placement: Placement
) -> list[_MaskSample]:
    """Keep the pixels of smallest priority of all images, per class or of all classes together."""
    known = np.unique(np.concatenate([s.legend.codes[s.pixels > 0] for s in samples]))
    codes = np.concatenate([s.codes for s in samples])
    group = np.searchsorted(known, codes)
    quota = np.full(len(known), budget.per_class or 0, dtype=np.int64)
    if placement == "uniform":
        group, quota = np.zeros_like(group), quota.sum(keepdims=True)
    together = PixelSample(
        np.arange(len(codes)), group, np.concatenate([s.drawn.priority for s in samples])
    )
    kept = np.zeros(len(codes), dtype=bool)
    kept[take_first(together, quota)] = True
    ends = np.cumsum([len(s.codes) for s in samples])[:-1]
    return [s.select(k) for s, k in zip(samples, np.split(kept, ends), strict=True)]


def _warn_of_shortage(
    samples: list[_MaskSample], budget: PointBudget, placement: Placement, reporter: Reporter
) -> None:
    if budget.per_instance is not None:
        return
    if not budget.is_shared or placement == "uniform":
        found, wanted = sum(len(s.codes) for s in samples), _wanted(samples, budget)
        if found < wanted:
            reporter.warn(
                f"{found} points could be drawn, and {wanted} were wanted: the masks have no more pixels, or none far enough apart."
            )
        return
    codes = np.concatenate([s.codes for s in samples])
    short = []
    for entry in _common_legend(samples).entries:
        count = int((codes == entry.code).sum())
        if count < (budget.per_class or 0):
            short.append(f"{entry.name} ({count})")
    if short:
        reporter.warn(
            f"Fewer points than the {budget.per_class} wanted could be drawn of {', '.join(short)}: the masks have no "
            "more pixels of them, or none far enough apart."
        )


def _wanted(samples: list[_MaskSample], budget: PointBudget) -> int:
    """Return the number of points that a budget asks for, of all classes together."""
    if budget.is_shared:
        return (budget.per_class or 0) * len(_common_legend(samples))
    return sum(int(_quota(s.pixels, budget, "uniform").sum()) for s in samples)


def _common_legend(samples: list[_MaskSample]) -> Legend:
    entries: dict[int, LegendEntry] = {}
    for sample in samples:
        for entry, count in zip(sample.legend.entries, sample.pixels, strict=True):
            if count:
                entries.setdefault(entry.code, entry)
    return Legend(tuple(entries[code] for code in sorted(entries)))


def _to_points(
    samples: list[_MaskSample], seed: int, label_noise: float, position_error_m: float
) -> Points:
    legend = _common_legend(samples)
    parts = []
    for sample in samples:
        flat, name, grid = sample.drawn.flat, sample.name, sample.grid
        row, col = np.divmod(flat, grid.width)
        row, col = _shift(row + 0.5, col + 0.5, position_error_m, flat, seed, sample)
        x, y = grid.pixel_to_world(row, col)
        index = _confuse(legend.encode(sample.codes), label_noise, flat, seed, name, len(legend))
        crs = samples[0].grid.crs
        x, y = transform_coordinates(x, y, grid.crs, crs)
        scene = np.full(len(flat), sample.scene)
        parts.append(Points.from_arrays(x, y, index, legend, crs, scene=scene))
    points = Points.concatenate(parts)
    if len(points) == 0:
        raise PointsError(
            f"The {len(samples)} masks have no labelled pixel to draw points from. Expected classes in them; check the "
            "nodata value, the codes to ignore and the palette."
        )
    return replace(points, fid=np.arange(1, len(points) + 1))


def _shift(
    row: NDArray[np.float64],
    col: NDArray[np.float64],
    error_m: float,
    flat: NDArray[np.int64],
    seed: int,
    sample: _MaskSample,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Add normal errors to positions by the Box-Muller transform; positions stay on the image."""
    if error_m == 0:
        return row, col
    first, second = (random_numbers(flat, seed, sample.name, s) for s in ("distance", "direction"))
    distance = error_m * np.sqrt(-2 * np.log(first))
    angle = 2 * np.pi * second
    height, width = sample.grid.shape
    wide, high = sample.grid.pixel_sides_m
    return (
        np.clip(row + distance / high * np.sin(angle), 0.01, height - 0.01),
        np.clip(col + distance / wide * np.cos(angle), 0.01, width - 0.01),
    )


def _confuse(
    index: NDArray[np.int64],
    label_noise: float,
    flat: NDArray[np.int64],
    seed: int,
    name: str,
    classes: int,
) -> NDArray[np.int64]:
    """Change the class of some points to any other class with equal probability."""
    if label_noise == 0 or classes < 2:
        return index
    wrong = random_numbers(flat, seed, name, "noise") < label_noise
    step = 1 + (random_numbers(flat, seed, name, "class") * (classes - 1)).astype(np.int64)
    return np.where(wrong, (index + step) % classes, index)
