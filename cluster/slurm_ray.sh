#!/usr/bin/env bash
# A Ray cluster inside one SLURM allocation: a head, a worker on every other node, the run, and an end to it all.
#
#   sbatch --nodes=3 cluster/slurm_ray.sh ablation_a --profile embedded --seeds 5
#
# Needs a folder that all nodes see for results (HARNESS_RESULTS) and datasets (HARNESS_DATA), or a URI for results.
# Submit the same line again to go on after the time limit: what is finished is not run again.
#SBATCH --job-name=harness-ray
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@120
set -u
bin=${HARNESS_BIN:-.venv/bin}
port=${RAY_PORT:-6379}
cpus=${SLURM_CPUS_PER_TASK:?run it by sbatch: it takes nodes and cores from SLURM}
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
# Others have accounts on these nodes: without the token nobody joins this Ray or runs code in it.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN RAY_USAGE_STATS_ENABLED=0
RAY_AUTH_TOKEN=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')
steps=()
stopped=0
end() { [ ${#steps[@]} = 0 ] || kill "${steps[@]}" 2>/dev/null; }
trap end EXIT
trap 'stopped=1; kill -USR1 "${run:-0}" 2>/dev/null' USR1 TERM INT

address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}'):$port
srun --nodes=1 --ntasks=1 --nodelist="$head" "$bin/ray" start --head --node-ip-address="${address%:*}" --port="$port" \
  --num-cpus="$cpus" --include-dashboard=false --block &
steps+=($!)
for _ in $(seq 60); do
  "$bin/ray" status --address="$address" >/dev/null 2>&1 && break
  kill -0 "${steps[0]}" 2>/dev/null || { echo "error: the head on $head ended before it answered; its output is above" >&2; exit 2; }
  sleep "${RAY_POLL_SECONDS:-2}"
done
if [ ${#nodes[@]} -gt 1 ]; then
  others=$((${#nodes[@]} - 1))
  srun --nodes="$others" --ntasks="$others" --exclude="$head" "$bin/ray" start --address="$address" --num-cpus="$cpus" --block &
  steps+=($!)
fi
"$bin/harness" run "$@" --cluster "$address" &
run=$!
wait "$run"; code=$?
while kill -0 "$run" 2>/dev/null; do wait "$run"; code=$?; done # a signal ends `wait` before the run ends
[ "$stopped" = 1 ] && exit 130
exit "$code"
