"""Documents that name network sources, functions or devices are refused; local ones are read."""

import json
import os
import zipfile
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from geopointseg.errors import GeopointsegError, InputFileError
from geopointseg.labels.points import read_points
from geopointseg.raster.class_map import ClassMap
from geopointseg.raster.scene import Scene

SIDE = 6
PROFILE = {
    "driver": "GTiff", "width": SIDE, "height": SIDE, "count": 1, "dtype": "uint8", "crs": "EPSG:32632",
    "transform": from_origin(500000, 5700000, 10, 10),
}  # fmt: skip


@pytest.fixture
def local(tmp_path: Path) -> Path:
    path = tmp_path / "local.tif"
    with rasterio.open(path, "w", **PROFILE) as target:
        target.write(np.arange(SIDE * SIDE, dtype=np.uint8).reshape(1, SIDE, SIDE))
    return path


def vrt(
    source: str, *, tag: str = "SourceFilename", band: str = "", inside: str = "", dataset: str = ""
) -> str:
    """Return a virtual raster of one band with one source."""
    return (
        f'<VRTDataset rasterXSize="{SIDE}" rasterYSize="{SIDE}" {dataset}><SRS>EPSG:32632</SRS>'
        "<GeoTransform>500000, 10, 0, 5700000, 0, -10</GeoTransform>"
        f'<VRTRasterBand dataType="Byte" band="1" {band}>{inside}<SimpleSource>'
        f'<{tag} relativeToVRT="0">{escape(source)}</{tag}><SourceBand>1</SourceBand></SimpleSource>'
        "</VRTRasterBand></VRTDataset>"
    )  # fmt: skip


WARPED = (
    '<VRTDataset rasterXSize="6" rasterYSize="6" subClass="VRTWarpedDataset"><SRS>EPSG:32632</SRS>'
    '<GeoTransform>500000, 10, 0, 5700000, 0, -10</GeoTransform><VRTRasterBand dataType="Byte" band="1" '
    'subClass="VRTWarpedRasterBand"/><BlockXSize>6</BlockXSize><BlockYSize>6</BlockYSize><GDALWarpOptions>'
    '<SourceDataset relativeToVRT="0">{url}</SourceDataset></GDALWarpOptions></VRTDataset>'
)
WMS = '<GDAL_WMS><Service name="TMS"><ServerUrl>{url}</ServerUrl></Service><DataWindow/></GDAL_WMS>'

SOURCES = {
    "vsicurl": vrt("/vsicurl/{url}"),
    "streamed": vrt("/vsicurl_streaming/{url}"),
    "query": vrt("/vsicurl?url={url}"),
    "http": vrt("{url}"),
    "capitals": vrt("HTTP://127.0.0.1/x.tif"),
    "s3": vrt("/vsis3/bucket/x.tif"),
    "azure": vrt("/vsiaz_streaming/bucket/x.tif"),
    "zip-of-address": vrt("/vsizip/vsicurl/{url}.zip/x.tif"),
    "zip-of-address-2": vrt("/vsizip/{/vsicurl/{url}}/x.tif"),
    "sub-file": vrt("/vsisubfile/0_10,/vsicurl/{url}"),
    "stdin": vrt("/vsistdin/"),
    "vrt-prefix": vrt("vrt:///vsicurl/{url}?bands=1"),
    "service-prefix": vrt("WMS:{url}"),
    "engine": vrt("EEDAI:image"),
    "derived-prefix": vrt("DERIVED_SUBDATASET:LOGAMPLITUDE:/vsicurl/{url}"),
    "quoted": vrt('NETCDF:"/vsicurl/{url}":v'),
    "embedded-text": vrt(vrt("/vsicurl/{url}")),
    "embedded-service": vrt(WMS),
    "share": vrt(r"\\host\share\x.tif"),
    "warped": WARPED,
    "pansharpened": vrt("local.tif", dataset='subClass="VRTPansharpenedDataset"')
    .replace("</VRTDataset>", "<PansharpeningOptions><PanchroBand><SourceFilename>{url}</SourceFilename></PanchroBand></PansharpeningOptions></VRTDataset>"),
    "mask": vrt("local.tif").replace("</VRTDataset>", f'<MaskBand>{vrt("/vsicurl/{url}")}</MaskBand></VRTDataset>'),
    "overview": vrt("local.tif", inside="<Overview><SourceFilename>/vsicurl/{url}</SourceFilename></Overview>"),
    "overviews-domain": vrt("local.tif").replace(
        "<SRS>", '<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">/vsicurl/{url}</MDI></Metadata><SRS>', 1),
    "sources-domain": vrt("local.tif").replace(
        "<SRS>", f'<Metadata domain="new_vrt_sources"><MDI key="source_0">{escape("<SimpleSource><SourceFilename>{url}</SourceFilename></SimpleSource>")}</MDI></Metadata><SRS>', 1),
    "open-option": vrt("local.tif", inside='<SimpleSource><OpenOptions><OOI key="OVERVIEW">{url}</OOI></OpenOptions></SimpleSource>'),
    "multidimensional": vrt("local.tif").replace(
        "<SRS>", '<Group name="/"><Array name="a"><Source><SourceFilename>{url}</SourceFilename></Source></Array></Group><SRS>', 1),
    "service": WMS,
    "index": "<GDALTileIndexDataset><IndexDataset>/vsicurl/{url}</IndexDataset></GDALTileIndexDataset>",
    "mrf": "<MRF_META><CachedSource><Source>/vsicurl/{url}</Source></CachedSource></MRF_META>",
    "wcs": "<WCS_GDAL><ServiceURL>{url}</ServiceURL></WCS_GDAL>",
    "wmts": "<GDAL_WMTS><GetCapabilitiesUrl>{url}</GetCapabilitiesUrl></GDAL_WMTS>",
    "pipeline": '{"type": "gdal_streamed_alg", "command_line": "gdal raster pipeline read /vsicurl/{url}"}',
}  # fmt: skip


