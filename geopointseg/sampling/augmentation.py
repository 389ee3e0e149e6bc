"""Augmentation of chips with any number of bands, on torch batches.

Geometry (the eight symmetries of the square, scale) moves image, labels, weights, validity and soft labels alike.
Radiometry (gain, offset, gamma, band dropout, noise, blur) changes the image alone. Hue and saturation are left out:
they mean nothing beyond red, green and blue. Images are expected normalized, that is with a mean near 0 and a
standard deviation near 1 per band, and with 0 where not valid.

Weak and strong views of a batch share their geometry, so that a teacher's probabilities of the weak view are, pixel by
pixel, the target for the strong view (FixMatch).

References
----------
K. Sohn et al. (2020). FixMatch: simplifying semi-supervised learning with consistency and confidence. NeurIPS.
https://doi.org/10.48550/arXiv.2001.07685

G. French et al. (2020). Semi-supervised semantic segmentation needs strong, varied perturbations. BMVC.
https://doi.org/10.48550/arXiv.1906.01916
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Generator, Tensor

from geopointseg.labels.sparse_mask import UNLABELLED
from geopointseg.summary import described

_LOWEST, _HIGHEST = -3.0, 3.0
"""The range of normalized values, in standard deviations, to which gamma is applied."""


@described
@dataclass(frozen=True)
class Batch:
    """Images of chips with labels, weights, validity and soft labels, as tensors on one device.

    Parameters
    ----------
    image
        float ``(chip, band, row, col)``, normalized; 0 where not valid.
    mask
        int64 ``(chip, row, col)`` class indices, -1 where unlabelled.
    weight
        float ``(chip, row, col)``.
    valid
        bool ``(chip, row, col)``.
    soft
        float ``(chip, class, row, col)`` soft labels, or any other maps that should move along.
    """

    image: Tensor
    mask: Tensor | None = None
    weight: Tensor | None = None
    valid: Tensor | None = None
    soft: Tensor | None = None

    def __len__(self) -> int:
        return len(self.image)


@dataclass(frozen=True)
class Geometry:
    """How each chip of a batch is moved.

    Parameters
    ----------
    transpose, flip_rows, flip_cols
        bool ``(chip,)``, done in this order.
    scale
        float ``(chip,)``, done last: above 1 magnifies.
    anchor
        float ``(chip, 2)``: the place, as x and y from -1 to 1, that keeps still while the rest is scaled.
    """

    transpose: Tensor
    flip_rows: Tensor
    flip_cols: Tensor
    scale: Tensor
    anchor: Tensor


@described
@dataclass(frozen=True)
class Augmentation:
    """How strongly chips are varied; zero switches a kind of variation off.

    The defaults are stronger than those of `train`, which ``build_augmentation(AugmentationConfig())`` gives.

    Parameters
    ----------
    symmetry
        Whether chips are flipped and turned by quarters. Overhead imagery has no up.
    scale
        Largest magnification; chips are scaled between 1 / scale and scale. 1 leaves them.
    scale_probability
        Share of chips that are scaled.
    gain, offset
        Standard deviation of the log gain and of the additive offset per band of a chip. Half of the variance is common
        to all bands (haze, sun), half is drawn per band (sensor).
    gamma
        Largest exponent that bends a chip's values; between 1 / gamma and gamma.
    dropout
        Probability that a band of a chip is blanked; one band always stays.
    noise
        Largest standard deviation of the noise added to a chip.
    blur
        Largest standard deviation of the Gaussian that smooths a chip, in pixels.
    blur_probability
        Share of chips that are smoothed.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(1)
    >>> batch = Batch(torch.randn(2, 5, 32, 32), mask=torch.full((2, 32, 32), -1))
    >>> weak, strong = Augmentation().views(batch, generator)
    >>> strong.image.shape, bool((weak.mask == strong.mask).all())
    (torch.Size([2, 5, 32, 32]), True)
    """

    symmetry: bool = True
    scale: float = 1.4
    scale_probability: float = 0.5
    gain: float = 0.15
    offset: float = 0.25
    gamma: float = 1.4
    dropout: float = 0.05
    noise: float = 0.15
    blur: float = 1.0
    blur_probability: float = 0.3

    def weak(self, batch: Batch, generator: Generator) -> Batch:
        """Move the chips and leave their values."""
        return move(batch, self.draw_geometry(batch, generator))

    def strong(self, batch: Batch, generator: Generator) -> Batch:
        """Move the chips and change their values."""
        return self.recolor(self.weak(batch, generator), generator)

    def views(self, batch: Batch, generator: Generator) -> tuple[Batch, Batch]:
        """Return a weak and a strong view with the same geometry."""
        weak = self.weak(batch, generator)
        return weak, self.recolor(weak, generator)

    def draw_geometry(self, batch: Batch, generator: Generator) -> Geometry:
        """Draw how each chip is moved.

        The place that keeps still while a chip is scaled is one of its labels, where it has any: magnifying never
        pushes the last label out.
        """
        count, square = len(batch), batch.image.shape[-1] == batch.image.shape[-2]
        code = torch.randint(0, 8 if self.symmetry else 1, (count,), generator=generator)
        reach = math.log(self.scale)
        exponent = torch.empty(count).uniform_(-reach, reach, generator=generator)
        scaled = torch.rand(count, generator=generator) < self.scale_probability
        return Geometry(
            transpose=(code >= 4) & square,
            flip_rows=code % 4 >= 2,
            flip_cols=code % 2 >= 1,
            scale=torch.where(scaled, exponent.exp(), 1.0),
            anchor=_draw_anchors(batch, generator),
        )

    def recolor(self, batch: Batch, generator: Generator) -> Batch:
        """Change the values of the image by gain, offset, gamma, band dropout, blur and noise."""
        image = batch.image
        gain, offset, kept = self._draw_bands(image, generator)
        if self.gamma > 1:
            reach = math.log(self.gamma)
            exponent = _uniform((len(batch), 1, 1, 1), reach, generator, image).exp()
            image = bend(image, exponent)
        image = torch.addcmul(offset * kept, image, gain * kept)
        if self.noise > 0:
            image = image.add_(self._draw_noise(image, generator) * kept)
        image = self._blur_some(image, batch.valid, generator)
        if batch.valid is not None:
            image = image.mul_(batch.valid[:, None])
        return replace(batch, image=image)

    def _draw_bands(self, image: Tensor, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw gain, offset and whether it is kept, for each band of each chip."""
        count, bands = image.shape[:2]
        common = torch.randn((2, count, 1), generator=generator)
        own = torch.randn((2, count, bands), generator=generator)
        spread = (common + own) * math.sqrt(0.5)
        gain = (spread[0] * self.gain).exp()
        offset = spread[1] * self.offset
        luck = torch.rand((count, bands), generator=generator)
        kept = (luck >= self.dropout) | (luck == luck.amax(dim=1, keepdim=True))
        per_band = torch.stack([gain, offset, kept.float()]).to(image)
        return tuple(per_band[..., None, None].unbind())  # type: ignore[return-value]

    def _draw_noise(self, image: Tensor, generator: Generator) -> Tensor:
        deviation = torch.rand((len(image), 1, 1, 1), generator=generator).mul_(self.noise)
        noise = torch.randn(image.shape, generator=generator)
        return noise.mul_(deviation).to(image)

    def _blur_some(self, image: Tensor, valid: Tensor | None, generator: Generator) -> Tensor:
        chosen = torch.rand(len(image), generator=generator) < self.blur_probability
        sigma = (0.3 + torch.rand(len(image), generator=generator) * (self.blur - 0.3)).clamp(0.05)
        if self.blur <= 0 or not chosen.any():
            return image
        picks = chosen.nonzero().flatten().to(image.device)
        of_picks = None if valid is None else valid[picks]
        image[picks] = blur(image[picks], sigma[chosen].to(image), of_picks)
        return image


