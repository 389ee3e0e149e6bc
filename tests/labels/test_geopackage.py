"""What a GeoPackage computes is read within a budget of time and memory."""

from __future__ import annotations

import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import shapely

from geopointseg.errors import InputFileError
from geopointseg.labels import geopackage
from geopointseg.labels.geopackage import read_rows
from geopointseg.labels.layer_style import Category, Style, find_style, format_style, write_style
from geopointseg.labels.points import read_points

ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
HUGE = "hex(zeroblob(20000000))"
STYLE = Style("class", (Category("a", "dryland", "#1b7837"),))


@pytest.fixture
def edited(write_layer: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Write points with the classes a and b, and change them by SQL; a view takes the place of the layer."""

    def write(*statements: str, view: str = "") -> Path:
        (tmp_path / "a.gpkg").unlink(missing_ok=True)
        path = write_layer("a.gpkg", shapely.points([1, 2], [1, 2]), **{"class": ["a", "b"]})
        with sqlite3.connect(path) as database:
            for (name,) in database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'trigger'"
            ).fetchall():
                database.execute(f'DROP TRIGGER "{name}"')
            if view:
                database.execute("ALTER TABLE a RENAME TO stored")
                database.execute(f"CREATE VIEW a AS {view}")
            for statement in statements:
                database.execute(statement)
        database.close()
        return path

    return write


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (HUGE, r"a value has more than 16,777,216 bytes"),
        ("hex(zeroblob(80000))", r"the values of a layer have 320,000 bytes"),
        ("CASE WHEN ST_MinX(geom) > 0 THEN hex(zeroblob(80000)) ELSE class END", "have 320,000 bytes"),
        ("CASE WHEN sqlite_version() = '' THEN class ELSE hex(zeroblob(80000)) END", "320,000 bytes"),
        (f"({ENDLESS} SELECT count(*) FROM c)", r"more than 30 s or 10,000 steps to compute"),
        (f"CASE fid WHEN 1 THEN 'a' ELSE ({ENDLESS} SELECT count(*) FROM c) END", "10,000 steps"),
    ],
)  # fmt: skip
def test_a_view_of_huge_or_endless_classes_is_refused(edited, monkeypatch, value, words):
    monkeypatch.setattr(geopackage, "MOST_STEPS", 10_000)
    monkeypatch.setattr(geopackage, "MOST_TEXT_BYTES", 100_000)
    path = edited(view=f"SELECT fid, geom, {value} AS class FROM stored")
    with pytest.raises(InputFileError, match=rf"view or table in '.*a\.gpkg'.*{words}.*Expected"):
        read_points(path, class_field="class")


def test_endless_features_are_refused_also_where_no_count_is_stored(edited, monkeypatch):
    monkeypatch.setattr(geopackage, "MOST_STEPS", 10_000)
    path = edited("DELETE FROM gpkg_ogr_contents", view=f"{ENDLESS} SELECT stored.* FROM stored, c")
    with pytest.raises(InputFileError, match="10,000 steps to compute"):
        read_points(path)


def test_a_generated_column_of_huge_classes_is_refused(edited):
    path = edited(
        "ALTER TABLE a DROP COLUMN class",
        f"ALTER TABLE a ADD COLUMN class TEXT GENERATED ALWAYS AS ({HUGE})",
    )
    with pytest.raises(InputFileError, match="a value has more than 16,777,216 bytes"):
        read_points(path)


def test_a_view_of_huge_classes_in_an_archive_is_refused(edited, monkeypatch, tmp_path):
    monkeypatch.setattr(geopackage, "MOST_TEXT_BYTES", 100_000)
    path = edited(view="SELECT fid, geom, hex(zeroblob(80000)) AS class FROM stored")
    archive = tmp_path / "b.gpkg.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(path, "a.gpkg")
    with pytest.raises(InputFileError, match="have 320,000 bytes"):
        read_points(archive, class_field="class")


def test_usual_views_are_read(edited):
    plain = edited(view="SELECT fid, geom, upper(class) AS class FROM stored")
    assert read_points(plain).legend.names == ["A", "B"]
    of_gdal = edited(view="SELECT fid, geom, class FROM stored WHERE ST_MinX(geom) > 1")
    assert read_points(of_gdal).legend.names == ["b"]


def test_a_view_instead_of_the_table_of_styles_is_no_style(edited):
    rows = "SELECT x AS id, 'a' AS f_table_name, 'x' AS styleQML, 1 AS useAsDefault, 1 AS update_time FROM c"
    path = edited(f"CREATE VIEW layer_styles AS {ENDLESS} {rows}")
    assert find_style(path, "a") is None
    assert read_points(path).legend.names == ["a", "b"]


@pytest.mark.parametrize("value", [HUGE, f"({ENDLESS} SELECT count(*) FROM c)"])
def test_a_view_beside_the_layer_whose_first_row_is_huge_or_endless_is_refused(
    edited, monkeypatch, value
):
    monkeypatch.setattr(geopackage, "MOST_STEPS", 10_000)
    path = edited(f"CREATE VIEW other AS SELECT 1 AS id, {value} AS text")
    with pytest.raises(InputFileError, match=r"view or table in '.*a\.gpkg' is too large"):
        read_points(path)


def test_a_stored_style_may_be_as_large_as_a_style_file(edited, tmp_path):
    path = edited()
    write_style(path, "a", STYLE)
    assert find_style(path, "a") == STYLE
    padding = " " * 2**24
    with sqlite3.connect(path) as database:
        database.execute("UPDATE layer_styles SET styleQML = ?", (format_style(STYLE) + padding,))
    database.close()
    with pytest.raises(InputFileError, match="a value has more than 16,777,216 bytes"):
        find_style(path, "a")


def test_a_query_returns_a_bounded_number_of_rows_and_bytes(edited, monkeypatch):
    path = edited()
    monkeypatch.setattr(geopackage, "MOST_ROWS", 1)
    with pytest.raises(InputFileError, match="it gives more than 1 rows"):
        read_rows(path, "SELECT class FROM a")
    with pytest.raises(InputFileError, match="or 16,777,216 bytes"):
        read_rows(path, "SELECT hex(zeroblob(8000000)), hex(zeroblob(8000000)) FROM a")
