"""A report in words and tables: what was found, what it cannot say, and where every number comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.base.text import known, p_text
from harness.comparison.compare import Report, Versus
from harness.methods import Method
from harness.reports.columns import memory_title
from harness.reports.table import Document, Grid, Section
from harness.reports.words import cautions, left_out
from harness.results.metrics import COSTS
from harness.statistics.intervals import Interval, mean_interval
from harness.statistics.paired import Comparison, Mover

SHOWN = 10  # lines of the longer tables; the rest is counted
EXPLAINED = {
    "factor": " Appearance: the right actor, in all videos. Motion, order and position: the right script, in the "
    "videos that need just that to be told apart."
}


def document(report: Report) -> Document:
    """The whole report, ready for any renderer."""
    several = len(report.versus) > 1
    sections = [_overview(report)] if several else []
    for versus in report.versus:
        sections += _sections(versus, several)
    sections += [_costs(report), _provenance(report)]
    names = ", ".join(v.new.label for v in report.versus)
    title = f"{names} against {report.base.label} (profile {report.profile})"
    return Document(report.name, title, tuple(sections))


def verdict_sentence(versus: Versus) -> str:
    """The verdict in one sentence that can be quoted alone."""
    new, base, result = versus.new.label, versus.base.label, versus.result
    if result is None:
        fields = "; ".join(d.words(new, base) for d in versus.refusals)
        return f"{new} and {base} are not comparable: {fields}."
    size = f"{result.n_seeds} seed{'s' * (result.n_seeds != 1)} × {result.n_videos} test videos"
    if result.verdict in ("better", "worse"):
        return f"{new} is {versus.verdict} than {base}: {_difference(result)}, {size}."
    if result.verdict == "no difference":
        return f"No difference between {new} and {base} was detected: {_difference(result)}, {size}. {_power(result)}"
    return f"{new} against {base} is {versus.verdict}: {result.difference:+.2f} points of {result.metric}, {size}."


def _difference(result: Comparison) -> str:
    p_value = result.p_adjusted
    corrected = " after Holm's correction" if p_value != result.p_value else ""
    return (
        f"{result.difference:+.2f} points of {result.metric} ({100 * (1 - result.alpha):g} % interval "
        f"{_ends(result.interval)}, {_p_words(p_value)}{corrected})"
    )


def _power(result: Comparison) -> str:
    if result.smallest_detectable is None:
        return "How large a difference it could have detected cannot be said: no spread was seen."
    return (
        f"This is no proof of equality: a true difference of {result.smallest_detectable:.1f} points would have been "
        "found in 80 % of such comparisons, smaller ones less often."
    )


def _overview(report: Report) -> Section:
    rows = tuple(
        (v.new.label, v.verdict, *_overview_numbers(v.result), _count(v.result, "n_seeds"))
        for v in report.versus
    )
    header = ("method", "verdict", "difference", "95 % interval", "p (Holm)", "seeds")
    tested = sum(v.result is not None and v.result.p_value is not None for v in report.versus)
    remarks = (
        f"Holm's correction over {tested} comparisons: each verdict holds although {tested} were looked at. "
        "Intervals are those of each comparison alone.",
    )
    return Section(
        "All against the base", grid=Grid(header, rows, words=2), remarks=remarks if tested > 1 else ()
    )


def _overview_numbers(result: Comparison | None) -> tuple[str, str, str]:
    if result is None:
        return "–", "–", "–"
    return f"{result.difference:+.2f}", _ends(result.interval), p_text(result.p_adjusted)


def _count(result: Comparison | None, name: str) -> str:
    return "–" if result is None else str(getattr(result, name))


def _sections(versus: Versus, several: bool) -> list[Section]:
    heading = f"Verdict: {versus.verdict}"
    if several:
        heading = f"{versus.new.label}: {versus.verdict}"
    if versus.result is None:
        remedy = (
            "Run both with the same settings (one profile, one dataset): across settings no verdict is sound."
        )
        return [Section(heading, (verdict_sentence(versus), remedy), remarks=_remarks(versus))]
    parts = [
        Section(heading, (verdict_sentence(versus),), _numbers(versus), _remarks(versus)),
        _second_opinion(versus, versus.result),
        _movers("Where they differ: factors of the videos", versus.factors, "factor"),
        _movers("Where they differ: classes", versus.classes, "class"),
        _flips(versus),
    ]
    return [part for part in parts if part is not None]


def _numbers(versus: Versus) -> Grid:
    result = versus.result
    assert result is not None, "only comparable methods have numbers"
    rows = [_top1_row(m.label, versus.by_seed[k]) for m, k in ((versus.new, "new"), (versus.base, "base"))]
    rows.append(
        ("difference", f"{result.difference:+.2f}", _ends(result.interval), p_text(result.p_adjusted))
    )
    return Grid((f"{result.metric} (%)", "mean", "95 % interval", "p"), tuple(rows))


def _top1_row(label: str, top1_S: list[float]) -> tuple[str, str, str, str]:
    interval = mean_interval(top1_S)
    return label, f"{interval.mean:.2f}", _ends(interval), ""


def _remarks(versus: Versus) -> tuple[str, ...]:
    remarks = [] if versus.result is None else cautions(versus.result)
    if versus.left_out:
        seeds = ", ".join(map(str, versus.left_out))
        remarks.append(f"Seeds that only one of the two has were left out: {seeds}.")
    for method in (versus.new, versus.base):
        failed = {s: why for s, why in method.problems.items() if why != "not run"}
        remarks += [f"{method.label}, seed {seed}: {why}." for seed, why in failed.items()]
    lines = [*versus.new.records, *versus.base.records]
    excluded = left_out(line.get("provenance_excluded_videos") for line in lines)
    differing = [d.words(versus.new.label, versus.base.label) for d in versus.notes]
    sentences = [text for text in (excluded, *differing) if text]
    return (*remarks, *(f"{text[0].upper()}{text[1:]}." for text in sentences))


def _second_opinion(versus: Versus, result: Comparison) -> Section | None:
    if not result.mcnemar:
        return None
    rows = tuple(
        (str(m.seed), f"{new:.2f}", f"{base:.2f}", str(m.only_new), str(m.only_base), p_text(m.p_value))
        for m, new, base in zip(result.mcnemar, versus.by_seed["new"], versus.by_seed["base"], strict=True)
    )
    header = ("seed", "top-1 new", "top-1 base", "only new right", "only base right", "p")
    sentence = (
        "McNemar's exact test compares two trained networks on these videos; it knows nothing of other seeds, so it "
        + ("is all that one seed allows." if result.verdict == "one seed" else "does not decide the verdict.")
    )
    return Section("Second opinion: each seed by itself", (sentence,), Grid(header, rows), level=3)


def _movers(heading: str, movers: Sequence[Mover], kind: str) -> Section | None:
    if not movers:
        return None
    remarks = [f"{len(movers)} tests, Holm's correction within this table.{EXPLAINED.get(kind, '')}"]
    if len(movers) > SHOWN:
        remarks.append(f"The {SHOWN} largest of {len(movers)} moves are shown.")
    header = (kind, "videos", "new", "base", "difference", "95 % interval", "p (Holm)")
    rows = tuple(_mover(mover) for mover in movers[:SHOWN])
    return Section(heading, grid=Grid(header, rows), remarks=tuple(remarks), level=3)


def _mover(mover: Mover) -> tuple[str, ...]:
    ends = "–" if mover.low is None else f"{mover.low:.1f} to {mover.high:.1f}"
    numbers = (
        f"{mover.new:.1f}",
        f"{mover.base:.1f}",
        f"{mover.difference:+.1f}",
        ends,
        p_text(mover.p_adjusted),
    )
    return str(mover.group), str(mover.n_videos), *numbers


def _flips(versus: Versus) -> Section:
    kinds = [flip.flip for flip in versus.flips]
    sentence = (
        f"Most seeds of the one right, of the other wrong: {kinds.count('gained')} videos gained, "
        f"{kinds.count('lost')} lost."
    )
    rows = tuple(
        (
            versus.videos[flip.place],
            flip.flip,
            *(f"{right}/{len(versus.seeds)}" for right in (flip.new_right, flip.base_right)),
        )
        for flip in versus.flips[:SHOWN]
    )
    more = (f"The {SHOWN} most decided of {len(kinds)} are shown.",) if len(kinds) > SHOWN else ()
    grid = Grid(("video", "", "new right", "base right"), rows, words=2) if rows else None
    return Section("Flipped videos", (sentence,), grid, more, level=3)


def _costs(report: Report) -> Section:
    methods = [*(v.new for v in report.versus), report.base]
    there = [c for c in COSTS.values() if any(len(m.values(f"cost_{c.name}")) for m in methods)]
    rows = tuple(
        (
            memory_title(c, methods) if c.name == "peak_memory_mb" else c.title,
            *(_cost(m, c.name, c.factor, report.base) for m in methods),
        )
        for c in there
    )
    remark = "In brackets: against the base. Times were measured while other trials may have run beside."
    return Section("What it costs", grid=Grid(("", *(m.label for m in methods)), rows), remarks=(remark,))


def _cost(method: Method, key: str, factor: float, base: Method) -> str:
    """The median over the seeds, and its share more or less than the base's."""
    value, reference = _median_cost(method, key), _median_cost(base, key)
    if value is None:
        return "–"
    text = f"{value / factor:,.4g}"
    return text if method is base or not reference else f"{text} ({value / reference - 1:+.1%})"


