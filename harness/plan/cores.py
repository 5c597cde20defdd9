"""How many cores this process may use: its affinity, and a container's quota."""

from __future__ import annotations

import os
from pathlib import Path

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
CPU_QUOTA = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
CPU_PERIOD = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


def available_cores() -> int:
    """At least 1. `docker --cpus 2` on a large host counts as 2."""
    cores = len(os.sched_getaffinity(0))
    quota = _quota()
    return cores if quota is None else max(1, min(cores, int(quota)))


def _quota() -> float | None:
    """Cores that the control group grants (version 2, then 1), or None without a limit."""
    try:
        quota, period = CPU_MAX.read_text().split()
    except (OSError, ValueError):
        try:
            quota, period = CPU_QUOTA.read_text(), CPU_PERIOD.read_text()
        except OSError:
            return None
    return None if quota == "max" or int(quota) < 0 else int(quota) / int(period)
