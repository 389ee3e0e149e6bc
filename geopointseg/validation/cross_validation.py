"""Cross-validation on other ground: how well the recipe would map a place where nobody clicked.

Blocks of ground, or whole scenes, are held out in turn. Beside the recipe stand the majority class and two plain forests on the very
same folds, because a score means little without something to compare it with.
"""

from __future__ import annotations

import os
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from geopointseg.assessment.bootstrap import BlockScores, score_blocks
from geopointseg.assessment.confusion import number_or_none
from geopointseg.bands.opening import open_scenes
from geopointseg.config import Config
from geopointseg.errors import PointsError
from geopointseg.labels.block_split import (
    Fold,
    assign_blocks,
    require_out_of_reach,
)
from geopointseg.labels.points import Points
from geopointseg.learning.training import train
from geopointseg.legend import Legend
from geopointseg.model.bundle import resolve_device
from geopointseg.prediction.prediction_job import open_imagery
from geopointseg.progress import NullSink, Reporter
from geopointseg.raster.scene import Scene, ScenePath
from geopointseg.setting import require_number
from geopointseg.summary import WIDTH, described
from geopointseg.validation.block_folds import (
    choose_block_size,
    divide_by_block,
    make_rounds,
    reach_of,
)
from geopointseg.validation.learning_curve import LearningCurve, summarize_curve, thin_points
from geopointseg.validation.point_prediction import predict_points
from geopointseg.validation.scene_folds import divide_by_scene, fold_scene

HeldOut = Literal["block", "scene"]
ModelKind = Literal["auto", "network", "linear", "forest"]
RECIPE = "this recipe"
MAJORITY = "majority class"
PLAIN_FORESTS = {"forest on single pixels": "pixel", "forest on filters": "filters"}
CURVE_METHOD = "forest on filters"
CURVE_SHARES = (0.125, 0.25, 0.5, 1.0)

Guess = Callable[[Points, Points], NDArray[np.int64]]


@described
@dataclass(frozen=True, eq=False)
class Validation:
    """Scores of the recipe and its rivals on ground that was held out.

    Parameters
    ----------
    legend
        The classes.
    scores
        By method, the recipe last.
    folds
        Number of folds.
    block_size_m, buffer_m
        Side of a block, and distance within which training points of a test point were left out.
    reach_m
        The distance that would have been needed for no training chip to reach a test point.
    curve
        Learning curve of the filter forest, where it was asked for.
    left_out
        Points that lie on no image.
    warnings
        Sentences on what may spoil the result.
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

    def _table(self) -> list[tuple[str, list[str], list[Sequence[Any]]]]:
        return self.tables()

    @property
    def design(self) -> str:
        """What was held out, in words."""
        if self.by == "scene":
            return f"{self.folds} scenes, each left out in turn"
        return f"{self.folds} folds of blocks of {self.block_size_m:.0f} m"

    @property
    def recipe(self) -> BlockScores:
        """Scores of the recipe."""
        return self.scores[RECIPE]

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON; the recipe's scores stand at the top."""
        matrix = self.recipe.confusion
        return {
            "overall_accuracy": number_or_none(matrix.overall_accuracy),
            "mean_f1": number_or_none(matrix.mean("f1")),
            "mean_iou": number_or_none(matrix.mean("iou")),
            "by": self.by,
            "folds": self.folds,
            "block_size_m": self.block_size_m,
            "buffer_m": self.buffer_m,
            "points_on_no_image": self.left_out,
            "methods": {name: self._method_json(found) for name, found in self.scores.items()},
            "learning_curve": self.curve.to_json() if self.curve else None,
            "warnings": list(self.warnings),
        }

    def _method_json(self, found: BlockScores) -> dict[str, Any]:
        def interval(values: NDArray[np.float64]) -> dict[str, Any]:
            names = ("value", "low", "high")
            return {n: number_or_none(v) for n, v in zip(names, values.tolist(), strict=True)}

        by_class = zip(self.legend.names, found.f1, strict=True)
        return {
            "mean_f1": interval(found.mean_f1),
            "overall_accuracy": interval(found.overall_accuracy),
            "f1": {name: interval(values) for name, values in by_class},
            "confusion": found.confusion.to_json(),
        }

    def tables(self) -> list[tuple[str, list[str], list[Sequence[Any]]]]:
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
        sure: list[Sequence[Any]] = [[name, *values] for name, values in spans]
        return [
            ("F1 on held-out ground", ["class", *names], rows),
            (f"{RECIPE.capitalize()} with 95 % intervals", ["class", "F1", "from", "to"], sure),
        ]

    def sentences(self) -> list[str]:
        """Return a plain-language reading."""
        value, low, high = self.recipe.mean_f1
        total = self.recipe.confusion.total
        lines = [
            (
                f"On ground where nobody clicked, the recipe reaches a mean F1 of {value:.3f} (95 % interval {low:.3f} "
                f"to {high:.3f}, from {total} points in {self.design})."
            )
        ]
        lines += [self._compared_with(name) for name in PLAIN_FORESTS]
        if self.curve is not None:
            lines.append(self.curve.advice())
        lines.append(
            "This tells how the method transfers to other ground, not how accurate one map is; for that, "
            "'geopointseg assess' it with a random sample."
        )
        return [*lines, *self.warnings]

    def _compared_with(self, rival: str) -> str:
        difference = self.recipe.replicates - self.scores[rival].replicates
        gain = self.recipe.mean_f1[0] - self.scores[rival].mean_f1[0]
        low, high = np.nanpercentile(difference, [2.5, 97.5])
        verdict = (
            "better than" if low > 0 else "worse than" if high < 0 else "not clearly different from"
        )
        return (
            f"It is {verdict} the {rival} ({gain:+.3f}, 95 % interval {low:+.3f} to {high:+.3f})."
        )


