from __future__ import annotations

import warnings

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from geopointseg.errors import InputFileError, RasterError
from geopointseg.lab.color_palette import PALETTES
from geopointseg.lab.dense_mask import DenseMask, read_dense_mask
from geopointseg.legend import Legend
from geopointseg.raster.class_map import write_class_map
from geopointseg.raster.grid import Grid

GRID = Grid(CRS.from_epsg(32633), Affine(10, 0, 500_000, 0, -10, 5_700_000), 20, 30)


@pytest.fixture
def write_mask_file(tmp_path):
    """Write a mask file: ``write(name, values (band, row, col), georeferenced=True, colormap=None, **profile)``."""

    def write(name, values, *, georeferenced=True, colormap=None, **profile):
        values = np.asarray(values)
        place = {"crs": GRID.crs, "transform": GRID.transform} if georeferenced else {}
        driver = "PNG" if name.endswith(".png") else "GTiff"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with rasterio.open(
                tmp_path / name, "w", driver=driver, count=len(values), height=values.shape[1],
                width=values.shape[2], dtype=values.dtype, **place, **profile,
            ) as dataset:  # fmt: skip
                if colormap:
                    dataset.write_colormap(1, colormap)
                dataset.write(values)
        return tmp_path / name

    return write


def codes(low, high, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(low, high, (1, 20, 30)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.float32])
def test_index_raster_with_nodata_and_zero_as_a_class(write_mask_file, dtype):
    values = codes(0, 5, dtype)
    mask = read_dense_mask(write_mask_file("m.tif", values, nodata=4))
    assert mask.legend.codes.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(
        mask.class_index, np.where(values[0] == 4, -1, values[0].astype(int))
    )
    assert mask.grid == GRID
    assert mask.counts().tolist() == np.bincount(values.astype(int).ravel())[:4].tolist()


def test_ignored_codes_are_unlabelled(write_mask_file):
    values = codes(0, 4)
    mask = read_dense_mask(write_mask_file("m.tif", values), ignore=[0, 3])
    assert mask.legend.codes.tolist() == [1, 2]
    np.testing.assert_array_equal(mask.class_index == -1, np.isin(values[0], [0, 3]))


def test_index_raster_takes_names_and_void_codes_of_a_palette(write_mask_file):
    values = codes(0, 8)
    mask = read_dense_mask(
        write_mask_file("m.png", values, georeferenced=False), palette="loveda", grid=GRID
    )
    assert mask.legend == PALETTES["loveda"].legend
    np.testing.assert_array_equal(mask.class_index, values[0].astype(int) - 1)


def test_class_maps_of_our_own_keep_their_legend(tmp_path):
    legend = Legend.from_names(["Wald", "Wasser"], codes=[40, 7], colors=["#112233", "#445566"])
    index = codes(-1, 2, np.int16)[0]
    write_class_map(tmp_path / "map.tif", index, GRID, legend, cog=False)
    mask = read_dense_mask(tmp_path / "map.tif")
    assert mask.legend == legend
    np.testing.assert_array_equal(mask.class_index, index)


@pytest.mark.parametrize("georeferenced", [True, False])
def test_colour_picture(write_mask_file, georeferenced):
    palette = PALETTES["swiss_drone"]
    index = codes(0, 9)[0]
    picture = np.moveaxis(palette.legend.rgb[index], -1, 0)
    path = write_mask_file(
        "m.png" if not georeferenced else "m.tif", picture, georeferenced=georeferenced
    )
    mask = read_dense_mask(path, palette="swiss_drone", grid=None if georeferenced else GRID)
    np.testing.assert_array_equal(mask.class_index, index)


def test_colour_table_that_means_the_palette(write_mask_file):
    palette = PALETTES["isprs"]
    values = codes(0, 6)
    table = {code: (*palette.legend.rgb[5 - code].tolist(), 255) for code in range(6)}
    mask = read_dense_mask(write_mask_file("m.tif", values, colormap=table), palette=palette)
    np.testing.assert_array_equal(mask.class_index, 5 - values[0])


def test_jpeg_artefacts_are_snapped_and_reported(write_mask_file):
    palette = PALETTES["isprs"]
    index = np.repeat(np.arange(6), 5)[None].repeat(20, axis=0)
    picture = np.moveaxis(palette.legend.rgb[index], -1, 0).astype(int)
    picture += np.random.default_rng(0).integers(-20, 21, picture.shape)
    picture[:, 0, 0] = 120
    path = write_mask_file("m.tif", picture.clip(0, 255).astype(np.uint8))
    with pytest.warns(
        UserWarning, match=r"not in the palette and are left unlabelled \(1 pixels: #787878 \(1\)\)"
    ):
        mask = read_dense_mask(path, palette=palette)
    assert mask.class_index[0, 0] == -1
    assert (mask.class_index != index).sum() == 1


def test_strips_do_not_matter(write_mask_file, monkeypatch):
    values = codes(0, 5)
    path = write_mask_file("m.tif", values)
    picture = write_mask_file("p.tif", np.moveaxis(PALETTES["isprs"].legend.rgb[values[0]], -1, 0))
    monkeypatch.setattr("geopointseg.lab.dense_mask._RANGE_PX", 70)
    np.testing.assert_array_equal(read_dense_mask(path).class_index, values[0])
    np.testing.assert_array_equal(read_dense_mask(picture, palette="isprs").class_index, values[0])


