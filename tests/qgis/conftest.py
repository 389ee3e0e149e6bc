"""A QGIS with a home of its own for each run of the tests, the plugin enabled."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.qgis.qgis_installation import FOREIGN, Qgis, find_qgis_python

REPOSITORY = Path(__file__).resolve().parents[2]
PLUGIN_FOLDER = "geopointseg_qgis"
collect_ignore = ["inside"]


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a small scene, points, settings of a quick forest, and small embeddings with points."""
    from geopointseg.lab.synthetic_embedding import make_embedding, write_quantized, write_tessera
    from geopointseg.labels.points import write_points
    from geopointseg.landscape import draw_points, make_landscape, write_scene

    folder = tmp_path_factory.mktemp("ground")
    landscape = make_landscape(300, 320, seed=1)
    write_scene(landscape, str(folder / "scene.tif"))
    write_points(draw_points(landscape, 20, 1, columns=(0.0, 0.6)), folder / "points.gpkg")
    write_points(draw_points(landscape, 15, 2, columns=(0.65, 1.0)), folder / "test.gpkg")
    (folder / "quick.toml").write_text(
        '[forest]\ntrees = 20\nfeatures = "filters"\n', encoding="utf-8"
    )
    embedding = make_embedding(60, 80, dimensions=16)
    write_tessera(embedding, folder / "tessera")
    write_quantized(embedding, folder / "explorer")
    write_points(draw_points(embedding.landscape, 15, 1), folder / "vectors.gpkg")
    return folder


@pytest.fixture(scope="session")
def qgis(tmp_path_factory: pytest.TempPathFactory) -> Qgis:
    """QGIS with the plugin enabled; skips, and says so, where QGIS is not installed."""
    python = find_qgis_python()
    if not python:
        pytest.skip(
            "QGIS is not installed (no Python here imports qgis.core); set QGIS_PYTHON to name one"
        )
    home = tmp_path_factory.mktemp("qgis-home")
    (home / "run").mkdir(mode=0o700)
    plugins = home / ".local/share/QGIS/QGIS3/profiles/default/python/plugins"
    plugins.mkdir(parents=True)
    (plugins / PLUGIN_FOLDER).symlink_to(REPOSITORY / "qgis_plugin")
    environment = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    environment |= {
        "HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run"), "QT_QPA_PLATFORM": "offscreen",
        "GEOPOINTSEG_PYTHON": sys.executable, "GEOPOINTSEG_TEST_PYTHON": sys.executable,
        "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    found = Qgis(python, environment, home)
    enabled = found.run_process("plugins", "enable", PLUGIN_FOLDER)
    assert enabled.returncode == 0, enabled.stdout + enabled.stderr
    return found
