"""`harness test`: published weights on the user's own copy, by a row's protocol, without training."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.base.errors import UserError, near_match
from harness.cli.common import DEFAULT_PROFILE, Data, Json, ProfileName, Variants, make_plan, print_json

if TYPE_CHECKING:
    from harness.experiment.spec import Trial
    from harness.trial.run import Tested


def test(
    *,
    weights: Annotated[Path, typer.Option("--weights", help="A published checkpoint.")],
    experiment: Annotated[str, typer.Option("--experiment", help="The table: a name or a file.")],
    row: Annotated[str, typer.Option("--row", help="Whose network, sampling, crop and views are used.")],
    profile: ProfileName = DEFAULT_PROFILE,
    source: Annotated[
        str | None,
        typer.Option("--source", help="Whose names the checkpoint has. Default: recognised by them."),
    ] = None,
    variant: Variants = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Test a published checkpoint on the profile's dataset; prints metrics and protocol, and records nothing."""
    from harness.cli.run import check_users_copy
    from harness.data.registry import data_root
    from harness.orchestrate.screen import Preparing
    from harness.plan.prepare import prepare_datasets
    from harness.trial.failure import TrialFailed
    from harness.trial.run import evaluate_weights

    check_users_copy(profile, data)
    plan = make_plan([experiment], profile, 1, variant, data)
    known = {planned.row: planned.trial for planned in plan.trials}
    if row not in known:
        raise UserError(
            f"--row {row!r}: no row of {experiment!r} that has weights of its own{near_match(row, known)}; "
            f"it has {', '.join(known)}"
        )
    trial, root = known[row], data or data_root()
    with Preparing() as progress:
        prepare_datasets([trial.dataset], root, progress.tell)
    try:
        tested = evaluate_weights(
            trial, weights, source=source, data_root=root, loaders=plan.profile.resources.loaders
        )
    except TrialFailed as error:
        raise UserError(str(error)) from error
    protocol = _protocol(trial)
    if json:
        print_json({**asdict(tested), "weights": weights, "row": row, "protocol": protocol})
    else:
        _tell(weights, row, tested, protocol)


test.__test__ = False  # type: ignore[attr-defined]  # not a pytest function


def _protocol(trial: Trial) -> dict[str, object]:
    """What the numbers depend on beside the weights."""
    sampling, views = trial.train, trial.test
    return {
        "frames": f"{views.U} snippets of {sampling.T} frames, {sampling.mode}",
        "interval": trial.interval if sampling.mode != "uniform" else None,
        "groups": f"{views.grouping}, {sampling.U} snippets in training",
        "crops": f"{views.crops} of {trial.test_crop} px, short side {views.short_side or 'as it is'}",
        "input": f"{trial.input.order}, mean {trial.input.mean}, std {trial.input.std}",
        "precision": f"{trial.numerics.precision} on {trial.numerics.device}",
    }


def _tell(weights: Path, row: str, tested: Tested, protocol: dict[str, object]) -> None:
    from harness.results.metrics import metric

    print(f"{weights}: a {tested.source} checkpoint as {row!r}, every tensor used")
    left_out = f", {tested.excluded} listed ones missing or broken" if tested.excluded else ""
    print(f"{tested.videos} videos{left_out}; {tested.views} views a video")
    for key, value in protocol.items():
        if value is not None:
            print(f"  {key:<10} {value}")
    for name, value in tested.metrics.items():
        known = metric(name)
        print(f"{known.title:<12} {value:.2f} {known.unit}".rstrip())
    print("nothing is recorded: these weights were not trained here")
