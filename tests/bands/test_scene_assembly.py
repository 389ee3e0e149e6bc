"""From one-band files to scenes: what is stacked, what is left out, and what is asked."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from scipy.io import netcdf_file

from geopointseg.bands.container import variable_of
from geopointseg.bands.file_role import recognize, split_words
from geopointseg.bands.opening import open_scenes
from geopointseg.bands.stack import stack_scenes
from geopointseg.errors import RasterError
from geopointseg.progress import Event, Reporter
from geopointseg.raster.scene import Scene

SIDE_M = 1200


class Collect:
    """A sink that keeps logs and warnings."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None: ...

    @property
    def summary(self) -> Event:
        return [event for event in self.events if event.kind == "log"][-1]


@dataclass
class File:
    """A raster to be written: its name, its kind, and the number of pixels it is shifted by."""

    name: str
    value: float = 1
    pixel: float = 10
    bands: int = 1
    dtype: str = "uint16"
    left: float = 500000
    crs: str | None = "EPSG:32633"
    names: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    colors: bool = False
    size_m: float = SIDE_M
    options: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        path = folder / self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".vrt":
            stacked = stack_scenes([Scene.open(folder / name) for name in ("B04.tif", "B08.tif")])
            path.write_text(stacked.path)
            return path
        side = round(self.size_m / self.pixel)
        profile = {
            "driver": "GTiff", "count": self.bands, "height": side, "width": side, "dtype": self.dtype, "crs": self.crs,
            "transform": Affine(self.pixel, 0, self.left, 0, -self.pixel, 5700000), "photometric": "MINISBLACK",
        } | self.options  # fmt: skip
        with rasterio.open(path, "w", **profile) as target:
            target.write(np.full((self.bands, side, side), self.value, self.dtype))
            if self.names:
                target.descriptions = self.names
            if self.tags:
                target.update_tags(1, **self.tags)
            if self.colors:
                target.write_colormap(1, {1: (0, 120, 0, 255), 2: (0, 0, 200, 255)})
        return path


def files(*specs: str | File) -> list[File]:
    return [
        File(spec, value=k) if isinstance(spec, str) else spec
        for k, spec in enumerate(specs, start=1)
    ]


def opened(folder: Path, *specs: str | File, **options: Any) -> tuple[list[Scene], Event]:
    """Write files into a folder and open it; return the scenes and the event that sums them up."""
    for file in files(*specs):
        file.write(folder)
    collect = Collect()
    scenes = open_scenes(folder, reporter=Reporter(collect), **options)
    return scenes, collect.summary


def left_out(summary: Event) -> dict[str, str]:
    return {row["file"]: row["reason"] for row in summary.data["left_out"]}


S2 = "T33UUT_20210601T101559_"
L8 = "LC08_L2SP_193024_20200831_20200906_02_T1_"
L1 = "LC08_L1TP_193024_20200831_20200906_02_T1_"
C1 = "LC081930242020083101T1-SC20201021_"
HLS = "HLS.L30.T33UUT.2020244T100611.v2.0."
QUALITY = "quality layer or mask"
ATMOSPHERE = "layer of the atmospheric correction"
ANGLE = "layer of angles"
MAP = "map of classes"


