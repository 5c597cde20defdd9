"""A user's own module or model: its contract, its options, its place in a baseline's network.

from harness.variants import check_variant
"""

from harness.variants.contract import CheckReport, check_all, check_variant
from harness.variants.place import option_grid, variant_row
from harness.variants.subject import Finding

__all__ = ["CheckReport", "Finding", "check_all", "check_variant", "option_grid", "variant_row"]
