"""The parts of the panel: steps, fields, the list of classes, a question, and the dialog for a new layer of points."""

from __future__ import annotations

import html
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from qgis import core
from qgis.gui import QgsColorButton, QgsFileWidget
from qgis.PyQt import QtWidgets
from qgis.PyQt.QtCore import QSignalBlocker, Qt, pyqtSignal
from qgis.PyQt.QtGui import QColor, QIcon, QPixmap

from . import inputs, memory, panel_walk
from .panel_points import SPARE, ClassRow, count_classes, find_class_field, make_layer
from .panel_watch import NUMBERS
from .tasks import load_table
from .translation import load_window, tr

RESULT = "geopointseg/result"
SAMPLE_COUNT, LARGEST_DISTANCE_M = load_table("panel.json")["answers"]["sample"]["COUNT"], 50.0


class Step(NamedTuple):
    """A step: the algorithm that it runs, the text and help of its button, and what comes after it."""

    algorithm: str
    label: str
    help: str
    after: str
    next: str


class Chosen(NamedTuple):
    """What the panel is set to: layers, class fields, model folder and minutes."""

    raster: core.QgsRasterLayer | None
    points: core.QgsVectorLayer | None
    field: str
    model: str
    minutes: float
    map: core.QgsRasterLayer | None
    test: core.QgsVectorLayer | None
    test_field: str
    is_sample: bool


def steps() -> dict[str, Step]:
    """Return the steps by name, in the order of the work; one without a label has no button."""
    rows = load_table("panel.json")["steps"].items()
    return {name: Step(first, *map(tr, texts), last) for name, (first, *texts, last) in rows}


def missing(step: str, chosen: Chosen) -> str:
    """Return which earlier step is missing, or an empty string."""
    if step in ("map", "next") and not chosen.model:
        return tr("There is no model yet. Press 'Train' first, or choose the folder of a model.")
    if step in ("assess", "sample") and chosen.map is None:
        return tr("There is no map yet. Press 'Map' first.")
    if step in ("check", "train") and not count_classes(chosen.points, chosen.field):
        return tr("There are no points yet. Pick a class and click on the map.")
    return ""


def answers(step: str, chosen: Chosen, model_folder: str) -> dict[str, Any]:
    """Return the parameters of a step's algorithm; its results go beside the project or the points."""
    folder, project = memory.default_folder(chosen.points or chosen.raster), core.QgsProject.instance()
    names = {"RASTER": chosen.raster and chosen.raster.name(), "MAP": chosen.map and chosen.map.name()}
    known = {**chosen._asdict(), "folder": model_folder, "sampling": "stratified"}
    if step == "next":
        known["spacing"] = spacing(chosen.raster)
    table = load_table("panel.json")["answers"][step].items()
    table = [(name, value) for name, value in table if value != "sampling" or chosen.is_sample]
    given = {name: known.get(value, value) for name, value in table if not isinstance(value, list)}
    for name, (title, suffix) in ((name, pair) for name, pair in table if isinstance(pair, list)):
        folder.mkdir(parents=True, exist_ok=True)
        path = str(memory.free_path(folder, tr(title).format(**names), suffix))
        given[name] = path if suffix == ".html" else core.QgsProcessingOutputLayerDefinition(path, project)
    return given


def spacing(raster: core.QgsRasterLayer) -> float:
    """Return the distance in metres that suggested points keep: a 20th of the side, at most 50."""
    measure = core.QgsDistanceArea()
    measure.setSourceCrs(raster.crs(), core.QgsProject.instance().transformContext())
    measure.setEllipsoid("WGS84")
    area_m2 = measure.measureArea(core.QgsGeometry.fromRect(raster.extent()))
    return round(min(LARGEST_DISTANCE_M, math.sqrt(area_m2) / 20.0), 2)


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

    changed, new_wanted, model_chosen, scene_chosen = pyqtSignal(), pyqtSignal(), pyqtSignal(str), pyqtSignal(str)

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
        ask = QtWidgets.QFileDialog
        self.folder.clicked.connect(
            lambda _on: self.scene_chosen.emit(ask.getExistingDirectory(self, self.folder.text()))
        )

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
            layer = core.QgsProject.instance().mapLayer(memory.recall(key))
            box.setLayer(layer or box.currentLayer())
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
        typed, points = self.model.filePath().strip(), self.points.currentLayer()
        name = f"model of {points.name() if points is not None else 'points'}"
        is_free = typed and not Path(typed).exists()
        return typed if is_free else str(memory.free_path(memory.default_folder(points), name))

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
        for old in [self.answers.takeAt(0).widget() for _ in range(self.answers.count())]:
            old.hide()
            old.deleteLater()
        numbered = list(enumerate(rows))
        likely = [(n, r) for name in walk.current.likely for n, r in numbered if name in (r.label, *r.values)]
        for number, row in likely:
            button = QtWidgets.QPushButton(colored(row.color), row.label)
            button.clicked.connect(lambda _, number=number: self.answered.emit(number))
            self.answers.addWidget(button)


