"""Conversations that go well: calls, cancellation, deadlines, pushes, credit."""

from __future__ import annotations

import random
import struct
import time

from codes import EXT, MORE, PUSH_SLOTS, Kind, Lane, Status
from credit import ReceiveAccount, charge
from driver import Connection
from fields import Extensions, Hello
from fragments import Cutter
from harness import Context, check, ensure, equal
from lw1 import Reply
from raw import Raw, request
from wire import frame

SMALL = Hello(max_frame=4096, heartbeat=None)
MIB = 1 << 20


def noise(length: int) -> bytes:
    return random.Random(length).randbytes(length)


def shut(connection: Connection) -> None:
    connection.endpoint.close()
    connection.finish(5)


@check("handshake", "LW-2.2, LW-3.1, LW-3.4, LW-3.5, LW-3.6")
def handshake(context: Context) -> None:
    with Connection.dial(context.address) as connection:
        ensure(connection.endpoint.open, connection.why())
        peer = connection.endpoint.peer
        ensure(peer is not None and peer.versions == (1, 1), "not version 1")
        shut(connection)


@check("preface and HELLO byte by byte", "LW-2.4, LW-3.1")
def greeting_byte_by_byte(context: Context) -> None:
    with Connection.dial(context.address, piece=1) as connection:
        ensure(connection.endpoint.open, connection.why())
        shut(connection)


@check("a conversation byte by byte", "LW-2.4")
def byte_by_byte(context: Context) -> None:
    with Connection.dial(context.address, SMALL, piece=1) as connection:
        body = noise(5000)
        equal(connection.call("echo", body).body, body)
        connection.endpoint.push("chat", b"one")
        connection.endpoint.ping(b"12345678")
        equal(connection.pushes(1, 5)[0].body, b"one", "push")
        shut(connection)


@check("echo of small and empty bodies", "LW-4.3, LW-4.8, LW-4.9")
def echo(context: Context) -> None:
    with Connection.dial(context.address) as connection:
        for body in (b"", b"x", b"\0" * 64, noise(4096)):
            reply = connection.call("echo", body)
            equal((reply.status, reply.body), (0, body))
        shut(connection)


@check("echo of large bodies, cut in both directions", "LW-6.7, LW-6.9, LW-2.3")
def echo_large(context: Context) -> None:
    with Connection.dial(context.address, SMALL) as connection:
        assert connection.endpoint.peer is not None
        most = min(connection.endpoint.peer.max_message, SMALL.max_message)
        largest = most - len(Extensions(route="echo").encode())
        for length in (4091, 4092, 4096, 4097, 300 << 10, largest):
            body = noise(length)
            reply = connection.call("echo", body)
            ensure(reply.status == 0 and reply.body == body, f"{length} bytes differ")
        shut(connection)


@check("1,000 pipelined calls", "LW-4.1, LW-4.2, LW-4.6")
def pipelined(context: Context) -> None:
    with Connection.dial(context.address) as connection:
        for _ in range(2):  # the second round uses slots again
            bodies = {connection.endpoint.call("echo", b"%d" % n): b"%d" % n for n in range(1000)}
            for reply in connection.replies(set(bodies), 5):
                equal(reply.body, bodies[reply.call_id])
        shut(connection)


@check("replies in another order", "LW-4.6")
def another_order(context: Context) -> None:
    with Connection.dial(context.address) as connection:
        late = connection.endpoint.call("sleep", b"300")
        soon = connection.endpoint.call("sleep", b"100")
        now = connection.endpoint.call("echo", b"")
        order = [reply.call_id for reply in connection.replies({late, soon, now}, 5)]
        equal(order, [now, soon, late])
        shut(connection)


@check("lanes", "LW-2.8, LW-6.12")
def lanes(context: Context) -> None:
    with Connection.dial(context.address, SMALL) as connection:
        bodies = {connection.endpoint.call("echo", noise(9000 + n), lane=lane): noise(9000 + n)
                  for n, lane in enumerate([Lane.BULK, Lane.NORMAL, Lane.HIGH] * 5)}
        for reply in connection.replies(set(bodies), 5):
            equal(reply.body, bodies[reply.call_id])
        shut(connection)


