"""Many small decision trees evaluated for many pixels at once, a bit a pixel.

Walking a tree means a branch a node that a processor cannot foresee, pixel after pixel. Here nothing branches. Each
question that any node asks (is this feature larger than that threshold?) is answered for a whole block of pixels and
packed into bits; going down level by level, a node's pixels are those of its parent *and* a yes, or a no: one
instruction for 512 pixels. In the end the pixels of all leaves of a class are joined and trees are counted. All nodes
are visited and not just those on a pixel's path, which pays while trees are small, as those grown from clicked
points are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

MOST_TREES = 255
"""Trees are counted in bytes."""

Rows = NDArray[np.intp]
Bits = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Nodes:
    """The nodes of some trees, children behind their parents and counted over all trees; -1 where there are none."""

    left: Rows
    right: Rows
    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    value: NDArray[np.float32]
    tree: Rows


@dataclass(frozen=True, eq=False)
class Questions:
    """What nodes ask, each once: the thresholds of one feature after the other.

    Parameters
    ----------
    features
        Features that are asked for.
    limits
        For each of them its thresholds, float32 ``(threshold, 1)``.
    """

    features: tuple[int, ...]
    limits: tuple[NDArray[np.float32], ...]

    def answer(self, samples: NDArray[np.float32]) -> Bits:
        """Return which values are larger, ``(question, pixel / 8)``; samples are ``(feature, pixel)``."""
        none = np.empty((0, -(-samples.shape[1] // 8)), np.uint8)
        packed = (
            np.packbits(samples[feature] > limits, axis=1)
            for feature, limits in zip(self.features, self.limits, strict=True)
        )
        return np.concatenate([none, *packed])


@dataclass(frozen=True, eq=False)
class Level:
    """One step down: where the inner nodes of a level lie, and what they ask.

    Parameters
    ----------
    nodes
        Rows of inner nodes among all that were reached so far.
    questions
        Rows of what they ask.
    """

    nodes: Rows
    questions: Rows


@dataclass(frozen=True, eq=False)
class Thicket:
    """Trees of equal weight, made ready for blocks of pixels.

    Parameters
    ----------
    trees
        How many.
    weight
        Say of each tree.
    questions
        What the nodes ask.
    levels
        From the roots down.
    joins
        Rows of leaves that are joined: the first leaf of each tree and answer, then the second of those that have one,
        and so on.
    answers
        For each join, the class; numbers from the number of classes on are rows of ``mixed``.
    mixed
        Shares of the classes in leaves of more than one class, float32 ``(answer, class)``.
    """

    trees: int
    weight: np.float32
    questions: Questions
    levels: tuple[Level, ...]
    joins: tuple[Rows, ...]
    answers: Rows
    mixed: NDArray[np.float32]

    @classmethod
    def of(cls, nodes: Nodes, weight: np.float32) -> Self:
        """Make trees ready."""
        questions, asked = _collect_questions(nodes)
        levels, leaves = _lay_levels(nodes, asked)
        codes, mixed = _leaf_codes(nodes, leaves)
        joins, answers = _lay_joins(nodes.tree[leaves], codes)
        count = int(nodes.tree[-1] - nodes.tree[0] + 1)
        return cls(count, weight, questions, levels, joins, answers, mixed)

    def vote(self, samples: NDArray[np.float32], result: NDArray[np.float32]) -> None:
        """Add the weighted votes of a block of pixels.

        Parameters
        ----------
        samples
            float32 ``(feature, pixel)``, each feature's values side by side in memory.
        result
            float32 ``(class, pixel)``, added to.
        """
        said = self._join(self._descend(self.questions.answer(samples)))
        pixels, classes = result.shape[1], len(result)
        for answer in np.unique(self.answers).tolist():
            ballots = np.unpackbits(said[self.answers == answer], axis=1, count=pixels)
            votes = np.add.reduce(ballots, axis=0, dtype=np.uint8) * self.weight
            if answer < classes:
                result[answer] += votes
            else:
                result += self.mixed[answer - classes][:, None] * votes

    def _descend(self, yes: Bits) -> Bits:
        """Return the pixels that reach each node, level by level: children on the no side, then on the yes side."""
        count = self.trees + 2 * sum(len(level.nodes) for level in self.levels)
        reached = np.empty((count, yes.shape[1]), np.uint8)
        reached[: self.trees] = 255
        position = self.trees
        for level in self.levels:
            size = len(level.nodes)
            here = reached.take(level.nodes, axis=0)
            no, on = reached[position : position + size], reached[position + size :][:size]
            np.bitwise_and(here, yes.take(level.questions, axis=0), out=on)
            np.bitwise_xor(here, on, out=no)
            position += 2 * size
        return reached

    def _join(self, reached: Bits) -> Bits:
        joined = reached.take(self.joins[0], axis=0)
        for rows in self.joins[1:]:
            joined[: len(rows)] |= reached.take(rows, axis=0)
        return joined


def _collect_questions(nodes: Nodes) -> tuple[Questions, Rows]:
    """Return the questions of all inner nodes, and for each node the row of its own, -1 for leaves."""
    inner = np.flatnonzero(nodes.left >= 0)
    pairs = np.zeros(len(inner), [("feature", np.int32), ("limit", np.float32)])
    pairs["feature"], pairs["limit"] = nodes.feature[inner], _as_float32(nodes.threshold[inner])
    unique, row = np.unique(pairs, return_inverse=True)
    asked = np.full(len(nodes.left), -1, np.intp)
    asked[inner] = row.ravel()
    features, starts = np.unique(unique["feature"], return_index=True)
    limits = tuple(part[:, None] for part in np.split(unique["limit"], starts[1:]))
    return Questions(tuple(features.tolist()), limits[: len(features)]), asked


def _as_float32(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the largest 32-bit numbers that are not larger: 32-bit features compare with them alike."""
    near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near)


