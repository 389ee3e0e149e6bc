"""Distributed prediction: Dask distributes the tiles, and the work folder holds the finished ones.

Workers write finished tiles to the work folder beside the output, which all machines must mount under the same path. Only
the positions of tiles pass through the scheduler. A tile is a pure function of the job and appears only when complete. So
it can be computed twice, by any worker, with the same result. If a worker dies, only its current tile is computed again.
The output files are byte-identical to those of a single process.
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
from geopointseg.prediction.prediction_job import PredictionJob
from geopointseg.prediction.tile_files import write_arrays
from geopointseg.prediction.tile_pipeline import GDAL_CACHE_BYTES, compute_tiles
from geopointseg.prediction.tile_status import TileProgress, TileStatus
from geopointseg.prediction.tiling import Tile
from geopointseg.prediction.work_folder import WorkFolder
from geopointseg.progress import Reporter

TASKS_PER_THREAD = 3
"""Number of submitted tasks per worker thread: one runs, the others wait on the worker."""

RETRIES = 3
"""Number of retries of a tile whose worker died or ran out of memory."""

WORKER_TIMEOUT_S = 60.0
"""Time limit for the first worker, in seconds."""


def require_dask(address: str) -> None:
    """Raise if Dask is not installed or an address is malformed, without a connection.

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
    """Connect to a scheduler, and check that its workers can access a folder.

    Raises
    ------
    ConfigError
        If no scheduler answers at the address, or it has no workers.
    OutputError
        If a worker cannot access the folder.
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
        If the address is malformed or no scheduler answers.
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
        client = distributed.Client(address, timeout=WORKER_TIMEOUT_S)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"No Dask scheduler answers at '{address}' ({error}). Expected an address like tcp://host:8786; start "
            "one with 'dask scheduler' and workers with 'dask worker ADDRESS'."
        ) from error
    with client:
        yield client


def _lacking_dask() -> MissingDependencyError:
    return MissingDependencyError(
        "Dask is not installed, so tiles cannot be distributed. Expected the packages dask and "
        "distributed; install them with: pip install 'geopointseg[dask]'"
    )


def _wait_for_workers(client: Any, folder: Path) -> None:
    try:
        client.wait_for_workers(1, timeout=WORKER_TIMEOUT_S)
    except TimeoutError as error:
        raise ConfigError(
            f"The Dask scheduler '{client.scheduler.address}' has no workers. Expected at least one within "
            f"{WORKER_TIMEOUT_S:.0f} seconds; start some with 'dask worker ADDRESS'."
        ) from error
    found = client.run(os.path.isdir, str(folder))
    without = [worker for worker, exists in found.items() if not exists]
    if without:
        raise OutputError(
            f"The worker {without[0]} cannot access the folder '{folder}'. All workers write finished tiles "
            "there; choose an output on a file system that all machines mount under one path."
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
    """One task: to compute a tile, or to finish an output tile."""

    kind: Literal["compute", "finish"]
    tile: Tile


class DaskRun:
    """Distributes the tiles of a map to the workers of a cluster.

    The number of submitted tasks is limited. So the scheduler holds few tasks, whatever the size of the map, and a
    cancelled run ends soon.

    Parameters
    ----------
    client
        A connected Dask client.
    job
        The prediction; all workers must have access to the folders of its models.
    work
        The work folder; all workers must have access to it under this path; see `open_workers`.
    """

    def __init__(self, client: Any, job: PredictionJob, work: WorkFolder) -> None:
        self._client = client
        self._job = job
        self._work = work
        self._key = uuid.uuid4().hex
        self._running: dict[Any, Task] = {}
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def run(self, status: TileStatus, progress: TileProgress, reporter: Reporter) -> int:
        """Compute all missing tiles.

        Parameters
        ----------
        status
            Which tiles are missing.
        progress
            Updated after every tile.
        reporter
            Receives progress; may cancel.

        Returns
        -------
        int
            Number of undeclared NaN pixels.

        Raises
        ------
        OutputError
            If a tile fails on several workers.
        """
        undeclared = 0
        tasks = TaskQueue(status)
        try:
            self._submit(tasks)
            while self._running:
                for task, outcome in self._next_outcomes(reporter):
                    undeclared += outcome
                    tasks.complete(task)
                    if task.kind == "compute":
                        progress.tile_done(task.tile)
                self._submit(tasks)
        finally:
            self._client.cancel(list(self._running))
        return undeclared

    def _submit(self, tasks: TaskQueue) -> None:
        threads = sum(self._client.nthreads().values())
        while len(self._running) < TASKS_PER_THREAD * max(threads, 1):
            task = tasks.next()
            if task is None:
                return
            future = self._client.submit(
                run_task,
                self._key,
                self._job,
                self._work,
                task,
                pure=False,
                retries=RETRIES,
                priority=1 if task.kind == "finish" else 0,
            )
            self._running[future] = task
            future.add_done_callback(self._done.put)

    def _next_outcomes(self, reporter: Reporter) -> list[tuple[Task, int]]:
        """Wait for tasks to end; check five times per second whether the run is cancelled."""
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
                "enough memory and the same version of geopointseg; read their logs, and run again with `resume=True`."
            ) from error
        for outcome in outcomes:
            if isinstance(outcome, GeopointsegError):
                raise outcome
        return list(zip(tasks, outcomes, strict=True))


class TaskQueue:
    """The next tasks of a run: output tiles that can be finished first, then missing tiles.

    Parameters
    ----------
    status
        The tiles of the run.
    """

    def __init__(self, status: TileStatus) -> None:
        self._status = status
        self._missing = iter(status.missing)
        self._ready = deque(status.ready)

    def next(self) -> Task | None:
        """Return the next task; None while no task can be started."""
        if self._ready:
            return Task("finish", self._ready.popleft())
        tile = next(self._missing, None)
        return None if tile is None else Task("compute", tile)

    def complete(self, task: Task) -> None:
        """Record that a task is done."""
        if task.kind == "finish":
            self._status.output_done(task.tile)
        else:
            self._ready.extend(self._status.part_done(task.tile))


_lock = threading.Lock()
_jobs: dict[str, PredictionJob] = {}


def run_task(key: str, job: PredictionJob, work: WorkFolder, task: Task) -> int | GeopointsegError:
    """Run one task in a worker, and write the result to the work folder.

    The models are loaded once per worker.

    Parameters
    ----------
    key
        Identifies the run, so that a worker keeps the models of one run.
    job
        The prediction.
    work
        The work folder.
    task
        Which tile to compute or to finish.

    Returns
    -------
    int or GeopointsegError
        The number of undeclared NaN pixels; or an error that a retry would not change, which is returned so that Dask does
        not retry.
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
