"""Matching of the classes of a reference with those of a map.

Text classes get codes by their order, so the same class can have different codes in two files. Classes of text fields are
therefore matched by name, other classes by code. A code with two different meanings is refused. A name matches its exact
spelling; another spelling (capitals, spaces) matches only where the map has one class of that name.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geopointseg.class_colors import class_colors
from geopointseg.errors import LegendError
from geopointseg.legend import Legend, LegendEntry
from geopointseg.name import NameTable


@dataclass(frozen=True, eq=False)
class MatchedLegend:
    """Joint legend of map and reference.

    Parameters
    ----------
    legend
        The classes of the map in their order, then those that only the reference has.
    lookup
        Position in ``legend`` of each class of the reference, int64 ``(reference class,)``.
    only_in_reference
        Names of the classes that the map lacks.
    """

    legend: Legend
    lookup: NDArray[np.int64]
    only_in_reference: tuple[str, ...]


def match_legends(map_legend: Legend, reference: Legend, *, by_name: bool) -> MatchedLegend:
    """Match the classes of a reference to those of a map.

    Parameters
    ----------
    map_legend
        Classes of the map.
    reference
        Classes of the reference, only those that occur in it.
    by_name
        Whether the codes of the reference were assigned to text, so that only names count.

    Returns
    -------
    MatchedLegend
        The joint legend, and the position of each class of the reference in it.

    Raises
    ------
    LegendError
        If no class is shared, or one code has two names that are swapped between the two.

    Examples
    --------
    >>> on_map = Legend.from_names(["water", "forest"], codes=[10, 20])
    >>> match_legends(on_map, Legend.from_names(["Forest"]), by_name=True).lookup
    array([1])
    """
    names = NameTable(map_legend.names)
    codes = {code: index for index, code in enumerate(map_legend.codes.tolist())}
    found: list[int | None] = []
    for entry in reference.entries:
        if by_name:
            found.append(names.find(entry.name))
            continue
        index = codes.get(entry.code)
        _refuse_other_code(entry, map_legend, index, names)
        found.append(index)
    if reference.entries and all(index is None for index in found):
        _refuse_unmatched(map_legend, reference, by_name=by_name)
    return _extend(map_legend, reference, found)


def used_classes(legend: Legend, class_index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the positions of the classes that occur, int64 in ascending order."""
    return np.flatnonzero(np.bincount(class_index, minlength=len(legend)) > 0)


def agree_by_name(map_legend: Legend, reference: Legend) -> bool:
    """Return whether more classes of a reference are on the map by their name than by their code."""
    names, codes = NameTable(map_legend.names), set(map_legend.codes.tolist())
    named = [e for e in reference.entries if e.name != str(e.code)]
    by_name = sum(names.find(e.name) is not None for e in named)
    return by_name > sum(e.code in codes for e in reference.entries)


def _code_on_map(
    theirs: LegendEntry, map_legend: Legend, index: int | None, names: NameTable
) -> int | None:
    """Return the code of a class on the map, found by its name, where it differs from that in the reference."""
    place = names.find(theirs.name) if theirs.name != str(theirs.code) else None
    if place in (None, index):
        return None
    ours = map_legend.entries[place if index is None else index]
    return None if ours.name == str(ours.code) else map_legend.entries[place].code


def _refuse_other_code(
    theirs: LegendEntry, map_legend: Legend, index: int | None, names: NameTable
) -> None:
    other = _code_on_map(theirs, map_legend, index, names)
    if other is None:
        return
    if index is None:
        said = f"The class '{theirs.name}' has the code {theirs.code} in the reference and {other} on the map."
    else:
        ours = map_legend.entries[index].name
        said = f"The class code {theirs.code} is '{theirs.name}' in the reference and '{ours}' on the map."
    raise LegendError(
        f"{said} Expected one meaning for each code; use class names for the test points, or the codes of the map."
    )


def _refuse_unmatched(map_legend: Legend, reference: Legend, *, by_name: bool) -> None:
    nameless = all(e.name == str(e.code) for e in map_legend.entries)
    if by_name and nameless:
        raise LegendError(
            f"The map has no legend: its classes are {', '.join(map_legend.names[:8])}, and those of the reference "
            f"{', '.join(reference.names[:8])}. Expected names in common; use test points with class codes, or add the "
            "names to the map as a categorized style (.qml) in QGIS."
        )
    on_map = ", ".join(f"{e.code} {e.name}" for e in map_legend.entries[:8])
    tested = ", ".join(f"{e.code} {e.name}" for e in reference.entries[:8])
    raise LegendError(
        f"The reference holds the classes {tested}, the map {on_map}. Expected at least one class in common; "
        "check the class field, or whether these test points belong to another map."
    )


def _extend(map_legend: Legend, reference: Legend, found: list[int | None]) -> MatchedLegend:
    entries = list(map_legend.entries)
    unmatched = [e for e, index in zip(reference.entries, found, strict=True) if index is None]
    taken_codes, taken_names = set(map_legend.codes.tolist()), {e.name for e in entries}
    colors = class_colors([e.name for e in unmatched], [e.color for e in entries])
    for entry, color in zip(unmatched, colors, strict=True):
        code = entry.code if entry.code not in taken_codes else max(taken_codes) + 1
        name = entry.name if entry.name not in taken_names else f"{entry.name} (reference only)"
        entries.append(LegendEntry(code, name, color))
        taken_codes.add(code)
        taken_names.add(name)
    positions = iter(range(len(map_legend), len(entries)))
    lookup = np.array([next(positions) if i is None else i for i in found], dtype=np.int64)
    return MatchedLegend(Legend(tuple(entries)), lookup, tuple(e.name for e in unmatched))
