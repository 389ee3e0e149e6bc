"""Create environment and check environment: a beginner's first two clicks."""

import os
import shutil
import sys
import unittest
import zipfile
from pathlib import Path
from unittest import mock

from qgis_plugin import interpreter

from support import Feedback, ProcessingConfig, QgisTestCase, processes_of, run

NEW_PYTHON = os.environ.get("GEOPOINTSEG_TEST_PYTHON", "")
DOCTOR = """
import json, os, sys
if os.environ.get("SLOW"):
    import time
    print('{"event": "log", "message": "slow"}', file=sys.stderr, flush=True)
    time.sleep(600)
print(json.dumps({"ok": False, "version": "9.9", "interpreter": sys.executable, "findings": [
    {"what": "Python", "ok": True, "found": "3.12", "advice": ""},
    {"what": "torch", "ok": False, "found": "missing", "advice": "Install it: python -m pip install torch"}]}))
sys.exit(1)
"""


def make_wheel(folder: Path, version: str = "9.9") -> Path:
    """Write a wheel named geopointseg that answers 'doctor' only."""
    path = folder / f"geopointseg-{version}-py3-none-any.whl"
    info = f"geopointseg-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("geopointseg/__init__.py", "")
        wheel.writestr("geopointseg/__main__.py", DOCTOR)
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: geopointseg\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(f"{info}/RECORD", "")
    return path


class EnvironmentTest(QgisTestCase):
    def create(self, folder, feedback=None, **more):
        if not NEW_PYTHON:
            self.skipTest("no Python 3.12 was named by GEOPOINTSEG_TEST_PYTHON")
        wheel = make_wheel(self.folder)
        parameters = {
            "PYTHON": NEW_PYTHON,
            "FOLDER": str(folder),
            "PACKAGE": str(wheel),
            "PIP_OPTIONS": "--no-index",
        }
        self.addCleanup(ProcessingConfig.setSettingValue, interpreter.SETTING, "")
        return run("createenvironment", {**parameters, **more}, feedback)

    def test_an_environment_is_made_set_checked_upgraded_and_broken(self):
        results, feedback = self.create(self.folder / "new environment")
        self.assertIsNotNone(results, feedback.errors)
        made = self.folder / "new environment" / interpreter.INSIDE
        self.assertEqual(results["INTERPRETER"], str(made))
        self.assertEqual(interpreter.current(), str(made))
        self.assertTrue(feedback.seen, "no progress was shown")

        checked, told = run("checkenvironment", {})
        self.assertEqual(checked["VERSION"], "9.9")
        self.assertEqual(checked["INTERPRETER"], str(made))
        self.assertIs(checked["READY"], False)
        self.assertEqual(told.warnings, ["torch: missing. Install it: python -m pip install torch"])
        self.assertIn(f"geopointseg 9.9 in {made} (Python 3.", told.lines[0])
        self.assertIn("device unknown (torch is missing)", told.lines[0])

        again, feedback = self.create(self.folder / "new environment")
        self.assertIsNotNone(again, feedback.errors)

        with mock.patch.dict(os.environ, {"SLOW": "1"}):
            checked, told = run("checkenvironment", {}, Feedback(cancel_at="slow"))
        self.assertIs(checked["READY"], False)
        self.assertEqual(processes_of(str(self.folder)), [])

        (package,) = made.parent.parent.glob("lib/python3*/site-packages/geopointseg-*")
        text = (package / "METADATA").read_text()
        (package / "METADATA").write_text(text.replace("9.9", "0.0.1"))
        checked, told = run("checkenvironment", {})
        self.assertIs(checked["READY"], False)
        self.assertIn("has geopointseg 0.0.1, but this plugin needs 0.1 or newer", told.warnings[0])

        shutil.rmtree(package)
        checked, told = run("checkenvironment", {})
        self.assertIs(checked["READY"], False)
        self.assertIn("has no package geopointseg", told.warnings[0])

    def test_a_failed_installation_leaves_nothing_and_gives_pips_reason(self):
        results, feedback = self.create(self.folder / "new environment", PACKAGE="geopointseg==99")
        self.assertIsNone(results)
        self.assertIn(
            "'pip install' failed. Check the network and QGIS's proxy", feedback.errors[0]
        )
        self.assertIn("geopointseg==99", feedback.errors[0])
        self.assertFalse((self.folder / "new environment").exists())
        self.assertEqual(interpreter.current(), "")

    def test_a_cancelled_installation_leaves_nothing(self):
        results, feedback = self.create(
            self.folder / "new environment", Feedback(cancel_at="Making an environment")
        )
        self.assertIsNone(results)
        self.assertIn("Cancelled. The unfinished environment was removed.", feedback.errors[0])
        self.assertFalse((self.folder / "new environment").exists())
        self.assertEqual(processes_of(str(self.folder)), [])

    def test_a_folder_with_other_files_is_refused(self):
        (self.folder / "thesis.odt").write_text("years of work")
        results, feedback = run("createenvironment", {"FOLDER": str(self.folder)})
        self.assertIsNone(results)
        self.assertIn(f"The folder {self.folder} holds other files", feedback.errors[0])
        self.assertTrue((self.folder / "thesis.odt").exists())

    def test_a_python_that_is_too_old_is_refused(self):
        if sys.version_info >= (3, 12):
            self.skipTest("QGIS's own Python is new enough, so none is too old here")
        results, feedback = run(
            "createenvironment", {"PYTHON": sys.executable, "FOLDER": str(self.folder / "new")}
        )
        self.assertIsNone(results)
        self.assertIn(f"looked at: {sys.executable} (3.", feedback.errors[0])
        self.assertFalse((self.folder / "new").exists())

    def test_candidates_are_programs(self):
        for path in interpreter.candidates():
            self.assertTrue(os.access(path, os.X_OK), path)


if __name__ == "__main__":
    unittest.main()
