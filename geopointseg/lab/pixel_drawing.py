"""Random samples of pixels of a dense mask: priorities, groups, quotas.

Every pixel has a random priority that depends only on the seed, the name of the image and the position of the pixel. A
sample contains the pixels of smallest priority in each group. So a sample of 50 contains the sample of 20, and samples
of different images are independent. `thin`, which keeps a smallest distance, is an exception: classes compete for
space, so that the sample of 50 may lack some pixels of the sample of 20.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from operator import add
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.assessment.location_digest import mix_bits
from geopointseg.lab.dense_mask import DenseMask, row_ranges
from geopointseg.raster.geodesy import measure_distance
from geopointseg.raster.grid import Grid
from geopointseg.raster.planar_coordinates import search_coordinates

Placement = Literal["uniform", "stratified", "boundary", "interior", "instance", "clustered"]
PLACEMENTS: tuple[Placement, ...] = (
    "uniform", "stratified", "boundary", "interior", "instance", "clustered",
)  # fmt: skip

Priority = NDArray[np.uint64]

_OVERSAMPLING = 40
_LEAST_CANDIDATES = 5000
_MEMBER_BITS = 12
_USUAL_RADIUS_PX = 10.0


@dataclass(frozen=True)
class PixelSample:
    """A sample of pixels of one mask, in the order of their priority within each group.

    Parameters
    ----------
    flat
        Flat pixel position (``row * width + col``), int64 ``(pixel,)``.
    group
        Group of the quota, int64 ``(pixel,)``.
    priority
        Priority, smallest first, uint64 ``(pixel,)``.
    """

    flat: NDArray[np.int64]
    group: NDArray[np.int64]
    priority: Priority

    def __len__(self) -> int:
        return len(self.flat)

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> PixelSample:
        """Return the pixels of a mask or an index array."""
        return PixelSample(self.flat[chosen], self.group[chosen], self.priority[chosen])

    def joined(self, other: PixelSample) -> PixelSample:
        """Return the pixels of both samples."""
        return PixelSample(
            np.concatenate([self.flat, other.flat]),
            np.concatenate([self.group, other.group]),
            np.concatenate([self.priority, other.priority]),
        )


NO_PIXELS = PixelSample(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint64))


@dataclass(frozen=True)
class DrawSettings:
    """Placement of the pixels of a sample.

    Parameters
    ----------
    placement
        See `simulate_points`.
    seed
        Seed of the priorities.
    zone_px
        Width of the zone along class boundaries.
    min_distance_m
        Smallest distance of two pixels' centres on the ground.
    cluster_size, cluster_radius_m
        Pixels in a cluster, and their largest distance from its centre on the ground; 0 takes 10 pixels.
    """

    placement: Placement = "stratified"
    seed: int = 0
    zone_px: int = 3
    min_distance_m: float = 0.0
    cluster_size: int = 5
    cluster_radius_m: float = 0.0


def draw_pixels(mask: DenseMask, settings: DrawSettings, quota: NDArray[np.int64]) -> PixelSample:
    """Draw pixels per class, or of all classes together.

    Parameters
    ----------
    mask
        The classes.
    settings
        Placement, seed and distances.
    quota
        Number of pixels per class, int64 ``(class,)``; for uniform placement of all classes together, ``(1,)``.

    Returns
    -------
    PixelSample
        The drawn pixels; groups are the classes.
    """
    wanted = quota
    if settings.min_distance_m > 0:
        wanted = np.where(quota > 0, np.maximum(quota * _OVERSAMPLING, _LEAST_CANDIDATES), 0)
    if settings.placement == "clustered":
        drawn = _draw_clusters(mask, settings, wanted)
    elif settings.placement == "instance":
        drawn = _draw_over_instances(mask, settings, wanted)
    else:
        drawn = _draw_by_priority(mask, settings, wanted)
    return thin(drawn, mask.grid, settings.min_distance_m, quota)


def draw_per_instance(mask: DenseMask, settings: DrawSettings, quota: int) -> PixelSample:
    """Draw the same number of pixels in every object of a mask.

    Parameters
    ----------
    mask
        The classes and objects.
    settings
        Placement, seed and distances.
    quota
        Number of pixels per object.

    Returns
    -------
    PixelSample
        The drawn pixels; groups are the classes.
    """
    ranked, rank, _ = _rank_in_instances(mask, settings)
    drawn = ranked.select(rank < quota)
    drawn = PixelSample(
        drawn.flat, mask.class_index.ravel()[drawn.flat].astype(np.int64), drawn.priority
    )
    return thin(drawn, mask.grid, settings.min_distance_m, None)


def take_first(draw: PixelSample, quota: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the positions, int64, of the pixels of smallest priority in each group, at most the quota."""
    order = np.lexsort((draw.flat, draw.priority, draw.group))
    return np.asarray(order[_rank(draw.group[order]) < quota[draw.group[order]]])


