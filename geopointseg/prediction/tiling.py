"""Windows that cover a raster, tiles of windows, and seams between tiles.

Windows start at fixed multiples of the network's stride. So the prediction of a pixel depends only on the raster and the
settings. Windows are grouped into *tiles*, the unit of work. Each window belongs to one tile and is computed once.
*Seams* lie between tiles, where windows of both tiles overlap. On a seam, each tile stores its weighted sums, which are
added in a fixed order when the output is assembled. So the result does not depend on the order in which tiles are
computed, nor on the process that computes them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.prediction.blending import Blend, blend_profiles

Tile = tuple[int, int]
"""Row and column of a tile."""

SUMS_BYTES = 112 * 2**20
"""Approximate memory limit of the sums of one tile, in bytes."""


@dataclass(frozen=True)
class Segment:
    """A range of pixels along an axis that belongs to one tile, or to the seam of two tiles.

    Parameters
    ----------
    start, stop
        First pixel, and the pixel after the last one.
    tiles
        Positions of the contributing tiles along this axis.
    """

    start: int
    stop: int
    tiles: tuple[int, ...]

    def clipped(self, start: int, stop: int) -> Segment:
        """Return the part of the segment between two pixels."""
        return Segment(max(self.start, start), min(self.stop, stop), self.tiles)


@dataclass(frozen=True)
class Axis:
    """The windows along the rows or the columns of a raster.

    Parameters
    ----------
    length
        Pixels of the raster.
    size
        Pixels of a window.
    origins
        First pixel of each window, ascending.
    groups
        For each tile, its first window and the window after its last one.
    rim
        Number of pixels at an edge of a window that have no weight where a neighbour overlaps.
    """

    length: int
    size: int
    origins: tuple[int, ...]
    groups: tuple[tuple[int, int], ...]
    rim: int = 0

    def reach(self, tile: int) -> tuple[int, int]:
        """Return the first pixel of a tile's windows and the pixel after the last one, which may lie beyond the border."""
        first, last = self.groups[tile]
        return self.origins[first], self.origins[last - 1] + self.size

    def extent(self, tile: int) -> tuple[int, int]:
        """Return the first pixel with a weight in a tile's windows and the pixel after the last one."""
        first, last = self.groups[tile]
        return (
            self.origins[first] + self.used(first).start,
            self.origins[last - 1] + self.used(last - 1).stop,
        )

    def used(self, window: int) -> slice:
        """Return the pixels of a window that may have a weight."""
        is_last = window == len(self.origins) - 1
        return slice(self.rim if window else 0, self.size - (0 if is_last else self.rim))

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """All segments in order: tile, seam, tile, seam ... tile."""
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
        """Yield the segments between two pixels, clipped to them."""
        for segment in self.segments:
            part = segment.clipped(start, stop)
            if part.start < part.stop:
                yield part

    def own_segment(self, tile: int) -> Segment:
        """Return the segment that belongs to a tile only."""
        return self.segments[2 * tile]

    def tiles_between(self, start: int, stop: int) -> range:
        """Return the tiles that contribute between two pixels."""
        tiles = [t for segment in self.segments_between(start, stop) for t in segment.tiles]
        return range(min(tiles), max(tiles) + 1)


