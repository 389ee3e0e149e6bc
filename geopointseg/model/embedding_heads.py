"""Heads on the vectors of an embedding: logistic regression, nearest neighbours, and one hidden layer, as small networks.

The vectors of an embedding are features already, so no backbone and no filter runs on them. All heads look at single
pixels; they are saved, exported, accelerated and tiled like other networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from geopointseg.model.architecture import Network

VECTORS_LINEAR = "linear on vectors"
NEAREST = "nearest neighbours"
PERCEPTRON = "perceptron on vectors"
EMBEDDING_ARCHITECTURES = (VECTORS_LINEAR, NEAREST, PERCEPTRON)
HIDDEN = 64
"""Number of units of the hidden layer of the perceptron."""
NEIGHBOURS = 5
"""Number of neighbours whose classes are counted."""
MOST_VECTORS = 2048
"""Largest number of labelled vectors that are compared with each pixel."""
_SIMILARITIES_AT_ONCE = 2**24
_ABSENT = 1e-6


class VectorsLinear(nn.Module):
    """A logistic regression on the vector of each pixel: one 1 x 1 convolution.

    Parameters
    ----------
    bands, classes
        Number of input and output channels.
    """

    def __init__(self, bands: int, classes: int) -> None:
        super().__init__()
        self.encoder = nn.Identity()
        self.of_bands = nn.Conv2d(bands, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(sample, class, row, col)`` of vectors ``(sample, band, row, col)``."""
        return cast("Tensor", self.of_bands(image))

    def load_head(self, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> None:
        """Store a linear function of the vectors.

        Parameters
        ----------
        weight
            float64 ``(class, band)``.
        bias
            float64 ``(class,)``.
        """
        with torch.no_grad():
            kernel = torch.from_numpy(weight.astype(np.float32))[:, :, None, None]
            self.of_bands.weight.copy_(kernel)
            cast("Tensor", self.of_bands.bias).copy_(torch.from_numpy(bias.astype(np.float32)))


class VectorsPerceptron(nn.Module):
    """A perceptron with one hidden layer on the vector of each pixel: two 1 x 1 convolutions.

    Parameters
    ----------
    bands, classes
        Number of input and output channels.
    """

    def __init__(self, bands: int, classes: int) -> None:
        super().__init__()
        self.encoder = nn.Identity()
        self.hidden = VectorsLinear(bands, HIDDEN)
        self.output = VectorsLinear(HIDDEN, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(sample, class, row, col)`` of vectors ``(sample, band, row, col)``."""
        return cast("Tensor", self.output(functional.relu(self.hidden(image))))


class NearestNeighbours(nn.Module):
    """Classes of the labelled vectors of largest cosine similarity with the vector of each pixel.

    The probability of a class is the share of the neighbours that have it, with one further neighbour that belongs to all
    labelled classes in equal parts.

    Parameters
    ----------
    bands, classes
        Number of input and output channels.
    count
        Number of labelled vectors.
    neighbours
        Number of neighbours.

    Attributes
    ----------
    vectors
        float32 ``(band, vector)``, of length 1.
    votes
        float32 ``(vector, class)``: 1 for the class of each vector.
    """

    vectors: Tensor
    votes: Tensor

    def __init__(self, bands: int, classes: int, count: int, neighbours: int = NEIGHBOURS) -> None:
        super().__init__()
        self.encoder = nn.Identity()
        self.neighbours = min(neighbours, count)
        self.register_buffer("vectors", torch.zeros(bands, count))
        self.register_buffer("votes", torch.zeros(count, classes))

    def load_vectors(self, vectors: NDArray[np.float32], class_index: NDArray[np.int64]) -> None:
        """Store labelled vectors.

        Parameters
        ----------
        vectors
            float32 ``(vector, band)``.
        class_index
            int64 ``(vector,)``.
        """
        self.vectors.copy_(functional.normalize(torch.from_numpy(vectors), dim=1).T)
        self.votes.copy_(
            functional.one_hot(torch.from_numpy(class_index), self.votes.shape[1]).float()
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return logarithms of probabilities ``(sample, class, row, col)`` of vectors ``(sample, band, row, col)``."""
        in_row = len(image) * image.shape[-1] * self.vectors.shape[1]
        rows = max(_SIMILARITIES_AT_ONCE // in_row, 1)
        parts = [
            self._of_rows(image[:, :, top : top + rows]) for top in range(0, image.shape[2], rows)
        ]
        return torch.cat(parts, dim=2)

    def _of_rows(self, image: Tensor) -> Tensor:
        unit = functional.normalize(image, dim=1).permute(0, 2, 3, 1)
        nearest = torch.topk(unit @ self.vectors, self.neighbours, dim=3).indices
        present = (self.votes.sum(dim=0) > 0).float()
        prior = present / present.sum() + _ABSENT
        counted = self.votes[nearest].sum(dim=3)
        return torch.log((counted + prior) / (self.neighbours + 1)).permute(0, 3, 1, 2)


def build_embedding_head(bands: int, classes: int, options: Mapping[str, Any]) -> Network:
    """Return a head without its weights, for the weights of a model folder.

    Parameters
    ----------
    bands, classes
        Number of input and output channels.
    options
        ``architecture``, one of `EMBEDDING_ARCHITECTURES`; for nearest neighbours also ``count`` and ``neighbours``.

    Returns
    -------
    Network
        In evaluation mode.
    """
    name = str(options["architecture"])
    body: nn.Module
    if name == NEAREST:
        count, neighbours = int(options["count"]), int(options["neighbours"])
        body = NearestNeighbours(bands, classes, count, neighbours)
    else:
        body = (VectorsLinear if name == VECTORS_LINEAR else VectorsPerceptron)(bands, classes)
    return Network(
        body, architecture=name, encoder="", bands=bands, classes=classes, output_stride=1
    ).eval()
