"""The conversations of the vectors, played through an endpoint on each side."""

from __future__ import annotations

from dataclasses import replace

from checks_vectors import Entry, each
from codes import HEADER_LENGTH, MORE, PREFACE, Kind
from events import Push, Request
from fields import CloseFields, Extensions, Hello, decode_extensions, decode_hello
from harness import Context, check, equal
from lw1 import Endpoint, Lane, Role
from wire import Header

# The side that breaks a clause on purpose cannot be played by an endpoint.
WRONG_SIDE = {"not_lw": "D", "unknown_kinds": "D", "more_without_capability": "D",
              "request_before_welcome": "D", "welcome_of_another_version": "A",
              "cancel_not_negotiated": "D", "request_behind_end": "D", "drain_behind_end": "D",
              "drain_not_negotiated": "D"}

Frame = tuple[Header, bytes]


def split(data: bytes) -> list[Frame]:
    found: list[Frame] = []
    data = data.removeprefix(PREFACE)
    while data:
        header = Header.decode(data)
        end = HEADER_LENGTH + header.length
        found.append((header, data[HEADER_LENGTH:end]))
        data = data[end:]
    return found


def put_together(frames: list[Frame]) -> list[Frame]:
    """The same frames with whole messages in place of fragments that follow one another."""
    found: list[Frame] = []
    for header, payload in frames:
        if found and found[-1][0].more:
            first, begun = found.pop()
            found.append((replace(first, flags=first.flags & ~MORE | header.flags & MORE),
                          begun + payload))
        else:
            found.append((header, payload[4:] if header.more else payload))
    return found


def comparable(header: Header, payload: bytes) -> tuple[object, ...]:
    """Without what a conforming endpoint may do otherwise."""
    if header.kind == Kind.PONG:
        return header, payload[:8]
    if header.kind == Kind.CLOSE:
        return header.kind, header.code
    return header, payload


class Puppet:
    """An endpoint whose application does what lets the expected frames come."""

    def __init__(self, role: Role, chunks: list[bytes]) -> None:
        own = [f for chunk in chunks for f in split(chunk)]
        header, payload = own[0]
        hello = Hello()
        self._refusal: tuple[int, CloseFields] | None = None
        if header.kind == Kind.CLOSE:
            self._refusal = (header.code, CloseFields.decode(payload))
        else:
            hello = decode_hello(payload)
        self.endpoint = Endpoint(role, hello, 0.0, decide=lambda _: self._refusal)
        self.pushes: list[Push] = []
        self.got = b""

    def say(self, chunk: bytes) -> None:
        for header, payload in put_together(split(chunk)):
            self._act(header, payload)
            self._output()
        wanted = [comparable(*f) for f in split(chunk)]
        equal([comparable(*f) for f in split(self.got)], wanted, "sent")
        self.got = b""

    def _output(self) -> None:
        piece = self.endpoint.output(0.0)
        self.got += piece.removeprefix(PREFACE)

    def _act(self, header: Header, payload: bytes) -> None:
        endpoint = self.endpoint
        if header.kind == Kind.REQUEST:
            block, body = (decode_extensions(Kind.REQUEST, payload) if header.flags & 1
                           else (Extensions(), payload))
            endpoint.call(block.route if block.route is not None else header.code, body)
        elif header.kind == Kind.REPLY:
            endpoint.reply(header.sequence, header.code, payload)
        elif header.kind == Kind.PUSH:
            endpoint.push(header.code, payload, lane=Lane(header.lane))
        elif header.kind == Kind.CANCEL:
            endpoint.cancel(header.sequence)
        elif header.kind == Kind.PING:
            endpoint.ping(payload)
        elif header.kind == Kind.CREDIT:
            endpoint.finish_push(self.pushes.pop(0))
        elif header.kind == Kind.DRAIN and endpoint.open:
            endpoint.drain(header.code)
        elif header.kind == Kind.CLOSE:
            endpoint.close(header.code)

    def hear(self, chunk: bytes) -> None:
        """Takes a chunk, behind the handshake frame by frame with its output in between."""
        pieces = [chunk]
        if self.endpoint.open:
            pieces = [header.encode() + payload for header, payload in split(chunk)]
        for piece in pieces:
            self.endpoint.receive(piece, 0.0)
            self._look()
            if len(pieces) > 1:
                self._output()

    def _look(self) -> None:
        for event in self.endpoint.take_events():
            if isinstance(event, Push):
                self.pushes.append(event)
            elif isinstance(event, Request) and event.route == 42:
                self.endpoint.reply(event.call_id, 1)


@check("vectors: conversations", "LW-2.2, LW-3.1, LW-3.9, LW-4.3, LW-4.12, LW-6.4, LW-6.7, "
       "LW-6.10, LW-7.2, LW-7.5, LW-7.9, LW-7.10, LW-7.11, LW-8.1")
def conversations(context: Context) -> None:
    def run(entry: Entry) -> None:
        for side, role, own in (("D", Role.DIALER, "dialer"), ("A", Role.ACCEPTOR, "acceptor")):
            if WRONG_SIDE.get(entry["name"]) == side:
                continue
            chunks = {name: [bytes.fromhex(text) for text in entry[name]]
                      for name in ("dialer", "acceptor")}
            puppet = Puppet(role, chunks[own])
            for turn in entry["turns"]:
                chunk = chunks["dialer" if turn == "D" else "acceptor"].pop(0)
                if turn == side:
                    puppet.say(chunk)
                else:
                    puppet.hear(chunk)
            puppet.say(b"")  # nothing behind the end

    each(context.vectors["conversations"], run)
