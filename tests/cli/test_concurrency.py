"""Several processes at once: on one model folder, one output, one GeoPackage, one scene."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from rasterio.crs import CRS

import geopointseg as gps
from geopointseg import vector_source
from geopointseg.labels.layer import VectorLayer
from tests.benchmarks.faults import (
    LIVE,
    SUBJECTS,
    Laboratory,
    Moment,
    Run,
    Talk,
    live_result,
    live_script,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="starts forked processes")
PREDICT = next(subject for subject in SUBJECTS if subject.name == "predict")
TRAIN = next(subject for subject in SUBJECTS if subject.name == "train")


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory) -> Laboratory:
    return Laboratory(tmp_path_factory.mktemp("concurrency"))


def start(place: Path, streams: str, *arguments: str) -> Run:
    run = Run(arguments, place, place.with_name(streams))
    run.start()
    return run


def test_ten_predictions_at_once_with_one_model_folder(laboratory) -> None:
    place = laboratory.new_place(PREDICT)
    runs = []
    for number in range(10):
        (place / f"out{number}").mkdir()
        arguments = [word.replace("out/", f"out{number}/") for word in PREDICT.command()]
        runs.append(start(place, f"ten-{number}", *arguments))
    assert [run.wait() for run in runs] == [0] * 10
    for name in ("map.tif", "map.qml", "p.tif", "u.tif"):
        digests = {hashlib.sha256(p.read_bytes()).hexdigest() for p in place.glob(f"out*/{name}")}
        assert len(digests) == 1
        assert len(list(place.glob(f"out*/{name}"))) == 10
    assert not list(place.glob("out*/.*"))


def test_a_second_training_of_one_folder_is_refused(laboratory) -> None:
    place = laboratory.new_place(TRAIN)
    first = start(place, "first", *TRAIN.command())
    assert first.wait_for(Moment(1, 0.0))
    second = start(place, "second", *TRAIN.command())
    assert second.wait() == 1
    [sentence] = second.sentences()
    assert sentence == (
        f"Another run is writing 'out/model' at this moment (process {first.pid}). Only one run may write an output; "
        "wait for it to end or choose another output."
    )
    assert first.wait() == 0
    assert TRAIN.state(place / "out") == laboratory.reference(TRAIN)[0]


def test_a_session_beside_a_prediction_and_a_training_of_the_same_folder(laboratory) -> None:
    place = laboratory.new_place(LIVE)
    talk = Talk(Run(LIVE.command(), place, place.with_name("beside")))
    talk.start()
    mapping = start(place, "mapping", *PREDICT.command())
    for request in live_script()[:-1]:
        assert talk.ask(request)["ok"]
    training = start(place, "training", *TRAIN.command())
    assert training.wait_for(Moment(1, 0.0))
    refused = talk.ask(live_script()[-1])
    assert refused["ok"] is False
    assert refused["error"].startswith("Another run is writing 'out/model' at this moment")
    assert (mapping.wait(), training.wait()) == (0, 0)
    found = live_result(talk, place)
    assert talk.close() == 0
    assert found == laboratory.live_reference()[0]
    digests, _, _ = laboratory.reference(PREDICT)
    assert PREDICT.state(place / "out") == digests


EDITOR = """
import sqlite3, sys, time
path, mode = sys.argv[1:]
connection = sqlite3.connect(path, 5.0, isolation_level=None)
connection.execute(f"PRAGMA journal_mode={mode}")
print("ready", flush=True)
until = time.monotonic() + 600
while time.monotonic() < until:
    for code, statement in ((2, "DELETE FROM points WHERE fid > 3000"), (1, "INSERT INTO points SELECT * FROM spare WHERE fid > 3000")):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(statement)
        connection.execute("UPDATE points SET class = ?", (code,))
        connection.execute("COMMIT")
        time.sleep(0.01)
