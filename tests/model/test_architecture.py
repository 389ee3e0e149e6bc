"""Every architecture on odd sizes, a batch of one, any band count; and names that are misspelt."""

from __future__ import annotations

import pytest
import torch

from geopointseg.errors import ConfigError, ModelError
from geopointseg.model.architecture import (
    Network,
    TolerantBatchNorm2d,
    architecture_names,
    build_network,
    receptive_field_px,
    resolve_architecture,
    resolve_encoder,
)


def build(architecture: str = "unet", encoder: str = "resnet18", **options) -> Network:
    options = {
        "bands": 3,
        "classes": 4,
        "encoder_depth": 3,
        "decoder_channels": (16, 8, 8),
    } | options
    return build_network(architecture, encoder, **options)


@pytest.mark.parametrize("architecture", [n for n in architecture_names() if n != "dpt"])
def test_any_architecture_takes_any_size_and_a_batch_of_one(architecture) -> None:
    network = build(architecture, bands=5).train()
    logits = network(torch.rand(1, 5, 37, 50))
    logits.sum().backward()
    assert logits.shape == (1, 4, 37, 50)
    with torch.inference_mode():
        assert network.eval()(torch.rand(1, 5, 9, 70)).shape == (1, 4, 9, 70)


def test_dense_prediction_transformer_takes_a_timm_encoder() -> None:
    network = build("dpt", "tu-vit_tiny_patch16_224").eval()
    assert network(torch.rand(1, 3, 50, 37)).shape == (1, 4, 50, 37)


def test_timm_encoder_by_name() -> None:
    network = build("unet", "tu-convnext_atto").eval()
    assert network(torch.rand(1, 3, 40, 40)).shape == (1, 4, 40, 40)


@pytest.mark.parametrize("bands", [1, 2, 13])
def test_any_band_count(bands) -> None:
    assert build(bands=bands)(torch.rand(2, bands, 16, 16)).shape == (2, 4, 16, 16)


def test_one_pixel_image() -> None:
    assert build().eval()(torch.rand(1, 3, 1, 1)).shape == (1, 4, 1, 1)


def test_sizes_that_fit_are_not_padded() -> None:
    network = build().eval()
    image = torch.rand(1, 3, 32, 40)
    with torch.inference_mode():
        assert torch.equal(network(image), network.body(image))


def test_padding_is_at_the_bottom_and_right() -> None:
    network = build().eval()
    image = torch.rand(1, 3, 30, 40)
    padded = torch.nn.functional.pad(image, (0, 0, 0, 2), mode="reflect")
    with torch.inference_mode():
        assert torch.equal(network(image), network.body(padded)[:, :, :30])


def test_unused_stages_are_dropped() -> None:
    sizes = [sum(p.numel() for p in build(encoder_depth=d).parameters()) for d in (3, 4, 5)]
    assert sizes[0] * 2 < sizes[1]
    assert sizes[1] * 2 < sizes[2]


def test_decoder_widths_follow_the_depth() -> None:
    for depth in (3, 4, 5):
        network = build(encoder_depth=depth, decoder_channels=(64, 32, 16, 8))
        assert network(torch.rand(2, 3, 32, 32)).shape == (2, 4, 32, 32)


def test_same_torch_seed_gives_the_same_weights() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(7)
        states.append(build().state_dict())
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])


def test_group_norm_replaces_batch_norm() -> None:
    modules = list(build(norm="group").modules())
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in modules)
    assert any(isinstance(m, torch.nn.GroupNorm) for m in modules)


def test_tolerant_batch_norm_uses_running_statistics_for_one_value() -> None:
    norm = TolerantBatchNorm2d(2).train()
    norm.running_mean += 1.0
    image = torch.tensor([3.0, 5.0]).view(1, 2, 1, 1)
    assert torch.allclose(norm(image).flatten(), torch.tensor([2.0, 4.0]), atol=1e-4)
    with pytest.raises(ValueError, match="more than 1 value"):
        torch.nn.BatchNorm2d(2).train()(image)


