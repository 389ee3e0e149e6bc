"""Bands: the description of each band of a file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geopointseg.errors import RasterError
from geopointseg.raster.curve import Curve, has_table, look_up
from geopointseg.raster.decoding import Decoding
from geopointseg.raster.expression import Expression
from geopointseg.raster.raster_access import reading
from geopointseg.raster.validity import (
    Mask,
    Nodata,
    alpha_of_gdal,
    is_stored_mask,
    masks_of,
    nodata_values,
)
from geopointseg.summary import described

_WAVELENGTH = re.compile(
    r"(\d+(?:\.\d+)?)\s*(nm|nanomet\w*|[uµμ]m|micromet\w*|microns?)\b", re.IGNORECASE
)
_NO_COLORS = {"", "gray", "grey", "undefined", "palette", "alpha"}
LARGEST = float(np.finfo(np.float32).max)
"""Largest number that is read."""

_ALPHA_SAMPLE_PX = 256
_ALPHA_IN_BETWEEN = 0.1


@described
@dataclass(frozen=True)
class Band:
    """One band of a scene: of the file, or computed from bands of the file.

    Parameters
    ----------
    index
        Position in the file, from 1, as GDAL counts; 0 for a computed band.
    name
        Description from the file, lower case; empty where it has none.
    nodata
        Declared nodata value, or None; an exact integer for 64-bit integers.
    scale, offset
        Physical value = stored value * scale + offset.
    mask
        Where GDAL's mask of the band comes from. With ``nodata``, the nodata value is declared by the file; with
        another mask it is declared by the user, and applies in addition.
    wavelength_um
        Centre wavelength in micrometres, where the file has it.
    color
        The file's colour interpretation (``red``, ``nir`` ...), empty where it has none.
    alpha
        Position of an alpha band that GDAL's own masks leave out, 0 where there is none.
    curve
        Transforms the physical value to match a reference; None leaves it unchanged.
    expression, inputs
        For a computed band: the formula, and the bands that it names, in the order of its names. For a band that is
        decoded with a scale for each pixel: the band of the scales.
    dtype
        Data type on disk; empty where it is not known.
    is_palette
        Whether its values are indices into a colour table.
    decoding
        How stored values become the numbers of an embedding; None for other bands.
    """

    index: int
    name: str = ""
    nodata: Nodata = None
    scale: float = 1.0
    offset: float = 0.0
    mask: Mask = ""
    wavelength_um: float | None = None
    color: str = ""
    alpha: int = 0
    curve: Curve | None = None
    expression: Expression | None = None
    inputs: tuple[Band, ...] = ()
    dtype: str = ""
    is_palette: bool = False
    decoding: Decoding | None = None

    @property
    def label(self) -> str:
        """The name, or ``band_3`` where the file gives none."""
        return self.name or f"band_{self.index}"

    @property
    def sources(self) -> tuple[Band, ...]:
        """The bands of the file that must be read for this one."""
        if self.expression is None:
            return (self, *self.inputs)
        return tuple(source for band in self.inputs for source in band.sources)

    @property
    def is_stored_plainly(self) -> bool:
        """Whether its values are those on disk, but for scale and offset: not computed, decoded or matched."""
        is_coded = self.decoding is not None and self.decoding.changes_values
        return self.curve is None and self.expression is None and not is_coded

    @property
    def may_lack_pixels(self) -> bool:
        """Whether a mask, an alpha band or a nodata value can hide pixels; NaN may hide more."""
        return bool(self.mask or self.alpha) or self.nodata is not None

    def with_nodata(self, nodata: Nodata) -> Band:
        """Return the band with another nodata value than that of its file; masks of the file stay."""
        inputs = tuple(band.with_nodata(nodata) for band in self.inputs)
        mask: Mask = self.mask if is_stored_mask(self.mask) else ""
        return replace(self, nodata=nodata, mask=mask, inputs=inputs)

    def to_physical(
        self, stored: NDArray[Any], scale_of_pixel: NDArray[Any] | None = None
    ) -> NDArray[np.float32]:
        """Return stored values decoded, or scaled and offset, before any curve; always a new array.

        Parameters
        ----------
        stored
            Stored values of the band.
        scale_of_pixel
            Stored values of the band of scales, where the band is decoded with one.

        Returns
        -------
        numpy.ndarray
            float32 of the same shape.
        """
        if self.decoding is not None and self.decoding.changes_values:
            return self.decoding.apply(stored, scale_of_pixel)
        with np.errstate(over="ignore", invalid="ignore"):
            if stored.dtype.itemsize > 2 and self.offset != 0.0:
                # large numbers with a large offset: their small difference would be lost in 32 bits
                exact = stored.astype(np.float64)
                exact *= self.scale
                exact += self.offset
                return exact.astype(np.float32)
            values = stored.astype(np.float32)
            if self.scale != 1.0:
                values *= np.float32(self.scale)
            if self.offset != 0.0:
                values += np.float32(self.offset)
        return values

    def decode(
        self, stored: NDArray[Any], positions: Mapping[int, int], out: NDArray[np.float32]
    ) -> None:
        """Write the band's values into an array: scaled and offset, or computed, and moved by its curve.

        Parameters
        ----------
        stored
            Values of bands of the file ``(source_band, row, col)``.
        positions
            Position in ``stored`` of each band of the file, by its number.
        out
            float32 ``(row, col)``.
        """
        if self.expression is not None:
            named = zip(self.expression.names, self.inputs, strict=True)
            inputs = {name: b.physical_of(stored, positions) for name, b in named}
            computed = self.expression.evaluate(inputs)
            out[...] = computed if self.curve is None else self.curve.apply(computed)
            return
        values = stored[positions[self.index]]
        if self.decoding is not None and self.decoding.changes_values:
            scale = stored[positions[self.inputs[0].index]] if self.inputs else None
            decoded = self.decoding.apply(values, scale, out if self.curve is None else None)
            if self.curve is not None:
                out[...] = self.curve.apply(np.nan_to_num(decoded))
        elif self.curve is not None and has_table(values.dtype.name):
            look_up(self.curve.table(values.dtype.name, self.scale, self.offset), values, out=out)
        elif self.curve is not None:
            out[...] = self.curve.apply(np.nan_to_num(self.to_physical(values)))
        elif self.scale == 1.0 and self.offset == 0.0:
            with np.errstate(over="ignore"):
                out[...] = values
        else:
            out[...] = self.to_physical(values)

    def physical_of(
        self, stored: NDArray[Any], positions: Mapping[int, int]
    ) -> NDArray[np.float32]:
        """Return the band's values, before any curve, from stored values of the bands of its file; see `decode`."""
        scale = stored[positions[self.inputs[0].index]] if self.inputs else None
        return self.to_physical(stored[positions[self.index]], scale)


