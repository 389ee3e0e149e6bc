"""The steps of the work: which algorithm each runs, with which answers, as a background task of QGIS."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from qgis import core
from qgis.PyQt.QtCore import QObject, pyqtSignal

from . import memory
from .panel_points import count_classes
from .translation import tr

COUNT, SAMPLE_COUNT, LARGEST_DISTANCE_M = 20, 50, 50.0


class Step(NamedTuple):
    """A step: the algorithm that it runs, the text and help of its button, and what comes after it."""

    algorithm: str
    label: str
    help: str
    after: str
    next: str


class Chosen(NamedTuple):
    """What the panel is set to: layers, class fields, model folder and minutes."""

    raster: core.QgsRasterLayer | None
    points: core.QgsVectorLayer | None
    field: str
    model: str
    minutes: float
    map: core.QgsRasterLayer | None
    test: core.QgsVectorLayer | None
    test_field: str
    is_sample: bool


def steps() -> dict[str, Step]:
    """Return the steps by name, in the order of the work; one without a label has no button."""
    return {
        "check": Step("checkpoints", tr("Check"), tr("Find points that would harm the model, in seconds."),
                      tr("Next: 'Train'."), "train"),
        "train": Step("trainmodel", tr("Train"), tr("Train a model with the points on the image."),
                      tr("Next: 'Map'."), "map"),
        "map": Step("predictmap", tr("Map"), tr("Map the whole image with the model."),
                    tr("Next: 'Assess', or 'Where next?' to improve the map."), "assess"),
        "assess": Step("assessmap", tr("Assess"), tr("Measure the accuracy of the map with test points."),
                       tr("Next: read the report, or 'Where next?' to improve the map."), "next"),
        "next": Step("suggestpoints", tr("Where next?"), tr("Find the places where more points help most."),
                     tr("Next: answer the questions, then 'Train' again."), "train"),
        "sample": Step("drawsample", "", "",
                       tr("Next: say what is at each test point, as seen in the image, then 'Assess'."), "assess"),
    }  # fmt: skip


def missing(step: str, chosen: Chosen) -> str:
    """Return which earlier step is missing, or an empty string."""
    if step in ("map", "next") and not chosen.model:
        return tr("There is no model yet. Press 'Train' first, or choose the folder of a model.")
    if step in ("assess", "sample") and chosen.map is None:
        return tr("There is no map yet. Press 'Map' first.")
    if step in ("check", "train") and not count_classes(chosen.points, chosen.field):
        return tr("There are no points yet. Pick a class and click on the map.")
    return ""


def answers(step: str, chosen: Chosen, model_folder: str) -> dict[str, Any]:
    """Return the parameters of a step's algorithm; its results go beside the project or the points."""
    raster, folder = chosen.raster, memory.default_folder(chosen.points or chosen.raster)

    def new(name: str, suffix: str) -> Any:
        folder.mkdir(parents=True, exist_ok=True)
        path, project = str(memory.free_path(folder, name, suffix)), core.QgsProject.instance()
        return path if suffix == ".html" else core.QgsProcessingOutputLayerDefinition(path, project)

    points = {"RASTER": raster, "POINTS": chosen.points, "CLASS_FIELD": chosen.field}
    model = {"RASTER": raster, "MODEL": chosen.model}
    if step == "check":
        return {**points, "OUTPUT": new(tr("Questionable points"), ".gpkg")}
    if step == "train":
        return {**points, "MINUTES": chosen.minutes, "OUTPUT": model_folder, "REPLACE": True}
    if step == "map":
        name = tr("Land cover of {RASTER}").format(RASTER=raster.name())
        return {**model, "OUTPUT": new(name, ".tif")}
    if step == "next":
        wanted = {"COUNT": COUNT, "MIN_DISTANCE": spacing(raster), "POINTS": chosen.points}
        return {**model, **wanted, "OUTPUT": new(tr("Where next"), ".gpkg")}
    if step == "sample":
        return {"MAP": chosen.map, "COUNT": SAMPLE_COUNT, "OUTPUT": new(tr("Test points"), ".gpkg")}
    report = new(tr("Accuracy of {MAP}").format(MAP=chosen.map.name()), ".html")
    test = {"MAP": chosen.map, "POINTS": chosen.test, "CLASS_FIELD": chosen.test_field}
    return {**test, "REPORT": report, **({"SAMPLING": "stratified"} if chosen.is_sample else {})}


def spacing(raster: core.QgsRasterLayer) -> float:
    """Return the distance in metres that suggested points keep: a 20th of the side, at most 50."""
    measure = core.QgsDistanceArea()
    measure.setSourceCrs(raster.crs(), core.QgsProject.instance().transformContext())
    measure.setEllipsoid("WGS84")
    area_m2 = measure.measureArea(core.QgsGeometry.fromRect(raster.extent()))
    return round(min(LARGEST_DISTANCE_M, math.sqrt(area_m2) / 20.0), 2)


class RunFeedback(core.QgsProcessingFeedback):
    """Keeps the warnings and errors of a run; QGIS writes everything to its log.

    It is called in the thread of the run: it touches no widget, and its signals are queued.
    """

    told = pyqtSignal(str)
    lists_reports = False

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def pushWarning(self, warning: str) -> None:
        self.warnings.append(warning)
        super().pushWarning(warning)

    def reportError(self, error: str, fatalError: bool = False) -> None:  # noqa: FBT001, FBT002
        self.errors.append(error)
        super().reportError(error, fatalError)

    def setProgressText(self, text: str) -> None:
        self.told.emit(text)


class Runs(QObject):
    """Starts runs, one at a time; QGIS stays free for other work meanwhile."""

    running, progress, told = pyqtSignal(bool), pyqtSignal(float), pyqtSignal(str)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.task: Any = None
        self._kept: tuple[Any, ...] = ()  # the task holds plain pointers to them

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
        self.task, self._kept = task, (algorithm, context, feedback, then)
        feedback.progressChanged.connect(self.progress)
        feedback.told.connect(self.told)
        task.executed.connect(self._finish)
        self.running.emit(True)  # noqa: FBT003
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