PRODUCTS = {
    "Sentinel-2 L2A": (
        [f"{S2}{b}_20m.tif" for b in ("B02", "B03", "B8A", "SCL", "AOT", "WVP")]
        + [File(f"{S2}TCI_20m.tif", bands=3, dtype="uint8")],
        ["b02", "b03", "b8a"],
        {f"{S2}SCL_20m.tif": QUALITY, f"{S2}AOT_20m.tif": ATMOSPHERE, f"{S2}WVP_20m.tif": ATMOSPHERE}
        | {f"{S2}TCI_20m.tif": "picture for viewing"},
    ),
    "Sentinel-2 with its quality data": (
        [f"{S2}B02.tif", f"{S2}B12.tif", "MSK_CLDPRB_20m.tif", "MSK_DETFOO_B02.tif", "MSK_QUALIT_B12.tif"],
        ["b02", "b12"],
        dict.fromkeys(["MSK_CLDPRB_20m.tif", "MSK_DETFOO_B02.tif", "MSK_QUALIT_B12.tif"], QUALITY),
    ),
    "Landsat Collection 2 Level 2": (
        [f"{L8}{b}.TIF" for b in ("SR_B2", "SR_B5", "ST_B10", "QA_PIXEL", "QA_RADSAT", "SR_QA_AEROSOL", "ST_EMIS", "ST_QA")],
        ["b2", "b5", "b10"],
        dict.fromkeys([f"{L8}{b}.TIF" for b in ("QA_PIXEL", "QA_RADSAT", "SR_QA_AEROSOL", "ST_QA")], QUALITY)
        | {f"{L8}ST_EMIS.TIF": ATMOSPHERE},
    ),
    "Landsat Collection 2 Level 1": (
        [f"{L1}{b}.TIF" for b in ("B4", "B5", "B10", "QA_PIXEL", "SAA", "SZA", "VAA", "VZA")],
        ["b10", "b4", "b5"],
        {f"{L1}QA_PIXEL.TIF": QUALITY} | dict.fromkeys([f"{L1}{a}.TIF" for a in ("SAA", "SZA", "VAA", "VZA")], ANGLE),
    ),
    "Landsat Collection 1": (
        [f"{C1}{b}.tif" for b in ("sr_band4", "sr_band5", "pixel_qa", "radsat_qa", "sr_aerosol", "solar_zenith_band4")],
        ["band4", "band5"],
        dict.fromkeys([f"{C1}{b}.tif" for b in ("pixel_qa", "radsat_qa", "sr_aerosol")], QUALITY)
        | {f"{C1}solar_zenith_band4.tif": ANGLE},
    ),
    "Landsat 7 with two gains": (
        [f"LE07_L1TP_016035_20010407_{b}.TIF" for b in ("B1", "B6_VCID_1", "B6_VCID_2", "BQA")],
        ["b1", "b6_vcid_1", "b6_vcid_2"],
        {"LE07_L1TP_016035_20010407_BQA.TIF": QUALITY},
    ),
    "HLS": (
        [f"{HLS}{b}.tif" for b in ("B02", "B05", "Fmask", "SZA", "VAA")],
        ["b02", "b05"],
        {f"{HLS}Fmask.tif": QUALITY, f"{HLS}SZA.tif": ANGLE, f"{HLS}VAA.tif": ANGLE},
    ),
    "PlanetScope": (
        [File("20200831_101559_1003_3B_AnalyticMS_SR.tif", bands=4, names=("blue", "green", "red", "nir")),
         File("20200831_101559_1003_3B_udm2.tif", bands=8, dtype="uint8")],
        ["blue", "green", "red", "nir"],
        {"20200831_101559_1003_3B_udm2.tif": QUALITY},
    ),
    "PlanetScope with eight bands, and as many in its mask": (
        [File("20210601_101010_1001_3B_AnalyticMS_SR_8b_clip.tif", bands=8),
         File("20210601_101010_1001_3B_udm2_clip.tif", bands=8, dtype="uint8")],
        [f"band_{k}" for k in range(1, 9)],
        {"20210601_101010_1001_3B_udm2_clip.tif": QUALITY},
    ),
    "Theia with its masks": (
        [f"SENTINEL2A_20210601-101559-456_L2A_T33UUT_C_V2-2_{b}.tif" for b in ("FRE_B2", "FRE_B3", "SAT_R1", "CLM_R1", "DFP_R1")],
        ["b2", "b3"],
        {f"SENTINEL2A_20210601-101559-456_L2A_T33UUT_C_V2-2_{b}_R1.tif": QUALITY for b in ("SAT", "CLM", "DFP")},
    ),
    "FORCE with its layers": (
        [File("20210601_LEVEL2_SEN2A_BOA.tif", bands=4), *(f"20210601_LEVEL2_SEN2A_{b}.tif" for b in ("HOT", "DST", "VZN"))],
        [f"band_{k}" for k in range(1, 5)],
        {"20210601_LEVEL2_SEN2A_HOT.tif": QUALITY, "20210601_LEVEL2_SEN2A_DST.tif": QUALITY, "20210601_LEVEL2_SEN2A_VZN.tif": ANGLE},
    ),
    "MODIS reflectance of eight days": (
        [f"MOD09A1.A2021153.h18v03.061.sur_refl_{b}.tif" for b in ("b01", "b02", "szen", "vzen", "raz", "qc_500m")],
        ["b01", "b02"],
        {f"MOD09A1.A2021153.h18v03.061.sur_refl_{b}.tif": ANGLE for b in ("szen", "vzen", "raz")}
        | {"MOD09A1.A2021153.h18v03.061.sur_refl_qc_500m.tif": QUALITY},
    ),
    "PlanetScope with another name for the mask": (
        [File("scene.tif", bands=4, names=("blue", "green", "red", "nir")),
         File("usable.tif", bands=3, dtype="uint8", names=("clear", "snow", "shadow"))],
        ["blue", "green", "red", "nir"],
        {"usable.tif": QUALITY},
    ),
    "Sentinel-1": (
        [f"S1A_IW_GRDH_1SDV_20200831T052400_{b}.tif" for b in ("VV", "VH", "incidence_angle", "layover_shadow_mask")],
        ["vh", "vv"],
        {"S1A_IW_GRDH_1SDV_20200831T052400_incidence_angle.tif": ANGLE,
         "S1A_IW_GRDH_1SDV_20200831T052400_layover_shadow_mask.tif": QUALITY},
    ),
    "MODIS": (
        [f"MOD09GA.A2020244.h18v03.061_{b}.tif" for b in
         ("sur_refl_b01_1", "sur_refl_b02_1", "QC_500m_1", "state_1km_1", "SensorZenith_1", "num_observations_500m")],
        ["b01", "b02"],
        dict.fromkeys([f"MOD09GA.A2020244.h18v03.061_{b}.tif" for b in ("QC_500m_1", "num_observations_500m", "state_1km_1")],
                      QUALITY) | {"MOD09GA.A2020244.h18v03.061_SensorZenith_1.tif": ANGLE},
    ),
    "colours": (["site_red.tif", "site_green.tif", "site_red_edge.tif", "site_NIR.tif", "site_mask.tif"],
                ["nir", "green", "red", "red_edge"], {"site_mask.tif": QUALITY}),
    "letters": (["ortho_r.tif", "ortho_g.tif", "ortho_b.tif"], ["b", "g", "r"], {}),
    "numbers": (["B1.tif", "B2.tif", "B10.tif", "B1_mask.tif"], ["b1", "b10", "b2"], {"B1_mask.tif": QUALITY}),
    "counted bands": ([f"band_{k}.tif" for k in (1, 2, 3)], ["band_1", "band_2", "band_3"], {}),
    "counted channels": ([f"img_ch{k}.tif" for k in (1, 2, 3)], ["ch1", "ch2", "ch3"], {}),
    "a place called like a band": (["blue_lake_red.tif", "blue_lake_nir.tif"], ["nir", "red"], {}),
    "a place called like a layer": (["cloud_hill_B02.tif", "cloud_hill_B03.tif"], ["b02", "b03"], {}),
    "a project called like a layer": (["DEM_project_B02.tif", "DEM_project_B03.tif"], ["b02", "b03"], {}),
    "index and terrain": (["B04.tif", "B08.tif", "ndvi.tif", "dem.tif"],
                          ["b04", "b08", "dem", "ndvi"], {}),
    "index and terrain of another place": (
        ["B04.tif", "B08.tif", File("Copernicus_DSM_COG_10_N50_00_E012_00_DEM.tif", crs="EPSG:3857", dtype="float32")],
        ["b04", "b08"], {"Copernicus_DSM_COG_10_N50_00_E012_00_DEM.tif": "terrain model of another place"}),
    "a map by its colours": (["B04.tif", "B08.tif", File("result.tif", dtype="uint8", colors=True)], ["b04", "b08"],
                             {"result.tif": MAP}),
    "flags by their meanings": (["B04.tif", "B08.tif", File("extra.tif", dtype="uint8", tags={"flag_meanings": "land sea"})],
                                ["b04", "b08"], {"extra.tif": QUALITY}),
    "a mask by its bits": (["B04.tif", "B08.tif", File("extra.tif", dtype="uint8", options={"nbits": 1})], ["b04", "b08"],
                           {"extra.tif": QUALITY}),
    "by description": ([File("1.tif", names=("red",)), File("2.tif", names=("nir",)), File("3.tif", names=("cloud mask",))],
                       ["red", "nir"], {"3.tif": QUALITY}),
    "a map beside a scene": ([File("scene.tif", bands=3), File("map.tif", dtype="uint8")], ["band_1", "band_2", "band_3"],
                             {"map.tif": MAP}),
    "an index beside a scene": ([File("scene.tif", bands=3), "scene_ndvi.tif"],
                                ["band_1", "band_2", "band_3", "ndvi"], {}),
    "a band beside a scene": ([File("ortho.tif", bands=3, names=("red", "green", "blue")), "ortho_nir.tif"],
                              ["red", "green", "blue", "nir"], {}),
    "a copy of a band": ([File("stack.tif", bands=2, names=("b04", "b08")), "B04.tif"], ["b04", "b08"],
                         {"B04.tif": "band of 'stack.tif' already"}),
    "a virtual raster of the bands": (["B04.tif", "B08.tif", "ndvi.tif", "stack.vrt"], ["band_1", "band_2", "ndvi"],
                                      {"B04.tif": "part of 'stack.vrt'", "B08.tif": "part of 'stack.vrt'"}),
    "Theia": (["SENTINEL2A_20200831-105859-456_L2A_T31TCJ_C_V2-2_FRE_B2.tif", "SENTINEL2A_20200831-105859-456_FRE_B8A.tif",
               "SENTINEL2A_20200831-105859-456_L2A_T31TCJ_C_V2-2_CLM_R1.tif",
               File("SENTINEL2A_20200831-105859-456_L2A_T31TCJ_C_V2-2_ATB_R1.tif", bands=2)], ["b8a", "b2"],
              {"SENTINEL2A_20200831-105859-456_L2A_T31TCJ_C_V2-2_CLM_R1.tif": QUALITY,
               "SENTINEL2A_20200831-105859-456_L2A_T31TCJ_C_V2-2_ATB_R1.tif": ATMOSPHERE}),
    "FORCE": ([File("20200831_LEVEL2_SEN2A_BOA.tif", bands=10), "20200831_LEVEL2_SEN2A_QAI.tif"],
              [f"band_{k}" for k in range(1, 11)], {"20200831_LEVEL2_SEN2A_QAI.tif": QUALITY}),
    "SNAP": (["Sigma0_VV_db.img", "Sigma0_VH_db.img", "localIncidenceAngle.img", "layoverShadowMask.img"], ["vh", "vv"],
             {"localIncidenceAngle.img": ANGLE, "layoverShadowMask.img": QUALITY}),
    "Earth Engine": (["S2_B4.tif", "S2_B8.tif", "S2_QA60.tif", "S2_MSK_CLDPRB.tif", "S2_cs_cdf.tif"], ["b4", "b8"],
                     dict.fromkeys(["S2_QA60.tif", "S2_MSK_CLDPRB.tif", "S2_cs_cdf.tif"], QUALITY)),
    "Landsat analysis-ready data": (
        [f"LC08_CU_003010_20200831_C01_V01_{b}.tif" for b in ("SRB4", "SRB5", "BTB10", "PIXELQA", "SOZ4")],
        ["btb10", "srb4", "srb5"],
        {"LC08_CU_003010_20200831_C01_V01_PIXELQA.tif": QUALITY, "LC08_CU_003010_20200831_C01_V01_SOZ4.tif": ANGLE}),
    "a mask in another reference system": (
        ["B04.tif", "B08.tif", File("mask.tif", crs="EPSG:25833"), File("cloud.tif", size_m=900)], ["b04", "b08"],
        {"mask.tif": QUALITY, "cloud.tif": QUALITY}),
    "panchromatic and multispectral": ([File("MUL.tif", 1, 20, bands=4), File("PAN.tif", 2, 5)],
                                       ["band_1", "band_2", "band_3", "band_4", "pan"], {}),
    "colours and near infrared": ([File("ortho.tif", bands=3, dtype="uint8", options={"photometric": "RGB"}),
                                   File("ortho_nir.tif", dtype="uint8")], ["band_1", "band_2", "band_3", "nir"], {}),
    "an image and its mask": (["image.tif", "image_mask.tif"], ["band_1"], {"image_mask.tif": QUALITY}),
    "Dynamic World": (["B04.tif", "B08.tif", File("dw.tif", bands=4, dtype="float32",
                                                  names=("water", "trees", "shrub_and_scrub", "label"))],
                      ["b04", "b08"], {"dw.tif": MAP}),
    "cut in several sizes": ([f"{S2}B02_10m.tif", File(f"{S2}B02_20m.tif", pixel=20), File(f"{S2}B11_20m.tif", pixel=20),
                              File(f"{S2}SCL_20m.tif", pixel=20)],
                             ["b02", "b11"], {f"{S2}B02_20m.tif": "copy of a band", f"{S2}SCL_20m.tif": QUALITY}),
}  # fmt: skip


