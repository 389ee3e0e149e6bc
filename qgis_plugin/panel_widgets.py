"""The parts of the panel: the list of classes, a question, a choice to make, and the step buttons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from qgis.core import QgsApplication
from qgis.PyQt import QtWidgets
from qgis.PyQt.QtCore import Qt, pyqtSignal
from qgis.PyQt.QtGui import QIcon, QPixmap

from .panel_points import ClassRow, swatch
from .panel_steps import steps
from .panel_tool import NUMBERS
from .panel_walk import Walk
from .translation import tr


def colored(color: str) -> QIcon:
    """Return a square of a class's colour, the same on a row that is chosen."""
    square, icon = QPixmap(16, 16), QIcon()
    square.fill(swatch(color))
    for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected):
        icon.addPixmap(square, mode)
    return icon


def wrapped() -> QtWidgets.QLabel:
    """Return a label of several lines whose text can be copied."""
    label = QtWidgets.QLabel()
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def icon_button(icon: str, text: str) -> QtWidgets.QToolButton:
    """Return a small button with an icon of QGIS; its text is its tool tip."""
    button = QtWidgets.QToolButton()
    button.setText(text)
    button.setToolTip(text)
    button.setIcon(QgsApplication.getThemeIcon(f"/{icon}.svg"))
    return button


def button_row(*buttons: QtWidgets.QWidget) -> QtWidgets.QHBoxLayout:
    """Return buttons side by side."""
    row = QtWidgets.QHBoxLayout()
    for button in buttons:
        row.addWidget(button)
    return row


def empty(row: QtWidgets.QHBoxLayout) -> None:
    """Remove the buttons of a row."""
    while row.count():
        button = row.takeAt(0).widget()
        button.hide()
        button.deleteLater()


class ClassList(QtWidgets.QTreeWidget):
    """Classes with their key, colour, name and number of points; a click chooses one."""

    picked = pyqtSignal(int)

    def __init__(self) -> None:
        super().__init__()
        self.setHeaderLabels([tr("Key"), tr("Class"), tr("Points")])
        self.setRootIsDecorated(False)
        self.setMinimumHeight(110)
        header, modes = self.header(), QtWidgets.QHeaderView.ResizeMode
        header.setStretchLastSection(False)
        header.setSectionResizeMode(modes.ResizeToContents)
        header.setSectionResizeMode(1, modes.Stretch)
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


class QuestionBox(QtWidgets.QGroupBox):
    """One question with a button for each likely answer."""

    answered = pyqtSignal(int)

    def __init__(self) -> None:
        super().__init__()
        self.text, self.hint, self.answers = wrapped(), wrapped(), button_row()
        self.back, self.skip, self.zoom, self.later = (
            QtWidgets.QPushButton(text) for text in ("◀", tr("Skip"), tr("Show"), tr("Later"))
        )
        self.back.setToolTip(tr("Question before (key B)"))
        self.skip.setToolTip(tr("Leave it open, next question (key N)"))
        self.zoom.setToolTip(tr("Move the map to the place of the question"))
        self.later.setToolTip(tr("Click points freely again; the questions stay"))
        column = QtWidgets.QVBoxLayout(self)
        column.addWidget(self.text)
        column.addLayout(self.answers)
        column.addWidget(self.hint)
        column.addLayout(button_row(self.back, self.skip, self.zoom, self.later))

    def ask(self, walk: Walk, rows: list[ClassRow]) -> None:
        """Show the question and the classes that it names as buttons."""
        self.setTitle(walk.title())
        self.text.setText(f"<big><b>{walk.text()}</b></big>")
        hint = tr("Look at the image inside the ring. Press the number of the class, or click on it in the list.")  # fmt: skip
        answered = walk.current.fid not in walk.open
        self.hint.setText(tr("This one is answered.") if answered else hint)
        empty(self.answers)
        for name in walk.current.likely:
            for number, row in enumerate(rows):
                if name in (row.label, *row.values):
                    button = QtWidgets.QPushButton(colored(row.color), row.label)
                    button.clicked.connect(lambda _checked, number=number: self.answered.emit(number))  # fmt: skip
                    self.answers.addWidget(button)


class ChoiceBox(QtWidgets.QFrame):
    """A sentence with buttons, inside the panel, instead of a dialog that blocks the window."""

    def __init__(self) -> None:
        super().__init__()
        self.setFrameShape(QtWidgets.QFrame.Shape.StyledPanel)
        self.text, self.buttons = wrapped(), button_row()
        column = QtWidgets.QVBoxLayout(self)
        column.addWidget(self.text)
        column.addLayout(self.buttons)
        self.hide()

    def offer(self, text: str, choices: dict[str, Callable[[], Any]]) -> None:
        """Show a sentence and a button for each choice."""
        empty(self.buttons)
        self.text.setText(text)
        for label, act in {**choices, tr("Cancel"): self.hide}.items():
            button = QtWidgets.QPushButton(label)
            button.clicked.connect(lambda _checked, act=act: (self.hide(), act()))
            self.buttons.addWidget(button)
        self.show()


class StepButtons(QtWidgets.QWidget):
    """A button for every step; the next one is bold."""

    pressed = pyqtSignal(str)

    def __init__(self) -> None:
        super().__init__()
        grid = QtWidgets.QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        self.buttons: dict[str, QtWidgets.QPushButton] = {}
        for place, (name, step) in enumerate(steps().items()):
            if step.label:
                button = self.buttons[name] = QtWidgets.QPushButton(step.label)
                button.setToolTip(step.help)
                button.clicked.connect(lambda _checked, name=name: self.pressed.emit(name))
                grid.addWidget(button, place // 3, place % 3)

    def point_at(self, name: str) -> None:
        """Show which step is the next."""
        for other, button in self.buttons.items():
            font = button.font()
            font.setBold(other == name)
            button.setFont(font)
