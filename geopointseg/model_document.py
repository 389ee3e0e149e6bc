"""The file ``model.json`` of a model folder: read, and checked against limits, before anything is allocated.

A model from an unknown source could name 10^12 classes or a context of 10^9 pixels, and exhaust the memory of the machine.
Every number that decides the size of an array has a limit here, far above that of any real model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from geopointseg.markup import conforming, read_json

MOST_CLASSES = 4096
MOST_BANDS = 4096
"""A network is tried with an image of 64 x 128 pixels when it is built, so more bands or classes take gigabytes."""
MOST_MEMBERS = 64
_LONGEST_NAME = 1000
_WIDEST_PX = 4096
_NUMBERS = {
    "resolution_m": (0.0, math.inf),
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
}
"""Smallest and largest value of the numbers of a model, its members, their forests and architectures."""


def read_model_document(path: Path) -> dict[str, Any]:
    """Return the content of a ``model.json``.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    dict
        All keys. Numbers that decide sizes are within limits.

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
    _check_lists(content)
    for key, shape in _SHAPES.items():
        if key in content:
            content[key] = conforming(content[key], shape, key)
    for row in _sized_rows(content):
        _check_numbers(row)
    return content


def _check_lists(content: Mapping[str, Any]) -> None:
    for key in _OBJECTS:
        if not isinstance(content.get(key), (dict, type(None))):
            raise ValueError(f"'{key}' is no object")  # noqa: TRY004 - a damaged file
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


def _sized_rows(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the objects whose numbers decide sizes."""
    yield content
    for member in content.get("members", []):
        yield member
        for key in ("forest", "architecture"):
            row = member.get(key, {})
            if not isinstance(row, dict):
                raise ValueError(f"'{key}' of a member is no object")  # noqa: TRY004 - a damaged file
            yield row


def _check_numbers(row: Mapping[str, Any]) -> None:
    for key, (least, most) in _NUMBERS.items():
        value = row.get(key, least)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        is_unknown = key == "resolution_m" and value != value  # noqa: PLR0124 - NaN: a CRS without metres
        if not is_number or not (is_unknown or least <= value <= most):
            raise ValueError(
                f"'{key}' is {str(value)[:40]}. Expected a number from {least:g} to {most:g}"
            )
    for key, (least, most, length) in _SEQUENCES.items():
        values = row.get(key, [])
        if not isinstance(values, list) or len(values) > length:
            raise ValueError(f"'{key}' is no list of at most {length} entries")
        numbers = [value for value in values if not isinstance(value, str)]
        if not all(isinstance(value, (int, float)) and least <= value <= most for value in numbers):
            raise ValueError(f"'{key}' holds numbers outside {least:g} to {most:g}")


_MOMENTS = {"mean": [float], "std": [float]}
_SHAPES = {
    "legend": [{"code": float, "name": str, "color": str}],
    "normalization": _MOMENTS,
    "members": [{"kind": str, "normalization": _MOMENTS}],
}
"""Types of the parts that have no other check; see `conforming`."""
_OBJECTS = ("normalization", "config", "embedding", "companion", "style", "points", "calibration")
_SEQUENCES = {"scales": (1e-3, _WIDEST_PX / 16, 64), "decoder_channels": (1, 8192, 8)}
"""Smallest and largest value, and largest number of entries."""
