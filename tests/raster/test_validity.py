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

from geopointseg.bands.opening import open_scenes
from geopointseg.bands.stack import mosaic_scenes, stack_scenes
from geopointseg.errors import RasterError
from geopointseg.progress import Event, Reporter
from geopointseg.radiometry.band_statistics import compute_statistics
from geopointseg.radiometry.histogram_matching import match_raster
from geopointseg.raster.class_map import ClassMap
from geopointseg.raster.scene import Scene
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
    "float64": [-3.4e38, 0.1, float("nan")],
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


def band_values(generator: np.random.Generator, dtype: str, nodata: float | None) -> np.ndarray:
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
            found += [
                kind.type(int(value) + s) for s in (-1, 1) if info.min <= int(value) + s <= info.max
            ]
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
    _source(
        ET.SubElement(ET.SubElement(parent, "MaskBand"), "VRTRasterBand", dataType="Byte"), path
    )


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


@settings(max_examples=40, deadline=None)
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


# --- what GDAL is not told ---------------------------------------------------------------------------------------


def test_64_bit_nodata_of_the_user_is_exact(tmp_path: Path):
    image = np.array([[[2**63 - 1, 2**63 - 2, 5]]], np.int64)
    (scene,) = open_scenes(write(tmp_path / "i.tif", image), nodata=2**63 - 1)
    np.testing.assert_array_equal(scene.read().valid, [[False, True, True]])


@pytest.mark.parametrize("nodata", [7, 0.5, -9999, float("nan")])
def test_nodata_of_the_user_counts_besides_masks_alone_and_in_stacks(tmp_path: Path, nodata: float):
    image = np.array([[[7, 7, 1, 1, 2]]], np.uint8)
    path = write(tmp_path / "m.tif", image)
    mask = np.array([[255, 0, 0, 255, 255]], np.uint8)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as target:
        target.write_mask(mask)
    expected = (mask > 0) & (image[0] != nodata)
    scene = Scene.open(path).with_nodata(nodata)
    np.testing.assert_array_equal(scene.read().valid, expected)
    other = Scene.open(write(tmp_path / "o.tif", np.ones((1, 1, 5), np.float64)))
    np.testing.assert_array_equal(stack_scenes([scene, other]).read().valid, expected)
    plain = Scene.open(write(tmp_path / "p.tif", image)).with_nodata(nodata)
    expected = image[0] != nodata
    np.testing.assert_array_equal(stack_scenes([plain, other]).read().valid, expected)
    np.testing.assert_array_equal(mosaic_scenes([other, plain]).read().valid, np.ones((1, 5), bool))


def test_nodata_is_not_blended_into_finer_pixels(tmp_path: Path):
    coarse = np.full((1, 4, 4), 100, np.int16)
    coarse[0, 1, 1] = -9999
    fine = Scene.open(write(tmp_path / "f.tif", np.ones((1, 8, 8), np.uint8)))
    options = {"transform": from_origin(500000, 5700000, 20, 20)}
    for scene in (
        Scene.open(write(tmp_path / "d.tif", coarse, nodata=-9999, **options)),
        Scene.open(write(tmp_path / "u.tif", coarse, **options)).with_nodata(-9999),
    ):
        chip = stack_scenes([fine, scene]).read()
        assert (chip.image[1][chip.valid] == 100).all()
        assert not chip.valid[2:4, 2:4].any()
        assert chip.valid.sum() == 60


def test_an_overlap_of_tiles_shows_what_no_mask_hides(tmp_path: Path):
    below = Scene.open(write(tmp_path / "b.tif", np.full((1, 2, 4), 5, np.uint8)))
    above = write(tmp_path / "a.tif", np.full((1, 2, 4), 300, np.int16))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(above, "r+") as target:
        target.write_mask(np.array([[0, 255, 255, 0]] * 2, np.uint8))
    chip = mosaic_scenes([below, Scene.open(above)]).read()
    np.testing.assert_array_equal(chip.image[0], [[5, 300, 300, 5]] * 2)
    assert chip.valid.all()


# --- bands of several types ----------------------------------------------------------------------------------------


def test_bands_of_several_types_keep_their_values(tmp_path: Path):
    values: dict[str, Any] = {
        "uint8": 200,
        "int16": -300,
        "float32": 0.1,
        "float64": 1e-3,
        "int64": 2**40,
    }
    parts = [
        Scene.open(write(tmp_path / f"{dtype}.tif", np.full((1, *SHAPE), value, dtype)))
        for dtype, value in values.items()
    ]
    scene = stack_scenes(parts)
    np.testing.assert_array_equal(
        scene.read().image[:, 0, 0], np.array(list(values.values()), np.float32)
    )
    assert scene.with_bands(scene.bands[:2]).dtype == "int16"
    statistics = compute_statistics(scene.with_bands(scene.bands[:2]), cache=False)
    assert [band.mean for band in statistics.bands] == [200, -300]


def test_a_number_too_large_for_32_bits_is_refused(tmp_path: Path):
    image = np.ones((1, *SHAPE), np.float64)
    image[0, 2, 3] = -1e300
    with pytest.raises(RasterError, match=r"holds the value -1e\+300 \(band 1, row 2, column 3\)"):
        Scene.open(write(tmp_path / "d.tif", image)).read()
    assert Scene.open(write(tmp_path / "n.tif", image, nodata=-1e300)).read().valid.sum() == 53


