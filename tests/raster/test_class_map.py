"""Class maps: what is written can be read back, by us and by GDAL."""

from __future__ import annotations

import json
import shutil
import subprocess

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.windows import Window

from geopointseg.errors import InputFileError, LegendError, OutputError, RasterError
from geopointseg.legend import Legend
from geopointseg.raster.class_map import (
    ClassMap,
    class_dtype,
    nodata_code,
    write_class_map,
)
from geopointseg.raster.class_style import aux_path, qml_path
from geopointseg.raster.grid import Grid

LEGEND = Legend.from_names(
    ["water", "Fläche", "森林"], codes=[0, 20, 255], colors=["#0000ff", "#ffaa00", "#1b7837"]
)


def grid_of(shape, transform=None):
    return Grid(CRS.from_epsg(32633), transform or Affine(10, 0, 5e5, 0, -10, 57e5), *shape)


def random_classes(shape, classes=3, seed=0):
    return np.random.default_rng(seed).integers(-1, classes, size=shape)


@pytest.mark.parametrize("cog", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (100, 70), (512, 512), (513, 1025)])
def test_round_trip(tmp_path, shape, cog):
    index = random_classes(shape)
    grid = grid_of(shape, Affine(3, 1, 5e5, 0.5, 4, 57e5))
    path = write_class_map(tmp_path / "map.tif", index, grid, LEGEND, fingerprint="abc", cog=cog)
    opened = ClassMap.open(path)
    read, valid = opened.read()
    assert np.array_equal(read, index)
    assert np.array_equal(valid, index >= 0)
    assert opened.legend == LEGEND
    assert opened.grid == grid
    assert opened.fingerprint == "abc"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map.qml", "map.tif", "map.tif.aux.xml"]


def test_codes_and_colours_in_the_file(tmp_path):
    index = np.array([[0, 1, 2, -1]])
    path = write_class_map(tmp_path / "map.tif", index, grid_of((1, 4)), LEGEND)
    with rasterio.open(path) as dataset:
        assert dataset.dtypes == ("uint8",)
        assert dataset.nodata == 254
        assert dataset.read(1).tolist() == [[0, 20, 255, 254]]
        assert dataset.colormap(1)[20] == (255, 170, 0, 255)
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert json.loads(dataset.tags()["GEOPOINTSEG_LEGEND"])[1]["name"] == "Fläche"


def test_many_classes_need_sixteen_bits(tmp_path):
    legend = Legend.from_names([f"class {i}" for i in range(300)], codes=range(300))
    index = np.arange(300).reshape(15, 20)
    path = write_class_map(tmp_path / "map.tif", index, grid_of((15, 20)), legend)
    opened = ClassMap.open(path)
    assert opened.dtype == "uint16"
    assert opened.nodata == 65535
    assert np.array_equal(opened.read()[0], index)
    with rasterio.open(path) as dataset:
        assert dataset.colormap(1)[299][:3] == tuple(legend.rgb[299])


def test_overviews_are_by_majority(tmp_path):
    index = np.zeros((2048, 2048), dtype=int)
    index[::2, ::2] = 1
    path = write_class_map(tmp_path / "map.tif", index, grid_of(index.shape), LEGEND)
    with rasterio.open(path) as dataset:
        assert dataset.overviews(1) == [2, 4]
    with rasterio.open(path, overview_level=0) as dataset:
        assert np.unique(dataset.read(1)).tolist() == [0]


def test_windows_beyond_the_border(tmp_path):
    index = random_classes((40, 50))
    opened = ClassMap.open(write_class_map(tmp_path / "map.tif", index, grid_of((40, 50)), LEGEND))
    read, valid = opened.read(Window(-5, -5, 20, 20))
    assert np.array_equal(read[5:, 5:], index[:15, :15])
    assert not valid[:5].any()
    assert not valid[:, :5].any()


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(0, 400), min_size=1, max_size=300))
def test_nodata_is_never_a_class_code(codes):
    legend = Legend.from_names([str(c) for c in codes], codes=sorted(codes))
    nodata = nodata_code(legend)
    assert nodata not in codes
    assert nodata <= np.iinfo(class_dtype(legend)).max


def test_all_byte_codes_taken():
    legend = Legend.from_names([str(c) for c in range(256)], codes=range(256))
    assert class_dtype(legend) == "uint16"
    assert nodata_code(legend) == 65535


