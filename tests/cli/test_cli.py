"""The command line: exit codes, one message for a mistake, JSON for machines. Trials are the executors' fakes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.experiment.load import ROOT
from harness.results import Store, runs_root
from tests.factories import make_failed_record, make_record
from tests.orchestrate import fakes

EXPERIMENT = """
name: mine
title: A user's own table
defaults:
  model: i3d_r18
  train: {T: 4, U: 4}
  test: {U: 8, crops: 1, grouping: interleaved}
rows:
  - name: plain
  - name: dsa
    aggregation: {name: dsa, alpha: 2}
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's experiment file; records and reports go below `tmp_path`."""
    path = tmp_path / "mine.yaml"
    path.write_text(EXPERIMENT)
    for name in ("results", "reports", "data"):
        monkeypatch.setenv(f"HARNESS_{name.upper()}", str(tmp_path / name))
    return path


def _harness(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main.main([str(a) for a in arguments])
    code = left.value.code
    assert isinstance(code, int)
    return code


def _json(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("fake_trials")
def test_run_then_run_again(mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _harness("run", mine, "--seeds", 1, "--inline", "--json") == 0
    assert len(_json(capsys)["done"]) == 2
    assert _harness("run", mine, "--seeds", 1, "--inline", "--json") == 0
    again = _json(capsys)
    assert (len(again["done_before"]), again["done"]) == (2, [])
    assert _harness("status", mine, "--seeds", 2, "--json") == 0
    facts = _json(capsys)
    assert [(row["row"], row["done"], row["missing"]) for row in facts["rows"]] == [
        ("plain", 1, 1),
        ("dsa", 1, 1),
    ]
    assert len(facts["runs"]) == 1, "a run of nothing is no run"
    assert facts["runs"][0]["actual_seconds"] > 0


@pytest.mark.usefixtures("fake_trials")
def test_a_failed_trial_is_exit_code_1_until_it_is_done(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _harness("run", mine, "--seeds", 2, "--inline") == 1  # the fakes' seed 1 raises
    out = capsys.readouterr().out
    assert "2 done, 2 failed, 0 not run" in out
    assert "RuntimeError: the module raises" in out
    assert "--retry-failed" in out
    assert _harness("run", mine, "--seeds", 2, "--inline") == 1
    assert "2 done, 2 failed, 0 not run" in capsys.readouterr().out


@pytest.mark.usefixtures("fake_trials")
def test_interrupting_is_exit_code_130_and_says_how_to_go_on(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fakes, "run", interrupt)
    assert _harness("run", mine, "--seeds", 1, "--inline") == 130
    out = capsys.readouterr().out
    assert "0 done, 0 failed, 2 not run" in out
    assert "give the same command again" in out


def test_plan_counts_and_estimates_without_running(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _harness("plan", mine, mine, "ablation_a", "--seeds", 3, "--json") == 0
    facts = _json(capsys)
    assert [e["trials"] for e in facts["experiments"]] == [6, 15], "a file counts once"
    assert (facts["trials"], facts["distinct"], facts["to_run"]) == (21, 18, 18)
    assert facts["estimate"]["wall_seconds"]["middle"] > 0
    assert _harness("plan", mine, "--seeds", 1) == 0
    out = capsys.readouterr().out
    assert "2 to run" in out
    assert "one seed says nothing" in out


def test_plan_gives_the_smallest_detectable_difference(
    mine: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.cli.common import make_plan

    monkeypatch.setattr("harness.results.baseline_roots", list)
    plan = make_plan([str(mine)], "embedded", 4)
    store = Store(runs_root())
    for planned in plan.trials:
        store.write(make_record(planned, top1=70.0, seed_sd=2.0), planned)
    points = []
    for seeds in (3, 10):
        assert _harness("plan", mine, "--seeds", seeds, "--json") == 0
        points.append(_json(capsys)["smallest_detectable_difference"]["points"])
    assert 0 < points[1] < points[0], "more seeds resolve smaller differences"
    assert _harness("plan", mine, "--seeds", 3) == 0
    out = capsys.readouterr().out
    rows = {planned.row for planned in plan.trials}
    assert all(f"{row} " in out.split("against each row:")[1] for row in rows)


def test_show_prints_a_trial_by_the_beginning_of_its_id(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = fakes.plan(0)[0], fakes.plan(1)[0]
    store = Store(runs_root())
    store.write(make_record(good), good)
    store.write(make_failed_record(bad, "diverged: at step 12"), bad)
    assert _harness("show", good.id[:8], "--json") == 0
    facts = _json(capsys)
    assert (facts["trial"], facts["status"]) == (good.id, "done")
    assert facts["configuration"]["network"]["aggregation"]["name"] == "dsa"
    assert _harness("show", bad.id) == 0
    out = capsys.readouterr().out
    assert "failed: diverged: at step 12" in out
    assert "Traceback" in out
    assert _harness("show", "zzzz") == 2
    assert "no record of a trial 'zzzz'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "ablation_x"), "did you mean 'ablation_"),
        (("run", "ablation_a", "--profile", "embeded"), "did you mean 'embedded'"),
        (("run", "ablation_a", "--seeds", "0"), "--seeds"),
        (("run", "ablation_a", "--sedes", "3"), "--se"),
        (("plam",), "plan"),
        (("status", "broken.yaml"), "broken.yaml: no such file"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _harness(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert message in captured.err
    assert "Traceback" not in captured.err


def test_mlflow_is_asked_for_where_it_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    assert _harness("export", "mlflow", "ablation_a", "--tracking-uri", "http://localhost:5000") == 2
    assert "`pip install mlflow-skinny`" in capsys.readouterr().err


@pytest.mark.usefixtures("fake_trials")
def test_an_unwritable_results_folder_is_refused_before_anything_runs(
    mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert _harness("run", mine, "--seeds", 1, "--inline", "--results", tmp_path / "file" / "runs") == 2
    err = capsys.readouterr().err
    assert "results cannot be written there" in err
    assert "--results" in err


@pytest.mark.usefixtures("fake_trials")
def test_a_damaged_record_is_a_warning_and_runs_again(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _harness("run", mine, "--seeds", 1, "--inline") == 0
    path = next((Path(runs_root()) / "trials").glob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-100])
    capsys.readouterr()
    assert _harness("status", mine, "--seeds", 1) == 0
    assert f"unreadable {path}" in capsys.readouterr().out
    assert _harness("run", mine, "--seeds", 1, "--inline") == 0
    captured = capsys.readouterr()
    assert f"warning: {path}" in captured.err
    assert "2 done, 0 failed, 0 not run" in captured.out


def test_tables_render_what_is_there(mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from harness.cli.common import make_plan

    store = Store(runs_root())
    for planned in make_plan([str(mine)], "embedded", 3).trials:
        store.write(make_record(planned), planned)
    assert _harness("tables", mine, "--seeds", 3) == 0
    assert "dsa" in capsys.readouterr().out
    written = {path.name for path in (tmp_path / "reports" / "tables").iterdir()}
    assert written == {"mine.md", "mine.tex", "mine.html", "mine.csv"}


def test_a_store_without_scores_loses_no_command(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only `trials/` was copied: `plan` loses that row's variance, `status` names the file."""
    from harness.cli.common import make_plan

    store = Store(runs_root())
    for planned in make_plan([str(mine)], "embedded", 2).trials:
        store.write(make_record(planned), planned)
    for part in ("predictions", "answers"):
        shutil.rmtree(store.path(part, "x").parent)
    assert _harness("plan", mine, "--seeds", 2) == 0
    assert "no row has two seeds done yet" in capsys.readouterr().out
    assert _harness("status", mine, "--seeds", 2) == 0
    assert f"incomplete {store.path('predictions', planned.id)}: is missing" in capsys.readouterr().out


def test_help_documents_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert _harness() == 0
    listed = capsys.readouterr().out
    for command in ("plan", "run", "status", "tables", "cost", "show", "data", "weights", "report"):
        assert f"  {command} " in listed


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_cannot_show_a_character_ends_no_command(encoding: str, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "harness", "tables", "ablation_a", "-p", "smoke", "--reports", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr.decode(encoding)
    assert "DSA+I3D 4x4" in run.stdout.decode(encoding)
    assert b"?" in run.stdout
