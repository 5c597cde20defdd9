"""Differences in a metric that is no mean over videos (mAP): its variance is estimated by drawing videos again.

The variance model is that of `intervals`. Only what has no closed form is drawn: each draw takes test videos with
replacement, the same for both methods and all seeds, and asks for the difference of every seed on them.

    spread over draws of one seed's difference, mean over seeds     (var_video + var_residual) / V
    spread over draws of the seeds' mean difference                  var_video / V + var_residual / (S V)
    spread over seeds of the difference on all videos, over S        var_seed / S + var_residual / (S V)

The seeds are few, so drawing them again would show too small a spread; they enter by Student's t as everywhere else.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from harness.statistics.intervals import Errors, Floats, Interval, Tested, tested

Videos = NDArray[np.intp]


def resampled_difference(
    difference_S: Callable[[Videos], Floats],
    n_videos: int,
    *,
    alpha: float = 0.05,
    n_draws: int = 1000,
    rng_seed: int = 0,
) -> Tested:
    """Interval and p-value of a metric's difference, new minus base, over new seeds and new videos.

    `difference_S(videos)` gives one number a seed, in points, of the metric on these videos (indices, some of them
    more than once). A draw on which it is not finite (a class without a positive) is left out. One seed, one video
    or a metric without any spread gives the difference alone.
    """
    seeds_S = np.asarray(difference_S(np.arange(n_videos)), dtype=float)
    S, mean = seeds_S.size, float(seeds_S.mean())
    alone = Tested(Interval(mean, None, None, S), None, None)
    if S < 2 or n_videos < 2:
        return alone
    rng = np.random.default_rng(rng_seed)
    draws_BS = np.stack([difference_S(rng.integers(n_videos, size=n_videos)) for _ in range(n_draws)])
    draws_BS = draws_BS[np.isfinite(draws_BS).all(1)]
    if len(draws_BS) < 2:
        return alone
    # Drawing V videos with replacement shows (V - 1) / V of their variance.
    single = float(draws_BS.var(0, ddof=1).mean()) * n_videos / (n_videos - 1)
    joint = float(draws_BS.mean(1).var(ddof=1)) * n_videos / (n_videos - 1)
    residual = max(0.0, single - joint) / (S - 1)
    seed = float(seeds_S.var(ddof=1)) / S
    errors = Errors(seed, max(0.0, joint - residual), residual, S, n_videos)
    return alone if errors.total == 0 else tested(mean, errors, alpha)
