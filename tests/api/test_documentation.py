"""Commands, settings and links in the documentation exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from geopointseg.cli.command_reference import describe_commands
from geopointseg.config import Config

ROOT = Path(__file__).parents[2]
PAGES = [
    *ROOT.glob("*.md"),
    *ROOT.glob("examples/*.md"),
    *ROOT.glob("examples/prairie/*.md"),
    *(p for p in ROOT.glob("docs/**/*.md") if "technical_report" not in p.parts),
]
BUILT = ("docs/gallery", "docs/evidence/technical_report", "docs/_static")
"""Folders whose content is made by the build, or added with a release."""


def find_commands() -> Iterator[tuple[str, list[str]]]:
    """Yield page and words of each command line in a block of code, or in code in a sentence."""
    for page in PAGES:
        text = page.read_text("utf-8").replace("\\\n", " ")
        blocks = re.findall(r"^```(?:sh|console)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        lines = [line for block in blocks for line in block.splitlines()]
        lines += re.findall(r"(?<!`)`(geopointseg [^`]+)`(?!`)", text)
        for line in lines:
            found = re.match(r"(?:\$ )?(?:\S*/)?geopointseg (.+)", line.partition("  #")[0])
            if found:
                yield page.name, shlex.split(" ".join(found[1].split()))


@pytest.mark.parametrize(("page", "words"), list(find_commands()))
def test_commands_in_pages_exist_with_their_options(page: str, words: list[str]) -> None:
    commands = describe_commands()["commands"]
    name = words[0] if words[0] in commands else " ".join(words[:2])
    if words[0] in ("COMMAND", "--help", "bench"):  # the benchmarks have options of their own
        return
    assert name in commands or any(n.startswith(f"{words[0]} ") for n in commands), page
    known = commands.get(name, {"options": {}})["options"]
    short = {"-o", "--help", "-h"}
    given = {w.partition("=")[0] for w in words if re.match(r"--?[a-z]", w)} - short
    negated = {re.sub("^--no-", "--", w) for w in given}
    assert negated <= set(known) or given <= set(known), (page, given - set(known))


def test_settings_in_pages_exist() -> None:
    settings = Config().to_dict()
    for page in PAGES:
        for section, name in re.findall(r"--set\s+([a-z]+)\.([a-z_]+)=", page.read_text("utf-8")):
            if name != "tversky_weight":  # the example of CONTRIBUTING.md
                assert name in settings[section], page


def test_links_between_files_lead_to_files() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:\s]+)\)", page.read_text("utf-8")):
            path = (page.parent / target).resolve()
            is_built = any(path.is_relative_to(ROOT / each) for each in BUILT)
            assert is_built or path.exists(), f"{page.name}: {target}"
