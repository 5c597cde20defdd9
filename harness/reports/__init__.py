"""Tables as data and their renderers, figures, and the cost table.

from harness.reports import build_table, cost_table, print_table, write_tables
from harness.reports.figures import write_figures  # imports matplotlib
"""

from harness.reports.cost_table import cost_table
from harness.reports.render_terminal import print_table
from harness.reports.table import Cell, Column, Line, Table
from harness.reports.tables import build_table
from harness.reports.write import reports_root, write_tables

__all__ = [
    "Cell",
    "Column",
    "Line",
    "Table",
    "build_table",
    "cost_table",
    "print_table",
    "reports_root",
    "write_tables",
]
