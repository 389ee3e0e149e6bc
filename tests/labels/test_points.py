from __future__ import annotations

import re
import sqlite3
from contextlib import closing

import fiona
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from geopointseg.errors import InputFileError, OutputError, PointsError
from geopointseg.labels.points import Points, read_points, stream_points, write_points
from geopointseg.legend import Legend

LEGEND = Legend.from_names(["water", "forest", "Größe, 'x' & <y>"], codes=[0, 10, 255])


def some_points(count: int = 6, **options) -> Points:
    return Points.from_arrays(
        500_000.5 + np.arange(count), np.full(count, 5.7e6), np.arange(count) % 3, LEGEND, 32633,
        **options,
    )  # fmt: skip


class TestRead:
    def test_integer_classes_keep_their_codes_and_zero_is_a_class(self, write_layer):
        path = write_layer("a.gpkg", shapely.points([1, 2, 3], [1, 2, 3]), cover=[20, 0, 255])
        points = read_points(path)
        assert points.class_field == "cover"
        assert points.codes.tolist() == [20, 0, 255]
        assert points.legend.codes.tolist() == [0, 20, 255]

    def test_text_classes_get_codes_in_alphabetical_order(self, write_layer):
        path = write_layer("a.gpkg", shapely.points([1, 2, 3], [1, 2, 3]), c=["b ", "ä", "b"])
        points = read_points(path, class_field="c")
        assert points.legend.names == ["b", "ä"]
        assert points.codes.tolist() == [1, 2, 1]
        assert points.text_classes

    def test_text_that_is_all_digits_counts_as_codes(self, write_layer):
        path = write_layer(
            "a.geojson", shapely.points([1, 2], [1, 2]), crs="EPSG:4326", c=["7", "12"]
        )
        assert read_points(path, class_field="c").codes.tolist() == [7, 12]

    def test_null_class_and_empty_geometry_are_dropped_and_counted(self, write_layer):
        geometry = [
            shapely.Point(1, 1),
            shapely.Point(2, 2),
            None,
            shapely.Point(),
            shapely.Point(3, 3),
        ]
        path = write_layer("a.gpkg", geometry, c=["a", None, "b", "b", " "])
        points = read_points(path, class_field="c")
        assert len(points) == 1
        assert dict(points.dropped) == {"without geometry": 2, "without class": 2}

    def test_integer_class_with_null_stays_integer(self, write_layer):
        path = write_layer("a.gpkg", shapely.points([1, 2, 3], [1, 2, 3]), c=[5.0, np.nan, 6.0])
        points = read_points(path, class_field="c")
        assert points.codes.tolist() == [5, 6]

    def test_multipoints_are_exploded_in_order_and_z_is_ignored(self, write_layer):
        geometry = [
            shapely.Point(1, 2, 3),
            shapely.MultiPoint([(3, 4, 9), (5, 6, 9)]),
            shapely.Point(7, 8, 0),
        ]
        path = write_layer("a.gpkg", geometry, c=[1, 2, 3])
        points = read_points(path, class_field="c")
        assert points.x.tolist() == [1, 3, 5, 7]
        assert points.y.tolist() == [2, 4, 6, 8]
        assert points.codes.tolist() == [1, 2, 2, 3]
        assert points.fid.tolist() == [1, 2, 2, 3]
        assert points.shapes is None

    def test_polygons_are_kept_as_shapes_with_a_place_on_them(self, write_layer):
        ring = shapely.Polygon([(0, 0), (10, 0), (10, 10), (1, 1), (0, 10)])
        path = write_layer("a.gpkg", [ring, shapely.LineString([(0, 0), (4, 4)])], c=[1, 2])
        points = read_points(path, class_field="c")
        assert points.is_shape.all()
        assert shapely.intersects(points.geometry, shapely.points(points.x, points.y)).all()

    def test_weight_split_and_scene_are_read(self, write_layer):
        path = write_layer(
            "a.gpkg", shapely.points([1, 2, 3], [1, 2, 3]), cls=[1, 2, 1], Weight=[2.0, np.nan, 0.5],
            split=["Training", "val", None], scene=["a.tif", None, "b.tif"],
        )  # fmt: skip
        points = read_points(path, class_field="cls")
        assert points.weight.tolist() == [2.0, 1.0, 0.5]
        assert points.split.tolist() == ["train", "validation", ""]
        assert points.scene.tolist() == ["a.tif", "", "b.tif"]

    def test_names_come_from_a_text_field_that_fits_one_to_one(self, write_layer):
        path = write_layer(
            "a.gpkg",
            shapely.points([1, 2, 3], [1, 2, 3]),
            code=[3, 1, 3],
            name=["oak", "sea", "oak"],
        )
        assert read_points(path, class_field="code").legend.names == ["sea", "oak"]

    def test_names_are_not_taken_where_they_contradict(self, write_layer):
        path = write_layer(
            "a.gpkg",
            shapely.points([1, 2, 3], [1, 2, 3]),
            code=[3, 1, 3],
            name=["oak", "sea", "elm"],
        )
        assert read_points(path, class_field="code").legend.names == ["1", "3"]

    def test_a_given_legend_is_kept_and_matched_by_name_or_code(self, write_layer):
        by_name = write_layer("a.gpkg", shapely.points([1, 2], [1, 2]), c=["forest", "water"])
        by_code = write_layer("b.gpkg", shapely.points([1, 2], [1, 2]), c=[10, 0])
        for path in (by_name, by_code):
            points = read_points(path, class_field="c", legend=LEGEND)
            assert points.legend == LEGEND
            assert points.class_index.tolist() == [1, 0]

    def test_latitude_and_longitude_stay_in_x_y_order(self, write_layer):
        path = write_layer("a.gpkg", [shapely.Point(15.0, 51.0)], crs="EPSG:4326", c=[1])
        moved = read_points(path, class_field="c").to_crs(CRS.from_epsg(32633))
        assert moved.x[0] == pytest.approx(500_000, abs=1e-3)
        assert moved.y[0] == pytest.approx(5_649_824, abs=1)

    def test_the_real_points(self, real_data):
        points = read_points(real_data / "leipzig_s2" / "leipzig_points.gpkg")
        assert points.class_field == "land_cover"
        assert points.legend.names == ["forest", "pasture", "urban", "water"]
        assert points.counts().tolist() == [28, 20, 36, 13]


