"""The class table: code in the data, index in the network, name and colour.

A class *code* is the value in the user's data (10, 20, 255; zero may be a class). A class *index* is the position
0..K-1 in the output of the network. A class has also a *name* and a *colour*. Only `Legend` converts between them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geopointseg.class_colors import class_colors
from geopointseg.errors import LegendError
from geopointseg.markup import conforming
from geopointseg.model_document import MOST_CLASSES
from geopointseg.name import clean_name, printable
from geopointseg.summary import described, join_names

LONGEST_CLASS_NAME = 1000
"""Largest number of letters in the name of a class, which a model folder is also read with."""

_LARGEST_CODE = 2**32 - 1
_SHOWN = 40
_ROWS = [{"code": (float, str), "name": (str, float), "color": str}]
_HEX_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


@described
@dataclass(frozen=True)
class LegendEntry:
    """One class: its code in the data, its name (cleaned by `clean_name`), and its colour as ``#rrggbb``."""

    code: int
    name: str
    color: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", clean_name(self.name) or str(self.code))
        if len(self.name) > LONGEST_CLASS_NAME:
            raise LegendError(
                f"The class name '{self.name[:_SHOWN]}...' has {len(self.name)} letters. Expected at most {LONGEST_CLASS_NAME}; "
                "shorten it."
            )
        if self.code < 0:
            raise LegendError(
                f"Class '{self.name}' has the code {self.code}. Codes must not be negative, because maps store "
                "them as unsigned integers; renumber the class."
            )
        if self.code > _LARGEST_CODE:
            raise LegendError(
                f"Class '{self.name}' has the code {str(self.code)[:20]}. Codes must be at most {_LARGEST_CODE}, the largest "
                "integer that a map stores; renumber the class."
            )
        if not _HEX_COLOR.fullmatch(self.color):
            raise LegendError(
                f"Class '{self.name}' has the colour {self.color!r}. Expected a colour like '#1b7837'."
            )


