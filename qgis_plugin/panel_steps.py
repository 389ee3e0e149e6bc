"""The steps of the work: which tool each button runs, with which answers, and what comes next."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from qgis import core

from . import memory
from .panel_run import Answers
from .translation import tr

COUNT, SAMPLE_COUNT = 20, 50
LARGEST_DISTANCE_M = 50.0


class Step(NamedTuple):
    """A button: the algorithm that it runs, its text, and its explanation."""

    key: str
    algorithm: str
    label: str
    help: str


def steps() -> list[Step]:
    """Return the buttons in the order of the work."""
    return [
        Step("check", "checkpoints", tr("Check"), tr("Find points that would harm the model, in seconds.")),
        Step("train", "trainmodel", tr("Train"), tr("Train a model with the points on the image.")),
        Step("map", "predictmap", tr("Map"), tr("Map the whole image with the model.")),
        Step("assess", "assessmap", tr("Assess"), tr("Measure the accuracy of the map with test points.")),
        Step("next", "suggestpoints", tr("Where next?"), tr("Find the places where more points help most.")),
        Step("sample", "designsample", "", ""),
    ]  # fmt: skip


class Chosen(NamedTuple):
    """What the panel is set to: layers, field, model folder and minutes."""

    raster: core.QgsRasterLayer | None
    points: core.QgsVectorLayer | None
    field: str
    model: str
    minutes: float
    map: core.QgsRasterLayer | None
    test: core.QgsVectorLayer | None
    test_field: str
    is_sample: bool = False


def missing(step: str, chosen: Chosen) -> str:
    """Return which earlier step is missing, or an empty string."""
    if step in ("map", "next") and not chosen.model:
        return tr("There is no model yet. Press 'Train' first, or choose the folder of a model.")
    if step in ("assess", "sample") and chosen.map is None:
        return tr("There is no map yet. Press 'Map' first.")
    if step in ("check", "train") and chosen.points.featureCount() < 1:
        return tr("There are no points yet. Pick a class and click on the map.")
    return ""


def answers(step: str, chosen: Chosen, *, model_folder: str = "") -> Answers:
    """Return the parameters of a step's algorithm."""
    folder = memory.default_folder(chosen.points or chosen.raster)
    labelled = {"POINTS": chosen.points, "CLASS_FIELD": chosen.field}
    if step == "check":
        path = memory.free_path(folder, tr("Questionable points"), ".gpkg")
        return {"RASTER": chosen.raster, **labelled, "OUTPUT": _layer(path)}
    if step == "train":
        return {
            "RASTER": chosen.raster,
            **labelled,
            "MINUTES": chosen.minutes,
            "OUTPUT": model_folder,
        }
    if step == "map":
        path = memory.free_path(folder, map_name(chosen.raster), ".tif")
        return {"MODEL": chosen.model, "RASTER": chosen.raster, "OUTPUT": _layer(path)}
    if step == "assess":
        path = memory.free_path(
            folder, tr("Accuracy of {map}").format(map=chosen.map.name()), ".html"
        )
        test = {"POINTS": chosen.test, "CLASS_FIELD": chosen.test_field, "REPORT": str(path)}
        return {
            "MAP": chosen.map,
            **test,
            **({"SAMPLING": "stratified"} if chosen.is_sample else {}),
        }
    if step == "next":
        path = memory.free_path(folder, tr("Where next"), ".gpkg")
        distance = spacing(chosen.raster)
        asked = {"MODEL": chosen.model, "RASTER": chosen.raster, "COUNT": COUNT}
        return {**asked, "MIN_DISTANCE": distance, "POINTS": chosen.points, "OUTPUT": _layer(path)}
    path = memory.free_path(folder, tr("Test points"), ".gpkg")
    return {"MAP": chosen.map, "COUNT": SAMPLE_COUNT, "OUTPUT": _layer(path)}


def map_name(raster: core.QgsRasterLayer) -> str:
    """Return the name of the map of a raster."""
    return tr("Land cover of {scene}").format(scene=raster.name())


def next_step(step: str) -> str:
    """Return what to do after a step."""
    return {
        "check": tr("Checked. Next: 'Train'."),
        "train": tr("The model is trained. Next: 'Map'."),
        "map": tr("The map is there. Next: 'Where next?' to improve it, or 'Assess'."),
        "assess": tr("The map is assessed. Next: 'Where next?' to improve it."),
        "next": tr("Answer the questions on the map. Then press 'Train' again."),
        "sample": tr("Say what is at each test point, as seen in the image. Then press 'Assess' again."),
    }[step]  # fmt: skip


def spacing(raster: core.QgsRasterLayer) -> float:
    """Return a distance in metres that suggested points keep: a 20th of the shorter side, at most 50."""
    measure = core.QgsDistanceArea()
    measure.setSourceCrs(raster.crs(), core.QgsProject.instance().transformContext())
    measure.setEllipsoid(raster.crs().ellipsoidAcronym() or "WGS84")
    box, middle = raster.extent(), raster.extent().center()
    ends = [
        core.QgsPointXY(box.xMinimum(), middle.y()),
        core.QgsPointXY(box.xMaximum(), middle.y()),
    ]
    upright = [
        core.QgsPointXY(middle.x(), box.yMinimum()),
        core.QgsPointXY(middle.x(), box.yMaximum()),
    ]
    sides = [measure.convertLengthMeasurement(measure.measureLine(*pair), core.QgsUnitTypes.DistanceUnit.DistanceMeters) for pair in (ends, upright)]  # fmt: skip
    return round(min(LARGEST_DISTANCE_M, min(sides) / 20.0), 2)


def _layer(path: Path) -> Any:
    path.parent.mkdir(parents=True, exist_ok=True)
    return core.QgsProcessingOutputLayerDefinition(str(path), core.QgsProject.instance())
