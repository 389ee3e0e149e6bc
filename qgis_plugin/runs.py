"""Runs of algorithms as background tasks of QGIS, for the panel and the set-up page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from qgis import core
from qgis.PyQt.QtCore import QObject, pyqtSignal

from .translation import tr


class RunFeedback(core.QgsProcessingFeedback):
    """Keeps the warnings and errors of a run; QGIS writes everything to its log.

    It is called in the thread of the run: it touches no widget, and its signals are queued.
    ``stage`` tells what is done now, ``line`` all that a run says but its errors.
    """

    stage, line = pyqtSignal(str), pyqtSignal(str)
    lists_reports = False

    def __init__(self) -> None:
        super().__init__()
        self.errors, self.warnings = [], []

    def pushInfo(self, text: str) -> None:
        self.line.emit(text)
        super().pushInfo(text)

    def pushConsoleInfo(self, text: str) -> None:
        self.pushInfo(text)

    def pushWarning(self, warning: str) -> None:
        self.warnings.append(warning)
        self.line.emit(f"{tr('Note:')} {warning}")
        super().pushWarning(warning)

    def reportError(self, error: str, fatalError: bool = False) -> None:  # noqa: FBT001, FBT002
        self.errors.append(error)
        super().reportError(error, fatalError)

    def setProgressText(self, text: str) -> None:
        self.stage.emit(text)
        self.line.emit(text)


class Runs(QObject):
    """Starts runs, one at a time; QGIS stays free for other work meanwhile.

    A run under way outlives the window that started it: its task holds plain pointers to algorithm,
    context and feedback, which ``kept`` therefore holds until its end.
    """

    running, progress = pyqtSignal(bool), pyqtSignal(int)
    stage, line = pyqtSignal(str), pyqtSignal(str)
    kept: ClassVar[dict[Any, tuple[Any, ...]]] = {}

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.task: Any = None

    def start(self, name: str, answers: dict[str, Any], then: Callable[..., None]) -> None:
        """Run ``geopointseg:name`` and call ``then(results, layers, feedback)`` at its end.

        Where it cannot start that is at once. A run that failed has a reason in ``feedback.errors``.
        """
        registry = core.QgsApplication.processingRegistry()
        algorithm, feedback = registry.createAlgorithmById(f"geopointseg:{name}"), RunFeedback()
        context = core.QgsProcessingContext()
        context.setProject(core.QgsProject.instance())
        reason, task = _obstacle(algorithm, answers, context), None
        if reason:
            feedback.errors.append(reason)
        else:
            task = core.QgsProcessingAlgRunnerTask(algorithm, answers, context, feedback)
        if task is None or task.isCanceled():  # its preparation failed
            feedback.errors = feedback.errors or [tr("Cancelled. No output was written.")]
            then({}, [], feedback)
            return
        feedback.warnings.clear()  # those on unsaved edits: the panel shows them all the time
        self.task = task
        self.kept[task] = (algorithm, context, feedback, then)
        feedback.progressChanged.connect(lambda percent: self.progress.emit(int(percent)))
        feedback.stage.connect(self.stage)
        feedback.line.connect(self.line)
        task.executed.connect(self._finish)
        self.running.emit(True)  # noqa: FBT003
        core.QgsApplication.taskManager().addTask(task)

    def cancel(self) -> None:
        """End the run; nothing is left of it."""
        if self.task is not None:
            self.stage.emit(tr("Cancelling…"))
            self.task.cancel()

    def _finish(self, good: bool, results: dict[str, Any]) -> None:  # noqa: FBT001  a slot
        _, context, feedback, then = self.kept.pop(self.task)
        layers = _load(context, feedback) if good else []
        self.task = None
        self.running.emit(False)  # noqa: FBT003
        if good:
            feedback.errors.clear()  # what was reported, but did not end the run
        elif not feedback.errors:
            feedback.errors.append(tr("Cancelled. No output was written."))
        then(results, layers, feedback)


def _obstacle(algorithm: Any, answers: dict[str, Any], context: Any) -> str:
    """Return why an algorithm cannot start, or an empty string."""
    if algorithm is None:
        return tr("The tool is missing. Enable the provider geopointseg in the Processing options.")
    ready, reason = algorithm.canExecute()
    if ready:
        ready, reason = algorithm.checkParameterValues(answers, context)
    return "" if ready else reason


def _load(context: Any, feedback: RunFeedback) -> list[core.QgsMapLayer]:
    """Add the results to the project with the styles that their tool gives them."""
    loaded = []
    for source, details in context.layersToLoadOnCompletion().items():
        found = core.QgsProcessingUtils.mapLayerFromString(source, context)
        if found is not None:
            details.setOutputLayerName(found)
            layer = details.project.addMapLayer(context.temporaryLayerStore().takeMapLayer(found))
            if details.postProcessor() is not None:
                details.postProcessor().postProcessLayer(layer, context, feedback)
            loaded.append(layer)
    return loaded
