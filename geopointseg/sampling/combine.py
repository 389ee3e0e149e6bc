"""How the samples of several layers become one, and which layers a combination was made of.

torchgeo concatenates or takes the larger value of everything that two samples share. That is wrong for validity
(two half-valid images are not valid together), for labels (-1 is not a class) and for pixel values (the brighter of two
dates is not a picture).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torchgeo.datasets import GeoDataset, merge_samples

from geopointseg.labels.sparse_mask import UNLABELLED

Sample = dict[str, Any]


def join_samples(samples: Sequence[Sample]) -> Sample:
    """Join the samples of several layers at one place.

    Bands are stacked. A pixel is valid if it is valid in every layer. It has the label of the first layer that labels it,
    and none where it is not valid, because a label without an image cannot be used for training.
    """
    joined = functools.reduce(_join_two, samples)
    valid = joined.get("valid")
    if valid is None or valid.numpy().all():  # some ten times as fast as in torch
        return joined
    if _is_class_mask(joined.get("mask"), valid):
        joined["mask"] = joined["mask"].masked_fill(~valid, UNLABELLED)
        if "weight" in joined:
            joined["weight"] = joined["weight"].masked_fill(~valid, 0.0)
    return joined


def _join_two(first: Sample, second: Sample) -> Sample:
    joined = second | first
    if "image" in first and "image" in second:
        joined["image"] = torch.cat([first["image"], second["image"]])
    if "valid" in first and "valid" in second:
        joined["valid"] = first["valid"] & second["valid"]
    return joined | _overlay_labels(first, second)


def overlay_samples(samples: Sequence[Sample]) -> Sample:
    """Lay samples of one place over each other: the first one's valid pixels and labels win.

    Samples without ``valid`` (torchgeo's own) are merged as torchgeo does, by the larger value.
    """
    return functools.reduce(_overlay_two, samples)


def _overlay_two(first: Sample, second: Sample) -> Sample:
    merged: Sample = merge_samples([first, second])
    merged |= {key: first[key] for key in ("bounds", "transform") if key in first}
    if "valid" in first and "valid" in second:
        merged["image"] = torch.where(first["valid"], first["image"], second["image"])
    return merged | _overlay_labels(first, second)


def _overlay_labels(first: Sample, second: Sample) -> Sample:
    if not ("mask" in first and "mask" in second):
        return {}
    labelled = first["mask"] != UNLABELLED
    overlaid = {"mask": torch.where(labelled, first["mask"], second["mask"])}
    if "weight" in first and "weight" in second:
        overlaid["weight"] = torch.where(labelled, first["weight"], second["weight"])
    return overlaid


def _is_class_mask(mask: Any, valid: torch.Tensor) -> bool:
    return mask is not None and mask.dtype == torch.int64 and mask.shape == valid.shape


def layers_of(dataset: GeoDataset) -> Iterator[GeoDataset]:
    """Yield the datasets that a combination was made of, from left to right."""
    for part in getattr(dataset, "datasets", ()):
        yield from layers_of(part)
    if not hasattr(dataset, "datasets"):
        yield dataset
