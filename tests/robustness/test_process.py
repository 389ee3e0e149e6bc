"""Trouble around a command, in a process of its own: its folder, its streams, its limits, its environment."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.robustness.attempt import Outcome, content_of, require_refusal

SPLIT = "points split {good}/points.gpkg -o {out}/o.gpkg --block-size-m 100 --folds 3"
RASTERIZE = "points rasterize {good}/points.gpkg --like {good}/scene.tif -o {out}/o.tif"
CUT = "points rasterize {good}/points.gpkg --like {out}/cut.tif -o {out}/o.tif"
ASSESS = "assess {good}/map.tif --points {good}/points.gpkg --force -o {out}/r.html"
PREDICT = "predict {good}/model --raster {good}/scene.tif -o {out}/o.tif --progress none"


def run_process(command: str, good: Path, out: Path, **options: Any) -> Outcome:
    """Run a command as a user does."""
    arguments = command.format(good=good, out=out).split()
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": out} | options
    environment = (
        os.environ | {"GEOPOINTSEG_CACHE": str(out.parent / "cache")} | options.pop("env", {})
    )
    done = subprocess.run(
        [sys.executable, "-P", "-m", "geopointseg", *arguments],
        check=False, text=True, env=environment, timeout=300, **options,
    )  # fmt: skip
    return Outcome(done.returncode, done.stdout or "", done.stderr or "")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_a_bad_file_ends_a_process_with_one_sentence(good: Path, out: Path) -> None:
    (out / "cut.tif").write_bytes((good / "scene.tif").read_bytes()[:100])
    before = content_of(out)
    require_refusal(run_process(CUT, good, out), ["cut.tif"])
    assert content_of(out) == before


@pytest.mark.parametrize("command", ["doctor", SPLIT])
def test_a_folder_that_was_removed(good: Path, out: Path, command: str) -> None:
    def remove() -> None:
        os.chdir(out.parent / "gone")
        (out.parent / "gone").rmdir()

    (out.parent / "gone").mkdir()
    outcome = run_process(command, good, out, cwd="/", preexec_fn=remove)
    assert outcome.code == 1
    assert "The current folder cannot be used" in outcome.sentence
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("command", ["doctor", "doctor --json", SPLIT])
def test_output_that_nobody_can_print(good: Path, out: Path, command: str) -> None:
    with Path("/dev/full").open("w") as full:
        outcome = run_process(command, good, out, stdout=full)
    assert outcome.code == 1
    assert re.match(r"The disk is full|The result could not be printed", outcome.sentence)


def test_without_any_output(good: Path, out: Path) -> None:
    outcome = run_process(SPLIT, good, out, stdout=None, preexec_fn=lambda: os.close(1))
    assert (outcome.code, [file.name for file in out.iterdir()]) == (0, ["o.gpkg"])


@pytest.mark.parametrize("command", [RASTERIZE, PREDICT, ASSESS])
def test_files_that_may_not_grow(good: Path, out: Path, command: str) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    outcome = run_process(command, good, out, preexec_fn=limit)
    require_refusal(outcome, ["o.tif", "r.html"])
    assert [file for file in out.iterdir() if not file.name.endswith(".partial")] == []


@pytest.mark.skipif(sys.platform != "linux", reason="the address space is limited on Linux only")
def test_an_address_space_that_is_full(good: Path) -> None:
    code = """
import pathlib, resource, sys
from geopointseg.raster.raster_access import open_dataset
open_dataset(sys.argv[1]).close()
pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**21, -1))
try:
    open_dataset(sys.argv[1])
except MemoryError as error:
    print(error)
"""
    command = [sys.executable, "-P", "-c", code, good / "scene.tif"]
    done = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE)
    assert "address space" in done.stdout


@pytest.mark.skipif(find_spec("onnxruntime") is None, reason="ONNX Runtime is not installed")
def test_onnxruntime_sends_and_leaves_nothing(tmp_path: Path) -> None:
    hidden = {"CI", "GITHUB_ACTIONS", "ORT_DISABLE_TELEMETRY"}  # each silences it
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    code = "from geopointseg.process import import_onnxruntime; import_onnxruntime()"
    command = [sys.executable, "-P", "-c", code]
    subprocess.run(command, env=environment | {"TMPDIR": str(tmp_path)}, check=True)
    assert list(tmp_path.iterdir()) == []


def _unwritable(out: Path) -> dict[str, str]:
    (out.parent / "file").write_text("")
    return {"GEOPOINTSEG_CACHE": str(out.parent / "file" / "cache")}


@pytest.mark.parametrize(
    "environment",
    [
        lambda _: {
            "PROJ_LIB": "/nonexistent",
            "PROJ_DATA": "/nonexistent",
            "GDAL_DATA": "/nonexistent",
        },
        lambda _: {"TMPDIR": "/nonexistent"},
        lambda _: {"HOME": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent"},
        _unwritable,
        lambda _: {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
        lambda _: {"GDAL_CACHEMAX": "nonsense", "OMP_NUM_THREADS": "nonsense"},
    ],
    ids=["foreign PROJ", "no TMPDIR", "no HOME", "no cache", "ASCII terminal", "nonsense limits"],
)
def test_odd_environments_work(
    good: Path, out: Path, environment: Callable[[Path], dict[str, str]]
) -> None:
    (out / "ž森").mkdir()
    command = SPLIT.replace("{out}", "{out}/ž森")
    outcome = run_process(command, good, out, env=environment(out))
    assert outcome.code == 0, outcome
    assert [file.name for file in (out / "ž森").iterdir()] == ["o.gpkg"]
