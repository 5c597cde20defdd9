"""The generator: its determinism, its classes and ceiling, and that the pixels move as the scripts say."""

from __future__ import annotations

import hashlib
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.data import ScriptedDigits
from harness.data.digits.draw import _track, instances, render_video, timeline
from harness.data.digits.script import (
    VideoKey,
    chance,
    classes,
    family,
    label_swaps,
    order_blind_ceiling,
    video_keys,
)
from harness.experiment.datasets import VideosPerClass
from harness.experiment.load import EXPERIMENTS, load_profile

# Raw frames of two videos of the default spec and of one of version 2. The pixels of a version never change.
GOLDEN = {
    VideoKey("train", 0, 0, "RR", 0): "cdea1ae01a23155d8e36789de1ecc2dd2909c214bcfc9f0a9f4703d7af664ffe",
    VideoKey("test", 19, 4, "-R", 23): "5854ff6e8fea0ff027b4d8f00f0c35ec8efe6a0f8ed990ab1c750cf0d39ed0ec",
}
SECOND = ScriptedDigits(version=2, frame_width=72, scale=0.6667, copies=4, jitter_px=(0.5, 6))
GOLDEN_SECOND = "bfa2c1105157b09e25b9d5985fe2624052afd9de0a78990232322686a37c155e"


@pytest.mark.parametrize("key", GOLDEN, ids=lambda key: key.video_id)
def test_golden_pixels(key: VideoKey) -> None:
    frames_LHW3 = render_video(ScriptedDigits(), key)
    assert hashlib.sha256(frames_LHW3.tobytes()).hexdigest() == GOLDEN[key]


def test_golden_pixels_of_the_second_version() -> None:
    key = VideoKey("val", 4, 0, "RU", 3)
    frames_LHW3 = render_video(SECOND, key)
    assert hashlib.sha256(frames_LHW3.tobytes()).hexdigest() == GOLDEN_SECOND


def test_a_range_of_jitter_is_drawn_for_each_video() -> None:
    def shaking(jitter_px: object) -> np.ndarray:
        spec = ScriptedDigits(jitter_px=jitter_px, speed_px=(0, 0))
        tracks = [_track(spec, "RR", 80, np.random.default_rng(seed)) for seed in range(100)]
        return np.array([track_L2.std(0).mean() for track_L2 in tracks])

    fixed, drawn = shaking(3), shaking((0, 6))
    assert fixed.min() > 2.3 and fixed.max() < 3.7
    assert drawn.min() < 0.5 and drawn.max() > 5.5 and drawn.mean() == pytest.approx(3, abs=0.5)


def test_the_second_version_refuses_sides_that_are_no_multiple_of_16() -> None:
    assert SECOND.size_wh == (48, 32)
    with pytest.raises(ValidationError, match=r"48x40 px: .*multiples of 16; change frame_width"):
        ScriptedDigits(version=2, frame_width=72, frame_height=60, scale=0.6667)


def test_the_name_of_the_shipped_records_data_stays() -> None:
    """Of the first version's, too: a new knob or version must leave its directory alone."""
    assert load_profile("embedded").dataset.identity == "c07c2097e33e"
    assert load_profile(EXPERIMENTS / "search" / "first.yaml").dataset.identity == "798f8d723c67"


def test_videos_do_not_depend_on_each_other() -> None:
    spec = ScriptedDigits()
    keys = video_keys(spec)[::271]
    forward = [render_video(spec, key) for key in keys]
    backward = [render_video(spec, key) for key in reversed(keys)]
    assert all(np.array_equal(a, b) for a, b in zip(forward, reversed(backward), strict=True))


def test_another_script_leaves_the_others_pixels_alone() -> None:
    key = VideoKey("val", 0, 0, "UR", 3)
    few, many = ScriptedDigits(scripts=("UR", "RU")), ScriptedDigits(scripts=("RUL", "UR", "DD"))
    assert np.array_equal(render_video(few, key), render_video(many, key))


