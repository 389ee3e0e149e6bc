"""Labelled chips a second, against torchgeo's stock path; batches of a training; many scenes; cost of a strong view.

Run by hand: ``python tests/benchmarks/bench_sampling.py`` or ``geopointseg bench sample``. Both sides read the same
generated 10 000 x 10 000, 4-band tiled GeoTIFF with 2 000 points, through a DataLoader with the same batches, in turns within one
run. Only chips that hold a label count: every one of ours does, of torchgeo's random ones those that happen to.
Prints a table and, as the last line, one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
import torch
from affine import Affine
from rasterio.crs import CRS
from rasterio.env import set_gdal_config
from rasterio.windows import Window
from torch.utils.data import DataLoader
from torchgeo.datasets import RasterDataset, VectorDataset, stack_samples
from torchgeo.samplers import RandomPatchSampler

from geopointseg.labels.points import read_points
from geopointseg.labels.sparse_mask import rasterize_points
from geopointseg.learning.chips import TrainingChips, join_layers
from geopointseg.legend import Legend
from geopointseg.model.member import Normalization
from geopointseg.raster.grid import Grid
from geopointseg.raster.scene import HANDLES, Scene
from geopointseg.sampling import (
    Augmentation,
    Batch,
    ChipPlan,
    PatchLabels,
    PointSampler,
    SceneDataset,
    SparseMaskDataset,
    UnlabelledSampler,
)
from geopointseg.sampling.patch import LabelledPixels, Patch

TRANSFORM = Affine(1, 0, 400_000, 0, -1, 5_700_000)
ROUNDS = 3


def write_scene(path: Path, side: int, tile: int, compress: str) -> None:
    """Write a textured scene, strip by strip."""
    generator = np.random.default_rng(0)
    coarse = generator.normal(size=(4, 65, 65)).repeat(16, 1).repeat(16, 2)
    pattern = 110 + 30 * coarse + generator.normal(scale=6, size=coarse.shape)
    pattern = pattern.clip(1, 255).astype("uint8")
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 4, "height": side, "width": side}
    profile |= {"tiled": True, "blockxsize": tile, "blockysize": tile, "compress": compress}
    profile |= {"photometric": "MINISBLACK", "crs": "EPSG:32633", "transform": TRANSFORM}
    with rasterio.open(path, "w", num_threads=2, **profile) as target:
        for top in range(0, side, 512):
            rows = np.arange(top, min(top + 512, side)) % pattern.shape[1]
            cols = (np.arange(side) + 37 * top) % pattern.shape[2]
            strip = pattern[:, rows[:, None], cols[None, :]]
            target.write(strip, window=Window(0, top, side, len(rows)))


def write_points(path: Path, side: int, count: int) -> None:
    """Write random points of four classes, from 1, because torchgeo takes 0 for unlabelled."""
    generator = np.random.default_rng(1)
    x, y = TRANSFORM @ generator.uniform(0, side, (2, count))
    table = gpd.GeoDataFrame(
        {"label": generator.integers(1, 5, count)}, geometry=gpd.points_from_xy(x, y), crs=32633
    )
    table.to_file(path, layer="points")


def our_loader(folder: Path, size: int, workers: int, seed: int) -> DataLoader[Any]:
    """Chips around points, from the scene's own pixels."""
    _empty_cache(64 << 20)
    scene = Scene.open(folder / "scene.tif")
    points = read_points(folder / "points.gpkg", class_field="label")
    masks = SparseMaskDataset([rasterize_points(points, scene.grid)])
    dataset = SceneDataset([scene]) & masks
    sampler = PointSampler(dataset, size=size, length=10**6, seed=seed)
    return _loader(dataset, sampler, workers)


