"""What an experiment, a row, a recipe, a profile and a trial are, how they are read, and how a trial is named."""

from harness.experiment.identity import canonical_json, trial_id
from harness.experiment.load import load_experiment, load_profile, load_recipe
from harness.experiment.spec import Experiment, Profile, Row, Trial

__all__ = [
    "Experiment",
    "Profile",
    "Row",
    "Trial",
    "canonical_json",
    "load_experiment",
    "load_profile",
    "load_recipe",
    "trial_id",
]
