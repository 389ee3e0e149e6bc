"""Vector layers in files: choice of the layer, its fields, its features as arrays; and GeoPackages of one layer."""

from __future__ import annotations

import itertools
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS

from geopointseg.errors import InputFileError, OutputError, PointsError
from geopointseg.labels.geopackage import (
    measuring_query,
    read_rows,
    require_bounded_layer,
    require_quick_views,
    require_small_texts,
)
from geopointseg.name import NameTable
from geopointseg.process import use_own_geodata
from geopointseg.raster.publishing import (
    refuse_overwriting_inputs,
    require_writable_folder,
    whole_file,
)
from geopointseg.vector_source import PLAIN_STEM, openable, writable

FieldKind = Literal["text", "integer", "real", "other"]
Features = tuple[NDArray[np.int64], NDArray[np.object_], dict[str, NDArray[Any]]]
"""Feature ids, geometries (None where empty) and columns by name."""

POINTS_LAYER = "points"
"""Default name of a layer of points."""

_KIND_BY_OGR: dict[str, FieldKind] = {"OFTString": "text", "OFTInteger": "integer", "OFTInteger64": "integer", "OFTReal": "real"}  # fmt: skip
_TYPE_NAMES = {0: "Point", 1: "LineString", 3: "Polygon", 5: "MultiLineString", 6: "MultiPolygon"}


@dataclass(frozen=True)
class VectorLayer:
    """Description of one layer of a vector file, which is not kept open.

    Parameters
    ----------
    path
        The file.
    name
        Name of the layer.
    crs
        Coordinate reference system, None where the file gives none.
    fields
        Kind of each attribute field by its name, in the file's order.
    count
        Number of features.
    position
        Position of the layer among all layers of the file.
    driver
        Name of its format in GDAL.
    """

    path: str
    name: str
    crs: CRS | None
    fields: Mapping[str, FieldKind]
    count: int
    position: int = 0
    driver: str = ""

    @classmethod
    def open(cls, path: str | Path, layer: str | None = None) -> VectorLayer:
        """Describe the only layer with geometry of a file, or the named one.

        Raises
        ------
        InputFileError
            If the file is missing or no vector file, or if the layer is a view of endless or very many rows.
        PointsError
            If the layer does not exist, or there are several and none is named.
        """
        import pyogrio

        use_own_geodata()
        with _explained(path), openable(path) as source:
            layers = _spatial_layers(source, str(path))
            name = _choose_layer(str(path), list(layers), layer)
            with suppress(
                sqlite3.DatabaseError
            ):  # no SQLite file, or a view with functions of GDAL
                require_bounded_layer(path, name)
            info = pyogrio.read_info(source, layer=layers[name], force_feature_count=True)
        kinds: dict[str, FieldKind] = {
            str(field): _KIND_BY_OGR.get(kind, "other")
            for field, kind in zip(info["fields"], info["ogr_types"], strict=True)
        }
        crs = CRS.from_user_input(info["crs"]) if info["crs"] else None
        return cls(str(path), name, crs, kinds, int(info["features"]), layers[name], info["driver"])

    def features(
        self, columns: Sequence[str], chunk_size: int | None = None, *, geometry: bool = True
    ) -> Iterator[Features]:
        """Yield features with the named columns, at once or in chunks.

        Parameters
        ----------
        columns
            Names of fields.
        chunk_size
            Number of features in a chunk; None to read all at once, which is several times faster but needs more memory.
        geometry
            Whether to read geometries.

        Yields
        ------
        Features
            Of one chunk.

        Raises
        ------
        InputFileError
            If text is not in the encoding that the file declares, or a view computes texts that exceed the memory.
        """
        self._require_bounded(columns)
        try:
            if chunk_size is None:
                yield self._read(columns, geometry=geometry)
            else:
                yield from self._stream(columns, chunk_size, geometry=geometry)
        except UnicodeDecodeError as error:
            raise InputFileError(
                f"The text in '{self.path}' is not in the encoding that the file states ({error}). Expected UTF-8, or for a "
                "shapefile the encoding in its .cpg file; correct that file, or save the layer as GeoPackage in QGIS."
            ) from error

    def _require_bounded(self, columns: Sequence[str]) -> None:
        """Raise `InputFileError` if a database computes endless values; GDAL is asked where Python cannot read it."""
        import pyogrio.raw

        if self.driver not in ("GPKG", "SQLite"):
            return
        try:
            require_bounded_layer(self.path, self.name, columns)
        except sqlite3.DatabaseError:  # in an archive, or a view with functions of GDAL
            with _explained(self.path), openable(self.path) as source:
                found = pyogrio.raw.read(source, sql=measuring_query(self.name, columns))
            require_small_texts(self.path, *(int(column[0]) for column in found[3]))

    def _read(self, columns: Sequence[str], *, geometry: bool, **part: int) -> Features:
        import pyogrio.raw

        with _explained(self.path), openable(self.path) as source:
            meta, fids, wkb, values = pyogrio.raw.read(
                source,
                layer=self.position,
                columns=list(columns),
                read_geometry=geometry,
                force_2d=geometry,
                return_fids=True,
                **part,
            )
        by_name = dict(zip(meta["fields"], values, strict=True))
        geometries = np.empty(0, dtype=object)
        if geometry:
            geometries = shapely.from_wkb(wkb, on_invalid="ignore")
        return (
            np.asarray(fids, dtype=np.int64),
            geometries,
            {name: by_name[name] for name in columns},
        )

    def _stream(
        self, columns: Sequence[str], chunk_size: int, *, geometry: bool
    ) -> Iterator[Features]:
        import fiona

        with (
            openable(self.path) as source,
            fiona.open(
                source,
                layer=fiona.listlayers(source)[self.position],
                include_fields=list(columns),
                ignore_geometry=not geometry,
            ) as collection,
        ):
            # fiona leaves out fields of some types, such as 32-bit floats
            complete = set(columns) <= set(collection.schema["properties"])
            for chunk in itertools.batched(collection, chunk_size) if complete else ():
                yield _chunk_arrays(chunk, columns)
        if not complete:
            for first in range(0, self.count, chunk_size):
                part = {"skip_features": first, "max_features": chunk_size}
                yield self._read(columns, geometry=geometry, **part)

    def describe_fields(self) -> str:
        """Return the names and kinds of all fields, for messages."""
        if not self.fields:
            return "no fields at all"
        return "the fields " + ", ".join(f"{name} ({kind})" for name, kind in self.fields.items())


