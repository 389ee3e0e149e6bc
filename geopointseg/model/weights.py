"""Starting weights of a network, and their adaptation to the bands of a scene.

Every tensor of the encoder must get its weights, and bands without weights of their own are reported. Otherwise a training
could silently start from random weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor, nn

from geopointseg.errors import ModelError
from geopointseg.model.architecture import Network
from geopointseg.model.member import Normalization
from geopointseg.model.weight_bands import fit_bands, match_bands
from geopointseg.progress import Reporter
from geopointseg.raster.band import Band


@dataclass(frozen=True, eq=False)
class InitialWeights:
    """Starting weights, with their bands and normalization.

    Parameters
    ----------
    source
        The name, file or folder that the user gave.
    tensors
        Tensors by the names of the encoder (``scope`` encoder) or of the `Network` (``scope`` network).
    scope
        Whether the tensors are those of an encoder or of a whole network.
    bands
        Names of the bands of their training; empty where unknown.
    normalization
        Normalization of their training; None where a scene is normalized by its own statistics.
    is_8_bit
        Whether the normalization is for values from 0 to 255 in ``bands``, and not valid for other units and bands.
    common_names
        Common names of ``bands``; empty strings where unknown.
    sensor
        Sensor of the bands (``SENTINEL2_ALL_MOCO`` ...); empty where unknown.
    encoder_depth
        Encoder depth of their network; 0 where unknown.
    is_own
        Whether `pretrain` or `train` made them; then batch statistics are updated during training.
    """

    source: str
    tensors: Mapping[str, Tensor]
    scope: Literal["encoder", "network"]
    bands: tuple[str, ...] = ()
    normalization: Normalization | None = None
    is_8_bit: bool = False
    common_names: tuple[str, ...] = ()
    sensor: str = ""
    encoder_depth: int = 0
    is_own: bool = False


def apply_weights(
    network: Network,
    weights: InitialWeights,
    bands: Sequence[Band],
    reporter: Reporter | None = None,
) -> Normalization | None:
    """Load starting weights into a network.

    The first convolution is adapted to the bands of the scene: by name if the weights and the scene have names; else in
    order if the numbers agree; else the kernels are repeated and scaled, so that activations keep their magnitude. A band
    without a kernel gets the mean of the kernels.

    Parameters
    ----------
    network
        Modified in place.
    weights
        As `find_weights` returns them.
    bands
        Bands of the scene, in order.
    reporter
        Gets warnings about bands without a kernel of their own, and about unused tensors.

    Returns
    -------
    Normalization or None
        Normalization of the weights for these bands, NaN for a band without one; None where the statistics of the scene
        are used.

    Raises
    ------
    ModelError
        If the shape of a tensor differs, a part of the encoder has no weights, or a scene with another number of bands has
        none of the bands of the weights' sensor.
    """
    reporter = reporter or Reporter()
    source = match_bands(weights.bands, bands, common=weights.common_names, sensor=weights.sensor)
    target: nn.Module = network if weights.scope == "network" else network.encoder
    state = target.state_dict()
    tensors = _rename(weights.tensors, state)
    first = _first_convolution(network.encoder)
    name = f"body.encoder.{first}" if weights.scope == "network" else first
    if name in tensors and name in state:
        _report_bands(weights, source, bands, tensors[name].shape[1], reporter)
        tensors[name] = fit_bands(tensors[name], source, state[name].shape[1])
    fitting = {k: v for k, v in tensors.items() if k in state and state[k].shape == v.shape}
    _require_fit(weights, tensors, state, fitting)
    _report_unused(weights, tensors, fitting, reporter)
    target.load_state_dict(fitting, strict=False)
    return _normalization_of(weights, source, len(bands))


def _report_bands(
    weights: InitialWeights,
    source: Sequence[int | None] | None,
    bands: Sequence[Band],
    given: int,
    reporter: Reporter,
) -> None:
    """Report bands without a kernel of their own; raise `ModelError` if no band is one of the sensor's."""
    here = ", ".join(band.label for band in bands)
    theirs = ", ".join(weights.bands) or f"{given} without names"
    if source is not None:
        lacking = [b.label for b, p in zip(bands, source, strict=True) if p is None]
        if lacking:
            reporter.warn(
                f"The weights '{weights.source}' have no band for {', '.join(lacking)}; theirs are {theirs}. Each of "
                "these bands starts from the mean of all their kernels. Name the bands of the scene as the weights do, "
                "or choose with [scene] bands those that both have."
            )
    elif given == len(bands):
        report = reporter.warn if weights.sensor else reporter.log
        report(
            f"The bands of the scene ({here}) are taken in their order as those of the weights '{weights.source}' "
            f"({theirs}), because they have no name in common."
        )
    elif weights.sensor:
        raise ModelError(
            f"None of the scene's {len(bands)} bands ({here}) is one of the {given} bands of the weights "
            f"'{weights.source}'. Expected some of {theirs}; name the bands of the scene like these (gdal_edit, or band "
            "descriptions in QGIS), or choose other weights."
        )
    else:
        reporter.warn(
            f"The weights '{weights.source}' have {given} bands ({theirs}) and the scene has {len(bands)} ({here}), and "
            "they have no name in common. The kernels are repeated in order; name the bands of the scene to assign them."
        )


