"""What is wrong with a declaration is said where it stands; variants, drafts and two files of one name."""

from __future__ import annotations

import json
import shutil
import traceback
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.experiment.load import EXPERIMENTS
from harness.results import Store, runs_root
from tests.factories import make_record

EXPERIMENT = """name: mine
title: A user's own table
defaults:
  model: i3d_r18
  train: {T: 4, U: 4}
  test: {U: 8, crops: 1, grouping: interleaved}
rows:
  - name: plain
"""
MODULE = """
from torch import nn
from harness.models import register_aggregation
@register_aggregation("NAME")
class Module(nn.Module):
    any_U = True
    def __init__(self, channels, U):
        super().__init__()
    def forward(self, x_NUCTHW):
        return x_NUCTHW
"""
CPU = "numerics:\n  device: cpu\n  threads: 1\nresources:\n  cpus: 1\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("results", "reports", "data"):
        monkeypatch.setenv(f"HARNESS_{name.upper()}", str(tmp_path / name))
    return tmp_path


def _write(folder: Path, more: str = "", text: str = EXPERIMENT) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "mine.yaml"
    path.write_text(text + more)
    return path


def _profile(folder: Path, old: str, new: str) -> Path:
    """The embedded profile with `old` replaced."""
    text = (EXPERIMENTS / "profiles" / "embedded.yaml").read_text().replace("name: embedded", "name: own", 1)
    assert old in text
    (folder / "own.yaml").write_text(text.replace(old, new, 1))
    return folder / "own.yaml"


