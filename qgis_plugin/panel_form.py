"""What the panel works with: image, points, class field, model, time and test points."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from qgis import core
from qgis.gui import QgsFieldComboBox, QgsFileWidget, QgsMapLayerComboBox
from qgis.PyQt import QtWidgets
from qgis.PyQt.QtCore import QSignalBlocker, pyqtSignal

from . import inputs, memory, panel_points, panel_walk
from .panel_steps import Chosen
from .translation import tr

RESULT = "geopointseg/result"
MINUTES = 5.0
Filter = core.QgsMapLayerProxyModel.Filter


def project_layers() -> list[core.QgsMapLayer]:
    """Return all layers of the project."""
    return list(core.QgsProject.instance().mapLayers().values())


class Form(QtWidgets.QWidget):
    """The fields above the list of classes; they start with what was chosen last in the project."""

    changed, new_wanted, model_chosen = pyqtSignal(), pyqtSignal(), pyqtSignal(str)

    def __init__(self) -> None:
        super().__init__()
        self.raster, self.points = QgsMapLayerComboBox(), QgsMapLayerComboBox()
        self.test, self.field = QgsMapLayerComboBox(), QgsFieldComboBox()
        self.new = QtWidgets.QPushButton(tr("New…"))
        self.model, self.minutes = QgsFileWidget(), QtWidgets.QDoubleSpinBox()
        self.raster.setFilters(Filter.RasterLayer)
        self.points.setFilters(Filter.PointLayer)
        self.test.setFilters(Filter.PointLayer)
        self.test.setAllowEmptyLayer(True)
        self.test.setLayer(None)
        self.model.setStorageMode(QgsFileWidget.StorageMode.GetDirectory)
        self.model.lineEdit().setPlaceholderText(tr("none yet: press 'Train'"))
        self.minutes.setDecimals(1)
        self.minutes.setRange(0.1, 10_000.0)
        self.minutes.setValue(MINUTES)
        self.minutes.setSuffix(tr(" minutes"))
        self._lay_out()
        self.points.layerChanged.connect(self._show_field)
        for box in (self.raster, self.points, self.test):
            box.layerChanged.connect(self._tell)
        self.field.fieldChanged.connect(self._tell)
        self.new.clicked.connect(lambda _checked: self.new_wanted.emit())
        self.model.fileChanged.connect(self.model_chosen)

    def _lay_out(self) -> None:
        row, policy = QtWidgets.QHBoxLayout(), QtWidgets.QSizePolicy.Policy
        for box in (self.raster, self.points, self.test):
            box.setSizePolicy(policy.Ignored, policy.Fixed)
        row.addWidget(self.points, 1)
        row.addWidget(self.new)
        form = QtWidgets.QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        self.labels = {
            name: QtWidgets.QLabel(text) for name, text in (
                ("raster", tr("Image")), ("points", tr("Points")), ("field", tr("Class field")),
                ("model", tr("Model")), ("minutes", tr("Train for")), ("test", tr("Test points")),
            )
        }  # fmt: skip
        for name, label in self.labels.items():
            form.addRow(label, row if name == "points" else getattr(self, name))

    def _tell(self, *_change: object) -> None:
        self.changed.emit()

    def _show_field(self, layer: core.QgsVectorLayer | None) -> None:
        self.field.setLayer(layer)
        self.field.setField(panel_points.find_class_field(layer))

    def refresh(self) -> None:
        """Show what is needed now; the panel's own results are no images and no training points."""
        layers, the_map = project_layers(), memory.recall(memory.MAP)
        results = [one for one in layers if one.customProperty(RESULT) or one.id() == the_map]
        results += [one for one in layers if panel_walk.is_suggested(one)]
        samples = [one for one in layers if panel_walk.is_sample(one)]
        self.raster.setExceptedLayerList(results)
        self.points.setExceptedLayerList(results + samples)
        layer = self.points.currentLayer()
        self.test.setExceptedLayerList([*results, *([layer] if layer is not None else [])])
        styled = inputs.class_field_of(layer)
        if styled and styled != self.field.currentField():
            self.field.setField(styled)
        for name, shown in (("field", layer is not None and not styled), ("test", bool(the_map))):
            self.labels[name].setVisible(shown)
            getattr(self, name).setVisible(shown)

    def restore(self) -> None:
        """Choose what was chosen last in this project."""
        find = core.QgsProject.instance().mapLayer
        for box, key in ((self.raster, memory.RASTER), (self.points, memory.POINTS)):
            if memory.recall(key):
                box.setLayer(find(memory.recall(key)))
        self._show_field(self.points.currentLayer())
        if not self.field.currentField() and memory.recall(memory.CLASS_FIELD):
            self.field.setField(memory.recall(memory.CLASS_FIELD))
        self.set_model(memory.recall(memory.MODEL))

    def remember(self) -> None:
        """Keep what is chosen, for the tools and for the next time."""
        chosen = self.chosen()
        pairs = (
            (memory.RASTER, chosen.raster), (memory.POINTS, chosen.points), (memory.CLASS_FIELD, chosen.field),
            (memory.MODEL, chosen.model), (memory.MAP, chosen.map),
        )  # fmt: skip
        for key, value in pairs:
            if value:
                memory.remember(key, value)

    def set_model(self, folder: str) -> None:
        """Show a model folder without a word about it."""
        with QSignalBlocker(self.model):
            self.model.setFilePath(folder)

    def chosen(self) -> Chosen:
        """Return what is chosen now."""
        test, folder = self.test.currentLayer(), self.model.filePath().strip()
        is_sample = panel_walk.is_sample(test)
        return Chosen(
            raster=self.raster.currentLayer(), points=self.points.currentLayer(), field=self.field.currentField(),
            model=folder if folder and Path(folder, "model.json").is_file() else "", minutes=self.minutes.value(),
            map=core.QgsProject.instance().mapLayer(memory.recall(memory.MAP)), test=test,
            test_field=panel_points.find_class_field(test), is_sample=is_sample,
        )  # fmt: skip


def describe_model(folder: str) -> str:
    """Say what the model in a folder knows."""
    try:
        model: Any = json.loads(Path(folder, "model.json").read_text(encoding="utf-8"))
        names = ", ".join(row["name"] for row in model["legend"])
    except (OSError, ValueError, KeyError):
        return tr("This folder holds no model of geopointseg.")
    text, reason = tr("Classes: {names}").format(names=names), model.get("reason", "")
    return f"{text}\n{reason}".strip()
