"""The linear model: logistic regression on frozen features, as one convolutional network.

The features are the bands and the outputs of all stages of a pretrained backbone. A multinomial logistic regression on them
predicts the classes. A linear function commutes with bilinear upsampling. So a 1 x 1 convolution reduces each stage to one
value per class at the resolution of the stage, and only these few planes are upsampled and summed. The model is a normal
network: it is saved, exported, accelerated and tiled like other networks.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from geopointseg.errors import TrainingError
from geopointseg.model.backbone import DEPTH, LITE0, Backbone
from geopointseg.model.filter_pyramid import FILTERS, FilterPyramid, JoinedBackbones
from geopointseg.model.plane_upsampling import PlaneNetwork

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

INVERSE_REGULARIZATION = 0.05
"""scikit-learn's C for standardized features. Between 0.02 and 1 the mean F1 changes by less than 0.01."""
TILE_PX = 512
"""Side of the tiles whose features are computed at once while fitting, in pixels."""
FITTING_MARGIN_PX = 256
"""Context around these tiles on every side, in pixels: eight values of the stage at stride 32. With 128 pixels, features of
that stage differ by up to one standard deviation near the edges of a tile."""
MARGIN_PX = 288
"""Context of a pixel for inference, in pixels. With it, probabilities differ by at most 0.0003 from those of a single large
window; with 256 pixels by 0.002, with 192 pixels by 0.016, with 128 pixels by 0.05. They depend on 393 pixels."""
_CONSTANT = 1e-6