@pytest.mark.parametrize("nested", ["", "vrt", "vrt-in-vrt", "text", "sidecar", "mask", "archive"])
@pytest.mark.parametrize("kind", SOURCES)
def test_network_sources_are_refused_before_a_connection(kind, nested, local, server, tmp_path):
    hostile = tmp_path / "hostile.tif"  # the ending says nothing
    hostile.write_text(SOURCES[kind].replace("{url}", server.url))
    path = _nest(hostile, nested, local)
    with pytest.raises(InputFileError) as refused:
        Scene.open(path)
    assert server.asked == []
    assert "GEOPOINTSEG_ALLOW_SOURCES=network" in str(refused.value)


def _nest(hostile: Path, nested: str, local: Path) -> Path:
    outer = hostile.with_name("outer.vrt")
    if nested == "vrt":
        outer.write_text(vrt(hostile.name).replace('relativeToVRT="0"', 'relativeToVRT="1"'))
    elif nested == "vrt-in-vrt":
        middle = hostile.with_name("middle.vrt")
        middle.write_text(vrt(str(hostile)))
        outer.write_text(vrt(f"vrt://{middle}?bands=1"))
    elif nested == "text":
        outer.write_text(vrt(vrt(str(hostile))))
    elif nested == "sidecar":
        hostile.rename(local.with_name("local.tif.ovr"))
        outer = local
    elif nested == "mask":
        hostile.rename(local.with_name("local.tif.msk"))
        outer = local
    elif nested == "archive":
        with zipfile.ZipFile(hostile.with_name("a.zip"), "w") as archive:
            archive.write(hostile, "in/x.tif")
        outer.write_text(vrt(f"/vsizip/{hostile.with_name('a.zip')}/in/x.tif"))
    return outer if nested else hostile


@pytest.mark.parametrize("place", ["aux", "tags"])
def test_an_overview_elsewhere_is_refused(place, local, server):
    if place == "aux":
        local.with_name("local.tif.aux.xml").write_text(
            f'<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">/vsicurl/{server.url}</MDI></Metadata></PAMDataset>'
        )
    else:
        with rasterio.open(local, "r+") as target:
            target.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=f"/vsicurl/{server.url}")
    with pytest.raises(InputFileError, match="GEOPOINTSEG_ALLOW_SOURCES=network"):
        Scene.open(local)
    assert server.asked == []


FUNCTIONS = {
    "builtin": "<PixelFunctionType>real</PixelFunctionType>",
    "expression": '<PixelFunctionType>expression</PixelFunctionType><PixelFunctionArguments expression="B1"/>',
    "python": "<PixelFunctionType>m.f</PixelFunctionType><PixelFunctionLanguage>Python</PixelFunctionLanguage>",
    "code": "<PixelFunctionCode><![CDATA[import os]]></PixelFunctionCode>",
}


