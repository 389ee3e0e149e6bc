"""From points to a styled map through ``qgis_process``, with the real library."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import rasterio

from tests.qgis.qgis_installation import Qgis

MODEL_OF_THE_MODELER = Path(__file__).resolve().parents[2] / "examples" / "points_to_map.model3"
LOOK = """
import json, os, sys
from qgis.core import QgsApplication, QgsRasterLayer
application = QgsApplication([], False)
application.initQgis()
layer = QgsRasterLayer(sys.argv[1], "map")
classes = [[int(c.value), c.label, c.color.name()] for c in layer.renderer().classes()]
print(json.dumps([type(layer.renderer()).__name__, classes]), flush=True)
os._exit(0)
"""


def run(qgis: Qgis, algorithm: str, **parameters: Any) -> dict[str, Any]:
    """Run an algorithm and return its results; fails with what QGIS said."""
    words = [
        f"--{name}={value}"
        for name, values in parameters.items()
        for value in (values if isinstance(values, list) else [values])
    ]
    done = qgis.run_process("--json", "run", algorithm, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)["results"]


@pytest.fixture(scope="module")
def trained(qgis: Qgis, ground: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Results of 'Train model', by a forest, which is quick."""
    folder = tmp_path_factory.mktemp("models") / "my model"
    return run(
        qgis, "geopointseg:trainmodel", RASTER=ground / "scene.tif", POINTS=ground / "points.gpkg", CLASS_FIELD="class",
        KIND="forest", MINUTES="0.5", CONFIG=ground / "quick.toml", OUTPUT=folder,
    )  # fmt: skip


