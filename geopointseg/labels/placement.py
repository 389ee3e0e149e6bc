"""Location of points on scenes: which pixels, on nodata or not, shared with other points or not."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.windows import Window

from geopointseg.errors import RasterError
from geopointseg.labels.points import Points
from geopointseg.labels.sparse_mask import find_pixels, locate_pixels, rasterize_points
from geopointseg.progress import Reporter
from geopointseg.raster.datum import describe_reference_body
from geopointseg.raster.geodesy import measure_distance
from geopointseg.raster.grid import (
    Grid,
    crs_name,
    crs_title,
    require_transformation,
)
from geopointseg.raster.scene import Scene

NOT_TRAINED = ("validation", "test", "buffer")
"""Values of ``split`` of the points that training leaves out."""

_TILE_PX = 256
_RANGE_PX = 4_000_000


@dataclass(frozen=True)
class Placement:
    """Where each point lies on a set of scenes; all arrays are ``(point,)``.

    Parameters
    ----------
    inside
        On any scene.
    valid
        On a valid pixel of any scene.
    conflict
        In a pixel with points of several classes.
    duplicate
        In a pixel with an earlier point of the same class.
    border
        Within half a chip of the border of a scene.
    scene
        Position of the first scene that the point lies on, int64; -1 for none.
    row, col
        Fractional pixel position on that scene, float64; NaN for none.
    undeclared_nan
        Number of pixels around points that are NaN although the file does not declare NaN as nodata.
    training
        Labelled pixels of each class for training, int64 ``(class,)``.
    """

    inside: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    conflict: NDArray[np.bool_]
    duplicate: NDArray[np.bool_]
    border: NDArray[np.bool_]
    scene: NDArray[np.int64]
    row: NDArray[np.float64]
    col: NDArray[np.float64]
    undeclared_nan: int
    training: NDArray[np.int64]

    @property
    def usable(self) -> NDArray[np.bool_]:
        """On a valid pixel, without conflict and not a duplicate."""
        return self.valid & ~self.conflict & ~self.duplicate


def place_points(
    points: Points, scenes: Sequence[Scene], chip_size: int, reporter: Reporter
) -> Placement:
    """Find the pixels of all points on all scenes, and read which of them are valid.

    Parameters
    ----------
    points
        The points.
    scenes
        The scenes. A point lies on no scene whose CRS cannot be related to its own; see `crs_mismatch`.
    chip_size
        Side of a training chip in pixels.
    reporter
        Receives progress; may cancel.

    Returns
    -------
    Placement
        One entry for each point.
    """
    count = len(points)
    flags = {
        name: np.zeros(count, bool)
        for name in ("inside", "valid", "conflict", "duplicate", "border")
    }
    home = np.full(count, -1, dtype=np.int64)
    place = np.full((2, count), np.nan)
    undeclared = 0
    training = np.zeros(len(points.legend), dtype=np.int64)
    with reporter.stage("check", total=len(scenes)) as advance:
        for number, scene in enumerate(scenes):
            if crs_mismatch(points, scene):
                advance(1)
                continue
            moved = points.to_crs(scene.grid.crs)
            pixel, owner = locate_pixels(moved, scene.grid)
            mine = points.belong_to(scene.name)[owner]
            pixel, owner = pixel[mine], owner[mine]
            valid, nan = read_validity(scene, pixel, reporter)
            undeclared += nan
            training += _count_training_pixels(points, scene, pixel[valid])
            flags["inside"][owner] = True
            flags["valid"][owner[valid]] = True
            drawn = points.is_shape
            _flag_shared(pixel, owner, points.class_index, ~drawn, flags)
            new = np.unique(owner[home[owner] < 0])
            home[new] = number
            place[:, new] = scene.grid.world_to_pixel(moved.x[new], moved.y[new])
            flags["border"][new] = _near_border(place[:, new], scene.grid, chip_size / 2)
            advance(1)
    return Placement(
        **flags,
        scene=home,
        row=place[0],
        col=place[1],
        undeclared_nan=undeclared,
        training=training,
    )


def select_training(points: Points) -> Points:
    """Return the points that are used for training: those not held out by their ``split``."""
    return points.select(~np.isin(points.split, NOT_TRAINED))


def _count_training_pixels(
    points: Points, scene: Scene, valid: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Count the labelled pixels of each class on one scene; ``valid`` holds the flat positions of valid pixels."""
    mask = rasterize_points(select_training(points), scene.grid, scene=scene.name)
    flat = mask.row.astype(np.int64) * scene.grid.width + mask.col
    kept = mask.class_index[np.isin(flat, valid)].astype(np.int64)
    return np.bincount(kept, minlength=len(points.legend)).astype(np.int64)


