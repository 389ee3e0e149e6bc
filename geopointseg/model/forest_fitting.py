"""Growing a forest, and letting held-out ground decide how it is used."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from geopointseg.model.filter_bank import FilterBank
from geopointseg.model.filter_features import Image, Mask, View
from geopointseg.model.smoothing import GuidedFilter
from geopointseg.model.tree_table import TreeTable

Samples = NDArray[np.float32]

FOLDS = 5
"""Parts of the ground that are held out in turn."""
TRIAL_TREES = 50
"""Trees of the forests that are tried on held-out ground."""
FILTER_SHARES = (0.0, 1.0)
"""Shares of the trees on filter features that are tried. Halves are not: a mix is less sure of itself, which lowers
the log loss without a better map."""
RADII_PX = (0, 1, 2, 4, 8, 16, 32)
"""Radii of the smoothing that are tried."""
SMALLEST_GAIN = 0.015
"""A candidate must lower the held-out loss by this share of it."""
PREVALENCE_POWER = 0.4
"""Part of the correction for class shares that is made."""
CELL_PX = 256
"""Side of the cells in which ground is looked at densely."""
_MOST_CELLS = 28
_CELL_BYTES = 300 * 2**20
_SMALL_GROUND = 400_000
_FEW_PIXELS = 2 * FOLDS
_SMALLEST_PROBABILITY = 0.01


class LabelledPixels(NamedTuple):
    """Labelled pixels of one image: rows, columns, class indices and weights, each ``(pixel,)``."""

    row: NDArray[np.int64]
    col: NDArray[np.int64]
    class_index: NDArray[np.int64]
    weight: NDArray[np.float32]


@dataclass(frozen=True)
class Decisions:
    """What held-out ground says about the use of a forest.

    Parameters
    ----------
    filter_share
        Say of the trees on filter features; the rest is the single-pixel trees'.
    radius_px
        Radius of the smoothing.
    share_losses, radius_losses
        Class-balanced log loss of every candidate on held-out ground, by candidate.
    """

    filter_share: float
    radius_px: int
    share_losses: dict[float, float]
    radius_losses: dict[int, float]

    def to_json(self, prevalence: NDArray[np.float32]) -> dict[str, Any]:
        """Return plain values, with the factor of each class."""
        return {
            "filter_share": self.filter_share,
            "radius_px": self.radius_px,
            "held_out_loss_by_filter_share": {
                f"{k:g}": round(v, 4) for k, v in self.share_losses.items()
            },
            "held_out_loss_by_radius": {str(k): round(v, 4) for k, v in self.radius_losses.items()},
            "prevalence": [round(float(p), 4) for p in prevalence],
        }


@dataclass(frozen=True, eq=False)
class Cell:
    """A square of ground that is looked at densely, on a grid of every ``step``-th pixel.

    Parameters
    ----------
    image
        Position of the image.
    row, col
        Its first pixel.
    samples
        float32 ``(row, col, feature)``.
    valid
        bool ``(row, col)``.
    guide
        Guide of the smoothing, float32 ``(row, col)``.
    is_random
        Whether it was drawn from all ground, and not because labelled pixels lie in it.
    """

    image: int
    row: int
    col: int
    samples: Samples
    valid: Mask
    guide: NDArray[np.float32]
    is_random: bool

    def probabilities(self, trees: TreeTable) -> Samples:
        """Return float32 ``(class, row, col)``."""
        flat = self.samples.reshape(-1, self.samples.shape[-1])
        return np.ascontiguousarray(trees.probabilities(flat).T).reshape(-1, *self.valid.shape)


@dataclass(frozen=True, eq=False)
class Grower:
    """Labelled samples, and ground to try forests on.

    Parameters
    ----------
    view
        How samples were made.
    samples
        float32 ``(pixel, feature)``.
    class_index, weight
        Of each labelled pixel.
    place
        Image, row and column of each labelled pixel, int64 ``(pixel, 3)``.
    cells
        Ground.
    step
        Spacing of the cells' pixels.
    classes
        Number of classes.
    trees
        Number of trees.
    seed
        Decides folds, cells and trees.
    """

    view: View
    samples: Samples
    class_index: NDArray[np.int64]
    weight: NDArray[np.float64]
    place: NDArray[np.int64]
    cells: tuple[Cell, ...]
    step: int
    classes: int
    trees: int
    seed: int

    @classmethod
    def of(
        cls,
        images: Sequence[tuple[Image, Mask]],
        labelled: Sequence[LabelledPixels],
        view: View,
        *,
        classes: int,
        trees: int,
        seed: int,
        dense: bool,
    ) -> Self:
        """Look at labelled pixels and, where ``dense``, at cells of ground around them and elsewhere."""
        place = np.concatenate(
            [
                np.column_stack([np.full(len(p.row), i), p.row, p.col])
                for i, p in enumerate(labelled)
            ]
        ).astype(np.int64)
        step = 1 if sum(v.size for _, v in images) <= _SMALL_GROUND else 2
        chosen = _choose_cells(images, place, view.count, step, seed) if dense else {}
        samples = np.zeros((len(place), view.count), np.float32)
        cells = []
        for image, (pixels, mask) in enumerate(images):
            seen = view.standardize(pixels, mask)
            guide = view.guide(seen)
            for row, col in _corners(mask, image, place, chosen):
                own = np.flatnonzero(
                    (place // [1, CELL_PX, CELL_PX] == [image, row // CELL_PX, col // CELL_PX]).all(
                        1
                    )
                )
                wanted = chosen.get((image, row, col))
                rows, cols = _extent(mask, row, col, place[own], dense=wanted is not None)
                inner = view.window(seen, mask, rows, cols)
                samples[own] = inner[:, place[own, 1] - rows.start, place[own, 2] - cols.start].T
                if wanted is not None:
                    coarse = slice(rows.start, rows.stop, step), slice(cols.start, cols.stop, step)
                    grid = np.ascontiguousarray(inner[:, ::step, ::step].transpose(1, 2, 0))
                    cells.append(Cell(image, row, col, grid, mask[coarse], guide[coarse], wanted))
        return cls(
            view=view,
            samples=samples,
            class_index=np.concatenate([p.class_index for p in labelled]).astype(np.int64),
            weight=np.concatenate([p.weight for p in labelled]).astype(np.float64),
            place=place,
            cells=tuple(cells),
            step=step,
            classes=classes,
            trees=trees,
            seed=seed,
        )

    def grow(self, features: int, share: float = 1.0) -> tuple[TreeTable, Samples]:
        """Grow a share of the trees on the first features; return them and their out-of-bag probabilities."""
        trees = max(round(self.trees * share), 1)
        model = self._fit(
            self.samples[:, :features], self.class_index, self.weight, trees, out_of_bag=True
        )
        out_of_bag = np.zeros((len(self.samples), self.classes), np.float32)
        out_of_bag[:, model.classes_] = model.oob_decision_function_
        out_of_bag[~np.isfinite(out_of_bag).all(axis=1)] = np.nan
        return TreeTable.from_forest(model, self.classes), out_of_bag

    def grow_mixed(self, filter_share: float) -> tuple[View, TreeTable, Samples]:
        """Grow trees on single pixels and on filters, with the given weight of filters; return the view that they need, too."""
        shares = {self.view.bands: 1 - filter_share, self.view.count: filter_share}
        grown = {f: self.grow(f, share) for f, share in shares.items() if share > 0}
        trees = TreeTable.mixed([t for t, _ in grown.values()], [shares[f] for f in grown])
        out_of_bag = sum((shares[f] * o for f, (_, o) in grown.items()), np.float32(0))
        view = self.view if filter_share > 0 else replace(self.view, bank=FilterBank(scales=()))
        return view, trees, np.asarray(out_of_bag, np.float32)

    def decide(self) -> Decisions:
        """Try mixes and radii on held-out ground; the class-balanced log loss decides.

        The log loss uses each held-out pixel's probability and is steadier on few points than scores that count
        right and wrong. Where there are too few pixels to hold any out, both kinds of trees get equal weights.
        """
        if len(self.samples) < _FEW_PIXELS:
            return Decisions(0.5, 0, {}, {})
        folds = self._folds()
        trials = [self._try(folds == fold) for fold in range(FOLDS)]
        by_share = {s: self._losses(p) for s, p in self._mix_points(folds, trials).items()}
        share = self._choose(by_share, default=0.0, errors=1.0)
        mixed = [TreeTable.mixed(pair, [1 - share, share]) for pair in trials]
        by_radius = {r: self._losses(p) for r, p in self._smooth_cells(folds, mixed).items()}
        return Decisions(
            filter_share=share,
            radius_px=int(self._choose(by_radius, default=0, errors=0.5)),
            share_losses={s: self._balanced(losses) for s, losses in by_share.items()},
            radius_losses={r: self._balanced(losses) for r, losses in by_radius.items()},
        )

    def _choose(
        self, losses: Mapping[Any, NDArray[np.float64]], default: float, errors: float
    ) -> float:
        """Return the best candidate, or the default where the gain is within some standard errors or small."""
        if default not in losses:
            return default
        best = min(losses, key=lambda c: self._balanced(losses[c]))
        gain = losses[default] - losses[best]
        enough = max(
            errors * self._balanced_error(gain), SMALLEST_GAIN * self._balanced(losses[default])
        )
        return float(best) if self._balanced(gain) > enough else default

    def prevalence(self, trees: TreeTable) -> NDArray[np.float32]:
        """Return the factor that makes classes as common as the forest's own map of the ground says."""
        total = np.full(self.classes, 1e-9)
        for cell in self.cells:
            if cell.is_random:
                total += cell.probabilities(trees)[:, cell.valid].sum(axis=1, dtype=np.float64)
        sampled = np.bincount(self.class_index, self.weight, minlength=self.classes)
        present = sampled > 0
        if total.sum() < 1 or not present.any():
            return np.ones(self.classes, np.float32)
        factor = np.ones(self.classes)
        share = total[present] / total[present].sum()
        factor[present] = (share / (sampled[present] / sampled.sum())) ** PREVALENCE_POWER
        return (factor / factor[present].max()).astype(np.float32)

    def _fit(
        self,
        samples: Samples,
        class_index: NDArray[np.int64],
        weight: NDArray[np.float64],
        trees: int,
        *,
        out_of_bag: bool = False,
    ) -> Any:
        from sklearn.ensemble import RandomForestClassifier

        model = RandomForestClassifier(
            trees, n_jobs=-1, random_state=self.seed, oob_score=out_of_bag
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return model.fit(samples, class_index, weight)

    def _folds(self) -> NDArray[np.int64]:
        """Deal clusters of ground to folds."""
        from sklearn.cluster import KMeans

        fold = np.zeros(len(self.place), np.int64)
        generator = np.random.default_rng([self.seed, 5])
        for image in np.unique(self.place[:, 0]):
            own = self.place[:, 0] == image
            clusters = min(3 * FOLDS, int(own.sum()))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = KMeans(clusters, n_init=2, random_state=self.seed).fit(self.place[own, 1:])
            fold[own] = (generator.permutation(clusters) % FOLDS)[model.labels_]
        return fold

    def _try(self, held: Mask) -> tuple[TreeTable, TreeTable]:
        """Grow trees on single pixels and on filters without the held-out pixels."""
        kept = ~held if (~held).any() else held
        tables = []
        for features in (self.view.bands, self.view.count):
            model = self._fit(
                self.samples[kept, :features],
                self.class_index[kept],
                self.weight[kept],
                TRIAL_TREES,
            )
            tables.append(TreeTable.from_forest(model, self.classes))
        return tables[0], tables[1]

    def _mix_points(
        self, folds: NDArray[np.int64], trials: Sequence[tuple[TreeTable, TreeTable]]
    ) -> dict[float, Samples]:
        """Return held-out probabilities of every labelled pixel, by share of the filters."""
        both = np.zeros((2, len(self.samples), self.classes), np.float32)
        for fold, tables in enumerate(trials):
            held = folds == fold
            for kind, table in enumerate(tables):
                both[kind, held] = table.probabilities(self.samples[held, : table.features])
        return {share: (1 - share) * both[0] + share * both[1] for share in FILTER_SHARES}

    def _smooth_cells(
        self, folds: NDArray[np.int64], trees: Sequence[TreeTable]
    ) -> dict[int, Samples]:
        """Return held-out probabilities by radius; NaN for labelled pixels outside the cells."""
        held = {
            radius: np.full((len(self.samples), self.classes), np.nan, np.float32)
            for radius in RADII_PX
        }
        radii = [r for r in RADII_PX if r % self.step == 0]
        for fold, table in enumerate(trees):
            for cell in self.cells:
                own, row, col = self._inside(cell, folds == fold)
                if not len(own):
                    continue
                rough = cell.probabilities(table)
                for radius in radii:
                    smooth = GuidedFilter(cell.guide, cell.valid, radius // self.step).apply(rough)
                    held[radius][own] = smooth[:, row, col].T
        return {r: held[r] for r in radii if np.isfinite(held[r]).any()}

    def _inside(
        self, cell: Cell, chosen: Mask
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return which chosen labelled pixels lie in a cell, and where on its grid."""
        row, col = (
            (self.place[:, 1] - cell.row) // self.step,
            (self.place[:, 2] - cell.col) // self.step,
        )
        height, width = cell.valid.shape
        inside = (
            (self.place[:, 0] == cell.image)
            & (row >= 0)
            & (col >= 0)
            & (row < height)
            & (col < width)
        )
        own = np.flatnonzero(inside & chosen)
        return own, row[own], col[own]

    def _losses(self, probabilities: Samples) -> NDArray[np.float64]:
        """Return the log loss of each labelled pixel, NaN where it has no probabilities."""
        right = probabilities[np.arange(len(probabilities)), self.class_index].astype(np.float64)
        right /= np.maximum(probabilities.sum(axis=1), 1e-9)
        return np.asarray(-np.log(np.maximum(right, _SMALLEST_PROBABILITY)))

    def _by_class(self, values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        known = np.isfinite(values)
        classes = np.unique(self.class_index[known])
        return [values[known & (self.class_index == c)] for c in classes]

    def _balanced(self, values: NDArray[np.float64]) -> float:
        """Return the mean over classes of the mean over their pixels."""
        return float(np.mean([v.mean() for v in self._by_class(values)]))

    def _balanced_error(self, values: NDArray[np.float64]) -> float:
        """Return the standard error of that mean; pixels that are alone in their class do not count."""
        parts = self._by_class(values)
        variance = sum(float(v.var(ddof=1)) / len(v) for v in parts if len(v) > 1)
        return float(np.sqrt(variance)) / len(parts)


def _choose_cells(
    images: Sequence[tuple[Image, Mask]],
    place: NDArray[np.int64],
    features: int,
    step: int,
    seed: int,
) -> dict[tuple[int, int, int], bool]:
    """Choose cells at random, and cells that hold labelled pixels; True marks the former."""
    cell_bytes = 4 * features * (CELL_PX // step) ** 2
    most = int(np.clip(_CELL_BYTES // cell_bytes, 4, _MOST_CELLS))
    every = [
        (image, row, col)
        for image, (_, mask) in enumerate(images)
        for row, col in _grid(mask)
        if mask[row : row + CELL_PX, col : col + CELL_PX].any()
    ]
    held = {(i, r * CELL_PX, c * CELL_PX) for i, r, c in (place // [1, CELL_PX, CELL_PX]).tolist()}
    generator = np.random.default_rng([seed, 7])
    order = [every[i] for i in generator.permutation(len(every))]
    chosen = dict.fromkeys([cell for cell in order if cell in held][:most], False)
    return chosen | dict.fromkeys(order[:most], True)


def _grid(mask: Mask) -> Iterator[tuple[int, int]]:
    for row in range(0, mask.shape[0], CELL_PX):
        for col in range(0, mask.shape[1], CELL_PX):
            yield row, col


def _corners(
    mask: Mask,
    image: int,
    place: NDArray[np.int64],
    chosen: dict[tuple[int, int, int], bool],
) -> Iterator[tuple[int, int]]:
    """Yield the cells of an image that must be looked at."""
    held = set(map(tuple, (place[place[:, 0] == image, 1:] // CELL_PX * CELL_PX).tolist()))
    for row, col in _grid(mask):
        if (row, col) in held or (image, row, col) in chosen:
            yield row, col


def _extent(
    mask: Mask, row: int, col: int, own: NDArray[np.int64], *, dense: bool
) -> tuple[slice, slice]:
    """Return the part of a cell that must be looked at: all of it, or what its labelled pixels span."""
    if dense:
        return slice(row, min(row + CELL_PX, mask.shape[0])), slice(
            col, min(col + CELL_PX, mask.shape[1])
        )
    (top, left), (bottom, right) = own[:, 1:].min(axis=0), own[:, 1:].max(axis=0) + 1
    return slice(int(top), int(bottom)), slice(int(left), int(right))
