"""Ctrl-C, SIGTERM and SIGUSR1 (SLURM's warning) as one wish to stop, noticed between two steps."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from types import FrameType
from typing import Any

_PR_SET_PDEATHSIG = 1  # of Linux's sys/prctl.h
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
ONE_WISH_SECONDS = 1.0  # a terminal, a shell and a job manager may each pass the same wish on
AT_ONCE = b"stopped at once; what is finished is kept, and the same command goes on\n"


class StopWish:
    """A context in which the signals set `asked` and call `on_first` once, instead of ending the process.

    A second wish, a second or more after the first, ends the process with 130 whatever it is doing, as kill -9 would.
    Ray Tune and `ray.init` install handlers of their own: call `install` again after they did.
    """

    def __init__(self, on_first: Callable[[str], None]) -> None:
        self.asked: str | None = None
        self._since = 0.0
        self._on_first = on_first
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopWish:
        if _in_main_thread():
            self._before = {s: signal.getsignal(s) for s in SIGNALS}
        self.install()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def install(self) -> None:
        """Take the signals (again). Python gives them to the main thread only; elsewhere nothing is done."""
        if _in_main_thread():
            for number in SIGNALS:
                signal.signal(number, self._handle)

    def _handle(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if self.asked is None:
            self.asked, self._since = signal.Signals(number).name, now
            self._on_first(self.asked)
        elif now - self._since > ONE_WISH_SECONDS:
            os.write(2, AT_ONCE)  # print may be what was interrupted
            os._exit(130)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def shield_resource_tracker() -> None:
    """Start multiprocessing's tracker deaf to SIGUSR1, which SLURM sends to every process of a step.

    It is deaf to the other two by itself; killed, it would lose track of semaphores and complain at the end.
    """
    if _in_main_thread():
        before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # ignored signals stay so in what is started
        try:
            resource_tracker.ensure_running()
        finally:
            signal.signal(signal.SIGUSR1, before)


@contextlib.contextmanager
def deaf_children() -> Iterator[None]:
    """Processes that start in here never hear the signals: a wish to stop is their parent's to answer, which then ends
    them. SLURM sends it to every process, and one that dies of it would look like one that its work has killed."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with(parent: int) -> None:
    """End this process when its parent is gone, killed without a word included. Linux sees to it even where native code
    holds the interpreter; elsewhere a thread watches."""
    import ctypes  # workers alone need it

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
