"""Scenes on other grids: exact where pixels coincide, and as GDAL's own warp elsewhere."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geopointseg.errors import RasterError
from geopointseg.radiometry.radiometric_transform import RadiometricTransform
from geopointseg.raster import warp
from geopointseg.raster.curve import Curve
from geopointseg.raster.grid import Grid
from geopointseg.raster.scene import Scene
from geopointseg.raster.warp import (
    align,
    covering_grid,
    in_resolution,
    projected_grid,
    read_onto,
    scaled_grid,
    warped,
)

UTM33, UTM32 = CRS.from_epsg(32633), CRS.from_epsg(32632)
TRANSFORM = Affine(10, 0, 500000, 0, -10, 5700000)
GRID = Grid(UTM33, TRANSFORM, 120, 150)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    rows, cols = np.mgrid[0:120, 0:150].astype("float32")
    waves = np.stack([np.sin(rows / 5) * 100, np.cos(cols / 7) * 50 + rows])
    waves[:, 20:30, 40:60] = -9999
    with rasterio.open(
        tmp_path / "waves.tif", "w", driver="GTiff", dtype="float32", count=2, crs=UTM33,
        transform=TRANSFORM, height=120, width=150, nodata=-9999,
    ) as target:  # fmt: skip
        target.write(waves.astype("float32"))
    return Scene.open(tmp_path / "waves.tif")


turns = st.sampled_from([(1, 0, 0, 1), (-1, 0, 0, 1), (1, 0, 0, -1), (-1, 0, 0, -1),
                         (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, -1, 0), (0, -1, -1, 0)])  # fmt: skip


@settings(deadline=None)
@given(
    turn=turns, row=st.integers(-50, 50), col=st.integers(-50, 50),
    height=st.integers(1, 30), width=st.integers(1, 30),
)  # fmt: skip
def test_alignment_finds_every_pixel_of_a_turned_crop(turn, row, col, height, width):
    a, b, d, e = turn
    target = Grid(UTM33, TRANSFORM @ Affine(a, b, col, d, e, row), height, width)
    alignment = align(GRID, target)
    assert alignment is not None
    window = alignment.window
    rows, cols = np.mgrid[0 : window.height, 0 : window.width]
    found = alignment.apply(np.stack([rows + window.row_off, cols + window.col_off]))
    assert found.shape == (2, height, width)
    at_row, at_col = np.mgrid[0:height, 0:width] + 0.5
    true = GRID.world_to_pixel(*target.pixel_to_world(at_row, at_col))
    np.testing.assert_allclose(found + 0.5, np.stack(true), atol=1e-3)


@pytest.mark.parametrize(
    "other",
    [
        Grid(UTM32, TRANSFORM, 10, 10),
        Grid(UTM33, TRANSFORM @ Affine.translation(0.4, 0), 10, 10),
        Grid(UTM33, TRANSFORM @ Affine.scale(1.001), 100, 100),
        Grid(UTM33, TRANSFORM @ Affine.rotation(0.5), 10, 10),
    ],
    ids=["CRS", "offset", "scale", "rotation"],
)
def test_grids_that_differ_are_not_aligned(other):
    assert align(GRID, other) is None


@pytest.mark.parametrize("resolution", [6.0, 10.0, 30.0])
@pytest.mark.parametrize("resampling", ["bilinear", "nearest"])
def test_warps_as_gdal_does(scene, resolution, resampling):
    grid = projected_grid(scene.grid, UTM32, resolution)
    view = warped(scene, grid, resampling).read()
    with (
        rasterio.open(scene.path) as source,
        WarpedVRT(
            source, crs=UTM32, transform=grid.transform, height=grid.height, width=grid.width,
            resampling=Resampling[resampling], tolerance=0.001, XSCALE=10 / resolution, YSCALE=10 / resolution,
        ) as reference,
    ):  # fmt: skip
        truth, known = reference.read(), reference.read_masks(1) > 0
    assert (view.valid & ~known).sum() == 0
    assert (known & ~view.valid).mean() < 0.015
    assert (view.image[:, ~view.valid] == 0).all()
    error = np.abs(truth - view.image)[:, view.valid]
    assert np.quantile(error, 0.99) < 0.1


@pytest.mark.parametrize("resolution", [7.0, 12.0])
def test_windows_of_a_view_fit_together(scene, resolution):
    view = warped(scene, projected_grid(scene.grid, UTM32, resolution))
    whole = view.read()
    for window in (Window(0, 0, 40, 40), Window(33, 61, 50, 20), Window(-5, -7, 30, 30)):
        part = view.read(window)
        top, left = max(window.row_off, 0), max(window.col_off, 0)
        inner = whole.image[
            :, top : window.row_off + window.height, left : window.col_off + window.width
        ]
        cut = part.image[:, top - window.row_off :, left - window.col_off :]
        same = part.valid[top - window.row_off :, left - window.col_off :]
        np.testing.assert_allclose(cut[:, same], inner[:, same], atol=0.02)
        assert not part.valid[: top - window.row_off].any()


def test_coarser_views_average(scene):
    noise = np.random.default_rng(0).normal(size=(1, 120, 150)).astype("float32")
    path = Path(scene.path).with_name("noise.tif")
    profile = {"driver": "GTiff", "dtype": "float32", "count": 1, "height": 120, "width": 150}
    with rasterio.open(path, "w", crs=UTM33, transform=TRANSFORM, **profile) as target:
        target.write(noise)
    coarse = warped(Scene.open(path), scaled_grid(GRID, 6)).read()
    assert coarse.image.shape == (1, 20, 25)
    assert coarse.image.std() < 0.3


def test_views_that_need_much_source_are_read_in_parts(scene, monkeypatch):
    grid = projected_grid(scene.grid, UTM32, 20.0)
    whole = read_onto(scene, grid)
    monkeypatch.setattr(warp, "_LARGEST_SOURCE_PX", 3000)
    parts = read_onto(scene, grid)
    np.testing.assert_array_equal(parts.valid, whole.valid)
    np.testing.assert_allclose(parts.image, whole.image, atol=0.02)


def test_ground_off_the_scene_is_invalid(scene):
    far = Grid(UTM33, TRANSFORM @ Affine.translation(5000.5, 0), 8, 8)
    chip = read_onto(scene, far)
    assert not chip.valid.any()
    assert not chip.image.any()


def test_views_are_scenes(scene):
    grid = projected_grid(scene.grid, UTM32)
    view = pickle.loads(pickle.dumps(warped(scene, grid)))
    assert isinstance(view, Scene)
    assert view.grid == grid
    assert view.name == scene.name
    assert warped(scene, scene.grid) is scene
    one = view.select_bands([2])
    assert one.grid == grid
    np.testing.assert_array_equal(one.read().image[0], view.read().image[1])


def test_scaled_grid_keeps_corner_and_turn():
    turned = Grid(UTM33, TRANSFORM @ Affine.rotation(20), 100, 90)
    coarse = scaled_grid(turned, 2.5)
    assert coarse.shape == (40, 36)
    assert coarse.transform @ (0, 0) == turned.transform @ (0, 0)
    assert coarse.resolution == pytest.approx((25, 25))
    with pytest.raises(RasterError, match=r"multiplied by 0.*positive number; check"):
        scaled_grid(turned, 0)


def test_covering_grids_of_neighbours_coincide():
    one = covering_grid((13.2, -7.1, 41.9, 18.8), UTM33, 4.0)
    two = covering_grid((41.9, -7.1, 80.0, 18.8), UTM33, 4.0)
    assert one.bounds == (12, -8, 44, 20)
    assert align(one, two) is not None


def test_projected_grid_covers_the_scene(scene):
    grid = projected_grid(scene.grid, CRS.from_epsg(4326))
    assert abs(grid.width * grid.height / (120 * 150) - 1) < 0.8
    assert warped(scene, grid).read().valid.mean() > 0.9


def _textured(
    tmp_path: Path,
    name: str,
    size: int,
    resolution: float,
    crs: str = "EPSG:32633",
    top: int = 5700000,
) -> Scene:
    image = np.kron(np.arange(64).reshape(8, 8) * 3, np.ones((size // 8, size // 8)))
    path = tmp_path / name
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=size, width=size, dtype="uint8", crs=crs,
        transform=Affine(resolution, 0, 500000, 0, -resolution, top),
    ) as target:  # fmt: skip
        target.write(image.astype(np.uint8), 1)
    return Scene.open(path)


def test_a_coarser_scene_is_resampled_and_the_factor_told(tmp_path: Path):
    fine, coarse = _textured(tmp_path, "f.tif", 160, 1), _textured(tmp_path, "c.tif", 80, 2)
    with pytest.warns(
        UserWarning, match=r"'c.tif' are 2 m and those of the first scene 1 m. It is"
    ):
        seen = in_resolution(coarse, 1.0)
    assert seen.grid == fine.grid
    inner = np.s_[:, 5:15, 5:15]
    np.testing.assert_allclose(seen.read().image[inner], fine.read().image[inner], atol=0.5)
    with pytest.warns(UserWarning, match=r"to pixels 2 times as large"):
        assert in_resolution(fine, 2.0).grid.shape == (80, 80)


def test_pixels_of_about_one_size_are_left_alone(tmp_path: Path):
    scene = _textured(tmp_path, "f.tif", 160, 1)
    assert in_resolution(scene, 1.2) is scene


def test_web_mercator_is_compared_by_metres_of_ground(tmp_path: Path):
    scene = _textured(tmp_path, "web.tif", 160, 1, "EPSG:3857", 8399737)  # 60 degrees north
    assert in_resolution(scene, 0.5) is scene


def test_a_resampled_scene_is_matched_as_it_is_read(tmp_path: Path):
    scene = _textured(tmp_path, "f.tif", 160, 1)
    seen = warped(scene, scaled_grid(scene.grid, 2))
    doubled = RadiometricTransform((Curve([0, 200], [0, 400], extrapolates=True),))
    moved = seen.with_radiometry(doubled)
    np.testing.assert_allclose(moved.read().image, 2 * seen.read().image, atol=1e-3)
    np.testing.assert_array_equal(moved.with_radiometry(None).read().image, seen.read().image)
