"""What Live shows and asks: the part of the ground in view, its points and classes, and the picture over the map."""

from __future__ import annotations

import ast
import math
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from qgis import core
from qgis.gui import QgsMapCanvasItem
from qgis.PyQt.QtCore import QRectF
from qgis.PyQt.QtGui import QColor, QImage, QPainter, QPen, QTransform

from . import inputs
from .panel_points import SPARE, ClassRow, text_of

UNKNOWN, DOT_PX, MESH, ABOVE_MAP, LARGEST_PX, EDGE = 255, 4.0, 10, 1.0, 2048, 1e-6


def read_grid(path: str) -> tuple[int, int, bytes]:
    """Return width, height and the values of a ``.npy`` file of uint8, row by row."""
    data = Path(path).read_bytes()
    start = 10 + int.from_bytes(data[8:10], "little")
    header = ast.literal_eval(data[10:start].decode("latin-1"))
    if header["descr"] != "|u1" or header["fortran_order"] or len(header["shape"]) != 2:
        raise ValueError(header)
    return header["shape"][1], header["shape"][0], data[start:]


def paint_grid(grid: tuple[int, int, bytes], colors: list[QColor]) -> QImage:
    """Return the picture of a grid; a value without a colour is transparent."""
    width, height, values = grid
    image = QImage(values, width, height, width, QImage.Format.Format_Indexed8)
    table = [color.rgba() for color in colors]
    image.setColorTable(table + [0] * (256 - len(table)))
    return image.convertToFormat(QImage.Format.Format_ARGB32_Premultiplied)


class Picture(QgsMapCanvasItem):
    """An image that lies on the ground: it follows panning, zooming and turning until a sharper one comes.

    It is no layer: the project, its order of layers and its saving know nothing of it, and showing it
    costs no drawing of the map. What it covers of the points it draws again as dots (in the map's CRS).
    """

    def __init__(self, canvas: Any) -> None:
        super().__init__(canvas)
        self.canvas, self.image = canvas, QImage()
        self.cells, self.dots = [], []  # parts of the image with their places; places with colours
        self.setZValue(ABOVE_MAP)

    def show_image(self, image: QImage, bounds: core.QgsRectangle, crs: Any) -> None:
        """Lay an image on its bounds in a CRS; on a map of another CRS as a mesh of small parts."""
        target, project = self.canvas.mapSettings().destinationCrs(), core.QgsProject.instance()
        transform, count = core.QgsCoordinateTransform(crs, target, project), MESH
        if not target.isValid() or crs == target:
            transform, count = core.QgsCoordinateTransform(), 1
        wide, high = image.width() / count, image.height() / count
        self.image, self.cells = image, []
        for col, row in ((i % count, i // count) for i in range(count * count)):
            corners = [(col, row), (col + 1, row), (col, row + 1)]
            try:
                places = [transform.transform(
                    bounds.xMinimum() + bounds.width() * x / count, bounds.yMaximum() - bounds.height() * y / count
                ) for x, y in corners]  # fmt: skip
            except core.QgsCsException:
                continue
            self.cells.append((QRectF(col * wide, row * high, wide, high), places))
        self.update()

    def clear(self) -> None:
        """Show nothing."""
        self.image, self.cells, self.dots = QImage(), [], []
        self.update()

    def boundingRect(self) -> QRectF:
        return QRectF(self.canvas.viewport().rect())

    def updatePosition(self) -> None:
        self.prepareGeometryChange()
        self.update()

    def paint(self, painter: QPainter, *_option: Any) -> None:
        ratio = self.canvas.devicePixelRatioF()
        whole = QImage(self.canvas.viewport().size() * ratio, QImage.Format.Format_ARGB32_Premultiplied)
        whole.setDevicePixelRatio(ratio)
        whole.fill(0)
        inner = QPainter(whole)
        inner.setCompositionMode(QPainter.CompositionMode.CompositionMode_Source)  # the parts overlap
        for source, places in self.cells:
            at, right, below = map(self.toCanvasCoordinates, places)
            across, down = (right - at) / source.width(), (below - at) / source.height()
            inner.setTransform(QTransform(across.x(), across.y(), down.x(), down.y(), at.x(), at.y()))
            part = source.adjusted(0, 0, 0.5, 0.5)
            inner.drawImage(part.translated(-source.topLeft()), self.image, part)
        inner.end()
        painter.drawImage(0, 0, whole)
        painter.setOpacity(1.0)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor("white"), 1.5))
        for place, color in self.dots if self.cells else ():
            painter.setBrush(color)
            painter.drawEllipse(self.toCanvasCoordinates(place), DOT_PX, DOT_PX)


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
