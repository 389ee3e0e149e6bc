"""Decision trees as plain arrays, which are stored without pickle and evaluated for many pixels at once.

scikit-learn fits the trees, and their nodes are stored as numbers. So a model folder from an unknown source contains no
code. Small trees are evaluated by `BitTrees`, large ones by scikit-learn. Both give the same probabilities, except for
rounding errors.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geopointseg.errors import ModelError
from geopointseg.model.bit_trees import MOST_TREES, BitTrees, TreeNodes

_BLOCK = 1 << 12
_BIT_BLOCK = 1 << 13
_BIT_NODES = 1 << 12
LARGEST_MEAN_NODES = 256
"""Mean number of nodes per tree up to which `BitTrees` is used."""
SHARE_TOLERANCE = 0.01
"""Largest difference from 1 of the sum of the shares of a leaf, or of the weights of the trees, which are rounded to float32."""
_TYPES = {
    "first": "int64", "left": "int32", "right": "int32", "feature": "int32", "threshold": "float64", "value": "float32",
    "weight": "float32",
}  # fmt: skip
_NAMES = tuple(_TYPES)


@dataclass(frozen=True, eq=False)
class TreeTable:
    """The nodes of many trees, one tree after the other.

    Parameters
    ----------
    first
        Position of each tree's root, and the number of nodes, int64 ``(tree + 1,)``.
    left, right
        Children, counted from the root of the tree; -1 in leaves. int32 ``(node,)``.
    feature
        Feature of the split of a node, int32 ``(node,)``.
    threshold
        Samples go left if their feature is at most this, float64 ``(node,)``.
    value
        Share of each class in a node, float32 ``(node, class)``.
    weight
        Weight of each tree, float32 ``(tree,)``; they sum to one.
    features
        Number of features that the trees expect.
    """

    first: NDArray[np.int64]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    value: NDArray[np.float32]
    weight: NDArray[np.float32]
    features: int

    @classmethod
    def from_forest(cls, forest: Any, classes: int) -> Self:
        """Copy the trees of a fitted scikit-learn forest.

        Parameters
        ----------
        forest
            ``RandomForestClassifier`` or ``ExtraTreesClassifier`` fitted to class indices.
        classes
            Number of classes in the legend; those missing from the sample get probability 0.
        """
        trees = [estimator.tree_ for estimator in forest.estimators_]
        value = np.zeros((sum(t.node_count for t in trees), classes), np.float32)
        shares = np.concatenate([t.value[:, 0] for t in trees])
        columns = np.asarray(forest.classes_, dtype=np.int64)
        value[:, columns] = shares / shares.sum(axis=1, keepdims=True)
        return cls(
            first=np.cumsum([0, *(t.node_count for t in trees)]).astype(np.int64),
            left=np.concatenate([t.children_left for t in trees]).astype(np.int32),
            right=np.concatenate([t.children_right for t in trees]).astype(np.int32),
            feature=np.concatenate([t.feature for t in trees]).astype(np.int32),
            threshold=np.concatenate([t.threshold for t in trees]).astype(np.float64),
            value=value,
            weight=np.full(len(trees), 1 / len(trees), np.float32),
            features=int(forest.n_features_in_),
        )

    @classmethod
    def mixed(cls, tables: Sequence[Self], weights: Sequence[float]) -> Self:
        """Join tables with the given weights; those of weight 0 are left out.

        A table of fewer features uses the first ones.

        Parameters
        ----------
        tables
            Trees with the same classes.
        weights
            Weight of each table.

        Returns
        -------
        TreeTable
            All trees, for the largest number of features.
        """
        kept = [(t, w) for t, w in zip(tables, weights, strict=True) if w > 0]
        total = sum(w for _, w in kept)
        sizes = np.concatenate([np.diff(t.first) for t, _ in kept])
        joined: dict[str, Any] = {
            name: np.concatenate([getattr(t, name) for t, _ in kept])
            for name in ("left", "right", "feature", "threshold", "value")
        }
        return cls(
            first=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            weight=np.concatenate([t.weight * (w / total) for t, w in kept]).astype(np.float32),
            features=max(t.features for t, _ in kept),
            **joined,
        )

    def raised(self, step: float) -> Self:
        """Return the trees with all thresholds higher by a step that is far below the differences of values.

        A threshold is the middle between two values. Where features are few distinct numbers, it may equal a third one, and
        rounding errors would decide on which side that lies.
        """
        return replace(
            self, threshold=np.where(self.left >= 0, self.threshold + step, self.threshold)
        )

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.value.shape[1])

    def probabilities(self, samples: NDArray[np.float32], jobs: int = 0) -> NDArray[np.float32]:
        """Return the weighted mean of the trees' probabilities.

        Parameters
        ----------
        samples
            float32 ``(sample, feature)``.
        jobs
            Threads; 0 uses every core.

        Returns
        -------
        NDArray
            float32 ``(sample, class)``.
        """
        small = len(self.left) <= LARGEST_MEAN_NODES * len(self.weight)
        if small and len(samples) >= _BIT_BLOCK:
            return self._evaluate(samples, jobs or usable_cores())
        return self._walk(samples, jobs or usable_cores())

    def _evaluate(self, samples: NDArray[np.float32], jobs: int) -> NDArray[np.float32]:
        """Evaluate small trees with `BitTrees`."""
        result = np.zeros((self.classes, len(samples)), np.float32)
        groups = self._bit_trees

        def vote(start: int) -> None:
            stop = start + _BIT_BLOCK
            block = np.ascontiguousarray(samples[start:stop].T, dtype=np.float32)
            for group in groups:
                group.vote(block, result[:, start:stop])

        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(vote, range(0, len(samples), _BIT_BLOCK)))
        return result.T

    def _walk(self, samples: NDArray[np.float32], jobs: int) -> NDArray[np.float32]:
        """Evaluate large trees with scikit-learn, which follows each sample from the root to a leaf."""
        result = np.zeros((len(samples), self.classes), np.float32)
        trees = self._trees

        def walk(start: int) -> None:
            block = np.ascontiguousarray(samples[start : start + _BLOCK], dtype=np.float32)
            part = result[start : start + _BLOCK]
            for tree, first, weight in zip(trees, self.first, self.weight, strict=False):
                part += self.value[tree.apply(block) + first] * weight

        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(walk, range(0, len(samples), _BLOCK)))
        return result

    @cached_property
    def _bit_trees(self) -> list[BitTrees]:
        """Groups of trees of equal weight, small enough for the CPU cache."""
        found, start = [], 0
        for stop in range(1, len(self.weight) + 1):
            is_last = stop == len(self.weight)
            if (
                is_last
                or self.weight[stop] != self.weight[start]
                or stop - start == MOST_TREES
                or self.first[stop + 1] - self.first[start] > _BIT_NODES
            ):
                found.append(BitTrees.of(self._nodes(start, stop), self.weight[start]))
                start = stop
        return found

    def _nodes(self, start: int, stop: int) -> TreeNodes:
        """Return the nodes of a range of trees, with children counted over the range."""
        span = slice(int(self.first[start]), int(self.first[stop]))
        sizes = np.diff(self.first[start : stop + 1])
        tree = np.repeat(np.arange(stop - start), sizes)
        root = np.repeat(self.first[start:stop] - self.first[start], sizes)
        left, right = (
            np.where(child[span] < 0, -1, child[span] + root).astype(np.intp)
            for child in (self.left, self.right)
        )
        return TreeNodes(
            left, right, self.feature[span], self.threshold[span], self.value[span], tree
        )

    @cached_property
    def _trees(self) -> list[Any]:
        """The trees as scikit-learn's objects, restored through their pickle state."""
        from sklearn.tree import DecisionTreeClassifier

        sample = np.zeros((2, self.features), np.float32)
        model = DecisionTreeClassifier(max_depth=1).fit(sample, np.array([0, 1]))
        kind, arguments, state = model.tree_.__reduce__()
        trees = []
        for start, stop in zip(self.first[:-1], self.first[1:], strict=True):
            tree = kind(*arguments)
            tree.__setstate__(self._state(state, int(start), int(stop)))
            trees.append(tree)
        return trees

    def _state(self, pattern: Mapping[str, Any], start: int, stop: int) -> dict[str, Any]:
        nodes = np.zeros(stop - start, dtype=pattern["nodes"].dtype)
        nodes["left_child"] = self.left[start:stop]
        nodes["right_child"] = self.right[start:stop]
        nodes["feature"] = self.feature[start:stop]
        nodes["threshold"] = self.threshold[start:stop]
        values = np.zeros((stop - start, *pattern["values"].shape[1:]), pattern["values"].dtype)
        changed = {"max_depth": 64, "node_count": stop - start, "nodes": nodes, "values": values}
        return {**pattern, **changed}

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to store."""
        return {name: getattr(self, name) for name in _NAMES}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], features: int) -> Self:
        """Build a table from the arrays of `to_arrays`.

        Raises
        ------
        ModelError
            If arrays are missing or do not form trees: the evaluation of a damaged file must not read out of bounds.
        """
        missing = [name for name in _NAMES if name not in arrays]
        if missing:
            raise ModelError(
                f"The forest lacks the arrays {', '.join(missing)}. Expected {', '.join(_NAMES)}; "
                "copy the model folder again."
            )
        table = cls(
            **{name: np.ascontiguousarray(arrays[name]) for name in _NAMES}, features=features
        )
        table._require_sound()
        return table

    def _require_sound(self) -> None:
        if not (self._has_types() and self._has_sizes() and self._has_children()):
            raise ModelError(
                "The arrays of the forest do not form trees. Expected children inside their tree and features "
                f"below {self.features}; the file is damaged, copy the model folder again."
            )
        if not (_are_shares(self.value[self.left == -1]) and _are_shares(self.weight[None])):
            raise ModelError(
                "The shares of the classes in the leaves of the forest, or the weights of its trees, are negative or do not sum to 1. "
                "Expected shares; the model folder is damaged, copy it again or train the model again."
            )

    def _has_types(self) -> bool:
        """Whether arrays have their data types and numbers of dimensions."""
        arrays = {name: getattr(self, name) for name in _NAMES}
        return all(
            array.dtype == _TYPES[name] and array.ndim == (2 if name == "value" else 1)
            for name, array in arrays.items()
        )

    def _has_sizes(self) -> bool:
        """Whether there is a tree, and all arrays have one entry per node or tree."""
        nodes, sizes = len(self.left), np.diff(self.first)
        by_node = (self.right, self.feature, self.threshold, self.value)
        return bool(
            len(self.first) > 1
            and (sizes > 0).all()
            and int(self.first[0]) == 0
            and int(self.first[-1]) == nodes
            and len(self.weight) == len(sizes)
            and all(len(array) == nodes for array in by_node)
        )

    def _has_children(self) -> bool:
        """Whether children come after their parent in its tree, features exist, and shares and weights are finite."""
        sizes = np.diff(self.first)
        size = np.repeat(sizes, sizes)
        place = np.arange(len(self.left)) - np.repeat(self.first[:-1], sizes)
        inner = self.left != -1
        children = np.stack([self.left[inner], self.right[inner]])
        return bool(
            (children > place[inner]).all()
            and (children < size[inner]).all()
            and (self.feature[inner] >= 0).all()
            and (self.feature[inner] < self.features).all()
            and np.isfinite(self.value).all()
            and np.isfinite(self.weight).all()
        )


def _are_shares(rows: NDArray[np.float32]) -> bool:
    """Whether numbers are at least 0 and sum to 1 along each row, with a tolerance for rounding errors."""
    totals = rows.sum(axis=1, dtype=np.float64)
    return bool((rows >= 0).all() and (np.abs(totals - 1) <= SHARE_TOLERANCE).all())


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
