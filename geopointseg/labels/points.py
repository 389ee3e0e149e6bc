"""Labelled points: coordinates, classes and optional attributes as arrays; reading and writing them.

A million points take some tens of megabytes. Lines and polygons are kept as shapes beside a representative point.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray
from rasterio.crs import CRS

from geopointseg.errors import PointsError
from geopointseg.labels.class_field import (
    RESERVED_FIELDS,
    ClassCoding,
    build_coding,
    choose_class_field,
    factorize,
    find_field,
    find_name_field,
)
from geopointseg.labels.geometry import explode_parts, find_places
from geopointseg.labels.layer import POINTS_LAYER, VectorLayer, new_geopackage, write_layer
from geopointseg.labels.layer_style import Style, find_style, read_style, symbol_kind, write_style
from geopointseg.labels.point_fields import parse_optional
from geopointseg.legend import Legend
from geopointseg.name import clean_name
from geopointseg.process import use_own_geodata
from geopointseg.raster.grid import crs_name, transform_coordinates
from geopointseg.raster.polygon import move_shapes
from geopointseg.summary import count_classes, described
from geopointseg.vector_source import hold_state

STREAM_ABOVE = 2_000_000
"""Layers with more features are read in chunks."""

CHUNK_SIZE = 25_000
"""Number of features in a chunk."""

_ARRAYS = ("x", "y", "class_index", "weight", "split", "scene", "fid")


@described
@dataclass(frozen=True, eq=False)
class Points:
    """Labelled points with their legend and coordinate reference system.

    Parameters
    ----------
    x, y
        World coordinates in ``crs``, float64 ``(point,)``; for lines and polygons those of a point on them.
    class_index
        Class index into ``legend``, int64 ``(point,)``.
    legend
        The classes.
    crs
        Coordinate reference system of the coordinates.
    weight
        Weight of each point in the training, float32 ``(point,)``; 1 by default.
    split
        ``train``, ``validation``, ``test``, ``buffer``, ``fold1`` ..., or empty, text ``(point,)``.
    scene
        File name of the scene that a point belongs to, or empty where it belongs to any, text ``(point,)``.
    fid
        Feature id in the source, int64 ``(point,)``; parts of one multipoint share theirs.
    source
        Path of the file, for messages.
    class_field
        Name of the class field.
    text_classes
        Whether the class field has names instead of codes.
    shapes
        Lines and polygons, object ``(point,)`` with None where the label is a plain point; None if all are.
    dropped
        Number of features left out on reading, by reason.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    class_index: NDArray[np.int64]
    legend: Legend
    crs: CRS
    weight: NDArray[np.float32]
    split: NDArray[np.str_]
    scene: NDArray[np.str_]
    fid: NDArray[np.int64]
    source: str = ""
    class_field: str = "class"
    text_classes: bool = False
    shapes: NDArray[np.object_] | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)

    def _summary(self) -> list[str]:
        origin = f", from {Path(self.source).name}" if self.source else ""
        lines = [
            f"Points: {len(self)} in {len(self.legend)} classes, {crs_name(self.crs)}{origin}",
            count_classes(self.legend.names, self.counts()),
        ]
        for title, values in (("split", self.split), ("scene", self.scene)):
            names, counts = np.unique(values, return_counts=True)
            if "".join(names.tolist()):
                shown = [name or "none" for name in names.tolist()]
                lines.append(f"{title}: {count_classes(shown, counts)}")
        return lines

    def _table(self) -> tuple[list[str], list[list[object]]]:
        return ["code", "class", "colour", "points"], self.legend.table_rows(self.counts().tolist())

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in _ARRAYS}
        if len(set(lengths.values())) > 1:
            raise PointsError(
                f"The arrays of the points differ in length ({lengths}). Expected one value for each point."
            )
        if len(self) and not 0 <= self.class_index.min() <= self.class_index.max() < len(
            self.legend
        ):
            raise PointsError(
                f"A class index is {self.class_index.min()} or {self.class_index.max()}. Expected 0 to "
                f"{len(self.legend) - 1}, positions in the legend; use Legend.encode to turn codes into indices."
            )

    @classmethod
    def from_arrays(
        cls,
        x: ArrayLike,
        y: ArrayLike,
        class_index: ArrayLike,
        legend: Legend,
        crs: CRS | str | int,
        *,
        weight: ArrayLike | None = None,
        split: ArrayLike | None = None,
        scene: ArrayLike | None = None,
        fid: ArrayLike | None = None,
        source: str = "",
        class_field: str = "class",
    ) -> Points:
        """Build points from coordinates and class indices.

        Parameters
        ----------
        x, y, class_index, legend, crs
            As for the class; ``crs`` in any form that rasterio accepts.
        weight, split, scene, fid
            As for the class; by default 1, empty, empty, and numbers from 1.
        source, class_field
            As for the class.

        Returns
        -------
        Points
            Without shapes.

        Examples
        --------
        >>> legend = Legend.from_names(["water", "forest"])
        >>> points = Points.from_arrays([500005, 500015], [5699995, 5699995], [0, 1], legend, 32633)
        >>> points.counts()
        array([1, 1])
        """
        use_own_geodata()
        x = np.atleast_1d(np.asarray(x, dtype=np.float64))
        count = len(x)
        return cls(
            x=x,
            y=np.atleast_1d(np.asarray(y, dtype=np.float64)),
            class_index=np.atleast_1d(np.asarray(class_index, dtype=np.int64)),
            legend=legend,
            crs=CRS.from_user_input(crs),
            weight=np.asarray(np.ones(count) if weight is None else weight, dtype=np.float32),
            split=np.asarray(np.full(count, "") if split is None else split, dtype=np.str_),
            scene=np.asarray(np.full(count, "") if scene is None else scene, dtype=np.str_),
            fid=np.asarray(np.arange(1, count + 1) if fid is None else fid, dtype=np.int64),
            source=source,
            class_field=clean_name(class_field),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Points]) -> Points:
        """Join points of one legend and CRS."""
        first = parts[0]
        arrays: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS
        }
        shapes = None
        if any(part.shapes is not None for part in parts):
            none = [np.full(len(part), None, dtype=object) for part in parts]
            shapes = np.concatenate(
                [n if p.shapes is None else p.shapes for p, n in zip(parts, none, strict=True)]
            )
        dropped: dict[str, int] = {}
        for part in parts:
            for reason, count in part.dropped.items():
                dropped[reason] = dropped.get(reason, 0) + count
        return dataclasses.replace(first, **arrays, shapes=shapes, dropped=dropped)

    def __len__(self) -> int:
        return len(self.x)

    @property
    def geometry(self) -> NDArray[np.object_]:
        """Shapely geometries, object ``(point,)``: points, or the lines and polygons that were drawn."""
        geometry: NDArray[np.object_] = np.asarray(shapely.points(self.x, self.y), dtype=object)
        if self.shapes is not None:
            drawn = self.is_shape
            geometry[drawn] = self.shapes[drawn]
        return geometry

    @property
    def is_shape(self) -> NDArray[np.bool_]:
        """Which labels are lines or polygons, bool ``(point,)``."""
        if self.shapes is None:
            return np.zeros(len(self), dtype=bool)
        return ~np.asarray(shapely.is_missing(self.shapes), dtype=bool)

    @property
    def codes(self) -> NDArray[np.int64]:
        """Class codes, int64 ``(point,)``."""
        return self.legend.decode(self.class_index)

    def counts(self) -> NDArray[np.int64]:
        """Return the number of points of each class, in legend order."""
        return np.bincount(self.class_index, minlength=len(self.legend)).astype(np.int64)

    def select(self, chosen: NDArray[Any]) -> Self:
        """Return the points that a boolean mask or an index array chooses, in that order."""
        arrays = {name: getattr(self, name)[chosen] for name in _ARRAYS}
        shapes = None if self.shapes is None else self.shapes[chosen]
        return dataclasses.replace(self, **arrays, shapes=shapes)

    def belong_to(self, scene: str) -> NDArray[np.bool_]:
        """Return which points belong to a scene, bool ``(point,)``: those that name it, and those that name none.

        Parameters
        ----------
        scene
            Path or name of the scene; folders and the extension are ignored.
        """
        stem = _stem(scene)
        names = np.unique(self.scene).tolist()
        mine = [name for name in names if name == "" or stem in (_base(name), _stem(name))]
        return np.isin(self.scene, mine)

    def to_crs(self, crs: CRS) -> Self:
        """Return the points in another CRS, each vertex transformed exactly.

        Long edges of lines and polygons get extra vertices first, so that they follow the curvature of the projection.
        Coordinates that cannot be transformed become infinite.
        """
        if crs == self.crs:
            return self
        x, y = transform_coordinates(self.x, self.y, self.crs, crs)
        shapes = None
        if self.shapes is not None:
            shapes = self.shapes.copy()
            drawn = self.is_shape
            shapes[drawn] = move_shapes(self.shapes[drawn], self.crs, crs)
        return dataclasses.replace(self, x=x, y=y, crs=crs, shapes=shapes)

    def with_split(self, split: ArrayLike) -> Self:
        """Return the points with other split names, text ``(point,)``."""
        return dataclasses.replace(self, split=np.asarray(split, dtype=np.str_))

    def describe_dropped(self) -> str:
        """Return the numbers of features left out on reading by reason, for messages; empty if none."""
        return ", ".join(f"{count} {reason}" for reason, count in self.dropped.items() if count)


