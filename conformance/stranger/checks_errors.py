"""Each error that a dialer can provoke: wrong frames, and the code of the CLOSE that answers."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Callable

from codes import (CANCEL, DRAIN, END, EXT, FRAGMENTS, IGNORABLE, MORE, ORIGIN, PREFACE, Close,
                   Kind)
from fields import Extensions, Hello
from harness import Context, check, ensure, equal
from raw import PLAIN, Raw, request
from wire import Header, frame

ID = 1 << 16
FIRST = 16 + 4 + 1  # bytes of a first fragment with one byte of its message
BLOCK = Extensions(route="echo").encode()
SLEEP = request(b"3s", route="sleep")
HELLO = frame(Kind.HELLO, PLAIN.encode())


def first(total: int, data: bytes, *, kind: Kind = Kind.REQUEST, flags: int = 0,
          sequence: int = ID) -> bytes:
    return frame(kind, struct.pack(">I", total) + data, flags=flags | MORE, sequence=sequence)


def rest(data: bytes, *, kind: Kind = Kind.REQUEST, flags: int = 0, sequence: int = ID,
         code: int = 0) -> bytes:
    return frame(kind, data, flags=flags, sequence=sequence, code=code)


def push_first(sequence: int, total: int = 5) -> bytes:
    return first(total, b"abc", kind=Kind.PUSH, sequence=sequence)


def largest(peer: Hello, window: int, kind: Kind) -> bytes:
    """First fragments of the longest messages, one more of them than a window has room for."""
    count = window // (64 + peer.max_message) + 1
    return b"".join(first(peer.max_message, b"x", kind=kind, sequence=ID + slot)
                    for slot in range(count))


def too_many_requests(peer: Hello) -> bytes:
    return largest(peer, peer.request_window, Kind.REQUEST)


def too_many_pushes(peer: Hello) -> bytes:
    return largest(peer, peer.push_window, Kind.PUSH)


def without(capability: int) -> Hello:
    return Hello(heartbeat=None, capabilities=PLAIN.capabilities & ~capability)


@dataclass(frozen=True)
class Wrong:
    """Bytes behind the handshake, and the error that they are.

    Where they depend on what the server stated, `data` makes them from its WELCOME.
    """

    name: str
    clauses: str
    error: Close
    data: bytes | Callable[[Hello], bytes]
    hello: Hello = PLAIN


OPEN = [
    Wrong("frame too large", "LW-2.3", Close.FRAME_TOO_LARGE,
          lambda peer: Header(peer.max_frame + 1, Kind.REQUEST, 0, ID).encode()),
    Wrong("unknown kind", "LW-2.5", Close.UNKNOWN_KIND, frame(0x40)),
    Wrong("reserved kind", "LW-2.5", Close.UNKNOWN_KIND, frame(0x0C, b"x", sequence=ID)),
    Wrong("bad flags", "LW-2.6", Close.BAD_FLAGS, frame(Kind.PING, b"12345678", flags=MORE)),
    Wrong("REPLY without ORIGIN", "LW-2.7", Close.BAD_FLAGS, frame(Kind.REPLY, sequence=ID)),
    Wrong("bad sequence", "LW-2.6", Close.BAD_SEQUENCE, frame(Kind.PING, b"12345678", sequence=1)),
    Wrong("generation 0", "LW-2.9", Close.BAD_SEQUENCE, frame(Kind.REQUEST, sequence=3)),
    Wrong("bad code", "LW-2.6", Close.BAD_CODE, frame(Kind.CREDIT, b"\0" * 16, code=1)),
    Wrong("bad length", "LW-2.6", Close.BAD_LENGTH, frame(Kind.PING, b"1234567")),
    Wrong("second HELLO", "LW-3.1", Close.UNEXPECTED_FRAME, HELLO),
    Wrong("WELCOME from a dialer", "LW-3.1", Close.UNEXPECTED_FRAME,
          frame(Kind.WELCOME, PLAIN.encode())),
    Wrong("slot beyond the limit", "LW-4.1", Close.SLOT_BEYOND_LIMIT,
          lambda peer: request(slot=peer.call_slots)),
    Wrong("slot in use", "LW-4.1", Close.SLOT_IN_USE, SLEEP + request(generation=2)),
    Wrong("id in use", "LW-4.1", Close.SLOT_IN_USE, SLEEP + SLEEP),
    Wrong("id in use, cut", "LW-4.1, LW-6.7", Close.SLOT_IN_USE, SLEEP + first(5, b"abc")),
    Wrong("REPLY to nothing", "LW-4.5", Close.UNKNOWN_CALL,
          frame(Kind.REPLY, flags=ORIGIN, sequence=ID)),
    Wrong("REPLY to nothing, cut", "LW-4.5", Close.UNKNOWN_CALL,
          first(5, b"abc", kind=Kind.REPLY, flags=ORIGIN)),
    Wrong("CANCEL of no REPLY", "LW-4.13", Close.BAD_FRAGMENT,
          frame(Kind.CANCEL, flags=ORIGIN, sequence=ID)),
    Wrong("request credit exceeded", "LW-6.1, LW-6.9", Close.CREDIT_EXCEEDED,
          too_many_requests),
    Wrong("push credit exceeded", "LW-6.1, LW-6.9", Close.CREDIT_EXCEEDED,
          too_many_pushes),
    Wrong("less credit", "LW-6.2", Close.BAD_CREDIT, frame(Kind.CREDIT, struct.pack(
        ">QQ", PLAIN.request_window - 1, PLAIN.push_window))),
    Wrong("less push credit", "LW-6.2", Close.BAD_CREDIT, frame(Kind.CREDIT, struct.pack(
        ">QQ", PLAIN.request_window, 0))),
    Wrong("message too large", "LW-6.6, LW-6.9", Close.MESSAGE_TOO_LARGE,
          lambda peer: first(peer.max_message + 1, b"abc")),
    Wrong("message too large before slot", "LW-2.10", Close.MESSAGE_TOO_LARGE,
          lambda peer: first(peer.max_message + 1, b"abc", sequence=ID | 0xFFFF)),
    Wrong("slot before credit", "LW-2.10", Close.SLOT_BEYOND_LIMIT,
          lambda peer: too_many_pushes(peer)[:-FIRST] + push_first(ID + 16, peer.max_message)),
    Wrong("fragment before message length", "LW-2.10", Close.BAD_FRAGMENT,
          frame(Kind.REPLY, b"abc", flags=ORIGIN | MORE, sequence=ID)),
    Wrong("fragment without total", "LW-6.8", Close.BAD_FRAGMENT,
          frame(Kind.REQUEST, b"abc", flags=MORE, sequence=ID)),
    Wrong("empty fragment", "LW-6.8", Close.BAD_FRAGMENT,
          frame(Kind.REQUEST, flags=MORE, sequence=ID)),
    Wrong("total 0", "LW-6.8", Close.BAD_FRAGMENT, first(0, b"")),
    Wrong("nothing left for the rest", "LW-6.8", Close.BAD_FRAGMENT, first(3, b"abc")),
    Wrong("first passes the total", "LW-6.8", Close.BAD_FRAGMENT, first(2, b"abc")),
    Wrong("empty continuation", "LW-6.8", Close.BAD_FRAGMENT,
          first(5, b"abc") + rest(b"", flags=MORE)),
    Wrong("empty end", "LW-6.8", Close.BAD_FRAGMENT, first(5, b"abc") + rest(b"")),
    Wrong("continuation with EXT", "LW-6.8", Close.BAD_FRAGMENT,
          first(5, b"abc") + rest(b"de", flags=EXT)),
    Wrong("continuation with a code", "LW-6.8", Close.BAD_FRAGMENT,
          first(5, b"abc") + rest(b"de", code=7)),
    Wrong("continuation in another lane", "LW-6.8", Close.BAD_FRAGMENT,
          first(5, b"abc") + rest(b"de", flags=0x40)),
    Wrong("sum passes the total", "LW-6.8", Close.BAD_FRAGMENT, first(5, b"abc") + rest(b"def")),
    Wrong("total reached with MORE", "LW-6.8", Close.BAD_FRAGMENT,
          first(5, b"abc") + rest(b"de", flags=MORE)),
    Wrong("total not reached", "LW-6.8", Close.BAD_FRAGMENT, first(5, b"abc") + rest(b"d")),
    Wrong("push id without a beginning", "LW-6.8", Close.BAD_FRAGMENT,
          frame(Kind.PUSH, b"abc", sequence=ID)),
    Wrong("push id behind its end", "LW-6.8, LW-6.10", Close.BAD_FRAGMENT,
          push_first(ID) + 2 * rest(b"de", kind=Kind.PUSH)),
    Wrong("CANCEL, then a fragment of two", "LW-4.12, LW-6.8", Close.BAD_FRAGMENT,
          first(5, b"abc") + frame(Kind.CANCEL, sequence=ID) + rest(b"de", flags=MORE)),
    Wrong("cut push without id", "LW-6.10, LW-5.1", Close.BAD_SEQUENCE, push_first(0)),
    Wrong("push id of generation 0", "LW-2.9", Close.BAD_SEQUENCE, push_first(3)),
    Wrong("push slot beyond the limit", "LW-6.10", Close.SLOT_BEYOND_LIMIT, push_first(ID + 16)),
    Wrong("push slot in use", "LW-6.10", Close.SLOT_IN_USE, push_first(ID) + push_first(2 * ID)),
    Wrong("block cut off in a whole message", "LW-9.1", Close.BAD_EXTENSION,
          frame(Kind.REQUEST, b"\0\x09abc", flags=EXT, sequence=ID)),
    Wrong("DRAIN without the capability", "LW-3.9", Close.NOT_NEGOTIATED,
          frame(Kind.DRAIN), without(DRAIN)),
    Wrong("REQUEST behind END", "LW-7.9", Close.UNEXPECTED_FRAME,
          SLEEP + frame(Kind.DRAIN, flags=END) + request(slot=1)),
    Wrong("DRAIN behind END", "LW-7.9", Close.UNEXPECTED_FRAME,
          SLEEP + frame(Kind.DRAIN, flags=END) + frame(Kind.DRAIN)),
    Wrong("second DRAIN without END", "LW-7.9", Close.UNEXPECTED_FRAME,
          SLEEP + 2 * frame(Kind.DRAIN)),
    Wrong("rest of a REQUEST behind END", "LW-7.9", Close.UNEXPECTED_FRAME,
          first(5, b"abc") + frame(Kind.DRAIN, flags=END) + rest(b"de")),
    Wrong("DRAIN behind END, idle", "LW-7.9, LW-7.11", Close.UNEXPECTED_FRAME,
          2 * frame(Kind.DRAIN, flags=END)),
    Wrong("state before capabilities", "LW-2.10", Close.UNEXPECTED_FRAME,
          SLEEP + frame(Kind.DRAIN, flags=END) + request(flags=MORE)),
]

HANDSHAKE = [
    Wrong("HTTP", "LW-2.1", Close.BAD_PREFACE, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    Wrong("TLS", "LW-2.1", Close.BAD_PREFACE, bytes.fromhex("16030102000100")),
    Wrong("last byte of the preface", "LW-2.1", Close.BAD_PREFACE, PREFACE[:7] + b"\r"),
    Wrong("frame too large in the handshake", "LW-2.3", Close.FRAME_TOO_LARGE,
          PREFACE + Header(4097, Kind.HELLO).encode()),
    Wrong("REQUEST in place of HELLO", "LW-3.1", Close.UNEXPECTED_FRAME, PREFACE + request()),
    Wrong("cut REQUEST in place of HELLO", "LW-2.10", Close.UNEXPECTED_FRAME,
          PREFACE + first(5, b"abc")),
    Wrong("unknown kind in place of HELLO", "LW-2.5", Close.UNKNOWN_KIND, PREFACE + frame(0x40)),
    Wrong("empty HELLO", "LW-3.4", Close.BAD_HELLO, PREFACE + frame(Kind.HELLO)),
    Wrong("versions 2 to 9", "LW-3.6", Close.UNSUPPORTED_VERSION,
          PREFACE + frame(Kind.HELLO, Hello(versions=(2, 9)).encode())),
    Wrong("versions 2 to 9, the rest unreadable", "LW-3.6", Close.UNSUPPORTED_VERSION,
          PREFACE + frame(Kind.HELLO, Hello(versions=(2, 9)).encode()[:8] + b"?")),
]


def expect(raw: Raw, wrong: Wrong) -> None:
    if isinstance(wrong.data, bytes):
        raw.send(wrong.data)
    else:
        assert raw.welcome is not None
        raw.send(wrong.data(raw.welcome))
    frames, code = raw.ending()
    ensure(code is not None, "the stream ended without CLOSE")
    equal(code, int(wrong.error), "code")
    closes = [header for header, _ in frames if header.kind == Kind.CLOSE]
    equal(len(closes), 1, "number of CLOSEs")


def register(wrong: Wrong, handshake: bool) -> None:
    @check(f"error: {wrong.name}", wrong.clauses)
    def run(context: Context) -> None:
        if handshake:
            with Raw(context.address) as raw:
                expect(raw, wrong)
        else:
            with Raw.open(context.address, wrong.hello) as raw:
                expect(raw, wrong)


for entry in HANDSHAKE:
    register(entry, handshake=True)
for entry in OPEN:
    register(entry, handshake=False)


@check("error: extension block across two fragments", "LW-6.7, LW-6.8")
def split_block(context: Context) -> None:
    with Raw.open(context.address) as raw:
        total = len(BLOCK) + 3
        raw.send(first(total, BLOCK[:5], flags=EXT) + rest(BLOCK[5:] + b"abc"))
        header, _ = next(raw.frames())
        equal(Kind(header.kind), Kind.CLOSE, "answer")
        equal(header.code, int(Close.BAD_EXTENSION), "code")


@check("no error: frames that are skipped or ignored", "LW-2.5, LW-4.12, LW-8.1")
def ignored(context: Context) -> None:
    with Raw(context.address) as raw:
        raw.send(PREFACE + frame(0x7F, b"abc", flags=IGNORABLE) + HELLO)
        raw.read(Kind.WELCOME)
        raw.send(frame(0x0D, b"x" * 60_000, flags=0xFF, sequence=2**48 - 1, code=7)
                 + frame(Kind.PONG, b"\0" * 12)
                 + frame(Kind.CANCEL, sequence=ID) + frame(Kind.CANCEL, sequence=ID | 0xFFFF)
                 + frame(Kind.PING, b"12345678", flags=IGNORABLE))
        _, payload = raw.read(Kind.PONG)
        equal(payload[:8], b"12345678", "payload")


@check("no error: IGNORABLE on one fragment of two", "LW-6.7")
def ignorable_fragment(context: Context) -> None:
    with Raw.open(context.address) as raw:
        raw.send(first(len(BLOCK) + 3, BLOCK, flags=EXT | IGNORABLE) + rest(b"abc"))
        equal(raw.read(Kind.REPLY)[1], b"abc")


@check("no error: version range, all reserved capability bits", "LW-3.2, LW-3.6")
def version_range(context: Context) -> None:
    hello = Hello(versions=(0, 65535), capabilities=2**64 - 1, heartbeat=None)
    with Raw.open(context.address, hello) as raw:
        ensure(raw.welcome is not None and raw.welcome.versions == (1, 1), "not version 1")
        raw.send(request(b"x"))
        equal(raw.read(Kind.REPLY)[1], b"x")


@check("no error: a peer without capabilities", "LW-3.9, LW-6.6")
def no_capabilities(context: Context) -> None:
    hello = without(FRAGMENTS | CANCEL | DRAIN)
    small = Hello(heartbeat=None, capabilities=hello.capabilities, max_frame=4096)
    with Raw.open(context.address, small) as raw:
        raw.send(first(len(BLOCK) + 3, BLOCK, flags=EXT) + rest(b"abc"))
        equal(raw.read(Kind.REPLY)[1], b"abc", "cut request")
        raw.send(request(b"x" * 4096) + request(b"x" * 4097, slot=1))
        equal(raw.read(Kind.REPLY)[0].code, 0, "as long as a frame")
        equal(raw.read(Kind.REPLY)[0].code, 8, "REPLY_TOO_LARGE")
