"""One million points to labelled pixels of a 20 000 x 20 000 grid, against GDAL's rasterize.

Run by hand: ``python tests/benchmarks/bench_mask.py [POINTS] [SIDE]``. *ours* and *gdal* start from the same points in
memory and end with labelled pixels in memory (GDAL through rasterio). *ours_file*, *ours_streamed* and, where the
program ``gdal_rasterize`` is installed, *gdal_file* start from a GeoPackage and end with a compressed GeoTIFF. Prints
seconds, processor seconds, the memory that each adds, how many times as long GDAL takes, and whether all pixels agree.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio.features
from affine import Affine
from rasterio.crs import CRS

from geopointseg.labels.points import Points, read_points, stream_points, write_points
from geopointseg.labels.sparse_mask import UNLABELLED, rasterize_points, write_mask
from geopointseg.legend import Legend
from geopointseg.raster.grid import Grid

LEGEND = Legend.from_names([f"class {i}" for i in range(1, 9)])


def make_points(count: int, side: int) -> tuple[Points, Grid]:
    """Draw points in different pixels of a square grid, so that the order of burning cannot matter."""
    rng = np.random.default_rng(0)
    grid = Grid(CRS.from_epsg(32633), Affine(1, 0, 400_000, 0, -1, 5_700_000), side, side)
    flat = np.unique(rng.integers(0, side * side, round(count * 1.01)))
    flat = rng.permutation(flat)[:count]
    row, col = np.divmod(flat, side)
    x, y = grid.pixel_to_world(row + rng.random(len(flat)), col + rng.random(len(flat)))
    index = rng.integers(0, len(LEGEND), len(flat))
    return Points.from_arrays(x, y, index, LEGEND, grid.crs), grid


def ours(count: int, side: int) -> Any:
    """Place the points with rasterize_points."""
    points, grid = make_points(count, side)
    return _measure(
        lambda: rasterize_points(points, grid),
        lambda mask: _digest(mask.row, mask.col, mask.class_index, side),
    )


def gdal(count: int, side: int) -> Any:
    """Burn the points with GDAL through rasterio."""
    points, grid = make_points(count, side)
    shapes = list(zip(points.geometry, points.class_index.tolist(), strict=True))

    def burn() -> Any:
        return rasterio.features.rasterize(
            shapes, out_shape=grid.shape, transform=grid.transform, fill=UNLABELLED, dtype="int16"
        )

    def digest(burnt: Any) -> int:
        row, col = np.nonzero(burnt != UNLABELLED)
        return _digest(row, col, burnt[row, col], side)

    return _measure(burn, digest)


def ours_file(count: int, side: int, folder: str) -> Any:
    """Read the points from a GeoPackage, place them and write the mask."""
    _, grid = make_points(1, side)

    def work() -> Any:
        return write_mask(
            rasterize_points(read_points(f"{folder}/points.gpkg"), grid), f"{folder}/ours.tif"
        )

    return _measure(work, _digest_file)


def ours_streamed(count: int, side: int, folder: str) -> Any:
    """Stream the points from a GeoPackage, place them and write the mask."""
    _, grid = make_points(1, side)

    def work() -> Any:
        chunks = stream_points(f"{folder}/points.gpkg")
        return write_mask(rasterize_points(chunks, grid), f"{folder}/streamed.tif")

    return _measure(work, _digest_file)


def gdal_file(count: int, side: int, folder: str) -> Any:
    """Let gdal_rasterize read the GeoPackage and write a GeoTIFF."""
    extent = ["400000", str(5_700_000 - side), str(400_000 + side), "5700000"]
    command = [
        "gdal_rasterize", "-q", "-l", "points", "-a", "class", "-te", *extent, "-ts", str(side), str(side), "-ot", "Byte",
        "-a_nodata", "0", "-co", "TILED=YES", "-co", "COMPRESS=DEFLATE", "-co", "SPARSE_OK=TRUE",
        f"{folder}/points.gpkg", f"{folder}/gdal.tif",
    ]  # fmt: skip

    def work() -> Any:
        subprocess.run(command, check=True)
        return f"{folder}/gdal.tif"

    return _measure(work, _digest_file)


def _measure(work: Callable[[], Any], digest: Callable[[Any], int]) -> dict[str, Any]:
    peak, children = _peak_kb(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    start, cpu = time.perf_counter(), _cpu_seconds()
    result = work()
    seconds, cpu = time.perf_counter() - start, _cpu_seconds() - cpu
    added = max(
        _peak_kb() - peak, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss - children
    )
    return {
        "seconds": round(seconds, 3),
        "cpu_seconds": round(cpu, 3),
        "added_mb": added // 1024,
        "digest": digest(result),
    }


def _cpu_seconds() -> float:
    """Return the processor time of this process and its children, which other programs do not disturb."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _peak_kb() -> int:
    """Return the peak memory of this process alone (getrusage would inherit the parent's)."""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def _digest(row: Any, col: Any, index: Any, side: int) -> int:
    flat = np.asarray(row, dtype=np.uint64) * side + col
    return int((flat * 31 + np.asarray(index, dtype=np.uint64)).sum() % (1 << 61))


def _digest_file(path: Any) -> int:
    total = 0
    with rasterio.open(path) as dataset:
        for _, window in dataset.block_windows(1):
            codes = dataset.read(1, window=window)
            row, col = np.nonzero(codes)
            index = codes[row, col].astype(np.int64) - 1
            total += _digest(row + window.row_off, col + window.col_off, index, dataset.width)
    return total % (1 << 61)


def _apart(function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """Run in a process of its own, so that peak memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        result: dict[str, Any] = pool.apply(function, arguments)
        return result


def main(count: int = 1_000_000, side: int = 20_000) -> None:
    """Time all contestants and print one JSON object."""
    results = {"ours": _apart(ours, count, side), "gdal": _apart(gdal, count, side)}
    with tempfile.TemporaryDirectory() as folder:
        write_points(make_points(count, side)[0], Path(folder) / "points.gpkg")
        results["ours_file"] = _apart(ours_file, count, side, folder)
        results["ours_streamed"] = _apart(ours_streamed, count, side, folder)
        if shutil.which("gdal_rasterize"):
            results["gdal_file"] = _apart(gdal_file, count, side, folder)
    for unit in ("seconds", "cpu_seconds"):
        results[f"gdal_{unit}_per_ours"] = round(results["gdal"][unit] / results["ours"][unit], 1)
    results["pixels_agree"] = (
        len({r.pop("digest") for r in results.values() if isinstance(r, dict)}) == 1
    )
    sys.stdout.write(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    if not all(argument.isdigit() for argument in sys.argv[1:]):
        sys.exit(__doc__)
    main(*(int(argument) for argument in sys.argv[1:]))
