"""Reliability of probabilities, and temperature scaling.

Probabilities are reliable if, of all pixels with a confidence of 90 %, 90 % are correct. Temperature scaling divides the
logits by one number, which is fitted on held-out points. Classes do not change, only their probabilities.

References
----------
Guo, C., Pleiss, G., Sun, Y. & Weinberger, K. Q. (2017). On Calibration of Modern Neural Networks. ICML.
https://doi.org/10.48550/arXiv.1706.04599
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geopointseg.assessment.estimation import wilson_interval
from geopointseg.json_values import to_json_values

MINIMUM_POINTS = 200
"""With fewer held-out points no temperature is fitted."""

_TEMPERATURE_RANGE = (0.05, 20.0)
_SMALLEST_PROBABILITY = 1e-7


@dataclass(frozen=True, eq=False)
class Reliability:
    """Accuracy of the most likely class, by its probability (confidence).

    Parameters
    ----------
    edges
        Ends of the bins of confidence, float64 ``(bin + 1,)``.
    count
        Points in each bin, int64 ``(bin,)``.
    confidence
        Mean confidence in each bin, float64 ``(bin,)``; NaN where it is empty.
    accuracy
        Share of correct points in each bin, float64 ``(bin,)``; NaN where it is empty.
    low, high
        95 % interval of the accuracy (Wilson), float64 ``(bin,)``.
    ece
        Expected calibration error: mean absolute difference of confidence and accuracy, weighted by points.
    """

    edges: NDArray[np.float64]
    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    ece: float

    def to_json(self) -> dict[str, Any]:
        """Return bins and error as JSON."""
        bins = {key: value for key, value in vars(self).items() if key != "ece"}
        document: dict[str, Any] = to_json_values({"expected_calibration_error": self.ece} | bins)
        return document


@dataclass(frozen=True, eq=False)
class Calibration:
    """A temperature, and the reliability of the probabilities before and after.

    Parameters
    ----------
    temperature
        Probabilities become ``p ** (1 / temperature)``, normalized; 1 leaves them as they are.
    points
        Number of held-out points in the fit.
    before, after
        Reliability without and with it.
    reason
        Sentence on the fit, or why there was none.
    """

    temperature: float
    points: int
    before: Reliability
    after: Reliability
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON, for the model folder."""
        return {
            "temperature": self.temperature,
            "points": self.points,
            "reason": self.reason,
            "before": self.before.to_json(),
            "after": self.after.to_json(),
        }


def measure_reliability(
    probabilities: ArrayLike, class_index: ArrayLike, bins: int = 10
) -> Reliability:
    """Compare confidence with accuracy, in bins of equal width.

    Parameters
    ----------
    probabilities
        Class probabilities, ``(point, class)``; each row sums to one.
    class_index
        True class of each point, ``(point,)``.
    bins
        Number of bins between 0 and 1.

    Returns
    -------
    Reliability
        By bin, and the expected calibration error; NaN for no points.

    Examples
    --------
    >>> measured = measure_reliability([[0.9, 0.1], [0.9, 0.1]], [0, 1])
    >>> round(measured.ece, 3)
    0.4
    """
    given = np.asarray(probabilities, dtype=np.float64)
    truth = np.asarray(class_index, dtype=np.int64)
    best = given.max(axis=1, initial=0.0)
    correct = (given.argmax(axis=1) == truth).astype(np.float64) if len(given) else np.zeros(0)
    edges = np.linspace(0, 1, bins + 1)
    place = np.searchsorted(edges, best, side="left").clip(1, bins) - 1
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(place, best, minlength=bins) / count
        accuracy = np.bincount(place, correct, minlength=bins) / count
    pairs = zip(accuracy.tolist(), count.tolist(), strict=True)
    ends = np.array([wilson_interval(share, points, 1.96) for share, points in pairs])
    gap = np.abs(np.nan_to_num(confidence) - np.nan_to_num(accuracy))
    ece = float(gap @ count / count.sum()) if count.sum() else float("nan")
    return Reliability(edges, count, confidence, accuracy, ends[:, 0], ends[:, 1], ece)


def scale_probabilities(probabilities: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """Apply a temperature to probabilities; the last axis holds the classes.

    Examples
    --------
    >>> scale_probabilities([[0.8, 0.2]], 1.0)
    array([[0.8, 0.2]])
    """
    logits = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), _SMALLEST_PROBABILITY))
    logits /= temperature
    scaled = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(scaled / scaled.sum(axis=-1, keepdims=True))


def fit_temperature(
    probabilities: ArrayLike, class_index: ArrayLike, minimum_points: int = MINIMUM_POINTS
) -> Calibration:
    """Fit the temperature of largest likelihood on held-out points.

    The probabilities must be those of the prediction: after test-time augmentation, and averaged over the members.

    Parameters
    ----------
    probabilities
        Class probabilities, ``(point, class)``.
    class_index
        True classes, ``(point,)``.
    minimum_points
        With fewer points the temperature is 1.

    Returns
    -------
    Calibration
        The temperature, and the reliability before and after.
    """
    from scipy.optimize import minimize_scalar

    given = np.asarray(probabilities, dtype=np.float64)
    truth = np.asarray(class_index, dtype=np.int64)
    before = measure_reliability(given, truth)
    if len(truth) < minimum_points:
        reason = (
            f"Not calibrated: {len(truth)} held-out points, and a temperature needs at least {minimum_points}. "
            "Use the probabilities as a ranking only."
        )
        return Calibration(1.0, len(truth), before, before, reason)

    def negative_log_likelihood(log_temperature: float) -> float:
        scaled = scale_probabilities(given, float(np.exp(log_temperature)))
        return -float(np.log(scaled[np.arange(len(truth)), truth] + 1e-300).mean())

    found = minimize_scalar(
        negative_log_likelihood, bounds=np.log(_TEMPERATURE_RANGE), method="bounded"
    )
    temperature = float(np.exp(found.x))
    after = measure_reliability(scale_probabilities(given, temperature), truth)
    direction = "over" if temperature > 1 else "under"
    reason = (
        f"Calibrated on {len(truth)} held-out points: the model was {direction}confident (temperature "
        f"{temperature:.2f}); its expected calibration error went from {before.ece:.3f} to {after.ece:.3f}."
    )
    return Calibration(temperature, len(truth), before, after, reason)
