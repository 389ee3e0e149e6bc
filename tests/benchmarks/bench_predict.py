"""Prediction against its own forward passes, a torchgeo script, other widths and other tilings.

Run by hand: ``python tests/benchmarks/bench_predict.py [overhead memory linear torchgeo peers seams curve scheduler frozen]``
or ``geopointseg bench predict``. Every contender runs in a process of its own, so that its peak memory is its own;
times that are compared are taken in one run, in turns; where other programs run on the machine, compare the processor
times (``_cpu``). ``peers`` runs geoai and terratorch where they are installed beside the project (no dependency of it
needs them). ``frozen`` compares the models on the frozen backbone with its bare forward and with the default of 0.1.0. Prints one line a measurement and, as the last line, one JSON object.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from affine import Affine

from geopointseg.config import Config
from geopointseg.legend import Legend
from geopointseg.model.architecture import build_network
from geopointseg.model.bundle import ModelBundle, NetworkMember, Normalization
from geopointseg.prediction.predictor import predict

TRANSFORM = Affine(1, 0, 400_000, 0, -1, 5_700_000)
WINDOW, OVERLAP, BANDS = 512, 128, 4
BARS = {
    "overhead": 1.10, "memory_ratio": 1.10, "peak_gib": 1.5, "linear": 1.05, "torchgeo_speed": 1.5,
    "torchgeo_memory": 0.25, "linear_to_backbone": 1.15, "linear_to_earlier": 1.0, "default_to_earlier": 2.0, "first_window_s": 1.0,
}  # fmt: skip


def write_scene(path: Path, height: int, width: int) -> Path:
    """Write a textured scene strip by strip, unless it is there."""
    if path.exists():
        return path
    generator = np.random.default_rng(0)
    tile = generator.integers(20, 220, (BANDS, 33, 33)).repeat(16, 1).repeat(16, 2)[:, :512, :512]
    tile = (tile + generator.integers(0, 20, tile.shape)).astype("uint8")
    profile = {
        "driver": "GTiff", "dtype": "uint8", "count": BANDS, "height": height, "width": width, "tiled": True,
        "blockxsize": 512, "blockysize": 512, "compress": "deflate", "crs": "EPSG:32633",
        "transform": TRANSFORM, "photometric": "MINISBLACK", "bigtiff": "if_safer",
    }  # fmt: skip
    row = np.tile(tile, (1, 1, -(-width // 512)))[:, :, :width]
    with rasterio.open(path, "w", num_threads=2, **profile) as target:
        for top in range(0, height, 512):
            rows = min(512, height - top)
            window = rasterio.windows.Window(0, top, width, rows)
            target.write(np.roll(row, 37 * top // 512, axis=2)[:, :rows], window=window)
    return path


def save_model(folder: Path, encoder: str, classes: int) -> Path:
    """Save a U-Net with random weights, unless it is there."""
    if folder.exists():
        return folder
    torch.manual_seed(0)
    network = build_network("unet", encoder, bands=BANDS, classes=classes).eval()
    norm = Normalization(np.full(BANDS, 120.0), np.full(BANDS, 60.0))
    options = {"architecture": "unet", "encoder": encoder}
    member = NetworkMember(network, norm, 64, 1.0, options, torch.device("cpu"))
    legend = Legend.from_names([f"class {k}" for k in range(classes)])
    bands = tuple(f"band_{k + 1}" for k in range(BANDS))
    bundle = ModelBundle(folder, legend, bands, norm, 1.0, 256, 128, Config(), (member,))
    return bundle.save(folder).folder


class Watch:
    """Counts seconds, and seconds of processor time of all threads, which other programs do not disturb."""

    def __init__(self) -> None:
        self.started = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        """Return both since the watch was made."""
        now = time.perf_counter(), time.process_time()
        return {"seconds": now[0] - self.started[0], "cpu_s": now[1] - self.started[1]}


def run_ours(
    model: str, scene: str, output: str, backend: str = "torch", **options: Any
) -> dict[str, Any]:
    """Predict with a model that is in memory, as it is for the others."""
    bundle, watch = ModelBundle.load(model), Watch()
    done = predict(
        bundle, scene, output, window_px=WINDOW, overlap_px=OVERLAP, backend=backend, **options
    )
    return {**watch.read(), "backend": done.backend}


def run_bare(
    model: str, scene: str, output: str, backend: str = "torch", windows: int = 0
) -> dict[str, Any]:
    """Run as many windows through the network as a prediction does, and nothing else."""
    del output
    from geopointseg.prediction.backend import accelerate
    from geopointseg.raster.scene import Scene

    member = accelerate(ModelBundle.load(model), backend).members[0]
    image = Scene.open(scene).read(rasterio.windows.Window(0, 0, WINDOW, WINDOW)).image
    valid = np.ones((1, WINDOW, WINDOW), dtype=bool)
    for _ in range(2):
        member.probabilities(image[None], valid)
    watch = Watch()
    for _ in range(windows):
        member.probabilities(image[None], valid)
    return watch.read()


def run_torchgeo(model: str, scene: str, output: str, batch_size: int) -> dict[str, Any]:
    """Do what the tutorials do: sample a grid, predict, stitch in memory, write once."""
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GriddedPatchSampler

    network = Classifier(model, softmax=True)
    network(torch.zeros(1, BANDS, WINDOW, WINDOW))
    watch = Watch()
    dataset = RasterDataset(scene)
    stride = WINDOW - OVERLAP
    sampler = GriddedPatchSampler(dataset, size=WINDOW, stride=stride)
    loader = DataLoader(dataset, sampler=sampler, batch_size=batch_size, collate_fn=stack_samples)
    with rasterio.open(scene) as source:
        profile, height, width = source.profile, source.height, source.width
    total = count = None
    with torch.inference_mode():
        for batch in loader:
            probabilities = network(batch["image"])
            if total is None:
                total = torch.zeros(probabilities.shape[1], height, width)
                count = torch.zeros(height, width)
            for one, transform in zip(probabilities, batch["transform"], strict=True):
                a, _, x, _, e, y = transform.flatten()[:6].tolist()
                col, row = round((x - TRANSFORM.c) / a), round((y - TRANSFORM.f) / e)
                rows = slice(max(row, 0), min(row + WINDOW, height))
                cols = slice(max(col, 0), min(col + WINDOW, width))
                own = one[:, rows.start - row : rows.stop - row, cols.start - col : cols.stop - col]
                total[:, rows, cols] += own
                count[rows, cols] += 1
    classes = (total / count.clamp(min=1)).argmax(dim=0).to(torch.uint8).numpy()
    profile |= {"count": 1, "dtype": "uint8"}
    profile.pop("photometric", None)
    with rasterio.open(output, "w", **profile) as target:
        target.write(classes, 1)
    return watch.read()


class Classifier(torch.nn.Module):
    """A member's network with what belongs to it: normalization before, softmax after if wanted.

    Parameters
    ----------
    model
        Folder of the model.
    scale
        What the caller divided pixel values by.
    softmax
        Whether probabilities are returned instead of logits.
    """

    def __init__(self, model: str, scale: float = 1.0, *, softmax: bool = False) -> None:
        super().__init__()
        member = ModelBundle.load(model).members[0]
        self.network, self.scale, self.softmax = member.network, scale, softmax
        self.mean = torch.from_numpy(member.normalization.mean).float()[:, None, None]
        self.std = torch.from_numpy(member.normalization.std).float()[:, None, None]

    def forward(self, image: torch.Tensor, **_: Any) -> torch.Tensor:
        """Return logits or probabilities of raw pixel values divided by the scale."""
        logits = self.network((image * self.scale - self.mean) / self.std)
        return torch.softmax(logits, dim=1) if self.softmax else logits


def run_geoai(model: str, scene: str, output: str, batch_size: int) -> dict[str, Any]:
    """Predict with geoai's sliding windows."""
    from geoai.train import semantic_inference_on_geotiff

    network, classes = Classifier(model, 255.0), len(ModelBundle.load(model).legend)
    watch = Watch()
    semantic_inference_on_geotiff(
        network, scene, output, window_size=WINDOW, overlap=OVERLAP, batch_size=batch_size, num_channels=BANDS,
        num_classes=classes, device=torch.device("cpu"), quiet=True,
    )  # fmt: skip
    return watch.read()


