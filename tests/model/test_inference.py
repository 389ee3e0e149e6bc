"""One way to put an image through a model: all doors, and all that call them, give the same probabilities."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rasterio.windows import Window
from torch import nn

import geopointseg
from geopointseg.config import Config
from geopointseg.errors import ModelError
from geopointseg.labels.points import Points
from geopointseg.learning.teacher import predict_labelled, predict_patches
from geopointseg.learning.training_imagery import TrainingImagery
from geopointseg.model.bundle import NetworkMember, Normalization
from geopointseg.model.ensemble import combine_models, union_bands, weigh_models
from geopointseg.model.inference import (
    Ensemble,
    apply_temperature,
    predict_at,
    predict_patch,
    predict_window,
    relative_entropy,
    surround,
)
from geopointseg.prediction.prediction_job import open_imagery
from geopointseg.prediction.predictor import predict, predict_array
from geopointseg.progress import Reporter
from geopointseg.raster.scene import Scene
from geopointseg.sampling.patch import LabelledPixels, Patch
from geopointseg.validation.cross_validation import predict_points
from geopointseg.validation.suggestion import suggest
from tests.prediction.conftest import BlurMember, image_of, legend_of, loose_bundle, write_scene

SHAPE = 150, 170
SMALL = {"window_px": 64, "overlap_px": 16}
CLOSE = {"rtol": 0, "atol": 1e-5}


class StridedNetwork(nn.Module):
    """Sees squares of four pixels and their neighbours: windows off its lattice give other answers."""

    output_stride = 4

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(2, 8, 4, stride=4), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1)
        )
        self.eval()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        height, width = image.shape[-2:]
        padded = nn.functional.pad(image, (0, -width % 4, 0, -height % 4))
        logits = 6 * nn.functional.interpolate(self.body(padded), scale_factor=4)
        return logits[..., :height, :width]


@dataclass(frozen=True)
class Site:
    """A scene with three bands, and two models that take two of them each."""

    scene: Scene
    bundles: list
    image: np.ndarray
    valid: np.ndarray

    def reference(self, image: np.ndarray, valid: np.ndarray, picked: list) -> np.ndarray:
        """Return the models' weighted mean, written out step by step, float32 ``(class, row, col)``."""
        total = np.zeros(1)
        for bundle, weight in zip(picked, (0.75, 0.25) if len(picked) > 1 else (1.0,), strict=True):
            own = np.stack([image[("red", "green", "nir").index(name)] for name in bundle.bands])
            mean = sum(m.weight * m.probabilities(own[None], valid[None]) for m in bundle.members)
            raised = mean[0].astype(np.float64) ** (1 / bundle.temperature)
            total = total + weight * raised / raised.sum(axis=0)
        return total

    def flipped(self, picked: list) -> np.ndarray:
        """Return the reference averaged over four mirror images."""
        axes: list[tuple[int, ...]] = [(), (-1,), (-2,), (-2, -1)]
        views = [
            np.flip(self.reference(np.flip(self.image, a), np.flip(self.valid, a), picked), a)
            for a in axes
        ]
        return np.mean(views, axis=0)


def models_of(folder):
    norm = Normalization(np.array([0.2, -0.1]), np.array([1.5, 0.7]))
    network = NetworkMember(StridedNetwork(), norm, 8, 0.6, {}, torch.device("cpu"))
    scores = {"together": {"loss": 0.4}, "forest": {"loss": np.log(3) - 0.6 * (np.log(3) - 0.4)}}
    kept = {"scores": scores}
    first = loose_bundle(
        folder / "a", network, BlurMember(weight=0.4), temperature=1.3, metadata=kept
    )
    second = loose_bundle(folder / "b", BlurMember(5, seed=1), temperature=0.7, metadata=kept)
    return [replace(first, bands=("nir", "red")), replace(second, bands=("red", "green"))]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Site:
    folder = tmp_path_factory.mktemp("site")
    valid = np.ones(SHAPE, bool)
    valid[90:, 120:] = False
    names = ("red", "green", "nir")
    path = write_scene(
        folder / "s.tif", image_of(SHAPE, bands=3), nodata=-9, valid=valid, names=names
    )
    bundles = models_of(folder)
    [scene] = open_imagery([path], bundles, Reporter())
    padded = Scene.open(path).read(Window(0, 0, 172, 152))
    return Site(scene, bundles, padded.image, padded.valid)


