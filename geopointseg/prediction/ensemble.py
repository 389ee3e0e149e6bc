"""Several models as one: their members' probabilities averaged, over flips and scales where wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from geopointseg.errors import ConfigError, ModelError
from geopointseg.legend import Legend
from geopointseg.model.bundle import Member, ModelBundle, apply_temperature
from geopointseg.prediction.product import entropy_share

Augmentation = Literal["none", "flip", "d4", "scales"]
Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

SCALES = (0.75, 1.0, 1.25)
SAY = ((0.75, 1.0), (0.5, 1 / 3), (-np.inf, 1 / 9))
"""A model with the first share of the best one's skill, or more, gets the second of the best one's say."""


@dataclass(frozen=True)
class Ensemble:
    """What turns pixels into probabilities: one model or several, and test-time augmentation.

    Parameters
    ----------
    bundles
        The models; all have one legend.
    bands
        For each model, the positions of its bands among those that are read.
    augmentation
        ``none``; ``flip`` averages over four flips; ``d4`` over the eight flips and rotations; ``scales`` over
        three magnifications.
    disagreement
        Whether to add the members' mean entropy as a last channel.
    """

    bundles: tuple[ModelBundle, ...]
    bands: tuple[tuple[int, ...], ...]
    augmentation: Augmentation = "none"
    disagreement: bool = False

    def __post_init__(self) -> None:
        _require_one_legend(self.bundles)
        if self.disagreement and self.member_count < 2:
            raise ConfigError(
                "Disagreement was asked for, but there is one model with one member. Expected several; name more "
                "model folders or leave disagreement out."
            )

    @property
    def legend(self) -> Legend:
        """The classes."""
        return self.bundles[0].legend

    @property
    def members(self) -> list[Member]:
        """All members of all models."""
        return [member for bundle in self.bundles for member in bundle.members]

    @property
    def member_count(self) -> int:
        """How many members vote."""
        return len(self.members)

    @property
    def margin_px(self) -> int:
        """Context that is needed on every side of a pixel."""
        return max(member.margin_px for member in self.members)

    @cached_property
    def say(self) -> tuple[float, ...]:
        """What share of the vote each model has; see `say_of`."""
        return say_of(self.bundles)

    @property
    def stride(self) -> int:
        """Window sides should be multiples of this."""
        return int(np.lcm.reduce([member.stride for member in self.members]))

    def channels(self, image: Image, valid: Mask) -> Image:
        """Return probabilities of windows, and the members' mean entropy where wanted.

        Parameters
        ----------
        image
            float32 ``(sample, band, row, col)``, values as in the scene.
        valid
            bool ``(sample, row, col)``.

        Returns
        -------
        ndarray
            float32 ``(sample, channel, row, col)``.
        """
        views = list(_views(image, valid, self.augmentation))
        if len(views) == 1:
            return self._vote(image, valid)
        total: Image | None = None
        for seen, seen_valid, undo in views:
            back = undo(self._vote(seen, seen_valid))
            total = back.copy() if total is None else np.add(total, back, out=total)
        assert total is not None  # noqa: S101 - there is always a first view
        total /= len(views)
        return total

    def _vote(self, image: Image, valid: Mask) -> Image:
        total: Image | None = None
        for bundle, bands, say in zip(self.bundles, self.bands, self.say, strict=True):
            own = image if bands == tuple(range(image.shape[1])) else image[:, list(bands)]
            votes = self._bundle_votes(bundle, np.ascontiguousarray(own), valid)
            votes = votes if say == 1.0 else votes * np.float32(say)
            total = votes if total is None else np.add(total, votes, out=total)
        assert total is not None  # noqa: S101 - an ensemble has at least one model
        return total

    def _bundle_votes(self, bundle: ModelBundle, image: Image, valid: Mask) -> Image:
        members = bundle.members
        if len(members) == 1 and not self.disagreement:
            votes = members[0].probabilities(image, valid)
            return apply_temperature(votes, bundle.temperature)
        mean: Image = np.zeros(1, np.float32)
        doubt: Image = np.zeros(1, np.float32)
        for member in members:
            votes = member.probabilities(image, valid)
            mean = mean + np.float32(member.weight) * votes
            if self.disagreement:
                tempered = apply_temperature(votes, bundle.temperature)
                doubt = doubt + np.float32(member.weight) * entropy_share(tempered, axis=1)
        mean = apply_temperature(mean, bundle.temperature)
        return np.concatenate([mean, doubt[:, None]], axis=1) if self.disagreement else mean


def say_of(bundles: Sequence[ModelBundle]) -> tuple[float, ...]:
    """Return the share of the vote that each model has, by its skill on points held out of its training.

    Skill is what the class-balanced log loss lies below that of guessing. Held-out points are few and other ones for
    each model, so models that are nearly as skilled as the best have equal say, and only plainly worse ones less.
    Where a model has no held-out scores, all have equal say.

    References
    ----------
    J. Smith and K. F. Wallis, A simple explanation of the forecast combination puzzle, Oxford Bulletin of Economics
    and Statistics 71(3), 2009, doi:10.1111/j.1468-0084.2008.00541.x.
    """
    skills = [_skill(bundle) for bundle in bundles]
    best = max((skill for skill in skills if skill is not None), default=0.0)
    if None in skills or best <= 0:
        return tuple(1.0 / len(bundles) for _ in bundles)
    earned = [
        next(say for share, say in SAY if skill is not None and skill >= share * best)
        for skill in skills
    ]
    return tuple(say / sum(earned) for say in earned)


def _skill(bundle: ModelBundle) -> float | None:
    scores = bundle.metadata.get("scores") or {}
    kind = "together" if len(bundle.members) > 1 else bundle.members[0].kind
    return float(np.log(len(bundle.legend))) - scores[kind]["loss"] if kind in scores else None


def _require_one_legend(bundles: Sequence[ModelBundle]) -> None:
    first = bundles[0].legend
    for bundle in bundles[1:]:
        same = (
            np.array_equal(bundle.legend.codes, first.codes) and bundle.legend.names == first.names
        )
        if not same:
            raise ModelError(
                f"The models '{bundles[0].folder}' and '{bundle.folder}' have different classes "
                f"({', '.join(first.names)} and {', '.join(bundle.legend.names)}). Models that are averaged need "
                "one legend in one order; train them from the same points."
            )


View = tuple[Image, Mask, Callable[[Image], Image]]


def _views(image: Image, valid: Mask, augmentation: Augmentation) -> Iterator[View]:
    """Yield the image as seen through each augmentation, and what turns the answer back."""
    if augmentation == "scales":
        for scale in SCALES:
            yield _scaled(image, valid, scale)
        return
    for turns in (0, 1, 2, 3) if augmentation == "d4" else (0,):
        for flipped in (False, True) if augmentation != "none" else (False,):
            yield _turned(image, valid, turns, (-1,) if flipped else ())
            if augmentation == "flip":
                yield _turned(image, valid, turns, (-2, -1) if flipped else (-2,))


def _turned(image: Image, valid: Mask, turns: int, flips: tuple[int, ...]) -> View:
    def turn(array: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(np.flip(np.rot90(array, turns, axes=(-2, -1)), axis=flips))

    def undo(array: Image) -> Image:
        return np.rot90(np.flip(array, axis=flips), -turns, axes=(-2, -1))

    return turn(image), turn(valid), undo


def _scaled(image: Image, valid: Mask, scale: float) -> View:
    if scale == 1.0:
        return image, valid, lambda array: array
    height, width = image.shape[-2:]
    small = max(round(height * scale), 1), max(round(width * scale), 1)
    weight = resize(valid.astype(np.float32), *small)
    share = np.maximum(weight, np.float32(1e-6))[:, None]
    seen: Image = np.divide(resize(image * valid[:, None], *small), share, dtype=np.float32)
    return seen, weight > 0.5, lambda array: resize(array, height, width)


def resize(array: Image, height: int, width: int) -> Image:
    """Resample the last two axes linearly to a new size; pixel edges of old and new coincide.

    Examples
    --------
    >>> resize(np.array([[0.0, 1.0]], dtype=np.float32), 1, 4).round(2).tolist()
    [[0.0, 0.25, 0.75, 1.0]]
    """
    by_row = _linear_weights(array.shape[-2], height)
    by_col = _linear_weights(array.shape[-1], width)
    return np.ascontiguousarray(by_row @ array @ by_col.T)


def _linear_weights(old: int, new: int) -> NDArray[np.float32]:
    """Return the matrix that interpolates ``old`` samples at ``new`` pixel centres, edges held."""
    place = ((np.arange(new) + 0.5) * old / new - 0.5).clip(0, old - 1)
    low = np.minimum(place.astype(int), max(old - 2, 0))
    share = (place - low).astype(np.float32)
    matrix = np.zeros((new, old), dtype=np.float32)
    matrix[np.arange(new), low] = 1 - share
    matrix[np.arange(new), np.minimum(low + 1, old - 1)] += share
    return matrix
