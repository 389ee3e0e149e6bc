"""Run a Processing algorithm as a background task of QGIS, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from qgis import core
from qgis.PyQt.QtCore import QObject, pyqtSignal

from .translation import tr

LOG = "geopointseg"
Level = core.Qgis.MessageLevel


class RunFeedback(core.QgsProcessingFeedback):
    """Keeps the warnings and errors of a run, and writes everything to QGIS's log.

    QGIS calls it in the thread of the run: it touches no widget, and its signals are queued.
    """

    told = pyqtSignal(str)

    def __init__(self) -> None:
        super().__init__(logFeedback=False)
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def pushInfo(self, info: str) -> None:
        core.QgsMessageLog.logMessage(info, LOG, Level.Info, notifyUser=False)

    pushCommandInfo = pushInfo  # noqa: N815
    pushConsoleInfo = pushInfo  # noqa: N815
    pushDebugInfo = pushInfo  # noqa: N815

    def pushWarning(self, warning: str) -> None:
        self.warnings.append(warning)
        core.QgsMessageLog.logMessage(warning, LOG, Level.Warning, notifyUser=False)

    def reportError(self, error: str, fatalError: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        self.errors.append(error)
        core.QgsMessageLog.logMessage(error, LOG, Level.Critical, notifyUser=False)

    def setProgressText(self, text: str) -> None:
        self.told.emit(text)


class Ended(NamedTuple):
    """How a run ended: with results and layers (``results`` is None where it failed)."""

    results: dict[str, Any] | None
    layers: list[core.QgsMapLayer]
    warnings: list[str]
    error: str


class Runs(QObject):
    """Starts runs; QGIS stays free for other work meanwhile."""

    started, ended = pyqtSignal(), pyqtSignal()
    progress, told = pyqtSignal(float), pyqtSignal(str)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.task: Any = None
        self._kept: tuple[Any, ...] = ()  # the task holds plain pointers to them

    def start(self, name: str, answers: dict[str, Any], then: Callable[[Ended], None]) -> None:
        """Run ``geopointseg:name`` and call ``then`` at its end, or at once where it cannot start."""
        algorithm = core.QgsApplication.processingRegistry().createAlgorithmById(f"{LOG}:{name}")
        context, feedback = core.QgsProcessingContext(), RunFeedback()
        context.setProject(core.QgsProject.instance())
        reason = _obstacle(name, algorithm, answers, context)
        if not reason:
            task = core.QgsProcessingAlgRunnerTask(algorithm, answers, context, feedback)
            reason = "\n".join(feedback.errors) if task.isCanceled() else ""  # of its preparation
        if reason:
            then(Ended(None, [], feedback.warnings, reason))
            return
        feedback.warnings.clear()  # those on unsaved edits: the panel shows them all the time
        self.task, self._kept = task, (algorithm, context, feedback, then)
        feedback.progressChanged.connect(self.progress)
        feedback.told.connect(self.told)
        task.executed.connect(self._finish)
        self.started.emit()
        core.QgsApplication.taskManager().addTask(task)

    def cancel(self) -> None:
        """End the run; nothing is left of it."""
        if self.task is not None:
            self.told.emit(tr("Cancelling…"))
            self.task.cancel()

    def _finish(self, good: bool, results: dict[str, Any]) -> None:  # noqa: FBT001  a slot
        _, context, feedback, then = self._kept
        layers = _load(context, feedback) if good else []
        self.task, self._kept = None, ()
        self.ended.emit()
        error = "\n".join(feedback.errors) or tr("Cancelled. No output was written.")
        then(Ended(results if good else None, layers, feedback.warnings, error))


def _obstacle(name: str, algorithm: Any, answers: dict[str, Any], context: Any) -> str:
    """Return why an algorithm cannot start, or an empty string."""
    if algorithm is None:
        text = tr("The tool '{name}' is missing: enable the provider geopointseg.")
        return text.format(name=name)
    ready, reason = algorithm.canExecute()
    if ready:
        ready, reason = algorithm.checkParameterValues(answers, context)
    return "" if ready else reason


def _load(context: Any, feedback: RunFeedback) -> list[core.QgsMapLayer]:
    """Add the results to the project with the styles that their tool gives them."""
    loaded = []
    for source, details in context.layersToLoadOnCompletion().items():
        found = core.QgsProcessingUtils.mapLayerFromString(source, context)
        if found is None:
            continue
        details.setOutputLayerName(found)
        layer = details.project.addMapLayer(context.temporaryLayerStore().takeMapLayer(found))
        if details.postProcessor() is not None:
            details.postProcessor().postProcessLayer(layer, context, feedback)
        loaded.append(layer)
    return loaded
