"""Fields of HELLO, WELCOME and CLOSE (sections 3.1, 7.1) and extension blocks (section 9)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Iterator

from codes import (ALL_CAPABILITIES, CHARGE_PER_MESSAGE, VERSION, Close, Kind, LwError, UsageError)

MAX_CREDENTIALS = 3072  # LW-3.8
MAX_METADATA = 61440
MAX_CLOSE_TEXT = 256
HEARTBEAT_RANGE = range(1_000, 3_600_001)


class Unreadable(Exception):
    """A sequence of fields breaks LW-3.3; what that means depends on where it stands."""


def encode_fields(fields: list[tuple[int, bytes]]) -> bytes:
    return b"".join(struct.pack(">HH", tag, len(value)) + value for tag, value in fields)


def iter_fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset < len(data):
        if len(data) - offset < 4:
            raise Unreadable("a field's header is cut off")
        tag, length = struct.unpack_from(">HH", data, offset)
        offset += 4
        if len(data) - offset < length:
            raise Unreadable(f"the value of tag {tag} is cut off")
        yield tag, data[offset:offset + length]
        offset += length


def collect_fields(data: bytes, lengths: dict[int, range]) -> dict[int, bytes]:
    """The fields with tags in `lengths`; others are skipped and may stand there twice."""
    found: dict[int, bytes] = {}
    for tag, value in iter_fields(data):
        if tag not in lengths:
            continue
        if tag in found:
            raise Unreadable(f"tag {tag} twice")
        if len(value) not in lengths[tag]:
            raise Unreadable(f"tag {tag} with {len(value)} bytes")
        found[tag] = value
    return found


def _exactly(length: int) -> range:
    return range(length, length + 1)


def _utf8(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable("not UTF-8") from error


# HELLO and WELCOME

_HELLO_LENGTHS = {
    1: _exactly(4), 2: _exactly(4), 3: _exactly(4), 4: _exactly(4), 5: _exactly(8), 6: _exactly(8),
    7: _exactly(8), 8: _exactly(8), 9: range(0, 65536, 2), 10: range(0, MAX_CREDENTIALS + 1),
}


@dataclass(frozen=True)
class Hello:
    """What one side states about itself. The defaults are those of section 11."""

    versions: tuple[int, int] = (VERSION, VERSION)
    max_frame: int = 64 << 10
    max_message: int = 1 << 20
    call_slots: int = 1024
    request_window: int = 4 << 20
    push_window: int = 2 << 20
    heartbeat: tuple[int, int] | None = (15_000, 1_000)
    capabilities: int = ALL_CAPABILITIES
    codecs: tuple[int, ...] = ()
    credentials: bytes = b""

    def encode(self) -> bytes:
        """The payload. Optional fields that state nothing are left out."""
        if len(self.credentials) > MAX_CREDENTIALS:
            raise UsageError("LW-3.8: credentials longer than 3,072 bytes")
        fields = [
            (1, struct.pack(">HH", *self.versions)),
            (2, struct.pack(">I", self.max_frame)),
            (3, struct.pack(">I", self.max_message)),
            (4, struct.pack(">I", self.call_slots)),
            (5, struct.pack(">Q", self.request_window)),
            (6, struct.pack(">Q", self.push_window)),
        ]
        if self.heartbeat is not None:
            fields.append((7, struct.pack(">II", *self.heartbeat)))
        if self.capabilities:
            fields.append((8, struct.pack(">Q", self.capabilities)))
        if self.codecs:
            fields.append((9, struct.pack(f">{len(self.codecs)}H", *self.codecs)))
        if self.credentials:
            fields.append((10, self.credentials))
        return encode_fields(fields)


def _bad_hello(clause: str, detail: str) -> LwError:
    return LwError(Close.BAD_HELLO, clause, detail)


def read_versions(payload: bytes, welcome: bool = False) -> tuple[int, int]:
    """The first VERSIONS field, which is judged before all other fields (LW-3.6)."""
    try:
        for tag, value in iter_fields(payload):
            if tag == 1:
                if len(value) != 4:
                    raise _bad_hello("LW-3.3", f"VERSIONS with {len(value)} bytes")
                first, last = struct.unpack(">HH", value)
                if first > last and not welcome:
                    raise _bad_hello("LW-3.4", f"versions {first} to {last}")
                return first, last
    except Unreadable as error:
        raise _bad_hello("LW-3.3", str(error)) from error
    raise _bad_hello("LW-3.4", "VERSIONS is missing")


def decode_hello(payload: bytes, welcome: bool = False) -> Hello:
    """Reads all fields. The version has been judged by `read_versions` before."""
    try:
        found = collect_fields(payload, _HELLO_LENGTHS)
    except Unreadable as error:
        raise _bad_hello("LW-3.3", str(error)) from error
    for tag in range(1, 7):
        if tag not in found:
            raise _bad_hello("LW-3.4", f"required tag {tag} is missing")
    numbers = {tag: int.from_bytes(found[tag], "big") for tag in range(2, 7)}
    heartbeat: tuple[int, int] | None = None
    if 7 in found:
        wish, minimum = struct.unpack(">II", found[7])
        if wish not in HEARTBEAT_RANGE or minimum not in HEARTBEAT_RANGE:
            raise _bad_hello("LW-3.4", f"heartbeat {wish} ms, {minimum} ms")
        heartbeat = (wish, minimum)
    if numbers[2] < 4096 or numbers[3] < 1024 or numbers[4] > 65536:
        raise _bad_hello("LW-3.4", "MAX_FRAME, MAX_MESSAGE or CALL_SLOTS outside its range")
    if min(numbers[5], numbers[6]) < CHARGE_PER_MESSAGE + numbers[3]:
        raise _bad_hello("LW-3.5", "a window is smaller than 64 + MAX_MESSAGE")
    codecs = found.get(9, b"")
    return Hello(
        versions=read_versions(payload, welcome), max_frame=numbers[2], max_message=numbers[3],
        call_slots=numbers[4], request_window=numbers[5], push_window=numbers[6],
        heartbeat=heartbeat, capabilities=int.from_bytes(found.get(8, b""), "big"),
        codecs=struct.unpack(f">{len(codecs) // 2}H", codecs), credentials=found.get(10, b""))


def accept_hello(payload: bytes) -> Hello:
    """HELLO as an acceptor of version 1 takes it."""
    first, last = read_versions(payload)
    if not first <= VERSION <= last:
        raise LwError(Close.UNSUPPORTED_VERSION, "LW-3.6", f"the dialer speaks {first} to {last}")
    return decode_hello(payload)


def accept_welcome(payload: bytes, offered: tuple[int, int]) -> Hello:
    """WELCOME as a dialer takes it that has offered a range of versions."""
    first, last = read_versions(payload, welcome=True)
    if first != last or not offered[0] <= first <= offered[1]:
        raise LwError(Close.UNSUPPORTED_VERSION, "LW-3.6", f"WELCOME says {first} to {last}")
    return decode_hello(payload, welcome=True)


# CLOSE

_CLOSE_LENGTHS = {32: range(0, MAX_CLOSE_TEXT + 1), 33: _exactly(4),
                  34: range(0, MAX_CLOSE_TEXT + 1), 35: _exactly(0)}


@dataclass(frozen=True)
class CloseFields:
    text: str | None = None
    retry_after_ms: int | None = None
    redirect: str | None = None
    stay_away: bool = False

    def encode(self) -> bytes:
        fields: list[tuple[int, bytes]] = []
        if self.text is not None:
            cut = self.text.encode()[:MAX_CLOSE_TEXT].decode(errors="ignore")
            fields.append((32, cut.encode()))
        if self.retry_after_ms is not None:
            fields.append((33, struct.pack(">I", self.retry_after_ms)))
        if self.redirect is not None:
            fields.append((34, self.redirect.encode()))
        if self.stay_away:
            fields.append((35, b""))
        return encode_fields(fields)

    @staticmethod
    def decode(payload: bytes) -> CloseFields:
        """An unreadable payload counts as one without fields (LW-7.8)."""
        try:
            found = collect_fields(payload, _CLOSE_LENGTHS)
            return CloseFields(
                text=_utf8(found[32]) if 32 in found else None,
                retry_after_ms=int.from_bytes(found[33], "big") if 33 in found else None,
                redirect=_utf8(found[34]) if 34 in found else None,
                stay_away=35 in found)
        except Unreadable:
            return CloseFields()


# Extension blocks

_EXTENSION_LENGTHS = {1: _exactly(4), 2: range(1, 256), 3: range(0, MAX_METADATA + 1),
                      4: range(1, 65), 5: range(1, 65), 6: _exactly(2)}
_EXTENSIONS_ON = {Kind.REQUEST: {1, 2, 3, 4, 5, 6}, Kind.REPLY: {3, 5, 6}, Kind.PUSH: {2, 3, 5, 6}}


@dataclass(frozen=True)
class Extensions:
    deadline_ms: int | None = None
    route: str | None = None
    metadata: bytes | None = None
    idempotency_key: bytes | None = None
    trace: bytes | None = None
    codec: int | None = None

    def encode(self) -> bytes:
        """The whole block with its length in front; nothing if there are no fields."""
        fields: list[tuple[int, bytes]] = []
        if self.deadline_ms is not None:
            fields.append((1, struct.pack(">I", self.deadline_ms)))
        if self.route is not None:
            fields.append((2, self.route.encode()))
        for tag, value in ((3, self.metadata), (4, self.idempotency_key), (5, self.trace)):
            if value is not None:
                fields.append((tag, value))
        if self.codec is not None:
            fields.append((6, struct.pack(">H", self.codec)))
        for tag, value in fields:
            if len(value) not in _EXTENSION_LENGTHS[tag]:
                raise UsageError(f"section 9: extension {tag} with {len(value)} bytes")
        block = encode_fields(fields)
        return struct.pack(">H", len(block)) + block if block else b""


def block_end(data: bytes) -> int:
    """Where the body starts behind an extension block."""
    if len(data) < 2:
        raise LwError(Close.BAD_EXTENSION, "LW-9.1", "the block's length is cut off")
    end = 2 + int.from_bytes(data[:2], "big")
    if end > len(data):
        raise LwError(Close.BAD_EXTENSION, "LW-9.1", "the block is cut off")
    return end


def decode_extensions(kind: Kind, data: bytes) -> tuple[Extensions, bytes]:
    """Splits a message with flag EXT into its extensions and its body."""
    end = block_end(data)
    try:
        found = collect_fields(data[2:end], _EXTENSION_LENGTHS)
        stray = set(found) - _EXTENSIONS_ON[kind]
        if stray:
            raise Unreadable(f"tag {min(stray)} on {kind.name}")
        route = _utf8(found[2]) if 2 in found else None
    except Unreadable as error:
        raise LwError(Close.BAD_EXTENSION, "LW-9.1", str(error)) from error
    extensions = Extensions(
        deadline_ms=int.from_bytes(found[1], "big") if 1 in found else None, route=route,
        metadata=found.get(3), idempotency_key=found.get(4), trace=found.get(5),
        codec=int.from_bytes(found[6], "big") if 6 in found else None)
    return extensions, data[end:]
