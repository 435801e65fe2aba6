"""The byte vectors: decoded, encoded again, played through an endpoint, and sent to the server."""

from __future__ import annotations

from typing import Any, Callable

from codes import HEADER_LENGTH, PREFACE, Close, Kind, LwError, close_name
from events import Push, Request
from fields import (CloseFields, Extensions, Hello, accept_hello, decode_extensions, decode_hello)
from harness import Context, check, ensure, equal
from lw1 import Endpoint, Lane, Role
from raw import Raw
from wire import Header, check_header, frame, preface_error_at

Entry = dict[str, Any]
LIMIT = 1 << 20


def each(entries: list[Entry], run: Callable[[Entry], None]) -> None:
    """Runs all entries, and names those that fail."""
    failures: list[str] = []
    for entry in entries:
        try:
            run(entry)
        except Exception as error:  # noqa: BLE001 - reported together
            failures.append(f"{entry['name']}: {error}")
    ensure(not failures, f"{len(failures)} of {len(entries)}: " + "; ".join(failures[:5]))


def error_of(act: Callable[[], object]) -> str | None:
    try:
        act()
    except LwError as error:
        return error.code.name
    return None


@check("vectors: frames", "LW-2.5, LW-2.6, LW-2.7, LW-2.9")
def frames(context: Context) -> None:
    def run(entry: Entry) -> None:
        data = bytes.fromhex(entry["hex"])
        header = Header.decode(data)
        known = check_header(header, LIMIT, 0)
        equal(known, isinstance(entry["kind"], str), "known")
        equal(Kind(header.kind).name if known else header.kind, entry["kind"], "kind")
        equal((header.flags, header.sequence, header.code),
              (entry["flags"], entry["sequence"], entry["code"]))
        payload = data[HEADER_LENGTH:]
        equal((header.length, payload.hex()), (len(payload), entry["payload"]))
        equal(frame(header.kind, payload, flags=header.flags, sequence=header.sequence,
                    code=header.code), data, "encoded")

    each(context.vectors["frames"], run)


@check("vectors: bad headers", "LW-2.3, LW-2.5, LW-2.6, LW-2.7, LW-2.9")
def bad_headers(context: Context) -> None:
    def run(entry: Entry) -> None:
        header = Header.decode(bytes.fromhex(entry["hex"]))
        equal(error_of(lambda: check_header(header, entry["limit"], 0)), entry["error"])

    each(context.vectors["bad_headers"], run)


@check("vectors: HELLO", "LW-3.3, LW-3.4, LW-3.5, LW-3.6, LW-3.8")
def hellos(context: Context) -> None:
    def run(entry: Entry) -> None:
        payload = bytes.fromhex(entry["payload"])
        hello = decode_hello(payload)
        wanted = entry["decoded"]
        got = {"versions": list(hello.versions), "max_frame": hello.max_frame,
               "max_message": hello.max_message, "call_slots": hello.call_slots,
               "request_window": hello.request_window, "push_window": hello.push_window,
               "heartbeat": None if hello.heartbeat is None else list(hello.heartbeat),
               "capabilities": hello.capabilities, "codecs": list(hello.codecs),
               "credentials": hello.credentials.hex()}
        equal(got, wanted)
        equal(decode_hello(hello.encode()), hello, "encoded and decoded again")

    def run_bad(entry: Entry) -> None:
        payload = bytes.fromhex(entry["payload"])
        equal(error_of(lambda: accept_hello(payload)), entry["error"])

    each(context.vectors["hellos"], run)
    each(context.vectors["bad_hellos"], run_bad)
    plain = decode_hello(bytes.fromhex(context.vectors["hellos"][0]["payload"]))
    equal(plain.encode().hex(), context.vectors["hellos"][0]["payload"], "bytes")


@check("vectors: CLOSE", "LW-3.3, LW-7.8")
def closes(context: Context) -> None:
    def run(entry: Entry) -> None:
        fields = CloseFields.decode(bytes.fromhex(entry["payload"]))
        equal(vars(fields), entry["decoded"])
        equal(CloseFields.decode(fields.encode()), fields, "encoded and decoded again")

    each(context.vectors["closes"], run)


@check("vectors: extension blocks", "LW-9.1, LW-9.2")
def extensions(context: Context) -> None:
    def run(entry: Entry) -> None:
        kind = Kind[entry["kind"]]
        payload = bytes.fromhex(entry["payload"])
        found, body = decode_extensions(kind, payload)
        got = {name: value.hex() if isinstance(value, bytes) else value
               for name, value in {**vars(found), "body": body}.items()}
        equal(got, entry["decoded"])
        block = found.encode() or b"\0\0"
        equal(decode_extensions(kind, block + body), (found, body), "encoded and decoded again")

    def run_bad(entry: Entry) -> None:
        payload = bytes.fromhex(entry["payload"])
        equal(error_of(lambda: decode_extensions(Kind[entry["kind"]], payload)), entry["error"])

    each(context.vectors["extensions"], run)
    each(context.vectors["bad_extensions"], run_bad)


