"""The decoder's upsampling: right values of each method, in every network that has the choice."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from geopointseg.config import Config, choices
from geopointseg.errors import ConfigError
from geopointseg.learning.initial_network import network_options
from geopointseg.model.architecture import Network, architecture_names, build_network
from geopointseg.model.bundle import ModelBundle, NetworkMember, Normalization
from geopointseg.model.fcn import PoolingFCN, SmallFCN
from geopointseg.model.upsampling import TransposedConvolution, build_upsampling, max_unpool
from geopointseg.prediction.backend import write_onnx
from tests.prediction.conftest import network_bundle

METHODS = ["nearest", "bilinear", "transposed", "unpooling"]
CASES = [
    *(("fcn", "fcn", method) for method in METHODS),
    *(("unet", "resnet18", method) for method in METHODS[:3]),
    ("unet", "vgg11_bn", "unpooling"),
    ("unet", "tu-vgg11", "unpooling"),
    ("unet", "mit_b0", "transposed"),
    *(
        (name, "resnet18", "bilinear")
        for name in ("unetplusplus", "manet", "fpn", "pyramid", "pan")
    ),
    *((name, "resnet18", "bilinear") for name in ("deeplabv3plus", "pspnet", "segformer")),
    ("pan", "resnet18", "nearest"),
    ("linknet", "resnet18", "transposed"),
]


def build(architecture: str, encoder: str, method: str, **options) -> Network:
    torch.manual_seed(0)
    options = {
        "bands": 2,
        "classes": 3,
        "encoder_depth": 3,
        "decoder_channels": (16, 8, 8),
    } | options
    return build_network(architecture, encoder, upsampling=method, **options)


@pytest.mark.parametrize(("architecture", "encoder", "method"), CASES)
def test_logits_have_the_images_size_and_every_parameter_a_gradient(
    architecture, encoder, method
) -> None:
    network = build(architecture, encoder, method).train()
    logits = network(torch.rand(2, 2, 37, 50))
    F.cross_entropy(logits, torch.randint(0, 3, (2, 37, 50))).backward()
    assert logits.shape == (2, 3, 37, 50)
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("depth", [3, 5])
@pytest.mark.parametrize("method", METHODS)
def test_a_network_of_any_depth_takes_a_single_pixel(method, depth) -> None:
    unet = "vgg11_bn" if method == "unpooling" else "resnet18"
    for architecture, encoder in (("fcn", "fcn"), ("unet", unet)):
        network = build(architecture, encoder, method, encoder_depth=depth).eval()
        assert network.output_stride == 2**depth
        assert network(torch.rand(1, 2, 1, 1)).shape == (1, 3, 1, 1)


@pytest.mark.parametrize("method", METHODS)
def test_methods_double_the_size_and_keep_the_type(method) -> None:
    upsampling = build_upsampling(method, 6, 4).to(torch.bfloat16)
    features, finer = (torch.rand(2, c, *s).bfloat16() for c, s in ((6, (3, 5)), (4, (6, 10))))
    assert upsampling(features, finer).shape == (2, 6, 6, 10)
    assert upsampling(features, finer).dtype == torch.bfloat16


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (5, 7)])
def test_a_transposed_convolution_begins_as_bilinear_interpolation(shape) -> None:
    features = torch.randn(2, 3, *shape)
    enlarged = TransposedConvolution(3)(features, features)
    expected = F.interpolate(features, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(enlarged, expected)


def test_a_transposed_convolution_of_a_constant_is_that_constant_up_to_the_edges() -> None:
    layer = TransposedConvolution(2)
    constant = torch.tensor([3.0, -7.0]).view(1, 2, 1, 1)
    assert torch.equal(layer(constant.expand(1, 2, 4, 5), constant), constant.expand(1, 2, 8, 10))


def test_the_stride_divides_the_kernel_of_every_transposed_convolution() -> None:
    for architecture in ("fcn", "unet", "linknet"):
        encoder = "fcn" if architecture == "fcn" else "resnet18"
        modules = build(architecture, encoder, "transposed").modules()
        layers = [m for m in modules if isinstance(m, torch.nn.ConvTranspose2d)]
        assert len(layers) == 3
        assert all(k % s == 0 for m in layers for k, s in zip(m.kernel_size, m.stride, strict=True))


@pytest.mark.parametrize("ties", [False, True])
def test_unpooling_puts_values_where_torch_does(ties) -> None:
    pooled = torch.randn(2, 3, 8, 10)
    pooled = pooled.relu().round() if ties else pooled
    maxima, positions = F.max_pool2d(pooled, 2, return_indices=True)
    values = torch.randn_like(maxima)
    assert torch.equal(max_unpool(values, pooled), F.max_unpool2d(values, positions, 2))
    assert torch.equal(F.max_pool2d(max_unpool(maxima.abs(), pooled), 2), maxima.abs())


def test_unpooling_takes_the_positions_of_the_encoders_own_pooling() -> None:
    network = build("unet", "vgg11_bn", "unpooling").eval()
    pools = [m for m in network.encoder.modules() if isinstance(m, torch.nn.MaxPool2d)][:3]
    seen: list[torch.Tensor] = []
    for pool in pools:
        pool.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0]))
    guides: list[torch.Tensor] = []
    for upsampling in network.body.decoder.upsamplings:
        upsampling.register_forward_hook(lambda _m, inputs, _o: guides.append(inputs[1]))
    network(torch.rand(1, 2, 32, 32))
    assert len(guides) == 3
    assert all(torch.equal(a, b) for a, b in zip(seen, reversed(guides), strict=True))


def test_methods_without_weights_of_their_own_give_different_maps() -> None:
    image = torch.rand(1, 2, 32, 32)
    cases = [("fcn", ("nearest", "bilinear", "unpooling")), ("unet", ("nearest", "bilinear"))]
    for architecture, methods in cases:
        maps = [build(architecture, "resnet18", method).eval()(image) for method in methods]
        assert not any(torch.equal(a, b) for a, b in combinations(maps, 2))


def test_the_own_method_is_what_it_was() -> None:
    assert isinstance(build("fcn", "fcn", "auto").body, SmallFCN)
    assert isinstance(build("fcn", "fcn", "nearest").body, PoolingFCN)
    own, nearest = (build("unet", "resnet18", method).eval() for method in ("auto", "nearest"))
    image = torch.rand(1, 2, 40, 40)
    assert own.state_dict().keys() == nearest.state_dict().keys()
    assert torch.equal(own(image), nearest(image))


REFUSALS = {
    (
        "unet",
        "resnet18",
        "unpooling",
    ): r"^\[model\] upsampling is 'unpooling', but the encoder 'resnet18' does not halve "
    r"its resolution by 2 x 2 max-pooling\. Set \[model\] encoder to one that does, such as 'vgg11_bn', or take "
    r"architecture 'fcn'\.$",
    (
        "deeplabv3+",
        "resnet18",
        "nearest",
    ): r"^\[model\] upsampling is 'nearest', which the architecture 'deeplabv3plus' "
    r"does not have\. Set it to auto or bilinear, or take an architecture that has it \(fcn, unet, unetplusplus, manet, "
    r"fpn, pyramid, pan\)\.$",
    ("fpn", "vgg11_bn", "unpooling"): r"auto or nearest or bilinear, .* has it \(fcn, unet\)\.$",
    ("linknet", "resnet18", "bilinear"): r"'linknet' does not have\. Set it to auto or transposed",
    (
        "unet",
        "resnet18",
        "cubic",
    ): r"^\[model\] upsampling is 'cubic'\. Expected one of auto, nearest",
    ("fcn", "fcn", "cubic"): r"^\[model\] upsampling is 'cubic'\. Expected one of auto, nearest",
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_is_impossible_is_refused(case) -> None:
    with pytest.raises(ConfigError, match=REFUSALS[case]):
        build(*case)


POSSIBLE = {"fcn": METHODS, "unet": METHODS[:3], "linknet": ["transposed"]}
POSSIBLE |= dict.fromkeys(("unetplusplus", "manet", "fpn", "pyramid", "pan"), METHODS[:2])


@pytest.mark.parametrize("method", METHODS)
def test_every_architecture_has_a_method_or_refuses_it(method) -> None:
    for architecture in set(architecture_names()) - {"dpt"}:
        if method in POSSIBLE.get(architecture, ["bilinear"]):
            network = build(architecture, "resnet18", method).eval()
            assert network(torch.rand(1, 2, 33, 33)).shape == (1, 3, 33, 33)
        else:
            with pytest.raises(ConfigError, match=r"^\[model\] upsampling is"):
                build(architecture, "resnet18", method)


@pytest.mark.parametrize(
    ("architecture", "encoder", "method"),
    [*CASES[:4], ("unet", "resnet18", "transposed"), ("unet", "vgg11_bn", "unpooling")],
)
def test_a_model_folder_and_onnx_give_the_same_map(tmp_path, architecture, encoder, method) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    settings = {"architecture": architecture, "encoder": encoder, "upsampling": method}
    config = Config().updated({"model": settings | {"decoder_channels": [16, 8, 8]}})
    options = network_options(config)
    torch.manual_seed(1)
    network = build_network(bands=2, classes=3, **options).eval()
    member = NetworkMember(
        network, Normalization(np.zeros(2), np.ones(2)), 16, 1.0, options, torch.device("cpu")
    )
    bundle = replace(network_bundle(tmp_path / "plain"), members=(member,), config=config)
    bundle.save(tmp_path / "m")
    image = np.random.default_rng(0).normal(size=(2, 2, 40, 48)).astype(np.float32)
    valid = np.ones((2, 40, 48), bool)
    loaded = ModelBundle.load(tmp_path / "m", device="cpu")
    theirs, ours = loaded.members[0].network.state_dict(), network.state_dict()
    assert all(torch.equal(theirs[name], ours[name]) for name in ours)
    expected = bundle.probabilities(image, valid)
    np.testing.assert_allclose(loaded.probabilities(image, valid), expected, atol=1e-6)

    write_onnx(network, image[:1], tmp_path / "m.onnx", "logits")
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    with torch.inference_mode():
        expected = network(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(session.run(None, {"image": image})[0], expected, atol=2e-4)


def test_the_setting_offers_every_method_and_is_a_factor_of_a_study() -> None:
    from geopointseg.lab.study_plan import known_factors

    assert choices("model", "upsampling") == ("auto", *METHODS)
    assert "model.upsampling" in known_factors()