def move(batch: Batch, geometry: Geometry) -> Batch:
    """Move everything in a batch alike.

    Images and soft labels are interpolated, and mirrored where scaling down bares the border. A pixel of the moved mask
    has the label of the pixel that it falls on; labels that fall between pixels are put where their centres go, so
    that scaling down loses none but by collision.
    """
    turned = replace(
        batch,
        image=_turn(batch.image, geometry),
        mask=None if batch.mask is None else _turn(batch.mask, geometry),
        weight=None if batch.weight is None else _turn(batch.weight, geometry),
        valid=None if batch.valid is None else _turn(batch.valid, geometry),
        soft=None if batch.soft is None else _turn(batch.soft, geometry),
    )
    scaled = (geometry.scale != 1).nonzero().flatten()
    return turned if len(scaled) == 0 else _scale(turned, geometry, scaled)


def _turn(maps: Tensor, geometry: Geometry) -> Tensor:
    """Transpose, then flip, chip by chip; never in place."""
    moved = torch.empty_like(maps)
    orders = zip(
        geometry.transpose.tolist(),
        geometry.flip_rows.tolist(),
        geometry.flip_cols.tolist(),
        strict=True,
    )
    for target, chip, (transposed, rows, cols) in zip(moved, maps, orders, strict=True):
        axes = [axis for axis, flipped in ((-2, rows), (-1, cols)) if flipped]
        turned = chip.transpose(-1, -2) if transposed else chip
        target.copy_(turned.flip(axes) if axes else turned)
    return moved