def presets() -> dict[str, list[tuple[str, str]]]:
    """Return lists of classes with colours by name."""
    rows = load_table("panel.json")["presets"].items()
    return {tr(name): [(tr(label), color) for label, color in found] for name, found in rows}


class NewPoints(QtWidgets.QDialog):
    """Asks for classes, name and file of a new layer, and makes it."""

    def __init__(self, parent: Any, raster: core.QgsRasterLayer | None) -> None:
        super().__init__(parent)
        load_window("panel_new", self)
        self.raster, self.layer = raster, None
        self.preset.addItems(list(presets()))
        self.file.setStorageMode(QgsFileWidget.StorageMode.SaveFile)
        self.file.setFilter("GeoPackage (*.gpkg)")
        self.add.clicked.connect(lambda _checked: self.add_row())
        self.remove.clicked.connect(lambda _checked: self.remove_row())
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self.preset.currentTextChanged.connect(self.fill)
        self.name.textChanged.connect(self._suggest_path)
        self.fill(self.preset.currentText())
        self._suggest_path()

    def fill(self, preset: str) -> None:
        """Show the classes of a preset."""
        self.table.setRowCount(0)
        for name, color in presets()[preset] or [("", "")] * 2:
            self.add_row(name, color)

    def add_row(self, name: str = "", color: str = "") -> None:
        """Add a class to the table and, where it has no name yet, let the user type one."""
        row = self.table.rowCount()
        self.table.insertRow(row)
        button = QgsColorButton()
        button.setColor(QColor(color or SPARE[row % len(SPARE)]))
        self.table.setCellWidget(row, 0, button)
        item = QtWidgets.QTableWidgetItem(name)
        self.table.setItem(row, 1, item)
        if not name and self.isVisible():
            self.table.setCurrentItem(item)
            self.table.editItem(item)

    def remove_row(self) -> None:
        """Remove the chosen class, or the last one."""
        row = self.table.currentRow()
        self.table.removeRow(row if row >= 0 else self.table.rowCount() - 1)

    def rows(self) -> list[ClassRow]:
        """Return the classes that have a name."""
        self.table.setCurrentItem(None)  # takes what is being typed
        names = [self.table.item(row, 1).text().strip() for row in range(self.table.rowCount())]
        colors = [self.table.cellWidget(row, 0).color().name() for row in range(self.table.rowCount())]
        return [ClassRow((name,), name, color) for name, color in zip(names, colors) if name]

    def _suggest_path(self, _name: str = "") -> None:
        folder = memory.default_folder(self.raster)
        self.file.setFilePath(str(memory.free_path(folder, self.name.text(), ".gpkg")))

    def path(self) -> Path:
        """Return the file to make."""
        given = self.file.filePath().strip()
        return Path(given if given.lower().endswith(".gpkg") else f"{given}.gpkg")

    def _complaint(self, rows: list[ClassRow], path: Path, crs: Any) -> str:
        names = [row.label.casefold() for row in rows]
        twice = [row.label for row in rows if names.count(row.label.casefold()) > 1]
        if len(rows) < 2:
            return tr("A map needs two classes or more. Type their names into the table.")
        if twice:
            return tr("The class '{name}' is there twice. Give every class a name of its own.", name=twice[0])
        if not crs.isValid():
            return tr("The project has no CRS yet. Load the image to be mapped first.")
        if not path.is_absolute():
            return tr("Choose the file that shall hold the points.")
        return tr("The file {path} exists. Choose another name.", path=path) if path.exists() else ""

    def accept(self) -> None:
        """Make the layer, or say what is missing."""
        rows, path = self.rows(), self.path()
        known = self.raster or core.QgsProject.instance()
        complaint = self._complaint(rows, path, known.crs())
        if not complaint:
            try:
                self.layer = make_layer(path, self.name.text(), known.crs(), rows)
            except core.QgsProcessingException as reason:
                complaint = str(reason)
        self.problem.setText(f"<b>{html.escape(complaint, quote=False)}</b>")
        if not complaint:
            super().accept()
