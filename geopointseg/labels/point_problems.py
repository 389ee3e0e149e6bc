"""Problems of points: a table of rules, each with the kind of problem that it finds.

A rule takes the evidence and yields severity, message and number of points. Values that cannot be read at all are refused
on reading; see `point_fields` and `class_field`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from geopointseg.errors import LegendError
from geopointseg.labels.placement import (
    NOT_TRAINED,
    crs_mismatch,
    describe_miss,
    transformation_accuracy_m,
)
from geopointseg.labels.point_evidence import ClassCheck, Evidence
from geopointseg.labels.points import Points
from geopointseg.legend import Legend
from geopointseg.name import fold_name, printable
from geopointseg.raster.class_map import class_dtype
from geopointseg.raster.datum import datum_of
from geopointseg.raster.grid import crs_name, crs_title
from geopointseg.raster.scene import Scene
from geopointseg.summary import described, join_names

FEW_POINTS = 20
"""A class with fewer usable points gives a warning."""

FEW_IN_ALL = 100
"""With fewer usable points in all, a network without a frozen encoder is not trained."""

FIELD_KINDS = ("scene field", "weights")
"""Kinds of problems with the optional fields ``scene`` and ``weight``, which decide which points count."""

_NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)(e[+-]?\d+)?")
_LARGEST_IMBALANCE = 20
_MOST_CLASSES = 12
_MOST_VALUES = 4

Severity = Literal["error", "warning", "note"]
_SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

Finding = tuple[Severity, str, int]
Rule = Callable[[Evidence], Iterator[Finding]]


@described
@dataclass(frozen=True)
class Problem:
    """A problem of points.

    Parameters
    ----------
    severity
        ``error`` stops a training; ``warning`` and ``note`` do not.
    kind
        Name of the rule that found it.
    message
        What was found, what was expected, and what to do.
    count
        Number of points concerned.
    """

    severity: Severity
    kind: str
    message: str
    count: int = 0


def find_problems(evidence: Evidence) -> tuple[Problem, ...]:
    """Apply all rules; return the problems, errors first."""
    found = [
        Problem(severity, kind, printable(message), count)
        for kind, rule in _RULES
        for severity, message, count in rule(evidence)
    ]
    return tuple(sorted(found, key=lambda problem: _SEVERITIES.index(problem.severity)))


def describe_none_left(points: Points, scenes: Sequence[Scene]) -> str:
    """Return the message for points none of which is left for training."""
    return (
        f"None of the {len(points)} points is left for training: all are marked validation, test or buffer, or lie "
        f"outside of {scenes[0].name} or on its nodata. Expected points whose 'split' is empty or train; check that field."
    )


def describe_shortage(counts: NDArray[np.int64], legend: Legend) -> str:
    """Return the message for too few labelled pixels to train on; empty where they suffice.

    Parameters
    ----------
    counts
        Labelled pixels of each class, int64 ``(class,)``; at least one in all.
    legend
        The classes.

    Returns
    -------
    str
        The message.

    Examples
    --------
    >>> describe_shortage(np.array([3, 1]), Legend.from_names(["water", "forest"]))[:50]
    "The class 'forest' has 1 labelled pixel on the sce"
    """
    if (counts > 0).sum() < 2:
        name = legend.names[int(counts.argmax())]
        return (
            f"All {int(counts.sum())} labelled pixels on the scenes are of one class, '{name}'. Expected at least two "
            "classes; collect points of another one."
        )
    single = [legend.names[i] for i in np.flatnonzero(counts == 1)]
    if single:
        return (
            f"The class '{single[0]}' has 1 labelled pixel on the scenes. Expected at least 2 in every class; collect "
            "more points of it, or remove the class from the points."
        )
    return ""


def _share(count: int, e: Evidence) -> str:
    return f"{count} of {len(e.points)} points"


def _quoted(values: Sequence[str]) -> str:
    return join_names([repr(value) for value in values], _MOST_VALUES)


def _field(name: str, points: Points) -> str:
    owner = f"'{points.source}'" if points.source else "the points"
    return f"The field '{name}' of {owner}"


def _find_unknown_scenes(e: Evidence) -> Iterator[Finding]:
    unknown = e.names_no_scene
    count = int(unknown.sum())
    if count:
        values = _quoted(np.unique(e.points.scene[unknown]).tolist())
        every = count == len(e.points)
        lost = "no point would be used" if every else f"{_share(count, e)} would not be used"
        message = (
            f"{_field('scene', e.points)} holds {values}, which none of the rasters is called "
            f"({_quoted([scene.name for scene in e.scenes])}). It names the raster that a point belongs to, so {lost}. "
            "Rename the field if it means something else, or give the names of rasters."
        )
        yield "error" if every else "warning", message, count


def _find_zero_weights(e: Evidence) -> Iterator[Finding]:
    points, field = e.points, _field("weight", e.points)
    trained = ~np.isin(points.split, NOT_TRAINED)
    classes = np.unique(points.class_index[trained]).tolist()
    zero = [k for k in classes if not points.weight[trained & (points.class_index == k)].any()]
    count = int((trained & np.isin(points.class_index, zero)).sum())
    advice = "Rename the field if it means something else, or give weights above 0."
    meaning = "It is the weight of each point in the training"
    if zero and len(zero) == len(classes):
        message = f"{field} is 0 for all {count} points. {meaning}, so none would count. {advice}"
        yield "error", message, count
    elif zero:
        message = (
            f"{field} is 0 for all {count} points of {_quoted([points.legend.names[k] for k in zero])}. {meaning}, so the "
            f"map will not show {'this class' if len(zero) == 1 else 'these classes'}. {advice}"
        )
        yield "warning" if len(classes) - len(zero) > 1 else "error", message, count
    elif (points.weight != 1).any():
        message = (
            f"{field} gives the points weights of {points.weight.min():g} to {points.weight.max():g}. Rename the field if "
            "it means something else."
        )
        yield "note", message, len(points)


def _find_points_outside(e: Evidence) -> Iterator[Finding]:
    outside = len(e.points) - e.inside_count
    if e.names_no_scene.all():
        return  # the rule on the field 'scene' gives the reason
    if not e.inside_count:
        yield "error", describe_miss(e.points, e.scenes), outside
    elif outside:
        message = (
            f"{_share(outside, e)} lie on no scene and are not used. Expected points on the scenes; add the scene they "
            "belong to, or remove them."
        )
        yield "warning", message, outside


def _find_other_datum(e: Evidence) -> Iterator[Finding]:
    mismatches = [text for scene in e.scenes if (text := crs_mismatch(e.points, scene))]
    if e.inside_count and mismatches:
        yield "error", mismatches[0], 0


def _find_points_on_nodata(e: Evidence) -> Iterator[Finding]:
    count = int((e.placement.inside & ~e.placement.valid).sum())
    if count and count == e.inside_count:
        message = (
            f"All {count} points on the scenes lie where the image is nodata. Expected points on valid pixels; check "
            "the scene's nodata value and mask (gdalinfo shows them), or place the points elsewhere."
        )
        yield "error", message, count
    elif count:
        message = f"{_share(count, e)} lie on nodata and are not used. Expected points on valid pixels; move or remove them."
        yield "warning", message, count


def _find_single_class(e: Evidence) -> Iterator[Finding]:
    if e.placement.valid.any() and len(e.present) < 2:
        only = (
            f"only points of '{e.present[0].name}'"
            if e.present
            else "no usable points of any class"
        )
        names = join_names(map(repr, e.points.legend.names), _MOST_CLASSES)
        message = (
            f"There are {only} on the scenes (class field '{e.points.class_field}' has {names}). Expected at least two "
            "classes to tell apart; add points of another class."
        )
        yield "error", message, e.usable_count


def _find_absent_classes(e: Evidence) -> Iterator[Finding]:
    absent = [row.name for row in e.classes if not row.usable]
    if len(e.present) > 1 and absent:
        message = (
            f"No usable point is left of {join_names(absent, _MOST_CLASSES)}. Expected points of every class in the "
            "legend; the map will not show classes without points."
        )
        yield "warning", message, 0


def _find_small_classes(e: Evidence) -> Iterator[Finding]:
    few = [row for row in e.present if row.usable < FEW_POINTS]
    if len(e.present) > 1 and few:
        listed = join_names([f"{row.name} ({row.usable})" for row in few], _MOST_CLASSES)
        message = (
            f"Few usable points of {listed}. Expected {FEW_POINTS} or more per class; add some, best where the map is "
            "uncertain (`suggest`)."
        )
        yield "warning", message, sum(row.usable for row in few)


def _find_imbalance(e: Evidence) -> Iterator[Finding]:
    if len(e.present) > 1:
        most, least = max(e.present, key=_usable), min(e.present, key=_usable)
        if most.usable > _LARGEST_IMBALANCE * least.usable:
            message = (
                f"'{most.name}' has {most.usable} usable points, '{least.name}' {least.usable}. Expected at most "
                f"{_LARGEST_IMBALANCE} times as many; add points of the rare classes."
            )
            yield "warning", message, 0


def _usable(row: ClassCheck) -> int:
    return row.usable


def _find_few_in_all(e: Evidence) -> Iterator[Finding]:
    if len(e.present) > 1 and e.usable_count < FEW_IN_ALL:
        message = (
            f"There are {e.usable_count} usable points in all. With fewer than {FEW_IN_ALL}, a network is trained only on "
            "imagery with colours and pixels below 4 m; other imagery gets forest and linear model. Add points to train one there."
        )
        yield "note", message, e.usable_count


def _find_training_shortage(e: Evidence) -> Iterator[Finding]:
    """Find what stops a training although there are usable points of two classes."""
    if len(e.present) > 1:
        counts = e.placement.training
        if counts.any():
            message = describe_shortage(counts, e.points.legend)
        else:
            message = describe_none_left(e.points, e.scenes)
        if message:
            yield "error", message, int(counts.sum())


def _find_large_codes(e: Evidence) -> Iterator[Finding]:
    try:
        class_dtype(e.points.legend)
    except LegendError as error:
        yield "error", str(error), 0


def _find_similar_names(e: Evidence) -> Iterator[Finding]:
    alike: dict[str | float, list[str]] = {}
    for name in e.points.legend.names:
        folded = fold_name(name).replace(" ", "")
        alike.setdefault(
            float(folded.replace(",", ".")) if _NUMBER.fullmatch(folded) else folded, []
        ).append(name)
    for key, names in alike.items():
        if len(names) > 1 and isinstance(key, float):
            message = (
                f"The classes {' and '.join(map(repr, names))} are one number in several spellings, and count as several classes. "
                "Expected one spelling for one class; correct the points if they mean the same."
            )
            yield "warning", message, 0
        elif len(names) > 1:
            message = (
                f"The classes {' and '.join(map(repr, names))} differ only in capitals, spaces or the encoding of their letters. Expected one "
                "spelling for one class; correct the points if they mean the same."
            )
            yield "warning", message, 0


def _find_conflicts(e: Evidence) -> Iterator[Finding]:
    count = int(e.placement.conflict.sum())
    if count:
        message = (
            f"{_share(count, e)} share a pixel with a point of another class. Expected one class per pixel; the class of "
            "largest total weight is used and ties are left out, so move or remove the wrong ones."
        )
        yield "warning", message, count


def _find_duplicates(e: Evidence) -> Iterator[Finding]:
    count = int(e.placement.duplicate.sum())
    if count:
        message = (
            f"{_share(count, e)} repeat the class of a point in the same pixel and count once."
        )
        yield "note", message, count


def _find_undeclared_nodata(e: Evidence) -> Iterator[Finding]:
    if e.placement.undeclared_nan:
        message = (
            f"{e.placement.undeclared_nan} pixels around the points are NaN although the file does not declare NaN as "
            "nodata. They count as nodata; declare it, for example with gdal_edit -a_nodata nan."
        )
        yield "warning", message, 0


def _find_points_near_training(e: Evidence) -> Iterator[Finding]:
    near = int(e.near_training.sum())
    if near:
        held_out = int(np.isin(e.points.split, ("test", "validation")).sum())
        message = (
            f"{near} of {held_out} held-out points lie within a chip ({e.chip_size} pixels) of a training point. Expected "
            "held-out points beyond all training chips, because scores would be too good; split by blocks with a buffer "
            "(`split_points(buffer_m=...)`)."
        )
        yield "warning", message, near


def _find_points_near_folds(e: Evidence) -> Iterator[Finding]:
    near = int(e.near_fold.sum())
    if near:
        message = (
            f"{near} points lie within a chip ({e.chip_size} pixels) of another fold. In each round of a "
            "cross-validation they are left out of training where a buffer is given."
        )
        yield "note", message, near


def _find_single_chip(e: Evidence) -> Iterator[Finding]:
    usable = e.placement.usable
    if usable.sum() > 1 and len(np.unique(e.placement.scene[usable])) == 1:
        place = (e.placement.row[usable], e.placement.col[usable])
        rows, cols = (int(np.ceil(np.ptp(values))) for values in place)
        if max(rows, cols) < e.chip_size:
            message = (
                f"All usable points lie within {rows} x {cols} pixels, less than one training chip ({e.chip_size}). "
                "Expected points all over the scene, because all chips would show the same area; add points elsewhere."
            )
            yield "warning", message, 0


def _find_clusters(e: Evidence) -> Iterator[Finding]:
    if e.spread.is_clustered:
        message = (
            f"The points are clustered: nearest neighbours are {e.spread.ratio:.2f} times as far apart as those of "
            "random points. Scores from points held out at random would be too good; hold out by blocks "
            "(`split_points`)."
        )
        yield "note", message, 0


def _find_points_at_border(e: Evidence) -> Iterator[Finding]:
    count = int((e.placement.border & e.placement.usable).sum())
    if count:
        message = f"{_share(count, e)} lie within half a chip of a scene's border; their chips are padded."
        yield "note", message, count


def _transformed_scenes(e: Evidence) -> Iterator[Scene]:
    """Yield a scene of each CRS to which points are transformed."""
    for scene in {scene.grid.crs.to_wkt(): scene for scene in e.scenes}.values():
        same = scene.grid.crs == e.points.crs
        if not (datum_of(scene.grid.crs).is_planar or same or crs_mismatch(e.points, scene)):
            yield scene


def _find_planar_scenes(e: Evidence) -> Iterator[Finding]:
    for scene in {scene.grid.crs.to_wkt(): scene for scene in e.scenes}.values():
        datum = datum_of(scene.grid.crs)
        if datum.is_planar:
            message = (
                f"'{scene.name}' is in {crs_title(scene.grid.crs)}, which is tied to no ellipsoid. Distances and areas are "
                f"planar; a unit is taken for {datum.metres:.10g} m ({datum.unit})."
            )
            yield "note", message, 0


def _find_inexact_transformations(e: Evidence) -> Iterator[Finding]:
    for scene in _transformed_scenes(e):
        accuracy = transformation_accuracy_m(e.points.crs, scene.grid.crs)
        if accuracy > scene.grid.resolution_m:
            unknown = "unknown accuracy (PROJ has no shift between their datums)"
            stated = f"an accuracy of {accuracy:g} m" if np.isfinite(accuracy) else unknown
            message = (
                f"Points are transformed {_between(e, scene)} with {stated} against pixels of "
                f"{scene.grid.resolution_m:.3g} m in '{scene.name}'. Expected better than a pixel; check some points on "
                "the image in QGIS, or digitize in the scene's CRS."
            )
            yield "warning", message, 0


def _find_exact_transformations(e: Evidence) -> Iterator[Finding]:
    for scene in _transformed_scenes(e):
        if transformation_accuracy_m(e.points.crs, scene.grid.crs) <= scene.grid.resolution_m:
            yield "note", f"Points are transformed {_between(e, scene)}, each one exactly.", 0


def _between(e: Evidence, scene: Scene) -> str:
    return f"from {crs_name(e.points.crs)} to {crs_name(scene.grid.crs)}"


def _find_dropped_features(e: Evidence) -> Iterator[Finding]:
    count = sum(e.points.dropped.values())
    if count:
        message = (
            f"Features of '{e.points.source}' were left out on reading: {e.points.describe_dropped()}. Expected a place "
            "and a class for each; complete them if they matter."
        )
        yield "warning", message, count


_RULES: tuple[tuple[str, Rule], ...] = (
    ("scene field", _find_unknown_scenes),
    ("weights", _find_zero_weights),
    ("outside", _find_points_outside),
    ("other ground", _find_other_datum),
    ("nodata", _find_points_on_nodata),
    ("one class", _find_single_class),
    ("absent class", _find_absent_classes),
    ("few points", _find_small_classes),
    ("imbalance", _find_imbalance),
    ("few in all", _find_few_in_all),
    ("training", _find_training_shortage),
    ("class code", _find_large_codes),
    ("similar names", _find_similar_names),
    ("conflict", _find_conflicts),
    ("repeated", _find_duplicates),
    ("undeclared nodata", _find_undeclared_nodata),
    ("near training", _find_points_near_training),
    ("near fold", _find_points_near_folds),
    ("one chip", _find_single_chip),
    ("clustered", _find_clusters),
    ("border", _find_points_at_border),
    ("planar", _find_planar_scenes),
    ("crs accuracy", _find_inexact_transformations),
    ("crs", _find_exact_transformations),
    ("dropped", _find_dropped_features),
)
