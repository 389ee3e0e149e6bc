"""Styles of the results: in a file beside each, and on the layer that QGIS loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from qgis import core
from qgis.PyQt.QtGui import QColor

# readable in grey and by colour-blind eyes
VIRIDIS = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")
SAMPLE_PX = 250_000


class StyleLoader(core.QgsProcessingLayerPostProcessorInterface):
    """Gives a result layer, once QGIS has loaded it, the style that lies with its file.

    QGIS holds no reference to it, so that it has to keep itself alive.
    """

    kept: ClassVar[list[StyleLoader]] = []

    def __init__(self, *, shown: bool) -> None:
        super().__init__()
        self.shown = shown
        self.kept.append(self)

    def postProcessLayer(self, layer: core.QgsMapLayer, context: Any, _feedback: Any) -> None:
        layer.loadDefaultStyle()
        layer.triggerRepaint()
        project = context.project()
        node = project.layerTreeRoot().findLayer(layer.id()) if project is not None else None
        if node is not None and not self.shown:
            node.setItemVisibilityChecked(False)


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
    first, *middle, last = (QColor(name) for name in VIRIDIS)
    stops = [core.QgsGradientStop((i + 1) / (len(middle) + 1), c) for i, c in enumerate(middle)]
    renderer.createShader(core.QgsGradientColorRamp(first, last, discrete=False, stops=stops))
    layer.setRenderer(renderer)
    layer.saveNamedStyle(str(beside))
