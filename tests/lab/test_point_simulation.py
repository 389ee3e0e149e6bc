from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod
from rasterio.crs import CRS
from scipy.ndimage import label

from geopointseg.errors import ConfigError, PointsError
from geopointseg.lab.dense_mask import DenseMask
from geopointseg.lab.pixel_drawing import PLACEMENTS, boundary_zone, label_objects, random_numbers
from geopointseg.lab.point_simulation import simulate_points
from geopointseg.labels.sparse_mask import rasterize_points
from geopointseg.legend import Legend
from geopointseg.raster.class_map import write_class_map
from geopointseg.raster.coordinates import geodetic_coordinates
from geopointseg.raster.grid import Grid

LEGEND = Legend.from_names(["field", "wood", "town", "never"], codes=[10, 20, 0, 99])
UTM = CRS.from_epsg(32633)


def patches(seed=0, name="a.tif", height=120, width=150, left=500_000) -> DenseMask:
    """A mask of square patches of three classes (code 99 never occurs) with an unlabelled corner."""
    rng = np.random.default_rng(seed)
    coarse = rng.choice(3, (height // 10, width // 10), p=[0.6, 0.3, 0.1]).astype(np.int16)
    labels = np.kron(coarse, np.ones((10, 10), np.int16))
    labels[:15, :15] = -1
    return DenseMask(
        labels, Grid(UTM, Affine(2, 0, left, 0, -2, 5_700_000), height, width), LEGEND, name
    )


def pixels_of(points, mask) -> tuple[np.ndarray, np.ndarray]:
    row, col = mask.grid.world_to_pixel(points.x, points.y)
    return row.astype(int), col.astype(int)


def keys(points) -> set[tuple[float, float, int]]:
    return set(zip(points.x.tolist(), points.y.tolist(), points.codes.tolist(), strict=True))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 999),
    per_class=st.integers(1, 60),
    placement=st.sampled_from([p for p in PLACEMENTS if p != "uniform"]),
)
def test_as_many_of_each_class_as_wanted_and_every_label_is_true(seed, per_class, placement):
    mask = patches(seed % 5)
    points = simulate_points(mask, per_class=per_class, placement=placement, seed=seed)
    assert points.legend.codes.tolist() == [0, 10, 20]
    assert points.counts().tolist() == [per_class] * 3
    assert len(keys(points)) == len(points)
    row, col = pixels_of(points, mask)
    np.testing.assert_array_equal(LEGEND.codes[mask.class_index[row, col]], points.codes)
    sparse = rasterize_points(points, mask.grid)
    assert (len(sparse), sparse.conflicts, sparse.outside) == (len(points), 0, 0)


@settings(max_examples=20, deadline=None)
@given(
    small=st.integers(1, 20),
    more=st.integers(0, 30),
    seed=st.integers(0, 99),
    placement=st.sampled_from(PLACEMENTS),
)
def test_a_larger_budget_contains_the_smaller(small, more, seed, placement):
    masks = [patches(1, "a.tif"), patches(2, "b.tif", left=600_000)]
    first, second = (
        simulate_points(masks, per_class=n, placement=placement, seed=seed)
        for n in (small, small + more)
    )
    assert keys(first) <= keys(second)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_same_seed_same_points_and_other_seed_others(placement):
    first, again, other = (
        simulate_points(patches(), per_class=20, placement=placement, seed=s) for s in (5, 5, 6)
    )
    assert keys(first) == keys(again) != keys(other)


def test_images_do_not_influence_each_other():
    a, b = patches(1, "a.tif"), patches(2, "b.tif", left=600_000)
    alone = simulate_points(a, per_class=10, each_image=True)
    together = simulate_points([b, a], per_class=10, each_image=True)
    assert keys(alone) <= keys(together)
    assert len(together) == 60


def test_a_shared_budget_is_drawn_evenly_from_all_images():
    masks = [patches(1, "a.tif"), patches(1, "b.tif", left=600_000)]
    points = simulate_points(masks, per_class=200)
    assert points.counts().tolist() == [200, 200, 200]
    assert 0.4 < (points.x < 550_000).mean() < 0.6


