"""The algorithms: a table in ``algorithms.json``, and what the library says in ``reference.json``.

The table holds which parameter becomes which option. Help texts, defaults and choices are the
library's own: ``reference.json`` is generated, so a form cannot drift away from the command line.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Parameter:
    """One parameter of an algorithm and the option that it becomes.

    ``documented`` is the library's word on it. ``option`` is a long option (``--raster``), a pair
    for a flag (``--cog/--no-cog``), or the name of an argument without dashes (``POINTS``).
    """

    documented: dict[str, Any]
    name: str
    kind: str
    option: str
    label: str
    traits: str = ""
    start: Any = None

    @property
    def default(self) -> Any:
        """The value that the form starts with: its own, else the library's."""
        return self.documented.get("default") if self.start is None else self.start

    @property
    def help(self) -> str:
        """The library's help text."""
        return self.documented.get("help", "")


@dataclass(frozen=True)
class Output:
    """One value of the library's result, found there under ``key`` (dots descend)."""

    name: str
    kind: str
    key: str
    label: str


@dataclass(frozen=True)
class Task:
    """One algorithm: a command of geopointseg with its parameters and results."""

    name: str
    command: tuple[str, ...]
    label: str
    group: str
    help: str
    parameters: tuple[Parameter, ...]
    outputs: tuple[Output, ...]


def load_tasks() -> dict[str, Task]:
    """Return every algorithm by its name."""
    files = ("algorithms.json", "reference.json")
    table, reference = (json.loads((HERE / name).read_text(encoding="utf-8")) for name in files)
    tasks = {}
    for row in table["algorithms"]:
        described = reference["commands"].get(" ".join(row["command"]), {})
        texts = {**table["arguments"], **described.get("options", {})}
        documented = [texts[given[2].partition("/")[0]] for given in row["parameters"]]
        row["parameters"] = tuple(map(lambda d, p: Parameter(d, *p), documented, row["parameters"]))
        row["outputs"] = tuple(Output(*values) for values in row["outputs"])
        tasks[row["name"]] = Task(**{"help": described.get("help", ""), **row})
    return tasks
