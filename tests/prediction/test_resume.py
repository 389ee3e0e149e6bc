"""A run that was killed at any moment is finished by --resume, to the byte."""

from __future__ import annotations

import multiprocessing
import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest

from geopointseg.errors import ConfigError, OutputError
from geopointseg.prediction import output_tiles, tile_files, tile_status
from geopointseg.prediction.predictor import plan_prediction, predict
from geopointseg.prediction.tile_status import TileStatus
from geopointseg.prediction.work_folder import WorkFolder, open_work_folder
from geopointseg.raster import publishing as raster_output
from tests.prediction.conftest import SMALL, BlurMember, image_of, loose_bundle, write_scene


class SlowMember(BlurMember):
    """Takes its time, so that there are moments to be killed at."""

    def probabilities(self, image, valid):
        time.sleep(0.02)
        return super().probabilities(image, valid)


def start(options):
    """Run a prediction in a child that has all libraries loaded already."""
    child = multiprocessing.get_context("fork").Process(target=predict, kwargs=options)
    child.start()
    return child


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked children")
def test_killed_at_random_moments(tmp_path, small_tiles):
    bundle = loose_bundle(tmp_path / "m", SlowMember(seed=1), SlowMember(seed=2))
    valid = np.ones((420, 500), bool)
    valid[200:330, 100:260] = False
    scene = write_scene(tmp_path / "s.tif", image_of((420, 500)), nodata=-9, valid=valid)
    whole = {
        "models": bundle, "scenes": scene, "output": tmp_path / "whole.tif",
        "probabilities": tmp_path / "whole_p.tif", "uncertainty": tmp_path / "whole_u.tif", **SMALL,
    }  # fmt: skip
    started = time.monotonic()
    predict(**whole)
    seconds = time.monotonic() - started
    outputs = {
        name: tmp_path / whole[name].name.replace("whole", "killed")
        for name in whole
        if name in PRODUCTS
    }
    killed = {**whole, **outputs, "resume": True}
    moments = random.Random(7)
    for _ in range(6):
        child = start(killed)
        time.sleep(moments.uniform(0.0, 0.5) * seconds)
        child.kill()
        child.join()
        if child.exitcode == 0:
            break
        assert not (tmp_path / "killed.tif").exists()
    predict(**killed)
    for name, path in outputs.items():
        assert path.read_bytes() == whole[name].read_bytes()
    assert not [p.name for p in tmp_path.iterdir() if "partial" in p.name]


PRODUCTS = ("output", "probabilities", "uncertainty")


class Killed(BaseException):
    """Stands for a crash."""


@pytest.mark.parametrize("after", [1, 2, 5, 9, 14, 20])
def test_stopped_after_any_file(tmp_path, small_tiles, monkeypatch, after):
    """A crash before the n-th file is in place, whichever it is."""
    image = image_of((300, 330))
    scene = write_scene(tmp_path / "s.tif", image)
    bundle = loose_bundle(tmp_path / "m", BlurMember())
    options = {"uncertainty": tmp_path / "u.tif", **SMALL}
    predict(bundle, scene, tmp_path / "map.tif", **options)
    expected = [(tmp_path / name).read_bytes() for name in ("map.tif", "u.tif")]
    for name in ("map.tif", "u.tif", "map.qml", "map.tif.aux.xml"):
        (tmp_path / name).unlink()
    written = []

    def write_and_crash(path, arrays, facts=None):
        written.append(path)
        if len(written) > after:
            path.with_name(f".{path.name}.tmp").write_bytes(b"half")
            raise Killed
        tile_files.write_arrays(path, arrays, facts)

    with monkeypatch.context() as patch:
        patch.setattr(tile_status, "write_arrays", write_and_crash)
        patch.setattr(output_tiles, "write_arrays", write_and_crash)
        with pytest.raises(Killed):
            predict(bundle, scene, tmp_path / "map.tif", **options)
    assert not (tmp_path / "map.tif").exists()
    calls = len(bundle.members[0].calls)
    predict(bundle, scene, tmp_path / "map.tif", resume=True, **options)
    assert [(tmp_path / name).read_bytes() for name in ("map.tif", "u.tif")] == expected
    assert len(bundle.members[0].calls) - calls <= calls