def validate(
    scenes: Scene | ScenePath | Sequence[Scene | ScenePath],
    points: Points,
    *,
    config: Config | None = None,
    model: ModelKind = "auto",
    by: HeldOut = "block",
    folds: int = 5,
    block_size_m: float | None = None,
    buffer_m: float | None = None,
    strict: bool = False,
    curve: bool = True,
    output: str | os.PathLike[str] | None = None,
    seed: int = 0,
    device: str = "auto",
    reporter: Reporter | None = None,
) -> Validation:
    """Cross-validate a recipe on blocks of ground that were held out, beside simpler methods.

    Parameters
    ----------
    scenes
        Rasters with the same bands.
    points
        Labelled points; all are used, whatever their split says, but those marked ``buffer``.
    config
        Settings of the recipe; the time budget is that of one fold.
    model
        What the recipe trains: ``auto``, ``network`` or ``forest``.
    by
        What is held out in turn: ``block`` of ground; or ``scene``, so that each scene is mapped by a model that has
        not seen it (another date or sensor). Where scenes overlap, a block of ground is tested on one of them.
    folds
        Number of folds; with ``scene`` there are as many as scenes with points.
    block_size_m
        Side of a block; the range of the labels' variogram by default, less where that leaves too few blocks.
    buffer_m
        Training points this near to a test point are left out; by default as far as training chips reach, less
        where too few points would be left.
    strict
        Refuse to run, instead of warning, where the buffer leaves a test point within reach of a training chip.
    curve
        Whether to measure how scores grow with the number of points (on the filter forest, which is quick).
    output
        Where to write a report, if wanted.
    seed
        Decides folds and trainings.
    device
        ``auto``, ``cpu`` or ``cuda``.
    reporter
        Takes progress; may cancel.

    Returns
    -------
    Validation
        Scores with intervals from resampled blocks, and advice.

    Raises
    ------
    PointsError
        If the points lie in fewer blocks than folds, none lies on a scene, or ``strict`` is not kept.
    """
    reporter = reporter or Reporter()
    if buffer_m is not None:
        require_number("The buffer", buffer_m, unit="m", minimum=0)
    config = (config or Config()).on_device(resolve_device(device).type)
    sources = [scenes] if isinstance(scenes, (str, os.PathLike, Scene)) else list(scenes)
    warnings: list[str] = []
    opened = open_scenes(
        sources, bands=config.scene.bands, reporter=reporter, **config.scene.reading
    )
    used = points.select(points.split != "buffer")
    bench = _Bench(sources, config, model, seed, device, _Background(reporter))
    if by == "scene":
        bench = replace(bench, **_single_scenes(sources, config, reporter))
        size = choose_block_size(used, len(bench.sources), block_size_m, seed, warnings)
        divided = divide_by_scene(used, bench.sources, size, seed=seed, reporter=reporter)
        folds = len({name for name in divided.split.tolist() if name})
    else:
        divided, size = divide_by_block(used, folds, block_size_m, seed, warnings, reporter)
    reach = reach_of(config, opened[0])
    rounds, buffer = make_rounds(divided, opened[0], reach, buffer_m, warnings)
    if strict:
        for fold in rounds:
            require_out_of_reach(fold.train, fold.test, reach, grid=opened[0].grid)
    block = assign_blocks(divided, size)
    benches = [bench if by == "block" else bench.without(fold_scene(fold)) for fold in rounds]
    found = _run(rounds, divided, [b.trials(curve=curve) for b in benches], reporter)
    scored, on_image = _score(found, divided, block, seed)
    done = Validation(
        legend=divided.legend,
        scores={name: scored[name] for name in (MAJORITY, *PLAIN_FORESTS, RECIPE)},
        folds=folds,
        block_size_m=size,
        buffer_m=buffer,
        reach_m=reach,
        curve=_curve(scored, rounds) if curve else None,
        left_out=int((~on_image).sum()),
        warnings=tuple(warnings),
        by=by,
    )
    for warning in warnings:
        reporter.warn(warning)
    if output is not None:
        from geopointseg.validation.validation_report import write_validation_report

        write_validation_report(done, output)
    return done


