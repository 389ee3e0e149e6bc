"""Assignment of the bands of weights to the bands of a scene: by wavelength, name, colour or number.

Names on both sides are converted to the same keys, so the band ``swir1`` of a model and ``swir16`` of a scene agree. Two
bands of a scene share one band of the weights only if both have its name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor, stack

from geopointseg.bands.band_names import INDICES, common_name
from geopointseg.raster.band import Band

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
_CENTRES_UM = {
    "SENTINEL2": {
        "coastal": 0.443, "blue": 0.492, "green": 0.560, "red": 0.665, "rededge": 0.704, "b6": 0.740, "b7": 0.783,
        "nir": 0.833, "nir08": 0.865, "nir09": 0.945, "cirrus": 1.374, "swir16": 1.614, "swir22": 2.202,
    }
}  # fmt: skip
_NEAR_SHARE = 0.03
_LETTERS = {"r": "red", "g": "green", "b": "blue", "n": "nir"}
_NUMBERED = re.compile(r"band_(\d+)(?::(\w+))?")


def band_common_names(names: Sequence[str], sensor: str = "") -> tuple[str, ...]:
    """Return common names (red, nir ...) of the bands of weights.

    Parameters
    ----------
    names
        Names of the bands.
    sensor
        Sensor of the weights (``SENTINEL2_ALL_MOCO`` ...); empty where unknown.

    Returns
    -------
    tuple of str
        A name per band.

    Examples
    --------
    >>> band_common_names(["B04", "B8A"], "SENTINEL2_RGB_MOCO")
    ('red', 'nir08')
    >>> band_common_names(["SR_B1"], "LANDSAT_ETM_SR_MOCO")
    ('blue',)
    """
    table = _of_sensor(_SENSORS, sensor)
    plain = [re.sub(r"^(sr_)?b0*(?=\d)", "b", name.lower()) for name in names]
    return tuple(table.get(p) or (p if table else _LETTERS.get(p, p)) for p in plain)


def match_bands(
    wanted: Sequence[str], bands: Sequence[Band], *, common: Sequence[str] = (), sensor: str = ""
) -> list[int | None] | None:
    """Assign a band of the weights to each band of a scene.

    Parameters
    ----------
    wanted
        Names or specifications (`band_specs`) of the bands of the weights.
    bands
        Bands of the scene.
    common
        Common names of the bands of the weights; empty strings where unknown.
    sensor
        Sensor whose band numbers the scene may use (``SENTINEL2_ALL_MOCO`` ...); empty where unknown.

    Returns
    -------
    list of int or None
        Position of a band of the weights for each band of the scene, None for a band without one. None instead of the
        list if no band has one.

    Examples
    --------
    >>> match_bands(["red", "swir1"], [Band(1, "swir16"), Band(2, "green"), Band(3, "R")])
    [1, None, 0]
    """
    there = [
        _keys_in(name, known)
        for name, known in zip(wanted, common or [""] * len(wanted), strict=True)
    ]
    here = [_keys_of(band) for band in bands]
    source: list[int | None] = [None] * len(bands)
    for agree in _agreements(there, here, bands, sensor):
        found = _match_once(source, len(there), agree)
        source = [new if old is None else old for old, new in zip(source, found, strict=True)]
    return source if any(position is not None for position in source) else None


def fit_bands(kernel: Tensor, source: Sequence[int | None] | None, bands: int) -> Tensor:
    """Adapt the kernels of a first convolution to another number or order of bands.

    Parameters
    ----------
    kernel
        float ``(out, in, row, col)``.
    source
        The result of `match_bands`.
    bands
        Number of bands of the scene.

    Returns
    -------
    Tensor
        float ``(out, band, row, col)``, scaled so that activations keep their magnitude.
    """
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
    return stack(planes, dim=1) * scale


@dataclass(frozen=True)
class _Keys:
    """Keys of a band: names and formulas, the common name, and the number of a band without a name."""

    names: frozenset[str]
    common: str
    number: int = 0


def _keys_in(name: str, common: str) -> _Keys:
    numbered = _NUMBERED.fullmatch(name.lower())
    if numbered:
        return _Keys(frozenset(), common or _common(numbered[2] or ""), int(numbered[1]))
    _, equals, formula = name.partition("=")
    if equals:
        return _Keys(frozenset({_squeezed(formula)}), common)
    meant = {_squeezed(name), _squeezed(INDICES.get(name.lower(), name))}
    return _Keys(frozenset(meant), common or _common(name))


def _keys_of(band: Band) -> _Keys:
    numbered = _NUMBERED.fullmatch(band.label.lower())
    if numbered:
        return _Keys(frozenset(), common_name(replace(band, name="")), int(numbered[1]))
    formula = "" if band.expression is None else band.expression.text
    return _Keys(frozenset({_squeezed(band.name), _squeezed(formula)} - {""}), common_name(band))


def _common(name: str) -> str:
    return common_name(Band(0, name))


def _squeezed(text: str) -> str:
    return "".join(text.lower().split())


_Agree = Callable[[int, int], bool]


def _agreements(
    there: Sequence[_Keys], here: Sequence[_Keys], bands: Sequence[Band], sensor: str
) -> Iterator[_Agree]:
    """Yield criteria for whether band i of the scene is band p of the weights, the most reliable one first."""
    centres = _of_sensor(_CENTRES_UM, sensor)
    nearest = _nearest_centres(bands, centres)
    numbering = [
        "" if centres and band.wavelength_um is not None else band.label.lower() for band in bands
    ]
    sensors = band_common_names(numbering, sensor) if sensor else numbering
    vague = _vague_names(here, bands)
    yield lambda i, p: nearest[i] in there[p].names
    yield lambda i, p: bool(numbering[i]) and bool(here[i].names & there[p].names)
    yield lambda i, p: bool(sensors[i]) and sensors[i] in there[p].names
    yield lambda i, p: here[i].common not in vague and here[i].common == there[p].common
    yield (
        lambda i, p: (
            0 < here[i].number == there[p].number
            and (here[i].common in {"", there[p].common} or not there[p].common)
        )
    )


def _match_once(source: Sequence[int | None], given: int, agree: _Agree) -> list[int | None]:
    taken = set(source)
    found: list[int | None] = []
    for i, known in enumerate(source):
        fitting = [p for p in range(given) if known is None and p not in taken and agree(i, p)]
        unused = [p for p in fitting if p not in found]
        found.append(next(iter(unused or fitting), None))
    return found


def _nearest_centres(bands: Sequence[Band], centres: Mapping[str, float]) -> list[str]:
    """Return the sensor's band nearest to the wavelength of each band, each used once; empty where none is near."""
    nearest = [""] * len(bands)
    pairs = sorted(
        (abs(band.wavelength_um - centre), i, name)
        for i, band in enumerate(bands)
        if band.wavelength_um is not None
        for name, centre in centres.items()
        if abs(band.wavelength_um - centre) <= _NEAR_SHARE * centre
    )
    closest: dict[int, str] = {}
    for _, i, name in pairs:
        if closest.setdefault(i, name) == name and name not in nearest:
            nearest[i] = name
    return nearest


def _vague_names(here: Sequence[_Keys], bands: Sequence[Band]) -> set[str]:
    """Return common names of several bands that are not all given by names: a wavelength range may contain several bands."""
    counts = Counter(keys.common for keys in here)
    by_name = [_common(band.name) for band in bands]
    pairs = zip(here, by_name, strict=True)
    return {""} | {k.common for k, name in pairs if counts[k.common] > 1 and name != k.common}


def _of_sensor[T](tables: Mapping[str, Mapping[str, T]], sensor: str) -> Mapping[str, T]:
    return next((table for prefix, table in tables.items() if sensor.startswith(prefix)), {})
