from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS as ProjCRS
from pyproj import Geod, Transformer
from rasterio.crs import CRS

from geopointseg.errors import ConfigError, PointsError
from geopointseg.labels.block_split import (
    assign_blocks,
    deal_blocks,
    iterate_folds,
    require_out_of_reach,
    split_points,
    training_reach_m,
    within_reach,
)
from geopointseg.labels.points import Points
from geopointseg.legend import Legend
from geopointseg.raster.grid import Grid

LEGEND = Legend.from_names(["water", "forest", "town"])
UTM = CRS.from_epsg(32633)


def random_points(count=300, seed=0, extent_m=3000.0, crs=UTM) -> Points:
    rng = np.random.default_rng(seed)
    x, y = 500_000 + rng.random(count) * extent_m, 5_700_000 + rng.random(count) * extent_m
    index = rng.choice(3, count, p=[0.7, 0.25, 0.05])
    return Points.from_arrays(x, y, index, LEGEND, UTM).to_crs(crs)


class TestBlocks:
    @settings(max_examples=30, deadline=None)
    @given(size=st.floats(10, 2000), seed=st.integers(0, 9))
    def test_points_of_a_block_are_never_farther_apart_than_its_diagonal(self, size, seed):
        points = random_points(60, seed)
        block = assign_blocks(points, size)
        assert set(block.tolist()) == set(range(block.max() + 1))
        for number in np.unique(block):
            here = points.select(block == number)
            assert np.ptp(here.x) <= size
            assert np.ptp(here.y) <= size

    def test_the_same_ground_is_cut_alike_whichever_points_lie_on_it(self):
        points = random_points()
        some = np.arange(0, 300, 3)
        whole, part = assign_blocks(points, 500)[some], assign_blocks(points.select(some), 500)
        np.testing.assert_array_equal(whole[:, None] == whole, part[:, None] == part)

    @pytest.mark.parametrize("crs", [CRS.from_epsg(4326), CRS.from_epsg(3857)])
    def test_metres_are_metres_on_the_ground(self, crs):
        line = Points.from_arrays(
            500_000 + np.arange(0, 5000, 10), np.full(500, 5.7e6), [0] * 500, LEGEND, UTM
        )
        sizes = np.bincount(assign_blocks(line.to_crs(crs), 1000))
        assert np.sort(sizes)[-4:] == pytest.approx(100, abs=2)

    def test_feet_are_converted(self):
        line = Points.from_arrays(
            np.arange(0, 10_000, 10), np.zeros(1000), [0] * 1000, LEGEND, 2263
        )
        assert np.bincount(assign_blocks(line, 304.8))[1] == pytest.approx(100, abs=1)

    def test_size_must_be_positive(self):
        with pytest.raises(
            ConfigError, match=r"The block size is 0 m\. Expected a length above zero"
        ):
            assign_blocks(random_points(), 0)


class TestGround:
    """Buffers hold on the ground, by pyproj's geodesics, and drop nothing beyond the corner of their square."""

    @pytest.mark.parametrize("on_grid", [False, True])
    @pytest.mark.parametrize(
        ("crs", "left", "bottom", "extent"),
        [
            (3857, 2226389, 10500000, 20000),
            (3413, -100000, -3300000, 9000),
            (4326, 20, 68, 0.2),
            (4326, 179.9, 68, 0.2),
            (3832, 3330000, 8400000, 15000),
            (2263, 1e6, 2e5, 30000),
            (3413, -4000, -4000, 8000),
        ],
    )
    def test_buffers_hold_on_the_ground(self, crs, left, bottom, extent, on_grid):
        rng = np.random.default_rng(3)
        x, y = left + rng.random(400) * extent, bottom + rng.random(400) * extent
        points = Points.from_arrays(x, y, rng.integers(0, 3, 400), LEGEND, crs)
        test = np.arange(400) % 4 == 0
        side = extent / 100
        grid = Grid(points.crs, Affine(side, 0, left, 0, -side, bottom + extent), 100, 100)
        near = within_reach(points, ~test, test, 300.0, grid=grid if on_grid else None)
        known = ProjCRS(crs).geodetic_crs
        lon, lat = Transformer.from_crs(crs, known, always_xy=True).transform(x, y)
        geod = Geod(ellps="WGS84")
        gap = np.array(
            [geod.inv(np.full(test.sum(), a), np.full(test.sum(), b), lon[test], lat[test])[2].min()
             for a, b in zip(lon, lat, strict=True)]
        )  # fmt: skip
        assert 10 < near.sum() < 250
        assert (gap[~near & ~test] > 300).all()
        assert (gap[near] <= 300 * np.sqrt(2) * 1.01).all()

    def test_blocks_on_both_sides_of_180_degrees_are_whole(self):
        lon = np.linspace(179.5, 180.5, 2000)
        around = Points.from_arrays((lon + 180) % 360 - 180, np.full(2000, 60.0), [0] * 2000, LEGEND, 4326)  # fmt: skip
        sizes = np.bincount(assign_blocks(around, 5000))
        assert np.median(sizes) == pytest.approx(5000 / 27.9, rel=0.02)


