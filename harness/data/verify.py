"""`harness data verify`: every video looked at in worker processes that can be killed, with progress and resume."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path

from harness.base.signals import deaf_children, end_with
from harness.data.manifest import BROKEN, UNTRIED, Entry, Manifest, is_current, stamp

Examine = Callable[[str, Path, str, bool, bool], Iterator[Entry]]


@dataclass(frozen=True)
class Task:
    """One video to look at. name: its path below the root, as the manifest knows it."""

    video_id: str
    path: Path
    name: str


START_SECONDS = 60.0  # more, for a process to start and import


@dataclass(frozen=True)
class Options:
    """How videos are looked at.

    seconds: the most that one stage of one video may take. retry_broken: look again at what was found broken, though
    the file is the same (a permission, a disk, the time limit).
    """

    try_decord: bool = True
    every_frame: bool = False
    seconds: float = 120
    workers: int = 1
    retry_broken: bool = False


def verify(
    manifest: Manifest,
    tasks: Sequence[Task],
    options: Options,
    progress: Callable[[str, int, int], None] | None = None,
    examine: Examine | None = None,
) -> None:
    """Look at every video that the manifest does not yet know as it is, and save the manifest.

    Broken videos are entries with a reason, never an exception; one that hangs or crashes its process as well.
    """
    open_tasks = [task for task in tasks if not _known(manifest.entries.get(task.name), task, options)]
    done = len(tasks) - len(open_tasks)
    tell = progress or (lambda *_: None)
    tell("verify", done, len(tasks))
    for entry in _examined(open_tasks, options, examine):
        manifest.note(entry)
        done += 1
        tell("verify", done, len(tasks))
    if open_tasks or not manifest.file.is_file():
        manifest.save(task.name for task in tasks)


def _known(entry: Entry | None, task: Task, options: Options) -> bool:
    if entry is None or not is_current(entry, task.path):
        return False
    if entry.status == BROKEN:
        return not options.retry_broken
    if options.every_frame and not entry.whole:
        return False
    return not options.try_decord or entry.decord != UNTRIED or entry.decoder == "frames"


def _examined(tasks: Sequence[Task], options: Options, examine: Examine | None) -> Iterator[Entry]:
    """Entries in the order in which they come. One worker a core, each replaced when it is killed or dies."""
    waiting = list(reversed(tasks))
    workers = [_Worker(examine) for _ in range(min(options.workers, len(tasks)))]
    try:
        while waiting or any(worker.task for worker in workers):
            for worker in workers:
                if worker.task is None and waiting:
                    worker.give(waiting.pop(), options)
            busy = [worker for worker in workers if worker.task]
            wait(
                [worker.pipe for worker in busy],
                timeout=max(0.0, min(w.deadline for w in busy) - time.monotonic()),
            )
            for worker in busy:
                entry = worker.answer(options)
                if entry is not None:
                    yield entry
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    """A process that looks at one video after another, and how long the present one may still take."""

    def __init__(self, examine: Examine | None) -> None:
        self._examine = examine
        self.task: Task | None = None
        self.deadline = 0.0
        self._partial: Entry | None = None
        self._start()

    def _start(self) -> None:
        # Spawned, not forked: the caller may hold threads (Ray, torch), and decord deadlocks in a forked child.
        context = multiprocessing.get_context("spawn")
        self.pipe: Connection
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._examine, os.getpid()), daemon=True)
        with deaf_children():
            self._process.start()
        theirs.close()

    def give(self, task: Task, options: Options) -> None:
        self.task, self._partial = task, None
        # Until it says that it has begun.
        self.deadline = time.monotonic() + options.seconds + START_SECONDS
        self.pipe.send((task, options.try_decord, options.every_frame))

    def answer(self, options: Options) -> Entry | None:
        """The finished entry of the present task, or None while it goes on."""
        assert self.task is not None
        try:
            while self.pipe.poll():
                kind, content = self.pipe.recv()
                if kind == "done":
                    return self._finish(self._partial or self._failed("nothing was found out"))
                if kind == "error":
                    return self._replace(content)
                if kind == "part":
                    self._partial = content
                self.deadline = time.monotonic() + options.seconds
        except (EOFError, OSError):
            self._process.join()
            return self._replace(f"its process died ({_exit_text(self._process.exitcode)})")
        if time.monotonic() >= self.deadline:
            return self._replace(f"no answer within {options.seconds:g} s")
        return None

    def _replace(self, reason: str) -> Entry:
        """End the process; what is known already stays: only decord's verdict is then missing."""
        self.end()
        entry = replace(self._partial, decord=reason) if self._partial else self._failed(reason)
        self._start()
        return self._finish(entry)

    def _failed(self, reason: str) -> Entry:
        assert self.task is not None
        size, modified = stamp(self.task.path)
        return Entry(self.task.video_id, self.task.name, size, modified, BROKEN, reason)

    def _finish(self, entry: Entry) -> Entry:
        self.task = self._partial = None
        return entry

    def end(self) -> None:
        """Kill: a decoder that spins in native code hears nothing else."""
        self._process.kill()
        self._process.join()
        self.pipe.close()


def _exit_text(code: int | None) -> str:
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"exit code {code}"


def _serve(pipe: Connection, examine: Examine | None, parent: int) -> None:
    """What a worker does: tasks in, ('begun', None), ('part', entry) and ('done', None) out, until the pipe closes."""
    end_with(parent)
    look = examine or _examiner()
    while True:
        try:
            task, try_decord, every_frame = pipe.recv()
        except EOFError:
            return
        pipe.send(("begun", None))
        try:
            for entry in look(task.video_id, task.path, task.name, try_decord, every_frame):
                pipe.send(("part", entry))
            pipe.send(("done", None))
        except Exception as error:  # a bug in here must name the video, not end the whole check
            pipe.send(("error", f"{type(error).__name__}: {error}"))


def _examiner() -> Examine:
    from harness.data.examine import examine  # the decoders are loaded in the workers alone

    return examine


def default_workers() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
