"""The exported file has the metadata of Deepness and the probabilities of the model."""

from __future__ import annotations

import json

import numpy as np
import pytest

from geopointseg.errors import MissingDependencyError, ModelError
from geopointseg.prediction import export
from geopointseg.prediction.export import export_onnx
from tests.prediction.conftest import (
    BlurMember,
    backbone_bundle,
    image_of,
    loose_bundle,
    network_bundle,
)

onnxruntime = pytest.importorskip("onnxruntime")


def as_deepness(session, image):
    """Prepare a tile like the plugin: divide by 255, standardize by the file's metadata, channels first."""
    meta = session.get_modelmeta().custom_metadata_map
    mean, std = (np.array(json.loads(meta[f"standardization_{k}"])) for k in ("mean", "std"))
    tile = np.float32(np.moveaxis(image, 0, -1)[None] / 255.0)
    batch = np.transpose((tile - mean) / std, (0, 3, 1, 2)).astype(np.float32)
    return session.run(None, {session.get_inputs()[0].name: batch})[0]


def test_deepness_gets_the_models_probabilities(tmp_path):
    bundle = network_bundle(tmp_path / "m", members=2)
    from dataclasses import replace

    bundle = replace(bundle, temperature=1.5)
    said = export_onnx(bundle, tmp_path / "m.onnx", window_px=64)
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    image = image_of((64, 64)) * 3
    expected = bundle.probabilities(image[None], np.ones((1, 64, 64), bool))
    np.testing.assert_allclose(as_deepness(session, image), expected, atol=1e-3)
    assert said["networks"] == 2
    assert said["largest_difference"] < 1e-3
    assert session.get_inputs()[0].shape[1:] == [2, 64, 64]
    assert session.get_outputs()[0].shape[1:] == [3, 64, 64]


@pytest.mark.parametrize("architecture", ["linear", "pyramid"])
def test_networks_on_the_backbone_are_written(tmp_path, architecture):
    said = export_onnx(backbone_bundle(tmp_path / "m", architecture), tmp_path / "m.onnx", window_px=256)  # fmt: skip
    assert said["largest_difference"] < 1e-3


def test_metadata(tmp_path):
    bundle = network_bundle(tmp_path / "m", names=("red", "nir"))
    export_onnx(bundle.folder, tmp_path / "m.onnx", window_px=96)
    meta = (
        onnxruntime.InferenceSession(str(tmp_path / "m.onnx")).get_modelmeta().custom_metadata_map
    )
    read = {name: json.loads(text) for name, text in meta.items()}
    assert read["model_type"] == "Segmentor"
    assert read["class_names"] == {"0": "class 0", "1": "class 1", "2": "class 2"}
    assert read["resolution"] == 1000.0
    assert read["tile_size"] == read["tiles_size"] == 96
    assert read["geopointseg_bands"] == ["red", "nir"]
    assert [row["code"] for row in read["geopointseg_legend"]] == [3, 13, 23]


def test_a_forest_alone_is_refused(tmp_path):
    with pytest.raises(ModelError, match="is a forest without a network"):
        export_onnx(loose_bundle(tmp_path / "m", BlurMember()), tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


def test_a_file_that_says_otherwise_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "PARITY", -1.0)
    with pytest.raises(ModelError, match="differs from the model by"):
        export_onnx(network_bundle(tmp_path / "m"), tmp_path / "m.onnx", window_px=32)
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_missing_onnx_by_its_words(tmp_path, monkeypatch):
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="pip install 'geopointseg"):
        export_onnx(tmp_path / "m", tmp_path / "m.onnx")
