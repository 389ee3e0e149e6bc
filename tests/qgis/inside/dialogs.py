"""Opens an algorithm's dialog as QGIS does, presses Run, and reads what a person reads."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import unittest
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processing.gui.AlgorithmDialog import AlgorithmDialog
from qgis.core import QgsApplication, QgsProject, QgsRasterLayer, QgsVectorLayer
from qgis.PyQt.QtCore import QCoreApplication, QEventLoop, Qt, QTimer, QTranslator
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QApplication, QDialogButtonBox, QMessageBox, QTextEdit

from support import REPOSITORY, QgisTestCase, algorithm, set_interpreter

WAIT_MS = 300_000
GROUND = Path(os.environ.get("GEOPOINTSEG_TEST_GROUND", "/nowhere"))
COMMAND_LINE = re.compile(r"(?<![\w-])--?[a-z][a-z-]*\b(?!\.)|print-config|GeoPackage first")


@dataclass
class Told:
    """What a dialog told: whether it ran, its results, its log, and message boxes."""

    ok: bool | None = None
    results: dict[str, Any] = field(default_factory=dict)
    log: str = ""
    boxes: list[str] = field(default_factory=list)


def open_dialog(name: str, **filled: Any) -> AlgorithmDialog:
    """Open the form of an algorithm with some fields filled in and the others left as they are."""
    dialog = AlgorithmDialog(algorithm(name), parent=None)
    for parameter, value in filled.items():
        wrapper = dialog.mainWidget().wrappers[parameter]
        if hasattr(wrapper, "setParameterValue"):
            wrapper.setParameterValue(value, dialog.mainWidget().processing_context)
    dialog.show()
    return dialog


def press_run(dialog: AlgorithmDialog, cancel_after_ms: int = 0) -> Told:
    """Click on Run, wait for the end, and return what was told."""
    told, loop = Told(), QEventLoop()

    def end(ok: bool, results: dict[str, Any]) -> None:
        told.ok, told.results = ok, dict(results)
        loop.quit()

    run = dialog.buttonBox().button(QDialogButtonBox.StandardButton.Ok) or dialog.runButton()

    def look() -> None:
        box = QApplication.activeModalWidget()
        if run.isEnabled() and loop.isRunning():
            loop.quit()  # QGIS reports no end where a layer could not be loaded
        if isinstance(box, QMessageBox):
            told.boxes.append(box.text())
            box.done(QMessageBox.StandardButton.Ok)

    watch = QTimer()
    watch.timeout.connect(look)
    watch.start(50)
    dialog.algorithmFinished.connect(end)
    QTimer.singleShot(WAIT_MS, loop.quit)
    if cancel_after_ms:
        QTimer.singleShot(cancel_after_ms, dialog.cancelButton().click)
    QTest.mouseClick(run, Qt.MouseButton.LeftButton)
    bar = dialog.messageBar().currentItem()
    if bar is not None:
        told.boxes.append(bar.text())
    if told.ok is None and not told.boxes:
        loop.exec()
    watch.stop()
    for _ in range(5):
        QCoreApplication.processEvents()
    told.log = "\n".join(box.toPlainText() for box in dialog.findChildren(QTextEdit))
    dialog.close()
    return told


def run_dialog(name: str, **filled: Any) -> Told:
    """Open a form, fill in some fields, press Run."""
    return press_run(open_dialog(name, **filled))


class German:
    """Speaks German while it is entered."""

    def __init__(self, folder: Any) -> None:
        source = REPOSITORY / "qgis_plugin" / "i18n" / "geopointseg_de.ts"
        compiled = folder / "geopointseg_de.qm"
        subprocess.run(["lrelease", "-silent", str(source), "-qm", str(compiled)], check=True)
        self.translator = QTranslator()
        assert self.translator.load(str(compiled))

    def __enter__(self) -> None:
        QCoreApplication.installTranslator(self.translator)
        QgsApplication.processingRegistry().providerById("geopointseg").refreshAlgorithms()

    def __exit__(self, *_: object) -> None:
        QCoreApplication.removeTranslator(self.translator)
        QgsApplication.processingRegistry().providerById("geopointseg").refreshAlgorithms()


@unittest.skipUnless(
    GROUND.exists(), "GEOPOINTSEG_TEST_GROUND names no folder with scene and points"
)
class GroundTestCase(QgisTestCase):
    """A project with a real scene and points, and the real library."""

    def setUp(self):
        super().setUp()
        set_interpreter(os.environ["GEOPOINTSEG_TEST_PYTHON"])
        QgsProject.instance().setFileName(str(self.folder / "project.qgz"))
        for name in ("scene.tif", "points.gpkg", "test.gpkg"):
            shutil.copy(GROUND / name, self.folder / name)
        self.scene = QgsRasterLayer(str(self.folder / "scene.tif"), "Auwald 2024")
        self.points = QgsVectorLayer(str(self.folder / "points.gpkg"), "my plots", "ogr")
        QgsProject.instance().addMapLayers([self.points, self.scene])

    def train(self, **more):
        given = {"KIND": "forest", "CONFIG": str(GROUND / "quick.toml"), **more}
        told = run_dialog("trainmodel", **given)
        self.assertTrue(told.ok, told.log)
        return told

    def order(self):
        return [node.layer().name() for node in QgsProject.instance().layerTreeRoot().findLayers()]