def thin(
    draw: PixelSample, grid: Grid, min_distance_m: float, quota: NDArray[np.int64] | None
) -> PixelSample:
    """Drop pixels that are too near to one of smaller priority.

    One pixel of each group is taken in turn. So a larger quota of one group may exclude pixels of another: samples with
    a smallest distance are not nested.

    Parameters
    ----------
    draw
        The candidates.
    grid
        The grid of the pixels.
    min_distance_m
        Smallest distance on the ground; zero keeps all.
    quota
        Number of pixels to keep of each group, int64 ``(group,)``; None for all.

    Returns
    -------
    PixelSample
        The kept pixels.
    """
    order = np.lexsort((draw.flat, draw.priority, draw.group))
    rank = _rank(draw.group[order])
    if min_distance_m <= 0:
        return draw.select(order if quota is None else order[rank < quota[draw.group[order]]])
    order = order[np.lexsort((draw.group[order], rank))]
    row, col = np.divmod(draw.flat, grid.width)
    places = search_coordinates(*grid.pixel_to_world(row + 0.5, col + 0.5), grid.crs).tolist()
    taken: dict[tuple[int, ...], list[list[float]]] = {}
    left = None if quota is None else quota.copy()
    kept = []
    for position in order.tolist():
        group = int(draw.group[position])
        if left is not None and left[group] == 0:
            continue
        place = places[position]
        if _is_free(place, taken, min_distance_m):
            kept.append(position)
            taken.setdefault(_cell(place, min_distance_m), []).append(place)
            if left is not None:
                left[group] -= 1
    return draw.select(np.array(kept, dtype=np.int64))


def random_bits(flat: NDArray[np.int64], seed: int, name: str, stream: str = "") -> Priority:
    """Return 64 random bits for each pixel, a function of seed, image and pixel only.

    The bits are those of the finalizer of SplitMix64 on a counter.

    Parameters
    ----------
    flat
        Flat pixel positions, int64.
    seed
        Seed.
    name
        Name of the image.
    stream
        Name of the use, so that different uses get different bits.

    Returns
    -------
    NDArray
        uint64, of the shape of ``flat``.

    References
    ----------
    Steele, Lea and Flood (2014), Fast splittable pseudorandom number generators, doi:10.1145/2660193.2660195.
    """
    salt = np.uint64(zlib.crc32(f"{stream}|{name}".encode()) << 32 | zlib.crc32(f"{seed}".encode()))
    with np.errstate(over="ignore"):
        bits = (flat.astype(np.uint64) + salt) * np.uint64(0x9E3779B97F4A7C15) + salt
        return mix_bits(bits)


def random_numbers(
    flat: NDArray[np.int64], seed: int, name: str, stream: str
) -> NDArray[np.float64]:
    """Return a random number for each pixel, in the open interval from 0 to 1.

    Parameters
    ----------
    flat
        Flat pixel positions, int64.
    seed, name, stream
        As for `random_bits`.

    Returns
    -------
    NDArray
        float64, of the shape of ``flat``.
    """
    bits = random_bits(flat, seed, name, stream) >> np.uint64(11)
    return np.asarray((bits.astype(np.float64) + 0.5) / 2.0**53)


