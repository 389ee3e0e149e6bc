"""New points layer: classes with names and colours in a table, with presets."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from qgis import core
from qgis.gui import QgsColorButton, QgsFileWidget
from qgis.PyQt import QtWidgets
from qgis.PyQt.QtGui import QColor

from . import memory, panel_points
from .panel_points import ClassRow
from .tasks import load_table
from .translation import load_window, tr

SPARE = ("#e7298a", "#7570b3", "#d95f02", "#66a61e", "#a6761d", "#1f78b4", "#b2df8a", "#fb9a99")


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
        if path.exists():
            return tr("The file {path} exists. Choose another name.").format(path=path)
        return ""

    def accept(self) -> None:
        """Make the layer, or say what is missing."""
        rows, path = self.rows(), self.path()
        known = self.raster or core.QgsProject.instance()
        complaint = self._complaint(rows, path, known.crs())
        if not complaint:
            try:
                self.layer = panel_points.make_layer(path, self.name.text(), known.crs(), rows)
            except core.QgsProcessingException as reason:
                complaint = str(reason)
        self.problem.setText(f"<b>{html.escape(complaint, quote=False)}</b>")
        if not complaint:
            super().accept()
