"""The points and classes of a live session.

A model is a function of the points, whatever their order and history. So undo and redo need nothing but the points.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError

from geopointseg.errors import GeopointsegError, LegendError, PointsError
from geopointseg.labels.sparse_mask import find_pixels
from geopointseg.legend import Legend
from geopointseg.live.live_legend import append_class, read_legend, read_name, show_value
from geopointseg.raster.coordinates import transform_coordinates
from geopointseg.raster.grid import Grid, crs_name

MOST_POINTS = 100_000

Identifier = int | str
Problem = dict[str, Any]


@dataclass(frozen=True)
class LivePoint:
    """One point.

    Parameters
    ----------
    identifier
        Number or text.
    x, y
        World coordinates in the CRS of the grid.
    row, col
        Its pixel.
    name
        Its class.
    """

    identifier: Identifier
    x: float
    y: float
    row: int
    col: int
    name: str

    def to_json(self) -> dict[str, Any]:
        """Return the point as in the protocol."""
        return {"point": self.identifier, "x": self.x, "y": self.y, "class": self.name}


@dataclass(frozen=True, eq=False)
class LabelledCells:
    """Labelled pixels in a canonical order: by row, column; classes by name.

    Parameters
    ----------
    row, col
        int64 ``(pixel,)``.
    class_index
        Positions in ``names``, int64 ``(pixel,)``.
    names
        The classes that have pixels, sorted.
    """

    row: NDArray[np.int64]
    col: NDArray[np.int64]
    class_index: NDArray[np.int64]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.row)

    def select(self, chosen: NDArray[np.bool_]) -> LabelledCells:
        """Return the pixels that a mask chooses, with all classes."""
        return replace(
            self, row=self.row[chosen], col=self.col[chosen], class_index=self.class_index[chosen]
        )


@dataclass
class LivePoints:
    """Points by identifier, and the legend.

    Parameters
    ----------
    grid
        Pixels of the imagery.
    is_valid
        Returns whether there is an image at a row and column.
    legend
        The classes.
    version
        Increases with every change.
    """

    grid: Grid
    is_valid: Callable[[int, int], bool]
    legend: Legend = field(default_factory=lambda: Legend(()))
    version: int = 0
    _points: dict[Identifier, LivePoint] = field(default_factory=dict, repr=False)
    _at: dict[tuple[int, int], set[Identifier]] = field(default_factory=dict, repr=False)
    _next: int = 1
    _cells: tuple[int, LabelledCells] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self._points)

    @property
    def points(self) -> list[LivePoint]:
        """All points."""
        return list(self._points.values())

    def add(self, place: Mapping[str, Any]) -> Identifier:
        """Add a point.

        Parameters
        ----------
        place
            ``x``, ``y``, ``class``; optional ``crs`` and ``point``.

        Returns
        -------
        int or str
            The identifier.

        Raises
        ------
        PointsError
            If it lies outside, on nodata, or in a pixel of another class.
        LegendError
            If the class cannot be added to the legend.
        """
        identifier = self._new_identifier(place.get("point"))
        name = read_name(place.get("class"))
        x, y, row, col = self._locate(place)
        point = LivePoint(identifier, x, y, row, col, name)
        self._require_one_class(point)
        self._require_class(name)
        self._store(point)
        return identifier

    def remove(self, identifier: object) -> LivePoint:
        """Remove a point and return it; raise `PointsError` if there is none of this identifier."""
        point = self._find(identifier)
        self._drop(point)
        return point

    def move(self, identifier: object, place: Mapping[str, Any]) -> None:
        """Move a point to ``x`` and ``y`` of a place; raises as `add`."""
        point = self._find(identifier)
        x, y, row, col = self._locate(place)
        self._exchange(point, replace(point, x=x, y=y, row=row, col=col))

    def relabel(self, identifier: object, name: object) -> None:
        """Give a point another class; raises as `add`."""
        point = self._find(identifier)
        self._exchange(point, replace(point, name=read_name(name)))

    def replace_all(self, places: Sequence[object]) -> list[Problem]:
        """Replace all points.

        Parameters
        ----------
        places
            Objects as `add` takes them.

        Returns
        -------
        list of dict
            ``{"point", "error"}`` of each place that is not used.

        Raises
        ------
        PointsError
            If there are too many.
        """
        if len(places) > MOST_POINTS:
            raise PointsError(
                f"{len(places)} points were sent. Expected at most {MOST_POINTS}; use `train` for more."
            )
        before = self._points, self._at
        self._points, self._at = {}, {}
        problems: list[Problem] = []
        try:
            for place in places:
                self._try_place(place, problems)
        except BaseException:
            self._points, self._at = before
            raise
        self.version += 1
        return [*problems, *self.problems()]

    def _try_place(self, place: object, problems: list[Problem]) -> None:
        shown = place.get("point") if isinstance(place, Mapping) else None
        try:
            if not isinstance(place, Mapping):
                raise PointsError("A point is no object. Expected x, y and class.")  # noqa: TRY301 - one way out
            identifier = self._new_identifier(shown)
            x, y, row, col = self._locate(place)
            name = read_name(place.get("class"))
            self._require_class(name)
            self._store(LivePoint(identifier, x, y, row, col, name))
        except (PointsError, LegendError) as error:
            problems.append({"point": shown, "error": str(error)})

    def set_legend(self, rows: Sequence[object]) -> None:
        """Replace the legend.

        Points of a class that is not in the new legend are kept, but not used.

        Parameters
        ----------
        rows
            Objects with ``name``; optional ``was`` (the earlier name), ``color`` and ``code``.

        Raises
        ------
        LegendError
            If a row is malformed, or a name or code occurs twice.
        """
        entries, renamed = read_legend(rows, self.legend)
        self.legend = entries
        if renamed:
            self._points = {
                k: replace(p, name=renamed.get(p.name, p.name)) for k, p in self._points.items()
            }
        self.version += 1

    def problems(self) -> list[Problem]:
        """Return ``{"point", "error"}`` of each point that is not used."""
        known, found = set(self.legend.names), []
        for point in self._points.values():
            others = self._others(point, known)
            if point.name not in known:
                found.append(_problem(point, f"Its class '{point.name}' is not in the legend."))
            elif others:
                names = ", ".join(f"'{name}'" for name in sorted({point.name, *others}))
                found.append(_problem(point, f"Its pixel has points of several classes ({names})."))
        return found

    def cells(self) -> LabelledCells:
        """Return the pixels to learn from: those with points of exactly one class of the legend."""
        if self._cells is None or self._cells[0] != self.version:
            self._cells = self.version, self._list_cells()
        return self._cells[1]

    def _list_cells(self) -> LabelledCells:
        known = set(self.legend.names)
        rows = []
        for pixel, owners in self._at.items():
            found = {self._points[k].name for k in owners} & known
            if len(found) == 1:
                rows.append((*pixel, found.pop()))
        rows.sort()
        names = tuple(sorted({name for _, _, name in rows}))
        position = {name: k for k, name in enumerate(names)}
        table = np.array([(r, c, position[n]) for r, c, n in rows], np.int64).reshape(-1, 3)
        return LabelledCells(table[:, 0], table[:, 1], table[:, 2], names)

    def counts(self) -> dict[str, int]:
        """Return the number of labelled pixels of each class of the legend."""
        cells = self.cells()
        numbers = np.bincount(cells.class_index, minlength=len(cells.names)).tolist()
        return dict.fromkeys(self.legend.names, 0) | dict(zip(cells.names, numbers, strict=True))

    def _others(self, point: LivePoint, known: set[str]) -> set[str]:
        """Return the other classes that have a point in the pixel of a point."""
        there = self._at.get((point.row, point.col), set())
        return ({self._points[k].name for k in there} & known) - {point.name}

    def _find(self, identifier: object) -> LivePoint:
        found = None
        if isinstance(identifier, (int, str)) and not isinstance(identifier, bool):
            found = self._points.get(identifier)
        if found is None:
            raise PointsError(
                f"There is no point {show_value(identifier)}. Expected the identifier of a point of the session."
            )
        return found

    def _new_identifier(self, wanted: object) -> Identifier:
        if wanted is None:
            while self._next in self._points:
                self._next += 1
            self._next += 1  # not used again when the point is removed: a client may still name it
            return self._next - 1
        if isinstance(wanted, bool) or not isinstance(wanted, (int, str)) or len(str(wanted)) > 200:
            raise PointsError(
                f"The identifier {show_value(wanted)} is no number or text. Expected an integer or a text of up to 200 characters."
            )
        if wanted in self._points:
            raise PointsError(
                f"The session has a point {show_value(wanted)} already. Expected a new identifier, or 'move' or 'relabel'."
            )
        return wanted

    def _locate(self, place: Mapping[str, Any]) -> tuple[float, float, int, int]:
        """Return x, y in the CRS of the grid, row and column of a place."""
        x, y = read_number(place, "x"), read_number(place, "y")
        text = place.get("crs")
        if text is not None:
            x, y = _transform(x, y, text, self.grid.crs)
        rows, cols = find_pixels([x], [y], self.grid.crs, self.grid)
        row, col = int(rows[0]), int(cols[0])
        if row < 0:
            west, south, east, north = self.grid.bounds
            raise PointsError(
                f"The point at x {x:g}, y {y:g} lies outside the imagery (x {west:g} to {east:g}, y {south:g} to {north:g}, "
                f"{crs_name(self.grid.crs)}). Expected a point on it{_hint_of_degrees(x, y, text, self.grid)}."
            )
        if not self.is_valid(row, col):
            raise PointsError(
                f"The point at x {x:g}, y {y:g} lies on nodata (row {row}, column {col}). Expected a point where there is an "
                "image."
            )
        return x, y, row, col

    def _require_one_class(self, point: LivePoint) -> None:
        others = sorted(
            (str(k), self._points[k].name)
            for k in self._at.get((point.row, point.col), set())
            if k != point.identifier and self._points[k].name != point.name
        )
        if others:
            raise PointsError(
                f"The pixel at x {point.x:g}, y {point.y:g} has point {others[0][0]} of class '{others[0][1]}' already. "
                f"Expected one class per pixel; remove or relabel that point before adding '{point.name}'."
            )

    def _require_class(self, name: str) -> None:
        if name not in self.legend.names:
            self.legend = append_class(self.legend, name)

    def _exchange(self, old: LivePoint, new: LivePoint) -> None:
        self._require_one_class(new)
        self._require_class(new.name)
        self._drop(old)
        self._store(new)

    def _store(self, point: LivePoint) -> None:
        if len(self._points) >= MOST_POINTS:
            raise PointsError(
                f"The session has {MOST_POINTS} points. Expected no more; use `train` for more."
            )
        self._points[point.identifier] = point
        self._at.setdefault((point.row, point.col), set()).add(point.identifier)
        self.version += 1

    def _drop(self, point: LivePoint) -> None:
        del self._points[point.identifier]
        owners = self._at[point.row, point.col]
        owners.discard(point.identifier)
        if not owners:
            del self._at[point.row, point.col]
        self.version += 1


def weak_classes(counts: Mapping[str, int]) -> list[str]:
    """Return the classes with exactly one labelled pixel.

    Examples
    --------
    >>> weak_classes({"forest": 3, "water": 1, "road": 0})
    ['water']
    """
    return [name for name, count in Counter(counts).items() if count == 1]


def read_number(row: Mapping[str, Any], key: str) -> float:
    """Return a finite number of a message, or raise `PointsError`."""
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not _is_finite(value):
        raise PointsError(f"'{key}' is {show_value(value)}. Expected a finite number.")
    return float(value)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _transform(x: float, y: float, text: object, target: CRS) -> tuple[float, float]:
    if not isinstance(text, str):
        raise PointsError(f"'crs' is {show_value(text)}. Expected a text like 'EPSG:4326' or WKT.")
    try:
        xs, ys = transform_coordinates([x], [y], CRS.from_user_input(text), target)
    except CRSError as error:
        raise PointsError(
            f"The CRS {show_value(text)} is unknown. Expected a text like 'EPSG:4326' or WKT."
        ) from error
    except GeopointsegError as error:
        raise PointsError(str(error)) from error
    return float(xs[0]), float(ys[0])


def _hint_of_degrees(x: float, y: float, text: object, grid: Grid) -> str:
    looks_like_degrees = abs(x) <= 360 and abs(y) <= 90
    if text is None and looks_like_degrees and not grid.crs.is_geographic:
        return '; coordinates in degrees need "crs": "EPSG:4326"'
    return ""


def _problem(point: LivePoint, sentence: str) -> Problem:
    return {
        "point": point.identifier,
        "error": f"{sentence} Expected one class of the legend per pixel; the point is kept, but not used.",
    }
