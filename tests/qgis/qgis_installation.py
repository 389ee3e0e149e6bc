"""Where QGIS is: its Python and its qgis_process."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pytest

FOREIGN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PROJ_LIB", "PROJ_DATA", "GDAL_DATA")


@lru_cache(maxsize=1)
def find_qgis_python() -> str:
    """Return a Python that imports QGIS, from QGIS_PYTHON or the system; empty where there is none."""
    for candidate in (os.environ.get("QGIS_PYTHON", ""), "/usr/bin/python3"):
        if candidate and Path(candidate).exists():
            clean = {name: value for name, value in os.environ.items() if name not in FOREIGN}
            tried = subprocess.run(
                [candidate, "-c", "import qgis.core"],
                env=clean,
                cwd="/",
                capture_output=True,
                check=False,
            )
            if tried.returncode == 0:
                return candidate
    return ""


@dataclass(frozen=True)
class Qgis:
    """One QGIS on this machine with its own home, where the plugin is installed and enabled."""

    python: str
    environment: dict[str, str]
    home: Path

    def run_process(
        self, *arguments: str, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Call ``qgis_process``, the one without Debian's wrapper where there is one."""
        program = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
        if program is None:
            pytest.skip("QGIS's command qgis_process is not installed")
        return subprocess.run(
            [program, *arguments],
            env=self.environment, cwd=self.home, input=stdin, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
