"""Suggestion of points to label next, from the predictions of a model on scenes."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.assessment.training_points import read_given_or_kept
from geopointseg.errors import PointsError, RasterError
from geopointseg.labels.layer import new_geopackage, require_free_geopackage, write_layer
from geopointseg.labels.layer_style import Style, write_style
from geopointseg.labels.placement import crs_mismatch
from geopointseg.labels.points import Points
from geopointseg.legend import Legend
from geopointseg.model.bundle import ModelBundle, resolve_device
from geopointseg.model.ensemble import combine_models
from geopointseg.model.inference import predict_patch, surround
from geopointseg.prediction.prediction_job import load_models, open_imagery
from geopointseg.progress import Reporter
from geopointseg.raster.datum import datum_at
from geopointseg.raster.geodesy import Positions
from geopointseg.raster.grid import block_windows, require_transformation, transform_coordinates
from geopointseg.raster.scene import Scene, ScenePath
from geopointseg.setting import as_list
from geopointseg.summary import count_classes, described
from geopointseg.validation.candidate_ranking import (
    REASON_KINDS,
    Candidates,
    LabelledPlaces,
    Ranking,
    measure_disagreement,
    rank_candidates,
)
from geopointseg.validation.place_features import PlaceFeatures

WINDOW_PX = 256
LARGEST_AREA_PX = 6_000_000
"""About how many pixels are predicted; of larger scenes, windows drawn at random."""
CANDIDATES = 12_000
SUGGESTION_LAYER = "suggestions"
CLASS_FIELD = "class"

_MOST_BANDS = 24


@described
@dataclass(frozen=True, eq=False)
class SuggestedPoints:
    """Places to label next, the most useful first.

    Parameters
    ----------
    x, y
        Pixel centres in the CRS of the first scene, float64 ``(point,)``.
    scene
        Name of the scene that each lies on.
    most_likely
        The two most likely classes, int64 ``(point, 2)``.
    probability
        Probability of the most likely class.
    usefulness
        Relative to the largest.
    kinds
        Why each was chosen, one of `REASON_KINDS`.
    reasons
        The same as a phrase that names the classes.
    legend
        Classes of the model.
    output
        The GeoPackage they were written to.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    scene: NDArray[np.str_]
    most_likely: NDArray[np.int64]
    probability: NDArray[np.float64]
    usefulness: NDArray[np.float64]
    kinds: tuple[str, ...]
    reasons: tuple[str, ...]
    legend: Legend
    output: Path

    def _summary(self) -> list[str]:
        kinds, counts = np.unique(np.array(self.kinds, dtype=np.str_), return_counts=True)
        return [
            f"SuggestedPoints: {len(self)}, written to '{self.output}'",
            count_classes(kinds.tolist(), counts),
        ]

    def __len__(self) -> int:
        return len(self.x)

    def columns(self) -> dict[str, list[Any]]:
        """Return the values of the points by name, in order of rank."""
        names = self.legend.names
        return {
            "rank": list(range(1, len(self) + 1)),
            "likely": [names[k] for k in self.most_likely[:, 0]],
            "or": [names[k] for k in self.most_likely[:, 1]],
            "probability": self.probability.round(4).tolist(),
            "usefulness": self.usefulness.round(4).tolist(),
            "reason": list(self.kinds),
            "detail": list(self.reasons),
            "scene": self.scene.tolist(),
        }

    def to_json(self) -> dict[str, Any]:
        """Return the points as JSON."""
        columns = {"x": self.x.tolist(), "y": self.y.tolist(), **self.columns()}
        rows = zip(*columns.values(), strict=True)
        return {
            "output": str(self.output),
            "points": len(self),
            "suggestions": [dict(zip(columns, row, strict=True)) for row in rows],
        }

    def tables(self) -> list[tuple[str, list[str], list[Sequence[Any]]]]:
        """Return the points as a titled table."""
        columns = self.columns()
        place = [f"{x:.9g}" for x in self.x], [f"{y:.9g}" for y in self.y]
        shown = [columns[name] for name in ("detail", "likely", "or", "rank")]
        rows: list[Sequence[Any]] = [
            list(row) for row in zip(*shown, *place, self.probability.tolist(), strict=True)
        ]
        headings = ["reason", "likely", "or", "rank", "x", "y", "probability"]
        return [("Suggested points", headings, rows)]


@dataclass(frozen=True)
class _WindowCandidates:
    """Candidates of one window: their pixels, predictions and features."""

    scene: int
    row: NDArray[np.int64]
    col: NDArray[np.int64]
    channels: NDArray[np.float32]
    """``(pixel, channel)``: class probabilities, and the members' mean entropy where there are several."""
    features: NDArray[np.float32]


