"""The parquet store: one record written atomically, all records read as one frame."""

from harness.results.frame import Unreadable, baseline_roots, load, runs_root
from harness.results.store import Store

__all__ = ["Store", "Unreadable", "baseline_roots", "load", "runs_root"]
