"""Backends say what PyTorch says, and the choice among them is told."""

from __future__ import annotations

import numpy as np
import pytest

from geopointseg.errors import MissingDependencyError
from geopointseg.prediction import backend
from geopointseg.prediction.backend import (
    PARITY,
    AcceleratedMember,
    accelerate,
    available_backends,
    choose_backend,
    require_backend,
)
from geopointseg.prediction.predictor import predict
from geopointseg.progress import Reporter
from geopointseg.raster.class_map import ClassMap
from tests.prediction.conftest import SMALL, Listener, image_of, network_bundle, write_scene

UNET = {"architecture": "unet", "encoder_depth": 3, "decoder_channels": (32, 16, 8)}


def windows(count=2, side=64, bands=2):
    image = np.stack([image_of((side, side), bands, seed) for seed in range(count)])
    valid = np.ones((count, side, side), bool)
    valid[:, :5] = False
    return image, valid


@pytest.mark.parametrize("name", ["torch", "torch-bf16", "onnxruntime", "openvino"])
@pytest.mark.parametrize("options", [UNET, {"architecture": "fcn"}], ids=["unet", "fcn"])
def test_backends_agree_with_the_network(tmp_path, name, options):
    if name not in ("torch", "torch-bf16"):
        pytest.importorskip(name)
    bundle = network_bundle(tmp_path / "m", **options)
    image, valid = windows()
    expected = bundle.members[0].probabilities(image, valid)
    member = accelerate(bundle, name).members[0]
    tolerance = 0.2 if name == "torch-bf16" else PARITY
    for count in (2, 1):
        found = member.probabilities(image[:count], valid[:count])
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected[:count], atol=tolerance)
    wide = member.probabilities(image[:, :, :32], valid[:, :32])
    assert wide.shape == (2, 3, 32, 64)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_maps_of_other_backends_are_the_same(tmp_path, small_tiles, name):
    pytest.importorskip(name)
    bundle = network_bundle(tmp_path / "m", **UNET)
    scene = write_scene(tmp_path / "s.tif", image_of((150, 130)))
    done = predict(bundle, scene, tmp_path / "a.tif", backend=name, tta="d4", **SMALL)
    predict(bundle, scene, tmp_path / "b.tif", tta="d4", **SMALL)
    assert done.backend == name
    a, b = (ClassMap.open(tmp_path / f).read()[0] for f in ("a.tif", "b.tif"))
    assert (a == b).mean() > 0.999


SPEED = {"torch": 10.0, "onnxruntime": 2.0, "openvino": 1.0}
ERROR = {"openvino": 0.01}


class Fake(AcceleratedMember):
    """A backend as fast and as right as the test wants it."""

    clock = 0.0

    def probabilities(self, image, valid):
        if self.backend == "broken":
            raise RuntimeError("no such operation")
        Fake.clock += SPEED[self.backend]
        return np.full((len(image), 3, 4, 4), 1 / 3 + ERROR.get(self.backend, 0), np.float32)


def test_the_fastest_that_agrees_is_chosen(tmp_path, monkeypatch):
    monkeypatch.setattr(backend, "AcceleratedMember", Fake)
    monkeypatch.setattr(backend.time, "perf_counter", lambda: Fake.clock)
    monkeypatch.setattr(
        backend, "available_backends", lambda: ["torch", "broken", "onnxruntime", "openvino"]
    )
    said = []
    bundle = network_bundle(tmp_path / "m")
    chosen = choose_backend([bundle], *windows(), 1000, Reporter(Listener(said)))
    assert chosen == "onnxruntime"
    message = said[-1].message
    assert "the fastest that agrees with torch to 0.001" in message
    assert "openvino 0.500 s a window but off by 0.01" in message
    assert "broken failed (RuntimeError: no such operation)" in message
    assert choose_backend([bundle], *windows(), 1, Reporter(Listener(said))) == "torch"
    assert "1 windows take it about 5 s" in said[-1].message


def test_auto_choice_is_kept_on_resume(tmp_path, small_tiles, monkeypatch):
    from geopointseg.prediction import predictor

    bundle = network_bundle(tmp_path / "m", **UNET)
    scene = write_scene(tmp_path / "s.tif", image_of((200, 130)))
    calls = []

    def choose(bundles, image, valid, count, reporter):
        calls.append(image.shape)
        return "onnxruntime"

    monkeypatch.setattr(predictor, "choose_backend", choose)
    pytest.importorskip("onnxruntime")
    listener = Listener([], cancel_after=3)
    listener.reporter = Reporter(listener)
    with pytest.raises(Exception, match="Cancelled"):
        predict(
            bundle, scene, tmp_path / "map.tif", backend="auto", reporter=listener.reporter, **SMALL
        )
    done = predict(bundle, scene, tmp_path / "map.tif", backend="auto", resume=True, **SMALL)
    assert done.backend == "onnxruntime"
    assert calls == [(1, 2, 64, 64)]


def test_missing_backend_by_its_words(monkeypatch):
    monkeypatch.setattr(backend.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'geopointseg\[openvino\]'"):
        require_backend("openvino")
    assert set(available_backends()) <= {"torch", "torch-bf16"}


def test_a_network_that_cannot_be_traced_still_runs(tmp_path, monkeypatch):
    import torch

    def fail(*_, **__):
        raise RuntimeError("untraceable")

    monkeypatch.setattr(torch.jit, "trace", fail)
    bundle = network_bundle(tmp_path / "m")
    image, valid = windows(1)
    found = accelerate(bundle, "torch").members[0].probabilities(image, valid)
    np.testing.assert_allclose(found, bundle.members[0].probabilities(image, valid), atol=1e-6)
