"""From files, folders and STAC items to scenes."""

from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp
from rasterio.shutil import copy
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geopointseg.bands.band_names import band_specs
from geopointseg.bands.opening import list_rasters, open_scenes
from geopointseg.bands.stack import mosaic_scenes, stack_dates, stack_scenes
from geopointseg.config import Config
from geopointseg.errors import InputFileError, RasterError
from geopointseg.prediction.prediction_job import open_imagery
from geopointseg.progress import Event, Reporter
from geopointseg.radiometry.histogram_matching import match_raster
from geopointseg.radiometry.picture_style import PictureStyle
from geopointseg.raster.acquisition_date import find_date
from geopointseg.raster.class_style import read_sidecar_legend
from geopointseg.raster.publishing import raster_files
from geopointseg.raster.scene import HANDLES, Scene


class Collect:
    def __init__(self) -> None:
        self.messages: list[str] = []

    def emit(self, event: Event) -> None:
        if event.kind in {"log", "warning"}:
            self.messages.append(event.message)

    def close(self) -> None: ...


def write(
    path: Path,
    image: np.ndarray,
    *,
    pixel: float = 10,
    left: float = 500000,
    top: float = 5700000,
    names: tuple[str, ...] = (),
    mask: np.ndarray | None = None,
    **options: Any,
) -> Path:
    profile = {"crs": "EPSG:32633", "photometric": "MINISBLACK"} | options
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path, "w", driver="GTiff", count=len(image), height=image.shape[1], width=image.shape[2],
            dtype=image.dtype, transform=Affine(pixel, 0, left, 0, -pixel, top), **profile,
        ) as target,
    ):  # fmt: skip
        target.write(image)
        if names:
            target.descriptions = names
        if mask is not None:
            target.write_mask(mask)
    return path


def flat(
    value: float, height: int = 20, width: int = 30, bands: int = 1, dtype: str = "uint16"
) -> np.ndarray:
    return np.full((bands, height, width), value, dtype)


def coded(height: int = 20, width: int = 30, start: tuple[int, int] = (0, 0)) -> np.ndarray:
    """One band that encodes place: row * 1000 + column."""
    rows, cols = np.mgrid[0:height, 0:width]
    return ((rows + start[0]) * 1000 + cols + start[1] + 1)[None].astype(np.uint16)


# --- one-band files ------------------------------------------------------------------------------------------


def test_one_band_files_of_a_folder_become_one_scene(tmp_path: Path):
    for value, band in ((4, "B04"), (8, "B08"), (3, "B03")):
        write(tmp_path / f"T32_20200831_{band}_10m.tif", flat(value))
    write(tmp_path / "T32_20200831_B11_10m.tif", flat(11, 10, 15), pixel=20)
    (tmp_path / "readme.txt").write_text("no raster")
    collect = Collect()
    (scene,) = open_scenes(
        tmp_path, bands=["b04", "b08", "b11", "ratio = b08 / b04"], reporter=Reporter(collect)
    )
    assert scene.grid.shape == (20, 30)
    assert scene.date == "2020-08-31"
    assert scene.read(Window(3, 3, 2, 2)).image[:, 0, 0].tolist() == [4, 8, 11, 2]
    assert "4 one-band files" in collect.messages[0]
    again = pickle.loads(pickle.dumps(scene))
    np.testing.assert_array_equal(again.read().image, scene.read().image)


def test_one_band_files_of_other_dates_stay_apart(tmp_path: Path):
    paths = [
        write(tmp_path / f"pan_{year}0601.tif", flat(k)) for k, year in enumerate((2010, 2011), 1)
    ]
    assert len(open_scenes(paths)) == 2
    with pytest.warns(UserWarning, match=r"'east.tif' and 'west.tif' .* taken as 2 scenes"):
        assert (
            len(open_scenes([write(tmp_path / n, flat(1)) for n in ("east.tif", "west.tif")])) == 2
        )


