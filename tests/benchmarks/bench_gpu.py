"""Training, prediction and the frozen features on a GPU: parity with the processor, and speed.

    python tests/benchmarks/bench_gpu.py -o DIR [--steps 1500] [--size 1024]

The ground is a synthetic landscape with 50 points a class. The linear model is fitted on both devices, and one model is mapped
on both. The default model, whose wide chips have 192 pixels, is trained with 32-bit floats and with what the GPU is fastest with
(bfloat16), and the network without pretrained weights with chips of 192 pixels only. The result is one JSON object, which is also
written to ``DIR/gpu.json``. Without a GPU the same is done on the processor alone.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import rasterio
import torch

from geopointseg.config import Config
from geopointseg.landscape import draw_points, make_landscape, write_scene
from geopointseg.learning.training import train
from geopointseg.prediction.predictor import predict

T = TypeVar("T")
PROCESSOR_STEPS = 60
"""Steps of the network's training on the processor, for its speed alone; with fewer ones no network is kept."""


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("-o", "--output", required=True, type=Path)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--size", type=int, default=1024)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    bench = Bench(arguments.output, arguments.size, arguments.steps)
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    measures = [bench.measure_linear, bench.measure_default, bench.measure_plain]
    for measure, device in itertools.product(measures, devices):
        measure(device)
        bench.write()
    if len(devices) > 1:
        bench.compare()
        bench.write()
    sys.stdout.write(json.dumps(bench.result, indent=1) + "\n")


class Bench:
    """A landscape, and what was measured on it."""

    def __init__(self, folder: Path, size: int, steps: int) -> None:
        self.folder, self.steps = folder, steps
        landscape = make_landscape(size, size, seed=0)
        self.truth = np.array([entry.code for entry in landscape.legend.entries])[landscape.truth]
        self.scene = folder / "scene.tif"
        write_scene(landscape, str(self.scene))
        self.points = draw_points(landscape, 50, seed=0)
        self.result: dict[str, Any] = {
            "torch": torch.__version__,
            "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
            "pixels": int(self.truth.size),
        }

    def write(self) -> None:
        """Write what was measured so far."""
        text = json.dumps(self.result, indent=1)
        (self.folder / "gpu.json").write_text(text, encoding="utf-8")

    def measure_linear(self, device: str) -> None:
        """Fit on the device; map the model of the processor on the device, twice."""
        folder = self.folder / f"linear_{device}"
        self._timed(f"linear_train_{device}_s", lambda: self._train(folder, "linear", device))
        for turn in ("first", "second"):
            self._timed(
                f"linear_predict_{device}_{turn}_s", lambda: self._map("linear_cpu", device)
            )
        self.result[f"linear_accuracy_{device}"] = self._accuracy("linear_cpu", device)

    def measure_default(self, device: str) -> None:
        """Train the default model with each precision, and map it."""
        for precision in ("float32", "auto") if device == "cuda" else ("float32",):
            name = f"default_{device}_{precision}"
            self._measure_training(name, device, {"optimization": {"precision": precision}})
            self._timed(f"{name}_predict_s", lambda n=name: self._map(n, device))
            self.result[f"{name}_accuracy"] = self._accuracy(name, device)

    def measure_plain(self, device: str) -> None:
        """Train a network without pretrained weights with chips of 192 pixels."""
        plain = {"model": {"weights": "none"}, "sampling": {"chip_size": 192}}
        self._measure_training(f"plain_{device}", device, plain)

    def _measure_training(self, name: str, device: str, changes: dict[str, Any]) -> None:
        """Train, and keep the seconds of everything, the milliseconds of a step and the weights of the members."""
        steps = self.steps if device == "cuda" else PROCESSOR_STEPS
        config = Config().updated(changes)
        folder = self.folder / name
        model = self._timed(
            f"{name}_train_s",
            lambda: self._train(folder, "auto", device, steps=steps, config=config),
        )
        with (folder / "training" / "metrics.csv").open(encoding="utf-8") as stream:
            last = list(csv.DictReader(stream))[-1]
        self.result[f"{name}_steps"] = steps
        self.result[f"{name}_step_ms"] = round(1e3 * float(last["seconds"]) / int(last["step"]), 1)
        self.result[f"{name}_members"] = {m.kind: round(m.weight, 2) for m in model.members}

    def compare(self) -> None:
        """Compare maps and probabilities of one model on both devices."""
        maps = [self._read(f"linear_cpu_on_{d}_probabilities.tif") for d in ("cpu", "cuda")]
        self.result["linear_largest_difference"] = float(np.nanmax(np.abs(maps[0] - maps[1])))
        self._map("default_cuda_auto", "cpu")
        classes = [self._read(f"default_cuda_auto_on_{d}.tif") for d in ("cpu", "cuda")]
        self.result["default_same_classes"] = float((classes[0] == classes[1]).mean())

    def _timed(self, name: str, work: Callable[[], T]) -> T:
        started = time.perf_counter()
        done = work()
        self.result[name] = round(time.perf_counter() - started, 2)
        return done

    def _train(self, output: Path, kind: Any, device: str, **options: Any) -> Any:
        return train([self.scene], self.points, output=output, model=kind, device=device, **options)

    def _map(self, model: str, device: str) -> None:
        stem = f"{model}_on_{device}"
        for earlier in self.folder.glob(f"{stem}*"):
            earlier.unlink()
        predict(
            self.folder / model,
            self.scene,
            self.folder / f"{stem}.tif",
            probabilities=self.folder / f"{stem}_probabilities.tif",
            encoding="float32",
            device=device,
        )

    def _read(self, name: str) -> Any:
        with rasterio.open(self.folder / name) as dataset:
            return dataset.read().astype(np.float64)

    def _accuracy(self, model: str, device: str) -> float:
        found = self._read(f"{model}_on_{device}.tif")[0]
        return round(float((found == self.truth).mean()), 4)


if __name__ == "__main__":
    main()
