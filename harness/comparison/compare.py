"""Records of two or more methods to a report as data: verdicts, movers, flips, costs, provenance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from harness.base.errors import UserError
from harness.methods import Difference, Method, notes, refusals
from harness.reports.facets import class_names, right_by_facet
from harness.reports.words import VERDICTS
from harness.results.answers import Answers
from harness.results.average_precision import Rankings
from harness.statistics.paired import (
    Comparison,
    Flip,
    Mover,
    compare,
    compare_by,
    corrected,
    flips,
    per_class_movers,
    per_factor_movers,
)

Bools = NDArray[np.bool_]
NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True)
class Versus:
    """One new method against the base.

    refusals    fields that forbid the comparison; then there is no `result` and nothing below it
    seeds       that both ran; `left_out` are seeds that only one has
    movers      per class and per factor (harness.statistics.paired), and the videos that flip (`videos` names them)
    """

    new: Method
    base: Method
    refusals: tuple[Difference, ...]
    notes: tuple[Difference, ...]
    seeds: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()
    result: Comparison | None = None
    by_seed: dict[str, list[float]] = field(default_factory=dict)
    classes: tuple[Mover, ...] = ()
    factors: tuple[Mover, ...] = ()
    flips: tuple[Flip, ...] = ()
    videos: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        return NOT_COMPARABLE if self.result is None else VERDICTS[self.result.verdict]


@dataclass(frozen=True)
class Report:
    """All new methods against one base, Holm's correction over those that could be tested."""

    name: str
    profile: str
    base: Method
    versus: tuple[Versus, ...]
    alpha: float


@dataclass(frozen=True)
class _Pair:
    """Both methods' answers on the seeds that both ran, seeds in ascending order."""

    seeds: list[int]
    new: list[Answers]
    base: list[Answers]

    def right(self) -> tuple[Bools, Bools]:
        new_SV, base_SV = (np.stack([a.right for a in s]) for s in (self.new, self.base))
        return new_SV, base_SV


def compare_methods(new: Sequence[Method], base: Method, profile: str, *, alpha: float = 0.05) -> Report:
    """Compare every method of `new` with `base`.

    Raises UserError where a method has no record at all, two of them are the same, or none of the seeds is shared.
    """
    for method in (base, *new):
        _refuse_empty(method)
    _refuse_same(new, base)
    refused = {m.label: tuple(refusals(m, base)) for m in new}
    pairs = {m.label: _pair(m, base) for m in new if not refused[m.label]}
    alone = {m.label: _tested(m, base, pairs[m.label], alpha) for m in new if m.label in pairs}
    tested = corrected(alone, alpha=alpha)
    versus = tuple(
        _versus(m, base, pairs[m.label], tested[m.label])
        if m.label in pairs
        else Versus(m, base, refused[m.label], tuple(notes(m, base)))
        for m in new
    )
    return Report(_name(new, base), profile, base, versus, alpha)


def _refuse_empty(method: Method) -> None:
    if method.seeds:
        return
    problems = dict.fromkeys(method.problems.values())
    raise UserError(
        f"{method.origin}: nothing to compare, no finished trial ({'; '.join(problems)}). "
        "`harness compare --run …` trains what is missing"
    )


def _refuse_same(new: Sequence[Method], base: Method) -> None:
    seen: dict[str, str] = {}
    for method in (base, *new):
        trials = " ".join(sorted(t.model_copy(update={"seed": 0}).model_dump_json() for t in method.trials))
        if trials in seen:
            raise UserError(
                f"{method.origin} and {seen[trials]} are the same trials: a method against itself has no difference"
            )
        seen[trials] = method.origin
    labels = [method.label for method in (base, *new)]
    twice = [label for label in labels if labels.count(label) > 1]
    if twice:
        raise UserError(f"two methods are called {twice[0]!r}; write them as EXPERIMENT:ROW")


def _pair(new: Method, base: Method) -> _Pair:
    seeds = sorted(set(new.seeds) & set(base.seeds))
    if not seeds:
        raise UserError(
            f"{new.label} and {base.label} share no seed: {new.label} has {new.seeds}, {base.label} has "
            f"{base.seeds}; run one of them with the other's seeds (`harness compare --run …`)"
        )
    return _Pair(seeds, *([m.answers(seed) for seed in seeds] for m in (new, base)))


def _several_labels(method: Method) -> bool:
    """Whether its dataset has several labels a video, and is judged by mAP."""
    return len(method.values("map")) == len(method.lines)


def _tested(new: Method, base: Method, pair: _Pair, alpha: float) -> Comparison:
    if not (_several_labels(new) and _several_labels(base)):
        return compare(*pair.right(), pair.seeds, alpha=alpha)
    rankings = [[_rankings(method, seed) for seed in pair.seeds] for method in (new, base)]
    n_videos = len(pair.base[0].videos)

    def difference(videos: NDArray[np.intp]) -> NDArray[np.float64]:
        times_V = np.bincount(videos, minlength=n_videos)
        new_S, base_S = ([r.mean_average_precision(times_V) for r in side] for side in rankings)
        return np.array(new_S) - np.array(base_S)

    return compare_by("mAP", difference, n_videos, alpha=alpha)


def _rankings(method: Method, seed: int) -> Rankings:
    scores_VK, targets_VK, _ = method.scores(seed)
    return Rankings(scores_VK, targets_VK)


def _versus(new: Method, base: Method, pair: _Pair, result: Comparison) -> Versus:
    versus = Versus(
        new=new,
        base=base,
        refusals=(),
        notes=tuple(notes(new, base)),
        seeds=tuple(pair.seeds),
        left_out=tuple(sorted(set(new.seeds) ^ set(base.seeds))),
        result=result,
        videos=pair.base[0].videos,
    )
    return _by_map(versus, pair) if result.metric == "mAP" else _by_answers(versus, pair)


def _by_map(versus: Versus, pair: _Pair) -> Versus:
    """Right or wrong is said of a single label: neither classes nor flips stand here."""
    sides = {"new": versus.new, "base": versus.base}
    return replace(
        versus, by_seed={k: m.lines.loc[pair.seeds, "map"].astype(float).tolist() for k, m in sides.items()}
    )


def _by_answers(versus: Versus, pair: _Pair) -> Versus:
    new_SV, base_SV = pair.right()
    labels, dataset = pair.base[0].labels, versus.base.trial.dataset
    names = class_names(dataset)
    facets = (right_by_facet(dataset, labels, _predicted(side)) for side in (pair.new, pair.base))
    return replace(
        versus,
        by_seed={"new": (100 * new_SV.mean(1)).tolist(), "base": (100 * base_SV.mean(1)).tolist()},
        classes=per_class_movers(
            new_SV, base_SV, [names[k] if k < len(names) else f"class {k}" for k in labels]
        ),
        factors=per_factor_movers(*facets),
        flips=flips(new_SV, base_SV),
    )


def _predicted(side: Sequence[Answers]) -> NDArray[np.int64]:
    return np.stack([answers.predicted for answers in side])


def _name(new: Sequence[Method], base: Method) -> str:
    """A file's name: `temporal_conv_vs_dsa_i3d_4x4`."""
    return f"{'_and_'.join(_slug(m.label) for m in new)[:80]}_vs_{_slug(base.label)[:60]}"


def _slug(text: str) -> str:
    words = "".join(c if c.isalnum() else " " for c in text.lower()).split()
    return "_".join(words)
