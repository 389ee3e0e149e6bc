from __future__ import annotations

import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.windows import Window

from geopointseg.errors import OutputError, PointsError
from geopointseg.labels.points import Points, read_points
from geopointseg.labels.sparse_mask import (
    UNLABELLED,
    SparseMask,
    find_pixels,
    rasterize_points,
    write_mask,
)
from geopointseg.legend import Legend
from geopointseg.raster.class_map import ClassMap
from geopointseg.raster.grid import Grid, transform_coordinates

LEGEND = Legend.from_names(["water", "forest", "town"], codes=[0, 20, 255])
UTM = CRS.from_epsg(32633)

GRIDS = {
    "north-up": Affine(10, 0, 500_000, 0, -10, 5_700_000),
    "south-up": Affine(10, 0, 500_000, 0, 10, 5_700_000),
    "not square": Affine(4, 0, 500_000, 0, -16, 5_700_000),
    "rotated": Affine(8, 6, 500_000, 6, -8, 5_700_000),
    "mirrored": Affine(-8, 0, 500_000, 0, -8, 5_700_000),
}


def make_points(grid: Grid, row, col, class_index, **options) -> Points:
    x, y = grid.pixel_to_world(row, col)
    return Points.from_arrays(x, y, class_index, LEGEND, grid.crs, **options)


def dense(mask: SparseMask) -> np.ndarray:
    return mask.window(mask.grid.window)[0]


def places(size: int = 40):
    # halves, so that edges and corners are hit and the arithmetic is exact
    position = st.integers(-4, 2 * size + 4).map(lambda value: value / 2)
    return st.lists(st.tuples(position, position, st.integers(0, 2)), min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(labels=places(), name=st.sampled_from(["north-up", "south-up", "not square"]))
def test_equals_gdal_even_on_edges_and_corners(labels, name):
    grid = Grid(UTM, GRIDS[name], 40, 30)
    row, col, index = (np.array(values) for values in zip(*labels, strict=True))
    _, first = np.unique(np.floor(np.stack([row, col])), axis=1, return_index=True)
    points = make_points(grid, row[first], col[first], index[first])
    burnt = rasterio.features.rasterize(
        [(point, int(i)) for point, i in zip(points.geometry, points.class_index, strict=True)],
        out_shape=grid.shape, transform=grid.transform, fill=UNLABELLED, dtype="int16",
    )  # fmt: skip
    mask = rasterize_points(points, grid)
    np.testing.assert_array_equal(dense(mask), burnt)
    assert mask.outside + len(mask) == len(points)


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(GRIDS)),
    row=st.integers(0, 39),
    col=st.integers(0, 29),
    shift=st.tuples(st.floats(0.01, 0.99), st.floats(0.01, 0.99)),
)
def test_the_pixel_that_contains_the_point_on_any_grid(name, row, col, shift):
    grid = Grid(UTM, GRIDS[name], 40, 30)
    mask = rasterize_points(make_points(grid, [row + shift[0]], [col + shift[1]], [1]), grid)
    assert (mask.row.tolist(), mask.col.tolist()) == ([row], [col])


@settings(max_examples=30, deadline=None)
@given(labels=places(), seed=st.integers(0, 99))
def test_order_of_points_does_not_matter(
    labels,
    seed,
):
    grid = Grid(UTM, GRIDS["north-up"], 40, 30)
    row, col, index = (np.array(values) for values in zip(*labels, strict=True))
    points = make_points(grid, row, col, index)
    shuffled = points.select(np.random.default_rng(seed).permutation(len(points)))
    a, b = rasterize_points(points, grid), rasterize_points(shuffled, grid)
    np.testing.assert_array_equal(dense(a), dense(b))
    assert (a.outside, a.conflicts, a.ties) == (b.outside, b.conflicts, b.ties)


