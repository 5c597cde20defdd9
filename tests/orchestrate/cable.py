"""A connection that can be pulled and plugged in again: what is behind it is away for a while."""

from __future__ import annotations

import contextlib
import socket
import threading

HERE = "127.0.0.1"


class Cable:
    """Passes what reaches `port` on to another port of this machine, from the start."""

    def __init__(self, behind: int) -> None:
        self._behind = behind
        self._ends: list[socket.socket] = []
        self._plug(0)
        self.port = int(self._server.getsockname()[1])

    def pull(self) -> None:
        """Break all connections and refuse new ones."""
        for end in (self._server, *self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # closing alone wakes nobody
            end.close()
        self._ends.clear()

    def plug(self) -> None:
        self._plug(self.port)

    def _plug(self, port: int) -> None:
        self._server = socket.create_server((HERE, port))
        threading.Thread(target=self._accept, args=(self._server,), daemon=True).start()

    def _accept(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = server.accept()
                far = socket.create_connection((HERE, self._behind))
                self._ends += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=_pass_on, args=(one, other), daemon=True).start()


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while content := one.recv(65536):
            other.sendall(content)
        other.shutdown(socket.SHUT_WR)
