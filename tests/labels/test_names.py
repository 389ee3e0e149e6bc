"""Names of classes, fields and layers as surveys hold them, and every file that carries them."""

from __future__ import annotations

import json
import sqlite3
import warnings
from contextlib import closing
from xml.etree import ElementTree as ET

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely

from geopointseg.errors import DataWarning, PointsError
from geopointseg.labels.layer_style import find_style
from geopointseg.labels.points import Points, read_points, write_points
from geopointseg.legend import Legend
from geopointseg.model.card import render_card
from geopointseg.raster.class_map import ClassMap, write_class_map
from geopointseg.raster.class_style import aux_path, qml_path, read_sidecar_legend

ODD = (
    "dry\x01land",
    "a|b <c> & \"d\" 'e'",
    "fore\u0302t",
    "two\r\nlines\ttab",
    "\ud800half",
    "\uff37 ß \u0131",
    "\U0001f332 tree",
)
CLEAN = ("dryland", "a|b <c> & \"d\" 'e'", "for\u00eat", "two lines tab", "half", "\uff37 ß \u0131", "\U0001f332 tree")  # fmt: skip


def legend_of(names=ODD) -> Legend:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return Legend.from_names(names)


def test_a_legend_holds_names_that_every_file_can_hold() -> None:
    assert tuple(legend_of().names) == CLEAN
    assert Legend.from_json(legend_of().to_json()) == legend_of()
    assert legend_of(["\x01", "b"]).names == ["1", "b"]


def test_every_sidecar_of_a_map_parses_and_gives_the_names_back(tmp_path, grid) -> None:
    legend = legend_of()
    path = write_class_map(
        tmp_path / "m.tif", np.arange(2400).reshape(grid.shape) % 7, grid, legend
    )
    ET.parse(qml_path(path))
    ET.parse(aux_path(path))
    assert ClassMap.open(path).legend == legend
    with rasterio.open(path) as dataset:
        assert [row["name"] for row in json.loads(dataset.tags()["GEOPOINTSEG_LEGEND"])] == list(
            CLEAN
        )
    assert read_sidecar_legend(path) == legend
    aux_path(path).unlink()
    assert read_sidecar_legend(path) == legend


def test_the_style_in_a_geopackage_parses(tmp_path) -> None:
    legend, count = legend_of(), len(CLEAN)
    with pytest.warns(DataWarning, match="x02"):
        points = Points.from_arrays(
            np.arange(count), np.zeros(count), np.arange(count), legend, 32633, class_field="c\u0327\x02"
        )  # fmt: skip
    write_points(points, tmp_path / "p.gpkg")
    with closing(sqlite3.connect(tmp_path / "p.gpkg")) as connection:
        root = ET.fromstring(connection.execute("SELECT styleQML FROM layer_styles").fetchone()[0])
    again = read_points(tmp_path / "p.gpkg", legend=legend)
    assert root.find("renderer-v2").get("attr") == again.class_field == "\u00e7"
    assert again.legend == legend
    assert again.class_index.tolist() == list(range(count))


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson"])
def test_points_are_read_with_clean_names_and_told(write_layer, suffix) -> None:
    names = ["dry\x01land", "dryland", "fore\u0302t", "for\u00eat", "\x02"]
    path = write_layer(
        f"a{suffix}", shapely.points(range(5), [1] * 5), crs="EPSG:4326", cover=names
    )
    with pytest.warns(DataWarning, match=r"'dry\\x01land' holds characters that XML 1\.0 forbids"):
        points = read_points(path)
    assert points.legend.names == ["dryland", "for\u00eat"]
    assert points.counts().tolist() == [2, 2]
    assert points.dropped["without class"] == 1


def test_styles_with_forbidden_characters_are_read(write_layer) -> None:
    path = write_layer("a.gpkg", shapely.points([1, 2], [1, 2]), cover=["1", "2"])
    path.with_suffix(".qml").write_text(
        '<qgis><renderer-v2 type="categorizedSymbol" attr="cover"><categories>'
        '<category value="1" label="dry\x01land" symbol="0"/><category value="2" label="fore\u0302t&#2;" symbol="0"/>'
        '</categories><symbols><symbol name="0"/></symbols></renderer-v2></qgis>', encoding="utf-8",
    )  # fmt: skip
    assert [c.label for c in find_style(path, "a").categories] == ["dryland", "for\u00eat"]
    assert read_points(path).legend.names == ["dryland", "for\u00eat"]


def test_two_codes_of_one_name_in_a_foreign_sidecar_stay_two_classes(tmp_path, grid) -> None:
    path = write_class_map(
        tmp_path / "m.tif", np.ones(grid.shape, int), grid, Legend.from_names("ab")
    )
    text = aux_path(path).read_text().replace(">a<", ">fore\u0302t<").replace(">b<", ">for\u00eat<")
    aux_path(path).write_text(text, encoding="utf-8")
    assert read_sidecar_legend(path).names == ["for\u00eat (1)", "for\u00eat (2)"]


