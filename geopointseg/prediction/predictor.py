"""From models and imagery to a class map: the one verb that everybody calls."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from geopointseg.config import Config
from geopointseg.errors import ConfigError, OutputError
from geopointseg.legend import Legend
from geopointseg.model.bundle import Member, ModelBundle, NetworkMember, resolve_device
from geopointseg.model.ensemble import combine_models
from geopointseg.model.inference import Ensemble, WeightedModel, predict_patch
from geopointseg.model.test_time_augmentation import Augmentation
from geopointseg.prediction.backend import choose_backend, require_backend
from geopointseg.prediction.distributed import DaskRun, open_client
from geopointseg.prediction.finishing import StoredTiles, output_tiles
from geopointseg.prediction.imagery import Area, Mosaic
from geopointseg.prediction.job import (
    Job,
    check_area,
    load_models,
    open_imagery,
    resolve_batch_size,
    resolve_overlap,
    trusted_margin,
)
from geopointseg.prediction.journal import WorkFolder, open_journal
from geopointseg.prediction.ledger import Ledger, TileProgress
from geopointseg.prediction.pipeline import (
    GDAL_CACHE_BYTES,
    Batch,
    Plan,
    ReadAhead,
    TileReader,
    TileSums,
)
from geopointseg.prediction.product import CLASSES, PROBABILITIES, UNCERTAINTY, Products
from geopointseg.prediction.store import ArrayFile
from geopointseg.prediction.tiling import SUMS_BYTES, lay_lattice
from geopointseg.progress import Reporter
from geopointseg.raster.class_map import write_sidecars
from geopointseg.raster.cog import assemble
from geopointseg.raster.output import require_writable_folder, spare_inputs, whole_file
from geopointseg.raster.scene import HANDLES, Scene

_TILES_TO_TRY = 50
"""Tiles looked at for windows to measure backends with."""

Paths = str | os.PathLike[str]


@dataclass(frozen=True)
class Prediction:
    """A finished prediction.

    Parameters
    ----------
    path
        The class map.
    probabilities, uncertainty
        The other files, where they were wanted.
    seconds
        How long it took.
    pixels
        Mapped pixels, nodata aside.
    pixels_per_s
        Pixels of the raster a second.
    class_pixels
        Mapped pixels of each class, by name.
    backend
        What ran the networks.
    """

    path: Path
    probabilities: Path | None
    uncertainty: Path | None
    seconds: float
    pixels: int
    pixels_per_s: float
    class_pixels: dict[str, int] = field(default_factory=dict)
    backend: str = "torch"

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "path": str(self.path),
            "probabilities": str(self.probabilities) if self.probabilities else None,
            "uncertainty": str(self.uncertainty) if self.uncertainty else None,
            "seconds": round(self.seconds, 3),
            "pixels": self.pixels,
            "pixels_per_s": round(self.pixels_per_s, 1),
            "class_pixels": self.class_pixels,
            "backend": self.backend,
        }


Models = ModelBundle | Paths | Sequence[ModelBundle | Paths]
Imagery = Scene | Paths | Sequence[Scene | Paths]


def predict(
    models: Models,
    scenes: Imagery,
    output: Paths,
    *,
    probabilities: Paths | None = None,
    uncertainty: Paths | None = None,
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

    Each window is read once and goes through each model once, whatever the number of products. Finished tiles
    are kept beside the output until all is done, so that a run that was stopped can be resumed.

    Parameters
    ----------
    models
        A model, its folder, or several; probabilities of several are averaged, those of clearly worse models with
        less weight (see `weigh_models`).
    scenes
        A raster, or several that are mapped as one mosaic on the pixels of the first.
    output
        The class map, a GeoTIFF; ``.qml`` and ``.aux.xml`` come beside it.
    probabilities
        Where to write the probability of each class, if wanted.
    uncertainty
        Where to write confidence, entropy and margin (and disagreement of several members), if wanted.
    aoi
        Vector layer with polygons outside of which nothing is mapped.
    min_area_px
        Patches of fewer pixels are merged into their largest neighbour.
    resume
        Whether to finish an earlier run that was stopped; the result is the same to the byte.
    dask
        Address of a Dask scheduler, or ``local:N`` for N workers on this machine.
    cog
        Whether to write cloud-optimized GeoTIFFs with overviews.
    device
        ``auto``, ``cpu`` or ``cuda``.
    reporter
        Told of progress; may cancel.
    **settings
        Any setting of the section [prediction], by name: ``window_px``, ``overlap_px``, ``batch_size``, ``tta``,
        ``blend``, ``backend``, ``encoding``. Those not given are as the (first) model was trained with.

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
        If a setting is unknown or out of range, or the run to resume was another one.
    OutputError
        If the output cannot be written, or another run is writing it.
    Cancelled
        If the reporter was asked to cancel; finished tiles stay for ``resume``.
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
            models, scenes, settings, device, aoi, reporter,
            probabilities=outputs[PROBABILITIES] is not None,
            uncertainty=outputs[UNCERTAINTY] is not None,
            min_area_px=min_area_px, cog=cog,
        )  # fmt: skip
        spare_inputs(filter(None, outputs.values()), job.plan.mosaic.files())
        plan, identity = job.plan, job.identity()
        _log_weights(job, reporter)
        HANDLES.close()
        with open_journal(Path(output).absolute(), identity, resume=resume) as work:
            job = replace(job, backend=_decide_backend(job, work, reporter), bundles=job.loaded)
            counts = _compute(job, work, dask, reporter)
            _write_outputs(plan, work, outputs, reporter)
    return _summary(job, outputs, counts, time.monotonic() - started)


def _log_weights(job: Job, reporter: Reporter) -> None:
    """Log the weights of several models, where they differ."""
    weights = [model.weight for model in job.plain.models]
    if len(set(weights)) > 1:
        named = ", ".join(
            f"'{bundle.folder.name}' {weight:.0%}"
            for bundle, weight in zip(job.loaded, weights, strict=True)
        )
        reporter.log(
            f"The models are weighted by their skill on points held out of training: {named}."
        )


def _decide_backend(job: Job, work: WorkFolder, reporter: Reporter) -> str:
    """Return the backend that was asked for, that of an earlier run, or the fastest one."""
    asked = job.settings.backend
    networks = [m for m in job.plain.members if m.kind != "forest"]
    if asked != "auto" or not networks or job.device != "cpu":
        require_backend(asked)
        return "torch" if asked == "auto" else asked
    if chosen := work.note("backend"):
        return chosen
    sample = _sample_windows(job.plan)
    chosen = "torch"
    if sample is not None:
        windows = job.plan.lattice.window_count
        chosen = choose_backend(job.loaded, sample.image, sample.valid, windows, reporter)
    work.write_note("backend", chosen)
    return chosen


def _sample_windows(plan: Plan) -> Batch | None:
    """Return a few windows that hold an image, from the middle of the raster if there are any."""
    tiles = plan.lattice.tiles
    middle = len(tiles) // 2
    for tile in itertools.islice(itertools.chain(tiles[middle:], tiles[:middle]), _TILES_TO_TRY):
        batch = next(TileReader(plan).batches(tile), None)
        if batch is not None:
            return batch
    return None


def _as_list(value: Any) -> list[Any]:
    single = isinstance(value, (str, os.PathLike, ModelBundle, Scene))
    found = [value] if single else list(value)
    if not found:
        raise ConfigError("No model or no raster was named. Expected at least one of each.")
    return found


def _require_outputs(outputs: dict[str, Path | None]) -> None:
    paths = [path for path in outputs.values() if path is not None]
    for path in paths:
        require_writable_folder(path)
    if len({path.absolute() for path in paths}) < len(paths):
        raise OutputError(
            f"The output '{paths[0]}' was named for two products. Each product goes into a file of its own; "
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
    probabilities: bool,
    uncertainty: bool,
    min_area_px: int,
    cog: bool,
) -> Job:
    target = str(resolve_device(device))
    bundles = load_models(_as_list(models), target)
    opened = open_imagery(_as_list(scenes), bundles, reporter)
    mosaic = Mosaic.of(opened, reporter)
    area = Area.read(aoi, mosaic.grid.crs) if aoi is not None else None
    if area is not None:
        check_area(area, mosaic)
    return Job(
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


def _compute(job: Job, work: WorkFolder, dask: str | None, reporter: Reporter) -> dict[str, int]:
    """Compute all tiles; return the pixels of each code."""
    ledger = Ledger(job.plan, work)
    progress = TileProgress(job.plan, ledger, reporter)
    if dask is None:
        undeclared = ledger.run(job.ensemble, progress)
    else:
        with open_client(dask) as client:
            undeclared = DaskRun(client, job, work).run(ledger, progress, reporter)
    if undeclared:
        share = undeclared / max(job.plan.mosaic.grid.height * job.plan.mosaic.grid.width, 1)
        reporter.warn(
            f"{undeclared} pixels ({share:.1%}) are NaN, which the raster does not declare as nodata. They are "
            "taken as nodata; declare NaN as the nodata value to silence this."
        )
    counts: dict[str, int] = {}
    for tile in output_tiles(job.plan):
        for code, pixels in ArrayFile(work.output_tile(tile)).facts.items():
            counts[code] = counts.get(code, 0) + pixels
    return counts


def _write_outputs(
    plan: Plan, work: WorkFolder, outputs: dict[str, Path | None], reporter: Reporter
) -> None:
    """Put the files together; the class map comes last, so that it stands for a finished run."""
    for name in reversed(list(plan.layouts)):
        path = outputs[name]
        if path is None:
            continue
        reporter.progress("write", 0.0, f"Writing {path.name}")
        with whole_file(path, mark="run") as temporary:
            assemble(temporary, plan.layouts[name], StoredTiles(work, name))
            if name == CLASSES:
                write_sidecars(path, plan.products.legend)
            reporter.check_cancelled()
    reporter.progress("write", 1.0)


def _summary(
    job: Job,
    outputs: dict[str, Path | None],
    counts: dict[str, int],
    seconds: float,
) -> Prediction:
    legend = job.loaded[0].legend
    by_class = {e.name: counts.get(str(e.code), 0) for e in legend.entries}
    grid = job.plan.mosaic.grid
    path = outputs[CLASSES]
    assert path is not None  # noqa: S101 - the class map is always written
    return Prediction(
        path,
        outputs[PROBABILITIES],
        outputs[UNCERTAINTY],
        seconds,
        sum(by_class.values()),
        grid.height * grid.width / max(seconds, 1e-9),
        by_class,
        job.backend,
    )


def predict_array(
    model: ModelBundle | Sequence[ModelBundle] | Sequence[Member],
    scene: Scene,
    *,
    reporter: Reporter | None = None,
    **settings: Any,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the probabilities of a scene that fits in memory, blended like those of `predict`.

    Parameters
    ----------
    model
        A model, several, or members of one.
    scene
        The scene, with the bands of the models as `union_bands` returns them.
    reporter
        Told of progress; may cancel.
    **settings
        ``window_px``, ``overlap_px``, ``batch_size``, ``blend``, ``tta`` of the section [prediction].

    Returns
    -------
    probabilities : float32 ``(class, row, col)``
        Zero where invalid.
    valid : bool ``(row, col)``
        Where the scene holds an image.
    """
    reporter = reporter or Reporter()
    chosen = Config().updated({"prediction": settings}).prediction
    ensemble = _as_ensemble(model, chosen.tta)
    overlap = resolve_overlap(chosen, ensemble.margin_px)
    lattice = lay_lattice(
        scene.grid.shape,
        window_px=chosen.window_px,
        overlap_px=overlap,
        stride=ensemble.stride,
        channels=1,
        blend=chosen.blend,
        margin_px=trusted_margin(ensemble.margin_px, overlap),
        sums_bytes=2**62,
    )
    batch_size = resolve_batch_size(
        chosen, "cpu" if all(map(_is_on_cpu, ensemble.members)) else "cuda"
    )
    plan = Plan(Mosaic.of([scene]), None, lattice, Products(Legend(())), {}, batch_size)
    return _blend_all(plan, ensemble, reporter)


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


def _blend_all(
    plan: Plan, ensemble: Ensemble, reporter: Reporter
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Blend all windows of a raster in memory."""
    height, width = plan.mosaic.grid.shape
    sums: TileSums | None = None
    found = np.zeros((0, height, width), dtype=np.float32)
    reader = TileReader(plan)
    total = plan.lattice.window_count
    with (
        ReadAhead(reader.batches((0, 0)), 2) as batches,
        reporter.stage("predict", total) as advance,
    ):
        for batch in batches:
            channels = predict_patch(ensemble, batch.image, batch.valid)
            if sums is None:
                sums = TileSums(plan, (0, 0), channels.shape[1])
            sums.add(batch, channels)
            advance(len(batch.windows))
    if sums is not None:
        found = sums.values[:, :height, :width]
    return found, found.any(axis=0)
