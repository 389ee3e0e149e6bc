"""The real library under the real QGIS: colours both ways, and a cancel that leaves nothing."""

import json
import os
import unittest
from pathlib import Path

from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsPalettedRasterRenderer,
    QgsProcessingContext,
    QgsProcessingUtils,
    QgsProject,
    QgsRasterLayer,
    QgsRendererCategory,
    QgsSingleBandPseudoColorRenderer,
    QgsSymbol,
    QgsVectorLayer,
)
from qgis.PyQt.QtGui import QColor
from qgis_plugin import runner

from support import Feedback, QgisTestCase, processes_of, run, set_interpreter

GROUND = Path(os.environ.get("GEOPOINTSEG_TEST_GROUND", "/nowhere"))
NAMES = {10: "Äcker", 20: "Wiese & Weide", 30: "forêt"}
COLOURS = {10: "#123456", 20: "#abcdef", 30: "#00ff7f"}


class CancelAtStage(Feedback):
    """Cancels when a stage of the run begins."""

    def __init__(self, stage):
        super().__init__()
        self.stage = stage

    def setProgressText(self, text):
        self.lines.append(text)
        if text.startswith(self.stage):
            self.cancel()


@unittest.skipUnless(
    GROUND.exists(), "GEOPOINTSEG_TEST_GROUND names no folder with scene and points"
)
class EndToEndTest(QgisTestCase):
    def setUp(self):
        super().setUp()
        set_interpreter(os.environ["GEOPOINTSEG_TEST_PYTHON"])
        runner.GRACE_SECONDS = 20.0
        self.scene = QgsRasterLayer(str(GROUND / "scene.tif"), "the scene")
        self.points = QgsVectorLayer(str(GROUND / "points.gpkg"), "the points", "ogr")
        QgsProject.instance().addMapLayers([self.scene, self.points])

    def style(self):
        """Give some classes other names and colours, as a user does."""
        categories = []
        for code in sorted({feature["class"] for feature in self.points.getFeatures()}):
            symbol = QgsSymbol.defaultSymbol(self.points.geometryType())
            symbol.setColor(QColor(COLOURS.get(code, "#777777")))
            categories.append(QgsRendererCategory(code, symbol, NAMES.get(code, f"class {code}")))
        self.points.setRenderer(QgsCategorizedSymbolRenderer("class", categories))

    def train(self, feedback=None, **more):
        parameters = {
            "RASTER": self.scene, "POINTS": self.points, "CLASS_FIELD": "class", "KIND": "forest",
            "OUTPUT": str(self.folder / "model"), "DEVICE": "cpu", "CONFIG": str(GROUND / "quick.toml"), **more,
        }  # fmt: skip
        return run("trainmodel", parameters, feedback)

    def test_names_and_colours_go_into_training_and_come_back_with_the_map(self):
        self.style()
        results, feedback = self.train()
        self.assertIsNotNone(results, feedback.errors)
        legend = {
            row["code"]: row
            for row in json.loads((self.folder / "model" / "model.json").read_text())["legend"]
        }
        self.assertEqual({code: legend[code]["name"] for code in NAMES}, NAMES)
        self.assertEqual({code: legend[code]["color"] for code in COLOURS}, COLOURS)

        context, paths = QgsProcessingContext(), {}
        for name in ("OUTPUT", "UNCERTAINTY", "PROBABILITIES"):
            paths[name] = str(self.folder / f"{name} ä.tif")
            details = QgsProcessingContext.LayerDetails(name, QgsProject.instance(), name)
            context.addLayerToLoadOnCompletion(paths[name], details)
        parameters = {"MODEL": results["OUTPUT"], "RASTER": self.scene, **paths}
        results, feedback = run("predictmap", parameters, context=context)
        self.assertIsNotNone(results, feedback.errors)
        self.assertGreater(results["PIXEL_COUNT"], 1000)
        loaded = {name: self.load(path, context) for name, path in paths.items()}
        renderer = loaded["OUTPUT"].renderer()
        self.assertIsInstance(renderer, QgsPalettedRasterRenderer)
        shown = {int(item.value): (item.label, item.color.name()) for item in renderer.classes()}
        self.assertEqual(
            {code: shown[code] for code in NAMES},
            {code: (NAMES[code], COLOURS[code]) for code in NAMES},
        )
        self.assertEqual(loaded["OUTPUT"].crs(), self.scene.crs())
        self.assertEqual(loaded["OUTPUT"].extent(), self.scene.extent())
        for name in ("UNCERTAINTY", "PROBABILITIES"):
            self.assertIsInstance(loaded[name].renderer(), QgsSingleBandPseudoColorRenderer)
        self.assertIn(
            "entropy", loaded["UNCERTAINTY"].bandName(loaded["UNCERTAINTY"].renderer().band())
        )
        self.check_a_cancelled_map(parameters["MODEL"])
        self.check_suggestions(parameters["MODEL"])

    def check_a_cancelled_map(self, model):
        """A map that is cancelled in the middle leaves no process and no file that looks like a map."""
        path = self.folder / "cancelled.tif"
        parameters = {"MODEL": model, "RASTER": self.scene, "OUTPUT": str(path)}
        results, feedback = run("predictmap", parameters, CancelAtStage("predict"))
        self.assertIsNone(results)
        self.assertIn("Cancelled. No output was written.", feedback.errors[0])
        self.assertEqual(processes_of(str(path)), [])
        self.assertFalse(path.exists())
        self.assertFalse(path.with_suffix(".qml").exists())

    def check_suggestions(self, model):
        """Suggested points arrive styled by reason, with a rank to walk through."""
        path = str(self.folder / "next.gpkg")
        context = QgsProcessingContext()
        details = QgsProcessingContext.LayerDetails("next", QgsProject.instance(), "OUTPUT")
        context.addLayerToLoadOnCompletion(path, details)
        parameters = {
            "MODEL": model,
            "RASTER": self.scene,
            "COUNT": 5,
            "MIN_DISTANCE": 5.0,
            "OUTPUT": path,
        }
        results, feedback = run("suggestpoints", parameters, context=context)
        self.assertIsNotNone(results, feedback.errors)
        layer = self.load(path, context)
        self.assertEqual(layer.featureCount(), 5)
        self.assertIsInstance(layer.renderer(), QgsCategorizedSymbolRenderer)
        self.assertEqual(layer.renderer().classAttribute(), "reason")
        self.assertGreaterEqual(layer.fields().indexOf("rank"), 0)

    def load(self, path, context):
        """Load a result as QGIS does after a run."""
        layer = QgsProcessingUtils.mapLayerFromString(path, context)
        context.layerToLoadOnCompletionDetails(path).postProcessor().postProcessLayer(
            layer, context, Feedback()
        )
        return layer

    def test_a_training_cancelled_in_the_middle_leaves_nothing(self):
        feedback = CancelAtStage("train")
        results, feedback = self.train(feedback, KIND="network", MINUTES=30.0)
        self.assertIsNone(results)
        self.assertTrue(feedback.isCanceled(), feedback.lines + feedback.errors)
        self.assertIn("Cancelled. No output was written.", feedback.errors[0])
        self.assertEqual(processes_of(str(self.folder)), [])
        self.assertFalse((self.folder / "model").exists())
        left = {path.name for path in self.folder.iterdir()} - {"scene.tif"}
        self.assertLessEqual(left, {".model.partial"}, "more than the hidden state to go on from")

    def test_the_librarys_sentence_arrives_whole(self):
        results, feedback = self.train(CLASS_FIELD="no_such_field")
        self.assertIsNone(results)
        self.assertEqual(len(feedback.errors), 1)
        self.assertIn("no_such_field", feedback.errors[0])
        self.assertNotIn("Traceback", feedback.errors[0])


if __name__ == "__main__":
    unittest.main()
