"""One holder at a time, with the kernel's lock and without it, and nobody waits for the dead."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest

from harness.base import locks
from harness.base.errors import StorageError
from harness.base.locks import HeldError, NoLocks, locked
from harness.experiment.load import ROOT

NO_LOCKS = [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP]
PREAMBLE = """
import errno, fcntl, os, pathlib, sys, warnings
from harness.base.locks import locked
warnings.simplefilter("ignore")
if sys.argv[1] == "none":
    def flock(*_): raise OSError(errno.ENOLCK, "No locks available")
    fcntl.flock = flock
path = pathlib.Path(sys.argv[2])
"""


@pytest.fixture(params=["kernel", "none"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the kernel's lock, and on a file system that has none."""
    if request.param == "none":
        _without_locks(monkeypatch, errno.ENOLCK)
    return str(request.param)


def _without_locks(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(locks, "_warned", set())


def _process(kind: str, path: Path, code: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PREAMBLE + code, kind, str(path)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


HOLD = """
with locked(path):
    print("held", flush=True)
    sys.stdin.read()
"""
COUNT = """
for _ in range(20):
    with locked(path):
        counter = path.with_name("counter")
        value = int(counter.read_text())
        counter.write_text(str(value + 1))
"""


@pytest.mark.filterwarnings("ignore::harness.base.locks.NoLocks")
def test_a_second_holder_is_refused_and_the_first_is_named(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / ".lock"
    with locked(path):
        refused = pytest.raises(HeldError, match=rf"process {os.getpid()} on {socket.gethostname()}")
        with refused as raised, locked(path, wait=False):
            pass
        assert "\n" not in raised.value.holder
    with locked(path, wait=False):
        pass
    assert [p.name for p in path.parent.iterdir()] == [".lock"]


@pytest.mark.filterwarnings("ignore::harness.base.locks.NoLocks")
def test_a_waiter_is_told_once_and_comes_next(kind: str, tmp_path: Path) -> None:
    path, told, order = tmp_path / ".lock", [], []

    def wait() -> None:
        with locked(path, on_wait=told.append):
            order.append("second")

    with locked(path):
        waiter = threading.Thread(target=wait)
        waiter.start()
        while not told:
            time.sleep(0.01)
        order.append("first")
    waiter.join(timeout=30)
    assert order == ["first", "second"]
    assert told == [f"process {os.getpid()} on {socket.gethostname()}"]


@pytest.mark.parametrize("how", ["kernel", "none"])
def test_no_two_processes_are_inside_at_once(how: str, tmp_path: Path) -> None:
    (tmp_path / "counter").write_text("0")
    processes = [_process(how, tmp_path / ".lock", COUNT) for _ in range(3)]
    assert [p.wait(timeout=120) for p in processes] == [0, 0, 0]
    assert (tmp_path / "counter").read_text() == "60"


@pytest.mark.filterwarnings("ignore::harness.base.locks.NoLocks")
def test_a_killed_holder_holds_nothing(kind: str, tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + HOLD, kind, str(path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(HeldError), locked(path, wait=False):
        pass
    holder.kill()
    holder.communicate()
    with locked(path, wait=False):
        pass


@pytest.mark.parametrize("number", NO_LOCKS)
def test_a_file_system_without_locks_warns_once_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    _without_locks(monkeypatch, number)
    expected = pytest.warns(NoLocks, match=rf"no locks \({errno.errorcode[number]}\).*\.lock\.held")
    with expected, locked(tmp_path / ".lock"):
        assert (tmp_path / ".lock.held").exists()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with locked(tmp_path / ".lock"):
            pass


@pytest.mark.filterwarnings("ignore::harness.base.locks.NoLocks")
def test_another_machines_file_is_not_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _without_locks(monkeypatch, errno.ENOLCK)
    (tmp_path / ".lock.held").write_text("process 1 on elsewhere\n1 17 another-boot:pid:[1] abcd")
    refused = pytest.raises(HeldError, match=rf"process 1 on elsewhere.*delete {tmp_path / '.lock.held'}")
    with refused, locked(tmp_path / ".lock", wait=False):
        pass


@pytest.mark.filterwarnings("ignore::harness.base.locks.NoLocks")
@pytest.mark.parametrize("text", ["", "process", "process 1 on x\nnot a number here"])
def test_a_foreign_or_torn_file_is_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    _without_locks(monkeypatch, errno.ENOLCK)
    (tmp_path / ".lock.held").write_text(text)
    with pytest.raises(HeldError, match="delete"), locked(tmp_path / ".lock", wait=False):
        pass


def test_a_folder_that_cannot_be_written_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"\.lock: cannot be written"), locked(tmp_path / "file" / ".lock"):
        pass
