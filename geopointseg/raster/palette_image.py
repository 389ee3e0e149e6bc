"""Palette images: rasters whose values are indices into a colour table.

Such values are no measurements: neighbouring ones may be any two colours. A palette image of one band is replaced by a
GDAL virtual raster of its colours. A palette band beside measured bands, such as a quality layer, is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from geopointseg.errors import RasterError
from geopointseg.progress import Reporter
from geopointseg.raster.raster_access import HANDLES
from geopointseg.raster.virtual_raster import (
    Piece,
    add_source,
    new_band,
    new_dataset,
    new_mask,
    with_descriptions,
    with_masks_of_gdal,
)

if TYPE_CHECKING:
    from geopointseg.raster.scene import Scene

Color = tuple[int, int, int, int]

_COMPONENTS = {"Gray": 1, "Red": 1, "Green": 2, "Blue": 3, "Alpha": 4}


def expand_palette(scene: Scene, *, reporter: Reporter | None = None) -> Scene:
    """Return a scene without indices into a colour table: with their colours, or without the band that holds them.

    Parameters
    ----------
    scene
        Any scene; one without colour tables is returned as it is.
    reporter
        Gets a message on what is read instead.

    Returns
    -------
    Scene
        Bands red, green and blue of 8 bits; one band where the colour table holds greys only.

    Raises
    ------
    RasterError
        If the colours are not known, or there are several such bands and no others.
    """
    reporter = reporter or Reporter()
    palettes = [band for band in scene.bands if band.is_palette]
    if not palettes:
        return scene
    measured = [band for band in scene.bands if not band.is_palette]
    if measured:
        names = ", ".join(band.label for band in palettes)
        reporter.log(
            f"'{scene.name}': {names} left out: its values are indices into a colour table and no measurements."
        )
        return scene.with_bands(measured)
    table = _color_table(scene)
    if len(palettes) > 1 or not table:
        raise RasterError(
            f"'{scene.name}' holds indices into a colour table and no measurements. Expected imagery; expand it to "
            "colours in QGIS with \"PCT to RGB\", or with 'gdal_translate -expand rgb', and give the result."
        )
    is_grey = all(red == green == blue for red, green, blue, _ in table)
    expanded = _expand(scene, ("Gray",) if is_grey else ("Red", "Green", "Blue"), table)
    shown = "grey values" if is_grey else "red, green and blue"
    reporter.log(
        f"'{scene.name}' is a palette image: the {shown} of its colour table are taken as bands."
    )
    return expanded


def _color_table(scene: Scene) -> list[Color]:
    try:
        table: dict[int, Color] = HANDLES.get(scene.path).colormap(scene.bands[0].index)
    except ValueError:
        return []
    return list(table.values())


def _expand(scene: Scene, names: tuple[str, ...], table: list[Color]) -> Scene:
    """Return the components of the colour table as bands, and its transparent colours as an alpha band."""
    masked = with_masks_of_gdal(scene)
    stored, told = (Piece(s, s.bands[0], s.grid) for s in (scene, masked))
    if any(alpha < 255 for *_, alpha in table):
        names = (*names, "Alpha")
    root = new_dataset(scene.grid)
    for name in names:
        band = new_band(root, "uint8")
        if name == "Alpha":
            ET.SubElement(band, "Description").text = "alpha"
        ET.SubElement(band, "ColorInterp").text = name
        source = add_source(band, "ComplexSource", stored, str(stored.band.index), "nearest")
        ET.SubElement(source, "ColorTableComponent").text = str(_COMPONENTS[name])
        if told.band.mask and name != "Alpha":
            add_source(new_mask(band), "SimpleSource", told, f"mask,{told.band.index}", "nearest")
    opened = scene.as_virtual(ET.tostring(root, encoding="unicode"))
    return opened if len(opened.bands) > 1 else with_descriptions(opened, scene.bands)
