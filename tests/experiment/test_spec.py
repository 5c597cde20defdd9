"""The declared things themselves: frozen, finite, nothing read that has no effect."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from harness.experiment import spec
from harness.experiment.base import Frozen
from harness.experiment.recipe import Recipe
from harness.experiment.spec import Aggregation, Profile, Resources, Row
from tests.experiment.files import PROFILE

RECIPE: dict[str, Any] = {
    "optimizer": "sgd",
    "lr": 0.1,
    "weight_decay": 0.0,
    "schedule": "cosine",
    "warmup_epochs": 0,
    "epochs": 4,
    "batch_videos": 2,
    "clip_norm": 1,
}
ALL = [m for m in vars(spec).values() if isinstance(m, type) and issubclass(m, BaseModel)]


@pytest.mark.parametrize("model", [m for m in ALL if m is not BaseModel], ids=lambda m: m.__name__)
def test_every_declared_thing_is_frozen_and_refuses_unknown_keys(model: type[Frozen]) -> None:
    assert issubclass(model, Frozen)
    assert model.model_config["frozen"]
    assert model.model_config["extra"] == "forbid"


@given(st.integers(1, 64), st.integers(1, 64))
def test_a_share_is_read_as_a_fraction_or_refused(top: int, bottom: int) -> None:
    texts = (f"{top}/{bottom}", f"{top} / {bottom}")
    if top > bottom:
        with pytest.raises(ValidationError, match="less than or equal to 1"):
            Aggregation(beta=texts[0])
    else:
        assert [Aggregation(beta=text).beta for text in texts] == [float(Fraction(top, bottom))] * 2


@pytest.mark.parametrize("text", ["1/0", "0/1", "-1/2", "1/2/3", "a/b", "/", "1/"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        Aggregation(beta=text)


def test_options_stand_beside_the_other_keys_or_under_options() -> None:
    beside = Aggregation.model_validate({"name": "dsa", "alpha": 2, "position": "I"})
    under = Aggregation.model_validate({"name": "dsa", "options": {"alpha": 2}, "position": "I"})
    assert beside == under
    assert beside.options == {"alpha": 2}


def test_what_was_given_is_not_changed() -> None:
    given_data = {"name": "dsa", "alpha": 2}
    Aggregation.model_validate(given_data)
    assert given_data == {"name": "dsa", "alpha": 2}


def test_a_declared_thing_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Resources().cpus = 2


@pytest.mark.parametrize("key", ["lr", "weight_decay", "clip_norm", "warmup_epochs"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_a_recipe_is_finite_and_not_negative(key: str, value: float) -> None:
    with pytest.raises(ValidationError):
        Recipe(**{**RECIPE, key: value})


def test_a_row_is_measured_by_its_own_u() -> None:
    sampling = {"name": "r", "model": "i3d_r18", "train": {"T": 4, "U": 4}}
    row = Row.model_validate(
        {**sampling, "test": {"U": 8, "grouping": "interleaved"}, "aggregation": {"name": "dsa", "U": 4}}
    )
    assert (row.paper_row, row.test.crops) == ("r", 3)
    assert row.model_copy(update={"paper": "another"}).paper_row == "another"


def test_the_file_is_for_messages_and_no_part_of_a_profile() -> None:
    import yaml

    profile = Profile.model_validate(yaml.safe_load(PROFILE))
    assert profile.file is None
    assert "file" not in str(profile.model_dump())
    assert Profile.model_validate(profile.model_dump()) == profile
