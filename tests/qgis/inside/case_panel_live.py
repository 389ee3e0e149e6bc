"""Live in the panel, worked by mouse and keys: the picture over the map follows every edit of the points."""

import json
import os
import signal
import unittest
import unittest.mock
from pathlib import Path

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsGeometry,
    QgsPointXY,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
)
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtGui import QColor, QImage, QPainter
from qgis.PyQt.QtTest import QTest
from qgis_plugin import live_worker, memory, styles

from case_panel import PanelTestCase, contents
from case_panel_questions import make_questions, make_sample
from support import COLOURS, make_points, make_raster, processes_of, set_interpreter
from window import LEFT

FAKE_LIVE = Path(__file__).with_name("fake_live.py")
BOUNDS = [500000, 4999600, 500400, 5000000]
NORTH_WEST, SOUTH_EAST, MIDDLE = (500055, 4999945), (500345, 4999655), (500205, 4999805)


class LiveTestCase(PanelTestCase):
    def setUp(self):
        super().setUp()
        self.layer = make_points(count=0)
        call = self.fake("live", FAKE_LIVE)
        self.worker = call.parent
        self.write_ready(self.raster)

    def write_ready(self, raster, bounds=BOUNDS):
        ready = {"ready": True, "protocol": 1, "crs": raster.crs().toWkt(), "bounds": bounds}
        ready |= {"width": 40, "height": 40, "legend": [], "points": [], "problems": []}
        (self.worker / "ready.json").write_text(json.dumps(ready), encoding="utf-8")

    def go(self, *layers):
        """Open the panel and switch Live on."""
        self.open(*(layers or [self.layer]))
        self.live = self.panel.live
        self.assertEqual(self.live.opacity.value(), 60)
        self.live.opacity.setValue(100)  # colours of the screen are those of the classes then
        self.desk.press(self.live.switch)
        self.desk.wait(lambda: self.live.ground is not None, 30)
        self.settle()

    def settle(self):
        """Wait until every request has its last answer, and no other follows."""
        self.desk.wait(lambda: not (self.desk.panel.watch.timer.isActive() or self.live.timer.isActive() or (self.live.worker and self.live.worker.waiting)), 30)  # fmt: skip
        self.desk.turn(5)

    def click(self, key, place):
        self.desk.pick_row(int(key) - 1)
        self.desk.click_map(*place)
        self.settle()

    def requests(self, do=""):
        text = (self.worker / "requests.txt").read_text(encoding="utf-8").splitlines()
        return [row for row in map(json.loads, text) if do in ("", row["do"])]

    def color(self, *place):
        """Return the colour that the canvas has at a place of the map, as it is on the screen."""
        image = self.desk.canvas.viewport().grab().toImage()
        return image.pixelColor(self.desk.pixel(*place)).name()

    def shown(self, *place):
        """Return the class whose colour the canvas has at a place of the map, empty for none."""
        names = {QColor(value).name(): name for name, value in COLOURS.items()}
        return names.get(self.color(*place), "")

    def see(self, *expected):
        """Compare what is shown half way to the corners and at the corners' sides."""
        places = ((500105, 4999915), (500295, 4999685))
        self.assertEqual(tuple(self.shown(*place) for place in places), expected)


