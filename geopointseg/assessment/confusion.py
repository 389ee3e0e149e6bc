"""The confusion matrix, and the scores that are derived from its counts.

Rows are *map* classes and columns are *reference* classes in every format: in memory, in JSON, in CSV, on the terminal and
in the report. Each format states this, because a transposed matrix swaps user's and producer's accuracy.

Scores are one ratio of counts each and computed here. scikit-learn and torchmetrics start from labels of single samples, not
from counts of ranges of rows, folds and bootstrap replicates, and give 0, not NaN, as F1 of a class that only the map has.
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
from geopointseg.json_values import to_json_values
from geopointseg.legend import Legend
from geopointseg.summary import described, join_names

AXES = "rows = map, columns = reference"
"""Orientation of every confusion matrix."""

Score = Literal["users_accuracy", "producers_accuracy", "precision", "recall", "f1", "iou"]

SCORES: tuple[Score, ...] = ("users_accuracy", "producers_accuracy", "f1", "iou")
"""Per-class scores in the order of tables; precision and recall are other names of the first two."""


@described
@dataclass(frozen=True, eq=False)
class ConfusionMatrix:
    """Counts of map class against reference class, and scores.

    For a class that is absent from the reference, producer's accuracy, F1 and IoU are NaN, and means leave it out
    (`absent` counts such classes). For a class that is in the reference but never on the map, F1 and IoU are 0 and user's
    accuracy is NaN.

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
        rows = zip(self.legend.names, self.counts.tolist(), strict=True)
        return ["map \\ reference", *self.legend.names], [[name, *counts] for name, counts in rows]

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

        Returns
        -------
        ConfusionMatrix
            The counts.

        Raises
        ------
        LegendError
            If an index is not in the legend.
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
                f"The confusion matrix has the axes {document.get('axes')!r}. Expected '{AXES}'; transpose it if they are "
                "swapped."
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
        """Correct pairs by class, int64 ``(class,)``."""
        return np.asarray(np.diagonal(self.counts))

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which classes the reference has, bool ``(class,)``."""
        return self.reference_totals > 0

    @property
    def absent(self) -> int:
        """Number of classes that are absent from the reference."""
        return int((~self.present).sum())

    @property
    def overall_accuracy(self) -> float:
        """Share of correct pairs; NaN for no pairs."""
        return float(_ratio(self.correct.sum(), self.total))

    @property
    def kappa(self) -> float:
        """Cohen's kappa, for comparison with other studies (see Pontius & Millones 2011 for its limits).

        References
        ----------
        Pontius, R. G. & Millones, M. (2011). Death to Kappa. International Journal of Remote Sensing 32,
        4407-4429. https://doi.org/10.1080/01431161.2011.552923
        """
        (
            mapped,
            reference,
        ) = (  # float64, because products of integers overflow above 3 * 10^9 pixels
            _ratio(totals, self.total) for totals in (self.map_totals, self.reference_totals)
        )
        chance = float(mapped @ reference)
        return float(_ratio(self.overall_accuracy - chance, 1.0 - chance))

    @property
    def users_accuracy(self) -> NDArray[np.float64]:
        """Share of the pairs of a map class that are correct: precision, 1 - commission error; ``(class,)``."""
        return _ratio(self.correct, self.map_totals)

    @property
    def producers_accuracy(self) -> NDArray[np.float64]:
        """Share of the pairs of a reference class that are correct: recall, 1 - omission error; ``(class,)``."""
        return _ratio(self.correct, self.reference_totals)

    precision = users_accuracy
    recall = producers_accuracy

    @property
    def f1(self) -> NDArray[np.float64]:
        """F1 score, equal to the Dice coefficient, ``(class,)``; NaN for classes absent from the reference."""
        return class_f1(self.counts)

    dice = f1

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union (Jaccard index), ``(class,)``; NaN for classes absent from the reference."""
        union = self.map_totals + self.reference_totals - self.correct
        return np.where(self.present, _ratio(self.correct, union), np.nan)

    def score(self, name: Score) -> NDArray[np.float64]:
        """Return one per-class score by its name, ``(class,)``."""
        values: NDArray[np.float64] = getattr(self, name)
        return values

    def mean(self, name: Score) -> float:
        """Return the mean of a score over the classes present in the reference, without undefined values."""
        values = self.score(name)[self.present]
        values = values[~np.isnan(values)]
        return float(values.mean()) if values.size else math.nan

    def table(self) -> list[dict[str, Any]]:
        """Return one row per class and a last row of means, for terminals and reports; NaN where undefined."""
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
        """Number of classes in means, and of those left out, as a phrase."""
        left_out = f" ({self.absent} absent left out)" if self.absent else ""
        return f"{int(self.present.sum())} classes{left_out}"

    def to_json(self) -> dict[str, Any]:
        """Return counts, scores and the orientation of the axes as JSON; undefined scores are null."""
        document = {
            "axes": AXES,
            "legend": self.legend.to_json(),
            "counts": self.counts,
            "total": self.total,
            "overall_accuracy": self.overall_accuracy,
            "kappa": self.kappa,
            "classes_absent_from_reference": self.absent,
            "mean": {name: self.mean(name) for name in SCORES},
            "classes": self.table()[:-1],
        }
        values: dict[str, Any] = to_json_values(document)
        return values

    def to_csv(self) -> str:
        """Return the counts as CSV with totals and accuracies in the margins.

        The first cell gives the orientation of the axes.
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


def class_f1(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the F1 score of each class; NaN for classes absent from the reference.

    Parameters
    ----------
    counts
        Confusion matrices, int64 ``(..., map, reference)``.

    Returns
    -------
    ndarray
        float64 ``(..., class)``.
    """
    mapped, reference = counts.sum(axis=-1), counts.sum(axis=-2)
    scores = _ratio(2 * np.diagonal(counts, axis1=-2, axis2=-1), mapped + reference)
    return np.where(reference > 0, scores, np.nan)


def _ratio(part: ArrayLike, whole: ArrayLike) -> NDArray[np.float64]:
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    shares: NDArray[np.float64] = np.divide(
        part, whole, out=np.full(np.broadcast(part, whole).shape, np.nan), where=whole != 0
    )
    return shares


def _cell(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6f}"
