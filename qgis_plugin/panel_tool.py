"""The map tool of the panel: a click is a point, a number key is a class."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsApplication, QgsPointXY
from qgis.gui import QgsMapTool
from qgis.PyQt.QtCore import Qt, pyqtSignal

NUMBERS = "1234567890"
BACK, SKIP = "b", "n"


class ClickTool(QgsMapTool):
    """Passes clicks and keys on; pan, zoom and all other keys of QGIS go on working."""

    clicked = pyqtSignal(QgsPointXY)
    typed = pyqtSignal(str)

    def __init__(self, canvas: Any) -> None:
        super().__init__(canvas)
        self.setCursor(QgsApplication.getThemeCursor(QgsApplication.Cursor.CapturePoint))

    def canvasReleaseEvent(self, event: Any) -> None:
        """Pass a left click on, in the map's coordinates."""
        if event.button() == Qt.MouseButton.LeftButton:
            self.clicked.emit(self.toMapCoordinates(event.pos()))

    def keyPressEvent(self, event: Any) -> None:
        """Take number keys and the keys for the next and the previous question."""
        key, held = event.text().lower(), event.modifiers()
        plain = held in (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier)
        if plain and key and key in NUMBERS + BACK + SKIP:
            event.accept()
            self.typed.emit(key)
        else:
            event.ignore()