class TestRefusal:
    def test_missing_file(self, tmp_path):
        with pytest.raises(
            InputFileError, match=r"vector file '.*nowhere.gpkg' does not exist. Check"
        ):
            read_points(tmp_path / "nowhere.gpkg")

    def test_not_a_vector_file(self, tmp_path):
        path = tmp_path / "a.gpkg"
        path.write_text("hello")
        with pytest.raises(InputFileError, match=r"cannot be opened as a vector file"):
            read_points(path)

    def test_no_crs(self, write_layer):
        path = write_layer("a.gpkg", [shapely.Point(1, 1)], crs=None, layer="plots", c=[1])
        with pytest.raises(
            PointsError,
            match=r"Layer 'plots' in '.*' has no coordinate reference system. Points need one .* \"Assign projection\"",
        ):
            read_points(path)

    def test_wrong_class_field_lists_the_fields(self, write_layer):
        path = write_layer("a.gpkg", [shapely.Point(1, 1)], cover=["a"], height=[1.5])
        with pytest.raises(
            PointsError,
            match=r"no field 'covr'; it has the fields cover \(text\), height \(real\)\. .*Did you mean 'cover'\?",
        ):
            read_points(path, class_field="covr")

    def test_unclear_class_field_lists_the_fields(self, write_layer):
        path = write_layer("a.gpkg", [shapely.Point(1, 1)], crop=["a"], soil=["b"])
        with pytest.raises(
            PointsError,
            match=r"the fields crop \(text\), soil \(text\)\. Expected one .*`class_field=`",
        ):
            read_points(path)

    def test_several_layers_are_listed(self, write_layer, tmp_path):
        write_layer("a.gpkg", [shapely.Point(1, 1)], layer="plots", c=[1])
        path = write_layer("a.gpkg", [shapely.Point(2, 1)], layer="roads", c=[2])
        with pytest.raises(
            PointsError, match=r"holds 2 layers \(plots, roads\).*name it with `layer=`"
        ):
            read_points(path)
        assert read_points(path, layer="roads").codes.tolist() == [2]
        with pytest.raises(PointsError, match=r"no layer 'rivers'. It has the layers plots, roads"):
            read_points(path, layer="rivers")

    def test_no_spatial_layer(self, tmp_path):
        path = tmp_path / "a.csv"
        path.write_text("class,note\n1,x\n")
        with pytest.raises(PointsError, match=r"holds no layer with geometry"):
            read_points(path)

    def test_only_null_classes(self, write_layer):
        path = write_layer(
            "a.gpkg", [shapely.Point(1, 1)], c=np.array([None], dtype=object), d=[1.5]
        )
        with pytest.raises(PointsError, match=r"'c' is empty in every feature. Expected a class"):
            read_points(path, class_field="c")

    def test_only_empty_geometry(self, write_layer):
        path = write_layer("a.gpkg", [shapely.Point()], c=[1])
        with pytest.raises(
            PointsError, match=r"None of the 1 features .* \(left out: 1 without geometry\)"
        ):
            read_points(path, class_field="c")

    def test_no_features(self, write_layer):
        path = write_layer("a.gpkg", [], c=np.array([], dtype=np.int64))
        with pytest.raises(PointsError, match=r"is empty in every feature"):
            read_points(path, class_field="c")

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ([1.5, 2.0], r"'c' holds 1\.5\. Expected whole numbers or text"),
            ([-1, 2], r"'c' holds the code -1\. Expected 0 to 65535"),
            ([70000, 2], r"'c' holds the code 70000\. Expected 0 to 65535"),
        ],
    )
    def test_impossible_codes(self, write_layer, values, words):
        path = write_layer("a.gpkg", shapely.points([1, 2], [1, 2]), c=values)
        with pytest.raises(PointsError, match=words):
            read_points(path, class_field="c")

    def test_class_that_the_legend_lacks(self, write_layer):
        path = write_layer("a.gpkg", [shapely.Point(1, 1)], c=["swamp"])
        with pytest.raises(
            PointsError, match=r"holds 'swamp', which the legend lacks. Expected one of 0 water, 10"
        ):
            read_points(path, class_field="c", legend=LEGEND)

    @pytest.mark.parametrize(
        ("column", "words"),
        [
            ({"weight": [-1.0, 1.0]}, "'weight' of '.*' holds -1 to 1. Expected weights of zero"),
            ({"weight": ["much", "x"]}, "'weight' of '.*' holds no numbers .*Expected numbers"),
            (
                {"split": ["A", "B"]},
                "'split' of '.*' holds 'A'. Expected train, validation, test, buffer",
            ),
        ],
    )
    def test_impossible_optional_fields(self, write_layer, column, words):
        path = write_layer("a.gpkg", shapely.points([1, 2], [1, 2]), c=[1, 2], **column)
        with pytest.raises(PointsError, match=words):
            read_points(path, class_field="c")

    def test_arrays_of_different_length(self):
        with pytest.raises(PointsError, match=r"differ in length"):
            Points.from_arrays([1, 2], [1], [0, 0], LEGEND, 32633)

    def test_index_beyond_the_legend(self):
        with pytest.raises(PointsError, match=r"Expected 0 to 2, positions in the legend"):
            Points.from_arrays([1], [1], [3], LEGEND, 32633)


