"""A method: a network with its records, seed by seed, and its answers to the test videos."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, reduce
from typing import Literal, NamedTuple, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.base.errors import UserError, near_match
from harness.experiment.identity import canonical_json
from harness.experiment.spec import Row, Trial
from harness.plan.expand import Planned
from harness.results import Store
from harness.results.answers import Answers, answers
from harness.results.metrics import Truth, score_metrics
from harness.results.predictions import scores_from_predictions, targets_from_predictions

NOT_RUN = "not run"
DAMAGED = "its record is damaged (`harness status` names the file)"
Source = Literal["runs", "baselines", "both"]
SUMMED = ("params", "macs_per_view", "macs_inference", "macs_as_run", "latency_ms")  # all networks run


@dataclass(frozen=True)
class Method:
    """A network with its records.

    label       how it is called
    origin      where it is declared: `ablation_a:DSA+I3D 4x4`, a variant's file, a selector
    table       the experiment and profile that declare it (None for selected records)
    trial       its trial (of the first seed); of an average, the first component's
    ids         seed -> trial ids, for every seed asked for: one, of an average one a component
    lines       lines of `harness.results.load()`, done, one a seed, indexed by seed in ascending order
    problems    seed -> why there is no number of it
    row         the row of the experiment; None for selected records
    differ      what the rows of its experiment may differ in by declaration
    components  the methods whose scores it averages
    """

    label: str
    origin: str
    table: tuple[str, str] | None
    trial: Trial
    ids: Mapping[int, tuple[str, ...]]
    lines: pd.DataFrame
    problems: dict[int, str] = field(default_factory=dict)
    row: Row | None = None
    differ: frozenset[str] = frozenset()
    components: tuple[Method, ...] = ()

    @property
    def seeds(self) -> list[int]:
        return [int(seed) for seed in self.lines.index]

    @property
    def trial_ids(self) -> tuple[str, ...]:
        """The trials behind its numbers, seed by seed."""
        return tuple(i for seed in self.seeds for i in self.ids[seed])

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Its trial, or those of its components."""
        return tuple(t for c in self.components for t in c.trials) or (self.trial,)

    @cached_property
    def records(self) -> list[pd.Series]:
        """Every record behind it: its own lines, or those of its components."""
        if self.components:
            return [line for c in self.components for line in c.records if line["seed"] in self.lines.index]
        return [line for _, line in self.lines.iterrows()]

    @property
    def is_row(self) -> bool:
        """Whether its experiment declares it as it is: a variant takes another row's place."""
        return not self.trial.variants or self.row is not None

    @property
    def source(self) -> Source | None:
        """Whose records these are: shipped baselines, the user's runs, or both."""
        sources = {str(line["source"]) for line in self.records}
        if len(sources) == 2:
            return "both"
        return "baselines" if "baselines" in sources else "runs" if sources else None

    @property
    def why_empty(self) -> str:
        """Why there is no number: the first failure, else that it was not run."""
        worst = sorted(set(self.problems.values()), key=lambda reason: reason == NOT_RUN)
        return worst[0] if worst else NOT_RUN

    def values(self, column: str) -> NDArray[np.float64]:
        """(seeds,) the numbers of a column that are there."""
        if column not in self.lines:
            return np.empty(0)
        return self.lines[column].dropna().to_numpy(float)

    def answers(self, seed: int) -> Answers:
        """Predicted classes and labels of one seed. Raises UserError where they cannot be read."""
        if self.components:
            return _average_answers(tuple(c.place(seed) for c in self.components))
        return answers(*self.place(seed))

    def right(self, seeds: Sequence[int] | None = None) -> NDArray[np.bool_]:
        """(seeds, videos) right or wrong, by default of all seeds, ascending; videos in ascending order."""
        return np.stack([self.answers(seed).right for seed in (self.seeds if seeds is None else seeds)])

    def scores(self, seed: int) -> tuple[NDArray[np.float64], NDArray[np.bool_], tuple[str, ...]]:
        """(V, K) mean scores of one seed, (V, K) its videos' labels, and the videos, sorted; where there are several.

        Raises UserError where they cannot be read, or a record holds one label a video.
        """
        places = tuple(c.place(seed) for c in self.components) or (self.place(seed),)
        found = _mean_scores(places)
        if found.targets_VK is None:
            raise UserError(
                f"trial {places[0][1]} was recorded before several labels a video were kept; run it again to compare "
                "by mAP"
            )
        return found.scores_VK, found.targets_VK, found.videos

    def place(self, seed: int) -> tuple[str, str]:
        """(store, trial) of one seed."""
        return str(self.lines.at[seed, "root"]), str(self.lines.at[seed, "id"])

    def without(self, problems: dict[int, str]) -> Method:
        """The same method where these seeds give no number."""
        kept = self.lines.loc[[seed for seed in self.lines.index if seed not in problems]]
        return replace(self, lines=kept, problems={**self.problems, **problems})

    @classmethod
    def average(cls, name: str, methods: Sequence[Method], row: Row | None = None) -> Method:
        """A method whose scores are the mean of others' scores (DSA 4+8), over the seeds that all of them have.

        Its metrics are those of the mean scores; params and multiply-adds are the sums, peak memory the largest, since
        one network runs after the other. A seed that a component lacks is a problem of the average.
        """
        seeds = reduce(lambda a, b: a & b, (set(m.seeds) for m in methods))
        problems = {
            seed: f"{m.problems.get(seed, NOT_RUN)} ({m.label})"
            for m in reversed(methods)
            for seed in {s for other in methods for s in other.ids} - set(m.seeds)
        }
        lines, first = [], methods[0]
        for seed in sorted(seeds):
            try:
                lines.append(_average_line([cast(pd.Series, m.lines.loc[seed]) for m in methods]))
            except UserError as error:
                problems[seed] = str(error)
        ids = {s: tuple(i for m in methods for i in m.ids.get(s, ())) for m in methods for s in m.ids}
        frame = pd.DataFrame(lines).set_index("seed", drop=False) if lines else first.lines.iloc[:0]
        origin = f"the mean of {' and '.join(m.origin for m in methods)}"
        return cls(
            label=name,
            origin=origin,
            table=first.table,
            trial=first.trial,
            ids=ids,
            lines=frame,
            problems=problems,
            row=row,
            differ=first.differ,
            components=tuple(methods),
        )


