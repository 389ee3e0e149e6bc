"""Faults at random moments of commands: what is left is right, and a second run gives the result of an undisturbed one.

Run by hand: ``python tests/benchmarks/faults.py [--runs 100] [--seed 0] [--jobs 1] [--only train,disk] [--folder DIR]``. Prints a line for each run and
a table of counts, and exits with 1 if any run failed. `tests/cli/test_faults.py` keeps a few runs as tests. Linux only.

A fault strikes after a random share of the progress events of an undisturbed run, plus a random part of the time to the next event, so that
the moments are the same on a busy machine. The commands run in forks of a process that has imported everything.

- ``kill``, ``term``, ``int``: the signals 9, 15 and 2.
- ``disk``: the disk of outputs and temporary files is full from then on: a small tmpfs, or where none may be mounted a limit of file sizes.
- ``truncated``, ``damaged``: the raster is cut in the middle of the run, or some of its blocks are damaged from the start.
- ``memory``: the address space may grow by a few MB only.
- ``clock``: the time of day jumps by years at every question from then on.

After the fault: the exit code and the sentence on stderr, inputs unchanged, each output whole or not there (or the older one). Then the
cause is removed and the command is run again, with ``--resume`` where there is something to resume. After that: the same outputs as an
undisturbed run, and nothing else in the folder.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import itertools
import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

POLL_S = 0.003
PATIENCE_S = 240.0
"""The longest time that a run may take, and that a cancelled one may take to end."""
DISK_BYTES = 96 << 20
NATIVE = re.compile(r"_?(tiff|TIFF)\w+: ")
"""Lines that libtiff itself prints."""
UNEXPECTED = ("Something unexpected", "Traceback")
FAULTS = ("kill", "term", "int", "disk", "truncated", "damaged", "memory", "clock")
SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "int": signal.SIGINT}
IMPORTED = (
    "geopointseg.learning.training", "geopointseg.prediction.predictor", "geopointseg.lab.factor_study", "geopointseg.lab.study_report",
    "geopointseg.radiometry.histogram_matching", "geopointseg.report.radiometry_figures", "geopointseg.live.serving",
    "geopointseg.live.model_saving", "geopointseg.learning.network_training", "geopointseg.learning.fitted_members",
    "geopointseg.cli.train_command", "geopointseg.cli.predict_command", "geopointseg.cli.study_command",
    "geopointseg.cli.scenes_command", "geopointseg.cli.live_command", "geopointseg.lab.experiment", "timm", "torchvision", "sklearn.ensemble",
    "torch.utils.tensorboard", "rasterio", "pyogrio", "skimage.segmentation", "scipy.ndimage",
)  # fmt: skip
STUDY = """
title = "A small study"
seeds = [0]
baselines = ["majority"]
data_root = "."
[data.landscape]
images = ["scene.tif"]
masks = ["truth.tif"]
test_images = ["scene.tif"]
test_masks = ["truth.tif"]
part = "left"
test_part = "right"
[fixed]
"points.per_class" = 12
"forest.trees" = 10
"forest.features" = "pixel"
[[factors]]
name = "model"
levels = ["forest", "linear"]
"""
SETTINGS = """
[model]
architecture = "fcn"
[sampling]
chip_size = 32
batch_size = 2
[forest]
trees = 10
features = "pixel"
"""


# --- the process of a command --------------------------------------------------------------------------------------


def run_command(arguments: Sequence[str], folder: str, streams: str, clock: str) -> None:
    """Run a command in this process, with small tiles and windows, all events, frequent checkpoints, and a clock that can jump."""
    os.chdir(folder)
    os.environ["TMPDIR"] = tempfile.tempdir = str(Path(folder, "tmp"))
    os.environ["GEOPOINTSEG_CACHE"] = str(Path(streams, "cache"))
    os.environ.pop("GEOPOINTSEG_DATA", None)
    if Path(streams, "stdin").exists():
        os.dup2(os.open(Path(streams, "stdin"), os.O_RDONLY), 0)
    for number, name in ((1, "stdout"), (2, "stderr")):
        flags = (
            os.O_WRONLY
            if name == "stdout" and Path(streams, "stdin").exists()
            else os.O_WRONLY | os.O_CREAT | os.O_APPEND
        )
        os.dup2(os.open(Path(streams, name), flags, 0o666), number)
    sys.stdout, sys.stderr = (
        os.fdopen(n, "w", buffering=1, encoding="utf-8", closefd=False) for n in (1, 2)
    )
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    _shrink()
    _bend_clock(Path(clock))
    from geopointseg.cli import main

    main(list(arguments))


def _shrink() -> None:
    import torch

    from geopointseg import progress
    from geopointseg.assessment import location_digest
    from geopointseg.learning import trainer
    from geopointseg.prediction import predictor
    from geopointseg.radiometry import histogram_matching
    from geopointseg.raster import cog

    torch.set_num_threads(1)
    os.sched_setaffinity(
        0, {sorted(os.sched_getaffinity(0))[os.getpid() % len(os.sched_getaffinity(0))]}
    )
    location_digest.COST["n"] = 2
    progress.JsonSink.__init__.__defaults__ = (None, 0.0)  # type: ignore[misc]
    trainer.CHECKPOINT_S = trainer.FIRST_CHECKPOINT_S = 0.2
    predictor.SUMS_BYTES = 1
    cog.BLOCK_PX, cog.TILE_PX = 32, 128
    histogram_matching._WINDOW_VALUES = 20_000


def _bend_clock(flag: Path) -> None:
    """Let the time of day jump by up to two years at every question, once a file exists."""
    plain, chance = time.time, random.Random(1)

    def bent() -> float:
        return plain() + (chance.uniform(-6e7, 6e7) if flag.exists() else 0.0)

    time.time = bent


@dataclass(frozen=True)
class Moment:
    """When a fault strikes.

    Parameters
    ----------
    event
        Number of progress events (of answers, in a live session) after which it does.
    delay_s
        Further seconds.
    """

    event: int
    delay_s: float


@dataclass
class Run:
    """One execution of a command.

    Parameters
    ----------
    arguments
        Of the command line.
    folder
        Where it runs.
    streams
        Folder for what it prints.
    """

    arguments: Sequence[str]
    folder: Path
    streams: Path
    times: list[float] = field(default_factory=list)
    _offset: int = 0

    def start(self, *, keep: bool = False) -> None:
        """Start the process, in a new folder of streams unless that is kept."""
        if not keep:
            shutil.rmtree(self.streams, ignore_errors=True)
            self.streams.mkdir(parents=True)
        context = multiprocessing.get_context("forkserver")
        values = (list(self.arguments), str(self.folder), str(self.streams), str(self.clock))
        self.process = context.Process(target=run_command, args=values)
        self.process.start()

    @property
    def clock(self) -> Path:
        """The file that makes the clock jump."""
        return self.streams / "clock"

    @property
    def pid(self) -> int:
        """The number of the process."""
        assert self.process.pid is not None
        return self.process.pid

    def events(self) -> int:
        """Return how many progress events it has sent; the time of each is kept."""
        path = self.streams / "stderr"
        if path.exists() and path.stat().st_size > self._offset:
            with path.open("rb") as source:
                source.seek(self._offset)
                new = source.read()
            new = new[: new.rfind(b"\n") + 1]
            self._offset += len(new)
            self.times += [time.monotonic()] * new.count(b'{"event": "progress"')
        return len(self.times)

    def wait_for(self, moment: Moment) -> bool:
        """Wait for a moment; return whether the process still runs then."""
        until = time.monotonic() + PATIENCE_S
        while self.events() < moment.event and self.process.is_alive() and time.monotonic() < until:
            time.sleep(POLL_S)
        time.sleep(moment.delay_s)
        return self.process.is_alive()

    def wait(self) -> int | None:
        """Wait for the end; return the exit code, or None where it did not end in time."""
        until = time.monotonic() + PATIENCE_S
        while self.process.is_alive() and time.monotonic() < until:
            self.events()
            time.sleep(POLL_S)
        self.events()
        self.times.append(time.monotonic())
        if self.process.is_alive():
            self.process.kill()
            return None
        self.process.join()
        return self.process.exitcode

    def sentences(self) -> list[str]:
        """Return the errors that it printed; lines of stderr that are no events are among them."""
        found = []
        path = self.streams / "stderr"
        for line in path.read_text(errors="replace").splitlines() if path.exists() else []:
            if NATIVE.match(line):
                continue
            try:
                event = json.loads(line)
            except ValueError:
                found.append(line)
                continue
            if event.get("event") == "error":
                found.append(event["message"])
        return found


# --- commands ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Subject:
    """A command, its outputs, and how two of its results are compared.

    Parameters
    ----------
    name
        Of the command.
    arguments
        Of the command line, relative to the folder of a run.
    products
        The outputs in ``out``.
    digest
        Returns the digest of a product, of what must be equal in two runs.
    old
        Arguments that differ for an older result that is replaced; empty where there is none.
    resume
        Whether ``--resume`` finds something in a folder.
    faults
        The faults that it can meet.
    """

    name: str
    arguments: tuple[str, ...]
    products: tuple[str, ...]
    digest: Callable[[Path], str]
    old: Mapping[str, str] = field(default_factory=dict)
    resume: Callable[[Path], bool] = lambda _: False
    faults: tuple[str, ...] = FAULTS

    def command(self, *extra: str) -> list[str]:
        """Return the command line."""
        return [*self.arguments, *extra, "--progress", "json", "--device", "cpu"]

    def old_command(self) -> list[str]:
        """Return the command line of an older result."""
        return [self.old.get(word, word) for word in self.command()]

    def state(self, folder: Path) -> dict[str, str]:
        """Return the digest of each product that exists."""
        return {
            name: self.digest(folder / name) for name in self.products if (folder / name).exists()
        }


def digest_bytes(path: Path) -> str:
    """Return the digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digest_model(path: Path) -> str:
    """Return the digest of weights and description of a model, without times."""
    try:
        description = json.loads((path / "model.json").read_text())
        weights = digest_bytes(path / "model.safetensors")
    except (OSError, ValueError) as error:
        return f"incomplete: {error}"
    if description["weights_sha256"] != weights:
        return "incomplete: another checksum"
    rest = {
        key: description[key]
        for key in ("legend", "bands", "members", "temperature", "normalization", "scores")
    }
    return weights + hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


