"""Styles of the results: in a file beside each, and on the layer that QGIS loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from qgis import core
from qgis.PyQt.QtGui import QColor

VIRIDIS = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")
SAMPLE_PX = 250_000


class StyleLoader(core.QgsProcessingLayerPostProcessorInterface):
    """Gives a result layer, once QGIS has loaded it, the style that lies with its file."""

    kept: ClassVar[list[StyleLoader]] = []

    @classmethod
    def kept_alive(cls) -> StyleLoader:
        """Return a loader that lives on: QGIS holds no reference of its own."""
        cls.kept.append(cls())
        return cls.kept[-1]

    def postProcessLayer(self, layer: core.QgsMapLayer, _context: Any, _feedback: Any) -> None:
        layer.loadDefaultStyle()
        layer.triggerRepaint()


def write_ramp(path: str) -> None:
    """Write a colour ramp beside a raster of quantities, unless there is a style already."""
    beside = Path(path).with_suffix(".qml")
    layer = core.QgsRasterLayer(path, "quantities")
    if beside.exists() or not layer.isValid():
        return
    kinds = core.QgsRasterBandStats.Stats
    provider = layer.dataProvider()
    found = provider.bandStatistics(1, kinds.Min | kinds.Max, layer.extent(), SAMPLE_PX)
    shader = core.QgsRasterShader()
    shader.setRasterShaderFunction(_ramp(found.minimumValue, found.maximumValue))
    renderer = core.QgsSingleBandPseudoColorRenderer(provider, 1, shader)
    renderer.setClassificationMin(found.minimumValue)
    renderer.setClassificationMax(found.maximumValue)
    layer.setRenderer(renderer)
    layer.saveNamedStyle(str(beside))


def _ramp(low: float, high: float) -> core.QgsColorRampShader:
    """Return viridis between two values: readable in grey and by colour-blind eyes."""
    first, *middle, last = (QColor(name) for name in VIRIDIS)
    step = 1 / (len(VIRIDIS) - 1)
    stops = [core.QgsGradientStop((i + 1) * step, colour) for i, colour in enumerate(middle)]
    ramp = core.QgsGradientColorRamp(first, last, discrete=False, stops=stops)
    shader = core.QgsColorRampShader(low, high, ramp, core.QgsColorRampShader.Type.Interpolated)
    shader.classifyColorRamp(len(VIRIDIS))
    return shader
