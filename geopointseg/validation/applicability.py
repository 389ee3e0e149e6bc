"""Map where a model is out of its depth."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.assessment.dissimilarity import Applicability
from geopointseg.errors import PointsError
from geopointseg.labels.block_split import assign_blocks
from geopointseg.labels.points import Points, read_points
from geopointseg.labels.variogram import variogram_range
from geopointseg.model.bundle import ModelBundle
from geopointseg.model.filter_bank import FilterBank
from geopointseg.prediction.prediction_job import load_models, open_imagery
from geopointseg.progress import Reporter
from geopointseg.raster.class_map import class_map_tags, colormap, write_sidecars
from geopointseg.raster.crs import keep_crs
from geopointseg.raster.publishing import raster_files, refuse_overwriting_inputs, whole_file
from geopointseg.raster.scene import Scene, ScenePath
from geopointseg.report.applicability_section import (
    INSIDE_LEGEND,
    THRESHOLD_TAG,
    ApplicabilityMap,
    mask_path,
)
from geopointseg.validation.point_prediction import locate

NODATA = -1.0

_BANK = FilterBank(scales=(2.0, 5.0), kinds=("mean", "deviation"))
_MOST_BANDS = 12
_STRIP_PX = 1_000_000
_FOLDS = 10


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
    """Write the dissimilarity index of a scene, and a mask of where a model can be trusted at all.

    Places are described by each band's local mean and deviation at two scales, weighted by how much they help a
    forest to tell the training points' classes apart.

    Parameters
    ----------
    model
        A model or its folder; gives bands and normalization.
    scene
        The scene to look at.
    output
        GeoTIFF of the index (float32, nodata -1). The mask is written beside it, ``..._mask.tif``.
    training_scenes
        Scenes that the training points lie on; the scene itself by default.
    points
        Training points; by default those kept in the model folder.
    seed
        Decides the forest that weighs the features.
    reporter
        Takes progress; may cancel.

    Raises
    ------
    PointsError
        If there are no training points, or fewer than two on the scenes.
    OutputError
        If the output or its mask cannot be written, or is a file that is read.
    """
    reporter = reporter or Reporter()
    named = model if isinstance(model, ModelBundle) else Path(model)
    [bundle] = load_models([named], "cpu")
    [target] = open_imagery([scene], [bundle], reporter)
    trained_on = (
        [target]
        if training_scenes is None
        else list(open_imagery(training_scenes, [bundle], reporter))
    )
    known_points = _training_points(points, bundle)
    path = Path(output)
    mask = mask_path(path)
    read = raster_files(seen.path for seen in (target, *trained_on))
    refuse_overwriting_inputs([path, mask], [*read, known_points.source])
    describe = _Describer(bundle)
    known = _learn(describe, trained_on, known_points, seed)
    inside, total = _write(describe, known, target, path, mask, reporter)
    return ApplicabilityMap(path, mask, known.threshold, inside / max(total, 1))


@dataclass(frozen=True)
class _Describer:
    """Says what places look like."""

    bundle: ModelBundle

    def features(self, image: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return the features of an image, ``(feature, row, col)``."""
        seen = self.bundle.normalization.apply(image, valid)[:_MOST_BANDS]
        return _BANK.compute(seen, valid)

    def at(self, scene: Scene, row: int, col: int) -> NDArray[np.float32] | None:
        """Return the features of one pixel, None where there is no image."""
        m = _BANK.margin_px
        chip = scene.read(Window(col - m, row - m, 2 * m + 1, 2 * m + 1))
        return self.features(chip.image, chip.valid)[:, m, m] if chip.valid[m, m] else None

    def strips(
        self, scene: Scene
    ) -> Iterator[tuple[Window, NDArray[np.float32], NDArray[np.bool_]]]:
        """Yield full-width windows with their features and validity."""
        height, width = scene.grid.shape
        m = _BANK.margin_px
        rows = max(16, _STRIP_PX // width // 16 * 16)
        for top in range(0, height, rows):
            window = Window(0, top, width, min(rows, height - top))
            around = Window(-m, top - m, width + 2 * m, window.height + 2 * m)
            chip = scene.read(around)
            own = slice(m, m + window.height), slice(m, m + width)
            yield window, self.features(chip.image, chip.valid)[:, *own], chip.valid[own]


def _training_points(points: Points | str | os.PathLike[str] | None, bundle: ModelBundle) -> Points:
    if isinstance(points, Points):
        return points
    path = Path(bundle.folder) / "training" / "points.gpkg" if points is None else Path(points)
    if points is None and not path.exists():
        raise PointsError(
            f"The model '{bundle.folder}' does not keep its training points, and none were given. Expected the "
            "points it was trained with; train it again, or give them with points= in Python."
        )
    return read_points(path)


def _learn(
    describe: _Describer, scenes: Sequence[Scene], points: Points, seed: int
) -> Applicability:
    from sklearn.ensemble import RandomForestClassifier

    features, kept = [], []
    for scene in scenes:
        row, col = locate(scene, points)
        for index in np.flatnonzero(row >= 0).tolist():
            found = describe.at(scene, int(row[index]), int(col[index]))
            if found is not None:
                features.append(found)
                kept.append(index)
    if len(kept) < 2:
        raise PointsError(
            f"{len(kept)} of {len(points)} training points lie on an image of the training scenes. Expected at least "
            "two; name the scenes that the model was trained on (--trained-on, or training_scenes= in Python)."
        )
    values, used = np.stack(features).astype(np.float64), points.select(np.array(kept))
    forest = RandomForestClassifier(100, random_state=seed, class_weight="balanced")
    forest.fit(values, used.class_index)
    importance = np.sqrt(forest.feature_importances_ * values.shape[1])
    return Applicability.fit(values, _folds(used), importance, seed=seed)


def _folds(points: Points) -> NDArray[np.int64]:
    """Return a fold for each point, by blocks of ground; where all lie in one block, by order."""
    block = assign_blocks(points, max(variogram_range(points), 1e-6))
    if len(np.unique(block)) < 2:
        block = np.arange(len(points))
    return block % _FOLDS if len(np.unique(block % _FOLDS)) > 1 else block


def _write(
    describe: _Describer,
    known: Applicability,
    scene: Scene,
    path: Path,
    mask_path: Path,
    reporter: Reporter,
) -> tuple[int, int]:
    """Write index and mask strip by strip; return pixels inside and pixels with an image."""
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
        tags = {THRESHOLD_TAG: f"{known.threshold:.6g}", "model": describe.bundle.fingerprint}
        index_file.update_tags(**tags)
        index_file.set_band_description(1, "dissimilarity index")
        mask_file.update_tags(**class_map_tags(INSIDE_LEGEND, describe.bundle.fingerprint))
        mask_file.write_colormap(1, colormap(INSIDE_LEGEND))
        with reporter.stage("applicability", total=height) as advance:
            for window, features, valid in describe.strips(scene):
                index = np.full(valid.shape, NODATA, dtype=np.float32)
                index[valid] = known.dissimilarity(features[:, valid].T)
                code = np.where(index <= known.threshold, 1, 2).astype(np.uint8) * valid
                index_file.write(index, 1, window=window)
                mask_file.write(code, 1, window=window)
                inside, total = inside + int((code == 1).sum()), total + int(valid.sum())
                advance(window.height)
        for file, name in zip((index_file, mask_file), partial, strict=True):
            file.close()  # GDAL writes its own sidecar, if it has one, on closing
            keep_crs(name, scene.grid.crs, scene.grid.epoch)
        write_sidecars(partial[1], INSIDE_LEGEND)
    return inside, total
