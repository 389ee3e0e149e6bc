"""Dask workers make the same map, also when one of them is killed."""

from __future__ import annotations

import numpy as np
import pytest

from geopointseg.errors import Cancelled, ConfigError
from geopointseg.prediction import distributed as module
from geopointseg.prediction import predictor, tile_status
from geopointseg.prediction.distributed import Task, open_client, run_task
from geopointseg.prediction.predictor import plan_prediction, predict
from geopointseg.prediction.work_folder import WorkFolder
from geopointseg.progress import Reporter
from tests.prediction.conftest import (
    SMALL,
    BlurMember,
    Listener,
    image_of,
    loose_bundle,
    network_bundle,
    write_scene,
)

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def landscape(tmp_path_factory):
    folder = tmp_path_factory.mktemp("landscape")
    bundle = network_bundle(
        folder / "m", architecture="unet", encoder_depth=3, decoder_channels=(32, 16, 8), members=1
    )
    valid = np.ones((420, 2200), bool)
    valid[:, 700:1400] = False
    scene = write_scene(folder / "s.tif", image_of((420, 2200)), nodata=-9, valid=valid)
    return bundle, scene


OPTIONS = {"window_px": 128, "overlap_px": 32, "batch_size": 1}


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(predictor, "SUMS_BYTES", 1)


def outputs(tmp_path, name):
    return {"output": tmp_path / f"{name}.tif", "uncertainty": tmp_path / f"{name}_u.tif"}


def test_a_killed_worker_costs_nothing_but_its_tile(tmp_path, cluster, landscape, small_parts):
    bundle, scene = landscape
    alone, together = outputs(tmp_path, "alone"), outputs(tmp_path, "together")
    predict(bundle, scene, **alone, **OPTIONS)
    killed = []

    class Killer(Listener):
        def emit(self, event):
            super().emit(event)
            if "tile" in event.data and not killed:
                worker = cluster.workers[0].process
                killed.append(worker.pid)
                worker.process.kill()

    said = []
    predict(
        bundle, scene, **together, dask=cluster.scheduler_address, reporter=Reporter(Killer(said)), **OPTIONS
    )  # fmt: skip
    assert killed
    for name in alone:
        assert alone[name].read_bytes() == together[name].read_bytes()
    tiles = [tuple(e.data["tile"]) for e in said if "tile" in e.data]
    assert len(tiles) == len(set(tiles))


def test_cancel_and_resume_on_workers(tmp_path, cluster, landscape, small_parts):
    bundle, scene = landscape
    alone, together = outputs(tmp_path, "alone"), outputs(tmp_path, "together")
    predict(bundle, scene, **alone, **OPTIONS)
    listener = Listener([], cancel_after=4)
    listener.reporter = Reporter(listener)
    with pytest.raises(Cancelled):
        predict(
            bundle,
            scene,
            **together,
            dask=cluster.scheduler_address,
            reporter=listener.reporter,
            **OPTIONS,
        )
    assert not together["output"].exists()
    predict(bundle, scene, **together, resume=True, **OPTIONS)
    for name in alone:
        assert alone[name].read_bytes() == together[name].read_bytes()


def test_errors_of_workers_are_those_of_the_library(tmp_path, cluster, landscape, small_parts):
    from geopointseg.errors import RasterError

    bundle, _ = landscape
    image = image_of((150, 150))
    image[0, 100, 100] = np.inf
    scene = write_scene(tmp_path / "s.tif", image)
    with pytest.raises(RasterError, match="infinite value"):
        predict(bundle, scene, tmp_path / "map.tif", dask=cluster.scheduler_address, **OPTIONS)


def test_late_tiles_of_another_job_stay_out(tmp_path, small_tiles, monkeypatch):
    """A worker whose run was cancelled finishes its tile when the next run of the output is at work."""
    scene = write_scene(tmp_path / "s.tif", image_of((300, 330)))
    first, second = (loose_bundle(tmp_path / f"m{s}", BlurMember(seed=s)) for s in (1, 2))
    predict(second, scene, tmp_path / "whole.tif", **SMALL)
    planned = plan_prediction(first, scene, tmp_path / "map.tif", **SMALL)
    work = WorkFolder.beside(tmp_path / "map.tif").of_job(planned.identity)
    write, late = tile_status.write_arrays, []

    def write_and_be_overtaken(path, arrays):
        write(path, arrays)
        if not late:
            tasks = [Task("compute", tile) for tile in planned.job.plan.lattice.tiles]
            late.extend([run_task("late", planned.job, work, task) for task in tasks])

    monkeypatch.setattr(tile_status, "write_arrays", write_and_be_overtaken)
    predict(second, scene, tmp_path / "map.tif", **SMALL)
    assert len(late) > 3
    assert not any(late)
    assert (tmp_path / "map.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()


def test_keys_tell_jobs_apart_and_are_the_same_everywhere(tmp_path):
    work = WorkFolder(tmp_path)
    assert work.of_job({"a": 1, "b": [2]}) == work.of_job({"b": (2,), "a": 1})
    assert work.of_job({"a": 1}).part((0, 0)) != work.of_job({"a": 2}).part((0, 0))


@pytest.mark.parametrize("address", ["local:many", "tcp://127.0.0.1:9", "nonsense"])
def test_refused_addresses_leave_nothing(tmp_path, monkeypatch, address):
    monkeypatch.setattr(module, "WORKER_TIMEOUT_S", 0.5)
    scene = write_scene(tmp_path / "s.tif", image_of((64, 64)))
    bundle = loose_bundle(tmp_path / "m", BlurMember())
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="Dask"):
        predict(bundle, scene, tmp_path / "map.tif", dask=address, **SMALL)
    assert sorted(tmp_path.iterdir()) == before


def test_addresses_by_their_words(tmp_path):
    scene = write_scene(tmp_path / "s.tif", image_of((64, 64)))
    bundle = loose_bundle(tmp_path / "m", BlurMember())
    with pytest.raises(ConfigError, match="Expected local:N with a number of workers"):
        predict(bundle, scene, tmp_path / "map.tif", dask="local:many", **SMALL)
    with pytest.raises(ConfigError, match="The Dask address is 'local:0'"), open_client("local:0"):
        pass
