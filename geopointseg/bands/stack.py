"""Several files as one scene: one-band files as its bands, dates as its channels, tiles as its mosaic.

Nothing is copied. The path of the scene is the XML text of a GDAL virtual raster, which can be sent to worker processes
like any path.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
from rasterio.windows import Window

from geopointseg.errors import RasterError
from geopointseg.raster.band import Band
from geopointseg.raster.crs import crs_name
from geopointseg.raster.grid import Grid
from geopointseg.raster.palette_image import expand_palette
from geopointseg.raster.scene import Scene
from geopointseg.raster.virtual_raster import (
    Piece,
    add_source,
    file_bands,
    new_band,
    new_dataset,
    new_mask,
    pixel_box,
    set_scale,
    with_descriptions,
    with_masks_of_gdal,
)


def stack_scenes(
    scenes: Sequence[Scene], *, label: str = "", date: str = "", pixels_of: Scene | None = None
) -> Scene:
    """Return the bands of several scenes of one place as one scene.

    The pixels are those of the finest scene; coarser or shifted ones are resampled bilinearly when they are read. The
    scene covers the area that all of them cover.

    Parameters
    ----------
    scenes
        Scenes in one CRS whose rows and columns run in the same directions.
    label, date
        What messages call the scene, and its acquisition date.
    pixels_of
        The scene whose pixels are taken; the finest by default.

    Returns
    -------
    Scene
        A virtual raster.

    Raises
    ------
    RasterError
        If CRS or orientation differ, or the scenes do not overlap.
    """
    finest = pixels_of or min(scenes, key=lambda s: s.grid.resolution_m)
    for scene in scenes:
        _require_parallel(finest, scene)
    grid = _common_grid(finest, scenes)
    scenes = [with_masks_of_gdal(expand_palette(scene)) for scene in scenes]
    label = label or f"stack of {len(scenes)} files ({finest.name} ...)"
    bands = [(scene, band) for scene in scenes for band in file_bands(scene)]
    root = new_dataset(grid)
    for scene, band in bands:
        _add_band(root, band, [Piece(scene, band, grid)], band.dtype or scene.dtype)
    opened = Scene.open(ET.tostring(root, encoding="unicode"), label=label, date=date)
    return with_descriptions(opened, [band for _, band in bands])


def stack_dates(scenes: Sequence[Scene], *, label: str = "") -> Scene:
    """Return several dates of one place as the channels of one scene, oldest first.

    The bands are called ``t1_red``, ``t1_nir``, ``t2_red`` ..., by their order in time and not by their date, so
    that a model can be used for another year.

    Raises
    ------
    RasterError
        If a date is not known, or two are the same.
    """
    for scene in scenes:
        if not scene.date:
            raise RasterError(
                f"No date can be read from '{scene.name}'. Dates become channels in the order of time, so each "
                "scene needs one; write it into the file name as YYYY-MM-DD or YYYYMMDD."
            )
    ordered = sorted(scenes, key=lambda scene: scene.date)
    dates = [scene.date for scene in ordered]
    if len(set(dates)) < len(dates):
        double = next(date for date in dates if dates.count(date) > 1)
        raise RasterError(
            f"Two scenes have the date {double}. Dates become channels, so each may occur once; make a mosaic of "
            "scenes of one date first, or take the dates as more scenes."
        )
    named = [
        scene.with_bands([replace(b, name=f"t{k}_{b.label}") for b in scene.bands])
        for k, scene in enumerate(ordered, start=1)
    ]
    return stack_scenes(named, label=label or f"{len(dates)} dates {dates[0]} to {dates[-1]}")


def mosaic_scenes(scenes: Sequence[Scene], *, label: str = "") -> Scene:
    """Return tiles of one pixel grid as one scene; later ones lie on top.

    Raises
    ------
    RasterError
        If the tiles' pixels do not coincide, or their bands differ.
    """
    first = scenes[0]
    for scene in scenes[1:]:
        if not first.grid.matches(scene.grid) or len(scene.bands) != len(first.bands):
            raise RasterError(
                f"'{scene.name}' ({len(scene.bands)} bands, {crs_name(scene.grid.crs)}) does not continue the pixels of "
                f"'{first.name}' ({len(first.bands)} bands, {crs_name(first.grid.crs)}). Expected tiles of one grid with "
                "the same bands; treat them as several scenes, or warp them to one grid with gdalwarp."
            )
    grid = _union_grid(first.grid, [scene.grid for scene in scenes])
    tiles = [with_masks_of_gdal(expand_palette(scene)) for scene in scenes]
    first = tiles[0]
    root = new_dataset(grid)
    for k, band in enumerate(file_bands(first)):
        pieces = [Piece(tile, file_bands(tile)[k], grid) for tile in tiles]
        dtypes = [piece.band.dtype or piece.scene.dtype for piece in pieces]
        _add_band(root, band, pieces, str(np.result_type(*dtypes)))
    opened = Scene.open(
        ET.tostring(root, encoding="unicode"), label=label or f"mosaic of {len(scenes)} files"
    )
    return with_descriptions(opened, first.bands)


def _require_parallel(first: Scene, other: Scene) -> None:
    if first.grid.crs != other.grid.crs:
        raise RasterError(
            f"'{other.name}' is in {crs_name(other.grid.crs)} and '{first.name}' in {crs_name(first.grid.crs)}. Expected one "
            "CRS for the bands of a scene; warp one of them with gdalwarp, or take them as several scenes."
        )
    step = first.grid.pixel_transform(other.grid)
    if max(abs(step.b), abs(step.d)) * max(other.grid.shape) > 1e-3 or step.a <= 0 or step.e <= 0:
        raise RasterError(
            f"The rows and columns of '{other.name}' do not run along those of '{first.name}'. Expected files of one "
            "orientation; warp one of them with gdalwarp."
        )


def _common_grid(finest: Scene, scenes: Sequence[Scene]) -> Grid:
    """Return the part of the finest scene's grid that lies on all scenes, to half a pixel."""
    boxes = np.array([pixel_box(finest.grid, scene.grid) for scene in scenes])
    left, top = (math.ceil(v - 0.5) for v in boxes[:, :2].max(axis=0))
    right, bottom = (math.floor(v + 0.5) for v in boxes[:, 2:].min(axis=0))
    if right <= left or bottom <= top:
        raise RasterError(
            f"The {len(scenes)} files ({', '.join(s.name for s in scenes[:4])} ...) do not overlap. Expected files of one "
            "place as the bands of a scene; take them as several scenes."
        )
    return finest.grid.crop(Window(left, top, right - left, bottom - top))


