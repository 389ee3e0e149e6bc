"""Structure of the package: what one run enters, how large the code is, and how its modules hang together.

Run by hand: ``python tests/benchmarks/bench_house.py [FOLDER ...] [--no-runs] [--json FILE]``. Each FOLDER is a folder
of the package (``geopointseg``), by default the one of this checkout; two folders are compared side by side. Prints a
table, and writes all numbers as JSON where asked for.

- *entered*: files and functions of the package in which a `train`, a `predict` and an `assess` on a scene of
  128 x 128 pixels execute code. Functions that run while a module is imported do not count.
- *code lines*: without docstrings, comments and blank lines.
- *complexity*: one plus the decisions of a function: branches, loops, comprehensions and their conditions, handlers,
  and operands of *and* and *or* (cyclomatic complexity as radon counts it; ruff's C901 counts fewer of them).
- *import circles*: groups of modules that import each other, wherever in the module the import stands.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any, Self

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef)
SKIPPED = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}
IS_FUNCTION = 0x01
"""Flag of the code of functions, which modules and class bodies lack."""


@dataclass(frozen=True)
class Module:
    """One parsed module: its dotted name, path, tree and the numbers of its lines that hold code."""

    name: str
    path: Path
    tree: ast.Module
    lines: frozenset[int]

    @classmethod
    def parse(cls, package: Path, path: Path) -> Module:
        """Parse the module at a path of a package."""
        text = path.read_text(encoding="utf-8")
        parts = path.relative_to(package.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        tree = ast.parse(text)
        return cls(name, path, tree, frozenset(_code_lines(text) - _docstring_lines(tree)))

    def functions(self) -> Iterator[Any]:
        """Yield every function and method, nested ones too."""
        return (node for node in ast.walk(self.tree) if isinstance(node, FUNCTIONS))

    def length(self, function: Any) -> int:
        """Return the code lines of a function, from ``def`` to its end."""
        return len(self.lines & set(range(function.lineno, function.end_lineno + 1)))


def _code_lines(text: str) -> set[int]:
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in SKIPPED:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return lines


def _docstring_lines(tree: ast.Module) -> set[int]:
    """Return the lines of all strings that stand alone as a statement: docstrings, also of constants."""
    alone = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]
    return {line for node in alone for line in range(node.lineno, (node.end_lineno or 0) + 1)}


def read_package(package: Path) -> list[Module]:
    """Return all modules of a package."""
    return [Module.parse(package, path) for path in sorted(package.rglob("*.py"))]


def measure_code(modules: list[Module]) -> dict[str, Any]:
    """Return sizes: lines of the package, of each room, of modules and of functions, and complexity."""
    rooms: Counter[str] = Counter()
    for module in modules:
        parts = module.name.split(".")
        is_room = len(parts) > 2 or module.path.name == "__init__.py"
        rooms[parts[1] if is_room and len(parts) > 1 else "(top)"] += len(module.lines)
    lengths = [module.length(function) for module in modules for function in module.functions()]
    complexities = [complexity(f) for module in modules for f in module.functions()]
    longest = max(modules, key=lambda module: _count_all_lines(module.path))
    return {
        "modules": len(modules),
        "code lines": sum(rooms.values()),
        "modules over 500 lines": sum(_count_all_lines(m.path) > 500 for m in modules),
        "longest module": f"{longest.name} {_count_all_lines(longest.path)}",
        "functions": len(lengths),
        "functions over 60 lines": sum(length > 60 for length in lengths),
        "functions, median lines": statistics.median(lengths),
        "functions, p90 lines": statistics.quantiles(lengths, n=10)[-1],
        "functions, complexity over 10": sum(value > 10 for value in complexities),
        "code lines by room": dict(sorted(rooms.items())),
    }


def _count_all_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def complexity(function: Any) -> int:
    """Return the cyclomatic complexity of a function: one, and one for each decision in it and in what it nests."""
    total = 1
    for node in ast.walk(function):
        if isinstance(node, (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.Assert)):
            total += 1
        elif isinstance(node, ast.BoolOp):
            total += len(node.values) - 1
        elif isinstance(node, ast.comprehension):
            total += 1 + len(node.ifs)
        elif isinstance(node, ast.Try):
            total += len(node.handlers) + bool(node.orelse)
        elif isinstance(node, ast.Match):
            total += len(node.cases)
    return total


def measure_names(modules: list[Module]) -> dict[str, Any]:
    """Return names that occur twice, and the share of private ones."""
    basenames = Counter(m.path.stem for m in modules if not m.path.stem.startswith("__"))
    classes: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    private = total = 0
    for module in modules:
        top = [node for node in module.tree.body if isinstance(node, DEFINITIONS)]
        total += len(top)
        private += sum(node.name.startswith("_") for node in top)
        public = [node for node in top if not node.name.startswith("_")]
        classes.update(node.name for node in public if isinstance(node, ast.ClassDef))
        functions.update(node.name for node in public if isinstance(node, FUNCTIONS))
    return {
        "basenames twice": _twice(basenames),
        "classes twice": _twice(classes),
        "public functions twice": _twice(functions),
        "private names, share": round(private / total, 3),
    }


def _twice(counts: Counter[str]) -> list[str]:
    return sorted(name for name, count in counts.items() if count > 1)


def measure_imports(modules: list[Module]) -> dict[str, Any]:
    """Return how modules import each other."""
    graph = import_graph(modules)
    importers: Counter[str] = Counter(target for targets in graph.values() for target in targets)
    inner = [m.name for m in modules if m.path.name not in ("__init__.py", "__main__.py")]
    root = modules[0].name.split(".")[0]
    lab = [
        f"{source} -> {target}"
        for source, targets in graph.items()
        for target in targets
        if target.startswith(f"{root}.lab.")
        and not source.startswith((f"{root}.lab", f"{root}.cli"))
    ]
    return {
        "import circles": find_circles(graph),
        "modules imported by one module only": sum(importers[name] == 1 for name in inner),
        "imports of the laboratory by the product": sorted(lab),
    }


def import_graph(modules: list[Module]) -> dict[str, set[str]]:
    """Return for each module those of the package that it imports, lazily or not; not for type checking only."""
    known = {module.name for module in modules}
    packages = {module.name for module in modules if module.path.name == "__init__.py"}
    graph: dict[str, set[str]] = defaultdict(set)
    for module in modules:
        for node in _runtime_nodes(module.tree):
            for name in _imported(node, known):
                if name != module.name and name not in packages:
                    graph[module.name].add(name)
    return graph


def _runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes but those under ``if TYPE_CHECKING:``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        yield node
        yield from _runtime_nodes(node)


def _imported(node: ast.AST, known: set[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in known)
    elif isinstance(node, ast.ImportFrom) and node.module:
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            yield from (name for name in (whole, node.module) if name in known)


def find_circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the strongly connected groups of two modules and more (Tarjan 1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = low[name] = len(order)
        stack.append(name)
        for target in graph.get(name, ()):
            if target not in order:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], order[target])
        if low[name] == order[name]:
            position = stack.index(name)
            group = stack[position:]
            del stack[position:]
            if len(group) > 1:
                groups.append(sorted(group))

    for name in sorted(graph):
        if name not in order:
            visit(name)
    return groups


class EnteredCode:
    """Records which functions of a package are entered, in all threads, until it is stopped.

    Parameters
    ----------
    package
        Folder of the package.
    """

    def __init__(self, package: Path) -> None:
        self._prefix = str(package) + os.sep
        self._entered: set[tuple[str, str]] = set()

    def __enter__(self) -> Self:
        monitoring = sys.monitoring
        monitoring.use_tool_id(monitoring.PROFILER_ID, "bench_house")
        monitoring.register_callback(
            monitoring.PROFILER_ID, monitoring.events.PY_START, self._record
        )
        monitoring.set_events(monitoring.PROFILER_ID, monitoring.events.PY_START)
        return self

    def __exit__(self, *_: object) -> None:
        sys.monitoring.set_events(sys.monitoring.PROFILER_ID, 0)
        sys.monitoring.free_tool_id(sys.monitoring.PROFILER_ID)

    def _record(self, code: CodeType, _: int) -> Any:
        inside = code.co_filename.startswith(self._prefix) and code.co_flags & IS_FUNCTION
        if not inside or code.co_name.startswith("<"):
            return sys.monitoring.DISABLE
        if _is_importing():
            return None
        self._entered.add((code.co_filename.removeprefix(self._prefix), code.co_qualname))
        return sys.monitoring.DISABLE

    def counts(self) -> dict[str, Any]:
        """Return the numbers and names of what was entered."""
        files = sorted({file for file, _ in self._entered})
        return {"files": len(files), "functions": len(self._entered), "names": files}


def _is_importing() -> bool:
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def run_once(package: Path, stage: str, folder: Path) -> dict[str, Any]:
    """Run one stage on a small scene in this process, and return what it entered."""
    import geopointseg as gps
    from geopointseg.landscape import draw_points, make_landscape, write_scene

    scene, points, model = folder / "scene.tif", folder / "points.gpkg", folder / "model"
    landscape = make_landscape(128, 128, seed=1)
    if stage == "train":
        write_scene(landscape, str(scene))
        gps.write_points(draw_points(landscape, per_class=20, seed=1), points)
        gps.write_points(draw_points(landscape, per_class=20, seed=2), folder / "test.gpkg")
    settings = gps.Config().updated({"optimization": {"steps": 8}, "forest": {"trees": 10}})
    with EnteredCode(package) as entered:
        if stage == "train":
            gps.train([scene], gps.read_points(points), output=model, config=settings)
        elif stage == "predict":
            gps.predict(model, scene, folder / "map.tif")
        else:
            gps.assess(folder / "map.tif", gps.read_points(folder / "test.gpkg"))
    return entered.counts()


def measure_runs(package: Path) -> dict[str, Any]:
    """Return what train, predict and assess enter, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return {
            stage: json.loads(_python(package, __file__, "--stage", stage, "--work", folder))
            for stage in ("train", "predict", "assess")
        }


