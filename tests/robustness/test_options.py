"""Every number that a command takes, beyond its range: one sentence that names the option or the quantity."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.robustness.attempt import content_of, require_refusal, run_here
from tests.robustness.conftest import FILES
from tests.robustness.surface import LINES, OUTPUTS, leaf_commands

pytestmark = pytest.mark.filterwarnings("ignore")

WRONG = {
    click.types.FloatParamType: ("nan", "inf", "-1e300", "words"),
    click.types.IntParamType: (str(-(10**30)), "1.5", "words"),
}


def _cases() -> Iterator[tuple[str, str, str]]:
    for name, command in leaf_commands():
        for parameter in command.params:
            for value in WRONG.get(type(parameter.type), ()):
                yield name, parameter.opts[-1], value


def _without(line: str, flag: str) -> list[str]:
    """Return a line without an option and its value."""
    parts = shlex.split(line)
    if flag in parts:
        place = parts.index(flag)
        del parts[place : place + 2]
    return parts


@pytest.mark.parametrize(("command", "flag", "value"), list(_cases()))
def test_number_beyond_its_range(
    command: str, flag: str, value: str, good: Path, place: Path
) -> None:
    line = LINES[command]
    files = {
        slot: place / "out" / OUTPUTS[role] if role in OUTPUTS else good / FILES[role]
        for slot, role in line.files.items()
    }
    parts = [part.format(**files) for part in _without(line.line, flag)]
    before = content_of(place)
    outcome = run_here([*command.split(), *parts, "--progress", "none", f"{flag}={value}"])
    require_refusal(outcome, [flag, *flag.lstrip("-").split("-"), value.lstrip("-")[:12]])
    assert content_of(place) == before
