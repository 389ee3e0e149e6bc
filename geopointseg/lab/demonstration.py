"""The demo: from points to an assessed map, compared with random forests.

On the synthetic landscape points are placed in the west only, and maps are scored in the east. On the user's data
some spatial blocks of points are held out for testing.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from geopointseg.assessment.accuracy import assess
from geopointseg.assessment.assessment_result import Assessment
from geopointseg.assessment.confusion import ConfusionMatrix
from geopointseg.bands.opening import open_scenes
from geopointseg.config import Config
from geopointseg.errors import OutputError
from geopointseg.lab.qgis_project import write_qgis_project
from geopointseg.lab.synthetic_embedding import make_embedding, write_alpha_earth
from geopointseg.lab.synthetic_landscape import Landscape, draw_points, make_landscape, write_scene
from geopointseg.labels.block_split import split_points
from geopointseg.labels.points import Points, read_points, write_points
from geopointseg.learning.training import train
from geopointseg.model.bundle import resolve_device
from geopointseg.prediction.predictor import predict
from geopointseg.progress import NullSink, Reporter
from geopointseg.raster.class_map import ClassMap, write_class_map
from geopointseg.raster.scene import Scene
from geopointseg.summary import described, join_names

TRAINING_SHARE = 0.58
"""Share of the width of the landscape, from the west, with training points."""
TEST_SHARE = 0.64
"""Maps are scored east of this share of the width; the strip between the two is a buffer."""
POINTS_PER_CLASS = 50
SIZE = (640, 960)
"""Rows and columns of the landscape."""
STEPS = 350
"""Optimizer steps of the network."""
BLOCKS_ACROSS = 8
"""Number of spatial blocks along the longer side of a user's scene."""


@dataclass(frozen=True)
class _DemoModel:
    """One of the models of the demo: its name, its settings, and its files."""

    title: str
    model: Literal["auto", "linear", "knn", "forest"]
    forest: dict[str, Any]
    folder: str
    map_name: str


_MODELS = (
    _DemoModel(
        "forest, single pixels",
        "forest",
        {"features": "pixel", "trees": 100},
        "model_pixel_forest",
        "map_pixel_forest.tif",
    ),
    _DemoModel(
        "forest, filter features",
        "forest",
        {"features": "filters"},
        "model_forest",
        "map_forest.tif",
    ),
    _DemoModel("geopointseg", "auto", {}, "model", "map.tif"),
)

_ON_EMBEDDING = (
    _DemoModel("forest", "forest", {"trees": 100}, "model_forest", "map_forest.tif"),
    _DemoModel("nearest neighbours", "knn", {}, "model_knn", "map_knn.tif"),
    _DemoModel("geopointseg", "auto", {"trees": 100}, "model", "map.tif"),
)


@described
@dataclass(frozen=True)
class DemoResult:
    """Files, scores and times of the demo.

    Parameters
    ----------
    folder
        Folder of all files.
    files
        File name by content.
    scores
        Confusion matrix on the test area, by model.
    seconds
        Wall time by step.
    tested_on
        Phrase that describes the test area.
    """

    folder: Path
    files: dict[str, str]
    scores: dict[str, ConfusionMatrix]
    seconds: dict[str, float]
    tested_on: str

    def _summary(self) -> list[str]:
        scores = [f"{name} {found.overall_accuracy:.3f}" for name, found in self.scores.items()]
        return [
            f"DemoResult in '{self.folder}': {sum(self.seconds.values()):.0f} s",
            f"overall accuracy {self.tested_on}: {join_names(scores)}",
        ]

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "folder": str(self.folder),
            "files": self.files,
            "tested_on": self.tested_on,
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
            "scores": {
                name: {"overall_accuracy": m.overall_accuracy, "mean_f1": m.mean("f1")}
                for name, m in self.scores.items()
            },
        }

    def tables(self) -> list[tuple[str, Sequence[str], list[tuple[Any, ...]]]]:
        """Return the tables to print: title, headings, rows."""
        matrices = list(self.scores.values())
        names = list(self.scores)
        rows: list[tuple[Any, ...]] = [
            (legend_name, *(float(m.f1[index]) for m in matrices))
            for index, legend_name in enumerate(matrices[0].legend.names)
        ]
        rows.append(("mean F1", *(m.mean("f1") for m in matrices)))
        rows.append(("overall accuracy", *(m.overall_accuracy for m in matrices)))
        return [(f"F1 by class, {self.tested_on}", ["class", *names], rows)]

    def sentences(self) -> list[str]:
        """Return the sentences to print below the tables."""
        total = sum(self.seconds.values())
        parts = ", ".join(f"{name} {value:.0f} s" for name, value in self.seconds.items())
        return [
            f"See {self.folder / self.files['picture']} and {self.folder / self.files['report']}.",
            (
                f"Open in QGIS: {self.folder / self.files['project']}, a project with points, maps and scene."
            ),
            f"Took {total:.0f} s ({parts}).",
        ]


