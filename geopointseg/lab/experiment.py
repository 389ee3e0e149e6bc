"""One run of a study: simulate points, train, map the test images, score."""

from __future__ import annotations

import functools
import json
import operator
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rasterio.windows import Window

from geopointseg.assessment.confusion import ConfusionMatrix
from geopointseg.assessment.training_points import POINTS_FILE
from geopointseg.config import Config, PredictionConfig
from geopointseg.errors import PointsError
from geopointseg.lab.comparison import RunScore
from geopointseg.lab.dense_mask import DenseMask, read_dense_mask
from geopointseg.lab.point_simulation import simulate_points
from geopointseg.lab.study_data import StudyData
from geopointseg.lab.study_plan import POINT_FACTORS, RUN_FACTORS, StudyRun
from geopointseg.labels.points import Points
from geopointseg.labels.sparse_mask import SparseMask
from geopointseg.learning.training import train
from geopointseg.legend import Legend
from geopointseg.prediction.predictor import predict
from geopointseg.progress import Reporter
from geopointseg.raster.class_map import ClassMap
from geopointseg.raster.grid import Grid
from geopointseg.raster.raster_access import reading
from geopointseg.raster.scene import Scene


@dataclass(frozen=True)
class StudyScenes:
    """Scenes of a data set with dense masks in one legend."""

    scenes: tuple[Scene, ...]
    masks: tuple[DenseMask, ...]
    test_scenes: tuple[Scene, ...]
    test_masks: tuple[DenseMask, ...]
    legend: Legend


def run_experiment(
    run: StudyRun,
    data: StudyData,
    folder: Path,
    *,
    device: str = "auto",
    reporter: Reporter | None = None,
) -> RunScore:
    """Execute one run of a study.

    Parameters
    ----------
    run
        Data set, levels, their values, and seed.
    data
        The data set's files.
    folder
        Folder for models and maps.
    device
        ``auto``, ``cpu`` or ``cuda``.
    reporter
        Receives progress.

    Returns
    -------
    RunScore
        Scores of all test images together.
    """
    reporter = reporter or Reporter()
    started, worked = time.perf_counter(), time.process_time()
    material = read_study_scenes(data, folder, reporter)
    steps = 0
    if run.baseline == "majority":
        matrix = _majority(material)
    else:
        config = _configure(run.values, run.baseline)
        models = _train_models(material, run, config, folder, device, reporter)
        matrix = _score(models, material, config.prediction, folder, device, reporter)
        steps = _steps_of(models[0])
    return RunScore(
        data=run.data,
        levels=run.levels,
        seed=run.seed,
        mean_f1=matrix.mean("f1"),
        overall_accuracy=matrix.overall_accuracy,
        class_f1=dict(zip(matrix.legend.names, matrix.f1.tolist(), strict=True)),
        seconds=time.perf_counter() - started,
        key=run.key,
        cpu_seconds=time.process_time() - worked,
        steps=steps,
        confusion=matrix.counts.tolist(),
    )


def keep_results(folder: Path, kept: Path, *, maps: bool) -> None:
    """Copy the files that a report shows of a run: losses, points and, optionally, maps.

    Parameters
    ----------
    folder
        Folder of the run.
    kept
        Folder for the copies.
    maps
        Whether to copy the maps.
    """
    training = folder / "model_0" / "training"
    wanted = [training / "metrics.csv", training / POINTS_FILE]
    found = [path for path in wanted if path.exists()]
    for path in found + (sorted(folder.glob("map_*.tif")) if maps else []):
        kept.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, kept / path.name)


