"""Reading of XML, JSON and TOML documents from unknown sources, within limits of size and depth.

XML entities can expand to gigabytes or name other files, so documents that declare an entity are refused. A document type
without declarations, as in the styles of QGIS, is accepted. Deep nesting would exhaust the stack of later functions. The
package defusedxml does not limit depth, and is replaced by few lines on the parser of the standard library.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET
from xml.parsers import expat

from geopointseg.name import allowed_in_xml

LARGEST_BYTES = 2**24
"""Largest document that is read: 16 MiB. The description of a model of 200 bands and 100 classes has less than 1 MiB."""
DEEPEST = 100
"""Largest depth of nested elements, arrays and objects."""
_LARGEST_NUMBER = 1e300
_QUOTED = re.compile(
    r"\"{3}.*?\"{3}|'{3}.*?'{3}|\"(?:\\.|[^\"\\\n])*\"|'[^'\n]*'|#[^\n]*", re.DOTALL
)
"""Strings and comments of TOML, whose brackets nest nothing."""
_LONG_NUMBER = re.compile(r"0[xob]\w{1024}")
"""A number of TOML that has no limit in Python, unlike decimal ones."""


def read_document(path: Path, largest: int = LARGEST_BYTES) -> str:
    """Return the text of a file in UTF-8; bytes that are not UTF-8 become U+FFFD.

    Parameters
    ----------
    path
        The file.
    largest
        Largest accepted number of bytes.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is larger. Only this number of bytes is read.
    """
    return read_bytes(path, largest).decode("utf-8", errors="replace")


def parse_json(
    text: str | bytes,
    parse_constant: Callable[[str], Any] | None = None,
    parse_float: Callable[[str], Any] | None = None,
) -> Any:
    """Return the value of a JSON text.

    Parameters
    ----------
    text
        The text; bytes in UTF-8.
    parse_constant
        Called with ``NaN``, ``Infinity`` and ``-Infinity``; by default they become numbers.
    parse_float
        Called with the text of other numbers with a point or an exponent; `float` by default.

    Returns
    -------
    object
        Whatever the text holds.

    Raises
    ------
    ValueError
        If it is no JSON, or is nested too deeply.

    Examples
    --------
    >>> parse_json("[" * 200 + "]" * 200)
    Traceback (most recent call last):
    ValueError: arrays and objects are nested deeper than 100
    """
    try:
        value = json.loads(text, parse_constant=parse_constant, parse_float=parse_float)
    except RecursionError:
        value = None
        is_deep = True
    else:
        is_deep = _is_deep(value)
    if is_deep:
        raise ValueError(f"arrays and objects are nested deeper than {DEEPEST}")
    return value


def parse_toml(text: str) -> dict[str, Any]:
    """Return the content of a TOML text.

    Raises
    ------
    ValueError
        If it is no TOML, is nested deeper than `DEEPEST`, or has a number that no message can hold.
    """
    try:
        plain = _QUOTED.sub("", text)
        keys = [line.partition("=")[0] for line in plain.splitlines()]
        steps = (1 if bracket in "[{" else -1 for bracket in re.findall(r"[\[\]{}]", plain))
        is_deep = max(itertools.accumulate(steps), default=0) > DEEPEST
        is_deep |= bool(_LONG_NUMBER.search(plain)) or any(k.count(".") > DEEPEST for k in keys)
        document = {} if is_deep else tomllib.loads(text)
    except RecursionError:
        document, is_deep = {}, True
    if is_deep or _is_deep(document):
        raise ValueError(
            f"a number is too long, or lists and sections are nested deeper than {DEEPEST}"
        )
    return document


def read_json(path: Path, largest: int = LARGEST_BYTES) -> Any:
    """Return the value in a JSON file; see `read_document` and `parse_json`."""
    return parse_json(read_bytes(path, largest).decode("utf-8"))


def conforming(value: Any, shape: Any, place: str = "") -> Any:
    """Return a value of a JSON text if it has the types that a shape names; else raise `ValueError`.

    Parameters
    ----------
    value
        The value.
    shape
        `str`, `float` for a finite number, or a tuple of them; a list of one shape for a list of values of that shape; a
        dictionary of shapes by key for an object. The key `str` stands for all other keys; the value of a key without a shape
        may be anything. An object may lack keys.
    place
        Where the value stands in the document, for messages.

    Returns
    -------
    object
        The value without keys whose value is null.

    Raises
    ------
    ValueError
        If a value has another type.

    Examples
    --------
    >>> conforming({"a": [1, 2.5], "b": None}, {"a": [float], "b": str})
    {'a': [1, 2.5]}
    >>> conforming({"a": [1, 2.5, "x"]}, {"a": [float]})
    Traceback (most recent call last):
    ValueError: 'a.2' is the text 'x', expected a finite number
    """
    at = f"{place}." if place else ""
    if isinstance(shape, dict) and isinstance(value, dict):
        shapes = {key: shape.get(key, shape.get(str)) for key in value}
        return {
            key: row if shapes[key] is None else conforming(row, shapes[key], f"{at}{key}")
            for key, row in value.items()
            if row is not None
        }
    if isinstance(shape, list) and isinstance(value, list):
        return [conforming(row, shape[0], f"{at}{k}") for k, row in enumerate(value)]
    kinds = shape if isinstance(shape, tuple) else (shape,)
    if not any(_is_of(value, kind) for kind in kinds):
        words = " or ".join(
            _KINDS[kind if isinstance(kind, type) else type(kind)] for kind in kinds
        )
        what = f"'{place}'" if place else "the document"
        raise ValueError(f"{what} is {_shown(value)}, expected {words}")
    return value


_KINDS = {dict: "an object", list: "a list", str: "a text", float: "a finite number"}


def _is_of(value: Any, kind: Any) -> bool:
    if kind is not float:
        return kind is str and isinstance(value, str)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and abs(value) <= _LARGEST_NUMBER


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return _KINDS[type(value)]
    return f"the text '{value[:40]}'" if isinstance(value, str) else json.dumps(value)[:40]


def is_device(path: str | os.PathLike[str]) -> bool:
    """Whether a path is one of a pipe, socket or device, whose content may never end; false where there is nothing."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - Path fails on long names
    except (OSError, ValueError):
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def require_regular_file(path: Path) -> None:
    """Raise `ValueError` if a path is one of a device, see `is_device`."""
    if is_device(path):
        raise ValueError("it is a pipe, socket or device, and no file")