def stock_loader(folder: Path, size: int, workers: int, seed: int) -> DataLoader[Any]:
    """Random chips, as torchgeo's documentation combines rasters and points, with GDAL's default cache."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    _empty_cache(memory // 20)
    raster = RasterDataset(folder / "scene.tif")
    dataset = raster & VectorDataset(folder / "points.gpkg", res=raster.res, label_name="label")
    sampler = RandomPatchSampler(dataset, size=size, length=2000, generator=seed)
    return _loader(dataset, sampler, workers)


def _empty_cache(size: int) -> None:
    """Forget all decoded blocks and set how many bytes of them GDAL may keep."""
    set_gdal_config("GDAL_CACHEMAX", 0)
    set_gdal_config("GDAL_CACHEMAX", size)


def _loader(dataset: Any, sampler: Any, workers: int) -> DataLoader[Any]:
    return DataLoader(
        dataset, batch_size=8, sampler=sampler, collate_fn=stack_samples, num_workers=workers
    )


def count_chips(loader: DataLoader[Any], unlabelled: int, seconds: float) -> dict[str, float]:
    """Draw chips for some seconds; return chips and labelled chips a second.

    Without workers the seconds are of processor time, so that a busy machine does not blur the comparison.
    """
    clock = time.perf_counter if loader.num_workers else time.process_time
    batches: Iterator[Any] = iter(loader)
    next(batches)
    chips = labelled = 0
    start = clock()
    while (spent := clock() - start) < seconds:
        batch = next(batches)
        chips += len(batch["mask"])
        labelled += int((batch["mask"] != unlabelled).flatten(1).any(dim=1).sum())
    return {"chips_per_s": chips / spent, "labelled_per_s": labelled / spent}


def measure(
    sizes: list[int], workers: int, seconds: float, side: int, points: int, tile: int, compress: str
) -> dict[str, Any]:
    """Time both paths in turns on one generated scene; ratios are of medians over the rounds."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_scene(folder / "scene.tif", side, tile, compress)
        write_points(folder / "points.gpkg", side, points)
        for size in sizes:
            rounds: dict[str, list[dict[str, float]]] = {"ours": [], "torchgeo": []}
            for seed in range(ROUNDS):
                ours = our_loader(folder, size, workers, seed)
                rounds["ours"].append(count_chips(ours, -1, seconds))
                stock = stock_loader(folder, size, workers, seed)
                rounds["torchgeo"].append(count_chips(stock, 0, seconds))
            rows.append(_summarize(size, rounds))
    return {
        "side": side,
        "points": points,
        "tile": tile,
        "compress": compress,
        "workers": workers,
        "sizes": rows,
    }


