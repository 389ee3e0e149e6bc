"""Losses for sparsely labelled pixels, and for expanded, pseudo- and soft labels.

All are pure functions on tensors; the module `PartialFocalLoss` wraps one of them. Logits are ``(sample, class, ...)``
with any number of further dimensions. Targets ``(sample, ...)`` hold class indices, and ``UNLABELLED`` (-1) elsewhere. Where
nothing is labelled, every loss is 0 with a gradient of zeros, never NaN. Only labelled pixels are computed, so a few points
on a large chip cost little time.

The region losses `partial_dice_loss` and `lovasz_softmax_loss` need many labelled pixels. They are meant for expanded labels
and pseudo-labels, not for single points.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geopointseg.errors import ModelError
from geopointseg.labels.sparse_mask import UNLABELLED

_TINY = 1e-6


def partial_focal_loss(
    logits: Tensor,
    target: Tensor,
    *,
    gamma: float = 0.0,
    class_weight: Tensor | None = None,
    pixel_weight: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    r"""Return the focal cross-entropy of the labelled pixels.

    .. math::
        L = \frac{\sum_i v_i w_{y_i} (1 - p_{i,y_i})^\gamma \, \mathrm{CE}_i}{\sum_i v_i w_{y_i}}

    The sums run over the labelled pixels of the whole batch, so every point has the same weight, whatever the number of
    points in its chip. ``gamma = 0`` is exactly `torch.nn.functional.cross_entropy` with ``ignore_index=-1``. The focal factor
    is that of the softmax, not of one sigmoid per class.

    Parameters
    ----------
    logits
        ``(sample, class, ...)``.
    target
        int64 ``(sample, ...)``: class index, -1 where unlabelled.
    gamma
        Focusing exponent; 0 turns focusing off.
    class_weight
        ``(class,)``, the :math:`w`; as in the weighted mean of `torch.nn.functional.cross_entropy`.
    pixel_weight
        ``(sample, ...)``, the :math:`v`, for example the weight of each point; one where None.
    label_smoothing
        Share of each target that is spread over all classes.

    Returns
    -------
    Tensor
        A scalar; 0 with a gradient of zeros where nothing is labelled.

    Raises
    ------
    ModelError
        If the shapes do not fit, or the target holds a class index that the logits lack.

    References
    ----------
    T.-Y. Lin et al., Focal loss for dense object detection, ICCV 2017, doi:10.1109/ICCV.2017.324.

    Examples
    --------
    >>> logits = torch.zeros(1, 2, 1, 2)
    >>> partial_focal_loss(logits, torch.tensor([[[0, -1]]]), gamma=2.0)
    tensor(0.1733)
    """
    labelled = _labelled(logits, target)
    if not bool(labelled.any()):
        return _zero(logits)
    if gamma == 0.0 and pixel_weight is None:
        return F.cross_entropy(
            logits,
            target,
            weight=class_weight,
            ignore_index=UNLABELLED,
            label_smoothing=label_smoothing,
        )
    scores, classes = _pixels(logits, labelled), target[labelled]
    loss = F.cross_entropy(
        scores,
        classes,
        weight=class_weight,
        reduction="none",
        label_smoothing=label_smoothing,
    )
    if gamma != 0.0:
        log_pt = F.log_softmax(scores, dim=1).gather(1, classes[:, None])[:, 0]
        loss = loss * (-torch.expm1(log_pt)).clamp(min=_TINY) ** gamma
    weight = torch.ones_like(loss) if class_weight is None else class_weight[classes].to(loss)
    if pixel_weight is not None:
        value = pixel_weight[labelled].to(loss)
        loss, weight = loss * value, weight * value
    return loss.sum() / weight.sum().clamp(min=_TINY)


class PartialFocalLoss(nn.Module):
    """The focal cross-entropy of labelled pixels as a module; see `partial_focal_loss`.

    Parameters
    ----------
    gamma
        Focusing exponent.
    class_weight
        ``(class,)`` or None.
    label_smoothing
        Share of each target that is spread over all classes.
    """

    class_weight: Tensor | None

    def __init__(
        self, gamma: float = 0.0, class_weight: Tensor | None = None, label_smoothing: float = 0.0
    ) -> None:
        super().__init__()
        self.gamma = gamma
        self.label_smoothing = label_smoothing
        self.register_buffer("class_weight", class_weight)

    def forward(self, logits: Tensor, target: Tensor, pixel_weight: Tensor | None = None) -> Tensor:
        """Return the loss; see `partial_focal_loss`.

        Parameters
        ----------
        logits
            ``(sample, class, ...)``.
        target
            int64 ``(sample, ...)``: class index, -1 where unlabelled.
        pixel_weight
            ``(sample, ...)``; one where None.
        """
        return partial_focal_loss(
            logits,
            target,
            gamma=self.gamma,
            class_weight=self.class_weight,
            pixel_weight=pixel_weight,
            label_smoothing=self.label_smoothing,
        )

    def extra_repr(self) -> str:
        """Return the settings for ``print(loss)``."""
        return f"gamma={self.gamma}, label_smoothing={self.label_smoothing}"


def partial_dice_loss(
    logits: Tensor, target: Tensor, *, pixel_weight: Tensor | None = None, smooth: float = 1.0
) -> Tensor:
    """Return one minus the soft Dice coefficient, averaged over the classes that are present.

    Only labelled pixels count. The loss is meant for expanded labels and pseudo-labels.

    Parameters
    ----------
    logits
        ``(sample, class, ...)``.
    target
        int64 ``(sample, ...)``: class index, -1 where unlabelled.
    pixel_weight
        ``(sample, ...)``; one where None.
    smooth
        Constant of `soft_dice` that stabilizes classes with few pixels.

    Returns
    -------
    Tensor
        A scalar in 0..1; 0 with a gradient of zeros where nothing is labelled.

    Raises
    ------
    ModelError
        If the shapes do not fit, or the target holds a class index that the logits lack.
    """
    labelled, classes, p = _labelled_probabilities(logits, target)
    if not len(classes):
        return _zero(logits)
    y = F.one_hot(classes, p.shape[1]).to(p)
    weight = None if pixel_weight is None else pixel_weight[labelled].to(p)
    return 1 - soft_dice(p, y, pixel_weight=weight, smooth=smooth)[y.sum(0) > 0].mean()


def soft_dice(
    probabilities: Tensor,
    membership: Tensor,
    *,
    pixel_weight: Tensor | None = None,
    smooth: float = 0.0,
) -> Tensor:
    r"""Return the soft Dice coefficient of each class, with squares in the denominator.

    .. math::
        D_k = \frac{2 \sum_i v_i p_{ik} y_{ik} + s}{\sum_i v_i p_{ik}^2 + \sum_i v_i y_{ik}^2 + s}

    Parameters
    ----------
    probabilities
        The :math:`p`, ``(pixel, class)``.
    membership
        The :math:`y`, ``(pixel, class)``: one-hot or soft labels.
    pixel_weight
        The :math:`v`, ``(pixel,)``; one where None.
    smooth
        The :math:`s`, in pixels.

    Returns
    -------
    Tensor
        ``(class,)``, in 0..1; NaN without ``smooth`` for a class of probability 0 without any pixel.

    References
    ----------
    F. Milletari et al., V-Net: fully convolutional neural networks for volumetric medical image segmentation,
    3DV 2016, doi:10.1109/3DV.2016.79.

    Examples
    --------
    >>> soft_dice(torch.tensor([[0.2], [0.9]]), torch.tensor([[0.0], [1.0]]))
    tensor([0.9730])
    """
    p, y = probabilities, membership
    v = torch.ones_like(p[:, :1]) if pixel_weight is None else pixel_weight[:, None]
    overlap, size = (v * p * y).sum(0), (v * (p.square() + y.square())).sum(0)
    return (2 * overlap + smooth) / (size + smooth)


def lovasz_softmax_loss(logits: Tensor, target: Tensor) -> Tensor:
    r"""Return the Lovasz extension of the mean Jaccard loss over the classes that are present.

    With the errors :math:`m_k` of class k in decreasing order and :math:`g` the differences of the Jaccard loss along
    that order, :math:`L = \mathrm{mean}_k \langle m_k, g(m_k) \rangle`. The loss is meant for expanded labels and
    pseudo-labels.

    Parameters
    ----------
    logits
        ``(sample, class, ...)``.
    target
        int64 ``(sample, ...)``: class index, -1 where unlabelled.

    Returns
    -------
    Tensor
        A scalar in 0..1; 0 with a gradient of zeros where nothing is labelled.

    Raises
    ------
    ModelError
        If the shapes do not fit, or the target holds a class index that the logits lack.

    References
    ----------
    M. Berman et al., The Lovasz-softmax loss, CVPR 2018, doi:10.1109/CVPR.2018.00464.
    """
    _, classes, p = _labelled_probabilities(logits, target)
    if not len(classes):
        return _zero(logits)
    losses = [_lovasz_of_class(p[:, int(k)], classes == k) for k in classes.unique()]
    return torch.stack(losses).mean()


def _lovasz_of_class(p: Tensor, member: Tensor) -> Tensor:
    truth = member.to(p)
    errors, order = (truth - p).abs().sort(descending=True)
    sorted_truth = truth[order]
    intersection = sorted_truth.sum() - sorted_truth.cumsum(0)
    union = sorted_truth.sum() + (1 - sorted_truth).cumsum(0)
    jaccard = 1 - intersection / union
    gradient = torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
    return torch.dot(errors, gradient)


def soft_cross_entropy(
    logits: Tensor, soft_target: Tensor, *, pixel_weight: Tensor | None = None
) -> Tensor:
    r"""Return the cross-entropy to soft labels, :math:`-\sum_i v_i \sum_k q_{ik} \log p_{ik} / \sum_i v_i`.

    It is the distillation loss of the network on pixels without labels: the teachers' probabilities are the soft labels, and
    their confidence is the weight :math:`v`.

    Parameters
    ----------
    logits
        ``(sample, class, ...)``.
    soft_target
        ``(sample, class, ...)``, probabilities that sum to one over the classes.
    pixel_weight
        ``(sample, ...)``; pixels of weight 0 do not count. One where None.

    Returns
    -------
    Tensor
        A scalar; 0 with a gradient of zeros where all weights are 0.

    References
    ----------
    G. Hinton et al., Distilling the knowledge in a neural network, 2015, doi:10.48550/arXiv.1503.02531.
    """
    loss = -(soft_target * F.log_softmax(logits, dim=1)).sum(1)
    return _weighted_mean(loss, pixel_weight, logits)


def kl_divergence(
    logits: Tensor, soft_target: Tensor, *, pixel_weight: Tensor | None = None
) -> Tensor:
    r"""Return :math:`\sum_i v_i \sum_k q_{ik} \log(q_{ik} / p_{ik}) / \sum_i v_i`.

    Its gradient is that of `soft_cross_entropy`. Its value is 0 where the prediction equals the soft label, which makes it
    easier to read in a log.

    Parameters
    ----------
    logits
        ``(sample, class, ...)``.
    soft_target
        ``(sample, class, ...)``, probabilities that sum to one over the classes.
    pixel_weight
        ``(sample, ...)``; pixels of weight 0 do not count. One where None.

    Returns
    -------
    Tensor
        A scalar; 0 with a gradient of zeros where all weights are 0.

    References
    ----------
    S. Kullback and R. A. Leibler, On information and sufficiency, 1951, doi:10.1214/aoms/1177729694.
    """
    loss = (torch.xlogy(soft_target, soft_target) - soft_target * F.log_softmax(logits, 1)).sum(1)
    return _weighted_mean(loss, pixel_weight, logits)


def consistency_loss(
    logits: Tensor,
    soft_target: Tensor,
    *,
    kind: Literal["mse", "l1"] = "mse",
    pixel_weight: Tensor | None = None,
) -> Tensor:
    r"""Return the distance of two predictions, :math:`\sum_i v_i \, \mathrm{mean}_k\, d(p_{ik}, q_{ik}) / \sum_i v_i`.

    Parameters
    ----------
    logits
        ``(sample, class, ...)``.
    soft_target
        The other prediction, ``(sample, class, ...)``; no gradient flows into it.
    kind
        ``mse`` squares the difference, ``l1`` takes its absolute value.
    pixel_weight
        ``(sample, ...)``; pixels of weight 0 do not count. One where None.

    Returns
    -------
    Tensor
        A scalar; 0 with a gradient of zeros where all weights are 0.

    References
    ----------
    A. Tarvainen and H. Valpola, Mean teachers are better role models, NeurIPS 2017,
    doi:10.48550/arXiv.1703.01780.
    """
    difference = F.softmax(logits, dim=1) - soft_target.detach()
    distance = difference.square() if kind == "mse" else difference.abs()
    return _weighted_mean(distance.mean(1), pixel_weight, logits)


def class_weights(
    counts: Tensor, *, power: float = 0.5, limits: tuple[float, float] = (0.3, 3.0)
) -> Tensor:
    r"""Return class weights :math:`n_k^{-power}`, scaled to a mean of one and then clipped.

    With full inverse frequencies one mislabelled point of a rare class has the weight of a hundred points of a common one.
    The square root and the limits give rare classes more weight without that.

    Parameters
    ----------
    counts
        Labelled pixels of each class, ``(class,)``; classes without any get weight 0.
    power
        0 gives all points the same weight, 1 all classes.
    limits
        Smallest and largest weight.

    Returns
    -------
    Tensor
        float32 ``(class,)``.

    References
    ----------
    Y. Cui et al., Class-balanced loss based on effective number of samples, CVPR 2019,
    doi:10.1109/CVPR.2019.00949.

    Examples
    --------
    >>> class_weights(torch.tensor([100, 25, 0]))
    tensor([0.6667, 1.3333, 0.0000])
    """
    present = counts > 0
    raw = torch.where(present, counts.clamp(min=1).to(torch.float32) ** -power, torch.zeros(()))
    if bool(present.any()):
        raw = raw / raw[present].mean()
    return torch.where(present, raw.clamp(*limits), torch.zeros(()))


def _labelled(logits: Tensor, target: Tensor) -> Tensor:
    expected = (logits.shape[0], *logits.shape[2:])
    if tuple(target.shape) != expected:
        raise ModelError(
            f"The target has the shape {tuple(target.shape)}, the logits {tuple(logits.shape)}. "
            f"Expected a target of {expected}: the logits without their class dimension."
        )
    labelled = target != UNLABELLED
    if bool(labelled.any()):
        low, high = int(target[labelled].min()), int(target[labelled].max())
        if low < 0 or high >= logits.shape[1]:
            raise ModelError(
                f"The target holds the class index {low if low < 0 else high}. Expected 0 to "
                f"{logits.shape[1] - 1}, or {UNLABELLED} where unlabelled; encode class codes with the legend."
            )
    return labelled


def _labelled_probabilities(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return which pixels are labelled, and their class indices ``(pixel,)`` and probabilities ``(pixel, class)``."""
    labelled = _labelled(logits, target)
    return labelled, target[labelled], F.softmax(_pixels(logits, labelled), dim=1)


def _pixels(logits: Tensor, where: Tensor) -> Tensor:
    return logits.movedim(1, -1)[where]


def _weighted_mean(loss: Tensor, pixel_weight: Tensor | None, logits: Tensor) -> Tensor:
    if pixel_weight is None:
        return loss.mean() if loss.numel() else _zero(logits)
    total = pixel_weight.sum()
    if not bool(total > 0):
        return _zero(logits)
    return (loss * pixel_weight).sum() / total


def _zero(logits: Tensor) -> Tensor:
    return logits.flatten()[:0].sum()
