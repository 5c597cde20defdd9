"""How much a network and a trial compute, in multiply-adds: what makes the seconds of two trials comparable.

Counts are kept on disk by all that they depend on: counting a full-size network takes about half a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from harness.base.cache import cached_json, source_hash, versions
from harness.data.dataset import ROLES
from harness.data.registry import describe
from harness.data.views import snippet_groups
from harness.experiment.spec import Network, Trial, Variant

if TYPE_CHECKING:
    from harness.models import VideoModel

BACKWARD = 3.0  # forward and backward together, in forward passes
UNKNOWN_CLASSES = 200  # of a dataset that nobody has seen (the head is a vanishing part of the work)


def counted(
    network: Network, *, classes: int, T: int, U: int, crop_px: int, variants: Sequence[Variant] = ()
) -> dict[str, Any]:
    """The fields of `harness.models.cost.Cost` for one view of U snippets of T frames of crop_px squared.

    Raises whatever building or tracing the network raises: UserError, CostError, and a variant anything.
    """

    def count() -> dict[str, Any]:
        from harness.models.cost import model_cost

        return asdict(model_cost(_built(network, classes, T, U, variants), T=T, U=U, crop_px=crop_px))

    return cached_json("counts", [*_key(network, T, U, variants), classes, crop_px], count)


def parameters(network: Network, *, classes: int, T: int, U: int, variants: Sequence[Variant] = ()) -> int:
    """Parameters with a head of so many classes: as `counted`'s, without tracing the network."""

    def count() -> int:
        return sum(p.numel() for p in _built(network, classes, T, U, variants).parameters())

    return int(cached_json("parameters", [*_key(network, T, U, variants), classes], count))


def _key(network: Network, T: int, U: int, variants: Sequence[Variant]) -> list[Any]:
    code = [source_hash("models"), versions(("torch", "fvcore"))]
    return [network.model_dump(mode="json"), T, U, [v.source for v in variants], *code]


def _built(network: Network, classes: int, T: int, U: int, variants: Sequence[Variant]) -> VideoModel:
    """The network as shapes without storage."""
    import torch

    from harness.models import build_network
    from harness.models.variant import load_variant_source

    for variant in variants:
        load_variant_source(variant.source, variant.file)
    with torch.random.fork_rng(devices=[]), torch.device("meta"):  # building draws weights
        return build_network(network, classes, U=U, T=T)


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
    train, select, report = (float(sizes.videos.get(role, 0)) for role in ROLES)
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
