"""Layers of points as the panel uses them: classes, counts, new points, and what prevents them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from qgis import core

from . import inputs
from .tasks import load_table
from .translation import tr

CLASS_FIELD, ENOUGH = "class", 20
SPARE = ("#e7298a", "#7570b3", "#d95f02", "#66a61e", "#a6761d", "#1f78b4", "#b2df8a", "#fb9a99")
Layer, Point = core.QgsVectorLayer, core.QgsPointXY


class ClassRow(NamedTuple):
    """One class: its values in the class field, its name, and its colour (empty: none known)."""

    values: tuple[str, ...]
    label: str
    color: str


def text_of(value: Any) -> str:
    """Return an attribute as text; empty for NULL of any version of Qt."""
    return "" if value is None or getattr(value, "isNull", bool)() is True else str(value)


def find_class_field(layer: Layer | None) -> str:
    """Return the field of the style, the only field with a usual name, or the only one possible."""
    if layer is None or inputs.class_field_of(layer):
        return inputs.class_field_of(layer)
    never, kinds = load_table("panel.json")["never_classes"], re.compile("int|str|text|char", re.IGNORECASE)
    usable = [f.name() for f in layer.fields() if f.name().lower() not in never and kinds.search(f.typeName())]
    named = [name for name in usable if name.lower() in load_table("panel.json")["class_fields"]]
    return next((names[0] for names in (named, usable) if len(names) == 1), "")


def class_rows(layer: Layer, field: str, counts: Counter[str]) -> list[ClassRow]:
    """Return the classes of the style, then those that only the points have."""
    rows = []
    if inputs.class_field_of(layer) == field:
        for category in layer.renderer().categories():
            given = category.value() if isinstance(category.value(), list) else [category.value()]
            values = tuple(text_of(value) for value in given if text_of(value))
            if values:
                rows.append(ClassRow(values, category.label(), category.symbol().color().name()))
    known = {value for row in rows for value in row.values}
    rest = sorted(set(counts) - known - {""}, key=lambda text: (len(text) * text.isdigit(), text))
    return rows + [ClassRow((value,), value, "") for value in rest]


def count_classes(layer: Layer, field: str) -> Counter[str]:
    """Count the points of each value, unsaved edits included."""
    index = layer.fields().indexOf(field)
    request = core.QgsFeatureRequest().setFlags(core.QgsFeatureRequest.Flag.NoGeometry)
    features = layer.getFeatures(request.setSubsetOfAttributes([index]))
    return Counter(text_of(feature.attribute(index)) for feature in features)


def summary(rows: list[ClassRow], counts: Counter[str], *, whole: bool) -> str:
    """Say how many points there are; the whole of it with what is missing."""
    counted = [sum(counts[value] for value in row.values) for row in rows]
    found = {"points": sum(counted), "classes": sum(count > 0 for count in counted)}
    texts = [tr("{points} points in {classes} classes.", **found)] if any(counted) else []
    texts += [tr("Without a class: {count}.", count=counts[""])] if whole and counts[""] else []
    few = whole and min(counted, default=ENOUGH) < ENOUGH
    return " ".join(texts + ([tr("Aim at {count} or more in each class.", count=ENOUGH)] if few else []))


def why_unusable(layer: Layer | None, field: str, raster: core.QgsRasterLayer | None) -> str:
    """Return in one sentence why points cannot be used with a raster, or an empty string."""
    if layer is None:
        return tr("There are no points yet. Press 'New…', or choose a point layer.")
    if not layer.crs().isValid():
        text = tr("Layer '{name}' has no CRS. Set it in the layer's properties, under 'Source'.")
    elif not field:
        text = tr("Layer '{name}' has no field that clearly holds the class. Choose the field, or press 'New…' for a layer that has one.")  # fmt: skip
    elif raster is not None and layer.featureCount() > 0 and not overlap(layer, raster):
        text = tr("The points of '{name}' lie nowhere on raster '{raster}'. Choose the raster under the points; if they should lie there, correct the CRS of the layer ({crs}).")  # fmt: skip
    else:
        return ""
    shown = raster.name() if raster is not None else ""
    return text.format(name=layer.name(), raster=shown, crs=layer.crs().authid())


def why_raster_unusable(raster: core.QgsRasterLayer | None) -> str:
    """Return in one sentence why a raster cannot be mapped, or an empty string."""
    if raster is None:
        return tr("There is no image yet. Drag the raster to be mapped into QGIS.")
    try:
        inputs.raster_path(raster)
    except core.QgsProcessingException as reason:
        return str(reason)
    return ""


def why_fixed(layer: Layer) -> str:
    """Return in one sentence why a layer takes no new points, or an empty string."""
    provider = layer.dataProvider()
    if layer.providerType() == "delimitedtext":
        reason = tr("it is a text file, which QGIS cannot edit")
    elif layer.readOnly():
        reason = tr("it is set to read-only")
    elif not provider.capabilities() & core.QgsVectorDataProvider.Capability.AddFeatures:
        reason = tr("its file or database is write-protected")
    else:
        return ""
    text = tr("Layer '{name}' takes no new points: {reason}. Save a copy as GeoPackage with 'Export > Save Features As…' and choose that.")  # fmt: skip
    return text.format(name=layer.name(), reason=reason)


def overlap(layer: Layer, raster: core.QgsRasterLayer) -> bool:
    """Return whether some of the points can lie on the raster."""
    transform = core.QgsCoordinateTransform(layer.crs(), raster.crs(), core.QgsProject.instance())
    try:
        return bool(transform.transformBoundingBox(layer.extent()).intersects(raster.extent()))
    except core.QgsCsException:
        return False


def moved(point: Point, source: Any, target: Any) -> Point | None:
    """Return a point in another CRS, None where it has no place there."""
    if not source.isValid() or source == target:
        return point
    try:
        transform = core.QgsCoordinateTransform(source, target, core.QgsProject.instance())
        return transform.transform(point)
    except core.QgsCsException:
        return None


def beside_raster(place: Point, crs: Any, raster: core.QgsRasterLayer | None) -> str:
    """Return in one sentence that a place lies beside a raster, or an empty string."""
    seen = moved(place, crs, raster.crs()) if raster is not None else None
    if raster is None or (seen is not None and raster.extent().contains(seen)):
        return ""
    return tr("This point lies outside of '{raster}' and cannot be used with it.", raster=raster.name())


def start_editing(layer: Layer, field: str, value: str) -> tuple[int, Any]:
    """Start editing where it is not open; return the class field's index and the value in its type.

    Raises
    ------
    QgsProcessingException
        If the layer cannot be edited, or its field does not take the value.
    """
    index, reason = layer.fields().indexOf(field), why_fixed(layer)
    number = layer.fields().at(index).isNumeric()
    if number and not value.lstrip("-").isdecimal():
        reason = tr("The field '{field}' takes whole numbers only, and '{value}' is none.")
    elif not reason and not layer.isEditable() and not layer.startEditing():
        reason = tr("Layer '{name}' cannot be edited.")
    if reason:
        raise core.QgsProcessingException(reason.format(field=field, value=value, name=layer.name()))
    return index, int(value) if number else value


def in_one_step(layer: Layer, text: str, edit: Any, *values: Any) -> None:
    """Make an edit that is undone as one, and show it."""
    layer.beginEditCommand(text)
    edit(*values)
    layer.endEditCommand()
    layer.triggerRepaint()


def add_point(layer: Layer, field: str, value: str, point: Point | None) -> None:
    """Add a point (in the layer's CRS) of a class as one step that can be undone.

    Raises
    ------
    QgsProcessingException
        If that is not possible.
    """
    if point is None:
        raise core.QgsProcessingException(tr("This place does not exist in the layer's CRS."))
    index, new = start_editing(layer, field, value), core.QgsVectorLayerUtils
    geometry = core.QgsGeometry.fromPointXY(point)
    feature = new.createFeature(layer, geometry, dict([index]))
    in_one_step(layer, tr("Add a point"), layer.addFeatures, new.makeFeatureCompatible(feature, layer))


def change_class(layer: Layer, fid: int, field: str, value: str) -> None:
    """Give a point a class as one step that can be undone; raises as `add_point`."""
    index, typed = start_editing(layer, field, value)
    in_one_step(layer, tr("Set the class of a point"), layer.changeAttributeValue, fid, index, typed)


def category(row: ClassRow, value: Any) -> core.QgsRendererCategory:
    """Return the entry of a categorized style for a class."""
    look = {"name": "circle", "color": row.color, "outline_color": "white", "size": "3.2"}
    return core.QgsRendererCategory(value, core.QgsMarkerSymbol.createSimple(look), row.label)


def add_class(layer: Layer, field: str, name: str, color: str) -> bool:
    """Add a class to the style of a layer, as its user asked; return False where it has no such style."""
    if inputs.class_field_of(layer) != field:
        return False
    renderer = layer.renderer().clone()
    value: Any = name
    if layer.fields().field(field).isNumeric():
        taken = [text_of(c.value()) for c in renderer.categories()]
        value = max((int(float(text)) for text in taken if text), default=0) + 1
    renderer.addCategory(category(ClassRow((str(value),), name, color), value))
    layer.setRenderer(renderer)
    layer.triggerRepaint()
    return True


def make_layer(path: Path, name: str, crs: Any, rows: Sequence[ClassRow]) -> Layer:
    """Make an empty GeoPackage of points, styled by class, and return it as a layer.

    Raises
    ------
    QgsProcessingException
        If the file cannot be written.
    """
    schema = Layer(f"Point?field={CLASS_FIELD}:string(0,0)", name, "memory")
    schema.setCrs(crs)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        reason = inputs.write_features(schema, path, "points", ())
    except OSError as error:
        reason = str(error)
    layer = Layer(f"{path}|layername=points", name, "ogr")
    if reason or not layer.isValid():
        found = {"path": path, "reason": reason or "?"}
        raise core.QgsProcessingException(
            tr("The file {path} could not be written: {reason}. Choose another folder.", **found)
        )
    categories = [category(row, row.values[0]) for row in rows]
    layer.setRenderer(core.QgsCategorizedSymbolRenderer(CLASS_FIELD, categories))
    layer.saveStyleToDatabase(name, "", useAsDefault=True, uiFileContent="")
    return layer
