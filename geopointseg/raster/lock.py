"""A lock that allows one run at a time on one output.

The lock is the operating system's, on a small file beside the output. It ends with its process, so nothing has to be
cleaned up after a crash. filelock locks the file's first byte on Windows, where no other process
can read that byte. The number of the process that holds the lock is stored after it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from filelock import lock_descriptor

from geopointseg.errors import OutputError

_OWNER_AT = 1
_OWNER_LENGTH = 20


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
        if os.name == "nt":  # a file that is open cannot be removed there
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _lock_file(path: Path, output: Path) -> FileIO:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = FileIO(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+")
        if not lock_descriptor(file.fileno(), blocking=False):
            raise OutputError(
                f"Another run is writing '{output}' at this moment (process {_owner(file)}). Only one run may write an "
                "output; wait for it to end or choose another output."
            )
        if _is_at(file, path):
            with contextlib.suppress(OSError):  # a full disk; the number is only for messages
                file.write(f"\n{os.getpid():<{_OWNER_LENGTH}}".encode())
            return file
        file.close()  # it was removed by a run that ended just now


def _owner(file: FileIO) -> str:
    with file, contextlib.suppress(OSError):
        file.seek(_OWNER_AT)
        return file.read(_OWNER_LENGTH).decode(errors="replace").strip() or "unknown"
    return "unknown"


def _is_at(file: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
