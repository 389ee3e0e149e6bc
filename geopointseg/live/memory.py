"""Memory of the process of a live session."""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopointseg.process import may_change_process

MEMORY_BYTES = 1_480_000_000
"""Size of the process above which features are dropped from memory."""
LEAST_CACHE = 48_000_000
"""Features that are kept in any case."""
_ARENA_MAX = -8  # name of mallopt(3)


def resident_bytes() -> int:
    """Return the memory that the process occupies; half of the limit where the system does not tell it."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return MEMORY_BYTES // 2
    return pages * os.sysconf("SC_PAGE_SIZE")


def share_arenas() -> None:
    """Let all threads allocate from the same memory, so that what one frees another uses; only with glibc."""
    if may_change_process() and platform.libc_ver()[0] == "glibc":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)


def hold_apart(arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Return copies of arrays in pages of their own, which the system gets back when the arrays are dropped.

    Arrays that live long, among others that live shortly, would keep the memory around them from being returned.

    Parameters
    ----------
    arrays
        Of any shapes and types.

    Returns
    -------
    list of ndarray
        With the same values.
    """
    size = sum(array.nbytes for array in arrays)
    pages = mmap.mmap(-1, max(size, 1))
    copies, start = [], 0
    for array in arrays:
        count = int(np.prod(array.shape))
        copy = np.frombuffer(pages, array.dtype, count, start).reshape(array.shape)
        np.copyto(copy, array)
        copies.append(copy)
        start += array.nbytes
    return copies
