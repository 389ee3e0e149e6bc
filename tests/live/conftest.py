"""A generated mosaic, and sessions on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geopointseg.config import SceneConfig
from geopointseg.live.live_benchmark import NAMES, GeneratedMosaic, generate_mosaic
from geopointseg.live.live_scene import open_live_scene
from geopointseg.live.session import LiveSession
from geopointseg.progress import Reporter

SIDE = 768


@pytest.fixture(scope="session")
def mosaic(tmp_path_factory: pytest.TempPathFactory) -> GeneratedMosaic:
    return generate_mosaic(tmp_path_factory.mktemp("live") / "mosaic.tif", SIDE, seed=1)


def open_session_on(path: Path, **options: Any) -> LiveSession:
    return LiveSession(open_live_scene([str(path)], SceneConfig(), Reporter()), **options)


def draw_clicks(
    mosaic: GeneratedMosaic, session: LiveSession, per_class: int, seed: int = 0
) -> list[dict[str, Any]]:
    """Return points with their true classes."""
    rng = np.random.default_rng(seed)
    found = []
    for index in np.unique(mosaic.classes):
        cells = np.argwhere(mosaic.classes == index)
        for row, col in 4 * cells[rng.choice(len(cells), per_class)] + 1:
            x, y = session.scene.grid.pixel_to_world(row + 0.5, col + 0.5)
            found.append({"x": float(x), "y": float(y), "class": NAMES[index]})
    return found


def pixel_bounds(
    session: LiveSession, row: int, col: int, height: int, width: int
) -> tuple[float, float, float, float]:
    """Return the bounds of a window of pixels."""
    x, y = session.scene.grid.pixel_to_world([row, row + height], [col, col + width])
    return float(x[0]), float(y[1]), float(x[1]), float(y[0])


@pytest.fixture(scope="module")
def session(mosaic: GeneratedMosaic) -> LiveSession:
    made = open_session_on(mosaic.path)
    made.points.replace_all(draw_clicks(mosaic, made, 8))
    return made


@pytest.fixture
def points(session: LiveSession, mosaic: GeneratedMosaic) -> Callable[..., list[dict[str, Any]]]:
    """Restore the points after a test that changes them."""
    yield lambda n=8, seed=0: draw_clicks(mosaic, session, n, seed)
    session.points.replace_all(draw_clicks(mosaic, session, 8))
    session.points.set_legend([{"name": name} for name in NAMES])
