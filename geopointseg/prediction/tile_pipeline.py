"""Reader, network and writer at work side by side, on one tile after the other.

While the network computes a batch, one thread reads the next windows and another blends what came out, derives
the products and compresses them. Queues between them hold a few batches, so memory is bounded by the window,
the batch and the classes, whatever the size of the raster.
"""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.model.allocator import keep_freed_memory
from geopointseg.model.inference import Ensemble, predict_patch
from geopointseg.prediction.blending import add_window
from geopointseg.prediction.mosaic import Area, Mosaic
from geopointseg.prediction.product import Arrays, Products
from geopointseg.prediction.tiling import Lattice, Tile
from geopointseg.raster.cog import Layout
from geopointseg.raster.scene import HANDLES

GDAL_CACHE_BYTES = 64 * 2**20
"""GDAL would keep up to a twentieth of the machine's memory; windows are read once, so little is enough."""


@dataclass(frozen=True)
class Plan:
    """All that decides how a map is computed, apart from the models.

    Parameters
    ----------
    mosaic
        What is read.
    area
        Outside of it nothing is mapped; None maps all.
    lattice
        Windows and tiles.
    products
        What is made of the probabilities.
    layouts
        How each product is stored.
    batch_size
        Windows in one forward pass.
    min_area_px
        Patches smaller than this are merged into their surroundings.
    """

    mosaic: Mosaic
    area: Area | None
    lattice: Lattice
    products: Products
    layouts: dict[str, Layout]
    batch_size: int
    min_area_px: int = 0


@dataclass(frozen=True)
class Batch:
    """Windows that go through the network together.

    Parameters
    ----------
    windows
        Their row and column in the lattice.
    image
        float32 ``(sample, band, row, col)``.
    valid
        bool ``(sample, row, col)``: there is an image.
    needed
        bool ``(sample, row, col)``: there is an image, and it is to be mapped.
    """

    windows: list[tuple[int, int]]
    image: NDArray[np.float32]
    valid: NDArray[np.bool_]
    needed: NDArray[np.bool_]


@dataclass(frozen=True)
class Strip:
    """Pixels under one row of a tile's windows."""

    image: NDArray[np.float32]
    valid: NDArray[np.bool_]
    needed: NDArray[np.bool_]

    def below(self, rows: int) -> Strip:
        """Return the strip without its first rows."""
        return Strip(self.image[:, rows:], self.valid[rows:], self.needed[rows:])

    def joined(self, other: Strip) -> Strip:
        """Return this strip with another one below it."""
        return Strip(
            np.concatenate([self.image, other.image], axis=1),
            np.concatenate([self.valid, other.valid]),
            np.concatenate([self.needed, other.needed]),
        )


class TileReader:
    """Reads the windows of tiles, each pixel of a tile once.

    Parameters
    ----------
    plan
        What to read.

    Attributes
    ----------
    undeclared_nan
        NaN met so far that the file does not declare as nodata.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.undeclared_nan = 0

    def batches(self, tile: Tile) -> Iterator[Batch]:
        """Yield a tile's windows in batches, without those that hold nothing to map."""
        lattice = self._plan.lattice
        left = int(lattice.extent(tile).col_off)
        pending: list[tuple[tuple[int, int], Strip]] = []
        for row, strip in self._strips(tile):
            for col in range(*lattice.cols.groups[tile[1]]):
                start = lattice.cols.origins[col] - left
                span = slice(start, start + lattice.cols.size)
                if strip.needed[:, span].any():
                    seen = Strip(
                        strip.image[..., span], strip.valid[:, span], strip.needed[:, span]
                    )
                    pending.append(((row, col), seen))
                if len(pending) == self._plan.batch_size:
                    yield _stack(pending)
                    pending = []
        if pending:
            yield _stack(pending)

    def _strips(self, tile: Tile) -> Iterator[tuple[int, Strip]]:
        rows = self._plan.lattice.rows
        extent = self._plan.lattice.extent(tile)
        last: Strip | None = None
        end = int(extent.row_off)
        for row in range(*rows.groups[tile[0]]):
            start, stop = rows.origins[row], rows.origins[row] + rows.size
            strip = self._read(Window(extent.col_off, end, extent.width, stop - end))
            if last is not None:
                strip = last.below(start - (end - rows.size)).joined(strip)
            yield row, strip
            last, end = strip, stop

    def _read(self, window: Window) -> Strip:
        chip = self._plan.mosaic.read(window)
        self.undeclared_nan += chip.undeclared_nan
        needed = chip.valid
        if self._plan.area is not None and needed.any():
            needed = needed & self._plan.area.mask(self._plan.mosaic.grid.crop(window))
        return Strip(chip.image, chip.valid, needed)


def _stack(pending: list[tuple[tuple[int, int], Strip]]) -> Batch:
    return Batch(
        [window for window, _ in pending],
        np.stack([strip.image for _, strip in pending]),
        np.stack([strip.valid for _, strip in pending]),
        np.stack([strip.needed for _, strip in pending]),
    )


