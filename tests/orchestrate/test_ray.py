"""The Ray executor under kill -9, exceptions and Ctrl-C, in waves of two or three trials.

Few Ray starts: each costs about ten seconds.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from harness.base.errors import UserError
from harness.experiment.load import ROOT
from harness.results import Store
from tests.orchestrate import fakes
from tests.orchestrate.driver import drive

pytestmark = pytest.mark.slow
WAIT = 300  # seconds; a quiet machine needs a tenth


class Drivers:
    """Drivers in process groups of their own, as a terminal would give them; none outlives its test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.running: list[subprocess.Popen[str]] = []

    def start(self, *seeds: int) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.orchestrate.driver", str(self.root / "store"), *map(str, seeds)],
            cwd=ROOT,
            env={**os.environ, "HARNESS_FAKE_DIR": str(self.root), "HOME": str(self.root)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.running.append(process)
        return process

    def end(self) -> None:
        for process in self.running:
            process.kill()
            process.communicate()


@pytest.fixture
def drivers(tmp_path: Path) -> Iterator[Drivers]:
    found = Drivers(tmp_path)
    yield found
    found.end()


def _until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + WAIT
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str, str]:
    """One run of a good, a raising, a once killed, an always killed and an escaping trial."""
    root = tmp_path_factory.mktemp("mixed")
    found = Drivers(root)
    process = found.start(fakes.OK, fakes.RAISES, fakes.KILLED_ONCE, fakes.KILLED_ALWAYS, fakes.ESCAPES)
    try:
        out, err = process.communicate(timeout=WAIT)
    finally:
        found.end()
    return root, process.returncode, out, err


def _id(seed: int) -> str:
    return fakes.plan(seed)[0].id


def test_good_trials_are_done_and_bad_ones_failed_with_their_reason(
    mixed: tuple[Path, int, str, str],
) -> None:
    root, code, _, _ = mixed
    store = Store(root / "store")
    assert code == 1
    assert store.done() == {_id(fakes.OK), _id(fakes.KILLED_ONCE)}
    assert store.failed() == {
        _id(fakes.RAISES): "RuntimeError: the module raises",
        _id(fakes.KILLED_ALWAYS): "its process was lost 2 times (killed, or out of memory)",
        _id(fakes.ESCAPES): "ImportError: the code of the trial cannot be imported",
    }


def test_only_lost_processes_are_tried_again(mixed: tuple[Path, int, str, str]) -> None:
    tried = pd.DataFrame(fakes.starts(mixed[0])).groupby("seed").size().to_dict()
    assert tried == {
        fakes.OK: 1, fakes.RAISES: 1, fakes.KILLED_ONCE: 2, fakes.KILLED_ALWAYS: 2, fakes.ESCAPES: 1
    }  # fmt: skip


def test_a_killed_trial_goes_on_from_its_checkpoint_to_the_same_numbers(
    mixed: tuple[Path, int, str, str],
) -> None:
    root = mixed[0]
    froms = [start["from"] for start in fakes.starts(root) if start["seed"] == fakes.KILLED_ONCE]
    assert froms == [0, 2]
    record = Store(root / "store").record(_id(fakes.KILLED_ONCE))
    assert record.provenance["retries"] == 1
    assert record.curve["epoch"].tolist() == [1, 2, 3, 4]


def test_settled_trials_leave_no_checkpoint_but_lost_ones_do(mixed: tuple[Path, int, str, str]) -> None:
    left = {path.name for path in (mixed[0] / "store" / "checkpoints").iterdir()}
    assert left == {_id(fakes.KILLED_ALWAYS)}


def test_nothing_of_a_wave_stays_in_the_driver(mixed: tuple[Path, int, str, str]) -> None:
    """Tune keeps every trial of a run of it, some 40 kB each; a run for each wave, and it is dropped."""
    assert (mixed[0] / "waves.txt").read_text() == "5 0\n2 0\n", "trials left and kept as each wave begins"