def test_a_model_card_keeps_its_tables() -> None:
    legend = legend_of()
    card = render_card(
        {"legend": legend.to_json(), "bands": ["r|g", "b\nx"], "resolution_m": 1.0, "members": []}
    )
    rows = [line for line in card.splitlines() if line.startswith("|") and "unknown" in line]
    assert len(rows) == 7
    assert all(line.replace("\\|", "").count("|") == 4 for line in rows)
    assert "| 2 | a\\|b &lt;c> &amp; \"d\" 'e' | unknown |" in rows
    assert "Made with geopointseg" in card


class TestFields:
    def _path(self, tmp_path, **columns):
        path = tmp_path / "f.geojson"
        gpd.GeoDataFrame(columns, geometry=shapely.points([1, 2], [1, 2]), crs=4326).to_file(path)
        return path

    def test_the_exact_field_comes_first(self, tmp_path) -> None:
        path = self._path(tmp_path, Cover=["a", "b"], cover=["c", "d"])
        assert read_points(path, class_field="Cover").legend.names == ["a", "b"]
        assert read_points(path, class_field="cover").legend.names == ["c", "d"]

    def test_another_spelling_is_taken_where_it_is_unique(self, tmp_path) -> None:
        path = self._path(tmp_path, Größe=["a", "b"], x=[1, 2])
        for name in ("Gr\u00f6\u00dfe", "GR\u00d6SSE", "gro\u0308sse"):
            points = read_points(path, class_field=name)
            assert points.legend.names == ["a", "b"]
            assert points.class_field == "Gr\u00f6\u00dfe"

    def test_another_spelling_of_two_fields_is_asked_about(self, tmp_path) -> None:
        path = self._path(tmp_path, Cover=["a", "b"], cover=["c", "d"])
        with pytest.raises(
            PointsError, match=r"fields 'Cover' and 'cover', and 'COVER' could be any"
        ):
            read_points(path, class_field="COVER")

    def test_weights_follow_the_same_rule(self, tmp_path) -> None:
        path = self._path(tmp_path, c=["a", "b"], Weight=[3, 3], weight=[1, 2])
        assert read_points(path, class_field="c").weight.tolist() == [1, 2]
        path = self._path(tmp_path, c=["a", "b"], Weight=[3, 3], WEIGHT=[1, 2])
        with pytest.raises(PointsError, match=r"'Weight' and 'WEIGHT', and 'weight' could be any"):
            read_points(path, class_field="c")

    def test_the_only_field_may_be_called_like_ours(self, tmp_path) -> None:
        points = read_points(self._path(tmp_path, scene=["a", "b"]))
        assert points.legend.names == ["a", "b"]
        assert (points.scene == "").all()


def test_layers_are_found_by_name_exactly_first(tmp_path) -> None:
    path = tmp_path / "l.gpkg"
    for layer, value in (("fore\u0302t 2020", "a"), ("Sites", "b")):
        frame = gpd.GeoDataFrame({"c": [value]}, geometry=[shapely.Point(1, 2)], crs=32633)
        frame.to_file(path, layer=layer)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE notes (text TEXT)")
        connection.execute(
            "INSERT INTO gpkg_contents (table_name, data_type) VALUES ('notes', 'attributes')"
        )
        connection.execute("CREATE VIEW old AS SELECT * FROM Sites")
    assert read_points(path, layer="for\u00eat_2020").legend.names == ["a"]
    assert read_points(path, layer="sites").legend.names == ["b"]
    with pytest.raises(PointsError, match=r"has no layer 'notes'"):
        read_points(path, layer="notes")


def test_scenes_are_found_in_either_encoding() -> None:
    points = Points.from_arrays(
        [1, 2], [1, 2], [0, 1], Legend.from_names("ab"), 32633, scene=["e\u0301.tif", "x"]
    )
    assert points.belong_to("/data/\u00e9.vrt").tolist() == [True, False]


@pytest.mark.parametrize(
    ("said", "scene", "belongs"),
    [
        ("S2_2020.05.01", "S2_2020.05.01.tif", True), ("S2_2020.05.02", "S2_2020.05.01.tif", False),
        ("2020.05", "2020.tif", False), ("C:\\data\\a.TIF", "a.tif", True), ("x/a.jp2", "y/a.tif", True),
        ("a.tif", "a.b.tif", False), ("a.b", "a.b.tif", True), ("a", "A.tif", False),
    ],
)  # fmt: skip
def test_scenes_are_found_without_folder_and_ending(said, scene, belongs) -> None:
    points = Points.from_arrays([1], [1], [0], Legend.from_names("a"), 32633, scene=[said])
    assert points.belong_to(scene).tolist() == [belongs]


def test_classes_with_longer_names_than_models_have_are_refused(write_layer) -> None:
    path = write_layer("a.gpkg", shapely.points([1, 2], [1, 2]), cover=["1" * 4500, "b"])
    words = r"'cover' holds a text of 4500 letters, '1{40}\.\.\.'. Expected names of at most 1000 letters"
    with pytest.raises(PointsError, match=words):
        read_points(path)


@pytest.mark.parametrize("wanted", [None, "cover"])
def test_a_shapefile_without_its_attributes_is_named(write_layer, wanted) -> None:
    path = write_layer("a.shp", shapely.points([1, 2], [1, 2]), cover=["a", "b"])
    path.with_suffix(".dbf").unlink()
    with pytest.raises(
        PointsError, match=r"its file 'a\.dbf' is missing. Expected that file beside"
    ):
        read_points(path, class_field=wanted)
