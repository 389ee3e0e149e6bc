"""Classes in the messages of a live session."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence

from geopointseg.class_colors import class_colors
from geopointseg.errors import LegendError
from geopointseg.legend import LONGEST_CLASS_NAME, Legend, LegendEntry
from geopointseg.name import clean_name

MOST_CLASSES = 254
"""Pictures have 8 bits, and 255 means unknown."""
LARGEST_CODE = 65_535
"""Class maps have 16 bits at most."""


def read_name(value: object) -> str:
    """Return the name of a class, cleaned, or raise `LegendError`."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        name = clean_name(text).strip() if isinstance(text, str) else ""
    if not name or len(name) > LONGEST_CLASS_NAME:
        raise LegendError(
            f"The class {show_value(value)} is no name. Expected a text of 1 to {LONGEST_CLASS_NAME} letters."
        )
    return name


def append_class(legend: Legend, name: str) -> Legend:
    """Return a legend with one more class, which gets a free code and a colour.

    Examples
    --------
    >>> append_class(Legend.from_names(["water"], codes=[7]), "forest").to_json()[1]
    {'code': 8, 'name': 'forest', 'color': '#117733'}
    """
    if len(legend) >= MOST_CLASSES:
        raise LegendError(
            f"The legend has {MOST_CLASSES} classes. Expected no more; use the name of one of them."
        )
    code = _free_code({e.code for e in legend.entries})
    color = class_colors([*legend.names, name])[-1]
    return Legend((*legend.entries, LegendEntry(code, name, color)))


def read_legend(rows: Sequence[object], before: Legend) -> tuple[Legend, dict[str, str]]:
    """Return the legend of a message, and the new name of each renamed class.

    Parameters
    ----------
    rows
        Objects with ``name``; optional ``was``, ``color`` and ``code``.
    before
        The legend so far: classes keep their code and colour.

    Returns
    -------
    legend
        The new legend.
    renamed
        New names by earlier names.

    Raises
    ------
    LegendError
        If a row is malformed, or a name or code occurs twice.
    """
    if len(rows) > MOST_CLASSES:
        raise LegendError(
            f"The legend has {len(rows)} classes. Expected at most {MOST_CLASSES}; merge some of them."
        )
    if not all(isinstance(row, Mapping) for row in rows):
        raise LegendError("A row of the legend is no object. Expected {'name': ..., 'color': ...}.")
    known = {e.name: e for e in before.entries}
    table = [(row, read_name(row.get("name"))) for row in rows if isinstance(row, Mapping)]
    colors = class_colors([name for _, name in table])
    given = [row.get("code") for row, _ in table]
    taken: set[str] = set()
    entries, renamed, used = [], {}, {e.code for e in before.entries} | _whole(given)
    for (row, name), default in zip(table, colors, strict=True):
        was = read_name(row["was"]) if row.get("was") is not None else name
        old = known.get(was)
        if old is not None and was in taken:
            raise LegendError(
                f"Two rows of the legend are the former class '{was}'. Expected one; give the other a name without 'was'."
            )
        taken.add(was)
        if was != name:
            renamed[was] = name
        code = row.get("code") if row.get("code") is not None else (old.code if old else None)
        if code is None:
            code = _free_code(used)
            used.add(code)
        entries.append(_entry(code, name, row.get("color") or (old.color if old else default)))
    return Legend(tuple(entries)), renamed


def _free_code(used: Collection[int]) -> int:
    """Return the number after the largest code, or the smallest free one where a class map has no room for it."""
    following = max(used, default=0) + 1
    return following if following <= LARGEST_CODE else min({*range(1, LARGEST_CODE)} - {*used})


def _whole(values: Iterable[object]) -> set[int]:
    return {v for v in values if isinstance(v, int) and not isinstance(v, bool)}


def _entry(code: object, name: str, color: object) -> LegendEntry:
    if isinstance(code, bool) or not isinstance(code, int) or code > LARGEST_CODE:
        raise LegendError(
            f"The code of class '{name}' is {show_value(code)}. Expected a whole number from 0 to {LARGEST_CODE}."
        )
    if not isinstance(color, str):
        raise LegendError(
            f"The colour of class '{name}' is {show_value(color)}. Expected a text like '#1b7837'."
        )
    return LegendEntry(code, name, color.lower())


def show_value(value: object) -> str:
    """Return a value for a message, shortened."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
