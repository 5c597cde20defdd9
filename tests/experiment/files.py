"""An experiment and a profile as text, to be spoiled line by line."""

from __future__ import annotations

from pathlib import Path

EXPERIMENT = """\
name: mine
title: A user's own table
defaults:
  model: i3d_r50
  train: {T: 4, U: 4}
  test: {U: 8, crops: 3, grouping: interleaved}
rows:
  - name: plain
  - name: module
    aggregation:
      name: dsa
      position: II
      alpha: 2
      beta: 1/8
      stages: [res5]
"""

PROFILE = """\
name: small
description: For the tests.
dataset:
  name: scripted_digits
  scale: 0.5
scale:
  width: 8
  crop_px: 24
recipe:
  optimizer: adamw
  lr: 2.0e-3
  weight_decay: 0.01
  schedule: cosine
  warmup_epochs: 1
  epochs: 5
  batch_videos: 16
  clip_norm: 5
input: {mean: [110, 110, 110], std: [50, 50, 50]}
test: {clips: 10, snippets: 8, crops: 1, grouping: interleaved}
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def spoiled(text: str, old: str, new: str) -> str:
    """`text` with `old`, which must stand there once, replaced."""
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times"
    return text.replace(old, new)
