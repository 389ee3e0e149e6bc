"""Points from dense masks, drawn as a person would click them.

With a dense mask one can ask what points would have achieved: how many, where, how careful. A draw is fixed by its
seed and the names of the images, so that a budget is a budget: the larger one contains the smaller, and adding an
image changes nothing in the others. Only with a smallest distance between points do budgets not nest strictly: a
class that gets more points takes places that another class would have had, so a few points differ.
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
    Draw,
    Placement,
    Recipe,
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
from geopointseg.setting import require_number

Mask = DenseMask | MaskPair | str | PathLike[str]


@dataclass(frozen=True)
class Budget:
    """How many points are drawn; exactly one of the numbers is given.

    Parameters
    ----------
    per_class
        Points of each class.
    per_image
        Points in each image, shared evenly by its classes (uniform placement: wherever they fall).
    per_instance
        Points in each object.
    fraction
        Share of the labelled pixels, of each class and at least one (uniform placement: of all).
    each_image
        Whether ``per_class`` counts in each image instead of in all together.
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
        """Whether all images share one budget."""
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
        Same seed and names, same points.
    per_class, per_image, per_instance, fraction, each_image
        How many; see `Budget`. Exactly one of the first four.
    placement
        ``uniform``: anywhere, so that classes come as often as they cover ground. ``stratified``: anywhere within
        each class. ``boundary``: within ``zone_px`` of another class. ``interior``: farther than that from any
        other class. ``instance``: each object gets a point before any gets a second. ``clustered``: several at one
        place, as people click. Where a class has too few pixels in the wanted zone, the rest is drawn beside it.
    min_distance_m
        Smallest distance of two points in one image, of all classes. With it a larger budget shares most, but not
        always all, of its points with a smaller one, because classes compete for room.
    label_noise
        Chance of each point to get a wrong class, 0..1.
    position_error_m
        Standard deviation of the point's place along each axis; the label stays that of the true place.
    zone_px
        Width of the zone along class boundaries.
    cluster_size, cluster_radius_m
        Points in a cluster and their largest distance from its centre; by default 10 pixels.
    palette
        What the colours of colour-coded masks mean; a name, a file or a `Palette`.
    like
        The image that a mask without georeference belongs to.
    reporter
        Told of progress; warned of classes with fewer pixels than wanted.

    Returns
    -------
    Points
        At pixel centres (apart from position errors), in the CRS of the first mask, of the classes that occur in
        the masks. For pairs of image and mask, ``scene`` names the image.

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
    budget = Budget(per_class, per_image, per_instance, fraction, each_image)
    _check_settings(placement, label_noise, min_distance_m, position_error_m, cluster_radius_m)
    recipe = Recipe(placement, seed, zone_px, min_distance_m, cluster_size, cluster_radius_m or 0.0)
    several = [masks] if isinstance(masks, (DenseMask, MaskPair, str, PathLike)) else list(masks)
    harvests = []
    with reporter.stage("simulate", total=len(several)) as advance:
        for source in several:
            mask = _open_mask(source, palette, like, reporter)
            scene = source.image.name if isinstance(source, MaskPair) else ""
            harvests.append(_harvest(mask, scene, recipe, budget))
            advance(1)
    if budget.is_shared:
        harvests = _share_budget(harvests, budget, placement)
    _warn_of_shortage(harvests, budget, placement, reporter)
    return _to_points(harvests, seed, label_noise, position_error_m)


@dataclass(frozen=True)
class _Harvest:
    """What was drawn from one mask, and what is kept of the mask itself."""

    name: str
    scene: str
    grid: Grid
    legend: Legend
    pixels: NDArray[np.int64]
    drawn: Draw
    codes: NDArray[np.int64]

    def select(self, chosen: NDArray[np.bool_]) -> _Harvest:
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


def _harvest(mask: DenseMask, scene: str, recipe: Recipe, budget: Budget) -> _Harvest:
    pixels = mask.counts()
    if budget.per_instance is not None:
        drawn = draw_per_instance(mask, recipe, budget.per_instance)
    else:
        drawn = draw_pixels(mask, recipe, _quota(pixels, budget, recipe.placement))
    codes = mask.legend.decode(mask.class_index.ravel()[drawn.flat])
    return _Harvest(mask.name, scene, mask.grid, mask.legend, pixels, drawn, codes)