@check("unknown routes", "LW-4.8")
def unknown_route(context: Context) -> None:
    with Connection.dial(context.address) as connection:
        for route in ("no such route", 0, 4_294_967_295):
            equal(connection.call(route, b"x").status, int(Status.UNKNOWN_ROUTE), str(route))
        shut(connection)


@check("bodies that a route does not understand", "LW-4.9")
def bad_request(context: Context) -> None:
    with Connection.dial(context.address) as connection:
        equal(connection.call("sleep", b"when?").status, int(Status.BAD_REQUEST))
        shut(connection)


@check("deadlines", "LW-4.10, LW-4.11")
def deadline(context: Context) -> None:
    with Raw.open(context.address) as raw:
        raw.send(request(b"x", deadline_ms=0))
        equal(raw.read(Kind.REPLY)[0].code, int(Status.DEADLINE_EXPIRED), "deadline 0")
        block = Extensions(route="echo", deadline_ms=50).encode()
        raw.send(frame(Kind.REQUEST, struct.pack(">I", len(block) + 1) + block, flags=EXT | MORE,
                       sequence=1 << 16))
        time.sleep(0.15)  # the clock runs from the header of the first fragment
        raw.send(frame(Kind.REQUEST, b"x", sequence=1 << 16))
        equal(raw.read(Kind.REPLY)[0].code, int(Status.DEADLINE_EXPIRED), "while it arrived")
        raw.send(request(b"x", deadline_ms=2**32 - 1, slot=1))
        equal(raw.read(Kind.REPLY)[0].code, int(Status.OK), "longest deadline")


@check("every call gets one reply, also past its deadline", "LW-4.3, LW-4.11")
def late_reply(context: Context) -> None:
    with Connection.dial(context.address) as connection:
        reply = connection.call("sleep", b"200", deadline=0.05)
        ensure(reply.status in (Status.OK, Status.CANCELLED), f"status {reply.status}")
        shut(connection)


@check("CANCEL of a running call", "LW-4.12")
def cancel(context: Context) -> None:
    with Connection.dial(context.address) as connection:
        call = connection.endpoint.call("sleep", b"1h")
        connection.call("echo")  # so that the first has arrived
        connection.endpoint.cancel(call)
        equal(connection.replies({call}, 2)[0].status, int(Status.CANCELLED))
        reply = connection.call("echo", b"x")
        equal(reply.body, b"x", "the connection lives on")
        shut(connection)


