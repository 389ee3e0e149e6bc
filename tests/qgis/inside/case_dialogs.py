"""Every form, as QGIS opens it with layers loaded: only what is required is filled in, and Run is pressed."""

import re
import unittest
from pathlib import Path
from unittest import mock

from processing.gui.BatchAlgorithmDialog import BatchAlgorithmDialog
from processing.modeler.ModelerParametersDialog import ModelerParametersDialog
from qgis.core import (
    NULL,
    QgsApplication,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingModelAlgorithm,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingParameterDefinition,
    QgsProject,
    QgsProperty,
    QgsRasterLayer,
    QgsRectangle,
)
from qgis.PyQt.QtCore import QVariant
from qgis.PyQt.QtWidgets import QComboBox
from qgis_plugin import memory
from qgis_plugin.parameters import plain
from qgis_plugin.tasks import load_tasks

from dialogs import COMMAND_LINE, open_dialog, run_dialog
from support import QgisTestCase, algorithm, make_points, make_raster, run


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
                self.assertIsNone(
                    COMMAND_LINE.search(re.sub("<[^>]*>", " ", text)), f"{found.id()}: {text}"
                )

    def test_groups_and_algorithms_are_in_the_order_of_work(self):
        listed = sorted(
            (found.group(), found.displayName(), found.name()) for found in self.algorithms()
        )
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
        box = dialog.mainWidget().wrappers["KIND"].wrappedWidget()
        self.assertIsInstance(box, QComboBox)
        words = [box.itemText(index) for index in range(box.count())]
        self.assertIn("Random forest (takes seconds)", words)
        box.setCurrentText("Random forest (takes seconds)")
        self.assertEqual(dialog.createProcessingParameters()["KIND"], "forest")
        for task in load_tasks().values():
            for parameter in task.parameters:
                if parameter.kind == "choice":
                    self.assertFalse(
                        [w for w, text in parameter.words.items() if w == text], parameter
                    )

    def test_batch_and_modeler_take_every_algorithm(self):
        model = QgsProcessingModelAlgorithm()
        for name in load_tasks():
            batch = BatchAlgorithmDialog(algorithm(name), parent=None)
            batch.close()
            form = ModelerParametersDialog(algorithm(name), model)
            for parameter in load_tasks()[name].parameters:
                if parameter.kind == "choice":
                    wrapper = form.widget.widget.wrappers[parameter.name]
                    value = wrapper.value().staticValue()
                    self.assertEqual(value, parameter.default)
                    boxes = wrapper.findChildren(QComboBox)
                    shown = [{box.itemText(i) for i in range(box.count())} for box in boxes]
                    self.assertIn(set(parameter.words.values()), shown)
            form.close()

    def test_files_without_a_dot_in_their_name_are_taken(self):
        for task in load_tasks().values():
            found = algorithm(task.name)
            for parameter in task.parameters:
                if parameter.kind in ("file", "package"):
                    declared = found.parameterDefinition(parameter.name)
                    for path in ("/usr/bin/python3", "/data/settings.toml", "geopointseg"):
                        self.assertTrue(declared.checkValueIsAcceptable(path), (task.name, path))

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

    def test_the_only_raster_is_offered_whatever_layer_is_active(self):
        QgsProject.instance().removeEntry(memory.SCOPE, memory.RASTER)
        form = algorithm("checkpoints")
        offered = form.parameterDefinition("RASTER").guiDefaultValueOverride()
        self.assertEqual(offered, self.raster.id())
        second = QgsRasterLayer(str(self.folder / "scene.tif"), "second")
        QgsProject.instance().addMapLayer(second)
        form = algorithm("checkpoints")
        offered = form.parameterDefinition("RASTER").guiDefaultValueOverride()
        self.assertIn(offered, (None, NULL))

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
        for something in (
            0,
            0.0,
            False,
            "0",
            "a",
            [0],
            ["", "b"],
            QgsProperty.fromExpression("@x"),
            -1,
        ):
            self.assertIsNotNone(plain(something), repr(something))
        self.assertEqual(plain(["", "b"]), ["b"])

    def test_every_kind_of_parameter_may_be_null(self):
        for task in load_tasks().values():
            if not task.command or task.name == "loaddemo":
                continue
            values = {"POINTS": make_points(), "RASTER": self.raster, "MAP": self.raster, "MASK": self.raster,
                "REFERENCES": [self.raster], "REFERENCE": self.raster, "MODEL": str(self.folder), "STUDY": "s.toml",
                "OUTPUT": str(self.folder / task.name / "out.gpkg")}  # fmt: skip
            needed = {
                p.name: values[p.name]
                for p in task.parameters
                if p.name in values and "optional" not in p.traits
            }
            nulls = {p.name: NULL for p in task.parameters if p.name not in needed}
            with mock.patch(
                "qgis_plugin.algorithm.runner.run_geopointseg",
                return_value={"ok": True, "findings": []},
            ) as called:
                results, feedback = run(task.name, {**nulls, **needed})
            self.assertIsNotNone(results, f"{task.name}: {feedback.errors}")
            said = [a for a in called.call_args[0][0] if a.startswith("--")]
            given = {p.option for p in task.parameters if p.name in needed} | {
                "--progress",
                "--json",
                "--class-field",
                "--output",
            }
            self.assertLessEqual(set(said), given, task.name)


if __name__ == "__main__":
    unittest.main()
