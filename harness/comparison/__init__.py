"""One method against others: found by name, checked for comparability, tested, and put into words.

base = method(find_row("dsa"), profile, frame, seeds)
report = compare_methods([method(...)], base, profile)
print_document(document(report)); write_document(document(report), reports_root())
"""

from harness.comparison.build import Report, Versus, compare_methods
from harness.comparison.document import Document, print_document, write_document
from harness.comparison.select import BASELINES, RowRef, find_row, is_record_selector
from harness.comparison.words import as_data, document
from harness.methods.method import Method, method_of_records, method_of_trials

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
    "is_record_selector",
    "method_of_records",
    "method_of_trials",
    "print_document",
    "write_document",
]
