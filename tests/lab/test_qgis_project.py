"""The QGIS project of a scene, its points and maps, as XML; tests/qgis opens one in QGIS."""

from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from geopointseg.lab.demonstration import write_demo_data
from geopointseg.lab.qgis_project import write_qgis_project
from geopointseg.raster.scene import Scene

PRAIRIE = Path(__file__).parents[2] / "examples" / "prairie"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    write_demo_data(folder, size=(120, 160))
    return folder


def test_layers_are_relative_and_only_the_first_map_is_shown(folder):
    maps = [folder / "truth.tif", folder / "truth_east.tif"]
    project = write_qgis_project(
        folder / "p.qgs", Scene.open(folder / "scene.tif"), folder / "points.gpkg", maps, title="P"
    )
    root = ET.parse(project).getroot()
    tree = [(n.get("source"), n.get("checked")) for n in root.iter("layer-tree-layer")]
    assert tree == [
        ("./points.gpkg|layername=points", "Qt::Checked"),
        ("./truth.tif", "Qt::Checked"),
        ("./truth_east.tif", "Qt::Unchecked"),
        ("./scene.tif", "Qt::Checked"),
    ]
    assert [n.get("type") for n in root.iter("rasterrenderer")] == ["paletted"] * 2 + [
        "multibandcolor"
    ]
    assert root.findtext("projectCrs/spatialrefsys/authid") == "EPSG:32633"


def test_the_scene_is_stretched_between_its_percentiles_in_natural_colours(folder):
    root = ET.parse(folder / "demo.qgs").getroot()
    renderer = next(n for n in root.iter("rasterrenderer") if n.get("type") == "multibandcolor")
    assert [renderer.get(f"{c}Band") for c in ("red", "green", "blue")] == ["3", "2", "1"]
    chip = Scene.open(folder / "scene.tif").read()
    expected = np.percentile(chip.image[2][chip.valid], (2, 98))
    found = [renderer.findtext(f"redContrastEnhancement/{k}Value") for k in ("min", "max")]
    assert [float(v) for v in found] == pytest.approx(expected, rel=0.02)


def test_a_scene_elsewhere_keeps_its_absolute_path(folder, tmp_path):
    scene = Scene.open(folder / "scene.tif")
    project = write_qgis_project(tmp_path / "p.qgs", scene, folder / "points.gpkg")
    sources = [n.text for n in ET.parse(project).getroot().iter("datasource")]
    assert sources == [f"{folder}/points.gpkg|layername=points", f"{folder}/scene.tif"]


def test_the_packaged_scene_is_small_and_its_project_names_its_files():
    sizes = {p.name: p.stat().st_size for p in PRAIRIE.iterdir()}
    assert sum(sizes.values()) <= 400_000
    sources = [n.text for n in ET.parse(PRAIRIE / "prairie.qgs").getroot().iter("datasource")]
    assert {s.split("|")[0].removeprefix("./") for s in sources} == {"points.gpkg", "scene.tif"}
