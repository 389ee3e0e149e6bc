"""Opens an algorithm's dialog as QGIS does, presses Run, and reads what a person reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from processing.gui.AlgorithmDialog import AlgorithmDialog
from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QCoreApplication, QEventLoop, Qt, QTimer, QTranslator
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QApplication, QDialogButtonBox, QMessageBox, QTextEdit
from support import REPOSITORY, algorithm

WAIT_MS = 300_000


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
        import subprocess

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
