"""The training loop, run by Lightning: what one step computes, and what happens between steps.

A step depends on the seed, its number, the weights and the used share of the budget. A training by steps that is
interrupted and resumed therefore gives the same weights as one that is not interrupted. Between steps, the loop checks the
budget and whether the reporter cancels. It ends with an error if the loss is not finite, and halves the batch once if the
GPU runs out of memory.
"""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import math
import signal
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import lightning as L
import torch
from torch import Generator, Tensor, nn

from geopointseg.config import Config, OptimizationConfig
from geopointseg.errors import ModelError, TrainingError
from geopointseg.learning.budget import TrainingBudget
from geopointseg.learning.chips import TrainingChips
from geopointseg.learning.consistency import AveragedNetwork
from geopointseg.learning.optional_terms import Consistency
from geopointseg.learning.training_log import TrainingLog
from geopointseg.model.allocator import return_freed_memory
from geopointseg.model.architecture import Network
from geopointseg.model.bundle import has_bfloat16
from geopointseg.model.tensor_file import read_pickled_tensors
from geopointseg.progress import Reporter
from geopointseg.sampling.augmentation import Batch

LOG_STEPS = 10
"""Losses are averaged over this many steps before they are written."""
CHECKPOINT_S = 60.0
"""Seconds between checkpoints."""
FIRST_CHECKPOINT_S = 10.0
"""Seconds to the first checkpoint of a phase."""


class StepLoss(Protocol):
    """The loss terms of a step, with the state of those that have one."""

    consistency: Consistency

    def __call__(
        self,
        network: nn.Module,
        averaged: AveragedNetwork,
        batch: Batch,
        progress: float,
        generator: Generator,
    ) -> dict[str, Tensor]:
        """Return weighted losses by name."""

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""


class LossNotFiniteError(TrainingError):
    """The loss is not a finite number."""

    def __init__(self, step: int, loss: float) -> None:
        self.step = step
        super().__init__(
            f"The loss is {loss} at step {step}. Expected a finite number; lower [optimization] "
            "encoder_learning_rate and decoder_learning_rate, or check the scene for extreme values."
        )