def test_all_seeds_differ() -> None:
    spec = ScriptedDigits(scripts=("R", "RR", "RU", "UR", "R-", "-R", "RRR", "RUL"), videos_per_class=_few(2))
    hashes = {render_video(spec, key)[:5].tobytes() for key in video_keys(spec)}
    assert len(hashes) == len(video_keys(spec))
    other_seed = spec.model_copy(update={"seed": 1})
    assert render_video(other_seed, video_keys(spec)[0])[:5].tobytes() not in hashes


def _few(n: int) -> VideosPerClass:
    return VideosPerClass(train=n, val=n, test=n)


@pytest.mark.parametrize("actor", range(10))
def test_splits_share_no_digit(actor: int) -> None:
    deals = [set(instances(actor, split)) for split in ("train", "val", "test")]
    assert all(len(deal) >= 40 for deal in deals)
    assert not any(a & b for a, b in combinations(deals, 2))


def test_classes_and_families() -> None:
    table = classes(ScriptedDigits())
    assert [c.label for c in table] == list(range(20))
    assert [c.family for c in table[:10]] == ["motion"] * 4 + ["order"] * 4 + ["position"] * 2
    assert (table[0].class_name, table[19].class_name) == ("0:RR", "4:-R")


@pytest.mark.parametrize(
    ("scripts", "families", "ceiling"),
    [
        (("RR", "LL"), ["motion", "motion"], 1.0),
        (("RU", "UR"), ["order", "order"], 0.5),
        (("RU", "LD"), ["motion", "motion"], 1.0),  # no partner: the moves alone tell
        (("RUL", "LUR", "ULR", "RRR"), ["order", "order", "order", "motion"], 0.5),
        (("R-U", "RU-", "U-R"), ["order", "order", "order"], 1 / 3),
        (("R--", "-R-", "--R"), ["position", "position", "position"], 1 / 3),
        (("RU", "RURU"), ["order", "order"], 0.5),  # the same shares of the time
    ],
)
def test_ceiling_and_families_of_other_scripts(
    scripts: tuple[str, ...], families: list[str], ceiling: float
) -> None:
    assert [family(script, scripts) for script in scripts] == families
    spec = ScriptedDigits(scripts=scripts, length=(100, 110))
    assert order_blind_ceiling(spec) == pytest.approx(ceiling)


