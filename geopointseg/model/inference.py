"""Inference: class probabilities of images, windows and pixels.

All probabilities are computed by the same steps in the same order:

1. each model takes its own bands of the image;
2. each of its members normalizes them and returns probabilities;
3. the members are averaged by their weights;
4. the temperature of the model is applied to the mean;
5. the models are averaged by their weights;
6. test-time augmentation averages the result over variants of the image.

Three functions run these steps: `predict_patch` for an image in memory, `predict_window` for a window of a scene, and
`predict_at` for single pixels of a scene, without the pixels between them. Maps, training, validation and suggestions use
these functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.model.member import BandedMember, Member, NetworkMember, Span
from geopointseg.model.test_time_augmentation import Augmentation, augmented_variants
from geopointseg.raster.scene import Chip

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]

LARGEST_CELL_PX = 256
"""Largest side of the cells into which `predict_at` groups pixels, in pixels."""
BATCH_PX = 2**18
"""Approximate number of pixels that `predict_at` processes at once."""


class PixelSource(Protocol):
    """Interface of sources of windows: a scene, a mosaic, pixels in memory."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    def read(self, window: Window, /) -> Chip:
        """Read a window, which may reach beyond the border; pixels beyond it are invalid."""


@dataclass(frozen=True)
class WeightedModel:
    """The members of one model, and the combination of their probabilities.

    Parameters
    ----------
    members
        Networks, linear models and forests; their weights sum to one.
    temperature
        The mean of the members is raised to ``1 / temperature`` and normalized again.
    weight
        Weight of the model in the mean of several.
    bands
        Positions of its bands in the image; None takes all bands in their order.
    """

    members: tuple[Member, ...]
    temperature: float = 1.0
    weight: float = 1.0
    bands: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Ensemble:
    """One model or several, and test-time augmentation.

    Parameters
    ----------
    models
        The models; all have the same classes, and their weights sum to one.
    augmentation
        Test-time augmentation; see `augmented_variants`.
    disagreement
        Whether the members' mean entropy follows the probabilities as a last channel.
    """

    models: tuple[WeightedModel, ...]
    augmentation: Augmentation = "none"
    disagreement: bool = False

    @classmethod
    def of(cls, *members: Member, temperature: float = 1.0) -> Ensemble:
        """Return the ensemble of the members of one model, without augmentation."""
        return cls((WeightedModel(members, temperature),))

    @property
    def members(self) -> list[Member]:
        """All members of all models."""
        return [member for model in self.models for member in model.members]

    @property
    def margin_px(self) -> int:
        """Context that is needed on every side of a pixel, in pixels."""
        return max(member.margin_px for member in self.members)

    @property
    def stride(self) -> int:
        """Windows start and end at multiples of this, in pixels, so that no member pads them."""
        return math.lcm(*(member.stride for member in self.members))


def predict_patch(
    ensemble: Ensemble, image: Image, valid: Mask, inside: Span | None = None
) -> Image:
    """Return the class probabilities of images in memory.

    Parameters
    ----------
    ensemble
        The models.
    image
        float32 ``(band, row, col)``, or ``(sample, band, row, col)``; values as in the scene.
    valid
        bool ``(row, col)``, or ``(sample, row, col)``; True where there is an image.
    inside
        Rows and columns that are wanted; the others are context, of which each member takes as much as it needs. None wants
        all of them.

    Returns
    -------
    ndarray
        float32 ``(class, row, col)``, or ``(sample, class, row, col)``, of the wanted pixels; each sums to one. Values where there is no
        image have no meaning. With ``disagreement``, one more channel holds the members' mean entropy,
        from 0 to 1.
    """
    if image.ndim == 3:
        single: Image = predict_patch(ensemble, image[None], valid[None], inside)[0]
        return single
    if ensemble.augmentation == "none":
        return _average_models(ensemble, image, valid, inside)
    total: Image | None = None
    count = 0
    for variant, variant_valid, undo in augmented_variants(image, valid, ensemble.augmentation):
        back = undo(_average_models(ensemble, variant, variant_valid))
        total = back.copy() if total is None else np.add(total, back, out=total)
        count += 1
    assert total is not None  # noqa: S101 - there is always a first variant
    total /= count
    return total if inside is None else total[..., *inside]


def _average_models(
    ensemble: Ensemble, image: Image, valid: Mask, inside: Span | None = None
) -> Image:
    total: Image | None = None
    for model in ensemble.models:
        own = image
        if model.bands is not None and model.bands != tuple(range(image.shape[1])):
            own = image[:, list(model.bands)]
        found = _average_members(
            model, np.ascontiguousarray(own), valid, inside, disagreement=ensemble.disagreement
        )
        found = found if model.weight == 1.0 else found * np.float32(model.weight)
        total = found if total is None else np.add(total, found, out=total)
    assert total is not None  # noqa: S101 - an ensemble has at least one model
    return total


