"""What an input file may make GDAL open besides itself.

A virtual raster and similar documents name other files, and GDAL opens whatever they name: web services, object stores,
or pixel functions. A document from an unknown source could therefore connect to any address. Files that the user names are
followed through all documents before GDAL opens them. Local sources are accepted. Network sources and pixel functions are
refused, unless the environment variable ``GEOPOINTSEG_ALLOW_SOURCES`` names them. It is no setting, because files of settings
and models may be from the same unknown source.

An address that the user names is opened: only documents are restricted. The search for addresses gives the sentences; it is not
complete, because many formats hold addresses. The ``geopointseg`` command therefore also keeps GDAL from connecting at all until
the user names an address (`geopointseg.process.permit_connections`).
"""

from __future__ import annotations

import gzip
import os
import re
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast
from xml.etree import ElementTree as ET

from geopointseg.errors import InputFileError
from geopointseg.markup import is_device, parse_xml, read_document

VARIABLE = "GEOPOINTSEG_ALLOW_SOURCES"
"""Environment variable: ``network``, ``functions``, or both separated by a comma."""
LARGEST_DOCUMENT = 2**28
"""Largest virtual raster in bytes."""
DEEPEST_NESTING = 16
"""Largest depth of virtual rasters in virtual rasters."""
FOLLOWING_DRIVERS = frozenset((
    "VRT", "WMS", "WMTS", "WCS", "GTI", "MRF", "STACIT", "STACTA", "GDALG", "HTTP", "DERIVED", "DAAS", "EEDAI", "EEDA",
    "PLMOSAIC", "NGW", "OGCAPI", "KMLSUPEROVERLAY", "PLSCENES", "IIP",
))  # fmt: skip
"""Raster drivers of GDAL that open what their file names, or connect to a service."""

_HEADER_BYTES = 8192
_FOLLOWED = (b"<VRTDataset", b"<OGRVRTDataSource")
_FILE_NAME = re.compile(r"[\w-][\w.-]*\.\w+")
_SERVICES = re.compile(
    rb"<(GDAL_WM[A-Z]+|GDALTileIndexDataset|MRF_META|WCS_GDAL|OGRWFSDataSource|(WMS|WMT_MS|WFS|WCS)_Capabilities"
    rb'|TileMapService|\w*:?Capabilities|MapML)|"gdal_streamed_alg"',
    re.IGNORECASE,
)
_STAC = b'"stac_'
_LOCAL_ROOTS = re.compile(  # raster formats whose metadata are XML, and vector formats
    r"(Level-[12]\w*_(User_Product|Tile_ID|DataStrip_ID|Datastrip_ID)|Dimap_Document|product|level1Product|"
    r"Product_Observational|XFDU|schema|kml|gpx|osm|FeatureCollection|GeoRSS|rss|feed|\w*[Cc]ollection)"
)
_FUNCTIONS = ("PixelFunctionType", "PixelFunctionCode", "PixelFunctionLanguage", "ProcessingSteps")
_FUNCTION_CLASSES = ("VRTDerivedRasterBand", "VRTProcessedDataset")
_STATEMENTS = ("SrcSQL", "Dialect")
_OPTIONS = ("OOI", "OpenOption")
_HARMLESS_OPTIONS = frozenset(("OVERVIEW_LEVEL", "NUM_THREADS", "ROOT_PATH", "ENCODING"))
_FILES = ("SourceFilename", "SourceDataset", "SrcDataSource", "DEMPath")
_LARGEST_KERNEL = 255
"""Largest side of a kernel that filters a source, in pixels."""
_MOST_SOURCES = 2_000_000
"""Sources that a virtual raster may lead to, counted as often as they are named."""
_PLAIN = frozenset((
    "SRS", "TargetSRS", "SourceSRS", "LayerSRS", "Description", "Category", "ColorInterp", "UnitType", "GCPList", "Histograms",
    "GDALRasterAttributeTable", "ColorTable",
))  # fmt: skip
_FILES_OF_POSITIONS = re.compile("[XY]_DATASET", re.IGNORECASE)
_FILE_KEYS = re.compile(r".*(FILE|FILENAME|DATASET|PATH|URL|SOURCE|DEM)(_\d+)?", re.IGNORECASE)
_ARCHIVE = re.compile(r"/vsi(zip|tar|gzip)/(.+)", re.DOTALL)
_SUB_DATASET = re.compile(
    r'(NETCDF|HDF5|HDF5Image|HDF4|HDF4_SDS|HDF4_EOS|HDF4Image|ZARR|GPKG|BAG|KEA|GTIFF_DIR|SENTINEL2_\w+|NITF_IM):"?(.+)',
    re.IGNORECASE | re.DOTALL,
)
_DRIVER_PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9_]+:")


