from __future__ import annotations

import json
from dataclasses import replace

import fiona
import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS

from geopointseg.errors import OutputError, PointsError
from geopointseg.labels.block_split import split_points
from geopointseg.labels.point_check import check_points, questionable_points, write_questionable
from geopointseg.labels.points import Points, read_points, write_points
from geopointseg.legend import Legend

LEGEND = Legend.from_names(["water", "forest", "town"])


@pytest.fixture
def scene(write_scene):
    """A scene of 200 x 300 pixels whose columns from 250 on are nodata."""
    image = np.ones((2, 200, 300), dtype=np.uint8)
    image[:, :, 250:] = 0
    return write_scene(image, nodata=0)


def at_pixels(scene, /, row, col, index, **options) -> Points:
    x, y = scene.grid.pixel_to_world(row, col)
    return Points.from_arrays(x, y, index, LEGEND, scene.grid.crs, **options)


def good_points(scene, count=90, seed=0, **options) -> Points:
    rng = np.random.default_rng(seed)
    flat = rng.choice(200 * 250, count, replace=False)
    return at_pixels(scene, flat // 250 + 0.5, flat % 250 + 0.5, np.arange(count) % 3, **options)


def kinds(check) -> dict[str, str]:
    return {problem.kind: problem.severity for problem in check.problems}


def message(check, kind) -> str:
    return next(problem.message for problem in check.problems if problem.kind == kind)


def test_good_points_have_no_warning(scene):
    check = check_points(good_points(scene, 150), scene)
    assert check.usable
    assert {p.severity for p in check.problems} <= {"note"}
    assert [row.usable for row in check.classes] == [50, 50, 50]
    assert not (check.reasons != "").any()
    check.raise_if_unusable()


def test_every_point_is_told_what_is_wrong_with_it(scene):
    row = [10.5, 10.2, 20.5, 20.1, 30.5, -3.0, 40.5]
    col = [10.5, 10.9, 20.5, 20.9, 260.5, 5.0, 40.5]
    check = check_points(at_pixels(scene, row, col, [0, 1, 2, 2, 0, 1, 1]), scene)
    assert check.reasons.tolist() == [
        "another class in the same pixel",
        "another class in the same pixel",
        "",
        "same class again in the same pixel",
        "on nodata",
        "outside every scene",
        "",
    ]
    facts = {row.name: row for row in check.classes}
    assert (facts["water"].points, facts["water"].usable, facts["water"].nodata) == (2, 0, 1)
    assert (facts["forest"].outside, facts["forest"].conflicts, facts["forest"].usable) == (1, 1, 1)
    assert (facts["town"].duplicates, facts["town"].usable) == (1, 1)
    assert kinds(check)["absent class"] == "warning"


class TestErrors:
    def test_no_point_on_the_scene_gives_both_extents(self, scene):
        points = Points.from_arrays(
            [600_000, 600_100], [5_800_000, 5_800_200], [0, 1], LEGEND, 32633
        )
        check = check_points(points, scene)
        with pytest.raises(
            PointsError,
            match=r"None of the 2 points lies on the scene 'scene\.tif'\. In EPSG:32633, the points \(EPSG:32633\) reach "
            r"over x 600000 to 600100, y 5800000 to 5800200, 'scene\.tif' over x 500000 to 503000, y 5698000 to 5700000, "
            r"139 km apart\. Expected points on the scene; check that points and scene belong together",
        ):
            check.raise_if_unusable()
        assert not check.usable

    def test_swapped_axes_are_recognized(self, scene):
        points = good_points(scene).to_crs(CRS.from_epsg(4326))
        swapped = Points.from_arrays(points.y, points.x, points.class_index, LEGEND, 4326)
        assert "x and y seem to be swapped" in message(check_points(swapped, scene), "outside")

    def test_a_wrongly_assigned_crs_is_recognized(self, scene):
        points = good_points(scene)
        wrong = Points.from_arrays(points.x, points.y, points.class_index, LEGEND, 32632)
        text = message(check_points(wrong, scene), "outside")
        assert "read as EPSG:32633 they would lie on it" in text

    def test_degrees_with_a_metric_crs_are_recognized(self, scene):
        points = Points.from_arrays([15.0, 15.1], [51.4, 51.5], [0, 1], LEGEND, 32633)
        assert "look like degrees" in message(check_points(points, scene), "outside")

    def test_impossible_coordinates(self, scene):
        points = Points.from_arrays([5e5, 6e5], [5.7e6, 5.8e6], [0, 1], LEGEND, 4326)
        text = message(check_points(points, scene), "outside")
        assert "impossible in their CRS, EPSG:4326" in text

    def test_all_on_nodata(self, scene):
        check = check_points(at_pixels(scene, [5, 6], [260, 270], [0, 1]), scene)
        with pytest.raises(
            PointsError,
            match=r"All 2 points on the scenes lie where the image is nodata\. Expected",
        ):
            check.raise_if_unusable()

    def test_one_class_only(self, scene):
        check = check_points(at_pixels(scene, [5, 6, 7], [5, 6, 260], [0, 0, 1]), scene)
        with pytest.raises(
            PointsError,
            match=r"only points of 'water' on the scenes .*Expected at least two classes",
        ):
            check.raise_if_unusable()

    def test_no_scene(self, scene):
        with pytest.raises(PointsError, match=r"No scene was given to check the points against"):
            check_points(good_points(scene), [])


class TestWarnings:
    def test_long_lists_of_classes_are_cut(self, scene):
        legend = Legend.from_names([f"plot {i}" for i in range(300)])
        place = good_points(scene, 300)
        points = Points.from_arrays(place.x, place.y, np.arange(300), legend, place.crs)
        assert message(check_points(points, scene), "few points").count("plot") == 12

    def test_few_points_and_imbalance(self, scene):
        points = good_points(scene, 400)
        index = np.where(np.arange(400) < 5, 1, 0)
        check = check_points(
            at_pixels(scene, *scene.grid.world_to_pixel(points.x, points.y), index), scene
        )
        assert "forest (5). Expected 20 or more per class" in message(check, "few points")
        assert "'water' has 395 usable points, 'forest' 5" in message(check, "imbalance")
        assert "town" in message(check, "absent class")

    def test_all_within_one_chip(self, scene):
        check = check_points(at_pixels(scene, [50, 70, 60], [50, 60, 80.5], [0, 1, 2]), scene)
        assert "within 20 x 31 pixels, less than one training chip (96)" in message(
            check, "one chip"
        )

    def test_clustered_points_are_noted_and_random_ones_are_not(self, scene):
        rng = np.random.default_rng(1)
        row, col = (
            rng.choice(middle, 120) + rng.normal(0, 3, 120)
            for middle in (np.array([40, 90, 150.0]), np.array([60, 120, 200.0]))
        )
        check = check_points(at_pixels(scene, row, col, np.arange(120) % 3), scene)
        assert check.spread.ratio < 0.5
        assert "hold out by blocks" in message(check, "clustered")
        assert "clustered" not in kinds(check_points(good_points(scene, 120), scene))

    def test_held_out_points_near_training(self, scene):
        points = good_points(scene, 60, split=["train", "test"] * 30)
        check = check_points(points, scene)
        assert "30 held-out points lie within a chip (96 pixels)" in message(check, "near training")
        assert (check.reasons[points.split == "test"] != "").any()
        assert not (check.reasons[points.split == "train"] != "").any()

    def test_split_by_blocks_with_a_buffer_passes(self, scene):
        points = split_points(
            good_points(scene, 150), block_size_m=1000, test_fraction=0.1, buffer_m=960
        )
        assert (points.split == "train").any()
        assert "near training" not in kinds(check_points(points, scene))

    def test_neighbouring_folds_are_a_note(self, scene):
        points = split_points(good_points(scene, 90), block_size_m=600, folds=3)
        assert kinds(check_points(points, scene))["near fold"] == "note"

    def test_names_that_differ_in_capitals_only(self, scene):
        legend = Legend.from_names(["forest", "Forest ", "water"])
        points = good_points(scene)
        named = Points.from_arrays(points.x, points.y, points.class_index, legend, points.crs)
        assert "differ only in capitals, spaces or the encoding" in message(
            check_points(named, scene), "similar names"
        )

    def test_undeclared_nan(self, write_scene):
        image = np.ones((1, 50, 60), dtype=np.float32)
        image[:, :10] = np.nan
        scene = write_scene(image)
        check = check_points(at_pixels(scene, [5, 20, 30], [5, 20, 30], [0, 1, 2]), scene)
        assert "NaN although the file does not declare NaN" in message(check, "undeclared nodata")
        assert check.reasons.tolist() == ["on nodata", "", ""]

    def test_accuracy_of_the_transformation(self, write_scene):
        scene = write_scene(
            np.ones((1, 200, 300), np.uint8), transform=Affine(0.1, 0, 5e5, 0, -0.1, 5.7e6)
        )
        nad27 = CRS.from_epsg(4267)
        points = good_points(scene, 90).to_crs(nad27)
        text = message(check_points(points, scene), "crs accuracy")
        assert "with unknown accuracy (PROJ has no shift between their datums) against" in text
        exact = good_points(scene, 90).to_crs(CRS.from_epsg(4326))
        assert kinds(check_points(exact, scene))["crs"] == "note"

    def test_dropped_features(self, write_layer, scene):
        geometry = [shapely.Point(500_100, 5_699_900), shapely.Point(500_200, 5_699_900), None]
        points = read_points(write_layer("a.gpkg", geometry, code=[1, 2, 2]))
        text = message(check_points(points, scene), "dropped")
        assert "a.gpkg' were left out on reading: 1 without geometry" in text


def test_several_scenes_and_points_that_name_theirs(write_scene):
    first = write_scene(np.ones((1, 50, 60), np.uint8), "first.tif", nodata=0)
    second = write_scene(np.zeros((1, 50, 60), np.uint8), "second.tif", nodata=0)
    row, col = np.array([10.0, 20, 30, 40]), np.array([10.0, 20, 30, 40])
    points = at_pixels(
        first, row, col, [0, 1, 0, 1], scene=["first.tif", "second", "", "third.tif"]
    )
    check = check_points(points, [first.path, second])
    assert check.reasons.tolist() == ["", "on nodata", "", "outside every scene"]


def test_polygons_are_usable_and_never_conflict_as_a_whole(write_layer, scene):
    boxes = [
        shapely.box(500_100, 5_699_500, 500_200, 5_699_600), shapely.box(500_150, 5_699_500, 500_300, 5_699_600),
        shapely.box(502_600, 5_699_500, 502_700, 5_699_600),
    ]  # fmt: skip
    check = check_points(read_points(write_layer("a.gpkg", boxes, code=[1, 2, 2])), scene)
    assert check.reasons.tolist() == ["", "", "on nodata"]


@pytest.mark.parametrize("profile", [{}, {"tiled": True, "blockxsize": 64, "blockysize": 32}])
def test_validity_is_read_right_from_strips_and_tiles(write_scene, profile):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 2, (1, 300, 400)).astype(np.uint8)
    scene = write_scene(image, nodata=0, **profile)
    flat = rng.choice(300 * 400, 2000, replace=False)
    points = at_pixels(scene, flat // 400 + 0.5, flat % 400 + 0.5, flat % 3)
    check = check_points(points, scene)
    np.testing.assert_array_equal(check.reasons == "on nodata", image.ravel()[flat] == 0)


def test_json_and_text_tell_the_same(scene):
    check = check_points(good_points(scene, 30), scene)
    facts = json.loads(json.dumps(check.to_json(), allow_nan=False))
    assert facts["points"] == 30
    assert facts["usable"] is True
    assert [row["points"] for row in facts["classes"]] == [10, 10, 10]
    assert {p["message"] for p in facts["problems"]} == {p.message for p in check.problems}
    headings, rows = check.to_table()
    assert all(len(row) == len(headings) for row in rows)
    text = str(check)
    assert "The points are usable." in text
    assert "forest" in text


def test_questionable_points_are_written_with_their_reasons(scene, tmp_path):
    check = check_points(
        at_pixels(scene, [10, 20, 30], [10, 260, 30], [0, 1, 2], fid=[7, 8, 9]), scene
    )
    points, reasons = questionable_points(check)
    assert (points.fid.tolist(), reasons.tolist()) == ([8], ["on nodata"])
    write_questionable(check, tmp_path / "q.gpkg")
    with fiona.open(tmp_path / "q.gpkg", layer="questionable_points") as layer:
        found = [dict(feature["properties"]) for feature in layer]
    assert found == [{"class": 2, "reason": "on nodata", "source_fid": 8}]


def test_questionable_points_do_not_replace_the_points(scene, tmp_path):
    write_points(good_points(scene, 30), tmp_path / "p.gpkg")
    check = check_points(read_points(tmp_path / "p.gpkg"), scene)
    with pytest.raises(OutputError, match="is also a file that is read"):
        write_questionable(check, tmp_path / "p.gpkg")
    assert len(read_points(tmp_path / "p.gpkg")) == 30


def test_real_points_are_counted_as_known(real_data):
    folder = real_data / "nc_landsat7"
    points = read_points(folder / "landsat96_points.shp", class_field="id")
    check = check_points(points, folder / "nc_landsat7_5band.tif")
    assert sum(r.points - r.outside - r.nodata for r in check.classes) == 752
    assert check.usable


class TestOwnFields:
    """A survey's fields that are called scene, weight and split, and mean something else."""

    def test_a_scene_that_is_no_raster_is_named_and_explained(self, scene):
        points = replace(good_points(scene, source="p.gpkg"), scene=np.full(90, "summer"))
        check = check_points(points, scene)
        with pytest.raises(PointsError) as refused:
            check.raise_if_unusable()
        assert str(refused.value) == (
            "The field 'scene' of 'p.gpkg' holds 'summer', which none of the rasters is called ('scene.tif'). It names "
            "the raster that a point belongs to, so no point would be used. Rename the field if it means something else, or "
            "give the names of rasters."
        )
        assert [p.kind for p in check.problems if p.severity == "error"] == ["scene field"]

    def test_some_foreign_scenes_are_left_out_and_told(self, scene):
        names = np.where(np.arange(90) < 30, "far.tif", np.where(np.arange(90) < 60, "", "scene"))
        check = check_points(replace(good_points(scene), scene=names), scene)
        assert check.usable
        assert kinds(check)["scene field"] == "warning"
        assert "so 30 of 90 points would not be used" in message(check, "scene field")

    @pytest.mark.parametrize(
        ("idle", "severity", "said"),
        [
            ((0, 1, 2), "error", "is 0 for all 90 points. It is the weight of each point in the training, so none would count."),
            ((0, 1), "error", "is 0 for all 60 points of 'water', 'forest'. "),
            ((0,), "warning", ("is 0 for all 30 points of 'water'. It is the weight of each point in the training, so the "
             "map will not show this class. Rename the field")),
        ],
    )  # fmt: skip
    def test_weights_of_zero(self, scene, idle, severity, said):
        weight = np.where(np.isin(np.arange(90) % 3, idle), 0.0, 1.0)
        check = check_points(good_points(scene, weight=weight), scene)
        assert kinds(check)["weights"] == severity
        assert said in message(check, "weights")
        assert [row.usable for row in check.classes] == [0 if k in idle else 30 for k in range(3)]
        assert check.usable == (severity == "warning")

    def test_test_points_need_no_weight(self, scene):
        split = np.where(np.arange(90) < 45, "train", "test")
        check = check_points(good_points(scene, weight=split == "train", split=split), scene)
        assert kinds(check)["weights"] == "note"

    def test_weights_in_use_are_told(self, scene):
        check = check_points(good_points(scene, weight=np.linspace(0.5, 80, 90)), scene)
        assert "gives the points weights of 0.5 to 80." in message(check, "weights")
        assert "weights" not in kinds(check_points(good_points(scene), scene))


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        ([np.nan, 2.0, 0.0], [1, 2, 0]),
        (["1", "0.5", None], [1, 0.5, 1]),
        ([1e-300, 1.0, 1.0], [1e-30, 1, 1]),
        ([True, False, True], [1, 0, 1]),
    ],
)
def test_weights_that_are_read(write_layer, weight, expected):
    path = write_layer("a.gpkg", shapely.points([1, 2, 3], [1, 2, 3]), c=[1, 2, 3], Weight=weight)
    np.testing.assert_allclose(read_points(path, class_field="c").weight, np.float32(expected))