class LinearBody(PlaneNetwork):
    """Backbone, projection of the bands, and one 1 x 1 convolution per stage.

    Parameters
    ----------
    bands, classes
        Number of input and output channels.
    backbone
        The frozen feature extractor, with the attributes ``strides`` and ``channels``.

    Attributes
    ----------
    projection
        float32 ``(3, band)``: the weights of the normalized bands in the backbone's input: red, green and blue.
    """

    projection: Tensor

    def __init__(
        self, bands: int, classes: int, backbone: Backbone | FilterPyramid | JoinedBackbones
    ) -> None:
        super().__init__()
        self.encoder = backbone
        # torch.eye would import torch's compiler within `AllocationBudget`, which takes more than a second
        self.register_buffer("projection", torch.zeros(3, bands).fill_diagonal_(1.0))
        self.of_bands = nn.Conv2d(bands, classes, 1)
        self.of_stages = nn.ModuleList(
            nn.Conv2d(channels, classes, 1, bias=False) for channels in backbone.channels
        )
        self.output_stride = max(backbone.strides)

    def stages(self, image: Tensor) -> list[Tensor]:
        """Return the outputs of the backbone's stages for a normalized image ``(sample, band, row, col)``."""
        return self._map_stages(image, lambda _, stage: stage)

    def _map_stages(self, image: Tensor, function: Callable[[int, Tensor], Tensor]) -> list[Tensor]:
        """Return a function of the position and the values of each stage."""
        if isinstance(self.encoder, Backbone):
            return cast("list[Tensor]", self.encoder(image, self._project, function))
        stages = self.encoder(self._project(image).contiguous(memory_format=torch.channels_last))
        return [function(k, stage) for k, stage in enumerate(stages)]

    def _project(self, image: Tensor) -> Tensor:
        """Return red, green and blue; a convolution with so few channels takes 20 times as long as this product."""
        colors: Tensor = self.projection @ image.flatten(2)
        return colors.view(-1, 3, *image.shape[2:])  # -1: the batch differs from that of a tracing

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(sample, class, row, col)`` of a normalized image whose sides are multiples of the stride."""
        logits = self.of_bands(image)
        coarse: dict[int, Tensor] = {}
        heads = zip(self.encoder.strides, self.of_stages, self.stages(image), strict=True)
        for stride, head, stage in heads:
            own = head(stage)
            coarse[stride] = coarse[stride] + own if stride in coarse else own
        for planes in coarse.values():
            logits = logits + functional.interpolate(
                planes, image.shape[-2:], mode="bilinear", align_corners=False
            )
        return cast("Tensor", logits)

    def _of_bands(self) -> tuple[Tensor, Tensor]:
        return self.of_bands.weight.flatten(1), cast("Tensor", self.of_bands.bias)

    def _planes(self, image: Tensor) -> Iterator[Mapping[int, Tensor]]:
        for sample in image.split(1):
            coarse: dict[int, Tensor] = {}
            found = self._map_stages(sample, self._plane)
            for stride, (own,) in zip(self.encoder.strides, found, strict=True):
                coarse[stride] = coarse[stride].add_(own) if stride in coarse else own
            yield coarse

    def _plane(self, position: int, stage: Tensor) -> Tensor:
        """Return the logits of a stage ``(1, channel, row, col)``, contiguous."""
        weight = cast("nn.Conv2d", self.of_stages[position]).weight.flatten(1)
        return (weight @ stage[0].flatten(1)).view(1, -1, *stage.shape[2:])

    def features_at(self, image: Tensor, row: Tensor, col: Tensor) -> Tensor:
        """Return the features of some pixels: bands, then stages upsampled bilinearly.

        Parameters
        ----------
        image
            float32 ``(1, band, row, col)``, normalized; sides are multiples of the stride.
        row, col
            Pixels, int64 ``(pixel,)``.

        Returns
        -------
        Tensor
            float32 ``(pixel, feature)``.
        """
        parts = [image[0, :, row, col].T]
        for stride, stage in zip(self.encoder.strides, self.stages(image), strict=True):
            height, width = stage.shape[-2:]
            y = (2 * row + 1) / (stride * height) - 1
            x = (2 * col + 1) / (stride * width) - 1
            grid = torch.stack([x, y], dim=-1).to(stage)[None, None]
            sampled = functional.grid_sample(
                stage, grid, mode="bilinear", padding_mode="border", align_corners=False
            )
            parts.append(sampled[0, :, 0].T)
        return torch.cat(parts, dim=1)

    def load_head(self, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> None:
        """Store a linear function of the features in the convolutions.

        Parameters
        ----------
        weight
            float64 ``(class, feature)``, in the order of `features_at`.
        bias
            float64 ``(class,)``.
        """
        heads = [self.of_bands, *self.of_stages]
        sizes = [cast("nn.Conv2d", head).in_channels for head in heads]
        parts = np.split(weight, np.cumsum(sizes)[:-1], axis=1)
        with torch.no_grad():
            for head, part in zip(heads, parts, strict=True):
                kernel = cast("nn.Conv2d", head).weight
                kernel.copy_(torch.from_numpy(part.astype(np.float32))[:, :, None, None])
            cast("Tensor", self.of_bands.bias).copy_(torch.from_numpy(bias.astype(np.float32)))


@dataclass(frozen=True, eq=False)
class LabelledFeatures:
    """Features and classes of labelled pixels.

    Parameters
    ----------
    features
        float32 ``(pixel, feature)``.
    class_index
        int64 ``(pixel,)``.
    weight
        float32 ``(pixel,)``.
    """

    features: NDArray[np.float32]
    class_index: NDArray[np.int64]
    weight: NDArray[np.float32]


def compute_features(
    body: LinearBody,
    image: Image,
    valid: Mask,
    row: NDArray[np.int64],
    col: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Return the features of some pixels of a large image, computed tile by tile with context.

    Parameters
    ----------
    body
        Computes the features.
    image
        float32 ``(band, row, col)``, normalized, 0 where invalid.
    valid
        bool ``(row, col)``.
    row, col
        Pixels, int64 ``(pixel,)``.

    Returns
    -------
    NDArray
        float32 ``(pixel, feature)``.
    """
    device = body.projection.device
    count = body.of_bands.in_channels + sum(body.encoder.channels)
    features = np.zeros((len(row), count), np.float32)
    with torch.inference_mode():
        for own, window in _tiles(row, col, valid.shape, body.output_stride):
            top, left = window[0].start, window[1].start
            tile = torch.from_numpy(_cut(image, window, body.output_stride))[None].to(device)
            tile = tile.contiguous(memory_format=torch.channels_last)
            place = (torch.from_numpy(v).to(device) for v in (row[own] - top, col[own] - left))
            features[own] = body.features_at(tile, *place).cpu().numpy()
    return features


