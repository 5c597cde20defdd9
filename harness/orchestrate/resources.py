"""What a trial reserves, and how much of it the machines of a running Ray have."""

from __future__ import annotations

from typing import Any

from harness.base.errors import UserError
from harness.experiment.spec import Profile


def bundle(profile: Profile) -> dict[str, float]:
    """Ray's names and amounts, without zeros."""
    both = {"CPU": profile.resources.cpus, "GPU": profile.resources.gpus}
    return {name: amount for name, amount in both.items() if amount}


def needs(profile: Profile) -> str:
    """`1 CPU, 0.5 GPU`."""
    return ", ".join(f"{amount:g} {name}" for name, amount in bundle(profile).items())


def slots(profile: Profile) -> int:
    """Trials that run at once on the machines that are there now."""
    wanted = bundle(profile)
    return sum(
        min(int(node.get(name, 0) / amount) for name, amount in wanted.items()) for node in _machines()
    )


def check_resources(profile: Profile) -> None:
    """Tune would wait for ever for what no machine has: a trial runs on one machine, whatever all have together."""
    if slots(profile):
        return
    wanted, machines = bundle(profile), _machines()
    largest: dict[str, float] = max(
        machines, key=lambda node: [node.get(name, 0) for name in reversed(wanted)], default={}
    )
    there = ", ".join(f"{largest.get(name, 0):g} {name}" for name in wanted)
    among = f" (the largest of {len(machines)} machines)" if len(machines) > 1 else ""
    raise UserError(
        f"profile {profile.name!r}: resources: a trial needs {needs(profile)} on one machine, but Ray has "
        f"{there} here{among}; change the profile, or name a cluster with RAY_ADDRESS"
    )


def _machines() -> list[dict[str, Any]]:
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
