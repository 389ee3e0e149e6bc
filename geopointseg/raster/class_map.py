"""Class maps on disk: codes, names and colours in one GeoTIFF, written atomically.

A class map holds the class codes of the user's data (uint8, or uint16 above 255), a declared nodata value that
is never a class code, a colour table, and the legend as a tag, so that the file alone gives the meaning of its
values. Beside it lie a GDAL attribute table and a QGIS style with the same names and colours.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.errors import LegendError, RasterError
from geopointseg.legend import Legend
from geopointseg.markup import parse_json
from geopointseg.raster.band import Band, describe_bands, require_real_numbers
from geopointseg.raster.class_style import (
    aux_path,
    gdal_sidecar,
    paletted_qml,
    qml_path,
    read_sidecar_legend,
)
from geopointseg.raster.cog import BLOCK_PX, Layout, ScratchTiles, assemble_raster, encode_tile
from geopointseg.raster.crs import read_sidecar
from geopointseg.raster.grid import Grid, clip_window, crs_name, row_windows, slices_within
from geopointseg.raster.publishing import require_ending, whole_file
from geopointseg.raster.raster_access import HANDLES, grid_of, open_dataset, reading, require_placed
from geopointseg.raster.validity import Nodata, masks_of, nodata_values, read_valid
from geopointseg.summary import described, join_names

LEGEND_TAG = "GEOPOINTSEG_LEGEND"
ATTRIBUTION_TAG = "ATTRIBUTION"
"""Tag of maps of an embedding: producer, version, year and licence of the product."""
MODEL_TAG = "GEOPOINTSEG_MODEL"
INVALID = -1
"""The class index of pixels that hold no class (nodata)."""


def class_dtype(legend: Legend) -> str:
    """Return the smallest data type that holds all class codes and a nodata value besides.

    Raises
    ------
    LegendError
        If a class code is above 65535.

    Examples
    --------
    >>> class_dtype(Legend.from_names(["water", "forest"]))
    'uint8'
    >>> class_dtype(Legend.from_names(["water", "forest"], codes=[1, 300]))
    'uint16'
    """
    highest = int(legend.codes.max(initial=0))
    if highest <= 255 and len(legend) <= 255:
        return "uint8"
    if highest <= 65535 and len(legend) <= 65535:
        return "uint16"
    raise LegendError(
        f"The class code {highest} is too large for a class map. Maps hold codes up to 65535; renumber the class."
    )


def nodata_code(legend: Legend) -> int:
    """Return a nodata value that is no class code: 0, else the largest free value of the data type.

    Examples
    --------
    >>> nodata_code(Legend.from_names(["water"], codes=[0]))
    255
    """
    taken: set[int] = set(legend.codes.tolist())
    largest = int(np.iinfo(class_dtype(legend)).max)
    free: int = next(code for code in (0, *range(largest, 0, -1)) if code not in taken)
    return free


def class_map_tags(legend: Legend, fingerprint: str = "") -> dict[str, str]:
    """Return the tags that every class map carries: the legend as JSON and the model's fingerprint."""
    tags = {LEGEND_TAG: json.dumps(legend.to_json(), ensure_ascii=False)}
    return tags | ({MODEL_TAG: fingerprint} if fingerprint else {})


def code_table(legend: Legend) -> NDArray[np.unsignedinteger[Any]]:
    """Return the class codes in index order with the nodata value last, so that index -1 gives nodata."""
    codes = np.append(legend.codes, nodata_code(legend))
    return codes.astype(class_dtype(legend))


def write_class_map(
    path: str | os.PathLike[str],
    class_index: NDArray[np.integer[Any]],
    grid: Grid,
    legend: Legend,
    *,
    valid: NDArray[np.bool_] | None = None,
    fingerprint: str = "",
    tags: Mapping[str, str] | None = None,
    cog: bool = True,
) -> Path:
    """Write a class map that fits in memory, with its colours, names and style.

    Parameters
    ----------
    path
        Where the GeoTIFF shall be; ``.qml`` and ``.aux.xml`` are written beside it.
    class_index
        Class indices ``(row, col)``; negative where there is no class.
    grid
        Where the pixels lie.
    legend
        The classes; the file holds their codes.
    valid
        False where nodata, ``(row, col)``.
    fingerprint
        Fingerprint of the model, kept as a tag.
    tags
        Further tags.
    cog
        Whether to write a cloud-optimized GeoTIFF with overviews by majority.

    Returns
    -------
    Path
        The path of the GeoTIFF.

    Raises
    ------
    RasterError
        If the array's shape is not the grid's, or an index is not in the legend.
    OutputError
        If the file cannot be written.
    """
    path = Path(path)
    require_ending(path, "GeoTIFF")
    _check_indices(class_index, grid, legend)
    index = class_index if valid is None else np.where(valid, class_index, INVALID)
    table = code_table(legend)
    layout = class_layout(legend, grid, fingerprint=fingerprint, tags=tags, cog=cog)
    with whole_file(path) as temporary:
        tiles = ScratchTiles(temporary.parent)
        for row, col in itertools.product(*map(range, layout.tile_shape)):
            part = index[layout.tile_window(row, col).toslices()]
            tiles.add(row, col, encode_tile(table[np.maximum(part, INVALID)][None], layout))
        assemble_raster(temporary, layout, tiles)
        write_sidecars(temporary, legend)
    return path