def _median_cost(method: Method, name: str) -> float | None:
    values = method.values(f"cost_{name}")
    return float(np.median(values)) if len(values) else None


def _provenance(report: Report) -> Section:
    methods = [*(v.new for v in report.versus), report.base]
    rows = tuple(_record_row(m, line) for m in methods for line in m.records)
    header = ("method", "seed", "trial", "records", "commit", "machine", "torch", "manifest", "when")
    remarks = [f"{m.label}: {m.origin}." for m in methods if m.label != m.origin]
    remarks.append("`harness show TRIAL` prints a trial's settings, numbers and provenance.")
    return Section("Where the numbers come from", grid=Grid(header, rows, words=9), remarks=tuple(remarks))


def _record_row(method: Method, line: pd.Series) -> tuple[str, ...]:
    dirty = "+" if line.get("provenance_dirty") in (True, 1.0) else ""
    return (
        method.label,
        f"{line['seed']:.0f}",
        line["id"],
        str(line["source"]),
        known(line.get("provenance_commit"), "?")[:8] + dirty,
        known(line.get("provenance_processor"), "?")[:24],
        known(line.get("provenance_version_torch"), "?"),
        known(line.get("dataset_manifest"), "?")[:8],
        known(line.get("provenance_created"), "?")[:10],
    )


