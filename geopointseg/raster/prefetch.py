"""Prefetching: the next results are computed in threads while the current one is used."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

_MOST_THREADS = 4


def map_ahead[Work, Done](
    function: Callable[[Work], Done], work: Iterable[Work], threads: int | None = None
) -> Iterator[Done]:
    """Yield a function's results in order, a few of them computed ahead in threads.

    Reading, counting and table look-up release Python's lock, so two cores halve the time. At most threads + 1 results
    are held, so memory does not grow with the work. An error is raised in place of its result.

    Parameters
    ----------
    function
        What is done for each item.
    work
        The items.
    threads
        Number of threads; by default the number of cores, at most four.

    Returns
    -------
    iterator
        The results, in the order of ``work``.

    Examples
    --------
    >>> list(map_ahead(lambda x: x * x, range(5), threads=2))
    [0, 1, 4, 9, 16]
    """
    threads = threads or min(_MOST_THREADS, os.cpu_count() or 1)
    waiting: deque[Future[Done]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in work:
            waiting.append(pool.submit(function, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
