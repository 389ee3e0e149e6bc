"""The child: becomes the library, says what runs, and ends when the one who started it does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qgis_plugin import child

CHILD = Path(child.__file__)
LIBRARY = """
import json, os, subprocess, sys, time
print(json.dumps({"argv": sys.argv, "group": os.getpgrp() == os.getpid(), "path": sys.path[0]}), flush=True)
if "live" in sys.argv:
    print(*(len(line) for line in sys.stdin), flush=True)
if "hang" in sys.argv:
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "hang" in sys.argv or "wait" in sys.argv:
    print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"]).pid, flush=True)
    time.sleep(300)
"""


@pytest.fixture
def start(tmp_path: Path):
    """Start the child with a stand-in for the library; ends what is left at the end."""
    package = tmp_path / "geopointseg"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(LIBRARY)
    started = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        code = CHILD.read_text(encoding="utf-8").replace(
            "GRACE_SECONDS = 20.0", "GRACE_SECONDS = 0.5"
        )
        script = tmp_path / "child.py"
        script.write_text(code, encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, str(script), "geopointseg", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
        )  # fmt: skip
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_it_becomes_the_library_and_says_so(start) -> None:
    process = start("points", "check", "--json")
    out, err = process.stdout.read(), process.stderr.read()
    told = json.loads(out)
    assert told["argv"][1:] == ["points", "check", "--json"]
    assert told["group"]
    event = json.loads(err.splitlines()[0])
    assert event["event"] == "log"
    assert event["message"].startswith("geopointseg ")
    assert f"in {sys.executable} (Python 3." in event["message"]
    assert event["message"].endswith("device cpu")


def test_live_reads_all_of_its_standard_input_itself(start) -> None:
    process = start("live", "--raster", "scene.tif")
    process.stdout.readline()
    process.stdin.write("x" * 99 + "\n" + "y" * 499 + "\n")
    process.stdin.close()
    assert process.stdout.read().split() == ["100", "500"]
    assert process.wait(timeout=60) == 0


@pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX's")
@pytest.mark.parametrize("way", ["wait", "hang"])
def test_it_ends_with_the_one_who_started_it(start, way: str) -> None:
    process = start(way)
    process.stdout.readline()
    grandchild = int(process.stdout.readline())
    assert is_alive(grandchild)
    process.stdin.close()
    process.wait(timeout=60)
    assert process.returncode == (-signal.SIGTERM if way == "wait" else -signal.SIGKILL)
    if way == "hang":
        for _ in range(100):
            if not is_alive(grandchild):
                break
            time.sleep(0.05)
        assert not is_alive(grandchild)
    elif is_alive(grandchild):
        os.kill(grandchild, signal.SIGKILL)


def test_the_reasons_why_nothing_can_run() -> None:
    where = "The interpreter /usr/bin/python3 (Python 3.11.2)"
    assert child.problem((3, 11, 2), "0.1.0", where).startswith(
        f"{where} is too old: geopointseg needs Python 3.12"
    )
    assert child.problem((3, 12, 0), "", where).startswith(f"{where} has no package geopointseg")
    assert "has geopointseg 0.0.9, but this plugin needs 0.1" in child.problem(
        (3, 12, 0), "0.0.9", where
    )
    for version in ("0.1.0", "0.10.2", "1.0rc1", "2.0.dev3+local"):
        assert child.problem((3, 13, 1), version, where) == ""


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["points", "check"], "cpu"),
        (["train", "--device", "cpu"], "cpu"),
        (["assess", "--device", "cuda"], "cpu"),
    ],
)
def test_the_device_where_torch_is_not_needed(
    arguments: list[str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert child.device(arguments) == name


def test_the_device_where_it_is() -> None:
    torch = pytest.importorskip("torch")
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert child.device(["train"]).startswith(expected)
