"""Tile-by-tile reading of striped rasters, with one decoding of each strip per row of windows.

Many rasters are stored in strips as wide as the raster. A tile needs a part of each strip, but GDAL decodes whole strips:
in a raster of 20 tiles across, every strip would be decoded 20 times. `RowCacheScene` decodes the strips once for a row of
windows and keeps the values in an unnamed temporary file, from which the tiles read.
"""

from __future__ import annotations

import itertools
import tempfile
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.prediction.mosaic import Mosaic
from geopointseg.prediction.tiling import Lattice
from geopointseg.raster.scene import Scene

DECODE_BYTES = 16 * 2**20
"""Approximate number of bytes that are decoded at once."""


class DecodedRows:
    """Decoded rows of a scene in an unnamed temporary file, which is deleted with this object.

    Parameters
    ----------
    scene
        The scene.
    top, bottom
        First row, and the row after the last one.
    folder
        Folder of the file.
    """

    def __init__(self, scene: Scene, top: int, bottom: int, folder: Path) -> None:
        self._shape = len(scene.source_bands), scene.grid.width
        self._dtype = np.dtype(scene.dtype)
        self._values = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - lives as long as the object
        self._valid = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._top, self._rows = top, bottom - top
        for window in _pieces(scene, top, bottom):
            stored, valid = Scene.read_stored(scene, window)
            self._values.write(np.ascontiguousarray(stored.transpose(1, 0, 2)))
            self._valid.write(np.ascontiguousarray(valid))
        self._values.flush()
        self._valid.flush()

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the stored values ``(source_band, row, col)``, and bool ``(row, col)``: where they are valid."""
        bands, width = self._shape
        first = window.row_off - self._top
        rows = slice(first, first + window.height)
        cols = slice(window.col_off, window.col_off + window.width)
        values = np.memmap(self._values, self._dtype, "r", shape=(self._rows, bands, width))
        valid = np.memmap(self._valid, np.bool_, "r", shape=(self._rows, width))
        return np.array(values[rows, :, cols].transpose(1, 0, 2)), np.array(valid[rows, cols])


def _pieces(scene: Scene, top: int, bottom: int) -> list[Window]:
    """Divide rows into windows of whole strips, each of about `DECODE_BYTES`."""
    strip, width = scene.block_shape[0], scene.grid.width
    row_bytes = len(scene.source_bands) * width * np.dtype(scene.dtype).itemsize
    step = max(DECODE_BYTES // row_bytes // strip, 1) * strip
    cuts = [top, *range(top // step * step + step, bottom, step), bottom]
    return [Window(0, a, width, b - a) for a, b in itertools.pairwise(cuts)]


@dataclass(frozen=True)
class RowCacheScene(Scene):
    """A striped scene whose rows are decoded once for all tiles in a row.

    Parameters
    ----------
    folder
        Folder of the decoded rows.
    kept
        Number of rows of windows that are kept: those of one tile.
    """

    folder: Path = Path()
    kept: int = 2
    _decoded: OrderedDict[tuple[int, int], DecodedRows] = field(
        default_factory=OrderedDict, repr=False, compare=False
    )

    def read_stored(
        self, window: Window, shape: tuple[int, ...] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read the stored values of a window; its rows are decoded in full the first time."""
        if shape is not None or window.width == self.grid.width:
            return Scene.read_stored(self, window, shape)
        key = int(window.row_off), int(window.row_off + window.height)
        if key not in self._decoded:
            while len(self._decoded) >= self.kept:
                self._decoded.popitem(last=False)
            self._decoded[key] = DecodedRows(self, *key, self.folder)
        self._decoded.move_to_end(key)
        return self._decoded[key].read(window)


def cache_decoded_rows(mosaic: Mosaic, lattice: Lattice, folder: Path) -> Mosaic:
    """Return the mosaic with striped scenes read by `RowCacheScene`, if a row has several tiles.

    Parameters
    ----------
    mosaic
        The imagery, which is read tile by tile, row by row.
    lattice
        The tiles.
    folder
        Folder of the decoded rows; it needs space for one row of tiles, uncompressed.

    Returns
    -------
    Mosaic
        With the same pixels.
    """
    if lattice.shape[1] < 2:
        return mosaic
    high = max(last - first for first, last in lattice.rows.groups)
    scenes = [_with_row_cache(s, folder, high) if _is_striped(s) else s for s in mosaic.scenes]
    return replace(mosaic, scenes=tuple(scenes))


def _is_striped(scene: Scene) -> bool:
    return type(scene) is Scene and scene.block_shape[1] >= scene.grid.width


def _with_row_cache(scene: Scene, folder: Path, high: int) -> RowCacheScene:
    return RowCacheScene(**vars(scene), folder=folder, kept=high)
