"""A window with a map for tests of the panel: real canvas, real mouse and key events."""

import time

from qgis.core import QgsPointXY, QgsProject
from qgis.gui import QgsMapCanvas
from qgis.PyQt.QtCore import QEventLoop, QPoint, Qt, QTimer
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QApplication, QMainWindow
from qgis_plugin.panel import Panel

LEFT = Qt.MouseButton.LeftButton


class Interface:
    """As much of QGIS's window as the panel touches."""

    def __init__(self):
        self.window, self.canvas = QMainWindow(), QgsMapCanvas()
        self.window.setCentralWidget(self.canvas)
        self.window.resize(1200, 900)
        self.active, self.added, self.menus, self.icons = None, [], [], []

    def mainWindow(self):
        return self.window

    def mapCanvas(self):
        return self.canvas

    def setActiveLayer(self, layer):
        self.active = layer

    def addDockWidget(self, area, dock):
        self.added.append(dock)
        self.window.addDockWidget(area, dock)

    def removeDockWidget(self, dock):
        self.added.remove(dock)

    def addPluginToRasterMenu(self, name, action):
        self.menus.append(action)

    def removePluginRasterMenu(self, name, action):
        self.menus.remove(action)

    def addToolBarIcon(self, action):
        self.icons.append(action)

    def removeToolBarIcon(self, action):
        self.icons.remove(action)


class Desk:
    """The panel in a window, worked by mouse and keys only."""

    def __init__(self, *layers):
        QgsProject.instance().addMapLayers(list(layers))
        self.interface = Interface()
        self.canvas = self.interface.canvas
        self.panel = Panel(self.interface)
        self.interface.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, self.panel)
        self.interface.window.show()
        self.canvas.setLayers(list(layers))
        self.wait()

    def wait(self, until=None, seconds=120.0):
        """Let QGIS work until something is true; by default until the panel has seen all edits."""
        end = time.monotonic() + seconds
        self.turn(5)
        until = until or (lambda: not self.panel.watch.timer.isActive())
        while time.monotonic() < end and not until():
            self.turn()
        assert until(), f"nothing came of it: {self.panel.said.text()}"

    def turn(self, times=1):
        """Let QGIS handle what has happened."""
        for _ in range(times):
            QApplication.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 20)
            time.sleep(0.002)

    def look_at(self, layer):
        """Show the whole of a layer."""
        self.canvas.setDestinationCrs(layer.crs())
        self.canvas.setExtent(layer.extent())
        self.wait()

    def pixel(self, x, y):
        """Return where a place (in the map's CRS) is on the canvas."""
        found = self.canvas.getCoordinateTransform().transform(QgsPointXY(x, y))
        return QPoint(round(found.x()), round(found.y()))

    def click_map(self, x, y):
        QTest.mouseClick(self.canvas.viewport(), LEFT, pos=self.pixel(x, y))
        self.wait()

    def press_key(self, key):
        QTest.keyClick(self.canvas, key)
        self.wait()

    def press(self, button):
        assert button.isVisible(), f"{button.text()} is not shown"
        assert button.isEnabled(), f"{button.text()} is greyed out"
        QTest.mouseClick(button, LEFT)
        self.wait()

    def step(self, name):
        """Press the button of a step."""
        self.press(self.panel.steps[name])

    def finish(self, seconds=240.0):
        self.wait(lambda: self.panel.runs.task is None, seconds)
        self.wait()

    def choose(self, step, text):
        """Press a step and then a button of the question that it asks; return the question."""
        asked = []

        def press(dialog):
            asked.append(dialog.text())
            (button,) = (one for one in dialog.buttons() if one.text().replace("&", "") == text)
            QTest.mouseClick(button, LEFT)

        self.in_dialog(press)
        self.step(step)
        (found,) = asked
        return found

    def pick_row(self, number):
        item = self.panel.classes.topLevelItem(number)
        place = self.panel.classes.visualItemRect(item).center()
        QTest.mouseClick(self.panel.classes.viewport(), LEFT, pos=place)
        self.wait()

    def counts(self):
        """Return what the list of classes shows."""
        items = [
            self.panel.classes.topLevelItem(i)
            for i in range(self.panel.classes.topLevelItemCount())
        ]
        return {item.text(1): int(item.text(2)) for item in items}

    def in_dialog(self, act):
        """Do something in the dialog that opens next."""
        earlier = QApplication.activeModalWidget()

        def wait_for_it():
            dialog = QApplication.activeModalWidget()
            if dialog in (None, earlier):
                QTimer.singleShot(50, wait_for_it)
            else:
                act(dialog)

        QTimer.singleShot(50, wait_for_it)
