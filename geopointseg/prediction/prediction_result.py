"""The result of a prediction."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geopointseg.summary import described, join_names


@described
@dataclass(frozen=True)
class Prediction:
    """A finished prediction.

    Parameters
    ----------
    path
        The class map.
    probabilities, uncertainty
        The other files; None where they were not written.
    seconds
        Duration in seconds.
    pixels
        Number of mapped pixels, without nodata.
    pixels_per_s
        Pixels of the raster per second, without those that an earlier run computed.
    class_pixels
        Number of mapped pixels of each class, by name.
    backend
        Backend of the networks: ``torch``, ``torch-bf16``, ``onnxruntime`` or ``openvino``; ``none`` where the models
        have no network.
    """

    path: Path
    probabilities: Path | None
    uncertainty: Path | None
    seconds: float
    pixels: int
    pixels_per_s: float
    class_pixels: dict[str, int] = field(default_factory=dict)
    backend: str = "torch"

    def _summary(self) -> list[str]:
        others = [str(path) for path in (self.probabilities, self.uncertainty) if path]
        total = max(self.pixels, 1)
        shares = [f"{name} {pixels / total:.1%}" for name, pixels in self.class_pixels.items()]
        return [
            f"Prediction '{self.path}': {self.pixels} pixels in {self.seconds:.1f} s, backend {self.backend}",
            join_names(shares),
            *([f"also written: {join_names(others)}"] if others else []),
        ]

    def _table(self) -> tuple[list[str], list[list[object]]]:
        total = max(self.pixels, 1)
        rows: list[list[object]] = [[n, p, p / total] for n, p in self.class_pixels.items()]
        return ["class", "pixels", "share"], rows

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "path": str(self.path),
            "probabilities": str(self.probabilities) if self.probabilities else None,
            "uncertainty": str(self.uncertainty) if self.uncertainty else None,
            "seconds": round(self.seconds, 3),
            "pixels": self.pixels,
            "pixels_per_s": round(self.pixels_per_s, 1),
            "class_pixels": self.class_pixels,
            "backend": self.backend,
        }
