"""Scenes that QGIS does not open: chosen by mouse in the forms and in the panel, and run by the real library."""

import shutil
import unittest
from pathlib import Path
from unittest import mock

from processing.modeler.ModelerParametersDialog import ModelerParametersDialog
from qgis.core import (
    QgsProcessingContext,
    QgsProcessingModelAlgorithm,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
)
from qgis.gui import QgsProcessingModelerParameterWidget
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QFileDialog, QToolButton
from qgis_plugin import inputs, memory, runner

from dialogs import GROUND, GroundTestCase, open_dialog, press_run
from support import QgisTestCase, algorithm, make_points, run
from window import Desk

GRID = "tessera/v1.1/2024/grid_13.55_50.95.npy"
SCENES = {  # what is chosen: what the command line gets
    "tessera": "tessera",
    GRID: GRID,
    "explorer": "explorer",
    "explorer/quantization.json": "explorer",
    "zone.zarr/utm33/zarr.json": "zone.zarr",
}


def choosing(folder):
    """Answer the dialog that asks for a folder."""
    return mock.patch.object(QFileDialog, "getExistingDirectory", return_value=str(folder))


def folder_buttons(dialog):
    return [button for button in dialog.findChildren(QToolButton) if button.text() == "Folder…"]


class AnswersTest(QgisTestCase):
    """Which answers are taken, and what the command line gets."""

    def setUp(self):
        super().setUp()
        self.fake("succeeds")
        for name in ("tessera/v1.1/2024", "explorer", "zone.zarr/utm33"):
            (self.folder / name).mkdir(parents=True)
        for name in SCENES:
            if Path(name).suffix:
                (self.folder / name).touch()

    def arguments(self, **answers):
        """Return the rasters that the command line of 'Train model' names."""
        given = {
            "POINTS": make_points(),
            "OUTPUT": str(self.folder / "model"),
            "RASTER": self.raster,
        }
        with mock.patch("qgis_plugin.algorithm.runner.run_geopointseg", return_value={}) as called:
            results, feedback = run("trainmodel", {**given, **answers})
        self.assertIsNotNone(results, feedback.errors)
        line = called.call_args[0][0]
        return line[1 : line.index("--points")]

    def test_files_and_folders_are_scenes(self):
        for chosen, meant in SCENES.items():
            found = self.arguments(RASTER=str(self.folder / chosen))
            self.assertEqual(found, [str(self.folder / meant)])

    def test_several_are_mixed_with_layers(self):
        rasters = [str(self.folder / "tessera"), self.raster, str(self.folder / GRID)]
        found = self.arguments(MORE_RASTERS=rasters)
        self.assertEqual(found[0], self.raster.source())
        expected = [str(self.folder / "tessera"), self.raster.source(), str(self.folder / GRID)]
        self.assertEqual(sorted(found[1:]), sorted(expected))
        self.assertEqual(
            self.arguments(MORE_RASTERS=str(self.folder / "tessera"))[1:], expected[:1]
        )

    def test_what_is_not_there_is_refused(self):
        form = algorithm("trainmodel")
        given = {"POINTS": make_points(), "OUTPUT": str(self.folder / "model")}
        for name, wrong in (
            ("RASTER", "missing.npy"),
            ("RASTER", "missing"),
            ("MORE_RASTERS", ["missing"]),
            ("MORE_RASTERS", ["tessera", "missing"]),
        ):
            answers = {"RASTER": self.raster, **given, name: wrong}
            good, reason = form.checkParameterValues(answers, QgsProcessingContext())
            self.assertFalse(good, (name, wrong))
            self.assertIn(name, reason)

    def test_an_extent_needs_no_layer(self):
        given = {"MODEL": str(self.folder), "RASTER": str(self.folder / "tessera")}
        given["OUTPUT"] = str(self.folder / "map.tif")
        with mock.patch("qgis_plugin.algorithm.runner.run_geopointseg", return_value={}) as called:
            results, feedback = run("predictmap", {**given, "EXTENT": "0,10,0,10 [EPSG:32633]"})
        self.assertIsNotNone(results, feedback.errors)
        self.assertIn("--aoi", called.call_args[0][0])

    def test_class_maps_have_no_folder_button(self):
        for name, count in (("assessraster", 0), ("drawsample", 0), ("matchhistogram", 2)):
            self.assertEqual(len(folder_buttons(open_dialog(name))), count, name)

    def test_the_modeler_offers_its_own_rasters(self):
        form = ModelerParametersDialog(algorithm("predictmap"), QgsProcessingModelAlgorithm())
        for name in ("RASTER", "MORE_RASTERS"):
            wrapper = form.widget.widget.wrappers[name]
            self.assertIsInstance(wrapper, QgsProcessingModelerParameterWidget)
        form.close()


