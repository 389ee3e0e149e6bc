"""Suggested points and test samples in the panel: one key or one click answers a question."""

import html
import unittest

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsGeometry,
    QgsPointXY,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
)
from qgis_plugin import memory

from case_panel import PanelTestCase, contents
from support import categorize, make_points, make_raster

PLACES = [(500105, 4999895), (500205, 4999805), (500305, 4999695)]


def make_questions():
    """Return suggested points as 'Suggest where to click next' gives them."""
    uri = "Point?crs=EPSG:32633&field=rank:integer&field=class:string&field=likely:string&field=or_else:string&field=detail:string"
    layer = QgsVectorLayer(uri, "Where next on scene", "memory")
    likely = [("water", "forest"), ("Äcker & Wiesen", "water"), ("moor", "")]
    for number in (2, 0, 1):
        feature = QgsFeature(layer.fields())
        feature.setGeometry(QgsGeometry.fromPointXY(QgsPointXY(*PLACES[number])))
        feature.setAttributes([number + 1, None, *likely[number], "the model cannot decide"])
        layer.dataProvider().addFeature(feature)
    return layer


def make_sample():
    """Return a test sample as 'Draw a test sample' gives it."""
    layer = QgsVectorLayer("Point?crs=EPSG:32633&field=number:integer&field=class:string&field=note:string", "Test sample", "memory")  # fmt: skip
    for number, place in enumerate(PLACES, 1):
        feature = QgsFeature(layer.fields())
        feature.setGeometry(QgsGeometry.fromPointXY(QgsPointXY(*place)))
        feature.setAttributes([number, None, None])
        layer.dataProvider().addFeature(feature)
    categorize(layer, "class")
    return layer


class SuggestionTest(PanelTestCase):
    def begin(self, layer=None, questions=None):
        self.layer, self.questions = layer or make_points(), questions or make_questions()
        desk = self.open(self.layer)
        QgsProject.instance().addMapLayer(self.questions)
        desk.wait()
        self.assertIs(self.panel.form.points.currentLayer(), self.layer)
        self.assertEqual(self.panel.resume.text(), "Answer the questions (3 open)")
        desk.press(self.panel.resume)
        return desk

    def asked(self):
        box = self.panel.box
        buttons = [box.answers.itemAt(i).widget() for i in range(box.answers.count())]
        words = html.unescape(box.text.text().replace("<big><b>", "").replace("</b></big>", ""))
        return box.title(), words, [button.text() for button in buttons]

    def here(self):
        """Return where the map and the ring are."""
        center = self.desk.canvas.center()
        ring = self.panel.marker.center()
        self.assertAlmostEqual(center.x(), ring.x(), delta=1e-3)
        return round(center.x()), round(center.y())

    def test_they_are_asked_by_rank_and_answered_by_button_key_and_list(self):
        desk = self.begin()
        before = self.layer.featureCount()
        self.assertEqual(self.asked(), ("Question 1 of 3", "water or forest?", ["water", "forest"]))
        self.assertEqual(self.here(), PLACES[0])
        desk.press(self.panel.box.answers.itemAt(1).widget())
        self.assertEqual(self.asked()[:2], ("Question 2 of 3", "Äcker & Wiesen or water?"))
        self.assertEqual(self.here(), PLACES[1])
        desk.press_key("3")
        self.assertEqual(self.asked(), ("Question 3 of 3", "What is here?", []))
        desk.pick_row(1)
        self.assertEqual(self.panel.said.text(), "All questions are answered. Next: 'Train'.")
        self.assertFalse(self.panel.box.isVisible())
        self.assertFalse(self.panel.marker.isVisible())
        added = [f for f in self.layer.getFeatures() if f.id() < 0]
        found = {f.geometry().asPoint().toString(0): f["cover"] for f in added}
        self.assertEqual(
            found,
            {QgsPointXY(*place).toString(0): cover for place, cover in zip(PLACES, ("forest", "Äcker & Wiesen", "water"))},
        )  # fmt: skip
        self.assertEqual(self.layer.featureCount(), before + 3)
        self.layer.rollBack()

    def test_undo_asks_again(self):
        desk = self.begin()
        desk.press_key("1")
        desk.press_key("2")
        self.assertEqual(self.asked()[0], "Question 3 of 3")
        desk.press(self.panel.undo)
        self.assertEqual(self.asked()[0], "Question 2 of 3")
        self.assertEqual(self.here(), PLACES[1])
        desk.press_key("3")
        desk.press_key("1")
        self.assertEqual(self.panel.said.text(), "All questions are answered. Next: 'Train'.")
        desk.press(self.panel.undo)
        self.assertEqual(self.panel.resume.text(), "Answer the questions (1 open)")
        self.layer.rollBack()
        desk.wait()
        self.assertEqual(self.panel.resume.text(), "Answer the questions (3 open)")

    def test_skip_back_show_and_later(self):
        desk = self.begin()
        desk.press(self.panel.box.skip)
        desk.press_key("n")
        self.assertEqual(self.asked()[0], "Question 3 of 3")
        desk.press_key("b")
        self.assertEqual(self.asked()[0], "Question 2 of 3")
        desk.press(self.panel.box.back)
        desk.press(self.panel.box.back)
        self.assertEqual(self.asked()[0], "Question 3 of 3")
        desk.press_key("1")
        self.assertEqual(self.asked()[0], "Question 1 of 3", "the skipped ones come last")
        desk.canvas.setExtent(self.raster.extent())
        desk.press(self.panel.box.zoom)
        self.assertEqual(self.here(), PLACES[0])
        desk.click_map(500100, 4999890)
        self.assertIn("Answer the question, or press 'Later'", self.panel.said.text())
        desk.press(self.panel.box.later)
        self.assertFalse(self.panel.marker.isVisible())
        desk.press_key("2")
        desk.click_map(500100, 4999890)
        self.assertEqual(desk.counts(), {"forest": 3, "water": 3, "Äcker & Wiesen": 2})
        self.assertEqual(self.panel.resume.text(), "Answer the questions (2 open)")
        self.layer.rollBack()

    def test_points_and_map_in_other_crs(self):
        layer = make_points(count=0, crs="EPSG:4326")
        desk = self.begin(layer)
        web = QgsCoordinateReferenceSystem("EPSG:3857")
        desk.press(self.panel.box.later)
        desk.canvas.setDestinationCrs(web)
        desk.press(self.panel.resume)
        for _ in range(3):
            desk.press_key("1")
        self.assertEqual(self.panel.said.text(), "All questions are answered. Next: 'Train'.")
        place = next(layer.getFeatures()).geometry().asPoint()
        self.assertAlmostEqual(place.x(), 15.0, delta=0.01)
        layer.rollBack()

    def test_a_layer_that_takes_no_points_says_so(self):
        layer = make_points()
        layer.setReadOnly(True)
        desk = self.begin(layer)
        desk.press_key("1")
        self.assertIn("takes no new points: it is set to read-only", self.panel.said.text())
        self.assertEqual(self.asked()[0], "Question 1 of 3")

    def test_the_layers_stay_as_they_are_but_for_the_points(self):
        layer, questions = make_points(), make_questions()
        before, asked = contents(layer), contents(questions)
        desk = self.begin(layer, questions)
        desk.press_key("1")
        desk.press(self.panel.undo)
        self.panel.close()
        desk.wait()
        self.assertEqual(contents(layer), before)
        self.assertEqual(contents(questions), asked)

    def test_they_may_vanish_while_asked(self):
        desk = self.begin()
        QgsProject.instance().removeMapLayer(self.questions.id())
        desk.wait()
        self.assertFalse(self.panel.box.isVisible())
        self.assertFalse(self.panel.marker.isVisible())
        desk.press_key("1")
        desk.click_map(*PLACES[0])
        self.assertEqual(desk.counts()["forest"], 3)
        self.layer.rollBack()


