"""Windows and tiles of imagery with many bands, and of models with many classes: bounded memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from geopointseg.config import PredictionConfig
from geopointseg.errors import ConfigError
from geopointseg.legend import Legend
from geopointseg.prediction.prediction_job import (
    MANY_CLASSES,
    MANY_CLASSES_SUMS_BYTES,
    ROW_BYTES,
    WINDOW_BYTES,
    WINDOW_PX,
    lay_windows,
    require_bounded_tiles,
)
from geopointseg.prediction.product import Products
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


def _of_classes(channels: int, margin_px: int, settings: PredictionConfig | None = None) -> Any:
    ensemble: Any = SimpleNamespace(margin_px=margin_px, stride=1)
    chosen = settings or PredictionConfig()
    return lay_windows((8192, 8192), ensemble, chosen, channels=channels, sums_bytes=SUMS_BYTES)


@pytest.mark.parametrize("margin_px", [0, 49, 288])
def test_windows_of_many_classes_hold_as_many_probabilities(margin_px: int) -> None:
    usual = _of_classes(2, margin_px).rows.size
    most = MANY_CLASSES * usual**2
    assert _of_classes(MANY_CLASSES, margin_px).rows.size == usual
    for channels in (MANY_CLASSES + 1, 255, 1024):
        lattice = _of_classes(channels, margin_px)
        assert channels * lattice.rows.size * lattice.cols.size <= most
        extent = lattice.extent((0, 0))
        tile_bytes = 4 * channels * int(extent.width) * int(extent.height)
        assert tile_bytes <= max(MANY_CLASSES_SUMS_BYTES, 4 * 4 * most)


def test_windows_that_were_asked_for_shrink_for_many_classes_only() -> None:
    asked = PredictionConfig(window_px=2048, overlap_px=1024)
    assert _of_classes(MANY_CLASSES, 10, asked).rows.size == 2048
    lattice = _of_classes(1024, 10, asked)
    assert lattice.rows.size == WINDOW_PX // 4
    assert lattice.rows.origins[1] <= lattice.rows.size // 2


def test_probabilities_that_need_too_much_memory_are_refused() -> None:
    legend = Legend.from_names([f"class {k}" for k in range(600)])
    for encoding, shape in (("float32", (2048, 2048)), ("uint8", (4096, 4096))):
        products = Products(legend, probabilities=True, encoding=encoding)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=r"probabilities of 600 classes .* GB of memory"):
            require_bounded_tiles(products, shape)
        require_bounded_tiles(products, (512, 512))
        require_bounded_tiles(Products(legend), shape)
