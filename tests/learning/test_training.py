"""Training from end to end: what it writes, that it is repeatable, and how it fails."""

from __future__ import annotations

import csv
import dataclasses
import gc
import json
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from safetensors.torch import load_file

from geopointseg.assessment import training_points
from geopointseg.assessment.accuracy import assess
from geopointseg.assessment.location_digest import LARGEST_SAMPLE, recognize_locations
from geopointseg.config import Config
from geopointseg.errors import (
    Cancelled,
    ConfigError,
    OutputError,
    PointsError,
    RasterError,
    TrainingError,
)
from geopointseg.labels.points import Points, read_points
from geopointseg.labels.sparse_mask import UNLABELLED, SparseMask, rasterize_points
from geopointseg.learning import network_training, trainer
from geopointseg.learning.objective import Objective
from geopointseg.learning.training import train
from geopointseg.learning.training_imagery import TrainingImagery
from geopointseg.legend import Legend
from geopointseg.model.bundle import ModelBundle
from geopointseg.prediction.predictor import predict
from geopointseg.raster.scene import Scene
from geopointseg.sampling.augmentation import Batch
from geopointseg.sampling.batches import ChipPlan
from tests.learning.conftest import LEGEND, Recorder, write_place


def weights_of(folder) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def accuracy(bundle: ModelBundle, place) -> float:
    chip = Scene.open(place.path).read()
    predicted = bundle.probabilities(chip.image[None], chip.valid[None])[0].argmax(0)
    return float((predicted == place.truth)[chip.valid].mean())


def test_a_budget_in_minutes_is_used_once(place, tiny, tmp_path) -> None:
    bundle = train(
        place.path, place.points, output=tmp_path / "m", config=tiny, model="network", minutes=0.06,
        device="cpu", reporter=Recorder().reporter,
    )  # fmt: skip
    assert bundle.metadata["steps"] > 1
    with (tmp_path / "m" / "training" / "metrics.csv").open(encoding="utf-8") as file:
        progress = [float(row["progress"]) for row in csv.DictReader(file) if row["loss"]]
    assert progress == sorted(progress)
    assert progress[-1] == 1.0


@pytest.mark.parametrize(("most", "fits"), [(0.0, 1), (1e9, 2)])
def test_a_short_training_keeps_the_soft_labels_of_its_first_phase(
    most, fits, place, tiny, tmp_path, monkeypatch
) -> None:
    maps: list[object] = []
    predicted = network_training.predict_patches

    def counted(*arguments: object) -> object:
        maps.append(arguments)
        return predicted(*arguments)

    monkeypatch.setattr(network_training, "predict_patches", counted)
    monkeypatch.setattr(network_training, "MOST_FITTING", most)
    train(
        place.path, place.points, output=tmp_path / "m", config=tiny, model="network", minutes=0.06, device="cpu",
    )  # fmt: skip
    assert len(maps) == fits