def _summarize(size: int, rounds: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    row: dict[str, Any] = {"size": size}
    for name, results in rounds.items():
        for key in ("chips_per_s", "labelled_per_s"):
            row[f"{name}_{key}"] = round(statistics.median(r[key] for r in results), 2)
    row["ratio"] = round(row["ours_labelled_per_s"] / max(row["torchgeo_labelled_per_s"], 1e-9), 1)
    return row


def measure_training(size: int, steps: int = 100) -> dict[str, Any]:
    """Draw the batches of a training from 1000 x 1200 pixels in memory, with soft labels: processor time of one thread."""
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    shape = 1000, 1200
    image = generator.normal(50, 9, (4, *shape)).astype("float32")
    grid = Grid(CRS.from_epsg(32633), TRANSFORM, *shape)
    patches = [Patch(0, 0, 0, image, np.ones(shape, bool), grid)]
    row, col = generator.integers(0, 1000, (2, 200))
    labelled = LabelledPixels(
        np.zeros(200, int), row, col, np.arange(200) % 5, np.ones(200, np.float32)
    )
    masks = PatchLabels.of(patches, labelled, Legend.from_names(list("abcde")))
    soft = [generator.integers(0, 255, (5, *shape)).astype("uint8")]
    plan = ChipPlan(size, batch=8, around_points=4, class_balance=0.5, jitter=0.9, seed=0)
    scale = Normalization(np.full(4, 50.0), np.full(4, 9.0))
    batches = iter(TrainingChips(join_layers(patches, masks, soft), scale, plan).load())
    next(batches)
    start, chips = time.process_time(), 0
    for batch in islice(batches, steps):
        chips += int((batch.mask >= 0).flatten(1).any(dim=1).sum())
    spent = time.process_time() - start
    return {
        "size": size,
        "steps_per_s": round(steps / spent, 1),
        "labelled_per_s": round(chips / spent, 1),
    }


def measure_many_scenes(count: int) -> dict[str, Any]:
    """Open many small scenes as one dataset and draw a chip of each; count the files held open."""
    with tempfile.TemporaryDirectory() as name:
        paths = [Path(name) / f"{k}.tif" for k in range(count)]
        image = np.ones((3, 64, 64), dtype="uint8")
        for k, path in enumerate(paths):
            place = Affine(10, 0, 400_000 + 700 * (k % 50), 0, -10, 5_700_000 - 700 * (k // 50))
            with rasterio.open(
                path, "w", driver="GTiff", dtype="uint8", count=3, height=64, width=64,
                crs="EPSG:32633", transform=place,
            ) as target:  # fmt: skip
                target.write(image)
        HANDLES.close()
        before = _open_files()
        start, start_cpu = time.perf_counter(), time.process_time()
        dataset = SceneDataset(paths)
        opened, opened_cpu = time.perf_counter() - start, time.process_time() - start_cpu
        start = time.perf_counter()
        for index in UnlabelledSampler(dataset, size=32, length=count):
            dataset[index]
        drawn = time.perf_counter() - start
        return {
            "scenes": count,
            "open_s": round(opened, 2),
            "open_cpu_s": round(opened_cpu, 2),
            "chips_per_s": round(count / drawn, 1),
            "handles": _open_files() - before,
        }


def _open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def measure_views(repeats: int = 60) -> dict[str, Any]:
    """Time weak and strong views of 8 x 4 x 96 x 96: processor time of one thread."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    mask = torch.where(torch.rand(8, 96, 96, generator=generator) < 0.001, 1, -1)
    batch = Batch(
        torch.randn(8, 4, 96, 96, generator=generator), mask, (mask >= 0).float(), mask < 9
    )
    augmentation = Augmentation()
    row: dict[str, Any] = {}
    for name, view in (("weak_ms", augmentation.weak), ("strong_ms", augmentation.strong)):
        times = []
        for _ in range(repeats):
            start = time.process_time()
            view(batch, generator)
            times.append(time.process_time() - start)
        row[name] = round(1000 * statistics.median(times), 2)
    return row


def table_lines(result: dict[str, Any]) -> Iterator[str]:
    """Yield what a person wants to read."""
    sampling = result["sampling"]
    yield (
        f"{sampling['side']} x {sampling['side']} x 4, {sampling['compress']}, tiles of {sampling['tile']}, "
        f"{sampling['points']} points, {sampling['workers']} workers; labelled chips a second:"
    )
    yield f"{'chip':>6} {'ours':>10} {'torchgeo':>10} {'(of all)':>10} {'ratio':>8}"
    for row in sampling["sizes"]:
        yield (
            f"{row['size']:>6} {row['ours_labelled_per_s']:>10.1f} {row['torchgeo_labelled_per_s']:>10.2f} "
            f"{row['torchgeo_chips_per_s']:>10.1f} {row['ratio']:>8.1f}"
        )
    for row in result["training"]:
        yield (
            f"batches of a training, 8 chips of {row['size']}, one thread: {row['steps_per_s']} steps and "
            f"{row['labelled_per_s']} labelled chips a second"
        )
    many, views = result["many_scenes"], result["views"]
    yield (
        f"{many['scenes']} scenes: opened in {many['open_s']} s ({many['open_cpu_s']} s of computing), "
        f"{many['chips_per_s']} chips a second, {many['handles']} files held open"
    )
    yield (
        f"views of 8 x 4 x 96 x 96, one thread: weak {views['weak_ms']} ms, strong {views['strong_ms']} ms"
    )


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print, and return the numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[96, 256], help="chip sizes in pixels"
    )
    parser.add_argument("--workers", type=int, default=0, help="DataLoader workers")
    parser.add_argument(
        "--seconds", type=float, default=6.0, help="seconds for each path and round"
    )
    parser.add_argument("--side", type=int, default=10_000, help="side of the scene in pixels")
    parser.add_argument("--points", type=int, default=2000, help="number of points")
    parser.add_argument("--tile", type=int, default=256, help="side of the file's tiles in pixels")
    parser.add_argument("--compress", default="deflate", help="deflate or lzw")
    parser.add_argument("--scenes", type=int, default=1000, help="number of small scenes")
    chosen = parser.parse_args(arguments)
    result = {
        "sampling": measure(
            chosen.sizes,
            chosen.workers,
            chosen.seconds,
            chosen.side,
            chosen.points,
            chosen.tile,
            chosen.compress,
        ),
        "training": [measure_training(size) for size in chosen.sizes],
        "many_scenes": measure_many_scenes(chosen.scenes),
        "views": measure_views(),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    sys.stdout.writelines(f"{line}\n" for line in [*table_lines(result), json.dumps(result)])
    return result


if __name__ == "__main__":
    main()
