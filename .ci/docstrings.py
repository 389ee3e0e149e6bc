"""Check the docstrings of public functions with three or more parameters by numpydoc's own validation.

The checks and the exceptions are in pyproject.toml under [tool.numpydoc_validation]. An exception that is no longer
needed is a failure, too. ``--list`` prints the exceptions that the code needs as they are written there.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpydoc import validate
from numpydoc.hooks.validate_docstrings import AstValidator

ROOT = Path(__file__).parents[1]
LEAST_PARAMETERS = 3


def public_functions(path: Path) -> Iterator[tuple[str, list[ast.AST]]]:
    """Yield name and syntax nodes (module, classes, function) of the public functions and methods of a file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    module = ast.parse(path.read_text(encoding="utf-8"))
    waiting: list[tuple[str, list[ast.AST]]] = [(".".join(parts), [module])]
    while waiting:
        name, nodes = waiting.pop()
        for node in getattr(nodes[-1], "body", []):
            is_named = isinstance(node, (ast.FunctionDef, ast.ClassDef))
            if is_named and not node.name.startswith("_"):
                found = f"{name}.{node.name}", [*nodes, node]
                if isinstance(node, ast.ClassDef):
                    waiting.append(found)
                else:
                    yield found


def find_errors(path: Path, checks: set[str]) -> Iterator[tuple[str, str, str]]:
    """Yield name, check and message of what numpydoc finds in a file."""
    for name, nodes in public_functions(path):
        details: dict[str, Any] = {"ast_node": nodes[-1], "filename": path, "ancestry": nodes[:-1]}
        parameters = AstValidator(obj_name=name, **details).signature_parameters
        if len(parameters) < LEAST_PARAMETERS:
            continue
        for check, message in validate.validate(name, AstValidator, **details)["errors"]:
            if check in checks:
                yield name, check, message


def main() -> None:
    """Print what is wrong, or the exceptions that are needed, and exit with 1 if anything is wrong."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    settings = document["tool"]["numpydoc_validation"]
    files = sorted((ROOT / "geopointseg").rglob("*.py"))
    files = [
        file for file in files if file.relative_to(ROOT).parts[1] not in settings["exclude_rooms"]
    ]
    errors = [error for file in files for error in find_errors(file, set(settings["checks"]))]
    needed = sorted({name for name, _, _ in errors})
    if "--list" in sys.argv:
        print("exclude = [", *(f'  "{name}",' for name in needed), "]", sep="\n")
        return
    excluded = set(settings["exclude"])
    wrong = [f"{name}: {check} {text}" for name, check, text in errors if name not in excluded]
    wrong += [f"{name}: no exception is needed" for name in sorted(excluded - set(needed))]
    print(*wrong, f"{len(wrong)} docstrings to correct, {len(excluded)} exceptions", sep="\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
