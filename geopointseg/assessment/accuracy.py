"""Accuracy assessment of a class map with test points or a reference raster."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.assessment.assessment_result import (
    AssessedPixels,
    Assessment,
    ClassArea,
    Sampling,
    percent,
    require_sampling,
)
from geopointseg.assessment.class_matching import (
    MatchedLegend,
    agree_by_name,
    match_legends,
    used_classes,
)
from geopointseg.assessment.confusion import ConfusionMatrix
from geopointseg.assessment.estimation import AccuracyEstimates, Estimate, estimate_accuracy
from geopointseg.assessment.map_inventory import Inventory, read_on_grid, take_inventory
from geopointseg.assessment.reference_kind import is_raster_reference
from geopointseg.assessment.training_points import TrainingCheck, check_training_points
from geopointseg.errors import ConfigError, PointsError, RasterError
from geopointseg.labels.points import Points, read_points
from geopointseg.labels.sparse_mask import find_pixels, locate_pixels
from geopointseg.legend import Legend
from geopointseg.progress import Reporter
from geopointseg.raster.class_map import ClassMap
from geopointseg.raster.grid import crs_name, require_transformation
from geopointseg.raster.pixel_area import PixelAreas
from geopointseg.setting import as_list, require_number

__all__ = ["Assessment", "assess"]

Raster = str | os.PathLike[str] | ClassMap
_FULL_COVER = 0.999
_TOO_MUCH_MERGED = 0.25


def assess(
    class_map: Raster,
    reference: Points | Raster,
    *,
    class_field: str | None = None,
    layer: str | None = None,
    sampling: Sampling = "unknown",
    strata: Raster | None = None,
    force: bool = False,
    model: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    confidence: float = 0.95,
    reporter: Reporter | None = None,
) -> Assessment:
    """Compare a class map with test points or a reference raster.

    The map is read once, by ranges of rows, so it may be of any size. Areas are geodesic in geographic CRSs.

    Parameters
    ----------
    class_map
        The map: a path or a `ClassMap`.
    reference
        Test points (in memory or a vector file), or a raster with the true classes. Where the field ``split`` marks test
        points, only these are used.
    class_field, layer
        Field with the class and layer of the points, as for `read_points`. If either is given, the reference is a layer
        of points.
    sampling
        Sampling design of the test points: ``simple`` (simple random or systematic over the whole map), ``stratified``
        (random within each map class, or within the classes of ``strata``), or ``unknown``. With ``unknown`` the same is
        computed, and the result states that intervals and areas may be invalid.
    strata
        A raster whose classes were the strata, where these are not the classes of the map itself (for instance an
        older version of the map). ``unknown`` sampling then becomes ``stratified``.
    force
        Assess also with points that the model was trained on.
    model
        Folder of the model of the map, or folders of several, in which training points are looked up; by default those
        in the tags of the map.
    confidence
        Confidence level of the intervals, between 0 and 1.
    reporter
        Receives progress and warnings; may cancel.

    Returns
    -------
    Assessment
        Scores from counts, area-adjusted estimates, areas, and sentences that explain them.

    Raises
    ------
    PointsError
        If no test point lies on the map, all lie on one class of it, or some were training points.
    LegendError
        If map and reference share no class.
    RasterError
        If the map has only nodata, or a reference raster does not overlap it.
    InputFileError
        If ``model`` is not a model folder.
    ConfigError
        If the confidence is not between 0 and 1, there is no such sampling, strata are given for a simple sample, or a design is given
        for a reference raster.

    References
    ----------
    Olofsson, P. et al. (2014). https://doi.org/10.1016/j.rse.2014.02.015

    Stehman, S. V. (2014). https://doi.org/10.1080/01431161.2014.930207
    """
    require_number("The confidence", confidence, above=0, below=1)
    require_sampling(sampling, has_strata=strata is not None)
    reporter = reporter or Reporter()
    described = _open(class_map)
    if isinstance(reference, ClassMap) or (
        not isinstance(reference, Points)
        and is_raster_reference(reference, class_field=class_field, layer=layer)
    ):
        if strata is not None or sampling != "unknown":
            raise ConfigError(
                "A sampling design was given for a reference raster, of which all pixels are compared. Expected a design only with test "
                "points; leave out the sampling and the strata."
            )
        assessed = _assess_raster(described, _open(reference), reporter)
    else:
        points = reference
        if not isinstance(points, Points):
            points = read_points(os.fspath(points), class_field=class_field, layer=layer)
        drawn: Sampling = "stratified" if strata is not None and sampling == "unknown" else sampling
        options = _Options(
            drawn,
            None if strata is None else _open(strata),
            force,
            confidence,
            () if model is None else tuple(as_list(model)),
        )
        assessed = _assess_points(described, points, options, reporter)
    for warning in assessed.warnings:
        reporter.warn(warning)
    return assessed


@dataclass(frozen=True)
class _Options:
    """Options of an assessment with points; see `assess`."""

    sampling: Sampling
    strata: ClassMap | None
    force: bool
    confidence: float
    models: tuple[str | os.PathLike[str], ...] = ()


@dataclass
class _Warnings:
    """A list of warnings."""

    lines: list[str] = field(default_factory=list)

    def add_if(self, condition: object, sentence: str) -> None:
        if condition:
            self.lines.append(sentence)


def _open(raster: Raster) -> ClassMap:
    return raster if isinstance(raster, ClassMap) else ClassMap.open(raster)


def _assess_points(
    class_map: ClassMap, points: Points, options: _Options, reporter: Reporter
) -> Assessment:
    warnings = _Warnings()
    points = _test_points(points)
    check = check_training_points(class_map, points, options.models, reporter)
    _refuse_training_points(class_map, check, force=options.force)
    warnings.add_if(
        check.count,
        f"{_share(check)} test points were training points of the map's model: the accuracy is too high "
        "by an unknown amount.",
    )
    pixel, owner = locate_pixels(points.to_crs(class_map.grid.crs), class_map.grid)
    if not len(pixel):
        _refuse_points_elsewhere(class_map, points)
    row, col = np.divmod(pixel, class_map.grid.width)
    matched, reference = _match(class_map.legend, points, owner)
    if options.strata is not None:
        require_transformation(class_map.grid.crs, options.strata.grid.crs)
    inventory = take_inventory(class_map, row, col, reporter)
    on_map = inventory.sampled >= 0
    _refuse_all_on_nodata(class_map, on_map)
    found = AssessedPixels(row[on_map], col[on_map], inventory.sampled[on_map], reference[on_map])
    confusion = ConfusionMatrix.from_labels(found.mapped, found.reference, matched.legend)
    _warn_about_classes(warnings, confusion, inventory, matched)
    warnings.add_if(
        points.is_shape.any(),
        "Lines and polygons count once for each pixel they cover. Neighbouring pixels are correlated, so the intervals "
        "are too narrow.",
    )
    dropped = points.describe_dropped()
    warnings.add_if(
        dropped,
        f"Features of the test points were left out on reading: {dropped}. Where they are part of a sample, its other points no longer "
        "represent the map, and intervals and areas may be wrong; label all of them.",
    )
    areas = _padded(inventory.area_m2, len(matched.legend))
    estimates = _estimate(class_map, confusion, found, areas, options, warnings)
    return Assessment(
        map_path=class_map.path,
        reference=points.source or "points",
        sampling=options.sampling,
        confusion=confusion,
        estimates=estimates,
        class_areas=_class_areas(matched.legend, areas, estimates.area_share),
        fingerprint=class_map.fingerprint,
        attribution=class_map.attribution,
        area_note=PixelAreas.of(class_map.grid).note,
        outside=len(points) - len(np.unique(owner)),
        on_nodata=int((~on_map).sum()),
        training_points=check.count,
        training_check=check.sentence,
        warnings=tuple(warnings.lines),
        pixels=found,
    )


def _test_points(points: Points) -> Points:
    """Return the points marked ``test``, where any are; otherwise those without another mark."""
    if not len(points):
        raise PointsError(
            "There are no test points. Expected at least one; add points to the layer."
        )
    marked = points.split == "test"
    kept = marked if marked.any() else ~np.isin(points.split, ("train", "validation", "buffer"))
    if not kept.any():
        parts = ", ".join(sorted(set(points.split.tolist())))
        raise PointsError(
            f"The field 'split' of '{points.source}' marks all {len(points)} points as {parts}. Expected some "
            "marked 'test'; use other points, or clear the field."
        )
    return points.select(kept)


def _refuse_training_points(class_map: ClassMap, check: TrainingCheck, *, force: bool) -> None:
    if check.count and not force:
        raise PointsError(
            f"{_share(check)} test points are training points of the model that made '{class_map.path}'. "
            "Accuracy on those is too high; use points that are not training points, or `force=True`, "
            "which adds a warning to the report."
        )


def _share(check: TrainingCheck) -> str:
    """Return how many points were found, like ``At least 7 of 100``."""
    at_least = "At least " if check.sampled or check.reason else ""
    return f"{at_least}{check.count or 0} of {len(check.trained)}"


def _refuse_points_elsewhere(class_map: ClassMap, points: Points) -> None:
    def extent(west: float, south: float, east: float, north: float) -> str:
        return f"x {west:.6g} to {east:.6g}, y {south:.6g} to {north:.6g}"

    box = extent(points.x.min(), points.y.min(), points.x.max(), points.y.max())
    raise PointsError(
        f"None of the {len(points)} test points lies on the map '{class_map.path}'. The points span {box} "
        f"({crs_name(points.crs)}), the map {extent(*class_map.grid.bounds)} ({crs_name(class_map.grid.crs)}). "
        "Check that both belong together and that their CRSs are right."
    )


def _refuse_all_on_nodata(class_map: ClassMap, on_map: NDArray[np.bool_]) -> None:
    if not on_map.any():
        raise PointsError(
            f"All {len(on_map)} test points on the map '{class_map.path}' lie on its nodata. Expected points where "
            "the map shows a class; give points inside the mapped area."
        )


def _match(
    legend: Legend, points: Points, owner: NDArray[np.int64]
) -> tuple[MatchedLegend, NDArray[np.int64]]:
    """Match the classes that occur in the points; return the class of each pixel in the joint legend."""
    used = used_classes(points.legend, points.class_index)
    reference = Legend(tuple(points.legend.entries[i] for i in used))
    matched = match_legends(legend, reference, by_name=points.text_classes)
    position = np.searchsorted(used, points.class_index[owner])
    return matched, matched.lookup[position]


def _warn_about_classes(
    warnings: _Warnings, confusion: ConfusionMatrix, inventory: Inventory, matched: MatchedLegend
) -> None:
    names = np.array(confusion.legend.names)
    on_map = _padded(inventory.area_m2, len(names)) > 0
    unmapped = ", ".join(matched.only_in_reference)
    warnings.add_if(
        unmapped,
        f"The reference has classes that the map lacks ({unmapped}); each of their points counts as wrong.",
    )
    untested = names[on_map & ~confusion.present]
    warnings.add_if(
        len(untested),
        f"The map has classes that the reference lacks ({', '.join(untested)}): their producer's accuracy is undefined, "
        "and they are left out of means.",
    )
    few = names[confusion.present & (confusion.reference_totals < 20)]
    warnings.add_if(
        len(few),
        f"Fewer than 20 test points for {', '.join(few)}: the scores of these classes are uncertain.",
    )
    unknown = inventory.unknown_pixels
    warnings.add_if(
        unknown,
        f"{unknown} pixels of the map have codes that its legend lacks; they count as nodata.",
    )


def _estimate(
    class_map: ClassMap,
    confusion: ConfusionMatrix,
    found: AssessedPixels,
    areas: NDArray[np.float64],
    options: _Options,
    warnings: _Warnings,
) -> AccuracyEstimates:
    if options.strata is None:
        counts, sizes = confusion.counts, areas
        names = confusion.legend.names
    else:
        counts, sizes = _count_by_stratum(class_map, options.strata, found, len(confusion.legend))
        names = options.strata.legend.names
    per_stratum = counts.reshape(len(counts), -1).sum(axis=1)
    if (sizes > 0).sum() > 1 and (per_stratum > 0).sum() == 1:
        only = names[int(per_stratum.argmax())]
        raise PointsError(
            f"All {confusion.total} test points lie in the class '{only}' of the "
            f"{'strata' if options.strata else 'map'}. Expected points in its other {int((sizes > 0).sum()) - 1} classes, "
            "too; add test points there (`design_sample` draws some)."
        )
    estimates = estimate_accuracy(counts, sizes, options.confidence)
    _warn_of_merged(list(estimates.collapsed), names, per_stratum, sizes, warnings)
    return estimates


def _warn_of_merged(
    merged: list[int],
    names: Sequence[str],
    points: NDArray[np.int64],
    sizes: NDArray[np.float64],
    warnings: _Warnings,
) -> None:
    """Warn of merged strata, and where they have a large share of the area."""
    listed = ", ".join(names[i] for i in merged)
    thin = (points < 2) & (sizes > 0)
    share = sizes[thin].sum() / sizes.sum()
    warnings.add_if(
        listed,
        f"Strata with fewer than two test points were merged for the area-adjusted figures ({listed}).",
    )
    warnings.add_if(
        share > _TOO_MUCH_MERGED,
        f"{percent(share)} of the area is in strata with only {int(points[thin].sum())} of {int(points.sum())} "
        "test points, so the area-adjusted figures are unreliable; add test points there "
        "from a probability sample.",
    )


def _count_by_stratum(
    class_map: ClassMap, strata: ClassMap, found: AssessedPixels, classes: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Count points by stratum, map class and reference class; the stratum is that of the pixel's centre."""
    world = class_map.grid.pixel_to_world(found.row + 0.5, found.col + 0.5)
    row, col = find_pixels(*world, class_map.grid.crs, strata.grid)
    inside = row >= 0
    inventory = take_inventory(strata, row[inside], col[inside])
    stratum = np.full(len(row), -1)
    stratum[inside] = inventory.sampled
    if (stratum < 0).any():
        raise PointsError(
            f"{int((stratum < 0).sum())} of {len(stratum)} test points lie in no stratum of '{strata.path}'. "
            "Expected every point in a stratum; give the raster that the sample was drawn from."
        )
    counts = np.zeros((len(strata.legend), classes, classes), dtype=np.int64)
    np.add.at(counts, (stratum, found.mapped, found.reference), 1)
    return counts, inventory.area_m2