def _lay_levels(nodes: Nodes, asked: Rows) -> tuple[tuple[Level, ...], Rows]:
    """Return the levels, and the node that each reached row that is a leaf stands for, -1 in other rows."""
    here = np.flatnonzero(np.diff(nodes.tree, prepend=-1))
    rows, levels = [here], []
    position = 0
    while len(inner := np.flatnonzero(nodes.left[here] >= 0)):
        levels.append(Level(position + inner, asked[here[inner]]))
        position += len(here)
        here = np.concatenate([nodes.left[here[inner]], nodes.right[here[inner]]])
        rows.append(here)
    return tuple(levels), np.concatenate(rows)


def _leaf_codes(nodes: Nodes, order: Rows) -> tuple[Rows, NDArray[np.float32]]:
    """Return what the node in each row says: a class, a row of mixed shares behind the classes, -1 for inner nodes."""
    value = nodes.value[order]
    classes = value.shape[1]
    codes = value.argmax(axis=1)
    is_mixed = value[np.arange(len(value)), codes] != 1
    is_inner = nodes.left[order] >= 0
    mixed, inverse = np.unique(value[is_mixed & ~is_inner], axis=0, return_inverse=True)
    codes[is_mixed & ~is_inner] = classes + inverse.ravel()
    codes[is_inner] = -1
    return codes, mixed


def _lay_joins(tree: Rows, codes: Rows) -> tuple[tuple[Rows, ...], Rows]:
    """Return which rows are joined to what each tree says for each answer, most leaves first."""
    leaves = np.flatnonzero(codes >= 0)
    leaves = leaves[np.lexsort((codes[leaves], tree[leaves]))]
    key = tree[leaves] * (codes.max() + 1) + codes[leaves]
    _, first, count = np.unique(key, return_index=True, return_counts=True)
    order = np.argsort(-count, kind="stable")
    first, count = first[order], count[order]
    joins = tuple(leaves[first[count > nth] + nth] for nth in range(int(count[0])))
    return joins, codes[joins[0]]
