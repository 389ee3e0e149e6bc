"""Embedding products as scenes: recognition by their files, decoding as the settings tell it, and checks of the vectors.

A file is recognized by the names of its bands, its data type, its number of bands and its tags. Where these do not tell,
the setting [scene] decode names the product, a formula, a table or a raster of scales.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NoReturn
from xml.etree import ElementTree as ET

import numpy as np

from geopointseg.errors import ConfigError, InputFileError, RasterError
from geopointseg.markup import conforming, read_json
from geopointseg.progress import Reporter
from geopointseg.raster.array_scene import ArrayScene, StoredArray
from geopointseg.raster.band import Band
from geopointseg.raster.curve import has_table
from geopointseg.raster.decoding import OTHER, Decoding, Embedding
from geopointseg.raster.embedding_check import check_vectors, holds_codes, sample_vectors
from geopointseg.raster.expression import Expression
from geopointseg.raster.grid import Grid
from geopointseg.raster.raster_access import HANDLES, is_text
from geopointseg.raster.scene import DECODERS, Scene
from geopointseg.raster.virtual_raster import (
    Piece,
    add_source,
    file_bands,
    new_band,
    new_dataset,
    with_descriptions,
)

ALPHA_EARTH = Expression.parse("sign(v) * (v / 127.5) ** 2")
SCALED = Expression.parse("v * s")
_ALPHA_EARTH_NODATA = -128
_PRODUCTS = {
    name.lower(): name for name in ("AlphaEarth", "TESSERA", "OlmoEarth", "Copernicus-Embed")
}
_SCALE_ENDINGS = (".tif", ".tiff", ".npy", ".vrt")
_YEAR = re.compile(r"(?<!\d)(20[12]\d)(?!\d)")
_VERSION = re.compile(r"(?<![a-z\d])v(\d+(?:\.\d+)*(?:-[a-z\d~-]+)?)(?![a-z\d])", re.IGNORECASE)


def decode_scene(scene: Scene, decode: str = "", reporter: Reporter | None = None) -> Scene:
    """Return a scene whose bands are decoded if it is an embedding, and as it is otherwise.

    Parameters
    ----------
    scene
        A file as it describes itself.
    decode
        The setting [scene] decode: empty to recognize the product, ``none``, the name of a product, a formula of the
        stored value ``v`` (and the scale ``s``), or the path of a table or of a raster of scales.
    reporter
        Gets the product, and warnings about its vectors.

    Returns
    -------
    Scene
        With decoded bands.

    Raises
    ------
    RasterError
        If the values are not those that the decoding expects.
    ConfigError
        If the setting is neither of these.
    """
    told = decode.strip()
    if told.lower() == "none":
        return scene
    found: Scene | None = scene
    if scene.embedding is None:
        found = _told(scene, told) if told else _recognize(scene)
    if found is None:
        return scene
    check_vectors(found, reporter or Reporter())
    return found


# --- recognition -----------------------------------------------------------------------------------------------


def _recognize(scene: Scene) -> Scene | None:
    """Return the decoded scene of a product that its file tells; None for imagery."""
    names = [band.name for band in scene.bands]
    if len(names) > 1 and all(re.fullmatch(r"a\d\d", name) for name in names):
        return _alpha_earth(scene)
    if all(name.startswith("tessera_band_") for name in names) or _has_tessera_tags(scene):
        return _tessera(scene)
    return None if any(names) else _recognize_unnamed(scene)


def _recognize_unnamed(scene: Scene) -> Scene | None:
    """Return the decoded scene of a product whose bands have no names, by their number and data type."""
    count = len(scene.bands)
    if scene.dtype == "int8" and count == 64:
        return _alpha_earth(scene)
    if scene.dtype == "int8" and count == 128:
        return _tessera(scene)
    if count == 768 and np.dtype(scene.dtype).kind == "f":
        return _with_decoding(scene, Decoding(_origin(scene, _product_of_768(scene))))
    return None


def _product_of_768(scene: Scene) -> str:
    is_coarse = scene.grid.crs.is_geographic and scene.grid.resolution[0] > 0.2
    return "Copernicus-Embed" if is_coarse else "OlmoEarth"


def _has_tessera_tags(scene: Scene) -> bool:
    return len(scene.bands) in (4, 16, 128) and "TESSERA_DATASET_VERSION" in _tags(scene)


def _tags(scene: Scene) -> dict[str, str]:
    return dict(HANDLES.get(scene.path).tags())


def _alpha_earth(scene: Scene) -> Scene:
    """Return AlphaEarth's vectors: decoded from 8-bit codes, or as floats that were decoded before."""
    origin = _origin(scene, "AlphaEarth")
    scene = _with_names(scene, "a{:02d}")
    if scene.dtype == "int8":
        coded = scene.with_nodata(_ALPHA_EARTH_NODATA)
        return _with_decoding(coded, Decoding(origin, ALPHA_EARTH))
    return _with_decoding(scene, Decoding(origin))


