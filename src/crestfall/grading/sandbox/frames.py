"""Length-prefixed messages over a stream socket."""

from __future__ import annotations

import contextlib
import socket


class Frames:
    def __init__(self, stream: socket.socket) -> None:
        self._socket = stream

    def fileno(self) -> int:
        return self._socket.fileno()

    def put(self, body: bytes) -> None:
        """Send a message. If the other end has hung up, nothing is sent, and the next `get` reports it."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(len(body).to_bytes(8, "little") + body)

    def get(self) -> bytes | None:
        """The next message; None when the other end has hung up."""
        head = self._exactly(8)
        return None if head is None else self._exactly(int.from_bytes(head, "little"))

    def _exactly(self, size: int) -> bytes | None:
        data = bytearray()
        while len(data) < size:
            try:
                chunk = self._socket.recv(min(size - len(data), 1 << 20))
            except ConnectionResetError:
                return None
            if not chunk:
                return None
            data += chunk
        return bytes(data)

    def close(self) -> None:
        self._socket.close()