class FollowTest(LiveTestCase):
    def test_two_clicks_give_a_map_and_every_edit_repaints_it(self):
        self.go()
        self.assertEqual(self.live.state.text(), "Click points of two classes to see a map.")
        self.click("1", NORTH_WEST)
        self.see("", "")
        self.assertEqual(self.live.state.text(), "Click points of two classes to see a map.")
        self.click("2", SOUTH_EAST)
        self.see("forest", "water")
        self.assertEqual(self.live.state.text(), "")
        self.assertTrue(self.layer.isModified(), "nothing has to be saved")
        self.desk.press(self.panel.undo)
        self.settle()
        self.see("", "")
        self.desk.press(self.panel.redo)
        self.settle()
        self.see("forest", "water")
        first, second = sorted((f.id() for f in self.layer.getFeatures()), reverse=True)
        self.layer.changeAttributeValue(second, 0, "Äcker & Wiesen")
        self.settle()
        self.see("forest", "Äcker & Wiesen")
        geometry = self.layer.getFeature(first).geometry()
        geometry.translate(290, -290)
        other = self.layer.getFeature(second).geometry()
        other.translate(-290, 290)
        self.layer.changeGeometry(first, geometry)
        self.layer.changeGeometry(second, other)
        self.settle()
        self.see("Äcker & Wiesen", "forest")
        self.layer.deleteFeature(second)
        self.settle()
        self.see("", "")
        self.layer.rollBack()
        self.settle()
        self.assertEqual(self.requests("points")[-1]["points"], [])

    def test_saving_changes_nothing_and_asks_for_nothing(self):
        self.go()
        self.click("1", NORTH_WEST)
        self.click("2", SOUTH_EAST)
        asked = len(self.requests())
        self.desk.press(self.panel.save)
        self.settle()
        self.assertEqual(self.layer.dataProvider().featureCount(), 2)
        self.assertEqual(len(self.requests()), asked)
        self.see("forest", "water")

    def test_the_users_layer_and_project_are_as_they_were(self):
        layer = make_points(count=6)
        before = contents(layer)
        self.go(layer)
        layers = set(QgsProject.instance().mapLayers())
        self.assertEqual(layers, {layer.id(), self.raster.id()})
        self.desk.press(self.live.switch)
        self.assertEqual(contents(layer), before)
        self.see("", "")
        self.desk.wait((self.worker / "ended").exists, 20)
        self.assertEqual(processes_of(str(self.worker / "python")), [])

    def test_the_worker_gets_names_codes_and_colours_of_the_style(self):
        layer = make_points(count=3)
        self.go(layer)
        (asked,) = self.requests("classes")
        self.assertEqual(asked["legend"], [{"name": n, "color": c} for n, c in COLOURS.items()])
        renderer = layer.renderer().clone()
        renderer.updateCategoryLabel(1, "lake")
        layer.setRenderer(renderer)
        layer.rendererChanged.emit()
        self.settle()
        self.assertEqual([row["name"] for row in self.requests("classes")[-1]["legend"]][1], "lake")
        self.assertEqual([p["class"] for p in self.requests("points")[-1]["points"]][1], "lake")

    def test_pan_and_zoom_are_followed_coarse_first(self):
        self.go(make_points(count=3))
        whole = self.requests("view")[-1]
        self.assertEqual((whole["bounds"], whole["width"], whole["height"]), (BOUNDS, 40, 40))
        seen = []
        self.live.picture.show_image = lambda image, *rest: seen.append(image.width())
        self.desk.canvas.setExtent(self.raster.extent().buffered(-123))
        self.settle()
        asked = self.requests("view")[-1]
        self.assertEqual(seen, [4, asked["width"]])
        left, bottom, right, top = asked["bounds"]
        self.assertEqual((left % 10, top % 10), (0, 0), "pictures of whole pixels")
        self.assertEqual((right - left) / 10, asked["width"])
        self.assertEqual((top - bottom) / 10, asked["height"])
        extent = self.desk.canvas.extent()
        self.assertTrue(left <= extent.xMinimum() < left + 10)
        self.assertTrue(bottom <= extent.yMinimum() < bottom + 10)

    def test_beside_the_image_nothing_is_asked(self):
        self.go(make_points(count=3))
        asked = len(self.requests("view"))
        self.desk.canvas.setCenter(QgsPointXY(600000, 4999805))
        self.settle()
        self.assertEqual(len(self.requests("view")), asked)
        self.assertTrue(self.live.picture.image.isNull())

    def test_a_project_in_another_crs(self):
        for crs, rotation in (("EPSG:3857", 0), ("EPSG:4326", 0), ("EPSG:32633", 30), ("EPSG:3857", -70)):  # fmt: skip
            with self.subTest(crs=crs, rotation=rotation):
                layer = make_points(count=0)
                self.go(layer)
                self.click("1", NORTH_WEST)
                self.click("2", SOUTH_EAST)
                there = QgsCoordinateReferenceSystem(crs)
                self.desk.canvas.setDestinationCrs(there)
                self.desk.canvas.setRotation(rotation)
                box = self.live.ground.extent
                self.desk.canvas.setExtent(self.move_box(box, there))
                self.settle()
                for place, name in (((500105, 4999915), "forest"), ((500295, 4999685), "water"), ((500185, 4999815), "forest"), ((500215, 4999785), "water")):  # fmt: skip
                    self.assertEqual(self.shown(*self.move(place, there)), name)
                self.assertLessEqual(
                    self.opacities(0.5), {0, 127, 128}, "no part lies over another"
                )
                self.desk.press(self.live.switch)
                self.desk.canvas.setRotation(0)
                self.panel.leave()
                QgsProject.instance().removeMapLayer(layer.id())

    def opacities(self, opacity):
        """Return how opaque the pixels of the picture are when it is drawn so."""
        drawn = QImage(self.desk.canvas.viewport().size(), QImage.Format.Format_ARGB32_Premultiplied)  # fmt: skip
        drawn.fill(0)
        self.live.picture.dots.clear()
        painter = QPainter(drawn)
        painter.setOpacity(opacity)
        self.live.picture.paint(painter)
        painter.end()
        rows = range(0, drawn.height(), 7)
        return {drawn.pixel(x, y) >> 24 for y in rows for x in range(drawn.width())}

    def test_the_whole_world_in_view(self):
        self.go(make_points(count=3))
        world = QgsCoordinateReferenceSystem("EPSG:3857")
        self.desk.canvas.setDestinationCrs(world)
        self.desk.canvas.setExtent(QgsRectangle(-2e7, -2e7, 2e7, 2e7))
        self.settle()
        asked = self.requests("view")[-1]
        self.assertEqual((asked["bounds"], asked["width"], asked["height"]), (BOUNDS, 1, 1))
        self.desk.canvas.setExtent(self.move_box(self.live.ground.extent, world).buffered(-50))
        self.settle()
        self.assertLess(self.requests("view")[-1]["width"], 40)
        self.assertGreater(self.requests("view")[-1]["width"], 20)

    def move(self, place, crs):
        found = QgsCoordinateTransform(self.raster.crs(), crs, QgsProject.instance())
        point = found.transform(*map(float, place))
        return point.x(), point.y()

    def move_box(self, box, crs):
        found = QgsCoordinateTransform(self.raster.crs(), crs, QgsProject.instance())
        return found.transformBoundingBox(box).buffered(box.width() * 1e-9)

    def test_points_in_another_crs_and_outside(self):
        layer = make_points(count=0, crs="EPSG:4326")
        self.go(layer)
        self.click("1", NORTH_WEST)
        self.click("2", SOUTH_EAST)
        self.see("forest", "water")
        sent = self.requests("points")[-1]["points"]
        self.assertAlmostEqual(sent[0]["x"], NORTH_WEST[0], delta=2)
        self.assertAlmostEqual(sent[0]["y"], NORTH_WEST[1], delta=2)
        self.desk.canvas.zoomByFactor(3)
        self.settle()
        self.click("1", (500700, 4999805))
        self.assertEqual(self.live.state.text(), "Points that are not used: 1. A point lies outside of the raster.")  # fmt: skip


