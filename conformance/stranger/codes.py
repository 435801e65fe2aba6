"""Numbers of LW/1 (kinds, flags, statuses, close codes) and the one error type."""

from __future__ import annotations

from enum import IntEnum

PREFACE = bytes.fromhex("AB4C574952450D0A")  # LW-2.1
VERSION = 1  # LW-3.6
HEADER_LENGTH = 16
HANDSHAKE_FRAME_LIMIT = 4096  # LW-2.3
CHARGE_PER_MESSAGE = 64  # LW-1.3
PUSH_SLOTS = 16  # LW-6.10
U32_MAX = 2**32 - 1
U64_MAX = 2**64 - 1


class Kind(IntEnum):
    """The kinds that this endpoint knows (section 2.3)."""

    HELLO = 0x01
    WELCOME = 0x02
    REQUEST = 0x03
    REPLY = 0x04
    PUSH = 0x05
    CANCEL = 0x06
    PING = 0x07
    PONG = 0x08
    CREDIT = 0x09
    DRAIN = 0x0A
    CLOSE = 0x0B


MESSAGES = frozenset({Kind.REQUEST, Kind.REPLY, Kind.PUSH})

# Flags (section 2.4).
EXT = 0x01
MORE = 0x02
END = 0x04
ORIGIN = 0x08
IGNORABLE = 0x10
COMPRESSED = 0x20
LANE_MASK = 0xC0


class Lane(IntEnum):
    NORMAL = 0x00
    HIGH = 0x40
    BULK = 0x80


LANE_WEIGHTS = {Lane.HIGH: 8, Lane.NORMAL: 4, Lane.BULK: 1}  # LW-6.12

# Capabilities (section 3.2).
FRAGMENTS = 1 << 0
CANCEL = 1 << 1
DRAIN = 1 << 2
ALL_CAPABILITIES = FRAGMENTS | CANCEL | DRAIN


class Status(IntEnum):
    """Status codes of REPLY (section 10.1)."""

    OK = 0
    UNKNOWN_ROUTE = 1
    BAD_REQUEST = 2
    HANDLER_FAILED = 3
    DEADLINE_EXPIRED = 4
    CANCELLED = 5
    OVERLOADED = 6
    DRAINING = 7
    REPLY_TOO_LARGE = 8
    REPLY_DISCARDED = 9
    UNAUTHENTICATED = 10
    FORBIDDEN = 11
    UNSUPPORTED = 12


class Close(IntEnum):
    """Close codes (section 10.2)."""

    NORMAL = 0x0000
    GOING_AWAY = 0x0001
    IDLE = 0x0002
    MAX_AGE = 0x0003
    REPLACED = 0x0004
    BAD_PREFACE = 0x0101
    UNSUPPORTED_VERSION = 0x0102
    BAD_HELLO = 0x0103
    HANDSHAKE_TIMEOUT = 0x0104
    REFUSED = 0x0105
    BAD_CREDENTIALS = 0x0106
    OVERLOADED = 0x0107
    UNKNOWN_KIND = 0x0201
    BAD_FLAGS = 0x0202
    BAD_SEQUENCE = 0x0203
    BAD_LENGTH = 0x0204
    FRAME_TOO_LARGE = 0x0205
    MESSAGE_TOO_LARGE = 0x0206
    UNEXPECTED_FRAME = 0x0207
    BAD_EXTENSION = 0x0208
    UNKNOWN_CALL = 0x0209
    SLOT_IN_USE = 0x020A
    SLOT_BEYOND_LIMIT = 0x020B
    CREDIT_EXCEEDED = 0x020C
    BAD_CREDIT = 0x020D
    BAD_FRAGMENT = 0x020E
    NOT_NEGOTIATED = 0x020F
    BAD_CODE = 0x0210
    PEER_SILENT = 0x0301
    TOO_SLOW = 0x0302
    WRITE_STALLED = 0x0303
    TOO_MANY_PINGS = 0x0304
    INTERNAL = 0x0401


def close_name(code: int) -> str:
    """The name of a close code; a number for those the text does not list (LW-10.1)."""
    try:
        return Close(code).name
    except ValueError:
        return f"close code {code:#010x}"


def status_name(code: int) -> str:
    try:
        return Status(code).name
    except ValueError:
        return f"status {code}"


class LwError(Exception):
    """The peer broke a clause. The connection is closed with `code` (LW-7.3)."""

    def __init__(self, code: Close, clause: str, detail: str) -> None:
        super().__init__(f"{code.name} ({clause}): {detail}")
        self.code = code
        self.clause = clause
        self.detail = detail


class UsageError(Exception):
    """This side's application asked for something that the text forbids."""
