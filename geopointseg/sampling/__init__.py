"""Datasets, samplers and augmentation for training, built on torchgeo.

`geopointseg.train` draws all its chips from these objects, and so can any other training loop: `SceneDataset` and
`SparseMaskDataset` combine with torchgeo's datasets, and the samplers go into any torch ``DataLoader``. Names are
imported when they are used, because torchgeo takes seconds to import and reading or augmenting chips does not need it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geopointseg.sampling.augmentation import Augmentation, Batch, cut_and_paste, draw_boxes
    from geopointseg.sampling.batches import BatchCollator, ChipPlan, StepSampler
    from geopointseg.sampling.dataset import SceneDataset, SoftLabelDataset, SparseMaskDataset
    from geopointseg.sampling.grid_dataset import ChipIndex
    from geopointseg.sampling.patch import PatchLabels, labels_on_image, locate_labels, read_patches
    from geopointseg.sampling.sampler import GridSampler, PointSampler, UnlabelledSampler
    from geopointseg.sampling.window_choice import choose_windows

_MODULES = {
    "Augmentation": "augmentation",
    "Batch": "augmentation",
    "cut_and_paste": "augmentation",
    "draw_boxes": "augmentation",
    "labels_on_image": "patch",
    "ChipIndex": "grid_dataset",
    "SceneDataset": "dataset",
    "SparseMaskDataset": "dataset",
    "GridSampler": "sampler",
    "PointSampler": "sampler",
    "UnlabelledSampler": "sampler",
    "BatchCollator": "batches",
    "ChipPlan": "batches",
    "StepSampler": "batches",
    "SoftLabelDataset": "dataset",
    "PatchLabels": "patch",
    "locate_labels": "patch",
    "read_patches": "patch",
    "choose_windows": "window_choice",
}

__all__ = [
    "Augmentation",
    "Batch",
    "BatchCollator",
    "ChipIndex",
    "ChipPlan",
    "GridSampler",
    "PatchLabels",
    "PointSampler",
    "SceneDataset",
    "SoftLabelDataset",
    "SparseMaskDataset",
    "StepSampler",
    "UnlabelledSampler",
    "choose_windows",
    "cut_and_paste",
    "draw_boxes",
    "labels_on_image",
    "locate_labels",
    "read_patches",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
