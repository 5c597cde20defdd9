"""A method is a row with its records by seed; one rule says which methods are fairly compared.

rows = gather(load_experiment("ablation_a"), load_profile("embedded"), harness.results.load())
refusals(rows.methods[0], rows.methods[1]), notes(rows.methods[0], rows.methods[1])
"""

from harness.methods.fairness import Difference, notes, refusals
from harness.methods.gather import Gathered, gather
from harness.methods.method import NOT_RUN, Method, method_of_records, method_of_trials

__all__ = [
    "NOT_RUN",
    "Difference",
    "Gathered",
    "Method",
    "gather",
    "method_of_records",
    "method_of_trials",
    "notes",
    "refusals",
]
