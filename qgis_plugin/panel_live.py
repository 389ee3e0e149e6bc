"""Live: the map of what is in view follows every point; a model of it is one button away."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from qgis import core
from qgis.PyQt import QtWidgets
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtGui import QColor

from . import inputs, memory, panel_points, panel_widgets, styles
from . import live_picture as live
from .live_picture import UNKNOWN, Picture, paint_grid, read_grid
from .live_worker import Answer, Worker
from .tasks import load_table
from .translation import load_window, tr

VIEW_MS = 40


class Live(QtWidgets.QGroupBox):
    """The picture of Live and its buttons in the panel. The model is the worker's, the points are the user's layer."""

    def __init__(self, panel: Any) -> None:
        super().__init__()
        load_window("panel_live", self)
        self.panel, self.canvas, self.picture = panel, panel.canvas, Picture(panel.canvas)
        self.worker: Worker | None = None
        self.colors: dict[str, QColor] = {}
        self.timer = QTimer(self, singleShot=True, interval=VIEW_MS)
        for signal, slot in (
            (self.timer.timeout, self.look), (self.mode.currentIndexChanged, lambda _index: self.look()),
            (self.canvas.extentsChanged, self.timer.start), (self.canvas.rotationChanged, lambda _angle: self.timer.start()),
            (self.canvas.destinationCrsChanged, self.picture.clear), (self.canvas.destinationCrsChanged, self.timer.start),
            (self.opacity.valueChanged, lambda percent: self.picture.setOpacity(percent / 100)),
            (self.cover.pressed, self.picture.hide), (self.cover.released, lambda: self.picture.setVisible(not panel.asking)),
            (panel.tool.held, lambda on: self.picture.setVisible(not (on or panel.asking))), (self.switch.clicked, lambda _on: self.toggle()),
            (self.next.clicked, lambda _on: self.ask_next()), (self.kept.clicked, lambda _on: self.keep(self.take_model)),
        ):  # fmt: skip
            signal.connect(slot)
        self.picture.setOpacity(self.opacity.value() / 100)

    # folders that QGIS does not open

    def open_scene(self, folder: str) -> None:
        """Have the library open a folder."""
        if folder and self.panel.is_set_up():
            self.panel.say(tr("Opening {name}…", name=Path(folder).name))
            worker = Worker(folder, self.panel.runs)
            worker.told.connect(lambda news: self.take_scene(worker, folder, news) if news.get("ready") else None)
            worker.ended.connect(self.panel.say)

    def take_scene(self, worker: Worker, folder: str, news: Answer) -> None:
        """Take a folder as the image, by a layer that stands for it, and show where it lies."""
        worker.stop()
        path = memory.free_path(memory.default_folder(), Path(folder).stem, ".vrt")
        try:
            image = inputs.layer_of_scene(folder, news, path)
        except OSError as error:
            self.panel.say(tr("No file can be written beside the points: {reason}").format(reason=error))
            return
        here, project = self.canvas.mapSettings().destinationCrs(), core.QgsProject.instance()
        self.panel.form.raster.setLayer(project.addMapLayer(image))
        self.panel.form.remember()
        there = core.QgsCoordinateTransform(image.crs(), here, project)
        self.canvas.setExtent(there.transformBoundingBox(image.extent()))
        self.panel.say(tr("'{name}' is the image. It has no picture: click on imagery, or watch Live.", name=path.stem))

    # the worker

    def toggle(self) -> None:
        """Start or end Live, or say what it lacks."""
        chosen, reason = self.panel.form.chosen(), ""
        if self.worker is None:
            reason = panel_points.why_raster_unusable(chosen.raster)
            reason = reason or panel_points.why_unusable(chosen.points, chosen.field, chosen.raster)
            if not reason and self.panel.is_set_up():
                self.panel.form.remember()
                self.start(inputs.raster_path(chosen.raster))
                return
        self.stop(reason)

    def start(self, raster: str) -> None:
        """Start a worker for a raster."""
        self.stop()
        self.raster, self.worker = raster, Worker(raster, self)
        self.worker.told.connect(self.hear)
        self.worker.ended.connect(self.lose)
        self._say(tr("Live is starting…"))

    def stop(self, sentence: str = "") -> None:
        """End the worker and show nothing of it."""
        if self.worker is not None:
            self.worker.stop()
        self.worker, self.ground, self.raster = None, None, ""
        self.sent, self.problem, self.view_id = {}, "", 0
        self.picture.clear()
        self.accuracy.setText("")
        self._say(sentence)

    def lose(self, reason: str) -> None:
        """Say that the worker has ended by itself; one press starts another."""
        self.stop(tr("Live has stopped: {reason}. No point is lost.").format(reason=reason.rstrip(".")))
        self.switch.setText(tr("Start Live again"))

    def hear(self, news: Answer) -> None:
        """Take what the worker says without being asked."""
        if news.get("ready"):
            crs = core.QgsCoordinateReferenceSystem.fromWkt(news["crs"])
            box = core.QgsRectangle(*news["bounds"])
            self.ground = live.Ground(crs, box, box.width() / news["width"], box.height() / news["height"])
            self._say("")
            self.panel.refresh()
        elif news.get("event") == "accuracy":
            self.accuracy.setText(tr("On ground held out: {accuracy:.2f} ± {standard_error:.2f} ({points} points in {blocks} blocks)", **news))  # fmt: skip
        elif news.get("event") == "warning":
            self._say(str(news.get("message", "")))

    def follow(self, raster: Any, layer: Any, field: str, rows: list[panel_points.ClassRow]) -> None:
        """Bring the worker up to the layers as they are now; ask for a picture where they have changed."""
        reason = panel_points.why_raster_unusable(raster)
        if self.worker is None:
            return
        if reason:
            self.stop(reason)
        elif inputs.raster_path(raster) != self.raster:
            self.start(inputs.raster_path(raster))
        elif self.ground is not None:
            self.colors = live.classes_of(rows)
            points = live.points_of(layer, field, rows, self.ground.crs) if rows and layer.crs().isValid() else []
            new = [self._send("classes", legend=live.legend_of(rows)), self._send("points", points=points)]
            if any(new):
                self.look()

    def _send(self, what: str, **given: list[Any]) -> bool:
        """Tell the worker the classes or the points if they are others than it knows; return whether they are."""
        if self.sent.get(what) == given:
            return False
        self.sent[what], self.problem = given, ""
        if not self.worker.ask(what, self._heed, **given):
            self.problem = tr("Live takes some 12 000 points at most. Choose a layer of fewer points.")
        return True

    def _heed(self, answer: Answer) -> None:
        """Note which points or classes the worker cannot use."""
        found = answer.get("problems")
        if found:
            self.problem = tr("Points that are not used: {count}. {reason}", count=len(found), reason=found[0]["error"])
        self._say(self.problem or answer.get("error", ""))

    # the picture

    def look(self) -> None:
        """Ask for a picture of what is in view."""
        view = live.view_of(self.canvas, self.ground) if self.ground is not None else None
        if view is None:
            self.picture.clear()
            return
        here, rows = self.canvas.mapSettings().destinationCrs(), self.sent.get("points", {"points": []})["points"]
        places = (panel_points.moved(core.QgsPointXY(row["x"], row["y"]), self.ground.crs, here) for row in rows)
        self.picture.dots = [(p, self.colors[row["class"]]) for p, row in zip(places, rows) if p is not None]
        self.picture.update()
        box, size = view.bounds, {"width": view.width, "height": view.height}
        asked = {"bounds": [box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()], **size}
        sure = bool(self.mode.currentIndex())
        self.view_id = self.worker.ask("view", lambda found: self._take_view(found, box), confidence=sure, **asked)

    def _take_view(self, answer: Answer, bounds: core.QgsRectangle) -> None:
        if answer["id"] != self.view_id or not answer["ok"]:
            self._say("" if answer.get("cancelled") else answer.get("error", ""))
            return
        with suppress(OSError, ValueError, SyntaxError):  # a file that a newer picture has replaced
            grid, colors = read_grid(answer["classes"]), [self.colors.get(name, QColor()) for name in answer["legend"]]
            self._show_shares(grid[2], answer)
            if answer.get("confidence"):
                grid = read_grid(answer["confidence"])
                colors = [styles.viridis().color(percent / 100) for percent in range(101)]
            self.picture.show_image(paint_grid(grid, colors), bounds, self.ground.crs)
        few = sum(count > 0 for count in answer.get("counts", {}).values()) < 2
        hint = tr("Click points of two classes to see a map.") if few else ""
        self._say(self.problem or hint or ("" if answer.get("final", True) else tr("A sharper picture follows.")))

    def _show_shares(self, values: bytes, answer: Answer) -> None:
        """Show which part of the view each class covers, and which class has one point only."""
        known = max(len(values) - values.count(UNKNOWN), 1)
        shares = {name: values.count(i) / known for i, name in enumerate(answer["legend"])}
        weak = {name: tr("(one point)") for name in answer.get("weak", ())}
        texts = [f"{shares.get(name, 0):.0%} {weak.get(name, '')}".strip() for name in self.colors]
        self.panel.classes.show_shares(texts)

    # questions and models

    def ask_next(self) -> None:
        """Ask the worker where the next point helps most."""
        if self.ground is not None:
            self.worker.ask("next", self._take_question)

    def _take_question(self, answer: Answer) -> None:
        self._say(answer.get("error", ""))
        if answer["ok"]:
            title = load_table("panel.json")["questions"].get(answer.get("kind"), "")
            self.panel.ask_live(live.question_layer(self.ground.crs, answer), tr(title))

    def keep(self, then: Callable[[str], None]) -> None:
        """Have the model of now written to a folder that is new, and go on with it."""

        def take(answer: Answer) -> None:
            self._say(answer.get("error", ""))
            if answer["ok"]:
                then(answer["folder"])

        self.worker.ask("save", take, folder=self.panel.form.new_model_folder())

    def take_model(self, folder: str) -> None:
        """Take the model that the worker has written."""
        self.panel.form.set_model(folder)
        self.panel.form.remember()
        self.panel.say(tr("The model is kept in {folder}.").format(folder=folder))

    def map_everything(self) -> None:
        """Keep the model of now and map the whole raster with it."""
        self.keep(lambda folder: (self.take_model(folder), self.panel.run("map", "")))

    def _say(self, sentence: str) -> None:
        """Show a sentence, and buttons as they are of use now; steps are called by what they do with Live."""
        on = self.worker is not None
        self.state.setText(sentence)
        self.state.setVisible(bool(sentence))
        self.switch.setText(tr("Live"))
        self.switch.setChecked(on)
        for part in (self.mode, self.opacity, self.cover, self.next, self.kept, self.accuracy):
            part.setVisible(on)
            part.setEnabled(self.ground is not None)
        for name, words in load_table("panel.json")["live"].items():
            step = panel_widgets.steps()[name]
            self.panel.steps[name].setText(tr(words[0]) if on else step.label)
            self.panel.steps[name].setToolTip(tr(words[1]) if on else step.help)
        if self.ground is None:
            self.panel.classes.show_shares([])
