"""How connections end: drain, close, half-closed streams, liveness, time limits."""

from __future__ import annotations

import signal
import time

from codes import END, EXT, PREFACE, Close, Kind
from driver import Connection, Timeout
from events import Draining, PeerClosed
from fields import Extensions, Hello
from harness import Context, check, ensure, equal, served
from raw import PLAIN, Raw, request
from wire import Header, frame


def peer_close(connection: Connection) -> int | None:
    codes = [event.code for event in connection.events if isinstance(event, PeerClosed)]
    return codes[0] if codes else None


@check("CLOSE is answered with its code", "LW-7.1, LW-7.2, LW-10.1")
def close_codes(context: Context) -> None:
    for code in (0, 1, 3, 0x0107, 0xABCD, 0x80000000, 0xFFFFFFFF):
        with Connection.dial(context.address) as connection:
            connection.endpoint.close(code, "enough\n" * 100)
            connection.finish(5)
            equal(peer_close(connection), code, connection.why())


@check("CLOSE with unreadable fields counts", "LW-7.8, LW-7.1")
def unreadable_close(context: Context) -> None:
    with Raw.open(context.address) as raw:
        raw.send(frame(Kind.CLOSE, b"\xff\xff\xff", code=7) + b"bytes behind CLOSE are ignored")
        frames, code = raw.ending()
        equal((code, frames[-1][1]), (7, b""), "the answer has the code and no fields")


@check("CLOSE in place of HELLO", "LW-7.7, LW-2.2")
def close_in_handshake(context: Context) -> None:
    with Raw(context.address) as raw:
        raw.send(PREFACE + frame(Kind.CLOSE, code=5))
        equal(raw.ending()[1], 5)


@check("close behind 500 pushes", "LW-7.1, LW-7.4, LW-7.5")
def close_arrives(context: Context) -> None:
    with Connection.dial(context.address) as other, Connection.dial(context.address) as connection:
        for n in range(500):
            connection.endpoint.push("chat", b"%d" % n)
        connection.endpoint.close()
        connection.finish(5)
        equal(peer_close(connection), 0, connection.why())
        bodies = [push.body for push in other.pushes(500, 5)]
        equal(bodies, [b"%d" % n for n in range(500)], "pushes in front of CLOSE, in order")


@check("replies in front of a CLOSE arrive", "LW-7.2, LW-7.5")
def replies_before_close(context: Context) -> None:
    with Connection.dial(context.address) as connection:
        calls = {connection.endpoint.call("echo", b"x" * 60_000) for _ in range(20)}
        connection.replies(calls, 5)
        running = connection.endpoint.call("sleep", b"1h")
        connection.endpoint.close()
        connection.finish(5)
        equal(peer_close(connection), 0, f"{connection.why()}, {running:#x}")


@check("REPLYs that have begun are finished behind the peer's CLOSE", "LW-7.2, LW-6.11")
def begun_replies(context: Context) -> None:
    with Raw.open(context.address, Hello(max_frame=4096, heartbeat=None)) as raw:
        for slot in range(10):
            raw.send(request(b"x" * 60_000, slot=slot))
        raw.read(Kind.REPLY)
        raw.send(frame(Kind.CLOSE, code=9))
        frames, code = raw.ending()
        equal(code, 9, "CLOSE")
        last = {header.sequence: header for header, _ in frames if header.kind == Kind.REPLY}
        ensure(len(last) > 0, "not one REPLY")
        equal([header for header in last.values() if header.more], [], "unfinished")


@check("half-closed stream behind CLOSE", "LW-7.4")
def half_closed(context: Context) -> None:
    with Raw.open(context.address) as raw:
        raw.send(frame(Kind.CLOSE, code=9))
        raw.shut()
        equal(raw.ending()[1], 9)


@check("half-closed stream without CLOSE", "LW-7.6")
def half_closed_without_close(context: Context) -> None:
    with Raw.open(context.address) as raw:
        raw.send(request(b"x"))
        raw.read(Kind.REPLY)
        raw.shut()
        frames, code = raw.ending()
        equal((frames, code), ([], None), "a lost connection")


