"""The picture of Live: classes of the visible extent, drawn over the map and under the pointer."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from qgis import core
from qgis.gui import QgsMapCanvasItem
from qgis.PyQt.QtCore import QRectF
from qgis.PyQt.QtGui import QColor, QImage, QPainter, QPen, QTransform

UNKNOWN, DOT_PX, MESH, ABOVE_MAP = 255, 4.0, 10, 1.0


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
        self.cells: list[tuple[QRectF, list[core.QgsPointXY]]] = []
        self.dots: list[tuple[core.QgsPointXY, QColor]] = []
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