def list_layers(path: str | Path) -> list[str]:
    """Return the names of the layers with geometry in a file; none where it is no vector file.

    Raises
    ------
    InputFileError
        If the file is missing.
    """
    with openable(path) as source:
        try:
            with _explained(path):
                return list(_spatial_layers(source, str(path)))
        except InputFileError:
            return []


@contextmanager
def new_geopackage(
    path: str | Path, layer: str, inputs: Iterable[str | Path] = (), label_field: str = ""
) -> Iterator[Path]:
    """Yield a temporary path for a new GeoPackage, and move the file into place once it is complete.

    Parameters and errors are those of `require_free_geopackage`.
    """
    require_free_geopackage(path, layer, inputs, label_field)
    with whole_file(path) as partial:
        yield partial


def require_free_geopackage(
    path: str | Path, layer: str, inputs: Iterable[str | Path] = (), label_field: str = ""
) -> None:
    """Raise `OutputError` unless a GeoPackage of one layer can be written without loss of data.

    Parameters
    ----------
    path
        The file. If it exists, it must have no other layer than the one to be written.
    layer
        The layer to be written.
    inputs
        Files that are read, none of which may be replaced.
    label_field
        A field that the user fills in; a file with values in it is not replaced.

    Raises
    ------
    OutputError
        If the file cannot be written, is open in another program, or has data that would be lost.
    """
    target = Path(path)
    if target.suffix.lower() != ".gpkg":
        raise OutputError(
            f"The output '{path}' does not end in .gpkg. Points are written as GeoPackage; name it so."
        )
    if os.path.exists(f"{path}-wal"):  # noqa: PTH110 - false, no error, where that name would be too long
        raise OutputError(
            f"'{path}' is open in another program (there is a '{target.name}-wal' beside it). Expected a file that "
            "can be replaced; close it there, in QGIS by removing the layer, and run again."
        )
    require_writable_folder(target)
    refuse_overwriting_inputs([target], inputs)
    others = [name for name, kind in _list_tables(target) if (name, kind) != (layer, "features")]
    if others:
        raise OutputError(
            f"'{path}' also holds {', '.join(others)}. Expected a new file, or one with nothing but the layer "
            f"'{layer}', because the file is replaced as a whole; choose another name."
        )
    labelled = _count_filled(target, layer, label_field) if label_field else 0
    if labelled:
        raise OutputError(
            f"'{path}' holds {labelled} {'point' if labelled == 1 else 'points'} whose field '{label_field}' is filled in. "
            "Expected a new file, or points without labels, because the file is replaced as a whole; choose another name."
        )