class LookTest(LiveTestCase):
    def test_opacity_hold_to_hide_and_sureness(self):
        self.go(make_points(count=2))
        picture = self.live.picture
        self.assertEqual(picture.opacity(), 1.0)
        self.live.opacity.setValue(25)
        self.assertEqual(picture.opacity(), 0.25)
        self.assertEqual(self.shown(*NORTH_WEST), "")
        self.live.opacity.setValue(100)
        QTest.mousePress(self.live.cover, LEFT)
        self.assertFalse(picture.isVisible())
        QTest.mouseRelease(self.live.cover, LEFT)
        self.assertTrue(picture.isVisible())
        self.desk.pick_row(0)
        QTest.keyPress(self.desk.canvas, "h")
        self.assertFalse(picture.isVisible())
        QTest.keyRelease(self.desk.canvas, "h")
        self.assertTrue(picture.isVisible())
        self.assertFalse(self.requests("view")[-1]["confidence"])
        self.live.mode.setCurrentIndex(1)
        self.settle()
        self.assertTrue(self.requests("view")[-1]["confidence"])
        for place, percent in (((500018, 4999982), 93), ((500388, 4999612), 0)):
            self.assertEqual(self.color(*place), styles.viridis().color(percent / 100).name())

    def test_shares_weak_classes_and_accuracy(self):
        self.go()
        self.click("1", NORTH_WEST)
        self.click("2", SOUTH_EAST)
        rows = [self.panel.classes.topLevelItem(i) for i in range(3)]
        self.assertFalse(self.panel.classes.isColumnHidden(3))
        self.assertRegex(rows[0].text(3), r"^(49|50|51)% \(one point\)$")
        self.assertEqual(rows[2].text(3), "0%")
        self.click("1", MIDDLE)
        self.assertRegex(rows[0].text(3), r"^\d\d%$")
        self.assertEqual(self.live.accuracy.text(), "On ground held out: 0.71 ± 0.05 (3 points in 3 blocks)")  # fmt: skip
        self.desk.press(self.live.switch)
        self.assertTrue(self.panel.classes.isColumnHidden(3))


