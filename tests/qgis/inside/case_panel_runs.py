"""Check, train, map and assess from the panel: in the background, cancelled, failed, remembered."""

import json
import unittest

from qgis.core import QgsProject
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtTest import QTest
from qgis_plugin import interpreter, memory

from case_panel import PanelTestCase, contents
from support import make_points, processes_of, set_interpreter
from window import LEFT


class RunTest(PanelTestCase):
    def setUp(self):
        super().setUp()
        self.layer = make_points()
        self.open(self.layer)
        self.said = self.panel.said.text
        self.model = self.folder / "model of points"

    def arguments(self, mode="succeeds"):
        """Return what the program was called with last, values by option."""
        call = json.loads((self.folder / mode / "call.json").read_text())
        return call["arguments"]

    def after(self, option, mode="succeeds"):
        given = self.arguments(mode)
        return given[given.index(option) + 1]

    def train(self):
        self.fake("succeeds")
        self.desk.step("train")
        self.desk.finish()
        (self.model / "model.json").write_text('{"legend": [{"name": "forest"}]}')
        (self.model / "mine.txt").write_text("kept")

    def test_training_takes_the_layers_and_a_folder_beside_the_project(self):
        self.panel.form.minutes.setValue(3)
        self.train()
        given = self.arguments()
        self.assertEqual(given[:2], ["train", str(self.folder / "scene.tif")])
        self.assertEqual(self.after("--output"), str(self.model))
        self.assertEqual(self.after("--class-field"), "cover")
        self.assertEqual(float(self.after("--minutes")), 3.0)
        self.assertEqual(self.panel.form.model.filePath(), str(self.model))
        self.assertIn("Next: 'Map'.", self.said())
        self.assertIn("• Class 'water' has 3 points only.", self.said())
        self.assertEqual(memory.recall(memory.POINTS), self.layer.id())
        self.assertEqual(memory.recall(memory.MODEL), str(self.model))

    def test_a_model_that_exists_is_replaced_only_when_asked(self):
        self.train()
        (self.folder / "succeeds" / "call.json").unlink()
        self.assertEqual(
            self.desk.choose("train", "Cancel"),
            "The model 'model of points' exists. Replace it, or keep it and train another one?",
        )
        self.assertFalse((self.folder / "succeeds" / "call.json").exists())
        self.desk.choose("train", "Keep both")
        self.desk.finish()
        self.assertEqual(self.after("--output"), f"{self.model} 2")
        self.panel.form.model.setFilePath(str(self.model))
        self.desk.choose("train", "Replace")
        self.desk.finish()
        self.assertEqual(self.after("--output"), str(self.model))

    def test_the_name_of_a_new_model_folder_can_be_typed(self):
        self.fake("succeeds")
        self.panel.form.model.setFilePath(str(self.folder / "my model"))
        self.desk.step("train")
        self.desk.finish()
        self.assertEqual(self.after("--output"), str(self.folder / "my model"))

    def test_the_map_is_named_after_the_scene_and_is_no_image_to_map(self):
        self.train()
        self.desk.step("map")
        self.desk.finish()
        path = self.folder / "Land cover of scene.tif"
        self.assertTrue(path.exists(), self.said())
        self.assertEqual(self.after("--output"), str(path))
        (found,) = QgsProject.instance().mapLayersByName("Land cover of scene")
        self.assertEqual(memory.recall(memory.MAP), found.id())
        self.assertIs(self.panel.form.raster.currentLayer(), self.raster)
        self.assertEqual(self.panel.form.raster.count(), 1)
        self.assertIn("Next: 'Assess'", self.said())
        self.assess()

    def assess(self):
        """Without test points a sample is offered; a layer that is chosen is taken."""
        self.assertIn("that the model has not seen", self.desk.choose("assess", "Cancel"))
        test = make_points("surveyed")
        QgsProject.instance().addMapLayer(test)
        self.panel.form.test.setLayer(test)
        self.desk.step("assess")
        self.desk.finish()
        self.assertEqual(self.arguments()[0], "assess")
        self.assertIn("Accuracy of Land cover of scene", self.after("--output"))
        self.assertNotIn("--sampling", self.arguments())
        self.assertIn("Next: read the report", self.said())

    def test_qgis_lives_on_while_a_run_is_under_way_and_cancel_ends_it(self):
        call = self.fake("polite")
        ticks = []
        clock = QTimer()
        clock.timeout.connect(lambda: ticks.append(1))
        clock.start(10)
        before = contents(self.layer)
        self.desk.step("train")
        self.desk.wait(call.exists, 30)
        ticks.clear()
        self.desk.wait(lambda: len(ticks) > 5, 10)
        self.assertFalse(self.panel.steps["map"].isEnabled())
        self.assertTrue(self.panel.bar.isVisible())
        self.desk.pick_row(0)
        self.desk.click_map(500205, 4999795)
        self.assertEqual(self.desk.counts()["forest"], 3, "points can be clicked meanwhile")
        self.desk.press(self.panel.undo)
        self.desk.press(self.panel.cancel)
        self.desk.finish()
        self.assertEqual(self.said(), "Cancelled. No output was written.")
        self.assertTrue(self.panel.steps["map"].isEnabled())
        self.assertFalse(self.panel.bar.isVisible())
        self.assertEqual(processes_of(str(call.parent / "python")), [])
        self.panel.leave()
        self.assertEqual(contents(self.layer), before)

    def test_layers_may_go_while_a_run_is_under_way(self):
        call = self.fake("polite")
        self.desk.step("train")
        self.desk.wait(call.exists, 30)
        QgsProject.instance().clear()
        self.desk.wait()
        self.desk.press(self.panel.cancel)
        self.desk.finish()
        self.assertEqual(self.said(), "Cancelled. No output was written.")

    def test_a_failure_is_the_librarys_sentence(self):
        self.fake("fails")
        for step in ("check", "train"):
            self.desk.step(step)
            self.desk.finish()
            self.assertEqual(self.said(), "Layer 'plots' has no CRS. Assign one.")
        self.assertEqual(self.panel.form.model.filePath(), "")

    def test_points_that_cannot_be_used_do_not_lead_to_training(self):
        self.fake("judges")
        self.desk.step("check")
        self.desk.finish()
        self.assertIn("cannot be used yet", self.said())
        self.assertNotIn("Next: 'Train'", self.said())
        self.assertEqual(self.panel.last_step, "")

    def test_an_interpreter_that_vanished(self):
        set_interpreter(str(self.folder / "gone"))
        self.assertEqual(self.desk.choose("check", "Cancel"), interpreter.problem())
        self.assertEqual(self.said(), interpreter.problem())
        self.assertIn("does not exist", self.said())

    def test_the_set_up_page_opens_where_nothing_is_set_up(self):
        set_interpreter("")
        opened = []

        def see(dialog):
            opened.append(type(dialog).__name__)
            dialog.reject()

        def press(dialog):
            self.desk.in_dialog(see)
            QTest.mouseClick(dialog.buttons()[0], LEFT)

        self.desk.in_dialog(press)
        self.desk.step("train")
        self.desk.wait(lambda: opened, 10)
        self.assertEqual(opened, ["SetupPage"])

    def test_a_folder_that_cannot_be_written(self):
        self.fake("succeeds")
        (self.folder / "file").write_text("")
        QgsProject.instance().setFileName(str(self.folder / "file" / "work.qgs"))
        self.desk.step("check")
        self.assertIn("No file can be written beside the points", self.said())


if __name__ == "__main__":
    unittest.main()