@settings(max_examples=30, deadline=None)
@given(labels=places(), chunk=st.integers(1, 20))
def test_chunks_give_the_same_mask_as_all_at_once(labels, chunk):
    grid = Grid(UTM, GRIDS["rotated"], 40, 30)
    row, col, index = (np.array(values) for values in zip(*labels, strict=True))
    points = make_points(grid, row, col, index, weight=1 + index % 2)
    parts = [
        points.select(np.arange(i, min(i + chunk, len(points))))
        for i in range(0, len(points), chunk)
    ]
    a, b = rasterize_points(points, grid), rasterize_points(iter(parts), grid)
    for name in ("row", "col", "class_index", "weight"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert (a.outside, a.conflicts, a.ties) == (b.outside, b.conflicts, b.ties)


@settings(max_examples=60, deadline=None)
@given(
    labels=places(),
    top=st.integers(-12, 50),
    left=st.integers(-12, 50),
    height=st.integers(1, 30),
    width=st.integers(1, 30),
)
def test_windows_are_cut_from_the_whole(labels, top, left, height, width):
    grid = Grid(UTM, GRIDS["north-up"], 40, 30)
    row, col, index = (np.array(values) for values in zip(*labels, strict=True))
    mask = rasterize_points(make_points(grid, row, col, index, weight=index + 1), grid)
    padded = np.full((140, 130), UNLABELLED)
    padded[50:90, 50:80] = dense(mask)
    labels, weight = mask.window(Window(left, top, width, height))
    np.testing.assert_array_equal(labels, padded[50 + top :, 50 + left :][:height, :width])
    np.testing.assert_array_equal(weight, np.where(labels == UNLABELLED, 0, labels + 1))
    assert labels.dtype == np.int64
    assert weight.dtype == np.float32


class TestConflicts:
    grid = Grid(UTM, GRIDS["north-up"], 4, 4)

    def test_majority_wins(self):
        points = make_points(self.grid, [0.5, 0.2, 0.9], [0.5, 0.1, 0.7], [1, 2, 1])
        mask = rasterize_points(points, self.grid)
        assert mask.class_index.tolist() == [1]
        assert (mask.conflicts, mask.ties) == (1, 0)

    def test_weight_decides_and_the_winner_keeps_its_mean_weight(self):
        points = make_points(
            self.grid, [0.5, 0.2, 0.9], [0.5, 0.1, 0.7], [1, 2, 1], weight=[1, 5, 2]
        )
        mask = rasterize_points(points, self.grid)
        assert mask.class_index.tolist() == [2]
        assert mask.weight.tolist() == [5]

    def test_a_tie_is_left_unlabelled_and_counted(self):
        points = make_points(self.grid, [0.5, 0.2, 2.5], [0.5, 0.1, 2.5], [1, 2, 0])
        mask = rasterize_points(points, self.grid)
        assert dense(mask)[0, 0] == UNLABELLED
        assert mask.class_index.tolist() == [0]
        assert (mask.conflicts, mask.ties) == (1, 1)

    def test_repeated_labels_do_not_gain_weight(self):
        points = make_points(self.grid, [0.5, 0.2], [0.5, 0.1], [1, 1], weight=[1, 3])
        assert rasterize_points(points, self.grid).weight.tolist() == [2]


def test_points_in_geographic_coordinates_land_on_the_right_pixel():
    grid = Grid(UTM, GRIDS["north-up"], 40, 30)
    row, col = np.mgrid[0:40:7, 0:30:5]
    points = make_points(grid, row.ravel() + 0.3, col.ravel() + 0.6, row.ravel() % 3)
    mask = rasterize_points(points.to_crs(CRS.from_epsg(4326)), grid)
    np.testing.assert_array_equal(dense(mask), dense(rasterize_points(points, grid)))
    assert len(mask) == row.size


def test_chunks_of_different_legends_are_refused():
    grid = Grid(UTM, GRIDS["north-up"], 40, 30)
    points = make_points(grid, [1.5], [1], [0])
    other = Points.from_arrays([1], [1], [0], Legend.from_names(["sea"]), UTM, source="b.gpkg")
    with pytest.raises(
        PointsError, match=r"'b\.gpkg' have another legend than those before \(sea against water"
    ):
        rasterize_points([points, other], grid)


def test_no_chunk_at_all_gives_an_empty_mask():
    assert len(rasterize_points([], Grid(UTM, GRIDS["north-up"], 40, 30))) == 0


def test_points_of_another_scene_are_left_out():
    grid = Grid(UTM, GRIDS["north-up"], 40, 30)
    points = make_points(grid, [1.5, 2.5, 3.5], [1, 2, 3], [0, 1, 2], scene=["a.tif", "", "b.tif"])
    assert rasterize_points(points, grid, scene="folder/a.tif").row.tolist() == [1, 2]
    assert rasterize_points(points, grid).row.tolist() == [1, 2, 3]


def test_points_elsewhere_or_nowhere_are_counted_as_outside():
    grid = Grid(UTM, GRIDS["north-up"], 40, 30)
    points = Points.from_arrays([1e9, 0.0], [1e9, 0.0], [0, 1], LEGEND, 4326)
    mask = rasterize_points(points, grid)
    assert (len(mask), mask.outside) == (0, 2)
    assert mask.counts().tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", sorted(GRIDS))
@pytest.mark.parametrize("range_px", [4_000_000, 50])
def test_polygons_and_lines_equal_gdal(name, range_px, write_layer, monkeypatch):
    monkeypatch.setattr("geopointseg.labels.sparse_mask._RANGE_PX", range_px)
    grid = Grid(UTM, GRIDS[name], 40, 30)
    corners = [(3.2, 2.1), (30.7, 5.3), (22.4, 28.9), (9.6, 12.2)]
    x, y = grid.pixel_to_world(*zip(*corners, strict=True))
    polygon = shapely.Polygon(zip(x, y, strict=True))
    x, y = grid.pixel_to_world([-5, 35.3], [-3, 33.3])
    line = shapely.LineString(zip(x, y, strict=True))
    for shape in (polygon, line):
        points = read_points(write_layer("a.gpkg", [shape], code=[20]), legend=LEGEND)
        burnt = rasterio.features.rasterize(
            [(shape, 1)],
            out_shape=grid.shape,
            transform=grid.transform,
            fill=UNLABELLED,
            dtype="int16",
        )
        mask = rasterize_points(points, grid)
        np.testing.assert_array_equal(dense(mask), burnt)
        assert (burnt == 1).sum() == len(mask) > 10


def test_overlapping_polygons_conflict_pixel_by_pixel(write_layer, grid):
    boxes = [
        shapely.box(500_000, 5_699_900, 500_100, 5_700_000),
        shapely.box(500_050, 5_699_900, 500_200, 5_700_000),
    ]
    mask = rasterize_points(read_points(write_layer("a.gpkg", boxes, code=[1, 2])), grid)
    assert mask.counts().tolist() == [50, 100]
    assert mask.ties == 50


def test_from_array_round_trip(grid):
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 3, grid.shape)
    weight = rng.random(grid.shape, dtype=np.float32)
    mask = SparseMask.from_array(labels, grid, LEGEND, weight)
    np.testing.assert_array_equal(dense(mask), labels)
    np.testing.assert_array_equal(mask.window(grid.window)[1], np.where(labels >= 0, weight, 0))
    kept = mask.select(mask.class_index == 2)
    np.testing.assert_array_equal(dense(kept), np.where(labels == 2, 2, UNLABELLED))


