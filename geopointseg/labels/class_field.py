"""Choice of the class field of a layer, and the legend from its values: codes, names and colours.

Integer fields keep their codes; zero can be a class. Text gets the codes 1..K in the order of the layer's categorized style,
or in alphabetical order where there is none, so the same file always gives the same codes. Text of digits only counts as
integers, because formats like CSV have only text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopointseg.class_colors import class_colors
from geopointseg.errors import PointsError, nearest_names
from geopointseg.labels.layer import VectorLayer
from geopointseg.labels.layer_style import Style
from geopointseg.legend import LONGEST_CLASS_NAME, Legend, LegendEntry
from geopointseg.name import NameTable, clean_name, fold_name

RESERVED_FIELDS = ("weight", "split", "scene")
"""Optional fields of a point layer besides the class."""

_NEVER_CLASSES = (*RESERVED_FIELDS, "source_fid", "reason", "rank", "fold")
_KNOWN_NAMES = (
    "class", "classes", "class_id", "classid", "class_name", "classname", "class_code", "label", "labels", "cover",
    "landcover", "land_cover", "landuse", "land_use", "lulc", "lc", "lc_class", "category", "code", "klasse", "classe",
)  # fmt: skip
_LARGEST_CODE = 65535


def choose_class_field(layer: VectorLayer, wanted: str | None, style: Style | None) -> str:
    """Return the name of the class field.

    It is the wanted one; otherwise the only field with a usual name; otherwise that of the layer's style; otherwise the
    only text or integer field; otherwise the only field.

    Parameters
    ----------
    layer
        The layer.
    wanted
        Name that the user gave, if any.
    style
        Categorized style of the layer, if any.

    Returns
    -------
    str
        In the spelling of the file.

    Raises
    ------
    PointsError
        If the field does not exist, or several are possible; the message lists the fields.
    """
    if wanted is not None:
        return _wanted_field(layer, wanted)
    usable = [
        n for n in layer.fields if _can_hold_classes(layer, n) and n.lower() not in ("fid", "id")
    ]
    named = [name for name in usable if name.lower() in _KNOWN_NAMES]
    shown = find_field(layer, style.field) if style and style.field else None
    styled = [shown] if shown and _can_hold_classes(layer, shown) else []
    only = [name for name, kind in layer.fields.items() if kind != "other"]
    only = only if len(layer.fields) == 1 else []
    for candidates in (named, styled, usable, only):
        if len(candidates) == 1:
            return candidates[0]
    _require_attributes(layer)
    raise PointsError(
        f"No class field was named, and layer '{layer.name}' in '{layer.path}' has "
        f"{layer.describe_fields()}. Expected one that clearly holds the class; "
        "name it with `class_field=`."
    )


def find_field(layer: VectorLayer, wanted: str) -> str | None:
    """Return the field of a name in the spelling of the file; None where there is none.

    An exact match comes first, then the only field that differs in capitals and spaces.

    Raises
    ------
    PointsError
        If several fields differ in capitals and spaces only, and none matches exactly.
    """
    fields = list(layer.fields)
    table = NameTable(fields)
    position, alike = table.find(wanted), table.alike(wanted)
    if position is None and alike:
        raise PointsError(
            f"Layer '{layer.name}' in '{layer.path}' has the fields {' and '.join(map(repr, alike))}, and '{wanted}' could "
            "be any of them. Expected one; name it in its own spelling, or rename the others."
        )
    return None if position is None else fields[position]


def _require_attributes(layer: VectorLayer) -> None:
    """Raise `PointsError` if a shapefile has no fields, which the format does not allow."""
    if layer.driver == "ESRI Shapefile" and not layer.fields:
        raise PointsError(
            f"'{layer.path}' has shapes without attributes: its file '{layer.name}.dbf' is missing. Expected that file beside it, "
            "because it holds the class of each shape; copy all files of the shapefile."
        )


def _can_hold_classes(layer: VectorLayer, field: str) -> bool:
    return layer.fields.get(field) in ("text", "integer") and field.lower() not in _NEVER_CLASSES


def find_name_field(layer: VectorLayer, class_field: str) -> str | None:
    """Return the text field with the class names of an integer class field; None where there is none."""
    if layer.fields[class_field] != "integer":
        return None
    names = (*_KNOWN_NAMES, "name")
    candidates = [n for n, kind in layer.fields.items() if kind == "text" and n.lower() in names]
    return candidates[0] if len(candidates) == 1 else None


def factorize(column: NDArray[Any], class_field: str) -> tuple[NDArray[np.int64], list[str]]:
    """Return positions in a list of distinct values, and the values as text.

    Parameters
    ----------
    column
        Values of any type, ``(feature,)``.
    class_field
        Name of the field, for messages.

    Returns
    -------
    positions
        int64 ``(feature,)``; -1 where NULL.
    values
        The distinct values.

    Raises
    ------
    PointsError
        If the column has fractions.
    """
    import pandas as pd

    if column.dtype == object:
        column = np.array([str(v).strip() if v is not None else None for v in column], dtype=object)
        column[column == ""] = None
    elif column.dtype == bool:
        column = column.astype(np.int64)
    codes, values = pd.factorize(column, sort=False)
    if np.issubdtype(column.dtype, np.floating):
        fractions = values[~np.isfinite(values) | (values != np.round(values))]
        if len(fractions):
            raise PointsError(
                f"The class field '{class_field}' holds {fractions[0]}. Expected whole numbers or text; "
                "choose another field with `class_field=` or renumber the classes."
            )
        values = values.astype(np.int64)
    return _merge_spellings(codes.astype(np.int64), [str(value) for value in values])


def _merge_spellings(
    codes: NDArray[np.int64], values: list[str]
) -> tuple[NDArray[np.int64], list[str]]:
    """Clean values as names, merge those that are equal afterwards, and make empty ones NULL."""
    cleaned = [clean_name(value).strip() for value in values]
    distinct = list(dict.fromkeys(value for value in cleaned if value))
    if distinct == values:
        return codes, values
    position = {value: index for index, value in enumerate(distinct)}
    lookup = np.array([*(position.get(value, -1) for value in cleaned), -1], dtype=np.int64)
    return lookup[codes], distinct


@dataclass(frozen=True)
class ClassCoding:
    """Mapping of the values of a class field to class indices.

    Parameters
    ----------
    legend
        The classes.
    index_by_value
        Class index of every value, written as text.
    is_text
        Whether the field has names instead of codes.
    """

    legend: Legend
    index_by_value: Mapping[str, int]
    is_text: bool

    def encode(self, column: NDArray[Any], class_field: str) -> NDArray[np.int64]:
        """Return the class indices of a column, int64 ``(feature,)``; -1 where it is NULL or empty."""
        codes, values = factorize(column, class_field)
        lookup = np.array([self.index_by_value[value] for value in values] + [-1], dtype=np.int64)
        return lookup[codes]


def build_coding(
    values: Iterable[str],
    class_field: str,
    *,
    style: Style | None = None,
    names: Mapping[str, str] | None = None,
    legend: Legend | None = None,
) -> ClassCoding:
    """Return the coding of a class field, with a legend from the values that occur.

    Parameters
    ----------
    values
        Distinct values, written as text.
    class_field
        Name of the field, for messages.
    style
        The layer's categorized style, for labels, colours and the order of text classes.
    names
        Names by value, from a field beside the class field.
    legend
        Legend to use instead of a new one.

    Returns
    -------
    ClassCoding
        For all the values.

    Raises
    ------
    PointsError
        If there is no value, one that is too long or that the given legend lacks, or a code that maps cannot store.
    """
    values = sorted(set(values))
    if not values:
        raise PointsError(
            f"The class field '{class_field}' is empty in every feature. Expected a class code or name for each "
            "point; fill it in, or choose another field with `class_field=`."
        )
    _require_short(values, class_field)
    style = style if style and _is_about(style, class_field, values) else None
    is_text = not all(re.fullmatch(r"[+-]?\d+", value) for value in values)
    labels = _labels(style) | dict(names or {})
    if legend is not None:
        index = {v: _find_in_legend(v, labels, legend, class_field) for v in values}
        return ClassCoding(legend, index, is_text)
    codes = _text_codes(values, style) if is_text else {value: int(value) for value in values}
    _require_storable(codes, class_field)
    first_value = {code: value for value, code in reversed(codes.items())}
    order = sorted(first_value)
    shown = [first_value[code] for code in order]
    unique = _unique_names(shown, labels)
    entries = zip(order, unique, _colors(shown, unique, style), strict=True)
    index = {value: order.index(code) for value, code in codes.items()}
    return ClassCoding(Legend(tuple(LegendEntry(*entry) for entry in entries)), index, is_text)


def _wanted_field(layer: VectorLayer, wanted: str) -> str:
    found = find_field(layer, wanted)
    if found is None:
        _require_attributes(layer)
        raise PointsError(
            f"Layer '{layer.name}' in '{layer.path}' has no field '{wanted}'; it has {layer.describe_fields()}. "
            f"Expected the field that holds the class. {nearest_names(wanted, layer.fields)}"
        )
    if layer.fields[found] == "other":
        raise PointsError(
            f"The field '{wanted}' of layer '{layer.name}' is neither text nor a number. "
            f"Expected class codes or names; the layer has {layer.describe_fields()}."
        )
    return found


def _require_short(values: Iterable[str], class_field: str) -> None:
    longest = max(values, key=len)
    if len(longest) > LONGEST_CLASS_NAME:
        raise PointsError(
            f"The class field '{class_field}' holds a text of {len(longest)} letters, '{longest[:40]}...'. Expected names of at "
            f"most {LONGEST_CLASS_NAME} letters; shorten it, or choose another field with `class_field=`."
        )


def _is_about(style: Style, class_field: str, values: list[str]) -> bool:
    styled = {category.value for category in style.categories}
    return fold_name(style.field) == fold_name(class_field) or styled.issuperset(values)


def _labels(style: Style | None) -> dict[str, str]:
    categories = style.categories if style else ()
    return {category.value: category.label for category in categories if category.label}


def _text_codes(values: list[str], style: Style | None) -> dict[str, int]:
    styled = [category.value for category in style.categories] if style else []
    ordered = list(dict.fromkeys(styled)) + [value for value in values if value not in styled]
    position = {value: code for code, value in enumerate(ordered, start=1)}
    return {value: position[value] for value in values}


def _require_storable(codes: Mapping[str, int], class_field: str) -> None:
    unusable = [code for code in codes.values() if not 0 <= code <= _LARGEST_CODE]
    if unusable:
        raise PointsError(
            f"The class field '{class_field}' holds the code {unusable[0]}. Expected 0 to {_LARGEST_CODE}, which is "
            "what a map can store; renumber the classes or choose another field with `class_field=`."
        )


def _unique_names(values: list[str], labels: Mapping[str, str]) -> list[str]:
    names = [labels.get(value, value) for value in values]
    return [
        name if names.count(name) == 1 else f"{name} ({value})"
        for name, value in zip(names, values, strict=True)
    ]


def _colors(values: list[str], names: list[str], style: Style | None) -> list[str]:
    """Return the colours of the style, and for values that it lacks default colours for their names."""
    categories = style.categories if style else ()
    styled = {category.value: category.color for category in categories if category.color}
    unstyled = [name for value, name in zip(values, names, strict=True) if not styled.get(value)]
    spare = iter(class_colors(unstyled, [styled[value] for value in values if styled.get(value)]))
    return [styled.get(value) or next(spare) for value in values]


def _find_in_legend(value: str, labels: Mapping[str, str], legend: Legend, class_field: str) -> int:
    table = NameTable(legend.names)
    for name in (value, labels.get(value)):
        found = None if name is None else table.find(name)
        if found is not None:
            return found
    if re.fullmatch(r"[+-]?\d+", value) and int(value) in legend.codes:
        return legend.index_of(int(value))
    known = ", ".join(f"{entry.code} {entry.name}" for entry in legend.entries)
    raise PointsError(
        f"The class field '{class_field}' holds '{value}', which the legend lacks. Expected one of {known}; "
        "correct the value, or remove its points."
    )
