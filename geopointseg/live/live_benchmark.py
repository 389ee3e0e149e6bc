"""Benchmark of a live session: a real process, timed over the protocol on a generated mosaic."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.windows import Window

from geopointseg.live.client import LiveClient

WIDTH, HEIGHT = 1024, 704
"""Pixels of the views."""
SIDE_PX = 4096
CLICKS = 40
START_POINTS = 60
BARE_POINTS = 300
NAMES = ("field", "forest", "road", "water", "roof", "grass")
_COLORS = np.array(
    [(170, 150, 90), (40, 80, 40), (120, 120, 125), (40, 60, 110), (160, 80, 70), (90, 140, 70)],
    np.float32,
)
_ROUGHNESS = np.array([9.0, 22.0, 6.0, 3.0, 12.0, 10.0], np.float32)
_CELL_PX = 64
_STRIP_PX = 256


@dataclass(frozen=True, eq=False)
class GeneratedMosaic:
    """A generated mosaic and its true classes.

    Parameters
    ----------
    path
        The GeoTIFF: three bands of 8 bits.
    classes
        Class of each square of 4 pixels, uint8 ``(row, col)``.
    """

    path: Path
    classes: NDArray[np.uint8]


def generate_mosaic(path: Path, side_px: int = SIDE_PX, seed: int = 0) -> GeneratedMosaic:
    """Write a mosaic of six classes that differ in colour and texture.

    Parameters
    ----------
    path
        The GeoTIFF to write.
    side_px
        Number of rows and columns, a multiple of 4.
    seed
        Of the random numbers.

    Returns
    -------
    GeneratedMosaic
        The file and the classes.
    """
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    cells = side_px // _CELL_PX + 2
    fields = rng.normal(size=(len(NAMES), cells, cells)).astype(np.float32)
    fine = [
        ndimage.zoom(plane, _CELL_PX // 4, order=1)[: side_px // 4, : side_px // 4]
        for plane in fields
    ]
    classes = np.argmax(fine, axis=0).astype(np.uint8)
    profile = {
        "driver": "GTiff", "width": side_px, "height": side_px, "count": 3, "dtype": "uint8", "tiled": True,
        "crs": CRS.from_epsg(32633), "transform": Affine(0.25, 0, 500_000, 0, -0.25, 5_700_000),
        "photometric": "rgb",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as target:
        for top in range(0, side_px, _STRIP_PX):
            strip = classes[top // 4 : (top + _STRIP_PX) // 4].repeat(4, axis=0).repeat(4, axis=1)
            target.write(_draw(strip, rng), window=Window(0, top, side_px, len(strip)))
    return GeneratedMosaic(path, classes)


def _draw(classes: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the image of classes, uint8 ``(band, row, col)``."""
    noise = rng.normal(size=classes.shape).astype(np.float32) * _ROUGHNESS[classes]
    rows = np.arange(classes.shape[0], dtype=np.float32)[:, None]
    stripes = np.where(classes == 0, 12 * np.sin(rows / 2.5), 0.0)
    image = _COLORS[classes].transpose(2, 0, 1) + noise + stripes
    return image.clip(0, 255).astype(np.uint8)


