"""Embeddings that are no GeoTIFF: grids of TESSERA in NumPy files, Zarr stores, and folders with a quantization table."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError

from geopointseg.errors import InputFileError, RasterError
from geopointseg.markup import conforming, read_json
from geopointseg.raster.array_scene import ArrayScene, StoredArray
from geopointseg.raster.band import Band
from geopointseg.raster.decoding import Decoding, Embedding
from geopointseg.raster.embedding import (
    SCALED,
    refuse_missing_scales,
    refuse_scales,
    scaled_bands,
    tell_origin,
)
from geopointseg.raster.expression import Expression
from geopointseg.raster.grid import Grid
from geopointseg.raster.header_check import require_usable_transform
from geopointseg.raster.raster_access import grid_of, open_dataset, require_placed
from geopointseg.raster.scene import OPENERS, Scene
from geopointseg.raster.virtual_raster import Piece, add_source, new_band, new_dataset

QUANTIZATION = "quantization.json"
_GRID_NAME = re.compile(r"grid_-?\d+\.\d+_-?\d+\.\d+")
_TIFF = (".tif", ".tiff")
_PARENTS = 3
_LONGEST = 1000


@dataclass(frozen=True)
class FoundEmbeddings:
    """Embeddings in a folder, and files that belong to them.

    Parameters
    ----------
    scenes
        Decoded scenes.
    left_out
        Names of land masks and other rasters that are not used, with reasons.
    """

    scenes: tuple[Scene, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()


def is_embedding_path(path: Path) -> bool:
    """Whether a path is an array, a store or a folder that this module opens."""
    if path.suffix.lower() in {".npy", ".zarr"}:
        return True
    return path.is_dir() and ((path / QUANTIZATION).is_file() or bool(_grids_in(path)))


def is_land_mask(path: Path) -> bool:
    """Whether the name of a file is that of the land mask of a TESSERA grid: ``grid_0.15_52.05.tiff``."""
    return path.suffix.lower() in _TIFF and _GRID_NAME.fullmatch(path.stem) is not None


def open_grid_file(path: str) -> Scene | None:
    """Return the first embedding of an array, a store or a folder; None for other paths."""
    is_there = os.path.exists(path)  # noqa: PTH110 - Path fails on long names
    if is_there and is_embedding_path(Path(path)):
        return open_embeddings(Path(path)).scenes[0]
    return None


def open_embeddings(path: Path) -> FoundEmbeddings:
    """Open an array, a Zarr store, or the embeddings of a folder.

    Parameters
    ----------
    path
        What `is_embedding_path` accepts.

    Returns
    -------
    FoundEmbeddings
        One scene for each grid.

    Raises
    ------
    InputFileError
        If a file is missing or cannot be read.
    RasterError
        If arrays have no grid, or scales are missing or do not fit.
    """
    left_out: list[tuple[str, str]] = []
    if path.suffix.lower() == ".zarr":
        scenes: list[Scene] = [_open_store(path)]
    elif path.suffix.lower() == ".npy":
        scenes = [_open_grid(path)]
    elif (path / QUANTIZATION).is_file():
        scenes = [_open_quantized(path)]
    else:
        scenes = [_open_grid(grid) for grid in _grids_in(path)]
        left_out = list(_companions(path))
    return FoundEmbeddings(tuple(scenes), tuple(left_out))


def _grids_in(folder: Path) -> list[Path]:
    """Return the grids of a folder, or of its sub-folders where it holds none itself; other arrays are not looked at."""
    for found in (folder.glob("*.npy"), folder.rglob("grid_*.npy")):
        grids = sorted(path for path in found if _is_grid(path))
        if grids:
            return grids
    return []


def _is_grid(path: Path) -> bool:
    is_codes = not path.stem.endswith("_scales")
    has_scales = path.with_name(f"{path.stem}_scales.npy").is_file()
    return is_codes and (has_scales or _GRID_NAME.fullmatch(path.stem) is not None)


def _companions(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the other rasters of a folder of grids, with the reason why they are not used."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in _TIFF:
            is_mask = is_land_mask(path)
            yield path.name, "land mask of a grid" if is_mask else "raster beside embeddings"


# --- TESSERA grids ---------------------------------------------------------------------------------------------


def _open_grid(path: Path) -> Scene:
    """Return a NumPy grid with its scales as a scene."""
    if path.stem.endswith("_scales"):
        raise RasterError(
            f"'{path.name}' holds the scales of a TESSERA grid. Expected the codes; give "
            f"'{path.stem.removesuffix('_scales')}.npy'."
        )
    shape = StoredArray(str(path)).open().shape
    if len(shape) != 3:
        raise RasterError(
            f"'{path.name}' is an array of {' x '.join(map(str, shape))}: vectors of patches or points without a grid. "
            "Expected rows, columns and dimensions of a georeferenced grid; put the vectors on a raster first."
        )
    grid = _grid_beside(path, shape)
    values = StoredArray(str(path), _dimension_axis(shape, grid.shape, path.name))
    origin = tell_origin(path, "TESSERA")
    if np.dtype(values.dtype).kind == "f":
        return _named(ArrayScene.of((values,), grid, label=path.name), Decoding(origin))
    scales = path.with_name(f"{path.stem}_scales.npy")
    if not scales.is_file():
        refuse_missing_scales(path.name, scales.name)
    return _scaled(values, _scales_file(scales, values, grid), grid, path.name, origin)


def _scaled(
    values: StoredArray, scales: StoredArray, grid: Grid, label: str, origin: Embedding
) -> Scene:
    """Return codes with their scales as a scene."""
    scene = ArrayScene.of((values, scales), grid, label=label, date=origin.year)
    named = _names(scene.bands[: values.dimensions])
    return scene.with_bands(
        scaled_bands(named, scene.bands[values.dimensions :], Decoding(origin, SCALED))
    )


def _scales_file(path: Path, values: StoredArray, grid: Grid) -> StoredArray:
    shape = StoredArray(str(path)).open().shape
    allowed = {
        grid.shape: None,
        (*grid.shape, values.dimensions): 2,
        (values.dimensions, *grid.shape): 0,
    }
    if shape not in allowed:
        refuse_scales(path.name, values.open().shape, path.name, shape)
    return StoredArray(str(path), allowed[shape])


def _dimension_axis(shape: Sequence[int], pixels: tuple[int, int], name: str) -> int:
    """Return the axis of the dimensions: the last one, or the first one in chunks of TESSERA v2."""
    if tuple(shape[:2]) == pixels:
        return 2
    if tuple(shape[1:]) == pixels:
        return 0
    raise RasterError(
        f"'{name}' is an array of {' x '.join(map(str, shape))} and its land mask has {pixels[0]} x {pixels[1]} pixels. "
        "Expected the same rows and columns; download both again."
    )


def _grid_beside(path: Path, shape: Sequence[int]) -> Grid:
    """Return the georeference of a grid, from the land mask of the same name."""
    found = next(_land_masks(path), None)
    if found is None:
        raise RasterError(
            f"'{path.name}' ({' x '.join(map(str, shape))}) has no georeference. Expected the land mask "
            f"'{path.stem}.tiff' beside it or in a folder of the same download, which has the grid's coordinate reference "
            "system; download it, too."
        )
    with open_dataset(str(found)) as dataset:
        require_placed(dataset, str(found), "It places the embedding")
        return grid_of(dataset)


def _land_masks(path: Path) -> Iterator[Path]:
    names = [f"{path.stem}{ending}" for ending in _TIFF]
    for folder in [path.parent, *path.absolute().parents[:_PARENTS]]:
        for name in names:
            if (folder / name).is_file():
                yield folder / name
            yield from sorted(folder.glob(f"*/{name}"))


def _names(bands: Sequence[Band]) -> list[Band]:
    return [replace(band, name=f"tessera_band_{k}") for k, band in enumerate(bands)]


def _named(scene: Scene, decoding: Decoding) -> Scene:
    return scene.with_bands([replace(band, decoding=decoding) for band in _names(scene.bands)])


# --- Zarr ------------------------------------------------------------------------------------------------------


def _open_store(path: Path) -> Scene:
    """Return the grid of a UTM zone in a Zarr store: arrays ``embeddings`` and ``scales``, and attributes that place it."""
    group = next((p.parent for p in sorted(path.glob("**/embeddings")) if p.is_dir()), None)
    if group is None:
        raise RasterError(
            f"The Zarr store '{path.name}' has no array 'embeddings'. Expected a group with the arrays 'embeddings' and "
            "'scales'; name another store."
        )
    told = _attributes(group)
    crs, transform = _told_place(told, path.name)
    values = StoredArray(str(group / "embeddings"), 2)
    if len(values.open().shape) != 3:
        raise RasterError(
            f"The array 'embeddings' of '{path.name}' has {len(values.open().shape)} axes. Expected rows, columns and dimensions; "
            "download it again."
        )
    require_usable_transform(transform, values.shape, path.name)
    grid = Grid(crs, transform, *values.shape)
    if not (group / "scales").is_dir():
        refuse_missing_scales(path.name, "scales")
    version = str(told.get("tessera_dataset_version", "")).removeprefix("v")
    origin = Embedding("TESSERA", version, str(told.get("year", "")))
    scales = StoredArray(str(group / "scales"), None)
    if tuple(scales.open().shape) != grid.shape:
        refuse_scales(path.name, values.open().shape, "scales", scales.open().shape)
    return _scaled(values, scales, grid, path.name, origin)


_ATTRIBUTES = {
    "transform": [float], "crs_epsg": float, "crs_wkt": str, "tessera_dataset_version": (str, float), "year": (str, float),
}  # fmt: skip
"""Types of the attributes that are read; see `conforming`."""


def _attributes(group: Path) -> Mapping[str, Any]:
    """Return the attributes of a Zarr group, of version 3 or 2."""
    for name, key in (("zarr.json", "attributes"), (".zattrs", "")):
        if (group / name).is_file():
            try:
                shape = {key: _ATTRIBUTES} if key else _ATTRIBUTES
                row = conforming(read_json(group / name), shape)
            except (OSError, ValueError) as error:
                raise InputFileError(
                    f"The attributes in '{group / name}' cannot be read ({error}). Expected those that Zarr writes; download the "
                    "store again."
                ) from error
            return dict(row.get(key, {}) if key else row)
    return {}


def _told_place(told: Mapping[str, Any], store: str) -> tuple[CRS, Affine]:
    """Return CRS and geotransform by the attributes of a group.

    Raises
    ------
    RasterError
        If they have none, or PROJ does not know the CRS.
    """
    crs, numbers = told.get("crs_epsg", told.get("crs_wkt")), told.get("transform", [])
    if not crs or len(numbers) < 6:
        raise RasterError(
            f"The Zarr store '{store}' has no georeference. Expected the attributes 'transform' and 'crs_epsg' in the group "
            "of its arrays; download it again."
        )
    try:
        found = CRS.from_user_input(int(crs) if isinstance(crs, float) else crs)
    except CRSError as error:
        raise RasterError(
            f"The Zarr store '{store}' has the CRS '{str(crs)[:40]}', which PROJ does not know. Expected an EPSG code in "
            "'crs_epsg'; download it again."
        ) from error
    return found, Affine(*numbers[:6])


# --- folders with a quantization table -------------------------------------------------------------------------


def _open_quantized(folder: Path) -> Scene:
    """Return a folder of 8-bit dimensions with the least and largest value of each in ``quantization.json``."""
    low, high = _read_limits(folder / QUANTIZATION)
    files = sorted(
        (path for path in folder.iterdir() if path.suffix.lower() in _TIFF), key=_dimension_of
    )
    if len(files) != len(low):
        raise InputFileError(
            f"The folder '{folder.name}' has {len(files)} GeoTIFF files and {QUANTIZATION} the limits of {len(low)} dimensions. "
            "Expected a file of 8 bits for each dimension; download the folder again."
        )
    scenes = [Scene.open(path) for path in files]
    root = new_dataset(scenes[0].grid)
    for scene in scenes:
        if not scenes[0].grid.matches(scene.grid) or scene.shape != scenes[0].shape:
            raise RasterError(
                f"'{scene.name}' has other pixels than '{scenes[0].name}'. Expected the dimensions of an embedding on one grid; "
                "download the folder again."
            )
        band = scene.bands[0]
        element = new_band(root, scene.dtype)
        if band.nodata is not None:
            ET.SubElement(element, "NoDataValue").text = repr(band.nodata)
        add_source(element, "SimpleSource", Piece(scene, band, scenes[0].grid), "1", "nearest")
    opened = Scene.open(ET.tostring(root, encoding="unicode"), label=folder.name)
    origin = tell_origin(folder, "TESSERA")
    bands = [
        replace(band, decoding=Decoding(origin, _between(a, b)))
        for band, a, b in zip(_names(opened.bands), low, high, strict=True)
    ]
    return replace(opened, date=origin.year).with_bands(bands)


def _between(low: float, high: float) -> Expression:
    return Expression.parse(f"v * {(high - low) / 255!r} + {low!r}")


def _dimension_of(path: Path) -> tuple[int, str]:
    numbers = re.findall(r"\d+", path.stem)
    return (int(numbers[-1]) if numbers else 0), path.name


def _read_limits(path: Path) -> tuple[list[float], list[float]]:
    """Return the least and the largest value of each dimension."""
    shape = {key: [float] for keys in _LIMITS for key in keys}
    try:
        row = read_json(path)
        if isinstance(row, Mapping) and isinstance(row.get("dimensions"), list):
            row = row["dimensions"]
        if isinstance(row, list):
            rows = conforming(row, [{"min": float, "max": float}])
            row = {key: [each.get(key) for each in rows] for key in ("min", "max")}
        row = conforming(row, shape)
        if not any(key in row for keys in _LIMITS for key in keys):
            raise ValueError("no key is 'min' or 'max'")  # noqa: TRY301 - told as other damage
    except (OSError, ValueError) as error:
        raise InputFileError(
            f"'{path}' has no limits of dimensions ({error}). Expected 'min' and 'max', each with a number for "
            "every dimension; download the folder again."
        ) from error
    found: list[list[float]] = [next((row[k] for k in keys if k in row), []) for keys in _LIMITS]
    low, high = found
    if len(low) != len(high) or not low:
        raise InputFileError(
            f"'{path}' has {len(low)} least and {len(high)} largest values. Expected one of each for every dimension; download "
            "the folder again."
        )
    return low, high


_LIMITS = (("min", "mins", "dim_min", "minimum"), ("max", "maxs", "dim_max", "maximum"))


OPENERS.append(open_grid_file)
