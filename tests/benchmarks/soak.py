"""Soak: hours of training, mapping and assessment in one process, and of clicks in a live session, with memory and handles sampled.

Run by hand: ``nice -n 15 python tests/benchmarks/soak.py --hours 2 --folder DIR [--share 0.33]``. One process repeats train, predict and
assess through the Python API on a small synthetic scene. Another one is a live session, which gets random clicks, removals, views and
questions. Both pause, so that together they take at most ``--share`` of one core. Every 30 s a row for each process is added to
``DIR/soak.csv``:

- resident and anonymous memory (MiB) from ``/proc``; bytes that the C library's allocator has handed out and has taken from the system
  (``mallinfo2``), and blocks of Python's allocator, which the process itself reports;
- open file descriptors, threads, temporary files, and the completed cycles or requests.

At the end, or with ``--judge`` alone for a CSV that exists, the judgement is printed: for each column the slope per hour after the warm-up
with its standard error (least squares on means of five minutes), and the medians of the first and the last quarter. ``DIR/soak.png`` shows
the curves. Linux only.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

COLUMNS = (
    "seconds", "process", "rss_mib", "anonymous_mib", "malloc_used_mib", "malloc_system_mib", "python_blocks", "descriptors",
    "threads", "temporary_files", "count",
)  # fmt: skip
MEMORY = ("rss_mib", "anonymous_mib", "malloc_used_mib", "malloc_system_mib", "python_blocks")
HANDLES = ("descriptors", "threads", "temporary_files")
SAMPLE_S, GAUGE_S, BLOCK_S = 30.0, 10.0, 300.0
WARM_UP = 1 / 6
"""Share of the time at the start that is not judged: caches fill."""
CYCLES, LIVE = "cycles", "live"
MOST_POINTS = 150
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") / 1024
GAUGE = "GEOPOINTSEG_SOAK_GAUGE"


class Allocation(ctypes.Structure):
    """``struct mallinfo2`` of glibc."""

    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]  # fmt: skip


def read_allocation() -> tuple[float, float]:
    """Return MiB that malloc has handed out, and has taken from the system; NaN without glibc 2.33."""
    try:
        mallinfo = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return float("nan"), float("nan")
    mallinfo.restype = Allocation
    found = mallinfo()
    return (found.uordblks + found.hblkhd) / 2**20, (found.arena + found.hblkhd) / 2**20


def start_gauge(path: Path) -> None:
    """Start a thread that writes what only the process itself knows into a file."""

    def write() -> None:
        while True:
            used, system = read_allocation()
            row = {
                "malloc_used_mib": used,
                "malloc_system_mib": system,
                "python_blocks": sys.getallocatedblocks(),
            }
            path.with_suffix(".new").write_text(json.dumps(row))
            path.with_suffix(".new").replace(path)
            time.sleep(GAUGE_S)

    threading.Thread(target=write, daemon=True).start()


def write_gauge_module(folder: Path) -> None:
    """Write a ``sitecustomize`` that starts the gauge in every process that is told where to write."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(
        "import os, sys\nfrom pathlib import Path\n"
        f"if os.environ.get({GAUGE!r}):\n"
        f"    sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"    from soak import start_gauge\n    start_gauge(Path(os.environ.pop({GAUGE!r})))\n"
    )