def lay_axis(
    length: int,
    size: int,
    overlap: int,
    stride: int,
    windows_per_tile: int,
    rim: int = 0,
) -> Axis:
    """Cover an axis with evenly spaced windows that start at multiples of the stride.

    Parameters
    ----------
    length
        Pixels of the raster.
    size
        Pixels of a window. A smaller raster gets one window of its size, rounded up to the stride.
    overlap
        Smallest overlap of neighbours in pixels; at most half a window.
    stride
        Windows start and end at multiples of this, in pixels.
    windows_per_tile
        The largest number of windows in a tile; at least two where every other window overlaps.
    rim
        Number of pixels at an edge that have no weight where a neighbour overlaps; at most half the overlap counts.

    Returns
    -------
    Axis
        The windows and their tiles.

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
    origins, rim = tuple(places.astype(int).tolist()), min(rim, overlap // 2)
    # a tile overlaps its direct neighbours only
    far = zip(origins, origins[2:], strict=False)
    smallest = 1 if all(after - before >= size - 2 * rim for before, after in far) else 2
    step = max(windows_per_tile, smallest)
    groups = tuple((first, min(first + step, count)) for first in range(0, count, step))
    return Axis(length, size, origins, groups, rim)


def fit_window(
    shape: tuple[int, int], window_px: int, overlap_px: int, stride: int
) -> tuple[int, int]:
    """Choose height and width of the windows such that the fewest pixels are computed.

    Long windows overlap along fewer sides where they cover the raster from edge to edge.

    Parameters
    ----------
    shape
        Rows and columns of the raster.
    window_px
        Root of the largest number of pixels of a window.
    overlap_px
        Smallest overlap of neighbours, in pixels.
    stride
        Heights and widths are multiples of this, in pixels.

    Returns
    -------
    tuple of int
        Rows and columns. Both are at least twice the overlap where there are several windows along that axis.

    Examples
    --------
    >>> fit_window((2048, 2048), 1664, 576, 32)
    (1312, 2048)
    >>> fit_window((9000, 9000), 1664, 576, 32)
    (1632, 1632)
    """
    overlap_px = _round_up(overlap_px, stride)
    largest = max(_round_up(window_px, stride), 2 * overlap_px)
    rows, cols = (_even_sizes(length, largest, overlap_px, stride) for length in shape)
    found = []
    for (row_count, height), (col_count, width) in itertools.product(rows, cols):
        if height * width <= largest**2:
            computed = row_count * col_count * height * width
            found.append((computed, abs(height - width), (height, width)))
    return min(found)[2]


def _even_sizes(length: int, largest: int, overlap: int, stride: int) -> list[tuple[int, int]]:
    """Return numbers of windows along an axis, and the smallest size with which so many cover it, until one is small enough."""
    sizes = [(1, _round_up(length, stride))]
    while sizes[-1][1] > largest:
        count = sizes[-1][0] + 1
        size = _round_up(math.ceil((length + (count - 1) * overlap) / count), stride)
        sizes.append((count, max(size, 2 * overlap)))
    return sizes


def _round_up(value: int, step: int) -> int:
    return math.ceil(value / step) * step


@dataclass(frozen=True)
class Lattice:
    """All windows of a raster, grouped into tiles.

    Parameters
    ----------
    rows, cols
        The windows along the rows and along the columns.
    blend, margin
        Weights of overlapping windows; see `blend_profiles`.
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
        """Return the weights of the pixels of one window, float32 ``(row, col)``."""
        by_row, by_col = self.profiles
        return np.asarray(by_row[row][:, None] * by_col[col][None, :])

    def reach(self, tile: Tile) -> Window:
        """Return the extent of a tile's windows, which may reach beyond the border of the raster."""
        return _window(self.rows.reach(tile[0]), self.cols.reach(tile[1]))

    def extent(self, tile: Tile) -> Window:
        """Return the extent of the pixels with a weight in a tile's windows."""
        return _window(self.rows.extent(tile[0]), self.cols.extent(tile[1]))

    def used(self, windows: Sequence[tuple[int, int]]) -> tuple[slice, slice]:
        """Return rows and columns that may have a weight in any of some windows."""
        rows, cols = (
            [axis.used(window[k]) for window in windows]
            for k, axis in enumerate((self.rows, self.cols))
        )
        return _hull(rows), _hull(cols)

    def pixels(self, tile: Tile) -> int:
        """Return the number of pixels of a tile and its seams; each pixel is counted in one tile only."""
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


def _window(rows: tuple[int, int], cols: tuple[int, int]) -> Window:
    return Window(cols[0], rows[0], cols[1] - cols[0], rows[1] - rows[0])


def _hull(spans: Sequence[slice]) -> slice:
    return slice(min(span.start for span in spans), max(span.stop for span in spans))


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
    fit: bool = False,
) -> Lattice:
    """Cover a raster with windows and group them into tiles whose sums fit in memory.

    Parameters
    ----------
    shape
        Rows and columns of the raster.
    window_px, overlap_px
        Side of the windows, and the smallest overlap of neighbours, in pixels.
    stride
        Windows start at multiples of this, in pixels.
    channels
        Number of values per pixel: the classes, and one more for disagreement.
    blend, margin_px
        Weights of overlapping windows; see `blend_profiles`.
    sums_bytes
        Approximate memory limit of the sums of one tile, in bytes.
    fit
        Whether windows have the shape that `fit_window` chooses.

    Returns
    -------
    Lattice
        Windows and tiles.
    """
    side = math.sqrt(sums_bytes / (4 * channels))
    rim = margin_px if blend == "hann" else 0
    sizes = fit_window(shape, window_px, overlap_px, stride) if fit else (window_px, window_px)
    rows, cols = (
        lay_axis(
            length,
            size,
            overlap_px,
            stride,
            int((side - overlap_px) / max(size - overlap_px, 1)),
            rim,
        )
        for length, size in zip(shape, sizes, strict=True)
    )
    return Lattice(rows, cols, blend, margin_px)
