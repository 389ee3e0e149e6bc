"""The members of a model, which compute class probabilities: networks and forests.

A member takes windows with the values of the scene and a mask of the valid pixels, and normalizes the values itself. All
members have the same interface; `geopointseg.model.inference` combines their probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geopointseg.errors import ModelError
from geopointseg.model.allocation_budget import AllocationBudget
from geopointseg.model.architecture import Network, build_network
from geopointseg.model.embedding_heads import EMBEDDING_ARCHITECTURES, build_embedding_head
from geopointseg.model.fused_convolution import fuse_convolutions
from geopointseg.model.plane_upsampling import PlaneNetwork
from geopointseg.summary import described

if TYPE_CHECKING:
    from geopointseg.model.forest import Forest


Span = tuple[slice, slice]
"""Rows and columns."""
_EVERYTHING = slice(None), slice(None)

EMBEDDING_PREFIX = "embedding "
"""Begins the kind of members that look at the companion."""


@described
@dataclass(frozen=True)
class Normalization:
    """Normalization of the bands to mean 0 and standard deviation 1.

    Parameters
    ----------
    mean, std
        Mean and standard deviation per band, float64 ``(band,)``.

    Examples
    --------
    >>> norm = Normalization(np.array([10.0]), np.array([2.0]))
    >>> norm.apply(np.array([[[14.0, 99.0]]], np.float32), np.array([[True, False]]))
    array([[[2., 0.]]], dtype=float32)
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.mean.shape != self.std.shape or self.mean.ndim != 1:
            raise ModelError(
                f"The normalization has means of shape {self.mean.shape} and standard deviations of shape "
                f"{self.std.shape}. Expected one number per band for each; copy the model folder again."
            )

    def apply(self, image: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return ``(image - mean) / std``, 0 where invalid.

        Parameters
        ----------
        image
            float32 ``(..., band, row, col)``.
        valid
            bool ``(..., row, col)``.
        """
        if self.is_identity and valid.all():
            return image
        scaled = image - self.mean[:, None, None].astype(np.float32)
        scaled /= self.std[:, None, None].astype(np.float32)
        if not valid.all():
            np.copyto(scaled, np.float32(0.0), where=~valid[..., None, :, :])
        return scaled

    @property
    def is_identity(self) -> bool:
        """Whether all means are 0 and all standard deviations 1, as for the vectors of an embedding."""
        return not self.mean.any() and bool((self.std == 1.0).all())

    def to_json(self) -> dict[str, list[float]]:
        """Return ``{"mean": [...], "std": [...]}``."""
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Normalization:
        """Build a normalization from the result of `to_json`.

        Raises
        ------
        ModelError
            If a number is not finite, or a standard deviation not positive.
        """
        found = cls(np.array(row["mean"], np.float64), np.array(row["std"], np.float64))
        if not np.isfinite([found.mean, found.std]).all() or not (found.std > 0).all():
            raise ModelError(
                "The normalization has a mean or a standard deviation that is not finite, or a standard deviation of 0. Expected "
                "positive standard deviations; copy the model folder again."
            )
        return found


class Member(Protocol):
    """Interface of the members of a model."""

    @property
    def kind(self) -> str:
        """``network``, ``linear``, ``knn``, ``perceptron`` or ``forest``."""

    @property
    def weight(self) -> float:
        """Weight in the mean of the members."""

    @property
    def margin_px(self) -> int:
        """Context that is needed on every side, in pixels."""

    @property
    def stride(self) -> int:
        """Windows whose sides are multiples of this, in pixels, are not padded."""

    def probabilities(
        self, image: NDArray[np.float32], valid: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Return float32 ``(sample, class, row, col)`` of ``(sample, band, row, col)`` scene values."""

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors to store in the weights file."""

    def to_json(self) -> dict[str, Any]:
        """Return the plain values to store in the description."""


@described
@dataclass(frozen=True)
class NetworkMember:
    """A network and its normalization.

    Parameters
    ----------
    network
        In evaluation mode on ``device``; from normalized images to logits of the same size.
    normalization
        Normalization of the training.
    margin_px
        Context that is needed on every side, in pixels.
    weight
        Weight in the mean of the members.
    options
        The arguments of `build_network` besides bands and classes.
    device
        Device of the network.
    kind
        ``network``, ``linear``, ``knn`` or ``perceptron``.
    """

    network: Network
    normalization: Normalization
    margin_px: int
    weight: float
    options: Mapping[str, Any]
    device: torch.device
    kind: str = "network"

    @property
    def stride(self) -> int:
        """Windows whose sides are multiples of this, in pixels, are not padded."""
        return self.network.output_stride

    @cached_property
    def inference_network(self) -> Network:
        """The network, on a CPU with fused convolutions; see `fuse_convolutions`."""
        return cast("Network", fuse_convolutions(self.network))

    @property
    def is_fused(self) -> bool:
        """Whether convolutions of the network are fused."""
        return self.inference_network is not self.network

    def probabilities(
        self, image: NDArray[np.float32], valid: NDArray[np.bool_], inside: Span | None = None
    ) -> NDArray[np.float32]:
        """Return class probabilities of windows.

        Parameters
        ----------
        image
            float32 ``(sample, band, row, col)``, values as in the scene.
        valid
            bool ``(sample, row, col)``; True where there is an image.
        inside
            Rows and columns that are wanted; None for all.

        Returns
        -------
        ndarray
            float32 ``(sample, class, row, col)`` of the wanted pixels.
        """
        network, span = self.inference_network, inside or _EVERYTHING
        batch = torch.from_numpy(self.normalization.apply(image, valid))
        whole = not any(side % self.stride for side in image.shape[-2:])
        with torch.inference_mode():
            if whole and self.device.type == "cpu" and isinstance(network.body, PlaneNetwork):
                return network.body.probabilities(batch, *span).numpy()
            batch = batch.to(self.device, memory_format=torch.channels_last)
            logits = network(batch)[..., *span].float()
            return torch.softmax(logits, dim=1).contiguous().cpu().numpy()

    def tensors(self) -> dict[str, Tensor]:
        """Return the network's state."""
        state = self.network.state_dict()
        return {k: v.detach().cpu().contiguous().clone() for k, v in state.items()}

    def to_json(self) -> dict[str, Any]:
        """Return kind, weight, margin, architecture, and the normalization where it differs from the model's."""
        own = {"normalization": self.normalization.to_json()} if self.kind != "network" else {}
        return {
            "kind": self.kind,
            "weight": self.weight,
            "margin_px": self.margin_px,
            "architecture": dict(self.options),
            **own,
        }


@described
@dataclass(frozen=True)
class ForestMember:
    """A forest on filter features.

    Parameters
    ----------
    forest
        From values of the scene to probabilities.
    weight
        Weight in the mean of the members.
    """

    forest: Forest
    weight: float
    kind: str = "forest"

    @property
    def margin_px(self) -> int:
        """Context of the widest filter and of the smoothing, in pixels."""
        return self.forest.margin_px

    @property
    def stride(self) -> int:
        """1, because a forest accepts any size."""
        return 1

    def probabilities(
        self, image: NDArray[np.float32], valid: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Return float32 ``(sample, class, row, col)`` of ``(sample, band, row, col)`` scene values."""
        return np.stack(
            [self.forest.probabilities(i, v) for i, v in zip(image, valid, strict=True)]
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return the forest's arrays."""
        return {
            k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in self.forest.to_arrays().items()
        }

    def to_json(self) -> dict[str, Any]:
        """Return kind, weight, margin, and the description of the forest."""
        return {
            "kind": self.kind,
            "weight": self.weight,
            "margin_px": self.margin_px,
            "forest": self.forest.to_json(),
        }


@described
@dataclass(frozen=True)
class BandedMember:
    """A member that gets some of the bands of a model.

    Parameters
    ----------
    inner
        The member, for these bands alone.
    bands
        First band, and the band after the last one.
    kind
        Kind of the member; begins with ``embedding`` for those of a companion.
    weight
        Weight in the mean of the members.
    """

    inner: ForestMember | NetworkMember
    bands: tuple[int, int]
    kind: str
    weight: float = 1.0

    @property
    def margin_px(self) -> int:
        """Context that is needed on every side, in pixels."""
        return self.inner.margin_px

    @property
    def stride(self) -> int:
        """Windows whose sides are multiples of this, in pixels, are not padded."""
        return self.inner.stride

    def probabilities(
        self, image: NDArray[np.float32], valid: NDArray[np.bool_], inside: Span | None = None
    ) -> NDArray[np.float32]:
        """Return class probabilities of windows.

        Parameters
        ----------
        image
            float32 ``(sample, band, row, col)``, values as in the scene.
        valid
            bool ``(sample, row, col)``; True where there is an image.
        inside
            Rows and columns that are wanted; None for all.

        Returns
        -------
        ndarray
            float32 ``(sample, class, row, col)`` of the wanted pixels.
        """
        own = np.ascontiguousarray(image[:, slice(*self.bands)])
        if isinstance(self.inner, NetworkMember):
            return self.inner.probabilities(own, valid, inside)
        return self.inner.probabilities(own, valid)[..., *(inside or _EVERYTHING)]

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors of the inner member."""
        return self.inner.tensors()

    def to_json(self) -> dict[str, Any]:
        """Return the description of the inner member, with its bands."""
        own = {"kind": self.kind, "weight": self.weight, "bands": list(self.bands)}
        return self.inner.to_json() | own


def unwrap(member: Member) -> Member:
    """Return the member within a `BandedMember`, or the member itself."""
    return member.inner if isinstance(member, BandedMember) else member


def with_weight(member: Member, weight: float) -> Member:
    """Return a member with another weight."""
    assert isinstance(member, (BandedMember, ForestMember, NetworkMember))  # noqa: S101 - all there are
    return replace(member, weight=weight)


def read_member(
    row: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    bands: int,
    classes: int,
    normalization: Normalization,
    device: torch.device,
) -> Member:
    """Build a member from its description and its tensors.

    Parameters
    ----------
    row
        The result of `Member.to_json`.
    tensors
        The result of `Member.tensors`.
    bands, classes
        Numbers of bands and classes of the model.
    normalization
        Normalization of the model, for networks without their own.
    device
        Device of networks.

    Returns
    -------
    Member
        Ready for inference.

    Raises
    ------
    ModelError
        If the kind is unknown, or the tensors do not fit or hold numbers that are not finite.
    """
    _require_finite(row, tensors)
    if "bands" in row:
        first, stop = (int(v) for v in row["bands"]) if len(row["bands"]) == 2 else (0, 0)
        if not 0 <= first < stop <= bands:
            raise ModelError(
                f"A member of the model gets the bands {first} to {stop} of {bands}. Expected some of these; copy the model "
                "folder again."
            )
        kind = str(row["kind"])
        own = {key: value for key, value in row.items() if key != "bands"}
        own["kind"] = kind.removeprefix(EMBEDDING_PREFIX)
        inner = read_member(own, tensors, stop - first, classes, normalization, device)
        assert isinstance(inner, (ForestMember, NetworkMember))  # noqa: S101 - all but banded ones
        return BandedMember(inner, (first, stop), kind, float(row["weight"]))
    if row["kind"] == "forest":
        from geopointseg.model.forest import Forest

        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        return ForestMember(Forest.from_arrays(arrays, row["forest"]), float(row["weight"]))
    if row["kind"] not in ("network", "linear", "knn", "perceptron"):
        raise ModelError(
            f"The model has a member of kind '{row['kind']}'. Expected network, linear, knn, perceptron or forest; "
            "update geopointseg."
        )
    with torch.random.fork_rng(devices=[]), AllocationBudget(tensors):
        network = _build(row["architecture"], bands, classes)
    try:
        network.load_state_dict(dict(tensors), strict=True)
    except RuntimeError as error:
        raise ModelError(
            f"The weights do not fit the architecture {row['architecture']} ({_short(error)}). Expected the tensors "
            "that belong to model.json; copy the whole folder again."
        ) from error
    network = network.eval().to(device).to(memory_format=torch.channels_last)
    if "normalization" in row:
        normalization = Normalization.from_json(row["normalization"])
    return NetworkMember(
        network=network,
        normalization=normalization,
        margin_px=int(row["margin_px"]),
        weight=float(row["weight"]),
        options=dict(row["architecture"]),
        device=device,
        kind=str(row["kind"]),
    )


def _require_finite(row: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Raise `ModelError` if a weight is NaN or infinite: the map would be nodata there, without a message."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor.float()).all():
            raise ModelError(
                f"The weights of the {row['kind']} in the model folder are damaged: '{name}' holds values that are NaN or infinite. "
                "Expected finite numbers; copy the whole folder again, or train the model again."
            )


def _build(options: Mapping[str, Any], bands: int, classes: int) -> Network:
    if options["architecture"] in EMBEDDING_ARCHITECTURES:
        return build_embedding_head(bands, classes, options)
    return build_network(bands=bands, classes=classes, **options)


def _short(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[1:2] or lines)[:200].rstrip(".")
