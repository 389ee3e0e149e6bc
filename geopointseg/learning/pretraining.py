"""Self-supervised pretraining on unlabelled rasters: learn to fill in what is hidden.

Chips are varied in geometry and light as in a training, squares of each are hidden, noise is added to the rest, and
the network has to restore the image: a masked, denoising autoencoder. What it learns of textures and shapes is the start of a training with points, on imagery of
the same kind, with no network connection at all.

References
----------
K. He et al., Masked autoencoders are scalable vision learners, CVPR 2022, doi:10.1109/CVPR52688.2022.01553.
P. Vincent et al., Extracting and composing robust features with denoising autoencoders, ICML 2008,
doi:10.1145/1390156.1390294.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.optim.swa_utils import update_bn

from geopointseg.bands.band_names import band_specs, common_name
from geopointseg.config import Config
from geopointseg.errors import Cancelled, TrainingError
from geopointseg.learning.budget import Budget
from geopointseg.learning.chips import TrainingChips, join_layers
from geopointseg.learning.consistency import AveragedNetwork, ClassThresholds
from geopointseg.learning.ground import Ground, build_ground
from geopointseg.learning.initial_network import network_options
from geopointseg.learning.model_output import Workspace
from geopointseg.learning.objective import build_augmentation
from geopointseg.learning.preparation import as_list, open_alike
from geopointseg.learning.trainer import (
    Learner,
    Loop,
    LossNotFiniteError,
    read_checkpoint,
    write_checkpoint,
)
from geopointseg.learning.training_log import TrainingLog, library_versions
from geopointseg.model.architecture import build_network
from geopointseg.model.bundle import resolve_device
from geopointseg.model.weight_sources import (
    PRETRAINED_DESCRIPTION,
    PRETRAINED_FORMAT,
    PRETRAINED_TENSORS,
    find_weights,
    is_pretrained_folder,
)
from geopointseg.model.weights import apply_weights
from geopointseg.progress import Reporter
from geopointseg.raster.scene import Scene, ScenePath
from geopointseg.sampling.augmentation import Batch
from geopointseg.sampling.batches import ChipPlan

VISIBLE_WEIGHT = 0.1
"""What a visible pixel weighs in the loss, against one for a hidden one."""
STATISTICS_BATCHES = 50
"""Batches of chips from which the statistics of batch normalization are measured at the end."""


def pretrain(
    scenes: Scene | ScenePath | Sequence[Scene | ScenePath],
    *,
    output: str | Path,
    config: Config | None = None,
    seed: int = 0,
    resume: bool = False,
    device: str = "auto",
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Pretrain a network on unlabelled rasters and write its weights.

    Parameters
    ----------
    scenes
        One or several rasters with the same bands.
    output
        The folder of weights; ``train(weights=output)`` starts from it.
    config
        Settings: ``[model]`` (starting weights included), ``[scene]``, ``[sampling]``, ``[augmentation]``,
        ``[optimization]`` (the time or the steps are used in full) and ``[pretraining]``.
    seed
        Decides weights, chips and what is hidden.
    resume
        Go on with a pretraining of this output that was stopped.
    device
        ``auto``, ``cpu`` or ``cuda``.
    reporter
        Told about progress; may cancel.

    Returns
    -------
    dict
        ``weights`` (the folder), ``steps``, ``loss`` (mean squared error in deviations over the last steps, hidden pixels
        weighing ten times as much as visible ones), ``bands``.

    Raises
    ------
    RasterError
        If the scenes differ in their bands or hold no image.
    OutputError
        If the folder cannot be written.
    TrainingError
        If the loss stops being a number (the last good weights are kept beside the output), or there is nothing to
        resume.
    Cancelled
        If the reporter was asked to cancel; what is there can be resumed.
    """
    reporter, config = reporter or Reporter(), config or Config()
    target = resolve_device(device)
    config = config.on_device(target.type)
    workspace = Workspace(Path(output), is_pretrained_folder)
    workspace.open(resume=resume)
    try:
        with torch.random.fork_rng():
            opened, _, _ = open_alike(as_list(scenes), (), config, reporter)
            ground = build_ground(
                opened,
                [None] * len(opened),
                classes=1,
                sampling=config.sampling,
                seed=seed,
                reporter=reporter,
            )
            pretraining = _Pretraining(opened[0], ground, config, seed, workspace)
            summary = pretraining.run(target, reporter, resume=resume)
        workspace.publish()
    except _LastGoodError as error:
        kept = workspace.publish_beside(f"step-{error.step}")
        raise TrainingError(f"{error} They are kept in '{kept}'.") from error
    except Cancelled:
        raise workspace.discard_cancelled() from None
    except BaseException:
        workspace.discard()
        raise
    return {"weights": str(output), **summary}


