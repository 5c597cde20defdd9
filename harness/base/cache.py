"""What is slow to work out and the same every time, kept as JSON in the user's cache.

    found = cached_json("counts", key, lambda: count(network))

`key` holds all that the value depends on: any JSON data, most often with `source_hash` of the code that makes it. An
entry that is damaged is made anew, and a folder that cannot be written is no error: the value is then just computed.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from harness.base.errors import StorageError, UserError
from harness.base.files import cache_root, write_atomically

Value = TypeVar("Value")
KEPT = 2000  # entries a kind; above it the older half goes
_PACKAGE = Path(__file__).resolve().parents[1]


def cached_json(kind: str, key: Any, make: Callable[[], Value]) -> Value:
    """The value kept for (`kind`, `key`), else `make()`, which is kept when it is JSON. What `make` raises passes."""
    digest = hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()
    try:
        path = cache_root() / kind / f"{digest[:32]}.json"
    except UserError:  # a home that does not exist
        return make()
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        entry = json.loads(path.read_bytes())
        if entry["key"] == digest and entry["sum"] == _sum(entry["value"]):
            kept: Value = entry["value"]
            return kept
    value = make()
    text = json.dumps({"key": digest, "sum": _sum(value), "value": value})
    with contextlib.suppress(StorageError):
        write_atomically(path, text.encode())
        _keep_few(path.parent)
    return value


def _sum(value: Any) -> str:
    """Against an entry that was torn or touched: JSON alone reads many of those."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def _keep_few(folder: Path) -> None:
    with contextlib.suppress(OSError):
        if sum(1 for _ in folder.iterdir()) > KEPT:
            by_age = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
            for path in by_age[: len(by_age) // 2]:
                path.unlink(missing_ok=True)


@functools.cache
def source_hash(*parts: str) -> str:
    """Of the text of these parts of the package: `models` (a folder and all below it), `plan/expand.py`."""
    content = hashlib.sha256()
    for part in parts:
        place = _PACKAGE / part
        for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
            content.update(f"{path.relative_to(_PACKAGE)}\0".encode() + path.read_bytes() + b"\0")
    return content.hexdigest()


@functools.cache
def versions(packages: Sequence[str]) -> dict[str, str]:
    """Their installed versions, without importing them."""
    return {name: metadata.version(name) for name in packages}