TIMED = ("seconds", "cpu_seconds")
TOLD = "failed runs are told"
"""Digest of a table of scores that says itself that runs failed; the exit code says so, too."""


def digest_study(path: Path) -> str:
    """Return the digest of a table of scores without times; of the size class of another file, whose content has times."""
    if path.suffix != ".csv":
        return "whole" if path.stat().st_size > 1000 else f"incomplete: {path.stat().st_size} bytes"
    with path.open(newline="") as source:
        head, *rows = list(csv.reader(source))
    if any(row[head.index("failure")] for row in rows):
        return TOLD
    kept = [k for k, name in enumerate(head) if name not in TIMED]
    return hashlib.sha256(repr([[row[k] for k in kept] for row in rows]).encode()).hexdigest()


def _has_checkpoint(out: Path) -> bool:
    return any(out.glob(".*.partial/training/checkpoint.pt"))


def _train(kind: str, steps: int) -> Subject:
    arguments = ("train", "scene.tif", "--points", "points.gpkg", "-o", "out/model", "--config", "settings.toml",
                 "--model", kind, "--steps", str(steps), "--weights", "none", "--seed", "3")  # fmt: skip
    return Subject("train", arguments, ("model",), digest_model, {"3": "4"}, _has_checkpoint)


SUBJECTS = (
    _train("network", 14),
    _train("auto", 14),
    _train("linear", 14),
    Subject(
        "predict",
        ("predict", "model", "--raster", "scene.tif", "-o", "out/map.tif", "--probabilities", "out/p.tif", "--uncertainty", "out/u.tif",
         "--window", "64", "--overlap", "16", "--backend", "torch"),
        ("map.tif", "map.qml", "map.tif.aux.xml", "p.tif", "u.tif"),
        digest_bytes,
        {"model": "model2"},
        lambda out: any(out.glob("*.partial")),
    ),
    Subject(
        "study",
        ("study", "study.toml", "-o", "out"),
        ("scores.csv", "report.md", "report.html"),
        digest_study,
    ),
    Subject(
        "match",
        ("match", "scene.tif", "--reference", "other.tif", "-o", "out/matched.tif", "--figure", "out/f.png", "--method", "histogram"),
        ("matched.tif", "f.png"),
        digest_bytes,
        {"histogram": "mean-std"},
    ),
)  # fmt: skip


