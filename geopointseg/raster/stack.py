"""Several files as one scene: one-band files as its bands, dates as its channels, tiles as its mosaic.

Nothing is copied: the scene's path is the XML text of a GDAL virtual raster, which travels to worker processes
like any path.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from affine import Affine
from rasterio.windows import Window

from geopointseg.errors import RasterError
from geopointseg.raster.band import Band
from geopointseg.raster.crs import crs_name, exact_wkt
from geopointseg.raster.grid import Grid
from geopointseg.raster.scene import Scene

_GDAL_TYPES = {
    "uint8": "Byte",
    "int8": "Int8",
    "uint16": "UInt16",
    "int16": "Int16",
    "uint32": "UInt32",
    "int32": "Int32",
    "uint64": "UInt64",
    "int64": "Int64",
    "float32": "Float32",
    "float64": "Float64",
}
_BLOCK = 512


@dataclass(frozen=True)
class _Piece:
    """A band of a file, and the part of the virtual grid that it fills."""

    scene: Scene
    band: Band
    grid: Grid

    @property
    def is_aligned(self) -> bool:
        """Whether its pixels are pixels of the virtual grid."""
        return self.grid.matches(self.scene.grid)


def stack_scenes(scenes: Sequence[Scene], *, label: str = "", date: str = "") -> Scene:
    """See the bands of several scenes of one place as one scene.

    The pixels are those of the finest scene; coarser or shifted ones are resampled bilinearly as they are read.
    The scene covers the ground that all of them show.

    Parameters
    ----------
    scenes
        Scenes in one CRS whose rows and columns run in the same directions.
    label, date
        What messages call the scene, and when it was taken.

    Raises
    ------
    RasterError
        If CRS or orientation differ, or the scenes do not overlap.
    """
    finest = min(scenes, key=lambda s: s.grid.resolution_m)
    for scene in scenes:
        _require_parallel(finest, scene)
    grid = _common_grid(finest, scenes)
    scenes = [_with_masks_of_gdal(scene) for scene in scenes]
    label = label or f"stack of {len(scenes)} files ({finest.name} ...)"
    bands = [(scene, band) for scene in scenes for band in _file_bands(scene)]
    root = _dataset(grid)
    for scene, band in bands:
        _add_band(root, band, [_Piece(scene, band, grid)], band.dtype or scene.dtype)
    opened = Scene.open(ET.tostring(root, encoding="unicode"), label=label, date=date)
    described = [_as_described(new, old) for new, (_, old) in zip(opened.bands, bands, strict=True)]
    return opened.with_bands(described)


def stack_dates(scenes: Sequence[Scene], *, label: str = "") -> Scene:
    """See several dates of one place as the channels of one scene, oldest first.

    The bands are called ``t1_red``, ``t1_nir``, ``t2_red`` ...: by their order in time and not by their date, so
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
    """See tiles of one pixel grid as one scene; later ones lie on top.

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
    tiles = [_with_masks_of_gdal(scene) for scene in scenes]
    root = _dataset(grid)
    for k, band in enumerate(_file_bands(first)):
        pieces = [_Piece(tile, _file_bands(tile)[k], grid) for tile in tiles]
        dtypes = [piece.band.dtype or piece.scene.dtype for piece in pieces]
        _add_band(root, band, pieces, str(np.result_type(*dtypes)))
    opened = Scene.open(
        ET.tostring(root, encoding="unicode"), label=label or f"mosaic of {len(scenes)} files"
    )
    described = [
        _as_described(new, old) for new, old in zip(opened.bands, first.bands, strict=True)
    ]
    return opened.with_bands(described)


def _as_described(new: Band, old: Band) -> Band:
    """Carry over what a virtual raster cannot say."""
    return replace(new, name=old.name, wavelength_um=old.wavelength_um, color=old.color)


def _with_masks_of_gdal(scene: Scene) -> Scene:
    """Return a scene whose pixels without image are all told by GDAL's masks of its bands.

    Alpha bands that GDAL leaves out, and nodata values that the user declares, become masks of a virtual raster.
    """
    bands = _file_bands(scene)
    if all(band.alpha == 0 and (band.nodata is None or band.mask == "nodata") for band in bands):
        return scene
    root = _dataset(scene.grid)
    for band in bands:
        piece = _Piece(scene, band, scene.grid)
        element = _new_band(root, band.dtype or scene.dtype)
        _set_scale(element, band)
        _add_source(element, "SimpleSource", piece, str(band.index), "nearest")
        _mask_by_all(element, piece)
    opened = Scene.open(ET.tostring(root, encoding="unicode"), label=scene.name, date=scene.date)
    told = [_as_described(new, old) for new, old in zip(opened.bands, bands, strict=True)]
    return opened.with_bands(told)


def _mask_by_all(element: ET.Element, piece: _Piece) -> None:
    """Give a band a mask that is the product of GDAL's mask, the alpha band, and the user's nodata."""
    band = piece.band
    if band.nodata is not None and band.mask != "file" and not band.alpha:
        ET.SubElement(element, "NoDataValue").text = repr(band.nodata)
        return
    masks = [(piece, f"mask,{band.index}")] if band.mask else []
    if band.alpha:
        masks.append((piece, str(band.alpha)))
    if band.nodata is not None and band.mask != "nodata":
        declared = _Piece(replace(piece.scene, path=_declaring(piece)), band, piece.grid)
        masks.append((declared, "mask,1"))
    if not masks:
        return
    mask = _new_mask(element)
    for source, source_band in masks:
        _add_source(mask, "SimpleSource", source, source_band, "nearest")
    if len(masks) > 1:
        mask.set("subClass", "VRTDerivedRasterBand")
        ET.SubElement(mask, "PixelFunctionType").text = "mul"


def _declaring(piece: _Piece) -> str:
    """Return a virtual raster of one band that declares the nodata value of the user."""
    root = _dataset(piece.scene.grid)
    element = _new_band(root, piece.band.dtype or piece.scene.dtype)
    ET.SubElement(element, "NoDataValue").text = repr(piece.band.nodata)
    _add_source(element, "SimpleSource", piece, str(piece.band.index), "nearest")
    return ET.tostring(root, encoding="unicode")


def _file_bands(scene: Scene) -> tuple[Band, ...]:
    if any(band.expression is not None for band in scene.bands):
        raise RasterError(
            f"'{scene.name}' has computed bands ({', '.join(scene.band_names)}). Expected bands of its file; stack the "
            "files first and compute afterwards."
        )
    return scene.bands


def _require_parallel(first: Scene, other: Scene) -> None:
    if first.grid.crs != other.grid.crs:
        raise RasterError(
            f"'{other.name}' is in {crs_name(other.grid.crs)} and '{first.name}' in {crs_name(first.grid.crs)}. Expected one "
            "CRS for the bands of a scene; warp one of them with gdalwarp, or take them as several scenes."
        )
    step = ~first.grid.transform @ other.grid.transform
    if max(abs(step.b), abs(step.d)) * max(other.grid.shape) > 1e-3 or step.a <= 0 or step.e <= 0:
        raise RasterError(
            f"The rows and columns of '{other.name}' do not run along those of '{first.name}'. Expected files of one "
            "orientation; warp one of them with gdalwarp."
        )


def _pixel_box(grid: Grid, of: Grid) -> tuple[float, float, float, float]:
    """Return left, top, right, bottom of a grid in the pixels of another."""
    step = ~grid.transform @ of.transform
    left, top = step @ (0, 0)
    right, bottom = step @ (of.width, of.height)
    return left, top, right, bottom


def _common_grid(finest: Scene, scenes: Sequence[Scene]) -> Grid:
    """Return the part of the finest scene's grid that lies on all scenes, to half a pixel."""
    boxes = np.array([_pixel_box(finest.grid, scene.grid) for scene in scenes])
    left, top = (math.ceil(v - 0.5) for v in boxes[:, :2].max(axis=0))
    right, bottom = (math.floor(v + 0.5) for v in boxes[:, 2:].min(axis=0))
    if right <= left or bottom <= top:
        raise RasterError(
            f"The {len(scenes)} files ({', '.join(s.name for s in scenes[:4])} ...) share no ground. Expected files of one "
            "place as the bands of a scene; take them as several scenes."
        )
    return finest.grid.crop(Window(left, top, right - left, bottom - top))


