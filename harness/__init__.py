"""Ablation studies for video models: a declared grid, reproduced baselines, honest comparison."""

__version__ = "0.1.0"
