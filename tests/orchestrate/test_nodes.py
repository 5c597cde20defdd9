"""A Ray cluster of three nodes on this machine, under kill -9 of a node and of the head; numbers stay what they are."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.experiment.load import ROOT
from harness.results import Store
from tests.orchestrate import fakes
from tests.orchestrate.driver import drive
from tests.orchestrate.nodes import Nodes

pytestmark = pytest.mark.slow
WAIT = 300
SEEDS = (fakes.OK, fakes.WAITS, fakes.WAITS + 10, fakes.OK + 10, fakes.OK + 20)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    found = Nodes(tmp_path, workers=2)
    try:
        found.start()
        yield found
    finally:
        found.end()


def _driver(nodes: Nodes, root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.orchestrate.driver", str(root / "store"), *map(str, SEEDS)],
        cwd=ROOT,
        env={**nodes.environment, "RAY_ADDRESS": nodes.address},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _waiting(root: Path, driver: subprocess.Popen[str]) -> dict[str, int]:
    """The start line of the trial that waits, once its first epoch is in its checkpoint."""
    checkpoint = Store(root / "store").checkpoint_dir(fakes.plan(fakes.WAITS)[0].id) / "last.json"
    end = time.monotonic() + WAIT
    while not checkpoint.exists():
        assert driver.poll() is None, driver.communicate()
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.1)
    return next(start for start in fakes.starts(root) if start["seed"] == fakes.WAITS)


def _undisturbed(store: Store) -> None:
    """Every trial is done, with the curve and the scores of one that nothing happened to."""
    for planned in fakes.plan(*SEEDS):
        record = store.record(planned.id)
        assert record.curve["loss"].tolist() == [1.0, 1 / 2, 1 / 3, 1 / 4]
        assert record.metrics["top1"] == 50.0 + planned.seed
    assert not store.failed()


def test_a_node_is_killed_in_mid_run(nodes: Nodes, tmp_path: Path) -> None:
    driver = _driver(nodes, tmp_path)
    worker = _waiting(tmp_path, driver)["pid"]
    nodes.kill_node_of(worker)
    end = time.monotonic() + WAIT
    # It notices its raylet's end by itself, and could go on until then.
    while Path(f"/proc/{worker}").exists():
        assert time.monotonic() < end, "the worker outlives its node"
        time.sleep(0.1)
    (tmp_path / "go").touch()
    _, said = driver.communicate(timeout=WAIT)
    assert driver.returncode == 0, said
    _undisturbed(Store(tmp_path / "store"))
    again = [start["from"] for start in fakes.starts(tmp_path) if start["seed"] == fakes.WAITS]
    assert again[0] == 0 and again[-1] >= 1, "on another node, from its checkpoint"


def test_the_head_is_killed_and_the_same_command_goes_on_elsewhere(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = _driver(nodes, tmp_path)
    _waiting(tmp_path, driver)
    nodes.kill_head()
    try:
        _, said = driver.communicate(timeout=WAIT)
    finally:
        driver.kill()
    assert driver.returncode not in (0, -signal.SIGKILL), said  # Ray itself ends the driver
    nodes.end()
    store = Store(tmp_path / "store")
    assert not store.failed(), "no trial is blamed for its cluster"
    monkeypatch.setenv("HARNESS_FAKE_DIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "go").touch()
    assert drive(store.root, list(SEEDS), inline=True) == 0
    _undisturbed(store)
