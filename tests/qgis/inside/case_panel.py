"""The panel, worked by mouse and keys: new layer, clicks, counts, undo, and the user's layer afterwards."""

import html
import json
import unittest
import unittest.mock

from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsMapLayer,
    QgsProject,
    QgsRasterLayer,
    QgsSettings,
    QgsSingleSymbolRenderer,
    QgsSymbol,
    QgsVectorFileWriter,
    QgsVectorLayer,
)
from qgis.gui import QgsMapToolPan
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QDialogButtonBox, QLineEdit
from qgis.PyQt.QtXml import QDomDocument
from qgis_plugin import memory
from qgis_plugin.panel_widgets import NewPoints, presets
from qgis_plugin.plugin import GeopointsegPlugin

from support import COLOURS, QgisTestCase, categorize, make_points
from window import LEFT, Desk, Interface


def contents(layer):
    """Return everything that a user can see of a layer: points, style, forms, defaults, properties."""
    document = QDomDocument()
    layer.exportNamedStyle(document, categories=QgsMapLayer.StyleCategory.AllStyleCategories)
    features = [[f.id(), *f.attributes(), f.geometry().asWkt()] for f in layer.getFeatures()]
    defaults = [layer.defaultValue(i) for i in range(layer.fields().count())]
    return features, document.toString(), defaults, layer.customPropertyKeys(), layer.isEditable()


def saved(layer, path):
    """Write a layer to a GeoPackage and open it, with its style."""
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.layerOptions = ["FID=row"]
    context = QgsProject.instance().transformContext()
    QgsVectorFileWriter.writeAsVectorFormatV3(layer, str(path), context, options)
    opened = QgsVectorLayer(str(path), layer.name(), "ogr")
    opened.setRenderer(layer.renderer().clone())
    return opened


class PanelTestCase(QgisTestCase):
    def setUp(self):
        super().setUp()
        QgsProject.instance().setFileName(str(self.folder / "work.qgs"))

    def open(self, *layers):
        """Open the panel with a raster and layers; the last one is chosen as points."""
        self.desk = Desk(self.raster, *layers)
        self.addCleanup(self.desk.panel.leave)
        self.panel = self.desk.panel
        if layers:
            self.panel.form.points.setLayer(layers[-1])
        self.desk.look_at(self.raster)
        return self.desk

    def hint(self):
        return self.panel.hint.text()


