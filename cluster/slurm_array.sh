#!/usr/bin/env bash
# A SLURM job array without Ray: every task walks the same list of trials, and a claim a trial keeps them apart.
#
#   sbatch --array=0-7 cluster/slurm_array.sh ablation_a --profile embedded --seeds 5
#
# Needs a folder that all nodes see for results (HARNESS_RESULTS) and datasets (HARNESS_DATA), or a URI for results.
# Resubmit the same line to go on after the time limit: what is finished is not run again.
#SBATCH --job-name=harness
#SBATCH --cpus-per-task=1
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
set -u
harness=${HARNESS:-.venv/bin/harness}
stopped=0
trap 'stopped=1; kill -USR1 "${child:-0}" 2>/dev/null' USR1 TERM

for id in $("$harness" plan "$@" --ids); do
  "$harness" run "$@" --trial "$id" &
  child=$!
  wait "$child"; code=$?
  while kill -0 "$child" 2>/dev/null; do wait "$child"; code=$?; done # a signal ends `wait` before the trial ends
  [ "$stopped" = 1 ] && exit 130
  [ "$code" -ge 2 ] && exit "$code" # bad input or surroundings; 1 is a failed trial: a row with a reason
done
exit 0
