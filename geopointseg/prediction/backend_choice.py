"""Choice of the backend that runs the networks of a job, and its name in the result."""

from __future__ import annotations

import itertools

from geopointseg.model.bundle import NetworkMember
from geopointseg.prediction.backend import choose_backend, require_backend
from geopointseg.prediction.prediction_job import PredictionJob
from geopointseg.prediction.tile_pipeline import Plan, TileReader, WindowBatch
from geopointseg.prediction.work_folder import WorkFolder
from geopointseg.progress import Reporter

NO_BACKEND = "none"
"""Name of the backend of models without networks."""

_TILES_TO_TRY = 50
"""Number of tiles that are searched for windows to measure backends with."""


def require_requested_backend(job: PredictionJob, reporter: Reporter) -> None:
    """Raise `MissingDependencyError` if the requested backend is not installed and would run a network.

    Backends other than PyTorch run networks on CPUs only. For models without networks, and for networks on a GPU, the
    requested backend is not used, and the log gives the reason.
    """
    requested = job.settings.backend
    if requested in ("auto", "torch"):
        return
    devices = _device_types(job)
    if "cpu" in devices:
        require_backend(requested)
    if devices - {"cpu"}:
        reporter.log(f"Backend: torch, because networks on a GPU do not run in {requested}.")
    elif not devices:
        reporter.log(f"Backend: none, because the model has no network that {requested} could run.")


def decide_backend(job: PredictionJob, work: WorkFolder, reporter: Reporter) -> str:
    """Return the requested backend, that of the run to resume, or the fastest one.

    Parameters
    ----------
    job
        The prediction.
    work
        Stores the choice for a resumed run.
    reporter
        Gets the choice and its reason.

    Returns
    -------
    str
        ``torch``, ``torch-bf16``, ``onnxruntime`` or ``openvino``.
    """
    requested = job.settings.backend
    if "cpu" not in _device_types(job):
        return "torch"
    if requested != "auto":
        return requested
    if chosen := work.decision("backend"):
        return chosen
    sample = _sample_windows(job.plan)
    chosen = "torch"
    if sample is not None:
        windows = job.plan.lattice.window_count
        chosen = choose_backend(job.loaded, sample.image, sample.valid, windows, reporter)
    work.write_decision("backend", chosen)
    return chosen


def name_backend(job: PredictionJob) -> str:
    """Return the names of the backends that run the networks of a job, one for each type of device."""
    names = {job.backend if device == "cpu" else "torch" for device in _device_types(job)}
    return ", ".join(sorted(names)) or NO_BACKEND


def _device_types(job: PredictionJob) -> set[str]:
    """Return the types of device of the networks; empty where there is no network."""
    members = [member for bundle in job.loaded for member in bundle.members]
    return {m.device.type for m in members if isinstance(m, NetworkMember)}


def _sample_windows(plan: Plan) -> WindowBatch | None:
    """Return some windows with an image, from the middle of the raster if possible; None if none is found."""
    tiles = plan.lattice.tiles
    middle = len(tiles) // 2
    for tile in itertools.islice(itertools.chain(tiles[middle:], tiles[:middle]), _TILES_TO_TRY):
        batch = next(TileReader(plan).batches(tile), None)
        if batch is not None:
            return batch
    return None
