"""Training chips: torchgeo datasets of imagery, labels and soft labels, and the drawing of batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset
from torchgeo.datasets import GeoDataset

from geopointseg.model.member import Normalization
from geopointseg.sampling.augmentation import Batch
from geopointseg.sampling.batches import BatchCollator, ChipPlan, StepSampler
from geopointseg.sampling.dataset import SceneDataset, SoftLabelDataset, SparseMaskDataset
from geopointseg.sampling.patch import Patch, PatchLabels


def join_layers(
    patches: Sequence[Patch],
    masks: Sequence[PatchLabels] = (),
    soft: Sequence[NDArray[np.uint8]] | None = None,
) -> GeoDataset:
    """Join what is known about the pixels of patches to one dataset.

    Parameters
    ----------
    patches
        Imagery in memory.
    masks
        Labels of each patch; empty without labels.
    soft
        A teacher's probabilities of each patch in 1/255, uint8 ``(class, row, col)``; None without a teacher.
    """
    dataset: GeoDataset = SceneDataset(patches, own_pixels=True)
    if masks:
        dataset &= SparseMaskDataset(masks, scenes=patches)
    if soft is not None:
        dataset &= SoftLabelDataset(soft, patches)
    return dataset


@dataclass(eq=False)
class TrainingChips:
    """A dataset, and how the chips of each step are drawn from it.

    Parameters
    ----------
    dataset
        Imagery with what is known about its pixels.
    normalization
        What the network expects.
    plan
        How chips are drawn; may be changed between two loaders.
    """

    dataset: GeoDataset
    normalization: Normalization
    plan: ChipPlan

    def load(self, first_step: int = 0, workers: int = 0) -> DataLoader[Batch]:
        """Return a loader of batches, not augmented, that begins with a step and does not end.

        Parameters
        ----------
        first_step
            Number of the first step.
        workers
            Processes that read chips; 0 reads in this one.
        """
        return DataLoader(  # the collator makes batches of its samples
            cast("Dataset[Batch]", self.dataset),
            batch_sampler=StepSampler(self.dataset, self.plan, first_step),
            collate_fn=BatchCollator(self.normalization.mean, self.normalization.std),
            num_workers=workers,
        )