def _scale(batch: Batch, geometry: Geometry, picks: Tensor) -> Batch:
    """Scale the picked chips about their anchors; tensors of the batch are this module's own and written to."""
    device = batch.image.device
    picks = picks.to(device)
    scale = geometry.scale.to(device)[picks]
    anchor = _turned_anchor(geometry).to(device)[picks]
    shape = batch.image.shape[-2:]
    x, y = _sources(scale, anchor, shape, device)
    grid = torch.stack([x[:, None, :].expand(-1, *shape), y[:, :, None].expand(-1, *shape)], dim=-1)
    for maps in (batch.image, batch.soft):
        if maps is not None:
            maps[picks] = F.grid_sample(
                maps[picks], grid.to(maps), "bilinear", "reflection", align_corners=False
            )
    rows, cols = _nearest(y, shape[0]), _nearest(x, shape[1])
    at = picks[:, None, None], rows[:, :, None], cols[:, None, :]
    between = None if batch.mask is None else _between(batch, picks, scale, anchor)
    for maps in (batch.mask, batch.weight, batch.valid):
        if maps is not None:
            maps[picks] = maps[at]
    if between is not None:
        _put_between(batch, *between)
    if batch.valid is not None:
        batch.image.mul_(batch.valid[:, None])
    return batch


def _turned_anchor(geometry: Geometry) -> Tensor:
    """Return where the anchors lie after transposing and flipping."""
    swapped = torch.where(geometry.transpose[:, None], geometry.anchor.flip(1), geometry.anchor)
    signs = torch.stack([geometry.flip_cols, geometry.flip_rows], dim=1)
    return torch.where(signs, -swapped, swapped)