class TestBudget:
    def test_per_image_is_shared_by_the_classes(self):
        points = simulate_points([patches(1), patches(2, "b.tif", left=600_000)], per_image=20)
        assert len(points) == 40
        assert points.counts().min() >= 12

    def test_per_instance(self):
        mask = patches()
        points = simulate_points(mask, per_instance=2)
        objects = label_objects(mask)[pixels_of(points, mask)]
        assert set(np.bincount(objects)[1:].tolist()) == {2}
        assert len(np.unique(objects)) == label_objects(mask).max()

    def test_fraction(self):
        mask = patches()
        points = simulate_points(mask, fraction=0.01)
        wanted = np.maximum(np.round(mask.counts()[[2, 0, 1]] * 0.01), 1)
        assert points.counts().tolist() == wanted.tolist()

    def test_uniform_placement_follows_the_ground(self):
        mask = patches()
        points = simulate_points(mask, per_class=300, placement="uniform")
        assert len(points) == 900
        share = mask.counts()[[2, 0, 1]] / mask.counts().sum()
        np.testing.assert_allclose(points.counts() / 900, share, atol=0.06)

    @pytest.mark.filterwarnings("ignore:Fewer")
    def test_no_more_points_than_pixels(self):
        mask = patches()
        points = simulate_points(mask, per_class=10**6)
        assert len(points) == mask.counts().sum()

    def test_shortage_is_warned_about(self):
        with pytest.warns(
            UserWarning, match=r"Fewer points than the 5000 wanted could be drawn of town \(\d+\)"
        ):
            simulate_points(patches(), per_class=5000)

    @pytest.mark.parametrize(
        "options", [{"per_image": 500}, {"fraction": 0.9}, {"per_class": 500, "each_image": True}]
    )
    @pytest.mark.parametrize("placement", ["stratified", "uniform"])
    def test_shortage_by_distance_is_warned_about(self, options, placement):
        with pytest.warns(UserWarning, match=r"\d+ points could be drawn, and \d+ were wanted"):
            simulate_points(patches(), placement=placement, min_distance_m=200, **options)

    @pytest.mark.parametrize(
        "budget", [{}, {"per_class": 1, "fraction": 0.1}, {"per_class": 0}, {"fraction": -1.0}]
    )
    def test_exactly_one_budget(self, budget):
        with pytest.raises(
            ConfigError, match=r"Expected exactly one of per_class, per_image, per_instance"
        ):
            simulate_points(patches(), **budget)