@pytest.mark.parametrize("product", PRODUCTS)
def test_the_files_of_a_product_are_one_scene(tmp_path: Path, product: str):
    specs, bands, dropped = PRODUCTS[product]
    (scene,), summary = opened(tmp_path, *specs)
    assert scene.band_names == bands
    assert left_out(summary) == dropped
    assert summary.data["bands"] == bands
    assert all(name in summary.message for name in dropped)
    by_name = {file.name: file for file in files(*specs)}
    kept_types = {file.dtype for file in by_name.values() if file.name not in dropped}
    if len(kept_types) == 1 and all(
        file.bands == 1 and not file.names for file in by_name.values()
    ):
        kept = [by_name[name].value for name in sorted(by_name) if name not in dropped]
        if "stack.vrt" in by_name:
            kept = [1, 2, 3]
        assert scene.read().image[:, 5, 5].tolist() == kept


# --- dates, tiles, folders ---------------------------------------------------------------------------------------


def listed(scenes: list[Scene]) -> list[tuple[str, list[str], list[int]]]:
    """Return date, bands and values of each scene."""
    return [
        (scene.date, scene.band_names, scene.read().image[:, 5, 5].astype(int).tolist())
        for scene in scenes
    ]


def test_dates_and_tiles_each_with_a_quality_layer(tmp_path: Path):
    dates = [
        f"T33UUT_{day}_{band}.tif"
        for day in ("20210601", "20210701")
        for band in ("B03", "B04", "SCL")
    ]
    tile = [
        File(f"T33UVT_20210601_{band}.tif", 10 + k, left=501200)
        for k, band in enumerate(("B03", "B04", "SCL"))
    ]
    scenes, summary = opened(tmp_path, *dates, *tile)
    bands = ["b03", "b04"]
    assert listed(scenes) == [
        ("2021-06-01", bands, [1, 2]), ("2021-07-01", bands, [4, 5]), ("2021-06-01", bands, [10, 11])
    ]  # fmt: skip
    assert len(left_out(summary)) == 3
    assert summary.message.startswith(
        "3 scenes: T33UUT_20210601, T33UUT_20210701, T33UVT_20210601; 2 bands: b03, b04; "
    )


