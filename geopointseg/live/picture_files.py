"""The temporary folder of a live session, and the image files in it."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

MOST_FILES = 32
_PREFIX = "geopointseg-live-"
_YOUNG_S = 5.0


@dataclass
class PictureFiles:
    """Image files of which only the newest are kept.

    The folder is locked as long as the process lives. A folder whose process was killed is deleted when the next session starts.

    Parameters
    ----------
    folder
        The folder, made by `open_folder`.
    """

    folder: Path
    _lock: FileLock
    _files: deque[Path] = field(default_factory=deque)
    _number: int = 0

    @classmethod
    def open_folder(cls, parent: Path | None = None) -> PictureFiles:
        """Make a new folder, and delete those of sessions that ended without deleting theirs.

        Parameters
        ----------
        parent
            The folder of temporary files; by default that of the system.
        """
        parent = parent or Path(tempfile.gettempdir())
        for old in parent.glob(f"{_PREFIX}*"):
            _delete_if_left(old)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        lock = FileLock(folder / "lock")
        lock.acquire(timeout=0)
        return cls(folder, lock)

    def write(self, name: str, values: NDArray[np.uint8]) -> str:
        """Write an array under a new name, delete the oldest files, and return the path."""
        self._number += 1
        path = self.folder / f"{self._number:06d}-{name}.npy"
        np.save(path, values)
        self._files.append(path)
        while len(self._files) > MOST_FILES:
            self._files.popleft().unlink(missing_ok=True)
        return str(path)

    def close(self) -> None:
        """Delete the folder."""
        self._lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)


def _delete_if_left(folder: Path) -> None:
    """Delete a folder that no process has locked, except one that another session is making."""
    with suppress(OSError, Timeout):
        if time.time() - folder.stat().st_mtime < _YOUNG_S:
            return
        lock = FileLock(folder / "lock")
        lock.acquire(timeout=0)
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)
