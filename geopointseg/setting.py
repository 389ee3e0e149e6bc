"""One setting: how it is declared, checked and written.

`geopointseg.config` declares every setting with these; nothing else needs them.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

from geopointseg.errors import ConfigError, nearest_names


def setting[T](
    default: T,
    help: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
) -> T:
    """Declare one setting: its default, what it does, and the range it may take."""
    metadata = {"help": help, "minimum": minimum, "maximum": maximum}
    declared: T = field(default=default, metadata=metadata)
    return declared


def update_section(section: str, current: Any, changes: Mapping[str, Any]) -> Any:
    """Return a section with some settings changed, each checked for its name, type and range.

    Raises
    ------
    ConfigError
        If a name or value is unknown or out of range; the message says what was expected.
    """
    hints = typing.get_type_hints(type(current))
    known = {f.name: f for f in dataclasses.fields(current)}
    checked = {}
    for name, value in changes.items():
        if name not in known:
            raise ConfigError(
                f"There is no setting '{name}' in [{section}]. {nearest_names(name, known)}"
            )
        checked[name] = _check(f"[{section}] {name}", value, hints[name], known[name].metadata)
    return dataclasses.replace(current, **checked)


def _check(where: str, value: Any, hint: Any, limits: Mapping[str, Any]) -> Any:
    value = _convert(where, value, hint)
    low, high = limits["minimum"], limits["maximum"]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    if (low is not None and value < low) or (high is not None and value > high):
        span = (
            f"at least {low}"
            if high is None
            else f"{low if low is not None else 'at most'} to {high}"
        )
        raise ConfigError(f"{where} is {value}. Expected {span}. {limits['help']}")
    return value


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
        return tuple(_convert(where, item, args[0]) for item in value)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _convert(where, value, args[0])
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is str and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if origin is None and isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise ConfigError(f"{where} is {value!r}. Expected {_KINDS.get(origin or hint, hint)}.")


def format_toml(value: Any) -> str:
    """Return a value as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(format_toml(v) for v in value) + "]"
    return repr(value)
