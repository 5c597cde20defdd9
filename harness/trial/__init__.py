"""One trial from start to end, and nothing about Ray: `run_trial(trial) -> Record`."""
