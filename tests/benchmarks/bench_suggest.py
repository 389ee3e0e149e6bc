"""Do suggested points beat random ones? A simulated mapper answers both kinds, and maps are scored.

``python tests/benchmarks/bench_suggest.py demo`` uses the synthetic landscape, ``... nc_landsat7`` and
``... swiss_drone`` real scenes with dense references (found beside the checkout or in GEOPOINTSEG_DATA). Both arms
start from the same few points of each class. One arm labels five rounds of 20 suggestions; the other labels random
places. The bar: random points need at least twice as many to reach the score of the suggested ones.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geopointseg.assessment.confusion import ConfusionMatrix
from geopointseg.config import Config
from geopointseg.lab.dense_mask import read_dense_mask
from geopointseg.labels.points import Points
from geopointseg.landscape import make_landscape, write_scene
from geopointseg.learning.training import train
from geopointseg.legend import Legend
from geopointseg.model.bundle import ModelBundle
from geopointseg.prediction.predictor import predict_array
from geopointseg.raster.class_map import ClassMap
from geopointseg.raster.scene import Scene
from geopointseg.validation.suggestion import suggest

LEAST_PIXELS = 500


@dataclass
class Mapper:
    """Knows the truth and labels what is asked."""

    scene: Scene
    truth: NDArray[np.int64]
    legend: Legend

    def label(self, row: NDArray[np.int64], col: NDArray[np.int64]) -> Points:
        """Return points at pixel centres; places without known class are skipped."""
        known = self.truth[row, col] >= 0
        row, col = row[known], col[known]
        x, y = self.scene.grid.pixel_to_world(row + 0.5, col + 0.5)
        return Points.from_arrays(x, y, self.truth[row, col], self.legend, self.scene.grid.crs)

    def label_at(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> Points:
        """Return points at places on the ground."""
        row, col = (np.floor(v).astype(np.int64) for v in self.scene.grid.world_to_pixel(x, y))
        return self.label(row, col)

    def first_points(self, per_class: int, rng: np.random.Generator) -> Points:
        """Label a few places of each class, as anybody would begin."""
        flat = [
            rng.choice(np.flatnonzero(self.truth == k), min(per_class, int((self.truth == k).sum())), replace=False)
            for k in range(len(self.legend))
        ]  # fmt: skip
        return self.label(*np.divmod(np.concatenate(flat), self.truth.shape[1]))

    def random_points(self, count: int, rng: np.random.Generator) -> Points:
        """Label random places."""
        flat = rng.choice(np.flatnonzero(self.truth >= 0), count, replace=False)
        return self.label(*np.divmod(flat, self.truth.shape[1]))

    def score(self, model: ModelBundle) -> dict[str, float]:
        """Score the model's map everywhere."""
        probabilities, valid = predict_array(model, self.scene)
        mapped = np.where(valid, probabilities.argmax(axis=0), -1)
        matrix = ConfusionMatrix.from_labels(mapped, self.truth, self.legend)
        return {"mean_f1": matrix.mean("f1"), "overall_accuracy": matrix.overall_accuracy}


def open_ground(name: str, folder: Path) -> Mapper:
    """Return scene and truth of one data set."""
    if name == "demo":
        landscape = make_landscape(480, 640, seed=5)
        write_scene(landscape, str(folder / "scene.tif"))
        truth = np.where(landscape.valid, landscape.truth.astype(np.int64), -1)
        return Mapper(Scene.open(folder / "scene.tif"), truth, landscape.legend)
    default = Path(__file__).parents[3] / "shared" / "data"
    data = Path(os.environ.get("GEOPOINTSEG_DATA", default))
    if name == "nc_landsat7":
        scene = Scene.open(data / name / "nc_landsat7_5band.tif")
        reference = ClassMap.open(data / name / "nc_landclass96_reference.tif")
        truth = reference.read()[0].astype(np.int64)
        truth = np.where(scene.read().valid, truth, -1)
        return _with_common_classes(scene, truth, reference.legend)
    scene = Scene.open(data / name / "scene_8733.tif")
    mask = read_dense_mask(data / name / "mask_8733.png", palette="swiss_drone", grid=scene.grid)
    return _with_common_classes(scene, mask.class_index.astype(np.int64), mask.legend)


def _with_common_classes(scene: Scene, truth: NDArray[np.int64], legend: Legend) -> Mapper:
    """Keep classes with enough pixels to be drawn from and scored."""
    counts = np.bincount(truth[truth >= 0], minlength=len(legend))
    kept = np.flatnonzero(counts >= LEAST_PIXELS)
    lookup = np.full(len(counts) + 1, -1)
    lookup[kept] = np.arange(len(kept))
    return Mapper(scene, lookup[truth], Legend(tuple(legend.entries[k] for k in kept)))


def run(
    mapper: Mapper, folder: Path, seed: int, config: Config, kind: str, distance_m: float
) -> dict:
    """Run both arms; return points and scores."""
    rng = np.random.default_rng(seed)
    start = mapper.first_points(5, rng)
    curves: dict[str, list] = {"suggested": [], "random": []}

    def fit(points: Points) -> ModelBundle:
        return train(
            [mapper.scene],
            points,
            output=folder / f"model{seed}",
            config=config,
            seed=seed,
            model=kind,
        )

    points = start
    for step in range(6):
        model = fit(points)
        curves["suggested"].append((len(points), mapper.score(model)["mean_f1"]))
        if step < 5:
            found = suggest(
                model, mapper.scene, 20, distance_m, folder / "next.gpkg", points=points, seed=seed
            )
            points = Points.concatenate([points, mapper.label_at(found.x, found.y)])
    points, added = start, 0
    for target in (20, 40, 60, 80, 100, 150, 200, 300, 400):
        points = Points.concatenate([points, mapper.random_points(target - added, rng)])
        added = target
        curves["random"].append((len(points), mapper.score(fit(points))["mean_f1"]))
    return curves


def main() -> None:
    """Run the simulation and print mean curves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ground", choices=["demo", "nc_landsat7", "swiss_drone"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--model", default="forest", choices=["forest", "auto"])
    parser.add_argument("--features", default="filters")
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=1.0)
    options = parser.parse_args()
    config = Config().updated(
        {
            "forest": {"features": options.features, "trees": options.trees},
            "optimization": {"minutes": options.minutes},
        }
    )
    with tempfile.TemporaryDirectory() as name:
        mapper = open_ground(options.ground, Path(name))
        distance = 4 * mapper.scene.grid.resolution_m
        runs = []
        for seed in range(options.seeds):
            runs.append(run(mapper, Path(name), seed, config, options.model, distance))
            sys.stderr.write(json.dumps(runs[-1]) + "\n")
    for arm in ("suggested", "random"):
        table = np.array([r[arm] for r in runs]).mean(axis=0)
        line = "  ".join(f"{points:.0f}: {score:.3f}" for points, score in table)
        sys.stdout.write(f"{options.ground}, {arm:9s}  points: mean F1   {line}\n")


if __name__ == "__main__":
    main()