def test_default_ceiling_and_chance() -> None:
    assert order_blind_ceiling(ScriptedDigits()) == pytest.approx(0.70)
    assert chance(ScriptedDigits()) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"actors": (0, 10)}, "0-9"),
        ({"actors": (3, 3)}, "different digits"),
        ({"scripts": ("RX",)}, "'RX'"),
        ({"scripts": ("RU", "RU")}, "twice"),
        ({"cell_px": (2.3, 1.9)}, "(low, high)"),
        ({"length": (30, 88)}, "too few"),
        ({"version": 0}, "version"),
        ({"version": 3}, "version"),
        ({"jitter_px": -1}, "greater than or equal to 0"),
        ({"jitter_px": (-1, 1)}, "greater than or equal to 0"),
        ({"jitter_px": (3, 1)}, "(low, high)"),
        ({"noise_sgima": (1, 5)}, "noise_sgima"),
        ({"flicker": float("nan")}, "finite"),
        ({"videos_per_class": {"train": 0}}, "greater than or equal to 1"),
    ],
)
def test_impossible_knobs_are_refused(knobs: dict, message: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        ScriptedDigits(**knobs)
    assert message in str(refusal.value)


def test_identity_follows_every_knob_and_only_knobs() -> None:
    spec = ScriptedDigits()
    changed = {
        spec.model_copy(update={"seed": 1}).identity,
        spec.model_copy(update={"scale": 2.0}).identity,
        spec.model_copy(update={"videos_per_class": _few(1)}).identity,
        spec.identity,
    }
    assert len(changed) == 4
    assert ScriptedDigits(gap=[6, 10], noise_sigma=(1.0, 5)).identity == spec.identity


def test_scale_multiplies_the_frame_and_keeps_it_even() -> None:
    assert ScriptedDigits().size_wh == (56, 48)
    assert ScriptedDigits(scale=2.4).size_wh == (134, 116)
    spec = ScriptedDigits(scale=1.3)
    assert render_video(spec, video_keys(spec)[0]).shape[1:] == (62, 72, 3)


@settings(max_examples=50, deadline=None)
@given(events=st.integers(1, 3), frames=st.integers(72, 88), seed=st.integers(0, 2**32))
def test_timeline_keeps_its_stillness(events: int, frames: int, seed: int) -> None:
    spec = ScriptedDigits()
    spans = timeline(spec, events, frames, np.random.default_rng(seed))
    stills = [spans[0][0], frames - spans[-1][1]]
    stills += [begin - end for (_, end), (begin, _) in pairwise(spans)]
    assert all(6 - 1e-9 <= still <= 10 + 1e-9 for still in stills)
    assert all(end - begin > 4 for begin, end in spans)


def test_durations_say_nothing_about_the_place_in_the_script() -> None:
    rng = np.random.default_rng(0)
    spans = np.array([timeline(ScriptedDigits(), 2, 80, rng) for _ in range(4000)])
    durations = spans[..., 1] - spans[..., 0]
    first, second = durations.mean(0)
    assert first == pytest.approx(second, abs=4 * durations.std() * np.sqrt(2 / 4000))


CLEAN = {
    "noise_sigma": (0, 0),
    "texture": 0,
    "distractors": (0, 0),
    "flicker": 0,
    "jitter_px": 0,
    "lead": (6, 6),
}


@pytest.mark.parametrize("script", ["RR", "LL", "UU", "DD", "RU", "UR", "LD", "DL", "R-", "-R"])
def test_the_pixels_move_as_the_script_says(script: str) -> None:
    spec = ScriptedDigits(**CLEAN, gap=(6, 6), unevenness=0)
    frames_LHW = render_video(spec, VideoKey("train", 0, 4, script, 5)).mean(-1)
    middle = len(frames_LHW) / 2
    for event, t in zip(script, (int(middle / 2), int(middle * 3 / 2)), strict=True):
        shift_xy = [_torus_shift(frames_LHW[t - 2], frames_LHW[t + 2], axis) for axis in (1, 0)]
        expected = {"R": (1, 0), "L": (-1, 0), "U": (0, -1), "D": (0, 1), "-": (0, 0)}[event]
        assert tuple(np.sign(shift_xy)) == expected
        assert np.abs(shift_xy).max() <= 4 * 2.4 + 1


def _torus_shift(before_HW: np.ndarray, after_HW: np.ndarray, axis: int) -> int:
    """Whole pixels along one axis by which `after` is moved against `before`, by circular correlation."""
    profiles = [np.fft.rfft(f.mean(1 - axis) - f.mean()) for f in (before_HW, after_HW)]
    n = before_HW.shape[axis]
    shift = int(np.fft.irfft(np.conj(profiles[0]) * profiles[1], n).argmax())
    return shift - n if shift > n / 2 else shift


def test_nothing_moves_in_lead_and_gap() -> None:
    spec = ScriptedDigits(**CLEAN, gap=(8, 8), unevenness=0)
    frames_LHW3 = render_video(spec, VideoKey("train", 0, 0, "RU", 1))
    changed = (frames_LHW3[1:] != frames_LHW3[:-1]).any((1, 2, 3))
    middle = len(frames_LHW3) / 2
    still = [*range(5), *range(int(middle - 3), int(middle + 3)), *range(len(changed) - 5, len(changed))]
    assert not changed[still].any()
    assert changed.mean() > 0.6


def test_mirror_images_among_the_classes() -> None:
    spec = ScriptedDigits()
    names = [c.class_name for c in classes(spec)]
    assert [(names[a], names[b]) for a, b in label_swaps(spec)] == [("0:RR", "0:LL"), ("4:RR", "4:LL")]
    assert label_swaps(ScriptedDigits(scripts=("RR", "RU", "UR", "R-"))) == ()
