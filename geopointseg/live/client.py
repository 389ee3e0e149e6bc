"""A client of a live session: it starts the process, sends requests, and waits for answers."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geopointseg.errors import GeopointsegError

Answer = dict[str, Any]


class LiveClient:
    """A live session in a process of its own.

    Parameters
    ----------
    arguments
        Of the command, for example ``["--raster", "scene.tif"]``.
    timeout_s
        How long an answer may take, in seconds.

    Attributes
    ----------
    start
        The first line of the process, which describes imagery, legend and points.
    process
        The process.

    Raises
    ------
    GeopointsegError
        If the session cannot start; the message is that of the process.
    """

    def __init__(self, arguments: Sequence[str], timeout_s: float = 120.0) -> None:
        self._timeout_s = timeout_s
        self.process = subprocess.Popen(  # noqa: S603 # nosec B603 - our own interpreter
            [
                sys.executable,
                "-m",
                "geopointseg",
                "live",
                *arguments,
                "--progress",
                "none",
                "--quiet",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._lines: queue.Queue[Answer | None] = queue.Queue()
        self._errors: list[str] = []
        self._number = 0
        for target in (self._read, self._read_errors):
            threading.Thread(target=target, daemon=True).start()
        try:
            self.start = self._next()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def send(self, do: str, **content: Any) -> int:
        """Send a request and return its id."""
        self._number += 1
        self.send_bytes(json.dumps({"id": self._number, "do": do, **content}).encode() + b"\n")
        return self._number

    def send_bytes(self, content: bytes) -> None:
        """Send bytes as they are."""
        assert self.process.stdin is not None  # noqa: S101 - a pipe
        self.process.stdin.write(content)
        self.process.stdin.flush()

    def answers(self, identifier: int | None) -> Iterator[Answer]:
        """Yield the answers to a request, until the last one; events and other answers are dropped."""
        while True:
            found = self._next()
            if found.get("id") == identifier and "ok" in found:
                yield found
                if found.get("final") is not False:
                    return

    def ask(self, do: str, **content: Any) -> Answer:
        """Send a request and return its last answer."""
        return list(self.answers(self.send(do, **content)))[-1]

    def view(
        self, bounds: Sequence[float], width: int, height: int
    ) -> tuple[NDArray[np.uint8], list[str]]:
        """Return the final picture of a view and the names of the classes.

        Parameters
        ----------
        bounds
            ``(xmin, ymin, xmax, ymax)`` in the CRS of the imagery.
        width, height
            Pixels of the picture.

        Returns
        -------
        classes
            uint8 ``(row, col)``: positions in ``legend``; 255 where nothing is known.
        legend
            Names.

        Raises
        ------
        GeopointsegError
            If the view cannot be painted.
        """
        found = self.ask("view", bounds=list(bounds), width=width, height=height)
        if not found["ok"]:
            raise GeopointsegError(found["error"])
        return np.load(found["classes"]), found["legend"]

    def close(self, timeout_s: float = 10.0) -> int:
        """End the session and return the exit code."""
        try:
            self.send_bytes(b'{"do": "quit"}\n')
            assert self.process.stdin is not None  # noqa: S101 - a pipe
            self.process.stdin.close()
        except (OSError, ValueError):
            pass  # it has ended, or was closed already
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def _next(self) -> Answer:
        try:
            found = self._lines.get(timeout=self._timeout_s)
        except queue.Empty:
            raise GeopointsegError(
                f"The live session gave no answer within {self._timeout_s:g} seconds. Expected one; start it again."
            ) from None
        if found is None:
            self._lines.put(None)
            code = self.process.wait()
            said = " ".join(self._errors[-3:]).strip() or f"exit code {code}"
            raise GeopointsegError(f"The live session has ended: {said}")
        return found

    def _read(self) -> None:
        assert self.process.stdout is not None  # noqa: S101 - a pipe
        for line in self.process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put(None)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None  # noqa: S101 - a pipe
        for line in self.process.stderr:
            self._errors = [*self._errors[-20:], line.decode("utf-8", "replace").strip()]
