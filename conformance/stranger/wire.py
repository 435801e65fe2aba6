"""Preface, frame headers and the cutting of a byte stream into frames (section 2)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum
from typing import Iterator, Protocol

from codes import (COMPRESSED, END, EXT, FRAGMENTS, HEADER_LENGTH, IGNORABLE, LANE_MASK, MORE,
                   ORIGIN, PREFACE, Close, Kind, LwError)

_HEADER = struct.Struct(">IBBHII")
_KNOWN = frozenset(int(kind) for kind in Kind)


@dataclass(frozen=True)
class Header:
    length: int
    kind: int
    flags: int = 0
    sequence: int = 0
    code: int = 0

    def encode(self) -> bytes:
        return _HEADER.pack(self.length, self.kind, self.flags, self.sequence >> 32,
                            self.sequence & 0xFFFFFFFF, self.code)

    @staticmethod
    def decode(data: bytes) -> Header:
        length, kind, flags, high, low, code = _HEADER.unpack(data[:HEADER_LENGTH])
        return Header(length, kind, flags, high << 32 | low, code)

    @property
    def more(self) -> bool:
        return bool(self.flags & MORE)

    @property
    def ext(self) -> bool:
        return bool(self.flags & EXT)

    @property
    def lane(self) -> int:
        return self.flags & LANE_MASK

    @property
    def slot(self) -> int:
        return self.sequence & 0xFFFF


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, sequence: int = 0,
          code: int = 0) -> bytes:
    """A whole frame; nothing is checked, so that a test can build a wrong one."""
    return Header(len(payload), kind, flags, sequence, code).encode() + payload


def call_id(generation: int, slot: int) -> int:
    return generation << 16 | slot  # LW-2.9


def preface_error_at(data: bytes) -> int | None:
    """The offset of the first wrong byte of a preface, None if none is wrong so far (LW-2.1)."""
    for offset, (got, wanted) in enumerate(zip(data, PREFACE)):
        if got != wanted:
            return offset
    return None


@dataclass(frozen=True)
class _Rule:
    flags: int
    sequence: str  # "zero", "call" or "push"
    free_code: bool
    length: int | None


_LANES = LANE_MASK
_RULES: dict[Kind, _Rule] = {
    Kind.HELLO: _Rule(0, "zero", False, None),
    Kind.WELCOME: _Rule(0, "zero", False, None),
    Kind.REQUEST: _Rule(EXT | MORE | _LANES, "call", True, None),
    Kind.REPLY: _Rule(EXT | MORE | ORIGIN | _LANES, "call", True, None),
    Kind.PUSH: _Rule(EXT | MORE | _LANES, "push", True, None),
    Kind.CANCEL: _Rule(ORIGIN, "call", False, 0),
    Kind.PING: _Rule(0, "zero", False, 8),
    Kind.PONG: _Rule(0, "zero", False, 12),
    Kind.CREDIT: _Rule(0, "zero", False, 16),
    Kind.DRAIN: _Rule(END, "zero", True, 0),
    Kind.CLOSE: _Rule(0, "zero", True, None),
}


def check_header(header: Header, limit: int, capabilities: int) -> bool:
    """Judges a header by LW-2.3, LW-2.5 and LW-2.6, in that order.

    `capabilities` are those that the receiver has announced. False means that the frame is
    skipped with its payload (LW-2.5).
    """
    if header.length > limit:
        raise LwError(Close.FRAME_TOO_LARGE, "LW-2.3", f"length {header.length}, limit {limit}")
    if header.kind not in _KNOWN:
        if header.flags & IGNORABLE:
            return False
        raise LwError(Close.UNKNOWN_KIND, "LW-2.5", f"kind {header.kind:#04x}")
    kind = Kind(header.kind)
    rule = _RULES[kind]
    _check_flags(kind, header.flags, rule.flags)
    _check_sequence(kind, header, rule, capabilities)
    if not rule.free_code and header.code != 0:
        raise LwError(Close.BAD_CODE, "LW-2.6", f"{kind.name} with code {header.code}")
    if rule.length is not None and header.length != rule.length:
        raise LwError(Close.BAD_LENGTH, "LW-2.6", f"{kind.name} with length {header.length}")
    return True


def _check_flags(kind: Kind, flags: int, allowed: int) -> None:
    if flags & COMPRESSED or flags & ~(allowed | IGNORABLE):
        raise LwError(Close.BAD_FLAGS, "LW-2.6", f"{kind.name} with flags {flags:#04x}")
    if flags & LANE_MASK == LANE_MASK:
        raise LwError(Close.BAD_FLAGS, "LW-2.4", f"{kind.name} in the reserved lane")
    if kind is Kind.REPLY and not flags & ORIGIN:
        raise LwError(Close.BAD_FLAGS, "LW-2.7", "REPLY without ORIGIN")


def _check_sequence(kind: Kind, header: Header, rule: _Rule, capabilities: int) -> None:
    sequence = header.sequence
    if rule.sequence == "zero":
        if sequence != 0:
            raise LwError(Close.BAD_SEQUENCE, "LW-2.6", f"{kind.name} with sequence {sequence:#x}")
        return
    if rule.sequence == "push":
        if sequence == 0:
            if header.more:
                raise LwError(Close.BAD_SEQUENCE, "LW-5.1", "a cut PUSH without a push id")
            return
        if not header.more and not capabilities & FRAGMENTS:
            raise LwError(Close.BAD_SEQUENCE, "LW-5.1", "a push id on a PUSH that is not cut")
    if sequence >> 16 == 0:
        raise LwError(Close.BAD_SEQUENCE, "LW-2.9", f"{kind.name} with generation 0")


class Verdict(Enum):
    """What to do with the payload behind a header."""

    STORE = "store"
    SKIP = "skip"
    NEED_TOTAL = "need total"  # a first fragment: the total counts as part of the header


class Judge(Protocol):
    """Decides on frames before their payload is stored (LW-2.10)."""

    def judge_header(self, header: Header) -> Verdict: ...

    def judge_total(self, header: Header, total: int) -> None: ...


class FrameParser:
    """Bytes in pieces of any size (LW-2.4) to frames, one at a time."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._preface = 0
        self._head = bytearray()
        self._header: Header | None = None
        self._verdict = Verdict.STORE
        self._payload = bytearray()
        self._left = 0
        self.stopped = False

    def feed(self, data: bytes) -> Iterator[tuple[Header, bytes]]:
        """Yields each frame when it is complete. The caller acts on it before it goes on."""
        view = memoryview(data)
        view = view[self._take_preface(data):]
        while not self.stopped:
            if self._header is None:
                if not view:
                    return
                view = self._take_header(view)
                if self._header is None:
                    return
            if self._left and not view:
                return
            view = self._take_payload(view)
            if self._left == 0:
                header, payload = self._header, bytes(self._payload)
                kept = self._verdict is not Verdict.SKIP
                self._header, self._payload = None, bytearray()
                self._head.clear()
                if kept:
                    yield header, payload

    def _take_preface(self, data: bytes) -> int:
        taken = 0
        while self._preface < len(PREFACE) and taken < len(data):
            if data[taken] != PREFACE[self._preface]:
                raise LwError(Close.BAD_PREFACE, "LW-2.1", f"wrong byte {self._preface}")
            taken += 1
            self._preface += 1
        return taken

    def _take_header(self, view: memoryview) -> memoryview:
        piece = view[:HEADER_LENGTH - len(self._head)]
        self._head += piece
        if len(self._head) == HEADER_LENGTH:
            header = Header.decode(bytes(self._head))
            self._verdict = self._judge.judge_header(header)
            self._header, self._left = header, header.length
        return view[len(piece):]

    def _take_payload(self, view: memoryview) -> memoryview:
        assert self._header is not None
        wanted = self._left
        if self._verdict is Verdict.NEED_TOTAL:
            wanted = 4 - len(self._payload)
        piece = view[:wanted]
        if self._verdict is not Verdict.SKIP:
            self._payload += piece
        self._left -= len(piece)
        if self._verdict is Verdict.NEED_TOTAL and len(self._payload) == 4:
            self._judge.judge_total(self._header, int.from_bytes(self._payload, "big"))
            self._verdict = Verdict.STORE
        return view[len(piece):]
