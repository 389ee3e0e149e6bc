"""How a step is taken: the floats it is taken with."""

import errno
import sys

import pytest
import torch

from geopointseg.config import Config
from geopointseg.learning.consistency import AveragedNetwork
from geopointseg.learning.objective import Objective
from geopointseg.learning.trainer import build_optimizer, choose_precision, write_checkpoint
from geopointseg.model.architecture import build_network
from geopointseg.sampling.augmentation import Batch


@pytest.mark.parametrize(
    ("has_fast", "precision", "expected"),
    [(True, "auto", "bf16-mixed"), (False, "auto", "32-true"), (True, "float32", "32-true")],
)
def test_16_bits_are_taken_where_they_are_fast(monkeypatch, has_fast, precision, expected) -> None:
    monkeypatch.setattr("geopointseg.learning.trainer.has_bfloat16", lambda device: has_fast)
    settings = Config().updated({"optimization": {"precision": precision}}).optimization
    assert choose_precision(torch.device("cpu"), settings) == expected


def test_a_step_in_16_bits_varies_images_in_32() -> None:
    config = Config().updated({"augmentation": {"blur_probability": 1.0}})
    objective = Objective(config, torch.ones(2), torch.full((2,), 0.5))
    network = torch.nn.Conv2d(3, 2, 3, padding=1)
    image, mask = torch.randn(4, 3, 32, 32), torch.randint(-1, 2, (4, 32, 32))
    batch = Batch(image, mask, torch.ones(4, 32, 32), torch.ones(4, 32, 32, dtype=torch.bool))
    losses = []
    for enabled in (True, False):
        generator = torch.Generator().manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            found = objective(network, AveragedNetwork(network, 0.9), batch, 0.5, generator)
        losses.append(sum(found.values()).item())
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_stages_of_the_encoder_learn_at_their_own_rates() -> None:
    network = build_network("unet", "resnet18", bands=3, classes=2, encoder_depth=3)
    rates = {"encoder_learning_rate": 1e-3, "decoder_learning_rate": 2e-3}
    for decay, expected in ((1.0, {1e-3, 2e-3}), (0.5, {2.5e-4, 5e-4, 1e-3, 2e-3})):
        settings = Config().updated({"optimization": {**rates, "encoder_rate_decay": decay}})
        groups = build_optimizer(network, settings.optimization).param_groups
        assert {group["peak"] for group in groups} == expected
        rate_of = {id(p): group["peak"] for group in groups for p in group["params"]}
        assert len(rate_of) == len(list(network.parameters()))
        assert rate_of[id(network.encoder.conv1.weight)] == min(expected)
        assert rate_of[id(network.encoder.layer2[1].conv2.weight)] == 1e-3


def test_no_weight_decay_still_trains_everything_once() -> None:
    network = build_network(
        architecture="unet",
        bands=3,
        classes=2,
        encoder="resnet18",
        encoder_depth=3,
        decoder_channels=[16, 8, 8],
    )
    for decay in (0.0, 0.01):
        settings = Config().updated({"optimization": {"weight_decay": decay}}).optimization
        groups = build_optimizer(network, settings).param_groups
        trained = [id(p) for group in groups for p in group["params"]]
        assert sorted(trained) == sorted(id(p) for p in network.parameters())
        assert {group["weight_decay"] for group in groups} == {0.0, decay}


@pytest.mark.skipif(sys.platform != "linux", reason="a device that is always full")
def test_a_checkpoint_that_finds_no_room_says_so(tmp_path):
    (tmp_path / "last.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        write_checkpoint(tmp_path / "last.ckpt", {"weight": torch.zeros(9)})
    assert caught.value.errno == errno.ENOSPC
    assert not (tmp_path / "last.ckpt").exists()
