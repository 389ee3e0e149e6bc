"""Reading striped files tile by tile without decoding each strip once a tile.

Many rasters are stored in strips as wide as the raster. A tile needs a piece of each strip, and to get it the whole
strip is decoded: in a raster of twenty tiles across, every strip would be decoded twenty times. `StripScene` decodes
strips once for a row of windows and keeps their values in an unnamed file on disk, from which tiles take their piece.
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
"""About how much is decoded at once."""


class RowBand:
    """Rows of a scene as they are stored, kept in an unnamed file that vanishes with this object.

    Parameters
    ----------
    scene
        The scene.
    top, bottom
        First row, and the one after the last.
    folder
        Where the file lies.
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
        """Return the stored values ``(source_band, row, col)`` and where they are valid."""
        bands, width = self._shape
        first = window.row_off - self._top
        rows = slice(first, first + window.height)
        cols = slice(window.col_off, window.col_off + window.width)
        values = np.memmap(self._values, self._dtype, "r", shape=(self._rows, bands, width))
        valid = np.memmap(self._valid, np.bool_, "r", shape=(self._rows, width))
        return np.array(values[rows, :, cols].transpose(1, 0, 2)), np.array(valid[rows, cols])


def _pieces(scene: Scene, top: int, bottom: int) -> list[Window]:
    """Cut rows into pieces of whole strips, few enough to be decoded at once."""
    strip, width = scene.block_shape[0], scene.grid.width
    row_bytes = len(scene.source_bands) * width * np.dtype(scene.dtype).itemsize
    step = max(DECODE_BYTES // row_bytes // strip, 1) * strip
    cuts = [top, *range(top // step * step + step, bottom, step), bottom]
    return [Window(0, a, width, b - a) for a, b in itertools.pairwise(cuts)]


@dataclass(frozen=True)
class StripScene(Scene):
    """A scene in strips whose rows are decoded once for all tiles side by side.

    Parameters
    ----------
    folder
        Where decoded rows are kept.
    most_bands
        How many bands of rows are kept: those of the windows one above the other in a tile.
    """

    folder: Path = Path()
    most_bands: int = 2
    _bands: OrderedDict[tuple[int, int], RowBand] = field(
        default_factory=OrderedDict, repr=False, compare=False
    )

    def read_stored(
        self, window: Window, shape: tuple[int, ...] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read a window as it is on disk, its rows decoded whole the first time."""
        if shape is not None or window.width == self.grid.width:
            return Scene.read_stored(self, window, shape)
        key = int(window.row_off), int(window.row_off + window.height)
        if key not in self._bands:
            while len(self._bands) >= self.most_bands:
                self._bands.popitem(last=False)
            self._bands[key] = RowBand(self, *key, self.folder)
        self._bands.move_to_end(key)
        return self._bands[key].read(window)


def decode_strips_once(mosaic: Mosaic, lattice: Lattice, folder: Path) -> Mosaic:
    """Return the mosaic with striped scenes read by `StripScene`, if several tiles lie side by side.

    Parameters
    ----------
    mosaic
        What is read, tile by tile and row by row.
    lattice
        The tiles.
    folder
        Where decoded rows are kept; it needs room for one row of tiles, uncompressed.
    """
    if lattice.shape[1] < 2:
        return mosaic
    high = max(last - first for first, last in lattice.rows.groups)
    scenes = [_strip_scene(s, folder, high) if _is_striped(s) else s for s in mosaic.scenes]
    return replace(mosaic, scenes=tuple(scenes))


def _is_striped(scene: Scene) -> bool:
    return type(scene) is Scene and scene.block_shape[1] >= scene.grid.width


def _strip_scene(scene: Scene, folder: Path, high: int) -> StripScene:
    return StripScene(**vars(scene), folder=folder, most_bands=high)
