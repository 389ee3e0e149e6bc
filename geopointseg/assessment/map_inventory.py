"""Inventory of a map: pixels and area of each class, and the class at test points, from one pass over the map.

The map is read in ranges of whole block rows, so that it may be larger than memory and test points may lie anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Resampling
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geopointseg.errors import RasterError
from geopointseg.progress import Reporter
from geopointseg.raster.class_map import ClassMap
from geopointseg.raster.grid import Grid, row_windows
from geopointseg.raster.pixel_area import PixelAreas
from geopointseg.raster.raster_access import open_dataset, reading
from geopointseg.raster.validity import is_stored_mask, masks_of

RANGE_PX = 16 << 20
"""Approximate number of pixels in a range of rows."""

_LARGEST_DENSE_CODE = 1023


@dataclass(frozen=True, eq=False)
class Inventory:
    """Pixels and area of each class of a map, and the classes at given pixels.

    Parameters
    ----------
    pixels
        Number of pixels of each class, int64 ``(class,)``.
    area_m2
        Area of each class in square metres, float64 ``(class,)``.
    unknown_pixels
        Number of pixels whose code is neither in the legend nor nodata.
    sampled
        Class index at each given pixel, int64 ``(point,)``; -1 on nodata.
    """

    pixels: NDArray[np.int64]
    area_m2: NDArray[np.float64]
    unknown_pixels: int
    sampled: NDArray[np.int64]


def take_inventory(
    class_map: ClassMap,
    row: NDArray[np.int64],
    col: NDArray[np.int64],
    reporter: Reporter | None = None,
) -> Inventory:
    """Count and measure the classes of a map, and read the classes at given pixels.

    Parameters
    ----------
    class_map
        The map.
    row, col
        The given pixels, int64 ``(point,)``; all on the map.
    reporter
        Receives progress; may cancel.

    Returns
    -------
    Inventory
        Of all classes in the legend of the map.

    Raises
    ------
    RasterError
        If the map has only nodata.
    """
    areas = PixelAreas.of(class_map.grid)
    order = np.argsort(row, kind="stable")
    sorted_rows = row[order]
    codes = np.zeros(len(row), dtype=np.int64)
    valid = np.zeros(len(row), dtype=bool)
    totals: dict[int, NDArray[np.float64]] = {}
    for window, values, mask in read_row_ranges(class_map, reporter or Reporter()):
        top, bottom = window.row_off, window.row_off + window.height
        _count(totals, values, mask, areas.within(window))
        here = order[slice(*np.searchsorted(sorted_rows, [top, bottom]))]
        codes[here] = values[row[here] - top, col[here]]
        valid[here] = True if mask is None else mask[row[here] - top, col[here]]
    if class_map.nodata is not None:
        valid &= codes != class_map.nodata
        totals.pop(int(class_map.nodata) if np.isfinite(class_map.nodata) else -1, None)
    return _sum_up(class_map, totals, codes, valid)


def read_row_ranges(
    class_map: ClassMap, reporter: Reporter
) -> Iterator[tuple[Window, NDArray[np.integer], NDArray[np.bool_] | None]]:
    """Yield full-width windows with stored codes ``(row, col)`` and validity (None: only the nodata value counts)."""
    with open_dataset(class_map.path) as dataset:
        plain, block = _is_plain(dataset), dataset.block_shapes[0][0]
        rows = max(1, RANGE_PX // max(dataset.width, 1))
        rows = max(rows // block * block, min(block, 4 * rows))
        with reporter.stage("assess", total=dataset.height) as advance:
            for window in row_windows(class_map.grid.window, rows):
                if plain:
                    with reading(class_map.path, window):
                        values = dataset.read(1, window=window)
                    yield window, values, None
                else:
                    yield (window, *class_map.read_codes(window))
                advance(window.height)


def read_on_grid(other: ClassMap, grid: Grid, reporter: Reporter) -> Iterator[NDArray[np.int64]]:
    """Yield class indices of another raster on a grid, by ranges of rows.

    Where the grids differ, each pixel of the grid has the class at its centre (nearest neighbour). The alpha band is 0
    outside the raster and its mask. It is read as a band, because GDAL uses it as a mask only where it is unsigned. Nodata
    is compared by value, because the warper ignores a mask where a nodata value is set.

    Parameters
    ----------
    other
        The raster.
    grid
        The grid.
    reporter
        Receives progress; may cancel.

    Yields
    ------
    ndarray
        int64 ``(row, col)`` of full width, from top to bottom; -1 where there is no class.
    """
    step = max(1, RANGE_PX // max(grid.width, 1) // 4)
    windows = list(row_windows(grid.window, step))
    with open_dataset(other.path) as dataset:
        options = {
            "crs": grid.crs, "transform": grid.transform, "height": grid.height, "width": grid.width,
            "resampling": Resampling.nearest, "src_nodata": None, "nodata": None,
            "add_alpha": ColorInterp.alpha not in dataset.colorinterp,
        }  # fmt: skip
        with (
            WarpedVRT(dataset, **options) as warped,
            reporter.stage("assess", len(windows)) as advance,
        ):
            alpha = 1 + warped.colorinterp.index(ColorInterp.alpha)
            for window in windows:
                with reading(other.path):
                    stored = warped.read(1, window=window)
                    inside = warped.read(alpha, window=window) > 0
                inside &= np.isfinite(stored)
                if other.nodata is not None:
                    inside &= stored != other.nodata
                codes = np.where(inside, stored, 0).astype(np.int64)
                yield np.where(inside, other.index_of(codes), -1)
                advance(1)


def _is_plain(dataset: DatasetReader) -> bool:
    """Return whether only the nodata value marks invalid pixels; not for 64-bit integers, see `ClassMap.read_codes`."""
    dtype = np.dtype(dataset.dtypes[0])
    return dtype.kind in "iu" and dtype.itemsize < 8 and not is_stored_mask(masks_of(dataset)[0])


def _count(
    totals: dict[int, NDArray[np.float64]],
    values: NDArray[np.integer],
    mask: NDArray[np.bool_] | None,
    areas: NDArray[np.float64],
) -> None:
    """Add the pixels and square metres of each code in a range of rows to the totals; areas are ``(row, 1 or col)``."""
    even = areas.shape[1] == 1
    if (
        even
        and mask is None
        and values.dtype.kind == "u"
        and values.max(initial=0) <= _LARGEST_DENSE_CODE
    ):
        size = int(values.max(initial=0)) + 1
        by_row = np.stack([np.bincount(line, minlength=size) for line in values])
        found, counts, area = np.arange(size), by_row.sum(axis=0), areas[:, 0] @ by_row
    else:
        kept = np.ones(values.shape, dtype=bool) if mask is None else mask
        found, position = np.unique(values[kept], return_inverse=True)
        by_pixel = np.broadcast_to(areas, values.shape)[kept]
        counts = np.bincount(position, minlength=len(found))
        area = np.bincount(position, weights=by_pixel, minlength=len(found))
    for code, pixels, square_metres in zip(found.tolist(), counts, area, strict=True):
        if pixels:
            totals[code] = totals.get(code, np.zeros(2)) + np.array([pixels, square_metres])


def _sum_up(
    class_map: ClassMap,
    totals: dict[int, NDArray[np.float64]],
    codes: NDArray[np.int64],
    valid: NDArray[np.bool_],
) -> Inventory:
    if not totals:
        raise RasterError(
            f"The map '{class_map.path}' holds nothing but nodata. Expected class codes; predict it again, and check that the scene "
            "has valid pixels in the mapped area."
        )
    known = np.array([totals.get(code, np.zeros(2)) for code in class_map.legend.codes.tolist()])
    known = known.reshape(-1, 2)
    codes_known = set(class_map.legend.codes.tolist())
    unknown = sum(int(v[0]) for c, v in totals.items() if c not in codes_known)
    return Inventory(
        pixels=known[:, 0].astype(np.int64),
        area_m2=known[:, 1],
        unknown_pixels=unknown,
        sampled=np.where(valid, class_map.index_of(codes), -1),
    )
