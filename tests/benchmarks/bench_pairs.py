"""Is one checkout of geopointseg as fast as another? Training, prediction and sampling, in alternating pairs.

    python tests/benchmarks/bench_pairs.py OLD NEW [--pairs 7] [--steps 150] [--size 2048]

OLD and NEW are checkouts; both run in the environment of this interpreter. Each measurement is a process of its own, and the
two checkouts take turns, so that both meet the same load. The table gives the median of each, and of the ratio of a pair.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

WORK = """
import sys, time, json
from pathlib import Path
sys.path.insert(0, sys.argv[1])
kind, folder, steps, size = sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
import numpy as np
from geopointseg.config import Config
from geopointseg.landscape import draw_points, make_landscape, write_scene
scene = folder / "scene.tif"
settings = {"architecture": "unet", "encoder": "resnet18", "weights": "none"}
config = Config().updated({"model": settings})
if kind == "prepare":
    write_scene(make_landscape(size, size, seed=0), str(scene))
landscape = make_landscape(512, 512, seed=0)
points = draw_points(landscape, 50, seed=0)
small = folder / "small.tif"
if not small.exists():
    write_scene(landscape, str(small))
if kind in ("prepare", "train"):
    import shutil
    from geopointseg.learning.training import train
    output = folder / ("model" if kind == "prepare" else "trained")
    shutil.rmtree(output, ignore_errors=True)
    started = time.perf_counter()
    train(small, points, output=output, config=config, model="network", steps=steps, device="cpu")
elif kind == "predict":
    from geopointseg.prediction.predictor import predict
    for path in folder.glob("map*"):
        path.unlink()
    started = time.perf_counter()
    predict(folder / "model", scene, folder / "map.tif", device="cpu")
else:
    import torch
    from torch.utils.data import DataLoader
    from torchgeo.datasets import stack_samples
    from geopointseg.sampling import PointSampler, SceneDataset, SparseMaskDataset
    from geopointseg.labels.sparse_mask import rasterize_points
    from geopointseg.raster.scene import Scene
    mask = rasterize_points(points, Scene.open(small).grid)
    dataset = SceneDataset([small]) & SparseMaskDataset([mask])
    sampler = PointSampler(dataset, size=96, length=4000, seed=0)
    started = time.perf_counter()
    for batch in DataLoader(dataset, batch_size=8, sampler=sampler, collate_fn=stack_samples):
        pass
print(json.dumps(time.perf_counter() - started))
"""


def measure(tree: Path, kind: str, folder: Path, steps: int, size: int) -> float:
    """Return the seconds of one kind of work with one checkout."""
    command = [sys.executable, "-c", WORK, str(tree), kind, str(folder), str(steps), str(size)]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=folder
    )
    if done.returncode:
        sys.exit(f"{tree} {kind}: {done.stderr[-2000:]}")
    return float(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--kinds", nargs="*", default=["train", "predict", "sample"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measure(options.old.resolve(), "prepare", folder, 60, options.size)
        for kind in options.kinds:
            seconds: dict[str, list[float]] = {"old": [], "new": []}
            for turn in range(options.pairs):
                order = ("old", "new") if turn % 2 else ("new", "old")
                for which in order:
                    tree = getattr(options, which).resolve()
                    seconds[which].append(measure(tree, kind, folder, options.steps, options.size))
            ratios = [n / o for o, n in zip(seconds["old"], seconds["new"], strict=True)]
            sys.stdout.write(
                f"{kind}: old {statistics.median(seconds['old']):.2f} s, new {statistics.median(seconds['new']):.2f} s, "
                f"new / old {statistics.median(ratios):.3f} (median of {len(ratios)} pairs; {min(ratios):.3f} to {max(ratios):.3f})\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
