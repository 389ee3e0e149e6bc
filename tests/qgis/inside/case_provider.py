"""The provider and the forms: what a user of the toolbox, of models and of scripts sees."""

import json
import os
import sys
import unittest
from unittest import mock

from qgis.core import (
    QgsApplication,
    QgsProcessingContext,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingParameterDefinition,
    QgsProcessingUtils,
    QgsProject,
)
from qgis.PyQt.QtCore import QCoreApplication, QProcess, QTranslator
from qgis_plugin import interpreter
from qgis_plugin.tasks import load_tasks

from support import (
    PLUGIN,
    REPOSITORY,
    ProcessingConfig,
    QgisTestCase,
    algorithm,
    make_raster,
    run,
    set_interpreter,
)

IDS = {
    "checkpoints", "simulatepoints", "splitpoints", "trainmodel", "pretrainmodel", "predictmap", "assessmap",
    "validatemodel", "suggestpoints", "matchhistogram", "runstudy", "checkenvironment", "createenvironment",
    "loaddemo", "drawsample", "assessraster",
}  # fmt: skip
Flag = QgsProcessingParameterDefinition.Flag


class ProviderTest(QgisTestCase):
    def test_every_algorithm_is_there(self):
        provider = QgsApplication.processingRegistry().providerById("geopointseg")
        self.assertEqual({found.name() for found in provider.algorithms()}, IDS)
        self.assertEqual(provider.defaultVectorFileExtension(True), "gpkg")
        self.assertFalse(provider.supportsNonFileBasedOutput())

    def test_every_parameter_has_a_label_and_a_help(self):
        for name in IDS:
            form = algorithm(name)
            self.assertTrue(form.shortHelpString() and form.displayName() and form.group(), name)
            self.assertFalse(form.icon().isNull())
            for parameter in form.parameterDefinitions():
                with self.subTest(algorithm=name, parameter=parameter.name()):
                    self.assertRegex(parameter.name(), "^[A-Z][A-Z0-9_]*$")
                    self.assertTrue(parameter.description())
                    self.assertTrue(parameter.help())

    def test_defaults_and_choices_are_the_librarys(self):
        train = algorithm("trainmodel")
        documented = {p.name: p.documented for p in load_tasks()["trainmodel"].parameters}
        minutes, kind = (train.parameterDefinition(name) for name in ("MINUTES", "KIND"))
        self.assertEqual(minutes.defaultValue(), documented["MINUTES"]["default"])
        self.assertEqual(kind.options(), documented["KIND"]["choices"])
        self.assertTrue(kind.usesStaticStrings())
        self.assertIn(documented["MINUTES"]["help"], train.shortHelpString())

    def test_rare_parameters_are_folded_away(self):
        train = algorithm("trainmodel")
        advanced = {p.name() for p in train.parameterDefinitions() if p.flags() & Flag.FlagAdvanced}
        self.assertLessEqual({"SEED", "DEVICE", "CONFIG", "RESUME"}, advanced)
        self.assertFalse({"RASTER", "POINTS", "CLASS_FIELD", "OUTPUT"} & advanced)

    def test_outputs_are_declared(self):
        assess, predict = algorithm("assessmap"), algorithm("predictmap")
        outputs = {o.name(): o.type() for o in assess.outputDefinitions()}
        self.assertEqual(outputs["OVERALL_ACCURACY"], "outputNumber")
        self.assertEqual(
            outputs["REPORT"], "outputFile", "QGIS announces an outputHtml even after a refusal"
        )
        self.assertEqual(outputs["SUMMARY"], "outputString")
        outputs = {o.name(): o.type() for o in predict.outputDefinitions()}
        self.assertEqual(outputs["OUTPUT"], "outputRaster")
        self.assertEqual(outputs["UNCERTAINTY"], "outputRaster")

    def test_without_an_interpreter_the_reason_is_given_and_nothing_hidden(self):
        able, reason = algorithm("trainmodel").canExecute()
        self.assertFalse(able)
        self.assertIn(
            "No Python interpreter with geopointseg is set. Run 'Set up geopointseg'", reason
        )
        for name in ("checkenvironment", "createenvironment"):
            self.assertTrue(algorithm(name).canExecute()[0])

    def test_a_missing_interpreter_is_named(self):
        set_interpreter("/nowhere/bin/python")
        able, reason = algorithm("predictmap").canExecute()
        self.assertFalse(able)
        self.assertIn("/nowhere/bin/python does not exist", reason)

    def test_an_environment_folder_or_the_command_will_do(self):
        made = self.folder / "bin" / "python"
        made.parent.mkdir()
        for name in ("python", "geopointseg"):
            made.with_name(name).write_text("#!/bin/sh\n")
            made.with_name(name).chmod(0o755)
        for chosen in (self.folder, made, made.with_name("geopointseg")):
            set_interpreter(str(chosen))
            self.assertEqual(interpreter.current(), str(made))
            self.assertEqual(algorithm("trainmodel").canExecute(), (True, ""))

    def test_the_variable_serves_where_no_option_is_set(self):
        with mock.patch.dict(os.environ, {"GEOPOINTSEG_PYTHON": "/usr/bin/python9"}):
            self.assertEqual(interpreter.current(), "/usr/bin/python9")
            set_interpreter("/elsewhere/python")
            self.assertEqual(interpreter.current(), "/elsewhere/python")

    def test_the_setting_is_in_the_processing_options(self):
        self.assertIn(interpreter.SETTING, ProcessingConfig.settings)
        ProcessingConfig.setSettingValue(interpreter.SETTING, sys.executable)
        self.addCleanup(ProcessingConfig.setSettingValue, interpreter.SETTING, "")
        self.assertEqual(interpreter.current(), sys.executable)

    def test_temporary_outputs_have_the_right_kind_of_file(self):
        call = self.fake("succeeds")
        results, _ = run("simulatepoints", {"MASK": self.raster, "OUTPUT": "TEMPORARY_OUTPUT"})
        self.assertTrue(results["OUTPUT"].endswith(".gpkg"), results)
        self.assertTrue(results["OUTPUT"].startswith(QgsProcessingUtils.tempFolder()))
        self.assertTrue(call.exists())

    def test_a_temporary_layer_is_loaded_once(self):
        self.fake("succeeds")
        context = QgsProcessingContext()
        context.setProject(QgsProject.instance())
        wanted = QgsProcessingOutputLayerDefinition("TEMPORARY_OUTPUT", QgsProject.instance())
        given = {"MODEL": str(self.folder), "RASTER": self.raster, "OUTPUT": wanted}
        results, feedback = run("predictmap", given, context=context)
        self.assertIsNotNone(results, feedback.errors)
        self.assertEqual(list(context.layersToLoadOnCompletion()), [results["OUTPUT"]])
        self.assertNotIn("UNCERTAINTY", results)

    def test_numbers_and_choices_may_come_as_text(self):
        call = self.fake("succeeds")
        mask = str(make_raster(self.folder / "mask.tif", bands=1))
        given = {
            "MASK": mask,
            "PER_CLASS": "25",
            "PLACEMENT": "boundary",
            "MIN_DISTANCE": "2.5",
            "SEED": "4",
        }
        results, feedback = run("simulatepoints", {**given, "OUTPUT": str(self.folder / "o.gpkg")})
        self.assertIsNotNone(results, feedback.errors)
        arguments = json.loads(call.read_text())["arguments"]
        for option, value in {
            "--per-class": "25", "--placement": "boundary", "--min-distance-m": "2.5", "--seed": "4",
        }.items():  # fmt: skip
            self.assertEqual(arguments[arguments.index(option) + 1], value)

    def test_it_speaks_german(self):
        compiled = self.folder / "geopointseg_de.qm"
        source = REPOSITORY / "qgis_plugin" / "i18n" / "geopointseg_de.ts"
        if QProcess.execute("lrelease", ["-silent", str(source), "-qm", str(compiled)]) != 0:
            self.skipTest("Qt's lrelease is not installed")
        translator = QTranslator()
        self.assertTrue(translator.load(str(compiled)))
        QCoreApplication.installTranslator(translator)
        self.addCleanup(QCoreApplication.removeTranslator, translator)
        train = algorithm("trainmodel")
        self.assertEqual(train.displayName(), "3.1 Modell trainieren")
        self.assertEqual(
            train.parameterDefinition("MINUTES").description(), "Längste Trainingszeit (Minuten)"
        )
        self.assertIn("Es ist kein Python-Interpreter", train.canExecute()[1])

    def test_unloading_takes_everything_away(self):
        registry = QgsApplication.processingRegistry()
        PLUGIN.unload()
        self.addCleanup(PLUGIN.initProcessing)
        self.assertIsNone(registry.providerById("geopointseg"))
        self.assertNotIn(interpreter.SETTING, ProcessingConfig.settings)


if __name__ == "__main__":
    unittest.main()