class TestUnchangedFile:
    def test_reading_leaves_no_trace(self, write_layer):
        path = write_layer("a.gpkg", [shapely.Point(1, 1), shapely.Point(2, 2)], c=[1, 2])
        before = path.read_bytes()
        read_points(path)
        assert path.read_bytes() == before
        assert [p.name for p in path.parent.iterdir()] == ["a.gpkg"]

    def test_edits_in_write_ahead_mode_are_seen_and_nothing_is_left(self, write_layer, tmp_path):
        path = write_layer("a.gpkg", [shapely.Point(1, 1), shapely.Point(2, 2)], c=[1, 2])
        with closing(sqlite3.connect(path)) as editor:
            triggers = editor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            for (name,) in triggers.fetchall():
                editor.execute(f'DROP TRIGGER "{name}"')
            editor.execute("PRAGMA journal_mode = WAL")
            editor.execute("UPDATE a SET c = 9 WHERE fid = 1")
            editor.commit()
            files = {
                p.name: p.read_bytes() for p in tmp_path.iterdir() if not p.name.endswith("-shm")
            }
            assert "a.gpkg-wal" in files
            assert read_points(path).codes.tolist() == [9, 2]
            after = {
                p.name: p.read_bytes() for p in tmp_path.iterdir() if not p.name.endswith("-shm")
            }
        assert after == files

    def test_write_ahead_mode_without_editor_leaves_nothing(self, write_layer, tmp_path):
        path = write_layer("a.gpkg", [shapely.Point(1, 1), shapely.Point(2, 2)], c=[1, 2])
        with closing(sqlite3.connect(path)) as editor:
            editor.execute("PRAGMA journal_mode = WAL")
        read_points(path)
        list(stream_points(path))
        assert [p.name for p in tmp_path.iterdir()] == ["a.gpkg"]


