"""Export to a real MLflow server of this machine, as its own client then sees it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.base.ports import free_port
from harness.cli.main import main
from harness.results import Store
from tests.factories import make_failed_record, make_record
from tests.orchestrate import fakes

mlflow = pytest.importorskip("mlflow")
pytestmark = pytest.mark.slow
START_SECONDS = 180.0  # it makes its database first; on a busy machine that takes a minute


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    places = ["--backend-store-uri", f"sqlite:///{folder}/runs.db", "--artifacts-destination", str(folder)]
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *places, "--port", str(port), "--workers", "1"],
            env={
                **os.environ,
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            },
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", process, folder / "log.txt")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(0.3)
        else:
            return
    pytest.fail(f"the MLflow server did not start: {log.read_text(errors='replace')[-2000:]}")


def _export(capsys: pytest.CaptureFixture[str], uri: str, store: Store, seeds: int = 3) -> dict[str, Any]:
    ask = ["ablation_a", "--seeds", str(seeds), "--tracking-uri", uri, "--results", str(store.root)]
    with pytest.raises(SystemExit) as ended:
        main(["export", "mlflow", *ask, "--json"])
    told = capsys.readouterr()
    assert (ended.value.code, told.err) == (0, "")  # MLflow would say where each run can be looked at
    found: dict[str, Any] = json.loads(told.out)["ablation_a"]
    return found


def test_a_trial_is_one_run_however_often_it_is_sent(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.results.baseline_roots", list)
    store, (done, failed, absent) = Store(tmp_path / "runs"), fakes.plan(0, 1, 2)
    record = make_record(done)
    store.write(record, done)
    store.write(make_failed_record(failed, "diverged: at step 12"), failed)

    told = _export(capsys, server, store)
    assert sorted(told["new"]) == sorted([done.id, failed.id])
    assert absent.id in told["no_record"]

    client = mlflow.MlflowClient(server)
    (experiment,) = client.search_experiments(filter_string="name = 'ablation_a/embedded'")
    runs = {run.data.tags["harness.trial"]: run for run in client.search_runs([experiment.experiment_id])}
    assert runs.keys() == {done.id, failed.id}
    run = runs[done.id]
    assert (run.info.status, run.info.run_name) == ("FINISHED", "DSA+I3D 4x4 · seed 0")
    assert run.data.params["recipe.lr"] == str(done.trial.recipe.lr)
    assert run.data.params["network.aggregation.name"] == "dsa"
    assert run.data.metrics["metrics/top1"] == pytest.approx(record.metrics["top1"])
    history = client.get_metric_history(run.info.run_id, "curve/loss")
    assert [(m.step, pytest.approx(m.value)) for m in sorted(history, key=lambda m: m.step)] == list(
        zip(record.curve["epoch"], record.curve["loss"], strict=True)
    )
    assert run.data.tags["harness.row"] == "DSA+I3D 4x4" and run.data.tags["harness.commit"].startswith("0123")
    assert run.info.end_time - run.info.start_time == 61_000, "as long as the trial took"
    bad = runs[failed.id]
    assert (bad.info.status, bad.data.tags["harness.reason"]) == ("FAILED", "diverged: at step 12")

    told = _export(capsys, server, store)
    assert (sorted(told["unchanged"]), told["new"]) == (sorted([done.id, failed.id]), [])

    store.write(make_record(failed), failed)  # tried again, and done
    client.delete_tag(run.info.run_id, "harness.sent")  # as if the first export had been cut off
    told = _export(capsys, server, store)
    assert (sorted(told["completed"]), told["new"]) == (sorted([done.id, failed.id]), [])
    again = client.get_run(bad.info.run_id)
    assert (again.info.status, again.data.tags["harness.reason"]) == ("FINISHED", "")
    assert len(client.get_metric_history(run.info.run_id, "curve/loss")) == len(record.curve), "nothing twice"
    assert len(client.search_runs([experiment.experiment_id])) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tracking-uri", "http://127.0.0.1:9"], "MLflow refuses or does not answer"),
        (["--tracking-uri", "http://me:secret@host"], "http://…@…: a key does not belong in an address; set MLFLOW_TRACKING_USERNAME"),
        ([], "--tracking-uri http://host:5000"),
    ],
)
def test_a_server_that_is_not_there_is_one_message(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(SystemExit) as ended:
        main(["export", "mlflow", "ablation_a", *words])
    told = capsys.readouterr()
    assert (ended.value.code, told.out) == (2, "")
    assert message in told.err and "Traceback" not in told.err and "secret" not in told.err
