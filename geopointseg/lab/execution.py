"""Execution of the runs of a study: resumable, optionally in several processes."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from pathlib import Path

from geopointseg.errors import Cancelled
from geopointseg.lab.comparison import RunScore
from geopointseg.lab.study_plan import StudyPlan, StudyRun
from geopointseg.progress import Flag, Reporter
from geopointseg.raster.publishing import whole_file

POLL_S = 0.2
"""Seconds between two checks of running processes and of cancellation."""
_WORKER_REPORTER = Reporter()
"""Reporter of a worker process: cancelled together with the study."""


Waiting = Sequence[tuple[int, StudyRun]]
Keep = Callable[[int, RunScore], None]
"""Receives the number of a run and its score."""


def do_runs(
    plan: StudyPlan, runs: Sequence[StudyRun], folder: Path, jobs: int, device: str, reporter: Reporter
) -> list[RunScore]:  # fmt: skip
    """Execute the runs that have no result in a folder yet, and return the scores of all runs.

    Parameters
    ----------
    plan
        The study.
    runs
        Its runs.
    folder
        Folder of the results.
    jobs
        Number of processes.
    device
        ``auto``, ``cpu`` or ``cuda``.
    reporter
        Receives progress.

    Returns
    -------
    list of RunScore
        One for each run, in the order of the runs.

    Raises
    ------
    Cancelled
        If cancellation was requested: running trainings end at their next step, and finished results stay.
    """
    scores: dict[int, RunScore] = {}

    def keep(number: int, score: RunScore) -> None:
        scores[number] = score
        _write_score(folder / f"{runs[number].key}.json", score)

    with reporter.stage("study", total=len(runs)) as advance:

        def tell(number: int) -> None:
            failure = scores[number].failure
            outcome = f"failed: {failure}" if failure else f"mean F1 {scores[number].mean_f1:.3f}"
            advance(1, f"{runs[number].label}: {outcome}")

        waiting = []
        for number, run in enumerate(runs):
            known = _read_score(folder / f"{run.key}.json", run)
            if known is None:
                waiting.append((number, run))
            else:
                scores[number] = known
                advance(1, f"{run.label}: done before")
        if jobs > 1:
            _do_in_processes(plan, waiting, folder, jobs, device, reporter, keep, tell)
        else:
            for number, run in waiting:
                keep(number, _attempt(plan, run, folder, device, reporter.silent()))
                tell(number)
    return [scores[number] for number in range(len(runs))]


def _do_in_processes(
    plan: StudyPlan, waiting: Waiting, folder: Path, jobs: int, device: str, reporter: Reporter, keep: Keep,
    tell: Callable[[int], None],
) -> None:  # fmt: skip
    context = get_context("spawn")
    cancelled = context.Event()
    with ProcessPoolExecutor(
        jobs, mp_context=context, initializer=_begin_worker, initargs=(cancelled,)
    ) as pool:
        left: dict[Future[RunScore], int] = {
            pool.submit(_attempt_in_worker, plan, run, folder, device): number
            for number, run in waiting
        }
        try:
            while left:
                reporter.check_cancelled()
                for future in wait(left, POLL_S, FIRST_COMPLETED).done:
                    number = left.pop(future)
                    keep(number, _result_of(future, reporter))
                    tell(number)
        except BaseException:
            cancelled.set()
            pool.shutdown(cancel_futures=True)
            for future, number in left.items():
                if not future.cancelled() and future.exception() is None:
                    keep(number, future.result())
            raise


def _result_of(future: Future[RunScore], reporter: Reporter) -> RunScore:
    try:
        return future.result()
    except BrokenProcessPool:
        reporter.check_cancelled()  # the signal that ended the process was sent to the study
        raise


def _begin_worker(cancelled: Flag) -> None:
    """Ignore signals in a worker, because a terminal sends them to all processes; the study decides on cancellation."""
    global _WORKER_REPORTER  # noqa: PLW0603 - state of the worker process
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_study, daemon=True).start()
    _WORKER_REPORTER = Reporter(cancelled=cancelled)


def _end_with_the_study() -> None:
    """End this process when the process of the study has ended."""
    study = parent_process()
    if study is not None:
        connection.wait([study.sentinel])
        os._exit(1)


def _attempt_in_worker(plan: StudyPlan, run: StudyRun, folder: Path, device: str) -> RunScore:
    _WORKER_REPORTER.check_cancelled()
    return _attempt(plan, run, folder, device, _WORKER_REPORTER)


def _attempt(
    plan: StudyPlan, run: StudyRun, folder: Path, device: str, reporter: Reporter
) -> RunScore:
    """Execute one run; a failure becomes part of the result. Models are removed afterwards."""
    from geopointseg.lab.experiment import keep_results, run_experiment

    work_folder = folder / f"{run.key}.work"
    shutil.rmtree(work_folder, ignore_errors=True)
    work_folder.mkdir(parents=True)
    try:
        data = plan.data_named(run.data)
        score = run_experiment(run, data, work_folder, device=device, reporter=reporter)
        keep_results(work_folder, folder / run.key, maps=run.seed == plan.seeds[0])
    except Cancelled:
        raise
    except Exception as error:  # noqa: BLE001 - a failed run does not end the study
        return RunScore(run.data, run.levels, run.seed, failure=f"{type(error).__name__}: {error}")
    else:
        return score
    finally:
        shutil.rmtree(work_folder, ignore_errors=True)


def _read_score(path: Path, run: StudyRun) -> RunScore | None:
    """Return the score of an earlier execution of a run, with the names of the levels in this study."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        score = RunScore(**kept)
    except (OSError, ValueError, TypeError):
        return None
    return None if score.failure else dataclasses.replace(score, levels=run.levels)


def _write_score(path: Path, score: RunScore) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(dataclasses.asdict(score), default=str), encoding="utf-8")
