"""A process that knows nothing of the variant's file: a trial as JSON in, its fingerprint as JSON out."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from harness.experiment.spec import Trial
from harness.variants.network import fingerprint


def main() -> None:
    trial = Trial.model_validate_json(sys.stdin.read())
    print(json.dumps(asdict(fingerprint(trial))))


if __name__ == "__main__":
    main()
