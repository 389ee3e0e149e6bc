"""Rasters put together from compressed tiles: GDAL must read back what went in, overviews included."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rasterio.crs import CRS

from geopointseg.raster import cog, tiff
from geopointseg.raster.cog import Layout, ScratchTiles, assemble_raster, encode_tile
from geopointseg.raster.grid import Grid
from geopointseg.raster.overview import halve

KINDS = {
    "uint8": {"dtype": "uint8", "nodata": 0, "resampling": "mode", "names": ("class",)},
    "uint16": {"dtype": "uint16", "nodata": 9, "resampling": "mode", "names": ("class",)},
    "bands": {"dtype": "uint8", "nodata": 255, "resampling": "average", "names": ("ä", "b", "c"), "scale": 0.004},
    "float": {"dtype": "float32", "nodata": float("nan"), "resampling": "average", "names": ("a", "b")},
}  # fmt: skip


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(cog, "BLOCK_PX", 64)
    monkeypatch.setattr(cog, "TILE_PX", 256)


def layout_of(kind, shape, **changes):
    grid = Grid(CRS.from_epsg(25832), Affine(0.2, 0, 3e5, 0, -0.2, 5e6), *shape)
    return Layout(grid, **(KINDS[kind] | changes))


def random_values(layout, seed=1):
    generator = np.random.default_rng(seed)
    shape = (len(layout.names), *layout.grid.shape)
    values = generator.integers(0, 10, shape).astype(layout.dtype)
    values[:, generator.random(layout.grid.shape) < 0.3] = layout.nodata
    values[:, 256:512, : 3 * 256] = layout.nodata  # whole tiles of nothing
    return values


def write(path, layout, values, order=1):
    tiles = ScratchTiles(path.parent)
    for row, col in list(itertools.product(*map(range, layout.tile_shape)))[::order]:
        part = values[(slice(None), *layout.tile_window(row, col).toslices())]
        tiles.add(row, col, encode_tile(np.ascontiguousarray(part), layout))
    assemble_raster(path, layout, tiles)
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 1), (64, 64), (65, 63), (257, 1), (1100, 1700)])
def test_gdal_reads_what_went_in(tmp_path, small_blocks, kind, shape):
    layout = layout_of(kind, shape)
    values = random_values(layout)
    path = write(tmp_path / "r.tif", layout, values)
    with rasterio.open(path) as dataset:
        assert np.array_equal(dataset.read(), values, equal_nan=kind == "float")
        assert dataset.crs == layout.grid.crs
        assert dataset.transform == layout.grid.transform
        assert dataset.descriptions == layout.names
        assert dataset.scales[0] == layout.scale
        assert dataset.nodata == layout.nodata or np.isnan(layout.nodata)
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        overviews = dataset.overviews(1)
    assert len(overviews) == layout.levels
    for level in range(layout.levels):
        values = halve(values, layout.nodata, layout.resampling)
        with rasterio.open(path, overview_level=level) as dataset:
            assert np.array_equal(dataset.read(), values, equal_nan=kind == "float")


def test_the_order_of_the_tiles_leaves_no_trace(tmp_path, small_blocks):
    layout = layout_of("bands", (700, 900))
    values = random_values(layout)
    there = write(tmp_path / "a.tif", layout, values)
    back = write(tmp_path / "b.tif", layout, values, order=-1)
    assert there.read_bytes() == back.read_bytes()


@pytest.mark.parametrize("is_cog", [True, False])
def test_big_tiff_above_the_limit(tmp_path, small_blocks, monkeypatch, is_cog):
    layout = layout_of("bands", (600, 800), cog=is_cog, tags={"A": "ß"})
    values = random_values(layout)
    classic = write(tmp_path / "classic.tif", layout, values)
    monkeypatch.setattr(tiff, "CLASSIC_LIMIT", 1000)
    big = write(tmp_path / "big.tif", layout, values)
    assert classic.read_bytes()[:4] == b"II\x2a\x00"
    assert big.read_bytes()[:4] == b"II\x2b\x00"
    for path in (classic, big):
        with rasterio.open(path) as dataset:
            assert np.array_equal(dataset.read(), values)
            assert dataset.tags()["A"] == "ß"
            assert dataset.overviews(1) == ([2, 4, 8, 16] if is_cog else [])


@pytest.mark.parametrize(
    "transform", [Affine(3, 1, 5e5, 0.5, 4, 57e5), Affine(0.1, 0, 8, 0, -0.1, 50)]
)
def test_grids_survive_to_the_bit(tmp_path, small_blocks, transform):
    grid = Grid(CRS.from_epsg(4326), transform, 30, 40)
    layout = Layout(grid, "uint8", 0, ("class",))
    path = write(tmp_path / "r.tif", layout, np.ones((1, 30, 40), np.uint8))
    with rasterio.open(path) as dataset:
        assert tuple(dataset.transform) == tuple(transform)
        assert dataset.crs == grid.crs


def test_real_block_sizes(tmp_path):
    layout = layout_of("uint8", (2100, 4500))
    values = random_values(layout)
    with rasterio.open(write(tmp_path / "r.tif", layout, values)) as dataset:
        assert dataset.block_shapes == [(512, 512)]
        assert np.array_equal(dataset.read(), values)
        assert dataset.overviews(1) == [2, 4, 8, 16]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for Debian's own GDAL")
@pytest.mark.parametrize("kind", KINDS)
def test_gdal_calls_it_cloud_optimized(tmp_path, kind):
    import subprocess

    script = "from osgeo_utils.samples.validate_cloud_optimized_geotiff import validate; import sys; print(validate(sys.argv[1])[:2])"
    found = subprocess.run(
        ["/usr/bin/python3", "-c", "import osgeo_utils"], capture_output=True, check=False
    )
    if found.returncode:
        pytest.skip("GDAL's validation script is not installed")
    layout = layout_of(kind, (1500, 1100))
    path = write(tmp_path / "r.tif", layout, random_values(layout))
    said = subprocess.run(
        ["/usr/bin/python3", "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "([], [])"


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.uint8,
        st.tuples(st.just(1), st.integers(1, 6), st.integers(1, 6)),
        elements=st.integers(0, 3),
    )
)
def test_majority_is_the_most_frequent_valid_value(values):
    coarse = halve(values, 0, "mode")
    for row, col in itertools.product(*map(range, coarse.shape[1:])):
        quad = values[0, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2]
        counts = np.bincount(quad[quad > 0], minlength=4)
        if not counts.any():
            assert coarse[0, row, col] == 0
        else:
            assert counts[coarse[0, row, col]] == counts.max()


def test_mean_leaves_nodata_out():
    values = np.array([[[1.0, np.nan], [3.0, np.nan]]], dtype=np.float32)
    assert halve(values, float("nan"), "average").tolist() == [[[2.0]]]
    assert np.isnan(halve(np.full((1, 2, 2), np.nan, np.float32), float("nan"), "average")).all()
