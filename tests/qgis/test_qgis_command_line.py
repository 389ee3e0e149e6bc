"""Command lines: what the forms build is what geopointseg understands."""

from __future__ import annotations

from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geopointseg.cli.app import app
from qgis_plugin.command import (
    LineBuffer,
    build,
    clean_environment,
    look_up,
    parse_event,
    parse_result,
)
from qgis_plugin.tasks import Parameter, Task, load_tasks

TASKS = {name: task for name, task in load_tasks().items() if task.command}
TEXTS = {
    "points": "p.gpkg",
    "area": "a.gpkg",
    "extent": "e.gpkg",
    "field": "cover",
    "text": "some text",
}


def some_value(parameter: Parameter) -> Any:
    """Return a value of the parameter's kind that is not the library's default."""
    if parameter.kind in ("rasters", "models"):
        return ["one.tif", "two's.tif"]
    if parameter.kind in ("integer", "number"):
        return (parameter.documented.get("default") or 1) + 1
    if parameter.kind == "choice":
        return next(
            c for c in parameter.documented["choices"] if c != parameter.documented["default"]
        )
    if parameter.kind == "flag":
        return not parameter.documented.get("default")
    return TEXTS.get(parameter.kind, f"some {parameter.name}.file")


def parse(arguments: list[str]) -> dict[str, Any]:
    """Let the library's own parser read a command line."""
    command: click.Command = app
    context = click.Context(app)
    while isinstance(command, click.Group):
        found = command.get_command(context, arguments.pop(0))
        assert found is not None
        command = found
    return command.make_context(command.name, arguments).params


@pytest.mark.parametrize("name", TASKS)
def test_the_library_reads_what_a_full_form_builds(name: str) -> None:
    task = TASKS[name]
    values = {p.name: some_value(p) for p in task.parameters if not p.is_own}
    read = parse(build(task, values))
    understood = {
        item for value in read.values() for item in (value if isinstance(value, tuple) else [value])
    }
    for parameter in task.parameters:
        if parameter.kind not in ("extent", "flag") and not parameter.is_own:
            value = values[parameter.name]
            assert understood.issuperset(value if isinstance(value, list) else [value]), (
                parameter.name
            )


@pytest.mark.parametrize("name", TASKS)
def test_the_library_reads_what_a_barely_filled_form_builds(name: str) -> None:
    task = TASKS[name]
    needed = [p for p in task.parameters if "optional" not in p.traits and p.default is None]
    needed += [p for p in task.parameters if (name, p.name) == ("splitpoints", "OUTPUT")]
    values = {p.name: p.default for p in task.parameters}
    parse(build(task, values | {p.name: some_value(p) for p in needed}))


def test_train() -> None:
    values = {
        "RASTER": "/data/scene 1.tif", "MORE_RASTERS": ["/data/Größe.tif"], "POINTS": "/data/points.gpkg", "CLASS_FIELD": "cover",
        "KIND": "forest", "MINUTES": 2.5, "RESUME": False, "CONFIG": None, "OUTPUT": "/models/new",
    }  # fmt: skip
    assert build(TASKS["trainmodel"], values) == [
        "train", "/data/scene 1.tif", "/data/Größe.tif", "--points", "/data/points.gpkg", "--class-field", "cover",
        "--model", "forest", "--minutes", "2.5", "--output", "/models/new", "--progress", "json", "--json",
    ]  # fmt: skip


def test_what_the_library_does_anyway_is_not_said() -> None:
    task = TASKS["trainmodel"]
    defaults = {
        p.name: p.documented["default"] for p in task.parameters if "default" in p.documented
    }
    assert defaults["MINUTES"] > 0
    assert build(task, defaults) == ["train", "--progress", "json", "--json"]


@pytest.mark.parametrize(("value", "said"), [(True, []), (False, ["--no-cog"]), (None, [])])
def test_a_pair_of_flags(value: bool | None, said: list[str]) -> None:
    built = build(TASKS["predictmap"], {"COG": value})
    assert [word for word in built if "cog" in word] == said


def test_every_option_is_documented_by_the_library() -> None:
    for task in TASKS.values():
        for parameter in task.parameters:
            assert parameter.documented.get("help"), (task.name, parameter.name)
            assert parameter.kind != "choice" or parameter.documented["choices"]


def test_names_are_what_qgis_wants() -> None:
    for task in load_tasks().values():
        names = [p.name for p in task.parameters]
        assert task.name.islower()
        assert task.name.isalpha()
        assert all(name.isupper() for name in names)
        assert len(set(names)) == len(names)
        assert isinstance(task, Task)


def test_the_environment_is_cleaned() -> None:
    inherited = {
        "PATH": "/bin", "HOME": "/home/me", "PYTHONPATH": "x", "PYTHONHOME": "x", "PYTHONEXECUTABLE": "x",
        "PYTHONUSERBASE": "x", "VIRTUAL_ENV": "x", "QGIS_PREFIX_PATH": "x", "PROJ_DATA": "x", "PROJ_LIB": "x",
        "GDAL_DATA": "x", "GDAL_DRIVER_PATH": "x", "LD_LIBRARY_PATH": "x", "LD_PRELOAD": "x",
        "DYLD_LIBRARY_PATH": "x", "DYLD_INSERT_LIBRARIES": "x", "GDAL_CACHEMAX": "64", "PROJ_NETWORK": "OFF",
    }  # fmt: skip
    cleaned = clean_environment(inherited)
    assert "x" not in cleaned.values()
    assert {"PATH", "HOME", "GDAL_CACHEMAX", "PROJ_NETWORK"} <= set(cleaned)
    assert "HTTPS_PROXY" not in cleaned
    assert clean_environment(inherited, "http://proxy:3128")["https_proxy"] == "http://proxy:3128"


@given(
    st.lists(
        st.text(alphabet=st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])),
        max_size=8,
    ),
    st.data(),
)
def test_lines_survive_any_cut(lines: list[str], data: st.DataObject) -> None:
    stream = "\n".join(lines).encode()
    buffer, found = LineBuffer(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += buffer.feed(stream[:size])
        stream = stream[size:]
    assert found + buffer.close() == [line for line in lines if line.strip()]


def test_a_line_without_end_is_cut() -> None:
    buffer = LineBuffer()
    found = [line for _ in range(30) for line in buffer.feed(b"x" * 100_000)]
    assert sum(map(len, found + buffer.close())) == 3_000_000
    assert found


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ('{"event": "progress", "stage": "train", "fraction": 0.5}', "progress"),
        ('{"event": 5}', "line"),
        ('{"no": "event"}', "line"),
        ("[1, 2]", "line"),
        ("Traceback (most recent call last):", "line"),
        ('{"event": "log"', "line"),
    ],
)
def test_events(line: str, kind: str) -> None:
    assert parse_event(line)["event"] == kind


def test_results() -> None:
    assert parse_result('{"a": {"b": 3}}\n') == {"a": {"b": 3}}
    assert parse_result("") is None
    assert parse_result("[1]") is None
    assert look_up({"a": {"b": 3}}, "a.b") == 3
    assert look_up({"a": {"b": 3}}, "a.c") is None
    assert look_up({"a": 5}, "a.c") is None
