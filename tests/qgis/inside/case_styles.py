"""Results arrive styled: ramps beside the file, styles on the layers that QGIS loads."""

import gc
import unittest
import weakref

from osgeo import gdal
from qgis.core import (
    QgsProcessingContext,
    QgsProcessingUtils,
    QgsProject,
    QgsRasterLayer,
    QgsSingleBandPseudoColorRenderer,
)
from qgis_plugin import styles

from support import Feedback, QgisTestCase, algorithm, make_raster


class StylesTest(QgisTestCase):
    def test_a_ramp_lies_beside_a_raster_of_quantities(self):
        path = make_raster(self.folder / "entropy.tif", bands=1)
        styles.write_ramp(str(path))
        layer = QgsRasterLayer(str(path), "entropy")
        layer.loadDefaultStyle()
        renderer = layer.renderer()
        self.assertIsInstance(renderer, QgsSingleBandPseudoColorRenderer)
        items = renderer.shader().rasterShaderFunction().colorRampItemList()
        self.assertEqual([items[0].value, items[-1].value], [0.0, 250.0])
        self.assertEqual(items[0].color.name(), "#440154")
        self.assertEqual(items[-1].color.name(), "#fde725")

    def test_entropy_is_shown_where_a_raster_has_it(self):
        path = make_raster(self.folder / "uncertainty.tif")
        dataset = gdal.Open(str(path), gdal.GA_Update)
        for number, name in enumerate(("confidence", "entropy", "margin"), 1):
            dataset.GetRasterBand(number).SetDescription(name)
        del dataset
        styles.write_ramp(str(path))
        layer = QgsRasterLayer(str(path), "uncertainty")
        layer.loadDefaultStyle()
        self.assertEqual(layer.renderer().band(), 2)

    def test_a_style_that_is_there_stays(self):
        path = make_raster(self.folder / "entropy.tif", bands=1)
        path.with_suffix(".qml").write_text("mine")
        styles.write_ramp(str(path))
        self.assertEqual(path.with_suffix(".qml").read_text(), "mine")

    def test_no_raster_no_ramp(self):
        styles.write_ramp(str(self.folder / "nothing.tif"))
        self.assertFalse((self.folder / "nothing.qml").exists())

    def test_a_loaded_result_gets_the_style_beside_its_file(self):
        path = str(make_raster(self.folder / "entropy.tif", bands=1))
        context = QgsProcessingContext()
        details = QgsProcessingContext.LayerDetails(
            "Uncertainty", QgsProject.instance(), "UNCERTAINTY"
        )
        context.addLayerToLoadOnCompletion(path, details)
        run = algorithm("predictmap")
        run.dress("ramp_out", path, context)
        del run
        gc.collect()
        layer = QgsProcessingUtils.mapLayerFromString(path, context)
        self.assertNotIsInstance(layer.renderer(), QgsSingleBandPseudoColorRenderer)
        context.layerToLoadOnCompletionDetails(path).postProcessor().postProcessLayer(
            layer, context, Feedback()
        )
        self.assertIsInstance(layer.renderer(), QgsSingleBandPseudoColorRenderer)

    def test_uncertainty_does_not_hide_the_map(self):
        context = QgsProcessingContext()
        context.setProject(QgsProject.instance())
        for shown in (True, False):
            path = make_raster(self.folder / f"shown {shown}.tif", bands=1)
            layer = QgsRasterLayer(str(path), "result")
            QgsProject.instance().addMapLayer(layer)
            styles.StyleLoader(shown=shown).postProcessLayer(layer, context, Feedback())
            node = QgsProject.instance().layerTreeRoot().findLayer(layer.id())
            self.assertIs(node.itemVisibilityChecked(), shown)

    def test_the_loader_outlives_its_algorithm(self):
        loader = weakref.ref(styles.StyleLoader(shown=True))
        gc.collect()
        self.assertIsNotNone(loader())


if __name__ == "__main__":
    unittest.main()