def _union_grid(first: Grid, grids: Iterable[Grid]) -> Grid:
    boxes = np.array([_pixel_box(first, grid) for grid in grids])
    left, top = (round(v) for v in boxes[:, :2].min(axis=0))
    right, bottom = (round(v) for v in boxes[:, 2:].max(axis=0))
    return first.crop(Window(left, top, right - left, bottom - top))


# --- virtual rasters -------------------------------------------------------------------------------------------


def _dataset(grid: Grid) -> ET.Element:
    root = ET.Element("VRTDataset", rasterXSize=str(grid.width), rasterYSize=str(grid.height))
    ET.SubElement(root, "SRS").text = exact_wkt(grid.crs)
    ET.SubElement(root, "GeoTransform").text = ", ".join(
        repr(float(v)) for v in Affine(*grid.transform[:6]).to_gdal()
    )
    return root


def _add_band(root: ET.Element, band: Band, pieces: Sequence[_Piece], dtype: str) -> None:
    """Add a band made of pieces, later ones on top; a piece is seen through where its mask hides it."""
    element = _new_band(root, dtype)
    _set_scale(element, band)
    for piece in pieces:
        is_veiled = len(pieces) > 1 and bool(piece.band.mask)
        kind = "ComplexSource" if is_veiled else "SimpleSource"
        source = _add_source(element, kind, piece, str(piece.band.index), "bilinear")
        if is_veiled:
            ET.SubElement(source, "UseMaskBand").text = "true"
    is_copy = len(pieces) == 1 and pieces[0].is_aligned
    if is_copy and band.mask == "nodata" and band.nodata is not None:
        ET.SubElement(element, "NoDataValue").text = repr(band.nodata)
    elif band.mask or len(pieces) > 1:
        mask = _new_mask(element)
        for piece in pieces:
            source = _add_source(mask, "ComplexSource", piece, f"mask,{piece.band.index}", "nearest")
            ET.SubElement(source, "NODATA").text = "0"


