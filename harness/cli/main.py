"""`harness`: every command, and the one place where errors become messages and exit codes.

Exit codes: 0 done, 1 some trials failed, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Callable
from typing import Any

import typer
from typer.exceptions import Abort, TyperException

from harness.base.errors import UserError
from harness.cli import check_variant, compare, data, inspect, plan, render, run, status

app = typer.Typer(
    name="harness",
    help="Ablation studies for video models: plan a grid, run it, compare honestly.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
COMMANDS: tuple[Callable[..., None], ...] = (
    plan.plan,
    run.run,
    status.status,
    render.tables,
    render.cost,
    compare.compare,
    inspect.show,
    render.report,
    check_variant.check_variant,
    inspect.weights,
)
for command in COMMANDS:
    app.command(command.__name__.replace("_", "-"))(command)
app.add_typer(data.app, name="data")


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its code; a user's mistake is one message, without a traceback."""
    warnings.showwarning = _plain_warning
    for stream in (
        sys.stdout,
        sys.stderr,
    ):  # ASCII and Latin-1 terminals: `?` instead of a traceback at the end
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    sys.exit(_exit_code(arguments))


def _exit_code(arguments: list[str] | None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    try:
        return int(app(given or ["--help"], standalone_mode=False) or 0)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
    except TyperException as error:  # the command line itself: an unknown option, a number that is none
        print(f"error: {error.format_message()} (see `harness --help`)", file=sys.stderr)
    except (KeyboardInterrupt, Abort):
        print("interrupted; what is finished is kept, and the same command goes on", file=sys.stderr)
        return 130
    return 2


def _plain_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Our own warnings are for users: the message alone. Others' are for developers and are not shown."""
    if category.__module__.startswith("harness"):
        print(f"warning: {message}", file=sys.stderr)
