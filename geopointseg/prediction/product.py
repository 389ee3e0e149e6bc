"""Products per pixel: class, probabilities and uncertainty, derived from the same blended probabilities."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from geopointseg.legend import Legend
from geopointseg.model.inference import relative_entropy
from geopointseg.raster.class_map import class_layout, code_table
from geopointseg.raster.cog import Layout
from geopointseg.raster.grid import Grid

Encoding = Literal["uint8", "float32"]
Arrays = dict[str, NDArray[Any]]

CLASSES, PROBABILITIES, UNCERTAINTY = "classes", "probabilities", "uncertainty"
STEP = 0.004
"""Unit of uint8 products: the values 0 to 250 encode 0 to 1, and 255 is nodata."""

_BYTE_NODATA = 255
_ROWS_AT_ONCE = 64
"""Number of rows that are derived together, so that they fit in the CPU cache."""


@dataclass(frozen=True)
class Products:
    """The products that are derived from probabilities, and how they are stored.

    Parameters
    ----------
    legend
        The classes.
    probabilities, uncertainty
        Whether these are written besides the classes.
    disagreement
        Whether the last channel of the sums is the mean entropy of the members, for the band *disagreement*.
    encoding
        ``uint8`` stores multiples of 0.004, ``float32`` stores the values.

    Notes
    -----
    Uncertainty has the bands *confidence* (the largest probability), *entropy* (divided by its maximum, so that it ranges
    from 0 to 1), *margin* (difference of the two largest probabilities) and, for several members, *disagreement*: the
    entropy of the mean minus the mean entropy of the members, also divided by the maximum. Disagreement is zero where
    all members have equal probabilities, even if these are uncertain.

    References
    ----------
    S. Depeweg et al., Decomposition of uncertainty in Bayesian deep learning, ICML 2018,
    doi:10.48550/arXiv.1710.07283.
    """

    legend: Legend
    probabilities: bool = False
    uncertainty: bool = False
    disagreement: bool = False
    encoding: Encoding = "uint8"

    @property
    def channels(self) -> int:
        """Number of values per pixel while windows are blended."""
        return len(self.legend) + self.disagreement

    @property
    def uncertainty_names(self) -> tuple[str, ...]:
        """Names of the bands of the uncertainty file."""
        return ("confidence", "entropy", "margin", *(["disagreement"] * self.disagreement))

    def layouts(
        self, grid: Grid, tags: Mapping[str, str], *, fingerprint: str, cog: bool
    ) -> dict[str, Layout]:
        """Return the layout of the file of each product.

        Parameters
        ----------
        grid
            Grid of the map.
        tags
            Tags of all files.
        fingerprint
            Fingerprint of the models, for the tags.
        cog
            Whether files are cloud-optimized.

        Returns
        -------
        dict
            Layout by product, the classes first.
        """
        layouts = {
            CLASSES: class_layout(self.legend, grid, fingerprint=fingerprint, tags=tags, cog=cog)
        }
        quantity = {
            "dtype": self.encoding,
            "nodata": _BYTE_NODATA if self.encoding == "uint8" else math.nan,
            "scale": STEP if self.encoding == "uint8" else 1.0,
            "resampling": "average",
            "tags": layouts[CLASSES].tags,
            "cog": cog,
        }
        if self.probabilities:
            layouts[PROBABILITIES] = Layout(grid, names=tuple(self.legend.names), **quantity)  # type: ignore[arg-type]
        if self.uncertainty:
            layouts[UNCERTAINTY] = Layout(grid, names=self.uncertainty_names, **quantity)  # type: ignore[arg-type]
        return layouts

    def empty(self, height: int, width: int) -> Arrays:
        """Return arrays of nodata for all products, ``(band, row, col)``."""
        codes = code_table(self.legend)
        found: Arrays = {CLASSES: np.full((1, height, width), codes[-1])}
        nodata = np.uint8(_BYTE_NODATA) if self.encoding == "uint8" else np.float32(np.nan)
        for name, bands in (
            (PROBABILITIES, len(self.legend) * self.probabilities),
            (UNCERTAINTY, len(self.uncertainty_names) * self.uncertainty),
        ):
            if bands:
                found[name] = np.full((bands, height, width), nodata)
        return found

    def derive(self, sums: NDArray[np.float32]) -> Arrays:
        """Return all products of blended probabilities.

        Parameters
        ----------
        sums
            float32 ``(channel, row, col)``: probabilities, all zero at nodata; with ``disagreement``, the last channel is
            the mean entropy of the members.

        Returns
        -------
        dict
            By product, the stored values ``(band, row, col)``.
        """
        found = self.empty(*sums.shape[1:])
        for top in range(0, sums.shape[1], _ROWS_AT_ONCE):
            rows = slice(top, top + _ROWS_AT_ONCE)
            self._derive_rows(sums[:, rows], {name: a[:, rows] for name, a in found.items()})
        return found

    def _derive_rows(self, sums: NDArray[np.float32], out: Arrays) -> None:
        probabilities = sums[: len(self.legend)]
        best, second, index = _two_largest(probabilities)
        valid = best > 0
        index[~valid] = -1
        out[CLASSES][0] = code_table(self.legend)[index]
        if PROBABILITIES in out:
            self._write_values(out[PROBABILITIES], probabilities, valid)
        if UNCERTAINTY in out:
            entropy = relative_entropy(probabilities)
            bands = [best, entropy, best - second]
            if self.disagreement:
                bands.append(np.maximum(entropy - sums[-1], 0))
            self._write_values(out[UNCERTAINTY], np.stack(bands), valid)

    def _write_values(
        self, target: NDArray[Any], values: NDArray[np.float32], valid: NDArray[np.bool_]
    ) -> None:
        if self.encoding == "uint8":
            values = np.rint(values * np.float32(1 / STEP)).clip(0, round(1 / STEP))
        np.copyto(target, values, where=valid, casting="unsafe")


def _two_largest(
    values: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.intp]]:
    """Return the largest and the second largest value along the first axis, and the index of the largest one."""
    best = values[0].copy()
    second = np.zeros_like(best)
    index = np.zeros(best.shape, dtype=np.intp)
    for position in range(1, len(values)):
        value = values[position]
        np.maximum(second, np.minimum(best, value), out=second)
        index[value > best] = position
        np.maximum(best, value, out=best)
    return best, second, index
