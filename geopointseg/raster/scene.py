"""Scenes: imagery on one grid, read window by window.

A `Scene` describes a raster and holds no open file, so it is cheap to copy, to pickle and to send to worker
processes and threads. Files are opened when they are read, one dataset per thread, and at most a few dozen at a
time (`HandlePool`).

*Nodata* (no image here) is decided per pixel. A pixel is nodata if GDAL's mask of a band that is read hides it, the
alpha band is transparent, a band has a nodata value that the user declares, or a band is NaN (`read_valid`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geopointseg.errors import InputFileError, RasterError
from geopointseg.raster.acquisition_date import find_date
from geopointseg.raster.band import (
    LARGEST,
    Band,
    common_dtype,
    describe_bands,
    exceed_floats,
    require_real_numbers,
    select_bands,
)
from geopointseg.raster.band_mixing import Mixing
from geopointseg.raster.curve import Curve, has_table
from geopointseg.raster.decoding import Embedding
from geopointseg.raster.grid import Grid, clip_window, crs_name, slices_within
from geopointseg.raster.palette_image import expand_palette
from geopointseg.raster.raster_access import (
    HANDLES,
    HandlePool,
    fingerprint_files,
    grid_of,
    is_text,
    open_dataset,
    promote,
    read_planes,
    reading,
    require_placed,
)
from geopointseg.raster.validity import Nodata, read_valid
from geopointseg.summary import described, identify, join_names

__all__ = [
    "HANDLES",
    "Band",
    "Chip",
    "HandlePool",
    "Radiometry",
    "Scene",
    "ScenePath",
    "open_dataset",
]

ScenePath = str | os.PathLike[str]


class Radiometry(Protocol):
    """Anything that has one curve per band and may mix bands, such as a `RadiometricTransform`."""

    @property
    def curves(self) -> tuple[Curve, ...]:
        """The curves, in the order of the scene's bands."""

    @property
    def mixing(self) -> Mixing | None:
        """How bands are mixed before the curves; None for no mixing."""


OPENERS: list[Callable[[str], Scene | None]] = []
DECODERS: list[Callable[[Scene], Scene]] = []
"""Functions of other modules that open paths which are no raster files (or return None), and decode known products."""


@described
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


