"""Algorithms that do more than run one command: checks with findings, split, demo."""

from __future__ import annotations

from pathlib import Path

from qgis import core

from . import interpreter, memory, runner, styles
from .algorithm import Answers, CommandAlgorithm, Context, Feedback
from .command import build
from .inputs import write_features
from .translation import tr


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
    reason = write_features(layer, path, path.stem) if layer.isValid() else ""
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
