"""Representations of objects for people: one to five lines of text, and a table in notebooks."""

from __future__ import annotations

import dataclasses
import hashlib
import html
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

MOST_LINES = 5
WIDTH = 110
"""Largest number of characters in a line."""

_MOST_NAMES = 10
_MOST_ROWS = 60
_LONGEST_VALUE = 70


def described[T: type](kind: T) -> T:
    """Add a ``repr`` of one to five lines without arrays to a class, and ``_repr_html_`` if the class has a table.

    The lines are those of the method ``_summary``; the first one begins with the name of the class. A dataclass without
    this method shows the names and values of its fields, and arrays as data type and shape. For notebooks, the method
    ``_table`` returns headings and rows, or the method ``tables`` a list of titled tables.

    Examples
    --------
    >>> import numpy as np
    >>> @described
    ... @dataclasses.dataclass(frozen=True)
    ... class Track:
    ...     name: str
    ...     x: object
    >>> Track("a", np.zeros(3))
    Track(name='a', x=float64 (3,))
    """
    target = cast("Any", kind)
    target.__repr__ = _show
    if hasattr(kind, "_table") or hasattr(kind, "tables"):
        target._repr_html_ = _show_html
    return kind


def count_classes(names: Iterable[str], counts: Iterable[float]) -> str:
    """Return counts as text, like ``water 12, forest 30``; of many classes the first ten."""
    return join_names([f"{name} {count:g}" for name, count in zip(names, counts, strict=True)])


def join_names(names: Iterable[object], most: int = _MOST_NAMES) -> str:
    """Return names joined by commas; of more than ``most`` the first ones and the number of the others.

    Examples
    --------
    >>> join_names("abc"), join_names(range(14))
    ('a, b, c', '0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 4 more')
    """
    given = [str(name) for name in names]
    more = f" and {len(given) - most} more" if len(given) > most else ""
    return ", ".join(given[:most]) + more


def summarize_fields(value: Any) -> str:
    """Return the name of a dataclass with a short text for each field."""
    shown = [
        f"{field.name}={_brief(getattr(value, field.name))}"
        for field in dataclasses.fields(value)
        if field.repr and not field.name.startswith("_")
    ]
    return f"{type(value).__name__}({', '.join(shown)})"


def identify(value: Any) -> str:
    """Return a text that is equal for equal values and different for others; it covers the contents of arrays.

    Fingerprints use it, because `repr` omits the contents of arrays. Fields that are neither compared nor shown are left out:
    they are derived from others.

    Examples
    --------
    >>> import numpy as np
    >>> identify((1, np.zeros(2))) == identify((1, np.zeros(2))) != identify((1, np.ones(2)))
    True
    """
    import numpy as np

    if isinstance(value, np.ndarray):
        content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return f"{value.dtype.str}{value.shape}:{content}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        told = [f for f in dataclasses.fields(value) if f.repr or f.compare]
        fields = [f"{f.name}={identify(getattr(value, f.name))}" for f in told]
        return f"{type(value).__name__}({', '.join(fields)})"
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(identify, value))})"
    return repr(value)


def _show(self: Any) -> str:
    lines = self._summary() if hasattr(self, "_summary") else [summarize_fields(self)]
    wrapped: list[str] = []
    for line in lines:
        wrapped += textwrap.wrap(line, WIDTH, subsequent_indent="    ") or [""]
    if len(wrapped) > MOST_LINES:
        wrapped = [
            *wrapped[: MOST_LINES - 1],
            textwrap.shorten(wrapped[MOST_LINES - 1], 60) + " ...",
        ]
    return "\n".join(wrapped)


def _show_html(self: Any) -> str:
    tables = [("", *self._table())] if hasattr(self, "_table") else self.tables()
    title = html.escape(repr(self).partition("\n")[0])
    return f"<p><b>{title}</b></p>" + "".join(_html_table(*table) for table in tables)


def _html_table(title: str, headings: Sequence[Any], rows: Sequence[Sequence[Any]]) -> str:
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in headings)
    body = "".join(
        "<tr>" + "".join(f"<td>{_html_cell(cell)}</td>" for cell in row) + "</tr>"
        for row in rows[:_MOST_ROWS]
    )
    more = f"<p>and {len(rows) - _MOST_ROWS} more</p>" if len(rows) > _MOST_ROWS else ""
    caption = f"<caption>{html.escape(title)}</caption>" if title else ""
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _html_cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = html.escape(str(value))
    is_color = re.fullmatch("#[0-9a-fA-F]{6}", text) is not None
    return f'<span style="color:{text}">&#9632;</span> {text}' if is_color else text


def _brief(value: Any) -> str:
    """Return a value as a short text."""
    if hasattr(value, "dtype") and hasattr(value, "shape") and len(value.shape):
        text = f"{value.dtype} {tuple(value.shape)}"
    elif isinstance(value, Mapping):
        text = f"<{len(value)} entries: {join_names(value)}>" if value else "{}"
    elif isinstance(value, float):
        text = f"{value:.6g}"
    elif isinstance(value, Path):
        text = repr(str(value))
    elif isinstance(value, (tuple, list, set, frozenset)) and not hasattr(value, "_fields"):
        text = _brief_list(list(value))
    else:
        text = _brief_object(value)
    return _shorten(text)


def _brief_object(value: Any) -> str:
    """Return an object as a short text: its ``repr`` if it is short, else the name of its type."""
    if getattr(type(value), "__repr__", None) == _show:
        return repr(value).partition("\n")[0]
    if type(value).__module__.split(".")[0] in ("geopointseg", "torch"):
        return type(value).__name__
    return " ".join(repr(value).split())


def _brief_list(values: list[Any]) -> str:
    plain = all(isinstance(value, (str, int, float, bool, type(None))) for value in values)
    if plain and len(values) <= _MOST_NAMES:
        return "[" + ", ".join(map(_brief, values)) + "]"
    kinds = sorted({type(value).__name__ for value in values})
    return f"<{len(values)} of {join_names(kinds)}>"


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 4] + " ..."
