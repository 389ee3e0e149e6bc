"""Which backend runs the networks of a job, and what is told of it."""

from __future__ import annotations

import itertools

from geopointseg.model.bundle import NetworkMember
from geopointseg.prediction.backend import choose_backend, require_backend
from geopointseg.prediction.prediction_job import Job
from geopointseg.prediction.tile_pipeline import Batch, Plan, TileReader
from geopointseg.prediction.work_folder import WorkFolder
from geopointseg.progress import Reporter

NO_BACKEND = "none"
"""What is told of models without networks, which no backend runs."""

_TILES_TO_TRY = 50
"""Tiles looked at for windows to measure backends with."""


def require_asked_backend(job: Job, reporter: Reporter) -> None:
    """Raise `MissingDependencyError` if the backend that was asked for is lacking and would run a network.

    Backends other than PyTorch run networks on processors. For models without networks, and for networks on a GPU, none
    is needed, and the log says which backend the request does not change.
    """
    asked = job.settings.backend
    if asked in ("auto", "torch"):
        return
    places = _places(job)
    if "cpu" in places:
        require_backend(asked)
    if places - {"cpu"}:
        reporter.log(f"Backend: torch, because networks on a GPU do not run in {asked}.")
    elif not places:
        reporter.log(f"Backend: none, because the model has no network that {asked} could run.")


def decide_backend(job: Job, work: WorkFolder, reporter: Reporter) -> str:
    """Return the backend that was asked for, that of an earlier run, or the fastest one.

    Parameters
    ----------
    job
        What is predicted.
    work
        Keeps the choice, so that a resumed run follows it.
    reporter
        Told of the choice and its reason.
    """
    asked = job.settings.backend
    if "cpu" not in _places(job):
        return "torch"
    if asked != "auto":
        return asked
    if chosen := work.note("backend"):
        return chosen
    sample = _sample_windows(job.plan)
    chosen = "torch"
    if sample is not None:
        windows = job.plan.lattice.window_count
        chosen = choose_backend(job.loaded, sample.image, sample.valid, windows, reporter)
    work.write_note("backend", chosen)
    return chosen


def name_backend(job: Job) -> str:
    """Return what runs the networks of a job whose backend is decided, one name for each kind of device."""
    names = {job.backend if place == "cpu" else "torch" for place in _places(job)}
    return ", ".join(sorted(names)) or NO_BACKEND


def _places(job: Job) -> set[str]:
    """Return the kinds of device that networks are on; empty where there is none."""
    members = [member for bundle in job.loaded for member in bundle.members]
    return {m.device.type for m in members if isinstance(m, NetworkMember)}


def _sample_windows(plan: Plan) -> Batch | None:
    """Return a few windows that hold an image, from the middle of the raster if there are any."""
    tiles = plan.lattice.tiles
    middle = len(tiles) // 2
    for tile in itertools.islice(itertools.chain(tiles[middle:], tiles[:middle]), _TILES_TO_TRY):
        batch = next(TileReader(plan).batches(tile), None)
        if batch is not None:
            return batch
    return None
