"""Where a method's records are gathered by seed, and the one rule of what may be compared."""
