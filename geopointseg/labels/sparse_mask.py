"""Sparse masks: the labelled pixels of a grid, made from points.

A `SparseMask` lists labelled pixels only, so a thousand points on a raster of any size take a few kilobytes. Other pixels
are *unlabelled*, which is neither a class nor nodata.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import rasterio
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import ArrayLike, NDArray
from rasterio.crs import CRS
from rasterio.windows import Window

from geopointseg.errors import InputFileError, OutputError, PointsError
from geopointseg.labels.points import Points
from geopointseg.legend import Legend
from geopointseg.raster.class_map import (
    LEGEND_TAG,
    class_map_tags,
    code_table,
    colormap,
    nodata_code,
    write_sidecars,
)
from geopointseg.raster.cog import BLOCK_PX
from geopointseg.raster.crs import keep_crs
from geopointseg.raster.grid import Grid, clip_window, crs_name, row_windows, transform_coordinates
from geopointseg.raster.polygon import nearest_shape
from geopointseg.raster.publishing import require_ending, whole_file
from geopointseg.raster.raster_access import open_unplaced
from geopointseg.summary import count_classes, described

UNLABELLED = -1
"""Class index of unlabelled pixels in every dense array of class indices."""

_RANGE_PX = 4_000_000


@described
@dataclass(frozen=True, eq=False)
class SparseMask:
    """The labelled pixels of a grid, one entry per pixel, sorted by row and column.

    Parameters
    ----------
    grid
        The grid whose pixels are labelled.
    row, col
        Pixel positions, int32 ``(pixel,)``.
    class_index
        Class index into ``legend``, int16 ``(pixel,)``.
    weight
        Weight of each pixel in the training, float32 ``(pixel,)``.
    legend
        The classes.
    outside
        Number of points outside the grid.
    conflicts
        Number of pixels with points of several classes; they get the class of largest total weight.
    ties
        Number of these that are unlabelled, because two classes have the same total weight.
    """

    grid: Grid
    row: NDArray[np.int32]
    col: NDArray[np.int32]
    class_index: NDArray[np.int16]
    weight: NDArray[np.float32]
    legend: Legend
    outside: int = 0
    conflicts: int = 0
    ties: int = 0

    def _summary(self) -> list[str]:
        return [
            (
                f"SparseMask: {len(self)} labelled pixels of {self.grid.height} rows x {self.grid.width} columns, "
                f"{crs_name(self.grid.crs)}"
            ),
            count_classes(self.legend.names, self.counts()),
        ]

    def _table(self) -> tuple[list[str], list[list[object]]]:
        rows = self.legend.table_rows(self.counts().tolist())
        return ["code", "class", "colour", "labelled pixels"], rows

    @classmethod
    def from_array(
        cls,
        class_index: NDArray[Any],
        grid: Grid,
        legend: Legend,
        weight: NDArray[np.float32] | None = None,
    ) -> SparseMask:
        """List the labelled pixels of a dense array ``(row, col)``, which is `UNLABELLED` elsewhere.

        Parameters
        ----------
        class_index
            Class indices, integer ``(row, col)``.
        grid, legend
            The grid of the array, and the classes.
        weight
            Weights, float32 ``(row, col)``; 1 by default.

        Returns
        -------
        SparseMask
            The labelled pixels.
        """
        row, col = np.nonzero(class_index != UNLABELLED)
        return cls(
            grid=grid,
            row=row.astype(np.int32),
            col=col.astype(np.int32),
            class_index=class_index[row, col].astype(np.int16),
            weight=np.ones(len(row), dtype=np.float32) if weight is None else weight[row, col],
            legend=legend,
        )

    def __len__(self) -> int:
        return len(self.row)

    def counts(self) -> NDArray[np.int64]:
        """Return the number of labelled pixels of each class, in legend order."""
        return np.bincount(self.class_index, minlength=len(self.legend)).astype(np.int64)

    def select(self, chosen: NDArray[Any]) -> Self:
        """Return the pixels that a boolean mask chooses."""
        arrays = {name: getattr(self, name)[chosen] for name in _ARRAYS}
        return dataclasses.replace(self, **arrays)

    def window(self, window: Window) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the dense labels of a window, which may extend beyond the grid.

        Returns
        -------
        class_index
            int64 ``(row, col)``, `UNLABELLED` where there is no label.
        weight
            float32 ``(row, col)``, zero where there is no label.
        """
        height, width = int(window.height), int(window.width)
        labels = np.full((height, width), UNLABELLED, dtype=np.int64)
        weight = np.zeros((height, width), dtype=np.float32)
        first, last = np.searchsorted(self.row, [window.row_off, window.row_off + height])
        col = self.col[first:last] - int(window.col_off)
        inside = np.flatnonzero((col >= 0) & (col < width))
        row = self.row[first:last][inside] - int(window.row_off)
        col = col[inside]
        labels[row, col] = self.class_index[first:last][inside]
        weight[row, col] = self.weight[first:last][inside]
        return labels, weight