class SampleTest(PanelTestCase):
    def test_a_test_sample_is_labelled_in_itself(self):
        layer, sample = make_points(), make_sample()
        desk = self.open(layer)
        points = contents(layer)
        QgsProject.instance().addMapLayer(sample)
        desk.wait()
        desk.press(self.panel.resume)
        self.assertEqual(self.panel.box.title(), "Test point 1 of 3")
        self.assertIn("What is here?", self.panel.box.text.text())
        desk.press_key("2")
        desk.press_key("1")
        self.assertEqual(desk.counts(), {"forest": 1, "water": 1, "Äcker & Wiesen": 0})
        desk.press(self.panel.undo)
        self.assertEqual(self.panel.box.title(), "Test point 2 of 3")
        desk.press_key("3")
        desk.press_key("3")
        self.assertEqual(
            self.panel.said.text(), "All test points have their class. Next: 'Assess'."
        )
        found = {feature["number"]: feature["class"] for feature in sample.getFeatures()}
        self.assertEqual(found, {1: "water", 2: "Äcker & Wiesen", 3: "Äcker & Wiesen"})
        self.assertEqual(contents(layer), points)
        sample.rollBack()

    def test_assess_asks_for_a_sample_that_has_no_classes_and_hides_the_map_meanwhile(self):
        the_map, sample = (
            QgsRasterLayer(str(make_raster(self.folder / "map.tif")), "map"),
            make_sample(),
        )
        desk = self.open(make_points())
        QgsProject.instance().addMapLayers([the_map, sample])
        memory.remember(memory.MAP, the_map)
        desk.panel.refresh()
        self.panel.form.test.setLayer(sample)
        node = QgsProject.instance().layerTreeRoot().findLayer(the_map.id())
        desk.step("assess")
        self.assertEqual(self.panel.box.title(), "Test point 1 of 3")
        self.assertFalse(node.isVisible(), "the map would give the answer")
        desk.press(self.panel.box.later)
        self.assertTrue(node.isVisible())
        node.setItemVisibilityChecked(False)
        desk.press(self.panel.resume)
        self.panel.close()
        self.assertFalse(node.isVisible(), "what the user hid stays hidden")


if __name__ == "__main__":
    unittest.main()
