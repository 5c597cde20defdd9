"""Verdicts from records: what is said, what is refused and why, and that the parts agree with their sources."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.base.errors import UserError
from harness.comparison import Method, Report, compare_methods, document, method_of_trials
from harness.comparison.compare import NOT_COMPARABLE
from harness.comparison.words import as_data, verdict_sentence
from harness.data import class_names, facet_answers
from harness.experiment import Profile
from harness.experiment.spec import Scratch, Trial, Variant
from harness.reports.words import VERDICTS, cautions
from harness.results import Store, load
from harness.results.predictions import scores_from_predictions
from harness.statistics.paired import compare
from harness.statistics.paired import corrected as corrected_by_holm
from tests.comparison.conftest import DSA, SEEDS, TOP1, TSN, V4D, changed, planned_row, write_records
from tests.factories import make_failed_record

BETTER, WORSE = VERDICTS["better"], VERDICTS["worse"]
NO_DIFFERENCE, ONE_SEED = VERDICTS["no difference"], VERDICTS["one seed"]


def method(frame: pd.DataFrame, row: str, seeds: tuple[int, ...] = SEEDS) -> Method:
    return method_of_trials(planned_row(row, seeds), frame, row, f"ablation_a:{row}")


def other(tmp_path: Path, frame: pd.DataFrame, change: Callable[[Trial], Trial], **options: object) -> Method:
    """DSA under changed settings, with records of its own."""
    planned = changed(planned_row(DSA), change)
    write_records(tmp_path, planned, 95.0, **options)
    return method_of_trials(planned, load(tmp_path), "changed", "another:changed")


def report(frame: pd.DataFrame, new: str, base: str, seeds: tuple[int, ...] = SEEDS) -> Report:
    return compare_methods([method(frame, new, seeds)], method(frame, base, seeds), "embedded")


def as_text(found: Report) -> str:
    parts = document(found)
    return "\n".join(t for s in parts.sections for t in (s.heading, *s.sentences, *s.remarks))


@pytest.mark.parametrize(
    ("new", "base", "verdict"), [(DSA, V4D, BETTER), (V4D, DSA, WORSE), (TSN, DSA, NO_DIFFERENCE)]
)
def test_the_verdict(new: str, base: str, verdict: str, frame: pd.DataFrame) -> None:
    (found,) = report(frame, new, base).versus
    assert found.verdict == verdict
    assert found.result is not None
    expected = [round(480 * top1 / 100) / 4.8 for top1 in found.by_seed["new"]]
    assert found.by_seed["new"] == pytest.approx(expected)
    assert verdict.split(maxsplit=1)[0].lower() in verdict_sentence(found).lower()


def test_no_difference_says_what_could_have_been_found(frame: pd.DataFrame) -> None:
    (found,) = report(frame, TSN, DSA).versus
    assert found.result is not None and found.result.smallest_detectable is not None
    sentence = verdict_sentence(found)
    assert f"a true difference of {found.result.smallest_detectable:.1f} points" in sentence
    assert "no proof of equality" in sentence


def test_one_seed_gives_no_verdict_and_says_why(frame: pd.DataFrame) -> None:
    found = report(frame, DSA, V4D, (0,))
    assert found.versus[0].verdict == ONE_SEED
    text = as_text(found)
    assert "nothing can be said about the two methods" in text
    assert "all that one seed allows" in text


def _recipe(**values: object) -> Callable[[Trial], Trial]:
    return lambda t: t.model_copy(update={"recipe": t.recipe.model_copy(update=values)})


def _options(**values: object) -> Callable[[Trial], Trial]:
    def change(trial: Trial) -> Trial:
        options = {**trial.network.options, **values}
        return trial.model_copy(update={"network": trial.network.model_copy(update={"options": options})})

    return change


def _train(**values: object) -> Callable[[Trial], Trial]:
    return lambda t: t.model_copy(update={"train": t.train.model_copy(update=values)})


def _numerics(**values: object) -> Callable[[Trial], Trial]:
    return lambda t: t.model_copy(update={"numerics": t.numerics.model_copy(update=values)})


def _test(**values: object) -> Callable[[Trial], Trial]:
    return lambda t: t.model_copy(update={"test": t.test.model_copy(update=values)})


def _same(trial: Trial) -> Trial:
    across = trial.network.aggregation
    assert across is not None
    mine = across.model_copy(update={"name": "mine"})
    return trial.model_copy(update={"network": trial.network.model_copy(update={"aggregation": mine})})


REFUSED: dict[str, tuple[Callable[[Trial], Trial], dict[str, object]]] = {
    "recipe.lr": (_recipe(lr=0.02), {}),
    "recipe.epochs": (_recipe(epochs=99), {}),
    "network.options.width": (_options(width=16), {}),
    "network.options.inflate": (_options(inflate=("res5",)), {}),
    "train.crop_px": (_train(crop_px=64), {}),
    "test.crop_px": (_test(crop_px=64), {}),
    "train.interval": (_train(interval=3), {}),
    "test views": (_test(crops=3), {}),
    "numerics.precision": (_numerics(precision="bfloat16"), {}),
    "numerics.version": (_numerics(version=9), {}),
    "dataset.videos_per_class.test": (
        lambda t: t.model_copy(
            update={
                "dataset": t.dataset.model_copy(
                    update={"videos_per_class": t.dataset.videos_per_class.model_copy(update={"test": 12})}
                )
            }
        ),
        {},
    ),
    "dataset manifest": (_same, {"dataset_manifest": "0ddba11"}),
    "decoder": (_same, {"version_decord": "0.5.0"}),
    "test videos": (_same, {"videos": 240}),
}


@pytest.mark.parametrize("field", REFUSED)
def test_what_is_not_comparable_is_refused_by_field(field: str, frame: pd.DataFrame, tmp_path: Path) -> None:
    change, options = REFUSED[field]
    found = compare_methods([other(tmp_path, frame, change, **options)], method(frame, DSA), "embedded")
    (versus,) = found.versus
    assert versus.verdict == NOT_COMPARABLE
    assert [d.field for d in versus.refusals] == [field]
    assert f"not comparable: {field} is" in verdict_sentence(versus)
    assert versus.result is None and "difference" not in as_data(found)["comparisons"][0]


def test_another_start_is_refused(frame: pd.DataFrame, tmp_path: Path) -> None:
    changed_start = other(tmp_path, frame, lambda t: t.model_copy(update={"start": Scratch()}))
    (versus,) = compare_methods([changed_start], method(frame, DSA), "embedded").versus
    assert [(d.field, d.new, d.base) for d in versus.refusals] == [("start.kind", "scratch", "trunk")]


def test_another_machine_s_trunk_is_a_note(frame: pd.DataFrame, tmp_path: Path) -> None:
    ours = other(tmp_path / "ours", frame, _same, start_sha256="0" * 64)
    theirs = other(tmp_path / "theirs", frame, _options(dilation=1), start_sha256="1" * 64)
    theirs = dataclasses.replace(theirs, label="theirs")
    for base, said in ((theirs, True), (method(frame, DSA), False)):  # the last has no hash: an older record
        (versus,) = compare_methods([ours], base, "embedded").versus
        assert not versus.refusals
        assert ("starting weights.i3d_r18" in {d.field for d in versus.notes}) == said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"version_torch": "2.14.0"}, "Torch is 2.14.0"),
        ({"processor": "Another CPU"}, "Machine is Another CPU"),
        ({"commit": "feedface" * 5}, "Commit is feedface"),
        ({"dirty": True}, "uncommitted changes"),
    ],
)
def test_another_machine_is_a_note(
    options: dict[str, object], words: str, frame: pd.DataFrame, tmp_path: Path
) -> None:
    found = compare_methods([other(tmp_path, frame, _same, **options)], method(frame, DSA), "embedded")
    assert found.versus[0].verdict == BETTER
    assert words in as_text(found)


def test_listed_videos_that_are_in_no_number_are_counted(frame: pd.DataFrame, tmp_path: Path) -> None:
    """The table's caption says it; the verdict of the same records did not."""
    lost = {"report": 3, "train": 5, "select": 2}
    found = compare_methods(
        [other(tmp_path, frame, _same, excluded_videos=lost)], method(frame, DSA), "embedded"
    )
    told = "Listed but missing or broken, and in no number: 3 (in training 7)."
    assert told in as_text(found) and told in as_data(found)["comparisons"][0]["notes"]
    assert "missing or broken" not in as_text(report(frame, DSA, TSN))