class NewLayerTest(PanelTestCase):
    def make(self, **typed):
        """Press 'New…' and fill in the dialog; return what it complains about."""
        complaints = []

        def fill(dialog):
            if "preset" in typed:
                dialog.preset.setCurrentText(typed["preset"])
            for row, name in enumerate(typed.get("classes", ())):
                dialog.table.item(row, 1).setText(name)
            if "name" in typed:
                dialog.name.selectAll()
                QTest.keyClicks(dialog.name, typed["name"])
            if "path" in typed:
                dialog.file.setFilePath(typed["path"])
            kinds = QDialogButtonBox.StandardButton
            QTest.mouseClick(dialog.buttons.button(kinds.Ok), LEFT)
            complaints.append(dialog.problem.text()[3:-4])
            if dialog.isVisible():
                QTest.mouseClick(dialog.buttons.button(kinds.Cancel), LEFT)

        self.desk.in_dialog(fill)
        self.desk.press(self.panel.form.new)
        self.desk.wait()
        return complaints[0]

    def test_a_preset_becomes_a_styled_geopackage_beside_the_project_ready_to_click(self):
        self.open()
        self.assertIn("There are no points yet", self.hint())
        self.assertEqual(self.make(preset="Forest or not", name="Stands"), "")
        layer = self.panel.form.points.currentLayer()
        self.assertEqual(layer.name(), "Stands")
        self.assertTrue(layer.source().startswith(str(self.folder / "Stands.gpkg")))
        self.assertEqual(layer.crs(), self.raster.crs())
        again = QgsVectorLayer(str(self.folder / "Stands.gpkg"), "again", "ogr")
        for one in (layer, again):  # the style is in the file too
            self.assertEqual(one.renderer().classAttribute(), "class")
            found = {c.value(): c.symbol().color().name() for c in one.renderer().categories()}
            self.assertEqual(found, dict(presets()["Forest or not"]))
        x, y = 500105, 4999895
        self.desk.click_map(x, y)
        self.assertEqual(self.desk.counts(), {"Forest": 1, "No forest": 0})

    def test_every_preset_has_classes_of_different_names_and_colours(self):
        for name, classes in list(presets().items())[:-1]:
            self.assertGreaterEqual(len(classes), 2, name)
            self.assertEqual(len(set(dict(classes).values())), len(classes), name)
            self.assertEqual(len({label for label, _ in classes}), len(classes), name)

    def test_own_classes(self):
        self.open()
        self.assertEqual(self.make(preset="My own classes", classes=("Äcker <&> Wiesen", "2")), "")
        self.assertEqual(self.desk.counts(), {"Äcker <&> Wiesen": 0, "2": 0})
        self.assertIn("<b>Äcker &lt;&amp;&gt; Wiesen</b>", self.hint())

    def test_what_cannot_be_made_is_said_in_the_dialog(self):
        self.open()
        (self.folder / "there.gpkg").write_text("mine")
        for typed, sentence in (
            ({"preset": "My own classes"}, "A map needs two classes or more."),
            ({"preset": "My own classes", "classes": ("Moor",)}, "A map needs two classes or more."),
            ({"preset": "My own classes", "classes": ("Moor", "moor")}, "The class 'Moor' is there twice."),
            ({"path": str(self.folder / "there.gpkg")}, "there.gpkg exists. Choose another name."),
            ({"path": str(self.folder / "there.gpkg/x.gpkg")}, "could not be written"),
            ({"path": ""}, "Choose the file that shall hold the points."),
        ):  # fmt: skip
            with self.subTest(sentence=sentence):
                self.assertIn(sentence, self.make(**typed))
        self.assertIsNone(self.panel.form.points.currentLayer())
        self.assertEqual((self.folder / "there.gpkg").read_text(), "mine")

    def test_without_raster_and_crs(self):
        QgsProject.instance().setCrs(QgsCoordinateReferenceSystem())
        dialog = NewPoints(None, None)
        dialog.accept()
        self.assertIn("Load the image to be mapped first.", dialog.problem.text())
        self.assertIsNone(dialog.layer)


