"""Parts of an image, such as strips of rows, computed in threads of their own.

torch splits every operation among the threads and waits for the slowest. While other work runs on one of the processors, as
reading and writing do beside the networks, all threads wait after every operation. Parts that are independent wait once, at
the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor, nn


def may_be_split(module: nn.Module, image: Tensor) -> bool:
    """Return whether a network may be computed in parts: on a CPU, and not while it is trained or traced for another backend."""
    compiler: Any = torch.jit
    is_plain = module.training or torch.is_grad_enabled() or compiler.is_tracing()
    return image.device.type == "cpu" and not is_plain


def for_each[T](run: Callable[[T], object], items: Sequence[T]) -> None:
    """Call a function with every item, in as many threads as torch uses.

    In each thread, torch's operations use that thread only. The results are the same as with one thread in all.

    Parameters
    ----------
    run
        Uses torch on a CPU, and must be safe to call at the same time for several items.
    items
        Independent of each other. With one item, or where torch uses one thread or mixed precision, no threads are started.

    Examples
    --------
    >>> squares = torch.zeros(3)
    >>> for_each(lambda k: squares[k].fill_(k * k), range(3))
    >>> squares
    tensor([0., 1., 4.])
    """
    count = min(torch.get_num_threads(), len(items))
    if count < 2 or torch.is_autocast_enabled("cpu"):
        for item in items:
            run(item)
        return
    is_inference, has_gradient = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def run_one(item: T) -> None:
        with torch.inference_mode(is_inference), torch.set_grad_enabled(has_gradient):
            run(item)

    pool = ThreadPoolExecutor(count, "rows", initializer=_use_one_thread)
    try:
        for future in [pool.submit(run_one, item) for item in items]:
            future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _use_one_thread() -> None:
    """Make torch's operations in this thread use no further threads. OpenMP keeps this number for each thread."""
    torch.get_num_threads()  # sets the number for this thread, which otherwise happens at the first operation
    _controller().limit(limits=1, user_api="openmp")


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
