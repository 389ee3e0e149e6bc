"""Live sessions: clicks and views, mapping of a whole scene, memory over 2000 clicks, and a simulated user.

Run by hand: ``python tests/benchmarks/bench_live.py [times map clicks user]`` or ``geopointseg bench live`` for the times alone. Times of
several measures are taken in one run; where other programs run on the machine, compare ratios and minima. ``user`` compares a user who
answers the questions of the session and clicks on errors, with points drawn at random; its imagery is found beside the checkout.
Prints one line per measurement and, as the last line, one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from sklearn.metrics import f1_score

from geopointseg.config import SceneConfig
from geopointseg.lab.demonstration import write_demo_data
from geopointseg.live.client import LiveClient
from geopointseg.live.live_benchmark import (
    HEIGHT,
    WIDTH,
    LiveBenchmark,
    generate_mosaic,
    run_live_benchmark,
)
from geopointseg.live.live_scene import open_live_scene
from geopointseg.live.question import Questions
from geopointseg.live.session import LiveSession
from geopointseg.progress import Reporter

DATA = Path(os.environ.get("GEOPOINTSEG_DATA", Path(__file__).parents[3] / "shared" / "data"))
BARS = {
    "click_median_s": 0.2, "click_p95_s": 0.5, "view_coarse_median_s": 0.3, "view_sharp_median_s": 1.0, "first_view_s": 3.0,
    "peak_memory_gib": 1.5, "map_s": 90.0, "growth_mib": 50.0,
}  # fmt: skip


def measure_map(side_px: int) -> dict[str, float]:
    """Map a whole scene from ten clicks, and compare a view at full resolution with it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mosaic = generate_mosaic(folder / "mosaic.tif", side_px)
        with LiveClient(["--raster", str(mosaic.path)]) as client:
            bench = LiveBenchmark(client, mosaic)
            row, col = side_px // 2, side_px // 3
            while len(client.ask("state")["points"]) < 10:
                bench.click((row, row + HEIGHT), (col, col + WIDTH))
            live, legend = client.view(bench.bounds(row, col), WIDTH, HEIGHT)
            client.ask("save", folder=str(folder / "model"))
            codes = {e["name"]: e["code"] for e in client.ask("state")["legend"]}
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "geopointseg", "predict", str(folder / "model"), "--raster", str(mosaic.path),
             "-o", str(folder / "map.tif"), "--no-cog", "--quiet"],
            check=True,
        )  # fmt: skip
        seconds = time.perf_counter() - started
        with rasterio.open(folder / "map.tif") as source:
            found = source.read(1)[row : row + HEIGHT, col : col + WIDTH]
    expected = np.array([codes[name] for name in legend])[live]
    return {"map_s": seconds, "map_agreement": float((found == expected).mean())}