def interrupt(tmp_path, monkeypatch, bundle, scene, **options):
    def crash(*_, **__):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(output_tiles, "write_arrays", crash)
        with pytest.raises(Killed):
            predict(bundle, scene, tmp_path / "map.tif", **SMALL, **options)


def test_what_is_there_is_not_computed_again(tmp_path, small_tiles, monkeypatch):
    member = BlurMember()
    scene = write_scene(tmp_path / "s.tif", image_of((300, 330)))
    bundle = loose_bundle(tmp_path / "m", member)
    interrupt(tmp_path, monkeypatch, bundle, scene)
    parts = len(list((tmp_path / "map.tif.partial" / "parts").iterdir()))
    assert parts > 0
    member.calls.clear()
    predict(bundle, scene, tmp_path / "map.tif", resume=True, **SMALL)
    resumed = len(member.calls)
    member.calls.clear()
    predict(bundle, scene, tmp_path / "again.tif", **SMALL)
    assert resumed < len(member.calls)


def test_speed_counts_only_what_a_run_computed(tmp_path, small_tiles, monkeypatch):
    scene = write_scene(tmp_path / "s.tif", image_of((300, 330)))
    bundle = loose_bundle(tmp_path / "m", BlurMember())
    whole = predict(bundle, scene, tmp_path / "whole.tif", **SMALL)
    assert whole.pixels_per_s * whole.seconds == pytest.approx(300 * 330)
    planned = plan_prediction(bundle, scene, tmp_path / "map.tif", **SMALL)
    interrupt(tmp_path, monkeypatch, bundle, scene)
    left = WorkFolder.beside(tmp_path / "map.tif").of_job(
        {**planned.identity, "the backend": "torch"}
    )
    missing = sum(
        planned.job.plan.lattice.pixels(t) for t in TileStatus(planned.job.plan, left).missing
    )
    assert 0 < missing < 300 * 330
    done = predict(bundle, scene, tmp_path / "map.tif", resume=True, **SMALL)
    assert done.pixels_per_s * done.seconds == pytest.approx(missing)


@pytest.mark.parametrize("error", [ConfigError("no"), RuntimeError("no")])
def test_a_run_that_computed_nothing_leaves_nothing(tmp_path, error):
    def fail():
        with open_work_folder(tmp_path / "map.tif", {"a": 1}, resume=False):
            raise error

    with pytest.raises(type(error)):
        fail()
    assert not list(tmp_path.iterdir())


def test_without_resume_it_starts_over(tmp_path, small_tiles, monkeypatch):
    member = BlurMember()
    scene = write_scene(tmp_path / "s.tif", image_of((300, 330)))
    bundle = loose_bundle(tmp_path / "m", member)
    interrupt(tmp_path, monkeypatch, bundle, scene)
    predict(bundle, scene, tmp_path / "map.tif", tta="flip", **SMALL)
    assert not (tmp_path / "map.tif.partial").exists()


def test_damaged_files_are_computed_again(tmp_path, small_tiles, monkeypatch):
    scene = write_scene(tmp_path / "s.tif", image_of((300, 330)))
    bundle = loose_bundle(tmp_path / "m", BlurMember())
    predict(bundle, scene, tmp_path / "whole.tif", **SMALL)
    interrupt(tmp_path, monkeypatch, bundle, scene)
    for path in (tmp_path / "map.tif.partial" / "parts").iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    predict(bundle, scene, tmp_path / "map.tif", resume=True, **SMALL)
    assert (tmp_path / "whole.tif").read_bytes() == (tmp_path / "map.tif").read_bytes()


