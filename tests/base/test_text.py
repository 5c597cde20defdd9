"""Small words: their values, and what holds for all of them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.base.text import duration, first_line, is_uri, known, near_match, p_text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (89.4, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("p_value", "text"),
    [(None, "–"), (0.0, "< 0.001"), (0.00099, "< 0.001"), (0.001, "0.001"), (0.0412, "0.041")],
)
def test_p_text(p_value: float | None, text: str) -> None:
    assert p_text(p_value) == text


@pytest.mark.parametrize("value", [None, math.nan])
def test_what_is_not_there_is_unknown(value: object) -> None:
    assert known(value) == "unknown"
    assert known(value, "?") == "?"
    assert known(0) == "0"


@given(st.text())
def test_a_first_line_is_one_line_and_never_empty(text: str) -> None:
    line = first_line(ValueError(text))
    assert line
    assert len(line.splitlines()) == 1
    assert line in text or line == "ValueError"


def test_first_line_of_an_error_without_words() -> None:
    assert first_line(ValueError()) == "ValueError"
    assert first_line(ValueError(" "), empty="no message") == "no message"
    assert first_line("x" * 900) == "x" * 500


def test_near_match() -> None:
    assert near_match("postion", ["position", "backbone"]) == " (did you mean 'position'?)"
    assert near_match("zzz", ["position"]) == ""


@pytest.mark.parametrize(
    ("place", "answer"),
    [
        ("s3://b/x", True),
        ("gs://b", True),
        ("/a/b", False),
        ("a:b", False),
        ("C:/x", False),
        ("~/x://y", False),
    ],
)
def test_is_uri(place: str, answer: bool) -> None:
    assert is_uri(place) == answer
