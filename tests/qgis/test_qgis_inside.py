"""The tests that need QGIS run in QGIS's own Python; each file of them is one test here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.qgis.qgis_installation import Qgis

INSIDE = Path(__file__).with_name("inside")
ON_SCREEN = (
    "case_panel_live",
    "case_panel_live_real",
)  # on an X server where there is one, to see what a screen shows


@pytest.mark.parametrize("case", sorted(path.stem for path in INSIDE.glob("case_*.py")))
def test_inside_qgis(qgis: Qgis, ground: Path, case: str) -> None:
    environment = qgis.environment | {"GEOPOINTSEG_TEST_GROUND": str(ground)}
    command = [qgis.python, "run_case.py", case]
    if case in ON_SCREEN and shutil.which("xvfb-run"):
        command = ["xvfb-run", "-a", "-s", "-screen 0 1400x1000x24", *command]
        environment |= {"QT_QPA_PLATFORM": "xcb", "LIBGL_ALWAYS_SOFTWARE": "1"}
    done = subprocess.run(
        command,
        cwd=INSIDE, env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