LEGEND_NAMES = ("field", "forest", "water")
COLORS = np.array([(900, 1100, 1300), (400, 700, 500), (600, 650, 350)])
SIDE_PX = 160


def write_material(folder: Path) -> None:
    """Write the inputs of all commands: scenes of three classes, points, settings, and two models."""
    import geopointseg as gps

    folder.mkdir(parents=True)
    points = _write_scene(folder, "scene", 1)
    _write_scene(folder, "other", 2)
    gps.write_points(points, folder / "points.gpkg")
    (folder / "settings.toml").write_text(SETTINGS)
    (folder / "study.toml").write_text(STUDY)
    for name, seed in (("model", 1), ("model2", 2)):
        gps.train([folder / "scene.tif"], points, output=folder / name, model="linear", seed=seed)


def _write_scene(folder: Path, name: str, seed: int) -> Any:
    """Write a scene and its true classes; return 20 points of each class."""
    import rasterio
    from affine import Affine
    from rasterio.crs import CRS

    import geopointseg as gps
    from geopointseg.raster.class_map import write_class_map
    from geopointseg.raster.grid import Grid

    rng = np.random.default_rng(seed)
    truth = (
        rng.permuted(np.arange(64).reshape(8, 8) % 3)
        .repeat(SIDE_PX // 8, 0)
        .repeat(SIDE_PX // 8, 1)
    )
    image = COLORS[truth].transpose(2, 0, 1) + rng.normal(0, 60, (3, SIDE_PX, SIDE_PX))
    grid = Grid(CRS.from_epsg(32633), Affine(1, 0, 399_000, 0, -1, 5_650_000), SIDE_PX, SIDE_PX)
    with rasterio.open(
        folder / f"{name}.tif", "w", driver="GTiff", crs=grid.crs, transform=grid.transform, height=SIDE_PX, width=SIDE_PX, count=3,
        dtype="uint16", nodata=0, tiled=True, blockxsize=32, blockysize=32, compress="deflate",
    ) as dataset:  # fmt: skip
        dataset.write(image.astype(np.uint16))
        dataset.descriptions = ("red", "green", "blue")
    legend = gps.Legend.from_names(LEGEND_NAMES)
    if name == "scene":
        write_class_map(folder / "truth.tif", truth, grid, legend)
    flat = np.concatenate(
        [rng.choice(np.flatnonzero(truth == k), 20, replace=False) for k in range(3)]
    )
    row, col = np.divmod(flat, SIDE_PX)
    x, y = grid.pixel_to_world(row + 0.5, col + 0.5)
    return gps.Points.from_arrays(x, y, truth.ravel()[flat], legend, grid.crs)


# --- faults --------------------------------------------------------------------------------------------------------


def block_offsets(path: Path) -> list[int]:
    """Return where the blocks of a raster begin in its file, in bytes."""
    import rasterio

    with rasterio.open(path) as source:
        places = [index for index, _ in source.block_windows(1)]
        return [
            int(source.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=1))
            for row, col in places
        ]


@dataclass
class Fault:
    """One kind of fault, its strike and its removal.

    Parameters
    ----------
    kind
        One of `FAULTS`.
    folder
        Of the run.
    chance
        Chooses extents.
    """

    kind: str
    folder: Path
    chance: random.Random

    def prepare(self) -> None:
        """Do what must be done before the run."""
        self._scene = self.folder / "scene.tif"
        self._whole = self._scene.read_bytes()
        self._time_ns = self._scene.stat().st_mtime_ns
        if self.kind == "damaged":
            content = bytearray(self._whole)
            for begin in self.chance.sample(block_offsets(self._scene)[8:], 3):
                content[begin : begin + 16] = bytes(
                    16
                )  # inside of a block, many changes give other values and no error
            self._overwrite(bytes(content))

    def strike(self, run: Run) -> None:
        """Let it happen."""
        if self.kind in SIGNALS:
            os.kill(run.pid, SIGNALS[self.kind])
        elif self.kind == "truncated":
            os.truncate(self._scene, int(len(self._whole) * self.chance.uniform(0.1, 0.6)))
        elif self.kind == "memory":
            used = int(Path(f"/proc/{run.pid}/statm").read_text().split()[0])
            room = self.chance.randrange(4 << 20)
            self._limit(run, resource.RLIMIT_AS, used * os.sysconf("SC_PAGE_SIZE") + room)
        elif self.kind == "clock":
            run.clock.touch()
        elif self.kind == "disk":
            self._fill(run)

    def _fill(self, run: Run) -> None:
        if not os.path.ismount(self.folder / "out"):
            self._limit(run, resource.RLIMIT_FSIZE, self.chance.randrange(30_000))
            return
        with (self.folder / "out" / "ballast").open("wb", buffering=0) as target:
            for size in (1 << 20, 1 << 12):
                try:
                    while True:
                        target.write(bytes(size))
                except OSError:
                    pass

    @staticmethod
    def _limit(run: Run, which: int, value: int) -> None:
        try:
            hard = resource.prlimit(run.pid, which)[1]
            resource.prlimit(run.pid, which, (hard if value < 0 else value, hard))
        except ProcessLookupError:
            pass

    def _overwrite(self, content: bytes) -> None:
        with self._scene.open("r+b") as target:
            target.write(content)
            target.truncate()

    def remove(self, run: Run) -> None:
        """Take the cause away."""
        for which in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE):
            self._limit(run, which, -1)
        run.clock.unlink(missing_ok=True)
        (self.folder / "out" / "ballast").unlink(missing_ok=True)
        if self.kind in ("truncated", "damaged"):
            self._overwrite(self._whole)
            os.utime(self._scene, ns=(self._time_ns, self._time_ns))

    def allows(self, code: int | None) -> bool:
        """Return whether an exit code tells what happened; 0 is judged by the outputs."""
        return code in {"kill": (-9,), "term": (130,), "int": (130,), "clock": ()}.get(
            self.kind, (1,)
        )

    @property
    def is_signal(self) -> bool:
        """Whether it ends the process."""
        return self.kind in SIGNALS


