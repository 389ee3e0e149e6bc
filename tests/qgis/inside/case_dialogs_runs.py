"""Every form with the real library, or with a stand-in where training would take minutes; and bad input."""

import tempfile
import unittest
from pathlib import Path

from qgis.core import QgsFeature, QgsGeometry, QgsPointXY, QgsProject, QgsVectorLayer
from qgis_plugin import memory
from qgis_plugin.tasks import load_tasks

from dialogs import COMMAND_LINE, GROUND, GroundTestCase, open_dialog, press_run, run_dialog
from support import make_points, set_interpreter


class RunsTest(GroundTestCase):
    def test_slow_tools_with_a_stand_in(self):
        self.fake("succeeds")
        study = self.folder / "study.toml"
        study.write_text("")
        for name, more in {
            "pretrainmodel": {},
            "validatemodel": {},
            "runstudy": {"STUDY": str(study)},
            "trainmodel": {},
        }.items():
            told = run_dialog(name, **more)
            self.assertTrue(told.ok, f"{name}: {told.log}{told.boxes}")
            self.assertNotIn("QVariant", told.log)

    def test_split_gives_two_layers_that_train_takes(self):
        told = run_dialog("splitpoints")
        self.assertTrue(told.ok, told.log)
        layers = {
            name: QgsVectorLayer(told.results[name], name, "ogr") for name in ("TRAINING", "TEST")
        }
        counts = [layer.featureCount() for layer in layers.values()]
        self.assertEqual(counts, [112, 48])
        training = QgsProject.instance().mapLayersByName("my plots, training")[0]
        self.assertEqual(training.renderer().classAttribute(), "class")
        self.train(POINTS=training.id())

    def test_findings_are_lines_and_rows(self):
        lonely = [f.id() for f in self.points.getFeatures() if f["class"] == 10][1:]
        self.points.dataProvider().deleteFeatures(lonely)
        outside = next(f for f in self.points.getFeatures() if f["class"] == 20)
        self.points.dataProvider().changeGeometryValues(
            {outside.id(): QgsGeometry.fromPointXY(QgsPointXY(0, 0))}
        )
        told = run_dialog("checkpoints")
        self.assertTrue(told.ok, told.log)
        layer = QgsVectorLayer(told.results["OUTPUT"], "findings", "ogr")
        rows = [f["reason"] for f in layer.getFeatures()]
        self.assertIn("outside every scene", rows)
        remarks = [row for row in rows if row != "outside every scene"]
        self.assertEqual(len(remarks), told.results["FINDING_COUNT"])
        self.assertGreaterEqual(len(remarks), 2)
        for remark in remarks:
            self.assertIn(remark[:60], told.log)

    def test_a_field_of_numbers_is_no_class(self):
        for name in ("checkpoints", "trainmodel"):
            told = run_dialog(name, CLASS_FIELD="fid")
            self.assertIn("has 160 different values in 160 points", told.log)
            self.assertIs(bool(told.ok and told.results["USABLE"]), False)
        self.assertIsNone(COMMAND_LINE.search(told.log.partition("Field 'fid'")[2]), told.log)

    def test_points_that_are_not_saved_yet(self):
        self.points.startEditing()
        feature = QgsFeature(self.points.fields())
        feature.setGeometry(next(self.points.getFeatures()).geometry())
        feature.setAttributes(["Autogenerate", 10])
        self.points.addFeature(feature)
        told = run_dialog("checkpoints")
        self.assertTrue(told.ok, told.log)
        self.assertEqual(told.results["POINT_COUNT"], 161)
        self.points.rollBack()

    def test_a_refused_assessment_announces_no_report(self):
        self.train()
        self.assertTrue(run_dialog("predictmap").ok)
        told = run_dialog("assessmap", MAP=memory.recall("MAP"), POINTS=self.points.id())
        self.assertIs(told.ok, False)
        self.assertIn("are training points of the model", told.log)
        self.assertNotIn("HTML output", told.log)
        reason = told.log[told.log.index("160 of 160 test points") :]
        self.assertIn("'Land cover of Auwald 2024'", reason)
        self.assertIn(
            "or 'Allow points that trained the model', which adds a warning to the report", reason
        )
        self.assertIsNone(COMMAND_LINE.search(reason), reason)

    def test_points_on_another_continent(self):
        away = make_points("Patagonia", crs="EPSG:32719")
        QgsProject.instance().addMapLayer(away)
        for name in ("checkpoints", "trainmodel"):
            told = run_dialog(name, POINTS=away.id())
            self.assertIs(bool(told.ok and told.results["USABLE"]), False)
            said = told.log[told.log.rindex("device") :]
            self.assertIn("Patagonia", said)
            self.assertIsNone(
                COMMAND_LINE.search(said.partition("Algorithm")[0].partition("-m geopointseg")[0]),
                said,
            )

    def test_a_csv_table_and_a_read_only_layer(self):
        table = self.folder / "plots.csv"
        table.write_text("x,y,class\n500100,4999900,10\n")
        told = run_dialog("checkpoints", POINTS=str(table))
        self.assertIn("is a table without places", f"{told.log}{told.boxes}")
        rows = [(f.geometry().asPoint(), f["class"]) for f in self.points.getFeatures()]
        table.write_text("x,y,class\n" + "".join(f"{p.x()},{p.y()},{c}\n" for p, c in rows))
        uri = f"file://{table}?delimiter=,&xField=x&yField=y&crs={self.points.crs().authid()}"
        layer = QgsVectorLayer(uri, "from a table", "delimitedtext")
        QgsProject.instance().addMapLayer(layer)
        layer.setReadOnly(True)
        told = run_dialog("checkpoints", POINTS=layer.id(), CLASS_FIELD="class")
        self.assertTrue(told.ok and told.results["USABLE"], told.log)

    def test_an_interpreter_that_vanished(self):
        dialog = open_dialog("checkpoints")
        set_interpreter(str(self.folder / "gone" / "python"))
        told = press_run(dialog)
        self.assertIs(told.ok, False)
        self.assertIn(
            "gone/python does not exist. Run 'Set up geopointseg' in the toolbox", told.log
        )

    def test_a_cancel_leaves_nothing(self):
        call = self.fake("polite")
        study = self.folder / "study.toml"
        study.write_text("")
        given = {"MODEL": str(self.folder), "STUDY": str(study), "REFERENCES": [self.scene.id()]}
        for task in load_tasks().values():
            if not task.command:
                continue
            filled = {p.name: given[p.name] for p in task.parameters if p.name in given}
            before = set(self.folder.iterdir())
            told = press_run(open_dialog(task.name, **filled), cancel_after_ms=1500)
            said = told.log.partition("Cancelling")[2]
            self.assertIn("Cancelled. No output was written.", said, f"{task.name}: {told.log}")
            self.assertEqual(set(self.folder.iterdir()) - before, set())
            self.assertTrue(call.with_name("stopped").exists(), task.name)
            call.with_name("stopped").unlink()

    def test_a_full_disk_is_named(self):
        self.fake("full")
        before = set(Path(tempfile.gettempdir()).glob("qt_temp*"))
        for name in ("checkpoints", "trainmodel", "simulatepoints"):
            told = run_dialog(name)
            self.assertIs(told.ok, False)
            self.assertIn(
                "The disk is full. Free some space, or choose a folder on another disk.", told.log
            )

        left = set(Path(tempfile.gettempdir()).glob("qt_temp*")) - before
        self.assertEqual(
            [path for path in left if list(path.rglob("*.gpkg"))], [], "copies of points"
        )

    def test_the_bar_only_rises(self):
        dialog, seen = (
            open_dialog("trainmodel", KIND="forest", CONFIG=str(GROUND / "quick.toml")),
            [],
        )
        make = dialog.createFeedback

        def watched():
            feedback = make()
            feedback.progressChanged.connect(seen.append)
            return feedback

        dialog.createFeedback = watched
        self.assertTrue(press_run(dialog).ok)
        self.assertGreater(len(set(seen)), 2)
        self.assertEqual(seen, sorted(seen))


if __name__ == "__main__":
    unittest.main()
