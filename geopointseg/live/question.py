"""The next question of a live session: where a click helps most, and which two classes are in doubt there.

Three kinds of places take turns: places that the map gives to the class with the fewest points, places in doubt, and places unlike all
points. Half of the questions balance the classes. At 25 clicks per class, no kind of place is better than random clicks by more than the
noise of three draws. Errors alone fall behind: they teach the rare and the odd, with the weight of typical ground. The script
``tests/benchmarks/bench_click_strategies.py`` compares strategies.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from geopointseg.errors import PointsError
from geopointseg.live.session import Check, LiveSession
from geopointseg.live.view_pyramid import ViewPixels, place_view
from geopointseg.live.window_features import sample_window
from geopointseg.raster.grid import Bounds

Kind = Literal["doubt", "new", "balance"]

KINDS: tuple[Kind, ...] = ("balance", "doubt", "balance", "new")
DRAWN: dict[Kind, int] = {"balance": 6, "doubt": 30, "new": 30}
"""Number of random candidates of which the best one is asked for."""
SEARCH_PX = 512
"""The searched area is reduced to about this longer side, in pixels."""
NEAREST_PX = 10
"""Smallest distance of a proposed place from a point or an earlier proposal, in pixels of the imagery or the search."""
CANDIDATES = 1500
MOST_ASKED = 500
TRIED = 200
_REASONS = {
    "doubt": "The two classes are nearly equally probable here.",
    "new": "The ground here is unlike all points.",
    "balance": "The map shows the class with the fewest points here.",
}


@dataclass(frozen=True)
class Question:
    """A place to click on.

    Parameters
    ----------
    x, y
        Centre of a pixel, in the CRS of the imagery.
    classes
        The two most probable classes, the most probable first.
    probabilities
        Of these.
    kind
        Why this place.
    """

    x: float
    y: float
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    kind: Kind

    def to_json(self) -> dict[str, Any]:
        """Return the question as in the protocol."""
        return {
            "x": self.x,
            "y": self.y,
            "classes": list(self.classes),
            "probabilities": [round(p, 4) for p in self.probabilities],
            "kind": self.kind,
            "reason": _REASONS[self.kind],
        }


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Pixels of a level that could be asked for.

    Parameters
    ----------
    row, col
        int64 ``(candidate,)``, in pixels of the imagery.
    probabilities
        float32 ``(candidate, class)``.
    """

    row: NDArray[np.int64]
    col: NDArray[np.int64]
    probabilities: NDArray[np.float32]


