"""Where a number comes from: code, versions, machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from harness.base.code import code_version
from harness.experiment.spec import Numerics

PACKAGES = ("torch", "numpy", "ray", "decord", "av", "fvcore")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )


def hardware(numerics: Numerics) -> dict[str, Any]:
    """Host, processor, cores and, on CUDA, the GPU's name and memory in GiB."""
    found: dict[str, Any] = {"host": socket.gethostname(), "processor": _processor(), "cores": os.cpu_count()}
    if numerics.device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        found |= {"gpu": properties.name, "gpu_gib": round(properties.total_memory / 2**30, 1)}
    return found


def provenance(numerics: Numerics) -> dict[str, Any]:
    """Everything about where and with what a trial ran; the caller adds seeds, manifest and times."""
    versions = {f"version_{name}": _version(name) for name in PACKAGES}
    return {
        **code_version(),
        **hardware(numerics),
        **versions,
        "version_python": platform.python_version(),
        "platform": sys.platform,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def cpu_seconds() -> float:
    """CPU seconds of this process and the children that it has waited for."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
