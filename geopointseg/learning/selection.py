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

from geopointseg.labels.block_split import deal_blocks
from geopointseg.learning.ground import Ground
from geopointseg.model.inference import apply_temperature
from geopointseg.sampling.patch import LabelledPixels

Probabilities = NDArray[np.float32]

BLOCKS_ACROSS = (4, 6, 9, 13, 20, 30)
"""Held-out blocks: the longer side of the labelled ground is divided by the first number that does."""
RELATIVE_WEIGHTS = ((0.75, 1.0), (0.5, 1 / 3))
"""A member with the first share of the best skill on held-out ground, or more, gets the second share of its weight."""
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


def choose(members: Mapping[str, Probabilities], class_index: NDArray[np.int64]) -> Choice:
    """Choose the weights of members by their probabilities of held-out pixels.

    Each member is brought to its best temperature first, so that a member is not judged by how sharp its probabilities
    are. A member's skill is the difference between the class-balanced log loss of guessing and its own. Members of at
    least three quarters of the best skill get equal weights, those of at least half of it a third of that, others none.
    Weights that are estimated from few cases do worse than equal ones [1]_, and members with independent errors
    generalize better to other scenes together. Where the best member alone is better than the mixture by more than the
    standard error of the difference, it is kept alone.

    Parameters
    ----------
    members
        ``(pixel, class)`` by kind.
    class_index
        ``(pixel,)``.

    References
    ----------
    .. [1] Smith, J., & Wallis, K. F. (2009). A simple explanation of the forecast combination puzzle. Oxford Bulletin
       of Economics and Statistics 71(3), 331-355. https://doi.org/10.1111/j.1468-0084.2008.00541.x

    Examples
    --------
    >>> good = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    >>> choose({"forest": good, "linear": 1 - good}, np.array([0, 1])).weights
    {'forest': 1.0}
    """
    tempered = {k: _tempered(p, class_index) for k, p in members.items()}
    scores = {k: score(p, class_index) for k, p in tempered.items()}
    skills = {k: _skill(s, class_index) for k, s in scores.items()}
    best = max(skills, key=lambda k: skills[k])
    relative = {k: _relative_weight(skill, skills[best]) for k, skill in skills.items()}
    relative[best] = 1.0
    weights = {k: w / sum(relative.values()) for k, w in relative.items() if w > 0}
    gain, error = 0.0, 0.0
    if len(weights) > 1:
        mixture = np.sum([w * members[k] for k, w in weights.items()], axis=0, dtype=np.float32)
        together = _tempered(mixture, class_index)
        gain, error = _gain(tempered[best], together, class_index)
        if gain < -error:
            weights = {best: 1.0}
        else:
            scores["together"] = score(together, class_index)
    return Choice(weights, scores, _reason(weights, scores, len(class_index), gain, error))


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
    weights: Mapping[str, float],
    scores: Mapping[str, Score],
    count: int,
    gain: float,
    error: float,
) -> str:
    told = ", ".join(f"{name} {s.loss:.3f} (mean F1 {s.mean_f1:.3f})" for name, s in scores.items())
    on = f"on {count} held-out labelled pixels the class-balanced log loss is {told}"
    kinds = list(weights)
    if len(kinds) > 1:
        named = " and ".join([", ".join(kinds[:-1]), kinds[-1]])
        shares = " to ".join(f"{w:.2f}" for w in weights.values())
        how = f"together they gain {gain:.3f} on the best of them, with a standard error of {error:.3f}"
        return f"{named.capitalize()} are kept, weighted {shares}: {on}; {how}."
    why = "no other member has half of its skill"
    if gain < 0:
        why = f"a mixture loses {-gain:.3f}, with a standard error of {error:.3f}"
    name = "linear model" if kinds[0] == "linear" else kinds[0]
    tail = f"; {why}." if len(scores) > 1 else "."
    return f"The {name} alone is kept: {on}{tail}"


def _skill(result: Score, class_index: NDArray[np.int64]) -> float:
    """Return by how much the loss lies below that of guessing."""
    return float(np.log(max(len(np.unique(class_index)), 2))) - result.loss


def _relative_weight(own: float, best: float) -> float:
    """Return the weight of a member relative to the best one."""
    return next((w for share, w in RELATIVE_WEIGHTS if own > 0 and own >= share * best), 0.0)


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