def test_parameters_split_into_encoder_and_decoder() -> None:
    network = build()
    encoder, decoder = list(network.encoder_parameters()), list(network.decoder_parameters())
    assert len(encoder) + len(decoder) == len(list(network.parameters()))
    assert {id(p) for p in encoder}.isdisjoint(id(p) for p in decoder)


@pytest.mark.parametrize(
    ("architecture", "encoder", "count"),
    [("unet", "resnet18", 3), ("unet", "tu-convnext_atto", 2), ("fcn", "fcn", 1)],
)
def test_stages_of_an_encoder_from_fine_to_coarse(architecture, encoder, count) -> None:
    network = build(architecture, encoder).train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    stages = network.encoder_stages()
    assert len(stages) == count
    assert {id(p) for stage in stages for p in stage} == {
        id(p) for p in network.encoder_parameters()
    }
    assert stages[0][0] is next(network.encoder_parameters())
    assert all(m.training for m in network.modules())
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_frozen_encoder_keeps_weights_and_statistics() -> None:
    network = build()
    network.freeze_encoder()
    before = {k: v.clone() for k, v in network.encoder.state_dict().items()}
    network.train()
    optimizer = torch.optim.SGD((p for p in network.parameters() if p.requires_grad), lr=0.1)
    network(torch.rand(2, 3, 16, 16)).square().sum().backward()
    optimizer.step()
    assert all(torch.equal(before[k], v) for k, v in network.encoder.state_dict().items())


def test_receptive_field_of_the_small_network_is_inside_its_theory() -> None:
    network = build("fcn")
    theory = 1 + 2 * (1 + 1 + 2 + 4 + 8 + 16)
    measured = receptive_field_px(network, size=96)
    assert 15 <= measured <= theory
    assert network.training


def test_receptive_field_of_a_convolution_is_its_kernel() -> None:
    assert receptive_field_px(torch.nn.Conv2d(2, 3, 7, padding=3), bands=2, size=32, share=1.0) == 7


def test_misspelt_architecture_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no architecture 'unett'. Did you mean 'unet'"):
        build("unett")


def test_misspelt_encoder_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no encoder 'resnet19'. Did you mean 'resnet1"):
        build(encoder="resnet19")
    with pytest.raises(
        ConfigError, match=r"timm has no model 'convnxt_atto'. Did you mean 'tu-conv"
    ):
        resolve_encoder("tu-convnxt_atto")
    with pytest.raises(ConfigError, match=r"'tu-convnext_atto' exists in timm"):
        resolve_encoder("convnext_atto")


def test_encoder_that_does_not_fit_is_said_so() -> None:
    with pytest.raises(ConfigError, match=r"'mit_b0' at depth 5 does not fit.*'unetplusplus'"):
        build("unetplusplus", "mit_b0", encoder_depth=5)


@pytest.mark.parametrize("widths", [(), (16, 0)])
def test_decoder_without_widths_is_refused(widths) -> None:
    with pytest.raises(ConfigError, match=r"decoder_channels is \[.*Expected the width"):
        build(decoder_channels=widths)


def test_one_class_is_refused() -> None:
    with pytest.raises(ModelError, match="at least one band and two classes"):
        build(classes=1)


def test_usual_spellings() -> None:
    assert resolve_architecture("DeepLabV3+") == "deeplabv3plus"
    assert resolve_architecture("U-Net") == "unet"


@pytest.mark.parametrize("encoder", ["efficientnet-b0", "mobilenet_v2"])
def test_depth_wise_encoders_run_without_their_deepest_stages(encoder) -> None:
    """EfficientNet hands an option to blocks whose output nobody uses."""
    network = build("unet", encoder).eval()
    with torch.inference_mode():
        assert network(torch.rand(2, 3, 64, 72)).shape == (2, 4, 64, 72)
