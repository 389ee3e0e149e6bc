"""Area of applicability: where a scene is similar to the training points of a model.

A model gives a class everywhere, also where it was trained on nothing similar. The dissimilarity index of a place is the
distance, in weighted features, to the nearest training place, divided by the mean distance between training places. Its
threshold is the largest index, without outliers, of training places against those of other folds. Above the threshold,
scores from test points do not apply to the map: the place lies outside the area of applicability.

References
----------
Meyer, H. & Pebesma, E. (2021). Predicting into unknown space? Estimating the area of applicability of spatial
prediction models. Methods in Ecology and Evolution 12, 1620-1633. https://doi.org/10.1111/2041-210X.13650
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import rasterio
from numpy.typing import ArrayLike, NDArray
from rasterio.windows import Window

from geopointseg.assessment.training_points import read_given_or_kept
from geopointseg.errors import PointsError
from geopointseg.labels.block_split import assign_blocks
from geopointseg.labels.points import Points
from geopointseg.labels.variogram import variogram_range
from geopointseg.model.bundle import ModelBundle
from geopointseg.prediction.prediction_job import load_models, open_imagery
from geopointseg.progress import Reporter
from geopointseg.raster.class_map import class_map_tags, colormap, write_sidecars
from geopointseg.raster.crs import keep_crs
from geopointseg.raster.grid import row_windows
from geopointseg.raster.publishing import (
    raster_files,
    refuse_overwriting_inputs,
    require_ending,
    whole_file,
)
from geopointseg.raster.scene import Scene, ScenePath
from geopointseg.report.applicability_section import (
    INSIDE_LEGEND,
    THRESHOLD_TAG,
    ApplicabilityMap,
    mask_path,
)
from geopointseg.validation.place_features import PlaceFeatures

NODATA = -1.0
LARGEST_TRAINING_SET = 5000
"""Of more training places a random sample is kept."""

_MOST_BANDS = 12
_RANGE_PX = 1_000_000
_FOLDS = 10
_PIECE_VALUES = 4_000_000

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AreaOfApplicability:
    """The training places of a model in feature space, and how far from them counts as similar.

    Parameters
    ----------
    mean, scale
        Mean of each feature, and its standard deviation divided by its importance; float64 ``(feature,)``.
    places
        Weighted features of the training places, float64 ``(place, feature)``.
    mean_distance
        Mean distance between training places.
    threshold
        Largest dissimilarity index within the area of applicability.
    """

    mean: Array
    scale: Array
    places: Array
    mean_distance: float
    threshold: float

    @classmethod
    def fit(
        cls,
        features: ArrayLike,
        folds: ArrayLike,
        importance: ArrayLike | None = None,
        *,
        seed: int = 0,
    ) -> Self:
        """Derive the area of applicability from the features of training places.

        Parameters
        ----------
        features
            ``(place, feature)``.
        folds
            Fold of each place in a spatial cross-validation, ``(place,)``. The index of a training place is its
            distance to places of other folds.
        importance
            Importance of each feature to the model, ``(feature,)``; equal by default.
        seed
            Seed of the random sample of training places, where there are more than 5000.

        Returns
        -------
        AreaOfApplicability
            Features that are constant or of no importance do not count.

        Raises
        ------
        PointsError
            If there are fewer than two places or fewer than two folds, or all places have the same features.
        """
        values, fold = np.asarray(features, dtype=np.float64), np.asarray(folds)
        if len(values) < 2 or len(np.unique(fold)) < 2:
            raise PointsError(
                f"There are {len(values)} training places in {len(np.unique(fold))} folds. The area of applicability "
                "needs at least two places in two folds; give more points, or smaller blocks."
            )
        if len(values) > LARGEST_TRAINING_SET:
            rng = np.random.default_rng(seed)
            kept = rng.choice(len(values), LARGEST_TRAINING_SET, replace=False)
            values, fold = values[kept], fold[kept]
        weight = np.ones(values.shape[1]) if importance is None else np.asarray(importance, float)
        deviation = values.std(axis=0)
        useful = (deviation > 0) & (weight > 0)
        scale = np.where(useful, deviation / np.where(useful, weight, 1), np.inf)
        mean = values.mean(axis=0)
        places = (values - mean) / scale
        mean_distance = _mean_distance(places)
        own = _distance_across_folds(places, fold) / mean_distance
        return cls(mean, scale, places, mean_distance, _upper_whisker(own))

    def dissimilarity(self, features: ArrayLike) -> NDArray[np.float32]:
        """Return the dissimilarity index of places; 0 at a training place.

        Parameters
        ----------
        features
            ``(place, feature)``.

        Returns
        -------
        ndarray
            float32 ``(place,)``.
        """
        values = (np.asarray(features, dtype=np.float64) - self.mean) / self.scale
        distance = _distance_to_nearest(values, self.places)
        return np.asarray(distance / self.mean_distance, np.float32)

    def contains(self, features: ArrayLike) -> NDArray[np.bool_]:
        """Return which places lie inside the area of applicability, bool ``(place,)``."""
        return np.asarray(self.dissimilarity(features) <= self.threshold)


def map_applicability(
    model: ModelBundle | ScenePath,
    scene: Scene | ScenePath,
    output: str | os.PathLike[str],
    *,
    training_scenes: Sequence[Scene | ScenePath] | None = None,
    points: Points | str | os.PathLike[str] | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> ApplicabilityMap:
    """Write the dissimilarity index of a scene, and a mask of the area of applicability of a model.

    Features are those of `PlaceFeatures`, weighted by their importance in a random forest that separates the classes of
    the training points.

    Parameters
    ----------
    model
        A model or its folder; gives bands and normalization.
    scene
        The scene.
    output
        GeoTIFF of the index (float32, nodata -1). The mask is written beside it, ``..._mask.tif``.
    training_scenes
        Scenes that the training points lie on; the scene itself by default.
    points
        Training points; by default those kept in the model folder.
    seed
        Seed of the random forest that weights the features.
    reporter
        Receives progress; may cancel.

    Returns
    -------
    ApplicabilityMap
        The two files, the threshold, and the share of the scene inside.

    Raises
    ------
    PointsError
        If there are no training points, or fewer than two on the scenes.
    OutputError
        If the output or its mask cannot be written, or is a file that is read.
    """
    reporter = reporter or Reporter()
    [bundle] = load_models([model if isinstance(model, ModelBundle) else Path(model)], "cpu")
    [target] = open_imagery([scene], [bundle], reporter)
    trained_on: tuple[Scene, ...] = (target,)
    if training_scenes is not None:
        trained_on = open_imagery(training_scenes, [bundle], reporter)
    training = _training_points(points, bundle)
    path = Path(output)
    require_ending(path, "GeoTIFF")
    mask = mask_path(path)
    read = raster_files(opened.path for opened in (target, *trained_on))
    refuse_overwriting_inputs([path, mask], [*read, training.source])
    describe = PlaceFeatures(bundle, _MOST_BANDS)
    area = _fit_area(describe, trained_on, training, seed)
    inside, total = _write_maps(describe, area, target, path, mask, reporter)
    return ApplicabilityMap(path, mask, area.threshold, inside / max(total, 1))


def _training_points(points: Points | str | os.PathLike[str] | None, bundle: ModelBundle) -> Points:
    found = read_given_or_kept(points, [bundle.folder])
    if found is None:
        raise PointsError(
            f"The model '{bundle.folder}' does not keep its training points, and none were given. Expected the "
            "points it was trained with; train it again, or give these points."
        )
    return found


def _fit_area(
    describe: PlaceFeatures, scenes: Sequence[Scene], points: Points, seed: int
) -> AreaOfApplicability:
    from sklearn.ensemble import RandomForestClassifier

    values, owner = describe.compute_at(scenes, points)
    if len(owner) < 2:
        raise PointsError(
            f"{len(owner)} of {len(points)} training points lie on an image of the training scenes. Expected at least "
            "two; name the scenes that the model was trained on with `training_scenes=`."
        )
    used = points.select(owner)
    if len(np.unique(used.class_index)) < 2:
        raise PointsError(
            f"All {len(used)} training points on the training scenes have one class. Expected two classes: features are weighted by "
            "how well they separate the classes."
        )
    forest = RandomForestClassifier(100, random_state=seed, class_weight="balanced")
    forest.fit(values, used.class_index)
    importance = np.sqrt(forest.feature_importances_ * values.shape[1])
    return AreaOfApplicability.fit(values, _folds(used), importance, seed=seed)


def _folds(points: Points) -> NDArray[np.int64]:
    """Return a fold for each point, int64 ``(point,)``: by blocks, or by order where all lie in one block."""
    block = assign_blocks(points, max(variogram_range(points), 1e-6))
    if len(np.unique(block)) < 2:
        block = np.arange(len(points))
    return block % _FOLDS if len(np.unique(block % _FOLDS)) > 1 else block


def _row_ranges(
    describe: PlaceFeatures, scene: Scene
) -> Iterator[tuple[Window, NDArray[np.float32], NDArray[np.bool_]]]:
    """Yield full-width windows with their features ``(feature, row, col)`` and validity ``(row, col)``."""
    width, m = scene.grid.width, describe.margin_px
    for window in row_windows(scene.grid.window, max(16, _RANGE_PX // width // 16 * 16)):
        chip = scene.read(Window(-m, window.row_off - m, width + 2 * m, window.height + 2 * m))
        own = slice(m, m + window.height), slice(m, m + width)
        yield window, describe.compute(chip.image, chip.valid)[:, *own], chip.valid[own]


def _write_maps(
    describe: PlaceFeatures,
    area: AreaOfApplicability,
    scene: Scene,
    path: Path,
    mask_path: Path,
    reporter: Reporter,
) -> tuple[int, int]:
    """Write index and mask by ranges of rows; return the pixels inside the area and the valid pixels."""
    height, width = scene.grid.shape
    profile: dict[str, Any] = {
        "driver": "GTiff", "height": height, "width": width, "count": 1, "crs": scene.grid.crs,
        "transform": scene.grid.transform, "tiled": True, "compress": "deflate", "bigtiff": "if_safer",
    }  # fmt: skip
    inside = total = 0
    with ExitStack() as stack:
        partial = [stack.enter_context(whole_file(p)) for p in (path, mask_path)]
        index_file = stack.enter_context(
            rasterio.open(partial[0], "w", dtype="float32", nodata=NODATA, predictor=3, **profile)
        )
        mask_file = stack.enter_context(
            rasterio.open(partial[1], "w", dtype="uint8", nodata=0, **profile)
        )
        tags = {THRESHOLD_TAG: f"{area.threshold:.6g}", "model": describe.model.fingerprint}
        index_file.update_tags(**tags)
        index_file.set_band_description(1, "dissimilarity index")
        mask_file.update_tags(**class_map_tags(INSIDE_LEGEND, describe.model.fingerprint))
        mask_file.write_colormap(1, colormap(INSIDE_LEGEND))
        with reporter.stage("applicability", total=height) as advance:
            for window, features, valid in _row_ranges(describe, scene):
                index = np.full(valid.shape, NODATA, dtype=np.float32)
                index[valid] = area.dissimilarity(features[:, valid].T)
                code = np.where(index <= area.threshold, 1, 2).astype(np.uint8) * valid
                index_file.write(index, 1, window=window)
                mask_file.write(code, 1, window=window)
                inside, total = inside + int((code == 1).sum()), total + int(valid.sum())
                advance(window.height)
        for file, name in zip((index_file, mask_file), partial, strict=True):
            file.close()  # GDAL writes its own sidecar, if it has one, on closing
            keep_crs(name, scene.grid.crs, scene.grid.epoch)
        write_sidecars(partial[1], INSIDE_LEGEND)
    return inside, total


def _mean_distance(places: Array) -> float:
    """Return the mean distance of all pairs; 500 rows at a time keep memory small."""
    from scipy.spatial.distance import cdist

    total = sum(float(cdist(places[i : i + 500], places).sum()) for i in range(0, len(places), 500))
    mean = total / (len(places) * (len(places) - 1))
    if not mean > 0:
        raise PointsError(
            "All training places have exactly the same features. Expected places that differ; check that the points lie "
            "on the scene and that the scene has contrast."
        )
    return mean


def _distance_to_nearest(values: Array, places: Array) -> Array:
    """Return the distance of each row to the nearest place.

    Squared distances come from matrix products in pieces of bounded memory, which a search tree does not beat with tens
    of features.
    """
    nearest = np.empty(len(values))
    lengths = (places**2).sum(axis=1)
    step = max(1, _PIECE_VALUES // max(len(places), 1))
    for first in range(0, len(values), step):
        piece = values[first : first + step]
        square = lengths - 2 * piece @ places.T
        nearest[first : first + step] = square.min(axis=1) + (piece**2).sum(axis=1)
    return np.sqrt(nearest.clip(min=0))


def _distance_across_folds(places: Array, fold: NDArray[np.generic]) -> Array:
    """Return the distance of each training place to the nearest one of another fold."""
    distance = np.zeros(len(places))
    for name in np.unique(fold):
        own = fold == name
        distance[own] = _distance_to_nearest(places[own], places[~own])
    return distance


def _upper_whisker(values: Array) -> float:
    """Return the largest value within 1.5 interquartile ranges above the upper quartile."""
    low, high = np.quantile(values, [0.25, 0.75])
    return float(values[values <= high + 1.5 * (high - low)].max())
