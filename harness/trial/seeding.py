"""Seeds from (seed, purpose) alone: never from order, time, host or trial id.

Two rows with the same seed see the same videos in the same order with the same crops; that is what makes
their comparison paired.
"""

from __future__ import annotations

import hashlib
import os
import random

import numpy as np
import torch

from harness.experiment.spec import Numerics


def seed_for(seed: int, purpose: str) -> int:
    """A 63-bit seed for one purpose ("init", "train", "data")."""
    digest = hashlib.sha256(f"{purpose}:{seed}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def seed_everything(seed: int, purpose: str) -> None:
    """Seed torch (all devices), numpy's and Python's global generators."""
    value = seed_for(seed, purpose)
    torch.manual_seed(value)
    np.random.seed(value % 2**32)
    random.seed(value)


def set_numerics(numerics: Numerics) -> None:
    """Fix what decides the last bits: threads, and whether kernels may depend on the moment (CUDA)."""
    torch.set_num_threads(numerics.threads)
    if numerics.device == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(numerics.deterministic, warn_only=True)
        torch.backends.cudnn.benchmark = not numerics.deterministic
