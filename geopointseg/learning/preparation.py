"""Preparation of a training: scenes with the same bands and pixel size, labelled pixels, settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from geopointseg.bands.band_names import band_specs, require_distinct_bands
from geopointseg.bands.companion import attach_companion, reading_of_imagery
from geopointseg.bands.opening import open_scenes
from geopointseg.config import Config, SamplingConfig
from geopointseg.config.scene_config import SMALLEST_CHIP
from geopointseg.errors import ConfigError, PointsError
from geopointseg.labels.placement import select_training
from geopointseg.labels.point_check import check_points
from geopointseg.labels.point_problems import FIELD_KINDS, describe_none_left, describe_shortage
from geopointseg.labels.points import Points
from geopointseg.labels.sparse_mask import SparseMask, rasterize_points
from geopointseg.learning.selection import LEAST_TO_HOLD_OUT, hold_out
from geopointseg.learning.training_imagery import (
    TrainingImagery,
    read_training_imagery,
    require_labels,
)
from geopointseg.legend import Legend
from geopointseg.progress import Reporter
from geopointseg.radiometry.picture_style import PictureStyle
from geopointseg.raster.class_map import class_dtype
from geopointseg.raster.embedding_check import require_one_embedding
from geopointseg.raster.grid import crs_name
from geopointseg.raster.scene import Scene, ScenePath
from geopointseg.raster.warp import in_resolution
from geopointseg.sampling.patch import LabelledPixels, locate_labels

FEW_A_CLASS = 20
"""A warning names classes with fewer labelled pixels than this."""

_LEAST_MPX = 1.0

Labels = Points | Sequence[SparseMask]


@dataclass(frozen=True, eq=False)
class Prepared:
    """Data of a training.

    Parameters
    ----------
    scenes
        Training scenes, then scenes without points.
    roles
        ``training`` or ``unlabelled`` for each.
    legend
        The classes.
    imagery
        Imagery in memory, with all labelled pixels that are not marked for validation.
    training_labels
        Labelled pixels that are not held out.
    held_out
        Labelled pixels that decide the weights of the members. The final phase trains on them, too, unless they are
        marked for validation.
    marked
        Whether the user marked the held-out pixels for validation.
    points
        The points, where there are any.
    style
        The picture style that was applied to all scenes; None where none was.
    """

    scenes: tuple[Scene, ...]
    roles: tuple[str, ...]
    legend: Legend
    imagery: TrainingImagery
    training_labels: LabelledPixels
    held_out: LabelledPixels
    marked: bool
    points: Points | None
    style: PictureStyle | None


def prepare(
    scenes: Sequence[Scene | ScenePath],
    labels: Labels,
    unlabelled: Sequence[Scene | ScenePath],
    config: Config,
    seed: int,
    reporter: Reporter,
    *,
    network: bool = True,
) -> Prepared:
    """Open scenes, check labels, read imagery and choose the held-out pixels.

    Raises
    ------
    RasterError
        If the scenes differ in their bands.
    PointsError
        If the points cannot be used for training.
    LegendError
        If a class map cannot hold the class codes.
    """
    training, others, style = open_alike(scenes, unlabelled, config, reporter)
    opened = [*training, *others]
    if isinstance(labels, Points):
        _check(labels, training, config.sampling.chip_size, reporter)
    masks, marked, legend = _masks(labels, training)
    class_dtype(legend)
    imagery = read_training_imagery(
        opened,
        [*masks, *[None] * len(others)],
        classes=len(legend),
        sampling=config.sampling if network else _sampling_for(opened[0], config.sampling, masks),
        seed=seed,
        reporter=reporter,
        marked=marked,
    )
    require_labels(imagery, training, masks)
    _require_classes(imagery, legend, reporter)
    _warn_of_single_places(imagery, legend, config.sampling.chip_size // 2, reporter)
    validation = locate_labels(imagery.patches, [*marked, *[None] * len(others)])
    training_labels, held_out = imagery.labelled, validation
    if len(validation) == 0:
        held = hold_out(imagery, imagery.labelled, config.selection.held_out, seed)
        training_labels, held_out = imagery.labelled.select(~held), imagery.labelled.select(held)
    return Prepared(
        scenes=tuple(opened),
        roles=("training",) * len(training) + ("unlabelled",) * len(others),
        legend=legend,
        imagery=imagery,
        training_labels=training_labels,
        held_out=held_out,
        marked=len(validation) > 0,
        points=labels if isinstance(labels, Points) else None,
        style=style,
    )


def _sampling_for(
    scene: Scene, sampling: SamplingConfig, masks: Sequence[SparseMask | None]
) -> SamplingConfig:
    """Return settings that keep less of an embedding in memory: members on single vectors need no surroundings."""
    if scene.embedding is None:
        return sampling
    labels = sum(len(mask) for mask in masks if mask is not None)
    needed = max(_LEAST_MPX, 2e-6 * labels * SMALLEST_CHIP**2)
    return replace(sampling, chip_size=SMALLEST_CHIP, area_mpx=min(sampling.area_mpx, needed))


def open_alike(
    scenes: Sequence[Scene | ScenePath],
    unlabelled: Sequence[Scene | ScenePath],
    config: Config,
    reporter: Reporter,
) -> tuple[list[Scene], list[Scene], PictureStyle | None]:
    """Open training scenes and scenes without points, with the same bands, pixel size and picture style.

    Raises
    ------
    RasterError
        If one lacks bands of the first.
    """
    settings = config.scene
    reading: dict[str, Any] = reading_of_imagery(settings)
    training = open_scenes(scenes, bands=settings.bands, reporter=reporter, **reading)
    require_distinct_bands(training[0])
    alike: dict[str, Any] = {
        "bands": band_specs(training[0]),
        "reporter": reporter,
        **reading,
    }
    others = open_scenes(unlabelled, **alike) if unlabelled else []
    require_one_embedding([*training, *others])
    size = training[0].grid.resolution_m
    training = [in_resolution(scene, size, reporter=reporter) for scene in training]
    others = [in_resolution(scene, size, reporter=reporter) for scene in others]
    style = None
    if settings.matching != "none" and training[0].embedding is None:
        reference = training
        if settings.reference:
            reference = open_scenes([settings.reference], **alike)
        style = PictureStyle.of(reference, settings.matching, reporter=reporter)
        training = [style.apply(scene, reporter=reporter) for scene in training]
        others = [style.apply(scene, reporter=reporter) for scene in others]
    if settings.companion:
        both = attach_companion([*training, *others], settings.companion, settings, reporter)
        training, others = both[: len(training)], both[len(training) :]
    return training, others, style


def _check(points: Points, scenes: Sequence[Scene], chip_size: int, reporter: Reporter) -> None:
    """Raise `PointsError` for points that cannot be used, and warn of fields that leave points out."""
    checked = check_points(points, scenes, chip_size=chip_size)
    checked.raise_if_unusable()
    for problem in checked.problems:
        if problem.severity == "warning" and problem.kind in FIELD_KINDS:
            reporter.warn(problem.message)


def _masks(
    labels: Labels, scenes: Sequence[Scene]
) -> tuple[list[SparseMask | None], list[SparseMask | None], Legend]:
    """Return masks for training, masks for validation, and the legend."""
    if not isinstance(labels, Points):
        if len(labels) != len(scenes):
            raise PointsError(
                f"{len(labels)} sparse masks were given for {len(scenes)} scenes. Expected one for each scene, in order."
            )
        for mask, scene in zip(labels, scenes, strict=True):
            _require_fit(mask, scene, labels[0].legend)
        return list(labels), [None] * len(scenes), labels[0].legend
    labels = labels.select(labels.weight > 0)
    training = _rasterize(select_training(labels), scenes)
    validation = _rasterize(labels.select(labels.split == "validation"), scenes)
    if not any(len(mask) for mask in training if mask is not None):
        raise PointsError(describe_none_left(labels, scenes))
    return training, validation, labels.legend


def _require_fit(mask: SparseMask, scene: Scene, legend: Legend) -> None:
    """Raise `PointsError` unless a sparse mask has the pixels of its scene, and the classes of the first mask."""
    if not scene.grid.matches(mask.grid) or scene.grid.shape != mask.grid.shape:
        raise PointsError(
            f"The sparse mask for '{scene.name}' has other pixels ({_described(mask)}) than the scene, which is read as "
            f"{_described(scene)}: scenes take the pixel size of the first. Expected the same grid; give points, which "
            "are put on any grid, or a mask on that one."
        )
    if mask.legend != legend:
        raise PointsError(
            f"The sparse mask for '{scene.name}' has other classes than the first one. Expected one legend for all masks."
        )


def _described(gridded: SparseMask | Scene) -> str:
    grid = gridded.grid
    return f"{grid.width} x {grid.height} of {grid.resolution_m:.4g} m, {crs_name(grid.crs)}"


def _rasterize(points: Points, scenes: Sequence[Scene]) -> list[SparseMask | None]:
    masks: list[SparseMask | None] = []
    for scene in scenes:
        mask = rasterize_points(points, scene.grid, scene=scene.name)
        masks.append(mask if len(mask) else None)
    return masks


def _require_classes(imagery: TrainingImagery, legend: Legend, reporter: Reporter) -> None:
    counts = imagery.labelled.counts(len(legend))
    shortage = describe_shortage(counts, legend)
    if shortage:
        raise PointsError(shortage)
    missing = [legend.names[i] for i in np.flatnonzero(counts == 0)]
    if missing:
        reporter.warn(
            f"No usable point of {_listed(missing)} lies on the scenes; the map will not show "
            f"{'it' if len(missing) == 1 else 'them'}."
        )
    few = [
        f"'{legend.names[i]}' ({counts[i]})"
        for i in np.flatnonzero((counts > 1) & (counts < FEW_A_CLASS))
    ]
    if few:
        reporter.warn(
            f"Fewer than {FEW_A_CLASS} labelled pixels: {', '.join(few)}. Expect these classes to be mapped poorly; "
            "collect more points of them."
        )


def _warn_of_single_places(
    imagery: TrainingImagery, legend: Legend, within_px: int, reporter: Reporter
) -> None:
    """Warn of classes whose labelled pixels, four or more, all lie within a square of a side in pixels."""
    labelled = imagery.labelled
    origin = np.array([(p.scene, p.row, p.col) for p in imagery.patches])[labelled.patch]
    row, col = origin[:, 1] + labelled.row, origin[:, 2] + labelled.col
    for index in np.flatnonzero(labelled.counts(len(legend)) >= LEAST_TO_HOLD_OUT):
        own = labelled.class_index == index
        rows, cols = int(np.ptp(row[own])) + 1, int(np.ptp(col[own])) + 1
        if len(np.unique(origin[own, 0])) == 1 and max(rows, cols) <= within_px:
            reporter.warn(
                f"All points of '{legend.names[index]}' lie within {rows} x {cols} pixels. The model learns the surroundings of "
                "that place, and held-out points there do not test it. Add points of the class in other places."
            )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def with_budget(
    config: Config, *, minutes: float | None, steps: int | None, weights: str | None
) -> Config:
    """Return settings with the arguments of a call, checked like those of a file."""
    changes: dict[str, dict[str, object]] = {}
    if minutes is not None and steps:
        raise ConfigError(
            "Both minutes and steps were given. Expected one of them: a training lasts by time or by steps."
        )
    if minutes is not None:
        changes["optimization"] = {"minutes": float(minutes), "steps": 0}
    if steps is not None:
        changes.setdefault("optimization", {})["steps"] = int(steps)
    if weights is not None:
        changes["model"] = {"weights": str(weights)}
    return config.updated(changes)
