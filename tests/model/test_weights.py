"""Starting weights: bands find their kernels, normalizations come along, and failures are said in one sentence."""

from __future__ import annotations

import json
from urllib.error import URLError

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from geopointseg.errors import ConfigError, InputFileError, ModelError
from geopointseg.model.architecture import Network, build_network
from geopointseg.model.member import Normalization
from geopointseg.model.weight_bands import band_common_names
from geopointseg.model.weight_sources import PRETRAINED_FORMAT, find_weights
from geopointseg.model.weights import InitialWeights, apply_weights
from geopointseg.progress import Event, Reporter
from geopointseg.raster.band import Band


def build(bands: int = 3, encoder: str = "resnet18", seed: int = 0, depth: int = 3) -> Network:
    torch.manual_seed(seed)
    return build_network(
        "unet", encoder, bands=bands, classes=2, encoder_depth=depth, decoder_channels=(16, 8, 8)
    )


def bands(*names: str) -> list[Band]:
    return [Band(i, name) for i, name in enumerate(names, 1)]


class Told:
    """A sink that keeps what it was told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None:
        pass

    def of(self, kind: str) -> list[str]:
        return [event.message for event in self.events if event.kind == kind]


def first_kernel(network: Network) -> torch.Tensor:
    return network.encoder.conv1.weight.detach()


def encoder_state(seed: int = 1, channels: int = 3) -> dict[str, torch.Tensor]:
    return dict(build(channels, seed=seed).encoder.state_dict())


def test_none_is_none() -> None:
    assert find_weights("none", "resnet18") is None


@pytest.mark.parametrize("prefix", ["", "encoder.", "module.backbone.", "state.model.encoder."])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_from_a_file_whatever_wraps_them(tmp_path, prefix, suffix) -> None:
    path = tmp_path / f"weights{suffix}"
    state = {prefix + k: v for k, v in encoder_state().items()} | {"fc.weight": torch.zeros(3, 4)}
    if suffix == ".pth":
        torch.save({"epoch": 3, "state_dict": state}, path)
    else:
        save_file(state, path)
    network = build()
    weights = find_weights(str(path), "resnet18")
    assert apply_weights(network, weights, bands("red", "green", "blue")) is None
    expected = encoder_state()
    assert all(torch.equal(v, expected[k]) for k, v in network.encoder.state_dict().items())


def test_bands_find_their_kernels_by_name() -> None:
    weights = InitialWeights("x", encoder_state(), "encoder", ("red", "green", "blue"))
    network = build(4)
    apply_weights(network, weights, bands("nir", "blue", "green", "red"))
    given, kernel = encoder_state()["conv1.weight"], first_kernel(network)
    for here, there in ((1, 2), (2, 1), (3, 0)):
        assert torch.allclose(kernel[:, here], given[:, there] * 0.75)
    assert torch.allclose(kernel[:, 0], given.mean(1) * 0.75)


def test_same_bands_in_the_same_order_are_copied() -> None:
    weights = InitialWeights("x", encoder_state(), "encoder", ("red", "green", "blue"))
    network = build()
    apply_weights(network, weights, bands("red", "green", "blue"))
    assert torch.equal(first_kernel(network), encoder_state()["conv1.weight"])


def test_bands_without_names_are_cycled_and_keep_activations_in_size() -> None:
    weights = InitialWeights("x", encoder_state(), "encoder", ("red", "green", "blue"))
    network = build(5)
    apply_weights(network, weights, bands("", "", "", "", ""))
    given, kernel = encoder_state()["conv1.weight"], first_kernel(network)
    assert torch.allclose(kernel[:, 4], given[:, 1] * 0.6)


def test_normalization_follows_the_bands() -> None:
    norm = Normalization(np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 30.0]))
    weights = InitialWeights("x", encoder_state(), "encoder", ("red", "green", "blue"), norm)
    found = apply_weights(build(4), weights, bands("nir", "blue", "green", "red"))
    assert found.mean.tolist() == [2.0, 3.0, 2.0, 1.0]
    assert found.std.tolist() == [20.0, 30.0, 20.0, 10.0]


def test_bands_without_a_kernel_are_told() -> None:
    weights = InitialWeights("x", encoder_state(), "encoder", ("red", "green", "blue"))
    told = Told()
    apply_weights(build(4), weights, bands("nir", "blue", "green", "ndvi"), Reporter(told))
    assert told.of("warning")[0].startswith("The weights 'x' have no band for nir, ndvi; theirs")
    told = Told()
    apply_weights(build(4), weights, bands("", "", "", ""), Reporter(told))
    assert "The kernels are repeated in order" in told.of("warning")[0]


def test_a_sensors_weights_refuse_bands_that_are_not_the_sensors() -> None:
    weights = InitialWeights("x", encoder_state(), "encoder", ("vv", "vh", "ratio"), sensor="S1")
    with pytest.raises(
        ModelError, match=r"None of the scene's 2 bands \(red, nir\).*vv, vh, ratio"
    ):
        apply_weights(build(2), weights, bands("red", "nir"))
    told = Told()
    apply_weights(build(3), weights, bands("", "", ""), Reporter(told))
    assert "taken in their order" in told.of("warning")[0]


def test_sensors_number_their_bands_differently() -> None:
    names = ["B1", "B2", "B4", "B8a"]
    assert band_common_names(names, "SENTINEL2_ALL_MOCO") == ("coastal", "blue", "red", "nir08")
    assert band_common_names(["B1", "B4"], "LANDSAT_TM_TOA_MOCO") == ("blue", "nir")
    assert band_common_names(["SR_B5"], "LANDSAT_OLI_SR_MOCO") == ("nir",)
    assert band_common_names(["R", "N"], "NAIP") == ("red", "nir")


def test_torchgeo_weights_bring_bands_and_normalization(monkeypatch) -> None:
    from torchgeo.models import ResNet18_Weights

    state = encoder_state(channels=13)
    monkeypatch.setattr(
        type(ResNet18_Weights.SENTINEL2_ALL_MOCO), "get_state_dict", lambda *_, **__: state
    )
    weights = find_weights("ResNet18_Weights.SENTINEL2_ALL_MOCO", "resnet18")
    assert weights.bands[3] == "red"
    network = build(2)
    norm = apply_weights(network, weights, bands("nir", "red"))
    assert norm.std.tolist() == [10000.0, 10000.0]
    assert torch.allclose(first_kernel(network)[:, 1], state["conv1.weight"][:, 3] * 6.5)


def test_chained_normalizations_become_one(monkeypatch) -> None:
    from torchgeo.models import ResNet50_Weights

    monkeypatch.setattr(
        type(ResNet50_Weights.FMOW_RGB_GASSL), "get_state_dict", lambda *_, **__: encoder_state()
    )
    norm = find_weights("ResNet50_Weights.FMOW_RGB_GASSL", "resnet50").normalization
    np.testing.assert_allclose(norm.mean, 255 * np.array([0.485, 0.456, 0.406]))
    np.testing.assert_allclose(norm.std, 255 * np.array([0.229, 0.224, 0.225]))


def test_download_that_fails_names_the_file_and_what_is_accepted(monkeypatch) -> None:
    from torchgeo.models import ResNet18_Weights

    def refuse(*_args, **_kwargs):
        raise URLError("Name or service not known")

    monkeypatch.setattr(type(ResNet18_Weights.SENTINEL2_ALL_MOCO), "get_state_dict", refuse)
    with pytest.raises(
        ModelError,
        match=r"downloaded from https://hf.co/torchgeo/resnet18_sentinel2_all_moco.*pretrain.*'none'",
    ):
        find_weights("ResNet18_Weights.SENTINEL2_ALL_MOCO", "resnet18")
    monkeypatch.setattr("segmentation_models_pytorch.encoders.get_encoder", refuse)
    with pytest.raises(
        ModelError,
        match=r"'imagenet' could not be downloaded from https://huggingface.co/smp-hub/resnet18",
    ):
        find_weights("imagenet", "resnet18")
    monkeypatch.setattr("timm.create_model", refuse)
    with pytest.raises(
        ModelError, match=r"'imagenet' could not be downloaded from https://.*Accepted are a file"
    ):
        find_weights("imagenet", "tu-resnet10t")


def test_unknown_names_name_the_nearest() -> None:
    with pytest.raises(
        ConfigError,
        match=r"no weights 'imagnet' for the encoder 'resnet18'. Did you mean 'imagenet'",
    ):
        find_weights("imagnet", "resnet18")
    with pytest.raises(ConfigError, match=r"torchgeo has no weights 'ResNet18_Weights.SENTINEL2'"):
        find_weights("ResNet18_Weights.SENTINEL2", "resnet18")
    with pytest.raises(ConfigError, match=r"no weights 'imagnet' for the encoder 'tu-resnet10t'"):
        find_weights("imagnet", "tu-resnet10t")
    with pytest.raises(ConfigError, match=r"'tu-resnet10t.no'. Known names: resnet10t.c3_in1k"):
        find_weights("imagenet", "tu-resnet10t.no")


def test_missing_and_damaged_files(tmp_path) -> None:
    with pytest.raises(
        InputFileError, match=r"nothing.pth' do not exist.*'none' for random weights"
    ):
        find_weights(str(tmp_path / "nothing.pth"), "resnet18")
    (tmp_path / "a.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match=r"a.safetensors' cannot be read"):
        find_weights(str(tmp_path / "a.safetensors"), "resnet18")
    torch.save([1, 2], tmp_path / "b.pth")
    with pytest.raises(ModelError, match=r"hold no named tensors"):
        find_weights(str(tmp_path / "b.pth"), "resnet18")
    with pytest.raises(ModelError, match=r"holds no weights: there is no weights.json"):
        find_weights(str(tmp_path), "resnet18")


class Harm:
    def __reduce__(self):
        return (print, ("code of a stranger",))


def test_code_in_a_file_is_not_run(tmp_path, capsys) -> None:
    torch.save({"state_dict": Harm()}, tmp_path / "a.pth")
    with pytest.raises(ModelError, match=r"cannot be read"):
        find_weights(str(tmp_path / "a.pth"), "resnet18")
    assert "stranger" not in capsys.readouterr().out


def test_weights_of_another_encoder_say_which_shape(tmp_path) -> None:
    save_file(dict(build(encoder="resnet50").encoder.state_dict()), tmp_path / "a.safetensors")
    weights = find_weights(str(tmp_path / "a.safetensors"), "resnet18")
    with pytest.raises(ModelError, match=r"do not fit the encoder: 'layer1.*shape.*is expected"):
        apply_weights(build(), weights, bands("red", "green", "blue"))
    other = InitialWeights("x", {"alien.weight": torch.zeros(1)}, "encoder")
    with pytest.raises(
        ModelError, match=r"hold tensors like 'alien.weight'. The encoder expects names like 'conv1"
    ):
        apply_weights(build(), other, bands("red", "green", "blue"))


def test_weights_of_a_shallower_encoder_are_refused() -> None:
    weights = InitialWeights("x", encoder_state(), "encoder", encoder_depth=3)
    with pytest.raises(
        ModelError, match=r"lack 25 of the encoder's 75 tensors, from 'layer3.0.*encoder_depth = 3,"
    ):
        apply_weights(build(depth=4), weights, bands("red", "green", "blue"))


def test_weights_of_a_deeper_encoder_are_taken() -> None:
    deep = build(seed=1, depth=5).encoder.state_dict()
    network = build(depth=3)
    apply_weights(network, InitialWeights("x", deep, "encoder"), bands("red", "green", "blue"))
    assert all(torch.equal(v, deep[k]) for k, v in network.encoder.state_dict().items())


def test_what_is_left_of_another_decoder_is_told() -> None:
    other = build_network("fpn", "resnet18", bands=3, classes=2, encoder_depth=3).state_dict()
    told = Told()
    weights = InitialWeights("x", other, "network", ("red", "green", "blue"))
    apply_weights(build(), weights, bands("red", "green", "blue"), Reporter(told))
    assert "tensors of the decoder in the weights 'x', such as 'body.decoder" in told.of("log")[0]


def test_photographs_bring_a_normalization_for_red_green_and_blue(monkeypatch) -> None:
    settings = {
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2] * 3,
        "input_range": [0, 1],
        "input_space": "BGR",
    }
    source = "segmentation_models_pytorch.encoders"
    monkeypatch.setattr(f"{source}.get_encoder", lambda *_, **__: build().encoder)
    monkeypatch.setattr(f"{source}.get_preprocessing_params", lambda *_: settings)
    weights = find_weights("imagenet", "resnet18")
    norm = apply_weights(build(4), weights, bands("nir", "red", "green", "blue"))
    np.testing.assert_allclose(norm.mean, [np.nan, 76.5, 102, 127.5])
    np.testing.assert_allclose(norm.std, [np.nan, 51, 51, 51])
    assert apply_weights(build(), weights, bands("", "", "")) is None


def test_timm_brings_its_normalization(monkeypatch) -> None:
    monkeypatch.setattr("timm.create_model", lambda *_, **__: build().encoder)
    weights = find_weights("imagenet", "tu-resnet10t")
    assert weights.bands == ("red", "green", "blue")
    np.testing.assert_allclose(weights.normalization.mean, 255 * np.array([0.485, 0.456, 0.406]))


def test_network_without_an_encoder_of_others_says_so() -> None:
    with pytest.raises(
        ConfigError, match=r"architecture 'fcn' has no encoder.*unet.*set \[model\]"
    ):
        find_weights("imagenet", "fcn")


def test_pretrained_folder_brings_everything_but_the_head(tmp_path) -> None:
    source = build(seed=4)
    save_file(
        {k: v for k, v in source.state_dict().items() if "head" not in k},
        tmp_path / "weights.safetensors",
    )
    description = {
        "format": PRETRAINED_FORMAT,
        "bands": ["red", "green", "blue"],
        "normalization": {"mean": [1, 2, 3], "std": [4, 5, 6]},
    }
    (tmp_path / "weights.json").write_text(json.dumps(description))
    network = build(seed=5)
    norm = apply_weights(
        network, find_weights(str(tmp_path), "resnet18"), bands("red", "green", "blue")
    )
    assert norm.mean.tolist() == [1, 2, 3]
    same = {k: torch.equal(v, source.state_dict()[k]) for k, v in network.state_dict().items()}
    assert all(equal for k, equal in same.items() if "head" not in k)
    assert not same["body.segmentation_head.0.weight"]


def test_a_folder_beside_does_not_take_the_place_of_imagenet(tmp_path, monkeypatch) -> None:
    (tmp_path / "imagenet").mkdir()
    monkeypatch.chdir(tmp_path)
    found = find_weights("imagenet", "tu-tf_efficientnet_lite0")
    assert found is not None
    assert len(found.tensors) > 100
    with pytest.raises(ModelError, match="holds no weights"):
        find_weights("./imagenet", "tu-tf_efficientnet_lite0")
