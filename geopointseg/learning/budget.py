"""How long a training lasts: in steps, or in minutes of wall time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Budget:
    """A budget in steps or seconds, and how much of it is used.

    Everything that changes while training (learning rate, ramps, parts) follows `progress`, so a run of ten
    minutes and one of an hour go through the same stages.

    Parameters
    ----------
    steps
        Number of steps; 0 for a budget in time.
    seconds
        Wall time, used where ``steps`` is 0.
    most_steps
        Steps after which a budget in time ends early; 0 for no such end.
    spent_s
        Seconds that an earlier run of the same training took.
    clock
        Source of time.

    Examples
    --------
    >>> budget = Budget(steps=200)
    >>> budget.progress(50)
    0.25
    >>> budget.skip_to(0.75, step=50)  # the rest takes as long, measured by what was used, as planned
    >>> round(budget.progress(50), 3), round(budget.progress(66), 3)
    (0.75, 0.99)
    """

    steps: int = 0
    seconds: float = 600.0
    most_steps: int = 0
    spent_s: float = 0.0
    clock: Callable[[], float] = time.monotonic
    _anchor: tuple[float, float] = (0.0, 0.0)
    _slope: float = 0.0
    _started_s: float = field(init=False)
    _planned_s: float = field(init=False)
    _has_begun: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._started_s, self._planned_s = self.clock(), self.seconds
        self._slope = 1.0 / (self.steps or max(self.seconds, 1e-9))

    @property
    def elapsed_s(self) -> float:
        """Seconds since the training began, earlier runs included."""
        return self.spent_s + self.clock() - self._started_s

    def begin(self, seconds: float) -> None:
        """Start the clock with so many seconds to go, unless it runs already."""
        if not self._has_begun:
            self._has_begun = True
            self.seconds, self._started_s = max(seconds, 1.0), self.clock()
            self._slope = 1.0 / (self.steps or self.seconds)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do something that does not count."""
        before = self.clock()
        try:
            yield
        finally:
            self._started_s += self.clock() - before

    def progress(self, step: int) -> float:
        """Return the used share of the budget, 0..1, when ``step`` steps are done."""
        used, reached = self._anchor
        planned = reached + (self._used(step) - used) * self._slope
        is_capped = self.most_steps and not self.steps
        return min(max(planned, step / self.most_steps if is_capped else 0.0), 1.0)

    def is_at_its_most(self, step: int) -> bool:
        """Whether a budget in time has ended early, by its steps."""
        return not self.steps and 0 < self.most_steps <= step

    def skip_to(self, reached: float, step: int) -> None:
        """Go on as if ``reached`` of the budget were used; the rest keeps its planned length relative to what was."""
        used, before = self._used(step), self.progress(step)
        if before >= reached:
            return
        self._slope = reached / max(used, 1e-9)
        self._anchor = (used, reached)

    def state(self) -> dict[str, float]:
        """Return what a resumed training needs."""
        return {
            "spent_s": self.elapsed_s,
            "used": self._anchor[0],
            "reached": self._anchor[1],
            "slope": self._slope * (self.steps or self.seconds),
            "share": self.seconds / max(self._planned_s, 1e-9),
        }

    def load_state(self, state: dict[str, float]) -> None:
        """Take up what `state` returned; a longer budget stretches what is left."""
        self.spent_s, self._started_s = state["spent_s"], self.clock()
        self._anchor = (state["used"], state["reached"])
        self._has_begun = True
        self.seconds = self._planned_s * state["share"]
        self._slope = state["slope"] / (self.steps or self.seconds)

    def _used(self, step: int) -> float:
        return float(step) if self.steps else self.elapsed_s
