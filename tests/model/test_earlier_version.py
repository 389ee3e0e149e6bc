"""Model folders that version 0.1.0 wrote: their exact keys and tensor names, with weights whose map is known."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin
from safetensors.numpy import save_file

from geopointseg.errors import ModelError
from geopointseg.model.bundle import ModelBundle
from geopointseg.prediction.predictor import predict

Arrays = dict[str, NDArray]

FOREST = {
    "kind": "forest", "weight": 0.25, "margin_px": 0,
    "forest": {
        "scales": [], "kinds": ["mean", "deviation", "gradient", "laplacian", "structure"], "features": 1, "trees": 1,
        "smoothing_radius_px": 0,
        "decisions": {"filter_share": 0.0, "radius_px": 0, "held_out_loss_by_filter_share": {"0": 0.9}},
    },
}  # fmt: skip
NETWORK = {
    "kind": "network", "weight": 0.75, "margin_px": 2,
    "architecture": {
        "architecture": "fcn", "encoder": "fcn", "encoder_depth": 3, "decoder_channels": [64, 32, 16], "norm": "batch",
    },
}  # fmt: skip
DESCRIPTION = {
    "format": "geopointseg model", "format_version": 1,
    "legend": [{"code": 30, "name": "water", "color": "#0000ff"}, {"code": 7, "name": "land", "color": "#00ff00"}],
    "bands": ["gray"], "normalization": {"mean": [10.0], "std": [2.0]}, "resolution_m": 1.0, "chip_size": 96,
    "receptive_field_px": 5, "temperature": 1.0, "members": [FOREST, NETWORK],
    "config": {"model": {"architecture": "fcn", "a_setting_of_0_1_0": 3}, "a_section_of_0_1_0": {"x": 1}},
    "reason": "Both were kept.", "scores": {}, "seed": 0, "style": None, "versions": {"geopointseg": "0.1.0"},
}  # fmt: skip


def stump() -> Arrays:
    """One split at 11 (0.5 after standardization), and half the prevalence for the second class."""
    return {
        "first": np.array([0, 3]),
        "left": np.array([1, -1, -1], np.int32),
        "right": np.array([2, -1, -1], np.int32),
        "feature": np.array([0, -2, -2], np.int32),
        "threshold": np.array([0.5, -2.0, -2.0]),
        "value": np.array([[0.5, 0.5], [0.75, 0.25], [0.0, 1.0]], np.float32),
        "weight": np.ones(1, np.float32),
        "prevalence": np.array([1.0, 0.5], np.float32),
        "mean": np.array([10.0], np.float32),
        "std": np.array([2.0], np.float32),
        "textures": np.ones((1, 1), np.float32),
        "axis": np.ones(1, np.float32),
    }


def constant_network() -> Arrays:
    """Convolutions of zeros; the bias of the last one gives probabilities of 0.75 and 0.25."""
    blocks = {"encoder": (48, 1, 3, 3)} | {f"decoder.{n}": (48, 48, 3, 3) for n in range(5)}
    tensors: Arrays = {}
    for block, shape in blocks.items():
        tensors[f"body.{block}.0.weight"] = np.zeros(shape, np.float32)
        for name in ("weight", "bias", "running_mean", "running_var"):
            tensors[f"body.{block}.1.{name}"] = np.ones(48, np.float32)
        tensors[f"body.{block}.1.num_batches_tracked"] = np.array(6)
    tensors["body.segmentation_head.weight"] = np.zeros((2, 48, 1, 1), np.float32)
    tensors["body.segmentation_head.bias"] = np.log(np.array([3.0, 1.0], np.float32))
    return tensors


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    tensors = {f"forest.{name}": values for name, values in stump().items()}
    tensors |= {f"network.0.{name}": values for name, values in constant_network().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    (folder / "model.json").write_text(json.dumps(DESCRIPTION | {"weights_sha256": digest}))
    return folder


WATER = 0.25 * 0.75 / 0.875 + 0.75 * 0.75
"""Probability of the first class at values below 11."""


def test_probabilities(folder: Path) -> None:
    bundle = ModelBundle.load(folder)
    image = np.array([[[[10.0, 12.0]] * 4]], np.float32)
    found = bundle.probabilities(image, np.ones((1, 4, 2), bool))
    np.testing.assert_allclose(found[0, 0], [[WATER, 0.75**2]] * 4, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_it_is_written_again_with_the_same_content(folder: Path, tmp_path: Path) -> None:
    again = ModelBundle.load(folder).save(tmp_path / "again")
    description = json.loads((again.folder / "model.json").read_text())
    kept = set(DESCRIPTION) - {"config"}
    assert {k: description[k] for k in kept} == {k: DESCRIPTION[k] for k in kept}
    assert ModelBundle.load(again.folder).members[0].forest.to_json() == FOREST["forest"]


def test_map(folder: Path, tmp_path: Path) -> None:
    profile = {
        "driver": "GTiff", "width": 40, "height": 30, "count": 1, "dtype": "float32", "crs": "EPSG:32633",
        "transform": from_origin(5e5, 5e6, 1, 1),
    }  # fmt: skip
    values = np.full((1, 30, 40), 10, np.float32)
    values[:, :, 20:] = 12
    with rasterio.open(tmp_path / "s.tif", "w", **profile) as raster:
        raster.write(values)
        raster.set_band_description(1, "gray")
    predict(
        folder, tmp_path / "s.tif", tmp_path / "m.tif", probabilities=tmp_path / "p.tif", encoding="float32",
        device="cpu",
    )  # fmt: skip
    with rasterio.open(tmp_path / "m.tif") as classes, rasterio.open(tmp_path / "p.tif") as shares:
        assert np.unique(classes.read()).tolist() == [30]
        water = shares.read(1)
    np.testing.assert_allclose(water[:, :20], WATER, atol=1e-6)
    np.testing.assert_allclose(water[:, 20:], 0.75**2, atol=1e-6)


def test_a_folder_of_a_later_version_is_refused(folder: Path) -> None:
    path = folder / "model.json"
    path.write_text(path.read_text().replace('"format_version": 1', '"format_version": 2'))
    with pytest.raises(ModelError, match=r"format version 2\..*up to 1; update geopointseg"):
        ModelBundle.load(folder)