def read_validity(
    scene: Scene, pixel: NDArray[np.int64], reporter: Reporter | None = None
) -> tuple[NDArray[np.bool_], int]:
    """Read which pixels are valid, tile by tile so that memory stays small.

    Parameters
    ----------
    scene
        The scene.
    pixel
        Flat pixel positions (``row * width + col``), int64 ``(pixel,)``.
    reporter
        May cancel, once per tile.

    Returns
    -------
    valid
        bool ``(pixel,)``.
    undeclared_nan
        Number of different pixels that are NaN although the file does not declare NaN as nodata.
    """
    row, col = np.divmod(pixel, scene.grid.width)
    valid = np.zeros(len(pixel), dtype=bool)
    undeclared = 0
    for members in _by_tile(row, col, *_tile_shape(scene)):
        if reporter is not None:
            reporter.check_cancelled()
        top, left = row[members].min(), col[members].min()
        height, width = row[members].max() - top + 1, col[members].max() - left + 1
        chip = scene.read(Window(int(left), int(top), int(width), int(height)))
        valid[members] = chip.valid[row[members] - top, col[members] - left]
        undeclared += chip.undeclared_nan if not valid[members].all() else 0
    return valid, undeclared


def crs_mismatch(points: Points, scene: Scene) -> str:
    """Return the message for points and a scene whose CRSs cannot be related to each other; empty where they can."""
    try:
        require_transformation(points.crs, scene.grid.crs)
    except RasterError:
        return (
            f"The points are in {crs_title(points.crs)}, tied to {describe_reference_body(points.crs)}, and '{scene.name}' is in "
            f"{crs_title(scene.grid.crs)}, tied to {describe_reference_body(scene.grid.crs)}. Expected CRSs with a common reference; "
            'digitize the points on this scene, or correct the wrong CRS in QGIS with "Assign projection".'
        )
    return ""


def describe_miss(points: Points, scenes: Sequence[Scene]) -> str:
    """Return the message for points none of which lies on a scene: both extents, and the probable reason."""
    scene = next((s for s in scenes if not crs_mismatch(points, s)), None)
    if scene is None:
        return crs_mismatch(points, scenes[0])
    moved = points.to_crs(scene.grid.crs)
    finite = np.isfinite(moved.x) & np.isfinite(moved.y)
    name = crs_name(scene.grid.crs)
    which = f"the scene '{scene.name}'" if len(scenes) == 1 else f"any of the {len(scenes)} scenes"
    if not finite.any():
        return (
            f"None of the {len(points)} points lies on {which}: their coordinates (x {_span(points.x)}, y "
            f"{_span(points.y)}) are impossible in their CRS, {crs_name(points.crs)}. Expected coordinates that can "
            f"be placed in {name}; correct the points' CRS."
        )
    x, y = moved.x[finite], moved.y[finite]
    west, south, east, north = scene.grid.bounds
    return (
        f"None of the {len(points)} points lies on {which}. In {name}, the points ({crs_name(points.crs)}) reach over "
        f"x {_span(x)}, y {_span(y)}, '{scene.name}' over x {west:.10g} to {east:.10g}, y {south:.10g} to {north:.10g}"
        f"{_distance(x, y, scene.grid)}. Expected points on the scene; {_advice(points, scenes)}"
    )


def transformation_accuracy_m(source: CRS, target: CRS) -> float:
    """Return the accuracy in metres of the best transformation that PROJ has.

    Zero where the datum stays the same; infinity where PROJ has no transformation between the two datums and treats their
    coordinates as equal (a *ballpark* transformation).
    """
    from pyproj.transformer import TransformerGroup

    if source == target:
        return 0.0
    group = TransformerGroup(source.to_wkt(), target.to_wkt(), always_xy=True)
    if not group.transformers or "Ballpark" in group.transformers[0].description:
        return math.inf
    return max(float(group.transformers[0].accuracy), 0.0)