@pytest.mark.parametrize("kind", ["int64", "uint64"])
def test_a_matched_raster_of_64_bits_keeps_its_holes(tmp_path: Path, kind: str):
    image = np.arange(54, dtype=kind).reshape(1, *SHAPE) + 1
    image[0, 0] = np.iinfo(kind).max
    virtual = build_64_bit(tmp_path, image)
    match_raster(virtual, virtual, tmp_path / "m.tif")
    with rasterio.open(tmp_path / "m.tif") as dataset:
        np.testing.assert_array_equal(dataset.read_masks(1) > 0, image[0] != np.iinfo(kind).max)
        np.testing.assert_array_equal(dataset.read(1)[1:], image[0, 1:])


def build_64_bit(folder: Path, image: np.ndarray) -> Path:
    path = write(folder / "plain.tif", image)
    virtual = folder / "nodata.vrt"
    copy(path, virtual, driver="VRT")
    root = ET.fromstring(virtual.read_text())
    band = root.find("VRTRasterBand")
    assert band is not None
    ET.SubElement(band, "NoDataValue").text = str(np.iinfo(image.dtype).max)
    virtual.write_text(ET.tostring(root, encoding="unicode"))
    copy(virtual, folder / "scene.tif", driver="GTiff")
    return folder / "scene.tif"


@pytest.mark.parametrize("kind", ["int64", "uint64"])
def test_class_maps_of_64_bits(tmp_path: Path, kind: str):
    image = np.arange(54, dtype=kind).reshape(1, *SHAPE) % 3
    image[0, 0] = np.iinfo(kind).max
    opened = ClassMap.open(build_64_bit(tmp_path, image))
    assert opened.legend.codes.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(opened.read()[1], image[0] != np.iinfo(kind).max)
    picture = picture_map(opened)
    np.testing.assert_array_equal(picture[..., 3] > 0, image[0] != np.iinfo(kind).max)


# --- palette images ------------------------------------------------------------------------------------------------

TABLE = {0: (255, 0, 0, 255), 1: (0, 200, 0, 255), 2: (0, 0, 9, 255), 3: (1, 1, 1, 255)}


def write_palette(path: Path, table: dict[int, tuple[int, int, int, int]], **options: Any) -> Path:
    index = np.arange(54, dtype=np.uint8).reshape(1, *SHAPE) % 4
    write(path, index, **options)
    with rasterio.open(path, "r+") as target:
        target.write_colormap(1, table)
    return path


class Messages:
    """Collects what is logged."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def emit(self, event: Event) -> None:
        self.told.append(event.message)

    def close(self) -> None: ...


@pytest.mark.parametrize("nodata", [None, 3])
def test_a_palette_image_is_read_as_its_colours(tmp_path: Path, nodata: int | None):
    path = write_palette(tmp_path / "p.tif", TABLE, nodata=nodata)
    messages = Messages()
    (scene,) = open_scenes(path, reporter=Reporter(messages))
    chip = scene.read()
    index = np.arange(54).reshape(SHAPE) % 4
    expected = np.moveaxis(np.array([TABLE[k][:3] for k in range(4)])[index], -1, 0)
    np.testing.assert_array_equal(chip.valid, index != nodata if nodata else index >= 0)
    np.testing.assert_array_equal(chip.image, np.where(chip.valid, expected, 0))
    assert [band.color for band in scene.bands] == ["red", "green", "blue"]
    assert any("'p.tif' is a palette image: the red, green and blue" in m for m in messages.told)


def test_nodata_of_the_user_is_a_position_in_the_palette(tmp_path: Path):
    (scene,) = open_scenes(write_palette(tmp_path / "p.tif", TABLE), nodata=2)
    np.testing.assert_array_equal(scene.read().valid, np.arange(54).reshape(SHAPE) % 4 != 2)


def test_a_palette_of_greys_is_one_band(tmp_path: Path):
    greys = {k: (255 - k, 255 - k, 255 - k, 255) for k in range(256)}
    (scene,) = open_scenes(write_palette(tmp_path / "g.tif", greys))
    np.testing.assert_array_equal(scene.read().image, [255 - np.arange(54).reshape(SHAPE) % 4])


def test_numbers_of_a_palette_are_never_read(tmp_path: Path):
    path = write_palette(tmp_path / "p.tif", TABLE)
    assert len(Scene.open(path).read().image) == 3
    scene = Scene.open(path, expand=False)
    with pytest.raises(
        RasterError, match=r"indices into a colour table.*gdal_translate -expand rgb"
    ):
        scene.read()
    other = Scene.open(write(tmp_path / "o.tif", np.ones((1, *SHAPE), np.int16)))
    assert len(stack_scenes([other, scene]).bands) == 4


def test_a_picture_shows_only_valid_pixels_of_bands_of_several_types(tmp_path: Path):
    image = np.arange(54, dtype=np.float32).reshape(1, *SHAPE)
    image[0, 0] = -3.4e38
    parts = [
        Scene.open(write(tmp_path / "f.tif", image, nodata=-3.4e38)),
        Scene.open(
            write(tmp_path / "i.tif", np.arange(54, dtype=np.int16).reshape(1, *SHAPE))
        ).with_nodata(53),
        Scene.open(write(tmp_path / "u.tif", np.ones((1, *SHAPE), np.uint8))),
    ]
    expected = (image[0] != image[0, 0, 0]) & (image[0] != 53)
    np.testing.assert_array_equal(picture_scene(stack_scenes(parts))[..., 3] > 0, expected)
    seen = picture_scene(parts[1])[..., 3] > 0
    np.testing.assert_array_equal(seen, np.arange(54).reshape(SHAPE) != 53)
