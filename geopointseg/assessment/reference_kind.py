"""Kind of a reference: a layer of test points, or a raster with the true classes."""

from __future__ import annotations

import os
from pathlib import Path

from rasterio.errors import RasterioError

from geopointseg.errors import InputFileError
from geopointseg.labels.layer import list_layers
from geopointseg.raster.raster_access import open_unplaced
from geopointseg.summary import join_names
from geopointseg.vector_source import is_remote


def is_raster_reference(
    path: str | os.PathLike[str], *, class_field: str | None = None, layer: str | None = None
) -> bool:
    """Return whether a reference is a raster with the true classes.

    A reference with a class field or a layer name is a layer of points. Otherwise the content of the file decides. A
    GeoPackage with both rasters and layers is refused.

    Parameters
    ----------
    path
        The file, or anything else that GDAL opens as a raster.
    class_field, layer
        The field and the layer that the user named, if any.

    Returns
    -------
    bool
        False for a layer of points.

    Raises
    ------
    InputFileError
        If the file is missing, or contains rasters and layers, or several rasters.
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
            f"'{path}' holds layers ({join_names(layers)}) and rasters ({join_names(rasters)}). Expected one "
            "reference; name the layer of points with `layer=`, or give the raster itself, for "
            f"example '{rasters[0]}'."
        )
    if len(rasters) > 1:
        raise InputFileError(
            f"'{path}' holds {len(rasters)} rasters ({join_names(rasters)}). Expected one with the true classes; give its "
            "name instead of the file's."
        )
    return bool(rasters)


def _list_rasters(path: str | os.PathLike[str]) -> list[str]:
    """Return the GDAL names of the rasters in a file; none where it is no raster."""
    file = Path(path)
    name = str(file.absolute()) if file.exists() else os.fspath(path)
    try:
        with open_unplaced(name) as dataset:  # the map refuses one without CRS
            tables = list(dataset.subdatasets)
            single = _single_table(dataset.tags().get("IDENTIFIER", ""), name, dataset.driver)
            return tables or [single] if dataset.count or tables else []
    except InputFileError as error:
        if isinstance(error.__cause__, RasterioError) or not file.exists():
            return []
        raise


def _single_table(identifier: str, name: str, driver: str) -> str:
    return f"GPKG:{name}:{identifier}" if driver == "GPKG" and identifier else name
