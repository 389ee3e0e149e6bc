"""The work folder of a prediction: what is finished, for which job, and who works on it.

Beside the output ``map.tif`` lies ``map.tif.partial/`` while a prediction runs. Each finished tile is a file
there, moved into place when whole; these files are the journal. ``job.json`` says which models, rasters and
settings they were made with, and an operating system lock, which vanishes with its process however that ends,
keeps a second run out.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from geopointseg.errors import Cancelled, ConfigError, OutputError
from geopointseg.prediction.tile_store import is_complete
from geopointseg.prediction.tiling import Tile
from geopointseg.raster.lock import hold_lock
from geopointseg.raster.publishing import beside, explain_write_error, require_writable_folder

JOB_FILE = "job.json"
LOCK_FILE = "lock"


@dataclass(frozen=True)
class WorkFolder:
    """The folder of a prediction in progress.

    Parameters
    ----------
    path
        For example ``map.tif.partial``.
    key
        Key of the job, part of the name of every tile: a worker of an earlier run may still write a tile when the run
        has ended, and that tile must not become part of another map.
    """

    path: Path
    key: str = ""

    def of_job(self, job: Mapping[str, Any]) -> WorkFolder:
        """Return the folder with the key of a job, which is the same in every process."""
        text = json.dumps(dict(job), sort_keys=True, ensure_ascii=False)
        return replace(self, key=hashlib.sha256(text.encode()).hexdigest()[:32])

    @classmethod
    def beside(cls, output: Path) -> WorkFolder:
        """Return the work folder that belongs to an output."""
        return cls(beside(output, ".partial"))

    def part(self, tile: Tile) -> Path:
        """Return where a computed tile lies until the output tiles around it are finished."""
        return self.path / "parts" / self._name(tile)

    def output_tile(self, tile: Tile) -> Path:
        """Return where a finished tile of the output lies."""
        return self.path / "tiles" / self._name(tile)

    def _name(self, tile: Tile) -> str:
        return f"{tile[0]:05d}-{tile[1]:05d}" + (f".{self.key}" if self.key else "")

    def has_part(self, tile: Tile) -> bool:
        """Whether a tile is computed and still at hand."""
        return is_complete(self.part(tile))

    def has_output_tile(self, tile: Tile) -> bool:
        """Whether a tile of the output is finished."""
        return is_complete(self.output_tile(tile))

    def prepare(self, job: Mapping[str, Any]) -> None:
        """Make the folder and write down the job."""
        for folder in ("parts", "tiles"):
            (self.path / folder).mkdir(parents=True, exist_ok=True)
        text = json.dumps(dict(job), indent=1, ensure_ascii=False)
        (self.path / JOB_FILE).write_text(text, encoding="utf-8")

    def job(self) -> dict[str, Any] | None:
        """Return the job that the folder belongs to; None where nothing usable was written down."""
        try:
            found = json.loads((self.path / JOB_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def note(self, name: str) -> str:
        """Return what an earlier run decided, empty where it did not."""
        path = self.path / f"{name}.txt"
        return path.read_text(encoding="utf-8").strip() if path.exists() else ""

    def write_note(self, name: str, text: str) -> None:
        """Write down a decision that a resumed run must follow."""
        (self.path / f"{name}.txt").write_text(text, encoding="utf-8")

    def clear(self) -> None:
        """Remove what earlier runs left, but not the lock."""
        for file in (self.path / JOB_FILE, *self.path.glob("*.txt")):
            file.unlink(missing_ok=True)
        for folder in ("parts", "tiles"):
            shutil.rmtree(self.path / folder, ignore_errors=True)

    def is_empty(self) -> bool:
        """Whether nothing was computed and nothing decided, so that there is nothing to resume."""
        tiles = (self.path / folder for folder in ("parts", "tiles"))
        made = (file for folder in tiles for file in folder.glob("[!.]*"))
        return not any(made) and not any(self.path.glob("*.txt"))

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)


@contextmanager
def open_journal(output: Path, job: Mapping[str, Any], *, resume: bool) -> Iterator[WorkFolder]:
    """Lock the work folder of an output, start afresh or go on, and remove it when the block ends well.

    Parameters
    ----------
    output
        The map.
    job
        All that decides the map's content, as names and JSON values.
    resume
        Whether to go on with what is there; otherwise it is thrown away.

    Raises
    ------
    OutputError
        If another run works on the same output, or the folder cannot be made.
    ConfigError
        If the job to resume is another one; the message names the first difference.

    Notes
    -----
    A run that fails before anything is computed leaves no folder; one that is cancelled can be resumed at any time.
    """
    require_writable_folder(output)
    work = WorkFolder.beside(output)
    try:
        with hold_lock(work.path / LOCK_FILE, output):
            try:
                _start(work, job, resume=resume)
                yield work
            except Exception as error:
                if work.is_empty() and not isinstance(error, Cancelled):
                    work.remove()
                raise
            work.remove()
    except OSError as error:
        explained = explain_write_error(error, output)
        if "The disk is full" in str(explained):
            raise OutputError(
                f"The disk is full: '{output}' could not be finished. What is done is kept in '{work.path}'; free some "
                "space and run again with --resume."
            ) from error
        raise explained from error


def _start(work: WorkFolder, job: Mapping[str, Any], *, resume: bool) -> None:
    earlier = work.job() if resume else None
    if earlier is None:
        work.clear()
    else:
        _require_same_job(earlier, json.loads(json.dumps(dict(job))), work)
    work.prepare(job)


def _require_same_job(earlier: Mapping[str, Any], now: Mapping[str, Any], work: WorkFolder) -> None:
    for name in [*now, *(name for name in earlier if name not in now)]:
        before, after = earlier.get(name), now.get(name)
        if before != after:
            raise ConfigError(
                f"The prediction in '{work.path}' cannot be resumed: {name} was {_short(before)} and is now "
                f"{_short(after)}. A resumed map needs the same models, rasters and options; give the earlier ones, "
                "or run without --resume to start over."
            )


def _short(value: Any, length: int = 120) -> str:
    text = str(value)
    return text if len(text) <= length else f"{text[:length]}..."