def test_auto_writes_a_whole_model_folder(place, tiny, tmp_path) -> None:
    recorder = Recorder()
    bundle = train(
        place.path,
        place.points,
        output=tmp_path / "m",
        config=tiny,
        steps=12,
        device="cpu",
        reporter=recorder.reporter,
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m"]
    assert {p.name for p in (tmp_path / "m").iterdir()} == {
        "README.md", "model.json", "model.safetensors", "training"
    }  # fmt: skip
    written = {p.name.split(".out")[0] for p in (tmp_path / "m" / "training").iterdir()}
    assert written == {"checkpoint.pt", "curves.png", "events", "metrics.csv", "points.gpkg"}
    assert bundle.legend == place.points.legend
    assert bundle.bands == ("red", "green", "nir")
    assert bundle.resolution_m == pytest.approx(10)
    assert sum(m.weight for m in bundle.members) == pytest.approx(1)
    assert bundle.metadata["scores"]["forest"]["mean_f1"] > 0.9
    assert "held-out labelled pixels" in bundle.metadata["reason"]
    assert bundle.metadata["points"]["per_class"] == {"water": 20, "field": 20, "forest": 20}
    assert bundle.metadata["scenes"][0]["name"] == "scene.tif"
    assert "/" not in json.dumps(bundle.metadata["scenes"][0]["name"])
    assert {e.stage for e in recorder.events if e.kind == "progress"} >= {"read", "forest", "train"}
    assert accuracy(bundle, place) > 0.9


def test_network_learns_from_points_and_forest(place, tiny, tmp_path) -> None:
    bundle = train(
        place.path,
        place.points,
        output=tmp_path / "m",
        config=tiny,
        steps=40,
        model="network",
        device="cpu",
    )
    assert [m.kind for m in bundle.members] == ["network"]
    assert accuracy(bundle, place) > 0.8


def test_forest_alone_needs_no_steps(place, tiny, tmp_path) -> None:
    bundle = train(place.path, place.points, output=tmp_path / "m", config=tiny, model="forest")
    assert [m.kind for m in bundle.members] == ["forest"]
    assert accuracy(bundle, place) > 0.9


@pytest.mark.parametrize("model", ["network", "auto"])
def test_same_seed_same_model_bit_for_bit(place, tiny, tmp_path, model) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        train(
            place.path, place.points, output=tmp_path / name, config=tiny, steps=5, seed=seed, model=model, device="cpu"
        )  # fmt: skip
    a, b, c = (weights_of(tmp_path / name) for name in "abc")
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert any(k not in c or not torch.equal(a[k], c[k]) for k in a)
    prints = [ModelBundle.load(tmp_path / name).fingerprint for name in "ab"]
    assert prints[0] == prints[1]


@pytest.mark.parametrize(
    ("stop", "wide_steps"), [(3, "none"), (8, "none"), (4, "half"), (5, "half")]
)
def test_resumed_training_equals_one_that_was_not_stopped(
    place, tiny, tmp_path, stop, wide_steps
) -> None:
    changes = {"teaching": {"consistency_weight": 0.5, "consistency_start": 0.0}}
    config = tiny.updated(changes | {"sampling": {"wide_steps": wide_steps}})
    common = {"config": config, "steps": 10, "model": "network", "device": "cpu"}
    train(place.path, place.points, output=tmp_path / "whole", **common)
    recorder = Recorder(cancel_at=stop)
    with pytest.raises(Cancelled):
        train(place.path, place.points, output=tmp_path / "m", reporter=recorder.reporter, **common)
    assert not (tmp_path / "m").exists()
    train(place.path, place.points, output=tmp_path / "m", resume=True, **common)
    whole, resumed = weights_of(tmp_path / "whole"), weights_of(tmp_path / "m")
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "whole"]


def test_resumed_self_training_has_the_same_teachers(place, tiny, tmp_path) -> None:
    config = tiny.updated({"teaching": {"self_training": True}})
    common = {"config": config, "steps": 10, "model": "network", "device": "cpu"}
    train(place.path, place.points, output=tmp_path / "whole", **common)
    with pytest.raises(Cancelled, match="`resume=True` to continue"):
        train(
            place.path, place.points, output=tmp_path / "m", reporter=Recorder(cancel_at=9).reporter, **common
        )  # fmt: skip
    train(place.path, place.points, output=tmp_path / "m", resume=True, **common)
    whole, resumed = weights_of(tmp_path / "whole"), weights_of(tmp_path / "m")
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)


