"""A scene whose classes a small network learns in a few steps, and settings that make it small."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from geopointseg.config import Config
from geopointseg.labels.points import Points
from geopointseg.legend import Legend
from geopointseg.progress import Event, Reporter
from geopointseg.raster.grid import Grid
from geopointseg.sampling.patch import Patch

CRS_ = CRS.from_epsg(32633)
LEGEND = Legend.from_names(["water", "field", "forest"], codes=[10, 20, 30])
TINY = {
    "model": {"encoder_depth": 3, "decoder_channels": [16, 8, 8]},
    "sampling": {"chip_size": 32, "batch_size": 4},
    "forest": {"trees": 10, "features": "pixel"},
    "selection": {"least_steps": 0, "forest_below": 0, "checks": 2},
    "augmentation": {"scale": 1.0, "blur": 0.0},
}


@dataclass(frozen=True)
class Place:
    """A scene on disk, its truth and points on it."""

    path: Path
    truth: np.ndarray
    points: Points


class Recorder:
    """A sink that keeps events and may cancel at a step."""

    def __init__(self, cancel_at: int | None = None) -> None:
        self.events: list[Event] = []
        self.cancel_at = cancel_at
        self.reporter = Reporter(self)

    def emit(self, event: Event) -> None:
        self.events.append(event)
        if event.stage == "train" and f"step {self.cancel_at}," in event.message:
            self.reporter.cancel()

    def close(self) -> None:
        pass

    def said(self, kind: str) -> str:
        return "\n".join(e.message for e in self.events if e.kind == kind)


def make_patch(image: np.ndarray, valid: np.ndarray | None = None, scene: int = 0) -> Patch:
    """Keep an image ``(band, row, col)`` in memory as a scene of its own."""
    valid = np.ones(image.shape[1:], bool) if valid is None else valid
    grid = Grid(CRS_, Affine(10, 0, 500000, 0, -10, 5700000), *valid.shape)
    return Patch(scene, 0, 0, image, valid, grid)


def draw_truth(height: int, width: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 3, (height // 12 + 1, width // 12 + 1))
    return np.kron(coarse, np.ones((12, 12), int))[:height, :width].astype(np.int16)


def write_place(
    folder: Path,
    name: str = "scene.tif",
    *,
    height: int = 84,
    width: int = 120,
    seed: int = 0,
    per_class: int = 20,
) -> Place:
    generator = np.random.default_rng([seed, 1])
    truth = draw_truth(height, width, seed)
    means = np.array([[40, 60, 20], [120, 150, 90], [70, 90, 160]], float)
    image = means[truth].transpose(2, 0, 1) + generator.normal(0, 8, (3, height, width))
    image[:, :, :6] = 0
    transform = Affine(10, 0, 500000, 0, -10, 5700000)
    with rasterio.open(
        folder / name, "w", driver="GTiff", height=height, width=width, count=3, dtype="float32", nodata=0,
        crs=CRS_, transform=transform,
    ) as dataset:  # fmt: skip
        dataset.write(np.where(image == 0, 0, np.clip(image, 1, 255)).astype("float32"))
        for index, band in enumerate(("red", "green", "nir"), 1):
            dataset.set_band_description(index, band)
    usable = np.zeros_like(truth, bool)
    usable[:, 6:] = True
    flat = np.concatenate(
        [
            generator.choice(np.flatnonzero((truth == k) & usable), per_class, replace=False)
            for k in range(3)
        ]
    )
    row, col = np.unravel_index(flat, truth.shape)
    x, y = transform * (col + 0.5, row + 0.5)
    points = Points.from_arrays(x, y, truth[row, col].astype(np.int64), LEGEND, CRS_)
    return Place(folder / name, truth, points)


@pytest.fixture(scope="session")
def place(tmp_path_factory) -> Place:
    return write_place(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="session")
def make_place():
    """Write a scene with points: ``make_place(folder, name, seed=...)``."""
    return write_place


@pytest.fixture
def tiny() -> Config:
    return Config().updated(TINY)
