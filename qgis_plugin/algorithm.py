"""The Processing algorithm that every command of geopointseg becomes; and those that do more than run one command."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from processing.core.ProcessingResults import resultsList
from qgis import core
from qgis.PyQt.QtCore import QCoreApplication, QTemporaryDir, QThread, QUrl
from qgis.PyQt.QtGui import QDesktopServices, QIcon
from qgis.utils import iface

from . import inputs, interpreter, memory, runner, styles
from .command import build, look_up
from .parameters import DESTINATIONS, Reader, define, explain, plain
from .tasks import Parameter, Task
from .translation import say, tr

ICON = str(Path(__file__).with_name("icon.svg"))
Answers = dict[str, Any]
Context, Feedback = core.QgsProcessingContext, core.QgsProcessingFeedback
SUMMARY, TEMPORARY = "SUMMARY", "TEMPORARY_OUTPUT"


class CommandAlgorithm(core.QgsProcessingAlgorithm):
    """Turns its parameters into a command line, runs it, and hands back what it wrote."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task, self.folder, self.values = task, None, {}
        self.layers, self.renamed = {}, {}  # names of layers, by parameter and by path
        self.report = self.model = ""

    def createInstance(self) -> CommandAlgorithm:
        return type(self)(self.task)

    def name(self) -> str:
        return self.task.name

    def displayName(self) -> str:
        return f"{self.task.position} {tr(self.task.label)}"

    def group(self) -> str:
        return f"{self.task.position.partition('.')[0]} {tr(self.task.group)}"

    def groupId(self) -> str:
        return self.task.group.lower()

    def icon(self) -> QIcon:
        themed = core.QgsApplication.getThemeIcon(f"/{self.task.icon}.svg")
        return QIcon(ICON) if themed.isNull() else themed

    def shortHelpString(self) -> str:
        rows = [f"<p><b>{tr(p.label)}</b><br/>{explain(p)}</p>" for p in self.task.parameters if p.help]
        return f"<p>{tr(self.task.help)}</p>{''.join(rows)}"

    def initAlgorithm(self, _configuration: Answers | None = None) -> None:
        for parameter in self.task.parameters:
            self.addParameter(define(parameter, self.task.name))
        for output in self.task.outputs:
            declare = getattr(core, f"QgsProcessingOutput{output.kind}")
            self.addOutput(declare(output.name, tr(output.label)))
        self.addOutput(core.QgsProcessingOutputString(SUMMARY, tr("The result in one sentence")))

    def canExecute(self) -> tuple[bool, str]:
        """Return whether an interpreter is set, and the reason if not."""
        reason = interpreter.problem()
        return not reason, reason

    def checkParameterValues(self, answers: Answers, context: Context) -> tuple[bool, str]:
        """Also refuse to replace a model that nobody said could be replaced."""
        good, reason = super().checkParameterValues(answers, context)
        reason = self.objection(answers, context) if good else reason
        return not reason, reason

    def objection(self, answers: Answers, context: Context) -> str:
        """Return why a run must not start with these answers, or an empty string."""
        given = plain(answers.get("OUTPUT"))
        if not any(p.name == "REPLACE" for p in self.task.parameters) or given in (None, TEMPORARY):
            return ""
        folder = Path(self.parameterAsFileOutput(answers, "OUTPUT", context)).absolute()
        agreed = any(self.parameterAsBool(answers, name, context) for name in ("REPLACE", "RESUME"))
        if agreed or not (folder.is_dir() and any(folder.glob("*.json"))):
            return ""
        free, replace = memory.free_path(folder.parent, folder.name), tr("Replace the model in the folder")
        return say("model_is_there", folder=folder, free=free, replace=replace)

    def prepareAlgorithm(self, answers: Answers, context: Context, feedback: Feedback) -> bool:
        """Turn layers into files, while QGIS's own thread still holds them."""
        self.folder = QTemporaryDir()
        try:
            self.read_inputs(answers, context, feedback)
        except core.QgsProcessingException:
            self.folder = None  # copies of points go at once
            raise
        return True

    def read_inputs(self, answers: Answers, context: Context, feedback: Feedback) -> None:
        """Read every input, and note what its layers are called."""
        folder, reader = Path(self.folder.path()), Reader(self, answers, context)
        given = [p for p in self.task.parameters if p.kind not in DESTINATIONS]
        self.values = {parameter.name: reader.read(parameter, folder) for parameter in given}
        scenes = {p.name: Path(self.values[p.name]).name for p in given if p.kind == "raster" and self.values[p.name]}
        self.layers = {**scenes, **{name: layer.name() for name, layer in reader.layers.items()}}
        files = [p for p in given if p.kind in ("points", "area", "extent", "raster")]
        self.renamed = {self.values[p.name]: self.layers.get(p.name, tr(p.label)) for p in files if self.values[p.name]}
        points, layer = self.values.get("POINTS"), reader.layers.get("POINTS")
        if points and isinstance(layer, core.QgsVectorLayer):
            project = context.project()
            if project is None or project.mapLayer(layer.id()) is None:
                layer.loadDefaultStyle()  # a file that Processing opened; a layer has the user's style
            field = self.values.get("CLASS_FIELD") or inputs.class_field_of(layer)
            self.values["CLASS_FIELD"] = field
            inputs.export_style(layer, field, Path(points), feedback)
            self.judge_classes(inputs.class_trouble(layer, field))
        self.keep_in_mind(reader, context)

    def judge_classes(self, trouble: str) -> None:
        """Refuse a field that holds no classes."""
        if trouble:
            raise core.QgsProcessingException(trouble)

    def keep_in_mind(self, reader: Reader, context: Context) -> None:
        """Remember raster, points, class field and model for the next form."""
        project, application = context.project(), QCoreApplication.instance()
        if project is not core.QgsProject.instance() or QThread.currentThread() != application.thread():
            return
        for name, value in self.values.items():
            key, layer = memory.key_of(self.task.name, name), reader.layers.get(name)
            scene_key = memory.RASTER if inputs.scene_of(value) else memory.MODEL
            if key and layer is not None and project.mapLayer(layer.id()) is not None:
                memory.remember(key, layer)
            elif value and (key in (memory.CLASS_FIELD, memory.MODEL) or key == scene_key):
                memory.remember(key, value)

    def processAlgorithm(self, answers: Answers, context: Context, feedback: Feedback) -> Answers:
        """Run the command and return its outputs."""
        try:
            return self.run_command(answers, context, feedback)
        finally:
            self.folder = None  # copies of points go, whatever the end was

    def run_command(self, answers: Answers, context: Context, feedback: Feedback) -> Answers:
        """Run the command, dress what it wrote, and say what was done."""
        reader = Reader(self, answers, context)
        wanted = [p for p in self.task.parameters if p.kind in DESTINATIONS]
        paths = {p.name: self.place(p, reader.destination(p), feedback) for p in wanted}
        result = self.work(paths, feedback)
        made = context.layersToLoadOnCompletion()
        there = {path: details for path, details in made.items() if Path(path).exists()}
        context.setLayersToLoadOnCompletion(there)  # QGIS would report what a run need not write
        for parameter in wanted:
            self.dress(parameter.kind, paths[parameter.name], context, parameter.name)
        values = {name: path for name, path in paths.items() if path}
        found = {output.name: look_up(result, output.key) for output in self.task.outputs}
        return self.conclude({**values, **found}, feedback)

    def work(self, paths: Answers, feedback: Feedback) -> Answers:
        """Run the command with these outputs and return the library's result."""
        arguments = build(self.task, {**self.values, **paths})
        return runner.run_geopointseg(arguments, feedback, self.task, self.renamed)

    def place(self, parameter: Parameter, path: str, feedback: Feedback) -> str:
        """Return where an output goes; a model never into a folder that QGIS deletes."""
        temporary = path and core.QgsProcessingUtils.tempFolder() in path
        if temporary and (parameter.kind, parameter.name) == ("folder_out", "OUTPUT"):
            stem = f"{tr(parameter.label)} {self.layers.get('POINTS', '')}"
            path = str(memory.free_path(memory.default_folder(), stem))
            feedback.pushInfo(tr("The folder is kept: {folder}.", folder=path))
        elif temporary and parameter.kind == "html_out":
            stem = self.title(parameter.name) or Path(path).stem
            path = str(memory.free_path(Path(path).parent, stem, Path(path).suffix))
        if path:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        return path

    def title(self, name: str) -> str:
        """Return what a result is called, after the layers that it was made from."""
        return tr(self.task.names.get(name, "")).format_map(Unnamed(self.layers))

    def dress(self, kind: str, path: str, context: Context, name: str = "") -> None:
        """Put a style beside a result and have it loaded with name, style and place."""
        if not path:
            return
        if kind == "ramp_out":
            styles.write_ramp(path)
        if kind == "html_out" and Path(path).is_file():
            self.report = path
            styles.rename_in_report(Path(path), self.renamed)
        if self.task.name == "trainmodel" and name == "OUTPUT":
            self.model = path
        if context.willLoadLayerOnCompletion(path):
            shown = kind != "ramp_out"  # or it would hide the map
            loader = styles.StyleLoader(self.title(name), memory.key_of_result(self.task.name, name), shown=shown)
            context.layerToLoadOnCompletionDetails(path).setPostProcessor(loader)

    def conclude(self, values: Answers, feedback: Feedback, *, good: bool = True) -> Answers:
        """Say in one sentence what was done and what comes next."""
        text = tr(self.task.result if good else self.task.otherwise)
        try:
            summary = text.format_map(Unnamed(values))
        except (TypeError, ValueError):  # a number that this run does not have
            summary = text[text.find(tr("Next:")) :] if tr("Next:") in text else ""
        if summary:
            feedback.pushInfo(summary)
        return {**values, SUMMARY: summary}

    def postProcessAlgorithm(self, _context: Context, feedback: Feedback) -> Answers:
        """Remember the model; list and open the report where there is a window."""
        if self.model:
            memory.remember(memory.MODEL, self.model)
        if self.report and iface is not None:
            if getattr(feedback, "lists_reports", True):  # the panel shows a link of its own
                resultsList.addResult(self.icon(), Path(self.report).stem, time.localtime(), self.report)
            QDesktopServices.openUrl(QUrl.fromLocalFile(self.report))
        return {}


