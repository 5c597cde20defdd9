"""`harness logs`, `harness retry`, `harness clean`: look after trials that run, failed, or left something behind."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.base.errors import UserError
from harness.base.text import duration
from harness.cli.common import (
    DEFAULT_PROFILE,
    Data,
    Experiments,
    Json,
    ProfileName,
    Results,
    Seeds,
    Variants,
    make_plan,
    own_store,
    print_json,
)
from harness.cli.inspect import find_trial

if TYPE_CHECKING:
    from harness.results import Store


def running(store: Store) -> list[dict[str, Any]]:
    """Who runs what, by the claims: trial, label, host, pid, heartbeat's age in seconds, the last report.

    The age compares this machine's clock with the storage's and is for reading only; `dead` is known for processes of
    this machine, elsewhere None.
    """
    from harness.base.locks import this_machine
    from harness.orchestrate.claims import Claims

    lines = []
    for ticket in Claims(store.storage).tickets():
        who, written = ticket.who, written_at(ticket.stamp)
        local = who is not None and who.machine == this_machine()
        lines.append({
            "trial": ticket.trial,
            "label": who.label if who else "",
            "host": who.host if who else "unknown",
            "pid": who.pid if who else None,
            "heartbeat_seconds": round(max(0.0, time.time() - written), 1),
            "dead": ticket.gone if local else None,
            "report": ticket.report,
        })  # fmt: skip
    return lines


def print_running(lines: list[dict[str, Any]]) -> None:
    """A line a claim: running, lost (its process is gone), silent (no heartbeat for longer than others wait)."""
    from harness.orchestrate.claims import DEAD_SECONDS

    for line in lines:
        report, silence = line["report"], duration(line["heartbeat_seconds"])
        at = (
            f"{report['state']} epoch {report['epoch']}/{report['epochs']}"
            if "epoch" in report
            else "starting"
        )
        left = report.get("seconds_left")
        ahead = f", about {duration(left)} left" if left else ""
        who = f"process {line['pid']} on {line['host']}" if line["pid"] else "an unknown process"
        name = f"{line['trial']} {line['label']}: {at}"
        if line["dead"]:
            print(f"lost    {name}; {who} is gone; the next run goes on from its checkpoint")
        elif line["heartbeat_seconds"] > DEAD_SECONDS:
            print(f"silent  {name}; {who}, no heartbeat for {silence}; the next run takes it over")
        else:
            print(f"running {name}{ahead}; {who}, heartbeat {silence} ago")


def logs(
    trial: Annotated[str, typer.Argument(metavar="TRIAL", help="A trial's id or its first digits.")],
    *,
    results: Results = None,
    json: Json = False,
) -> None:
    """Print what a trial told: its epochs (of one that runs the last), who runs it, the traceback where it failed.

    A trial of yours, else one of the shipped records (results/baselines).
    """
    from harness.orchestrate.progress import BESIDE_CURVE
    from harness.results import baseline_roots

    own = own_store(results)
    running_now = [line for line in running(own) if line["trial"].startswith(trial)]
    store, found = find_trial(trial, [own.root, *baseline_roots()], {line["trial"] for line in running_now})
    facts: dict[str, Any] = {"trial": found, "store": str(store.root), "running": running_now, "status": None}
    if found in store.ids():
        record = store.record(found, predictions=False)
        facts |= {
            "status": record.status,
            "reason": record.reason,
            "traceback": record.traceback,
            "epochs": record.curve.to_dict("records"),
        }
    if json:
        print_json(facts)
        return
    print_running(running_now)
    last = [line["report"] for line in running_now if "loss" in line["report"]]
    for line in facts.get("epochs", []) or last:
        numbers = {name: value for name, value in line.items() if name not in BESIDE_CURVE}
        print("  ".join(f"{name} {value:.4g}" for name, value in numbers.items()))
    if facts["status"] is not None:
        print(f"{found} {facts['status']}{': ' + facts['reason'] if facts['reason'] else ''}")
    if facts.get("traceback"):
        print(facts["traceback"])


def retry(
    experiments: Experiments,
    *,
    failed: Annotated[bool, typer.Option("--failed", help="Those that failed; has to be said.")] = False,
    profile: ProfileName = DEFAULT_PROFILE,
    seeds: Seeds = None,
    variant: Variants = None,
    results: Results = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Forget the failures of an experiment, so that the next run (or job array) tries those trials again."""
    if not failed:
        raise UserError("retry: say `--failed`; trials that are done are never run again")
    store = own_store(results)
    known = store.settled()
    again = sorted(
        {p.id for p in make_plan(experiments, profile, seeds, variant, data).trials} & known.failed.keys()
    )
    for trial in again:
        store.storage.delete(f"failed/{trial}.parquet")
    if json:
        print_json({"forgotten": {trial: known.failed[trial] for trial in again}})
        return
    for trial in again:
        print(f"forgotten {trial}: {known.failed[trial]}")
    if again:
        count = "1 failure" if len(again) == 1 else f"{len(again)} failures"
        print(f"{count} forgotten; the same `harness run` tries again, from a checkpoint where there is one")
    else:
        print("nothing to retry: no trial of this plan has failed")


