"""The algorithms: a table in ``algorithms.json``, and what the library says in ``reference.json``.

The table holds which parameter becomes which option, and texts for people without a command line.
Other help texts, defaults and choices are the library's own: ``reference.json`` is generated, so a
form cannot drift away from the command line. Kinds that begin with ``own`` and ``part`` are the
plugin's: they become no option.
"""

import json
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

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
        """The help text: the table's, else the library's."""
        return self.documented.get("help", "")

    @property
    def is_own(self) -> bool:
        """Whether the plugin keeps the parameter for itself."""
        return self.kind.startswith(("own", "part"))

    @property
    def words(self) -> dict[str, str]:
        """The choices in words, by the value that is stored."""
        known = self.documented.get("words", {})
        return {choice: known.get(choice, choice) for choice in self.documented["choices"]}


class Output(NamedTuple):
    """One value of the library's result, found there under ``key`` (dots descend)."""

    name: str
    kind: str
    key: str
    label: str


class Task(NamedTuple):
    """One algorithm: a command of geopointseg with its parameters and results.

    ``position`` is its place in the order of work, such as ``3.1``. ``result`` is the sentence that
    ends a run, ``otherwise`` the one of a check that found a fault; ``names`` says how results are
    called, after the layers that they were made from.
    """

    name: str
    command: tuple[str, ...]
    label: str
    group: str
    position: str
    icon: str
    help: str
    parameters: tuple[Parameter, ...]
    outputs: tuple[Output, ...]
    result: str
    otherwise: str = ""
    names: dict[str, str] = {}  # noqa: RUF012  never changed


@cache
def load_table(name: str) -> dict[str, Any]:
    """Return a file of texts and tables beside this one; it must not be changed."""
    return dict(json.loads((HERE / name).read_text(encoding="utf-8")))


@lru_cache(maxsize=1)
def load_tasks() -> dict[str, Task]:
    """Return every algorithm by its name, in the order of work."""
    table, reference = load_table("algorithms.json"), load_table("reference.json")
    tasks: dict[str, Task] = {}
    for row in map(dict, table["algorithms"]):
        described = reference["commands"].get(" ".join(row["command"]), {})

        def document(option: str, row: Any = row, described: Any = described) -> dict[str, Any]:
            key, texts = option.partition("/")[0], table["arguments"]
            own = texts.get(f"{row['name']} {key}", texts.get(key, {}))
            words = {"words": table["choices"].get(key, {})}
            return {**described.get("options", {}).get(key, {}), **words, **own}

        row["parameters"] = tuple(Parameter(document(p[2]), *p) for p in row["parameters"])
        row["outputs"] = tuple(Output(*values) for values in row["outputs"])
        place = 1 + sum(task.group == row["group"] for task in tasks.values())
        row["position"] = f"{1 + table['groups'].index(row['group'])}.{place}"
        tasks[row["name"]] = Task(**{"help": described.get("help", ""), **row})
    return tasks
