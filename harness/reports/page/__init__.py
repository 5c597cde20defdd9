"""The report page: reports/index.html, one self-contained file that opens from disk.

from harness.reports.page import build_page
"""

from harness.reports.page.assemble import build_page

__all__ = ["build_page"]
