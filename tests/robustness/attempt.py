"""One run of the command line in this process, and what every refusal has to look like."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import io
import multiprocessing
import os
import re
import signal
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from geopointseg.cli import app as cli_app
from geopointseg.raster.raster_access import HANDLES

LIMIT_S = 600
CODE_WORDS = re.compile(
    r"Traceback|unexpected|object has no attribute|\b[A-Z]\w+(?:Error|Exception|Warning)\b|\bNoneType\b|Errno|0x[0-9a-f]{6}"
)
ADVICE = re.compile(
    r"Expected|Check |Did you mean|Known names|[Cc]hoose |[Gg]ive |[Nn]ame |[Ff]ree |Try '|assign |Accepted are |restore |[Uu]se |[Ss]et |[Cc]opy |[Cc]reate "
)
_USUAL_FOLDER = tempfile.gettempdir()
_CAPABILITIES = 0b1111
"""Of root: chown, and passing over the permissions of files."""


@dataclass(frozen=True)
class Outcome:
    """What a run ended with: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The message of the failure."""
        found = [line for line in self.err.splitlines() if re.match(r"geopointseg: |Error: ", line)]
        assert len(found) == 1, f"one sentence was expected: {self.err!r}"
        return found[0].partition(": ")[2]


def run_here(arguments: Sequence[str]) -> Outcome:
    """Run the command line in this process."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors=e) for e in ("strict", "backslashreplace"))  # fmt: skip
    code: Any = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _time_limit():
        try:
            cli_app.main(list(arguments))
        except SystemExit as stop:
            code = stop.code
        finally:
            HANDLES.close()
    for stream in (out, err):
        stream.flush()
    texts = [stream.buffer.getvalue().decode("utf-8") for stream in (out, err)]  # type: ignore[attr-defined]
    return Outcome(int(code or 0), *texts)


def run_unprivileged(arguments: Sequence[str]) -> Outcome:
    """Run the command line in a process that obeys the permissions of files, also for root.

    It is forked from a process without threads: a child of this one could wait for ever for threads that it does not have.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["geopointseg.cli.app", "geopointseg.learning.training"])
    receiver, sender = context.Pipe(duplex=False)
    surroundings = (str(Path.cwd()), dict(os.environ), tempfile.tempdir)
    child = context.Process(target=_run_there, args=(sender, list(arguments), surroundings))
    tempfile.tempdir = _USUAL_FOLDER  # the name of the server's socket may not be long
    try:
        child.start()
    finally:
        tempfile.tempdir = surroundings[2]
    sender.close()
    outcome: Outcome = receiver.recv()
    child.join()
    return outcome


def _run_there(
    sender: Connection, arguments: list[str], surroundings: tuple[str, dict[str, str], str | None]
) -> None:
    folder, environment, tempfile.tempdir = surroundings
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    _drop_capabilities()
    sender.send(run_here(arguments))


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    """Interrupt a run that hangs."""

    def stop(*_: object) -> None:
        raise AssertionError(f"the run did not end within {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _drop_capabilities() -> None:
    if os.geteuid() != 0 or not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    libc.capget(header, data)
    for place in range(3):
        data[place] &= ~_CAPABILITIES
    libc.capset(header, data)


def content_of(folder: Path, *, content: bool = True) -> dict[str, tuple[Any, ...]]:
    """Return type, mode, size, time and digest of everything in a folder."""
    found: dict[str, tuple[Any, ...]] = {}
    for root, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(root) / name
            facts = path.lstat()
            told: tuple[Any, ...] = (facts.st_mode, facts.st_ino)
            if stat.S_ISLNK(facts.st_mode):
                told += (str(path.readlink()),)
            elif stat.S_ISREG(facts.st_mode):
                told += (facts.st_size, facts.st_mtime_ns)
                if content:
                    told += (_digest(path),)
            found[os.fsencode(path).decode(errors="replace")] = told
    return found


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except PermissionError:
        return "?"


def require_refusal(outcome: Outcome, names: Sequence[str]) -> None:
    """Check that a run ended in one helpful sentence, which names one of these files or options."""
    assert outcome.code in (1, 2), outcome
    told = outcome.out + outcome.err
    assert not CODE_WORDS.search(told), told
    if '"usable": false' in outcome.out:  # a table of what is wrong with them
        return
    said = outcome.sentence + (outcome.err if outcome.code == 2 else "")
    assert any(name in said for name in names), (names, said)
    assert ADVICE.search(said), said
