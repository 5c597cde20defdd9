"""TensorBoard's event files as its own reader sees them: a curve once, whatever was tried before."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from pandas.testing import assert_frame_equal
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util.tensor_util import make_ndarray

from harness.experiment.identity import trial_id
from harness.orchestrate import execute
from harness.orchestrate.board import run_folder
from harness.orchestrate.screen import PlainProgress
from harness.orchestrate.worker import Task, run_one
from harness.plan.expand import Planned
from harness.results import Store
from harness.trial import run_trial
from tests.orchestrate import fakes
from tests.trial.conftest import data_root  # noqa: F401 - a fixture
from tests.trial.tiny import EPOCHS, tiny_trial, untimed


def _run(folder: Path, planned: Planned, run: Any = fakes.run, events: Path | None = None) -> Store:
    store = Store(folder / "store")
    task = Task(planned, str(store.root), folder, tensorboard=events)
    run_one(task, lambda _: None, run=run)
    return store


def _read(root: Path, planned: Planned) -> EventAccumulator:
    found = EventAccumulator(str(run_folder(root, planned)))
    found.Reload()
    return found


def _scalars(found: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [
        (event.step, pytest.approx(make_ndarray(event.tensor_proto).item())) for event in found.Tensors(tag)
    ]


def test_event_files_hold_the_curve_and_the_metrics_and_change_no_number(
    data_root: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    trial = tiny_trial()
    planned = Planned("my/../table", "DSA+I3D 4x4", "tiny", 0, trial, trial_id(trial))
    alone, watched = (tmp_path / name for name in ("alone", "watched"))

    def tiny(*arguments: Any, **options: Any) -> Any:
        return run_trial(*arguments, **{**options, "data_root": data_root})

    without = _run(alone, planned, tiny).record(planned.id)
    record = _run(watched, planned, tiny, tmp_path / "events").record(planned.id)
    assert record.id == without.id and record.metrics == without.metrics
    assert_frame_equal(record.predictions, without.predictions)
    assert_frame_equal(untimed(record.curve), untimed(without.curve))
    (file,) = {path.parent for path in (tmp_path / "events").rglob("events.*")}
    assert file == tmp_path / "events" / "my_.._table" / "DSA+I3D 4x4" / f"seed_0_{planned.id}"
    found = _read(tmp_path / "events", planned)
    for name in record.curve.columns.drop("epoch"):
        assert _scalars(found, f"curve/{name}") == list(enumerate(record.curve[name], start=1))
    for name, value in record.metrics.items():
        assert _scalars(found, f"metrics/{name}") == [(EPOCHS, value)]
    (session,) = (
        plugin
        for tag, plugin in found.PluginTagToContent("hparams").items()
        if tag.endswith("session_start_info")
    )
    assert b"recipe.lr" in session and b"network.options.width" in session


def test_a_killed_trial_goes_on_without_a_doubled_epoch(tmp_path: Path) -> None:
    (one,) = fakes.plan(0)

    class Killed(BaseException):
        pass

    def until_2(*arguments: Any, report: Any, **options: Any) -> Any:
        def told(line: dict[str, Any]) -> None:
            report(line)
            if line["epoch"] == 2:
                raise Killed

        return fakes.run(*arguments, report=told, **options)

    for run in (until_2, fakes.run):
        try:
            _run(tmp_path, one, run, tmp_path / "events")
        except Killed:
            assert _scalars(_read(tmp_path / "events", one), "curve/loss") == [(1, 1.0), (2, 0.5)]
    found = _read(tmp_path / "events", one)
    assert _scalars(found, "curve/loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3), (4, 0.25)]


def test_a_failed_trial_says_why_until_it_is_tried_again(tmp_path: Path) -> None:
    (one,) = fakes.plan(0)

    def raises(*_: Any, **__: Any) -> Any:
        raise RuntimeError("the module raises")

    _run(tmp_path, one, raises, tmp_path / "events")
    found = _read(tmp_path / "events", one)
    (event,) = found.Tensors("failed/text_summary")
    assert event.tensor_proto.string_val == [b"RuntimeError: the module raises"]
    _run(tmp_path, one, fakes.run, tmp_path / "events")
    assert _read(tmp_path / "events", one).Tensors("failed/text_summary") == []


def test_a_folder_that_cannot_be_written_is_one_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    stream = io.StringIO()
    outcome = execute(
        fakes.plan(0, 10),
        Store(tmp_path / "store"),
        fakes.profile(),
        data_root=tmp_path,
        progress=PlainProgress(stream),
        inline=True,
        tensorboard=tmp_path / "file" / "events",
        run=fakes.run,
    )
    assert len(outcome.done) == 2
    assert stream.getvalue().count("TensorBoard's files cannot be written there") == 1


def test_a_disk_that_fills_up_fails_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (one,) = fakes.plan(0)
    reports: list[dict[str, Any]] = []

    def fills(*arguments: Any, report: Any, **options: Any) -> Any:
        def told(line: dict[str, Any]) -> None:
            if line["epoch"] == 3:
                monkeypatch.setattr(RecordWriter, "write", full)
            report(line)

        return fakes.run(*arguments, report=told, **options)

    task = Task(one, str(tmp_path / "store"), tmp_path, tensorboard=tmp_path / "events")
    assert run_one(task, reports.append, run=fills).status == "done"
    warned = [line["epoch"] for line in reports if "No space left" in line.get("warning", "")]
    assert warned == [3, 4]