def clean(
    *,
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove it; without it, only say what would go.")
    ] = False,
    results: Results = None,
    json: Json = False,
) -> None:
    """Say what dead runs left behind, and with --yes remove it. Never a finished record.

    Claims of processes that are gone from this machine, or silent for an hour (so that a clock that is wrong by minutes
    kills nothing); temporary files an hour old; checkpoints of trials that are done; folders of dead drivers in /tmp.
    """
    import shutil

    from harness.orchestrate.ray_start import dead_folders, remove_dead_folders

    store = own_store(results)
    files, folders = _litter(store)
    folders |= dict.fromkeys(dead_folders(), "of a driver that is gone")
    if yes:
        for name in files:
            store.storage.delete(name)
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        remove_dead_folders()
    if json:
        print_json({"removed": yes, "files": files, "folders": folders})
        return
    for place, why in {**{store.storage.place(name): why for name, why in files.items()}, **folders}.items():
        print(f"{'removed' if yes else 'would remove'} {place}: {why}")
    if not files and not folders:
        print("nothing to remove")
    elif not yes:
        print("give --yes to remove this; finished records are never touched")


def _litter(store: Store) -> tuple[dict[str, str], dict[Path, str]]:
    """Names in the storage, and folders of checkpoints, that nobody needs, each with the reason."""
    from harness.base.files import LEFTOVER_SECONDS, TEMPORARY
    from harness.orchestrate.claims import Claims
    from harness.results.lock import FOLDERS

    now, alive, files = time.time(), set(), {}
    for ticket in Claims(store.storage).tickets():
        silent = now - written_at(ticket.stamp)
        if ticket.gone or silent > LEFTOVER_SECONDS:
            why = "whose process is gone" if ticket.gone else f"silent for {duration(silent)}"
            files[ticket.name] = f"a claim {why}"
        else:
            alive.add(ticket.trial)
    for folder in (*FOLDERS, "claims"):
        for name, stamp in store.storage.listing(folder).items():
            old = now - written_at(stamp) > LEFTOVER_SECONDS
            if old and name.startswith(".") and name.endswith(TEMPORARY):
                files[f"{folder}/{name}".lstrip("/")] = "half written"
    done = store.done() - alive
    checkpoints = store.local / "checkpoints"
    there = sorted(checkpoints.iterdir()) if checkpoints.is_dir() else []
    return files, {folder: "a checkpoint of a trial that is done" for folder in there if folder.name in done}


def written_at(stamp: str) -> float:
    """When a file was written, in seconds since 1970 by the storage's clock."""
    return int(stamp.rpartition("-")[2]) / 1e9
