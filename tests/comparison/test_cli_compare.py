"""`harness compare` as a user runs it; training is replaced by synthetic records, everything else is real."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli import compare as command
from harness.cli.main import main
from harness.experiment import Profile
from harness.experiment.load import EXPERIMENTS
from harness.orchestrate import Outcome
from harness.plan.pending import Pending
from harness.results import Store
from harness.variants import CheckReport, Finding
from tests.comparison.conftest import DSA, SEEDS, planned_row, write_records
from tests.factories import make_failed_record, make_record

TEMPLATE = str(EXPERIMENTS / "variants" / "temporal_conv.py")


class Trainer:
    """Stands for the executor: writes a record for every trial that it is given, and remembers them."""

    def __init__(self, top1: float = 98.0) -> None:
        self.top1, self.ran, self.fails, self.interrupted = top1, [], set(), False

    def __call__(
        self,
        split: Pending,
        profile: Profile,
        names: list[str],
        store: Store,
        data: Path | None,
        inline: bool,
    ) -> Outcome:
        self.ran += split.todo
        failed = {}
        for p in split.todo:
            if p.seed in self.fails:
                store.write(make_failed_record(p, "diverged: loss is not a number"), p)
                failed[p.id] = "diverged: loss is not a number"
            else:
                store.write(make_record(p, self.top1), p)
        return Outcome([p.id for p in split.todo if p.id not in failed], failed, [], self.interrupted, 1.0)


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Trainer:
    """No shipped baselines, no training, no contract (it is tested by itself)."""
    made = Trainer()
    monkeypatch.setattr(command, "run_missing", made)
    monkeypatch.setattr("harness.results.baseline_roots", list)
    kept = CheckReport("f.py", "f", (Finding("shapes", True, "kept"),))
    monkeypatch.setattr("harness.variants.check_variant", lambda path, options: kept)
    return made


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """The DSA row alone, three seeds."""
    write_records(tmp_path / "runs", planned_row(DSA), 90.0, seed_sd=0.2)
    return tmp_path / "runs"


def call(*arguments: str, runs: Path) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(["compare", *arguments, "--results", str(runs), "--reports", str(runs.parent / "reports")])
    return int(exit_.value.code or 0)


def test_rows_are_compared_and_rendered(
    root: Path, tmp_path: Path, trainer: Trainer, capsys: pytest.CaptureFixture[str]
) -> None:
    reports = tmp_path / "reports"
    with pytest.raises(SystemExit) as exit_:
        main(["compare", "v4d", "tsn", "dsa", "--results", str(root), "--reports", str(reports)])
    out = capsys.readouterr().out
    assert exit_.value.code == 0 and trainer.ran == []
    assert "V4D+I3D 4x4: worse" in out and "TSN+I3D 4x4: no difference detected" in out
    written = sorted(p.name for p in (reports / "comparisons").iterdir())
    assert written == [f"v4d_i3d_4x4_and_tsn_i3d_4x4_vs_dsa_i3d_4x4.{kind}" for kind in ("html", "md")]


def test_a_variant_runs_with_the_baselines_seeds_and_only_once(
    runs: Path, trainer: Trainer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("--variant", TEMPLATE, "--baseline", "dsa", runs=runs) == 0
    assert sorted(p.seed for p in trainer.ran) == list(SEEDS)
    base = planned_row(DSA)[0].trial
    for p in trainer.ran:
        (variant,) = p.trial.variants
        assert "TemporalConv" in variant.source
        assert p.trial.network.aggregation.placement == base.network.aggregation.placement
        for same in ("dataset", "train", "test", "input", "start", "recipe", "numerics"):
            assert getattr(p.trial, same) == getattr(base, same)
    assert "temporal_conv is better than DSA+I3D 4x4" in capsys.readouterr().out
    assert call("--variant", TEMPLATE, "--baseline", "dsa", runs=runs) == 0
    assert len(trainer.ran) == len(SEEDS)


def test_missing_seeds_of_both_run_when_asked_for(runs: Path, trainer: Trainer) -> None:
    assert call(TEMPLATE, "dsa", "--seeds", "4", runs=runs) == 0
    assert sorted((p.seed, p.row) for p in trainer.ran if p.row == DSA) == [(3, DSA)]
    assert sorted(p.seed for p in trainer.ran if p.row != DSA) == [0, 1, 2, 3]


def test_every_option_value_is_a_method_of_its_own(
    runs: Path, trainer: Trainer, capsys: pytest.CaptureFixture[str]
) -> None:
    code = call("--variant", TEMPLATE, "--baseline", "dsa", "--option", "kernel=3,5", "--json", runs=runs)
    data = json.loads(capsys.readouterr().out)
    assert code == 0
    assert [c["new"]["label"] for c in data["comparisons"]] == [
        "temporal_conv kernel=3",
        "temporal_conv kernel=5",
    ]
    assert all(c["p_adjusted"] >= c["p_value"] for c in data["comparisons"])
    assert len({p.id for p in trainer.ran}) == 2 * len(SEEDS)


def test_a_default_written_out_is_the_same_trial(runs: Path, trainer: Trainer) -> None:
    call("--variant", TEMPLATE, "--baseline", "dsa", runs=runs)
    call("--variant", TEMPLATE, "--baseline", "dsa", "--option", "kernel=3", runs=runs)
    assert len(trainer.ran) == len(SEEDS)


def test_without_records_and_without_running_nothing_is_made_up(
    runs: Path, trainer: Trainer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("--variant", TEMPLATE, "--baseline", "dsa", "--no-run", runs=runs) == 2
    assert "no finished trial (not run)" in capsys.readouterr().err
    assert call("v4d", "dsa", runs=runs) == 2
    assert trainer.ran == []


def test_rows_run_when_asked(runs: Path, trainer: Trainer) -> None:
    assert call("v4d", "dsa", "--run", runs=runs) == 0
    assert {p.row for p in trainer.ran} == {"V4D+I3D 4x4"}


def test_failed_trials_show_in_the_exit_code_and_in_the_text(
    runs: Path, trainer: Trainer, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer.fails = {1}
    assert call("--variant", TEMPLATE, "--baseline", "dsa", runs=runs) == 1
    out = capsys.readouterr().out
    assert "temporal_conv, seed 1: failed: diverged: loss is not a number" in out
    assert "2 seeds × 480 test videos" in " ".join(out.split())


def test_an_interrupted_run_ends_with_130(
    runs: Path, trainer: Trainer, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer.interrupted = True
    assert call("--variant", TEMPLATE, "--baseline", "dsa", runs=runs) == 130
    assert "the same command goes on" in capsys.readouterr().err


def test_a_broken_module_is_refused_before_it_trains(
    runs: Path, trainer: Trainer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = CheckReport("f.py", "f", (Finding("shapes", False, "U became 1", "keep it"),))
    monkeypatch.setattr("harness.variants.check_variant", lambda path, options: broken)
    assert call("--variant", TEMPLATE, "--baseline", "dsa", runs=runs) == 1
    out = capsys.readouterr().out
    assert "BROKEN shapes" in out and "keep it" in out
    assert trainer.ran == []


def test_a_module_that_cannot_be_built_is_bad_input(
    runs: Path, trainer: Trainer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("--variant", TEMPLATE, "--baseline", "dsa", "--option", "kernel=4", runs=runs) == 2
    err = capsys.readouterr().err
    assert "kernel=4" in err and "ValueError: kernel 4: an odd number" in err and "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "compare what with what"),
        (["--variant", "", "--baseline", ""], "compare what with what"),
        (["--variant", "", "--baseline", "dsa"], "no such file"),
        (["--variant", "nowhere.py", "--baseline", "dsa"], "'nowhere.py': no such file"),
        (["--variant", TEMPLATE, "--baseline", "dsq"], "did you mean 'dsa'"),
        (["--variant", TEMPLATE, "--baseline", "dsa", "--option", "kernle=3"], "did you mean 'kernel'"),
        (["v4d", "dsa", "--profile", "embeded"], "did you mean 'embedded'"),
    ],
)
def test_bad_input_is_one_message_without_a_traceback(
    arguments: list[str], words: str, runs: Path, trainer: Trainer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*arguments, runs=runs) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and words in err and "Traceback" not in err
