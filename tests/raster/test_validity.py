"""Validity: what a scene calls valid agrees, to the pixel, with GDAL's masks, alpha bands and finite values."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.enums import ColorInterp
from rasterio.shutil import copy
from rasterio.transform import from_origin
from rasterio.windows import Window

from geopointseg.errors import RasterError
from geopointseg.raster.class_map import ClassMap
from geopointseg.raster.matching import match_raster
from geopointseg.raster.opening import open_scenes
from geopointseg.raster.scene import Scene
from geopointseg.raster.stack import mosaic_scenes, stack_scenes
from geopointseg.raster.statistics import compute_statistics
from geopointseg.report.picture import picture_map, picture_scene

SHAPE = 6, 9
GDAL_TYPES = {
    "uint8": "Byte", "int8": "Int8", "uint16": "UInt16", "int16": "Int16", "uint32": "UInt32", "int32": "Int32",
    "uint64": "UInt64", "int64": "Int64", "float32": "Float32", "float64": "Float64",
}  # fmt: skip
NODATA: dict[str, list[float | int]] = {
    "uint8": [0, 255, 7], "int8": [-128, 0], "uint16": [0, 65535], "int16": [-32768, -9999],
    "uint32": [2**32 - 1], "int32": [-(2**31), 2**31 - 1],
    "uint64": [2**64 - 1, 2**53 + 1, 0], "int64": [2**63 - 1, -(2**63), 2**53 + 1, -1],
    "float32": [-3.4e38, -3.4028234663852886e38, 0.1, -9999.0, float("nan")],
    "float64": [-3.4e38, -1.7976931348623157e308, 0.1, float("nan")],
}  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """Bands of one raster: data type, nodata value and own mask of each, and what the file adds."""

    dtypes: tuple[str, ...]
    nodata: tuple[float | int | None, ...]
    own_masks: tuple[bool, ...]
    alpha: bool
    mask: str
    driver: str
    seed: int


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    driver = draw(st.sampled_from(["VRT", "GTiff"]))
    count = draw(st.integers(1, 4))
    kinds = st.sampled_from(sorted(GDAL_TYPES))
    dtypes = tuple(draw(kinds) for _ in range(count))
    if driver == "GTiff":
        dtypes = dtypes[:1] * count
    nodata = tuple(draw(st.none() | st.sampled_from(NODATA[d])) for d in dtypes)
    own = tuple(driver == "VRT" and draw(st.booleans()) for _ in dtypes)
    if driver == "GTiff":
        nodata = nodata[:1] * count
    mask = draw(st.sampled_from(["", "internal", "external"]))
    return Recipe(dtypes, nodata, own, draw(st.booleans()), mask, driver, draw(st.integers(0, 99)))


def band_values(
    generator: np.random.Generator, dtype: str, nodata: float | int | None
) -> np.ndarray:
    """Return values of which some are nodata, some its nearest neighbours, and some of floats NaN."""
    kind = np.dtype(dtype)
    found = [kind.type(1), kind.type(2), kind.type(100)]
    if nodata is not None:
        value = kind.type(nodata)
        found.append(value)
        if kind.kind == "f":
            found.append(kind.type(np.nan))
        else:
            info = np.iinfo(kind)
            found += [kind.type(int(value) + s) for s in (-1, 1) if info.min <= int(value) + s <= info.max]
    return np.array(found, dtype=kind)[generator.integers(0, len(found), SHAPE)]


def write(path: Path, image: np.ndarray, **options: Any) -> Path:
    profile = {"crs": "EPSG:32633", "transform": from_origin(500000, 5700000, 10, 10)} | options
    with rasterio.open(
        path, "w", driver="GTiff", count=len(image), height=image.shape[1], width=image.shape[2],
        dtype=image.dtype, **profile,
    ) as target:  # fmt: skip
        target.write(image)
    return path


def _source(parent: ET.Element, path: Path) -> None:
    source = ET.SubElement(parent, "SimpleSource")
    ET.SubElement(source, "SourceFilename").text = str(path)
    ET.SubElement(source, "SourceBand").text = "1"


def _mask_band(parent: ET.Element, path: Path) -> None:
    _source(ET.SubElement(ET.SubElement(parent, "MaskBand"), "VRTRasterBand", dataType="Byte"), path)


def build(folder: Path, recipe: Recipe) -> Path:
    """Write a raster as a virtual one, and copy it with GDAL where a GeoTIFF is wanted."""
    generator = np.random.default_rng(recipe.seed)

    def hole(name: str) -> Path:
        values = (generator.random((1, *SHAPE)) > 0.2).astype(np.uint8) * 255
        return write(folder / name, values)

    root = ET.Element("VRTDataset", rasterXSize=str(SHAPE[1]), rasterYSize=str(SHAPE[0]))
    ET.SubElement(root, "SRS").text = "EPSG:32633"
    ET.SubElement(root, "GeoTransform").text = "500000, 10, 0, 5700000, 0, -10"
    described = list(zip(recipe.dtypes, recipe.nodata, recipe.own_masks, strict=True))
    for k, (dtype, nodata, own) in enumerate(described, start=1):
        path = write(folder / f"b{k}.tif", band_values(generator, dtype, nodata)[None])
        band = ET.SubElement(root, "VRTRasterBand", dataType=GDAL_TYPES[dtype], band=str(k))
        if nodata is not None:
            ET.SubElement(band, "NoDataValue").text = repr(nodata)
        _source(band, path)
        if own:
            _mask_band(band, hole(f"m{k}.tif"))
    if recipe.alpha:
        dtype = recipe.dtypes[0] if recipe.driver == "GTiff" else "uint8"
        band = ET.SubElement(
            root, "VRTRasterBand", dataType=GDAL_TYPES[dtype], band=str(len(described) + 1)
        )
        ET.SubElement(band, "ColorInterp").text = "Alpha"
        opaque = (generator.random((1, *SHAPE)) > 0.2).astype(dtype) * np.dtype(dtype).type(100)
        _source(band, write(folder / "alpha.tif", opaque))
    if recipe.mask and not any(recipe.own_masks):
        _mask_band(root, hole("mask.tif"))
    virtual = folder / "virtual.vrt"
    virtual.write_text(ET.tostring(root, encoding="unicode"))
    if recipe.driver == "VRT":
        return virtual
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=recipe.mask == "internal"):
        copy(virtual, folder / "copy.tif", driver="GTiff")
    return folder / "copy.tif"


def told_by_gdal(scene: Scene, bands: list[int], **how: Any) -> np.ndarray:
    """Return where GDAL's masks of some bands, the alpha band, and finite values agree."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(scene.path) as dataset:
            valid = (dataset.read_masks(bands, **how) > 0).all(axis=0)
            for index in dataset.indexes:
                if dataset.colorinterp[index - 1] == ColorInterp.alpha:
                    valid &= dataset.read(index, **how) > 0
            for index in bands:
                valid &= np.isfinite(dataset.read(index, **how))
    return valid


