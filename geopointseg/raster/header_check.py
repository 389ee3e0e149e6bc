"""Headers of rasters that cannot be true: more pixels than the file can hold, or pixels without size or place.

A header is checked before anything is allocated or computed by it.
"""

from __future__ import annotations

import math
import os

import numpy as np
from affine import Affine
from rasterio.enums import MaskFlags
from rasterio.io import DatasetReader

from geopointseg.errors import InputFileError, RasterError

LARGEST_RATIO = 2**16
"""Largest number of bytes of pixels per byte of the files. A block of 512 x 512 pixels of 16 bits that is not stored takes 8
bytes of a TIFF, a ratio of 2^16; the best compression of equal values has a lower one."""
UNCHECKED_BYTES = 2**28
"""Rasters of fewer bytes of pixels are not checked: blank ones compress to any size."""
MOST_BANDS = 2**14
_FARTHEST = 1e12
_SMALLEST_STEP = 1e-13


def require_plausible_size(dataset: DatasetReader, shown: str) -> None:
    """Raise an error if the header of a raster states more bands or pixels than its files can hold.

    Parameters
    ----------
    dataset
        The raster, which is open; of a virtual raster the files are all those that it names.
    shown
        What messages call it.

    Raises
    ------
    RasterError
        If there are more than `MOST_BANDS` bands.
    InputFileError
        If the pixels, or those of one block, take more than `LARGEST_RATIO` times the bytes of the files.
    """
    if dataset.count > MOST_BANDS:
        raise RasterError(
            f"'{shown}' has {dataset.count:,} bands. Expected at most {MOST_BANDS:,}; the header may be damaged. Check the file."
        )
    item_bytes = max((np.dtype(_numpy_type(t)).itemsize for t in set(dataset.dtypes)), default=1)
    block = math.prod(max(dataset.block_shapes, key=math.prod, default=(1, 1)))
    claimed = item_bytes * max(dataset.height * dataset.width * dataset.count, block)
    if claimed <= UNCHECKED_BYTES:
        return
    names = dataset.files
    if not names or not all(os.path.exists(name) for name in names):  # noqa: PTH110 - remote ones
        return
    stored = sum(os.path.getsize(name) for name in names)  # noqa: PTH202 - as above
    if claimed > stored * LARGEST_RATIO:
        raise InputFileError(
            f"The header of '{shown}' states {dataset.height:,} rows x {dataset.width:,} columns and {dataset.count} "
            f"band{'s' * (dataset.count > 1)}, which is {claimed / 1e9:,.1f} GB of pixels, and its files have {stored:,} bytes. "
            "Expected a file that holds its pixels; it may be damaged or incomplete. Get it again, or create it again."
        )


def require_mask_beside(dataset: DatasetReader, path: str) -> None:
    """Raise `InputFileError` if GDAL ignores the mask beside a raster because it is damaged; its gaps would be image."""
    mask = f"{path}.msk"
    if os.path.isfile(mask) and MaskFlags.per_dataset not in dataset.mask_flag_enums[0]:  # noqa: PTH113 - long names
        raise InputFileError(
            f"The mask '{mask}' of a raster cannot be read. Expected a whole one, which tells where there is an image; create "
            "it again, or move it to another folder to use the raster without it."
        )


def _numpy_type(name: str) -> str:
    return "complex64" if name.startswith("complex_int") else name


def require_usable_transform(transform: Affine, shape: tuple[int, int], shown: str) -> None:
    """Raise `RasterError` unless the geotransform of a raster gives each pixel a place and a size.

    Parameters
    ----------
    transform
        Maps ``(col, row)`` to ``(x, y)``.
    shape
        Rows and columns.
    shown
        What messages call the raster.
    """
    corners = [transform @ (col, row) for col in (0, shape[1]) for row in (0, shape[0])]
    farthest = max(abs(value) for corner in corners for value in corner)
    sides = math.hypot(transform.a, transform.d), math.hypot(transform.b, transform.e)
    if not all(map(math.isfinite, transform[:6])) or not farthest < _FARTHEST:
        wrong = "places it beyond all maps"
    elif min(sides) <= max(_SMALLEST_STEP * farthest, 0):
        wrong = "gives its pixels no size"
    elif abs(transform.determinant) <= 1e-9 * math.prod(sides):
        wrong = "puts its rows along its columns"
    else:
        return
    numbers = ", ".join(f"{value:g}" for value in transform.to_gdal())
    raise RasterError(
        f"The geotransform of '{shown}', {numbers}, {wrong}. Expected pixels of finite size at finite coordinates; correct "
        "it with 'gdal_edit.py -a_ullr LEFT TOP RIGHT BOTTOM', or georeference the raster again in QGIS."
    )
