"""False alarms and power of `harness.statistics.paired.compare`, in full.

    .venv/bin/python benchmarks/bench_calibration.py [--repeats 1000]                        (about a minute)
    .venv/bin/python benchmarks/bench_calibration.py --records results/baselines/embedded    (ten seconds)

Prints Markdown tables: false alarms of a method against itself and against an unlike method of the same
top-1, beside those of a plain bootstrap; planted differences, found against predicted; how far off a plan may
be that knows the spread from 5 seeds only. `--records` takes a folder of records instead: populations with the
seed and video variance measured from every model in it, and each model's own seeds split into two methods.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

from harness.results import load
from harness.results.answers import answers
from harness.statistics.calibration import (
    Rate,
    binomial_rate,
    detection_rate,
    disjoint_pair,
    false_alarm_rate,
)
from harness.statistics.intervals import Bools, errors_of
from harness.statistics.population import Population, expected_components, resample_from, simulate_pair
from harness.statistics.power import power_at, smallest_detectable_difference

N_VIDEOS = 480
POPULATIONS = {
    "seed sd 0.5": Population(88, 0.5, 1.5),
    "seed sd 1.5": Population(85, 1.5, 1.5),
    "seed sd 3, heavy tails": Population(80, 3, 1.5, heavy_tails=True),
    "seed sd 5, heavy tails": Population(67, 5, 1.0, heavy_tails=True),
    "seed sd 0.5, top-1 98": Population(98, 0.5, 1.5),
}
UNLIKE = {
    "seed sd 0.5, shared 0.5": Population(80, 0.5, 2.0, shared=0.5),
    "seed sd 1, shared 0.8": Population(80, 1.0, 2.0, shared=0.8),
    "seed sd 2, shared 0.5": Population(80, 2.0, 2.0, shared=0.5),
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--repeats", type=int, default=1000, help="comparisons per number (at least 500)")
    arguments.add_argument("--records", type=Path, help="folder of records, results/baselines/embedded say")
    options = arguments.parse_args()
    if options.records:
        print_real(answers_of(options.records), options.repeats)
        return
    print_false_alarms("A method against itself", POPULATIONS, (2, 3, 5, 8), options.repeats)
    print_false_alarms("Unlike methods of the same top-1", UNLIKE, (3, 5, 8), options.repeats)
    print_power(POPULATIONS | {"seed sd 1, shared 0.8": UNLIKE["seed sd 1, shared 0.8"]}, options.repeats)
    print_planned(POPULATIONS["seed sd 1.5"], 200)


def print_false_alarms(
    title: str, populations: dict[str, Population], seed_counts: Iterable[int], repeats: int
) -> None:
    """False alarms in percent, ours and the plain bootstrap's, by population and number of seeds."""
    print(f"\n### {title}: false alarms at 5 % ({repeats} comparisons each, {N_VIDEOS} videos)\n")
    print_row("population", "seeds", "false alarms", "95 % interval", "plain bootstrap")
    print_row(*["---"] * 5)
    for name, population in populations.items():
        for n_seeds in seed_counts:
            draw = partial(simulate_pair, population=population, n_seeds=n_seeds, n_videos=N_VIDEOS)
            ours, plain = false_alarm_rate(draw, repeats, rng_seed=n_seeds), plain_rate(draw, repeats)
            print_row(name, n_seeds, f"{ours.percent:.1f} %", span(ours), f"{plain.percent:.1f} %")


def plain_rate(draw: Callable[[np.random.Generator], tuple[Bools, Bools]], repeats: int) -> Rate:
    """False alarms of 1.96 errors of a plain two-level bootstrap: (S - 1) / S of the seeds' spread, no Student's t."""
    rng, count = np.random.default_rng(1), 0
    for _ in range(repeats):
        new_SV, base_SV = draw(rng)
        d_SV = 100.0 * (new_SV.astype(float) - base_SV)
        errors, n_seeds = errors_of(d_SV), len(d_SV)
        error = np.sqrt(errors.seed * (n_seeds - 1) / n_seeds + errors.video)
        count += abs(d_SV.mean()) > 1.96 * error
    return binomial_rate(count, repeats)


