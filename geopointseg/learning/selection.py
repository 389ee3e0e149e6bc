"""Which members a model gets, and with what weights, decided on held-out ground.

A poor network lowers the accuracy of a good forest, and a poor forest that of a good network. So some blocks of ground
are held out from both, and their probabilities there decide. The decision is made on the class-balanced log loss, which uses every held-out pixel's
probability and is steadier on few points than any score that counts right and wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopointseg.labels.split import deal_blocks
from geopointseg.learning.ground import Ground, LabelledPixels
from geopointseg.model.inference import apply_temperature

Probabilities = NDArray[np.float32]

BLOCKS_ACROSS = (4, 6, 9, 13, 20, 30)
"""Held-out blocks: the longer side of the labelled ground is divided by the first number that does."""
NETWORK_WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
LEAST_WEIGHTS = ((0.75, 0.5), (0.5, 0.25))
"""A member with the first share of the other's skill on held-out ground gets the second share as its weight at least."""
SMALLEST_PROBABILITY = 0.01
"""Probabilities are clipped here before logarithms are taken: one confident error must not decide alone."""


@dataclass(frozen=True)
class Score:
    """How well probabilities fit labelled pixels.

    Parameters
    ----------
    overall_accuracy
        Share of pixels whose likeliest class is right.
    mean_f1
        Mean F1 over the classes that occur.
    loss
        Mean over the classes that occur of the mean log loss.
    """

    overall_accuracy: float
    mean_f1: float
    loss: float

    def to_json(self) -> dict[str, float]:
        """Return the scores rounded for the model folder."""
        return {name: round(value, 6) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Choice:
    """Weights of the members and why.

    Parameters
    ----------
    weights
        By kind; they sum to one.
    scores
        Score of each candidate on the held-out pixels.
    reason
        One sentence.
    """

    weights: Mapping[str, float]
    scores: Mapping[str, Score]
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "weights": dict(self.weights),
            "scores": {name: score.to_json() for name, score in self.scores.items()},
            "reason": self.reason,
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Choice:
        """Build it from what `to_json` returned."""
        scores = {name: Score(**values) for name, values in row["scores"].items()}
        return cls(dict(row["weights"]), scores, str(row["reason"]))


def hold_out(
    ground: Ground, labelled: LabelledPixels, share: float, seed: int
) -> NDArray[np.bool_]:
    """Choose labelled pixels to hold out, by blocks of ground.

    The largest blocks are taken that leave every class with at least two pixels on the training side, and at least
    one held out of every class that has four. Where no size does, classes that lie in one block, five clicks in the
    only pond, are not held out; where that does not help, nothing is.

    Parameters
    ----------
    ground
        Where the pixels lie.
    labelled
        Pixels to choose from.
    share
        Wanted share.
    seed
        Breaks ties.

    Returns
    -------
    ndarray
        bool ``(pixel,)``, True where held out.
    """
    none = np.zeros(len(labelled), dtype=bool)
    if share <= 0 or len(labelled) == 0:
        return none
    counts = labelled.counts(ground.classes)
    shares = np.array([1.0 - share, share])
    for blocks_needed, across in product((1, 2), BLOCKS_ACROSS):
        block = _blocks(ground, labelled, across)
        table = np.zeros((block.max() + 1, ground.classes), dtype=np.int64)
        np.add.at(table, (block, labelled.class_index), 1)
        wanted = (counts >= 4) & ((table > 0).sum(axis=0) >= blocks_needed)
        held = deal_blocks(table, shares, seed)[block] == 1
        out = np.bincount(labelled.class_index[held], minlength=ground.classes)
        fits = (out[wanted] >= 1).all() and (
            (counts - out)[counts > 0] >= np.minimum(counts, 2)[counts > 0]
        ).all()
        if fits and wanted.any() and 0.5 * share <= held.mean() <= 1.6 * share:
            return np.asarray(held)
    return none


def _blocks(ground: Ground, labelled: LabelledPixels, across: int) -> NDArray[np.int64]:
    origin = np.array([(p.scene, p.row, p.col) for p in ground.patches], dtype=np.int64)
    scene, top, left = origin[labelled.patch].T
    row, col = labelled.row + top, labelled.col + left
    extent = max(int(np.ptp(row)), int(np.ptp(col)), 1) + 1
    side = max(-(-extent // across), 1)
    cells = np.column_stack([scene, (row - row.min()) // side, (col - col.min()) // side])
    return np.unique(cells, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def score(probabilities: Probabilities, class_index: NDArray[np.int64]) -> Score:
    """Return the scores of probabilities ``(pixel, class)`` against class indices ``(pixel,)``."""
    present = np.unique(class_index)
    predicted = probabilities.argmax(axis=1)
    f1, losses = [], []
    for index in present:
        is_class, is_predicted = class_index == index, predicted == index
        f1.append(2 * (is_class & is_predicted).sum() / (is_class.sum() + is_predicted.sum()))
        right = probabilities[is_class, index].clip(SMALLEST_PROBABILITY, 1.0)
        losses.append(-np.log(right).mean())
    accuracy = float((predicted == class_index).mean())
    return Score(accuracy, float(np.mean(f1)), float(np.mean(losses)))


def choose(forest: Probabilities, network: Probabilities, class_index: NDArray[np.int64]) -> Choice:
    """Choose the weights of forest and network by their probabilities on held-out pixels.

    Each candidate is brought to its best temperature first: averaging with any noise flattens probabilities, and
    that alone must not look like merit. The mixture that fits best is taken, within two bounds, because held-out
    pixels are few, lie in the scenes that were learnt from, and the network goes on learning after this choice:

    - where the mixture is better than the forest by no more than the standard error of the difference, the network
      gets a weight of 0.5 at most;
    - a member with three quarters of the other's skill or more (what the loss lies below that of guessing) gets a
      weight of 0.5 at least, and one with half of it or more 0.25. Members with independent errors generalize better to
      other scenes together, and weights estimated from few cases do worse than equal ones [1]_.

    Parameters
    ----------
    forest, network
        ``(pixel, class)``.
    class_index
        ``(pixel,)``.

    References
    ----------
    .. [1] Smith, J., & Wallis, K. F. (2009). A simple explanation of the forecast combination puzzle. Oxford Bulletin
       of Economics and Statistics 71(3), 331-355. https://doi.org/10.1111/j.1468-0084.2008.00541.x
    """
    mixes = {w: _tempered(w * network + (1 - w) * forest, class_index) for w in NETWORK_WEIGHTS}
    scores = {w: score(mix, class_index) for w, mix in mixes.items()}
    best = min(scores, key=lambda w: scores[w].loss)
    gain, error = _gain(mixes[0.0], mixes[best], class_index)
    chosen = best if gain > error else min(best, 0.5)
    of_forest, of_network = (_skill(scores[w], class_index) for w in (0.0, 1.0))
    chosen = max(chosen, _least_weight(of_network, of_forest))
    chosen = min(chosen, 1.0 - _least_weight(of_forest, of_network))
    named = {"forest": scores[0.0], "network": scores[1.0]}
    if 0 < chosen < 1:
        named["together"] = scores[chosen]
    weights = {"network": chosen, "forest": 1.0 - chosen}
    return Choice(
        weights={kind: weight for kind, weight in weights.items() if weight > 0},
        scores=named,
        reason=_reason(chosen, named, len(class_index), gain, error),
    )


def without_prevalence(
    probabilities: Probabilities, prevalence: NDArray[np.float32]
) -> Probabilities:
    """Return probabilities as if all classes were equally common on the ground.

    The forest, and a network that it taught, favour classes by how common they are on the ground; a class-balanced
    loss would punish them for it. So members are compared without that factor.

    Examples
    --------
    >>> without_prevalence(np.array([[0.8, 0.2]], np.float32), np.array([4.0, 1.0], np.float32))
    array([[0.5, 0.5]], dtype=float32)
    """
    even = probabilities / prevalence.clip(0.01)
    return np.asarray(even / even.sum(axis=1, keepdims=True).clip(1e-6), dtype=np.float32)


def _reason(
    network_weight: float, scores: Mapping[str, Score], count: int, gain: float, error: float
) -> str:
    told = ", ".join(f"{name} {s.loss:.3f} (mean F1 {s.mean_f1:.3f})" for name, s in scores.items())
    kept = {0.0: "The forest alone is kept", 1.0: "The network alone is kept"}.get(
        network_weight,
        f"Network and forest are kept, weighted {network_weight:.2f} to {1 - network_weight:.2f}",
    )
    why = "no mixture gains on the forest"
    if gain > 0:
        why = (
            f"the best mixture gains {gain:.3f} on the forest, with a standard error of {error:.3f}"
        )
    if 0 < network_weight < 1:
        why += "; both are kept, because members with independent errors generalize better to other scenes"
    return (
        f"{kept}: on {count} held-out labelled pixels the class-balanced log loss is {told}; {why}."
    )


def _skill(result: Score, class_index: NDArray[np.int64]) -> float:
    """Return by how much the loss lies below that of guessing."""
    return float(np.log(max(len(np.unique(class_index)), 2))) - result.loss


def _least_weight(own: float, other: float) -> float:
    """Return the least weight of a member of some skill beside another."""
    weights = [weight for share, weight in LEAST_WEIGHTS if own > 0 and own >= share * other]
    return max(weights, default=0.0)


def _gain(
    before: Probabilities, after: Probabilities, class_index: NDArray[np.int64]
) -> tuple[float, float]:
    """Return by how much the class-balanced log loss falls, and the standard error of that."""
    pixel = np.arange(len(class_index))
    logs = [np.log(p[pixel, class_index].clip(SMALLEST_PROBABILITY, 1.0)) for p in (before, after)]
    difference = logs[1] - logs[0]
    classes = np.unique(class_index)
    means = [difference[class_index == k].mean() for k in classes]
    spread = float(difference.var()) if len(difference) > 1 else np.inf
    variance = sum(spread / (class_index == k).sum() for k in classes) / len(classes) ** 2
    return float(np.mean(means)), float(np.sqrt(variance))


def _tempered(probabilities: Probabilities, class_index: NDArray[np.int64]) -> Probabilities:
    """Return probabilities at the temperature that fits best, drawn towards 1 where pixels are few."""
    candidates = np.exp(np.linspace(np.log(0.4), np.log(2.5), 43))
    prior = 10.0 / len(class_index)
    clipped = probabilities.clip(1e-4, 1.0)

    def loss(temperature: float) -> float:
        tempered = apply_temperature(clipped, temperature)
        return score(tempered, class_index).loss + prior * float(np.log(temperature)) ** 2

    return apply_temperature(clipped, float(min(candidates, key=loss)))


def maps_at(maps: Sequence[NDArray[np.uint8]], pixels: LabelledPixels) -> Probabilities:
    """Return probabilities at labelled pixels, ``(pixel, class)``, from maps in 1/255 by patch."""
    parts = np.zeros((len(pixels), maps[0].shape[0]), dtype=np.float32)
    for patch in np.unique(pixels.patch):
        own = pixels.patch == patch
        parts[own] = maps[int(patch)][:, pixels.row[own], pixels.col[own]].T / np.float32(255)
    return np.asarray(parts / parts.sum(axis=1, keepdims=True).clip(1e-6), dtype=np.float32)
