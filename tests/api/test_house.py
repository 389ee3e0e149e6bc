"""The package as a whole: unique names in the field's words, short modules and functions, no circular imports."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.benchmarks.bench_house import (
    DEFINITIONS,
    Module,
    measure_code,
    measure_imports,
    measure_names,
    read_package,
)

PACKAGE = Path(__file__).parents[2] / "geopointseg"
TO_EXPLAIN = {
    "thicket", "growth", "view", "start", "watch", "record", "ground", "store", "strips", "ledger", "journal", "workspace",
}  # fmt: skip
HOOKS = {"on_fit_start"}
"""Names that Lightning prescribes."""
VIEWS = {"view", "time_view", "view_pyramid", "ViewPixels", "place_view"}
"""What a map window shows is called a view in live sessions, as in their protocol and in map applications."""


@pytest.fixture(scope="module")
def modules() -> list[Module]:
    return read_package(PACKAGE)


@pytest.mark.parametrize("kind", ["basenames", "classes", "public functions"])
def test_no_name_occurs_twice(modules: list[Module], kind: str) -> None:
    assert measure_names(modules)[f"{kind} twice"] == []


def test_no_name_has_to_be_explained(modules: list[Module]) -> None:
    names = {m.path.stem for m in modules} | {
        node.name
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, DEFINITIONS) and not node.name.startswith("_")
    }
    words = {n: re.findall(r"[a-z0-9]+", re.sub(r"([A-Z])", r"_\1", n).lower()) for n in names}
    assert {n for n, parts in words.items() if TO_EXPLAIN & set(parts)} == HOOKS | VIEWS


def test_modules_and_functions_are_short(modules: list[Module]) -> None:
    found = measure_code(modules)
    assert found["modules over 500 lines"] == 0, found["longest module"]
    assert found["functions over 60 lines"] == 0
    assert found["functions, p90 lines"] <= 20


def test_no_modules_import_each_other(modules: list[Module]) -> None:
    assert measure_imports(modules)["import circles"] == []


def test_where_pixels_are_read_an_error_names_the_file() -> None:
    """Reads of a dataset stand within ``with reading(path)``, or in one of the functions that are called within it."""
    within = {"read_planes", "read_valid", "_read_blocks"}
    bare = []
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if not re.search("open_dataset|rasterio.open|DatasetReader", text):
            continue
        found = ast.parse(text)
        named = {
            id(node)
            for block in ast.walk(found)
            if (
                isinstance(block, ast.With)
                and any("reading(" in ast.unparse(i) for i in block.items)
            )
            or (isinstance(block, ast.FunctionDef) and block.name in within)
            for node in ast.walk(block)
        }
        bare += [
            f"{path.name}:{node.lineno}"
            for node in ast.walk(found)
            if isinstance(node, ast.Attribute)
            and node.attr in {"read", "read_masks", "dataset_mask"}
            and ast.unparse(node.value) in {"dataset", "source", "warped", "told", "virtual"}
            and id(node) not in named
        ]
    assert bare == []