def test_seeds_of_one_method_must_agree_among_themselves(frame: pd.DataFrame, tmp_path: Path) -> None:
    planned = changed(planned_row(DSA), _same)
    write_records(tmp_path, planned[:2], 95.0)
    write_records(tmp_path, planned[2:], 95.0, dataset_manifest="0ddba11")
    mixed = method_of_trials(planned, load(tmp_path), "mixed", "another:mixed")
    (versus,) = compare_methods([mixed], method(frame, DSA), "embedded").versus
    assert versus.refusals[0].new == "0ddba11 and 5ca1ab1e0000"


def test_views_that_one_table_declares_are_a_note(frame: pd.DataFrame) -> None:
    found = report(frame, DSA, "I3D 4x1")
    assert found.versus[0].verdict == BETTER
    assert "Test views is 4 snippets (interleaved) × 1 crop" in as_text(found)


def test_a_variant_is_held_to_the_protocol_of_its_baseline(frame: pd.DataFrame, tmp_path: Path) -> None:
    def as_variant(trial: Trial) -> Trial:
        return _test(crops=3)(trial).model_copy(update={"variants": (Variant(file="m.py", source="x"),)})

    (versus,) = compare_methods([other(tmp_path, frame, as_variant)], method(frame, DSA), "embedded").versus
    assert [d.field for d in versus.refusals] == ["test views"]