def _tessera(scene: Scene) -> Scene:
    origin = _origin(scene, "TESSERA")
    scene = _with_names(scene, "tessera_band_{}")
    if scene.dtype != "int8":
        return _with_decoding(scene, Decoding(origin))
    return _with_scales(scene, find_scales(scene), Decoding(origin, SCALED))


def _with_names(scene: Scene, name: str) -> Scene:
    """Return a scene of which bands without names get those of the product, so that files with and without names agree."""
    if any(band.name for band in scene.bands):
        return scene
    return scene.with_bands(
        [replace(band, name=name.format(k)) for k, band in enumerate(scene.bands)]
    )


def find_scales(scene: Scene) -> Path:
    """Return the raster of scales beside a TESSERA raster of 8-bit codes.

    Raises
    ------
    RasterError
        If there is none.
    """
    path = Path(scene.path)
    names = [f"{path.stem}_scales{ending}" for ending in _SCALE_ENDINGS]
    found = next((path.with_name(n) for n in names if path.with_name(n).is_file()), None)
    if found is None:
        refuse_missing_scales(scene.name, f"{path.stem}_scales{path.suffix}")
    return found


def refuse_missing_scales(name: str, expected: str) -> NoReturn:
    """Raise `RasterError` for TESSERA codes without scales."""
    raise RasterError(
        f"'{name}' holds 8-bit codes of TESSERA and no scales lie beside it. Expected '{expected}', by which the codes are "
        "multiplied; download it, too, or name the raster of scales with [scene] decode."
    )


def _origin(scene: Scene, product: str) -> Embedding:
    """Return the product with the version and the year that tags, file name, folders or a sidecar tell."""
    tags = {} if is_text(scene.path) else _tags(scene)
    version = tags.get("TESSERA_DATASET_VERSION", "") or tags.get("version", "")
    year = tags.get("TESSERA_YEAR", "") or tags.get("year", "")
    told = tell_origin(Path(scene.path) if not is_text(scene.path) else Path(scene.name), product)
    return Embedding(
        product, _plain_version(version) or told.version, year or told.year or scene.date[:4]
    )


def tell_origin(path: Path, product: str) -> Embedding:
    """Return the product with the version and the year in the name of a file, its folders and TESSERA's sidecar."""
    parts = [path.name, *reversed(path.absolute().parent.parts[-4:])]
    year = next((found[1] for part in parts if (found := _YEAR.search(part))), "")
    version = next((found[0] for part in parts if (found := _VERSION.search(part))), "")
    sidecar = path.with_name("tessera_metadata.json")
    if product == "TESSERA" and not version and sidecar.is_file():
        with suppress(OSError, ValueError):  # a damaged sidecar tells no version
            row = conforming(read_json(sidecar), {"dataset_version": (str, float)})
            version = str(row.get("dataset_version", ""))
    return Embedding(product, _plain_version(version), year)


def _plain_version(version: str) -> str:
    return version.strip().lower().removeprefix("v")


# --- what the settings tell ------------------------------------------------------------------------------------


def _told(scene: Scene, decode: str) -> Scene:
    product = _PRODUCTS.get(decode.lower())
    if product is not None:
        return _as_product(scene, product)
    path = Path(decode.replace("{stem}", Path(scene.path).stem))
    path = path if path.is_absolute() or path.is_file() else Path(scene.path).parent / path
    origin = _origin(scene, OTHER)
    if path.suffix.lower() in _SCALE_ENDINGS:
        if not path.is_file():
            raise InputFileError(
                f"[scene] decode names the scales '{path}', which do not exist. Expected a raster beside '{scene.name}'; "
                "{stem} stands for its name without ending."
            )
        return _with_scales(scene, path, Decoding(origin, SCALED))
    if path.suffix.lower() in {".csv", ".txt"}:
        return _with_decoding(scene, Decoding(origin, table=_read_table(path, scene)))
    return _by_formula(scene, decode, origin)


def _as_product(scene: Scene, product: str) -> Scene:
    """Return a scene as a product that the user names; raw codes may be stored in any type."""
    if product == "TESSERA":
        return _tessera(scene)
    if product == "AlphaEarth" and scene.dtype != "int8" and holds_codes(sample_vectors(scene)):
        coded = scene.with_nodata(_ALPHA_EARTH_NODATA)
        return _with_decoding(coded, Decoding(_origin(scene, product), ALPHA_EARTH))
    if product == "AlphaEarth":
        return _alpha_earth(scene)
    return _with_decoding(scene, Decoding(_origin(scene, product)))


def _by_formula(scene: Scene, decode: str, origin: Embedding) -> Scene:
    try:
        formula = Expression.parse(decode)
    except ConfigError:
        formula = None
    if formula is None or set(formula.names) != {"v"}:
        raise ConfigError(
            f"[scene] decode is '{decode}'. Expected nothing, 'none', a product ({', '.join(_PRODUCTS.values())}), a formula "
            "of the stored value v such as 'v / 127', or the path of a table (.csv) or of a raster of scales (.tif, .npy)."
        )
    return _with_decoding(scene, Decoding(origin, formula))