class RunsTest(GroundTestCase):
    """The real library on synthetic embeddings."""

    def setUp(self):
        super().setUp()
        runner.GRACE_SECONDS = 20.0
        for name in ("tessera", "explorer"):
            shutil.copytree(GROUND / name, self.folder / name)
        shutil.copy(GROUND / "vectors.gpkg", self.folder / "vectors.gpkg")
        self.plots = QgsVectorLayer(str(self.folder / "vectors.gpkg"), "plots", "ogr")
        QgsProject.instance().clear()
        QgsProject.instance().setFileName(str(self.folder / "project.qgz"))
        QgsProject.instance().addMapLayer(self.plots)

    def press_folder(self, dialog, folder):
        (button,) = (one for one in folder_buttons(dialog) if one.isVisible())
        with choosing(folder):
            QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    def test_a_folder_is_chosen_trained_on_and_mapped(self):
        folder = str(self.folder / "tessera")
        form = open_dialog("trainmodel", KIND="linear")
        self.press_folder(form, folder)
        self.assertEqual(form.createProcessingParameters()["RASTER"], folder)
        self.assertIsNone(form.messageBar().currentItem())
        told = press_run(form)
        self.assertTrue(told.ok, told.log)
        form = open_dialog("predictmap")
        self.assertEqual(form.createProcessingParameters()["RASTER"], folder)  # offered again
        told = press_run(form)
        self.assertTrue(told.ok, told.log)
        (made,) = QgsProject.instance().mapLayersByName("Land cover of tessera")
        self.assertEqual((made.width(), made.height()), (80, 60))
        self.assertEqual(memory.recall(memory.RASTER), folder)

    def test_several_folders_are_chosen(self):
        form = open_dialog("trainmodel")
        found = form.mainWidget().wrappers["MORE_RASTERS"]
        for _ in range(2):
            (button,) = found.wrappedWidget().findChildren(QToolButton, "folder")
            with choosing(self.folder / "explorer"):
                button.click()
        self.assertEqual(found.parameterValue(), [str(self.folder / "explorer")] * 2)

    def test_a_folder_is_the_image_of_the_panel(self):
        desk = Desk(self.plots)
        self.addCleanup(desk.panel.end)
        with choosing(self.folder / "explorer"):
            desk.press(desk.panel.form.folder)
        desk.wait(lambda: "is the image" in desk.panel.said.text())
        image = desk.panel.form.raster.currentLayer()
        self.assertEqual(inputs.raster_path(image), str(self.folder / "explorer"))
        truth = QgsRasterLayer(str(self.folder / "explorer" / "dim_000.tif"), "truth")
        self.assertEqual(image.extent(), truth.extent())
        self.assertEqual(image.crs(), truth.crs())
        desk.panel.form.minutes.setValue(0.1)
        desk.step("train")
        desk.finish()
        desk.step("map")
        desk.finish()
        self.assertIn("The map is ready", desk.panel.said.text())

    def test_a_folder_without_rasters_is_refused_in_the_panel(self):
        (self.folder / "notes").mkdir()
        desk = Desk(self.plots)
        self.addCleanup(desk.panel.end)
        with choosing(self.folder / "notes"):
            desk.press(desk.panel.form.folder)
        desk.wait(
            lambda: "notes" in desk.panel.said.text() and "Opening" not in desk.panel.said.text()
        )
        self.assertIn("holds no raster", desk.panel.said.text())
        self.assertIsNone(desk.panel.form.raster.currentLayer())


if __name__ == "__main__":
    unittest.main()
