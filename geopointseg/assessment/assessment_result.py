"""Result of an assessment: scores, estimates, areas, and sentences that explain them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from geopointseg.assessment.confusion import AXES, SCORES, ConfusionMatrix
from geopointseg.assessment.estimation import AccuracyEstimates, Estimate
from geopointseg.errors import ConfigError, nearest_names
from geopointseg.json_values import to_json_values
from geopointseg.legend import Legend
from geopointseg.raster.pixel_area import AreaNote
from geopointseg.summary import described, join_names

Sampling = Literal["unknown", "simple", "stratified", "raster"]
"""Sampling design of the reference; ``raster`` is a reference raster instead of points."""
_DESIGNS = ("unknown", "simple", "stratified")

SAMPLING_NOTES: Mapping[Sampling, str] = {
    "unknown": (
        "The sampling design of the test points is unknown. Area-adjusted accuracy, intervals and estimated areas are valid "
        "only if the points are a random sample within each map class; points in easy places give an accuracy that is too "
        "high. A probability sample of the map, labelled for the assessment, gives valid ones."
    ),
    "simple": (
        "The test points are treated as a simple random or systematic sample of the map, post-stratified by map class."
    ),
    "stratified": "The test points are treated as a random sample within each stratum.",
    "raster": "The map was compared with a reference raster, pixel by pixel.",
}

Row = Sequence[Any]
TitledTable = tuple[str, list[str], list[Row]]


@described
@dataclass(frozen=True)
class ClassArea:
    """Area of a class, in hectares.

    Parameters
    ----------
    mapped_ha
        Area of the pixels of the class on the map, which is biased where the map confuses classes.
    estimated_ha
        True area, estimated from the reference; NaN where it cannot be estimated.
    standard_error_ha, low_ha, high_ha
        Standard error and interval of the estimate.
    """

    mapped_ha: float
    estimated_ha: float
    standard_error_ha: float
    low_ha: float
    high_ha: float


@described
@dataclass(frozen=True, eq=False)
class AssessedPixels:
    """The test points one by one, for maps of correct and wrong points.

    Parameters
    ----------
    row, col
        Pixel on the map, int64 ``(point,)``.
    mapped, reference
        Class indices, int64 ``(point,)``.
    """

    row: NDArray[np.int64]
    col: NDArray[np.int64]
    mapped: NDArray[np.int64]
    reference: NDArray[np.int64]


@described
@dataclass(frozen=True, eq=False)
class Assessment:
    """Accuracy of a map against a reference.

    There are two kinds of accuracy. *Point counts* give every test point the same weight, so they depend on the number of
    points per class. *Area-adjusted* figures weight each map class by its area. They estimate the share of the map's area
    that is correct, with intervals, if the points are a probability sample.

    Parameters
    ----------
    map_path, reference
        Paths of map and reference.
    sampling
        Sampling design of the reference.
    confusion
        Counts, rows = map, columns = reference.
    estimates
        Area-adjusted accuracy; None where the reference allows none.
    class_areas
        Areas by class name.
    fingerprint
        Fingerprint of the model of the map, from its tags; empty where there is none.
    attribution
        Producer, version, year and licence of the embedding that was mapped; empty for imagery.
    area_note
        Method of the area computation.
    outside, on_nodata
        Numbers of test points outside the map and on its nodata, which are left out.
    training_points
        Number of test points that are training points and were used because of ``force``; None where not checked.
    training_check
        Sentence on the comparison of test points with training points.
    warnings
        Sentences on what may bias the result.
    pixels
        The test points one by one; None for a reference raster.
    """

    map_path: str
    reference: str
    sampling: Sampling
    confusion: ConfusionMatrix
    estimates: AccuracyEstimates | None
    class_areas: dict[str, ClassArea]
    fingerprint: str = ""
    attribution: str = ""
    area_note: AreaNote | None = None
    outside: int = 0
    on_nodata: int = 0
    training_points: int | None = None
    training_check: str = ""
    warnings: tuple[str, ...] = ()
    pixels: AssessedPixels | None = None

    def _summary(self) -> list[str]:
        kind = "area-adjusted" if self.is_area_adjusted else "by counts"
        return [
            f"Assessment of '{Path(self.map_path).name}' with '{Path(self.reference).name}'",
            (
                f"overall accuracy {percent(self.overall_accuracy)} ({kind}, {self.confusion.total} "
                f"{'pixels' if self.sampling == 'raster' else 'points'}), mean F1 {self.mean_f1:.3f}, mean IoU "
                f"{self.mean_iou:.3f}"
            ),
            f"{len(self.legend)} classes: {join_names(self.legend.names)}",
            *(
                [f"{len(self.warnings)} warnings; print the assessment to read them"]
                if self.warnings
                else []
            ),
        ]

    @property
    def legend(self) -> Legend:
        """The map's classes, then those that only the reference has."""
        return self.confusion.legend

    @property
    def is_area_adjusted(self) -> bool:
        """Whether `overall_accuracy` is area-adjusted: where the sampling design is known."""
        return self.estimates is not None and self.sampling in ("simple", "stratified")

    @property
    def overall_accuracy(self) -> float:
        """Overall accuracy: area-adjusted for a declared probability sample, otherwise the share of correct points."""
        if self.is_area_adjusted and self.estimates is not None:
            return self.estimates.overall.value
        return self.confusion.overall_accuracy

    @property
    def mean_f1(self) -> float:
        """Mean F1 over the classes present in the reference, from counts."""
        return self.confusion.mean("f1")

    @property
    def mean_iou(self) -> float:
        """Mean intersection over union over the classes present in the reference, from counts."""
        return self.confusion.mean("iou")

    def __str__(self) -> str:
        return "\n".join(self.sentences())

    def to_json(self) -> dict[str, Any]:
        """Return everything but the single points as JSON."""
        document = {
            "map": self.map_path,
            "reference": self.reference,
            "model_fingerprint": self.fingerprint,
            "sampling": self.sampling,
            "overall_accuracy": self.overall_accuracy,
            "overall_accuracy_kind": "area-adjusted" if self.is_area_adjusted else "point counts",
            "mean_f1": self.mean_f1,
            "mean_iou": self.mean_iou,
            "points": {
                "assessed": self.confusion.total, "outside_map": self.outside, "on_nodata": self.on_nodata,
                "training_points": self.training_points,
            },
            "point_counts": self.confusion.to_json(),
            "area_adjusted": self.estimates and self.estimates.to_json(self.legend.names),
            "class_areas_ha": self.class_areas,
            "areas": self.area_note and self.area_note.basis,
            "warnings": self.warnings,
        }  # fmt: skip
        values: dict[str, Any] = to_json_values(document)
        return values

    def tables(self) -> list[TitledTable]:
        """Return the results as titled tables: scores, confusion matrix, area-adjusted accuracy, areas."""
        tables = [self._score_table(), self._confusion_table()]
        if self.estimates is not None and self.sampling != "raster":
            tables.append(self._estimate_table(self.estimates))
        return [*tables, self._area_table()]

    def sentences(self) -> list[str]:
        """Return the result as sentences, warnings last."""
        matrix = self.confusion
        unit = "pixels" if self.sampling == "raster" else "test points"
        summary = (
            f"{int(matrix.correct.sum())} of {matrix.total} {unit} agree with the map: overall accuracy "
            f"{percent(matrix.overall_accuracy)} by {'pixel' if unit == 'pixels' else 'point'} counts, mean F1 "
            f"{matrix.mean('f1'):.3f}, mean IoU {matrix.mean('iou'):.3f} over {matrix.classes_label}."
        )
        lines = [summary]
        if self.estimates is not None and self.sampling != "raster":
            lines.append(_adjusted_sentence(self.estimates.overall, self.estimates.confidence))
        lines.append(SAMPLING_NOTES[self.sampling])
        if self.area_note is not None:
            lines.append(self.area_note.sentence)
        checked = [self.training_check] if self.training_check else []
        return [*lines, *checked, *self._left_out(), *self.warnings]

    def _left_out(self) -> list[str]:
        parts = [
            f"{count} {where}"
            for count, where in (
                (self.outside, "outside the map"),
                (self.on_nodata, "on its nodata"),
            )
            if count
        ]
        unit = "Pixels" if self.sampling == "raster" else "Test points"
        return [f"{unit} left out: {' and '.join(parts)}."] if parts else []

    def _score_table(self) -> TitledTable:
        scores = ["user's acc.", "producer's acc.", "F1", "IoU"]
        headings = ["class", "on the map", "in reference", *scores]
        rows: list[Row] = [
            [row["class"], row["mapped"], row["reference"], *(row[name] for name in SCORES)]
            for row in self.confusion.table()
        ]
        counted = "Pixel" if self.sampling == "raster" else "Point"
        return f"{counted} counts: how the map agrees with the reference", headings, rows

    def _confusion_table(self) -> TitledTable:
        rows: list[Row] = [
            [name, *counts]
            for name, counts in zip(self.legend.names, self.confusion.counts.tolist(), strict=True)
        ]
        return f"Confusion matrix ({AXES})", ["map \\ reference", *self.legend.names], rows

    def _estimate_table(self, estimates: AccuracyEstimates) -> TitledTable:
        headings = ["class", "user's acc.", "from", "to", "producer's acc.", "from", "to"]
        classes = zip(self.legend.names, estimates.users, estimates.producers, strict=True)
        rows: list[Row] = [[name, *_span(users), *_span(own)] for name, users, own in classes]
        rows.append(["overall accuracy", *_span(estimates.overall), *[math.nan] * 3])
        confidence = round(100 * estimates.confidence)
        return f"Area-adjusted accuracy with {confidence} % intervals", headings, rows

    def _area_table(self) -> TitledTable:
        areas = self.class_areas.items()
        if all(math.isnan(area.estimated_ha) for _, area in areas):
            headings, keys = ["on the map, ha"], ["mapped_ha"]
        elif self.sampling == "raster":
            headings, keys = (
                ["on the map, ha", "in the reference, ha"],
                ["mapped_ha", "estimated_ha"],
            )
        else:
            headings = ["mapped ha", "estimated ha", "from", "to"]
            keys = ["mapped_ha", "estimated_ha", "low_ha", "high_ha"]
        rows: list[Row] = [[name, *(getattr(area, key) for key in keys)] for name, area in areas]
        return "Area by class", ["class", *headings], rows


def _span(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value, estimate.low, estimate.high


def percent(share: float) -> str:
    """Return a share as a percentage for sentences, like ``94.7 %``.

    Examples
    --------
    >>> percent(0.94651)
    '94.7 %'
    """
    return "undefined" if math.isnan(share) else f"{100 * share:.1f} %"


def _adjusted_sentence(overall: Estimate, confidence: float) -> str:
    span = f"{round(100 * confidence)} % interval {percent(overall.low)} to {percent(overall.high)}"
    return f"Weighted by area, {percent(overall.value)} of the map's area is correct ({span})."


def require_sampling(sampling: str, *, has_strata: bool) -> None:
    """Raise `ConfigError` unless test points can have a sampling design, with strata or without."""
    if sampling not in _DESIGNS:
        raise ConfigError(f"There is no sampling '{sampling}'. {nearest_names(sampling, _DESIGNS)}")
    if sampling == "simple" and has_strata:
        raise ConfigError(
            "Strata were given for a simple random sample, which has none. Expected sampling 'stratified' with strata; "
            "leave out one of the two."
        )
