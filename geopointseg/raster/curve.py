"""Monotone curves that transform the values of one band to match those of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geopointseg.errors import RasterError
from geopointseg.summary import described


@described
@dataclass(frozen=True, eq=False)
class Curve:
    """A non-decreasing, piecewise linear function of a band's physical value.

    Parameters
    ----------
    source
        Values of the input at the knots: float64 ``(knot,)``, strictly increasing, at least two.
    target
        Values at the knots: float64 ``(knot,)``, non-decreasing.
    extrapolates
        Whether the first and last pieces extend beyond the knots; otherwise values beyond them take the value
        at the nearest knot.

    Examples
    --------
    >>> Curve([0, 10], [100, 200]).apply([-5.0, 5.0, 20.0])
    array([100., 150., 200.], dtype=float32)
    >>> Curve([0, 10], [100, 200], extrapolates=True).apply([-5.0, 20.0])
    array([ 50., 300.], dtype=float32)
    """

    source: NDArray[np.float64]
    target: NDArray[np.float64]
    extrapolates: bool = False

    def __post_init__(self) -> None:
        source = np.asarray(self.source, dtype=np.float64)
        target = np.asarray(self.target, dtype=np.float64)
        object.__setattr__(self, "source", source)
        object.__setattr__(self, "target", target)
        if source.ndim != 1 or source.shape != target.shape or source.size < 2:
            raise RasterError(
                f"A curve has {source.size} knots and {target.size} values. Expected as many values as knots, "
                "and two at least."
            )
        if not np.isfinite(source).all() or not np.isfinite(target).all():
            raise RasterError(
                "A curve has knots that are not numbers. Expected finite knots and values."
            )
        if (np.diff(source) <= 0).any() or (np.diff(target) < 0).any():
            raise RasterError(
                "A curve is not monotone. Expected increasing knots and values that do not decrease, so that "
                "brighter pixels stay brighter."
            )

    def apply(self, values: ArrayLike) -> NDArray[np.float32]:
        """Return the function of each value, float32 of the same shape."""
        values = np.asarray(values)
        if self.extrapolates:
            return self._extrapolate(values)
        flat = np.interp(values.ravel(), self.source, self.target)
        return np.asarray(flat.reshape(values.shape), dtype=np.float32)

    def _extrapolate(self, values: NDArray[Any]) -> NDArray[np.float32]:
        if self.source.size == 2:
            slope, offset = self._line(0)
            return np.asarray(values * np.float32(slope) + np.float32(offset), dtype=np.float32)
        result = np.interp(values.ravel(), self.source, self.target).reshape(values.shape)
        for beyond, piece in (
            (values < self.source[0], 0),
            (values > self.source[-1], self.source.size - 2),
        ):
            slope, offset = self._line(piece)
            result[beyond] = values[beyond] * slope + offset
        return np.asarray(result, dtype=np.float32)

    def _line(self, piece: int) -> tuple[float, float]:
        x0, x1 = self.source[piece : piece + 2]
        y0, y1 = self.target[piece : piece + 2]
        slope = (y1 - y0) / (x1 - x0)
        return float(slope), float(y0 - slope * x0)

    def table(self, dtype: str, scale: float = 1.0, offset: float = 0.0) -> NDArray[np.float32]:
        """Return the function of every value of an 8- or 16-bit integer type, in the order of `table_index`.

        Parameters
        ----------
        dtype
            Type of the stored values.
        scale, offset
            Physical value = stored value * scale + offset.

        Returns
        -------
        numpy.ndarray
            float32 ``(256,)`` or ``(65536,)``.
        """
        key = (dtype, scale, offset)
        if key not in self._tables:
            self._tables[key] = self.apply(table_values(dtype) * scale + offset)
        return self._tables[key]

    @cached_property
    def _tables(self) -> dict[tuple[str, float, float], NDArray[np.float32]]:
        return {}

    def __getstate__(self) -> dict[str, Any]:
        return {"source": self.source, "target": self.target, "extrapolates": self.extrapolates}

    def __eq__(self, other: object) -> bool:
        """Whether two curves have the same knots."""
        if not isinstance(other, Curve):
            return NotImplemented
        return (
            self.extrapolates == other.extrapolates
            and np.array_equal(self.source, other.source)
            and np.array_equal(self.target, other.target)
        )

    def __hash__(self) -> int:
        return hash((self.source.tobytes(), self.target.tobytes(), self.extrapolates))

    def to_json(self) -> dict[str, Any]:
        """Return the curve as plain numbers."""
        return {
            "source": self.source.tolist(),
            "target": self.target.tolist(),
            "extrapolates": self.extrapolates,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Curve:
        """Read what `to_json` returned."""
        return cls(np.array(data["source"]), np.array(data["target"]), bool(data["extrapolates"]))


IDENTITY = Curve(np.array([0.0, 1.0]), np.array([0.0, 1.0]), extrapolates=True)
"""The curve that changes nothing."""


def has_table(dtype: str) -> bool:
    """Whether a type has so few values that a function of it fits a table: 8- and 16-bit integers."""
    kind = np.dtype(dtype)
    return kind.kind in "iu" and kind.itemsize <= 2


def table_values(dtype: str) -> NDArray[np.float64]:
    """Return all values of an 8- or 16-bit integer type, increasing."""
    info = np.iinfo(dtype)
    return np.arange(info.min, info.max + 1, dtype=np.float64)


def table_index(stored: NDArray[Any]) -> NDArray[np.unsignedinteger[Any]]:
    """Return the place of each 8- or 16-bit integer in its type's table, as unsigned of the same size."""
    if stored.dtype.kind == "u":
        return stored
    unsigned = np.dtype(f"u{stored.dtype.itemsize}")
    half = unsigned.type(1 << (8 * stored.dtype.itemsize - 1))
    return np.asarray(stored.view(unsigned) ^ half)


def look_up(
    table: NDArray[Any], stored: NDArray[Any], out: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Return a table's entry for each 8- or 16-bit integer.

    Works in pieces that stay in the processor's cache, and on two bytes at once where both sides are bytes.

    Parameters
    ----------
    table
        One entry for each value of the type, in the order of `table_values`.
    stored
        Integers of any shape.
    out
        Where to put the result; contiguous, of the table's type and the integers' shape.

    Returns
    -------
    numpy.ndarray
        ``out``, or a new array of the table's type and the integers' shape.
    """
    index = np.ascontiguousarray(table_index(stored)).ravel()
    out = np.empty(stored.shape, dtype=table.dtype) if out is None else out
    target = out.reshape(-1)
    if index.itemsize == 1 and table.itemsize == 1 and index.size > _PAIRS_PAY:
        even = index.size // 2 * 2
        pairs = _pair_table(table.tobytes())
        _take_pieces(pairs, index[:even].view("<u2"), target[:even].view("<u2"))
        index, target = index[even:], target[even:]
    _take_pieces(table, index, target)
    return out


@lru_cache(maxsize=32)
def _pair_table(table: bytes) -> NDArray[np.uint16]:
    """Return the entries of two bytes at once, at 256 * second byte + first byte."""
    entry = np.frombuffer(table, dtype=np.uint8).astype(np.uint16)
    return np.asarray(((entry[:, None] << 8) | entry).ravel())


_PIECE = 1 << 16
_PAIRS_PAY = 1 << 17


def _take_pieces(table: NDArray[Any], index: NDArray[Any], target: NDArray[Any]) -> None:
    for start in range(0, index.size, _PIECE):
        piece = slice(start, start + _PIECE)
        np.take(table, index[piece], out=target[piece], mode="wrap")