# --- live sessions -------------------------------------------------------------------------------------------------

LIVE = Subject(
    "live",
    ("live", "--raster", "scene.tif", "--classes", ",".join(LEGEND_NAMES)),
    (),
    digest_bytes,
    faults=tuple(k for k in FAULTS if k != "damaged"),
)
BOUNDS = [399_000, 5_650_000 - SIDE_PX, 399_000 + SIDE_PX, 5_650_000]


class SessionEndedError(Exception):
    """The process of a session has ended."""


@dataclass
class Talk:
    """A conversation with a live session.

    Parameters
    ----------
    run
        The process.
    """

    run: Run
    _count: Iterator[int] = field(default_factory=itertools.count)

    def start(self) -> dict[str, Any]:
        """Start the process and return its first line."""
        shutil.rmtree(self.run.streams, ignore_errors=True)
        self.run.streams.mkdir(parents=True)
        for name in ("stdin", "stdout"):
            os.mkfifo(self.run.streams / name)
        self.run.start(keep=True)
        self._stdin = (self.run.streams / "stdin").open("wb", buffering=0)
        self._stdout = (self.run.streams / "stdout").open("rb")
        return self._next()

    def send(self, request: Mapping[str, Any]) -> int:
        """Send a request and return its number."""
        number = next(self._count)
        try:
            self._stdin.write(json.dumps({"id": number, **request}).encode() + b"\n")
        except BrokenPipeError:
            raise SessionEndedError from None
        return number

    def answer(self, number: int) -> dict[str, Any]:
        """Return the last answer to a request."""
        while True:
            found = self._next()
            if found.get("id") == number and "ok" in found and found.get("final") is not False:
                return found

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and return its last answer."""
        return self.answer(self.send(request))

    def close(self) -> int | None:
        """Close the input, and return the exit code."""
        with suppress(OSError):
            self._stdin.close()
        code = self.run.wait()
        self._stdout.close()
        return code

    def _next(self) -> dict[str, Any]:
        line = self._stdout.readline()
        if not line.endswith(b"\n"):
            raise SessionEndedError
        found: dict[str, Any] = json.loads(line)
        return found


def live_script() -> list[dict[str, Any]]:
    """Return the requests of a session: clicks, removals, views, and in the end a view and a saved model."""
    rng = np.random.default_rng(5)
    adds = [
        {
            "do": "add",
            "point": f"p{k}",
            "class": LEGEND_NAMES[k % 3],
            "x": BOUNDS[0] + x + 0.5,
            "y": BOUNDS[3] - y - 0.5,
        }
        for k, (x, y) in enumerate(rng.integers(0, SIDE_PX, (10, 2)).tolist())
    ]
    view = {"do": "view", "bounds": BOUNDS, "width": SIDE_PX, "height": SIDE_PX}
    far = view | {"width": 40, "height": 40}
    return [
        *adds[:5],
        view,
        {"do": "remove", "point": "p1"},
        *adds[5:8],
        far,
        *adds[8:],
        view,
        {"do": "save", "folder": "out/model"},
    ]


def live_result(talk: Talk, place: Path) -> dict[str, str]:
    """Return digests of the final view and of the saved model."""
    script = live_script()
    picture = talk.ask(script[-2])
    saved = talk.ask(script[-1])
    if not (picture["ok"] and saved["ok"]):
        return {"answer": f"{picture} {saved}"[:500]}
    classes = np.load(picture["classes"])
    return {
        "view": hashlib.sha256(classes.tobytes()).hexdigest(),
        "model": digest_model(place / "out" / "model")[:64],
    }


def points_after(count: int) -> list[dict[str, Any]]:
    """Return the points that the client has after some requests."""
    points: dict[str, dict[str, Any]] = {}
    for request in live_script()[:count]:
        if request["do"] == "add":
            points[request["point"]] = {k: v for k, v in request.items() if k != "do"}
        elif request["do"] == "remove":
            del points[request["point"]]
    return list(points.values())


# --- one run -------------------------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What a run with a fault came to."""

    subject: str
    kind: str
    moment: Moment
    code: int | None = None
    sentence: str = ""
    second: str = ""
    problems: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Return one line about it."""
        where = f"event {self.moment.event} + {self.moment.delay_s:.2f} s"
        text = f"{self.subject:8} {self.kind:9} {where:20} exit {self.code!s:4} {self.second:7} {self.sentence[:110]}"
        return text + "".join(f"\n    PROBLEM {problem}" for problem in self.problems)


@dataclass
class Laboratory:
    """Executes commands with faults.

    Parameters
    ----------
    folder
        For everything that is written.
    """

    folder: Path
    _known: dict[Subject, tuple[dict[str, str], list[str], list[float]]] = field(
        default_factory=dict
    )
    _old: dict[Subject, Path] = field(default_factory=dict)
    _live: tuple[dict[str, str], list[float]] | None = None
    _number: Iterator[int] = field(default_factory=itertools.count)
    _lock: Any = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        multiprocessing.get_context("forkserver").set_forkserver_preload(list(IMPORTED))
        write_material(self.folder / "material")
        self.can_mount = self._try_mount()

    def _try_mount(self) -> bool:
        place = self.folder / "mount"
        place.mkdir()
        with mounted(place) as done:
            return done

    def reference(self, subject: Subject) -> tuple[dict[str, str], list[str], list[float]]:
        """Return digests, names in the folder, and times of events of an undisturbed run."""
        with self._lock:
            return self._reference(subject)

    def _reference(self, subject: Subject) -> tuple[dict[str, str], list[str], list[float]]:
        if subject not in self._known:
            place = self.new_place(subject)
            run = self._run(subject.command(), place)
            code = run.wait()
            if code != 0:
                raise RuntimeError(f"{subject.name}: exit code {code}: {run.sentences()}")
            self._known[subject] = (
                subject.state(place / "out"),
                names_in(place / "out"),
                run.times,
            )
        return self._known[subject]

    def older(self, subject: Subject) -> Path:
        """Return the outputs of an older result."""
        with self._lock:
            return self._older(subject)

    def _older(self, subject: Subject) -> Path:
        if subject not in self._old:
            place = self.new_place(subject)
            if (code := self._run(subject.old_command(), place).wait()) != 0:
                raise RuntimeError(f"{subject.name}: exit code {code}")
            self._old[subject] = place / "out"
        return self._old[subject]

    def new_place(self, subject: Subject, old: Path | None = None) -> Path:
        """Return a new folder with the inputs, and with older outputs where they are given."""
        place = self.folder / f"{next(self._number):03d}-{subject.name}"
        shutil.copytree(self.folder / "material", place)
        (place / "tmp").mkdir()
        if old is None:
            (place / "out").mkdir()
        else:
            shutil.copytree(old, place / "out")
        return place

    def _run(self, command: Sequence[str], place: Path) -> Run:
        run = Run(command, place, place.with_name(f"{place.name}.streams"))
        run.start()
        return run

    def draw_moment(self, subject: Subject, chance: random.Random) -> Moment:
        """Return a random moment of a command."""
        _, _, times = self.reference(subject)
        event = chance.randrange(1, len(times))
        return Moment(event, chance.random() * (times[event] - times[event - 1]))

    def attempt(self, subject: Subject, kind: str, seed: int) -> Outcome:
        """Call `strike`; what goes wrong in it is a problem of the outcome."""
        try:
            return self.strike(subject, kind, seed)
        except Exception as error:  # noqa: BLE001 - the other runs go on
            problem = f"{type(error).__name__}: {error}"
            return Outcome(subject.name, kind, Moment(0, 0.0), problems=[problem])

    def strike(self, subject: Subject, kind: str, seed: int) -> Outcome:
        """Execute a command with a fault, and again without; return what was found."""
        chance = random.Random(seed)
        if subject is LIVE:
            return self._strike_live(kind, chance)
        state, names, _ = self.reference(subject)
        moment = self.draw_moment(subject, chance)
        old = self.older(subject) if subject.old and chance.random() < 0.4 else None
        outcome = Outcome(subject.name, kind, moment)
        place = self.new_place(subject, old)
        before = subject.state(place / "out")
        with mounted(place / "out") if kind == "disk" and self.can_mount else _nothing():
            if kind == "disk" and old is not None and not any((place / "out").iterdir()):
                shutil.copytree(old, place / "out", dirs_exist_ok=True)
            self._disturb(subject, kind, chance, place, outcome, (state, before))
            self._repeat(subject, place, outcome, state, names)
        if not outcome.problems:
            shutil.rmtree(place)
        return outcome

    def _disturb(
        self, subject: Subject, kind: str, chance: random.Random, place: Path, outcome: Outcome, states: tuple[dict[str, str], dict[str, str]]
    ) -> None:  # fmt: skip
        fault = Fault(kind, place, chance)
        fault.prepare()
        inputs = digest_inputs(place)
        run = self._run(subject.command(), place)
        if kind != "damaged" and run.wait_for(outcome.moment):
            if kind == "truncated":
                inputs.pop("scene.tif")
            fault.strike(run)
        outcome.code = run.wait()
        said = run.sentences()
        outcome.sentence = said[-1] if said else ""
        outcome.problems += judge_end(fault, outcome.code, said)
        found = digest_inputs(place)
        outcome.problems += [
            f"the input {name} changed" for name in inputs if found.get(name) != inputs[name]
        ]
        outcome.problems += judge_outputs(
            subject.state(place / "out"), *states, complete=outcome.code == 0
        )
        fault.remove(run)

    def _repeat(
        self,
        subject: Subject,
        place: Path,
        outcome: Outcome,
        state: dict[str, str],
        names: list[str],
    ) -> None:
        is_same = outcome.kind not in (
            "truncated",
            "damaged",
        )  # a repaired raster has another time: no resumption
        resumed = ["--resume"] if is_same and subject.resume(place / "out") else []
        outcome.second = "resume" if resumed else "again"
        run = self._run(subject.command(*resumed), place)
        code = run.wait()
        if code != 0:
            outcome.problems.append(f"the second run ended with {code}: {run.sentences()}")
            return
        found = subject.state(place / "out")
        outcome.problems += [
            f"{name} differs from the one of an undisturbed run ({found.get(name, 'missing')[:60]})"
            for name in state
            if found.get(name) != state[name]
        ]
        left = set(names_in(place / "out")) - set(names)
        left |= {f"tmp/{name}" for name in names_in(place / "tmp")}
        outcome.problems += [f"left behind: {name}" for name in sorted(left)]

    def _strike_live(self, kind: str, chance: random.Random) -> Outcome:
        expected, times = self.live_reference()
        script = live_script()
        event = chance.randrange(len(script))
        outcome = Outcome("live", kind, Moment(event, chance.random() * times[event]))
        place = self.new_place(LIVE)
        fault = Fault(kind, place, chance)
        fault.prepare()
        talk = Talk(self._new_run(place))
        talk.start()
        inputs = digest_inputs(place)
        try:
            self._talk(talk, fault, outcome, script)
            found = live_result(talk, place)
            outcome.second, outcome.code = "goes on", talk.close()
            outcome.problems += (
                [f"exit code {outcome.code}"] if outcome.code or fault.is_signal else []
            )
        except SessionEndedError:
            outcome.code, said = talk.close(), talk.run.sentences()
            outcome.sentence = said[-1] if said else ""
            outcome.problems += judge_end(fault, outcome.code, said)
            fault.remove(talk.run)
            found = self._second_session(place, outcome)
        if fault.is_signal and outcome.code == 0:
            outcome.problems = []  # it struck after the last answer
        outcome.problems += [
            f"the input {n} changed"
            for n, digest in digest_inputs(place).items()
            if inputs[n] != digest
        ]
        outcome.problems += [
            f"{n}: {found.get(n, found)} differs" for n in expected if found.get(n) != expected[n]
        ]
        outcome.problems += [
            f"left behind: {n}"
            for n in [*names_in(place / "tmp"), *(p.name for p in (place / "out").glob(".*"))]
        ]
        return outcome

    def _talk(
        self, talk: Talk, fault: Fault, outcome: Outcome, script: Sequence[dict[str, Any]]
    ) -> None:
        """Send the requests; after the one that meets the fault remove its cause, and repeat what failed."""
        place = min(outcome.moment.event, len(script) - 3)
        for number, request in enumerate(script[:-2]):
            if number != place:
                answer = talk.ask(request)
            else:
                sent = talk.send(request)
                time.sleep(outcome.moment.delay_s)
                fault.strike(talk.run)
                answer = talk.answer(sent)
                answers = [
                    answer,
                    *([] if fault.is_signal else [talk.ask(script[-2]), talk.ask(script[-1])]),
                ]
                fault.remove(talk.run)
                said = [a["error"] for a in answers if not a["ok"]]
                outcome.sentence = said[-1] if said else ""
                outcome.problems += [
                    f"it said: {line}" for line in said if any(word in line for word in UNEXPECTED)
                ]
                if not answer["ok"] and not fault.is_signal:
                    answer = talk.ask(request)
            is_ending = fault.is_signal and number >= place  # what was asked is cancelled
            if not answer["ok"] and not is_ending:
                outcome.problems.append(
                    f"{request['do']} failed after the fault: {answer['error']}"
                )

    def _second_session(self, place: Path, outcome: Outcome) -> dict[str, str]:
        outcome.second = "again"
        for folder in (place / "tmp").glob("*"):
            os.utime(
                folder, (1, 1)
            )  # it is deleted by the next session unless it is younger than five seconds
        talk = Talk(self._new_run(place))
        talk.start()
        talk.ask({"do": "points", "points": points_after(len(live_script()))})
        found = live_result(talk, place)
        talk.close()
        return found

    def _new_run(self, place: Path) -> Run:
        return Run(LIVE.command(), place, place.with_name(f"{place.name}.streams"))

    def live_reference(self) -> tuple[dict[str, str], list[float]]:
        """Return digests of an undisturbed session, and the seconds of each request."""
        with self._lock:
            if self._live is None:
                place = self.new_place(LIVE)
                talk, times = Talk(self._new_run(place)), []
                talk.start()
                for request in live_script():
                    started = time.monotonic()
                    if not (answer := talk.ask(request))["ok"]:
                        raise RuntimeError(answer["error"])
                    times.append(time.monotonic() - started)
                self._live = (live_result(talk, place), times)
                talk.close()
            return self._live


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder and its subfolders, sorted; keys of study runs, which depend on paths, are left out."""
    names = (str(p.relative_to(folder)) for p in folder.rglob("*"))
    kept = (name for name in names if "tfevents" not in name and "tensorboard" not in name)
    return sorted({re.sub(r"^runs/[0-9a-f]{12}\b", "runs/KEY", name) for name in kept})


