"""`harness data`: the datasets that profiles name."""

from __future__ import annotations

import typer

from harness.cli.common import DEFAULT_PROFILE, Data, Json, ProfileName, print_json

app = typer.Typer(help="Prepare and describe the dataset of a profile.")


@app.command()
def prepare(profile: ProfileName = DEFAULT_PROFILE, data: Data = None) -> None:
    """Make the profile's dataset (videos and their decoded cache) unless it is there, or check the user's copy."""
    from harness.data.registry import data_root
    from harness.experiment.load import load_profile
    from harness.orchestrate.screen import Preparing
    from harness.plan.prepare import prepare_datasets

    with Preparing() as progress:
        prepare_datasets([load_profile(profile).dataset], data or data_root(), progress.tell)
    info(profile, data)


@app.command()
def info(profile: ProfileName = DEFAULT_PROFILE, data: Data = None, json: Json = False) -> None:
    """Say what the profile's dataset is, where it lies, and what an order-blind method can reach."""
    from harness.data.registry import data_root, open_dataset
    from harness.experiment.load import load_profile

    dataset = open_dataset(load_profile(profile).dataset, data or data_root())
    facts = dataset.info.model_dump(mode="json")
    facts |= facts.pop("facts")
    if json:
        print_json(facts)
        return
    for key, value in facts.items():
        long = isinstance(value, list) and len(value) > 6
        print(f"{key:<20} {', '.join(value[:6])} … ({len(value)})" if long else f"{key:<20} {value}")
