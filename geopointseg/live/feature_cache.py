"""Cache of window features: the least recently used windows move to a temporary file, and from there out."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from geopointseg.live.memory import hold_apart
from geopointseg.live.window_features import WindowFeatures

Key = tuple[int, int, int]
"""Pyramid level, and row and column of a window in its lattice."""

DISK_BYTES = 2 * 2**30
"""Largest size of the temporary file; at most a quarter of the free space is used."""


@dataclass
class FeatureCache:
    """Features of windows within limits of memory and disk.

    The file has no name, so that it disappears with the process, also when that is killed.

    Parameters
    ----------
    memory_bytes
        Largest size of the windows in memory. One window is kept in any case.
    folder
        Where the temporary file is made; None keeps nothing on disk.
    disk_bytes
        Largest size of the file.
    """

    memory_bytes: int
    folder: Path | None = None
    disk_bytes: int = DISK_BYTES
    _held: OrderedDict[Key, WindowFeatures] = field(default_factory=OrderedDict, repr=False)
    _bytes: int = 0
    _spilled: _Spill | None = field(default=None, repr=False)

    def __contains__(self, key: Key) -> bool:
        return key in self._held or (self._spilled is not None and key in self._spilled.places)

    def __len__(self) -> int:
        return len(self._held)

    @property
    def nbytes(self) -> int:
        """Size of the windows in memory."""
        return self._bytes

    def get(self, key: Key, compute: Callable[[], WindowFeatures]) -> WindowFeatures:
        """Return the features of a window, computed if they are nowhere in the cache.

        Parameters
        ----------
        key
            The window.
        compute
            Returns its features.

        Returns
        -------
        WindowFeatures
            The window is now the most recently used one.
        """
        found = self._held.pop(key, None)
        if found is not None:
            self._held[key] = found
            return found
        found = self._spilled.read(key) if self._spilled else None
        found = compute() if found is None else found
        self._held[key] = found
        self._bytes += found.nbytes
        self.shrink(self.memory_bytes)
        return found

    def shrink(self, limit_bytes: int) -> None:
        """Move the least recently used windows out of memory until those left take no more than a limit."""
        while self._bytes > limit_bytes and len(self._held) > 1:
            old, features = self._held.popitem(last=False)
            self._bytes -= features.nbytes
            self._spill(old, features)

    def close(self) -> None:
        """Drop everything."""
        self._held.clear()
        self._bytes = 0
        if self._spilled:
            self._spilled.close()
        self._spilled = None

    def _spill(self, key: Key, features: WindowFeatures) -> None:
        """Move a window to the file; without room or on an error it is dropped."""
        if self.folder is None or features.nbytes > self.disk_bytes:
            return
        try:
            if self._spilled is None:
                free = shutil.disk_usage(self.folder).free // 4
                self._spilled = _Spill(self.folder, min(self.disk_bytes, free))
            self._spilled.write(key, features)
        except OSError:
            self.folder = None


class _Spill:
    """Slots of the size of the largest window in an unnamed file, reused from the least recently written."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - lives as long as the object
        self._limit = limit
        self._slot_bytes = 0
        self.places: OrderedDict[Key, tuple[int, WindowFeatures]] = OrderedDict()

    def write(self, key: Key, features: WindowFeatures) -> None:
        if key in self.places:
            self.places.move_to_end(key)
            return
        if (
            features.nbytes > self._slot_bytes
        ):  # the first windows may be small: at a border, or without image
            self._slot_bytes = features.nbytes
            self.places.clear()
        room = self._limit // max(self._slot_bytes, 1)
        if room < 1:
            return
        slot = len(self.places)
        if slot >= room:
            slot = self.places.popitem(last=False)[1][0]
        content = b"".join(array.tobytes() for array in features.arrays())
        os.pwrite(self._file.fileno(), content, slot * self._slot_bytes)
        self.places[key] = slot, _shape_of(features)

    def read(self, key: Key) -> WindowFeatures | None:
        if key not in self.places:
            return None
        slot, shape = self.places[key]
        size = sum(array.nbytes for array in shape.arrays())
        content = os.pread(self._file.fileno(), size, slot * self._slot_bytes)
        if len(content) < size:
            return None
        arrays, start = [], 0
        for array in shape.arrays():
            count = int(np.prod(array.shape))
            arrays.append(np.frombuffer(content, array.dtype, count, start).reshape(array.shape))
            start += array.nbytes
        return WindowFeatures.of(hold_apart(arrays))

    def close(self) -> None:
        self._file.close()


def _shape_of(features: WindowFeatures) -> WindowFeatures:
    """Return features of the same shapes and types that take no memory."""
    shapes = [np.broadcast_to(np.zeros((), a.dtype), a.shape) for a in features.arrays()]
    return WindowFeatures.of(shapes)
