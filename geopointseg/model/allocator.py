"""Settings of the memory allocator that keep freed memory in the process while a map is computed, and its return afterwards.

Networks allocate the same feature maps for every window. glibc returns large blocks to the system when they are freed, and
the system clears each page when it is allocated again. This depends on the addresses of earlier blocks, so the time of the
same prediction varies by up to 10 %.
"""

from __future__ import annotations

import ctypes
import platform
from contextlib import suppress

from geopointseg.process import may_change_process

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # names of mallopt(3)

KEPT_BYTES = 256 << 20
"""Freed memory at the end of the heap that is kept, in bytes."""

LARGEST_KEPT_BLOCK = 64 << 20
"""Blocks up to this size, in bytes, are allocated on the heap: a feature map of 64 channels, 512 x 512 pixels."""


def keep_freed_memory() -> bool:
    """Make glibc keep freed memory, in one heap for all threads. With other C libraries, or if `may_change_process` is False, do nothing.

    Heaps of other threads are at most 64 MiB large, and larger blocks in them go back to the system. A process whose threads have
    heaps already keeps these.

    Returns
    -------
    bool
        Whether the settings were accepted.

    Examples
    --------
    >>> keep_freed_memory() in (True, False)
    True
    """
    if not may_change_process() or platform.libc_ver()[0] != "glibc":
        return False
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        return all(
            (
                mallopt(_TRIM_THRESHOLD, KEPT_BYTES),
                mallopt(_MMAP_THRESHOLD, LARGEST_KEPT_BLOCK),
                mallopt(_ARENA_MAX, 1),
            )
        )
    return False


def return_freed_memory() -> None:
    """Return freed memory to the system, for processes that go on after a map or a training; only with glibc."""
    if may_change_process() and platform.libc_ver()[0] == "glibc":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
