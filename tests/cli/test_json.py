"""`--json` of every command: one document on standard output, nothing else, and the exit code that it has without."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import typer
import yaml

from harness.cli.main import app, main
from harness.experiment.load import EXPERIMENTS
from harness.models import create_model
from harness.models.weights import Fit
from harness.orchestrate.claims import Claim, Claims, myself
from harness.plan.expand import Planned
from harness.reports.to_mlflow import Exported
from harness.results import Store
from tests.cli.torchvision_names import as_torchvision
from tests.data import fake_copies
from tests.factories import make_failed_record, make_record
from tests.orchestrate import fakes

TABLE = """
name: mine
title: Mine
rows:
  - name: TSN
    model: tsn_r18
    train: {T: 2, U: 2}
    test: {U: 2, crops: 1, grouping: all}
  - name: DSA
    model: i3d_r18
    train: {T: 4, U: 4}
    test: {U: 8, crops: 1, grouping: interleaved}
    aggregation: {name: dsa, alpha: 2}
"""
VARIANT = """
from torch import nn
from harness.models import register_aggregation

print("a word of the variant")


@register_aggregation("talks", position="II", stages=("res3",))
class Talks(nn.Module):
    def __init__(self, channels: int, U: int) -> None:
        raise ValueError("breaks the contract, at once")
"""
CODES = {"run": 1, "check-variant": 1}  # a trial that fails, a contract that is broken


@dataclasses.dataclass(frozen=True)
class Given:
    """A table, a checked copy of a dataset, weights, a variant, a done trial (a failed and a running one are there)."""

    table: Path
    copy: Path
    weights: Path
    variant: Path
    done: str


def _commands() -> dict[str, Any]:
    """Every command of the program by its words."""

    def walk(group: Any, before: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from walk(command, (*before, name))
            else:
                yield " ".join((*before, name)), command

    return dict(walk(typer.main.get_command(app), ()))


CALLS: dict[str, Callable[[Given], list[object]]] = {
    "plan": lambda g: [g.table, "--seeds", 2],
    "run": lambda g: [g.table, "--seeds", 2, "--inline"],
    "status": lambda g: [g.table],
    "logs": lambda g: [g.done],
    "retry": lambda g: [g.table, "--failed"],
    "clean": lambda g: [],
    "tables": lambda g: [g.table],
    "cost": lambda g: ["ablation_a"],
    "compare": lambda g: ["v4d", "dsa", "--no-run"],
    "show": lambda g: [g.done],
    "report": lambda g: [g.table],
    "check-variant": lambda g: [g.variant],
    "test": lambda g: ["--weights", g.weights, "--experiment", g.table, "--row", "TSN", "-p", g.copy],
    "data prepare": lambda g: ["-p", g.copy],
    "data info": lambda g: ["-p", g.copy],
    "data describe": lambda g: ["-p", g.copy],
    "data verify": lambda g: ["-p", g.copy, "--workers", 1],
    "weights import": lambda g: [g.weights],
    "export mlflow": lambda g: [g.table, "--tracking-uri", "http://localhost:5000"],
}


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Given]:
    folder = tmp_path_factory.mktemp("json")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("results", "reports", "data"):
            patch.setenv(f"HARNESS_{name.upper()}", str(folder / name))
        made = Given(
            folder / "mine.yaml",
            folder / "copy.yaml",
            folder / "weights.pth",
            folder / "talks.py",
            fakes.plan(0)[0].id,
        )
        made.table.write_text(TABLE, encoding="utf-8")
        made.copy.write_text(_profile(folder), encoding="utf-8")
        torch.save(as_torchvision(create_model("tsn_r18", 5, width=8, stem_kernel=5, U=2)), made.weights)
        made.variant.write_text(VARIANT, encoding="utf-8")
        claim = _fill(Store(folder / "results"))
        _call("data", "verify", "-p", made.copy, "--workers", 1)
        yield made
        claim.release()


def _profile(folder: Path) -> str:
    """The smoke profile on a small copy of Kinetics."""
    copy = fake_copies.kinetics(folder / "copy")
    content = yaml.safe_load((EXPERIMENTS / "profiles" / "smoke.yaml").read_text(encoding="utf-8"))
    for key in ("start", "test"):
        del content[key]
    content |= {"name": "copy", "dataset": {"name": "kinetics_400", "root": str(copy.root), "held_out": 0.25}}
    content["scale"] |= {"test_short_side": 32}
    return yaml.safe_dump(content)


def _fill(store: Store) -> Claim:
    """A done trial with a number that JSON does not have, a failed one, a running one."""
    done, failed, runs = fakes.plan(0, 1, 10)
    record = make_record(done)
    store.write(dataclasses.replace(record, curve=record.curve.assign(val_top1=float("nan"))), done)
    store.write(make_failed_record(failed), failed)
    claim = Claims(store.storage).take(runs.id, myself("a", label="mine"))
    assert claim is not None
    return claim


def _call(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def _no_number(word: str) -> Any:
    raise AssertionError(f"{word} is not JSON")


def test_every_command_takes_json() -> None:
    commands = _commands()
    assert commands.keys() == CALLS.keys(), "a new command needs a line in CALLS"
    for name, command in commands.items():
        assert any("--json" in parameter.opts for parameter in command.params), name


class NoServer:
    """In place of a client of MLflow: `tests/reports/test_to_mlflow.py` has a server."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def export(self, experiment: str, planned: Sequence[Planned], frame: pd.DataFrame) -> Exported:
        return Exported(no_record=[p.id for p in planned])


@pytest.mark.usefixtures("fake_trials")
@pytest.mark.parametrize("name", CALLS)
def test_json_is_one_document_and_nothing_else(
    name: str, given: Given, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = Fit("tsn_r18", "average", 2, 5)  # the search among all networks is another test's
    monkeypatch.setattr("harness.models.weights.find_networks", lambda *_, **__: [fit])
    monkeypatch.setattr("harness.reports.to_mlflow.Exporter", NoServer)
    words = [*name.split(), *CALLS[name](given)]
    code = _call(*words, "--json")
    told = capsys.readouterr()
    assert code == CODES.get(name, 0), told.err
    json.loads(told.out, parse_constant=_no_number)
    assert ("a word of the variant" in told.err) == (name == "check-variant"), (
        "others print beside the document"
    )
    assert _call(*words) == code, "the same exit code without"
    with pytest.raises(json.JSONDecodeError):
        json.loads(capsys.readouterr().out)


def test_status_watches_or_answers_once(given: Given, capsys: pytest.CaptureFixture[str]) -> None:
    assert _call("status", given.table, "--watch", "--json") == 2
    told = capsys.readouterr()
    assert (told.out, "--watch" in told.err) == ("", True)


def test_ids_as_json(given: Given, capsys: pytest.CaptureFixture[str]) -> None:
    assert _call("plan", given.table, "--seeds", 9, "--ids") == 0
    lines = capsys.readouterr().out.split()
    assert _call("plan", given.table, "--seeds", 9, "--ids", "--json") == 0
    assert json.loads(capsys.readouterr().out) == lines