def boundary_zone(class_index: NDArray[np.int16], zone_px: int) -> NDArray[np.bool_]:
    """Return which labelled pixels have a pixel of another class within a square of ``zone_px``.

    Unlabelled pixels and the border of the mask are not boundaries.
    """
    from scipy.ndimage import maximum_filter, minimum_filter

    size = 2 * zone_px + 1
    highest = maximum_filter(class_index, size, mode="nearest")
    unknown_high = np.where(class_index < 0, np.iinfo(np.int16).max, class_index)
    lowest = minimum_filter(unknown_high, size, mode="nearest")
    return np.asarray((class_index >= 0) & (highest != lowest))


def label_objects(mask: DenseMask) -> NDArray[np.int32]:
    """Return the objects of a mask: its own, or the connected areas of one class (diagonals connect)."""
    from scipy.ndimage import label

    if mask.instance is not None:
        return np.where(mask.class_index >= 0, mask.instance, 0).astype(np.int32)
    objects = np.zeros(mask.class_index.shape, dtype=np.int32)
    last = 0
    for index in range(len(mask.legend)):
        found, count = label(mask.class_index == index, structure=np.ones((3, 3)))
        objects[found > 0] = found[found > 0] + last
        last += count
    return objects


def _draw_by_priority(
    mask: DenseMask, settings: DrawSettings, quota: NDArray[np.int64]
) -> PixelSample:
    drawn = NO_PIXELS
    for part in _prioritize(
        mask, settings, together=len(quota) == 1 and settings.placement == "uniform"
    ):
        drawn = drawn.joined(part.select(take_first(part, quota)))
        drawn = drawn.select(take_first(drawn, quota))
    return drawn


def _prioritize(
    mask: DenseMask, settings: DrawSettings, *, together: bool = False
) -> Iterator[PixelSample]:
    """Yield all labelled pixels, by ranges of rows, with their priority; pixels outside the zone come last."""
    height, width = mask.class_index.shape
    zoned = settings.placement in ("boundary", "interior")
    for rows in row_ranges((height, width)):
        halo = slice(
            max(rows.start - settings.zone_px, 0), min(rows.stop + settings.zone_px, height)
        )
        labels = mask.class_index[rows]
        inside = np.flatnonzero(labels.ravel() >= 0)
        flat = inside + rows.start * width
        priority = random_bits(flat, settings.seed, mask.name) >> np.uint64(1)
        if zoned:
            zone = boundary_zone(mask.class_index[halo], settings.zone_px)
            zone = zone[rows.start - halo.start :][: labels.shape[0]].ravel()[inside]
            last = zone if settings.placement == "interior" else ~zone
            priority |= last.astype(np.uint64) << np.uint64(63)
        group = labels.ravel()[inside].astype(np.int64)
        yield PixelSample(flat, np.zeros_like(group) if together else group, priority)


def _rank_in_instances(
    mask: DenseMask, settings: DrawSettings
) -> tuple[PixelSample, NDArray[np.int64], NDArray[np.int64]]:
    """Return all pixels of objects, their rank within their object, and the object."""
    objects = label_objects(mask).ravel()
    pixels = NO_PIXELS
    for part in _prioritize(mask, settings):
        pixels = pixels.joined(part.select(objects[part.flat] > 0))
    owner = objects[pixels.flat].astype(np.int64)
    order = np.lexsort((pixels.priority, owner))
    return pixels.select(order), _rank(owner[order]), owner[order]