def read_points(
    path: str | Path,
    *,
    class_field: str | None = None,
    layer: str | None = None,
    legend: Legend | None = None,
    style: str | Path | None = None,
) -> Points:
    """Read labelled points from any vector file that GDAL opens.

    The file is not changed. A GeoPackage that another program edits meanwhile is read in one state. Features without class or geometry are dropped and counted. Layers of more than
    `STREAM_ABOVE` features are streamed, so that only the arrays of `Points` are held in memory.

    Parameters
    ----------
    path
        The file (GeoPackage recommended; shapefile, GeoJSON, FlatGeobuf and others are read as well).
    class_field
        Field with class codes or names; by default the only one with a usual name.
    layer
        Name of the layer, where the file has several with geometry.
    legend
        Legend for the classes, for example that of a model; by default one from the data, with the names and colours of
        the layer's categorized QGIS style.
    style
        A ``.qml`` file with names and colours, instead of the layer's own style.

    Returns
    -------
    Points
        With the number of features left out in ``dropped``.

    Raises
    ------
    InputFileError
        If the file is missing or not a vector file.
    PointsError
        If layer or class field are missing or ambiguous, there is no CRS, or no feature is usable.
    LegendError
        If the style has duplicate names or codes.
    """
    with hold_state(path):
        plan = _plan(VectorLayer.open(path, layer), class_field, legend, style)
        chunk_size = CHUNK_SIZE if plan.layer.count > STREAM_ABOVE else None
        points = Points.concatenate(list(plan.chunks(chunk_size)))
    if len(points) == 0:
        raise PointsError(
            f"None of the {plan.layer.count} features in layer '{plan.layer.name}' of '{path}' has both a geometry "
            f"and a value in '{plan.class_field}' (left out: {points.describe_dropped()}). "
            "Expected labelled points; digitize some or choose another field with `class_field=`."
        )
    return points


