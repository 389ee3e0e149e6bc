"""What a training starts with: the weights' own normalization where the scene has their units."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from geopointseg.config import Config
from geopointseg.errors import MissingDependencyError
from geopointseg.learning.initial_network import (
    build_initial_network,
    network_options,
    resolve_network,
)
from geopointseg.learning.selection import weigh_on_coarse_imagery, weigh_on_frozen_encoder
from geopointseg.learning.training import train
from geopointseg.learning.training_job import TrainingJob
from geopointseg.model.architecture import build_network
from geopointseg.model.backbone import INPUT_MEAN, build_backbone
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


def colored(*names: str, resolution_m: float = 0.5) -> SimpleNamespace:
    bands = tuple(Band(k + 1, name) for k, name in enumerate(names))
    return SimpleNamespace(
        bands=bands, embedding=None, dtype="uint8", grid=SimpleNamespace(resolution_m=resolution_m)
    )


@pytest.fixture
def start(monkeypatch):
    """Start from weights of photographs: the normalization, and what was told."""
    settings = {"architecture": "unet", "encoder": "resnet18", "weights": "imagenet"}
    config = Config().updated({"model": settings})
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


RGB = ("red", "green", "blue")
PLAIN = ("unet", "resnet18", 3, "none", False)
EYES = ("pyramid", "tu-tf_efficientnet_lite0", 5, "imagenet", True)


@pytest.mark.parametrize(
    ("settings", "place", "expected"),
    [
        ({}, colored(*RGB), EYES),
        ({}, colored("nir", "blue", "green", "red"), EYES),
        ({}, colored("", "", ""), EYES),
        ({}, colored("green", "nir", "red"), EYES),
        ({}, colored(""), EYES),
        ({}, colored("", resolution_m=15.0), PLAIN),
        ({}, colored(*RGB, resolution_m=10.0), PLAIN),
        ({}, colored("vv", "vh"), PLAIN),
        ({"weights": "none"}, colored(*RGB), PLAIN),
        ({"weights": "imagenet"}, colored(*RGB, resolution_m=30.0), EYES),
        ({"encoder": "resnet34"}, colored(*RGB), ("unet", "resnet34", 3, "none", False)),
        ({"architecture": "fcn"}, colored(*RGB), ("fcn", "resnet18", 3, "none", False)),
        ({"encoder_depth": 4}, colored(*RGB), ("unet", "resnet18", 4, "none", False)),
        ({"decoder_channels": [32, 16, 8]}, colored(*RGB), PLAIN),
        ({"norm": "group"}, colored(*RGB), PLAIN),
        ({"upsampling": "transposed"}, colored(*RGB), PLAIN),
        ({"weights": "somewhere"}, colored(*RGB), ("unet", "resnet18", 3, "somewhere", False)),
    ],
)
def test_colour_imagery_of_small_pixels_gets_the_frozen_backbone(settings, place, expected) -> None:
    resolved = resolve_network(Config().updated({"model": settings}), [place], Reporter())
    model = resolved.model
    found = (
        model.architecture, model.encoder, model.encoder_depth, model.weights, model.freeze_encoder,
    )  # fmt: skip
    assert found == expected
    assert resolved.sampling.wide_steps == ("half" if expected == EYES else "none")


@pytest.mark.parametrize("wanted", ["none", "half"])
@pytest.mark.parametrize("names", [RGB, ("vv", "vh")])
def test_steps_with_wide_chips_are_those_that_were_asked_for(wanted, names) -> None:
    config = Config().updated({"sampling": {"wide_steps": wanted}})
    assert resolve_network(config, [colored(*names)], Reporter()).sampling.wide_steps == wanted


@pytest.mark.parametrize(
    ("names", "has_own_chips", "side"),
    [(RGB, False, 96), (RGB, True, 192), (("vv", "vh"), False, 192)],
)
def test_two_sizes_are_the_same_on_every_device(names, has_own_chips, side) -> None:
    on_gpu = Config().on_device("cuda")
    found = resolve_network(on_gpu, [colored(*names)], Reporter(), has_own_chips=has_own_chips)
    assert found.sampling.chip_size == side


def test_without_the_weights_a_training_says_so_and_goes_on(monkeypatch) -> None:
    def missing(_):
        raise MissingDependencyError("The package is not installed.")

    monkeypatch.setattr("geopointseg.learning.initial_network.pretrained_state", missing)
    events = []
    sink = SimpleNamespace(emit=events.append, close=lambda: None)
    model = resolve_network(Config(), [colored(*RGB)], Reporter(sink)).model
    assert (model.architecture, model.weights) == ("unet", "none")
    assert events[-1].message == (
        "The package is not installed. The network starts from random weights."
    )
    wanted = Config().updated({"model": {"weights": "imagenet"}})
    with pytest.raises(MissingDependencyError):
        resolve_network(wanted, [colored(*RGB)], Reporter())


@pytest.mark.parametrize(
    ("names", "seen"),
    [
        (("nir", "blue", "green", "red"), [3, 2, 1]),
        (("green", "nir", "red"), [1, 2, 0]),
        (("",), [0, 0, 0]),
    ],
)
def test_the_frozen_encoder_sees_the_colours_and_no_other_band(names, seen) -> None:
    count = len(names)
    own = Normalization(np.full(count, 90.0), np.full(count, 20.0))
    imagery = SimpleNamespace(bands=count, classes=2, normalization=lambda: own)
    network, normalization = build_initial_network(
        imagery, [colored(*names)], Config(), 0, Reporter()
    )
    network.eval()
    image = torch.rand(1, count, 64, 64)
    expected = build_backbone()(image[:, seen])
    found = network.encoder(image)
    assert torch.allclose(found[0], expected[0], rtol=1e-3, atol=1e-4)
    means = [255 * INPUT_MEAN if k in seen else 90.0 for k in range(count)]
    assert normalization.mean.tolist() == pytest.approx(means)
    trained = [p for p in network.parameters() if p.requires_grad]
    assert trained
    assert not any(p.requires_grad for p in network.encoder.parameters())


@pytest.mark.parametrize(
    ("place", "frozen", "prior"),
    [
        (colored(*RGB), True, weigh_on_frozen_encoder),
        (colored(*RGB), False, None),
        (colored("nir", *RGB), True, None),
        (colored(*RGB, resolution_m=10.0), True, weigh_on_coarse_imagery),
    ],
)
def test_weights_of_members_are_known_for_frozen_encoders_that_see_all_bands_and_for_coarse_imagery(
    place, frozen, prior
) -> None:
    config = Config().updated({"model": {"freeze_encoder": frozen}})
    job = SimpleNamespace(config=config, prepared=SimpleNamespace(scenes=[place]))
    assert TrainingJob.known_weights.fget(job) is prior
