"""LW/1 without I/O: bytes in, bytes out, events.

    endpoint = Endpoint(Role.DIALER, Hello(), now)
    endpoint.receive(data, now)         what the stream brought; b"" is the end of the stream
    endpoint.output(now)                what to write next; the frames in it are sent (LW-1.4)
    endpoint.take_events()              what happened
    endpoint.next_timer(), .tick(now)   when to come back at the latest

`now` is any clock in seconds that does not go backwards.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Callable

from codes import DRAIN, Close, Kind, Lane, LwError, Status, UsageError
from events import (CallLost, CancelRequested, Draining, Event, Failed, Lost, Opened, PeerClosed,
                    Pong, Push, Reply, Request, Route)
from fields import CloseFields, Extensions, Hello
from receiver import Receiver
from sender import Sender
from session import Role, Session
from wire import frame

__all__ = ["CallLost", "CancelRequested", "Close", "CloseFields", "Draining", "Endpoint", "Event",
           "Extensions", "Failed", "Hello", "Lane", "Limits", "Lost", "LwError", "Opened",
           "PeerClosed", "Pong", "Push", "Reply", "Request", "Role", "Route", "Status",
           "UsageError"]

PIECE = 64 << 10


@dataclass(frozen=True)
class Limits:
    """Time limits of this side, in seconds. The defaults are those of section 11."""

    handshake: float = 10.0
    grace: float = 10.0
    write_close: float = 30.0
    linger: float = 5.0


class Endpoint:
    """One side of one connection.

    `decide` is the acceptor's application: it looks at a HELLO and gives None to accept it, or a
    close code and fields to refuse it (LW-3.7).
    """

    def __init__(self, role: Role, mine: Hello, now: float, limits: Limits = Limits(),
                 decide: Callable[[Hello], tuple[int, CloseFields] | None] | None = None) -> None:
        self._s = Session(role, mine, now, decide)
        self._sender = Sender(self._s)
        self._receiver = Receiver(self._s, self._sender)
        self._limits = limits
        self._lingers_from: float | None = None

    # Bytes and time

    def receive(self, data: bytes, now: float) -> None:
        s = self._s
        s.now = now
        s.heard_at = now
        if not data:
            s.end_of_stream()
        elif not s.discarding:
            self._receiver.feed(data)

    def output(self, now: float, limit: int = PIECE) -> bytes:
        """About `limit` bytes of frames. To be called when the stream has room for them."""
        s = self._s
        s.now = now
        pieces: list[bytes] = []
        size = 0
        while size < limit:
            piece = self._sender.next_frame()
            if piece is None:
                break
            pieces.append(piece)
            size += len(piece)
        if pieces:
            s.placed_at = now
        return b"".join(pieces)

    @property
    def close_placed(self) -> bool:
        """CLOSE is in the output: when it is written, shut down writing (LW-7.4)."""
        return self._s.close_placed

    def close_written(self, now: float) -> None:
        self._lingers_from = now

    @property
    def finished(self) -> bool:
        """The socket may be closed."""
        s = self._s
        return s.aborted or s.eof and s.close_placed

    def take_events(self) -> list[Event]:
        events, self._s.events = self._s.events, []
        return events

    def next_timer(self) -> float | None:
        return min((at for at, _ in self._timers()), default=None)

    def tick(self, now: float) -> None:
        """To be called behind `receive`, so that a late tick does not take a peer for silent."""
        self._s.now = now
        for at, act in self._timers():
            if at <= now:
                act()

    def _timers(self) -> list[tuple[float, Callable[[], None]]]:
        s, limits = self._s, self._limits
        if s.aborted:
            return []
        if self._lingers_from is not None:
            return [(self._lingers_from + limits.linger, self._stop_lingering)]
        if s.closing is not None:
            return [(s.closing_at + limits.write_close,
                     lambda: s.abort("section 11: the CLOSE could not be written in time"))]
        if not s.open:
            return [(s.started_at + limits.handshake, self._handshake_timeout)]
        if s.peer is None or s.peer.heartbeat is None or s.mine.heartbeat is None:
            return []
        mine, peer = s.mine.heartbeat, s.peer.heartbeat
        promised = max(peer[0], mine[1]) / 1000  # LW-8.2, with some time in hand
        owed = max(mine[0], peer[1]) / 1000
        return [(s.placed_at + 0.8 * promised, self.ping),
                (s.heard_at + owed + limits.grace,
                 lambda: s.abort("LW-8.2: nothing came from the peer for too long"))]

    def _handshake_timeout(self) -> None:
        self._s.fail(LwError(Close.HANDSHAKE_TIMEOUT, "LW-3.2", "the handshake took too long"))

    def _stop_lingering(self) -> None:
        s = self._s
        if s.peer_close is None and s.error is None:
            s.abort("LW-7.4: no CLOSE and no end of the stream came in time")
        s.aborted = True

    # The application's side

    def call(self, route: Route, body: bytes = b"", *, deadline: float | None = None,
             lane: Lane = Lane.NORMAL, extensions: Extensions = Extensions()) -> int:
        """Queues a REQUEST and gives its call id. `deadline` is in seconds from now."""
        self._must_be_open()
        s = self._s
        if s.drain_code is not None or s.soft_drain is not None:
            raise UsageError("LW-7.10: the connection is draining")
        at = None if deadline is None else s.now + deadline
        return self._sender.request(route, body, extensions, lane, at)

    def cancel(self, call_id: int) -> None:
        call = self._s.out_calls.get(call_id)
        if call is not None:
            self._sender.cancel(call)

    def reply(self, call_id: int, status: int = Status.OK, body: bytes = b"", *,
              lane: Lane = Lane.NORMAL, extensions: Extensions = Extensions()) -> None:
        """Answers a Request. Nothing happens if the connection is past that (LW-7.1, LW-7.2)."""
        s = self._s
        call = s.in_calls.get(call_id & 0xFFFF)
        if call is None or call.call_id != call_id or call.answered or s.closing is not None:
            return
        self._sender.reply(call, status, body, extensions, lane)

    def push(self, route: Route, body: bytes = b"", *, lane: Lane = Lane.NORMAL,
             extensions: Extensions = Extensions()) -> None:
        self._must_be_open()
        self._sender.push(route, body, extensions, lane)

    def finish_push(self, push: Push) -> None:
        """The application has finished with a push: its charge is returned (LW-6.3)."""
        self._s.take_pushes.give_back(push.charge)

    def ping(self, payload: bytes | None = None) -> None:
        self._must_be_open()
        if payload is None:
            payload = struct.pack(">Q", int(self._s.now * 1_000_000) & 2**64 - 1)
        self._s.send_control(frame(Kind.PING, payload))

    def drain(self, code: int = Close.GOING_AWAY, fields: CloseFields = CloseFields()) -> None:
        """Brings the connection to its end without losing a call (section 7.2).

        `fields` are for the CLOSE. Nothing happens if the connection is draining already.
        """
        self._must_be_open()
        s = self._s
        if s.drain_code is not None or s.soft_drain is not None:
            return
        s.drain_wanted = True
        s.drain_fields = fields
        if s.both_have(DRAIN):
            self._sender.start_drain(code)
        else:
            s.soft_drain = code
        s.check_drained()

    def close(self, code: int = Close.NORMAL, text: str | None = None) -> None:
        self._s.start_close(code, CloseFields(text=text))

    @property
    def open(self) -> bool:
        return self._s.open and self._s.closing is None and not self._s.aborted

    @property
    def peer(self) -> Hello | None:
        return self._s.peer

    def free_slot(self) -> bool:
        return self._s.slots.available()

    def pushes_waiting(self) -> int:
        """How many pushes have not been sent completely."""
        return sum(1 for _ in self._s.outbox.waiting(Kind.PUSH))

    def _must_be_open(self) -> None:
        if not self.open:
            raise UsageError("section 12: the connection is not open")
