"""Scenes of which the values are arrays in NumPy or Zarr files, read window by window without loading the array.

The path of such a scene is a virtual raster of the same bands, so everything that needs a GDAL dataset has one. Windows
are read from the array itself: its dimensions are adjacent on disk, and GDAL would read each window once per band.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.errors import InputFileError, MissingDependencyError, RasterError
from geopointseg.raster.grid import Grid
from geopointseg.raster.raster_access import reading
from geopointseg.raster.scene import Scene
from geopointseg.raster.validity import differs_from_nodata
from geopointseg.raster.virtual_raster import gdal_type, new_dataset

_HELD_OPEN = 32


@dataclass(frozen=True)
class StoredArray:
    """An array on disk: one value for each pixel, or a vector.

    Parameters
    ----------
    path
        A ``.npy`` file, or an array in a Zarr store.
    dimension_axis
        Axis of the dimensions of the vectors: 0 or 2; None for one value a pixel.
    """

    path: str
    dimension_axis: int | None = 2

    def open(self) -> Any:
        """Return the array, with its values on disk; indexing reads them.

        Raises
        ------
        InputFileError
            If it cannot be read.
        MissingDependencyError
            If it is a Zarr array and zarr is not installed.
        """
        return _open(self.path, _stamp(self.path))

    @property
    def dimensions(self) -> int:
        """Number of values of a pixel."""
        axis = self.dimension_axis
        return 1 if axis is None else int(self.open().shape[axis])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        shape = list(self.open().shape)
        if self.dimension_axis is not None:
            del shape[self.dimension_axis]
        return int(shape[0]), int(shape[1])

    @property
    def dtype(self) -> str:
        """Data type of the values.

        Raises
        ------
        RasterError
            If they are no real numbers.
        """
        found = np.dtype(self.open().dtype)
        if found.kind not in "iuf":
            raise RasterError(
                f"'{self.path}' holds values of the type {found.name}. Expected integers or floating-point numbers; download it "
                "again."
            )
        return str(found.newbyteorder("="))

    def read(self, window: Window) -> NDArray[Any]:
        """Return the values of a window, ``(dimension, row, col)``; a view where possible."""
        rows, cols = window.toslices()
        array = self.open()
        if self.dimension_axis is None:
            return np.asarray(array[rows, cols])[None]
        if self.dimension_axis == 0:
            return np.asarray(array[:, rows, cols])
        return np.asarray(array[rows, cols]).transpose(2, 0, 1)

    def add_bands(self, root: ET.Element) -> None:
        """Append a band for each dimension to a virtual raster.

        A band of a Zarr array has no source, because GDAL does not read its dimensions as bands.
        """
        array = self.open()
        for dimension in range(self.dimensions):
            number = len(root.findall("VRTRasterBand")) + 1
            band = ET.SubElement(
                root, "VRTRasterBand", dataType=gdal_type(self.dtype), band=str(number)
            )
            if isinstance(array, np.memmap):
                _add_raw_source(band, array, self.path, self.dimension_axis, dimension)


def _add_raw_source(
    band: ET.Element, array: np.memmap[Any, Any], path: str, axis: int | None, dimension: int
) -> None:
    band.set("subClass", "VRTRawRasterBand")
    strides = list(array.strides)
    start = 0 if axis is None else strides.pop(axis) * dimension
    told = {
        "ImageOffset": array.offset + start,
        "PixelOffset": strides[1],
        "LineOffset": strides[0],
        "ByteOrder": "MSB" if array.dtype.byteorder == ">" else "LSB",
    }
    ET.SubElement(band, "SourceFilename", relativetoVRT="0").text = str(Path(path).resolve())
    for name, value in told.items():
        ET.SubElement(band, name).text = str(value)


def _stamp(path: str) -> tuple[int, int]:
    try:
        found = Path(path).stat()
    except OSError as error:
        raise InputFileError(f"The array '{path}' does not exist. Check the path.") from error
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=_HELD_OPEN)
def _open(path: str, stamp: tuple[int, int]) -> Any:
    del stamp
    if not path.endswith(".npy"):
        return _open_zarr(path)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (
        Exception
    ) as error:  # the header is a Python literal, on which its parser fails in many ways
        raise InputFileError(
            f"'{path}' cannot be read as a NumPy array ({error}). Expected a whole .npy file of numbers; download it again."
        ) from error
    return array


def _open_zarr(path: str) -> Any:
    try:
        import zarr
    except ImportError as error:
        raise MissingDependencyError(
            f"'{path}' is a Zarr array, and the package 'zarr' is not installed. Install it with: pip install zarr"
        ) from error
    try:
        return zarr.open(path, mode="r")
    except Exception as error:
        raise InputFileError(
            f"'{path}' cannot be read as a Zarr array ({error}). Expected a whole store; download it "
            "again."
        ) from error


def virtual_raster_of(arrays: tuple[StoredArray, ...], grid: Grid) -> str:
    """Return the XML text of a virtual raster with the dimensions of arrays as bands."""
    root = new_dataset(grid)
    for array in arrays:
        array.add_bands(root)
    return ET.tostring(root, encoding="unicode")


@dataclass(frozen=True, kw_only=True)
class ArrayScene(Scene):
    """A scene that is read from arrays; `ArrayScene.of` makes one.

    Parameters
    ----------
    arrays
        The arrays; their dimensions are the bands of the virtual raster, in this order.
    """

    arrays: tuple[StoredArray, ...] = field()

    @classmethod
    def of(
        cls, arrays: tuple[StoredArray, ...], grid: Grid, *, label: str, date: str = ""
    ) -> ArrayScene:
        """Return a scene of arrays on one grid.

        Parameters
        ----------
        arrays
            Arrays with the rows and columns of the grid.
        grid
            Where their pixels lie.
        label, date
            What messages call the scene, and when it was taken.

        Returns
        -------
        ArrayScene
            With bands without names.
        """
        described = Scene.open(
            virtual_raster_of(arrays, grid), label=label, date=date, expand=False
        )
        return cls(**vars(described) | {"arrays": arrays})

    def fingerprint(self) -> str | None:
        """Return a text that changes when the arrays or the bands change."""
        return repr((super().fingerprint(), [_stamp(array.path) for array in self.arrays]))

    def read_stored(
        self, window: Window, shape: tuple[int, ...] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read stored values of a window; see `Scene.read_stored`."""
        bands = self.source_bands
        if shape is None:
            shape = int(window.height), int(window.width)
        stored = np.empty((len(bands), *shape), dtype=self.dtype)
        places = self.stored_positions
        first = 1
        with reading(self.name, window):
            for array in self.arrays:
                count = array.dimensions
                wanted = [k for k in range(count) if first + k in places]
                if wanted:
                    planes = _subsampled(array.read(window), shape)
                    targets = [places[first + k] for k in wanted]
                    _copy_planes(planes, wanted, stored, targets)
                first += count
        valid = np.ones(shape, dtype=bool)
        for band in bands:
            if band.nodata is not None:
                valid &= differs_from_nodata(stored[places[band.index]], band.nodata)
        return stored, valid


def _copy_planes(
    planes: NDArray[Any], wanted: list[int], stored: NDArray[Any], targets: list[int]
) -> None:
    """Copy dimensions into planes, some rows at a time, so that interleaved values are read from the cache."""
    if targets == list(range(targets[0], targets[0] + len(targets))):
        block = stored[targets[0] : targets[0] + len(targets)]
        chosen = planes if len(wanted) == len(planes) else planes[wanted]
        for top in range(0, block.shape[1], _ROWS):
            block[:, top : top + _ROWS] = chosen[:, top : top + _ROWS]
        return
    for dimension, target in zip(wanted, targets, strict=True):
        stored[target] = planes[dimension]


_ROWS = 4


def _subsampled(planes: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the nearest pixels of planes for another number of rows and columns."""
    if planes.shape[1:] == shape:
        return planes
    rows, cols = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(shape, planes.shape[1:], strict=True)
    )
    return planes[:, rows][:, :, cols]
