#!/usr/bin/env bash
# profile.sh EPOCHS FILE: the smoke profile with more epochs, so that a trial lasts long enough to be disturbed.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
sed -e "s/^name: .*/name: $(basename "$2" .yaml)/" \
  -e "s/^recipe: smoke/recipe: {optimizer: adamw, lr: 2.0e-3, weight_decay: 0.01, schedule: cosine, warmup_epochs: 0.5, epochs: $1, batch_videos: 8, clip_norm: 5}/" \
  "$here/experiments/profiles/smoke.yaml" > "$2"
