"""The training budget: a number of steps, or a wall time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from geopointseg.config import Config
from geopointseg.sampling.patch import Patch

LEAST_STEPS = 2000
"""Smallest limit on the number of steps of a training by time."""


@dataclass
class TrainingBudget:
    """A budget in steps or seconds, and the share of it that is used.

    All schedules (learning rate, loss weights, phases) depend on `progress`, so trainings of ten minutes and of an hour pass
    through the same phases.

    Parameters
    ----------
    steps
        Number of optimizer steps; 0 for a budget in time.
    seconds
        Wall time in seconds, used where ``steps`` is 0.
    most_steps
        Number of steps after which a budget in time ends early; 0 for no limit.
    spent_s
        Seconds of earlier runs of the same training, which is resumed.
    clock
        Returns the time in seconds.

    Examples
    --------
    >>> budget = TrainingBudget(steps=200)
    >>> budget.progress(50)
    0.25
    >>> budget.skip_to(0.75, step=50)  # the rest is scaled like the used part
    >>> round(budget.progress(50), 3), round(budget.progress(66), 3)
    (0.75, 0.99)
    """

    steps: int = 0
    seconds: float = 600.0
    most_steps: int = 0
    spent_s: float = 0.0
    clock: Callable[[], float] = time.monotonic
    _anchor: tuple[float, float, float] = (0.0, 0.0, 0.0)
    _slope: float = 0.0
    _started_s: float = field(init=False)
    _planned_s: float = field(init=False)
    _has_begun: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._started_s, self._planned_s = self.clock(), self.seconds
        self._slope = 1.0 / (self.steps or max(self.seconds, 1e-9))

    @property
    def elapsed_s(self) -> float:
        """Seconds since the training began, including earlier runs."""
        return self.spent_s + self.clock() - self._started_s

    def begin(self, seconds: float) -> None:
        """Start the clock with a number of seconds, unless it has started."""
        if not self._has_begun:
            self._has_begun = True
            self.seconds, self._started_s = max(seconds, 1.0), self.clock()
            self._slope = 1.0 / (self.steps or self.seconds)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Exclude the time that the body of the ``with`` statement takes."""
        before = self.clock()
        try:
            yield
        finally:
            self._started_s += self.clock() - before

    def progress(self, step: int) -> float:
        """Return the used share of the budget, 0..1, after a number of steps."""
        used, reached = self._anchor[not self.steps], self._anchor[2]
        planned = round(reached + (self._used(step) - used) * self._slope, 12)
        is_capped = self.most_steps and not self.steps
        return min(max(planned, step / self.most_steps if is_capped else 0.0), 1.0)

    def is_at_its_most(self, step: int) -> bool:
        """Return whether a budget in time has reached its largest number of steps."""
        return not self.steps and 0 < self.most_steps <= step

    def skip_to(self, reached: float, step: int) -> None:
        """Set the progress to a larger share and scale the remaining budget by the same factor as the used one.

        Parameters
        ----------
        reached
            Used share of the budget, 0..1; nothing changes where the progress is larger.
        step
            Number of steps that are done.
        """
        used, before = self._used(step), self.progress(step)
        if before >= reached:
            return
        self._slope = reached / max(used, 1e-9)
        self._anchor = (step, self.elapsed_s, reached)

    def state(self) -> dict[str, float]:
        """Return the state for a checkpoint."""
        return {
            "spent_s": self.elapsed_s,
            "used_steps": self._anchor[0],
            "used_s": self._anchor[1],
            "reached": self._anchor[2],
            "slope": self._slope * (self.steps or self.seconds),
            "share": self.seconds / max(self._planned_s, 1e-9),
        }

    def load_state(self, state: dict[str, float]) -> None:
        """Restore what `state` returned; a longer budget scales the remaining part, also from minutes to steps and back."""
        self.spent_s, self._started_s = state["spent_s"], self.clock()
        self._anchor = (state["used_steps"], state["used_s"], state["reached"])
        self._has_begun = True
        self.seconds = self._planned_s * state["share"]
        self._slope = state["slope"] / (self.steps or self.seconds)

    def _used(self, step: int) -> float:
        return float(step) if self.steps else self.elapsed_s


def most_steps(config: Config, patches: Sequence[Patch]) -> int:
    """Return the largest number of steps of a training by time; 0 for no limit, as without distillation.

    A network trained on noisy labels fits the correct ones first and the wrong ones later (Liu et al. 2020). The soft
    labels of the teachers are noisy in this sense. With 5000 steps instead of 1800, mean F1 of a network without pretrained weights
    changed by +0.6 percentage points on one test area of four, did not change on two, and changed by -7 on the fourth, where the
    network had learnt the errors of the forest. A decoder on a frozen encoder scores 1 point less after 300 or 600 steps than after 2000.

    Parameters
    ----------
    config
        All settings, without 'auto' in those of the network.
    patches
        Imagery in memory.

    References
    ----------
    S. Liu et al., Early-learning regularization prevents memorization of noisy labels, NeurIPS 2020,
    doi:10.48550/arXiv.2007.00151.
    """
    passes = config.optimization.most_passes
    if config.teaching.distillation_weight == 0 or not passes:
        return 0
    pixels = sum(int(patch.valid.sum()) for patch in patches)
    a_step = config.sampling.batch_size * config.sampling.chip_size**2
    return max(LEAST_STEPS, round(passes * pixels / a_step))