def is_allowed(kind: str) -> bool:
    """Whether the environment allows ``network`` sources or pixel ``functions``."""
    return kind in os.environ.get(VARIABLE, "").lower().replace(",", " ").split()


def require_local_sources(path: str | os.PathLike[str]) -> None:
    """Raise `InputFileError` if a local file would make GDAL open a network source or run a pixel function.

    Parameters
    ----------
    path
        What the user names. Addresses, paths of GDAL's virtual file systems, and texts of virtual rasters are accepted:
        the last are made by this package of files that were checked.
    """
    name = os.fspath(path)
    if is_allowed("network") and is_allowed("functions"):
        return
    if name.startswith("vrt://"):
        name = name.removeprefix("vrt://").partition("?")[0]
    archive = _ARCHIVE.fullmatch(name)
    if archive is not None and _names_others(_read_member(archive[1], archive[2]) or b""):
        _Walk(name).refuse("is a document in an archive that names other files", "network")
    if not name.lstrip().startswith("<") and not name.startswith("/vsi"):
        _Walk(name).check_file(name)


def require_local_name(origin: str, text: str) -> None:
    """Raise `InputFileError` if a name that stands in a file is one of a network source, or leads to one.

    Parameters
    ----------
    origin
        The file.
    text
        The name in it.
    """
    _Walk(origin).check_source(text, os.path.dirname(origin), 1)  # noqa: PTH120


def names_address(path: str) -> bool:
    """Whether a path that the user names is an address or a service, and not a file of this machine."""
    if path.lstrip().startswith("<") or os.path.lexists(path):
        return False
    return _names_network(path) or _names_service(path)


def names_sources(path: str) -> bool:
    """Whether a raster is a virtual one, as a file or as a text."""
    return path.lstrip().startswith("<") or b"<VRTDataset" in _read_header(path)


def opening_drivers(path: str, known: Iterable[str]) -> list[str] | None:
    """Return the drivers that may open a path after `require_local_sources`; None for all.

    All but those that follow names, so that no such document is opened as a file, an archive or an address. A virtual raster
    on this machine, which was followed, and a service that the user names by its prefix are opened by all.

    Parameters
    ----------
    path
        What the user names.
    known
        Names of all drivers.
    """
    is_text = path.lstrip().startswith("<")
    if is_text or path.startswith("vrt://") or _names_service(path) or is_allowed("network"):
        return None
    if names_sources(path):
        return ["VRT"]
    return sorted(set(known) - FOLLOWING_DRIVERS)


