"""Live sessions: clicks and views, mapping of a whole scene, memory over 2000 clicks, and a simulated user.

Run by hand: ``python tests/benchmarks/bench_live.py [times map clicks user]`` or ``geopointseg bench live`` for the times alone. Times of
several measures are taken in one run; where other programs run on the machine, compare ratios and minima. ``user`` compares a user who
answers the questions of the session and clicks on errors, with points drawn at random; its imagery is found beside the checkout.
Prints one line per measurement and, as the last line, one JSON object.
"""

from __future__ import annotations

import argparse
import gc
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
    BARE_POINTS,
    HEIGHT,
    NAMES,
    WIDTH,
    GeneratedMosaic,
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
    "peak_memory_gib": 1.5, "map_s": 90.0, "growth_mib": 50.0, "late_click_median_s": 0.2, "late_click_p95_s": 0.5,
}  # fmt: skip
CLICKED_PX = 2048
SAMPLED, TIMED = 100, 5
"""Clicks between two samples, and the timed ones at their end."""


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
        started, before = time.perf_counter(), os.times()
        subprocess.run(
            [sys.executable, "-m", "geopointseg", "predict", str(folder / "model"), "--raster", str(mosaic.path),
             "-o", str(folder / "map.tif"), "--no-cog", "--quiet"],
            check=True,
        )  # fmt: skip
        seconds, after = time.perf_counter() - started, os.times()
        used = (
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system
        )
        with rasterio.open(folder / "map.tif") as source:
            found = source.read(1)[row : row + HEIGHT, col : col + WIDTH]
    expected = np.array([codes[name] for name in legend])[live]
    return {
        "map_s": seconds,
        "map_processor_s": used,
        "map_agreement": float((found == expected).mean()),
    }


def measure_clicks(count: int, every: int) -> dict[str, Any]:
    """Click many times in one session, and remove all points at the end; tell time and size after every hundredth click.

    Before every fifth click an older point is removed. A view follows some clicks, by default all; those of the last five of each hundred
    have the size of the bars and are timed. ``python_blocks`` are counted in a session without a process of its own.
    """
    with tempfile.TemporaryDirectory() as folder:
        mosaic = generate_mosaic(Path(folder) / "mosaic.tif", CLICKED_PX)
        with LiveClient(["--raster", str(mosaic.path)], timeout_s=900.0) as client:
            bench, samples = LiveBenchmark(client, mosaic), []
            for _ in range(count // SAMPLED):
                samples.append(_click_on(bench, every))
                print(samples[-1], file=sys.stderr, flush=True)
            for point in client.ask("state")["points"]:
                client.ask("remove", point=point["point"])
            emptied = _describe_process(client.process.pid)
        blocks = _count_blocks(mosaic, count)
    first, last = samples[min(len(samples) // 10, len(samples) - 1)], samples[-1]
    return {
        "samples": samples, "emptied": emptied, "python_blocks": blocks, "peak_memory_gib": last["peak_mib"] / 1024,
        "growth_mib": last["anonymous_mib"] - first["anonymous_mib"], "late_click_median_s": last["click_median_s"],
        "late_click_p95_s": last["click_p95_s"],
    }  # fmt: skip


def _click_on(bench: LiveBenchmark, every: int) -> dict[str, float]:
    """Click a hundred times; return the number of points, seconds of the last clicks, and the size of the process."""
    rng, times, used = np.random.default_rng(0), [], 0.0
    for number in range(SAMPLED):
        if number % 5 == 4:
            points = bench.client.ask("state")["points"]
            bench.client.ask("remove", point=points[int(rng.integers(len(points)))]["point"])
        started, is_timed = time.perf_counter(), number >= SAMPLED - TIMED
        used -= is_timed * _processor_seconds(bench.client.process.pid)
        bench.click((0, CLICKED_PX), (0, CLICKED_PX))
        if is_timed or number % every == 0:
            bench.time_view(bench.bounds(600, 600, 1.0 if is_timed else 0.125))
        times.append(time.perf_counter() - started)
        used += is_timed * _processor_seconds(bench.client.process.pid)
    timed = times[-TIMED:]
    return {
        "points": float(len(bench.client.ask("state")["points"])), "click_median_s": float(np.median(timed)),
        "click_p95_s": float(np.percentile(timed, 95)), "click_processor_s": used / TIMED, **_describe_process(bench.client.process.pid),
    }  # fmt: skip


def _processor_seconds(process: int) -> float:
    """Return the processor time of all threads of a process, which other programs on the machine change little."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _describe_process(process: int) -> dict[str, float]:
    """Return resident anonymous and peak memory in MiB, and the numbers of threads and descriptors, of a process."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    fields = {
        key: value.split()[0]
        for key, _, value in (line.partition(":") for line in lines)
        if value.split()
    }
    return {
        "anonymous_mib": int(fields["RssAnon"]) / 1024, "peak_mib": int(fields["VmHWM"]) / 1024,
        "threads": float(fields["Threads"]), "descriptors": float(len(list(Path(f"/proc/{process}/fd").iterdir()))),
    }  # fmt: skip


def _count_blocks(mosaic: GeneratedMosaic, count: int) -> list[int]:
    """Return Python's blocks after every hundredth click, with 300 points at most, each fitted with the others of its ten clicks."""
    session, rng, found = (
        LiveSession(open_live_scene([str(mosaic.path)], SceneConfig(), Reporter())),
        np.random.default_rng(0),
        [],
    )
    for number in range(1, count + 1):
        row, col = rng.integers(0, CLICKED_PX, 2)
        x, y = session.scene.grid.pixel_to_world(row + 0.5, col + 0.5)
        session.points.add(
            {"x": float(x), "y": float(y), "class": NAMES[mosaic.classes[row // 4, col // 4]]}
        )
        if len(session.points) > BARE_POINTS:
            session.points.remove(session.points.points[0].identifier)
        if number % 10 == 0:
            session.fitted(0)
        if number % SAMPLED == 0:
            gc.collect()
            found.append(sys.getallocatedblocks())
    session.close()
    return found


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
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--every", type=int, default=1, help="clicks per view, for clicks")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--scenes", nargs="*", default=list(SCENES), choices=list(SCENES))
    options = parser.parse_args()
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "times": run_live_benchmark,
        "map": lambda: measure_map(options.side),
        "clicks": lambda: measure_clicks(options.count, options.every),
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
