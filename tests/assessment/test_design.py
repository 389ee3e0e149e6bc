"""Samples to be labelled: how many, where, blind, and good for an honest assessment."""

from __future__ import annotations

import sqlite3
from contextlib import closing, nullcontext
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from geopointseg.assessment.accuracy import assess
from geopointseg.assessment.design import (
    allocate_points,
    design_sample,
    sample_size,
    write_sample,
)
from geopointseg.errors import OutputError, PointsError, RasterError
from geopointseg.legend import Legend
from geopointseg.raster.class_map import ClassMap, write_class_map
from geopointseg.raster.grid import Grid

LEGEND = Legend.from_names(["water", "forêt", "field"], codes=[0, 20, 30])
GRID = Grid(CRS.from_epsg(32633), Affine(10, 0, 500_000, 0, -10, 5_700_000), 90, 110)


@pytest.fixture
def mapped() -> np.ndarray:
    classes = np.full(GRID.shape, 2)
    classes[:, 40:80] = 1
    classes[10:13, :15] = 0
    classes[80:] = -1
    return classes


@pytest.fixture
def map_path(tmp_path: Path, mapped: np.ndarray) -> Path:
    return write_class_map(tmp_path / "map.tif", mapped, GRID, LEGEND)


def test_sample_size_of_the_paper() -> None:
    """Olofsson et al. (2014), section 5.1: 641 points for a standard error of 0.01."""
    assert sample_size([0.02, 0.015, 0.32, 0.645], [0.7, 0.6, 0.9, 0.95], 0.01) == 641


@given(
    share=st.lists(st.floats(0.001, 1), min_size=1, max_size=12),
    per_class=st.integers(2, 200),
)
@settings(max_examples=80, deadline=None)
def test_allocation_sums_up_and_starves_no_class(share: list[float], per_class: int) -> None:
    share = list(np.array(share) / sum(share))
    count = per_class * len(share)
    allocated = allocate_points(share, count)
    assert allocated.sum() == count
    assert allocated.min() >= 2
    order = np.argsort(share)
    assert (np.diff(allocated[order]) >= -1).all()


def test_classes_without_area_get_no_point() -> None:
    assert allocate_points([0.5, 0.0, 0.5], 100).tolist() == [50, 0, 50]


def test_too_few_points_are_refused() -> None:
    with pytest.raises(PointsError, match=r"5 points cannot be shared out over 3 map classes"):
        allocate_points([0.3, 0.3, 0.4], 5)


def test_points_lie_in_their_class_once_each(map_path: Path, mapped: np.ndarray) -> None:
    sample = design_sample(map_path, 200, seed=1)
    assert len(sample) == 200
    row, col = (np.floor(v).astype(int) for v in GRID.world_to_pixel(sample.x, sample.y))
    np.testing.assert_array_equal(mapped[row, col], sample.stratum)
    assert len(np.unique(row * 1000 + col)) == 200
    assert sample.counts()[0] > 20  # half a percent of the area, but enough to say something
    assert (np.abs(np.diff(sample.stratum)) > 0).sum() > 40  # not sorted by class


def test_small_class_is_used_up(tmp_path: Path) -> None:
    classes = np.ones(GRID.shape, dtype=np.int64)
    classes[0, :7] = 0
    path = write_class_map(tmp_path / "map.tif", classes, GRID, LEGEND)
    sample = design_sample(path, 100, minimum=40)
    assert sample.counts().tolist()[0] == 7


