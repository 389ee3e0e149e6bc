"""The output folder of a training: written under a hidden name and moved into place when it is complete."""

from __future__ import annotations

import contextlib
import filecmp
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from geopointseg.errors import Cancelled, OutputError, TrainingError
from geopointseg.model.bundle import is_model_folder
from geopointseg.raster.folder_publishing import (
    lock_of,
    publish_folder,
    require_free_folder,
    restore_folder,
)
from geopointseg.raster.lock import hold_lock
from geopointseg.raster.publishing import beside as name_beside
from geopointseg.raster.publishing import explain_write_error, hidden_beside

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class OutputFolder:
    """The folder that a training writes, locked against other trainings.

    Parameters
    ----------
    output
        Final path of the folder.
    is_ours
        Returns whether an existing folder is of the kind that is written and may be replaced.
    """

    output: Path
    is_ours: Callable[[Path], bool] = is_model_folder
    _held: ExitStack = field(default_factory=ExitStack, repr=False, compare=False)

    @property
    def folder(self) -> Path:
        """The hidden folder beside the output."""
        return hidden_beside(self.output.absolute(), ".partial")

    @property
    def training(self) -> Path:
        """Folder of metrics, events, curves and the checkpoint."""
        return self.folder / "training"

    @property
    def checkpoint(self) -> Path:
        """The file from which a stopped training is resumed."""
        return self.training / CHECKPOINT

    def open(self, *, resume: bool) -> None:
        """Make the hidden folder and lock the output until `publish` or `discard`.

        Parameters
        ----------
        resume
            Keep the files of a stopped or finished training; else begin with an empty folder.

        Raises
        ------
        OutputError
            If the output folder holds something else, cannot be written, or is locked by another run.
        TrainingError
            If there is nothing to resume.
        """
        require_free_folder(self.output, self.is_ours)
        finished = self.output / "training" / CHECKPOINT
        self._held.callback(_remove_empty, _missing_parents(self.output.absolute()))
        try:
            self._held.enter_context(hold_lock(lock_of(self.output), self.output))
            restore_folder(self.output)
            if not resume:
                shutil.rmtree(self.folder, ignore_errors=True)
            elif not self.checkpoint.exists() and self.is_ours(self.output) and finished.exists():
                shutil.copytree(finished.parent, self.training, ignore=_links, dirs_exist_ok=True)
            self.training.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._held.close()
            raise explain_write_error(error, self.output) from error
        if resume and not self.checkpoint.exists():
            self.discard()
            raise TrainingError(
                f"There is nothing to resume for '{self.output}': no training was stopped there. Expected the output "
                "folder of a stopped training; start again without `resume=True`."
            )

    def publish(self) -> None:
        """Move the complete folder to its final path and release the lock.

        Raises
        ------
        OutputError
            If it cannot be moved.
        """
        try:
            publish_folder(self.folder, self.output.absolute(), self.is_ours)
        except OSError as error:
            raise explain_write_error(error, self.output) from error
        self._held.close()

    def publish_beside(self, suffix: str) -> Path:
        """Move the folder without its checkpoint to another name beside the output.

        Parameters
        ----------
        suffix
            Added to the name of the output.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        OutputError
            If something else has this name, or the folder cannot be moved.
        """
        beside = name_beside(self.output.absolute(), f".{suffix}")
        if beside.exists() and not self.is_ours(beside):
            self._held.close()
            raise OutputError(
                f"'{beside}' exists and is something else. It is left as it is; move it away and train again."
            )
        try:
            shutil.rmtree(beside, ignore_errors=True)
            self.folder.rename(beside)
            (beside / "training" / CHECKPOINT).unlink(missing_ok=True)
        except OSError as error:
            raise explain_write_error(error, beside) from error
        finally:
            self._held.close()
        return beside

    def discard(self) -> None:
        """Remove the hidden folder, unless it holds a checkpoint that the output lacks, and release the lock."""
        if not self._is_worth_resuming():
            shutil.rmtree(self.folder, ignore_errors=True)
        self._held.close()

    def discard_cancelled(self) -> Cancelled:
        """Call `discard` and return the error that reports the cancellation."""
        self.discard()
        if not self.checkpoint.exists():
            return Cancelled("Cancelled; no output was written.")
        return Cancelled(
            "Cancelled; no output was written. Repeat it with `resume=True` to continue."
        )

    def _is_worth_resuming(self) -> bool:
        finished = self.output / "training" / CHECKPOINT
        return self.checkpoint.exists() and not (
            finished.exists() and filecmp.cmp(finished, self.checkpoint, shallow=False)
        )


def _links(folder: str, names: list[str]) -> set[str]:
    """Return the links in a folder, which are not followed: a link to its own folder would be copied 2^40 times."""
    return {name for name in names if (Path(folder) / name).is_symlink()}


def _missing_parents(path: Path) -> list[Path]:
    """Return the parent folders of a path that do not exist, innermost first."""
    return [parent for parent in path.parents if not parent.exists()]


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove the empty ones of the folders that a refused run made."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()