@pytest.mark.parametrize(
    ("field", "values", "said"),
    [
        ("weight", [-1.0, 1, 2], r"'weight' of '.*' holds -1 to 2. Expected weights of zero to 1e\+30"),
        ("weight", [np.inf, 1, 2], r"'weight' of '.*' holds 1 to inf. Expected weights"),
        ("weight", [1e39, 1, 2], r"'weight' of '.*' holds 1 to 1e\+39. Expected weights"),
        ("weight", ["heavy", "1", "2"], r"'weight' of '.*' holds no numbers \(.*heavy.*\). Expected numbers"),
        ("weight", np.array(["2020-01-01"] * 3, "M8[ms]"), r"'weight' of '.*' holds no numbers \(.*2020-01-01"),
        ("split", ["A", "B", "C"], r"'split' of '.*' holds 'A'. Expected train, .*it names the use of each point"),
        ("split", [0.5, 1, 2], r"'split' of '.*' holds '0.5'. Expected train, "),
    ],
)  # fmt: skip
def test_fields_of_another_meaning_are_named_on_reading(write_layer, field, values, said):
    path = write_layer(
        "a.gpkg", shapely.points([1, 2, 3], [1, 2, 3]), c=[1, 2, 3], **{field: values}
    )
    with pytest.raises(PointsError, match=said):
        read_points(path, class_field="c")


