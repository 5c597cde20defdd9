"""`harness weights`: published checkpoints, recognised and held against the networks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.base.errors import UserError
from harness.cli.common import Json, print_json

if TYPE_CHECKING:
    from harness.models.weights import Fit

app = typer.Typer(help="Recognise published checkpoints.")


@app.callback()
def group() -> None:
    """Recognise published checkpoints."""


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A published checkpoint.")],
    source: Annotated[
        str | None,
        typer.Option("--source", help="Whose names it has. Default: recognised by the names of its tensors."),
    ] = None,
    frames: Annotated[
        int, typer.Option("--frames", min=1, help="Frames of a snippet (TANet's shapes hold them).")
    ] = 8,
    keys: Annotated[bool, typer.Option("--keys", help="List every tensor, by the release's name.")] = False,
    json: Json = False,
) -> None:
    """Say whose checkpoint it is and which networks take every tensor of it; prints what a profile says of it.

    Nothing is written: a profile names the file and its hash, and its names are converted whenever it is loaded.
    """
    from harness.models import read_checkpoint
    from harness.models.weights import find_networks, recognise

    state = read_checkpoint(file)
    try:
        found = source or recognise(state)
        networks = find_networks(state, found, T=frames)
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
    with file.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    if json:
        shapes = {name: list(tensor.shape) for name, tensor in state.items()}
        print_json(
            {"source": found, "sha256": sha256, "fits": [asdict(fit) for fit in networks], "keys": shapes}
        )
        return
    if keys:
        for name, tensor in state.items():
            print(f"  {name:<60} {tuple(tensor.shape)}")
    _print_fits(file, f"{found} checkpoint of {len(state)} tensors", networks)
    print("To start from its backbone, in a profile:")
    print(f"start: {{kind: file, path: {file.resolve()}, source: {found}, sha256: {sha256}}}")
    print("To test it: harness test --weights FILE --experiment TABLE --row ROW --profile PROFILE")


def _print_fits(file: Path, what: str, networks: Sequence[Fit]) -> None:
    print(f"{file}: a {what}, {networks[0].classes} classes")
    for fit in networks:
        print(
            f"fits {fit.model}{'' if fit.aggregation == 'average' else f' with {fit.aggregation}'}: no tensor left over"
        )
    if len(networks) > 1:
        print("Names and shapes tell no more: these networks differ in what has no weights.")
