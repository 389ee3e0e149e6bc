"""Members that look at some bands only: those of imagery, or those of the embedding beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geopointseg.model.member import (
    ForestMember,
    Member,
    NetworkMember,
    Normalization,
    read_member,
)
from geopointseg.summary import described

EMBEDDING_PREFIX = "embedding "
"""Begins the kind of members that look at the companion."""


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
        self, image: NDArray[np.float32], valid: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Return float32 ``(sample, class, row, col)`` of ``(sample, band, row, col)`` scene values."""
        own = np.ascontiguousarray(image[:, slice(*self.bands)])
        return self.inner.probabilities(own, valid)

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


def read_any_member(
    row: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    bands: int,
    classes: int,
    normalization: Normalization,
    device: torch.device,
) -> Member:
    """Build a member from its description and its tensors; see `read_member`.

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
        If the kind is unknown or the tensors do not fit.
    """
    if "bands" not in row:
        return read_member(row, tensors, bands, classes, normalization, device)
    first, stop = (int(v) for v in row["bands"])
    kind = str(row["kind"])
    own = {**row, "kind": kind.removeprefix(EMBEDDING_PREFIX)}
    inner = read_member(own, tensors, stop - first, classes, normalization, device)
    assert isinstance(inner, (ForestMember, NetworkMember))  # noqa: S101 - all that it reads
    return BandedMember(inner, (first, stop), kind, float(row["weight"]))
