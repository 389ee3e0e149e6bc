"""The steps of the work: which algorithm each runs, and with which answers."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from qgis import core

from . import memory
from .panel_points import count_classes
from .tasks import load_table
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
    rows = load_table("panel.json")["steps"].items()
    return {name: Step(first, *map(tr, texts), last) for name, (first, *texts, last) in rows}


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