def write_layer(
    path: Path,
    name: str,
    geometries: NDArray[np.object_],
    fields: Mapping[str, NDArray[Any]],
    crs: CRS,
) -> None:
    """Write one layer to a GeoPackage.

    Parameters
    ----------
    path
        The file.
    name
        Name of the layer.
    geometries
        Shapely geometries, object ``(feature,)``; their type is declared where all have the same.
    fields
        Columns by name, each ``(feature,)``.
    crs
        Coordinate reference system of the geometries.
    """
    import pyogrio.raw

    kinds = {_TYPE_NAMES.get(int(kind), "Unknown") for kind in shapely.get_type_id(geometries)}
    columns = [v.astype(object) if v.dtype.kind == "U" else v for v in fields.values()]
    with writable(path) as target:
        pyogrio.raw.write(
            str(target),
            shapely.to_wkb(geometries),
            columns,
            list(fields),
            layer=name,
            driver="GPKG",
            geometry_type=kinds.pop() if len(kinds) == 1 else "Unknown",
            crs=crs.to_wkt(),
            dataset_options={"VERSION": "1.2"},  # GDAL before 3.7 warns of newer ones
        )


def _list_tables(path: Path) -> list[tuple[str, str]]:
    """Return name and kind of the contents of a GeoPackage: layers, rasters, tables, QGIS projects."""
    return _query(
        path,
        "SELECT table_name, data_type FROM gpkg_contents WHERE table_name <> 'layer_styles' UNION "
        "SELECT name, 'projects' FROM sqlite_master WHERE name = 'qgis_projects'",
    )


def _count_filled(path: Path, layer: str, field: str) -> int:
    query = f'SELECT count(*) FROM "{layer}" AS t WHERE length(trim(t."{field}")) > 0'  # noqa: S608 # nosec B608 - names are constants
    found = _query(path, query)
    return int(found[0][0]) if found else 0


def _query(path: Path, query: str) -> list[Any]:
    """Return the rows of a query on a GeoPackage; none where the file or its tables are missing."""
    try:
        return read_rows(path, query)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_NOTADB):
            return []
        raise OutputError(
            f"'{path}' exists, and what it holds cannot be read ({error}). Expected a file that can be replaced; "
            "close it in other programs, or choose another name."
        ) from error


@contextmanager
def _explained(path: str | Path) -> Iterator[None]:
    """Convert errors of pyogrio into one that names the file and what to do."""
    try:
        yield
    except RuntimeError as error:
        raise InputFileError(
            f"'{path}' cannot be opened as a vector file ({error}). Expected a GeoPackage or another format "
            "that GDAL reads; check that the file is whole by opening it in QGIS."
        ) from error


def _spatial_layers(source: str, path: str) -> dict[str, int]:
    """Return the position among all layers of each layer with geometry, by name."""
    import pyogrio

    require_quick_views(path)
    layers = pyogrio.list_layers(source)
    own = {PLAIN_STEM: Path(path).stem}  # formats of one layer name it after the file
    return {
        own.get(str(name), str(name)): position
        for position, (name, geometry) in enumerate(layers)
        if geometry is not None
    }


_TABLES = (".csv", ".txt", ".tsv", ".xlsx", ".xls", ".ods", ".dbf")
"""Endings of files that hold tables."""


def _choose_layer(path: str, layers: list[str], wanted: str | None) -> str:
    known = ", ".join(layers)
    if not layers:
        advice = "check that this is the file you meant"
        if path.lower().endswith(_TABLES):
            advice = (
                'load the table in QGIS with "Add Delimited Text Layer", choose the fields of the coordinates and their CRS, and '
                "save the layer as a GeoPackage"
            )
        raise PointsError(
            f"'{path}' holds no layer with geometry. Expected a layer of points; {advice}."
        )
    position = None if wanted is None else NameTable(layers).find(wanted)
    if wanted is not None and position is None:
        raise PointsError(
            f"'{path}' has no layer '{wanted}'. It has the layers {known}; name one of these."
        )
    if wanted is None and len(layers) > 1:
        raise PointsError(
            f"'{path}' holds {len(layers)} layers ({known}). Expected one, or the name of the one that holds "
            "the points; name it with `layer=`."
        )
    return layers[position or 0]


def _chunk_arrays(chunk: Sequence[Any], columns: Sequence[str]) -> Features:
    fids = np.array([int(feature.id) for feature in chunk], dtype=np.int64)
    geometries = np.empty(len(chunk), dtype=object)
    for position, feature in enumerate(chunk):
        geometries[position] = _shape_2d(feature.geometry)
    values = {
        name: _column([feature.properties.get(name) for feature in chunk]) for name in columns
    }
    return fids, geometries, values


def _shape_2d(geometry: Any) -> Any:
    if geometry is None or geometry.get("coordinates", True) in ((), []):
        return None
    if geometry["type"] == "Point":
        return shapely.Point(geometry["coordinates"][:2])
    return shapely.force_2d(shapely.geometry.shape(geometry))


def _column(values: list[Any]) -> NDArray[Any]:
    if all(value is None or isinstance(value, (int, float)) for value in values):
        numbers = [np.nan if value is None else value for value in values]
        return np.array(numbers)
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
