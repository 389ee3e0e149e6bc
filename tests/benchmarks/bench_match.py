"""Time and memory of matching, against copying the raster unchanged and against scikit-image.

    python tests/benchmarks/bench_match.py [--side 20000] [--compress none deflate] [--folder DIR] [--rounds 3]

Copying and matching alternate in one run, each in a process of its own whose peak memory is its own; the
statistics cache is off. Seconds last until the file is on the disk (sync). Ratios are those of the fastest rounds, in
time and in processor time; both sides compress with all cores. Shared machines make seconds vary; the ratio is what counts.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window


def make_raster(path: Path, side: int, compress: str, shift: float) -> None:
    """Write four bands of smooth ground with noise, 512-pixel tiles."""
    from scipy.ndimage import uniform_filter

    generator = np.random.default_rng(0)
    tile = generator.normal(100, 60, (4, 2048, 2048)).astype(np.float32)
    tile = uniform_filter(tile, (0, 9, 9)) * 2 + generator.normal(shift, 3, tile.shape)
    row = np.tile(np.clip(tile, 1, 255).astype(np.uint8), (1, 1, side // 2048 + 1))[:, :, :side]
    profile: dict[str, Any] = {"driver": "GTiff", "count": 4, "height": side, "width": side}
    profile |= {"dtype": "uint8", "nodata": 0, "photometric": "MINISBLACK", "bigtiff": "IF_SAFER"}
    profile |= {"tiled": True, "blockxsize": 512, "blockysize": 512, "interleave": "pixel"}
    profile |= {"crs": "EPSG:32633", "transform": Affine(1, 0, 500000, 0, -1, 5700000)}
    if compress != "none":
        profile |= {"compress": compress, "num_threads": "all_cpus"}
    with rasterio.open(path, "w", **profile) as target:
        for top in range(0, side, 2048):
            height = min(2048, side - top)
            target.write(row[:, :height], window=Window(0, top, side, height))


def copy_raster(source: Path, output: Path) -> None:
    """Read and write a raster unchanged, in the windows and with the layout that matching uses."""
    from geopointseg.raster.scene import Scene

    windows = list(Scene.open(source).windows())
    with rasterio.open(source) as dataset:
        profile = dataset.profile | {"photometric": "MINISBLACK", "bigtiff": "IF_SAFER"}
        if dataset.compression:
            profile |= {"num_threads": "all_cpus"}
        with rasterio.open(output, "w", **profile) as target:
            for window in windows:
                target.write(dataset.read(window=window), window=window)


def match(source: Path, reference: Path, output: Path) -> None:
    """Match with geopointseg."""
    from geopointseg.radiometry.histogram_matching import match_raster
    from geopointseg.radiometry.picture_style import PictureStyle

    style = PictureStyle.from_json(json.loads(reference.with_suffix(".json").read_text()))
    match_raster(source, style, output)


def match_with_skimage(source: Path, reference: Path, output: Path) -> None:
    """Match with scikit-image, both rasters whole in memory."""
    from skimage.exposure import match_histograms

    with rasterio.open(source) as a, rasterio.open(reference) as b:
        matched = match_histograms(a.read(), b.read(), channel_axis=0)
        profile = a.profile | {"photometric": "MINISBLACK"}
    with rasterio.open(output, "w", **profile) as target:
        target.write(matched.astype(np.uint8))


TASKS = {"match": match, "skimage": match_with_skimage}


def measure(task: str, source: Path, reference: Path, output: Path) -> dict[str, float]:
    """Run one task in a fresh process and return its seconds and peak memory in MiB."""
    output.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as cache:
        command = [
            sys.executable,
            __file__,
            "--task",
            task,
            str(source),
            str(reference),
            str(output),
        ]
        environment = os.environ | {"GEOPOINTSEG_CACHE": cache}
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def run_task(task: str, source: Path, reference: Path, output: Path) -> None:
    """Run one task and print its seconds and peak memory; imports do not count."""

    import geopointseg.radiometry.histogram_matching  # noqa: F401

    idle = peak_mib()
    started, processor = time.perf_counter(), time.process_time()
    if task == "copy":
        copy_raster(source, output)
    else:
        TASKS[task](source, reference, output)
    processor = time.process_time() - processor
    os.sync()
    seconds = time.perf_counter() - started
    peak = peak_mib()
    found = {"seconds": seconds, "processor": processor, "peak": peak, "grown": peak - idle}
    print(json.dumps(found))


def peak_mib() -> float:
    """Return the largest resident memory of this process so far, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # unlike getrusage, not inherited from the parent
        return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def store_style(reference: Path) -> None:
    """Keep the reference's statistics as a model folder would, so that only the raster is read."""
    from geopointseg.radiometry.picture_style import PictureStyle
    from geopointseg.raster.scene import Scene

    style = PictureStyle.of([Scene.open(reference)]).to_json()
    reference.with_suffix(".json").write_text(json.dumps(style))


def compare(folder: Path, side: int, compress: str, rounds: int, tasks: list[str]) -> None:
    """Print a table of the tasks on one raster."""
    source, reference = folder / f"source_{side}_{compress}.tif", folder / "reference.tif"
    if not source.exists():
        make_raster(source, side, compress, 0)
    if not reference.exists():
        make_raster(reference, min(side, 4096), "none", 20)
    store_style(reference)
    found: dict[str, list[dict[str, float]]] = {task: [] for task in tasks}
    for _ in range(rounds):
        for task in tasks:
            found[task].append(measure(task, source, reference, folder / f"{task}.tif"))
    print(f"\n{side} x {side}, 4 bands uint8, {compress}, {rounds} rounds")
    headings = ("seconds", "ratio", "slowest", "processor", "ratio", "MiB peak", "MiB grown")
    print(" " * 8 + "".join(f"{heading:>11}" for heading in headings))
    base = [min(row[key] for row in found[tasks[0]]) for key in ("seconds", "processor")]
    for task, rows in found.items():
        best = [min(row[key] for row in rows) for key in ("seconds", "processor")]
        slowest = max(row["seconds"] for row in rows)
        peak, grown = (max(row[key] for row in rows) for key in ("peak", "grown"))
        cells = [best[0], best[0] / base[0], slowest, best[1], best[1] / base[1]]
        cells = [f"{cell:11.2f}" for cell in cells] + [f"{cell:11.0f}" for cell in (peak, grown)]
        print(f"{task:8}" + "".join(cells))
    if "skimage" in tasks:
        ours, theirs = (_read(folder / f"{task}.tif") for task in ("match", "skimage"))
        print(f"largest difference: {np.abs(ours - theirs).max()} grey levels")
    for task in tasks:
        (folder / f"{task}.tif").unlink()


def _read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read().astype(np.int16)


def main() -> None:
    """Run the benchmark, or one task of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=20000)
    parser.add_argument("--compress", nargs="+", default=["none", "deflate"])
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--task", nargs=4, default=None, metavar=("TASK", "SOURCE", "REF", "OUT"))
    chosen = parser.parse_args()
    if chosen.task:
        run_task(chosen.task[0], *(Path(p) for p in chosen.task[1:]))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.folder or Path(scratch)
        for compress in chosen.compress:
            compare(folder, 8192, compress, chosen.rounds, ["copy", "match", "skimage"])
            compare(folder, chosen.side, compress, chosen.rounds, ["copy", "match"])


if __name__ == "__main__":
    main()
