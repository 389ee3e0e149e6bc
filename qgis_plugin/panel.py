"""The panel: click points class by class, train, map, assess, and answer where to click next."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from qgis import core
from qgis.gui import QgsVertexMarker
from qgis.PyQt import QtWidgets
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QColor

from . import memory, panel_points, panel_steps, panel_walk
from .panel_form import RESULT, Form, describe_model
from .panel_new import SPARE, NewPoints
from .panel_run import Ended, Runs
from .panel_tool import BACK, NUMBERS, SKIP, ClickTool
from .panel_watch import Watch
from .panel_widgets import ENOUGH, ChoiceBox, ClassList, QuestionBox, StepButtons, wrapped
from .translation import tr

Project = core.QgsProject.instance


class Panel(QtWidgets.QDockWidget):
    """Everything between an image and an assessed map in one place.

    What is clicked goes into the user's own layer, as one edit a click; nothing else of the layer is changed.
    """

    def __init__(self, iface: Any) -> None:
        super().__init__("geopointseg", iface.mainWindow())
        self.setObjectName("geopointsegPanel")
        self.iface, self.canvas = iface, iface.mapCanvas()
        self.walk: panel_walk.Walk | None = None
        self.asking, self.class_at = False, -1
        self.rows: list[panel_points.ClassRow] = []
        self.counts: Counter[str] = Counter()
        self.extra: dict[str, list[str]] = {}
        self.started: set[str] = set()
        self.last_step = ""
        self.tool, self.runs = ClickTool(self.canvas), Runs(self)
        self.watch = Watch(self.canvas, self)
        self.marker: QgsVertexMarker | None = None
        self._make()
        self._lay_out()
        self._connect()
        self.restore()

    def _make(self) -> None:
        self.form, self.classes, self.box = Form(), ClassList(), QuestionBox()
        self.steps, self.choice = StepButtons(), ChoiceBox()
        self.hint, self.total, self.said = wrapped(), wrapped(), wrapped()
        self.said.setObjectName("geopointsegSaid")
        self.undo, self.redo = QtWidgets.QPushButton(tr("Undo")), QtWidgets.QPushButton(tr("Redo"))
        self.save, self.add_class = QtWidgets.QPushButton(tr("Save")), QtWidgets.QPushButton(tr("Add class…"))  # fmt: skip
        self.resume = QtWidgets.QPushButton()
        self.bar, self.cancel = QtWidgets.QProgressBar(), QtWidgets.QPushButton(tr("Cancel"))

    def _lay_out(self) -> None:
        edits, run = QtWidgets.QHBoxLayout(), QtWidgets.QHBoxLayout()
        for button in (self.add_class, self.undo, self.redo, self.save):
            edits.addWidget(button)
        run.addWidget(self.bar, 1)
        run.addWidget(self.cancel)
        content = QtWidgets.QWidget()
        column = QtWidgets.QVBoxLayout(content)
        for part in (
            self.form, self.hint, self.classes, self.total, edits, self.resume, self.box, self.steps,
            run, self.choice, self.said,
        ):  # fmt: skip
            (column.addWidget if isinstance(part, QtWidgets.QWidget) else column.addLayout)(part)
        column.setStretchFactor(self.classes, 1)
        self.setWidget(content)
        self._show_run(running=False)

    def _connect(self) -> None:
        self.form.changed.connect(self.follow)
        self.form.new_wanted.connect(self.new_points)
        self.form.model_chosen.connect(lambda folder: self.say(describe_model(folder)))
        self.watch.edited.connect(self.refresh)
        self.classes.picked.connect(self.pick)
        self.tool.clicked.connect(self.click)
        self.tool.typed.connect(self.key)
        self.tool.deactivated.connect(self.refresh)
        for button, act in (
            (self.undo, self.step_back), (self.redo, self.step_forward), (self.save, self.save_edits),
            (self.add_class, self.ask_class), (self.resume, self.ask), (self.cancel, self.runs.cancel),
            (self.box.back, lambda: self.move("go_back")), (self.box.skip, lambda: self.move("skip")),
            (self.box.zoom, self.show_place), (self.box.close_box, self.stop_asking),
        ):  # fmt: skip
            button.clicked.connect(lambda _checked, act=act: act())
        self.box.answered.connect(self.answer)
        self.steps.pressed.connect(self.press)
        self.steps.form_wanted.connect(self.open_form)
        self.runs.started.connect(lambda: self._show_run(running=True))
        self.runs.ended.connect(lambda: self._show_run(running=False))
        self.runs.progress.connect(lambda percent: self.bar.setValue(int(percent)))
        self.runs.told.connect(self.say)
        Project().layersAdded.connect(self.see_layers)
        Project().layersWillBeRemoved.connect(self.lose_layers)
        Project().readProject.connect(self.restore)
        Project().cleared.connect(self.restore)

    # layers

    def restore(self, *_document: object) -> None:
        """Take up what the project remembers."""
        self.walk, self.asking, self.class_at, self.last_step = None, False, -1, ""
        self.see_layers(Project().mapLayers().values())
        self.form.restore()
        self.follow()

    def see_layers(self, layers: Any) -> None:
        """Offer the questions of a layer that was added."""
        for layer in layers:
            if panel_walk.asks(layer):
                self.walk = panel_walk.Walk(layer, self.form.points.currentLayer())
        self.follow()

    def lose_layers(self, removed: Any) -> None:
        """Drop the questions of a layer that is removed."""
        if self.walk is not None and self.walk.layer.id() in removed:
            self.stop_asking()
            self.walk = None
        self.watch.follow(one for one in self.watch.layers if one.id() not in removed)

    def follow(self) -> None:
        """Watch the chosen layers."""
        points = self.form.points.currentLayer()
        if self.walk is not None and not self.walk.is_sample:
            self.walk.target = points
        self.watch.follow({points, self.walk.layer if self.walk is not None else None})

    def target(self) -> tuple[core.QgsVectorLayer | None, str]:
        """Return the layer that takes clicks or answers now, and its class field."""
        if self.asking and self.walk is not None and self.walk.is_sample:
            return self.walk.layer, self.walk.field("")
        return self.form.points.currentLayer(), self.form.field.currentField()

    def new_points(self) -> None:
        """Ask for classes and make a layer for them, ready to be clicked."""
        dialog = NewPoints(self, self.form.raster.currentLayer())
        if dialog.exec() and dialog.layer is not None:
            self.adopt(dialog.layer)
            self.pick(0)

    def adopt(self, layer: core.QgsVectorLayer) -> None:
        """Add a layer to the project and work with it."""
        Project().addMapLayer(layer)
        self.form.points.setLayer(layer)
        self.form.remember()
        self.refresh()

    def offer_copy(self, layer: core.QgsVectorLayer, reason: str) -> None:
        """Offer a copy of a layer that cannot be edited."""
        path = memory.free_path(memory.default_folder(layer), layer.name(), ".gpkg")

        def copy() -> None:
            try:
                self.adopt(panel_points.copy_layer(layer, path))
            except core.QgsProcessingException as error:
                self.say(str(error))

        self.choice.offer(reason, {tr("Make a copy"): copy})

    # showing

    def refresh(self) -> None:
        """Show classes, counts and what to do, from the layers as they are now."""
        self.form.refresh()
        layer, field = self.target()
        usable = layer is not None and bool(field)
        self.counts = panel_points.count_classes(layer, field) if usable else Counter()
        self.counts.update(dict.fromkeys(self.extra.get(layer.id(), ()) if usable else (), 0))
        self.rows = panel_points.class_rows(layer, field, self.counts) if usable else []
        active = self.canvas.mapTool() is self.tool and not self.asking
        self.classes.show_rows(self.rows, self.counts, self.class_at if active else -1)
        self.total.setText(self.summary(layer) if usable else "")
        stack = layer.undoStack() if layer is not None else None
        self.undo.setEnabled(stack is not None and stack.canUndo())
        self.redo.setEnabled(stack is not None and stack.canRedo())
        self.save.setEnabled(usable and layer.isModified())
        self.add_class.setEnabled(usable and not self.asking)
        self._refresh_walk()
        self.hint.setText(self.advice(active=active))
        self.steps.point_at(self.next_step())

    def _refresh_walk(self) -> None:
        walk, field = self.walk, self.target()[1]
        if walk is not None and walk.questions:
            before = walk.at
            walk.refresh(walk.field(field))
            if self.asking and not walk.open:
                self.finish_asking()
            elif self.asking and walk.at != before:
                self.show_place()
        left = len(walk.open) if walk is not None else 0
        self.resume.setText(tr("Answer the questions ({count} open)").format(count=left))
        self.resume.setVisible(left > 0 and not self.asking)
        self.box.setVisible(self.asking)
        if self.asking and walk is not None:
            self.box.ask(walk, self.rows)
        self._mark_place()

    def summary(self, layer: core.QgsVectorLayer) -> str:
        """Say how many points there are and whether they are saved."""
        counted = [sum(self.counts[v] for v in row.values) for row in self.rows]
        text = tr("{points} points in {classes} classes.").format(
            points=sum(counted), classes=sum(count > 0 for count in counted)
        )
        if self.counts[""] and not self.asking:
            text += " " + tr("{count} without a class.").format(count=self.counts[""])
        if counted and min(counted) < ENOUGH and not self.asking:
            text += " " + tr("Aim at {count} or more in each class.").format(count=ENOUGH)
        return text + (" " + tr("Not saved yet.") if layer.isModified() else "")

    def advice(self, *, active: bool) -> str:
        """Say what to do now, or what prevents it."""
        raster, (layer, field) = self.form.raster.currentLayer(), self.target()
        reason = panel_points.why_raster_unusable(raster) or panel_points.why_unusable(
            layer, field, raster
        )
        if reason:
            return f"<b>{reason}</b>"
        if self.asking:
            return tr("Which class is it? Click on it here, or press its key.")
        if active and 0 <= self.class_at < len(self.rows):
            text = tr(
                "Click on the map where you see: <b>{name}</b>. Press a key for another class."
            )
            return text.format(name=self.rows[self.class_at].label)
        return tr("Pick a class, then click on the map where you see it.")

    def next_step(self) -> str:
        """Return the step that comes next; it is shown in bold."""
        if self.asking or not sum(self.counts.values()):
            return ""
        order = {"": "check", "check": "train", "train": "map", "map": "next", "assess": "next", "next": "train", "sample": "assess"}  # fmt: skip
        return order[self.last_step]

    def say(self, text: str) -> None:
        """Show a sentence at the foot of the panel."""
        self.said.setText(text)

    def _show_run(self, *, running: bool) -> None:
        self.steps.setEnabled(not running)
        self.bar.setVisible(running)
        self.cancel.setVisible(running)
        self.bar.setValue(0)

    # clicking

    def pick(self, number: int) -> None:
        """Choose a class for the next clicks, or answer the question with it."""
        if self.asking:
            self.answer(number)
            return
        layer, _ = self.target()
        if layer is None or not 0 <= number < len(self.rows):
            return
        reason = panel_points.why_fixed(layer)
        if reason:
            self.offer_copy(layer, reason)
            return
        self.class_at = number
        self.iface.setActiveLayer(layer)
        self._take_map()
        self.refresh()

    def _take_map(self) -> None:
        self.canvas.setMapTool(self.tool)
        self.canvas.setFocus()

    def key(self, key: str) -> None:
        """Take a key that was pressed over the map."""
        if key in NUMBERS:
            self.pick(NUMBERS.index(key))
        elif self.asking and key in BACK + SKIP:
            self.move("go_back" if key == BACK else "skip")

    def click(self, place: core.QgsPointXY) -> None:
        """Add a point of the chosen class."""
        layer, field = self.target()
        if self.asking:
            self.say(tr("Answer the question, or press 'Later' to click points freely."))
            return
        if layer is None or not field or not 0 <= self.class_at < len(self.rows):
            self.say(tr("Pick a class first, then click on the map."))
            return
        here = self.canvas.mapSettings().destinationCrs()
        point = panel_points.moved(place, here, layer.crs())
        self._note_editing(layer)
        value = self.rows[self.class_at].values[0]
        reason = panel_points.add_point(layer, field, value, point) if point is not None else tr("This place does not exist in the layer's CRS.")  # fmt: skip
        self.say(reason or self._beside_raster(place, here))

    def _note_editing(self, layer: core.QgsVectorLayer) -> None:
        if not layer.isEditable():
            self.started.add(layer.id())

    def _beside_raster(self, place: core.QgsPointXY, crs: Any) -> str:
        raster = self.form.raster.currentLayer()
        seen = panel_points.moved(place, crs, raster.crs()) if raster is not None else None
        if raster is None or (seen is not None and raster.extent().contains(seen)):
            return ""
        text = tr("This point lies outside of '{raster}' and cannot be used with it.")
        return text.format(raster=raster.name())

    def step_back(self) -> None:
        """Undo the last edit of the layer."""
        self.target()[0].undoStack().undo()

    def step_forward(self) -> None:
        """Do the edit again that was undone."""
        self.target()[0].undoStack().redo()

    def save_edits(self) -> None:
        """Write the edits to the layer's file and go on editing."""
        layer, _ = self.target()
        if layer is not None and not layer.commitChanges(False):
            self.say(tr("Not saved: {reason}").format(reason=" ".join(layer.commitErrors())))

    def ask_class(self) -> None:
        """Ask for the name of one more class."""
        layer, field = self.target()
        name, ok = QtWidgets.QInputDialog.getText(self, tr("Add class"), tr("Name of the class"))
        name = name.strip()
        if not ok or not name or layer is None:
            return
        if name.casefold() in (row.label.casefold() for row in self.rows):
            self.say(tr("The class '{name}' is there already.").format(name=name))
            return
        if panel_points.find_class_field(layer) == field and isinstance(layer.renderer(), core.QgsCategorizedSymbolRenderer):  # fmt: skip
            panel_points.add_class(layer, field, name, SPARE[len(self.rows) % len(SPARE)])
        else:
            self.extra.setdefault(layer.id(), []).append(name)
        self.refresh()

    # questions

    def ask(self) -> None:
        """Begin or go on with the questions."""
        if self.walk is None or not self.walk.open:
            return
        self.asking = True
        if self.walk.current.fid not in self.walk.open:
            self.walk.go_on()
        self._take_map()
        self.iface.setActiveLayer(self.walk.target)
        self.show_place()
        self.refresh()

    def stop_asking(self) -> None:
        """Leave the questions for later; clicks are points again."""
        self.asking = False
        self.refresh()

    def finish_asking(self) -> None:
        """Say what comes after the last answer."""
        self.asking = False
        sample = self.walk is not None and self.walk.is_sample
        self.last_step = "sample" if sample else "next"
        self.say(tr("All test points are labelled. Next: 'Assess'.") if sample else tr("All questions are answered. Next: 'Train'."))  # fmt: skip

    def answer(self, number: int) -> None:
        """Answer the question with a class, and show the next."""
        layer, field = self.target()
        if self.walk is None or layer is None or not 0 <= number < len(self.rows):
            return
        self._note_editing(layer)
        reason = self.walk.answer(field, self.rows[number].values[0])
        self.say(reason)
        if not reason and self.walk.open:
            self.show_place()
        self.refresh()
        self.canvas.setFocus()

    def move(self, way: str) -> None:
        """Go to another question."""
        if self.walk is not None:
            getattr(self.walk, way)()
            self.show_place()
            self.refresh()

    def show_place(self) -> None:
        """Move the map to the place of the question."""
        raster, here = self.form.raster.currentLayer(), self.canvas.mapSettings().destinationCrs()
        place = self.walk.place(here) if self.walk is not None else None
        if place is None:
            return
        pixel = raster.rasterUnitsPerPixelX() if raster is not None and raster.crs() == here else self.canvas.mapUnitsPerPixel() / 4  # fmt: skip
        panel_walk.show(self.canvas, place, pixel)

    def _mark_place(self) -> None:
        if self.marker is not None:
            self.canvas.scene().removeItem(self.marker)
            self.marker = None
        here = self.canvas.mapSettings().destinationCrs()
        place = self.walk.place(here) if self.asking and self.walk is not None else None
        if place is not None:
            self.marker = QgsVertexMarker(self.canvas)
            self.marker.setIconType(QgsVertexMarker.IconType.ICON_CIRCLE)
            self.marker.setIconSize(34)
            self.marker.setPenWidth(4)
            self.marker.setColor(QColor("#ff00a8"))
            self.marker.setCenter(place)

    # steps

    def press(self, step: str) -> None:
        """Run a step, or say what it lacks."""
        chosen = self.form.chosen()
        raster = chosen.raster
        reason = "" if step in ("assess", "sample") else panel_points.why_raster_unusable(raster)
        if step in ("check", "train", "next") and not reason:
            reason = panel_points.why_unusable(chosen.points, chosen.field, raster)
        reason = reason or panel_steps.missing(step, chosen)
        self.choice.hide()
        if reason:
            self.say(reason)
        elif step == "train":
            self._train(chosen)
        elif step == "assess" and chosen.test is None:
            self._offer_sample()
        else:
            self.run(step, panel_steps.answers(step, chosen))

    def _train(self, chosen: Chosen) -> None:
        fresh = memory.default_model_folder(chosen.points)

        def train(folder: str) -> None:
            self.run("train", panel_steps.answers("train", chosen, model_folder=folder))

        if not chosen.model:
            train(fresh)
            return
        text = tr("The model '{name}' exists. Replace it, or keep it and train another one?")
        choices = {
            tr("Replace"): lambda: train(chosen.model),
            tr("Keep both"): lambda: train(fresh),
        }
        self.choice.offer(text.format(name=Path(chosen.model).name), choices)

    def _offer_sample(self) -> None:
        text = tr(
            "Accuracy is measured with points that the model has not seen. {count} places can be drawn at random for you to label, like questions. Or choose a layer of test points above."
        )
        draw = {tr("Draw test points"): lambda: self.press("sample")}
        self.choice.offer(text.format(count=panel_steps.SAMPLE_COUNT), draw)

    def run(self, step: str, answers: dict[str, Any]) -> None:
        """Start the algorithm of a step."""
        self.form.remember()
        self.say("")
        names = {one.key: one.algorithm for one in panel_steps.steps()}
        self.runs.start(names[step], answers, lambda ended: self.after(step, ended))

    def after(self, step: str, ended: Ended) -> None:
        """Take the results of a step and say what comes next."""
        if not ended.ok:
            self.say(ended.sentence or tr("Cancelled. No output was written."))
            return
        self.last_step = step
        for layer in ended.layers:
            self._take_result(step, layer)
        if step == "train":
            self.form.set_model(ended.results["OUTPUT"])
        self.form.remember()
        self.say(ended.sentence or panel_steps.next_step(step))
        self.refresh()
        if step in ("next", "sample"):
            self.ask()

    def _take_result(self, step: str, layer: core.QgsMapLayer) -> None:
        earlier = [one.id() for one in Project().mapLayers().values() if one.customProperty(RESULT) == step and one.id() != layer.id()]  # fmt: skip
        layer.setCustomProperty(RESULT, step)
        if step == "map":
            memory.remember(memory.MAP, layer)
        elif step == "sample":
            self.form.test.setLayer(layer)
        elif step == "next":
            panel_walk.mark(layer)
        elif layer.featureCount() == 0:
            earlier.append(layer.id())
        if step in ("check", "next"):
            Project().removeMapLayers(earlier)

    def open_form(self, step: str) -> None:
        """Open the whole form of a step, filled in with what the panel knows."""
        import processing

        chosen = self.form.chosen()
        names = {one.key: one.algorithm for one in panel_steps.steps()}
        folder = memory.default_model_folder(chosen.points)
        known = panel_steps.answers(step, chosen, model_folder=folder) if chosen.raster is not None and chosen.map is not None or step not in ("assess",) else {}  # fmt: skip
        dialog = processing.createAlgorithmDialog(f"geopointseg:{names[step]}", known)
        dialog.setParent(self.iface.mainWindow(), Qt.WindowType.Dialog)
        dialog.show()

    # leaving

    def leave(self) -> None:
        """Give the map back, and end an editing that the panel began where nothing was edited."""
        self.asking = False
        self._mark_place()
        self.canvas.unsetMapTool(self.tool)
        for layer in (Project().mapLayer(name) for name in self.started):
            if layer is not None and layer.isEditable() and not layer.isModified():
                layer.rollBack()
        self.started.clear()

    def closeEvent(self, event: Any) -> None:
        """Leave the user's layers as they were."""
        self.leave()
        super().closeEvent(event)
