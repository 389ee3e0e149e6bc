"""Fields of a survey that are called like ours but may mean something else: ``scene`` and ``weight``.

Both change which points count. A field of another meaning would leave points out without a word, so what the fields do
is checked against the rasters and the classes, and said. Values of ``split`` are checked on reading.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from geopointseg.labels.points import Points

_MOST_NAMED = 4

Finding = tuple[Literal["error", "warning", "note"], str, str, int]
"""Severity, kind, sentence, number of points."""

KINDS = ("scene field", "weights")
"""Kinds of these findings."""


def find_in_own_fields(points: Points, scenes: Sequence[str]) -> Iterator[Finding]:
    """Yield what is wrong with the fields ``scene`` and ``weight``, or worth knowing.

    Parameters
    ----------
    points
        The points.
    scenes
        Names of the rasters that they shall be used on.
    """
    yield from _find_foreign_scenes(points, scenes)
    yield from _find_weights(points)


def name_no_scene(points: Points, scenes: Sequence[str]) -> NDArray[np.bool_]:
    """Return which points name a scene in their field ``scene`` that is none of these, bool ``(point,)``."""
    foreign = np.ones(len(points), dtype=bool)
    for scene in scenes:
        foreign &= ~points.belong_to(scene)
    return foreign


def _find_foreign_scenes(points: Points, scenes: Sequence[str]) -> Iterator[Finding]:
    foreign = name_no_scene(points, scenes)
    count = int(foreign.sum())
    if not count:
        return
    values = _listed(np.unique(points.scene[foreign]).tolist())
    rasters = _listed(list(scenes))
    every = count == len(points)
    yield (
        "error" if every else "warning",
        "scene field",
        (
            f"The field 'scene' {_of(points)} holds {values}, which none of the rasters is called ({rasters}). It says which "
            f"raster a point belongs to, so {'no point' if every else f'{count} of {len(points)} points'} would "
            f"{'be used' if every else 'not be used'}. Rename the field if it means something else, or give the names of rasters."
        ),
        count,
    )


def _find_weights(points: Points) -> Iterator[Finding]:
    learnt = ~np.isin(points.split, ("validation", "test", "buffer"))
    classes = np.unique(points.class_index[learnt]).tolist()
    idle = [k for k in classes if not points.weight[learnt & (points.class_index == k)].any()]
    advice = "Rename the field if it means something else, or give weights above 0."
    said = "It says how much each point counts"
    if idle and len(idle) == len(classes):
        yield (
            "error", "weights",
            f"The field 'weight' {_of(points)} is 0 for all {int(learnt.sum())} points. {said}, so none would. {advice}",
            int(learnt.sum()),
        )  # fmt: skip
    elif idle:
        left_out = learnt & np.isin(points.class_index, idle)
        names = _listed([points.legend.names[k] for k in idle])
        yield (
            "warning" if len(classes) - len(idle) > 1 else "error", "weights",
            (f"The field 'weight' {_of(points)} is 0 for all {int(left_out.sum())} points of {names}. {said}, so the map will "
            f"not show {'this class' if len(idle) == 1 else 'these classes'}. {advice}"),
            int(left_out.sum()),
        )  # fmt: skip
    elif (points.weight != 1).any():
        yield (
            "note", "weights",
            (f"The field 'weight' {_of(points)} lets points count {points.weight.min():g} to {points.weight.max():g} times. "
            "Rename the field if it means something else."),
            len(points),
        )  # fmt: skip


def _of(points: Points) -> str:
    return f"of '{points.source}'" if points.source else "of the points"


def _listed(values: Sequence[str]) -> str:
    more = f" and {len(values) - _MOST_NAMED} more" if len(values) > _MOST_NAMED else ""
    return ", ".join(repr(value) for value in values[:_MOST_NAMED]) + more
