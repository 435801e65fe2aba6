"""What an endpoint tells its application."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from codes import Lane, LwError
from fields import CloseFields, Extensions, Hello

Route = Union[int, str]  # a number, or the name in extension ROUTE (LW-4.8)


@dataclass(frozen=True)
class Opened:
    """The handshake is done; `peer` is what the other side stated."""

    peer: Hello


@dataclass(frozen=True)
class Request:
    """A call to answer with `Endpoint.reply`. `deadline_at` is on this side's clock (LW-4.10)."""

    call_id: int
    route: Route
    body: bytes
    extensions: Extensions
    deadline_at: float | None
    lane: Lane


@dataclass(frozen=True)
class CancelRequested:
    """The caller no longer waits (LW-4.12). A reply is still owed."""

    call_id: int


@dataclass(frozen=True)
class Reply:
    """The final reply of a call; `local` if the request had not been sent at all."""

    call_id: int
    status: int
    body: bytes
    extensions: Extensions = Extensions()
    lane: Lane = Lane.NORMAL
    local: bool = False


@dataclass(frozen=True)
class CallLost:
    """The connection ended before the reply came."""

    call_id: int


@dataclass(frozen=True)
class Push:
    """A push. Its charge is returned with `Endpoint.finish_push` (LW-6.3)."""

    route: Route
    body: bytes
    extensions: Extensions
    lane: Lane
    charge: int


@dataclass(frozen=True)
class Pong:
    payload: bytes
    delay_us: int


@dataclass(frozen=True)
class Draining:
    """The peer wants the connection to end (LW-7.9)."""

    code: int
    end: bool


@dataclass(frozen=True)
class PeerClosed:
    code: int
    fields: CloseFields


@dataclass(frozen=True)
class Failed:
    """This side noticed an error of the peer and closes with its code."""

    error: LwError


@dataclass(frozen=True)
class Lost:
    """The connection ended without a CLOSE that explains it (LW-7.6, LW-8.2, time limits)."""

    why: str


Event = Union[Opened, Request, CancelRequested, Reply, CallLost, Push, Pong, Draining, PeerClosed,
              Failed, Lost]