def test_stacking_is_as_asked(tmp_path: Path):
    paths = [write(tmp_path / f"{name}.tif", flat(k)) for k, name in enumerate(("one", "two"), 1)]
    (scene,) = open_scenes(paths, stack="always")
    assert scene.band_names == ["one", "two"]
    named = [write(tmp_path / f"s_{name}.tif", flat(k)) for k, name in enumerate(("red", "nir"), 1)]
    assert [s.band_names for s in open_scenes(named)] == [["red", "nir"]]
    assert len(open_scenes(named, bands=["1"], stack="never")) == 2


def test_a_stack_keeps_pixels_nodata_and_scale(tmp_path: Path):
    image = coded()
    image[0, 4, 5] = 0
    red = write(tmp_path / "red.tif", image, nodata=0)
    nir = write(tmp_path / "nir.tif", coded() + 7)
    with rasterio.open(nir, "r+") as target:
        target.scales, target.offsets = (0.5,), (1.0,)
    stacked = stack_scenes([Scene.open(red), Scene.open(nir)])
    chip = stacked.read()
    np.testing.assert_array_equal(chip.valid, image[0] != 0)
    np.testing.assert_array_equal(chip.image[0], image[0])
    np.testing.assert_allclose(chip.image[1][chip.valid], ((coded()[0] + 7) * 0.5 + 1)[chip.valid])


def test_a_stack_masks_what_any_file_masks(tmp_path: Path):
    masks = [np.full((20, 30), 255, np.uint8) for _ in range(2)]
    masks[0][2, 2], masks[1][5, 5] = 0, 0
    paths = [
        write(tmp_path / f"{k}.tif", flat(9, dtype="uint8"), mask=m) for k, m in enumerate(masks)
    ]
    scene = stack_scenes([Scene.open(path) for path in paths])
    assert len(scene.bands) == 2
    np.testing.assert_array_equal(scene.read().valid, (masks[0] > 0) & (masks[1] > 0))


def test_a_stack_covers_the_shared_ground(tmp_path: Path):
    a = Scene.open(write(tmp_path / "a.tif", coded()))
    b = Scene.open(write(tmp_path / "b.tif", coded(start=(5, 4)), left=500040, top=5700000 - 50))
    scene = stack_scenes([a, b])
    assert scene.grid.shape == (15, 26)
    image = scene.read().image
    np.testing.assert_array_equal(image[0], image[1])
    assert image[0, 0, 0] == 5005


def test_stacks_that_cannot_be(tmp_path: Path):
    a = Scene.open(write(tmp_path / "a.tif", coded()))
    with pytest.raises(
        RasterError, match=r"in EPSG:32634 and 'a.tif' in EPSG:32633. Expected one CRS.*gdalwarp"
    ):
        stack_scenes([a, Scene.open(write(tmp_path / "b.tif", coded(), crs="EPSG:32634"))])
    with pytest.raises(RasterError, match=r"do not overlap"):
        stack_scenes([a, Scene.open(write(tmp_path / "c.tif", coded(), left=900000))])
    south_up = Scene.open(_south_up(tmp_path))
    with pytest.raises(RasterError, match=r"rows and columns of 'south.tif' do not run along"):
        stack_scenes([a, south_up])


def _south_up(tmp_path: Path) -> Path:
    path = write(tmp_path / "south.tif", coded())
    with rasterio.open(path, "r+") as target:
        target.transform = Affine(10, 0, 500000, 0, 10, 5699800)
    return path


# --- dates -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "date"),
    [
        ("LC08_L2SP_190024_20200415_20200822_02_T1_SR_B4.TIF", "2020-04-15"),
        ("LE70220492002106EDC00_stack.gtif", "2002-04-16"),
        ("ortho_2019-05-04.tif", "2019-05-04"),
        ("m_4709963_se_14_1_20180716.tif", "2018-07-16"),
        ("2020.tif", "2020"),
        ("tile_20209931.tif", ""),
        ("dop20_32_412_5655.tif", ""),
    ],
)
def test_dates_of_names(name: str, date: str):
    assert find_date(name) == date