def test_another_job_is_refused_with_the_difference_named(tmp_path, small_tiles, monkeypatch):
    image = image_of((300, 330))
    scene = write_scene(tmp_path / "s.tif", image)
    bundle = loose_bundle(tmp_path / "m", BlurMember())
    interrupt(tmp_path, monkeypatch, bundle, scene)
    other = loose_bundle(tmp_path / "other", BlurMember(seed=9))
    again = {"resume": True, **SMALL}
    with pytest.raises(ConfigError, match="cannot be resumed: the model was"):
        predict(other, scene, tmp_path / "map.tif", **again)
    with pytest.raises(ConfigError, match="overlap_px was 16 and is now 32"):
        predict(bundle, scene, tmp_path / "map.tif", **again | {"overlap_px": 32})
    with pytest.raises(ConfigError, match="tta was none and is now flip"):
        predict(bundle, scene, tmp_path / "map.tif", tta="flip", **again)
    with pytest.raises(ConfigError, match="probabilities was False and is now True"):
        predict(bundle, scene, tmp_path / "map.tif", probabilities=tmp_path / "p.tif", **again)
    write_scene(tmp_path / "s.tif", image[:, :, :300])
    with pytest.raises(
        ConfigError, match=r"the raster was .* give the earlier ones, or run without `resume=True`"
    ):
        predict(bundle, scene, tmp_path / "map.tif", **again)
    assert (tmp_path / "map.tif.partial").is_dir()


def test_a_second_run_on_the_same_output_is_refused(tmp_path):
    with open_work_folder(tmp_path / "map.tif", {}, resume=False):
        code = (
            "from geopointseg.prediction.work_folder import open_work_folder; from pathlib import Path\n"
            f"with open_work_folder(Path({str(tmp_path / 'map.tif')!r}), {{}}, resume=True): pass"
        )
        said = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
    assert said.returncode == 1
    assert (
        f"Another run is writing '{tmp_path / 'map.tif'}' at this moment (process {os.getpid()})"
        in said.stderr
    )
    assert not WorkFolder.beside(tmp_path / "map.tif").path.exists()


def test_full_disk_before_the_first_tile_promises_no_kept_tiles(tmp_path, small_tiles, monkeypatch):
    def full(path, arrays, facts=None):
        raise raster_output.explain_write_error(OSError(28, "No space left on device"), path)

    for module in (output_tiles, tile_status):
        monkeypatch.setattr(module, "write_arrays", full)
    scene = write_scene(tmp_path / "s.tif", image_of((300, 330)))
    with pytest.raises(OutputError, match=r"^The disk is full") as told:
        predict(loose_bundle(tmp_path / "m", BlurMember()), scene, tmp_path / "map.tif", **SMALL)
    assert "kept" not in str(told.value)
    assert not WorkFolder.beside(tmp_path / "map.tif").path.exists()


def test_full_disk_is_one_sentence_and_keeps_the_work_folder(tmp_path, small_tiles, monkeypatch):
    scene = write_scene(tmp_path / "s.tif", image_of((300, 330)))
    bundle = loose_bundle(tmp_path / "m", BlurMember())
    predict(bundle, scene, tmp_path / "whole.tif", **SMALL)
    real = tile_files.write_arrays

    def full(path, arrays, facts=None):
        if path.parent.name == "tiles":
            raise raster_output.explain_write_error(OSError(28, "No space left on device"), path)
        real(path, arrays, facts)

    with monkeypatch.context() as patch:
        patch.setattr(output_tiles, "write_arrays", full)
        with pytest.raises(
            OutputError,
            match=r"The disk is full: .* are kept in .*; free some space and run again with `resume=True`",
        ):
            predict(bundle, scene, tmp_path / "map.tif", **SMALL)
    assert not (tmp_path / "map.tif").exists()
    assert WorkFolder.beside(tmp_path / "map.tif").job() is not None
    predict(bundle, scene, tmp_path / "map.tif", resume=True, **SMALL)
    assert (tmp_path / "map.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()
