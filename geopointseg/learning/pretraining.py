"""Self-supervised pretraining on unlabelled rasters with a masked, denoising autoencoder.

Chips get the geometric and radiometric augmentation of a training. Squares of each chip are masked and noise is added to the
rest. The network reconstructs the chip. Its weights are the initial weights of a training with points on imagery of the same
kind. No internet connection is needed.

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
from geopointseg.learning.budget import TrainingBudget
from geopointseg.learning.chips import TrainingChips, join_layers
from geopointseg.learning.consistency import AveragedNetwork
from geopointseg.learning.embedding_members import settings_for_embedding
from geopointseg.learning.initial_network import network_options, with_plain_network
from geopointseg.learning.model_output import OutputFolder
from geopointseg.learning.objective import build_augmentation
from geopointseg.learning.optional_terms import Consistency
from geopointseg.learning.preparation import open_alike
from geopointseg.learning.trainer import (
    Learner,
    LossNotFiniteError,
    TrainingLoop,
    read_checkpoint,
    release_memory,
    write_checkpoint,
)
from geopointseg.learning.training_imagery import TrainingImagery, read_training_imagery
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
from geopointseg.setting import as_list

VISIBLE_WEIGHT = 0.1
"""Weight of a visible pixel in the loss; a masked one has weight 1."""
STATISTICS_BATCHES = 50
"""Number of batches from which the statistics of batch normalization are computed at the end."""


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
        Of initial weights, chips and masks.
    resume
        Continue a stopped pretraining of this output.
    device
        ``auto``, ``cpu`` or ``cuda``.
    reporter
        Receives messages and progress; may cancel.

    Returns
    -------
    dict
        ``weights`` (the folder), ``steps``, ``loss`` (mean squared error over the last tenth of the logged steps, in squared
        standard deviations per band; masked pixels have ten times the weight of visible ones), ``bands``.

    Raises
    ------
    RasterError
        If the scenes differ in their bands or hold no image.
    OutputError
        If the folder cannot be written.
    TrainingError
        If the loss is not finite (the last good weights are kept beside the output), or there is nothing to resume.
    Cancelled
        If the reporter was asked to cancel; the pretraining can be resumed.
    """
    reporter, config = reporter or Reporter(), config or Config()
    target = resolve_device(device)
    config = with_plain_network(config.on_device(target.type))
    folder = OutputFolder(Path(output), is_pretrained_folder)
    folder.open(resume=resume)
    try:
        with torch.random.fork_rng():
            opened, _, _ = open_alike(as_list(scenes), (), config, reporter)
            if opened[0].embedding is not None:
                config = settings_for_embedding(config, opened[0])
            imagery = read_training_imagery(
                opened,
                [None] * len(opened),
                classes=1,
                sampling=config.sampling,
                seed=seed,
                reporter=reporter,
            )
            pretraining = _Pretraining(opened[0], imagery, config, seed, folder)
            summary = pretraining.run(target, reporter, resume=resume)
            release_memory()
        folder.publish()
    except _LastGoodError as error:
        kept = folder.publish_beside(f"step-{error.step}")
        raise TrainingError(f"{error} They are kept in '{kept}'.") from error
    except Cancelled:
        raise folder.discard_cancelled() from None
    except BaseException:
        folder.discard()
        raise
    return {"weights": str(output), **summary}


class _LastGoodError(TrainingError):
    """The loss is not finite, and the last good weights are written."""

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message)
        self.step = step