def _average_members(
    model: WeightedModel, image: Image, valid: Mask, inside: Span | None, *, disagreement: bool
) -> Image:
    """Return the probabilities of a model, with the mean entropy of its members as a last channel if ``disagreement``."""
    if len(model.members) == 1 and not disagreement:
        found = _ask(model.members[0], image, valid, inside)
        return apply_temperature(found, model.temperature)
    mean: Image = np.zeros(1, np.float32)
    entropy: Image = np.zeros(1, np.float32)
    for member in model.members:
        found = _ask(member, image, valid, inside)
        mean = mean + np.float32(member.weight) * found
        if disagreement:
            tempered = apply_temperature(found, model.temperature)
            entropy = entropy + np.float32(member.weight) * relative_entropy(tempered, axis=1)
    mean = apply_temperature(mean, model.temperature)
    return np.concatenate([mean, entropy[:, None]], axis=1) if disagreement else mean


def _ask(member: Member, image: Image, valid: Mask, inside: Span | None) -> Image:
    """Return the probabilities of a member for the wanted pixels, computed with the context that it needs."""
    if inside is None:
        return member.probabilities(image, valid)
    rows, cols = inside
    wanted = Window.from_slices(rows, cols)
    around, inner = surround(wanted, valid.shape[1:], member.margin_px, member.stride)
    part = around.toslices()
    image, valid = np.ascontiguousarray(image[..., *part]), valid[:, *part]
    if isinstance(member, (BandedMember, NetworkMember)):
        return member.probabilities(image, valid, inner)
    return member.probabilities(image, valid)[..., *inner]


def apply_temperature(probabilities: Image, temperature: float) -> Image:
    """Return probabilities raised to ``1 / temperature`` and normalized again.

    Parameters
    ----------
    probabilities
        float32, classes along axis 1.
    temperature
        Above 1, probabilities become less certain; below 1, more.

    Returns
    -------
    ndarray
        float32 of the same shape; each pixel sums to one.

    References
    ----------
    C. Guo et al., On calibration of modern neural networks, ICML 2017, doi:10.48550/arXiv.1706.04599.

    Examples
    --------
    >>> apply_temperature(np.array([[0.8, 0.2]], dtype=np.float32), 0.5).round(3)
    array([[0.941, 0.059]], dtype=float32)
    """
    if temperature == 1.0:
        return probabilities
    raised = np.power(probabilities, np.float32(1.0 / temperature))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True).clip(min=1e-12), dtype=np.float32)


def relative_entropy(probabilities: Image, axis: int = 0) -> Image:
    """Return the entropy of probabilities as a share of the largest possible one.

    Parameters
    ----------
    probabilities
        float32, classes along ``axis``.
    axis
        Axis of the classes; the result lacks it.

    Returns
    -------
    ndarray
        float32; 0 where one class is certain, 1 where all classes are equally likely.

    Examples
    --------
    >>> relative_entropy(np.array([[0.5, 0.9], [0.5, 0.1]], dtype=np.float32)).round(2)
    array([1.  , 0.47], dtype=float32)
    """
    classes = probabilities.shape[axis]
    if classes < 2:
        return np.zeros_like(probabilities.sum(axis=axis))
    logs = np.log(np.maximum(probabilities, np.float32(1e-12)))
    logs *= probabilities
    return np.asarray(logs.sum(axis=axis) / np.float32(-math.log(classes)))


def predict_window(
    ensemble: Ensemble, source: PixelSource, window: Window, *, context_px: int | None = None
) -> tuple[Image, Mask]:
    """Return the class probabilities of a window of a scene, computed with its context.

    Parameters
    ----------
    ensemble
        The models.
    source
        Scene, mosaic or pixels in memory, with the bands of the models.
    window
        Pixel window with whole offsets and lengths.
    context_px
        Pixels read on every side of the window, clipped at the border of the source; by default what the members need.

    Returns
    -------
    probabilities : float32 ``(class, row, col)``
        As `predict_patch` returns them, of the window's size.
    valid : bool ``(row, col)``
        True where there is an image.
    """
    context = ensemble.margin_px if context_px is None else context_px
    around, inside = surround(window, source.shape, context, ensemble.stride)
    chip = source.read(around)
    return predict_patch(ensemble, chip.image, chip.valid)[:, *inside], chip.valid[inside]


