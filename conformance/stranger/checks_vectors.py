"""The byte vectors of single frames and fields: decoded, encoded again, and sent to the server."""

from __future__ import annotations

from typing import Any, Callable

from codes import (ALL_CAPABILITIES, CANCEL, DRAIN, FRAGMENTS, HEADER_LENGTH, PREFACE, Close, Kind,
                   LwError, close_name)
from fields import CloseFields, Hello, accept_hello, decode_extensions, decode_hello
from harness import Context, check, ensure, equal
from lw1 import Endpoint, Failed, Role
from raw import Raw
from wire import Header, check_header, frame, preface_error_at

Entry = dict[str, Any]
LIMIT = 1 << 20
CAPABILITIES = {"FRAGMENTS": FRAGMENTS, "CANCEL": CANCEL, "DRAIN": DRAIN}


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


def opened(capabilities: int) -> Endpoint:
    """An endpoint with the defaults of section 11 behind the handshake, with call 65536."""
    endpoint = Endpoint(Role.ACCEPTOR, Hello(capabilities=capabilities), 0.0)
    endpoint.receive(PREFACE + frame(Kind.HELLO, Hello().encode()), 0.0)
    equal(endpoint.call(7), 65536, "the first call id")
    endpoint.output(0.0)
    endpoint.take_events()
    return endpoint


@check("vectors: frames", "LW-2.5, LW-2.6, LW-2.7, LW-2.9, LW-3.9")
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
        if "needs" in entry:
            endpoint = opened(ALL_CAPABILITIES & ~CAPABILITIES[entry["needs"]])
            endpoint.receive(data, 0.0)
            equal([event.error.code for event in endpoint.take_events()
                   if isinstance(event, Failed)], [Close.NOT_NEGOTIATED], "not announced")

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


# The same bytes sent to the server.
UNTRUE_WITH_CAPABILITIES = {"push_sequence_unfragmented"}  # LW-5.1


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
