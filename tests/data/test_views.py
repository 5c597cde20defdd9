"""Groups of snippets and crop windows."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.base.errors import UserError
from harness.data import crop_offsets, snippet_groups


def test_groups_of_the_papers_protocols() -> None:
    assert snippet_groups(8, 4, "interleaved") == ((0, 2, 4, 6), (1, 3, 5, 7))
    assert snippet_groups(3, 1, "each") == ((0,), (1,), (2,))
    assert snippet_groups(4, 4, "all") == ((0, 1, 2, 3),)
    v4d = snippet_groups(10, 4, "combinations")
    assert len(v4d) == len(set(v4d)) == 36
    assert [sorted({group[u] for group in v4d}) for u in range(4)] == [[0, 1], [2, 3, 4], [5, 6, 7], [8, 9]]


@given(U=st.integers(1, 8), factor=st.integers(1, 4))
def test_interleaved_groups_share_the_snippets_out(U: int, factor: int) -> None:
    groups = snippet_groups(U * factor, U, "interleaved")
    assert sorted(u for group in groups for u in group) == list(range(U * factor))
    assert all(len(group) == U and {b - a for a, b in pairwise(group)} <= {factor} for group in groups)


@given(U=st.integers(1, 4), more=st.integers(0, 6))
def test_combinations_are_ordered_and_use_every_snippet(U: int, more: int) -> None:
    groups = snippet_groups(U + more, U, "combinations")
    assert {u for group in groups for u in group} == set(range(U + more))
    assert all(list(group) == sorted(set(group)) and len(group) == U for group in groups)
    sizes = [len({group[u] for group in groups}) for u in range(U)]
    assert max(sizes) - min(sizes) <= 1 + (more > 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((8, 3, "interleaved"), "no multiple"),
        ((2, 4, "interleaved"), "no multiple"),
        ((3, 4, "combinations"), "fewer"),
        ((8, 4, "interleavd"), "did you mean 'interleaved'"),
    ],
)
def test_impossible_groups_are_refused(arguments: tuple[int, int, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        snippet_groups(*arguments)


def test_crops_of_the_paper_and_of_the_embedded_dataset() -> None:
    assert crop_offsets(340, 256, 256, 3) == ((0, 0), (42, 0), (84, 0))
    assert crop_offsets(256, 340, 256, 3) == ((0, 0), (0, 42), (0, 84))
    assert crop_offsets(56, 48, 48, 3) == ((0, 0), (4, 0), (8, 0))
    assert crop_offsets(340, 256, 224, 1) == ((58, 16),)


@given(st.integers(8, 400), st.integers(8, 400), st.data())
def test_crops_lie_inside(width: int, height: int, data: st.DataObject) -> None:
    crop_px = data.draw(st.integers(1, min(width, height)))
    crops = crop_offsets(width, height, crop_px, 3)
    assert all(0 <= x <= width - crop_px and 0 <= y <= height - crop_px for x, y in crops)
    assert crops[1] == crop_offsets(width, height, crop_px, 1)[0]
    assert (crops[2][0] == width - crop_px) if width >= height else (crops[2][1] == height - crop_px)


@pytest.mark.parametrize(
    ("arguments", "message"), [((56, 48, 50, 1), "larger"), ((56, 48, 48, 2), "1 .* 3 .* or 10")]
)
def test_impossible_crops_are_refused(arguments: tuple[int, int, int, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        crop_offsets(*arguments)