@dataclass
class LiveBenchmark:
    """Measures one session.

    Parameters
    ----------
    client
        The session.
    mosaic
        Its imagery.
    seed
        Of the places of clicks.
    """

    client: LiveClient
    mosaic: GeneratedMosaic
    seed: int = 0
    _rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)

    def place(self, row: int, col: int) -> dict[str, Any]:
        """Return coordinates and class of a pixel."""
        west, _, _, north = self.client.start["bounds"]
        size = self.pixel
        name = NAMES[int(self.mosaic.classes[row // 4, col // 4])]
        return {"x": west + (col + 0.5) * size, "y": north - (row + 0.5) * size, "class": name}

    @property
    def pixel(self) -> float:
        """Side of a pixel in the units of the CRS."""
        west, _, east, _ = self.client.start["bounds"]
        return float((east - west) / self.client.start["width"])

    def bounds(self, row: int, col: int, scale: float = 1.0) -> list[float]:
        """Return the bounds of a view.

        Parameters
        ----------
        row, col
            The pixel in the upper left corner.
        scale
            Pixels of the mosaic per pixel of the view.

        Returns
        -------
        list of float
            xmin, ymin, xmax, ymax.
        """
        west, _, _, north = self.client.start["bounds"]
        left, top = west + col * self.pixel, north - row * self.pixel
        return [
            left,
            top - scale * HEIGHT * self.pixel,
            left + scale * WIDTH * self.pixel,
            top,
        ]

    def time_view(self, bounds: Sequence[float]) -> tuple[float, float]:
        """Ask for a view; return the seconds to its first and to its final picture."""
        started = time.perf_counter()
        wanted = self.client.send("view", bounds=list(bounds), width=WIDTH, height=HEIGHT)
        times = []
        for answer in self.client.answers(wanted):
            times.append(time.perf_counter() - started)
            if not answer["ok"]:
                raise RuntimeError(answer["error"])
        return times[0], times[-1]

    def click(self, rows: tuple[int, int], cols: tuple[int, int]) -> None:
        """Add a point with its true class in a range of pixels."""
        row, col = (int(self._rng.integers(*span)) for span in (rows, cols))
        self.client.ask("add", **self.place(row, col))

    def time_clicks(self, count: int, bare: Callable[[], float]) -> tuple[list[float], list[float]]:
        """Return the seconds from a click to the repainted view, and those of a bare refit and paint between the clicks."""
        row, col = self.mosaic.classes.shape[0] * 2 - HEIGHT // 2, WIDTH // 3
        bounds = self.bounds(row, col)
        self.time_view(bounds)
        clicks, others = [], []
        for _ in range(count):
            started = time.perf_counter()
            self.click((row, row + HEIGHT), (col, col + WIDTH))
            self.time_view(bounds)
            clicks.append(time.perf_counter() - started)
            others.append(bare())
        return clicks, others

    def time_moves(self) -> list[tuple[float, float]]:
        """Return the seconds to the first and to the final picture of new views: pans by half, and zooms."""
        side = self.client.start["width"]
        row, col, scale = side // 8, side // 8, 1.0
        found = []
        for step in (
            "right",
            "right",
            "down",
            "left",
            "out",
            "right",
            "in",
            "down",
            "right",
            "out",
            "out",
        ):
            height, width = int(HEIGHT * scale / 2), int(WIDTH * scale / 2)
            row += height if step == "down" else 0
            col += {"right": width, "left": -width}.get(step, 0)
            scale *= {"out": 2.0, "in": 0.5}.get(step, 1.0)
            found.append(self.time_view(self.bounds(row, col, scale)))
        return found


def bare_refit_and_paint(seed: int = 0) -> Callable[[], float]:
    """Return a function that refits a logistic regression on 300 points, paints a view from cached stages, and returns the seconds.

    Parameters
    ----------
    seed
        Of the random features.

    Returns
    -------
    callable
        Does the least that an answer to a click needs, in one call of the libraries per step.
    """
    import torch
    from sklearn.linear_model import LogisticRegression
    from torch.nn import functional

    from geopointseg.model.linear import INVERSE_REGULARIZATION, build_linear_body

    rng = np.random.default_rng(seed)
    body = build_linear_body(3, len(NAMES))
    count = 3 + sum(body.encoder.channels)
    truth = rng.integers(0, len(NAMES), BARE_POINTS)
    features = rng.normal(size=(BARE_POINTS, count)) + truth[:, None] * rng.normal(size=count) / 4
    stages = [
        torch.rand(1, channels, HEIGHT // stride, WIDTH // stride)
        for stride, channels in zip(body.encoder.strides, body.encoder.channels, strict=True)
    ]
    image = torch.rand(1, 3, HEIGHT, WIDTH)

    def run() -> float:
        started = time.perf_counter()
        model = LogisticRegression(C=INVERSE_REGULARIZATION, class_weight="balanced", max_iter=1000)
        model.fit(features, truth)
        body.load_head(model.coef_, model.intercept_)
        with torch.inference_mode():
            logits = body.of_bands(image)
            for head, stage in zip(body.of_stages, stages, strict=True):
                logits += functional.interpolate(head(stage), (HEIGHT, WIDTH), mode="bilinear")
            torch.softmax(logits, dim=1).max(dim=1)
        return time.perf_counter() - started

    return run


def run_live_benchmark(side_px: int = SIDE_PX, clicks: int = CLICKS) -> dict[str, float]:
    """Measure a live session on a generated mosaic.

    Parameters
    ----------
    side_px
        Side of the mosaic in pixels.
    clicks
        Number of clicks that are timed.

    Returns
    -------
    dict
        Seconds by name: medians, minima and 95th percentiles; ``first_view_s`` is the time from the start of the process to
        the first final picture, without the time that importing torch and rasterio takes (``import_s``). ``peak_memory_gib`` is
        that of the process, None where the system does not tell it.
    """
    with tempfile.TemporaryDirectory() as folder:
        mosaic = generate_mosaic(Path(folder) / "mosaic.tif", side_px)
        import_s = _time_imports()
        started = time.perf_counter()
        with LiveClient(["--raster", str(mosaic.path)]) as client:
            bench = LiveBenchmark(client, mosaic)
            ready_s = time.perf_counter() - started
            _click_two_classes(bench)
            bench.time_view(bench.bounds(side_px // 2, side_px // 2))
            first_s = time.perf_counter() - started
            for _ in range(START_POINTS):
                bench.click(
                    (side_px // 2, side_px // 2 + HEIGHT), (side_px // 2, side_px // 2 + WIDTH)
                )
            moves = np.array(bench.time_moves())
            click_s, bare_s = bench.time_clicks(clicks, bare_refit_and_paint())
            memory = _peak_memory_gib(client.process.pid)
    return _summarize_times(click_s, bare_s, moves) | {
        "first_view_s": first_s - import_s,
        "start_to_first_view_s": first_s,
        "start_to_ready_s": ready_s,
        "import_s": import_s,
        "peak_memory_gib": memory,
    }


def _summarize_times(
    click_s: Sequence[float], bare_s: Sequence[float], moves: NDArray[np.float64]
) -> dict[str, float]:
    median = float(np.median(click_s))
    return {
        "click_median_s": median,
        "click_p95_s": float(np.percentile(click_s, 95)),
        "click_min_s": float(np.min(click_s)),
        "bare_median_s": float(np.median(bare_s)),
        "bare_min_s": float(np.min(bare_s)),
        "click_ratio": median / float(np.median(bare_s)),
        "view_coarse_median_s": float(np.median(moves[:, 0])),
        "view_coarse_min_s": float(moves[:, 0].min()),
        "view_sharp_median_s": float(np.median(moves[:, 1])),
        "view_sharp_p95_s": float(np.percentile(moves[:, 1], 95)),
        "view_sharp_min_s": float(moves[:, 1].min()),
    }


def _click_two_classes(bench: LiveBenchmark) -> None:
    """Add one point of each of two classes near the centre."""
    half = bench.mosaic.classes.shape[0] // 2
    near = bench.mosaic.classes[half : half + HEIGHT // 4, half : half + WIDTH // 4]
    for index in np.unique(near)[:2]:
        row, col = np.argwhere(near == index)[len(np.argwhere(near == index)) // 2] + half
        bench.client.ask("add", **bench.place(4 * int(row), 4 * int(col)))


def _time_imports() -> float:
    """Return the seconds that a process needs to import torch and rasterio, the smaller one of two runs."""
    times = []
    for _ in range(2):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import torch, rasterio"], check=True)  # nosec B603
        times.append(time.perf_counter() - started)
    return min(times)


def _peak_memory_gib(process: int) -> float:
    """Return the largest resident size of a process so far in GiB; NaN where the system does not tell it."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    except OSError:
        return float("nan")
    kilobytes = next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line)
    return kilobytes / 2**20
