"""Every command with every kind of trouble: one helpful sentence, nothing changed, nothing left behind."""

from __future__ import annotations

import json
import os
import re
import shlex
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path

import pytest

from geopointseg.name import printable
from tests.robustness import (  # noqa: F401 - they register troubles
    output_trouble,
    place_trouble,
    raster_trouble,
    text_trouble,
    vector_trouble,
)
from tests.robustness.attempt import (
    Outcome,
    content_of,
    require_refusal,
    run_here,
    run_unprivileged,
)
from tests.robustness.conftest import FILES
from tests.robustness.surface import LINES, OUTPUTS, SLOW, CommandLine, leaf_commands, named_files
from tests.robustness.trouble import FULLY, PLACED, TROUBLES, Bench, Trouble

pytestmark = pytest.mark.filterwarnings("ignore")


@dataclass(frozen=True)
class Case:
    command: str
    slot: str
    trouble: Trouble

    def __str__(self) -> str:
        return f"{self.trouble.kind}: {self.trouble.name}, {self.command} {self.slot}".replace(
            " ", "_"
        )


def _cases() -> Iterator[Case]:
    for command, line in LINES.items():
        for slot, role in line.files.items():
            fitting = [
                t
                for t in TROUBLES
                if role in t.roles and not (command in SLOW and t.works_for(command, slot, role))
            ]
            for trouble in fitting if f"{command}/{slot}" in FULLY else _one_of_each(fitting):
                yield Case(command, slot, trouble)


def _one_of_each(troubles: list[Trouble]) -> Iterator[Trouble]:
    """Yield one trouble of each kind, another one at each call."""
    for kind in dict.fromkeys(trouble.kind for trouble in troubles):
        alike = [trouble for trouble in troubles if trouble.kind == kind]
        yield alike[next(TURNS[kind]) % len(alike)]


TURNS: defaultdict[str, count[int]] = defaultdict(count)


RELATIONS = {"wrong CRS", "zero size", "huge numbers", "odd geotransform"}
"""Kinds in which two files do not fit each other; the sentence may name either."""
PARAMETERS = {name: {str(p.name): p for p in command.params} for name, command in leaf_commands()}
CASES = list(_cases())


def usual_files(line: CommandLine, good: Path, out: Path) -> dict[str, Path]:
    """Return a good file for each slot; for an output, a path where there is nothing."""
    return {
        slot: out / OUTPUTS[role] if role in OUTPUTS else good / FILES[role]
        for slot, role in line.files.items()
    }


def arguments_of(command: str, slot: str, files: Mapping[str, str | Path], out: Path) -> list[str]:
    """Return the command line with files in its slots."""
    line = LINES[command]
    text = f"{command} {line.line} {line.extra.get(slot, '')}"
    filled = []
    for part in shlex.split(text):
        if part.startswith("{"):
            part = str(files[part[1:-1]])
        elif part.startswith("out/"):
            part = str(out / part.removeprefix("out/"))
        filled.append(part)
    return [*filled, "--json", "--progress", "none", "--device", "cpu"]


@cache
def _usual_numbers(command: str, slot: str, good: Path) -> list[float]:
    """Return the numbers in the result of a command with good files."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        outcome = run_here(arguments_of(command, slot, usual_files(LINES[command], good, out), out))
    assert outcome.code == 0, outcome
    return _numbers(outcome.out)


def _numbers(text: str) -> list[float]:
    """Return all numbers in a result but times, in their order."""
    found: list[float] = []

    def collect(value: object, key: str = "") -> None:
        inside = value.items() if isinstance(value, dict) else ()
        inside = ((key, item) for item in value) if isinstance(value, list) else inside
        for name, item in inside:
            collect(item, name)
        if isinstance(value, (int, float)) and not re.search(r"second|_s$", key):
            found.append(value)

    collect(json.loads(text))
    return found


@pytest.mark.parametrize("case", CASES, ids=str)
def test_trouble(case: Case, good: Path, place: Path) -> None:
    with ExitStack() as stack:
        attempt_case(case, good, place, stack)


def attempt_case(case: Case, good: Path, place: Path, stack: ExitStack) -> Outcome:
    """Run a command with a trouble, and check what it did."""
    line = LINES[case.command]
    role = line.files[case.slot]
    files: dict[str, str | Path] = dict(usual_files(line, good, place / "out"))
    read = {s: f for s, f in files.items() if s != case.slot and line.files[s] not in OUTPUTS}
    usual = Path(OUTPUTS[role]) if role in OUTPUTS else good / FILES[role]
    works = case.trouble.works_for(case.command, case.slot, role)
    run = run_unprivileged if case.trouble.needs == "permissions" else run_here
    given = str(case.trouble.make(Bench(usual, place / "in", role, stack, read)))
    os.chdir(place / "here")
    arguments = arguments_of(
        case.command, case.slot, files | read | {case.slot: given}, place / "out"
    )
    before, kept = content_of(place), content_of(good, content=False)
    outcome = run(arguments)
    after = content_of(place)
    assert content_of(good, content=False) == kept
    if works:
        assert outcome.code == 0, outcome
        if case.trouble.same and f"{case.command}/{case.slot}" not in PLACED:
            assert _numbers(outcome.out) == _usual_numbers(case.command, case.slot, good)
    else:
        parameter = PARAMETERS[case.command][line.parameters.get(case.slot, case.slot)]
        options = [*parameter.opts, *(parameter.metavar or "").split()[:1]]
        shown = printable(Path(given).name)[:40] if given.strip() else f"'{given}'"
        others = read.values() if case.trouble.kind in RELATIONS else ()
        require_refusal(outcome, [shown, *options, *(Path(other).name for other in others)])
        changed = {path for path in after | before if after.get(path) != before.get(path)}
        if "--resume" in outcome.err:  # the folder of a prediction that can be resumed is kept
            changed = {path for path in changed if "out.tif.partial" not in path}
        if (
            case.slot in ("figure", "figures") and case.trouble.kind == "disk full"
        ):  # the main output is whole
            whole = ("r.html", "out.tif", "made")
            changed = {path for path in changed if Path(path).name not in whole}
        if case.command == "study":  # its finished runs are kept; a repeated study continues
            changed = {path for path in changed if "made" not in Path(path).parts}
        assert not changed, changed
    return outcome


def test_matrix_is_large() -> None:
    assert len({case.trouble.kind for case in CASES}) >= 20


def test_every_command_is_in_the_matrix() -> None:
    found = dict(leaf_commands())
    assert found.keys() == LINES.keys()
    for name, command in found.items():
        line = LINES[name]
        known = {line.parameters.get(slot, slot) for slot in line.files}
        assert known == named_files(command), name