def test_scenes_that_are_numbers_or_dates_are_read_as_text(write_layer):
    for values, said in (([2020.0, np.nan, 2021.5], ["2020", "", "2021.5"]), ([7, 8, 9], list("789"))):  # fmt: skip
        path = write_layer(
            "a.gpkg", shapely.points([1, 2, 3], [1, 2, 3]), c=[1, 2, 3], scene=values
        )
        assert read_points(path, class_field="c").scene.tolist() == said


def test_classes_that_are_one_number_are_told_all_together(scene):
    names = ["1", "01", "+1", "1.0", "\uff11", "1,5", "2"]
    points = replace(good_points(scene), legend=Legend.from_names(names))
    [problem] = [p for p in check_points(points, scene).problems if p.kind == "similar names"]
    assert problem.message.startswith(
        "The classes '1' and '01' and '+1' and '1.0' and '\uff11' are one number in several spellings"
    )


def test_class_names_are_printed_without_characters_that_turn_the_text_around(scene):
    legend = Legend.from_names(["\u202eyreve", "forest", "\x9b31mtown"])
    found = check_points(replace(good_points(scene, 12), legend=legend), scene)
    assert str(found).count("\\u202eyreve") == 2
    assert all(line.isprintable() for line in str(found).splitlines())
    assert found.to_json()["classes"][0]["name"] == "\u202eyreve"
