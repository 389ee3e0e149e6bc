"""The set-up page: find an environment or make one, check it, and load the demo."""

from __future__ import annotations

import platform
from configparser import ConfigParser
from pathlib import Path
from typing import Any

from processing.core.ProcessingConfig import ProcessingConfig
from qgis import core
from qgis.gui import QgsFileWidget
from qgis.PyQt import QtWidgets
from qgis.PyQt.QtCore import QStandardPaths, Qt, QTimer
from qgis.utils import iface

from . import interpreter, memory
from .runner import Runs
from .translation import load_window, tr

SETTLED_MS = 300  # QGIS sets the CRS of a project of new layers by itself, a moment later
HERE, SEEN = Path(__file__).parent, "geopointseg/set_up_was_shown"


class SetupPage(QtWidgets.QDialog):
    """One page from nothing to a loaded demo; everything on it is done by the algorithms."""

    shown: Any = None  # the page of the first start, which nobody else holds

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        load_window("setup_page", self)
        self.runs = Runs(self)
        shipped = sorted(HERE.glob("geopointseg-*.whl"))
        hint = shipped[-1].name if shipped else tr("the file geopointseg-….whl, or a source folder")
        self.package.lineEdit().setPlaceholderText(hint)
        self.folder.setStorageMode(QgsFileWidget.StorageMode.GetDirectory)
        self.folder.lineEdit().setPlaceholderText(str(interpreter.default_folder()))
        self.gpu.setVisible(bool(QStandardPaths.findExecutable("nvidia-smi")))  # comes with the driver of a card
        for button, act in (
            (self.use, lambda: self.set_interpreter(self.found.currentData())), (self.other, self.choose),
            (self.make, self.make_environment), (self.check, lambda: self.run("checkenvironment", {})),
            (self.copy, self.copy_report), (self.demo, self.load_demo), (self.stop, self.runs.cancel),
            (self.leave, self.reject),
        ):  # fmt: skip
            button.clicked.connect(lambda _checked, act=act: act())
        self.runs.running.connect(self.set_busy)
        self.runs.progress.connect(self.bar.setValue)
        self.runs.line.connect(self.tell)
        self.set_busy(busy=False)
        QTimer.singleShot(0, self.search)

    def search(self) -> None:
        """List the environments of this machine that have geopointseg."""
        self.found.clear()
        for path, version in interpreter.installations(core.QgsProcessingFeedback()):
            self.found.addItem(f"geopointseg {version}: {path}", path)
        if not self.found.count():
            self.found.addItem(tr("None was found on this computer."))
        self.use.setEnabled(bool(self.found.currentData()))

    def choose(self) -> None:
        """Take an environment, or its Python, that the search did not find."""
        path, _ = QtWidgets.QFileDialog.getOpenFileName(self, tr("Python that has geopointseg"))
        if path:
            self.set_interpreter(path)

    def set_interpreter(self, path: str) -> None:
        """Set an interpreter and check it."""
        ProcessingConfig.setSettingValue(interpreter.SETTING, interpreter.inside(path))
        self.run("checkenvironment", {})

    def make_environment(self) -> None:
        """Make an environment, then check it."""
        given = {"PACKAGE": self.package.filePath(), "FOLDER": self.folder.filePath()}
        self.run("createenvironment", {**given, "GPU": self.gpu.isChecked()})

    def load_demo(self) -> None:
        """Write scene and points of the demo and open them."""
        self.run("loaddemo", {"FOLDER": str(memory.free_path(memory.default_folder(), "geopointseg_demo"))})

    def run(self, name: str, parameters: dict[str, Any]) -> None:
        """Run an algorithm in the background and follow it on the page."""
        self.runs.start(name, parameters, lambda *end: self.finish(name, *end))

    def finish(self, name: str, _results: Any, layers: list[Any], feedback: Any) -> None:
        """Show the end of a run; a new environment is checked at once."""
        self.bar.setValue(0 if feedback.errors else self.bar.maximum())
        self.tell("\n".join(feedback.errors))
        if name == "createenvironment" and not feedback.errors:
            self.run("checkenvironment", {})
        elif name == "checkenvironment":
            self.search()
        if layers:
            QTimer.singleShot(SETTLED_MS, lambda: show_demo(layers))

    def set_busy(self, busy: bool) -> None:  # noqa: FBT001  a slot
        """Let only one thing run, and say whether geopointseg is set up."""
        problem, path = interpreter.problem(), interpreter.current()
        ready = tr("geopointseg is set up. It runs with {path}.").format(path=path)
        todo = tr("geopointseg needs a Python of its own; nothing is installed into QGIS.")
        self.state.setText(f"<b>{todo}</b>" if problem else f"<b>{ready}</b>")
        self.state.setToolTip(problem)
        useful = {self.make: True, self.other: True, self.use: bool(self.found.currentData())}
        for button, is_useful in {**useful, self.check: not problem, self.demo: not problem}.items():
            button.setEnabled(not busy and is_useful)
        self.stop.setEnabled(busy)
        self.bar.setValue(0)
        self.doing.setText("")

    def tell(self, text: str) -> None:
        """Add a line to the log and show it above the bar."""
        if text:
            self.log.appendPlainText(text)
            self.doing.setText(self.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, 640))

    def report(self) -> str:
        """Return what a person who helps wants to know."""
        metadata = ConfigParser()
        metadata.read(HERE / "metadata.txt", encoding="utf-8")
        lines = [
            f"geopointseg plugin {metadata['general']['version']}",
            f"QGIS {core.Qgis.QGIS_VERSION}, {platform.platform()}",
        ]
        lines += [f"Interpreter: {interpreter.current() or '-'}", *filter(None, [interpreter.problem()])]
        return "\n".join([*lines, "", self.log.toPlainText()])

    def copy_report(self) -> None:
        """Put the report on the clipboard."""
        QtWidgets.QApplication.clipboard().setText(self.report())
        self.doing.setText(tr("The report is on the clipboard."))

    def setParameters(self, parameters: dict[str, Any]) -> None:
        """Fill in fields, as QGIS does with a form."""
        self.package.setFilePath(str(parameters.get("PACKAGE") or ""))
        self.folder.setFilePath(str(parameters.get("FOLDER") or ""))

    def results(self) -> dict[str, Any]:
        """Return the results, as a form of QGIS does."""
        return {"INTERPRETER": interpreter.current()}

    def reject(self) -> None:
        """Close the page; a run goes on only after a cancel."""
        self.runs.cancel()
        super().reject()


def show_demo(layers: list[Any]) -> None:
    """Move the map to the demo; in a project of nothing else it takes the demo's CRS."""
    project = core.QgsProject.instance()
    scenes = [one for one in project.mapLayers().values() if isinstance(one, core.QgsRasterLayer)]
    if len(scenes) == 1 and len(project.mapLayers()) == len(layers):
        project.setCrs(scenes[0].crs())
    for scene in project.mapLayersByName(tr("Demo scene"))[-1:] if iface is not None else ():
        iface.setActiveLayer(scene)
        iface.zoomToActiveLayer()


def show_at_first_start() -> None:
    """Open the page once where geopointseg is not set up."""
    settings = core.QgsSettings()
    if interpreter.problem() and not settings.value(SEEN, False, type=bool):  # noqa: FBT003
        settings.setValue(SEEN, True)  # noqa: FBT003
        SetupPage.shown = SetupPage(iface.mainWindow() if iface is not None else None)
        SetupPage.shown.show()
