"""Live: the map of what is in view follows every point; a model of it is one button away."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from qgis import core
from qgis.PyQt import QtWidgets
from qgis.PyQt.QtCore import QTimer, pyqtSignal
from qgis.PyQt.QtGui import QColor, QPainter

from . import inputs, live_view, panel_points, styles
from .live_picture import UNKNOWN, Picture, paint_grid, read_grid
from .live_worker import Answer, Worker
from .panel_points import ClassRow
from .tasks import load_table
from .translation import load_window, tr

VIEW_MS, PALEST = 40, 30  # classes less sure than so many percent are not drawn
CLASSES, SURE = (
    0,
    1,
)  # entries of the list of pictures; the third is classes that are pale where unsure


class Live(QtWidgets.QGroupBox):
    """The picture of Live and its buttons. What it shows is the worker's; the points are the user's layer.

    ``ready`` asks for a call of `follow`. ``asked`` brings the layer of a question and its title,
    ``shares`` how much of the view each class covers, in words.
    """

    ready, asked, shares = pyqtSignal(), pyqtSignal(object, str), pyqtSignal(list)

    def __init__(self, canvas: Any) -> None:
        super().__init__()
        load_window("panel_live", self)
        self.canvas, self.picture = canvas, Picture(canvas)
        self.worker: Worker | None = None
        self.ground: live_view.Ground | None = None
        self.raster, self.problem, self.view_id = "", "", 0
        self.rows: list[ClassRow] = []
        self.sent: dict[str, Any] = {}
        self.timer = QTimer(self)
        self.timer.setSingleShot(True)
        self.timer.setInterval(VIEW_MS)
        self.timer.timeout.connect(self.look)
        for signal in (canvas.extentsChanged, canvas.rotationChanged, canvas.destinationCrsChanged):
            signal.connect(self.timer.start)
        self.mode.currentIndexChanged.connect(lambda _index: self.look())
        self.opacity.valueChanged.connect(lambda percent: self.picture.setOpacity(percent / 100))
        self.cover.pressed.connect(self.picture.hide)
        self.cover.released.connect(self.picture.show)
        self.picture.setOpacity(self.opacity.value() / 100)
        self.next.clicked.connect(lambda _checked: self.ask_next())
        self._show_state("")

    # the worker

    def start(self, raster: str) -> None:
        """Start a worker for a raster."""
        self.stop()
        self.raster, self.worker = raster, Worker(raster, self)
        self.worker.told.connect(self.hear)
        self.worker.ended.connect(self.lose)
        self._show_state(tr("Live is starting…"))

    def stop(self, sentence: str = "") -> None:
        """End the worker and show nothing of it."""
        if self.worker is not None:
            self.worker.stop()
        self.worker, self.ground, self.raster = None, None, ""
        self.sent, self.problem, self.view_id = {}, "", 0
        self.picture.clear()
        self.accuracy.setText("")
        self.shares.emit([])
        self._show_state(sentence)

    def lose(self, reason: str) -> None:
        """Say that the worker has ended by itself; one press starts another."""
        self.stop(
            tr("Live has stopped: {reason}. No point is lost.").format(reason=reason.rstrip("."))
        )
        self.switch.setText(tr("Start Live again"))

    def hear(self, news: Answer) -> None:
        """Take what the worker says without being asked."""
        if news.get("ready"):
            crs = core.QgsCoordinateReferenceSystem.fromWkt(news["crs"])
            size = news["width"], news["height"]
            self.ground = live_view.Ground(crs, core.QgsRectangle(*news["bounds"]), *size)
            self._show_state("")
            self.ready.emit()
        elif news.get("event") == "accuracy":
            text = tr("On ground held out: {accuracy:.2f} ± {standard_error:.2f} ({points} points in {blocks} blocks)")  # fmt: skip
            self.accuracy.setText(text.format_map(news))
        elif news.get("event") == "warning":
            self._show_state(str(news.get("message", "")))

    def follow(self, raster: Any, layer: Any, field: str, rows: list[ClassRow]) -> None:
        """Bring the worker up to the layers as they are now; ask for a picture where they have changed."""
        if self.worker is None:
            return
        reason = panel_points.why_raster_unusable(raster)
        if reason:
            self.stop(reason)
        elif inputs.raster_path(raster) != self.raster:
            self.start(inputs.raster_path(raster))
        elif self.ground is not None:
            crs, self.rows = self.ground.crs, rows
            points = live_view.points_of(layer, field, rows, crs) if rows else []
            self._send("classes", legend=live_view.legend_of(rows))
            if self._send("points", points=points):
                self.look()
            self._show_dots()

    def _send(self, what: str, **given: list[Any]) -> bool:
        """Tell the worker the classes or the points if they are others than it knows; return whether they are."""
        if self.sent.get(what) == given:
            return False
        self.sent[what], self.problem = given, ""
        if not self.worker.ask(what, self._heed, **given):
            self.problem = tr(
                "Live takes some 12 000 points at most. Choose a layer of fewer points."
            )
        return True

    def _heed(self, answer: Answer) -> None:
        """Note which points or classes the worker cannot use."""
        found = answer.get("problems") or []
        if found:
            text = tr("Points that are not used: {count}. {reason}")
            self.problem = text.format(count=len(found), reason=found[0]["error"])
        self._show_state(self.problem or answer.get("error", ""))

    # the picture

    def look(self) -> None:
        """Ask for a picture of what is in view."""
        view = live_view.view_of(self.canvas, self.ground) if self.ground is not None else None
        if view is None:
            self.picture.clear()
            self.shares.emit([])
            return
        box, sure = view.bounds, self.mode.currentIndex() != CLASSES
        bounds = [box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()]
        size = {"width": view.width, "height": view.height, "confidence": sure}
        self.view_id = self.worker.ask("view", lambda found: self._take_view(found, box), bounds=bounds, **size)  # fmt: skip

    def _take_view(self, answer: Answer, bounds: core.QgsRectangle) -> None:
        if answer["id"] != self.view_id or answer.get("cancelled"):
            return
        if not answer["ok"]:
            self._show_state(answer["error"])
            return
        with suppress(OSError, ValueError):  # a file that a newer picture has replaced
            grid = read_grid(answer["classes"])
            sure = read_grid(answer["confidence"]) if answer.get("confidence") else None
            self.picture.show_image(
                self._image(grid, sure, answer["legend"]), bounds, self.ground.crs
            )
            self._show_shares(grid[2], answer)
        few = sum(count > 0 for count in answer["counts"].values()) < 2
        hint = tr("Click points of two classes to see a map.") if few else ""
        self._show_state(
            self.problem or hint or ("" if answer["final"] else tr("A sharper picture follows."))
        )

    def _image(self, grid: Any, sure: Any, legend: list[str]) -> Any:
        """Return the picture that was chosen: classes, sureness, or classes that are pale where unsure."""
        known = dict(zip(live_view.names_of(self.rows), live_view.colors_of(self.rows)))
        image = paint_grid(grid, [known.get(name, QColor("grey")) for name in legend])
        if sure is None:
            return image
        if self.mode.currentIndex() == SURE:
            ramp = styles.viridis()
            return paint_grid(sure, [ramp.color(percent / 100) for percent in range(101)])
        veil = paint_grid(sure, [QColor(0, 0, 0, max(percent - PALEST, 0) * 255 // (100 - PALEST)) for percent in range(101)])  # fmt: skip
        painter = QPainter(image)
        painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_DestinationIn)
        painter.drawImage(0, 0, veil)
        painter.end()
        return image

    def _show_shares(self, values: bytes, answer: Answer) -> None:
        """Tell which part of the view each class covers, and which class has one point only."""
        known = max(len(values) - values.count(UNKNOWN), 1)
        shares = {name: values.count(i) / known for i, name in enumerate(answer["legend"])}
        weak = {name: tr("(one point)") for name in answer["weak"]}
        names = live_view.names_of(self.rows)
        self.shares.emit(
            [f"{shares.get(name, 0):.0%} {weak.get(name, '')}".strip() for name in names]
        )

    def _show_dots(self) -> None:
        here, crs = self.canvas.mapSettings().destinationCrs(), self.ground.crs
        known = dict(zip(live_view.names_of(self.rows), live_view.colors_of(self.rows)))
        places = ((core.QgsPointXY(row["x"], row["y"]), row["class"]) for row in self.sent["points"]["points"])  # fmt: skip
        moved = ((panel_points.moved(place, crs, here), known[name]) for place, name in places)
        self.picture.show_dots((place, color) for place, color in moved if place is not None)

    # questions and models

    def ask_next(self) -> None:
        """Ask the worker where the next point helps most."""
        if self.ground is not None:
            self.worker.ask("next", self._take_question)

    def _take_question(self, answer: Answer) -> None:
        if answer["ok"]:
            title = load_table("panel.json")["questions"].get(answer.get("kind"), "")
            self.asked.emit(live_view.question_layer(self.ground.crs, answer), tr(title))
        self._show_state(answer.get("error", ""))

    def keep(self, folder: str, then: Callable[[str], None]) -> None:
        """Have the model of now written to a folder, and go on with it."""

        def take(answer: Answer) -> None:
            self._show_state(answer.get("error", ""))
            if answer["ok"]:
                then(answer["folder"])

        self.worker.ask("save", take, folder=folder)

    def _show_state(self, sentence: str) -> None:
        on = self.worker is not None
        self.state.setText(sentence)
        self.state.setVisible(bool(sentence))
        self.switch.setText(tr("Live"))
        self.switch.setChecked(on)
        for part in (self.mode, self.opacity, self.cover, self.next, self.kept, self.accuracy):
            part.setVisible(on)
            part.setEnabled(self.ground is not None)