@pytest.mark.parametrize("kind", FUNCTIONS)
@pytest.mark.parametrize("nested", ["", "vrt", "vrt-in-vrt", "text"])
def test_pixel_functions_are_refused(kind, nested, local, tmp_path, monkeypatch):
    hostile = tmp_path / "hostile.vrt"
    hostile.write_text(
        vrt(str(local), band='subClass="VRTDerivedRasterBand"', inside=FUNCTIONS[kind])
    )
    path = _nest(hostile, nested, local)
    with pytest.raises(
        InputFileError, match=r"pixel functions.*GEOPOINTSEG_ALLOW_SOURCES=functions"
    ):
        Scene.open(path)
    if kind == "builtin":
        monkeypatch.setenv("GEOPOINTSEG_ALLOW_SOURCES", "network, functions")
        assert Scene.open(path).read().image.sum() == sum(range(SIDE * SIDE))


def test_local_sources_are_read(local, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(local, "in/x.tif")
    expected = Scene.open(local).read().image
    sources = [
        "local.tif",
        str(local),
        f"/vsizip/{tmp_path}/a.zip/in/x.tif",
        f"vrt://{local}?bands=1",
        f"GTIFF_DIR:1:{local}",
    ]
    for number, source in enumerate(sources):
        path = tmp_path / f"{number}.vrt"
        relative = 'relativeToVRT="1"' if source == "local.tif" else 'relativeToVRT="0"'
        text = vrt(source, inside="<Description>https://host</Description>").replace(
            'relativeToVRT="0"', relative
        )
        path.write_text(
            text.replace(
                "<SRS>", '<Metadata><MDI key="SOURCE">https://host</MDI></Metadata><SRS>', 1
            )
        )
        outer = tmp_path / f"outer{number}.vrt"
        outer.write_text(vrt(str(path)))
        for each in (path, outer, f"vrt://{path}"):
            np.testing.assert_array_equal(Scene.open(each).read().image, expected, err_msg=source)


def test_sources_that_never_end_are_refused(local, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for source in ("/dev/zero", str(tmp_path / "pipe")):
        (tmp_path / "a.vrt").write_text(vrt(source))
        with pytest.raises(InputFileError, match="device or pipe"):
            Scene.open(tmp_path / "a.vrt")
    (tmp_path / "a.vrt").write_text(vrt(str(tmp_path / "a.vrt")))
    with pytest.raises(GeopointsegError):
        Scene.open(tmp_path / "a.vrt").read()


def test_documents_with_entities_are_refused(local, tmp_path):
    (tmp_path / "a.vrt").write_text(
        f'<!DOCTYPE v [<!ENTITY a "{local}">]>' + vrt("LOCAL").replace("LOCAL", "&a;")
    )
    with pytest.raises(InputFileError, match="declares the entity 'a'"):
        Scene.open(tmp_path / "a.vrt")


def test_class_maps_are_followed(tmp_path, server):
    (tmp_path / "map.vrt").write_text(vrt(f"/vsicurl/{server.url}"))
    with pytest.raises(InputFileError, match="GEOPOINTSEG_ALLOW_SOURCES"):
        ClassMap.open(tmp_path / "map.vrt")
    assert server.asked == []


LAYERS = {
    "a.vrt": '<OGRVRTDataSource><OGRVRTLayer name="a"><SrcDataSource>/vsicurl/{url}</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>',
    "b.vrt": "<OGRVRTDataSource><OGRVRTLayer name='b'><SrcDataSource>b.gpkg</SrcDataSource>"
    "<SrcSQL>SELECT ogr_datasource_load_layers('/vsicurl/{url}')</SrcSQL></OGRVRTLayer></OGRVRTDataSource>",
    "c.xml": "<OGRWFSDataSource><URL>{url}</URL></OGRWFSDataSource>",
    "d.gdalg.json": '{"type": "gdal_streamed_alg", "command_line": "gdal vector pipeline read {url}"}',
    "e.gml": '<WFS_Capabilities xmlns="http://www.opengis.net/wfs"><Get>{url}</Get></WFS_Capabilities>',
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_the_network_are_refused(name, server, tmp_path):
    (tmp_path / name).write_text(LAYERS[name].replace("{url}", server.url))
    with pytest.raises(InputFileError, match="GEOPOINTSEG_ALLOW_SOURCES"):
        read_points(tmp_path / name)
    assert server.asked == []


def test_local_layers_are_read(tmp_path):
    point = {
        "type": "Feature",
        "properties": {"class": "a", "refs": 1},
        "geometry": {"type": "Point", "coordinates": [9, 50]},
    }
    (tmp_path / "p.geojson").write_text(
        json.dumps({"type": "FeatureCollection", "features": [point]})
    )
    (tmp_path / "p.vrt").write_text(
        '<OGRVRTDataSource><OGRVRTLayer name="p"><SrcDataSource relativeToVRT="1">p.geojson</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>'
    )
    for name in ("p.geojson", "p.vrt"):
        assert len(read_points(tmp_path / name).x) == 1