def test_a_terrain_model_without_a_date_belongs_to_every_date(tmp_path: Path):
    names = [f"{band}_{day}.tif" for day in ("20210601", "20210701") for band in ("red", "nir")]
    scenes, summary = opened(tmp_path, *names, "dem.tif", "ndvi.tif")
    assert listed(scenes) == [
        ("2021-06-01", ["dem", "nir", "red"], [5, 2, 1]), ("2021-07-01", ["dem", "nir", "red"], [5, 4, 3])
    ]  # fmt: skip
    assert left_out(summary) == {"ndvi.tif": "index of another date"}


def test_a_band_without_a_date_belongs_to_the_only_date(tmp_path: Path):
    (scene,), _ = opened(tmp_path, "B02_20210601.tif", "B03_20210601.tif", "B04.tif")
    assert listed([scene]) == [("2021-06-01", ["b02", "b03", "b04"], [1, 2, 3])]


@pytest.mark.parametrize("names", [("pan_2010.tif", "pan_2011.tif"), ("ndvi_2010.tif", "ndvi_2011.tif"),
                                   ("SCL_2010.tif", "SCL_2011.tif"), ("a_B04.tif", "b_B04.tif")])  # fmt: skip
def test_one_kind_of_file_at_several_times_is_several_scenes(
    tmp_path: Path, names: tuple[str, ...]
):
    scenes, summary = opened(tmp_path, *names)
    assert [scene.read().image[0, 0, 0] for scene in scenes] == [1, 2]
    assert left_out(summary) == {}