class ClickTest(PanelTestCase):
    def test_ten_clicks_are_counted_while_clicking_and_undone_one_by_one(self):
        layer = saved(make_points(count=0), self.folder / "cover.gpkg")
        desk = self.open(layer)
        self.assertEqual(desk.counts(), dict.fromkeys(COLOURS, 0))
        desk.pick_row(0)
        self.assertIn("<b>forest</b>", self.hint())
        self.assertIs(desk.interface.active, layer)
        for number in range(10):
            desk.press_key("123"[number % 3])
            desk.click_map(500025 + 30 * number, 4999975 - 30 * number)
            self.assertEqual(sum(desk.counts().values()), number + 1)
        self.assertEqual(desk.counts(), {"forest": 4, "water": 3, "Äcker & Wiesen": 3})
        self.assertIn("10 points in 3 classes.", self.panel.total.text())
        self.assertIn("Not saved yet.", self.panel.total.text())
        first = next(layer.getFeatures()).geometry().asPoint()
        self.assertAlmostEqual(first.x(), 500025, delta=1)
        self.assertAlmostEqual(first.y(), 4999975, delta=1)
        for left in (9, 8):
            desk.press(self.panel.undo)
            self.assertEqual(sum(desk.counts().values()), left)
        desk.press(self.panel.redo)
        self.assertEqual(desk.counts(), {"forest": 3, "water": 3, "Äcker & Wiesen": 3})
        desk.press(self.panel.save)
        self.assertEqual(layer.dataProvider().featureCount(), 9)
        self.assertNotIn("Not saved", self.panel.total.text())
        self.assertFalse(self.panel.save.isEnabled())

    def test_counts_follow_edits_made_elsewhere(self):
        layer = make_points(count=6)
        desk = self.open(layer)
        self.assertEqual(desk.counts(), {"forest": 2, "water": 2, "Äcker & Wiesen": 2})
        layer.startEditing()
        layer.changeAttributeValue(1, 0, "water")
        layer.deleteFeature(3)
        desk.wait()
        self.assertEqual(desk.counts(), {"forest": 1, "water": 3, "Äcker & Wiesen": 1})
        layer.changeAttributeValue(2, 0, None)
        layer.changeAttributeValue(4, 0, "moor")
        desk.wait()
        self.assertEqual(desk.counts(), {"forest": 0, "water": 2, "Äcker & Wiesen": 1, "moor": 1})
        self.assertIn("Without a class: 1.", self.panel.total.text())
        layer.rollBack()
        desk.wait()
        self.assertEqual(desk.counts(), {"forest": 2, "water": 2, "Äcker & Wiesen": 2})

    def test_integer_classes_multipoints_and_another_crs(self):
        for kind, crs in (("MultiPoint", "EPSG:4326"), ("PointZ", "EPSG:32633")):
            with self.subTest(kind=kind):
                layer = QgsVectorLayer(f"{kind}?crs={crs}&field=code:integer", "codes", "memory")
                feature = QgsFeature(layer.fields())
                feature.setAttributes([10])
                layer.dataProvider().addFeature(feature)
                desk = self.open(layer)
                desk.pick_row(0)
                desk.click_map(500205, 4999795)
                (new,) = (one for one in layer.getFeatures() if one.hasGeometry())
                self.assertEqual(new["code"], 10)
                self.assertEqual(desk.counts(), {"10": 2})
                place = new.geometry().boundingBox().center()
                self.assertAlmostEqual(place.x(), 500205 if "Z" in kind else 15.0026, delta=1 if "Z" in kind else 1e-4)  # fmt: skip
                layer.rollBack()
                self.panel.leave()
                QgsProject.instance().removeMapLayer(layer.id())

    def test_a_class_can_be_added_and_clicked(self):
        layer = make_points()
        bare = make_points("bare")
        bare.setRenderer(QgsSingleSymbolRenderer(QgsSymbol.defaultSymbol(layer.geometryType())))
        for one in (layer, bare):
            with self.subTest(layer=one.name()):
                desk = self.open(one)
                style = one.renderer().type()

                def name_it(dialog):
                    QTest.keyClicks(dialog.findChild(QLineEdit), "moor")
                    dialog.accept()

                desk.in_dialog(name_it)
                desk.press(self.panel.add_class)
                self.assertEqual(list(desk.counts())[-1] if one is layer else "moor", "moor")
                desk.pick_row(list(desk.counts()).index("moor"))
                desk.click_map(500205, 4999795)
                self.assertEqual(desk.counts()["moor"], 1)
                self.assertEqual(one.renderer().type(), style)
                one.rollBack()
                self.panel.leave()

    def test_a_class_that_is_no_number_does_not_go_into_a_field_of_numbers(self):
        layer = QgsVectorLayer("Point?crs=EPSG:32633&field=code:integer", "codes", "memory")
        categorize(layer, "code")
        desk = self.open(layer)
        desk.pick_row(0)
        desk.click_map(500205, 4999795)
        self.assertEqual(
            self.panel.said.text(),
            "The field 'code' takes whole numbers only, and 'forest' is none.",
        )
        self.assertEqual(layer.featureCount(), 0)
        self.assertFalse(layer.isEditable())

    def test_another_tool_takes_over(self):
        desk = self.open(make_points())
        desk.pick_row(1)
        desk.canvas.setMapTool(QgsMapToolPan(desk.canvas))
        desk.wait()
        self.assertIn("Pick a class", self.hint())
        desk.click_map(500205, 4999795)
        self.assertEqual(sum(desk.counts().values()), 6)

    def test_a_click_beside_the_raster_is_told(self):
        layer = make_points()
        desk = self.open(layer)
        desk.canvas.zoomByFactor(3)
        desk.wait()
        desk.pick_row(0)
        desk.click_map(500700, 4999795)
        self.assertEqual(
            self.panel.said.text(), "This point lies outside of 'scene' and cannot be used with it."
        )
        desk.click_map(500205, 4999795)
        self.assertEqual(self.panel.said.text(), "")
        layer.rollBack()


