"""Which code this is."""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def _git(*args: str) -> str | None:
    try:
        run = subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout.strip()


@functools.cache
def code_version() -> dict[str, Any]:
    """Commit of the harness's checkout, and whether its code (not its results) differs from it.

    `HARNESS_COMMIT` and `HARNESS_DIRTY` stand in where the code runs without its git folder (a bare compute node).
    """
    if "HARNESS_COMMIT" in os.environ:
        return {"commit": os.environ["HARNESS_COMMIT"], "dirty": os.environ.get("HARNESS_DIRTY") == "1"}
    if _git("rev-parse", "--show-toplevel") != str(
        ROOT
    ):  # installed somewhere in another project's repository
        return {"commit": "unknown", "dirty": None}
    changed = _git("status", "--porcelain", "--", "harness", "experiments")
    return {
        "commit": _git("rev-parse", "HEAD") or "unknown",
        "dirty": None if changed is None else bool(changed),
    }