class TestWrite:
    def test_round_trip(self, tmp_path):
        points = some_points(
            weight=[1, 2, 3, 1, 1, 0.5], split=["train", "test", "", "fold2", "buffer", "validation"],
            scene=["a.tif"] * 6,
        )  # fmt: skip
        write_points(points, tmp_path / "p.gpkg", extra={"rank": np.arange(6), "note": ["ü"] * 6})
        again = read_points(tmp_path / "p.gpkg")
        assert again.legend == points.legend
        assert again.crs == points.crs
        for name in ("x", "y", "class_index", "weight", "split", "scene", "fid"):
            np.testing.assert_array_equal(getattr(again, name), getattr(points, name))
        with fiona.open(tmp_path / "p.gpkg") as layer:
            assert layer.schema["geometry"] == "Point"
            assert [f["properties"]["rank"] for f in layer] == list(range(6))
            assert next(iter(layer))["properties"]["note"] == "ü"

    def test_round_trip_of_text_classes_and_shapes(self, write_layer, tmp_path):
        square = shapely.box(0, 0, 5, 5)
        path = write_layer("a.gpkg", [square, shapely.Point(9, 9)], cover=["b", "a"])
        points = read_points(path)
        write_points(points, tmp_path / "p.gpkg")
        again = read_points(tmp_path / "p.gpkg")
        assert again.legend == points.legend
        assert again.text_classes
        assert again.class_field == "cover"
        assert shapely.equals(again.geometry, points.geometry).all()

    def test_codes_of_text_classes_do_not_depend_on_which_classes_are_left(
        self, write_layer, tmp_path
    ):
        path = write_layer("a.gpkg", shapely.points([1, 2, 3], [1, 2, 3]), cover=["a", "b", "c"])
        points = read_points(path)
        write_points(points.select(points.codes != 1), tmp_path / "p.gpkg")
        assert read_points(tmp_path / "p.gpkg").codes.tolist() == [2, 3]

    def test_layer_styles_is_no_spatial_layer_and_opens_with_gdal(self, tmp_path):
        write_points(some_points(), tmp_path / "p.gpkg", layer="mine")
        assert set(fiona.listlayers(tmp_path / "p.gpkg")) == {"mine", "layer_styles"}
        assert read_points(tmp_path / "p.gpkg").source.endswith("p.gpkg")

    def test_no_points_is_a_valid_file(self, tmp_path):
        write_points(
            some_points().select(np.zeros(6, dtype=bool)), tmp_path / "p.gpkg", styled_by="class"
        )
        with fiona.open(tmp_path / "p.gpkg") as layer:
            assert len(layer) == 0

    def test_missing_folder(self, tmp_path):
        with pytest.raises(
            OutputError, match=r"The folder '.*' of the output 'p.gpkg' does not exist"
        ):
            write_points(some_points(), tmp_path / "no" / "p.gpkg")

    def test_other_format(self, tmp_path):
        with pytest.raises(
            OutputError, match=r"does not end in .gpkg. Points are written as GeoPackage"
        ):
            write_points(some_points(), tmp_path / "p.shp")

    def test_open_in_another_program(self, tmp_path):
        (tmp_path / "p.gpkg-wal").write_bytes(b"x")
        with pytest.raises(OutputError, match=r"is open in another program .* close it there"):
            write_points(some_points(), tmp_path / "p.gpkg")
        assert not (tmp_path / "p.gpkg").exists()

    def test_what_was_read_is_kept(self, write_layer, tmp_path):
        path = write_layer("a.gpkg", shapely.points([1, 2], [1, 2]), c=["a", "b"], note=["x", "y"])
        (tmp_path / "link.gpkg").symlink_to(path)
        points = read_points(path, class_field="c")
        for output in (path, tmp_path / "link.gpkg"):
            with pytest.raises(OutputError, match=r"is also a file that is read. Expected another"):
                write_points(points.select(np.array([0])), output)
        assert fiona.open(path).schema["properties"].keys() == {"c", "note"}

    def test_other_layers_are_kept(self, write_layer, tmp_path):
        square, point = shapely.box(0, 0, 5, 5), shapely.Point(1, 1)
        path = write_layer("a.gpkg", [square], layer="plots", c=[1])
        write_layer("a.gpkg", [point], layer="points", c=[1])
        with pytest.raises(OutputError, match=r"also holds plots. Expected .* the layer 'points'"):
            write_points(some_points(), path)
        assert set(fiona.listlayers(path)) == {"plots", "points"}

    def test_rasters_and_projects_in_a_geopackage_are_kept(self, tmp_path):
        path = tmp_path / "points.gpkg"
        with rasterio.open(
            path, "w", driver="GPKG", width=9, height=9, count=1, dtype="uint8", crs="EPSG:32633",
            transform=Affine(10, 0, 500_000, 0, -10, 5_700_000),
        ) as dataset:  # fmt: skip
            dataset.write(np.ones((1, 9, 9), dtype=np.uint8))
        with pytest.raises(OutputError, match=r"also holds points"):
            write_points(some_points(), path)
        path = tmp_path / "p.gpkg"
        write_points(some_points(), path)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE TABLE qgis_projects (name TEXT)")
        with pytest.raises(OutputError, match=r"also holds qgis_projects"):
            write_points(some_points(), path)

    def test_own_files_are_replaced(self, tmp_path):
        write_points(some_points(), tmp_path / "p.gpkg")
        write_points(some_points(2), tmp_path / "p.gpkg")
        assert len(read_points(tmp_path / "p.gpkg")) == 2

    def test_failure_leaves_nothing(self, tmp_path):
        with pytest.raises(Exception, match=re.compile("rank|length", re.IGNORECASE)):
            write_points(some_points(), tmp_path / "p.gpkg", extra={"rank": np.arange(3)})
        assert list(tmp_path.iterdir()) == []


