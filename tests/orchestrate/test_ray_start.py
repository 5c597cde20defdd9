"""A Ray to run on: folders, limits, addresses; each failure one message with the remedy."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.base.errors import UserError
from harness.base.signals import StopWish
from harness.experiment.load import ROOT
from harness.orchestrate import ray_start
from harness.orchestrate.resources import check_resources, slots
from tests.orchestrate import fakes


def _say(_: str) -> None:
    pass


@pytest.fixture
def places(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """Three short folders that stand for /tmp, /var/tmp and /dev/shm; TMPDIR is the first."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="h") as base:
        found = [Path(base) / name for name in "abc"]
        for folder in found:
            folder.mkdir()
        monkeypatch.setattr(ray_start, "SHORT_FOLDERS", tuple(map(str, found)))
        monkeypatch.setattr(ray_start, "LONGEST_FOLDER", 60)  # these are longer than /tmp itself
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        monkeypatch.setattr(tempfile, "tempdir", str(found[0]))
        yield found


def _without_room(monkeypatch: pytest.MonkeyPatch, *full: Path) -> None:
    whole = ray_start._has_room
    monkeypatch.setattr(ray_start, "_has_room", lambda folder: folder not in full and whole(folder))


def test_a_run_has_a_folder_below_tmpdir(places: list[Path]) -> None:
    folder, target = ray_start.scratch_folder()
    assert folder == target and folder.parent == places[0] and folder.is_dir()
    assert ray_start.NAME.fullmatch(folder.name)


def test_the_longest_name_of_a_socket_fits_below_tmp() -> None:
    """As Ray makes it, with process numbers and starts of a machine that has been up for years."""
    name = "hray-4194303-99999999999-00000000"
    assert ray_start.NAME.fullmatch(name)
    assert all(ray_start._fits(Path(folder), name) for folder in ray_start.SHORT_FOLDERS)


