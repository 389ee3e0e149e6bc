"""Members that are fitted in seconds: the forest on filters, and the linear model on frozen features.

They are the model of short trainings. In longer ones they are the teachers of a network: their class probabilities are its
soft labels.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from geopointseg.errors import MissingDependencyError, ModelError, TrainingError
from geopointseg.learning.embedding_members import (
    fit_neighbours,
    fit_perceptron,
    fit_vectors_linear,
    settings_for_embedding,
)
from geopointseg.learning.linear_head import fit_linear
from geopointseg.learning.selection import (
    Choice,
    Probabilities,
    WeightRule,
    choose,
    without_prevalence,
)
from geopointseg.learning.teacher import predict_labelled
from geopointseg.learning.training_job import TrainingJob
from geopointseg.model.inference import Ensemble
from geopointseg.model.member import (
    EMBEDDING_PREFIX,
    BandedMember,
    ForestMember,
    Member,
    NetworkMember,
    unwrap,
    with_weight,
)
from geopointseg.raster.companion_scene import CompanionScene
from geopointseg.raster.scene import Scene
from geopointseg.sampling.patch import LabelledPixels

TIE_STEP = 1e-5
"""Step of the thresholds of a forest on an embedding, in standard deviations; codes of 8 bits differ by 1e-4 and more."""

Fitted = dict[str, ForestMember | NetworkMember | BandedMember]
"""Members by kind, each of weight 1."""


def fit_members(job: TrainingJob, labelled: LabelledPixels, wanted: Collection[str] = ()) -> Fitted:
    """Fit the members of the requested kind of model.

    Parameters
    ----------
    job
        The training; its kind ``forest`` or ``linear`` fits one member, ``auto`` and ``network`` fit both, and an
        embedding gets up to four.
    labelled
        Training pixels.
    wanted
        Kinds of members of imagery; others are not fitted. Empty for all.

    Returns
    -------
    dict
        Members by kind, each of weight 1.

    Raises
    ------
    MissingDependencyError, ModelError
        If only a linear model was requested and the weights of the backbone are not installed or damaged. Otherwise the
        forest is used alone, with a warning.
    TrainingError
        If nearest neighbours are requested on imagery.
    """
    if job.prepared.scenes[0].embedding is not None:
        return _fit_on_embedding(job, labelled)
    if isinstance(job.prepared.scenes[0], CompanionScene):
        return _fit_beside_companion(job, labelled)
    fitted: Fitted = {}
    if job.kind == "knn":
        raise TrainingError(
            f"Nearest neighbours were requested, and '{job.prepared.scenes[0].name}' is imagery. Expected an embedding, whose vectors "
            "can be compared; use another `model=`."
        )
    if job.kind != "linear" and (not wanted or "forest" in wanted):
        fitted["forest"] = ForestMember(job.fit_forest(labelled), 1.0)
    if job.kind != "forest" and (not wanted or "linear" in wanted):
        try:
            job.reporter.progress("linear", 0.0)
            fitted["linear"] = fit_linear(
                job.prepared.imagery, job.prepared.scenes, labelled, device=job.device
            )
            job.reporter.progress("linear", 1.0)
        except (MissingDependencyError, ModelError) as error:
            if job.kind == "linear":
                raise
            job.reporter.warn(f"{error} The forest is used alone.")
    return fitted


def _fit_on_embedding(job: TrainingJob, labelled: LabelledPixels) -> Fitted:
    """Fit the heads that look at single vectors."""
    fitted: Fitted = {}
    if job.kind not in ("linear", "knn"):
        forest = job.fit_forest(labelled)
        forest = replace(forest, trees=forest.trees.raised(TIE_STEP))
        fitted["forest"] = ForestMember(forest, 1.0)
    if job.kind not in ("forest", "knn"):
        fitted["linear"] = fit_vectors_linear(job.prepared.imagery, labelled)
    if job.kind not in ("forest", "linear"):
        fitted["knn"] = fit_neighbours(job.prepared.imagery, labelled)
    if job.kind == "auto" and len(job.all_labels) >= job.config.selection.forest_below:
        fitted["perceptron"] = fit_perceptron(job.prepared.imagery, labelled, job.seed)
    return fitted


def choose_fitted(
    found: Mapping[str, Probabilities],
    class_index: NDArray[np.int64],
    *,
    prior: WeightRule | None = None,
) -> Choice:
    """Choose the weights of fitted members; a perceptron takes part only where no other member scores better.

    Parameters
    ----------
    found
        Probabilities of held-out pixels by kind.
    class_index
        True classes, int64 ``(pixel,)``.
    prior
        As in `choose`.

    Returns
    -------
    Choice
        Weights, scores and the reason.
    """
    choice = choose(found, class_index, prior=prior)
    best = min((k for k in found), key=lambda k: choice.scores[k].loss)
    weak = {kind for kind in found if kind.endswith("perceptron") and kind != best}
    if not weak:
        return choice
    other = choose({k: p for k, p in found.items() if k not in weak}, class_index, prior=prior)
    weaker = {k: choice.scores[k] for k in weak}
    return replace(other, scores={**other.scores, **weaker})


def _fit_beside_companion(job: TrainingJob, labelled: LabelledPixels) -> Fitted:
    """Fit members on the bands of the imagery and others on the dimensions of its companion."""
    scenes = [scene for scene in job.prepared.scenes if isinstance(scene, CompanionScene)]
    sharp, total = len(scenes[0].imagery.bands), len(scenes[0].bands)
    fitted: Fitted = {}
    if job.kind != "knn":
        part = _with_bands(job, [scene.imagery for scene in scenes], slice(0, sharp))
        for kind, member in fit_members(part, labelled).items():
            fitted[kind] = BandedMember(_plain(member), (0, sharp), kind)
    part = _with_bands(job, [scene.companion for scene in scenes], slice(sharp, total))
    config = settings_for_embedding(part.config, scenes[0].companion)
    for kind, member in _fit_on_embedding(replace(part, config=config), labelled).items():
        name = f"{EMBEDDING_PREFIX}{kind}"
        fitted[name] = BandedMember(_plain(member), (sharp, total), name)
    return fitted


def _plain(member: Member) -> ForestMember | NetworkMember:
    assert isinstance(member, (ForestMember, NetworkMember))  # noqa: S101 - fitted to plain scenes
    return member


def _with_bands(job: TrainingJob, scenes: Sequence[Scene], bands: slice) -> TrainingJob:
    """Return a training on some bands of the imagery in memory."""
    imagery = job.prepared.imagery
    patches = tuple(replace(p, image=np.ascontiguousarray(p.image[bands])) for p in imagery.patches)
    prepared = replace(
        job.prepared, scenes=tuple(scenes), imagery=replace(imagery, patches=patches)
    )
    config = job.config.updated({"scene": {"matching": "none"}})
    return replace(job, prepared=prepared, config=config)


def predict_each(
    job: TrainingJob, fitted: Mapping[str, Member], pixels: LabelledPixels
) -> dict[str, Probabilities]:
    """Return every member's probabilities of labelled pixels, ``(pixel, class)`` by kind."""
    imagery = job.prepared.imagery
    return {k: predict_labelled(Ensemble.of(m), imagery, pixels) for k, m in fitted.items()}


def without_class_shares(
    fitted: Mapping[str, Member], named: Mapping[str, Probabilities], distilled: Sequence[str] = ()
) -> dict[str, Probabilities]:
    """Return probabilities as if all classes were equally common, so that members compare.

    Parameters
    ----------
    fitted
        Members by kind.
    named
        Their probabilities, and those of a network.
    distilled
        Members that learnt from the forest, and with it the shares of the classes.
    """
    forest = unwrap(fitted["forest"]) if "forest" in fitted else None
    if not isinstance(forest, ForestMember):
        return dict(named)
    prevalence = forest.forest.prevalence
    affected = {"forest", *distilled}
    return {k: without_prevalence(p, prevalence) if k in affected else p for k, p in named.items()}


def weighted(fitted: Mapping[str, Member], weights: Mapping[str, float]) -> list[Member]:
    """Return the members that have a weight, with their weights."""
    return [
        with_weight(member, weights[kind])
        for kind, member in fitted.items()
        if weights.get(kind, 0.0) > 0
    ]
