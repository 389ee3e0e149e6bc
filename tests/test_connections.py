"""A command connects to nothing that a document names, and writes nothing that it states."""

from __future__ import annotations

import json
import os
import sqlite3
import zipfile
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

from geopointseg.cli import main
from geopointseg.config import Config
from geopointseg.errors import InputFileError
from geopointseg.labels.points import read_points
from geopointseg.process import own_process, permit_connections
from geopointseg.raster.scene import Scene

SIDE = 32
GEO_TRANSFORM = "500000, 10, 0, 5700000, 0, -10"
BOX = shapely.box(500000, 5700000 - 10 * SIDE, 500000 + 10 * SIDE, 5700000)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a raster, ``scene.tif``, and points on it, ``points.gpkg``."""
    with rasterio.open(
        tmp_path / "scene.tif", "w", driver="GTiff", width=SIDE, height=SIDE, count=1, dtype="uint8", crs="EPSG:32632",
        transform=from_origin(500000, 5700000, 10, 10),
    ) as target:  # fmt: skip
        target.write(np.arange(SIDE * SIDE).reshape(1, SIDE, SIDE).astype(np.uint8))
    rows = np.arange(2, 30, 2)
    points = geopandas.points_from_xy(500005 + 10 * rows, 5699995 - 10 * rows)
    frame = geopandas.GeoDataFrame({"class": ["a", "b"] * 7}, geometry=points, crs=32632)
    frame.to_file(tmp_path / "points.gpkg", layer="points")
    return tmp_path


def vrt(source: str, options: str = "") -> str:
    return (
        f'<VRTDataset rasterXSize="{SIDE}" rasterYSize="{SIDE}"><SRS>EPSG:32632</SRS><GeoTransform>{GEO_TRANSFORM}</GeoTransform>'
        f'<VRTRasterBand dataType="Byte" band="1"><SimpleSource><SourceFilename relativeToVRT="1">{source}</SourceFilename>'
        f"{options}<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )


def check(points: str | Path, raster: str | Path) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["points", "check", os.fspath(points), "--raster", os.fspath(raster), "--quiet"])
    return int(stop.value.code or 0)


def write_tile_index(place: Path, url: str) -> str:
    frame = geopandas.GeoDataFrame({"location": [f"/vsicurl/{url}"]}, geometry=[BOX], crs=32632)
    frame.to_file(place / "index.gti.gpkg", layer="index")
    return vrt("index.gti.gpkg")


def write_item(place: Path, url: str) -> str:
    shape = {"proj:epsg": 32632, "proj:bbox": list(BOX.bounds), "proj:shape": [SIDE, SIDE]}
    asset = {"href": f"/vsicurl/{url}", **shape, "proj:transform": [10, 0, 500000, 0, -10, 5700000]}
    feature = {
        "type": "Feature", "stac_version": "1.0.0", "id": "a", "geometry": None, "properties": shape, "assets": {"d": asset},
        "stac_extensions": ["https://stac-extensions.github.io/projection/v1.0.0/schema.json"],
    }  # fmt: skip
    text = json.dumps({"type": "FeatureCollection", "pad": "x" * 9000, "features": [feature]})
    (place / "item.json").write_text(text)
    return vrt("item.json")


def write_overlay(place: Path, url: str) -> str:
    box = "<north>51.5</north><south>51</south><east>9.5</east><west>9</west>"
    (place / "overlay.kml").write_text(
        '<?xml version="1.0"?><kml xmlns="http://www.opengis.net/kml/2.2"><Document><Region><LatLonAltBox>'
        f"{box}</LatLonAltBox></Region><GroundOverlay><Icon><href>{url}</href></Icon><LatLonBox>{box}</LatLonBox>"
        "</GroundOverlay></Document></kml>"
    )
    return vrt("overlay.kml")


def write_chart(place: Path, url: str) -> str:
    def corner(number: int, position: int, lat: int) -> str:
        return f"Point0{number},xy,{position:5},{position:5},in, deg, {lat}, 0.0,N,  9, 0.0,E, grid,,,,N"

    lines = [
        "OziExplorer Map Data File Version 2.2", "name", f"/vsicurl/{url}", "1 ,Map Code,", "WGS 84,WGS 84,0,0,WGS 84",
        "Reserved 1", "Reserved 2", "Magnetic Variation,,,E", "Map Projection,Latitude/Longitude,PolyCal,No,AutoCalOnly,No,BSBUseWPX,No",
        corner(1, 0, 51), corner(2, 9, 50), "",
    ]  # fmt: skip
    (place / "chart.map").write_text("\r\n".join(lines))
    return vrt("chart.map")


RASTERS = {
    "tile index": write_tile_index,
    "STAC item": write_item,
    "overlay": write_overlay,
    "chart": write_chart,
}


@pytest.mark.parametrize("kind", RASTERS)
def test_a_command_connects_to_no_address_of_a_nested_document(kind, place, server):
    (place / "hostile.vrt").write_text(RASTERS[kind](place, server.url))
    assert check(place / "points.gpkg", place / "hostile.vrt") == 1
    assert server.asked == []


@pytest.mark.parametrize("crs", ["link", "url", "name"])
def test_a_command_connects_to_no_address_of_a_crs(crs, place, server):
    properties = {"href": server.url, "url": server.url, "name": server.url}
    point = {
        "type": "Feature",
        "properties": {"class": "a"},
        "geometry": {"type": "Point", "coordinates": [9, 51]},
    }
    layer = {
        "type": "FeatureCollection",
        "crs": {"type": crs, "properties": properties},
        "features": [point],
    }
    (place / "p.geojson").write_text(json.dumps(layer))
    check(place / "p.geojson", place / "scene.tif")
    assert server.asked == []


def test_a_command_connects_to_an_address_of_the_user(place, server):
    own = server.url.replace("x.tif", "asked")  # GDAL remembers answers
    assert check(place / "points.gpkg", f"{own}.tif") == 1
    assert server.asked
    server.forget()
    assert check(f"{own}.geojson", place / "scene.tif") == 1
    assert server.asked


def test_connections_are_permitted_within_a_command_and_the_environment_is_restored(monkeypatch):
    monkeypatch.setenv("GDAL_HTTP_PROXY", "http://proxy:1")
    monkeypatch.delenv("GDAL_HTTPS_PROXY", raising=False)
    with own_process():
        assert os.environ["GDAL_HTTP_PROXY"] != "http://proxy:1"
        assert "CPL_VSIL_CURL_ALLOWED_FILENAME" in os.environ
        permit_connections()
        assert os.environ["GDAL_HTTP_PROXY"] == "http://proxy:1"
        assert "GDAL_HTTPS_PROXY" not in os.environ
    assert os.environ["GDAL_HTTP_PROXY"] == "http://proxy:1"
    assert "CPL_VSIL_CURL_ALLOWED_FILENAME" not in os.environ
    monkeypatch.setenv("GEOPOINTSEG_ALLOW_SOURCES", "network")
    with own_process():
        assert os.environ["GDAL_HTTP_PROXY"] == "http://proxy:1"


@pytest.mark.parametrize("kind", ["points", "raster"])
def test_a_local_archive_permits_no_connections(kind, place):
    with zipfile.ZipFile(place / "a.zip", "w") as archive:
        archive.write(place / "points.gpkg", "points.gpkg")
        archive.write(place / "scene.tif", "scene.tif")
    with own_process():
        if kind == "points":
            read_points(f"/vsizip/{place}/a.zip/points.gpkg")
        else:
            Scene.open(f"/vsizip/{place}/a.zip/scene.tif")
        assert "CPL_VSIL_CURL_ALLOWED_FILENAME" in os.environ


PRELUDE = "<OpenOptions><OOI key=\"PRELUDE_STATEMENTS\">VACUUM INTO '{target}'</OOI></OpenOptions>"
LAYER = '<OGRVRTDataSource><OGRVRTLayer name="points">{}<SrcDataSource>{}</SrcDataSource>{}</OGRVRTLayer></OGRVRTDataSource>'


@pytest.mark.parametrize("kind", ["layer option", "layer statement", "raster option", "name"])
def test_a_document_runs_no_statements_of_sql(kind, place, capsys):
    target, source = place / "written.db", place / "points.gpkg"
    prelude = PRELUDE.format(target=target)
    documents = {
        "layer option": LAYER.format(prelude, source, "<SrcLayer>points</SrcLayer>"),
        "layer statement": LAYER.format("", source, f"<SrcSQL>VACUUM INTO '{target}'</SrcSQL>"),
        "raster option": vrt("points.gpkg", prelude),
        "name": vrt(f"vrt://{source}?oo=PRELUDE_STATEMENTS=VACUUM INTO '{target}'"),
    }
    (place / "hostile.vrt").write_text(documents[kind])
    hostile = place / "hostile.vrt"
    code = check(hostile, place / "scene.tif") if "layer" in kind else check(source, hostile)
    assert code == 1
    assert "GEOPOINTSEG_ALLOW_SOURCES=functions" in capsys.readouterr().err
    assert not target.exists()


def test_harmless_options_are_accepted(place):
    option = '<OpenOptions><OOI key="NUM_THREADS">1</OOI></OpenOptions>'
    (place / "o.vrt").write_text(vrt("scene.tif", option))
    assert Scene.open(place / "o.vrt").grid.shape == (SIDE, SIDE)


@pytest.mark.parametrize("name", ["companion", "reference"])
@pytest.mark.parametrize("text", ["/vsicurl/http://a.b/c.tif", "<VRTDataset><a>/vsicurl/http://a.b/c.tif</a></VRTDataset>"])  # fmt: skip
def test_settings_name_no_address(name, text, tmp_path):
    (tmp_path / "s.toml").write_text(f'[scene]\n{name} = "{text}"\n')
    with pytest.raises(InputFileError, match=r"s\.toml.*GEOPOINTSEG_ALLOW_SOURCES=network"):
        Config.read(tmp_path / "s.toml")


def test_virtual_rasters_that_read_themselves_are_refused(place):
    (place / "a.vrt").write_text(vrt("b.vrt"))
    (place / "b.vrt").write_text(vrt("a.vrt"))
    with pytest.raises(InputFileError, match="reads itself"):
        Scene.open(place / "a.vrt")


def test_a_header_may_name_the_document_that_it_comes_from(place):
    with rasterio.open(place / "scene.tif", "r+") as target:
        target.update_tags(HISTORY="made of a.vrt")
    (place / "a.vrt").write_text(vrt("scene.tif"))
    assert Scene.open(place / "a.vrt").grid.shape == (SIDE, SIDE)


def test_virtual_rasters_that_multiply_sources_are_refused(place):
    source = vrt("scene.tif").partition("<SimpleSource>")[2].partition("</VRTRasterBand>")[0]
    name = "scene.tif"
    for level in range(7):
        text = vrt(name).replace("</VRTRasterBand>", ("<SimpleSource>" + source.replace("scene.tif", name)) * 9 + "</VRTRasterBand>")  # fmt: skip
        name = f"level{level}.vrt"
        (place / name).write_text(text)
    with pytest.raises(InputFileError, match="leads to more than 2000000 sources"):
        Scene.open(place / name)


def test_a_wide_kernel_is_refused(place):
    kernel = "<KernelFilteredSource><SourceFilename relativeToVRT='1'>scene.tif</SourceFilename><SourceBand>1</SourceBand><Kernel><Size>20001</Size><Coefs>1</Coefs></Kernel></KernelFilteredSource>"  # fmt: skip
    (place / "k.vrt").write_text(vrt("scene.tif").replace("</VRTRasterBand>", kernel + "</VRTRasterBand>"))  # fmt: skip
    with pytest.raises(InputFileError, match="kernel of more than 255 pixels"):
        Scene.open(place / "k.vrt")


def test_a_gml_file_with_its_schema_is_read_and_nothing_is_written_beside_it(place):
    frame = geopandas.read_file(place / "points.gpkg")
    frame.to_file(place / "p.gml", driver="GML")
    assert (place / "p.xsd").exists()
    before = sorted(place.iterdir())
    assert check(place / "p.gml", place / "scene.tif") == 0
    (place / "p.xsd").unlink()
    (place / "p.gfs").unlink(missing_ok=True)
    before = sorted(place.iterdir())
    assert check(place / "p.gml", place / "scene.tif") == 0
    assert sorted(place.iterdir()) == before


def test_statements_of_sql_are_not_run_before_the_document_is_refused(place):
    """The file that a prelude would change is as it was."""
    source = place / "points.gpkg"
    content = source.read_bytes()
    text = "<OpenOptions><OOI key='PRELUDE_STATEMENTS'>DELETE FROM points</OOI></OpenOptions>"
    (place / "p.vrt").write_text(LAYER.format(text, source, "<SrcLayer>points</SrcLayer>"))
    assert check(place / "p.vrt", place / "scene.tif") == 1
    assert source.read_bytes() == content
    with sqlite3.connect(source) as connection:
        assert connection.execute("SELECT count(*) FROM points").fetchone() == (14,)
