"""Reading and writing in background threads, with a bounded number of items in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

from geopointseg.raster.scene import HANDLES

_END = object()


def read_ahead[T](source: Iterator[T], capacity: int) -> Generator[T]:
    """Yield the items of an iterator that runs in a background thread, some items ahead.

    The thread closes its raster files at the end. An exception of the iterator is raised in place of its item. Wrap the
    result in `contextlib.closing`, so that the thread also ends when the consumer stops early.

    Parameters
    ----------
    source
        The iterator.
    capacity
        The largest number of items that are computed ahead.

    Yields
    ------
    T
        The items in their order.

    Examples
    --------
    >>> list(read_ahead(iter(range(4)), capacity=2))
    [0, 1, 2, 3]
    """
    with ThreadPoolExecutor(1, "reader") as pool:

        def advance() -> Future[Any]:
            return pool.submit(next, source, _END)

        pending = deque(advance() for _ in range(capacity + 1))
        try:
            while (item := pending.popleft().result()) is not _END:
                pending.append(advance())
                yield item
        finally:
            for future in pending:
                future.cancel()
            pool.submit(HANDLES.close)


class WriteBehind[T]:
    """Handles items in a background thread, in their order.

    An exception of the handler is raised by a later `put`, or at the end of the block, and no further item is handled.
    When the block ends without an exception, all items have been handled; otherwise pending items are dropped.

    Parameters
    ----------
    handle
        Called with each item.
    capacity
        The largest number of items that wait.
    """

    def __init__(self, handle: Callable[[T], None], capacity: int) -> None:
        self._handle = handle
        self._capacity = capacity
        self._pool = ThreadPoolExecutor(1, "writer")
        self._pending: deque[Future[None]] = deque()
        self._is_stopped = False

    def __enter__(self) -> Self:
        return self

    def put(self, item: T) -> None:
        """Add an item; wait while too many are pending."""
        while self._pending and (len(self._pending) > self._capacity or self._pending[0].done()):
            self._pending.popleft().result()
        self._pending.append(self._pool.submit(self._run, item))

    def _run(self, item: T) -> None:
        if self._is_stopped:
            return
        try:
            self._handle(item)
        except BaseException:
            self._is_stopped = True
            raise

    def __exit__(self, kind: object, *_: object) -> None:
        self._is_stopped = self._is_stopped or kind is not None
        self._pool.shutdown()
        if kind is None:
            for future in self._pending:
                future.result()