@pytest.mark.parametrize(
    "name", ["ortho_{}.tif", "cloud_forest_{}.tif", "map_sheet_{}.tif", "snow_{}_valley.tif"]
)
@pytest.mark.parametrize("bands", [1, 3])
def test_rasters_of_different_ground_remain_scenes(tmp_path: Path, name: str, bands: int):
    specs = [File(name.format(k), k, bands=bands, left=500000 + 1200 * k) for k in range(3)]
    specs.append(File("plain.tif", 3, bands=bands, left=510000))
    scenes, summary = opened(tmp_path, *specs)
    assert sorted(scene.read().image[0, 0, 0] for scene in scenes) == [0, 1, 2, 3]
    assert left_out(summary) == {}


def test_scenes_of_one_ground_told_apart_by_their_names(tmp_path: Path):
    scenes, _ = opened(
        tmp_path, *(f"{s}_{b}.tif" for s in ("before", "after") for b in ("red", "nir")), "dem.tif"
    )
    assert [values for _, _, values in listed(scenes)] == [[4, 3, 5], [2, 1, 5]]
    assert [scene.band_names for scene in scenes] == [["nir", "red", "dem"]] * 2


def test_folders_tell_scenes_or_bands_apart(tmp_path: Path):
    paths = [File(f"{folder}/{band}.tif", k).write(tmp_path)
             for k, (folder, band) in enumerate((f, b) for f in ("first", "second") for b in ("red", "nir"))]  # fmt: skip
    scenes = open_scenes(paths)
    assert [(s.name, s.read().image[:, 0, 0].tolist()) for s in scenes] == [
        ("first", [0, 1]),
        ("second", [2, 3]),
    ]
    paths = [
        File(f"bands/{band}/scene.tif", k).write(tmp_path) for k, band in enumerate(("red", "nir"))
    ]
    (scene,) = open_scenes(paths)
    assert listed([scene]) == [("", ["red", "nir"], [0, 1])]


