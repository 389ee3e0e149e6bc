"""Progress events, and cancellation of a run.

Library functions take a `Reporter` and send it events. The caller chooses the *sink* of the events: a progress bar,
JSON lines for a parent process, or none. The reporter also carries cancellation: long loops call
`Reporter.check_cancelled` at least once per batch, so that a run ends within one batch of the request.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TextIO

from geopointseg.errors import Cancelled
from geopointseg.name import printable
from geopointseg.summary import described

EventKind = Literal["progress", "log", "warning", "error", "result"]


@described
@dataclass(frozen=True)
class Event:
    """One event: progress, a message, or a result.

    Parameters
    ----------
    kind
        ``progress``, ``log``, ``warning``, ``error`` or ``result``.
    message
        Sentence for the user.
    stage
        Part of the run, for example ``"train"``; empty for messages.
    fraction
        Completed part of the stage, 0..1; None where not known.
    data
        Further values for programs (pixels per second, remaining seconds ...).
    """

    kind: EventKind
    message: str = ""
    stage: str = ""
    fraction: float | None = None
    data: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the event as one line of JSON, without the line end."""
        row: dict[str, Any] = {"event": self.kind}
        if self.stage:
            row["stage"] = self.stage
        if self.fraction is not None:
            row["fraction"] = round(self.fraction, 4)
        if self.message:
            row["message"] = self.message
        return json.dumps(row | self.data, ensure_ascii=False, default=str)


class Sink(Protocol):
    """Receiver of events."""

    def emit(self, event: Event) -> None:
        """Receive one event."""

    def close(self) -> None:
        """Release the terminal or stream."""


class SilentSink:
    """A sink that drops progress and logs, and turns warnings into Python warnings."""

    def emit(self, event: Event) -> None:
        """Drop the event unless it is a warning."""
        if event.kind == "warning":
            warnings.warn(event.message, stacklevel=4)

    def close(self) -> None:
        """Do nothing."""


class NullSink:
    """A sink that drops all events, also warnings; for steps whose warnings repeat earlier ones."""

    def emit(self, event: Event) -> None:
        """Drop the event."""

    def close(self) -> None:
        """Do nothing."""


