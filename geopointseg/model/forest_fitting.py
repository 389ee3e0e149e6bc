"""Fitting of a forest, and tuning of its parameters by spatially blocked cross-validation."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from geopointseg.model.filter_bank import FilterBank
from geopointseg.model.filter_features import FeatureExtractor, Image, Mask
from geopointseg.model.smoothing import GuidedFilter
from geopointseg.model.tree_table import TreeTable

Samples = NDArray[np.float32]

FOLDS = 5
"""Number of spatial folds of the cross-validation."""
TRIAL_TREES = 50
"""Number of trees of the forests in the cross-validation."""
FILTER_SHARES = (0.0, 1.0)
"""Candidates for the share of the trees on filter features. A mixture is no candidate: its probabilities are less certain,
which lowers the log loss without a better map."""
RADII_PX = (0, 1, 2, 4, 8, 16, 32)
"""Candidates for the radius of the smoothing, in pixels."""
SMALLEST_GAIN = 0.015
"""Smallest relative reduction of the held-out loss for a candidate to be chosen instead of the default."""
PREVALENCE_POWER = 0.4
"""Exponent of the ratio of class shares; 1 would be the full correction."""
CELL_PX = 256
"""Side of the cells in which features are computed on a dense grid, in pixels."""
_MOST_CELLS = 28
_CELL_BYTES = 300 * 2**20
_SMALL_AREA_PX = 400_000
_FEW_PIXELS = 2 * FOLDS
_SMALLEST_PROBABILITY = 0.01


class TrainingPixels(NamedTuple):
    """Labelled pixels of one image: rows, columns, class indices and weights, each ``(pixel,)``."""

    row: NDArray[np.int64]
    col: NDArray[np.int64]
    class_index: NDArray[np.int64]
    weight: NDArray[np.float32]


@dataclass(frozen=True)
class TunedParameters:
    """Parameters of a forest that cross-validation chose.

    Parameters
    ----------
    filter_share
        Weight of the trees on filter features; the other trees use single pixels.
    radius_px
        Radius of the smoothing in pixels.
    share_losses, radius_losses
        Class-balanced log loss on held-out pixels, by candidate.
    """

    filter_share: float
    radius_px: int
    share_losses: dict[float, float]
    radius_losses: dict[int, float]

    def to_json(self, prevalence: NDArray[np.float32]) -> dict[str, Any]:
        """Return plain values, including the factor of each class."""
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
class GridCell:
    """The features of a square of pixels, on a grid of every ``step``-th pixel.

    Parameters
    ----------
    image
        Position of the image.
    row, col
        First pixel of the square.
    samples
        float32 ``(row, col, feature)``.
    valid
        bool ``(row, col)``.
    guide
        Guide of the smoothing, float32 ``(row, col)``.
    is_random
        Whether it was drawn from all cells; otherwise it was drawn from the cells with labelled pixels.
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
class ForestFitter:
    """Labelled samples, and cells to evaluate forests on.

    Parameters
    ----------
    extractor
        Computed the samples.
    samples
        float32 ``(pixel, feature)``.
    class_index, weight
        Class index and weight of each labelled pixel, int64 and float64 ``(pixel,)``.
    position
        Image, row and column of each labelled pixel, int64 ``(pixel, 3)``.
    places
        Site, row and column on the ground of each labelled pixel, int64 ``(pixel, 3)``.
    cells
        Cells with features of all their pixels.
    step
        Spacing of the pixels in the cells.
    classes
        Number of classes.
    trees
        Number of trees.
    seed
        Seed of folds, cells and trees.
    """

    extractor: FeatureExtractor
    samples: Samples
    class_index: NDArray[np.int64]
    weight: NDArray[np.float64]
    position: NDArray[np.int64]
    places: NDArray[np.int64]
    cells: tuple[GridCell, ...]
    step: int
    classes: int
    trees: int
    seed: int

    @classmethod
    def of(
        cls,
        images: Sequence[tuple[Image, Mask]],
        labelled: Sequence[TrainingPixels],
        extractor: FeatureExtractor,
        *,
        classes: int,
        trees: int,
        seed: int,
        dense: bool,
        places: NDArray[np.int64] | None = None,
    ) -> Self:
        """Compute the features of labelled pixels and, with ``dense``, of cells around them and elsewhere.

        Parameters
        ----------
        images
            Image float32 ``(band, row, col)`` and bool ``(row, col)``, where it is valid.
        labelled
            Labelled pixels of each image.
        extractor
            Computes the features.
        classes
            Number of classes.
        trees
            Number of trees to fit.
        seed
            Seed of the random numbers.
        dense
            Whether to compute cells, which tuning and class factors need.
        places
            As in `Forest.fit`.

        Returns
        -------
        ForestFitter
            Ready to fit.
        """
        image_of = np.repeat(np.arange(len(labelled)), [len(p.row) for p in labelled])
        row_col = (np.concatenate([getattr(p, name) for p in labelled]) for name in ("row", "col"))
        position = np.column_stack([image_of, *row_col]).astype(np.int64)
        cell_of = position // [1, CELL_PX, CELL_PX]
        step = 1 if sum(v.size for _, v in images) <= _SMALL_AREA_PX else 2
        chosen = _choose_cells(images, position, extractor.count, step, seed) if dense else {}
        samples = np.zeros((len(position), extractor.count), np.float32)
        cells = []
        for image, (pixels, mask) in enumerate(images):
            standardized = extractor.standardize(pixels, mask)
            guide = extractor.guide(standardized)
            for row, col in _corners(mask, image, position, chosen):
                here = [image, row // CELL_PX, col // CELL_PX]
                own = np.flatnonzero((cell_of == here).all(axis=1))
                is_random = chosen.get((image, row, col))
                rows, cols = _extent(mask, row, col, position[own], dense=is_random is not None)
                inner = extractor.window(standardized, mask, rows, cols)
                own_row, own_col = (position[own, 1:] - [rows.start, cols.start]).T
                samples[own] = inner[:, own_row, own_col].T
                if is_random is not None:
                    coarse = slice(rows.start, rows.stop, step), slice(cols.start, cols.stop, step)
                    grid = np.ascontiguousarray(inner[:, ::step, ::step].transpose(1, 2, 0))
                    planes = grid, mask[coarse], guide[coarse]
                    cells.append(GridCell(image, row, col, *planes, is_random))
        return cls(
            extractor=extractor,
            samples=samples,
            class_index=np.concatenate([p.class_index for p in labelled]).astype(np.int64),
            weight=np.concatenate([p.weight for p in labelled]).astype(np.float64),
            position=position,
            places=position if places is None else places,
            cells=tuple(cells),
            step=step,
            classes=classes,
            trees=trees,
            seed=seed,
        )

    def fit_trees(self, features: int, share: float = 1.0) -> tuple[TreeTable, Samples]:
        """Fit a share of the trees to the first features; return them and their out-of-bag probabilities."""
        trees = max(round(self.trees * share), 1)
        model = self._fit(
            self.samples[:, :features], self.class_index, self.weight, trees, out_of_bag=True
        )
        out_of_bag = np.zeros((len(self.samples), self.classes), np.float32)
        out_of_bag[:, model.classes_] = model.oob_decision_function_
        out_of_bag[~np.isfinite(out_of_bag).all(axis=1)] = np.nan
        return TreeTable.from_forest(model, self.classes), out_of_bag

    def fit_mixture(self, filter_share: float) -> tuple[FeatureExtractor, TreeTable, Samples]:
        """Fit trees on single pixels and on filters; return their feature extractor, the trees and out-of-bag probabilities."""
        shares = {self.extractor.bands: 1 - filter_share, self.extractor.count: filter_share}
        fitted = {f: self.fit_trees(f, share) for f, share in shares.items() if share > 0}
        trees = TreeTable.mixed([t for t, _ in fitted.values()], [shares[f] for f in fitted])
        out_of_bag = sum((shares[f] * o for f, (_, o) in fitted.items()), np.float32(0))
        extractor = (
            self.extractor
            if filter_share > 0
            else replace(self.extractor, bank=FilterBank(scales=()))
        )
        return extractor, trees, np.asarray(out_of_bag, np.float32)

    def tune(self) -> TunedParameters:
        """Choose the share of filters and the radius by the class-balanced log loss in a spatial cross-validation.

        The log loss uses the probability of each held-out pixel. So its variance on few points is lower than that of an
        accuracy. With too few pixels or places for a cross-validation, both kinds of trees get equal weights.
        """
        if len(self.samples) < _FEW_PIXELS:
            return TunedParameters(0.5, 0, {}, {})
        folds = self._folds()
        if len(np.unique(folds)) < 2:
            return TunedParameters(0.5, 0, {}, {})
        trials = [self._fit_without(folds == fold) for fold in range(FOLDS)]
        by_share = {s: self._losses(p) for s, p in self._mix_points(folds, trials).items()}
        share = self._choose(by_share, default=0.0, errors=1.0)
        mixed = [TreeTable.mixed(pair, [1 - share, share]) for pair in trials]
        by_radius = {r: self._losses(p) for r, p in self._smooth_cells(folds, mixed).items()}
        return TunedParameters(
            filter_share=share,
            radius_px=int(self._choose(by_radius, default=0, errors=0.5)),
            share_losses={s: self._balanced(losses) for s, losses in by_share.items()},
            radius_losses={r: self._balanced(losses) for r, losses in by_radius.items()},
        )

    def _choose(
        self, losses: Mapping[Any, NDArray[np.float64]], default: float, errors: float
    ) -> float:
        """Return the best candidate, or the default if the gain is small or within some standard errors."""
        if default not in losses:
            return default
        best = min(losses, key=lambda c: self._balanced(losses[c]))
        gain = losses[default] - losses[best]
        enough = max(
            errors * self._balanced_error(gain), SMALLEST_GAIN * self._balanced(losses[default])
        )
        return float(best) if self._balanced(gain) > enough else default

    def prevalence(self, trees: TreeTable) -> NDArray[np.float32]:
        """Return the factor of each class: a partial correction to the class shares of the forest's own map."""
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
        """Assign spatial clusters of labelled pixels to folds."""
        from sklearn.cluster import KMeans

        fold = np.zeros(len(self.places), np.int64)
        generator, first = np.random.default_rng([self.seed, 5]), 0
        for site in np.unique(self.places[:, 0]):
            own = self.places[:, 0] == site
            clusters = min(3 * FOLDS, int(own.sum()))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = KMeans(clusters, n_init=2, random_state=self.seed).fit(self.places[own, 1:])
            fold[own] = ((first + generator.permutation(clusters)) % FOLDS)[model.labels_]
            first += clusters
        return fold

    def _fit_without(self, held: Mask) -> tuple[TreeTable, TreeTable]:
        """Fit trees on single pixels and on filters without the held-out pixels."""
        kept = ~held if (~held).any() else held
        tables = []
        for features in (self.extractor.bands, self.extractor.count):
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
        """Return held-out probabilities of all labelled pixels, by share of the filters."""
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
        self, cell: GridCell, chosen: Mask
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return the chosen labelled pixels in a cell, and their rows and columns on its grid."""
        place = (self.position[:, 1:] - [cell.row, cell.col]) // self.step
        inside = ((place >= 0) & (place < cell.valid.shape)).all(axis=1)
        own = np.flatnonzero(inside & (self.position[:, 0] == cell.image) & chosen)
        row, col = place[own].T
        return own, row, col

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
        """Return the mean over the classes of the mean over their pixels."""
        return float(np.mean([v.mean() for v in self._by_class(values)]))

    def _balanced_error(self, values: NDArray[np.float64]) -> float:
        """Return the standard error of that mean; classes with one pixel are not included."""
        parts = self._by_class(values)
        variance = sum(float(v.var(ddof=1)) / len(v) for v in parts if len(v) > 1)
        return float(np.sqrt(variance)) / len(parts)


def _choose_cells(
    images: Sequence[tuple[Image, Mask]],
    position: NDArray[np.int64],
    features: int,
    step: int,
    seed: int,
) -> dict[tuple[int, int, int], bool]:
    """Choose random cells (True) and cells with labelled pixels (False)."""
    cell_bytes = 4 * features * (CELL_PX // step) ** 2
    most = int(np.clip(_CELL_BYTES // cell_bytes, 4, _MOST_CELLS))
    every = [
        (image, row, col)
        for image, (_, mask) in enumerate(images)
        for row, col in _grid(mask)
        if mask[row : row + CELL_PX, col : col + CELL_PX].any()
    ]
    held = {
        (i, r * CELL_PX, c * CELL_PX) for i, r, c in (position // [1, CELL_PX, CELL_PX]).tolist()
    }
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
    position: NDArray[np.int64],
    chosen: dict[tuple[int, int, int], bool],
) -> Iterator[tuple[int, int]]:
    """Yield the first pixels of the cells of an image that are chosen or contain labelled pixels."""
    held = set(map(tuple, (position[position[:, 0] == image, 1:] // CELL_PX * CELL_PX).tolist()))
    for row, col in _grid(mask):
        if (row, col) in held or (image, row, col) in chosen:
            yield row, col


def _extent(
    mask: Mask, row: int, col: int, own: NDArray[np.int64], *, dense: bool
) -> tuple[slice, slice]:
    """Return the part of a cell to compute: all of it, or the extent of its labelled pixels."""
    if dense:
        return slice(row, min(row + CELL_PX, mask.shape[0])), slice(
            col, min(col + CELL_PX, mask.shape[1])
        )
    (top, left), (bottom, right) = own[:, 1:].min(axis=0), own[:, 1:].max(axis=0) + 1
    return slice(int(top), int(bottom)), slice(int(left), int(right))