def _harness(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    with pytest.raises(SystemExit) as left:
        main.main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    assert isinstance(left.value.code, int)
    assert "Traceback" not in err
    return left.value.code, out, err


@pytest.mark.parametrize("command", ["plan", "run", "status", "tables", "report"])
def test_an_unknown_column_is_refused_where_it_stands(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _write(folder, "columns: [topp1, top5]\n")
    code, out, err = _harness(capsys, command, path)
    assert (code, out) == (2, "")
    assert err.startswith(
        f"error: {path}:9: columns: unknown column 'topp1' (did you mean 'top1'?); known are top1"
    )


def test_a_facet_and_a_metric_on_val_are_columns(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = _harness(capsys, "status", _write(folder, "columns: [top1, factor_order, val_top1]\n"))
    assert code == 0, err


def test_fewer_gpus_than_a_trial_uses_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _profile(folder, CPU, "numerics: {device: cuda, gpus: 4}\nresources: {cpus: 1, gpus: 1}\n")
    code, _, err = _harness(capsys, "plan", _write(folder), "--profile", path)
    assert code == 2
    assert "resources.gpus is 1 but numerics.gpus is 4" in err


def test_more_gpus_than_a_trial_uses_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _profile(folder, CPU, "numerics: {device: cuda}\nresources: {cpus: 1, gpus: 4}\n")
    code, _, err = _harness(capsys, "plan", _write(folder), "--profile", path)
    assert code == 2
    assert "resources.gpus is 4 but numerics.gpus is 1" in err


def test_more_threads_than_cpus_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _profile(folder, "threads: 1", "threads: 4")
    code, _, err = _harness(capsys, "plan", _write(folder), "--profile", path)
    assert code == 2
    assert "numerics.threads is 4 but resources.cpus is 1: reserve a CPU for each thread" in err


GRID = """grid:
  aggregation.alpha: [1, 2]
  aggregation.position: [II, after]
  recipe.lr: [0.001, 0.002]
exclude:
  - {aggregation.alpha: 2, aggregation.position: after}
"""


def test_a_grid_of_any_knob_without_what_makes_no_sense(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = EXPERIMENT.replace("  test:", "  aggregation: {name: dsa}\n  test:")
    code, out, err = _harness(capsys, "status", _write(folder, GRID, text), "--seeds", 1, "--json")
    assert code == 0, err
    assert [row["row"] for row in json.loads(out)["rows"]] == [
        "plain",
        "alpha 1, position II, lr 0.001",
        "alpha 1, position II, lr 0.002",
        "alpha 1, position after, lr 0.001",
        "alpha 1, position after, lr 0.002",
        "alpha 2, position II, lr 0.001",
        "alpha 2, position II, lr 0.002",
    ]
    wrong = GRID.replace("{aggregation.alpha: 2", "{aggregation.alhpa: 2")
    code, _, err = _harness(capsys, "status", _write(folder, wrong, text))
    assert code == 2
    assert "exclude: 'aggregation.alhpa' is no key of the grid (did you mean 'aggregation.alpha'?)" in err


def test_rows_may_name_modules_of_several_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Under `variants` in the file, by --variant, or both; the second --variant does not replace the first."""
    names = ["test_declared_a", "test_declared_b", "test_declared_c"]
    for name in names:
        (folder / f"{name}.py").write_text(MODULE.replace("NAME", name))
    rows = "".join(f"  - name: {name}\n    aggregation: {{name: {name}}}\n" for name in names)
    path = _write(folder, f"{rows}variants: [test_declared_a.py]\n")
    given = ["--variant", folder / "test_declared_b.py", "--variant", folder / "test_declared_c.py"]
    code, out, err = _harness(capsys, "status", path, *given, "--seeds", 1, "--json")
    assert code == 0, err
    assert [row["row"] for row in json.loads(out)["rows"]] == ["plain", *names]
    assert _harness(capsys, "plan", path, *given, "--seeds", 1, "--ids")[1].count("\n") == 4


def test_a_module_that_no_file_holds_is_refused_with_the_remedy(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _write(folder, "  - name: other\n    aggregation: {name: test_declared_gone}\n")
    code, _, err = _harness(capsys, "status", path)
    assert code == 2
    assert f"error: {path}:10: row 'other': unknown aggregation 'test_declared_gone'" in err
    assert "`variants: [file.py]`, or --variant" in err


def test_two_files_of_one_name_are_two_experiments(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = _write(folder / "one")
    other = _write(folder / "other", text=EXPERIMENT.replace("i3d_r18", "i3d_r50"))
    code, out, _ = _harness(capsys, "status", one, other, "--seeds", 2, "--json")
    assert code == 0
    found = [(row["experiment"], row["missing"]) for row in json.loads(out)["rows"]]
    assert found == [(str(one), 2), (str(other), 2)]
    for command in ("tables", "report"):
        code, _, err = _harness(capsys, command, one, other)
        assert code == 2
        assert "both are called 'mine', and their tables would be one file" in err


@pytest.fixture
def drafts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's experiments: one good, and what people leave lying about."""
    from harness.experiment import load

    own = folder / "experiments"
    shutil.copytree(EXPERIMENTS / "profiles", own / "profiles")
    shutil.copytree(EXPERIMENTS / "recipes", own / "recipes")
    _write(own)
    (own / "broken.yaml").write_text("name: broken\nrows: [")
    (own / "nameless.yaml").write_text(EXPERIMENT)
    (own / "unknown.yaml").write_text(EXPERIMENT.replace("mine", "unknown").replace("i3d_r18", "i3d_r19"))
    (own / "columns.yaml").write_text(EXPERIMENT.replace("mine", "columns") + "columns: [topp1]\n")
    monkeypatch.setattr(load, "EXPERIMENTS", own)
    return own


def test_broken_drafts_are_named_and_left_out(drafts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _harness(capsys, "status", "--json")
    assert code == 0, err
    assert {row["experiment"] for row in json.loads(out)["rows"]} == {"mine"}
    warned = [line for line in err.splitlines() if line.startswith("warning: left out: ")]
    assert len(warned) == 4
    for name in ("broken", "nameless", "unknown", "columns"):
        assert any(str(drafts / f"{name}.yaml") in line for line in warned), name
    assert _harness(capsys, "status", "unknown")[0] == 2, "one that is asked for is an error"


def test_the_estimate_of_a_run_comes_from_its_own_store(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.cli.common import make_plan
    from harness.plan import estimate, prepare

    path, own = _write(folder), Store(folder / "own")
    for planned in make_plan([str(path)], "smoke", 2).trials:
        own.write(make_record(planned, wall_seconds=1234.0), planned)
    found: list[Any] = []
    whole = estimate.estimate

    def spied(*arguments: Any) -> None:
        found.append(whole(*arguments))
        raise KeyboardInterrupt

    monkeypatch.setattr(estimate, "estimate", spied)
    monkeypatch.setattr(prepare, "prepare_datasets", lambda *_: None)
    assert _harness(capsys, "run", path, "-p", "smoke", "--seeds", 3, "--results", own.root)[0] == 130
    assert found[0].basis["measured"] == 1
    assert found[0].cpu_hours.middle == pytest.approx(1234.0 / 3600)


def test_ids_are_what_would_run_one_a_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from harness.cli.common import make_plan

    path = _write(folder)
    trials = make_plan([str(path)], "embedded", 3).trials
    Store(runs_root()).write(make_record(trials[1]), trials[1])
    code, out, _ = _harness(capsys, "plan", path, "--seeds", 3, "--ids")
    assert code == 0
    assert out.split() == [trials[0].id, trials[2].id]
    assert _harness(capsys, "plan", path, "--profile", "smoke", "--ids")[1].count("\n") == 2, (
        "a start comes first"
    )


def test_the_way_from_the_command_to_the_step_is_eight_hops_at_most(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted in the traceback of a module whose forward raises: functions of ours down to the training loop."""
    raises = MODULE.replace("return x_NUCTHW", "raise RuntimeError('too far')")
    (folder / "far.py").write_text(raises.replace("NAME", "test_declared_far"))
    rows = "  - name: far\n    aggregation: {name: test_declared_far}\nvariants: [far.py]\n"
    path = _write(folder, text=EXPERIMENT.replace("  - name: plain\n", rows))
    seen: list[list[str]] = []

    def surroundings(error: BaseException) -> None:
        frames = [*traceback.extract_stack()[:-1], *traceback.extract_tb(error.__traceback__)[1:]]
        seen.append([f.name for f in frames if "/harness/" in f.filename and not f.name.startswith("<")])

    from harness.models import cost
    from harness.trial import failure

    monkeypatch.setattr(failure, "surroundings", surroundings)
    # the trial counts its network before the first step, and that would raise already
    monkeypatch.setattr("harness.trial.run.model_cost", lambda *_, **__: cost.Cost(1, 1, 1, {}, 1))
    monkeypatch.setattr("harness.trial.run.shared_macs", lambda *_, **__: 0)
    code, out, _ = _harness(capsys, "run", path, "--profile", "smoke", "--inline")
    assert code == 1
    assert "RuntimeError: too far" in out, "the estimate did not fail; the trial did, with its reason"
    way = seen[-1][seen[-1].index("run") + 1 : seen[-1].index("train") + 1]
    assert way == ["run_missing", "execute", "run_inline", "run_one", "_run", "run_trial", "train"]
    assert len([*way, "backward"]) <= 8  # under Ray `trainable` stands for `run_inline`


def test_a_single_trial_makes_its_start_and_fills_the_same_store(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _write(folder)
    ids = _harness(capsys, "plan", path, "--profile", "smoke", "--ids")[1].split()
    code, out, err = _harness(capsys, "run", path, "--profile", "smoke", "--trial", ids[1])
    assert (code, out) == (0, f"{ids[1]} done\n"), err
    assert Store(runs_root()).done() == set(ids)
    code, _, err = _harness(capsys, "run", path, "--profile", "smoke", "--trial", ids[1])
    assert (code, err.count("start of")) == (0, 0), "nothing is made twice"
    shutil.rmtree(folder / "data")
    code, out, err = _harness(capsys, "run", path, "--profile", "smoke", "--trial", ids[1])
    assert (code, out, err) == (0, f"{ids[1]} done\n", ""), (
        "a host without data does nothing for a done trial"
    )
    assert _harness(capsys, "plan", path, "--profile", "smoke", "--ids")[1] == ""
    code, _, err = _harness(capsys, "run", path, "--profile", "smoke", "--trial", "abc")
    assert code == 2
    assert "--trial 'abc': no trial of this plan" in err
