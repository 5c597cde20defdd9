"""What a reader writes for a method is found, or the message says what is near."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from harness.base.errors import UserError
from harness.comparison import BASELINES, find_row, method_of_records
from harness.comparison.wanted import WantedRecords, WantedRow, parse_wanted
from harness.experiment.load import EXPERIMENTS
from tests.comparison.conftest import DSA, SEEDS

TEMPLATE = EXPERIMENTS / "variants" / "temporal_conv.py"
MINE = """
name: mine
title: Mine
rows:
  - {name: "share 1/2: wide", model: i3d_r18, train: {T: 4, U: 4}, test: {U: 8, grouping: interleaved}}
"""


@pytest.mark.parametrize("name", BASELINES)
def test_every_short_name_has_its_row(name: str) -> None:
    ref = find_row(name)
    assert (ref.experiment.name, ref.row.name) == BASELINES[name]


@pytest.mark.parametrize("text", [DSA, f"ablation_a:{DSA}", f"ablation_a/{DSA}"])
def test_a_row_by_name(text: str) -> None:
    assert find_row(text).row.aggregation.name == "dsa"


def test_slashes_and_colons_of_row_names_are_not_separators(tmp_path: Path) -> None:
    assert find_row("ablation_e:beta 1/8").row.name == "beta 1/8"
    assert find_row("beta 1/8").experiment.name == "ablation_e"
    path = tmp_path / "mine.yaml"
    path.write_text(MINE, encoding="utf-8")
    for separator in ":/":
        assert find_row(f"{path}{separator}share 1/2: wide").row.name == "share 1/2: wide"
    assert find_row("share 1/2: wide", str(path)).experiment.name == "mine"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dsq", "did you mean 'dsa'"),
        ("ablation_a:DSA+I3D 4x5", r"did you mean 'DSA\+I3D 4x4'"),
        ("ablaton_a:DSA+I3D 4x4", "did you mean 'ablation_a'"),
        ("ablation_i:DSA+I3D R50", "ablation_i"),
        ("", "which row"),
        ("nowhere.yaml:row", "no such file"),
    ],
)
def test_what_is_not_there_is_bad_input(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        find_row(text)


def test_one_name_of_two_networks_must_be_told_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, U in (("one", 4), ("two", 2)):
        row = (
            f"{{name: same, model: i3d_r18, train: {{T: 4, U: {U}}}, test: {{U: 8, grouping: interleaved}}}}"
        )
        (tmp_path / f"{name}.yaml").write_text(
            f"name: {name}\ntitle: t\nrows:\n  - {row}\n", encoding="utf-8"
        )
    monkeypatch.setattr("harness.experiment.load.EXPERIMENTS", tmp_path)
    with pytest.raises(UserError, match="say which: one:same, two:same"):
        find_row("same")


def test_records_by_column(frame: pd.DataFrame) -> None:
    method = method_of_records("aggregation=dsa,model=i3d_r18", frame)
    assert method.seeds == list(SEEDS)
    assert method.trial.network.aggregation.name == "dsa"


GRID = """
name: grid
title: Grid
rows:
  - {name: alpha=8, model: i3d_r18, train: {T: 4, U: 4}, test: {U: 8, grouping: interleaved}}
  - {name: "alpha=8,beta=1", model: i3d_r18, train: {T: 4, U: 2}, test: {U: 8, grouping: interleaved}}
"""


@pytest.mark.parametrize("name", ["alpha=8", "alpha=8,beta=1"])
def test_row_names_win_over_selectors(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text(GRID, encoding="utf-8")
    monkeypatch.setattr("harness.experiment.load.EXPERIMENTS", tmp_path)
    for text in (name, f"grid:{name}", f"{tmp_path}/grid.yaml:{name}"):
        (wanted,), base = parse_wanted([text], [], "aggregation=dsa", [])
        assert isinstance(wanted, WantedRow) and wanted.label == name
        assert isinstance(base, WantedRecords)
    (bare,), _ = parse_wanted([name], [], "alpha=8", [], experiment="grid")
    assert bare.label == name
    with pytest.raises(UserError, match="has no row 'alpha=9' \\(did you mean 'alpha=8'"):
        parse_wanted(["grid:alpha=9"], [], "aggregation=dsa", [], experiment=None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("agregation=dsa", "did you mean 'aggregation'"),
        ("aggregation=se", "no finished trial"),
        ("crop_px=32", "these 15 records are several methods"),
        ("aggregation=average", "differ in train"),
    ],
)
def test_a_selector_must_give_one_method(text: str, words: str, frame: pd.DataFrame) -> None:
    with pytest.raises(UserError, match=words):
        method_of_records(text, frame)


def test_a_variant_takes_the_place_of_its_baseline() -> None:
    (new,), base = parse_wanted([], [TEMPLATE], "dsa", ["kernel=5"])
    assert isinstance(new, WantedRow) and isinstance(base, WantedRow)
    mine, theirs = new.experiment.rows[0], base.experiment.rows[0]
    assert mine.name == "temporal_conv kernel=5"
    assert mine.aggregation.options == {"kernel": 5}
    for place in ("position", "stages", "blocks", "beta"):
        assert getattr(mine.aggregation, place) == getattr(theirs.aggregation, place)
    assert (mine.train, mine.test, mine.model) == (theirs.train, theirs.test, theirs.model)


def test_option_values_make_a_grid() -> None:
    new, _ = parse_wanted([str(TEMPLATE)], [], "dsa", ["kernel=3,5"])
    assert [w.label for w in new] == ["temporal_conv kernel=3", "temporal_conv kernel=5"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([], [], None, []), "compare what with what"),
        ((["dsa"], [], None, []), "compare what with 'dsa'"),
        (([], [], "dsa", []), "compare what with 'dsa'"),
        ((["v4d"], [], "mine.py", []), "a variant can only be NEW"),
        ((["v4d"], [], "dsa", ["kernel=3"]), "needs --variant"),
        (([], [TEMPLATE], "dsa", ["kernel"]), "expected key=value"),
        (([], [TEMPLATE], "dsa", ["kernel=3", "kernel=5"]), "given twice"),
        (([], [TEMPLATE], "dsa", ["kernel=[3"]), "expected a number"),
        (([], [TEMPLATE], "aggregation=dsa", []), "takes the place of a row"),
        (([], [Path()], "dsa", []), "no such file"),
        (([], [TEMPLATE], "", []), "compare what with what"),
    ],
)
def test_what_cannot_be_combined_is_bad_input(
    arguments: tuple[list[str], list[Path], str | None, list[str]], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        parse_wanted(*arguments)