def test_the_same_seed_draws_the_same(map_path: Path) -> None:
    one, same, other = (design_sample(map_path, 60, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.x, same.x)
    assert (one.x != other.x).any()


def test_ground_not_pixels_is_sampled_in_degrees(tmp_path: Path) -> None:
    """From 80 degrees to the equator pixels grow sixfold; points must follow the ground."""
    grid = Grid(CRS.from_epsg(4326), Affine(0.5, 0, 0, 0, -0.5, 80), 160, 300)
    classes = np.zeros(grid.shape, dtype=np.int64)
    path = write_class_map(tmp_path / "map.tif", classes, grid, LEGEND)
    latitude = design_sample(path, 1500, seed=0).y
    expected = np.sin(np.radians(30)) / np.sin(np.radians(80))
    assert (latitude < 30).mean() == pytest.approx(expected, abs=0.04)


def test_file_is_blind_and_opens_with_a_list_of_classes(map_path: Path, tmp_path: Path) -> None:
    sample = design_sample(map_path, 60)
    write_sample(sample, tmp_path / "sample.gpkg")
    with sqlite3.connect(tmp_path / "sample.gpkg") as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(sample)")]
        assert columns == ["fid", "geom", "number", "class", "note"]
        rows = connection.execute("SELECT number, class, note FROM sample").fetchall()
        assert rows == [(number, None, None) for number in range(1, 61)]
        [(style,)] = connection.execute("SELECT styleQML FROM layer_styles").fetchall()
    assert 'editWidget type="ValueMap"' in style
    assert "forêt" in style
    assert "not labelled yet" in style


def test_filled_in_sample_gives_honest_figures(
    map_path: Path, mapped: np.ndarray, tmp_path: Path
) -> None:
    """Fill the file in as a person would, then assess; the true accuracy must lie in the interval."""
    rng = np.random.default_rng(0)
    truth = np.where(rng.random(mapped.shape) < 0.15, (mapped + 1) % 3, mapped)
    sample = design_sample(map_path, 400, seed=3)
    write_sample(sample, tmp_path / "sample.gpkg")
    row, col = (np.floor(v).astype(int) for v in GRID.world_to_pixel(sample.x, sample.y))
    names = [LEGEND.names[index] for index in truth[row, col]]
    with sqlite3.connect(tmp_path / "sample.gpkg") as connection:
        for function in ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):
            connection.create_function(function, 1, lambda _: 0)
        connection.execute("DROP TRIGGER IF EXISTS rtree_sample_geom_update1")
        for number, name in enumerate(names, start=1):
            connection.execute("UPDATE sample SET class = ? WHERE number = ?", (name, number))
    assessed = assess(map_path, tmp_path / "sample.gpkg", sampling="stratified")
    assert assessed.confusion.total == len(sample) == 400 - 5  # water has 45 pixels only
    assert assessed.estimates is not None
    valid = mapped >= 0
    right = (mapped == truth)[valid].mean()
    assert assessed.estimates.overall.low <= right <= assessed.estimates.overall.high
    expected = sample.expected_error
    assert assessed.estimates.overall.standard_error == pytest.approx(expected, rel=0.3)


def test_no_point_falls_on_nodata_that_the_legend_names(tmp_path: Path) -> None:
    legend = Legend.from_names(["No data", "forest", "field"], codes=[0, 20, 30])
    classes = np.zeros(GRID.shape, dtype=np.int64)
    classes[:30, :45], classes[:30, 45:] = 1, 2
    path = write_class_map(tmp_path / "map.tif", classes, GRID, legend, cog=False)
    with rasterio.open(path, "r+") as dataset:
        dataset.nodata = 0
    for class_map in (ClassMap.open(path), ClassMap.open(path, legend)):
        sample = design_sample(class_map, 60)
        row = np.floor(GRID.world_to_pixel(sample.x, sample.y)[0])
        assert len(sample) == 60
        assert row.max() < 30
    assert "No data" not in ClassMap.open(path).legend.names


@pytest.mark.parametrize(("label", "is_kept"), [("field", True), (3, True), (" ", False)])
def test_labelled_sample_is_not_replaced(
    map_path: Path, tmp_path: Path, label: object, is_kept: bool
) -> None:
    sample, path = design_sample(map_path, 60), tmp_path / "sample.gpkg"
    write_sample(sample, path)
    with closing(sqlite3.connect(path)) as connection, connection:
        for function in ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):
            connection.create_function(function, 1, lambda _: 0)
        connection.execute("UPDATE sample SET class = ? WHERE number = 7", (label,))
    before = path.read_bytes()
    refused = pytest.raises(OutputError, match=r"holds 1 point whose field 'class' is filled in")
    with refused if is_kept else nullcontext():
        write_sample(sample, path)
    assert (path.read_bytes() == before) == is_kept


def test_map_of_nodata_is_refused(tmp_path: Path) -> None:
    path = write_class_map(tmp_path / "m.tif", np.full(GRID.shape, -1), GRID, LEGEND)
    with pytest.raises(RasterError, match="holds nothing but nodata"):
        design_sample(path, 10)
