"""Vector files that cannot be used, or only look so."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

from tests.robustness.trouble import VECTORS, Bench, trouble

POINTS = {"points"}


def _database(bench: Bench, *statements: str) -> Path:
    path = bench.put(bench.content())
    connection = sqlite3.connect(path)
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for (name,) in names:  # they call functions that only GDAL has
        connection.execute(f'DROP TRIGGER "{name}"')
    for statement in statements:
        connection.executescript(statement.replace("{t}", bench.good.stem))
    connection.close()
    return path


def _edited(name: str, kind: str, *statements: str, roles: set[str] = VECTORS, works: str = "", same: bool = False) -> None:  # fmt: skip
    def make(bench: Bench) -> Path:
        return _database(bench, *statements)

    make.__name__ = name
    trouble(kind, roles, works=works, same=same)(make)


@trouble("truncated", VECTORS)
def half_a_database(bench: Bench) -> Path:
    return bench.put(bench.content()[:50_000])


@trouble("truncated", VECTORS)
def header_of_a_database(bench: Bench) -> Path:
    return bench.put(bench.content()[:100])


@trouble("truncated", VECTORS)
def middle_of_a_database_overwritten(bench: Bench) -> Path:
    content = bytearray(bench.content())
    content[4096:90_000] = b"\xff" * (90_000 - 4096)
    return bench.put(bytes(content))


@trouble("wrong type", VECTORS)
def text_named_gpkg(bench: Bench) -> Path:
    return bench.put(b"x, y, class\n" * 9)


@trouble("wrong type", VECTORS)
def raster_named_gpkg(bench: Bench) -> Path:
    return bench.put((bench.good.parent / "far.tif").read_bytes())


@trouble("wrong type", VECTORS)
def archive_of_nothing(bench: Bench) -> Path:
    return bench.put(b"PK\x05\x06" + bytes(18), ".zip")


@trouble("wrong type", VECTORS)
def archive_that_is_none(bench: Bench) -> Path:
    return bench.put(b"PK\x03\x04" + bytes(180), ".zip")


@trouble("wrong type", VECTORS)
def folder_of_nothing(bench: Bench) -> Path:
    bench.path("").mkdir()
    return bench.path("")


@trouble("wrong type", VECTORS)
def shapefile_alone(bench: Bench) -> Path:
    return bench.put(b"\0\0\x27\x0a" + bytes(96), ".shp")


_edited("database_of_something_else", "wrong type", "DROP TABLE gpkg_contents; DROP TABLE gpkg_geometry_columns; DROP TABLE gpkg_spatial_ref_sys;")  # fmt: skip
_edited("no_features", "empty", "DELETE FROM {t};")
_edited("no_geometries", "empty", "UPDATE {t} SET geom = NULL;")
_edited("geometries_that_are_none", "wrong type", "UPDATE {t} SET geom = x'0011223344';")
_edited("truncated_geometries", "truncated", "UPDATE {t} SET geom = substr(geom, 1, 20);")


def _geojson(name: str, kind: str, geometry: str, *, roles: set[str] = VECTORS, works: str = "", **properties: object) -> None:  # fmt: skip
    def make(bench: Bench) -> Path:
        told = json.dumps({"class": "forest"} | properties)
        rows = ", ".join(
            f'{{"type": "Feature", "properties": {told}, "geometry": {geometry}}}' for _ in "12"
        )
        text = f'{{"type": "FeatureCollection", "features": [{rows}]}}'
        return bench.put(text.encode(), ".geojson")

    make.__name__ = name
    trouble(kind, roles, works=works)(make)


_geojson("nan_coordinates", "NaN and infinity", '{"type": "Point", "coordinates": [NaN, NaN]}')
_geojson("infinite_coordinates", "NaN and infinity", '{"type": "Point", "coordinates": [1e999, -1e999]}')  # fmt: skip
_geojson("huge_coordinates", "huge numbers", '{"type": "Point", "coordinates": [1e300, 1e300]}', works="live/points|assess/training")  # fmt: skip
_geojson(
    "latitude_of_1000",
    "huge numbers",
    '{"type": "Point", "coordinates": [15, 1000]}',
    works="live/points|assess/training",
)
_geojson("points_far_away", "wrong CRS", '{"type": "Point", "coordinates": [-70, -30]}', works="live/points|assess/training")  # fmt: skip
_geojson("empty_points", "empty", '{"type": "Point", "coordinates": []}')
_geojson("null_geometry", "empty", "null")
_geojson("polygon_of_one_vertex", "zero size", '{"type": "Polygon", "coordinates": [[[15, 51.4]]]}')
_geojson("polygon_of_no_area", "zero size", '{"type": "Polygon", "coordinates": [[[15, 51], [15, 51], [15, 51], [15, 51]]]}', works=r"(suggest|live)/points|assess/training")  # fmt: skip
_geojson("nested_collection", "wrong type", '{"type": "GeometryCollection", "geometries": ' * 60 + "[]" + "}" * 60)  # fmt: skip


def _text(name: str, kind: str, content: bytes, suffix: str = ".geojson") -> None:
    def make(bench: Bench) -> Path:
        return bench.put(content, suffix)

    make.__name__ = name
    trouble(kind, VECTORS)(make)


_text("geojson_cut", "truncated", b'{"type": "FeatureCollection", "features": [{"type": "Fea')
_text("geojson_of_brackets", "text garbage", b'{"type": "FeatureCollection", "features": ' + b"[" * 100_000)  # fmt: skip
_text("geojson_of_nul", "text garbage", b'{"type": "FeatureCollection", "features": [\0\0\0]}')
_text("geojson_of_no_features", "empty", b'{"type": "FeatureCollection", "features": []}')
_text("geojson_of_a_number", "text garbage", b"7")
_text("csv_without_places", "wrong type", b"name,class\na,forest\n", ".csv")
_text("csv_of_coordinates", "table", b"x,y,class\n500100.5,5699900.5,forest\n", ".csv")
_text("kml_of_entities", "text garbage", b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "' + b"x" * 999 + b'"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><kml>&c;</kml>', ".kml")  # fmt: skip
_text("flatgeobuf_cut", "truncated", b"fgb\x03fgb\x00" + b"\xff" * 60, ".fgb")


# --- class field -----------------------------------------------------------------------------------------------

_edited("no_class", "empty", "UPDATE {t} SET class = NULL;", roles=POINTS)
_edited("no_class_field", "wrong dtype", "ALTER TABLE {t} DROP COLUMN class;", roles=POINTS)  # fmt: skip
_edited("class_of_bytes", "wrong dtype", "ALTER TABLE {t} DROP COLUMN class; ALTER TABLE {t} ADD COLUMN class BLOB; UPDATE {t} SET class = x'00ff';", roles=POINTS)  # fmt: skip
_edited("class_of_dates", "wrong dtype", "ALTER TABLE {t} DROP COLUMN class; ALTER TABLE {t} ADD COLUMN class DATETIME; UPDATE {t} SET class = '2020-01-01T00:00:00Z';", roles=POINTS)  # fmt: skip
_edited("class_of_infinity", "NaN and infinity", "ALTER TABLE {t} DROP COLUMN class; ALTER TABLE {t} ADD COLUMN class REAL; UPDATE {t} SET class = 9e999;", roles=POINTS)  # fmt: skip
_edited("class_of_fractions", "wrong dtype", "ALTER TABLE {t} DROP COLUMN class; ALTER TABLE {t} ADD COLUMN class REAL; UPDATE {t} SET class = 0.5 * fid;", roles=POINTS)  # fmt: skip
_edited("huge_class_codes", "huge numbers", "ALTER TABLE {t} DROP COLUMN class; ALTER TABLE {t} ADD COLUMN class INTEGER; UPDATE {t} SET class = 9223372036854775807 - fid % 3;", roles=POINTS)  # fmt: skip
_edited("negative_class_codes", "huge numbers", "ALTER TABLE {t} DROP COLUMN class; ALTER TABLE {t} ADD COLUMN class INTEGER; UPDATE {t} SET class = -5 - fid % 3;", roles=POINTS)  # fmt: skip
_edited("nan_weights", "NaN and infinity", "ALTER TABLE {t} ADD COLUMN weight REAL; UPDATE {t} SET weight = 9e999;", roles=POINTS)  # fmt: skip
_edited("negative_weights", "huge numbers", "ALTER TABLE {t} ADD COLUMN weight REAL; UPDATE {t} SET weight = -1;", roles=POINTS)  # fmt: skip


# --- coordinate reference system -------------------------------------------------------------------------------

_edited("undefined_crs", "wrong CRS", "UPDATE gpkg_geometry_columns SET srs_id = -1; UPDATE gpkg_contents SET srs_id = -1;")  # fmt: skip
_edited("crs_of_garbage", "wrong CRS", "UPDATE gpkg_spatial_ref_sys SET definition = 'PROJCS[', organization = 'NONE', organization_coordsys_id = 1 WHERE srs_id > 0; UPDATE gpkg_spatial_ref_sys SET srs_id = 999999 WHERE srs_id = 32633; UPDATE gpkg_geometry_columns SET srs_id = 999999; UPDATE gpkg_contents SET srs_id = 999999;")  # fmt: skip


# --- GeoPackages that do more than hold a layer ----------------------------------------------------------------

_edited("trigger_on_everything", "triggers and views", "CREATE TRIGGER t1 AFTER INSERT ON gpkg_contents BEGIN DELETE FROM {t}; END; CREATE TRIGGER t2 AFTER UPDATE ON {t} BEGIN DELETE FROM {t}; END;", works=".", same=True)  # fmt: skip
_edited("endless_view", "triggers and views", "ALTER TABLE {t} RENAME TO real_{t}; CREATE VIEW {t} AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT r.* FROM real_{t} r, c;")  # fmt: skip
_edited("view_of_nothing", "triggers and views", "ALTER TABLE {t} RENAME TO real_{t}; CREATE TABLE m (a); CREATE VIEW {t} AS SELECT * FROM m; DROP TABLE m;")  # fmt: skip
_edited("view_of_the_layer", "triggers and views", "ALTER TABLE {t} RENAME TO real_{t}; CREATE VIEW {t} AS SELECT * FROM real_{t};", works=".", same=True)  # fmt: skip
_edited("view_of_huge_texts", "triggers and views", "ALTER TABLE {t} RENAME TO real_{t}; CREATE VIEW {t} AS SELECT fid, geom, hex(zeroblob(20000000)) AS class FROM real_{t};", roles=POINTS)  # fmt: skip
_edited("endless_class", "triggers and views", "ALTER TABLE {t} RENAME TO real_{t}; CREATE VIEW {t} AS SELECT fid, geom, (WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c) AS class FROM real_{t};", roles=POINTS)  # fmt: skip
_edited("endless_styles", "triggers and views", "DROP TABLE IF EXISTS layer_styles; CREATE VIEW layer_styles AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x AS id, '{t}' AS f_table_name, 'x' AS styleQML, 1 AS useAsDefault, 1 AS update_time FROM c;", works=".")  # fmt: skip
_edited("style_of_garbage", "triggers and views", "DROP TABLE IF EXISTS layer_styles; CREATE TABLE layer_styles (a, f_table_name, styleQML, useAsDefault); INSERT INTO layer_styles VALUES (1, '{t}', x'00ff3c', 1);", works=".")  # fmt: skip


@trouble("locked GeoPackage", VECTORS)
def locked_by_a_writer(bench: Bench) -> Path:
    path = bench.put(bench.content())
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    bench.stack.callback(connection.close)
    return path


def _write_ahead(bench: Bench, change: Callable[[Path], object]) -> Path:
    path = bench.put(bench.content())
    content = bytearray(path.read_bytes())
    content[18:20] = b"\2\2"  # write-ahead mode
    path.write_bytes(content)
    change(Path(f"{path}-wal"))
    return path


@trouble("broken WAL", VECTORS, works=".", same=True)
def garbage_in_the_wal(bench: Bench) -> Path:
    return _write_ahead(bench, lambda wal: wal.write_bytes(b"\xff" * 8192))


@trouble("broken WAL", VECTORS, works=".", same=True)
def wal_cut_in_its_header(bench: Bench) -> Path:
    return _write_ahead(bench, lambda wal: wal.write_bytes(b"\x37\x7f\x06\x82\0\0"))


@trouble("broken WAL", VECTORS, works=".", same=True)
def wal_that_is_missing(bench: Bench) -> Path:
    return _write_ahead(bench, lambda _: None)


@trouble("broken WAL", VECTORS, works=".", same=True)
def wal_that_is_a_folder(bench: Bench) -> Path:
    return _write_ahead(bench, lambda wal: wal.mkdir())


@trouble("broken WAL", VECTORS)
def wal_of_another_layer(bench: Bench) -> Path:
    path = _write_ahead(bench, lambda _: None)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("DROP TABLE gpkg_contents")
    wal = Path(f"{path}-wal").read_bytes()
    connection.close()
    bench.put(bench.content())
    return _write_ahead(bench, lambda file: file.write_bytes(wal))


@trouble("broken WAL", VECTORS)
def journal_of_garbage(bench: Bench) -> Path:
    path = bench.put(bench.content())
    Path(f"{path}-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + b"\xff" * 9000)
    return path