@check("drain from this side with calls in flight", "LW-7.9, LW-7.10, LW-7.11")
def drain(context: Context) -> None:
    with Connection.dial(context.address) as connection:
        calls = {connection.endpoint.call("sleep", b"%d" % n) for n in (50, 100, 200)}
        connection.endpoint.drain(Close.MAX_AGE)
        equal([reply.status for reply in connection.replies(calls, 5)], [0, 0, 0], "statuses")
        connection.finish(5)
        equal(peer_close(connection), int(Close.MAX_AGE), connection.why())
        ends = [event.end for event in connection.events if isinstance(event, Draining)]
        equal(ends, [True], "the server's DRAIN")


def kinds(frames: list[tuple[Header, bytes]]) -> list[Kind]:
    return [Kind(header.kind) for header, _ in frames if header.kind != Kind.PING]


@check("DRAIN with END alone, with a call running", "LW-7.9, LW-7.10, LW-7.11")
def drain_end(context: Context) -> None:
    with Raw.open(context.address) as raw:
        raw.send(request(b"100", route="sleep") + frame(Kind.DRAIN, flags=END, code=5))
        frames = raw.during(0.4)  # the server waits for the CLOSE of the side that wanted this
        equal(kinds(frames), [Kind.DRAIN, Kind.REPLY], "frames")
        equal((frames[0][0].code, frames[0][0].flags), (5, END), "code, flags")
        raw.send(frame(Kind.CLOSE, code=6))
        equal(raw.ending()[1], 6, "CLOSE")


@check("REQUESTs and PUSHes behind a DRAIN are served", "LW-7.10")
def drain_then_request(context: Context) -> None:
    with Raw.open(context.address) as raw:
        block = Extensions(route="chat").encode()
        raw.send(frame(Kind.DRAIN, code=1) + request(b"x"))
        raw.send(frame(Kind.PUSH, block + b"y", flags=EXT) + request(b"z", slot=1))
        raw.send(frame(Kind.DRAIN, flags=END, code=1))
        frames = raw.during(0.3)
        for kind, wanted in ((Kind.REPLY, [b"x", b"z"]), (Kind.PUSH, [block + b"y"])):
            equal([payload for header, payload in frames if header.kind == kind], wanted)
        ends = [header for header, _ in frames if header.kind == Kind.DRAIN]
        equal([(header.flags, header.code) for header in ends], [(END, 1)], "the server's END")
        raw.send(frame(Kind.CLOSE, code=1))
        equal(raw.ending()[1], 1, "CLOSE")


@check("the server ends in good order on SIGTERM", "LW-7.1, LW-7.4, LW-7.11")
def sigterm(context: Context) -> None:
    with served(context.lw) as (child, address):
        with Connection.dial(address) as connection:
            connection.call("echo", b"x")
            running = connection.endpoint.call("sleep", b"300")
            connection.call("echo", b"x")  # so that the other has arrived
            child.send_signal(signal.SIGTERM)
            equal(connection.replies({running}, 5)[0].status, 0, "the call in flight")
            connection.finish(5)
            equal(peer_close(connection), int(Close.GOING_AWAY), connection.why())
            ensure(any(isinstance(event, Draining) for event in connection.events), "no DRAIN")
        equal(child.wait(5), 0, "exit code")


@check("the server drains until it has END and no call is in flight", "LW-7.9, LW-7.10, LW-7.11")
def server_drains(context: Context) -> None:
    with served(context.lw) as (child, address):
        with Raw.open(address) as raw:
            child.send_signal(signal.SIGTERM)
            header, _ = raw.read(Kind.DRAIN)
            equal(header.code, int(Close.GOING_AWAY), "DRAIN")
            raw.send(request(b"x"))
            equal(raw.read(Kind.REPLY)[1], b"x", "a REQUEST in front of END")
            raw.send(request(b"300", route="sleep", slot=1))
            raw.send(frame(Kind.DRAIN, flags=END, code=Close.GOING_AWAY))
            equal(kinds(raw.during(0.1)), [], "a call in flight")
            frames, code = raw.ending()
            equal((kinds(frames), code), ([Kind.REPLY, Kind.CLOSE], int(Close.GOING_AWAY)))
        equal(child.wait(5), 0, "exit code")