def surround(
    window: Window, shape: tuple[int, int], context_px: int, stride: int
) -> tuple[Window, tuple[slice, slice]]:
    """Return a window enlarged by its context, and the position of the window in it.

    Parameters
    ----------
    window
        Pixel window with whole offsets and lengths.
    shape
        Rows and columns of the source; there is no context beyond them.
    context_px
        Smallest number of pixels on every side.
    stride
        The larger window starts and ends at multiples of this, like the windows of a map.

    Returns
    -------
    around : Window
        The larger window.
    inside : tuple of slice
        Rows and columns of the smaller window in it.

    Examples
    --------
    >>> around, (rows, cols) = surround(Window(10, 0, 5, 5), (100, 18), 4, 4)
    >>> (around.col_off, around.row_off, around.width, around.height), rows, cols
    ((4, 0, 16, 12), slice(0, 5, None), slice(6, 11, None))
    """
    spans, inside = [], []
    for start, size, length in (
        (int(window.row_off), int(window.height), shape[0]),
        (int(window.col_off), int(window.width), shape[1]),
    ):
        first = min(max(start - context_px, 0), start) // stride
        last = -(-max(min(start + size + context_px, length), start + size) // stride)
        spans.append((first * stride, (last - first) * stride))
        inside.append(slice(start - first * stride, start - first * stride + size))
    (row, height), (col, width) = spans
    return Window(col, row, width, height), (inside[0], inside[1])


def predict_at(
    ensemble: Ensemble,
    source: PixelSource,
    row: Indices,
    col: Indices,
    *,
    context_px: int | None = None,
    advance: Callable[[int], object] = lambda _: None,
) -> Image:
    """Return the class probabilities of single pixels, without the pixels between them.

    Pixels are grouped by square cells. Each cell is read with its context, and several cells are processed together.
    The side of the cells is chosen so that the number of computed pixels is smallest: small cells for scattered pixels,
    large cells for clusters.

    Parameters
    ----------
    ensemble
        The models.
    source
        Scene, mosaic or pixels in memory, with the bands of the models.
    row, col
        Rows and columns of the pixels, int64 ``(pixel,)``; all inside the source.
    context_px
        Pixels read on every side of a cell, clipped at the border of the source; by default what the members need.
    advance
        Called with the number of pixels that were computed since the last call; may raise to stop the computation.

    Returns
    -------
    ndarray
        float32 ``(pixel, class)``; NaN where there is no image. ``(0, 0)`` without pixels.
    """
    found = np.zeros((len(row), 0), dtype=np.float32)
    context = ensemble.margin_px if context_px is None else context_px
    for group in _groups(row, col, source.shape, context, ensemble.stride):
        chips = [source.read(window) for window, _ in group]
        image = np.stack([chip.image for chip in chips])
        valid = np.stack([chip.valid for chip in chips])
        channels = np.where(valid[:, None], predict_patch(ensemble, image, valid), np.nan)
        if not found.shape[1]:
            found = np.zeros((len(row), channels.shape[1]), dtype=np.float32)
        for values, (window, pixels) in zip(channels, group, strict=True):
            top, left = int(window.row_off), int(window.col_off)
            found[pixels] = values[:, row[pixels] - top, col[pixels] - left].T
            advance(len(pixels))
    return found


def _groups(
    row: Indices, col: Indices, shape: tuple[int, int], context: int, stride: int
) -> Iterator[list[tuple[Window, Indices]]]:
    """Yield groups of windows with the positions of their pixels; a group is processed at once.

    All windows have one size, and those at the border of the source have more context on their other sides: a GPU took about a
    second to prepare convolutions for each new size.
    """
    if not len(row):
        return
    side = _cell_side(row, col, shape, context, stride)
    reach = -(-context // stride) * stride
    limits = [-(-length // stride) * stride for length in shape]
    height, width = (min(side + 2 * reach, limit) for limit in limits)
    _, cell_of = np.unique(_cells(row, col, side), axis=0, return_inverse=True)
    order = np.argsort(cell_of.reshape(-1), kind="stable")
    windows = []
    for pixels in np.split(order, np.cumsum(np.bincount(cell_of.reshape(-1)))[:-1]):
        top, left = (int(place[pixels[0]]) // side * side - reach for place in (row, col))
        top, left = max(min(top, limits[0] - height), 0), max(min(left, limits[1] - width), 0)
        windows.append((Window(left, top, width, height), pixels))
    step = max(BATCH_PX // (height * width), 1)
    for first in range(0, len(windows), step):
        yield windows[first : first + step]


def _cell_side(
    row: Indices, col: Indices, shape: tuple[int, int], context: int, stride: int
) -> int:
    """Return the side of the cells that minimizes the number of computed pixels, a multiple of the stride."""
    wanted = (1, context, 2 * context, 4 * context, LARGEST_CELL_PX)
    sides = {-(-min(max(side, 1), LARGEST_CELL_PX) // stride) * stride for side in wanted}

    def pixels(side: int) -> int:
        first = np.unique(_cells(row, col, side), axis=0) * side
        last = np.minimum(first + side + context, shape)
        return int((last - np.maximum(first - context, 0)).prod(axis=1).sum())

    return min(sorted(sides, reverse=True), key=pixels)


def _cells(row: Indices, col: Indices, side: int) -> Indices:
    return np.column_stack([row // side, col // side])
