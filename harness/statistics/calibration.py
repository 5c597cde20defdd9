"""Does the test do what it says? False alarms and power of `paired.compare`, by repetition.

`benchmarks/bench_calibration.py` runs this in full, on the populations of `population`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from harness.statistics.intervals import Bools, as_correct
from harness.statistics.paired import Verdict, compare

Simulator = Callable[[np.random.Generator], tuple[Bools, Bools]]


@dataclass(frozen=True)
class Rate:
    """How often something happened in `n` repetitions, in percent, with its exact 95 % binomial interval."""

    percent: float
    low: float
    high: float
    n: int


def disjoint_pair(rng: np.random.Generator, correct_SV: ArrayLike, n_seeds: int) -> tuple[Bools, Bools]:
    """Two disjoint random seed sets of one real model, as if they were two methods (`n_seeds` each).

    Seeds of one method are exchangeable, so which seed is paired with which is arbitrary, and each split
    raises a false alarm with the nominal probability. All splits share the same few records, however: a rate
    over many splits of one model scatters far more than its binomial interval says.
    """
    all_SV = as_correct(correct_SV, "records")
    if 2 * n_seeds > all_SV.shape[0]:
        raise ValueError(f"two disjoint sets of {n_seeds} seeds need {2 * n_seeds}, got {all_SV.shape[0]}")
    picked = rng.permutation(all_SV.shape[0])[: 2 * n_seeds]
    return all_SV[picked[:n_seeds]], all_SV[picked[n_seeds:]]


def false_alarm_rate(simulate: Simulator, n_repeats: int, *, alpha: float = 0.05, rng_seed: int = 0) -> Rate:
    """How often `compare` calls a pair without a true difference better or worse."""
    return _rate(simulate, n_repeats, ("better", "worse"), alpha, rng_seed)


def detection_rate(simulate: Simulator, n_repeats: int, *, alpha: float = 0.05, rng_seed: int = 0) -> Rate:
    """How often `compare` calls the new method better, where it is: the power that was reached."""
    return _rate(simulate, n_repeats, ("better",), alpha, rng_seed)


def binomial_rate(count: int, n: int) -> Rate:
    """`count` of `n`, with the exact (Clopper-Pearson) 95 % interval."""
    interval = stats.binomtest(count, n).proportion_ci(0.95, method="exact")
    return Rate(100 * count / n, 100 * float(interval.low), 100 * float(interval.high), n)


def _rate(
    simulate: Simulator, n_repeats: int, counted: tuple[Verdict, ...], alpha: float, rng_seed: int
) -> Rate:
    rng = np.random.default_rng(rng_seed)
    count = 0
    for _ in range(n_repeats):
        new_SV, base_SV = simulate(rng)
        count += compare(new_SV, base_SV, range(len(new_SV)), alpha=alpha).verdict in counted
    return binomial_rate(count, n_repeats)
