"""A QGIS without a window, a fake interpreter and small layers, for tests that run inside QGIS's Python."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
import time
import unittest
from pathlib import Path

from osgeo import gdal, osr
from qgis.core import (
    QgsApplication,
    QgsCategorizedSymbolRenderer,
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsField,
    QgsGeometry,
    QgsPointXY,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProject,
    QgsRasterLayer,
    QgsRendererCategory,
    QgsSettings,
    QgsSymbol,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QVariant
from qgis.PyQt.QtGui import QColor

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(REPOSITORY))
gdal.UseExceptions()

APPLICATION = QgsApplication([], True)
APPLICATION.initQgis()
sys.path.append(str(Path(QgsApplication.pkgDataPath(), "python", "plugins")))

from processing.core.Processing import Processing
from processing.core.ProcessingConfig import ProcessingConfig  # noqa: F401

Processing.initialize()

from qgis_plugin import interpreter, runner
from qgis_plugin.plugin import GeopointsegPlugin

PLUGIN = GeopointsegPlugin(None)
PLUGIN.initProcessing()
FAKE = Path(__file__).with_name("fake_interpreter.py")
COLOURS = {"forest": "#1b7837", "water": "#2166ac", "Äcker & Wiesen": "#e08214"}


class Feedback(QgsProcessingFeedback):
    """Remembers what an algorithm says; may cancel at a word."""

    def __init__(self, cancel_at: str = "") -> None:
        super().__init__(False)
        self.lines: list[str] = []
        self.warnings: list[str] = []
        self.errors: list[str] = []
        self.seen: list[float] = []
        self.cancel_at = cancel_at
        self.progressChanged.connect(self.seen.append)

    def _add(self, text: str) -> None:
        self.lines.append(text)
        if self.cancel_at and self.cancel_at in text:
            self.cancel()

    def pushInfo(self, text: str) -> None:
        self._add(text)

    pushCommandInfo = pushConsoleInfo = pushDebugInfo = setProgressText = pushInfo

    def pushWarning(self, text: str) -> None:
        self.warnings.append(text)

    def reportError(self, text: str, fatalError: bool = False) -> None:
        self.errors.append(text)


def algorithm(name: str):
    """Return a fresh algorithm of the provider."""
    return QgsApplication.processingRegistry().algorithmById(f"geopointseg:{name}").create()


def run(name: str, parameters: dict, feedback: Feedback | None = None, context=None):
    """Run an algorithm as QGIS does; return (results or None, feedback)."""
    feedback = feedback or Feedback()
    context = context or QgsProcessingContext()
    if context.project() is None:
        context.setProject(QgsProject.instance())
    results, ok = algorithm(name).run(parameters, context, feedback)
    return (results if ok else None), feedback


def make_raster(path: Path, *, crs: int = 32633, size: int = 40, bands: int = 3) -> Path:
    """Write a small GeoTIFF whose pixels count up."""
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), size, size, bands, gdal.GDT_Byte)
    dataset.SetGeoTransform((500000, 10, 0, 5000000, 0, -10))
    if crs:
        reference = osr.SpatialReference()
        reference.ImportFromEPSG(crs)
        dataset.SetProjection(reference.ExportToWkt())
    for band in range(1, bands + 1):
        rows = [bytes((row * size + col) % 251 for col in range(size)) for row in range(size)]
        dataset.GetRasterBand(band).WriteRaster(0, 0, size, size, b"".join(rows))
    del dataset
    return path


def make_points(name: str = "points", *, crs: str = "EPSG:32633", count: int = 6) -> QgsVectorLayer:
    """Return a memory layer of points with text classes, styled by class."""
    layer = QgsVectorLayer("Point", name, "memory")
    layer.setCrs(QgsCoordinateReferenceSystem(crs) if crs else QgsCoordinateReferenceSystem())
    layer.dataProvider().addAttributes(
        [QgsField("cover", QVariant.String), QgsField("fid", QVariant.Int)]
    )
    layer.updateFields()
    for number in range(count):
        feature = QgsFeature(layer.fields())
        feature.setGeometry(
            QgsGeometry.fromPointXY(QgsPointXY(500005 + 30 * number, 4999995 - 30 * number))
        )
        feature.setAttributes([list(COLOURS)[number % len(COLOURS)], 7])
        layer.dataProvider().addFeature(feature)
    layer.updateExtents()
    categorize(layer, "cover")
    return layer


def categorize(layer: QgsVectorLayer, field: str) -> None:
    """Style a layer by its classes."""
    categories = []
    for value, colour in COLOURS.items():
        symbol = QgsSymbol.defaultSymbol(layer.geometryType())
        symbol.setColor(QColor(colour))
        categories.append(QgsRendererCategory(value, symbol, value))
    layer.setRenderer(QgsCategorizedSymbolRenderer(field, categories))


def set_interpreter(path: str) -> None:
    """Set the interpreter without the options dialog's own checks."""
    QgsSettings().setValue(interpreter.KEY, path)


def processes_of(word: str) -> list[str]:
    """Return the command lines of processes that contain a word and do not end within some seconds."""
    for _ in range(50):
        found = _running(word)
        if not found:
            break
        time.sleep(0.1)
    return found


def _running(word: str) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if word in line and int(entry.parent.name) != os.getpid():
            found.append(line)
    return found


class QgisTestCase(unittest.TestCase):
    """A temporary folder, a short grace time and a fake interpreter for every test."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gps-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.addCleanup(QgsProject.instance().clear)
        self.addCleanup(QgsSettings().remove, interpreter.KEY)
        os.environ.pop("GEOPOINTSEG_PYTHON", None)
        runner.GRACE_SECONDS = 1.0
        self.raster = QgsRasterLayer(str(make_raster(self.folder / "scene.tif")), "scene")

    def fake(self, mode: str, script: Path = FAKE) -> Path:
        """Set an interpreter that behaves in one way; return the file that it writes its call to."""
        path = self.folder / mode / "python"
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            f"#!{sys.executable}\n" + script.read_text(encoding="utf-8"), encoding="utf-8"
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        set_interpreter(str(path))
        return path.parent / "call.json"