@described
@dataclass(frozen=True)
class Legend:
    """All classes of a map, in the order of the network's outputs.

    Parameters
    ----------
    entries
        The classes in index order; codes and names are unique.

    Examples
    --------
    >>> legend = Legend.from_names(["water", "forest"], codes=[10, 20])
    >>> legend.encode([20, 10, 20])
    array([1, 0, 1])
    >>> legend.decode([[0, 1]])
    array([[10, 20]])
    """

    entries: tuple[LegendEntry, ...]
    _index_by_code: dict[int, int] = field(init=False, repr=False, compare=False)

    def _summary(self) -> list[str]:
        classes = join_names(f"{entry.code} {entry.name}" for entry in self.entries)
        return [f"Legend of {len(self.entries)} classes: {classes}"]

    def _table(self) -> tuple[list[str], list[list[object]]]:
        rows: list[list[object]] = [[e.code, e.name, e.color] for e in self.entries]
        return ["code", "class", "colour"], rows

    def __post_init__(self) -> None:
        if len(self.entries) > MOST_CLASSES:
            raise LegendError(
                f"The legend has {len(self.entries)} classes. Expected at most {MOST_CLASSES}; use a field of classes, and not of "
                "identifiers."
            )
        for what, values in (("code", self.codes.tolist()), ("name", self.names)):
            doubled = sorted(str(v) for v, count in Counter(values).items() if count > 1)[:8]
            if doubled:
                raise LegendError(
                    f"The class {what} {', '.join(doubled)} occurs twice in the legend. "
                    f"Every class needs a {what} of its own."
                )
        index = {entry.code: position for position, entry in enumerate(self.entries)}
        object.__setattr__(self, "_index_by_code", index)

    @classmethod
    def from_names(
        cls,
        names: Sequence[str],
        codes: Sequence[int] | None = None,
        colors: Sequence[str] | None = None,
    ) -> Legend:
        """Build a legend from class names.

        Parameters
        ----------
        names
            Class names in index order.
        codes
            Class codes; 1..K by default.
        colors
            ``#rrggbb`` strings; by default those of `class_colors`.

        Returns
        -------
        Legend
            One entry for each name.

        Raises
        ------
        LegendError
            If a code is negative or no whole number, a colour malformed, a code or name occurs twice, or the numbers of names, codes
            and colours differ.
        """
        codes = range(1, len(names) + 1) if codes is None else codes
        colors = class_colors([str(name) for name in names]) if colors is None else colors
        codes, names = [_code(code) for code in codes], list(names)
        if not len(codes) == len(names) == len(colors):
            raise LegendError(
                f"{len(names)} names, {len(codes)} codes and {len(colors)} colours were given. Expected a code and a colour for each name."
            )
        rows = zip(codes, names, colors, strict=True)
        return cls(tuple(LegendEntry(int(c), str(n), str(k).lower()) for c, n, k in rows))

    @classmethod
    def from_json(cls, rows: Iterable[dict[str, Any]]) -> Legend:
        """Build a legend from the list of ``{"code", "name", "color"}`` objects of a model folder.

        Raises
        ------
        LegendError
            If a key is missing, or an entry is not valid.
        """
        try:
            plain = conforming(rows, _ROWS)
            return cls(
                tuple(LegendEntry(_whole(r["code"]), str(r["name"]), r["color"]) for r in plain)
            )
        except KeyError as error:
            raise LegendError(
                f"A legend row lacks {error}. Expected a list of objects with code, name and color."
            ) from error
        except (AttributeError, OverflowError, TypeError, ValueError) as error:
            if isinstance(error, LegendError):
                raise
            raise LegendError(
                f"A legend row is damaged ({error}). Expected a list of objects with code, name and color."
            ) from error

    def to_json(self) -> list[dict[str, Any]]:
        """Return the legend as a list of ``{"code", "name", "color"}`` objects in index order."""
        return [{"code": e.code, "name": e.name, "color": e.color} for e in self.entries]

    def table_rows(self, *columns: Iterable[object]) -> list[list[object]]:
        """Return code, printable name and colour of each class, followed by the values of columns in legend order."""
        return [
            [e.code, printable(e.name), e.color, *v]
            for e, *v in zip(self.entries, *columns, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.entries)

    @cached_property
    def codes(self) -> NDArray[np.int64]:
        """Class codes in index order, shape ``(class,)``."""
        return np.array([entry.code for entry in self.entries], dtype=np.int64)

    @property
    def names(self) -> list[str]:
        """Class names in index order."""
        return [entry.name for entry in self.entries]

    @property
    def colors(self) -> list[str]:
        """Class colours in index order."""
        return [entry.color for entry in self.entries]

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """Class colours in index order as an array of shape ``(class, 3)``."""
        return np.array(
            [[int(e.color[i : i + 2], 16) for i in (1, 3, 5)] for e in self.entries], dtype=np.uint8
        ).reshape(-1, 3)

    def index_of(self, code: int) -> int:
        """Return the class index of one code.

        Raises
        ------
        LegendError
            If the code is not in the legend.
        """
        try:
            return self._index_by_code[int(code)]
        except KeyError:
            raise LegendError(
                f"The class code {code} is not in the legend ({self._known()}). Use one of these codes or "
                "train with points of the new class."
            ) from None

    def encode(self, codes: ArrayLike) -> NDArray[np.int64]:
        """Convert class codes to class indices, int64 of the same shape.

        Raises
        ------
        LegendError
            If a code is not in the legend.
        """
        values = np.asarray(codes, dtype=np.int64)
        order = np.argsort(self.codes, kind="stable")
        position = np.searchsorted(self.codes, values, sorter=order).clip(max=len(self) - 1)
        indices: NDArray[np.int64] = order[position]
        unknown = np.unique(values[self.codes[indices] != values])
        if unknown.size:
            self.index_of(int(unknown[0]))
        return indices

    def decode(self, indices: ArrayLike) -> NDArray[np.int64]:
        """Convert class indices to class codes, int64 of the same shape."""
        return self.codes[np.asarray(indices, dtype=np.int64)]

    def _known(self) -> str:
        return ", ".join(f"{e.code} {e.name}" for e in self.entries)


def _whole(code: float | str) -> int:
    """Return a code of a document as a whole number."""
    if isinstance(code, float) and not code.is_integer():
        raise ValueError(f"the code {code} is no whole number")
    return int(code)


def _code(value: Any) -> int:
    """Return a class code, or raise `LegendError` where it is no whole number."""
    try:
        code = int(value)
        is_whole = isinstance(value, str) or code == value
    except (TypeError, ValueError, OverflowError):
        is_whole = False
    if not is_whole:
        raise LegendError(
            f"The class code {value!r} is no whole number. Expected one of 0 or more."
        )
    return code