def measure_help(package: Path, repetitions: int = 5) -> float:
    """Return the seconds of ``geopointseg --help``, the least of some runs."""
    seconds = []
    for _ in range(repetitions):
        start = time.perf_counter()
        _python(package, "-m", "geopointseg", "--help")
        seconds.append(time.perf_counter() - start)
    return round(min(seconds), 3)


def _python(package: Path, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(package.parent), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, *arguments]
    if "--stage" in arguments:
        command += ["--package", str(package)]
    done = subprocess.run(
        command, env=environment, cwd=package.parent, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout.splitlines()[-1] if "--stage" in arguments else done.stdout


def measure(package: Path, *, with_runs: bool) -> dict[str, Any]:
    """Return all measurements of one package folder."""
    modules = read_package(package)
    found = measure_code(modules) | measure_names(modules) | measure_imports(modules)
    if with_runs:
        found["entered"] = measure_runs(package)
        found["seconds of --help"] = measure_help(package)
    return found


def rows_of(found: dict[str, Any]) -> dict[str, str]:
    """Return the measurements as short texts, one a row of the table."""
    rows = {}
    for name, value in found.items():
        if name == "entered":
            for stage, counts in value.items():
                rows[f"{stage} enters"] = (
                    f"{counts['files']} files, {counts['functions']} functions"
                )
        elif name == "code lines by room":
            rows |= {f"  code lines, {room}": str(lines) for room, lines in value.items()}
        elif isinstance(value, list):
            rows[name] = str(len(value))
        else:
            rows[name] = str(value)
    return rows


def main() -> None:
    """Measure the packages named on the command line and print them side by side."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    default = Path(__file__).parents[2] / "geopointseg"
    parser.add_argument("folders", nargs="*", type=Path, default=[default])
    parser.add_argument("--no-runs", action="store_true", help="Count only, run nothing.")
    parser.add_argument("--json", type=Path, help="Also write all numbers to this file.")
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--package", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        print(json.dumps(run_once(options.package, options.stage, options.work)))
        return
    folders = [folder.resolve() for folder in options.folders]
    found = {str(folder): measure(folder, with_runs=not options.no_runs) for folder in folders}
    columns = [rows_of(values) for values in found.values()]
    names = list(dict.fromkeys(name for column in columns for name in column))
    for name in names:
        print(f"{name:44}", *(f"{column.get(name, '-'):>36}" for column in columns))
    if len(folders) == 1:
        for name, value in found[str(folders[0])].items():
            if isinstance(value, list) and value:
                print(f"\n{name}:", *value, sep="\n  ")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
