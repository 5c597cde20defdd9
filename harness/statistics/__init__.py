"""Intervals, paired comparison, power, order of a table's rows, and the calibration of all these.

Arrays and frames in, frames and dataclasses out; knows no files and no plots.
"""
