"""Windows: where they are drawn and what gets through them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from harness.base.errors import UserError
from harness.data import augment
from harness.data.augment import Window, boxes_through, cut, resized, test_windows, train_window
from harness.experiment.augment import Augment, MultiScale, RandomResized
from tests.data.synthetic import noise

SIDE = st.integers(20, 400)
AUGMENTS = st.builds(
    Augment,
    short_side=st.sampled_from([None, 224, (256, 320)]),
    crop=st.sampled_from(
        [
            RandomResized(kind="random_resized"),
            RandomResized(kind="random_resized", area=(0.5, 1), aspect=(1, 1)),
            MultiScale(kind="multi_scale"),
            MultiScale(kind="multi_scale", scales=(1, 0.5), places=5),
        ]
    ),
    flip=st.booleans(),
)


def _inside(window: Window) -> bool:
    width, height = window.resized_wh
    x_inside = window.x >= 0 and window.width >= 1 and window.x + window.width <= width
    return x_inside and window.y >= 0 and window.height >= 1 and window.y + window.height <= height


@given(SIDE, SIDE, AUGMENTS, st.integers(0, 2**32))
def test_train_windows_lie_inside(width: int, height: int, recipe: Augment, seed: int) -> None:
    window = train_window((width, height), 112, recipe, np.random.default_rng(seed))
    assert _inside(window) and window.out_px == 112
    assert not window.mirrored or recipe.flip
    if recipe.short_side is None:
        assert window.resized_wh == (width, height)
    else:
        low, high = recipe.short_side
        assert low <= min(window.resized_wh) <= high
    assert window == train_window((width, height), 112, recipe, np.random.default_rng(seed))


@given(SIDE, SIDE, st.integers(0, 2**32))
def test_random_rectangles_keep_to_their_ranges(width: int, height: int, seed: int) -> None:
    crop = RandomResized(kind="random_resized", area=(0.3, 0.6), aspect=(0.8, 1.25))
    window = train_window((width, height), 32, Augment(crop=crop), np.random.default_rng(seed))
    if (window.width, window.height) != (min(width, height),) * 2:  # else none fitted
        assert 0.25 < window.width * window.height / (width * height) < 0.66
        assert 0.74 < window.width / window.height < 1.35


def test_multi_scale_takes_the_released_sizes_and_places() -> None:
    recipe = Augment(crop=MultiScale(kind="multi_scale"))
    rng = np.random.default_rng(0)
    windows = [train_window((340, 256), 224, recipe, rng) for _ in range(3000)]
    # 256 · (1, .875, .75, .66); .875 is 224, the crop itself. Neighbours in the list may differ.
    sides = (256, 224, 192, 168)
    near = {(a, b) for i, a in enumerate(sides) for j, b in enumerate(sides) if abs(i - j) <= 1}
    assert {(w.width, w.height) for w in windows} == near
    square = {(w.x, w.y) for w in windows if (w.width, w.height) == (224, 224)}
    assert square == {
        *((0, 0), (116, 0), (0, 32), (116, 32), (58, 16)),
        *((0, 16), (116, 16), (58, 32), (58, 0)),
        *((29, 8), (87, 8), (29, 24), (87, 24)),
    }
    corners = Augment(crop=MultiScale(kind="multi_scale", scales=(0.875,), places=5))
    found = {train_window((340, 256), 224, corners, rng) for _ in range(300)}
    assert {(w.x, w.y) for w in found} == {(0, 0), (116, 0), (0, 32), (116, 32), (58, 16)}


def test_jitter_draws_every_short_side() -> None:
    recipe, rng = Augment(short_side=(256, 259)), np.random.default_rng(0)
    windows = [train_window((640, 480), 224, recipe, rng) for _ in range(200)]
    assert {min(w.resized_wh) for w in windows} == {256, 257, 258, 259}
    assert {w.resized_wh for w in windows if min(w.resized_wh) == 256} == {(341, 256)}
    assert len({(w.x, w.y) for w in windows}) > 150


@given(st.integers(8, 400), st.integers(8, 400), st.sampled_from([1, 3, 10]), st.data())
def test_test_windows_lie_inside_and_differ(width: int, height: int, crops: int, data: st.DataObject) -> None:
    """Where the frame leaves room on both axes, no two views of a video show the same."""
    short_side = data.draw(st.one_of(st.none(), st.integers(8, 400)))
    size = resized((width, height), short_side) if short_side else (width, height)
    crop_px = data.draw(st.integers(1, min(size)))
    windows = test_windows((width, height), crop_px, crops, short_side)
    assert len(windows) == crops
    assert all(_inside(w) and (w.width, w.height, w.out_px) == (crop_px,) * 3 for w in windows)
    if (min(size) >= crop_px + 2) if crops == 10 else (max(size) >= crop_px + 2):
        assert len(set(windows)) == crops


def test_the_papers_test_windows() -> None:
    three = test_windows((640, 480), 256, 3, short_side=256)
    assert [(w.resized_wh, w.x, w.y) for w in three] == [((341, 256), x, 0) for x in (0, 42, 85)]
    upright = test_windows((480, 640), 256, 3, short_side=256)
    assert [(w.x, w.y) for w in upright] == [(0, y) for y in (0, 42, 85)]
    x3d = test_windows((640, 360), 356, 3, short_side=356)
    assert [(w.resized_wh, w.x) for w in x3d] == [((633, 356), x) for x in (0, 138, 277)]
    (centre,) = test_windows((56, 48), 48, 1)
    assert (centre.resized_wh, centre.x, centre.y) == ((56, 48), 4, 0)


@pytest.mark.parametrize("crops", [0, 2, 5])
def test_other_numbers_of_crops_are_refused(crops: int) -> None:
    with pytest.raises(UserError, match=r"1 \(centre\), 3 .* or 10"):
        test_windows((56, 48), 48, crops)


def test_a_window_of_the_frames_own_size_is_the_frames_own_pixels() -> None:
    frames_FHW3 = noise(0, 3, 20, 30)
    plain, mirrored = (Window((30, 20), 5, 2, 16, 16, 16, m) for m in (False, True))
    shown, turned = cut(torch.from_numpy(frames_FHW3), [plain, mirrored])
    expected = frames_FHW3[:, 2:18, 5:21].transpose(0, 3, 1, 2)
    assert np.array_equal(shown, expected) and np.array_equal(turned, expected[..., ::-1])


@pytest.mark.parametrize(("wh", "out"), [((64, 48), 24), ((20, 30), 40)])
def test_resizing_is_pillows_bilinear(wh: tuple[int, int], out: int) -> None:
    """An oracle of another make: its antialiased bilinear filter, within two grey levels of rounding."""
    width, height = wh
    frame = noise(1, 1, height, width)[0]
    (shown,) = cut(torch.from_numpy(frame[None]), [Window(wh, 0, 0, width, height, out)])
    expected = np.asarray(Image.fromarray(frame).resize((out, out), Image.Resampling.BILINEAR))
    assert np.abs(shown[0].permute(1, 2, 0).numpy().astype(int) - expected).max() <= 2


@pytest.mark.parametrize("size_wh", [(53, 40), (160, 120)])
def test_a_devices_resizing_is_the_cpus_within_a_grey_level(size_wh: tuple[int, int]) -> None:
    frames_F3HW = torch.from_numpy(noise(2, 2, 60, 80)).permute(0, 3, 1, 2)
    difference = augment._resize(frames_F3HW, size_wh).int() - augment._resize_floats(frames_F3HW, size_wh)
    assert difference.abs().max() <= 1


def test_boxes_go_where_their_pixels_go() -> None:
    """A bright rectangle is found where its box says, through resizing, cutting and mirroring."""
    frames_FHW3 = np.zeros((1, 60, 80, 3), np.uint8)
    frames_FHW3[:, 20:32, 40:60] = 255
    boxes_FR4 = np.array([[[40, 20, 60, 32], [0, 0, 0, 0]]], np.float32)
    for window in (
        Window((80, 60), 30, 10, 40, 40, 40),
        Window((160, 120), 60, 20, 80, 80, 40, True),
        Window((80, 60), 20, 4, 60, 50, 120, True),
    ):
        (shown,) = cut(torch.from_numpy(frames_FHW3), [window])
        ys, xs = np.nonzero(shown[0, 0].numpy() > 127)
        box, absent = boxes_through(boxes_FR4, (80, 60), window)[0]
        assert box == pytest.approx([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], abs=1.01)
        assert not absent.any()


def test_what_a_recipe_may_declare() -> None:
    assert Augment(short_side=256) == Augment(short_side=(256, 256))
    assert Augment.model_validate({"crop": {"kind": "multi_scale"}}).crop.places == 13
    for fields in (
        {"short_side": (320, 256)},
        {"crop": {"kind": "window", "area": (0.1, 1)}},
        {"crop": {"kind": "random_resized", "area": (0, 1)}},
        {"crop": {"kind": "random_resized", "aspect": (2, 1)}},
        {"crop": {"kind": "multi_scale", "scales": (1.5,)}},
        {"flip": "both"},
    ):
        with pytest.raises(ValidationError):
            Augment.model_validate(fields)
    assert len({Augment(flip=f).model_dump_json() for f in (True, False, "swap")}) == 3


def test_ten_crops_are_ten_views() -> None:
    windows = test_windows((340, 256), 224, 10)
    frames = torch.from_numpy(noise(3, 1, 256, 340))
    assert not any(torch.equal(a, b) for a, b in combinations(cut(frames, windows), 2))