def print_power(populations: dict[str, Population], repeats: int) -> None:
    """Planted differences, each the one that the plan says is found with 50 or 80 %; the share found."""
    print(f"\n### Planted differences: found against predicted ({repeats} comparisons each)\n")
    print_row("population", "seeds", "planted (points)", "predicted", "found", "95 % interval")
    print_row(*["---"] * 6)
    for name, population in populations.items():
        for n_seeds, power in product((3, 5, 8), (0.5, 0.8)):
            planted = smallest_detectable_difference(population, n_seeds, N_VIDEOS, power=power)
            if planted is None:
                print_row(name, n_seeds, "none below 100 %", f"{100 * power:g} %", "", "")
                continue
            found = found_rate(population, planted, n_seeds, repeats)
            print_row(
                name, n_seeds, f"{planted:.1f}", f"{100 * power:g} %", f"{found.percent:.1f} %", span(found)
            )


def found_rate(population: Population, planted: float, n_seeds: int, repeats: int) -> Rate:
    draw = partial(
        simulate_pair, population=population, n_seeds=n_seeds, n_videos=N_VIDEOS, difference=planted
    )
    return detection_rate(draw, repeats, rng_seed=n_seeds)


def print_planned(population: Population, pilots: int) -> None:
    """How far a plan made from one 5-seed baseline may be off: the true power of its 80 % difference."""
    rng, reached = np.random.default_rng(0), []
    for _ in range(pilots):
        pilot_SV, _ = simulate_pair(rng, population, 5, N_VIDEOS)
        planned = smallest_detectable_difference(resample_from(pilot_SV), 5, N_VIDEOS)
        assert planned is not None
        truth = expected_components(population, planned)
        reached.append(100 * power_at(planned, truth, 5, N_VIDEOS))
    low, middle, high = np.percentile(reached, [10, 50, 90])
    print("\n### Planned for 80 % from one baseline of 5 seeds (seed sd 1.5): the power really reached\n")
    print(f"median {middle:.0f} %, 10th to 90th percentile of {pilots} pilots {low:.0f} to {high:.0f} %")


def answers_of(root: Path) -> dict[str, Bools]:
    """(seeds, videos) right or wrong of every model with at least four seeds in a folder of records."""
    frame = load(root)
    frame = frame[frame["status"] == "done"].sort_values("seed")
    keys = ["backbone", "aggregation", "position", "beta", "placement", "options", "T", "U"]
    models = {}
    for key, trials in frame.groupby(keys, dropna=False):
        if len(trials) >= 4:
            models[" ".join(map(str, key))] = np.stack([answers(str(root), i).right for i in trials["id"]])
    return models


def print_real(records: dict[str, Bools], repeats: int) -> None:
    """Real records: populations measured from them, then their own seeds in two disjoint sets."""
    measured = {name: resample_from(correct_SV) for name, correct_SV in records.items()}
    for name, population in measured.items():
        print(f"{name}: {population}")
    pooled = partial(any_of, simulators=[partial(simulate_pair, population=p) for p in measured.values()])
    print(
        f"\n### Simulated with the variance of {len(records)} models, pooled ({repeats} comparisons each)\n"
    )
    print_row("seeds", "false alarms", "95 % interval")
    print_row(*["---"] * 3)
    for n_seeds in (3, 5, 8):
        rate = false_alarm_rate(partial(pooled, n_seeds=n_seeds, n_videos=N_VIDEOS), repeats)
        print_row(n_seeds, f"{rate.percent:.1f} %", span(rate))
    print(f"\n### One model, two disjoint seed sets, pooled over models ({repeats} random splits)\n")
    print_row("seeds a set", "models", "false alarms")
    print_row(*["---"] * 3)
    for n_seeds in (2, 3, 5):
        splits = [partial(disjoint_pair, correct_SV=c) for c in records.values() if len(c) >= 2 * n_seeds]
        if splits:
            rate = false_alarm_rate(partial(any_of, simulators=splits, n_seeds=n_seeds), repeats)
            print_row(n_seeds, len(splits), f"{rate.percent:.1f} %")


def any_of(
    rng: np.random.Generator, simulators: list[Callable[..., tuple[Bools, Bools]]], **sizes: int
) -> tuple[Bools, Bools]:
    """A pair from one of several simulators, drawn at random."""
    return simulators[int(rng.integers(len(simulators)))](rng, **sizes)


def print_row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def span(rate: Rate) -> str:
    return f"{rate.low:.1f} to {rate.high:.1f}"


if __name__ == "__main__":
    main()
