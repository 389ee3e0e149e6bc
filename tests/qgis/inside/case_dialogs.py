"""Every form, as QGIS opens it with layers loaded: only what is required is filled in, and Run is pressed."""

import contextlib
import json
import os
import re
import shutil
import sqlite3
import unittest
from pathlib import Path
from unittest import mock

from qgis.core import (
    NULL,
    QgsApplication,
    QgsFeature,
    QgsGeometry,
    QgsPointXY,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingParameterDefinition,
    QgsProject,
    QgsProperty,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorFileWriter,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QVariant
from qgis.PyQt.QtWidgets import QComboBox
from qgis_plugin import memory
from qgis_plugin.parameters import plain
from qgis_plugin.tasks import load_tasks

from dialogs import German, open_dialog, press_run, run_dialog
from support import QgisTestCase, algorithm, make_points, make_raster, run, set_interpreter

GROUND = Path(os.environ.get("GEOPOINTSEG_TEST_GROUND", "/nowhere"))
COMMAND_LINE = re.compile(r"(?<![\w-])--?[a-z][a-z-]*\b(?!\.)|print-config|GeoPackage first")
HAS_LRELEASE = shutil.which("lrelease") is not None


class FormsTest(QgisTestCase):
    """What forms show, without running them."""

    def setUp(self):
        super().setUp()
        self.fake("succeeds")
        QgsProject.instance().addMapLayers([make_points(), self.raster])

    def algorithms(self):
        return QgsApplication.processingRegistry().providerById("geopointseg").algorithms()

    def test_every_algorithm_has_a_form(self):
        for found in self.algorithms():
            self.assertGreater(found.countVisibleParameters(), 0, found.id())

    def test_no_form_asks_more_than_six_things(self):
        advanced = QgsProcessingParameterDefinition.Flag.FlagAdvanced
        for found in self.algorithms():
            basic = [p.name() for p in found.parameterDefinitions() if not p.flags() & advanced]
            self.assertLessEqual(len(basic), 6, f"{found.id()}: {basic}")

    def test_no_text_is_about_a_command_line(self):
        for found in self.algorithms():
            shown = [found.displayName(), found.group(), found.shortHelpString()]
            shown += [p.description() + p.help() for p in found.parameterDefinitions()]
            for text in shown:
                self.assertIsNone(COMMAND_LINE.search(re.sub("<[^>]*>", " ", text)), f"{found.id()}: {text}")

    def test_groups_and_algorithms_are_in_the_order_of_work(self):
        listed = sorted((found.group(), found.displayName(), found.name()) for found in self.algorithms())
        self.assertEqual([name for *_, name in listed], list(load_tasks()))
        self.assertEqual(listed[0][2], "createenvironment")
        groups = ["1 Set-up", "2 Points", "3 Model", "4 Map", "5 Accuracy"]
        self.assertEqual(sorted({group for group, *_ in listed}), groups)

    def test_icons_tell_algorithms_apart(self):
        images = [found.icon().pixmap(24, 24).toImage() for found in self.algorithms()]
        for index, image in enumerate(images):
            self.assertNotIn(image, images[:index], self.algorithms()[index].id())

    def test_choices_are_words_and_values_stay(self):
        dialog = open_dialog("trainmodel")
        box = dialog.mainWidget().wrappers["KIND"].widget
        self.assertIsInstance(box, QComboBox)
        words = [box.itemText(index) for index in range(box.count())]
        self.assertEqual(words[2], "Random forest (takes seconds)")
        box.setCurrentIndex(2)
        self.assertEqual(dialog.createProcessingParameters()["KIND"], "forest")
        for task in load_tasks().values():
            for parameter in task.parameters:
                if parameter.kind == "choice":
                    self.assertFalse([w for w, text in parameter.words.items() if w == text], parameter)

    def test_the_last_answers_are_offered_again(self):
        other, field = make_points("other"), "cover"
        second = QgsRasterLayer(str(make_raster(self.folder / "second.tif")), "second")
        QgsProject.instance().addMapLayers([other, second])
        given = {"POINTS": other.id(), "RASTER": second.id(), "CLASS_FIELD": field}
        told = run_dialog("trainmodel", **given, OUTPUT=str(self.folder / "my model"))
        self.assertTrue(told.ok, told.log)
        (self.folder / "my model" / "model.json").write_text("{}")
        asked = open_dialog("validatemodel").createProcessingParameters()
        self.assertEqual({name: asked[name] for name in given}, given)
        asked = open_dialog("predictmap").createProcessingParameters()
        self.assertEqual(asked["MODEL"], str(self.folder / "my model"))
        self.assertEqual(asked["RASTER"], second.id())

    def test_a_model_is_never_kept_in_a_temporary_folder(self):
        QgsProject.instance().setFileName(str(self.folder / "project.qgz"))
        asked = open_dialog("trainmodel").createProcessingParameters()
        self.assertEqual(asked["OUTPUT"], str(self.folder / "model"))
        told = run_dialog("trainmodel", OUTPUT="TEMPORARY_OUTPUT")
        self.assertTrue(told.ok, told.log)
        self.assertEqual(Path(told.results["OUTPUT"]).parent, self.folder)

    def test_a_model_is_not_replaced_without_asking(self):
        (self.folder / "model").mkdir()
        (self.folder / "model" / "model.json").write_text("{}")
        given = {"OUTPUT": str(self.folder / "model")}
        told = run_dialog("trainmodel", **given)
        self.assertIsNone(told.ok)
        self.assertIn("holds a model already. Choose another name, for example", told.boxes[0])
        self.assertIn(str(self.folder / "model 2"), told.boxes[0])
        self.assertTrue(run_dialog("trainmodel", **given, REPLACE=True).ok)

    def test_what_is_left_empty_stays_empty(self):
        with mock.patch("qgis_plugin.algorithm.runner.run_geopointseg", return_value={}) as called:
            told = run_dialog("assessmap")
        self.assertTrue(told.ok, told.log)
        (arguments, *_), _ = called.call_args
        self.assertEqual(arguments[:2], ["assess", self.raster.source()])
        self.assertEqual(arguments[2:6:2], ["--points", "--class-field"])
        self.assertEqual(arguments[6], "--output")
        self.assertNotIn(str(Path.cwd()), arguments)

    def test_a_cleared_default_stays_empty(self):
        with mock.patch("qgis_plugin.algorithm.runner.run_geopointseg", return_value={}) as called:
            run_dialog("splitpoints", TEST_FRACTION=None, FOLDS=3)
        (arguments, *_), _ = called.call_args
        self.assertIn("--folds", arguments)
        self.assertNotIn("--test-fraction", arguments)

    def test_every_nothing_is_nothing(self):
        empty = QgsProperty.fromValue("")
        nothings = [
            None, NULL, QVariant(), QVariant(QVariant.Type.String), "", " \n", [], [NULL, ""], (), QgsRectangle(),
            empty, QgsProperty.fromValue(NULL), QgsProcessingFeatureSourceDefinition(empty),
            QgsProcessingOutputLayerDefinition(empty),
        ]  # fmt: skip
        for nothing in nothings:
            self.assertIsNone(plain(nothing), repr(nothing))
        for something in (0, 0.0, False, "0", "a", [0], ["", "b"], QgsProperty.fromExpression("@x"), -1):
            self.assertIsNotNone(plain(something), repr(something))
        self.assertEqual(plain(["", "b"]), ["b"])

    def test_every_kind_of_parameter_may_be_null(self):
        for task in load_tasks().values():
            if not task.command or task.name == "loaddemo":
                continue
            values = {"POINTS": make_points(), "RASTER": self.raster, "MAP": self.raster, "MASK": self.raster,
                "REFERENCES": [self.raster], "REFERENCE": self.raster, "MODEL": str(self.folder), "STUDY": "s.toml",
                "OUTPUT": str(self.folder / task.name / "out.gpkg")}  # fmt: skip
            needed = {p.name: values[p.name] for p in task.parameters if p.name in values and "optional" not in p.traits}
            nulls = {p.name: NULL for p in task.parameters if p.name not in needed}
            with mock.patch("qgis_plugin.algorithm.runner.run_geopointseg", return_value={"ok": True, "findings": []}) as called:
                results, feedback = run(task.name, {**nulls, **needed})
            self.assertIsNotNone(results, f"{task.name}: {feedback.errors}")
            said = [a for a in called.call_args[0][0] if a.startswith("--")]
            given = {p.option for p in task.parameters if p.name in needed} | {"--progress", "--json", "--class-field", "--output"}
            self.assertLessEqual(set(said), given, task.name)


@unittest.skipUnless(GROUND.exists(), "GEOPOINTSEG_TEST_GROUND names no folder with scene and points")
class RunTest(QgisTestCase):
    """Every form runs with the real library, or with a stand-in where training would take minutes."""

    def setUp(self):
        super().setUp()
        set_interpreter(os.environ["GEOPOINTSEG_TEST_PYTHON"])
        QgsProject.instance().setFileName(str(self.folder / "project.qgz"))
        for name in ("scene.tif", "points.gpkg", "test.gpkg"):
            shutil.copy(GROUND / name, self.folder / name)
        self.scene = QgsRasterLayer(str(self.folder / "scene.tif"), "Auwald 2024")
        self.points = QgsVectorLayer(str(self.folder / "points.gpkg"), "my plots", "ogr")
        QgsProject.instance().addMapLayers([self.points, self.scene])

    def train(self, **more):
        given = {"KIND": "forest", "CONFIG": str(GROUND / "quick.toml"), **more}
        told = run_dialog("trainmodel", **given)
        self.assertTrue(told.ok, told.log)
        return told

    def order(self):
        return [node.layer().name() for node in QgsProject.instance().layerTreeRoot().findLayers()]

    def walk(self, next_word, expected):
        """Press Run in one form after the other."""
        told = run_dialog("checkpoints")
        self.assertTrue(told.ok, told.log)
        self.assertIn(expected["check"], told.log)
        told = self.train()
        model = told.results["OUTPUT"]
        self.assertEqual(Path(model).parent, self.folder)
        self.assertIn(next_word, told.results["SUMMARY"])
        told = run_dialog("predictmap")
        self.assertTrue(told.ok, told.log)
        self.assertIn(next_word, told.results["SUMMARY"])
        self.assertEqual(Path(told.results["OUTPUT"]).parent, self.folder)
        names = self.order()
        map_name = expected["map"]
        self.assertLess(names.index("my plots"), names.index(map_name))
        self.assertLess(names.index(map_name), names.index("Auwald 2024"))
        for name in ("suggestpoints", "simulatepoints", "drawsample", "assessraster"):
            told = run_dialog(name)
            self.assertTrue(told.ok, told.log)
            self.assertIn(next_word, told.log)
        test = QgsVectorLayer(str(self.folder / "test.gpkg"), "independent", "ogr")
        QgsProject.instance().addMapLayer(test)
        told = run_dialog("assessmap", POINTS=test.id(), MAP=memory.recall("MAP"))
        self.assertTrue(told.ok, told.log)
        self.assertIn(next_word, told.results["SUMMARY"])
        self.assertEqual(Path(told.results["REPORT"]).name, expected["report"])
        report = Path(told.results["REPORT"]).read_text(encoding="utf-8")
        self.assertIn("independent", report)
        told = run_dialog("splitpoints", POINTS=self.points.id())
        self.assertTrue(told.ok, told.log)
        told = run_dialog("matchhistogram", RASTER=self.scene.id(), REFERENCES=[self.scene.id()])
        self.assertTrue(told.ok, told.log)
        told = run_dialog("checkenvironment")
        self.assertIs(told.results["READY"], True, told.log)
        told = run_dialog("loaddemo")
        self.assertTrue(told.ok, told.log)
        return self.order()

    def test_in_english(self):
        expected = {"map": "Land cover of Auwald 2024", "report": "Accuracy of Land cover of Auwald 2024.html",
            "check": "160 points were checked: they can be used"}  # fmt: skip
        names = self.walk("Next:", expected)
        for name in ("my plots, training", "my plots, test", "Auwald 2024, matched", "Demo points", "Demo scene"):
            self.assertIn(name, names)
        self.assertLess(names.index("Demo points"), names.index("Demo scene"))

    @unittest.skipUnless(HAS_LRELEASE, "Qt's lrelease is not installed")
    def test_in_german(self):
        expected = {"map": "Landbedeckung von Auwald 2024", "report": "Genauigkeit von Landbedeckung von Auwald 2024.html",
            "check": "160 Punkte wurden geprüft: Sie sind brauchbar"}  # fmt: skip
        with German(self.folder):
            names = self.walk("Als Nächstes:", expected)
        self.assertIn("my plots, Training", names)

    def test_slow_tools_with_a_stand_in(self):
        self.fake("succeeds")
        study = self.folder / "study.toml"
        study.write_text("")
        for name, more in {"pretrainmodel": {}, "validatemodel": {}, "runstudy": {"STUDY": str(study)}, "trainmodel": {}}.items():
            told = run_dialog(name, **more)
            self.assertTrue(told.ok, f"{name}: {told.log}{told.boxes}")
            self.assertNotIn("QVariant", told.log)

    def test_split_gives_two_layers_that_train_takes(self):
        told = run_dialog("splitpoints")
        self.assertTrue(told.ok, told.log)
        layers = {name: QgsVectorLayer(told.results[name], name, "ogr") for name in ("TRAINING", "TEST")}
        counts = [layer.featureCount() for layer in layers.values()]
        self.assertEqual(counts, [112, 48])
        training = QgsProject.instance().mapLayersByName("my plots, training")[0]
        self.assertEqual(training.renderer().classAttribute(), "class")
        self.train(POINTS=training.id())

    def test_findings_are_lines_and_rows(self):
        lonely = [f.id() for f in self.points.getFeatures() if f["class"] == 10][1:]
        self.points.dataProvider().deleteFeatures(lonely)
        outside = next(f for f in self.points.getFeatures() if f["class"] == 20)
        self.points.dataProvider().changeGeometryValues({outside.id(): QgsGeometry.fromPointXY(QgsPointXY(0, 0))})
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
        self.assertIn("trained on", told.log)
        self.assertNotIn("HTML output", told.log)
        reason = told.log[told.log.index("trained on") :]
        self.assertIsNone(COMMAND_LINE.search(reason), reason)

    def test_points_on_another_continent(self):
        away = make_points("Patagonia", crs="EPSG:32719")
        QgsProject.instance().addMapLayer(away)
        for name in ("checkpoints", "trainmodel"):
            told = run_dialog(name, POINTS=away.id())
            self.assertIs(bool(told.ok and told.results["USABLE"]), False)
            said = told.log[told.log.rindex("device") :]
            self.assertIn("Patagonia", said)
            self.assertIsNone(COMMAND_LINE.search(said.partition("Algorithm")[0].partition("-m geopointseg")[0]), said)

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
        self.assertIn("gone/python does not exist. Run 'Set up geopointseg' in the toolbox", told.log)

    def test_a_cancel_leaves_nothing(self):
        call = self.fake("polite")
        for name in ("checkpoints", "trainmodel", "splitpoints", "simulatepoints", "checkenvironment", "loaddemo"):
            before = set(self.folder.iterdir())
            told = press_run(open_dialog(name), cancel_after_ms=1500)
            said = told.log.partition("Cancelling")[2]
            self.assertIn("Cancelled. No output was written.", said, name)
            self.assertEqual(set(self.folder.iterdir()), before)
        self.assertTrue(call.with_name("stopped").exists())

    def test_the_bar_only_rises(self):
        dialog, seen = open_dialog("trainmodel", KIND="forest", CONFIG=str(GROUND / "quick.toml")), []
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