def stream_points(
    path: str | Path,
    *,
    class_field: str | None = None,
    layer: str | None = None,
    legend: Legend | None = None,
    chunk_size: int = CHUNK_SIZE,
) -> Iterator[Points]:
    """Yield labelled points in chunks, for layers that are too large for memory.

    Parameters are those of `read_points`. Every chunk has the same legend, for which the class field is read beforehand.
    """
    yield from _plan(VectorLayer.open(path, layer), class_field, legend, None).chunks(chunk_size)


def write_points(
    points: Points,
    path: str | Path,
    *,
    extra: Mapping[str, ArrayLike] | None = None,
    layer: str = POINTS_LAYER,
    styled_by: str | None = None,
) -> None:
    """Write points to a GeoPackage that opens in QGIS with names and colours.

    Fields are the class field (names or codes, as it was read), ``weight``, ``split`` and ``scene`` where any point has
    them, then the extra ones. The style is stored in the table ``layer_styles`` of the file.

    Parameters
    ----------
    points
        The points.
    path
        A ``.gpkg`` file; an existing one is replaced once the new one is complete.
    extra
        Further fields by name, each ``(point,)``.
    layer
        Name of the layer.
    styled_by
        Field that colours the points in QGIS instead of the class field.

    Raises
    ------
    OutputError
        If the file cannot be written, is the one that the points were read from, or has other layers.
    """
    fields = _output_fields(points) | {name: np.asarray(v) for name, v in (extra or {}).items()}
    styled_by = styled_by or points.class_field
    if styled_by == points.class_field:
        style = Style.of_legend(styled_by, points.legend, by_name=points.text_classes)
    else:
        style = Style.of_values(styled_by, np.unique(fields[styled_by].astype(str)).tolist())
    geometry = points.geometry
    with new_geopackage(path, layer, [points.source]) as partial:
        write_layer(partial, layer, geometry, fields, points.crs)
        write_style(partial, layer, style, geometry=symbol_kind(geometry))


