"""What may be wrong with points: each finding is one rule, one sentence, one severity."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from geopointseg.errors import LegendError
from geopointseg.labels.placement import (
    Placement,
    describe_miss,
    ground_mismatch,
    transformation_accuracy_m,
)
from geopointseg.labels.point_spread import Spread, measure_spread
from geopointseg.labels.points import Points
from geopointseg.labels.reserved_fields import find_in_own_fields, name_no_scene
from geopointseg.labels.trainable import describe_none_left, describe_shortage
from geopointseg.name import fold_name
from geopointseg.raster.class_map import class_dtype
from geopointseg.raster.datum import datum_of
from geopointseg.raster.geodesy import Positions
from geopointseg.raster.grid import crs_name, crs_title
from geopointseg.raster.pixel_area import PixelAreas
from geopointseg.raster.scene import Scene
from geopointseg.summary import described

FEW_POINTS = 20
"""Classes with fewer usable points than this are warned about."""

FEW_IN_ALL = 100
"""With fewer usable points in all, a random forest is the better choice."""

_LARGEST_IMBALANCE = 20
"""Warn when the largest class has more than this many times the points of the smallest."""

_MOST_NAMED = 12

_SEVERITIES = ("error", "warning", "note")

Severity = Literal["error", "warning", "note"]


@described
@dataclass(frozen=True)
class Problem:
    """Something noticed: how bad it is, what kind, a sentence that says what to do, and how many points."""

    severity: Severity
    kind: str
    message: str
    count: int = 0


@described
@dataclass(frozen=True)
class ClassCheck:
    """The facts about one class.

    Parameters
    ----------
    code, name
        The class.
    points
        Number of labels.
    usable
        Number of labels of a weight above zero on valid pixels that do not contradict another.
    outside, nodata, conflicts, duplicates
        Number of labels on no scene, on nodata, in a pixel that also has another class, and in a pixel that has
        the same class already.
    spread
        Distances to the nearest neighbour of the same class.
    """

    code: int
    name: str
    points: int
    usable: int
    outside: int
    nodata: int
    conflicts: int
    duplicates: int
    spread: Spread


@dataclass(frozen=True)
class Evidence:
    """All that the findings look at.

    Parameters
    ----------
    points, scenes, chip_size
        What was checked, and the length in pixels against which nearness is judged.
    placement
        Where the points fell.
    classes
        The facts by class.
    spread
        Distances to the nearest neighbour of any class.
    near_training
        Which held-out points have a training point within a chip, bool ``(point,)``.
    near_fold
        Which points of a fold have a point of another fold within a chip, bool ``(point,)``.
    """

    points: Points
    scenes: Sequence[Scene]
    chip_size: int
    placement: Placement
    classes: tuple[ClassCheck, ...]
    spread: Spread
    near_training: NDArray[np.bool_]
    near_fold: NDArray[np.bool_]

    @property
    def usable_counts(self) -> NDArray[np.int64]:
        """Usable labels of each class, in legend order."""
        return np.array([row.usable for row in self.classes], dtype=np.int64)

    @property
    def field(self) -> str:
        """How messages name the class field."""
        return f"class field '{self.points.class_field}'"


def gather_evidence(
    points: Points, scenes: Sequence[Scene], placement: Placement, chip_size: int
) -> Evidence:
    """Count and measure what the findings need."""
    positions = Positions.of(points.x, points.y, points.crs)
    area = sum(float(PixelAreas.of(s.grid).by_row.sum()) * s.grid.width for s in scenes)

    def spread_of(chosen: NDArray[np.bool_]) -> Spread:
        chosen = chosen & placement.inside
        return measure_spread(positions.select(chosen), area)

    classes = []
    for index, entry in enumerate(points.legend.entries):
        mine = points.class_index == index
        classes.append(
            ClassCheck(
                code=entry.code,
                name=entry.name,
                points=int(mine.sum()),
                usable=int((mine & placement.usable & (points.weight > 0)).sum()),
                outside=int((mine & ~placement.inside).sum()),
                nodata=int((mine & placement.inside & ~placement.valid).sum()),
                conflicts=int((mine & placement.conflict).sum()),
                duplicates=int((mine & placement.duplicate).sum()),
                spread=spread_of(mine),
            )
        )
    split = points.split
    held_out = np.isin(split, ("test", "validation"))
    in_fold = np.char.startswith(split, "fold")
    near_training = _near(placement, held_out, split == "train", chip_size)
    near_fold = np.zeros(len(points), dtype=bool)
    for name in np.unique(split[in_fold]).tolist():
        near_fold |= _near(placement, split == name, in_fold & (split != name), chip_size)
    return Evidence(
        points,
        scenes,
        chip_size,
        placement,
        tuple(classes),
        spread_of(placement.inside),
        near_training,
        near_fold,
    )


def find_problems(evidence: Evidence) -> tuple[Problem, ...]:
    """Return what was noticed, errors first."""
    found = [problem for rule in _RULES for problem in rule(evidence)]
    return tuple(sorted(found, key=lambda problem: _SEVERITIES.index(problem.severity)))


def _near(
    placement: Placement, chosen: NDArray[np.bool_], others: NDArray[np.bool_], distance_px: float
) -> NDArray[np.bool_]:
    """Return which of the chosen points have one of the others within a square distance on the same scene."""
    from scipy.spatial import cKDTree

    near = np.zeros(len(chosen), dtype=bool)
    place = np.column_stack([placement.row, placement.col])
    for scene in np.unique(placement.scene[placement.scene >= 0]).tolist():
        here = placement.scene == scene
        if (here & chosen).any() and (here & others).any():
            distance, _ = cKDTree(place[here & others]).query(place[here & chosen], p=np.inf)
            near[here & chosen] = distance < distance_px
    return near


def _share(count: int, total: int) -> str:
    return f"{count} of {total} points"


def _enumerate(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _check_own_fields(e: Evidence) -> Iterator[Problem]:
    for found in find_in_own_fields(e.points, [scene.name for scene in e.scenes]):
        yield Problem(*found)


def _check_place(e: Evidence) -> Iterator[Problem]:
    total, inside = len(e.points), int(e.placement.inside.sum())
    if name_no_scene(e.points, [scene.name for scene in e.scenes]).all():
        return  # none was looked for on any scene
    if inside == 0:
        yield Problem("error", "outside", describe_miss(e.points, e.scenes), total)
        return
    elsewhere = [text for scene in e.scenes if (text := ground_mismatch(e.points, scene))]
    if elsewhere:
        yield Problem("error", "other ground", elsewhere[0])
    if inside < total:
        yield Problem(
            "warning", "outside",
            f"{_share(total - inside, total)} lie on no scene and are not used. Expected points on the scenes; add "
            "the scene they belong to, or remove them.", total - inside,
        )  # fmt: skip
    on_nodata = int((e.placement.inside & ~e.placement.valid).sum())
    if on_nodata == inside:
        yield Problem(
            "error", "nodata",
            f"All {inside} points on the scenes lie where the image is nodata. Expected points on valid pixels; check "
            "the scene's nodata value and mask (gdalinfo shows them), or place the points elsewhere.", on_nodata,
        )  # fmt: skip
    elif on_nodata:
        yield Problem(
            "warning", "nodata",
            f"{_share(on_nodata, total)} lie on nodata and are not used. Expected points on valid pixels; move or "
            "remove them.", on_nodata,
        )  # fmt: skip


def _check_classes(e: Evidence) -> Iterator[Problem]:
    counts = e.usable_counts
    if not e.placement.valid.any():
        return
    present = [row for row in e.classes if row.usable]
    if len(present) < 2:
        only = f"only points of '{present[0].name}'" if present else "no usable point of any class"
        yield Problem(
            "error", "one class",
            f"There are {only} on the scenes ({e.field} has {_enumerate([repr(name) for name in e.points.legend.names])}). Expected "
            "at least two classes to tell apart; add points of another class.", int(counts.sum()),
        )  # fmt: skip
        return
    absent = [row.name for row in e.classes if not row.usable]
    if absent:
        yield Problem(
            "warning", "absent class",
            f"No usable point is left of {_enumerate(absent)}. Expected points of every class in the legend; the map "
            "will not show classes without points.",
        )  # fmt: skip
    few = [row for row in present if row.usable < FEW_POINTS]
    if few:
        listed = _enumerate([f"{row.name} ({row.usable})" for row in few])
        yield Problem(
            "warning", "few points",
            f"Few usable points of {listed}. Expected {FEW_POINTS} or more a class; add some, best where the map is "
            "uncertain ('geopointseg suggest').", sum(row.usable for row in few),
        )  # fmt: skip
    most, least = max(present, key=lambda r: r.usable), min(present, key=lambda r: r.usable)
    if most.usable > _LARGEST_IMBALANCE * least.usable:
        yield Problem(
            "warning", "imbalance",
            f"'{most.name}' has {most.usable} usable points, '{least.name}' {least.usable}. Expected at most "
            f"{_LARGEST_IMBALANCE} times as many; add points of the rare classes.",
        )  # fmt: skip
    if counts.sum() < FEW_IN_ALL:
        yield Problem(
            "note", "few in all",
            f"There are {counts.sum()} usable points in all. A network needs about {FEW_IN_ALL} to pass a random "
            "forest; with fewer the forest is the right model.", int(counts.sum()),
        )  # fmt: skip


def _check_training(e: Evidence) -> Iterator[Problem]:
    """Find what stops a training although there are usable points of two classes."""
    if (e.usable_counts > 0).sum() < 2:
        return
    counts = e.placement.training
    if not counts.any():
        message = describe_none_left(e.points, e.scenes)
    else:
        message = describe_shortage(counts, e.points.legend)
    if message:
        yield Problem("error", "training", message, int(counts.sum()))


def _check_codes(e: Evidence) -> Iterator[Problem]:
    try:
        class_dtype(e.points.legend)
    except LegendError as error:
        yield Problem("error", "class code", str(error))


def _check_names(e: Evidence) -> Iterator[Problem]:
    alike: dict[str, list[str]] = {}
    for name in e.points.legend.names:
        alike.setdefault(fold_name(name).replace(" ", ""), []).append(name)
    for names in alike.values():
        if len(names) > 1:
            yield Problem(
                "warning", "similar names",
                f"The classes {' and '.join(map(repr, names))} differ only in capitals or spaces. Expected one "
                "spelling for one class; correct the points if they mean the same.",
            )  # fmt: skip


def _check_pixels(e: Evidence) -> Iterator[Problem]:
    conflicts, repeats = int(e.placement.conflict.sum()), int(e.placement.duplicate.sum())
    if conflicts:
        yield Problem(
            "warning", "conflict",
            f"{_share(conflicts, len(e.points))} share a pixel with a point of another class. Expected one class a "
            "pixel; the heavier class wins and ties are left out, so move or remove the wrong ones.", conflicts,
        )  # fmt: skip
    if repeats:
        yield Problem(
            "note", "repeated",
            f"{_share(repeats, len(e.points))} repeat the class of a point in the same pixel and count once.", repeats,
        )  # fmt: skip
    if e.placement.undeclared_nan:
        yield Problem(
            "warning", "undeclared nodata",
            f"{e.placement.undeclared_nan} pixels around the points are NaN although the file does not declare NaN as "
            "nodata. They count as nodata; declare it, for example with gdal_edit -a_nodata nan.",
        )  # fmt: skip


def _check_spread(e: Evidence) -> Iterator[Problem]:
    place = [values[e.placement.usable] for values in (e.placement.row, e.placement.col)]
    if len(place[0]) > 1 and len(np.unique(e.placement.scene[e.placement.usable])) == 1:
        rows, cols = (int(np.ceil(np.ptp(values))) for values in place)
        if max(rows, cols) < e.chip_size:
            yield Problem(
                "warning", "one chip",
                f"All usable points lie within {rows} x {cols} pixels, less than one training chip ({e.chip_size}). "
                "Expected points all over the scene; every chip will see the same ground, so add points elsewhere.",
            )  # fmt: skip
    if e.spread.is_clustered:
        yield Problem(
            "note", "clustered",
            f"The points are clustered: nearest neighbours are {e.spread.ratio:.2f} times as far apart as those of "
            "random points. Scores from points held out at random would be too good; hold out by blocks "
            "('geopointseg points split').",
        )  # fmt: skip
    border = int((e.placement.border & e.placement.usable).sum())
    if border:
        yield Problem(
            "note", "border",
            f"{_share(border, len(e.points))} lie nearer to a scene's border than half a chip; their chips are padded.",
            border,
        )  # fmt: skip


def _check_splits(e: Evidence) -> Iterator[Problem]:
    near = int(e.near_training.sum())
    if near:
        yield Problem(
            "warning", "near training",
            f"{near} of {int(np.isin(e.points.split, ('test', 'validation')).sum())} held-out points lie within a chip "
            f"({e.chip_size} pixels) of a training point. Expected ground that training has not seen, because scores "
            "would be too good; split by blocks with a buffer ('geopointseg points split --buffer-m').", near,
        )  # fmt: skip
    near = int(e.near_fold.sum())
    if near:
        yield Problem(
            "note", "near fold",
            f"{near} points lie within a chip ({e.chip_size} pixels) of another fold. In each round of a "
            "cross-validation they are left out of training where a buffer is given.", near,
        )  # fmt: skip


def _check_crs(e: Evidence) -> Iterator[Problem]:
    for scene in {scene.grid.crs.to_wkt(): scene for scene in e.scenes}.values():
        if datum_of(scene.grid.crs).is_planar:
            yield Problem(
                "note", "planar",
                f"'{scene.name}' is in {crs_title(scene.grid.crs)}, which is tied to no ellipsoid. Distances and areas are "
                f"planar; a unit is taken for {datum_of(scene.grid.crs).metres:.10g} m ({datum_of(scene.grid.crs).unit}).",
            )  # fmt: skip
            continue
        if scene.grid.crs == e.points.crs or ground_mismatch(e.points, scene):
            continue
        accuracy = transformation_accuracy_m(e.points.crs, scene.grid.crs)
        between = f"from {crs_name(e.points.crs)} to {crs_name(scene.grid.crs)}"
        if accuracy > scene.grid.resolution_m:
            stated = (
                f"an accuracy of {accuracy:g} m"
                if np.isfinite(accuracy)
                else "unknown accuracy (PROJ knows no shift between their datums)"
            )
            yield Problem(
                "warning", "crs accuracy",
                f"Points are transformed {between} with {stated} against pixels of "
                f"{scene.grid.resolution_m:.3g} m in '{scene.name}'. Expected better than a pixel; check some points on "
                "the image in QGIS, or digitize in the scene's CRS.",
            )  # fmt: skip
        else:
            yield Problem("note", "crs", f"Points are transformed {between}, each one exactly.")


def _check_dropped(e: Evidence) -> Iterator[Problem]:
    count = sum(e.points.dropped.values())
    if count:
        yield Problem(
            "warning", "dropped",
            f"Features of '{e.points.source}' were left out on reading: {e.points.describe_dropped()}. Expected a place "
            "and a class for each; complete them if they matter.", count,
        )  # fmt: skip


_RULES: tuple[Callable[[Evidence], Iterator[Problem]], ...] = (
    _check_own_fields,
    _check_place,
    _check_classes,
    _check_training,
    _check_codes,
    _check_names,
    _check_pixels,
    _check_splits,
    _check_spread,
    _check_crs,
    _check_dropped,
)
