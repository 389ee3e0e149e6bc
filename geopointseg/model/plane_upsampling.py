"""Sums of planes of several resolutions, upsampled bilinearly, and their softmax, computed in bands of rows.

Bilinear interpolation is a product of one along the rows and one along the columns. So the planes of all strides are
interpolated along the columns at their own number of rows, and one matrix product interpolates and adds all of them along
the rows. A band fits in the cache of the processor.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from geopointseg.model.row_threads import for_each

BAND_PX = 64
"""Rows of a band."""


class PlaneNetwork(nn.Module, ABC):
    """A network whose logits are sums of upsampled planes, so that the probabilities of a part need no logits at full resolution."""

    def probabilities(self, image: Tensor, rows: slice, cols: slice) -> Tensor:
        """Return the softmax of the logits for a part of an image, computed in less time.

        Parameters
        ----------
        image
            float32 ``(sample, band, row, col)``, normalized, on a CPU; sides are multiples of the stride.
        rows, cols
            The part.

        Returns
        -------
        Tensor
            float32 ``(sample, class, row, col)``, contiguous.
        """
        weight, bias = self._of_bands()
        part, place = image[..., rows, cols], (rows.start or 0, cols.start or 0)
        found = image.new_empty((len(image), len(weight), *part.shape[-2:]))
        for planes, pixels, target in zip(self._planes(image), part, found, strict=True):
            write_probabilities(target, pixels[: weight.shape[1]], (weight, bias), planes, place)
        return found

    @abstractmethod
    def _of_bands(self) -> tuple[Tensor, Tensor]:
        """Return the weights ``(class, band)`` of the first bands, which may be none, and the biases ``(class,)`` of the logits."""

    @abstractmethod
    def _planes(self, image: Tensor) -> Iterator[Mapping[int, Tensor]]:
        """Yield the planes ``(class, row / stride, col / stride)`` of each sample by stride, contiguous."""


def write_probabilities(
    target: Tensor,
    pixels: Tensor,
    head: tuple[Tensor, Tensor],
    planes: Mapping[int, Tensor],
    place: tuple[int, int],
) -> None:
    """Write the softmax of a linear function of pixels plus upsampled planes.

    The upsampling is that of `torch.nn.functional.interpolate` without aligned corners.

    Parameters
    ----------
    target
        float32 ``(class, row, col)``; overwritten.
    pixels
        float32 ``(band, row, col)`` of a part of an image.
    head
        Weights ``(class, band)`` and biases ``(class,)`` of the pixels.
    planes
        float32 ``(class, row / stride, col / stride)`` of the whole image by stride, contiguous.
    place
        First row and column of the part in the image.
    """
    (weight, bias), (height, width), (top, left) = head, pixels.shape[1:], place

    def write_band(first: int) -> None:
        rows = slice(first, min(first + BAND_PX, height))
        parts = [
            _interpolated(values, stride, (top + first, top + rows.stop), (left, left + width))
            for stride, values in planes.items()
        ]
        band = torch.addmm(bias[:, None], weight, pixels[:, rows].flatten(1))
        band = band.view(len(weight), -1, width)
        if parts:
            along_rows = torch.cat([own for own, _ in parts], dim=1).expand(len(weight), -1, -1)
            band.baddbmm_(along_rows, torch.cat([lines for _, lines in parts], dim=1))
        target[:, rows] = torch.softmax(band, dim=0)

    for_each(write_band, range(0, height, BAND_PX))


def _interpolated(
    planes: Tensor, stride: int, rows: tuple[int, int], cols: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Return weights ``(row, plane row)``, and the planes that they refer to, ``(class, plane row, col)`` with columns upsampled."""
    first, weights = _row_weights(*rows, stride, planes.shape[1])
    lines = planes[:, first : first + weights.shape[1]]
    left = max(cols[0] // stride - 1, 0)
    lines = lines[:, :, left : -(-cols[1] // stride) + 1]
    size = lines.shape[1], lines.shape[2] * stride
    wide = functional.interpolate(lines[None], size, mode="bilinear", align_corners=False)[0]
    return weights, wide[:, :, cols[0] - left * stride : cols[1] - left * stride]


def _row_weights(start: int, stop: int, stride: int, length: int) -> tuple[int, Tensor]:
    """Return the first row of a plane that rows of pixels depend on, and weights ``(row, plane row)``."""
    place = (torch.arange(start, stop, dtype=torch.float64) + 0.5) / stride - 0.5
    place = place.clamp(0.0, length - 1.0)
    first, last = int(place[0]), min(int(place[-1]) + 1, length - 1)
    near = torch.arange(first, last + 1, dtype=torch.float64)
    return first, (1.0 - (place[:, None] - near).abs()).clamp_min(0.0).float()
