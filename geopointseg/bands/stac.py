"""Scenes from a STAC item file: its assets, their bands, names and dates.

pystac is not used: it would replace the reading of JSON only. It leaves the band lists of the three extensions
separate, and refuses items without a date or version, which are read here.

References
----------
SpatioTemporal Asset Catalog, item specification 1.0 and 1.1, with the eo and raster extensions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from geopointseg.bands.file_role import RASTER_ENDINGS
from geopointseg.errors import InputFileError, RasterError
from geopointseg.markup import conforming, read_json
from geopointseg.raster.band import Band
from geopointseg.raster.scene import Scene

_LARGEST_BYTES = 2**28
_NAMES = dict.fromkeys(("name", "common_name", "eo:common_name"), (str, float))
_NUMBERS = dict.fromkeys(
    ("scale", "offset", "raster:scale", "raster:offset", "center_wavelength", "eo:center_wavelength"), float
)  # fmt: skip
_BAND_LISTS = ("raster:bands", "eo:bands", "bands")
_ASSET = {"href": str, "type": str, "roles": [str]} | {
    key: [_NAMES | _NUMBERS] for key in _BAND_LISTS
}
_ITEM = {"id": (str, float), "properties": {"datetime": str}, "assets": {str: _ASSET}}
_DOCUMENT = {"type": str, "features": [_ITEM]} | _ITEM
"""Types of what is read of a STAC item, or of a collection of items; see `conforming`."""
_PICTURES = {"thumbnail", "overview", "visual", "metadata"}
_QUALITY_LAYERS = {"data-mask", "cloud", "snow-ice", "saturation"}
_NO_IMAGERY = _PICTURES | _QUALITY_LAYERS
_GEOTIFF_TYPES = ("image/tiff", "image/vnd.stac.geotiff", "image/x.geotiff")
_RASTER_TYPES = (*_GEOTIFF_TYPES, "image/jp2", "application/x-hdf")


def is_stac_file(path: Path) -> bool:
    """Whether a file may be a STAC item, by its ending."""
    return path.suffix.lower() in {".json", ".geojson"}


def read_stac_scenes(path: Path) -> list[list[Scene]]:
    """Open the imagery of a STAC item, or of each item of a collection of items.

    Returns
    -------
    list of list of Scene
        For each item its files; their bands carry the names, wavelengths, scales and nodata values of the item.

    Raises
    ------
    InputFileError
        If the file is no STAC item, or an asset cannot be opened.
    RasterError
        If it has no imagery.
    """
    content = _read_json(path)
    items = content["features"] if content.get("type") == "FeatureCollection" else [content]
    return [_open_item(item, path) for item in items]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = conforming(read_json(path, _LARGEST_BYTES), _DOCUMENT)
    except (OSError, ValueError) as error:
        raise InputFileError(
            f"'{path}' cannot be read as JSON of an item ({error}). Expected a STAC item, or a collection of items; check the "
            "file."
        ) from error
    kind = content.get("type")
    is_item = kind == "Feature" and "assets" in content
    if not is_item and not (kind == "FeatureCollection" and content.get("features")):
        raise InputFileError(
            f"'{path}' is no STAC item: it has no assets. Expected the JSON file of one item or of a collection of "
            "items; name the rasters themselves instead."
        )
    return content


def _open_item(item: Mapping[str, Any], path: Path) -> list[Scene]:
    assets = dict(_imagery(item))
    name = str(item.get("id", path.stem))
    if not assets:
        raise RasterError(
            f"The STAC item '{name}' has no imagery among its assets "
            f"({', '.join(item.get('assets', {})) or 'none'}). Expected assets with the role 'data'; name the rasters "
            "themselves instead."
        )
    date = str(item.get("properties", {}).get("datetime") or "")[:10]
    told = {key: _merge_band_lists(asset) for key, asset in assets.items()}
    names = _name_bands(told)
    return [
        _tell_bands(
            Scene.open(
                _locate(str(asset["href"]), path.parent),
                label=f"{name}/{key}",
                date=date,
                expand=False,
            ),
            told[key],
            names[key],
        )
        for key, asset in assets.items()
    ]


def _imagery(item: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key, asset in item.get("assets", {}).items():
        roles = set(asset.get("roles", []))
        if roles & _NO_IMAGERY or key.lower() in _NO_IMAGERY:
            continue
        kind = str(asset.get("type", ""))
        ending = Path(urlparse(str(asset.get("href", ""))).path).suffix.lower()
        is_raster = kind.startswith(_RASTER_TYPES) or (not kind and ending in RASTER_ENDINGS)
        if is_raster and ("data" in roles or "reflectance" in roles or not roles):
            if "href" not in asset:
                raise InputFileError(
                    f"The asset '{key}' of the STAC item '{item.get('id', '')}' has no address. Expected its file in 'href'; "
                    "correct the item."
                )
            yield key, asset


def _tell_bands(scene: Scene, told: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Scene:
    """Return the scene of an asset with the item's description of its bands."""
    if told and len(told) != len(scene.bands):
        item, _, key = scene.name.rpartition("/")
        raise RasterError(
            f"The asset '{key}' of the STAC item '{item}' lists {len(told)} bands and its file has "
            f"{len(scene.bands)}. Expected as many; correct the item."
        )
    if not told and len(scene.bands) > 1:
        return scene
    rows = zip(scene.bands, told or [{}], names, strict=True)
    return scene.with_bands([_tell_band(band, facts, name) for band, facts, name in rows])


