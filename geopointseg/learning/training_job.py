"""One training: what it works on and how, shared by all that takes part in it."""

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
from geopointseg.learning.model_output import Workspace
from geopointseg.learning.preparation import Prepared
from geopointseg.learning.teacher import fit_forest
from geopointseg.model.architecture import Network
from geopointseg.model.forest import Forest
from geopointseg.model.member import Normalization
from geopointseg.progress import Reporter
from geopointseg.sampling.patch import LabelledPixels

ModelKind = Literal["auto", "network", "linear", "forest"]


@dataclass(frozen=True, eq=False)
class Job:
    """What a training works on.

    Parameters
    ----------
    ready
        Scenes, ground and labelled pixels.
    config
        All settings.
    seed
        Decides everything.
    kind
        What was asked for.
    device
        Where networks are trained.
    reporter
        Told about progress.
    workspace
        Where files are written.
    normalization
        How networks see the imagery.
    network
        With its starting weights; None where no network is trained.
    started_s
        When the training began, on the monotonic clock.
    """

    ready: Prepared
    config: Config
    seed: int
    kind: ModelKind
    device: torch.device
    reporter: Reporter
    workspace: Workspace
    normalization: Normalization
    network: Network | None
    started_s: float = field(default_factory=time.monotonic)

    @property
    def everything(self) -> LabelledPixels:
        """The labelled pixels that are learnt from in the end."""
        if self.ready.marked:
            return self.ready.chosen_on
        return LabelledPixels.concatenate([self.ready.chosen_on, self.ready.held_out])

    @cached_property
    def has_unlabelled(self) -> bool:
        """Whether any pixel that shows an image has no label."""
        valid = sum(int(patch.valid.sum()) for patch in self.ready.ground.patches)
        return len(self.everything) < valid

    def fit_forest(self, labelled: LabelledPixels) -> Forest:
        """Fit a forest to labelled pixels."""
        self.reporter.progress("forest", 0.0)
        forest = fit_forest(self.ready.ground, labelled, self.config.forest, self.seed)
        self.reporter.progress("forest", 1.0)
        return forest

    def how_scored(self) -> str:
        """Return a sentence that says where the scores come from."""
        where = "marked for validation" if self.ready.marked else "held out by blocks of ground"
        return (
            f"Scores on {len(self.ready.held_out)} labelled pixels {where}, taken before the model learnt from all "
            "labelled pixels."
        )

    def identity(self) -> str:
        """Return a text that is the same for trainings of which one may resume the other."""
        settings = self.config.to_dict()
        for name in ("minutes", "steps"):
            settings["optimization"].pop(name)
        what = json.dumps(
            [settings, self.seed, self.kind, self.ready.ground.digest], sort_keys=True
        )
        digest = hashlib.sha256(what.encode())
        labelled = self.everything
        for array in (labelled.patch, labelled.row, labelled.col, labelled.class_index):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()