class TestNoun:
    def test_select_keeps_everything_together(self):
        points = some_points(fid=[9, 8, 7, 6, 5, 4])
        chosen = points.select(np.array([4, 0]))
        assert chosen.fid.tolist() == [5, 9]
        assert chosen.class_index.tolist() == [1, 0]
        assert chosen.counts().tolist() == [1, 1, 0]

    def test_concatenate_mixes_points_and_shapes(self, write_layer):
        path = write_layer("a.gpkg", [shapely.box(0, 0, 5, 5)], c=[0])
        shapes = read_points(path, class_field="c", legend=LEGEND)
        both = Points.concatenate([some_points(2), shapes])
        assert both.is_shape.tolist() == [False, False, True]
        assert both.geometry[0].geom_type == "Point"

    def test_long_edges_bend_with_the_projection(self, write_layer):
        box = shapely.box(5, 40, 25, 50)
        path = write_layer("a.gpkg", [box], crs="EPSG:4326", c=[1])
        moved = read_points(path, class_field="c").to_crs(CRS.from_epsg(3035))
        truth = shapely.transform(
            shapely.segmentize(box, 0.01),
            lambda xy: np.column_stack(_to_laea(xy[:, 0], xy[:, 1])),
        )
        error = shapely.area(shapely.symmetric_difference(moved.shapes[0], truth)) / shapely.area(
            truth
        )
        corners = shapely.transform(box, lambda xy: np.column_stack(_to_laea(xy[:, 0], xy[:, 1])))
        crude = shapely.area(shapely.symmetric_difference(corners, truth)) / shapely.area(truth)
        assert error < 1e-4 < 1e-2 < crude

    def test_impossible_coordinates_become_infinite(self):
        points = Points.from_arrays([1e9], [1e9], [0], LEGEND, 4326)
        assert np.isinf(points.to_crs(CRS.from_epsg(32633)).x[0])