def test_weights_that_are_no_numbers_are_not_kept(place, tiny, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(trainer, "CHECKPOINT_S", 0.0)
    original = trainer.Learner.finish_step

    def spoil(self):
        original(self)
        if self.step == 6:
            with torch.no_grad():
                next(self.network.parameters()).fill_(float("nan"))

    monkeypatch.setattr(trainer.Learner, "finish_step", spoil)
    with pytest.raises(TrainingError, match=r"loss is nan at step 6.*as of step 5 is kept"):
        train(place.path, place.points, output=tmp_path / "m", config=tiny, steps=10, device="cpu")
    kept = weights_of(tmp_path / "m.step-5")
    assert all(torch.isfinite(t).all() for t in kept.values())


def test_labels_everywhere_leave_nothing_to_learn_from_unlabelled_ground(
    place, tiny, tmp_path
) -> None:
    scene = Scene.open(place.path)
    labels = np.where(scene.read().valid, place.truth, UNLABELLED)
    recorder = Recorder()
    train(
        place.path, [SparseMask.from_array(labels, scene.grid, LEGEND)], output=tmp_path / "m",
        config=tiny, steps=2, model="network", device="cpu", reporter=recorder.reporter,
    )  # fmt: skip
    assert "losses on unlabelled pixels (distillation, consistency) are not used" in recorder.said(
        "warning"
    )


@pytest.mark.parametrize(("side", "sizes"), [(32, {32, 64}), (64, {64})])
def test_wide_chips_are_drawn_where_the_imagery_is_as_large(
    place, tiny, tmp_path, monkeypatch, side, sizes
) -> None:
    found, original = [], trainer.Learner.training_step

    def record(self, batch, number):
        found.append(batch.image.shape[-1])
        return original(self, batch, number)

    monkeypatch.setattr(trainer.Learner, "training_step", record)
    config = tiny.updated({"sampling": {"wide_steps": "half", "chip_size": side}})
    train(
        place.path, place.points, output=tmp_path / "m", config=config, steps=4, model="network", device="cpu"
    )  # fmt: skip
    assert set(found) == sizes


def test_no_chip_is_drawn_around_points_if_none_is_wanted(place, tiny, tmp_path) -> None:
    config = tiny.updated({"sampling": {"point_share": 0.0}})
    bundle = train(
        place.path, place.points, output=tmp_path / "m", config=config, steps=2, model="network", device="cpu"
    )  # fmt: skip
    assert bundle.metadata["steps"] == 2
    assert ChipPlan(32, 4, 0, 0.5, 0.5, 0).halved().around_points == 0


def test_finished_training_goes_on_with_more_steps(place, tiny, tmp_path) -> None:
    common = {"config": tiny, "model": "network", "device": "cpu", "output": tmp_path / "m"}
    assert train(place.path, place.points, steps=4, **common).metadata["steps"] == 4
    assert train(place.path, place.points, steps=7, resume=True, **common).metadata["steps"] == 7


def test_resume_with_other_settings_is_refused(place, tiny, tmp_path) -> None:
    common = {"config": tiny, "model": "network", "device": "cpu", "output": tmp_path / "m"}
    train(place.path, place.points, steps=2, **common)
    with pytest.raises(TrainingError, match=r"other points, imagery, settings or another seed"):
        train(place.path, place.points, steps=2, seed=9, resume=True, **common)
    other = write_place(tmp_path, "other.tif", seed=1)
    with pytest.raises(TrainingError, match=r"other points, imagery"):
        train(other.path, place.points, steps=2, resume=True, **common)
    assert ModelBundle.load(tmp_path / "m").metadata["seed"] == 0


def test_resume_of_nothing_is_refused(place, tiny, tmp_path) -> None:
    with pytest.raises(TrainingError, match=r"nothing to resume for .*without `resume=True`"):
        train(place.path, place.points, output=tmp_path / "m", config=tiny, resume=True)
    assert list(tmp_path.iterdir()) == []


def test_loss_that_is_no_number_stops_and_keeps_the_last_good(
    place, tiny, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(trainer, "CHECKPOINT_S", 0.0)
    original = Objective.__call__

    def spoilt(self, network, averaged, batch, progress, generator):
        losses = original(self, network, averaged, batch, progress, generator)
        return losses if progress < 0.5 else {**losses, "points": losses["points"] * float("nan")}

    monkeypatch.setattr(Objective, "__call__", spoilt)
    with pytest.raises(
        TrainingError, match=r"loss is nan at step 5.*as of step 5 is kept in .*m\.step-5"
    ):
        train(place.path, place.points, output=tmp_path / "m", config=tiny, steps=10, device="cpu")
    assert [p.name for p in tmp_path.iterdir()] == ["m.step-5"]
    kept = ModelBundle.load(tmp_path / "m.step-5")
    assert all(torch.isfinite(t).all() for t in weights_of(kept.folder).values())


def test_out_of_memory_halves_the_batch_once(place, tiny, tmp_path, monkeypatch) -> None:
    original, sizes = Objective.__call__, []

    def greedy(self, network, averaged, batch, progress, generator):
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return original(self, network, averaged, batch, progress, generator)

    monkeypatch.setattr(Objective, "__call__", greedy)
    recorder = Recorder()
    common = {"model": "network", "device": "cpu", "steps": 4}
    train(
        place.path,
        place.points,
        output=tmp_path / "m",
        config=tiny,
        reporter=recorder.reporter,
        **common,
    )
    assert "did not hold a batch of 4 chips; training continues with 2" in recorder.said("warning")
    assert set(sizes) == {4, 2}
    large = tiny.updated({"sampling": {"batch_size": 16}})
    with pytest.raises(
        TrainingError, match=r"does not hold 8 chips of 32 pixels .*lower \[sampling\] batch_size"
    ):
        train(place.path, place.points, output=tmp_path / "n", config=large, **common)
    assert not (tmp_path / "n").exists()


def test_few_points_get_the_forest_and_a_reason(place, tiny, tmp_path) -> None:
    config = tiny.updated({"selection": {"forest_below": 100}})
    bundle = train(place.path, place.points, output=tmp_path / "m", config=config)
    assert {m.kind for m in bundle.members} <= {"forest", "linear"}
    assert (
        "60 labelled pixels, and with fewer than 100 a network whose encoder is not frozen scores below"
        in bundle.metadata["reason"]
    )


def test_few_points_are_enough_for_a_network_on_a_frozen_encoder(place, tiny, tmp_path) -> None:
    config = tiny.updated({"selection": {"forest_below": 100}, "model": {"freeze_encoder": True}})
    bundle = train(
        place.path, place.points, output=tmp_path / "m", config=config, steps=3, device="cpu"
    )
    assert "network" in bundle.metadata["scores"]


def test_network_with_too_few_steps_is_not_kept(place, tiny, tmp_path) -> None:
    config = tiny.updated({"selection": {"least_steps": 60}})
    bundle = train(
        place.path, place.points, output=tmp_path / "m", config=config, steps=3, device="cpu"
    )
    assert {m.kind for m in bundle.members} <= {"forest", "linear"}
    assert "Expected at least 60" in bundle.metadata["reason"]


def test_rare_classes_are_warned_of(place, tiny, tmp_path) -> None:
    few = place.points.select(np.r_[0:20, 20:26, 40:60])
    with pytest.warns(UserWarning, match=r"Fewer than 20 labelled pixels: 'field' \(6\)"):
        train(place.path, few, output=tmp_path / "m", config=tiny, model="forest")


def test_a_class_in_one_place_is_warned_of(place, tiny, tmp_path) -> None:
    water = place.points.select(np.r_[0:20])
    x = water.x[0] + 10.0 * np.tile(np.arange(3), 2)
    y = water.y[0] + 10.0 * np.repeat(np.arange(2), 3)
    beside = Points.from_arrays(x, y, np.zeros(6, np.int64), place.points.legend, place.points.crs)
    points = Points.concatenate([beside, place.points.select(np.r_[20:60])])
    with pytest.warns(UserWarning, match=r"All points of 'water' lie within 2 x 3 pixels\."):
        train(place.path, points, output=tmp_path / "m", config=tiny, model="forest")


def test_points_marked_for_validation_are_scored_and_never_learnt(place, tiny, tmp_path) -> None:
    split = np.where(np.arange(60) % 4 == 0, "validation", "train")
    bundle = train(
        place.path,
        place.points.with_split(split),
        output=tmp_path / "m",
        config=tiny,
        model="forest",
    )
    assert bundle.metadata["points"]["per_class"] == {"water": 15, "field": 15, "forest": 15}
    assert "15 labelled pixels marked for validation" in bundle.metadata["scores"]["how"]


def test_scene_without_points_is_learnt_from(place, make_place, tiny, tmp_path) -> None:
    other = make_place(tmp_path, "other.tif", seed=3)
    bundle = train(
        place.path, place.points, output=tmp_path / "m", config=tiny, steps=3, unlabelled=[other.path], model="network",
        device="cpu",
    )  # fmt: skip
    assert [(s["name"], s["role"]) for s in bundle.metadata["scenes"]] == [
        ("scene.tif", "training"),
        ("other.tif", "unlabelled"),
    ]


def test_dense_masks_instead_of_points(place, tiny, tmp_path) -> None:
    mask = SparseMask.from_array(place.truth, Scene.open(place.path).grid, place.points.legend)
    config = tiny.updated({"teaching": {"distillation_weight": 0.0}})
    bundle = train(
        place.path,
        [mask],
        output=tmp_path / "m",
        config=config,
        steps=30,
        model="network",
        device="cpu",
    )
    assert accuracy(bundle, place) > 0.85
    assert (
        not (tmp_path / "m" / "training" / "points.gpkg").exists() or mask.counts().sum() <= 20_000
    )


def test_model_remembers_the_points_it_learnt_from(place, make_place, tiny, tmp_path) -> None:
    split = np.array([""] * 60, dtype=object)
    split[[1, 21, 41]], split[[2, 22, 42]], split[[3, 23, 43]] = "test", "validation", "buffer"
    elsewhere = place.points.select(np.arange(4))
    elsewhere = replace(elsewhere, x=elsewhere.x + 5000, split=np.array([""] * 4))
    points = Points.concatenate([place.points.with_split(split.tolist()), elsewhere])
    bundle = train(place.path, points, output=tmp_path / "m", config=tiny, model="forest")
    learnt = np.isin(np.arange(64), [1, 2, 3, 21, 22, 23, 41, 42, 43, 60, 61, 62, 63], invert=True)
    kept = read_points(tmp_path / "m" / "training" / "points.gpkg")
    assert kept.x.tolist() == points.x[learnt].tolist()
    assert kept.y.tolist() == points.y[learnt].tolist()
    assert kept.legend == points.legend
    known = recognize_locations(points.x, points.y, points.crs, bundle.metadata["training_points"])
    assert known.sum() == min(LARGEST_SAMPLE, learnt.sum())
    assert not known[~learnt].any()


def test_map_is_not_tested_on_its_training_points_unawares(place, tiny, tmp_path) -> None:
    bundle = train(place.path, place.points, output=tmp_path / "m", config=tiny, model="forest")
    predict(bundle, place.path, tmp_path / "map.tif", uncertainty=tmp_path / "u.tif")
    for name in ("map.tif", "u.tif"):
        with rasterio.open(tmp_path / name) as file:
            assert file.tags()["GEOPOINTSEG_MODEL_FOLDER"] == '["m"]'
            assert file.tags()["GEOPOINTSEG_MODEL"] == bundle.fingerprint
            assert not {"training", "salt", "digests"} & set(str(file.tags()).lower().split('"'))
    with pytest.raises(
        PointsError, match=r"60 of 60 test points are training points .* `force=True`"
    ):
        assess(tmp_path / "map.tif", place.points)
    forced = assess(tmp_path / "map.tif", place.points, force=True)
    assert forced.training_points == 60
    shifted = replace(place.points, x=place.points.x + 10)
    assert assess(tmp_path / "map.tif", shifted).training_points == 0
    shutil.rmtree(tmp_path / "m" / "training")
    told = rf"At least {LARGEST_SAMPLE} of 60 test points are training points"
    with pytest.raises(PointsError, match=told):
        assess(tmp_path / "map.tif", place.points)
    card = (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    assert "## Privacy: what this folder reveals" in card
    assert "salted digests of the positions of the training points" in card


def test_pixels_of_masks_are_remembered_on_all_scenes(place, make_place, tiny, tmp_path) -> None:
    other = make_place(tmp_path, "other.tif", seed=3)
    scenes = [Scene.open(path) for path in (place.path, other.path)]
    masks = [
        rasterize_points(points, scene.grid)
        for points, scene in zip((place.points, other.points), scenes, strict=True)
    ]
    bundle = train(scenes, masks, output=tmp_path / "m", config=tiny, model="forest")
    kept = read_points(tmp_path / "m" / "training" / "points.gpkg")
    given = Points.concatenate([place.points, other.points])
    assert set(zip(kept.x, kept.y, kept.codes, strict=True)) == set(
        zip(given.x, given.y, given.codes, strict=True)
    )
    encoded = bundle.metadata["training_points"]
    assert encoded["places"] == len(set(zip(given.x, given.y, strict=True)))
    found = recognize_locations(given.x, given.y, given.crs, encoded)
    assert len(set(zip(given.x[found], given.y[found], strict=True))) == LARGEST_SAMPLE


def test_pixels_of_dense_masks_are_recognized_but_not_listed(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(training_points, "LARGEST_COUNT", 3)
    four = Points.from_arrays(np.arange(4), np.zeros(4), [0] * 4, Legend.from_names(["a"]), 32633)
    training_points.keep_points(four, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["places.npy"]
    assert len(np.load(tmp_path / "places.npy")) == 3
    training_points.keep_points(four.select(np.arange(3)), tmp_path)
    assert len(read_points(tmp_path / training_points.POINTS_FILE)) == 3


@pytest.mark.parametrize(("model", "steps"), [("network", 10), ("forest", 1)])
def test_labels_without_meaning_do_not_beat_the_majority(
    place, tiny, tmp_path, model, steps
) -> None:
    scores = []
    for shift in range(
        3
    ):  # whatever a class is taken for by chance, it is taken for all three in turn
        meaningless = (np.tile([0, 1, 2], 20) + shift) % 3
        points = replace(place.points, class_index=meaningless)
        bundle = train(
            place.path,
            points,
            output=tmp_path / "m",
            config=tiny,
            steps=steps,
            model=model,
            device="cpu",
        )
        scores.append(accuracy(bundle, place))
    majority = np.bincount(place.truth.ravel()).max() / place.truth.size
    assert np.mean(scores) < majority + 0.05


def test_folder_of_somebody_else_is_left_alone(place, tiny, tmp_path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "diary.txt").write_text("dear diary")
    with pytest.raises(OutputError, match=r"holds something that is not a model"):
        train(place.path, place.points, output=tmp_path / "m", config=tiny)
    assert (tmp_path / "m" / "diary.txt").read_text() == "dear diary"
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_bad_arguments_in_words(place, tiny, tmp_path) -> None:
    common = {"output": tmp_path / "m", "config": tiny}
    with pytest.raises(
        ConfigError, match=r"no model kind 'tree'. Expected auto, network, linear or forest"
    ):
        train(place.path, place.points, model="tree", **common)
    wrong = tiny.updated({"model": {"architecture": "unett"}})
    with pytest.raises(ConfigError, match=r"Did you mean 'unet'"):
        train(place.path, place.points, **common | {"config": wrong, "model": "network"})
    one = place.points.select(place.points.class_index == 1)
    with pytest.raises(PointsError, match=r"class"):
        train(place.path, one, **common)
    lonely = place.points.select(np.r_[0:21, 40:60])
    with pytest.raises(
        PointsError, match=r"class 'field' has 1 labelled pixel.*at least 2 in every class"
    ):
        train(place.path, lonely, **common)
    marked = place.points.with_split(["test"] * 60)
    with pytest.raises(PointsError, match=r"None of the 60 points is left for training"):
        train(place.path, marked, **common)
    assert list(tmp_path.iterdir()) == []


def test_scenes_with_other_bands_are_refused(place, make_place, tiny, tmp_path) -> None:
    other = make_place(tmp_path, "other.tif", seed=3)
    one_band = Scene.open(other.path, bands=[1, 2])
    with pytest.raises(RasterError, match=r"nir"):
        train(
            [place.path, one_band],
            place.points,
            output=tmp_path / "m",
            config=tiny.updated({"scene": {"bands": ["red", "nir"]}}),
        )


def test_frozen_encoder_stays_as_it_was(place, tiny, tmp_path) -> None:
    config = tiny.updated({"model": {"freeze_encoder": True}, "teaching": {"ema_decay": 0.0}})
    for steps in (1, 4):
        train(
            place.path, place.points, output=tmp_path / f"m{steps}", config=config, steps=steps, model="network",
            device="cpu",
        )  # fmt: skip
    a, b = weights_of(tmp_path / "m1"), weights_of(tmp_path / "m4")
    same = {k: torch.equal(a[k], b[k]) for k in a}
    assert all(equal for k, equal in same.items() if ".encoder." in k)
    assert not all(same.values())


def test_random_state_of_the_caller_is_left_alone(place, tiny, tmp_path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    train(
        place.path,
        place.points,
        output=tmp_path / "m",
        config=tiny,
        steps=2,
        model="network",
        device="cpu",
    )
    assert torch.equal(torch.rand(2), expected)


def test_nothing_held_out_gives_the_weights_that_are_known(place, tiny, tmp_path) -> None:
    config = tiny.updated({"selection": {"held_out": 0.0}})
    every = train(
        place.path, place.points, output=tmp_path / "m", config=config, steps=4, device="cpu"
    )
    expected = {"network": 0.25, "forest": 0.5, "linear": 0.25}
    assert {m.kind: m.weight for m in every.members} == pytest.approx(expected)
    assert "known from other scenes" in every.metadata["reason"]
    hasty = config.updated({"selection": {"least_steps": 60}})
    fitted = train(
        place.path, place.points, output=tmp_path / "f", config=hasty, steps=4, device="cpu"
    )
    expected = {"forest": 2 / 3, "linear": 1 / 3}
    assert {m.kind: m.weight for m in fitted.members} == pytest.approx(expected)
    assert "was trained for 4 steps" in fitted.metadata["reason"]


def test_a_network_that_was_asked_for_is_scored_beside_the_forest(place, tiny, tmp_path) -> None:
    bundle = train(
        place.path, place.points, output=tmp_path / "m", config=tiny, steps=4, model="network", device="cpu"
    )  # fmt: skip
    assert [m.kind for m in bundle.members] == ["network"]
    assert {"network", "forest"} <= bundle.metadata["scores"].keys()


def test_the_last_step_may_not_spoil_the_weights(place, tiny, tmp_path, monkeypatch) -> None:
    original = trainer.Learner.finish_step

    def spoil(self):
        original(self)
        if self.step == 7:  # the last one before the members are weighed
            with torch.no_grad():
                next(self.network.parameters()).fill_(float("inf"))

    monkeypatch.setattr(trainer.Learner, "finish_step", spoil)
    with pytest.raises(
        TrainingError,
        match=r"loss is nan at step 7.*The model without a network \(forest, linear\) is kept in",
    ):
        train(place.path, place.points, output=tmp_path / "m", config=tiny, steps=10, device="cpu")
    kept = ModelBundle.load(tmp_path / "m.step-0")
    assert [m.kind for m in kept.members] == ["forest", "linear"]
    assert not (tmp_path / "m").exists()


def test_an_interrupt_stays_an_interrupt(place, tiny, tmp_path, monkeypatch) -> None:
    def interrupt(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer.Learner, "finish_step", interrupt)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(place.path, place.points, output=tmp_path / "m", config=tiny, steps=4, device="cpu")
    assert signal.getsignal(signal.SIGINT) is before
    assert list(tmp_path.iterdir()) == []


def test_minutes_and_steps_together_are_refused(place, tiny, tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"Both minutes and steps"):
        train(place.path, place.points, output=tmp_path / "m", config=tiny, steps=4, minutes=1)


def test_a_mask_of_other_pixels_or_classes_is_refused(place, tiny, tmp_path) -> None:
    grid = Scene.open(place.path).grid
    labels = np.full(grid.shape, UNLABELLED)
    labels[::9, ::9] = 1
    moved = dataclasses.replace(grid, transform=grid.transform * Affine.scale(0.5))
    with pytest.raises(PointsError, match=r"other pixels .* than the scene"):
        train(
            place.path,
            [SparseMask.from_array(labels, moved, LEGEND)],
            output=tmp_path / "m",
            config=tiny,
        )
    first = SparseMask.from_array(labels, grid, LEGEND)
    other = SparseMask.from_array(labels, grid, Legend.from_names(["a", "b"]))
    with pytest.raises(PointsError, match=r"other classes than the first"):
        train([place.path, place.path], [first, other], output=tmp_path / "m", config=tiny)


def test_what_people_say_is_not_taught_again_by_the_forest(place, tiny, tmp_path) -> None:
    """A mask that labels all pixels but one trains as a mask that labels all: the forest has one pixel to speak of."""
    objective = Objective(Config(), torch.ones(2), torch.full((2,), 0.5))
    logits = torch.randn(1, 2, 4, 4)
    soft = torch.softmax(torch.randn(1, 2, 4, 4), 1)
    mask = torch.ones(1, 4, 4, dtype=torch.long)
    mask[0, 1, 2] = UNLABELLED
    batch = Batch(
        torch.randn(1, 3, 4, 4), mask, valid=torch.ones(1, 4, 4, dtype=torch.bool), soft=soft
    )
    found = objective._map_losses(logits, batch)["distillation"]
    log_p = torch.log_softmax(logits, 1)[0, :, 1, 2]
    expected = -4.0 * (soft[0, :, 1, 2] * log_p).sum()
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)


def test_a_refused_resume_leaves_the_finished_model_alone(place, tiny, tmp_path) -> None:
    common = {"output": tmp_path / "m", "config": tiny, "steps": 3, "device": "cpu"}
    train(place.path, place.points, **common)
    with pytest.raises(TrainingError, match=r"another seed"):
        train(place.path, place.points, seed=5, resume=True, **common)
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_nothing_of_a_training_stays_in_memory(place, tiny, tmp_path) -> None:
    gc.collect()
    gc.disable()
    try:
        train(
            place.path, place.points, output=tmp_path / "m", config=tiny, steps=2, model="network", device="cpu"
        )  # fmt: skip
        left = [held for held in gc.get_objects() if isinstance(held, TrainingImagery)]
    finally:
        gc.enable()
    assert not left


def test_a_training_without_a_network_is_resumed_with_marked_points(place, tiny, tmp_path) -> None:
    split = ["validation" if k % 3 == 0 else "" for k in range(len(place.points))]
    points = place.points.with_split(split)
    config = tiny.updated({"selection": {"least_steps": 1000, "reveal_at": 0.5}})
    options = {"output": tmp_path / "m", "config": config, "device": "cpu"}
    first = train(place.path, points, steps=4, **options)
    assert "network" not in {member.kind for member in first.members}
    assert "time limit" not in first.metadata["reason"]
    again = train(place.path, points, steps=6, resume=True, **options)
    assert [member.kind for member in again.members] == [member.kind for member in first.members]
