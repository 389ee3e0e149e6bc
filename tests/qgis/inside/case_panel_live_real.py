"""Live with the real worker: clicks, the whole map that equals the picture, a worker that is killed."""

import os
import signal
import subprocess
import unittest
from pathlib import Path

from osgeo import gdal
from qgis.core import (
    QgsCoordinateTransform,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)
from qgis.PyQt.QtGui import QColor
from qgis_plugin import memory, runner

from case_panel import PanelTestCase
from support import set_interpreter

GROUND = Path(os.environ.get("GEOPOINTSEG_TEST_GROUND", "/nowhere"))
PYTHON = os.environ.get("GEOPOINTSEG_TEST_PYTHON", "")


def has_live():
    """Return whether the library under test has the command 'live'."""
    asked = [PYTHON, "-m", "geopointseg", "live", "--help"]
    return bool(PYTHON) and subprocess.run(asked, capture_output=True, check=False).returncode == 0


@unittest.skipUnless(GROUND.exists(), "GEOPOINTSEG_TEST_GROUND names no folder with a scene")
class RealWorkerTest(PanelTestCase):
    def setUp(self):
        super().setUp()
        if not has_live():
            self.skipTest("this geopointseg has no command 'live'")
        set_interpreter(PYTHON)
        runner.GRACE_SECONDS = 20.0
        self.raster = QgsRasterLayer(str(GROUND / "scene.tif"), "scene")
        known = QgsVectorLayer(str(GROUND / "points.gpkg"), "known", "ogr")
        self.layer = QgsVectorLayer("Point?field=class:integer", "points", "memory")
        self.layer.setCrs(self.raster.crs())
        self.layer.setRenderer(known.renderer().clone())
        self.open(self.layer)
        self.live = self.panel.live
        self.live.opacity.setValue(100)
        box = self.raster.extent()
        self.west = QgsRectangle(box.xMinimum(), box.yMinimum(), box.center().x(), box.yMaximum())

    def settle(self):
        self.desk.wait(lambda: not (self.panel.watch.timer.isActive() or self.live.timer.isActive() or (self.live.worker and self.live.worker.waiting)), 120)  # fmt: skip
        self.desk.turn(5)

    def start(self):
        self.desk.press(self.live.switch)
        self.desk.wait(lambda: self.live.ground is not None, 120)
        self.settle()

    def click_known(self, count):
        """Click known points of three classes in turns, in the west of the scene."""
        known = QgsVectorLayer(str(GROUND / "points.gpkg"), "known", "ogr")
        transform = QgsCoordinateTransform(known.crs(), self.raster.crs(), QgsProject.instance())
        places = {}
        for feature in known.getFeatures():
            point = transform.transform(feature.geometry().asPoint())
            if self.west.contains(point):
                places.setdefault(str(feature["class"]), []).append(point)
        values = sorted(places, key=lambda value: -len(places[value]))[:3]
        clicked = [(value, places[value][i]) for i in range(count) for value in values if i < len(places[value])]  # fmt: skip
        for value, point in clicked:
            row = next(i for i, row in enumerate(self.panel.rows) if value in row.values)
            self.desk.pick_row(row)
            self.desk.click_map(point.x(), point.y())
            self.settle()
        self.assertEqual(self.layer.featureCount(), 3 * count)
        return clicked

    def colors(self):
        """Return the colour of each class value."""
        return {row.values[0]: QColor(row.color).rgb() for row in self.panel.rows}

    def test_clicks_a_map_that_equals_the_picture_and_a_worker_that_is_killed(self):
        self.start()
        self.assertEqual(self.live.state.text(), "Click points of two classes to see a map.")
        clicked = self.click_known(6)
        colors, image = self.colors(), self.picture()
        right = sum(image.pixel(*self.pixel_of(point)) == colors[value] for value, point in clicked)
        self.assertGreaterEqual(right, 0.8 * len(clicked))
        screen = self.desk.canvas.viewport().grab().toImage()
        shown = {screen.pixel(x, y) for x in range(0, screen.width(), 7) for y in range(0, screen.height(), 7)}  # fmt: skip
        self.assertGreaterEqual(len(shown & set(colors.values())), 2, "the screen shows classes")
        self.undo_and_redo(image)
        self.whole_map(image)
        self.kill(image)

    def picture(self):
        """Return the picture of the whole scene, pixel by pixel of the scene."""
        self.desk.canvas.setExtent(self.raster.extent())
        self.settle()
        image = self.live.picture.image
        self.assertEqual((image.width(), image.height()), (self.raster.width(), self.raster.height()))  # fmt: skip
        return image.copy()

    def pixel_of(self, point):
        box = self.raster.extent()
        x = (point.x() - box.xMinimum()) / self.raster.rasterUnitsPerPixelX()
        y = (box.yMaximum() - point.y()) / self.raster.rasterUnitsPerPixelY()
        return int(x), int(y)

    def undo_and_redo(self, image):
        self.desk.press(self.panel.undo)
        self.settle()
        self.desk.press(self.panel.redo)
        self.assertEqual(self.picture(), image, "the same points give the same picture")

    def whole_map(self, image):
        self.desk.step("map")
        self.desk.wait(lambda: memory.recall(memory.MAP), 240)
        self.desk.finish()
        the_map = QgsProject.instance().mapLayer(memory.recall(memory.MAP))
        width, height, colors = image.width(), image.height(), self.colors()
        dataset = gdal.Open(the_map.source())
        codes = dataset.GetRasterBand(1).ReadRaster(0, 0, width, height, buf_type=gdal.GDT_Byte)
        same = sum(
            image.pixel(i % width, i // width) == colors.get(str(code), 0)
            for i, code in enumerate(codes)
        )
        self.assertGreaterEqual(same, 0.998 * width * height)

    def kill(self, image):
        os.kill(self.live.worker.process.processId(), signal.SIGKILL)
        self.desk.wait(lambda: self.live.worker is None, 20)
        self.assertIn("Live has stopped: its process was killed", self.live.state.text())
        self.start()
        self.assertEqual(self.picture(), image)

    def test_question_and_model(self):
        self.start()
        self.click_known(3)
        before = self.layer.featureCount()
        self.desk.press_key("q")
        self.desk.wait(self.panel.box.isVisible, 60)
        self.settle()
        self.assertIn("?", self.panel.box.text.text())
        self.desk.press(self.panel.box.answers.itemAt(0).widget())
        self.settle()
        self.assertEqual(self.layer.featureCount(), before + 1)
        self.desk.press(self.live.kept)
        self.settle()
        self.assertTrue((self.folder / "model of points" / "model.json").is_file())
        self.layer.rollBack()


if __name__ == "__main__":
    unittest.main()
