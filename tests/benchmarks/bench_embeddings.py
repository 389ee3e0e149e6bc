"""Benchmarks of embeddings: few-shot curves, and the speed and memory of maps beside a plain copy. Run by hand.

``python tests/benchmarks/bench_embeddings.py speed --size 8192`` and ``... curve``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

from geopointseg.lab.synthetic_embedding import (
    encode_alpha_earth,
    make_embedding,
    write_alpha_earth,
)
from geopointseg.lab.synthetic_landscape import draw_points
from geopointseg.learning.training import train
from geopointseg.prediction.predictor import predict
from geopointseg.progress import NullSink, Reporter

KINDS = ("linear", "knn", "forest")


def write_large(path: Path, size: int, block: int = 512) -> None:
    """Write an AlphaEarth raster that repeats a synthetic square."""
    square = make_embedding(block, block)
    codes = encode_alpha_earth(square.vectors, square.landscape.valid)
    profile = {
        "driver": "GTiff", "count": 64, "dtype": "int8", "nodata": -128, "height": size, "width": size, "crs": square.grid.crs,
        "transform": square.grid.transform, "tiled": True, "blockxsize": block, "blockysize": block, "interleave": "pixel",
        "compress": "zstd", "bigtiff": "YES",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as dataset:
        for k in range(64):
            dataset.set_band_description(k + 1, f"A{k:02d}")
        for top in range(0, size, block):
            for left in range(0, size, block):
                shift = (top // block * 7 + left // block * 13) % block
                dataset.write(np.roll(codes, shift, axis=2), window=Window(left, top, block, block))


def copy_plainly(source: Path, target: Path) -> None:
    """Read all blocks and write them, as they are stored, to another raster without compression."""
    with rasterio.open(source) as dataset:
        profile = dataset.profile | {"compress": None}
        with rasterio.open(target, "w", **profile) as out:
            for _, window in dataset.block_windows(1):
                out.write(dataset.read(window=window), window=window)


def train_small(folder: Path, kind: str) -> Path:
    """Train a model of a kind on a small raster with the same vectors; return its folder."""
    square = make_embedding(512, 512)
    write_alpha_earth(square, folder / "small.tif", version="", year=0)
    points = draw_points(square.landscape, 50, 1)
    model = folder / f"model_{kind}"
    train([folder / "small.tif"], points, output=model, model=kind, reporter=Reporter(NullSink()))
    return model


def measure_speed(size: int, kinds: Sequence[str]) -> None:
    """Print seconds and memory of a plain copy and of maps, each in a process of its own."""
    with tempfile.TemporaryDirectory(dir=tempfile.gettempdir()) as name:
        folder = Path(name)
        write_large(folder / "large.tif", size)
        for kind in kinds:
            train_small(folder, kind)
        base = 0.0
        for job in ("copy", *kinds):
            command = [sys.executable, __file__, "job", str(folder), job]
            told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            seconds, memory = map(float, told.split()[-2:])
            base = base or seconds
            print(
                f"{size} x {size} x 64, {job}: {seconds:.1f} s, {seconds / base:.2f} of the copy, {memory:.2f} GiB",
                flush=True,
            )
            (folder / "out.tif").unlink()


def run_job(folder: Path, job: str) -> None:
    """Do one job and print its seconds and the largest memory of the process in GiB."""
    started = time.perf_counter()
    if job == "copy":
        copy_plainly(folder / "large.tif", folder / "out.tif")
    else:
        predict(
            folder / f"model_{job}", folder / "large.tif", folder / "out.tif", reporter=Reporter(NullSink()), cog=False
        )  # fmt: skip
    told = Path("/proc/self/status").read_text(
        encoding="utf-8"
    )  # ru_maxrss would count the parent process
    memory = int(told.split("VmHWM:")[1].split()[0]) / 2**20
    print(time.perf_counter() - started, memory)


def measure_curve(seeds: int) -> None:
    """Print the overall accuracy of each head in the east after learning from points in the west."""
    for per_class in (5, 20, 50):
        scores: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as name:
                _score_heads(Path(name), per_class, seed, scores)
        shown = ", ".join(
            f"{k} {np.mean(v):.3f} (standard deviation {np.std(v):.3f})" for k, v in scores.items()
        )
        print(f"{per_class} points a class: {shown}", flush=True)


def _score_heads(folder: Path, per_class: int, seed: int, scores: dict[str, list[float]]) -> None:
    embedding = make_embedding(320, 480, seed=seed)
    write_alpha_earth(embedding, folder / "scene.tif")
    points = draw_points(embedding.landscape, per_class, seed, columns=(0.0, 0.55))
    truth, valid = embedding.landscape.truth, embedding.landscape.valid.copy()
    valid[:, : round(0.6 * 480)] = False
    for kind in KINDS:
        silent = Reporter(NullSink())
        train([folder / "scene.tif"], points, output=folder / kind, model=kind, reporter=silent)
        predict(folder / kind, folder / "scene.tif", folder / "map.tif", reporter=silent, cog=False)
        with rasterio.open(folder / "map.tif") as dataset:
            codes = dataset.read(1)
        known = embedding.landscape.legend.codes[truth]
        scores[kind].append(float((codes == known)[valid].mean()))


def main() -> None:
    """Run the benchmark that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    speed = commands.add_parser("speed")
    speed.add_argument("--size", type=int, default=4096)
    speed.add_argument("--kinds", nargs="+", default=list(KINDS))
    curve = commands.add_parser("curve")
    curve.add_argument("--seeds", type=int, default=3)
    job = commands.add_parser("job")
    job.add_argument("folder", type=Path)
    job.add_argument("job")
    given = parser.parse_args()
    if given.command == "speed":
        measure_speed(given.size, given.kinds)
    elif given.command == "curve":
        measure_curve(given.seeds)
    else:
        run_job(given.folder, given.job)


if __name__ == "__main__":
    main()
