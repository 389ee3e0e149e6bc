"""Sources of starting weights: a name, a file, or a folder that pretraining or training wrote.

A name is one of segmentation-models-pytorch for the encoder (``imagenet`` ...), or a member of a torchgeo weights enumeration
(``ResNet18_Weights.SENTINEL2_ALL_MOCO``), which includes its band order and normalization. Weights of photographs (ImageNet
and timm) have a normalization for red, green and blue of 8-bit scenes only. If a download fails, the error names the file
and the accepted alternatives. Random weights are used only for ``none``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from geopointseg.errors import ConfigError, InputFileError, ModelError, nearest_names
from geopointseg.model.architecture import OWN_ARCHITECTURES, architecture_names
from geopointseg.model.backbone import LITE0, pretrained_state
from geopointseg.model.bundle import WEIGHTS_FILE as MODEL_WEIGHTS
from geopointseg.model.bundle import has_format, is_model_folder
from geopointseg.model.member import Normalization
from geopointseg.model.tensor_file import read_pickled_tensors, read_safetensors
from geopointseg.model.weight_bands import band_common_names
from geopointseg.model.weights import InitialWeights
from geopointseg.model_document import read_model_document

PRETRAINED_FORMAT = "geopointseg weights"
PRETRAINED_TENSORS = "weights.safetensors"
PRETRAINED_DESCRIPTION = "weights.json"
_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
_ACCEPTED = (
    "Accepted are a file of weights (.safetensors, .pth), a folder written by `pretrain`, or 'none' for "
    "random weights."
)
_WRAPPERS = ("state_dict", "model_state_dict", "model", "teacher", "student", "encoder")
_RGB = ("red", "green", "blue")


def find_weights(name: str, encoder: str) -> InitialWeights | None:
    """Find starting weights by name, file or folder.

    Parameters
    ----------
    name
        ``none``, a name, a file or a folder.
    encoder
        Name of the encoder.

    Returns
    -------
    InitialWeights or None
        None for ``none``.

    Raises
    ------
    ConfigError
        If there are no weights of that name for the encoder; the message names similar ones. If the architecture has no
        pretrained encoder.
    InputFileError
        If the file does not exist.
    ModelError
        If a file is damaged or a download fails.
    """
    if name.lower() in {"none", ""}:
        return None
    path = Path(name)
    is_default = name == "imagenet"  # also beside a folder of that name, which is "./imagenet"
    if path.is_dir() and not is_default:
        return _from_folder(path)
    if path.suffix.lower() in _SUFFIXES or (path.is_file() and not is_default):
        return InitialWeights(name, _read_file(path), "encoder")
    if encoder in OWN_ARCHITECTURES:
        others = [n for n in architecture_names() if n not in OWN_ARCHITECTURES]
        raise ConfigError(
            f"The weights '{name}' are those of an encoder, and the architecture '{encoder}' has no encoder with "
            f"pretrained weights. Expected one of {', '.join(others)}; set [model] architecture to one of these, or start from "
            "a folder written by `pretrain`."
        )
    if "_Weights." in name:
        return _from_torchgeo(name)
    if encoder.startswith("tu-"):
        return _from_timm(name, encoder)
    return _from_smp(name, encoder)


def _read_file(path: Path) -> dict[str, Tensor]:
    if not path.exists():
        raise InputFileError(f"The weights '{path}' do not exist. Check the path. {_ACCEPTED}")
    try:
        if path.suffix.lower() == ".safetensors":
            return read_safetensors(path)
        content = read_pickled_tensors(path)
    except Exception as error:
        raise ModelError(
            f"The weights '{path}' cannot be read ({str(error).splitlines()[0]}). Expected safetensors, or a torch file "
            "with nothing but tensors in it; download or convert them again."
        ) from error
    return _unwrap(content, path)


def _unwrap(content: Any, path: Path) -> dict[str, Tensor]:
    for _ in range(3):
        wrapper = next(
            (
                w
                for w in _WRAPPERS
                if isinstance(content, dict) and isinstance(content.get(w), dict)
            ),
            None,
        )
        if wrapper is None:
            break
        content = content[wrapper]
    tensors = (
        {k: v for k, v in content.items() if isinstance(v, Tensor)}
        if isinstance(content, dict)
        else {}
    )
    if not tensors:
        raise ModelError(
            f"The weights '{path}' hold no named tensors. Expected the state of a network. {_ACCEPTED}"
        )
    return tensors


def is_pretrained_folder(folder: Path) -> bool:
    """Return whether a folder contains weights that 'pretrain' wrote."""
    return has_format(folder / PRETRAINED_DESCRIPTION, PRETRAINED_FORMAT)


def _from_folder(folder: Path) -> InitialWeights:
    """Read the folder of 'pretrain', or the network of a model folder."""
    if is_model_folder(folder):
        tensors = {
            k.removeprefix("network.0."): v
            for k, v in _read_file(folder / MODEL_WEIGHTS).items()
            if k.startswith("network.0.") and "segmentation_head" not in k
        }
        if not tensors:
            raise ModelError(
                f"The model '{folder}' has no network to start from, only a forest. {_ACCEPTED}"
            )
        description = _read_description(folder / "model.json")
        rows = (row for row in description.get("members", []) if row.get("kind") == "network")
        network: Mapping[str, Any] = next(rows, {})
        return _described(str(folder), tensors, description, network.get("architecture", {}))
    if not is_pretrained_folder(folder):
        raise ModelError(
            f"The folder '{folder}' holds no weights: there is no {PRETRAINED_DESCRIPTION} of geopointseg in it. {_ACCEPTED}"
        )
    description = _read_description(folder / PRETRAINED_DESCRIPTION)
    tensors = _read_file(folder / PRETRAINED_TENSORS)
    return _described(str(folder), tensors, description, description.get("architecture", {}))


def _read_description(path: Path) -> dict[str, Any]:
    try:
        return read_model_document(path)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"'{path}' is damaged ({error}). Expected the file as geopointseg wrote it; copy the folder again."
        ) from error


def _described(
    source: str,
    tensors: Mapping[str, Tensor],
    description: Mapping[str, Any],
    architecture: Mapping[str, Any],
) -> InitialWeights:
    try:
        return InitialWeights(
            source=source,
            tensors=tensors,
            scope="network",
            bands=tuple(str(b).lower() for b in description["bands"]),
            normalization=Normalization.from_json(description["normalization"]),
            common_names=tuple(description.get("common_names", ())),
            encoder_depth=int(architecture.get("encoder_depth", 0)),
            is_own=True,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(
            f"The description of the weights '{source}' is damaged ({type(error).__name__}: {error}). Expected the file as "
            "geopointseg wrote it; copy the folder again."
        ) from error


def _from_smp(name: str, encoder: str) -> InitialWeights:
    from segmentation_models_pytorch.encoders import (
        encoders,
        get_encoder,
        get_preprocessing_params,
    )

    settings = encoders[encoder]["pretrained_settings"]
    if name not in settings:
        raise ConfigError(
            f"There are no weights '{name}' for the encoder '{encoder}'. {nearest_names(name, settings)} {_ACCEPTED} "
            "Names of torchgeo, such as 'ResNet18_Weights.SENTINEL2_ALL_MOCO', are also accepted."
        )
    row = settings[name]
    wanted = f"https://huggingface.co/{row['repo_id']}/resolve/{row['revision']}/model.safetensors"
    with _download(name, wanted):
        tensors = get_encoder(encoder, in_channels=3, depth=5, weights=name).state_dict()
        bands, normalization = _of_photographs(get_preprocessing_params(encoder, name))
    return InitialWeights(name, tensors, "encoder", bands, normalization, is_8_bit=True)


def _from_timm(name: str, encoder: str) -> InitialWeights:
    import timm

    base = encoder.removeprefix("tu-").split(".")[0]
    tagged = name if "." in name else (encoder.removeprefix("tu-") if "." in encoder else base)
    if not timm.is_model_pretrained(tagged if name == "imagenet" else name):
        known = timm.list_pretrained(f"{base}.*")
        near = nearest_names(name, known) if known else f"timm has none for '{base}' at all."
        raise ConfigError(
            f"There are no weights '{name}' for the encoder '{encoder}'. {near} {_ACCEPTED}"
        )
    config = vars(timm.get_pretrained_cfg(tagged, allow_unregistered=False))
    wanted = config["url"] or f"https://huggingface.co/{config['hf_hub_id']}"
    if base == LITE0 and name in ("imagenet", tagged, f"{LITE0}.in1k"):
        stages = timm.create_model(base, features_only=True).state_dict()
        tensors = {key: value for key, value in pretrained_state(LITE0).items() if key in stages}
    else:
        with _download(name, wanted):
            tensors = timm.create_model(tagged, pretrained=True, features_only=True).state_dict()
    bands, normalization = _of_photographs(config)
    return InitialWeights(name, tensors, "encoder", bands, normalization, is_8_bit=True)


def _of_photographs(settings: Mapping[str, Any]) -> tuple[tuple[str, ...], Normalization]:
    """Return the order of the bands, and the normalization of values from 0 to 255 of a preprocessing."""
    scale = 255.0 / max(settings.get("input_range") or (0.0, 1.0))
    bands = _RGB[::-1] if settings.get("input_space") == "BGR" else _RGB
    mean, std = (np.array(settings[key], np.float64) * scale for key in ("mean", "std"))
    return bands, Normalization(mean, std)


def _from_torchgeo(name: str) -> InitialWeights:
    from torchgeo import models

    known = {
        str(w): w for key in dir(models) if key.endswith("_Weights") for w in getattr(models, key)
    }
    if name not in known:
        raise ConfigError(
            f"torchgeo has no weights '{name}'. {nearest_names(name, [*known])} {_ACCEPTED}"
        )
    weights = known[name]
    with _download(name, str(weights.url)):
        tensors = weights.get_state_dict(progress=False, weights_only=True)
    known_bands = weights.meta.get("bands")
    bands, sensor = known_bands or ["R", "G", "B"], name.split(".")[1]
    return InitialWeights(
        source=name,
        tensors=_unwrap(dict(tensors), Path(name)),
        scope="encoder",
        bands=band_common_names(bands, sensor),
        normalization=_normalization_in(weights.transforms, len(bands)),
        sensor=sensor if known_bands else "",
    )


def _normalization_in(transforms: Any, bands: int) -> Normalization | None:
    """Return the combined normalization of a sequence of transforms; None where there is none."""
    steps = list(transforms) if hasattr(transforms, "__iter__") else [transforms]
    mean, std, found = np.zeros(bands), np.ones(bands), False
    for step in steps:
        if type(step).__name__ == "Normalize":
            own = [
                np.broadcast_to(np.asarray(v, np.float64), (bands,)) for v in (step.mean, step.std)
            ]
            mean, std, found = mean + std * own[0], std * own[1], True
    return Normalization(mean, std) if found else None


@contextmanager
def _download(name: str, wanted: str) -> Iterator[None]:
    """Convert any error of a download to a `ModelError` that names the file."""
    try:
        yield
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160].rstrip(".")
        raise ModelError(
            f"The weights '{name}' could not be downloaded from {wanted} ({reason}). {_ACCEPTED}"
        ) from error
