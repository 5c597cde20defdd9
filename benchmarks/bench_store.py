"""What a store of many finished trials costs: every command that reads it, 50 writers at once, and the parts.

    python benchmarks/bench_store.py [RECORDS] [--keep FOLDER] [--bucket]

Wanted with 20,000 records: each command under 5 s from the shell, and no record of the writers lost or doubled. The
records are the shipped ones and one of their rows under other ids, five seeds of each of many learning rates.
`--bucket`: the same in a local S3 server (moto); take 2,000.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness.base.files import cache_root
from harness.base.storage import LocalStorage, Storage
from harness.experiment.load import BASELINES, ROOT
from harness.results import Store, load
from harness.results.files import parquet_bytes, read_table
from harness.results.index import NAME, listing
from tests.drills.bucket import ACCESS, served
from tests.factories import make_record
from tests.orchestrate import fakes
from tests.results.writer import write_all

SHIPPED = Store(BASELINES / "embedded")
PARTS = ("curves", "predictions", "answers", "trials")
WRITERS, EACH = 50, 4
A, B = "DSA+I3D 4x4", "TSN+I3D 4x4"


def make(storage: Storage, count: int) -> None:
    """The shipped records, and more until there are `count`; those have curves and predictions without content."""
    shipped, put = sorted(SHIPPED.ids()), storage.write
    if isinstance(storage, LocalStorage):  # without a flush of each of 60,000 files
        put = partial(_put, storage.root)
    for part in PARTS:
        for trial in shipped:
            put(f"{part}/{trial}.parquet", SHIPPED.storage.read(f"{part}/{trial}.parquet"))
    row = read_table(SHIPPED.storage, f"trials/{shipped[0]}.parquet")
    place = {name: row.schema.get_field_index(name) for name in ("id", "seed", "config")}
    config = json.loads(row["config"][0].as_py())
    lr = config["recipe"]["lr"]
    for i in range(count - len(shipped)):
        name = hashlib.sha256(str(i).encode()).hexdigest()[:12]
        config["seed"], config["recipe"]["lr"] = i % 5, lr * (1 + i // 5 * 1e-6)
        own = row
        for column, value in (("id", name), ("seed", i % 5), ("config", json.dumps(config))):
            own = own.set_column(place[column], column, pa.array([value]))
        for part in PARTS[:2]:
            put(f"{part}/{name}.parquet", b"")
        put(f"trials/{name}.parquet", parquet_bytes(own))


def _put(root: Path, name: str, content: bytes) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(content)


def commands(trial: str) -> list[list[str]]:
    """Every command that reads the store, with nothing left to run."""
    return [
        ["status"], ["status", "ablation_a"], ["plan", "ablation_a"], ["plan", "ablation_a", "--ids"],
        ["run", "ablation_a"], ["run", "ablation_a", "--trial", trial], ["tables"], ["tables", "ablation_a"],
        ["report"], ["report", "ablation_a"], ["compare", A, B, "--experiment", "ablation_a"],
        ["show", trial], ["show", "ablation_a"], ["show", "ablation_a", A, "top1"], ["logs", trial],
        ["retry", "ablation_a", "--failed"], ["clean"],
    ]  # fmt: skip


def measure_commands(root: str) -> None:
    """Seconds of each command as a shell sees it, and of CPU; a second call, since the first may fill caches."""
    trial = fakes.plan(0)[0].id
    with tempfile.TemporaryDirectory() as reports:
        for command in commands(trial):
            writes = ["--reports", reports] if command[0] in ("tables", "report", "compare") else []
            line = [sys.executable, "-m", "harness", *command, "--results", root, *writes]
            timed("harness " + " ".join(command), partial(_call, line))
        shutil.rmtree(cache_root() / "pictures", ignore_errors=True)
        line = [sys.executable, "-m", "harness", "report", "--results", root, "--reports", reports]
        timed("harness report, every figure drawn anew", partial(_call, line), repeats=1)


def _call(line: list[str]) -> None:
    said = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 0, f"{line}: {said.stdout}{said.stderr}"


def timed(what: str, function: Callable[[], object], repeats: int = 2) -> None:
    """Print the best wall and CPU seconds of `repeats` calls, those of ended children included."""
    best = []
    for _ in range(repeats):
        wall, before = time.perf_counter(), os.times()
        function()
        cpu = sum(os.times()[:4]) - sum(before[:4])
        best.append((time.perf_counter() - wall, cpu))
    wall, cpu = min(best)
    print(f"{what:<52} {wall:8.2f} s   CPU {cpu:8.2f} s", flush=True)


def measure_parts(store: Store) -> None:
    """The index made anew, and what the commands do with it."""
    record = SHIPPED.record(min(SHIPPED.ids()))
    store.storage.delete(NAME)
    timed("load, no index (once a store)", lambda: load(store.root), repeats=1)
    print(f"{'index':<52} {len(store.storage.read(NAME)) / 2**20:8.2f} MiB")
    timed("list what is done", lambda: listing(store.storage, "trials"))
    timed("settled (status, plan, skip check)", store.settled)
    timed("load (tables)", lambda: load(store.root))
    timed("write one record", lambda: store.write(record))
    timed("settled after one new record", store.settled, repeats=1)


def measure_writers(store: Store) -> None:
    """50 processes write 4 records each at once, and the first record all of them; then all must be there once."""
    records = [make_record(planned, videos=20) for planned in fakes.plan(*range(1 + (EACH - 1) * WRITERS))]
    before = store.done()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["harness.results.store", "tests.results.writer"])
    parts = [[records[0], *records[1 + (EACH - 1) * i :][: EACH - 1]] for i in range(WRITERS)]
    writers = [context.Process(target=write_all, args=(store.root, part)) for part in parts]

    def write() -> None:
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()

    timed(f"{WRITERS} writers at once, {WRITERS * EACH} records", write, repeats=1)
    index, after = store.index(["id"]), store.settled()
    missing = {record.id for record in records} - after.done
    doubled = index.table.num_rows - len(set(index.table["id"].to_pylist()))
    print(
        f"lost {len(missing) + len(before - after.done)}, doubled {doubled}, unreadable {len(after.unreadable)}, "
        f"incomplete {len(after.incomplete)}"
    )


def measure(root: Path | str, count: int) -> None:
    """All figures of one store, filled where it is not yet."""
    store = Store(root)
    if len(listing(store.storage, "trials")) < count:
        timed(f"make {count} records", lambda: make(store.storage, count), repeats=1)
    measure_parts(store)
    measure_commands(str(root))
    measure_writers(store)
    print(f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("records", nargs="?", type=int, default=20_000)
    parser.add_argument("--keep", type=Path, help="use this folder again instead of a temporary one")
    parser.add_argument("--bucket", action="store_true", help="in a local S3 server")
    given = parser.parse_args()
    if given.bucket:
        os.environ.update(ACCESS)
        with served() as uri:
            measure(uri.format("store"), given.records)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            measure(given.keep or Path(temporary), given.records)