@dataclass(frozen=True)
class _ReadingPlan:
    """Layer, fields and class coding for reading points."""

    layer: VectorLayer
    class_field: str
    coding: ClassCoding
    optional: Mapping[str, str]

    def chunks(self, chunk_size: int | None) -> Iterator[Points]:
        columns = list(dict.fromkeys([self.class_field, *self.optional.values()]))
        for fids, geometries, values in self.layer.features(columns, chunk_size):
            yield self._to_points(fids, geometries, values)

    def _to_points(
        self, fids: NDArray[np.int64], geometries: NDArray[np.object_], values: dict[str, Any]
    ) -> Points:
        class_index = self.coding.encode(values[self.class_field], self.class_field)
        parts, feature = explode_parts(geometries)
        dropped = {
            "without geometry": len(geometries) - len(np.unique(feature)),
            "without class": int((class_index < 0).sum()),
        }
        keep = class_index[feature] >= 0
        parts, feature = parts[keep], feature[keep]
        x, y, shapes = find_places(parts)
        optional = {
            name: parse_optional(name, values[field], self.layer.path)[feature]
            for name, field in self.optional.items()
        }
        points = Points.from_arrays(
            x,
            y,
            class_index[feature],
            self.coding.legend,
            self.layer.crs,
            fid=fids[feature],
            source=self.layer.path,
            class_field=self.class_field,
            **optional,
        )
        return dataclasses.replace(
            points, shapes=shapes, dropped=dropped, text_classes=self.coding.is_text
        )


def _plan(
    layer: VectorLayer,
    class_field: str | None,
    legend: Legend | None,
    style_path: str | Path | None,
) -> _ReadingPlan:
    if layer.crs is None:
        raise PointsError(
            f"Layer '{layer.name}' in '{layer.path}' has no coordinate reference system. Points need one to be "
            'placed on a scene; assign it in QGIS with "Assign projection" and save.'
        )
    style = read_style(style_path) if style_path else find_style(layer.path, layer.name)
    chosen = choose_class_field(layer, class_field, style)
    values, names = _survey(layer, chosen)
    coding = build_coding(values, chosen, style=style, names=names, legend=legend)
    reserved = {name: find_field(layer, name) for name in RESERVED_FIELDS}
    optional = {name: field for name, field in reserved.items() if field and field != chosen}
    return _ReadingPlan(layer, chosen, coding, optional)


def _survey(layer: VectorLayer, class_field: str) -> tuple[set[str], dict[str, str]]:
    """Return the distinct class values, and their names where a text field has exactly one for each."""
    name_field = find_name_field(layer, class_field)
    columns = [class_field, *([name_field] if name_field else [])]
    chunk_size = CHUNK_SIZE if layer.count > STREAM_ABOVE else None
    values: set[str] = set()
    pairs: set[tuple[str, str]] = set()
    for _, _, found in layer.features(columns, chunk_size, geometry=False):
        codes, distinct = factorize(found[class_field], class_field)
        values |= set(distinct)
        if name_field:
            name_codes, names = factorize(found[name_field], name_field)
            both = np.unique(
                np.stack([codes, name_codes])[:, (codes >= 0) & (name_codes >= 0)], axis=1
            )
            pairs |= {(distinct[code], names[name]) for code, name in both.T}
    one_to_one = len({v for v, _ in pairs}) == len({n for _, n in pairs}) == len(pairs)
    return values, dict(pairs) if one_to_one else {}


def _output_fields(points: Points) -> dict[str, NDArray[Any]]:
    names = np.array(points.legend.names, dtype=object)
    classes = names[points.class_index] if points.text_classes else points.codes
    fields: dict[str, NDArray[Any]] = {points.class_field: classes}
    if (points.weight != 1).any():
        fields["weight"] = points.weight.astype(np.float64)
    for name in ("split", "scene"):
        if (getattr(points, name) != "").any():
            fields[name] = getattr(points, name)
    return fields


def _base(name: str) -> str:
    """Return a file name without folders."""
    return re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]


def _stem(name: str) -> str:
    """Return a file name without folders and without an ending like ``.tif``; dots in dates stay."""
    return re.sub(r"(?<=.)\.[A-Za-z]\w{0,8}$", "", _base(name))