def _ends(interval: Interval) -> str:
    return "none" if interval.low is None else f"{interval.low:.2f} to {interval.high:.2f}"


def _p_words(p_value: float | None) -> str:
    text = p_text(p_value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def as_data(report: Report) -> dict[str, Any]:
    """For `--json`: the report's numbers, without the words."""
    return {
        "profile": report.profile,
        "base": _method_data(report.base),
        "comparisons": [_versus_data(v) for v in report.versus],
    }


def _method_data(method: Method) -> dict[str, Any]:
    costs = {key: _median_cost(method, key) for key in COSTS}
    return {
        "label": method.label,
        "origin": method.origin,
        "trials": {str(seed): "+".join(method.ids[seed]) for seed in method.seeds},
        "cost": costs,
    }


def _versus_data(versus: Versus) -> dict[str, Any]:
    result = versus.result
    data = {
        "new": _method_data(versus.new),
        "verdict": versus.verdict,
        "sentence": verdict_sentence(versus),
        "differing_fields": [vars(d) for d in versus.refusals],
        "notes": list(_remarks(versus)),
    }
    if result is None:
        return data
    return data | {
        "difference": result.difference,
        "interval": [result.interval.low, result.interval.high],
        "p_value": result.p_value,
        "p_adjusted": result.p_adjusted,
        "smallest_detectable": result.smallest_detectable,
        "seeds": list(versus.seeds),
        "n_videos": result.n_videos,
        "metric": result.metric,
        "by_seed": versus.by_seed,
        "mcnemar": [vars(m) for m in result.mcnemar],
        "factors": [vars(mover) for mover in versus.factors],
        "classes": [vars(mover) for mover in versus.classes],
        "flips": [
            {
                "video": versus.videos[f.place],
                "flip": f.flip,
                "new_right": f.new_right,
                "base_right": f.base_right,
            }
            | {"n_seeds": len(versus.seeds)}
            for f in versus.flips
        ],
    }