def test_several_methods_are_corrected_together(frame: pd.DataFrame) -> None:
    alone = {row: report(frame, row, DSA).versus[0].result for row in (V4D, TSN)}
    both = compare_methods([method(frame, V4D), method(frame, TSN)], method(frame, DSA), "embedded")
    for versus in both.versus:
        single = alone[versus.new.label]
        assert versus.result is not None and single is not None
        assert versus.result.p_value == single.p_value
    p_values = sorted(r.p_value for r in alone.values() if r is not None)
    adjusted = sorted(v.result.p_adjusted for v in both.versus if v.result is not None)
    assert adjusted == pytest.approx([min(1, 2 * p_values[0]), max(2 * p_values[0], p_values[1])])
    assert "Holm's correction over 2 comparisons" in as_text(both)


def test_one_refused_method_does_not_hide_the_others(frame: pd.DataFrame, tmp_path: Path) -> None:
    refused = other(tmp_path, frame, _recipe(lr=0.02))
    found = compare_methods([refused, method(frame, V4D)], method(frame, DSA), "embedded")
    assert [v.verdict for v in found.versus] == [NOT_COMPARABLE, WORSE]


def test_numbers_are_those_of_the_records(root: Path, frame: pd.DataFrame) -> None:
    """Difference, factors and flips against their definitions, from the stored scores."""
    (versus,) = report(frame, V4D, DSA).versus
    right, factors = {}, {}
    for side, row in (("new", V4D), ("base", DSA)):
        right[side], factors[side] = _recomputed(
            root, planned_row(row)[0].trial, [p.id for p in planned_row(row)]
        )
    expected = compare(right["new"], right["base"], SEEDS)
    assert versus.result == expected
    assert len(versus.factors) == 4
    for mover in versus.factors:
        assert mover.new == pytest.approx(factors["new"][mover.group])
        assert mover.base == pytest.approx(factors["base"][mover.group])
    lost = (right["new"].sum(0) < 1.5) & (right["base"].sum(0) > 1.5)
    assert [flip.flip for flip in versus.flips].count("lost") == lost.sum()
    assert sum(mover.n_videos for mover in versus.classes) == 480
    assert {mover.group for mover in versus.classes} == set(class_names(planned_row(DSA)[0].trial.dataset))