def digest_inputs(place: Path) -> dict[str, str]:
    """Return the digest of each input file."""
    inputs = (
        p
        for p in place.rglob("*")
        if p.is_file() and p.relative_to(place).parts[0] not in ("out", "tmp")
    )
    return {str(p.relative_to(place)): digest_bytes(p) for p in inputs}


def judge_end(fault: Fault, code: int | None, said: Sequence[str]) -> list[str]:
    """Return what is wrong with an exit code and the sentences."""
    if code == 0:
        return [f"exit code 0, but it said: {line}" for line in said]
    found = [] if fault.allows(code) else [f"the exit code is {code}"]
    if fault.kind == "kill":
        return found
    if len(said) != 1:
        found.append(f"{len(said)} lines on stderr: {said[-3:]}")
    found += [f"it said: {line}" for line in said if any(word in line for word in UNEXPECTED)]
    return found


def judge_outputs(
    found: Mapping[str, str], new: Mapping[str, str], old: Mapping[str, str], *, complete: bool
) -> list[str]:  # fmt: skip
    """Return what is wrong with outputs after a fault: each must be new or old, and sidecars of the same run as the map."""
    problems = [
        f"{name} looks finished and is not ({digest[:60]})"
        for name, digest in found.items()
        if digest not in (new.get(name), old.get(name), "" if complete else TOLD)
    ]
    if complete:
        return problems + [
            f"exit code 0, but {name} is missing or old"
            for name in new
            if found.get(name) != new[name]
        ]
    map_name = next((name for name in found if name == "map.tif"), None)
    if map_name and new[map_name] != old.get(map_name):
        known = old if found[map_name] == old.get(map_name) else new
        problems += [
            f"{name} lies beside the map of another run"
            for name in found
            if name.startswith("map.") and found[name] != known.get(name)
        ]
    return problems


