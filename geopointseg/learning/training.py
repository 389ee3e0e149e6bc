"""From scenes and points to a model folder.

`train` prepares the ground, trains a network beside a forest (or one of them alone), and writes what was learnt as a
model folder that appears when it is whole.
"""

from __future__ import annotations

import hashlib
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
from geopointseg.labels.points import Points
from geopointseg.learning.embedding_members import settings_for_embedding
from geopointseg.learning.fitted_members import (
    choose_fitted,
    fit_members,
    predict_each,
    weighted,
    without_class_shares,
)
from geopointseg.learning.initial_network import build_starting_network
from geopointseg.learning.model_output import OutputFolder
from geopointseg.learning.network_training import LastGoodError, NetworkSession, Outcome
from geopointseg.learning.preparation import Labels, Prepared, as_list, prepare, with_budget
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


def train(
    scenes: Scene | ScenePath | Sequence[Scene | ScenePath],
    points: Labels,
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
        Labelled points; or one sparse mask for each scene, which may label every pixel.
    output
        The model folder; it appears when the training is done.
    config
        Settings; the defaults where None.
    seed
        Decides weights, chips and views: the same seed and number of steps give the same model on a CPU.
    model
        ``auto`` keeps network, linear model, forest or several of them, as held-out points decide; on an embedding, linear
        model, nearest neighbours (``knn``) and forest. The others keep one.
    minutes, steps, weights
        Shorthands for settings of the same name.
    unlabelled
        Scenes without points that will be mapped: the model learns their look.
    resume
        Go on with a training of this output that was stopped.
    device
        ``auto``, ``cpu`` or ``cuda``.
    reporter
        Told about progress; may cancel.

    Returns
    -------
    ModelBundle
        The model, as it lies in its folder. ``metadata["reason"]`` says why it has its members.

    Raises
    ------
    PointsError, RasterError
        If points or scenes cannot be used.
    ConfigError
        If a setting is wrong.
    OutputError
        If the folder cannot be written.
    TrainingError
        If the loss stops being a number, memory runs out, or there is nothing to resume.
    Cancelled
        If the reporter was asked to cancel; what is there can be resumed.
    """
    reporter = reporter or Reporter()
    if model not in get_args(ModelKind):
        raise ConfigError(
            f"There is no model kind '{model}'. Expected auto, network, linear or forest, or knn on an embedding."
        )
    config = with_budget(config or Config(), minutes=minutes, steps=steps, weights=weights)
    target = resolve_device(device)
    config = config.on_device(target.type)
    workspace = OutputFolder(Path(output))
    workspace.open(resume=resume)
    started_s = time.monotonic()
    try:
        with torch.random.fork_rng():
            ready = _prepare(scenes, points, unlabelled, config, seed, reporter, model)
            config, wants_network = _settings_for(ready.scenes[0], config, model)
            network, normalization = None, ready.ground.normalization()
            if wants_network:
                network, normalization = build_starting_network(
                    ready.ground, ready.scenes, config, seed, reporter
                )
            job = TrainingJob(
                ready=ready,
                config=config,
                seed=seed,
                kind=model,
                device=target,
                reporter=reporter,
                output=workspace,
                normalization=normalization,
                network=network,
                started_s=started_s,
            )
            outcome = _train(job, resume=resume)
            _write(job, outcome)
        workspace.publish()
    except LastGoodError as error:
        raise _keep_last_good(job, error) from error
    except Cancelled:
        raise workspace.discard_cancelled() from None
    except BaseException:
        workspace.discard()
        raise
    return ModelBundle.load(output, device=str(target))


def _prepare(
    scenes: Scene | ScenePath | Sequence[Scene | ScenePath],
    points: Labels,
    unlabelled: Sequence[Scene | ScenePath],
    config: Config,
    seed: int,
    reporter: Reporter,
    model: ModelKind,
) -> Prepared:
    return prepare(
        as_list(scenes), points, as_list(unlabelled), config, seed, reporter, network=model == "network"
    )  # fmt: skip


def _settings_for(scene: Scene, config: Config, model: ModelKind) -> tuple[Config, bool]:
    """Return the settings for a kind of scene, and whether a network is prepared.

    Raises
    ------
    ConfigError
        If a network was asked for beside a companion.
    """
    if isinstance(scene, CompanionScene):
        if model == "network":
            raise ConfigError(
                "A network was asked for beside a [scene] companion. Expected auto, linear, knn or forest, whose members look at "
                "imagery and embedding separately."
            )
        return config, False
    if scene.embedding is not None:
        return settings_for_embedding(config, scene), model == "network"
    return config, model in ("auto", "network")


FITTED_MINUTES = 1.0
"""Trainings of no more minutes keep the members that are fitted: a network would get too few steps to gain on them."""


def _train(job: TrainingJob, *, resume: bool) -> Outcome:
    """Train what was asked for."""
    if job.kind in _ASKED:
        return _fitted_alone(job, f"{_ASKED[job.kind]} asked for.")
    if isinstance(job.ready.scenes[0], CompanionScene):
        return _fitted_alone(job, "Imagery and its companion have members of their own.")
    if job.kind == "auto" and (reason := _why_no_network(job)):
        job.reporter.log(reason)
        return _fitted_alone(job, reason)
    return NetworkSession(job, resume=resume).run()


_ASKED = {
    "forest": "A forest was",
    "linear": "A linear model was",
    "knn": "Nearest neighbours were",
}


def _why_no_network(job: TrainingJob) -> str:
    """Return a sentence that says why no network is trained; an empty one where one is."""
    embedding = job.ready.scenes[0].embedding
    if embedding is not None:
        return (
            f"No network is trained: the vectors of {embedding.product} are features already, and heads on single pixels learn "
            "from few points. Ask for a network with '--model network'."
        )
    count, limit = len(job.everything), job.config.selection.forest_below
    if count < limit:
        return (
            f"No network is trained: there are {count} labelled pixels, and below {limit} a network learns less from "
            "them than forest and linear model do. Collect more points, or ask for a network with '--model network'."
        )
    optimization = job.config.optimization
    if not optimization.steps and optimization.minutes <= FITTED_MINUTES:
        return (
            f"No network is trained: in {optimization.minutes:g} minutes it gains nothing on forest and linear model. "
            "Give the training more time for one ('--minutes')."
        )
    return ""


def _fitted_alone(job: TrainingJob, reason: str) -> Outcome:
    """Fit the members that need no training loop, after they were weighted on held-out pixels."""
    facts: dict[str, Any] = {"reason": reason, "scores": {}}
    held_out, temperature = job.ready.held_out, 1.0
    weights: Mapping[str, float] = {}
    if len(held_out):
        fitted = fit_members(job, job.ready.chosen_on)
        found = predict_each(job, fitted, held_out)
        choice = choose_fitted(without_class_shares(fitted, found), held_out.class_index)
        weights = choice.weights
        if len(fitted) > 1:
            facts["reason"] = f"{reason} {choice.reason}"
            job.reporter.log(choice.reason)
        scores = {name: result.to_json() for name, result in choice.scores.items()}
        facts["scores"] = {"how": job.how_scored(), **scores}
        mean = np.sum([weights[k] * p for k, p in found.items() if k in weights], axis=0)
        calibration = fit_temperature(np.asarray(mean, np.float32), held_out.class_index)
        temperature, facts["calibration"] = calibration.temperature, calibration.to_json()
    fitted = fit_members(job, job.everything)
    if not weights.keys() & fitted.keys():
        weights = dict.fromkeys(fitted, 1.0 / len(fitted))
    return Outcome(tuple(weighted(fitted, weights)), temperature, facts)


def _keep_last_good(job: TrainingJob, error: LastGoodError) -> TrainingError:
    """Write the last good state beside the output and return the error that says where."""
    _write(job, error.outcome)
    kept = job.output.publish_beside(f"step-{error.step}")
    return TrainingError(str(error).format(folder=kept))


def _write(job: TrainingJob, outcome: Outcome) -> None:
    """Write the files of a model, and the points that it learnt from."""
    ready = job.ready
    learnt = points_trained_on(
        ready.points, ready.scenes, ready.ground, job.everything, ready.legend
    )
    keep_points(learnt, job.output.training)
    assemble(job, outcome, learnt).write(job.output.folder)


def assemble(job: TrainingJob, outcome: Outcome, learnt: Points) -> ModelBundle:
    """Return the model of an outcome, with all that is to be known about it."""
    ground, points = job.ready.ground, job.ready.points
    counts = job.everything.counts(ground.classes).tolist()
    per_class = dict(zip(job.ready.legend.names, counts, strict=True))
    return ModelBundle(
        folder=job.output.folder,
        legend=job.ready.legend,
        bands=_band_specs(job.ready.scenes[0]),
        normalization=job.normalization,
        resolution_m=ground.resolution_m,
        chip_size=job.config.sampling.chip_size,
        receptive_field_px=max(2 * member.margin_px + 1 for member in outcome.members),
        config=job.config,
        members=outcome.members,
        temperature=outcome.temperature,
        metadata={
            **outcome.facts,
            "seed": job.seed,
            "embedding": _describe_embedding(job.ready.scenes[0]),
            "companion": _describe_companion(job.ready.scenes[0]),
            "style": job.ready.style.to_json() if job.ready.style else None,
            "points": describe_points(points, counts) if points else {"per_class": per_class},
            "training_points": encode_locations(
                learnt.x, learnt.y, learnt.crs, _digest_weights(outcome)
            ),
            "scenes": describe_scenes(job.ready.scenes, job.ready.roles, ground),
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


def _digest_weights(outcome: Outcome) -> bytes:
    """Return a digest of all weights: another one for every model, and the same for a training that is repeated."""
    digest = hashlib.sha512()
    for member in outcome.members:
        for name, tensor in sorted(member.tensors().items()):
            values = tensor.detach().cpu().contiguous().flatten()
            digest.update(name.encode() + values.view(torch.uint8).numpy().tobytes())
    return digest.digest()