"""
STATES = {(1, 4000), (2, 3000)}


def write_edited_layer(path: Path) -> None:
    """Write 4000 points of one class, with a copy for the editor, and without triggers that only GDAL can run."""
    x, y = np.divmod(np.arange(4000.0), 64)
    legend = gps.Legend.from_names(["a", "b"])
    points = gps.Points.from_arrays(x, y, np.zeros(4000, int), legend, CRS.from_epsg(32633))
    gps.write_points(points, path)
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for (name,) in found.fetchall():
            connection.execute(f'DROP TRIGGER "{name}"')
        connection.execute("CREATE TABLE spare AS SELECT * FROM points")
        connection.commit()


@pytest.mark.parametrize("mode", ["WAL", "DELETE", "TRUNCATE"])
def test_a_layer_is_read_in_one_state_while_another_program_edits_it(tmp_path, mode) -> None:
    path = tmp_path / "points.gpkg"
    write_edited_layer(path)
    editor = subprocess.Popen(
        [sys.executable, "-S", "-c", EDITOR, str(path), mode], stdout=subprocess.PIPE
    )
    try:
        editor.stdout.readline()
        seen = []
        for _ in range(12):
            points = gps.read_points(path, class_field="class")
            [code] = set(points.codes.tolist())
            seen.append((code, len(points)))
        assert set(seen) <= STATES
        assert editor.poll() is None
    finally:
        editor.kill()
        editor.wait()
    assert {p.name for p in tmp_path.iterdir()} <= {
        "points.gpkg", "points.gpkg-wal", "points.gpkg-shm", "points.gpkg-journal",
    }  # fmt: skip


def edit(connection: sqlite3.Connection, *statements: str) -> None:
    for statement in statements:
        connection.execute(statement)


REMOVE = ("BEGIN", "DELETE FROM points WHERE fid > 3000", "UPDATE points SET class = 2", "COMMIT")


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_an_edit_between_two_passes_over_a_layer_is_not_seen(tmp_path, monkeypatch, mode) -> None:
    path = tmp_path / "points.gpkg"
    write_edited_layer(path)
    passes = []
    with closing(sqlite3.connect(path, isolation_level=None)) as editor:
        edit(editor, f"PRAGMA journal_mode={mode}")
        plain = VectorLayer.features

        def features(self, *arguments, **options):
            if passes:
                edit(editor, *REMOVE)
            passes.append(self)
            return plain(self, *arguments, **options)

        monkeypatch.setattr(VectorLayer, "features", features)
        points = gps.read_points(path, class_field="class")
        assert (len(passes), len(points), set(points.codes.tolist())) == (2, 4000, {1})
        monkeypatch.undo()
        assert len(gps.read_points(path, class_field="class")) == 3000


def test_a_write_ahead_log_and_its_file_are_copied_in_one_state(tmp_path, monkeypatch) -> None:
    path = tmp_path / "points.gpkg"
    write_edited_layer(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as editor:
        edit(editor, "PRAGMA journal_mode=WAL", "PRAGMA wal_autocheckpoint=0", *REMOVE)
        plain, copied = shutil.copyfile, []

        def copyfile(source, target):
            if copied == [path]:
                edit(
                    editor,
                    "PRAGMA wal_checkpoint(TRUNCATE)",
                    "UPDATE points SET class = 3 WHERE fid = 1",
                )
            copied.append(source)
            return plain(source, target)

        monkeypatch.setattr(shutil, "copyfile", copyfile)
        with vector_source.unchanged(path) as copy, closing(sqlite3.connect(copy)) as reader:
            counts = reader.execute("SELECT class, count(*) FROM points GROUP BY class").fetchall()
    assert counts == [(2, 2999), (3, 1)]
    assert len(copied) >= 4


def test_a_layer_in_the_middle_of_a_transaction_is_refused(tmp_path, monkeypatch) -> None:
    path = tmp_path / "points.gpkg"
    write_edited_layer(path)
    monkeypatch.setattr(vector_source, "PATIENCE_S", 0.1)
    with closing(sqlite3.connect(path, isolation_level=None)) as editor:
        edit(editor, "PRAGMA cache_size=1", "BEGIN EXCLUSIVE", "UPDATE points SET class = 2")
        with pytest.raises(
            gps.GeopointsegError, match=r"points\.gpkg' is locked: another program is writing it\."
        ):
            gps.read_points(path, class_field="class")
        edit(editor, "ROLLBACK")
    assert set(gps.read_points(path, class_field="class").codes.tolist()) == {1}
