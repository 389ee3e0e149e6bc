"""Explanation of an assessment, in sentences for readers without knowledge of statistics."""

from __future__ import annotations

import math

import numpy as np

from geopointseg.assessment.assessment_result import Assessment, percent
from geopointseg.assessment.estimation import Estimate
from geopointseg.report.section import Tile

_WIDE = 0.20
"""Above this width of the interval, the accuracy of a class is reported as uncertain."""


def headline_tiles(assessment: Assessment) -> list[Tile]:
    """Return the most important numbers."""
    matrix = assessment.confusion
    overall = percent(assessment.overall_accuracy)
    unit = "pixels" if assessment.sampling == "raster" else "test points"
    if assessment.is_area_adjusted and assessment.estimates is not None:
        interval = assessment.estimates.overall
        note = f"of the map's area; between {percent(interval.low)} and {percent(interval.high)} with 95 % confidence"
    else:
        note = f"of {matrix.total:,} {unit} agree with the map"
    weakest = _extreme_class(assessment, lowest=True)
    tiles = [
        Tile(overall, "overall accuracy", note),
        Tile(f"{assessment.mean_f1:.3f}", "mean F1", f"over {matrix.classes_label}"),
    ]
    if weakest is not None:
        name = assessment.legend.names[weakest]
        tiles.append(
            Tile(f"{matrix.f1[weakest]:.3f}", f"lowest F1: {name}", "the class to improve first")
        )
    tiles.append(Tile(f"{matrix.total:,}", f"{unit} used", _left_out_note(assessment)))
    return tiles


def explain(assessment: Assessment) -> list[str]:
    """Return what the result means for users of the map."""
    sentences = [_overall_meaning(assessment)]
    sentences += _trust(assessment)
    sentences += _mistakes(assessment)
    sentences += _areas(assessment)
    sentences += _advice(assessment)
    return sentences


def _left_out_note(assessment: Assessment) -> str:
    left_out = assessment.outside + assessment.on_nodata
    return f"{left_out} more lie outside the map or on its nodata" if left_out else ""


def _overall_meaning(assessment: Assessment) -> str:
    share = assessment.overall_accuracy
    if math.isnan(share):
        return "No test point lies on the map, so its accuracy is not known."
    tenths = round(10 * share)
    where = "the map's area" if assessment.is_area_adjusted else "the test points"
    rough = {0: "almost none", 10: "nearly all"}.get(tenths, f"about {tenths} tenths")
    return f"The map is right for {rough} of {where} ({percent(share)})."


def _users(assessment: Assessment) -> np.ndarray:
    if assessment.estimates is not None and assessment.is_area_adjusted:
        return np.array([e.value for e in assessment.estimates.users])
    return assessment.confusion.users_accuracy


def _producers(assessment: Assessment) -> np.ndarray:
    if assessment.estimates is not None and assessment.is_area_adjusted:
        return np.array([e.value for e in assessment.estimates.producers])
    return assessment.confusion.producers_accuracy


def _trust(assessment: Assessment) -> list[str]:
    users = _users(assessment)
    known = np.flatnonzero(np.isfinite(users) & (assessment.confusion.map_totals >= 5))
    if len(known) < 2:
        return []
    names = assessment.legend.names
    best, worst = known[np.argmax(users[known])], known[np.argmin(users[known])]
    sentences = [
        (
            f"Most reliable: places that the map shows as {names[best]}; {_of_hundred(users[best])} are {names[best]}. "
            f"Least reliable: {names[worst]}; {_of_hundred(users[worst])} are {names[worst]}."
        )
    ]
    producers = _producers(assessment)
    tested = np.flatnonzero(np.isfinite(producers) & (assessment.confusion.reference_totals >= 5))
    if len(tested):
        missed = tested[np.argmin(producers[tested])]
        if producers[missed] < 0.9:
            sentences.append(
                f"Most often omitted: {names[missed]}; {percent(1 - producers[missed])} of it is mapped as another class."
            )
    return sentences


def _mistakes(assessment: Assessment) -> list[str]:
    wrong = assessment.confusion.counts.copy()
    np.fill_diagonal(wrong, 0)
    if not wrong.sum():
        return ["No error was found at the test points; there can still be errors elsewhere."]
    row, col = np.unravel_index(int(wrong.argmax()), wrong.shape)
    names = assessment.legend.names
    share = wrong[row, col] / wrong.sum()
    return [
        (
            f"Most frequent error: the map shows {names[row]} where the reference is {names[col]} "
            f"({int(wrong[row, col]):,} of {int(wrong.sum()):,} errors, {percent(share)})."
        )
    ]


def _areas(assessment: Assessment) -> list[str]:
    if not assessment.is_area_adjusted:
        return []
    off = [
        f"{name} ({area.mapped_ha:,.4g} ha on the map, {area.low_ha:,.4g} to {area.high_ha:,.4g} ha on the ground)"
        for name, area in assessment.class_areas.items()
        if not math.isnan(area.low_ha) and not area.low_ha <= area.mapped_ha <= area.high_ha
    ]
    if off:
        return [
            f"Do not compute areas from pixel counts: the mapped area is outside the interval for {', '.join(off)}."
        ]
    return ["The mapped areas lie within the intervals of the estimated areas."]


def _advice(assessment: Assessment) -> list[str]:
    if assessment.estimates is None or assessment.sampling == "raster":
        return []
    names = assessment.legend.names
    open_classes = [
        name
        for name, users in zip(names, assessment.estimates.users, strict=True)
        if _width(users) > _WIDE
    ]
    if not open_classes:
        return []
    return [
        (
            f"The interval is wider than 20 percentage points for {', '.join(open_classes)}; more test points where the "
            "map shows these classes would narrow it."
        )
    ]


def _width(estimate: Estimate) -> float:
    return 0.0 if math.isnan(estimate.low) else estimate.high - estimate.low


def _of_hundred(share: float) -> str:
    return f"{100 * share:.0f} of 100"


def _extreme_class(assessment: Assessment, *, lowest: bool) -> int | None:
    f1 = assessment.confusion.f1
    known = np.flatnonzero(np.isfinite(f1))
    if len(known) < 2:
        return None
    return int(known[np.argmin(f1[known]) if lowest else np.argmax(f1[known])])
