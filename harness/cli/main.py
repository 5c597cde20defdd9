"""`harness`: every command, and the one place where errors become messages and exit codes.

Exit codes: 0 done, 1 some trials failed, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from collections.abc import Callable
from typing import Any

import typer
from typer.exceptions import Abort, TyperException

from harness.base.errors import UserError
from harness.base.signals import StopWish
from harness.cli import (
    check_variant,
    compare,
    data,
    export,
    inspect,
    plan,
    render,
    run,
    status,
    test,
    watch,
    weights,
)
from harness.cli.common import answer_alone

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
    watch.logs,
    watch.retry,
    watch.clean,
    render.tables,
    render.cost,
    compare.compare,
    inspect.show,
    render.report,
    check_variant.check_variant,
    test.test,
)
for command in COMMANDS:
    app.command(command.__name__.replace("_", "-"))(command)
app.add_typer(data.app, name="data")
app.add_typer(weights.app, name="weights")
app.add_typer(export.app, name="export")


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its code; a user's mistake is one message, without a traceback.

    SIGTERM and SIGUSR1 (SLURM's warning) interrupt like Ctrl-C, whatever the command is doing; a run waits for the end
    of a step.
    """
    warnings.showwarning = _plain_warning
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # one in ASCII shows `?` for a dash, in place of a traceback
            stream.reconfigure(errors="replace")
    given = sys.argv[1:] if arguments is None else arguments
    code = 2
    try:
        alone = answer_alone() if "--json" in given else contextlib.nullcontext()
        with StopWish(_interrupt) as stop, alone:
            code = int(app(given or ["--help"], standalone_mode=False) or 0)
        if stop.asked and code == 130:  # typer makes an exit code of an interrupt
            raise KeyboardInterrupt
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
    except TyperException as error:  # the command line itself: an unknown option, a number that is none
        print(f"error: {error.format_message()} (see `harness --help`)", file=sys.stderr)
    except (KeyboardInterrupt, Abort):
        print("interrupted; what is finished is kept, and the same command goes on", file=sys.stderr)
        code = 130
    sys.exit(code)


def _interrupt(signal_name: str) -> None:
    raise KeyboardInterrupt


def _plain_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Our own warnings are for users: the message alone. Others' are for developers and are not shown."""
    if category.__module__.startswith("harness"):
        print(f"warning: {message}", file=sys.stderr)
