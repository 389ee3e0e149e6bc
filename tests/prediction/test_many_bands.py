"""Windows and tiles of imagery with many bands: bounded memory where models look at single pixels."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from geopointseg.config import PredictionConfig
from geopointseg.prediction.prediction_job import ROW_BYTES, WINDOW_BYTES, lay_windows
from geopointseg.prediction.tiling import SUMS_BYTES


def _lattice(bands: int, margin_px: int) -> Any:
    ensemble: Any = SimpleNamespace(margin_px=margin_px, stride=1)
    return lay_windows(
        (8192, 8192), ensemble, PredictionConfig(), channels=8, sums_bytes=SUMS_BYTES, bands=bands
    )


@pytest.mark.parametrize(
    ("bands", "window"), [(1, 512), (4, 512), (16, 512), (64, 256), (128, 128), (768, 64)]
)
def test_windows_of_single_pixels_hold_as_many_values(bands: int, window: int) -> None:
    lattice = _lattice(bands, 0)
    assert lattice.rows.size == window
    assert 4 * bands * window**2 <= WINDOW_BYTES
    width = int(lattice.extent((0, 0)).width)
    assert 4 * bands * window * width <= max(ROW_BYTES, 2 * WINDOW_BYTES)


def test_windows_with_context_stay_and_tiles_of_many_bands_shrink() -> None:
    assert {_lattice(bands, 64).rows.size for bands in (4, 13, 68)} == {512}
    assert _lattice(4, 64).shape == _lattice(13, 64).shape
    assert _lattice(68, 64).extent((0, 0)).width < _lattice(13, 64).extent((0, 0)).width
