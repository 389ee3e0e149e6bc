"""The file ``model.json`` of a model folder: read, and checked against shapes and limits, before anything is allocated.

A model from an unknown source could name 10^12 classes or a context of 10^9 pixels, and exhaust the memory of the machine.
Every number that decides the size of an array has a limit here, far above that of any real model. Every part that is read
anywhere has a shape here, so that a damaged part is named when the folder is opened, and not where its values are used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from geopointseg.markup import conforming, read_json

MOST_CLASSES = 1024
"""Largest number of classes of a legend. A map keeps the probabilities of all classes where tiles meet, so more of them take tens of
kilobytes of disk per pixel."""
MOST_BANDS = 4096
"""A network is tried with an image of 64 x 128 pixels when it is built, so more bands or classes take gigabytes."""
MOST_MEMBERS = 64
_LONGEST_NAME = 1000
_MOST_POINTS = 2**40
_ROUNDING = 1e-6
_WIDEST_PX = 4096
_NUMBERS = {
    "format_version": (1, 2**20),
    "resolution_m": (0.0, 1e9),
    "chip_size": (0, 2**14),
    "receptive_field_px": (0, 2**14),
    "temperature": (1e-3, 1e3),
    "weight": (0.0, 1e6),
    "margin_px": (0, _WIDEST_PX),
    "features": (1, 2**22),
    "trees": (1, 10**5),
    "smoothing_radius_px": (0, _WIDEST_PX // 4),
    "encoder_depth": (1, 8),
    "count": (1, 2**20),
    "neighbours": (1, 2**10),
    "code": (0, 2**32 - 1),
    "overall_accuracy": (0.0, 1.0),
    "mean_f1": (0.0, 1.0),
}
"""Smallest and largest value of the numbers of a model, its classes, members, scores, forests and architectures."""
_WHOLE = frozenset(
    ("chip_size", "receptive_field_px", "margin_px", "features", "trees", "smoothing_radius_px", "encoder_depth", "count")
) | {"neighbours", "code", "format_version"}  # fmt: skip
"""Numbers of these that have no fraction."""
_SEQUENCES = {"scales": (1e-3, _WIDEST_PX / 16, 64), "decoder_channels": (1, 8192, 8)}
"""Smallest and largest value, and largest number of entries."""

_MOMENTS = {"mean": [float], "std": [float]}
_ARCHITECTURE = {
    "architecture": str, "encoder": str, "norm": str, "upsampling": str, "decoder_channels": [float],
}  # fmt: skip
_DECISIONS = {
    "filter_share": float, "radius_px": float, "prevalence": [float],
    "held_out_loss_by_filter_share": {str: float}, "held_out_loss_by_radius": {str: float},
}  # fmt: skip
_FOREST = {"scales": [float], "kinds": [str], "decisions": _DECISIONS}
_MEMBER = {
    "kind": str, "normalization": _MOMENTS, "bands": [float], "forest": _FOREST, "architecture": _ARCHITECTURE,
}  # fmt: skip
_EMBEDDING = {
    "product": str, "version": str, "year": (str, float), "licence": str, "attribution": str, "dimensions": float, "bands": [str],
}  # fmt: skip
_BINS = ("edges", "count", "confidence", "accuracy", "low", "high")
_RELIABILITY = {"expected_calibration_error": float} | {key: [float] for key in _BINS}
_BAND_STATISTICS = {
    "name": str, "count": float, "mean": float, "std": float, "minimum": float, "maximum": float,
    "values": [float], "counts": [float],
}  # fmt: skip
_STATISTICS_OF_PIXELS = ("count", "mean", "std", "minimum", "maximum")
"""Statistics that are null for bands without valid pixels."""
_STATISTICS = {"bands": [_BAND_STATISTICS], "sample": [[float]], "dtype": str, "source": str}
_THUMBNAIL = {
    "name": str, "crs": str, "transform": [float], "shape": [float], "low": [float], "step": [float], "pixels": str,
}  # fmt: skip
_STYLE = {"method": str, "reference": _STATISTICS, "ground": [_THUMBNAIL]}
_SCENE = {
    "name": str, "role": str, "crs": str, "shape": [float], "bounds": [float], "bounds_wgs84": [float], "sha256": str,
}  # fmt: skip
_SHAPES: dict[str, Any] = {
    "format": str,
    "format_version": float,
    "legend": [{"code": float, "name": str, "color": str}],
    "bands": [str],
    "common_names": [str],
    "normalization": _MOMENTS,
    "members": [_MEMBER],
    "architecture": _ARCHITECTURE,
    "config": {str: {}},
    "reason": str,
    "scores": {"how": str, str: {"overall_accuracy": float, "mean_f1": float, "loss": float}},
    "calibration": {
        "temperature": float, "points": float, "reason": str, "before": _RELIABILITY, "after": _RELIABILITY,
    },
    "seed": float,
    "embedding": _EMBEDDING,
    "companion": _EMBEDDING,
    "style": _STYLE,
    "metadata": {"style": _STYLE},
    "points": {"source": str, "class_field": str, "count": float, "sha256": str, "per_class": {str: float}},
    "training_points": ({"kdf": str, "salt": str, "digests": str, "places": float, "n": float, "r": float, "p": float}, str),
    "scenes": [_SCENE],
    "versions": {str: str},
    "weights_sha256": str,
}  # fmt: skip
"""Types of the parts; see `conforming`. The sections of the settings are checked where they are read."""
_WITH_NULLS = ("config", "style", "metadata", "calibration", "scenes")
"""Parts in which null is a value: the number of an empty bin, a statistic of no pixels, bounds of a scene without a place on the earth."""
_NULLABLE = ("embedding", "companion", "style")
"""Parts that training writes as null where a model has none."""
_REQUIRED = {
    "style": ("method", "reference"),
    "style.reference": ("bands", "sample", "dtype", "source"),
    "style.reference.bands": tuple(_BAND_STATISTICS),
    "style.ground": tuple(_THUMBNAIL),
    "companion": ("bands",),
    "calibration.before": _BINS,
    "calibration.after": _BINS,
}
"""Keys of the objects that are read as a whole, by the place of the object, or of the list of objects."""


def read_model_document(path: Path) -> dict[str, Any]:
    """Return the content of a ``model.json``.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    dict
        All keys but those whose value is null; an embedding, a companion and a style may be null. Values have the types that are
        read, and numbers that decide sizes are within limits.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no JSON object, is too large or nested too deeply, or a value is outside its limits.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError("the file holds no JSON object")  # noqa: TRY004 - a damaged file
    absent = [key for key in _NULLABLE if key in content]
    content = {key: value for key, value in content.items() if value is not None}
    _check_lists(content)
    for key, shape in _SHAPES.items():
        if key in content and key in _WITH_NULLS:
            conforming(_without_nulls(content[key]), shape, key)
        elif key in content:
            content[key] = _conforming_any(content[key], shape, key)
    _require_keys(content)
    for row in _numbered_rows(content):
        _check_numbers(row)
    _check_calibration(content.get("calibration", {}))
    _check_style(content.get("style", {}))
    return dict.fromkeys(absent, None) | content


