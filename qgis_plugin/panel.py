"""A small panel: digitize points class by class, see the model, walk through suggested points."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from qgis import core
from qgis.gui import QgsFileWidget, QgsMapLayerComboBox
from qgis.PyQt import QtWidgets
from qgis.PyQt.QtCore import QSize, Qt

from .inputs import class_field_of
from .translation import tr

NEAR_SCALE = 2500.0
VALUE = Qt.ItemDataRole.UserRole


class Panel(QtWidgets.QDockWidget):
    """Pick a class and click; the learning itself is in the toolbox."""

    def __init__(self, iface: Any) -> None:
        super().__init__("geopointseg", iface.mainWindow())
        self.setObjectName("geopointsegPanel")
        self.iface, self.walked = iface, 0
        self.points, self.classes = QgsMapLayerComboBox(), QtWidgets.QListWidget()
        self.points.setFilters(core.QgsMapLayerProxyModel.Filter.PointLayer)
        self.next = QtWidgets.QPushButton(tr("Go to the next suggested point"))
        self.model = QgsFileWidget()
        self.model.setStorageMode(QgsFileWidget.StorageMode.GetDirectory)
        self.model.lineEdit().setPlaceholderText(tr("Model folder"))
        self.state = QtWidgets.QLabel(tr("Choose a model folder to see what it knows."))
        self.state.setWordWrap(True)
        heading = QtWidgets.QLabel(tr("Pick a class, then click on the map:"))
        content = QtWidgets.QWidget()
        column = QtWidgets.QVBoxLayout(content)
        for widget in (self.points, heading, self.classes, self.next, self.model, self.state):
            column.addWidget(widget)
        self.setWidget(content)
        self.visibilityChanged.connect(self.show_classes)
        self.points.layerChanged.connect(self.follow)
        self.classes.itemClicked.connect(self.digitize)
        self.next.clicked.connect(self.go_to_next)
        self.model.fileChanged.connect(self.show_model)
        self.follow(self.points.currentLayer())

    def follow(self, layer: core.QgsVectorLayer | None) -> None:
        """Show the classes of another layer, now and whenever its style changes."""
        if layer is not None:
            layer.rendererChanged.connect(self.show_classes)
        self.show_classes()

    def show_classes(self, _changed: object = None) -> None:
        """List the categories of the layer's style."""
        layer, self.walked = self.points.currentLayer(), 0
        self.classes.clear()
        self.next.setEnabled(layer is not None and layer.fields().indexOf("rank") >= 0)
        if not class_field_of(layer):
            self.classes.addItem(tr("Categorize the layer by its class field to list classes."))
            return
        for category in layer.renderer().categories():
            if category.value() not in (None, ""):
                item = QtWidgets.QListWidgetItem(category.label(), self.classes)
                preview = core.QgsSymbolLayerUtils.symbolPreviewIcon
                item.setIcon(preview(category.symbol(), QSize(18, 18)))
                item.setData(VALUE, category.value())

    def digitize(self, item: QtWidgets.QListWidgetItem) -> None:
        """Start adding points of one class: every click is a point, no form asks."""
        layer, value = self.points.currentLayer(), item.data(VALUE)
        if value is None:
            return
        index, form = layer.fields().indexOf(class_field_of(layer)), layer.editFormConfig()
        default = core.QgsDefaultValue(core.QgsExpression.quotedValue(value))
        layer.setDefaultValueDefinition(index, default)
        form.setSuppress(core.QgsEditFormConfig.FeatureFormSuppress.SuppressOn)
        layer.setEditFormConfig(form)
        self.iface.setActiveLayer(layer)
        layer.startEditing()
        self.iface.actionAddFeature().trigger()

    def go_to_next(self) -> None:
        """Move the map to the suggested point of the next rank."""
        layer, canvas = self.points.currentLayer(), self.iface.mapCanvas()
        features = sorted(layer.getFeatures(), key=lambda feature: feature["rank"])
        if features:
            feature = features[self.walked % len(features)]
            self.walked += 1
            canvas.zoomScale(min(canvas.scale(), NEAR_SCALE))
            canvas.panToFeatureIds(layer, [feature.id()], alwaysRecenter=True)
            canvas.flashFeatureIds(layer, [feature.id()])

    def show_model(self, folder: str) -> None:
        """Say what the model in a folder knows."""
        try:
            model = json.loads(Path(folder, "model.json").read_text(encoding="utf-8"))
            names = ", ".join(row["name"] for row in model["legend"])
        except (OSError, ValueError, KeyError):
            self.state.setText(tr("This folder holds no model of geopointseg."))
        else:
            reason = model.get("reason", "")
            self.state.setText(f"{tr('Classes: {names}').format(names=names)}\n{reason}")
