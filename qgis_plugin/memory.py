"""What was answered last, kept in the project: raster, points, class field, model and map."""

from __future__ import annotations

import re
from pathlib import Path

from qgis.core import QgsMapLayer, QgsProject, QgsRasterLayer
from qgis.PyQt.QtCore import QStandardPaths

from .inputs import scene_of
from .tasks import load_table

SCOPE = "geopointseg"
KEYS = ("RASTER", "POINTS", "CLASS_FIELD", "MODEL", "MAP", "TEST")
RASTER, POINTS, CLASS_FIELD, MODEL, MAP, TEST = KEYS


def recall(key: str) -> str:
    """Return what was remembered under a key in this project, or an empty string.

    A layer is remembered by its identifier and offered only while the project holds it. A model
    folder is offered only while it holds a ``model.json``, a scene that is no layer while it exists.
    """
    value: str = QgsProject.instance().readEntry(SCOPE, key, "")[0]
    is_there = key == CLASS_FIELD or value in QgsProject.instance().mapLayers() or (key == RASTER and scene_of(value))
    if key == MODEL:
        is_there = Path(value, "model.json").is_file()
    return value if value and is_there else ""


def remember(key: str, value: str | QgsMapLayer) -> None:
    """Keep a value under a key in this project; a layer by its identifier.

    The project is not marked as changed when the value is the same as before.
    """
    kept = value.id() if isinstance(value, QgsMapLayer) else value
    if kept != QgsProject.instance().readEntry(SCOPE, key, "")[0]:
        QgsProject.instance().writeEntry(SCOPE, key, kept)


def offered(key: str) -> str:
    """Return what a form offers: what was remembered, or the only raster of the project."""
    layers = QgsProject.instance().mapLayers().items() if key == RASTER else ()
    rasters = [name for name, layer in layers if isinstance(layer, QgsRasterLayer)]
    return recall(key) or (rasters[0] if len(rasters) == 1 else "")


def key_of(task: str, parameter: str) -> str:
    """Return what an input of an algorithm is remembered as; test points apart from training points."""
    kept = parameter if parameter in KEYS[:-1] else ""
    return TEST if (task, parameter) == ("assessmap", POINTS) else kept


def key_of_result(task: str, output: str) -> str:
    """Return what a result of an algorithm is remembered as, or an empty string."""
    return load_table("algorithms.json")["results"].get(f"{task} {output}", "")


def default_folder(points: QgsMapLayer | None = None) -> Path:
    """Return the folder for results: the project's, the points', or the user's documents."""
    home = QgsProject.instance().absolutePath()
    if home:
        return Path(home)
    source = Path(points.source().partition("|")[0]) if points is not None else Path()
    if source.is_absolute() and source.is_file():
        return source.parent
    documents = QStandardPaths.StandardLocation.DocumentsLocation
    return Path(QStandardPaths.writableLocation(documents) or Path.home(), "geopointseg")


def free_path(folder: Path, stem: str, suffix: str = "") -> Path:
    """Return a path of this name that does not exist: ``stem``, ``stem 2``, ``stem 3``..."""
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", stem).strip(" .") or "result"
    path, number = folder / f"{name}{suffix}", 2
    while path.exists():
        path, number = folder / f"{name} {number}{suffix}", number + 1
    return path