def _tiles(
    row: NDArray[np.int64], col: NDArray[np.int64], shape: tuple[int, ...], stride: int
) -> Iterator[tuple[NDArray[np.int64], tuple[slice, slice]]]:
    """Yield the positions of the pixels of each tile, and the tile with context; it starts at multiples of the stride."""
    tile = np.column_stack([row // TILE_PX, col // TILE_PX])
    margin = -(-FITTING_MARGIN_PX // stride) * stride
    for r, c in np.unique(tile, axis=0):
        own = np.flatnonzero((tile == [r, c]).all(axis=1))
        starts = (max(int(r) * TILE_PX - margin, 0), max(int(c) * TILE_PX - margin, 0))
        stops = (
            min((int(r) + 1) * TILE_PX + margin, shape[0]),
            min((int(c) + 1) * TILE_PX + margin, shape[1]),
        )
        yield own, (slice(starts[0], stops[0]), slice(starts[1], stops[1]))


def _cut(image: Image, window: tuple[slice, slice], stride: int) -> Image:
    """Return a window padded by reflection to multiples of the stride."""
    tile = image[:, *window]
    pads = [(0, -side % stride) for side in tile.shape[1:]]
    small = any(pad >= side for (_, pad), side in zip(pads, tile.shape[1:], strict=True))
    mode: Literal["reflect", "edge"] = "edge" if small else "reflect"
    return np.ascontiguousarray(np.pad(tile, [(0, 0), *pads], mode=mode))


class LinearHead(Protocol):
    """A network that stores a linear function of features."""

    def load_head(self, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> None:
        """Store weights ``(class, feature)`` and biases ``(class,)``."""


LATTICE_PX = 24
"""Distance of the pixels at which the spread of features on the ground is measured."""
LARGEST_RATIO = 4.0
"""Limit of the ratio of two spreads of a feature."""


def spread_factors(
    labelled: NDArray[np.floating], ground: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Return factors with which standardized features are divided by their spread on the ground, not at the labelled pixels.

    Rare classes have as many labels as frequent ones, so the spread at the labelled pixels is another one. With that of the ground, the mean F1 is
    0.01 higher on other scenes, and 0.015 in the same one.

    Parameters
    ----------
    labelled
        Standard deviation of the features at the labelled pixels, ``(feature,)``.
    ground
        That of the ground.

    Returns
    -------
    ndarray
        float32 ``(feature,)``, from 1/4 to 4; see `fit_logistic`.

    Examples
    --------
    >>> spread_factors(np.array([1.0, 1.0, 9.0]), np.array([2.0, 0.5, 0.0])).tolist()
    [0.5, 2.0, 4.0]
    """
    ratio = labelled / np.maximum(ground, _CONSTANT)
    return np.asarray(ratio.clip(1 / LARGEST_RATIO, LARGEST_RATIO), dtype=np.float32)


def fit_head(
    body: LinearHead,
    labelled: LabelledFeatures,
    classes: int,
    factor: float | NDArray[np.float32] = 1.0,
) -> None:
    """Fit a multinomial logistic regression and store it in the body; see `fit_logistic`.

    Parameters
    ----------
    body
        Receives the weights.
    labelled
        Labelled pixels.
    classes
        Number of classes in the legend.
    factor
        As in `fit_logistic`.

    Raises
    ------
    TrainingError
        If there are fewer than two classes with pixels.
    """
    body.load_head(*fit_logistic(labelled, classes, factor))


def fit_logistic(
    labelled: LabelledFeatures,
    classes: int,
    factor: float | NDArray[np.float32] = 1.0,
    *,
    is_quick: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit a multinomial logistic regression.

    Features are standardized, and multiplied by their factor. All classes have the same total weight. Classes without a pixel get the probability 0, and
    constant features the weight 0.

    Parameters
    ----------
    labelled
        Labelled pixels.
    classes
        Number of classes in the legend.
    factor
        Positive ``(feature,)``. The larger it is, the less the weight of the feature is regularized.
    is_quick
        Compute with 32 bits and end earlier. With 2000 pixels it takes a quarter of the time, and 1 % of the ground gets another class.

    Returns
    -------
    weight
        float64 ``(class, feature)``, for features as they are given.
    bias
        float64 ``(class,)``.

    Raises
    ------
    TrainingError
        If there are fewer than two classes with pixels.
    """
    from sklearn.linear_model import LogisticRegression

    used = labelled.weight > 0
    features = labelled.features[used].astype(np.float64)
    present = np.unique(labelled.class_index[used])
    if len(present) < 2:
        raise TrainingError(
            f"The linear model was given labelled pixels of {len(present)} class. Expected two classes at least; add "
            "points of another class on the scene."
        )
    mean, std = features.mean(axis=0), features.std(axis=0)
    scale = np.where(std > _CONSTANT * np.maximum(np.abs(mean), 1.0), std, np.inf) / factor
    model = LogisticRegression(
        C=INVERSE_REGULARIZATION,
        class_weight="balanced",
        max_iter=1000,
        tol=1e-3 if is_quick else 1e-4,
    )
    values = ((features - mean) / scale).astype(np.float32 if is_quick else np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(values, labelled.class_index[used], labelled.weight[used])
    weight, bias = all_classes(model.coef_, model.intercept_, present, classes)
    weight = weight / scale
    return weight, bias - weight @ mean


ABSENT_LOGIT = -1e4
"""Bias of classes that no labelled pixel has."""


def all_classes(
    coefficients: NDArray[np.float64],
    intercept: NDArray[np.float64],
    present: NDArray[np.int64],
    classes: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weights and biases of all classes of the legend.

    Parameters
    ----------
    coefficients, intercept
        Weights ``(class, feature)`` and biases ``(class,)`` as scikit-learn stores them.
    present
        Class indices that they belong to.
    classes
        Number of classes in the legend.

    Returns
    -------
    weight
        float64 ``(class, feature)``.
    bias
        float64 ``(class,)``; very low for classes that are not present.
    """
    if len(present) == 2:  # scikit-learn stores the difference of two classes
        coefficients = np.stack([-coefficients[0] / 2, coefficients[0] / 2])
        intercept = np.array([-intercept[0] / 2, intercept[0] / 2])
    weight = np.zeros((classes, coefficients.shape[1]))
    bias = np.full(classes, ABSENT_LOGIT)
    weight[present], bias[present] = coefficients, intercept
    return weight, bias


def build_linear_body(
    bands: int, classes: int, encoder: str = LITE0, depth: int = DEPTH
) -> LinearBody:
    """Return a linear model with random weights, for the weights of a model folder.

    Parameters
    ----------
    bands, classes
        Number of input and output channels.
    encoder
        timm's name of the backbone, ``filters``, or both joined by ``+``; see `geopointseg.model.filter_pyramid`.
    depth
        Number of stages of the backbone.

    Returns
    -------
    LinearBody
        Not pretrained; see `build_backbone`.
    """
    names = encoder.split("+")
    parts = [FilterPyramid() if name == FILTERS else Backbone(name, depth) for name in names]
    return LinearBody(bands, classes, parts[0] if len(parts) == 1 else JoinedBackbones(parts))


def choose_projection(
    bands: int, colors: Sequence[int] | None, sample: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Return the weights of the bands in the backbone's input.

    Parameters
    ----------
    bands
        Number of bands.
    colors
        Positions of red, green and blue; None where the bands are not known to be colours.
    sample
        Normalized pixels float32 ``(pixel, band)``. With more than four bands of unknown colours, their first three
        principal components replace the colours.

    Returns
    -------
    ndarray
        float32 ``(3, band)``, for red, green and blue.

    Examples
    --------
    >>> choose_projection(4, [2, 1, 0]).astype(int).tolist()
    [[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0]]
    >>> choose_projection(1, None).tolist()
    [[1.0], [1.0], [1.0]]
    """
    if colors is None and bands > 4 and sample is not None and len(sample) > bands:
        values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(sample.T.astype(np.float64))))
        axes = vectors[:, ::-1][:, :3] / np.sqrt(np.maximum(values[::-1][:3], 1e-6))
        signs = np.where(axes.sum(axis=0) < 0, -1.0, 1.0)
        return np.ascontiguousarray((axes * signs).T.astype(np.float32))
    chosen = [min(k, bands - 1) for k in range(3)] if colors is None else list(colors)
    return np.eye(bands, dtype=np.float32)[chosen]
