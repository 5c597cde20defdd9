#!/usr/bin/env bash
# One experiment, run by Ray and by two tasks of a job array at the same time; its numbers beside those of one process.
#
#   tests/drills/shared_run.sh [EPOCHS] [SEEDS]
#
# HARNESS_PYTHON is the interpreter (.venv's). The array's tasks are cluster/slurm_array.sh as SLURM would start it.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
python=${HARNESS_PYTHON:-$here/.venv/bin/python}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONPATH=$here HARNESS_DATA=$work/data HARNESS_CACHE=$work/cache HARNESS_RESULTS=$work/shared HARNESS=${python%/*}/harness
"$here/tests/drills/profile.sh" "${1:-10}" "$work/drill.yaml"
asked=(ablation_a --profile "$work/drill.yaml" --seeds "${2:-2}")
say() { printf '\n# %s\n' "$*"; }

"$HARNESS" run "${asked[@]}" > "$work/ray" 2>&1 & runs=("$!")
until ls "$work"/shared/claims/*.json > /dev/null 2>&1; do sleep 0.2; done # Ray has its first trial
for task in 1 2; do
  "$here/cluster/slurm_array.sh" "${asked[@]}" > "$work/array$task" 2>&1 & runs+=("$!")
done
codes=()
for run in "${runs[@]}"; do code=0; wait "$run" || code=$?; codes+=("$code"); done
say "harness run ablation_a --profile drill.yaml --seeds ${2:-2}"
cat "$work/ray"
for task in 1 2; do
  say "cluster/slurm_array.sh ablation_a --profile drill.yaml --seeds ${2:-2}, task $task"
  cat "$work/array$task"
done
ran=$(grep -c '^\[ *[1-9][0-9]* s .*\] done' "$work/array1" "$work/array2" | cut -d: -f2 | paste -sd ' ')
say "exit codes ${codes[*]}; trials and starts run by task 1 and task 2: $ran; by Ray: the others"
say "an undisturbed run, in one process without Ray, and both compared"
HARNESS_DATA=$work/plain-data "$HARNESS" run "${asked[@]}" --inline --results "$work/plain" 2>&1 | tail -n 1
"$python" -m tests.drills.same "$work/shared" "$work/plain"