class JsonSink:
    """A sink that writes one JSON object per line, flushed, for a parent process."""

    def __init__(self, stream: TextIO | None = None, min_interval_s: float = 0.1) -> None:
        self._stream = stream or sys.stderr
        self._min_interval_s = min_interval_s
        self._last_s = 0.0
        self._lock = threading.Lock()

    def emit(self, event: Event) -> None:
        """Write the event; progress events within the shortest interval are dropped, except the last of a stage."""
        now = time.monotonic()
        with self._lock:
            if event.kind == "progress" and (event.fraction or 0.0) < 1.0:
                if now - self._last_s < self._min_interval_s:
                    return
                self._last_s = now
            self._stream.write(event.to_json() + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Flush the stream."""
        self._stream.flush()


class BarSink:
    """A sink that shows progress bars on stderr and prints messages above them.

    Parameters
    ----------
    quiet
        Whether to print only warnings.
    bars
        Whether to show bars.
    """

    def __init__(self, *, quiet: bool = False, bars: bool = True) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            TaskID,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        self._quiet = quiet
        self._console = Console(stderr=True, highlight=False, emoji=False)
        self._bars = Progress(
            TextColumn("{task.fields[stage]:<12}"),
            BarColumn(bar_width=30),
            TaskProgressColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[note]}"),
            console=self._console,
            disable=quiet or not bars,
        )
        self._draws = bars and not quiet
        self._tasks: dict[str, TaskID] = {}
        self._started = False

    def emit(self, event: Event) -> None:
        """Move the stage's bar, or print the message above the bars."""
        if event.kind == "progress":
            self._move(event)
        elif event.kind == "warning":
            self._console.print(f"[yellow]warning:[/] {_escape(event.message)}", soft_wrap=True)
        elif event.kind == "log" and not self._quiet:
            self._console.print(_escape(event.message), soft_wrap=True)

    def _move(self, event: Event) -> None:
        if not self._started and self._draws:
            self._bars.start()
            self._started = True
        if event.stage not in self._tasks:
            self._tasks[event.stage] = self._bars.add_task(
                "", total=1.0, stage=event.stage, note=""
            )
        self._bars.update(self._tasks[event.stage], completed=event.fraction, note=event.message)

    def close(self) -> None:
        """Stop drawing."""
        if self._started:
            self._bars.stop()


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(printable(text))


class Flag(Protocol):
    """A flag that threads or processes share, such as `threading.Event`."""

    def set(self) -> None:
        """Set the flag."""

    def is_set(self) -> bool:
        """Whether the flag is set."""


@described
class Reporter:
    """Receiver of progress and messages of library functions; also carries cancellation.

    Parameters
    ----------
    sink
        Where events go; silent by default.
    cancelled
        Flag that requests cancellation; a new one by default. Processes that share a flag are cancelled together.

    Examples
    --------
    >>> reporter = Reporter()
    >>> with reporter.stage("read", total=4) as advance:
    ...     for _ in range(4):
    ...         advance(1)
    """

    def _summary(self) -> list[str]:
        state = ", cancelled" if self.is_cancelled else ""
        return [f"Reporter to {type(self.sink).__name__}{state}"]

    def __init__(self, sink: Sink | None = None, cancelled: Flag | None = None) -> None:
        self.sink: Sink = sink or SilentSink()
        self._cancelled: Flag = cancelled or threading.Event()

    def silent(self, sink: Sink | None = None) -> Reporter:
        """Return a reporter to another sink, silent by default, for a part that is cancelled together with this run."""
        return Reporter(sink, self._cancelled)

    def log(self, message: str, **data: Any) -> None:
        """Send a message to the user."""
        self.sink.emit(Event("log", message, data=data))

    def warn(self, message: str, **data: Any) -> None:
        """Send a warning about something that may impair the result."""
        self.sink.emit(Event("warning", message, data=data))

    def progress(self, stage: str, fraction: float, message: str = "", **data: Any) -> None:
        """Send the progress of a stage.

        Parameters
        ----------
        stage
            Part of the run.
        fraction
            Completed part of the stage, 0..1.
        message
            Sentence for the user.
        **data
            Further values for programs.

        Raises
        ------
        Cancelled
            If cancellation was requested.
        """
        self.check_cancelled()
        self.sink.emit(Event("progress", message, stage, min(max(fraction, 0.0), 1.0), data))

    @contextmanager
    def stage(self, name: str, total: float) -> Iterator[_Advance]:
        """Report a loop of ``total`` units; the yielded callable counts completed units."""
        self.progress(name, 0.0)
        yield _Advance(self, name, max(total, 1e-9))
        self.progress(name, 1.0)

    def worded(self, content: Any) -> Any:
        """Return a message, or the messages in a result, with names as the reader knows them: in Python unchanged."""
        return content

    def cancel(self) -> None:
        """Request cancellation; may be called from a signal handler or another thread."""
        self._cancelled.set()

    @property
    def is_cancelled(self) -> bool:
        """Whether cancellation was requested."""
        return self._cancelled.is_set()

    def check_cancelled(self) -> None:
        """Raise `Cancelled` if cancellation was requested."""
        if self._cancelled.is_set():
            raise Cancelled("Cancelled; no output was written.")

    def close(self) -> None:
        """Release the sink."""
        self.sink.close()


@dataclass
class _Advance:
    """Counts the units of one stage and reports the fraction."""

    reporter: Reporter
    name: str
    total: float
    done: float = 0.0

    def __call__(self, units: float = 1.0, message: str = "", **data: Any) -> None:
        self.done += units
        self.reporter.progress(self.name, self.done / self.total, message, **data)
