"""A peer that sends any bytes it is told to, and takes the answer apart: for wrong peers."""

from __future__ import annotations

import socket
import time
from typing import Iterator

from codes import HEADER_LENGTH, PREFACE, Kind, close_name
from driver import Timeout
from fields import CloseFields, Extensions, Hello, accept_welcome
from wire import Header, frame

PLAIN = Hello(heartbeat=None)


def request(body: bytes = b"", *, slot: int = 0, generation: int = 1, route: str = "echo",
            flags: int = 0, deadline_ms: int | None = None) -> bytes:
    """A whole REQUEST frame to a named route."""
    block = Extensions(route=route, deadline_ms=deadline_ms).encode()
    return frame(Kind.REQUEST, block + body, flags=flags | 1, sequence=generation << 16 | slot)


class Raw:
    def __init__(self, address: tuple[str, int] | socket.socket, timeout: float = 5.0) -> None:
        """Dials, or takes a socket that has been accepted."""
        if isinstance(address, socket.socket):
            self.socket = address
        else:
            self.socket = socket.create_connection(address, timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.timeout = timeout
        self.welcome: Hello | None = None
        self._received = b""
        self._preface = False

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    @staticmethod
    def open(address: tuple[str, int], hello: Hello = PLAIN) -> Raw:
        """Dials and goes through the handshake."""
        raw = Raw(address)
        raw.send(PREFACE + frame(Kind.HELLO, hello.encode()))
        header, payload = raw.read(Kind.WELCOME)
        raw.welcome = accept_welcome(payload, hello.versions)
        return raw

    @staticmethod
    def accept(listener: socket.socket, welcome: bytes) -> Raw:
        """Accepts, waits for HELLO, and sends a WELCOME with this payload."""
        listener.settimeout(5.0)
        raw = Raw(listener.accept()[0])
        raw.read(Kind.HELLO)
        raw.send(PREFACE + frame(Kind.WELCOME, welcome))
        return raw

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def shut(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def frames(self) -> Iterator[tuple[Header, bytes]]:
        """All frames until the end of the stream; Timeout if that does not come."""
        end = time.monotonic() + self.timeout
        while True:
            found = self._next()
            if found is not None:
                yield found
                continue
            left = end - time.monotonic()
            if left <= 0:
                raise Timeout("neither a frame nor the end of the stream")
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionResetError:
                data = b""
            except TimeoutError:
                continue
            if not data:
                return
            self._received += data

    def _next(self) -> tuple[Header, bytes] | None:
        if not self._preface and len(self._received) >= len(PREFACE):
            if not self._received.startswith(PREFACE):
                raise AssertionError("LW-2.1: the peer's preface is wrong")
            self._preface = True
            self._received = self._received[len(PREFACE):]
        if not self._preface or len(self._received) < HEADER_LENGTH:
            return None
        header = Header.decode(self._received)
        whole = HEADER_LENGTH + header.length
        if len(self._received) < whole:
            return None
        payload = self._received[HEADER_LENGTH:whole]
        self._received = self._received[whole:]
        return header, payload

    def read(self, kind: Kind) -> tuple[Header, bytes]:
        """The next frame of a kind, passing over PINGs and CREDITs."""
        for header, payload in self.frames():
            if header.kind == kind:
                return header, payload
            if header.kind == Kind.CLOSE:
                fields = CloseFields.decode(payload)
                raise AssertionError(f"closed with {close_name(header.code)}: {fields.text}")
            if header.kind not in (Kind.PING, Kind.CREDIT):
                raise AssertionError(f"{Kind(header.kind).name} in place of {kind.name}")
        raise AssertionError(f"the stream ended before {kind.name}")

    def read_close(self) -> tuple[Header, bytes]:
        """The next CLOSE, whatever comes before it."""
        for header, payload in self.frames():
            if header.kind == Kind.CLOSE:
                return header, payload
        raise AssertionError("the stream ended without CLOSE")

    def during(self, seconds: float) -> list[tuple[Header, bytes]]:
        """All frames that come in some time, in which the stream must not end."""
        before, self.timeout = self.timeout, seconds
        found: list[tuple[Header, bytes]] = []
        try:
            for arrived in self.frames():
                found.append(arrived)
        except Timeout:
            return found
        finally:
            self.timeout = before
        raise AssertionError(f"the stream ended behind {len(found)} frames")

    def ending(self) -> tuple[list[tuple[Header, bytes]], int | None]:
        """All that comes until the end of the stream, and the code of CLOSE."""
        frames = list(self.frames())
        codes = [header.code for header, _ in frames if header.kind == Kind.CLOSE]
        if codes and frames[-1][0].kind != Kind.CLOSE:
            raise AssertionError("LW-7.1: CLOSE is not the last frame")
        return frames, codes[0] if codes else None