class TestFolds:
    @pytest.mark.filterwarnings("ignore:The part")
    @settings(max_examples=20, deadline=None)
    @given(folds=st.integers(2, 6), seed=st.integers(0, 99))
    def test_each_point_is_in_one_fold_and_blocks_stay_whole(self, folds, seed):
        points = random_points(200, seed)
        split = split_points(points, block_size_m=400, folds=folds, seed=seed).split
        assert set(split.tolist()) == {f"fold{n}" for n in range(1, folds + 1)}
        block = assign_blocks(points, 400)
        for number in np.unique(block):
            assert len(set(split[block == number].tolist())) == 1

    @pytest.mark.parametrize("option", [{"buffer_m": 400}, {"validation_fraction": 0.2}])
    def test_what_folds_cannot_have_is_refused(self, option):
        with pytest.raises(ConfigError, match=r"with 3 folds\. Expected it with a test fraction"):
            split_points(random_points(), block_size_m=200, folds=3, **option)

    def test_classes_are_balanced_over_folds(self):
        points = random_points(600)
        split = split_points(points, block_size_m=200, folds=5).split
        counts = np.array([points.select(split == f"fold{n}").counts() for n in range(1, 6)])
        assert (
            np.abs(counts - counts.mean(axis=0)) <= np.maximum(0.1 * counts.mean(axis=0), 2)
        ).all()

    def test_same_seed_same_folds(self):
        points = random_points()
        first, again, other = (
            split_points(points, block_size_m=300, folds=4, seed=s).split for s in (1, 1, 2)
        )
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()

    def test_rounds_hold_out_each_fold_once_and_keep_the_buffer(self):
        points = split_points(random_points(), block_size_m=600, folds=4)
        rounds = list(iterate_folds(points, buffer_m=150))
        assert [r.name for r in rounds] == ["fold1", "fold2", "fold3", "fold4"]
        assert sum(len(r.test) for r in rounds) == len(points)
        for r in rounds:
            assert len(r.train) + len(r.test) + r.left_out == len(points)
            assert r.left_out > 0
            require_out_of_reach(r.train, r.test, 150)

    def test_ten_folds_come_in_their_order(self):
        points = split_points(random_points(), block_size_m=300, folds=11)
        assert [r.name for r in iterate_folds(points)] == [f"fold{n}" for n in range(1, 12)]

    def test_points_without_folds_are_refused(self):
        with pytest.raises(
            PointsError, match=r"name 0 folds in 'split'\. Expected at least two; make them"
        ):
            list(iterate_folds(random_points()))

    def test_fewer_blocks_than_folds_are_refused(self):
        with pytest.raises(
            PointsError, match=r"The 300 points lie in 1 block of 1e\+08 m\. Expected at least 5"
        ):
            split_points(random_points(), block_size_m=1e8, folds=5)

    def test_a_class_in_too_few_blocks_is_warned_about(self):
        points = random_points(30)
        index = np.where(np.arange(30) == 3, 2, np.arange(30) % 2)
        rare = Points.from_arrays(points.x, points.y, index, LEGEND, UTM)
        with pytest.warns(
            UserWarning, match=r"has no points of town: their points lie in too few blocks"
        ):
            split_points(rare, block_size_m=100, folds=3)


