"""Write what the documents say of the shipped records: texts between `<!-- from records: NAME -->` marks, and images.

    python docs/from_records.py    # README.md, docs/*.md, the heads of experiments/ablation_*.yaml, docs/images/

`tests/test_docs.py` compares every such text with what is made here. Only shipped records are read, never your own.
"""

from __future__ import annotations

import inspect
import json
import re
import runpy
import textwrap
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.experiment import load_experiment, load_profile
from harness.experiment.load import BASELINES, EXPERIMENTS, ROOT
from harness.experiment.paper import load_paper
from harness.methods import Gathered, Method, gather
from harness.models.registry import model_entry
from harness.reports import style
from harness.reports.columns import accuracy_cell
from harness.reports.cost_table import paper_number, row_costs
from harness.reports.figures import accuracy_figures
from harness.reports.reading import reading_of, story_of
from harness.reports.render_markdown import grid
from harness.results import load
from harness.statistics.order import Story
from harness.statistics.population import resample_from
from harness.statistics.power import smallest_detectable_difference

PROFILE = "embedded"
BENCHMARKS = ("mini_kinetics_200", "kinetics_400", "activitynet_1_3", "something_v1")
TABLES = tuple(f"ablation_{letter}" for letter in "abcdefgh")
EXPECTED = {**dict.fromkeys(TABLES, PROFILE), "benchmark": "benchmark"}  # experiment -> profile
FACTORS = ("appearance", "motion", "order", "position")
MEASURED = ("row", "seeds", "top-1", "sd", *FACTORS)
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
IMAGES = (
    ("ablation_a", PROFILE, "seeds"),
    ("ablation_h", PROFILE, "factors"),
    ("benchmark", "benchmark", "accuracy_vs_cost"),
)
_EXPECTED = re.compile(r"# Expected: .*\n(?:#   .*\n)*")
_BLOCK = re.compile(r"(<!-- from records: (?P<name>[\w ]+) -->\n)(?P<text>.*?)(<!-- /from records -->)", re.S)


def main() -> None:
    """All documents and images."""
    for path in DOCUMENTS:
        path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")
    for name in EXPECTED:
        path = EXPERIMENTS / f"{name}.yaml"
        path.write_text(with_expected(name, path.read_text(encoding="utf-8")), encoding="utf-8")
    for experiment, profile, kind in IMAGES:
        with style.house_style():
            figure = accuracy_figures(gathered(experiment, profile), load_paper())[kind]
            figure.savefig(ROOT / "docs" / "images" / f"{experiment}_{kind}.png", dpi=150)


def expected(experiment: str) -> str:
    """The comment lines at the head of a table's file: CPU minutes of its records, and every row's top-1."""
    profile = EXPECTED[experiment]
    methods = gathered(experiment, profile).methods
    minutes = sum(float(m.values("provenance_cpu_seconds").sum()) for m in methods) / 60
    rows = ", ".join(f"{m.label} {_top1(m)}" for m in methods)
    text = (
        f"Expected: about {minutes:.0f} CPU minutes in the {profile} profile, {_seed_counts(methods)} seeds (`harness "
        f"plan` says the time for your machine). Top-1: {rows}."
    )
    return "".join(f"#{'   ' * (i > 0) or ' '}{line}\n" for i, line in enumerate(textwrap.wrap(text, 112)))


def with_expected(experiment: str, text: str) -> str:
    """A table's file with these lines anew."""
    return _EXPECTED.sub(lambda _: expected(experiment), text, count=1)


def renewed(text: str) -> str:
    """A document with each of its blocks made anew. KeyError where a block's name is not known."""
    return _BLOCK.sub(lambda found: f"{found[1]}{BLOCKS[found['name']]()}\n{found[4]}", text)


@cache
def shipped(profile: str) -> pd.DataFrame:
    """The records that ship."""
    return load(BASELINES / profile)


@cache
def gathered(experiment: str, profile: str = PROFILE) -> Gathered:
    """A table's rows with the shipped records."""
    return gather(load_experiment(experiment), load_profile(profile), shipped(profile))


def story(experiment: str) -> Story | None:
    """What is known about the order of a table's rows."""
    found = gathered(experiment)
    return story_of(found, load_paper().table(found.experiment.paper_table or ""))