def test_dates_of_tags(tmp_path: Path):
    path = write(tmp_path / "x_20010101.tif", flat(1))
    with rasterio.open(path, "r+") as target:
        target.update_tags(ACQUISITIONDATETIME="2021-07-05T10:11:12Z")
    assert Scene.open(path).date == "2021-07-05"


def test_dates_as_channels(tmp_path: Path):
    new = write(tmp_path / "s_20200601.tif", flat(20, bands=2), names=("red", "nir"))
    old = write(tmp_path / "s_20100601.tif", flat(10, bands=2), names=("red", "nir"), left=500003)
    (scene,) = open_scenes([new, old], dates="channels")
    assert scene.band_names == ["t1_red", "t1_nir", "t2_red", "t2_nir"]
    assert scene.read(Window(5, 5, 1, 1)).image.ravel().tolist() == [10, 10, 20, 20]
    assert len(open_scenes([new, old])) == 2


def test_dates_that_cannot_be_channels(tmp_path: Path):
    dated = write(tmp_path / "s_20200601.tif", flat(1))
    with pytest.raises(RasterError, match=r"'s_20200601.tif' is the only date of its place"):
        open_scenes(dated, dates="channels")
    plain = [Scene.open(write(tmp_path / f"{n}.tif", flat(1))) for n in "ab"]
    with pytest.raises(RasterError, match=r"No date can be read from 'a.tif'.*YYYY-MM-DD"):
        stack_dates(plain)
    with pytest.raises(RasterError, match=r"Two scenes have the date 2020-06-01"):
        stack_dates([Scene.open(dated), Scene.open(dated)])
    elsewhere = write(tmp_path / "t_20200601.tif", flat(1), left=600000)
    again = write(tmp_path / "s_20210601.tif", flat(1))
    with pytest.raises(RasterError, match=r"The places have 1, 2 dates"):
        open_scenes([dated, again, elsewhere], dates="channels")


# --- mosaics ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nodata", [None, 0])
def test_a_mosaic_puts_every_pixel_in_its_place(tmp_path: Path, nodata: int | None):
    whole = coded(40, 60)
    tiles = []
    for row, col in ((0, 0), (0, 30), (20, 30)):  # the south-west is missing
        tile = whole[:, row : row + 20, col : col + 30]
        path = tmp_path / f"{row}_{col}.tif"
        tiles.append(
            Scene.open(
                write(path, tile, left=500000 + col * 10, top=5700000 - row * 10, nodata=nodata)
            )
        )
    scene = mosaic_scenes(tiles)
    chip = scene.read()
    assert chip.valid.shape == (40, 60)
    assert not chip.valid[20:, :30].any()
    assert chip.valid.sum() == 3 * 600
    np.testing.assert_array_equal(chip.image[0][chip.valid], whole[0][chip.valid])
    assert len(scene.bands) == 1


def test_a_mosaic_sees_through_nodata(tmp_path: Path):
    below, above = flat(5), flat(6)
    above[0, :10] = 0
    tiles = [
        Scene.open(write(tmp_path / f"{k}.tif", image, nodata=0))
        for k, image in enumerate((below, above))
    ]
    image = mosaic_scenes(tiles).read().image[0]
    assert (image[:10] == 5).all()
    assert (image[10:] == 6).all()


def test_tiles_and_bands_meet_across_180_degrees(tmp_path: Path):
    def scene(name: str, value: int, left: float) -> Scene:
        options = {"pixel": 0.1, "left": left, "top": 1, "crs": "EPSG:4326"}
        return Scene.open(write(tmp_path / name, flat(value), **options))

    west, east = scene("a.tif", 1, 177), scene("b.tif", 2, -180)
    mosaic = mosaic_scenes([west, east])
    assert mosaic.grid.bounds == pytest.approx((177, -1, 183, 1))
    assert mosaic.read().image[0, 7].tolist() == [1] * 30 + [2] * 30
    stacked = stack_scenes([east, scene("c.tif", 3, 180)])
    assert stacked.grid == east.grid
    assert (stacked.read().image[:, 7, 9]).tolist() == [2, 3]
    scene("B04.tif", 4, -180), scene("B08.tif", 8, 180)
    (opened,) = open_scenes([tmp_path / "B04.tif", tmp_path / "B08.tif"])
    assert opened.read().image[:, 7, 9].tolist() == [4, 8]


