"""Starting weights: by name, from a file, or from a folder that pretraining wrote.

A name is one of segmentation-models-pytorch's for the encoder (``imagenet`` ...), or a member of a torchgeo weights
enumeration (``ResNet18_Weights.SENTINEL2_ALL_MOCO``), whose band order and normalization come with it. Where a
download fails, the error names the file that was wanted and what else is accepted; nothing is ever trained from random
weights unless ``none`` was asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from geopointseg.errors import ConfigError, InputFileError, ModelError, nearest_names
from geopointseg.model.architecture import Network
from geopointseg.model.bundle import WEIGHTS_FILE as MODEL_WEIGHTS
from geopointseg.model.bundle import is_model_folder
from geopointseg.model.member import Normalization
from geopointseg.raster.band import Band
from geopointseg.raster.band_names import common_name

PRETRAINED_FORMAT = "geopointseg weights"
PRETRAINED_TENSORS = "weights.safetensors"
PRETRAINED_DESCRIPTION = "weights.json"
_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
_ACCEPTED = (
    "Accepted are a file of weights (.safetensors, .pth), a folder written by 'geopointseg pretrain', or 'none' for "
    "random weights."
)
_WRAPPERS = ("state_dict", "model_state_dict", "model", "teacher", "student", "encoder")
_LEAST_SHARE = 0.5

_SENTINEL2 = {
    "b1": "coastal", "b2": "blue", "b3": "green", "b4": "red", "b5": "rededge", "b8": "nir", "b8a": "nir08", "b9": "nir09",
    "b10": "cirrus", "b11": "swir16", "b12": "swir22",
}  # fmt: skip
_LANDSAT_TM = {
    "b1": "blue",
    "b2": "green",
    "b3": "red",
    "b4": "nir",
    "b5": "swir16",
    "b6": "lwir",
    "b7": "swir22",
}
_LANDSAT_OLI = {
    "b1": "coastal", "b2": "blue", "b3": "green", "b4": "red", "b5": "nir", "b6": "swir16", "b7": "swir22", "b9": "cirrus",
    "b10": "lwir11", "b11": "lwir12",
}  # fmt: skip
_SENSORS = {
    "SENTINEL2": _SENTINEL2,
    "LANDSAT_TM": _LANDSAT_TM,
    "LANDSAT_ETM": _LANDSAT_TM,
    "LANDSAT": _LANDSAT_OLI,
}
_LETTERS = {"r": "red", "g": "green", "b": "blue", "n": "nir"}


@dataclass(frozen=True, eq=False)
class StartingWeights:
    """Tensors to start from and what they expect.

    Parameters
    ----------
    source
        What the user named.
    tensors
        By the names of the encoder (``scope`` encoder) or of the whole `Network` (``scope`` network).
    scope
        Whether they are an encoder's or a whole network's.
    bands
        Common names of the bands that they were trained with, empty where not known.
    normalization
        That they were trained with, None where scenes are to be normalized by their own statistics.
    """

    source: str
    tensors: Mapping[str, Tensor]
    scope: Literal["encoder", "network"]
    bands: tuple[str, ...] = ()
    normalization: Normalization | None = None


def find_weights(name: str, encoder: str) -> StartingWeights | None:
    """Find starting weights by what the user named.

    Parameters
    ----------
    name
        ``none``, a name, a file or a folder.
    encoder
        The encoder that they are for.

    Returns
    -------
    StartingWeights or None
        None for ``none``.

    Raises
    ------
    ConfigError
        If there are no weights of that name for the encoder; the message names the nearest.
    InputFileError
        If the file does not exist.
    ModelError
        If a file is damaged or a download fails.
    """
    if name.lower() in {"none", ""}:
        return None
    path = Path(name)
    if path.is_dir():
        return _from_folder(path)
    if path.suffix.lower() in _SUFFIXES or path.is_file():
        return StartingWeights(name, _read_file(path), "encoder")
    if "_Weights." in name:
        return _from_torchgeo(name)
    if encoder.startswith("tu-"):
        return _from_timm(name, encoder)
    return _from_smp(name, encoder)


def apply_weights(
    network: Network, weights: StartingWeights, bands: Sequence[Band]
) -> Normalization | None:
    """Put starting weights into a network.

    The first convolution is fitted to the scene's bands: by name where both sides have names, else in order where
    the numbers agree, else the kernels are cycled and scaled so that activations keep their size.

    Parameters
    ----------
    network
        Changed in place.
    weights
        As found.
    bands
        Bands of the scene, in order.

    Returns
    -------
    Normalization or None
        The weights' own normalization for these bands, None where the scene's own statistics are to be used.

    Raises
    ------
    ModelError
        If a tensor has another shape, or less than half of the encoder finds its weights.
    """
    source = _choose_source(weights.bands, bands)
    target: nn.Module = network if weights.scope == "network" else network.encoder
    state = target.state_dict()
    tensors = _rename(weights.tensors, state)
    first = _first_convolution(network.encoder)
    name = f"body.encoder.{first}" if weights.scope == "network" else first
    if name in tensors and name in state:
        tensors[name] = _fit_bands(tensors[name], source, state[name].shape[1])
    fitting = {k: v for k, v in tensors.items() if k in state and state[k].shape == v.shape}
    _require_fit(weights, tensors, state, fitting)
    target.load_state_dict(fitting, strict=False)
    return _normalization_of(weights, source, len(bands))


def band_common_names(names: Sequence[str], sensor: str = "") -> tuple[str, ...]:
    """Return common names (red, nir ...) of a weights' bands.

    Examples
    --------
    >>> band_common_names(["B04", "B8A"], "SENTINEL2_RGB_MOCO")
    ('red', 'nir08')
    >>> band_common_names(["SR_B1"], "LANDSAT_ETM_SR_MOCO")
    ('blue',)
    """
    table = next((t for prefix, t in _SENSORS.items() if sensor.startswith(prefix)), {})
    plain = [re.sub(r"^(sr_)?b0*(?=\d)", "b", name.lower()) for name in names]
    return tuple(table.get(p) or (p if table else _LETTERS.get(p, p)) for p in plain)


def _choose_source(wanted: Sequence[str], bands: Sequence[Band]) -> list[int | None] | None:
    """Return which of the weights' bands each scene band takes; None where names say nothing."""
    names = [common_name(band) or band.name.lower() for band in bands]
    found = [wanted.index(name) if name and name in wanted else None for name in names]
    return found if any(position is not None for position in found) else None