@dataclass
class _Walk:
    """Follows the documents that a file names.

    Parameters
    ----------
    origin
        The file that the user names, for messages.
    """

    origin: str
    _sources: dict[str, int] = field(default_factory=dict)
    _followed: list[str] = field(default_factory=list)
    _count: int = 0

    def check_file(self, name: str, depth: int = 0) -> None:
        """Follow a local file and its sidecars, and count the sources that it leads to."""
        if is_device(name):
            self.refuse(f"reads the device or pipe '{name}'", "")
        name = os.path.abspath(name)  # noqa: PTH100 - Path fails on long names
        if name in self._followed:
            self.refuse(f"is, or leads to, a virtual raster that reads itself: '{name}'", "")
        if name not in self._sources:
            if not os.path.isfile(name):  # noqa: PTH113 - as above
                return
            before, self._count = self._count, 1
            self._sources[name] = 1
            self._follow(name, depth)
            self._sources[name], self._count = self._count, before
        self._count += self._sources[name]
        if self._count > _MOST_SOURCES:
            self.refuse(f"leads to more than {_MOST_SOURCES} sources", "")

    def _follow(self, name: str, depth: int) -> None:
        if depth > DEEPEST_NESTING:
            self.refuse(f"nests virtual rasters deeper than {DEEPEST_NESTING}", "")
        header = _read_header(name)
        if any(root in header for root in _FOLLOWED):
            self._followed.append(name)
            self.check_document(self._parse(Path(name)), os.path.dirname(name), depth)  # noqa: PTH120
            self._followed.pop()
        elif _SERVICES.search(header) or (depth and _is_unknown_document(header)):
            self.refuse(f"names other files or services in '{name}'", "network")
        else:
            # a header may name the document that it comes from
            documents, self._followed = self._followed, []
            for word in set(_FILE_NAME.findall(header.decode("utf-8", "replace"))):
                self.check_file(os.path.join(os.path.dirname(name), word), depth + 1)  # noqa: PTH118, PTH120
            self._followed = documents
        for ending in (".ovr", ".msk"):
            self.check_file(name + ending, depth + 1)
        sidecar = name + ".aux.xml"
        if os.path.isfile(sidecar) and _read_header(sidecar).lstrip().startswith(b"<"):  # noqa: PTH113 - as above
            self.check_document(self._parse(Path(sidecar)), os.path.dirname(name), depth)  # noqa: PTH120

    def check_document(self, root: ET.Element, folder: str, depth: int) -> None:
        """Follow the elements of a virtual raster or a sidecar."""
        for element, is_file in _texts(root):
            self._refuse_functions(element)
            values = [element.text or "", *element.attrib.values()]
            for text in (value.strip() for value in values):
                if text.startswith("<"):
                    self.check_document(self._parse_text(text), folder, depth + 1)
                elif text and (is_file or _names_network(text)):
                    self.check_source(text, folder, depth + 1)
            self._refuse_options(element)

    def check_source(self, text: str, folder: str, depth: int) -> None:
        """Follow the name of a source."""
        if text.startswith("vrt://"):
            text, _, options = text.removeprefix("vrt://").partition("?")
            if "oo=" in options.lower():
                self.refuse(f"opens '{text}' with options", "functions")
        if text.lstrip().startswith("<"):
            self.check_document(self._parse_text(text), folder, depth)
            return
        archive = _ARCHIVE.fullmatch(text)
        if _names_network(text) or (text.startswith("/vsi") and archive is None):
            self.refuse(f"reads '{text}'", "network")
        elif archive is not None:
            self._check_member(text, archive)
        elif _DRIVER_PREFIX.match(text) and not os.path.exists(text):  # noqa: PTH110 - false for long names
            if _SUB_DATASET.fullmatch(text) is None:
                self.refuse(f"reads '{text}'", "network")
        else:
            relative = text.removeprefix(":::BASE:::")
            for name in {os.path.join(folder, relative), relative}:  # noqa: PTH118
                self.check_file(name, depth)

    def _check_member(self, text: str, archive: re.Match[str]) -> None:
        header = _read_member(archive[1], archive[2])
        if header is None or _names_others(header):
            self.refuse(f"reads '{text}'", "network")

    def _refuse_functions(self, element: ET.Element) -> None:
        is_function = _tag(element) in _FUNCTIONS or element.get("subClass") in _FUNCTION_CLASSES
        if is_function and not is_allowed("functions"):
            self.refuse("computes its pixels by pixel functions", "functions")

    def _refuse_options(self, element: ET.Element) -> None:
        """Refuse statements of SQL, which can write files, and options by which drivers run them."""
        tag, key = _tag(element), (element.get("key") or "").upper()
        if tag in _STATEMENTS:
            self.refuse("computes its values by SQL", "functions")
        if tag in _OPTIONS and key not in _HARMLESS_OPTIONS:
            self.refuse(f"opens a source with the option '{key}'", "functions")
        if tag == "Size" and _whole_number(element.text) > _LARGEST_KERNEL:
            self.refuse(f"filters a source by a kernel of more than {_LARGEST_KERNEL} pixels", "")

    def _parse(self, path: Path) -> ET.Element:
        try:
            text = read_document(path, LARGEST_DOCUMENT)
        except (OSError, ValueError) as error:
            raise InputFileError(f"'{path}' cannot be read ({error}). Check the file.") from error
        return self._parse_text(text)

    def _parse_text(self, text: str) -> ET.Element:
        try:
            return parse_xml(text)
        except ValueError as error:
            raise InputFileError(
                f"'{self.origin}' cannot be opened: it is, or it names, a damaged document ({error}). Expected a virtual raster "
                "or a sidecar as GDAL writes it; make it again."
            ) from error

    def refuse(self, what: str, permission: str) -> None:
        """Raise `InputFileError`, unless the environment gives a permission."""
        if permission and is_allowed(permission):
            return
        if not permission:
            raise InputFileError(
                f"'{self.origin}' {what}. Expected a document that leads to ordinary files in few steps; correct it, or make a "
                "GeoTIFF or a GeoPackage of it."
            )
        raise InputFileError(
            f"'{self.origin}' {what}. Expected files of this machine without programs: a document from an unknown source "
            "could connect anywhere or write files. Make a GeoTIFF or a GeoPackage of it, or set "
            f"{VARIABLE}={permission} if you trust it."
        )


