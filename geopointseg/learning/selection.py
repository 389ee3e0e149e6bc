"""Selection of a model's members and of their weights, by held-out pixels.

A poor network lowers the accuracy of a good forest, and a poor forest that of a good network. Therefore spatial blocks of
labelled pixels are held out from all members. The class-balanced log loss there decides. It uses the probability of every
held-out pixel, so on few points it varies less than scores that count correct predictions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopointseg.labels.block_split import deal_blocks
from geopointseg.learning.training_imagery import TrainingImagery
from geopointseg.model.inference import apply_temperature
from geopointseg.sampling.patch import LabelledPixels
from geopointseg.sampling.site_position import site_positions

Probabilities = NDArray[np.float32]

BLOCKS_ACROSS = (4, 6, 9, 13, 20, 30)
"""Blocks along the longer side of the labelled area; the first number that meets the conditions of `hold_out` is used."""
LEAST_TO_HOLD_OUT = 4
"""Labelled pixels of a class from which on one is held out."""
RELATIVE_WEIGHTS = ((0.75, 1.0), (0.5, 1 / 3))
"""Pairs of relative skill and relative weight: a member with at least this skill, relative to the best one, gets this weight."""
CLEAR_ERRORS = 2.0
"""A difference of log losses is clear where it exceeds this many of its standard errors. From few points the held-out pixels are six to
twelve, and members that differ less there are as good as each other on other scenes."""
WeightRule = Callable[[Collection[str]], Mapping[str, float]]
"""Known relative weights, as a function of the kinds of members that there are. Kinds that it does not name weigh 1; a kind of
weight 0 is a reserve, see `choose`."""

LARGE_GAIN = 0.3
"""Decrease of the log loss from which on a member with a known weight can be left out. Smaller ones were chance: on the held-out pixels of
a scene they were clear, and on other scenes the mixture without the member scored up to six points lower."""
SMALLEST_PROBABILITY = 0.01
"""Probabilities are clipped to this before the logarithm, so that one confident error does not decide alone."""


def weigh_on_frozen_encoder(kinds: Collection[str]) -> Mapping[str, float]:
    """Return the relative weights of members where the network has a frozen pretrained encoder.

    On other scenes network and linear model together score higher than either, and higher than with the forest (66.5 to 65.7 in
    mean F1, three seeds, four splits). A forest takes part where there is no network.
    """
    if "network" in kinds:
        return {"network": 4.0, "linear": 1.0, "forest": 0.0}
    return {"linear": 2.0, "forest": 1.0}


def weigh_on_coarse_imagery(kinds: Collection[str]) -> Mapping[str, float]:  # noqa: ARG001 - a `WeightRule`
    """Return the relative weights of members on imagery that a backbone trained on photographs does not suit.

    On Landsat and Sentinel-2 (twelve splits and numbers of points, means of up to three draws) the mixture of forest and linear
    model scores 2.6 points above one weighted by skill, and on none of them below; single draws vary by a point.
    """
    return {"network": 1.0, "linear": 1.0, "forest": 2.0}


def weigh_equally(kinds: Collection[str]) -> Mapping[str, float]:
    """Return equal weights."""
    return dict.fromkeys(kinds, 1.0)


def apply_rule(rule: WeightRule, kinds: Collection[str]) -> dict[str, float]:
    """Return the weights of members by a rule; they sum to one, and reserves are left out.

    Examples
    --------
    >>> apply_rule(weigh_on_frozen_encoder, ["network", "linear", "forest"])
    {'network': 0.8, 'linear': 0.2}
    """
    known = rule(kinds)
    relative = {kind: weight for kind in kinds if (weight := known.get(kind, 1.0)) > 0}
    return {kind: weight / sum(relative.values()) for kind, weight in relative.items()}


@dataclass(frozen=True)
class Score:
    """Scores of probabilities at labelled pixels.

    Parameters
    ----------
    overall_accuracy
        Share of pixels whose most likely class is correct, 0..1.
    mean_f1
        Mean F1 over the classes that occur, 0..1.
    loss
        Class-balanced log loss: the mean log loss of each class that occurs, averaged over the classes.
    """

    overall_accuracy: float
    mean_f1: float
    loss: float

    def to_json(self) -> dict[str, float]:
        """Return the scores, rounded to six digits."""
        return {name: round(value, 6) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Choice:
    """Weights of the members, and the reason for them.

    Parameters
    ----------
    weights
        By kind of member; they sum to one.
    scores
        Score of each candidate on the held-out pixels, by kind, and of their mixture as ``together``.
    reason
        One sentence.
    """

    weights: Mapping[str, float]
    scores: Mapping[str, Score]
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return the choice as plain values."""
        return {
            "weights": dict(self.weights),
            "scores": {name: score.to_json() for name, score in self.scores.items()},
            "reason": self.reason,
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Choice:
        """Return the choice that `to_json` wrote."""
        scores = {name: Score(**values) for name, values in row["scores"].items()}
        return cls(dict(row["weights"]), scores, str(row["reason"]))


def hold_out(
    imagery: TrainingImagery, labelled: LabelledPixels, share: float, seed: int
) -> NDArray[np.bool_]:
    """Select labelled pixels to hold out, by spatial blocks.

    Where scenes overlap, a block is held out of all of them. The largest blocks are used that leave at least two pixels of every class for training, and hold out at least one pixel of
    every class with four or more. Where no block size does, classes whose pixels all lie in one block are not held out. Where
    that does not help, no pixel is held out.

    Parameters
    ----------
    imagery
        Imagery in memory, which gives the position of the pixels.
    labelled
        Pixels to select from.
    share
        Wanted share of held-out pixels, 0..1.
    seed
        For tie-breaking.

    Returns
    -------
    ndarray
        bool ``(pixel,)``, True where held out.
    """
    none = np.zeros(len(labelled), dtype=bool)
    if share <= 0 or len(labelled) == 0:
        return none
    counts = labelled.counts(imagery.classes)
    shares = np.array([1.0 - share, share])
    places = site_positions(imagery.patches, labelled)
    for blocks_needed, across in product((1, 2), BLOCKS_ACROSS):
        block = _blocks(places, across)
        table = np.zeros((block.max() + 1, imagery.classes), dtype=np.int64)
        np.add.at(table, (block, labelled.class_index), 1)
        wanted = (counts >= LEAST_TO_HOLD_OUT) & ((table > 0).sum(axis=0) >= blocks_needed)
        held = deal_blocks(table, shares, seed)[block] == 1
        out = np.bincount(labelled.class_index[held], minlength=imagery.classes)
        fits = (out[wanted] >= 1).all() and (
            (counts - out)[counts > 0] >= np.minimum(counts, 2)[counts > 0]
        ).all()
        if fits and wanted.any() and 0.5 * share <= held.mean() <= 1.6 * share:
            return np.asarray(held)
    return none


def _blocks(places: NDArray[np.int64], across: int) -> NDArray[np.int64]:
    """Return the number of the block of each pixel by its position on the ground; see `site_positions`."""
    site, row, col = places.T
    extent = max(int(np.ptp(row)), int(np.ptp(col)), 1) + 1
    side = max(-(-extent // across), 1)
    cells = np.column_stack([site, (row - row.min()) // side, (col - col.min()) // side])
    return np.unique(cells, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def score(probabilities: Probabilities, class_index: NDArray[np.int64]) -> Score:
    """Return the scores of probabilities ``(pixel, class)`` at pixels of known class index, int64 ``(pixel,)``."""
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


def choose(
    members: Mapping[str, Probabilities],
    class_index: NDArray[np.int64],
    *,
    prior: WeightRule | None = None,
) -> Choice:
    """Choose the weights of members by their probabilities at held-out pixels, or by what is known from other scenes.

    Each member is scored after temperature scaling, so that the score does not depend on how confident its probabilities are.
    The skill of a member is the log loss of equal probabilities minus its own class-balanced log loss. Members with at least
    three quarters of the best skill get equal weights, those with at least half of it a third of that weight, and all others
    none. A member gets full weight, too, where its loss exceeds the least one by less than `CLEAR_ERRORS` standard errors of the
    difference. Weights that are estimated from few pixels predict worse than equal ones [1]_, and members with independent errors
    generalize better to other scenes. The best member is kept alone where it is better than the mixture by more than
    `CLEAR_ERRORS` standard errors of the difference.

    Parameters
    ----------
    members
        Probabilities, float32 ``(pixel, class)``, by kind of member.
    class_index
        True classes, int64 ``(pixel,)``.
    prior
        Relative weights that are known from other scenes. They replace those by skill, because held-out blocks lie in the scenes
        that the members have learnt, where the best of them gains more than on other scenes. A member is left out only where the
        others alone lower the log loss by more than `LARGE_GAIN` and by more than `CLEAR_ERRORS` standard errors. Where a reserve
        alone lowers it by as much, weights are those by skill.

    Returns
    -------
    Choice
        Weights, scores and the reason.

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
    if prior:
        mixture = _by_prior(members, tempered, scores, class_index, prior)
    else:
        mixture = _by_skill(members, tempered, scores, class_index)
    if len(mixture.weights) > 1:
        scores["together"] = score(mixture.together, class_index)
    return Choice(mixture.weights, scores, _reason(mixture, scores, len(class_index)))


@dataclass(frozen=True, eq=False)
class _Mixture:
    """Weights of members, their calibrated mixture ``(pixel, class)``, its gain over the best member, and members without weight.

    Members in reserve have no weight by the rule; others were left out because the log loss is lower without them.
    """

    weights: dict[str, float]
    together: Probabilities
    gain: float = 0.0
    error: float = 0.0
    reserves: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def _by_skill(
    members: Mapping[str, Probabilities],
    tempered: Mapping[str, Probabilities],
    scores: Mapping[str, Score],
    class_index: NDArray[np.int64],
) -> _Mixture:
    """Return the mixture of the members weighted by their skill, or the best of them alone."""
    skills = {k: _skill(s, class_index) for k, s in scores.items()}
    best = max(skills, key=lambda k: skills[k])
    relative = {
        k: _relative_weight(skill, skills[best]) if _is_clear(tempered[k], tempered[best], class_index) else 1.0
        for k, skill in skills.items()
    }  # fmt: skip
    mixture = _mixed(members, tempered, class_index, relative, best)
    if mixture.gain < -CLEAR_ERRORS * mixture.error:
        return replace(mixture, weights={best: 1.0}, together=tempered[best])
    return mixture


def _by_prior(
    members: Mapping[str, Probabilities],
    tempered: Mapping[str, Probabilities],
    scores: Mapping[str, Score],
    class_index: NDArray[np.int64],
    prior: WeightRule,
) -> _Mixture:
    """Return the mixture of the members with known weights, without members that lower the score by much."""
    best = min(scores, key=lambda k: scores[k].loss)
    kinds = list(members)
    while True:
        weights = apply_rule(prior, kinds)
        mixture = _mixed(members, tempered, class_index, weights, best)
        gains = {}
        for kind in weights if len(kinds) > 1 else ():
            others = apply_rule(prior, [k for k in kinds if k != kind])
            without = _mixed(members, tempered, class_index, others, best)
            gains[kind] = _large_gain(mixture.together, without.together, class_index)
        if not any(gains.values()):
            break
        kinds.remove(max(gains, key=lambda k: gains[k]))
    reserves = tuple(kind for kind in kinds if kind not in weights)
    if any(_large_gain(mixture.together, tempered[kind], class_index) for kind in reserves):
        return _by_skill(members, tempered, scores, class_index)
    left_out = tuple(kind for kind in members if kind not in kinds)
    return replace(mixture, reserves=reserves, left_out=left_out)


def _large_gain(
    before: Probabilities, after: Probabilities, class_index: NDArray[np.int64]
) -> float:
    """Return the decrease of the log loss where it is large and clear, otherwise 0."""
    gain, error = _gain(before, after, class_index)
    return gain if gain > max(LARGE_GAIN, CLEAR_ERRORS * error) else 0.0


def _mixed(
    members: Mapping[str, Probabilities],
    tempered: Mapping[str, Probabilities],
    class_index: NDArray[np.int64],
    relative: Mapping[str, float],
    best: str,
) -> _Mixture:
    """Return the mixture of members with relative weights, and its gain over the best member."""
    used = {k: w for k, w in relative.items() if w > 0}
    weights = {k: w / sum(used.values()) for k, w in used.items()}
    if len(weights) == 1:
        return _Mixture(weights, tempered[next(iter(weights))])
    mean = np.sum([w * members[k] for k, w in weights.items()], axis=0, dtype=np.float32)
    together = _tempered(mean, class_index)
    return _Mixture(weights, together, *_gain(tempered[best], together, class_index))


def without_prevalence(
    probabilities: Probabilities, prevalence: NDArray[np.float32]
) -> Probabilities:
    """Return probabilities divided by the class shares of the scene, as if all classes were equally frequent.

    The probabilities of the forest, and of a network distilled from it, contain these shares. The class-balanced loss, by which
    members are compared, assumes equal ones.

    Parameters
    ----------
    probabilities
        float32 ``(pixel, class)``.
    prevalence
        Class shares of the scene up to a common factor, float32 ``(class,)``; clipped to at least 0.01.

    Returns
    -------
    ndarray
        float32 ``(pixel, class)``, summing to one over the classes.

    Examples
    --------
    >>> without_prevalence(np.array([[0.8, 0.2]], np.float32), np.array([4.0, 1.0], np.float32))
    array([[0.5, 0.5]], dtype=float32)
    """
    even = probabilities / prevalence.clip(0.01)
    return np.asarray(even / even.sum(axis=1, keepdims=True).clip(1e-6), dtype=np.float32)


def _listed_losses(scores: Mapping[str, Score]) -> str:
    return ", ".join(f"{name} {s.loss:.3f} (mean F1 {s.mean_f1:.3f})" for name, s in scores.items())


def _reason(mixture: _Mixture, scores: Mapping[str, Score], count: int) -> str:
    on = f"on {count} held-out labelled pixels the class-balanced log loss is {_listed_losses(scores)}"
    kinds, gain, error = list(mixture.weights), mixture.gain, mixture.error
    if len(kinds) > 1:
        named = " and ".join([", ".join(kinds[:-1]), kinds[-1]])
        shares = " to ".join(f"{w:.2f}" for w in mixture.weights.values())
        change = f"gain {gain:.3f} over" if gain >= 0 else f"lose {-gain:.3f} against"
        how = f"together they {change} the best of them, with a standard error of {error:.3f}"
        others = "".join(f" {part[0].upper()}{part[1:]}." for part in _reasons_of_others(mixture))
        return f"{named.capitalize()} are kept, weighted {shares}: {on}; {how}.{others}"
    why = "; ".join(_reasons_of_others(mixture)) or "no other member has half of its skill"
    if gain < 0:
        why = f"a mixture loses {-gain:.3f}, with a standard error of {error:.3f}"
    name = "linear model" if kinds[0] == "linear" else kinds[0]
    tail = f"; {why}." if len(scores) > 1 else "."
    return f"The {name} alone is kept: {on}{tail}"


def _reasons_of_others(mixture: _Mixture) -> list[str]:
    """Return why members have no weight, where a rule of weights was applied."""
    reasons = []
    if mixture.left_out:
        named = " and ".join(mixture.left_out)
        reasons.append(f"without the {named} the log loss is lower by more than {LARGE_GAIN:g}")
    if mixture.reserves:
        named = " and ".join(mixture.reserves)
        reasons.append(
            f"the {named} is in reserve, because the mixture scores lower with it on other scenes"
        )
    return reasons


def _skill(result: Score, class_index: NDArray[np.int64]) -> float:
    """Return the difference between the log loss of equal probabilities and that of a member."""
    return float(np.log(max(len(np.unique(class_index)), 2))) - result.loss


def _relative_weight(own: float, best: float) -> float:
    """Return the weight of a member relative to the best one."""
    return next((w for share, w in RELATIVE_WEIGHTS if own > 0 and own >= share * best), 0.0)


def _is_clear(worse: Probabilities, better: Probabilities, class_index: NDArray[np.int64]) -> bool:
    """Return whether one member is better than another one by more than chance explains."""
    gain, error = _gain(worse, better, class_index)
    return gain > CLEAR_ERRORS * error


def _gain(
    before: Probabilities, after: Probabilities, class_index: NDArray[np.int64]
) -> tuple[float, float]:
    """Return the decrease of the class-balanced log loss, and its standard error."""
    pixel = np.arange(len(class_index))
    logs = [np.log(p[pixel, class_index].clip(SMALLEST_PROBABILITY, 1.0)) for p in (before, after)]
    difference = logs[1] - logs[0]
    classes = np.unique(class_index)
    means = [difference[class_index == k].mean() for k in classes]
    spread = float(difference.var()) if len(difference) > 1 else np.inf
    variance = sum(spread / (class_index == k).sum() for k in classes) / len(classes) ** 2
    return float(np.mean(means)), float(np.sqrt(variance))


def _tempered(probabilities: Probabilities, class_index: NDArray[np.int64]) -> Probabilities:
    """Return probabilities at the temperature of least loss, with a prior at 1 that counts more where pixels are few."""
    candidates = np.exp(np.linspace(np.log(0.4), np.log(2.5), 43))
    prior = 10.0 / len(class_index)
    clipped = probabilities.clip(1e-4, 1.0)

    def loss(temperature: float) -> float:
        tempered = apply_temperature(clipped, temperature)
        return score(tempered, class_index).loss + prior * float(np.log(temperature)) ** 2

    return apply_temperature(clipped, float(min(candidates, key=loss)))
