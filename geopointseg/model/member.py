"""The members of a model: what turns pixels into class probabilities.

A member takes windows with the values of the scene and a mask of the valid pixels, and normalizes them itself.
Networks and the forest have one interface; `geopointseg.model.inference` combines their probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geopointseg.errors import ModelError
from geopointseg.model.architecture import Network, build_network
from geopointseg.summary import described

if TYPE_CHECKING:
    from geopointseg.model.forest import Forest


@described
@dataclass(frozen=True)
class Normalization:
    """Mean and deviation of every band, and how they are applied.

    Parameters
    ----------
    mean, std
        float64 ``(band,)``.

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
                f"The normalization has means of shape {self.mean.shape} and deviations of shape {self.std.shape}. "
                "Expected one number a band for each."
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
        scaled = (image - self.mean[:, None, None].astype(np.float32)) / self.std[
            :, None, None
        ].astype(np.float32)
        return np.where(valid[..., None, :, :], scaled, np.float32(0.0))

    def to_json(self) -> dict[str, list[float]]:
        """Return ``{"mean": [...], "std": [...]}``."""
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Normalization:
        """Build it from what `to_json` returned."""
        return cls(np.array(row["mean"], np.float64), np.array(row["std"], np.float64))


class Member(Protocol):
    """Anything that gives class probabilities of windows."""

    @property
    def kind(self) -> str:
        """``network``, ``linear`` or ``forest``."""

    @property
    def weight(self) -> float:
        """Its share in the mean of the members."""

    @property
    def margin_px(self) -> int:
        """Context that it needs on every side."""

    @property
    def stride(self) -> int:
        """Sides that are multiples of this are not padded."""

    def probabilities(
        self, image: NDArray[np.float32], valid: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Return float32 ``(sample, class, row, col)`` of ``(sample, band, row, col)`` scene values."""

    def tensors(self) -> dict[str, Tensor]:
        """Return what is stored in the weights file."""

    def to_json(self) -> dict[str, Any]:
        """Return what is stored in the description."""


@described
@dataclass(frozen=True)
class NetworkMember:
    """A network and its normalization.

    Parameters
    ----------
    network
        In evaluation mode on ``device``; takes normalized images, returns logits of their size.
    normalization
        What the network was trained with.
    margin_px
        Context that it needs on every side.
    weight
        Its share in the model.
    options
        The arguments of `build_network` besides bands and classes.
    device
        Where it runs.
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
        """Sides that are multiples of this are not padded."""
        return self.network.output_stride

    def probabilities(
        self, image: NDArray[np.float32], valid: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Return float32 ``(sample, class, row, col)`` of ``(sample, band, row, col)`` scene values."""
        batch = torch.from_numpy(self.normalization.apply(image, valid))
        with torch.inference_mode():
            batch = batch.to(self.device, memory_format=torch.channels_last)
            probabilities = torch.softmax(self.network(batch).float(), dim=1)
            return probabilities.contiguous().cpu().numpy()

    def tensors(self) -> dict[str, Tensor]:
        """Return the network's state."""
        state = self.network.state_dict()
        return {k: v.detach().cpu().contiguous().clone() for k, v in state.items()}

    def to_json(self) -> dict[str, Any]:
        """Return kind, weight, margin, architecture, and the normalization where it is not the model's."""
        own = {"normalization": self.normalization.to_json()} if self.kind == "linear" else {}
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
        Takes scene values, returns probabilities.
    weight
        Its share in the model.
    """

    forest: Forest
    weight: float
    kind: str = "forest"

    @property
    def margin_px(self) -> int:
        """Reach of the widest filter."""
        return self.forest.margin_px

    @property
    def stride(self) -> int:
        """A forest takes any size."""
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
        """Return kind, weight, margin and the forest's own description."""
        return {
            "kind": self.kind,
            "weight": self.weight,
            "margin_px": self.margin_px,
            "forest": self.forest.to_json(),
        }


def read_member(
    row: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    bands: int,
    classes: int,
    normalization: Normalization,
    device: torch.device,
) -> Member:
    """Rebuild a member from its description and its tensors.

    Raises
    ------
    ModelError
        If the kind is unknown or the tensors do not fit.
    """
    if row["kind"] == "forest":
        from geopointseg.model.forest import Forest

        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        return ForestMember(Forest.from_arrays(arrays, row["forest"]), float(row["weight"]))
    if row["kind"] not in ("network", "linear"):
        raise ModelError(
            f"The model has a member of kind '{row['kind']}'. This geopointseg knows network, linear and forest; "
            "update geopointseg."
        )
    with torch.random.fork_rng(devices=[]):
        network = build_network(bands=bands, classes=classes, **row["architecture"])
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


def _short(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[1:2] or lines)[:200].rstrip(".")
