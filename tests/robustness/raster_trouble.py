"""Rasters that cannot be used, or only look so."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine

from tests.robustness.trouble import RASTERS, Bench, trouble

PIXELS = RASTERS - {"grid"}
ANYWHERE = "predict/rasters|pretrain/|suggest/rasters|points simulate/|match/"
"""Commands that need no place on the earth."""
VRT = '<VRTDataset rasterXSize="{0}" rasterYSize="{1}"><SRS>EPSG:32633</SRS><GeoTransform>500000, 10, 0, 5700000, 0, -10</GeoTransform>{2}</VRTDataset>'
BAND = '<VRTRasterBand dataType="{1}" band="{0}"/>'


# --- truncated, of another type --------------------------------------------------------------------------------


@trouble("truncated", RASTERS)
def cut_in_the_header(bench: Bench) -> Path:
    return bench.put(bench.content()[:100])


@trouble("truncated", PIXELS)
def cut_in_the_pixels(bench: Bench) -> Path:
    path = bench.raster(driver="COG", compress="none") if bench.role != "x" else bench.path()
    content = path.read_bytes()
    return bench.put(content[: len(content) // 2])


@trouble("wrong type", RASTERS)
def text_named_tif(bench: Bench) -> Path:
    return bench.put(b"not an image\n" * 20)


@trouble("wrong type", RASTERS)
def login_page(bench: Bench) -> Path:
    return bench.put(b"<!DOCTYPE html><html><body>Please log in</body></html>")


@trouble("wrong type", RASTERS)
def layer_named_tif(bench: Bench) -> Path:
    return bench.put((bench.good.parent / "points.gpkg").read_bytes())


@trouble("wrong type", RASTERS - {"raster", "embedding"})
def raster_that_is_a_folder(bench: Bench) -> Path:
    bench.path("").mkdir()
    return bench.path("")


@trouble("empty", {"raster", "embedding"})
def folder_without_rasters(bench: Bench) -> Path:
    bench.path("").mkdir()
    (bench.path("") / "notes.txt").write_text("none")
    return bench.path("")


# --- coordinate reference system -------------------------------------------------------------------------------


@trouble("wrong CRS", RASTERS, works="match/")
def without_crs(bench: Bench) -> Path:
    return bench.raster(crs=None)


@trouble("wrong CRS", RASTERS, works=ANYWHERE)
def engineering_crs(bench: Bench) -> Path:
    return bench.raster(crs='LOCAL_CS["mine",UNIT["metre",1]]')


@trouble("wrong CRS", RASTERS, works=ANYWHERE)
def geocentric_crs(bench: Bench) -> Path:
    return bench.raster(crs="EPSG:4978")


@trouble("wrong CRS", RASTERS, works=ANYWHERE)
def on_the_other_side_of_the_world(bench: Bench) -> Path:
    return bench.raster(crs="EPSG:32755")


# --- data type and values --------------------------------------------------------------------------------------


@trouble("wrong dtype", PIXELS)
def complex_numbers(bench: Bench) -> Path:
    return bench.raster(dtype="complex64", nodata=None)


@trouble("NaN and infinity", PIXELS, works="assess/raster")
def infinite_pixel(bench: Bench) -> Path:
    return bench.raster(_with_value(np.inf), dtype="float32", nodata=None)


@trouble("NaN and infinity", PIXELS)
def all_nan(bench: Bench) -> Path:
    return bench.raster(lambda image: np.full(image.shape, np.nan), dtype="float32", nodata=np.nan)


@trouble("NaN and infinity", PIXELS)
def all_nan_undeclared(bench: Bench) -> Path:
    return bench.raster(lambda image: np.full(image.shape, np.nan), dtype="float32", nodata=None)


@trouble("huge numbers", PIXELS, works="assess/raster")
def beyond_float32(bench: Bench) -> Path:
    return bench.raster(_with_value(1e300), dtype="float64", nodata=None)


@trouble("huge numbers", {"mask", "map"}, works="assess/")
def codes_beyond_16_bits(bench: Bench) -> Path:
    return bench.raster(_with_value(4_000_000_000), dtype="uint32", nodata=None)


@trouble("zero size", PIXELS)
def all_nodata(bench: Bench) -> Path:
    return bench.raster(lambda image: np.zeros(image.shape), nodata=0)


@trouble("zero size", RASTERS)
def no_pixels(bench: Bench) -> Path:
    return bench.put(VRT.format(0, 0, BAND.format(1, "Byte")).encode(), ".vrt")


@trouble("zero size", RASTERS)
def no_bands(bench: Bench) -> Path:
    return bench.put(VRT.format(96, 96, "").encode(), ".vrt")


def _with_value(value: float) -> Any:
    def change(image: Any) -> Any:
        changed = image.astype("float64")
        changed[:, 40:44, 40:44] = value
        return changed

    return change


# --- geotransform ----------------------------------------------------------------------------------------------


def _odd_transform(name: str, numbers: tuple[float, ...], works: str = "") -> None:
    def make(bench: Bench) -> Path:
        transform = Affine(*numbers)
        with rasterio.open(bench.good) as source:
            count, shape, dtypes = source.count, source.shape, source.dtypes
        sources = "".join(
            f'<VRTRasterBand dataType="{_GDAL[dtype]}" band="{k}"><SimpleSource><SourceFilename relativeToVRT="0">'
            f"{bench.good}</SourceFilename><SourceBand>{k}</SourceBand></SimpleSource></VRTRasterBand>"
            for k, dtype in zip(range(1, count + 1), dtypes, strict=True)
        )
        text = VRT.format(shape[1], shape[0], sources)
        placed = ", ".join(map(repr, transform.to_gdal()))
        return bench.put(text.replace("500000, 10, 0, 5700000, 0, -10", placed).encode(), ".vrt")

    make.__name__ = name
    trouble("odd geotransform", RASTERS, works=works)(make)


_GDAL = {"uint8": "Byte", "uint16": "UInt16", "int8": "Int8", "float32": "Float32"}
_odd_transform("pixels_of_no_size", (0, 0, 5e5, 0, 0, 57e5))
_odd_transform("pixels_of_no_height", (10, 0, 5e5, 0, 0, 57e5))
_odd_transform("rows_along_columns", (10, 10, 5e5, 10, 10, 57e5))
_odd_transform("nan_in_the_transform", (10, 0, float("nan"), 0, -10, 57e5))
_odd_transform("infinite_pixels", (float("inf"), 0, 5e5, 0, -10, 57e5))
_odd_transform("huge_pixels", (1e300, 0, 5e5, 0, -1e300, 57e5))
_odd_transform("pixels_beyond_the_earth", (1e7, 0, 5e5, 0, -1e7, 57e5), ANYWHERE)
_odd_transform("pixels_below_atoms", (1e-300, 0, 5e5, 0, -1e-300, 57e5))


# --- headers that lie ------------------------------------------------------------------------------------------


def tiff(tags: dict[int, tuple[int, int, bytes | int]], tail: bytes = b"") -> bytes:
    """Return a classic TIFF of one directory; values longer than four bytes follow it."""
    georeference = {
        33550: (12, 3, struct.pack("<3d", 10, 10, 0)),
        33922: (12, 6, struct.pack("<6d", 0, 0, 0, 500000, 5700000, 0)),
        34735: (3, 16, struct.pack("<16H", 1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633)),
    }  # fmt: skip
    told: dict[int, tuple[int, int, Any]] = dict(sorted((georeference | tags).items()))
    place = 8 + 2 + 12 * len(told) + 4
    rows, values = b"", b""
    for number, (kind, count, value) in told.items():
        if isinstance(value, int):
            field = struct.pack("<I", value)
        elif len(value) <= 4:
            field = value.ljust(4, b"\0")
        else:
            field = struct.pack("<I", place + len(values))
            values += value
        rows += struct.pack("<HHI", number, kind, count) + field
    head = struct.pack("<2sHIH", b"II", 42, 8, len(told))
    return head + rows + struct.pack("<I", 0) + values + tail


def simple(width: int, height: int, **changed: Any) -> dict[int, tuple[int, int, Any]]:
    """Return the tags of an image of one strip of bytes."""
    tags: dict[int, tuple[int, int, Any]] = {
        256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1),
        273: (4, 1, 400), 277: (3, 1, 1), 278: (4, 1, height), 279: (4, 1, width * height % 2**32),
    }  # fmt: skip
    return tags | {int(number.lstrip("t")): value for number, value in changed.items()}


def _lying(name: str, content: bytes, roles: set[str] = RASTERS, works: str = "") -> None:
    def make(bench: Bench) -> Path:
        return bench.put(content, ".tif")

    make.__name__ = name
    trouble("lying header", roles, works=works)(make)


_TAIL = bytes(96 * 128)
_lying("pixels_beyond_the_end", tiff(simple(128, 96, t273=(4, 1, 10**9))), PIXELS)
_lying("zero_width", tiff(simple(0, 96), _TAIL))
_lying("directory_that_is_not_there", struct.pack("<2sHI", b"II", 42, 10**9) + bytes(400))
_lying("directory_of_itself", tiff(simple(128, 96), _TAIL).replace(struct.pack("<I", 0) + struct.pack("<3d", 10, 10, 0), struct.pack("<I", 8) + struct.pack("<3d", 10, 10, 0)), PIXELS)  # fmt: skip
_lying("unknown_compression", tiff(simple(128, 96, t259=(3, 1, 60000)), _TAIL))
_lying("deflate_that_is_none", tiff(simple(128, 96, t259=(3, 1, 8)), b"\xff" * 12288), PIXELS)
_lying("64_bits_of_bytes", tiff(simple(128, 96, t258=(3, 1, 64)), _TAIL), PIXELS)
_lying("65535_samples", tiff(simple(128, 96, t277=(3, 1, 65535)), _TAIL))
_lying("tile_of_two_gigapixels", tiff({k: v for k, v in simple(128, 96).items() if k not in (273, 278, 279)} | {322: (4, 1, 2**15), 323: (4, 1, 2**16), 324: (4, 1, 400), 325: (4, 1, 999)}, _TAIL), PIXELS)  # fmt: skip
_lying("tile_of_no_size", tiff({k: v for k, v in simple(128, 96).items() if k not in (273, 278, 279)} | {322: (4, 1, 0), 323: (4, 1, 0), 324: (4, 1, 400), 325: (4, 1, 999)}, _TAIL))  # fmt: skip


# --- claims ----------------------------------------------------------------------------------------------------


def _claim(name: str, content: bytes, suffix: str, roles: set[str] = RASTERS) -> None:
    def make(bench: Bench) -> Path:
        return bench.put(content, suffix)

    make.__name__ = name
    trouble("claims", roles)(make)


def _png(side: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(500)))
    return b"\x89PNG\r\n\x1a\n" + head + pixels + chunk(b"IEND", b"")


def _npy(shape: str) -> bytes:
    told = f"{{'descr': '|i1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(told) + 1) + told + b"\n" + bytes(900)


def _bmp(side: int) -> bytes:
    return struct.pack("<2sIIIIiiHHIIiiII", b"BM", 1078, 0, 1078, 40, side, side, 1, 8, 0, 0, 0, 0, 0, 0) + bytes(1024)  # fmt: skip


_claim("gigapixel_strip", tiff(simple(32768, 32768), bytes(600)), ".tif")
_claim("gigapixel_strips", tiff(simple(10**6, 1000, t278=(4, 1, 1), t273=(4, 1000, bytes(4000)), t279=(4, 1000, bytes(4000)))), ".tif")  # fmt: skip
_claim("two_billion_rows", tiff(simple(1, 2**31 - 1), bytes(600)), ".tif")
_claim(
    "gigapixel_vrt",
    VRT.format(32768, 32768, "".join(BAND.format(k, "Byte") for k in (1, 2, 3, 4))).encode(),
    ".vrt",
)
_claim(
    "exapixel_vrt",
    VRT.format(2**31 - 1, 2**31 - 1, BAND.format(1, "Float64")).encode(),
    ".vrt",
)
_claim("vrt_of_65536_bands", VRT.format(3000, 3000, "".join(BAND.format(k, "Byte") for k in range(1, 3000))).encode(), ".vrt")  # fmt: skip
_claim("png", _png(30_000), ".png")
_claim("bmp", _bmp(32_000), ".bmp")
_claim("npy", _npy("(1000000, 1000000, 64)"), ".npy", {"embedding", "raster"})
_claim("npy_of_negative_shape", _npy("(-1, 64, 64)"), ".npy", {"embedding", "raster"})
_claim("npy_header_of_brackets", _npy("(" * 9000), ".npy", {"embedding", "raster"})
_claim("ascii_grid", b"ncols 100000\nnrows 100000\nxllcorner 0\nyllcorner 0\ncellsize 1\n1 2 3\n", ".asc")  # fmt: skip


# --- STAC items -----------------------------------------------------------------------------------------------


def _stac(name: str, told: dict[str, Any], **asset: Any) -> None:
    def make(bench: Bench) -> Path:
        plain = {"href": str(bench.good), "type": "image/tiff", "roles": ["data"]}
        item = {"type": "Feature", "id": "a", "properties": {}, "assets": {"data": plain | asset}}
        return bench.put(json.dumps(item | told).encode(), ".json")

    make.__name__ = name
    trouble("damaged STAC item", {"raster"})(make)


_stac("item_of_numbers", {"assets": {"data": 7}})
_stac("items_of_numbers", {"type": "FeatureCollection", "features": [1, 2]})
_stac("properties_that_are_a_list", {"properties": [1]})
_stac("roles_that_are_a_number", {}, roles=7)
_stac("no_address", {}, href=None)
_stac("address_of_the_item", {}, href="bad.json")
_stac("bands_of_numbers", {}, bands=[7, 7, 7, 7])
_stac("scale_of_zero", {}, bands=[{"scale": 0}] * 4)
_stac("wavelength_of_text", {}, bands=[{"center_wavelength": "x"}] * 4)
_stac("nodata_of_text", {}, bands=[{"nodata": "none"}] * 4)


# --- files beside it -------------------------------------------------------------------------------------------


@trouble("damaged sidecar", {"raster", "grid", "map", "mask"}, works=".", same=True)
def garbage_in_the_metadata_beside(bench: Bench) -> Path:
    path = bench.put(bench.content())
    Path(f"{path}.aux.xml").write_bytes(b"\0\xff<PAMDataset><")
    return path


@trouble("damaged sidecar", PIXELS)
def truncated_mask_beside(bench: Bench) -> Path:
    path = bench.put(bench.content())
    Path(f"{path}.msk").write_bytes(bench.content()[:3000])
    return path
