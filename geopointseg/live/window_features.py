"""Features of windows: computed once, kept in half precision, sampled at points and painted by a linear head.

A window is one of those of which `predict` makes a map: the same pixels with the same context. So a live picture equals the map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from rasterio.windows import Window
from torch import Tensor
from torch.nn import functional

from geopointseg.live.live_scene import LiveScene
from geopointseg.live.memory import hold_apart
from geopointseg.model.linear import LATTICE_PX

Half = NDArray[np.float16]
_LARGEST = 6e4


@dataclass(frozen=True)
class FeatureLayout:
    """Order and sizes of the features of a window: planes, then the stages of the extractor.

    Parameters
    ----------
    planes
        Number of planes at full resolution.
    strides, channels
        Of each stage.
    """

    planes: int
    strides: tuple[int, ...]
    channels: tuple[int, ...]

    @classmethod
    def of(cls, scene: LiveScene) -> FeatureLayout:
        """Return the layout of the features of a scene."""
        encoder = scene.body.encoder
        return cls(len(scene.basis), tuple(encoder.strides), tuple(encoder.channels))

    @property
    def count(self) -> int:
        """Number of features of a pixel."""
        return self.planes + sum(self.channels)

    @property
    def starts(self) -> list[int]:
        """First feature of each stage."""
        return (self.planes + np.cumsum([0, *self.channels[:-1]])).tolist()


@dataclass(frozen=True, eq=False)
class WindowFeatures:
    """Features of one window.

    Parameters
    ----------
    planes
        float16 ``(plane, row, col)``.
    stages
        float16 ``(channel, row / stride, col / stride)`` of each stage.
    valid
        bool ``(row, col)``.
    """

    planes: Half
    stages: tuple[Half, ...]
    valid: NDArray[np.bool_]

    @classmethod
    def of(cls, arrays: Sequence[NDArray[Any]]) -> Self:
        """Build the features of the result of `arrays`."""
        return cls(arrays[0], tuple(arrays[1:-1]), arrays[-1])

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return sum(array.nbytes for array in self.arrays())

    def arrays(self) -> list[NDArray[Any]]:
        """Return all arrays in a fixed order."""
        return [self.planes, *self.stages, self.valid]


def compute_window(scene: LiveScene, level: int, window: Window) -> WindowFeatures:
    """Compute the features of a window of a pyramid level.

    Parameters
    ----------
    scene
        The imagery.
    level
        Pyramid level.
    window
        In pixels of the level; sides are multiples of the stride of the features.

    Returns
    -------
    WindowFeatures
        Without stages where nothing is valid.
    """
    pixels = scene.read(window, level)
    encoder = scene.body.encoder
    if not pixels.valid.any():
        empty = np.zeros((0, 0, 0), np.float16)
        return WindowFeatures(empty, tuple(empty for _ in encoder.strides), pixels.valid)
    with torch.inference_mode():
        rgb = torch.from_numpy(pixels.rgb)[None].contiguous(memory_format=torch.channels_last)
        stages = [_half(stage[0]) for stage in encoder(rgb)]
    planes = _half(torch.from_numpy(pixels.planes))
    return WindowFeatures.of(hold_apart([planes, *stages, pixels.valid]))


def _half(values: Tensor) -> Half:
    half: Half = values.clamp(-_LARGEST, _LARGEST).half().contiguous().numpy()
    return half


def sample_window(
    features: WindowFeatures, layout: FeatureLayout, row: NDArray[np.int64], col: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the features of some pixels of a window.

    Parameters
    ----------
    features, layout
        The window.
    row, col
        Pixels of the window, int64 ``(pixel,)``; valid ones.

    Returns
    -------
    ndarray
        float32 ``(pixel, feature)``.
    """
    rows, cols = torch.from_numpy(row), torch.from_numpy(col)
    parts = [torch.from_numpy(features.planes)[:, rows, cols].float()]
    for stride, stage in zip(layout.strides, features.stages, strict=True):
        values = torch.from_numpy(stage)[None].float()
        y = (2 * rows + 1) / (stride * values.shape[2]) - 1
        x = (2 * cols + 1) / (stride * values.shape[3]) - 1
        grid = torch.stack([x, y], dim=-1).float()[None, None]
        parts.append(
            functional.grid_sample(values, grid, padding_mode="border", align_corners=False)[
                0, :, 0
            ]
        )
    return torch.cat(parts).T.contiguous().numpy()