def common_dtype(bands: Sequence[Band]) -> str:
    """Return the data type that all bands are converted to; empty where theirs are not known."""
    names = {source.dtype for band in bands for source in band.sources}
    return str(np.result_type(*names)) if names and "" not in names else ""


def select_bands(bands: Sequence[Band], indices: Sequence[int], shown: str) -> tuple[Band, ...]:
    """Return bands of a file by their numbers.

    Parameters
    ----------
    bands
        The bands of the file but alpha.
    indices
        The numbers of the bands that are wanted, from 1.
    shown
        What messages call the file.

    Returns
    -------
    tuple of Band
        In the wanted order.

    Raises
    ------
    RasterError
        If the file lacks one of them, or one is refused by `require_real_numbers`.
    """
    known = {band.index: band for band in bands}
    missing = [index for index in indices if index not in known]
    if missing:
        raise RasterError(
            f"'{shown}' has no band {missing[0]}. It has the bands {', '.join(map(str, known))}; choose among these."
        )
    chosen = tuple(known[index] for index in indices)
    require_real_numbers(chosen, shown)
    return chosen


def require_real_numbers(bands: Sequence[Band], shown: str) -> None:
    """Raise `RasterError` if a band of a file, which messages call ``shown``, holds complex numbers or has no usable scale."""
    found = next((band.dtype for band in bands if band.dtype.startswith("complex")), None)
    if found is not None:
        raise RasterError(
            f"'{shown}' holds complex numbers ({found}). Expected real values; convert it to amplitude first."
        )
    for band in bands:
        if not _is_scale_usable(band):
            raise RasterError(
                f"Band {band.index} of '{shown}' has the scale {band.scale:g} and the offset {band.offset:g}, which turn its stored "
                f"values ({band.dtype}) into equal or infinite ones. Expected finite numbers that keep them apart, and a scale "
                "other than 0; correct both, for example with gdal_edit -scale 1 -offset 0."
            )


