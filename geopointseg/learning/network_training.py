"""Training of a network together with the fitted members (forest and linear model), in two phases.

In the first phase, labelled pixels in some blocks are held out from network and fitted members. At its end, the scores on
these pixels decide the weight of each member, and whether the network is kept. In the second phase, fitted members and
network are trained with all labelled pixels. All points are used for training in the end, and the weights of the members
come from pixels that none of them was trained on.

The fitted members are the teachers of the network: their class probabilities are its soft labels on pixels without labels
(knowledge distillation, Hinton et al. 2015, doi:10.48550/arXiv.1503.02531). The second phase has teachers of its own, unless
these would take much of a short training. Soft labels of both phases from the same teachers made no difference in 300 steps
(five runs on three test areas: 65.6 in mean F1, and 65.1 with own ones), and cost 2.6 points on one of two test areas in 2000 steps.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from geopointseg.assessment.calibration import fit_temperature
from geopointseg.errors import TrainingError
from geopointseg.learning.budget import TrainingBudget, most_steps
from geopointseg.learning.chips import TrainingChips, join_layers
from geopointseg.learning.consistency import has_collapsed
from geopointseg.learning.early_stopping import EarlyStopping
from geopointseg.learning.fitted_members import (
    Fitted,
    fit_members,
    predict_each,
    weighted,
    without_class_shares,
)
from geopointseg.learning.initial_network import network_options
from geopointseg.learning.loss import class_weights
from geopointseg.learning.objective import Objective
from geopointseg.learning.pseudo_labels import (
    Maps,
    blend_teachers,
    expand_labels,
    keep_most_confident,
)
from geopointseg.learning.selection import (
    Choice,
    Probabilities,
    Score,
    apply_rule,
    choose,
    score,
    weigh_equally,
)
from geopointseg.learning.teacher import predict_labelled, predict_patches, predicted_class_shares
from geopointseg.learning.trainer import (
    Learner,
    LossNotFiniteError,
    TrainingLoop,
    read_checkpoint,
    write_checkpoint,
)
from geopointseg.learning.training_job import TrainingJob
from geopointseg.learning.training_log import TrainingLog
from geopointseg.model.architecture import Network, receptive_field_px
from geopointseg.model.inference import Ensemble
from geopointseg.model.member import Member, NetworkMember
from geopointseg.sampling.batches import ChipPlan
from geopointseg.sampling.patch import LabelledPixels, PatchLabels

MOST_FITTING = 0.2
"""Teachers are fitted a second time if they took at most this share of the time limit."""


@dataclass(frozen=True, eq=False)
class TrainingOutcome:
    """The result of a training.

    Parameters
    ----------
    members
        The members of the model, with their weights.
    temperature
        Temperature of the weighted mean of the probabilities.
    facts
        Reason for the choice of members, scores and calibration, for ``model.json``.
    """

    members: tuple[Member, ...]
    temperature: float
    facts: dict[str, Any]


class NetworkSession:
    """Trains a network and decides the weights of network and fitted members.

    Parameters
    ----------
    job
        Data, settings and output of the training.
    resume
        Continue a stopped training of the same job.
    """

    def __init__(self, job: TrainingJob, *, resume: bool) -> None:
        state = read_checkpoint(job.output.checkpoint) if resume else None
        if state and state["identity"] != job.identity():
            raise TrainingError(
                "The stopped training had other points, imagery, settings or another seed. Expected the same ones, besides "
                "minutes and steps; repeat them, or start again without `resume=True`."
            )
        self.job = job
        self.objective = build_objective(job)
        self.learner = build_learner(job, self.objective)
        self.log = TrainingLog(
            job.output.training, int(state["learner"]["step"]) if state else None
        )
        self.loop = TrainingLoop(job.config, job.device, self.log, job.reporter, save=self.save)
        self.early_stopping = EarlyStopping(
            job.config.selection, self.learner, self._measure, job.reporter
        )
        self.choice: Choice | None = None
        self.calibration: dict[str, Any] = {}
        self.temperature = 1.0
        self.fitted: Fitted = {}
        self.teacher_weights: dict[str, float] = {}
        self.maps: Maps | None = None
        self.teacher: dict[str, torch.Tensor] | None = None
        self._fitting_s = 0.0
        if state:
            self._load(state)

    def run(self) -> TrainingOutcome:
        """Train both phases.

        Raises
        ------
        TrainingError
            If the loss is not finite; the last network with finite weights is kept beside the output.
        """
        if not self.job.has_unlabelled:
            self.job.reporter.warn(
                "Every pixel of the training imagery is labelled. The losses on unlabelled pixels (distillation, "
                "consistency) are not used."
            )
        try:
            self._first_part()
            if self.choice is None or "network" in self.choice.weights:
                self._second_part()
            elif self.job.kind == "auto":
                self._fit_kept()
        except LossNotFiniteError as error:
            raise self._keep_last_good(error) from error
        finally:
            self.log.close()
        self.save()
        self.log.draw(self.job.output.training / "curves.png")
        return self._outcome()

    def _first_part(self) -> None:
        reveal = self.job.config.selection.reveal_at
        if self.choice is not None or not len(self.job.prepared.held_out):
            return
        with self.learner.budget.paused():
            self._fit_teachers(self.job.prepared.training_labels)
        self._begin_budget(fits_to_come=1)
        self.loop.run(
            self.learner,
            self._chips(self.job.prepared.training_labels),
            reveal,
            self.early_stopping,
        )
        with self.learner.budget.paused():
            self._decide()
        self.learner.budget.skip_to(reveal, self.learner.step)

    def _second_part(self) -> None:
        with self.learner.budget.paused():
            if self._is_short():
                self._fit_kept()
            else:
                self._fit_teachers(self.job.all_labels)
            if self.job.config.teaching.self_training:
                self.maps = self._blend_with_network()
        self._begin_budget(fits_to_come=0)
        self.loop.run(self.learner, self._chips(self.job.all_labels), 1.0)
        if self.learner.budget.is_at_its_most(self.learner.step):
            self.job.reporter.log(
                f"The training ends before its time limit, after {self.learner.step} steps: in more steps, the network would "
                "learn the errors of the soft labels. `[optimization] most_passes = 0` uses the whole time."
            )

    def _blend_with_network(self) -> Maps | None:
        """Return soft labels from network and fitted members, or from these alone if the network predicts few classes."""
        job = self.job
        if self.maps is None or self.choice is None:
            job.reporter.warn(
                "Self-training is left out. It needs soft labels of fitted members, and held-out points for the weight of "
                "the network."
            )
            return self.maps
        teacher = copy.deepcopy(self.learner.model)
        self.teacher = self.teacher or teacher.state_dict()
        teacher.load_state_dict(self.teacher)
        network = predict_patches(
            self._ensemble_of(teacher.eval()), job.prepared.imagery, job.reporter, "network"
        )
        shares = [torch.from_numpy(predicted_class_shares(maps)) for maps in (network, self.maps)]
        told = ", ".join(f"{share:.1%}" for share in shares[0].tolist())
        job.reporter.log(f"Shares of the classes in the network's own map: {told}.")
        if has_collapsed(shares[0], shares[1]):
            job.reporter.warn(
                f"The network's map has collapsed onto few classes ({told} in the order of the legend). The soft "
                "labels of the second phase come from the fitted members alone."
            )
            return self.maps
        weight = self.choice.weights["network"] if job.kind == "auto" else 0.5
        return keep_most_confident(blend_teachers(self.maps, network, weight))

    def _begin_budget(self, fits_to_come: int) -> None:
        """Start the time limit of the network: what preparation and fits leave of the minutes, at least half of them."""
        seconds = 60.0 * self.job.config.optimization.minutes
        used = time.monotonic() - self.job.started_s + fits_to_come * self._fitting_s
        self.learner.budget.begin(max(seconds - used, 0.5 * seconds))

    def _fit_teachers(self, labelled: LabelledPixels) -> None:
        """Fit forest and linear model to labelled pixels, and predict all imagery in memory with both."""
        job = self.job
        if job.kind == "network" and job.config.teaching.distillation_weight == 0:
            return
        before = time.monotonic()
        self.fitted = fit_members(job, labelled)
        if labelled is job.prepared.training_labels:
            found = predict_each(job, self.fitted, job.prepared.held_out)
            even = without_class_shares(self.fitted, found)
            choice = choose(even, job.prepared.held_out.class_index, prior=job.known_weights)
            self.teacher_weights = dict(choice.weights)
        if not self.teacher_weights.keys() & self.fitted.keys():
            self.teacher_weights = apply_rule(job.known_weights or weigh_equally, self.fitted)
        teachers = Ensemble.of(*weighted(self.fitted, self.teacher_weights))
        self.maps = predict_patches(teachers, job.prepared.imagery, job.reporter, "teachers")
        self.objective.expected = torch.from_numpy(predicted_class_shares(self.maps))
        self.objective.expected_from_teacher = job.config.teaching.distillation_weight > 0
        self._fitting_s = time.monotonic() - before

    def _fit_kept(self) -> None:
        """Fit the members that have a weight to all labelled pixels."""
        job, prepared = self.job, self.job.prepared
        is_seen = self.fitted and (prepared.marked or not len(prepared.held_out))
        if job.kind == "auto" and not is_seen:
            self.fitted = fit_members(job, job.all_labels, self._weights())

    def _is_short(self) -> bool:
        """Return whether to fit the teachers, and to predict all imagery with them, took much of the time limit."""
        settings = self.job.config.optimization
        is_much = self._fitting_s > MOST_FITTING * 60.0 * settings.minutes
        return self.maps is not None and not settings.steps and is_much

    def _chips(self, labelled: LabelledPixels) -> TrainingChips:
        job, sampling, patches = (
            self.job,
            self.job.config.sampling,
            self.job.prepared.imagery.patches,
        )
        around = sampling.batch_size * sampling.point_share
        has_teachers = job.config.teaching.distillation_weight > 0 and job.has_unlabelled
        soft = self.maps if has_teachers else None
        masks = PatchLabels.of(patches, labelled, job.prepared.legend)
        masks = expand_labels(patches, masks, job.normalization, job.config.teaching, soft)
        plan = ChipPlan(
            size=sampling.chip_size,
            batch=sampling.batch_size,
            around_points=max(round(around), 1) if around else 0,
            class_balance=sampling.class_balance,
            jitter=sampling.jitter,
            seed=job.seed,
            style=job.config.augmentation.style,
            has_wide_steps=sampling.wide_steps == "half"
            and min(min(patch.shape) for patch in patches) >= sampling.largest_chip,
        )
        return TrainingChips(join_layers(patches, masks, soft), job.normalization, plan)

    def _measure(self, progress: float) -> Score:
        result = score(self._network_at_held_out(), self.job.prepared.held_out.class_index)
        self._log_score(result, progress)
        return result

    def _network_at_held_out(self) -> Probabilities:
        """Return the network's probabilities of the held-out pixels."""
        network, prepared = self.learner.model, self.job.prepared
        was_training = network.training
        found = predict_labelled(
            self._ensemble_of(network.eval()),
            prepared.imagery,
            prepared.held_out,
            context_px=3 * self.job.config.sampling.chip_size // 8,
        )
        network.train(was_training)
        return found

    def _ensemble_of(self, network: Network) -> Ensemble:
        """Return an ensemble of one network in evaluation mode, on the training device."""
        margin = self.job.config.sampling.chip_size // 2
        return Ensemble.of(
            NetworkMember(network, self.job.normalization, margin, 1.0, {}, self.job.device)
        )

    def _log_score(self, result: Score, progress: float) -> None:
        """Write the scores of the held-out pixels."""
        values = {f"held_out_{name}": value for name, value in vars(result).items()}
        self.log.write(self.learner.step, self.learner.budget.elapsed_s, progress, values)

    def _decide(self) -> None:
        """Weight all members by their probabilities of the held-out pixels."""
        job, settings = self.job, self.job.config.selection
        truth = job.prepared.held_out.class_index
        found = {
            "network": self._network_at_held_out(),
            **predict_each(job, self.fitted, job.prepared.held_out),
        }
        self._log_score(score(found["network"], truth), settings.reveal_at)
        if job.kind == "network":
            named = {kind: score(probabilities, truth) for kind, probabilities in found.items()}
            self.choice = Choice({"network": 1.0}, named, "A network was requested.")
        else:
            is_trained = self.learner.step >= settings.least_steps * settings.reveal_at
            if not is_trained:
                del found["network"]
            even = without_class_shares(self.fitted, found, distilled=["network"])
            self.choice = choose(even, truth, prior=job.known_weights)
            if not is_trained:
                self.choice = replace(self.choice, reason=self._too_few_steps())
        self._calibrate(found, truth)
        job.reporter.log(self.choice.reason)

    def _too_few_steps(self) -> str:
        settings = self.job.config
        within = "" if settings.optimization.steps else " within the time limit"
        return (
            f"No network is kept: it was trained for {self.learner.step} steps{within}. Expected at least "
            f"{settings.selection.least_steps}; train it longer."
        )

    def _calibrate(self, found: Mapping[str, Probabilities], truth: NDArray[np.int64]) -> None:
        assert self.choice is not None  # noqa: S101
        weights = self.choice.weights
        mean = np.sum([weights[k] * p for k, p in found.items() if k in weights], axis=0)
        calibration = fit_temperature(np.asarray(mean, np.float32), truth)
        self.temperature, self.calibration = calibration.temperature, calibration.to_json()

    def _outcome(self) -> TrainingOutcome:
        members = self._members()
        facts: dict[str, Any] = {
            "reason": self._reason(),
            "scores": {},
            "steps": self.learner.step,
        }
        if self.choice:
            named = {name: s.to_json() for name, s in self.choice.scores.items()}
            facts["scores"] = {"how": self.job.describe_scores(), **named}
            facts["calibration"] = self.calibration
        return TrainingOutcome(tuple(members), self.temperature, facts)

    def _members(self) -> list[Member]:
        """Return the members that are kept."""
        weights = self._weights()
        members: list[Member] = []
        if "network" in weights:
            members.append(self._network_member(weights["network"]))
        return [*members, *weighted(self.fitted, weights)]

    def _weights(self) -> Mapping[str, float]:
        """Return the weight of each kind of member; known weights, or equal ones, where no pixels could be held out."""
        if self.choice is not None:
            return self.choice.weights
        if self.job.kind == "network":
            return {"network": 1.0}
        if self.learner.step < self.job.config.selection.least_steps:
            return self.teacher_weights
        return apply_rule(self.job.known_weights or weigh_equally, ["network", *self.fitted])

    def _reason(self) -> str:
        if self.choice is not None:
            return self.choice.reason
        if self.job.kind == "network":
            return "A network was requested."
        if "network" not in self._weights():
            return self._too_few_steps()
        which = (
            "with the weights that are known from other scenes"
            if self.job.known_weights
            else "with equal weights"
        )
        return (
            f"Members are kept {which}: too few labelled pixels could be held out to compare them."
        )

    def _network_member(self, weight: float) -> NetworkMember:
        network = self.learner.model.eval().cpu()
        chip_size = self.job.config.sampling.largest_chip
        return NetworkMember(
            network=network,
            normalization=self.job.normalization,
            margin_px=min(receptive_field_px(network, size=2 * chip_size), chip_size) // 2,
            weight=weight,
            options=network_options(self.job.config),
            device=torch.device("cpu"),
        )

    def save(self) -> None:
        """Write a checkpoint if the weights are finite; otherwise the last one is kept."""
        if not self.learner.is_finite:
            return
        state = {
            "identity": self.job.identity(),
            "learner": self.learner.state(),
            "choice": json.dumps(self.choice.to_json()) if self.choice else "",
            "calibration": json.dumps(self.calibration),
            "temperature": self.temperature,
            "watch": self.early_stopping.state(),
            "teacher": self.teacher,
            "teacher_weights": json.dumps(self.teacher_weights),
        }
        write_checkpoint(self.job.output.checkpoint, state)

    def _load(self, state: dict[str, Any]) -> None:
        self.learner.load_state(state["learner"])
        self.choice = Choice.from_json(json.loads(state["choice"])) if state["choice"] else None
        self.calibration = json.loads(state["calibration"])
        self.temperature = float(state["temperature"])
        self.early_stopping.load_state(state["watch"])
        self.teacher = state["teacher"]
        self.teacher_weights = json.loads(state.get("teacher_weights", "{}"))

    def _keep_last_good(self, error: LossNotFiniteError) -> TrainingError:
        """Restore the last checkpoint, and return the error with the step that it is of."""
        path, facts = self.job.output.checkpoint, {"reason": str(error), "scores": {}}
        if path.exists():
            self._load(read_checkpoint(path))
            step = self.learner.step
            kept = f"The model as of step {step} is kept in '{{folder}}'."
            return LastGoodError(
                f"{error} {kept}",
                TrainingOutcome(tuple(self._members()), self.temperature, facts),
                step,
            )
        if self.job.kind == "auto" and self.fitted:
            members = weighted(self.fitted, self.teacher_weights)
            kept = (
                f"The model without a network ({', '.join(self.fitted)}) is kept in '{{folder}}'."
            )
            return LastGoodError(f"{error} {kept}", TrainingOutcome(tuple(members), 1.0, facts), 0)
        return TrainingError(f"{error} No earlier state was kept.")


class LastGoodError(TrainingError):
    """The training failed; its last state with finite weights can be written.

    Parameters
    ----------
    message
        With the placeholder ``{folder}`` for the folder of that state.
    outcome
        The model of that state.
    step
        Number of steps done.
    """

    def __init__(self, message: str, outcome: TrainingOutcome, step: int) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.step = step


def build_objective(job: TrainingJob) -> Objective:
    """Return the loss terms of a step."""
    settings = job.config.loss
    counts = torch.from_numpy(job.prepared.training_labels.counts(job.prepared.imagery.classes))
    weights = class_weights(
        counts, power=settings.class_weight_power, limits=settings.class_weight_range
    )
    return Objective(job.config, weights, counts / counts.sum())


def build_learner(job: TrainingJob, objective: Objective) -> Learner:
    """Return a learner with the initial weights."""
    settings = job.config.optimization
    budget = TrainingBudget(
        settings.steps,
        60.0 * settings.minutes,
        most_steps(job.config, job.prepared.imagery.patches),
    )
    assert job.network is not None  # noqa: S101
    return Learner(job.network.to(job.device), objective, job.config, budget, job.seed)