class Learner(L.LightningModule):
    """A network in training, with its exponential moving average, its optimizer and the number of steps done.

    Parameters
    ----------
    network
        The network, on the device that it is trained on.
    objective
        Returns the loss terms of a step.
    config
        All settings.
    budget
        Time or number of steps.
    seed
        Seed of augmentation and dropout in every step.
    """

    def __init__(
        self,
        network: Network,
        objective: StepLoss,
        config: Config,
        budget: TrainingBudget,
        seed: int,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.average = AveragedNetwork(self.network, config.teaching.ema_decay)
        self.objective = objective
        self.settings = config.optimization
        self.budget = budget
        self.seed = seed
        self.step = 0
        self.losses: dict[str, float] = {}
        self.optimizer = build_optimizer(self.network, config.optimization)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer, which is kept for all phases of a training."""
        return self.optimizer

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, _: int) -> Batch:
        """Move a batch to the device of the network."""
        moved = {
            k: v.to(device, non_blocking=True) for k, v in vars(batch).items() if v is not None
        }
        return replace(batch, **moved)

    def on_fit_start(self) -> None:
        """Move the averaged network to the device of the network."""
        self.average.network.to(self.device)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Return the loss of a step.

        Raises
        ------
        LossNotFiniteError
            If it is not a finite number.
        """
        seed = (self.seed * 1_000_003 + self.step) % 2**63
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed + 1)
        progress = self.budget.progress(self.step)
        factor = learning_rate_factor(progress, self.settings.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        losses = self.objective(self.network, self.average, batch, progress, generator)
        total = torch.stack(list(losses.values())).sum()
        if not bool(torch.isfinite(total)):
            raise LossNotFiniteError(self.step, float(total.detach()))
        self.losses = {name: float(value.detach()) for name, value in losses.items()}
        return total

    def finish_step(self) -> None:
        """Count the step and update the exponential moving average."""
        self.step += 1
        self.average.update(self.network)

    @property
    def model(self) -> Network:
        """The network that is kept: the averaged one, or that of the last step where averaging is off."""
        return cast("Network", self.average.network) if self.average.decay > 0 else self.network

    @property
    def is_finite(self) -> bool:
        """Whether all weights are finite."""
        return all(bool(torch.isfinite(p).all()) for p in self.network.parameters())

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint: tensors and plain values only."""
        return {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "updates": self.average.updates,
            "optimizer": self.optimizer.state_dict(),
            "objective": self.objective.state(),
            "budget": self.budget.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.step = int(state["step"])
        self.network.load_state_dict(state["network"])
        self.average.network.load_state_dict(state["average"])
        self.average.updates = int(state["updates"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.objective.load_state(state["objective"])
        self.budget.load_state(state["budget"])


def build_optimizer(network: Network, settings: OptimizationConfig) -> torch.optim.AdamW:
    """Return AdamW with learning rates for the encoder, by stage, and for the rest; norms and biases do not decay.

    References
    ----------
    I. Loshchilov and F. Hutter, Decoupled weight decay regularization, ICLR 2019,
    doi:10.48550/arXiv.1711.05101.
    J. Howard and S. Ruder, Universal language model fine-tuning for text classification, ACL 2018,
    doi:10.18653/v1/P18-1031 (a learning rate for each stage).
    """
    rate, factor = settings.encoder_learning_rate, settings.encoder_rate_decay
    stages = [network.encoder_parameters()] if factor == 1.0 else network.encoder_stages()
    rates = [rate * factor ** (len(stages) - k) for k in range(1, len(stages) + 1)]
    groups = []
    for parameters, rate in zip(
        [*stages, network.decoder_parameters()],
        [*rates, settings.decoder_learning_rate],
        strict=True,
    ):
        trained = [p for p in parameters if p.requires_grad]
        weights = [p for p in trained if p.ndim > 1]
        others = [p for p in trained if p.ndim <= 1]
        for chosen, decay in ((weights, settings.weight_decay), (others, 0.0)):
            if chosen:
                groups.append({"params": chosen, "lr": rate, "peak": rate, "weight_decay": decay})
    if not groups:
        raise ModelError(
            "Nothing is left to train: the encoder is frozen and the network has no other part. Expected trainable "
            "weights; set [model] freeze_encoder = false."
        )
    return torch.optim.AdamW(groups, foreach=True)


def learning_rate_factor(progress: float, warmup: float) -> float:
    """Return the share of the peak learning rate: a linear rise, then half a cosine down to 1 %.

    References
    ----------
    I. Loshchilov and F. Hutter, SGDR, ICLR 2017, doi:10.48550/arXiv.1608.03983.

    Examples
    --------
    >>> learning_rate_factor(0.05, 0.1), learning_rate_factor(0.1, 0.1), learning_rate_factor(1.0, 0.1)
    (0.5, 1.0, 0.01)
    """
    if progress < warmup:
        return max(progress / warmup, 0.02)
    share = (progress - warmup) / max(1.0 - warmup, 1e-9)
    return round(0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))), 12)


def choose_precision(
    device: torch.device, settings: OptimizationConfig
) -> Literal["bf16-mixed", "32-true"]:
    """Return Lightning's name of the precision: bfloat16 mixed with 32 bits where the device computes it fast.

    References
    ----------
    D. Kalamkar et al., A study of BFLOAT16 for deep learning training, 2019, doi:10.48550/arXiv.1905.12322.
    """
    is_fast = has_bfloat16(device)
    return "bf16-mixed" if settings.precision == "auto" and is_fast else "32-true"


@dataclass
class TrainingLoop:
    """Runs the phases of a training, and writes log and checkpoints.

    Parameters
    ----------
    config
        All settings.
    device
        Where to train.
    log
        Where losses are written.
    reporter
        Receives progress; may cancel.
    save
        Writes a checkpoint; called every `CHECKPOINT_S` seconds.
    """

    config: Config
    device: torch.device
    log: TrainingLog
    reporter: Reporter
    save: Callable[[], None]
    halved: bool = field(default=False, init=False)

    def run(
        self,
        learner: Learner,
        chips: TrainingChips,
        until: float,
        check: Callable[[float], bool] | None = None,
    ) -> None:
        """Train until a share of the budget is used.

        Parameters
        ----------
        learner
            The network in training; continues after the steps it has done.
        chips
            The training chips.
        until
            Share of the budget, 0..1.
        check
            Called after every step with the used share of the budget; the phase ends if it returns True.

        Raises
        ------
        TrainingError
            If the loss is not finite, or half a batch does not fit into the GPU's memory.
        Cancelled
            If the reporter was asked to cancel; a checkpoint is written first.
        """
        if self.halved:
            chips.plan = chips.plan.halved()
        while learner.budget.progress(learner.step) < until:
            try:
                self._fit(learner, chips, until, check)
            except torch.OutOfMemoryError as error:
                self._halve(chips, error)
                learner.zero_grad(set_to_none=True)
            else:
                break
        if not learner.is_finite:
            raise LossNotFiniteError(learner.step, math.nan)

    def _fit(
        self,
        learner: Learner,
        chips: TrainingChips,
        until: float,
        check: Callable[[float], bool] | None,
    ) -> None:
        loader = chips.load(learner.step, self.config.sampling.workers)
        interrupt = signal.getsignal(signal.SIGINT)
        with _quiet_lightning():
            trainer = L.Trainer(
                accelerator="gpu" if self.device.type == "cuda" else "cpu",
                devices=[self.device.index or 0] if self.device.type == "cuda" else 1,
                precision=choose_precision(self.device, self.config.optimization),
                max_epochs=1,
                logger=False,
                callbacks=[_StepCallback(self, until, check)],
                gradient_clip_val=self.config.optimization.gradient_clip or None,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
            )
            try:
                trainer.fit(learner, loader)
            except SystemExit as error:
                if not isinstance(error.__context__, KeyboardInterrupt):
                    raise
                signal.signal(
                    signal.SIGINT, interrupt
                )  # Lightning ends the process and ignores interrupts
                raise KeyboardInterrupt from None
            finally:
                learner.network.to(self.device)  # Lightning leaves it on the processor

    def _halve(self, chips: TrainingChips, error: torch.OutOfMemoryError) -> None:
        if self.halved or chips.plan.batch < 2:
            raise TrainingError(
                f"The GPU's memory does not hold {chips.plan.batch} chips of {chips.plan.size} pixels "
                f"({str(error).splitlines()[0]}). Expected half a batch to fit; lower [sampling] batch_size or "
                "chip_size, or train with `device='cpu'`."
            ) from error
        self.halved = True
        before, chips.plan = chips.plan.batch, chips.plan.halved()
        torch.cuda.empty_cache()
        self.reporter.warn(
            f"The GPU's memory did not hold a batch of {before} chips; training continues with {chips.plan.batch}."
        )


class _StepCallback(L.Callback):
    """Updates counters, log, checkpoint and progress after every step."""

    def __init__(
        self, loop: TrainingLoop, until: float, check: Callable[[float], bool] | None
    ) -> None:
        self._loop = loop
        self._until = until
        self._check = check
        self._sums: dict[str, float] = {}
        self._count = 0
        self._saved_s: float | None = None
        self._was_collapsed = False

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        learner = pl_module
        assert isinstance(learner, Learner)  # noqa: S101
        learner.finish_step()
        progress = learner.budget.progress(learner.step)
        self._log_losses(learner, progress)
        self._warn_of_collapse(learner)
        stop = self._check is not None and self._check(progress)
        self._checkpoint(learner)
        if self._loop.reporter.is_cancelled:
            self._loop.save()
        self._loop.reporter.progress(
            "train", progress, f"step {learner.step}, loss {sum(learner.losses.values()):.3f}"
        )
        trainer.should_stop = stop or progress >= self._until

    def _log_losses(self, learner: Learner, progress: float) -> None:
        self._count += 1
        for name, value in learner.losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        if learner.step % LOG_STEPS == 0 or progress >= self._until:
            means = {name: value / self._count for name, value in self._sums.items()}
            rate = learner.optimizer.param_groups[-1]["lr"]
            row: dict[str, Any] = {"learning_rate": rate, "loss": sum(means.values()), **means}
            if learner.objective.consistency.active_steps:
                shares = learner.objective.consistency.thresholds.histogram.tolist()
                row["pseudo_labels"] = " ".join(f"{share:.3f}" for share in shares)
            self._loop.log.write(learner.step, learner.budget.elapsed_s, progress, row)
            self._sums, self._count = {}, 0

    def _warn_of_collapse(self, learner: Learner) -> None:
        consistency = learner.objective.consistency
        if consistency.collapsed and not self._was_collapsed:
            shares = ", ".join(
                f"{share:.0%}" for share in consistency.thresholds.histogram.tolist()
            )
            self._loop.reporter.warn(
                f"Pseudo-labels collapsed onto few classes by step {learner.step} ({shares} in the order of the "
                "legend). The consistency loss is switched off; the other loss terms stay."
            )
        self._was_collapsed = consistency.collapsed

    def _checkpoint(self, learner: Learner) -> None:
        now = learner.budget.elapsed_s
        if self._saved_s is None:
            self._saved_s = now + min(FIRST_CHECKPOINT_S - CHECKPOINT_S, 0.0)
        elif now - self._saved_s >= CHECKPOINT_S:
            self._loop.save()
            self._saved_s = now


@contextlib.contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Suppress Lightning's console messages; the reporter shows progress and warnings."""
    loggers = [
        logging.getLogger(n) for n in ("lightning.pytorch", "lightning.fabric", "pytorch_lightning")
    ]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            warnings.filterwarnings("ignore", message=r".*(litlogger|num_workers|LeafSpec).*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint as a whole or not at all.

    It is packed in memory first: torch hides the error of a full disk where it writes the file itself.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = io.BytesIO()
    torch.save(state, packed)
    temporary = path.with_suffix(".partial")
    temporary.write_bytes(packed.getbuffer())
    temporary.replace(path)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; only tensors and plain values are unpickled.

    Raises
    ------
    TrainingError
        If it is missing or damaged.
    """
    try:
        state: dict[str, Any] = read_pickled_tensors(path)
    except FileNotFoundError:
        raise TrainingError(
            f"There is nothing to resume: '{path}' does not exist. Expected the checkpoint of a training that was "
            "stopped; start it without `resume=True`."
        ) from None
    except Exception as error:
        raise TrainingError(
            f"The checkpoint '{path}' cannot be read ({str(error).splitlines()[0]}). Expected the checkpoint of a "
            "stopped training; start again without `resume=True`."
        ) from error
    return state


def release_memory() -> None:
    """Free the imagery and networks of a training that has ended, and return their memory to the system.

    Lightning's trainer, its loops and the callbacks refer to each other. Without this, what they hold stays in memory until
    Python's next full collection, which may be many trainings later.
    """
    gc.collect()
    return_freed_memory()