@pytest.mark.parametrize("scores", [None, {}, {"forest": {}}, {"how": "held out", "forest": {"mean_f1": 0.5}}])  # fmt: skip
def test_models_without_a_held_out_loss_have_equal_weights(tmp_path, scores) -> None:
    told = ({"scores": {"forest": {"loss": 0.1}}}, {"scores": scores})
    bundles = [
        loose_bundle(tmp_path / str(k), BlurMember(), metadata=told[k]) for k in range(len(told))
    ]
    assert weigh_models(bundles) == (0.5, 0.5)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("augmentation", ["none", "flip"])
def test_the_steps_come_in_their_order(site: Site, count: int, augmentation: str) -> None:
    picked = site.bundles[:count]
    bands = [("red", "green", "nir").index(name) for name in union_bands(picked)]
    ensemble = combine_models(picked, augmentation=augmentation)
    found = predict_patch(ensemble, site.image[bands], site.valid)
    expected = (
        site.flipped(picked)
        if augmentation == "flip"
        else site.reference(site.image, site.valid, picked)
    )
    np.testing.assert_allclose(found, expected, **CLOSE)


@pytest.mark.parametrize("augmentation", ["none", "flip", "d4", "scales"])
def test_equal_windows_give_equal_bytes(site: Site, augmentation: str) -> None:
    ensemble = combine_models(site.bundles, augmentation=augmentation)
    chip = site.scene.read(Window(0, 0, 172, 152))
    patch = predict_patch(ensemble, chip.image, chip.valid)[:, :150, :170]
    batch = predict_patch(ensemble, chip.image[None], chip.valid[None])[0, :, :150, :170]
    window, valid = predict_window(ensemble, site.scene, Window(0, 0, 170, 150))
    mapped, there = predict_array(
        site.bundles, site.scene, window_px=172, overlap_px=0, tta=augmentation
    )
    assert np.array_equal(valid, there)
    assert np.array_equal(valid, chip.valid[:150, :170])
    for other in (batch, window):
        assert np.array_equal(patch, other)
    assert np.array_equal(patch * valid, mapped)
    cell, _ = predict_window(ensemble, site.scene, Window(100, 84, 4, 4))
    at = predict_at(ensemble, site.scene, np.array([85]), np.array([103]))
    assert np.array_equal(at[0], cell[:, 1, 3])


@pytest.mark.parametrize("augmentation", ["none", "flip", "d4"])
def test_other_windows_give_the_same_within_1e_5(site: Site, tmp_path, augmentation: str) -> None:
    ensemble = combine_models(site.bundles, augmentation=augmentation)
    whole, valid = predict_window(ensemble, site.scene, Window(0, 0, 170, 150))
    predict(
        site.bundles, site.scene, tmp_path / "m.tif", probabilities=tmp_path / "p.tif",
        encoding="float32", tta=augmentation, **SMALL,
    )  # fmt: skip
    mapped = Scene.open(tmp_path / "p.tif").read()
    assert np.array_equal(mapped.valid, valid)
    np.testing.assert_allclose(mapped.image[:, valid], whole[:, valid], **CLOSE)
    for left, top, width, height in (
        (0, 0, 1, 1),
        (33, 61, 50, 29),
        (165, 1, 5, 90),
        (2, 149, 9, 1),
    ):
        part, inside = predict_window(ensemble, site.scene, Window(left, top, width, height))
        rows, cols = slice(top, top + height), slice(left, left + width)
        np.testing.assert_allclose(part, whole[:, rows, cols], **CLOSE)
        assert np.array_equal(inside, valid[rows, cols])
    generator = np.random.default_rng(0)
    for count in (1, 7, 5000):
        row, col = (generator.integers(0, n, count) for n in SHAPE)
        row[0], col[0] = 149, 5
        expected = np.where(valid[row, col], whole[:, row, col], np.nan).T
        np.testing.assert_allclose(predict_at(ensemble, site.scene, row, col), expected, **CLOSE)


def test_no_pixel_is_no_probability(site: Site) -> None:
    none = np.zeros(0, np.int64)
    assert predict_at(combine_models(site.bundles), site.scene, none, none).shape == (0, 0)


