"""Layers as QGIS users have them: selected, in memory, edited, oddly named, without CRS, from a server."""

import json
import os
import tempfile
import unittest
from pathlib import Path

from qgis.core import (
    QgsFeature,
    QgsGeometry,
    QgsPointXY,
    QgsProcessingContext,
    QgsProcessingFeatureSourceDefinition,
    QgsProject,
    QgsRasterLayer,
    QgsVectorFileWriter,
    QgsVectorLayer,
)

from support import COLOURS, Feedback, QgisTestCase, make_points, make_raster, run


class InputsTest(QgisTestCase):
    def setUp(self):
        super().setUp()
        self.call = self.fake("succeeds")

    def train(self, points, rasters=None, field="cover", **more):
        """Run 'Train model' with the fake; return (call, feedback)."""
        if isinstance(points, QgsVectorLayer):
            QgsProject.instance().addMapLayer(points)
        parameters = {
            "RASTER": rasters[0] if rasters else self.raster, "MORE_RASTERS": (rasters or [])[1:], "POINTS": points, "CLASS_FIELD": field,
            "OUTPUT": str(self.folder / "model"), **more,
        }  # fmt: skip
        results, feedback = run("trainmodel", parameters)
        return (json.loads(self.call.read_text()) if results is not None else None), feedback

    def exported(self, call):
        (points,) = call["points"].values()
        return points

    def test_a_memory_layer_with_colliding_ids(self):
        call, feedback = self.train(make_points(count=6))
        points = self.exported(call)
        self.assertEqual(len(points["rows"]), 6, feedback.errors)
        self.assertEqual(points["columns"], ["row_of_points", "geom", "cover", "fid"])
        self.assertEqual(points["rows"][0][1:], ["forest", 7])
        arguments = call["arguments"]
        self.assertEqual(arguments[:2], ["train", str(self.folder / "scene.tif")])
        self.assertEqual(arguments[arguments.index("--class-field") + 1], "cover")

    def test_only_selected_features(self):
        layer = make_points(count=6)
        layer.selectByIds([1, 2])
        QgsProject.instance().addMapLayer(layer)
        call, _ = self.train(
            QgsProcessingFeatureSourceDefinition(layer.id(), selectedFeaturesOnly=True)
        )
        self.assertEqual(len(self.exported(call)["rows"]), 2)

    def test_selected_features_when_none_is_selected(self):
        layer = make_points("plots")
        QgsProject.instance().addMapLayer(layer)
        call, feedback = self.train(
            QgsProcessingFeatureSourceDefinition(layer.id(), selectedFeaturesOnly=True)
        )
        self.assertIsNone(call)
        self.assertIn(
            "Layer 'plots' gives nothing: it is empty, or only selected", feedback.errors[0]
        )

    def test_unsaved_edits_are_used_and_mentioned(self):
        layer = make_points(count=3)
        layer.startEditing()
        feature = QgsFeature(layer.fields())
        feature.setGeometry(QgsGeometry.fromPointXY(QgsPointXY(500100, 4999900)))
        feature.setAttributes(["water", 1])
        layer.addFeature(feature)
        call, feedback = self.train(layer)
        self.assertEqual(len(self.exported(call)["rows"]), 4)
        self.assertIn("Layer 'points' has unsaved edits", feedback.warnings[0])
        layer.rollBack()

    def test_a_beginning_with_many_classes_is_no_field_of_numbers(self):
        for classes, points, refused in (
            (19, 19, False),
            (40, 100, False),
            (40, 40, True),
            (200, 210, True),
        ):
            layer = make_points(count=points)
            index, provider = layer.fields().indexOf("cover"), layer.dataProvider()
            names = {f.id(): {index: f"c{i % classes}"} for i, f in enumerate(layer.getFeatures())}
            provider.changeAttributeValues(names)
            call, feedback = self.train(layer)
            self.assertIs(call is None, refused, (classes, points))
            if refused:
                self.assertIn(
                    f"has {classes} different values in {points} points", feedback.errors[0]
                )

    def test_odd_layer_names(self):
        for name in ("my points", "Größe \"x\" 'y'", "gpkg_points", "点", "a" * 200, ""):
            with self.subTest(name=name):
                call, feedback = self.train(make_points(name))
                self.assertIsNotNone(call, feedback.errors)
                self.assertEqual(len(self.exported(call)["rows"]), 6)

    def test_two_layers_of_one_name(self):
        first, second = make_points("plots", count=3), make_points("plots", count=6)
        QgsProject.instance().addMapLayers([first, second])
        for layer, count in ((first, 3), (second, 6)):
            call, _ = self.train(layer.id())
            self.assertEqual(len(self.exported(call)["rows"]), count)

    def test_two_rasters_of_one_name(self):
        other = self.folder / "other"
        other.mkdir()
        twin = QgsRasterLayer(str(make_raster(other / "scene.tif")), "scene")
        call, _ = self.train(make_points(), [self.raster, twin])
        self.assertEqual(call["arguments"][1:3], [self.raster.source(), twin.source()])

    def test_points_without_crs(self):
        call, feedback = self.train(make_points("plots", crs=""))
        self.assertIsNone(call)
        self.assertIn("Layer 'plots' has no CRS. Points need one", feedback.errors[0])
        self.assertIn("Assign projection", feedback.errors[0])

    def test_raster_without_crs(self):
        bare = QgsRasterLayer(str(make_raster(self.folder / "bare.tif", crs=0)), "bare")
        call, feedback = self.train(make_points(), [bare])
        self.assertIsNone(call)
        self.assertIn("Raster 'bare' has no CRS", feedback.errors[0])

    def test_a_raster_that_only_qgis_reads(self):
        virtual = QgsRasterLayer(
            "?crs=EPSG:32633&extent=500000,4999600,500400,5000000&width=40&height=40&formula=%22scene@1%22"
            f"&scene:uri={self.raster.source()}&scene:provider=gdal",
            "from a server",
            "virtualraster",
        )
        self.assertTrue(virtual.isValid())
        QgsProject.instance().addMapLayer(virtual)
        call, feedback = self.train(make_points(), [virtual])
        self.assertIsNone(call)
        self.assertIn(
            "Raster 'from a server' comes from the provider 'virtualraster', which only QGIS can read",
            feedback.errors[0],
        )
        self.assertIn("as a GeoTIFF", feedback.errors[0])

    def test_the_style_travels_beside_the_points(self):
        call, feedback = self.train(make_points(), field=None)
        style = self.exported(call)["style"]
        for name in COLOURS:
            self.assertIn(name.replace("&", "&amp;"), style)
        self.assertIn("categorizedSymbol", style)
        self.assertEqual(feedback.warnings, ["Class 'water' has 3 points only."])
        arguments = call["arguments"]
        self.assertEqual(
            arguments[arguments.index("--class-field") + 1], "cover", "taken from the style"
        )

    def test_a_style_by_another_field_is_left_and_mentioned(self):
        call, feedback = self.train(make_points(), field="fid")
        self.assertEqual(self.exported(call)["style"], "")
        self.assertIn(
            "Layer 'points' is styled by 'cover', its classes are in 'fid'", feedback.warnings[0]
        )

    def test_a_style_saved_in_a_geopackage_travels_too(self):
        path = str(self.folder / "survey.gpkg")
        options = QgsVectorFileWriter.SaveVectorOptions()
        options.layerOptions = ["FID=id"]
        layer = make_points()
        QgsVectorFileWriter.writeAsVectorFormatV3(
            layer, path, QgsProject.instance().transformContext(), options
        )
        saved = QgsVectorLayer(path, "saved", "ogr")
        saved.setRenderer(layer.renderer().clone())
        saved.saveStyleToDatabase("style", "", True, "")
        call, _ = self.train(path, field=None)
        self.assertIn("categorizedSymbol", self.exported(call)["style"])
        self.assertNotEqual(
            list(call["points"]), [path], "QGIS's open file was not handed to the child"
        )

    def test_relative_paths_mean_the_same_in_the_child(self):
        here = Path.cwd()
        self.addCleanup(os.chdir, here)
        os.chdir(self.folder)
        call, _ = self.train(
            make_points(), ["scene.tif"], OUTPUT="new model", CONFIG="settings.toml"
        )
        arguments = call["arguments"]
        self.assertEqual(arguments[1], str(self.folder / "scene.tif"))
        self.assertEqual(arguments[arguments.index("--output") + 1], str(self.folder / "new model"))
        self.assertEqual(
            arguments[arguments.index("--config") + 1], str(self.folder / "settings.toml")
        )

    def test_an_extent_becomes_a_polygon(self):
        for extent in (
            "500000,500200,4999800,5000000 [EPSG:32633]",
            "500000,500200,4999800,5000000",
        ):
            parameters = {
                "MODEL": str(self.folder), "RASTER": self.raster, "OUTPUT": str(self.folder / "map.tif"),
                "EXTENT": extent,
            }  # fmt: skip
            results, feedback = run("predictmap", parameters)
            self.assertIsNotNone(results, feedback.errors)
            call = json.loads(self.call.read_text())
            arguments = call["arguments"]
            self.assertIn(arguments[arguments.index("--aoi") + 1], call["points"])
            self.assertEqual(len(self.exported(call)["rows"]), 1)
            self.assertEqual(self.exported(call)["crs"], 32633)

    def test_bands_are_numbers_after_each_other(self):
        for chosen, said in (([1, 3], "1,3"), ("2;3", "2,3"), (2, "2")):
            call, feedback = self.train(make_points(), BANDS=chosen)
            self.assertIsNotNone(call, feedback.errors)
            arguments = call["arguments"]
            self.assertEqual(arguments[arguments.index("--bands") + 1], said)

    def test_a_model_may_be_named_by_its_json(self):
        model = self.folder / "my model"
        model.mkdir()
        (model / "model.json").write_text("{}")
        parameters = {
            "MODEL": str(model), "MORE_MODELS": [str(model / "model.json")], "RASTER": self.raster,
            "OUTPUT": str(self.folder / "map.tif"), "COG": False,
        }  # fmt: skip
        results, feedback = run("predictmap", parameters)
        self.assertIsNotNone(results, feedback.errors)
        arguments = json.loads(self.call.read_text())["arguments"]
        self.assertEqual(arguments[:3], ["predict", str(model), str(model)])
        self.assertIn("--no-cog", arguments)

    def test_points_without_a_class_field_of_their_own(self):
        layer = make_points()
        QgsProject.instance().addMapLayer(layer)
        parameters = {
            "MODEL": str(self.folder), "RASTER": self.raster, "POINTS": layer, "OUTPUT": str(self.folder / "n.gpkg"),
        }  # fmt: skip
        results, feedback = run("suggestpoints", parameters)
        self.assertIsNotNone(results, feedback.errors)
        self.assertEqual(len(self.exported(json.loads(self.call.read_text()))["rows"]), 6)

    def test_a_missing_layer(self):
        context = QgsProcessingContext()
        results, feedback = run(
            "checkpoints",
            {"POINTS": "/nowhere.gpkg", "RASTER": self.raster},
            Feedback(),
            context,
        )
        self.assertIsNone(results)
        self.assertIn("/nowhere.gpkg", feedback.errors[0])

    def test_nothing_is_left_in_the_temporary_folder(self):
        before = {entry.name for entry in Path(tempfile.gettempdir()).iterdir()}
        call, _ = self.train(make_points())
        exported = Path(next(iter(call["points"])))
        self.assertFalse(exported.exists())
        self.assertFalse(exported.parent.parent.exists())
        after = {entry.name for entry in Path(tempfile.gettempdir()).iterdir()}
        self.assertNotIn(exported.parent.parent.name, after - before)


if __name__ == "__main__":
    unittest.main()
