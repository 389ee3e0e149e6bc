"""The parts of the panel: its fields, the list of classes, and a question."""

from __future__ import annotations

import html
import json
from collections import Counter
from pathlib import Path
from typing import Any

from qgis import core
from qgis.gui import QgsFileWidget
from qgis.PyQt import QtWidgets
from qgis.PyQt.QtCore import QSignalBlocker, Qt, pyqtSignal
from qgis.PyQt.QtGui import QColor, QIcon, QPixmap

from . import inputs, memory, panel_walk
from .panel_points import ClassRow, find_class_field
from .panel_run import Chosen
from .panel_watch import NUMBERS
from .translation import load_window, tr

RESULT = "geopointseg/result"


def project_layers() -> list[core.QgsMapLayer]:
    """Return all layers of the project."""
    return list(core.QgsProject.instance().mapLayers().values())


def map_nodes() -> list[core.QgsLayerTreeLayer]:
    """Return the entries of the panel's maps in the list of layers."""
    maps = [one.id() for one in project_layers() if one.customProperty(RESULT) == "map"]
    root = core.QgsProject.instance().layerTreeRoot()
    found = (root.findLayer(key) for key in {*maps, memory.recall(memory.MAP)})
    return [node for node in found if node is not None]


def colored(color: str) -> QIcon:
    """Return a square of a class's colour, the same on a row that is chosen."""
    square, icon = QPixmap(16, 16), QIcon()
    square.fill(QColor(color or "transparent"))
    for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected):
        icon.addPixmap(square, mode)
    return icon


def choose(parent: Any, text: str, *labels: str) -> int:
    """Let the user choose; return the number of the choice, -1 for none."""
    box, roles = QtWidgets.QMessageBox(parent, windowTitle="geopointseg", text=text), QtWidgets.QMessageBox.ButtonRole
    buttons = [box.addButton(label, roles.AcceptRole) for label in labels]
    box.addButton(tr("Cancel"), roles.RejectRole)
    box.exec()
    return buttons.index(box.clickedButton()) if box.clickedButton() in buttons else -1


class Form(QtWidgets.QWidget):
    """The fields above the list of classes; they start with what was chosen last in the project."""

    changed, new_wanted, model_chosen = pyqtSignal(), pyqtSignal(), pyqtSignal(str)

    def __init__(self) -> None:
        super().__init__()
        load_window("panel_form", self)
        self.points.layerChanged.connect(self._show_field)
        policy, model = QtWidgets.QSizePolicy.Policy, core.QgsMapLayerProxyModel
        for box in (self.raster, self.points, self.test):
            kind = model.Filter.RasterLayer if box is self.raster else model.Filter.PointLayer
            box.setFilters(kind)
            box.setSizePolicy(policy.Ignored, policy.Fixed)
            box.layerChanged.connect(lambda _layer: self.changed.emit())
        self.test.setLayer(None)
        self.model.setStorageMode(QgsFileWidget.StorageMode.GetDirectory)
        self.model.lineEdit().setPlaceholderText(tr("none yet: press 'Train'"))
        self.field.fieldChanged.connect(lambda _field: self.changed.emit())
        self.new.clicked.connect(lambda _checked: self.new_wanted.emit())
        self.model.fileChanged.connect(self.model_chosen)

    def _show_field(self, layer: core.QgsVectorLayer | None) -> None:
        self.field.setLayer(layer)
        self.field.setField(find_class_field(layer))

    def refresh(self) -> None:
        """Show what is needed now; the panel's own results are no images and no training points."""
        layers, the_map = project_layers(), memory.recall(memory.MAP)
        results = [x for x in layers if x.customProperty(RESULT) or panel_walk.is_suggested(x) or x.id() == the_map]
        self.raster.setExceptedLayerList(results)
        self.points.setExceptedLayerList(results + [x for x in layers if panel_walk.is_sample(x)])
        layer = self.points.currentLayer()
        self.test.setExceptedLayerList([*results, *([layer] if layer is not None else [])])
        styled = inputs.class_field_of(layer)
        if styled and styled != self.field.currentField():
            self.field.setField(styled)
        shown = {self.field: layer is not None and not styled, self.test: bool(the_map)}
        for part, is_shown in shown.items():
            part.setVisible(is_shown)
            self.rows.labelForField(part).setVisible(is_shown)

    def restore(self) -> None:
        """Choose what was chosen last in this project."""
        for box, key in ((self.raster, memory.RASTER), (self.points, memory.POINTS)):
            if memory.recall(key):
                box.setLayer(core.QgsProject.instance().mapLayer(memory.recall(key)))
        self._show_field(self.points.currentLayer())
        if not self.field.currentField():
            self.field.setField(memory.recall(memory.CLASS_FIELD))
        self.set_model(memory.recall(memory.MODEL))

    def remember(self) -> None:
        """Keep what is chosen, for the tools and for the next time."""
        chosen = self.chosen()
        for key, value in zip(memory.KEYS, (chosen.raster, chosen.points, chosen.field, chosen.model, chosen.map)):
            if value:
                memory.remember(key, value)

    def new_model_folder(self) -> str:
        """Return a folder for a model that does not exist: the one that was typed, or one called after the points."""
        typed = self.model.filePath().strip()
        return typed if typed and not Path(typed).exists() else memory.default_model_folder(self.points.currentLayer())

    def set_model(self, folder: str) -> None:
        """Show a model folder without a word about it."""
        with QSignalBlocker(self.model):
            self.model.setFilePath(folder)

    def chosen(self) -> Chosen:
        """Return what is chosen now."""
        test, folder = self.test.currentLayer(), self.model.filePath().strip()
        the_map = core.QgsProject.instance().mapLayer(memory.recall(memory.MAP))
        model = folder if folder and Path(folder, "model.json").is_file() else ""
        points = self.raster.currentLayer(), self.points.currentLayer(), self.field.currentField()
        tested = the_map, test, find_class_field(test), panel_walk.is_sample(test)
        return Chosen(*points, model, self.minutes.value(), *tested)


