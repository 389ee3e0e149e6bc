"""Batches of chips for training: some around labels, the others anywhere, one batch an optimizer step.

The chips of a step follow from the seed and the number of the step alone, so a resumed training gets the same chips as one
that is not interrupted, with any number of reading processes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from typing import Any, Self

import numpy as np
import torch
from torch.utils.data import Sampler
from torchgeo.datasets import GeoDataset

from geopointseg.sampling.augmentation import Batch
from geopointseg.sampling.combine import layers_of
from geopointseg.sampling.dataset import SceneDataset
from geopointseg.sampling.grid_dataset import ChipIndex
from geopointseg.sampling.patch import Patch
from geopointseg.sampling.sampler import PointSampler, UnlabelledSampler
from geopointseg.summary import described

ROUND_STEPS = 64
"""Labels are drawn for this many steps at once, so that every label is drawn before any is drawn again, for each size of
chips."""
ENDLESS = 2**40
"""Number of steps of a sampler that a training stops when its time is used."""


@described
@dataclass(frozen=True)
class ChipPlan:
    """How the chips of a step are drawn.

    Parameters
    ----------
    size
        Side of a chip in pixels.
    batch
        Chips in a step; a quarter of them in wide steps.
    around_points
        How many of these are drawn around labelled pixels; the others lie anywhere.
    class_balance, jitter
        As for `PointSampler`.
    seed
        Decides everything.
    style
        Share of chips that take mean and standard deviation per band of a patch of another scene.
    has_wide_steps
        Whether every other step has chips of twice the side, a quarter as many.
    """

    size: int
    batch: int
    around_points: int
    class_balance: float
    jitter: float
    seed: int
    style: float = 0.0
    has_wide_steps: bool = False

    @property
    def kinds(self) -> tuple[Self, ...]:
        """The plans that steps follow in turn, each of chips of one size."""
        one = replace(self, has_wide_steps=False)
        if not self.has_wide_steps:
            return (one,)
        around_points = min(self.around_points, max(self.around_points // 4, 1))
        batch = max(self.batch // 4, 1)
        return one, replace(one, size=2 * self.size, batch=batch, around_points=around_points)

    def halved(self) -> Self:
        """Return the plan with half as many chips in a step, at least one around points where there were any."""
        around_points = min(self.around_points, max(self.around_points // 2, 1))
        return replace(self, batch=max(self.batch // 2, 1), around_points=around_points)


@described
class StepSampler(Sampler[list[ChipIndex]]):
    """The indices of each step's chips, for the ``batch_sampler`` of a ``DataLoader``.

    Chips around labels come from a `PointSampler` and lead each batch, the others from an `UnlabelledSampler`.

    Parameters
    ----------
    dataset
        What the chips are read from.
    plan
        How they are drawn.
    first_step
        Number of the first step; a resumed training continues here.

    Raises
    ------
    PointsError
        If chips are drawn around points and the dataset has no label.
    """

    def __init__(self, dataset: GeoDataset, plan: ChipPlan, first_step: int = 0) -> None:
        self.plan = plan
        self.first_step = first_step
        steps = ROUND_STEPS // len(plan.kinds)
        self._kinds = [_parts_of(dataset, kind, steps) for kind in plan.kinds]
        self._patches = [
            patch
            for layer in layers_of(dataset)
            if isinstance(layer, SceneDataset)
            for patch in layer.scenes
            if isinstance(patch, Patch) and patch.valid.any()
        ]
        self._scene_of = {patch.path: patch.scene for patch in self._patches}

    def _summary(self) -> list[str]:
        return [f"StepSampler: from step {self.first_step}, {self.plan!r}"]

    def __len__(self) -> int:
        return ENDLESS - self.first_step

    def __iter__(self) -> Iterator[list[ChipIndex]]:
        """Yield the chips of each step, without end."""
        first_round, skipped = divmod(self.first_step, ROUND_STEPS)
        for number in count(first_round):
            yield from islice(self._round(number), skipped, None)
            skipped = 0

    def _round(self, number: int) -> Iterator[list[ChipIndex]]:
        """Yield the chips of the steps of one round."""
        draws = []
        for parts in self._kinds:
            for sampler, _ in parts:
                sampler.set_epoch(number)
            draws.append([(iter(sampler), share) for sampler, share in parts])
        generator = np.random.default_rng([self.plan.seed, 23, number])
        for step in range(ROUND_STEPS):
            chips = [
                chip for draw, share in draws[step % len(draws)] for chip in islice(draw, share)
            ]
            yield [self._styled(chip, generator) for chip in chips] if self.plan.style else chips

    def _styled(self, chip: ChipIndex, generator: np.random.Generator) -> ChipIndex:
        """Let some chips take the style of a patch of another scene."""
        scene = self._scene_of.get(chip.scene or "")
        others = [patch for patch in self._patches if patch.scene != scene]
        if scene is None or not others or generator.random() >= self.plan.style:
            return chip
        other = others[int(generator.integers(len(others)))]
        return ChipIndex(*chip, chip.scene, chip.window, other.path)


def _parts_of(
    dataset: GeoDataset, plan: ChipPlan, steps: int
) -> list[tuple[PointSampler | UnlabelledSampler, int]]:
    """Return the samplers of chips of one size, and how many chips of a step each of them draws."""
    parts: list[tuple[PointSampler | UnlabelledSampler, int]] = []
    around, anywhere = plan.around_points, plan.batch - plan.around_points
    if around:
        points = PointSampler(
            dataset,
            size=plan.size,
            length=around * steps,
            balance=plan.class_balance,
            jitter=plan.jitter,
            seed=2 * plan.seed,
        )
        parts.append((points, around))
    if anywhere:
        unlabelled = UnlabelledSampler(
            dataset, size=plan.size, length=anywhere * steps, seed=2 * plan.seed + 1
        )
        parts.append((unlabelled, anywhere))
    return parts


@described
class BatchCollator:
    """Stacks samples to a `Batch` with normalized images, for the ``collate_fn`` of a ``DataLoader``.

    Parameters
    ----------
    mean, std
        Mean and standard deviation per band, ``(band,)``; images become ``(image - mean) / std``, 0 where not valid.
    """

    def __init__(self, mean: Any, std: Any) -> None:
        self.mean, self.std = (
            torch.as_tensor(v, dtype=torch.float32)[:, None, None] for v in (mean, std)
        )

    def _summary(self) -> list[str]:
        return [f"BatchCollator: normalizes {len(self.mean)} bands"]

    def __call__(self, samples: Sequence[dict[str, Any]]) -> Batch:
        """Return samples of a dataset as one batch."""
        stacked = {
            name: torch.stack([sample[name] for sample in samples])
            for name in ("image", "valid", "mask", "weight", "soft")
            if name in samples[0]
        }
        valid, soft = stacked["valid"], stacked.get("soft")
        image = stacked["image"].sub_(self.mean).div_(self.std)
        if not valid.numpy().all():
            image.masked_fill_(~valid[:, None], 0.0)
        return Batch(
            image=image,
            mask=stacked.get("mask"),
            weight=stacked.get("weight"),
            valid=valid,
            soft=None if soft is None else soft.float().div_(255),
        )