def test_tiles_that_are_no_mosaic(tmp_path: Path):
    a = Scene.open(write(tmp_path / "a.tif", coded()))
    with pytest.raises(RasterError, match=r"'b.tif' .* does not continue the pixels of 'a.tif'"):
        mosaic_scenes([a, Scene.open(write(tmp_path / "b.tif", coded(), left=500003))])


def test_a_virtual_raster_is_a_scene(tmp_path: Path):
    source = write(tmp_path / "a.tif", coded())
    with rasterio.open(source) as dataset, WarpedVRT(dataset) as view:
        copy(view, tmp_path / "a.vrt", driver="VRT")
    (scene,) = open_scenes(tmp_path / "a.vrt")
    np.testing.assert_array_equal(scene.read().image, coded())


@pytest.mark.parametrize("lead", ["", "\n  "])
def test_the_text_of_a_virtual_raster_may_be_longer_than_a_file_name(tmp_path: Path, lead: str):
    write(tmp_path / "red.tif", coded())
    stacked = stack_scenes([Scene.open(tmp_path / "red.tif")])
    filler = f"<Metadata><MDI key='a'>{'b' * 5000}</MDI></Metadata></VRTDataset>"
    text = lead + stacked.path.replace("</VRTDataset>", filler)
    (scene,) = open_scenes(text)
    assert scene.name == "virtual raster"
    np.testing.assert_array_equal(scene.read().image, coded())
    both = open_scenes([text, tmp_path / "red.tif"], stack="never")
    assert [s.name for s in both] == ["virtual raster", "red.tif"]
    model: Any = SimpleNamespace(metadata={}, bands=("band_1",), config=Config(), resolution_m=10)
    (imagery,) = open_imagery([text], [model], Reporter())
    np.testing.assert_array_equal(imagery.read().image, coded())
    match_raster(text, text, tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as written:
        assert written.shape == (20, 30)
    assert read_sidecar_legend(Path(text)) is None
    assert raster_files([text]) == {(tmp_path / "red.tif").resolve()}
    with pytest.raises(InputFileError, match=r"has 5000 bytes. Expected names of at most 255"):
        open_scenes("x" * 5000)


# --- STAC ------------------------------------------------------------------------------------------------------


def item(**assets: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "S2_tile",
        "properties": {"datetime": "2020-08-31T10:15:59Z"},
        "assets": assets,
    }


def test_a_stac_item_with_one_file_a_band(tmp_path: Path):
    write(tmp_path / "a.tif", flat(4000))
    write(tmp_path / "b.tif", flat(8000))
    write(tmp_path / "rgb.tif", flat(1, bands=3))
    band = {"raster:bands": [{"scale": 0.0001, "offset": -0.1, "nodata": 0}]}
    described = item(
        B04={
            "href": "a.tif",
            "type": "image/tiff; application=geotiff",
            "roles": ["data"],
            "eo:bands": [{"name": "B04", "common_name": "red", "center_wavelength": 0.665}],
        }
        | band,
        B08={
            "href": "./b.tif",
            "type": "image/tiff",
            "roles": ["data"],
            "eo:bands": [{"name": "B08", "common_name": "nir"}],
        }
        | band,
        visual={"href": "rgb.tif", "type": "image/tiff", "roles": ["visual"]},
        thumbnail={"href": "t.png", "type": "image/png", "roles": ["thumbnail"]},
    )
    (tmp_path / "item.json").write_text(json.dumps(described))
    (scene,) = open_scenes(tmp_path / "item.json", bands=["nir", "red", "ndvi"])
    assert scene.date == "2020-08-31"
    np.testing.assert_allclose(scene.read().image[:, 0, 0], [0.7, 0.3, 0.4], rtol=1e-5)
    assert scene.source_bands[1].nodata == 0


def test_a_stac_item_with_one_file_and_new_band_lists(tmp_path: Path):
    write(tmp_path / "all.tif", np.concatenate([flat(1), flat(2)]))
    described = item(
        data={
            "href": "all.tif",
            "type": "image/tiff",
            "bands": [{"name": "x", "eo:common_name": "green"}, {"name": "depth"}],
        }
    )
    (tmp_path / "items.json").write_text(
        json.dumps({"type": "FeatureCollection", "features": [described]})
    )
    (scene,) = open_scenes(tmp_path / "items.json")
    assert scene.band_names == ["green", "depth"]


def spectral(href: str, name: str, common: str) -> dict[str, Any]:
    bands = [{"name": name, "common_name": common, "center_wavelength": 0.7}]
    return {"href": href, "type": "image/tiff", "roles": ["data"], "eo:bands": bands}


def test_bands_of_one_common_name_in_a_stac_item_keep_their_own(tmp_path: Path):
    write(tmp_path / "a.tif", flat(1))
    assets = {key: spectral("a.tif", key, "rededge") for key in ("rededge1", "rededge2")}
    assets |= {key: spectral("a.tif", "red", "red") for key in ("red", "red-jp2")}
    assets |= {"B08": spectral("a.tif", "B08", "nir"), "aot": {"href": "a.tif"}}
    (tmp_path / "item.json").write_text(json.dumps(item(**assets)))
    scenes = open_scenes(tmp_path / "item.json", stack="always")
    assert scenes[0].band_names == ["rededge1", "rededge2", "red", "red-jp2", "nir", "aot"]
    again = open_scenes(tmp_path / "item.json", bands=band_specs(scenes[0]), stack="always")
    assert again[0].bands == scenes[0].bands
    assert again[0].bands[1].wavelength_um == 0.7


def test_a_stac_item_with_bands_of_one_common_name_is_stacked(tmp_path: Path):
    write(tmp_path / "a.tif", flat(1))
    told = {"vre1": "rededge", "vre2": "rededge", "r": "red"}
    described = item(**{key: spectral("a.tif", key, common) for key, common in told.items()})
    (tmp_path / "item.json").write_text(json.dumps(described))
    (scene,) = open_scenes(tmp_path / "item.json")
    assert scene.band_names == ["vre1", "vre2", "red"]


def test_bad_stac_files(tmp_path: Path):
    file = tmp_path / "item.json"
    file.write_text("{")
    with pytest.raises(InputFileError, match=r"cannot be read as JSON.*Expected a STAC item"):
        open_scenes(file)
    file.write_text(json.dumps({"type": "Feature", "geometry": None}))
    with pytest.raises(InputFileError, match=r"is no STAC item: it has no assets"):
        open_scenes(file)
    file.write_text(
        json.dumps(item(thumbnail={"href": "t.png", "type": "image/png", "roles": ["thumbnail"]}))
    )
    with pytest.raises(
        RasterError, match=r"'S2_tile' has no imagery among its assets \(thumbnail\)"
    ):
        open_scenes(file)
    file.write_text(json.dumps(item(a={"href": "gone.tif", "type": "image/tiff"})))
    with pytest.raises(InputFileError, match=r"gone.tif' does not exist"):
        open_scenes(file)


# --- many scenes -----------------------------------------------------------------------------------------------


def test_bands_are_matched_by_name_over_scenes(tmp_path: Path):
    a = write(
        tmp_path / "a.tif",
        np.concatenate([flat(1), flat(2), flat(3)]),
        names=("red", "nir", "extra"),
    )
    b = write(tmp_path / "b.tif", np.concatenate([flat(2), flat(1)]), names=("nir", "red"))
    with pytest.warns(
        UserWarning,
        match=r"Band extra is not in all 2 scenes and left out; of each, red, nir are used",
    ):
        scenes = open_scenes([a, b])
    assert [s.read().image[:, 0, 0].tolist() for s in scenes] == [[1, 2], [1, 2]]


def colored(path: Path, colors: str, values: tuple[int, ...]) -> Path:
    """Write nameless bands of one value each, with the colours told, as in ``rgb-``."""
    write(path, np.concatenate([flat(value) for value in values]))
    with rasterio.open(path, "r+") as target:
        told = {"r": ColorInterp.red, "g": ColorInterp.green, "b": ColorInterp.blue}
        target.colorinterp = [told.get(color, ColorInterp.undefined) for color in colors]
    return path


def test_nameless_bands_are_matched_by_colour_over_scenes(tmp_path: Path):
    rgb = colored(tmp_path / "rgb.tif", "rgb-", (1, 2, 3, 4))
    bgr = colored(tmp_path / "bgr.tif", "bgr-", (3, 2, 1, 4))
    plain = write(tmp_path / "plain.tif", np.concatenate([flat(v) for v in (1, 2, 3, 4)]))
    for paths in ([rgb, bgr], [rgb, plain, bgr], [plain, rgb, bgr]):
        for scene in open_scenes(paths):
            assert scene.read().image[:, 0, 0].tolist() == [1, 2, 3, 4]


def test_scenes_without_common_bands_are_refused(tmp_path: Path):
    a = write(tmp_path / "a.tif", flat(1, bands=2), names=("red", "nir"))
    b = write(tmp_path / "b.tif", flat(1, bands=2), names=("vv", "vh"))
    with pytest.raises(
        RasterError, match=r"no band in common \('a.tif': red, nir; 'b.tif': vv, vh\)"
    ):
        open_scenes([a, b])
    c, d = (write(tmp_path / f"{n}.tif", flat(1, bands=n)) for n in (2, 3))
    with pytest.raises(
        RasterError, match=r"'3.tif' has 3 bands \(band_1, band_2, band_3\) and '2.tif' 2"
    ):
        open_scenes([c, d])


def test_a_band_that_is_empty_in_one_scene_is_dropped_in_all(tmp_path: Path):
    full = write(tmp_path / "full.tif", flat(5, bands=3), nodata=0)
    gap = flat(5, bands=3)
    gap[1] = 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scenes = open_scenes([full, write(tmp_path / "gap.tif", gap, nodata=0)])
    assert [s.band_names for s in scenes] == [["band_1", "band_3"]] * 2
    assert all(s.read().valid.all() for s in scenes)
    assert any("band_2 holds nodata only" in str(w.message) for w in caught)
    with pytest.raises(
        RasterError, match=r"'gap.tif' holds nodata only in band band_2, which the model"
    ):
        open_scenes(tmp_path / "gap.tif", bands=["band_1", "band_2"])


def test_a_folder_without_rasters(tmp_path: Path):
    with pytest.raises(InputFileError, match=r"holds no raster. Expected files ending in"):
        open_scenes(tmp_path)
    with pytest.raises(InputFileError, match="No raster was named"):
        open_scenes([])


def test_undeclared_nodata_can_be_told(tmp_path: Path):
    image = flat(5)
    image[0, :3] = 9999
    (scene,) = open_scenes(write(tmp_path / "u.tif", image), nodata=9999)
    assert scene.read().valid.sum() == 17 * 30


def test_all_scenes_get_the_style(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GEOPOINTSEG_CACHE", str(tmp_path / "cache"))
    generator = np.random.default_rng(0)
    image = generator.integers(50, 100, (2, 60, 60), np.uint16)
    bright = write(tmp_path / "bright.tif", image * 3 + 10)
    style = PictureStyle.of([Scene.open(write(tmp_path / "plain.tif", image))])
    stored = PictureStyle.from_json(json.loads(json.dumps(style.to_json())))
    (scene,) = open_scenes(bright, style=stored)
    assert np.abs(scene.read().image - image).mean() < 0.6


def test_many_scenes_hold_few_files(tmp_path: Path):
    for k in range(40):
        write(tmp_path / f"tile{k}.tif", flat(k + 1, 8, 8, bands=2), left=500000 + 80 * k)
    scenes = open_scenes(tmp_path)
    assert len(scenes) == 40
    HANDLES.close()
    for scene in scenes:
        scene.read(Window(0, 0, 4, 4))
    assert len(HANDLES) <= 16
    assert len(list_rasters(tmp_path)) == 40