class TileSums:
    """Adds up the weighted probabilities of a tile's windows, and cuts the tile into what is final and seams.

    Parameters
    ----------
    plan
        Windows and products.
    tile
        Which tile.
    channels
        Values kept a pixel.
    memory
        float32 ``(n,)`` of an earlier tile, taken where it is large enough: fresh pages of memory cost as much time as
        all additions to them.
    """

    def __init__(
        self, plan: Plan, tile: Tile, channels: int, memory: NDArray[np.float32] | None = None
    ) -> None:
        self._plan = plan
        self._tile = tile
        self._extent = plan.lattice.extent(tile)
        shape = channels, int(self._extent.height), int(self._extent.width)
        size = math.prod(shape)
        if memory is None or memory.size < size:
            memory = np.empty(size, dtype=np.float32)
        self.memory = memory
        self.values = memory[:size].reshape(shape)
        self.values[:] = 0

    def add(self, batch: Batch, channels: NDArray[np.float32]) -> None:
        """Add the network's answer to a batch; ``channels`` is overwritten."""
        lattice = self._plan.lattice
        for (row, col), needed, values in zip(batch.windows, batch.needed, channels, strict=True):
            weights = lattice.weights(row, col)
            weights *= needed
            top = lattice.rows.origins[row] - int(self._extent.row_off)
            left = lattice.cols.origins[col] - int(self._extent.col_off)
            add_window(self.values, values, weights, top, left)

    def finish(self) -> Arrays:
        """Return the products where the tile is alone, and its sums on the seams."""
        own, (top, bottom), (left, right) = own_part(self._plan.lattice, self._tile)
        sums = self.values
        arrays = self._plan.products.derive(sums[:, own[0], own[1]])
        arrays["top"], arrays["bottom"] = sums[:, :top], sums[:, bottom:]
        arrays["left"], arrays["right"] = sums[:, own[0], :left], sums[:, own[0], right:]
        return arrays


Span = tuple[int, int]


def own_part(lattice: Lattice, tile: Tile) -> tuple[tuple[slice, slice], Span, Span]:
    """Return the part of a tile's extent that it covers alone: as slices, and as rows and columns."""
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
    on_batch: Callable[[Batch | None], None] = lambda _: None,
) -> int:
    """Compute tiles one after the other, reading ahead and handing finished ones over in another thread.

    Parameters
    ----------
    plan, ensemble
        What to compute.
    tiles
        Which tiles.
    take
        Gets each finished tile's arrays, in a thread of its own, in order; they are overwritten once it returns.
    on_batch
        Called after every batch in the calling thread, with None after a tile; may raise to stop the run.

    Returns
    -------
    int
        How many NaN were met that the rasters do not declare as nodata.
    """
    keep_freed_memory()
    reader = TileReader(plan)

    def read() -> Iterator[tuple[Tile, Batch | None]]:
        for tile in tiles:
            for batch in reader.batches(tile):
                yield tile, batch
            yield tile, None

    write = _TileWriter(plan, take)
    with ReadAhead(read(), 2) as items, Handover(write, 2) as handover:
        for tile, batch in items:
            channels = None
            if batch is not None:
                channels = predict_patch(ensemble, batch.image, batch.valid)
            handover.put((tile, batch, channels))
            on_batch(batch)
    return reader.undeclared_nan


class _TileWriter:
    """Collects the answers of one tile after the other."""

    def __init__(self, plan: Plan, take: Callable[[Tile, Arrays], None]) -> None:
        self._plan = plan
        self._take = take
        self._sums: TileSums | None = None
        self._memory: NDArray[np.float32] | None = None

    def __call__(self, item: tuple[Tile, Batch | None, Channels | None]) -> None:
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


_END = object()


class ReadAhead[T]:
    """Runs an iterator in a thread of its own, a few items ahead; what it raises is raised here.

    Parameters
    ----------
    source
        The iterator.
    capacity
        The largest number of items that wait.
    """

    def __init__(self, source: Iterator[T], capacity: int) -> None:
        self._source = source
        self._queue: queue.Queue[Any] = queue.Queue(capacity)
        self._stopped = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)

    def __enter__(self) -> ReadAhead[T]:
        self._thread.start()
        return self

    def __iter__(self) -> Iterator[T]:
        while (item := self._queue.get()) is not _END:
            yield item
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            for item in self._source:
                self._put(item)
                if self._stopped.is_set():
                    break
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that iterates
            self._error = error
        finally:
            HANDLES.close()
            self._put(_END)

    def _put(self, item: Any) -> None:
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()


class Handover[T]:
    """Handles items in a thread of its own, in order; what it raises is raised by the next `put`.

    When the block ends well, all items are handled before it is left; otherwise those that wait are dropped.

    Parameters
    ----------
    handle
        Called with each item.
    capacity
        The largest number of items that wait.
    """

    def __init__(self, handle: Callable[[T], None], capacity: int) -> None:
        self._handle = handle
        self._queue: queue.Queue[Any] = queue.Queue(capacity)
        self._stopped = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def __enter__(self) -> Handover[T]:
        self._thread.start()
        return self

    def put(self, item: T) -> None:
        """Hand an item over, waiting while too many are pending."""
        self._check()
        self._queue.put(item)

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (item := self._queue.get()) is not _END:
            if self._stopped.is_set() or self._error is not None:
                continue
            try:
                self._handle(item)
            except BaseException as error:  # noqa: BLE001 - raised again by the next put
                self._error = error

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self._stopped.set()
        self._queue.put(_END)
        self._thread.join()
        if kind is None:
            self._check()