def test_a_safe_folder(tmp_path: Path):
    granule = "S2A_MSIL2A.SAFE/GRANULE/L2A_T33UUT/"
    names = {f"IMG_DATA/R10m/{S2}B02_10m.tif": 10, f"IMG_DATA/R10m/{S2}TCI_10m.tif": 10, f"IMG_DATA/R20m/{S2}B02_20m.tif": 20,
             f"IMG_DATA/R20m/{S2}B8A_20m.tif": 20, f"IMG_DATA/R20m/{S2}SCL_20m.tif": 20, f"IMG_DATA/R60m/{S2}B09_60m.tif": 60,
             "QI_DATA/MSK_CLDPRB_60m.tif": 60}  # fmt: skip
    for k, (name, pixel) in enumerate(names.items(), start=1):
        File(granule + name, k, pixel, bands=3 if "TCI" in name else 1).write(tmp_path)
    File("S2A_MSIL2A.SAFE/preview.png", dtype="uint8", crs=None, options={"driver": "PNG"}).write(
        tmp_path
    )
    (tmp_path / "S2A_MSIL2A.SAFE/preview.png").rename(tmp_path / granule / "preview.png")
    (tmp_path / "S2A_MSIL2A.SAFE/MTD_MSIL2A.xml").write_text("<x/>")
    for path in (
        tmp_path / "S2A_MSIL2A.SAFE",
        tmp_path / granule / "IMG_DATA",
        tmp_path / "S2A_MSIL2A.SAFE/MTD_MSIL2A.xml",
    ):
        collect = Collect()
        (scene,) = open_scenes(path, reporter=Reporter(collect))
        assert listed([scene]) == [("2021-06-01", ["b02", "b8a", "b09"], [1, 4, 6])]
        assert scene.grid.resolution == (10, 10)
    assert left_out(collect.summary)["preview.png"] == "picture without coordinate reference system"
    assert left_out(collect.summary)["MSK_CLDPRB_60m.tif"] == QUALITY


# --- what is asked for -------------------------------------------------------------------------------------------


def test_a_layer_that_is_asked_for_is_a_band(tmp_path: Path):
    (scene,), summary = opened(
        tmp_path, "B03.tif", "B04.tif", "SCL.tif", "odd.tif", bands=["b04", "scl", "x = b03 * odd"]
    )
    assert listed([scene]) == [("", ["b04", "scl", "x"], [2, 3, 4])]
    assert left_out(summary) == {}
    (scene,), summary = opened(tmp_path, bands=["B04"])
    assert listed([scene]) == [("", ["b04"], [2])]
    assert left_out(summary) == {"SCL.tif": QUALITY, "odd.tif": "not among the bands asked for"}


def test_the_pixels_are_those_of_the_finest_band_asked_for(tmp_path: Path):
    specs = [
        File("B4.tif", 4, 30),
        File("B5.tif", 5, 30),
        File("B8.tif", 8, 15),
        File("dem.tif", 9, 1),
    ]
    assert opened(tmp_path, *specs)[0][0].grid.resolution == (15, 15)
    (scene,), _ = opened(tmp_path, bands=["b4", "b5", "dem"])
    assert scene.grid.resolution == (30, 30)
    assert listed([scene]) == [("", ["b4", "b5", "dem"], [4, 5, 9])]


def test_a_file_that_is_named_is_never_left_out_without_a_warning(tmp_path: Path):
    paths = [file.write(tmp_path) for file in files("B03.tif", "B04.tif", "B04_mask.tif")]
    with pytest.warns(
        UserWarning, match="'B04_mask.tif' was named and is left out: quality layer or mask"
    ):
        (scene,) = open_scenes(paths)
    assert scene.band_names == ["b03", "b04"]
    (alone,) = open_scenes(paths[2])
    assert alone.band_names == ["band_1"]
    (stacked,) = open_scenes(paths, stack="always")
    assert stacked.read().image[:, 0, 0].tolist() == [1, 2, 3]
    assert len(open_scenes(paths, stack="never", bands=["1"])) == 3