class TestWrite:
    def test_codes_nodata_names_and_colours(self, tmp_path):
        grid = Grid(UTM, GRIDS["rotated"], 700, 1100)
        points = make_points(grid, [0.5, 699.5, 600.5], [0.5, 1099.5, 20.5], [0, 1, 2])
        mask = rasterize_points(points, grid)
        path = write_mask(mask, tmp_path / "mask.tif")
        with rasterio.open(path) as dataset:
            codes = dataset.read(1)
            assert dataset.crs == grid.crs
            assert dataset.transform == grid.transform
            assert dataset.profile["tiled"]
            assert dataset.nodata not in LEGEND.codes
            assert (codes == dataset.nodata).sum() == codes.size - 3
            assert [codes[0, 0], codes[699, 1099], codes[600, 20]] == [0, 20, 255]
            assert dataset.colormap(1)[20][:3] == tuple(LEGEND.rgb[1].tolist())
        again = ClassMap.open(path)
        assert again.legend == LEGEND
        np.testing.assert_array_equal(again.read()[0], dense(mask))

    def test_size_and_time_follow_the_labels_not_the_grid(self, tmp_path):
        grid = Grid(UTM, GRIDS["north-up"], 60_000, 60_000)
        path = write_mask(
            rasterize_points(make_points(grid, [5e4], [5e4], [1]), grid), tmp_path / "m.tif"
        )
        assert path.stat().st_size < 500_000
        with rasterio.open(path) as dataset:
            assert dataset.read(1, window=Window(50_000, 50_000, 1, 1))[0, 0] == 20
            assert dataset.read(1, window=Window(0, 0, 1, 1))[0, 0] == dataset.nodata

    def test_more_than_255_classes(self, tmp_path, grid):
        legend = Legend.from_names([f"c{i}" for i in range(300)])
        labels = np.arange(grid.height * grid.width).reshape(grid.shape) % 301 - 1
        path = write_mask(SparseMask.from_array(labels, grid, legend), tmp_path / "m.tif")
        np.testing.assert_array_equal(ClassMap.open(path).read()[0], labels)

    def test_imagery_is_kept_and_masks_are_replaced(self, tmp_path, grid, write_scene):
        mask = SparseMask.from_array(np.full(grid.shape, UNLABELLED), grid, LEGEND)
        write_scene(np.full((1, *grid.shape), 7, dtype=np.uint8))
        with pytest.raises(OutputError, match=r"is a raster that is no mask, such as a scene"):
            write_mask(mask, tmp_path / "scene.tif")
        assert not list(tmp_path.glob("*.qml"))
        for _ in range(2):
            write_mask(mask, tmp_path / "mask.tif")

    def test_missing_folder(self, tmp_path, grid):
        mask = SparseMask.from_array(np.full(grid.shape, UNLABELLED), grid, LEGEND)
        with pytest.raises(OutputError, match=r"folder .* does not exist"):
            write_mask(mask, tmp_path / "no" / "mask.tif")


def test_pixels_of_places_include_the_left_and_upper_edges_only():
    grid = Grid(CRS.from_epsg(32633), Affine(10, 0, 5e5, 0, -10, 5.7e6), 3, 2)
    x = np.array([5e5, 5e5 + 19.99, 5e5 + 20, 5e5, np.inf])
    y = np.array([5.7e6, 5.7e6 - 29.99, 5.7e6, 5.7e6 - 30, 5.7e6])
    row, col = find_pixels(x, y, grid.crs, grid)
    assert (row.tolist(), col.tolist()) == ([0, 2, -1, -1, -1], [0, 1, -1, -1, -1])
    lonlat = CRS.from_epsg(4326)
    inner = transform_coordinates(5e5 + np.array([5, 15]), 5.7e6 - np.array([5, 25]), grid.crs, lonlat)  # fmt: skip
    row, col = find_pixels(*inner, lonlat, grid)
    assert (row.tolist(), col.tolist()) == ([0, 2], [0, 1])