def read_study_scenes(
    data: StudyData, folder: Path, reporter: Reporter | None = None
) -> StudyScenes:
    """Read scenes and masks; a class that occurs only in training or only in testing is left unlabelled in both.

    Parameters
    ----------
    data
        The data set's files.
    folder
        Folder for copies of parts of images.
    reporter
        Receives warnings.

    Returns
    -------
    StudyScenes
        Scenes and masks in the legend of the common classes.

    Raises
    ------
    PointsError
        If training and test masks share fewer than two classes.
    """
    reporter = reporter or Reporter()
    scenes, masks = _read_pairs(
        data.images, data.masks, data.palette, data.part, folder / "training", reporter
    )
    test_scenes, test_masks = _read_pairs(
        data.test_images, data.test_masks, data.palette, data.test_part, folder / "test", reporter
    )
    learnt, tested = _codes_of(masks), _codes_of(test_masks)
    shared = sorted(learnt & tested)
    _tell_left_out(
        data.name, _joint_legend([*masks, *test_masks], sorted(learnt ^ tested)), reporter
    )
    if len(shared) < 2:
        raise PointsError(
            f"Training and test masks of '{data.name}' share {len(shared)} classes. "
            "Expected at least two; choose masks that show the same classes."
        )
    legend = _joint_legend([*masks, *test_masks], shared)
    return StudyScenes(
        scenes,
        tuple(_translate(mask, legend) for mask in masks),
        test_scenes,
        tuple(_translate(mask, legend) for mask in test_masks),
        legend,
    )


def _tell_left_out(name: str, legend: Legend, reporter: Reporter) -> None:
    if len(legend):
        reporter.warn(
            f"'{name}': {', '.join(legend.names)} occur in the training masks or in the test masks only, and are left "
            "unlabelled in both."
        )


def _read_pairs(
    images: Sequence[Path], masks: Sequence[Path], palette: str, part: str, crops: Path, reporter: Reporter
) -> tuple[tuple[Scene, ...], tuple[DenseMask, ...]]:  # fmt: skip
    """Read images and masks; parts of images are copied to files whose names begin like ``crops``."""
    scenes, read = [], []
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        scene = Scene.open(image)
        dense = read_dense_mask(mask, palette=palette or None, grid=scene.grid, reporter=reporter)
        if part != "all":
            window = part_window(scene.grid, part)
            path = crops.with_name(f"{crops.name}_{number}_{part}_{image.stem}.tif")
            scene = _crop_scene(scene, window, path)
            rows, cols = window.toslices()
            dense = replace(
                dense, class_index=dense.class_index[rows, cols], grid=scene.grid, instance=None
            )
        scenes.append(scene)
        read.append(dense)
    return tuple(scenes), tuple(read)


