"""The set-up page: find an environment or make one, check it, and load the demo."""

from __future__ import annotations

import platform
from configparser import ConfigParser
from pathlib import Path
from typing import Any

from processing.core.ProcessingConfig import ProcessingConfig
from processing.gui.Postprocessing import handleAlgorithmResults
from qgis import core
from qgis.gui import QgsFileWidget
from qgis.PyQt import QtWidgets
from qgis.PyQt.QtCore import Qt, QTimer, pyqtSignal
from qgis.utils import iface

from . import interpreter, memory
from .translation import tr

SEEN = "geopointseg/set_up_was_shown"
SHOWN: list[QtWidgets.QDialog] = []  # a page whose run ends after it was closed must still be there
Buttons = QtWidgets.QDialogButtonBox


class PageFeedback(core.QgsProcessingFeedback):
    """Hands what a run says over to the page, from whichever thread it comes."""

    told = pyqtSignal(str)

    def pushInfo(self, text: str) -> None:
        self.told.emit(text)

    def pushWarning(self, text: str) -> None:
        self.told.emit(f"{tr('Note:')} {text}")

    def reportError(self, text: str, fatalError: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002  QGIS's own
        self.pushWarning(text)

    pushCommandInfo = pushInfo  # noqa: N815
    pushConsoleInfo = pushInfo  # noqa: N815
    pushDebugInfo = pushInfo  # noqa: N815
    setProgressText = pushInfo  # noqa: N815


class SetupPage(QtWidgets.QDialog):
    """One page from nothing to a loaded demo; everything on it is done by the algorithms."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Set up geopointseg"))
        self.resize(680, 640)
        self.feedback: PageFeedback | None = None
        self.context: core.QgsProcessingContext | None = None
        self.task: core.QgsProcessingAlgRunnerTask | None = None
        self.state = QtWidgets.QLabel()
        self.state.setWordWrap(True)
        self.state.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.bar, self.doing = QtWidgets.QProgressBar(), QtWidgets.QLabel()
        self.log = QtWidgets.QPlainTextEdit()
        self.log.setReadOnly(True)
        column = QtWidgets.QVBoxLayout(self)
        parts = [self.state, self._make_there(), self._make_new(), self.doing, self.bar, self.log]
        for part in [*parts, self._make_buttons()]:
            column.addWidget(part)
        self.show_state()
        QTimer.singleShot(0, self.search)

    def _make_there(self) -> QtWidgets.QGroupBox:
        box = QtWidgets.QGroupBox(tr("Use an environment that is there"))
        row = QtWidgets.QHBoxLayout(box)
        self.found, self.use = QtWidgets.QComboBox(), QtWidgets.QPushButton(tr("Use it"))
        self.other = QtWidgets.QPushButton(tr("Choose another…"))
        row.addWidget(self.found, 1)
        row.addWidget(self.use)
        row.addWidget(self.other)
        self.use.clicked.connect(lambda: self.set_interpreter(self.found.currentData()))
        self.other.clicked.connect(self.choose)
        return box

    def _make_new(self) -> QtWidgets.QGroupBox:
        box = QtWidgets.QGroupBox(tr("Or make a new environment (about 1 GB is downloaded)"))
        form = QtWidgets.QFormLayout(box)
        self.package, self.folder = QgsFileWidget(), QgsFileWidget()
        self.package.setFilter("geopointseg (*.whl)")
        shipped = sorted(Path(__file__).parent.glob("geopointseg-*.whl"))
        hint = shipped[-1].name if shipped else tr("the file geopointseg-….whl, or a source folder")
        self.package.lineEdit().setPlaceholderText(hint)
        self.folder.setStorageMode(QgsFileWidget.StorageMode.GetDirectory)
        self.folder.lineEdit().setPlaceholderText(str(interpreter.default_folder()))
        self.gpu = QtWidgets.QCheckBox(tr("Use the NVIDIA graphics card (about 4 GB more)"))
        self.gpu.setVisible(interpreter.has_graphics_card())
        self.make = QtWidgets.QPushButton(tr("Make the environment"))
        self.make.clicked.connect(self.make_environment)
        form.addRow(tr("geopointseg:"), self.package)
        form.addRow(tr("Folder:"), self.folder)
        form.addRow("", self.gpu)
        form.addRow("", self.make)
        return box

    def _make_buttons(self) -> Buttons:
        self.buttons, role = Buttons(Buttons.StandardButton.Close), Buttons.ButtonRole.ActionRole
        self.check = self.buttons.addButton(tr("Check"), role)
        self.copy = self.buttons.addButton(tr("Copy report"), role)
        self.demo = self.buttons.addButton(tr("Load the demo"), role)
        self.stop = self.buttons.addButton(tr("Cancel"), role)
        self.stop.setEnabled(False)
        self.check.clicked.connect(lambda: self.run("checkenvironment", {}))
        self.copy.clicked.connect(self.copy_report)
        self.demo.clicked.connect(self.load_demo)
        self.stop.clicked.connect(self.cancel)
        self.buttons.rejected.connect(self.reject)
        return self.buttons

    def show_state(self) -> None:
        """Say whether geopointseg is set up, and what to do if not."""
        problem, path = interpreter.problem(), interpreter.current()
        ready = tr("geopointseg is set up. It runs with {path}.").format(path=path)
        todo = tr("geopointseg needs a Python of its own; nothing is installed into QGIS.")
        self.state.setText(f"<b>{todo}</b>" if problem else f"<b>{ready}</b>")
        self.state.setToolTip(problem)
        for button in (self.demo, self.check):
            button.setEnabled(not problem)

    def search(self) -> None:
        """List the environments of this machine that have geopointseg."""
        self.found.clear()
        for path, version in interpreter.installations(core.QgsProcessingFeedback()):
            self.found.addItem(f"geopointseg {version}: {path}", path)
        self.use.setEnabled(self.found.count() > 0)
        if not self.found.count():
            self.found.addItem(tr("None was found on this computer."))

    def choose(self) -> None:
        """Take an environment, or its Python, that the search did not find."""
        path, _ = QtWidgets.QFileDialog.getOpenFileName(self, tr("Python that has geopointseg"))
        if path:
            self.set_interpreter(interpreter.inside(path))

    def set_interpreter(self, path: str) -> None:
        """Set an interpreter and check it."""
        ProcessingConfig.setSettingValue(interpreter.SETTING, path)
        self.show_state()
        self.run("checkenvironment", {})

    def make_environment(self) -> None:
        """Make an environment, then check it."""
        given = {"PACKAGE": self.package.filePath(), "FOLDER": self.folder.filePath()}
        self.run("createenvironment", {**given, "GPU": self.gpu.isChecked()})

    def load_demo(self) -> None:
        """Write scene and points of the demo and open them."""
        folder = memory.free_path(memory.default_folder(), "geopointseg_demo")
        self.run("loaddemo", {"FOLDER": str(folder)})

    def run(self, name: str, parameters: dict[str, Any]) -> None:
        """Run an algorithm in the background and follow it on the page."""
        algorithm = core.QgsApplication.processingRegistry().createAlgorithmById(
            f"geopointseg:{name}"
        )
        self.context, self.feedback = core.QgsProcessingContext(), PageFeedback()
        self.context.setProject(core.QgsProject.instance())
        self.feedback.told.connect(self.tell)
        self.feedback.progressChanged.connect(lambda percent: self.bar.setValue(int(percent)))
        self.set_busy(busy=True)
        reason = algorithm.checkParameterValues(parameters, self.context)[1]
        if reason:
            self.feedback.pushWarning(reason)
            self.set_busy(busy=False)
            return
        self.task = core.QgsProcessingAlgRunnerTask(
            algorithm, parameters, self.context, self.feedback
        )
        self.task.executed.connect(lambda ok, _results: self.finish(name, algorithm, ok=ok))
        core.QgsApplication.taskManager().addTask(self.task)

    def finish(self, name: str, algorithm: Any, *, ok: bool) -> None:
        """Show the end of a run; a new environment is checked at once."""
        self.set_busy(busy=False)
        self.show_state()
        if ok and name == "checkenvironment":
            self.search()
        elif ok and name == "createenvironment":
            self.run("checkenvironment", {})
        elif ok:
            handleAlgorithmResults(algorithm, self.context, core.QgsProcessingFeedback(), False)  # noqa: FBT003
            self.show_demo()

    def show_demo(self) -> None:
        """Move the map to the demo."""
        layers = core.QgsProject.instance().mapLayersByName(tr("Demo scene"))
        if layers and iface is not None:
            iface.setActiveLayer(layers[-1])
            iface.zoomToActiveLayer()

    def set_busy(self, *, busy: bool) -> None:
        """Let only one thing run."""
        for button in (self.check, self.demo, self.make, self.other):
            button.setEnabled(not busy)
        self.use.setEnabled(not busy and bool(self.found.currentData()))
        self.stop.setEnabled(busy)
        self.bar.setRange(0, 100)
        self.bar.setValue(0 if busy else self.bar.maximum())
        if not busy:
            self.doing.setText("")

    def tell(self, text: str) -> None:
        """Add a line to the log and show it above the bar."""
        self.log.appendPlainText(text)
        self.doing.setText(self.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, 640))

    def report(self) -> str:
        """Return what a person who helps wants to know."""
        metadata = ConfigParser()
        metadata.read(Path(__file__).with_name("metadata.txt"), encoding="utf-8")
        lines = [f"geopointseg plugin {metadata['general']['version']}"]
        lines += [f"QGIS {core.Qgis.QGIS_VERSION}, {platform.platform()}"]
        lines += [f"Interpreter: {interpreter.current() or '-'}", interpreter.problem()]
        return "\n".join([*filter(None, lines), "", self.log.toPlainText()])

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
        if self.stop.isEnabled():
            self.cancel()
        super().reject()

    def cancel(self) -> None:
        """Ask the run to end."""
        if self.feedback is not None:
            self.feedback.cancel()


def show_at_first_start() -> None:
    """Open the page once where geopointseg is not set up."""
    settings = core.QgsSettings()
    if interpreter.problem() and not settings.value(SEEN, False, type=bool):  # noqa: FBT003
        settings.setValue(SEEN, True)  # noqa: FBT003
        page = SetupPage(iface.mainWindow() if iface is not None else None)
        SHOWN.append(page)
        page.show()