@dataclass
class Watched:
    """A process that is sampled.

    Parameters
    ----------
    name
        ``cycles`` or ``live``.
    pid
        Its number.
    temporary
        Its folder for temporary files.
    gauge
        The file that its gauge writes.
    """

    name: str
    pid: int
    temporary: Path
    gauge: Path
    count: int = 0

    def sample(self, started_s: float) -> dict[str, Any]:
        """Return one row of the table."""
        proc = Path(f"/proc/{self.pid}")
        memory = dict(
            line.split(":")[:2] for line in (proc / "smaps_rollup").read_text().splitlines()[1:]
        )
        row = {
            "seconds": round(time.monotonic() - started_s, 1),
            "process": self.name,
            "rss_mib": int(memory["Rss"].split()[0]) / 1024,
            "anonymous_mib": int(memory["Anonymous"].split()[0]) / 1024,
            "descriptors": sum(1 for _ in (proc / "fd").iterdir()),
            "threads": sum(1 for _ in (proc / "task").iterdir()),
            "temporary_files": sum(len(names) for _, _, names in os.walk(self.temporary)),
            "count": self.count,
        }
        if self.gauge.exists():
            row |= json.loads(self.gauge.read_text())
        return row

    def cpu_s(self) -> float:
        """Return the seconds of CPU that the process has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run_cycles(folder: Path, share: float) -> None:
    """Train, predict and assess until the process is ended; each completed cycle is one line on stdout."""
    import geopointseg as gps
    from geopointseg.lab.synthetic_landscape import draw_points, write_scene

    landscape = gps.make_landscape(288, 320, seed=1)
    scene = folder / "scene.tif"
    write_scene(landscape, str(scene))
    points, test = draw_points(landscape, 12, seed=1), draw_points(landscape, 20, seed=2)
    gps.write_points(test, folder / "test.gpkg")
    kinds = [("linear", {}), ("forest", {}), ("network", {"steps": 6}), ("auto", {"steps": 6})]
    for number in range(10**9):
        before = time.process_time()
        kind, options = kinds[number % len(kinds)]
        model = gps.train(
            [scene],
            points,
            output=folder / "model",
            model=kind,
            seed=number,
            weights="none",
            **options,
        )
        gps.predict(
            model, scene, folder / "map.tif", uncertainty=folder / "u.tif", cog=number % 2 == 0
        )
        gps.assess(folder / "map.tif", gps.read_points(folder / "test.gpkg"), sampling="simple")
        print(number + 1, flush=True)
        time.sleep((time.process_time() - before) * (1 / share - 1))


@dataclass
class RandomUser:
    """A user of a live session who clicks, removes, moves and looks at random.

    Parameters
    ----------
    bench
        Session and mosaic, a `geopointseg.live.live_benchmark.LiveBenchmark`.
    seed
        Of the choices.
    """

    bench: Any
    seed: int = 0
    _chance: random.Random = field(init=False)
    _points: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def act(self) -> None:
        """Send one request and wait for its answer."""
        actions = [
            (self._add, 6),
            (self._remove, 2),
            (self._view, 6),
            (self._move, 1),
            (self._ask, 1),
            (self._replace, 0.3),
        ]
        action = self._chance.choices([a for a, _ in actions], [w for _, w in actions])[0]
        action()

    def _place(self) -> dict[str, Any]:
        side = self.bench.client.start["width"]
        place: dict[str, Any] = self.bench.place(
            self._chance.randrange(side), self._chance.randrange(side)
        )
        return place

    def _add(self) -> None:
        answer = self.bench.client.ask("add", **self._place())
        if answer["ok"]:
            self._points.append(answer["point"])
        while len(self._points) > MOST_POINTS:
            self._remove()

    def _remove(self) -> None:
        if self._points:
            point = self._points.pop(self._chance.randrange(len(self._points)))
            self._require(self.bench.client.ask("remove", point=point))

    def _move(self) -> None:
        if self._points:
            place = self._place()
            del place["class"]
            self.bench.client.ask("move", point=self._chance.choice(self._points), **place)

    def _view(self) -> None:
        side = self.bench.client.start["width"]
        row, col = self._chance.randrange(side // 2), self._chance.randrange(side // 2)
        bounds = self.bench.bounds(row, col, self._chance.choice([0.3, 0.5, 1.0, 2.0]))
        confidence = self._chance.random() < 0.3
        self._require(
            self.bench.client.ask(
                "view", bounds=bounds, width=512, height=352, confidence=confidence
            )
        )

    def _ask(self) -> None:
        self.bench.client.ask(self._chance.choice(["next", "accuracy", "state"]))

    def _replace(self) -> None:
        rows = self.bench.client.ask("state")["points"]
        self._require(self.bench.client.ask("points", points=rows))

    @staticmethod
    def _require(answer: dict[str, Any]) -> None:
        if not answer["ok"]:
            raise RuntimeError(answer["error"])


@dataclass
class Soak:
    """Both processes and their table.

    Parameters
    ----------
    folder
        Of everything that is written.
    hours
        How long.
    share
        Share of one core that both processes may take together.
    """

    folder: Path
    hours: float
    share: float

    def run(self) -> None:
        """Run both processes and write the table."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_gauge_module(self.folder / "gauge")
        with (self.folder / "soak.csv").open("w", newline="") as target:
            self._table = csv.DictWriter(target, COLUMNS, restval="")
            self._table.writeheader()
            worker = self._start_cycles()
            try:
                self._run_live(worker, target)
            finally:
                worker.terminate()
                worker.wait()

    def _environment(self, name: str) -> dict[str, str]:
        temporary = self.folder / f"tmp-{name}"
        temporary.mkdir(exist_ok=True)
        return {
            "TMPDIR": str(temporary),
            GAUGE: str(self.folder / f"gauge-{name}.json"),
            "PYTHONPATH": os.pathsep.join(
                filter(None, (str(self.folder / "gauge"), os.environ.get("PYTHONPATH")))
            ),
        }

    def _watched(self, name: str, pid: int) -> Watched:
        return Watched(name, pid, self.folder / f"tmp-{name}", self.folder / f"gauge-{name}.json")

    def _start_cycles(self) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            __file__,
            "--folder",
            str(self.folder),
            "--share",
            str(self.share * 0.6),
            "--role",
            CYCLES,
        ]
        environment = os.environ | self._environment(CYCLES)
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)

    def _run_live(self, worker: subprocess.Popen[str], target: Any) -> None:
        from geopointseg.live.client import LiveClient
        from geopointseg.live.live_benchmark import LiveBenchmark, generate_mosaic

        mosaic = generate_mosaic(self.folder / "mosaic.tif", 1536)
        os.environ.update(self._environment(LIVE))
        with LiveClient(["--raster", str(mosaic.path)]) as client:
            cycles, live = (
                self._watched(CYCLES, worker.pid),
                self._watched(LIVE, client.process.pid),
            )
            threading.Thread(target=_count_lines, args=(worker, cycles), daemon=True).start()
            user = RandomUser(LiveBenchmark(client, mosaic))
            for started_s in self._times():
                if worker.poll() is not None:
                    raise RuntimeError(
                        f"The process of the cycles ended with exit code {worker.returncode}."
                    )
                self._table.writerows([cycles.sample(started_s), live.sample(started_s)])
                target.flush()
                self._click_until(started_s, user, live)

    def _times(self) -> Iterator[float]:
        """Yield the start of the run once for each sample."""
        started_s = time.monotonic()
        while time.monotonic() - started_s < self.hours * 3600:
            yield started_s

    def _click_until(self, started_s: float, user: RandomUser, live: Watched) -> None:
        """Act until the next sample is due."""
        due = (int((time.monotonic() - started_s) / SAMPLE_S) + 1) * SAMPLE_S + started_s
        while time.monotonic() < due:
            before = live.cpu_s()
            user.act()
            live.count += 1
            time.sleep(0.2 + (live.cpu_s() - before) * (1 / (self.share * 0.4) - 1))


