"""A study runs all its levels, resumes, survives a level that fails, and writes its report."""

import csv
import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geopointseg.assessment.confusion import ConfusionMatrix
from geopointseg.lab import experiment
from geopointseg.lab.chart import draw_curves, draw_factor
from geopointseg.lab.factor_study import run_study
from geopointseg.lab.gallery import worst_squares
from geopointseg.lab.study_data import StudyData
from geopointseg.lab.study_plan import StudyRun
from geopointseg.lab.study_report import pool
from geopointseg.lab.synthetic_landscape import LEGEND, make_landscape, write_scene
from geopointseg.raster.class_map import write_class_map
from geopointseg.raster.scene import Scene

PLAN = """
title = "Points and trees"
seeds = [0, 1]
baselines = ["majority", "pixel forest"]
[data.landscape]
images = ["scene.tif"]
masks = ["truth.tif"]
test_images = ["scene.tif"]
test_masks = ["truth.tif"]
part = "left"
test_part = "right"
[fixed]
model = "forest"
"forest.features" = "pixel"
"forest.trees" = 12
[[factors]]
name = "points.per_class"
levels = [3, 40]
[[hypotheses]]
text = "More points help."
factor = "points.per_class"
better = 40
than = 3
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    landscape = make_landscape(192, 384, seed=2)
    write_scene(landscape, str(folder / "scene.tif"))
    write_class_map(folder / "truth.tif", landscape.truth.astype(int), landscape.grid, LEGEND)
    (folder / "study.toml").write_text(PLAN)
    return folder


@pytest.fixture(scope="module")
def result(study):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("GEOPOINTSEG_DATA", raising=False)
        return run_study(study / "study.toml", study / "out")


def test_every_level_has_a_score_and_more_points_help(result):
    assert not [score.failure for score in result.scores if score.failure]
    names = [row[0] for row in result.level_rows()]
    assert names == [
        "majority",
        "pixel forest, points per class 3",
        "pixel forest, points per class 40",
        "points per class 3",
        "points per class 40",
    ]
    by_name = {name: float(cell.split()[0]) for name, cell in result.level_rows()}
    assert by_name["points per class 40"] > by_name["points per class 3"] > by_name["majority"]


def test_the_report_states_hypotheses_and_outcomes(result):
    text = (result.folder / "report.md").read_text(encoding="utf-8")
    assert text.index("More points help.") < text.index("## Results")
    assert result.hypothesis_rows()[0][1] in ("held", "undecided")
    assert (result.folder / "report.html").read_text(encoding="utf-8").count("<figure>") == 4
    with (result.folder / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(result.scores)
    assert float(rows[-1]["f1 forest"]) >= 0
    assert any((result.folder / "tensorboard").rglob("events*"))


def test_every_picture_that_the_report_links_is_there(result):
    text = (result.folder / "report.md").read_text(encoding="utf-8")
    linked = re.findall(r"\]\((figures/[^)]+)\)", text)
    assert len(linked) == 4
    assert all((result.folder / path).stat().st_size < 500_000 for path in linked)


def test_scores_of_classes_follow_from_the_confusion_that_is_kept(result):
    best = result.columns("landscape")["points per class 40"]
    matrix = pool(best)
    table = (
        (result.folder / "report.md").read_text(encoding="utf-8").split("## Scores per class")[1]
    )
    row = next(line for line in table.splitlines() if line.startswith("| lake "))
    cells = [float(cell.strip(" %")) for cell in row.strip("|").split("|")[1:]]
    position = matrix.legend.names.index("lake")
    for cell, name in zip(cells[1:5], ("precision", "recall", "iou", "f1"), strict=True):
        assert cell == pytest.approx(100 * matrix.score(name)[position], abs=0.06)
    single = [ConfusionMatrix(np.array(s.confusion), matrix.legend).mean("f1") for s in best]
    assert single == pytest.approx([s.mean_f1 for s in best])


def test_maps_are_kept_of_the_first_seed_and_points_of_all(result):
    for score in result.ours("landscape"):
        kept = {path.name for path in (result.folder / "runs" / score.key).iterdir()}
        assert "points.gpkg" in kept
        assert ("map_0.tif" in kept) == (score.seed == 0)


def test_the_squares_shown_are_those_with_most_errors(result):
    reference = np.zeros((30, 50), int)
    mapped = reference.copy()
    mapped[10:20, 20:30] = 1
    mapped[0:5, 0:10] = 1
    reference[20:, 40:] = -1
    mapped[20:, 40:] = 1
    assert worst_squares([(reference, mapped)], 2, size=10) == [(0, 10, 20), (0, 0, 0)]


def test_charts_show_every_level_and_the_learning_curves(result, tmp_path):
    factor = result.plan.factors[0]
    axis = draw_factor(result, factor).axes[0]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["3", "40"]
    for score in result.ours("landscape"):
        folder = tmp_path / "runs" / score.key
        folder.mkdir(parents=True)
        (folder / "metrics.csv").write_text("step,points,held_out_mean_f1\n1,2.0,\n2,1.0,0.5\n")
    kept = dataclasses.replace(result, folder=tmp_path)
    lines = draw_curves(kept, factor).axes[0].lines
    assert [line.get_ydata().tolist() for line in lines] == [[2.0, 1.0], [2.0, 1.0]]


def test_a_second_run_does_nothing_again(study, result, monkeypatch):
    monkeypatch.delenv("GEOPOINTSEG_DATA", raising=False)
    monkeypatch.setattr(
        experiment, "run_experiment", lambda *a, **k: pytest.fail("was done before")
    )
    again = run_study(study / "study.toml", study / "out")
    assert [s.mean_f1 for s in again.scores] == [s.mean_f1 for s in result.scores]


def test_a_level_that_fails_leaves_a_hole_and_the_rest_goes_on(study, tmp_path, monkeypatch):
    monkeypatch.delenv("GEOPOINTSEG_DATA", raising=False)
    text = PLAN.replace('model = "forest"\n', '"points.per_class" = 40\n')
    text = text.replace("[3, 40]", '["forest", "knn"]')
    text = text.replace('name = "points.per_class"', 'name = "model"')
    text = text.replace('factor = "points.per_class"', 'factor = "model"')
    text = text.replace("better = 40\nthan = 3", 'better = "forest"\nthan = "knn"')
    path = study / "failing.toml"
    path.write_text(text.replace("seeds = [0, 1]", "seeds = [0]"))
    done = run_study(path, tmp_path)
    cells = dict(done.level_rows())
    assert cells["model knn"] == "failed"
    assert float(cells["model forest"].split()[0]) > 0
    assert done.hypothesis_rows()[0][1] == "not run"
    assert "## Runs that failed" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert json.loads(json.dumps(done.to_json()))["failed"] == 1


def test_training_never_sees_the_test_part(study):
    scene = experiment.Scene.open(study / "scene.tif")
    left, right = (experiment.part_window(scene.grid, part) for part in ("left", "right"))
    assert left.col_off + left.width == right.col_off
    cropped = experiment._crop_scene(scene, left, study / "left.tif")
    with rasterio.open(cropped.path) as dataset, rasterio.open(scene.path) as whole:
        assert dataset.width == left.width
        assert (dataset.read() == whole.read(window=left)).all()
        assert dataset.bounds.left == whole.bounds.left


def test_parts_of_images_of_one_name_stay_apart(tmp_path):
    """Training images and a test image that bear one name in folders of their own."""
    images, masks = [], []
    for seed in range(3):
        folder = tmp_path / f"{seed}"
        folder.mkdir()
        images.append(folder / "town.tif")
        masks.append(folder / "mask.tif")
        landscape = make_landscape(96, 96, seed=seed)
        write_scene(landscape, str(images[-1]))
        write_class_map(masks[-1], landscape.truth.astype(int), landscape.grid, LEGEND)
    data = StudyData(
        "towns", tuple(images[:2]), tuple(masks[:2]), (images[2],), (masks[2],), "", "centre", "centre"
    )  # fmt: skip
    material = experiment.read_study_scenes(data, tmp_path)
    for path, part in zip(images, (*material.scenes, *material.test_scenes), strict=True):
        assert (part.read().image == Scene.open(path).read().image).all()


def test_settings_of_the_prediction_are_those_of_the_run(study, tmp_path, monkeypatch):
    noted, predict = {}, experiment.predict

    def note(*arguments, **settings):
        noted.update(settings)
        return predict(*arguments, **settings)

    monkeypatch.setattr(experiment, "predict", note)
    files = [(study / "scene.tif",), (study / "truth.tif",)]
    values = {
        "points.per_class": 5, "model": "forest", "forest.features": "pixel", "forest.trees": 10,
        "prediction.tta": "flip", "prediction.window_px": 128,
    }  # fmt: skip
    run = StudyRun("landscape", {}, 0, values)
    experiment.run_experiment(run, StudyData("landscape", *files, *files), tmp_path)
    assert (noted["tta"], noted["window_px"]) == ("flip", 128)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["study_a", "study_b", "study_c"])
def test_the_report_of_the_examples_runs_in_its_quick_version(
    name, real_data, tmp_path, monkeypatch
):
    monkeypatch.setenv("GEOPOINTSEG_DATA", str(real_data))
    example = Path(__file__).parents[2] / "examples" / "technical_report" / f"{name}.toml"
    done = run_study(example, tmp_path, quick=True)
    assert not [score.failure for score in done.scores if score.failure]
