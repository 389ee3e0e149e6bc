"""Open raster files: one handle a thread and file, at most a few dozen at a time.

GDAL datasets must not be shared between threads, nor survive a fork. Whoever reads asks the pool for a handle
where it reads, and nobody keeps one.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rasterio
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geopointseg.errors import InputFileError
from geopointseg.process import use_own_geodata

_Stamp = tuple[int, int, int]


class HandlePool:
    """Open datasets, one a thread and file, the least recently used closed first.

    The pool keys them by process and thread and keeps at most ``capacity`` of them a thread. A local file that was
    replaced or rewritten since is opened anew.

    Parameters
    ----------
    capacity
        The largest number of files held open by one thread.
    """

    def __init__(self, capacity: int = 16) -> None:
        self._capacity = capacity
        self._local = threading.local()

    def get(self, path: str) -> DatasetReader:
        """Return an open dataset of this thread, opening it where needed."""
        pool = self._pool()
        stamp = _stamp(path)
        held, dataset = pool.pop(path, (None, None))
        if dataset is not None and held != stamp:
            dataset.close()
            dataset = None
        if dataset is None:
            dataset = open_dataset(path)
        pool[path] = stamp, dataset
        while len(pool) > self._capacity:
            pool.popitem(last=False)[1][1].close()
        return dataset

    def close(self) -> None:
        """Close this thread's files."""
        pool = self._pool()
        while pool:
            pool.popitem()[1][1].close()

    def __len__(self) -> int:
        """How many files this thread holds open."""
        return len(self._pool())

    def _pool(self) -> OrderedDict[str, tuple[_Stamp | None, DatasetReader]]:
        if getattr(self._local, "process", None) != os.getpid():
            self._local.process = os.getpid()
            self._local.pool = OrderedDict()
        pool: OrderedDict[str, tuple[_Stamp | None, DatasetReader]] = self._local.pool
        return pool


HANDLES = HandlePool()
"""The pool that all scenes of a process read through."""

atexit.register(HANDLES.close)


def open_dataset(path: str, **options: Any) -> DatasetReader:
    """Open a raster for reading, with an error that says what is wrong with it.

    Parameters
    ----------
    path
        A file, a ``/vsi...`` path, a sub-dataset, or the XML text of a virtual raster.
    options
        Passed on to rasterio.

    Raises
    ------
    InputFileError
        If the file is missing, or GDAL cannot open it.
    """
    use_own_geodata()
    if _names_a_file(path) and not os.path.exists(path):  # noqa: PTH110 - Path fails on long names
        raise InputFileError(f"The raster '{path}' does not exist. Check the path.")
    try:
        return rasterio.open(_local(path), sharing=False, **options)
    except RasterioError as error:
        shown = "The virtual raster" if is_text(path) else f"'{path}'"
        raise InputFileError(
            f"{shown} cannot be opened as a raster ({error}). Expected a GeoTIFF or another format that "
            "GDAL reads; check that the file is whole by opening it in QGIS."
        ) from error


@contextmanager
def reading(path: str, window: Window | None = None) -> Iterator[None]:
    """Turn what GDAL says while a raster is read into an error that says where, and what to do.

    Parameters
    ----------
    path
        The raster, for the message.
    window
        Where it is read, if that is to be told.

    Raises
    ------
    InputFileError
        If what is read within fails.
    """
    try:
        yield
    except (RasterioError, OSError) as error:
        shown = "The virtual raster" if is_text(path) else f"'{path}'"
        raise InputFileError(
            f"{shown} cannot be read{_place(window)} ({root_cause(error)}). The file seems truncated or was changed while "
            "it was read; restore it and run again."
        ) from error


def _place(window: Window | None) -> str:
    if window is None:
        return ""
    (top, bottom), (left, right) = window.toranges()
    return f" at rows {top}-{bottom}, columns {left}-{right}"


def root_cause(error: BaseException) -> BaseException:
    """Return what GDAL said first: rasterio wraps it, and its last word is "see previous exception".

    Examples
    --------
    >>> try:
    ...     raise OSError("Read failed.") from ValueError("got 3 bytes, expected 9")
    ... except OSError as error:
    ...     print(root_cause(error))
    got 3 bytes, expected 9
    """
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def fingerprint_files(path: str) -> str | None:
    """Return a text that changes when a raster's files change; None where that cannot be told.

    Names, sizes and times of all files behind the raster are taken, those behind a virtual raster too; their
    contents are not read.
    """
    files = list(HANDLES.get(path).files)
    local = [Path(name) for name in files if not name.startswith("/vsi")]
    if not files or len(local) < len(files) or not all(name.exists() for name in local):
        return None
    facts = [(str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns) for f in local]
    return repr((path if is_text(path) else "", sorted(facts)))


def _stamp(path: str) -> _Stamp | None:
    """Return what changes when a local file is rewritten; None where it is remote, no file, or gone."""
    if not _names_a_file(path):
        return None
    try:
        found = os.stat(path)  # noqa: PTH116 - asked at every read, and twice as fast as Path.stat
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def is_text(path: str) -> bool:
    """Whether a path is the XML text of a virtual raster, and no name of a file."""
    return path.lstrip().startswith("<")


def _local(path: str) -> str:
    """Return the absolute path of a file whose relative one reads like a URL or a sub-dataset, such as ``GPKG:x.tif``."""
    is_file = not _names_a_file(path) and not path.startswith(("<", "/")) and Path(path).exists()
    return os.path.abspath(path) if is_file else path  # noqa: PTH100 - Path would drop './'


def _names_a_file(path: str) -> bool:
    return not (
        is_text(path) or path.startswith("/vsi") or "://" in path or ":" in path[2:]
    )  # a drive letter's colon is at 1
