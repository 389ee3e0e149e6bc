"""The walk through places that ask for a class: suggested points, and points of a test sample."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from qgis import core

from . import panel_points as points
from .translation import tr

SUGGESTED, SAMPLE = {"rank", "likely", "or_else"}, {"number", "class", "note"}
NEAR_PX, LIVE_PX, COLOR = 120, 600, "#ff00a8"
SYMBOL = {"name": "circle", "color": "255,255,255,0", "outline_color": COLOR, "size": "6", "outline_width": "0.8"}  # fmt: skip


def is_suggested(layer: core.QgsMapLayer | None) -> bool:
    """Return whether a layer holds suggested points."""
    return _has(layer, SUGGESTED)


def is_sample(layer: core.QgsMapLayer | None) -> bool:
    """Return whether a layer holds the points of a test sample."""
    return _has(layer, SAMPLE) and not _has(layer, SUGGESTED)


def _has(layer: core.QgsMapLayer | None, names: set[str]) -> bool:
    vector = isinstance(layer, core.QgsVectorLayer)
    return vector and {field.name() for field in layer.fields()} >= names


class Question(NamedTuple):
    """A place (in the CRS of its layer) and the classes between which the model is undecided."""

    fid: int
    place: core.QgsPointXY
    likely: tuple[str, ...]


def _questions(layer: core.QgsVectorLayer, order: str, likely: tuple[str, ...]) -> list[Question]:
    found = []
    for feature in layer.getFeatures():
        if feature.hasGeometry():
            names = tuple(filter(None, (points.text_of(feature[name]) for name in likely)))
            rank = float(points.text_of(feature[order]) or math.inf)
            found.append((rank, Question(feature.id(), feature.geometry().boundingBox().center(), names)))
    return [question for _, question in sorted(found, key=lambda pair: pair[0])]


class Walk:
    """Questions in their order; answers go to the user's points, or into the sample itself.

    A question is open as long as its layer holds no answer. So undoing an answer opens it again.
    A walk of Live has one question; ``of_live`` is its title.
    """

    def __init__(self, layer: core.QgsVectorLayer, of_live: str = "") -> None:
        self.layer, self.is_sample, self.of_live = layer, is_sample(layer), of_live
        how = ("number", ()) if self.is_sample else ("rank", ("likely", "or_else"))
        self.questions = _questions(layer, *how)
        self.target = layer if self.is_sample else None
        self.skipped: set[int] = set()
        self.open = {question.fid for question in self.questions}
        self.at = 0

    @property
    def current(self) -> Question:
        """The question that is asked now."""
        return self.questions[self.at]

    def place(self, crs: Any) -> core.QgsPointXY | None:
        """Return where the question is, in a CRS."""
        return points.moved(self.current.place, self.layer.crs(), crs)

    def refresh(self) -> bool:
        """See which questions are open; one that was opened again is asked. Return whether one was."""
        before, self.open = self.open, {q.fid for q in self.questions if self._is_open(q)}
        opened = [i for i, q in enumerate(self.questions) if q.fid in self.open - before]
        self.at = opened[0] if opened else self.at
        return bool(opened)

    def _is_open(self, question: Question) -> bool:
        if self.is_sample:
            return not points.text_of(self.layer.getFeature(question.fid)[points.CLASS_FIELD])
        crs = self.target.crs() if self.target is not None else None
        place = points.moved(question.place, self.layer.crs(), crs) if crs else None
        if place is None:
            return True
        reach = 1e-8 * max(abs(place.x()), abs(place.y()), 1.0)
        near = core.QgsRectangle.fromCenterAndSize(place, reach, reach)
        return next(self.target.getFeatures(near), None) is None

    def answer(self, field: str, value: str) -> None:
        """Answer the question and go on to the next; raises as `panel_points.add_point`."""
        if self.is_sample:
            points.change_class(self.layer, self.current.fid, field, value)
        else:
            points.add_point(self.target, field, value, self.place(self.target.crs()))
        self.open.discard(self.current.fid)
        self.go_on()

    def go_on(self) -> None:
        """Ask the next open question; those that were skipped come last."""
        ahead = [*range(self.at + 1, len(self.questions)), *range(self.at + 1)]
        still = [i for i in ahead if self.questions[i].fid in self.open]
        fresh = [i for i in still if self.questions[i].fid not in self.skipped]
        self.at = next(iter(fresh or still), self.at)

    def skip(self) -> None:
        """Leave the question open and ask the next."""
        self.skipped.add(self.current.fid)
        self.go_on()

    def go_back(self) -> None:
        """Show the question before this one."""
        self.at = (self.at - 1) % len(self.questions)

    def title(self) -> str:
        """Return which question of how many is asked."""
        found = {"number": self.at + 1, "count": len(self.questions)}
        if self.of_live:
            return self.of_live
        if self.is_sample:
            return tr("Test point {number} of {count}", **found)
        return tr("Question {number} of {count}", **found)

    def text(self) -> str:
        """Return the question in words."""
        if len(self.current.likely) < 2:
            return tr("What is here?")
        return tr("{first} or {second}?", first=self.current.likely[0], second=self.current.likely[1])


def mark(layer: core.QgsVectorLayer) -> None:
    """Give suggested points the symbol of a question: a ring that an answer's dot fits into."""
    layer.setRenderer(core.QgsSingleSymbolRenderer(core.QgsMarkerSymbol.createSimple(SYMBOL)))
    layer.triggerRepaint()


def show(canvas: Any, place: core.QgsPointXY, raster: core.QgsRasterLayer | None, near_px: int) -> None:
    """Move the map to a place, so near that it shows a number of the raster's pixels; never further away."""
    now = canvas.extent()
    side = now.width() / 4
    if raster is not None and raster.crs() == canvas.mapSettings().destinationCrs():
        side = near_px * raster.rasterUnitsPerPixelX()
    side = min(side, now.width())
    height = side * now.height() / now.width()
    canvas.setExtent(core.QgsRectangle.fromCenterAndSize(place, side, height))
    canvas.refresh()
