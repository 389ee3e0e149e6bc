"""Styles of the results: in a file beside each, and on the layer that QGIS loads."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any, ClassVar

from qgis import core
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtGui import QColor

from . import memory

VIRIDIS = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")
SAMPLE_PX, SETTLED = 250_000, "geopointseg/settled"


class StyleLoader(core.QgsProcessingLayerPostProcessorInterface):
    """Gives a result layer, once QGIS has loaded it, its name, its style and its place.

    QGIS holds no reference to it, so that it has to keep itself alive. A raster goes below the
    points, so that these stay in sight. ``key`` is what the layer is remembered as.
    """

    kept: ClassVar[list[StyleLoader]] = []

    def __init__(self, name: str = "", key: str = "", *, shown: bool = True) -> None:
        super().__init__()
        self.shown, self.name, self.key = shown, name, key
        self.kept.append(self)

    def postProcessLayer(self, layer: core.QgsMapLayer, context: Any, _feedback: Any) -> None:
        layer.loadDefaultStyle()
        if self.name:
            layer.setName(self.name)
        layer.triggerRepaint()
        project = context.project()
        if project is None:
            return
        if self.key and project.mapLayer(layer.id()) is not None:
            memory.remember(self.key, layer)
        identifier, shown = layer.id(), self.shown
        settle(project, identifier, shown=shown)
        QTimer.singleShot(0, lambda: settle(project, identifier, shown=shown))


def settle(project: core.QgsProject, layer_id: str, *, shown: bool) -> None:
    """Put a layer of the tree in its place: a raster above other rasters and below the points.

    QGIS adds a layer to the tree before its post-processor from 3.22 on, and after it from 3.34 on.
    """
    node = project.layerTreeRoot().findLayer(layer_id)
    if node is None:
        return
    if not shown:
        node.setItemVisibilityChecked(False)
    if not isinstance(node.layer(), core.QgsRasterLayer) or node.customProperty(SETTLED):
        return
    parent, points = node.parent(), memory.recall(memory.POINTS)
    others = [child for child in parent.children() if child is not node]
    held = [[found.layer() for found in child.findLayers()] if isinstance(child, core.QgsLayerTreeGroup) else [child.layer()] for child in others]  # fmt: skip
    below = [i for i, layers in enumerate(held) if any(isinstance(x, core.QgsRasterLayer) for x in layers)]
    above = [i for i, layers in enumerate(held) if any(_is_points(x, points) for x in layers)]
    place = max(below[0] if below else len(others), above[-1] + 1 if above else 0)
    copy = node.clone()
    copy.setCustomProperty(SETTLED, "yes")
    parent.insertChildNode(place + (place > parent.children().index(node)), copy)
    parent.removeChildNode(node)


def _is_points(layer: core.QgsMapLayer, remembered: str) -> bool:
    if remembered or not isinstance(layer, core.QgsVectorLayer):
        return layer is not None and layer.id() == remembered
    return bool(layer.geometryType() == core.QgsWkbTypes.GeometryType.PointGeometry)


def rename_in_report(report: Path, renamed: dict[str, str]) -> None:
    """Call layers in a report as the user calls them, not as their files."""
    text = report.read_text(encoding="utf-8")
    for path, name in renamed.items():
        for old in (path, Path(path).name):
            text = text.replace(html.escape(old), html.escape(name))
    report.write_text(text, encoding="utf-8")


def viridis() -> core.QgsGradientColorRamp:
    """Return a colour ramp that is readable in grey and by colour-blind eyes."""
    first, *middle, last = (QColor(name) for name in VIRIDIS)
    stops = [core.QgsGradientStop((i + 1) / (len(middle) + 1), c) for i, c in enumerate(middle)]
    return core.QgsGradientColorRamp(first, last, discrete=False, stops=stops)


def write_ramp(path: str) -> None:
    """Write a colour ramp beside a raster of quantities, of entropy where it has it.

    A style that the library or the user has put there stays.
    """
    beside = Path(path).with_suffix(".qml")
    layer = core.QgsRasterLayer(path, "quantities")
    if beside.exists() or not layer.isValid():
        return
    bands = range(1, layer.bandCount() + 1)
    band = next((number for number in bands if "entropy" in layer.bandName(number)), 1)
    provider = layer.dataProvider()
    found = provider.bandStatistics(band, extent=layer.extent(), sampleSize=SAMPLE_PX)
    renderer = core.QgsSingleBandPseudoColorRenderer(provider, band)
    renderer.setClassificationMin(found.minimumValue)
    renderer.setClassificationMax(found.maximumValue)
    renderer.createShader(viridis())
    layer.setRenderer(renderer)
    layer.saveNamedStyle(str(beside))
