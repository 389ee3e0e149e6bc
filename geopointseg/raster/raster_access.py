"""Access to raster files: open datasets for each thread, reading, errors, and fingerprints of files.

GDAL datasets must not be shared between threads or kept after a fork. Code that reads gets its dataset from the pool
each time, and keeps none.
"""

from __future__ import annotations

import atexit
import os
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.env import ensure_env_with_credentials
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader, MemoryFile
from rasterio.windows import Window

from geopointseg.errors import InputFileError, RasterError
from geopointseg.input_file import require_input
from geopointseg.markup import parse_xml
from geopointseg.process import permit_connections, require_room, use_own_geodata
from geopointseg.raster.grid import Grid, crs_name
from geopointseg.raster.header_check import (
    require_mask_beside,
    require_plausible_size,
    require_usable_transform,
)
from geopointseg.source_policy import (
    names_address,
    names_sources,
    opening_drivers,
    require_local_name,
    require_local_sources,
)

_Stamp = tuple[int, int, int]


class HandlePool:
    """Open datasets, one per thread and file; the least recently used one is closed first.

    The pool keeps at most ``capacity`` datasets per thread of the current process. A local file that was replaced or
    rewritten is opened again.

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
        """Return the number of files that this thread holds open."""
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


def open_dataset(path: str) -> DatasetReader:
    """Open a raster for reading, with an error that explains what is wrong with it.

    Parameters
    ----------
    path
        A file, a ``/vsi...`` path, a sub-dataset, or the XML text of a virtual raster.

    Raises
    ------
    InputFileError
        If the file is missing, GDAL cannot open it, its header states more than it can hold, or it leads to a network source
        or pixel function; see `geopointseg.source_policy`.
    MemoryError
        If a limit of the address space is reached.
    """
    use_own_geodata()
    require_room()
    if _names_a_file(path) or os.path.lexists(path):
        require_input(path, "raster")
        _require_utf8(path)
    require_local_sources(path)
    if names_address(path):
        permit_connections()
    try:
        with _raw_bands_of_text(path):
            drivers = opening_drivers(path, _known_drivers())
            dataset = _open_with(_local(path), drivers)
    except RasterioError as error:
        shown = "The virtual raster" if is_text(path) else f"'{path}'"
        raise InputFileError(
            f"{shown} cannot be opened as a raster ({error}). Expected a GeoTIFF or another format that "
            "GDAL reads; check that the file is whole by opening it in QGIS."
        ) from error
    if not is_text(path):
        require_plausible_size(dataset, path)
        require_mask_beside(dataset, path)
        overviews = dataset.tags(ns="OVERVIEWS").get("OVERVIEW_FILE", "")
        if overviews:
            require_local_name(path, overviews)
    return dataset


def _require_utf8(path: str) -> None:
    """Raise `InputFileError` if a name has bytes that are not UTF-8, which rasterio does not open."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise InputFileError(
            f"The name of the raster '{path}' is not in UTF-8. Expected a name that all programs can open; rename the file "
            "or its folder."
        ) from None


@ensure_env_with_credentials  # type: ignore[untyped-decorator]
def _open_with(path: str, drivers: list[str] | None) -> DatasetReader:
    """Open a raster with some drivers of GDAL; `rasterio.open` accepts one only."""
    return DatasetReader(path, driver=drivers, sharing=False)


@cache
def _known_drivers() -> tuple[str, ...]:
    with rasterio.Env() as environment:
        return tuple(environment.drivers())


