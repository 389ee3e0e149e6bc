"""One run at a time on one output.

The lock is the operating system's, on a small file beside the output. It vanishes with its process however that ends,
so nothing has to be cleaned up after a crash.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from geopointseg.errors import OutputError


@contextmanager
def hold_lock(path: Path, output: Path) -> Iterator[None]:
    """Keep other runs from an output while the block lasts.

    Parameters
    ----------
    path
        The lock file; it holds the process's number, and is removed at the end.
    output
        What is written, for the message.

    Raises
    ------
    OutputError
        If another run holds the lock.
    """
    file = _lock_file(path, output)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        file.close()


def _lock_file(path: Path, output: Path) -> IO[str]:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
        if not _try_lock(file):
            raise OutputError(
                f"Another run is writing '{output}' at this moment (process {_owner(file)}). One output takes one "
                "run; wait for it to end or choose another output."
            )
        if _is_at(file, path):
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            return file
        file.close()  # it was removed by a run that ended just now


def _owner(file: IO[str]) -> str:
    with file, contextlib.suppress(OSError):
        file.seek(0)
        return file.read().strip() or "unknown"
    return "unknown"


def _is_at(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _try_lock(file: IO[str]) -> bool:
    """Lock a file for this process; False where another run holds it."""
    try:
        import fcntl
    except ImportError:
        import msvcrt

        with contextlib.suppress(OSError):
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
            return True
        return False
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
