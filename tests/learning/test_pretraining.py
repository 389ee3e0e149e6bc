"""Pretraining on unlabelled scenes, and training from what it wrote."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
import torch
from rasterio.enums import ColorInterp
from safetensors.torch import load_file

from geopointseg.config import Config
from geopointseg.errors import Cancelled, OutputError, TrainingError
from geopointseg.learning import trainer
from geopointseg.learning.consistency import AveragedNetwork
from geopointseg.learning.pretraining import Reconstruction, mask_squares, pretrain
from geopointseg.learning.training import train
from geopointseg.model.weight_bands import match_bands
from geopointseg.model.weight_sources import find_weights
from geopointseg.progress import Reporter
from geopointseg.raster.scene import Scene
from geopointseg.sampling.augmentation import Batch
from tests.learning.conftest import Recorder


def test_pretrained_folder_starts_a_training(place, tiny, tmp_path) -> None:
    config = tiny.updated({"optimization": {"steps": 80}})
    summary = pretrain(place.path, output=tmp_path / "w", config=config, device="cpu")
    assert summary["steps"] == 80
    assert summary["bands"] == ["red", "green", "nir"]
    assert (
        summary["loss"] < 1.0
    )  # of the deviation of the imagery: better than painting everything in the mean
    assert {p.name for p in (tmp_path / "w").iterdir()} == {
        "training",
        "weights.json",
        "weights.safetensors",
    }
    frozen = tiny.updated({"model": {"freeze_encoder": True}, "teaching": {"ema_decay": 0.0}})
    train(
        place.path, place.points, output=tmp_path / "m", config=frozen, weights=str(tmp_path / "w"), steps=2,
        model="network", device="cpu",
    )  # fmt: skip
    pretrained = load_file(tmp_path / "w" / "weights.safetensors")
    trained = load_file(tmp_path / "m" / "model.safetensors")
    kept = {
        k: torch.equal(v, trained[f"network.0.{k}"])
        for k, v in pretrained.items()
        if ".encoder." in k
    }
    assert kept
    assert all(kept.values())


def test_bands_known_by_their_colour_and_number_meet_again(place, tiny, tmp_path) -> None:
    colors = [ColorInterp.red, ColorInterp.green, ColorInterp.undefined]
    with (
        rasterio.open(place.path) as source,
        rasterio.open(tmp_path / "a.tif", "w", **source.profile) as copy,
    ):
        copy.write(source.read())
        copy.colorinterp = colors
    config = tiny.updated({"optimization": {"steps": 1}})
    pretrain(tmp_path / "a.tif", output=tmp_path / "w", config=config, device="cpu")
    weights = find_weights(str(tmp_path / "w"), "resnet18")
    scene = Scene.open(tmp_path / "a.tif")
    assert weights.encoder_depth == 3
    assert match_bands(weights.bands, scene.bands, common=weights.common_names) == [0, 1, 2]


def test_same_seed_same_weights(place, tiny, tmp_path) -> None:
    config = tiny.updated({"optimization": {"steps": 3}})
    for name in "ab":
        pretrain(place.path, output=tmp_path / name, config=config, seed=2, device="cpu")
    a, b = (load_file(tmp_path / name / "weights.safetensors") for name in "ab")
    assert all(torch.equal(a[k], b[k]) for k in a)
    described = json.loads((tmp_path / "a" / "weights.json").read_text())
    assert described["seed"] == 2
    assert len(described["normalization"]["mean"]) == 3


def test_folder_of_somebody_else_is_left_alone(place, tiny, tmp_path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "notes.txt").write_text("x")
    with pytest.raises(OutputError, match=r"holds something that is not a model of this kind"):
        pretrain(place.path, output=tmp_path / "w", config=tiny)


def test_cancelled_pretraining_leaves_nothing(place, tiny, tmp_path) -> None:
    reporter = Reporter()
    reporter.cancel()
    with pytest.raises(Cancelled):
        pretrain(place.path, output=tmp_path / "w", config=tiny, reporter=reporter)
    assert list(tmp_path.iterdir()) == []


def test_stopped_pretraining_goes_on_to_the_same_weights(place, tiny, tmp_path) -> None:
    config = tiny.updated({"optimization": {"steps": 8}})
    pretrain(place.path, output=tmp_path / "whole", config=config, device="cpu")
    with pytest.raises(Cancelled):
        pretrain(
            place.path, output=tmp_path / "w", config=config, device="cpu", reporter=Recorder(cancel_at=5).reporter
        )  # fmt: skip
    with pytest.raises(TrainingError, match=r"other imagery, settings or another seed"):
        pretrain(place.path, output=tmp_path / "w", config=config, seed=1, resume=True)
    pretrain(place.path, output=tmp_path / "w", config=config, resume=True, device="cpu")
    whole, resumed = (load_file(tmp_path / n / "weights.safetensors") for n in ("whole", "w"))
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)
    longer = config.updated({"optimization": {"steps": 10}})
    summary = pretrain(place.path, output=tmp_path / "w", config=longer, resume=True, device="cpu")
    assert summary["steps"] == 10


def fail_half_way(monkeypatch) -> None:
    """Let the loss stop being a number."""
    original = Reconstruction.__call__

    def spoilt(self, network, averaged, batch, progress, generator):
        losses = original(self, network, averaged, batch, progress, generator)
        return losses if progress < 0.5 else {"reconstruction": losses["reconstruction"] * np.nan}

    monkeypatch.setattr(Reconstruction, "__call__", spoilt)


def test_pretraining_that_fails_keeps_its_last_good_weights(
    place, tiny, tmp_path, monkeypatch
) -> None:
    fail_half_way(monkeypatch)
    config = tiny.updated({"optimization": {"steps": 8}})
    with pytest.raises(TrainingError, match=r"loss is nan at step 4.* No earlier state was kept"):
        pretrain(place.path, output=tmp_path / "w", config=config, device="cpu")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(trainer, "CHECKPOINT_S", 0.0)
    with pytest.raises(
        TrainingError, match=r"last good weights are those of step 4.*kept in .*w\.step-4"
    ):
        pretrain(place.path, output=tmp_path / "w", config=config, device="cpu")
    assert [p.name for p in tmp_path.iterdir()] == ["w.step-4"]
    assert find_weights(str(tmp_path / "w.step-4"), "resnet18").encoder_depth == 3


def test_last_good_weights_never_replace_what_is_somebody_elses(
    place, tiny, tmp_path, monkeypatch
) -> None:
    fail_half_way(monkeypatch)
    monkeypatch.setattr(trainer, "CHECKPOINT_S", 0.0)
    (tmp_path / "w.step-4").mkdir()
    (tmp_path / "w.step-4" / "notes.txt").write_text("x")
    config = tiny.updated({"optimization": {"steps": 8}})
    with pytest.raises(OutputError, match=r"left as it is; move it away"):
        pretrain(place.path, output=tmp_path / "w", config=config, device="cpu")
    assert (tmp_path / "w.step-4" / "notes.txt").exists()
    monkeypatch.undo()
    assert pretrain(place.path, output=tmp_path / "w", config=config, resume=True)["steps"] == 8


def test_statistics_are_those_of_chips_of_which_nothing_is_hidden(place, tiny, tmp_path) -> None:
    hidden = {"mask_share": 0.9, "noise": 2.0}
    config = tiny.updated({"optimization": {"steps": 2}, "pretraining": hidden})
    pretrain(place.path, output=tmp_path / "w", config=config, device="cpu")
    tensors = load_file(tmp_path / "w" / "weights.safetensors")
    means = {k: v for k, v in tensors.items() if k.endswith("encoder.bn1.running_mean")}
    assert means
    plain = tiny.updated({"optimization": {"steps": 2}})
    pretrain(place.path, output=tmp_path / "p", config=plain, device="cpu")
    other = load_file(tmp_path / "p" / "weights.safetensors")
    for name in means:
        deviation = tensors[name.replace("mean", "var")].sqrt()
        assert ((tensors[name] - other[name]).abs() < 0.35 * deviation + 0.05).all()


def test_chips_are_varied_in_32_bits_where_networks_run_in_16() -> None:
    objective = Reconstruction(Config().updated({"augmentation": {"blur_probability": 1.0}}))
    network = torch.nn.Conv2d(3, 3, 3, padding=1)
    image, valid = torch.randn(4, 3, 32, 32), torch.ones(4, 32, 32, dtype=torch.bool)
    losses = []
    for enabled in (True, False):
        generator = torch.Generator().manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            found = objective(
                network, AveragedNetwork(network, 0.9), Batch(image, valid=valid), 0.5, generator
            )
        losses.append(found["reconstruction"].item())
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.75])
def test_hidden_squares_are_squares_and_of_the_wanted_share(share) -> None:
    hidden = mask_squares(torch.zeros(3, 2, 32, 32), share, 8, torch.Generator().manual_seed(0))
    squares = hidden.view(3, 4, 8, 4, 8).float().mean((2, 4))
    assert torch.all((squares == 0) | (squares == 1))
    assert torch.allclose(squares.mean((1, 2)), torch.full((3,), share))
