"""Large rasters from tiles: every block is compressed once, in any order, and all are joined at the end.

A map of any size is computed in *tiles* of 2048 pixels. Each tile is compressed on its own into the 512-pixel
blocks of the final GeoTIFF, together with its part of the first two overviews (`encode_tile`). `assemble_raster` then
copies the compressed blocks behind a header, overviews first, as a cloud-optimized GeoTIFF. Tiles can
therefore be made by many threads or machines, and finished ones are kept after a crash. Memory does not grow with the raster, and
the file's bytes do not depend on the order in which tiles were made.

GDAL's COG driver cannot do this: it copies a finished raster, so every pixel would be compressed twice, and it takes no
blocks that workers have compressed.
"""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rasterio.io import MemoryFile
from rasterio.windows import Window

from geopointseg.raster import tiff
from geopointseg.raster.crs import keep_crs
from geopointseg.raster.grid import Grid
from geopointseg.raster.overview import Resampling, halve
from geopointseg.raster.validity import differs_from_nodata

BLOCK_PX = 512
TILE_PX = 2048
TILE_LEVELS = 2
"""Overviews that a tile makes of itself: its coarsest one is a single block."""

Color = tuple[int, int, int, int]


@dataclass(frozen=True)
class Layout:
    """Description of a raster file, without its pixels.

    Parameters
    ----------
    grid
        Grid of the pixels.
    dtype
        Data type on disk.
    nodata
        Declared nodata value; NaN for floats.
    names
        One description per band.
    resampling
        How overviews are made.
    scale
        Physical value = stored value * scale.
    tags
        Metadata of the file.
    colors
        Colour table, where there is one.
    cog
        Whether to add overviews and lay the file out for reading over a network.
    """

    grid: Grid
    dtype: str
    nodata: float
    names: tuple[str, ...]
    resampling: Resampling = "mode"
    scale: float = 1.0
    tags: Mapping[str, str] = field(default_factory=dict)
    colors: Mapping[int, Color] | None = None
    cog: bool = True

    @property
    def levels(self) -> int:
        """Number of overviews: halved until one block holds the raster."""
        longest = max(self.grid.shape)
        return max(math.ceil(math.log2(longest / BLOCK_PX)), 0) if self.cog else 0

    @property
    def tile_shape(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return math.ceil(self.grid.height / TILE_PX), math.ceil(self.grid.width / TILE_PX)

    def level_shape(self, level: int) -> tuple[int, int]:
        """Rows and columns of pixels of an overview; level 0 is the full raster."""
        return math.ceil(self.grid.height / 2**level), math.ceil(self.grid.width / 2**level)

    def block_shape(self, level: int) -> tuple[int, int]:
        """Rows and columns of blocks of an overview."""
        height, width = self.level_shape(level)
        return math.ceil(height / BLOCK_PX), math.ceil(width / BLOCK_PX)

    def tile_window(self, row: int, col: int) -> Window:
        """Return the window of one tile, cut at the raster's border."""
        top, left = row * TILE_PX, col * TILE_PX
        height = min(TILE_PX, self.grid.height - top)
        return Window(left, top, min(TILE_PX, self.grid.width - left), height)

    @property
    def profile(self) -> dict[str, Any]:
        """Options with which GDAL compresses blocks."""
        predictor = 1 if self.colors else 3 if np.dtype(self.dtype).kind == "f" else 2
        return {
            "driver": "GTiff", "dtype": self.dtype, "count": len(self.names), "nodata": self.nodata,
            "tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX, "compress": "deflate",
            "predictor": predictor, "interleave": "band", "bigtiff": "no", "endianness": "little",
        }  # fmt: skip

    @cached_property
    def directory(self) -> tiff.Directory:
        """The file's TIFF tags, without its size and blocks, as GDAL writes them."""
        with MemoryFile() as memory:
            with memory.open(
                **self.profile, height=BLOCK_PX, width=BLOCK_PX,
                crs=self.grid.crs, transform=self.grid.transform, sparse_ok=True,
            ) as dataset:  # fmt: skip
                dataset.update_tags(**self.tags)
                dataset.descriptions = self.names
                if self.scale != 1.0:
                    dataset.scales = (self.scale,) * len(self.names)
                if self.colors:
                    dataset.write_colormap(1, dict(self.colors))
            return tiff.parse_directory(bytes(memory.getbuffer()))

    @cached_property
    def empty_block(self) -> bytes:
        """A compressed block of nodata."""
        values = np.full((len(self.names), BLOCK_PX, BLOCK_PX), self.nodata, dtype=self.dtype)
        return compress_blocks(values, self)[0]


@dataclass(frozen=True)
class EncodedTile:
    """One tile of a raster, compressed.

    Parameters
    ----------
    counts
        Per level, the sizes of its blocks in bytes, ``(band, block row, block col)``.
    data
        Per level, the blocks one after the other, uint8.
    coarse
        Pixels of the tile's coarsest level, ``(band, row, col)``.
    """

    counts: tuple[NDArray[np.int64], ...]
    data: tuple[NDArray[np.uint8], ...]
    coarse: NDArray[Any]


class TileSource(Protocol):
    """Where `assemble_raster` gets tiles from; None stands for a tile of nothing but nodata."""

    def counts(self, row: int, col: int) -> tuple[NDArray[np.int64], ...] | None:
        """Return the block sizes of a tile's levels."""

    def data(self, row: int, col: int, level: int, start: int, stop: int) -> bytes:
        """Return some of the bytes of a tile's level.

        Parameters
        ----------
        row, col
            Row and column of the tile.
        level
            Overview level of the tile; 0 is full resolution.
        start, stop
            Range of bytes of that level.

        Returns
        -------
        bytes
            Compressed blocks.
        """

    def coarse(self, row: int, col: int) -> NDArray[Any] | None:
        """Return the pixels of a tile's coarsest level."""


def encode_tile(values: NDArray[Any], layout: Layout) -> EncodedTile | None:
    """Compress one tile and its part of the overviews.

    Parameters
    ----------
    values
        ``(band, row, col)``, of the layout's data type.
    layout
        Data type, nodata, compression and overviews of the file.

    Returns
    -------
    EncodedTile or None
        None where all is nodata.
    """
    if not differs_from_nodata(values, layout.nodata).any():
        return None
    return _encode_levels(values, layout, 0, TILE_LEVELS)


def _encode_levels(values: NDArray[Any], layout: Layout, first: int, last: int) -> EncodedTile:
    counts, data = [], []
    for level in range(first, min(last, layout.levels) + 1):
        if level > first or first > 0:
            values = halve(values, layout.nodata, layout.resampling)
        blocks = compress_blocks(values, layout)
        grid = -(-values.shape[1] // BLOCK_PX), -(-values.shape[2] // BLOCK_PX)
        counts.append(np.array([len(b) for b in blocks]).reshape(values.shape[0], *grid))
        data.append(np.frombuffer(b"".join(blocks), dtype=np.uint8))
    return EncodedTile(tuple(counts), tuple(data), values)


def compress_blocks(values: NDArray[Any], layout: Layout) -> list[bytes]:
    """Return the compressed blocks of an array, band by band and row by row, as they stand in the file."""
    height, width = values.shape[1:]
    with MemoryFile() as memory:
        place = {"height": height, "width": width, "transform": layout.grid.transform}
        with memory.open(**layout.profile, **place, num_threads="all_cpus") as dataset:
            dataset.write(values)
        return tiff.parse_blocks(bytes(memory.getbuffer()))


def assemble_raster(path: Path, layout: Layout, tiles: TileSource) -> None:
    """Write the raster of compressed tiles; only block sizes are held in memory.

    Parameters
    ----------
    path
        File to write; it should be a temporary name that is moved into place afterwards. A CRS that GeoTIFF keys cannot
        hold is written beside it.
    layout
        Description of the file.
    tiles
        The compressed tiles.
    """
    levels = _all_levels(layout, tiles, path.parent)
    counts = [_block_counts(layout, level, source) for level, source in enumerate(levels)]
    wrap = 4 if layout.cog else 0  # size before, last four bytes after
    total = sum(int(c.sum()) + 2 * wrap * c.size for c in counts)
    big = total + 64 * sum(c.size for c in counts) + 2**20 > tiff.CLASSIC_LIMIT
    header = len(_header(layout, counts, [np.zeros_like(c) for c in counts], big=big))
    offsets: list[NDArray[np.int64]] = [np.zeros_like(c) for c in counts]
    position = header
    for level in reversed(range(len(levels))):
        ends = np.cumsum(counts[level].ravel() + 2 * wrap)
        starts = position + ends - counts[level].ravel() - wrap
        offsets[level] = starts.reshape(counts[level].shape)
        position += int(ends[-1])
    with path.open("wb") as file:
        file.write(_header(layout, counts, offsets, big=big))
        for level in reversed(range(len(levels))):
            for block in _blocks(layout, level, levels[level]):
                file.write(_wrapped(block) if wrap else block)
    keep_crs(path, layout.grid.crs, layout.grid.epoch)


def _header(
    layout: Layout, counts: list[NDArray[np.int64]], offsets: list[NDArray[np.int64]], *, big: bool
) -> bytes:
    full = tiff.as_planes(layout.directory)
    kinds = [full] + [tiff.overview_directory(full)] * (len(counts) - 1)
    directories = [
        tiff.sized_directory(kind, layout.level_shape(level), o.ravel(), c.ravel(), big=big)
        for level, (kind, o, c) in enumerate(zip(kinds, offsets, counts, strict=True))
    ]
    return tiff.pack_directories(directories, big=big, ghost=layout.cog)


def _wrapped(block: bytes) -> bytes:
    return len(block).to_bytes(4, "little") + block + block[-4:]


@dataclass(frozen=True)
class _Level:
    """Source of the blocks of one level: a grid of tiles, and one of their levels."""

    source: TileSource
    position: int
    blocks_a_tile: int


class ScratchTiles:
    """Tiles kept in an unnamed file on disk, only their block sizes in memory.

    Parameters
    ----------
    folder
        Folder of the file; it is removed with this object, also when the process is killed.
    """

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - lives as long as the object
        self._tiles: dict[tuple[int, int], _ScratchTile | None] = {}

    def add(self, row: int, col: int, tile: EncodedTile | None) -> None:
        """Store one tile.

        Parameters
        ----------
        row, col
            Row and column of the tile.
        tile
            The compressed tile; None for a tile of nodata.
        """
        if tile is None:
            self._tiles[row, col] = None
            return
        starts = []
        for content in (*tile.data, tile.coarse):
            starts.append(self._file.seek(0, 2))
            self._file.write(np.ascontiguousarray(content))
        shape = tile.coarse.shape
        self._tiles[row, col] = _ScratchTile(
            tile.counts, tuple(starts), shape, tile.coarse.dtype.str
        )

    def counts(self, row: int, col: int) -> tuple[NDArray[np.int64], ...] | None:
        """Return the block sizes of a tile's levels."""
        tile = self._tiles[row, col]
        return None if tile is None else tile.counts

    def data(self, row: int, col: int, level: int, start: int, stop: int) -> bytes:
        """Return some of the bytes of a tile's level.

        Parameters
        ----------
        row, col
            Row and column of the tile.
        level
            Overview level of the tile; 0 is full resolution.
        start, stop
            Range of bytes of that level.

        Returns
        -------
        bytes
            Compressed blocks; empty for a tile of nodata.
        """
        tile = self._tiles[row, col]
        if tile is None:
            return b""
        self._file.seek(tile.starts[level] + start)
        return self._file.read(stop - start)

    def coarse(self, row: int, col: int) -> NDArray[Any] | None:
        """Return the pixels of a tile's coarsest level."""
        tile = self._tiles[row, col]
        if tile is None:
            return None
        self._file.seek(tile.starts[-1])
        size = math.prod(tile.shape) * np.dtype(tile.dtype).itemsize
        return np.frombuffer(self._file.read(size), dtype=tile.dtype).reshape(tile.shape)


@dataclass(frozen=True)
class _ScratchTile:
    counts: tuple[NDArray[np.int64], ...]
    starts: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: str


def _all_levels(layout: Layout, tiles: TileSource, folder: Path) -> list[_Level]:
    """Return all levels; those coarser than the tiles' own are made here, sixteen tiles to a coarser one."""
    side = TILE_PX // BLOCK_PX
    levels = [_Level(tiles, k, side >> k) for k in range(min(layout.levels, TILE_LEVELS) + 1)]
    source, shape, done = tiles, layout.tile_shape, TILE_LEVELS
    while done < layout.levels:
        source, shape = _coarser(layout, source, shape, done, folder)
        last = min(done + TILE_LEVELS, layout.levels)
        levels += [_Level(source, k, side >> (k + 1)) for k in range(last - done)]
        done = last
    return levels


def _coarser(
    layout: Layout, source: TileSource, shape: tuple[int, int], done: int, folder: Path
) -> tuple[TileSource, tuple[int, int]]:
    side = 2**TILE_LEVELS
    coarser = math.ceil(shape[0] / side), math.ceil(shape[1] / side)
    made = ScratchTiles(folder)
    for row, col in itertools.product(*map(range, coarser)):
        values = _join(layout, source, shape, (row * side, col * side), done)
        tile = None
        if values is not None:
            tile = _encode_levels(values, layout, done + 1, done + TILE_LEVELS)
        made.add(row, col, tile)
    return made, coarser


def _join(
    layout: Layout, source: TileSource, shape: tuple[int, int], corner: tuple[int, int], level: int
) -> NDArray[Any] | None:
    """Join the coarsest pixels of sixteen tiles; None where all of them are empty."""
    side = 2**TILE_LEVELS
    full = layout.level_shape(level)
    height = min(TILE_PX, full[0] - corner[0] * BLOCK_PX)
    width = min(TILE_PX, full[1] - corner[1] * BLOCK_PX)
    joined = np.full((len(layout.names), height, width), layout.nodata, dtype=layout.dtype)
    found = False
    for row, col in itertools.product(range(side), repeat=2):
        tile = corner[0] + row, corner[1] + col
        part = source.coarse(*tile) if tile[0] < shape[0] and tile[1] < shape[1] else None
        if part is not None:
            top, left = row * BLOCK_PX, col * BLOCK_PX
            joined[:, top : top + part.shape[1], left : left + part.shape[2]] = part
            found = True
    return joined if found else None


def _tile_grid(layout: Layout, level: int, source: _Level) -> tuple[int, int]:
    rows, cols = layout.block_shape(level)
    return math.ceil(rows / source.blocks_a_tile), math.ceil(cols / source.blocks_a_tile)


def _block_counts(layout: Layout, level: int, source: _Level) -> NDArray[np.int64]:
    shape = (len(layout.names), *layout.block_shape(level))
    counts = np.full(shape, len(layout.empty_block), dtype=np.int64)
    side = source.blocks_a_tile
    for row, col in itertools.product(*map(range, _tile_grid(layout, level, source))):
        sizes = source.source.counts(row, col)
        if sizes is not None:
            part = sizes[source.position]
            top, left = row * side, col * side
            counts[:, top : top + part.shape[1], left : left + part.shape[2]] = part
    return counts


def _blocks(layout: Layout, level: int, source: _Level) -> Iterator[bytes]:
    """Yield the blocks of a level, band by band and row by row."""
    rows, cols = layout.block_shape(level)
    side = source.blocks_a_tile
    tile_cols = range(math.ceil(cols / side))
    for band, row in itertools.product(range(len(layout.names)), range(rows)):
        for tile_col in tile_cols:
            columns = min(side, cols - tile_col * side)
            yield from _block_row(layout, source, band, row, tile_col, columns)


def _block_row(
    layout: Layout, level: _Level, band: int, row: int, tile_col: int, columns: int
) -> Iterator[bytes]:
    tile_row, inner = divmod(row, level.blocks_a_tile)
    sizes = level.source.counts(tile_row, tile_col)
    if sizes is None:
        yield from itertools.repeat(layout.empty_block, columns)
        return
    table = sizes[level.position]
    first = (band * table.shape[1] + inner) * table.shape[2]
    ends = np.cumsum(table.ravel()[: first + columns])
    start = int(ends[first - 1]) if first else 0
    content = level.source.data(tile_row, tile_col, level.position, start, int(ends[-1]))
    at = 0
    for size in table[band, inner].tolist():
        yield content[at : at + size]
        at += size