def _fit_bands(kernel: Tensor, source: list[int | None] | None, bands: int) -> Tensor:
    """Return a first convolution ``(out, in, row, col)`` for another number or order of bands."""
    given = kernel.shape[1]
    if source is None:
        if given == bands:
            return kernel
        cycled = kernel[:, [i % given for i in range(bands)]]
        return cycled * (given / bands)
    mean = kernel.mean(dim=1)
    planes = [mean if position is None else kernel[:, position] for position in source]
    scale = (
        1.0
        if sorted(p for p in source if p is not None) == list(range(given)) == list(range(bands))
        else given / bands
    )
    return torch.stack(planes, dim=1) * scale


def _normalization_of(
    weights: StartingWeights, source: list[int | None] | None, bands: int
) -> Normalization | None:
    norm = weights.normalization
    if norm is None:
        return None
    if source is None:
        if len(norm.mean) == bands:
            return norm
        picked = [i % len(norm.mean) for i in range(bands)]
        return Normalization(norm.mean[picked], norm.std[picked])
    mean = [norm.mean.mean() if p is None else norm.mean[p] for p in source]
    std = [norm.std.mean() if p is None else norm.std[p] for p in source]
    return Normalization(np.array(mean), np.array(std))


def _first_convolution(encoder: nn.Module) -> str:
    for name, module in encoder.named_modules():
        if isinstance(module, nn.Conv2d):
            return f"{name}.weight"
    return ""


