"""Whatever the child does, QGIS gets one sentence and lives on."""

import json
import os
import sys
import unittest
from pathlib import Path
from unittest import mock

from qgis.core import QgsNetworkAccessManager, QgsProject
from qgis.PyQt.QtCore import QCoreApplication, QThread, QTimer
from qgis.PyQt.QtNetwork import QNetworkProxy
from qgis_plugin import runner

from support import Feedback, QgisTestCase, make_points, processes_of, run, set_interpreter


class RunnerTest(QgisTestCase):
    def check_points(self, mode, feedback=None, **more):
        call = self.fake(mode)
        layer = make_points()
        QgsProject.instance().addMapLayers([layer, self.raster.clone()])
        parameters = {"POINTS": layer, "RASTER": self.raster, "CLASS_FIELD": "cover", **more}
        results, feedback = run("checkpoints", parameters, feedback)
        return results, feedback, call

    def test_a_run_that_succeeds(self):
        results, feedback, _ = self.check_points("succeeds")
        self.assertEqual(results["POINT_COUNT"], 6)
        self.assertIs(results["USABLE"], True)
        self.assertEqual(feedback.lines[0], "geopointseg 9.9 in a fake")
        self.assertIn("-m geopointseg points check", feedback.lines[1])
        self.assertIn("train: Hälfte", feedback.lines)
        self.assertIn("a plain line", feedback.lines)
        self.assertIn("[1, 2]", feedback.lines)
        self.assertIn(50.0, feedback.seen)
        self.assertEqual(feedback.warnings, ["Class 'water' has 3 points only."])

    def test_the_environment_is_clean_and_the_folder_neutral(self):
        foreign = {
            "PYTHONPATH": "/nowhere",
            "PYTHONHOME": "",
            "PROJ_LIB": "/nowhere",
            "GDAL_DATA": "/nowhere",
            "LD_LIBRARY_PATH": "/nowhere",
            "KEPT": "yes",
        }
        with mock.patch.dict(os.environ, foreign):
            _, _, call = self.check_points("succeeds")
        called = json.loads(call.read_text())
        for name in set(foreign) - {"KEPT"}:
            self.assertNotIn(name, called["environment"])
        self.assertEqual(called["environment"]["KEPT"], "yes")
        self.assertEqual(called["environment"]["PYTHONSAFEPATH"], "1")
        self.assertNotEqual(called["folder"], str(Path.cwd()))
        self.assertTrue(called["program"].endswith("child.py"))

    def test_the_proxy_of_qgis_reaches_the_child(self):
        manager = QgsNetworkAccessManager.instance()
        before = manager.fallbackProxy()
        proxy = QNetworkProxy(
            QNetworkProxy.ProxyType.HttpProxy, "proxy.example.org", 3128, "me", "a b/c"
        )
        manager.setFallbackProxyAndExcludes(proxy, [], [])
        self.addCleanup(manager.setFallbackProxyAndExcludes, before, [], [])
        _, feedback, call = self.check_points("succeeds")
        environment = json.loads(call.read_text())["environment"]
        self.assertEqual(environment["HTTPS_PROXY"], "http://me:a%20b%2Fc@proxy.example.org:3128")
        self.assertFalse(
            [line for line in feedback.lines if "a%20b" in line], "password in the log"
        )

    def test_a_failure_is_the_librarys_own_sentence(self):
        results, feedback, _ = self.check_points("fails")
        self.assertIsNone(results)
        self.assertEqual(feedback.errors, ["Layer 'plots' has no CRS. Assign one."])

    def test_a_wrong_option_is_shown(self):
        results, feedback, _ = self.check_points("misused")
        self.assertIsNone(results)
        self.assertIn("No such option: --colour", feedback.errors[0])

    def test_a_verdict_with_exit_code_1_is_a_result(self):
        results, _, _ = self.check_points("judges")
        self.assertIs(results["USABLE"], False)

    def test_a_flood_is_bounded(self):
        results, feedback, _ = self.check_points("floods")
        self.assertEqual(results["POINT_COUNT"], 1)
        self.assertLess(len(feedback.lines), 400)
        self.assertIn("The program goes on writing; the rest is not shown.", feedback.lines)

    def test_a_hanging_child_is_cancelled_with_all_it_started(self):
        results, feedback, call = self.check_points("hangs", Feedback(cancel_at="hanging now"))
        self.assertIsNone(results)
        self.assertIn("Cancelled. No output was written.", feedback.errors[0])
        self.assertEqual(processes_of(str(call.parent)), [])

    def test_a_polite_child_ends_itself(self):
        with mock.patch("qgis_plugin.runner.GRACE_SECONDS", 60.0):
            results, feedback, call = self.check_points("polite", Feedback(cancel_at="working now"))
        self.assertIsNone(results)
        self.assertIn("Cancelled", feedback.errors[0])
        self.assertTrue(call.with_name("stopped").exists(), "it was not asked to stop")
        self.assertEqual(processes_of(str(call.parent)), [])

    def test_the_window_answers_while_a_batch_runs(self):
        feedback = Feedback()
        self.assertIs(QThread.currentThread(), QCoreApplication.instance().thread())
        QTimer.singleShot(300, feedback.cancel)
        results, feedback, call = self.check_points("polite", feedback)
        self.assertIsNone(results)
        self.assertIn("Cancelled", feedback.errors[0])
        self.assertEqual(processes_of(str(call.parent)), [])

    def test_a_killed_child(self):
        results, feedback, _ = self.check_points("dies")
        self.assertIsNone(results)
        self.assertIn("was killed in the middle of its work (signal 9)", feedback.errors[0])

    def test_a_child_without_result(self):
        for mode in ("babbles", "silent"):
            results, feedback, _ = self.check_points(mode)
            self.assertIsNone(results)
            self.assertIn("without a result that this plugin understands", feedback.errors[0])

    def test_in_a_worker_thread_too(self):
        outcome = []
        self.fake("succeeds")
        layer = make_points()

        class Worker(QThread):
            def run(self):
                outcome.append(runner.run_geopointseg(["doctor"], Feedback()))

        worker = Worker()
        worker.start()
        self.assertTrue(worker.wait(60_000))
        self.assertEqual(outcome[0]["points"], 6)
        self.assertTrue(layer.isValid())

    def test_the_file_without_right_to_run_is_named(self):
        text = self.folder / "notes.txt"
        text.write_text("no program")
        set_interpreter(str(text))
        results, feedback = run("checkenvironment", {})
        self.assertIs(results["READY"], False)
        self.assertIn(f"{text} is not a program that may be executed", feedback.warnings[0])

    def test_a_file_that_is_no_program_is_named(self):
        broken = self.folder / "python"
        broken.write_bytes(b"\x7fELF nonsense")
        broken.chmod(0o755)
        set_interpreter(str(broken))
        results, feedback = run("checkenvironment", {})
        self.assertIs(results["READY"], False)
        self.assertIn(str(broken), feedback.warnings[0])

    def test_a_python_that_is_too_old_says_both_versions(self):
        if sys.version_info >= (3, 12):
            self.skipTest("QGIS's own Python is new enough, so none is too old here")
        set_interpreter(sys.executable)
        results, feedback = run("checkenvironment", {})
        self.assertIs(results["READY"], False)
        found = ".".join(map(str, sys.version_info[:3]))
        self.assertIn(
            f"(Python {found}) is too old: geopointseg needs Python 3.12", feedback.warnings[0]
        )


if __name__ == "__main__":
    unittest.main()
