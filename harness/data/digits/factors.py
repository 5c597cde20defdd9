"""Why a row wins on Scripted Digits: its answers by factor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.data.digits.script import classes
from harness.experiment.datasets import ScriptedDigits


def factor_answers(
    spec: ScriptedDigits, predicted_V: NDArray[np.int64], labels_V: NDArray[np.int64]
) -> dict[str, tuple[NDArray[np.int64], NDArray[np.bool_]]]:
    """Factor -> (places (F,) of the videos it is about, right (F,) in it), from the predicted and the true labels.

    appearance: every video; right where the predicted class has the right actor. A script family (motion, order,
    position): that family's videos; right where the predicted class has the right script, whoever the actor.
    Families without a video are left out.
    """
    table = classes(spec)
    actor_K, script_K = np.array([c.actor for c in table]), np.array([c.script for c in table])
    family_V = np.array([c.family for c in table])[labels_V]
    right_script_V = script_K[predicted_V] == script_K[labels_V]
    answers = {"appearance": (np.arange(len(labels_V)), actor_K[predicted_V] == actor_K[labels_V])}
    for family in np.unique(family_V):
        places = np.flatnonzero(family_V == family)
        answers[str(family)] = places, right_script_V[places]
    return answers