def _union_grid(first: Grid, grids: Iterable[Grid]) -> Grid:
    boxes = np.array([pixel_box(first, grid) for grid in grids])
    left, top = (round(v) for v in boxes[:, :2].min(axis=0))
    right, bottom = (round(v) for v in boxes[:, 2:].max(axis=0))
    return first.crop(Window(left, top, right - left, bottom - top))


def _add_band(root: ET.Element, band: Band, pieces: Sequence[Piece], dtype: str) -> None:
    """Add a band made of pieces, later ones on top; a piece is transparent where its mask hides it."""
    element = new_band(root, dtype)
    set_scale(element, band)
    for piece in pieces:
        is_masked = len(pieces) > 1 and bool(piece.band.mask)
        kind = "ComplexSource" if is_masked else "SimpleSource"
        source = add_source(element, kind, piece, str(piece.band.index), "bilinear")
        if is_masked:
            ET.SubElement(source, "UseMaskBand").text = "true"
    is_copy = len(pieces) == 1 and pieces[0].is_aligned
    if is_copy and band.mask == "nodata" and band.nodata is not None:
        ET.SubElement(element, "NoDataValue").text = repr(band.nodata)
    elif band.mask or len(pieces) > 1:
        mask = new_mask(element)
        for piece in pieces:
            source = add_source(mask, "ComplexSource", piece, f"mask,{piece.band.index}", "nearest")
            ET.SubElement(source, "NODATA").text = "0"
