"""Backends agree with PyTorch, and the choice among them is logged."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
import torch

from geopointseg.config import Config
from geopointseg.errors import MissingDependencyError
from geopointseg.prediction import backend
from geopointseg.prediction import backend_choice as choice
from geopointseg.prediction.backend import (
    PARITY,
    AcceleratedMember,
    accelerate,
    available_backends,
    choose_backend,
    require_backend,
)
from geopointseg.prediction.backend_choice import (
    decide_backend,
    name_backend,
    require_requested_backend,
)
from geopointseg.prediction.prediction_job import PredictionJob
from geopointseg.prediction.predictor import predict
from geopointseg.prediction.work_folder import WorkFolder
from geopointseg.progress import Reporter
from geopointseg.raster.class_map import ClassMap
from geopointseg.raster.scene import Scene
from tests.prediction.conftest import (
    SMALL,
    BlurMember,
    Listener,
    backbone_bundle,
    image_of,
    loose_bundle,
    network_bundle,
    write_scene,
)

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


@pytest.mark.parametrize("name", ["torch", "onnxruntime", "openvino"])
@pytest.mark.parametrize("architecture", ["linear", "pyramid"])
def test_backends_agree_with_networks_on_the_backbone(tmp_path, name, architecture):
    """Batches of one and two windows that are larger than a strip of rows."""
    if name != "torch":
        pytest.importorskip(name)
    bundle = backbone_bundle(tmp_path / "m", architecture)
    image, valid = windows(side=256, bands=4)
    expected = bundle.members[0].probabilities(image, valid)
    member = accelerate(bundle, name).members[0]
    for count in (2, 1):
        found = member.probabilities(image[:count], valid[:count])
        np.testing.assert_allclose(found, expected[:count], atol=PARITY)


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
    assert "openvino 0.500 s per window but a difference of 0.01" in message
    assert "broken failed (RuntimeError: no such operation)" in message
    assert choose_backend([bundle], *windows(), 1, Reporter(Listener(said))) == "torch"
    assert "1 windows take about 5 s with it" in said[-1].message


def test_auto_choice_is_kept_on_resume(tmp_path, small_tiles, monkeypatch):
    bundle = network_bundle(tmp_path / "m", **UNET)
    scene = write_scene(tmp_path / "s.tif", image_of((200, 130)))
    calls = []

    def choose(bundles, image, valid, count, reporter):
        calls.append(image.shape)
        return "onnxruntime"

    monkeypatch.setattr(choice, "choose_backend", choose)
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


@pytest.fixture
def no_packages(monkeypatch):
    """Hide the packages of all backends but PyTorch."""
    real = importlib.util.find_spec
    hidden = {"onnx", "onnxruntime", "openvino"}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name in hidden else real(name, *a)
    )


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_lacking_backend_is_refused_before_anything_is_made(tmp_path, no_packages, name):
    bundle = network_bundle(tmp_path / "m", **UNET)
    scene = write_scene(tmp_path / "s.tif", image_of((150, 130)))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(MissingDependencyError, match=rf"'{name}' was requested"):
        predict(bundle, scene, tmp_path / "a.tif", backend=name, **SMALL)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "auto", "torch"])
def test_models_without_networks_need_no_backend(tmp_path, no_packages, name):
    bundle = loose_bundle(tmp_path / "m", BlurMember())
    scene = write_scene(tmp_path / "s.tif", image_of((150, 130)))
    done = predict(bundle, scene, tmp_path / "a.tif", backend=name, **SMALL)
    assert done.backend == done.to_json()["backend"] == "none"


def test_what_is_told_is_what_ran_on_a_gpu(tmp_path, no_packages):
    """Networks on a GPU run in PyTorch for any requested backend, so no package is needed for them."""
    bundle = network_bundle(tmp_path / "m", **UNET)
    [member] = bundle.members
    on_gpu = replace(bundle, members=(replace(member, device=torch.device("cuda")),))
    scene = Scene.open(write_scene(tmp_path / "s.tif", image_of((150, 130))))
    said = []
    for bundles, told in (
        ((on_gpu,), "torch"),
        ((bundle,), "onnxruntime"),
        ((on_gpu, bundle), "onnxruntime, torch"),
    ):
        settings = Config().updated({"prediction": {"backend": "onnxruntime"}}).prediction
        job = PredictionJob(
            ("m",) * len(bundles), (scene,), settings, device="cuda", bundles=bundles
        )
        if bundles == (on_gpu,):
            require_requested_backend(job, Reporter(Listener(said)))
        else:
            with pytest.raises(MissingDependencyError, match="'onnxruntime' was requested"):
                require_requested_backend(job, Reporter(Listener(said)))
        chosen = decide_backend(job, WorkFolder(tmp_path), Reporter(Listener(said)))
        assert name_backend(replace(job, backend=chosen)) == told
    assert [event.message for event in said] == [
        "Backend: torch, because networks on a GPU do not run in onnxruntime."
    ]


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
