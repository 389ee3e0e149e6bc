"""The pyramid on a backbone: pixels stay in place, and reading it imports little."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from geopointseg.errors import ConfigError
from geopointseg.model import pyramid
from geopointseg.model.architecture import build_network
from geopointseg.model.backbone import LITE0, pretrained_state
from geopointseg.model.fused_convolution import fuse_convolutions
from geopointseg.model.member import NetworkMember, Normalization

ENCODER = f"tu-{LITE0}"


def trained(**options):
    """A network whose decoder and statistics are random, and whose classes therefore differ from pixel to pixel."""
    torch.manual_seed(0)
    network = build_network("pyramid", ENCODER, bands=3, classes=4, encoder_depth=5, **options)
    network.encoder.load_state_dict(pretrained_state(LITE0), strict=False)
    for module in network.body.heads.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.01, 0.05)
    nn.init.normal_(network.body.classifier.weight, std=0.02)
    return network.eval()


def noise(rows, cols, bands=3, smooth=8):
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(1, bands, -(-rows // smooth), -(-cols // smooth), generator=generator)
    return nn.functional.interpolate(coarse, scale_factor=smooth, mode="bilinear")[
        ..., :rows, :cols
    ]


@pytest.mark.parametrize(("rows", "cols"), [(64, 96), (37, 50), (32, 32)])
def test_logits_have_the_size_of_the_image(rows, cols) -> None:
    with torch.inference_mode():
        assert trained()(noise(rows, cols)).shape == (1, 4, rows, cols)


def test_with_the_statistics_of_the_training_probabilities_do_not_depend_on_the_window() -> None:
    network = trained(norm="batch")
    image = noise(1152, 1152)
    with torch.inference_mode():
        whole = torch.softmax(network(image), dim=1)[..., 480:672, 480:672]
        part = torch.softmax(network(image[..., 64:1088, 32:1120]), dim=1)[..., 416:608, 448:640]
    assert float(whole.std()) > 0.05
    assert float((whole - part).abs().max()) < 1e-3


def test_interpolation_keeps_the_centres_of_pixels_in_place() -> None:
    network = trained(norm="batch").body
    level = torch.zeros(1, 256, 4, 4)
    level[..., 1:3, 1:3] = 1.0
    found = network.heads[3][2](level)
    assert torch.equal(found, found.flip(-1))
    assert torch.equal(found, found.flip(-2))
    assert found[0, 0, :, 3].tolist() == [0.0, 0.25, 0.75, 1.0, 1.0, 0.75, 0.25, 0.0]


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("upsampling", ["auto", "bilinear"])
def test_a_member_computes_what_the_network_does(norm, upsampling) -> None:
    network = trained(norm=norm, upsampling=upsampling)
    member = NetworkMember(
        network, Normalization(np.zeros(3), np.ones(3)), 96, 1.0, {}, torch.device("cpu")
    )
    image = noise(128, 160)
    inside = (slice(32, 101), slice(7, 95))
    found = member.probabilities(image.numpy(), np.ones((1, 128, 160), bool), inside)
    with torch.inference_mode():
        expected = torch.softmax(network(image), dim=1)[..., *inside]
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)
    assert member.is_fused


def test_normalization_and_activation_of_the_decoder_are_fused() -> None:
    fused = fuse_convolutions(trained(norm="batch"))
    assert not [m for m in fused.modules() if isinstance(m, nn.BatchNorm2d)]


def test_other_backbones_and_any_number_of_bands() -> None:
    network = build_network("pyramid", "resnet18", bands=6, classes=2, encoder_depth=4)
    assert network.output_stride == 16
    assert network(torch.zeros(2, 6, 48, 48)).shape == (2, 2, 48, 48)
    assert network.encoder_name == "tu-resnet18"


def test_a_batch_of_one_chip_of_one_coarse_value_can_be_trained() -> None:
    network = trained().train()
    network(noise(32, 32)).sum().backward()
    assert network.body.classifier.weight.grad is not None


def test_a_backbone_without_a_stage_of_stride_four_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"strides 2, 4, 8.* Expected strides that double from 4"):
        build_network("pyramid", ENCODER, bands=3, classes=2, encoder_depth=2)
    with pytest.raises(ConfigError, match=r"timm has no model 'nonsense'"):
        build_network("pyramid", "tu-nonsense", bands=3, classes=2)


def test_reading_it_imports_neither_timm_nor_torchs_compiler() -> None:
    code = (
        "import sys\n"
        "from geopointseg.model.allocation_budget import AllocationBudget\n"
        "from geopointseg.model.architecture import build_network\n"
        f"with AllocationBudget({{}}):\n    build_network('pyramid', '{ENCODER}', bands=3, classes=2, encoder_depth=5)\n"
        "loaded = {'timm', 'torchvision', 'segmentation_models_pytorch', 'torch._dynamo'} & {*sys.modules}\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("upsampling", ["auto", "bilinear"])
@pytest.mark.parametrize("count", [1, 2])
def test_strips_give_what_the_whole_gives(norm, upsampling, count, monkeypatch) -> None:
    body = trained(norm=norm, upsampling=upsampling).body
    image = torch.cat([noise(160, 96, smooth=8 + 4 * k) for k in range(count)])
    expected = body(image).detach()
    strips = []
    monkeypatch.setattr(pyramid, "STRIP", 12)
    convolve = body.heads[0][0]
    convolve.register_forward_hook(lambda _, __, out: strips.append(out.shape[2]))
    with torch.inference_mode():
        found = body(image)
    assert len(strips) == 4
    assert max(strips) == 16
    assert float(expected.std()) > 0.05
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
