"""Create environment and check environment: a beginner's first two clicks."""

import os
import shutil
import sys
import unittest
import zipfile
from pathlib import Path
from unittest import mock

from qgis.core import QgsApplication, QgsProcessingException
from qgis_plugin import environment, interpreter

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

    def test_a_name_that_anybody_can_publish_is_refused(self):
        for package in ("", "geopointseg", "geopointseg==0.1.0"):
            with self.subTest(package=package):
                results, feedback = self.create(
                    self.folder / "new", PACKAGE=package, PIP_OPTIONS=""
                )
                self.assertIsNone(results)
                self.assertIn("A name alone is not installed", feedback.errors[0])
                self.assertFalse((self.folder / "new").exists())
        results, feedback = self.create(self.folder / "new", PACKAGE=str(self.folder / "gone.whl"))
        self.assertIn(f"There is no file or folder {self.folder}/gone.whl", feedback.errors[0])

    def test_a_wheel_that_comes_with_the_plugin_is_taken(self):
        wheel = make_wheel(self.folder)
        with mock.patch.object(environment, "__file__", str(self.folder / "environment.py")):
            self.assertEqual(environment.find_package(None, ""), str(wheel))

    def test_folders_that_travel_or_vanish_are_refused(self):
        for folder in (QgsApplication.qgisSettingsDirPath(), environment.__file__ + "/../"):
            place = Path(os.path.abspath(folder), "environment")  # noqa: PTH100  resolves '..'
            results, feedback = self.create(place)
            self.assertIsNone(results)
            self.assertIn("lies in the QGIS profile", feedback.errors[0])
        refused = self.assertRaisesRegex(QgsProcessingException, "too long for Windows")
        with mock.patch.object(interpreter, "IS_WINDOWS", True), refused:
            environment.refuse_folder(self.folder / ("x" * 80), fresh=True)

    def test_the_default_folder_is_outside_of_profile_and_plugin(self):
        environment.refuse_folder(interpreter.default_folder(), fresh=True)

    def test_a_standalone_python_where_none_fits(self):
        program = self.folder / "programs" / "uv"
        program.parent.mkdir()
        program.write_text(
            f'#!/bin/sh\necho "$@" > {self.folder}/said\nfor last; do true; done\nexec {NEW_PYTHON} -m venv "$last"\n'
        )
        program.chmod(0o755)
        path = {"PATH": f"{program.parent}:{os.environ['PATH']}"}
        with (
            mock.patch.dict(os.environ, path),
            mock.patch.object(interpreter, "candidates", return_value=[sys.executable]),
        ):
            results, feedback = self.create(self.folder / "new", PYTHON=None)
        self.assertIsNotNone(results, feedback.errors)
        self.assertIn("No Python 3.12 or newer was found; looked at:", "\n".join(feedback.lines))
        self.assertIn(
            "--seed --python 3.12 --python-preference only-managed",
            (self.folder / "said").read_text(),
        )

    def test_megabytes_and_time_left_and_no_line_twice(self):
        feedback = Feedback()
        downloads = environment.Downloads(feedback, 1000.0)
        lines = ["Collecting torch", "  Downloading torch-2.9.0-cp312.whl (180.0 MB)"]
        lines += [f"Progress {part * 18_000_000} of 180000000" for part in range(11)]
        lines += [
            "Collecting numpy",
            "  Downloading numpy-2.0-cp312.whl (20.0 MB)",
            "Progress 20000000 of 20000000",
        ]
        lines += ["Installing collected packages: numpy, torch", "Successfully installed numpy-2.0"]
        with mock.patch("time.monotonic", side_effect=[10.0 * i for i in range(1, 60)]):
            for line in lines:
                downloads.take(line)
        self.assertIn("Downloading torch: 90 of 180 MB; in all about", "\n".join(feedback.lines))
        self.assertEqual(feedback.seen, sorted(feedback.seen))
        self.assertEqual(len(feedback.lines), len(set(feedback.lines)))
        self.assertAlmostEqual(max(p for p in feedback.seen if p < 96), 19.0)

    def test_wheels_for_the_processor_unless_a_card_is_wanted(self):
        for gpu, windows, said in (
            (False, False, "cpu"),
            (True, False, ""),
            (True, True, "cu126"),
            (False, True, "cpu"),
        ):
            with (
                mock.patch.object(environment.runner, "run_program", return_value=(0, "")) as ran,
                mock.patch.object(interpreter, "IS_WINDOWS", windows),
                mock.patch.object(interpreter, "IS_MAC", False),
            ):
                environment.install("python", "a.whl", [], Feedback(), gpu=gpu)
            words = [" ".join(call.args[1]) for call in ran.call_args_list]
            found = [line for line in words if "--index-url" in line]
            self.assertEqual(bool(found), bool(said))
            self.assertTrue(all(f"/whl/{said} torch torchvision" in line for line in found))
            self.assertTrue(words[-1].endswith("a.whl"))

    def test_certificates_of_qgis_reach_the_child(self):
        manager = mock.Mock()
        manager.isDisabled.return_value = False
        manager.databaseCAs.return_value = ["one"]
        manager.trustedCaCertsPemText.return_value = b"-----BEGIN CERTIFICATE-----"
        with (
            mock.patch.object(interpreter.QgsApplication, "authManager", return_value=manager),
            mock.patch.object(
                interpreter, "default_folder", return_value=self.folder / "environment"
            ),
        ):
            found = interpreter.network()
        self.assertEqual(Path(found["PIP_CERT"]).read_bytes(), b"-----BEGIN CERTIFICATE-----")
        self.assertEqual(found["SSL_CERT_FILE"], found["PIP_CERT"])

    @unittest.skipIf(interpreter.IS_WINDOWS, "links and first lines are of other systems")
    def test_the_python_of_a_command_is_found_behind_links_and_in_its_first_line(self):
        environment, commands = self.folder / "environment" / "bin", self.folder / "commands"
        environment.mkdir(parents=True)
        commands.mkdir()
        for name in ("python", "geopointseg"):
            (environment / name).write_text("")
        (commands / "geopointseg").symlink_to(environment / "geopointseg")
        found = interpreter.inside(str(commands / "geopointseg"))
        self.assertEqual(Path(found).resolve(), (environment / "python").resolve())
        (commands / "geopointseg").unlink()
        (commands / "geopointseg").write_text("#!/usr/bin/python3.12\nimport sys\n")
        self.assertEqual(interpreter.inside(str(commands / "geopointseg")), "/usr/bin/python3.12")

    def test_candidates_are_programs(self):
        for path in interpreter.candidates():
            self.assertTrue(os.access(path, os.X_OK), path)


if __name__ == "__main__":
    unittest.main()
