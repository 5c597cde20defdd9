"""A wish to stop: heard once, and a second one ends a process whose cleaning up hangs."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from harness.base.signals import ONE_WISH_SECONDS
from harness.experiment.load import ROOT

HANGS = """
import time
from harness.base.signals import StopWish
with StopWish(lambda name: print(name, flush=True)):
    print("there", flush=True)
    while True:
        time.sleep(0.01)
"""


def test_a_second_wish_ends_at_once_and_a_doubled_one_does_not() -> None:
    """A shell and its job both pass a signal on: two within a moment are one wish."""
    with subprocess.Popen(
        [sys.executable, "-c", HANGS],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None and process.stderr is not None
            assert process.stdout.readline() == "there\n"
            process.send_signal(signal.SIGUSR1)
            assert process.stdout.readline() == "SIGUSR1\n"
            process.send_signal(signal.SIGINT)
            with pytest.raises(subprocess.TimeoutExpired):  # the same wish, heard twice
                process.wait(1.5 * ONE_WISH_SECONDS)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
            assert "stopped at once" in process.stderr.read()
        finally:
            process.kill()
