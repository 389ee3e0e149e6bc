"""What a step minimizes: the points, the forest's word, the averaged network's word, and plausible maps.

Each part is switched by its weight in the settings; a part of weight 0 costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Generator, Tensor, nn

from geopointseg.config import AugmentationConfig, Config
from geopointseg.labels.sparse_mask import UNLABELLED
from geopointseg.learning.consistency import (
    AveragedNetwork,
    ClassThresholds,
    cut_and_mix,
    has_collapsed,
)
from geopointseg.learning.loss import (
    consistency_loss,
    kl_divergence,
    lovasz_softmax_loss,
    partial_dice_loss,
    partial_focal_loss,
    soft_cross_entropy,
)
from geopointseg.learning.regularization import affinity_loss, entropy_loss
from geopointseg.sampling.augmentation import Augmentation, Batch

GUARD_STEPS = 50
"""Steps with consistency before the guard against collapse may speak."""
TOLERANCE, TOLERANCE_OF_POINTS = 0.4, 0.15
"""Share of the expected diversity of classes below which pseudo-labels have collapsed: beside the forest's map, or beside
points alone, which are spread more evenly over the classes than the ground is."""


def build_augmentation(config: AugmentationConfig) -> Augmentation:
    """Return the augmentation of the settings."""
    known = Augmentation.__dataclass_fields__
    return Augmentation(**{name: value for name, value in vars(config).items() if name in known})


@dataclass
class Objective:
    """The sum of all losses of a step.

    Parameters
    ----------
    config
        All settings.
    class_weight
        Weight of each class on labelled pixels, ``(class,)``.
    expected
        Share of each class that the map is expected to have, ``(class,)``; the guard against collapse compares.
    has_forest
        Whether a forest teaches, too.
    thresholds
        How sure the averaged network must be to teach.
    collapsed
        Whether the guard has stopped consistency.
    taught_steps
        Steps in which consistency took part.
    """

    config: Config
    class_weight: Tensor
    expected: Tensor
    has_forest: bool = False
    thresholds: ClassThresholds = field(init=False)
    collapsed: bool = False
    taught_steps: int = 0

    def __post_init__(self) -> None:
        self.augmentation = build_augmentation(self.config.augmentation)
        self.thresholds = ClassThresholds.start(len(self.class_weight))

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_weight)

    def __call__(
        self,
        network: nn.Module,
        averaged: AveragedNetwork,
        batch: Batch,
        progress: float,
        generator: Generator,
    ) -> dict[str, Tensor]:
        """Return the weighted losses of a batch by name; their sum is to be minimized.

        Parameters
        ----------
        network
            The network that is trained.
        averaged
            Its moving average.
        batch
            As drawn, not augmented.
        progress
            Share of the budget that is used, 0..1.
        generator
            Source of randomness for the views.
        """
        with torch.autocast(batch.image.device.type, enabled=False):
            weak, strong = self.augmentation.views(batch, generator)
        consistency = self._consistency_weight(progress)
        taught = averaged.probabilities(weak.image) if consistency > 0 else None
        strong, taught = self._mix(strong, taught, generator)
        logits = network(strong.image).float()
        losses = self._point_losses(logits, strong, progress) | self._map_losses(logits, strong)
        if taught is not None:
            losses["consistency"] = consistency * self._consistency(
                logits, taught, strong, progress
            )
        return losses

    def _point_losses(self, logits: Tensor, batch: Batch, progress: float) -> dict[str, Tensor]:
        assert batch.mask is not None  # noqa: S101
        points, grown = split_labels(batch.mask, self.classes)
        settings, teaching = self.config.loss, self.config.teaching
        weights = self.class_weight.to(logits)
        losses = {
            "points": partial_focal_loss(
                logits,
                points,
                gamma=settings.gamma,
                class_weight=weights,
                pixel_weight=batch.weight,
                label_smoothing=settings.label_smoothing,
            )
        }
        fade = 1.0 - progress / max(teaching.expansion_until, 1e-6)
        if teaching.expansion != "none" and fade > 0:
            share = teaching.expansion_weight * min(2 * fade, 1.0)
            losses["grown"] = share * partial_focal_loss(
                logits, grown, gamma=settings.gamma, class_weight=weights
            )
            if teaching.dice_weight > 0:
                losses["dice"] = share * teaching.dice_weight * partial_dice_loss(logits, grown)
            if teaching.lovasz_weight > 0:
                losses["lovasz"] = (
                    share * teaching.lovasz_weight * lovasz_softmax_loss(logits, grown)
                )
        return losses

    def _map_losses(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        assert batch.valid is not None  # noqa: S101
        assert batch.mask is not None  # noqa: S101
        teaching, losses = self.config.teaching, {}
        if batch.soft is not None and teaching.distillation_weight > 0:
            soft, weight = sharpen(batch.soft, teaching.sharpening, teaching.confidence_power)
            nobody_said = (batch.mask < 0) | (batch.mask >= self.classes)
            losses["distillation"] = teaching.distillation_weight * soft_cross_entropy(
                logits, soft, pixel_weight=weight * batch.valid * nobody_said
            )
        if teaching.affinity_weight > 0:
            losses["affinity"] = teaching.affinity_weight * affinity_loss(
                logits, batch.image, batch.valid, step=2
            )
        if teaching.entropy_weight > 0:
            losses["entropy"] = teaching.entropy_weight * entropy_loss(logits, batch.valid)
        return losses

    def _consistency_weight(self, progress: float) -> float:
        teaching = self.config.teaching
        if self.collapsed or teaching.consistency_weight == 0:
            return 0.0
        ramp = max(teaching.consistency_ramp - teaching.consistency_start, 1e-6)
        return teaching.consistency_weight * min(
            max((progress - teaching.consistency_start) / ramp, 0.0), 1.0
        )

    def _consistency(self, logits: Tensor, taught: Tensor, batch: Batch, progress: float) -> Tensor:
        assert batch.valid is not None  # noqa: S101
        assert batch.mask is not None  # noqa: S101
        teaching = self.config.teaching
        low, high = teaching.threshold_start, teaching.threshold_end
        accepted = self.thresholds.accept(taught, batch.valid, low + (high - low) * progress)
        accepted &= (batch.mask < 0) | (batch.mask >= self.classes)
        if batch.soft is not None:
            accepted &= ~contradicts(batch.soft, taught)
        self._watch()
        if teaching.consistency != "labels":
            distance = kl_divergence if teaching.consistency == "kl" else consistency_loss
            return distance(logits, taught, pixel_weight=batch.valid.to(logits))
        label = torch.where(accepted, taught.argmax(dim=1), UNLABELLED)
        share = accepted.sum() / batch.valid.sum().clamp(min=1)
        return partial_focal_loss(logits, label) * share

    def _watch(self) -> None:
        self.taught_steps += 1
        if self.taught_steps > GUARD_STEPS:
            tolerance = TOLERANCE if self.has_forest else TOLERANCE_OF_POINTS
            self.collapsed = has_collapsed(self.thresholds.histogram, self.expected, tolerance)

    def _mix(
        self, batch: Batch, taught: Tensor | None, generator: Generator
    ) -> tuple[Batch, Tensor | None]:
        """Mix chips without points; only what the teachers say of them counts."""
        assert batch.mask is not None  # noqa: S101
        share = self.config.teaching.cutmix
        if share == 0 or (taught is None and batch.soft is None):
            return batch, taught
        free = (batch.mask == UNLABELLED).flatten(1).all(1).cpu()
        drawn = torch.rand(len(free), generator=generator) < share
        chips = (free & drawn).nonzero().flatten()
        maps = [batch.image, batch.valid, batch.soft, taught]
        cut_and_mix([m for m in maps if m is not None], chips, generator)
        return batch, taught

    def state(self) -> dict[str, Any]:
        """Return what a resumed training needs."""
        return {
            "confidence": self.thresholds.confidence,
            "histogram": self.thresholds.histogram,
            "collapsed": self.collapsed,
            "taught_steps": self.taught_steps,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what `state` returned."""
        self.thresholds = replace(
            self.thresholds, confidence=state["confidence"], histogram=state["histogram"]
        )
        self.collapsed = bool(state["collapsed"])
        self.taught_steps = int(state["taught_steps"])