def _assess_raster(class_map: ClassMap, reference: ClassMap, reporter: Reporter) -> Assessment:
    have_codes = set(reference.legend.codes.tolist()) & set(class_map.legend.codes.tolist())
    is_named = not any(e.name == str(e.code) for e in reference.legend.entries)
    by_name = is_named and (not have_codes or agree_by_name(class_map.legend, reference.legend))
    matched = match_legends(class_map.legend, reference.legend, by_name=by_name)
    require_transformation(reference.grid.crs, class_map.grid.crs)
    pixels, area_m2, unlabelled_m2 = _compare_rasters(class_map, reference, matched, reporter)
    if not pixels.any():
        raise RasterError(
            f"The reference raster '{reference.path}' and the map '{class_map.path}' have no classified pixel in "
            "common. Expected rasters of the same area; check their extents and nodata values."
        )
    confusion = ConfusionMatrix(pixels, matched.legend)
    mapped_m2 = area_m2.sum(axis=1)
    warnings = _Warnings()
    cover = 1 - unlabelled_m2.sum() / (unlabelled_m2.sum() + mapped_m2.sum())
    estimates = _measured(area_m2) if cover >= _FULL_COVER else None
    warnings.add_if(
        estimates is None,
        f"The reference covers {100 * cover:.3g} % of the map. The sampling of these pixels is unknown, so neither "
        "intervals nor estimated areas are given.",
    )
    occurring = {
        e.name for e, n in zip(matched.legend.entries, pixels.sum(axis=0), strict=True) if n
    }
    unmapped = ", ".join(name for name in matched.only_in_reference if name in occurring)
    warnings.add_if(
        unmapped, f"The reference has classes that the map lacks ({unmapped}); they count as wrong."
    )
    shares = estimates.area_share if estimates else (_NO_ESTIMATE,) * len(matched.legend)
    return Assessment(
        map_path=class_map.path,
        reference=reference.path,
        sampling="raster",
        confusion=confusion,
        estimates=estimates,
        class_areas=_class_areas(matched.legend, mapped_m2 + unlabelled_m2, shares),
        fingerprint=class_map.fingerprint,
        attribution=class_map.attribution,
        area_note=PixelAreas.of(class_map.grid).note,
        warnings=tuple(warnings.lines),
    )


