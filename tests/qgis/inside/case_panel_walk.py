"""From an empty project to an assessed map and to answered questions, by mouse and keys, with the real library."""

import os
import unittest
from pathlib import Path

from qgis.core import QgsPalettedRasterRenderer, QgsProject, QgsRasterLayer
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QDialogButtonBox
from qgis_plugin import memory, runner

from case_panel import PanelTestCase, contents
from support import set_interpreter
from window import LEFT

GROUND = Path(os.environ.get("GEOPOINTSEG_TEST_GROUND", "/nowhere"))


@unittest.skipUnless(GROUND.exists(), "GEOPOINTSEG_TEST_GROUND names no folder with a scene")
class WholeRoadTest(PanelTestCase):
    def setUp(self):
        super().setUp()
        set_interpreter(os.environ["GEOPOINTSEG_TEST_PYTHON"])
        runner.GRACE_SECONDS = 20.0
        self.raster = QgsRasterLayer(str(GROUND / "scene.tif"), "scene")

    def run_step(self, name):
        self.desk.step(name)
        self.desk.finish()
        return self.panel.said.text()

    def new_layer(self):
        def accept(dialog):
            dialog.preset.setCurrentText("Forest or not")
            button = dialog.buttons.button(QDialogButtonBox.StandardButton.Ok)
            QTest.mouseClick(button, LEFT)

        self.desk.in_dialog(accept)
        self.desk.press(self.panel.form.new)
        return self.panel.form.points.currentLayer()

    def click_ten_points(self):
        """Click five points of each class, left and right of the middle."""
        box = self.raster.extent()
        for number in range(10):
            self.desk.press_key("12"[number % 2])
            x = box.xMinimum() + box.width() * (0.3 if number % 2 else 0.7)
            self.desk.click_map(x, box.yMinimum() + box.height() * (number + 0.7) / 11)

    def test_the_whole_road(self):
        self.open()
        layer = self.new_layer()
        self.click_ten_points()
        self.assertEqual(self.desk.counts(), {"Forest": 5, "No forest": 5})
        self.assertTrue(layer.isModified(), "nothing has to be saved before a run")
        clicked = contents(layer)
        self.assertIn("Next: 'Train'.", self.run_step("check"))
        self.panel.form.minutes.setValue(0.5)
        self.assertIn("Next: 'Map'.", self.run_step("train"))
        self.assertTrue((self.folder / "model of Points" / "model.json").is_file())
        self.assertIn("Next: 'Assess'", self.run_step("map"))
        self.check_map()
        self.assess()
        self.assertEqual(contents(layer), clicked)
        self.answer_suggestions(layer)

    def check_map(self):
        the_map = QgsProject.instance().mapLayer(memory.recall(memory.MAP))
        self.assertEqual(the_map.name(), "Land cover of scene")
        self.assertEqual(the_map.extent(), self.raster.extent())
        self.assertIsInstance(the_map.renderer(), QgsPalettedRasterRenderer)
        shown = {item.label: item.color.name() for item in the_map.renderer().classes()}
        self.assertEqual(shown, {"Forest": "#1b7837", "No forest": "#e8d8a0"})

    def assess(self):
        """Draw a test sample, label it with keys, and assess with it."""
        self.desk.choose("assess", "Draw test points")
        self.desk.finish()
        self.assertEqual(self.panel.box.title(), "Test point 1 of 50")
        for _ in range(50):
            self.assertTrue(self.panel.box.isVisible())
            self.desk.press_key("1")
        self.assertEqual(
            self.panel.said.text(), "All test points have their class. Next: 'Assess'."
        )
        said = self.run_step("assess")
        self.assertRegex(said, r"\d+% of 50 test points")
        self.assertIn("Next: read the report", said)
        self.assertIn("Open the report</a>", said)
        (report,) = self.folder.glob("Accuracy of *.html")
        self.assertIn("Forest", report.read_text(encoding="utf-8"))

    def answer_suggestions(self, layer):
        before = layer.featureCount()
        self.assertIn("Next: answer the questions", self.run_step("next"))
        self.assertTrue(self.panel.box.isVisible())
        self.assertEqual(self.panel.box.text.text().count("Forest"), 1)
        asked = len(self.panel.walk.questions)
        self.desk.press(self.panel.box.answers.itemAt(0).widget())
        for _ in range(asked - 1):
            self.desk.press_key("2")
        self.assertEqual(self.panel.said.text(), "All questions are answered. Next: 'Train'.")
        self.assertEqual(layer.featureCount(), before + asked)
        self.desk.press(self.panel.undo)
        self.assertEqual(layer.featureCount(), before + asked - 1)
        self.assertEqual(self.panel.resume.text(), "Answer the questions (1 open)")
        self.desk.press(self.panel.save)
        self.assertEqual(layer.dataProvider().featureCount(), before + asked - 1)
        self.panel.close()
        layer.rollBack()


if __name__ == "__main__":
    unittest.main()
