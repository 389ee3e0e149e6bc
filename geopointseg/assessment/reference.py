"""Whether a reference is a layer of test points or a raster with the true classes."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from geopointseg.errors import InputFileError
from geopointseg.labels.layer import list_layers
from geopointseg.summary import join_names
from geopointseg.vector_source import is_remote

_MOST_NAMED = 8


def is_raster_reference(
    path: str | os.PathLike[str], *, class_field: str | None = None, layer: str | None = None
) -> bool:
    """Whether a file is meant as a raster with the true classes.

    A class field or a layer mean a layer of points. Else the file's content decides: a GeoPackage can hold rasters and
    layers, and which of them is meant cannot be guessed.

    Parameters
    ----------
    path
        The file, or anything else that GDAL opens as a raster.
    class_field, layer
        Which field and which layer were named, if any.

    Raises
    ------
    InputFileError
        If the file is missing, or holds rasters and layers, or several rasters.
    """
    if class_field is not None or layer is not None:
        return False
    rasters = _list_rasters(path)
    exists = Path(path).exists() or is_remote(path)
    if not rasters and not exists:
        raise InputFileError(
            f"The reference '{path}' does not exist. Expected test points or a raster; check the path."
        )
    layers = list_layers(os.fspath(path)) if exists and rasters else []
    if layers:
        raise InputFileError(
            f"'{path}' holds layers ({join_names(layers, _MOST_NAMED)}) and rasters ({join_names(rasters, _MOST_NAMED)}). Expected to know which is "
            "the reference; name the layer of points with --layer (layer= in Python), or give the raster itself, for "
            f"example '{rasters[0]}'."
        )
    if len(rasters) > 1:
        raise InputFileError(
            f"'{path}' holds {len(rasters)} rasters ({join_names(rasters, _MOST_NAMED)}). Expected one with the true classes; give its "
            "name instead of the file's."
        )
    return bool(rasters)


def _list_rasters(path: str | os.PathLike[str]) -> list[str]:
    """Return the names of the rasters in a file by which GDAL opens them; none where it is no raster."""
    file = Path(path)
    name = str(file.absolute()) if file.exists() else os.fspath(path)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", NotGeoreferencedWarning
        )  # the map's own check says it better
        try:
            with rasterio.open(name) as dataset:
                tables = list(dataset.subdatasets)
                single = _single_table(dataset.tags().get("IDENTIFIER", ""), name, dataset.driver)
                return tables or [single] if dataset.count or tables else []
        except RasterioError:
            return []


def _single_table(identifier: str, name: str, driver: str) -> str:
    return f"GPKG:{name}:{identifier}" if driver == "GPKG" and identifier else name
