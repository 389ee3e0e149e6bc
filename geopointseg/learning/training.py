"""From scenes and points to a model folder.

`train` prepares the data, trains a network together with forest and linear model (or one of them alone), and writes a
model folder, which appears when it is complete.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from geopointseg.assessment.calibration import fit_temperature
from geopointseg.assessment.location_digest import encode_locations
from geopointseg.assessment.training_points import keep_points
from geopointseg.bands.band_names import band_specs
from geopointseg.config import Config
from geopointseg.errors import Cancelled, ConfigError, TrainingError
from geopointseg.labels.points import Points, read_points
from geopointseg.learning.embedding_members import settings_for_embedding
from geopointseg.learning.fitted_members import (
    choose_fitted,
    fit_members,
    predict_each,
    weighted,
    without_class_shares,
)
from geopointseg.learning.initial_network import build_initial_network, resolve_network
from geopointseg.learning.model_output import OutputFolder
from geopointseg.learning.network_training import LastGoodError, NetworkSession, TrainingOutcome
from geopointseg.learning.preparation import Labels, Prepared, prepare, with_budget
from geopointseg.learning.selection import apply_rule, weigh_equally
from geopointseg.learning.trainer import release_memory
from geopointseg.learning.training_job import ModelKind, TrainingJob
from geopointseg.learning.training_log import (
    describe_points,
    describe_scenes,
    library_versions,
    points_trained_on,
)
from geopointseg.model.bundle import ModelBundle, resolve_device
from geopointseg.progress import Reporter
from geopointseg.raster.companion_scene import CompanionScene
from geopointseg.raster.scene import Scene, ScenePath
from geopointseg.setting import as_list


def train(
    scenes: Scene | ScenePath | Sequence[Scene | ScenePath],
    points: Labels | str | os.PathLike[str],
    *,
    output: str | Path,
    config: Config | None = None,
    seed: int = 0,
    model: ModelKind = "auto",
    minutes: float | None = None,
    steps: int | None = None,
    weights: str | None = None,
    unlabelled: Sequence[Scene | ScenePath] = (),
    resume: bool = False,
    device: str = "auto",
    reporter: Reporter | None = None,
) -> ModelBundle:
    """Train a model and write its folder.

    Parameters
    ----------
    scenes
        One or several rasters with the same bands.
    points
        Labelled points, or a file of points; or one sparse mask for each scene, which may label every pixel.
    output
        The model folder; it appears when the training is done.
    config
        Settings; the defaults where None.
    seed
        Seed of initial weights, chips and augmentation. The same seed and number of steps give the same model on a
        CPU, with the same versions, machine and number of threads.
    model
        ``auto`` keeps network, linear model, forest or several of them, by weights known from other scenes or by their scores on held-out points; on an embedding,
        linear model, nearest neighbours (``knn``) and forest. The other kinds train one.
    minutes, steps, weights
        Shorthands for settings of the same name.
    unlabelled
        Scenes without points that will be mapped; distillation and consistency losses use them.
    resume
        Continue a stopped training of this output.
    device
        ``auto``, ``cpu`` or ``cuda``.
    reporter
        Receives progress; may cancel.

    Returns
    -------
    ModelBundle
        The model, loaded from its folder. ``metadata["reason"]`` is the reason for the choice of its members.

    Raises
    ------
    PointsError, RasterError
        If points or scenes cannot be used.
    ConfigError
        If a setting is wrong.
    OutputError
        If the folder cannot be written.
    TrainingError
        If the loss is not finite, memory runs out, or there is nothing to resume.
    Cancelled
        If the reporter was asked to cancel; the training can be resumed.
    """
    reporter = reporter or Reporter()
    if model not in get_args(ModelKind):
        raise ConfigError(
            f"There is no model kind '{model}'. Expected auto, network, linear or forest, or knn on an embedding."
        )
    config = with_budget(config or Config(), minutes=minutes, steps=steps, weights=weights)
    target, own_chips = resolve_device(device), config.sampling.chip_size > 0
    config = config.on_device(target.type)
    output_folder = OutputFolder(Path(output))
    output_folder.open(resume=resume)
    started_s = time.monotonic()
    try:
        with torch.random.fork_rng():
            prepared = _prepare(scenes, points, unlabelled, config, seed, reporter, model)
            config, wants_network = _settings_for(prepared.scenes[0], config, model)
            network, normalization = None, prepared.imagery.normalization()
            if wants_network:
                config = resolve_network(config, prepared.scenes, reporter, has_own_chips=own_chips)
                network, normalization = build_initial_network(
                    prepared.imagery, prepared.scenes, config, seed, reporter
                )
            job = TrainingJob(
                prepared=prepared,
                config=config,
                seed=seed,
                kind=model,
                device=target,
                reporter=reporter,
                output=output_folder,
                normalization=normalization,
                network=network,
                started_s=started_s,
            )
            outcome = _train(job, resume=resume)
            _write(job, outcome)
        output_folder.publish()
    except LastGoodError as error:
        raise _keep_last_good(job, error) from error
    except Cancelled:
        raise output_folder.discard_cancelled() from None
    except BaseException:
        output_folder.discard()
        raise
    return ModelBundle.load(output, device=str(target))


def _prepare(
    scenes: Scene | ScenePath | Sequence[Scene | ScenePath],
    points: Labels | str | os.PathLike[str],
    unlabelled: Sequence[Scene | ScenePath],
    config: Config,
    seed: int,
    reporter: Reporter,
    model: ModelKind,
) -> Prepared:
    labels = read_points(os.fspath(points)) if isinstance(points, (str, os.PathLike)) else points
    return prepare(
        as_list(scenes), labels, as_list(unlabelled), config, seed, reporter, network=model == "network"
    )  # fmt: skip


def _settings_for(scene: Scene, config: Config, model: ModelKind) -> tuple[Config, bool]:
    """Return the settings for a kind of scene, and whether a network is prepared.

    Raises
    ------
    ConfigError
        If a network is requested beside a companion.
    """
    if isinstance(scene, CompanionScene):
        if model == "network":
            raise ConfigError(
                "A network was requested beside a [scene] companion. Expected auto, linear, knn or forest, whose members look at "
                "imagery and embedding separately."
            )
        return config, False
    if scene.embedding is not None:
        return settings_for_embedding(config, scene), model == "network"
    return config, model in ("auto", "network")


FITTED_MINUTES = {"frozen": 0.5, "trained": 1.0}
"""Trainings of at most this many minutes train no network, by what is done with its encoder: it would get too few steps to score
above the fitted members."""


def _train(job: TrainingJob, *, resume: bool) -> TrainingOutcome:
    """Train the requested kind of model."""
    if job.kind in _REQUESTED:
        return _fitted_alone(job, f"{_REQUESTED[job.kind]} requested.")
    if isinstance(job.prepared.scenes[0], CompanionScene):
        return _fitted_alone(job, "Imagery and its companion have members of their own.")
    if job.kind == "auto" and (reason := _why_no_network(job)):
        job.reporter.log(reason)
        return _fitted_alone(job, reason)
    return NetworkSession(job, resume=resume).run()


_REQUESTED = {
    "forest": "A forest was",
    "linear": "A linear model was",
    "knn": "Nearest neighbours were",
}


def _why_no_network(job: TrainingJob) -> str:
    """Return the reason why no network is trained; an empty text where one is."""
    embedding = job.prepared.scenes[0].embedding
    if embedding is not None:
        return (
            f"No network is trained: the vectors of {embedding.product} are features already, and heads on single pixels learn "
            "from few points. Request a network as the kind of model to train one."
        )
    count, limit = len(job.all_labels), job.config.selection.forest_below
    if count < limit and not job.config.model.freeze_encoder:
        return (
            f"No network is trained: there are {count} labelled pixels, and with fewer than {limit} a network whose encoder is not "
            "frozen scores below forest and linear model. Collect more points, or request a network as the kind of model."
        )
    optimization = job.config.optimization
    least = FITTED_MINUTES["frozen" if job.config.model.freeze_encoder else "trained"]
    if not optimization.steps and optimization.minutes <= least:
        return (
            f"No network is trained: in {optimization.minutes:g} minutes it does not score above forest and linear model. "
            "Raise the time limit to train one."
        )
    return ""


def _fitted_alone(job: TrainingJob, reason: str) -> TrainingOutcome:
    """Decide the weights of forest and linear model on held-out pixels, then fit both to all labelled pixels."""
    facts: dict[str, Any] = {"reason": reason, "scores": {}}
    held_out, temperature = job.prepared.held_out, 1.0
    weights: Mapping[str, float] = {}
    if len(held_out):
        fitted = fit_members(job, job.prepared.training_labels)
        found = predict_each(job, fitted, held_out)
        choice = choose_fitted(
            without_class_shares(fitted, found), held_out.class_index, prior=job.known_weights
        )
        weights = choice.weights
        if len(fitted) > 1:
            facts["reason"] = f"{reason} {choice.reason}"
            job.reporter.log(choice.reason)
        scores = {name: result.to_json() for name, result in choice.scores.items()}
        facts["scores"] = {"how": job.describe_scores(), **scores}
        mean = np.sum([weights[k] * p for k, p in found.items() if k in weights], axis=0)
        calibration = fit_temperature(np.asarray(mean, np.float32), held_out.class_index)
        temperature, facts["calibration"] = calibration.temperature, calibration.to_json()
    fitted = fit_members(job, job.all_labels)
    if not weights.keys() & fitted.keys():
        weights = apply_rule(job.known_weights or weigh_equally, fitted)
    return TrainingOutcome(tuple(weighted(fitted, weights)), temperature, facts)


def _keep_last_good(job: TrainingJob, error: LastGoodError) -> TrainingError:
    """Write the last state with finite weights beside the output, and return the error with its path."""
    _write(job, error.outcome)
    kept = job.output.publish_beside(f"step-{error.step}")
    return TrainingError(str(error).format(folder=kept))


def _write(job: TrainingJob, outcome: TrainingOutcome) -> None:
    """Free the memory of a training, and write the files of its model and its training points."""
    release_memory()
    prepared = job.prepared
    learnt = points_trained_on(
        prepared.points, prepared.scenes, prepared.imagery, job.all_labels, prepared.legend
    )
    keep_points(learnt, job.output.training)
    assemble(job, outcome, learnt).write(job.output.folder)


def assemble(job: TrainingJob, outcome: TrainingOutcome, learnt: Points) -> ModelBundle:
    """Return the model of an outcome, with its metadata."""
    imagery, points = job.prepared.imagery, job.prepared.points
    counts = job.all_labels.counts(imagery.classes).tolist()
    per_class = dict(zip(job.prepared.legend.names, counts, strict=True))
    return ModelBundle(
        folder=job.output.folder,
        legend=job.prepared.legend,
        bands=_band_specs(job.prepared.scenes[0]),
        normalization=job.normalization,
        resolution_m=imagery.resolution_m,
        chip_size=job.config.sampling.chip_size,
        receptive_field_px=max(2 * member.margin_px + 1 for member in outcome.members),
        config=job.config,
        members=outcome.members,
        temperature=outcome.temperature,
        metadata={
            **outcome.facts,
            "seed": job.seed,
            "embedding": _describe_embedding(job.prepared.scenes[0]),
            "companion": _describe_companion(job.prepared.scenes[0]),
            "style": job.prepared.style.to_json() if job.prepared.style else None,
            "points": describe_points(points, counts) if points else {"per_class": per_class},
            "training_points": encode_locations(
                learnt.x, learnt.y, learnt.crs, _digest_weights(outcome)
            ),
            "scenes": describe_scenes(job.prepared.scenes, job.prepared.roles, imagery),
            "versions": library_versions(),
        },
    )


def _band_specs(scene: Scene) -> tuple[str, ...]:
    if isinstance(scene, CompanionScene):
        return (*band_specs(scene.imagery), *band_specs(scene.companion))
    return band_specs(scene)


def _describe_embedding(scene: Scene) -> dict[str, Any] | None:
    """Return product, version, year, licence and number of dimensions of an embedding; None for imagery."""
    if scene.embedding is None:
        return None
    return scene.embedding.to_json() | {"dimensions": len(scene.bands)}


def _describe_companion(scene: Scene) -> dict[str, Any] | None:
    """Return the description of the embedding beside imagery, and its bands; None where there is none."""
    if not isinstance(scene, CompanionScene):
        return None
    told = _describe_embedding(scene.companion) or {}
    return told | {"bands": list(band_specs(scene.companion))}


def _digest_weights(outcome: TrainingOutcome) -> bytes:
    """Return the SHA-512 digest of all weights; a repeated training gives the same one."""
    digest = hashlib.sha512()
    for member in outcome.members:
        for name, tensor in sorted(member.tensors().items()):
            values = tensor.detach().cpu().contiguous().flatten()
            digest.update(name.encode() + values.view(torch.uint8).numpy().tobytes())
    return digest.digest()