_ARRAYS = ("row", "col", "class_index", "weight")


def rasterize_points(
    points: Points | Iterable[Points], grid: Grid, *, scene: str | None = None
) -> SparseMask:
    """Return the pixels of a grid that points label.

    A point labels the pixel that it lies in; on the edge between two pixels, the one to the right and below in the array,
    as in GDAL. Lines and polygons label the pixels of GDAL's rasterization (for polygons those whose centre they cover).
    A pixel with points of several classes gets the class of largest total weight; with a tie it stays unlabelled, because
    a wrong label does more harm than a missing one.

    Parameters
    ----------
    points
        Points in any CRS, or an iterable of chunks of points (`stream_points`), of which one is in memory at a time.
    grid
        The grid.
    scene
        Name of the scene of the grid; points that name another scene are left out.

    Returns
    -------
    SparseMask
        Empty if no point lies on the grid. The weight of a pixel is the mean weight of the points of its class.

    Raises
    ------
    PointsError
        If chunks have different legends.
    """
    chunks = [points] if isinstance(points, Points) else points
    tallies: list[_Tally] = []
    legend: Legend | None = None
    outside = 0
    for chunk in chunks:
        legend = _require_legend(chunk, legend)
        mine = chunk if scene is None else chunk.select(chunk.belong_to(scene))
        moved = mine.to_crs(grid.crs)
        pixel, owner = locate_pixels(moved, grid)
        placed = np.zeros(len(moved), dtype=bool)
        placed[owner] = True
        outside += int((~placed).sum())
        tallies.append(_Tally.of(pixel, moved.class_index[owner], moved.weight[owner]))
        while len(tallies) > 1 and 2 * len(tallies[-1].pixel) >= len(tallies[-2].pixel):
            tallies[-2:] = [_Tally.merged(tallies[-2:])]
    return _decide(_Tally.merged(tallies), grid, legend or Legend(()), outside)


def _require_legend(points: Points, legend: Legend | None) -> Legend:
    if legend is not None and points.legend != legend:
        raise PointsError(
            f"Points of '{points.source}' have another legend than those before ({', '.join(points.legend.names)} "
            f"against {', '.join(legend.names)}). Expected one legend; read all points with the same legend."
        )
    return points.legend


