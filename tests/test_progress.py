"""Events go to the sink, and a cancel ends the run at the next report."""

import io
import json

import pytest

from geopointseg.errors import Cancelled
from geopointseg.progress import BarSink, Event, JsonSink, Reporter


class Recorder:
    def __init__(self):
        self.events = []

    def emit(self, event):
        self.events.append(event)

    def close(self):
        pass


def test_a_stage_reports_fractions_from_nought_to_one():
    recorder = Recorder()
    with Reporter(recorder).stage("read", total=4) as advance:
        for _ in range(4):
            advance()
    fractions = [event.fraction for event in recorder.events]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)


def test_json_lines_are_whole_and_the_last_step_is_never_dropped():
    stream = io.StringIO()
    reporter = Reporter(JsonSink(stream, min_interval_s=60))
    with reporter.stage("predict", total=1000) as advance:
        for _ in range(1000):
            advance()
    reporter.warn("3 % are NaN", count=7)
    rows = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert rows[-2]["fraction"] == 1.0
    assert rows[-1] == {"event": "warning", "message": "3 % are NaN", "count": 7}
    assert len(rows) < 10


def test_a_cancel_stops_at_the_next_step():
    reporter = Reporter()
    done = 0
    with pytest.raises(Cancelled), reporter.stage("train", total=10) as advance:
        for _ in range(10):
            advance()
            done += 1
            if done == 3:
                reporter.cancel()
    assert done == 3


def test_a_silent_reporter_still_warns_python_users():
    with pytest.warns(UserWarning, match="few points"):
        Reporter().warn("few points")


def test_the_bar_prints_warnings_even_when_quiet(capsys):
    sink = BarSink(quiet=True)
    sink.emit(Event("log", "not shown"))
    sink.emit(Event("warning", "shown [as it is]"))
    sink.close()
    printed = capsys.readouterr().err
    assert "not shown" not in printed
    assert "shown [as it is]" in printed