def _draw_over_instances(
    mask: DenseMask, settings: DrawSettings, quota: NDArray[np.int64]
) -> PixelSample:
    """Draw one pixel of each object, in random order of the objects, before a second one of any."""
    pixels, rank, owner = _rank_in_instances(mask, settings)
    turn = random_bits(owner, settings.seed, mask.name, "objects") >> np.uint64(24)
    priority = (np.minimum(rank, 2**24 - 1).astype(np.uint64) << np.uint64(40)) | turn
    drawn = PixelSample(pixels.flat, pixels.group, priority)
    return drawn.select(take_first(drawn, quota))


def _draw_clusters(
    mask: DenseMask, settings: DrawSettings, quota: NDArray[np.int64]
) -> PixelSample:
    """Draw centres, and around each some pixels of its class."""
    size = max(settings.cluster_size, 1)
    centres = _draw_by_priority(mask, settings, quota)
    clusters = NO_PIXELS
    filled = np.zeros(len(quota), dtype=np.int64)
    for position in range(len(centres)):
        group = int(centres.group[position])
        if filled[group] < quota[group]:
            members = _cluster_around(mask, settings, int(centres.flat[position]), size)
            members = members[~np.isin(members, clusters.flat)]
            numbers = np.arange(len(members), dtype=np.uint64)
            first = centres.priority[position] >> np.uint64(_MEMBER_BITS) << np.uint64(_MEMBER_BITS)
            clusters = clusters.joined(
                PixelSample(members, np.full(len(members), group), first | numbers)
            )
            filled[group] += len(members)
    return clusters.select(take_first(clusters, quota))


def _cluster_around(
    mask: DenseMask, settings: DrawSettings, centre: int, size: int
) -> NDArray[np.int64]:
    height, width = mask.class_index.shape
    row, col = divmod(centre, width)
    wide, high = mask.grid.crop(Window(col, row, 1, 1)).pixel_sides_m
    radius = settings.cluster_radius_m or _USUAL_RADIUS_PX * math.sqrt(wide * high)
    down, across = math.ceil(1.01 * radius / high), math.ceil(1.01 * radius / wide)
    rows = np.arange(max(row - down, 0), min(row + down + 1, height))
    cols = np.arange(max(col - across, 0), min(col + across + 1, width))
    near = _is_within(mask.grid, (row, col), rows, cols, radius)
    same = (
        mask.class_index[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        == mask.class_index[row, col]
    )
    flat = (rows[:, None] * width + cols)[near & same]
    flat = flat[flat != centre]
    order = np.argsort(random_bits(flat, settings.seed, mask.name, "cluster"))
    return np.concatenate([[centre], flat[order[: size - 1]]])


def _is_within(
    grid: Grid,
    centre: tuple[int, int],
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    radius_m: float,
) -> NDArray[np.bool_]:
    """Return which pixels of rows and columns lie within a radius of a pixel on the ground, bool ``(row, col)``."""
    row, col = (v.ravel() for v in np.meshgrid(rows, cols, indexing="ij"))
    x, y = grid.pixel_to_world(row + 0.5, col + 0.5)
    start_x, start_y = grid.pixel_to_world(centre[0] + 0.5, centre[1] + 0.5)
    gap = measure_distance(start_x, start_y, x, y, grid.crs)
    return np.asarray(gap <= radius_m).reshape(len(rows), len(cols))


def _rank(group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the position of each element within its run of equal values."""
    starts = (
        np.flatnonzero(np.r_[True, group[1:] != group[:-1]]) if len(group) else np.empty(0, int)
    )
    return np.arange(len(group)) - np.repeat(starts, np.diff(np.r_[starts, len(group)]))


def _cell(place: Sequence[float], size: float) -> tuple[int, ...]:
    return tuple(int(along // size) for along in place)


def _is_free(
    place: Sequence[float], taken: Mapping[tuple[int, ...], list[list[float]]], distance: float
) -> bool:
    cell = _cell(place, distance)
    return all(
        math.dist(place, other) >= distance
        for step in product((-1, 0, 1), repeat=len(cell))
        for other in taken.get(tuple(map(add, cell, step)), ())
    )
