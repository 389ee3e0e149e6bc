"""Larger signal stacks for CPUs with matrix registers (Intel AMX).

When a signal arrives, the registers of a thread are saved on its signal stack: 11 KiB on a CPU with matrix registers.
OpenVINO gives the thread that loads it a signal stack of this size, so no space is left for the signal handler. Then the
next Ctrl-C, or the end of a child process, ends the program without a message.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

SIGNAL_STACK_BYTES = 256 * 1024
_KEPT: list[ctypes.Array[ctypes.c_char]] = []
"""Stacks in use; they must exist as long as their threads."""


class _Stack(ctypes.Structure):
    _fields_ = [
        ("address", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("size", ctypes.c_size_t),
    ]


def signal_stack_bytes() -> int:
    """Return the size of this thread's signal stack; 0 where there is none, or this is not Linux."""
    found = _Stack()
    return int(found.size) if _exchange(None, found) else 0


def widen_signal_stack() -> None:
    """Replace the signal stack of this thread by a larger one, if it has a smaller one.

    Examples
    --------
    >>> widen_signal_stack()
    >>> signal_stack_bytes() == 0 or signal_stack_bytes() >= SIGNAL_STACK_BYTES
    True
    """
    if 0 < signal_stack_bytes() < SIGNAL_STACK_BYTES:
        memory = ctypes.create_string_buffer(SIGNAL_STACK_BYTES)
        _KEPT.append(memory)
        _exchange(_Stack(ctypes.addressof(memory), 0, SIGNAL_STACK_BYTES), None)


def _exchange(new: _Stack | None, old: _Stack | None) -> bool:
    """Call sigaltstack(2); return whether it succeeded."""
    if sys.platform != "linux":
        return False
    pointers = [None if stack is None else ctypes.byref(stack) for stack in (new, old)]
    with suppress(OSError, AttributeError):
        return bool(ctypes.CDLL(None).sigaltstack(*pointers) == 0)
    return False