def _name_bands(told: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[str]]:
    """Return a unique name for each band of each asset.

    It is the common name, else the band's own name, else the asset's: the first one that is unique in the item.
    Empty where the item lists a band without a name.
    """
    options = {
        key: [_told_names(facts) for facts in rows or [{"name": key}]] for key, rows in told.items()
    }
    count = Counter(name for rows in options.values() for names in rows for name in set(names))
    called: dict[str, list[str]] = {key: [] for key in options}
    for key, rows in options.items():
        for k, names in enumerate(rows, start=1):
            place = key.lower() if len(rows) == 1 else f"{key.lower()}_{k}"
            free = [name for name in names if count[name] == 1]
            called[key].append([*free, place][0] if names else "")
    return called


def _told_names(facts: Mapping[str, Any]) -> list[str]:
    """Return the common name and the own name of a band, where the item has them."""
    told = (_common_name(facts), str(facts.get("name") or "").lower())
    return [name for name in told if name]


def _common_name(facts: Mapping[str, Any]) -> str:
    return str(facts.get("common_name") or facts.get("eo:common_name") or "").lower()


def _merge_band_lists(asset: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the item's description of each band, for all versions of the extensions."""
    lists = [asset.get(key) or [] for key in _BAND_LISTS]
    count = max(len(entries) for entries in lists)
    merged: list[dict[str, Any]] = [{} for _ in range(count)]
    for entries in lists:
        for facts, entry in zip(merged, entries, strict=False):
            facts.update(entry)
    return merged


def _tell_band(band: Band, facts: Mapping[str, Any], name: str) -> Band:
    """Return a band with the item's description; nodata and scale of the file take precedence."""
    nodata = _nodata(facts, name)
    is_plain = band.scale == 1.0 and band.offset == 0.0
    scale = facts.get("scale", facts.get("raster:scale", 1.0))
    if scale == 0:
        raise RasterError(
            f"The STAC item gives the band '{name}' the scale 0, which makes all values equal. Expected another number; "
            "correct the item."
        )
    wavelength = facts.get("center_wavelength", facts.get("eo:center_wavelength"))
    return replace(
        band,
        name=name or band.name,
        color=_common_name(facts) or band.color,
        nodata=nodata if band.nodata is None else band.nodata,
        scale=float(scale) if is_plain else band.scale,
        offset=float(facts.get("offset", facts.get("raster:offset", 0.0)))
        if is_plain
        else band.offset,
        wavelength_um=float(wavelength) if wavelength else band.wavelength_um,
    )


def _nodata(facts: Mapping[str, Any], name: str) -> float | None:
    """Return the nodata value of a band, which JSON may hold as a text like 'nan'; integers stay exact."""
    nodata = facts.get("nodata")
    if nodata is None or (isinstance(nodata, int) and abs(nodata) < 2**64):
        return nodata
    try:
        return float(nodata)
    except (TypeError, ValueError, OverflowError) as error:
        raise RasterError(
            f"The STAC item gives the band '{name}' the nodata value {str(nodata)[:40]!r}. Expected a number, 'nan', 'inf' or "
            "'-inf'; correct the item."
        ) from error


def _locate(href: str, folder: Path) -> str:
    """Return what GDAL opens for an asset's address, which may be relative to the item."""
    address = urlparse(href)
    if address.scheme in {"http", "https"}:
        return f"/vsicurl/{href}"
    if address.scheme in {"s3", "gs", "az"}:
        return f"/vsi{address.scheme}/{address.netloc}{address.path}"
    if address.scheme == "file":
        return url2pathname(address.path)
    return href if Path(href).is_absolute() or href.startswith("/vsi") else str(folder / href)
