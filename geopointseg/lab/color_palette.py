"""Colour-coded masks: conversion of colours to classes, with a report on colours that the palette lacks.

Many published data sets store dense masks as colour images. A `Palette` assigns colours to classes, and other colours
(or codes) to unlabelled pixels. Colours that lossy compression has changed are replaced by the nearest one of the
palette. Colours far from all of them are counted and stay unlabelled.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from geopointseg.errors import InputFileError, LegendError, nearest_names
from geopointseg.input_file import read_text
from geopointseg.labels.sparse_mask import UNLABELLED
from geopointseg.legend import Legend, LegendEntry
from geopointseg.markup import conforming, parse_json

_LARGEST_SNAP = 64.0
_VOID_NAMES = ("unknown", "void", "nothing", "nodata", "unlabelled", "unlabeled", "ignore")


@dataclass(frozen=True)
class Palette:
    """Assignment of colours and codes to classes or to unlabelled pixels.

    Parameters
    ----------
    legend
        The classes with their codes and colours.
    void_colors
        Colours of unlabelled pixels, as ``#rrggbb``.
    void_codes
        Codes of unlabelled pixels, where the mask is an index raster.
    """

    legend: Legend
    void_colors: tuple[str, ...] = ()
    void_codes: tuple[int, ...] = ()


def _palette(
    rows: str, void: str = "", void_codes: tuple[int, ...] = (), first: int = 1
) -> Palette:
    names, colors = zip(*(row.split(" #") for row in rows.split("; ")), strict=True)
    codes = range(first, first + len(names))
    legend = Legend.from_names(names, codes, [f"#{color}" for color in colors])
    return Palette(legend, tuple(void.split()), void_codes)


PALETTES: Mapping[str, Palette] = MappingProxyType(
    {
        "deepglobe": _palette(
            "urban #00ffff; agriculture #ffff00; rangeland #ff00ff; forest #00ff00; water #0000ff; barren #ffffff",
            void="#000000",
        ),
        "loveda": _palette(
            "background #ffffff; building #ff0000; road #ffff00; water #0000ff; barren #9f81b7; forest #00ff00; "
            "agriculture #ffc380",
            void="#000000",
            void_codes=(0,),
        ),
        "isprs": _palette(
            "impervious surface #ffffff; building #0000ff; low vegetation #00ffff; tree #00ff00; car #ffff00; "
            "clutter #ff0000",
            void="#000000",
        ),
        "swiss_drone": _palette(
            "building #b50000; paved #878787; unpaved #bd6b00; rails #800080; plants #1f7b16; vehicle #060082; "
            "outdoor structure #ededed; water #00a8ff; people #f0ff00",
            void="#000000",
        ),
        "landcoverai": _palette(
            "background #bbbbbb; building #ee6677; woodland #228833; water #4477aa; road #333333",
            first=0,
        ),
        "chesapeake": _palette(
            "water #0000ff; tree canopy #267300; low vegetation #a3ff73; barren #ffaa00; impervious other #9c9c9c; "
            "impervious road #000000",
            void_codes=(0, 15),
        ),
    }
)
"""Palettes of published data sets by name, with the codes of their index masks."""


@dataclass(frozen=True)
class ColorReport:
    """Number of pixels of a mask by the match of their colour with the palette.

    Parameters
    ----------
    exact, snapped, unknown
        Number of pixels whose colour is in the palette, near one of the palette, and near none.
    unknown_colors
        The most frequent unknown colours as ``#rrggbb`` with their number of pixels.
    """

    exact: int = 0
    snapped: int = 0
    unknown: int = 0
    unknown_colors: tuple[tuple[str, int], ...] = ()

    def __add__(self, other: ColorReport) -> ColorReport:
        counts: dict[str, int] = {}
        for color, count in (*self.unknown_colors, *other.unknown_colors):
            counts[color] = counts.get(color, 0) + count
        return ColorReport(
            self.exact + other.exact,
            self.snapped + other.snapped,
            self.unknown + other.unknown,
            tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        )

    def describe_unknown(self) -> str:
        """Return the number of unknown pixels and their most frequent colours, for messages."""
        shown = ", ".join(f"{color} ({count})" for color, count in self.unknown_colors[:5])
        more = len(self.unknown_colors) - 5
        return f"{self.unknown} pixels: {shown}" + (f" and {more} more colours" if more > 0 else "")


def decode_colors(
    image: NDArray[np.uint8], palette: Palette, *, snap_distance: float | None = None
) -> tuple[NDArray[np.int16], ColorReport]:
    """Convert a colour-coded mask to class indices.

    Parameters
    ----------
    image
        uint8 ``(3, row, col)`` red, green, blue; or ``(4, row, col)``, where alpha 0 means unlabelled.
    palette
        Classes of the colours.
    snap_distance
        Largest Euclidean distance in RGB at which a colour is replaced by the nearest one of the palette; by default
        half the distance of the two nearest palette colours, at most 64. Zero accepts exact colours only.

    Returns
    -------
    class_index : int16 ``(row, col)``
        Index into the palette's legend; -1 (`UNLABELLED`) for void and unknown colours.
    report : ColorReport
        Number of replaced colours, and the unknown colours.

    Examples
    --------
    >>> image = np.array([[[0, 3]], [[255, 250]], [[255, 255]]], dtype=np.uint8)
    >>> index, report = decode_colors(image, PALETTES["deepglobe"])
    >>> index.tolist(), report.snapped
    ([[0, 0]], 1)
    """
    known = np.concatenate([palette.legend.rgb, _rgb(palette.void_colors)]).astype(np.float64)
    meaning = np.append(np.arange(len(palette.legend)), [UNLABELLED] * len(palette.void_colors))
    if snap_distance is None:
        snap_distance = _default_snap_distance(known)
    packed = (
        image[:3].astype(np.uint32) << np.array([16, 8, 0], dtype=np.uint32)[:, None, None]
    ).sum(axis=0, dtype=np.uint32)
    visible = image[3] > 0 if len(image) > 3 else np.ones(packed.shape, dtype=bool)
    colors, inverse, counts = np.unique(packed[visible], return_inverse=True, return_counts=True)
    rgb = np.stack([colors >> 16 & 255, colors >> 8 & 255, colors & 255], axis=1).astype(np.float64)
    distance, nearest = _nearest(rgb, known)
    near = distance <= snap_distance
    class_index = np.full(packed.shape, UNLABELLED, dtype=np.int16)
    class_index[visible] = np.where(near, meaning[nearest], UNLABELLED)[inverse]
    exact = int(counts[distance == 0].sum())
    unknown = {
        f"#{color:06x}": int(n) for color, n in zip(colors[~near], counts[~near], strict=True)
    }
    report = ColorReport(
        exact, int(counts[near].sum()) - exact, sum(unknown.values()), tuple(unknown.items())
    )
    return class_index, report + ColorReport()


def read_palette(name_or_path: str | Path) -> Palette:
    """Return a built-in palette by its name, or read one from a file.

    Files are JSON (a list of ``{"code", "name", "color"}`` objects, as in a model folder) or text with one class a
    line: optionally a code, a name, and a colour as ``r g b`` or ``#rrggbb``, separated by commas, semicolons, tabs or
    spaces. A line of headings is skipped. Classes called unknown, void, nothing or similar are unlabelled.

    Raises
    ------
    LegendError
        If there is neither a palette nor a file of that name.
    InputFileError
        If the file cannot be understood.
    """
    if str(name_or_path) in PALETTES:
        return PALETTES[str(name_or_path)]
    path = Path(name_or_path)
    if not os.path.lexists(path):
        raise LegendError(
            f"There is no palette '{name_or_path}', neither built in nor as a file. "
            f"{nearest_names(str(name_or_path), PALETTES)} Or name a file with one 'name,r,g,b' a line."
        )
    text = read_text(path, "palette")
    rows = _json_rows(text, path) if text.lstrip().startswith("[") else _text_rows(text, path)
    if not rows:
        raise InputFileError(
            f"The palette '{path}' has no classes. Expected one a line, like 'forest,27,120,55'; add them."
        )
    void = [row for row in rows if row[1].lower() in _VOID_NAMES]
    entries = tuple(LegendEntry(*row) for row in rows if row not in void)
    return Palette(Legend(entries), tuple(row[2] for row in void), tuple(row[0] for row in void))


def _default_snap_distance(known: NDArray[np.float64]) -> float:
    if len(known) < 2:
        return _LARGEST_SNAP
    apart = np.linalg.norm(known[:, None] - known, axis=2)
    return min(float(apart[~np.eye(len(known), dtype=bool)].min()) / 2, _LARGEST_SNAP)


def _nearest(
    rgb: NDArray[np.float64], known: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    from scipy.spatial import cKDTree

    distance, nearest = cKDTree(known).query(rgb.reshape(-1, 3))
    return distance, nearest


def _rgb(colors: tuple[str, ...]) -> NDArray[np.uint8]:
    channels = [[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in colors]
    return np.array(channels, dtype=np.uint8).reshape(-1, 3)


def _json_rows(text: str, path: Path) -> list[tuple[int, str, str]]:
    try:
        rows = conforming(
            parse_json(text), [{"code": float, "name": (str, float), "color": (str, float)}]
        )
        return [(int(r["code"]), str(r["name"]), str(r["color"]).lower()) for r in rows]
    except (KeyError, ValueError) as error:
        why = f"an object has no {error}" if isinstance(error, KeyError) else error
        raise InputFileError(
            f"The palette '{path}' cannot be read ({why}). Expected a JSON list of objects with code, name and "
            "color; correct it."
        ) from error


def _text_rows(text: str, path: Path) -> list[tuple[int, str, str]]:
    rows: list[tuple[int, str, str]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        fields = [
            field.strip()
            for field in re.split(r"[,;\t]" if re.search(r"[,;\t]", line) else r"\s+", line)
        ]
        fields = [field for field in fields if field]
        if not fields or line.lstrip().startswith("//") or (number == 1 and _is_heading(fields)):
            continue
        rows.append(_parse_row(fields, len(rows) + 1, f"line {number} of the palette '{path}'"))
    return rows


def _is_heading(fields: list[str]) -> bool:
    return not any(re.fullmatch(r"#[0-9a-fA-F]{6}|\d+", field) for field in fields)


def _parse_row(fields: list[str], position: int, where: str) -> tuple[int, str, str]:
    numbers = [int(field) for field in fields if re.fullmatch(r"\d+", field)]
    hexes = [field.lower() for field in fields if re.fullmatch(r"#[0-9a-fA-F]{6}", field)]
    words = [field for field in fields if not re.fullmatch(r"\d+|#[0-9a-fA-F]{6}", field)]
    has_code = len(numbers) in ((1,) if hexes else (4, 5)) and re.fullmatch(r"\d+", fields[0])
    code = numbers.pop(0) if has_code else position
    if hexes:
        color = hexes[0]
    elif len(numbers) >= 3 and max(numbers) <= 255:
        color = "#" + "".join(f"{channel:02x}" for channel in numbers[:3])
    else:
        raise InputFileError(
            f"There is no colour in {where} ({' '.join(fields)}). Expected a name and a colour like "
            "'forest,27,120,55' or 'forest,#1b7837'; correct the line."
        )
    return code, " ".join(words) or str(code), color
