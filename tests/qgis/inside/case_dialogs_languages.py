"""Every form in English and in German: Run is pressed in one after the other, as in a mapper's work."""

import shutil
import unittest
from pathlib import Path

from qgis.core import QgsProject, QgsVectorLayer
from qgis_plugin import memory

from dialogs import German, GroundTestCase, open_dialog, run_dialog

HAS_LRELEASE = shutil.which("lrelease") is not None


class LanguagesTest(GroundTestCase):
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
            more = {"REFERENCE": memory.recall("MAP")} if name == "assessraster" else {}
            told = run_dialog(name, **more)
            self.assertTrue(told.ok, told.log)
            self.assertIn(next_word, told.log)
        test = QgsVectorLayer(str(self.folder / "test.gpkg"), "independent", "ogr")
        QgsProject.instance().addMapLayer(test)
        told = run_dialog("assessmap", POINTS=test.id(), MAP=memory.recall("MAP"))
        self.assertTrue(told.ok, told.log)
        self.assertIn(next_word, told.results["SUMMARY"])
        self.assertEqual(Path(told.results["REPORT"]).name, expected["report"])
        report = Path(told.results["REPORT"]).read_text(encoding="utf-8")
        self.assertIn(f"<title>Accuracy of {map_name}", report)
        self.assertIn("independent", report)
        for file in ("land_cover.tif", "independent.gpkg", "qt_temp"):
            self.assertNotIn(file, report)
        told = run_dialog("splitpoints", POINTS=self.points.id())
        self.assertTrue(told.ok, told.log)
        asked = open_dialog("assessmap").createProcessingParameters()
        self.assertEqual(asked["POINTS"], memory.recall("TEST"))
        asked = open_dialog("trainmodel").createProcessingParameters()
        self.assertEqual(asked["POINTS"], memory.recall("POINTS"))
        kept = [
            QgsProject.instance().mapLayer(memory.recall(key)).name() for key in ("POINTS", "TEST")
        ]
        self.assertEqual(kept, expected["parts"])
        told = run_dialog("matchhistogram", RASTER=self.scene.id(), REFERENCES=[self.scene.id()])
        self.assertTrue(told.ok, told.log)
        told = run_dialog("checkenvironment")
        self.assertIs(told.results["READY"], True, told.log)
        told = run_dialog("loaddemo")
        self.assertTrue(told.ok, told.log)
        return self.order()

    def test_in_english(self):
        expected = {"map": "Land cover of Auwald 2024", "report": "Accuracy of Land cover of Auwald 2024.html",
            "check": "160 points were checked: they can be used", "parts": ["my plots, training", "my plots, test"]}  # fmt: skip
        names = self.walk("Next:", expected)
        for name in (
            "my plots, training",
            "my plots, test",
            "Auwald 2024, matched",
            "Demo points",
            "Demo scene",
        ):
            self.assertIn(name, names)
        self.assertLess(names.index("Demo points"), names.index("Demo scene"))

    @unittest.skipUnless(HAS_LRELEASE, "Qt's lrelease is not installed")
    def test_in_german(self):
        expected = {"map": "Landbedeckung von Auwald 2024", "report": "Genauigkeit von Landbedeckung von Auwald 2024.html",
            "check": "160 Punkte wurden geprüft: Sie sind brauchbar", "parts": ["my plots, Training", "my plots, Test"]}  # fmt: skip
        with German(self.folder):
            names = self.walk("Als Nächstes:", expected)
        self.assertIn("my plots, Training", names)


if __name__ == "__main__":
    unittest.main()