@contextmanager
def mounted(place: Path) -> Iterator[bool]:
    """Mount a small disk, and yield whether that worked; what was in the folder is copied to it."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)]
    kept = place.with_name(f"{place.name}.kept")
    shutil.copytree(place, kept)
    done = (
        os.geteuid() == 0
        and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )
    try:
        if done:
            shutil.copytree(kept, place, dirs_exist_ok=True)
        shutil.rmtree(kept)
        yield done
    finally:
        if done:
            subprocess.run(["umount", "-l", str(place)], check=True)


@contextmanager
def _nothing() -> Iterator[bool]:
    yield False


def draw_cases(count: int, seed: int, only: Sequence[str]) -> list[tuple[Subject, str, int]]:
    """Return commands, faults and seeds: all pairs in turn, in random order."""
    chance = random.Random(seed)
    subjects = [
        s
        for s in (*SUBJECTS, LIVE)
        if not only or s.name in only or not {s.name for s in (*SUBJECTS, LIVE)} & set(only)
    ]
    kinds = [k for k in FAULTS if not only or k in only or not set(FAULTS) & set(only)]
    pairs = [(subject, kind) for subject in subjects for kind in kinds if kind in subject.faults]
    cases = []
    while len(cases) < count:
        chance.shuffle(pairs)
        cases += [(subject, kind, chance.randrange(10**6)) for subject, kind in pairs]
    return cases[:count]


def main(arguments: Sequence[str] | None = None) -> int:
    """Execute the runs and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time")
    parser.add_argument(
        "--only", default="", help="names of commands and faults, separated by commas"
    )
    parser.add_argument("--folder", type=Path, help="an empty folder, which is kept")
    chosen = parser.parse_args(arguments)
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="faults-"))
    laboratory = Laboratory(folder.resolve())
    cases = draw_cases(chosen.runs, chosen.seed, chosen.only.split(",") if chosen.only else [])
    counts: Counter[tuple[str, str, bool]] = Counter()
    with ThreadPoolExecutor(chosen.jobs) as pool:
        for number, outcome in enumerate(
            pool.map(lambda case: laboratory.attempt(*case), cases), 1
        ):
            counts[outcome.subject, outcome.kind, bool(outcome.problems)] += 1
            print(f"{number:3} seed {cases[number - 1][2]:6} {outcome.line()}", flush=True)
    for kind in FAULTS:
        cells = [
            f"{s} {counts[s, kind, False]}+{counts[s, kind, True]}"
            for s in dict.fromkeys(s.name for s in (*SUBJECTS, LIVE))
        ]
        print(f"{kind:10} right+wrong: {', '.join(cells)}")
    failed = sum(n for (_, _, bad), n in counts.items() if bad)
    print(f"{chosen.runs} runs, {failed} with problems; folder {folder}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