def test_scattered_pixels_cost_little_and_are_told(site: Site) -> None:
    member = BlurMember()
    row, col = np.array([10, 11, 140]), np.array([10, 12, 30])
    told: list[int] = []
    predict_at(Ensemble.of(member), site.scene.with_bands(site.scene.bands[:2]), row, col, advance=told.append)  # fmt: skip
    assert sum(told) == 3
    assert sum(np.prod(shape[::2]) * shape[3] for shape in member.calls) < 1000


def test_pixels_at_the_border_cost_no_window_of_another_size(site: Site) -> None:
    member = BlurMember()
    row, col = np.array([0, 0, 70, 149, 149, 70]), np.array([0, 169, 0, 80, 169, 80])
    predict_at(Ensemble.of(member), site.scene.with_bands(site.scene.bands[:2]), row, col)
    assert len({shape[2:] for shape in member.calls}) == 1


def test_training_sees_what_the_map_sees(site: Site) -> None:
    """Teachers and held-out pixels go through the same door, on pixels in memory."""
    ensemble = combine_models(site.bundles)
    whole, valid = predict_window(ensemble, site.scene, Window(0, 0, 170, 150))
    chip = site.scene.read()
    row, col = np.nonzero(valid)
    row, col = row[::137], col[::137]
    zeros = np.zeros(len(row), np.int64)
    pixels = LabelledPixels(zeros, row, col, zeros, np.ones(len(row), np.float32))
    imagery = TrainingImagery(
        (Patch(0, 0, 0, chip.image, chip.valid, site.scene.grid),), pixels, 3, 10.0
    )
    found = predict_labelled(ensemble, imagery, pixels)
    np.testing.assert_allclose(found, whole[:, row, col].T, **CLOSE)
    [maps] = predict_patches(ensemble, imagery, Reporter(), "teacher")
    assert np.abs(maps - 255 * whole)[:, valid].max() <= 0.5 + 255e-5
    assert not maps[:, ~valid].any()


@pytest.mark.parametrize("tta", ["none", "flip"])
def test_points_and_suggestions_are_as_the_map(site: Site, tmp_path, tta: str) -> None:
    config = Config().updated({"prediction": {"tta": tta}})
    bundles = [replace(bundle, config=config) for bundle in site.bundles]
    for name, models in (("one", bundles[:1]), ("two", bundles)):
        [scene] = open_imagery([site.scene.path], models, Reporter())
        predict(
            models, site.scene.path, tmp_path / f"{name}.tif", probabilities=tmp_path / f"{name}_p.tif",
            encoding="float32", **SMALL,
        )  # fmt: skip
        mapped = Scene.open(tmp_path / f"{name}_p.tif").read().image
        suggested = suggest(models, scene, 12, 60.0, tmp_path / f"{name}.gpkg")
        place = scene.grid.world_to_pixel(suggested.x, suggested.y)
        row, col = (np.floor(value).astype(int) for value in place)
        np.testing.assert_allclose(suggested.probability, mapped[:, row, col].max(axis=0), **CLOSE)
    where = Points.from_arrays(
        suggested.x, suggested.y, np.zeros(12, int), legend_of(3), scene.grid.crs
    )
    [scene] = open_imagery([site.scene.path], bundles[:1], Reporter())
    alone = Scene.open(tmp_path / "one_p.tif").read().image
    np.testing.assert_allclose(
        predict_points(bundles[0], [scene], where), alone[:, row, col].T, **CLOSE
    )


def test_suggestions_of_models_with_bands_in_another_order(tmp_path) -> None:
    """Two models that agree everywhere, one of (red, nir) and one of (nir, red): both are sure, and so is the mean."""

    class FirstOrSecond(BlurMember):
        def probabilities(self, image, valid):
            share = 0.95 if self.seed == 0 else 0.05
            first = np.where(image[:, 0] > image[:, 1], share, 1 - share).astype(np.float32)
            return np.stack([first, 1 - first], axis=1)

    image = np.where(np.arange(96)[None, :] < 48, [[[3.0]], [[1.0]]], [[[1.0]], [[3.0]]])
    image = np.repeat(image.astype(np.float32), 96, axis=1)
    path = write_scene(tmp_path / "s.tif", image, names=("red", "nir"))
    kept = {"classes": 2}
    bundles = [
        replace(loose_bundle(tmp_path / "a", FirstOrSecond(seed=0), **kept), bands=("red", "nir")),
        replace(loose_bundle(tmp_path / "b", FirstOrSecond(seed=1), **kept), bands=("nir", "red")),
    ]
    suggested = suggest(bundles, path, 6, 100.0, tmp_path / "next.gpkg")
    np.testing.assert_allclose(suggested.probability, 0.95, **CLOSE)
    col = Scene.open(path).grid.world_to_pixel(suggested.x, suggested.y)[1]
    assert np.array_equal(suggested.most_likely[:, 0], (col >= 48).astype(int))


