"""Table (a) run again against what ships: is each mean within the shipped 95 % interval, are the spreads alike?

    make ablation-a && .venv/bin/python benchmarks/bench_again.py [RESULTS]

On the machine that made the shipped records the same seeds give the same bits; another one deals other last digits,
and with them other numbers of the same kind. A second mean of five seeds lies outside the interval of the first one
time in eight even where nothing is wrong (the difference of two means is wider by √2): of five rows one may well.
"""

from __future__ import annotations

import sys
from pathlib import Path

from harness.experiment import load_experiment, load_profile
from harness.experiment.load import BASELINES
from harness.methods import gather
from harness.results import load, runs_root
from harness.statistics.intervals import mean_interval


def main(results: str | None = None) -> None:
    """One line a row."""
    experiment, profile = load_experiment("ablation_a"), load_profile("embedded")
    mine, shipped = (
        gather(experiment, profile, load(root)).methods
        for root in (Path(results) if results else runs_root(), BASELINES / profile.name)
    )
    print(f"{'row':14s} {'shipped':>22s} {'again':>14s}  within  sd ratio  same bits")
    for again, ours in zip(mine, shipped, strict=True):
        if not len(again.seeds):
            print(f"{ours.label:14s} not run here: make ablation-a")
            continue
        new, old = again.values("top1"), ours.values("top1")
        interval = mean_interval(old)
        assert interval.low is not None and interval.high is not None
        both = sorted(set(again.seeds) & set(ours.seeds))
        same = sum(
            again.answers(seed).predicted.tolist() == ours.answers(seed).predicted.tolist() for seed in both
        )
        within = "yes" if interval.low <= new.mean() <= interval.high else "NO"
        print(
            f"{ours.label:14s} {old.mean():6.2f} ({interval.low:.2f} to {interval.high:.2f}) "
            f"{new.mean():6.2f} (n = {len(new)})  {within:>6s}  "
            f"{new.std(ddof=1) / old.std(ddof=1) if len(new) > 1 else float('nan'):8.2f}  {same} of {len(both)} seeds"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