def _check_lists(content: Mapping[str, Any]) -> None:
    limits = {
        "bands": (str, MOST_BANDS),
        "legend": (dict, MOST_CLASSES),
        "members": (dict, MOST_MEMBERS),
        "scenes": (dict, 10**6),
    }
    for key, (kind, most) in limits.items():
        rows = content.get(key, [])
        if not isinstance(rows, list) or not all(isinstance(row, kind) for row in rows):
            raise ValueError(f"'{key}' is no list of {'names' if kind is str else 'objects'}")
        if len(rows) > most:
            raise ValueError(f"'{key}' has {len(rows)} entries, and at most {most} are accepted")
    names = [*content.get("bands", []), *(row.get("name", "") for row in content.get("legend", []))]
    if any(len(str(name)) > _LONGEST_NAME for name in names):
        raise ValueError(f"a name has more than {_LONGEST_NAME} letters")


def _without_nulls(value: Any) -> Any:
    """Return a value whose lists have no nulls, at any depth."""
    if isinstance(value, list):
        return [_without_nulls(row) for row in value if row is not None]
    if isinstance(value, dict):
        return {key: _without_nulls(row) for key, row in value.items()}
    return value


def _conforming_any(value: Any, shape: Any, place: str) -> Any:
    """Return what `conforming` returns for an object or a text, where the shape allows both; for other shapes as it does."""
    if isinstance(shape, tuple) and isinstance(value, dict):
        return conforming(value, shape[0], place)
    return conforming(value, shape, place)