def test_suggestions_of_models_that_share_some_bands(site: Site, tmp_path) -> None:
    """The places are described in the bands of the first model, whatever bands the others add."""
    suggested = suggest(site.bundles, site.scene.path, 5, 60.0, tmp_path / "next.gpkg")
    assert len(suggested) == 5


def test_suggestions_of_models_with_other_classes_are_refused(tmp_path) -> None:
    path = write_scene(tmp_path / "s.tif", image_of((40, 40)))
    bundles = [
        loose_bundle(tmp_path / "a", BlurMember()),
        loose_bundle(tmp_path / "b", BlurMember(classes=4), classes=4),
    ]
    with pytest.raises(ModelError, match="different classes"):
        suggest(bundles, path, 3, 10.0, tmp_path / "next.gpkg")


def test_mean_entropy_follows_the_probabilities(site: Site) -> None:
    first = site.bundles[:1]
    image = site.scene.read().image[:2, :148, :168]
    valid = np.ones((148, 168), bool)
    found = predict_patch(combine_models(first, disagreement=True), image, valid)
    assert np.array_equal(found[:3], predict_patch(combine_models(first), image, valid))
    entropy = sum(
        m.weight
        * relative_entropy(apply_temperature(m.probabilities(image[None], valid[None]), 1.3)[0])
        for m in first[0].members
    )
    np.testing.assert_allclose(found[3], entropy, **CLOSE)
    assert not combine_models(site.bundles[1:], disagreement=True).disagreement


def test_weights_by_skill(site: Site) -> None:
    assert weigh_models(site.bundles) == (0.75, 0.25)
    unknown = replace(site.bundles[1], metadata={})
    assert weigh_models([site.bundles[0], unknown]) == (0.5, 0.5)


@pytest.mark.parametrize("stride", [1, 4, 32])
def test_context_ends_at_the_border_and_on_the_lattice(stride: int) -> None:
    for row, col, height, width in ((0, 0, 5, 5), (40, 60, 9, 3), (95, 117, 5, 3)):
        around, (rows, cols) = surround(Window(col, row, width, height), (100, 120), 20, stride)
        assert around.row_off % stride == around.col_off % stride == 0
        assert around.height % stride == around.width % stride == 0
        assert (around.row_off + rows.start, around.col_off + cols.start) == (row, col)
        assert (rows.stop - rows.start, cols.stop - cols.start) == (height, width)
        assert row - around.row_off >= min(20, row)
        assert around.col_off + around.width >= min(col + width + 20, 120)
        assert around.row_off + around.height < 100 + stride


def test_nothing_else_runs_members() -> None:
    """Only the inference functions call members, apart from backend measurements, forests and training steps.

    Live sessions apply their heads to cached features.
    """
    inside = {
        "consistency",
        "forest",
        "forest_fitting",
        "inference",
        "member",
        "objective",
        "tree_table",
        "backend",
        "session",
        "question",
    }
    package = Path(geopointseg.__file__).parent
    calls = {
        path.stem
        for path in package.rglob("*.py")
        if re.search(r"\.probabilities\((?!\))", path.read_text(encoding="utf-8"))
    }
    assert calls <= inside


def test_models_that_know_bands_by_colour_and_by_name_go_together() -> None:
    colored, named = (
        SimpleNamespace(bands=bands) for bands in (("band_1:red", "band_2:nir"), ("nir", "red"))
    )
    assert union_bands([colored, named]) == ["red", "nir"]
    assert union_bands([colored]) == ["band_1:red", "band_2:nir"]
