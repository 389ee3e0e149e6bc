"""Containers: files that hold several rasters as sub-datasets (NetCDF, HDF, Zarr, SAFE, GeoPackage).

A sub-dataset is opened by a path of its own, ``NETCDF:"scene.nc":B04``. Its band is named after its variable.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from rasterio.io import DatasetReader

from geopointseg.bands.band_names import is_placeholder
from geopointseg.bands.file_sorting import LeftOut, SourceFile
from geopointseg.errors import GeopointsegError, RasterError
from geopointseg.raster.acquisition_date import find_date
from geopointseg.raster.band import Band
from geopointseg.raster.raster_access import HANDLES, is_text
from geopointseg.raster.scene import Scene

_SUB_DATASET = re.compile(
    r"(NETCDF|HDF5|HDF5Image|HDF4|HDF4_SDS|HDF4_EOS|HDF4Image|ZARR|GPKG|BAG|KEA):(.+)",
    re.IGNORECASE,
)
_SENTINEL2 = re.compile(r"(\w+), central wavelength .*", re.IGNORECASE)
_LISTED = 20


def open_named(path: str) -> Scene:
    """Open a raster; bands of a sub-dataset are named after its variable where they have no other name.

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


def open_sub_datasets(
    container: str, paths: Sequence[str]
) -> tuple[list[SourceFile], list[LeftOut]]:
    """Open the sub-datasets of a container.

    Returns
    -------
    files
        Sub-datasets that can be scenes or bands, with the names of their variables as titles.
    left_out
        Sub-datasets that are not georeferenced, or not numeric.

    Raises
    ------
    RasterError
        If none can be a scene, or several have many bands; the message lists them.
    """
    name = Path(container).name
    files: list[SourceFile] = []
    left_out: list[LeftOut] = []
    reason = ""
    for path in paths:
        variable = variable_of(path) or _page_of(path) or path
        label = f"{name}:{variable}"
        try:
            scene = open_named(path)
        except GeopointsegError as error:
            left_out.append(LeftOut(label, "not georeferenced"))
            reason = reason or str(error)
            continue
        scene = replace(scene, label=label, date=scene.date or find_date(name))
        files.append(SourceFile(scene, variable, name))
    if not files:
        refuse_container(container, paths, f"none of them can be read as imagery ({reason})")
    if len(files) > 1 and not all(file.is_single for file in files):
        refuse_container(container, paths, "more than one of them may be meant")
    return files, left_out


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
    """Raise an error that lists a container's sub-datasets.

    Parameters
    ----------
    container
        Path of the container.
    paths
        Paths of its sub-datasets.
    why
        Why they are not taken, as the end of a sentence.
    expected
        What was expected, as the end of a sentence.

    Raises
    ------
    RasterError
        Always.
    """
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
