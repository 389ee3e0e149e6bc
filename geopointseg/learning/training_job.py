"""One training: its data, settings, device and output."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import torch

from geopointseg.config import Config
from geopointseg.learning.initial_network import suits_backbone
from geopointseg.learning.model_output import OutputFolder
from geopointseg.learning.preparation import Prepared
from geopointseg.learning.selection import (
    WeightRule,
    weigh_on_coarse_imagery,
    weigh_on_frozen_encoder,
)
from geopointseg.learning.teacher import fit_forest
from geopointseg.model.architecture import Network
from geopointseg.model.forest import Forest
from geopointseg.model.member import Normalization
from geopointseg.progress import Reporter
from geopointseg.sampling.patch import LabelledPixels

ModelKind = Literal["auto", "network", "linear", "knn", "forest"]


@dataclass(frozen=True, eq=False)
class TrainingJob:
    """One training: its data, settings, device and output.

    Parameters
    ----------
    prepared
        Scenes, imagery in memory and labelled pixels.
    config
        All settings.
    seed
        Of all random numbers.
    kind
        The requested kind of model.
    device
        Device on which networks are trained.
    reporter
        Receives messages and progress.
    output
        The output folder.
    normalization
        Of the input of networks.
    network
        With its initial weights; None where no network is trained.
    started_s
        Start of the training on the monotonic clock, in seconds.
    """

    prepared: Prepared
    config: Config
    seed: int
    kind: ModelKind
    device: torch.device
    reporter: Reporter
    output: OutputFolder
    normalization: Normalization
    network: Network | None
    started_s: float = field(default_factory=time.monotonic)

    @property
    def all_labels(self) -> LabelledPixels:
        """The labelled pixels of the final phase: all, except those marked for validation."""
        if self.prepared.marked:
            return self.prepared.training_labels
        return LabelledPixels.concatenate([self.prepared.training_labels, self.prepared.held_out])

    @property
    def known_weights(self) -> WeightRule | None:
        """Relative weights of the members that are known from other scenes, see `choose`; None where none are.

        A frozen encoder sees no other bands than the colours. So weights for it are known only where there are no other bands.
        """
        scenes = self.prepared.scenes
        if scenes[0].embedding is not None:
            return None
        if not suits_backbone(scenes):
            return weigh_on_coarse_imagery
        is_known = self.config.model.freeze_encoder and len(scenes[0].bands) <= 3
        return weigh_on_frozen_encoder if is_known else None

    @cached_property
    def has_unlabelled(self) -> bool:
        """Whether any pixel with image values has no label."""
        valid = sum(int(patch.valid.sum()) for patch in self.prepared.imagery.patches)
        return len(self.all_labels) < valid

    def fit_forest(self, labelled: LabelledPixels) -> Forest:
        """Fit a forest to labelled pixels."""
        self.reporter.progress("forest", 0.0)
        forest = fit_forest(self.prepared.imagery, labelled, self.config.forest, self.seed)
        self.reporter.progress("forest", 1.0)
        return forest

    def describe_scores(self) -> str:
        """Return a sentence about the pixels on which scores were computed."""
        where = "marked for validation" if self.prepared.marked else "held out by blocks of ground"
        return (
            f"Scores on {len(self.prepared.held_out)} labelled pixels {where}, computed before the final training on all "
            "labelled pixels."
        )

    def identity(self) -> str:
        """Return a digest that is equal for two trainings if one may resume the other."""
        settings = self.config.to_dict()
        for name in ("minutes", "steps"):
            settings["optimization"].pop(name)
        what = json.dumps(
            [settings, self.seed, self.kind, self.prepared.imagery.digest], sort_keys=True
        )
        digest = hashlib.sha256(what.encode())
        labelled = self.all_labels
        for array in (labelled.patch, labelled.row, labelled.col, labelled.class_index):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()
