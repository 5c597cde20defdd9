"""Ray nodes of this machine, each a raylet of its own as `ray start` makes it, that can be killed one by one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from harness.base.ports import free_port
from harness.experiment.load import ROOT

RAY = str(Path(sys.executable).with_name("ray"))
OWN_PORTS = ("dashboard-agent-listen", "dashboard-agent-grpc", "metrics-export", "runtime-env-agent")
START = 120.0  # seconds; a quiet machine needs ten
_ALIVE = (
    "import sys, ray; ray.init(sys.argv[1], log_to_driver=False, logging_level=50); "
    "print(sum(node['Alive'] for node in ray.nodes()))"
)


class Nodes:
    """A head without a CPU and `workers` nodes of one CPU each, with a token of their own."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.port, self.workers = free_port(), workers
        self.address = f"127.0.0.1:{self.port}"
        path = {"PYTHONPATH": str(ROOT)}  # the stand-in trials are tests, which are not shipped
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0f" * 32}
        quick = {"RAY_gcs_rpc_server_reconnect_timeout_s": "5"}  # Ray's own: 60
        self.environment = {
            **os.environ,
            "HOME": str(folder),
            "HARNESS_FAKE_DIR": str(folder),
            **path,
            **token,
            **quick,
        }
        self.log = folder / "nodes.log"
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """The head, then one worker after the other. AssertionError with what they said where one does not come up."""
        self._start("--head", f"--port={self.port}", "--num-cpus=0", "--include-dashboard=false")
        self._until_there_are(1)
        for number in range(self.workers):
            self._start(f"--address={self.address}", "--num-cpus=1")
            self._until_there_are(2 + number)

    def _start(self, *options: str) -> None:
        own = (f"--{name}-port={free_port()}" for name in OWN_PORTS)  # the defaults are one a machine
        any_port = ("--min-worker-port=0", "--max-worker-port=0")
        ip = "--node-ip-address=127.0.0.1"
        command = [RAY, "start", *options, ip, *own, *any_port, "--object-store-memory=100000000", "--block"]
        with self.log.open("ab") as log:
            self.started.append(
                subprocess.Popen(
                    command,
                    env=self.environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    def _until_there_are(self, nodes: int) -> None:
        end, said = time.monotonic() + START, ""
        while time.monotonic() < end:
            asked = subprocess.run(
                [sys.executable, "-c", _ALIVE, self.address],
                env=self.environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if asked.stdout.strip() == str(nodes):
                return
            said = asked.stdout + asked.stderr[-500:]
        raise AssertionError(f"{nodes} nodes did not come up: {said} {self.log.read_text()[-2000:]}")

    def kill_node_of(self, worker: int) -> None:
        """kill -9 of the raylet whose worker process this is; its workers end with it."""
        raylet = int(Path(f"/proc/{worker}/stat").read_text().rsplit(")", 1)[1].split()[1])
        assert "raylet" in Path(f"/proc/{raylet}/comm").read_text()
        os.kill(raylet, signal.SIGKILL)

    def kill_head(self) -> None:
        """kill -9 of the head's raylet and of the cluster's control store."""
        for pid, command in self._processes():
            if "gcs_server" in command or "--head" in command:
                _kill(pid)

    def end(self) -> None:
        """Whatever still runs of any node."""
        for process in self.started:
            process.kill()
            process.wait()
        for pid, _ in self._processes():
            _kill(pid)

    def _processes(self) -> list[tuple[int, str]]:
        """(pid, command line) of all that names this cluster's port."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if str(self.port) in command and "ray" in command:
                    found.append((int(path.parent.name), command))
        return found


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