# --- questions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("specs", "words"),
    [
        (["one.tif", "two.tif"], r"'one.tif' and 'two.tif' are one-band files of one place and date.*whether they are bands.*\[scene\] stack to 'always' for one scene or 'never' for 2 scenes"),
        (["B03.tif", "B04.tif", "odd.tif"], r"'odd.tif' has one band and covers the area of 'B03.tif', and its name does not show.*rename it, or leave it out"),
        ([File("scene.tif", bands=4), "odd.tif"], r"'odd.tif' has one band and covers the area of 'scene.tif'"),
        (["B02_20210601.tif", "B03_20210601.tif", "B02_20210701.tif", "B03_20210701.tif", "odd.tif"], r"'odd.tif' has one band"),
        ([File("scene.tif", bands=4), "B04.tif"], r"'B04.tif' covers the area of 'scene.tif', whose 4 bands have no names"),
        (["x_B03.tif", "x_B04.tif", "y_B04.tif"], r"'x_B04.tif' and 'y_B04.tif' are both the band 'b4' of one place and date"),
        (["B03.tif", "B04.tif", File("B08.tif", size_m=900)],
         r"'B08.tif' \(band b08\) lies in the area of '.*' \(bands b03, b04\), but does not cover the same box, .*crop"),
        (["B03.tif", File("B04.tif", size_m=900)], r"'B03.tif' \(band b03\) lies in the area of 'B04.tif' \(bands b04\)"),
        (["red_20210601.tif", "nir_20210601.tif", "red_20210701.tif", "nir_20210701.tif", "B04.tif"],
         r"'B04.tif' \(band b04\) lies in the area of .* their names do not have one date.*write the date"),
        ([File("B03.tif"), File("B04.tif", crs="EPSG:25833")], r"has another coordinate reference system.*gdalwarp -t_srs"),
        ([File("B03.tif"), File("B04.tif", crs="EPSG:32632")], r"no band in common \('B03.tif': b03; 'B04.tif': b04\)"),
        (["a_20210601_red.tif", "b_20210601_red.tif"], r"are both the band 'red' of one place and date"),
        ([File("a.tif", bands=4), File("b.tif", bands=4), "B04.tif"], r"'B04.tif' covers the area of 'a.tif' and 'b.tif'"),
        (["mask.tif", "clouds.tif"], r"'clouds.tif' and 'mask.tif' are one-band files of one place"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_asked(tmp_path: Path, specs: list[str | File], words: str):
    with pytest.raises(RasterError, match=words):
        opened(tmp_path, *specs)


# --- containers --------------------------------------------------------------------------------------------------


def write_netcdf(path: Path, *, cf: bool = True, **variables: float) -> Path:
    """Write a NetCDF file with one variable of 20 x 30 pixels for each name, filled with one value."""
    with netcdf_file(path, "w") as target:
        for name, values in (
            ("x", 500005 + 10.0 * np.arange(30)),
            ("y", 5699995 - 10.0 * np.arange(20)),
        ):
            target.createDimension(name, len(values))
            axis = target.createVariable(name, "d", (name,))
            axis[:] = values
            axis.standard_name = f"projection_{name}_coordinate"
            axis.units = "m"
        grid = target.createVariable("crs", "i", ())
        grid.grid_mapping_name = "transverse_mercator"
        grid.spatial_ref = rasterio.CRS.from_epsg(32633).to_wkt()
        for name, value in variables.items():
            band = target.createVariable(name, "f", ("y", "x"))
            band[:] = np.full((20, 30), value, np.float32)
            if cf:
                band.grid_mapping = "crs"
    return path


def test_the_variables_of_a_container_are_bands(tmp_path: Path):
    path = write_netcdf(tmp_path / "s2_20210601.nc", B04=4, B08=8, SCL=5)
    collect = Collect()
    (scene,) = open_scenes(path, reporter=Reporter(collect))
    assert listed([scene]) == [("2021-06-01", ["b04", "b08"], [4, 8])]
    assert left_out(collect.summary) == {"s2_20210601.nc:SCL": QUALITY}
    assert [s.band_names for s in open_scenes(tmp_path)] == [["b04", "b08"]]
    (scene,) = open_scenes(path, bands=["scl", "ratio = b08 / b04"])
    assert listed([scene]) == [("2021-06-01", ["scl", "ratio"], [5, 2])]


def test_the_band_of_a_sub_dataset_is_called_by_its_variable(tmp_path: Path):
    path = write_netcdf(tmp_path / "some.nc", reflectance=4, depth=8)
    (scene,) = open_scenes(f'NETCDF:"{path}":depth')
    assert listed([scene]) == [("", ["depth"], [8])]
    (scene,) = open_scenes(write_netcdf(tmp_path / "one.nc", B8A=9))
    assert listed([scene]) == [("", ["b8a"], [9])]
    (scene,) = open_scenes(
        [f'NETCDF:"{path}":{name}' for name in ("reflectance", "depth")], stack="always"
    )
    assert listed([scene]) == [("", ["reflectance", "depth"], [4, 8])]


@pytest.mark.parametrize("crs", ["EPSG:32633", None])
def test_the_pages_of_a_tiff_file_are_sub_datasets(tmp_path: Path, crs: str | None):
    path = File("pages.tif", value=4).write(tmp_path)
    File("pages.tif", value=8, crs=crs, options={"APPEND_SUBDATASET": "YES"}).write(tmp_path)
    if crs:
        with pytest.raises(RasterError, match=r"2 sub-datasets.*GTIFF_DIR:1:.*GTIFF_DIR:2:"):
            open_scenes(path)
        (scene,) = open_scenes(f"GTIFF_DIR:2:{path}")
        assert scene.read().image[0, 0, 0] == 8
    else:
        collect = Collect()
        (scene,) = open_scenes(path, reporter=Reporter(collect))
        assert scene.read().image[0, 0, 0] == 4
        assert left_out(collect.summary) == {"pages.tif:page 2": "not georeferenced"}


def test_a_container_that_is_no_scene_lists_its_sub_datasets(tmp_path: Path):
    path = write_netcdf(tmp_path / "some.nc", rain=4, depth=8)
    with pytest.raises(RasterError, match=r"some.nc' holds 2 sub-datasets, and .*name them instead of the file: "
                       r"(?i:netcdf):.*some.nc\"?:rain, (?i:netcdf):.*some.nc\"?:depth\.$"):  # fmt: skip
        open_scenes(path)
    with pytest.raises(
        RasterError, match=r"has no bands of its own and 2 sub-datasets.*:rain, .*:depth\.$"
    ):
        Scene.open(path)
    assert [scene.band_names for scene in open_scenes(path, bands=["rain"])] == [["rain"]]


@pytest.mark.parametrize(("path", "variable"), [
    ('NETCDF:"/a b/c.nc":B04', "B04"), ("netcdf:c.nc:/group/red", "red"), ('HDF5:"C:/x.h5"://grid/fields/nir', "nir"),
    ('HDF4_EOS:EOS_GRID:"MOD13Q1.hdf":MODIS_Grid:250m 16 days EVI', "250m 16 days EVI"), ('HDF4_SDS:UNKNOWN:"a.hdf":3', ""),
    ("GPKG:ortho.gpkg:summer", "summer"), ('ZARR:"/x.zarr":/r10m/b02', "b02"), ("GTIFF_DIR:2:a.tif", ""), ("C:/a.tif", ""),
    ("https://host:80/a.tif", ""), ("/vsicurl/https://host/a.tif", ""),
])  # fmt: skip
def test_variables_of_paths(path: str, variable: str):
    assert variable_of(path) == variable


# --- STAC --------------------------------------------------------------------------------------------------------


def test_a_stac_item_whose_layers_all_have_the_role_data(tmp_path: Path):
    assets = {}
    for k, key in enumerate(("red", "nir", "nir08", "scl", "aot", "wvp", "red-jp2")):
        File(f"{key}.tif", k).write(tmp_path)
        bands = [{"name": key, "common_name": key}] if k < 3 else [{"name": key}]
        assets[key] = {
            "href": f"{key}.tif",
            "type": "image/tiff",
            "roles": ["data", "reflectance"],
            "eo:bands": bands,
        }
    item = {"type": "Feature", "id": "S2A_33UUT_20210601_0_L2A", "assets": assets,
            "properties": {"datetime": "2021-06-01T10:15:59Z"}}  # fmt: skip
    (tmp_path / "item.json").write_text(json.dumps(item))
    collect = Collect()
    (scene,) = open_scenes(tmp_path / "item.json", reporter=Reporter(collect))
    assert listed([scene]) == [("2021-06-01", ["red", "nir", "nir08"], [0, 1, 2])]
    assert [name.rpartition("/")[2] for name in left_out(collect.summary)] == [
        "scl",
        "aot",
        "wvp",
        "red-jp2",
    ]


def test_a_band_with_a_colour_table_is_read_as_colours_that_keep_its_name(tmp_path: Path):
    ((scene,), summary) = opened(
        tmp_path, File("B02.tif", dtype="uint8", colors=True), File("B03.tif", value=7)
    )
    assert scene.band_names == ["b02_red", "b02_green", "b02_blue", "b03"]
    assert scene.read().image[:, 0, 0].tolist() == [0, 120, 0, 7]
    assert not left_out(summary)


def test_a_colour_table_among_bands_is_told(tmp_path: Path):
    for file in files(File("B02.tif", dtype="uint8", colors=True), "B03.tif"):
        file.write(tmp_path)
    collect = Collect()
    open_scenes(tmp_path, reporter=Reporter(collect))
    assert any(e.message.startswith("'B02.tif' is a palette image") for e in collect.events)


# --- words -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("role", "names"), {
    "band": "B01 b8a SR_B4 sr_band3 band_12 Band4 nir1 near_infrared coastal_aerosol REG red_edge_2 swir22 B6_VCID_2 lwir11 VV "
            "gamma0_vh 665nm nbart_red pan ortho_g snow_lake_nir sur_refl_b01_1",
    "quality": "SCL QA_PIXEL pixel_qa BQA sr_aerosol MSK_CLDPRB MSK_DETFOO_B02 Fmask udm2 cloud_mask red_mask CLM QC_500m "
               "250m_16_days_VI_Quality 250m_16_days_pixel_reliability composite_day_of_the_year oa_fmask radsat_qa",
    "atmosphere": "AOT WVP ST_ATRAN st_emis sr_atmos_opacity",
    "angle": "SZA VAA solar_zenith_band4 SensorAzimuth_1 view_zenith_angle local_incidence_angle",
    "picture": "TCI PVI preview thumb_large quicklook",
    "index": "NDVI 250m_16_days_EVI mean_ndwi LAI",
    "elevation": "dem srtm_38_03 Copernicus_DSM_COG_10 slope dgm1_33_400 hillshade",
    "map": "landcover ESA_WorldCover_10m dynamic_world map my_labels clc2018",
    "": "one two oak_hill tile_12 a pansy T33UUT 20210601",
}.items())  # fmt: skip
def test_roles_of_names(role: str, names: str):
    found = {name: recognize(split_words(name)).role for name in names.split()}
    assert found == dict.fromkeys(names.split(), role)
