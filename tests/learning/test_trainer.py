"""How a step is taken: the floats it is taken with."""

import pytest
import torch

from geopointseg.config import Config
from geopointseg.learning.consistency import AveragedNetwork
from geopointseg.learning.objective import Objective
from geopointseg.learning.trainer import choose_precision
from geopointseg.sampling.augmentation import Batch


@pytest.mark.parametrize(
    ("has_fast", "precision", "expected"),
    [(True, "auto", "bf16-mixed"), (False, "auto", "32-true"), (True, "float32", "32-true")],
)
def test_16_bits_are_taken_where_they_are_fast(monkeypatch, has_fast, precision, expected) -> None:
    monkeypatch.setattr("geopointseg.learning.trainer.has_bfloat16", lambda: has_fast)
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
