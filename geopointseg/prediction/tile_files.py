"""Arrays of one tile in a safetensors file, which is read in part and appears only when complete."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from geopointseg.raster.publishing import explain_write_error

_ERROR_NUMBER = re.compile(r"(?:os error|code:) (\d+)")


def write_arrays(
    path: Path, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named arrays and metadata to one file, under a temporary name first.

    Parameters
    ----------
    path
        The file; an existing one is replaced.
    arrays
        Any shapes, also empty ones, and any numeric dtypes.
    metadata
        Texts by name.

    Raises
    ------
    OutputError
        If the disk is full or the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file(contiguous, temporary, metadata=dict(metadata) if metadata else None)
        temporary.chmod(mode)  # safetensors makes files that other users cannot read
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        raise explain_write_error(_as_os_error(error), path) from error


def _as_os_error(error: Exception) -> OSError:
    """Return the error of the operating system that a message of safetensors reports."""
    if isinstance(error, OSError):
        return error
    number = _ERROR_NUMBER.search(str(error))
    return OSError(int(number[1]), str(error)) if number else OSError(str(error))


class ArrayFile:
    """A complete file of named arrays, mapped into memory.

    Parameters
    ----------
    path
        As written by `write_arrays`.

    Attributes
    ----------
    metadata
        Texts by name.

    Raises
    ------
    OSError
        If there is no such file.
    SafetensorError
        If the file is incomplete or of another format.
    """

    def __init__(self, path: Path) -> None:
        self._file = safe_open(path, framework="numpy")
        self._names = frozenset(self._file.keys())
        self.metadata: dict[str, str] = self._file.metadata() or {}

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def read(self, name: str, *where: slice) -> NDArray[Any]:
        """Return a copy of an array, or of a part of it; only that part is read.

        Parameters
        ----------
        name
            Which array.
        where
            Ranges within the bounds of the first axes; none returns the whole array.

        Returns
        -------
        ndarray
            Of the stored dtype and number of axes.
        """
        stored = self._file.get_slice(name)
        is_empty = 0 in stored.get_shape()
        found = self._file.get_tensor(name)[where] if is_empty or not where else stored[where]
        return np.asarray(found)


def is_complete(path: Path) -> bool:
    """Return whether a file of arrays exists and is complete."""
    try:
        ArrayFile(path)
    except (OSError, SafetensorError):
        return False
    return True
