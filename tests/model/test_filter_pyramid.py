"""The pyramid of fixed filters."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from geopointseg.model.architecture import build_network
from geopointseg.model.backbone import LITE0
from geopointseg.model.filter_pyramid import FILTERS, STRIDES, FilterPyramid, JoinedBackbones
from geopointseg.model.linear import build_linear_body


def test_stages_have_the_sizes_that_are_told() -> None:
    pyramid = FilterPyramid()
    stages = pyramid(torch.randn(2, 3, 64, 96))
    assert (
        tuple(64 // s.shape[2] for s in stages)
        == tuple(96 // s.shape[3] for s in stages)
        == STRIDES
    )
    assert tuple(s.shape[1] for s in stages) == pyramid.channels == (18, 12, 12, 12, 12)


def test_a_constant_image_has_its_mean_and_no_texture() -> None:
    for stage in FilterPyramid()(torch.full((1, 3, 64, 64), 2.0)):
        mean, spread, slope, laplacian = stage[0, :12].split(3)
        assert torch.allclose(mean, torch.tensor(2.0))
        assert max(spread.abs().max(), slope.abs().max(), laplacian.abs().max()) < 1e-3
    products = FilterPyramid()(torch.full((1, 3, 64, 64), 2.0))[0][0, 12:]
    assert torch.allclose(products, torch.tensor(4.0))


def test_statistics_are_those_of_the_pixels_below() -> None:
    image = torch.from_numpy(
        np.random.default_rng(0).normal(size=(1, 3, 64, 64)).astype(np.float32)
    )
    stage = FilterPyramid()(image)[1][0]  # stride 4
    blocks = image[0, :, 16:28, 20:32]
    assert torch.allclose(stage[:3, 5, 6], blocks[:, 4:8, 4:8].mean(dim=(1, 2)), atol=1e-5)
    spread = blocks.std(dim=(1, 2), unbiased=False)
    assert torch.allclose(stage[3:6, 5, 6], spread, atol=1e-4)


def test_a_ramp_has_its_slope() -> None:
    ramp = torch.arange(64.0).expand(1, 3, 64, 64) / 10
    for stride, stage in zip(STRIDES[:3], FilterPyramid()(ramp)[:3], strict=True):
        slope = stage[0, 6:9, 2:-2, 2:-2] if stage.shape[2] > 4 else stage[0, 6:9]
        assert torch.allclose(slope, torch.tensor(0.2 * stride), atol=1e-4)


@pytest.mark.parametrize(
    ("encoder", "parts"), [(FILTERS, 0), (f"{LITE0}+{FILTERS}", 2), (LITE0, 0)]
)
def test_linear_networks_are_built_by_the_name_of_their_encoder(encoder, parts) -> None:
    body = build_linear_body(4, 3, encoder)
    assert isinstance(body.encoder, JoinedBackbones) == (parts > 0)
    assert body.output_stride == 32
    network = build_network("linear", encoder, bands=4, classes=3, encoder_depth=6).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 4, 40, 50)).shape == (1, 3, 40, 50)
    if parts:
        stages = body.encoder(torch.randn(1, 3, 64, 64))
        assert [s.shape[1] for s in stages] == list(body.encoder.channels)
        assert len(stages) == 6 + len(STRIDES)
