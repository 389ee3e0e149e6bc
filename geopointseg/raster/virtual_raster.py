"""Virtual rasters: XML text that GDAL opens, made of bands and masks of other files.

Nothing is copied, and the text travels to worker processes like any path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from affine import Affine

from geopointseg.errors import RasterError
from geopointseg.raster.band import Band
from geopointseg.raster.crs import srs_element
from geopointseg.raster.grid import Grid
from geopointseg.raster.validity import is_stored_mask

if TYPE_CHECKING:
    from geopointseg.raster.scene import Scene

_BLOCK = 512


@dataclass(frozen=True)
class Piece:
    """A band of a file as a source of a virtual raster.

    Parameters
    ----------
    scene, band
        The file and its band.
    grid
        The grid of the virtual raster, of which the file fills a part.
    """

    scene: Scene
    band: Band
    grid: Grid

    @property
    def is_aligned(self) -> bool:
        """Whether its pixels are pixels of the virtual grid."""
        return self.grid.matches(self.scene.grid)


def with_masks_of_gdal(scene: Scene) -> Scene:
    """Return a scene whose nodata pixels are all in GDAL's masks of its bands.

    Alpha bands that GDAL leaves out, and nodata values that the user declares, become masks of a virtual raster.
    """
    bands = file_bands(scene)
    if all(band.alpha == 0 and (band.nodata is None or band.mask == "nodata") for band in bands):
        return scene
    root = new_dataset(scene.grid)
    for band in bands:
        piece = Piece(scene, band, scene.grid)
        element = new_band(root, band.dtype or scene.dtype)
        set_scale(element, band)
        add_source(element, "SimpleSource", piece, str(band.index), "nearest")
        mask_by_all(element, piece)
    return with_descriptions(scene.as_virtual(ET.tostring(root, encoding="unicode")), bands)


def mask_by_all(element: ET.Element, piece: Piece) -> None:
    """Give a band a mask that is the product of GDAL's mask, the alpha band, and the user's nodata."""
    band = piece.band
    if band.nodata is not None and not is_stored_mask(band.mask) and not band.alpha:
        ET.SubElement(element, "NoDataValue").text = repr(band.nodata)
        return
    masks = [(piece, f"mask,{band.index}")] if band.mask else []
    if band.alpha:
        masks.append((piece, str(band.alpha)))
    if band.nodata is not None and band.mask != "nodata":
        declared = Piece(replace(piece.scene, path=_declaring(piece)), band, piece.grid)
        masks.append((declared, "mask,1"))
    if not masks:
        return
    mask = new_mask(element)
    for source, source_band in masks:
        add_source(mask, "SimpleSource", source, source_band, "nearest")
    if len(masks) > 1:
        mask.set("subClass", "VRTDerivedRasterBand")
        ET.SubElement(mask, "PixelFunctionType").text = "mul"


def _declaring(piece: Piece) -> str:
    """Return a virtual raster of one band that declares the nodata value of the user."""
    root = new_dataset(piece.scene.grid)
    element = new_band(root, piece.band.dtype or piece.scene.dtype)
    ET.SubElement(element, "NoDataValue").text = repr(piece.band.nodata)
    add_source(element, "SimpleSource", piece, str(piece.band.index), "nearest")
    return ET.tostring(root, encoding="unicode")


def with_descriptions(scene: Scene, bands: Sequence[Band]) -> Scene:
    """Return a virtual raster with the names, wavelengths and colours of other bands, which it cannot store."""
    return scene.with_bands(
        [
            replace(new, name=old.name, wavelength_um=old.wavelength_um, color=old.color)
            for new, old in zip(scene.bands, bands, strict=True)
        ]
    )


def file_bands(scene: Scene) -> tuple[Band, ...]:
    """Return the bands of a scene, all of which are bands of its file.

    Raises
    ------
    RasterError
        If some are computed.
    """
    if any(band.expression is not None for band in scene.bands):
        raise RasterError(
            f"'{scene.name}' has computed bands ({', '.join(scene.band_names)}). Expected bands of its file; stack the "
            "files first and compute afterwards."
        )
    if any(band.decoding is not None and band.decoding.changes_values for band in scene.bands):
        raise RasterError(
            f"'{scene.name}' is an embedding. Expected imagery for the bands of a virtual raster, because GDAL would resample codes "
            "that are not decoded; give the embedding alone, or as [scene] companion."
        )
    return scene.bands


def new_dataset(grid: Grid) -> ET.Element:
    """Return the root element of a virtual raster on a grid."""
    root = ET.Element("VRTDataset", rasterXSize=str(grid.width), rasterYSize=str(grid.height))
    root.append(srs_element(grid.crs, grid.epoch))
    ET.SubElement(root, "GeoTransform").text = ", ".join(
        repr(float(v)) for v in Affine(*grid.transform[:6]).to_gdal()
    )
    return root


def set_scale(element: ET.Element, band: Band) -> None:
    """Give a band element the scale and offset of a band."""
    if band.scale != 1.0 or band.offset != 0.0:
        ET.SubElement(element, "Scale").text = repr(band.scale)
        ET.SubElement(element, "Offset").text = repr(band.offset)


def new_mask(element: ET.Element) -> ET.Element:
    """Return the band of a mask that belongs to one band."""
    return ET.SubElement(ET.SubElement(element, "MaskBand"), "VRTRasterBand", dataType="Byte")


def new_band(root: ET.Element, dtype: str) -> ET.Element:
    """Append a band of a data type to a virtual raster."""
    return ET.SubElement(
        root,
        "VRTRasterBand",
        dataType=gdal_type(dtype),
        band=str(len(root.findall("VRTRasterBand")) + 1),
        blockXSize=str(_BLOCK),
        blockYSize=str(_BLOCK),
    )


def gdal_type(dtype: str) -> str:
    """Return GDAL's name of a data type: ``Byte``, ``UInt16``, ``Float32``."""
    if dtype == "uint8":
        return "Byte"
    return f"UInt{dtype[4:]}" if dtype.startswith("uint") else dtype.capitalize()


def add_source(
    element: ET.Element, kind: str, piece: Piece, source_band: str, resampling: str
) -> ET.Element:
    """Append a source to a band element.

    Parameters
    ----------
    element
        The band, or the band of a mask.
    kind
        ``SimpleSource`` or ``ComplexSource``.
    piece
        Where it comes from and goes to.
    source_band
        The band of the file as GDAL names it: ``3``, or ``mask,3``.
    resampling
        How values are found where the pixels do not coincide.

    Returns
    -------
    Element
        The source.
    """
    size = piece.scene.grid
    left, top, right, bottom = pixel_box(piece.grid, size)
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


def pixel_box(grid: Grid, of: Grid) -> tuple[float, float, float, float]:
    """Return left, top, right, bottom of a grid in the pixels of another."""
    step = grid.pixel_transform(of)
    left, top = step @ (0, 0)
    right, bottom = step @ (of.width, of.height)
    return left, top, right, bottom
