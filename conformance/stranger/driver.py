"""A blocking driver: one endpoint on one socket, with `selectors`."""

from __future__ import annotations

import selectors
import socket
import time
from typing import Callable, Iterator

from lw1 import CallLost, Endpoint, Event, Hello, Limits, Lost, Push, Reply, Role
from lw1 import CloseFields, UsageError

WRITE_BUFFER = 128 << 10


class Timeout(Exception):
    """Something did not happen in the time that the caller gave it."""


def parse_address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


class Connection:
    """Runs an endpoint. Events are kept in `events` until somebody takes them."""

    def __init__(self, sock: socket.socket, endpoint: Endpoint, piece: int = 1 << 16) -> None:
        self.endpoint = endpoint
        self.events: list[Event] = []
        self.closed = False
        self._socket = sock
        self._piece = piece
        self._pending = b""
        self._shut = False
        self._ended = False
        sock.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(sock, selectors.EVENT_READ)

    @staticmethod
    def dial(address: tuple[str, int], mine: Hello = Hello(), limits: Limits = Limits(),
             timeout: float = 10.0, piece: int = 1 << 16) -> Connection:
        """Connects and waits for the end of the handshake.

        `piece` limits how many bytes are written at once.
        """
        sock = socket.create_connection(address, timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(sock, Endpoint(Role.DIALER, mine, time.monotonic(), limits), piece)
        connection.run(lambda: connection.endpoint.open or connection.closed, timeout)
        return connection

    @staticmethod
    def accept(listener: socket.socket, mine: Hello = Hello(), limits: Limits = Limits(),
               timeout: float = 10.0, decide: Callable[[Hello], tuple[int, CloseFields] | None]
               | None = None) -> Connection:
        listener.settimeout(timeout)
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        endpoint = Endpoint(Role.ACCEPTOR, mine, time.monotonic(), limits, decide)
        return Connection(sock, endpoint)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.abandon()

    def run(self, until: Callable[[], bool], timeout: float) -> None:
        """Reads and writes until something is so. Gives up after `timeout` seconds."""
        end = time.monotonic() + timeout
        while not until():
            left = end - time.monotonic()
            if left <= 0:
                raise Timeout(f"nothing for {timeout} s")
            self.step(left)

    def step(self, wait: float) -> None:
        if self.closed:
            raise Timeout("the connection is closed")
        self._flush()  # what the application has asked for meanwhile
        timer = self.endpoint.next_timer()
        if timer is not None:
            wait = min(wait, max(0.0, timer - time.monotonic()))
        for key, ready in self._selector.select(wait):
            if ready & selectors.EVENT_READ:
                self._read()
        self.endpoint.tick(time.monotonic())
        self._flush()
        self.events += self.endpoint.take_events()
        if self.endpoint.finished and not self._pending:
            self.abandon()

    def abandon(self) -> None:
        """Closes the socket, whatever the state."""
        if not self.closed:
            self.closed = True
            self._selector.close()
            self._socket.close()

    def _read(self) -> None:
        try:
            data = self._socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._ended = True
        self.endpoint.receive(data, time.monotonic())

    def _flush(self) -> None:
        """Writes what the socket takes. Frames get their place as late as possible (LW-1.4)."""
        while not self.closed:
            if not self._pending:
                self._pending = self.endpoint.output(time.monotonic(), WRITE_BUFFER)
            if not self._pending:
                break
            try:
                sent = self._socket.send(self._pending[:self._piece])
            except BlockingIOError:
                break
            except OSError:
                self._pending = b""
                self._ended = True
                if not self.endpoint.finished:
                    self.endpoint.receive(b"", time.monotonic())
                break
            self._pending = self._pending[sent:]
        if self.endpoint.close_placed and not self._pending and not self._shut:
            self._shut = True
            self._shutdown()
            self.endpoint.close_written(time.monotonic())
        self._watch()

    def _shutdown(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _watch(self) -> None:
        if self.closed:
            return
        wanted = (0 if self._ended else selectors.EVENT_READ)
        wanted |= selectors.EVENT_WRITE if self._pending else 0
        registered = self._selector.get_map().get(self._socket)
        if registered is None and wanted:
            self._selector.register(self._socket, wanted)
        elif registered is not None and not wanted:
            self._selector.unregister(self._socket)
        elif registered is not None and registered.events != wanted:
            self._selector.modify(self._socket, wanted)

    # Conveniences

    def take(self, kind: type) -> Iterator[Event]:
        """Takes the events of one type out of `events`."""
        self.events += self.endpoint.take_events()
        found = [event for event in self.events if isinstance(event, kind)]
        self.events = [event for event in self.events if not isinstance(event, kind)]
        yield from found

    def replies(self, call_ids: set[int], timeout: float) -> list[Reply]:
        """Waits for the final replies of some calls; they come in the order of their arrival."""
        found: list[Reply] = []
        missing = set(call_ids)

        def all_there() -> bool:
            for event in self.take(Reply):
                if isinstance(event, Reply) and event.call_id in missing:
                    missing.remove(event.call_id)
                    found.append(event)
            return not missing or self.closed

        self.run(all_there, timeout)
        if missing:
            raise UsageError(f"{len(missing)} calls lost: {self.why()}")
        return found

    def call(self, route: int | str, body: bytes = b"", timeout: float = 10.0,
             deadline: float | None = None) -> Reply:
        call_id = self.endpoint.call(route, body, deadline=deadline)
        return self.replies({call_id}, timeout)[0]

    def pushes(self, count: int, timeout: float) -> list[Push]:
        """Waits for pushes, and returns their charges."""
        found: list[Push] = []

        def enough() -> bool:
            for event in self.take(Push):
                if isinstance(event, Push):
                    self.endpoint.finish_push(event)
                    found.append(event)
            return len(found) >= count or self.closed

        self.run(enough, timeout)
        return found

    def finish(self, timeout: float = 10.0) -> None:
        """Runs until the connection is closed."""
        self.run(lambda: self.closed, timeout)

    def why(self) -> str:
        """What ended the connection, in words."""
        ends = [event for event in self.events if not isinstance(event, (CallLost, Push, Reply))]
        lost = [event.why for event in ends if isinstance(event, Lost)]
        return "; ".join(lost or [str(event) for event in ends]) or "it is open"
