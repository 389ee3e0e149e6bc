"""QGIS styles of point layers: class names and colours.

QGIS keeps the style of a layer as an XML document (QML), either in a file beside the layer or in the table ``layer_styles``
of a GeoPackage. Only *categorized* styles are used, which have one category per value with a label and a symbol. Both forms
of symbol properties are read: ``<prop k= v=>`` up to QGIS 3.26, and ``<Option name= value=>`` since.
"""

from __future__ import annotations

import itertools
import sqlite3
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from geopointseg.class_colors import default_colors
from geopointseg.errors import InputFileError
from geopointseg.labels.geopackage import is_stored_table, read_rows
from geopointseg.legend import Legend
from geopointseg.markup import parse_xml, read_document
from geopointseg.name import allowed_in_xml, clean_name

_MOST_STYLES = 100
"""Number of styles of a layer that are tried."""


@dataclass(frozen=True)
class Category:
    """One value of the class field, with its label and colour in QGIS."""

    value: str
    label: str
    color: str


@dataclass(frozen=True)
class Style:
    """A categorized style: its field, and its categories in the order of the legend."""

    field: str
    categories: tuple[Category, ...]

    @classmethod
    def of_legend(cls, field: str, legend: Legend, *, by_name: bool) -> Style:
        """Return the style of a class field that has names (``by_name``) or codes."""
        names = [(e.name if by_name else str(e.code), e.name, e.color) for e in legend.entries]
        return cls(field, tuple(Category(*each) for each in names))

    @classmethod
    def of_values(cls, field: str, values: Sequence[str]) -> Style:
        """Return a style with a default colour for each value."""
        colors = default_colors(len(values))
        return cls(field, tuple(Category(v, v, c) for v, c in zip(values, colors, strict=True)))


def symbol_kind(geometry: NDArray[np.object_]) -> str:
    """Return ``point``, ``line`` or ``polygon`` for geometries of one dimension; ``point`` for others."""
    dimensions = set(shapely.get_dimensions(geometry))
    return ("point", "line", "polygon")[int(dimensions.pop())] if len(dimensions) == 1 else "point"


def find_style(path: str | Path, layer: str) -> Style | None:
    """Find the categorized style of a layer: in a ``.qml`` beside the file, or in its table ``layer_styles``.

    Returns
    -------
    Style or None
        None where there is no style, or none that is categorized.

    Raises
    ------
    InputFileError
        If a style is larger than `geopointseg.markup.LARGEST_BYTES`.
    """
    sidecar = Path(path).with_suffix(".qml")
    beside = [_read(sidecar)] if sidecar.is_file() else []
    for document in itertools.chain(beside, _stored_styles(path, layer)):
        style = parse_style(document)
        if style is not None:
            return style
    return None


def read_style(path: str | Path) -> Style:
    """Read a categorized style from a ``.qml`` file.

    Raises
    ------
    InputFileError
        If the file is missing or its style is not categorized.
    """
    if not Path(path).is_file():
        raise InputFileError(f"The style file '{path}' does not exist. Check the path.")
    style = parse_style(_read(Path(path)))
    if style is None:
        raise InputFileError(
            f"'{path}' holds no categorized style. Expected a QML file with one category per class; style the layer "
            'by "Categorized" in QGIS and save the style again.'
        )
    return style


def _read(path: Path) -> str:
    try:
        return read_document(path)
    except ValueError as error:
        raise InputFileError(
            f"The style '{path}' cannot be read: {error}. Expected a QML file of QGIS; save the style again."
        ) from error


def parse_style(document: str) -> Style | None:
    """Return the style in a QML document; None where it is not categorized, damaged, or declares entities.

    Examples
    --------
    >>> style = Style("cover", (Category("3", "forest", "#1b7837"),))
    >>> parse_style(format_style(style)) == style
    True
    """
    try:
        root = parse_xml(document)
    except ValueError:
        return None
    renderer = root if root.tag == "renderer-v2" else root.find(".//renderer-v2")
    if renderer is None or renderer.get("type") != "categorizedSymbol":
        return None
    colors = {
        symbol.get("name", ""): _symbol_color(symbol)
        for symbol in renderer.findall("symbols/symbol")
    }
    categories = [
        Category(value, clean_name(node.get("label", "")), colors.get(node.get("symbol", "")) or "")
        for node in renderer.findall("categories/category")
        for value in _category_values(node)
    ]
    return Style(clean_name(renderer.get("attr", "").strip('"')), tuple(categories))


