"""Which frames a snippet shows, against the formulas of docs/method.md and the releases' rules."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.base.errors import UserError
from harness.data import sampling, snippet_groups
from harness.experiment.sampling import FrameRule

FRAMES, T, U, INTERVAL = st.integers(1, 400), st.integers(1, 16), st.integers(1, 10), st.integers(1, 16)
UNIFORM = FrameRule(mode="uniform")
RULES = st.one_of(
    st.builds(
        FrameRule,
        mode=st.sampled_from(["snippets", "dense"]),
        interval=INTERVAL,
        fps=st.one_of(st.none(), st.floats(5, 60)),
        short=st.sampled_from(["repeat", "loop"]),
    ),
    st.builds(FrameRule, mode=st.just("uniform"), fps=st.one_of(st.none(), st.floats(5, 60))),
)


def _train(frames: int, T: int, U: int, rule: FrameRule, seed: int = 0, fps: float = 25.0) -> np.ndarray:
    return sampling.train_places(frames, T, U, rule, np.random.default_rng(seed), fps)


@given(FRAMES, T, U, INTERVAL, st.integers(0, 2**32))
def test_train_snippets_lie_in_their_parts(frames: int, T: int, U: int, interval: int, seed: int) -> None:
    indices_UT = _train(frames, T, U, FrameRule(interval=interval), seed)
    step = (frames - T * interval + 1) // U
    assert indices_UT.shape == (U, T) and indices_UT.dtype == np.int64
    for u, start in enumerate(indices_UT[:, 0]):
        assert (u * step <= start < (u + 1) * step) if step > 0 else start == 0
    _assert_evenly_spaced(indices_UT, frames, interval)


@given(FRAMES, T, U, INTERVAL)
def test_test_snippets_follow_the_formula(frames: int, T: int, U: int, interval: int) -> None:
    indices_UT = sampling.test_places(frames, T, U, FrameRule(interval=interval))
    tick = max(Fraction(0), Fraction(frames - T * interval + 1, U))
    assert indices_UT[:, 0].tolist() == [math.floor(tick / 2 + tick * u) for u in range(U)]
    _assert_evenly_spaced(indices_UT, frames, interval)


def _assert_evenly_spaced(indices_UT: np.ndarray, frames: int, interval: int) -> None:
    """Each step is `interval`, until the last frame is repeated."""
    steps = np.diff(indices_UT, axis=1)
    at_end = indices_UT[:, 1:] == frames - 1
    assert ((steps == interval) | (at_end & (steps < interval))).all()


@given(FRAMES, T, U, RULES, st.floats(5, 60), st.integers(0, 2**32))
def test_every_rule_stays_inside_and_repeats_itself(
    frames: int, T: int, U: int, rule: FrameRule, fps: float, seed: int
) -> None:
    for indices_UT in (_train(frames, T, U, rule, seed, fps), sampling.test_places(frames, T, U, rule, fps)):
        assert indices_UT.shape == (U, T) and indices_UT.dtype == np.int64
        assert indices_UT.min() >= 0 and indices_UT.max() < frames
        if rule.short == "repeat":
            assert (np.diff(indices_UT, axis=1) >= 0).all(), "time runs on within a snippet"
            assert (np.diff(indices_UT[:, 0]) >= 0).all(), "and from snippet to snippet"
    assert np.array_equal(_train(frames, T, U, rule, seed, fps), _train(frames, T, U, rule, seed, fps))


@given(FRAMES, T, U, st.integers(0, 2**32))
def test_uniform_takes_one_frame_of_every_segment(frames: int, T: int, U: int, seed: int) -> None:
    taken = _train(frames, T, U, UNIFORM, seed).reshape(-1)
    centres = sampling.test_places(frames, T, U, UNIFORM).reshape(-1)
    edges = [Fraction(frames * s, T * U) for s in range(T * U + 1)]
    for frame, centre, begin, end in zip(taken, centres, edges[:-1], edges[1:], strict=True):
        assert math.floor(begin) <= frame < max(end, math.floor(begin) + 1)
        assert centre == math.floor((begin + end) / 2)


@given(st.integers(60, 400), st.integers(1, 8), st.integers(1, 4), st.integers(1, 3))
def test_uniform_sets_cover_the_video_and_interleave(frames: int, T: int, model_U: int, sets: int) -> None:
    """8 test snippets of a model of 4 are two sets; `interleaved` puts each together again."""
    U = model_U * sets
    places_UT = sampling.test_places(frames, T, U, UNIFORM, model_U=model_U)
    groups = snippet_groups(U, model_U, "interleaved")
    assert len(groups) == sets
    length = Fraction(frames, T * model_U)
    for s, group in enumerate(groups):
        own = places_UT[list(group)].reshape(-1)
        assert own.tolist() == [
            math.floor(length * (g + Fraction(2 * s + 1, 2 * sets))) for g in range(T * model_U)
        ]


def test_uniform_snippets_that_make_no_sets_are_refused() -> None:
    with pytest.raises(UserError, match="10 test snippets are no multiple of the model's U = 4"):
        sampling.test_places(80, 2, 10, UNIFORM, model_U=4)


@given(st.integers(1, 400), T, st.integers(2, 12), INTERVAL)
def test_dense_test_windows_run_from_end_to_end(frames: int, T: int, U: int, interval: int) -> None:
    rule = FrameRule(mode="dense", interval=interval)
    starts_U = sampling.test_places(frames, T, U, rule)[:, 0]
    last = max(0, frames - T * interval)
    assert (starts_U[0], starts_U[-1]) == (0, last)
    assert starts_U.tolist() == [math.floor(Fraction(last * u, U - 1)) for u in range(U)]


def test_golden_places() -> None:
    two = FrameRule(interval=2)
    assert sampling.test_places(80, 4, 8, two)[:, 0].tolist() == [4, 13, 22, 31, 41, 50, 59, 68]
    assert sampling.test_places(80, 4, 1, two).tolist() == [[36, 38, 40, 42]]
    assert sampling.test_places(3, 4, 2, two).tolist() == [[0, 2, 2, 2]] * 2
    # TSM's 10 dense windows of 64 frames in 300, and 8 uniform centres of 40 frames.
    dense = FrameRule(mode="dense", interval=8, short="loop")
    starts = sampling.test_places(300, 8, 10, dense)[:, 0].tolist()
    assert starts == [0, 26, 52, 78, 104, 131, 157, 183, 209, 236]
    assert sampling.test_places(20, 8, 1, dense).tolist() == [[0, 8, 16, 4, 12, 0, 8, 16]]
    assert sampling.test_places(40, 8, 1, UNIFORM).tolist() == [[2, 7, 12, 17, 22, 27, 32, 37]]
    assert sampling.test_places(3, 8, 1, UNIFORM).tolist() == [[0, 0, 0, 1, 1, 2, 2, 2]]


@pytest.mark.parametrize("rule", [FrameRule(interval=2), FrameRule(mode="dense", interval=2)])
def test_every_start_is_drawn(rule: FrameRule) -> None:
    rng = np.random.default_rng(0)
    starts = np.array([sampling.train_places(20, 2, 2, rule, rng)[:, 0] for _ in range(5000)])
    parts = (range(8), range(8, 16)) if rule.mode == "snippets" else (range(17), range(17))
    assert set(starts[:, 0]) == set(parts[0]) and set(starts[:, 1]) == set(parts[1])


def test_uniform_draws_every_frame() -> None:
    rng = np.random.default_rng(0)
    taken = np.array([sampling.train_places(11, 4, 1, UNIFORM, rng) for _ in range(300)])
    assert set(taken.reshape(-1)) == set(range(11))


def _ffmpeg(frames: int, native: float, fps: float) -> list[int]:
    """`-r fps`, tick by tick: every native frame moves to the nearest tick, a tick shows the last that has come."""
    ticks = [math.floor(i * fps / native + 0.5) for i in range(frames)]
    count = max(1, round(frames * fps / native))
    return [max(i for i, tick in enumerate(ticks) if tick <= n) for n in range(count)]


@pytest.mark.parametrize(
    ("native", "fps"), [(25, 30), (60, 30), (30, 30), (15, 30), (29.97, 30), (12, 30), (50, 30), (24, 10)]
)
def test_resampled_places_are_ffmpegs(native: float, fps: float) -> None:
    frames = 97
    expected = _ffmpeg(frames, native, fps)
    rule = FrameRule(interval=1, fps=fps)
    shown = sampling.test_places(frames, len(expected), 1, rule, native)[0]
    assert shown.tolist() == expected


def test_a_resampled_interval_counts_seconds() -> None:
    """8 frames at interval 8 of 30 a second span the same seconds of any video."""
    rule = FrameRule(interval=8, fps=30)
    for native in (10, 25, 30, 50, 60):
        places = sampling.test_places(10 * native, 8, 1, rule, native)[0]
        assert (places[-1] - places[0]) / native == pytest.approx(56 / 30, abs=1 / native)


def test_an_unknown_rate_is_refused_where_it_is_needed() -> None:
    with pytest.raises(UserError, match="needs the video's own rate"):
        _train(50, 4, 2, FrameRule(interval=2, fps=30), fps=0)
    assert _train(50, 4, 2, FrameRule(interval=2), fps=0).shape == (2, 4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mode": "uniform", "interval": 2}, "equal segments"),
        ({"mode": "uniform", "short": "loop"}, "never runs over"),
        ({"mode": "dense"}, "needs an interval"),
        ({"interval": 0}, "greater than 0"),
        ({"interval": 1, "fps": 0}, "greater than 0"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FrameRule(**fields)
