"""Who runs which trial: one small file a claim, alive while its heartbeat changes it.

Taken without locks, so that a folder on NFS and an object store serve alike: a candidate writes a ticket under a name
that nobody else can choose, then lists the tickets. It holds the trial only where no other live ticket is there; of
two that write at the same time at least one sees the other, and whoever sees another withdraws. That needs nothing
but a listing that shows what was written before it (POSIX, S3 since 2020).

No two clocks are compared. A ticket is dead when its process is gone from this very machine, when Ray says that the
process was lost (the same driver, an earlier attempt), or when its stamp has not changed while this process watched
it for `DEAD_SECONDS` of its own monotonic clock.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from harness.base.errors import StorageError
from harness.base.locks import process_start, this_machine
from harness.base.storage import Storage

FOLDER = "claims"
BEAT_SECONDS = 10.0
DEAD_SECONDS = 60.0
_TICKET = re.compile(r"([0-9a-z]+)\.([0-9a-f]{16})\.json")


@dataclass(frozen=True)
class Who:
    """A process that may hold claims. `driver` is one `harness run`, `attempt` how often it lost the trial before."""

    host: str
    pid: int
    started: str
    machine: str
    driver: str
    attempt: int = 0
    label: str = ""

    @property
    def text(self) -> str:
        return f"process {self.pid} on {self.host}"


def myself(driver: str, attempt: int = 0, label: str = "") -> Who:
    """This process."""
    pid = os.getpid()
    return Who(socket.gethostname(), pid, process_start(pid), this_machine(), driver, attempt, label)


@dataclass(frozen=True)
class Ticket:
    """A claim's file: its stamp, who wrote it (None where it is torn), what the trial last reported."""

    name: str
    trial: str
    stamp: str
    who: Who | None
    report: dict[str, Any]
    beat: int

    @property
    def gone(self) -> bool:
        """Whether its process ran on this machine and does no more."""
        who = self.who
        return who is not None and who.machine == this_machine() and process_start(who.pid) != who.started


class Claims:
    """The claims of one store, as watched by this process; keep the object as long as something is waited for."""

    def __init__(self, storage: Storage, dead_seconds: float = DEAD_SECONDS) -> None:
        self.storage, self.dead_seconds = storage, dead_seconds
        self._watched: dict[str, tuple[str, float]] = {}

    def tickets(self, trial: str | None = None) -> list[Ticket]:
        """All tickets, or those of one trial. Raises StorageError where the storage does not answer."""
        found = []
        for name, stamp in sorted(self.storage.listing(FOLDER).items()):
            match = _TICKET.fullmatch(name)
            if match and trial in (None, match[1]):
                with contextlib.suppress(FileNotFoundError):
                    found.append(self._read(f"{FOLDER}/{name}", match[1], stamp))
        return found

    def _read(self, name: str, trial: str, stamp: str) -> Ticket:
        content = self.storage.read(name)
        try:
            data = json.loads(content)
            return Ticket(name, trial, stamp, Who(**data["who"]), data["report"], data["beat"])
        except (ValueError, KeyError, TypeError):  # torn, or of another version: only watching tells
            return Ticket(name, trial, stamp, None, {}, 0)

    def is_dead(self, ticket: Ticket, me: Who | None = None) -> bool:
        who, now = ticket.who, time.monotonic()
        if ticket.gone:
            return True
        if who is not None and me is not None and who.driver == me.driver and who.attempt < me.attempt:
            return True
        stamp, since = self._watched.get(ticket.name, ("", now))
        if stamp != ticket.stamp:
            self._watched[ticket.name] = (ticket.stamp, now)
            return False
        return now - since > self.dead_seconds

    def holder(self, trial: str, me: Who | None = None, but: str = "") -> Ticket | None:
        """The live ticket of a trial, `but` one's own; None where it is free."""
        return next((t for t in self.tickets(trial) if t.name != but and not self.is_dead(t, me)), None)

    def take(self, trial: str, me: Who, carry: Callable[[], None] | None = None) -> Claim | None:
        """A claim whose heart beats until it is released; None where somebody else has the trial.

        `carry` is called with every beat. Raises StorageError where the ticket cannot be written.
        """
        there = self.tickets(trial)
        dead = [self.is_dead(ticket, me) for ticket in there]  # each of them is watched
        if not all(dead):
            return None
        for ticket in there:  # those of this listing: one that came meanwhile lives
            self.storage.delete(ticket.name)
        claim = Claim(self.storage, f"{FOLDER}/{trial}.{secrets.token_hex(8)}.json", me, carry)
        claim.write()
        if self.holder(trial, me, but=claim.name) is not None:
            self.storage.delete(claim.name)
            return None
        claim.start()
        return claim


class Claim:
    """A held claim. A storage that is away for a while costs beats and nothing else."""

    def __init__(self, storage: Storage, name: str, who: Who, carry: Callable[[], None] | None) -> None:
        self.storage, self.name, self.who = storage, name, who
        self.report: dict[str, Any] = {}
        self.progressed = time.monotonic()
        self._carry, self._beat, self._lost = carry, 0, False
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._live, name="claim", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def told(self, report: dict[str, Any]) -> None:
        """The trial's last report travels with the next beat."""
        self.report, self.progressed = report, time.monotonic()

    def held(self) -> bool:
        """False once another process took it over (this one was stopped, or cut off, for longer than it waits)."""
        if not self._lost and self.storage.stamp(self.name) is None:
            self._lost = True
        return not self._lost

    def write(self) -> None:
        data = {"who": asdict(self.who), "report": self.report, "beat": self._beat}
        self.storage.write(self.name, json.dumps(data).encode())

    def release(self) -> None:
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()
        with contextlib.suppress(StorageError):  # it dies by itself
            self.storage.delete(self.name)

    def _live(self) -> None:
        while not self._end.wait(BEAT_SECONDS):
            with contextlib.suppress(StorageError):
                if not self.held():
                    return
                self._beat += 1
                self.write()
                if self._carry is not None:
                    self._carry()
