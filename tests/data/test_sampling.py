"""Snippet sampling against the formulas of paper/method.md."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.data import sampling

FRAMES, T, U, INTERVAL = st.integers(1, 400), st.integers(1, 16), st.integers(1, 10), st.integers(1, 16)


@given(FRAMES, T, U, INTERVAL, st.integers(0, 2**32))
def test_train_snippets_lie_in_their_parts(frames: int, T: int, U: int, interval: int, seed: int) -> None:
    indices_UT = sampling.train_snippets(frames, T, U, interval, np.random.default_rng(seed))
    step = (frames - T * interval + 1) // U
    assert indices_UT.shape == (U, T) and indices_UT.dtype == np.int64
    assert 0 <= indices_UT.min() <= indices_UT.max() < frames
    for u, start in enumerate(indices_UT[:, 0]):
        assert (u * step <= start < (u + 1) * step) if step > 0 else start == 0
    _assert_evenly_spaced(indices_UT, frames, interval)


@given(FRAMES, T, U, INTERVAL)
def test_test_snippets_follow_the_formula(frames: int, T: int, U: int, interval: int) -> None:
    indices_UT = sampling.test_snippets(frames, T, U, interval)
    tick = max(Fraction(0), Fraction(frames - T * interval + 1, U))
    assert indices_UT[:, 0].tolist() == [math.floor(tick / 2 + tick * u) for u in range(U)]
    assert indices_UT.max() < frames
    _assert_evenly_spaced(indices_UT, frames, interval)


def _assert_evenly_spaced(indices_UT: np.ndarray, frames: int, interval: int) -> None:
    """Each step is `interval`, until the last frame is repeated."""
    steps = np.diff(indices_UT, axis=1)
    at_end = indices_UT[:, 1:] == frames - 1
    assert ((steps == interval) | (at_end & (steps < interval))).all()


def test_golden_starts() -> None:
    assert sampling.test_snippets(80, 4, 8, 2)[:, 0].tolist() == [4, 13, 22, 31, 41, 50, 59, 68]
    assert sampling.test_snippets(80, 4, 1, 2).tolist() == [[36, 38, 40, 42]]
    assert sampling.test_snippets(3, 4, 2, 2).tolist() == [[0, 2, 2, 2]] * 2


def test_every_start_of_a_part_is_drawn() -> None:
    rng = np.random.default_rng(0)
    starts = np.array([sampling.train_snippets(20, 2, 2, 2, rng)[:, 0] for _ in range(300)])
    assert set(starts[:, 0]) == set(range(8)) and set(starts[:, 1]) == set(range(8, 16))
