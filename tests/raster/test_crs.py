"""Every raster output keeps the CRS of its input, by GDAL's sidecar where GeoTIFF keys cannot hold it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.rpc import RPC

from geopointseg.bands.stack import mosaic_scenes, stack_scenes
from geopointseg.errors import OutputError, RasterError
from geopointseg.lab.dense_mask import read_dense_mask
from geopointseg.labels.points import Points
from geopointseg.labels.sparse_mask import rasterize_points, write_mask
from geopointseg.legend import Legend
from geopointseg.radiometry.histogram_matching import match_raster
from geopointseg.raster.class_map import ClassMap, write_class_map
from geopointseg.raster.cog import Layout, ScratchTiles, assemble_raster, encode_tile
from geopointseg.raster.crs import exact_wkt, keep_crs
from geopointseg.raster.grid import Grid
from geopointseg.raster.publishing import whole_file
from geopointseg.raster.scene import Scene

CRSS = {
    "rotated pole": "+proj=ob_tran +o_proj=longlat +lon_0=18 +o_lat_p=39.25 +o_lon_p=0 +R=6371229 +no_defs",
    "oblique": "+proj=ob_tran +o_proj=laea +o_lat_p=40 +o_lon_p=10 +lon_0=10 +datum=WGS84",
    "site grid": 'LOCAL_CS["Site grid",UNIT["metre",1]]',
    "plant": 'ENGCRS["Plant",EDATUM["Plant datum"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],'
    'LENGTHUNIT["metre",1]]',
    "compound": "EPSG:32633+5773",
    "epoch": "EPSG:9000",
    "mars": "+proj=eqc +R=3396190 +units=m",
    "geostationary": "+proj=geos +h=35785831 +lon_0=0 +sweep=y +datum=WGS84",
    "two points": "+proj=tpeqd +lat_1=10 +lat_2=20 +lon_1=5 +lon_2=15 +datum=WGS84",
    "three dimensions": "EPSG:4979",
    "feet": "EPSG:2264",
    "code": "EPSG:32633",
}
LEGEND = Legend.from_names(["water", "forest"])
SHAPE = 20, 30


@pytest.fixture(params=CRSS)
def crs(request: pytest.FixtureRequest) -> CRS:
    return CRS.from_user_input(CRSS[request.param])


@pytest.fixture
def grid(crs: CRS) -> Grid:
    return Grid(crs, Affine(0.001, 0, 1, 0, -0.001, 1), *SHAPE)


def write(path: Path, grid: Grid, image: np.ndarray | None = None) -> Path:
    image = np.arange(600, dtype=np.uint16).reshape(1, *SHAPE) if image is None else image
    with rasterio.open(
        path, "w", driver="GTiff", count=len(image), height=grid.height, width=grid.width,
        dtype=image.dtype, crs=grid.crs, transform=grid.transform,
    ) as target:  # fmt: skip
        target.write(image)
    keep_crs(path, grid.crs, grid.epoch)
    return path


def crs_of(path: Path) -> CRS:
    with rasterio.open(path) as dataset:
        return dataset.crs


def test_text_of_a_crs_loses_nothing(crs: CRS):
    assert CRS.from_wkt(exact_wkt(crs)) == crs


def test_class_maps_keep_crs_and_names(tmp_path: Path, grid: Grid):
    index = np.arange(600).reshape(SHAPE) % 2
    path = write_class_map(tmp_path / "map.tif", index, grid, LEGEND)
    assert crs_of(path) == grid.crs
    opened = ClassMap.open(path)
    assert opened.grid == grid
    assert opened.legend == LEGEND
    names = (tmp_path / "map.tif.aux.xml").read_text(encoding="utf-8")
    assert "forest" in names
    assert {file.name for file in tmp_path.iterdir()} == {"map.tif", "map.tif.aux.xml", "map.qml"}


@pytest.mark.parametrize("cog", [True, False])
def test_quantities_keep_the_crs(tmp_path: Path, grid: Grid, cog: bool):
    layout = Layout(grid, "float32", np.nan, ("p",), "average", cog=cog)
    path = tmp_path / "p.tif"
    with whole_file(path) as temporary:
        tiles = ScratchTiles(tmp_path)
        tiles.add(0, 0, encode_tile(np.ones((1, *SHAPE), np.float32), layout))
        assemble_raster(temporary, layout, tiles)
    assert crs_of(path) == grid.crs


def test_masks_and_matched_rasters_keep_the_crs(tmp_path: Path, grid: Grid):
    scene = write(tmp_path / "scene.tif", grid)
    match_raster(scene, scene, tmp_path / "matched.tif")
    assert crs_of(tmp_path / "matched.tif") == grid.crs
    points = Points.from_arrays([1.0005], [0.9995], [1], LEGEND, grid.crs)
    write_mask(rasterize_points(points, grid), tmp_path / "mask.tif")
    assert crs_of(tmp_path / "mask.tif") == grid.crs
    assert read_dense_mask(tmp_path / "mask.tif").legend == LEGEND


def test_virtual_stacks_and_mosaics_keep_the_crs(tmp_path: Path, grid: Grid):
    scene = Scene.open(write(tmp_path / "a.tif", grid))
    for virtual in (stack_scenes([scene, scene]), mosaic_scenes([scene, scene])):
        assert virtual.grid == grid
        np.testing.assert_array_equal(virtual.read().image[0], scene.read().image[0])


def test_outputs_keep_the_coordinate_epoch(tmp_path: Path):
    grid = Grid(CRS.from_epsg(9000), Affine(0.001, 0, 1, 0, -0.001, 1), *SHAPE, epoch=2021.5)
    scene = Scene.open(write(tmp_path / "scene.tif", grid))
    assert scene.grid.epoch == 2021.5
    match_raster(scene, scene, tmp_path / "matched.tif")
    write_class_map(tmp_path / "map.tif", np.zeros(SHAPE, np.int64), scene.grid, LEGEND)
    for path in (tmp_path / "matched.tif", tmp_path / "map.tif"):
        assert Scene.open(path, bands=[1]).grid.epoch == 2021.5
        assert crs_of(path) == grid.crs
    assert stack_scenes([scene, scene]).grid.epoch == 2021.5
    assert Scene.open(write(tmp_path / "none.tif", replace(grid, epoch=None))).grid.epoch is None


def test_a_sidecar_describes_only_the_map_beside_it(tmp_path: Path):
    rotated, plain = (
        Grid(CRS.from_user_input(CRSS[name]), Affine(0.001, 0, 1, 0, -0.001, 1), *SHAPE)
        for name in ("rotated pole", "code")
    )
    path, index = tmp_path / "p.tif", np.zeros(SHAPE, np.int64)
    write_class_map(path, index, rotated, LEGEND)

    def replace_by(grid: Grid) -> None:
        layout = Layout(grid, "uint8", 255, ("p",))
        with whole_file(path) as temporary:
            tiles = ScratchTiles(tmp_path)
            tiles.add(0, 0, encode_tile(np.ones((1, *SHAPE), np.uint8), layout))
            assemble_raster(temporary, layout, tiles)

    replace_by(plain)
    assert crs_of(path) == plain.crs
    assert not (tmp_path / "p.tif.aux.xml").exists()
    replace_by(rotated)
    assert crs_of(path) == rotated.crs


def test_a_failed_run_leaves_neither_raster_nor_sidecar(tmp_path: Path):
    grid = Grid(CRS.from_user_input(CRSS["rotated pole"]), Affine.scale(0.1, -0.1), *SHAPE)
    with pytest.raises(OutputError), whole_file(tmp_path / "p.tif") as temporary:
        write(temporary, grid)
        assert temporary.with_name(temporary.name + ".aux.xml").exists()
        raise OutputError("The disk is full.")
    assert list(tmp_path.iterdir()) == []


def _write_unplaced(path: Path, crs: str | None, how: str) -> Path:
    corners = [(0, 0), (0, 30), (20, 0), (20, 30)]
    points = [GroundControlPoint(r, c, 10 + c / 100, 50 - r / 100) for r, c in corners]
    coefficients = [1.0, *[0.0] * 19]
    rpc = RPC(
        height_off=0, height_scale=1, lat_off=50, lat_scale=1, long_off=10, long_scale=1, line_off=10,
        line_scale=10, samp_off=10, samp_scale=10, line_num_coeff=coefficients, line_den_coeff=coefficients,
        samp_num_coeff=coefficients, samp_den_coeff=coefficients,
    )  # fmt: skip
    placed = {"gcps": points, "crs": "EPSG:4326"} if how == "gcps" else {"rpcs": rpc, "crs": crs}
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=20, width=30, dtype="uint8", **placed
    ) as target:
        target.write(np.ones((1, *SHAPE), np.uint8))
    return path


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    ("how", "advice"),
    [
        ("gcps", "4 ground control points in EPSG:4326 and has no grid.*warp it.*gdalwarp"),
        ("rpcs", "rational polynomial coefficients.*no grid.*gdalwarp -rpc"),
    ],
)
@pytest.mark.parametrize("opened", [Scene.open, ClassMap.open, read_dense_mask])
def test_what_has_control_points_is_to_be_warped(tmp_path: Path, how: str, advice: str, opened):
    path = _write_unplaced(tmp_path / "raw.tif", None, how)
    with pytest.raises(RasterError, match=f"(?s){advice}.*Assigning a CRS would not place it"):
        opened(path)
