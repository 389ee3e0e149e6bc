"""Validity: which pixels of a window hold an image, by GDAL's masks.

GDAL has a mask for every band. It is, in this order of precedence: a mask of the file (internal, in a ``.msk`` file, or
a mask band of a virtual raster), the pixels that differ from the declared nodata value, the alpha band, or nothing. The
mask is read from GDAL and not derived from the description of the file, because only GDAL compares nodata in the data
type of the band, 64-bit integers among them.

Two things are added to it. An alpha band counts also where GDAL leaves it out of its masks, and a nodata value that the
user declares counts besides those of the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geopointseg.raster.raster_access import HANDLES, describe_as_virtual

if TYPE_CHECKING:
    from geopointseg.raster.band import Band

Mask = Literal["", "nodata", "band", "dataset"]
"""Where GDAL's mask of a band comes from: nowhere (all pixels are valid), a nodata value, a mask of the band, or a mask or
alpha band that all bands share."""

Nodata = float | None
"""A nodata value; an exact ``int`` for 64-bit integers."""

_EXACT_IN_FLOAT = {"int64", "uint64"}


def masks_of(dataset: DatasetReader) -> list[Mask]:
    """Return where GDAL's mask of each band comes from."""
    return [_mask_of(flags) for flags in dataset.mask_flag_enums]


def _mask_of(flags: Sequence[MaskFlags]) -> Mask:
    if MaskFlags.all_valid in flags:
        return ""
    if MaskFlags.per_dataset in flags:
        return "dataset"
    return "nodata" if MaskFlags.nodata in flags else "band"


def alpha_of_gdal(dataset: DatasetReader) -> int:
    """Return the position of the alpha band that GDAL takes for the mask of all others, 0 where it takes none."""
    return dataset.count if MaskFlags.alpha in dataset.mask_flag_enums[0] else 0


def is_stored_mask(mask: Mask) -> bool:
    """Whether a mask is stored as pixels, so that a nodata value beside it counts besides."""
    return mask in ("band", "dataset")


def nodata_values(dataset: DatasetReader) -> tuple[Nodata, ...]:
    """Return the declared nodata value of each band; exact integers for bands of 64-bit integers.

    rasterio gives nodata values as 64-bit floats, which hold integers up to 2^53 only.
    """
    values: tuple[Nodata, ...] = dataset.nodatavals
    if not _EXACT_IN_FLOAT & set(dataset.dtypes):
        return values
    told = _exact_integers(dataset)
    pairs = zip(values, dataset.dtypes, told, strict=True)
    return tuple(exact if dtype in _EXACT_IN_FLOAT else value for value, dtype, exact in pairs)


def _exact_integers(dataset: DatasetReader) -> list[int | None]:
    """Return whole nodata values as GDAL writes them into the description of a virtual raster."""
    bands = describe_as_virtual(dataset).findall("VRTRasterBand")
    texts = [band.findtext("NoDataValue", "") for band in bands]
    return [int(text) if re.fullmatch(r"-?\d+", text) else None for text in texts]


def read_valid(
    dataset: DatasetReader,
    bands: Sequence[Band],
    stored: Sequence[NDArray[Any]],
    window: Window | None,
) -> NDArray[np.bool_]:
    """Return where all bands hold an image.

    Parameters
    ----------
    dataset
        The open raster.
    bands
        Bands of it, described.
    stored
        Their values, each ``(row, col)`` in the band's own data type, full size or subsampled to nearest pixels.
    window
        Where the values were read; None for the whole raster.

    Returns
    -------
    numpy.ndarray
        bool ``(row, col)``; NaN and infinities are not searched for.
    """
    shape = stored[0].shape
    valid = np.ones(shape, dtype=bool)
    shared = [band.index for band in bands if band.mask == "dataset"]
    masked = [*shared[:1], *(b.index for b in bands if b.mask in ("nodata", "band"))]
    if masked:
        told = _mask_source(dataset)
        read = told.read_masks if told is dataset else told.read
        for index in masked:
            valid &= read(index, window=window, out_shape=shape) > 0
    for alpha in sorted({band.alpha for band in bands if band.alpha}):
        valid &= dataset.read(alpha, window=window, out_shape=shape) > 0
    for band, values in zip(bands, stored, strict=True):
        if band.nodata is not None and band.mask != "nodata":
            valid &= differs_from_nodata(values, band.nodata)
    return valid


def _mask_source(dataset: DatasetReader) -> DatasetReader:
    """Return what GDAL's masks are read from: the raster, or a virtual raster whose bands are the masks.

    rasterio warns at every reading of a mask where a nodata value takes precedence over an alpha band. Here both
    count, so the warning would mislead.
    """
    is_rgba = dataset.count == 4 and dataset.colorinterp[3] == ColorInterp.alpha
    if not is_rgba or not any(MaskFlags.nodata in flags for flags in dataset.mask_flag_enums):
        return dataset
    root = ET.Element("VRTDataset", rasterXSize=str(dataset.width), rasterYSize=str(dataset.height))
    ET.SubElement(root, "GeoTransform").text = "0, 1, 0, 0, 0, -1"  # else rasterio misses one
    for index in dataset.indexes:
        band = ET.SubElement(root, "VRTRasterBand", dataType="Byte", band=str(index))
        source = ET.SubElement(band, "SimpleSource")
        ET.SubElement(source, "SourceFilename", relativeToVRT="0", shared="0").text = dataset.name
        ET.SubElement(source, "SourceBand").text = f"mask,{index}"
    return HANDLES.get(ET.tostring(root, encoding="unicode"))


def differs_from_nodata(stored: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    """Return where stored values differ from a nodata value, compared in their data type.

    A nodata value that the data type cannot hold never occurs.

    Examples
    --------
    >>> differs_from_nodata(np.array([2**63 - 1, 2**63 - 2]), 2**63 - 1)
    array([False,  True])
    >>> differs_from_nodata(np.array([0, 241], dtype=np.uint8), -15)
    array([ True,  True])
    """
    if stored.dtype.kind == "f":
        return _float_differs(stored, float(nodata))
    info = np.iinfo(stored.dtype)
    if not (info.min <= nodata <= info.max) or nodata != int(nodata):
        return np.ones(stored.shape, dtype=bool)
    return np.asarray(stored != stored.dtype.type(int(nodata)))


def _float_differs(stored: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    if np.isnan(nodata):
        return ~np.isnan(stored)
    with np.errstate(over="ignore"):
        value = stored.dtype.type(nodata)
    if np.isinf(value) and not np.isinf(nodata):  # a float64 limit declared for float32 data
        limit = np.copysign(np.finfo(stored.dtype).max, nodata)
        return np.asarray((stored != value) & (stored != limit))
    return np.asarray(stored != value)