def suggest(
    models: ModelBundle | ScenePath | Sequence[ModelBundle | ScenePath],
    scenes: Scene | ScenePath | Sequence[Scene | ScenePath],
    count: int,
    min_distance_m: float,
    output: str | os.PathLike[str],
    *,
    points: Points | str | os.PathLike[str] | None = None,
    seed: int = 0,
    device: str = "auto",
    reporter: Reporter | None = None,
) -> SuggestedPoints:
    """Suggest where the next points help most, and write them as a GeoPackage to be filled in.

    Candidates are drawn in all scenes, the same number of each predicted class. Then `rank_candidates` gives each place to the
    predicted class with the fewest points, and chooses in it by uncertainty (entropy, margin, disagreement of the
    members), novelty and diversity in feature space.

    Parameters
    ----------
    models
        A model, its folder, or several.
    scenes
        The rasters to be mapped.
    count
        How many points.
    min_distance_m
        Smallest distance of two suggestions and of a suggestion to a labelled point, in metres.
    output
        A ``.gpkg`` file; earlier suggestions in it are replaced, unless points of them are labelled.
    points
        Points that are labelled already; by default those kept in the models' folders, where there are any.
    seed
        Seed of the random candidates.
    device
        ``auto``, ``cpu`` or ``cuda``.
    reporter
        Receives progress; may cancel.

    Returns
    -------
    SuggestedPoints
        The points in order of rank.

    Raises
    ------
    PointsError
        If no candidate is that far from the labelled points, or count or distance are out of range.
    RasterError
        If no pixel of the scenes is valid.
    OutputError
        If the output cannot be written, or holds labels, other layers, or the points that are read.
    """
    reporter = reporter or Reporter()
    _check_request(count, min_distance_m)
    source = points.source if isinstance(points, Points) else points
    inputs = [] if source is None else [Path(source)]
    require_free_geopackage(Path(output), SUGGESTION_LAYER, inputs, CLASS_FIELD)
    bundles = load_models(as_list(models), str(resolve_device(device)))
    opened = open_imagery(as_list(scenes), bundles, reporter)
    existing = read_given_or_kept(points, [bundle.folder for bundle in bundles])
    _require_related_crs(opened, existing)
    sampler = _CandidateSampler(bundles, opened, np.random.default_rng(seed))
    places = list(sampler.draw(reporter))
    if not places:
        raise RasterError(
            "The scenes hold nothing but nodata. Expected imagery; check the files and their nodata values."
        )
    candidates = sampler.candidates(places)
    labelled = sampler.labelled_places(existing)
    legend = bundles[0].legend
    ranking = rank_candidates(
        candidates, count, min_distance_m, labelled=labelled, names=legend.names, seed=seed
    )
    if len(ranking.chosen) < count:
        reporter.warn(
            f"There was room for {len(ranking.chosen)} of {count} points at {min_distance_m:g} m from each other; "
            "ask for a smaller distance to get more."
        )
    suggested = sampler.suggested(places, candidates, ranking, Path(output))
    _write_layer(suggested, opened[0])
    return suggested


