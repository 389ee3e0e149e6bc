"""Result of a cross-validation: scores of the recipe and of simpler methods on held-out points."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from geopointseg.assessment.bootstrap import BlockScores
from geopointseg.json_values import to_json_values
from geopointseg.legend import Legend
from geopointseg.summary import WIDTH, described
from geopointseg.validation.learning_curve import LearningCurve

HeldOut = Literal["block", "scene"]
TitledTable = tuple[str, list[str], list[Sequence[Any]]]

RECIPE = "this recipe"
MAJORITY = "majority class"
PLAIN_FORESTS = {"forest on single pixels": "pixel", "forest on filters": "filters"}
"""Names of the forests for comparison, and the features that they use."""


@described
@dataclass(frozen=True, eq=False)
class Validation:
    """Scores of the recipe and of simpler methods on held-out points.

    Parameters
    ----------
    legend
        The classes.
    scores
        By method, the recipe last.
    folds
        Number of folds.
    block_size_m, buffer_m
        Side of a block, and distance to a test point within which training points were left out; in metres.
    reach_m
        The buffer at which no training chip reaches a test point, in metres.
    curve
        Learning curve of the filter forest; None if not requested.
    left_out
        Number of points on no valid pixel.
    warnings
        Sentences on what may bias the scores.
    by
        What was held out in turn: ``block`` or ``scene``.
    """

    legend: Legend
    scores: Mapping[str, BlockScores]
    folds: int
    block_size_m: float
    buffer_m: float
    reach_m: float
    curve: LearningCurve | None
    left_out: int
    warnings: tuple[str, ...]
    by: HeldOut = "block"

    def _summary(self) -> list[str]:
        return [
            f"Validation by {self.design}, {len(self.legend)} classes",
            *(textwrap.shorten(f"{name}: {found!r}", WIDTH) for name, found in self.scores.items()),
        ]

    @property
    def design(self) -> str:
        """What was held out, as a phrase."""
        if self.by == "scene":
            return f"{self.folds} scenes, each left out in turn"
        return f"{self.folds} folds of blocks of {self.block_size_m:.0f} m"

    @property
    def recipe(self) -> BlockScores:
        """Scores of the recipe."""
        return self.scores[RECIPE]

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON; the recipe's scores are at the top level."""
        matrix = self.recipe.confusion
        document = {
            "overall_accuracy": matrix.overall_accuracy,
            "mean_f1": matrix.mean("f1"),
            "mean_iou": matrix.mean("iou"),
            "by": self.by,
            "folds": self.folds,
            "block_size_m": self.block_size_m,
            "buffer_m": self.buffer_m,
            "points_on_no_image": self.left_out,
            "methods": {name: self._method_json(found) for name, found in self.scores.items()},
            "learning_curve": self.curve and self.curve.to_json(),
            "warnings": self.warnings,
        }
        values: dict[str, Any] = to_json_values(document)
        return values

    def _method_json(self, found: BlockScores) -> dict[str, Any]:
        def interval(values: NDArray[np.float64]) -> dict[str, float]:
            return dict(zip(("value", "low", "high"), values.tolist(), strict=True))

        return {
            "mean_f1": interval(found.mean_f1),
            "overall_accuracy": interval(found.overall_accuracy),
            "f1": dict(zip(self.legend.names, map(interval, found.f1), strict=True)),
            "confusion": found.confusion.to_json(),
        }

    def tables(self) -> list[TitledTable]:
        """Return scores by class and method, and the recipe's intervals, as titled tables."""
        names = list(self.scores)
        rows: list[Sequence[Any]] = [
            [name, *(float(found.f1[k, 0]) for found in self.scores.values())]
            for k, name in enumerate(self.legend.names)
        ]
        rows.append(["mean F1", *(float(found.mean_f1[0]) for found in self.scores.values())])
        rows.append(
            ["overall accuracy", *(float(found.overall_accuracy[0]) for found in self.scores.values())]
        )  # fmt: skip
        recipe = self.recipe
        spans = [
            *zip(self.legend.names, recipe.f1.tolist(), strict=True),
            ("mean F1", recipe.mean_f1.tolist()),
            ("overall accuracy", recipe.overall_accuracy.tolist()),
        ]
        intervals: list[Sequence[Any]] = [[name, *values] for name, values in spans]
        return [
            ("F1 on held-out points", ["class", *names], rows),
            (
                f"{RECIPE.capitalize()} with 95 % intervals",
                ["class", "F1", "from", "to"],
                intervals,
            ),
        ]

    def sentences(self) -> list[str]:
        """Return the result as sentences, warnings last."""
        value, low, high = self.recipe.mean_f1
        total = self.recipe.confusion.total
        lines = [
            (
                f"On held-out points, the recipe reaches a mean F1 of {value:.3f} (95 % interval {low:.3f} to {high:.3f}, "
                f"from {total} points in {self.design})."
            )
        ]
        lines += [self._compared_with(name) for name in PLAIN_FORESTS if name in self.scores]
        if self.curve is not None:
            lines.append(self.curve.advice())
        lines.append(
            "These scores measure how the method transfers to other places, not the accuracy of one map. For that, "
            "assess the map with a random sample of test points."
        )
        return [*lines, *self.warnings]

    def _compared_with(self, other: str) -> str:
        difference = self.recipe.replicates - self.scores[other].replicates
        gain = self.recipe.mean_f1[0] - self.scores[other].mean_f1[0]
        low, high = np.nanpercentile(difference, [2.5, 97.5])
        verdict = (
            "better than" if low > 0 else "worse than" if high < 0 else "not clearly different from"
        )
        return (
            f"It is {verdict} the {other} ({gain:+.3f}, 95 % interval {low:+.3f} to {high:+.3f})."
        )
