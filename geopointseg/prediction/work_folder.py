"""The work folder of a prediction: finished tiles, the job that they belong to, and a lock.

While a prediction writes ``map.tif``, the folder ``map.tif.partial/`` lies beside it. Each finished tile is a file in it,
which appears only when complete. ``job.json`` holds the models, rasters and settings. A lock of the operating system,
which ends with its process, excludes a second run.
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
from geopointseg.markup import read_json
from geopointseg.prediction.tile_files import is_complete
from geopointseg.prediction.tiling import Tile
from geopointseg.raster.lock import hold_lock
from geopointseg.raster.publishing import beside, explain_write_error, require_writable_folder

JOB_FILE = "job.json"
LOCK_FILE = "lock"


@dataclass(frozen=True)
class WorkFolder:
    """The folder of a running prediction.

    Parameters
    ----------
    path
        For example ``map.tif.partial``.
    key
        Key of the job, which is part of the file name of every tile. A worker of an earlier run may still write a tile
        after that run has ended; the key keeps this tile out of another map.
    """

    path: Path
    key: str = ""

    def of_job(self, job: Mapping[str, Any]) -> WorkFolder:
        """Return the folder with the key of a job; the key is the same in every process."""
        text = json.dumps(dict(job), sort_keys=True, ensure_ascii=False)
        return replace(self, key=hashlib.sha256(text.encode()).hexdigest()[:32])

    @classmethod
    def beside(cls, output: Path) -> WorkFolder:
        """Return the work folder that belongs to an output."""
        return cls(beside(output, ".partial"))

    def part(self, tile: Tile) -> Path:
        """Return the file of a computed tile, which is kept until the output tiles around it are finished."""
        return self.path / "parts" / self._name(tile)

    def output_tile(self, tile: Tile) -> Path:
        """Return the file of a finished output tile."""
        return self.path / "tiles" / self._name(tile)

    def _name(self, tile: Tile) -> str:
        return f"{tile[0]:05d}-{tile[1]:05d}" + (f".{self.key}" if self.key else "")

    def has_part(self, tile: Tile) -> bool:
        """Return whether a tile is computed and its file still exists."""
        return is_complete(self.part(tile))

    def has_output_tile(self, tile: Tile) -> bool:
        """Return whether an output tile is finished."""
        return is_complete(self.output_tile(tile))

    def prepare(self, job: Mapping[str, Any]) -> None:
        """Make the folder and write ``job.json``."""
        for folder in ("parts", "tiles"):
            (self.path / folder).mkdir(parents=True, exist_ok=True)
        text = json.dumps(dict(job), indent=1, ensure_ascii=False)
        (self.path / JOB_FILE).write_text(text, encoding="utf-8")

    def job(self) -> dict[str, Any] | None:
        """Return the job of the folder; None where ``job.json`` is missing or damaged."""
        try:
            found = read_json(self.path / JOB_FILE)
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def decision(self, name: str) -> str:
        """Return a decision of an earlier run; empty where there is none."""
        path = self.path / f"{name}.txt"
        return path.read_text(encoding="utf-8").strip() if path.exists() else ""

    def write_decision(self, name: str, text: str) -> None:
        """Store a decision that a resumed run must follow."""
        (self.path / f"{name}.txt").write_text(text, encoding="utf-8")

    def clear(self) -> None:
        """Remove the files of earlier runs, but not the lock."""
        for file in (self.path / JOB_FILE, *self.path.glob("*.txt")):
            file.unlink(missing_ok=True)
        for folder in ("parts", "tiles"):
            shutil.rmtree(self.path / folder, ignore_errors=True)

    def is_empty(self) -> bool:
        """Return whether there is nothing to resume: no tile and no decision."""
        tiles = (self.path / folder for folder in ("parts", "tiles"))
        made = (file for folder in tiles for file in folder.glob("[!.]*"))
        return not any(made) and not any(self.path.glob("*.txt"))

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)


@contextmanager
def open_work_folder(output: Path, job: Mapping[str, Any], *, resume: bool) -> Iterator[WorkFolder]:
    """Lock the work folder of an output, start or resume the job, and remove the folder when the block succeeds.

    Parameters
    ----------
    output
        The map.
    job
        Everything that the content of the map depends on, as names and JSON values.
    resume
        Whether to keep the finished tiles of an earlier run; otherwise they are removed.

    Yields
    ------
    WorkFolder
        The prepared folder.

    Raises
    ------
    OutputError
        If another run writes the same output, or the folder cannot be made.
    ConfigError
        If the job of the earlier run differs; the message names the first difference.

    Notes
    -----
    A run that fails before any tile is computed leaves no folder. A cancelled run can always be resumed.
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
        if "The disk is full" in str(explained) and work.path.exists():
            raise OutputError(
                f"The disk is full: '{output}' could not be finished. Finished tiles are kept in '{work.path}'; free some "
                "space and run again with `resume=True`."
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
                "or run without `resume=True` to start over."
            )


def _short(value: Any, length: int = 120) -> str:
    text = str(value)
    return text if len(text) <= length else f"{text[:length]}..."