@pytest.fixture(scope="module")
def mapped(
    qgis: Qgis, ground: Path, trained: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Results of 'Predict map'."""
    folder = tmp_path_factory.mktemp("maps")
    return run(
        qgis, "geopointseg:predictmap", MODEL=trained["OUTPUT"], RASTER=ground / "scene.tif", OUTPUT=folder / "map.tif",
        UNCERTAINTY=folder / "uncertainty.tif",
    )  # fmt: skip


def test_check(qgis: Qgis, ground: Path, tmp_path: Path) -> None:
    results = run(
        qgis, "geopointseg:checkpoints", POINTS=ground / "points.gpkg", RASTER=ground / "scene.tif",
        OUTPUT=tmp_path / "questionable.gpkg",
    )  # fmt: skip
    assert results["USABLE"] is True
    assert results["POINT_COUNT"] == 160


def test_training_gives_numbers(trained: dict[str, Any]) -> None:
    assert (Path(trained["OUTPUT"]) / "model.safetensors").exists()
    assert 0 < trained["FOREST_F1"] <= 1
    assert trained["REASON"]


def test_the_map_is_on_the_scenes_grid_with_names_and_colours(
    qgis: Qgis, ground: Path, mapped: dict[str, Any]
) -> None:
    with rasterio.open(mapped["OUTPUT"]) as made, rasterio.open(ground / "scene.tif") as scene:
        assert made.crs == scene.crs
        assert made.transform == scene.transform
        assert made.shape == scene.shape
        colours = made.colormap(1)
    done = subprocess.run(
        [qgis.python, "-c", LOOK, mapped["OUTPUT"]],
        env=qgis.environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    kind, classes = json.loads(done.stdout.splitlines()[-1])
    assert kind == "QgsPalettedRasterRenderer"
    assert [30, "forest", "#117733"] in classes
    assert colours[30][:3] == (0x11, 0x77, 0x33)
    assert Path(mapped["UNCERTAINTY"]).with_suffix(".qml").exists()


def test_assess(qgis: Qgis, ground: Path, mapped: dict[str, Any], tmp_path: Path) -> None:
    results = run(
        qgis, "geopointseg:assessmap", MAP=mapped["OUTPUT"], POINTS=ground / "test.gpkg", CLASS_FIELD="class",
        REPORT=tmp_path / "report.html",
    )  # fmt: skip
    assert 0 < results["OVERALL_ACCURACY"] <= 1
    assert 0 < results["MEAN_F1"] <= 1
    assert results["POINT_COUNT"] == 120
    assert "<html" in Path(results["REPORT"]).read_text(encoding="utf-8")


def test_suggest(qgis: Qgis, ground: Path, trained: dict[str, Any], tmp_path: Path) -> None:
    results = run(
        qgis, "geopointseg:suggestpoints", MODEL=trained["OUTPUT"], RASTER=ground / "scene.tif", COUNT=4, MIN_DISTANCE=5,
        OUTPUT=tmp_path / "next.gpkg",
    )  # fmt: skip
    assert results["POINT_COUNT"] == 4


def test_split_and_simulate(
    qgis: Qgis, ground: Path, mapped: dict[str, Any], tmp_path: Path
) -> None:
    drawn = run(
        qgis, "geopointseg:simulatepoints", MASK=mapped["OUTPUT"], PER_CLASS=6, PLACEMENT="interior",
        OUTPUT=tmp_path / "drawn.gpkg",
    )  # fmt: skip
    assert drawn["POINT_COUNT"] > 6
    split = run(
        qgis, "geopointseg:splitpoints", POINTS=ground / "points.gpkg", CLASS_FIELD="class", BLOCK_SIZE=60,
        TEST_FRACTION=0.3, OUTPUT=tmp_path / "split.gpkg",
    )  # fmt: skip
    connection = sqlite3.connect(split["OUTPUT"])
    layer = connection.execute(
        "select table_name from gpkg_contents where data_type = 'features'"
    ).fetchone()[0]
    parts = {row[0] for row in connection.execute(f'select split from "{layer}"')}
    connection.close()
    assert {"train", "test"} <= parts


def test_match(qgis: Qgis, ground: Path, tmp_path: Path) -> None:
    scene = ground / "scene.tif"
    results = run(
        qgis,
        "geopointseg:matchhistogram",
        RASTER=scene,
        REFERENCES=scene,
        OUTPUT=tmp_path / "same.tif",
    )
    with rasterio.open(results["OUTPUT"]) as matched, rasterio.open(scene) as original:
        assert matched.transform == original.transform
        assert matched.count == original.count


def test_check_environment(qgis: Qgis) -> None:
    results = run(qgis, "geopointseg:checkenvironment")
    assert results["READY"] is True
    assert results["INTERPRETER"] == sys.executable


def test_another_installations_proj_and_gdal_do_no_harm(
    qgis: Qgis, ground: Path, tmp_path: Path
) -> None:
    proj = next(
        (path for path in ("/usr/share/proj", "/opt/homebrew/share/proj") if Path(path).exists()),
        "",
    )
    if not proj:
        pytest.skip("QGIS's PROJ data were not found")
    foreign = {
        "PROJ_LIB": proj,
        "PROJ_DATA": proj,
        "GDAL_DATA": "/usr/share/gdal",
        "PYTHONPATH": str(tmp_path),
    }
    (tmp_path / "numpy.py").write_text("raise ImportError('a numpy of QGIS')")
    troubled = Qgis(qgis.python, {**qgis.environment, **foreign}, qgis.home)
    (tmp_path / "numpy.py").unlink()
    (tmp_path / "geopointseg.py").write_text("raise ImportError('not the library')")
    results = run(
        troubled,
        "geopointseg:checkpoints",
        POINTS=ground / "points.gpkg",
        RASTER=ground / "scene.tif",
    )
    assert results["USABLE"] is True


def test_a_failure_ends_with_the_librarys_sentence(
    qgis: Qgis, ground: Path, tmp_path: Path
) -> None:
    done = qgis.run_process(
        "run", "geopointseg:trainmodel", "--", f"RASTER={ground / 'scene.tif'}", f"POINTS={ground / 'points.gpkg'}",
        "CLASS_FIELD=colour of the sky", f"OUTPUT={tmp_path / 'model'}",
    )  # fmt: skip
    assert done.returncode != 0
    assert "colour of the sky" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "model").exists()


def test_parameters_from_stdin(qgis: Qgis, ground: Path) -> None:
    if "STDIN" not in qgis.run_process("--help").stdout.upper():
        pytest.skip(
            "this QGIS is older than 3.24, whose qgis_process reads no parameters from stdin"
        )
    given = {"inputs": {"POINTS": str(ground / "points.gpkg"), "RASTER": str(ground / "scene.tif")}}
    done = qgis.run_process("run", "geopointseg:checkpoints", "-", stdin=json.dumps(given))
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["results"]["USABLE"] is True


def test_the_model_of_the_modeler(qgis: Qgis, ground: Path, tmp_path: Path) -> None:
    results = run(
        qgis, str(MODEL_OF_THE_MODELER), RASTER=ground / "scene.tif", POINTS=ground / "points.gpkg", CLASS_FIELD="class",
        TEST_POINTS=ground / "test.gpkg", KIND="forest", MINUTES="0.5", CONFIG=ground / "quick.toml", **{
            "predict:Class map": tmp_path / "map.tif", "train:Model": tmp_path / "model",
            "assess:Report": tmp_path / "report.html",
        },
    )  # fmt: skip
    assert Path(results["predict:Class map"]).exists()
    assert Path(results["assess:Report"]).exists()
    assert (tmp_path / "map.qml").exists()
