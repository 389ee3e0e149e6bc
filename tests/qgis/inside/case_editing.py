"""A point layer that is being edited in QGIS while other processes read it."""

import json
import os
import shutil
import sqlite3
import subprocess
import time
import unittest
from collections import Counter
from contextlib import closing
from pathlib import Path

from qgis.core import QgsFeature, QgsGeometry, QgsProject, QgsVectorLayer

from support import QgisTestCase

GROUND = Path(os.environ.get("GEOPOINTSEG_TEST_GROUND", "/nowhere"))
WRITE_AHEAD, PER_CLASS, MOST_SAVED = b"\2\2", 20, 100


@unittest.skipUnless(
    GROUND.exists(), "GEOPOINTSEG_TEST_GROUND names no folder with scene and points"
)
class EditingTest(QgisTestCase):
    """QGIS writes edits when they are saved, and then merges its write-ahead log into the file."""

    has_transaction = False

    def setUp(self):
        super().setUp()
        QgsProject.instance().setAutoTransaction(self.has_transaction)
        self.path = self.folder / "points.gpkg"
        shutil.copyfile(GROUND / "points.gpkg", self.path)
        self.layer = QgsVectorLayer(str(self.path), "the points", "ogr")
        QgsProject.instance().addMapLayer(self.layer)
        self.places = {f["class"]: QgsGeometry(f.geometry()) for f in self.layer.getFeatures()}
        self.codes = sorted(self.places)
        self.assertTrue(self.layer.startEditing())

    def add(self):
        """Draw one more point of each class in the session, where there is one."""
        for code, place in self.places.items():
            feature = QgsFeature(self.layer.fields())
            feature.setGeometry(QgsGeometry(place))
            feature["class"] = code
            self.assertTrue(self.layer.addFeature(feature))

    def files(self):
        """Return the content of the file and of its write-ahead log, which is empty if there is none."""
        log = Path(f"{self.path}-wal")
        return self.path.read_bytes(), log.read_bytes() if log.exists() else b""

    def start(self, *arguments):
        process = subprocess.Popen(
            [os.environ["GEOPOINTSEG_TEST_PYTHON"], "-P", "-m", "geopointseg", *map(str, arguments), "--json", "--progress", "none"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.addCleanup(process.kill)
        return process

    def result(self, process):
        out, told = process.communicate(timeout=300)
        self.assertEqual(process.returncode, 0, told)
        return json.loads(out)

    def checked(self):
        """Return the number of points of each class that ``points check`` finds."""
        process = self.start("points", "check", self.path, "--raster", GROUND / "scene.tif")
        return [row["points"] for row in self.result(process)["classes"]]

    def close(self):
        """End the session without saving, close the layer, and return the points of each class in the file."""
        self.assertTrue(self.layer.rollBack())
        QgsProject.instance().clear()
        self.layer = None
        self.assertEqual(
            [path.name for path in self.folder.glob("points*")], [self.path.name], "a log is left"
        )
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as database:
            self.assertEqual(database.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
            found = Counter(code for (code,) in database.execute("SELECT class FROM points"))
        return [found[code] for code in self.codes]

    def test_edits_are_read_once_they_are_saved(self):
        self.add()
        self.assertEqual(self.files()[0][18:20], WRITE_AHEAD)
        self.assertEqual(self.checked(), [PER_CLASS] * len(self.codes), "what was not saved")
        self.assertTrue(self.layer.commitChanges(False), self.layer.commitErrors())
        self.add()
        before = self.files()
        self.assertEqual(bool(before[1]), self.has_transaction)
        expected = [PER_CLASS + 1] * len(self.codes)
        self.assertEqual(self.checked(), expected, "what was saved, and no more")
        self.assertEqual(self.files(), before, "reading changed the file")
        self.assertEqual(self.close(), expected)

    def test_each_process_reads_one_state_while_points_are_saved(self):
        model, saved = self.folder / "model", 0
        scene = GROUND / "scene.tif"
        training = self.start(
            "train", scene, "--points", self.path, "--model", "forest", "--config", GROUND / "quick.toml", "-o", model,
        )  # fmt: skip
        checking = self.start("points", "check", self.path, "--raster", scene)
        while training.poll() is None or checking.poll() is None:
            time.sleep(0.2)
            if saved < MOST_SAVED:
                self.add()
                self.assertTrue(self.layer.commitChanges(), self.layer.commitErrors())
                self.assertTrue(self.layer.startEditing())
                saved += 1
        self.result(training)
        trained = json.loads((model / "model.json").read_text())["points"]["per_class"]
        checked = [row["points"] for row in self.result(checking)["classes"]]
        for counts in (list(trained.values()), checked):
            self.assertEqual(len(counts), len(self.codes))
            self.assertEqual(len(set(counts)), 1, "a part of what was saved at once")
            self.assertIn(counts[0], range(PER_CLASS, PER_CLASS + saved + 1))
        self.assertEqual(self.close(), [PER_CLASS + saved] * len(self.codes))


class TransactionTest(EditingTest):
    """QGIS writes each edit at once into a transaction; what was saved stays in the write-ahead log until the session ends."""

    has_transaction = True


if __name__ == "__main__":
    unittest.main()
