"""Starting weights: what they hold, and how they are put into a network.

Every tensor of the encoder has to find its weights, and bands that do not find their own are told: a training that
starts from less than what was asked for would not show it.
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
        Names of the bands that they were trained with, empty where not known.
    normalization
        That they were trained with, None where scenes are to be normalized by their own statistics.
    is_8_bit
        Whether the normalization is for values of 0..255 in ``bands``, and says nothing of other units and bands.
    common_names
        Common names of ``bands`` where they are known, empty ones elsewhere.
    sensor
        Whose bands they are (``SENTINEL2_ALL_MOCO`` ...), empty where they are nobody's.
    encoder_depth
        That of the network that they were taken from, 0 where not known.
    is_own
        Whether this library made them from chips like those of a training: then the statistics of batch normalization
        go on adapting.
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
    weights: StartingWeights,
    bands: Sequence[Band],
    reporter: Reporter | None = None,
) -> Normalization | None:
    """Put starting weights into a network.

    The first convolution is fitted to the scene's bands: by name where both sides have names, else in order where
    the numbers agree, else the kernels are cycled and scaled so that activations keep their size. A band that the
    weights lack gets the mean of their kernels.

    Parameters
    ----------
    network
        Changed in place.
    weights
        As found.
    bands
        Bands of the scene, in order.
    reporter
        Told about bands that find no kernel of their own, and of what was left out.

    Returns
    -------
    Normalization or None
        The weights' own normalization for these bands, NaN for a band of which it says nothing; None where the
        scene's own statistics are to be used.

    Raises
    ------
    ModelError
        If a tensor has another shape, a part of the encoder finds no weights, or none of the bands of a sensor's
        weights is found in a scene with another number of bands.
    """
    reporter = reporter or Reporter()
    source = match_bands(weights.bands, bands, common=weights.common_names, sensor=weights.sensor)
    target: nn.Module = network if weights.scope == "network" else network.encoder
    state = target.state_dict()
    tensors = _rename(weights.tensors, state)
    first = _first_convolution(network.encoder)
    name = f"body.encoder.{first}" if weights.scope == "network" else first
    if name in tensors and name in state:
        _tell_bands(weights, source, bands, tensors[name].shape[1], reporter)
        tensors[name] = fit_bands(tensors[name], source, state[name].shape[1])
    fitting = {k: v for k, v in tensors.items() if k in state and state[k].shape == v.shape}
    _require_fit(weights, tensors, state, fitting)
    _tell_unused(weights, tensors, fitting, reporter)
    target.load_state_dict(fitting, strict=False)
    return _normalization_of(weights, source, len(bands))


def _tell_bands(
    weights: StartingWeights,
    source: Sequence[int | None] | None,
    bands: Sequence[Band],
    given: int,
    reporter: Reporter,
) -> None:
    """Say which bands start from kernels that are not their own; refuse bands that are plainly not the sensor's."""
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
        tell = reporter.warn if weights.sensor else reporter.log
        tell(
            f"The bands of the scene ({here}) are taken in their order as those of the weights '{weights.source}' "
            f"({theirs}), because no name is on both sides."
        )
    elif weights.sensor:
        raise ModelError(
            f"None of the scene's {len(bands)} bands ({here}) is one of the {given} bands of the weights "
            f"'{weights.source}'. Expected some of {theirs}; name the bands of the scene like these (gdal_edit, or band "
            "descriptions in QGIS), or choose other weights."
        )
    else:
        reporter.warn(
            f"The weights '{weights.source}' have {given} bands ({theirs}) and the scene has {len(bands)} ({here}), none "
            "with a name that both know. Their kernels are repeated in order; name the bands of the scene to choose."
        )


def _tell_unused(
    weights: StartingWeights,
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
            "this decoder and are not used: what they are for starts at random."
        )


def _is_encoders(name: str) -> bool:
    return ".encoder." in name


def _normalization_of(
    weights: StartingWeights, source: Sequence[int | None] | None, bands: int
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
