"""Test-time augmentation: variants of an image in several orientations or scales, and their inverse transforms.

The probabilities of all variants are transformed back to the pixels of the image and averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

Augmentation = Literal["none", "flip", "d4", "scales"]
Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
Variant = tuple[Image, Mask, Callable[[Image], Image]]
"""A transformed image, its valid pixels, and the inverse transform for planes of it."""

FLIPS: dict[str, tuple[tuple[int, ...], ...]] = {
    "none": ((),),
    "flip": ((), (-2,), (-1,), (-2, -1)),
    "d4": ((), (-1,)),
}
"""Axes along which each augmentation mirrors the image; ``d4`` also rotates it."""
SCALES = (0.75, 1.0, 1.25)
"""Scale factors of the augmentation ``scales``."""


def augmented_variants(image: Image, valid: Mask, augmentation: Augmentation) -> Iterator[Variant]:
    """Yield the variants of an image that an augmentation averages over.

    Parameters
    ----------
    image
        float32 ``(sample, band, row, col)``.
    valid
        bool ``(sample, row, col)``.
    augmentation
        ``none``: the image itself; ``flip``: four mirror images; ``d4``: eight mirror images and rotations;
        ``scales``: three scale factors, see `SCALES`.

    Yields
    ------
    tuple
        The image, its valid pixels, and a function that transforms float32 ``(..., row, col)`` back to the pixels of the
        original.
    """
    if augmentation == "scales":
        for scale in SCALES:
            yield _scaled(image, valid, scale)
        return
    for turns in range(4 if augmentation == "d4" else 1):
        for axes in FLIPS[augmentation]:
            yield _rotated(image, valid, turns, axes)


def _rotated(image: Image, valid: Mask, turns: int, flips: tuple[int, ...]) -> Variant:
    def rotate(array: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(np.flip(np.rot90(array, turns, axes=(-2, -1)), axis=flips))

    def undo(array: Image) -> Image:
        return np.rot90(np.flip(array, axis=flips), -turns, axes=(-2, -1))

    return rotate(image), rotate(valid), undo


def _scaled(image: Image, valid: Mask, scale: float) -> Variant:
    if scale == 1.0:
        return image, valid, lambda array: array
    height, width = image.shape[-2:]
    small = max(round(height * scale), 1), max(round(width * scale), 1)
    weight = resize(valid.astype(np.float32), *small)
    share = np.maximum(weight, np.float32(1e-6))[:, None]
    scaled: Image = np.divide(resize(image * valid[:, None], *small), share, dtype=np.float32)
    return scaled, weight > 0.5, lambda array: resize(array, height, width)


def resize(array: Image, height: int, width: int) -> Image:
    """Resample the last two axes linearly to a new size, with the same outer pixel edges.

    Parameters
    ----------
    array
        float32 ``(..., row, col)``.
    height, width
        New number of rows and columns.

    Returns
    -------
    ndarray
        float32 ``(..., height, width)``.

    Examples
    --------
    >>> resize(np.array([[0.0, 1.0]], dtype=np.float32), 1, 4).round(2).tolist()
    [[0.0, 0.25, 0.75, 1.0]]
    """
    planes = torch.from_numpy(array.astype(np.float64)).reshape(-1, 1, *array.shape[-2:])
    resized = functional.interpolate(planes, (height, width), mode="bilinear", align_corners=False)
    return cast("Image", resized.float().numpy().reshape(*array.shape[:-2], height, width))