@settings(max_examples=60, deadline=None)
@given(recipe=recipes())
def test_validity_is_that_of_gdal_in_every_mixture(
    recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
):
    folder = tmp_path_factory.mktemp("mixture")
    scene = Scene.open(build(folder, recipe))
    indices = [band.index for band in scene.bands]
    assert len(indices) == len(recipe.dtypes)
    expected = told_by_gdal(scene, indices)
    np.testing.assert_array_equal(scene.read().valid, expected)
    for band in scene.bands:
        alone = scene.with_bands([band])
        np.testing.assert_array_equal(alone.read().valid, told_by_gdal(scene, [band.index]))
    window = Window(2, 1, 5, 4)
    np.testing.assert_array_equal(scene.read(window).valid, expected[1:5, 2:7])
    thinned = scene.read_overview(4)
    np.testing.assert_array_equal(
        thinned.valid, told_by_gdal(scene, indices, out_shape=thinned.valid.shape)
    )
    other = Scene.open(write(folder / "other.tif", np.ones((1, *SHAPE), np.int16)))
    np.testing.assert_array_equal(stack_scenes([scene, other]).read().valid, expected)
    np.testing.assert_array_equal(mosaic_scenes([scene, scene]).read().valid, expected)
    if expected.any():
        assert compute_statistics(scene, cache=False).count == expected.sum()