def split_labels(mask: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Split a mask into the labels of points and those that were grown from them (index plus ``classes``)."""
    points = torch.where(mask < classes, mask, UNLABELLED)
    return points, torch.where(mask >= classes, mask - classes, UNLABELLED)


def sharpen(soft: Tensor, power: float, confidence_power: float) -> tuple[Tensor, Tensor]:
    """Return sharpened soft labels and how much each pixel counts.

    Parameters
    ----------
    soft
        ``(sample, class, row, col)``; pixels that sum to zero have no teacher.
    power
        Probabilities are raised to this power and summed to one again.
    confidence_power
        Pixels weigh one minus their normalized entropy to this power.
    """
    known = soft.sum(dim=1) > 0.5
    raised = soft.clamp(min=1e-6) ** power
    sharp = raised / raised.sum(dim=1, keepdim=True)
    entropy = -torch.xlogy(soft, soft.clamp(min=1e-6)).sum(dim=1) / torch.log(
        torch.tensor(float(soft.shape[1]))
    )
    return sharp, (1 - entropy).clamp(0, 1) ** confidence_power * known


def contradicts(forest: Tensor, taught: Tensor, sure: float = 0.8) -> Tensor:
    """Whether a sure forest says another class than the averaged network, bool ``(sample, row, col)``."""
    confidence, label = forest.max(dim=1)
    return (confidence >= sure) & (label != taught.argmax(dim=1))
