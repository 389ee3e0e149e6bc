"""Radiometric matching: similar distributions of values in many scenes.

A `RadiometricTransform` holds one monotone curve per band. It is fitted to the statistics of a scene and of a
reference, not to their pixels. The reference may be a scene, a set of scenes, or the statistics of its training imagery
that a model folder keeps. `Scene.with_radiometry` applies it as the scene is read.

References
----------
Gonzalez, Woods (2018), Digital Image Processing, section 3.3 (histogram matching and equalization).
Yang, Lo (2000), Relative radiometric normalization performance, doi:10.1080/01431160050505824 (mean-std).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from geopointseg.errors import ConfigError, RasterError, nearest_names
from geopointseg.progress import Reporter
from geopointseg.radiometry.band_statistics import SceneStatistics, find_undeclared_nodata
from geopointseg.radiometry.distribution import BandStatistics
from geopointseg.raster.band_mixing import Mixing
from geopointseg.raster.curve import IDENTITY, Curve, has_table
from geopointseg.summary import described

MatchMethod = Literal["histogram", "midpoint", "mean-std", "percentile", "equalize"]
METHODS: tuple[str, ...] = get_args(MatchMethod)

MIXTURE_LIMIT = 0.2
"""Share of pixels by which class mixes may differ before `fit_matching` warns."""

_FLOAT_KNOTS = 4097
_PERCENTILES = (0.02, 0.98)
_RANK_BINS = 8
_SHAPE_BINS = 32
_MOST_PAIRS = 15


@described
@dataclass(frozen=True)
class RadiometricTransform:
    """The transform that matches a scene to a reference: one monotone curve per band.

    Bands may be mixed linearly before, for scenes of different cameras.

    Parameters
    ----------
    curves
        In the order of the bands; from physical value to physical value.
    names
        Names of the bands; empty where not known.
    method
        How it was fitted.
    mixing
        How the bands are mixed before the curves; None for no mixing.

    Examples
    --------
    >>> transform = RadiometricTransform((Curve([0, 10], [0, 100]),))
    >>> transform.apply(np.float32([[[1, 5]]]), np.array([[True, False]]))
    array([[[10.,  0.]]], dtype=float32)
    """

    curves: tuple[Curve, ...]
    names: tuple[str, ...] = ()
    method: str = ""
    mixing: Mixing | None = None

    def apply(
        self, image: NDArray[Any], valid: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """Return the transformed values.

        Parameters
        ----------
        image
            Physical values ``(band, row, col)``.
        valid
            bool ``(row, col)``; what is not valid becomes zero.

        Returns
        -------
        NDArray
            float32 of the image's shape.

        Raises
        ------
        RasterError
            If the image has another number of bands.
        """
        if len(image) != len(self.curves):
            raise RasterError(
                f"The image has {len(image)} bands and the radiometric transform {len(self.curves)}. "
                "Expected as many; fit the transform to this image's bands."
            )
        if self.mixing is not None:
            image = self.mixing.apply(np.asarray(image, dtype=np.float32))
        moved = np.stack([c.apply(plane) for c, plane in zip(self.curves, image, strict=True)])
        if valid is not None:
            np.copyto(moved, np.float32(0), where=~valid)
        return moved

    def to_json(self) -> dict[str, Any]:
        """Return the transform as plain numbers."""
        return {
            "method": self.method,
            "names": list(self.names),
            "curves": [curve.to_json() for curve in self.curves],
            "mixing": None if self.mixing is None else self.mixing.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RadiometricTransform:
        """Read what `to_json` returned."""
        curves = tuple(Curve.from_json(curve) for curve in data["curves"])
        mixing = Mixing.from_json(data["mixing"]) if data.get("mixing") else None
        return cls(curves, tuple(data["names"]), str(data["method"]), mixing)


def fit_matching(
    source: SceneStatistics,
    reference: SceneStatistics | None = None,
    method: MatchMethod = "histogram",
    *,
    reporter: Reporter | None = None,
) -> RadiometricTransform:
    """Fit the curves that match a scene to a reference.

    Parameters
    ----------
    source
        Statistics of the scene to be matched.
    reference
        Statistics of the reference; not needed for ``equalize``.
    method
        ``histogram`` gives each band the reference's distribution by matching cumulative shares, as scikit-image
        does; ``midpoint`` does so too, but assigns to a value that many pixels share (clipped water, saturated roofs)
        the middle of their ranks and not the upper end, so that means are kept; ``mean-std`` gives it the mean and
        standard deviation and ``percentile`` the 2nd and 98th percentile of the reference, both by gain and offset;
        ``equalize`` distributes the values evenly, over the reference's range or else the scene's own.
    reporter
        Gets a warning where class mixes differ so much that matching would remove differences between classes, and for
        bands that cannot be matched (constant ones keep their values).

    Returns
    -------
    RadiometricTransform
        One curve per band; bands that cannot be matched keep their values.

    Raises
    ------
    ConfigError
        If there is no such method, or it needs a reference.
    RasterError
        If the bands do not correspond, or one of the two holds no image.
    """
    reporter = reporter or Reporter()
    if method not in METHODS:
        raise ConfigError(
            f"There is no matching method '{method}'. {nearest_names(method, METHODS)}"
        )
    if reference is None and method != "equalize":
        raise ConfigError(
            f"The method '{method}' has no reference. Expected one; name a scene that shows the wanted style."
        )
    source.require_pixels()
    if reference is not None:
        reference.require_pixels()
        _require_corresponding(source, reference)
        _warn_of_mixture(source, reference, method, reporter)
    sources = _without_suspects(source).bands
    references = sources if reference is None else _without_suspects(reference).bands
    own_range = reference is None and source.dtype == "uint8"
    curves = [
        _fit_band(s, r, method, reporter, exact=has_table(source.dtype), bytes_=own_range)
        for s, r in zip(sources, references, strict=True)
    ]
    return RadiometricTransform(tuple(curves), tuple(source.names), method)


def _fit_band(
    source: BandStatistics,
    reference: BandStatistics,
    method: MatchMethod,
    reporter: Reporter,
    *,
    exact: bool,
    bytes_: bool,
) -> Curve:
    for band, whose in ((source, "the scene"), (reference, "the reference")):
        if band.is_empty or band.is_constant or band.values.size < 2:
            few = (
                "has a single value"
                if band.is_constant
                else "varies by less than a thousandth of its values"
            )
            reporter.warn(
                f"Band '{band.name}' of {whose} {'is empty' if band.is_empty else few}, so it "
                "cannot be matched; its values are kept."
            )
            return IDENTITY
    if method == "equalize":
        low, high = (0.0, 255.0) if bytes_ else (reference.minimum, reference.maximum)
        return equalization_curve(source if exact else source.compact(_FLOAT_KNOTS), low, high)
    if method in {"histogram", "midpoint"} and not exact:
        source, reference = source.compact(_FLOAT_KNOTS), reference.compact(_FLOAT_KNOTS)
    fits: dict[str, Callable[[BandStatistics, BandStatistics], Curve]] = {
        "histogram": histogram_curve,
        "midpoint": midpoint_curve,
        "mean-std": mean_std_curve,
        "percentile": percentile_curve,
    }
    return fits[method](source, reference)


def histogram_curve(source: BandStatistics, reference: BandStatistics) -> Curve:
    """Return the curve that gives one distribution the shape of another, by their cumulative shares."""
    target = np.interp(source.cumulative(), reference.cumulative(), reference.values)
    return Curve(source.values, target)


def midpoint_curve(source: BandStatistics, reference: BandStatistics) -> Curve:
    """Return the curve that gives one distribution the shape of another, each value at the middle of its ranks."""
    shares, wanted = (b.cumulative() - b.counts / b.count / 2 for b in (source, reference))
    return Curve(source.values, np.interp(shares, wanted, reference.values))


def mean_std_curve(source: BandStatistics, reference: BandStatistics) -> Curve:
    """Return the line that gives one distribution the mean and standard deviation of another."""
    ends = np.array([-1.0, 1.0])
    return Curve(
        source.mean + ends * source.std, reference.mean + ends * reference.std, extrapolates=True
    )


def percentile_curve(source: BandStatistics, reference: BandStatistics) -> Curve:
    """Return the line that gives one distribution the 2nd and 98th percentile of another."""
    knots, target = source.quantile(_PERCENTILES), reference.quantile(_PERCENTILES)
    if knots[0] == knots[1]:
        return mean_std_curve(source, reference)
    return Curve(knots, target, extrapolates=True)


def equalization_curve(source: BandStatistics, low: float, high: float) -> Curve:
    """Return the curve that distributes values evenly over a range.

    Parameters
    ----------
    source
        The distribution.
    low, high
        The range.

    Returns
    -------
    Curve
        From the values that occur to evenly distributed ones.
    """
    shares = source.cumulative()
    return Curve(source.values, low + (high - low) * (shares - shares[0]) / (1 - shares[0]))


def _without_suspects(statistics: SceneStatistics) -> SceneStatistics:
    """Return the statistics without values that may be undeclared nodata."""
    suspects: dict[str, list[float]] = {}
    for suspect in find_undeclared_nodata(statistics):
        suspects.setdefault(suspect.band, []).append(suspect.value)
    if not suspects:
        return statistics
    bands = tuple(band.without(suspects.get(band.name, [])) for band in statistics.bands)
    found = [
        np.isin(values, np.array(suspects.get(band.name, []), dtype=np.float32))
        for values, band in zip(statistics.sample.T, bands, strict=True)
    ]
    return replace(statistics, bands=bands, sample=statistics.sample[~np.any(found, axis=0)])


def _require_corresponding(source: SceneStatistics, reference: SceneStatistics) -> None:
    if len(source.bands) != len(reference.bands):
        raise RasterError(
            f"{source.source or 'The scene'} has {len(source.bands)} bands ({', '.join(source.names)}) and "
            f"{reference.source or 'the reference'} {len(reference.bands)} ({', '.join(reference.names)}). "
            "Expected the same bands in both; choose common ones by name."
        )
    if source.names != reference.names and sorted(source.names) == sorted(reference.names):
        raise RasterError(
            f"{source.source or 'The scene'} has the bands {', '.join(source.names)} and "
            f"{reference.source or 'the reference'} has them as {', '.join(reference.names)}. "
            "Expected one order; choose the bands by name."
        )


# --- class mixes -----------------------------------------------------------------------------------------------


@described
@dataclass(frozen=True)
class MixtureDifference:
    """Differences between two scenes that a change of light does not explain.

    Parameters
    ----------
    shape
        For each band, the share of pixels by which the distributions differ after their means and standard
        deviations are made equal, 0..1.
    joint
        The share of pixels by which the ranks of two bands occur together differently, 0..1, for the pair
        of bands with the largest difference. Monotone curves do not change ranks, so haze, light and sensor have no
        effect here.
    pair
        Names of that pair; empty for one band.
    """

    shape: tuple[float, ...]
    joint: float
    pair: tuple[str, ...]

    @property
    def share(self) -> float:
        """Share of pixels, 0..1: the joint difference, or for one band the difference in shape."""
        return self.joint if self.pair else max(self.shape, default=0.0)


def compare_mixtures(source: SceneStatistics, reference: SceneStatistics) -> MixtureDifference:
    """Estimate how much the class mixes (proportions of classes) of two scenes differ; the classes need not be known.

    Matching assumes that both scenes have the same classes in similar proportions. Where one is half water and the
    other half forest, matching gives water the values of forest. A change of light is a monotone curve per band and
    keeps the ranks of pixels within a band. The joint distribution of the ranks of two bands changes only with land
    cover. These distributions (copulas) are compared for pairs of bands, and the difference expected by chance is
    subtracted.
    """
    source, reference = _without_suspects(source), _without_suspects(reference)
    shape = tuple(
        _shape_difference(s, r) for s, r in zip(source.bands, reference.bands, strict=True)
    )
    worst = 0.0
    pair: tuple[str, ...] = ()
    ranks = [_rank_bins(s.sample) for s in (source, reference)]
    if min(len(r) for r in ranks) >= 64:
        varied = [
            k
            for k, (s, r) in enumerate(zip(source.bands, reference.bands, strict=True))
            if s.std > 0 and r.std > 0
        ]
        for a, b in _choose_pairs(varied):
            found = _rank_difference(ranks[0][:, [a, b]], ranks[1][:, [a, b]])
            if found >= worst or not pair:
                worst, pair = found, (source.names[a], source.names[b])
    return MixtureDifference(shape, worst, pair)


def _warn_of_mixture(
    source: SceneStatistics, reference: SceneStatistics, method: str, reporter: Reporter
) -> None:
    difference = compare_mixtures(source, reference)
    if difference.share > MIXTURE_LIMIT:
        where = " and ".join(f"'{name}'" for name in difference.pair) or f"'{source.names[0]}'"
        reporter.warn(
            f"The class mixes of {source.source or 'the scene'} and {reference.source or 'the reference'} differ by "
            f"about {difference.share:.0%} of the pixels (bands {where}), more than a change of light explains. "
            f"Matching by '{method}' may give one class the values of another; match to a scene of the same "
            "area, or only by unchanged pixels.",
            mixture_difference=round(difference.share, 4),
        )


def _shape_difference(source: BandStatistics, reference: BandStatistics) -> float:
    if source.is_empty or reference.is_empty or source.std == 0 or reference.std == 0:
        return 0.0
    edges = np.r_[-np.inf, np.linspace(-3, 3, _SHAPE_BINS - 1), np.inf]
    shares = [
        np.histogram((b.values - b.mean) / b.std, edges, weights=b.counts)[0] / b.count
        for b in (source, reference)
    ]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def _choose_pairs(bands: Sequence[int]) -> list[tuple[int, int]]:
    pairs = list(combinations(bands, 2))
    step = max(len(pairs) / _MOST_PAIRS, 1.0)
    return [pairs[int(k * step)] for k in range(min(len(pairs), _MOST_PAIRS))]


def _rank_bins(sample: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the rank of each value within its band as one of a few equal bins; ties share their middle rank."""
    bins = np.empty(sample.shape, dtype=np.int64)
    for k, values in enumerate(sample.T):
        _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
        middle = (np.cumsum(counts) - counts / 2) / max(len(values), 1)
        bins[:, k] = np.minimum((middle * _RANK_BINS).astype(np.int64), _RANK_BINS - 1)[place]
    return bins


def _rank_difference(source: NDArray[np.int64], reference: NDArray[np.int64]) -> float:
    cells = _RANK_BINS * _RANK_BINS
    shares = [
        np.bincount(r[:, 0] * _RANK_BINS + r[:, 1], minlength=cells) / len(r)
        for r in (source, reference)
    ]
    spread = np.sqrt((shares[0] + shares[1]) / 2 * (1 / len(source) + 1 / len(reference)))
    chance = np.sqrt(2 / np.pi) * spread.sum() / 2
    return float(max(np.abs(shares[0] - shares[1]).sum() / 2 - chance, 0.0))
