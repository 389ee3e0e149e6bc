"""Models of embeddings: heads on single vectors, one map from codes and from decoded numbers, and refusals."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from geopointseg.assessment.accuracy import assess
from geopointseg.config import Config
from geopointseg.errors import RasterError, TrainingError
from geopointseg.lab.synthetic_embedding import (
    SyntheticEmbedding,
    make_embedding,
    write_alpha_earth,
    write_decoded,
    write_tessera,
)
from geopointseg.lab.synthetic_landscape import draw_points, make_landscape, write_scene
from geopointseg.labels.points import Points
from geopointseg.learning import embedding_members
from geopointseg.learning.embedding_members import settings_for_embedding
from geopointseg.learning.fitted_members import choose_fitted
from geopointseg.learning.training import train
from geopointseg.model import embedding_heads
from geopointseg.model.bundle import ModelBundle
from geopointseg.model.embedding_heads import MOST_VECTORS, NearestNeighbours
from geopointseg.prediction.backend import accelerate
from geopointseg.prediction.predictor import predict
from geopointseg.progress import Event, Reporter
from geopointseg.radiometry.histogram_matching import match_raster
from geopointseg.raster.scene import Scene
from geopointseg.report.document import write_report
from geopointseg.report.provenance import ModelProvenance
from geopointseg.sampling.patch import LabelledPixels
from geopointseg.validation.applicability import map_applicability
from geopointseg.validation.cross_validation import validate
from geopointseg.validation.suggestion import suggest

pytestmark = pytest.mark.filterwarnings("ignore")
SMALL = Config().updated({"forest": {"trees": 20}, "optimization": {"steps": 4}})


@dataclass(frozen=True)
class Given:
    folder: Path
    embedding: SyntheticEmbedding
    points: Points

    def train(self, name: str, model: str, scene: str = "a.tif") -> ModelBundle:
        return train(
            self.folder / scene, self.points, output=self.folder / name, model=model, config=SMALL
        )  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Given:
    folder = tmp_path_factory.mktemp("embedding")
    embedding = make_embedding(90, 120, seed=3)
    write_alpha_earth(embedding, folder / "a.tif")
    write_decoded(embedding, folder / "d.tif")
    with rasterio.open(folder / "d.tif") as dataset:  # the same numbers, computed in 32 bits
        image, profile, tags = dataset.read(), dataset.profile, dataset.tags()
    with rasterio.open(folder / "a.tif") as dataset:
        codes = dataset.read().astype(np.float32)
    single = np.sign(codes) * (codes / np.float32(127.5)) ** 2
    with rasterio.open(folder / "f.tif", "w", **profile) as dataset:
        dataset.write(np.where(np.isnan(image), np.float32(np.nan), single))
        dataset.update_tags(**tags)
        for k in range(64):
            dataset.set_band_description(k + 1, f"A{k:02d}")
    write_scene(make_landscape(90, 120, seed=3), str(folder / "photo.tif"))
    return Given(folder, embedding, draw_points(embedding.landscape, 15, 1))


def _probabilities(given: Given, model: ModelBundle, scene: str) -> np.ndarray:
    out = given.folder / "p.tif"
    predict(
        model, given.folder / scene, given.folder / "m.tif", probabilities=out, encoding="float32"
    )
    with rasterio.open(out) as dataset:
        return dataset.read()


@pytest.mark.parametrize("kind", ["forest", "linear", "knn"])
def test_codes_and_decoded_numbers_make_one_map(given: Given, kind: str) -> None:
    models = [given.train(f"{kind}_{name}", kind, f"{name}.tif") for name in "adf"]
    first = _probabilities(given, models[0], "a.tif")
    assert np.isnan(first).all(axis=0).sum() == (~given.embedding.landscape.valid).sum()
    for model in models:
        for scene in ("a.tif", "d.tif", "f.tif"):
            np.testing.assert_allclose(_probabilities(given, model, scene), first, atol=1e-3)


def _training_vectors(given: Given) -> tuple[np.ndarray, np.ndarray]:
    points = given.points.to_crs(given.embedding.grid.crs)
    row, col = (
        np.floor(v).astype(int) for v in given.embedding.grid.world_to_pixel(points.x, points.y)
    )
    with rasterio.open(given.folder / "d.tif") as dataset:
        return dataset.read()[:, row, col].T, points.class_index


def test_heads_are_those_of_scikit_learn(given: Given) -> None:
    vectors, index = _training_vectors(given)
    with rasterio.open(given.folder / "d.tif") as dataset:
        image = np.nan_to_num(dataset.read())
    valid = given.embedding.landscape.valid
    samples = image[:, valid].T
    linear = given.train("linear", "linear").members[0].probabilities(image[None], valid[None])
    mean, std = vectors.mean(axis=0), vectors.std(axis=0)
    known = LogisticRegression(C=0.05, class_weight="balanced", max_iter=1000)
    known.fit((vectors - mean) / std, index)
    expected = known.predict_proba((samples - mean) / std)
    present = np.unique(index)
    np.testing.assert_allclose(linear[0][present][:, valid].T, expected, atol=2e-3)
    nearest = KNeighborsClassifier(5, metric="cosine", algorithm="brute").fit(vectors, index)
    votes = 5 * nearest.predict_proba(samples)
    knn = given.train("knn", "knn").members[0].probabilities(image[None], valid[None])
    shares = (votes + 1 / len(present)) / 6
    counted = np.abs(knn[0][present][:, valid].T - shares).max(axis=1)
    assert (counted < 1e-4).mean() > 0.999  # ties of similarity may be broken otherwise


@pytest.mark.parametrize("backend", ["torch", "onnxruntime", "openvino"])
@pytest.mark.parametrize("kind", ["linear", "knn"])
def test_every_backend_runs_the_heads(given: Given, kind: str, backend: str) -> None:
    model = given.train(kind, kind)
    image = given.embedding.vectors[None, :, :64, :64]
    valid = np.ones((1, 64, 64), bool)
    plain = model.members[0].probabilities(image, valid)
    fast = accelerate(model, backend).members[0].probabilities(image, valid)
    assert (
        np.abs(plain - fast).max() < 1e-3
        or (np.abs(plain - fast).max(axis=1) < 1e-3).mean() > 0.999
    )


def test_neighbours_are_computed_in_parts_and_drawn_evenly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    head = NearestNeighbours(4, 3, count=9, neighbours=2)
    rng = np.random.default_rng(0)
    head.load_vectors(rng.standard_normal((9, 4)).astype(np.float32), np.arange(9) % 3)
    image = torch.from_numpy(rng.standard_normal((1, 4, 7, 5)).astype(np.float32))
    whole = head(image)
    monkeypatch.setattr(embedding_heads, "_SIMILARITIES_AT_ONCE", 90)
    torch.testing.assert_close(head(image), whole)
    index = np.repeat([0, 1, 2], [10, 5000, 3000])
    drawn = embedding_members._draw_evenly(index, np.ones(len(index), np.float32))
    counts = np.bincount(index[drawn])
    assert counts.tolist() == [10, (MOST_VECTORS - 10) // 2, (MOST_VECTORS - 10) // 2]


def test_auto_weighs_the_heads_and_stores_the_product(given: Given) -> None:
    model = given.train("auto", "auto")
    kinds = {member.kind for member in model.members}
    assert kinds <= {"linear", "knn", "forest"}
    assert {"linear", "knn", "forest"} <= model.metadata["scores"].keys()
    assert (
        "No network is trained: the vectors of AlphaEarth are features already"
        in model.metadata["reason"]
    )
    stored = json.loads((model.folder / "model.json").read_text())
    assert stored["embedding"] == {
        "product": "AlphaEarth", "version": "1", "year": "2024", "licence": "CC-BY 4.0", "dimensions": 64,
        "attribution": stored["embedding"]["attribution"],
    }  # fmt: skip
    sentence = "The AlphaEarth Foundations Satellite Embedding dataset is produced by Google and Google DeepMind."
    assert sentence in stored["embedding"]["attribution"]
    assert sentence in (model.folder / "README.md").read_text()
    assert sentence in dict(ModelProvenance.read(model.folder).facts())["trained on"]
    predict(
        model, given.folder / "a.tif", given.folder / "map.tif", uncertainty=given.folder / "u.tif"
    )
    for name in ("map.tif", "u.tif"):
        with rasterio.open(given.folder / name) as dataset:
            assert sentence in dataset.tags()["ATTRIBUTION"]
    assessed = assess(given.folder / "map.tif", given.points, force=True)
    write_report(assessed, given.folder / "report.html")
    assert sentence in (given.folder / "report.html").read_text()


def test_no_filter_and_no_augmentation_of_values_is_applied(given: Given) -> None:
    model = given.train("forest", "forest")
    assert model.members[0].margin_px == 0
    assert model.config.forest.features == "pixel"
    told = model.config.augmentation
    assert (told.gain, told.offset, told.gamma, told.blur, told.style) == (0, 0, 1, 0, 0)
    network = given.train("network", "network")
    assert [member.kind for member in network.members] == ["network"]


def test_matching_is_refused(given: Given) -> None:
    matched = Config().updated({"scene": {"matching": "percentile"}})
    with pytest.raises(RasterError, match="vectors are no radiances that could be matched"):
        train(given.folder / "a.tif", given.points, output=given.folder / "x", config=matched)
    with pytest.raises(RasterError, match="because vectors are no radiances; use it as it is"):
        match_raster(given.folder / "a.tif", [given.folder / "d.tif"], given.folder / "o.tif")
    scene = Scene.open(given.folder / "a.tif")
    assert settings_for_embedding(Config(), scene).scene == Config().scene


@pytest.mark.parametrize(
    ("scene", "words"),
    [
        (
            "photo.tif",
            "'photo.tif' is imagery and the model was trained on an embedding (AlphaEarth 1 2024)",
        ),
        ("v2.tif", "is AlphaEarth 2 2024 and the model was trained on AlphaEarth 1 2024"),
        ("t", "is TESSERA 1.1 2024 and the model was trained on AlphaEarth 1 2024"),
    ],
)
def test_another_product_is_refused_by_a_model(given: Given, scene: str, words: str) -> None:
    write_alpha_earth(given.embedding, given.folder / "v2.tif", version="2")
    write_tessera(make_embedding(90, 120, dimensions=128), given.folder / "t")
    with pytest.raises(RasterError) as refused:
        predict(given.train("linear", "linear"), given.folder / scene, given.folder / "m.tif")
    assert words in str(refused.value)


def test_an_embedding_is_refused_by_a_model_of_imagery(given: Given) -> None:
    points = draw_points(make_landscape(90, 120, seed=3), 15, 1)
    model = train(
        given.folder / "photo.tif",
        points,
        output=given.folder / "photo",
        model="forest",
        config=SMALL,
    )
    with pytest.raises(
        RasterError,
        match=r"'a.tif' is an embedding \(AlphaEarth 1 2024\) and the model was trained on imagery",
    ):
        predict(model, given.folder / "a.tif", given.folder / "m.tif")
    with pytest.raises(
        TrainingError, match=r"Nearest neighbours were requested, and 'photo.tif' is imagery"
    ):
        train(
            given.folder / "photo.tif", points, output=given.folder / "x", model="knn", config=SMALL
        )


def test_another_year_is_mapped_with_a_warning(given: Given) -> None:
    later = make_embedding(90, 120, seed=3, year=2025)
    write_alpha_earth(later, given.folder / "later.tif", year=2025)
    told: list[Event] = []
    reporter = Reporter(
        type("Sink", (), {"emit": lambda _, event: told.append(event), "close": lambda _: None})()
    )
    predict(
        given.train("linear", "linear"),
        given.folder / "later.tif",
        given.folder / "m.tif",
        reporter=reporter,
    )
    warned = [event.message for event in told if event.kind == "warning"]
    assert any("describes 2025 and the model was trained on 2024" in text for text in warned)


def test_suggestions_and_applicability_compare_vectors(given: Given) -> None:
    model = given.train("linear", "linear")
    found = suggest(model, given.folder / "a.tif", 5, 20, given.folder / "s.gpkg")
    assert len(found) == 5
    area = map_applicability(model, given.folder / "a.tif", given.folder / "aoa.tif")
    with rasterio.open(area.mask) as dataset:
        inside = dataset.read(1)[given.embedding.landscape.valid] == 1
    assert 0.5 < inside.mean() < 1


@pytest.mark.parametrize("curve", [True, False])
def test_validation_compares_with_a_forest_on_single_vectors_only(
    given: Given, *, curve: bool
) -> None:
    found = validate(
        given.folder / "a.tif", given.points, folds=2, block_size_m=300, model="linear", config=SMALL, curve=curve
    )  # fmt: skip
    assert list(found.scores) == ["majority class", "forest on single pixels", "this recipe"]
    assert found.reach_m == pytest.approx(10, rel=0.01)
    assert (found.curve is not None) == curve


def test_a_perceptron_is_kept_only_where_no_other_head_scores_better(given: Given) -> None:
    index = np.arange(60) % 3
    right = np.eye(3, dtype=np.float32)[index]
    good, fair = 0.8 * right + 0.2 / 3, 0.75 * right + 0.25 / 3
    assert "perceptron" not in choose_fitted({"linear": good, "perceptron": fair}, index).weights
    kept = choose_fitted({"linear": fair, "perceptron": good}, index)
    assert "perceptron" in kept.weights
    few = SMALL.updated({"selection": {"forest_below": 10}})
    model = train(given.folder / "a.tif", given.points, output=given.folder / "few", config=few)
    assert "perceptron" in model.metadata["scores"]
    job_points = _training_vectors(given)
    ground = SimpleNamespace(
        bands=64, classes=8, patches=[SimpleNamespace(image=job_points[0].T[:, :, None])]
    )
    labelled = LabelledPixels(
        np.zeros(75, np.int64), np.arange(75), np.zeros(75, np.int64), job_points[1], np.ones(75, np.float32)
    )  # fmt: skip
    member = embedding_members.fit_perceptron(ground, labelled, 0)  # type: ignore[arg-type]
    image = job_points[0].T[None, :, :, None].astype(np.float32)
    found = member.probabilities(image, np.ones((1, 75, 1), bool))[0, :, :, 0].argmax(axis=0)
    assert (found == job_points[1]).mean() > 0.95