def class_layout(
    legend: Legend,
    grid: Grid,
    *,
    fingerprint: str = "",
    tags: Mapping[str, str] | None = None,
    cog: bool = True,
) -> Layout:
    """Return how a class map is stored: data type, nodata, colours, tags.

    Parameters
    ----------
    legend
        The classes.
    grid
        Where the pixels lie.
    fingerprint
        Fingerprint of the model, stored as a tag.
    tags
        Further tags.
    cog
        Whether the file is a cloud-optimized GeoTIFF with overviews by majority.

    Returns
    -------
    Layout
        One band of class codes.
    """
    return Layout(
        grid, class_dtype(legend), nodata_code(legend), ("class",), "mode",
        tags=class_map_tags(legend, fingerprint) | dict(tags or {}),
        colors=colormap(legend), cog=cog,
    )  # fmt: skip


def write_sidecars(path: Path, legend: Legend) -> None:
    """Write the QGIS style and the GDAL attribute table that belong to a class map.

    What GDAL's sidecar holds already, such as a CRS, stays.

    Parameters
    ----------
    path
        The temporary path that `whole_file` gives, so that map and sidecars are moved into place together.
    legend
        The classes.
    """
    qml_path(path).write_text(paletted_qml(legend), encoding="utf-8")
    aux = aux_path(path)
    aux.write_text(gdal_sidecar(legend, read_sidecar(aux)), encoding="utf-8")


def colormap(legend: Legend) -> dict[int, tuple[int, int, int, int]]:
    """Return the colour table as GDAL takes it: code to red, green, blue, alpha."""
    colors = {int(nodata_code(legend)): (0, 0, 0, 0)}
    for code, rgb in zip(legend.codes.tolist(), legend.rgb.tolist(), strict=True):
        colors[code] = (rgb[0], rgb[1], rgb[2], 255)
    return colors