def _set_scale(element: ET.Element, band: Band) -> None:
    if band.scale != 1.0 or band.offset != 0.0:
        ET.SubElement(element, "Scale").text = repr(band.scale)
        ET.SubElement(element, "Offset").text = repr(band.offset)


def _new_mask(element: ET.Element) -> ET.Element:
    """Return the band of a mask that belongs to one band."""
    return ET.SubElement(ET.SubElement(element, "MaskBand"), "VRTRasterBand", dataType="Byte")


def _new_band(root: ET.Element, dtype: str) -> ET.Element:
    return ET.SubElement(
        root,
        "VRTRasterBand",
        dataType=_GDAL_TYPES[dtype],
        band=str(len(root.findall("VRTRasterBand")) + 1),
        blockXSize=str(_BLOCK),
        blockYSize=str(_BLOCK),
    )


def _add_source(
    element: ET.Element, kind: str, piece: _Piece, source_band: str, resampling: str
) -> ET.Element:
    size = piece.scene.grid
    left, top, right, bottom = _pixel_box(piece.grid, size)
    aligned = piece.is_aligned
    if aligned:
        left, top = float(round(left)), float(round(top))
        right, bottom = left + size.width, top + size.height
    source = ET.SubElement(element, kind)
    if not aligned:
        source.set("resampling", resampling)
    path = piece.scene.path
    name = ET.SubElement(source, "SourceFilename", relativeToVRT="0", shared="0")
    name.text = (
        path if path.startswith("<") or not Path(path).exists() else str(Path(path).resolve())
    )
    ET.SubElement(source, "SourceBand").text = source_band
    _add_rectangle(source, "SrcRect", 0, 0, size.width, size.height)
    _add_rectangle(source, "DstRect", left, top, right - left, bottom - top)
    return source


def _add_rectangle(
    source: ET.Element, tag: str, left: float, top: float, width: float, height: float
) -> None:
    ET.SubElement(
        source, tag, xOff=repr(left), yOff=repr(top), xSize=repr(width), ySize=repr(height)
    )