def describe_model(folder: str) -> str:
    """Say what the model in a folder knows."""
    try:
        model: Any = json.loads(Path(folder, "model.json").read_text(encoding="utf-8"))
        names = ", ".join(row["name"] for row in model["legend"])
    except (OSError, ValueError, KeyError):
        return tr("This folder holds no model of geopointseg.")
    return f"{tr('Classes: {names}').format(names=names)}\n{model.get('reason', '')}".strip()


class ClassList(QtWidgets.QTreeWidget):
    """Classes with their key, colour, name and number of points; a click chooses one."""

    picked = pyqtSignal(int)

    def __init__(self) -> None:
        super().__init__(rootIsDecorated=False, minimumHeight=110)
        self.setHeaderLabels([tr("Key"), tr("Class"), tr("Points"), tr("In view")])
        header, modes = self.header(), QtWidgets.QHeaderView.ResizeMode
        header.setStretchLastSection(False)
        header.setSectionResizeMode(modes.ResizeToContents)
        header.setSectionResizeMode(1, modes.Stretch)
        self.show_shares([])
        self.rows: list[ClassRow] = []
        self.itemClicked.connect(lambda item: self.picked.emit(self.indexOfTopLevelItem(item)))

    def show_rows(self, rows: list[ClassRow], counts: Counter[str], chosen: int) -> None:
        """Show classes and counts; items stay where they are while the classes stay the same."""
        if rows != self.rows:
            self.rows = rows
            self.clear()
            for number, row in enumerate(rows):
                item = QtWidgets.QTreeWidgetItem(self, [NUMBERS[number : number + 1], row.label])
                item.setIcon(1, colored(row.color))
                item.setTextAlignment(2, Qt.AlignmentFlag.AlignRight)
        for number, row in enumerate(rows):
            points = sum(counts[value] for value in row.values)
            self.topLevelItem(number).setText(2, str(points))
        self.setCurrentItem(self.topLevelItem(chosen) if 0 <= chosen < len(rows) else None)

    def show_shares(self, shares: list[str]) -> None:
        """Show how much of the view each class covers, in words; nothing where that is not known."""
        self.setColumnHidden(3, not shares)
        for number, share in enumerate(shares[: self.topLevelItemCount()]):
            self.topLevelItem(number).setText(3, share)


class QuestionBox(QtWidgets.QGroupBox):
    """One question with a button for each likely answer."""

    answered = pyqtSignal(int)

    def __init__(self) -> None:
        super().__init__()
        load_window("panel_question", self)

    def ask(self, walk: panel_walk.Walk, rows: list[ClassRow]) -> None:
        """Show the question and the classes that it names as buttons."""
        self.setTitle(walk.title())
        self.text.setText(f"<big><b>{html.escape(walk.text())}</b></big>")
        hint = tr("Look at the image inside the ring. Press the number of the class, or click on it in the list.")  # fmt: skip
        answered = walk.current.fid not in walk.open
        self.hint.setText(tr("This one is answered.") if answered else hint)
        while self.answers.count():
            old = self.answers.takeAt(0).widget()
            old.hide()
            old.deleteLater()
        numbered = list(enumerate(rows))
        for number, row in (
            (n, r) for name in walk.current.likely for n, r in numbered if name in (r.label, *r.values)
        ):
            button = QtWidgets.QPushButton(colored(row.color), row.label)
            button.clicked.connect(lambda _, number=number: self.answered.emit(number))
            self.answers.addWidget(button)
