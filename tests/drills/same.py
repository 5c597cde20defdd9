"""`python -m tests.drills.same STORE OTHER`: are the records of two stores the same to the last bit?

Compared are the status, every metric, the curve without its clock, and the stored scores. Exit code 1 where one
differs.
"""

from __future__ import annotations

import sys

import numpy as np

from harness.results import Store

CLOCKS = ["seconds", "train_videos_per_s"]


def same(one: Store, other: Store) -> bool:
    """Print what differs, or how much was found equal."""
    ids, values, resumed = sorted(one.done()), 0, 0
    if ids != sorted(other.done()) or one.failed() or other.failed():
        print(
            f"done {len(ids)} and {len(other.done())}, failed {len(one.failed())} and {len(other.failed())}"
        )
        return False
    for trial in ids:
        a, b = one.record(trial), other.record(trial)
        curves = [record.curve.drop(columns=CLOCKS) for record in (a, b)]
        scores = [np.stack(record.predictions["scores"].to_list()) for record in (a, b)]
        if a.metrics != b.metrics or not curves[0].equals(curves[1]) or not np.array_equal(*scores):
            print(f"{trial}: differs")
            return False
        values += scores[0].size + len(a.metrics) + curves[0].size
        resumed += any(record.provenance["resumed_from_epoch"] > 0 for record in (a, b))
    print(
        f"{len(ids)} trials ({resumed} went on from a checkpoint), {values} numbers: the same to the last bit"
    )
    return True


if __name__ == "__main__":
    sys.exit(0 if same(Store(sys.argv[1]), Store(sys.argv[2])) else 1)
