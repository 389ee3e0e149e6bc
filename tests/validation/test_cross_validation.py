"""Cross-validation by blocks: held-out points, simpler methods on the same folds, intervals, advice."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from sklearn import metrics

from geopointseg.assessment.bootstrap import score_blocks
from geopointseg.config import Config
from geopointseg.errors import PointsError
from geopointseg.labels.points import Points
from geopointseg.landscape import draw_points, make_landscape, write_scene
from geopointseg.learning.training import train
from geopointseg.legend import Legend
from geopointseg.prediction.predictor import predict_array
from geopointseg.progress import NullSink, Reporter
from geopointseg.raster.band import Band
from geopointseg.raster.scene import Scene
from geopointseg.validation.cross_validation import (
    _for_scene,
    _Trials,
    predict_points,
    validate,
)
from geopointseg.validation.learning_curve import LearningCurve, summarize_curve, thin_points
from geopointseg.validation.validation_result import MAJORITY, RECIPE, Validation

LEGEND = Legend.from_names(["a", "b", "c"])
SMALL = Config().updated({"forest": {"trees": 10, "features": "filters"}})
quiet = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    write_scene(make_landscape(150, 200, seed=3), str(path))
    return Scene.open(path)


@pytest.fixture(scope="module")
def points() -> Points:
    return draw_points(make_landscape(150, 200, seed=3), 20, seed=1)


@pytest.fixture(scope="module")
def validated(scene: Scene, points: Points) -> Validation:
    with pytest.warns(UserWarning, match="a buffer of"):
        return validate(
            [scene.path], points, config=SMALL, model="forest", folds=3, block_size_m=40
        )


def test_every_method_is_scored_on_the_same_points(validated: Validation, points: Points) -> None:
    totals = {found.confusion.total for found in validated.scores.values()}
    assert totals == {len(points) - validated.left_out}
    assert list(validated.scores)[-1] == RECIPE
    assert validated.scores[MAJORITY].confusion.map_totals.max() > 0
    assert validated.recipe.mean_f1[0] > validated.scores[MAJORITY].mean_f1[0]


def test_recipe_equal_to_a_rival_scores_the_same(validated: Validation) -> None:
    """The recipe here is the filter forest itself: same seed, same folds, same answers."""
    assert validated.recipe.confusion == validated.scores["forest on filters"].confusion
    assert "not clearly different from the forest on filters" in " ".join(validated.sentences())


def test_intervals_hold_the_value(validated: Validation) -> None:
    for found in validated.scores.values():
        value, low, high = found.mean_f1
        assert low <= value + 0.02
        assert high >= value - 0.02
        assert high > low


def test_results_are_plain(validated: Validation) -> None:
    document = json.loads(json.dumps(validated.to_json(), allow_nan=False))
    assert {"overall_accuracy", "mean_f1", "mean_iou"} <= document.keys()
    assert document["learning_curve"]["advice"]
    for _, headings, rows in validated.tables():
        assert all(len(row) == len(headings) for row in rows)


def test_report_is_written(validated: Validation, tmp_path: Path) -> None:
    from geopointseg.validation.validation_report import write_validation_report

    text = write_validation_report(validated, tmp_path / "r.html").read_text(encoding="utf-8")
    assert f"{validated.recipe.mean_f1[0]:.3f}" in text
    assert "Would more points help?" in text


@quiet
def test_shuffled_labels_do_not_beat_the_majority(scene: Scene, points: Points) -> None:
    shuffled = np.random.default_rng(0).permutation(points.class_index)
    wrong = Points.from_arrays(points.x, points.y, shuffled, points.legend, points.crs)
    found = validate(
        scene.path, wrong, config=SMALL, model="forest", folds=2, block_size_m=40, curve=False
    )
    assert found.recipe.confusion.overall_accuracy < 1.9 / len(points.legend)
    assert found.curve is None


def test_buffer_shrinks_with_a_warning_where_points_are_few(scene: Scene, points: Points) -> None:
    with pytest.warns(UserWarning, match=r"Training chips reach 144 m, but .* a buffer of \d+ m"):
        found = validate(
            scene.path, points, config=SMALL, model="forest", folds=2, block_size_m=40, curve=False
        )
    assert found.buffer_m < found.reach_m == 144


def test_strict_refuses_test_points_within_reach(scene: Scene, points: Points) -> None:
    common = {"config": SMALL, "model": "forest", "folds": 2, "block_size_m": 40, "curve": False}
    with pytest.raises(
        PointsError, match=r"test points lie within 144 m of a training point, where"
    ):
        validate(scene.path, points, strict=True, buffer_m=10, **common)


@quiet
def test_strict_runs_where_the_ground_lies_apart(scene: Scene, points: Points) -> None:
    """Two corners of the scene, further from each other than chips of 32 pixels reach."""
    moved = points.to_crs(scene.grid.crs)
    row, col = scene.grid.world_to_pixel(moved.x, moved.y)
    corners = moved.select(((row < 50) & (col < 75)) | ((row > 100) & (col > 125)))
    two = dataclasses.replace(corners, class_index=np.arange(len(corners)) % 2)
    config = SMALL.updated({"sampling": {"chip_size": 32}})
    found = validate(
        scene.path, two, config=config, model="forest", folds=2, block_size_m=100, curve=False, strict=True
    )  # fmt: skip
    assert found.buffer_m == found.reach_m == 48
    assert not any("overestimated" in warning for warning in found.warnings)


def test_a_buffer_that_is_too_small_is_told(scene: Scene, points: Points) -> None:
    with pytest.warns(UserWarning, match=r"reach 144 m and the buffer is 10 m: some test points"):
        found = validate(
            scene.path, points, config=SMALL, model="forest", folds=2, block_size_m=40, curve=False,
            buffer_m=10,
        )  # fmt: skip
    assert found.buffer_m == 10


@quiet
@pytest.mark.parametrize("model", ["network", "auto"])
def test_networks_are_validated_like_forests(scene: Scene, points: Points, model: str) -> None:
    """A network of a few steps knows little (auto may keep the forest), but it is asked on the same ground."""
    config = SMALL.updated(
        {
            "model": {"encoder_depth": 3, "decoder_channels": [16, 8, 8]},
            "sampling": {"chip_size": 32, "batch_size": 4},
            "selection": {"least_steps": 0, "forest_below": 0, "checks": 2},
            "optimization": {"steps": 3},
        }
    )
    found = validate(
        scene.path, points, config=config, model=model, folds=2, block_size_m=40, curve=False, device="cpu"
    )  # fmt: skip
    assert found.recipe.confusion.total == len(points) - found.left_out
    is_forest = found.recipe.confusion == found.scores["forest on filters"].confusion
    assert not (model == "network" and is_forest)
    assert np.isfinite(found.recipe.mean_f1).all()
    assert found.reach_m == 48


@quiet
def test_points_on_no_image_are_left_out(scene: Scene, points: Points) -> None:
    beyond = points.to_crs(scene.grid.crs)
    x = beyond.x.copy()
    x[::9] += 600
    moved = Points.from_arrays(x, beyond.y, beyond.class_index, beyond.legend, beyond.crs)
    found = validate(
        scene.path, moved, config=SMALL, model="forest", folds=2, block_size_m=40, curve=False
    )
    assert found.left_out >= len(x[::9])
    assert found.recipe.confusion.total == len(points) - found.left_out


@quiet
def test_one_band_files_are_stacked_as_in_training(
    scene: Scene, points: Points, tmp_path: Path
) -> None:
    files = [tmp_path / "one.tif", tmp_path / "two.tif"]
    with rasterio.open(scene.path) as whole:
        for number, path in enumerate(files, start=1):
            with rasterio.open(path, "w", **whole.profile | {"count": 1}) as single:
                single.write(whole.read(number), 1)
                single.set_band_description(1, f"{path.stem} of its kind")
    config = SMALL.updated({"scene": {"stack": "always"}})
    found = validate(
        files, points, config=config, model="forest", folds=2, block_size_m=40, curve=False
    )
    assert found.recipe.confusion.total == len(points) - found.left_out


def test_too_few_blocks_are_refused(scene: Scene, points: Points) -> None:
    metric = points.to_crs(scene.grid.crs)
    with pytest.raises(PointsError, match=r"lie in 1 block of 1e\+07 m"):
        validate(scene.path, metric, config=SMALL, model="forest", folds=3, block_size_m=1e7)


def test_cancelled_before_the_first_fold(scene: Scene, points: Points) -> None:
    from geopointseg.errors import Cancelled

    reporter = Reporter()
    reporter.cancel()
    with pytest.raises(Cancelled):
        validate(scene.path, points, config=SMALL, model="forest", reporter=reporter)


@quiet
def test_looking_up_equals_mapping(scene: Scene, points: Points, tmp_path: Path) -> None:
    model = train([scene.path], points, output=tmp_path / "m", config=SMALL, model="forest")
    said = predict_points(model, [scene], points)
    mapped, valid = predict_array(model, scene)
    moved = points.to_crs(scene.grid.crs)
    row, col = (np.floor(v).astype(int) for v in scene.grid.world_to_pixel(moved.x, moved.y))
    known = valid[row, col]
    np.testing.assert_allclose(said[known], mapped[:, row, col].T[known], atol=2e-3)


def test_bootstrap_scores_equal_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 3, 200), rng.integers(0, 3, 200)
    found = score_blocks(predicted, truth, np.arange(200) // 10, LEGEND)
    f1 = metrics.f1_score(truth, predicted, average=None)
    np.testing.assert_allclose(found.f1[:, 0], f1)
    assert found.mean_f1[0] == pytest.approx(f1.mean())
    assert found.overall_accuracy[0] == pytest.approx((truth == predicted).mean())


def test_bootstrap_of_blocks_is_wider_than_of_points() -> None:
    """Where whole blocks are right or wrong together, pretending that points are independent is overconfident."""
    rng = np.random.default_rng(0)
    block = np.repeat(np.arange(20), 20)
    truth = rng.integers(0, 3, 400)
    right = rng.random(20)[block] < 0.6
    predicted = np.where(right, truth, (truth + 1) % 3)
    by_block = score_blocks(predicted, truth, block, LEGEND).overall_accuracy
    by_point = score_blocks(predicted, truth, np.arange(400), LEGEND).overall_accuracy
    assert np.ptp(by_block[1:]) > 2 * np.ptp(by_point[1:])


def test_thinning_is_nested_and_keeps_every_class(points: Points) -> None:
    small, large = thin_points(points, 0.25, 0), thin_points(points, 0.5, 0)
    assert set(small.fid.tolist()) < set(large.fid.tolist()) < set(points.fid.tolist())
    assert (small.counts()[points.counts() > 0] == 5).all()
    assert thin_points(points, 0.001, 0).counts().min() >= 2


def _curve(last: float, spread: float) -> LearningCurve:
    rng = np.random.default_rng(0)
    scores = [0.50, 0.60, last]
    replicates = [score + spread * rng.standard_normal(500) for score in scores]
    intervals = [np.array([s, s - spread, s + spread]) for s in scores]
    return summarize_curve("forest", [0.25, 0.5, 1.0], [10, 20, 40], intervals, replicates)


def test_advice_follows_the_curve() -> None:
    assert "More points would help: expect about" in _curve(0.68, 0.005).advice()
    assert "would hardly help" in _curve(0.601, 0.003).advice()
    assert "too wide for a conclusion" in _curve(0.63, 0.1).advice()
    single = summarize_curve("forest", [1.0], [40], [np.array([0.6, 0.5, 0.7])], [np.zeros(5)])
    assert "too few points for a learning curve" in single.advice()


@pytest.mark.parametrize(("model", "reach"), [("forest", 144), ("linear", 144), ("auto", 288)])
def test_the_reach_is_that_of_the_largest_chips(model, reach, scene: Scene) -> None:
    trials = _Trials([scene], Config(), model, 0, "cpu", Reporter(NullSink()))
    fine = SimpleNamespace(
        bands=(Band(1, "red"), Band(2, "green"), Band(3, "blue")),
        embedding=None,
        grid=SimpleNamespace(resolution_m=0.5, pixel_sides_m=(0.5, 0.5)),
    )
    assert _for_scene(trials, fine)[1] == reach / 2
