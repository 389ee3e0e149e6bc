"""The loss of a training step: supervised, distillation and optional terms.

Each term has a weight in the settings; a term of weight 0 is not computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from geopointseg.config import AugmentationConfig, Config
from geopointseg.labels.sparse_mask import UNLABELLED
from geopointseg.learning.consistency import AveragedNetwork
from geopointseg.learning.loss import partial_focal_loss, soft_cross_entropy
from geopointseg.learning.optional_terms import (
    Consistency,
    expansion_losses,
    regularization_losses,
)
from geopointseg.sampling.augmentation import Augmentation, Batch


def build_augmentation(config: AugmentationConfig) -> Augmentation:
    """Return the augmentation of the settings."""
    known = Augmentation.__dataclass_fields__
    return Augmentation(**{name: value for name, value in vars(config).items() if name in known})


@dataclass
class Objective:
    """The losses of a training step.

    Parameters
    ----------
    config
        All settings.
    class_weight
        Weight of each class on labelled pixels, ``(class,)``.
    expected
        Expected share of each class in the map, ``(class,)``, against which a collapse of pseudo-labels is detected.
    expected_from_teacher
        Whether ``expected`` comes from the teachers' predictions.
    """

    config: Config
    class_weight: Tensor
    expected: Tensor
    expected_from_teacher: bool = False

    def __post_init__(self) -> None:
        self.augmentation = build_augmentation(self.config.augmentation)
        self.consistency = Consistency(self.config.teaching, self.classes)

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
        """Return the weighted losses of a batch by name; their sum is minimized.

        Parameters
        ----------
        network
            The network that is trained.
        averaged
            Its moving average.
        batch
            As drawn, not augmented.
        progress
            Used share of the budget, 0..1.
        generator
            Source of randomness for the augmentation.
        """
        with torch.autocast(batch.image.device.type, enabled=False):
            weak, strong = self.augmentation.views(batch, generator)
        weight = self.consistency.weight(progress)
        targets = averaged.probabilities(weak.image) if weight > 0 else None
        self.consistency.mix(strong, targets, generator)
        logits = network(strong.image).float()
        losses = self._point_losses(logits, strong, progress) | self._map_losses(logits, strong)
        if targets is not None:
            losses["consistency"] = weight * self.consistency.loss(
                logits,
                targets,
                strong,
                progress,
                self.expected,
                expected_from_teacher=self.expected_from_teacher,
            )
        return losses

    def _point_losses(self, logits: Tensor, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the losses on points, and on the labels that they were expanded to."""
        assert batch.mask is not None  # noqa: S101
        points, grown = split_labels(batch.mask, self.classes)
        settings, class_weight = self.config.loss, self.class_weight.to(logits)
        supervised = partial_focal_loss(
            logits,
            points,
            gamma=settings.gamma,
            class_weight=class_weight,
            pixel_weight=batch.weight,
            label_smoothing=settings.label_smoothing,
        )
        expanded = expansion_losses(logits, grown, self.config, class_weight, progress)
        return {"points": supervised, **expanded}

    def _map_losses(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return the losses on pixels without labels."""
        assert batch.valid is not None  # noqa: S101
        assert batch.mask is not None  # noqa: S101
        settings, losses = self.config.teaching, {}
        if batch.soft is not None and settings.distillation_weight > 0:
            soft, weight = sharpen(batch.soft, settings.sharpening, settings.confidence_power)
            unlabelled = (batch.mask < 0) | (batch.mask >= self.classes)
            losses["distillation"] = settings.distillation_weight * soft_cross_entropy(
                logits, soft, pixel_weight=weight * batch.valid * unlabelled
            )
        return losses | regularization_losses(logits, batch, settings)

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return self.consistency.state()

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.consistency.load_state(state)


def split_labels(mask: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Split a mask into the labels of points and the labels that points were expanded to.

    Parameters
    ----------
    mask
        int64 of any shape: class index of a point, class index plus ``classes`` of an expanded label, or -1.
    classes
        Number of classes.

    Returns
    -------
    tuple of Tensor
        Two masks of class indices, -1 where unlabelled.
    """
    points = torch.where(mask < classes, mask, UNLABELLED)
    return points, torch.where(mask >= classes, mask - classes, UNLABELLED)


def sharpen(soft: Tensor, power: float, confidence_power: float) -> tuple[Tensor, Tensor]:
    """Return sharpened soft labels and the weight of each pixel.

    Parameters
    ----------
    soft
        Probabilities, ``(sample, class, row, col)``; pixels whose probabilities sum to 0 have no soft label.
    power
        Probabilities are raised to this power and normalized to a sum of one.
    confidence_power
        The weight is one minus the normalized entropy, raised to this power.

    Returns
    -------
    tuple of Tensor
        Soft labels of the shape of ``soft``, and weights in 0..1, ``(sample, row, col)``.
    """
    known = soft.sum(dim=1) > 0.5
    raised = soft.clamp(min=1e-6) ** power
    sharp = raised / raised.sum(dim=1, keepdim=True)
    entropy = -torch.xlogy(soft, soft.clamp(min=1e-6)).sum(dim=1) / torch.log(
        torch.tensor(float(soft.shape[1]))
    )
    return sharp, (1 - entropy).clamp(0, 1) ** confidence_power * known