class TestStream:
    @settings(max_examples=8, deadline=None)
    @given(count=st.integers(1, 40), chunk_size=st.integers(1, 15))
    def test_chunks_join_to_what_is_read_at_once(self, tmp_path_factory, count, chunk_size):
        path = tmp_path_factory.mktemp("stream") / "p.gpkg"
        points = some_points(count, weight=np.arange(count) % 4, split=["train"] * count)
        write_points(points, path)
        chunks = list(stream_points(path, chunk_size=chunk_size))
        assert [len(chunk) for chunk in chunks[:-1]] == [chunk_size] * (len(chunks) - 1)
        streamed, whole = Points.concatenate(chunks), read_points(path)
        assert streamed.legend == whole.legend
        for name in ("x", "y", "class_index", "weight", "split", "fid"):
            np.testing.assert_array_equal(getattr(streamed, name), getattr(whole, name))

    def test_nulls_multipoints_and_polygons_are_streamed_alike(self, write_layer):
        geometry = [
            shapely.MultiPoint([(3, 4, 9), (5, 6, 9)]), None, shapely.Point(), shapely.Point(1, 2, 7),
            shapely.box(0, 0, 4, 4), shapely.Point(3, 3),
        ]  # fmt: skip
        path = write_layer("a.gpkg", geometry, c=["x", "y", "z", "y", "x", None])
        streamed = Points.concatenate(list(stream_points(path, class_field="c", chunk_size=2)))
        whole = read_points(path, class_field="c")
        assert (
            dict(streamed.dropped)
            == dict(whole.dropped)
            == {"without geometry": 2, "without class": 1}
        )
        assert streamed.codes.tolist() == whole.codes.tolist()
        assert shapely.equals(streamed.geometry, whole.geometry).all()

    def test_fields_that_fiona_does_not_know_are_streamed_as_well(self, write_layer):
        weight = np.array([1, 2, 0.5], dtype=np.float32)
        path = write_layer(
            "a.gpkg", shapely.points([1, 2, 3], [1, 2, 3]), c=[1, 2, 1], weight=weight
        )
        chunks = list(stream_points(path, class_field="c", chunk_size=2))
        assert [len(chunk) for chunk in chunks] == [2, 1]
        assert Points.concatenate(chunks).weight.tolist() == [1, 2, 0.5]

    def test_large_layers_are_streamed(self, write_layer, monkeypatch):
        path = write_layer(
            "a.gpkg", shapely.points(np.arange(9), np.arange(9)), c=list("abcabcabc")
        )
        whole = read_points(path, class_field="c")
        monkeypatch.setattr("geopointseg.labels.points.STREAM_ABOVE", 5)
        streamed = read_points(path, class_field="c")
        assert streamed.codes.tolist() == whole.codes.tolist()
        assert streamed.x.tolist() == whole.x.tolist()


def _to_laea(x, y):
    from rasterio.warp import transform

    return transform("EPSG:4326", "EPSG:3035", x, y)
