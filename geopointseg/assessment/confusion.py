"""The confusion matrix: one table of counts from which every score is derived.

Rows are what the *map* says, columns are what the *reference* says, in every format: in memory, in JSON, in CSV,
on the terminal and in the report. Each format says so itself, because software differs on this and a transposed
matrix swaps user's and producer's accuracy without anyone noticing.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geopointseg.errors import LegendError
from geopointseg.legend import Legend
from geopointseg.summary import described, join_names

AXES = "rows = map, columns = reference"
"""The one orientation of every confusion matrix."""

Score = Literal["users_accuracy", "producers_accuracy", "precision", "recall", "f1", "iou"]

SCORES: tuple[Score, ...] = ("users_accuracy", "producers_accuracy", "f1", "iou")
"""The per-class scores in the order in which tables show them; precision and recall are other names of the first two."""


@described
@dataclass(frozen=True, eq=False)
class ConfusionMatrix:
    """Counts of map class against reference class, and the scores that follow from them.

    A class that the reference does not hold has no producer's accuracy, F1 or IoU: these are NaN, and means leave
    the class out (`absent` counts them). A class that is in the reference but never on the map has an F1 and an
    IoU of zero and a user's accuracy of NaN, since there is nothing to be right about.

    Parameters
    ----------
    counts
        int64 ``(class, class)``, rows = map, columns = reference, in the legend's order.
    legend
        The classes.

    Examples
    --------
    >>> legend = Legend.from_names(["water", "forest"])
    >>> matrix = ConfusionMatrix.from_labels([0, 0, 1, 1], [0, 1, 1, 1], legend)
    >>> matrix.counts
    array([[1, 1],
           [0, 2]])
    >>> matrix.overall_accuracy
    0.75
    >>> matrix.users_accuracy
    array([0.5, 1. ])
    """

    counts: NDArray[np.int64]
    legend: Legend

    def _summary(self) -> list[str]:
        return [
            (
                f"ConfusionMatrix: {self.total} labels, {len(self.legend)} classes, overall accuracy "
                f"{self.overall_accuracy:.3f}, mean F1 {self.mean('f1'):.3f}"
            ),
            f"classes: {join_names(self.legend.names)}",
        ]

    def _table(self) -> tuple[list[str], list[list[object]]]:
        rows = [
            [name, *counts]
            for name, counts in zip(self.legend.names, self.counts.tolist(), strict=True)
        ]
        return ["map \\ reference", *self.legend.names], rows

    def __post_init__(self) -> None:
        counts = np.array(self.counts, dtype=np.int64)
        expected = (len(self.legend), len(self.legend))
        if counts.shape != expected:
            raise LegendError(
                f"The confusion matrix has the shape {counts.shape}. Expected {expected}, one row and one column "
                f"for each of the {len(self.legend)} classes in the legend; count the classes again."
            )
        counts.setflags(write=False)
        object.__setattr__(self, "counts", counts)

    @classmethod
    def from_labels(
        cls, mapped: ArrayLike, reference: ArrayLike, legend: Legend
    ) -> ConfusionMatrix:
        """Count pairs of class indices.

        Parameters
        ----------
        mapped, reference
            Class indices 0..K-1 of one shape. Pairs in which either is negative (unlabelled) are left out.
        legend
            The classes.
        """
        size = len(legend)
        rows = np.asarray(mapped, dtype=np.int64).ravel()
        columns = np.asarray(reference, dtype=np.int64).ravel()
        known = (rows >= 0) & (columns >= 0)
        if np.any(rows >= size) or np.any(columns >= size):
            raise LegendError(
                f"A class index of {max(rows.max(), columns.max())} was found. Expected 0 to {size - 1} for the "
                f"{size} classes in the legend; use one legend for map and reference."
            )
        pairs = rows[known] * size + columns[known]
        return cls(np.bincount(pairs, minlength=size * size).reshape(size, size), legend)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> ConfusionMatrix:
        """Read the matrix back from `to_json`."""
        if document.get("axes") != AXES:
            raise LegendError(
                f"The confusion matrix says its axes are {document.get('axes')!r}. Expected '{AXES}'; "
                "transpose it if it is the other way round."
            )
        return cls(np.array(document["counts"]), Legend.from_json(document["legend"]))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ConfusionMatrix):
            return NotImplemented
        return self.legend == other.legend and np.array_equal(self.counts, other.counts)

    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        """Pool the counts of two matrices of one legend, for example of two folds."""
        if self.legend != other.legend:
            raise LegendError(
                f"Matrices of the classes {', '.join(self.legend.names)} and {', '.join(other.legend.names)} cannot "
                "be added. Expected one legend; count both with the same one."
            )
        return ConfusionMatrix(self.counts + other.counts, self.legend)

    @property
    def total(self) -> int:
        """Number of pairs counted."""
        return int(self.counts.sum())

    @property
    def map_totals(self) -> NDArray[np.int64]:
        """Pairs by map class, ``(class,)``."""
        return np.asarray(self.counts.sum(axis=1))

    @property
    def reference_totals(self) -> NDArray[np.int64]:
        """Pairs by reference class, ``(class,)``."""
        return np.asarray(self.counts.sum(axis=0))

    @property
    def correct(self) -> NDArray[np.int64]:
        """Pairs that agree, by class, ``(class,)``."""
        return np.asarray(np.diagonal(self.counts))

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which classes the reference holds, ``(class,)``."""
        return self.reference_totals > 0

    @property
    def absent(self) -> int:
        """How many classes the reference does not hold; means leave them out."""
        return int((~self.present).sum())

    @property
    def overall_accuracy(self) -> float:
        """Share of pairs that agree; NaN where there are none."""
        return float(_ratio(self.correct.sum(), self.total))

    @property
    def kappa(self) -> float:
        """Cohen's kappa. Kept because readers ask for it; it adds nothing to the accuracies (Pontius & Millones 2011).

        References
        ----------
        Pontius, R. G. & Millones, M. (2011). Death to Kappa. International Journal of Remote Sensing 32,
        4407-4429. https://doi.org/10.1080/01431161.2011.552923
        """
        chance = float(_ratio(self.map_totals @ self.reference_totals, self.total**2))
        return float(_ratio(self.overall_accuracy - chance, 1.0 - chance))

    @property
    def users_accuracy(self) -> NDArray[np.float64]:
        """Share of what the map calls a class that is that class: precision, 1 - commission error."""
        return _ratio(self.correct, self.map_totals)

    @property
    def producers_accuracy(self) -> NDArray[np.float64]:
        """Share of a class on the ground that the map shows as that class: recall, 1 - omission error."""
        return _ratio(self.correct, self.reference_totals)

    precision = users_accuracy
    recall = producers_accuracy

    @property
    def f1(self) -> NDArray[np.float64]:
        """F1 score, which is the Dice coefficient; NaN for classes absent from the reference."""
        scores = _ratio(2 * self.correct, self.map_totals + self.reference_totals)
        return np.where(self.present, scores, np.nan)

    dice = f1

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union (Jaccard index); NaN for classes absent from the reference."""
        union = self.map_totals + self.reference_totals - self.correct
        return np.where(self.present, _ratio(self.correct, union), np.nan)

    def score(self, name: Score) -> NDArray[np.float64]:
        """Return one per-class score by its name, ``(class,)``."""
        values: NDArray[np.float64] = getattr(self, name)
        return values

    def mean(self, name: Score) -> float:
        """Return the mean of a score over the classes present in the reference (undefined ones left out)."""
        values = self.score(name)[self.present]
        values = values[~np.isnan(values)]
        return float(values.mean()) if values.size else math.nan

    def table(self) -> list[dict[str, Any]]:
        """Return one row a class and a last row of means, for terminals and reports; NaN where undefined."""
        columns = {name: self.score(name) for name in SCORES}
        rows: list[dict[str, Any]] = [
            {
                "code": entry.code,
                "class": entry.name,
                "mapped": int(self.map_totals[index]),
                "reference": int(self.reference_totals[index]),
                **{name: float(values[index]) for name, values in columns.items()},
            }
            for index, entry in enumerate(self.legend.entries)
        ]
        means = {name: self.mean(name) for name in SCORES}
        total = {
            "code": None,
            "class": f"mean of {self.classes_label}",
            "mapped": self.total,
            "reference": self.total,
        }
        return [*rows, total | means]

    @property
    def classes_label(self) -> str:
        """How many classes means are taken over; it says how many were left out."""
        left_out = f" ({self.absent} absent left out)" if self.absent else ""
        return f"{int(self.present.sum())} classes{left_out}"

    def to_json(self) -> dict[str, Any]:
        """Return counts, scores and the orientation of the axes; undefined scores are null."""
        return {
            "axes": AXES,
            "legend": self.legend.to_json(),
            "counts": self.counts.tolist(),
            "total": self.total,
            "overall_accuracy": number_or_none(self.overall_accuracy),
            "kappa": number_or_none(self.kappa),
            "classes_absent_from_reference": self.absent,
            "mean": {name: number_or_none(self.mean(name)) for name in SCORES},
            "classes": [
                {key: number_or_none(value) for key, value in row.items()}
                for row in self.table()[:-1]
            ],
        }

    def to_csv(self) -> str:
        """Return the counts as CSV with totals and accuracies in the margins.

        The first cell names the axes; rows are the map's classes, columns the reference's.
        """
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        names = self.legend.names
        writer.writerow([AXES, *names, "total", "users_accuracy"])
        for name, row, users in zip(names, self.counts, self.users_accuracy, strict=True):
            writer.writerow([name, *row.tolist(), int(row.sum()), _cell(users)])
        writer.writerow(["total", *self.reference_totals.tolist(), self.total, ""])
        producers = [_cell(value) for value in self.producers_accuracy]
        writer.writerow(["producers_accuracy", *producers, "", _cell(self.overall_accuracy)])
        return stream.getvalue()


def number_or_none(value: Any) -> Any:
    """Return numpy numbers as Python's and NaN as None, which JSON knows as null."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _ratio(part: ArrayLike, whole: ArrayLike) -> NDArray[np.float64]:
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    shares: NDArray[np.float64] = np.divide(
        part, whole, out=np.full(np.broadcast(part, whole).shape, np.nan), where=whole != 0
    )
    return shares


def _cell(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6f}"