def readme_table() -> str:
    """Table (a), as the readme shows it."""
    found = gathered("ablation_a")
    lines = [
        [m.label, _frames(m), _top1(m), *_factors(m, FACTORS[1:]), _printed(m, found)] for m in found.methods
    ]
    header = ["Model", "T×U train", "**ours**: top-1", "motion", "order", "position", "*paper: top-1*"]
    return (
        f"{grid(header, lines, words=2)}\n\nMean ± half of the 95 % Student t interval over "
        f"{_seed_counts(found.methods)} seeds; Scripted Digits, networks of width 8 at 32 px; motion, order, position "
        "are accuracies on the videos that need each, and a model that averages snippets cannot pass 70 % top-1. "
        f"**Reading.** {reading_of(story('ablation_a'))}"
    )


def all_tables() -> str:
    """Every row of tables (a) to (h): top-1, the spread of its seeds, its factors, the paper's number."""
    header, texts = [*MEASURED, "*paper*"], []
    for name in TABLES:
        found = gathered(name)
        lines = [[*_measured(m), _printed(m, found)] for m in found.methods]
        title = f"**({name[-1]}) {found.experiment.title}**"
        texts += [title, grid(header, lines), reading_of(story(name))]
    return "\n\n".join(texts)


def resolved() -> str:
    """One line a table: how many pairs of rows are told apart, and how many differences point as the paper's."""
    lines = []
    for name in TABLES:
        if (told := story(name)) is None:
            continue
        apart = sum(pair.resolved for pair in told.pairs)
        same = sum(direction.same is True for direction in told.directions)
        tau = "–" if told.tau.value is None else f"{told.tau.value:.2f}"
        lines.append(
            [f"({name[-1]})", f"{apart} of {len(told.pairs)}", f"{same} of {len(told.directions)}", tau]
        )
    header = ["table", "pairs of rows resolved", "the paper's differences that point the same way", "tau"]
    return grid(header, lines)


def spreads() -> str:
    """The conditions that can be read from the records: sd by row, the best row of (a), the appearance factor."""
    rows = {m.label: m for name in TABLES for m in gathered(name).methods if len(m.seeds) > 1}
    of_a = gathered("ablation_a").methods
    sd_a = max(float(m.values("top1").std(ddof=1)) for m in of_a)
    others = {label: float(m.values("top1").std(ddof=1)) for label, m in rows.items()}
    widest = max(others, key=lambda label: others[label])
    best = max(of_a, key=lambda m: float(m.values("top1").mean()))
    appearance = min(float(m.values("factor_appearance").mean()) for m in rows.values())
    return (
        f"Largest standard deviation over seeds in table (a): {sd_a:.1f} points; in all tables: {others[widest]:.1f} "
        f"({widest}). Best row of (a): {best.label}, {best.values('top1').mean():.1f} %. Lowest mean of the appearance "
        f"factor in any row: {appearance:.1f} %."
    )


def smallest() -> str:
    """The gain over each row of table (a) that five and ten seeds find with 80 % power at 5 %."""
    lines = []
    for method in gathered("ablation_a").methods:
        right_SV = method.right()
        population = resample_from(right_SV)
        found = [smallest_detectable_difference(population, n, right_SV.shape[1]) for n in (5, 10)]
        lines.append([method.label, *("none" if points is None else f"{points:.1f}" for points in found)])
    return grid(["against", "5 seeds", "10 seeds"], lines)


def convergence() -> str:
    """The search's log: the chosen candidate at its epochs and at twice as many, on val."""
    search, lines = runpy.run_path(str(EXPERIMENTS / "search" / "embedded.py")), []
    log = [json.loads(line) for line in search["LOG"].read_text(encoding="utf-8").splitlines()]
    for row in ("i3d4", "tsn", "v4d", "dsa", "final", "res5", "res2"):
        once, twice = (
            {line["seed"]: line for line in log if line["candidate"] == name and line["row"] == row}
            for name in ("c1", "c1 x2")
        )
        both = sorted(set(once) & set(twice))
        moved = np.mean([twice[s]["top1"] - once[s]["top1"] for s in both]) if both else float("nan")
        top1 = [once[s]["top1"] for s in sorted(once)]
        lines.append(
            [
                "/".join(search["ROWS"][row]).replace("ablation_", ""),
                " ".join(f"{value:.1f}" for value in top1),
                f"{np.mean(top1):.1f} ± {np.std(top1, ddof=1):.1f}" if len(top1) > 1 else "–",
                " / ".join(f"{np.mean([line[f] for line in once.values()]):.0f}" for f in FACTORS),
                " ".join(f"{twice[s]['top1']:.1f}" for s in sorted(twice)),
                f"{moved:+.1f}",
                " / ".join(f"{np.mean([line['cpu_s'] for line in of.values()]):.0f}" for of in (once, twice)),
            ]
        )
    factors = " / ".join(FACTORS)
    header = ["table/row", "40 epochs, by seed", "mean ± sd", factors, "80 epochs, by seed", "moved", "CPU s"]
    return grid(header, lines)


