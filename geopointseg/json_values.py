"""Conversion of results to values that JSON can hold."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def to_json_values(value: Any) -> Any:
    """Return a value with dictionaries, lists and plain numbers only; NaN and infinity become None.

    Mappings, lists, tuples, arrays and dataclasses are converted at every level.

    Examples
    --------
    >>> to_json_values({"share": np.array([0.5, np.nan]), "span": (1, np.int64(2))})
    {'share': [0.5, None], 'span': [1, 2]}
    """
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if dataclasses.is_dataclass(value):
        value = vars(value)
    if isinstance(value, Mapping):
        return {key: to_json_values(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json_values(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
