"""Parts of windows that make up a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from geopointseg.live.view_pyramid import LevelWindows
from geopointseg.live.window_features import FeatureLayout, Head, WindowFeatures, paint_window


@dataclass(frozen=True, eq=False)
class WindowPiece:
    """The part of a window in a region.

    Parameters
    ----------
    inside
        Rows and columns in the window.
    outside
        Rows and columns in the region.
    weight
        Weights of the window, float32 ``(row, col)``.
    """

    inside: tuple[slice, slice]
    outside: tuple[slice, slice]
    weight: NDArray[np.float32]


def place_piece(
    windows: LevelWindows, position: tuple[int, int], region: tuple[slice, slice]
) -> WindowPiece:
    """Return the part of a window that has weights in a region.

    Parameters
    ----------
    windows
        The windows of a level.
    position
        Row and column of the window.
    region
        Rows and columns of the level.

    Returns
    -------
    WindowPiece
        Its rows and columns, in the window and in the region.
    """
    window = windows.window(*position)
    inside, outside, profiles = [], [], []
    for axis, start in enumerate((int(window.row_off), int(window.col_off))):
        weights, span = windows.lattice.profiles[axis][position[axis]], region[axis]
        first, last = max(span.start - start, 0), min(span.stop - start, len(weights))
        used = first + np.flatnonzero(weights[first:last])
        inner = slice(int(used[0]), int(used[-1]) + 1)
        shift = start - span.start
        inside.append(inner)
        outside.append(slice(inner.start + shift, inner.stop + shift))
        profiles.append(weights[inner])
    weight = np.outer(profiles[0], profiles[1])
    return WindowPiece((inside[0], inside[1]), (outside[0], outside[1]), weight)


def paint_piece(
    layout: FeatureLayout, head: Head, features: WindowFeatures, piece: WindowPiece
) -> tuple[torch.Tensor, NDArray[np.bool_]] | None:
    """Return the weighted probabilities of a part of a window.

    Parameters
    ----------
    layout, head, features
        As in `paint_window`.
    piece
        The part.

    Returns
    -------
    probabilities : Tensor
        float32 ``(class, row, col)``, multiplied by the weights.
    valid : ndarray
        bool ``(row, col)``. None instead of both if no pixel is valid.
    """
    valid = features.valid[piece.inside]
    if not valid.any():
        return None
    with torch.inference_mode():
        found = torch.softmax(paint_window(features, layout, head, *piece.inside), dim=0)
        return found.mul_(torch.from_numpy(piece.weight)), valid
