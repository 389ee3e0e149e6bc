"""Early stopping by the score of held-out pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from geopointseg.config import SelectionConfig
from geopointseg.learning.selection import Score
from geopointseg.learning.trainer import Learner
from geopointseg.progress import Reporter


class EarlyStopping:
    """Ends the first phase of a training when the loss on held-out pixels stops improving.

    Parameters
    ----------
    settings
        Number of checks, and patience.
    learner
        The network in training; its best weights are restored when the phase ends early.
    measure
        Returns the score of the held-out pixels, given the used share of the budget.
    reporter
        Receives a message when the phase ends early.
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
        """Score if a check is due at a used share of the budget, 0..1; return whether to end the phase."""
        due = self.settings.reveal_at * (self.checks + 1) / self.settings.checks
        if progress < due or self.checks + 1 >= self.settings.checks:
            return False
        self.checks += 1
        self._update(self.measure(progress))
        if self.stale < self.settings.patience:
            return False
        self.reporter.log(
            f"The loss on held-out points has not improved in the last {self.stale} checks; at step {self.learner.step} the "
            "training continues from the best network with all points."
        )
        self.learner.network.load_state_dict(self.best)
        self.learner.average.network.load_state_dict(self.best)
        return True

    def _update(self, result: Score) -> None:
        if result.loss < self.best_loss:
            self.best_loss, self.stale = result.loss, 0
            state = self.learner.model.state_dict()
            self.best = {name: value.clone() for name, value in state.items()}
        else:
            self.stale += 1

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {name: getattr(self, name) for name in ("checks", "stale", "best_loss", "best")}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        for name, value in state.items():
            setattr(self, name, value)