class _LastGoodError(TrainingError):
    """The pretraining failed, and its last good weights are written."""

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message)
        self.step = step


class Reconstruction:
    """The loss of a masked, denoising autoencoder, in the shape of an objective.

    Parameters
    ----------
    config
        All settings.
    """

    def __init__(self, config: Config) -> None:
        self.settings = config.pretraining
        self.augmentation = build_augmentation(config.augmentation)
        self.thresholds = ClassThresholds.start(1)
        self.collapsed = False
        self.taught_steps = 0

    def __call__(
        self,
        network: nn.Module,
        averaged: AveragedNetwork,  # noqa: ARG002 - objectives share their arguments
        batch: Batch,
        progress: float,  # noqa: ARG002
        generator: Generator,
    ) -> dict[str, Tensor]:
        """Return the mean squared error, hidden pixels weighing most."""
        with torch.autocast(batch.image.device.type, enabled=False):
            clean = self.augmentation.strong(batch, generator)
        assert clean.valid is not None  # noqa: S101
        hidden = hide_squares(
            clean.image, self.settings.mask_share, self.settings.mask_px, generator
        )
        noise = torch.randn(clean.image.shape, generator=generator).to(clean.image)
        seen = (clean.image + self.settings.noise * noise) * ~hidden[:, None]
        bands = clean.image.shape[1]
        restored = network(seen).float()[:, :bands]
        weight = torch.where(hidden, 1.0, VISIBLE_WEIGHT) * clean.valid
        error = (restored - clean.image).square().mean(dim=1)
        return {"reconstruction": (error * weight).sum() / weight.sum().clamp(min=1e-6)}

    def state(self) -> dict[str, Any]:
        """Return nothing: no step depends on the ones before."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up nothing."""


