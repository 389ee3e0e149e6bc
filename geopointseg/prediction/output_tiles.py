"""Output tiles: assembled from computed tiles, compressed, and read when the output file is written."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.prediction.product import CLASSES, Arrays
from geopointseg.prediction.tile_files import ArrayFile, write_arrays
from geopointseg.prediction.tile_pipeline import Plan, own_part
from geopointseg.prediction.tiling import Segment, Tile
from geopointseg.prediction.work_folder import WorkFolder
from geopointseg.raster.class_map import nodata_code
from geopointseg.raster.cog import TILE_PX, encode_tile
from geopointseg.raster.grid import clip_window

SIEVE_REACH = 2
"""Rim around a tile that the sieve needs, in units of the smallest patch that is kept."""

FARTHEST_PX = TILE_PX
"""Largest rim around a tile, in pixels. Of a patch that extends farther, only the part inside is counted."""


def needed_parts(plan: Plan, tile: Tile) -> list[Tile]:
    """Return the computed tiles that an output tile consists of."""
    return plan.lattice.tiles_in(_reach(plan, tile))


def output_tiles(plan: Plan) -> list[Tile]:
    """Return all tiles of the output, row by row."""
    rows, cols = plan.layouts[CLASSES].tile_shape
    return list(itertools.product(range(rows), range(cols)))


def _reach(plan: Plan, tile: Tile) -> Window:
    window = plan.layouts[CLASSES].tile_window(*tile)
    margin = min(SIEVE_REACH * plan.min_area_px, FARTHEST_PX)
    wide = Window(
        window.col_off - margin,
        window.row_off - margin,
        window.width + 2 * margin,
        window.height + 2 * margin,
    )
    return clip_window(wide, plan.mosaic.grid.shape)


def finish_tile(plan: Plan, work: WorkFolder, tile: Tile) -> None:
    """Assemble an output tile from computed tiles, compress it, and write it to the work folder.

    Parameters
    ----------
    plan
        Windows, tiles and products.
    work
        Contains the computed tiles.
    tile
        Row and column of the output tile.
    """
    parts = {part: ArrayFile(work.part(part)) for part in needed_parts(plan, tile)}
    reach, window = _reach(plan, tile), plan.layouts[CLASSES].tile_window(*tile)
    arrays = plan.products.empty(int(window.height), int(window.width))
    around = replace(plan.products, probabilities=False, uncertainty=False)
    codes = around.empty(int(reach.height), int(reach.width))[CLASSES]
    rows = plan.lattice.rows.segments_between(reach.row_off, reach.row_off + reach.height)
    for row, col in itertools.product(
        rows,
        list(plan.lattice.cols.segments_between(reach.col_off, reach.col_off + reach.width)),
    ):
        for name, values in _segment(plan, parts, row, col).items():
            if name == CLASSES:
                _paste(values, row, col, codes, reach)
            else:
                _paste(values, row, col, arrays[name], window)
    if plan.min_area_px > 1:
        codes[0] = _sieve(plan, codes[0])
    arrays[CLASSES] = _cut(codes, reach, window)
    _write(plan, work, tile, arrays)


def _paste(
    values: NDArray[Any], row: Segment, col: Segment, target: NDArray[Any], frame: Window
) -> None:
    """Copy the part of a segment of rows and columns that lies in a window."""
    top, left = row.start - int(frame.row_off), col.start - int(frame.col_off)
    height, width = target.shape[1:]
    rows = slice(max(top, 0), min(top + values.shape[1], height))
    cols = slice(max(left, 0), min(left + values.shape[2], width))
    if rows.start < rows.stop and cols.start < cols.stop:
        own = slice(rows.start - top, rows.stop - top), slice(cols.start - left, cols.stop - left)
        target[:, rows, cols] = values[:, own[0], own[1]]


def _segment(plan: Plan, parts: dict[Tile, ArrayFile], row: Segment, col: Segment) -> Arrays:
    """Return the products of one segment of rows and columns; empty where nothing was mapped."""
    tiles = [tile for tile in itertools.product(row.tiles, col.tiles) if CLASSES in parts[tile]]
    if not tiles:
        return {}
    if len(row.tiles) == len(col.tiles) == 1:
        own = _own_window(plan, tiles[0], row, col)
        return {name: parts[tiles[0]].read(name, slice(None), *own) for name in plan.layouts}
    shape = plan.products.channels, row.stop - row.start, col.stop - col.start
    sums = np.zeros(shape, dtype=np.float32)
    for tile in tiles:
        sums += _seam(plan, parts[tile], tile, row, col)
    return plan.products.derive(sums)


def _own_window(plan: Plan, tile: Tile, row: Segment, col: Segment) -> tuple[slice, slice]:
    rows = plan.lattice.rows.own_segment(tile[0])
    cols = plan.lattice.cols.own_segment(tile[1])
    return (
        slice(row.start - rows.start, row.stop - rows.start),
        slice(col.start - cols.start, col.stop - cols.start),
    )


def _seam(
    plan: Plan, part: ArrayFile, tile: Tile, row: Segment, col: Segment
) -> NDArray[np.float32]:
    """Return the sums of a tile on a part of its seam."""
    extent = plan.lattice.extent(tile)
    _, (first_row, last_row), (first_col, last_col) = own_part(plan.lattice, tile)
    top, bottom = row.start - int(extent.row_off), row.stop - int(extent.row_off)
    left, right = col.start - int(extent.col_off), col.stop - int(extent.col_off)
    every = slice(None)
    if top < first_row:
        return part.read("top", every, slice(top, bottom), slice(left, right))
    if top >= last_row:
        return part.read(
            "bottom", every, slice(top - last_row, bottom - last_row), slice(left, right)
        )
    rows = slice(top - first_row, bottom - first_row)
    if left < first_col:
        return part.read("left", every, rows, slice(left, right))
    return part.read("right", every, rows, slice(left - last_col, right - last_col))


def _sieve(plan: Plan, codes: NDArray[Any]) -> NDArray[Any]:
    """Merge patches below the minimum size into their largest neighbour; nodata is not changed."""
    from rasterio.features import sieve

    valid = codes != nodata_code(plan.products.legend)
    merged = sieve(codes, min(plan.min_area_px, codes.size), mask=valid)
    return np.where(valid, merged, codes)


def _cut(codes: NDArray[Any], reach: Window, window: Window) -> NDArray[Any]:
    top, left = int(window.row_off - reach.row_off), int(window.col_off - reach.col_off)
    rows, cols = slice(top, top + int(window.height)), slice(left, left + int(window.width))
    return np.ascontiguousarray(codes[:, rows, cols])


def _write(plan: Plan, work: WorkFolder, tile: Tile, arrays: Arrays) -> None:
    stored: Arrays = {}
    for name, values in arrays.items():
        encoded = encode_tile(values, plan.layouts[name])
        if encoded is None:
            continue
        stored[f"{name}.coarse"] = encoded.coarse
        for level, (counts, data) in enumerate(zip(encoded.counts, encoded.data, strict=True)):
            stored[f"{name}.counts.{level}"] = counts
            stored[f"{name}.data.{level}"] = data
    pixels = np.bincount(arrays[CLASSES].ravel())
    metadata = {str(code): str(pixels[code]) for code in np.flatnonzero(pixels)}
    write_arrays(work.output_tile(tile), stored, metadata)


@dataclass
class StoredTiles:
    """The finished output tiles of one product in a work folder, as `assemble_raster` takes them.

    Parameters
    ----------
    work
        The folder.
    name
        The product.
    """

    work: WorkFolder
    name: str
    _counts: dict[Tile, tuple[NDArray[np.int64], ...] | None] = field(default_factory=dict)
    _files: dict[Tile, ArrayFile] = field(default_factory=dict)

    def counts(self, row: int, col: int) -> tuple[NDArray[np.int64], ...] | None:
        """Return the block sizes of each level of a tile; they are cached."""
        if (row, col) not in self._counts:
            file = ArrayFile(self.work.output_tile((row, col)))
            names = itertools.takewhile(
                file.__contains__, (f"{self.name}.counts.{level}" for level in itertools.count())
            )
            found = tuple(file.read(name) for name in names)
            self._counts[row, col] = found or None
        return self._counts[row, col]

    def data(self, row: int, col: int, level: int, start: int, stop: int) -> bytes:
        """Return a range of the bytes of one level of a tile.

        Parameters
        ----------
        row, col
            The tile.
        level
            Overview level; 0 is the full resolution.
        start, stop
            First byte, and the byte after the last one.

        Returns
        -------
        bytes
            Compressed blocks.
        """
        return self._file(row, col).read(f"{self.name}.data.{level}", slice(start, stop)).tobytes()

    def coarse(self, row: int, col: int) -> NDArray[Any] | None:
        """Return the pixels of a tile's coarsest level."""
        file = self._file(row, col)
        name = f"{self.name}.coarse"
        return file.read(name) if name in file else None

    def _file(self, row: int, col: int) -> ArrayFile:
        """Return an open file; at most the files of one row of tiles stay open."""
        if (row, col) not in self._files:
            if any(other[0] != row for other in self._files):
                self._files.clear()
            self._files[row, col] = ArrayFile(self.work.output_tile((row, col)))
        return self._files[row, col]