@described
@dataclass(frozen=True)
class Scene:
    """A raster with its grid and bands, described but not held open.

    Use `Scene.open` to make one.

    Parameters
    ----------
    path
        Anything that GDAL opens: GeoTIFF, COG, VRT, JP2, ``/vsi...``, the XML text of a virtual raster ...
    grid
        Where its pixels lie.
    bands
        The bands that are read, in reading order; alpha bands are not among them.
    dtype
        Data type on disk; where the bands have several, the one that all are converted to.
    block_shape
        Rows and columns of the file's blocks.
    label
        What messages call the scene; its file name by default.
    date
        When it was taken, ISO 8601 (``2020-08-31``, or ``2020``), empty where not known.
    mixing
        How the bands are mixed before their curves are applied; None for no mixing.
    """

    path: str
    grid: Grid
    bands: tuple[Band, ...]
    dtype: str
    block_shape: tuple[int, int]
    label: str = ""
    date: str = ""
    mixing: Mixing | None = None

    def _summary(self) -> list[str]:
        width, height = self.grid.resolution
        dated = f", {self.date}" if self.date else ""
        return [
            (
                f"Scene {self.name}: {len(self.bands)} bands of {self.dtype}, {self.grid.height} rows x {self.grid.width} "
                f"columns, pixels of {width:.6g} x {height:.6g}, {crs_name(self.grid.crs)}{dated}"
            ),
            f"bands: {join_names(self.band_names)}",
        ]

    def _table(self) -> tuple[list[str], list[list[object]]]:
        rows: list[list[object]] = [
            [number, name, "" if band.wavelength_um is None else band.wavelength_um, band.nodata]
            for number, (name, band) in enumerate(zip(self.band_names, self.bands, strict=True), 1)
        ]
        return ["band", "name", "wavelength in micrometres", "nodata"], rows

    @classmethod
    def open(
        cls,
        path: ScenePath,
        bands: Sequence[int] | None = None,
        *,
        label: str = "",
        date: str = "",
        expand: bool = True,
    ) -> Scene:
        """Describe a raster file.

        Parameters
        ----------
        path
            The file.
        bands
            Which bands to read, counted from 1; all but alpha by default.
        label, date
            Name in messages, and date; by default the file's name, and the date in its tags or name (`find_date`).
        expand
            Whether a palette image gets its colours as bands (`expand_palette`), and an embedding its decoded numbers
            (`DECODERS`); otherwise the file is described as it is stored.

        Returns
        -------
        Scene
            The file's bands but alpha, or those asked for.

        Raises
        ------
        InputFileError
            If the file is missing or GDAL cannot read it.
        RasterError
            If it has no CRS or no bands, holds complex numbers, has a scale that is not usable, or lacks a band that was asked for.
        """
        path = os.fspath(path)
        if is_text(path):
            path, label = path.strip(), label or "virtual raster"
        elif expand and (found := next(filter(None, (opens(path) for opens in OPENERS)), None)):
            return found if bands is None else found.select_bands(bands)
        shown = label or path
        with open_dataset(path) as dataset:
            _require_georeference(dataset, shown)
            described = everything = describe_bands(dataset)
            if bands is not None:
                described = select_bands(described, bands, shown)
            grid = grid_of(dataset)
            require_real_numbers(described, shown)
            dtype = common_dtype(described)
            date = date or find_date(label or Path(path).name, dataset.tags())
            block = tuple(dataset.block_shapes[0])
        scene = cls(path, grid, described, dtype, block, label, date)
        if not expand:
            return scene
        decoded = scene.with_bands(everything)
        for decode in DECODERS:
            decoded = decode(decoded)
        if decoded.embedding is None:
            return expand_palette(scene)
        return decoded if bands is None else decoded.select_bands(bands)

    def as_virtual(self, text: str) -> Scene:
        """Return a virtual raster that is made of this scene, under its label and date."""
        return Scene.open(text, label=self.name, date=self.date)

    @property
    def name(self) -> str:
        """The label, or the file name without folder, for messages."""
        return self.label or Path(self.path).name

    @property
    def band_names(self) -> list[str]:
        """Names of the bands; ``band_1`` ... where the file gives none."""
        return [band.label for band in self.bands]

    @property
    def embedding(self) -> Embedding | None:
        """The product that its vectors come from; None for imagery."""
        decoded = (s.decoding for band in self.bands for s in band.sources if s.decoding)
        return next((decoding.embedding for decoding in decoded), None)

    @property
    def source_bands(self) -> tuple[Band, ...]:
        """The bands of the file that must be read, each once; `decode` makes the scene's bands of them."""
        found = {source.index: source for band in self.bands for source in band.sources}
        return tuple(found.values())

    @property
    def stored_positions(self) -> dict[int, int]:
        """Position in what `read_stored` returns of each band of the file, by its number."""
        return {band.index: k for k, band in enumerate(self.source_bands)}

    @property
    def is_stored_plainly(self) -> bool:
        """Whether it is a file of 8- or 16-bit integers whose bands are neither computed, mixed nor matched."""
        unchanged = all(band.is_stored_plainly for band in self.bands)
        return type(self) is Scene and unchanged and self.mixing is None and has_table(self.dtype)

    def select_bands(self, indices: Sequence[int]) -> Scene:
        """Return the same scene with other bands, counted from 1 in the file."""
        if self.embedding is not None:
            return self.with_bands(select_bands(self.bands, indices, self._shown))
        with open_dataset(self.path) as dataset:
            return self.with_bands(select_bands(describe_bands(dataset), indices, self._shown))

    def with_bands(self, bands: Sequence[Band]) -> Scene:
        """Return the same scene with these bands, in this order; they may be computed ones.

        Raises
        ------
        RasterError
            If the bands are mixed to match a reference and others are wanted.
        """
        if self.mixing is not None and [b.label for b in bands] != self.band_names:
            raise RasterError(
                f"'{self._shown}' is matched to a reference by mixing its bands {', '.join(self.band_names)}. Expected "
                "the bands to be chosen before; choose them first and match afterwards."
            )
        return replace(self, bands=tuple(bands), dtype=common_dtype(bands) or self.dtype)

    def with_nodata(self, nodata: Nodata) -> Scene:
        """Return the same scene with another nodata value declared for every band of its file."""
        return self.with_bands([band.with_nodata(nodata) for band in self.bands])

    def with_radiometry(self, transform: Radiometry | None) -> Scene:
        """Return the same scene with its values transformed as it is read; None removes an earlier transform.

        Training and prediction read such a scene like any other.

        Raises
        ------
        RasterError
            If the transform is for another number of bands.
        """
        curves = (None,) * len(self.bands) if transform is None else transform.curves
        if len(curves) != len(self.bands):
            raise RasterError(
                f"'{self._shown}' has {len(self.bands)} bands and the radiometric transform {len(curves)}. "
                "Expected as many; fit the transform to this scene's bands."
            )
        moved = [replace(band, curve=curve) for band, curve in zip(self.bands, curves, strict=True)]
        mixing = None if transform is None else transform.mixing
        return replace(self, bands=tuple(moved), mixing=mixing)

    def fingerprint(self) -> str | None:
        """Return a text that changes when the scene's files or bands change; None for remote files."""
        files = fingerprint_files(self.path)
        return None if files is None else identify((files, self.grid, self.bands, self.mixing))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.grid.shape

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
            If it holds infinities, or indices into a colour table (see `expand_palette`).
        """
        window = self.grid.window if window is None else window
        inside = clip_window(window, self.grid.shape)
        shape = int(window.height), int(window.width)
        if inside.width == 0 or inside.height == 0:
            return Chip(
                np.zeros((len(self.bands), *shape), np.float32), np.zeros(shape, dtype=bool)
            )
        chip = self.decode(*self.read_stored(inside), inside)
        if chip.valid.shape == shape:
            return chip
        rows, cols = slices_within(window, inside)
        image = np.zeros((len(self.bands), *shape), dtype=np.float32)
        valid = np.zeros(shape, dtype=bool)
        image[:, rows, cols] = chip.image
        valid[rows, cols] = chip.valid
        return Chip(image, valid, chip.undeclared_nan)

    def read_overview(self, longest: int = 1000) -> Chip:
        """Read the whole scene subsampled, its longer side at most ``longest`` pixels; for pictures.

        Overviews of the file are used where it has them. Nearest pixels are taken, so nodata stays nodata.
        """
        factor = max(1.0, max(self.grid.shape) / longest)
        shape = tuple(max(1, round(side / factor)) for side in self.grid.shape)
        return self.decode(*self.read_stored(self.grid.window, shape))

    def read_stored(
        self, window: Window, shape: tuple[int, ...] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read a window as it is on disk; it must lie within the scene.

        Parameters
        ----------
        window
            What is read.
        shape
            Rows and columns to subsample it to; as many as the window has by default.

        Returns
        -------
        stored
            ``(source_band, row, col)`` in the scene's data type, in the order of `source_bands`.
        valid
            bool ``(row, col)``: see `read_valid`; undeclared NaN count as valid.

        Raises
        ------
        InputFileError
            If the file cannot be read there, or has another size than when it was opened.
        RasterError
            If a band holds indices into a colour table (see `expand_palette`).
        """
        bands = self.source_bands
        if any(band.is_palette for band in bands):
            raise RasterError(
                f"'{self._shown}' holds indices into a colour table and no measurements. Expected imagery; take its "
                "colours (expand_palette), or expand it with 'gdal_translate -expand rgb'."
            )
        dataset = HANDLES.get(self.path)
        if dataset.shape != self.grid.shape:
            raise InputFileError(
                f"'{self._shown}' has {dataset.height} x {dataset.width} pixels and had {self.grid.height} x "
                f"{self.grid.width} when it was opened. Expected it to stay as it was; open it again."
            )
        with reading(self._shown, window):
            planes = read_planes(dataset, [band.index for band in bands], window, shape)
            valid = read_valid(dataset, bands, list(planes), window)
        return promote(planes, self.dtype), valid

    def decode(
        self, stored: NDArray[Any], valid: NDArray[np.bool_], window: Window | None = None
    ) -> Chip:
        """Compute the scene's bands from stored values: scale, offset, formulas, radiometry, nodata as zero.

        Parameters
        ----------
        stored
            ``(source_band, row, col)`` in the order of `source_bands`, in the file's type or as float.
        valid
            bool ``(row, col)``: where the file declares an image.
        window
            Where the values come from, for messages.

        Returns
        -------
        Chip
            The scene's bands; invalid where a stored value is NaN.

        Raises
        ------
        RasterError
            If a valid value is infinite, or larger than 32-bit floats hold.
        """
        undeclared = 0
        if stored.dtype.kind == "f":
            nan = np.isnan(stored).any(axis=0)
            undeclared = int((nan & valid).sum())
            valid = valid & ~nan
            infinite = exceed_floats(stored, self.source_bands) & valid
            if infinite.any():
                self._refuse_infinity(stored, infinite, window)
        positions = self.stored_positions
        image = np.empty((len(self.bands), *valid.shape), dtype=np.float32)
        for plane, band in zip(image, self.bands, strict=True):
            unmixed = band if self.mixing is None else replace(band, curve=None)
            unmixed.decode(stored, positions, plane)
        if self.mixing is not None:
            image = _mix(image, valid, self.mixing, self.bands)
        if not valid.all():
            np.copyto(image, 0.0, where=~valid)
        return Chip(image, valid, undeclared)

    def windows(self, max_values: int = 1 << 23) -> Iterator[Window]:
        """Yield windows that cover the scene, each of whole blocks of the file and bounded in size.

        Parameters
        ----------
        max_values
            The largest number of values (pixels times bands) in a window, kept unless one block has more.
        """
        rows, cols = self.block_shape
        pixels = max(max_values // max(len(self.source_bands), 1), 1)
        width = min(self.grid.width, max(cols, pixels // rows // cols * cols))
        height = min(self.grid.height, max(rows, pixels // width // rows * rows))
        for top in range(0, self.grid.height, height):
            for left in range(0, self.grid.width, width):
                yield clip_window(Window(left, top, width, height), self.grid.shape)

    @property
    def _shown(self) -> str:
        return self.label or self.path

    def _refuse_infinity(
        self, stored: NDArray[Any], infinite: NDArray[np.bool_], window: Window | None
    ) -> None:
        band, row, col = (int(v[0]) for v in np.nonzero(infinite))
        value = stored[band, row, col]
        row += int(window.row_off) if window else 0
        col += int(window.col_off) if window else 0
        found = "an infinite value" if np.isinf(value) else f"the value {value:g}"
        raise RasterError(
            f"'{self._shown}' holds {found} (band {self.source_bands[band].index}, row {row}, column "
            f"{col}). Expected finite numbers up to {LARGEST:.1e}, or nodata; replace infinities with the nodata value, "
            "for example with the QGIS raster calculator."
        )


def _mix(
    image: NDArray[np.float32], valid: NDArray[np.bool_], mixing: Mixing, bands: Sequence[Band]
) -> NDArray[np.float32]:
    """Mix bands, and apply to each mixture the curve of its band."""
    np.copyto(image, 0.0, where=~valid)
    mixed = mixing.apply(image)
    for plane, band in zip(mixed, bands, strict=True):
        if band.curve is not None:
            plane[...] = band.curve.apply(plane)
    return mixed


def _require_georeference(dataset: DatasetReader, path: str) -> None:
    if dataset.count == 0:
        raise RasterError(
            f"'{path}' has no bands of its own and {len(dataset.subdatasets)} sub-datasets. Expected a raster with bands; "
            f"name one of its sub-datasets instead: {', '.join(dataset.subdatasets[:20]) or 'it has none'}."
        )
    require_placed(dataset, path, "Points can only be placed on a georeferenced raster")
