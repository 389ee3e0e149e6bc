"""One place that sees every change of the watched layers, and of the map's extent."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from qgis.core import QgsVectorLayer
from qgis.PyQt.QtCore import QObject, QTimer, pyqtSignal

EDITS = (
    "featureAdded", "featureDeleted", "attributeValueChanged", "geometryChanged", "afterRollBack",
    "editingStarted", "editingStopped", "layerModified", "dataChanged", "subsetStringChanged",
    "updatedFields", "rendererChanged", "crsChanged", "readOnlyChanged", "nameChanged",
)  # fmt: skip
FAST_MS, LONGEST_PAUSE_MS = 100, 2000


class Watch(QObject):
    """Joins the many signals of layers and canvas: however many changes, one signal follows them.

    The pause before a signal grows with the time that its receivers take, so that a layer of a million
    points does not slow down clicking.
    """

    edited = pyqtSignal()
    view_changed = pyqtSignal()

    def __init__(self, canvas: Any, parent: QObject) -> None:
        super().__init__(parent)
        self.layers: list[QgsVectorLayer] = []
        self.timer = QTimer(self)
        self.timer.setSingleShot(True)
        self.timer.timeout.connect(self._tell)
        canvas.extentsChanged.connect(self.view_changed)

    def follow(self, layers: Iterable[QgsVectorLayer | None]) -> None:
        """Watch these layers and no others."""
        self._connect("disconnect")
        self.layers = [layer for layer in layers if layer is not None]
        self._connect("connect")
        self.note()

    def note(self, *_change: object) -> None:
        """Remember that something has changed."""
        if not self.timer.isActive():
            self.timer.start()

    def _connect(self, verb: str) -> None:
        for layer in self.layers:
            with suppress(RuntimeError, TypeError):  # a layer that was deleted in between
                for name in EDITS:
                    getattr(getattr(layer, name), verb)(self.note)

    def _tell(self) -> None:
        start = time.monotonic()
        self.edited.emit()
        taken_ms = int(1000 * (time.monotonic() - start))
        self.timer.setInterval(min(3 * taken_ms, LONGEST_PAUSE_MS) if taken_ms > FAST_MS else 0)
