"""The parts of the panel: the list of classes, a question, a choice to make, and the step buttons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from qgis.PyQt import QtWidgets
from qgis.PyQt.QtCore import QSize, Qt, pyqtSignal
from qgis.PyQt.QtGui import QFont, QIcon, QPixmap

from .panel_points import ClassRow, swatch
from .panel_steps import Step, steps
from .panel_tool import NUMBERS
from .panel_walk import Walk
from .translation import tr

ENOUGH = 20


def colored(color: str) -> QIcon:
    """Return a square of a class's colour."""
    square = QPixmap(16, 16)
    square.fill(swatch(color))
    return QIcon(square)


def wrapped(text: str = "") -> QtWidgets.QLabel:
    """Return a label of several lines, whose links and words can be taken with the mouse."""
    label = QtWidgets.QLabel(text)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
    label.setOpenExternalLinks(True)
    return label


class ClassList(QtWidgets.QTreeWidget):
    """Classes with their key, colour, name and number of points; a click chooses one."""

    picked = pyqtSignal(int)

    def __init__(self) -> None:
        super().__init__()
        self.setColumnCount(3)
        self.setHeaderLabels([tr("Key"), tr("Class"), tr("Points")])
        self.setRootIsDecorated(False)
        self.setIconSize(QSize(16, 16))
        header = self.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(QtWidgets.QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QtWidgets.QHeaderView.ResizeMode.Stretch)
        self.rows: list[ClassRow] = []
        self.itemClicked.connect(lambda item, _column: self.picked.emit(self.indexOfTopLevelItem(item)))  # fmt: skip

    def show_rows(self, rows: list[ClassRow], counts: Counter[str], chosen: int) -> None:
        """Show classes and counts; items stay where they are while the classes stay the same."""
        if rows != self.rows:
            self.rows = rows
            self.clear()
            for number, row in enumerate(rows):
                key = NUMBERS[number] if number < len(NUMBERS) else ""
                item = QtWidgets.QTreeWidgetItem(self, [key, row.label, ""])
                item.setIcon(1, colored(row.color))
                item.setTextAlignment(2, int(Qt.AlignmentFlag.AlignRight))
        for number, row in enumerate(rows):
            points = sum(counts[value] for value in row.values)
            self.topLevelItem(number).setText(2, str(points))
        self.setCurrentItem(self.topLevelItem(chosen) if 0 <= chosen < len(rows) else None)

    def count(self, label: str) -> int:
        """Return the number of points shown for a class."""
        found = self.findItems(label, Qt.MatchFlag.MatchExactly, 1)
        return int(found[0].text(2)) if found else 0


class QuestionBox(QtWidgets.QGroupBox):
    """One question with a button for each likely answer."""

    answered = pyqtSignal(int)

    def __init__(self) -> None:
        super().__init__()
        self.text, self.hint = wrapped(), wrapped()
        bold = QFont()
        bold.setBold(True)
        bold.setPointSize(bold.pointSize() + 3)
        self.text.setFont(bold)
        self.answers = QtWidgets.QHBoxLayout()
        self.back, self.skip = _button("◀"), _button(tr("Skip"))
        self.zoom, self.close_box = _button(tr("Show")), _button(tr("Later"))
        self.back.setToolTip(tr("Question before (key B)"))
        self.skip.setToolTip(tr("Leave it open, next question (key N)"))
        self.zoom.setToolTip(tr("Move the map to the place of the question"))
        self.close_box.setToolTip(tr("Click points freely again; the questions stay"))
        column, moves = QtWidgets.QVBoxLayout(self), QtWidgets.QHBoxLayout()
        for button in (self.back, self.skip, self.zoom, self.close_box):
            moves.addWidget(button)
        column.addWidget(self.text)
        column.addLayout(self.answers)
        column.addWidget(self.hint)
        column.addLayout(moves)

    def ask(self, walk: Walk, rows: list[ClassRow]) -> None:
        """Show the question and the classes that it names as buttons."""
        self.setTitle(walk.title())
        self.text.setText(walk.text())
        answered = walk.current.fid not in walk.open
        self.hint.setText(
            tr("This one is answered.") if answered
            else tr("Look at the image inside the ring. Press the number of the class, or click on it in the list.")
        )  # fmt: skip
        while self.answers.count():
            self.answers.takeAt(0).widget().deleteLater()
        for name in walk.current.likely:
            for number, row in enumerate(rows):
                if name in (row.label, *row.values):
                    self._offer(number, row)

    def _offer(self, number: int, row: ClassRow) -> None:
        button = _button(row.label)
        button.setIcon(colored(row.color))
        button.clicked.connect(lambda: self.answered.emit(number))
        self.answers.addWidget(button)


class ChoiceBox(QtWidgets.QFrame):
    """A sentence with buttons, inside the panel, instead of a dialog that blocks the window."""

    def __init__(self) -> None:
        super().__init__()
        self.setFrameShape(QtWidgets.QFrame.Shape.StyledPanel)
        self.text, self.buttons = wrapped(), QtWidgets.QHBoxLayout()
        column = QtWidgets.QVBoxLayout(self)
        column.addWidget(self.text)
        column.addLayout(self.buttons)
        self.hide()

    def offer(self, text: str, choices: dict[str, Callable[[], Any]]) -> None:
        """Show a sentence and a button for each choice."""
        while self.buttons.count():
            self.buttons.takeAt(0).widget().deleteLater()
        self.text.setText(text)
        for label, act in {**choices, tr("Cancel"): self.hide}.items():
            button = _button(label)
            button.clicked.connect(lambda _checked, act=act: (self.hide(), act()))
            self.buttons.addWidget(button)
        self.show()


class StepButtons(QtWidgets.QWidget):
    """A button for every step; the next one is bold, and its arrow opens the whole form."""

    pressed, form_wanted = pyqtSignal(str), pyqtSignal(str)

    def __init__(self) -> None:
        super().__init__()
        grid = QtWidgets.QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        self.buttons: dict[str, QtWidgets.QToolButton] = {}
        for place, step in enumerate(step for step in steps() if step.label):
            self.buttons[step.key] = self._button(step)
            grid.addWidget(self.buttons[step.key], place // 3, place % 3)

    def _button(self, step: Step) -> QtWidgets.QToolButton:
        button = QtWidgets.QToolButton()
        button.setText(step.label)
        button.setToolTip(step.help)
        policy = QtWidgets.QSizePolicy.Policy
        button.setSizePolicy(policy.Expanding, policy.Fixed)
        button.setPopupMode(QtWidgets.QToolButton.ToolButtonPopupMode.MenuButtonPopup)
        menu = QtWidgets.QMenu(button)
        menu.addAction(tr("All options…")).triggered.connect(
            lambda: self.form_wanted.emit(step.key)
        )
        button.setMenu(menu)
        button.clicked.connect(lambda: self.pressed.emit(step.key))
        return button

    def point_at(self, key: str) -> None:
        """Show which step is the next."""
        for name, button in self.buttons.items():
            font = button.font()
            font.setBold(name == key)
            button.setFont(font)


def _button(text: str) -> QtWidgets.QPushButton:
    return QtWidgets.QPushButton(text)
