"""Members that are fitted in seconds: the forest on filters, and the linear model on frozen features.

They are the model of short trainings. In longer ones they are the teachers of a network: their class probabilities are its
soft labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from geopointseg.errors import MissingDependencyError, ModelError
from geopointseg.learning.linear_head import fit_linear
from geopointseg.learning.selection import Probabilities, without_prevalence
from geopointseg.learning.teacher import predict_labelled
from geopointseg.learning.training_job import TrainingJob
from geopointseg.model.inference import Ensemble
from geopointseg.model.member import ForestMember, Member, NetworkMember
from geopointseg.sampling.patch import LabelledPixels

Fitted = dict[str, ForestMember | NetworkMember]
"""Members by kind, each of weight 1."""


def fit_members(job: TrainingJob, labelled: LabelledPixels) -> Fitted:
    """Fit the members of the requested kind of model.

    Parameters
    ----------
    job
        The training; its kind ``forest`` or ``linear`` fits one member, the others both.
    labelled
        Training pixels.

    Raises
    ------
    MissingDependencyError, ModelError
        If only a linear model was requested and the weights of the backbone are not installed or damaged. Otherwise the
        forest is used alone, with a warning.
    """
    fitted: Fitted = {}
    if job.kind != "linear":
        fitted["forest"] = ForestMember(job.fit_forest(labelled), 1.0)
    if job.kind != "forest":
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
    forest = fitted.get("forest")
    if not isinstance(forest, ForestMember):
        return dict(named)
    prevalence = forest.forest.prevalence
    affected = {"forest", *distilled}
    return {k: without_prevalence(p, prevalence) if k in affected else p for k, p in named.items()}


def weighted(fitted: Mapping[str, Member], weights: Mapping[str, float]) -> list[Member]:
    """Return the members that have a weight, with their weights."""
    return [
        replace(member, weight=weights[kind])
        for kind, member in fitted.items()
        if isinstance(member, (ForestMember, NetworkMember)) and weights.get(kind, 0.0) > 0
    ]
