"""Sidecar files with the class names and colours of a raster, for QGIS and GDAL.

There are three places: a ``.qml`` beside the raster (QGIS loads it as the default style), a GDAL
``.aux.xml`` with category names and an attribute table (GDAL, ArcGIS, QGIS's identify tool), and the colour
table inside the file (everything else).
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

from geopointseg.class_colors import class_colors
from geopointseg.legend import Legend, LegendEntry
from geopointseg.markup import parse_xml, read_document
from geopointseg.name import allowed_in_xml, clean_name

_NAMES_UP_TO_CODE = 1023
"""Category names are listed by position from zero; beyond this code the attribute table alone carries them."""


def qml_path(raster: Path) -> Path:
    """Return the path of the QGIS style that belongs to a raster."""
    return raster.with_suffix(".qml")


def aux_path(raster: Path) -> Path:
    """Return the path of the GDAL sidecar that belongs to a raster."""
    return raster.with_name(raster.name + ".aux.xml")


def paletted_qml(legend: Legend, band: int = 1) -> str:
    """Return a QGIS style that paints every class code in its colour, with its name.

    Parameters
    ----------
    legend
        The classes.
    band
        The raster band that holds the class codes, from 1.

    Returns
    -------
    str
        The text of a ``.qml`` file for a raster layer (QGIS 3.22 and later).
    """
    root = ET.Element("qgis", version="3.22.0", styleCategories="AllStyleCategories")
    pipe = ET.SubElement(root, "pipe")
    renderer = ET.SubElement(
        pipe, "rasterrenderer", type="paletted", band=str(band), opacity="1", alphaBand="-1"
    )
    ET.SubElement(renderer, "rasterTransparency")
    palette = ET.SubElement(renderer, "colorPalette")
    for entry in legend.entries:
        ET.SubElement(
            palette, "paletteEntry",
            value=str(entry.code), color=entry.color, alpha="255", label=entry.name,
        )  # fmt: skip
    ET.SubElement(pipe, "brightnesscontrast", brightness="0", contrast="0")
    ET.SubElement(pipe, "huesaturation", saturation="0", grayscaleMode="0")
    ET.SubElement(pipe, "rasterresampler", maxOversampling="2")
    ET.indent(root)
    return "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n" + _to_text(root)


def gdal_sidecar(legend: Legend, present: ET.Element | None = None, band: int = 1) -> str:
    """Return a GDAL ``.aux.xml`` with category names and a raster attribute table.

    The attribute table has the columns value, name, red, green and blue, with the usages that GDAL and ArcGIS
    read.

    Parameters
    ----------
    legend
        The classes.
    present
        What the sidecar holds already and keeps, such as a CRS.
    band
        The raster band that holds the class codes, from 1.

    Returns
    -------
    str
        The text of an ``.aux.xml`` file.
    """
    root = ET.Element("PAMDataset") if present is None else present
    holder = ET.SubElement(root, "PAMRasterBand", band=str(band))
    if legend.codes.size and legend.codes.max() <= _NAMES_UP_TO_CODE:
        names = ET.SubElement(holder, "CategoryNames")
        by_code = {entry.code: entry.name for entry in legend.entries}
        for code in range(int(legend.codes.max()) + 1):
            ET.SubElement(names, "Category").text = by_code.get(code, "")
    table = ET.SubElement(holder, "GDALRasterAttributeTable", tableType="thematic")
    for index, (name, kind, usage) in enumerate(_COLUMNS):
        column = ET.SubElement(table, "FieldDefn", index=str(index))
        ET.SubElement(column, "Name").text = name
        ET.SubElement(column, "Type").text = str(kind)
        ET.SubElement(column, "Usage").text = str(usage)
    for index, (entry, rgb) in enumerate(zip(legend.entries, legend.rgb, strict=True)):
        row = ET.SubElement(table, "Row", index=str(index))
        for value in (entry.code, entry.name, *rgb.tolist()):
            ET.SubElement(row, "F").text = str(value)
    ET.indent(root)
    return _to_text(root)


# name, GDAL type (0 integer, 2 string), GDAL usage (5 min/max value, 2 name, 6 red, 7 green, 8 blue)
_COLUMNS = (("Value", 0, 5), ("Class", 2, 2), ("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8))


def read_sidecar_legend(raster: Path) -> Legend | None:
    """Return the legend that lies beside a raster, from its attribute table, category names or QGIS style.

    Parameters
    ----------
    raster
        Path of the raster.

    Returns
    -------
    Legend or None
        None where there is no sidecar, or none that names classes.
    """
    for path, parse in ((aux_path(raster), _parse_sidecar), (qml_path(raster), _parse_qml)):
        if not os.path.isfile(path):  # noqa: PTH113 - Path fails on the text of a virtual raster
            continue
        try:
            rows = parse(parse_xml(read_document(path)))
        except (OSError, ValueError, IndexError, OverflowError):
            continue
        if rows:
            return _legend(rows)
    return None


def _parse_sidecar(root: ET.Element) -> list[tuple[int, str, str]]:
    table = root.find(".//GDALRasterAttributeTable")
    if table is not None:
        usage = [int(column.findtext("Usage", "0")) for column in table.iter("FieldDefn")]
        if 5 in usage and 2 in usage:
            return [_table_row([f.text or "" for f in row], usage) for row in table.iter("Row")]
    names = [item.text or "" for item in root.iter("Category")]
    return [(code, name, "") for code, name in enumerate(names) if name]


def _table_row(values: list[str], usage: list[int]) -> tuple[int, str, str]:
    color = ""
    if {6, 7, 8} <= set(usage):
        color = "#" + "".join(f"{int(float(values[usage.index(u)])):02x}" for u in (6, 7, 8))
    return int(float(values[usage.index(5)])), values[usage.index(2)], color


def _parse_qml(root: ET.Element) -> list[tuple[int, str, str]]:
    return [
        (int(float(e.get("value", ""))), e.get("label", ""), e.get("color", "")[:7])
        for e in root.iter("paletteEntry")
    ]


def _legend(rows: list[tuple[int, str, str]]) -> Legend:
    named = [(code, clean_name(name).strip() or str(code), color) for code, name, color in rows]
    names = Counter(name for _, name, _ in named)
    rows = [
        (code, name if names[name] == 1 else f"{name} ({code})", color)
        for code, name, color in named
    ]
    uncolored = [name for _, name, color in rows if not color]
    spare = iter(class_colors(uncolored, [color for _, _, color in rows if color]))
    return Legend(
        tuple(LegendEntry(code, name, color or next(spare)) for code, name, color in rows)
    )


def _to_text(root: ET.Element) -> str:
    return allowed_in_xml(ET.tostring(root, encoding="unicode")) + "\n"
