"""Intervals, paired comparison, power, order of a table's rows, and the calibration of all these.

Arrays in, numbers and dataclasses out: no words for readers, no files. A bad shape is a ValueError, since whoever calls
has lined the seeds and videos up.
"""