def method_of_trials(
    planned: Sequence[Planned],
    frame: pd.DataFrame,
    label: str,
    origin: str,
    *,
    row: Row | None = None,
    differ: Collection[str] = (),
) -> Method:
    """A row's trials (one a seed) with the records that there are."""
    first = planned[0]
    ids = {p.id for p in planned}
    by_id = frame[frame["id"].isin(ids)].set_index("id", drop=False) if len(frame) else frame
    problems = {p.seed: why for p in planned if (why := _problem(p.id, by_id))}
    done = [p.id for p in sorted(planned, key=lambda p: p.seed) if p.seed not in problems]
    lines = by_id.loc[done] if done else frame.iloc[:0]
    if done:
        lines = lines.assign(seed=lines["seed"].astype(int)).set_index("seed", drop=False)
    return Method(
        label=label,
        origin=origin,
        table=(first.experiment, first.profile),
        trial=first.trial,
        ids={p.seed: (p.id,) for p in planned},
        lines=lines,
        problems=problems,
        row=row,
        differ=frozenset(differ),
    )


def _problem(trial_id: str, by_id: pd.DataFrame) -> str | None:
    """Why this trial gives no number; None where it does."""
    if trial_id not in by_id.index:
        return NOT_RUN
    status = by_id.at[trial_id, "status"]
    if status == "failed":
        return "failed: " + str(by_id.at[trial_id, "reason"])
    return None if status == "done" else DAMAGED


