"""The optional fields of a point layer: weight, split and scene."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopointseg.errors import PointsError
from geopointseg.labels.class_field import factorize

SPLITS = ("train", "validation", "test", "buffer")
"""Names that the ``split`` field may hold, besides fold1, fold2 ...; ``buffer`` is left out of everything."""

_SPLIT_NAMES = {
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "testing": "test",
}


_LARGEST_WEIGHT = 1e30
_SMALLEST_WEIGHT = 1e-30
"""Weights are kept as 32-bit floats, in which these still add up and divide."""


def parse_weights(column: NDArray[Any], path: str) -> NDArray[np.float32]:
    """Return weights from a column; 1 where it is NULL.

    Raises
    ------
    PointsError
        If a value is no number, negative, or too large to add up.
    """
    try:
        weight = (column.astype(str) if column.dtype.kind in "mM" else column).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise PointsError(
            f"The field 'weight' of '{path}' holds no numbers ({error}). Expected numbers, because it says how much each "
            "point counts; correct it or rename the field."
        ) from error
    weight = np.where(np.isnan(weight), 1.0, weight)
    if np.any((weight < 0) | (weight > _LARGEST_WEIGHT)):
        raise PointsError(
            f"The field 'weight' of '{path}' holds {weight.min():g} to {weight.max():g}. Expected weights of zero "
            f"to {_LARGEST_WEIGHT:g}, because it says how much each point counts; correct them or rename the field."
        )
    return np.where(weight > 0, np.maximum(weight, _SMALLEST_WEIGHT), 0).astype(np.float32)


def parse_splits(column: NDArray[Any], path: str) -> NDArray[np.str_]:
    """Return split names from a column, in the spelling of `SPLITS`; empty where it is NULL.

    Raises
    ------
    PointsError
        If a name is unknown.
    """
    positions, values = factorize(_as_text(column), "split")
    return np.array([*(_split_name(value, path) for value in values), ""])[positions]


def parse_text(column: NDArray[Any]) -> NDArray[np.str_]:
    """Return a column as text; empty where it is NULL."""
    positions, values = factorize(_as_text(column), "scene")
    return np.array([*values, ""])[positions]


def _as_text(column: NDArray[Any]) -> NDArray[Any]:
    """Return a column of numbers as the text that a person would write; whole numbers without a point."""
    if column.dtype.kind != "f":
        return column
    return np.array([None if np.isnan(v) else f"{v:.15g}" for v in column], dtype=object)


def _split_name(value: str, path: str) -> str:
    name = _SPLIT_NAMES.get(value.lower(), value.lower())
    if name in SPLITS or re.fullmatch(r"fold\d+", name):
        return name
    raise PointsError(
        f"The field 'split' of '{path}' holds '{value}'. Expected {', '.join(SPLITS)} or fold1, fold2 ..., "
        "because it says what each point is used for; correct it or rename the field."
    )
