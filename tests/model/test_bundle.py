"""The model folder: what goes in comes out, and what is not one is refused in words."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from geopointseg.config import Config
from geopointseg.errors import ConfigError, InputFileError, ModelError, OutputError
from geopointseg.legend import Legend
from geopointseg.model.architecture import build_network
from geopointseg.model.bundle import (
    ModelBundle,
    NetworkMember,
    Normalization,
    apply_temperature,
    is_model_folder,
    resolve_device,
)

OPTIONS = {
    "architecture": "unet",
    "encoder": "resnet18",
    "encoder_depth": 3,
    "decoder_channels": [16, 8, 8],
    "norm": "batch",
}


def member(seed: int, weight: float) -> NetworkMember:
    torch.manual_seed(seed)
    network = build_network(bands=2, classes=3, **OPTIONS).eval()
    norm = Normalization(np.array([5.0, 1.0]), np.array([2.0, 0.5]))
    return NetworkMember(network, norm, 16, weight, OPTIONS, torch.device("cpu"))


@pytest.fixture
def bundle(tmp_path) -> ModelBundle:
    members = (member(0, 0.75), member(1, 0.25))
    return ModelBundle(
        folder=tmp_path,
        legend=Legend.from_names(["Wald", "Gewässer", "road"], codes=[10, 0, 255]),
        bands=("red", "nir"),
        normalization=members[0].normalization,
        resolution_m=0.3,
        chip_size=32,
        receptive_field_px=33,
        config=Config().updated({"loss": {"gamma": 2.0}}),
        members=members,
        temperature=1.5,
        metadata={
            "seed": 3,
            "scores": {"how": "held out", "network": {"overall_accuracy": 0.9, "mean_f1": 0.8}},
            "points": {"per_class": {"Wald": 12}},
            "scenes": [
                {
                    "name": "a.tif",
                    "role": "training",
                    "bounds_wgs84": [1, 2, 3, 4],
                    "sha256": "ab" * 32,
                }
            ],
        },
    )


@pytest.fixture
def windows() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    image = generator.normal(5, 2, (2, 2, 19, 30)).astype(np.float32)
    return image, generator.random((2, 19, 30)) > 0.1


def test_what_is_saved_is_loaded(bundle, windows, tmp_path) -> None:
    saved = bundle.save(tmp_path / "model")
    loaded = ModelBundle.load(tmp_path / "model")
    assert np.array_equal(bundle.probabilities(*windows), loaded.probabilities(*windows))
    assert loaded.to_json() == bundle.to_json()
    assert loaded.legend == bundle.legend
    assert loaded.config.loss.gamma == 2.0
    assert loaded.fingerprint == saved.fingerprint
    assert sorted(p.name for p in saved.folder.iterdir()) == [
        "README.md",
        "model.json",
        "model.safetensors",
    ]


def test_who_may_read_the_description_may_read_the_weights(bundle, tmp_path) -> None:
    folder = bundle.save(tmp_path / "model").folder
    modes = {path.stat().st_mode for path in folder.iterdir() if path.is_file()}
    assert len(modes) == 1


def test_probabilities_are_the_weighted_mean_at_its_temperature(bundle, windows) -> None:
    mean = sum(m.weight * m.probabilities(*windows) for m in bundle.members)
    expected = torch.softmax(torch.log(torch.from_numpy(mean)) / 1.5, 1).numpy()
    probabilities = bundle.probabilities(*windows)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(1), 1.0, atol=1e-5)
    assert probabilities.dtype == np.float32


def test_values_where_invalid_do_not_matter(bundle, windows) -> None:
    image, valid = windows
    changed = np.where(valid[:, None], image, 1e6).astype(np.float32)
    assert np.array_equal(bundle.probabilities(image, valid), bundle.probabilities(changed, valid))


def test_temperature_one_changes_nothing() -> None:
    p = np.array([[0.7, 0.3]], np.float32)
    assert apply_temperature(p, 1.0) is p


def test_fingerprint_changes_with_weights_and_description(bundle, tmp_path) -> None:
    first = bundle.save(tmp_path / "a").fingerprint
    assert bundle.save(tmp_path / "b").fingerprint == first
    other = replace(bundle, members=(member(5, 1.0),))
    assert other.save(tmp_path / "c").fingerprint != first
    assert replace(bundle, temperature=1.0).save(tmp_path / "d").fingerprint != first


def test_card_tells_classes_counts_and_scores(bundle, tmp_path) -> None:
    card = (bundle.save(tmp_path / "model").folder / "README.md").read_text(encoding="utf-8")
    assert "| 0 | Gewässer | unknown |" in card
    assert "| 10 | Wald | 12 |" in card
    assert "| network | 0.900 | 0.800 |" in card
    assert "a.tif" in card


def test_older_model_is_replaced_whole(bundle, tmp_path) -> None:
    bundle.save(tmp_path / "model")
    replace(bundle, temperature=1.0).save(tmp_path / "model")
    assert ModelBundle.load(tmp_path / "model").temperature == 1.0
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_folder_of_somebody_else_is_left_alone(bundle, tmp_path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(
        OutputError, match=r"thesis' exists and holds something that is not a model"
    ):
        bundle.save(tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"


def test_output_that_is_a_file_is_refused(bundle, tmp_path) -> None:
    (tmp_path / "model").write_text("x")
    with pytest.raises(OutputError, match=r"is a file. Expected a folder"):
        bundle.save(tmp_path / "model")


def test_missing_folder(tmp_path) -> None:
    with pytest.raises(InputFileError, match=r"nothing' does not exist"):
        ModelBundle.load(tmp_path / "nothing")


def test_folder_that_is_no_model(tmp_path) -> None:
    (tmp_path / "model.json").write_text('{"a": 1}')
    with pytest.raises(ModelError, match=r"not a model folder.*written by `train`"):
        ModelBundle.load(tmp_path)
    assert not is_model_folder(tmp_path)


def test_newer_format(bundle, tmp_path) -> None:
    folder = bundle.save(tmp_path / "model").folder
    description = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(description | {"format_version": 99}))
    with pytest.raises(ModelError, match=r"format version 99.*update geopointseg"):
        ModelBundle.load(folder)


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_damaged_weights(bundle, tmp_path, damage) -> None:
    folder = bundle.save(tmp_path / "model").folder
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    if damage == "flip":
        content[-3] ^= 1
    weights.write_bytes(content if damage == "flip" else content[: len(content) // 2])
    if damage == "gone":
        weights.unlink()
    with pytest.raises(ModelError, match=r"damaged: the checksum|lacks model.safetensors"):
        ModelBundle.load(folder)


@pytest.mark.parametrize("name", ["legend", "members", "normalization"])
def test_damaged_description(bundle, tmp_path, name) -> None:
    folder = bundle.save(tmp_path / "model").folder
    description = json.loads((folder / "model.json").read_text())
    del description[name]
    (folder / "model.json").write_text(json.dumps(description))
    with pytest.raises(ModelError, match=rf"is damaged \(it lacks '{name}'\)"):
        ModelBundle.load(folder)


def test_weights_of_another_architecture(bundle, tmp_path) -> None:
    folder = bundle.save(tmp_path / "model").folder
    description = json.loads((folder / "model.json").read_text())
    description["members"][0]["architecture"]["decoder_channels"] = [32, 8, 8]
    (folder / "model.json").write_text(json.dumps(description))
    with pytest.raises(ModelError, match=r"weights do not fit the architecture"):
        ModelBundle.load(folder)


def test_settings_of_another_version_are_skipped(bundle, tmp_path) -> None:
    folder = bundle.save(tmp_path / "model").folder
    description = json.loads((folder / "model.json").read_text())
    description["config"]["loss"]["retired"] = 1
    description["config"]["gone"] = {"x": 1}
    (folder / "model.json").write_text(json.dumps(description))
    assert ModelBundle.load(folder).config == bundle.config


def test_no_pickle_is_ever_read(bundle, tmp_path, monkeypatch) -> None:
    folder = bundle.save(tmp_path / "model").folder

    def refuse(*_args, **_kwargs):
        raise AssertionError("a pickle was read")

    monkeypatch.setattr("pickle.load", refuse)
    monkeypatch.setattr("pickle.Unpickler", refuse)
    monkeypatch.setattr(torch, "load", refuse)
    ModelBundle.load(folder)


def test_devices() -> None:
    assert resolve_device("cpu").type == "cpu"
    assert resolve_device("auto").type in {"cpu", "cuda"}
    with pytest.raises(ConfigError, match=r"no device 'abacus'. Expected auto, cpu or cuda"):
        resolve_device("abacus")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match=r"torch finds no GPU"):
            resolve_device("cuda")


def test_normalization_needs_one_number_a_band() -> None:
    with pytest.raises(ModelError, match=r"one number per band"):
        Normalization(np.zeros(2), np.ones(3))
