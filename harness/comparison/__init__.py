"""One method against others: found by name, checked for comparability, tested, and put into words.

base = method(find_row("dsa"), profile, frame, seeds)
report = compare_methods([method(...)], base, profile)
print_document(document(report)); write_document(document(report), reports_root())
"""

from harness.comparison.compare import Report, Versus, compare_methods
from harness.comparison.select import BASELINES, RowRef, find_row
from harness.comparison.words import as_data, document
from harness.methods import Method, method_of_records, method_of_trials
from harness.reports.render_terminal import print_document
from harness.reports.table import Document
from harness.reports.write import write_document

__all__ = [
    "BASELINES",
    "Document",
    "Method",
    "Report",
    "RowRef",
    "Versus",
    "as_data",
    "compare_methods",
    "document",
    "find_row",
    "method_of_records",
    "method_of_trials",
    "print_document",
    "write_document",
]