def _is_scale_usable(band: Band) -> bool:
    """Whether the smallest and largest stored value of a band stay finite and different; of floats, -65535 and 65535."""
    if (band.scale == 1.0 and band.offset == 0.0) or not band.dtype:
        return True
    is_integer = np.dtype(band.dtype).kind in "iu"
    limits = np.iinfo(band.dtype) if is_integer else np.iinfo(np.uint16)
    lowest = limits.min if is_integer else -limits.max
    with np.errstate(all="ignore"):
        ends = np.array([lowest, limits.max], np.float32) * np.float32(band.scale)
        ends += np.float32(band.offset)
    return bool(np.isfinite(ends).all() and ends[0] != ends[1])


def exceed_floats(stored: NDArray[Any], bands: Sequence[Band]) -> NDArray[np.bool_]:
    """Return which values are infinite, or too large for 32-bit floats as they are stored or after scale and offset.

    Parameters
    ----------
    stored
        Floats, ``(source_band, row, col)``.
    bands
        Those of the file, in the same order.

    Returns
    -------
    numpy.ndarray
        bool of the same shape; False where NaN.
    """
    found = (
        np.isinf(stored) | (np.abs(stored.astype(np.float32)) > LARGEST)
        if stored.dtype == np.float16
        else np.abs(stored) > LARGEST
    )
    for plane, values, band in zip(found, stored, bands, strict=True):
        if abs(band.scale) > 1.0 or band.offset != 0.0:
            plane |= np.abs(values.astype(np.float64) * band.scale + band.offset) > LARGEST
    return found


def describe_bands(dataset: DatasetReader) -> tuple[Band, ...]:
    """Return the bands of an open file, without its alpha band.

    GDAL writes the fourth band of 8-bit files as alpha by default, so near infrared is often declared as alpha. An
    alpha band is taken as imagery where its name is not that of a mask, or where many of its values in the middle of
    the file lie between transparent and opaque.

    Raises
    ------
    InputFileError
        If the middle of the file cannot be read.
    """
    colors = [ColorInterp(color).name.lower() for color in dataset.colorinterp]
    alphas = [i for i, color in zip(dataset.indexes, colors, strict=True) if color == "alpha"]
    alpha = next((i for i in reversed(alphas) if dataset.count > 1 and _is_alpha(dataset, i)), 0)
    by_gdal = alpha_of_gdal(dataset)
    facts = zip(
        dataset.indexes, dataset.descriptions, dataset.dtypes, nodata_values(dataset), dataset.scales,
        dataset.offsets, masks_of(dataset), colors, strict=True,
    )  # fmt: skip
    bands = []
    for index, description, dtype, nodata, scale, offset, mask, color in facts:
        name = (description or "").strip().lower()
        by_alpha = bool(by_gdal) and mask == "dataset"
        band = Band(
            index, name, nodata if mask == "nodata" else None, scale, offset,
            mask="" if by_alpha and by_gdal != alpha else mask,  # what GDAL takes for alpha may be imagery
            wavelength_um=_wavelength_um(dataset, index, name),
            color="" if color in _NO_COLORS or (alphas and not alpha) else color,
            alpha=0 if by_alpha and by_gdal == alpha else alpha,
            dtype=dtype, is_palette=color == "palette",
        )  # fmt: skip
        bands.append(band)
    return tuple(band for band in bands if band.index != alpha)


def _is_alpha(dataset: DatasetReader, index: int) -> bool:
    description = (dataset.descriptions[index - 1] or "").strip().lower()
    if description:
        return "alpha" in description or "mask" in description
    height, width = (min(side, _ALPHA_SAMPLE_PX) for side in dataset.shape)
    window = Window((dataset.width - width) // 2, (dataset.height - height) // 2, width, height)
    with reading(dataset.name, window):
        values = dataset.read(index, window=window)
    between = (values > 0) & (values < values.max())
    return bool(between.mean() < _ALPHA_IN_BETWEEN)


def _wavelength_um(dataset: DatasetReader, index: int, description: str) -> float | None:
    imagery = dataset.tags(index, ns="IMAGERY").get("CENTRAL_WAVELENGTH_UM")
    tags = dataset.tags(index)
    told = imagery or tags.get("wavelength") or tags.get("WAVELENGTH")
    try:
        if told is not None:
            return _to_um(float(told), tags.get("wavelength_units", ""))
    except ValueError:
        pass
    found = _WAVELENGTH.search(description)
    return _to_um(float(found[1]), found[2]) if found else None


def _to_um(value: float, unit: str) -> float:
    in_nm = unit.lower().startswith("n") or (not unit and value > 100)
    return value / 1000 if in_nm else value