def test_foreign_raster_legend_from_sidecar_style_and_values(tmp_path):
    index = random_classes((30, 30))
    path = write_class_map(tmp_path / "map.tif", index, grid_of((30, 30)), LEGEND, cog=False)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(GEOPOINTSEG_LEGEND="")
    plain = tmp_path / "foreign.tif"
    with rasterio.open(path) as dataset:
        profile = {**dataset.profile, "nodata": 254}
        with rasterio.open(plain, "w", **profile) as copy:
            copy.write(dataset.read())
    assert ClassMap.open(plain).legend.names == ["0", "20", "255"]
    shutil.copy(qml_path(path), qml_path(plain))
    assert ClassMap.open(plain).legend == LEGEND
    qml_path(plain).unlink()
    shutil.copy(aux_path(path), aux_path(plain))
    assert ClassMap.open(plain).legend == LEGEND
    assert np.array_equal(ClassMap.open(plain).read()[0], index)


def test_a_code_that_is_nodata_is_no_class(tmp_path):
    path = write_class_map(
        tmp_path / "map.tif", random_classes((30, 30)), grid_of((30, 30)), LEGEND
    )
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.nodata = 20
    opened = ClassMap.open(path)
    assert opened.legend.names == ["water", "森林"]
    assert not opened.read()[1][opened.read_codes()[0] == 20].any()


def test_nodata_beside_a_mask_is_no_class(tmp_path):
    path = tmp_path / "m.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=1, width=3, count=1, dtype="int16", nodata=-1,
        crs="EPSG:32633", transform=Affine(10, 0, 0, 0, -10, 0),
    ) as dataset:  # fmt: skip
        dataset.write(np.array([[[4, -1, 5]]], dtype=np.int16))
        dataset.write_mask(np.array([[True, True, False]]))
    assert ClassMap.open(path).read()[0].tolist() == [[0, -1, -1]]


def test_truncated_map(tmp_path):
    index = random_classes((600, 600))
    path = write_class_map(tmp_path / "map.tif", index, grid_of((600, 600)), LEGEND, cog=False)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputFileError, match=r"map\.tif' cannot be (read at rows|opened)"):
        ClassMap.open(path).read()


@pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="needs gdalinfo")
def test_gdal_reads_names_and_attribute_table(tmp_path):
    path = write_class_map(tmp_path / "map.tif", np.array([[0, 1]]), grid_of((1, 2)), LEGEND)
    text = subprocess.run(
        ["gdalinfo", "-json", str(path)], capture_output=True, text=True, check=True
    ).stdout
    report = json.loads(text)
    table = report["rat"]
    assert [row["f"][:2] for row in table["row"]] == [[0, "water"], [20, "Fläche"], [255, "森林"]]


def test_probabilities_are_not_a_class_map(tmp_path):
    path = tmp_path / "p.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=2, width=2, count=1, dtype="float32",
        crs="EPSG:32633", transform=Affine(10, 0, 0, 0, -10, 0),
    ) as dataset:  # fmt: skip
        dataset.write(np.full((2, 2), 0.5, dtype=np.float32), 1)
    with pytest.raises(RasterError, match="not whole numbers"):
        ClassMap.open(path)


def test_bad_input_is_refused_and_leaves_nothing(tmp_path):
    grid = grid_of((2, 2))
    with pytest.raises(RasterError, match="holds the index 3, but the legend has 3 classes"):
        write_class_map(tmp_path / "map.tif", np.full((2, 2), 3), grid, LEGEND)
    with pytest.raises(RasterError, match=r"shape \(1, 2\), the grid \(2, 2\)"):
        write_class_map(tmp_path / "map.tif", np.zeros((1, 2), int), grid, LEGEND)
    with pytest.raises(OutputError, match="does not exist"):
        write_class_map(tmp_path / "none" / "map.tif", np.zeros((2, 2), int), grid, LEGEND)
    with pytest.raises(OutputError, match="is a folder"):
        write_class_map(tmp_path, np.zeros((2, 2), int), grid, LEGEND)
    with pytest.raises(LegendError, match="70000 is too large"):
        class_dtype(Legend.from_names(["a"], codes=[70000]))
    with pytest.raises(InputFileError, match="does not exist"):
        ClassMap.open(tmp_path / "absent.tif")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "Work!.tif", "a;b,c?.tif", "100% #1.tif", " map .tif", "line\nbreak.tif", "-m.tif", "GPKG:x.tif", "http:x.tif",
        "s3:x.tif", "zip.data", "no suffix", "\u6c34.tif", "x" * 251 + ".tif",
    ],
)  # fmt: skip
def test_any_name_of_the_file_system_is_written_and_read(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    index = random_classes((30, 20))
    for _ in range(2):
        write_class_map(name, index, grid_of((30, 20)), LEGEND)
    opened = ClassMap.open(name)
    assert np.array_equal(opened.read()[0], index)
    assert opened.legend == LEGEND
    assert not [p.name for p in tmp_path.iterdir() if "partial" in p.name or p.name.startswith(".")]
