"""The tests that need QGIS run in QGIS's own Python; each file of them is one test here."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.qgis.qgis_installation import Qgis

INSIDE = Path(__file__).with_name("inside")


@pytest.mark.parametrize("case", sorted(path.stem for path in INSIDE.glob("case_*.py")))
def test_inside_qgis(qgis: Qgis, ground: Path, case: str) -> None:
    environment = qgis.environment | {"GEOPOINTSEG_TEST_GROUND": str(ground)}
    done = subprocess.run(
        [qgis.python, "run_case.py", case],
        cwd=INSIDE, env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