class QuestionTest(LiveTestCase):
    def test_the_next_question_is_one_key_away(self):
        self.go()
        self.click("1", NORTH_WEST)
        self.click("2", SOUTH_EAST)
        self.desk.press_key("q")
        self.settle()
        box = self.panel.box
        self.assertTrue(box.isVisible())
        self.assertEqual(box.title(), "The model is in doubt here")
        self.assertIn("forest or water?", box.text.text())
        center = self.desk.canvas.center()
        self.assertAlmostEqual(center.x(), 500280, delta=5)
        self.assertAlmostEqual(center.y(), 4999760, delta=5)
        self.assertFalse(self.live.picture.isVisible(), "the picture would give an answer")
        QTest.mouseClick(self.live.cover, LEFT)
        self.assertFalse(self.live.picture.isVisible())
        self.desk.press_key("2")
        self.settle()
        self.assertFalse(box.isVisible())
        self.assertTrue(self.live.picture.isVisible())
        self.assertEqual(self.desk.counts(), {"forest": 1, "water": 2, "Äcker & Wiesen": 0})
        self.assertEqual(self.panel.said.text(), "Press Q for the next question.")
        self.desk.press(self.live.next)
        self.settle()
        asked = len(self.requests("next"))
        self.desk.press(box.skip)
        self.settle()
        self.assertEqual(len(self.requests("next")), asked + 1)
        self.assertTrue(box.isVisible())
        self.desk.press(box.later)
        self.assertFalse(box.isVisible())
        self.assertTrue(self.live.picture.isVisible())
        self.assertIsNone(self.panel.walk)

    def test_a_question_of_live_leaves_others_open(self):
        self.go()
        self.click("1", NORTH_WEST)
        self.click("2", SOUTH_EAST)
        QgsProject.instance().addMapLayer(make_questions())
        self.desk.wait()
        before = self.panel.resume.text()
        self.assertIn("open)", before)
        self.desk.press_key("q")
        self.settle()
        self.desk.press_key("1")
        self.settle()
        self.assertEqual(self.panel.resume.text(), before)
        self.assertTrue(self.panel.resume.isVisible())


class ProductTest(LiveTestCase):
    def test_keep_this_model(self):
        self.go(make_points(count=3))
        self.desk.press(self.live.kept)
        self.settle()
        folder = self.folder / "model of points"
        self.assertTrue((folder / "model.json").is_file())
        self.assertEqual(self.panel.said.text(), f"The model is kept in {folder}.")
        self.assertEqual(self.panel.form.model.filePath(), str(folder))
        self.assertEqual(memory.recall(memory.MODEL), str(folder))
        self.desk.press(self.live.kept)
        self.settle()
        self.assertTrue((self.folder / "model of points 2" / "model.json").is_file())

    def test_map_everything_and_improve_go_the_way_of_the_steps(self):
        self.go(make_points(count=3))
        words = {name: button.text() for name, button in self.panel.steps.items()}
        self.assertEqual((words["map"], words["train"]), ("Map everything", "Improve"))
        call = self.fake("succeeds")
        self.desk.step("map")
        self.desk.wait(call.exists, 30)
        self.desk.finish()
        given = json.loads(call.read_text())["arguments"]
        self.assertEqual(given[:2], ["predict", str(self.folder / "model of points")])
        call.unlink()
        self.desk.choose("train", "Keep both")
        self.desk.finish()
        given = json.loads(call.read_text())
        self.assertEqual(given["arguments"][0], "train")
        (points,) = given["points"].values()
        self.assertEqual(len(points["rows"]), 3)
        self.assertIsNotNone(self.live.ground, "Live goes on meanwhile")
        self.desk.press(self.live.switch)
        self.assertEqual(self.panel.steps["map"].text(), "Map")

    def test_points_of_a_test_sample_are_not_learnt_from(self):
        self.go(make_points(count=3))
        asked = len(self.requests())
        QgsProject.instance().addMapLayer(make_sample())
        self.desk.wait()
        self.desk.press(self.panel.resume)
        self.assertFalse(self.live.picture.isVisible(), "the picture would give an answer")
        for key in "121":
            self.desk.press_key(key)
        self.settle()
        self.assertEqual(self.panel.said.text(), "All test points have their class. Next: 'Assess'.")  # fmt: skip
        self.assertEqual({row["do"] for row in self.requests()[asked:]} - {"view"}, set())
        self.assertTrue(self.live.picture.isVisible())


