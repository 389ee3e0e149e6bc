"""The same tiles on many machines: Dask hands them out, the work folder keeps what is done.

Workers write finished tiles to the work folder beside the output, which all machines must see under one path;
nothing but the names of tiles goes through the scheduler. A tile is a pure function of the job, written under a
temporary name and moved into place, so it may be computed twice, by anyone, without harm: a worker that dies
costs the tile it was at. The result is that of a single process, to the byte.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import queue
import threading
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import rasterio

from geopointseg.errors import ConfigError, GeopointsegError, MissingDependencyError, OutputError
from geopointseg.prediction.output_tiles import finish_tile
from geopointseg.prediction.prediction_job import Job
from geopointseg.prediction.tile_pipeline import GDAL_CACHE_BYTES, compute_tiles
from geopointseg.prediction.tile_status import Ledger, TileProgress
from geopointseg.prediction.tile_store import write_arrays
from geopointseg.prediction.tiling import Tile
from geopointseg.prediction.work_folder import WorkFolder
from geopointseg.progress import Reporter

TASKS_A_THREAD = 3
"""Tiles handed out a worker thread: one at work, the others at hand when it is done."""

ATTEMPTS = 3
"""How often a tile is tried again whose worker died or ran out of memory."""

PATIENCE_S = 60.0
"""How long to wait for a first worker."""


def require_dask(address: str) -> None:
    """Raise unless Dask is installed and an address is one, without connecting.

    Raises
    ------
    MissingDependencyError
        If Dask is not installed.
    ConfigError
        If the address is malformed.
    """
    if importlib.util.find_spec("distributed") is None:
        raise _lacking_dask()
    if address.startswith("local"):
        _local_workers(address)


@contextmanager
def open_workers(address: str, folder: Path) -> Iterator[Any]:
    """Connect to a scheduler with workers that see a folder.

    Raises
    ------
    ConfigError
        If nothing answers at the address, or there are no workers.
    OutputError
        If a worker does not see the folder.
    """
    with open_client(address) as client:
        _wait_for_workers(client, folder)
        yield client


@contextmanager
def open_client(address: str) -> Iterator[Any]:
    """Connect to a scheduler, or start workers on this machine.

    Parameters
    ----------
    address
        ``tcp://host:8786``, or ``local:4`` for four workers of one thread each here.

    Raises
    ------
    MissingDependencyError
        If Dask is not installed.
    ConfigError
        If the address is malformed or nothing answers there.
    """
    try:
        distributed: Any = importlib.import_module("dask.distributed")
    except ImportError as error:
        raise _lacking_dask() from error
    if address.startswith("local"):
        count = _local_workers(address)
        with (
            distributed.LocalCluster(
                n_workers=count, threads_per_worker=1, dashboard_address=None
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client
        return
    try:
        client = distributed.Client(address, timeout=PATIENCE_S)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"No Dask scheduler answers at '{address}' ({error}). Expected an address like tcp://host:8786; start "
            "one with 'dask scheduler' and workers with 'dask worker ADDRESS'."
        ) from error
    with client:
        yield client


def _lacking_dask() -> MissingDependencyError:
    return MissingDependencyError(
        "Dask is not installed, so there is nothing to hand tiles to. Expected the packages dask and "
        "distributed; install them with: pip install 'geopointseg[dask]'"
    )


def _wait_for_workers(client: Any, folder: Path) -> None:
    try:
        client.wait_for_workers(1, timeout=PATIENCE_S)
    except TimeoutError as error:
        raise ConfigError(
            f"The Dask scheduler '{client.scheduler.address}' has no workers. Expected at least one within "
            f"{PATIENCE_S:.0f} seconds; start some with 'dask worker ADDRESS'."
        ) from error
    seen = client.run(os.path.isdir, str(folder))
    blind = [worker for worker, sees in seen.items() if not sees]
    if blind:
        raise OutputError(
            f"The worker {blind[0]} does not see the folder '{folder}'. All workers write finished tiles "
            "there; put the output on a file system that all machines mount under one path."
        )


def _local_workers(address: str) -> int:
    _, _, number = address.partition(":")
    if not number.isdigit() or int(number) < 1:
        raise ConfigError(
            f"The Dask address is '{address}'. Expected local:N with a number of workers, such as local:4, or the "
            "address of a scheduler."
        )
    return int(number)


@dataclass(frozen=True)
class Task:
    """One piece of work: compute a tile, or finish a tile of the output."""

    kind: Literal["compute", "finish"]
    tile: Tile


class DaskRun:
    """Hands the tiles of a map to the workers of a cluster.

    Only as many are handed out at a time as the workers can have at hand, so that the scheduler holds a few tasks
    whatever the size of the map, and a cancelled run ends soon.

    Parameters
    ----------
    client
        A connected Dask client.
    job
        What is predicted; its models must lie in folders that all workers see.
    work
        The work folder, which all workers must see under this path; see `open_workers`.
    """

    def __init__(self, client: Any, job: Job, work: WorkFolder) -> None:
        self._client = client
        self._job = job
        self._work = work
        self._key = uuid.uuid4().hex
        self._running: dict[Any, Task] = {}
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def run(self, ledger: Ledger, progress: TileProgress, reporter: Reporter) -> int:
        """Compute all missing tiles; return the number of undeclared NaN met.

        Raises
        ------
        OutputError
            If a tile's workers die again and again.
        """
        undeclared = 0
        todo = Todo(ledger)
        try:
            self._hand_out(todo)
            while self._running:
                for task, outcome in self._next_outcomes(reporter):
                    undeclared += outcome
                    todo.note(task)
                    if task.kind == "compute":
                        progress.tile_done(task.tile)
                self._hand_out(todo)
        finally:
            self._client.cancel(list(self._running))
        return undeclared

    def _hand_out(self, todo: Todo) -> None:
        threads = sum(self._client.nthreads().values())
        while len(self._running) < TASKS_A_THREAD * max(threads, 1):
            task = todo.next()
            if task is None:
                return
            future = self._client.submit(
                run_task,
                self._key,
                self._job,
                self._work,
                task,
                pure=False,
                retries=ATTEMPTS,
                priority=1 if task.kind == "finish" else 0,
            )
            self._running[future] = task
            future.add_done_callback(self._done.put)

    def _next_outcomes(self, reporter: Reporter) -> list[tuple[Task, int]]:
        """Wait for tasks to end, looking every moment whether the run was cancelled."""
        futures: list[Any] = []
        while not futures:
            reporter.check_cancelled()
            with contextlib.suppress(queue.Empty):
                futures.append(self._done.get(timeout=0.2))
        while not self._done.empty():
            futures.append(self._done.get())
        tasks = [self._running.pop(future) for future in futures]
        try:
            outcomes = self._client.gather(futures)
        except Exception as error:
            if isinstance(error, GeopointsegError):
                raise
            raise OutputError(
                f"A tile could not be computed by any worker ({type(error).__name__}: {error}). Expected workers with "
                "enough memory and the same version of geopointseg; look at their logs, and run again with --resume."
            ) from error
        for outcome in outcomes:
            if isinstance(outcome, GeopointsegError):
                raise outcome
        return list(zip(tasks, outcomes, strict=True))


class Todo:
    """What is to be done next, as a run goes on.

    Parameters
    ----------
    ledger
        The account of the run.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._missing = iter(ledger.missing)
        self._ready = deque(ledger.ready)

    def next(self) -> Task | None:
        """Return the next task; None while nothing can be begun."""
        if self._ready:
            return Task("finish", self._ready.popleft())
        tile = next(self._missing, None)
        return None if tile is None else Task("compute", tile)

    def note(self, task: Task) -> None:
        """Note that a task is done."""
        if task.kind == "finish":
            self._ledger.output_done(task.tile)
        else:
            self._ready.extend(self._ledger.part_done(task.tile))


_lock = threading.Lock()
_jobs: dict[str, Job] = {}


def run_task(key: str, job: Job, work: WorkFolder, task: Task) -> int | GeopointsegError:
    """Do one piece of work in a worker, and write the result to the work folder.

    The models are loaded once a worker. What goes wrong for a reason that trying again does not change is returned,
    not raised, so that Dask does not try again.

    Returns
    -------
    int or GeopointsegError
        The number of undeclared NaN met.
    """
    with _lock:
        if key not in _jobs:
            _jobs.clear()
            _jobs[key] = job
            _ = job.plan, job.ensemble
        job = _jobs[key]
    try:
        with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES):
            if task.kind == "finish":
                finish_tile(job.plan, work, task.tile)
                return 0
            return compute_tiles(
                job.plan,
                job.ensemble,
                [task.tile],
                lambda tile, arrays: write_arrays(work.part(tile), arrays),
            )
    except GeopointsegError as error:
        return error
