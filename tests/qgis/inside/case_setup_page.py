"""The set-up page: from nothing to a loaded demo by mouse."""

import os
import unittest
from pathlib import Path
from unittest import mock

from qgis.core import QgsCoordinateReferenceSystem, QgsProject, QgsSettings
from qgis.PyQt.QtCore import QCoreApplication, Qt
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QApplication
from qgis_plugin import interpreter, setup_page

from case_environment import NEW_PYTHON, make_wheel
from dialogs import COMMAND_LINE
from support import ProcessingConfig, QgisTestCase, algorithm, set_interpreter


@unittest.skipUnless(NEW_PYTHON, "no Python 3.12 was named by GEOPOINTSEG_TEST_PYTHON")
class SetupPageTest(QgisTestCase):
    def setUp(self):
        super().setUp()
        path = mock.patch.dict(
            os.environ, {"PATH": "/usr/bin:/bin"}
        )  # no geopointseg of this machine
        path.start()
        self.addCleanup(path.stop)
        self.addCleanup(ProcessingConfig.setSettingValue, interpreter.SETTING, "")
        folder = mock.patch.object(
            interpreter, "default_folder", return_value=self.folder / "data" / "environment"
        )
        folder.start()
        self.addCleanup(folder.stop)

    def open(self):
        page = algorithm("createenvironment").createCustomParametersWidget(None)
        page.show()
        QCoreApplication.processEvents()
        self.addCleanup(page.close)
        return page

    def click(self, page, button):
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        while page.stop.isEnabled():
            QCoreApplication.processEvents()
            QTest.qWait(20)
        QCoreApplication.processEvents()

    def test_nothing_is_set_up(self):
        with mock.patch.object(interpreter, "candidates", return_value=[]):
            page = self.open()
        self.assertIn("needs a Python of its own", page.state.text())
        self.assertFalse(page.demo.isEnabled())
        self.assertFalse(page.use.isEnabled())
        self.assertIn(str(self.folder / "data"), page.folder.lineEdit().placeholderText())
        self.click(page, page.make)
        self.assertIn(
            "Choose the file geopointseg-VERSION-py3-none-any.whl", page.log.toPlainText()
        )
        self.assertEqual(page.bar.value(), 0, "a full bar would look like success")

    def test_an_environment_is_made_and_checked(self):
        environment = {"PIP_NO_INDEX": "1"}
        with (
            mock.patch.object(interpreter, "candidates", return_value=[NEW_PYTHON]),
            mock.patch.dict(os.environ, environment),
        ):
            page = self.open()
            page.package.setFilePath(str(make_wheel(self.folder)))
            self.click(page, page.make)
        made = self.folder / "data" / "environment" / interpreter.INSIDE
        self.assertEqual(interpreter.current(), str(made))
        self.assertIn(str(made), page.state.text())
        self.assertIn("torch: missing", page.log.toPlainText())
        self.click(page, page.copy)
        report = QApplication.clipboard().text()
        self.assertIn("QGIS 3.", report)
        self.assertIn(str(made), report)
        self.assertIn("torch: missing", report)

    def test_one_that_is_there_is_found_used_and_shows_the_demo(self):
        QgsProject.instance().setFileName(str(self.folder / "project.qgz"))
        QgsProject.instance().setCrs(QgsCoordinateReferenceSystem("EPSG:4326"))
        with mock.patch.object(interpreter, "candidates", return_value=[NEW_PYTHON]):
            page = self.open()
        self.assertIn(NEW_PYTHON, page.found.currentText())
        self.click(page, page.use)
        self.assertEqual(interpreter.current(), NEW_PYTHON)
        self.assertIn("Everything is there", page.log.toPlainText())
        self.click(page, page.demo)
        QTest.qWait(2 * setup_page.SETTLED_MS)
        names = [node.layer().name() for node in QgsProject.instance().layerTreeRoot().findLayers()]
        self.assertEqual(names, ["Demo points", "Demo scene"])
        self.assertEqual(
            QgsProject.instance().crs().authid(), "EPSG:32633", "else the map is skewed"
        )
        self.assertEqual(page.bar.value(), 100)
        self.assertNotRegex(page.log.toPlainText(), COMMAND_LINE)
        points = QgsProject.instance().mapLayersByName("Demo points")[0]
        self.assertEqual(
            Path(points.source().partition("|")[0]).parent, self.folder / "geopointseg_demo"
        )
        self.assertEqual(points.renderer().classAttribute(), "class")

    def test_it_opens_once_at_the_first_start(self):
        QgsSettings().remove(setup_page.SEEN)
        self.addCleanup(QgsSettings().remove, setup_page.SEEN)
        for expected in (1, 1):
            with mock.patch.object(interpreter, "candidates", return_value=[]):
                setup_page.show_at_first_start()
                pages = [
                    w
                    for w in QApplication.topLevelWidgets()
                    if isinstance(w, setup_page.SetupPage) and w.isVisible()
                ]
            self.assertEqual(len(pages), expected)
        pages[0].close()
        QCoreApplication.processEvents()
        QgsSettings().remove(setup_page.SEEN)
        set_interpreter(NEW_PYTHON)
        setup_page.show_at_first_start()
        self.assertFalse(QgsSettings().value(setup_page.SEEN, False, type=bool))


if __name__ == "__main__":
    unittest.main()