def run_terratorch(model: str, scene: str, output: str, batch_size: int) -> dict[str, Any]:
    """Predict with terratorch's tiled inference on an image in memory, as its tasks do, and write once."""
    from terratorch.tasks.tiled_inference import tiled_inference

    network = Classifier(model, softmax=True)
    watch = Watch()
    with rasterio.open(scene) as source:
        profile, image = source.profile, torch.from_numpy(source.read()).float()[None]
    with torch.inference_mode():
        probabilities = tiled_inference(
            network, image, crop=WINDOW, stride=WINDOW - OVERLAP, delta=0, batch_size=batch_size
        )
    profile |= {"count": 1, "dtype": "uint8"}
    profile.pop("photometric", None)
    with rasterio.open(output, "w", **profile) as target:
        target.write(probabilities[0].argmax(dim=0).to(torch.uint8).numpy(), 1)
    return watch.read()


def run_map(model: str, scene: str, output: str) -> dict[str, Any]:
    """Predict with the default settings."""
    bundle, watch = ModelBundle.load(model), Watch()
    predict(bundle, scene, output)
    return watch.read()


def run_backbone(pixels: int, is_fused: int) -> dict[str, Any]:
    """Run the backbone of the linear model on a number of pixels in images of 512 x 512, and nothing else."""
    from geopointseg.model.allocator import keep_freed_memory
    from geopointseg.model.backbone import build_backbone
    from geopointseg.model.fused_convolution import fuse_convolutions

    keep_freed_memory()
    backbone: torch.nn.Module = build_backbone().to(memory_format=torch.channels_last)
    backbone = fuse_convolutions(backbone) if is_fused else backbone
    image = torch.randn(1, 3, WINDOW, WINDOW).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        for _ in range(3):
            backbone(image)
        watch = Watch()
        for _ in range(pixels // WINDOW**2):
            backbone(image)
    return watch.read()


FIRST_WINDOW = """
import sys, time
import torch, rasterio
started = time.perf_counter()
from geopointseg.prediction.predictor import predict
from geopointseg.progress import Reporter
class FirstWindow(Exception): pass
class Sink:
    def emit(self, event):
        if event.stage == "predict" and event.data.get("pixels"):
            raise FirstWindow
    def close(self): pass
try:
    predict(*sys.argv[1:4], reporter=Reporter(Sink()))
except FirstWindow:
    pass
print(time.perf_counter() - started)
"""


RUNNERS: dict[str, Callable[..., dict[str, Any]]] = {
    "ours": run_ours,
    "map": run_map,
    "backbone": run_backbone,
    "bare": run_bare,
    "torchgeo": run_torchgeo,
    "geoai": run_geoai,
    "terratorch": run_terratorch,
}


def in_child(runner: str, **options: Any) -> dict[str, Any]:
    """Run a contender in a process of its own; its peak resident memory comes with its answer."""
    task = json.dumps(
        {"runner": runner, **{k: v if isinstance(v, int) else str(v) for k, v in options.items()}}
    )
    said = subprocess.run(
        [sys.executable, __file__, "--child", task], stdout=subprocess.PIPE, text=True, check=True
    )
    return dict(json.loads(said.stdout.splitlines()[-1]))


def child(task: str) -> None:
    """Run one contender and print what it measured."""
    options = json.loads(task)
    found = RUNNERS[options.pop("runner")](**options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    say(json.dumps(found | {"peak_gib": round(peak, 3)}))


def window_count(length: int) -> int:
    """Return how many windows cover an axis."""
    return max(-(-(length - OVERLAP) // (WINDOW - OVERLAP)), 1)


def measure_overhead(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Compare end to end time with that of the bare forward passes of the same windows."""
    side = args.size
    options = {
        "model": save_model(
            folder / f"m_{args.encoder}_{args.classes}", args.encoder, args.classes
        ),
        "scene": write_scene(folder / f"s_{side}.tif", side, side),
        "output": folder / "overhead.tif",
        "backend": args.backend,
    }
    count = window_count(side) ** 2
    ours, bare = [], []
    for _ in range(args.rounds):
        bare.append(in_child("bare", **options, windows=count))
        ours.append(in_child("ours", **options))
    best = {
        f"{name}_{unit}": min(run[unit] for run in runs)
        for name, runs in (("ours", ours), ("bare", bare))
        for unit in ("seconds", "cpu_s")
    }
    return {
        "windows": count,
        **best,
        "overhead": best["ours_seconds"] / best["bare_seconds"],
        "overhead_cpu": best["ours_cpu_s"] / best["bare_cpu_s"],
    }


def measure_memory(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Compare the peak memory of a narrow and a wide raster of one height."""
    model = save_model(folder / f"m_{args.encoder}_{args.classes}", args.encoder, args.classes)
    found: dict[str, Any] = {}
    for width in (4_000, args.width):
        scene = write_scene(folder / f"w_{width}.tif", args.height, width)
        found[f"peak_gib_{width}"] = in_child(
            "ours", model=model, scene=scene, output=folder / "memory.tif"
        )["peak_gib"]
    found["memory_ratio"] = found[f"peak_gib_{args.width}"] / found["peak_gib_4000"]
    return found


def measure_linear(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Compare the time a window of a narrow and a wide raster."""
    model = save_model(folder / f"m_{args.encoder}_{args.classes}", args.encoder, args.classes)
    found = {}
    for width in (4_096, args.width):
        scene = write_scene(folder / f"l_{width}.tif", args.height, width)
        run = in_child("ours", model=model, scene=scene, output=folder / "linear.tif")
        found[width] = {unit: run[unit] / (args.height * width) for unit in ("seconds", "cpu_s")}
    narrow, wide = found[4_096], found[args.width]
    return {
        "linear": wide["seconds"] / narrow["seconds"],
        "linear_cpu": wide["cpu_s"] / narrow["cpu_s"],
    }


def measure_torchgeo(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Compare speed and memory with a script on torchgeo's sampler."""
    options = {
        "model": save_model(
            folder / f"m_{args.encoder}_{args.classes}", args.encoder, args.classes
        ),
        "scene": write_scene(folder / f"s_{args.size}.tif", args.size, args.size),
        "output": folder / "torchgeo.tif",
    }
    theirs = in_child("torchgeo", **options, batch_size=args.batch_size)
    ours = in_child("ours", **options, backend=args.backend)
    return {
        "ours": ours,
        "torchgeo": theirs,
        "torchgeo_speed": theirs["seconds"] / ours["seconds"],
        "torchgeo_speed_cpu": theirs["cpu_s"] / ours["cpu_s"],
        "torchgeo_memory": ours["peak_gib"] / theirs["peak_gib"],
    }


def measure_peers(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Compare speed and memory with the tiled inference of geoai and of terratorch, where they are installed."""
    options = {
        "model": save_model(
            folder / f"m_{args.encoder}_{args.classes}", args.encoder, args.classes
        ),
        "scene": write_scene(folder / f"s_{args.size}.tif", args.size, args.size),
        "output": folder / "peers.tif",
    }
    ours = in_child("ours", **options, backend=args.backend)
    found: dict[str, Any] = {"ours": ours}
    for peer in ("geoai", "terratorch"):
        if importlib.util.find_spec(peer) is None:
            found[peer] = "not installed"
            continue
        theirs = in_child(peer, **options, batch_size=args.batch_size)
        found[peer] = theirs | {
            "speed": theirs["seconds"] / ours["seconds"],
            "speed_cpu": theirs["cpu_s"] / ours["cpu_s"],
            "memory": ours["peak_gib"] / theirs["peak_gib"],
        }
    return found


def train_model(folder: Path, steps: int) -> tuple[Path, Path]:
    """Train a network on the demo's landscape, unless it is there; return it and the scene."""
    from geopointseg import train
    from geopointseg.landscape import draw_points, make_landscape
    from geopointseg.landscape import write_scene as write_landscape

    scene, model = folder / "landscape.tif", folder / f"trained_{steps}"
    if not model.exists():
        landscape = make_landscape(1152, 1728)
        write_landscape(landscape, str(scene))
        train([scene], draw_points(landscape, 50, 0), output=model, model="network", steps=steps)
    return model, scene


def shifted_scene(scene: Path, folder: Path, row: int, col: int) -> Path:
    """Write a scene without its first rows and columns."""
    path = folder / "shifted.tif"
    with rasterio.open(scene) as source:
        window = rasterio.windows.Window(col, row, source.width - col, source.height - row)
        profile = source.profile | {
            "height": window.height,
            "width": window.width,
            "transform": source.window_transform(window),
        }
        with rasterio.open(path, "w", **profile) as target:
            target.write(source.read(window=window))
            target.descriptions = source.descriptions
    return path


def measure_seams(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Compare the maps of a trained network: windows of 512 and 768 pixels, and a shifted origin.

    The origin is shifted by a multiple of the network's stride. By other steps it sees other pixels together, however
    it is tiled.
    """
    from geopointseg.raster.scene import Scene

    model, scene = train_model(folder, args.steps)
    row, col, margin = 96, 64, 128
    shifted = shifted_scene(scene, folder, row, col)
    found = []
    for source, window in ((scene, 512), (scene, 768), (shifted, 512)):
        path = folder / "seams_probabilities.tif"
        predict(
            model, source, folder / "seams.tif", probabilities=path, encoding="float32", window_px=window,
            backend="torch", cog=False,
        )  # fmt: skip
        whole = Scene.open(path).read().image
        found.append(whole if source is shifted else whole[:, row:, col:])
    first, *others = (one[:, margin:-margin, margin:-margin] for one in found)
    return {
        name: {
            "largest_difference": float(np.abs(first - other).max()),
            "mean_difference": float(np.abs(first - other).mean()),
            "equal_classes": float((first.argmax(axis=0) == other.argmax(axis=0)).mean()),
        }
        for name, other in zip(("768", "shifted"), others, strict=True)
    }


def empty_task(number: int) -> int:
    """Do nothing, as a worker does with a tile of nodata."""
    return number


def measure_scheduler(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Measure what Dask's scheduler takes for tiles that cost nothing, handed out as predictions are."""
    del folder
    from geopointseg.prediction.distributed import TASKS_PER_THREAD, open_client

    started = time.perf_counter()
    with open_client(f"local:{args.workers}") as client:
        begun = time.perf_counter()
        at_once = TASKS_PER_THREAD * args.workers
        for first in range(0, args.tiles, at_once):
            numbers = range(first, min(first + at_once, args.tiles))
            client.gather([client.submit(empty_task, number, pure=False) for number in numbers])
        seconds = time.perf_counter() - begun
    return {
        "start_s": begun - started,
        "tiles": args.tiles,
        "ms_a_tile": 1000 * seconds / args.tiles,
    }


def save_pixel_forest(folder: Path, classes: int) -> Path:
    """Save the lightest model: five trees on single pixels of noise, unless it is there."""
    from geopointseg.config import ForestConfig
    from geopointseg.model.bundle import ForestMember
    from geopointseg.model.forest import Forest

    if folder.exists():
        return folder
    generator = np.random.default_rng(0)
    image = generator.integers(20, 220, (BANDS, 64, 64)).astype(np.float32)
    row, col = np.divmod(generator.permutation(64 * 64)[:200], 64)
    label = generator.integers(0, classes, 200)
    forest = Forest.fit(
        [(image, np.ones((64, 64), bool))], [(row, col, label, np.ones(200, np.float32))],
        classes=classes, config=ForestConfig(features="pixel", trees=5),
    )  # fmt: skip
    norm = Normalization(np.full(BANDS, 120.0), np.full(BANDS, 60.0))
    legend = Legend.from_names([f"class {k}" for k in range(classes)])
    bands = tuple(f"band_{k + 1}" for k in range(BANDS))
    members = (ForestMember(forest, 1.0),)
    bundle = ModelBundle(folder, legend, bands, norm, 1.0, 256, 0, Config(), members)
    return bundle.save(folder).folder


def resident_gib() -> float:
    """Return the memory that this process holds at the moment (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**30


def measure_curve(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Follow the memory of a long prediction with the lightest model."""
    scene = write_scene(folder / f"c_{args.height}.tif", args.height, args.width)
    model = save_pixel_forest(folder / f"f_{args.classes}", args.classes)
    watch, curve, ended = Watch(), [], threading.Event()

    def follow() -> None:
        while not ended.wait(0.5):
            curve.append((round(watch.read()["seconds"], 1), round(resident_gib(), 3)))

    thread = threading.Thread(target=follow)
    thread.start()
    predict(model, scene, folder / "curve.tif")
    ended.set()
    thread.join()
    peak = max(gib for _, gib in curve)
    return {**watch.read(), "peak_gib": peak, "curve": curve[:: max(len(curve) // 20, 1)]}


def save_members(folder: Path, classes: int, *names: str) -> Path:
    """Save a model of networks with random weights and a forest in context, unless it is there."""
    from geopointseg.config import ForestConfig
    from geopointseg.model.backbone import DEPTH, LITE0, pretrained_state
    from geopointseg.model.bundle import ForestMember
    from geopointseg.model.forest import Forest
    from geopointseg.model.linear import MARGIN_PX

    if folder.exists():
        return folder
    torch.manual_seed(0)
    options = {
        "linear": {"architecture": "linear", "encoder": LITE0, "encoder_depth": DEPTH},
        "pyramid": {"architecture": "pyramid", "encoder": f"tu-{LITE0}", "encoder_depth": 5, "norm": "group"},
        "unet": {"architecture": "unet", "encoder": "resnet18", "encoder_depth": 3, "decoder_channels": [64, 32, 16]},
    }  # fmt: skip
    norm, members = Normalization(np.full(BANDS, 120.0), np.full(BANDS, 60.0)), []
    for name in names:
        if name == "forest":
            generator = np.random.default_rng(0)
            image = (
                generator.integers(20, 220, (BANDS, 33, 33))
                .repeat(16, 1)
                .repeat(16, 2)
                .astype(np.float32)
            )
            row, col = generator.integers(0, 528, (2, 50 * classes))
            label = np.digitize(image[0, row, col], np.linspace(20, 220, classes + 1)[1:-1])
            forest = Forest.fit(
                [(image, np.ones(image.shape[1:], bool))], [(row, col, label, np.ones(len(row), np.float32))],
                classes=classes, config=ForestConfig(),
            )  # fmt: skip
            members.append(ForestMember(forest, 1 / len(names)))
            continue
        network = build_network(bands=BANDS, classes=classes, **options[name]).eval()
        if name == "linear":
            network.encoder.load_state_dict(pretrained_state(LITE0), strict=False)
        margin = {"linear": MARGIN_PX, "pyramid": 96}.get(name, 48)
        kind = "linear" if name == "linear" else "network"
        members.append(
            NetworkMember(network, norm, margin, 1 / len(names), options[name], torch.device("cpu"), kind)
        )  # fmt: skip
    legend = Legend.from_names([f"class {k}" for k in range(classes)])
    bands = tuple(f"band_{k + 1}" for k in range(BANDS))
    bundle = ModelBundle(folder, legend, bands, norm, 1.0, 96, 97, Config(), tuple(members))
    return bundle.save(folder).folder


def measure_frozen(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Compare the models on the frozen backbone with its bare forward and with the default of version 0.1.0."""
    scene = write_scene(folder / f"s_{args.size}.tif", args.size, args.size)
    kinds = {
        "linear": ("linear",), "default": ("linear", "pyramid"), "all members": ("linear", "pyramid", "forest"),
        "earlier network": ("unet",), "earlier default": ("unet", "forest"),
    }  # fmt: skip
    models = {
        name: save_members(folder / f"frozen_{args.classes}_{'_'.join(members)}", args.classes, *members)
        for name, members in kinds.items()
    }  # fmt: skip
    runs: dict[str, list[dict[str, Any]]] = {}
    first = []
    # an installed package is compiled to bytecode; the first round compiles it here
    compiled = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    compiled["PYTHONPYCACHEPREFIX"] = str(folder.absolute() / "bytecode")
    for _ in range(args.rounds):
        for name, is_fused in (("backbone", 0), ("fused backbone", 1)):
            run = in_child("backbone", pixels=args.size**2, is_fused=is_fused)
            runs.setdefault(name, []).append(run)
        for name, model in models.items():
            run = in_child("map", model=model, scene=scene, output=folder / "frozen.tif")
            runs.setdefault(name, []).append(run)
        said = subprocess.run(
            [sys.executable, "-c", FIRST_WINDOW, models["linear"], scene, folder / "first.tif"],
            stdout=subprocess.PIPE, text=True, check=True, env=compiled,
        )  # fmt: skip
        first.append(float(said.stdout))
    best = {
        name: {unit: min(run[unit] for run in some) for unit in ("seconds", "cpu_s")}
        | {"peak_gib": max(run["peak_gib"] for run in some)}
        for name, some in runs.items()
    }
    ratios = {
        "linear_to_backbone": ("linear", "backbone"),
        "linear_to_fused_backbone": ("linear", "fused backbone"),
        "linear_to_earlier": ("linear", "earlier network"),
        "default_to_earlier": ("default", "earlier default"),
        "all_members_to_earlier": ("all members", "earlier default"),
    }
    return {
        **{k: round(best[a]["seconds"] / best[b]["seconds"], 3) for k, (a, b) in ratios.items()},
        **{k + "_cpu": round(best[a]["cpu_s"] / best[b]["cpu_s"], 3) for k, (a, b) in ratios.items()},
        "first_window_s": round(min(first), 2),
        "runs": best,
    }  # fmt: skip


MEASURES = {
    "frozen": measure_frozen,
    "overhead": measure_overhead,
    "memory": measure_memory,
    "linear": measure_linear,
    "torchgeo": measure_torchgeo,
    "peers": measure_peers,
    "seams": measure_seams,
    "curve": measure_curve,
    "scheduler": measure_scheduler,
}


DEFAULT = ("overhead", "memory", "torchgeo")


def say(text: str) -> None:
    """Write one line."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "what", nargs="*", help=f"any of {', '.join(MEASURES)}; overhead, memory, torchgeo"
    )
    parser.add_argument(
        "--size", type=int, default=2048, help="side of the scene of overhead and torchgeo"
    )
    parser.add_argument(
        "--height", type=int, default=600, help="rows of the scenes of memory, linear and curve"
    )
    parser.add_argument("--width", type=int, default=40_000, help="columns of the wide scene")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--backend", default="torch")
    parser.add_argument(
        "--batch-size", type=int, default=2, help="windows at once of torchgeo and peers"
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tiles", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=150, help="of the training of seams")
    parser.add_argument(
        "--folder", default="", help="where scenes and models are kept between runs"
    )
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    args = parse()
    if args.child:
        child(args.child)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(args.folder or temporary)
        found = {"cores": os.cpu_count(), "load": os.getloadavg()[0]}
        for name in args.what or DEFAULT:
            found[name] = MEASURES[name](folder, args)
            say(f"{name} {json.dumps(found[name])}")
    say(json.dumps(found | {"bars": BARS}))


if __name__ == "__main__":
    main()