class UntouchedTest(PanelTestCase):
    def test_the_users_layer_is_as_it_was(self):
        layer = saved(make_points(), self.folder / "cover.gpkg")
        other = make_points("other")
        before, others = contents(layer), contents(other)
        desk = self.open(other, layer)
        for number in range(3):
            desk.pick_row(number)
        desk.click_map(500205, 4999795)
        desk.press(self.panel.undo)
        self.panel.close()
        desk.wait()
        self.assertEqual(contents(layer), before)
        self.assertEqual(contents(other), others)
        self.assertIsNot(desk.canvas.mapTool(), self.panel.tool)

    def test_only_the_points_are_added_and_unsaved_ones_survive_the_panel(self):
        layer = saved(make_points(), self.folder / "cover.gpkg")
        features, style, defaults, properties, _ = contents(layer)
        desk = self.open(layer)
        desk.pick_row(1)
        desk.click_map(500205, 4999795)
        self.panel.close()
        desk.wait()
        self.assertTrue(layer.isEditable())
        desk.wait()
        self.assertTrue(layer.commitChanges())
        now = contents(layer)
        self.assertEqual(now[0][:-1], features)
        self.assertEqual(now[0][-1][2], "water")
        self.assertEqual(now[1:], (style, defaults, properties, False))

    def test_an_editing_that_was_open_stays_open(self):
        layer = make_points()
        layer.startEditing()
        desk = self.open(layer)
        desk.pick_row(0)
        self.panel.close()
        desk.wait()
        self.assertTrue(layer.isEditable())
        layer.rollBack()


class SentenceTest(PanelTestCase):
    """What is not usable is said in a sentence as soon as it is chosen."""

    def test_no_raster(self):
        self.raster = None
        self.desk = Desk(make_points())
        self.panel = self.desk.panel
        self.desk.wait()
        self.assertIn("There is no image yet. Drag the raster to be mapped into QGIS.", self.hint())
        self.desk.step("train")
        self.assertIn("There is no image yet.", self.panel.said.text())

    def test_points(self):
        far = make_points("far")
        far.setCrs(QgsCoordinateReferenceSystem("EPSG:32733"))
        bare = QgsVectorLayer("Point?crs=EPSG:32633&field=height:double", "trees", "memory")
        nowhere = make_points("nowhere", crs="")
        for layer, sentence in (
            (far, "The points of 'far' lie nowhere on raster 'scene'. Choose the raster under the points; if they should lie there, correct the CRS of the layer (EPSG:32733)."),
            (bare, "Layer 'trees' has no field that clearly holds the class. Choose the field, or press 'New…' for a layer that has one."),
            (nowhere, "Layer 'nowhere' has no CRS. Set it in the layer's properties, under 'Source'."),
        ):  # fmt: skip
            with self.subTest(layer=layer.name()):
                desk = self.open(layer)
                self.assertEqual(self.hint(), f"<b>{sentence}</b>")
                for step in ("check", "train"):
                    desk.step(step)
                    self.assertEqual(self.panel.said.text(), sentence)

    def test_a_layer_without_crs_takes_no_clicks(self):
        layer = make_points("nowhere", crs="")
        desk = self.open(layer)
        desk.pick_row(0)
        self.assertIn("Layer 'nowhere' has no CRS.", self.panel.said.text())
        desk.click_map(500205, 4999795)
        self.assertEqual(layer.featureCount(), 6)
        self.assertFalse(layer.isEditable())

    def test_a_field_can_be_chosen_where_none_is_clear(self):
        layer = QgsVectorLayer(
            "Point?crs=EPSG:32633&field=kind:string&field=owner:string", "two", "memory"
        )
        feature = QgsFeature(layer.fields())
        feature.setAttributes(["moor", "me"])
        layer.dataProvider().addFeature(feature)
        self.open(layer)
        self.assertIn("no field that clearly holds the class", self.hint())
        self.assertTrue(self.panel.form.field.isVisible())
        self.panel.form.field.setField("kind")
        self.desk.wait()
        self.assertEqual(self.desk.counts(), {"moor": 1})

    def test_a_web_map_is_no_raster(self):
        self.raster = QgsRasterLayer("type=xyz&url=http://localhost/{z}/{x}/{y}.png", "web", "wms")
        self.open(make_points())
        self.assertIn("Raster 'web' comes from the provider 'wms', which only QGIS can read", self.hint())  # fmt: skip

    def test_layers_that_take_no_points(self):
        fixed = make_points("fixed")
        fixed.setReadOnly(True)
        text = self.folder / "list.csv"
        text.write_text("x,y,cover\n500105,4999895,forest\n500205,4999795,water\n")
        listed = QgsVectorLayer(
            f"file://{text}?delimiter=,&xField=x&yField=y&crs=EPSG:32633", "list", "delimitedtext"
        )
        for layer, why in ((fixed, "it is set to read-only"), (listed, "it is a text file, which QGIS cannot edit")):  # fmt: skip
            with self.subTest(layer=layer.name()):
                self.assertTrue(layer.isValid())
                desk = self.open(layer)
                counts = desk.counts()
                desk.pick_row(1)
                self.assertEqual(
                    self.panel.said.text(),
                    f"Layer '{layer.name()}' takes no new points: {why}. Save a copy as GeoPackage with "
                    "'Export > Save Features As…' and choose that.",
                )
                said = html.escape(self.panel.said.text(), quote=False)
                self.assertEqual(self.hint(), f"<b>{said}</b>", "it asks for no click")
                desk.click_map(500205, 4999795)
                self.assertEqual(desk.counts(), counts)
                self.assertFalse(layer.isEditable())

    def test_steps_before_their_time(self):
        self.open(make_points(count=0))
        for step, sentence in (
            ("check", "There are no points yet. Pick a class and click on the map."),
            ("train", "There are no points yet. Pick a class and click on the map."),
            ("map", "There is no model yet. Press 'Train' first, or choose the folder of a model."),
            ("next", "There is no model yet. Press 'Train' first, or choose the folder of a model."),
            ("assess", "There is no map yet. Press 'Map' first."),
        ):  # fmt: skip
            with self.subTest(step=step):
                self.desk.step(step)
                self.assertEqual(self.panel.said.text(), sentence)

    def test_a_model_says_what_it_knows(self):
        self.open()
        self.panel.form.model.setFilePath(str(self.folder))
        self.assertEqual(self.panel.said.text(), "This folder holds no model of geopointseg.")
        model = {
            "legend": [{"name": "forest"}, {"name": "water"}],
            "reason": "The forest was better.",
        }
        (self.folder / "model.json").write_text(json.dumps(model))
        self.panel.form.model.setFilePath("")
        self.panel.form.model.setFilePath(str(self.folder))
        self.assertEqual(self.panel.said.text(), "Classes: forest, water\nThe forest was better.")


