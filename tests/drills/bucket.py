"""`python -m tests.drills.bucket HOST PORT`: moto's S3 server with an empty bucket `runs`, until standard input ends.

Port 0 takes a free one. Its last line is `ready HOST:PORT`.
"""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from moto.server import ThreadedMotoServer

from harness.experiment.load import ROOT

ACCESS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextmanager
def served() -> Iterator[str]:
    """A URI in the bucket of a server in a process of its own, with `{}` where a store's name goes."""
    command = [sys.executable, "-m", "tests.drills.bucket", "127.0.0.1", "0"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None
        address = next(line.split()[1] for line in server.stdout if line.startswith("ready"))
        try:
            yield f"s3://runs/{{}}?scheme=http&endpoint_override={address}&region=us-east-1"
        finally:
            server.kill()


if __name__ == "__main__":
    server = ThreadedMotoServer(ip_address=sys.argv[1], port=int(sys.argv[2]))
    server.start()
    host, port = server.get_host_and_port()
    request = urllib.request.Request(f"http://{host}:{port}/runs", method="PUT")
    urllib.request.urlopen(request, timeout=30).close()
    print(f"ready {host}:{port}", flush=True)
    sys.stdin.read()
