"""Prediction of class maps from models and imagery."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from geopointseg.assessment.map_origin import FOLDER_TAG, describe_folders
from geopointseg.config import Config
from geopointseg.errors import ConfigError, OutputError
from geopointseg.legend import Legend
from geopointseg.model.allocator import return_freed_memory
from geopointseg.model.bundle import Member, ModelBundle, NetworkMember, resolve_device
from geopointseg.model.ensemble import combine_models
from geopointseg.model.inference import Ensemble, WeightedModel
from geopointseg.model.test_time_augmentation import Augmentation
from geopointseg.prediction.backend_choice import (
    decide_backend,
    name_backend,
    require_requested_backend,
)
from geopointseg.prediction.distributed import DaskRun, open_workers, require_dask
from geopointseg.prediction.mosaic import AreaOfInterest, Mosaic
from geopointseg.prediction.output_tiles import StoredTiles, output_tiles
from geopointseg.prediction.prediction_job import (
    PredictionJob,
    check_area,
    lay_windows,
    load_models,
    open_imagery,
    resolve_batch_size,
)
from geopointseg.prediction.prediction_result import Prediction
from geopointseg.prediction.product import (
    CLASSES,
    PROBABILITIES,
    UNCERTAINTY,
    Arrays,
    Products,
)
from geopointseg.prediction.tile_files import ArrayFile
from geopointseg.prediction.tile_pipeline import (
    GDAL_CACHE_BYTES,
    Plan,
    cache_bytes,
    compute_tiles,
)
from geopointseg.prediction.tile_status import TileProgress, TileStatus
from geopointseg.prediction.tiling import SUMS_BYTES
from geopointseg.prediction.work_folder import WorkFolder, open_work_folder
from geopointseg.progress import Reporter
from geopointseg.raster.class_map import write_sidecars
from geopointseg.raster.cog import assemble_raster
from geopointseg.raster.publishing import (
    refuse_overwriting_inputs,
    require_ending,
    require_writable_folder,
    whole_file,
)
from geopointseg.raster.scene import HANDLES, Scene
from geopointseg.setting import as_list
from geopointseg.summary import described

Paths = str | os.PathLike[str]


Models = ModelBundle | Paths | Sequence[ModelBundle | Paths]
Imagery = Scene | Paths | Sequence[Scene | Paths]


def predict(
    models: Models,
    scenes: Imagery,
    output: Paths,
    *,
    probabilities: Paths | None = None,
    uncertainty: Paths | None = None,
    companion: Paths | None = None,
    aoi: Paths | None = None,
    min_area_px: int = 0,
    resume: bool = False,
    dask: str | None = None,
    cog: bool = True,
    device: str = "auto",
    reporter: Reporter | None = None,
    **settings: Any,
) -> Prediction:
    """Write a class map of imagery of any size, in one pass and with bounded memory.

    Each window is read once and processed once by each model, whatever the number of products. Finished tiles are kept
    beside the output until the map is complete, so that a stopped run can be resumed.

    Parameters
    ----------
    models
        A model, its folder, or several. The probabilities of several models are averaged; clearly worse models get less
        weight (see `weigh_models`).
    scenes
        A raster, or several that are mapped as one mosaic on the pixels of the first.
    output
        The class map, a GeoTIFF; ``.qml`` and ``.aux.xml`` come beside it.
    probabilities
        Output file of the probability of each class; None writes none.
    uncertainty
        Output file of confidence, entropy and margin (and disagreement of several members); None writes none.
    companion
        The embedding beside the imagery, for a model trained with [scene] companion; by default the one of the training.
    aoi
        Vector layer with polygons outside of which nothing is mapped.
    min_area_px
        Patches of fewer pixels are merged into their largest neighbour.
    resume
        Whether to finish an earlier run that was stopped; the result is byte-identical.
    dask
        Address of a Dask scheduler, or ``local:N`` for N workers on this machine.
    cog
        Whether to write cloud-optimized GeoTIFFs with overviews.
    device
        ``auto``, ``cpu`` or ``cuda``.
    reporter
        Gets progress; may cancel.
    **settings
        Any setting of the section [prediction], by name: ``window_px``, ``overlap_px``, ``batch_size``, ``tta``,
        ``blend``, ``backend``, ``encoding``. The default values are those of the (first) model's training.

    Returns
    -------
    Prediction
        Paths, speed, and pixels of each class.

    Raises
    ------
    InputFileError
        If a raster or model is missing or cannot be read; the message names the window.
    RasterError
        If the raster lacks the bands of the model.
    ModelError
        If the models' classes differ.
    ConfigError
        If a setting is unknown or out of range, the run to resume differs, or no Dask worker answers.
    MissingDependencyError
        If the requested backend, or Dask, is not installed.
    OutputError
        If the output cannot be written, or another run writes it.
    Cancelled
        If the reporter cancels the run; finished tiles are kept for ``resume``.
    """
    return plan_prediction(
        models, scenes, output, probabilities=probabilities, uncertainty=uncertainty, companion=companion,
        aoi=aoi, min_area_px=min_area_px, resume=resume, dask=dask, cog=cog, device=device, reporter=reporter, **settings,
    ).run()  # fmt: skip


def plan_prediction(
    models: Models,
    scenes: Imagery,
    output: Paths,
    *,
    probabilities: Paths | None = None,
    uncertainty: Paths | None = None,
    companion: Paths | None = None,
    aoi: Paths | None = None,
    min_area_px: int = 0,
    resume: bool = False,
    dask: str | None = None,
    cog: bool = True,
    device: str = "auto",
    reporter: Reporter | None = None,
    **settings: Any,
) -> PlannedPrediction:
    """Check models, imagery, options and outputs before anything is written.

    Parameters
    ----------
    models, scenes, output, probabilities, uncertainty, companion, aoi, min_area_px, resume, dask, cog, device, reporter, **settings
        As in `predict`.

    Returns
    -------
    PlannedPrediction
        Its ``run`` writes the map.

    Raises
    ------
    GeopointsegError
        As in `predict`.
    """
    started = time.monotonic()
    reporter = reporter or Reporter()
    outputs = {
        CLASSES: Path(output),
        PROBABILITIES: Path(probabilities) if probabilities else None,
        UNCERTAINTY: Path(uncertainty) if uncertainty else None,
    }
    _require_outputs(outputs)
    if min_area_px < 0:
        raise ConfigError(
            f"The smallest patch is {min_area_px} pixels. Expected 0, which keeps all patches, or a positive number."
        )
    with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES):
        job = _make_job(
            models, scenes, settings, device, aoi, reporter, companion=companion,
            probabilities=outputs[PROBABILITIES] is not None,
            uncertainty=outputs[UNCERTAINTY] is not None,
            min_area_px=min_area_px, cog=cog,
        )  # fmt: skip
        refuse_overwriting_inputs(filter(None, outputs.values()), job.plan.mosaic.files())
        require_requested_backend(job, reporter)
        if dask is not None:
            require_dask(dask)
        _log_weights(job, reporter)
        identity = job.identity()
        HANDLES.close()
    return PlannedPrediction(job, outputs, identity, resume, dask, started, reporter)


@described
@dataclass(frozen=True)
class PlannedPrediction:
    """A prediction whose inputs and outputs were checked.

    Parameters
    ----------
    job
        The prediction.
    outputs
        The file of each product; None where it is not written.
    identity
        Everything that the result depends on; see `PredictionJob.identity`.
    resume
        Whether to finish an earlier run.
    dask
        Address of the workers; None for this process.
    started
        Start of the planning, by the monotonic clock, in seconds.
    reporter
        Gets progress; may cancel.
    """

    job: PredictionJob
    outputs: Mapping[str, Path | None] = field(repr=False)
    identity: Mapping[str, Any] = field(repr=False)
    resume: bool
    dask: str | None
    started: float = field(repr=False)
    reporter: Reporter = field(repr=False)

    def run(self) -> Prediction:
        """Compute and write everything; see `predict`."""
        path = self.outputs[CLASSES]
        assert path is not None  # noqa: S101 - the class map is always written
        with rasterio.Env(GDAL_CACHEMAX=cache_bytes(self.job.plan)), ExitStack() as stack:
            client = None
            if self.dask is not None:
                client = stack.enter_context(open_workers(self.dask, path.absolute().parent))
            work = stack.enter_context(
                open_work_folder(path.absolute(), self.identity, resume=self.resume)
            )
            job = replace(
                self.job,
                backend=decide_backend(self.job, work, self.reporter),
                bundles=self.job.loaded,
            )
            work = work.of_job({**self.identity, "the backend": job.backend})
            counts, computed = _compute(job, work, client, self.reporter)
            _write_outputs(job, work, self.outputs, self.reporter)
        return_freed_memory()
        return _summary(job, self.outputs, counts, computed, time.monotonic() - self.started)


def _log_weights(job: PredictionJob, reporter: Reporter) -> None:
    """Log the weights of several models if they differ."""
    weights = [model.weight for model in job.plain.models]
    if len(set(weights)) > 1:
        named = ", ".join(
            f"'{bundle.folder.name}' {weight:.0%}"
            for bundle, weight in zip(job.loaded, weights, strict=True)
        )
        reporter.log(
            f"The models are weighted by their skill on points held out of training: {named}."
        )


def _at_least_one(value: Any) -> list[Any]:
    if not (found := as_list(value)):
        raise ConfigError("No model or no raster was given. Expected at least one of each.")
    return found


def _require_outputs(outputs: dict[str, Path | None]) -> None:
    paths = [path for path in outputs.values() if path is not None]
    for path in paths:
        require_ending(path, "GeoTIFF")
        require_writable_folder(path)
    if len({path.absolute() for path in paths}) < len(paths):
        raise OutputError(
            f"The output '{paths[0]}' was named for two products. Each product needs a file of its own; "
            "choose different names."
        )


def _make_job(
    models: Models,
    scenes: Imagery,
    settings: Mapping[str, Any],
    device: str,
    aoi: Paths | None,
    reporter: Reporter,
    *,
    companion: Paths | None,
    probabilities: bool,
    uncertainty: bool,
    min_area_px: int,
    cog: bool,
) -> PredictionJob:
    target = str(resolve_device(device))
    bundles = load_models(_at_least_one(models), target)
    opened = open_imagery(_at_least_one(scenes), bundles, reporter, companion)
    mosaic = Mosaic.of(opened, reporter)
    area = AreaOfInterest.read(aoi, mosaic.grid) if aoi is not None else None
    if area is not None:
        check_area(area, mosaic)
    return PredictionJob(
        tuple(str(bundle.folder.absolute()) for bundle in bundles),
        opened,
        bundles[0].config.updated({"prediction": settings}).prediction,
        probabilities=probabilities,
        uncertainty=uncertainty,
        aoi=area,
        min_area_px=min_area_px,
        cog=cog,
        device=target,
        sums_bytes=SUMS_BYTES,
        bundles=bundles,
    )


def _compute(
    job: PredictionJob, work: WorkFolder, client: Any, reporter: Reporter
) -> tuple[dict[str, int], int]:
    """Compute all tiles; return the number of pixels per class code, and the number of pixels that this run computed."""
    status = TileStatus(job.plan, work)
    computed = sum(job.plan.lattice.pixels(tile) for tile in status.missing)
    progress = TileProgress(job.plan, status, reporter)
    if client is None:
        undeclared = status.run(job.ensemble, progress)
    else:
        undeclared = DaskRun(client, job, work).run(status, progress, reporter)
    if undeclared:
        share = undeclared / max(job.plan.mosaic.grid.height * job.plan.mosaic.grid.width, 1)
        reporter.warn(
            f"{undeclared} pixels ({share:.1%}) are NaN, which the raster does not declare as nodata. They are "
            "treated as nodata; declare NaN as the nodata value to silence this."
        )
    counts: dict[str, int] = {}
    for tile in output_tiles(job.plan):
        for code, pixels in ArrayFile(work.output_tile(tile)).metadata.items():
            counts[code] = counts.get(code, 0) + int(pixels)
    return counts, computed


def _write_outputs(
    job: PredictionJob, work: WorkFolder, outputs: Mapping[str, Path | None], reporter: Reporter
) -> None:
    """Write the output files. The class map is last, so that its existence means a finished run."""
    layouts, legend = job.plan.layouts, job.plan.products.legend
    for name in reversed(list(layouts)):
        path = outputs[name]
        if path is None:
            continue
        layout = layouts[name]
        tags = {**layout.tags, FOLDER_TAG: describe_folders(job.models, path)}
        reporter.progress("write", 0.0, f"Writing {path.name}")
        with whole_file(path, mark="run") as temporary:
            assemble_raster(temporary, replace(layout, tags=tags), StoredTiles(work, name))
            if name == CLASSES:
                write_sidecars(temporary, legend)
            reporter.check_cancelled()
    reporter.progress("write", 1.0)


def _summary(
    job: PredictionJob,
    outputs: Mapping[str, Path | None],
    counts: dict[str, int],
    computed: int,
    seconds: float,
) -> Prediction:
    legend = job.loaded[0].legend
    by_class = {e.name: counts.get(str(e.code), 0) for e in legend.entries}
    path = outputs[CLASSES]
    assert path is not None  # noqa: S101 - the class map is always written
    return Prediction(
        path,
        outputs[PROBABILITIES],
        outputs[UNCERTAINTY],
        seconds,
        sum(by_class.values()),
        computed / max(seconds, 1e-9),
        by_class,
        name_backend(job),
    )


def predict_array(
    model: ModelBundle | Sequence[ModelBundle] | Sequence[Member],
    scene: Scene,
    *,
    reporter: Reporter | None = None,
    **settings: Any,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the probabilities of a scene that fits in memory, blended as in `predict`.

    Parameters
    ----------
    model
        A model, several models, or members of one model.
    scene
        The scene, with the bands of the models as `union_bands` returns them.
    reporter
        Gets progress; may cancel.
    **settings
        ``window_px``, ``overlap_px``, ``batch_size``, ``blend``, ``tta`` of the section [prediction].

    Returns
    -------
    probabilities : float32 ``(class, row, col)``
        Zero where invalid.
    valid : bool ``(row, col)``
        True where the scene has an image.
    """
    reporter = reporter or Reporter()
    chosen = Config().updated({"prediction": settings}).prediction
    ensemble = _as_ensemble(model, chosen.tta)
    lattice = lay_windows(scene.shape, ensemble, chosen, channels=1, sums_bytes=2**62)
    device = "cpu" if all(map(_is_on_cpu, ensemble.members)) else "cuda"
    batch_size = resolve_batch_size(chosen, device)
    plan = Plan(
        Mosaic.of([scene]), None, lattice, _BlendedProbabilities(Legend(())), {}, batch_size
    )
    kept: Arrays = {}
    with reporter.stage("predict", lattice.window_count) as advance:
        compute_tiles(
            plan,
            ensemble,
            [(0, 0)],
            lambda _, arrays: kept.update(arrays),
            lambda batch: advance(len(batch.windows) if batch else 0),
        )
    found = kept.get("sums", np.zeros((0, *scene.shape), dtype=np.float32))
    return found, found.any(axis=0)


class _BlendedProbabilities(Products):
    """The blended probabilities, without derived products."""

    def derive(self, sums: NDArray[np.float32]) -> Arrays:
        """Return a copy of the sums."""
        return {"sums": sums.copy()}


def _is_on_cpu(member: Member) -> bool:
    return not isinstance(member, NetworkMember) or member.device.type == "cpu"


def _as_ensemble(
    model: ModelBundle | Sequence[ModelBundle] | Sequence[Member], augmentation: Augmentation
) -> Ensemble:
    parts: list[Any] = [model] if isinstance(model, ModelBundle) else list(model)
    if all(isinstance(part, ModelBundle) for part in parts):
        return combine_models(parts, augmentation=augmentation)
    weight = 1.0 if len(parts) == 1 else 1.0 / sum(member.weight for member in parts)
    return Ensemble((WeightedModel(tuple(parts), weight=weight),), augmentation)