def read_bytes(path: Path, largest: int = LARGEST_BYTES) -> bytes:
    """Return the content of a file.

    Parameters
    ----------
    path
        The file.
    largest
        Largest accepted number of bytes.

    Returns
    -------
    bytes
        All of it.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is a device, or is larger. At most one byte more than the accepted number is read.
    """
    require_regular_file(path)
    with path.open("rb") as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise ValueError(f"it has more than {largest:,} bytes")
    return content


def _is_deep(value: Any) -> bool:
    layer, depth = [value], 0
    while layer := [item for item in layer if isinstance(item, (dict, list))]:
        depth += 1
        if depth > DEEPEST:
            return True
        layer = [
            child for item in layer for child in (item.values() if isinstance(item, dict) else item)
        ]
    return False


def parse_xml(document: str) -> ET.Element:
    """Return the root element of an XML document; characters that XML forbids are removed before.

    Raises
    ------
    ValueError
        If it is not well-formed, declares an entity, or is nested too deeply.

    Examples
    --------
    >>> parse_xml("<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'><qgis/>").tag
    'qgis'
    >>> parse_xml('<!DOCTYPE q [<!ENTITY a "b">]><q>&a;</q>')
    Traceback (most recent call last):
    ValueError: the document declares the entity 'a'
    """
    text = allowed_in_xml(document)
    try:
        _require_plain(text)
        return ET.fromstring(text)  # noqa: S314 # nosec B314 - checked by the line above
    except (ET.ParseError, expat.ExpatError) as error:
        raise ValueError(str(error)) from None


def _require_plain(text: str) -> None:
    """Raise `ValueError` if a document declares an entity or is nested too deeply; nothing is expanded or opened."""
    parser = expat.ParserCreate()
    depth = 0

    def refuse_entity(name: str, *_: object) -> None:
        raise ValueError(f"the document declares the entity '{name}'")

    def enter(_: str, __: object) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise ValueError(f"elements are nested deeper than {DEEPEST}")

    def leave(_: str) -> None:
        nonlocal depth
        depth -= 1

    parser.EntityDeclHandler = refuse_entity
    parser.StartElementHandler = enter
    parser.EndElementHandler = leave
    parser.Parse(text.encode("utf-8"), True)  # noqa: FBT003 - the last part
