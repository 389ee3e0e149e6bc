"""Atomic writing of folders, such as models: a folder appears only when it is complete.

A folder is written under a hidden name beside its final one, while a lock keeps other runs away. An older folder is moved to
a hidden name of its own before the new one takes its place. If the process is killed between the two moves, the next run
puts the older folder back.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from geopointseg.errors import OutputError
from geopointseg.raster.lock import hold_lock
from geopointseg.raster.publishing import (
    explain_write_error,
    hidden_beside,
    require_room_for_folder,
)


@contextmanager
def whole_folder(folder: Path, is_ours: Callable[[Path], bool]) -> Iterator[Path]:
    """Yield a hidden path, and move the folder that was made there to its final path when the block ends well.

    Parameters
    ----------
    folder
        The final path.
    is_ours
        Whether an existing folder may be replaced.

    Raises
    ------
    OutputError
        If the folder holds something else, another run writes it, or it cannot be written.
    """
    require_free_folder(folder, is_ours)
    partial = hidden_beside(folder.absolute(), ".saved.partial")
    try:
        with hold_lock(lock_of(folder), folder):
            restore_folder(folder)
            shutil.rmtree(partial, ignore_errors=True)
            try:
                yield partial
                publish_folder(partial, folder.absolute(), is_ours)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise explain_write_error(error, folder) from error


def lock_of(folder: Path) -> Path:
    """Return the file whose lock allows one run at a time to write a folder."""
    return hidden_beside(folder.absolute(), ".lock")


def require_free_folder(folder: Path, is_ours: Callable[[Path], bool]) -> None:
    """Raise `OutputError` if a folder cannot be written: it must be new, empty, or of the kind that replaces it.

    Parameters
    ----------
    folder
        The output.
    is_ours
        Whether an existing folder may be replaced.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(
            f"The output '{folder}' is a file. Expected a folder; choose another name."
        )
    if folder.is_dir() and any(folder.iterdir()) and not is_ours(folder):
        raise OutputError(
            f"The output folder '{folder}' exists and holds something that is not a model of this kind. "
            "It is not changed; choose a new folder."
        )
    require_room_for_folder(folder)


def publish_folder(partial: Path, folder: Path, is_ours: Callable[[Path], bool]) -> None:
    """Move a finished folder to its final path; an older one of the same kind is replaced.

    If the folder cannot be moved, the older one is restored.

    Parameters
    ----------
    partial
        The finished folder under its temporary name.
    folder
        The final path.
    is_ours
        Whether an existing folder may be replaced.

    Raises
    ------
    OutputError
        If another folder or a file exists under the final path.
    """
    require_free_folder(folder, is_ours)
    folder.parent.mkdir(parents=True, exist_ok=True)
    old = _name_of_old(folder)
    if folder.exists():
        folder.rename(old)
    try:
        partial.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def restore_folder(folder: Path) -> None:
    """Finish a `publish_folder` that was killed: put the older folder back where there is no new one, else remove it."""
    old = _name_of_old(folder)
    if not old.exists():
        return
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
    else:
        old.rename(folder)


def _name_of_old(folder: Path) -> Path:
    return hidden_beside(folder.absolute(), ".old")