def _count_lines(worker: subprocess.Popen[str], watched: Watched) -> None:
    assert worker.stdout is not None
    for line in worker.stdout:
        watched.count = int(line)


@dataclass(frozen=True)
class Trend:
    """How a column went after the warm-up.

    Parameters
    ----------
    slope, error
        Change per hour and its standard error.
    first, last
        Medians of the first and the last quarter.
    """

    slope: float
    error: float
    first: float
    last: float


def fit_trend(seconds: np.ndarray, values: np.ndarray) -> Trend:
    """Fit a line to the means of five minutes after the warm-up.

    Parameters
    ----------
    seconds, values
        The samples, float64 ``(sample,)``.
    """
    kept = (seconds >= seconds.max() * WARM_UP) & np.isfinite(values)
    seconds, values = seconds[kept], values[kept]
    block = (seconds // BLOCK_S).astype(int)
    names = np.unique(block)
    hours = np.array([seconds[block == name].mean() for name in names]) / 3600
    means = np.array([values[block == name].mean() for name in names])
    quarters = np.array_split(values, 4)
    first, last = float(np.median(quarters[0])), float(np.median(quarters[-1]))
    if len(names) < 3:
        return Trend(float("nan"), float("nan"), first, last)
    centred = hours - hours.mean()
    slope = float(centred @ means / (centred @ centred))
    rest = means - means.mean() - slope * centred
    error = float(np.sqrt(rest @ rest / (len(names) - 2) / (centred @ centred)))
    return Trend(slope, error, first, last)


def read_table(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Return the columns of each process."""
    with path.open(newline="") as source:
        rows = list(csv.DictReader(source))
    numbers = [name for name in COLUMNS if name != "process"]
    return {
        process: {
            name: np.array([float(r[name] or "nan") for r in rows if r["process"] == process])
            for name in numbers
        }
        for process in (CYCLES, LIVE)
    }


def judge(folder: Path) -> dict[str, dict[str, Trend]]:
    """Print the judgement and draw the curves."""
    table = read_table(folder / "soak.csv")
    found: dict[str, dict[str, Trend]] = {}
    for process, columns in table.items():
        seconds = columns["seconds"]
        print(f"{process}: {columns['count'][-1]:.0f} completed in {seconds[-1] / 3600:.2f} h")
        found[process] = {name: fit_trend(seconds, columns[name]) for name in (*MEMORY, *HANDLES)}
        for name, trend in found[process].items():
            steep = trend.slope > 2 * trend.error and trend.last > 1.02 * trend.first
            print(
                f"  {name:18} {trend.slope:+10.2f} +- {trend.error:8.2f} per hour; quarters {trend.first:12.1f} -> {trend.last:12.1f}"
                f"  {'GROWS' if steep else 'does not grow'}"
            )
    _draw(folder, table)
    return found


def _draw(folder: Path, table: dict[str, dict[str, np.ndarray]]) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    shown = ("rss_mib", "malloc_used_mib", "descriptors", "threads", "temporary_files")
    figure = Figure(figsize=(9, 11), layout="constrained")
    for axes, name in zip(figure.subplots(len(shown), sharex=True), shown, strict=True):
        for process, columns in table.items():
            axes.plot(columns["seconds"] / 60, columns[name], label=process, linewidth=1)
        axes.set_ylabel(name)
        axes.set_ylim(bottom=0)
        axes.legend(loc="lower right")
    axes.set_xlabel("minutes")
    figure.savefig(folder / "soak.png", dpi=100)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the soak."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.33)
    parser.add_argument("--judge", action="store_true", help="judge a table that exists")
    parser.add_argument("--role", choices=[CYCLES], help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    folder = chosen.folder.resolve()
    if chosen.role == CYCLES:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        run_cycles(folder, chosen.share)
        return
    if not chosen.judge:
        Soak(folder, chosen.hours, chosen.share).run()
    judge(folder)


if __name__ == "__main__":
    main()
