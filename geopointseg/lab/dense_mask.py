"""Dense masks: rasters with a class for every pixel, as published data sets contain them.

They are index rasters or colour-coded images, with or without georeference, with or without an instance raster.
`read_dense_mask` converts all of them to `DenseMask`, from which points can be simulated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geopointseg.bands.container import refuse_container
from geopointseg.errors import RasterError
from geopointseg.lab.color_palette import (
    PALETTES,
    ColorReport,
    Palette,
    decode_colors,
    read_palette,
)
from geopointseg.labels.sparse_mask import UNLABELLED
from geopointseg.legend import Legend
from geopointseg.progress import Reporter
from geopointseg.raster.class_map import LEGEND_TAG, parse_legend_tag
from geopointseg.raster.class_style import read_sidecar_legend
from geopointseg.raster.grid import Grid
from geopointseg.raster.raster_access import (
    grid_of,
    open_unplaced,
    reading,
    refuse_control_points,
)
from geopointseg.summary import described

_RANGE_PX = 4_000_000
_TOLERATED_UNKNOWN = 0.02
_MOST_CLASSES = 255


@described
@dataclass(frozen=True, eq=False)
class DenseMask:
    """A class for every pixel of a grid.

    Parameters
    ----------
    class_index
        int16 ``(row, col)``, index into ``legend``; `UNLABELLED` for unlabelled pixels.
    grid
        Grid of the pixels.
    legend
        The classes.
    name
        Name of the image, or of the mask.
    instance
        int32 ``(row, col)``, number of the object of a pixel, 0 for none; None where not known.
    """

    class_index: NDArray[np.int16]
    grid: Grid
    legend: Legend
    name: str = ""
    instance: NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        for array in (self.class_index, self.instance):
            if array is not None and array.shape != self.grid.shape:
                raise RasterError(
                    f"The mask '{self.name}' has {_size(array.shape)} pixels, its image {_size(self.grid.shape)}. "
                    "Expected the same size; check that they belong together and that neither was resampled."
                )

    def counts(self) -> NDArray[np.int64]:
        """Return the number of pixels of each class, in legend order."""
        counts = np.zeros(len(self.legend), dtype=np.int64)
        for rows in row_ranges(self.grid.shape):
            part = self.class_index[rows]
            counts += np.bincount(part[part >= 0], minlength=len(self.legend))
        return counts


def read_dense_mask(
    path: str | Path,
    *,
    palette: Palette | str | Path | None = None,
    legend: Legend | None = None,
    ignore: Sequence[int] = (),
    grid: Grid | None = None,
    instances: str | Path | None = None,
    instance_divisor: int | None = None,
    name: str = "",
    reporter: Reporter | None = None,
) -> DenseMask:
    """Read a dense mask from an index raster or a colour-coded image.

    Parameters
    ----------
    path
        A raster with one band of class codes, or a colour-coded picture with three or four bands.
    palette
        Classes of the colours: a `Palette`, a built-in name, or a palette file. For index rasters it gives names,
        colours and the codes of unlabelled pixels.
    legend
        The classes of an index raster; by default those of the palette, else of the file's attribute table or QGIS
        style, else the codes that occur.
    ignore
        Codes of unlabelled pixels, in addition to the nodata value.
    grid
        Grid of a mask without georeference; usually that of its image.
    instances
        A raster of the same size with the number of the object at each pixel.
    instance_divisor
        Where codes combine class and object: class = code // divisor, object = code % divisor.
    name
        Name for messages and for the ``scene`` of points; the file's by default.
    reporter
        Receives messages about replaced and unknown colours.

    Returns
    -------
    DenseMask
        Class indices, grid, legend and, where given, objects.

    Raises
    ------
    InputFileError
        If a file is missing or no raster.
    RasterError
        If sizes differ, there is no georeference, more than 2 % of the pixels have unknown colours or any has
        a code that the legend lacks, or a picture comes without palette.
    """
    reporter = reporter or Reporter()
    colors = palette if isinstance(palette, Palette) or palette is None else read_palette(palette)
    objects = None if instances is None else _read_objects(instances)
    with open_unplaced(path) as dataset:
        grid = grid or _grid_of(dataset, path)
        _require_size(dataset, grid, path)
        if _is_picture(dataset, colors, path):
            known = colors or Palette(Legend(()))
            class_index, legend = _read_colors(dataset, known, str(path), reporter), known.legend
        else:
            codes = _read_codes(dataset, str(path))
            void = {*ignore, *(colors.void_codes if colors else ())}
            legend = legend or (colors.legend if colors else _own_legend(dataset, path))
            if instance_divisor:
                objects = np.where(codes < 0, 0, codes % instance_divisor)
                codes = np.where(codes < 0, codes, codes // instance_divisor)
            class_index, legend = _encode(codes, legend, void, str(path))
    return DenseMask(class_index, grid, legend, name or Path(path).name, objects)


def row_ranges(shape: tuple[int, int]) -> Iterator[slice]:
    """Yield slices of rows with about four million pixels each."""
    rows = max(_RANGE_PX // max(shape[1], 1), 1)
    for top in range(0, shape[0], rows):
        yield slice(top, min(top + rows, shape[0]))


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(length) for length in reversed(shape))


def _grid_of(dataset: DatasetReader, path: str | Path) -> Grid:
    refuse_control_points(dataset, str(path))
    if not dataset.count and dataset.subdatasets:
        refuse_container(
            str(path),
            dataset.subdatasets,
            "one of them is the mask",
            expected="the one with the classes",
        )
    if dataset.crs is None:
        raise RasterError(
            f"The mask '{path}' has no coordinate reference system. Points need a georeference; give the image "
            "that it belongs to with `like=`."
        )
    return grid_of(dataset)


def _require_size(dataset: DatasetReader, grid: Grid, path: str | Path) -> None:
    shape = dataset.height, dataset.width
    if shape != grid.shape:
        raise RasterError(
            f"The mask '{path}' has {_size(shape)} pixels, its image {_size(grid.shape)}. Expected the same size; "
            "check that they belong together and that neither was resampled."
        )


def _is_picture(dataset: DatasetReader, palette: Palette | None, path: str | Path) -> bool:
    """Whether colours encode the class: three bands, or a colour table that shares colours with the palette."""
    if dataset.count >= 3 and palette is None:
        raise RasterError(
            f"The mask '{path}' is a picture of {dataset.count} bands. Expected one band of class codes, or a palette "
            f"that says what the colours mean; name one of {', '.join(PALETTES)}, or a palette file."
        )
    table = _color_table(dataset)
    if palette is None or table is None or dataset.count >= 3:
        return bool(dataset.count >= 3)
    used = {f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue, _ in table.values()}
    return len(used & set(palette.legend.colors)) >= 2


def _color_table(dataset: DatasetReader) -> dict[int, tuple[int, int, int, int]] | None:
    try:
        table: dict[int, tuple[int, int, int, int]] = dataset.colormap(1)
    except ValueError:
        return None
    return table


def _read_colors(
    dataset: DatasetReader, palette: Palette, path: str, reporter: Reporter
) -> NDArray[np.int16]:
    shape = dataset.height, dataset.width
    class_index = np.empty(shape, dtype=np.int16)
    report = ColorReport()
    for rows in row_ranges(shape):
        picture = _picture(dataset, Window(0, rows.start, shape[1], rows.stop - rows.start))
        class_index[rows], part = decode_colors(picture, palette)
        report += part
    if report.unknown > _TOLERATED_UNKNOWN * class_index.size:
        raise RasterError(
            f"The mask '{path}' has colours that its palette lacks ({report.describe_unknown()}). Expected the colours "
            f"{', '.join(f'{e.color} {e.name}' for e in palette.legend.entries)}; name the right palette or add them."
        )
    if report.snapped:
        reporter.log(
            f"{report.snapped} pixels of '{path}' had nearly a colour of the palette and took its class."
        )
    if report.unknown:
        reporter.warn(
            f"Colours of '{path}' are not in the palette and are left unlabelled ({report.describe_unknown()})."
        )
    return class_index


def _picture(dataset: DatasetReader, window: Window) -> NDArray[np.uint8]:
    table = _color_table(dataset) if dataset.count == 1 else None
    with reading(dataset.name, window):
        stored = dataset.read(list(range(1, min(dataset.count, 4) + 1)), window=window)
    if table is not None:
        lookup = np.zeros((256, 4), dtype=np.uint8)
        for code, color in table.items():
            lookup[code] = color
        return np.moveaxis(lookup[stored[0]], -1, 0)
    if stored.dtype != np.uint8:
        raise RasterError(
            f"The mask '{dataset.name}' is a picture of type {stored.dtype}. Expected 8 bits a colour; convert it."
        )
    return np.asarray(stored)


def _read_codes(dataset: DatasetReader, path: str) -> NDArray[np.int32]:
    """Read class codes, int32 ``(row, col)``; -1 where nodata."""
    shape = dataset.height, dataset.width
    codes = np.empty(shape, dtype=np.int32)
    for rows in row_ranges(shape):
        window = Window(0, rows.start, shape[1], rows.stop - rows.start)
        with reading(path, window):
            stored = dataset.read(1, window=window)
            valid = dataset.read_masks(1, window=window) > 0
        if stored.dtype.kind == "f":
            valid &= np.isfinite(stored)
            stored = np.where(valid, stored, 0)
            fractions = valid & (stored != np.round(stored))
            if fractions.any():
                raise RasterError(
                    f"The mask '{path}' holds {stored[fractions][0]:g}. Expected whole numbers, class codes; "
                    "give the mask, not the image."
                )
        codes[rows] = np.where(valid, stored.astype(np.int64), -1)
    return codes


def _read_objects(path: str | Path) -> NDArray[np.int32]:
    with open_unplaced(path) as dataset:
        return np.maximum(_read_codes(dataset, str(path)), 0)


def _own_legend(dataset: DatasetReader, path: str | Path) -> Legend | None:
    """Return the legend in the file or its sidecars; None where there is none."""
    tag = dataset.tags().get(LEGEND_TAG)
    return parse_legend_tag(tag) if tag else read_sidecar_legend(Path(path))


def _encode(
    codes: NDArray[np.int32], legend: Legend | None, void: set[int], path: str
) -> tuple[NDArray[np.int16], Legend]:
    """Convert codes to class indices; without a legend, make one of the codes that occur."""
    found, counts = np.unique(codes, return_counts=True)
    known = (found >= 0) & ~np.isin(found, list(void))
    if legend is None:
        legend = _legend_of_codes(found[known], path)
    lacking = known & ~np.isin(found, legend.codes)
    if lacking.any():
        listed = zip(found[lacking][:5].tolist(), counts[lacking][:5].tolist(), strict=True)
        raise RasterError(
            f"The mask '{path}' holds codes that the legend lacks: "
            f"{', '.join(f'{code} ({count} pixels)' for code, count in listed)}. Expected "
            f"{', '.join(f'{e.code} {e.name}' for e in legend.entries)}; add the class, or name the code to ignore."
        )
    index = np.full(len(found), UNLABELLED, dtype=np.int16)
    index[known] = legend.encode(found[known])
    class_index = np.empty(codes.shape, dtype=np.int16)
    for rows in row_ranges(codes.shape):
        class_index[rows] = index[np.searchsorted(found, codes[rows])]
    return class_index, legend


def _legend_of_codes(codes: NDArray[np.int32], path: str) -> Legend:
    if len(codes) > _MOST_CLASSES:
        raise RasterError(
            f"The mask '{path}' holds {len(codes)} different codes. Expected at most {_MOST_CLASSES} classes; give the "
            "number that separates class and object (instance_divisor), or the mask of classes."
        )
    return Legend.from_names([str(code) for code in codes], codes.tolist())
