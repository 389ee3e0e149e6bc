"""Which windows cover a raster, which of them make up a tile, and where tiles meet.

Windows lie on one fixed lattice, on multiples of the network's stride, so that a pixel's prediction depends on
the raster and the settings alone. Lattice windows are grouped into *tiles*, the unit of work: each window
belongs to one tile and is computed once. Around the borders of tiles lie *seams*, strips where windows of both
sides overlap; tiles hand over their weighted sums there, and whoever finishes the output adds them up in a
fixed order. So the result does not depend on who computes which tile when.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.prediction.blending import Blend, blend_profiles

Tile = tuple[int, int]
"""Row and column of a tile."""

SUMS_BYTES = 112 * 2**20
"""About how much memory the sums of one tile may take."""


@dataclass(frozen=True)
class Segment:
    """A stretch of pixels along an axis that one tile covers alone, or that two tiles share as a seam.

    Parameters
    ----------
    start, stop
        First pixel, and the one after the last.
    tiles
        The tiles along this axis that contribute.
    """

    start: int
    stop: int
    tiles: tuple[int, ...]

    def clipped(self, start: int, stop: int) -> Segment:
        """Return the part of the segment between two pixels."""
        return Segment(max(self.start, start), min(self.stop, stop), self.tiles)


@dataclass(frozen=True)
class Axis:
    """The windows along the rows or along the columns of a raster.

    Parameters
    ----------
    length
        Pixels of the raster.
    size
        Pixels of a window.
    origins
        First pixel of each window, ascending.
    groups
        The windows of each tile, as the first and the one after the last.
    """

    length: int
    size: int
    origins: tuple[int, ...]
    groups: tuple[tuple[int, int], ...]

    def extent(self, tile: int) -> tuple[int, int]:
        """Return the first pixel of a tile's windows and the one after the last; it may pass the border."""
        first, last = self.groups[tile]
        return self.origins[first], self.origins[last - 1] + self.size

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """All stretches in order: tile, seam, tile, seam ... tile."""
        found = []
        position = 0
        for tile in range(len(self.groups)):
            is_last = tile == len(self.groups) - 1
            seam = self.length if is_last else self.extent(tile + 1)[0]
            found.append(Segment(position, seam, (tile,)))
            position = self.length if is_last else min(self.extent(tile)[1], self.length)
            if not is_last:
                found.append(Segment(seam, position, (tile, tile + 1)))
        return tuple(found)

    def segments_between(self, start: int, stop: int) -> Iterator[Segment]:
        """Yield the stretches between two pixels, clipped to them."""
        for segment in self.segments:
            part = segment.clipped(start, stop)
            if part.start < part.stop:
                yield part

    def own_segment(self, tile: int) -> Segment:
        """Return the stretch that a tile covers alone."""
        return self.segments[2 * tile]

    def tiles_between(self, start: int, stop: int) -> range:
        """Return the tiles that contribute between two pixels."""
        tiles = [t for segment in self.segments_between(start, stop) for t in segment.tiles]
        return range(min(tiles), max(tiles) + 1)


def lay_axis(length: int, size: int, overlap: int, stride: int, windows_a_tile: int) -> Axis:
    """Cover an axis with windows, evenly spread, on multiples of the stride.

    Parameters
    ----------
    length
        Pixels of the raster.
    size
        Wanted pixels of a window; a raster smaller than that gets one window, just large enough.
    overlap
        Pixels that neighbours share at least; at most half a window.
    stride
        Windows start and end at multiples of this.
    windows_a_tile
        The largest number of windows in a tile; at least two.

    Examples
    --------
    >>> lay_axis(100, 64, 16, 4, 8).origins
    (0, 36)
    """
    size = _round_up(min(size, length), stride)
    overlap = min(_round_up(overlap, stride), size // 2 // stride * stride)
    count = max(math.ceil((length - overlap) / (size - overlap)), 1)
    reach = _round_up(max(length - size, 0), stride)
    places = np.linspace(0, reach, count) // stride * stride
    step = max(windows_a_tile, 2)  # so that a tile never meets its neighbour's neighbour
    groups = tuple((first, min(first + step, count)) for first in range(0, count, step))
    return Axis(length, size, tuple(places.astype(int).tolist()), groups)


def _round_up(value: int, step: int) -> int:
    return math.ceil(value / step) * step


@dataclass(frozen=True)
class Lattice:
    """All windows of a raster and their grouping into tiles.

    Parameters
    ----------
    rows, cols
        The windows along the rows and along the columns.
    blend, margin
        How overlapping windows are combined; see `blend_profiles`.
    """

    rows: Axis
    cols: Axis
    blend: Blend
    margin: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return len(self.rows.groups), len(self.cols.groups)

    @property
    def tiles(self) -> list[Tile]:
        """All tiles, row by row."""
        return [(row, col) for row in range(self.shape[0]) for col in range(self.shape[1])]

    @property
    def window_count(self) -> int:
        """Number of windows on the raster."""
        return len(self.rows.origins) * len(self.cols.origins)

    @cached_property
    def profiles(self) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
        """Weights of the windows along the rows and along the columns."""
        return (
            blend_profiles(self.rows.origins, self.rows.size, self.blend, self.margin),
            blend_profiles(self.cols.origins, self.cols.size, self.blend, self.margin),
        )

    def weights(self, row: int, col: int) -> NDArray[np.float32]:
        """Return the weights of the window in a row and column of the lattice, ``(row, col)``."""
        by_row, by_col = self.profiles
        return np.asarray(by_row[row][:, None] * by_col[col][None, :])

    def extent(self, tile: Tile) -> Window:
        """Return the pixels that a tile's windows see; they may pass the raster's border."""
        top, bottom = self.rows.extent(tile[0])
        left, right = self.cols.extent(tile[1])
        return Window(left, top, right - left, bottom - top)

    def pixels(self, tile: Tile) -> int:
        """Return how many pixels of the raster lie in a tile and its seams, each counted once over all tiles."""
        counts = []
        for axis, position in zip((self.rows, self.cols), tile, strict=True):
            stop = axis.segments[min(2 * position + 1, len(axis.segments) - 1)].stop
            counts.append(stop - axis.segments[2 * position].start)
        return counts[0] * counts[1]

    def tiles_in(self, window: Window) -> list[Tile]:
        """Return the tiles that contribute to a window of the raster, row by row."""
        rows = self.rows.tiles_between(window.row_off, window.row_off + window.height)
        cols = self.cols.tiles_between(window.col_off, window.col_off + window.width)
        return [(row, col) for row in rows for col in cols]


def lay_lattice(
    shape: tuple[int, int],
    *,
    window_px: int,
    overlap_px: int,
    stride: int,
    channels: int,
    blend: Blend = "hann",
    margin_px: int = 0,
    sums_bytes: int = SUMS_BYTES,
) -> Lattice:
    """Cover a raster with windows and group them into tiles whose sums fit in memory.

    Parameters
    ----------
    shape
        Rows and columns of the raster.
    window_px, overlap_px
        Side of the windows, and how much neighbours share at least.
    stride
        Windows lie on multiples of this.
    channels
        Values kept a pixel: the classes, and one more for disagreement.
    blend, margin_px
        How overlapping windows are combined.
    sums_bytes
        About how much memory the sums of one tile may take.
    """
    side = math.sqrt(sums_bytes / (4 * channels))
    step = max(window_px - overlap_px, 1)
    windows_a_tile = max(int((side - overlap_px) / step), 2)
    rows, cols = (
        lay_axis(length, window_px, overlap_px, stride, windows_a_tile) for length in shape
    )
    return Lattice(rows, cols, blend, margin_px)