class Unnamed(dict):  # type: ignore[type-arg]
    """Values by name; an ellipsis for what has none."""

    def __missing__(self, key: str) -> str:
        return "…"


class CheckPoints(CommandAlgorithm):
    """Shows every finding of the check as a line of the log and as a row of the layer."""

    trouble = ""

    def judge_classes(self, trouble: str) -> None:
        self.trouble = trouble  # a finding, not an end

    def work(self, paths: Answers, feedback: Feedback) -> Answers:
        try:
            result = super().work(paths, feedback)
        except core.QgsProcessingException as reason:
            if not self.trouble or feedback.isCanceled():
                raise
            result = {"usable": False, "problems": [{"severity": "error", "message": str(reason)}]}
        problems = list(result.get("problems") or [])
        if self.trouble:
            problems.insert(0, {"severity": "error", "message": self.trouble})
            result["usable"] = False
        words = runner.Listener(feedback, task=self.task, renamed=self.renamed).words
        messages = [(row["severity"] == "error", words(row["message"])) for row in problems]
        said = {words(message) for message in result.get("said", ())}
        for is_error, message in messages:
            if message not in said:
                feedback.pushWarning(tr("Error: {message}", message=message) if is_error else message)
        if paths.get("OUTPUT"):
            append_rows(paths["OUTPUT"], [message for _, message in messages])
        return {**result, "findings": len(messages)}

    def conclude(self, values: Answers, feedback: Feedback, *, good: bool = True) -> Answers:
        return super().conclude(values, feedback, good=good and bool(values["USABLE"]))