def hide_squares(image: Tensor, share: float, side_px: int, generator: Generator) -> Tensor:
    """Choose squares to hide, bool ``(sample, row, col)``, the same share in every chip.

    Examples
    --------
    >>> hidden = hide_squares(torch.zeros(2, 3, 32, 32), 0.5, 8, torch.Generator().manual_seed(0))
    >>> hidden.float().mean((1, 2))
    tensor([0.5000, 0.5000])
    """
    count, _, height, width = image.shape
    rows, cols = -(-height // side_px), -(-width // side_px)
    luck = torch.rand((count, rows * cols), generator=generator)
    most = round(share * rows * cols)
    chosen = luck.argsort(dim=1).argsort(dim=1) < most
    squares = chosen.view(count, rows, cols)
    spread = squares.repeat_interleave(side_px, 1).repeat_interleave(side_px, 2)
    return spread[:, :height, :width].to(image.device)


@dataclass(frozen=True, eq=False)
class _Pretraining:
    """One pretraining: what it learns from, and what it writes.

    Parameters
    ----------
    scene
        The first one; it names the bands.
    ground, config, seed
        What decides the weights.
    workspace
        Where they come into being.
    """

    scene: Scene
    ground: Ground
    config: Config
    seed: int
    workspace: Workspace

    def run(self, device: torch.device, reporter: Reporter, *, resume: bool) -> dict[str, Any]:
        """Learn, write the folder, and return what was learnt."""
        learner = self._build_learner(device, reporter)
        if resume:
            self._take_up(learner)
        log = TrainingLog(self.workspace.training, learner.step if resume else None)
        loop = Loop(self.config, device, log, reporter, save=lambda: self._save(learner))
        try:
            learner.budget.begin(60.0 * self.config.optimization.minutes)
            loop.run(learner, self._chips(), 1.0)
        except LossNotFiniteError as error:
            log.close()
            raise self._keep_last_good(error, learner) from error
        finally:
            log.close()
        self._save(learner)
        return self._write(learner, log)

    def _identity(self) -> str:
        """Return a text that is the same for pretrainings of which one may resume the other."""
        settings = self.config.to_dict()
        for name in ("minutes", "steps"):
            settings["optimization"].pop(name)
        return json.dumps([settings, self.seed, self.ground.digest], sort_keys=True)

    def _save(self, learner: Learner) -> None:
        if learner.is_finite:
            state = {"identity": self._identity(), "learner": learner.state()}
            write_checkpoint(self.workspace.checkpoint, state)

    def _take_up(self, learner: Learner) -> None:
        state = read_checkpoint(self.workspace.checkpoint)
        if state["identity"] != self._identity():
            raise TrainingError(
                "The stopped pretraining had other imagery, settings or another seed. Expected the same ones, besides "
                "minutes and steps; repeat them, or start anew without '--resume'."
            )
        learner.load_state(state["learner"])

    def _keep_last_good(self, error: LossNotFiniteError, learner: Learner) -> TrainingError:
        """Write the weights of the last checkpoint, and return the error that says of which step they are."""
        if not self.workspace.checkpoint.exists():
            return TrainingError(f"{error} No earlier state was kept.")
        self._take_up(learner)
        log = TrainingLog(self.workspace.training, learner.step)
        log.close()
        self._write(learner, log)
        return _LastGoodError(
            f"{error} The last good weights are those of step {learner.step}.", learner.step
        )

    def _build_learner(self, device: torch.device, reporter: Reporter) -> Learner:
        torch.manual_seed(self.seed)
        settings, bands = self.config.optimization, self.ground.bands
        network = build_network(bands=bands, classes=max(bands, 2), **network_options(self.config))
        weights = find_weights(self.config.model.weights, network.encoder_name)
        if weights is not None:
            apply_weights(network, weights, self.scene.bands, reporter)
        budget = Budget(settings.steps, 60.0 * settings.minutes)
        objective = Reconstruction(self.config)
        return Learner(network.to(device), objective, self.config, budget, self.seed)

    def _chips(self) -> TrainingChips:
        sampling, ground = self.config.sampling, self.ground
        plan = ChipPlan(sampling.chip_size, sampling.batch_size, 0, 0.0, 0.0, self.seed)
        return TrainingChips(join_layers(ground.patches), ground.normalization(), plan)

    def _settle_statistics(self, learner: Learner) -> None:
        """Measure the statistics of batch normalization on chips of which nothing is hidden, as a training shows them."""
        batches = (batch.image for batch in islice(self._chips().load(), STATISTICS_BATCHES))
        update_bn(batches, learner.model, next(learner.model.parameters()).device)

    def _write(self, learner: Learner, log: TrainingLog) -> dict[str, Any]:
        """Write weights, their description and the curves, and return what was learnt."""
        from safetensors.torch import save

        folder = self.workspace.folder
        log.draw(self.workspace.training / "curves.png")
        losses = [float(row["reconstruction"]) for row in log.rows() if row["reconstruction"]]
        recent = losses[-max(len(losses) // 10, 1) :]
        summary = {
            "steps": learner.step,
            "loss": sum(recent) / len(recent) if recent else None,
            "bands": list(band_specs(self.scene)),
        }
        self._settle_statistics(learner)
        state = learner.model.cpu().state_dict()
        kept = {k: v.contiguous().clone() for k, v in state.items() if "segmentation_head" not in k}
        (folder / PRETRAINED_TENSORS).write_bytes(save(kept))
        description = {
            "format": PRETRAINED_FORMAT,
            "format_version": 1,
            "architecture": network_options(self.config),
            "normalization": self.ground.normalization().to_json(),
            "resolution_m": self.ground.resolution_m,
            "versions": library_versions(),
            **summary,
            "common_names": _common_names(self.scene),
            "seed": self.seed,
        }
        text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
        (folder / PRETRAINED_DESCRIPTION).write_text(text, encoding="utf-8")
        return summary


def _common_names(scene: Scene) -> list[str]:
    """Return the common names of a scene's bands, empty where there is none or it tells nothing apart."""
    names = [common_name(band) for band in scene.bands]
    return [name if names.count(name) == 1 else "" for name in names]
