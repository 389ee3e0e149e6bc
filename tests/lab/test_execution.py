"""A study that is cancelled ends at the next step of the runs at work, and leaves what was done."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from geopointseg.errors import Cancelled
from geopointseg.lab.factor_study import run_study
from geopointseg.lab.synthetic_landscape import LEGEND, make_landscape, write_scene
from geopointseg.learning.trainer import Learner
from geopointseg.progress import Reporter
from geopointseg.raster.class_map import write_class_map

PLAN = """
title = "Long runs"
seeds = [0, 1, 2]
baselines = []
[data.landscape]
images = ["scene.tif"]
masks = ["truth.tif"]
test_images = ["scene.tif"]
test_masks = ["truth.tif"]
part = "left"
test_part = "right"
[fixed]
model = "network"
"points.per_class" = 20
"forest.features" = "pixel"
"forest.trees" = 10
"sampling.chip_size" = 32
"optimization.steps" = 2000
[[factors]]
name = "loss.gamma"
levels = [0.0, 1.0]
"""


@pytest.fixture
def study(tmp_path, monkeypatch) -> Path:
    monkeypatch.delenv("GEOPOINTSEG_DATA", raising=False)
    landscape = make_landscape(96, 192, seed=2)
    write_scene(landscape, str(tmp_path / "scene.tif"))
    write_class_map(tmp_path / "truth.tif", landscape.truth.astype(int), landscape.grid, LEGEND)
    (tmp_path / "study.toml").write_text(PLAN)
    return tmp_path / "study.toml"


def left_behind(output: Path) -> list[str]:
    return [path.name for path in (output / "runs").iterdir()]


def test_a_run_is_cancelled_at_its_next_step(study, tmp_path, monkeypatch) -> None:
    reporter, original = Reporter(), Learner.finish_step
    steps = []

    def cancel_third(self):
        original(self)
        steps.append(self.step)
        if self.step == 3:
            reporter.cancel()

    monkeypatch.setattr(Learner, "finish_step", cancel_third)
    with pytest.raises(Cancelled):
        run_study(study, tmp_path / "out", device="cpu", reporter=reporter)
    assert steps == [1, 2, 3]
    assert left_behind(tmp_path / "out") == []


def test_runs_in_processes_of_their_own_are_cancelled_together(study, tmp_path) -> None:
    reporter, runs = Reporter(), tmp_path / "out" / "runs"

    def cancel_when_at_work() -> None:
        while not list(runs.glob("*.work")):
            time.sleep(0.05)
        reporter.cancel()

    watcher = threading.Thread(target=cancel_when_at_work, daemon=True)
    watcher.start()
    with pytest.raises(Cancelled):
        run_study(study, tmp_path / "out", jobs=2, device="cpu", reporter=reporter)
    watcher.join()
    assert left_behind(tmp_path / "out") == []


def test_processes_end_with_their_study(tmp_path) -> None:
    """Neither a second interrupt nor a killed study leaves processes behind that wait for work for ever."""
    script = tmp_path / "study.py"
    script.write_text(
        "import os, time\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from multiprocessing import get_context\n"
        "from geopointseg.lab.execution import _begin_worker\n"
        "if __name__ == '__main__':\n"
        "    context = get_context('spawn')\n"
        "    pool = ProcessPoolExecutor(1, context, _begin_worker, (context.Event(),))\n"
        "    print(pool.submit(os.getpid).result(), flush=True)\n"
        "    os._exit(0)\n"
    )
    ended = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    worker = int(ended.stdout)
    while is_alive(worker):
        time.sleep(0.05)


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{process}/stat")
    return not (stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] == "Z")