class TestPlacement:
    def test_boundary_and_interior(self):
        mask = patches()
        zone = boundary_zone(mask.class_index, 3)
        near = simulate_points(mask, per_class=80, placement="boundary")
        far = simulate_points(mask, per_class=80, placement="interior")
        assert zone[pixels_of(near, mask)].all()
        assert not zone[pixels_of(far, mask)].any()

    def test_where_the_zone_is_too_small_the_rest_is_drawn_beside_it(self):
        labels = np.zeros((30, 30), np.int16)
        labels[:, 14:16] = 1
        mask = DenseMask(labels, Grid(UTM, Affine(1, 0, 0, 0, -1, 0), 30, 30), LEGEND, "thin")
        points = simulate_points(mask, per_class=10, placement="interior")
        assert points.counts().tolist() == [10, 10]

    @settings(max_examples=20, deadline=None)
    @given(seed=st.integers(0, 99), zone=st.integers(1, 4))
    def test_zone_equals_a_search_of_all_neighbours(self, seed, zone):
        labels = np.random.default_rng(seed).integers(-1, 3, (14, 17)).astype(np.int16)
        expected = np.zeros(labels.shape, bool)
        for row, col in np.ndindex(labels.shape):
            around = labels[
                max(row - zone, 0) : row + zone + 1, max(col - zone, 0) : col + zone + 1
            ]
            expected[row, col] = (
                labels[row, col] >= 0 and (around[around >= 0] != labels[row, col]).any()
            )
        np.testing.assert_array_equal(boundary_zone(labels, zone), expected)

    def test_strips_do_not_matter(self, monkeypatch):
        whole = {p: keys(simulate_points(patches(), per_class=30, placement=p)) for p in PLACEMENTS}
        monkeypatch.setattr("geopointseg.lab.dense_mask._RANGE_PX", 1000)
        for placement, expected in whole.items():
            assert keys(simulate_points(patches(), per_class=30, placement=placement)) == expected

    def test_every_object_gets_a_point_before_any_gets_a_second(self):
        mask = patches()
        objects = label_objects(mask)
        woods = np.unique(objects[mask.class_index == 1])
        points = simulate_points(mask, per_class=len(woods), placement="instance")
        found = objects[pixels_of(points.select(points.codes == 20), mask)]
        assert sorted(found.tolist()) == woods.tolist()

    def test_given_objects_are_used(self):
        mask = patches()
        halves = np.ones(mask.class_index.shape, np.int32)
        halves[:, 75:] = 2
        split = DenseMask(mask.class_index, mask.grid, LEGEND, "a.tif", halves)
        points = simulate_points(split, per_instance=7)
        assert len(points) == 14

    def test_objects_are_the_connected_areas(self):
        mask = patches()
        expected = sum(label(mask.class_index == i, structure=np.ones((3, 3)))[1] for i in range(3))
        assert label_objects(mask).max() == expected

    def test_clusters_lie_together(self):
        mask = patches()
        points = simulate_points(
            mask, per_class=50, placement="clustered", cluster_size=5, cluster_radius_m=8
        )
        scattered = simulate_points(mask, per_class=50)
        assert _nearest(points) < 0.5 * _nearest(scattered)

    @settings(max_examples=15, deadline=None)
    @given(distance=st.floats(2, 30), seed=st.integers(0, 20))
    @pytest.mark.filterwarnings("ignore:Fewer")
    def test_smallest_distance_is_kept(self, distance, seed):
        points = simulate_points(patches(), per_class=20, min_distance_m=distance, seed=seed)
        apart = np.hypot(points.x[:, None] - points.x, points.y[:, None] - points.y)
        assert apart[~np.eye(len(points), dtype=bool)].min() >= distance - 1e-6
        if distance < 20:
            assert points.counts().tolist() == [20, 20, 20]

    @pytest.mark.parametrize(
        ("crs", "transform"),
        [
            ("EPSG:4326", Affine(2e-4, 0, 20, 0, -2e-4, 68)),
            ("EPSG:4326", Affine(2e-4, 0, 179.99, 0, -2e-4, 68)),
            ("EPSG:3857", Affine(20, 0, 2226389, 0, -20, 10500000)),
            ("EPSG:3413", Affine(10, 0, -300, 0, -10, 300)),
            ("EPSG:2263", Affine(30, 0, 1e6, 0, -30, 2e5)),
        ],
    )
    def test_distances_errors_and_clusters_are_measured_on_the_ground(self, crs, transform):
        grid = Grid(CRS.from_user_input(crs), transform, 60, 60)
        labels = np.random.default_rng(0).integers(0, 2, (60, 60)).astype(np.int16)
        mask = DenseMask(labels, grid, Legend.from_names(["a", "b"]))

        def gaps(points, other):
            lon, lat = geodetic_coordinates(points.x, points.y, grid.crs)
            lon2, lat2 = geodetic_coordinates(other.x, other.y, grid.crs)
            shape = (len(lon), len(lon2))
            ends = (
                np.broadcast_to(v, shape).ravel() for v in (lon[:, None], lat[:, None], lon2, lat2)
            )
            return Geod(ellps="WGS84").inv(*ends)[2].reshape(shape)

        spread = simulate_points(mask, per_class=8, min_distance_m=60, seed=1)
        apart = gaps(spread, spread) + np.where(np.eye(len(spread)), np.inf, 0)
        assert 60 <= apart.min() < 110
        true, moved = (simulate_points(mask, per_class=300, position_error_m=e) for e in (0, 20))
        shift = np.diagonal(gaps(true, moved))
        assert np.sqrt(np.mean(shift**2) / 2) == pytest.approx(20, rel=0.1)
        near = simulate_points(
            mask, per_class=4, placement="clustered", cluster_size=4, cluster_radius_m=50
        )
        assert gaps(near, near).max() > 0
        for index in (0, 1):
            of_class = near.select(near.class_index == index)
            assert gaps(of_class, of_class).max() <= 100 + 1e-6

    def test_every_pixel_has_the_same_chance(self):
        labels = np.zeros((20, 20), np.int16)
        mask = DenseMask(labels, Grid(UTM, Affine(1, 0, 0, 0, -1, 0), 20, 20), LEGEND, "flat")
        hits = np.zeros((20, 20))
        for seed in range(300):
            hits[pixels_of(simulate_points(mask, per_class=40, seed=seed), mask)] += 1
        # binomial(300, 0.1): mean 30, standard deviation 5.2
        assert hits.mean() == 30
        assert hits.std() == pytest.approx(5.2, rel=0.2)
        assert abs(hits[:10].mean() - 30) < 1.5