def systems() -> str:
    """Every row of the benchmark tables: its model, file, cost against the poster's and golden case."""
    errors = json.loads((ROOT / "tests" / "golden" / "errors.json").read_text(encoding="utf-8"))
    lines = []
    for table in BENCHMARKS:
        experiment, printed = load_experiment(table), load_paper().table(table).rows
        for name, cost in row_costs(experiment, load_profile(table)).items():
            row, paper = cost.row, printed.get(cost.row.paper_row)
            gflops = paper.gflops if paper else None
            lines.append(
                [
                    f"{table}: {name}",
                    "average" if row.average_of else f"{row.model}, {_file_of(row.model)}",
                    f"{cost.params / 1e6:.2f}",
                    f"{cost.gmacs:.2f}{' *' if cost.row.counting.operations == 'products' else ''}",
                    "–" if gflops is None else f"{gflops:g}",
                    "–" if gflops is None else f"{100 * (cost.gmacs / gflops - 1):+.2f} %",
                    _golden(errors, "" if row.average_of else f"{row.model} {row.aggregation.name}"),
                ]
            )
    header = [
        "row",
        "model, file (lines)",
        "params, M",
        "GMACs",
        "poster",
        "off",
        "golden case: relative error",
    ]
    return grid(header, lines, words=2)


def embedded_systems() -> str:
    """`make benchmark`'s records."""
    found = gathered("benchmark", "benchmark")
    lines = [
        [*_measured(m), f"{m.values('cost_macs_per_view').mean() / 1e6:.1f}", _step(m)] for m in found.methods
    ]
    return grid([*MEASURED, "MMACs", "ms a step"], lines)


def _step(method: Method) -> str:
    """Milliseconds of a training step, of the seed in the middle: one may have run beside other work."""
    batch = method.trials[0].recipe.batch_videos
    return f"{1000 * batch / float(np.median(method.values('cost_train_videos_per_s'))):.0f}"


def _file_of(model: str) -> str:
    path = Path(inspect.getsourcefile(model_entry(model).function) or "")
    return f"{path.name} ({len(path.read_text(encoding='utf-8').splitlines())})"


def _golden(errors: dict[str, Any], network: str) -> str:
    if network not in errors:
        return "none"
    case, error = errors[network]
    return f"{case}: {error:.0e}"


def _top1(method: Method) -> str:
    return accuracy_cell(method, "top1").text


def _factors(method: Method, factors: Sequence[str] = FACTORS) -> list[str]:
    return [accuracy_cell(method, f"factor_{factor}", spread=False).text for factor in factors]


def _measured(method: Method) -> list[str]:
    """What every list of rows begins with: name, seeds, top-1, the spread of its seeds, its factors."""
    return [method.label, str(len(method.seeds)), _top1(method), _spread(method), *_factors(method)]


def _spread(method: Method) -> str:
    values = method.values("top1")
    return f"{values.std(ddof=1):.1f}" if len(values) > 1 else "–"


def _frames(method: Method) -> str:
    train = method.trials[0].train
    return f"{train.T}×{train.U}"


def _printed(method: Method, found: Gathered) -> str:
    assert method.row is not None, "the rows of a table are declared"
    printed = load_paper().table(found.experiment.paper_table or "").rows.get(method.row.paper_row)
    return f"*{paper_number(printed, 'top1').text}*"


def _seed_counts(methods: Iterable[Method]) -> str:
    counts = sorted({len(method.seeds) for method in methods})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


BLOCKS: dict[str, Callable[[], str]] = {
    "table a": readme_table,
    "all tables": all_tables,
    "resolved": resolved,
    "spreads": spreads,
    "smallest difference": smallest,
    "convergence": convergence,
    "systems": systems,
    "embedded systems": embedded_systems,
}


if __name__ == "__main__":
    main()