def append_rows(path: str, messages: list[str]) -> None:
    """Add findings to the layer of questionable points, as rows without a place."""
    layer = core.QgsVectorLayer(path, "findings", "ogr")
    index = layer.fields().indexOf("reason") if layer.isValid() else -1
    for message in messages if index >= 0 else []:
        row = core.QgsFeature(layer.fields())
        row.setAttribute(index, message)
        layer.dataProvider().addFeature(row)


class SplitPoints(CommandAlgorithm):
    """Gives the training and the test points as two layers; folds as one."""

    def work(self, paths: Answers, feedback: Feedback) -> Answers:
        folds = bool(self.values.get("FOLDS"))
        if folds:
            self.values["TEST_FRACTION"] = None  # folds instead of a share
            paths["OUTPUT"] = paths["OUTPUT"] or paths["TRAINING"]
            paths["TRAINING"] = paths["TEST"] = ""
        whole = paths["OUTPUT"] or str(Path(self.folder.path(), "split.gpkg"))
        result = super().work({**paths, "OUTPUT": whole}, feedback)
        for name, part in (("TRAINING", "train"), ("TEST", "test")):
            if paths[name]:
                write_part(whole, part, Path(paths[name]))
        return result


def write_part(whole: str, part: str, path: Path) -> None:
    """Write the points of one part, with the style of all."""
    layer = core.QgsVectorLayer(whole, part, "ogr")
    layer.setSubsetString(f"\"split\" = '{part}'")
    reason = inputs.write_features(layer, path, path.stem) if layer.isValid() else ""
    if reason:
        raise core.QgsProcessingException(reason)
    layer.saveNamedStyle(str(path.with_suffix(".qml")))


class LoadDemo(CommandAlgorithm):
    """Writes scene and points of the demo and loads them."""

    def work(self, paths: Answers, feedback: Feedback) -> Answers:
        command, folder, *rest = build(self.task, paths)
        return runner.run_geopointseg([command, folder, "--data-only", *rest], feedback, self.task)

    def run_command(self, answers: Answers, context: Context, feedback: Feedback) -> Answers:
        values = super().run_command(answers, context, feedback)
        for name in ("SCENE", "POINTS"):
            path = str(Path(values["FOLDER"], values[name] or ""))
            details = context.LayerDetails(self.title(name), context.project(), name)
            loader = styles.StyleLoader(self.title(name), memory.key_of_result(self.task.name, name))
            details.setPostProcessor(loader)
            context.addLayerToLoadOnCompletion(path, details)
            values[name] = path
        return values


class CheckEnvironment(CommandAlgorithm):
    """Says in plain words whether the interpreter can do the work; never an error itself."""

    def canExecute(self) -> tuple[bool, str]:
        return True, ""

    def work(self, _paths: Answers, feedback: Feedback) -> Answers:
        try:
            result = super().work({}, feedback)
        except core.QgsProcessingException as reason:
            feedback.pushWarning(str(reason))
            result = {"ok": False, "findings": [], "interpreter": interpreter.current()}
        for finding in result["findings"]:
            text = "{what}: {found}. {advice}".format(**finding).strip()
            (feedback.pushInfo if finding["ok"] else feedback.pushWarning)(text)
        return result

    def conclude(self, values: Answers, feedback: Feedback, *, good: bool = True) -> Answers:
        return super().conclude(values, feedback, good=good and bool(values["READY"]))