def test_the_screen_shows_our_lines_and_no_chatter(mixed: tuple[Path, int, str, str]) -> None:
    root, _, out, err = mixed
    assert out == ""
    first, *events, last = err.splitlines()
    assert first == "5 trials to run, 0 settled before"
    assert last.startswith("ran for")
    assert all(line.startswith("[") and " s  " in line for line in events), err
    assert not (root / ".ray").exists(), "ray left its token in the home folder"


def test_killed_driver_second_driver_and_interrupt(
    drivers: Drivers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9 of the driver, a rerun that Ctrl-C ends, a last run: every number as if nothing had happened."""
    monkeypatch.setenv("HARNESS_FAKE_DIR", str(tmp_path))
    seeds = (fakes.OK, fakes.WAITS, fakes.WAITS + 10)
    store = Store(tmp_path / "store")
    checkpoint = store.checkpoint_dir(_id(fakes.WAITS)) / "last.json"

    first = drivers.start(*seeds)
    _until(lambda: checkpoint.exists() and bool(store.done()), first)
    assert drive(store.root, [fakes.OK + 20], inline=True) == 0, "a second driver shares the store"
    first.kill()
    first.communicate()
    assert store.done() == {_id(fakes.OK), _id(fakes.OK + 20)}

    second = drivers.start(*seeds)
    _until(lambda: any(start["from"] == 1 for start in fakes.starts(tmp_path)), second)  # from its checkpoint
    os.killpg(second.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    _, err = second.communicate(timeout=WAIT)
    assert second.returncode == 130
    assert "stopping (SIGINT): finished trials are kept" in err

    (tmp_path / "go").touch()
    assert drive(tmp_path / "store", list(seeds), inline=True) == 0
    for seed in seeds:
        assert store.record(_id(seed)).curve["loss"].tolist() == [1.0, 1 / 2, 1 / 3, 1 / 4]
    assert not any((tmp_path / "store" / "checkpoints").iterdir())


def test_two_drivers_on_one_experiment_run_no_trial_twice(drivers: Drivers, tmp_path: Path) -> None:
    """Both through Ray, started at once; each waits for what the other runs, and both end with everything done."""
    seeds = [*range(0, 60, 10)]
    both = [drivers.start(*seeds), drivers.start(*reversed(seeds))]
    for process in both:
        _, err = process.communicate(timeout=WAIT)
        assert process.returncode == 0, err
    assert sorted(start["seed"] for start in fakes.starts(tmp_path)) == seeds
    assert Store(tmp_path / "store").done() == {_id(seed) for seed in seeds}


def test_a_hung_trial_is_ended_tried_again_and_recorded(tmp_path: Path) -> None:
    """It reports one epoch and then waits for ever: its process ends itself after two seconds without progress."""
    code = (
        "from pathlib import Path; from harness.orchestrate import execute; "
        "from harness.orchestrate.cluster import Cluster; from harness.orchestrate.screen import PlainProgress; "
        "from harness.results import Store; from tests.orchestrate import fakes; "
        f"root = Path({str(tmp_path)!r}); "
        "print(execute(fakes.plan(fakes.WAITS, 0), Store(root / 'store'), fakes.profile(), data_root=root, "
        "progress=PlainProgress(), cluster=Cluster(hung_after=2.0), run=fakes.run))"
    )
    environment = {**os.environ, "HARNESS_FAKE_DIR": str(tmp_path), "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True, timeout=WAIT)
    store = Store(tmp_path / "store")
    assert store.done() == {_id(0)}
    assert store.failed() == {_id(fakes.WAITS): "its process was lost 2 times (no progress for 2 s)"}
    assert [start["from"] for start in fakes.starts(tmp_path) if start["seed"] == fakes.WAITS] == [0, 1]


def test_a_profile_that_asks_for_more_than_there_is_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tune would wait for ever."""
    import ray

    from harness.orchestrate.resources import check_resources

    resources = fakes.profile().resources.model_copy(update={"cpus": 3})
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 2.0}}])
    check_resources(fakes.profile())
    with pytest.raises(UserError, match=r"needs 3 CPU on one machine, but Ray has 2 CPU here.*RAY_ADDRESS"):
        check_resources(fakes.profile().model_copy(update={"resources": resources}))