def find_pixels(
    x: ArrayLike, y: ArrayLike, crs: CRS, grid: Grid
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pixel of a grid in which each place lies.

    Parameters
    ----------
    x, y
        World coordinates, ``(place,)``.
    crs
        Their coordinate reference system.
    grid
        The grid, in any CRS.

    Returns
    -------
    row, col
        int64 ``(place,)``; both -1 where a place lies outside the grid or cannot be transformed.
    """
    with np.errstate(invalid="ignore"):  # infinite where the projection cannot place a point
        place = grid.world_to_pixel(*transform_coordinates(x, y, crs, grid.crs))
        row, col = (np.floor(values) for values in place)
        inside = (row >= 0) & (row < grid.height) & (col >= 0) & (col < grid.width)
    row, col = (np.where(inside, values, -1).astype(np.int64) for values in (row, col))
    return row, col


def locate_pixels(points: Points, grid: Grid) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pixels that points label, and the point of each.

    Parameters
    ----------
    points
        Points in the grid's CRS.
    grid
        The grid; points outside are left out.

    Returns
    -------
    pixel
        Flat positions (``row * width + col``), int64 ``(pixel,)``.
    owner
        Position of the point, int64 ``(pixel,)``.
    """
    row, col = find_pixels(points.x, points.y, points.crs, grid)
    owner = np.flatnonzero((row >= 0) & ~points.is_shape)
    pixel = row[owner] * grid.width + col[owner]
    if points.shapes is None:
        return pixel, owner
    drawn = np.flatnonzero(points.is_shape)
    burnt = [_burn(points.shapes[position], grid) for position in drawn]
    counts = [len(pixels) for pixels in burnt]
    return np.concatenate([pixel, *burnt]), np.concatenate([owner, np.repeat(drawn, counts)])


def _burn(shape: Any, grid: Grid) -> NDArray[np.int64]:
    """Return the flat positions of the pixels that GDAL rasterizes for one line or polygon, by ranges of rows."""
    to_pixel = ~grid.transform

    def place(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(to_pixel @ (xy[:, 0], xy[:, 1]))

    drawn = shapely.transform(nearest_shape(shape, grid), place)
    bounds = shapely.bounds(drawn)
    if not np.isfinite(bounds).all():
        return np.empty(0, dtype=np.int64)
    left, top = np.floor(bounds[:2]).astype(int) - 1
    right, bottom = np.ceil(bounds[2:]).astype(int) + 1
    window = clip_window(Window(left, top, right - left, bottom - top), grid.shape)
    pixels = [np.empty(0, dtype=np.int64)]
    rows = max(_RANGE_PX // max(window.width, 1), 1)
    for part in row_windows(window, rows) if window.width else ():
        burnt = rasterio.features.rasterize(
            [(drawn, 1)],
            out_shape=(part.height, part.width),
            transform=Affine.translation(part.col_off, part.row_off),
            dtype="uint8",
        )
        row, col = np.nonzero(burnt)
        pixels.append((row + part.row_off) * grid.width + col + part.col_off)
    return np.concatenate(pixels)


def write_mask(mask: SparseMask, path: str | Path) -> Path:
    """Write a sparse mask as a tiled GeoTIFF of class codes, with *unlabelled* as its nodata value.

    Names and colours are embedded and written beside it, as for a class map. Tiles without labels are not stored, so size
    and time depend on the number of labels and not on the grid.

    Parameters
    ----------
    mask
        The labelled pixels.
    path
        The GeoTIFF; an existing mask or class map is replaced.

    Returns
    -------
    Path
        Where the file is.

    Raises
    ------
    OutputError
        If the file cannot be written, or is another raster.
    """
    path = Path(path)
    require_ending(path, "GeoTIFF")
    _spare_imagery(path)
    grid, codes = mask.grid, code_table(mask.legend)
    profile = {
        "driver": "GTiff", "height": grid.height, "width": grid.width, "count": 1, "dtype": codes.dtype.name,
        "crs": grid.crs, "transform": grid.transform, "nodata": nodata_code(mask.legend), "tiled": True,
        "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX, "compress": "deflate", "bigtiff": "if_safer",
        "sparse_ok": True,
    }  # fmt: skip
    with whole_file(path) as temporary:
        with rasterio.open(temporary, "w", **profile) as dataset:
            for window in _labelled_windows(mask):
                dataset.write(codes[mask.window(window)[0]], 1, window=window)
            dataset.write_colormap(1, colormap(mask.legend))
            dataset.set_band_description(1, "class")
            dataset.update_tags(**class_map_tags(mask.legend))
        keep_crs(temporary, grid.crs, grid.epoch)
        write_sidecars(temporary, mask.legend)
    return path


def _spare_imagery(path: Path) -> None:
    """Raise `OutputError` if the file is a raster, but no mask or class map of geopointseg."""
    if not path.is_file():
        return
    try:
        with open_unplaced(path) as dataset:
            is_mask = LEGEND_TAG in dataset.tags()
    except InputFileError:
        return
    if not is_mask:
        raise OutputError(
            f"The output '{path}' is a raster that is no mask, such as a scene. Expected a new file, or a mask or class "
            "map written before, so that your imagery is kept; choose another name."
        )


def _labelled_windows(mask: SparseMask) -> Iterator[Window]:
    across = -(-mask.grid.width // BLOCK_PX)
    labelled = np.zeros((-(-mask.grid.height // BLOCK_PX), across), dtype=bool)
    labelled[mask.row // BLOCK_PX, mask.col // BLOCK_PX] = True
    for block in np.flatnonzero(labelled).tolist():
        top, left = (position * BLOCK_PX for position in divmod(block, across))
        yield clip_window(Window(left, top, BLOCK_PX, BLOCK_PX), mask.grid.shape)


@dataclass(frozen=True)
class _Tally:
    """Sums of weights and numbers of labels for each pixel and class, sorted by pixel, then class."""

    pixel: NDArray[np.int64]
    class_index: NDArray[np.int64]
    weight: NDArray[np.float64]
    count: NDArray[np.int64]

    @classmethod
    def of(
        cls, pixel: NDArray[np.int64], class_index: NDArray[np.int64], weight: NDArray[np.float32]
    ) -> _Tally:
        count = np.ones(len(pixel), dtype=np.int64)
        return cls.merged([cls(pixel, class_index, weight.astype(np.float64), count)])

    @classmethod
    def merged(cls, tallies: Sequence[_Tally]) -> _Tally:
        """Add up the weights and counts of several tallies by pixel and class."""
        none = np.empty(0, dtype=np.int64)
        pixel = np.concatenate([none, *(tally.pixel for tally in tallies)])
        class_index = np.concatenate([none, *(tally.class_index for tally in tallies)])
        if len(pixel) == 0:
            return cls(none, none, none.astype(np.float64), none)
        weight = np.concatenate([tally.weight for tally in tallies])
        count = np.concatenate([tally.count for tally in tallies])
        classes = int(class_index.max()) + 1
        key = pixel * classes + class_index
        order = np.argsort(key, kind="stable")
        key = key[order]
        first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
        pixel, class_index = np.divmod(key[first], classes)
        return cls(
            pixel,
            class_index,
            np.add.reduceat(weight[order], first),
            np.add.reduceat(count[order], first),
        )


def _decide(tally: _Tally, grid: Grid, legend: Legend, outside: int) -> SparseMask:
    """Choose one class for each pixel: that of largest total weight, or none where two have the same."""
    if len(tally.pixel) == 0:
        return _sparse_mask(grid, legend, tally, outside=outside, conflicts=0, ties=0)
    first = np.flatnonzero(np.r_[True, tally.pixel[1:] != tally.pixel[:-1]])
    size = np.diff(np.r_[first, len(tally.pixel)])
    largest = np.repeat(np.maximum.reduceat(tally.weight, first), size)
    wins = tally.weight == largest
    tied = np.repeat(np.add.reduceat(wins.astype(np.int64), first) > 1, size)
    kept = wins & ~tied
    won = _Tally(tally.pixel[kept], tally.class_index[kept], tally.weight[kept], tally.count[kept])
    return _sparse_mask(
        grid,
        legend,
        won,
        outside=outside,
        conflicts=int((size > 1).sum()),
        ties=int(tied[first].sum()),
    )


def _sparse_mask(
    grid: Grid, legend: Legend, won: _Tally, *, outside: int, conflicts: int, ties: int
) -> SparseMask:
    row, col = np.divmod(won.pixel, grid.width)
    return SparseMask(
        grid=grid,
        row=row.astype(np.int32),
        col=col.astype(np.int32),
        class_index=won.class_index.astype(np.int16),
        weight=(won.weight / np.maximum(won.count, 1)).astype(np.float32),
        legend=legend,
        outside=outside,
        conflicts=conflicts,
        ties=ties,
    )