def _average_line(lines: Sequence[pd.Series]) -> pd.Series:
    """One seed's record of an average, made of its components' records."""
    first = lines[0].copy()
    found = _mean_scores(tuple((str(line["root"]), str(line["id"])) for line in lines))
    targets_VK = None if found.targets_VK is None else found.targets_VK.astype(np.float32)
    metrics = score_metrics(found.scores_VK, Truth(found.labels, targets_VK))
    for name in [c for c in first.index if c.startswith(("factor_", "val_"))]:
        first[name] = np.nan  # not known of the mean
    for name, value in metrics.items():
        first[name] = value
    for key in SUMMED:
        if f"cost_{key}" in first.index:
            first[f"cost_{key}"] = sum(float(line.get(f"cost_{key}", np.nan)) for line in lines)
    if "cost_peak_memory_mb" in first.index:
        first["cost_peak_memory_mb"] = max(float(line["cost_peak_memory_mb"]) for line in lines)
    for key in ("cost_views", "cost_train_videos_per_s"):
        first[key] = np.nan
    first["id"] = "+".join(str(line["id"]) for line in lines)
    return first


class _Scored(NamedTuple):
    """Mean scores of trials on the same videos, sorted. targets_VK: every label; None where a video has one."""

    scores_VK: NDArray[np.float64]
    labels: NDArray[np.int64]
    videos: tuple[str, ...]
    targets_VK: NDArray[np.bool_] | None


@lru_cache(maxsize=64)
def _mean_scores(places: tuple[tuple[str, str], ...]) -> _Scored:
    total: _Scored | None = None
    for root, trial in places:
        predictions = Store(root).predictions(trial)
        scores_VGK, labels, videos = scores_from_predictions(predictions)
        targets_VK = targets_from_predictions(predictions)
        order_V = np.argsort(np.asarray(videos, dtype=str))
        own = _Scored(
            scores_VGK.mean(1)[order_V].astype(np.float64),
            labels[order_V],
            tuple(videos[i] for i in order_V),
            None if targets_VK is None else targets_VK[order_V],
        )
        if total is None:
            total = own
            continue
        if own.videos != total.videos or not np.array_equal(own.labels, total.labels):
            raise UserError(
                f"trial {trial} was tested on other videos than {places[0][1]}: no mean of scores"
            )
        total = total._replace(scores_VK=total.scores_VK + own.scores_VK)
    assert total is not None, "an average has components"
    return total._replace(scores_VK=total.scores_VK / len(places))


def _average_answers(places: tuple[tuple[str, str], ...]) -> Answers:
    found = _mean_scores(places)
    return Answers(found.videos, found.labels, found.scores_VK.argmax(1))


def method_of_records(text: str, frame: pd.DataFrame) -> Method:
    """Records by `column=value,column=value`. Raises UserError where they are none, or not one method."""
    done = frame[frame["status"] == "done"] if len(frame) else frame
    for part in text.split(","):
        key, _, value = part.partition("=")
        if key.strip() not in done.columns:
            raise UserError(f"{text!r}: records have no column {key!r}{near_match(key, done.columns)}")
        done = done[[_same(found, value.strip()) for found in done[key.strip()]]]
    if not len(done):
        raise UserError(f"{text!r}: no finished trial is like this; `harness status` lists what is there")
    trials = [Trial.model_validate_json(config) for config in done["config"]]
    _refuse_several(text, trials)
    lines = done.set_index(done["seed"].astype(int), drop=False).sort_index()
    ids = {int(seed): (str(i),) for seed, i in zip(lines.index, lines["id"], strict=True)}
    return Method(text, text, None, trials[0], ids, lines)


def _same(found: object, value: str) -> bool:
    if isinstance(found, int | float) and not isinstance(found, bool):
        try:
            return float(found) == float(value)
        except ValueError:
            return False
    return str(found) == value


def _refuse_several(text: str, trials: Sequence[Trial]) -> None:
    """All must be one trial but for the seed; else the message names a field that tells them apart."""
    plain = [trial.model_dump(mode="json", exclude={"seed"}) for trial in trials]
    if len({canonical_json(p) for p in plain}) == 1:
        return
    parts = [{**p, **p["network"]} for p in plain]
    differing = [k for k in parts[0] if k != "network" and len({canonical_json(p.get(k)) for p in parts}) > 1]
    values = sorted({json.dumps(p.get(differing[0])) for p in parts})[:5]
    raise UserError(
        f"{text!r}: these {len(trials)} records are several methods: they differ in {', '.join(differing)} "
        f"({differing[0]}: {', '.join(values)}); narrow it down"
    )
