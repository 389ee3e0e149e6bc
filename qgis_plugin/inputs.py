"""Layers of QGIS as files that geopointseg can read."""

from __future__ import annotations

import html
import re
from collections import Counter
from pathlib import Path
from typing import Any

from qgis import core

from .tasks import load_table
from .translation import refuse, say
from .wording import advice

STANDS_FOR = re.compile('<MDI key="GEOPOINTSEG_SCENE">(.*?)</MDI>')
COPY = ("FID=row_of_points", "SPATIAL_INDEX=NO")
FEW_CLASSES, FEW_POINTS = 20, 1.5  # so many classes, and points a class, are a beginning


def scene_of(value: Any) -> str:
    """Return the file or folder that a text names and that only the library opens, or an empty string.

    A file that belongs to a Zarr store or to ``quantization.json`` stands for its folder.
    """
    path = Path(value).absolute() if isinstance(value, str) and value.strip() else Path("/nowhere")
    if not path.is_dir() and not (path.is_file() and path.suffix.lower() in (".npy", ".json")):
        return ""
    store = next((parent for parent in (path, *path.parents) if parent.suffix == ".zarr"), path)
    return str(store.parent if store.name == "quantization.json" else store)


def raster_path(layer: core.QgsRasterLayer | str) -> str:
    """Return the scene that an answer names, or the file behind a raster layer; raise where only QGIS can read it."""
    if isinstance(layer, str):
        return scene_of(layer)
    if layer.providerType() != "gdal":
        refuse("raster_of_qgis_only", name=layer.name(), provider=layer.providerType())
    if not layer.crs().isValid():
        refuse("raster_without_crs", name=layer.name())
    source = layer.source().partition("|")[0]
    if source.lower().endswith(".vrt") and Path(source).is_file():
        stands_for = STANDS_FOR.search(Path(source).read_text(encoding="utf-8", errors="replace"))
        source = html.unescape(stands_for[1]) if stands_for else source
    return str(Path(source).absolute()) if Path(source).exists() else source


def layer_of_scene(scene: str, news: dict[str, Any], path: Path) -> core.QgsRasterLayer:
    """Write a virtual raster without pixels, so that what lies below it stays in sight, and return it as a layer."""
    (left, bottom, right, top), width, height = news["bounds"], news["width"], news["height"]
    steps = {"x": left, "wide": (right - left) / width, "y": top, "high": (top - bottom) / height}
    named = {"crs": html.escape(news["crs"]), "scene": html.escape(scene), "width": width, "height": height}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(load_table("panel.json")["place"].format(**steps, **named), encoding="utf-8")
    return core.QgsRasterLayer(str(path), Path(scene).stem)


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
        refuse("layer_without_places", name=name)
    if not source.sourceCrs().isValid():
        refuse("layer_without_crs", name=name)
    if source.featureCount() == 0:
        refuse("layer_empty", name=name)
    folder.mkdir(parents=True, exist_ok=True)
    plain = re.sub(r"[^\w .-]", "_", name).strip(" .")[:60] or "points"
    path = folder / f"{plain}.gpkg"
    reason = write_features(source, path, re.sub(r"[\"'\x00-\x1f]", "_", name))
    if reason:
        refuse("layer_not_written", name=name, reason=f"{reason} {advice(reason)}".strip())
    return path


def write_features(source: core.QgsFeatureSource, path: Path, layer_name: str, creation: tuple[str, ...] = COPY) -> str:
    """Write the features with their fields as they are; return why not, if not."""
    reserved = layer_name.lower().startswith(("gpkg_", "sqlite_", "rtree_"))
    options = core.QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = "GPKG"
    options.layerName = f"_{layer_name}" if reserved else layer_name or "points"
    options.layerOptions = list(creation)
    crs = source.sourceCrs() if hasattr(source, "sourceCrs") else source.crs()
    schema = source.fields(), source.wkbType(), crs, core.QgsCoordinateTransformContext()
    writer = core.QgsVectorFileWriter.create(str(path), *schema, options)
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
    if len(counts) < FEW_CLASSES or sum(counts.values()) > FEW_POINTS * len(counts):
        return ""
    found = {"classes": len(counts), "points": sum(counts.values())}
    return say("field_of_numbers", field=field, name=layer.name(), **found)


def layer_of_one(kind: str, crs: Any, geometry: core.QgsGeometry, attributes: Any = ()) -> core.QgsVectorLayer:
    """Return a layer in memory, of a kind such as ``Polygon`` with its fields, that holds one feature."""
    layer, feature = core.QgsVectorLayer(kind, "extent", "memory"), core.QgsFeature()
    layer.setCrs(crs)
    feature.setGeometry(geometry)
    feature.setAttributes(list(attributes))
    layer.dataProvider().addFeature(feature)
    return layer


def export_style(layer: core.QgsVectorLayer, field: str, points: Path, feedback: core.QgsProcessingFeedback) -> None:
    """Write names and colours of the classes beside the points, where the style holds them."""
    styled = class_field_of(layer)
    if layer.isEditable() and layer.isModified():
        feedback.pushWarning(say("layer_unsaved", name=layer.name()))
    if styled == field != "":
        layer.saveNamedStyle(str(points.with_suffix(".qml")))
    elif styled:
        feedback.pushWarning(say("layer_styled_otherwise", name=layer.name(), styled=styled, field=field))
