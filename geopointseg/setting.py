"""One setting: how it is declared, checked and written.

`geopointseg.config` declares every setting with these functions.

pydantic is not used: its messages would have to be translated into the sentences below, which takes more code than the
type checks that it would save, and importing it takes 0.11 to 0.16 s of the 0.5 s allowed for ``geopointseg --help``.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import numbers
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any, Literal

from geopointseg.errors import ConfigError, nearest_names


def setting[T](
    default: T,
    help: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    ascending: bool = False,
    shortest: int = 0,
    automatic: float | None = None,
) -> T:
    """Declare one setting: its default, its help text and its range.

    Parameters
    ----------
    default
        Value where nothing is given. The annotation of the field is the type of the setting.
    help
        One sentence or two.
    minimum, maximum
        Range of the number, or of each number of a list. Numbers are always finite.
    ascending
        Whether the numbers of a list must not decrease, as in a range.
    shortest
        Smallest number of values in a list.
    automatic
        Value outside the range that lets the program choose.

    Returns
    -------
    T
        A field of a dataclass, typed as its value.
    """
    metadata = {
        "help": help,
        "minimum": minimum,
        "maximum": maximum,
        "ascending": ascending,
        "shortest": shortest,
        "automatic": automatic,
    }
    declared: T = field(default=default, metadata=metadata)
    return declared


def update_section(section: str, current: Any, changes: Mapping[str, Any]) -> Any:
    """Return a section with some settings changed, each checked for its name, type and range.

    Parameters
    ----------
    section
        Name of the section, for messages.
    current
        The section, a frozen dataclass.
    changes
        New values by name.

    Returns
    -------
    object
        A section of the same class.

    Raises
    ------
    ConfigError
        If a name or value is unknown or out of range; the message says what was expected.
    """
    known = {f.name: f for f in dataclasses.fields(current)}
    unknown = next((name for name in changes if name not in known), None)
    if unknown is not None:
        raise ConfigError(
            f"There is no setting '{unknown}' in [{section}]. {nearest_names(unknown, known)}"
        )
    return dataclasses.replace(current, **check_values(section, type(current), changes))


def check_values(section: str, kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of known settings of a section, each checked and converted to its type.

    Parameters
    ----------
    section
        Name of the section, for messages.
    kind
        Class of the section.
    values
        Values by name.

    Returns
    -------
    dict
        Converted values by name.

    Raises
    ------
    ConfigError
        If a value is of another type or out of range.
    """
    hints, known = _hints(kind), {f.name: f.metadata for f in dataclasses.fields(kind)}
    return {
        name: _check(f"[{section}] {name}", value, hints[name], known[name])
        for name, value in values.items()
    }


def require_number(
    what: str,
    value: float,
    *,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> None:
    """Raise `ConfigError` unless an argument is a finite number in a range.

    Parameters
    ----------
    what
        Name of the quantity, as the subject of a sentence: ``The buffer``.
    value
        What was given.
    unit
        Unit, for the message.
    minimum, maximum
        Smallest and largest value.
    above, below
        Exclusive bounds.

    Raises
    ------
    ConfigError
        If the number is not finite or out of range.

    Examples
    --------
    >>> require_number("The buffer", 3.0, unit="m", minimum=0)
    >>> require_number("The buffer", float("nan"), unit="m", minimum=0)
    Traceback (most recent call last):
    geopointseg.errors.ConfigError: The buffer is nan m. Expected a finite number of at least 0.
    """
    given: object = value  # from a file it may be anything
    if isinstance(given, bool) or not isinstance(given, numbers.Real):
        raise ConfigError(f"{what} is {given!r}. Expected a number.")
    wrong = (
        (minimum is not None and value < minimum)
        or (maximum is not None and value > maximum)
        or (above is not None and value <= above)
        or (below is not None and value >= below)
    )
    if wrong or not _is_finite(value):
        bounds = {"at least": minimum, "at most": maximum, "more than": above, "less than": below}
        limits = " and ".join(f"{w} {v:g}" for w, v in bounds.items() if v is not None)
        raise ConfigError(
            f"{what} is {value}{' ' if unit else ''}{unit}. Expected a finite number"
            f"{' of ' if limits else ''}{limits}."
        )


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _check(where: str, value: Any, hint: Any, limits: Mapping[str, Any]) -> Any:
    value = _convert(where, value, hint)
    for item in value if isinstance(value, tuple) else (value,):
        _check_range(where, item, limits)
    if isinstance(value, tuple):
        _check_list(where, value, limits)
    return value


def _check_range(where: str, value: Any, limits: Mapping[str, Any]) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    low, high = limits["minimum"], limits["maximum"]
    if value == limits["automatic"]:
        return
    if (
        not _is_finite(value)
        or (low is not None and value < low)
        or (high is not None and value > high)
    ):
        raise ConfigError(f"{where} is {value}. Expected {_span(low, high)}. {limits['help']}")


def _span(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "a finite number"
    if high is None:
        return f"at least {low}, and finite"
    return f"at most {high}" if low is None else f"{low} to {high}"


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False


def _check_list(where: str, value: tuple[Any, ...], limits: Mapping[str, Any]) -> None:
    if limits["ascending"] and list(value) != sorted(value):
        raise ConfigError(
            f"{where} is {list(value)}. Expected the smaller number first. {limits['help']}"
        )
    if len(value) < limits["shortest"]:
        raise ConfigError(
            f"{where} is {list(value)}. Expected at least {limits['shortest']} value. {limits['help']}"
        )


_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    tuple: "a list, like [1, 2]",
}


def _convert(where: str, value: Any, hint: Any) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if value not in args:
            raise ConfigError(f"{where} is {value!r}. {nearest_names(str(value), args)}")
        return value
    if origin is tuple and isinstance(value, (list, tuple)):
        return _convert_list(where, value, args)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _convert(where, value, args[0])
    found = _convert_number(value, hint) if isinstance(value, numbers.Real) else value
    if origin is None and isinstance(found, hint) and isinstance(found, bool) == (hint is bool):
        return found
    raise ConfigError(f"{where} is {value!r}. Expected {_KINDS.get(origin or hint, hint)}.")


def _convert_number(value: Any, hint: Any) -> Any:
    """Return a number as a float, whole number or text where one is wanted and it is one; otherwise as it is."""
    if isinstance(value, bool):
        return value
    if hint is float:
        return float(value) if isinstance(value, float) or _is_finite(value) else math.inf
    if hint is int and isinstance(value, numbers.Integral):
        return int(value)
    return str(value) if hint is str else value


def _convert_list(where: str, value: Sequence[Any], hints: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a list as a tuple: of any length where the hint is ``tuple[X, ...]``, else of the hint's length."""
    if hints[-1] is Ellipsis:
        return tuple(_convert(where, item, hints[0]) for item in value)
    if len(value) != len(hints):
        raise ConfigError(
            f"{where} is {list(value)}, a list of {len(value)}. Expected a list of {len(hints)}."
        )
    return tuple(_convert(where, item, hint) for item, hint in zip(value, hints, strict=True))


def format_toml(value: Any) -> str:
    """Return a value as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(format_toml(v) for v in value) + "]"
    return repr(value)


def as_list(value: Any) -> list[Any]:
    """Return an argument that is one thing or several as a list; a path is one thing."""
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]
