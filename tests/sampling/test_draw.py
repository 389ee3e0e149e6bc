"""Draws: shares, rounds, jitter and borders, against what probability theory expects."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from geopointseg.errors import PointsError
from geopointseg.sampling.priority_drawing import (
    class_shares,
    draw_labels,
    jitter_positions,
    keep_inside,
    window_offsets,
)

counts = st.lists(st.integers(0, 500), min_size=1, max_size=8).filter(lambda c: sum(c) > 0)


@given(counts=counts, balance=st.floats(0, 1))
def test_shares_sum_to_one_and_leave_out_absent_classes(counts, balance):
    shares = class_shares(counts, balance)
    assert shares.sum() == pytest.approx(1)
    assert all((share > 0) == (count > 0) for share, count in zip(shares, counts, strict=True))
    ordered = shares[np.argsort(counts, kind="stable")]
    assert (np.diff(ordered) >= -1e-12).all()


def test_no_labels_is_an_error_that_says_what_to_do():
    with pytest.raises(PointsError, match=r"No label is left.*Expected at least one.*check_points"):
        class_shares([0, 0], 0.5)


@settings(deadline=None)
@given(
    counts=counts, balance=st.floats(0, 1), draws=st.integers(1, 400), seed=st.integers(0, 2**31)
)
def test_every_epoch_holds_each_class_to_a_single_draw(counts, balance, draws, seed):
    classes = np.repeat(np.arange(len(counts)), counts)
    drawn = draw_labels(classes, draws, balance, np.random.default_rng(seed))
    assert len(drawn) == draws
    got = np.bincount(classes[drawn], minlength=len(counts))
    assert (np.abs(got - class_shares(counts, balance) * draws) < 1 + 1e-9).all()


@given(seed=st.integers(0, 2**31), draws=st.integers(1, 200))
def test_no_label_comes_again_before_all_of_its_class_came(seed, draws):
    classes = np.repeat([0, 1], [17, 3])
    times = np.bincount(draw_labels(classes, draws, 1.0, np.random.default_rng(seed)), minlength=20)
    assert np.ptp(times[:17]) <= 1
    assert np.ptp(times[17:]) <= 1


def test_single_draws_follow_the_shares():
    generator = np.random.default_rng(5)
    classes = np.repeat([0, 1, 2], [60, 30, 10])
    drawn = [int(draw_labels(classes, 1, 0.5, generator)[0]) for _ in range(4000)]
    got = np.bincount(classes[drawn], minlength=3)
    assert stats.chisquare(got, class_shares([60, 30, 10], 0.5) * 4000).pvalue > 1e-4


@pytest.mark.parametrize("size", [1, 2, 31, 96])
def test_full_jitter_is_uniform_over_the_chip(size):
    positions = jitter_positions(20000, size, 1.0, np.random.default_rng(1))
    got = np.bincount(positions, minlength=size)
    assert len(got) == size
    assert size == 1 or stats.chisquare(got).pvalue > 1e-4


@given(size=st.integers(1, 200), jitter=st.floats(0, 1), seed=st.integers(0, 2**31))
def test_jitter_stays_in_its_share_of_the_chip(size, jitter, seed):
    positions = jitter_positions(50, size, jitter, np.random.default_rng(seed))
    assert positions.min() >= 0
    assert positions.max() < size
    assert (np.abs(positions + 0.5 - size / 2) <= jitter * size / 2 + 0.5 + 1e-9).all()


@given(
    size=st.integers(1, 60),
    rows=st.integers(1, 80),
    cols=st.integers(1, 80),
    jitter=st.floats(0, 1),
    data=st.data(),
)
def test_windows_hold_their_pixel_and_as_much_scene_as_they_can(size, rows, cols, jitter, data):
    row = data.draw(st.integers(0, rows - 1))
    col = data.draw(st.integers(0, cols - 1))
    generator = np.random.default_rng(data.draw(st.integers(0, 1000)))
    for pixel, length in ((row, rows), (col, cols)):
        (first,) = keep_inside(pixel - jitter_positions(1, size, jitter, generator), size, length)
        assert first <= pixel < first + size
        assert min(first + size, length) - max(first, 0) == min(size, length)


@given(start=st.integers(-100, 100), size=st.integers(1, 50), length=st.integers(1, 90))
def test_chips_that_lie_inside_are_not_moved(start, size, length):
    moved = keep_inside(np.array([start]), size, length)[0]
    assert moved == start or start < 0 or start + size > length


@given(length=st.integers(1, 300), size=st.integers(1, 80), stride=st.integers(1, 80))
def test_grid_covers_the_axis_and_ends_at_its_border(length, size, stride):
    starts = window_offsets(length, size, min(stride, size))
    covered = {pixel for start in starts for pixel in range(start, start + size)}
    assert set(range(length)) <= covered
    assert len(starts) == len(set(starts))
    assert length < size or (starts[0] == 0 and starts[-1] + size == length)