def _flag_shared(
    pixel: NDArray[np.int64],
    owner: NDArray[np.int64],
    class_index: NDArray[np.int64],
    is_point: NDArray[np.bool_],
    flags: dict[str, NDArray[np.bool_]],
) -> None:
    """Flag points that share their pixel with another class, and all but the first of one class."""
    order = np.lexsort((owner, class_index[owner], pixel))
    pixel, owner = pixel[order], owner[order]
    classes = class_index[owner]
    same_pixel = pixel[1:] == pixel[:-1]
    starts = np.flatnonzero(np.r_[True, ~same_pixel]) if len(pixel) else np.empty(0, np.int64)
    if not len(starts):
        return
    size = np.diff(np.r_[starts, len(pixel)])
    first = np.repeat(np.minimum.reduceat(classes, starts), size)
    last = np.repeat(np.maximum.reduceat(classes, starts), size)
    conflicting = owner[first != last]
    flags["conflict"][conflicting[is_point[conflicting]]] = True
    repeated = owner[1:][same_pixel & (classes[1:] == classes[:-1])]
    flags["duplicate"][repeated[is_point[repeated]]] = True


def _near_border(place: NDArray[np.float64], grid: Grid, margin: float) -> NDArray[np.bool_]:
    row, col = place
    beside = (row < margin) | (row > grid.height - margin)
    return np.asarray(beside | (col < margin) | (col > grid.width - margin))


def _tile_shape(scene: Scene) -> tuple[int, int]:
    height, width = scene.block_shape
    if width >= scene.grid.width:
        rows = max(_RANGE_PX // (scene.grid.width * max(len(scene.bands), 1)), height, 1)
        return min(rows, _TILE_PX), scene.grid.width
    return max(height, _TILE_PX), max(width, _TILE_PX)


def _by_tile(
    row: NDArray[np.int64], col: NDArray[np.int64], height: int, width: int
) -> Iterator[NDArray[np.int64]]:
    if not len(row):
        return
    tile = row // height * (int(col.max()) // width + 1) + col // width
    order = np.argsort(tile, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(tile[order])) + 1)


def _span(values: NDArray[np.float64]) -> str:
    return f"{values.min():.10g} to {values.max():.10g}"


def _distance(x: NDArray[np.float64], y: NDArray[np.float64], grid: Grid) -> str:
    west, south, east, north = grid.bounds
    x = grid.nearest_x(x)
    nearest = np.clip(x, west, east), np.clip(y, south, north)
    metres = float(measure_distance(x, y, *nearest, grid.crs).min())
    if metres == 0 or not math.isfinite(metres):
        return ""
    return f", {metres / 1000:.3g} km apart" if metres >= 1000 else f", {metres:.0f} m apart"


def _advice(points: Points, scenes: Sequence[Scene]) -> str:
    if _is_on_some_scene(points.y, points.x, points.crs, scenes):
        return "x and y seem to be swapped (latitude before longitude): swap them in the file."
    for scene in scenes:
        if scene.grid.crs != points.crs and _is_on_some_scene(
            points.x, points.y, scene.grid.crs, scenes
        ):
            return (
                f"read as {crs_name(scene.grid.crs)} they would lie on it, so the points' CRS is probably wrong: "
                'correct it in QGIS with "Assign projection".'
            )
    degrees = np.abs(points.x).max() <= 180 and np.abs(points.y).max() <= 90
    if degrees and not points.crs.is_geographic:
        return (
            "their numbers look like degrees although their CRS counts in other units: "
            'assign EPSG:4326 in QGIS with "Assign projection".'
        )
    return "check that points and scene belong together and that both CRSs are right."


def _is_on_some_scene(
    x: NDArray[np.float64], y: NDArray[np.float64], crs: CRS, scenes: Sequence[Scene]
) -> bool:
    for grid in (scene.grid for scene in scenes):
        try:
            require_transformation(crs, grid.crs)
        except RasterError:
            continue
        if (find_pixels(x, y, crs, grid)[0] >= 0).any():
            return True
    return False