class Reconstruction:
    """The loss of a masked, denoising autoencoder, called like `Objective`.

    Parameters
    ----------
    config
        All settings.
    """

    def __init__(self, config: Config) -> None:
        self.settings = config.pretraining
        self.augmentation = build_augmentation(config.augmentation)
        self.consistency = Consistency(config.teaching, classes=1)  # its weight is never used

    def __call__(
        self,
        network: nn.Module,
        averaged: AveragedNetwork,  # noqa: ARG002 - objectives share their arguments
        batch: Batch,
        progress: float,  # noqa: ARG002
        generator: Generator,
    ) -> dict[str, Tensor]:
        """Return the mean squared error, weighted by `VISIBLE_WEIGHT`.

        Parameters
        ----------
        network
            The network that is trained; its first channels are the reconstructed bands.
        averaged
            Unused.
        batch
            As drawn, not augmented.
        progress
            Unused.
        generator
            Source of randomness for augmentation, masks and noise.
        """
        with torch.autocast(batch.image.device.type, enabled=False):
            clean = self.augmentation.strong(batch, generator)
        assert clean.valid is not None  # noqa: S101
        hidden = mask_squares(
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
        """Return an empty state: no step depends on earlier ones."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Do nothing."""


def mask_squares(image: Tensor, share: float, side_px: int, generator: Generator) -> Tensor:
    """Choose squares to mask, with the same share in every chip.

    Parameters
    ----------
    image
        ``(sample, band, row, col)``; only its shape and device are used.
    share
        Share of the squares that are masked, 0..1.
    side_px
        Side of a square in pixels.
    generator
        Decides which squares.

    Returns
    -------
    Tensor
        bool ``(sample, row, col)``, True where masked.

    Examples
    --------
    >>> hidden = mask_squares(torch.zeros(2, 3, 32, 32), 0.5, 8, torch.Generator().manual_seed(0))
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
    """One pretraining: its imagery, settings and output.

    Parameters
    ----------
    scene
        The first one, which names the bands.
    imagery
        Imagery in memory.
    config
        All settings.
    seed
        Of initial weights, chips and masks.
    output
        The output folder.
    """

    scene: Scene
    imagery: TrainingImagery
    config: Config
    seed: int
    output: OutputFolder

    def run(self, device: torch.device, reporter: Reporter, *, resume: bool) -> dict[str, Any]:
        """Train the network, write the folder, and return steps, loss and bands."""
        learner = self._build_learner(device, reporter)
        if resume:
            self._restore(learner)
        log = TrainingLog(self.output.training, learner.step if resume else None)
        loop = TrainingLoop(self.config, device, log, reporter, save=lambda: self._save(learner))
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
        """Return a text that is equal for two pretrainings if one may resume the other."""
        settings = self.config.to_dict()
        for name in ("minutes", "steps"):
            settings["optimization"].pop(name)
        return json.dumps([settings, self.seed, self.imagery.digest], sort_keys=True)

    def _save(self, learner: Learner) -> None:
        if learner.is_finite:
            state = {"identity": self._identity(), "learner": learner.state()}
            write_checkpoint(self.output.checkpoint, state)

    def _restore(self, learner: Learner) -> None:
        state = read_checkpoint(self.output.checkpoint)
        if state["identity"] != self._identity():
            raise TrainingError(
                "The stopped pretraining had other imagery, settings or another seed. Expected the same ones, except "
                "minutes and steps; repeat them, or start again without `resume=True`."
            )
        learner.load_state(state["learner"])

    def _keep_last_good(self, error: LossNotFiniteError, learner: Learner) -> TrainingError:
        """Write the weights of the last checkpoint, and return the error that names their step."""
        if not self.output.checkpoint.exists():
            return TrainingError(f"{error} No earlier state was kept.")
        self._restore(learner)
        log = TrainingLog(self.output.training, learner.step)
        log.close()
        self._write(learner, log)
        return _LastGoodError(
            f"{error} The last good weights are those of step {learner.step}.", learner.step
        )

    def _build_learner(self, device: torch.device, reporter: Reporter) -> Learner:
        torch.manual_seed(self.seed)
        settings, bands = self.config.optimization, self.imagery.bands
        network = build_network(bands=bands, classes=max(bands, 2), **network_options(self.config))
        weights = find_weights(self.config.model.weights, network.encoder_name)
        if weights is not None:
            apply_weights(network, weights, self.scene.bands, reporter)
        budget = TrainingBudget(settings.steps, 60.0 * settings.minutes)
        objective = Reconstruction(self.config)
        return Learner(network.to(device), objective, self.config, budget, self.seed)

    def _chips(self) -> TrainingChips:
        sampling, imagery = self.config.sampling, self.imagery
        plan = ChipPlan(sampling.chip_size, sampling.batch_size, 0, 0.0, 0.0, self.seed)
        return TrainingChips(join_layers(imagery.patches), imagery.normalization(), plan)

    def _settle_statistics(self, learner: Learner) -> None:
        """Compute the statistics of batch normalization on chips without masks, as in a training."""
        batches = (batch.image for batch in islice(self._chips().load(), STATISTICS_BATCHES))
        update_bn(batches, learner.model, next(learner.model.parameters()).device)

    def _write(self, learner: Learner, log: TrainingLog) -> dict[str, Any]:
        """Write weights, their description and the curves, and return steps, loss and bands."""
        from safetensors.torch import save

        folder = self.output.folder
        log.draw(self.output.training / "curves.png")
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
            "normalization": self.imagery.normalization().to_json(),
            "resolution_m": self.imagery.resolution_m,
            "versions": library_versions(),
            **summary,
            "common_names": _common_names(self.scene),
            "seed": self.seed,
        }
        text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
        (folder / PRETRAINED_DESCRIPTION).write_text(text, encoding="utf-8")
        return summary


def _common_names(scene: Scene) -> list[str]:
    """Return the common names of a scene's bands, empty where there is none or where it is not unique."""
    names = [common_name(band) for band in scene.bands]
    return [name if names.count(name) == 1 else "" for name in names]
