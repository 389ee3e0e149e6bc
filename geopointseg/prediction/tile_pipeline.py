"""The tile pipeline: one thread reads, one runs the models, one blends and writes.

While the models process a batch, one thread reads the next windows. Another thread blends the last probabilities,
derives the products and writes them. A few batches wait between the threads. So memory depends on the window, the batch
and the number of classes, not on the size of the raster.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.errors import ModelError
from geopointseg.model.allocator import keep_freed_memory
from geopointseg.model.inference import Ensemble, predict_patch
from geopointseg.prediction.background_thread import WriteBehind, read_ahead
from geopointseg.prediction.blending import add_window
from geopointseg.prediction.mosaic import AreaOfInterest, Mosaic
from geopointseg.prediction.product import Arrays, Products
from geopointseg.prediction.tiling import Lattice, Tile
from geopointseg.raster.cog import Layout

GDAL_CACHE_BYTES = 64 * 2**20
"""Size of GDAL's block cache. Windows are read once, so GDAL's default, 5 % of the machine's memory, is not needed."""

LARGE_BATCH_PX = 2**20
"""Batches of more pixels are read while the one before is processed; of smaller ones, two more are read ahead."""

_LARGEST_CACHE_BYTES = 160 * 2**20


def cache_bytes(plan: Plan) -> int:
    """Return a size of GDAL's block cache that holds the blocks of a row of windows of a tile, within limits."""
    width = int(plan.lattice.reach((0, 0)).width)
    sizes = [
        len(scene.source_bands)
        * np.dtype(scene.dtype).itemsize
        * scene.block_shape[0]
        * max(width, scene.block_shape[1])
        for scene in plan.mosaic.scenes
    ]
    return min(max(GDAL_CACHE_BYTES, 5 * max(sizes) // 4), _LARGEST_CACHE_BYTES)


@dataclass(frozen=True)
class Plan:
    """How a map is computed: everything except the models.

    Parameters
    ----------
    mosaic
        The imagery.
    area
        Area of interest, outside of which nothing is mapped; None maps everything.
    lattice
        Windows and tiles.
    products
        What is derived from the probabilities.
    layouts
        How each product is stored.
    batch_size
        Windows in one forward pass.
    min_area_px
        Patches smaller than this are merged into their surroundings.
    """

    mosaic: Mosaic
    area: AreaOfInterest | None
    lattice: Lattice
    products: Products
    layouts: dict[str, Layout]
    batch_size: int
    min_area_px: int = 0


@dataclass(frozen=True)
class WindowBatch:
    """Windows that are processed in one forward pass.

    Parameters
    ----------
    windows
        Row and column of each window in the lattice.
    image
        float32 ``(sample, band, row, col)``, values as in the scene.
    valid
        bool ``(sample, row, col)``; True where there is an image.
    needed
        bool ``(sample, row, col)``; True where there is an image inside the area of interest.
    """

    windows: list[tuple[int, int]]
    image: NDArray[np.float32]
    valid: NDArray[np.bool_]
    needed: NDArray[np.bool_]


@dataclass(frozen=True)
class WindowRow:
    """The pixels of one row of a tile's windows.

    Parameters
    ----------
    image
        float32 ``(band, row, col)``.
    valid, needed
        bool ``(row, col)``, as in `WindowBatch`.
    """

    image: NDArray[np.float32]
    valid: NDArray[np.bool_]
    needed: NDArray[np.bool_]

    def columns(self, span: slice) -> WindowRow:
        """Return some of the columns."""
        return WindowRow(self.image[..., span], self.valid[:, span], self.needed[:, span])

    def below(self, rows: int) -> WindowRow:
        """Return the pixels without the first rows."""
        return WindowRow(self.image[:, rows:], self.valid[rows:], self.needed[rows:])

    def joined(self, other: WindowRow) -> WindowRow:
        """Return these pixels and others below them."""
        return WindowRow(
            np.concatenate([self.image, other.image], axis=1),
            np.concatenate([self.valid, other.valid]),
            np.concatenate([self.needed, other.needed]),
        )


class TileReader:
    """Reads the windows of tiles; each pixel of a tile is read once.

    Parameters
    ----------
    plan
        The imagery and its windows.

    Attributes
    ----------
    undeclared_nan
        Number of NaN pixels so far that the raster does not declare as nodata.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.undeclared_nan = 0

    def batches(self, tile: Tile) -> Iterator[WindowBatch]:
        """Yield a tile's windows in batches, without windows in which nothing is to be mapped."""
        lattice = self._plan.lattice
        left = int(lattice.reach(tile).col_off)
        pending: list[tuple[tuple[int, int], WindowRow]] = []
        for row, pixels in self._window_rows(tile):
            for col in range(*lattice.cols.groups[tile[1]]):
                start = lattice.cols.origins[col] - left
                span = slice(start, start + lattice.cols.size)
                if pixels.needed[:, span].any():
                    pending.append(((row, col), pixels.columns(span)))
                if len(pending) == self._plan.batch_size:
                    yield _stack(pending)
                    pending = []
        if pending:
            yield _stack(pending)

    def _window_rows(self, tile: Tile) -> Iterator[tuple[int, WindowRow]]:
        rows = self._plan.lattice.rows
        extent = self._plan.lattice.reach(tile)
        last: WindowRow | None = None
        end = int(extent.row_off)
        for row in range(*rows.groups[tile[0]]):
            start, stop = rows.origins[row], rows.origins[row] + rows.size
            pixels = self._read(Window(extent.col_off, end, extent.width, stop - end))
            if last is not None:
                pixels = last.below(start - (end - rows.size)).joined(pixels)
            yield row, pixels
            last, end = pixels, stop

    def _read(self, window: Window) -> WindowRow:
        chip = self._plan.mosaic.read(window)
        self.undeclared_nan += chip.undeclared_nan
        needed = chip.valid
        if self._plan.area is not None and needed.any():
            needed = needed & self._plan.area.mask(self._plan.mosaic.grid.crop(window))
        return WindowRow(chip.image, chip.valid, needed)


def _stack(pending: list[tuple[tuple[int, int], WindowRow]]) -> WindowBatch:
    """Return a batch; a single window is not copied."""
    windows, pixels = [window for window, _ in pending], [pixels for _, pixels in pending]
    image, valid, needed = (
        arrays[0][None] if len(arrays) == 1 else np.stack(arrays)
        for arrays in zip(*((one.image, one.valid, one.needed) for one in pixels), strict=True)
    )
    return WindowBatch(windows, image, valid, needed)


class TileSums:
    """Sums the weighted probabilities of a tile's windows, and splits the tile into its own part and its seams.

    Parameters
    ----------
    plan
        Windows and products.
    tile
        Which tile.
    channels
        Number of values per pixel.
    memory
        float32 ``(n,)`` of an earlier tile, which is reused where it is large enough. To allocate new memory takes as
        long as all additions.
    """

    def __init__(
        self, plan: Plan, tile: Tile, channels: int, memory: NDArray[np.float32] | None = None
    ) -> None:
        self._plan = plan
        self._tile = tile
        self._classes = channels - plan.products.disagreement
        self._extent = plan.lattice.extent(tile)
        shape = channels, int(self._extent.height), int(self._extent.width)
        size = math.prod(shape)
        if memory is None or memory.size < size:
            memory = np.empty(size, dtype=np.float32)
        self.memory = memory
        self.values = memory[:size].reshape(shape)
        self.values[:] = 0

    def add(self, batch: WindowBatch, channels: NDArray[np.float32]) -> None:
        """Add the probabilities of a batch, float32 ``(sample, channel, row, col)``, which are overwritten.

        Parameters
        ----------
        batch
            The windows.
        channels
            Probabilities of the rows and columns that `Lattice.used` returns.

        Raises
        ------
        ModelError
            If a pixel with an image has no probabilities.
        """
        lattice = self._plan.lattice
        rows, cols = lattice.used(batch.windows)
        for (row, col), needed, values in zip(batch.windows, batch.needed, channels, strict=True):
            self._require_probabilities(batch, needed[rows, cols], values)
            weights = lattice.weights(row, col)[rows, cols] * needed[rows, cols]
            top = lattice.rows.origins[row] + rows.start - int(self._extent.row_off)
            left = lattice.cols.origins[col] + cols.start - int(self._extent.col_off)
            add_window(self.values, values, weights, top, left)

    def _require_probabilities(
        self, batch: WindowBatch, needed: NDArray[np.bool_], values: NDArray[np.float32]
    ) -> None:
        total = values[: self._classes].sum(axis=0)
        total[~needed] = 1
        missing = int(np.count_nonzero(~((total > 0) & (total < np.inf))))  # also NaN
        if missing:
            pixels = np.abs(np.moveaxis(batch.image, 1, -1)[batch.valid])
            raise ModelError(
                f"The model returns no probabilities for {missing} pixels of a window, but NaN, infinity or zeros. The largest value of "
                f"the imagery there is {pixels.max():.4g}. Expected imagery like that of the training: if this value is nodata, declare "
                "it as nodata; else the model folder is damaged, copy it again or train the model again."
            )

    def finish(self) -> Arrays:
        """Return the products of the tile's own part, and the sums on its seams (``top``, ``bottom``, ``left``, ``right``)."""
        own, (top, bottom), (left, right) = own_part(self._plan.lattice, self._tile)
        sums = self.values
        arrays = self._plan.products.derive(sums[:, own[0], own[1]])
        arrays["top"], arrays["bottom"] = sums[:, :top], sums[:, bottom:]
        arrays["left"], arrays["right"] = sums[:, own[0], :left], sums[:, own[0], right:]
        return arrays


Span = tuple[int, int]


def own_part(lattice: Lattice, tile: Tile) -> tuple[tuple[slice, slice], Span, Span]:
    """Return the part of a tile's extent that no other tile covers.

    Parameters
    ----------
    lattice
        All tiles.
    tile
        Which tile.

    Returns
    -------
    slices : tuple of slice
        Rows and columns of that part in the tile's extent.
    rows, cols : tuple of int
        The same as first and stop.
    """
    extent = lattice.extent(tile)
    rows = lattice.rows.own_segment(tile[0])
    cols = lattice.cols.own_segment(tile[1])
    by_row = rows.start - int(extent.row_off), rows.stop - int(extent.row_off)
    by_col = cols.start - int(extent.col_off), cols.stop - int(extent.col_off)
    return (slice(*by_row), slice(*by_col)), by_row, by_col


Channels = NDArray[np.float32]


def compute_tiles(
    plan: Plan,
    ensemble: Ensemble,
    tiles: Iterable[Tile],
    take: Callable[[Tile, Arrays], None],
    on_batch: Callable[[WindowBatch | None], None] = lambda _: None,
) -> int:
    """Compute tiles one after the other, with reading and writing in background threads.

    Parameters
    ----------
    plan, ensemble
        Imagery, windows, products; and the models.
    tiles
        Which tiles.
    take
        Called with each finished tile and its arrays, in a background thread, in order. The arrays are overwritten
        after it returns.
    on_batch
        Called after every batch in the calling thread, and with None after a tile; may raise to stop the run.

    Returns
    -------
    int
        Number of NaN pixels that the rasters do not declare as nodata.
    """
    keep_freed_memory()
    reader = TileReader(plan)

    def read() -> Iterator[tuple[Tile, WindowBatch | None]]:
        for tile in tiles:
            for batch in reader.batches(tile):
                yield tile, batch
            yield tile, None

    write = _TileWriter(plan, take)
    window_px = plan.lattice.rows.size * plan.lattice.cols.size * plan.batch_size
    ahead = 0 if window_px > LARGE_BATCH_PX else 2
    with closing(read_ahead(read(), ahead)) as items, WriteBehind(write, 2) as writer:
        for tile, batch in items:
            channels = None
            if batch is not None:
                inside = plan.lattice.used(batch.windows)
                channels = predict_patch(ensemble, batch.image, batch.valid, inside)
            writer.put((tile, batch, channels))
            on_batch(batch)
    return reader.undeclared_nan


class _TileWriter:
    """Blends the batches of one tile after the other, and passes on the finished tiles."""

    def __init__(self, plan: Plan, take: Callable[[Tile, Arrays], None]) -> None:
        self._plan = plan
        self._take = take
        self._sums: TileSums | None = None
        self._memory: NDArray[np.float32] | None = None

    def __call__(self, item: tuple[Tile, WindowBatch | None, Channels | None]) -> None:
        tile, batch, channels = item
        if batch is not None and channels is not None:
            if self._sums is None:
                self._sums = TileSums(self._plan, tile, channels.shape[1], self._memory)
                self._memory = self._sums.memory
            self._sums.add(batch, channels)
            return
        arrays = self._sums.finish() if self._sums is not None else {}
        self._sums = None
        self._take(tile, arrays)
