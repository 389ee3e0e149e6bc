"""The process of a live session, over its protocol."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from geopointseg.errors import GeopointsegError
from geopointseg.labels.points import Points, write_points
from geopointseg.legend import Legend
from geopointseg.live.client import LiveClient
from geopointseg.live.mailbox import CANCELLED, NEWER_VIEW
from geopointseg.live.message import REQUESTS
from geopointseg.model.bundle import ModelBundle
from geopointseg.raster.scene import Scene

HEIGHT, WIDTH = 96, 128


@pytest.fixture(scope="module")
def client(mosaic, tmp_path_factory):
    os.environ["TMPDIR"] = str(tmp_path_factory.mktemp("temporary"))
    with LiveClient(["--raster", str(mosaic.path), "--classes", "forest,water"]) as made:
        yield made
    del os.environ["TMPDIR"]


@pytest.fixture
def places(client):
    """Empty the session, and return a function from pixels to places."""
    client.ask("points", points=[])
    client.ask("classes", legend=[{"name": "forest"}, {"name": "water"}])
    west, _, _, north = client.start["bounds"]

    def place(row: int, col: int) -> dict[str, float]:
        return {"x": west + (col + 0.5) * 0.25, "y": north - (row + 0.5) * 0.25}

    return place


@pytest.fixture
def bounds(client):
    west, _, _, north = client.start["bounds"]
    return [west, north - 0.25 * HEIGHT, west + 0.25 * WIDTH, north]


def test_the_first_line_describes_the_session(client, mosaic) -> None:
    start, grid = client.start, Scene.open(mosaic.path).grid
    assert (start["ready"], start["protocol"], start["pid"]) == (True, 1, client.process.pid)
    assert (start["bounds"], start["width"], start["height"]) == (list(grid.bounds), 768, 768)
    assert abs(start["resolution_m"] - 0.25) < 1e-3
    assert start["crs"] == grid.crs.to_wkt()
    assert [row["name"] for row in start["legend"]] == ["forest", "water"]
    assert (start["points"], start["problems"]) == ([], [])


def test_the_messages_of_the_protocol_word_for_word(client, places, bounds, tmp_path) -> None:
    def answer(line: str) -> dict:
        client.send_bytes(line.encode() + b"\n")
        return next(client.answers(json.loads(line).get("id")))

    a, b = places(20, 30), places(60, 90)
    first = answer(json.dumps({"id": 1, "do": "add", **a, "class": "forest"}))
    assert first == {"id": 1, "ok": True, "point": first["point"]}
    second = answer(json.dumps({"id": 2, "do": "add", **b, "class": "water"}))
    view = {
        "id": 3,
        "do": "view",
        "bounds": bounds,
        "width": WIDTH,
        "height": HEIGHT,
        "coarse": False,
    }
    picture = answer(json.dumps(view))
    assert (picture["ok"], picture["final"], picture["legend"]) == (True, True, ["forest", "water"])
    classes = np.load(picture["classes"])
    assert (classes.dtype, classes.shape) == (np.uint8, (HEIGHT, WIDTH))
    assert (classes[20, 30], classes[60, 90]) == (0, 1)
    assert (picture["counts"], picture["weak"]) == ({"forest": 1, "water": 1}, ["forest", "water"])
    removed = answer(json.dumps({"id": "x", "do": "remove", "point": second["point"]}))
    assert removed == {"id": "x", "ok": True, "point": second["point"]}
    folder = str(tmp_path / "model")
    refused = answer(json.dumps({"id": 4, "do": "save", "folder": folder}))
    assert refused == {"id": 4, "ok": False, "error": refused["error"]}
    assert "A model needs points of two classes at least" in refused["error"]
    answer(json.dumps({"id": 5, "do": "add", **b, "class": "water"}))
    saved = answer(json.dumps({"id": 6, "do": "save", "folder": folder}))
    assert saved == {"id": 6, "ok": True, "folder": folder, "members": ["linear"]}
    assert ModelBundle.load(folder).legend.names == ["forest", "water"]


def test_points_classes_move_relabel_and_state(client, places) -> None:
    rows = [{"point": "a", **places(5, 5), "class": "forest"}, {"point": "b", **places(9, 9), "class": "water"},
            {"point": "c", "x": 0, "y": 0, "class": "water"}]  # fmt: skip
    told = client.ask("points", points=rows)
    assert (told["points"], [p["point"] for p in told["problems"]]) == (2, ["c"])
    assert client.ask("move", point="a", **places(7, 7))["ok"]
    assert client.ask("relabel", point="b", **{"class": "pond"})["ok"]
    legend = [{"name": "lake", "was": "pond", "code": 9}, {"name": "forest"}]
    answer = client.ask("classes", legend=legend)
    assert [(row["name"], row["code"]) for row in answer["legend"]] == [("lake", 9), ("forest", 1)]
    state = client.ask("state")
    assert [(p["point"], p["class"]) for p in state["points"]] == [("a", "forest"), ("b", "lake")]
    assert (state["counts"], state["weak"]) == ({"lake": 1, "forest": 1}, ["lake", "forest"])


def test_questions_and_accuracy(client, places, bounds) -> None:
    assert "two classes at least" in client.ask("next")["error"]
    for k in range(8):
        client.ask("add", **places(11 + 12 * (k % 4), 10 + 90 * k), **{"class": "forest"})
        client.ask("add", **places(300 + 12 * (k % 4), 10 + 90 * k), **{"class": "water"})
    question = client.ask("next", bounds=bounds)
    assert sorted(question["classes"]) == ["forest", "water"]
    assert bounds[0] < question["x"] < bounds[2]
    assert bounds[1] < question["y"] < bounds[3]
    estimate = client.ask("accuracy", auto=False)
    assert (estimate["points"], 0 <= estimate["accuracy"] <= 1) == (16, True)
    assert estimate["text"].startswith("On ground held out: ")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"do": "view", "bounds": [1, 2], "width": 5, "height": 5}, "'bounds' is [1, 2]. Expected [xmin, ymin, xmax, ymax]"),
        ({"do": "view", "bounds": [0, 0, 1, 1], "width": 0, "height": 5}, "'width' is 0. Expected a positive whole number"),
        ({"do": "view", "bounds": [0, 0, 1, 1], "width": 9**9, "height": 5}, "at most 16777216 pixels in total"),
        ({"do": "remove", "point": "none"}, "There is no point 'none'."),
        ({"do": "remove", "point": {}}, "There is no point {}."),
        ({"do": "points", "points": "all"}, "'points' is no list. Expected a list of objects."),
        ({"do": "classes"}, "'legend' is no list."),
        ({"do": "save"}, "The request has no 'folder'."),
        ({"do": "save", "folder": "/proc/none/model"}, "/proc/none"),
        ({"do": "save", "folder": "/data/a/../../etc/model"}, "without '..'"),
        ({"do": "save", "folder": "/vsimem/model"}, "is not one that a user chooses"),
        ({"do": "save", "folder": "file:///data/model"}, "is not one that a user chooses"),
        ({"do": "save", "folder": "a\ud800"}, "holds half of a letter in UTF-16, \\ud800. Expected"),
        ({"do": "save", "folder": "x" * 300}, "is 300 bytes long. Expected at most 255"),
        ({"do": "save", "folder": f"{'x' * 300}/model"}, "is 300 bytes long. Expected at most 255"),
        ({"do": "save", "folder": "x/" * 2500 + "model"}, "Expected at most 3800; choose"),
        ({"do": "add", "class": "x" * 1001}, "Expected a text of 1 to 1000 letters."),
        ({"do": "sing"}, "There is no request 'sing'."),
    ],
)  # fmt: skip
def test_a_wrong_request_is_answered_and_the_session_goes_on(
    client, places, content, sentence
) -> None:
    client.ask("add", **places(3, 3), **{"class": "forest"})
    client.ask("add", **places(3, 9), **{"class": "water"})
    found = client.ask(content["do"], **{k: v for k, v in content.items() if k != "do"})
    assert found["ok"] is False
    assert sentence in found["error"]
    assert client.ask("state")["counts"] == {"forest": 1, "water": 1}


def test_a_view_outside_is_unknown(client, places) -> None:
    client.ask("add", **places(3, 3), **{"class": "forest"})
    client.ask("add", **places(3, 9), **{"class": "water"})
    classes, _ = client.view([0, 0, 10, 10], 8, 6)
    assert classes.shape == (6, 8)
    assert (classes == 255).all()


def test_many_requests_at_once_end_with_the_newest_view(client, places, bounds) -> None:
    client.ask("add", **places(3, 3), **{"class": "forest"})
    wanted = []
    for k in range(30):
        client.send("add", **places(40 + k, 40 + k), **{"class": "water"})
        wanted.append(client.send("view", bounds=bounds, width=WIDTH, height=HEIGHT))
    last: dict[int, dict] = {}
    while wanted[-1] not in last or not last[wanted[-1]].get("final"):
        answer = client._next()
        if answer.get("id") in wanted and "ok" in answer:
            last[answer["id"]] = answer
    assert last[wanted[-1]]["counts"] == {"forest": 1, "water": 30}
    for number in wanted[:-1]:
        assert last[number]["ok"] is True or last[number]["error"] in (NEWER_VIEW, CANCELLED)
    assert set(last) == set(wanted)


def test_a_line_of_100_mb_is_refused_and_not_held(client) -> None:
    def peak_kb() -> int:
        status = Path(f"/proc/{client.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if "VmRSS" in line)

    before = peak_kb()
    client.send_bytes(b'{"id": "long", "do": "add", "class": "')
    for _ in range(100):
        client.send_bytes(b"x" * 1_000_000)
    client.send_bytes(b'"}\n')
    assert "longer than 1000000 bytes" in next(client.answers("long"))["error"]
    assert peak_kb() - before < 30_000
    assert client.ask("state")["ok"]


def junk(chance: random.Random, depth: int = 0):
    kinds = [None, True, -1, 0, 2**70, 1e300, "", "forest", "é\x00", "x" * 300, [], {}]
    if depth < 2 and chance.random() < 0.3:
        return [junk(chance, depth + 1) for _ in range(chance.randrange(4))]
    return chance.choice(kinds)


def test_no_message_breaks_the_session(client, places) -> None:
    """Random messages; GEOPOINTSEG_FUZZ_S sets how long, in seconds."""
    chance = random.Random(5)
    keys = (
        "x",
        "y",
        "class",
        "point",
        "points",
        "legend",
        "bounds",
        "width",
        "height",
        "crs",
        "cancel",
        "auto",
    )
    verbs = [verb for verb in REQUESTS if verb not in ("quit", "save")]
    until, count = time.monotonic() + float(os.environ.get("GEOPOINTSEG_FUZZ_S", "3")), 0
    while time.monotonic() < until or count < 200:
        body = {key: junk(chance) for key in chance.sample(keys, chance.randrange(6))}
        if chance.random() < 0.5:
            body |= {**places(chance.randrange(768), chance.randrange(768)), "class": "forest"}
        line = json.dumps({"id": junk(chance), "do": chance.choice(verbs), **body}).encode()
        if chance.random() < 0.2:
            cut = chance.randrange(len(line))
            line = line[:cut] + chance.randbytes(3) + line[cut + 3 :]
        client.send_bytes(line.replace(b"\n", b" ") + b"\n")
        count += 1
        if count % 50 == 0:
            assert client.ask("state")["ok"]
    assert client.ask("state")["ok"]
    assert client.process.poll() is None


def test_a_client_that_does_not_read_blocks_nothing(mosaic) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "geopointseg", "live", "--raster", str(mosaic.path), "--quiet"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        process.stdout.readline()
        os.set_blocking(process.stdin.fileno(), False)
        line = b'{"id": "%s", "do": "state"}\n' % (b"y" * 500)
        written, idle = 0, 0.0
        while written < 20_000_000 and idle < 3.0:
            sent = os_write(process.stdin.fileno(), line * 100)
            written += sent
            idle = 0.0 if sent else idle + 0.05
            time.sleep(0 if sent else 0.05)
        assert written < 5_000_000  # the worker stopped reading requests
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(15) == 130
    finally:
        process.kill()
        process.wait()


def os_write(descriptor: int, content: bytes) -> int:
    try:
        return os.write(descriptor, content)
    except BlockingIOError:
        return 0


def test_points_of_a_file_are_read_and_the_file_is_not_changed(mosaic, tmp_path) -> None:
    grid = Scene.open(mosaic.path).grid
    x, y = grid.pixel_to_world([10.5, 20.5, -50.0], [10.5, 20.5, 0.5])
    legend = Legend.from_names(["wood", "lake"], codes=[30, 40], colors=["#010203", "#040506"])
    write_points(Points.from_arrays(x, y, [0, 1, 1], legend, grid.crs), tmp_path / "p.gpkg")
    content = (tmp_path / "p.gpkg").read_bytes()
    arguments = [
        "--raster",
        str(mosaic.path),
        "--points",
        str(tmp_path / "p.gpkg"),
        "--classes",
        "road",
    ]
    with LiveClient(arguments) as client:
        assert [p["class"] for p in client.start["points"]] == ["wood", "lake"]
        assert [p["point"] for p in client.start["problems"]] == [3]
        assert [row["name"] for row in client.start["legend"]] == ["wood", "lake", "road"]
        client.ask("add", x=float(x[0]) + 5, y=float(y[0]), **{"class": "road"})
        assert client.ask("state")["counts"] == {"wood": 1, "lake": 1, "road": 1}
        assert client.close() == 0
    assert (tmp_path / "p.gpkg").read_bytes() == content
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.gpkg"]


def test_a_save_before_quit_is_finished_and_a_cancel_needs_a_request(mosaic, tmp_path) -> None:
    with LiveClient(["--raster", str(mosaic.path), "--classes", "forest,water"]) as client:
        west, _, _, north = client.start["bounds"]
        for k, name in enumerate(("forest", "water", "forest", "water")):
            client.ask("add", x=west + 5 + 4 * k, y=north - 5 - k, **{"class": name})
        assert "Expected {'do': 'cancel'" in client.ask("cancel")["error"]
        saving = client.send("save", folder=str(tmp_path / "model"))
        client.send("quit")
        assert list(client.answers(saving))[-1]["ok"]
    assert ModelBundle.load(tmp_path / "model").legend.names == ["forest", "water"]


def test_a_session_that_cannot_start_says_so(tmp_path) -> None:
    with pytest.raises(GeopointsegError, match=r"The raster '.*none.tif' does not exist\."):
        LiveClient(["--raster", str(tmp_path / "none.tif")])


@pytest.mark.parametrize("how", ["end of input", "killed", "parent dies"])
def test_the_end_of_the_session_leaves_nothing(mosaic, tmp_path, monkeypatch, how) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    command = [sys.executable, "-m", "geopointseg", "live", "--raster", str(mosaic.path), "--quiet"]
    if how == "parent dies":
        script = f"import subprocess, sys, time; subprocess.Popen({command!r}, stdin=sys.stdin); time.sleep(600)"
        command = [sys.executable, "-c", script]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    start = json.loads(process.stdout.readline())
    assert Path(start["folder"]).exists()
    if how == "end of input":
        process.stdin.close()
        assert process.wait(15) == 0
    else:
        process.kill()
        process.wait()
    until = time.monotonic() + 15
    while is_alive(start["pid"]) and time.monotonic() < until:
        time.sleep(0.1)
    assert not is_alive(start["pid"])
    if how == "killed":
        assert sum(f.stat().st_size for f in Path(start["folder"]).iterdir()) == 0
        os.utime(start["folder"], (1, 1))
        with LiveClient(["--raster", str(mosaic.path)]):
            assert not Path(start["folder"]).exists()
    assert not list(tmp_path.glob("geopointseg-live-*"))


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