_NO_ESTIMATE = Estimate(math.nan, math.nan, math.nan, math.nan)


def _compare_rasters(
    class_map: ClassMap, reference: ClassMap, matched: MatchedLegend, reporter: Reporter
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Count pixels and square metres by map and reference class, and square metres without reference."""
    size = len(matched.legend)
    lookup = np.append(matched.lookup, size)
    pixels, area_m2 = np.zeros((size, size + 1), dtype=np.int64), np.zeros((size, size + 1))
    areas = PixelAreas.of(class_map.grid)
    top = 0
    for truth in read_on_grid(reference, class_map.grid, reporter):
        window = Window(0, top, class_map.grid.width, len(truth))
        mapped, valid = class_map.read(window)
        cell = (mapped.astype(np.int64) * (size + 1) + lookup[truth])[valid]
        weight = np.broadcast_to(areas.within(window), truth.shape)[valid]
        pixels += np.bincount(cell, minlength=pixels.size).reshape(pixels.shape)
        area_m2 += np.bincount(cell, weights=weight, minlength=pixels.size).reshape(pixels.shape)
        top += len(truth)
    return pixels[:, :size], area_m2[:, :size], area_m2[:, size]


def _measured(area_m2: NDArray[np.float64]) -> AccuracyEstimates:
    """Return estimates without sampling error from square metres by map and reference class."""
    share = area_m2 / area_m2.sum()

    def exact(part: float, whole: float) -> Estimate:
        return Estimate(part / whole, 0.0, part / whole, part / whole) if whole else _NO_ESTIMATE

    right, mapped, truth = np.diagonal(share), share.sum(axis=1), share.sum(axis=0)
    return AccuracyEstimates(
        overall=exact(float(right.sum()), 1.0),
        users=tuple(exact(*pair) for pair in zip(right.tolist(), mapped.tolist(), strict=True)),
        producers=tuple(exact(*pair) for pair in zip(right.tolist(), truth.tolist(), strict=True)),
        area_share=tuple(exact(value, 1.0) for value in truth.tolist()),
        proportions=share,
        confidence=1.0,
        collapsed=(),
    )


def _class_areas(
    legend: Legend, mapped_m2: NDArray[np.float64], shares: tuple[Estimate, ...]
) -> dict[str, ClassArea]:
    total_ha = float(mapped_m2.sum()) / 1e4
    return {
        name: ClassArea(
            mapped_ha=float(area) / 1e4,
            estimated_ha=share.value * total_ha,
            standard_error_ha=share.standard_error * total_ha,
            low_ha=share.low * total_ha,
            high_ha=share.high * total_ha,
        )
        for name, area, share in zip(legend.names, mapped_m2, shares, strict=True)
    }


def _padded(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    return np.pad(values, (0, size - len(values)))
