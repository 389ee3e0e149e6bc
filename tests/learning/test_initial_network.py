"""What a training starts with: the weights' own normalization where the scene has their units."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from geopointseg.config import Config
from geopointseg.learning.initial_network import build_initial_network, network_options
from geopointseg.learning.training import train
from geopointseg.model.architecture import build_network
from geopointseg.model.bundle import ModelBundle
from geopointseg.model.member import Normalization
from geopointseg.model.weights import InitialWeights
from geopointseg.progress import Reporter
from geopointseg.raster.band import Band
from geopointseg.raster.scene import Scene

OWN = Normalization(np.array([90.0, 80.0]), np.array([20.0, 30.0]))
IMAGENET = Normalization(np.array([124.0, 116.0, 104.0]), np.array([58.0, 57.0, 57.0]))


def scene(dtype: str = "uint8", **options) -> SimpleNamespace:
    return SimpleNamespace(dtype=dtype, bands=(Band(1, "red", **options), Band(2, "nir")))


@pytest.fixture
def start(monkeypatch):
    """Start from weights of photographs: the normalization, and what was told."""
    config = Config().updated({"model": {"weights": "imagenet"}})
    state = build_network(bands=3, classes=2, **network_options(config)).encoder.state_dict()
    weights = InitialWeights(
        "imagenet", state, "encoder", ("red", "green", "blue"), IMAGENET, is_8_bit=True
    )
    monkeypatch.setattr("geopointseg.learning.initial_network.find_weights", lambda *_: weights)
    imagery = SimpleNamespace(bands=2, classes=2, normalization=lambda: OWN)

    def run(*scenes) -> tuple[Normalization, str]:
        events = []
        sink = SimpleNamespace(emit=events.append, close=lambda: None)
        _, found = build_initial_network(imagery, scenes, config, 0, Reporter(sink))
        return found, events[-1].message

    return run


def test_photographs_normalize_red_of_8_bits_and_the_scene_the_rest(start) -> None:
    found, told = start(scene())
    assert found.mean.tolist() == [124.0, 80.0]
    assert found.std.tolist() == [58.0, 30.0]
    assert "1 by the scene's own statistics, the others by the statistics of the weights" in told


@pytest.mark.parametrize("other", [scene("uint16"), scene("float32"), scene(scale=0.01)])
def test_scenes_in_other_units_keep_their_statistics(start, other) -> None:
    found, told = start(scene(), other)
    assert found is OWN
    assert told == "Bands are normalized by the scene's own statistics."


def test_a_training_takes_the_upsampling_of_its_settings(place, tiny, tmp_path) -> None:
    settings = {"architecture": "fcn", "upsampling": "unpooling"}
    config = tiny.updated({"model": settings})
    output = tmp_path / "model"
    train(place.path, place.points, output=output, config=config, model="network", steps=60)
    bundle = ModelBundle.load(output)
    (member,) = bundle.members
    assert member.options["upsampling"] == "unpooling"
    chip = Scene.open(place.path).read()
    p = bundle.probabilities(chip.image[None], chip.valid[None])[0]
    assert (p.argmax(0) == place.truth)[chip.valid].mean() > 0.8