def _recomputed(root: Path, trial: Trial, ids: list[str]) -> tuple[np.ndarray, dict[str, float]]:
    right, factors = [], []
    for trial_id in ids:
        scores_VGK, labels, _ = scores_from_predictions(Store(root).predictions(trial_id))
        predicted = scores_VGK.mean(1).argmax(1)
        answers = facet_answers(trial.dataset, predicted, labels)
        factors.append({facet: 100 * right_F.mean() for facet, (_, right_F) in answers.items()})
        right.append(predicted == labels)
    return np.stack(right), pd.DataFrame(factors).mean().to_dict()


def test_only_shared_seeds_count_and_failures_are_named(frame: pd.DataFrame, tmp_path: Path) -> None:
    planned = changed(planned_row(DSA), _same)
    write_records(tmp_path, planned[:2], 80.0)
    Store(tmp_path).write(make_failed_record(planned[2], "diverged: loss is not a number"), planned[2])
    partly = method_of_trials(planned, load(tmp_path), "partly", "another:partly")
    found = compare_methods([partly], method(frame, DSA), "embedded")
    assert found.versus[0].seeds == (0, 1)
    assert "left out: 2" in as_text(found)
    assert "partly, seed 2: failed: diverged" in as_text(found)


def test_nothing_to_compare_is_bad_input(frame: pd.DataFrame) -> None:
    with pytest.raises(UserError, match="no finished trial"):
        report(frame, DSA, V4D, (7, 8))
    with pytest.raises(UserError, match="share no seed"):
        compare_methods([method(frame, DSA, (0,))], method(frame, V4D, (1, 2)), "embedded")
    with pytest.raises(UserError, match="same trials"):
        report(frame, DSA, DSA)


def test_every_number_leads_to_its_trials(frame: pd.DataFrame, profile: Profile) -> None:
    found = report(frame, V4D, DSA)
    provenance = document(found).sections[-1]
    assert provenance.grid is not None
    named = {cell for row in provenance.grid.rows for cell in row}
    assert {p.id for row in (V4D, DSA) for p in planned_row(row)} <= named
    data = as_data(found)
    assert data["comparisons"][0]["new"]["trials"] == {str(p.seed): p.id for p in planned_row(V4D)}
    assert data["profile"] == profile.name
    assert TOP1[V4D] < TOP1[DSA] and data["comparisons"][0]["difference"] < 0


def test_cautions_are_said() -> None:
    rng = np.random.default_rng(0)
    new_SV, base_SV = rng.random((2, 20)) < 0.8, rng.random((2, 20)) < 0.5
    two_seeds = " ".join(cautions(compare(new_SV, base_SV, (0, 1))))
    assert "Two seeds" in two_seeds and "Only 20 test videos" in two_seeds
    assert "no spread to judge by" in " ".join(cautions(compare(new_SV, new_SV, (0, 1))))
    weak = rng.random((5, 480)) < 0.85, rng.random((5, 480)) < 0.80
    rows = {name: (*weak, range(5)) for name in "abc"}
    alpha = 2 * compare(*rows["a"]).p_value
    corrected = corrected_by_holm({k: compare(*row, alpha=alpha) for k, row in rows.items()}, alpha=alpha)
    assert "Holm's correction for 3 comparisons" in " ".join(cautions(corrected["a"]))
