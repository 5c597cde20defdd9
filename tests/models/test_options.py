"""Options get the type of the signature, or are refused with their name."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from harness.base.errors import UserError
from harness.models.options import checked_options


class Module:
    def __init__(
        self,
        channels: int,
        *,
        strength: float = 0.5,
        groups: int = 1,
        gated: bool = False,
        label: str = "plain",
        kernel: tuple[int, ...] = (3, 1),
        limit: float | None = None,
        mode: Literal["mean", "max"] = "mean",
        unknown=0.1,  # type: ignore[no-untyped-def]
    ) -> None: ...


def _checked(**given: Any) -> dict[str, Any]:
    return checked_options(Module, given, "module 'mine'", but=("channels",), others=("beta",))


@pytest.mark.parametrize(
    ("name", "given", "taken"),
    [
        ("strength", "1e-3", 0.001),  # YAML 1.1 reads 1e-3 as text
        ("strength", "1/8", 0.125),
        ("strength", "1 / 8", 0.125),
        ("strength", 1, 1.0),
        ("groups", 2.0, 2),
        ("gated", True, True),
        ("label", "1e-3", "1e-3"),  # text stays text where text is asked for
        ("label", "1/8", "1/8"),
        ("kernel", [5, 3], (5, 3)),
        ("limit", None, None),
        ("limit", "1/4", 0.25),
        ("mode", "max", "max"),
        ("unknown", "1e-2", 0.01),
    ],
)
def test_a_value_gets_the_type_of_the_parameter(name: str, given: Any, taken: Any) -> None:
    value = _checked(**{name: given})[name]
    assert value == taken and type(value) is type(taken)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("strength", True, "a number, not True"),  # a bool is an int to Python, not to a reader
        ("strength", "strong", "a number, not 'strong'"),
        ("strength", "1/0", "a number, not '1/0'"),
        ("strength", None, "a number, not nothing"),
        ("groups", 1.5, "a whole number, not 1.5"),
        ("groups", "2", "a whole number, not '2'"),
        ("groups", False, "a whole number, not False"),
        ("gated", 1, "true or false, not 1"),
        ("gated", "yes", "true or false, not 'yes'"),
        ("label", 3, "text, not 3"),
        ("kernel", 3, "a list, not 3"),
        ("kernel", "31", "a list, not '31'"),
    ],
)
def test_a_value_of_another_type_is_refused_by_its_name(name: str, given: Any, expected: str) -> None:
    with pytest.raises(UserError, match=f"module 'mine': option {name}: expected {expected}"):
        _checked(**{name: given})


def test_defaults_are_spelled_out_and_near_matches_named() -> None:
    assert _checked() == {
        "strength": 0.5,
        "groups": 1,
        "gated": False,
        "label": "plain",
        "kernel": (3, 1),
        "limit": None,
        "mode": "mean",
        "unknown": 0.1,
    }
    with pytest.raises(UserError, match=r"no option 'strenght'.*did you mean 'strength'"):
        _checked(strenght=1)
    with pytest.raises(UserError, match=r"no option 'betta'.*did you mean 'beta'"):
        _checked(betta=1)


def test_a_number_in_text_for_a_parameter_of_no_type_is_refused() -> None:
    def make(channels, *, gain):  # type: ignore[no-untyped-def]
        ...

    with pytest.raises(UserError, match=r"option gain: '1e-3' is text that reads like a number; write it as"):
        checked_options(make, {"gain": "1e-3"}, "module 'mine'", but=("channels",), others=())