def _rename(tensors: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Exchange the prefix that a trainer or wrapper left for the one expected, whichever fits most names."""
    ours, theirs = list(state), list(tensors)
    probes = [
        names[len(names) * part // 7] for names in (ours, theirs) for part in range(7) if names
    ]
    found = {
        (k[: -len(p)], q[: -len(p)])
        for p in probes
        for k in theirs
        if k.endswith(p)
        for q in ours
        if q.endswith(p)
    }
    best = max(sorted(found), key=lambda pair: _matches(tensors, state, *pair), default=("", ""))
    return {
        best[1] + k.removeprefix(best[0]): v for k, v in tensors.items() if k.startswith(best[0])
    }


def _matches(
    tensors: Mapping[str, Tensor], state: Mapping[str, Tensor], given: str, wanted: str
) -> int:
    return sum(wanted + k.removeprefix(given) in state for k in tensors if k.startswith(given))


def _require_fit(
    weights: StartingWeights,
    tensors: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    fitting: Mapping[str, Tensor],
) -> None:
    encoder = [k for k in state if weights.scope == "encoder" or ".encoder." in k]
    wrong = next((k for k in encoder if k in tensors and k not in fitting), None)
    known = len(fitting.keys() & set(encoder))
    if wrong is None and known >= _LEAST_SHARE * len(encoder):
        return
    if wrong is None:
        found = next(iter(tensors), "nothing")
        raise ModelError(
            f"The weights '{weights.source}' hold tensors like '{found}'. The encoder expects names like "
            f"'{encoder[0]}'; choose the encoder that the weights were trained with ([model] encoder)."
        )
    raise ModelError(
        f"The weights '{weights.source}' do not fit the encoder: '{wrong}' has the shape "
        f"{tuple(tensors[wrong].shape)}, and {tuple(state[wrong].shape)} is expected. Choose the encoder that the "
        "weights were trained with ([model] encoder)."
    )


def _read_file(path: Path) -> dict[str, Tensor]:
    if not path.exists():
        raise InputFileError(f"The weights '{path}' do not exist. Check the path. {_ACCEPTED}")
    try:
        if path.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
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
    """Whether a folder holds weights that 'pretrain' wrote."""
    try:
        text = (folder / PRETRAINED_DESCRIPTION).read_text(encoding="utf-8")
        return bool(json.loads(text).get("format") == PRETRAINED_FORMAT)
    except (OSError, ValueError, AttributeError):
        return False


def _from_folder(folder: Path) -> StartingWeights:
    """Read what 'pretrain' wrote, or the network of a model folder."""
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
        description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        return _described(str(folder), tensors, description)
    if not is_pretrained_folder(folder):
        raise ModelError(
            f"The folder '{folder}' holds no weights: there is no {PRETRAINED_DESCRIPTION} of geopointseg in it. {_ACCEPTED}"
        )
    description = json.loads((folder / PRETRAINED_DESCRIPTION).read_text(encoding="utf-8"))
    return _described(str(folder), _read_file(folder / PRETRAINED_TENSORS), description)


def _described(
    source: str, tensors: Mapping[str, Tensor], description: Mapping[str, Any]
) -> StartingWeights:
    return StartingWeights(
        source=source,
        tensors=tensors,
        scope="network",
        bands=tuple(str(b).lower() for b in description["bands"]),
        normalization=Normalization.from_json(description["normalization"]),
    )


def _from_smp(name: str, encoder: str) -> StartingWeights:
    from segmentation_models_pytorch.encoders import encoders, get_encoder

    settings = encoders[encoder]["pretrained_settings"]
    if name not in settings:
        raise ConfigError(
            f"There are no weights '{name}' for the encoder '{encoder}'. {nearest_names(name, settings)} {_ACCEPTED} "
            "Names of torchgeo, such as 'ResNet18_Weights.SENTINEL2_ALL_MOCO', are accepted, too."
        )
    row = settings[name]
    wanted = f"https://huggingface.co/{row['repo_id']}/resolve/{row['revision']}/model.safetensors"
    with _download(name, wanted):
        tensors = get_encoder(encoder, in_channels=3, depth=5, weights=name).state_dict()
    return StartingWeights(name, tensors, "encoder", ("red", "green", "blue"))


def _from_timm(name: str, encoder: str) -> StartingWeights:
    import timm

    base = encoder.removeprefix("tu-").split(".")[0]
    tagged = name if "." in name else (encoder.removeprefix("tu-") if "." in encoder else base)
    if name != "imagenet" and not timm.is_model_pretrained(name):
        known = timm.list_pretrained(f"{base}.*")
        raise ConfigError(
            f"There are no weights '{name}' for the encoder '{encoder}'. {nearest_names(name, ['imagenet', *known])} "
            f"{_ACCEPTED}"
        )
    config = timm.get_pretrained_cfg(tagged)
    wanted = (
        getattr(config, "url", "") or f"https://huggingface.co/{getattr(config, 'hf_hub_id', '')}"
    )
    with _download(name, wanted):
        tensors = timm.create_model(tagged, pretrained=True, features_only=True).state_dict()
    return StartingWeights(name, tensors, "encoder", ("red", "green", "blue"))


def _from_torchgeo(name: str) -> StartingWeights:
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
    bands = weights.meta.get("bands") or ["R", "G", "B"]
    return StartingWeights(
        source=name,
        tensors=_unwrap(dict(tensors), Path(name)),
        scope="encoder",
        bands=band_common_names(bands, name.split(".")[1]),
        normalization=_normalization_in(weights.transforms, len(bands)),
    )


def _normalization_in(transforms: Any, bands: int) -> Normalization | None:
    """Return what the normalizing steps of a chain of transforms come to, None where there are none."""
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
    """Turn whatever goes wrong in a download into one sentence that names the file."""
    try:
        yield
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160].rstrip(".")
        raise ModelError(
            f"The weights '{name}' could not be downloaded from {wanted} ({reason}). {_ACCEPTED}"
        ) from error
