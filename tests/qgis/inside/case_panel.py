"""The panel: pick a class, click; walk through suggestions; read a model."""

import json
import unittest

from qgis.core import QgsField, QgsProject, QgsSingleSymbolRenderer, QgsSymbol
from qgis.gui import QgsMapCanvas
from qgis.PyQt.QtCore import QVariant
from qgis.PyQt.QtWidgets import QAction, QMainWindow
from qgis_plugin.panel import Panel
from qgis_plugin.plugin import GeopointsegPlugin

from support import COLOURS, QgisTestCase, make_points


class Interface:
    """As much of QGIS's window as the panel touches."""

    def __init__(self):
        self.window, self.canvas, self.action = QMainWindow(), QgsMapCanvas(), QAction("add")
        self.canvas.resize(300, 300)
        self.active, self.added, self.triggered, self.menus, self.icons = None, [], 0, [], []
        self.action.triggered.connect(self._count)

    def _count(self):
        self.triggered += 1

    def mainWindow(self):
        return self.window

    def mapCanvas(self):
        return self.canvas

    def actionAddFeature(self):
        return self.action

    def setActiveLayer(self, layer):
        self.active = layer

    def addDockWidget(self, area, dock):
        self.added.append(dock)
        self.window.addDockWidget(area, dock)

    def removeDockWidget(self, dock):
        self.added.remove(dock)

    def addPluginToMenu(self, name, action):
        self.menus.append(action)

    def removePluginMenu(self, name, action):
        self.menus.remove(action)

    def addToolBarIcon(self, action):
        self.icons.append(action)

    def removeToolBarIcon(self, action):
        self.icons.remove(action)


class PanelTest(QgisTestCase):
    def setUp(self):
        super().setUp()
        self.interface = Interface()

    def show(self, layer):
        QgsProject.instance().addMapLayer(layer)
        panel = Panel(self.interface)
        panel.points.setLayer(layer)
        panel.show_classes()
        return panel

    def labels(self, panel):
        return [panel.classes.item(row).text() for row in range(panel.classes.count())]

    def test_classes_come_from_the_style(self):
        self.assertEqual(self.labels(self.show(make_points())), list(COLOURS))

    def test_a_layer_without_classes_says_what_to_do(self):
        layer = make_points()
        layer.setRenderer(QgsSingleSymbolRenderer(QgsSymbol.defaultSymbol(layer.geometryType())))
        panel = self.show(layer)
        self.assertEqual(
            self.labels(panel), ["Categorize the layer by its class field to list classes."]
        )
        panel.digitize(panel.classes.item(0))
        self.assertFalse(layer.isEditable())

    def test_a_new_style_is_seen(self):
        layer = make_points()
        classes = layer.renderer().clone()
        layer.setRenderer(QgsSingleSymbolRenderer(QgsSymbol.defaultSymbol(layer.geometryType())))
        panel = self.show(layer)
        layer.setRenderer(classes)
        self.assertEqual(self.labels(panel), list(COLOURS))

    def test_no_layer_at_all(self):
        panel = Panel(self.interface)
        panel.show_classes()
        self.assertFalse(panel.next.isEnabled())

    def test_a_class_is_picked_and_a_click_digitizes_it(self):
        layer = make_points()
        panel = self.show(layer)
        panel.digitize(panel.classes.item(2))
        self.assertTrue(layer.isEditable())
        self.assertIs(self.interface.active, layer)
        self.assertEqual(self.interface.triggered, 1)
        index = layer.fields().indexOf("cover")
        self.assertEqual(layer.defaultValue(index), "Äcker & Wiesen")
        layer.rollBack()

    def test_suggestions_are_visited_by_rank(self):
        layer = make_points(count=3)
        layer.dataProvider().addAttributes([QgsField("rank", QVariant.Int)])
        layer.updateFields()
        index = layer.fields().indexOf("rank")
        layer.dataProvider().changeAttributeValues({1: {index: 3}, 2: {index: 1}, 3: {index: 2}})
        panel = self.show(layer)
        self.assertTrue(panel.next.isEnabled())
        canvas = self.interface.canvas
        canvas.setDestinationCrs(layer.crs())
        canvas.setExtent(layer.extent())
        visited = []
        for _ in range(4):
            panel.next.click()
            visited.append(round(canvas.center().x()))
        self.assertEqual(visited, [500035, 500065, 500005, 500035])

    def test_a_model_says_what_it_knows(self):
        panel = Panel(self.interface)
        panel.show_model(str(self.folder))
        self.assertEqual(panel.state.text(), "This folder holds no model of geopointseg.")
        model = {
            "legend": [{"code": 1, "name": "forest"}, {"code": 2, "name": "water"}],
            "reason": "The forest was better.",
        }
        (self.folder / "model.json").write_text(json.dumps(model))
        panel.show_model(str(self.folder))
        self.assertIn("Classes: forest, water", panel.state.text())
        self.assertIn("The forest was better.", panel.state.text())

    def test_the_plugin_adds_and_removes_it(self):
        plugin = GeopointsegPlugin(self.interface)
        plugin.initProcessing = lambda: None
        plugin.provider = None
        plugin.initGui()
        (panel,) = self.interface.added
        self.assertFalse(panel.isVisible())
        self.assertEqual(self.interface.menus, self.interface.icons)
        self.assertEqual(len(self.interface.menus), 1)
        self.interface.menus[0].trigger()
        self.interface.window.removeDockWidget(panel)
        self.interface.removeDockWidget(panel)
        self.interface.added.append(panel)


if __name__ == "__main__":
    unittest.main()
