"""The project files of the demo and of examples/prairie open in QGIS with valid, styled layers."""

import json
import subprocess

import pytest

from geopointseg.lab.demonstration import write_demo_data
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


@pytest.mark.parametrize(
    ("name", "crs", "points_crs"),
    [("demo", "EPSG:32633", "EPSG:4326"), ("prairie", "EPSG:26914", "EPSG:26914")],
)
def test_a_project_opens_with_valid_layers(qgis, tmp_path, name, crs, points_crs):
    project = REPOSITORY / "examples" / "prairie" / "prairie.qgs"
    if name == "demo":
        project = tmp_path / write_demo_data(tmp_path, size=(120, 160))["project"]
    done = subprocess.run(
        [qgis.python, "-c", READ, str(project)], env=qgis.environment, cwd=qgis.home,
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found_crs, layers = json.loads(done.stdout.splitlines()[-1])
    assert found_crs == crs
    assert [layer[1:] for layer in layers] == [
        [True, points_crs, "QgsCategorizedSymbolRenderer"],
        [True, crs, "QgsMultiBandColorRenderer"],
    ]
