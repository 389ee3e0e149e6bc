"""What Live shows and asks: the part of the ground that is in view, its points, classes and colours."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, NamedTuple

from qgis import core
from qgis.PyQt.QtGui import QColor

from . import inputs
from .panel_new import SPARE
from .panel_points import ClassRow, text_of

LARGEST_PX, EDGE = 2048, 1e-6


class Ground(NamedTuple):
    """Where the worker's raster lies: its CRS, extent, and the size of a pixel in the units of the CRS."""

    crs: core.QgsCoordinateReferenceSystem
    extent: core.QgsRectangle
    wide: float
    high: float


class View(NamedTuple):
    """A part of the ground and the size of its picture in pixels."""

    bounds: core.QgsRectangle
    width: int
    height: int


def view_of(canvas: Any, ground: Ground) -> View | None:
    """Return what the canvas shows of the ground, in the raster's CRS; None where that is nothing.

    It begins and ends at edges of the raster's pixels, and no picture is finer than these.
    """
    settings, project = canvas.mapSettings(), core.QgsProject.instance()
    there = core.QgsCoordinateTransform(ground.crs, settings.destinationCrs(), project)
    try:  # from the raster and back: far from it, coordinates of the map may have no place in its CRS
        visible = there.transformBoundingBox(ground.extent).intersect(settings.visibleExtent())
        seen = there.transformBoundingBox(visible, core.Qgis.TransformDirection.Reverse).intersect(ground.extent)
    except core.QgsCsException:
        return None
    if visible.isEmpty() or seen.isEmpty():
        return None
    west, north, wide, high = ground.extent.xMinimum(), ground.extent.yMaximum(), ground.wide, ground.high
    left, top = math.floor((seen.xMinimum() - west) / wide + EDGE), math.floor((north - seen.yMaximum()) / high + EDGE)
    columns = max(math.ceil((seen.xMaximum() - west) / wide - EDGE) - left, 1)
    rows = max(math.ceil((north - seen.yMinimum()) / high - EDGE) - top, 1)
    finer = seen.width() / wide * settings.mapUnitsPerPixel() / visible.width()  # raster pixels in one of the map
    shrink = max(1.0, finer, max(columns, rows) / LARGEST_PX)
    x, y = west + left * wide, north - top * high
    bounds = core.QgsRectangle(x, y - rows * high, x + columns * wide, y)
    return View(bounds, max(round(columns / shrink), 1), max(round(rows / shrink), 1))


def classes_of(rows: list[ClassRow]) -> dict[str, QColor]:
    """Return names and colours of the classes: the label, where no other class has it, or else the value."""
    labels = Counter(row.label for row in rows)
    names = [row.label if row.label and labels[row.label] == 1 else row.values[0] for row in rows]
    return {name: QColor(row.color or SPARE[i % len(SPARE)]) for i, (name, row) in enumerate(zip(names, rows))}


def legend_of(rows: list[ClassRow]) -> list[dict[str, Any]]:
    """Return the classes as the worker takes them; values that are whole numbers are the map's codes."""
    codes = [{"code": int(row.values[0])} if row.values[0].isdecimal() else {} for row in rows]
    shown = zip(classes_of(rows).items(), codes)
    return [{"name": name, "color": color.name(), **code} for (name, color), code in shown]


def points_of(layer: core.QgsVectorLayer, field: str, rows: list[ClassRow], crs: Any) -> list[dict[str, Any]]:  # fmt: skip
    """Return the points that have a class, as the layer is on the screen, in the raster's CRS."""
    names = {value: name for row, name in zip(rows, classes_of(rows)) for value in row.values}
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
    kind = "Point?field=rank:int&field=likely:string&field=or_else:string"
    place = core.QgsGeometry.fromPointXY(core.QgsPointXY(answer["x"], answer["y"]))
    return inputs.layer_of_one(kind, crs, place, [1, *[*answer["classes"], "", ""][:2]])
