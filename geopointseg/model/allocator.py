"""How much freed memory the process keeps for itself.

Networks ask for the same feature maps again with every window. The C library gives large blocks back to the system as
soon as they are freed, and the system clears every page before it hands it out again. Whether that happens hangs on
chance (how earlier blocks lie), so that the same prediction may take a tenth longer than the one before.
"""

from __future__ import annotations

import ctypes
import platform
from contextlib import suppress

from geopointseg.process import may_change_process

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of mallopt(3)

KEPT_BYTES = 256 << 20
"""Freed memory at the end of the heap that is kept."""

LARGEST_KEPT_BLOCK = 64 << 20
"""Blocks up to this size are taken from the heap: a feature map of 64 channels, 512 x 512 pixels."""


def keep_freed_memory() -> bool:
    """Ask glibc to keep freed memory instead of returning it; elsewhere, or where the caller forbids it, do nothing.

    Returns
    -------
    bool
        Whether the C library agreed.

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
            (mallopt(_TRIM_THRESHOLD, KEPT_BYTES), mallopt(_MMAP_THRESHOLD, LARGEST_KEPT_BLOCK))
        )
    return False
