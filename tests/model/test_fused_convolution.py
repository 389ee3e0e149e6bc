"""Fused convolutions, strips and bands give the numbers of the plain network."""

import numpy as np
import pytest
import torch
from torch import nn

from geopointseg.model import backbone as backbone_module
from geopointseg.model import fused_convolution
from geopointseg.model.architecture import build_network
from geopointseg.model.backbone import build_backbone
from geopointseg.model.fused_convolution import FusedConvolution, fuse_convolutions
from geopointseg.model.linear import LinearBody


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def backbone():
    return build_backbone()


@pytest.mark.parametrize("shape", [(64, 96), (97, 131), (64, 33), (32, 32)])
def test_a_fused_backbone_has_the_same_features(backbone, shape):
    fused, image = fuse_convolutions(backbone), noise(2, 3, *shape)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fused.modules())
    with torch.inference_mode():
        for found, expected in zip(fused(image), backbone(image), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-4)


def test_the_encoder_of_the_default_network_is_fused():
    network = build_network(
        "fpn", "tu-tf_efficientnet_lite0", bands=4, classes=3, encoder_depth=5
    ).eval()
    fused, image = fuse_convolutions(network), noise(1, 4, 64, 96)
    assert sum(isinstance(m, FusedConvolution) for m in fused.modules()) == 48
    with torch.inference_mode():
        torch.testing.assert_close(fused(image), network(image), rtol=1e-3, atol=1e-3)
    assert any(isinstance(m, nn.BatchNorm2d) for m in network.modules())


class Ahead(nn.Module):
    """Applies the normalization before the convolution that precedes it among the children."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2)
        self.norm.act = nn.ReLU()
        self.norm.running_mean.fill_(0.3)

    def forward(self, image):
        return self.conv(self.norm(image))


@pytest.mark.parametrize(
    "case", ["training", "other order", "no activation", "no operation", "double"]
)
def test_other_networks_stay_as_they_are(backbone, monkeypatch, case):
    network = {
        "other order": lambda: Ahead().eval(),
        "no activation": lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)).eval(),
        "training": lambda: build_backbone().train(),
        "double": lambda: build_backbone().double(),
    }.get(case, lambda: backbone)()
    if case == "no operation":
        monkeypatch.setattr(fused_convolution.torch.backends.mkldnn, "is_available", lambda: False)
    assert fuse_convolutions(network) is network


def test_strips_are_exact(backbone, monkeypatch):
    image = noise(2, 3, 224, 96)
    with torch.inference_mode():
        whole = backbone(image)
        monkeypatch.setattr(backbone_module, "STRIP_PX", 32)
        for found, expected in zip(backbone(image), whole, strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("depth", [2, 3, 6])
def test_stages_can_be_reduced_in_strips(monkeypatch, depth):
    backbone, image = build_backbone(depth=depth), noise(1, 3, 224, 96)
    monkeypatch.setattr(backbone_module, "STRIP_PX", 32)
    rows = []

    def prepare(part):
        rows.append(part.shape[2])
        return 2 * part

    with torch.inference_mode():
        expected = [stage.mean(1) + k for k, stage in enumerate(backbone(2 * image))]
        found = backbone(image, prepare, lambda k, stage: stage.mean(1, keepdim=True) + k)
    assert max(rows) < 224
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one[:, 0], other, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "part", [np.s_[:, :], np.s_[32:128, 64:224], np.s_[5:77, 0:101], np.s_[100:160, 123:199]]
)
@pytest.mark.parametrize("count", [1, 2])
def test_a_part_of_the_linear_model_is_cut_from_the_whole(backbone, part, count):
    body, image = LinearBody(4, 3, backbone).eval(), noise(count, 4, 160, 224)
    with torch.inference_mode():
        expected = torch.softmax(body(image), dim=1)[..., *part]
        found = body.probabilities(image, *part)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)
