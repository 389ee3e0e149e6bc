"""Decoding of embeddings: from stored codes to the numbers of a vector, and where the vector comes from.

Embedding products store each dimension of a vector as a small integer. A `Decoding` belongs to a band and is applied where
pixels are read, so statistics, resampling and formulas get decoded values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopointseg.raster.curve import has_table, look_up, table_values
from geopointseg.raster.expression import Expression
from geopointseg.summary import described

OTHER = "other embedding"
"""Product of embeddings that the setting [scene] decode declares by a formula, a table or a raster of scales."""

_LICENCES = {
    "AlphaEarth": (
        "CC-BY 4.0",
        "The AlphaEarth Foundations Satellite Embedding dataset is produced by Google and Google DeepMind.",
    ),
    "TESSERA": ("CC0", "TESSERA embeddings, University of Cambridge."),
    "OlmoEarth": ("", "OlmoEarth embeddings, Allen Institute for AI."),
    "Copernicus-Embed": ("CC-BY 4.0", "Copernicus-Embed-025deg."),
}


@described
@dataclass(frozen=True)
class Embedding:
    """The product that an embedding comes from.

    Parameters
    ----------
    product
        ``AlphaEarth``, ``TESSERA``, ``OlmoEarth``, ``Copernicus-Embed``, or `OTHER`.
    version
        Version of the product, empty where it is not known.
    year
        The year that the vectors describe, empty where it is not known.
    """

    product: str
    version: str = ""
    year: str = ""

    @property
    def name(self) -> str:
        """Product, version and year, for messages."""
        return " ".join(part for part in (self.product, self.version, self.year) if part)

    @property
    def licence(self) -> str:
        """Licence of the product, empty where it is not known."""
        return _LICENCES.get(self.product, ("", ""))[0]

    @property
    def attribution(self) -> str:
        """One line that names producer, version, year and licence."""
        told = _LICENCES.get(self.product, ("", f"{self.product.capitalize()}."))[1]
        parts = (self.version and f"version {self.version}", self.year, self.licence)
        details = ", ".join(part for part in parts if part)
        return f"{told} ({details})" if details else told

    def to_json(self) -> dict[str, str]:
        """Return product, version, year, licence and attribution as plain values."""
        stored = {"product": self.product, "version": self.version, "year": self.year}
        return stored | {"licence": self.licence, "attribution": self.attribution}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Embedding:
        """Return what `to_json` wrote."""
        return cls(*(str(row.get(key, "")) for key in ("product", "version", "year")))


@described
@dataclass(frozen=True)
class Decoding:
    """How the stored values of one dimension of an embedding become numbers.

    Parameters
    ----------
    embedding
        The product.
    formula
        Formula of the stored value ``v`` and of the scale ``s`` of the pixel; None where values are stored as they are.
    table
        Value of each integer of the stored 8- or 16-bit type, in increasing order, in place of a formula.

    Examples
    --------
    >>> squares = Decoding(Embedding("AlphaEarth"), Expression.parse("sign(v) * (v / 127.5) ** 2"))
    >>> squares.apply(np.int8([-127, 0, 64])).round(5)
    array([-0.99217,  0.     ,  0.25196], dtype=float32)
    """

    embedding: Embedding
    formula: Expression | None = None
    table: tuple[float, ...] = ()

    @property
    def changes_values(self) -> bool:
        """Whether decoded values differ from stored ones."""
        return self.formula is not None or bool(self.table)

    def apply(
        self,
        stored: NDArray[Any],
        scale: NDArray[Any] | None = None,
        out: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Return decoded values.

        Parameters
        ----------
        stored
            Stored values, of any shape.
        scale
            Scale of each pixel, of the same shape, where the formula names it.
        out
            Contiguous float32 array for the result; a new one by default.

        Returns
        -------
        numpy.ndarray
            float32 of the same shape.
        """
        if scale is None and self.changes_values and has_table(stored.dtype.name):
            found = look_up(_table_of(self, stored.dtype.name), stored, out=out)
            return np.asarray(found, dtype=np.float32)
        out = np.empty(stored.shape, np.float32) if out is None else out
        if scale is not None and self.formula is not None and self.formula.text == "v * s":
            np.multiply(stored, scale, out=out, casting="unsafe", dtype=np.float32)
        else:
            out[...] = self._evaluate(stored, scale)
        return out

    def _evaluate(self, stored: NDArray[Any], scale: NDArray[Any] | None) -> NDArray[Any]:
        if self.table:
            place = np.nan_to_num(stored).astype(np.int64).clip(0, len(self.table) - 1)
            return np.asarray(np.asarray(self.table, np.float32)[place])
        if self.formula is None:
            return stored
        exact = np.float64 if stored.dtype == np.float64 else np.float32
        values = {"v": np.asarray(stored, exact)}
        if scale is not None:
            values["s"] = np.asarray(scale, np.float32)
        return np.asarray(self.formula.evaluate(values))


@lru_cache(maxsize=1024)
def _table_of(decoding: Decoding, dtype: str) -> NDArray[np.float32]:
    """Return the decoded value of every integer of a type, in the order of `table_values`."""
    if decoding.table:
        return np.asarray(decoding.table, np.float32)
    return decoding.apply(table_values(dtype))