class _Background(Reporter):
    """A reporter for trainings inside a study: silent, but cancelled with the study."""

    def __init__(self, foreground: Reporter) -> None:
        super().__init__(NullSink())
        self._foreground = foreground

    @property
    def is_cancelled(self) -> bool:
        """Whether the study was asked to end."""
        return self._foreground.is_cancelled

    def check_cancelled(self) -> None:
        """Raise `Cancelled` if the study was asked to end."""
        self._foreground.check_cancelled()


@dataclass(frozen=True)
class _Bench:
    """Trains and asks models on the same terms."""

    sources: Sequence[Any]
    config: Config
    model: ModelKind
    seed: int
    device: str
    reporter: Reporter
    asked: Sequence[Any] | None = None
    """The scenes that are mapped, where they are not those that are learnt from."""

    def without(self, position: int) -> _Bench:
        """Return a bench that learns from all scenes but one, and is asked about that one."""
        others = [s for k, s in enumerate(self.sources) if k != position]
        return replace(self, sources=others, asked=[self.sources[position]])

    def trials(self, *, curve: bool) -> dict[str, Guess]:
        """Return what turns training points and test points into class indices, by name."""
        plain = {
            name: self._trained("forest", self.config.updated({"forest": {"features": features}}))
            for name, features in PLAIN_FORESTS.items()
        }
        trials: dict[str, Guess] = {MAJORITY: _guess_majority, **plain}
        if curve:
            forest = plain[CURVE_METHOD]
            for share in CURVE_SHARES[:-1]:
                trials[_curve_name(share)] = self._thinned(forest, share)
        return trials | {RECIPE: self._trained(self.model, self.config)}

    def _trained(self, model: ModelKind, config: Config) -> Guess:
        def guess(training: Points, test: Points) -> NDArray[np.int64]:
            with tempfile.TemporaryDirectory(prefix="geopointseg-") as folder:
                bundle = train(
                    self.sources, training, output=Path(folder) / "model", config=config, model=model,
                    seed=self.seed, device=self.device, reporter=self.reporter,
                )  # fmt: skip
                scenes = open_imagery(self.asked or self.sources, [bundle], self.reporter)
                said = predict_points(bundle, scenes, test, reporter=self.reporter)
            index = _translate(bundle.legend, test.legend)[np.nan_to_num(said).argmax(axis=1)]
            return np.where(np.isnan(said).any(axis=1), -1, index)

        return guess

    def _thinned(self, guess: Guess, share: float) -> Guess:
        return lambda training, test: guess(thin_points(training, share, self.seed), test)


