"""Layers of QGIS as files that geopointseg can read."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from qgis import core

from .translation import tr
from .wording import advice

FEW_CLASSES = 12  # so many classes may have one point each


def raster_path(layer: core.QgsRasterLayer) -> str:
    """Return the file behind a raster layer; raise where only QGIS can read it."""
    if layer.providerType() != "gdal":
        message = tr(
            "Raster '{name}' comes from the provider '{provider}', which only QGIS can read; geopointseg needs a file. Save it with Export > Save As… as a GeoTIFF (raw data) and choose that layer."
        )
        _refuse(message, name=layer.name(), provider=layer.providerType())
    if not layer.crs().isValid():
        message = tr(
            "Raster '{name}' has no CRS, which is needed to place points and maps on the ground. Give the file one with 'Assign projection' (GDAL) and choose it again."
        )
        _refuse(message, name=layer.name())
    source = layer.source().partition("|")[0]
    return str(Path(source).absolute()) if Path(source).exists() else source


def _refuse(message: str, **found: str) -> None:
    raise core.QgsProcessingException(message.format(**found))


def class_field_of(layer: core.QgsVectorLayer | None) -> str:
    """Return the field that a layer's style is categorized by, or an empty string."""
    renderer = layer.renderer() if layer is not None else None
    if not isinstance(renderer, core.QgsCategorizedSymbolRenderer):
        return ""
    field = renderer.classAttribute().strip().strip('"')
    return field if layer.fields().indexOf(field) >= 0 else ""


def export_features(source: core.QgsFeatureSource, folder: Path) -> Path:
    """Write what a source shows (a selection, a memory layer, unsaved edits) to a GeoPackage.

    Raises
    ------
    QgsProcessingException
        If the layer is empty, has no CRS, or cannot be written.
    """
    name = source.sourceName()
    if source.wkbType() == core.QgsWkbTypes.Type.NoGeometry:
        message = tr(
            "Layer '{name}' is a table without places. Make points of its coordinates with 'Create points layer from table' and choose that layer."
        )
        _refuse(message, name=name)
    if not source.sourceCrs().isValid():
        message = tr(
            "Layer '{name}' has no CRS. Points need one to be placed on the raster. Assign it with 'Assign projection' and run again."
        )
        _refuse(message, name=name)
    if source.featureCount() == 0:
        message = tr(
            "Layer '{name}' gives nothing: it is empty, or only selected features were asked for and none is selected. Add features or clear that option."
        )
        _refuse(message, name=name)
    folder.mkdir(parents=True, exist_ok=True)
    plain = re.sub(r"[^\w .-]", "_", name).strip(" .")[:60] or "points"
    path = folder / f"{plain}.gpkg"
    reason = write_features(source, path, re.sub(r"[\"'\x00-\x1f]", "_", name))
    if reason:
        message = tr("Layer '{name}' could not be written for geopointseg: {reason}.")
        _refuse(message, name=name, reason=f"{reason} {advice(reason)}".strip())
    return path


def write_features(source: core.QgsFeatureSource, path: Path, layer_name: str) -> str:
    """Write the features with their fields as they are; return why not, if not."""
    reserved = layer_name.lower().startswith(("gpkg_", "sqlite_", "rtree_"))
    options = core.QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = "GPKG"
    options.layerName = f"_{layer_name}" if reserved else layer_name or "points"
    options.layerOptions = ["FID=row_of_points", "SPATIAL_INDEX=NO"]
    crs = source.sourceCrs() if hasattr(source, "sourceCrs") else source.crs()
    schema = source.fields(), source.wkbType(), crs
    transforms = core.QgsCoordinateTransformContext()
    writer = core.QgsVectorFileWriter.create(str(path), *schema, transforms, options)
    written = writer.addFeatures([_storable(feature) for feature in source.getFeatures()])
    return writer.errorMessage() or ("" if written else "?")


def _storable(feature: core.QgsFeature) -> core.QgsFeature:
    """Return a feature without values that only its data source can make, such as "Autogenerate".

    A feature that is not saved yet holds a text where the file will number it, or set a date.
    """
    for index, field in enumerate(feature.fields()):
        value = feature.attribute(index)
        if isinstance(value, str) and (field.isNumeric() or field.isDateOrTime()):
            feature.setAttribute(index, value if _is_number(value, field) else None)
    return feature


def _is_number(text: str, field: core.QgsField) -> bool:
    try:
        return field.isNumeric() and float(text) is not None
    except ValueError:
        return False


def class_trouble(layer: core.QgsVectorLayer, field: str) -> str:
    """Return why the values of a field cannot be classes: most occur once; or an empty string."""
    index = layer.fields().indexOf(field) if field else -1
    if index < 0:
        return ""
    counts = Counter(str(feature.attribute(index)) for feature in layer.getFeatures())
    alone = sum(count == 1 for count in counts.values())
    if len(counts) < FEW_CLASSES or 2 * alone <= len(counts):
        return ""
    message = tr(
        "Field '{field}' of layer '{name}' has {classes} different values in {points} points, and most occur only once: it numbers the points and holds no classes. Choose the field with the class."
    )
    found = {"field": field, "name": layer.name(), "classes": len(counts)}
    return message.format(points=sum(counts.values()), **found)


def extent_layer(extent: core.QgsRectangle, crs: Any) -> core.QgsVectorLayer:
    """Return an extent as a layer of one polygon."""
    layer, feature = core.QgsVectorLayer("Polygon", "extent", "memory"), core.QgsFeature()
    layer.setCrs(crs)
    feature.setGeometry(core.QgsGeometry.fromRect(extent))
    layer.dataProvider().addFeature(feature)
    return layer


def export_style(
    layer: core.QgsVectorLayer, field: str, points: Path, feedback: core.QgsProcessingFeedback
) -> None:
    """Write names and colours of the classes beside the points, where the style holds them."""
    styled = class_field_of(layer)
    if layer.isEditable() and layer.isModified():
        message = tr(
            "Layer '{name}' has unsaved edits. The run uses the points as they are on the screen; save them before you close QGIS."
        )
        feedback.pushWarning(message.format(name=layer.name()))
    if styled == field != "":
        layer.saveNamedStyle(str(points.with_suffix(".qml")))
    elif styled:
        message = tr(
            "Layer '{name}' is styled by '{styled}', its classes are in '{field}': the colours are not used. Categorize the layer by '{field}' to choose them."
        )
        feedback.pushWarning(message.format(name=layer.name(), styled=styled, field=field))
