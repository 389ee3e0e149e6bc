"""Run a Processing algorithm as a background task of QGIS, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qgis import core
from qgis.PyQt.QtCore import QObject, pyqtSignal

from .translation import tr

LOG = "geopointseg"
Answers = dict[str, Any]


class RunFeedback(core.QgsProcessingFeedback):
    """Keeps the last sentence and the errors of a run; everything goes to QGIS's log."""

    told = pyqtSignal(str)

    def __init__(self) -> None:
        super().__init__(False)
        self.last = ""
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def pushInfo(self, info: str) -> None:
        self.last = info
        self._log(info, core.Qgis.MessageLevel.Info)

    def pushWarning(self, warning: str) -> None:
        self.warnings.append(warning)
        self._log(warning, core.Qgis.MessageLevel.Warning)

    def reportError(self, error: str, fatalError: bool = False) -> None:
        self.errors.append(error)
        self._log(error, core.Qgis.MessageLevel.Critical)

    def pushCommandInfo(self, info: str) -> None:
        self._log(info, core.Qgis.MessageLevel.Info)

    pushConsoleInfo = pushDebugInfo = pushCommandInfo

    def setProgressText(self, text: str) -> None:
        self.told.emit(text)

    def _log(self, text: str, level: Any) -> None:
        core.QgsMessageLog.logMessage(text, LOG, level, False)


class Ended:
    """How a run ended: its results and layers, or why there are none."""

    def __init__(
        self, ok: bool, results: Answers, feedback: RunFeedback, layers: list[Any]
    ) -> None:
        self.ok, self.results, self.layers = ok, results, layers
        self.sentence = feedback.last if ok else "\n".join(feedback.errors[-1:])
        self.cancelled = feedback.isCanceled() and not ok


class Runs(QObject):
    """Starts runs; QGIS stays free for other work meanwhile."""

    started, ended = pyqtSignal(), pyqtSignal()
    progress, told = pyqtSignal(float), pyqtSignal(str)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.task: Any = None
        self._kept: tuple[Any, ...] = ()  # QGIS's task holds plain pointers to them

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return self.task is not None

    def start(self, name: str, answers: Answers, then: Callable[[Ended], None]) -> None:
        """Run ``geopointseg:name`` and call ``then`` at its end; with a reason where it cannot start."""
        algorithm = core.QgsApplication.processingRegistry().createAlgorithmById(f"{LOG}:{name}")
        context, feedback = core.QgsProcessingContext(), RunFeedback()
        context.setProject(core.QgsProject.instance())
        reason = self._obstacle(name, algorithm, answers, context)
        if reason:
            feedback.errors.append(reason)
            then(Ended(False, {}, feedback, []))
            return
        task = core.QgsProcessingAlgRunnerTask(algorithm, answers, context, feedback)
        if task.isCanceled():  # its preparation failed, and said why
            then(Ended(False, {}, feedback, []))
            return
        self.task, self._kept = task, (algorithm, context, feedback, then)
        feedback.progressChanged.connect(self.progress)
        feedback.told.connect(self.told)
        task.executed.connect(self._finish)
        self.started.emit()
        core.QgsApplication.taskManager().addTask(task)

    def _obstacle(self, name: str, algorithm: Any, answers: Answers, context: Any) -> str:
        if algorithm is None:
            return tr("The tool '{name}' is missing: enable the provider geopointseg.").format(name=name)  # fmt: skip
        ready, reason = algorithm.canExecute()
        if ready:
            ready, reason = algorithm.checkParameterValues(answers, context)
        return "" if ready else reason or tr("The tool '{name}' cannot run.").format(name=name)

    def cancel(self) -> None:
        """End the run; nothing is left of it."""
        if self.task is not None:
            self.told.emit(tr("Cancelling…"))
            self.task.cancel()

    def _finish(self, ok: bool, results: Answers) -> None:
        _, context, feedback, then = self._kept
        layers = _load(context, feedback) if ok else []
        self.task, self._kept = None, ()
        self.ended.emit()
        then(Ended(ok, results, feedback, layers))


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