def _require_keys(content: Mapping[str, Any]) -> None:
    for place, keys in _REQUIRED.items():
        found: Any = content
        for step in place.split("."):
            found = None if found is None else found.get(step)
        for row in found if isinstance(found, list) else [] if found is None else [found]:
            nullable = _STATISTICS_OF_PIXELS if place == "style.reference.bands" else ()
            missing = [k for k in keys if k not in row or (row[k] is None and k not in nullable)]
            if missing:
                raise ValueError(f"'{place}' lacks '{missing[0]}'")


def _numbered_rows(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the objects whose numbers have limits."""
    yield content
    yield content.get("architecture", {})
    yield from content.get("legend", [])
    yield from (row for row in content.get("scores", {}).values() if isinstance(row, dict))
    for member in content.get("members", []):
        yield member
        yield from (member.get(key, {}) for key in ("forest", "architecture"))


def _check_numbers(row: Mapping[str, Any]) -> None:
    for key, (least, most) in _NUMBERS.items():
        value = row.get(key, least)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        is_unknown = key == "resolution_m" and value != value  # noqa: PLR0124 - NaN: a CRS without metres
        is_within = is_number and (is_unknown or least <= value <= most)
        if not is_within or (key in _WHOLE and value != int(value)):
            kind = "whole number" if key in _WHOLE else "number"
            raise ValueError(
                f"'{key}' is {str(value)[:40]}. Expected a {kind} from {least:.10g} to {most:.10g}"
            )
    for key, (least, most, length) in _SEQUENCES.items():
        values = row.get(key, [])
        if len(values) > length:
            raise ValueError(f"'{key}' is no list of at most {length} entries")
        if not all(least <= value <= most for value in values):
            raise ValueError(f"'{key}' holds numbers outside {least:g} to {most:g}")


def _check_calibration(calibration: Mapping[str, Any]) -> None:
    """Check that the bins of each reliability agree in number, count points, and hold shares from 0 to 1."""
    if calibration.get("before") and not calibration.get("after"):
        raise ValueError("'calibration' lacks 'after'")
    for key in ("before", "after"):
        bins = calibration.get(key) or {}
        place, lengths = f"calibration.{key}", [len(bins.get(name, [])) for name in _BINS]
        if bins and (lengths[1] < 1 or lengths != [lengths[1] + 1] + [lengths[1]] * 5):
            raise ValueError(
                f"the lists of '{place}' have {', '.join(map(str, lengths))} entries, expected one more of edges than of the others"
            )
        if not all(isinstance(v, int) and 0 <= v <= _MOST_POINTS for v in bins.get("count", [])):
            raise ValueError(f"'{place}.count' holds values that are no numbers of points")
        for name in ("expected_calibration_error", *(name for name in _BINS if name != "count")):
            kept = bins.get(name)
            shares = [v for v in (kept if isinstance(kept, list) else [kept]) if v is not None]
            if not all(-_ROUNDING <= v <= 1 + _ROUNDING for v in shares):
                raise ValueError(f"'{place}.{name}' holds shares outside 0 to 1")


def _check_style(style: Mapping[str, Any]) -> None:
    """Check that the lists of a picture style agree in number."""
    reference = style.get("reference", {})
    bands = reference.get("bands", [])
    is_sound = all(len(row) == len(bands) for row in reference.get("sample", []))
    is_sound &= all(len(band["values"]) == len(band["counts"]) for band in bands)
    if not is_sound:
        raise ValueError("the lists of 'style.reference' have different numbers of entries")