@dataclass(frozen=True)
class _DemoData:
    """Data of a demo: a scene, training points, and the reference of the scores."""

    scene: Scene
    points: Points
    reference: Points | str
    tested_on: str
    files: dict[str, str]
    recipes: tuple[_DemoModel, ...] = _MODELS


def run_demo(
    folder: str | Path,
    *,
    scene: str | None = None,
    points: str | None = None,
    class_field: str | None = None,
    minutes: float | None = None,
    embeddings: bool = False,
    size: tuple[int, int] = SIZE,
    seed: int = 0,
    device: str = "auto",
    reporter: Reporter | None = None,
) -> DemoResult:
    """Train, predict, assess and draw, on the synthetic landscape or on own data.

    Parameters
    ----------
    folder
        Output folder; created if it does not exist. Files of an earlier demo are replaced.
    scene, points, class_field
        Raster, points and class field of the user; by default the synthetic landscape.
    minutes
        Time limit of the training; None takes `STEPS` steps, so that the result is reproducible.
    embeddings
        Whether the synthetic scene is an embedding in the layout of AlphaEarth, with half as many rows and columns.
    size
        Rows and columns of the synthetic landscape.
    seed
        Seed of landscape, points and training.
    device
        ``auto``, ``cpu`` or ``cuda``.
    reporter
        Receives progress.

    Returns
    -------
    DemoResult
        Files, scores and times.

    Raises
    ------
    OutputError
        If the folder cannot be created.
    """
    reporter = reporter or Reporter()
    length = {"steps": STEPS} if minutes is None else {"minutes": minutes}
    config = Config().updated({"optimization": length})
    resolve_device(device)
    folder = Path(folder)
    seconds: dict[str, float] = {}
    with _removed_on_failure(folder):
        with _Stopwatch(seconds, "scene and points"):
            if embeddings:
                data = _embedding_data(folder, (size[0] // 2, size[1] // 2), seed)
            elif scene is None or points is None:
                data = _synthetic_data(folder, size, seed)
            else:
                data = _user_data(folder, scene, points, class_field, seed)
        assessed: dict[str, Assessment] = {}
        for recipe in data.recipes:
            reporter.log(f"Training {recipe.title} ...")
            with _Stopwatch(seconds, recipe.title):
                assessed[recipe.title] = _train_and_map(
                    folder, data, recipe, config, seed, device, reporter
                )
        scores = {title: found.confusion for title, found in assessed.items()}
        with _Stopwatch(seconds, "picture and report"):
            _draw(folder, data, scores)
            _report(folder, data, assessed[data.recipes[-1].title])
            project = _write_project(folder, data, [r.map_name for r in reversed(data.recipes)])
    files = data.files | {
        "map": "map.tif", "model": "model", "picture": "overview.png", "report": "report.html", "project": project,
    }  # fmt: skip
    return DemoResult(folder, files, scores, seconds, data.tested_on)


def write_demo_data(
    folder: str | Path, *, size: tuple[int, int] = SIZE, seed: int = 0
) -> dict[str, str]:
    """Write the synthetic landscape and its points, without training.

    Parameters
    ----------
    folder
        Where files go; made where it does not exist.
    size
        Rows and columns of the landscape, in pixels.
    seed
        Seed of landscape and points.

    Returns
    -------
    dict
        Name of the file in the folder by what it is: ``scene``, ``points``, ``truth`` and ``project``.
    """
    data = _synthetic_data(Path(folder), size, seed)
    return data.files | {"project": _write_project(Path(folder), data, [])}


def _write_project(folder: Path, data: _DemoData, maps: Sequence[str]) -> str:
    """Write the QGIS project of the demo and return its name."""
    points = folder / data.files["points"]
    project = folder / "demo.qgs"
    write_qgis_project(project, data.scene, points, [folder / m for m in maps], title="Demo")
    return project.name


@contextmanager
def _removed_on_failure(folder: Path) -> Iterator[None]:
    """Remove a folder that did not exist before if the block fails, and the folders around it that were made for it."""
    made = next((p for p in (*reversed(folder.parents), folder) if not os.path.lexists(p)), None)
    try:
        yield
    except BaseException:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
        raise


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The folder '{folder}' cannot be made ({error.strerror}). "
            "Expected a place that may be written to; name another one."
        ) from error


def _synthetic_data(folder: Path, size: tuple[int, int], seed: int) -> _DemoData:
    landscape = make_landscape(*size, seed=seed)
    _prepare(folder)
    write_scene(landscape, str(folder / "scene.tif"))
    points = draw_points(landscape, POINTS_PER_CLASS, seed, columns=(0.0, TRAINING_SHARE))
    write_points(points, folder / "points.gpkg")
    _write_truth(landscape, folder)
    return _DemoData(
        scene=Scene.open(folder / "scene.tif"),
        points=points,
        reference=str(folder / "truth_east.tif"),
        tested_on="on the eastern part, where no points lie",
        files={"scene": "scene.tif", "points": "points.gpkg", "truth": "truth.tif"},
    )


def _embedding_data(folder: Path, size: tuple[int, int], seed: int) -> _DemoData:
    """Write a synthetic embedding of a year in the layout of AlphaEarth."""
    embedding = make_embedding(*size, seed=seed)
    _prepare(folder)
    write_alpha_earth(embedding, folder / "embedding_2024.tif")
    points = draw_points(embedding.landscape, POINTS_PER_CLASS, seed, columns=(0.0, TRAINING_SHARE))
    write_points(points, folder / "points.gpkg")
    _write_truth(embedding.landscape, folder)
    return _DemoData(
        scene=open_scenes([folder / "embedding_2024.tif"])[0],
        points=points,
        reference=str(folder / "truth_east.tif"),
        tested_on="on the eastern part of a synthetic embedding, where no points lie",
        files={"scene": "embedding_2024.tif", "points": "points.gpkg", "truth": "truth.tif"},
        recipes=_ON_EMBEDDING,
    )


def _write_truth(landscape: Landscape, folder: Path) -> None:
    """Write the true map, and the part of it that is the reference of the scores."""
    east = np.zeros(landscape.grid.shape, dtype=bool)
    east[:, round(TEST_SHARE * landscape.grid.width) :] = True
    truth = landscape.truth.astype(np.int32)
    for name, valid in (("truth.tif", landscape.valid), ("truth_east.tif", landscape.valid & east)):
        write_class_map(folder / name, truth, landscape.grid, landscape.legend, valid=valid)


def _user_data(
    folder: Path, scene_path: str, points_path: str, class_field: str | None, seed: int
) -> _DemoData:
    """Hold out the points of about 30 % of the blocks for testing."""
    scene = Scene.open(scene_path)
    points = read_points(points_path, class_field=class_field)
    extent_m = max(scene.grid.shape) * scene.grid.resolution_m
    divided = split_points(
        points, block_size_m=extent_m / BLOCKS_ACROSS, test_fraction=0.3, seed=seed
    )
    is_test = divided.split == "test"
    training = divided.select(~is_test)
    _prepare(folder)
    write_points(divided, folder / "points.gpkg")
    return _DemoData(
        scene=scene,
        points=training,
        reference=divided.select(is_test),
        tested_on=f"on {int(is_test.sum())} of {len(points)} points, kept for testing block by block",
        files={"scene": str(Path(scene_path).absolute()), "points": "points.gpkg"},
    )


def _train_and_map(
    folder: Path,
    data: _DemoData,
    recipe: _DemoModel,
    config: Config,
    seed: int,
    device: str,
    reporter: Reporter,
) -> Assessment:
    model = train(
        [data.scene.path],
        data.points,
        output=folder / recipe.folder,
        config=config.updated({"forest": recipe.forest}),
        seed=seed,
        model=recipe.model,
        device=device,
        reporter=reporter,
    )
    predict(model, data.scene, folder / recipe.map_name, device=device, reporter=reporter)
    muted = Reporter(NullSink())
    return assess(folder / recipe.map_name, data.reference, reporter=muted)


def _report(folder: Path, data: _DemoData, assessed: Assessment) -> None:
    """Write the report of the last map."""
    from geopointseg.report.document import write_report

    recipe = data.recipes[-1]
    write_report(
        assessed, folder / "report.html", scene=data.scene, training_points=data.points,
        model=folder / recipe.folder,
    )  # fmt: skip


def _draw(folder: Path, data: _DemoData, scores: dict[str, ConfusionMatrix]) -> None:
    """Draw scene, points, maps and truth side by side."""
    from geopointseg.report.figures import draw_overview

    maps = {recipe.title: ClassMap.open(folder / recipe.map_name) for recipe in data.recipes[1:]}
    truth = ClassMap.open(folder / "truth.tif") if "truth" in data.files else None
    draw_overview(data.scene, data.points, maps, truth, scores).savefig(
        folder / "overview.png", dpi=110
    )


class _Stopwatch:
    """Measures the seconds of a step."""

    def __init__(self, seconds: dict[str, float], name: str) -> None:
        self._seconds, self._name = seconds, name

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._seconds[self._name] = time.perf_counter() - self._start