@check("CANCEL in place of the rest of a REQUEST", "LW-4.12, LW-6.3")
def cancel_fragments(context: Context) -> None:
    with Raw.open(context.address) as raw:
        block = Extensions(route="chat").encode()
        cut = frame(Kind.REQUEST, struct.pack(">I", MIB) + block, flags=EXT | MORE,
                    sequence=1 << 16)
        assert raw.welcome is not None
        for _ in range(2 * raw.welcome.request_window // MIB):  # their charges are returned
            raw.send(cut + frame(Kind.CANCEL, sequence=1 << 16))
            header, payload = raw.read(Kind.REPLY)
            equal((header.code, payload), (int(Status.CANCELLED), b""))
        raw.send(request(b"x", generation=2))
        equal(raw.read(Kind.REPLY)[1], b"x", "the slot is free")


@check("CANCEL while a REPLY comes in fragments", "LW-4.13, LW-4.3")
def cancel_reply(context: Context) -> None:
    with Connection.dial(context.address, SMALL) as connection:
        body = noise(MIB - 64)
        calls = {connection.endpoint.call("echo", body) for _ in range(3)}
        for call in calls:
            connection.endpoint.cancel(call)
        for reply in connection.replies(calls, 5):
            ensure(reply.status == Status.CANCELLED or reply.body == body, "half a reply")
        equal(connection.call("echo", b"x").body, b"x", "the connection lives on")
        shut(connection)


@check("chat between two dialers", "LW-5.1, LW-6.10")
def chat(context: Context) -> None:
    with Connection.dial(context.address) as one, Connection.dial(context.address, SMALL) as two:
        for body in (b"", b"hello", noise(20_000)):
            one.endpoint.push("chat", body)
            equal(one.pushes(1, 5)[0].body, body, "its own push")
            got = two.pushes(1, 5)[0]
            equal((got.route, got.body), ("chat", body), "the other's push")
        two.call("chat", b"by call")
        equal(one.pushes(1, 5)[0].body, b"by call")
        shut(one)
        shut(two)


@check("pushes to no route are dropped", "LW-5.1")
def lost_push(context: Context) -> None:
    with Connection.dial(context.address) as connection:
        assert connection.endpoint.peer is not None
        for _ in range(connection.endpoint.peer.push_window // 900_000 + 2):
            connection.endpoint.push("nowhere", noise(900_000))  # their charges are returned
        equal(connection.call("echo", b"x").body, b"x")
        connection.run(lambda: connection.endpoint.pushes_waiting() == 0, 5)
        shut(connection)


@check("CREDIT is granted as the text demands", "LW-6.2, LW-6.3, LW-6.4")
def grants(context: Context) -> None:
    with Raw.open(context.address) as raw:
        welcome = raw.welcome
        assert welcome is not None
        requests = ReceiveAccount(welcome.request_window, welcome.max_message)
        pushes = ReceiveAccount(welcome.push_window, welcome.max_message)
        slot = 0
        for kind, account in ((Kind.PUSH, pushes), (Kind.REQUEST, requests)) * 2:
            while not account.due():
                body = b"x" * (welcome.max_message - slot)
                raw.send(cut(kind, 77, body, welcome, slot % PUSH_SLOTS if kind is Kind.PUSH
                             else slot))
                account.take(charge(len(body)))
                account.give_back(charge(len(body)))
                slot += 1
            while account.due():  # until it has granted as much as it must
                granted = next_grants(raw)
                for side, grant in zip((requests, pushes), granted):
                    ensure(side.granted <= grant <= side.target(), f"{grant} granted")
                    side.granted = grant
        ensure(requests.returned > 0 < pushes.returned, "nothing was sent")


def cut(kind: Kind, route: int, body: bytes, peer: Hello, slot: int = 0) -> bytes:
    """All frames of a message, with fragments if the peer's MAX_FRAME asks for them."""
    sequence = 1 << 16 | slot
    if kind is Kind.PUSH and len(body) <= peer.max_frame:
        sequence = 0
    cutter = Cutter(kind, 0, sequence, route, b"", body, peer.max_frame)
    frames = bytearray()
    while not cutter.done:
        frames += cutter.next_frame()
    return bytes(frames)


def next_grants(raw: Raw) -> tuple[int, int]:
    """The grants of the next CREDIT."""
    for header, payload in raw.frames():
        if header.kind == Kind.CREDIT:
            requests, pushes = struct.unpack(">QQ", payload)
            return requests, pushes
    raise AssertionError("no CREDIT before the end of the stream")


@check("credit of this side's pushes", "LW-6.4")
def small_windows(context: Context) -> None:
    tiny = Hello(max_frame=4096, max_message=1024, push_window=1088, request_window=1088,
                 heartbeat=None)
    with Connection.dial(context.address, tiny) as connection:
        for n in range(40):
            connection.endpoint.push("chat", b"%d" % n + b"x" * 800)
            connection.pushes(1, 5)
        equal(connection.call("echo", b"x" * 2000).status, int(Status.REPLY_TOO_LARGE))
        shut(connection)


@check("four times the window of requests", "LW-6.1, LW-6.4")
def much(context: Context) -> None:
    with Connection.dial(context.address, Hello(heartbeat=None)) as connection:
        body = noise(500_000)
        assert connection.endpoint.peer is not None
        count = 4 * connection.endpoint.peer.request_window // len(body)
        calls = {connection.endpoint.call("echo", body) for _ in range(count)}
        replies: list[Reply] = connection.replies(calls, 8)
        ensure(all(reply.body == body for reply in replies), "a body differs")
        shut(connection)


@check("PONG before waiting messages, newest PING", "LW-8.1")
def pong(context: Context) -> None:
    with Raw.open(context.address) as raw:
        raw.send(request(b"x" * 1000) + frame(Kind.PING, b"\xff" * 8))
        header, payload = next(raw.frames())
        equal((Kind(header.kind), payload[:8]), (Kind.PONG, b"\xff" * 8))
        ensure(int.from_bytes(payload[8:], "big") < 5_000_000, "delay in microseconds")
        equal(raw.read(Kind.REPLY)[0].length, 1000)
