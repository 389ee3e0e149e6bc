"""Coordinate reference systems: their names, lossless text, and storage of those that GeoTIFF keys cannot hold.

GeoTIFF keys hold projected and geographic systems of a fixed list of methods. For others, such as a rotated pole, GDAL
writes the system into the sidecar ``.aux.xml``, which takes precedence over the keys when the raster is opened.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from xml.etree import ElementTree as ET

import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError, NotGeoreferencedWarning

from geopointseg.markup import parse_xml, read_document

_VERSIONS = (None, "WKT2_2019")
_PLACEHOLDERS = {"", "unknown", "unnamed", "local", "custom", "<custom>", "user-defined"}


def exact_wkt(crs: CRS) -> str:
    """Return text that reads back as the same CRS: WKT 1 where that can hold it, else WKT 2.

    Examples
    --------
    >>> exact_wkt(CRS.from_epsg(32633))[:30]
    'PROJCS["WGS 84 / UTM zone 33N"'
    """
    texts = []
    for version in _VERSIONS:
        try:
            text: str = crs.to_wkt(version=version)
            texts.append(text)
            if CRS.from_wkt(text) == crs:
                return text
        except CRSError:  # this version cannot hold it
            continue
    return texts[-1] if texts else str(crs.to_wkt())


def keep_crs(raster: Path, crs: CRS, epoch: float | None = None) -> None:
    """Write a CRS that a raster does not hold into GDAL's sidecar; other content of the sidecar is kept.

    Parameters
    ----------
    raster
        The raster, closed; GDAL may have written a sidecar already.
    crs
        The CRS that it will have when it is opened.
    epoch
        The coordinate epoch, where it has one; rasterio writes none.
    """
    if epoch is None and _told_crs(raster) == crs:
        return
    sidecar = raster.with_name(raster.name + ".aux.xml")
    root = read_sidecar(sidecar)
    for old in root.findall("SRS"):
        root.remove(old)
    root.insert(0, srs_element(crs, epoch))
    sidecar.write_text(ET.tostring(root, encoding="unicode") + "\n", encoding="utf-8")


def srs_element(crs: CRS, epoch: float | None) -> ET.Element:
    """Return a CRS as GDAL writes it into sidecars and virtual rasters."""
    element = ET.Element("SRS")
    if epoch is not None:
        element.set("coordinateEpoch", repr(epoch))
    element.text = exact_wkt(crs)
    return element


def read_sidecar(sidecar: Path) -> ET.Element:
    """Return the content of a GDAL sidecar that was written beside an output; an empty one where there is none."""
    if not sidecar.is_file():
        return ET.Element("PAMDataset")
    return parse_xml(read_document(sidecar))


def _told_crs(raster: Path) -> CRS | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(raster, sharing=False) as dataset:
            return dataset.crs


def crs_name(crs: CRS | None) -> str:
    """Return a short name of a CRS for messages: ``EPSG:32633``, or its own name.

    Examples
    --------
    >>> crs_name(CRS.from_epsg(32633))
    'EPSG:32633'
    >>> crs_name(CRS.from_wkt('LOCAL_CS["Site grid",UNIT["metre",1]]'))
    'Site grid'
    >>> crs_name(CRS.from_user_input("+proj=laea +lat_0=50 +lon_0=10 +ellps=GRS80"))
    'unnamed Lambert Azimuthal Equal Area CRS'
    """
    if crs is None:
        return "no CRS"
    epsg = crs.to_epsg()
    if epsg:
        return f"EPSG:{epsg}"
    authority = crs.to_authority()
    if authority:
        return ":".join(authority)
    name = own_name(crs)
    return name if is_own_name(name) else f"unnamed {_method(crs)} CRS"


def crs_title(crs: CRS) -> str:
    """Return a CRS's own name in quotes, after its EPSG code where it has one, like ``EPSG:4326 'WGS 84'``."""
    epsg = crs.to_epsg()
    return f"EPSG:{epsg} {quote_crs(crs)}" if epsg else quote_crs(crs)


def quote_crs(crs: CRS) -> str:
    """Return a CRS's own name in quotes, like ``'WGS 84'``."""
    return f"'{own_name(crs)}'"


def own_name(crs: CRS) -> str:
    """Return the name that the WKT of a CRS gives it; see `is_own_name`."""
    return str(crs.to_wkt()).split('"')[1].strip()


def is_own_name(name: str) -> bool:
    """Whether the name of a CRS identifies it, and is no placeholder such as ``unknown``."""
    return name.casefold() not in _PLACEHOLDERS and "undefined" not in name.casefold()


def _method(crs: CRS) -> str:
    """Return the projection method of an unnamed CRS."""
    import pyproj
    from pyproj.exceptions import CRSError as ProjError

    try:
        operation = pyproj.CRS.from_wkt(crs.to_wkt()).coordinate_operation
    except ProjError:
        operation = None
    method = operation.method_name if operation is not None else ""
    if "ob_tran" in method or "ob_tran" in crs.to_wkt():
        return "rotated pole"
    if method.startswith("PROJ "):
        return method.removeprefix("PROJ ").split(" ")[0]
    return method or ("geographic" if crs.is_geographic else "planar")