def _texts(root: ET.Element) -> Iterator[tuple[ET.Element, bool]]:
    """Yield the elements that may name files, and whether their text is the name of a file."""
    stack = [root]
    while stack:
        element = stack.pop()
        tag = _tag(element)
        if tag in _PLAIN or (tag == "Metadata" and _is_plain_domain(element.get("domain", ""))):
            continue
        if tag == "MDI" and not _FILE_KEYS.fullmatch(element.get("key", "")):
            continue
        is_file = tag in _FILES or _FILES_OF_POSITIONS.fullmatch(element.get("key", "")) is not None
        yield element, is_file
        stack += list(element)


def _is_plain_domain(domain: str) -> bool:
    """Whether GDAL opens nothing that metadata of a domain name."""
    return not domain or (domain.startswith("xml:") and domain != "xml:VRT")


def _whole_number(text: str | None) -> int:
    return int(text) if text and text.strip().isdecimal() else 0


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _names_service(path: str) -> bool:
    """Whether a path begins with the prefix of a driver that is no part of a local file."""
    is_prefixed = _DRIVER_PREFIX.match(path) is not None and "://" not in path[:12]
    return is_prefixed and _SUB_DATASET.fullmatch(path) is None


def _names_network(text: str) -> bool:
    """Whether a name contains an address, or is of another computer."""
    lower = text.lower()
    remote = re.search(
        r"/vsi(curl|s3|gs|az|adls|oss|swift|hdfs|webhdfs|gdrive|stdin|sparse|cached|plugin)", lower
    )
    return remote is not None or text.startswith("\\\\") or "://" in lower.removeprefix("vrt://")


def _names_others(header: bytes) -> bool:
    """Whether a file in an archive is a document that names other files."""
    followed = any(root in header for root in _FOLLOWED)
    return followed or _SERVICES.search(header) is not None or _is_unknown_document(header)


def _is_unknown_document(header: bytes) -> bool:
    """Whether a file is JSON but not GeoJSON, or XML of a kind that is not known to be a raster or vector file."""
    text = header.removeprefix(b"\xef\xbb\xbf").lstrip().decode("utf-8", "replace")
    if text.startswith(("{", "[")):
        return '"Feature' not in text or _STAC in header
    if not text.startswith("<"):
        return False
    roots = re.findall(
        r"<(?![?!])(?:[\w.-]+:)?([\w.-]+)", re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    )
    return not roots or _LOCAL_ROOTS.fullmatch(roots[0]) is None


def _read_header(name: str) -> bytes:
    """Return the start of a file up to the first zero byte, where GDAL's tests of text formats end."""
    try:
        with Path(name).open("rb") as file:
            return file.read(_HEADER_BYTES).partition(b"\0")[0]
    except OSError:
        return b""


def _read_member(kind: str, path: str) -> bytes | None:
    """Return the start of a file in a local archive; None where it cannot be read."""
    parts = path.removeprefix("{").replace("}", "").split("/")
    for count in range(1, len(parts) + 1):
        name = "/".join(parts[:count])
        if os.path.isfile(name):  # noqa: PTH113 - as above
            try:
                with _open_member(kind, name, "/".join(parts[count:])) as file:
                    return file.read(_HEADER_BYTES).partition(b"\0")[0]
            except (
                OSError,
                KeyError,
                ValueError,
                EOFError,
                RuntimeError,
                zipfile.BadZipFile,
                tarfile.TarError,
            ):
                return None
    return None


def _open_member(kind: str, archive: str, member: str) -> IO[bytes]:
    if kind == "gzip":
        return cast("IO[bytes]", gzip.open(archive))
    if kind == "zip":
        with zipfile.ZipFile(archive) as zipped:
            return zipped.open(member or zipped.namelist()[0])
    with tarfile.open(archive) as tar:
        found = tar.extractfile(member or tar.getnames()[0])
        if found is None:
            raise KeyError(member)
        return found
