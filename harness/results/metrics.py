"""What a trial is judged by and what it costs: each metric and each cost is registered once, here.

    @register_metric("top1", title="top-1")
    def top1(scores_VK, truth): ...

An experiment names metrics in `columns`; an unknown one is refused there. The store keeps whatever a record holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.base.errors import UserError, near_match
from harness.results.average_precision import mean_average_precision

Direction = Literal["higher", "lower"]
FACET = "factor_"  # before the name of a dataset's facet


@dataclass(frozen=True)
class Truth:
    """What is right: labels (V,), and (V, K) of 0 and 1 where a video may have several."""

    labels: NDArray[np.int64]
    targets: NDArray[np.float32] | None = None


Function = Callable[[NDArray[np.floating], Truth], float]


@dataclass(frozen=True)
class Metric:
    """A registered metric. `function` is None for one that is no function of the test scores (facets, `val_`)."""

    name: str
    title: str
    unit: str
    direction: Direction
    function: Function | None = None
    several_labels: bool = False
    """Whether it is for videos of several labels alone."""
    per_video: bool = False
    """Whether it is a mean over videos of right or wrong, so that paired tests on answers hold."""


_METRICS: dict[str, Metric] = {}


def register_metric(
    name: str,
    *,
    title: str,
    unit: str = "%",
    direction: Direction = "higher",
    several_labels: bool = False,
    per_video: bool = False,
) -> Callable[[Function], Function]:
    """Function decorator: (scores (V, K), Truth) -> float. Raises UserError where the name is taken."""

    def register(function: Function) -> Function:
        if name in _METRICS and _METRICS[name].function is not function:
            raise UserError(f"metric {name!r} is already registered")
        _METRICS[name] = Metric(name, title, unit, direction, function, several_labels, per_video)
        return function

    return register


def metric(name: str) -> Metric:
    """The metric of a name; `factor_NAME` is a dataset's facet, `val_NAME` the same on the videos for choosing.

    Raises UserError with the near match.
    """
    if name.startswith(FACET):
        return Metric(name, name.removeprefix(FACET), "%", "higher")
    if name.startswith("val_") and (base := name.removeprefix("val_")) in _METRICS:
        known = _METRICS[base]
        return Metric(name, f"{known.title} on val", known.unit, known.direction)
    if name not in _METRICS:
        raise UserError(
            f"unknown metric {name!r}{near_match(name, _METRICS)}; known are {', '.join(_METRICS)}"
        )
    return _METRICS[name]


def list_metrics() -> list[str]:
    """Names of the registered metrics, in the order in which tables show them."""
    return list(_METRICS)


def score_metrics(scores_VK: NDArray[np.floating], truth: Truth) -> dict[str, float]:
    """Every registered metric of these scores; those for several labels only where there are several."""
    asked = [m for m in _METRICS.values() if truth.targets is not None or not m.several_labels]
    return {m.name: m.function(scores_VK, truth) for m in asked if m.function is not None}


def _right_among(scores_VK: NDArray[np.floating], truth: Truth, k: int) -> NDArray[np.bool_]:
    """Whether one of a video's labels is among the k best scores (ties broken by class number)."""
    best_VK = np.argsort(-scores_VK, axis=1, kind="stable")[:, :k]
    if truth.targets is not None:
        return np.asarray(np.take_along_axis(truth.targets, best_VK, axis=1).any(1))
    return np.asarray((best_VK == truth.labels[:, None]).any(1))


@register_metric("top1", title="top-1", per_video=True)
def top1(scores_VK: NDArray[np.floating], truth: Truth) -> float:
    """Share of videos whose best score is of (one of) their labels; ActivityNet's hit@1."""
    return float(100 * _right_among(scores_VK, truth, 1).mean())


@register_metric("top5", title="top-5", per_video=True)
def top5(scores_VK: NDArray[np.floating], truth: Truth) -> float:
    """Share of videos with a label among the five best scores."""
    return float(100 * _right_among(scores_VK, truth, 5).mean())


@register_metric("mean_class_accuracy", title="mean class")
def mean_class_accuracy(scores_VK: NDArray[np.floating], truth: Truth) -> float:
    """Top-1 averaged over the classes that have a video (by the first label)."""
    right_V = _right_among(scores_VK, truth, 1)
    return float(100 * np.mean([right_V[truth.labels == k].mean() for k in np.unique(truth.labels)]))


@register_metric("map", title="mAP", several_labels=True)
def map_(scores_VK: NDArray[np.floating], truth: Truth) -> float:
    """ActivityNet's mean average precision over the classes that occur (`harness.results.average_precision`)."""
    assert truth.targets is not None, "asked of several labels alone"
    return mean_average_precision(scores_VK, truth.targets)


@register_metric("test_loss", title="loss", unit="nats", direction="lower")
def test_loss(scores_VK: NDArray[np.floating], truth: Truth) -> float:
    """Mean cross-entropy of the softmax of the scores; of several labels, with equal weights."""
    scores_VK = scores_VK.astype(np.float64)
    shifted_VK = scores_VK - scores_VK.max(1, keepdims=True)
    log_VK = shifted_VK - np.log(np.exp(shifted_VK).sum(1, keepdims=True))
    if truth.targets is None:
        return float(-log_VK[np.arange(len(log_VK)), truth.labels].mean())
    return float(-(log_VK * truth.targets).sum(1).mean() / max(1.0, truth.targets.sum(1).mean()))


CONVENTION = (
    'multiply-adds (the paper\'s "FLOPs") of one view, as fvcore 0.1.5 counts in eval mode: convolutions,'
    " linear layers, matrix products and the aggregation along snippets at one a multiply-add, BatchNorm at"
    " two an element, LayerNorm and GroupNorm at five; mean and max pooling, activations, softmax and"
    " element-wise arithmetic at nothing"
)


@dataclass(frozen=True)
class CostKind:
    """A cost of a record: `cost_<name>` in a frame. `factor`: what one of the shown unit is in the record's unit."""

    name: str
    title: str
    unit: str
    factor: float
    direction: Direction
    of: str
    """What it is the cost of, for a reader."""


COSTS: Mapping[str, CostKind] = {
    cost.name: cost
    for cost in (
        CostKind("params", "params, M", "M", 1e6, "lower", "the network with the dataset's head"),
        CostKind("macs_per_view", "GMACs a view", "G", 1e9, "lower", "one view: U snippets of one crop"),
        CostKind("views", "views", "", 1, "lower", "groups of snippets × crops"),
        CostKind(
            "macs_inference", "GMACs × views", "G", 1e9, "lower", "a view's cost times views, as papers count"
        ),
        CostKind(
            "macs_as_run", "GMACs as run", "G", 1e9, "lower", "a test video as it was run, layers shared"
        ),
        CostKind("latency_ms", "latency, ms", "ms", 1, "lower", "one forward pass of a view on this machine"),
        CostKind(
            "peak_memory_mb", "peak MB", "MB", 1, "lower", "see provenance: process (RSS) or CUDA allocations"
        ),
        CostKind(
            "train_videos_per_s",
            "videos/s in training",
            "1/s",
            1,
            "higher",
            "training steps, without validation",
        ),
    )
}
