"""A user's own module across snippets: its contract, its options, its place in a baseline's network.

from harness.variants import check_variant
"""

from harness.variants.contract import CheckReport, check_variant
from harness.variants.place import option_grid, variant_row
from harness.variants.subject import Finding

__all__ = ["CheckReport", "Finding", "check_variant", "option_grid", "variant_row"]
