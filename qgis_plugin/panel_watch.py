"""What happens outside of the panel: edits of the watched layers, and clicks and keys over the map."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from qgis.core import QgsApplication, QgsPointXY, QgsVectorLayer
from qgis.gui import QgsMapTool
from qgis.PyQt.QtCore import QObject, Qt, QTimer, pyqtSignal

from .tasks import load_table

FAST_S, LONGEST_PAUSE_S, NUMBERS, BACK, SKIP, NEXT, COVER = 0.1, 2.0, "1234567890", "b", "n", "q", "h"


class Watch(QObject):
    """Joins the many signals of layers: however many changes, one signal follows them.

    The pause before a signal grows with the time that its receivers take, so that a layer of a million
    points does not slow down clicking.
    """

    edited = pyqtSignal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.layers: Sequence[QgsVectorLayer] = ()
        self.timer = QTimer(self, singleShot=True)
        self.timer.timeout.connect(self._tell)

    def follow(self, layers: Sequence[QgsVectorLayer | None]) -> None:
        """Watch these layers and no others."""
        before, self.layers = self.layers, [layer for layer in layers if layer is not None]
        for verb, chosen in (("disconnect", before), ("connect", self.layers)):
            for layer in chosen:
                with suppress(RuntimeError, TypeError):  # a layer that was deleted in between
                    for name in load_table("panel.json")["edits"]:
                        getattr(getattr(layer, name), verb)(self.note)
        self.note()

    def note(self, *_change: object) -> None:
        """Remember that something has changed."""
        if not self.timer.isActive():
            self.timer.start()

    def _tell(self) -> None:
        start = time.monotonic()
        self.edited.emit()
        taken_s = time.monotonic() - start
        pause_s = min(3 * taken_s, LONGEST_PAUSE_S) if taken_s > FAST_S else 0
        self.timer.setInterval(int(1000 * pause_s))


class ClickTool(QgsMapTool):
    """The map tool of the panel: passes clicks and keys on; all other keys of QGIS go on working."""

    clicked, typed, held = pyqtSignal(QgsPointXY), pyqtSignal(str), pyqtSignal(bool)

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
        event.setAccepted(bool(plain and key and key in NUMBERS + BACK + SKIP + NEXT + COVER))
        if event.isAccepted() and key == COVER:
            self.held.emit(True)  # noqa: FBT003
        elif event.isAccepted():
            self.typed.emit(key)

    def keyReleaseEvent(self, event: Any) -> None:
        """Note that the key that hides a picture is let go."""
        if event.text().lower() == COVER and not event.isAutoRepeat():
            self.held.emit(False)  # noqa: FBT003
