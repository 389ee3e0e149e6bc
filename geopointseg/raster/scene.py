"""Scenes: imagery on one grid, read window by window.

A `Scene` describes a raster and holds no open file, so it is cheap to copy, to pickle and to send to worker
processes and threads. Files are opened where they are read, one handle a thread, and at most a few dozen at a
time (`HandlePool`).

*Nodata* (no image here) is decided per pixel and means: any band has its declared nodata value, a NaN, or is
masked by the file's mask or alpha band.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geopointseg.errors import InputFileError, RasterError
from geopointseg.raster.grid import Grid, clip_window

ScenePath = str | os.PathLike[str]


@dataclass(frozen=True)
class Band:
    """One band of a scene.

    Parameters
    ----------
    index
        Position in the file, from 1, as GDAL counts.
    name
        Description from the file, lower case; empty where it has none.
    nodata
        Declared nodata value, or None.
    scale, offset
        Physical value = stored value * scale + offset.
    masked
        Whether the file carries a mask or alpha band for this band.
    """

    index: int
    name: str = ""
    nodata: float | None = None
    scale: float = 1.0
    offset: float = 0.0
    masked: bool = False


@dataclass(frozen=True)
class Chip:
    """Pixels read from one window.

    Parameters
    ----------
    image
        float32 ``(band, row, col)``; zero where nodata.
    valid
        bool ``(row, col)``; False where nodata or beyond the scene's border.
    undeclared_nan
        How many pixels were NaN without the file declaring NaN as nodata.
    """

    image: NDArray[np.float32]
    valid: NDArray[np.bool_]
    undeclared_nan: int = 0


@dataclass(frozen=True)
class Scene:
    """A raster with its grid and bands, described but not held open.

    Use `Scene.open` to make one.

    Parameters
    ----------
    path
        Anything that GDAL opens: GeoTIFF, COG, VRT, JP2, ``/vsi...`` ...
    grid
        Where its pixels lie.
    bands
        The bands that are read, in reading order; alpha bands are not among them.
    dtype
        Data type on disk.
    block_shape
        Rows and columns of the file's blocks.
    """

    path: str
    grid: Grid
    bands: tuple[Band, ...]
    dtype: str
    block_shape: tuple[int, int]

    @classmethod
    def open(cls, path: ScenePath, bands: Sequence[int] | None = None) -> Scene:
        """Describe a raster file.

        Parameters
        ----------
        path
            The file.
        bands
            Which bands to read, counted from 1; all but alpha by default.

        Raises
        ------
        InputFileError
            If the file is missing or GDAL cannot read it.
        RasterError
            If it has no CRS or no bands, or a band that was asked for does not exist.
        """
        path = os.fspath(path)
        with open_dataset(path) as dataset:
            _require_georeference(dataset, path)
            described = _describe_bands(dataset)
            if bands is not None:
                described = _select_bands(described, bands, path)
            grid = Grid(dataset.crs, dataset.transform, dataset.height, dataset.width)
            return cls(path, grid, described, dataset.dtypes[0], tuple(dataset.block_shapes[0]))

    @property
    def name(self) -> str:
        """File name without folder, for messages."""
        return Path(self.path).name

    @property
    def band_names(self) -> list[str]:
        """Names of the bands; ``band_1`` ... where the file gives none."""
        return [band.name or f"band_{band.index}" for band in self.bands]

    def select_bands(self, indices: Sequence[int]) -> Scene:
        """Return the same scene with other bands, counted from 1 in the file."""
        with open_dataset(self.path) as dataset:
            return replace(self, bands=_select_bands(_describe_bands(dataset), indices, self.path))

    def read(self, window: Window | None = None) -> Chip:
        """Read a window, which may reach beyond the border of the scene.

        Parameters
        ----------
        window
            Pixel window with whole offsets and lengths; the whole scene by default.

        Returns
        -------
        Chip
            Image and validity of the window's full size; what lies beyond the border is invalid.

        Raises
        ------
        InputFileError
            If the file cannot be read there (truncated, removed ...).
        RasterError
            If it holds infinities.
        """
        window = self.grid.window if window is None else window
        inside = clip_window(window, self.grid.shape)
        shape = int(window.height), int(window.width)
        image = np.zeros((len(self.bands), *shape), dtype=np.float32)
        valid = np.zeros(shape, dtype=bool)
        if inside.width == 0 or inside.height == 0:
            return Chip(image, valid)
        rows = slice(
            inside.row_off - window.row_off, inside.row_off - window.row_off + inside.height
        )
        cols = slice(
            inside.col_off - window.col_off, inside.col_off - window.col_off + inside.width
        )
        values, mask = self._read_inside(inside)
        nan = np.isnan(values).any(axis=0)
        undeclared = int((nan & mask).sum())
        mask &= ~nan
        if np.isinf(values).any():
            self._refuse_infinity(values, inside)
        self._to_physical(values)
        values[:, ~mask] = 0.0
        image[:, rows, cols] = values
        valid[rows, cols] = mask
        return Chip(image, valid, undeclared)

    def _read_inside(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        indexes = [band.index for band in self.bands]
        try:
            dataset = HANDLES.get(self.path)
            stored = dataset.read(indexes, window=window)
            valid = np.ones(stored.shape[1:], dtype=bool)
            for band, values in zip(self.bands, stored, strict=True):
                if band.nodata is not None and not np.isnan(band.nodata):
                    valid &= values != band.nodata
            masked = [band.index for band in self.bands if band.masked]
            if masked:
                valid &= (dataset.read_masks(masked, window=window) > 0).all(axis=0)
        except (RasterioError, OSError) as error:
            raise InputFileError(
                f"'{self.path}' cannot be read at rows {window.row_off}-{window.row_off + window.height}, "
                f"columns {window.col_off}-{window.col_off + window.width} ({error}). "
                "The file seems truncated or was changed while it was read; restore it and run again."
            ) from error
        if np.issubdtype(stored.dtype, np.complexfloating):
            raise RasterError(
                f"'{self.path}' holds complex numbers ({stored.dtype}). Expected real values; "
                "convert it to amplitude first."
            )
        if any(band.nodata is not None and np.isnan(band.nodata) for band in self.bands):
            valid &= ~np.isnan(stored).any(axis=0)
        with np.errstate(over="ignore"):
            return stored.astype(np.float32), valid

    def _to_physical(self, values: NDArray[np.float32]) -> None:
        for plane, band in zip(values, self.bands, strict=True):
            if band.scale != 1.0 or band.offset != 0.0:
                plane *= band.scale
                plane += band.offset

    def _refuse_infinity(self, values: NDArray[np.float32], window: Window) -> None:
        band, row, col = (int(v[0]) for v in np.nonzero(np.isinf(values)))
        raise RasterError(
            f"'{self.path}' holds an infinite value (band {self.bands[band].index}, row "
            f"{window.row_off + row}, column {window.col_off + col}). Expected finite numbers or nodata; "
            "replace infinities with the nodata value, for example with the QGIS raster calculator."
        )


class HandlePool:
    """Open datasets, one a thread and file, the least recently used closed first.

    GDAL datasets must not be shared between threads, nor survive a fork. The pool keys them by process and
    thread and keeps at most ``capacity`` of them a thread.

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
        dataset = pool.pop(path, None)
        if dataset is None:
            dataset = open_dataset(path)
        pool[path] = dataset
        while len(pool) > self._capacity:
            pool.popitem(last=False)[1].close()
        return dataset

    def close(self) -> None:
        """Close this thread's files."""
        pool = self._pool()
        while pool:
            pool.popitem()[1].close()

    def _pool(self) -> OrderedDict[str, DatasetReader]:
        if getattr(self._local, "process", None) != os.getpid():
            self._local.process = os.getpid()
            self._local.pool = OrderedDict()
        pool: OrderedDict[str, DatasetReader] = self._local.pool
        return pool


