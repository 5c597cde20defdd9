"""The trial's identity: a hash of all that can change its numbers, and of nothing else.

Paths, hosts, comments, key order and table membership stay outside. A variant counts by its source text, not by
its file's name; the options of a module that is not there do not exist in the first place (`Network` is resolved).
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from harness.experiment.spec import Trial


def canonical_json(data: Any) -> str:
    """JSON with sorted keys and no spaces; integral floats are written as integers, so `1` and `1.0` are one value."""
    return json.dumps(_plain(data), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def trial_id(trial: Trial) -> str:
    """Twelve hex digits, stable across machines and sessions."""
    data = trial.model_dump(mode="json")
    if trial.variant is not None:
        data["variant"] = {"source": hashlib.sha256(trial.variant.source.encode()).hexdigest()}
    return hashlib.sha256(canonical_json(data).encode()).hexdigest()[:12]