@dataclass
class Questions:
    """Questions of a session; an unanswered one is not asked again.

    Parameters
    ----------
    session
        The session.
    """

    session: LiveSession
    _asked: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=MOST_ASKED))
    _turn: int = 0

    def ask(self, bounds: Bounds | None = None, check: Check = lambda _: None) -> Question:
        """Return the next question.

        Parameters
        ----------
        bounds
            The searched area; by default the whole imagery.
        check
            Called after each window; may raise.

        Returns
        -------
        Question
            At least 10 pixels from all points and earlier questions.

        Raises
        ------
        PointsError
            If fewer than two classes have points, or no place is left.
        """
        session = self.session
        grid = session.scene.grid
        west, south, east, north = bounds or grid.bounds
        ratio = SEARCH_PX / max(
            (east - west) / grid.resolution[0], (north - south) / grid.resolution[1], 1e-9
        )
        width, height = (
            max(min(round(side / res * min(ratio, 1.0)), SEARCH_PX), 1)
            for side, res in zip((east - west, north - south), grid.resolution, strict=True)
        )
        view = place_view(grid, (west, south, east, north), width, height)
        session.scene.require_unchanged()
        level = min(view.level, session.top_level)
        found = self._candidates(view, level, check)
        kind = KINDS[self._turn % len(KINDS)]
        best = self._best(found, self._usefulness(found, kind, level, check))
        self._turn += 1
        self._asked.append((int(found.row[best]), int(found.col[best])))
        x, y = grid.pixel_to_world(found.row[best] + 0.5, found.col[best] + 0.5)
        order = np.argsort(-found.probabilities[best], kind="stable")[:2]
        names = session.fitted(level).names
        return Question(
            float(x),
            float(y),
            tuple(names[k] for k in order),
            tuple(float(found.probabilities[best][k]) for k in order),
            kind,
        )

    def _best(self, found: _Candidates, usefulness: NDArray[np.float64]) -> int:
        """Return the most useful candidate whose pixel is an image; reduced pixels may have nodata in them."""
        order = np.argsort(-usefulness, kind="stable")[:TRIED]
        for position in order.tolist():
            if usefulness[position] >= 0 and self.session.is_valid(
                int(found.row[position]), int(found.col[position])
            ):
                return int(position)
        raise PointsError(
            "The searched area is mostly nodata. Expected an image there; choose another area."
        )

    def _candidates(self, view: ViewPixels, level: int, check: Check) -> _Candidates:
        region = view.region(level)
        fitted = self.session.fitted(level, check)
        if fitted.head is None:
            raise PointsError(
                f"Points of {len(fitted.names)} classes were clicked. A question needs points of two classes at least; add some."
            )
        if region is None:
            raise PointsError("The searched area lies outside the imagery. Expected bounds on it.")
        probabilities, valid = self.session.probabilities(level, *region, check)
        self._exclude_near(valid, region, level)
        if not valid.any():
            raise PointsError(
                "No place is left to ask for: all are near points or earlier questions. Expected a larger area; add points."
            )
        rows, cols = np.nonzero(valid)
        half = (1 << level) // 2
        row, col = (
            np.minimum(((v + span.start) << level) + half, n - 1)
            for v, span, n in zip((rows, cols), region, self.session.scene.grid.shape, strict=True)
        )
        return _Candidates(row, col, probabilities[:, rows, cols].T)

    def _exclude_near(
        self, valid: NDArray[np.bool_], region: tuple[slice, slice], level: int
    ) -> None:
        """Clear a mask of a region around points and earlier questions."""
        cells = self.session.points.cells()
        reach = max(-(-NEAREST_PX >> level), NEAREST_PX // 2 if level else NEAREST_PX)
        points = zip(cells.row.tolist(), cells.col.tolist(), strict=True)
        for row, col in [*points, *self._asked]:
            r, c = (row >> level) - region[0].start, (col >> level) - region[1].start
            if r + reach > 0 and c + reach > 0:
                valid[max(r - reach + 1, 0) : r + reach, max(c - reach + 1, 0) : c + reach] = False

    def _usefulness(
        self, found: _Candidates, kind: Kind, level: int, check: Check
    ) -> NDArray[np.float64]:
        """Return how useful a click on each candidate is, by the kind of question; most are left out at random.

        The extremes of doubt and novelty are often noise and mixed pixels. The best of a few random candidates is typical of its
        class as well.
        """
        rng = np.random.default_rng(self._turn)
        top = np.sort(found.probabilities, axis=1)[:, -2:]
        useful = 1.0 - (top[:, 1] - top[:, 0]).astype(np.float64)
        among = np.ones(len(useful), dtype=bool)
        if kind == "new":
            useful = self._novelty(found, level, check)
            among = useful > 0
        if kind == "balance":
            among = found.probabilities.argmax(axis=1) == self._scarcest(found, level, check)
        places = np.flatnonzero(among) if among.any() else np.arange(len(useful))
        drawn = rng.permutation(places)[: DRAWN[kind]]
        usefulness = np.full(len(useful), -1.0)
        usefulness[drawn] = useful[drawn]
        return usefulness

    def _scarcest(self, found: _Candidates, level: int, check: Check) -> int:
        """Return the class with the fewest points among those that the map shows."""
        fitted = self.session.fitted(level, check)
        counts = np.bincount(fitted.cells.class_index, minlength=len(fitted.names))
        shown = np.bincount(found.probabilities.argmax(axis=1), minlength=len(fitted.names))
        return int(np.where(shown > 0, counts, counts.max() + 1).argmin())

    def _novelty(self, found: _Candidates, level: int, check: Check) -> NDArray[np.float64]:
        """Return the distance of candidates to the nearest point in feature space; 0 for those that are not sampled."""
        session = self.session
        fitted = session.fitted(level, check)
        step = max(len(found.row) // CANDIDATES, 1)
        some = np.arange(0, len(found.row), step)
        row, col = found.row[some] >> level, found.col[some] >> level
        windows = session.windows(level)
        owner = np.column_stack(windows.owners(row, col))
        values = np.zeros((len(some), session.layout.count), np.float32)
        for i, j in np.unique(owner, axis=0).tolist():
            own = (owner == [i, j]).all(axis=1)
            features = session.features(level, i, j)
            window = windows.window(i, j)
            values[own] = sample_window(
                features, session.layout, row[own] - window.row_off, col[own] - window.col_off
            )
        mean, spread = values.mean(axis=0), values.std(axis=0)
        spread = np.where(spread > 1e-6, spread, np.inf)
        own, known = (values - mean) / spread, (fitted.features - mean) / spread
        squares = (own**2).sum(axis=1)[:, None] + (known**2).sum(axis=1) - 2 * own @ known.T
        novelty = np.zeros(len(found.row))
        novelty[some] = np.sqrt(squares.min(axis=1).clip(0.0))
        return novelty / max(float(novelty.max()), 1e-9)