def measure_clicks(count: int) -> dict[str, float]:
    """Return the growth of the process between the tenth part of the clicks and the end."""
    with tempfile.TemporaryDirectory() as folder:
        mosaic = generate_mosaic(Path(folder) / "mosaic.tif", 2048)
        with LiveClient(["--raster", str(mosaic.path)]) as client:
            bench = LiveBenchmark(client, mosaic)
            sizes = []
            for number in range(count):
                bench.click((0, 2048), (0, 2048))
                if number % 10 == 0:
                    bench.time_view(bench.bounds(600, 600))
                sizes.append(_resident_mib(client.process.pid))
    return {"growth_mib": sizes[-1] - sizes[count // 10], "clicks": float(count)}


def _resident_mib(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if "VmRSS" in line) / 1024


@dataclass(frozen=True, eq=False)
class TruthScene:
    """A scene with dense reference classes, uint8 ``(row, col)``, 255 where unknown; the upper half is clicked, the lower one scored."""

    path: Path
    truth: np.ndarray


def read_demo(folder: Path) -> TruthScene:
    write_demo_data(folder)
    with rasterio.open(folder / "truth.tif") as source:
        truth, nodata = source.read(1), source.nodata
    return TruthScene(folder / "scene.tif", np.where(truth == nodata, 255, truth).astype(np.uint8))


def read_swiss(_: Path) -> TruthScene:
    colors = [(181, 0, 0), (135, 135, 135), (189, 107, 0), (31, 123, 22), (237, 237, 237)]
    with rasterio.open(DATA / "swiss_drone" / "mask_8744.png") as source:
        mask = source.read()[:3]
    truth = np.full(mask.shape[1:], 255, np.uint8)
    for index, color in enumerate(colors):
        truth[(mask == np.array(color)[:, None, None]).all(axis=0)] = index
    return TruthScene(DATA / "swiss_drone" / "scene_8744.tif", truth)


def read_loveda(_: Path) -> TruthScene:
    with rasterio.open(DATA / "loveda" / "reference_0.tif") as source:
        truth = source.read(1)
    return TruthScene(DATA / "loveda" / "scene_0.tif", np.where(truth == 0, 255, truth))


def read_landsat(_: Path) -> TruthScene:
    with rasterio.open(DATA / "nc_landsat7" / "nc_landclass96_reference.tif") as source:
        truth = source.read(1)
    usable = np.isin(truth, [1, 3, 4, 5, 6])
    return TruthScene(
        DATA / "nc_landsat7" / "nc_landsat7_5band.tif",
        np.where(usable, truth, 255).astype(np.uint8),
    )


SCENES: dict[str, Callable[[Path], TruthScene]] = {
    "demo": read_demo, "swiss_drone": read_swiss, "loveda": read_loveda, "nc_landsat7": read_landsat,
}  # fmt: skip


class SimulatedUser:
    """A user who knows the truth of the upper half of a scene."""

    def __init__(self, scene: TruthScene, seed: int) -> None:
        self.scene, self.rng = scene, np.random.default_rng(seed)
        self.session = LiveSession(open_live_scene([str(scene.path)], SceneConfig(), Reporter()))
        self.half = scene.truth.shape[0] // 2
        upper = scene.truth[: self.half]
        self.classes = [k for k in np.unique(upper[upper != 255]) if (upper == k).sum() >= 200]

    def click(self, row: int, col: int) -> bool:
        """Add the true class of a pixel; return whether it has one."""
        index = self.scene.truth[row, col]
        if index not in self.classes:
            return False
        x, y = self.session.scene.grid.pixel_to_world(row + 0.5, col + 0.5)
        try:
            self.session.points.add({"x": float(x), "y": float(y), "class": str(index)})
        except ValueError:
            return False
        return True

    def click_at_random(self, per_class: int) -> None:
        for index in self.classes:
            places = np.argwhere(self.scene.truth[: self.half] == index)
            for row, col in self.rng.permutation(places)[:per_class]:
                self.click(int(row), int(col))

    def picture(self) -> tuple[np.ndarray, np.ndarray]:
        """Return class and confidence of all pixels."""
        height, width = self.scene.truth.shape
        *_, picture = self.session.view(self.session.scene.grid.bounds, width, height, coarse=False)
        names = np.array([int(name) for name in picture.legend] + [255], np.uint8)
        return names[np.minimum(picture.classes, len(names) - 1)], picture.confidence

    def click_as_asked(self, per_class: int) -> None:
        """Three random clicks per class, then in turns: a confident error of the class with the fewest points, and two answers to questions."""
        self.click_at_random(3)
        grid = self.session.scene.grid
        west, _, east, north = grid.bounds
        south = float(grid.pixel_to_world(self.half, 0)[1])
        questions, tries = Questions(self.session), 0
        while len(self.session.points) < per_class * len(self.classes) and tries < 60 * len(
            self.classes
        ):
            tries += 1
            if tries % 3 == 0:
                self._click_error()
                continue
            asked = questions.ask((west, south, east, north))
            row, col = (int(v) for v in grid.world_to_pixel(asked.x, asked.y))
            self.click(row, col)

    def _click_error(self) -> None:
        found, confidence = self.picture()
        upper = self.scene.truth[: self.half]
        wrong = (found[: self.half] != upper) & np.isin(upper, self.classes)
        if not wrong.any():
            return
        counts = {int(k): v for k, v in self.session.points.counts().items()}
        scarce = min(np.unique(upper[wrong]), key=lambda k: counts.get(int(k), 0))
        own = wrong & (upper == scarce)
        places = np.argwhere(
            own & (confidence[: self.half] >= np.median(confidence[: self.half][own]))
        )
        self.click(*(int(v) for v in places[self.rng.integers(len(places))]))

    def score(self) -> float:
        """Return the mean F1 on the lower half."""
        truth, found = self.scene.truth[self.half :], self.picture()[0][self.half :]
        known = np.isin(truth, self.classes)
        return float(
            f1_score(
                truth[known], found[known], average="macro", labels=self.classes, zero_division=0
            )
        )


def measure_user(seeds: int, names: list[str]) -> dict[str, Any]:
    """Compare at most 25 clicks per class, as the session asks for them, with 50 random points per class."""
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            scene = SCENES[name](Path(folder))
            found: dict[str, list[float]] = {"asked_25": [], "random_25": [], "random_50": []}
            for seed in range(seeds):
                for how, scores in found.items():
                    user = SimulatedUser(scene, seed)
                    per_class = int(how.split("_")[1])
                    (user.click_as_asked if how.startswith("asked") else user.click_at_random)(
                        per_class
                    )
                    scores.append(user.score())
                    user.session.close()
            rows[name] = {how: round(float(np.mean(values)), 4) for how, values in found.items()}
            print(name, rows[name], flush=True)
    return {"user": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "what", nargs="*", default=["times", "map"], choices=["times", "map", "clicks", "user"]
    )
    parser.add_argument("--side", type=int, default=10_000)
    parser.add_argument("--clicks", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--scenes", nargs="*", default=list(SCENES), choices=list(SCENES))
    options = parser.parse_args()
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "times": run_live_benchmark,
        "map": lambda: measure_map(options.side),
        "clicks": lambda: measure_clicks(options.clicks),
        "user": lambda: measure_user(options.seeds, options.scenes),
    }
    result: dict[str, Any] = {}
    for what in options.what:
        found = parts[what]()
        result |= found
        for name, value in found.items():
            print(f"{name:28} {value}   bar {BARS.get(name, '-')}", flush=True)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
