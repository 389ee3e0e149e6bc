"""A study runs all its levels, resumes, survives a level that fails, and writes its report."""

import csv
import json
from pathlib import Path

import pytest
import rasterio

from geopointseg.landscape import LEGEND, make_landscape, write_scene
from geopointseg.raster.class_map import write_class_map
from geopointseg.study import experiment
from geopointseg.study.factor import run_study

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
        "pixel forest, per class 3",
        "pixel forest, per class 40",
        "per class 3",
        "per class 40",
    ]
    by_name = {name: float(cell.split()[0]) for name, cell in result.level_rows()}
    assert by_name["per class 40"] > by_name["per class 3"] > by_name["majority"]


def test_the_report_states_hypotheses_and_outcomes(result):
    text = (result.folder / "report.md").read_text(encoding="utf-8")
    assert text.index("More points help.") < text.index("## Results")
    assert result.hypothesis_rows()[0][1] in ("held", "undecided")
    page = (result.folder / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 2
    assert "http" not in page.replace("http-equiv", "")
    with (result.folder / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(result.scores)
    assert float(rows[-1]["f1 forest"]) >= 0
    assert any((result.folder / "tensorboard").rglob("events*"))


def test_a_second_run_does_nothing_again(study, result, monkeypatch):
    monkeypatch.delenv("GEOPOINTSEG_DATA", raising=False)
    monkeypatch.setattr(
        experiment, "run_experiment", lambda *a, **k: pytest.fail("was done before")
    )
    again = run_study(study / "study.toml", study / "out")
    assert [s.mean_f1 for s in again.scores] == [s.mean_f1 for s in result.scores]


def test_a_level_that_fails_leaves_a_hole_and_the_rest_goes_on(study, tmp_path, monkeypatch):
    monkeypatch.delenv("GEOPOINTSEG_DATA", raising=False)
    text = PLAN.replace("levels = [3, 40]", "levels = [40, -1]").replace("than = 3", "than = -1")
    path = study / "failing.toml"
    path.write_text(text.replace("seeds = [0, 1]", "seeds = [0]"))
    done = run_study(path, tmp_path)
    cells = dict(done.level_rows())
    assert cells["per class -1"] == "failed"
    assert float(cells["per class 40"].split()[0]) > 0
    assert done.hypothesis_rows()[0][1] == "not run"
    assert "## Runs that failed" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert json.loads(json.dumps(done.to_json()))["failed"] == 2


def test_training_never_sees_the_test_part(study):
    scene = experiment.Scene.open(study / "scene.tif")
    left, right = (experiment.part_window(scene.grid, part) for part in ("left", "right"))
    assert left.col_off + left.width == right.col_off
    cropped = experiment._crop_scene(scene, left, study / "left.tif")
    with rasterio.open(cropped.path) as dataset, rasterio.open(scene.path) as whole:
        assert dataset.width == left.width
        assert (dataset.read() == whole.read(window=left)).all()
        assert dataset.bounds.left == whole.bounds.left


@pytest.mark.slow
@pytest.mark.parametrize("name", ["study_a", "study_b"])
def test_the_report_of_the_examples_runs_in_its_quick_version(
    name, real_data, tmp_path, monkeypatch
):
    monkeypatch.setenv("GEOPOINTSEG_DATA", str(real_data))
    example = Path(__file__).parents[2] / "examples" / "technical_report" / f"{name}.toml"
    done = run_study(example, tmp_path, quick=True)
    assert not [score.failure for score in done.scores if score.failure]
