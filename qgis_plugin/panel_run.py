"""The steps of the work: which algorithm each runs, and with which answers."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from qgis import core

from . import memory
from .panel_points import count_classes
from .tasks import load_table
from .translation import tr

SAMPLE_COUNT, LARGEST_DISTANCE_M = load_table("panel.json")["answers"]["sample"]["COUNT"], 50.0


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
    folder, project = memory.default_folder(chosen.points or chosen.raster), core.QgsProject.instance()
    names = {"RASTER": chosen.raster and chosen.raster.name(), "MAP": chosen.map and chosen.map.name()}
    known = {**chosen._asdict(), "folder": model_folder, "sampling": "stratified"}
    if step == "next":
        known["spacing"] = spacing(chosen.raster)
    table = load_table("panel.json")["answers"][step].items()
    table = [(name, value) for name, value in table if value != "sampling" or chosen.is_sample]
    given = {name: known.get(value, value) for name, value in table if not isinstance(value, list)}
    for name, (title, suffix) in ((name, pair) for name, pair in table if isinstance(pair, list)):
        folder.mkdir(parents=True, exist_ok=True)
        path = str(memory.free_path(folder, tr(title).format(**names), suffix))
        given[name] = path if suffix == ".html" else core.QgsProcessingOutputLayerDefinition(path, project)
    return given


def spacing(raster: core.QgsRasterLayer) -> float:
    """Return the distance in metres that suggested points keep: a 20th of the side, at most 50."""
    measure = core.QgsDistanceArea()
    measure.setSourceCrs(raster.crs(), core.QgsProject.instance().transformContext())
    measure.setEllipsoid("WGS84")
    area_m2 = measure.measureArea(core.QgsGeometry.fromRect(raster.extent()))
    return round(min(LARGEST_DISTANCE_M, math.sqrt(area_m2) / 20.0), 2)
