#!/usr/bin/env bash
# A run on three hosts that share no folder. The object store is away for a minute, then one host dies; the numbers
# beside those of an undisturbed run.
#
#   tests/drills/three_hosts.sh [EPOCHS] [SEEDS]
#
# Hosts 1 to 3 are a Ray cluster (a head without a CPU, two workers of one), host 4 is the object store. The workers have
# no checkout: code, records, checkpoints and trunks travel. Needs root; HARNESS_PYTHON is the interpreter (.venv's).
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
python=${HARNESS_PYTHON:-$here/.venv/bin/python}
installed=$(cd / && "$python" -c "import harness, pathlib; print(pathlib.Path(harness.__file__).parents[1])")
work=$(mktemp -d -p /var/tmp) # each host has a /tmp of its own
hosts=$here/tests/drills/hosts.sh
export HOSTS_STATE=$work/hosts
trap '"$hosts" down; rm -rf "$work"' EXIT
env=(env -i PATH="$PATH" HOME=/tmp RAY_AUTH_MODE=token RAY_AUTH_TOKEN="$(printf '0f%.0s' {1..32})" RAY_USAGE_STATS_ENABLED=0
  AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_EC2_METADATA_DISABLED=true PYTHONDONTWRITEBYTECODE=1)
store="s3://runs/drill?scheme=http&endpoint_override=10.78.0.4:9000&region=us-east-1"
on() { "$hosts" in "$1" "${env[@]}" "${@:2}"; }
head_has() { on 1 env HARNESS_CACHE=/tmp/cache HARNESS_DATA=/tmp/data PYTHONPATH="$here" "$python" "$@"; }
say() { printf '\n# %s\n' "$*"; }
wait_for() { for _ in $(seq 300); do grep -q "$1" "$2" && return; sleep 1; done; echo "no '$1' in $2:"; tail -n 20 "$2"; exit 1; }

"$here/tests/drills/profile.sh" "${1:-20}" "$work/drill.yaml"
"$hosts" up 4
mkfifo "$work/alive"
exec 9<> "$work/alive" # the server's standard input: it ends with this script
on 4 env PYTHONPATH="$here" "$python" -m tests.drills.bucket 10.78.0.4 9000 < "$work/alive" > "$work/bucket.log" 2>&1 &
wait_for ready "$work/bucket.log"
ray=("$python" -m ray.scripts.scripts start --object-store-memory=80000000 --block)
on 1 "${ray[@]}" --head --node-ip-address=10.78.0.1 --port=6379 --num-cpus=0 --include-dashboard=false > "$work/ray1.log" 2>&1 &
wait_for "runtime started" "$work/ray1.log"
for i in 2 3; do
  for folder in "$here"/{harness,experiments,tests} "$installed"/{harness,experiments}; do "$hosts" hide "$i" "$folder"; done
  on "$i" "${ray[@]}" --address=10.78.0.1:6379 --node-ip-address="10.78.0.$i" --num-cpus=1 > "$work/ray$i.log" 2>&1 &
  wait_for "runtime started" "$work/ray$i.log"
done
say "host 2 has no code of the harness: $(on 2 find "$here/harness" "$installed/harness" -type f | wc -l) files"

experiment=(ablation_a --profile "$work/drill.yaml" --seeds "${2:-2}")
say "host 1: harness run ablation_a --profile drill.yaml --seeds ${2:-2} --cluster 10.78.0.1:6379 --results '$store'"
head_has -m harness run "${experiment[@]}" --cluster 10.78.0.1:6379 --results "$store" > "$work/run.log" 2>&1 & run=$!
until_host_3_sent_a_checkpoint() {
  head_has -c '
import sys, time
from harness.base.storage import storage_at
from harness.orchestrate.claims import Claims
storage = storage_at(sys.argv[1])
while not [t for t in Claims(storage).tickets() if t.who and t.who.host == "host3"
           and storage.stamp(f"checkpoints/{t.trial}/last.pt")]:
    time.sleep(0.5)
' "$store"
}
until_host_3_sent_a_checkpoint
say "the object store is away for a minute: $(tail -n 1 "$work/run.log")"
"$hosts" cable 4 down; sleep 60; "$hosts" cable 4 up
say "it is back: $(tail -n 1 "$work/run.log")"
say "host 1: harness status"
head_has -m harness status "${experiment[@]}" --results "$store"
until_host_3_sent_a_checkpoint
say "host 3 loses its power"
"$hosts" kill 3
code=0; wait "$run" || code=$?
cat "$work/run.log"
echo "exit code $code"
say "an undisturbed run, in one process without Ray, and both compared"
HARNESS_DATA=$work/data HARNESS_CACHE=$work/cache PYTHONPATH=$here "$python" -m harness run "${experiment[@]}" --inline --results "$work/plain" 2>&1 | tail -n 1
on 4 env HARNESS_CACHE=/tmp/cache PYTHONPATH="$here" "$python" -m tests.drills.same "$store" "$work/plain"
