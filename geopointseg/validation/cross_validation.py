"""Cross-validation of a recipe on held-out blocks or scenes.

The majority class and two random forests are scored on the same folds, for comparison.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopointseg.assessment.bootstrap import BlockScores, score_blocks
from geopointseg.bands.opening import open_scenes
from geopointseg.config import Config
from geopointseg.errors import PointsError
from geopointseg.labels.block_split import Fold, assign_blocks, require_out_of_reach
from geopointseg.labels.points import Points
from geopointseg.labels.sparse_mask import find_pixels
from geopointseg.learning.initial_network import resolve_network
from geopointseg.learning.training import train
from geopointseg.learning.training_job import ModelKind
from geopointseg.legend import Legend
from geopointseg.model.bundle import ModelBundle, resolve_device
from geopointseg.model.ensemble import combine_models
from geopointseg.model.inference import predict_at
from geopointseg.prediction.prediction_job import open_imagery
from geopointseg.progress import NullSink, Reporter
from geopointseg.raster.scene import Scene, ScenePath
from geopointseg.setting import as_list, require_number
from geopointseg.validation.folds import (
    choose_block_size,
    divide_by_block,
    divide_by_scene,
    fold_scene,
    make_rounds,
    reach_of,
)
from geopointseg.validation.learning_curve import LearningCurve, summarize_curve, thin_points
from geopointseg.validation.validation_report import write_validation_report
from geopointseg.validation.validation_result import (
    MAJORITY,
    PLAIN_FORESTS,
    RECIPE,
    HeldOut,
    Validation,
)

CURVE_SHARES = (0.125, 0.25, 0.5, 1.0)

Method = Callable[[Points, Points], NDArray[np.int64]]


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
    """Cross-validate a recipe on held-out blocks or scenes, and simpler methods on the same folds.

    Parameters
    ----------
    scenes
        Rasters with the same bands.
    points
        Labelled points. All are used whatever their ``split``, except those marked ``buffer``.
    config
        Settings of the recipe; a time limit applies to each fold.
    model
        Kind of model: ``auto``, ``network``, ``linear``, ``knn`` or ``forest``.
    by
        What is held out in turn: ``block``; or ``scene``, so that each scene (another date or sensor) is predicted by a
        model that was not trained on it. Where scenes overlap, a block is tested on one of them.
    folds
        Number of folds; with ``scene`` there are as many as scenes with points.
    block_size_m
        Side of a block in metres; by default the range of the labels' variogram, or less where that leaves too few
        blocks.
    buffer_m
        Training points within this distance of a test point, in metres, are left out. By default the reach of a
        training chip, or less where too few points would be left.
    strict
        Raise an error, instead of a warning, where a test point lies within reach of a training chip.
    curve
        Whether to compute a learning curve, with the filter forest, or the forest on single vectors of an embedding.
    output
        Path of the HTML report; none is written by default.
    seed
        Seed of folds and trainings.
    device
        ``auto``, ``cpu`` or ``cuda``.
    reporter
        Receives progress; may cancel.

    Returns
    -------
    Validation
        Scores with intervals from resampled blocks, and advice.

    Raises
    ------
    PointsError
        If the points lie in fewer blocks than folds, none lies on a scene, or ``strict`` is violated.
    """
    reporter = reporter or Reporter()
    if buffer_m is not None:
        require_number("The buffer", buffer_m, unit="m", minimum=0)
    config = config or Config()
    sources = as_list(scenes)
    warnings: list[str] = []
    opened = open_scenes(
        sources, bands=config.scene.bands, reporter=reporter, **config.scene.reading
    )
    used = points.select(points.split != "buffer")
    trials = _Trials(sources, config, model, seed, device, reporter.silent(NullSink()))
    if by == "scene":
        trials = replace(trials, **_single_scenes(sources, config, reporter))
        size = choose_block_size(used, len(trials.sources), block_size_m, seed, warnings)
        divided = divide_by_scene(used, trials.sources, size, seed=seed, reporter=reporter)
        folds = len({name for name in divided.split.tolist() if name})
    else:
        divided, size = divide_by_block(used, folds, block_size_m, seed, warnings, reporter)
    trials, reach = _for_scene(trials, opened[0])
    rounds, buffer = make_rounds(divided, opened[0], reach, buffer_m, warnings)
    for fold in rounds if strict else ():
        require_out_of_reach(fold.train, fold.test, reach, grid=opened[0].grid)
    block = assign_blocks(divided, size)
    by_round = [trials if by == "block" else trials.without(fold_scene(fold)) for fold in rounds]
    found = _run_rounds(rounds, divided, [t.methods(curve=curve) for t in by_round], reporter)
    scored, on_image = _score_methods(found, divided, block, seed)
    done = Validation(
        legend=divided.legend,
        scores={name: scored[name] for name in (MAJORITY, *trials.plain, RECIPE)},
        folds=folds,
        block_size_m=size,
        buffer_m=buffer,
        reach_m=reach,
        curve=_curve(scored, rounds, trials.curve_method) if curve else None,
        left_out=int((~on_image).sum()),
        warnings=tuple(warnings),
        by=by,
    )
    for warning in warnings:
        reporter.warn(warning)
    if output is not None:
        write_validation_report(done, output)
    return done


def predict_points(
    model: ModelBundle, scenes: Sequence[Scene], points: Points, *, reporter: Reporter | None = None
) -> NDArray[np.float32]:
    """Return the class probabilities of a model at points, computed with the context of its members.

    A network with group normalization depends on its window, so that its values differ from those of the map.

    Parameters
    ----------
    model
        The model; its test-time augmentation is applied as in its maps.
    scenes
        Scenes with the model's bands; where they overlap, the first one with a valid pixel counts.
    points
        Points in any CRS; lines and polygons count at their representative point.
    reporter
        Receives progress; may cancel.

    Returns
    -------
    ndarray
        float32 ``(point, class)``; NaN where a point lies on no valid pixel.
    """
    reporter = reporter or Reporter()
    ensemble = combine_models([model], augmentation=model.config.prediction.tta)
    found = np.full((len(points), len(model.legend)), np.nan, dtype=np.float32)
    for scene in scenes:
        row, col = find_pixels(points.x, points.y, points.crs, scene.grid)
        wanted = np.flatnonzero((row >= 0) & np.isnan(found[:, 0]))
        if len(wanted):
            with reporter.stage("look up", total=len(wanted)) as advance:
                found[wanted] = predict_at(
                    ensemble, scene, row[wanted], col[wanted], advance=advance
                )
    return found


@dataclass(frozen=True)
class _Trials:
    """Trains and applies models with the same settings.

    Parameters
    ----------
    sources
        Scenes, or their paths, to train on.
    config, model, seed, device
        As for `validate`.
    reporter
        Reporter of the trainings.
    predicted
        Scenes to predict, where they are not those of the training.
    plain
        Features of the forests that are compared with, by name; the last one gives the learning curve.
    """

    sources: Sequence[Any]
    config: Config
    model: ModelKind
    seed: int
    device: str
    reporter: Reporter
    predicted: Sequence[Any] | None = None
    plain: Mapping[str, str] = field(default_factory=lambda: PLAIN_FORESTS)

    @property
    def curve_method(self) -> str:
        """Name of the forest of which the learning curve is computed."""
        return list(self.plain)[-1]

    def without(self, position: int) -> _Trials:
        """Return trials that train on all scenes but one, and predict that one."""
        others = [s for k, s in enumerate(self.sources) if k != position]
        return replace(self, sources=others, predicted=[self.sources[position]])

    def methods(self, *, curve: bool) -> dict[str, Method]:
        """Return the methods by name, each a function of training and test points that gives class indices."""
        plain = {
            name: self._trained("forest", self.config.updated({"forest": {"features": features}}))
            for name, features in self.plain.items()
        }
        methods: dict[str, Method] = {MAJORITY: _predict_majority, **plain}
        if curve:
            forest = plain[self.curve_method]
            for share in CURVE_SHARES[:-1]:
                methods[_curve_name(share, self.curve_method)] = self._thinned(forest, share)
        return methods | {RECIPE: self._trained(self.model, self.config)}

    def _trained(self, model: ModelKind, config: Config) -> Method:
        def predict(training: Points, test: Points) -> NDArray[np.int64]:
            with tempfile.TemporaryDirectory(prefix="geopointseg-") as folder:
                bundle = train(
                    self.sources, training, output=Path(folder) / "model", config=config, model=model,
                    seed=self.seed, device=self.device, reporter=self.reporter,
                )  # fmt: skip
                scenes = open_imagery(self.predicted or self.sources, [bundle], self.reporter)
                probabilities = predict_points(bundle, scenes, test, reporter=self.reporter)
            best = np.nan_to_num(probabilities).argmax(axis=1)
            index = _translate(bundle.legend, test.legend)[best]
            return np.where(np.isnan(probabilities).any(axis=1), -1, index)

        return predict

    def _thinned(self, predict: Method, share: float) -> Method:
        return lambda training, test: predict(thin_points(training, share, self.seed), test)


def _for_scene(trials: _Trials, scene: Scene) -> tuple[_Trials, float]:
    """Return trials for a kind of scene, and how far a training reads around its points, in metres.

    No filters are applied to the vectors of an embedding, and most members look at single ones.
    """
    config = trials.config.on_device(resolve_device(trials.device).type)
    if trials.model in ("auto", "network"):
        has_own_chips = trials.config.sampling.chip_size > 0
        silent = trials.reporter.silent(NullSink())
        config = resolve_network(config, [scene], silent, has_own_chips=has_own_chips)
    reach = reach_of(config, scene)
    if scene.embedding is None:
        return trials, reach
    plain = {name: features for name, features in PLAIN_FORESTS.items() if features == "pixel"}
    is_network = trials.model == "network"
    return replace(trials, plain=plain), reach if is_network else scene.grid.resolution_m


def _curve_name(share: float, method: str) -> str:
    return f"{method}, {share:g} of the points"


def _predict_majority(training: Points, test: Points) -> NDArray[np.int64]:
    return np.full(len(test), int(training.counts().argmax()), dtype=np.int64)


def _translate(source: Legend, target: Legend) -> NDArray[np.int64]:
    """Return the position in one legend of each class of another."""
    place = {name: index for index, name in enumerate(target.names)}
    return np.array([place[name] for name in source.names], dtype=np.int64)


def _single_scenes(sources: Sequence[Any], config: Config, reporter: Reporter) -> dict[str, Any]:
    """Return the scenes opened one by one, and settings under which they are not merged."""
    return {
        "sources": open_scenes(sources, reporter=reporter, **config.scene.reading),
        "config": config.updated({"scene": {"dates": "scenes", "stack": "never"}}),
    }


def _run_rounds(
    rounds: Sequence[Fold],
    points: Points,
    methods: Sequence[Mapping[str, Method]],
    reporter: Reporter,
) -> dict[str, NDArray[np.int64]]:
    """Return the class index that each method gives to every point, from the round that held out its fold."""
    found = {name: np.full(len(points), -1, dtype=np.int64) for name in methods[0]}
    with reporter.stage("validate", total=len(rounds) * len(found)) as advance:
        for fold, by_name in zip(rounds, methods, strict=True):
            held_out = points.split == fold.name
            training = fold.train.with_split([""] * len(fold.train))
            for name, predict in by_name.items():
                found[name][held_out] = predict(training, fold.test)
                advance(1, f"{fold.name}, {name}")
    return found


def _score_methods(
    found: Mapping[str, NDArray[np.int64]], points: Points, block: NDArray[np.int64], seed: int
) -> tuple[dict[str, BlockScores], NDArray[np.bool_]]:
    """Return the scores of each method, and which points lie on valid pixels, which are the ones scored."""
    on_image = np.all([index >= 0 for index in found.values()], axis=0)
    if not on_image.any():
        raise PointsError(
            f"None of the {len(points)} points lies on an image of the scenes. Expected points on the imagery; "
            "`check_points` lists where they lie."
        )
    scored = {
        name: score_blocks(
            np.where(on_image, index, -1), points.class_index, block, points.legend, seed=seed
        )
        for name, index in found.items()
    }
    return scored, on_image


def _curve(scored: Mapping[str, BlockScores], rounds: Sequence[Fold], method: str) -> LearningCurve:
    """Return the learning curve of a forest."""
    names = [_curve_name(share, method) for share in CURVE_SHARES[:-1]] + [method]
    return summarize_curve(
        method,
        CURVE_SHARES,
        list(_points_per_class(rounds)),
        [scored[name].mean_f1 for name in names],
        [scored[name].replicates for name in names],
    )


def _points_per_class(rounds: Sequence[Fold]) -> Iterator[float]:
    for share in CURVE_SHARES:
        counts = [thin_points(fold.train, share, 0).counts() for fold in rounds]
        yield float(np.mean([c[c > 0].mean() for c in counts]))
