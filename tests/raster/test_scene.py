"""Scenes: pixels that encode their own coordinates, and every kind of nodata."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from geopointseg.errors import InputFileError, RasterError
from geopointseg.radiometry.radiometric_transform import RadiometricTransform
from geopointseg.raster.curve import Curve
from geopointseg.raster.scene import HANDLES, HandlePool, Scene

TRANSFORM = Affine(10, 0, 500000, 0, -10, 5700000)
OTHER_TRANSFORMS = {
    "south-up": Affine(10, 0, 500000, 0, 10, 5600000),
    "rotated": Affine.translation(500000, 5700000) @ Affine.rotation(30) @ Affine.scale(10, -10),
    "oblong": Affine(2.5, 0, 500000, 0, -7.5, 5700000),
}


def write(path: Path, image: np.ndarray, **options: Any) -> Path:
    """Write a GeoTIFF whose fourth band is never taken for alpha unless the test asks for it."""
    profile = {
        "driver": "GTiff",
        "count": image.shape[0],
        "height": image.shape[1],
        "width": image.shape[2],
        "dtype": image.dtype,
        "crs": "EPSG:32633",
        "transform": TRANSFORM,
        "photometric": "MINISBLACK",
    }
    with rasterio.open(path, "w", **(profile | options)) as target:
        target.write(image)
    return path


def coordinates(height: int = 40, width: int = 70, dtype: str = "float32") -> np.ndarray:
    """Band 1 holds the row, band 2 the column of each pixel, both from 1."""
    return (np.mgrid[0:height, 0:width] + 1).astype(dtype)


@pytest.fixture
def encoded(tmp_path: Path) -> Scene:
    return Scene.open(
        write(tmp_path / "encoded.tif", coordinates(), tiled=True, blockxsize=16, blockysize=16)
    )


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)
@given(
    top=st.integers(-50, 50), left=st.integers(-80, 80), h=st.integers(1, 90), w=st.integers(1, 90)
)
def test_windows_read_the_pixels_they_name(encoded: Scene, top: int, left: int, h: int, w: int):
    chip = encoded.read(Window(left, top, w, h))
    rows, cols = np.mgrid[top : top + h, left : left + w]
    inside = (rows >= 0) & (rows < 40) & (cols >= 0) & (cols < 70)
    np.testing.assert_array_equal(chip.valid, inside)
    np.testing.assert_array_equal(chip.image[0], np.where(inside, rows + 1, 0))
    np.testing.assert_array_equal(chip.image[1], np.where(inside, cols + 1, 0))


@pytest.mark.parametrize("name", OTHER_TRANSFORMS)
def test_orientation_moves_the_grid_and_not_the_pixels(tmp_path: Path, name: str):
    transform = OTHER_TRANSFORMS[name]
    scene = Scene.open(write(tmp_path / "turned.tif", coordinates(), transform=transform))
    assert scene.grid.transform.almost_equals(transform)
    x, y = scene.grid.pixel_to_world(12.5, 33.5)
    row, col = (int(v) for v in scene.grid.world_to_pixel(x, y))
    chip = scene.read(Window(col, row, 1, 1))
    assert chip.image.ravel().tolist() == [13, 34]


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (256, 256), (257, 257), (5, 5)])
def test_any_size_reads_whole(tmp_path: Path, shape: tuple[int, int]):
    image = coordinates(*shape)
    scene = Scene.open(write(tmp_path / "s.tif", image, tiled=True, blockxsize=256, blockysize=256))
    np.testing.assert_array_equal(scene.read().image, image)
    assert scene.read().valid.all()


@settings(max_examples=30, deadline=None)
@given(h=st.integers(1, 200), w=st.integers(1, 200), values=st.integers(1, 5000))
def test_windows_tile_the_scene(h: int, w: int, values: int):
    from rasterio.crs import CRS

    from geopointseg.raster.band import Band
    from geopointseg.raster.grid import Grid

    scene = Scene("x", Grid(CRS.from_epsg(32633), TRANSFORM, h, w), (Band(1),), "uint8", (16, 16))
    seen = np.zeros((h, w), int)
    for window in scene.windows(values):
        seen[window.toslices()] += 1
        assert window.width * window.height <= max(values, 16 * 16)
    assert (seen == 1).all()


# --- nodata ------------------------------------------------------------------------------------------------


def test_nodata_in_any_band_hides_the_pixel_in_all(tmp_path: Path):
    image = np.full((3, 4, 4), 7, np.int16)
    image[2, 1, 2] = -9999
    chip = Scene.open(write(tmp_path / "n.tif", image, nodata=-9999)).read()
    assert not chip.valid[1, 2]
    assert chip.valid.sum() == 15
    assert (chip.image[:, 1, 2] == 0).all()


def test_every_band_may_have_its_own_nodata(tmp_path: Path):
    image = np.full((2, 3, 3), 9, np.uint8)
    image[0, 0, 0], image[1, 0, 0] = 5, 5
    image[1, 2, 2], image[0, 2, 2] = 6, 6
    source = write(tmp_path / "each.tif", image)
    vrt = tmp_path / "each.vrt"
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{b}"><NoDataValue>{nodata}</NoDataValue><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">{source.name}</SourceFilename><SourceBand>{b}</SourceBand>'
        "</SimpleSource></VRTRasterBand>"
        for b, nodata in ((1, 5), (2, 6))
    )
    vrt.write_text(
        f'<VRTDataset rasterXSize="3" rasterYSize="3"><SRS>EPSG:32633</SRS>'
        f"<GeoTransform>500000,10,0,5700000,0,-10</GeoTransform>{bands}</VRTDataset>"
    )
    valid = Scene.open(vrt).read().valid
    assert not valid[0, 0]
    assert not valid[2, 2]
    assert valid.sum() == 7


@pytest.mark.parametrize("nodata", [float("nan"), -3.4028234663852886e38, 0.1, -9999])
def test_float_nodata(tmp_path: Path, nodata: float):
    image = np.ones((1, 4, 4), np.float32)
    image[0, 3, 1] = nodata
    chip = Scene.open(write(tmp_path / "f.tif", image, nodata=nodata)).read()
    assert not chip.valid[3, 1]
    assert chip.valid.sum() == 15
    assert chip.undeclared_nan == 0
    assert np.isfinite(chip.image).all()


def test_infinity_may_be_the_nodata(tmp_path: Path):
    image = np.ones((1, 4, 4), np.float32)
    image[0, 0, 0] = -np.inf
    chip = Scene.open(write(tmp_path / "i.tif", image, nodata=-np.inf)).read()
    assert chip.valid.sum() == 15
    assert np.isfinite(chip.image).all()


def test_double_nodata_of_a_float64_file(tmp_path: Path):
    image = np.ones((1, 4, 4), np.float64)
    image[0, 0, 0] = -1.7976931348623157e308
    chip = Scene.open(write(tmp_path / "d.tif", image, nodata=-1.7976931348623157e308)).read()
    assert chip.valid.sum() == 15
    assert np.isfinite(chip.image).all()


def test_nodata_outside_the_data_type_hides_nothing(tmp_path: Path):
    image = np.array([[[0, 255], [241, 1]]], np.uint8)  # 241 is -9999 modulo 256
    source = write(tmp_path / "u.tif", image)
    vrt = tmp_path / "u.vrt"
    vrt.write_text(
        '<VRTDataset rasterXSize="2" rasterYSize="2"><SRS>EPSG:32633</SRS>'
        "<GeoTransform>500000,10,0,5700000,0,-10</GeoTransform>"
        '<VRTRasterBand dataType="Byte" band="1"><NoDataValue>-9999</NoDataValue><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">{source.name}</SourceFilename></SimpleSource></VRTRasterBand>'
        "</VRTDataset>"
    )
    scene = Scene.open(vrt)
    assert scene.read().valid.all()
    assert Scene.open(source).with_nodata(-9999).read().valid.all()
    assert Scene.open(source).with_nodata(0.5).read().valid.all()
    assert Scene.open(source).with_nodata(255).read().valid.sum() == 3


def test_internal_mask(tmp_path: Path):
    path = write(tmp_path / "m.tif", np.full((2, 4, 4), 3, np.uint8))
    mask = np.full((4, 4), 255, np.uint8)
    mask[0, :2] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as target:
        target.write_mask(mask)
    np.testing.assert_array_equal(Scene.open(path).read().valid, mask > 0)


@pytest.mark.parametrize("nodata", [None, 200])
def test_alpha_band_is_a_mask_and_no_image(tmp_path: Path, nodata: int | None):
    image = np.full((4, 4, 4), 90, np.uint8)
    image[3] = 255
    image[3, 0] = 0
    path = write(tmp_path / "a.tif", image, photometric="RGB", alpha="YES", nodata=nodata)
    scene = Scene.open(path)
    assert len(scene.bands) == 3
    np.testing.assert_array_equal(scene.read().valid, image[3] > 0)


def test_near_infrared_that_poses_as_alpha_stays_imagery(tmp_path: Path):
    image = np.random.default_rng(0).integers(1, 255, (4, 50, 50), np.uint8)
    image[3, :25] = 0
    path = write(tmp_path / "rgbn.tif", image, photometric="RGB", alpha="YES")
    with rasterio.open(path) as dataset:
        assert dataset.colorinterp[3] == ColorInterp.alpha
    scene = Scene.open(path)
    assert len(scene.bands) == 4
    assert scene.read().valid.all()


def test_an_alpha_band_named_nir_stays_imagery(tmp_path: Path):
    path = write(
        tmp_path / "rgbn.tif", np.full((4, 5, 5), 255, np.uint8), photometric="RGB", alpha="YES"
    )
    with rasterio.open(path, "r+") as dataset:
        dataset.set_band_description(4, "NIR")
    assert Scene.open(path).band_names[3] == "nir"


def test_undeclared_nan_is_nodata_and_counted(tmp_path: Path):
    image = np.ones((2, 5, 5), np.float32)
    image[0, 0, 0] = image[1, 0, 0] = image[1, 4, 4] = np.nan
    chip = Scene.open(write(tmp_path / "nan.tif", image, nodata=-1)).read()
    assert chip.undeclared_nan == 2
    assert chip.valid.sum() == 23
    assert np.isfinite(chip.image).all()


def test_infinities_are_refused_with_their_place(tmp_path: Path):
    image = np.ones((2, 20, 30), np.float32)
    image[1, 12, 17] = np.inf
    scene = Scene.open(write(tmp_path / "inf.tif", image))
    with pytest.raises(
        RasterError, match=r"infinite value \(band 2, row 12, column 17\).*replace infinities"
    ):
        scene.read(Window(10, 10, 15, 9))
    assert scene.read(Window(0, 0, 10, 10)).valid.all()


def test_wholly_outside_window_is_empty(encoded: Scene):
    chip = encoded.read(Window(1000, 1000, 5, 6))
    assert chip.image.shape == (2, 6, 5)
    assert not chip.valid.any()


# --- values, bands, handles ----------------------------------------------------------------------------------


def test_scale_and_offset_are_honoured(tmp_path: Path):
    path = write(tmp_path / "s.tif", np.array([[[0, 100], [200, 10000]]], np.uint16), nodata=0)
    with rasterio.open(path, "r+") as target:
        target.scales, target.offsets = (0.0001,), (-0.1,)
    chip = Scene.open(path).read()
    np.testing.assert_allclose(chip.image[0], [[0, -0.09], [-0.08, 0.9]], atol=1e-6)
    assert not chip.valid[0, 0]


@pytest.mark.parametrize(
    ("scale", "offset", "dtype"),
    [
        (0, 0, "uint16"), (np.nan, 0, "uint16"), (1e308, 0, "uint16"), (1e-320, 0, "uint16"), (1, np.inf, "uint16"),
        (1, np.nan, "uint16"), (1e38, 0, "uint8"), (1e-4, 1e9, "uint16"), (0, 1, "float32"), (1e38, 0, "float64"),
    ],
)  # fmt: skip
def test_a_scale_under_which_values_become_equal_or_infinite_is_refused(
    tmp_path: Path, scale: float, offset: float, dtype: str
):
    path = write(tmp_path / "s.tif", np.array([[[0, 100], [200, 250]]] * 2, dtype))
    with rasterio.open(path, "r+") as target:
        target.scales, target.offsets = (1, scale), (0, offset)
    words = r"Band 2 of '.*s\.tif' has the scale .* and the offset .*Expected finite numbers"
    with pytest.raises(RasterError, match=words):
        Scene.open(path)
    only = Scene.open(path, [1])
    assert only.read().valid.all()
    with pytest.raises(RasterError, match=words):
        only.select_bands([2])


def test_a_value_that_its_scale_makes_infinite_is_refused(tmp_path: Path):
    path = write(tmp_path / "s.tif", np.array([[[1, 2], [3, 1e30]]], np.float32))
    with rasterio.open(path, "r+") as target:
        target.scales = (1e20,)
    with pytest.raises(RasterError, match=r"holds the value 1e\+30 \(band 1, row 1, column 1\)"):
        Scene.open(path).read()


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "int32", "uint32", "float32", "float64"]
)
def test_every_data_type(tmp_path: Path, dtype: str):
    image = (np.arange(36).reshape(1, 6, 6) - (18 if dtype[0] != "u" else 0)).astype(dtype)
    np.testing.assert_array_equal(Scene.open(write(tmp_path / "t.tif", image)).read().image, image)


def test_two_hundred_bands(tmp_path: Path):
    image = np.arange(200, dtype=np.int16).reshape(200, 1, 1) * np.ones((1, 8, 9), np.int16)
    scene = Scene.open(write(tmp_path / "h.tif", image))
    assert len(scene.bands) == 200
    np.testing.assert_array_equal(scene.read(Window(2, 2, 3, 3)).image, image[:, 2:5, 2:5])


def test_band_selection_reorders(encoded: Scene):
    turned = encoded.select_bands([2, 1])
    np.testing.assert_array_equal(turned.read().image, encoded.read().image[::-1])
    with pytest.raises(RasterError, match=r"has no band 3. It has the bands 1, 2"):
        encoded.select_bands([3])


def test_radiometry_is_applied_on_read_and_survives_pickling(tmp_path: Path):
    image = np.arange(1, 51, dtype=np.uint8).reshape(2, 5, 5)
    image[:, 0, 0] = 0
    scene = Scene.open(write(tmp_path / "r.tif", image, nodata=0))
    transform = RadiometricTransform((Curve([0, 100], [0, 1]), Curve([0, 100], [0, 10])))
    moved = pickle.loads(pickle.dumps(scene.with_radiometry(transform)))
    chip = moved.read()
    np.testing.assert_allclose(
        chip.image, image * np.array([0.01, 0.1]).reshape(2, 1, 1), atol=1e-6
    )
    assert not chip.valid[0, 0]
    np.testing.assert_array_equal(moved.with_radiometry(None).read().image, scene.read().image)
    with pytest.raises(RasterError, match="has 2 bands and the radiometric transform 1"):
        scene.with_radiometry(RadiometricTransform((Curve([0, 1], [0, 1]),)))


def test_missing_file_is_named(tmp_path: Path):
    with pytest.raises(InputFileError, match=r"nowhere.tif' does not exist. Check the path"):
        Scene.open(tmp_path / "nowhere.tif")


def test_not_a_raster(tmp_path: Path):
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(InputFileError, match=r"cannot be opened as a raster.*opening it in QGIS"):
        Scene.open(tmp_path / "text.tif")


def test_no_crs(tmp_path: Path):
    with pytest.raises(RasterError, match=r"no coordinate reference system.*Assign projection"):
        Scene.open(write(tmp_path / "x.tif", coordinates(), crs=None))


def test_complex_numbers_are_refused(tmp_path: Path):
    with pytest.raises(RasterError, match=r"complex numbers.*amplitude"):
        Scene.open(write(tmp_path / "c.tif", np.ones((1, 3, 3), np.complex64)))


def test_truncated_file(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 255, (1, 400, 400), np.uint8)
    path = write(tmp_path / "t.tif", noise, compress="deflate")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputFileError, match=r"(cannot be read at rows|cannot be opened)"):
        Scene.open(path).read()


def test_a_file_that_changes_its_size_is_not_read_on_the_old_grid(tmp_path: Path):
    scene = Scene.open(write(tmp_path / "s.tif", np.ones((1, 30, 40), np.uint8)))
    scene.read()
    write(tmp_path / "s.tif", np.ones((1, 20, 40), np.uint8))
    with pytest.raises(InputFileError, match=r"has 20 x 40 pixels and had 30 x 40.*open it again"):
        scene.read()


def test_truncated_file_with_an_alpha_band(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 255, (4, 400, 400), np.uint8)
    path = write(tmp_path / "t.tif", noise, compress="deflate", photometric="RGB", alpha="YES")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 4])
    with pytest.raises(InputFileError, match=r"t\.tif' cannot be read at rows 72-328.*truncated"):
        Scene.open(path)


def test_a_rewritten_file_is_read_anew(tmp_path: Path):
    path = write(tmp_path / "a.tif", np.full((1, 4, 4), 3, np.uint8))
    assert (Scene.open(path).read().image == 3).all()
    held = HANDLES.get(str(path))
    assert HANDLES.get(str(path)) is held
    write(path, np.full((1, 5, 5), 7, np.uint8))
    assert (Scene.open(path).read().image == 7).all()
    assert held.closed
    path.unlink()
    with pytest.raises(InputFileError, match="does not exist"):
        HANDLES.get(str(path))


def test_the_pool_bounds_open_files(tmp_path: Path):
    pool = HandlePool(capacity=3)
    paths = [str(write(tmp_path / f"{k}.tif", coordinates(4, 4))) for k in range(8)]
    handles = [pool.get(p) for p in paths]
    assert [h.closed for h in handles] == [True] * 5 + [False] * 3
    assert pool.get(paths[7]) is handles[7]
    pool.close()
    assert all(h.closed for h in handles)


def test_threads_read_the_same(encoded: Scene):
    expected = encoded.read().image
    with ThreadPoolExecutor(4) as threads:
        for image in threads.map(lambda _: encoded.read().image, range(16)):
            np.testing.assert_array_equal(image, expected)


def test_fingerprint_changes_with_the_file(tmp_path: Path):
    path = write(tmp_path / "a.tif", coordinates(4, 4))
    first = Scene.open(path).fingerprint()
    assert first == Scene.open(path).fingerprint()
    HANDLES.close()
    write(path, coordinates(5, 5))
    assert Scene.open(path).fingerprint() != first
