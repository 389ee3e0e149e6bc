"""The panel: click points class by class, train, map, assess, and answer where to click next."""

import html
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qgis import core
from qgis.gui import QgsVertexMarker
from qgis.PyQt import QtWidgets
from qgis.PyQt.QtCore import QUrl
from qgis.PyQt.QtGui import QColor

from . import interpreter, memory, panel_points, panel_walk, panel_widgets
from .panel_live import Live
from .panel_watch import BACK, NEXT, NUMBERS, SKIP, ClickTool, Watch
from .panel_widgets import RESULT, Form, NewPoints, project_layers
from .runner import Runs
from .setup_page import SetupPage
from .translation import load_window, tr

FINDINGS, Project = 6, core.QgsProject.instance


class Panel(QtWidgets.QDockWidget):
    """Everything between an image and an assessed map in one place.

    What is clicked goes into the user's own layer, one edit a click; nothing else of it is changed.
    """

    def __init__(self, iface: Any) -> None:
        super().__init__(iface.mainWindow())
        self.iface, self.canvas = iface, iface.mapCanvas()
        self.rows, self.counts = [], Counter()
        self.extra: dict[str, list[str]] = {}  # classes that have no point and no style yet
        self.hidden, self.started = set(), set()  # maps while questions are asked, and layers whose editing began here
        self.tool, self.runs = ClickTool(self.canvas), Runs(self)
        self.watch = Watch(self)
        self._make()
        self._connect()
        self.restore()

    def _make(self) -> None:
        load_window("panel", self)
        self.form, self.classes = Form(), panel_widgets.ClassList()
        self.box, self.live = panel_widgets.QuestionBox(), Live(self)
        self.steps: dict[str, Any] = {}
        for place, part in ((0, self.form), (2, self.classes), (5, self.live), (7, self.box)):
            self.column.insertWidget(place, part)
        self.column.setStretchFactor(self.classes, 1)
        for button, icon in ((self.undo, "Undo"), (self.redo, "Redo"), (self.save, "SaveEdits")):
            button.setIcon(core.QgsApplication.getThemeIcon(f"/mAction{icon}.svg"))
        for place, (name, step) in enumerate(panel_widgets.steps().items()):
            self.steps[name] = QtWidgets.QPushButton(step.label, toolTip=step.help, visible=bool(step.label))
            self.grid.addWidget(self.steps[name], place // 3, place % 3)
        width = self.scroll.verticalScrollBar().sizeHint().width()
        self.scroll.setMinimumWidth(self.content.minimumSizeHint().width() + width)
        self._show_run(running=False)
        self.marker = QgsVertexMarker(self.canvas)
        self.marker.setIconType(QgsVertexMarker.IconType.ICON_CIRCLE)
        self.marker.setIconSize(44)
        self.marker.setPenWidth(4)
        self.marker.setColor(QColor(panel_walk.COLOR))

    def _connect(self) -> None:
        buttons = {
            self.undo: lambda: self.target()[0].undoStack().undo(), self.save: self.save_edits,
            self.redo: lambda: self.target()[0].undoStack().redo(), self.add_class: self.ask_class,
            self.resume: self.ask, self.box.later: self.stop_asking, self.box.zoom: self.show_place,
            self.box.back: lambda: self.key(BACK), self.box.skip: lambda: self.key(SKIP), self.cancel: self.runs.cancel,
            **{button: lambda name=name: self.press(name) for name, button in self.steps.items()},
        }  # fmt: skip
        for button, act in buttons.items():
            button.clicked.connect(lambda _checked, act=act: act())
        for signal, slot in (
            (self.form.changed, self.follow), (self.form.new_wanted, self.new_points),
            (self.form.model_chosen, lambda folder: self.say(panel_widgets.describe_model(folder))),
            (self.form.scene_chosen, self.live.open_scene), (self.watch.edited, self.refresh), (self.classes.picked, self.pick), (self.tool.clicked, self.click),
            (self.tool.typed, self.key), (self.tool.deactivated, self.watch.note), (self.box.answered, self.answer),
            (self.runs.stage, self.say), (self.runs.running, lambda on: self._show_run(running=on)),
            (self.runs.progress, self.bar.setValue),
            (Project().layersAdded, self.see_layers), (Project().layersWillBeRemoved, self.lose_layers),
            (Project().readProject, self.restore), (Project().cleared, self.restore),
        ):  # fmt: skip
            signal.connect(slot)

    # layers

    def restore(self, *_document: object) -> None:
        """Take up what the project remembers."""
        self.walk, self.asking, self.class_at, self.last_step = None, False, -1, ""
        self.live.stop()
        self.form.restore()
        self.see_layers(project_layers())

    def see_layers(self, layers: Any) -> None:
        """Offer the questions of a layer that was added."""
        for layer in layers:
            if panel_walk.is_suggested(layer) or panel_walk.is_sample(layer):
                self.walk, self.asking = panel_walk.Walk(layer), False
        self.follow()

    def lose_layers(self, removed: Any) -> None:
        """Let go of layers that are removed."""
        if self.walk is not None and self.walk.layer.id() in removed:
            self.walk, self.asking = None, False
        self.watch.follow([one for one in self.watch.layers if one.id() not in removed])

    def follow(self) -> None:
        """Watch the chosen layers."""
        points = self.form.points.currentLayer()
        if self.walk is not None and not self.walk.is_sample:
            self.walk.target = points
        self.watch.follow([points, *([self.walk.layer] if self.walk is not None else [])])

    def target(self) -> tuple[Any, str]:
        """Return the layer that takes clicks or answers now, and its class field."""
        if self.asking and self.walk is not None and self.walk.is_sample:
            return self.walk.layer, panel_points.CLASS_FIELD
        return self.form.points.currentLayer(), self.form.field.currentField()

    def new_points(self) -> None:
        """Ask for classes and make a layer for them, ready to be clicked."""
        dialog = NewPoints(self, self.form.raster.currentLayer())
        if dialog.exec() and dialog.layer is not None:
            Project().addMapLayer(dialog.layer)
            self.form.points.setLayer(dialog.layer)
            self.form.remember()
            self.refresh()
            self.pick(0)

    # showing

    def refresh(self) -> None:
        """Show classes, counts and what to do, from the layers as they are now."""
        self.form.refresh()
        self._refresh_walk()
        (layer, field), active = self.target(), self.canvas.mapTool() is self.tool
        usable = layer is not None and layer.fields().indexOf(field) >= 0
        self.counts = panel_points.count_classes(layer, field) if usable else Counter()
        self.counts.update(dict.fromkeys(self.extra.get(layer.id(), ()) if usable else (), 0))
        self.rows = panel_points.class_rows(layer, field, self.counts) if usable else []
        ready = active and not self.asking
        self.classes.show_rows(self.rows, self.counts, self.class_at if ready else -1)
        texts = [panel_points.summary(self.rows, self.counts, whole=not self.asking)] if usable else []
        self.total.setText(" ".join(texts + ([tr("Not saved yet.")] if usable and layer.isModified() else [])))
        self.undo.setEnabled(usable and layer.undoStack().canUndo())
        self.redo.setEnabled(usable and layer.undoStack().canRedo())
        self.save.setEnabled(usable and layer.isModified())
        self.add_class.setEnabled(usable and not self.asking)
        self.hint.setText(self.advice(ready=ready))
        self._point_at_next_step()
        self._refresh_question()
        if not (self.asking and self.walk is not None and self.walk.is_sample):
            self.live.follow(self.form.raster.currentLayer(), layer, field, self.rows)

    def _refresh_walk(self) -> None:
        """See which questions are open now; an undo may have opened one again."""
        if self.walk is None:
            return
        opened = self.walk.refresh()
        if self.walk.of_live and not (self.asking and self.walk.open):
            self.walk, self.asking = None, False
            self.see_layers(project_layers())
            self.say(tr("Press Q for the next question."))
        elif self.asking and not self.walk.open:
            self.asking, sample = False, self.walk.is_sample
            self.last_step = "sample" if sample else "next"
            self.say(tr("All test points have their class. Next: 'Assess'.") if sample else tr("All questions are answered. Next: 'Train'."))  # fmt: skip
        elif self.asking and opened:
            self.show_place()

    def _refresh_question(self) -> None:
        left = len(self.walk.open) if self.walk is not None else 0
        self.resume.setText(tr("Answer the questions ({count} open)").format(count=left))
        self.resume.setVisible(left > 0 and not self.asking)
        self.form.setVisible(not self.asking)
        self.box.setVisible(self.asking)
        self._show_maps(shown=not self.asking)
        if self.asking and self.walk is not None:
            self.box.ask(self.walk, self.rows)
        self._mark_place()

    def _show_maps(self, *, shown: bool) -> None:
        """Hide maps while a question is asked: they cover the image, and would give an answer."""
        if not shown:
            self.hidden |= {node.layerId() for node in panel_widgets.map_nodes() if node.itemVisibilityChecked()}
        for node in panel_widgets.map_nodes():
            if node.layerId() in self.hidden:
                node.setItemVisibilityChecked(shown)
        self.live.picture.setVisible(shown)
        self.hidden = set() if shown else self.hidden

    def advice(self, *, ready: bool) -> str:
        """Say what to do now, or what prevents it."""
        raster, (layer, field) = self.form.raster.currentLayer(), self.target()
        reason = panel_points.why_raster_unusable(raster)
        reason = reason or panel_points.why_unusable(layer, field, raster)
        reason = reason or ("" if self.asking else panel_points.why_fixed(layer))
        if reason:
            return f"<b>{html.escape(reason, quote=False)}</b>"
        if self.asking:
            return tr("Which class is it? Click on it here, or press its key.")
        if ready and 0 <= self.class_at < len(self.rows):
            name = html.escape(self.rows[self.class_at].label)
            return tr("Click on the map where you see: <b>{name}</b>. Press a key for another class.", name=name)
        return tr("Pick a class, then click on the map where you see it.")

    def _point_at_next_step(self) -> None:
        """Show the step that comes next in bold."""
        done = panel_widgets.steps().get(self.last_step)
        following = (done.next if done else "check") if self.counts and not self.asking else ""
        for name, button in self.steps.items():
            font = button.font()
            font.setBold(name == following)
            button.setFont(font)

    def say(self, text: str) -> None:
        """Show a sentence at the foot of the panel."""
        self.said.setText(text)

    def _show_run(self, *, running: bool) -> None:
        for button in self.steps.values():
            button.setEnabled(not running)
        self.bar.setValue(0)
        self.bar.setVisible(running)
        self.cancel.setVisible(running)

    # clicking

    def pick(self, number: int) -> None:
        """Choose a class for the next clicks, or answer the question with it."""
        layer, field = self.target()
        if self.asking or layer is None or not 0 <= number < len(self.rows):
            self.answer(number)
            return
        reason = panel_points.why_unusable(layer, field, None) or panel_points.why_fixed(layer)
        if reason:
            self.say(reason)
            return
        self.class_at = number
        self._take_map(layer)
        self.refresh()

    def _take_map(self, layer: core.QgsVectorLayer) -> None:
        self.iface.setActiveLayer(layer)
        self.canvas.setMapTool(self.tool)
        self.canvas.setFocus()

    def key(self, key: str) -> None:
        """Take a key that was pressed over the map."""
        if key in NUMBERS:
            self.pick(NUMBERS.index(key))
        elif key == NEXT or (key == SKIP and self.walk is not None and self.walk.of_live):
            self.live.ask_next()
        elif self.asking and self.walk is not None:
            (self.walk.skip if key == SKIP else self.walk.go_back)()
            self.show_place()
            self.refresh()

    def click(self, place: core.QgsPointXY) -> None:
        """Add a point of the chosen class."""
        (layer, field), here = self.target(), self.canvas.mapSettings().destinationCrs()
        if self.asking:
            self.say(tr("Answer the question, or press 'Later' to click points freely."))
        elif layer is None or not 0 <= self.class_at < len(self.rows):
            self.say(tr("Pick a class first, then click on the map."))
        else:
            point, value = panel_points.moved(place, here, layer.crs()), self.rows[self.class_at].values[0]  # fmt: skip
            if self._edit(layer, lambda: panel_points.add_point(layer, field, value, point)):
                self.say(panel_points.beside_raster(place, here, self.form.raster.currentLayer()))

    def _edit(self, layer: core.QgsVectorLayer, act: Callable[[], None]) -> bool:
        """Edit a layer, or say why not."""
        begun = not layer.isEditable()
        try:
            act()
        except core.QgsProcessingException as reason:
            self.say(str(reason))
            return False
        self.started |= {layer.id()} if begun else set()
        return True

    def save_edits(self) -> None:
        """Write the edits to the layer's file and go on editing."""
        layer, _ = self.target()
        if not layer.commitChanges(stopEditing=False):
            self.say(tr("Not saved: {reason}").format(reason=" ".join(layer.commitErrors())))

    def ask_class(self) -> None:
        """Ask for the name of one more class."""
        layer, field = self.target()
        name, ok = QtWidgets.QInputDialog.getText(self, tr("Add class"), tr("Name of the class"))
        name = " ".join(name.split())
        if not ok or not name:
            return
        if name.casefold() in (row.label.casefold() for row in self.rows):
            self.say(tr("The class '{name}' is there already.").format(name=name))
        elif not panel_points.add_class(
            layer, field, name, panel_points.SPARE[len(self.rows) % len(panel_points.SPARE)]
        ):
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
        self._take_map(self.walk.target)
        self.show_place()
        self.refresh()

    def ask_live(self, layer: core.QgsVectorLayer, title: str) -> None:
        """Ask a question of Live, where no other is asked."""
        if self.asking and self.walk is not None and not self.walk.of_live:
            return
        self.walk = panel_walk.Walk(layer, title)
        self.follow()
        self.ask()

    def stop_asking(self) -> None:
        """Leave the questions for later; clicks are points again."""
        self.asking = False
        self.refresh()

    def answer(self, number: int) -> None:
        """Answer the question with a class, and show the next."""
        (layer, field), walk = self.target(), self.walk
        if not self.asking or walk is None or layer is None or not 0 <= number < len(self.rows):
            return
        value = self.rows[number].values[0]
        if self._edit(layer, lambda: walk.answer(field, value)):
            self.say("")
            self.show_place()
        self._take_map(layer)
        self.refresh()

    def show_place(self) -> None:
        """Move the map to the place of the question."""
        raster, here = self.form.raster.currentLayer(), self.canvas.mapSettings().destinationCrs()
        place = self.walk.place(here) if self.walk is not None else None
        if place is not None:
            panel_walk.show(self.canvas, place, raster, panel_walk.LIVE_PX if self.walk.of_live else panel_walk.NEAR_PX)

    def _mark_place(self) -> None:
        here = self.canvas.mapSettings().destinationCrs()
        place = self.walk.place(here) if self.asking and self.walk is not None else None
        self.marker.setVisible(place is not None)
        if place is not None:
            self.marker.setCenter(place)

    # steps

    def press(self, step: str) -> None:
        """Run a step, or say what it lacks, or let the user choose."""
        chosen, reason = self.form.chosen(), ""
        if step not in ("assess", "sample"):
            reason = panel_points.why_raster_unusable(chosen.raster)
        if step in ("check", "train", "next") and not reason:
            reason = panel_points.why_unusable(chosen.points, chosen.field, chosen.raster)
        live = step == "map" and self.live.ground is not None
        reason = reason or ("" if live else panel_widgets.missing(step, chosen))
        if reason:
            self.say(reason)
        elif live:
            self.live.map_everything()
        elif step == "assess":
            self._assess(chosen)
        else:
            folder = self._model_folder(chosen) if step == "train" else ""
            if folder or step != "train":
                self.run(step, folder)

    def _model_folder(self, chosen: panel_widgets.Chosen) -> str:
        """Return where the model goes; empty where the user wants none."""
        if not chosen.model:
            return self.form.new_model_folder()
        name = Path(chosen.model).name
        text = tr("The model '{name}' exists. Replace it, or keep it and train another one?", name=name)
        folders = [chosen.model, self.form.new_model_folder(), ""]
        return folders[panel_widgets.choose(self, text, tr("Replace"), tr("Keep both"))]

    def _assess(self, chosen: panel_widgets.Chosen) -> None:
        """Assess with test points; draw a sample where there are none, ask where it has no class."""
        text = tr("Accuracy is measured with points that the model has not seen. {count} places can be drawn at random, for you to say what is there. If you have test points already, choose their layer in the panel.")  # fmt: skip
        if chosen.test is None:
            if panel_widgets.choose(self, text.format(count=panel_widgets.SAMPLE_COUNT), tr("Draw test points")) == 0:
                self.run("sample", "")
        elif chosen.is_sample and not any(panel_points.count_classes(chosen.test, chosen.test_field).keys() - {""}):  # fmt: skip
            self.see_layers([chosen.test])
            self.ask()
        else:
            self.run("assess", "")

    def run(self, step: str, model_folder: str) -> None:
        """Start the algorithm of a step."""
        self.form.remember()
        if not self.is_set_up():
            return
        try:
            answers = panel_widgets.answers(step, self.form.chosen(), model_folder)
        except OSError as error:
            self.say(tr("No file can be written beside the points: {reason}").format(reason=error))
            return
        algorithm = panel_widgets.steps()[step].algorithm
        self.say(tr("Running. You can go on clicking points meanwhile."))
        self.runs.start(algorithm, answers, lambda *end: self.after(step, *end))

    def is_set_up(self) -> bool:
        """Return whether a run can start; offer to set geopointseg up where it cannot."""
        reason = interpreter.problem()
        self.say(reason)
        if reason and panel_widgets.choose(self, reason, tr("Set up geopointseg")) == 0:
            SetupPage(self).exec()
        return not reason

    def after(self, step: str, results: dict[str, Any], layers: list[Any], feedback: Any) -> None:
        """Take the results of a step and say what comes next."""
        if feedback.errors:
            self.say("\n".join(feedback.errors))
            return
        for layer in layers:
            self._take_result(step, layer)
        if step == "train":
            self.form.set_model(results["OUTPUT"])
        self.form.remember()
        good = results.get("USABLE") is not False
        self.last_step = step if good else self.last_step
        summary, after = results.get("SUMMARY") or "", ""
        if good:  # the panel has its own words for what comes next
            summary = summary.partition(tr("Next:"))[0].strip()
            after = panel_widgets.steps()[step].after
        lines = [*(f"• {warning}" for warning in feedback.warnings[:FINDINGS]), summary, after]
        lines = [html.escape(line, quote=False) for line in lines if line]
        if results.get("REPORT"):
            lines.append(f'<a href="{QUrl.fromLocalFile(results["REPORT"]).toString()}">{tr("Open the report")}</a>')
        self.say("<br>".join(lines))
        self.refresh()
        self.widget().ensureWidgetVisible(self.said)
        if step in ("next", "sample"):
            self.ask()

    def _take_result(self, step: str, layer: core.QgsMapLayer) -> None:
        """Keep a result apart from the user's layers; a new one of its kind replaces the old."""
        old = [one.id() for one in project_layers() if one.customProperty(RESULT) == step]
        if step != "sample":  # that is filled in by hand
            layer.setCustomProperty(RESULT, step)
        if step == "map":
            memory.remember(memory.MAP, layer)
        elif step == "sample":
            self.form.test.setLayer(layer)
        elif step == "next":
            panel_walk.mark(layer)
        elif not any(feature.hasGeometry() for feature in layer.getFeatures()):
            old.append(layer.id())
        if step in ("check", "next"):
            Project().removeMapLayers(old)

    # leaving

    def leave(self) -> None:
        """Give the map back, and end an editing that the panel began where nothing was edited."""
        self.asking = False
        self.live.stop()
        self._mark_place()
        self._show_maps(shown=True)
        self.canvas.unsetMapTool(self.tool)
        for layer in map(Project().mapLayer, self.started):
            if layer is not None and layer.isEditable() and not layer.isModified():
                layer.rollBack()
        self.started.clear()

    def end(self) -> None:
        """Leave, and end the run that is under way."""
        self.leave()
        self.runs.cancel()
        for item in (self.marker, self.live.picture):
            self.canvas.scene().removeItem(item)

    def closeEvent(self, event: Any) -> None:
        """Leave the user's layers as they were."""
        self.leave()
        super().closeEvent(event)