@described
@dataclass(frozen=True)
class ClassMap:
    """A class map on disk, read window by window.

    Use `ClassMap.open` to make one. Like a scene it holds no open file.

    Parameters
    ----------
    path
        The raster.
    grid
        Where its pixels lie.
    legend
        Its classes; those of a foreign file come from its attribute table, its QGIS style or its values.
    nodata
        Declared nodata value, or None; an exact integer for 64-bit integers.
    dtype
        Data type on disk.
    tags
        Tags of the file.
    """

    path: str
    grid: Grid
    legend: Legend
    nodata: Nodata
    dtype: str
    tags: Mapping[str, str]

    def _summary(self) -> list[str]:
        return [
            (
                f"ClassMap {Path(self.path).name}: {self.grid.height} rows x {self.grid.width} columns, "
                f"{crs_name(self.grid.crs)}, {self.dtype}, nodata {self.nodata}"
            ),
            f"{len(self.legend)} classes: {join_names(self.legend.names)}",
        ]

    def _table(self) -> tuple[list[str], list[list[object]]]:
        rows: list[list[object]] = [[e.code, e.name, e.color] for e in self.legend.entries]
        return ["code", "class", "colour"], rows

    @classmethod
    def open(cls, path: str | os.PathLike[str], legend: Legend | None = None) -> ClassMap:
        """Describe a class raster, ours or anyone's.

        Parameters
        ----------
        path
            A raster whose first band holds class codes.
        legend
            The classes, where the file does not name them; by default they come from the file's tags, its attribute
            table, its QGIS style, or at last from the values that occur in it. What the file names as nodata
            is no class.

        Raises
        ------
        InputFileError
            If the file is missing or unreadable.
        RasterError
            If it has no CRS, or its values are not whole numbers.
        """
        path = os.fspath(path)
        with open_dataset(path) as dataset:
            require_placed(dataset, path, "A class map must be georeferenced")
            require_real_numbers(describe_bands(dataset)[:1], path)
            grid = grid_of(dataset)
            dtype, nodata, tags = dataset.dtypes[0], nodata_values(dataset)[0], dataset.tags()
        if legend is None:
            legend = _stored_legend(Path(path), tags, nodata)
        described = cls(path, grid, legend or Legend(()), nodata, dtype, tags)
        return described if legend is not None else described._with_scanned_legend()

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the model that made the map; empty where the file has none."""
        return self.tags.get(MODEL_TAG, "")

    @property
    def attribution(self) -> str:
        """Producer, version, year and licence of the embedding that was mapped; empty for imagery."""
        return self.tags.get(ATTRIBUTION_TAG, "")

    def read_codes(
        self, window: Window | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Read class codes and validity of a window that lies on the map, both ``(row, col)``.

        Raises
        ------
        InputFileError
            If the file cannot be read there.
        RasterError
            If its values are not whole numbers.
        """
        dataset = HANDLES.get(self.path)
        window = self.grid.window if window is None else window
        with reading(self.path, window):
            stored = dataset.read(1, window=window)
            band = Band(
                1, nodata=self.nodata, mask=masks_of(dataset)[0]
            )  # nodata counts beside a mask
            valid = read_valid(dataset, [band], [stored], window)
        if np.issubdtype(stored.dtype, np.floating):
            valid &= ~np.isnan(stored)
        stored = np.where(valid, stored, np.zeros(1, stored.dtype))
        with np.errstate(invalid="ignore"):  # infinity becomes a number that it does not equal
            codes = stored.astype(np.int64)
        if (codes != stored).any():
            raise RasterError(
                f"'{self.path}' holds values that are not whole numbers. A class map holds class codes; "
                "give the map of classes, not of probabilities."
            )
        return codes, valid

    def read(self, window: Window | None = None) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Read class indices and validity of a window, which may reach beyond the map's border.

        Parameters
        ----------
        window
            Pixel window; the whole map by default.

        Returns
        -------
        class_index : int32 ``(row, col)``
            Index into the legend; -1 where invalid.
        valid : bool ``(row, col)``
            False where nodata, where the code is not in the legend, and beyond the border.
        """
        window = self.grid.window if window is None else window
        shape = int(window.height), int(window.width)
        class_index = np.full(shape, INVALID, dtype=np.int32)
        inside = clip_window(window, self.grid.shape)
        if inside.width and inside.height:
            codes, valid = self.read_codes(inside)
            index = np.where(valid, self.index_of(codes), INVALID)
            class_index[slices_within(window, inside)] = index
        return class_index, class_index >= 0

    def index_of(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the class index of each code, of the same shape; -1 for codes that the legend lacks."""
        if not len(self.legend):
            return np.full_like(codes, INVALID)
        order = np.argsort(self.legend.codes)
        position = np.searchsorted(self.legend.codes, codes, sorter=order)
        index = order[position.clip(max=len(order) - 1)]
        return np.where(self.legend.codes[index] == codes, index, INVALID)

    def _with_scanned_legend(self) -> ClassMap:
        present: set[int] = set()
        for window in row_windows(self.grid.window, BLOCK_PX):
            codes, valid = self.read_codes(window)
            present |= set(np.unique(codes[valid]).tolist())
            if len(present) > 65535:
                raise RasterError(
                    f"'{self.path}' holds more than 65535 different values. A class map holds class codes; "
                    "give a map of classes."
                )
        found = sorted(present)
        legend = Legend.from_names([str(code) for code in found], codes=found)
        return ClassMap(self.path, self.grid, legend, self.nodata, self.dtype, self.tags)


def _stored_legend(path: Path, tags: Mapping[str, str], nodata: Nodata) -> Legend | None:
    """Return the classes that a file or its sidecar names, without nodata; None where it names none."""
    if LEGEND_TAG in tags:
        told: Legend | None = parse_legend_tag(tags[LEGEND_TAG])
    else:
        told = read_sidecar_legend(path)
    classes = tuple(entry for entry in told.entries if entry.code != nodata) if told else ()
    return Legend(classes) if classes else None


def parse_legend_tag(text: str) -> Legend:
    """Return the classes in the tag `LEGEND_TAG` of a class map or mask.

    Raises
    ------
    LegendError
        If it is damaged.
    """
    try:
        rows = parse_json(text)
    except ValueError as error:
        raise LegendError(
            f"The tag {LEGEND_TAG} of the map is damaged ({error}). Expected a list of classes as JSON; make the map again."
        ) from error
    return Legend.from_json(rows)


def _check_indices(class_index: NDArray[np.integer[Any]], grid: Grid, legend: Legend) -> None:
    if class_index.shape != grid.shape:
        raise RasterError(
            f"The class array has the shape {class_index.shape}, the grid {grid.shape}. "
            "Expected one class index per pixel of the grid."
        )
    highest = int(class_index.max(initial=0))
    if highest >= len(legend):
        raise RasterError(
            f"The class array holds the index {highest}, but the legend has {len(legend)} classes. "
            f"Expected indices from 0 to {len(legend) - 1}, or -1 for nodata."
        )
