"""How much a network and a trial compute, in multiply-adds: what makes the seconds of two trials comparable.

Counts are kept on disk by all that they depend on: counting a full-size network takes about half a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.base.cache import cached_json, source_hash, versions
from harness.data.registry import describe
from harness.data.views import snippet_groups
from harness.experiment.spec import Network, Trial, Variant

BACKWARD = 3.0  # forward and backward together, in forward passes
UNKNOWN_CLASSES = 200  # of a dataset that nobody has seen (the head is a vanishing part of the work)


def counted(
    network: Network, *, classes: int, T: int, U: int, crop_px: int, variants: Sequence[Variant] = ()
) -> dict[str, Any]:
    """The fields of `harness.models.cost.Cost` for one view of U snippets of T frames of crop_px squared.

    Raises whatever building or tracing the network raises: UserError, CostError, and a variant anything.
    """

    def count() -> dict[str, Any]:
        import torch

        from harness.models import build_network
        from harness.models.cost import model_cost
        from harness.models.variant import load_variant_source

        for variant in variants:
            load_variant_source(variant.source, variant.file)
        with torch.random.fork_rng(devices=[]):  # building draws weights
            model = build_network(network, classes, U=U, T=T)
        return asdict(model_cost(model, T=T, U=U, crop_px=crop_px))

    key = [
        network.model_dump(mode="json"),
        [classes, T, U, crop_px],
        [v.source for v in variants],
        source_hash("models"),
        versions(("torch", "fvcore")),
    ]
    return cached_json("counts", key, count)


@dataclass(frozen=True)
class Passes:
    """Snippets that go through the network in one trial: forward and backward, and forward alone."""

    train: float
    test: float

    @property
    def forward_equivalents(self) -> float:
        return BACKWARD * self.train + self.test


def passes_of(trial: Trial) -> Passes | None:
    """Counted from the declarations (nothing need be prepared); None where the dataset's size is unknown."""
    sizes = describe(trial.dataset)
    if sizes is None:
        return None
    train, select, report = (float(sizes.videos[role]) for role in ("train", "select", "report"))
    views = sum(len(group) for group in groups_of(trial)) * trial.test.crops
    per_epoch = trial.train.U * trial.recipe.epochs
    return Passes(train * per_epoch, report * views + select * per_epoch)


def groups_of(trial: Trial) -> tuple[tuple[int, ...], ...]:
    """The groups of snippets of its test protocol."""
    return snippet_groups(trial.test.U, trial.train.U, trial.test.grouping)


def classes_of(trial: Trial) -> int:
    """Classes of the declared dataset."""
    sizes = describe(trial.dataset)
    return UNKNOWN_CLASSES if sizes is None else sizes.num_classes


def macs_per_snippet(trial: Trial) -> float:
    """Multiply-adds of one snippet forward, as trained. Raises as `counted`."""
    train = trial.train
    found = counted(
        trial.network,
        classes=classes_of(trial),
        T=train.T,
        U=train.U,
        crop_px=trial.train_crop,
        variants=trial.variants,
    )
    return float(found["macs"]) / train.U
