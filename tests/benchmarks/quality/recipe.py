"""What is compared: baselines, the default, and the default with one part on or off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    Parameters
    ----------
    model
        ``auto``, ``network``, ``linear`` or ``forest``.
    changes
        Settings that differ from the defaults, ``{section: {name: value}}``.
    sees_test_scenes
        Whether the scenes to be mapped are given as unlabelled ones.
    is_dense
        Whether every label of the training ground is given.
    is_pretrained
        Whether the network first learns from the training imagery alone, for as many steps or minutes as it is trained
        with points afterwards.
    longer
        Factor on the training time.
    is_fitted
        Whether only members that need no training loop are wanted, as with ``--minutes 0.5``.
    """

    model: Literal["auto", "network", "linear", "forest"]
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sees_test_scenes: bool = False
    is_dense: bool = False
    is_pretrained: bool = False
    longer: float = 1.0
    is_fitted: bool = False


def _network(section: str, **changes: Any) -> Recipe:
    return Recipe("network", {section: changes})


BARS = {
    "pixel forest": Recipe("forest", {"forest": {"features": "pixel"}}),
    "filter forest": Recipe("forest", {"forest": {"features": "filters"}}),
    "forest in context": Recipe("forest", {"forest": {"features": "context"}}),
    "default": Recipe("auto"),
    "linear": Recipe("linear"),
    "fitted": Recipe("auto", {"optimization": {"minutes": 0.5}}, is_fitted=True),
    "network": Recipe("network"),
    "network, points only": Recipe("network", {"teaching": {"distillation_weight": 0.0}}),
    "network, dense labels": Recipe(
        "network", {"teaching": {"distillation_weight": 0.0}}, is_dense=True, longer=3.0
    ),
}
"""What the bars compare."""

PARTS = {
    "network": Recipe("network"),
    "without the forest's word": BARS["network, points only"],
    "taught by the plain filter forest": _network("forest", features="filters"),
    "without averaged weights": _network("teaching", ema_decay=0.0),
    "taught by sure pixels above all": _network("teaching", confidence_power=1.0),
    "taught less": _network("teaching", distillation_weight=0.7),
    "taught more": _network("teaching", distillation_weight=10.0),
    "with consistency": _network("teaching", consistency_weight=0.5),
    "with superpixels": _network("teaching", expansion="superpixels"),
    "with grown regions": _network("teaching", expansion="region"),
    "with affinity": _network("teaching", affinity_weight=0.1),
    "with entropy": _network("teaching", entropy_weight=0.1),
    "with self-training": Recipe("auto", {"teaching": {"self_training": True}}),
    "network however few the points": Recipe("auto", {"selection": {"forest_below": 0}}),
    "pretrained on its own imagery": Recipe("network", is_pretrained=True),
    "seeing the test scenes": Recipe("network", sees_test_scenes=True),
    "gamma 0": _network("loss", gamma=0.0),
    "gamma 2": _network("loss", gamma=2.0),
    "classes weighed alike": _network("loss", class_weight_power=0.0),
    "without class balance": _network("sampling", class_balance=0.0),
    "without radiometric augmentation": _network(
        "augmentation", gain=0.0, offset=0.0, noise=0.0, blur=0.0, gamma=1.0
    ),
    "light varied less": _network("augmentation", gain=0.05, offset=0.07, gamma=1.1),
    "light varied more": _network("augmentation", gain=0.2, offset=0.3, gamma=1.4),
    "upsampled bilinearly": _network("model", upsampling="bilinear"),
    "upsampled by transposed convolution": _network("model", upsampling="transposed"),
    "our own network": _network("model", architecture="fcn"),
    "our own network, unpooled": _network("model", architecture="fcn", upsampling="unpooling"),
    "chips of 64": _network("sampling", chip_size=64),
    "chips of 128": _network("sampling", chip_size=128),
    "chips of 256": _network("sampling", chip_size=256, batch_size=4),
    "chips of twice the side": _network("sampling", chip_size=192),
    "regnetx_002": _network("model", encoder="tu-regnetx_002"),
    "mobilenetv3_small": _network("model", encoder="tu-mobilenetv3_small_100"),
    "encoder of four stages": _network("model", encoder_depth=4, decoder_channels=[96, 48, 32, 16]),
    "encoder of five stages": _network(
        "model", encoder_depth=5, decoder_channels=[256, 128, 64, 32, 16]
    ),
}
"""The default network with one part on or off; self-training, and networks from few points, beside the forest."""


def _encoder(architecture: str, **changes: Any) -> Recipe:
    model = {
        "architecture": architecture,
        "encoder": "tu-tf_efficientnet_lite0",
        "encoder_depth": 5,
        "weights": "imagenet",
    }
    return Recipe("auto", {"model": model | changes.pop("model", {}), **changes})


ENCODERS = {
    "frozen fpn": _encoder("fpn", model={"freeze_encoder": True}),
    "frozen unet": _encoder(
        "unet", model={"freeze_encoder": True, "decoder_channels": [128, 96, 64, 32, 16]}
    ),
    "tuned fpn": _encoder("fpn", optimization={"encoder_learning_rate": 1e-4}),
}
"""Networks on the pretrained encoder, beside the fitted members."""

_WHOLE_UNET = {
    "encoder_depth": 5, "decoder_channels": [256, 128, 64, 32, 16]
}  # fmt: skip

SPEED = {
    "network": Recipe("network"),
    "U-Net resnet18, chips of 128": Recipe(
        "network", {"model": _WHOLE_UNET, "sampling": {"chip_size": 128, "batch_size": 8}}
    ),
    "U-Net resnet18, chips of 256": Recipe(
        "network", {"model": _WHOLE_UNET, "sampling": {"chip_size": 256, "batch_size": 4}}
    ),
}
"""The default network and the obvious alternatives: who is ahead after the same time?"""

RECIPES = BARS | PARTS | SPEED | ENCODERS
