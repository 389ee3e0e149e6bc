"""Distribution of the values of one band, counted in one pass and in bounded memory.

8- and 16-bit integers are counted exactly. Other types are counted in bins whose width is `TOLERANCE` of the
value, so the range of the values need not be known before, and outliers do no harm. Quantiles are exact to that
share of the value. Count, mean, standard deviation, minimum and maximum are exact for all types.

References
----------
Chan, Golub, LeVeque (1983), Algorithms for computing the sample variance, doi:10.1080/00031305.1983.10483115.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from geopointseg.raster.curve import has_table, table_index, table_values
from geopointseg.summary import described

TOLERANCE = 2.0**-11
"""Width of a bin as a share of the value, for types that are not counted exactly."""

_SHIFT = 23 - 11
"""Lower bits of a float32 that are equal in one bin."""
_TINY = 2.0**-40
"""Smaller magnitudes count as zero."""
_MOST_VALUES = 1 << 17
_JSON_KNOTS = 1025
_MOMENTS = ("count", "mean", "std", "minimum", "maximum")


@described
@dataclass(frozen=True, eq=False)
class BandStatistics:
    """Distribution of one band's physical values, nodata left out.

    Parameters
    ----------
    name
        Name of the band.
    count
        Number of pixels, or their weight.
    mean, std, minimum, maximum
        Of the physical values; NaN where there is no pixel. ``std`` is that of the population.
    values
        Values that occur, float64 ``(value,)``, increasing: exact, or middles of bins.
    counts
        How often, float64 ``(value,)``.
    """

    name: str
    count: float
    mean: float
    std: float
    minimum: float
    maximum: float
    values: NDArray[np.float64]
    counts: NDArray[np.float64]

    @property
    def moments(self) -> tuple[float, float, float, float, float]:
        """Count, mean, standard deviation, minimum and maximum."""
        return self.count, self.mean, self.std, self.minimum, self.maximum

    @property
    def is_empty(self) -> bool:
        """Whether there is no pixel with an image."""
        return self.count == 0

    @property
    def is_constant(self) -> bool:
        """Whether all pixels have one value."""
        return not self.is_empty and self.minimum == self.maximum

    def quantile(self, share: ArrayLike) -> NDArray[np.float64]:
        """Return the values below which these shares (0..1) of the pixels lie, as `numpy.quantile` does."""
        share = np.asarray(share, dtype=np.float64)
        if self.is_empty:
            return np.full(share.shape, np.nan)
        place = share * max(self.count - 1, 0)
        last = np.cumsum(self.counts) - 1e-9
        low = self.values[_first_reaching(last, np.floor(place))]
        high = self.values[_first_reaching(last, np.ceil(place))]
        value = low + (high - low) * (place - np.floor(place))
        return np.clip(value, self.minimum, self.maximum)

    def cumulative(self) -> NDArray[np.float64]:
        """Return the share of pixels up to and including each of `values`, float64 ``(value,)``."""
        return np.asarray(np.cumsum(self.counts) / max(self.count, 1e-300))

    def histogram(self, edges: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the counts between edges, float64 ``(edge - 1,)``; what lies beyond is left out."""
        return np.asarray(np.histogram(self.values, bins=edges, weights=self.counts)[0])

    def without(self, values: Iterable[float]) -> BandStatistics:
        """Return the distribution without some of its values."""
        kept = ~np.isin(self.values, list(values))
        return BandStatistics.from_counts(self.name, self.values[kept], self.counts[kept])

    def weighted(self, factor: float) -> BandStatistics:
        """Return the distribution with all counts multiplied."""
        return replace(self, count=self.count * factor, counts=self.counts * factor)

    def compact(self, knots: int = _JSON_KNOTS) -> BandStatistics:
        """Return a distribution of at most about ``knots`` values that has the same quantiles to 1 / knots.

        Values that alone hold more than that share are kept.
        """
        if self.values.size <= knots:
            return self
        group = np.floor(self.cumulative() * (knots - 1) - 1e-9).astype(np.int64)
        starts = np.flatnonzero(np.r_[True, np.diff(group) > 0])
        counts = np.add.reduceat(self.counts, starts)
        values = np.add.reduceat(self.counts * self.values, starts) / counts
        return replace(self, values=values, counts=counts)

    def to_json(self) -> dict[str, Any]:
        """Return the distribution as plain numbers, compacted."""
        small = self.compact()
        numbers = self.moments
        return {
            "name": self.name,
            **{
                k: None if np.isnan(v) else float(v) for k, v in zip(_MOMENTS, numbers, strict=True)
            },
            "values": small.values.tolist(),
            "counts": small.counts.tolist(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BandStatistics:
        """Read what `to_json` returned."""
        numbers = [float("nan") if data[k] is None else float(data[k]) for k in _MOMENTS]
        return cls.from_numbers(str(data["name"]), numbers, data["values"], data["counts"])

    @classmethod
    def from_counts(
        cls, name: str, values: NDArray[np.float64], counts: NDArray[np.float64]
    ) -> BandStatistics:
        """Make a distribution of the counts of exact values, increasing.

        Parameters
        ----------
        name
            Name of the band.
        values
            Values that occur, increasing, ``(value,)``.
        counts
            How often each occurs, ``(value,)``.

        Returns
        -------
        BandStatistics
            Its moments are those of the counted values.
        """
        count = float(counts.sum())
        if count == 0:
            nan = float("nan")
            return cls(name, 0.0, nan, nan, nan, nan, np.zeros(0), np.zeros(0))
        mean = float((counts * values).sum() / count)
        std = float(np.sqrt((counts * (values - mean) ** 2).sum() / count))
        return cls(name, count, mean, std, float(values[0]), float(values[-1]), values, counts)

    @classmethod
    def from_numbers(
        cls, name: str, numbers: Sequence[float], values: ArrayLike, counts: ArrayLike
    ) -> BandStatistics:
        """Make a distribution of ``(count, mean, std, minimum, maximum)`` and the counted values.

        Parameters
        ----------
        name
            Name of the band.
        numbers
            Count, mean, standard deviation, minimum and maximum; see `moments`.
        values, counts
            Counted values, ``(value,)``.

        Returns
        -------
        BandStatistics
            With these moments, which may be more exact than those of the values.
        """
        count, mean, std, minimum, maximum = (float(v) for v in numbers)
        arrays = (np.asarray(a, dtype=np.float64) for a in (values, counts))
        return cls(name, count, mean, std, minimum, maximum, *arrays)


def merge_bands(parts: Sequence[BandStatistics]) -> BandStatistics:
    """Merge the distributions of one band in several scenes."""
    filled = [part for part in parts if not part.is_empty]
    if not filled:
        return parts[0]
    values, place = np.unique(np.concatenate([p.values for p in filled]), return_inverse=True)
    counts = np.bincount(place, weights=np.concatenate([p.counts for p in filled]))
    weights = np.array([p.count for p in filled])
    means = np.array([p.mean for p in filled])
    stds = np.array([p.std for p in filled])
    mean = float(np.average(means, weights=weights))
    variance = np.average(stds**2 + (means - mean) ** 2, weights=weights)
    return BandStatistics(
        filled[0].name,
        float(weights.sum()),
        mean,
        float(np.sqrt(variance)),
        min(p.minimum for p in filled),
        max(p.maximum for p in filled),
        values,
        counts,
    ).compact(_MOST_VALUES)


class IntegerCounter:
    """Counts every value of an 8- or 16-bit type."""

    def __init__(self, dtype: str) -> None:
        self._dtype = dtype
        self._counts = np.zeros(np.iinfo(dtype).max - np.iinfo(dtype).min + 1, dtype=np.int64)

    def add(self, stored: NDArray[Any]) -> None:
        """Count these values."""
        index = table_index(np.ascontiguousarray(stored)).ravel()
        if index.itemsize == 1:
            self._counts += _count_bytes(index)
            return
        for start in range(0, index.size, _PIECE):
            self._counts += np.bincount(index[start : start + _PIECE], minlength=1 << 16)

    def merge(self, other: IntegerCounter) -> None:
        """Add what another counter of the type has counted."""
        self._counts += other._counts

    def finish(self, name: str, scale: float, offset: float) -> BandStatistics:
        """Return the distribution of what was counted, as physical values.

        Parameters
        ----------
        name
            Name of the band.
        scale, offset
            Physical value = counted value * scale + offset.

        Returns
        -------
        BandStatistics
            Distribution of physical values.
        """
        occurring = np.flatnonzero(self._counts)
        values = table_values(self._dtype)[occurring] * scale + offset
        counts = self._counts[occurring].astype(np.float64)
        order = slice(None, None, -1 if scale < 0 else 1)
        return BandStatistics.from_counts(name, values[order], counts[order])


class FloatCounter:
    """Counts values of any type in bins that are a fixed share of the value wide."""

    def __init__(self) -> None:
        self._counts = np.zeros(0, dtype=np.int64)
        self._first = 0
        self._count, self._mean, self._squares = 0, 0.0, 0.0
        self._minimum, self._maximum = np.inf, -np.inf

    def add(self, stored: NDArray[Any]) -> None:
        """Count these values."""
        if stored.size == 0:
            return
        exact = stored.astype(np.float64)
        self._minimum = min(self._minimum, float(exact.min()))
        self._maximum = max(self._maximum, float(exact.max()))
        mean = float(exact.mean())
        self._add_moments(exact.size, mean, float(np.square(exact - mean).sum()))
        keys = _float_keys(exact)
        low = int(keys.min())
        self._add_counts(low, np.bincount(keys.ravel() - low))

    def merge(self, other: FloatCounter) -> None:
        """Add what another counter has counted."""
        if other._count == 0:
            return
        minimum, maximum = other._minimum, other._maximum
        self._minimum, self._maximum = min(self._minimum, minimum), max(self._maximum, maximum)
        self._add_moments(other._count, other._mean, other._squares)
        self._add_counts(other._first, other._counts)

    def _add_counts(self, first: int, counts: NDArray[np.int64]) -> None:
        self._reach(first, first + counts.size - 1)
        self._counts[first - self._first : first - self._first + counts.size] += counts

    def _add_moments(self, size: int, mean: float, squares: float) -> None:
        count = self._count + size
        step = mean - self._mean
        self._squares += squares + step * step * self._count * size / count
        self._mean += step * size / count
        self._count = count

    def _reach(self, low: int, high: int) -> None:
        if self._counts.size == 0:
            self._counts, self._first = np.zeros(high - low + 1, dtype=np.int64), low
        before = max(self._first - low, 0)
        after = max(high - (self._first + self._counts.size - 1), 0)
        if before or after:
            self._counts = np.pad(self._counts, (before, after))
            self._first -= before

    def finish(self, name: str, scale: float, offset: float) -> BandStatistics:
        """Return the distribution of what was counted, as physical values.

        Parameters
        ----------
        name
            Name of the band.
        scale, offset
            Physical value = counted value * scale + offset.

        Returns
        -------
        BandStatistics
            Distribution of physical values.
        """
        if self._count == 0:
            return BandStatistics.from_counts(name, np.zeros(0), np.zeros(0))
        occurring = np.flatnonzero(self._counts)
        values = np.clip(_key_middles(occurring + self._first), self._minimum, self._maximum)
        values, start = np.unique(values, return_index=True)  # clipping may join the outermost bins
        counts = np.add.reduceat(self._counts[occurring].astype(np.float64), start)
        ends = np.sort(np.array([self._minimum, self._maximum]) * scale + offset)
        order = slice(None, None, -1 if scale < 0 else 1)
        return BandStatistics(
            name,
            float(self._count),
            self._mean * scale + offset,
            float(np.sqrt(self._squares / self._count)) * abs(scale),
            float(ends[0]),
            float(ends[1]),
            (values * scale + offset)[order],
            counts[order],
        )


Counter = IntegerCounter | FloatCounter

_PIECE = 1 << 18
"""Values counted at once, so that the counts stay in the processor's cache."""


def _count_bytes(values: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count each byte; Pillow's loop is several times as fast as numpy's, and lets other threads run."""
    if values.size == 0:
        return np.zeros(256, dtype=np.int64)
    width = min(values.size, 1 << 16)
    height = values.size // width
    body = values[: width * height]
    image = Image.frombuffer("L", (width, height), body, "raw", "L", 0, 1)
    counts = np.array(image.histogram(), dtype=np.int64)
    return np.asarray(counts + np.bincount(values[width * height :], minlength=256))


def make_counter(dtype: str) -> Counter:
    """Return a counter for values of a data type."""
    return IntegerCounter(dtype) if has_table(dtype) else FloatCounter()


def count_planes(planes: NDArray[Any]) -> list[Counter]:
    """Count the values of each band of an array ``(band, pixel)``."""
    counters = [make_counter(planes.dtype.name) for _ in planes]
    for counter, plane in zip(counters, planes, strict=True):
        counter.add(plane)
    return counters


def _float_keys(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return bin numbers that increase with the value: the leading bits of its float32."""
    limit = float(np.finfo(np.float32).max)
    small = np.clip(values, -limit, limit).astype(np.float32)
    small[np.abs(small) < _TINY] = 0.0
    bits = np.abs(small).view(np.int32).astype(np.int64) >> _SHIFT
    return np.asarray(np.where(small < 0, -bits, bits))


def _key_middles(keys: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the middle of each bin, zero for the bin of zero."""
    low = (np.abs(keys) << _SHIFT).astype(np.int32).view(np.float32).astype(np.float64)
    high = ((np.abs(keys) + 1) << _SHIFT).astype(np.int32).view(np.float32).astype(np.float64)
    middle = np.where(np.isfinite(high), (low + high) / 2, low)
    return np.asarray(np.where(keys == 0, 0.0, np.sign(keys) * middle))


def _first_reaching(last: NDArray[np.float64], place: NDArray[np.float64]) -> NDArray[np.int64]:
    found = np.searchsorted(last, place + 1 - 2e-9, side="left")
    return np.asarray(np.minimum(found, last.size - 1))