class _CandidateSampler:
    """Predicts windows of scenes and draws candidates in them."""

    def __init__(
        self, bundles: Sequence[ModelBundle], scenes: Sequence[Scene], rng: np.random.Generator
    ) -> None:
        self.bundles, self.scenes, self.rng = bundles, scenes, rng
        tta = bundles[0].config.prediction.tta
        self.ensemble = combine_models(bundles, augmentation=tta, disagreement=True)
        self.describe = PlaceFeatures(bundles[0], _MOST_BANDS)
        self.margin = min(max(self.ensemble.margin_px, self.describe.margin_px), WINDOW_PX // 2)
        self.legend = bundles[0].legend
        first = scenes[0].grid
        self.crs = first.crs
        self.middle_x, _ = first.pixel_to_world([first.height / 2], [first.width / 2])

    def draw(self, reporter: Reporter) -> Iterator[_WindowCandidates]:
        """Yield candidates window by window."""
        windows = self._windows()
        each = -(-CANDIDATES // max(len(windows), 1))
        with reporter.stage("suggest", total=len(windows)) as advance:
            for position, window in windows:
                place = self._draw_in(position, window, each)
                if place is not None:
                    yield place
                advance(1)

    def _windows(self) -> list[tuple[int, Window]]:
        found = [
            (position, window)
            for position, scene in enumerate(self.scenes)
            for window in block_windows(scene.grid.shape, WINDOW_PX)
        ]
        most = max(1, LARGEST_AREA_PX // WINDOW_PX**2)
        if len(found) <= most:
            return found
        chosen = np.sort(self.rng.choice(len(found), most, replace=False))
        return [found[i] for i in chosen]

    def _draw_in(self, position: int, window: Window, wanted: int) -> _WindowCandidates | None:
        """Predict one window with its surroundings; draw candidates evenly over predicted classes."""
        scene = self.scenes[position]
        around, inside = surround(window, scene.shape, self.margin, self.ensemble.stride)
        chip = scene.read(around)
        valid = chip.valid[inside]
        if not valid.any():
            return None
        channels = predict_patch(self.ensemble, chip.image, chip.valid)[:, *inside]
        features = self.describe.compute(chip.image, chip.valid)[:, *inside]
        predicted = channels[: len(self.legend)].argmax(axis=0)
        row, col = self._draw_evenly(predicted, valid, wanted)
        return _WindowCandidates(
            position,
            row + int(window.row_off),
            col + int(window.col_off),
            channels[:, row, col].T,
            features[:, row, col].T,
        )

    def _draw_evenly(
        self, predicted: NDArray[np.int64], valid: NDArray[np.bool_], wanted: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        predicted = np.where(valid, predicted, -1).ravel()
        present = np.unique(predicted[predicted >= 0])
        each = -(-wanted // len(present))
        picked = []
        for index in present:
            pixels = np.flatnonzero(predicted == index)
            picked.append(self.rng.choice(pixels, min(each, len(pixels)), replace=False))
        row, col = np.divmod(np.concatenate(picked), valid.shape[1])
        return row, col

    def candidates(self, places: Sequence[_WindowCandidates]) -> Candidates:
        """Return the candidates of all windows."""
        x, y = self._world(places)
        channels = np.concatenate([p.channels for p in places]).astype(np.float64)
        probabilities, mean_entropy = np.split(channels, [len(self.legend)], axis=1)
        disagreement = np.zeros(len(channels))
        if self.ensemble.disagreement:
            members = len(self.ensemble.members)
            disagreement = measure_disagreement(probabilities, mean_entropy[:, 0], members)
        return Candidates(
            self._positions(x, y),
            probabilities,
            disagreement,
            np.concatenate([p.features for p in places]).astype(np.float64),
        )

    def labelled_places(self, points: Points | None) -> LabelledPlaces:
        """Return where labelled points lie, and the features of those on the scenes."""
        classes = len(self.legend)
        if points is None:
            return LabelledPlaces.none(classes, self.describe.count)
        position = {name: i for i, name in enumerate(self.legend.names)}
        index = np.array([position.get(name, -1) for name in points.legend.names], dtype=np.int64)
        index = index[points.class_index]
        features, _ = self.describe.compute_at(self.scenes, points)
        moved = points.to_crs(self.crs)
        counts = np.bincount(index[index >= 0], minlength=classes)
        return LabelledPlaces(self._positions(moved.x, moved.y), features, counts)

    def suggested(
        self,
        places: Sequence[_WindowCandidates],
        candidates: Candidates,
        ranking: Ranking,
        output: Path,
    ) -> SuggestedPoints:
        """Return the chosen candidates as a result."""
        x, y = self._world(places)
        names = np.concatenate([[self.scenes[p.scene].name] * len(p.row) for p in places])
        chosen = ranking.chosen
        most_likely = candidates.most_likely[chosen]
        probability = candidates.probabilities[chosen, most_likely[:, 0]]
        return SuggestedPoints(
            x[chosen], y[chosen], names[chosen], most_likely, probability, ranking.usefulness,
            ranking.kinds, ranking.reasons, self.legend, output,
        )  # fmt: skip

    def _world(
        self, places: Sequence[_WindowCandidates]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the pixel centres of candidates in the CRS of the first scene."""
        parts = []
        for place in places:
            grid = self.scenes[place.scene].grid
            world = grid.pixel_to_world(place.row + 0.5, place.col + 0.5)
            parts.append(transform_coordinates(*world, grid.crs, self.crs))
        x, y = (np.concatenate(values) for values in zip(*parts, strict=True))
        return x, y

    def _positions(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> Positions:
        return Positions.of(x, y, self.crs, datum=datum_at(self.middle_x, self.crs))


def _check_request(count: int, min_distance_m: float) -> None:
    if count < 1:
        raise PointsError(f"{count} points were requested. Expected at least one; request more.")
    if not 0 <= min_distance_m < math.inf:
        raise PointsError(
            f"The smallest distance is {min_distance_m} m. Expected zero or more metres; correct it."
        )


def _require_related_crs(scenes: Sequence[Scene], points: Points | None) -> None:
    """Raise unless scenes and points refer to the same datum or site, so that distances between them can be measured."""
    for scene in scenes:
        require_transformation(scene.grid.crs, scenes[0].grid.crs)
        if points is not None:
            mismatch = crs_mismatch(points, scene)
            if mismatch:
                raise PointsError(mismatch)


def _write_layer(suggested: SuggestedPoints, scene: Scene) -> None:
    """Write suggestions with an empty class, coloured by the reason in QGIS."""
    columns = suggested.columns()
    columns = {"rank": columns.pop("rank"), CLASS_FIELD: [None] * len(suggested), **columns}
    columns = {"or_else" if name == "or" else name: each for name, each in columns.items()}
    fields = {
        name: np.array(each, dtype=object if isinstance(each[0], str | None) else None)
        for name, each in columns.items()
    }
    style = Style.of_values("reason", REASON_KINDS)
    with new_geopackage(suggested.output, SUGGESTION_LAYER, label_field=CLASS_FIELD) as partial:
        geometry = np.asarray(shapely.points(suggested.x, suggested.y))
        write_layer(partial, SUGGESTION_LAYER, geometry, fields, scene.grid.crs)
        write_style(partial, SUGGESTION_LAYER, style)