def test_a_full_or_read_only_folder_is_passed_over(
    places: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_room(monkeypatch, *places[:2])
    folder, target = ray_start.scratch_folder()
    assert folder == target and folder.parent == places[2]


def test_a_long_tmpdir_is_reached_by_a_short_link(
    places: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    long = places[0] / ("long" * 12)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    _without_room(monkeypatch, *places)
    folder, target = ray_start.scratch_folder()
    assert folder.parent == places[0] and folder.is_symlink() and folder.resolve() == target.resolve()
    assert target.parent == long and target.is_dir()


def test_without_any_folder_the_message_says_what_to_do(
    places: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_room(monkeypatch, *places)
    with pytest.raises(UserError, match=r"none can be written among .*name one with TMPDIR, or .*--inline"):
        ray_start.scratch_folder()


def test_a_file_system_that_is_full_has_no_room(tmp_path: Path) -> None:
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", tmp_path], capture_output=True, check=False
    ).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        assert not ray_start._has_room(tmp_path)
        subprocess.run(["mount", "-o", "remount,ro,size=1g", tmp_path], check=True)
        assert not ray_start._has_room(tmp_path)
        subprocess.run(["mount", "-o", "remount,rw,size=1g", tmp_path], check=True)
        assert ray_start._has_room(tmp_path)
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_folders_of_dead_drivers_are_removed_and_no_others(places: list[Path]) -> None:
    code = (
        "import tempfile; from pathlib import Path; from harness.orchestrate import ray_start; "
        "ray_start.LONGEST_FOLDER = 60; "
        f"ray_start.SHORT_FOLDERS = ({str(places[0])!r},); tempfile.tempdir = {str(places[0])!r}; "
        "folder, _ = ray_start.scratch_folder(); (folder / 'session').write_text(''); print(folder)"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    dead = Path(said.stdout.strip())
    mine, _ = ray_start.scratch_folder()
    foreign = places[0] / "hray-1-1-000000aa"  # of another machine: this one cannot tell whether it lives
    foreign.mkdir()
    assert dead.exists()
    ray_start.remove_dead_folders()
    assert not dead.exists()
    assert mine.exists() and foreign.exists()


def test_a_limit_on_open_files_is_raised_or_named() -> None:
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (40, int(sys.argv[1]))); "
        "from harness.orchestrate.ray_start import _allow_open_files; _allow_open_files(); "
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    run = [sys.executable, "-c", code]
    raised = subprocess.run([*run, str(hard)], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(raised.stdout) >= 256
    refused = subprocess.run([*run, "40"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "this shell allows 40 (`ulimit -n`)" in refused.stderr


@pytest.mark.slow
@pytest.mark.parametrize("address", ["auto", "127.0.0.1:1"])
def test_an_address_without_a_cluster_is_one_message(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))  # whatever cluster this machine may run is not found
    with (
        StopWish(_say) as stop,
        pytest.raises(UserError, match=rf"RAY_ADDRESS={address}: no Ray cluster answers.*unset RAY_ADDRESS"),
        ray_start.running_ray(fakes.profile(), stop),
    ):
        pass


def test_a_wish_to_stop_is_heard_while_a_cluster_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_start, "_PROBE", "import time; time.sleep(600)")
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    begun = time.monotonic()
    with StopWish(_say) as stop:
        os.kill(os.getpid(), 15)
        with pytest.raises(KeyboardInterrupt), ray_start.running_ray(fakes.profile(), stop):
            pass
    assert time.monotonic() - begun < 60, "it waited for the probe"


def test_a_cluster_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_start, "_PROBE", "import time; time.sleep(600)")
    monkeypatch.setattr(ray_start, "PROBE_SECONDS", 0.3)
    with (
        StopWish(_say) as stop,
        pytest.raises(UserError, match=r"10.0.0.1:6379: no Ray cluster answers there"),
    ):
        ray_start._probe("10.0.0.1:6379", stop)


def test_whatever_ray_raises_at_its_start_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    def refuses(**_: object) -> None:
        raise RuntimeError("Failed to start GCS.\nA second line")

    monkeypatch.setattr(ray, "init", refuses)
    with pytest.raises(
        UserError, match=r"^Ray could not be started on this machine \(Failed to start GCS.\); .*--inline"
    ):
        ray_start._init("local", tmp_path, {})


def _nodes(monkeypatch: pytest.MonkeyPatch, *nodes: dict[str, float], dead: int = 0) -> None:
    import ray

    found = [{"Alive": number >= dead, "Resources": node} for number, node in enumerate(nodes)]
    monkeypatch.setattr(ray, "nodes", lambda: found)


def _needing(cpus: float, gpus: float) -> object:
    profile = fakes.profile()
    resources = profile.resources.model_copy(update={"cpus": cpus, "gpus": gpus})
    return profile.model_copy(update={"resources": resources})


def test_a_trial_must_fit_on_one_machine_not_on_their_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    _nodes(monkeypatch, {"CPU": 1.0}, {"CPU": 1.0})
    check_resources(_needing(1, 0))  # type: ignore[arg-type]
    with pytest.raises(
        UserError, match=r"needs 2 CPU on one machine, but Ray has 1 CPU here \(the largest of 2"
    ):
        check_resources(_needing(2, 0))  # type: ignore[arg-type]
    _nodes(monkeypatch, {"CPU": 8.0}, {"CPU": 2.0, "GPU": 1.0})
    with pytest.raises(UserError, match=r"needs 4 CPU, 1 GPU on one machine, but Ray has 2 CPU, 1 GPU here"):
        check_resources(_needing(4, 1))  # type: ignore[arg-type]
    _nodes(monkeypatch, {"CPU": 8.0}, {"CPU": 1.0}, dead=1)
    with pytest.raises(UserError, match="needs 4 CPU"):
        check_resources(_needing(4, 0))  # type: ignore[arg-type]


def test_trials_that_run_at_once_are_counted_machine_by_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    _nodes(monkeypatch, {"CPU": 8.0, "GPU": 1.0}, {"CPU": 3.0, "GPU": 4.0}, {"CPU": 64.0})
    assert slots(_needing(2, 0)) == 4 + 1 + 32  # type: ignore[arg-type]
    assert slots(_needing(1, 0.5)) == 2 + 3  # type: ignore[arg-type]


class _Listener:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.progress = self

    def say(self, text: str) -> None:
        self.said.append(text)

    def started(self, trial_id: str) -> None:
        pass


class _Trial:
    def __init__(self) -> None:
        self.config = {"one": {"id": "abc"}}


def test_a_minute_without_a_running_trial_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.orchestrate.wave import QUIET_SECONDS, Watcher

    listener, now = _Listener(), [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    watcher = Watcher(listener, StopWish(_say), "2 CPU")  # type: ignore[arg-type]
    watcher.on_step_begin(0, [])
    assert listener.said == []
    now[0] = QUIET_SECONDS + 1
    for _ in range(3):
        watcher.on_step_begin(0, [])
    (told,) = listener.said
    assert told.startswith("nothing has started for 60 s: a trial waits for 2 CPU on one machine")
    watcher.on_trial_start(0, [], _Trial())
    now[0] = 1000.0
    watcher.on_step_begin(0, [])
    assert len(listener.said) == 1, "a trial that runs long is no wait"
