"""Queues between a live session and its client: what was asked for, and what was not yet read.

Both are bounded. A newer view takes the place of older ones, and a newer picture the place of unread ones. So a client that asks fast
or reads slowly costs no memory and never sees an old picture.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from geopointseg.live.message import Refusal, Request, write_line

LONGEST_QUEUE = 1000
"""Largest number of requests, or of unread answers, before reading of requests pauses."""
INTERRUPTIBLE = frozenset({"view", "next", "accuracy", "save"})
"""Requests that can be cancelled while they are executed. The others are quick, and change something at once."""
NEWER_VIEW = (
    "A newer view was asked for. Expected only the newest view to be painted; this one is left out."
)
CANCELLED = "The request was cancelled. Nothing was changed by it."

Identifier = int | float | str | None


@dataclass
class Inbox:
    """Requests in their order; of several views, only the newest.

    Parameters
    ----------
    drop
        Called with each request that is left out, and the reason.
    """

    drop: Callable[[Request, str], object]
    is_closed: bool = False
    _queue: deque[Request | Refusal] = field(default_factory=deque)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _current: Request | Refusal | None = None
    _cancelled: bool = False

    def put(self, item: Request | Refusal) -> None:
        """Add a request; waits while the queue is full."""
        dropped: list[Request] = []
        with self._changed:
            while len(self._queue) >= LONGEST_QUEUE and not self.is_closed:
                self._changed.wait()
            if isinstance(item, Request) and item.verb == "view":
                dropped = [r for r in self._queue if isinstance(r, Request) and r.verb == "view"]
                self._queue = deque(r for r in self._queue if r not in dropped)
            self._queue.append(item)
            self._changed.notify_all()
        for request in dropped:
            self.drop(request, NEWER_VIEW)

    def get(self, timeout_s: float) -> Request | Refusal | None:
        """Return the next request; None if there is none within the time."""
        with self._changed:
            if not self._queue:
                self._changed.wait(timeout_s)
            if not self._queue:
                return None
            item = self._queue.popleft()
            may_end_early = isinstance(item, Request) and item.verb in INTERRUPTIBLE
            self._current, self._cancelled = item if may_end_early else None, False
            self._changed.notify_all()
            return item

    def cancel(self, identifier: object) -> bool:
        """Cancel a request that waits or can still be interrupted; return whether there is one."""
        with self._changed:
            if self._current is not None and self._current.identifier == identifier:
                self._cancelled = True
                return True
            found = [
                r for r in self._queue
                if isinstance(r, Request) and r.identifier == identifier and r.verb != "cancel"
            ]  # fmt: skip
            self._queue = deque(r for r in self._queue if r not in found)
        for request in found:
            self.drop(request, CANCELLED)
        return bool(found)

    def finish(self) -> None:
        """Tell that the current request was answered, or can no longer be cancelled."""
        with self._changed:
            self._current = None

    def close(self) -> None:
        """Tell that no request will follow."""
        with self._changed:
            self.is_closed = True
            self._changed.notify_all()

    @property
    def is_cancelled(self) -> bool:
        """Whether the current request was cancelled."""
        return self._cancelled

    @property
    def is_empty(self) -> bool:
        """Whether no request waits."""
        return not self._queue

    def holds(self, *verbs: str) -> bool:
        """Return whether a request of one of these names waits."""
        with self._changed:
            return any(isinstance(r, Request) and r.verb in verbs for r in self._queue)


@dataclass(frozen=True, eq=False)
class _Letter:
    """A line to send.

    Parameters
    ----------
    kind
        ``answer`` is always sent; a ``picture`` and a ``progress`` event may be replaced.
    """

    kind: Literal["answer", "picture", "progress"]
    identifier: Identifier
    content: dict[str, Any]


@dataclass
class Outbox:
    """Lines that the client has not yet read.

    Parameters
    ----------
    send
        Writes bytes to the client; may block.
    worded
        Names arguments in the errors and problems of an answer as the client knows them.
    """

    send: Callable[[bytes], object]
    worded: Callable[[Any], Any] = lambda content: content
    is_broken: bool = False
    _queue: deque[_Letter] = field(default_factory=deque)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _sending: bool = False

    def answer(self, identifier: Identifier, **content: Any) -> None:
        """Send a line that is never replaced."""
        told = {key: self.worded(content[key]) for key in ("error", "problems") if key in content}
        self._put(_Letter("answer", identifier, content | told))

    def progress(self, identifier: Identifier, **content: Any) -> None:
        """Send an event, in place of an unread one."""
        with self._changed:
            self._queue = deque(letter for letter in self._queue if letter.kind != "progress")
        self._put(_Letter("progress", identifier, content))

    def picture(self, identifier: Identifier, **content: Any) -> None:
        """Send a picture, in place of unread ones; the requests of these are told that a newer view was asked for."""
        told = []
        with self._changed:
            kept: deque[_Letter] = deque()
            for letter in self._queue:
                if letter.kind != "picture":
                    kept.append(letter)
                elif letter.content.get("final") and letter.identifier != identifier:
                    told.append(letter.identifier)
            self._queue = kept
        for other in told:
            self.answer(other, ok=False, cancelled=True, error=NEWER_VIEW)
        self._put(_Letter("picture", identifier, content))

    def wait_for_room(self, is_closed: Callable[[], bool]) -> None:
        """Wait while too many answers are unread."""
        with self._changed:
            while len(self._queue) >= LONGEST_QUEUE and not (self.is_broken or is_closed()):
                self._changed.wait(0.5)

    def drain(self, timeout_s: float) -> None:
        """Wait until everything is sent, or for some time."""
        with self._changed:
            self._changed.wait_for(
                lambda: self.is_broken or not (self._queue or self._sending), timeout_s
            )

    def run(self) -> None:
        """Send lines until sending fails; runs in a thread of its own."""
        while not self.is_broken:
            with self._changed:
                while not self._queue:
                    self._changed.wait()
                letter, self._sending = self._queue.popleft(), True
                self._changed.notify_all()
            line = _express(letter)
            try:
                self.send(line)
            except (OSError, ValueError):
                self.is_broken = True
            with self._changed:
                self._sending = False
                self._changed.notify_all()

    def _put(self, letter: _Letter) -> None:
        with self._changed:
            self._queue.append(letter)
            self._changed.notify_all()


def _express(letter: _Letter) -> bytes:
    """Return the line of a letter, or an error where JSON cannot express it, so that no content ends the session."""
    try:
        return write_line(letter.identifier, letter.content)
    except (TypeError, ValueError, RecursionError):
        error = "The answer holds a value that JSON cannot express. Expected finite numbers and lists of small depth."
        known = isinstance(letter.identifier, (int, str))
        return write_line(letter.identifier if known else None, {"ok": False, "error": error})