def format_style(style: Style, *, geometry: str = "point") -> str:
    """Return a categorized style as a QML document for QGIS 3.22 and later; ``geometry`` is point, line or polygon."""
    root = ET.Element("qgis", version="3.22.0", styleCategories="Symbology")
    attributes = {"type": "categorizedSymbol", "attr": style.field, "enableorderby": "0"}
    renderer = ET.SubElement(root, "renderer-v2", attributes)
    categories = ET.SubElement(renderer, "categories")
    symbols = ET.SubElement(renderer, "symbols")
    for number, category in enumerate(style.categories):
        attributes = {"value": category.value, "label": category.label, "symbol": str(number)}
        ET.SubElement(categories, "category", attributes | {"render": "true"})
        _append_symbol(symbols, str(number), category.color, geometry)
    body = allowed_in_xml(ET.tostring(root, encoding="unicode"))
    return f"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n{body}\n"


def write_style(path: str | Path, layer: str, style: Style, *, geometry: str = "point") -> None:
    """Store a style as the default style of a GeoPackage layer.

    Parameters
    ----------
    path
        The GeoPackage, without the table ``layer_styles``.
    layer
        Name of the layer.
    style
        The style.
    geometry
        ``point``, ``line`` or ``polygon``.
    """
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(_CREATE_LAYER_STYLES)
        connection.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, last_change) "
            "VALUES ('layer_styles', 'attributes', 'layer_styles', strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))"
        )
        column = connection.execute(
            "SELECT column_name FROM gpkg_geometry_columns WHERE table_name = ?", (layer,)
        ).fetchone()
        connection.execute(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName, "
            "styleQML, styleSLD, useAsDefault, description, owner) VALUES ('', '', ?, ?, ?, ?, '', 1, '', '')",
            (layer, column[0], layer[:30], format_style(style, geometry=geometry)),
        )


_CREATE_LAYER_STYLES = """
CREATE TABLE layer_styles (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256), f_geometry_column TEXT(256),
    styleName TEXT(30), styleQML TEXT, styleSLD TEXT, useAsDefault BOOLEAN, description TEXT, owner TEXT(30),
    ui TEXT(30), update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
)
"""


def _stored_styles(path: str | Path, layer: str) -> Iterator[str]:
    """Yield the styles of a layer, the default one first; none where ``layer_styles`` is missing or a view."""
    query = (
        "SELECT rowid FROM layer_styles WHERE f_table_name = ? "
        "ORDER BY useAsDefault DESC, update_time DESC, id DESC LIMIT ?"
    )
    try:
        is_stored = is_stored_table(path, "layer_styles")
        numbers = read_rows(path, query, (layer, _MOST_STYLES)) if is_stored else []
        for (number,) in numbers:
            found = read_rows(path, "SELECT styleQML FROM layer_styles WHERE rowid = ?", (number,))
            yield from (text for (text,) in found if isinstance(text, str))
    except sqlite3.DatabaseError:  # no GeoPackage, or no such table: the layer has no style
        return


def _category_values(node: ET.Element) -> list[str]:
    merged = [value.get("value", "") for value in node.findall("val")]
    values = [clean_name(value) for value in merged or [node.get("value", "")]]
    return [value for value in values if value not in ("", "NULL")]


def _symbol_color(symbol: ET.Element) -> str | None:
    for layer in symbol.findall("layer"):
        properties = {o.get("name"): o.get("value") for o in layer.findall("Option/Option")}
        properties |= {p.get("k"): p.get("v") for p in layer.findall("prop")}
        for key in ("color", "line_color", "outline_color"):
            color = _hex_color(properties.get(key))
            if color:
                return color
    return None


def _hex_color(text: str | None) -> str | None:
    try:
        channels = [int(part) for part in (text or "").split(",")[:3]]
    except ValueError:
        return None
    if len(channels) != 3 or not all(0 <= channel <= 255 for channel in channels):
        return None
    return "#" + "".join(f"{channel:02x}" for channel in channels)


def _append_symbol(symbols: ET.Element, name: str, color: str, geometry: str) -> None:
    kind, layer_class = {
        "point": ("marker", "SimpleMarker"),
        "line": ("line", "SimpleLine"),
        "polygon": ("fill", "SimpleFill"),
    }[geometry]
    symbol = ET.SubElement(symbols, "symbol", {"name": name, "type": kind, "alpha": "1"})
    layer = ET.SubElement(symbol, "layer", {"class": layer_class, "enabled": "1", "pass": "0"})  # nosec B105 - the pass of a symbol layer
    options = ET.SubElement(layer, "Option", type="Map")
    rgb = ",".join(str(int(color[i : i + 2], 16)) for i in (1, 3, 5)) + ",255"
    color_key = "line_color" if geometry == "line" else "color"
    values = {color_key: rgb, "outline_color": "35,35,35,255", "name": "circle", "size": "2.4"}
    for key, value in values.items():
        ET.SubElement(options, "Option", {"name": key, "type": "QString", "value": value})
        ET.SubElement(layer, "prop", k=key, v=value)