class TroubleTest(LiveTestCase):
    def test_the_set_up_page_is_offered_where_nothing_is_set_up(self):
        set_interpreter("")
        self.open(make_points(count=3))
        asked = []

        def cancel(dialog):
            asked.extend(button.text().replace("&", "") for button in dialog.buttons())
            dialog.reject()

        self.desk.in_dialog(cancel)
        self.desk.press(self.panel.live.switch)
        self.assertIn("Set up geopointseg", asked)
        self.assertFalse(self.panel.live.switch.isChecked())
        self.assertIsNone(self.panel.live.worker)

    def test_the_worker_is_killed(self):
        self.go(make_points(count=3))
        pid = self.live.worker.process.processId()
        ticks, clock = [], QTimer()
        clock.timeout.connect(lambda: ticks.append(1))
        clock.start(5)
        os.kill(pid, signal.SIGKILL)
        self.desk.wait(lambda: self.live.worker is None, 10)
        self.assertEqual(self.live.state.text(), "Live has stopped: its process was killed (signal 9). No point is lost.")  # fmt: skip
        self.assertTrue(self.live.picture.image.isNull(), "no picture that follows nothing")
        self.assertEqual(self.live.switch.text(), "Start Live again")
        self.assertFalse(self.live.mode.isVisible())
        self.click("1", MIDDLE)
        self.assertEqual(self.panel.form.points.currentLayer().featureCount(), 4)
        self.desk.press(self.live.switch)
        self.desk.wait(lambda: self.live.ground is not None, 30)
        self.settle()
        self.assertEqual(len(self.requests("points")[-1]["points"]), 4)
        self.assertEqual(self.shown(500018, 4999982), "forest")
        self.assertGreater(len(ticks), 10)

    def test_a_worker_that_does_not_answer_holds_nothing_up(self):
        self.go(make_points(count=2))
        pid = self.live.worker.process.processId()
        os.kill(pid, signal.SIGSTOP)
        ticks, clock = [], QTimer()
        clock.timeout.connect(lambda: ticks.append(1))
        clock.start(5)
        for place in (MIDDLE, NORTH_WEST, SOUTH_EAST):
            self.desk.pick_row(2)
            self.desk.click_map(*place)
        self.assertGreater(len(ticks), 10)
        self.assertEqual(self.desk.counts(), {"forest": 1, "water": 1, "Äcker & Wiesen": 3})
        self.assertEqual(self.shown(500345, 4999755), "water", "the last picture stays")
        os.kill(pid, signal.SIGCONT)
        self.settle()
        self.assertEqual(self.shown(500345, 4999755), "Äcker & Wiesen")

    def test_a_worker_that_does_not_end_is_killed(self):
        (self.worker / "deaf").touch()
        self.go(make_points(count=2))
        with unittest.mock.patch.object(live_worker, "GRACE_MS", 100):
            self.desk.press(self.live.switch)
        self.desk.wait((self.worker / "ended").exists, 20)
        self.desk.wait(lambda: not processes_of(str(self.worker / "python")), 20)

    def test_points_without_class_or_place_are_left_out(self):
        layer = make_points(count=3)
        layer.startEditing()
        layer.changeAttributeValue(1, 0, None)
        layer.changeGeometry(2, QgsGeometry())
        self.go(layer)
        self.assertEqual([p["class"] for p in self.requests("points")[-1]["points"]], ["Äcker & Wiesen"])  # fmt: skip

    def test_a_layer_that_loses_its_crs(self):
        layer = make_points(count=3)
        self.go(layer)
        layer.setCrs(QgsCoordinateReferenceSystem())
        self.settle()
        self.assertEqual(self.requests("points")[-1]["points"], [])
        self.assertIn("has no CRS", self.hint())
        layer.setCrs(QgsCoordinateReferenceSystem("EPSG:32633"))
        self.settle()
        self.assertEqual(len(self.requests("points")[-1]["points"]), 3)

    def test_it_cannot_start(self):
        self.fake("fails")
        self.open(make_points(count=3))
        self.live = self.panel.live
        self.desk.press(self.live.switch)
        self.desk.wait(lambda: self.live.worker is None, 20)
        self.assertEqual(self.live.state.text(), "Live has stopped: Layer 'plots' has no CRS. Assign one. No point is lost.")  # fmt: skip

    def test_a_program_that_is_too_old(self):
        self.fake("misused")
        self.open(make_points(count=3))
        self.live = self.panel.live
        self.desk.press(self.live.switch)
        self.desk.wait(lambda: self.live.worker is None, 20)
        self.assertIn("Plugin and geopointseg must fit together", self.live.state.text())

    def test_qgis_does_not_wait_for_a_worker_that_starts_slowly(self):
        (self.worker / "slow").touch()
        self.open(make_points(count=3))
        self.live = self.panel.live
        ticks, clock = [], QTimer()
        clock.timeout.connect(lambda: ticks.append(1))
        clock.start(5)
        self.desk.press(self.live.switch)
        self.assertEqual(self.live.state.text(), "Live is starting…")
        self.desk.click_map(*MIDDLE)
        self.assertGreater(len(ticks), 3)
        self.desk.press(self.live.switch)
        self.assertIsNone(self.live.worker)
        self.assertEqual(self.live.state.text(), "")

    def test_layer_deleted_raster_removed_project_closed(self):
        layer = make_points(count=3)
        self.go(layer)
        QgsProject.instance().removeMapLayer(layer.id())
        self.settle()
        self.assertEqual(self.requests("points")[-1]["points"], [])
        self.assertEqual(self.shown(500018, 4999982), "")
        QgsProject.instance().removeMapLayer(self.raster.id())
        self.desk.wait(lambda: self.live.worker is None, 10)
        self.assertIn("There is no image yet.", self.live.state.text())
        self.raster = QgsRasterLayer(str(make_raster(self.folder / "other.tif")), "other")
        self.write_ready(self.raster)
        self.go(make_points(count=3))
        QgsProject.instance().clear()
        self.desk.wait()
        self.assertIsNone(self.live.worker)
        self.assertTrue(self.live.picture.image.isNull())
        self.assertEqual(processes_of(str(self.worker / "python")), [])

    def test_another_raster_starts_another_worker(self):
        other = QgsRasterLayer(str(make_raster(self.folder / "other.tif")), "other")
        self.go(make_points(count=3))
        first = self.live.worker
        QgsProject.instance().addMapLayer(other)
        self.panel.form.raster.setLayer(other)
        self.desk.wait(lambda: self.live.worker is not first and self.live.ground is not None, 20)
        self.settle()
        self.assertEqual(self.live.raster, str(self.folder / "other.tif"))

    def test_closing_the_panel_ends_it(self):
        self.go(make_points(count=3))
        self.panel.close()
        self.assertIsNone(self.live.worker)
        self.desk.wait((self.worker / "ended").exists, 20)

    def test_an_error_of_the_worker_is_said_and_the_points_stay(self):
        layer = make_points(count=3)
        self.go(layer)
        (self.worker / "broken").touch()
        self.click("1", MIDDLE)
        self.assertEqual(self.live.state.text(), "The raster 'scene.tif' was removed while the session ran.")  # fmt: skip
        self.assertEqual(layer.featureCount(), 4)

    def test_what_is_missing_is_said_before_a_start(self):
        self.layer = make_points("nowhere", crs="")
        self.open(self.layer)
        self.desk.press(self.panel.live.switch)
        self.assertIn("has no CRS", self.panel.live.state.text())
        self.assertFalse(self.panel.live.switch.isChecked())


if __name__ == "__main__":
    unittest.main()
