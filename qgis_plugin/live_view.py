"""What Live shows and asks: the part of the ground that is in view, its points, classes and colours."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, NamedTuple

from qgis import core
from qgis.PyQt.QtGui import QColor

from .panel_new import SPARE
from .panel_points import ClassRow, text_of

LARGEST_PX = 2048


class Ground(NamedTuple):
    """Where the worker's raster lies: its CRS, extent, and columns and rows."""

    crs: core.QgsCoordinateReferenceSystem
    extent: core.QgsRectangle
    columns: int
    rows: int


class View(NamedTuple):
    """A part of the ground and the size of its picture in pixels."""

    bounds: core.QgsRectangle
    width: int
    height: int


def view_of(canvas: Any, ground: Ground) -> View | None:
    """Return what the canvas shows of the ground, in the raster's CRS; None where that is nothing.

    No picture is finer than the raster. One of the raster's own pixels begins and ends at their edges.
    """
    settings, project = canvas.mapSettings(), core.QgsProject.instance()
    whole, size, (_, extent, columns, rows) = (
        settings.visibleExtent(),
        settings.outputSize(),
        ground,
    )
    if settings.destinationCrs().isValid():
        transform = core.QgsCoordinateTransform(settings.destinationCrs(), ground.crs, project)
        try:
            whole = transform.transformBoundingBox(whole)
        except core.QgsCsException:
            return None
    seen = whole.intersect(extent)
    if seen.isEmpty() or not whole.isFinite():
        return None
    wide, high = extent.width() / columns, extent.height() / rows
    left, right = ((x - extent.xMinimum()) / wide for x in (seen.xMinimum(), seen.xMaximum()))
    top, bottom = ((extent.yMaximum() - y) / high for y in (seen.yMaximum(), seen.yMinimum()))
    shrink = max(whole.width() / wide / size.width(), (right - left) / LARGEST_PX, (bottom - top) / LARGEST_PX)  # fmt: skip
    if shrink <= 1:
        shrink, left, top = 1.0, math.floor(left + 1e-6), math.floor(top + 1e-6)
        right, bottom = (
            max(math.ceil(right - 1e-6), left + 1),
            max(math.ceil(bottom - 1e-6), top + 1),
        )
        x, y = extent.xMinimum(), extent.yMaximum()
        seen = core.QgsRectangle(
            x + left * wide, y - bottom * high, x + right * wide, y - top * high
        )
    return View(
        seen, max(round((right - left) / shrink), 1), max(round((bottom - top) / shrink), 1)
    )


def names_of(rows: list[ClassRow]) -> list[str]:
    """Return what each class is called: its label where no other class has it, else its value."""
    labels = Counter(row.label for row in rows)
    return [row.label if row.label and labels[row.label] == 1 else row.values[0] for row in rows]


def colors_of(rows: list[ClassRow]) -> list[QColor]:
    """Return the colour of each class: that of the style, or one of a list."""
    return [QColor(row.color or SPARE[i % len(SPARE)]) for i, row in enumerate(rows)]


def legend_of(rows: list[ClassRow]) -> list[dict[str, Any]]:
    """Return the classes as the worker takes them; values that are whole numbers are the map's codes."""
    legend = []
    for row, name, color in zip(rows, names_of(rows), colors_of(rows)):
        code = {"code": int(row.values[0])} if row.values[0].isdecimal() else {}
        legend.append({"name": name, "color": color.name(), **code})
    return legend


def points_of(layer: core.QgsVectorLayer, field: str, rows: list[ClassRow], crs: Any) -> list[dict[str, Any]]:  # fmt: skip
    """Return the points that have a class, as the layer is on the screen, in the raster's CRS."""
    names = {value: name for row, name in zip(rows, names_of(rows)) for value in row.values}
    transform = core.QgsCoordinateTransform(layer.crs(), crs, core.QgsProject.instance())
    index, found = layer.fields().indexOf(field), []
    for feature in layer.getFeatures(core.QgsFeatureRequest().setSubsetOfAttributes([index])):
        name, geometry = names.get(text_of(feature.attribute(index))), feature.geometry()
        for vertex in geometry.vertices() if name and feature.hasGeometry() else ():
            try:
                place = transform.transform(vertex.x(), vertex.y())
            except core.QgsCsException:
                continue
            found.append({"point": len(found) + 1, "x": place.x(), "y": place.y(), "class": name})
    return found


def question_layer(crs: Any, answer: dict[str, Any]) -> core.QgsVectorLayer:
    """Return a place and its two classes as a layer of one suggested point, which no project holds."""
    fields = "field=rank:int&field=likely:string&field=or_else:string"
    layer = core.QgsVectorLayer(f"Point?{fields}", "question", "memory")
    layer.setCrs(crs)
    feature = core.QgsFeature(layer.fields())
    feature.setGeometry(core.QgsGeometry.fromPointXY(core.QgsPointXY(answer["x"], answer["y"])))
    feature.setAttributes([1, *[*answer["classes"], "", ""][:2]])
    layer.dataProvider().addFeature(feature)
    return layer
