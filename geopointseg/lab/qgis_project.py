"""A QGIS project with a scene, points and maps, written without QGIS.

The project stores relative paths, so the folder can be moved. It opens in QGIS 3.22 and later.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree as ET

import numpy as np
import pyogrio
from pyproj import CRS

from geopointseg.labels.layer_style import find_style, format_style
from geopointseg.markup import parse_xml
from geopointseg.name import allowed_in_xml
from geopointseg.raster.class_map import ClassMap
from geopointseg.raster.class_style import paletted_qml
from geopointseg.raster.grid import Grid
from geopointseg.raster.publishing import whole_file
from geopointseg.raster.scene import Scene
from geopointseg.report.picture import color_bands

_STRETCH = (2, 98)
"""Percentiles of a band that are shown black and fully bright, as in the pictures of the reports."""

_PROPERTIES = (
    ("Paths", "Absolute", "bool", "false"),
    (
        "SpatialRefSys",
        "ProjectionsEnabled",
        "int",
        "1",
    ),  # without it QGIS ignores the CRS of the project
)


@dataclass(frozen=True)
class _Layer:
    """One layer: its kind, file, name in the legend, CRS, style document, and whether it is shown."""

    kind: Literal["raster", "vector"]
    source: str
    name: str
    crs: CRS
    style: str
    shown: bool = True

    @property
    def provider(self) -> str:
        return "gdal" if self.kind == "raster" else "ogr"


def write_qgis_project(
    path: str | Path,
    scene: Scene,
    points: str | Path,
    maps: Sequence[str | Path] = (),
    *,
    title: str = "",
) -> Path:
    """Write a project with points over maps over a scene; only the first map is shown.

    Parameters
    ----------
    path
        The project, a ``.qgs`` file.
    scene
        The scene, drawn in natural colours, each band stretched from its 2nd to its 98th percentile.
    points
        A GeoPackage with one layer, which has a categorized style.
    maps
        Class maps, drawn in the colours of their legends.
    title
        Title of the project.

    Returns
    -------
    Path
        The project.

    Raises
    ------
    OutputError
        If the project cannot be written.
    """
    path = Path(path)
    layers = [_point_layer(Path(points), path.parent)]
    layers += [_map_layer(Path(each), path.parent, shown=each == maps[0]) for each in maps]
    layers += [_scene_layer(scene, path.parent)]
    root = ET.Element("qgis", version="3.22.0", projectname=title)
    ET.SubElement(root, "title").text = title
    _add_crs(ET.SubElement(root, "projectCrs"), scene.grid.crs)
    _add_tree(root, layers)
    _add_canvas(root, scene.grid)
    holder = ET.SubElement(root, "projectlayers")
    for layer in layers:
        _add_layer(holder, layer)
    properties = ET.SubElement(root, "properties")
    for group, name, kind, value in _PROPERTIES:
        ET.SubElement(ET.SubElement(properties, group), name, type=kind).text = value
    ET.indent(root)
    text = allowed_in_xml(ET.tostring(root, encoding="unicode"))
    with whole_file(path) as temporary:
        temporary.write_text(
            f"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n{text}\n", "utf-8"
        )
    return path


def _point_layer(path: Path, folder: Path) -> _Layer:
    [[name, _]] = [row for row in pyogrio.list_layers(path) if row[1] is not None]
    style = find_style(path, name)
    document = "" if style is None else format_style(style)
    source = f"{_relative(path, folder)}|layername={name}"
    crs = CRS.from_user_input(pyogrio.read_info(path, layer=name)["crs"])
    return _Layer("vector", source, path.stem, crs, document)


def _map_layer(path: Path, folder: Path, *, shown: bool) -> _Layer:
    class_map = ClassMap.open(path)
    document = paletted_qml(class_map.legend)
    return _Layer("raster", _relative(path, folder), path.stem, class_map.grid.crs, document, shown)


def _scene_layer(scene: Scene, folder: Path) -> _Layer:
    source = str(scene.path)
    if os.path.isfile(source):  # noqa: PTH113 - Path fails on the text of a virtual raster
        source = _relative(Path(source), folder)
    return _Layer("raster", source, scene.name, scene.grid.crs, _scene_style(scene))


def _relative(path: Path, folder: Path) -> str:
    path, folder = path.absolute(), folder.absolute()
    return f"./{path.relative_to(folder).as_posix()}" if path.is_relative_to(folder) else str(path)


def _scene_style(scene: Scene) -> str:
    """Return a style in natural colours, or in grey for a scene of one band."""
    bands = color_bands(scene)
    shown = dict(zip(("red", "green", "blue"), bands * 3, strict=False))
    root = ET.Element("qgis", version="3.22.0")
    pipe = ET.SubElement(root, "pipe")
    attributes = {f"{color}Band": str(index) for color, index in shown.items()}
    renderer = ET.SubElement(
        pipe, "rasterrenderer", attributes | {"type": "multibandcolor", "opacity": "1"}
    )
    limits = _stretch_limits(scene)
    for color, index in shown.items():
        low, high = limits[index]
        enhancement = ET.SubElement(renderer, f"{color}ContrastEnhancement")
        ET.SubElement(enhancement, "minValue").text = f"{low:g}"
        ET.SubElement(enhancement, "maxValue").text = f"{high:g}"
        ET.SubElement(enhancement, "algorithm").text = "StretchToMinimumMaximum"
    return ET.tostring(root, encoding="unicode")


def _stretch_limits(scene: Scene) -> dict[int, tuple[float, float]]:
    stored, valid = scene.read_stored(scene.grid.window, scene.read_overview().valid.shape)
    limits = {}
    for band, plane in zip(scene.source_bands, stored, strict=True):
        low, high = np.percentile(plane[valid], _STRETCH) if valid.any() else (0, 1)
        limits[band.index] = (float(low), float(max(high, low + 1)))
    return limits


def _add_layer(holder: ET.Element, layer: _Layer) -> None:
    attributes: dict[str, str] = {"type": layer.kind}
    if layer.kind == "vector":
        attributes |= {"geometry": "Point", "wkbType": "Point"}
    node = ET.SubElement(holder, "maplayer", attributes)
    for tag, text in (
        ("id", _identity(layer)), ("datasource", layer.source), ("layername", layer.name),
        ("provider", layer.provider),
    ):  # fmt: skip
        ET.SubElement(node, tag).text = text
    _add_crs(ET.SubElement(node, "srs"), layer.crs)
    if layer.style:
        node.extend(parse_xml(layer.style))


def _add_tree(root: ET.Element, layers: Sequence[_Layer]) -> None:
    tree = ET.SubElement(root, "layer-tree-group")
    for layer in layers:
        ET.SubElement(
            tree, "layer-tree-layer",
            id=_identity(layer), name=layer.name, source=layer.source, providerKey=layer.provider,
            checked="Qt::Checked" if layer.shown else "Qt::Unchecked", expanded="1",
        )  # fmt: skip


def _add_canvas(root: ET.Element, grid: Grid) -> None:
    canvas = ET.SubElement(root, "mapcanvas", name="theMapCanvas")
    extent = ET.SubElement(canvas, "extent")
    for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), grid.bounds, strict=True):
        ET.SubElement(extent, tag).text = repr(float(value))
    _add_crs(ET.SubElement(canvas, "destinationsrs"), grid.crs)


def _add_crs(node: ET.Element, crs: CRS) -> None:
    system = ET.SubElement(node, "spatialrefsys")
    crs = CRS.from_user_input(crs)
    ET.SubElement(system, "wkt").text = crs.to_wkt()
    authority = crs.to_authority()
    if authority is not None:
        ET.SubElement(system, "authid").text = ":".join(authority)


def _identity(layer: _Layer) -> str:
    """Return the id of a layer; QGIS replaces ids of ten characters and less, which detaches the layer from the tree."""
    return f"layer_{uuid.uuid5(uuid.NAMESPACE_URL, layer.source)}".replace("-", "_")
