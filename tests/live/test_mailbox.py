"""Queues and lines of a live session, without a process."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import click
import numpy as np
import pytest

from geopointseg.cli.invocation import ImageryReporter
from geopointseg.live.mailbox import CANCELLED, NEWER_VIEW, Inbox, Outbox
from geopointseg.live.message import LONGEST_LINE, Refusal, Request, read_line
from geopointseg.live.picture_files import MOST_FILES, PictureFiles
from geopointseg.live.streams import split_lines
from geopointseg.progress import SilentSink


def view(number: int) -> Request:
    return Request(number, "view", {})


def test_only_the_newest_view_waits_and_others_keep_their_order() -> None:
    dropped = []
    inbox = Inbox(lambda request, why: dropped.append((request.identifier, why)))
    for item in (view(1), Request(2, "add", {}), view(3), Request(4, "add", {}), view(5)):
        inbox.put(item)
    assert [inbox.get(0).identifier for _ in range(3)] == [2, 4, 5]
    assert dropped == [(1, NEWER_VIEW), (3, NEWER_VIEW)]
    assert inbox.get(0) is None


def test_a_request_that_waits_or_runs_can_be_cancelled() -> None:
    dropped = []
    inbox = Inbox(lambda request, why: dropped.append((request.identifier, why)))
    inbox.put(Request("a", "save", {}))
    inbox.put(Request("b", "save", {}))
    inbox.get(0)
    assert (inbox.cancel("b"), inbox.cancel("a"), inbox.cancel("c")) == (True, True, False)
    assert (dropped, inbox.is_cancelled) == ([("b", CANCELLED)], True)
    inbox.finish()
    assert not inbox.cancel("a")


def test_a_request_that_changes_something_at_once_cannot_be_cancelled() -> None:
    inbox = Inbox(lambda *_: None)
    inbox.put(Request("a", "add", {}))
    inbox.get(0)
    assert (inbox.cancel("a"), inbox.is_cancelled) == (False, False)


def test_unread_pictures_are_replaced_and_answers_are_not() -> None:
    sent, gate = [], threading.Event()

    def send(line: bytes) -> None:
        gate.wait(10)
        sent.append(json.loads(line))

    outbox = Outbox(send)
    threading.Thread(target=outbox.run, daemon=True).start()
    outbox.answer(0, ok=True)
    time.sleep(0.05)  # the writer holds this one
    outbox.picture(1, ok=True, final=False)
    outbox.picture(1, ok=True, final=True)
    outbox.progress(2, share=1)
    outbox.progress(2, share=2)
    outbox.picture(2, ok=True, final=False)
    gate.set()
    outbox.drain(10)
    assert sent == [
        {"id": 0, "ok": True},
        {"id": 2, "share": 2},
        {"id": 1, "ok": False, "cancelled": True, "error": NEWER_VIEW},
        {"id": 2, "ok": True, "final": False},
    ]


def test_errors_and_problems_name_what_the_client_has() -> None:
    sent: list[bytes] = []
    outbox = Outbox(sent.append, ImageryReporter(SilentSink(), click.Command("live")).worded)
    threading.Thread(target=outbox.run, daemon=True).start()
    problems = [{"point": 3, "error": "Use `split_points(folds=5)`."}]
    outbox.answer(1, ok=False, error="Name `layer=`.", problems=problems, path="`layer=`")
    outbox.drain(10)
    assert json.loads(sent[0]) == {
        "id": 1, "ok": False, "error": "Name '--layer'.", "path": "`layer=`",
        "problems": [{"point": 3, "error": "Use 'geopointseg points split --folds 5'."}],
    }  # fmt: skip


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_lines_do_not_depend_on_how_they_arrive(size) -> None:
    stream = b'{"a": 1}\n\nx\r\nlast'
    chunks = (stream[k : k + size] for k in range(0, len(stream), size))
    assert list(split_lines(chunks)) == [b'{"a": 1}', b"", b"x\r", b"last"]


def test_a_line_that_is_too_long_is_skipped_without_being_held() -> None:
    def chunks():
        yield b'before\n{"id": 7, "do": "add", "class": "'
        for _ in range(1500):
            yield b"x" * (1 << 16)
        yield b'"}\nafter\n'

    first, refusal, last = split_lines(chunks())
    assert (first, last) == (b"before", b"after")
    assert refusal.identifier == 7
    assert f"longer than {LONGEST_LINE} bytes and was skipped" in refusal.error
    limit = [b"y" * (LONGEST_LINE - 1) + b"\n", b"y" * LONGEST_LINE + b"\n"]
    kinds = [type(item) for item in split_lines(iter(limit))]
    assert kinds == [bytes, Refusal]


@pytest.mark.parametrize(
    ("line", "identifier", "sentence"),
    [
        (b"not json", None, "The line 'not json' is no JSON. Expected one JSON object per line in UTF-8."),
        (b'{"id": 4, "do": ', 4, "is no JSON."),
        (b'{"id": "four", "do": nope}', "four", "is no JSON."),
        (b'{"id": 1, "do": "add", "x": NaN}', 1, "is no JSON."),
        (b'{"id": 7, "do": "add", "x": -1e999}', 7, "The line holds the number -1e999. Expected numbers of at most 1.8 x 10^308."),
        (b'{"do": "points", "points": [{"point": 2e308}]}', None, "The line holds the number 2e308."),
        (b"[" * 100_000, None, "is no JSON."),
        (b"\xff\xfe\x00", None, "is no JSON."),
        (b"[1]", None, "The line is no JSON object. Expected an object with the key 'do'."),
        (b'{"id": [1], "do": "view"}', None, "The 'id' is no number or text."),
        (b'{"id": 2}', 2, "The request has no 'do'."),
        (b'{"id": 3, "do": "veiw"}', 3, "There is no request 'veiw'. Did you mean 'view'"),
    ],
)  # fmt: skip
def test_a_line_that_is_no_request_is_refused(line, identifier, sentence) -> None:
    found = read_line(line)
    assert isinstance(found, Refusal)
    assert found.identifier == identifier
    assert sentence in found.error


def test_only_the_newest_files_are_kept_and_folders_of_dead_sessions_go(tmp_path) -> None:
    files = PictureFiles.open_folder(tmp_path)
    paths = [files.write("classes", np.zeros((2, 2), np.uint8)) for _ in range(MOST_FILES + 5)]
    assert [Path(p).exists() for p in paths] == [False] * 5 + [True] * MOST_FILES
    dead = tmp_path / "geopointseg-live-dead"
    dead.mkdir()
    (dead / "lock").touch()
    for folder in (dead, files.folder):
        os.utime(folder, (1, 1))
    other = PictureFiles.open_folder(tmp_path)
    assert not dead.exists()
    assert files.folder.exists()
    for one in (files, other):
        one.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {(1, 2): 3}])
def test_an_answer_that_json_cannot_express_becomes_an_error_and_others_follow(value) -> None:
    lines: list[bytes] = []
    outbox = Outbox(lines.append)
    threading.Thread(target=outbox.run, daemon=True).start()
    outbox.answer(1, ok=True, value=value)
    outbox.answer(2, ok=True)
    outbox.drain(10)
    first, second = (json.loads(line) for line in lines)
    assert (first["id"], first["ok"], second) == (1, False, {"id": 2, "ok": True})
    assert first["error"].startswith("The answer holds a value that JSON cannot express. Expected ")
    assert not outbox.is_broken
