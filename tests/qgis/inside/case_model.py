"""The model of the graphical modeler, run as the window runs it: in a thread, on layers of the project."""

import unittest

from qgis.core import (
    QgsApplication,
    QgsProcessingAlgRunnerTask,
    QgsProcessingContext,
    QgsProcessingModelAlgorithm,
    QgsProject,
)
from qgis.PyQt.QtCore import QEventLoop

from support import REPOSITORY, Feedback, QgisTestCase, make_points

MODEL = REPOSITORY / "examples" / "points_to_map.model3"


class ModelTest(QgisTestCase):
    def load(self):
        model = QgsProcessingModelAlgorithm()
        self.assertTrue(model.fromFile(str(MODEL)))
        model.initAlgorithm()
        return model

    def test_it_is_valid_and_says_what_it_wants(self):
        model = self.load()
        self.assertEqual(model.validate(), (True, []))
        wanted = {parameter.name() for parameter in model.parameterDefinitions()}
        self.assertLessEqual({"RASTER", "POINTS", "CLASS_FIELD", "TEST_POINTS", "MINUTES"}, wanted)
        called = {child.algorithmId() for child in model.childAlgorithms().values()}
        steps = ("checkpoints", "trainmodel", "predictmap", "assessmap")
        self.assertEqual(called, {f"geopointseg:{step}" for step in steps})

    def test_it_runs_in_a_thread_on_layers_of_the_project(self):
        call = self.fake("succeeds")
        points, test_points = make_points("learn"), make_points("test")
        QgsProject.instance().addMapLayers([points, test_points, self.raster])
        context, feedback = QgsProcessingContext(), Feedback()
        context.setProject(QgsProject.instance())
        parameters = {
            "RASTER": self.raster.id(),
            "POINTS": points.id(),
            "TEST_POINTS": test_points.id(),
            "CLASS_FIELD": "cover",
            "KIND": "forest",
            "MINUTES": 1.0,
            "predict:Class map": str(self.folder / "map.tif"),
            "train:Model": str(self.folder / "model"),
            "assess:Report": str(self.folder / "report.html"),
        }
        model = self.load()
        ended, loop = [], QEventLoop()
        task = QgsProcessingAlgRunnerTask(model, parameters, context, feedback)
        task.executed.connect(lambda ok, results: (ended.append((ok, results)), loop.quit()))
        QgsApplication.taskManager().addTask(task)
        loop.exec()
        ok, results = ended[0]
        self.assertTrue(ok, feedback.errors)
        self.assertEqual(results["predict:Class map"], str(self.folder / "map.tif"))
        calls = call.with_name("calls.txt").read_text().splitlines()
        self.assertEqual(
            [line.split()[0] for line in calls], ["points", "train", "predict", "assess"]
        )


if __name__ == "__main__":
    unittest.main()