def open_unplaced(path: str | os.PathLike[str]) -> DatasetReader:
    """Open a raster that may lack a georeference, without rasterio's warning; see `open_dataset`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return open_dataset(os.fspath(path))


@contextmanager
def _raw_bands_of_text(path: str) -> Iterator[None]:
    """Let the text of a virtual raster name raw files, which GDAL allows only beside the file of a virtual raster."""
    if is_text(path) and "VRTRawRasterBand" in path:
        with rasterio.Env(GDAL_VRT_RAWRASTERBAND_ALLOWED_SOURCE="ALL"):
            yield
    else:
        yield


def describe_as_virtual(dataset: DatasetReader) -> ET.Element:
    """Return an open raster as the root element of a GDAL virtual raster, with all metadata that GDAL has."""
    with MemoryFile(ext=".vrt") as memory, _raw_bands_of_text(dataset.name):
        rasterio.shutil.copy(dataset, memory.name, driver="VRT")
        return parse_xml(memory.read().decode("utf-8", "replace"))


def grid_of(dataset: DatasetReader) -> Grid:
    """Return where the pixels of an open raster lie.

    Raises
    ------
    RasterError
        If its geotransform gives them no place or size.
    """
    shown = "the virtual raster" if is_text(dataset.name) else dataset.name
    require_usable_transform(dataset.transform, dataset.shape, shown)
    epoch = _coordinate_epoch(dataset)
    return Grid(dataset.crs, dataset.transform, dataset.height, dataset.width, epoch)


def _coordinate_epoch(dataset: DatasetReader) -> float | None:
    """Return the year to which the coordinates of an open raster refer; rasterio does not give it."""
    try:
        srs = describe_as_virtual(dataset).find("SRS")
    except RasterioError:
        return None
    told = None if srs is None else srs.get("coordinateEpoch")
    return None if told is None else float(told)


def require_placed(dataset: DatasetReader, shown: str, purpose: str) -> None:
    """Raise `RasterError` unless a raster has a CRS and a grid in it.

    Parameters
    ----------
    dataset
        The open raster.
    shown
        What messages call it.
    purpose
        A sentence that gives the reason why a CRS is needed.

    Raises
    ------
    RasterError
        If it has neither, or is placed by control points.
    """
    refuse_control_points(dataset, shown)
    if dataset.crs is None:
        raise RasterError(
            f"'{shown}' has no coordinate reference system. {purpose}; "
            'assign its CRS in QGIS with "Assign projection" and save.'
        )


def refuse_control_points(dataset: DatasetReader, shown: str) -> None:
    """Raise `RasterError` if a raster is placed by control points or coefficients, and not by a grid.

    Ground control points and rational polynomial coefficients place a raster without giving its pixels a grid. A CRS
    that is assigned to such a raster would put it at the wrong place; warping makes a grid.
    """
    points, crs = dataset.gcps
    is_unplaced = dataset.crs is None or dataset.transform.is_identity
    if is_unplaced and points:
        name = "" if crs is None else f" in {crs_name(crs)}"
        raise RasterError(
            f"'{shown}' is placed by {len(points)} ground control points{name} and has no grid. Expected pixels on a "
            'grid of a coordinate reference system; warp it in QGIS with "Warp (reproject)", or with '
            "'gdalwarp -t_srs EPSG:CODE', and give the result. Assigning a CRS would not place it."
        )
    if is_unplaced and dataset.rpcs is not None:
        raise RasterError(
            f"'{shown}' is placed by rational polynomial coefficients (RPC) and has no grid. Expected pixels on a grid "
            "of a coordinate reference system; orthorectify it with 'gdalwarp -rpc -to RPC_DEM=DEM.tif -t_srs "
            "EPSG:CODE', and give the result. Assigning a CRS would not place it."
        )


@contextmanager
def reading(path: str, window: Window | None = None) -> Iterator[None]:
    """Convert GDAL's errors while a raster is read into one that names the place and what to do.

    Parameters
    ----------
    path
        The raster, for the message.
    window
        Where it is read, for the message.

    Raises
    ------
    InputFileError
        If what is read within fails.
    """
    try:
        yield
    except (RasterioError, OSError) as error:
        shown = "The virtual raster" if is_text(path) else f"'{path}'"
        advice = (
            "It is a virtual raster: check that the files that it names are there, are whole, and lead to no address."
            if names_sources(path)
            else "The file seems truncated or was changed while it was read; restore it and run again."
        )
        raise InputFileError(
            f"{shown} cannot be read{_place(window)} ({root_cause(error)}). {advice}"
        ) from error


def read_planes(
    dataset: DatasetReader,
    indices: Sequence[int],
    window: Window | None,
    shape: tuple[int, ...] | None = None,
) -> list[NDArray[Any]] | NDArray[Any]:
    """Read bands, each in its own data type.

    Parameters
    ----------
    dataset
        The open raster.
    indices
        Its bands, counted from 1.
    window
        What is read; None for all.
    shape
        Rows and columns to subsample it to.

    Returns
    -------
    list of numpy.ndarray or numpy.ndarray
        One array ``(row, col)`` for each band; one array of all where they have one data type.
    """
    groups: dict[str, list[int]] = {}
    for place, index in enumerate(indices):
        groups.setdefault(dataset.dtypes[index - 1], []).append(place)
    planes: list[NDArray[Any]] = [np.empty(0)] * len(indices)
    for places in groups.values():
        out_shape = None if shape is None else (len(places), *shape)
        wanted = [indices[place] for place in places]
        values: NDArray[Any] = dataset.read(wanted, window=window, out_shape=out_shape)
        if len(groups) == 1:
            return values
        for place, plane in zip(places, values, strict=True):
            planes[place] = plane
    return planes


def promote(planes: list[NDArray[Any]] | NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return bands that `read_planes` read in one array of a data type that holds them all."""
    if isinstance(planes, np.ndarray):
        return planes.astype(dtype, copy=False)
    stored = np.empty((len(planes), *planes[0].shape), dtype=dtype)
    for target, plane in zip(stored, planes, strict=True):
        target[...] = plane
    return stored


def _place(window: Window | None) -> str:
    if window is None:
        return ""
    (top, bottom), (left, right) = window.toranges()
    return f" at rows {top}-{bottom}, columns {left}-{right}"


def root_cause(error: BaseException) -> BaseException:
    """Return the first error of a chain: rasterio wraps it in errors like "see previous exception".

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
    """Return a text that changes when a raster's files change; None where a file is remote.

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
    """Return time, size and inode of a local file; None where it is remote, no file, or missing."""
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
    """Return the absolute path of a file whose relative one resembles a URL or a sub-dataset, such as ``GPKG:x.tif``."""
    if is_text(path):
        return path.strip()
    is_plain = not (_names_a_file(path) or path.startswith("/"))
    is_file = is_plain and os.path.exists(path)  # noqa: PTH110 - Path fails on long names
    return os.path.abspath(path) if is_file else path  # noqa: PTH100 - Path would drop './'


def _names_a_file(path: str) -> bool:
    return not (
        is_text(path) or path.startswith("/vsi") or "://" in path or ":" in path[2:]
    )  # a drive letter's colon is at 1
