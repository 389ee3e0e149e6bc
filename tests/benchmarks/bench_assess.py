"""Assess a map of 40 000 x 40 000 pixels with 100 000 test points, and check the intervals' coverage at length.

Run ``python tests/benchmarks/bench_assess.py`` (makes a map of about 100 MB in a temporary folder). The bars are
20 s and 500 MB for the assessment, areas included, and 93 to 97 % coverage.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

from geopointseg.labels.points import Points, write_points
from geopointseg.legend import Legend
from geopointseg.raster.class_map import ClassMap, class_map_tags
from geopointseg.raster.grid import Grid

LEGEND = Legend.from_names([f"class {i}" for i in range(1, 9)])


def write_map(path: Path, side: int, crs: str) -> Grid:
    """Write a map of smooth patches with two percent of speckle, as classifiers make them."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(0)
    relief = np.stack([gaussian_filter(rng.standard_normal((500, 500)), 6) for _ in range(8)])
    patch = np.kron(relief.argmax(axis=0).astype(np.uint8) + 1, np.ones((8, 8), dtype=np.uint8))
    speckle = rng.random(patch.shape) < 0.02
    patch = np.where(speckle, rng.integers(1, 9, patch.shape), patch).astype(np.uint8)
    pixel = 10.0 if crs.startswith("EPSG:326") else 0.0001
    west, north = (4e5, 5.9e6) if pixel == 10 else (10.0, 52.0)
    grid = Grid(CRS.from_user_input(crs), Affine(pixel, 0, west, 0, -pixel, north), side, side)
    with rasterio.open(
        path, "w", driver="GTiff", crs=grid.crs, transform=grid.transform, height=side, width=side,
        count=1, dtype="uint8", nodata=0, tiled=True, blockxsize=512, blockysize=512,
        compress="deflate", num_threads=2, bigtiff="if_safer",
    ) as dataset:  # fmt: skip
        dataset.update_tags(**class_map_tags(LEGEND))
        for top in range(0, side, 4000):
            for left in range(0, side, 4000):
                size = min(4000, side - top), min(4000, side - left)
                tile = np.roll(patch, (top // 7, left // 11), (0, 1))[: size[0], : size[1]]
                dataset.write(tile, 1, window=Window(left, top, size[1], size[0]))
    return grid


def write_test_points(path: Path, map_path: Path, grid: Grid, count: int) -> None:
    """Draw points anywhere, nine in ten of them with the map's own class."""
    rng = np.random.default_rng(1)
    row, col = rng.integers(0, grid.height, count), rng.integers(0, grid.width, count)
    from geopointseg.assessment.map_inventory import take_inventory

    index = take_inventory(ClassMap.open(map_path), row, col).sampled
    index = np.where(rng.random(count) < 0.1, rng.integers(0, 8, count), index)
    x, y = grid.pixel_to_world(row + 0.5, col + 0.5)
    write_points(Points.from_arrays(x, y, index, LEGEND, grid.crs), path)


def read_peak_mb() -> float:
    """Return this program's peak memory; getrusage would include that of the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def assess_alone(map_path: str, points_path: str) -> None:
    """Assess, and print seconds and peak memory of this process as JSON."""
    from geopointseg.assessment.accuracy import assess

    start = time.perf_counter()
    assessed = assess(map_path, points_path)
    seconds = time.perf_counter() - start
    peak_mb = read_peak_mb()
    sys.stdout.write(json.dumps({"seconds": round(seconds, 1), "peak_mb": round(peak_mb),
                      "overall_accuracy": assessed.overall_accuracy}) + "\n")  # fmt: skip


def main() -> None:
    """Run the benchmark for a projected and a geographic map, and the long simulation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=40_000)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--only", nargs=2, metavar=("MAP", "POINTS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        assess_alone(*options.only)
        return
    with tempfile.TemporaryDirectory() as folder:
        for crs in ("EPSG:32633", "EPSG:4326"):
            map_path, points_path = Path(folder) / "map.tif", Path(folder) / "test.gpkg"
            grid = write_map(map_path, options.side, crs)
            write_test_points(points_path, map_path, grid, options.points)
            command = [sys.executable, __file__, "--only", str(map_path), str(points_path)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            sys.stdout.write(f"{options.side} px, {options.points} points, {crs}: {done.stdout}")
    sys.path.insert(0, str(Path(__file__).parent.parent / "assessment"))
    from test_estimation import simulate_coverage

    coverage = simulate_coverage(runs=20_000, per_stratum=150, seed=0)
    coverage = {name: float(share) for name, share in coverage.items()}
    sys.stdout.write(f"coverage of 95 % intervals in 20 000 samples: {coverage}\n")


if __name__ == "__main__":
    main()
