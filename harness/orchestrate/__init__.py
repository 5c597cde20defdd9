"""A list of trials in, records in the store out. Ray is imported nowhere else, and only when needed."""

from harness.orchestrate.execute import Outcome, execute

__all__ = ["Outcome", "execute"]