class MemoryTest(PanelTestCase):
    def test_a_new_panel_takes_up_what_the_last_one_was_set_to(self):
        first, second = make_points("first"), make_points("second")
        categorize(first, "cover")
        self.open(first, second)
        memory.remember(memory.POINTS, second)
        memory.remember(memory.RASTER, self.raster)
        again = Desk()
        self.assertIs(again.panel.form.points.currentLayer(), second)
        self.assertIs(again.panel.form.raster.currentLayer(), self.raster)
        again.panel.leave()

    def test_a_layer_may_go_at_any_moment(self):
        layer = make_points()
        desk = self.open(layer)
        desk.pick_row(0)
        desk.click_map(500205, 4999795)
        QgsProject.instance().removeMapLayer(layer.id())
        desk.wait()
        self.assertEqual(desk.counts(), {})
        desk.click_map(500205, 4999795)
        QgsProject.instance().clear()
        desk.wait()
        self.assertIn("There is no image yet.", self.hint())


class PluginTest(QgisTestCase):
    def test_the_plugin_adds_and_removes_it(self):
        interface = Interface()
        plugin = GeopointsegPlugin(interface)
        plugin.initProcessing = lambda: None
        plugin.provider = None
        plugin.initGui()
        (panel,) = interface.added
        self.assertFalse(panel.isVisible())
        self.assertEqual(interface.icons, interface.menus[:1])
        interface.window.show()
        interface.menus[0].trigger()
        self.assertTrue(panel.isVisible())
        tool = panel.tool
        interface.canvas.setMapTool(tool)
        QgsSettings().setValue("geopointseg/seen", value=True)
        with unittest.mock.patch.object(QgsApplication.processingRegistry(), "removeProvider"):
            plugin.unload()
        self.assertEqual((interface.added, interface.menus, interface.icons), ([], [], []))
        self.assertIsNot(interface.canvas.mapTool(), tool)


if __name__ == "__main__":
    unittest.main()
