"""A network that cannot learn one chip by heart cannot learn anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from geopointseg.config import Config
from geopointseg.labels.sparse_mask import SparseMask
from geopointseg.landscape import make_landscape, write_scene
from geopointseg.learning.training import train
from geopointseg.raster.scene import Scene


def test_one_chip_is_learnt_by_heart(tmp_path: Path) -> None:
    landscape = make_landscape(64, 64, seed=5)
    write_scene(landscape, str(tmp_path / "scene.tif"))
    scene = Scene.open(tmp_path / "scene.tif")
    rng = np.random.default_rng(0)
    clicked = np.where(rng.random(landscape.truth.shape) < 0.1, landscape.truth.astype(int), -1)
    mask = SparseMask.from_array(clicked, scene.grid, landscape.legend)
    plain = {
        "symmetry": False, "scale": 1.0, "gain": 0.0, "offset": 0.0, "gamma": 1.0, "noise": 0.0, "blur": 0.0,
    }  # fmt: skip
    config = Config().updated(
        {
            "augmentation": plain,
            "sampling": {"chip_size": 64, "batch_size": 2},
            "optimization": {"steps": 200},
            "selection": {"held_out": 0.0},
            "teaching": {"distillation_weight": 0.0, "ema_decay": 0.0},
        }
    )
    model = train([scene], [mask], output=tmp_path / "model", config=config, model="network")
    chip = scene.read()
    predicted = model.probabilities(chip.image[None], chip.valid[None])[0].argmax(axis=0)
    learnt = predicted[mask.row, mask.col] == mask.class_index
    assert learnt[chip.valid[mask.row, mask.col]].mean() > 0.98
