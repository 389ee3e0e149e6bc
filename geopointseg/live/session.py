"""A live session: imagery, classes, points, and pictures of the map they make.

Pictures are computed on demand from cached features. A head is a function of the points, so a change of the points costs one fit
and one repaint. A view at the resolution of the imagery is computed from the windows of `predict` and equals its map. A view that is
zoomed out is computed from reduced imagery, with a head fitted at that pyramid level, which agrees with the map on more pixels than
the head of full resolution does on reduced imagery.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.live.feature_cache import FeatureCache
from geopointseg.live.live_fit import (
    FeatureSets,
    HeldOutAccuracy,
    choose_features,
    estimate_held_out,
    fit_cells,
)
from geopointseg.live.live_points import LabelledCells, LivePoints, weak_classes
from geopointseg.live.live_scene import LiveScene
from geopointseg.live.memory import (
    LEAST_CACHE,
    MEMORY_BYTES,
    resident_bytes,
)
from geopointseg.live.view_pyramid import LevelWindows, ViewPixels, place_view
from geopointseg.live.window_features import (
    FeatureLayout,
    Head,
    WindowFeatures,
    compute_window,
    measure_window,
    sample_window,
)
from geopointseg.live.window_piece import paint_piece, place_piece
from geopointseg.model.allocator import return_freed_memory
from geopointseg.model.backbone import DEPTH
from geopointseg.model.tree_table import usable_cores
from geopointseg.raster.grid import Bounds

UNKNOWN = 255
"""Value of pixels of a picture where nothing is known."""
QUICK_WINDOWS = 3
"""Up to this number of windows to compute, no coarse picture is made first."""
COARSER = 2
"""A coarse picture is this number of pyramid levels above the final one."""
SMALLEST_LEVEL_PX = 256
"""The imagery is not reduced below this longer side, in pixels."""
MOST_VALUES = 2**23
"""Largest number of probabilities that are held at once while a picture is painted."""
WORKERS = min(usable_cores(), 4)
"""Threads that compute features and paint, each one window at a time."""
KEPT_ROWS = 1_000
"""Number of feature rows from which on those of points that were removed are dropped, at each level."""
KEPT_PLACES = 20_000
"""Number of pixels of which it is kept whether there is an image."""

Check = Callable[[float], object]
"""Called with the completed share of the work; may raise to stop it."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A view of the map.

    Parameters
    ----------
    classes
        uint8 ``(row, col)``: positions in ``legend``; 255 where nothing is known.
    confidence
        Probability of the class in percent, uint8 ``(row, col)``; 255 where nothing is known.
    legend
        Names of the classes.
    final
        Whether no sharper picture of the view follows.
    level
        Pyramid level from which it was computed.
    """

    classes: NDArray[np.uint8]
    confidence: NDArray[np.uint8]
    legend: tuple[str, ...]
    final: bool
    level: int


@dataclass(frozen=True, eq=False)
class FittedLevel:
    """The head of a pyramid level.

    Parameters
    ----------
    head
        One row per class of ``names``; None if fewer than two classes have points.
    names
        Classes that have points, sorted.
    factors
        Factor of each standardized feature, float32 ``(feature,)``; 0 where the head does not use it.
    features
        Of the labelled pixels, float32 ``(pixel, feature)``.
    cells
        The labelled pixels that are valid at the level.
    """

    head: Head | None
    names: tuple[str, ...]
    factors: NDArray[np.float32]
    features: NDArray[np.float32]
    cells: LabelledCells


@dataclass
class LiveSession:
    """Imagery, points and cached features.

    Parameters
    ----------
    scene
        The imagery.
    memory_bytes
        Limit of the features in memory.
    folder
        Where features are kept that memory does not hold; None for nowhere.
    """

    scene: LiveScene
    memory_bytes: int = 256 * 2**20
    folder: Path | None = None
    points: LivePoints = field(init=False)
    _cache: FeatureCache = field(init=False, repr=False)
    _levels: dict[int, LevelWindows] = field(default_factory=dict, repr=False)
    _rows: dict[int, dict[tuple[int, int], NDArray[np.float32] | None]] = field(
        default_factory=dict, repr=False
    )
    _moments: dict[int, dict[tuple[int, int], NDArray[np.float64]]] = field(
        default_factory=dict, repr=False
    )
    _fitted: dict[int, tuple[int, FittedLevel]] = field(default_factory=dict, repr=False)
    _validity: dict[tuple[int, int], bool] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self._pool = ThreadPoolExecutor(WORKERS, "live", initializer=_work_alone)
        self.points = LivePoints(self.scene.grid, self.is_valid)
        self._cache = FeatureCache(self.memory_bytes, self.folder)
        self.layout = FeatureLayout.of(self.scene)
        self.sets = FeatureSets.of(self.layout, DEPTH if self.scene.has_eyes else 0)

    @property
    def cache(self) -> FeatureCache:
        """The features that were computed."""
        return self._cache

    def close(self) -> None:
        """Release threads, memory and temporary files."""
        self._pool.shutdown(cancel_futures=True)
        self._cache.close()

    def is_valid(self, row: int, col: int) -> bool:
        """Return whether there is an image at a pixel; raise `InputFileError` if a file was removed or changed."""
        known = self._validity.get((row, col))
        if known is None:
            self.scene.require_unchanged()
            known = bool(self.scene.mosaic.read(Window(col, row, 1, 1)).valid[0, 0])
            if len(self._validity) >= KEPT_PLACES:
                self._validity.clear()
            self._validity[row, col] = known
        return known

    def describe(self) -> dict[str, Any]:
        """Return legend, points and counts as in the protocol."""
        counts = self.points.counts()
        return {
            "legend": self.points.legend.to_json(),
            "points": [point.to_json() for point in self.points.points],
            "problems": self.points.problems(),
            "counts": counts,
            "weak": weak_classes(counts),
        }

    def view(
        self,
        bounds: Bounds,
        width: int,
        height: int,
        *,
        coarse: bool = True,
        check: Check = lambda _: None,
    ) -> Iterator[Picture]:
        """Yield pictures of a view: a coarse one, if the final one takes long, and the final one.

        Parameters
        ----------
        bounds
            ``(xmin, ymin, xmax, ymax)`` in the CRS of the grid.
        width, height
            Pixels of the pictures.
        coarse
            Whether a coarse picture may come first.
        check
            Called after each window with the completed share; may raise.

        Yields
        ------
        Picture
            The last one is final.

        Raises
        ------
        InputFileError
            If a file of the imagery was removed or changed.
        RasterError
            If the view is empty or too large.
        """
        view = place_view(self.scene.grid, bounds, width, height)
        self.scene.require_unchanged()
        level = min(view.level, self.top_level)
        first = self._coarse_level(view, level) if coarse else None
        if first is not None:
            yield self._picture(view, first, check, final=False)
        yield self._picture(view, level, check, final=True)

    @property
    def top_level(self) -> int:
        """Pyramid level of the smallest imagery that is used."""
        longest = max(self.scene.grid.shape)
        return max((longest // SMALLEST_LEVEL_PX).bit_length() - 1, 0)

    def fitted(self, level: int, check: Check = lambda _: None) -> FittedLevel:
        """Return the head of a pyramid level for the points as they are.

        Parameters
        ----------
        level
            Pyramid level.
        check
            Called after each window that is computed; may raise.

        Returns
        -------
        FittedLevel
            Cached until the points change.
        """
        version, found = self._fitted.get(level, (-1, None))
        if found is None or version != self.points.version:
            found = self._fit(level, check)
            self._fitted = {
                k: v for k, v in self._fitted.items() if v[0] == self.points.version
            } | {level: (self.points.version, found)}
        return found

    def accuracy(self, check: Check = lambda _: None) -> Iterator[HeldOutAccuracy | None]:
        """Yield None after each step, and the accuracy on ground held out at the end; see `estimate_held_out`."""
        fitted = self.fitted(0, check)
        yield None
        yield from estimate_held_out(fitted.features, fitted.cells, fitted.factors)

    def windows(self, level: int) -> LevelWindows:
        """Return the windows of a pyramid level."""
        if level not in self._levels:
            stride = self.scene.body.output_stride
            self._levels[level] = LevelWindows.of(self.scene.shape(level), stride)
        return self._levels[level]

    def features(self, level: int, row: int, col: int) -> WindowFeatures:
        """Return the features of a window, from the cache or computed.

        Parameters
        ----------
        level
            Pyramid level.
        row, col
            Position of the window in its level.

        Returns
        -------
        WindowFeatures
            The window is now the most recently used one.
        """
        return next(self._features_of(level, [(row, col)], lambda _: None))

    def probabilities(
        self, level: int, rows: slice, cols: slice, check: Check = lambda _: None
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return probabilities of a region of a level, blended as in `predict`.

        Parameters
        ----------
        level
            Pyramid level.
        rows, cols
            The region, inside the level.
        check
            Called after each window; may raise.

        Returns
        -------
        probabilities
            float32 ``(class, row, col)`` for the classes of ``fitted(level).names``.
        valid
            bool ``(row, col)``.
        """
        head = self.fitted(level, check).head
        shape = rows.stop - rows.start, cols.stop - cols.start
        classes = 0 if head is None else len(head.bias)
        total = torch.zeros((classes, *shape))
        valid = np.zeros(shape, dtype=bool)
        if head is None:
            return total.numpy(), valid
        windows = self.windows(level)
        touching = windows.touching(rows, cols)
        pieces = [place_piece(windows, position, (rows, cols)) for position in touching]
        found = self._features_of(level, touching, check)
        paint = partial(paint_piece, self.layout, head)
        for piece, part in zip(pieces, self._pool.map(paint, found, pieces), strict=True):
            if part is not None:
                total[:, *piece.outside] += part[0]
                valid[piece.outside] |= part[1]
        return total.numpy(), valid

    def _features_of(
        self, level: int, positions: Sequence[tuple[int, int]], check: Check
    ) -> Iterator[WindowFeatures]:
        """Yield the features of windows; missing ones are computed in parallel, a few ahead of the one that is used."""
        ahead: deque[Future[WindowFeatures] | None] = deque()
        for number, (i, j) in enumerate(positions):
            while len(ahead) < min(WORKERS, len(positions) - number):
                position = positions[number + len(ahead)]
                known = (level, *position) in self._cache
                window = self.windows(level).window(*position)
                ahead.append(
                    None if known else self._pool.submit(compute_window, self.scene, level, window)
                )
            future = ahead.popleft()
            window = self.windows(level).window(i, j)
            compute = (
                future.result if future else partial(compute_window, self.scene, level, window)
            )
            yield self._cache.get((level, i, j), compute)
            self._limit_memory()
            check((number + 1) / len(positions))

    def _limit_memory(self) -> None:
        """Drop features from memory if the process is too large."""
        excess = resident_bytes() - MEMORY_BYTES
        if excess > 0:
            self._cache.shrink(max(self._cache.nbytes - 2 * excess, LEAST_CACHE))
            return_freed_memory()

    def _picture(self, view: ViewPixels, level: int, check: Check, *, final: bool) -> Picture:
        """Paint a view from a pyramid level, strip by strip."""
        legend = tuple(self.points.legend.names)
        region = view.region(level)
        fitted = None if region is None else self.fitted(level, check)
        if region is None or fitted is None or fitted.head is None:
            unknown = np.full(view.inside.shape, UNKNOWN, np.uint8)
            return Picture(unknown, unknown.copy(), legend, final, level)
        positions = np.array([legend.index(name) for name in fitted.names], np.uint8)
        rows, cols = region
        classes = np.full((rows.stop - rows.start, cols.stop - cols.start), UNKNOWN, np.uint8)
        confidence = classes.copy()
        step = max(MOST_VALUES // (len(positions) * classes.shape[1]), 64)
        for top in range(rows.start, rows.stop, step):
            strip = slice(top, min(top + step, rows.stop))
            own = slice(top - rows.start, strip.stop - rows.start)
            share = partial(_share, check, own.start, own.stop, len(classes))
            found, valid = self.probabilities(level, strip, cols, share)
            best, index = torch.from_numpy(found).max(dim=0)
            percent = (best * 100).round().to(torch.uint8).numpy()
            np.copyto(classes[own], positions[index.numpy()], where=valid)
            np.copyto(confidence[own], percent, where=valid)
        return Picture(
            view.sample(classes, region, level),
            view.sample(confidence, region, level),
            legend,
            final,
            level,
        )

    def _coarse_level(self, view: ViewPixels, level: int) -> int | None:
        """Return the level of a first picture; None where it would save little."""
        if len(self.points.cells().names) < 2:
            return None
        cost = self._cost(view, level)
        coarse = min(level + COARSER, self.top_level)
        if cost <= QUICK_WINDOWS or coarse == level:
            return None
        while coarse < self.top_level and self._cost(view, coarse) > QUICK_WINDOWS + 1:
            coarse += 1
        return coarse if 2 * self._cost(view, coarse) <= cost else None

    def _cost(self, view: ViewPixels, level: int) -> int:
        """Return the number of windows to compute for a view at a level: those it shows, and those of new points."""
        region = view.region(level)
        if region is None:
            return 0
        needed = set(self.windows(level).touching(*region))
        known = self._rows.get(level, {})
        cells = self.points.cells()
        new = [
            p for p in zip(cells.row.tolist(), cells.col.tolist(), strict=True) if p not in known
        ]
        if new:
            row, col = (np.array(v, np.int64) >> level for v in zip(*new, strict=True))
            owners = self.windows(level).owners(row, col)
            needed |= set(zip(*(o.tolist() for o in owners), strict=True))
        return sum((level, *window) not in self._cache for window in needed)

    def _fit(self, level: int, check: Check) -> FittedLevel:
        cells = self.points.cells()
        rows = self._feature_rows(level, cells, check)
        kept = np.array([row is not None for row in rows], dtype=bool)
        features = np.array([row for row in rows if row is not None], np.float32).reshape(
            -1, self.layout.count
        )
        cells = cells.select(kept)
        names = cells.names
        if len(np.unique(cells.class_index)) < 2:
            return FittedLevel(None, names, self.sets.everything, features, cells)
        sets = self.sets.scaled(features, self._ground_of(level, cells))
        factors = choose_features(sets, features, cells)
        return FittedLevel(fit_cells(features, cells, factors), names, factors, features, cells)

    def _ground_of(self, level: int, cells: LabelledCells) -> NDArray[np.float64]:
        """Return the moments of the features in the windows of labelled pixels; see `measure_window`."""
        owner = self.windows(level).owners(cells.row >> level, cells.col >> level)
        places = np.unique(np.column_stack(owner), axis=0).tolist()
        return np.sum([self._moments[level][i, j] for i, j in places], axis=0)

    def _feature_rows(
        self, level: int, cells: LabelledCells, check: Check
    ) -> list[NDArray[np.float32] | None]:
        """Return the features of labelled pixels at a level; None where the level has no image."""
        kept = self._rows.setdefault(level, {})
        pixels = list(zip(cells.row.tolist(), cells.col.tolist(), strict=True))
        new = [pixel for pixel in pixels if pixel not in kept]
        if len(kept) + len(new) > max(KEPT_ROWS, 2 * len(pixels)):
            self._forget_removed(level, pixels)
        if new:
            self._sample_pixels(level, new, kept, check)
        return [kept[pixel] for pixel in pixels]

    def _forget_removed(self, level: int, pixels: Sequence[tuple[int, int]]) -> None:
        """Drop the features of pixels that are no longer labelled, and the moments of windows without a labelled pixel."""
        kept, moments = self._rows[level], self._moments.get(level, {})
        for pixel in kept.keys() - {*pixels}:
            del kept[pixel]
        if not pixels:
            moments.clear()
            return
        row, col = (np.array(values, np.int64) >> level for values in zip(*pixels, strict=True))
        owner = np.column_stack(self.windows(level).owners(row, col))
        for place in moments.keys() - {(int(i), int(j)) for i, j in owner}:
            del moments[place]

    def _sample_pixels(
        self,
        level: int,
        pixels: list[tuple[int, int]],
        kept: dict[tuple[int, int], NDArray[np.float32] | None],
        check: Check,
    ) -> None:
        row, col = (np.array(values, np.int64) >> level for values in zip(*pixels, strict=True))
        owner = np.column_stack(self.windows(level).owners(row, col))
        places, of = np.unique(owner, axis=0, return_inverse=True)
        positions = [(int(i), int(j)) for i, j in places]
        for number, features in enumerate(self._features_of(level, positions, check)):
            own = np.flatnonzero(of.reshape(-1) == number)
            moments = self._moments.setdefault(level, {})
            if positions[number] not in moments:
                moments[positions[number]] = measure_window(features, self.layout)
            window = self.windows(level).window(*positions[number])
            r, c = row[own] - window.row_off, col[own] - window.col_off
            valid = features.valid[r, c]
            found = np.zeros((len(own), self.layout.count), np.float32)
            if valid.any():
                found[valid] = sample_window(features, self.layout, r[valid], c[valid])
            for position, values, is_valid in zip(own.tolist(), found, valid, strict=True):
                kept[pixels[position]] = values.copy() if is_valid else None


def _work_alone() -> None:
    """Let a thread compute with one core: windows are computed in parallel."""
    torch.set_num_threads(1)


def _share(check: Check, first: int, last: int, length: int, share: float) -> None:
    check((first + share * (last - first)) / length)