def _report_unused(
    weights: InitialWeights,
    tensors: Mapping[str, Tensor],
    fitting: Mapping[str, Tensor],
    reporter: Reporter,
) -> None:
    unused = [
        k
        for k in tensors
        if weights.scope == "network" and k not in fitting and not _is_encoders(k)
    ]
    if unused:
        reporter.log(
            f"{len(unused)} tensors of the decoder in the weights '{weights.source}', such as '{unused[0]}', do not fit "
            "this decoder and are not used; these parts start from random weights."
        )


def _is_encoders(name: str) -> bool:
    return ".encoder." in name


def _normalization_of(
    weights: InitialWeights, source: Sequence[int | None] | None, bands: int
) -> Normalization | None:
    norm = weights.normalization
    if norm is None or (weights.is_8_bit and source is None):
        return None
    if source is None:
        if len(norm.mean) == bands:
            return norm
        picked = [i % len(norm.mean) for i in range(bands)]
        return Normalization(norm.mean[picked], norm.std[picked])
    elsewhere = (np.nan, np.nan) if weights.is_8_bit else (norm.mean.mean(), norm.std.mean())
    mean = [elsewhere[0] if p is None else norm.mean[p] for p in source]
    std = [elsewhere[1] if p is None else norm.std[p] for p in source]
    return Normalization(np.array(mean), np.array(std))


def _first_convolution(encoder: nn.Module) -> str:
    for name, module in encoder.named_modules():
        if isinstance(module, nn.Conv2d):
            return f"{name}.weight"
    return ""


def _rename(tensors: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Replace the prefix of a trainer or wrapper by the expected one; the pair that fits most names is used."""
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
    weights: InitialWeights,
    tensors: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    fitting: Mapping[str, Tensor],
) -> None:
    encoder = [
        k
        for k in state
        if (weights.scope == "encoder" or _is_encoders(k)) and not k.endswith("num_batches_tracked")
    ]
    wrong = next((k for k in encoder if k in tensors and k not in fitting), None)
    missing = [k for k in encoder if k not in tensors]
    if wrong is None and not missing:
        return
    if wrong is None and len(missing) == len(encoder):
        found = next(iter(tensors), "nothing")
        raise ModelError(
            f"The weights '{weights.source}' hold tensors like '{found}'. The encoder expects names like "
            f"'{encoder[0]}'; choose the encoder that the weights were trained with ([model] encoder)."
        )
    if wrong is None:
        depth = f" = {weights.encoder_depth}" if weights.encoder_depth else ""
        raise ModelError(
            f"The weights '{weights.source}' lack {len(missing)} of the encoder's {len(encoder)} tensors, from "
            f"'{missing[0]}' on, which would stay random. Expected all of them; set [model] encoder_depth{depth}, encoder "
            "and norm as the weights were trained with."
        )
    raise ModelError(
        f"The weights '{weights.source}' do not fit the encoder: '{wrong}' has the shape "
        f"{tuple(tensors[wrong].shape)}, and {tuple(state[wrong].shape)} is expected. Choose the encoder that the "
        "weights were trained with ([model] encoder)."
    )