def part_window(grid: Grid, part: str) -> Window:
    """Return the window of a part of a grid: a half of it, or at most 768 x 768 pixels in the centre."""
    height, width = grid.shape
    middle_row, middle_col = height // 2, width // 2
    rows, cols = min(height, 768), min(width, 768)
    return {
        "top": Window(0, 0, width, middle_row),
        "bottom": Window(0, middle_row, width, height - middle_row),
        "left": Window(0, 0, middle_col, height),
        "right": Window(middle_col, 0, width - middle_col, height),
        "centre": Window((width - cols) // 2, (height - rows) // 2, cols, rows),
    }[part]


def _crop_scene(scene: Scene, window: Window, path: Path) -> Scene:
    """Copy a window of a scene to a file, so that no run reads the other part."""
    import rasterio

    with rasterio.open(scene.path) as source:
        profile = source.profile | {
            "driver": "GTiff", "height": window.height, "width": window.width, "compress": "deflate",
            "transform": scene.grid.window_transform(window),
        }  # fmt: skip
        with rasterio.open(path, "w", **profile) as target:
            with reading(scene.path, window):
                values = source.read(window=window)
            target.write(values)
            target.descriptions = source.descriptions
    return Scene.open(path)


def _codes_of(masks: Sequence[DenseMask]) -> set[int]:
    return {int(code) for mask in masks for code in mask.legend.codes[mask.counts() > 0]}


def _joint_legend(masks: Sequence[DenseMask], codes: Sequence[int]) -> Legend:
    entries = {entry.code: entry for mask in masks for entry in mask.legend.entries}
    return Legend(tuple(entries[code] for code in codes))


def _translate(mask: DenseMask, legend: Legend) -> DenseMask:
    """Renumber a mask's classes by code; what the legend lacks becomes unlabelled."""
    position = {code: index for index, code in enumerate(legend.codes.tolist())}
    table = np.array(
        [position.get(int(code), -1) for code in mask.legend.codes] + [-1], dtype=np.int16
    )
    return replace(mask, class_index=table[mask.class_index], legend=legend)


def _majority(material: StudyScenes) -> ConfusionMatrix:
    """Score a map with the most frequent training class at every pixel."""
    counts = sum(
        np.bincount(m.class_index[m.class_index >= 0], minlength=len(material.legend))
        for m in material.masks
    )
    most_frequent = int(np.argmax(counts))
    return _sum(
        ConfusionMatrix.from_labels(
            np.full_like(m.class_index, most_frequent), m.class_index, material.legend
        )
        for m in material.test_masks
    )


def _steps_of(model: Path) -> int:
    """Return the number of training steps of a model's network."""
    document = json.loads((model / "model.json").read_text(encoding="utf-8"))
    return int(document.get("steps", 0))


def _train_models(
    material: StudyScenes, run: StudyRun, config: Config, folder: Path, device: str, reporter: Reporter
) -> list[Path]:  # fmt: skip
    """Train the models of a run; more than one only where the ensemble is a factor."""
    values, baseline, seed = run.values, run.baseline, run.seed
    paths = [scene.path for scene in material.scenes]
    labels: Points | list[SparseMask]
    if baseline == "dense":
        labels = [_as_sparse(mask) for mask in material.masks]
    else:
        labels = _draw_points(material, values, seed)
    if values.get("pretraining"):
        from geopointseg.learning.pretraining import pretrain

        pretrain(
            paths,
            output=folder / "weights",
            config=config,
            seed=seed,
            device=device,
            reporter=reporter,
        )
        config = config.updated({"model": {"weights": str(folder / "weights")}})
    kind = _model_kind(values, baseline)
    folders = []
    for member in range(int(values.get("ensemble", 1)) if not baseline else 1):
        folders.append(folder / f"model_{member}")
        train(
            paths, labels, output=folders[-1], config=config, seed=seed + 1000 * member,
            model=kind, device=device, reporter=reporter,
        )  # fmt: skip
    return folders


def _model_kind(
    values: Mapping[str, Any], baseline: str
) -> Literal["auto", "network", "linear", "forest"]:
    if baseline:
        return "network" if baseline == "dense" else "forest"
    kind: Literal["auto", "network", "linear", "forest"] = values.get("model", "auto")
    return kind


def _configure(values: Mapping[str, Any], baseline: str) -> Config:
    changes: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        if name not in POINT_FACTORS and name not in RUN_FACTORS:
            section, _, setting = name.partition(".")
            changes.setdefault(section, {})[setting] = value
    config = Config().updated(changes)
    if baseline.endswith("forest"):
        features = "pixel" if baseline.startswith("pixel") else "filters"
        config = config.updated({"forest": {"features": features}})
    if baseline == "dense":  # no unlabelled pixel is left for distillation
        config = config.updated({"teaching": {"distillation_weight": 0.0}})
    return config


def _draw_points(material: StudyScenes, values: Mapping[str, Any], seed: int) -> Points:
    """Simulate the points of all training images together."""
    options = {name.partition(".")[2]: values[name] for name in POINT_FACTORS if name in values}
    return simulate_points(material.masks, seed=seed, **options)


def _as_sparse(mask: DenseMask) -> SparseMask:
    return SparseMask.from_array(mask.class_index, mask.grid, mask.legend)


def _score(
    models: Sequence[Path], material: StudyScenes, settings: PredictionConfig, folder: Path, device: str,
    reporter: Reporter,
) -> ConfusionMatrix:  # fmt: skip
    matrices = []
    for number, (scene, mask) in enumerate(
        zip(material.test_scenes, material.test_masks, strict=True)
    ):
        output = folder / f"map_{number}.tif"
        predict(
            models if len(models) > 1 else models[0], scene, output, device=device, reporter=reporter,
            cog=False, **asdict(settings),
        )  # fmt: skip
        mapped, valid = ClassMap.open(output).read()
        reference = np.where(valid, mask.class_index, -1)
        matrices.append(ConfusionMatrix.from_labels(mapped, reference, material.legend))
    return _sum(matrices)


def _sum(matrices: Iterable[ConfusionMatrix]) -> ConfusionMatrix:
    return functools.reduce(operator.add, matrices)