class TestInstances:
    def test_instance_raster_beside_the_mask(self, write_mask_file):
        objects = codes(0, 50, np.uint16, seed=1)
        mask = read_dense_mask(
            write_mask_file("m.tif", codes(1, 3)),
            instances=write_mask_file("i.tif", objects, nodata=0),
        )
        np.testing.assert_array_equal(mask.instance, objects[0])

    def test_class_and_object_in_one_code(self, write_mask_file):
        values = codes(1, 3).astype(np.uint16) * 1000 + codes(0, 50, np.uint16, seed=1)
        mask = read_dense_mask(write_mask_file("m.tif", values), instance_divisor=1000)
        assert mask.legend.codes.tolist() == [1, 2]
        np.testing.assert_array_equal(mask.class_index[None] + 1, values // 1000)
        np.testing.assert_array_equal(mask.instance[None], values % 1000)

    def test_instance_raster_of_another_size(self, write_mask_file):
        mask, objects = (
            write_mask_file("m.tif", codes(1, 3)),
            write_mask_file("i.tif", codes(1, 3)[:, :10]),
        )
        with pytest.raises(
            RasterError, match=r"has 30 x 10 pixels, its image 30 x 20\. Expected the same size"
        ):
            read_dense_mask(mask, instances=objects)


class TestRefusal:
    def test_missing_file(self, tmp_path):
        with pytest.raises(InputFileError, match=r"does not exist"):
            read_dense_mask(tmp_path / "no.tif")

    def test_size_differs_from_the_image(self, write_mask_file):
        path = write_mask_file("m.png", codes(0, 3)[:, :10], georeferenced=False)
        with pytest.raises(
            RasterError, match=r"has 30 x 10 pixels, its image 30 x 20\. Expected the same size"
        ):
            read_dense_mask(path, grid=GRID)

    def test_picture_without_palette(self, write_mask_file):
        path = write_mask_file("m.tif", np.zeros((3, 20, 30), np.uint8))
        with pytest.raises(
            RasterError, match=r"is a picture of 3 bands\. .* name one of deepglobe, loveda"
        ):
            read_dense_mask(path)

    def test_colours_outside_the_palette(self, write_mask_file):
        picture = np.zeros((3, 20, 30), np.uint8)
        picture[0, :5] = 77
        with pytest.raises(
            RasterError,
            match=r"colours that its palette lacks \(150 pixels: #4d0000 \(150\)\)\. Expected the colours",
        ):
            read_dense_mask(write_mask_file("m.tif", picture), palette="swiss_drone")

    def test_code_that_the_legend_lacks(self, write_mask_file):
        values = codes(1, 3)
        values[0, 0, :4] = 9
        with pytest.raises(
            RasterError,
            match=r"codes that the legend lacks: 9 \(4 pixels\)\. Expected 1 a, 2 b; add",
        ):
            read_dense_mask(write_mask_file("m.tif", values), legend=Legend.from_names(["a", "b"]))

    def test_no_georeference(self, write_mask_file):
        path = write_mask_file("m.png", codes(0, 3), georeferenced=False)
        with pytest.raises(RasterError, match=r"has no coordinate reference system\. .*`like=`"):
            read_dense_mask(path)

    def test_fractions(self, write_mask_file):
        path = write_mask_file("m.tif", np.full((1, 20, 30), 0.5, np.float32))
        with pytest.raises(RasterError, match=r"holds 0\.5\. Expected whole numbers"):
            read_dense_mask(path)

    def test_far_too_many_codes(self, write_mask_file):
        path = write_mask_file("m.tif", np.arange(600, dtype=np.uint16).reshape(1, 20, 30))
        with pytest.raises(
            RasterError,
            match=r"holds 600 different codes\. Expected at most 255 .*instance_divisor",
        ):
            read_dense_mask(path)

    def test_sixteen_bit_picture(self, write_mask_file):
        path = write_mask_file("m.tif", np.zeros((3, 20, 30), np.uint16))
        with pytest.raises(RasterError, match=r"picture of type uint16\. Expected 8 bits"):
            read_dense_mask(path, palette="isprs")

    def test_array_of_another_size(self):
        with pytest.raises(RasterError, match=r"'a' has 3 x 2 pixels, its image 30 x 20"):
            DenseMask(np.zeros((2, 3), np.int16), GRID, Legend.from_names(["a"]), "a")


def test_the_real_masks(real_data):
    folder = real_data / "swiss_drone"
    from geopointseg.raster.scene import Scene

    grid = Scene.open(folder / "scene_8744.tif").grid
    mask = read_dense_mask(folder / "mask_8744.png", palette="swiss_drone", grid=grid)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(folder / "mask_8744.png") as dataset:
            black = (dataset.read() == 0).all(axis=0)
    np.testing.assert_array_equal(mask.class_index == -1, black)


def test_a_container_lists_the_rasters_that_may_be_the_mask(tmp_path):
    path = tmp_path / "tiles.gpkg"
    for table, options in (("truth", {}), ("photo", {"APPEND_SUBDATASET": "YES"})):
        with rasterio.open(
            path, "w", driver="GPKG", count=1, height=20, width=30, dtype="uint8", crs=GRID.crs,
            transform=GRID.transform, RASTER_TABLE=table, **options,
        ) as target:  # fmt: skip
            target.write(codes(1, 3))
    words = r"2 sub-datasets, and one of them is the mask\. Expected the one with the classes; name it instead of the file: .*truth, .*photo\."
    with pytest.raises(RasterError, match=words):
        read_dense_mask(path)
