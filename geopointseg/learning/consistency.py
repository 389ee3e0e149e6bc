"""A moving average of the network as its own teacher: weak views teach strong ones.

The averaged network (mean teacher) looks at a weakly varied chip; where it is sure enough, its answer is the
target for the network on a strongly varied one. How sure is enough differs by class, so that classes of which the
teacher is less sure are not starved, and a guard stops the teaching when one class swallows the others.

References
----------
A. Tarvainen and H. Valpola, Mean teachers are better role models, NeurIPS 2017, doi:10.48550/arXiv.1703.01780.
K. Sohn et al., FixMatch, NeurIPS 2020, doi:10.48550/arXiv.2001.07685.
Y. Wang et al., FreeMatch: self-adaptive thresholding, ICLR 2023, doi:10.48550/arXiv.2205.07246.
S. Yun et al., CutMix, ICCV 2019, doi:10.1109/ICCV.2019.00612.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn


class AveragedNetwork:
    """An exponential moving average of a network's weights and statistics.

    Parameters
    ----------
    network
        The network that is trained; its present weights are the first average.
    decay
        Share of the old average that is kept each step. In the first steps less is kept, so that random first
        weights do not linger: ``min(decay, (1 + n) / (10 + n))``. With 0 the average is the network itself.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.network = copy.deepcopy(network).eval()
        for parameter in self.network.parameters():
            parameter.requires_grad = False

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average towards the network."""
        self.updates += 1
        keep = min(self.decay, (1 + self.updates) / (10 + self.updates))
        ours, theirs = self.network.state_dict(), network.state_dict()
        floats = [k for k, v in ours.items() if v.is_floating_point()]
        torch._foreach_lerp_([ours[k] for k in floats], [theirs[k] for k in floats], 1 - keep)
        for name in ours.keys() - set(floats):
            ours[name].copy_(theirs[name])

    @torch.no_grad()
    def probabilities(self, image: Tensor) -> Tensor:
        """Return the average's probabilities, ``(sample, class, row, col)``."""
        return F.softmax(self.network(image).float(), dim=1)


@dataclass
class ClassThresholds:
    """How sure the teacher must be, class by class.

    The threshold of a class is the general one times how sure the teacher has lately been of this class, relative
    to the class it is surest of.

    Parameters
    ----------
    confidence
        Running mean of the teacher's confidence in each class, ``(class,)``.
    histogram
        Running share of each class among the accepted pseudo-labels, ``(class,)``.
    momentum
        Share of the old means that is kept each step.
    """

    confidence: Tensor
    histogram: Tensor
    momentum: float = 0.98

    @classmethod
    def start(cls, classes: int) -> ClassThresholds:
        """Begin with all classes alike."""
        return cls(torch.ones(classes), torch.full((classes,), 1.0 / classes))

    def accept(self, probabilities: Tensor, valid: Tensor, threshold: float) -> Tensor:
        """Return where the teacher is sure enough, bool ``(sample, row, col)``, and remember what was accepted."""
        confidence, label = probabilities.max(dim=1)
        levels = threshold * self.confidence / self.confidence.max().clamp(min=1e-6)
        accepted = valid & (confidence >= levels.to(confidence)[label])
        self._remember(confidence, label, valid, accepted)
        return accepted

    def _remember(self, confidence: Tensor, label: Tensor, valid: Tensor, accepted: Tensor) -> None:
        classes = len(self.confidence)
        seen = torch.bincount(label[valid], minlength=classes).cpu()
        sums = torch.zeros(classes).index_add_(
            0, label[valid].cpu(), confidence[valid].float().cpu()
        )
        keep = torch.where(seen > 0, self.momentum, 1.0)
        self.confidence = keep * self.confidence + (1 - keep) * sums / seen.clamp(min=1)
        taken = torch.bincount(label[accepted], minlength=classes).cpu().float()
        if taken.sum() > 0:
            share = taken / taken.sum()
            self.histogram = self.momentum * self.histogram + (1 - self.momentum) * share


def effective_classes(histogram: Tensor) -> float:
    """Return how many classes a histogram effectively holds: the exponential of its entropy.

    Examples
    --------
    >>> round(effective_classes(torch.tensor([0.5, 0.5, 0.0])), 3)
    2.0
    """
    share = histogram / histogram.sum().clamp(min=1e-12)
    return float(torch.exp(-torch.xlogy(share, share).sum()))


def has_collapsed(histogram: Tensor, expected: Tensor, tolerance: float = 0.4) -> bool:
    """Whether pseudo-labels hold less than a share of the diversity that is expected: of the classes beyond the first.

    Parameters
    ----------
    histogram
        Share of each class among accepted pseudo-labels.
    expected
        Share of each class in the forest's map, or among the points where there is no forest.
    tolerance
        Collapsed where the effective number of classes, less one, is below this share of the expected one.
    """
    found, wanted = effective_classes(histogram) - 1, effective_classes(expected) - 1
    return found < tolerance * wanted


def cut_and_mix(tensors: list[Tensor], chips: Tensor, generator: Generator) -> None:
    """Paste into each of some chips a rectangle of the next one, in place and in all tensors alike.

    Parameters
    ----------
    tensors
        Each ``(sample, ..., row, col)``.
    chips
        Positions of the chips that take part, int64 ``(chip,)``.
    generator
        Source of randomness.
    """
    if len(chips) < 2:
        return
    rows, cols = tensors[0].shape[-2:]
    sources = [tensor[chips].clone() for tensor in tensors]
    for place, chip in enumerate(chips.tolist()):
        share = 0.2 + 0.3 * float(torch.rand((), generator=generator))
        ratio = float(torch.empty(()).uniform_(0.5, 2.0, generator=generator))
        height = min(max(int(rows * (share * ratio) ** 0.5), 1), rows)
        width = min(max(int(cols * (share / ratio) ** 0.5), 1), cols)
        top = int(torch.randint(0, rows - height + 1, (), generator=generator))
        left = int(torch.randint(0, cols - width + 1, (), generator=generator))
        box = (..., slice(top, top + height), slice(left, left + width))
        for tensor, source in zip(tensors, sources, strict=True):
            tensor[chip][box] = source[(place + 1) % len(chips)][box]
