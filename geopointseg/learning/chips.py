"""Batches of chips, cut from patches in memory, one batch an optimizer step.

What a step sees depends on the seed and on the number of the step and on nothing else, so a training that is
resumed sees what it would have seen, and readers in other processes see it, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from geopointseg.labels.sparse_mask import UNLABELLED
from geopointseg.learning.ground import Ground, LabelledPixels, cut
from geopointseg.model.member import Normalization
from geopointseg.sampling.augmentation import Batch
from geopointseg.sampling.priority_drawing import draw_labels, jitter_positions, keep_inside

ROUND_STEPS = 64
"""Labels are drawn for this many steps at once, so that each has its turn."""


@dataclass(frozen=True, eq=False)
class Lessons:
    """What is known about the pixels of a ground at one time of the training.

    Parameters
    ----------
    labelled
        Pixels whose class somebody said.
    target
        Class index of labelled pixels, int16 ``(row, col)`` a patch; `UNLABELLED` elsewhere. Labels that were
        grown from points hold the class index plus the number of classes.
    weight
        float32 ``(row, col)`` a patch.
    soft
        The teacher's probabilities in 1/255, uint8 ``(class, row, col)`` a patch; None without a teacher.
    """

    labelled: LabelledPixels
    target: tuple[NDArray[np.int16], ...]
    weight: tuple[NDArray[np.float32], ...]
    soft: tuple[NDArray[np.uint8], ...] | None = None

    @classmethod
    def of(cls, ground: Ground, labelled: LabelledPixels) -> Lessons:
        """Build lessons of labelled pixels alone."""
        maps = labelled.dense(ground.patches)
        return cls(labelled, tuple(t for t, _ in maps), tuple(w for _, w in maps))


@dataclass(frozen=True)
class ChipPlan:
    """How chips are drawn.

    Parameters
    ----------
    size
        Side of a chip in pixels.
    batch
        Chips a step.
    around_points
        How many of these are drawn around labelled pixels; the others lie anywhere.
    class_balance, jitter
        See `geopointseg.sampling.priority_drawing`.
    seed
        Decides everything.
    style
        Share of chips that get mean and deviation of another patch, band by band.
    """

    size: int
    batch: int
    around_points: int
    class_balance: float
    jitter: float
    seed: int
    style: float = 0.0


class ChipDataset(Dataset[Batch]):
    """Batches by the number of the step.

    Parameters
    ----------
    ground
        Imagery.
    lessons
        Labels, and what teachers say.
    normalization
        What the network expects.
    plan
        How chips are drawn.
    """

    def __init__(
        self, ground: Ground, lessons: Lessons, normalization: Normalization, plan: ChipPlan
    ) -> None:
        self.ground = ground
        self.lessons = lessons
        self.normalization = normalization
        self.plan = plan
        areas = np.array([p.valid.sum() for p in ground.patches], dtype=np.float64)
        self._shares = areas / areas.sum()
        self._with_imagery = [p for p, area in zip(ground.patches, areas, strict=True) if area]

    def __getitem__(self, step: int) -> Batch:
        """Return the batch of a step, not augmented."""
        generator = np.random.default_rng([self.plan.seed, 21, step])
        corners = self._around_points(step, generator)
        while len(corners) < self.plan.batch:
            corners.append(self._anywhere(generator))
        return self._cut(corners, np.random.default_rng([self.plan.seed, 23, step]))

    def _styled(
        self, image: NDArray[np.float32], patch: int, generator: np.random.Generator
    ) -> NDArray[np.float32]:
        """Give a chip the mean and deviation of a patch of another scene, now and then."""
        here = self.ground.patches[patch]
        others = [p for p in self._with_imagery if p.scene != here.scene]
        if not others or generator.random() >= self.plan.style:
            return image
        other = others[int(generator.integers(len(others)))]
        (mean, std), (new_mean, new_std) = here.moments, other.moments
        scaled = (image - mean[:, None, None]) * (new_std / std)[:, None, None]
        return np.asarray(scaled + new_mean[:, None, None], dtype=np.float32)

    def _around_points(
        self, step: int, generator: np.random.Generator
    ) -> list[tuple[int, int, int]]:
        count = self.plan.around_points
        if count == 0:
            return []
        labelled = self.lessons.labelled
        round_, place = divmod(step, ROUND_STEPS)
        drawn = draw_labels(
            labelled.class_index,
            count * ROUND_STEPS,
            self.plan.class_balance,
            np.random.default_rng([self.plan.seed, 22, round_]),
        )[place * count : (place + 1) * count]
        size = self.plan.size
        top = labelled.row[drawn] - jitter_positions(count, size, self.plan.jitter, generator)
        left = labelled.col[drawn] - jitter_positions(count, size, self.plan.jitter, generator)
        corners = []
        for patch, row, col in zip(labelled.patch[drawn].tolist(), top, left, strict=True):
            height, width = self.ground.patches[patch].shape
            corners.append((patch, _inside(row, size, height), _inside(col, size, width)))
        return corners

    def _anywhere(self, generator: np.random.Generator) -> tuple[int, int, int]:
        """Draw a chip anywhere, preferring places with imagery in the middle."""
        size = self.plan.size
        for _ in range(16):
            patch = int(generator.choice(len(self._shares), p=self._shares))
            height, width = self.ground.patches[patch].shape
            row = _inside(
                generator.integers(-size // 4, max(height - 3 * size // 4, 1)), size, height
            )
            col = _inside(
                generator.integers(-size // 4, max(width - 3 * size // 4, 1)), size, width
            )
            middle = (
                min(max(row + size // 2, 0), height - 1),
                min(max(col + size // 2, 0), width - 1),
            )
            if self.ground.patches[patch].valid[middle]:
                break
        return patch, row, col

    def _cut(
        self, corners: Sequence[tuple[int, int, int]], generator: np.random.Generator
    ) -> Batch:
        size = self.plan.size
        images, valids, targets, weights, softs = [], [], [], [], []
        for patch, row, col in corners:
            source = self.ground.patches[patch]
            valid = cut(source.valid, row, col, size, fill=False)
            image = cut(source.image, row, col, size, fill=0.0)
            styled = self._styled(image, patch, generator) if self.plan.style else image
            images.append(self.normalization.apply(styled, valid))
            valids.append(valid)
            targets.append(cut(self.lessons.target[patch], row, col, size, fill=UNLABELLED))
            weights.append(cut(self.lessons.weight[patch], row, col, size, fill=0.0))
            if self.lessons.soft is not None:
                softs.append(cut(self.lessons.soft[patch], row, col, size, fill=0))
        soft = torch.from_numpy(np.stack(softs)).float().div_(255) if softs else None
        return Batch(
            image=torch.from_numpy(np.stack(images)),
            mask=torch.from_numpy(np.stack(targets)).long(),
            weight=torch.from_numpy(np.stack(weights)),
            valid=torch.from_numpy(np.stack(valids)),
            soft=soft,
        )


def _inside(start: int | np.integer, size: int, length: int) -> int:
    return int(keep_inside(np.array([start]), size, length)[0])
