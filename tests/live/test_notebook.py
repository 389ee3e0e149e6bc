"""The figure of a live session reacts to mouse and keys."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backend_bases import KeyEvent, MouseButton, MouseEvent

mpl.use("Agg")

from geopointseg.live import notebook
from geopointseg.live.notebook import LiveFigure


@pytest.fixture
def live(mosaic, monkeypatch):
    monkeypatch.setattr(notebook, "VIEW_PX", (96, 128))
    made = LiveFigure(str(mosaic.path), ["forest", "water"])
    yield made
    made.session.close()


def click(live: LiveFigure, x: float, y: float, button: MouseButton = MouseButton.LEFT) -> None:
    across, up = live.figure.axes[0].transData.transform((x, y))
    canvas = live.figure.canvas
    for name in ("button_press_event", "button_release_event"):
        canvas.callbacks.process(name, MouseEvent(name, canvas, across, up, button))


def press(live: LiveFigure, key: str) -> None:
    canvas = live.figure.canvas
    canvas.callbacks.process("key_press_event", KeyEvent("key_press_event", canvas, key))


def overlay(live: LiveFigure) -> np.ndarray:
    return np.asarray(live.figure.axes[0].images[-1].get_array())


def test_clicks_paint_the_map_and_undo_restores_it(live, tmp_path) -> None:
    live.figure.canvas.draw()
    west, south, east, north = live.bounds
    middle = (south + north) / 2
    assert (overlay(live)[..., 3] == 0).all()
    click(live, west + 0.3 * (east - west), middle)
    press(live, "2")
    click(live, west + 0.7 * (east - west), middle)
    assert live.session.points.counts() == {"forest": 1, "water": 1}
    assert overlay(live)[..., 3].mean() > 0.5
    painted = overlay(live).copy()
    click(live, west + 0.7 * (east - west) + 9, middle + 9)
    press(live, "u")
    np.testing.assert_array_equal(overlay(live), painted)
    press(live, "n")
    assert " or " in live.figure.axes[0].get_title()
    assert live.save(tmp_path / "model").legend.names == ["forest", "water"]
    click(live, west + 0.7 * (east - west), middle, MouseButton.RIGHT)
    assert live.session.points.counts() == {"forest": 1, "water": 0}


def test_zooming_repaints_and_a_click_outside_is_explained(live) -> None:
    live.figure.canvas.draw()
    west, _, _, north = live.bounds
    live.figure.axes[0].set(xlim=(west - 50, west + 50), ylim=(north - 30, north + 30))
    click(live, west - 20, north + 10)
    assert "lies outside the imagery" in live.figure.axes[0].get_title()
    extent = live.figure.axes[0].images[-1].get_extent()
    assert extent[0] < west - 49
    press(live, "m")
    assert live.figure.axes[0].images[-1].get_alpha() == 0.0
