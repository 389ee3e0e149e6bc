"""The page of licences lists what pyproject.toml asks for, with the licences in the packages' metadata."""

from __future__ import annotations

import runpy
from pathlib import Path

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / ".ci" / "licences.py"))


def test_the_page_lists_all_packages_with_their_licences():
    kept = SCRIPT["kept"]()
    assert sorted(kept) == sorted(SCRIPT["wanted"]())
    assert not {"unknown", "UNKNOWN", "see its files", ""} & set(kept.values())


def test_no_licence_is_incompatible():
    restricted = {
        name: text
        for name, text in SCRIPT["kept"]().items()
        if "GPL" in text or "proprietary" in text.lower()
    }
    assert restricted == {}