def measure_window(features: WindowFeatures, layout: FeatureLayout) -> NDArray[np.float64]:
    """Return numbers, sums and sums of squares of the features at a lattice of valid pixels.

    Parameters
    ----------
    features, layout
        The window.

    Returns
    -------
    ndarray
        float64 ``(3, feature)``; of several windows, the sum tells their mean and spread.
    """
    row, col = (LATTICE_PX * v for v in np.nonzero(features.valid[::LATTICE_PX, ::LATTICE_PX]))
    if not len(row):
        return np.zeros((3, layout.count))
    values = sample_window(features, layout, row, col).astype(np.float64)
    return np.stack(
        [np.full(layout.count, float(len(row))), values.sum(axis=0), (values**2).sum(axis=0)]
    )


@dataclass(frozen=True, eq=False)
class Head:
    """A linear function from features to logits.

    Parameters
    ----------
    weight
        float32 ``(class, feature)``.
    bias
        float32 ``(class,)``.
    """

    weight: Tensor
    bias: Tensor


def paint_window(
    features: WindowFeatures, layout: FeatureLayout, head: Head, rows: slice, cols: slice
) -> Tensor:
    """Return the logits of a part of a window.

    The head reduces each stage to one value per class before it is upsampled, as in `LinearBody.forward`. Each stride is upsampled in one
    step: with an intermediate stride, bilinear interpolation passes over the corners of the coarser cells, and one pixel in 10^3 gets
    another class than by `predict`.

    Parameters
    ----------
    features, layout
        The window.
    head
        The linear function.
    rows, cols
        The part of the window.

    Returns
    -------
    Tensor
        float32 ``(class, row, col)``.
    """
    region = rows, cols
    sums = _reduce(features, layout, head, region)
    logits = _apply(head.weight[:, : layout.planes], features.planes[:, rows, cols])
    logits += head.bias[:, None, None]
    for planes in sums:
        logits += planes.upsampled(region)
    return logits


@dataclass(frozen=True, eq=False)
class _Planes:
    """Values of each class at some cells of a stride.

    Parameters
    ----------
    stride
        Pixels per cell.
    cells
        Rows and columns of cells.
    values
        float32 ``(class, row, col)``.
    """

    stride: int
    cells: tuple[slice, slice]
    values: Tensor

    @property
    def pixels(self) -> tuple[slice, slice]:
        """Rows and columns of pixels of the cells."""
        rows, cols = self.cells
        return (
            slice(rows.start * self.stride, rows.stop * self.stride),
            slice(cols.start * self.stride, cols.stop * self.stride),
        )

    def upsampled(self, region: tuple[slice, slice]) -> Tensor:
        """Return the values of a region of pixels by bilinear interpolation."""
        size = tuple(self.stride * n for n in self.values.shape[1:])
        wide = functional.interpolate(
            self.values[None], size, mode="bilinear", align_corners=False
        )[0]
        rows, cols = (
            slice(r.start - p.start, r.stop - p.start)
            for r, p in zip(region, self.pixels, strict=True)
        )
        return wide[:, rows, cols]


def _reduce(
    features: WindowFeatures, layout: FeatureLayout, head: Head, region: tuple[slice, slice]
) -> list[_Planes]:
    """Return the sums over the channels of the stages, one per stride, where a region needs them."""
    sums: dict[int, _Planes] = {}
    for stride, start, size, stage in zip(
        layout.strides, layout.starts, layout.channels, features.stages, strict=True
    ):
        weight = head.weight[:, start : start + size]
        if not weight.any():
            continue
        y, x = (
            _cells(span, stride, n) for span, n in zip(region, features.valid.shape, strict=True)
        )
        own = _apply(weight, stage[:, y, x])
        found = sums.get(stride)
        sums[stride] = _Planes(stride, (y, x), own if found is None else found.values + own)
    return list(sums.values())


def _apply(weight: Tensor, values: Half) -> Tensor:
    """Return weighted sums of planes, float32 ``(class, row, col)``."""
    flat = torch.from_numpy(values.reshape(len(values), -1)).float()
    return (weight @ flat).reshape(len(weight), *values.shape[1:])


def _cells(pixels: slice, stride: int, length: int) -> slice:
    """Return the values of a stage that pixels depend on; ``length`` is the number of pixels of the window."""
    return slice(
        max(pixels.start // stride - 1, 0), min(-(-pixels.stop // stride) + 1, length // stride)
    )