def _sources(
    scale: Tensor, anchor: Tensor, shape: torch.Size, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return which x and y (from -1 to 1) each column and row of the scaled chips is taken from."""
    height, width = shape
    to_x = (torch.arange(width, device=device) * 2 + 1) / width - 1
    to_y = (torch.arange(height, device=device) * 2 + 1) / height - 1
    x = anchor[:, :1] + (to_x - anchor[:, :1]) / scale[:, None]
    y = anchor[:, 1:] + (to_y - anchor[:, 1:]) / scale[:, None]
    return x, y


def _nearest(place: Tensor, length: int) -> Tensor:
    """Return the pixel on which places from -1 to 1 fall, mirrored at the border."""
    folded = ((place - 1) % 4 - 2).abs() - 1
    return ((folded + 1) * length / 2).floor().long().clamp(0, length - 1)


def _between(
    batch: Batch, picks: Tensor, scale: Tensor, anchor: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
    """Return where the centres of labelled pixels go: chip, row, col, class and weight."""
    assert batch.mask is not None  # noqa: S101
    height, width = batch.mask.shape[-2:]
    chip, row, col = (batch.mask[picks] != UNLABELLED).nonzero(as_tuple=True)
    x = (col * 2 + 1) / width - 1
    y = (row * 2 + 1) / height - 1
    x = anchor[chip, 0] + (x - anchor[chip, 0]) * scale[chip]
    y = anchor[chip, 1] + (y - anchor[chip, 1]) * scale[chip]
    to_col = ((x + 1) * width / 2).floor().long()
    to_row = ((y + 1) * height / 2).floor().long()
    inside = (to_row >= 0) & (to_row < height) & (to_col >= 0) & (to_col < width)
    chip, row, col = picks[chip[inside]], row[inside], col[inside]
    weight = None if batch.weight is None else batch.weight[chip, row, col]
    return chip, to_row[inside], to_col[inside], batch.mask[chip, row, col], weight


def _put_between(
    batch: Batch, chip: Tensor, row: Tensor, col: Tensor, label: Tensor, weight: Tensor | None
) -> None:
    """Write labels to unlabelled pixels, so that nearest-neighbour sampling drops no label."""
    assert batch.mask is not None  # noqa: S101
    free = batch.mask[chip, row, col] == UNLABELLED
    batch.mask[chip[free], row[free], col[free]] = label[free]
    if batch.weight is not None and weight is not None:
        batch.weight[chip[free], row[free], col[free]] = weight[free]


def _draw_anchors(batch: Batch, generator: Generator) -> Tensor:
    """Draw one place a chip: a labelled pixel where there is one, anywhere else."""
    height, width = batch.image.shape[-2:]
    anywhere = torch.rand((len(batch), 2), generator=generator) * 2 - 1
    luck = torch.rand((len(batch), height * width), generator=generator)
    if batch.mask is None:
        return anywhere
    labelled = (batch.mask != UNLABELLED).flatten(1).cpu()
    pixel = torch.where(labelled, luck + 1, luck).argmax(dim=1)
    row, col = pixel // width, pixel % width
    at = torch.stack([(col * 2 + 1) / width - 1, (row * 2 + 1) / height - 1], dim=1)
    return torch.where(labelled.any(dim=1, keepdim=True), at, anywhere)


def bend(image: Tensor, exponent: Tensor) -> Tensor:
    """Apply a gamma curve to normalized values: dark and bright ends stay, the middle is lifted or lowered.

    Parameters
    ----------
    image
        ``(chip, band, row, col)``.
    exponent
        Broadcastable to the image; 1 changes nothing.
    """
    span = _HIGHEST - _LOWEST
    share = (image - _LOWEST).div_(span).clamp_(min=1e-12)
    return share.log_().mul_(exponent).exp_().mul_(span).add_(_LOWEST)


def blur(image: Tensor, sigma: Tensor, valid: Tensor | None = None) -> Tensor:
    """Smooth every chip by a Gaussian of its own width.

    Parameters
    ----------
    image
        ``(chip, band, row, col)``; 0 where not valid.
    sigma
        Standard deviation in pixels, ``(chip,)``.
    valid
        bool ``(chip, row, col)``: what is not valid lends nothing to its neighbours.
    """
    radius = max(1, int(2.5 * float(sigma.max()) + 0.5))
    steps = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (steps / sigma[:, None]) ** 2)
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    if valid is None or bool(valid.all()):
        return _convolve(image, kernel, "reflect")
    weight = _convolve(valid[:, None].to(image), kernel, "constant")
    return _convolve(image, kernel, "constant") / weight.clamp(min=1e-6)


def _convolve(image: Tensor, kernel: Tensor, border: str) -> Tensor:
    """Convolve rows and columns of every chip with the chip's kernel ``(chip, tap)``."""
    count, bands, height, width = image.shape
    radius = kernel.shape[1] // 2
    border = border if radius < min(height, width) else "constant"
    taps = kernel.repeat_interleave(bands, dim=0)
    planes = F.pad(image.reshape(1, count * bands, height, width), [radius] * 4, mode=border)
    planes = F.conv2d(planes, taps[:, None, :, None], groups=count * bands)
    planes = F.conv2d(planes, taps[:, None, None, :], groups=count * bands)
    return planes.reshape(image.shape)


def _uniform(shape: tuple[int, ...], reach: float, generator: Generator, like: Tensor) -> Tensor:
    return torch.empty(shape).uniform_(-reach, reach, generator=generator).to(like)


def draw_boxes(
    count: int,
    shape: tuple[int, int],
    generator: Generator,
    area: tuple[float, float] = (0.1, 0.4),
) -> Tensor:
    """Draw one rectangle a chip, as CutMix uses them.

    Parameters
    ----------
    count
        Number of chips.
    shape
        Rows and columns of a chip.
    generator
        Source of randomness.
    area
        Smallest and largest share of the chip that a rectangle takes; sides are up to twice as long one way as the
        other. Rectangles lie wholly inside.

    Returns
    -------
    Tensor
        bool ``(chip, row, col)``, True inside.

    References
    ----------
    S. Yun et al. (2019). CutMix: regularization strategy to train strong classifiers with localizable features. ICCV.
    https://doi.org/10.1109/ICCV.2019.00612
    """
    height, width = shape
    share, tilt, down, right = torch.rand((4, count), generator=generator)
    side = (area[0] + share * (area[1] - area[0])).sqrt()
    stretch = torch.exp((tilt * 2 - 1) * math.log(math.sqrt(2.0)))
    rows = (side * stretch * height).round().clamp(1, height)
    cols = (side / stretch * width).round().clamp(1, width)
    top, left = (down * (height - rows + 1)).floor(), (right * (width - cols + 1)).floor()
    row, col = torch.arange(height), torch.arange(width)
    in_rows = (row >= top[:, None]) & (row < (top + rows)[:, None])
    in_cols = (col >= left[:, None]) & (col < (left + cols)[:, None])
    boxes: Tensor = in_rows[:, :, None] & in_cols[:, None, :]
    return boxes


def cut_and_paste(onto: Batch, other: Batch, boxes: Tensor) -> Batch:
    """Paste the boxes of one batch onto another: image, labels, weights, validity and soft labels alike.

    Parameters
    ----------
    onto, other
        Batches of the same shape; what one of them lacks is left out.
    boxes
        bool ``(chip, row, col)`` from `draw_boxes`.
    """
    boxes = boxes.to(onto.image.device)

    def mixed(a: Tensor | None, b: Tensor | None) -> Tensor | None:
        if a is None or b is None:
            return None
        return torch.where(boxes if a.dim() == 3 else boxes[:, None], b, a)

    return Batch(
        torch.where(boxes[:, None], other.image, onto.image),
        mixed(onto.mask, other.mask),
        mixed(onto.weight, other.weight),
        mixed(onto.valid, other.valid),
        mixed(onto.soft, other.soft),
    )
