"""Early stopping: held-out pixels are scored now and then while a network learns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from geopointseg.config import SelectionConfig
from geopointseg.learning.selection import Score
from geopointseg.learning.trainer import Learner
from geopointseg.progress import Reporter


class HeldOutWatch:
    """Scores held-out pixels now and then, and ends the first part when they are mapped no better.

    Parameters
    ----------
    settings
        When to score, and how long to be patient.
    learner
        What is watched; gets its best weights back when the part ends early.
    measure
        Scores the held-out pixels at a share of the budget.
    reporter
        Told when the part ends early.
    """

    def __init__(
        self,
        settings: SelectionConfig,
        learner: Learner,
        measure: Callable[[float], Score],
        reporter: Reporter,
    ) -> None:
        self.settings = settings
        self.learner = learner
        self.measure = measure
        self.reporter = reporter
        self.checks = 0
        self.stale = 0
        self.best_loss = float("inf")
        self.best: dict[str, torch.Tensor] = {}

    def __call__(self, progress: float) -> bool:
        """Score when it is time; return whether to end."""
        due = self.settings.reveal_at * (self.checks + 1) / self.settings.checks
        if progress < due or self.checks + 1 >= self.settings.checks:
            return False
        self.checks += 1
        self._remember(self.measure(progress))
        if self.stale < self.settings.patience:
            return False
        self.reporter.log(
            f"Held-out points have been mapped no better in the last {self.stale} checks; at step {self.learner.step} the "
            "best network goes on with all points."
        )
        self.learner.network.load_state_dict(self.best)
        self.learner.average.network.load_state_dict(self.best)
        return True

    def _remember(self, result: Score) -> None:
        if result.loss < self.best_loss:
            self.best_loss, self.stale = result.loss, 0
            state = self.learner.model.state_dict()
            self.best = {name: value.clone() for name, value in state.items()}
        else:
            self.stale += 1

    def state(self) -> dict[str, Any]:
        """Return what a resumed training needs."""
        return {name: getattr(self, name) for name in ("checks", "stale", "best_loss", "best")}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what `state` returned."""
        for name, value in state.items():
            setattr(self, name, value)