def _read_table(path: Path, scene: Scene) -> tuple[float, ...]:
    """Return the value of each integer of the type of a scene, one a line in increasing order."""
    try:
        values = np.loadtxt(path, delimiter=",", ndmin=1)
    except (OSError, ValueError) as error:
        raise InputFileError(
            f"The table '{path}' of [scene] decode cannot be read ({error}). Expected one number a line."
        ) from error
    entries = 2 ** (8 * np.dtype(scene.dtype).itemsize) if has_table(scene.dtype) else 0
    if values.ndim != 1 or len(values) != entries:
        raise ConfigError(
            f"The table '{path}' has {values.size} values and '{scene.name}' stores {scene.dtype}. Expected {entries or 256} "
            "values for a raster of 8-bit integers, and 65536 for one of 16 bits."
        )
    return tuple(values.tolist())


# --- decoded bands ---------------------------------------------------------------------------------------------


def _with_decoding(scene: Scene, decoding: Decoding, inputs: tuple[Band, ...] = ()) -> Scene:
    return scene.with_bands(
        [replace(band, decoding=decoding, inputs=inputs) for band in scene.bands]
    )


def scaled_bands(
    bands: Sequence[Band], scales: Sequence[Band], decoding: Decoding
) -> tuple[Band, ...]:
    """Return bands that are decoded with a band of scales: one for all, or one for each.

    Parameters
    ----------
    bands
        The bands of codes.
    scales
        One band of scales, or as many as bands.
    decoding
        Its formula names the scale.

    Returns
    -------
    tuple of Band
        A pixel is nodata where its scale is NaN.
    """
    each = list(scales) * (len(bands) if len(scales) == 1 else 1)
    named = [replace(band, nodata=float("nan"), mask="") for band in each]
    return tuple(
        replace(band, decoding=decoding, inputs=(scale,))
        for band, scale in zip(bands, named, strict=True)
    )


def _with_scales(scene: Scene, path: Path, decoding: Decoding) -> Scene:
    """Return a scene whose values are multiplied by those of a raster on the same grid."""
    is_array = path.suffix.lower() == ".npy"
    scales = _array_as_raster(path, scene) if is_array else Scene.open(path, expand=False)
    require_scales(scene.name, scene.grid.shape, len(scene.bands), scales, scene)
    root = new_dataset(scene.grid)
    _add_bands(root, scene, scene.grid)
    if isinstance(scales, ArrayScene):
        scales.arrays[0].add_bands(root)
    else:
        _add_bands(root, scales, scene.grid)
    opened = Scene.open(
        ET.tostring(root, encoding="unicode"), label=scene.name, date=scene.date, expand=False
    )
    count = len(scene.bands)
    codes = with_descriptions(replace(opened, bands=opened.bands[:count]), scene.bands)
    return opened.with_bands(scaled_bands(codes.bands, opened.bands[count:], decoding))


def _add_bands(root: ET.Element, scene: Scene, grid: Grid) -> None:
    for band in file_bands(scene):
        element = new_band(root, band.dtype or scene.dtype)
        piece = Piece(scene, band, grid)
        add_source(element, "SimpleSource", piece, str(band.index), "nearest")


def _array_as_raster(path: Path, scene: Scene) -> Scene:
    """Return a NumPy array of scales as a raster on the grid of the codes."""
    shape = StoredArray(str(path)).open().shape
    array = StoredArray(str(path), None if len(shape) == 2 else 2)
    if len(shape) not in (2, 3) or array.shape != scene.shape:
        refuse_scales(scene.name, (*scene.shape, len(scene.bands)), path.name, shape)
    return ArrayScene.of((array,), scene.grid, label=path.name)


def require_scales(
    name: str, shape: tuple[int, int], dimensions: int, scales: Scene, scene: Scene | None = None
) -> None:
    """Raise `RasterError` unless scales have the pixels of the codes, and one band or as many.

    Parameters
    ----------
    name
        What messages call the codes.
    shape
        Rows and columns of the codes.
    dimensions
        Number of dimensions of the codes.
    scales
        The raster of scales.
    scene
        The codes, where both are georeferenced.

    Raises
    ------
    RasterError
        If they do not fit.
    """
    fits = scales.grid.shape == shape and len(scales.bands) in (1, dimensions)
    if not fits or (scene is not None and not scene.grid.matches(scales.grid)):
        refuse_scales(
            name, (*shape, dimensions), scales.name, (*scales.grid.shape, len(scales.bands))
        )


def refuse_scales(
    name: str, codes: Sequence[int], scales_name: str, scales: Sequence[int]
) -> NoReturn:
    """Raise `RasterError` for scales of another size than the codes.

    Parameters
    ----------
    name
        What messages call the codes.
    codes
        Rows, columns and dimensions of the codes.
    scales_name
        What messages call the scales.
    scales
        Rows, columns and dimensions of the scales.

    Raises
    ------
    RasterError
        Always.
    """
    raise RasterError(
        f"The scales '{scales_name}' have the shape {' x '.join(map(str, scales))} and the codes of '{name}' "
        f"{' x '.join(map(str, codes))}. Expected the same rows and columns on the same grid, and one scale for each pixel or "
        "for each value; download both again."
    )


DECODERS.append(decode_scene)
