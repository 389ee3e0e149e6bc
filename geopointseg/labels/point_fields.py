"""Optional fields of a point layer: ``weight``, ``split`` and ``scene``."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopointseg.errors import PointsError
from geopointseg.labels.class_field import factorize

SPLITS = ("train", "validation", "test", "buffer")
"""Values of the field ``split``, besides fold1, fold2 ...; ``buffer`` points are not used at all."""

_SPLIT_NAMES = {"training": "train", "val": "validation", "valid": "validation", "testing": "test"}


_LARGEST_WEIGHT = 1e30
_SMALLEST_WEIGHT = 1e-30
"""Limits of weights, within which sums and quotients of 32-bit floats stay finite."""


def parse_optional(name: str, column: NDArray[Any], path: str) -> NDArray[Any]:
    """Return the values of an optional field.

    Parameters
    ----------
    name
        ``weight``, ``split`` or ``scene``.
    column
        The stored values, ``(feature,)``.
    path
        The file, for messages.

    Returns
    -------
    ndarray
        float32 weights, split names or scene names, ``(feature,)``; 1 or empty where NULL.

    Raises
    ------
    PointsError
        If a weight or a split name is not valid.
    """
    if name == "weight":
        return parse_weights(column, path)
    return parse_splits(column, path) if name == "split" else parse_text(column)


def parse_weights(column: NDArray[Any], path: str) -> NDArray[np.float32]:
    """Return the weights in a column, float32 ``(point,)``; 1 where it is NULL.

    Raises
    ------
    PointsError
        If a value is no number, negative, or above 10^30.
    """
    try:
        weight = (column.astype(str) if column.dtype.kind in "mM" else column).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise PointsError(
            f"The field 'weight' of '{path}' holds no numbers ({error}). Expected numbers, because it is the weight of each "
            "point in the training; correct it or rename the field."
        ) from error
    weight = np.where(np.isnan(weight), 1.0, weight)
    if np.any((weight < 0) | (weight > _LARGEST_WEIGHT)):
        raise PointsError(
            f"The field 'weight' of '{path}' holds {weight.min():g} to {weight.max():g}. Expected weights of zero "
            f"to {_LARGEST_WEIGHT:g}, because it is the weight of each point in the training; correct them or rename the field."
        )
    return np.where(weight > 0, np.maximum(weight, _SMALLEST_WEIGHT), 0).astype(np.float32)


def parse_splits(column: NDArray[Any], path: str) -> NDArray[np.str_]:
    """Return the split names in a column, text ``(point,)`` in the spelling of `SPLITS`; empty where it is NULL.

    Raises
    ------
    PointsError
        If a name is unknown.
    """
    positions, values = factorize(_as_text(column), "split")
    return np.array([*(_split_name(value, path) for value in values), ""])[positions]


def parse_text(column: NDArray[Any]) -> NDArray[np.str_]:
    """Return a column as text ``(point,)``; empty where it is NULL."""
    positions, values = factorize(_as_text(column), "scene")
    return np.array([*values, ""])[positions]


def _as_text(column: NDArray[Any]) -> NDArray[Any]:
    """Return a column of numbers as text, whole numbers without a decimal point."""
    if column.dtype.kind != "f":
        return column
    return np.array([None if np.isnan(v) else f"{v:.15g}" for v in column], dtype=object)


def _split_name(value: str, path: str) -> str:
    name = _SPLIT_NAMES.get(value.lower(), value.lower())
    if name in SPLITS or re.fullmatch(r"fold\d+", name):
        return name
    raise PointsError(
        f"The field 'split' of '{path}' holds '{value}'. Expected {', '.join(SPLITS)} or fold1, fold2 ..., "
        "because it names the use of each point; correct it or rename the field."
    )
