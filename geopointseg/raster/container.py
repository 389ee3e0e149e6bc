"""Containers: files that hold several rasters as sub-datasets (NetCDF, HDF, Zarr, SAFE, GeoPackage).

A sub-dataset is opened by a path of its own, ``NETCDF:"scene.nc":B04``. Its band is called by its variable.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from rasterio.io import DatasetReader

from geopointseg.errors import GeopointsegError, RasterError
from geopointseg.raster.acquisition import find_date
from geopointseg.raster.band import Band
from geopointseg.raster.band_names import is_placeholder
from geopointseg.raster.dataset import HANDLES, is_text
from geopointseg.raster.scene import Scene

_SUB_DATASET = re.compile(
    r"(NETCDF|HDF5|HDF5Image|HDF4|HDF4_SDS|HDF4_EOS|HDF4Image|ZARR|GPKG|BAG|KEA):(.+)",
    re.IGNORECASE,
)
_SENTINEL2 = re.compile(r"(\w+), central wavelength .*", re.IGNORECASE)
_LISTED = 20


@dataclass(frozen=True)
class SubDatasets:
    """What a container holds.

    Parameters
    ----------
    scenes
        Sub-datasets that can be scenes or bands, with the names of their variables as titles.
    titles
        Names of the variables.
    unread
        Names of sub-datasets that have no place on the ground, or no numbers.
    """

    scenes: tuple[Scene, ...]
    titles: tuple[str, ...]
    unread: tuple[str, ...] = ()


def open_named(path: str) -> Scene:
    """Open a raster; bands of a sub-dataset are called by its variable where nothing else names them.

    Raises
    ------
    InputFileError, RasterError
        As `Scene.open` does.
    """
    scene = Scene.open(path, expand=False)
    if is_text(path):
        return scene
    names = _variable_names(HANDLES.get(scene.path), scene.bands)
    named = zip(scene.bands, names, strict=True)
    return scene.with_bands([replace(band, name=name) for band, name in named])


def list_sub_datasets(path: str) -> tuple[str, ...]:
    """Return the paths of the sub-datasets of a file that holds no bands of its own, or of the pages of a TIFF file.

    None for all other files. GDAL reads the first page only of a TIFF file with several.

    Raises
    ------
    InputFileError
        If the file is missing, or GDAL cannot open it.
    """
    dataset = HANDLES.get(path)
    has_pages = dataset.driver == "GTiff" and not dataset.name.upper().startswith("GTIFF_DIR:")
    return tuple(dataset.subdatasets) if has_pages or not dataset.count else ()


def open_sub_datasets(container: str, paths: Sequence[str]) -> SubDatasets:
    """Open the sub-datasets of a container.

    Raises
    ------
    RasterError
        If none can be a scene, or several have many bands; the message lists them.
    """
    name = Path(container).name
    scenes: list[Scene] = []
    titles: list[str] = []
    unread: list[str] = []
    reason = ""
    for path in paths:
        variable = variable_of(path) or _page_of(path) or path
        try:
            scene = open_named(path)
        except GeopointsegError as error:
            unread.append(f"{name}:{variable}")
            reason = reason or str(error)
            continue
        scenes.append(
            replace(scene, label=f"{name}:{variable}", date=scene.date or find_date(name))
        )
        titles.append(variable)
    if not scenes:
        refuse_container(container, paths, f"none of them can be read as imagery ({reason})")
    if len(scenes) > 1 and any(len(scene.bands) > 1 for scene in scenes):
        refuse_container(container, paths, "more than one of them may be meant")
    return SubDatasets(tuple(scenes), tuple(titles), tuple(unread))


def _page_of(path: str) -> str:
    found = re.match(r"GTIFF_DIR:(\d+):", path)
    return f"page {found[1]}" if found else ""


def refuse_container(
    container: str,
    paths: Sequence[str],
    why: str,
    *,
    expected: str = "the sub-datasets that are bands of the scene",
) -> NoReturn:
    """Raise `RasterError` with the list of a container's sub-datasets."""
    more = f" and {len(paths) - _LISTED} more" if len(paths) > _LISTED else ""
    raise RasterError(
        f"'{container}' holds {len(paths)} sub-datasets, and {why}. Expected {expected}; "
        f"name {'them' if 'sub-datasets' in expected else 'it'} instead of the file: {', '.join(paths[:_LISTED])}{more}."
    )


def variable_of(path: str) -> str:
    """Return the variable that the path of a sub-dataset names; empty where it names none.

    Examples
    --------
    >>> variable_of('NETCDF:"/data/a.nc":B04'), variable_of('HDF5:"a.h5"://grid/red'), variable_of("C:/a.tif")
    ('B04', 'red', '')
    >>> variable_of('HDF4_EOS:EOS_GRID:"MOD13Q1.hdf":MODIS_Grid:250m 16 days NDVI'), variable_of("GTIFF_DIR:2:a.tif")
    ('250m 16 days NDVI', '')
    """
    found = _SUB_DATASET.fullmatch(path)
    if not found or ":" not in found[2]:
        return ""
    variable = found[2].rpartition(":")[2].rpartition("/")[2].strip('"')
    return "" if variable.isdigit() else variable


def _variable_names(dataset: DatasetReader, bands: Sequence[Band]) -> list[str]:
    """Return the names of the bands: their own, or that of the variable."""
    variable = variable_of(dataset.name)
    names = []
    for band in bands:
        central = _SENTINEL2.fullmatch(band.name)
        told = central[1] if central else "" if is_placeholder(band.name) else band.name
        stored = dataset.tags(band.index).get("NETCDF_VARNAME", "") or variable
        place = f"_{band.index}" if len(bands) > 1 else ""
        names.append(told or (f"{stored.lower()}{place}" if stored else band.name))
    return names
