"""Input and output of a live session: lines of bounded length, and the end of the process with its parent."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from geopointseg.live.mailbox import Inbox, Outbox
from geopointseg.live.message import LONGEST_LINE, Refusal, Request, read_line, refuse_long

_NOTHING_TO_CANCEL = "'cancel' is not the identifier of a request. Expected {'do': 'cancel', 'cancel': ID}; requests without an id cannot be cancelled."
_CHUNK = 1 << 16
_TICK_S = 0.25


def read_requests(descriptor: int, inbox: Inbox, outbox: Outbox) -> None:
    """Read lines into the inbox until the end of the stream; runs in a thread of its own.

    A line that is too long is skipped while it is read, so that it takes no memory.

    Parameters
    ----------
    descriptor
        The stream, as a file descriptor: unlike a buffered stream, it holds no lock when the process ends.
    inbox, outbox
        Receive requests, and the answers to those that concern other requests.
    """
    for line in split_lines(iter(lambda: _read_some(descriptor), b"")):
        outbox.wait_for_room(lambda: inbox.is_closed)
        item = line if isinstance(line, Refusal) else read_line(line)
        if isinstance(item, Request) and item.verb == "cancel":
            wanted = item.body.get("cancel")
            if isinstance(wanted, (int, float, str)) and not isinstance(wanted, bool):
                outbox.answer(item.identifier, ok=True, cancelled=inbox.cancel(wanted))
            else:
                outbox.answer(item.identifier, ok=False, error=_NOTHING_TO_CANCEL)
        elif item is not None:
            inbox.put(item)
    inbox.close()


def _read_some(descriptor: int) -> bytes:
    with suppress(OSError):
        return os.read(descriptor, _CHUNK)
    return b""


def split_lines(chunks: Iterator[bytes]) -> Iterator[bytes | Refusal]:
    """Yield the lines of a stream without their ends, and a refusal for each line that is too long.

    Parameters
    ----------
    chunks
        Parts of the stream.

    Yields
    ------
    bytes or Refusal
        At most `LONGEST_LINE` bytes are held.
    """
    held, is_skipping = bytearray(), False
    for chunk in chunks:
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            if is_skipping:
                is_skipping = False
            elif len(held) + len(end) >= LONGEST_LINE:
                yield refuse_long(bytes(held + end[:2000])[:2000])
            else:
                yield bytes(held + end)
            held.clear()
        if not is_skipping:
            held += rest
            if len(held) >= LONGEST_LINE:
                yield refuse_long(bytes(held[:2000]))
                held.clear()
                is_skipping = True
    if held and not is_skipping:
        yield bytes(held)


@contextmanager
def private_output() -> Iterator[int]:
    """Yield a descriptor for answers; what libraries print to stdout goes to stderr meanwhile."""
    sys.stdout.flush()
    answers = os.dup(1)
    os.dup2(2, 1)
    try:
        yield answers
    finally:
        os.dup2(answers, 1)
        os.close(answers)


def end_with_parent(close: Callable[[], object]) -> None:
    """Call a function and end the process when its parent has died; runs in a thread of its own."""
    parent = os.getppid()
    while True:
        time.sleep(_TICK_S)
        if os.getppid() != parent:
            close()
            os._exit(0)


def send_all(descriptor: int, content: bytes) -> None:
    """Write bytes to a descriptor; may block until the reader has read."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def run_thread(name: str, target: Callable[..., object], *arguments: object) -> None:
    """Start a thread that does not keep the process alive.

    Parameters
    ----------
    name
        Name of the thread.
    target
        What it calls.
    *arguments
        Of the call.
    """
    threading.Thread(target=target, args=arguments, name=name, daemon=True).start()
