"""Windows have the shape with which the fewest pixels are computed."""

import pytest

from geopointseg.prediction.tiling import fit_window, lay_axis


def computed(shape, sizes):
    axes = [
        lay_axis(length, size, 576, 32, 100, 288) for length, size in zip(shape, sizes, strict=True)
    ]
    rows, cols = (len(axis.origins) * axis.size for axis in axes)
    return rows * cols


@pytest.mark.parametrize(
    ("shape", "saved"),
    [((2048, 2048), 0.5), ((1000, 60_000), 0.15), ((3000, 5000), 0.3), ((9000, 9000), 0.03), ((300, 400), 0.0)],
)  # fmt: skip
def test_long_windows_save_pixels(shape, saved):
    found = fit_window(shape, 1664, 576, 32)
    assert found[0] * found[1] <= 1664**2
    assert computed(shape, found) <= (1 - saved) * computed(shape, (1664, 1664))
    turned = fit_window(shape[::-1], 1664, 576, 32)
    assert computed(shape[::-1], turned) == computed(shape, found)


@pytest.mark.parametrize("window_px", [1664, 1152])
@pytest.mark.parametrize("stride", [1, 32])
@pytest.mark.parametrize("length", [1, 31, 1664, 1665, 1696, 1697, 2100, 5000])
def test_windows_overlap_as_much_as_asked(length, stride, window_px):
    sizes = fit_window((length, 7000), window_px, 576, stride)
    for size, side in zip(sizes, (length, 7000), strict=True):
        axis = lay_axis(side, size, 576, stride, 100, 288)
        for before, after in zip(axis.origins, axis.origins[1:], strict=False):
            assert before + axis.size - after >= 576
