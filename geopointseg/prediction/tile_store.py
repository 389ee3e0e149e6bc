"""Arrays in files that can be read in part, and that exist only when they are whole."""

from __future__ import annotations

import json
import struct
import uuid
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopointseg.raster.publishing import explain_write_error

_MAGIC = b"geopointseg arrays 1"
_ALIGNMENT = 64


def write_arrays(
    path: Path, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any] | None = None
) -> None:
    """Write named arrays and a few facts to one file, under a temporary name first.

    Raises
    ------
    OutputError
        If the disk is full or the folder cannot be written to.
    """
    table: dict[str, Any] = {}
    position = 0
    for name, array in arrays.items():
        table[name] = {"dtype": array.dtype.str, "shape": array.shape, "start": position}
        position += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
    head = json.dumps({"arrays": table, "facts": dict(facts or {}), "size": position}).encode()
    front = _MAGIC + struct.pack("<Q", len(head)) + head
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(front + bytes(-len(front) % _ALIGNMENT))
            for array in arrays.values():
                file.write(np.ascontiguousarray(array))
                file.write(bytes(-array.nbytes % _ALIGNMENT))
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise explain_write_error(error, path) from error


class ArrayFile:
    """A file of named arrays; they are read where they are touched.

    Parameters
    ----------
    path
        As written by `write_arrays`.

    Raises
    ------
    ValueError
        If the file is not whole.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            front = file.read(len(_MAGIC) + 8)
            if not front.startswith(_MAGIC) or len(front) < len(_MAGIC) + 8:
                raise ValueError(f"'{path}' is not a file of arrays.")
            (length,) = struct.unpack("<Q", front[len(_MAGIC) :])
            head = file.read(length)
        described = json.loads(head)
        self.facts: dict[str, Any] = described["facts"]
        self._table: dict[str, Any] = described["arrays"]
        self._start = -(-(len(front) + length) // _ALIGNMENT) * _ALIGNMENT
        if path.stat().st_size != self._start + described["size"]:
            raise ValueError(f"'{path}' is cut off.")

    def __contains__(self, name: str) -> bool:
        return name in self._table

    @cached_property
    def _bytes(self) -> NDArray[np.uint8]:
        return np.memmap(self.path, dtype=np.uint8, mode="r", offset=0)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return an array as a view of the file."""
        row = self._table[name]
        dtype = np.dtype(row["dtype"])
        count = int(np.prod(row["shape"], dtype=np.int64))
        if not count:
            return np.empty(row["shape"], dtype=dtype)
        start = self._start + row["start"]
        content = self._bytes[start : start + count * dtype.itemsize]
        return np.asarray(content.view(dtype).reshape(row["shape"]))


def is_whole(path: Path) -> bool:
    """Whether a file of arrays is there and complete."""
    try:
        ArrayFile(path)
    except (OSError, ValueError, KeyError):
        return False
    return True