class TestHoldOut:
    @pytest.mark.filterwarnings("ignore:The part")
    @settings(max_examples=20, deadline=None)
    @given(fraction=st.floats(0.1, 0.6), seed=st.integers(0, 99))
    def test_share_of_the_test_points(self, fraction, seed):
        points = random_points(400, seed)
        split = split_points(points, block_size_m=200, test_fraction=fraction, seed=seed).split
        assert (split == "test").mean() == pytest.approx(fraction, abs=0.03)

    def test_validation_beside_test(self):
        points = random_points(400)
        split = split_points(
            points, block_size_m=200, test_fraction=0.3, validation_fraction=0.2
        ).split
        shares = {name: (split == name).mean() for name in ("train", "validation", "test")}
        assert shares == pytest.approx({"train": 0.5, "validation": 0.2, "test": 0.3}, abs=0.02)

    def test_a_buffer_over_everything_is_refused(self):
        with pytest.raises(PointsError, match="training points lie in the buffer"):
            split_points(random_points(100), block_size_m=500, test_fraction=0.3, buffer_m=1e5)

    def test_buffer_takes_training_points_only(self):
        points = random_points(400)
        plain = split_points(points, block_size_m=500, test_fraction=0.3)
        buffered = split_points(points, block_size_m=500, test_fraction=0.3, buffer_m=100)
        moved = plain.split != buffered.split
        assert set(plain.split[moved].tolist()) == {"train"}
        assert set(buffered.split[moved].tolist()) == {"buffer"}
        train, test = (buffered.select(buffered.split == name) for name in ("train", "test"))
        distance = np.maximum(np.abs(train.x[:, None] - test.x), np.abs(train.y[:, None] - test.y))
        assert distance.min() > 100
        require_out_of_reach(train, test, 100)

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({}, r"Expected exactly one of the two"),
            ({"folds": 3, "test_fraction": 0.3}, r"Expected exactly one of the two"),
            ({"folds": 1}, r"The number of folds is 1\. Expected 2 or more"),
            (
                {"test_fraction": 1.5},
                r"The test fraction is 1\.5 .* Expected shares between 0 and 1",
            ),
            ({"test_fraction": 0.6, "validation_fraction": 0.5}, r"leave points for training"),
            ({"test_fraction": np.nan}, r"The test fraction is nan .* Expected shares"),
            ({"test_fraction": 0.3, "buffer_m": np.nan}, r"buffer is nan m. Expected a finite"),
            ({"test_fraction": 0.3, "block_size_m": np.inf}, r"size is inf m. Expected a length"),
        ],
    )
    def test_impossible_settings(self, options, words):
        with pytest.raises(ConfigError, match=words):
            split_points(random_points(), **{"block_size_m": 100} | options)

    def test_without_a_block_size_the_variogram_gives_one(self):
        split = split_points(random_points(), test_fraction=0.3).split
        assert set(split.tolist()) == {"train", "test"}


class TestReach:
    def test_reach_is_receptive_field_plus_half_a_chip(self):
        assert training_reach_m(100, 30, 0.5) == 40

    @pytest.mark.parametrize(("distance", "fails"), [(99.0, True), (101.0, False)])
    def test_a_test_point_in_the_corner_of_a_chip_is_within_reach(self, distance, fails):
        train = Points.from_arrays([0.0], [0.0], [0], LEGEND, UTM)
        test = Points.from_arrays([distance, 500.0], [distance, 500.0], [0, 1], LEGEND, UTM)
        if fails:
            with pytest.raises(
                PointsError,
                match=r"1 of 2 test points lie within 100 m of a training point.*with a buffer of 100 m",
            ):
                require_out_of_reach(train, test, 100)
        else:
            require_out_of_reach(train, test, 100)

    def test_nearness_along_the_rows_of_a_rotated_grid(self):
        grid = Grid(UTM, Affine(8, 6, 0, 6, -8, 0), 100, 100)
        x, y = grid.pixel_to_world([50, 50], [50, 60.9])
        points = Points.from_arrays(x, y, [0, 1], LEGEND, UTM)
        first = np.array([True, False])
        assert within_reach(points, first, ~first, 110, grid=grid).tolist() == [True, False]
        assert within_reach(points, first, ~first, 108, grid=grid).tolist() == [False, False]
        assert within_reach(points, first, ~first, 100).tolist() == [True, False]

    def test_points_in_different_crs(self):
        points = random_points(50)
        other = points.to_crs(CRS.from_epsg(4326))
        with pytest.raises(PointsError, match=r"50 of 50 test points"):
            require_out_of_reach(points, other, 1.0)


@settings(max_examples=30, deadline=None)
@given(
    blocks=st.lists(st.lists(st.integers(0, 20), min_size=3, max_size=3), min_size=6, max_size=40),
    parts=st.integers(2, 5),
)
def test_dealing_never_leaves_a_part_empty(blocks, parts):
    counts = np.array(blocks)
    part = deal_blocks(counts, np.full(parts, 1 / parts))
    assert set(part.tolist()) == set(range(parts))
