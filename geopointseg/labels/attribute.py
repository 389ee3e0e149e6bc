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


def parse_weights(column: NDArray[Any], path: str) -> NDArray[np.float32]:
    """Return weights from a column; 1 where it is NULL.

    Raises
    ------
    PointsError
        If a value is no number, negative or infinite.
    """
    try:
        weight = column.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise PointsError(
            f"The field 'weight' of '{path}' holds text ({error}). Expected numbers, because it says how much each "
            "point counts; correct it or rename the field."
        ) from error
    weight = np.where(np.isnan(weight), 1.0, weight)
    if np.any((weight < 0) | np.isinf(weight)):
        raise PointsError(
            f"The field 'weight' of '{path}' holds {weight.min():g} to {weight.max():g}. Expected finite weights "
            "of zero or more; correct them or rename the field."
        )
    return weight.astype(np.float32)


def parse_splits(column: NDArray[Any], path: str) -> NDArray[np.str_]:
    """Return split names from a column, in the spelling of `SPLITS`; empty where it is NULL.

    Raises
    ------
    PointsError
        If a name is unknown.
    """
    positions, values = factorize(column, "split")
    return np.array([*(_split_name(value, path) for value in values), ""])[positions]


def parse_text(column: NDArray[Any]) -> NDArray[np.str_]:
    """Return a column as text; empty where it is NULL."""
    positions, values = factorize(column, "scene")
    return np.array([*values, ""])[positions]


def _split_name(value: str, path: str) -> str:
    name = _SPLIT_NAMES.get(value.lower(), value.lower())
    if name in SPLITS or re.fullmatch(r"fold\d+", name):
        return name
    raise PointsError(
        f"The field 'split' of '{path}' holds '{value}'. Expected {', '.join(SPLITS)} or fold1, fold2 ...; "
        "correct it or rename the field."
    )
