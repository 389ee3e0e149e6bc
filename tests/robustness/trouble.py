"""Kinds of trouble with files: how each is made, and of which commands it is expected to be no trouble."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rasterio

RASTERS = {"raster", "grid", "mask", "map", "embedding"}
VECTORS = {"points", "area"}
TEXTS = {"settings", "study"}
MODELS = {"model", "network"}
NEVER = {"predict/companion:embedding", "assess/applicability:map"}
"""Files that the models of these tests do not take."""
PLACED = {"assess/map_path"}
"""Files that lead to others by relative paths, so that elsewhere they are read with another result."""
FULLY = {
    "points rasterize/points", "points rasterize/like", "points rasterize/output", "points check/config",
    "points simulate/palette", "predict/models", "assess/map_path", "study/study_file", "points split/output",
}  # fmt: skip
"""Files of which every trouble is tried; of others, one trouble of each kind."""
READ = RASTERS | VECTORS | TEXTS | MODELS | {"palette", "weights"}


@dataclass(frozen=True)
class Bench:
    """Where a bad file is made.

    Parameters
    ----------
    good
        A file of the same kind that works.
    folder
        An empty folder for the bad one.
    role
        Kind of the file.
    stack
        Undoes at the end what was done to the machine.
    inputs
        Good files that the command reads, by slot; those that are replaced are given to the command.
    """

    good: Path
    folder: Path
    role: str
    stack: ExitStack
    inputs: dict[str, Path] = field(default_factory=dict)

    def path(self, suffix: str | None = None) -> Path:
        """Return the path of the bad file."""
        return self.folder / f"bad{self.good.suffix if suffix is None else suffix}"

    def content(self) -> bytes:
        """Return the bytes of the good file, or of the description of a good model."""
        return (self.good / "model.json" if self.good.is_dir() else self.good).read_bytes()

    def put(self, content: bytes, suffix: str | None = None) -> Path:
        """Write the bad file."""
        path = self.path(suffix)
        path.write_bytes(content)
        return path

    def copied_input(self) -> Path:
        """Let the command read a copy of a good file, and return its path."""
        slot, good = next((s, p) for s, p in self.inputs.items() if p.is_file())
        self.inputs[slot] = self.folder / f"input{good.suffix}"
        shutil.copyfile(good, self.inputs[slot])
        return self.inputs[slot]

    def raster(
        self, change: Callable[[Any], Any] | None = None, suffix: str = ".tif", **profile: Any
    ) -> Path:
        """Write the good raster with other pixels or another profile."""
        with rasterio.open(self.good) as source:
            image, told = source.read(), dict(source.profile)
            tags, names = source.tags(), source.descriptions
        told = {key: told[key] for key in ("driver", "dtype", "crs", "transform", "nodata")}
        image = image if change is None else change(image)
        told |= {"count": image.shape[0], "height": image.shape[1], "width": image.shape[2]}
        told |= profile
        path = self.path(suffix)
        with rasterio.open(path, "w", **{k: v for k, v in told.items() if v is not None}) as target:
            target.write(image.astype(told["dtype"]))
            target.update_tags(**tags)
            for band, name in enumerate(names[: image.shape[0]], 1):
                if name:
                    target.set_band_description(band, name)
        return path


@dataclass(frozen=True)
class Trouble:
    """One trouble.

    Parameters
    ----------
    kind
        Its kind.
    name
        What it is.
    roles
        Kinds of files that it is made of.
    make
        Makes it, and returns the argument of the command.
    works
        Pattern of ``command/slot:role`` where the command works all the same; empty where none does.
    same
        Whether it works with the result of the good file.
    needs
        Name of a fixture of the machine: "permissions" are obeyed in a process of its own.
    """

    kind: str
    name: str
    roles: frozenset[str]
    make: Callable[[Bench], Path | str]
    works: str = ""
    same: bool = False
    needs: str = ""

    def works_for(self, command: str, slot: str, role: str) -> bool:
        """Whether a command does its work although a file has the trouble."""
        where = f"{command}/{slot}:{role}"
        return bool(self.works) and where not in NEVER and re.search(self.works, where) is not None


TROUBLES: list[Trouble] = []


def trouble(
    kind: str, roles: set[str], *, works: str = "", same: bool = False, needs: str = ""
) -> Callable[[Callable[[Bench], Path | str]], Callable[[Bench], Path | str]]:
    """Register a function that makes a trouble; its name is the trouble's."""

    def register(make: Callable[[Bench], Path | str]) -> Callable[[Bench], Path | str]:
        TROUBLES.append(
            Trouble(kind, make.__name__.strip("_"), frozenset(roles), make, works, same, needs)
        )
        return make

    return register