@check("the server ends a connection without capability DRAIN", "LW-7.12")
def server_drains_plain(context: Context) -> None:
    with served(context.lw) as (child, address):
        with Raw.open(address, Hello(heartbeat=None, capabilities=0)) as raw:
            raw.send(request(b"300", route="sleep") + request(b"x", slot=1))
            equal(raw.read(Kind.REPLY)[1], b"x")
            child.send_signal(signal.SIGTERM)
            frames, code = raw.ending()
            equal((kinds(frames), code), ([Kind.REPLY, Kind.CLOSE], int(Close.GOING_AWAY)))
        equal(child.wait(5), 0, "exit code")


@check("the server keeps its promise of a heartbeat", "LW-8.2")
def heartbeat(context: Context) -> None:
    with Raw.open(context.address, Hello(heartbeat=(1000, 1000))) as raw:
        ensure(raw.welcome is not None and raw.welcome.heartbeat is not None, "no HEARTBEAT")
        last = time.monotonic()
        for _ in range(2):
            raw.timeout = 3
            header, _ = next(raw.frames())
            equal(Kind(header.kind), Kind.PING)
            now = time.monotonic()
            ensure(now - last < 1.25, f"{now - last:.2f} s of silence, promised was 1 s")
            last = now


@check("a PING flood is ended", "LW-8.3")
def ping_flood(context: Context) -> None:
    with Raw.open(context.address, Hello(heartbeat=(1000, 1000))) as raw:
        raw.send(16 * frame(Kind.PING, b"12345678"))
        raw.read(Kind.PONG)
        raw.send(16 * frame(Kind.PING, b"12345678"))
        equal(raw.ending()[1], int(Close.TOO_MANY_PINGS))


@check("PINGs are not counted without HEARTBEAT from both sides", "LW-8.3, LW-8.1")
def many_pings(context: Context) -> None:
    with Raw.open(context.address, PLAIN) as raw:
        for n in range(1, 501):
            raw.send(frame(Kind.PING, n.to_bytes(8, "big")))
        while raw.read(Kind.PONG)[1][:8] != (500).to_bytes(8, "big"):
            pass


@check("this side's silence ends the connection", "LW-8.2", slow=True)
def silence(context: Context) -> None:
    with Raw.open(context.address, Hello(heartbeat=(1000, 1000))) as raw:
        assert raw.welcome is not None and raw.welcome.heartbeat is not None
        owed = max(raw.welcome.heartbeat[0], 1000) / 1000
        started = time.monotonic()
        raw.timeout = 55
        _, code = raw.ending()
        waited = time.monotonic() - started
        equal(code, None, "given up without a CLOSE")
        ensure(waited >= owed, f"given up after {waited:.1f} s, silence of {owed:.1f} s is allowed")


@check("the handshake has a time limit", "LW-3.2", slow=True)
def handshake_limit(context: Context) -> None:
    with Raw(context.address) as raw:
        raw.timeout = 30
        for byte in PREFACE + frame(Kind.HELLO, PLAIN.encode())[:4]:
            raw.send(bytes([byte]))  # bytes that keep arriving do not help
            time.sleep(0.3)
        equal(raw.ending()[1], int(Close.HANDSHAKE_TIMEOUT))


@check("a frame that trickles", "LW-8.4", slow=True)
def trickle(context: Context) -> None:
    with Raw.open(context.address, PLAIN) as raw:
        raw.send(Header(60_000, Kind.REQUEST, 0, 1 << 16).encode())
        raw.timeout = 0.1
        for _ in range(300):
            raw.send(b"x" * 10)
            try:
                _, code = raw.ending()
            except Timeout:
                continue
            equal(code, int(Close.TOO_SLOW))
            return
        raise AssertionError("a frame may take for ever")