HANDLES = HandlePool()
"""The pool that all scenes of a process read through."""


def open_dataset(path: str, **options: Any) -> DatasetReader:
    """Open a raster for reading, with an error that says what is wrong with it."""
    if (
        "://" not in path
        and not path.startswith("/vsi")
        and ":" not in path[2:]
        and not Path(path).exists()
    ):
        raise InputFileError(f"The raster '{path}' does not exist. Check the path.")
    try:
        return rasterio.open(path, sharing=False, **options)
    except RasterioError as error:
        raise InputFileError(
            f"'{path}' cannot be opened as a raster ({error}). Expected a GeoTIFF or another format that "
            "GDAL reads; check that the file is whole by opening it in QGIS."
        ) from error


def _require_georeference(dataset: DatasetReader, path: str) -> None:
    if dataset.count == 0:
        raise RasterError(
            f"'{path}' has no bands of its own ({len(dataset.subdatasets)} sub-datasets). "
            "Name one of its sub-datasets instead; gdalinfo lists them."
        )
    if dataset.crs is None:
        raise RasterError(
            f"'{path}' has no coordinate reference system. Points can only be placed on a georeferenced raster; "
            'assign its CRS in QGIS with "Assign projection" and save.'
        )


def _describe_bands(dataset: DatasetReader) -> tuple[Band, ...]:
    bands = []
    for index in dataset.indexes:
        if dataset.colorinterp[index - 1] == ColorInterp.alpha and dataset.count > 1:
            continue
        flags = dataset.mask_flag_enums[index - 1]
        bands.append(
            Band(
                index=index,
                name=(dataset.descriptions[index - 1] or "").strip().lower(),
                nodata=dataset.nodatavals[index - 1],
                scale=dataset.scales[index - 1],
                offset=dataset.offsets[index - 1],
                masked=MaskFlags.per_dataset in flags or MaskFlags.alpha in flags,
            )
        )
    return tuple(bands)


def _select_bands(bands: tuple[Band, ...], indices: Sequence[int], path: str) -> tuple[Band, ...]:
    known = {band.index: band for band in bands}
    missing = [index for index in indices if index not in known]
    if missing:
        raise RasterError(
            f"'{path}' has no band {missing[0]}. It has the bands {', '.join(map(str, known))}; "
            "choose among these."
        )
    return tuple(known[index] for index in indices)