def _curve_name(share: float) -> str:
    return f"{CURVE_METHOD}, {share:g} of the points"


def _guess_majority(training: Points, test: Points) -> NDArray[np.int64]:
    return np.full(len(test), int(training.counts().argmax()), dtype=np.int64)


def _translate(source: Legend, target: Legend) -> NDArray[np.int64]:
    """Return the position in one legend of each class of another."""
    place = {name: index for index, name in enumerate(target.names)}
    return np.array([place[name] for name in source.names], dtype=np.int64)


def _single_scenes(sources: Sequence[Any], config: Config, reporter: Reporter) -> dict[str, Any]:
    """Return the scenes one by one, and settings that take each as it is."""
    return {
        "sources": open_scenes(sources, reporter=reporter, **config.scene.reading),
        "config": config.updated({"scene": {"dates": "scenes", "stack": "never"}}),
    }


def _run(
    rounds: Sequence[Fold],
    points: Points,
    trials: Sequence[Mapping[str, Guess]],
    reporter: Reporter,
) -> dict[str, NDArray[np.int64]]:
    """Return each trial's class index at every point, from the round in which its fold was held out."""
    found = {name: np.full(len(points), -1, dtype=np.int64) for name in trials[0]}
    with reporter.stage("validate", total=len(rounds) * len(found)) as advance:
        for fold, guesses in zip(rounds, trials, strict=True):
            held_out = points.split == fold.name
            for name, guess in guesses.items():
                found[name][held_out] = guess(
                    fold.train.with_split([""] * len(fold.train)), fold.test
                )
                advance(1, f"{fold.name}, {name}")
    return found


def _score(
    found: Mapping[str, NDArray[np.int64]], points: Points, block: NDArray[np.int64], seed: int
) -> tuple[dict[str, BlockScores], NDArray[np.bool_]]:
    """Return the scores of each trial, and which points lie on an image and count."""
    on_image = np.all([guess >= 0 for guess in found.values()], axis=0)
    if not on_image.any():
        raise PointsError(
            f"None of the {len(points)} points lies on an image of the scenes. Expected points on the imagery; "
            "'geopointseg points check' says where they lie."
        )
    scored = {
        name: score_blocks(
            np.where(on_image, guess, -1), points.class_index, block, points.legend, seed=seed
        )
        for name, guess in found.items()
    }
    return scored, on_image


def _curve(scored: Mapping[str, BlockScores], rounds: Sequence[Fold]) -> LearningCurve:
    """Put the learning curve of the filter forest together."""
    names = [_curve_name(share) for share in CURVE_SHARES[:-1]] + [CURVE_METHOD]
    return summarize_curve(
        CURVE_METHOD,
        CURVE_SHARES,
        list(_points_per_class(rounds)),
        [scored[name].mean_f1 for name in names],
        [scored[name].replicates for name in names],
    )


def _points_per_class(rounds: Sequence[Fold]) -> Iterator[float]:
    for share in CURVE_SHARES:
        counts = [thin_points(fold.train, share, 0).counts() for fold in rounds]
        yield float(np.mean([c[c > 0].mean() for c in counts]))
