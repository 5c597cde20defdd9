"""Rows and seeds into trials, what of them is done, and what the rest will take."""
