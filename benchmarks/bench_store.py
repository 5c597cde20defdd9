"""Seconds that a store of many records takes: listing, settled, load with a cold and a warm index, one write.

    python benchmarks/bench_store.py [RECORDS] [--keep FOLDER]

The records are one shipped record's row under other ids, five seeds of each of many learning rates.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness.experiment.load import BASELINES
from harness.results import Store, load
from harness.results.files import parquet_bytes, read_table
from harness.results.index import NAME, listing

PARTS = ("trials", "curves", "predictions")


def make(root: Path, count: int) -> None:
    """`count` records; curves and predictions are empty files, which nothing here reads."""
    shipped = Store(BASELINES / "embedded")
    row = read_table(shipped.storage, f"trials/{sorted(shipped.ids())[0]}.parquet")
    place = {name: row.schema.get_field_index(name) for name in ("id", "seed", "config")}
    config = json.loads(row["config"][0].as_py())
    lr = config["recipe"]["lr"]
    for part in PARTS:
        (root / part).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        name = hashlib.sha256(str(i).encode()).hexdigest()[:12]
        config["seed"], config["recipe"]["lr"] = i % 5, lr * (1 + i // 5 * 1e-6)
        own = row
        for column, value in (("id", name), ("seed", i % 5), ("config", json.dumps(config))):
            own = own.set_column(place[column], column, pa.array([value]))
        for part in PARTS:
            (root / part / f"{name}.parquet").write_bytes(parquet_bytes(own) if part == "trials" else b"")


def timed(what: str, function: Callable[[], object], repeats: int = 3) -> None:
    """Print the best wall and CPU seconds of `repeats` calls."""
    best = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        function()
        best.append((time.perf_counter() - wall, time.process_time() - cpu))
    wall, cpu = min(best)
    print(f"{what:<34} {wall:9.4f} s   CPU {cpu:9.4f} s", flush=True)


def measure(root: Path) -> None:
    """All figures of one store, its index not there at first."""
    store = Store(root)
    record = Store(BASELINES / "embedded").record(min(Store(BASELINES / "embedded").ids()))
    (root / NAME).unlink(missing_ok=True)
    timed("load, no index (once a store)", lambda: load(root), repeats=1)
    print(f"{'index':<34} {(root / NAME).stat().st_size / 2**20:9.2f} MiB")
    timed("list what is done", lambda: listing(store.storage, "trials"))
    timed("settled (status, plan, skip check)", store.settled)
    timed("load (tables)", lambda: load(root))
    timed("write one record", lambda: store.write(record))
    timed("settled after one new record", store.settled, repeats=1)
    store.write(record)
    timed("load after one new record", lambda: load(root), repeats=1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("records", nargs="?", type=int, default=20_000)
    parser.add_argument("--keep", type=Path, help="use this folder again instead of a temporary one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = given.keep or Path(temporary)
        if len(listing(Store(root).storage, "trials")) < given.records:
            make(root, given.records)
        measure(root)