@check("vectors: prefaces", "LW-2.1")
def prefaces(context: Context) -> None:
    def run(entry: Entry) -> None:
        data = bytes.fromhex(entry["hex"])
        equal(preface_error_at(data), entry["wrong_at"])
        at = entry["wrong_at"]
        endpoint = Endpoint(Role.ACCEPTOR, Hello(), 0.0)
        if data[:at]:
            endpoint.receive(data[:at], 0.0)
        equal(endpoint.output(0.0), b"", "an answer before the wrong byte")
        if at is not None:
            endpoint.receive(data[at:at + 1], 0.0)
            ensure(endpoint.output(0.0).startswith(PREFACE), "no preface in front of CLOSE")

    each(context.vectors["prefaces"], run)


# Conversations. The side that breaks a clause on purpose cannot be played by an endpoint.
WRONG_SIDE = {"not_lw": "D", "unknown_kinds": "D", "more_without_capability": "D",
              "request_before_welcome": "D", "welcome_of_another_version": "A"}


def split(data: bytes) -> list[tuple[Header, bytes]]:
    found: list[tuple[Header, bytes]] = []
    data = data.removeprefix(PREFACE)
    while data:
        header = Header.decode(data)
        end = HEADER_LENGTH + header.length
        found.append((header, data[HEADER_LENGTH:end]))
        data = data[end:]
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
        for header, payload in split(chunk):
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
        elif header.kind == Kind.PING:
            endpoint.ping(payload)
        elif header.kind == Kind.CREDIT:
            endpoint.finish_push(self.pushes.pop(0))
        elif header.kind == Kind.CLOSE:
            endpoint.close(header.code)

    def hear(self, chunk: bytes) -> None:
        self.endpoint.receive(chunk, 0.0)
        for event in self.endpoint.take_events():
            if isinstance(event, Push):
                self.pushes.append(event)
            elif isinstance(event, Request) and event.route == 42:
                self.endpoint.reply(event.call_id, 1)


@check("vectors: conversations", "LW-2.2, LW-3.1, LW-4.3, LW-6.4, LW-7.2, LW-7.5, LW-8.1")
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

    each(context.vectors["conversations"], run)


# The same bytes sent to the server.
UNTRUE_WITH_CAPABILITIES = {"push_sequence_unfragmented", "cancel_with_flag_0x08"}


@check("server: bad headers of the vectors", "LW-2.3, LW-2.5, LW-2.6, LW-2.7, LW-2.9, LW-2.10")
def live_headers(context: Context) -> None:
    def run(entry: Entry) -> None:
        data = bytes.fromhex(entry["hex"])
        early = entry["limit"] < LIMIT  # the limit that holds before WELCOME
        with Raw(context.address) if early else Raw.open(context.address) as raw:
            raw.send((PREFACE if early else b"") + data)
            _, code = raw.ending()
            equal(close_name(code if code is not None else -1), entry["error"])

    each([entry for entry in context.vectors["bad_headers"]
          if entry["name"] not in UNTRUE_WITH_CAPABILITIES], run)


@check("server: HELLOs of the vectors", "LW-3.3, LW-3.4, LW-3.5, LW-3.6, LW-3.8")
def live_hellos(context: Context) -> None:
    def run(entry: Entry) -> None:
        payload = bytes.fromhex(entry["payload"])
        with Raw(context.address) as raw:
            raw.send(PREFACE + frame(Kind.HELLO, payload))
            if "error" in entry:
                _, code = raw.ending()
                equal(code, int(Close[entry["error"]]))
            elif entry["decoded"]["versions"][0] == 1:
                raw.read(Kind.WELCOME)
            else:
                _, code = raw.ending()
                equal(code, int(Close.UNSUPPORTED_VERSION))

    each(context.vectors["hellos"] + context.vectors["bad_hellos"], run)


@check("server: extension blocks of the vectors", "LW-9.1, LW-9.2")
def live_extensions(context: Context) -> None:
    def run(entry: Entry) -> None:
        kind = Kind[entry["kind"]]
        sequence = 1 << 16 if kind is Kind.REQUEST else 0
        with Raw.open(context.address) as raw:
            message = frame(kind, bytes.fromhex(entry["payload"]), flags=1, sequence=sequence)
            raw.send(message + frame(Kind.PING, b"12345678"))
            if "error" in entry:
                equal(raw.ending()[1], int(Close[entry["error"]]))
            else:
                seen = next((header for header, _ in raw.frames()
                             if header.kind in (Kind.PONG, Kind.CLOSE)), None)
                ensure(seen is not None and seen.kind == Kind.PONG, "no PONG")

    entries = context.vectors["extensions"] + context.vectors["bad_extensions"]
    each([entry for entry in entries if entry["kind"] != "REPLY"], run)