class TestErrors:
    def test_label_noise_changes_about_that_share_to_any_other_class(self):
        mask = patches()
        clean = simulate_points(mask, per_class=300)
        noisy = simulate_points(mask, per_class=300, label_noise=0.2)
        wrong = clean.codes != noisy.codes
        np.testing.assert_array_equal(clean.x, noisy.x)
        assert wrong.mean() == pytest.approx(0.2, abs=0.04)
        assert set(noisy.codes[wrong & (clean.codes == 10)].tolist()) == {0, 20}

    def test_position_error_has_the_wanted_size_and_keeps_the_label(self):
        mask = patches(height=400, width=400)
        true = simulate_points(mask, per_class=300)
        moved = simulate_points(mask, per_class=300, position_error_m=6.0)
        np.testing.assert_array_equal(true.codes, moved.codes)
        assert np.std(np.r_[moved.x - true.x, moved.y - true.y]) == pytest.approx(6.0, rel=0.1)
        assert rasterize_points(moved, mask.grid).outside == 0

    def test_random_numbers_are_uniform_and_independent_between_streams(self):
        flat = np.arange(20_000)
        a, b = (random_numbers(flat, 3, "x", s) for s in ("a", "b"))
        np.testing.assert_allclose(np.histogram(a, 10, (0, 1))[0], 2000, atol=200)
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.02
        assert abs(np.corrcoef(a[1:], a[:-1])[0, 1]) < 0.02

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"placement": "interia"}, r"no placement 'interia'\. Did you mean 'interior'"),
            ({"label_noise": 2.0}, r"label noise is 2\.0\. Expected a share between 0 and 1"),
            (
                {"min_distance_m": -1.0},
                r"smallest distance is -1.0 m. Expected a finite number of at",
            ),
            (
                {"min_distance_m": np.nan},
                r"smallest distance is nan m. Expected a finite number of",
            ),
            (
                {"position_error_m": np.inf},
                r"The position error is inf m. Expected a finite number",
            ),
            (
                {"cluster_radius_m": np.nan},
                r"The cluster radius is nan m. Expected a finite number",
            ),
        ],
    )
    def test_impossible_settings(self, options, words):
        with pytest.raises(ConfigError, match=words):
            simulate_points(patches(), per_class=1, **options)

    def test_nothing_labelled(self):
        mask = patches()
        empty = DenseMask(np.full_like(mask.class_index, -1), mask.grid, LEGEND, "empty")
        with pytest.raises(
            PointsError, match=r"no labelled pixel to draw points from\. Expected classes"
        ):
            simulate_points(empty, per_class=5)


def test_from_a_file_in_another_crs_than_the_first(tmp_path):
    first, second = patches(1), patches(2)
    other = Grid(CRS.from_epsg(32632), second.grid.transform, *second.grid.shape)
    write_class_map(tmp_path / "a.tif", first.class_index, first.grid, LEGEND, cog=False)
    write_class_map(tmp_path / "b.tif", second.class_index, other, LEGEND, cog=False)
    points = simulate_points(
        [tmp_path / "a.tif", str(tmp_path / "b.tif")], per_class=20, each_image=True
    )
    assert points.crs == UTM
    assert rasterize_points(points, first.grid).counts().sum() == 60
    assert rasterize_points(points, other).counts().sum() == 60


def _nearest(points) -> float:
    apart = np.hypot(points.x[:, None] - points.x, points.y[:, None] - points.y)
    return float(np.median(np.where(np.eye(len(points), dtype=bool), np.inf, apart).min(axis=1)))
