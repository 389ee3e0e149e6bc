"""Where to look and what is there: datasets, samplers and augmentation for training.

For people who write their own loops: `SceneDataset` and `SparseMaskDataset` combine with torchgeo's datasets, and the
samplers go into any torch ``DataLoader``. Names are imported when they are used, because torchgeo takes seconds to
import and reading chips or augmenting them does not need it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geopointseg.sampling.augmentation import Augmentation, Batch, cut_and_paste, draw_boxes
    from geopointseg.sampling.chip_reader import LabelledChip, labels_on_image, read_chip
    from geopointseg.sampling.dataset import ChipIndex, SceneDataset, SparseMaskDataset
    from geopointseg.sampling.sampler import GridSampler, PointSampler, UnlabelledSampler

_MODULES = {
    "Augmentation": "augmentation",
    "Batch": "augmentation",
    "cut_and_paste": "augmentation",
    "draw_boxes": "augmentation",
    "LabelledChip": "chip_reader",
    "labels_on_image": "chip_reader",
    "read_chip": "chip_reader",
    "ChipIndex": "dataset",
    "SceneDataset": "dataset",
    "SparseMaskDataset": "dataset",
    "GridSampler": "sampler",
    "PointSampler": "sampler",
    "UnlabelledSampler": "sampler",
}

__all__ = [
    "Augmentation",
    "Batch",
    "ChipIndex",
    "GridSampler",
    "LabelledChip",
    "PointSampler",
    "SceneDataset",
    "SparseMaskDataset",
    "UnlabelledSampler",
    "cut_and_paste",
    "draw_boxes",
    "labels_on_image",
    "read_chip",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
