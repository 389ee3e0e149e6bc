"""The Processing algorithm that every command of geopointseg becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis import core
from qgis.PyQt.QtCore import QTemporaryDir, QUrl
from qgis.PyQt.QtGui import QDesktopServices, QIcon
from qgis.utils import iface

from . import inputs, interpreter, runner, styles
from .command import build, look_up
from .parameters import DESTINATIONS, Reader, define, explain
from .tasks import Task
from .translation import tr

ICON = str(Path(__file__).with_name("icon.svg"))
Answers = dict[str, Any]
Context, Feedback = core.QgsProcessingContext, core.QgsProcessingFeedback


class CommandAlgorithm(core.QgsProcessingAlgorithm):
    """Turns its parameters into a command line, runs it, and hands back what it wrote."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task = task
        self.folder: QTemporaryDir | None = None
        self.values: Answers = {}
        self.report = ""

    def createInstance(self) -> CommandAlgorithm:
        return type(self)(self.task)

    def name(self) -> str:
        return self.task.name

    def displayName(self) -> str:
        return tr(self.task.label)

    def group(self) -> str:
        return tr(self.task.group)

    def groupId(self) -> str:
        return self.task.group.lower()

    def icon(self) -> QIcon:
        return QIcon(ICON)

    def shortHelpString(self) -> str:
        rows = [
            f"<p><b>{tr(p.label)}</b><br/>{explain(p)}</p>" for p in self.task.parameters if p.help
        ]
        return f"<p>{tr(self.task.help)}</p>{''.join(rows)}"

    def initAlgorithm(self, _configuration: Answers | None = None) -> None:
        for parameter in self.task.parameters:
            self.addParameter(define(parameter))
        for output in self.task.outputs:
            declare = getattr(core, f"QgsProcessingOutput{output.kind}")
            self.addOutput(declare(output.name, tr(output.label)))

    def canExecute(self) -> tuple[bool, str]:
        """Return whether an interpreter is set, and the reason if not."""
        reason = interpreter.problem()
        return not reason, reason

    def prepareAlgorithm(self, answers: Answers, context: Context, feedback: Feedback) -> bool:
        """Turn layers into files, while QGIS's own thread still holds them."""
        self.folder = QTemporaryDir()
        folder, reader = Path(self.folder.path()), Reader(self, answers, context)
        given = [p for p in self.task.parameters if p.kind not in DESTINATIONS]
        self.values = {parameter.name: reader.read(parameter, folder) for parameter in given}
        points = self.values.get("POINTS")
        layer = self.parameterAsVectorLayer(answers, "POINTS", context) if points else None
        if layer is not None:
            project = context.project()
            if project is None or project.mapLayer(layer.id()) is None:
                layer.loadDefaultStyle()  # a file that Processing opened; a layer has the user's style
            field = self.values.get("CLASS_FIELD") or inputs.class_field_of(layer)
            self.values["CLASS_FIELD"] = field
            inputs.export_style(layer, field, Path(points), feedback)
        return True

    def processAlgorithm(self, answers: Answers, context: Context, feedback: Feedback) -> Answers:
        """Run the command and return its outputs."""
        reader = Reader(self, answers, context)
        wanted = [p for p in self.task.parameters if p.kind in DESTINATIONS]
        paths = {parameter.name: reader.destination(parameter) for parameter in wanted}
        result = runner.run_geopointseg(build(self.task, {**self.values, **paths}), feedback)
        self.folder = None
        for parameter in wanted:
            self.dress(parameter.kind, paths[parameter.name], context)
        return {**{name: path for name, path in paths.items() if path}, **self.results(result)}

    def dress(self, kind: str, path: str, context: Context) -> None:
        """Put a style beside a result and have it loaded with the layer."""
        if kind == "ramp_out" and path:
            styles.write_ramp(path)
        if kind == "html_out":
            self.report = path
        if path and context.willLoadLayerOnCompletion(path):
            loader = styles.StyleLoader(shown=kind != "ramp_out")  # or it would hide the map
            context.layerToLoadOnCompletionDetails(path).setPostProcessor(loader)

    def results(self, result: Answers) -> Answers:
        """Return the declared values of the library's result."""
        return {output.name: look_up(result, output.key) for output in self.task.outputs}

    def postProcessAlgorithm(self, _context: Context, _feedback: Feedback) -> Answers:
        """Open the report where there is a window."""
        if self.report and iface is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(self.report))
        return {}


class CheckEnvironment(CommandAlgorithm):
    """Says in plain words whether the interpreter can do the work; never an error itself."""

    def canExecute(self) -> tuple[bool, str]:
        return True, ""

    def processAlgorithm(self, _answers: Answers, _context: Context, feedback: Feedback) -> Answers:
        """Ask the library's doctor and pass its findings on."""
        try:
            result = runner.run_geopointseg(build(self.task, {}), feedback)
        except core.QgsProcessingException as reason:
            feedback.pushWarning(str(reason))
            result = {"ok": False, "findings": [], "interpreter": interpreter.current()}
        for finding in result["findings"]:
            text = "{what}: {found}. {advice}".format(**finding).strip()
            (feedback.pushInfo if finding["ok"] else feedback.pushWarning)(text)
        if result["ok"]:
            feedback.pushInfo(tr("Everything is there: you can train a model and predict a map."))
        return self.results(result)