def _quota(pixels: NDArray[np.int64], budget: Budget, placement: Placement) -> NDArray[np.int64]:
    """Return how many pixels to draw of each class, or of all together for uniform placement."""
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


def _share_budget(harvests: list[_Harvest], budget: Budget, placement: Placement) -> list[_Harvest]:
    """Keep the pixels of smallest priority over all images, of each class or of all together."""
    known = np.unique(np.concatenate([h.legend.codes[h.pixels > 0] for h in harvests]))
    codes = np.concatenate([h.codes for h in harvests])
    group = np.searchsorted(known, codes)
    quota = np.full(len(known), budget.per_class or 0, dtype=np.int64)
    if placement == "uniform":
        group, quota = np.zeros_like(group), quota.sum(keepdims=True)
    together = Draw(
        np.arange(len(codes)), group, np.concatenate([h.drawn.priority for h in harvests])
    )
    kept = np.zeros(len(codes), dtype=bool)
    kept[take_first(together, quota)] = True
    ends = np.cumsum([len(h.codes) for h in harvests])[:-1]
    return [h.select(k) for h, k in zip(harvests, np.split(kept, ends), strict=True)]


def _warn_of_shortage(
    harvests: list[_Harvest], budget: Budget, placement: Placement, reporter: Reporter
) -> None:
    if not budget.is_shared or placement == "uniform":
        return
    codes = np.concatenate([h.codes for h in harvests])
    short = []
    for entry in _common_legend(harvests).entries:
        count = int((codes == entry.code).sum())
        if count < (budget.per_class or 0):
            short.append(f"{entry.name} ({count})")
    if short:
        reporter.warn(
            f"Fewer points than the {budget.per_class} wanted could be drawn of {', '.join(short)}: the masks have no "
            "more pixels of them, or none far enough apart."
        )


def _common_legend(harvests: list[_Harvest]) -> Legend:
    entries: dict[int, LegendEntry] = {}
    for harvest in harvests:
        for entry, count in zip(harvest.legend.entries, harvest.pixels, strict=True):
            if count:
                entries.setdefault(entry.code, entry)
    return Legend(tuple(entries[code] for code in sorted(entries)))


def _to_points(
    harvests: list[_Harvest],
    seed: int,
    label_noise: float,
    position_error_m: float,
) -> Points:
    legend = _common_legend(harvests)
    parts = []
    for harvest in harvests:
        flat, name, grid = harvest.drawn.flat, harvest.name, harvest.grid
        row, col = np.divmod(flat, grid.width)
        row, col = _shift(row + 0.5, col + 0.5, position_error_m, flat, seed, harvest)
        x, y = grid.pixel_to_world(row, col)
        index = _confuse(legend.encode(harvest.codes), label_noise, flat, seed, name, len(legend))
        crs = harvests[0].grid.crs
        x, y = transform_coordinates(x, y, grid.crs, crs)
        scene = np.full(len(flat), harvest.scene)
        parts.append(Points.from_arrays(x, y, index, legend, crs, scene=scene))
    points = Points.concatenate(parts)
    if len(points) == 0:
        raise PointsError(
            f"The {len(harvests)} masks have no labelled pixel to draw points from. Expected classes in them; check the "
            "nodata value, the codes to ignore and the palette."
        )
    return replace(points, fid=np.arange(1, len(points) + 1))


def _shift(
    row: NDArray[np.float64],
    col: NDArray[np.float64],
    error_m: float,
    flat: NDArray[np.int64],
    seed: int,
    harvest: _Harvest,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Move places by a normal error, by the method of Box and Muller; they stay on the image."""
    if error_m == 0:
        return row, col
    first, second = (random_numbers(flat, seed, harvest.name, s) for s in ("distance", "direction"))
    distance = error_m * np.sqrt(-2 * np.log(first))
    angle = 2 * np.pi * second
    height, width = harvest.grid.shape
    wide, high = harvest.grid.pixel_sides_m
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
    """Give some points another class, any of the others with equal chance."""
    if label_noise == 0 or classes < 2:
        return index
    wrong = random_numbers(flat, seed, name, "noise") < label_noise
    step = 1 + (random_numbers(flat, seed, name, "class") * (classes - 1)).astype(np.int64)
    return np.where(wrong, (index + step) % classes, index)
