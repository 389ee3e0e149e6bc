"""The project files of the demo and of examples/prairie open in QGIS with valid, styled layers."""

import json
import shutil
import subprocess

from geopointseg.lab.demonstration import write_demo_data
from geopointseg.lab.qgis_project import write_qgis_project
from geopointseg.raster.scene import Scene
from tests.qgis.conftest import REPOSITORY

READ = """
import json, sys
from qgis.core import QgsApplication, QgsProject
app = QgsApplication([], False)
app.initQgis()
project = QgsProject.instance()
assert project.read(sys.argv[1]), project.error()
layers = project.layerTreeRoot().layerOrder()
found = [[l.name(), l.isValid(), l.crs().authid(), type(l.renderer()).__name__] for l in layers]
print(json.dumps([project.crs().authid(), found]))
"""


POINTS, MAP, SCENE = (
    "QgsCategorizedSymbolRenderer",
    "QgsPalettedRasterRenderer",
    "QgsMultiBandColorRenderer",
)


def open_project(qgis, project) -> list:
    done = subprocess.run(
        [qgis.python, "-c", READ, str(project)], env=qgis.environment, cwd=qgis.home,
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def test_the_packaged_project_opens_with_valid_layers(qgis):
    crs = "EPSG:26914"
    assert open_project(qgis, REPOSITORY / "examples" / "prairie" / "prairie.qgs") == [
        crs,
        [["points", True, crs, POINTS], ["scene.tif", True, crs, SCENE]],
    ]


def test_a_project_with_maps_opens_with_all_layers_in_order(qgis, tmp_path):
    write_demo_data(tmp_path, size=(120, 160))
    shutil.copy(tmp_path / "truth.tif", tmp_path / "m.tif")  # a short name makes a short id
    maps = [tmp_path / "m.tif", tmp_path / "truth.tif"]
    scene = Scene.open(tmp_path / "scene.tif")
    project = write_qgis_project(tmp_path / "p.qgs", scene, tmp_path / "points.gpkg", maps)
    crs = "EPSG:32633"
    assert open_project(qgis, project) == [
        crs,
        [
            ["points", True, "EPSG:4326", POINTS],
            ["m", True, crs, MAP],
            ["truth", True, crs, MAP],
            ["scene.tif", True, crs, SCENE],
        ],
    ]
